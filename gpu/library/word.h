/* Words of 32 and 64 bits that several workers use, at generic addresses: shared or global memory alike.
 *
 * Beyond gpu/resident/order.h, whose functions know that they are in global memory, the device library needs
 * compare-and-swap, maxima and 64 bits.  As there, orders stand on the operations; the scope is the GPU.  Those that change a
 * word give back what was there. */
#ifndef TGD_WORD_H
#define TGD_WORD_H

#include "gpu/resident/order.h"

#ifdef __CUDACC__

#define TGI_WORD_LOAD(name, type, order, suffix, to)                                                    \
    TGI_FN type name(const type *p)                                                                     \
    {                                                                                                   \
        type x;                                                                                         \
        asm volatile("ld." order ".gpu." suffix " %0, [%1];" : "=" to(x) : "l"(p) : "memory");          \
        return x;                                                                                       \
    }
#define TGI_WORD_STORE(name, type, order, suffix, to)                                                   \
    TGI_FN void name(type *p, type x)                                                                   \
    {                                                                                                   \
        asm volatile("st." order ".gpu." suffix " [%0], %1;" ::"l"(p), to(x) : "memory");               \
    }
#define TGI_WORD_FETCH(name, type, order, op, to)                                                       \
    TGI_FN type name(type *p, type x)                                                                   \
    {                                                                                                   \
        type was;                                                                                       \
        asm volatile("atom." order ".gpu." op " %0, [%1], %2;" : "=" to(was) : "l"(p), to(x) : "memory"); \
        return was;                                                                                     \
    }
/* Changed only if it is `from`. */
#define TGI_WORD_SWAP(name, type, order, suffix, to)                                                    \
    TGI_FN type name(type *p, type from, type into)                                                     \
    {                                                                                                   \
        type was;                                                                                       \
        asm volatile("atom." order ".gpu.cas." suffix " %0, [%1], %2, %3;"                              \
                     : "=" to(was)                                                                      \
                     : "l"(p), to(from), to(into)                                                       \
                     : "memory");                                                                       \
        return was;                                                                                     \
    }

TGI_WORD_LOAD(tgi_word_load_relaxed, uint32_t, "relaxed", "u32", "r")
TGI_WORD_LOAD(tgi_word_load_acquire, uint32_t, "acquire", "u32", "r")
TGI_WORD_STORE(tgi_word_store_relaxed, uint32_t, "relaxed", "u32", "r")
TGI_WORD_STORE(tgi_word_store_release, uint32_t, "release", "u32", "r")
/* For the host too, which may look while the kernel runs. */
TGI_FN void tgi_word_store_release_system(uint32_t *p, uint32_t x)
{
    asm volatile("st.release.sys.u32 [%0], %1;" ::"l"(p), "r"(x) : "memory");
}
TGI_WORD_FETCH(tgi_word_add_relaxed, uint32_t, "relaxed", "add.u32", "r")
TGI_WORD_FETCH(tgi_word_add_acq_rel, uint32_t, "acq_rel", "add.u32", "r")
TGI_WORD_FETCH(tgi_word_or_acq_rel, uint32_t, "acq_rel", "or.b32", "r")
TGI_WORD_FETCH(tgi_word_and_acq_rel, uint32_t, "acq_rel", "and.b32", "r")
TGI_WORD_FETCH(tgi_word_exchange_acq_rel, uint32_t, "acq_rel", "exch.b32", "r")
TGI_WORD_SWAP(tgi_word_swap_relaxed, uint32_t, "relaxed", "b32", "r")
TGI_WORD_SWAP(tgi_word_swap_acq_rel, uint32_t, "acq_rel", "b32", "r")
TGI_WORD_LOAD(tgi_wide_load_relaxed, uint64_t, "relaxed", "u64", "l")
TGI_WORD_STORE(tgi_wide_store_relaxed, uint64_t, "relaxed", "u64", "l")
TGI_WORD_FETCH(tgi_wide_add_relaxed, uint64_t, "relaxed", "add.u64", "l")
TGI_WORD_FETCH(tgi_wide_max_relaxed, uint64_t, "relaxed", "max.u64", "l")
TGI_WORD_SWAP(tgi_wide_swap_relaxed, uint64_t, "relaxed", "b64", "l")
#undef TGI_WORD_LOAD
#undef TGI_WORD_STORE
#undef TGI_WORD_FETCH
#undef TGI_WORD_SWAP

