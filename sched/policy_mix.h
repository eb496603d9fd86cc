/* Tasks that need much of a memory beside tasks that need little.  No policy of its own: one more plan of `bandwidth`, made by
 * running this one in the simulator. */
#ifndef TGI_SCHED_POLICY_MIX_H
#define TGI_SCHED_POLICY_MIX_H

#include "sched/policy.h"

extern const struct tgi_policy_ops tgi_policy_mix;
/* Whether lanes of some device share a memory that tasks of the workload can ask too much of, with others that do not. */
bool tgi_policy_mix_is_of_use(const struct tgi_workload *w);

#endif
