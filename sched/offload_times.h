/* Times of single tasks in runs that are replayed as graphs: known where all tasks are inside resident kernels, whose workers note them
 * (mem/cluster.h). */
#ifndef TGI_SCHED_OFFLOAD_TIMES_H
#define TGI_SCHED_OFFLOAD_TIMES_H

#include "mem/program.h"
#include "sched/offload.h"

/* Whether times of single tasks are wanted of nodes of the run's graph (replay_times.h), not of workers of resident kernels. */
static inline bool tgi_offload_times_by_nodes(const struct tg_run *run)
{
    return run->spans && run->options.executor != TG_EXECUTOR_RESIDENT;
}

/* Makes the clusters of a recorded run note times.  TG_E_UNSUPPORTED: those of a task would not be known, and which. */
int tgi_offload_times_want(const struct tg_run *run, const struct tgi_program *program, struct tg_error *err);

/* After a start of that program: the spans of its tasks.  A device's clock has no zero in common with the host's, so the last task on it
 * ends when the graph does, end_ns after the start of the run, or later where all of them would begin before that. */
int tgi_offload_times_take(struct tg_run *run, const struct tgi_program *program, struct tgi_device_graph *graph, uint64_t end_ns,
                           struct tg_error *err);

#endif
