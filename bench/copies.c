/* Copies between host and device: tgraph's bandwidth beside the bare driver's, and a pipeline that copies in,
 * computes, and copies out, beside the longest of its stages.
 *
 * The host's tiles are the program's own, so every run moves them again. */
#include "bench/cuda_bare.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_ELEMS = 8 << 20, N_TILES = 32 };
static const double total_bytes = (double)N_TILES * TILE_ELEMS * sizeof(float);

/* ---- By hand ------------------------------------------------------------------------------*/

static void *pinned;

/* GB/s, best of the runs: one copy of everything. */
static double bare(const struct bench_options *o, bool to_device)
{
    CUdeviceptr device;
    CUstream stream;
    struct bench_sample sample = {{0}, 0};
    bare_open(0);
    DO(cuMemAlloc, (&device, (size_t)total_bytes));
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        if (to_device)
            DO(cuMemcpyHtoDAsync, (device, pinned, (size_t)total_bytes, stream));
        else
            DO(cuMemcpyDtoHAsync, (pinned, device, (size_t)total_bytes, stream));
        DO(cuStreamSynchronize, (stream));
        if (i > 0)
            bench_sample_add(&sample, bench_now_ns() - begin);
    }
    api->cuStreamDestroy(stream);
    api->cuMemFree(device);
    bare_close(0);
    return total_bytes / (double)bench_sample_median(&sample);
}

/* ---- tgraph -------------------------------------------------------------------------------*/

/* Median nanoseconds of a run with one task per tile: a fill, or a kernel that scales by 1.  is_bound: tiles lie in
 * the program's memory. */
static uint64_t tgraph(const struct bench_options *o, bool is_fill, bool is_bound)
{
    struct tg_graph *graph;
    struct tg_runtime *runtime;
    struct tg_run *run;
    tg_buffer_id x;
    tg_kernel_id kernel_id = TG_NONE;
    struct bench_sample sample = {{0}, 0};
    must(tg_graph_create("copies", &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "x";
    buffer.n_dims = buffer.n_tile_dims = 1;
    buffer.shape[0] = TILE_ELEMS;
    buffer.tiles[0] = N_TILES;
    buffer.init = TG_INIT_FILL;
    buffer.init_value = 1;
    buffer.host = is_bound ? pinned : NULL;
    must(tg_graph_add_buffer(graph, &buffer, &x, &err));
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = kernel.builtin = "scale";
    must(tg_graph_add_kernel(graph, &kernel, &kernel_id, &err));
    for (uint32_t t = 0; t < N_TILES; t++) {
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        struct tg_arg fill[] = {tg_arg_tile(x, t), tg_arg_float(1)};
        struct tg_arg scale[] = {tg_arg_int(TILE_ELEMS), tg_arg_float(1.0), tg_arg_tile(x, t)};
        task.on = "cuda";
        task.kind = is_fill ? TG_TASK_FILL : TG_TASK_KERNEL;
        task.kernel = is_fill ? TG_NONE : kernel_id;
        task.args = is_fill ? fill : scale;
        task.n_args = is_fill ? 2 : 3;
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    options.n_workers = 1;
    options.devices = "cuda:0";
    run_options.keep_data = true;
    must(tg_runtime_create(&options, &runtime, &err));
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
    return bench_sample_median(&sample);
}

/* ---- Both ---------------------------------------------------------------------------------*/

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    bare_open(0);
    DO(cuMemHostAlloc, (&pinned, (size_t)total_bytes, CU_MEMHOSTALLOC_PORTABLE));
    memset(pinned, 0, (size_t)total_bytes);
    double in = bare(&o, true), out = bare(&o, false);
    bench_report("copy to device", "by hand", 1, "GB/s", in);
    /* A fill of a bound tile moves it to the host at the end, and nothing to the device. */
    double mine = total_bytes / (double)tgraph(&o, true, true);
    bench_report("copy to host", "by hand", 1, "GB/s", out);
    bench_report("copy to host", "tgraph", 1, "GB/s", mine);
    bench_report("copy to host", "tgraph", 1, "share of bare", mine / out);
    /* Scaling by 1 takes it there and back: copies in, kernels and copies out overlap. */
    double copies_ns = total_bytes / (in < out ? in : out);
    double compute_ns = (double)tgraph(&o, false, false), all_ns = (double)tgraph(&o, false, true);
    bench_report("copy in, scale, copy out", "tgraph", 1, "ms", all_ns / 1e6);
    bench_report("copy in, scale, copy out", "tgraph", 1, "ms of kernels alone", compute_ns / 1e6);
    bench_report("copy in, scale, copy out", "tgraph", 1, "times the longest stage",
                 all_ns / (compute_ns > copies_ns ? compute_ns : copies_ns));
    bare_open(0);
    api->cuMemFreeHost(pinned);
    bare_close(0);
    return 0;
}
