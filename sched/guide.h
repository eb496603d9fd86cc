/* What a run is to follow beside its options: a plan that was made before, and the machine by whose figures policies decide.
 * Whoever creates the run owns all of it, and needs it only until it is created. */
#ifndef TGI_SCHED_GUIDE_H
#define TGI_SCHED_GUIDE_H

#include "sched/machine.h"
#include "sched/plan.h"

struct tg_run;
struct tg_runtime;
struct tg_run_options;
struct tgi_cut;

/* A plan by the names of devices, as files have it. */
struct tgi_guide_plan {
    uint32_t n_tasks, n_devices;
    const char *const *devices;
    const uint32_t *device; /* by task: index into devices */
    const double *start;    /* by task: who comes first where several are ready */
    double makespan_ns;     /* as planned */
};

struct tgi_guide {
    const struct tgi_machine *machine; /* NULL: rough figures of this one */
    const struct tgi_guide_plan *plan; /* NULL: none; else options.policy is NULL */
    struct tgi_cut *cut; /* sched/cut.h, of this graph and as many workers; outlives the run; NULL: none */
};

/* tg_run_create(), guided.  TG_E_BAD_VALUE: the plan is of another graph; TG_E_NO_DEVICE: it names a device that the run does not
 * have; TG_E_NO_VARIANT: a task cannot run where it is put; TG_E_UNSUPPORTED: one task at a time, or a machine without CPUs; cuts of a
 * run with devices, or with bodies. */
int tgi_run_create_guided(struct tg_runtime *runtime, const struct tg_graph *graph, const struct tg_run_options *options,
                          const struct tgi_guide *guide, struct tg_run **run_p, struct tg_error *err);

/* An assignment of the workload's tasks to devices of its machine, by what the plan calls them; `number` says which device of the
 * machine a name means, TG_NONE: none.  *a_p is initialised on 0 only. */
int tgi_guide_assign(const struct tgi_guide_plan *plan, const struct tgi_workload *w,
                     uint32_t (*number)(void *user, const char *name), void *user, struct tgi_assignment *a_p,
                     struct tg_error *err);

#endif
