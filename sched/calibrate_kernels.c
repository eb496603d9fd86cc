/* Times of kernels, from recorded runs of graphs.
 *
 * A device beside CPUs executes tasks of several lanes at once, as far as one leaves room for others.  How far is seen from ordinary
 * runs: a task takes longer there, and how many were at work at a time follows from the sum of all durations and from how long the
 * device was busy.  With all lanes at work it would take longer in proportion.  One task at a time is timed with the host's time to
 * launch what it consists of, which others hide; where a task is done sooner among others that is what it takes.
 *
 * Tasks of one kind are those of one operation with arguments of the same sizes.  Each kind keeps as many durations as fit; of
 * more, every second one is dropped whenever there is no room, so that what is kept comes from all of a long run. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/device.h"
#include "sched/calibrate.h"
#include "sched/runtime.h"
#include "sched/sample.h"
#include "sched/timing.h"
#include "sched/workload.h"

enum { MOST_KEPT = 1024, MOST_KINDS = 1024 };
#define QUICK_NS 50000000u
#define FULL_NS 400000000u
enum phase { ALONE, TOGETHER, ON_DEVICES, DEVICES_TOGETHER, N_PHASES };

struct durations {
    double *ns;
    uint32_t n, stride, n_skipped; /* every stride-th is kept */
};

struct kind {
    uint32_t op;
    char arguments[128];
    double flops, bytes; /* NAN: not declared */
    struct durations durations[N_PHASES];
};

struct kinds {
    struct kind *list;
    double device_ns, busy_ns; /* of tasks on devices that are beside others: all durations; while there was any */
    uint32_t n, n_room, last; /* last: found, as neighbours are often alike */
    bool is_out_of_memory, is_full;
};

/* ---- Kinds --------------------------------------------------------------------------------*/

static bool is_kind(const struct kind *k, uint32_t op, const char *arguments)
{
    return k->op == op && strcmp(k->arguments, arguments) == 0;
}

/* NULL: no memory, or there are too many kinds to tell apart: tasks of others are not measured. */
static struct kind *kind_of(struct kinds *kinds, const struct tg_graph *g, uint32_t task)
{
    char arguments[sizeof kinds->list->arguments];
    uint32_t op = g->nodes[task].op & TGI_NODE_OP;
    tgi_workload_signature(g, task, arguments, sizeof arguments);
    for (uint32_t i = 0; i < kinds->n; i++) {
        uint32_t at = (kinds->last + i) % kinds->n;
        if (is_kind(&kinds->list[at], op, arguments)) {
            kinds->last = at;
            return &kinds->list[at];
        }
    }
    kinds->is_full = kinds->is_full || kinds->n == MOST_KINDS;
    if (kinds->n == MOST_KINDS)
        return NULL;
    if (kinds->n == kinds->n_room) {
        void *grown = realloc(kinds->list, (2 * (size_t)kinds->n_room + 16) * sizeof *kinds->list);
        kinds->is_out_of_memory = !grown;
        if (!grown)
            return NULL;
        kinds->list = grown;
        kinds->n_room = 2 * kinds->n_room + 16;
    }
    struct tgi_cost cost = tgi_graph_cost(g, task);
    struct kind *k = &kinds->list[kinds->last = kinds->n++];
    *k = (struct kind){.op = op, .flops = cost.flops, .bytes = cost.bytes};
    memcpy(k->arguments, arguments, sizeof arguments);
    return k;
}

static bool keep(struct durations *d, double ns)
{
    if (!d->ns) {
        d->ns = malloc(MOST_KEPT * sizeof *d->ns);
        d->stride = 1;
    }
    if (!d->ns || ++d->n_skipped < d->stride)
        return d->ns != NULL;
    d->n_skipped = 0;
    if (d->n == MOST_KEPT) {
        for (uint32_t i = 0; i < MOST_KEPT / 2; i++)
            d->ns[i] = d->ns[2 * i];
        d->n = MOST_KEPT / 2;
        d->stride *= 2;
    }
    d->ns[d->n++] = ns;
    return true;
}

static void kinds_fini(struct kinds *kinds)
{
    for (uint32_t i = 0; i < kinds->n; i++)
        for (int phase = 0; phase < N_PHASES; phase++)
            free(kinds->list[i].durations[phase].ns);
    free(kinds->list);
}

/* ---- Runs ---------------------------------------------------------------------------------*/

