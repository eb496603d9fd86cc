/* Times of kernels, from recorded runs of graphs.
 *
 * A device beside CPUs executes tasks of several lanes at once, as far as one leaves room for others.  How far is seen from ordinary
 * runs (sched/sharing.h): what a task takes while it is by itself there, and how much longer beside which others.  One task at a time is
 * timed with the host's time to launch what it consists of, which others hide, so that it counts only of kinds that always had company.
 * The same once more with the runs as CUDA graphs, where that can be: launches cost less there.
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
#include "sched/offload_graph.h"
#include "sched/sample.h"
#include "sched/sharing.h"
#include "sched/timing.h"
#include "sched/workload.h"

enum { N_LAUNCHES = 9, MOST_TRIES = 1000, MOST_KEPT = 1024, MOST_KINDS = 1024, MOST_BESIDE = 4096 };
#define QUICK_NS 50000000u
#define FULL_NS 400000000u
#define MOST_TRYING_NS 2000000000u
enum phase { ALONE, TOGETHER, ON_DEVICES, DEVICES_TOGETHER, AS_GRAPHS, N_PHASES };

struct durations {
    double *ns;
    uint32_t n, stride, n_skipped; /* every stride-th is kept */
};

struct kind {
    uint32_t op;
    char arguments[128];
    double flops, bytes; /* NAN: not declared */
    bool shares_lane;    /* in graphs */
    struct durations durations[N_PHASES];
};

struct kinds {
    struct kind *list;
    struct beside {
        struct tgi_sharing_task *tasks; /* each run and device at times of its own */
        uint32_t n;
    } beside[2];                        /* on devices by streams, in graphs */
    uint64_t base_ns;
    struct durations *enqueuing;        /* by op: the host's time for one, a mean of each run by streams */
    bool *is_apart;                     /* by op: that is without copies, */
    struct durations moving;            /* of which each takes so long */
    struct durations marking, seeing;   /* the same of all tasks (record.h) */
    struct durations copy_launches;     /* the host's time to launch a graph, by copies from the host in it, without what its other nodes take */
    uint32_t n_ops;
    uint32_t n, n_room, last; /* last: found, as neighbours are often alike */
    bool has_kernels; /* its graphs have kernels of ours in the place of libraries' calls, being faster so */
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
    for (int i = 0; i < 2; i++)
        free(kinds->beside[i].tasks);
    for (uint32_t op = 0; op < kinds->n_ops; op++)
        free(kinds->enqueuing[op].ns);
    free(kinds->enqueuing);
    free(kinds->is_apart);
    free(kinds->moving.ns);
    free(kinds->marking.ns);
    free(kinds->seeing.ns);
    free(kinds->copy_launches.ns);
    free(kinds->list);
}

/* ---- Runs ---------------------------------------------------------------------------------*/

/* Runs and devices are that far apart, so that none of their tasks are beside each other. */
#define APART_NS 1000000000000u

static bool note_beside(struct kinds *kinds, const struct kind *kind, const struct tgi_span *span, uint32_t device, enum phase phase)
{
    struct beside *b = &kinds->beside[phase == AS_GRAPHS];
    uint64_t base_ns = kinds->base_ns + device * APART_NS;
    if (!b->tasks)
        b->tasks = malloc(MOST_BESIDE * sizeof *b->tasks);
    if (b->tasks && b->n < MOST_BESIDE)
        b->tasks[b->n++] = (struct tgi_sharing_task){(uint32_t)(kind - kinds->list), base_ns + span->start_ns, base_ns + span->end_ns};
    return b->tasks != NULL;
}

/* What ran on a CPU while devices were measured counts only if CPUs are not measured by themselves, and one at a time. */
static bool take_spans(const struct tgi_calibration *c, struct kinds *kinds, const struct tg_run *run, const struct tg_graph *g,
                       const struct tgi_span *spans, enum phase phase, uint32_t n_workers)
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
        uint32_t lane;
        if (k && phase >= DEVICES_TOGETHER && !note_beside(kinds, k, s, tgi_run_device_of(run, s->worker, &lane), phase))
            kinds->is_out_of_memory = true;
    }
    return !kinds->is_out_of_memory;
}

static void keep_mean(struct kinds *kinds, struct durations *d, uint64_t ns, uint64_t n_tasks)
{
    if (n_tasks && !keep(d, (double)ns / (double)n_tasks))
        kinds->is_out_of_memory = true;
}

