/* The record of a run that was simulated: a plan in the form of a record, so that report, why, diff and export need not know the
 * difference.  Its outcome is "simulated", its times are virtual, its machine is the one that was planned for. */
#ifndef TGI_IO_RECORDING_PLAN_H
#define TGI_IO_RECORDING_PLAN_H

#include "io/recording.h"
#include "sched/plan.h"

#define TGI_RECORDING_SIMULATED "simulated"

/* A lane of a CPU becomes a worker, one of another device a stream. */
int tgi_recording_of_plan(const struct tgi_workload *w, const struct tgi_plan *plan, struct tgi_recording *recording_p,
                          struct tg_error *err);

#endif
