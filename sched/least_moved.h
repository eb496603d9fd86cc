/* The fewest bytes that have to move between memories, with each task where it ran. */
#ifndef TGI_SCHED_LEAST_MOVED_H
#define TGI_SCHED_LEAST_MOVED_H

#include "sched/runtime.h"

/* Of a recorded run on devices that is over and in which every task ran; false: it was not, or there is no memory. */
bool tgi_least_moved(const struct tg_run *run, uint64_t *bytes_p);

#endif
