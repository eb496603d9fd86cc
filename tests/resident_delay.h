/* Delays in the text that workers execute; to be included before any of gpu/resident/. */
#ifndef TESTS_RESIDENT_DELAY_H
#define TESTS_RESIDENT_DELAY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/random_graph.h"

#define TGI_DELAY(worker) delay(worker)

static uint64_t seed;
static bool has_delays;
static __thread uint64_t delay_state;

/* Gives the processor away before a task tells its successors, now and then, and for several turns. */
static void delay(uint32_t worker)
{
    if (!has_delays)
        return;
    delay_state = mix64(delay_state + worker + seed);
    for (uint64_t n = delay_state % 8; n > 4; n--)
        sched_yield();
}

#endif
