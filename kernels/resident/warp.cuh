/* What bodies share: a warp's lanes, its words, and passing over elements.  Only what is written inside the kernel is read, so
 * nothing here is const __restrict__ nor goes by the read-only cache. */
#ifndef TGI_KERNELS_RESIDENT_WARP_CUH
#define TGI_KERNELS_RESIDENT_WARP_CUH

#include "kernels/pack.cuh"

#define TGI_BODY static __device__ __forceinline__ uint32_t
/* One that needs so many registers that the worker around it would have none: a call saves them once. */
#define TGI_BODY_APART static __device__ __noinline__ uint32_t

namespace warp {
__device__ __forceinline__ int lane() { return (int)(threadIdx.x & 31u); }

template <class T> __device__ __forceinline__ T *tile(const uint64_t *a, int i) { return (T *)(uintptr_t)a[i]; }
__device__ __forceinline__ int64_t size(const uint64_t *a, int i) { return (int64_t)a[i]; }
/* A scalar in the low bytes of its word. */
template <class T> __device__ __forceinline__ T number(const uint64_t *a, int i)
{
    uint64_t word = a[i];
    T v;
    memcpy(&v, &word, sizeof v);
    return v;
}

/* out[i] = f(i, {in0[i], in1[i], ..}); out may be one of the inputs.  All of 2 KiB of each tile is on its way before
 * anything is stored. */
template <int N_IN, class T, class F>
__device__ __forceinline__ void map(int64_t n, T *out, const T *const (&in)[N_IN > 0 ? N_IN : 1], F f)
{
    constexpr int N = N_IN > 0 ? N_IN : 1, W = pack<T>::N, DEPTH = 4, CHUNK = DEPTH * 32 * W;
    bool is_wide = is_aligned(out);
#pragma unroll
    for (int k = 0; k < N_IN; k++)
        is_wide = is_wide && is_aligned(in[k]);
    int64_t base = 0;
    for (; is_wide && base + CHUNK <= n; base += CHUNK) {
        pack<T> v[N][DEPTH];
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
#pragma unroll
            for (int k = 0; k < N_IN; k++)
                v[k][d] = load_pack(in[k] + base + (d * 32 + lane()) * W);
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            int64_t first = base + (d * 32 + lane()) * W;
            pack<T> r;
#pragma unroll
            for (int e = 0; e < W; e++) {
                T x[N];
#pragma unroll
                for (int k = 0; k < N_IN; k++)
                    x[k] = v[k][d].at[e];
                r.at[e] = f(first + e, x);
            }
            store_pack(out + first, r);
        }
    }
    for (base += lane(); base < n; base += DEPTH * 32) {
        T x[DEPTH][N];
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
#pragma unroll
            for (int k = 0; k < N_IN; k++)
                if (base + d * 32 < n)
                    x[d][k] = in[k][base + d * 32];
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
            if (base + d * 32 < n)
                out[base + d * 32] = f(base + d * 32, x[d]);
    }
}
} // namespace warp

#endif
