/* What a task costs when it does nothing, through the public API.
 *
 * For every graph: building it (create and add), the first run including freeze, and repeated runs
 * of the same graph.  A repeated run is timed from before to after tg_run_execute(), so
 * it includes resetting the counters. */
#include "graph/tgraph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/must.h"
#include "bench/sample.h"
#include "bench/shape.h"

static int nothing(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    return 0;
}

static tg_kernel_id add_kernel(struct tg_graph *graph, tg_cpu_fn fn, uint32_t n_params,
                               const struct tg_param *params)
{
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    spec.name = "body";
    spec.cpu = fn;
    spec.n_params = n_params;
    spec.params = params;
    tg_kernel_id kernel;
    must(tg_graph_add_kernel(graph, &spec, &kernel, &err));
    return kernel;
}

/* Edges as control edges. */
static struct tg_graph *build_controls(const struct bench_shape *s)
{
    struct tg_graph *graph;
    must(tg_graph_create(s->name, &graph, &err));
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = add_kernel(graph, nothing, 0, NULL);
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        spec.n_after = s->first[t + 1] - s->first[t];
        spec.after = s->pred + s->first[t];
        must(tg_graph_add_task(graph, &spec, NULL, &err));
    }
    return graph;
}

/* Wavefront whose edges are inferred from the tiles the tasks read and write. */
static struct tg_graph *build_data(const struct bench_shape *s)
{
    static const struct tg_param params[] = {
        {"up", TG_U8, TG_IN, TG_SUM}, {"left", TG_U8, TG_IN, TG_SUM}, {"to", TG_U8, TG_OUT, TG_SUM}};
    struct tg_graph *graph;
    must(tg_graph_create("data", &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "x";
    buffer.dtype = TG_U8;
    buffer.n_dims = 1;
    buffer.shape[0] = 1;
    buffer.n_tile_dims = 1;
    buffer.tiles[0] = s->n_tasks;
    buffer.init = TG_INIT_ZERO;
    tg_buffer_id x;
    must(tg_graph_add_buffer(graph, &buffer, &x, &err));
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = add_kernel(graph, nothing, 3, params);
    spec.n_args = 3;
    uint32_t side = s->n_tasks > 1 ? s->pred[s->first[s->n_tasks - 1]] : 0;
    side = s->n_tasks - 1 - side;
    struct tg_arg args[3];
    spec.args = args;
    for (uint32_t t = side; t < s->n_tasks; t++) {
        if (t % side == 0)
            continue; /* first row and column are given */
        args[0] = tg_arg_tile(x, t - side);
        args[1] = tg_arg_tile(x, t - 1);
        args[2] = tg_arg_tile(x, t);
        must(tg_graph_add_task(graph, &spec, NULL, &err));
    }
    return graph;
}

static uint64_t time_run(struct tg_run *run)
{
    uint64_t begin = bench_now_ns();
    must(tg_run_execute(run, &err));
    return bench_now_ns() - begin;
}

static struct tg_runtime *make_runtime(uint32_t n_threads)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.n_workers = n_threads;
    struct tg_runtime *runtime;
    must(tg_runtime_create(&options, &runtime, &err));
    return runtime;
}

static void measure(const char *what, struct tg_graph *graph, uint64_t build_ns,
                    const struct bench_options *o)
{
    struct tg_runtime *runtime = make_runtime(o->n_threads);
    struct tg_run *run;
    uint64_t begin = bench_now_ns();
    must(tg_graph_freeze(graph, &err));
    uint64_t freeze_ns = bench_now_ns() - begin;
    must(tg_run_create(runtime, graph, NULL, &run, &err));
    time_run(run);
    uint64_t first_ns = bench_now_ns() - begin;

    struct bench_sample sample = {0};
    for (uint32_t i = 0; i < o->n_runs; i++)
        bench_sample_add(&sample, time_run(run));

    struct tg_graph_stats stats;
    must(tg_graph_stats(graph, &stats, &err));
    double n = (double)stats.n_tasks;
    bench_report(what, "tgraph", o->n_threads, "ns/task", (double)bench_sample_median(&sample) / n);
    bench_report(what, "tgraph", o->n_threads, "best ns/task", (double)bench_sample_best(&sample) / n);
    bench_report(what, "tgraph", o->n_threads, "build ns/task", (double)build_ns / n);
    bench_report(what, "tgraph", o->n_threads, "freeze ns/task", (double)freeze_ns / n);
    bench_report(what, "tgraph", o->n_threads, "first run ns/task", (double)first_ns / n);
    bench_report(what, "tgraph", o->n_threads, "bytes/task", (double)stats.memory_bytes / n);
    bench_report(what, "tgraph", o->n_threads, "edges/task", (double)stats.n_edges / n);
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
}

static void bench_shape(const char *what, const struct bench_options *o)
{
    bool is_data = !strcmp(what, "data");
    const char *name = is_data ? "wavefront" : what;
    struct bench_shape shape = bench_shape_make(name, o->n_tasks);
    uint64_t begin = bench_now_ns();
    struct tg_graph *graph = is_data ? build_data(&shape) : build_controls(&shape);
    uint64_t build_ns = bench_now_ns() - begin;
    bench_shape_free(&shape);
    measure(what, graph, build_ns, o);
}

/* ---- Spawned tasks ------------------------------------------------------------------------*/

struct fib {
    uint32_t n;
    uint64_t value;
};

static int fib_job(void *arg, const struct tg_context *ctx)
{
    struct fib *f = arg;
    if (f->n < 2) {
        f->value = f->n;
        return 0;
    }
    struct fib a = {f->n - 1, 0}, b = {f->n - 2, 0};
    struct tg_job job;
    tg_spawn(ctx, &job, fib_job, &a);
    fib_job(&b, ctx);
    tg_sync(ctx, &job);
    f->value = a.value + b.value;
    return 0;
}

static struct fib root;

static int fib_kernel(void **args, const struct tg_context *ctx)
{
    (void)args;
    return fib_job(&root, ctx);
}

static void bench_fib(const struct bench_options *o)
{
    uint32_t n = o->n ? o->n : 32;
    uint64_t a = 0, b = 1, calls_a = 1, calls_b = 1; /* fib and number of calls for 0 and 1 */
    for (uint32_t i = 0; i < n; i++) {
        uint64_t sum = a + b, calls = calls_a + calls_b + 1;
        a = b, b = sum;
        calls_a = calls_b, calls_b = calls;
    }
    struct tg_graph *graph;
    must(tg_graph_create("fib", &graph, &err));
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = add_kernel(graph, fib_kernel, 0, NULL);
    must(tg_graph_add_task(graph, &spec, NULL, &err));
    must(tg_graph_freeze(graph, &err));
    struct tg_runtime *runtime = make_runtime(o->n_threads);
    struct tg_run *run;
    must(tg_run_create(runtime, graph, NULL, &run, &err));
    struct bench_sample sample = {0};
    for (uint32_t i = 0; i < o->n_runs; i++) {
        root = (struct fib){n, 0};
        bench_sample_add(&sample, time_run(run));
        if (root.value != a)
            bench_die("fib(%u) gave %lu", n, (unsigned long)root.value);
    }
    bench_report("fib", "tgraph", o->n_threads, "ns/task",
                 (double)bench_sample_median(&sample) / (double)calls_a);
    bench_report("fib", "tgraph", o->n_threads, "best ns/task",
                 (double)bench_sample_best(&sample) / (double)calls_a);
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
}

int main(int argc, char **argv)
{
    static const char *const all[] = {"independent", "chain", "wavefront", "random",
                                      "tree",        "join",  "data",      "fib"};
    struct bench_options o = bench_parse(argc, argv);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (o.what && strcmp(o.what, all[i]))
            continue;
        if (!strcmp(all[i], "fib"))
            bench_fib(&o);
        else
            bench_shape(all[i], &o);
    }
    return 0;
}
