/* What a run came to: bounds, and tables by worker and by kernel, measured and declared. */
#ifndef TGI_IO_REPORT_H
#define TGI_IO_REPORT_H

#include "graph/model.h"
#include "io/json_out.h"
#include "io/run_bounds.h"
#include "sched/record.h"

struct tgi_report_kernel {
    uint32_t kind, op;        /* op: one of its instances that ran */
    uint64_t n_tasks, n_on_devices;
    uint64_t total_ns, median_ns, iqr_ns, min_ns, max_ns;
    double flops;             /* of the tasks that ran; 0: unknown */
    uint64_t idle_behind_ns;  /* workers had nothing to do until one of these tasks finished */
};

struct tgi_report_worker {
    uint64_t n_tasks, busy_ns, n_steals, n_parks;
};

struct tgi_report_device {
    struct tgi_run_device run;
    uint64_t busy_ns; /* at least one of its lanes was */
};

struct tgi_report {
    const struct tg_graph *graph;
    struct tg_run *run;
    struct tg_run_stats stats;
    uint64_t n_edges, n_tiles, data_bytes;
    double flops; /* of all tasks that ran; 0: unknown */
    bool has_bodies;
    uint64_t n_before; /* tasks that were done before this run, as a checkpoint had them */
    uint64_t n_cut; /* control tasks among the skipped ones that had begun; 0 unless recorded */
    /* only if the run was recorded */
    bool is_recorded;
    bool is_whole;   /* false: not all rounds of bodies were recorded: no bounds, no busy times */
    uint64_t critical_path_ns, area_ns;
    struct tgi_machine_bounds machine_bounds; /* by a machine file, set after tgi_report_create(); none: there was no such file */
    double predicted_ns; /* by a plan, before the run; 0: it was not asked */
    uint64_t last_end_ns;
    uint64_t idle_ns, idle_end_ns; /* in all; after a worker's last task */
    struct tgi_report_kernel *kernels; /* longest total first */
    uint32_t n_kernels;
    struct tgi_report_worker *workers;
    uint32_t n_workers;
    /* If there are devices, area and idle times are theirs: CPUs do what is left to them. */
    struct tgi_report_device *devices;
    uint32_t n_devices;
    struct tgi_run_moved moved;
    struct tgi_pool_stats pinned; /* host memory; all 0: not known, or without devices */
};

/* A time limit ends a run before its last tasks return. */
static inline uint64_t tgi_report_whole_ns(const struct tgi_report *r)
{
    return r->stats.makespan_ns > r->last_end_ns ? r->stats.makespan_ns : r->last_end_ns;
}
/* Whose idle time is looked at: devices if there are any, else workers. */
static inline uint32_t tgi_report_n_servers(const struct tgi_report *r) { return r->n_devices ? r->n_devices : r->n_workers; }

/* The run is over. */
int tgi_report_create(const struct tg_graph *g, struct tg_run *run, struct tgi_report *report,
                      struct tg_error *err);
void tgi_report_fini(struct tgi_report *report);

/* report_print.c.  Two lines with the bounds, the tables, what moved, and what workers waited for.  `makespan_ns` is what rates
 * refer to; top: most rows of kernels. */
void tgi_report_print(const struct tgi_report *report, uint64_t makespan_ns, uint32_t top, FILE *to);
/* The same as members of an object that is open. */
void tgi_report_json(const struct tgi_report *report, uint64_t makespan_ns, struct tgi_json *json);

#endif
