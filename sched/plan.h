/* A schedule of a workload: what runs where and when, and what moves. */
#ifndef TGI_SCHED_PLAN_H
#define TGI_SCHED_PLAN_H

#include "sched/policy.h"

struct tgi_plan {
    const char *policy;  /* that was asked for */
    const char *chosen;  /* whose schedule it is */
    uint32_t variant;    /* which of the chosen policy's plans; 0 for one that has none */
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
/* What the tasks of a plan had to choose from; none where the chosen policy decides as it goes.  offers_p is initialised on 0 only. */
int tgi_plan_explain(const struct tgi_workload *w, const char *chosen, uint32_t variant, struct tgi_offers *offers_p,
                     struct tg_error *err);
/* Follows an assignment. */
int tgi_plan_follow(const struct tgi_workload *w, const struct tgi_assignment *a, struct tgi_plan **plan_p,
                    struct tg_error *err);
/* With tasks on these devices, by task, all of them beside CPUs, handed to them as a run on streams does, or in a CUDA graph (queueing.h). */
int tgi_plan_queued(const struct tgi_workload *w, const uint32_t *device, struct tgi_plan **plan_p, struct tg_error *err);
/* An empty one; NULL without memory. */
struct tgi_plan *tgi_plan_new(const struct tgi_workload *w);
void tgi_plan_destroy(struct tgi_plan *plan);
/* What must be true of every schedule: tasks come after those before them, take their time, and no lane has two at once. */
bool tgi_plan_is_valid(const struct tgi_workload *w, const struct tgi_plan *plan);

#endif
