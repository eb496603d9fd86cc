/* A row of a matrix times a vector, by a warp; see matvec.cu. */
#ifndef TGI_KERNELS_MATVEC_CUH
#define TGI_KERNELS_MATVEC_CUH

#include "kernels/pack.cuh"

namespace matvec {
template <class T> __device__ __forceinline__ bool is_row_wide(int64_t n, const T *a, const T *x)
{
    return is_aligned(x) && is_aligned(a) && n % pack<T>::N == 0;
}

/* The sum, in every lane. */
template <class T> __device__ __forceinline__ T row_sum(int64_t n, const T *row, const T *x, bool is_wide, int lane)
{
    constexpr int W = pack<T>::N, DEPTH = 4;
    T acc[W] = {0};
    int64_t j = lane * W;
    for (; is_wide && j + (DEPTH - 1) * 32 * W < n; j += DEPTH * 32 * W) {
        pack<T> v[DEPTH], w[DEPTH];
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            v[d] = load_pack(row + j + d * 32 * W);
            w[d] = load_pack(x + j + d * 32 * W);
        }
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
#pragma unroll
            for (int e = 0; e < W; e++)
                acc[e] += v[d].at[e] * w[d].at[e];
    }
    for (; j < n; j += 32 * W)
#pragma unroll
        for (int e = 0; e < W; e++)
            if (j + e < n)
                acc[e] += row[j + e] * x[j + e];
    T total = acc[0];
#pragma unroll
    for (int e = 1; e < W; e++)
        total += acc[e];
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        total += __shfl_xor_sync(0xffffffffu, total, w);
    return total;
}
} // namespace matvec

#endif