static int compare_starts(const void *left, const void *right)
{
    const struct tgi_span *a = left, *b = right;
    return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

/* How many tasks were at work on a device at a time, over its lanes. */
static bool note_overlap(struct kinds *kinds, const struct tg_graph *g, const struct tgi_span *spans, uint32_t n_workers,
                         uint32_t device)
{
    struct tgi_span *own = malloc(((size_t)g->n_tasks + 1) * sizeof *own);
    uint32_t n = 0;
    uint64_t until = 0;
    if (!own)
        return false;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        if (spans[t].end_ns && spans[t].worker >= n_workers && (spans[t].worker - n_workers) / TGI_COMPUTE_LANES == device)
            own[n++] = spans[t];
    qsort(own, n, sizeof *own, compare_starts);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t from = own[i].start_ns > until ? own[i].start_ns : until;
        kinds->device_ns += (double)(own[i].end_ns - own[i].start_ns);
        kinds->busy_ns += own[i].end_ns > from ? (double)(own[i].end_ns - from) : 0;
        until = own[i].end_ns > until ? own[i].end_ns : until;
    }
    free(own);
    return true;
}

/* What ran on a CPU while devices were measured counts only if CPUs are not measured by themselves, and one at a time. */
static bool take_spans(const struct tgi_calibration *c, struct kinds *kinds, const struct tg_graph *g, const struct tgi_span *spans,
                       enum phase phase, uint32_t n_workers)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_span *s = &spans[t];
        enum tgi_op_kind what = tgi_graph_op(g, t)->kind;
        bool is_on_device = s->worker >= n_workers, is_aside = phase >= ON_DEVICES && !is_on_device;
        if (s->end_ns == 0 || what == TGI_OP_BARRIER || what >= TGI_OP_REPEAT ||
            (is_aside && (!c->only_devices || phase != ON_DEVICES)))
            continue;
        struct kind *k = kind_of(kinds, g, t);
        if (k && !keep(&k->durations[is_aside ? ALONE : phase], (double)(s->end_ns - s->start_ns)))
            kinds->is_out_of_memory = true;
    }
    return !kinds->is_out_of_memory;
}

static int take_run(const struct tgi_calibration *c, struct kinds *kinds, struct tg_run *run, const struct tg_graph *g,
                    enum phase phase, uint32_t n_workers, struct tg_error *err)
{
    const struct tgi_span *spans = tgi_run_spans(run);
    bool is_taken = spans && take_spans(c, kinds, g, spans, phase, n_workers);
    for (uint32_t d = 0; is_taken && phase == DEVICES_TOGETHER && d < tgi_run_n_devices(run); d++)
        is_taken = note_overlap(kinds, g, spans, n_workers, d);
    for (const struct tgi_round *r = tgi_run_rounds(run)->first; is_taken && r; r = r->next)
        is_taken = take_spans(c, kinds, r->graph, r->spans, phase, n_workers);
    return is_taken ? 0 : tgi_error_memory(err, "the times of a graph's tasks");
}

static const char *const phase_names[] = {"one worker", "all workers", "devices, one task at a time",
                                          "devices"};

static int run_phase(const struct tgi_calibration *c, const struct tg_graph *g, enum phase phase, struct kinds *kinds,
                     uint32_t *n_workers_p, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt = NULL;
    struct tg_run *run = NULL;
    uint32_t least = c->is_quick ? 2 : 5, most = c->is_quick ? 20 : 100;
    uint64_t enough_ns = c->is_quick ? QUICK_NS : FULL_NS, begin_ns = 0;
    ro.n_workers = phase == TOGETHER ? c->n_workers : 1;
    ro.devices = phase >= ON_DEVICES ? c->devices : NULL;
    o.is_recorded = true;
    o.check_finite = phase == ON_DEVICES;
    tgi_calibrate_step(c, "kernels of %s on %s", g->name && g->name[0] ? g->name : "the graph", phase_names[phase]);
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc == 0)
        rc = tg_run_create(rt, g, &o, &run, err);
    *n_workers_p = rc ? 0 : tg_runtime_n_workers(rt);
    /* Small graphs are run more often, as there is less to learn from each run. */
    for (uint32_t i = 0; rc == 0 && i <= most && (i <= least || tgi_now_ns() - begin_ns < enough_ns); i++) {
        begin_ns = i == 1 ? tgi_now_ns() : begin_ns;
        rc = tg_run_start(run, err);
        if (rc == 0)
            rc = tg_run_wait(run, err);
        if (rc == 0 && i > 0)
            rc = take_run(c, kinds, run, g, phase, *n_workers_p, err);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    return rc;
}

/* ---- Times --------------------------------------------------------------------------------*/