static void take_handling(struct kinds *kinds, const struct tg_run *run)
{
    struct tgi_run_handling h;
    tgi_run_handling(run, &h);
    keep_mean(kinds, &kinds->marking, h.marking_ns, h.n_tasks);
    keep_mean(kinds, &kinds->seeing, h.seeing_ns, h.n_tasks);
    /* Tasks for which something was copied say what copies take, if there are others of their kind that say what they take without. */
    uint64_t n_copies = 0;
    double moving_ns = 0;
    for (uint32_t op = 0; op < kinds->n_ops; op++) {
        struct tgi_run_enqueuing e;
        tgi_run_enqueuing(run, op, &e);
        if (e.n_tasks == e.n_moving) {
            keep_mean(kinds, &kinds->enqueuing[op], e.ns, e.n_tasks);
            continue;
        }
        kinds->is_apart[op] = true;
        keep_mean(kinds, &kinds->enqueuing[op], e.ns - e.moving_ns, e.n_tasks - e.n_moving);
        n_copies += e.n_copies;
        moving_ns += (double)e.moving_ns - (double)(e.ns - e.moving_ns) / (double)(e.n_tasks - e.n_moving) * (double)e.n_moving;
    }
    keep_mean(kinds, &kinds->moving, moving_ns > 0 ? (uint64_t)moving_ns : 0, n_copies);
}

static int take_run(const struct tgi_calibration *c, struct kinds *kinds, struct tg_run *run, const struct tg_graph *g,
                    enum phase phase, uint32_t n_workers, struct tg_error *err)
{
    const struct tgi_span *spans = tgi_run_spans(run);
    bool is_taken = spans && take_spans(c, kinds, run, g, spans, phase, n_workers);
    for (const struct tgi_round *r = tgi_run_rounds(run)->first; is_taken && r; r = r->next)
        is_taken = take_spans(c, kinds, run, r->graph, r->spans, phase, n_workers);
    if (phase == DEVICES_TOGETHER)
        take_handling(kinds, run);
    is_taken = is_taken && !kinds->is_out_of_memory;
    kinds->base_ns += (uint64_t)APART_NS * tgi_run_n_devices(run);
    return is_taken ? 0 : tgi_error_memory(err, "the times of a graph's tasks");
}

/* Which kinds are calls that share something of their lane, from what was replayed. */
static bool take_launches(struct kinds *kinds, const struct tg_run *run)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    const struct tgi_program *p = tgi_offload_graph_program(run);
    for (uint32_t i = 0; p && ds->ops->shares_lane && i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        const struct tgi_offload_task *t = c->kind == TGI_COMMAND_LAUNCH ? tgi_offload_owned(run, c->owner) : NULL;
        struct kind *k = t ? kind_of(kinds, t->instance->graph, tgi_offload_id(t)) : NULL;
        if (k && ds->ops->shares_lane(ds, c->launch.code, &c->launch.shape))
            k->shares_lane = true;
    }
    return !kinds->is_out_of_memory;
}

static const char *const phase_names[] = {"one worker", "all workers", "devices, one task at a time",
                                          "devices", "devices, as graphs"};

static int run_phase(const struct tgi_calibration *c, const struct tg_graph *g, enum phase phase, struct kinds *kinds,
                     uint32_t *n_workers_p, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt = NULL;
    struct tg_run *run = NULL;
    uint32_t least = c->is_quick || phase == ON_DEVICES ? 2 : 5, most = c->is_quick ? 20 : 100;
    uint64_t enough_ns = c->is_quick ? QUICK_NS : FULL_NS, begin_ns = 0;
    ro.n_workers = phase == ALONE ? 1 : c->n_workers; /* beside devices they are for making the data */
    ro.devices = phase >= ON_DEVICES ? c->devices : NULL;
    o.is_recorded = true;
    o.check_finite = phase == ON_DEVICES;
    o.executor = phase == AS_GRAPHS ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS;
    tgi_calibrate_step(c, "kernels of %s on %s", g->name && g->name[0] ? g->name : "the graph", phase_names[phase]);
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc == 0)
        rc = tg_run_create(rt, g, &o, &run, err);
    if (rc == 0 && phase == AS_GRAPHS && kinds->has_kernels)
        rc = tgi_offload_graph_use_kernels(run, err);
    *n_workers_p = rc ? 0 : tg_runtime_n_workers(rt);
    /* Small graphs are run more often, as there is less to learn from each run.  One task at a time takes long, as all results go to the host. */
    for (uint32_t i = 0; rc == 0 && i <= most && (i <= least || tgi_now_ns() - begin_ns < enough_ns); i++) {
        begin_ns = i == 1 ? tgi_now_ns() : begin_ns;
        rc = tg_run_start(run, err);
        if (rc == 0)
            rc = tg_run_wait(run, err);
        if (rc == 0 && phase == AS_GRAPHS && tg_run_executor(run, NULL) != TG_EXECUTOR_GRAPH)
            break; /* it cannot be one: there are no times in graphs */
        if (rc == 0 && i > 0)
            rc = take_run(c, kinds, run, g, phase, *n_workers_p, err);
    }
    if (rc == 0 && phase == AS_GRAPHS && !take_launches(kinds, run))
        rc = tgi_error_memory(err, "the times of a graph's tasks");
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    return rc;
}

