/* See matvec.c.  A warp forms one element of y from a row of a; with trans a block forms 32, its warps
 * sharing the rows and joining their sums in order. */
#include "kernels/entry.cuh"
#include "kernels/matvec.cuh"

namespace matvec {
constexpr int MAX_THREADS = 1024;

template <class T>
__device__ __forceinline__ void rows(int64_t m, int64_t n, const T *a, const T *x, T *y, T alpha, T beta)
{
    int lane = threadIdx.x % 32, per_block = blockDim.x / 32;
    bool is_wide = is_row_wide(n, a, x);
    for (int64_t i = blockIdx.x * (int64_t)per_block + threadIdx.x / 32; i < m; i += (int64_t)gridDim.x * per_block) {
        T total = row_sum(n, a + i * n, x, is_wide, lane);
        if (lane == 0)
            y[i] = element(alpha, total, beta, &y[i]);
    }
}

template <class T>
__device__ __forceinline__ void columns(int64_t m, int64_t n, const T *a, const T *x, T *y, T alpha, T beta)
{
    __shared__ T sums[MAX_THREADS / 32][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
    for (int64_t j0 = blockIdx.x * (int64_t)32; j0 < n; j0 += (int64_t)gridDim.x * 32) {
        int64_t j = j0 + lane;
        T total = 0;
#pragma unroll 8
        for (int64_t i = warp; i < m; i += n_warps)
            total += j < n ? a[i * n + j] * x[i] : (T)0;
        sums[warp][lane] = total;
        __syncthreads();
        if (warp == 0 && j < n) {
            for (int w = 1; w < n_warps; w++)
                total += sums[w][lane];
            y[j] = element(alpha, total, beta, &y[j]);
        }
        __syncthreads();
    }
}

template <class T>
__device__ __forceinline__ void tile(int64_t m, int64_t n, const T *a, const T *x, T *y, int64_t trans, T alpha, T beta)
{
    if (trans)
        columns(m, n, a, x, y, alpha, beta);
    else
        rows(m, n, a, x, y, alpha, beta);
}
} // namespace matvec

#define MATVEC(type, T)                                                                                           \
    TGK_KERNEL(1024) tgk_matvec_##type(int64_t m, int64_t n, const T *a, const T *x, T *y, int64_t trans, T alpha) \
    {                                                                                                             \
        tgk_begin();                                                                                              \
        matvec::tile(m, n, a, x, y, trans, alpha, (T)0);                                                          \
    }                                                                                                             \
    TGK_KERNEL(1024) tgk_matvec_add_##type(int64_t m, int64_t n, const T *a, const T *x, T *y, int64_t trans,     \
                                           T alpha, T beta)                                                       \
    {                                                                                                             \
        tgk_begin();                                                                                              \
        matvec::tile(m, n, a, x, y, trans, alpha, beta);                                                          \
    }
TGK_FLOATS(MATVEC)
#undef MATVEC
