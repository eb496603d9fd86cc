/* What decides in CUDA graphs, which sets the condition of a body, and of the other one, what tells the time there, and what makes graphs
 * of several devices wait for each other (flag.h).  A module of its own, which is loaded when it is needed: drivers before CUDA 12.3
 * know no conditions. */
#include "gpu/decide.h"
#include "gpu/flag.h"

extern "C" __global__ void tgi_decide(tgi_decision d)
{
    uint64_t n_left = 1;
    if (d.is_loop) {
        n_left = d.n_rounds ? d.n_rounds : d.state->n_left - 1;
        d.state->n_left = n_left;
    }
    bool holds = n_left > 0;
    if (holds && d.tile) {
        holds = false;
        for (uint32_t i = 0; i < d.tile_bytes; i++)
            holds |= d.tile[i] != 0;
    }
    d.state->n_taken[!holds]++;
    cudaGraphSetConditional(d.condition, holds);
    if (d.has_other)
        cudaGraphSetConditional(d.other, !holds);
}

extern "C" __global__ void tgi_stamp(uint64_t *to)
{
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    *to = now;
}

/* release, of the system: all that this device has done before the kernel, and the block before its barrier, is there for whoever sees
 * the flag.  Pairs with is_set(). */
static __device__ void set(const tgi_signal_args &a)
{
    for (uint32_t i = 0; i < a.n; i++)
        asm volatile("st.release.sys.global.u32 [%0], 1;" : : "l"(a.flag[i]) : "memory");
}

extern "C" __global__ void tgi_signal(const __grid_constant__ tgi_signal_args a) { set(a); }

extern "C" __global__ void tgi_push(const __grid_constant__ tgi_push_args a)
{
    uint64_t first = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (uint64_t)gridDim.x * blockDim.x;
    if (((uintptr_t)a.to | (uintptr_t)a.from | a.bytes) % sizeof(uint4) == 0)
        for (uint64_t i = first; i < a.bytes / sizeof(uint4); i += step)
            ((uint4 *)a.to)[i] = ((const uint4 *)a.from)[i];
    else
        for (uint64_t i = first; i < a.bytes; i += step)
            a.to[i] = a.from[i];
    if (a.signal.n == 0)
        return;
    __syncthreads(); /* there is one block */
    if (threadIdx.x == 0)
        set(a.signal);
}

/* acquire: pairs with the release in tgi_signal. */
static __device__ bool is_set(const uint32_t *flag)
{
    uint32_t value;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
    return value != 0;
}

static __device__ uint64_t globaltimer()
{
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    return now;
}

/* Whether to stop waiting.  relaxed: nothing is read after these words that depends on them. */
static __device__ bool is_over(const tgi_await_args &a, uint64_t began)
{
    uint32_t launching;
    asm volatile("ld.relaxed.sys.u32 %0, [%1];" : "=r"(launching) : "l"(&a.words->launching) : "memory");
    if (launching != TGI_LAUNCHING || globaltimer() - began < a.limit_ns)
        return launching == TGI_GIVEN_UP;
    asm volatile("st.relaxed.sys.u32 [%0], %1;" : : "l"(&a.words->missed), "r"(a.number + 1) : "memory");
    return true;
}

extern "C" __global__ void tgi_await(const __grid_constant__ tgi_await_args a)
{
    const uint32_t n_between = 256; /* looks at a flag between two at the host's word, which is far away */
    uint64_t began = 0;
    uint32_t n_looks = 0;
    for (uint32_t i = 0; i < a.n; i++)
        while (!is_set(a.flags + i)) {
            if (++n_looks % n_between)
                continue;
            began = began ? began : globaltimer();
            if (is_over(a, began))
                return;
        }
    for (uint32_t i = 0; i < a.n; i++)
        a.flags[i] = 0;
}
