/* A team: eight blocks that work on one task as one, in a single launch and without memory of their own.
 * On sm_90 and later they are a thread block cluster, which runs at once, has a barrier and reads
 * each other's shared memory.  Before that the first block does everything and the others leave.
 *
 * Eight is the largest cluster that every GPU takes.  A team reads memory at what eight
 * multiprocessors can ask for, 0.6 to 0.8 TB/s on an H200, so a task of more than some MiB is better cut
 * into several tiles, whose teams run side by side. */
#ifndef TGI_KERNELS_TEAM_CUH
#define TGI_KERNELS_TEAM_CUH

#include <stdint.h>

#define TGK_TEAM 8

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define TGK_TEAM_KERNEL(threads) \
    extern "C" __global__ void __cluster_dims__(TGK_TEAM, 1, 1) __launch_bounds__(threads)
#else
#define TGK_TEAM_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#endif

namespace team {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
constexpr int SIZE = TGK_TEAM;
__device__ __forceinline__ int rank()
{
    uint32_t r;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return (int)r;
}
/* Everything written before, to shared and to global memory, is visible to the whole team after it. */
__device__ __forceinline__ void sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
/* Member `of`'s copy of a shared variable of 4 or 8 bytes. */
template <class T> __device__ __forceinline__ T peek(const T *shared, int of)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a word");
    uint32_t here = (uint32_t)__cvta_generic_to_shared(shared), there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(of));
    T value;
    if (sizeof(T) == 4) {
        uint32_t w;
        asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(w) : "r"(there) : "memory");
        memcpy(&value, &w, sizeof value);
    } else {
        uint64_t w;
        asm volatile("ld.shared::cluster.u64 %0, [%1];" : "=l"(w) : "r"(there) : "memory");
        memcpy(&value, &w, sizeof value);
    }
    return value;
}
#else
constexpr int SIZE = 1;
__device__ __forceinline__ int rank() { return (int)blockIdx.x; }
__device__ __forceinline__ void sync() { __syncthreads(); }
template <class T> __device__ __forceinline__ T peek(const T *shared, int) { return *shared; }
#endif
/* True for a block that is not in the team; it must return at once. */
__device__ __forceinline__ bool is_spare() { return (int)blockIdx.x >= SIZE; }

/* Joins the threads' values in a fixed order: lanes, warps, members.  Valid in every thread of the team;
 * all of it must call.  `join` need not be commutative in its last bits for the result to be the same
 * each time.  On return no member reads another's memory any more. */
template <int THREADS, class T, class Join> __device__ __forceinline__ T join_all(T v, Join join)
{
    __shared__ T of_warp[32];
    __shared__ T of_block;
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        v = join(v, __shfl_xor_sync(0xffffffffu, v, w));
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x == 0) {
        v = of_warp[0];
        for (int k = 1; k < THREADS / 32; k++)
            v = join(v, of_warp[k]);
        of_block = v;
    }
    sync();
    v = peek(&of_block, 0);
#pragma unroll
    for (int k = 1; k < SIZE; k++)
        v = join(v, peek(&of_block, k));
    sync();
    return v;
}
} // namespace team

#endif
