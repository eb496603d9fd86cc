/* See transpose.c.  Squares go through shared memory, so that rows are read and rows are written.  Small
 * elements take larger squares: a row of one must fill a 32-byte sector. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"

namespace transpose {
constexpr int THREADS = 256;

template <class T> __device__ __forceinline__ void tile(int64_t m, int64_t n, const T *x, T *y)
{
    constexpr int SIDE = sizeof(T) <= 2 ? 64 : 32, ROWS = THREADS / SIDE;
    /* The odd row keeps columns out of one bank. */
    __shared__ T square[SIDE][SIDE + (sizeof(T) < 4 ? 4 / sizeof(T) : 1)];
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    int64_t across = (n + SIDE - 1) / SIDE, down = (m + SIDE - 1) / SIDE;
    for (int64_t at = blockIdx.x; at < across * down; at += gridDim.x) {
        int64_t i0 = at / across * SIDE, j0 = at % across * SIDE;
#pragma unroll
        for (int r = 0; r < SIDE; r += ROWS)
            if (i0 + ty + r < m && j0 + tx < n)
                square[ty + r][tx] = x[(i0 + ty + r) * n + j0 + tx];
        __syncthreads();
#pragma unroll
        for (int r = 0; r < SIDE; r += ROWS)
            if (j0 + ty + r < n && i0 + tx < m)
                y[(j0 + ty + r) * m + i0 + tx] = square[tx][ty + r];
        __syncthreads();
    }
}
} // namespace transpose

#define TRANSPOSE(type, T)                                                                      \
    TGK_KERNEL(256) tgk_transpose_##type(int64_t m, int64_t n, const T *x, T *y)                \
    {                                                                                           \
        tgk_begin();                                                                            \
        transpose::tile(m, n, x, y);                                                            \
    }
TGK_BITS(TRANSPOSE)
#undef TRANSPOSE
