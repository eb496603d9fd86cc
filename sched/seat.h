/* The place of a sleeping worker, in which a thread works that waits for a run: so a small graph is executed without
 * waking anybody. */
#ifndef TGI_SCHED_SEAT_H
#define TGI_SCHED_SEAT_H

#include <sched.h>

#include "sched/runtime.h"

struct tgi_seat {
    struct tgi_worker *worker; /* whose it is, owned meanwhile; NULL: every worker is awake */
    bool has_moved;
    cpu_set_t before; /* where the thread may run, if it has moved */
};

/* The thread that takes a seat leaves it.  In between it may run on another processor than it was on. */
struct tgi_seat tgi_seat_take(struct tg_runtime *rt);
void tgi_seat_leave(struct tgi_seat *seat);

#endif
