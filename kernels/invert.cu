/* Inverses of the 64 x 64 triangles on the diagonal of a lower triangular matrix, from which larger ones are made
 * by products (gpu/blas_call.c).  Row-major, n a multiple of 64.
 *
 * The inverses of blocks of `order` rows, a multiple of 64, lie one after the other in rows of `order`, with one
 * more row's worth of elements between two of them: so the element on the diagonal in row r is at r * (order + 1),
 * whatever the block.  What is right of a triangle in its block becomes 0; what is left of it is not written.
 *
 * Column c of an inverse is a forward substitution of its own; four threads share its sums. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"

namespace invert {
constexpr int SIDE = 64, THREADS = 256, SHARE = THREADS / SIDE;

template <class T> __device__ __forceinline__ void diagonal(int64_t n, int64_t order, const T *l, T *inverse)
{
    /* Below the diagonal l, above it the transpose of its inverse. */
    __shared__ T square[SIDE][SIDE + 1], reciprocal[SIDE];
    int64_t first = blockIdx.x * (int64_t)SIDE, at = first % order;
    T *out = inverse + first * (order + 1) - at; /* column 0 of the block, in the first row */
    for (int i = threadIdx.x; i < SIDE * SIDE; i += THREADS) {
        int r = i / SIDE, c = i % SIDE;
        if (r > c)
            square[r][c] = l[(first + r) * n + first + c];
        else if (r == c)
            reciprocal[r] = 1 / l[(first + r) * n + first + r];
    }
    __syncthreads();
    int c = threadIdx.x / SHARE, part = threadIdx.x % SHARE;
    for (int r = 1; r < SIDE; r++) {
        T sum = 0;
        if (r > c)
            for (int k = c + part; k < r; k += SHARE)
                sum += square[r][k] * (k == c ? reciprocal[c] : square[c][k]);
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (r > c && part == 0)
            square[c][r] = -sum * reciprocal[r];
        __syncwarp(); /* a column stays within its warp */
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < SIDE * (order - at); i += THREADS) {
        int64_t r = i / (order - at), k = i % (order - at);
        out[r * order + at + k] = k > r ? (T)0 : k == r ? reciprocal[r] : square[k][r];
    }
}
} // namespace invert

#define INVERT(type, T)                                                                                    \
    TGK_KERNEL(256) tgk_invert_diagonal_##type(int64_t n, int64_t order, const T *l, T *inverse)           \
    {                                                                                                      \
        tgk_begin();                                                                                       \
        invert::diagonal(n, order, l, inverse);                                                            \
    }
TGK_FLOATS(INVERT)
#undef INVERT
