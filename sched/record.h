/* What a run remembers about itself: a span per task (on request) and counters per worker. */
#ifndef TGI_SCHED_RECORD_H
#define TGI_SCHED_RECORD_H

#include "graph/tgraph.h"

/* Times are nanoseconds since the start of the run.  Zero start and end: the body never ran. */
struct tgi_span {
    uint64_t ready_ns; /* last predecessor finished */
    uint64_t start_ns, end_ns;
    uint32_t worker;
    uint16_t attempts;
    uint8_t state; /* enum tg_task_state */
    uint8_t is_stolen;
};

/* Each written by its worker alone; read after the run is over. */
struct tgi_worker_stats {
    uint64_t busy_ns;   /* in task bodies; only with is_recorded */
    uint64_t n_tasks, n_steals, n_failed_steals, n_parks;
};

/* Waits until no worker is at the run any more, which after a time limit may be later than
 * tg_run_wait() returns; at most limit_ms longer.  false: a task still has not returned, and what
 * follows here is incomplete. */
bool tgi_run_settle(struct tg_run *run, uint32_t limit_ms);
/* By task id of the outermost graph; NULL unless the run was recorded and is over. */
const struct tgi_span *tgi_run_spans(const struct tg_run *run);
/* n_workers entries. */
const struct tgi_worker_stats *tgi_run_worker_stats(const struct tg_run *run, uint32_t *n_workers_p);
/* The name of the variant a kernel was resolved to on the CPU: "builtin gemm_nt f64 (blas)", "c
 * source", "function".  For reports. */
const char *tgi_run_variant_text(const struct tg_run *run, uint32_t op);

#endif
