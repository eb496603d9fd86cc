/* The bare round trip, for benchmarks to stand beside: a word of the host's memory, polled, and another one written. */
#include "mem/service_ring.h"

/* Answers n times; leaves after limit_ns. */
extern "C" __global__ void tgk_doorbell(const uint64_t *bell, uint64_t *answer, uint64_t n, uint64_t limit_ns)
{
    uint64_t since, now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(since));
    for (uint64_t i = 1; i <= n; i++) {
        while (tgi_sys_load_acquire(bell) != i) {
            asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
            if (now - since > limit_ns)
                return;
        }
        tgi_sys_store_relaxed(answer, i);
    }
}

extern "C" __global__ void tgk_service_nothing(void) {}
