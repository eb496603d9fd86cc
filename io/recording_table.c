#include "io/recording_table.h"

#include <math.h>
#include <stdlib.h>

#include "graph/error.h"

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int compare_kernels(const void *a, const void *b)
{
    const struct tgi_kernel_figures *x = a, *y = b;
    if (x->total_ns != y->total_ns)
        return x->total_ns > y->total_ns ? -1 : 1;
    return x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

static void add_task(const struct tgi_recording *r, const struct tgi_recording_paths *paths, uint32_t t,
                     struct tgi_recording_table *table)
{
    const struct tgi_recording_task *task = &r->tasks[t];
    if (task->part == 0) {
        table->n_done += task->state == TG_TASK_DONE;
        table->n_failed += task->state == TG_TASK_FAILED;
        table->n_not_run += task->state != TG_TASK_DONE && task->state != TG_TASK_FAILED;
    }
    if (!tgi_recording_has_work(r, t))
        return;
    struct tgi_kernel_figures *k = &table->kernels[task->kernel];
    struct tgi_lane_figures *lane = &table->lanes[task->lane];
    uint64_t took_ns = tgi_recording_took_ns(r, t);
    table->n_work++;
    k->n_tasks++;
    k->total_ns += took_ns;
    k->critical_ns += paths->is_critical[t] ? took_ns : 0;
    k->queued_ns += task->ready_ns < task->start_ns ? task->start_ns - task->ready_ns : 0;
    if (isfinite(task->flops) && task->flops > 0)
        k->flops += task->flops;
    lane->first_ns = lane->n_tasks == 0 || task->start_ns < lane->first_ns ? task->start_ns : lane->first_ns;
    lane->last_ns = task->end_ns > lane->last_ns ? task->end_ns : lane->last_ns;
    lane->n_tasks++;
    lane->busy_ns += took_ns;
}

/* durations: room for all; those of a kernel are put together, by counting. */
static void measure_kernels(const struct tgi_recording *r, struct tgi_recording_table *table, uint64_t *durations,
                            uint64_t *next)
{
    uint64_t at = 0;
    for (uint32_t k = 0; k < r->n_kernels; k++) {
        next[k] = at;
        at += table->kernels[k].n_tasks;
    }
    for (uint32_t t = 0; t < r->n_tasks; t++)
        if (tgi_recording_has_work(r, t))
            durations[next[r->tasks[t].kernel]++] = tgi_recording_took_ns(r, t);
    for (uint32_t k = 0; k < r->n_kernels; k++) {
        struct tgi_kernel_figures *figures = &table->kernels[k];
        uint64_t n = figures->n_tasks, *values = durations + next[k] - n;
        figures->kernel = k;
        if (n == 0)
            continue;
        qsort(values, n, sizeof(*values), compare_u64);
        figures->median_ns = values[n / 2];
        figures->iqr_ns = values[n * 3 / 4] - values[n / 4];
        figures->min_ns = values[0];
        figures->max_ns = values[n - 1];
        table->kernels[table->n_kernels++] = *figures;
    }
    qsort(table->kernels, table->n_kernels, sizeof(*table->kernels), compare_kernels);
}

static bool add_links(const struct tgi_recording *r, struct tgi_recording_table *table)
{
    uint32_t n_nodes = (uint32_t)r->n_devices + 1;
    table->links = calloc((size_t)n_nodes * n_nodes, sizeof(*table->links));
    if (!table->links)
        return false;
    for (uint64_t i = 0; i < r->n_transfers; i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        struct tgi_link_figures *link = &table->links[(size_t)x->from * n_nodes + x->to];
        *link = (struct tgi_link_figures){x->from, x->to, link->n_copies + 1, link->bytes + x->bytes};
    }
    for (size_t i = 0; i < (size_t)n_nodes * n_nodes; i++)
        if (table->links[i].n_copies)
            table->links[table->n_links++] = table->links[i];
    return true;
}

int tgi_recording_table_create(const struct tgi_recording *r, const struct tgi_recording_paths *paths,
                               struct tgi_recording_table *table_p, struct tg_error *err)
{
    struct tgi_recording_table table = {.kernels = calloc(r->n_kernels + 1, sizeof(*table.kernels)),
                                        .lanes = calloc(r->n_lanes + 1, sizeof(*table.lanes))};
    uint64_t *durations = malloc((r->n_tasks + 1) * sizeof(*durations)), *next = calloc(r->n_kernels + 1, sizeof(*next));
    int rc = table.kernels && table.lanes && durations && next && add_links(r, &table)
                 ? 0 : tgi_error_memory(err, "the tables of a record");
    if (rc == 0) {
        for (uint32_t t = 0; t < r->n_tasks; t++)
            add_task(r, paths, t, &table);
        measure_kernels(r, &table, durations, next);
        *table_p = table;
    } else {
        tgi_recording_table_fini(&table);
    }
    free(durations);
    free(next);
    return rc;
}

void tgi_recording_table_fini(struct tgi_recording_table *table)
{
    free(table->kernels);
    free(table->lanes);
    free(table->links);
    *table = (struct tgi_recording_table){.kernels = NULL};
}

const struct tgi_kernel_figures *tgi_recording_table_kernel(const struct tgi_recording_table *table, uint32_t kernel)
{
    for (uint32_t i = 0; i < table->n_kernels; i++)
        if (table->kernels[i].kernel == kernel)
            return &table->kernels[i];
    return NULL;
}

void tgi_kernel_figures_json(const struct tgi_kernel_figures *k, struct tgi_json *json)
{
    tgi_json_uint(json, "total_ns", k->total_ns);
    tgi_json_uint(json, "median_ns", k->median_ns);
    tgi_json_uint(json, "iqr_ns", k->iqr_ns);
    tgi_json_uint(json, "min_ns", k->min_ns);
    tgi_json_uint(json, "max_ns", k->max_ns);
    tgi_json_uint(json, "queued_ns", k->queued_ns);
    tgi_json_uint(json, "critical_ns", k->critical_ns);
}

struct lasting {
    uint64_t took_ns;
    uint32_t task;
};

static int compare_lasting(const void *a, const void *b)
{
    const struct lasting *x = a, *y = b;
    if (x->took_ns != y->took_ns)
        return x->took_ns > y->took_ns ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

int tgi_recording_longest(const struct tgi_recording *r, uint32_t **tasks_p, uint32_t *n_p, struct tg_error *err)
{
    struct lasting *all = malloc((r->n_tasks + 1) * sizeof(*all));
    uint32_t *tasks = malloc((r->n_tasks + 1) * sizeof(*tasks)), n = 0;
    if (!all || !tasks) {
        free(all);
        free(tasks);
        return tgi_error_memory(err, "the longest tasks of a record");
    }
    for (uint32_t t = 0; t < r->n_tasks; t++)
        if (tgi_recording_has_work(r, t))
            all[n++] = (struct lasting){tgi_recording_took_ns(r, t), t};
    qsort(all, n, sizeof(*all), compare_lasting);
    for (uint32_t i = 0; i < n; i++)
        tasks[i] = all[i].task;
    free(all);
    *tasks_p = tasks;
    *n_p = n;
    return 0;
}
