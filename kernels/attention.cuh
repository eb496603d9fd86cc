/* attention_part and attention_join; see attention.c.
 *
 * A warp takes 32 positions at a time, a chunk: each lane forms the score of one, then owns SPAN columns of the sum.  Chunks c,
 * c + WARPS, .. are one share; shares are formed by the warps of a block, or one after the other by a single warp, and joined in the
 * same order, so both give the same bits.  Heads of more than 32 * SPAN columns are done in spans, each of which forms the scores
 * again.  What could be fused is fused by name, as two kernels made of this text are not to differ in that. */
#ifndef TGI_KERNELS_ATTENTION_CUH
#define TGI_KERNELS_ATTENTION_CUH

#include <math.h>

#include "kernels/pack.cuh"

namespace attention {
constexpr int CHUNK = 32, WARPS = 8, SPAN = 4, COLS = 32 * SPAN;
constexpr unsigned ALL = 0xffffffffu;

template <class T> struct task {
    int64_t rows, cols;
    const T *q, *k, *v;
    T *part, scale;
};

/* Of some positions: the largest score, and relative to it the sum of the weights and a lane's columns of the weighted sum. */
template <class T> struct state {
    T top, total, sum[SPAN];
};

__device__ __forceinline__ float exponential(float v) { return expf(v); }
__device__ __forceinline__ double exponential(double v) { return exp(v); }
template <class T> __device__ __forceinline__ T larger(T a, T b) { return b > a ? b : a; }
/* Nothing but -infinity weighs nothing. */
template <class T> __device__ __forceinline__ T weight(T score, T top) { return score > -(T)INFINITY ? exponential(score - top) : (T)0; }

template <class T> __device__ __forceinline__ T top_of_warp(T v)
{
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        v = larger(v, __shfl_xor_sync(ALL, v, w));
    return v;
}
template <class T> __device__ __forceinline__ T sum_of_warp(T v)
{
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        v += __shfl_xor_sync(ALL, v, w);
    return v;
}

template <class T> __device__ __forceinline__ state<T> nothing()
{
    state<T> s = {-(T)INFINITY, 0, {}};
    return s;
}
/* a, then b.  Nothing joined with b is b, bit for bit. */
template <class T> __device__ __forceinline__ void join(state<T> &a, const state<T> &b)
{
    T top = larger(a.top, b.top), of_a = weight(a.top, top), of_b = weight(b.top, top);
    a.top = top;
    a.total = fma(b.total, of_b, a.total * of_a);
#pragma unroll
    for (int s = 0; s < SPAN; s++)
        a.sum[s] = fma(b.sum[s], of_b, a.sum[s] * of_a);
}

/* Element i is in partial sum i % W, however it is loaded. */
template <class T> __device__ __forceinline__ T score(const task<T> &t, int64_t row, bool is_wide)
{
    constexpr int W = pack<T>::N, DEPTH = 8;
    const T *k = t.k + row * t.cols;
    T acc[W] = {0};
    int64_t i = 0;
    for (; is_wide && i + DEPTH * W <= t.cols; i += DEPTH * W) {
        pack<T> x[DEPTH], y[DEPTH];
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            x[d] = load_pack(k + i + d * W);
            y[d] = load_pack(t.q + i + d * W);
        }
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
#pragma unroll
            for (int e = 0; e < W; e++)
                acc[e] = fma(x[d].at[e], y[d].at[e], acc[e]);
    }
    for (; i < t.cols; i += W)
#pragma unroll
        for (int e = 0; e < W; e++)
            if (i + e < t.cols)
                acc[e] = fma(k[i + e], t.q[i + e], acc[e]);
    T total = acc[0];
#pragma unroll
    for (int e = 1; e < W; e++)
        total += acc[e];
    return fma(total, t.scale, (T)0);
}

