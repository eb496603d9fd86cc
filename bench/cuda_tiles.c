/* The tile kernels of the Cholesky factorisation on a GPU, one after the other and all at once: what a schedule of
 * the factorisation can reach at most.  --tile is the tile, all usual ones by default. */
#include "bench/cuda_bare.h"

#include <stdio.h>

#include "bench/tiles.h"

enum { N_TASKS = 16, N_TILES = 3 }; /* tiles: of each task */

static int fill(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *e)
{
    const uint32_t *b = user;
    (void)tile, (void)size_bytes, (void)e;
    bench_tile_fill(data, 0, 0, 1, *b);
    return 0;
}

/* A factorisation needs a fresh matrix each time. */
static void add_copy(struct tg_graph *graph, tg_buffer_id a, uint32_t i)
{
    const struct tg_arg args[] = {tg_arg_tile(a, i * N_TILES + N_TILES - 1), tg_arg_tile(a, i * N_TILES)};
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    task.kind = TG_TASK_COPY;
    task.n_args = 2;
    task.args = args;
    task.on = "cuda";
    must(tg_graph_add_task(graph, &task, NULL, &err));
}

static double measure(enum bench_kernel k, uint32_t b, bool is_chain, const struct bench_options *o)
{
    static const uint32_t n_tiles[BENCH_N_KERNELS] = {1, 2, 2, 3};
    static const double flops[BENCH_N_KERNELS] = {1.0 / 3, 1, 1, 2};
    struct tg_graph *graph;
    struct tg_runtime *runtime;
    struct tg_run *run;
    tg_buffer_id a;
    tg_kernel_id kernel_id;
    tg_task_id last = TG_NONE;
    struct bench_sample sample = {{0}, 0};
    must(tg_graph_create("tiles", &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "A";
    buffer.dtype = TG_F64;
    buffer.n_dims = 2;
    buffer.n_tile_dims = 1;
    buffer.shape[0] = buffer.shape[1] = b;
    buffer.tiles[0] = N_TASKS * N_TILES;
    buffer.init = TG_INIT_CALL;
    buffer.init_call = fill;
    buffer.init_user = &b;
    must(tg_graph_add_buffer(graph, &buffer, &a, &err));
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = kernel.builtin = bench_kernel_names[k];
    must(tg_graph_add_kernel(graph, &kernel, &kernel_id, &err));
    for (uint32_t i = 0; i < N_TASKS; i++) {
        struct tg_arg args[1 + N_TILES] = {tg_arg_int(b)};
        if (k == BENCH_POTRF)
            add_copy(graph, a, i);
        for (uint32_t t = 0; t < n_tiles[k]; t++)
            args[1 + t] = tg_arg_tile(a, (i + 1) * N_TILES - n_tiles[k] + t);
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.kernel = kernel_id;
        task.n_args = 1 + n_tiles[k];
        task.args = args;
        task.on = "cuda";
        task.n_after = is_chain && i > 0;
        task.after = &last;
        tg_task_id id;
        must(tg_graph_add_task(graph, &task, &id, &err));
        last = id;
    }
    must(tg_graph_freeze(graph, &err));
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.devices = "cuda:0";
    must(tg_runtime_create(&options, &runtime, &err));
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    run_options.keep_data = true;
    must(tg_run_create(runtime, graph, &run_options, &run, &err));
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        struct tg_run_stats stats;
        must(tg_run_execute(run, &err));
        must(tg_run_stats(run, &stats, &err));
        if (i > 0)
            bench_sample_add(&sample, stats.makespan_ns);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return flops[k] * N_TASKS * b * (double)b * b / (double)bench_sample_median(&sample) / 1e3;
}

int main(int argc, char **argv)
{
    static const uint32_t tiles[] = {512, 1024, 2048};
    struct bench_options o = bench_parse(argc, argv);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < BENCH_N_KERNELS; k++) {
            char what[64];
            if (o.tile && o.tile != tiles[i])
                continue;
            snprintf(what, sizeof what, "%s %u", bench_kernel_names[k], tiles[i]);
            bench_report(what, "tgraph", 1, "TFLOP/s, one at a time", measure((enum bench_kernel)k, tiles[i], true, &o));
            bench_report(what, "tgraph", 1, "TFLOP/s, all at once", measure((enum bench_kernel)k, tiles[i], false, &o));
        }
    return 0;
}
