/* How much of a device the tasks of each kind take, from when they ran: some by themselves, most beside others.
 *
 * A task of a kind does `ns` of work.  While the parts of those that are at work at a time come to no more than the whole device, all
 * of them go at full speed; else those that ask for less than an equal part get what they ask for, and the others an equal part of the
 * rest, as the simulator has it (simulate.h).  What is looked for are the times and parts with which every task has done its kind's
 * work when it ends, as nearly as can be. */
#ifndef TGI_SCHED_SHARING_H
#define TGI_SCHED_SHARING_H

#include "graph/model.h"

struct tgi_sharing_task {
    uint32_t kind;
    uint64_t start_ns, end_ns;
};

struct tgi_shared_time {
    double ns;        /* with the device to itself; in: what is known of it, 0: nothing */
    double part;      /* of the device, up to 1; 1 as well where nothing shows that it takes less */
    uint32_t n_tasks; /* that were seen; 0: the rest says nothing new */
};

/* tasks: of one device; they are put into another order.  shares: by kind, times filled in.  TG_E_NO_MEMORY. */
int tgi_sharing_find(struct tgi_sharing_task *tasks, uint32_t n, uint32_t n_kinds, struct tgi_shared_time *shares, struct tg_error *err);

#endif
