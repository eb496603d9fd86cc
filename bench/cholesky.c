/* Tiled Cholesky factorisation on tiles of 256, 64 and 32, through the public API with built-in kernels.
 * The graph is kept; a run is timed by its makespan, which leaves initialisation out. */
#include "graph/tgraph.h"

#include <math.h>
#include <stdlib.h>

#include "bench/must.h"
#include "bench/sample.h"
#include "bench/tiles.h"

struct size {
    uint32_t nt, b;
};

static int fill(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *e)
{
    const struct size *size = user;
    (void)size_bytes, (void)e;
    bench_tile_fill(data, tile / size->nt, tile % size->nt, size->nt, size->b);
    return 0;
}

static struct tg_graph *build(struct size *size, tg_buffer_id *a_p, uint32_t *n_steps_p)
{
    struct tg_graph *graph;
    must(tg_graph_create("cholesky", &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "A";
    buffer.dtype = TG_F64;
    buffer.n_dims = buffer.n_tile_dims = 2;
    buffer.shape[0] = buffer.shape[1] = size->b;
    buffer.tiles[0] = buffer.tiles[1] = size->nt;
    buffer.init = TG_INIT_CALL;
    buffer.init_call = fill;
    buffer.init_user = size;
    must(tg_graph_add_buffer(graph, &buffer, a_p, &err));
    tg_kernel_id kernels[BENCH_N_KERNELS];
    for (int i = 0; i < BENCH_N_KERNELS; i++) {
        struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
        kernel.name = kernel.builtin = bench_kernel_names[i];
        must(tg_graph_add_kernel(graph, &kernel, &kernels[i], &err));
    }
    struct bench_step *steps = bench_cholesky_steps(size->nt, n_steps_p);
    for (uint32_t i = 0; i < *n_steps_p; i++) {
        struct tg_arg args[1 + BENCH_MAX_OPERANDS] = {tg_arg_int(size->b)};
        for (uint32_t k = 0; k < steps[i].n_tiles; k++)
            args[1 + k] = tg_arg_tile(*a_p, steps[i].tiles[k]);
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.kernel = kernels[steps[i].kernel];
        task.n_args = 1 + steps[i].n_tiles;
        task.args = args;
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    free(steps);
    must(tg_graph_freeze(graph, &err));
    return graph;
}

static void measure(const char *what, struct size size, const struct bench_options *o)
{
    uint32_t n_steps;
    tg_buffer_id a;
    struct tg_graph *graph = build(&size, &a, &n_steps);
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.n_workers = o->n_threads;
    struct tg_runtime *runtime;
    struct tg_run *run;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, graph, NULL, &run, &err));
    struct bench_sample sample = {0};
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        struct tg_run_stats stats;
        must(tg_run_execute(run, &err));
        must(tg_run_stats(run, &stats, &err));
        if (i > 0) /* the first run touches memory and loads BLAS */
            bench_sample_add(&sample, stats.makespan_ns);
    }
    const double *last = tg_run_tile(run, a, size.nt * size.nt - 1);
    bench_report(what, "tgraph", o->n_threads, "us/task",
                 (double)bench_sample_median(&sample) / 1e3 / n_steps);
    bench_report(what, "tgraph", o->n_threads, "GFLOP/s",
                 bench_cholesky_flops(size.nt * size.b) / (double)bench_sample_best(&sample));
    bench_report(what, "tgraph", o->n_threads, "last element", last[(size_t)size.b * size.b - 1]);
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    if (!o.tile || o.tile == 256)
        measure("cholesky 4096/256", (struct size){16, 256}, &o);
    if (!o.tile || o.tile == 64)
        measure("cholesky 2048/64", (struct size){32, 64}, &o);
    if (!o.tile || o.tile == 32)
        measure("cholesky 2048/32", (struct size){64, 32}, &o);
    return 0;
}
