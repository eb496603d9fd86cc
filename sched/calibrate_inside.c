/* What a task that does nothing takes on a device as a node of a graph and inside a resident kernel: replays of such graphs of two sizes, by
 * the device's clock, whose difference has neither launches nor copies in it.  Chains show what follows each other, tasks without order what
 * stands side by side.  A chain in a resident kernel belongs to one worker.  What a hop to another one takes is not seen by such
 * graphs, and stays what it usually is (TGI_RESIDENT_COSTS_INIT). */
#include "graph/error.h"
#include "sched/backend.h"
#include "sched/calibrate.h"
#include "sched/offload_graph.h"

enum { N_WARM = 3, N_TIMED = 7, SMALLER = 10 };

/* The shortest replay: what disturbs one makes it longer.  0: it was not what was asked for. */
static int replay(struct tg_run *run, enum tg_executor executor, double *ns_p, struct tg_error *err)
{
    int rc = tgi_offload_graph_time(run, err);
    *ns_p = 0;
    for (uint32_t i = 0; rc == 0 && i < N_WARM + N_TIMED; i++) {
        double ns;
        rc = tg_run_execute(run, err);
        if (rc == 0 && tg_run_executor(run, NULL) != executor)
            break;
        if (rc == 0 && i >= N_WARM)
            rc = tgi_offload_graph_elapsed(run, &ns, err);
        if (rc == 0 && i >= N_WARM && (*ns_p <= 0 || ns < *ns_p))
            *ns_p = ns;
    }
    return rc;
}

static int time_graph(struct tg_runtime *rt, uint32_t n_tasks, uint32_t chain, enum tg_executor executor, double *ns_p, struct tg_error *err)
{
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_graph *g;
    struct tg_run *run;
    o.executor = executor;
    int rc = tgi_calibrate_nothing(n_tasks, chain, &g, err);
    if (rc)
        return rc;
    rc = tg_run_create(rt, g, &o, &run, err);
    if (rc == 0) {
        rc = replay(run, executor, ns_p, err);
        tg_run_destroy(run);
    }
    tg_graph_destroy(g);
    return rc;
}

/* each_p: of one more task; start_p: of none at all.  0 where the times make no sense of it. */
static int find_each(struct tg_runtime *rt, uint32_t n, bool is_chain, enum tg_executor executor, double *each_p, double *start_p,
                     struct tg_error *err)
{
    double few_ns = 0, many_ns = 0;
    uint32_t few = n / SMALLER;
    int rc = time_graph(rt, few, is_chain ? few : 1, executor, &few_ns, err);
    if (rc == 0)
        rc = time_graph(rt, n, is_chain ? n : 1, executor, &many_ns, err);
    bool is_known = rc == 0 && few_ns > 0 && many_ns > few_ns;
    *each_p = is_known ? (many_ns - few_ns) / (n - few) : 0;
    *start_p = is_known && few_ns > few * *each_p ? few_ns - few * *each_p : 0;
    return rc;
}

int tgi_calibrate_inside(const struct tgi_calibration *c, struct tgi_machine *m, uint32_t class, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tgi_machine_class *to = &m->classes[class];
    uint32_t n = c->is_quick ? 500 : 2000;
    struct tg_runtime *rt;
    double unused;
    ro.n_workers = 1;
    ro.devices = c->devices;
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc)
        return rc;
    tgi_calibrate_step(c, "tasks inside graphs and resident kernels");
    rc = find_each(rt, n, true, TG_EXECUTOR_GRAPH, &to->chain_ns, &unused, err);
    if (rc == 0)
        rc = find_each(rt, n, false, TG_EXECUTOR_GRAPH, &to->node_ns, &unused, err);
    if (rc == 0 && rt->offload->devices->ops->resident_call)
        rc = find_each(rt, n, true, TG_EXECUTOR_RESIDENT, &to->resident_task_ns, &to->resident_start_ns, err);
    tg_runtime_destroy(rt);
    return rc;
}
