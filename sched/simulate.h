/* Runs a workload on its machine under a policy against a virtual clock.
 *
 * What is modelled: lanes; copies that overlap with computing and share links, ports and roots in equal parts;
 * tasks at work in one memory, which share its bandwidth fairly; valid copies, which are not moved again;
 * limited memory, from which clean copies go first, the least recently used of them, and others after
 * they were written back to memory 0; data sent ahead to where a plan wants them; order, lanes and queues of a run
 * on streams, or the order of copies in a CUDA graph, where an assignment has them (queueing.h).  What is not: results are
 * not brought back at the end, and members of a commute group may run at once.
 *
 * The same input gives the same schedule, bit for bit. */
#ifndef TGI_SCHED_SIMULATE_H
#define TGI_SCHED_SIMULATE_H

#include "sched/plan.h"

/* Follows the assignment, or where there is none (NULL) lets the policy, which must not be one that plans ahead, decide. */
int tgi_simulate(const struct tgi_workload *w, const struct tgi_policy_ops *ops, const struct tgi_assignment *a,
                 struct tgi_plan **plan_p, struct tg_error *err);

#endif
