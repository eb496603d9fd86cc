/* Memory orders and scopes, lanes and clocks: what differs between a GPU and the threads that stand for it in tests.
 *
 * The algorithms (edge.h, body.h, worker.h) are one text over these functions.  On a GPU each is the instruction whose
 * cost docs/RESIDENT.md tells; on a CPU it is a C11 atomic operation through the compiler's builtins, since the words
 * lie in tables that both sides declare alike and _Atomic does not exist in device code.  Orders stand on the
 * operations, so that ThreadSanitizer sees them.
 *
 * A warp is one lane on the CPU.  TGI_DELAY() is where a test may stop a worker for a while. */
#ifndef TGI_GPU_RESIDENT_ORDER_H
#define TGI_GPU_RESIDENT_ORDER_H

#include "mem/resident_program.h"

#ifdef __CUDACC__

#define TGI_FN static __device__ __forceinline__
#define TGI_FN_APART static __device__ __noinline__ /* off the way that matters: a call, so that it is there once */
#define TGI_LANES 32u
#define TGI_DELAY(worker)

TGI_FN uint32_t tgi_lane(void) { return threadIdx.x & 31u; }
TGI_FN void tgi_warp_sync(void) { __syncwarp(); }
TGI_FN bool tgi_warp_any(bool x) { return __any_sync(~0u, x); }
TGI_FN uint64_t tgi_warp_first(uint64_t x) { return __shfl_sync(~0u, (unsigned long long)x, 0); }
TGI_FN uint32_t tgi_warp_ballot(bool x) { return __ballot_sync(~0u, x); }
TGI_FN uint32_t tgi_warp_get(uint32_t x, uint32_t lane) { return __shfl_sync(~0u, x, lane); }
TGI_FN uint32_t tgi_lowest(uint32_t mask) { return (uint32_t)__ffs((int)mask) - 1; }
/* The sum over lanes 0 .. n - 1, in lane 0; the others have nothing of use. */
TGI_FN uint64_t tgi_warp_sum(uint64_t x, uint32_t n)
{
    for (uint32_t d = n > 16 ? 16 : n > 8 ? 8 : n > 4 ? 4 : n > 2 ? 2 : n > 1; d; d >>= 1)
        x += __shfl_down_sync(~0u, (unsigned long long)x, d);
    return x;
}
/* The same in each of lanes 0 .. n - 1; lanes from n on bring zero, and the last of them have nothing of use. */
TGI_FN uint64_t tgi_warp_total(uint64_t x, uint32_t n)
{
    for (uint32_t d = 1; d < n; d <<= 1)
        x += __shfl_xor_sync(~0u, (unsigned long long)x, (int)d);
    return x;
}
TGI_FN uint64_t tgi_warp_xor(uint64_t x, uint32_t bits) { return __shfl_xor_sync(~0u, (unsigned long long)x, (int)bits); }

TGI_FN uint64_t tgi_now_ns(void)
{
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}
TGI_FN void tgi_pause(void) {}
/* The multiprocessor's own counter, which is at hand; the clock is not, and its steps are some ten nanoseconds. */
TGI_FN uint64_t tgi_cycles(void) { return (uint64_t)clock64(); }
/* At most so long: a cycle is less than a nanosecond. */
TGI_FN void tgi_let_pass(uint32_t ns)
{
    uint32_t since = (uint32_t)clock64();
    while (ns > 64 && (uint32_t)clock64() - since < ns)
        ;
}

