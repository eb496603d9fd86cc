/* A bounded ring with both ends in one word.
 *
 * One worker puts tasks in at the tail, anybody takes from the head, several at a time.  A taker reads the slots
 * first and then moves the head by compare-and-swap on the whole word.  Both ends only grow, so if the word is what it
 * was, no slot between them has been written since: the owner writes a slot anew only after it has seen a head beyond
 * it.  A swap that fails says that an end has moved, and what was read is forgotten.
 *
 * Orders.  The owner's addition to the tail releases the slots and all that the tasks depend on; it pairs with the acquire of the
 * word by takers, whose swap, having succeeded, has read the same word again.  Slots are relaxed atomics, since a
 * taker that is about to fail may read one while it is written.  The owner reads the head with acquire before it writes
 * a slot; this pairs with the release of the taker's swap, so that the taker's reads are over.
 *
 * The same text serves rings in shared and in global memory, by generic addresses.  tests/model/resident_ring.pml
 * explores it. */
#ifndef TGI_GPU_RESIDENT_RING_H
#define TGI_GPU_RESIDENT_RING_H

#include "gpu/resident/order.h"
#include "mem/resident_dynamic.h"

#define TGI_RING_HEAD(ends) ((uint32_t)(ends))
#define TGI_RING_TAIL(ends) ((uint32_t)((ends) >> 32))
#define TGI_RING_SIZE(ends) (TGI_RING_TAIL(ends) - TGI_RING_HEAD(ends))

#ifdef __CUDACC__
/* `is_near`: only workers of one block use the ring, which lies in its shared memory.  Known where this is compiled.  At the
 * scope of a block an acquire leaves the cache as it is and a release waits for nobody; that others see what
 * predecessors in other blocks have left is due to how the task became ready. */
TGI_FN uint64_t tgi_ends_load(const struct tgi_ring *r, bool is_near)
{
    uint64_t x;
    if (is_near)
        asm volatile("ld.acquire.cta.u64 %0, [%1];" : "=l"(x) : "l"(&r->ends) : "memory");
    else
        asm volatile("ld.acquire.gpu.u64 %0, [%1];" : "=l"(x) : "l"(&r->ends) : "memory");
    return x;
}
TGI_FN uint64_t tgi_ends_hint(const struct tgi_ring *r)
{
    uint64_t x;
    asm volatile("ld.relaxed.gpu.u64 %0, [%1];" : "=l"(x) : "l"(&r->ends) : "memory");
    return x;
}
TGI_FN void tgi_ends_add(struct tgi_ring *r, uint64_t x, bool is_near)
{
    if (is_near)
        asm volatile("red.release.cta.add.u64 [%0], %1;" ::"l"(&r->ends), "l"(x) : "memory");
    else
        asm volatile("red.release.gpu.add.u64 [%0], %1;" ::"l"(&r->ends), "l"(x) : "memory");
}
TGI_FN bool tgi_ends_swap(struct tgi_ring *r, uint64_t from, uint64_t to, bool is_near)
{
    uint64_t was;
    if (is_near)
        asm volatile("atom.acq_rel.cta.cas.b64 %0, [%1], %2, %3;"
                     : "=l"(was)
                     : "l"(&r->ends), "l"(from), "l"(to)
                     : "memory");
    else
        asm volatile("atom.acq_rel.gpu.cas.b64 %0, [%1], %2, %3;"
                     : "=l"(was)
                     : "l"(&r->ends), "l"(from), "l"(to)
                     : "memory");
    return was == from;
}
TGI_FN uint32_t tgi_slot_load(const uint32_t *p)
{
    uint32_t x;
    asm volatile("ld.relaxed.gpu.u32 %0, [%1];" : "=r"(x) : "l"(p) : "memory");
    return x;
}
TGI_FN void tgi_slot_store(uint32_t *p, uint32_t x)
{
    asm volatile("st.relaxed.gpu.u32 [%0], %1;" ::"l"(p), "r"(x) : "memory");
}
#else
TGI_FN uint64_t tgi_ends_load(const struct tgi_ring *r, bool is_near)
{
    (void)is_near;
    return __atomic_load_n(&r->ends, TGI_ACQUIRE);
}
TGI_FN uint64_t tgi_ends_hint(const struct tgi_ring *r) { return __atomic_load_n(&r->ends, __ATOMIC_RELAXED); }
TGI_FN void tgi_ends_add(struct tgi_ring *r, uint64_t x, bool is_near)
{
    (void)is_near;
    __atomic_fetch_add(&r->ends, x, TGI_RELEASE);
}
TGI_FN bool tgi_ends_swap(struct tgi_ring *r, uint64_t from, uint64_t to, bool is_near)
{
    (void)is_near;
    return __atomic_compare_exchange_n(&r->ends, &from, to, false, TGI_ACQ_REL, __ATOMIC_RELAXED);
}
TGI_FN uint32_t tgi_slot_load(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
TGI_FN void tgi_slot_store(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
#endif

/* The owner, one lane.  False: there is no room. */
TGI_FN bool tgi_ring_put(struct tgi_ring *r, bool is_near, uint32_t *slots, uint32_t capacity, uint32_t task)
{
    uint64_t ends = tgi_ends_load(r, is_near);
    if (TGI_RING_SIZE(ends) == capacity)
        return false;
    tgi_slot_store(&slots[TGI_RING_TAIL(ends) & (capacity - 1)], task);
    tgi_ends_add(r, (uint64_t)1 << 32, is_near);
    return true;
}

/* Anybody, one lane.  At most n tasks, the oldest first; how many.  The first is returned by *task_p, the others are laid
 * behind the tail of the taker's own ring, where there must be room for them, and the taker publishes them there with
 * tgi_ring_publish().  0: none, or another was faster. */
TGI_FN uint32_t tgi_ring_take(struct tgi_ring *r, bool is_near, const uint32_t *slots, uint32_t capacity, uint32_t n,
                              uint32_t *task_p, uint32_t *own_slots, uint32_t own_tail, uint32_t own_capacity)
{
    uint64_t ends = tgi_ends_load(r, is_near);
    uint32_t head = TGI_RING_HEAD(ends), size = TGI_RING_SIZE(ends), task = 0;
    n = n < (size + 1) / 2 ? n : (size + 1) / 2;
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t x = tgi_slot_load(&slots[(head + i) & (capacity - 1)]);
        if (i == 0)
            task = x;
        else
            tgi_slot_store(&own_slots[(own_tail + i - 1) & (own_capacity - 1)], x);
    }
    /* Not an addition: a carry out of the head would reach the tail. */
    if (!tgi_ends_swap(r, ends, (ends & ~(uint64_t)UINT32_MAX) | (uint32_t)(head + n), is_near))
        return 0;
    *task_p = task;
    return n;
}

TGI_FN void tgi_ring_publish(struct tgi_ring *r, bool is_near, uint32_t n)
{
    if (n)
        tgi_ends_add(r, (uint64_t)n << 32, is_near);
}

#endif
