/* What graphs of runs take to make and to launch, and what streams take instead, kept with the times of kernels (history.h).
 *
 * By the device's name and by the power of ten that the number of tasks is in, as small graphs take more a command. */
#ifndef TGI_SCHED_REPLAY_COSTS_H
#define TGI_SCHED_REPLAY_COSTS_H

#include "sched/history.h"
#include "sched/replay_choice.h"

void tgi_replay_costs_read(struct tgi_history *history, const char *device, uint64_t n_tasks, struct tgi_replay_costs *costs_p);
/* ns: of n commands, or tasks, of a run of n_tasks; 0 of them: nothing is noted. */
void tgi_replay_costs_note(struct tgi_history *history, const char *device, uint64_t n_tasks, enum tgi_replay_cost cost,
                           uint64_t n, double ns);

#endif