TGI_FN uint32_t tgi_load_relaxed(const uint32_t *p)
{
    uint32_t x;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(x) : "l"(__cvta_generic_to_global(p)) : "memory");
    return x;
}
TGI_FN uint32_t tgi_load_acquire(const uint32_t *p)
{
    uint32_t x;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(x) : "l"(__cvta_generic_to_global(p)) : "memory");
    return x;
}
TGI_FN void tgi_store_relaxed(uint32_t *p, uint32_t x)
{
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
TGI_FN void tgi_store_release(uint32_t *p, uint32_t x)
{
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
TGI_FN void tgi_add_release(uint32_t *p, uint32_t x)
{
    asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
/* Of a word that another device may write. */
TGI_FN uint32_t tgi_far_load_relaxed(const uint32_t *p)
{
    uint32_t x;
    asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(x) : "l"(__cvta_generic_to_global(p)) : "memory");
    return x;
}
TGI_FN uint32_t tgi_exchange(uint32_t *p, uint32_t x)
{
    uint32_t was;
    asm volatile("atom.relaxed.gpu.global.exch.b32 %0, [%1], %2;"
                 : "=r"(was)
                 : "l"(__cvta_generic_to_global(p)), "r"(x)
                 : "memory");
    return was;
}

#define TGI_FETCH(name, order, op)                                                                             \
    TGI_FN uint32_t name(uint32_t *p, uint32_t x)                                                              \
    {                                                                                                          \
        uint32_t was;                                                                                          \
        asm volatile("atom." order ".gpu.global." op " %0, [%1], %2;"                                          \
                     : "=r"(was)                                                                               \
                     : "l"(__cvta_generic_to_global(p)), "r"(x)                                                \
                     : "memory");                                                                              \
        return was;                                                                                            \
    }
TGI_FETCH(tgi_fetch_add_relaxed, "relaxed", "add.u32")
TGI_FETCH(tgi_fetch_add_acq_rel, "acq_rel", "add.u32")
TGI_FETCH(tgi_fetch_or_acq_rel, "acq_rel", "or.b32")
TGI_FETCH(tgi_fetch_and_acq_rel, "acq_rel", "and.b32")
#undef TGI_FETCH
TGI_FN void tgi_add_wide(uint64_t *p, uint64_t x)
{
    asm volatile("red.relaxed.gpu.global.add.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "l"(x) : "memory");
}

/* Shared memory of the block. */
TGI_FN uint32_t tgi_shared_load_acquire(const uint32_t *p)
{
    uint32_t x;
    asm volatile("ld.acquire.cta.shared.u32 %0, [%1];"
                 : "=r"(x)
                 : "r"((uint32_t)__cvta_generic_to_shared(p))
                 : "memory");
    return x;
}
TGI_FN void tgi_shared_add_release(uint32_t *p, uint32_t x)
{
    asm volatile("red.release.cta.shared.add.u32 [%0], %1;" ::"r"((uint32_t)__cvta_generic_to_shared(p)), "r"(x)
                 : "memory");
}

TGI_FN void tgi_shared_store_release(uint32_t *p, uint32_t x)
{
    asm volatile("st.release.cta.shared.u32 [%0], %1;" ::"r"((uint32_t)__cvta_generic_to_shared(p)), "r"(x) : "memory");
}
#define TGI_SHARED_FETCH(name, op)                                                                             \
    TGI_FN uint32_t name(uint32_t *p, uint32_t x)                                                              \
    {                                                                                                          \
        uint32_t was;                                                                                          \
        asm volatile("atom.relaxed.cta.shared." op " %0, [%1], %2;"                                            \
                     : "=r"(was)                                                                               \
                     : "r"((uint32_t)__cvta_generic_to_shared(p)), "r"(x)                                      \
                     : "memory");                                                                              \
        return was;                                                                                            \
    }
TGI_SHARED_FETCH(tgi_shared_fetch_add_relaxed, "add.u32")
TGI_SHARED_FETCH(tgi_shared_fetch_or_relaxed, "or.b32")
#undef TGI_SHARED_FETCH

/* Cells as a whole: nothing lies behind them, so no order is needed. */
TGI_FN void tgi_cell_load(const struct tgi_cell *c, uint64_t *data, uint64_t *tail)
{
    asm volatile("{.reg .b128 q; ld.relaxed.gpu.global.b128 q, [%2]; mov.b128 {%0, %1}, q;}"
                 : "=l"(*data), "=l"(*tail)
                 : "l"(__cvta_generic_to_global(c))
                 : "memory");
}
TGI_FN void tgi_cell_store(struct tgi_cell *c, uint64_t data, uint64_t tail)
{
    asm volatile("{.reg .b128 q; mov.b128 q, {%1, %2}; st.relaxed.gpu.global.b128 [%0], q;}" ::"l"(
                     __cvta_generic_to_global(c)),
                 "l"(data), "l"(tail)
                 : "memory");
}
TGI_FN void tgi_shared_cell_load(const struct tgi_cell *c, uint64_t *data, uint64_t *tail)
{
    asm volatile("{.reg .b128 q; ld.relaxed.cta.shared.b128 q, [%2]; mov.b128 {%0, %1}, q;}"
                 : "=l"(*data), "=l"(*tail)
                 : "r"((uint32_t)__cvta_generic_to_shared(c))
                 : "memory");
}
TGI_FN void tgi_shared_cell_store(struct tgi_cell *c, uint64_t data, uint64_t tail)
{
    asm volatile("{.reg .b128 q; mov.b128 q, {%1, %2}; st.relaxed.cta.shared.b128 [%0], q;}" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(c)),
                 "l"(data), "l"(tail)
                 : "memory");
}

#else

#include <sched.h>
#include <time.h>
#include <stdbool.h>
#include <time.h>

#define TGI_FN static inline
#define TGI_FN_APART static inline
#define TGI_LANES 1u
#ifndef TGI_DELAY
#define TGI_DELAY(worker)
#endif

/* tests/fences.sh takes them away, one at a time, and sees that it is noticed. */
#ifndef TGI_ACQUIRE
#define TGI_ACQUIRE __ATOMIC_ACQUIRE
#endif
#ifndef TGI_RELEASE
#define TGI_RELEASE __ATOMIC_RELEASE
#endif
#ifndef TGI_ACQ_REL
#define TGI_ACQ_REL __ATOMIC_ACQ_REL
#endif

TGI_FN uint32_t tgi_lane(void) { return 0; }
TGI_FN void tgi_warp_sync(void) {}
TGI_FN bool tgi_warp_any(bool x) { return x; }
TGI_FN uint64_t tgi_warp_first(uint64_t x) { return x; }
TGI_FN uint32_t tgi_warp_ballot(bool x) { return x; }
TGI_FN uint32_t tgi_warp_get(uint32_t x, uint32_t lane)
{
    (void)lane;
    return x;
}
TGI_FN uint32_t tgi_lowest(uint32_t mask) { return (uint32_t)__builtin_ctz(mask); }
TGI_FN uint64_t tgi_warp_sum(uint64_t x, uint32_t n)
{
    (void)n;
    return x;
}
TGI_FN uint64_t tgi_warp_total(uint64_t x, uint32_t n) { return tgi_warp_sum(x, n); }

/* A GPU's clock has no zero in common with the host's, so neither has this one. */
#define TGI_CLOCK_AHEAD_NS 1000000000000000u
TGI_FN uint64_t tgi_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return TGI_CLOCK_AHEAD_NS + (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
TGI_FN uint64_t tgi_cycles(void) { return tgi_now_ns(); }
/* Workers may outnumber processors by far. */
TGI_FN void tgi_pause(void) { sched_yield(); }
TGI_FN void tgi_let_pass(uint32_t ns)
{
    struct timespec t = {0, ns};
    if (ns >= 1000)
        nanosleep(&t, NULL);
}

TGI_FN uint32_t tgi_load_relaxed(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
TGI_FN uint32_t tgi_load_acquire(const uint32_t *p) { return __atomic_load_n(p, TGI_ACQUIRE); }
TGI_FN uint32_t tgi_far_load_relaxed(const uint32_t *p) { return tgi_load_relaxed(p); }
TGI_FN void tgi_store_relaxed(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
TGI_FN void tgi_store_release(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, TGI_RELEASE); }
TGI_FN void tgi_add_release(uint32_t *p, uint32_t x) { __atomic_fetch_add(p, x, TGI_RELEASE); }
TGI_FN uint32_t tgi_exchange(uint32_t *p, uint32_t x) { return __atomic_exchange_n(p, x, __ATOMIC_RELAXED); }
TGI_FN uint32_t tgi_fetch_add_relaxed(uint32_t *p, uint32_t x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
TGI_FN uint32_t tgi_fetch_add_acq_rel(uint32_t *p, uint32_t x) { return __atomic_fetch_add(p, x, TGI_ACQ_REL); }
TGI_FN uint32_t tgi_fetch_or_acq_rel(uint32_t *p, uint32_t x) { return __atomic_fetch_or(p, x, TGI_ACQ_REL); }
TGI_FN uint32_t tgi_fetch_and_acq_rel(uint32_t *p, uint32_t x) { return __atomic_fetch_and(p, x, TGI_ACQ_REL); }
TGI_FN void tgi_add_wide(uint64_t *p, uint64_t x) { __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
TGI_FN uint32_t tgi_shared_load_acquire(const uint32_t *p) { return tgi_load_acquire(p); }
TGI_FN void tgi_shared_add_release(uint32_t *p, uint32_t x) { tgi_add_release(p, x); }
TGI_FN void tgi_shared_store_release(uint32_t *p, uint32_t x) { tgi_store_release(p, x); }
TGI_FN uint32_t tgi_shared_fetch_add_relaxed(uint32_t *p, uint32_t x) { return tgi_fetch_add_relaxed(p, x); }
TGI_FN uint32_t tgi_shared_fetch_or_relaxed(uint32_t *p, uint32_t x) { return __atomic_fetch_or(p, x, __ATOMIC_RELAXED); }

/* Sixteen bytes at once are not to be had in C11: the tail, which has the epoch, is stored last with release and loaded
 * first with acquire. */
TGI_FN void tgi_cell_load(const struct tgi_cell *c, uint64_t *data, uint64_t *tail)
{
    *tail = __atomic_load_n(&c->tail, TGI_ACQUIRE);
    *data = __atomic_load_n(&c->data, __ATOMIC_RELAXED);
}
TGI_FN void tgi_cell_store(struct tgi_cell *c, uint64_t data, uint64_t tail)
{
    __atomic_store_n(&c->data, data, __ATOMIC_RELAXED);
    __atomic_store_n(&c->tail, tail, TGI_RELEASE);
}
TGI_FN void tgi_shared_cell_load(const struct tgi_cell *c, uint64_t *data, uint64_t *tail)
{
    tgi_cell_load(c, data, tail);
}
TGI_FN void tgi_shared_cell_store(struct tgi_cell *c, uint64_t data, uint64_t tail) { tgi_cell_store(c, data, tail); }

#endif

TGI_FN uint64_t tgi_warp_word(uint64_t x, uint32_t lane)
{
    return (uint64_t)tgi_warp_get((uint32_t)(x >> 32), lane) << 32 | tgi_warp_get((uint32_t)x, lane);
}

#endif
