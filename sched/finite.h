/* Whether what tasks write is finite: for runs with check_finite, which execute one task at a time. */
#ifndef TGI_SCHED_FINITE_H
#define TGI_SCHED_FINITE_H

#include "sched/runtime.h"

/* The task has just been executed, and its results are in host memory: fails it if one is NaN or infinite. */
void tgi_finite_check(struct tgi_instance *instance, uint32_t task);

#endif
