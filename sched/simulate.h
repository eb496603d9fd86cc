/* Runs a workload on its machine under a policy against a virtual clock.
 *
 * What is modelled: lanes; copies that overlap with computing and share links, ports and roots in equal parts;
 * tasks at work in one memory, which share its bandwidth fairly; valid copies, which are not moved again;
 * limited memory, from which clean copies go first, the least recently used of them, and others after
 * they were written back to memory 0; data sent ahead to where a plan wants them.  What is not: results are
 * not brought back at the end, and members of a commute group may run at once.
 *
 * The same input gives the same schedule, bit for bit. */
#ifndef TGI_SCHED_SIMULATE_H
#define TGI_SCHED_SIMULATE_H

#include "sched/policy.h"

struct tgi_plan {
    const char *policy;  /* that was asked for */
    const char *chosen;  /* whose schedule it is */
    uint32_t n_tasks, n_devices, n_memories;
    uint32_t *device;    /* by task */
    double *start, *end; /* by task, ns */
    double *busy_ns;     /* by device, over all its lanes */
    uint32_t *n_run;     /* by device */
    uint64_t *peak_bytes, *moved_in, *moved_out; /* by memory */
    double makespan_ns;
    uint64_t moved_bytes, n_copies, n_evicted, spilled_bytes, n_steals;
    uint32_t over;       /* the first task whose data did not fit into its device's memory; TG_NONE: all fit */
};

/* Runs a policy; the plan of a policy that plans ahead is the best of those it has to offer, its rivals included. */
int tgi_plan_create(const struct tgi_workload *w, const struct tgi_policy_ops *ops, struct tgi_plan **plan_p,
                    struct tg_error *err);
/* Follows an assignment. */
int tgi_plan_follow(const struct tgi_workload *w, const struct tgi_assignment *a, struct tgi_plan **plan_p,
                    struct tg_error *err);
void tgi_plan_destroy(struct tgi_plan *plan);
/* Asserts what must be true of every schedule: tasks after those before them, no lane with two at once. */
bool tgi_plan_is_valid(const struct tgi_workload *w, const struct tgi_plan *plan);

#endif
