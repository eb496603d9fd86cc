/* Rows of softmax and layernorm, by a group of 32 or 256 threads; see layer.cu. */
#ifndef TGI_KERNELS_LAYER_CUH
#define TGI_KERNELS_LAYER_CUH

#include <math.h>

#include "kernels/pack.cuh"

namespace layer {
constexpr int THREADS = 256;

template <class T> __device__ __forceinline__ T exponential(T v);
template <> __device__ __forceinline__ float exponential(float v) { return expf(v); }
template <> __device__ __forceinline__ double exponential(double v) { return exp(v); }
template <class T> __device__ __forceinline__ T error_function(T v);
template <> __device__ __forceinline__ float error_function(float v) { return erff(v); }
template <> __device__ __forceinline__ double error_function(double v) { return erf(v); }

/* Joins the values of a group of 32 or 256 threads, in a fixed order; every thread gets the result. */
template <int GROUP, class T, class Join> __device__ __forceinline__ T join_group(T v, Join join)
{
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        v = join(v, __shfl_xor_sync(0xffffffffu, v, w));
    if (GROUP == 32)
        return v;
    __shared__ T of_warp[THREADS / 32];
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = v;
    __syncthreads();
    v = of_warp[0];
#pragma unroll
    for (int k = 1; k < THREADS / 32; k++)
        v = join(v, of_warp[k]);
    return v;
}

/* A thread's share of a row: N elements in registers, or, with N = 0, any number left in memory. */
template <int GROUP, int N, class T> struct share {
    T kept[N > 0 ? N : 1];
    const T *x;
    int64_t cols;
    int lane;
    __device__ __forceinline__ share(const T *x, int64_t cols) : x(x), cols(cols), lane(threadIdx.x % GROUP)
    {
#pragma unroll
        for (int q = 0; q < N; q++)
            kept[q] = lane + q * GROUP < cols ? x[lane + q * GROUP] : (T)0;
    }
    template <class F> __device__ __forceinline__ void each(F f)
    {
        if (N > 0) {
#pragma unroll
            for (int q = 0; q < N; q++)
                if (lane + q * GROUP < cols)
                    f(lane + q * GROUP, kept[q]);
        } else {
            for (int64_t i = lane; i < cols; i += GROUP)
                f(i, x[i]);
        }
    }
};

template <int GROUP, int N, class T> __device__ __forceinline__ void softmax_row(int64_t cols, const T *x, T *y)
{
    share<GROUP, N, T> row(x, cols);
    T top = -(T)INFINITY;
    row.each([&](int64_t, T v) { top = v > top ? v : top; });
    top = join_group<GROUP>(top, [](T a, T b) { return b > a ? b : a; });
    /* A row of nothing but -infinity: no shift, all weights equal 0, and 0/0 says so. */
    T shift = top > -(T)INFINITY ? top : (T)0, total = 0;
    if (N > 0) {
#pragma unroll
        for (int q = 0; q < N; q++)
            row.kept[q] = exponential(row.kept[q] - shift);
        row.each([&](int64_t, T v) { total += v; });
    } else {
        row.each([&](int64_t, T v) { total += exponential(v - shift); });
    }
    total = join_group<GROUP>(total, [](T a, T b) { return a + b; });
    T scale = 1 / total;
    row.each([&](int64_t i, T v) {
        v = N > 0 ? v : exponential(v - shift);
        y[i] = total > 0 ? v * scale : v / total;
    });
}

template <int GROUP, int N, class T>
__device__ __forceinline__ void layernorm_row(int64_t cols, const T *x, T *y, const T *gamma, const T *beta, double eps)
{
    share<GROUP, N, T> row(x, cols);
    auto add = [](double a, double b) { return a + b; };
    double sum = 0, squares = 0;
    row.each([&](int64_t, T v) { sum += (double)v; });
    double mean = join_group<GROUP>(sum, add) / (double)cols;
    row.each([&](int64_t, T v) { squares += ((double)v - mean) * ((double)v - mean); });
    double scale = 1 / sqrt(join_group<GROUP>(squares, add) / (double)cols + eps);
    row.each([&](int64_t i, T v) {
        double z = ((double)v - mean) * scale;
        y[i] = (T)((gamma ? (double)gamma[i] * z : z) + (beta ? (double)beta[i] : 0));
    });
}

template <class T> __device__ __forceinline__ T gelu_of(T v) { return v * (T)0.5 * (1 + error_function(v * (T)M_SQRT1_2)); }
} // namespace layer

#endif
