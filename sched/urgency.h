/* How urgent a task is: the length of the longest path from its beginning to the end of the graph (its bottom level,
 * the upward rank of Topcuoglu, Hariri and Wu 2002), and whether it lies on a path that is nearly the longest. */
#ifndef TGI_SCHED_URGENCY_H
#define TGI_SCHED_URGENCY_H

#include "graph/model.h"

struct tgi_urgency {
    float *level_ns;      /* by task */
    uint8_t *is_critical; /* by task.  All 0 where that would say nothing, because too many tasks were */
};

/* task_ns: by task, what it takes.  Copies are not counted. */
void tgi_urgency_compute(const struct tg_graph *graph, const float *task_ns, struct tgi_urgency *urgency);

#endif
