/* Copies between host and device: tgraph's bandwidth beside the bare driver's, one way and both ways at once, and
 * a pipeline of equal stages, copies and kernels, beside the longer of the two.
 *
 * The host's tiles are the program's own, so every run moves them again. */
#include "bench/cuda_bare.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_BYTES = 8 << 20, N_TILES = 128, N_LANES = 4 };
static const double total_bytes = (double)N_TILES * TILE_BYTES;

/* ---- By hand ------------------------------------------------------------------------------*/

static void *pinned, *pageable;
static void *memory; /* which of the two is measured */

/* How copies are enqueued; events as whoever waits for single copies must have them. */
enum how { PLAIN, EVENT_BEHIND_EACH, TWO_STREAMS_IN_TURN };

/* Median nanoseconds of copying everything, a tile at a time, to the device, to the host, or both at once (then half of
 * it each way). */
static double bare(const struct bench_options *o, bool is_in, bool is_out, enum how how)
{
    CUevent event;
    CUdeviceptr device;
    CUstream streams[2];
    struct bench_sample sample = {{0}, 0};
    size_t n = N_TILES / (is_in && is_out ? 2 : 1), offset = is_in && is_out ? n * TILE_BYTES : 0;
    bare_open(0);
    DO(cuMemAlloc, (&device, (size_t)total_bytes));
    for (int i = 0; i < 2; i++)
        DO(cuStreamCreate, (&streams[i], CU_STREAM_NON_BLOCKING));
    DO(cuEventCreate, (&event, CU_EVENT_DISABLE_TIMING));
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        for (size_t t = 0; t < n; t++) {
            size_t in = t * TILE_BYTES, out = offset + in;
            if (is_in)
                DO(cuMemcpyHtoDAsync, (device + in, (char *)memory + in, TILE_BYTES, streams[how == TWO_STREAMS_IN_TURN && t % 2]));
            if (is_out)
                DO(cuMemcpyDtoHAsync, ((char *)memory + out, device + out, TILE_BYTES, streams[1]));
            if (how == EVENT_BEHIND_EACH)
                DO(cuEventRecord, (event, streams[is_in ? 0 : 1]));
        }
        for (int k = 0; k < 2; k++)
            DO(cuStreamSynchronize, (streams[k]));
        if (i > 0)
            bench_sample_add(&sample, bench_now_ns() - begin);
    }
    for (int i = 0; i < 2; i++)
        api->cuStreamDestroy(streams[i]);
    api->cuEventDestroy(event);
    api->cuMemFree(device);
    bare_close(0);
    return (double)bench_sample_median(&sample);
}

/* The same from one device to another, by a stream of the one that writes or of the one that reads. */
enum side { WRITER, READER };
static double bare_peer(const struct bench_options *o, enum side side)
{
    CUcontext ctx[2];
    CUdeviceptr memory[2];
    CUstream stream;
    struct bench_sample sample = {{0}, 0};
    for (int i = 1; i >= 0; i--) { /* the last one stays current */
        ctx[i] = bare_open(i);
        DO(cuMemAlloc, (&memory[i], (size_t)total_bytes));
    }
    api->cuCtxEnablePeerAccess(ctx[1], 0); /* may be on already */
    DO(cuCtxSetCurrent, (ctx[1]));
    api->cuCtxEnablePeerAccess(ctx[0], 0);
    DO(cuCtxSetCurrent, (ctx[side == READER]));
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        for (size_t t = 0; t < N_TILES; t++)
            DO(cuMemcpyPeerAsync, (memory[1] + t * TILE_BYTES, ctx[1], memory[0] + t * TILE_BYTES, ctx[0], TILE_BYTES, stream));
        DO(cuStreamSynchronize, (stream));
        if (i > 0)
            bench_sample_add(&sample, bench_now_ns() - begin);
    }
    api->cuStreamDestroy(stream);
    for (int i = 0; i < 2; i++) {
        DO(cuCtxSetCurrent, (ctx[i]));
        api->cuMemFree(memory[i]);
    }
    bare_close(0);
    bare_close(1);
    return (double)bench_sample_median(&sample);
}

/* ---- tgraph -------------------------------------------------------------------------------*/

enum what { TO_HOST, SCALE, SPIN, PEER };

static void add_kernel(struct tg_graph *graph, const char *name, tg_kernel_id *id_p)
{
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = kernel.builtin = name;
    must(tg_graph_add_kernel(graph, &kernel, id_p, &err));
}

static tg_buffer_id add_buffer(struct tg_graph *graph, enum tg_dtype dtype, void *host)
{
    tg_buffer_id id;
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = tg_graph_find_buffer(graph, "x") == TG_NONE ? "x" : "y";
    buffer.dtype = dtype;
    buffer.n_dims = buffer.n_tile_dims = 1;
    buffer.shape[0] = (int64_t)(TILE_BYTES / tg_dtype_size(dtype));
    buffer.tiles[0] = N_TILES;
    buffer.init = TG_INIT_FILL;
    buffer.init_value = 1;
    buffer.host = host;
    must(tg_graph_add_buffer(graph, &buffer, &id, &err));
    return id;
}

static void add_copy(struct tg_graph *graph, tg_buffer_id to, tg_buffer_id from, uint32_t t)
{
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    const struct tg_arg copy[] = {tg_arg_tile(to, t), tg_arg_tile(from, t)};
    task.kind = TG_TASK_COPY;
    task.on = "cuda:1";
    task.args = copy;
    task.n_args = 2;
    must(tg_graph_add_task(graph, &task, NULL, &err));
}

