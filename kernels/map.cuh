/* Element by element: out[i] = f(i, {in0[i], in1[i], ..}).
 *
 * A block takes a contiguous 16 KiB of each tile at a time and loads all of it before it stores
 * anything, so 64 bytes a thread and tile are in flight.  The grid (TGI_MAP_GRID in launch.h) has a
 * block for each 16 KiB; many short blocks balance better than a few long ones.  out may be one of the
 * inputs. */
#ifndef TGI_KERNELS_MAP_CUH
#define TGI_KERNELS_MAP_CUH

#include "kernels/pack.cuh"

#define TGK_MAP_THREADS 256

template <int N_IN> struct inputs_of {
    static constexpr int N = N_IN > 0 ? N_IN : 1;
};

template <int N_IN, class T, class F>
__device__ __forceinline__ void map(int64_t n, T *out, const T *const (&in)[inputs_of<N_IN>::N], F f)
{
    constexpr int W = pack<T>::N, DEPTH = 4, THREADS = TGK_MAP_THREADS;
    constexpr int64_t CHUNK = (int64_t)DEPTH * THREADS * W;
    bool is_wide = is_aligned(out);
#pragma unroll
    for (int k = 0; k < N_IN; k++)
        is_wide = is_wide && is_aligned(in[k]);
    for (int64_t base = blockIdx.x * CHUNK; base < n; base += gridDim.x * CHUNK) {
        if (is_wide && base + CHUNK <= n) {
            pack<T> v[inputs_of<N_IN>::N][DEPTH];
#pragma unroll
            for (int d = 0; d < DEPTH; d++)
#pragma unroll
                for (int k = 0; k < N_IN; k++)
                    v[k][d] = load_pack(in[k] + base + (d * THREADS + threadIdx.x) * W);
#pragma unroll
            for (int d = 0; d < DEPTH; d++) {
                int64_t first = base + (d * THREADS + threadIdx.x) * W;
                pack<T> r;
#pragma unroll
                for (int e = 0; e < W; e++) {
                    T x[inputs_of<N_IN>::N];
#pragma unroll
                    for (int k = 0; k < N_IN; k++)
                        x[k] = v[k][d].at[e];
                    r.at[e] = f(first + e, x);
                }
                store_pack(out + first, r);
            }
            continue;
        }
        int64_t end = base + CHUNK < n ? base + CHUNK : n;
#pragma unroll 4
        for (int64_t i = base + threadIdx.x; i < end; i += THREADS) {
            T x[inputs_of<N_IN>::N];
#pragma unroll
            for (int k = 0; k < N_IN; k++)
                x[k] = in[k][i];
            out[i] = f(i, x);
        }
    }
}

#endif
