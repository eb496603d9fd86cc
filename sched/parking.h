/* Where workers without work sleep, and how they are woken.
 *
 * The race to exclude: a worker looks for work and finds none; another publishes work, looks for
 * sleepers and finds none; the first goes to sleep.  The sleeper announces itself, then issues a
 * barrier on both sides, then looks once more; the publisher publishes, then reads the
 * announcement.  The barrier on both sides is membarrier(2), which makes every running thread of
 * the process execute a full fence, so that the publisher, on the hot path, needs a compiler
 * barrier only.  Where the system has no membarrier, both sides execute a fence. */
#ifndef TGI_SCHED_PARKING_H
#define TGI_SCHED_PARKING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct tgi_parking {
    /* Announced workers; a bit is set by its worker and cleared by whoever claims it. */
    _Atomic uint64_t *asleep;
    uint32_t n_words;
    bool has_membarrier;
    /* Number of set bits, never less while a worker is about to sleep. */
    _Alignas(64) _Atomic uint32_t n_asleep;
};

/* One per worker, on a line of its own: 1 once the worker has been woken. */
struct tgi_parking_seat {
    _Alignas(64) _Atomic uint32_t is_called;
};

bool tgi_parking_init(struct tgi_parking *p, uint32_t n_workers);
void tgi_parking_fini(struct tgi_parking *p);

/* Announces worker w.  Afterwards the caller must look for work once more. */
void tgi_parking_announce(struct tgi_parking *p, uint32_t w);
/* Takes the announcement back; false if somebody has claimed w already: then a call is under way
 * or the seat has been taken over. */
bool tgi_parking_claim(struct tgi_parking *p, uint32_t w);
/* Claims any announced worker, the lowest first; UINT32_MAX: none. */
uint32_t tgi_parking_claim_any(struct tgi_parking *p);
/* Sleeps until called; consumes the call. */
void tgi_parking_sleep(struct tgi_parking_seat *seat);
/* Calls a worker that was claimed. */
void tgi_parking_call(struct tgi_parking_seat *seat);

/* To be called after work was published: true if somebody may be asleep. */
static inline bool tgi_parking_is_needed(struct tgi_parking *p)
{
    if (__builtin_expect(p->has_membarrier, 1))
        atomic_signal_fence(memory_order_seq_cst); /* pairs with membarrier in announce */
    else
        atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in announce */
    return atomic_load_explicit(&p->n_asleep, memory_order_relaxed) != 0;
}

#endif
