/* What runs as graphs take on devices: of tasks that do nothing, in chains of ten, as runs themselves find it out (sched/replay_choice.h).
 * Two starts on streams show what those take the host; then one makes a graph, and those that follow launch it.
 *
 * How far copies from the host follow each other is seen from graphs with few and with many of them.  Their tasks take less. */
#include <stdio.h>

#include "graph/error.h"
#include "graph/model.h"
#include "sched/backend.h"
#include "sched/calibrate.h"
#include "sched/offload_graph.h"
#include "sched/replay_costs.h"
#include "sched/sample.h"

enum { N_STARTS = 8, CHAIN = 10, N_REPLAYS = 9, FEW_COPIES = 50, MANY_COPIES = 450, MOST_COPIED = 512 };

int tgi_calibrate_nothing(uint32_t n_tasks, uint32_t chain, struct tg_graph **g_p, struct tg_error *err)
{
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_arg none = tg_arg_float(0);
    struct tg_graph *g;
    tg_task_id id = 0;
    int rc = tg_graph_create("calibration", &g, err);
    if (rc)
        return rc;
    kernel.name = "nothing";
    kernel.builtin = "spin";
    rc = tg_graph_add_kernel(g, &kernel, &task.kernel, err);
    task.n_args = 1;
    task.args = &none;
    task.after = &id;
    for (uint32_t i = 0; rc == 0 && i < n_tasks; i++) {
        task.n_after = i % chain > 0;
        rc = tg_graph_add_task(g, &task, &id, err);
    }
    return tgi_calibrate_finish(g, rc, g_p, err);
}

/* The costs are noted when the run is destroyed. */
static int execute(struct tg_runtime *rt, const struct tg_graph *g, struct tg_error *err)
{
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    o.executor = TG_EXECUTOR_AUTO;
    o.n_starts_expected = UINT32_MAX; /* so that a graph pays whatever it takes */
    int rc = tg_run_create(rt, g, &o, &run, err);
    if (rc)
        return rc;
    rc = tgi_offload_graph_refuse_resident(run, "what nodes take is measured", err);
    for (uint32_t i = 0; rc == 0 && i < N_STARTS; i++)
        rc = tg_run_execute(run, err);
    tg_run_destroy(run);
    return rc;
}

/* ---- Copies -------------------------------------------------------------------------------*/

/* A tile of n doubles for each task, which every start sets anew. */
static int make_copies(uint32_t n_tasks, int64_t n, struct tg_graph **g_p, struct tg_error *err)
{
    struct tg_buffer_spec x = TG_BUFFER_SPEC_INIT;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_graph *g;
    tg_buffer_id id;
    int rc = tg_graph_create("calibration", &g, err);
    if (rc)
        return rc;
    x.name = "x";
    x.dtype = TG_F64;
    x.n_dims = x.n_tile_dims = 1;
    x.shape[0] = n;
    x.tiles[0] = n_tasks;
    x.init = TG_INIT_RANDOM; /* not what devices fill in */
    x.init_seed = 1;
    rc = tg_graph_add_buffer(g, &x, &id, err);
    kernel.name = kernel.builtin = "scale";
    if (rc == 0)
        rc = tg_graph_add_kernel(g, &kernel, &task.kernel, err);
    struct tg_arg args[] = {tg_arg_int(n), tg_arg_float(1), tg_arg_tile(id, 0)};
    task.n_args = 3;
    task.args = args;
    for (uint32_t i = 0; rc == 0 && i < n_tasks; i++) {
        args[2] = tg_arg_tile(id, i);
        rc = tg_graph_add_task(g, &task, NULL, err);
    }
    return tgi_calibrate_finish(g, rc, g_p, err);
}

/* *ns_p: the median of starts after the first; 0: the run goes another way. */
static int time_starts(struct tg_runtime *rt, const struct tg_graph *g, enum tg_executor executor, double *ns_p, struct tg_error *err)
{
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_run_stats stats;
    struct tgi_sample s;
    struct tg_run *run;
    double ns[N_REPLAYS] = {0};
    bool is_so = true;
    o.executor = executor;
    int rc = tg_run_create(rt, g, &o, &run, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && is_so && i <= N_REPLAYS; i++) { /* the first makes the graph */
        rc = tg_run_execute(run, err);
        if (rc == 0)
            rc = tg_run_stats(run, &stats, err);
        is_so = tg_run_executor(run, NULL) == executor;
        ns[i > 0 ? i - 1 : 0] = (double)stats.makespan_ns;
    }
    tg_run_destroy(run);
    tgi_sample_of(ns, N_REPLAYS, &s);
    *ns_p = is_so ? s.median : 0;
    return rc;
}

