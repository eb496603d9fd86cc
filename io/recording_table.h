/* Figures of a record by kernel, lane and link. */
#ifndef TGI_IO_RECORDING_TABLE_H
#define TGI_IO_RECORDING_TABLE_H

#include "io/json_out.h"
#include "io/recording.h"

struct tgi_kernel_figures {
    uint32_t kernel;
    uint64_t n_tasks, total_ns, median_ns, iqr_ns, min_ns, max_ns;
    uint64_t critical_ns; /* of it on the critical path */
    uint64_t queued_ns;   /* between ready and start, in all */
    double flops;         /* declared; 0: unknown */
};
struct tgi_lane_figures {
    uint64_t n_tasks, busy_ns, first_ns, last_ns;
};
struct tgi_link_figures {
    uint32_t from, to; /* nodes */
    uint64_t n_copies, bytes;
};
struct tgi_recording_table {
    struct tgi_kernel_figures *kernels; /* those of which tasks ran, longest total first */
    struct tgi_lane_figures *lanes;     /* by lane */
    struct tgi_link_figures *links;     /* that were used */
    uint32_t n_kernels, n_links;
    uint64_t n_done, n_failed, n_not_run, n_work; /* tasks; n_work: that a lane was busy with */
};
int tgi_recording_table_create(const struct tgi_recording *r, const struct tgi_recording_paths *paths,
                               struct tgi_recording_table *table_p, struct tg_error *err);
void tgi_recording_table_fini(struct tgi_recording_table *table);
/* NULL: no task of it ran. */
const struct tgi_kernel_figures *tgi_recording_table_kernel(const struct tgi_recording_table *table, uint32_t kernel);
/* Times of a kernel, as members of the object that is being written. */
void tgi_kernel_figures_json(const struct tgi_kernel_figures *k, struct tgi_json *json);
/* Task ids by how long they took, longest first; the caller frees them. */
int tgi_recording_longest(const struct tgi_recording *r, uint32_t **tasks_p, uint32_t *n_p, struct tg_error *err);

#endif
