#include "io/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/palette.h"
#include "io/schedule.h"
#include "sched/cut.h"

#define SETTLE_MS 500 /* for tasks that a time limit left behind */

struct work {
    struct tgi_schedule schedule;
    struct tgi_palette palette;
    struct tgi_report_kernel *by_kind;
    uint64_t *durations;  /* of all tasks, those of a kind together */
    uint64_t *first;      /* by kind: where its durations start */
};

/* The first of those whose idle time is looked at. */
static uint32_t first_server(const struct tgi_report *r) { return r->n_devices ? r->n_workers : 0; }

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int compare_kernels(const void *a, const void *b)
{
    const struct tgi_report_kernel *x = a, *y = b;
    if (x->total_ns != y->total_ns)
        return x->total_ns > y->total_ns ? -1 : 1;
    return x->kind < y->kind ? -1 : x->kind > y->kind;
}

/* ---- Kernels ------------------------------------------------------------------------------*/

/* Counters of workers also count tasks that were skipped; spans know which ones ran. */
static void sum_workers(struct tgi_report *r, const struct work *w)
{
    if (!r->is_whole)
        return;
    for (uint32_t i = 0; i < r->n_workers; i++)
        r->workers[i].n_tasks = r->workers[i].busy_ns = 0;
    for (uint32_t i = 0; i < w->schedule.n_parts; i++) {
        const struct tgi_part *part = &w->schedule.parts[i];
        for (uint32_t t = 0; t < part->graph->n_tasks; t++) {
            const struct tgi_span *s = &part->spans[t];
            if (s->end_ns == 0 || s->worker >= r->n_workers)
                continue;
            r->workers[s->worker].n_tasks++;
            if (tgi_part_has_work(part, t))
                r->workers[s->worker].busy_ns += s->end_ns - s->start_ns;
        }
    }
}

static void sum_part(struct tgi_report *r, struct work *w, const struct tgi_part *part)
{
    const struct tg_graph *g = part->graph;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        struct tgi_report_kernel *k = &w->by_kind[tgi_palette_kind(g, &w->palette, t)];
        if (part->spans[t].end_ns > r->last_end_ns)
            r->last_end_ns = part->spans[t].end_ns;
        if (!tgi_part_has_work(part, t))
            continue;
        double flops = tgi_graph_cost(g, t).flops;
        k->op = g->nodes[t].op & TGI_NODE_OP;
        k->n_tasks++;
        k->n_on_devices += part->spans[t].worker >= r->n_workers;
        k->total_ns += part->spans[t].end_ns - part->spans[t].start_ns;
        if (isfinite(flops) && flops > 0)
            k->flops += flops;
    }
}

static void list_durations(struct work *w, const struct tgi_part *part)
{
    for (uint32_t t = 0; t < part->graph->n_tasks; t++) {
        if (tgi_part_has_work(part, t))
            w->durations[w->first[tgi_palette_kind(part->graph, &w->palette, t)]++] =
                part->spans[t].end_ns - part->spans[t].start_ns;
    }
}

static void measure_kernels(struct tgi_report *r, struct work *w)
{
    uint64_t at = 0;
    for (uint32_t k = 0; k < w->palette.n_kinds; k++) {
        w->first[k] = at;
        at += w->by_kind[k].n_tasks;
    }
    for (uint32_t i = 0; i < w->schedule.n_parts; i++)
        list_durations(w, &w->schedule.parts[i]);
    for (uint32_t k = 0; k < w->palette.n_kinds; k++) {
        struct tgi_report_kernel *kernel = &w->by_kind[k];
        uint64_t n = kernel->n_tasks;
        kernel->kind = k;
        if (n == 0)
            continue;
        uint64_t *values = w->durations + (w->first[k] - n);
        qsort(values, n, sizeof(*values), compare_u64);
        kernel->median_ns = values[n / 2];
        kernel->iqr_ns = values[n * 3 / 4] - values[n / 4];
        kernel->min_ns = values[0];
        kernel->max_ns = values[n - 1];
        r->kernels[r->n_kernels++] = *kernel;
    }
    qsort(r->kernels, r->n_kernels, sizeof(*r->kernels), compare_kernels);
}