/* A time that is there already is replaced. */
static int put_time(struct tgi_machine *m, const struct tgi_machine_time *time, struct tg_error *err)
{
    for (uint32_t i = 0; i < m->n_times; i++)
        if (m->times[i].class == time->class && strcmp(m->times[i].kernel, time->kernel) == 0 &&
            strcmp(m->times[i].arguments, time->arguments) == 0) {
            m->times[i] = *time;
            return 0;
        }
    return tgi_machine_add_time(m, time, err);
}

/* n_at_once: tasks that were at work on a device on average, of those that ran beside each other. */
static void take_device(struct kind *k, double n_at_once, struct tgi_machine_time *time)
{
    struct tgi_sample sample;
    if (k->durations[DEVICES_TOGETHER].n == 0)
        return;
    tgi_sample_of(k->durations[DEVICES_TOGETHER].ns, k->durations[DEVICES_TOGETHER].n, &sample);
    time->median_ns = sample.median < time->median_ns ? sample.median : time->median_ns;
    double together = sample.median * TGI_COMPUTE_LANES / (n_at_once > 1 ? n_at_once : 1);
    time->together_ns = together > time->median_ns ? together : time->median_ns;
    time->n_together = TGI_COMPUTE_LANES;
}

static int add_kind(const struct tg_graph *g, struct kind *k, uint32_t class, uint32_t n_together, double n_at_once,
                    struct tgi_machine *m, struct tg_error *err)
{
    bool is_cpu = m->classes[class].kind == TGI_DEVICE_CPU;
    struct durations *d = &k->durations[is_cpu ? ALONE : ON_DEVICES];
    struct tgi_machine_time time = {.class = class, .flops = isnan(k->flops) ? 0 : k->flops,
                                    .bytes = isnan(k->bytes) ? 0 : k->bytes};
    struct tgi_sample sample;
    if (d->n == 0)
        return 0;
    tgi_timing_kernel(g, k->op, m->classes[class].kind, time.kernel, sizeof time.kernel);
    memcpy(time.arguments, k->arguments, sizeof time.arguments);
    tgi_sample_of(d->ns, d->n, &sample);
    time.median_ns = sample.median;
    time.spread_ns = tgi_sample_spread(&sample);
    time.n_samples = d->n;
    if (is_cpu && k->durations[TOGETHER].n) {
        tgi_sample_of(k->durations[TOGETHER].ns, k->durations[TOGETHER].n, &sample);
        time.together_ns = sample.median;
        time.n_together = n_together;
    }
    if (!is_cpu)
        take_device(k, n_at_once, &time);
    return put_time(m, &time, err);
}

/* Workers that share the memory of the first device. */
static uint32_t sharers(const struct tgi_machine *m, uint32_t n_workers)
{
    uint32_t n_devices = 0;
    for (uint32_t d = 0; d < m->n_devices; d++)
        n_devices += m->classes[m->devices[d].class].kind == TGI_DEVICE_CPU;
    return n_devices > 1 && n_workers >= n_devices ? n_workers / n_devices : n_workers;
}

int tgi_calibrate_graph(const struct tgi_calibration *c, const struct tg_graph *g, struct tgi_machine *m, struct tg_error *err)
{
    struct kinds kinds = {0};
    uint32_t n_alone = 0, n_together = 0, n_device = 0;
    bool has_cpus = g->space->requires_cuda == 0 && !c->only_devices;
    int rc = has_cpus ? run_phase(c, g, ALONE, &kinds, &n_alone, err) : 0;
    if (rc == 0 && has_cpus && c->n_workers != 1)
        rc = run_phase(c, g, TOGETHER, &kinds, &n_together, err);
    if (rc == 0 && c->devices)
        rc = run_phase(c, g, ON_DEVICES, &kinds, &n_device, err);
    if (rc == 0 && c->devices)
        rc = run_phase(c, g, DEVICES_TOGETHER, &kinds, &n_device, err);
    double n_at_once = kinds.busy_ns > 0 ? kinds.device_ns / kinds.busy_ns : 1;
    if (kinds.is_full)
        tgi_calibrate_step(c, "%d kinds of tasks, told apart by kernel and arguments; there are more, which are left out",
                           MOST_KINDS);
    for (uint32_t i = 0; rc == 0 && i < kinds.n; i++)
        for (uint32_t class = 0; rc == 0 && class < m->n_classes; class++)
            rc = add_kind(g, &kinds.list[i], class, sharers(m, n_together), n_at_once, m, err);
    kinds_fini(&kinds);
    return rc;
}