/* ---- Launches -----------------------------------------------------------------------------*/

/* Kernels of a graph go to a device together; copies are enqueued by the host, one by one, whenever the graph is launched. */
static bool keep_launch(struct kinds *kinds, const struct tg_run *run, const struct tgi_machine *m)
{
    const struct tgi_program *p = tgi_offload_graph_program(run);
    struct tgi_offload_graph_stats stats;
    struct tgi_replay_costs costs;
    uint32_t n_copies = 0;
    tgi_offload_graph_stats(run, &stats);
    for (uint32_t i = 0; p && i < p->n; i++)
        n_copies += p->commands[i].kind == TGI_COMMAND_COPY && p->commands[i].copy.from_node == TGI_HOST_NODE;
    if (n_copies == 0)
        return true;
    tgi_machine_replay_costs(m, p->n, &costs);
    double ns = (double)stats.launch_ns - costs.ns[TGI_REPLAY_LAUNCH] * p->n;
    return keep(&kinds->copy_launches, ns > 0 ? ns / n_copies : 0);
}

/* By runs that nobody records, as those are what a prediction is for.  Which of them have kernels of ours in the place of libraries' calls is found by
 * the runs themselves (replay_libraries.h), so they go on until it is. */
static int measure_launches(const struct tgi_calibration *c, const struct tg_graph *g, const struct tgi_machine *m, struct kinds *kinds,
                            struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tgi_offload_graph_stats stats = {.is_trying = true};
    struct tg_runtime *rt = NULL;
    struct tg_run *run = NULL;
    uint32_t n_kept = 0;
    ro.n_workers = c->n_workers;
    ro.devices = c->devices;
    o.executor = TG_EXECUTOR_GRAPH;
    tgi_calibrate_step(c, "launches of %s as a graph", g->name && g->name[0] ? g->name : "the graph");
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc == 0)
        rc = tg_run_create(rt, g, &o, &run, err);
    for (uint64_t begin_ns = tgi_now_ns(), i = 0; rc == 0 && n_kept < N_LAUNCHES; i++) {
        rc = tg_run_execute(run, err);
        if (rc || tg_run_executor(run, NULL) != TG_EXECUTOR_GRAPH)
            break;
        bool may_try = i < MOST_TRIES && tgi_now_ns() - begin_ns < MOST_TRYING_NS;
        bool is_settled = !stats.is_trying || !may_try; /* before this start */
        tgi_offload_graph_stats(run, &stats);
        if (!is_settled || stats.made_ns) /* a start that makes the graph does more */
            continue;
        if (!keep_launch(kinds, run, m))
            rc = tgi_error_memory(err, "what launching a graph takes");
        n_kept++;
    }
    kinds->has_kernels = rc == 0 && stats.has_kernels && !stats.is_trying; /* undecided: calls, as a run begins */
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

/* What tasks take on devices, by kind: by streams, and in graphs.  Both are for free(). */
struct shares {
    struct tgi_shared_time *on_streams, *in_graphs;
};

static int find_shares(struct kinds *kinds, struct shares *s, struct tg_error *err)
{
    struct tgi_sample sample;
    s->on_streams = calloc((size_t)kinds->n + 1, sizeof *s->on_streams);
    s->in_graphs = calloc((size_t)kinds->n + 1, sizeof *s->in_graphs);
    if (!s->on_streams || !s->in_graphs)
        return tgi_error_memory(err, "the times of a graph's tasks");
    for (uint32_t i = 0; i < kinds->n; i++) {
        struct durations *d = &kinds->list[i].durations[ON_DEVICES];
        if (d->n) {
            tgi_sample_of(d->ns, d->n, &sample);
            s->on_streams[i].ns = sample.median;
        }
    }
    int rc = tgi_sharing_find(kinds->beside[0].tasks, kinds->beside[0].n, kinds->n, s->on_streams, err);
    for (uint32_t i = 0; i < kinds->n; i++)
        s->in_graphs[i].ns = s->on_streams[i].ns;
    return rc ? rc : tgi_sharing_find(kinds->beside[1].tasks, kinds->beside[1].n, kinds->n, s->in_graphs, err);
}

