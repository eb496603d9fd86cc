/* See histogram.c.  Blocks count in shared memory and add to h once; counts are integers, so the order of
 * the additions leaves no trace.  Histograms of more bins than fit count in h itself. */
#include "kernels/entry.cuh"
#include "kernels/fault.cuh"
#include "kernels/pack.cuh"

namespace histogram {
constexpr int THREADS = 512, LOCAL_BINS = 4096;

template <class T>
__device__ __forceinline__ void tile(int64_t n, int64_t bins, T lo, T hi, const T *x, uint64_t *h)
{
    __shared__ uint32_t local[LOCAL_BINS];
    if (bins <= 0 || !(lo < hi)) {
        if (blockIdx.x == 0 && threadIdx.x == 0)
            report_fault(TGI_FAULT_HISTOGRAM, h, bins, 0, (double)lo, (double)hi);
        return;
    }
    bool is_local = bins <= LOCAL_BINS;
    if (is_local) {
        for (int64_t b = threadIdx.x; b < bins; b += THREADS)
            local[b] = 0;
        __syncthreads();
    }
    double scale = (double)bins / ((double)hi - (double)lo);
    auto count = [&](T v) {
        if (!(v >= lo && v <= hi))
            return;
        int64_t b = (int64_t)(((double)v - (double)lo) * scale);
        b = b < bins ? b : bins - 1;
        if (is_local)
            atomicAdd(&local[b], 1u);
        else
            atomicAdd((unsigned long long *)&h[b], 1ull);
    };
    constexpr int W = pack<T>::N;
    bool is_wide = is_aligned(x);
    int64_t step = (int64_t)gridDim.x * THREADS * W;
    int64_t first = (blockIdx.x * (int64_t)THREADS + threadIdx.x) * W;
    for (; is_wide && first + step + W <= n; first += 2 * step) {
        pack<T> v = load_pack(x + first), w = load_pack(x + first + step);
#pragma unroll
        for (int e = 0; e < W; e++)
            count(v.at[e]);
#pragma unroll
        for (int e = 0; e < W; e++)
            count(w.at[e]);
    }
    for (; first < n; first += step)
        for (int e = 0; e < W && first + e < n; e++)
            count(x[first + e]);
    if (!is_local)
        return;
    __syncthreads();
    for (int64_t b = threadIdx.x; b < bins; b += THREADS)
        if (local[b])
            atomicAdd((unsigned long long *)&h[b], (unsigned long long)local[b]);
}
} // namespace histogram

#define HISTOGRAM(type, T)                                                                                 \
    TGK_KERNEL(512) tgk_histogram_##type(int64_t n, int64_t bins, T lo, T hi, const T *x, uint64_t *h)     \
    {                                                                                                      \
        tgk_begin();                                                                                       \
        histogram::tile(n, bins, lo, hi, x, h);                                                            \
    }
HISTOGRAM(f32, float)
HISTOGRAM(f64, double)
HISTOGRAM(i32, int32_t)
HISTOGRAM(i64, int64_t)
#undef HISTOGRAM