/* ---- Idle time ----------------------------------------------------------------------------*/

struct order {
    uint64_t start_ns;
    uint32_t worker, part, task;
};

/* A task of a part, as its number among those of all parts. */
static uint64_t number_of(const struct tgi_part *part, uint32_t task)
{
    return part->first + task;
}

/* What runs, and by task the kind of task whose end released it. */
static uint64_t list_part(const struct work *w, uint32_t i, struct order *order, uint32_t *releaser, uint64_t *released_ns)
{
    const struct tgi_part *part = &w->schedule.parts[i];
    const struct tg_graph *g = part->graph;
    uint64_t n = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_span *s = &part->spans[t];
        if (tgi_part_has_work(part, t))
            order[n++] = (struct order){s->start_ns, s->worker, i, t};
        for (uint32_t e = g->nodes[t].succ; s->end_ns && e < g->nodes[t + 1].succ; e++) {
            uint64_t after = number_of(part, g->succ[e]);
            if (releaser[after] == TG_NONE || s->end_ns > released_ns[after]) {
                releaser[after] = tgi_palette_kind(g, &w->palette, t);
                released_ns[after] = s->end_ns;
            }
        }
    }
    return n;
}

/* The kind of the task that ended last in a part; TG_NONE: none ran. */
static uint32_t last_kind(const struct work *w, const struct tgi_part *part)
{
    uint64_t end_ns = 0;
    uint32_t last = TG_NONE;
    for (uint32_t t = 0; t < part->graph->n_tasks; t++)
        if (tgi_part_has_work(part, t) && part->spans[t].end_ns > end_ns) {
            end_ns = part->spans[t].end_ns;
            last = tgi_palette_kind(part->graph, &w->palette, t);
        }
    return last;
}

/* The first tasks of a round wait for the round before, or for what its control task waited for. */
static void release_roots(const struct work *w, uint32_t i, uint32_t *releaser)
{
    const struct tgi_part *part = &w->schedule.parts[i];
    const struct tgi_schedule *s = &w->schedule;
    if (part->parent == TG_NONE)
        return;
    uint32_t kind = part->previous != TG_NONE ? last_kind(w, &s->parts[part->previous])
                                              : releaser[number_of(&s->parts[part->parent], part->parent_task)];
    for (uint32_t t = 0; t < part->graph->n_tasks; t++)
        if (part->graph->nodes[t].n_preds == 0)
            releaser[number_of(part, t)] = kind;
}

/* Who was busy with a task: a worker, or a device as a whole, after the workers. */
static uint32_t server_of(const struct tgi_report *r, uint32_t worker)
{
    uint32_t lane, device = tgi_run_device_of(r->run, worker, &lane);
    return device == TG_NONE ? worker : r->n_workers + device;
}

/* The gap of a worker or device before a task, up to when the task became ready, is blamed on the task whose
 * end made it ready; the rest of the gap is the scheduler's own. */
