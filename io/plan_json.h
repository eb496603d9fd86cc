/* Plans as files: which task runs on which device, when, in the order of the graph's tasks.
 *
 *     {"schema": "tgraph.plan/1", "name": "tiled-cholesky", "file": "cholesky.json", "n_tasks": 56, "n_edges": 90,
 *      "machine": "AMD EPYC", "is_rough": false, "devices": ["cpu:0"], "policy": "bandwidth", "schedule_of": "heft",
 *      "makespan_ns": 71300000, "bound_ns": 61900000, "memory_ns": 11100000, "links_ns": 4900000,
 *      "tasks": [{"task": "potrf[0]", "device": "cpu:0", "kernel": "potrf", "start_ns": 0, "end_ns": 120000, "after": []}]}
 *
 * Whoever follows one needs the devices, and the starts for an order; names, n_tasks and n_edges tell whether it is this
 * graph's.  Bounds (sched/bounds.h), kernels, and in "after" the numbers of the tasks that a task comes after, are for pictures and comparisons without
 * the graph.  io/saved_plan.h reads them. */
#ifndef TGI_IO_PLAN_JSON_H
#define TGI_IO_PLAN_JSON_H

#include <stdio.h>

#include "sched/bounds.h"
#include "sched/plan.h"

/* Write errors stay with the stream; TG_E_NO_MEMORY. */
int tgi_plan_write(const struct tgi_workload *w, const struct tgi_plan *plan, const struct tgi_bounds *bounds, FILE *to,
                   struct tg_error *err);

#endif