/* Positions first .. first + 31, columns col0 + lane, + 32, ..  */
template <class T> __device__ __forceinline__ state<T> chunk(const task<T> &t, int64_t first, int64_t col0, bool is_wide, int lane)
{
    constexpr int AT_ONCE = 8;
    bool is_there = first + lane < t.rows;
    T mine = is_there ? score(t, first + lane, is_wide) : -(T)INFINITY;
    state<T> s = nothing<T>();
    s.top = top_of_warp(mine);
    T shift = s.top > -(T)INFINITY ? s.top : (T)0, w = is_there ? exponential(mine - shift) : (T)0;
    s.total = sum_of_warp(w);
    for (int j0 = 0; j0 < CHUNK && first + j0 < t.rows; j0 += AT_ONCE) {
        T x[AT_ONCE][SPAN];
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++)
#pragma unroll
            for (int c = 0; c < SPAN; c++) {
                int64_t row = first + j0 + j, col = col0 + lane + 32 * c;
                x[j][c] = row < t.rows && col < t.cols ? t.v[row * t.cols + col] : (T)0;
            }
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            T of_j = __shfl_sync(ALL, w, j0 + j);
#pragma unroll
            for (int c = 0; c < SPAN; c++)
                s.sum[c] = fma(of_j, x[j][c], s.sum[c]);
        }
    }
    return s;
}

template <class T> __device__ __forceinline__ bool is_task_wide(const task<T> &t)
{
    return is_aligned(t.q) && is_aligned(t.k) && t.cols % pack<T>::N == 0;
}

template <class T> __device__ __forceinline__ state<T> share(const task<T> &t, int which, int64_t col0, bool is_wide, int lane)
{
    state<T> s = nothing<T>();
    for (int64_t first = (int64_t)which * CHUNK; first < t.rows; first += WARPS * CHUNK)
        join(s, chunk(t, first, col0, is_wide, lane));
    return s;
}

/* The columns from col0 on; the first lane of the first span writes the rest. */
template <class T> __device__ __forceinline__ void store(const task<T> &t, const state<T> &s, int64_t col0, int lane)
{
#pragma unroll
    for (int c = 0; c < SPAN; c++)
        if (col0 + lane + 32 * c < t.cols)
            t.part[col0 + lane + 32 * c] = s.sum[c];
    if (col0 == 0 && lane == 0) {
        t.part[t.cols] = s.top;
        t.part[t.cols + 1] = s.total;
    }
}

template <class T> __device__ __forceinline__ void part_by_warp(const task<T> &t, int lane)
{
    bool is_wide = is_task_wide(t);
    for (int64_t col0 = 0; col0 == 0 || col0 < t.cols; col0 += COLS) {
        state<T> s = nothing<T>();
        for (int which = 0; which < WARPS && (int64_t)which * CHUNK < t.rows; which++)
            join(s, share(t, which, col0, is_wide, lane));
        store(t, s, col0, lane);
    }
}

/* Columns col0 .. of what `parts` parts of cols + 2 elements make together. */
template <class T> __device__ __forceinline__ void join_parts(int64_t parts, int64_t cols, const T *part, T *y, int64_t col0, int lane)
{
    constexpr int AT_ONCE = 4;
    int64_t stride = cols + 2;
    T top = -(T)INFINITY, total = 0, sum[SPAN] = {};
    for (int64_t i = lane; i < parts; i += 32)
        top = larger(top, part[i * stride + cols]);
    top = top_of_warp(top);
    for (int64_t i0 = 0; i0 < parts; i0 += 32) {
        bool is_there = i0 + lane < parts;
        T w = is_there ? weight(part[(i0 + lane) * stride + cols], top) : (T)0;
        if (is_there)
            total = fma(part[(i0 + lane) * stride + cols + 1], w, total);
        for (int j0 = 0; j0 < 32 && i0 + j0 < parts; j0 += AT_ONCE) {
            T x[AT_ONCE][SPAN];
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++)
#pragma unroll
                for (int c = 0; c < SPAN; c++) {
                    int64_t i = i0 + j0 + j, col = col0 + lane + 32 * c;
                    x[j][c] = i < parts && col < cols ? part[i * stride + col] : (T)0;
                }
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                T of_j = __shfl_sync(ALL, w, j0 + j);
#pragma unroll
                for (int c = 0; c < SPAN; c++)
                    sum[c] = fma(of_j, x[j][c], sum[c]);
            }
        }
    }
    total = sum_of_warp(total);
    T inverse = 1 / total;
#pragma unroll
    for (int c = 0; c < SPAN; c++)
        if (col0 + lane + 32 * c < cols)
            y[col0 + lane + 32 * c] = total > 0 ? sum[c] * inverse : sum[c] / total;
}
} // namespace attention

#endif
