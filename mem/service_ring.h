/* Rings between the host and a kernel that stays, one for each direction, in host memory that both reach.  One text for
 * both sides; what differs is how a word is loaded and stored at the scope of the system.
 *
 * One producer, one consumer, and each keeps its own position, which nobody else reads.  A slot begins with one word, and this
 * says everything: which lap of the ring it belongs to, a tag, a code and how many bytes follow.  The producer writes the
 * bytes and then the word, with release; the consumer loads the word of the slot it is at, with acquire, until its lap is
 * there.
 *
 * Why there is no doorbell beside the slots: every load of host memory takes the GPU a microsecond, and a doorbell would make it
 * two, one for the bell and one for what it announces.  What a doorbell would announce for many messages at a time is seen
 * for many at a time as well, as the lanes of the consumer's warp look at neighbouring slots at once.
 *
 * Why no position is ever told to the other side: there is room in both rings by the host's count.  The host sends the
 * message at position p only when the answer to the one at p - capacity has been received (sched/service.h), which was taken
 * from its slot before it was answered.  And there are never more answers on their way than messages that wait for one.
 *
 * Laps are told apart by seven bits, though one would do: a slot's word is of this lap or of the one before.  0 is of none. */
#ifndef TGI_MEM_SERVICE_RING_H
#define TGI_MEM_SERVICE_RING_H

#include <stdbool.h>
#include <stdint.h>

struct tgi_service_ring {
    unsigned char *slots;
    uint32_t capacity; /* a power of two, 2 to 65536 */
    uint32_t shift;    /* its logarithm: a GPU has no division */
    uint32_t stride;   /* bytes of a slot, a multiple of 64 */
};

enum { TGI_SERVICE_SLOT_HEAD = 16 }; /* bytes of a slot before its message */

/* tag << 32 | lap << 24 | code << 16 | bytes */
#define TGI_SERVICE_TAG(word)   ((uint32_t)((word) >> 32))
#define TGI_SERVICE_CODE(word)  ((uint32_t)(word) >> 16 & 0xffu)
#define TGI_SERVICE_BYTES(word) ((uint32_t)(word) & 0xffffu)

#ifdef __CUDACC__

#define TGI_SYS_FN static __device__ __forceinline__

TGI_SYS_FN uint64_t tgi_sys_load_relaxed(const uint64_t *p)
{
    uint64_t x;
    asm volatile("ld.relaxed.sys.u64 %0, [%1];" : "=l"(x) : "l"(p) : "memory");
    return x;
}
TGI_SYS_FN uint64_t tgi_sys_load_acquire(const uint64_t *p)
{
    uint64_t x;
    asm volatile("ld.acquire.sys.u64 %0, [%1];" : "=l"(x) : "l"(p) : "memory");
    return x;
}
TGI_SYS_FN void tgi_sys_store_relaxed(uint64_t *p, uint64_t x)
{
    asm volatile("st.relaxed.sys.u64 [%0], %1;" ::"l"(p), "l"(x) : "memory");
}
TGI_SYS_FN void tgi_sys_store_release(uint64_t *p, uint64_t x)
{
    asm volatile("st.release.sys.u64 [%0], %1;" ::"l"(p), "l"(x) : "memory");
}
/* Between a store and a load of another word, on both sides: not both loads can miss the other's store. */
TGI_SYS_FN void tgi_sys_store_seq_cst(uint64_t *p, uint64_t x)
{
    asm volatile("fence.sc.sys; st.relaxed.sys.u64 [%0], %1; fence.sc.sys;" ::"l"(p), "l"(x) : "memory");
}
TGI_SYS_FN uint64_t tgi_sys_load_seq_cst(const uint64_t *p)
{
    uint64_t x;
    asm volatile("fence.sc.sys; ld.acquire.sys.u64 %0, [%1];" : "=l"(x) : "l"(p) : "memory");
    return x;
}

#else

#define TGI_SYS_FN static inline

/* Slots that are zero. */
static inline struct tgi_service_ring tgi_service_ring_of(unsigned char *slots, uint32_t capacity, uint32_t stride)
{
    return (struct tgi_service_ring){slots, capacity, (uint32_t)__builtin_ctz(capacity), stride};
}

/* tests/fences.sh takes them away, one at a time, and sees that it is noticed. */
#ifndef TGI_SYS_ACQUIRE
#define TGI_SYS_ACQUIRE __ATOMIC_ACQUIRE
#endif
#ifndef TGI_SYS_RELEASE
#define TGI_SYS_RELEASE __ATOMIC_RELEASE
#endif

TGI_SYS_FN uint64_t tgi_sys_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
TGI_SYS_FN uint64_t tgi_sys_load_acquire(const uint64_t *p) { return __atomic_load_n(p, TGI_SYS_ACQUIRE); }
TGI_SYS_FN void tgi_sys_store_relaxed(uint64_t *p, uint64_t x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
TGI_SYS_FN void tgi_sys_store_release(uint64_t *p, uint64_t x) { __atomic_store_n(p, x, TGI_SYS_RELEASE); }
TGI_SYS_FN void tgi_sys_store_seq_cst(uint64_t *p, uint64_t x) { __atomic_store_n(p, x, __ATOMIC_SEQ_CST); }
TGI_SYS_FN uint64_t tgi_sys_load_seq_cst(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }

#endif

TGI_SYS_FN uint64_t *tgi_service_ring_word(const struct tgi_service_ring *r, uint32_t position)
{
    return (uint64_t *)(r->slots + (uint64_t)(position & (r->capacity - 1)) * r->stride);
}
TGI_SYS_FN unsigned char *tgi_service_ring_bytes(const struct tgi_service_ring *r, uint32_t position)
{
    return (unsigned char *)tgi_service_ring_word(r, position) + TGI_SERVICE_SLOT_HEAD;
}

TGI_SYS_FN uint32_t tgi_service_ring_lap(const struct tgi_service_ring *r, uint32_t position)
{
    return (position >> r->shift & 127u) | 128u;
}

/* The word that announces a message at a position. */
TGI_SYS_FN uint64_t tgi_service_ring_make(const struct tgi_service_ring *r, uint32_t position, uint32_t tag, uint32_t code,
                                          uint32_t n_bytes)
{
    return (uint64_t)tag << 32 | tgi_service_ring_lap(r, position) << 24 | code << 16 | n_bytes;
}

/* Whether a word that was loaded from a position's slot announces its message. */
TGI_SYS_FN bool tgi_service_ring_is_at(const struct tgi_service_ring *r, uint32_t position, uint64_t word)
{
    return ((uint32_t)word >> 24) == tgi_service_ring_lap(r, position);
}

#endif
