/* What recording costs while a run is under way: the same graph plain, recorded, and recorded into a file that outlives the process in
 * turn, many times, so that a machine that slows down slows all.  What is made of the record afterwards is not in it.
 *
 * Figures are medians over such rounds: what a task of a recorded run takes more of a processor, and by how much of a hundred the run is
 * longer, for tasks of several lengths.  The file is in the working folder. */
#include "graph/tgraph.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/must.h"
#include "bench/sample.h"
#include "bench/shape.h"
#include "io/live_record.h"

#define MOST_PAIRS 401
#define LIVE_FILE "bench-record.partial"
#define RUN_NS 20000000.0 /* about what a run is to take */

static uint64_t n_steps; /* of a task's body */

/* Arithmetic that depends on itself, and on no clock and no memory. */
static int work(void **args, const struct tg_context *ctx)
{
    volatile uint64_t sink;
    uint64_t x = 88172645463325252u;
    (void)args, (void)ctx;
    for (uint64_t i = 0; i < n_steps; i++)
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    sink = x;
    (void)sink;
    return 0;
}

static double steps_per_ns(void)
{
    double best = 0;
    n_steps = 1000000;
    for (int i = 0; i < 20; i++) {
        uint64_t begin = bench_now_ns();
        work(NULL, NULL);
        double rate = (double)n_steps / (double)(bench_now_ns() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

static struct tg_graph *make_graph(const char *name, uint32_t n_tasks)
{
    struct bench_shape s = bench_shape_make(name, n_tasks);
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_graph *graph;
    must(tg_graph_create(name, &graph, &err));
    kernel.name = "work";
    kernel.cpu = work;
    must(tg_graph_add_kernel(graph, &kernel, &task.kernel, &err));
    for (uint32_t t = 0; t < s.n_tasks; t++) {
        task.n_after = s.first[t + 1] - s.first[t];
        task.after = s.pred + s.first[t];
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    bench_shape_free(&s);
    return graph;
}

static double execute_ns(struct tg_run *run)
{
    struct tg_run_stats stats;
    must(tg_run_execute(run, &err));
    must(tg_run_stats(run, &stats, &err));
    return (double)stats.makespan_ns;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, uint32_t n)
{
    qsort(values, n, sizeof(*values), compare);
    return values[n / 2];
}

static struct tgi_live_record *keep(const struct tg_graph *graph, uint32_t n_workers, struct tg_run *run)
{
    struct tgi_recorded what = {.graph = graph, .n_workers = n_workers, .run = run};
    struct tgi_live_record *live;
    must(tgi_live_record_create(LIVE_FILE, &what, &live, &err));
    tgi_live_record_follow(live, run);
    return live;
}

static struct tg_run *make_run(struct tg_runtime *runtime, const struct tg_graph *graph, bool is_recorded)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    options.is_recorded = is_recorded;
    must(tg_run_create(runtime, graph, &options, &run, &err));
    return run;
}

/* us: of a task. */
static void measure(struct tg_runtime *runtime, const struct bench_options *o, const char *shape, double us)
{
    enum { PLAIN, RECORDED, KEPT, N_WAYS };
    double per_ns = steps_per_ns(), plain[MOST_PAIRS], more[MOST_PAIRS], share[MOST_PAIRS], kept_share[MOST_PAIRS];
    uint32_t n_tasks = o->n_tasks ? o->n_tasks : us > 0 ? (uint32_t)(RUN_NS / 1e3 / us * o->n_threads) : 100000;
    n_tasks = n_tasks > 100000 ? 100000 : n_tasks;
    struct tg_graph *graph = make_graph(shape, n_tasks);
    n_steps = (uint64_t)(us * 1e3 * per_ns);
    struct tg_run *runs[N_WAYS];
    for (uint32_t k = 0; k < N_WAYS; k++)
        runs[k] = make_run(runtime, graph, k != PLAIN);
    struct tgi_live_record *live = keep(graph, o->n_threads, runs[KEPT]);
    for (uint32_t k = 0; k < N_WAYS; k++)
        execute_ns(runs[k]); /* pages are there from now on */
    uint32_t n_pairs = o->n_runs < MOST_PAIRS ? o->n_runs : MOST_PAIRS;
    for (uint32_t i = 0; i < n_pairs; i++) {
        double took[N_WAYS];
        for (uint32_t k = 0; k < N_WAYS; k++) /* who goes first changes */
            took[(i + k) % N_WAYS] = execute_ns(runs[(i + k) % N_WAYS]);
        plain[i] = took[PLAIN] * o->n_threads / n_tasks;
        more[i] = (took[RECORDED] - took[PLAIN]) * o->n_threads / n_tasks;
        share[i] = 100 * (took[RECORDED] - took[PLAIN]) / took[PLAIN];
        kept_share[i] = 100 * (took[KEPT] - took[PLAIN]) / took[PLAIN];
    }
    char what[64];
    snprintf(what, sizeof(what), "%s, tasks of %g us", shape, us);
    bench_report(what, "tgraph", o->n_threads, "ns/task", median(plain, n_pairs));
    bench_report(what, "tgraph", o->n_threads, "ns/task more if recorded", median(more, n_pairs));
    bench_report(what, "tgraph", o->n_threads, "% more if recorded", median(share, n_pairs));
    bench_report(what, "tgraph", o->n_threads, "% more if recorded into a file", median(kept_share, n_pairs));
    for (uint32_t k = 0; k < N_WAYS; k++)
        tg_run_destroy(runs[k]);
    tgi_live_record_remove(live);
    tgi_live_record_close(live);
    tg_graph_destroy(graph);
}

int main(int argc, char **argv)
{
    static const double lengths_us[] = {0, 0.5, 1, 2, 5, 10, 50};
    struct bench_options o = bench_parse(argc, argv);
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *runtime;
    options.n_workers = o.n_threads;
    must(tg_runtime_create(&options, &runtime, &err));
    for (size_t i = 0; i < sizeof(lengths_us) / sizeof(*lengths_us); i++)
        measure(runtime, &o, o.what ? o.what : "random", lengths_us[i]);
    tg_runtime_destroy(runtime);
    return 0;
}