/* One task per tile: a fill, a kernel that scales by 1, or one that reads nothing and takes its time.  PEER: with a copy
 * of each tile, which is on one device once the kernel has run there, to another. */
static struct tg_graph *build(enum what what, double spin_us, bool is_bound)
{
    struct tg_graph *graph;
    tg_kernel_id kernel;
    must(tg_graph_create("copies", &graph, &err));
    tg_buffer_id x = add_buffer(graph, what == SCALE ? TG_F32 : TG_U8, is_bound ? memory : NULL);
    tg_buffer_id y = what == PEER ? add_buffer(graph, TG_U8, NULL) : TG_NONE;
    add_kernel(graph, what == SCALE ? "scale" : "spin", &kernel);
    for (uint32_t t = 0; t < N_TILES; t++) {
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        const struct tg_arg fill[] = {tg_arg_tile(x, t), tg_arg_int(1)};
        const struct tg_arg scale[] = {tg_arg_int(TILE_BYTES / 4), tg_arg_float(1), tg_arg_tile(x, t)};
        const struct tg_arg spin[] = {tg_arg_float(spin_us), tg_arg_tile(x, t)};
        bool is_fill = what == TO_HOST;
        task.on = "cuda:0";
        task.kind = is_fill ? TG_TASK_FILL : TG_TASK_KERNEL;
        task.kernel = is_fill ? TG_NONE : kernel;
        task.args = is_fill ? fill : what == SCALE ? scale : spin;
        task.n_args = what == SCALE ? 3 : 2;
        must(tg_graph_add_task(graph, &task, NULL, &err));
        if (what == PEER)
            add_copy(graph, y, x, t);
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

/* Median nanoseconds of a run.  is_bound: tiles lie in the program's memory. */
static double tgraph(const struct bench_options *o, enum what what, double spin_us, bool is_bound)
{
    struct tg_graph *graph = build(what, spin_us, is_bound);
    struct tg_runtime *runtime;
    struct tg_run *run;
    struct bench_sample sample = {{0}, 0};
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    options.n_workers = 1;
    options.devices = what == PEER ? "cuda:0,1" : "cuda:0";
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
    return (double)bench_sample_median(&sample);
}

/* ---- Both ---------------------------------------------------------------------------------*/

static void report(const char *what, double bytes, double bare_ns, double tgraph_ns)
{
    bench_report(what, "by hand", 1, "GB/s", bytes / bare_ns);
    bench_report(what, "tgraph", 1, "GB/s", bytes / tgraph_ns);
    bench_report(what, "tgraph", 1, "share of bare", bare_ns / tgraph_ns);
}

/* Memory that nobody pins: the driver's own way beside staging. */
static void measure_pageable(const struct bench_options *o)
{
    memory = pageable;
    setenv("TGRAPH_PINNING", "off", 1);
    report("copy to device, pageable", total_bytes, bare(o, true, false, PLAIN), tgraph(o, SPIN, 0, true));
    report("copy to host, pageable", total_bytes, bare(o, false, true, PLAIN), tgraph(o, TO_HOST, 0, true));
    unsetenv("TGRAPH_PINNING");
    memory = pinned;
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    bare_open(0);
    DO(cuMemHostAlloc, (&pinned, (size_t)total_bytes, CU_MEMHOSTALLOC_PORTABLE));
    pageable = malloc((size_t)total_bytes);
    if (!pageable)
        bench_die("no memory");
    memset(pinned, 0, (size_t)total_bytes);
    memset(pageable, 0, (size_t)total_bytes);
    memory = pinned;
    double in_ns = bare(&o, true, false, PLAIN), out_ns = bare(&o, false, true, PLAIN), both_ns = bare(&o, true, true, PLAIN);
    /* Kernels that spin in every lane for as long as it takes to copy a tile for each. */
    double spin_us = N_LANES * in_ns / N_TILES / 1e3;
    /* A fill of a bound tile moves it to the host and nothing to the device; spinning moves it to the device alone. */
    report("copy to device", total_bytes, in_ns, tgraph(&o, SPIN, 0, true));
    bench_report("copy to device", "by hand, an event behind each", 1, "GB/s", total_bytes / bare(&o, true, false, EVENT_BEHIND_EACH));
    bench_report("copy to device", "by hand, two streams in turn", 1, "GB/s",
                 total_bytes / bare(&o, true, false, TWO_STREAMS_IN_TURN));
    report("copy to host", total_bytes, out_ns, tgraph(&o, TO_HOST, 0, true));
    report("copy both ways", 2 * total_bytes, 2 * both_ns, tgraph(&o, SCALE, 0, true));
    measure_pageable(&o);
    int n_devices;
    bare_open(0);
    DO(cuDeviceGetCount, (&n_devices));
    bare_close(0);
    if (n_devices > 1) {
        report("copy to another device", total_bytes, bare_peer(&o, WRITER), tgraph(&o, PEER, 0, false));
        bench_report("copy to another device", "by hand, the reader's stream", 1, "GB/s", total_bytes / bare_peer(&o, READER));
    }
    double compute_ns = tgraph(&o, SPIN, spin_us, false), all_ns = tgraph(&o, SPIN, spin_us, true);
    bench_report("copy and compute", "tgraph", 1, "ms of kernels alone", compute_ns / 1e6);
    bench_report("copy and compute", "tgraph", 1, "ms of copies alone", in_ns / 1e6);
    bench_report("copy and compute", "tgraph", 1, "times the longer", all_ns / (compute_ns > in_ns ? compute_ns : in_ns));
    bare_open(0);
    api->cuMemFreeHost(pinned);
    free(pageable);
    bare_close(0);
    return 0;
}
