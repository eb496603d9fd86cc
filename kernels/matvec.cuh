/* A row of a matrix times a vector, by a warp; see matvec.cu. */
#ifndef TGI_KERNELS_MATVEC_CUH
#define TGI_KERNELS_MATVEC_CUH

#include "kernels/pack.cuh"

namespace matvec {
template <class T> __device__ __forceinline__ bool is_row_wide(int64_t n, const T *a, const T *x)
{
    return is_aligned(x) && is_aligned(a) && n % pack<T>::N == 0;
}

/* alpha times a sum, and beta times what was there.  Which product is fused is said, as kernels made of this text are not to differ. */
template <class T> __device__ __forceinline__ T element(T alpha, T total, T beta, const T *y)
{
    return beta == 0 ? alpha * total : fma(alpha, total, beta * *y);
}

/* Of what each lane has of a row, in every lane. */
template <class T, int W> __device__ __forceinline__ T join_sums(const T (&acc)[W])
{
    T total = acc[0];
#pragma unroll
    for (int e = 1; e < W; e++)
        total += acc[e];
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        total += __shfl_xor_sync(0xffffffffu, total, w);
    return total;
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
    return join_sums(acc);
}

template <int ROWS, int DEPTH, class T, int W>
__device__ __forceinline__ void add_packs(int64_t n, const T *rows, const T *x, T (&acc)[ROWS][W])
{
    pack<T> v[ROWS][DEPTH], w[DEPTH];
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        w[d] = load_pack(x + d * 32 * W);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            v[r][d] = load_pack(rows + r * n + d * 32 * W);
    }
#pragma unroll
    for (int d = 0; d < DEPTH; d++)
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int e = 0; e < W; e++)
                acc[r][e] += v[r][d].at[e] * w[d].at[e];
}

/* Of ROWS consecutive rows, all of which are on their way at once, where one row alone would wait for each of its pieces in turn; for
 * wide rows.  Each has the bits of row_sum(). */
template <int ROWS, class T>
__device__ __forceinline__ void row_sums(int64_t n, const T *rows, const T *x, int lane, T (&total)[ROWS])
{
    constexpr int W = pack<T>::N;
    T acc[ROWS][W] = {};
    int64_t j = lane * W;
    for (; j + 3 * 32 * W < n; j += 4 * 32 * W)
        add_packs<ROWS, 4>(n, rows + j, x + j, acc);
    for (; j + 32 * W < n; j += 2 * 32 * W)
        add_packs<ROWS, 2>(n, rows + j, x + j, acc);
    if (j < n)
        add_packs<ROWS, 1>(n, rows + j, x + j, acc);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        total[r] = join_sums(acc[r]);
}
} // namespace matvec

#endif
