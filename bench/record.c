/* What recording costs while a run is under way: the same graph plain and recorded in turn, many times, so that a machine that
 * slows down slows both.  What is made of the record afterwards is not in it.
 *
 * Figures are medians over pairs: what a task of a recorded run takes more of a processor, and by how much of a hundred the run is
 * longer, for tasks of several lengths. */
#include "graph/tgraph.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/must.h"
#include "bench/sample.h"
#include "bench/shape.h"

#define MOST_PAIRS 401
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

static struct tg_run *make_run(struct tg_runtime *runtime, const struct tg_graph *graph, bool is_recorded)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    options.is_recorded = is_recorded;
    must(tg_run_create(runtime, graph, &options, &run, &err));
    execute_ns(run); /* pages are there from now on */
    return run;
}

/* us: of a task. */
static void measure(struct tg_runtime *runtime, const struct bench_options *o, const char *shape, double us)
{
    double per_ns = steps_per_ns(), plain[MOST_PAIRS], more[MOST_PAIRS], share[MOST_PAIRS];
    uint32_t n_tasks = o->n_tasks ? o->n_tasks : us > 0 ? (uint32_t)(RUN_NS / 1e3 / us * o->n_threads) : 100000;
    n_tasks = n_tasks > 100000 ? 100000 : n_tasks;
    struct tg_graph *graph = make_graph(shape, n_tasks);
    n_steps = (uint64_t)(us * 1e3 * per_ns);
    struct tg_run *runs[] = {make_run(runtime, graph, false), make_run(runtime, graph, true)};
    uint32_t n_pairs = o->n_runs < MOST_PAIRS ? o->n_runs : MOST_PAIRS;
    for (uint32_t i = 0; i < n_pairs; i++) {
        double took[2];
        for (uint32_t k = 0; k < 2; k++) /* who goes first changes */
            took[(i + k) % 2] = execute_ns(runs[(i + k) % 2]);
        plain[i] = took[0] * o->n_threads / n_tasks;
        more[i] = (took[1] - took[0]) * o->n_threads / n_tasks;
        share[i] = 100 * (took[1] - took[0]) / took[0];
    }
    char what[64];
    snprintf(what, sizeof(what), "%s, tasks of %g us", shape, us);
    bench_report(what, "tgraph", o->n_threads, "ns/task", median(plain, n_pairs));
    bench_report(what, "tgraph", o->n_threads, "ns/task more if recorded", median(more, n_pairs));
    bench_report(what, "tgraph", o->n_threads, "% more if recorded", median(share, n_pairs));
    tg_run_destroy(runs[0]);
    tg_run_destroy(runs[1]);
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
