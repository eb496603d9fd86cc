/* Task Bench's patterns through the public API: METG(75 %) with the graph reused, with building it from
 * explicit edges in every run, and with building it from the data its tasks read and write.  In the
 * latter every point of every step has a tile of its own, so only true dependences appear. */
#include "graph/tgraph.h"

#include <stdlib.h>
#include <string.h>

#include "bench/metg.h"
#include "bench/must.h"
#include "bench/sample.h"
#include "bench/shape.h"

enum { MAX_ARGS = 64 };

static uint32_t iterations_now;

static int body(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    if (iterations_now)
        bench_work(iterations_now);
    return 0;
}

struct pattern {
    struct bench_shape shape;
    struct tg_runtime *runtime;
    struct tg_run *run;
};

static tg_kernel_id add_kernel(struct tg_graph *graph, const char *name, uint32_t n_inputs, bool has_output)
{
    struct tg_param params[MAX_ARGS];
    for (uint32_t i = 0; i < n_inputs; i++)
        params[i] = (struct tg_param){NULL, TG_U8, TG_IN, TG_SUM};
    params[n_inputs] = (struct tg_param){NULL, TG_U8, TG_OUT, TG_SUM};
    static char names[MAX_ARGS][4];
    for (uint32_t i = 0; i <= n_inputs; i++) {
        names[i][0] = 'p', names[i][1] = (char)('0' + i / 10), names[i][2] = (char)('0' + i % 10);
        params[i].name = names[i];
    }
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    spec.name = name;
    spec.cpu = body;
    spec.n_params = n_inputs + has_output;
    spec.params = params;
    tg_kernel_id kernel;
    must(tg_graph_add_kernel(graph, &spec, &kernel, &err));
    return kernel;
}

static struct tg_graph *build_edges(const struct bench_shape *s)
{
    struct tg_graph *graph;
    must(tg_graph_create(s->name, &graph, &err));
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = add_kernel(graph, "body", 0, false);
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        spec.n_after = s->first[t + 1] - s->first[t];
        spec.after = s->pred + s->first[t];
        must(tg_graph_add_task(graph, &spec, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

static struct tg_graph *build_data(const struct bench_shape *s)
{
    struct tg_graph *graph;
    must(tg_graph_create(s->name, &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "x";
    buffer.dtype = TG_U8;
    buffer.n_dims = buffer.n_tile_dims = 1;
    buffer.shape[0] = 1;
    buffer.tiles[0] = s->n_tasks;
    tg_buffer_id x;
    must(tg_graph_add_buffer(graph, &buffer, &x, &err));
    tg_kernel_id kernels[MAX_ARGS];
    for (uint32_t i = 0; i < MAX_ARGS; i++)
        kernels[i] = TG_NONE;
    struct tg_arg args[MAX_ARGS];
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.args = args;
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        uint32_t n_inputs = s->first[t + 1] - s->first[t];
        if (n_inputs >= MAX_ARGS - 1)
            bench_die("more than %d inputs", MAX_ARGS - 2);
        if (kernels[n_inputs] == TG_NONE) {
            char name[] = {'k', (char)('0' + n_inputs / 10), (char)('0' + n_inputs % 10), 0};
            kernels[n_inputs] = add_kernel(graph, name, n_inputs, true);
        }
        for (uint32_t k = 0; k < n_inputs; k++)
            args[k] = tg_arg_tile(x, s->pred[s->first[t] + k]);
        args[n_inputs] = tg_arg_tile(x, t);
        spec.kernel = kernels[n_inputs];
        spec.n_args = n_inputs + 1;
        must(tg_graph_add_task(graph, &spec, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

static void execute(struct tg_run *run)
{
    must(tg_run_execute(run, &err));
}

static uint64_t run_reused(void *user, uint32_t iterations)
{
    struct pattern *p = user;
    iterations_now = iterations;
    uint64_t begin = bench_now_ns();
    execute(p->run);
    return bench_now_ns() - begin;
}

static uint64_t run_built(const struct pattern *p, struct tg_graph *(*build)(const struct bench_shape *s),
                          uint32_t iterations)
{
    iterations_now = iterations;
    uint64_t begin = bench_now_ns();
    struct tg_graph *graph = build(&p->shape);
    struct tg_run *run;
    must(tg_run_create(p->runtime, graph, NULL, &run, &err));
    execute(run);
    tg_run_destroy(run);
    tg_graph_destroy(graph);
    return bench_now_ns() - begin;
}

static uint64_t run_built_edges(void *user, uint32_t iterations)
{
    return run_built(user, build_edges, iterations);
}
static uint64_t run_built_data(void *user, uint32_t iterations)
{
    return run_built(user, build_data, iterations);
}

static void measure(const char *name, const struct bench_options *o)
{
    struct pattern p = {.shape =
                            bench_pattern_make(name, o->n ? o->n : BENCH_PATTERN_WIDTH, BENCH_PATTERN_STEPS)};
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.n_workers = o->n_threads;
    must(tg_runtime_create(&options, &p.runtime, &err));
    struct tg_graph *graph = build_edges(&p.shape);
    must(tg_run_create(p.runtime, graph, NULL, &p.run, &err));
    execute(p.run);

    const struct {
        const char *metric;
        bench_run_fn run;
    } modes[] = {{"METG us reused", run_reused},
                 {"METG us built", run_built_edges},
                 {"METG us inferred", run_built_data}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        bench_report(name, "tgraph", o->n_threads, modes[i].metric,
                     bench_metg_us(modes[i].run, &p, p.shape.n_tasks, o->n_threads, o->n_runs, 0.75));
    tg_run_destroy(p.run);
    tg_graph_destroy(graph);
    tg_runtime_destroy(p.runtime);
    bench_shape_free(&p.shape);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    for (const char *const *name = bench_pattern_names; *name; name++)
        if (!o.pattern || !strcmp(o.pattern, *name) || !strcmp(o.pattern, "all"))
            measure(*name, &o);
    return 0;
}
