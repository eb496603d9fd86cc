/* What a task that does nothing takes on a device as a node of a graph and inside a resident kernel: replays of such graphs of two sizes, by
 * the device's clock, whose difference has neither launches nor copies in it.  Chains show what follows each other, tasks without order what
 * stands side by side.  A chain in a resident kernel belongs to one worker; what a kernel takes beside its tasks is seen where there is about one for each
 * worker of a large device, all at once.  By how much times of recorded replays are longer than what such tasks add to a chain is what noting them
 * takes.  What a hop to another one takes is not seen by such
 * graphs, and stays what it usually is (TGI_RESIDENT_COSTS_INIT). */
#include "graph/error.h"
#include "sched/backend.h"
#include "sched/calibrate.h"
#include "sched/offload_graph.h"
#include "sched/sample.h"

enum { N_WARM = 3, N_TIMED = 7, SMALLER = 10, WIDE = 1000, N_STAMPED = 200 };

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

/* Of one more task; 0 where the times make no sense of it. */
static int find_each(struct tg_runtime *rt, uint32_t n, bool is_chain, enum tg_executor executor, double *each_p, struct tg_error *err)
{
    double few_ns = 0, many_ns = 0;
    uint32_t few = n / SMALLER;
    int rc = time_graph(rt, few, is_chain ? few : 1, executor, &few_ns, err);
    if (rc == 0)
        rc = time_graph(rt, n, is_chain ? n : 1, executor, &many_ns, err);
    *each_p = rc == 0 && few_ns > 0 && many_ns > few_ns ? (many_ns - few_ns) / (n - few) : 0;
    return rc;
}

/* The median time of a task in the last of some recorded replays; 0: there was none. */
static int read_times(struct tg_run *run, double *ns_p, struct tg_error *err)
{
    double ns[N_STAMPED];
    struct tgi_sample s;
    int rc = 0;
    *ns_p = 0;
    for (uint32_t i = 0; rc == 0 && i < N_WARM; i++)
        rc = tg_run_execute(run, err);
    const struct tgi_span *spans = rc == 0 && tg_run_executor(run, NULL) == TG_EXECUTOR_GRAPH ? tgi_run_spans(run) : NULL;
    for (uint32_t t = 0; spans && t < N_STAMPED; t++)
        ns[t] = (double)(spans[t].end_ns - spans[t].start_ns);
    if (!spans)
        return rc;
    tgi_sample_of(ns, N_STAMPED, &s);
    *ns_p = s.median;
    return 0;
}

/* Times are noted by kernels of their own, before and after a task's, so that they have two launches in them. */
static int find_stamp(struct tg_runtime *rt, struct tgi_machine_class *to, struct tg_error *err)
{
    struct tg_run_options o = TG_RUN_OPTIONS_INIT;
    struct tg_graph *g;
    struct tg_run *run;
    double ns = 0;
    o.executor = TG_EXECUTOR_GRAPH;
    o.is_recorded = true;
    int rc = tgi_calibrate_nothing(N_STAMPED, N_STAMPED, &g, err);
    if (rc)
        return rc;
    rc = tg_run_create(rt, g, &o, &run, err);
    if (rc == 0) {
        rc = read_times(run, &ns, err);
        tg_run_destroy(run);
    }
    tg_graph_destroy(g);
    if (rc == 0 && to->chain_ns > 0 && ns > to->chain_ns)
        to->stamp_ns = ns - to->chain_ns;
    return rc;
}

static int find_resident(struct tg_runtime *rt, uint32_t n, struct tgi_machine_class *to, struct tg_error *err)
{
    double wide_ns;
    int rc = find_each(rt, n, true, TG_EXECUTOR_RESIDENT, &to->resident_task_ns, err);
    if (rc == 0)
        rc = time_graph(rt, WIDE, 1, TG_EXECUTOR_RESIDENT, &wide_ns, err);
    if (rc == 0 && to->resident_task_ns > 0 && wide_ns > to->resident_task_ns)
        to->resident_start_ns = wide_ns - to->resident_task_ns;
    return rc;
}

int tgi_calibrate_inside(const struct tgi_calibration *c, struct tgi_machine *m, uint32_t class, struct tg_error *err)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tgi_machine_class *to = &m->classes[class];
    uint32_t n = c->is_quick ? 500 : 2000;
    struct tg_runtime *rt;
    ro.n_workers = 1;
    ro.devices = c->devices;
    int rc = tg_runtime_create(&ro, &rt, err);
    if (rc)
        return rc;
    tgi_calibrate_step(c, "tasks inside graphs and resident kernels");
    rc = find_each(rt, n, true, TG_EXECUTOR_GRAPH, &to->chain_ns, err);
    if (rc == 0)
        rc = find_each(rt, n, false, TG_EXECUTOR_GRAPH, &to->node_ns, err);
    if (rc == 0)
        rc = find_stamp(rt, to, err);
    if (rc == 0 && rt->offload->devices->ops->resident_call)
        rc = find_resident(rt, n, to, err);
    tg_runtime_destroy(rt);
    return rc;
}