static int blame_gaps(struct tgi_report *r, struct work *w, struct tg_error *err)
{
    uint64_t n_tasks = w->schedule.n_tasks, n = 0;
    struct order *order = malloc((n_tasks + 1) * sizeof(*order));
    uint32_t *releaser = malloc((n_tasks + 1) * sizeof(*releaser));
    uint64_t *released_ns = calloc(n_tasks + 1, sizeof(*released_ns));
    uint64_t *end_ns = calloc((size_t)r->n_workers + r->n_devices + 1, sizeof(*end_ns));
    int rc = 0;
    if (!order || !releaser || !released_ns || !end_ns) {
        rc = tgi_error_memory(err, "the report of a run");
        goto free_all;
    }
    memset(releaser, 0xff, (n_tasks + 1) * sizeof(*releaser));
    for (uint32_t i = 0; i < w->schedule.n_parts; i++) {
        n += list_part(w, i, order + n, releaser, released_ns);
        release_roots(w, i, releaser);
    }
    /* start_ns is the first member */
    qsort(order, n, sizeof(*order), compare_u64);
    for (uint64_t i = 0; i < n; i++) {
        const struct tgi_part *part = &w->schedule.parts[order[i].part];
        const struct tgi_span *s = &part->spans[order[i].task];
        uint32_t server = server_of(r, order[i].worker);
        uint64_t *last = &end_ns[server];
        uint64_t until = s->ready_ns < s->start_ns ? s->ready_ns : s->start_ns;
        uint32_t kind = releaser[number_of(part, order[i].task)];
        if (until > *last && kind != TG_NONE && server >= first_server(r))
            w->by_kind[kind].idle_behind_ns += until - *last;
        if (server >= r->n_workers && s->end_ns > *last) /* what overlaps counts once */
            r->devices[server - r->n_workers].busy_ns += s->end_ns - (s->start_ns > *last ? s->start_ns : *last);
        if (s->end_ns > *last)
            *last = s->end_ns;
    }
    for (uint32_t i = first_server(r); i < first_server(r) + tgi_report_n_servers(r); i++)
        r->idle_end_ns += tgi_report_whole_ns(r) - end_ns[i];

free_all:
    free(order);
    free(releaser);
    free(released_ns);
    free(end_ns);
    return rc;
}

/* ---- Bounds -------------------------------------------------------------------------------*/

static void measure_bounds(struct tgi_report *r, const struct work *w)
{
    if (!r->is_whole)
        return;
    uint64_t busy_ns = 0;
    for (uint32_t k = 0; k < w->palette.n_kinds && r->n_devices == 0; k++)
        busy_ns += w->by_kind[k].total_ns;
    for (uint32_t i = 0; i < r->n_devices; i++)
        busy_ns += r->devices[i].busy_ns;
    r->critical_path_ns = (uint64_t)w->schedule.critical_ns;
    r->area_ns = tgi_report_n_servers(r) ? busy_ns / tgi_report_n_servers(r) : 0;
    uint64_t worker_ns = tgi_report_whole_ns(r) * tgi_report_n_servers(r);
    r->idle_ns = worker_ns > busy_ns ? worker_ns - busy_ns : 0;
}

static int measure_spans(struct tgi_report *r, const struct tgi_span *spans, struct tg_error *err)
{
    struct work w = {0};
    int rc = tgi_palette_create(r->graph->space, &w.palette, err);
    if (rc)
        return rc;
    rc = tgi_schedule_create(r->graph, spans, tgi_run_rounds(r->run), &w.schedule, err);
    if (rc) {
        tgi_palette_fini(&w.palette);
        return rc;
    }
    size_t n_kinds = w.palette.n_kinds;
    w.by_kind = calloc(n_kinds + 1, sizeof(*w.by_kind));
    w.first = calloc(n_kinds + 1, sizeof(*w.first));
    w.durations = malloc((w.schedule.n_tasks + 1) * sizeof(*w.durations));
    r->kernels = calloc(n_kinds + 1, sizeof(*r->kernels));
    r->is_whole = w.schedule.is_whole;
    if (!w.by_kind || !w.first || !w.durations || !r->kernels)
        rc = tgi_error_memory(err, "the report of a run");
    if (rc == 0) {
        sum_workers(r, &w);
        for (uint32_t i = 0; i < w.schedule.n_parts; i++)
            sum_part(r, &w, &w.schedule.parts[i]);
        rc = blame_gaps(r, &w, err);
    }
    if (rc == 0) {
        measure_bounds(r, &w);
        measure_kernels(r, &w);
    }
    r->is_recorded = rc == 0;
    free(w.by_kind);
    free(w.first);
    free(w.durations);
    tgi_schedule_fini(&w.schedule);
    tgi_palette_fini(&w.palette);
    return rc;
}

