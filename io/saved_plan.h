/* A plan that was written to a file (io/plan_json.h) and is read back: for a run to follow, and as a record, so that report,
 * why, diff and export take it without the graph. */
#ifndef TGI_IO_SAVED_PLAN_H
#define TGI_IO_SAVED_PLAN_H

#include "graph/arena.h"
#include "io/recording.h"
#include "sched/guide.h"

struct tgi_saved_plan {
    const char *name, *file, *machine, *policy, *chosen; /* "": not said */
    uint32_t n_tasks, n_devices;
    uint64_t n_edges, n_preds;
    double makespan_ns;
    struct tgi_machine_bounds bounds; /* none: the file is of a version that did not write them */
    const char **devices;
    const char **task, **kernel; /* by task; kernel "": not said */
    uint32_t *device;            /* by task */
    double *start, *end;         /* by task */
    uint64_t *pred_at;           /* by task, n_tasks + 1: its predecessors are pred[pred_at[t] ..) */
    uint32_t *pred;
    struct tgi_arena arena;      /* holds all of it */
};

/* "-": standard input.  TG_E_VERSION: of a later version, or no plan; else as readers of JSON have it, with the position. */
int tgi_saved_plan_read(struct tgi_saved_plan *plan_p, const char *path, struct tg_error *err);
void tgi_saved_plan_fini(struct tgi_saved_plan *plan);
/* Whether the file begins as a plan does; false for what cannot be read, and for standard input. */
bool tgi_saved_plan_is_one(const char *path);

/* TG_E_BAD_VALUE: it was made for another graph; says which task differs. */
int tgi_saved_plan_check(const struct tgi_saved_plan *plan, const struct tg_graph *g, struct tg_error *err);
/* As runs follow it; lives as long as the plan. */
struct tgi_guide_plan tgi_saved_plan_guide(const struct tgi_saved_plan *plan);
/* The record of a run that went as planned, its outcome "planned".  Devices have as many lanes as had tasks at once. */
int tgi_saved_plan_record(const struct tgi_saved_plan *plan, struct tgi_recording *recording_p, struct tg_error *err);

#endif
