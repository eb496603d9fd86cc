#include "sched/parking.h"

#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sched/futex.h"

bool tgi_parking_init(struct tgi_parking *p, uint32_t n_workers)
{
    p->n_words = (n_workers + 63) / 64;
    p->asleep = calloc(p->n_words, sizeof *p->asleep);
    p->has_membarrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    atomic_init(&p->n_asleep, 0);
    return p->asleep != NULL;
}

void tgi_parking_fini(struct tgi_parking *p)
{
    free(p->asleep);
}

void tgi_parking_announce(struct tgi_parking *p, uint32_t w)
{
    atomic_fetch_add_explicit(&p->n_asleep, 1, memory_order_relaxed); /* ordered by the barrier below */
    /* release: who claims us and takes over our place sees our deques as we left them.  acquire: if
     * somebody tried to claim us just before, we see what that was about. */
    atomic_fetch_or_explicit(&p->asleep[w / 64], (uint64_t)1 << (w % 64), memory_order_acq_rel);
    if (p->has_membarrier)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    else
        atomic_thread_fence(memory_order_seq_cst);
}

bool tgi_parking_claim(struct tgi_parking *p, uint32_t w)
{
    uint64_t bit = (uint64_t)1 << (w % 64);
    /* acquire: pairs with the release in announce. */
    if (!(atomic_fetch_and_explicit(&p->asleep[w / 64], ~bit, memory_order_acq_rel) & bit))
        return false;
    atomic_fetch_sub_explicit(&p->n_asleep, 1, memory_order_relaxed);
    return true;
}

uint32_t tgi_parking_claim_any(struct tgi_parking *p)
{
    for (uint32_t i = 0; i < p->n_words; i++) {
        uint64_t bits;
        while ((bits = atomic_load_explicit(&p->asleep[i], memory_order_relaxed)) != 0) {
            uint32_t w = i * 64 + (uint32_t)__builtin_ctzll(bits);
            if (tgi_parking_claim(p, w))
                return w;
        }
    }
    return UINT32_MAX;
}

void tgi_parking_sleep(struct tgi_parking_seat *seat)
{
    /* acquire: pairs with the release in call. */
    while (atomic_load_explicit(&seat->is_called, memory_order_acquire) == 0)
        tgi_futex_wait(&seat->is_called, 0, UINT64_MAX);
    atomic_store_explicit(&seat->is_called, 0, memory_order_relaxed); /* one caller per claim */
}

void tgi_parking_call(struct tgi_parking_seat *seat)
{
    atomic_store_explicit(&seat->is_called, 1, memory_order_release);
    tgi_futex_wake(&seat->is_called, 1);
}
