/* Waiting for a 32-bit word to change. */
#ifndef TGI_SCHED_FUTEX_H
#define TGI_SCHED_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/* Sleeps while *word == expected, at most timeout_ns (UINT64_MAX: for ever); may return early. */
void tgi_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);
/* Wakes up to n sleepers. */
void tgi_futex_wake(_Atomic uint32_t *word, uint32_t n);

#endif