/* ---- The whole ----------------------------------------------------------------------------*/

/* Of a graph with bodies only the record knows how often they ran. */
static void sum_flops(struct tgi_report *r)
{
    for (uint32_t k = 0; r->has_bodies && r->is_whole && k < r->n_kernels; k++)
        r->flops += r->kernels[k].flops;
    for (uint32_t t = 0; t < r->graph->n_tasks && !r->has_bodies; t++) {
        double flops = tgi_graph_cost(r->graph, t).flops;
        bool is_before = tgi_cut_is_before(r->run->cut, t);
        r->n_before += is_before;
        if (isfinite(flops) && flops > 0 && !is_before && tg_run_task_state(r->run, t) == TG_TASK_DONE)
            r->flops += flops;
    }
}

static int take_devices(struct tgi_report *r, struct tg_error *err)
{
    r->n_devices = tgi_run_n_devices(r->run);
    if (r->n_devices == 0)
        return 0;
    r->devices = calloc(r->n_devices, sizeof(*r->devices));
    if (!r->devices)
        return tgi_error_memory(err, "the report of a run");
    for (uint32_t i = 0; i < r->n_devices; i++)
        tgi_run_device(r->run, i, &r->devices[i].run);
    tgi_run_moved(r->run, &r->moved);
    tgi_run_pinned(r->run, &r->pinned);
    return 0;
}

int tgi_report_create(const struct tg_graph *g, struct tg_run *run, struct tgi_report *report,
                      struct tg_error *err)
{
    struct tgi_report r = {.graph = g, .run = run, .machine_bounds = TGI_MACHINE_BOUNDS_NONE};
    struct tg_graph_stats graph_stats;
    bool is_settled = tgi_run_settle(run, SETTLE_MS);
    int rc = tg_run_stats(run, &r.stats, err);
    if (rc == 0)
        rc = tg_graph_stats(g, &graph_stats, err);
    if (rc)
        return rc;
    r.n_edges = graph_stats.n_edges;
    r.data_bytes = graph_stats.data_bytes;
    for (uint32_t i = 0; i < g->space->n_buffers; i++)
        r.n_tiles += g->space->buffers[i].n_present;
    for (uint32_t i = 0; i < g->space->n_ops; i++)
        r.has_bodies |= g->space->ops[i].body != NULL;

    const struct tgi_worker_stats *workers = tgi_run_worker_stats(run, &r.n_workers);
    r.workers = calloc((size_t)r.n_workers + 1, sizeof(*r.workers));
    if (!r.workers)
        return tgi_error_memory(err, "the report of a run");
    for (uint32_t i = 0; is_settled && workers && i < r.n_workers; i++) /* until then the counts are of what was before */
        r.workers[i] = (struct tgi_report_worker){workers[i].n_tasks, workers[i].busy_ns, workers[i].n_steals,
                                                  workers[i].n_parks};
    if (is_settled && take_devices(&r, err)) {
        tgi_report_fini(&r);
        return TG_E_NO_MEMORY;
    }
    const struct tgi_span *spans = is_settled ? tgi_run_spans(run) : NULL;
    for (uint32_t t = 0; spans && r.has_bodies && t < g->n_tasks; t++)
        r.n_cut += spans[t].state == TG_TASK_SKIPPED && spans[t].end_ns > 0;
    if (spans)
        rc = measure_spans(&r, spans, err);
    if (rc) {
        tgi_report_fini(&r);
        return rc;
    }
    sum_flops(&r);
    *report = r;
    return 0;
}

void tgi_report_fini(struct tgi_report *report)
{
    free(report->kernels);
    free(report->workers);
    free(report->devices);
    report->devices = NULL;
    report->kernels = NULL;
    report->workers = NULL;
}
