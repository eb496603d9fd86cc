/* What runs as graphs take on devices: of tasks that do nothing, in chains of ten, as runs themselves find it out (sched/replay_choice.h).
 * Two starts on streams show what those take the host; then one makes a graph, and those that follow launch it. */
#include <stdio.h>

#include "graph/error.h"
#include "graph/model.h"
#include "sched/backend.h"
#include "sched/calibrate.h"
#include "sched/offload_graph.h"
#include "sched/replay_costs.h"

enum { N_STARTS = 8, CHAIN = 10 };

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

static int measure(struct tg_runtime *rt, uint32_t n_tasks, struct tgi_machine *m, uint32_t class, struct tg_error *err)
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
    return most > 0 ? tgi_machine_add_replay(m, &replay, err) : 0;
}

int tgi_calibrate_graphs(const struct tgi_calibration *c, struct tgi_machine *m, uint32_t class, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    ro.n_workers = 1;
    ro.devices = c->devices;
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc)
        return rc;
    for (uint32_t n = 10; rc == 0 && n <= (c->is_quick ? 1000 : 10000); n *= 10) {
        tgi_calibrate_step(c, "graphs of %u tasks", n);
        rc = measure(rt, n, m, class, err);
    }
    tg_runtime_destroy(rt);
    return rc;
}