static void take_shares(const struct shares *s, uint32_t kind, struct tgi_machine_time *time)
{
    if (s->on_streams[kind].n_tasks) {
        time->median_ns = s->on_streams[kind].ns;
        time->together_ns = s->on_streams[kind].ns * s->on_streams[kind].part * TGI_COMPUTE_LANES;
        time->n_together = TGI_COMPUTE_LANES;
    }
    if (s->in_graphs[kind].n_tasks) {
        time->graph_ns = s->in_graphs[kind].ns;
        time->graph_part = s->in_graphs[kind].part;
    }
}

/* 0: there are none. */
static double median_of(const struct durations *d)
{
    struct tgi_sample sample;
    tgi_sample_of(d->ns, d->n, &sample);
    return sample.median;
}

static int add_kind(const struct tg_graph *g, const struct kinds *kinds, uint32_t kind, uint32_t class, uint32_t n_together,
                    const struct shares *shares, struct tgi_machine *m, struct tg_error *err)
{
    bool is_cpu = m->classes[class].kind == TGI_DEVICE_CPU;
    struct kind *k = &kinds->list[kind];
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
        time.together_ns = median_of(&k->durations[TOGETHER]);
        time.n_together = n_together;
    }
    if (!is_cpu) {
        time.beside_ns = median_of(&k->durations[DEVICES_TOGETHER]);
        take_shares(shares, kind, &time);
        time.shares_lane = time.graph_ns > 0 && k->shares_lane;
        time.enqueue_ns = median_of(&kinds->enqueuing[k->op]);
        time.move_ns = kinds->is_apart[k->op] ? median_of(&kinds->moving) : 0;
        time.mark_ns = median_of(&kinds->marking);
        time.see_ns = median_of(&kinds->seeing);
        time.copy_launch_ns = time.graph_ns > 0 ? median_of(&kinds->copy_launches) : 0;
    }
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
    struct shares shares = {NULL, NULL};
    uint32_t n_alone = 0, n_together = 0, n_device = 0;
    bool has_cpus = g->space->requires_cuda == 0 && !c->only_devices;
    kinds.enqueuing = calloc((size_t)g->space->n_ops + 1, sizeof *kinds.enqueuing);
    kinds.is_apart = calloc((size_t)g->space->n_ops + 1, sizeof *kinds.is_apart);
    kinds.n_ops = kinds.enqueuing ? g->space->n_ops : 0;
    int rc = kinds.enqueuing && kinds.is_apart ? 0 : tgi_error_memory(err, "the times of a graph's tasks");
    if (rc == 0 && has_cpus)
        rc = run_phase(c, g, ALONE, &kinds, &n_alone, err);
    if (rc == 0 && has_cpus && c->n_workers != 1)
        rc = run_phase(c, g, TOGETHER, &kinds, &n_together, err);
    if (rc == 0 && c->devices)
        rc = run_phase(c, g, ON_DEVICES, &kinds, &n_device, err);
    if (rc == 0 && c->devices)
        rc = run_phase(c, g, DEVICES_TOGETHER, &kinds, &n_device, err);
    if (rc == 0 && c->devices)
        rc = measure_launches(c, g, m, &kinds, err);
    if (rc == 0 && c->devices)
        rc = run_phase(c, g, AS_GRAPHS, &kinds, &n_device, err);
    if (rc == 0)
        rc = find_shares(&kinds, &shares, err);
    if (kinds.is_full)
        tgi_calibrate_step(c, "%d kinds of tasks, told apart by kernel and arguments; there are more, which are left out",
                           MOST_KINDS);
    for (uint32_t i = 0; rc == 0 && i < kinds.n; i++)
        for (uint32_t class = 0; rc == 0 && class < m->n_classes; class++)
            rc = add_kind(g, &kinds, i, class, sharers(m, n_together), &shares, m, err);
    free(shares.on_streams);
    free(shares.in_graphs);
    kinds_fini(&kinds);
    return rc;
}
