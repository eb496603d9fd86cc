/* Policies: where a task runs (place) and which one comes next (push, pop, steal).
 *
 * The same policy serves a virtual clock and a real one: it sees the graph's workload and asks its view about
 * data, and never learns whose clock it is.
 *
 * Contract.  All calls come from one thread.  A ready task is placed once, then pushed once to the device that
 * place() named, and popped or stolen once, by a device that may run it.  Whoever pushes then asks that device,
 * or idle ones where it is busy, to pop; a device without work pops, then steals, again whenever it is done with a
 * task; so nothing that can be popped waits while a device that may run it has nothing to do, except what
 * steal() declines because moving it costs more than waiting.  Ties are broken by device and task number. */
#ifndef TGI_SCHED_POLICY_H
#define TGI_SCHED_POLICY_H

#include "sched/offer.h"
#include "sched/workload.h"

/* What a policy may ask whoever executes. */
struct tgi_policy_view {
    void *user;
    /* Bytes that the task reads and that are not in the memory, nor on their way there. */
    double (*missing_bytes)(void *user, uint32_t task, uint32_t memory);
    /* The memory with most of what the task reads; TG_NONE: nothing of it has been moved or written. */
    uint32_t (*home)(void *user, uint32_t task);
};

/* Where each task goes and in which order a device prefers them: what a planning policy decides. */
struct tgi_assignment {
    uint32_t *device; /* by task */
    double *order;    /* by task: smaller comes first; planned starts */
    double makespan_ns; /* as planned; the simulator may come to another */
    const struct tgi_queueing *queueing; /* what limits a run that hands the tasks to devices; NULL: nothing does */
};

struct tgi_policy; /* a policy's own */
struct tgi_policy_ops {
    size_t size;
    const char *name, *brief;
    int (*create)(const struct tgi_workload *w, const struct tgi_policy_view *view, struct tgi_policy **policy_p,
                  struct tg_error *err);
    void (*destroy)(struct tgi_policy *policy);
    uint32_t (*place)(struct tgi_policy *policy, uint32_t task); /* TG_NONE: whoever pops first */
    void (*push)(struct tgi_policy *policy, uint32_t task, uint32_t device);
    uint32_t (*pop)(struct tgi_policy *policy, uint32_t device); /* TG_NONE: nothing */
    /* NULL: devices do not take each other's tasks. */
    uint32_t (*steal)(struct tgi_policy *policy, uint32_t thief);
    /* Where a task that is not ready will run, so that data are sent there early; NULL: not known. */
    uint32_t (*target)(const struct tgi_policy *policy, uint32_t task);
    /* Plans ahead.  NULL: decides as it goes; otherwise the slots above but name are not used: the plan is
     * followed.  `variant` counts the plans it has to offer, TG_E_LIMIT after the last. */
    int (*plan)(const struct tgi_workload *w, uint32_t variant, struct tgi_assignment *a, struct tg_error *err);
    /* The same plan once more, with what every task had to choose from.  NULL: there is nothing to tell. */
    int (*explain)(const struct tgi_workload *w, uint32_t variant, struct tgi_offers *offers, struct tg_error *err);
    /* Policies whose schedule is taken instead where the simulator finds it shorter than all of the plans; ends
     * with NULL.  NULL: none. */
    const char *const *rivals;
};

extern const struct tgi_policy_ops tgi_policy_eager, tgi_policy_steal, tgi_policy_heft, tgi_policy_bandwidth;
/* Ends with NULL. */
extern const struct tgi_policy_ops *const tgi_policies[];
const struct tgi_policy_ops *tgi_policy_find(const char *name); /* NULL: none */

int tgi_assignment_init(struct tgi_assignment *a, uint32_t n_tasks, struct tg_error *err);
void tgi_assignment_fini(struct tgi_assignment *a);
/* Follows an assignment: each device takes the first of its ready tasks. */
extern const struct tgi_policy_ops tgi_policy_fixed;
int tgi_fixed_create(const struct tgi_workload *w, const struct tgi_assignment *a, struct tgi_policy **policy_p,
                     struct tg_error *err);
/* The same against a real clock, which no plan foresees: a device without work takes the last of another's ready tasks if it
 * is done with it, data and all, before that one would come to it. */
extern const struct tgi_policy_ops tgi_policy_followed;
int tgi_followed_create(const struct tgi_workload *w, const struct tgi_assignment *a, const struct tgi_policy_view *view,
                        struct tgi_policy **policy_p, struct tg_error *err);

#endif