TGI_FN uint32_t tgi_count_ones(uint32_t x) { return (uint32_t)__popc(x); }
TGI_FN uint64_t tgi_warp_get_wide(uint64_t x, uint32_t lane) { return __shfl_sync(~0u, (unsigned long long)x, lane); }
TGI_FN uint64_t tgi_warp_swapped(uint64_t x, uint32_t distance)
{
    return __shfl_xor_sync(~0u, (unsigned long long)x, distance);
}
/* The sum over the lanes before this one; *total_p: over all. */
TGI_FN uint64_t tgi_warp_before(uint64_t x, uint64_t *total_p)
{
    uint64_t sum = x;
    for (uint32_t d = 1; d < TGI_LANES; d *= 2) {
        uint64_t below = __shfl_up_sync(~0u, (unsigned long long)sum, d);
        if (tgi_lane() >= d)
            sum += below;
    }
    *total_p = tgi_warp_get_wide(sum, TGI_LANES - 1);
    return sum - x;
}
TGI_FN uint32_t tgi_warp_or(uint32_t x) { return __reduce_or_sync(~0u, x); }
/* Over the lanes with the same key; *is_first_p: whether this lane is the first of them. */
TGI_FN uint32_t tgi_warp_or_alike(uint32_t key, uint32_t x, bool *is_first_p)
{
    uint32_t alike = __match_any_sync(~0u, key);
    *is_first_p = tgi_lowest(alike) == tgi_lane();
    return __reduce_or_sync(alike, x);
}
/* A quotient without a remainder, below 2^20. */
TGI_FN uint32_t tgi_exact_quotient(uint32_t x, uint32_t y) { return (uint32_t)(__fdividef((float)x, (float)y) + 0.5f); }
TGI_FN void tgi_sleep(uint32_t ns) { __nanosleep(ns); }

#else

TGI_FN uint32_t tgi_word_load_relaxed(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
TGI_FN uint32_t tgi_word_load_acquire(const uint32_t *p) { return __atomic_load_n(p, TGI_ACQUIRE); }
TGI_FN void tgi_word_store_relaxed(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
TGI_FN void tgi_word_store_release(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, TGI_RELEASE); }
TGI_FN void tgi_word_store_release_system(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, TGI_RELEASE); }
TGI_FN uint32_t tgi_word_add_relaxed(uint32_t *p, uint32_t x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
TGI_FN uint32_t tgi_word_add_acq_rel(uint32_t *p, uint32_t x) { return __atomic_fetch_add(p, x, TGI_ACQ_REL); }
TGI_FN uint32_t tgi_word_or_acq_rel(uint32_t *p, uint32_t x) { return __atomic_fetch_or(p, x, TGI_ACQ_REL); }
TGI_FN uint32_t tgi_word_and_acq_rel(uint32_t *p, uint32_t x) { return __atomic_fetch_and(p, x, TGI_ACQ_REL); }
TGI_FN uint32_t tgi_word_exchange_acq_rel(uint32_t *p, uint32_t x) { return __atomic_exchange_n(p, x, TGI_ACQ_REL); }
TGI_FN uint32_t tgi_word_swap_relaxed(uint32_t *p, uint32_t from, uint32_t into)
{
    __atomic_compare_exchange_n(p, &from, into, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return from;
}
TGI_FN uint32_t tgi_word_swap_acq_rel(uint32_t *p, uint32_t from, uint32_t into)
{
    __atomic_compare_exchange_n(p, &from, into, false, TGI_ACQ_REL, __ATOMIC_RELAXED);
    return from;
}
TGI_FN uint64_t tgi_wide_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
TGI_FN void tgi_wide_store_relaxed(uint64_t *p, uint64_t x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
TGI_FN uint64_t tgi_wide_add_relaxed(uint64_t *p, uint64_t x) { return __atomic_fetch_add(p, x, __ATOMIC_RELAXED); }
TGI_FN uint64_t tgi_wide_swap_relaxed(uint64_t *p, uint64_t from, uint64_t into)
{
    __atomic_compare_exchange_n(p, &from, into, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return from;
}
TGI_FN uint64_t tgi_wide_max_relaxed(uint64_t *p, uint64_t x)
{
    uint64_t was = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (was < x && !__atomic_compare_exchange_n(p, &was, x, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    return was;
}

TGI_FN uint32_t tgi_count_ones(uint32_t x) { return (uint32_t)__builtin_popcount(x); }
TGI_FN uint64_t tgi_warp_get_wide(uint64_t x, uint32_t lane)
{
    (void)lane;
    return x;
}
TGI_FN uint64_t tgi_warp_swapped(uint64_t x, uint32_t distance)
{
    (void)distance;
    return x;
}
TGI_FN uint64_t tgi_warp_before(uint64_t x, uint64_t *total_p)
{
    *total_p = x;
    return 0;
}
TGI_FN uint32_t tgi_warp_or(uint32_t x) { return x; }
TGI_FN uint32_t tgi_warp_or_alike(uint32_t key, uint32_t x, bool *is_first_p)
{
    (void)key;
    *is_first_p = true;
    return x;
}
TGI_FN uint32_t tgi_exact_quotient(uint32_t x, uint32_t y) { return x / y; }
TGI_FN void tgi_sleep(uint32_t ns)
{
    (void)ns;
    sched_yield();
}

#endif

/* The n-th bit that is set, from 0; there must be so many. */
TGI_FN uint32_t tgi_nth_bit(uint32_t x, uint32_t n)
{
    uint32_t at = 0;
    for (uint32_t half = 16; half; half /= 2) {
        uint32_t below = tgi_count_ones(x & ((1u << half) - 1));
        if (n >= below) {
            n -= below;
            at += half;
            x >>= half;
        }
    }
    return at;
}

/* How many lanes from the first one on have it. */
TGI_FN uint32_t tgi_leading(uint32_t ballot) { return ballot == ~0u ? 32 : tgi_lowest(~ballot); }

#endif