static int measure_copies(struct tg_runtime *rt, double *ns_p, struct tg_error *err)
{
    static const uint32_t n_tasks[] = {FEW_COPIES, MANY_COPIES};
    uint64_t fit = rt->offload->devices->info[0].memory_bytes / (2 * MANY_COPIES * sizeof(double));
    double ns[2] = {0, 0};
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        struct tg_graph *g;
        rc = make_copies(n_tasks[i], fit < MOST_COPIED ? (int64_t)fit : MOST_COPIED, &g, err);
        if (rc == 0) {
            rc = time_starts(rt, g, TG_EXECUTOR_GRAPH, &ns[i], err);
            tg_graph_destroy(g);
        }
    }
    *ns_p = ns[0] > 0 && ns[1] > ns[0] ? (ns[1] - ns[0]) / (MANY_COPIES - FEW_COPIES) : 0;
    return rc;
}

/* What begins and ends a run: all that one takes whose only task does nothing. */
static int measure_ends(struct tg_runtime *rt, struct tgi_replay_costs *costs, struct tg_error *err)
{
    struct tg_graph *g;
    int rc = tgi_calibrate_nothing(1, CHAIN, &g, err);
    if (rc)
        return rc;
    rc = time_starts(rt, g, TG_EXECUTOR_STREAMS, &costs->ns[TGI_REPLAY_ON_STREAMS], err);
    if (rc == 0)
        rc = time_starts(rt, g, TG_EXECUTOR_GRAPH, &costs->ns[TGI_REPLAY_AS_GRAPH], err);
    tg_graph_destroy(g);
    return rc;
}

/* ---- All of it ----------------------------------------------------------------------------*/

static double less(double ns, double part) { return ns > part ? ns - part : 0; }

/* ends: what does not depend on the number of tasks. */
static int measure(struct tg_runtime *rt, uint32_t n_tasks, const struct tgi_replay_costs *ends, struct tgi_machine *m, uint32_t class, struct tg_error *err)
{
    struct tgi_machine_replay replay = {.class = class, .n_tasks = n_tasks};
    struct tgi_replay_costs costs;
    struct tg_graph *g;
    double most = 0;
    int rc = tgi_calibrate_nothing(n_tasks, CHAIN, &g, err);
    if (rc)
        return rc;
    rc = execute(rt, g, err);
    tg_graph_destroy(g);
    if (rc)
        return rc;
    tgi_replay_costs_read(rt->offload->history, rt->offload->devices->info[0].name, n_tasks, &costs);
    for (int i = 0; i < TGI_N_REPLAY_COSTS; i++) {
        replay.ns[i] = costs.ns[i];
        most = costs.ns[i] > most ? costs.ns[i] : most;
    }
    replay.ns[TGI_REPLAY_COPY] = ends->ns[TGI_REPLAY_COPY];
    replay.ns[TGI_REPLAY_ON_STREAMS] = less(ends->ns[TGI_REPLAY_ON_STREAMS], replay.ns[TGI_REPLAY_SUBMIT]);
    replay.ns[TGI_REPLAY_AS_GRAPH] = less(ends->ns[TGI_REPLAY_AS_GRAPH], replay.ns[TGI_REPLAY_LAUNCH]);
    return most > 0 ? tgi_machine_add_replay(m, &replay, err) : 0;
}

int tgi_calibrate_graphs(const struct tgi_calibration *c, struct tgi_machine *m, uint32_t class, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tgi_replay_costs ends = {{0}};
    ro.n_workers = 1;
    ro.devices = c->devices;
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc)
        return rc;
    tgi_calibrate_step(c, "copies in graphs");
    rc = measure_copies(rt, &ends.ns[TGI_REPLAY_COPY], err);
    if (rc == 0)
        rc = measure_ends(rt, &ends, err);
    for (uint32_t n = 10; rc == 0 && n <= (c->is_quick ? 1000 : 10000); n *= 10) {
        tgi_calibrate_step(c, "graphs of %u tasks", n);
        rc = measure(rt, n, &ends, m, class, err);
    }
    tg_runtime_destroy(rt);
    return rc;
}
