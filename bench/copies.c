/* Copies between host and device: tgraph's bandwidth beside the bare driver's, one way and both ways at once, and
 * a pipeline of equal stages, copies and kernels, beside the longer of the two.
 *
 * The host's tiles are the program's own, so every run moves them again.
 *
 * --what in: copies to the device alone, in tiles of several sizes and several numbers of them, beside the same commands by hand, to
 * tell what a run costs once from what a copy costs each time. */
#include "bench/cuda_bare.h"
#include "kernels/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_LANES = 4, N_AHEAD = 16 };
static size_t tile_bytes = 8 << 20, n_tiles = 128;

static double total_bytes(void) { return (double)n_tiles * (double)tile_bytes; }

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
    size_t n = n_tiles / (is_in && is_out ? 2 : 1), offset = is_in && is_out ? n * tile_bytes : 0;
    bare_open(0);
    DO(cuMemAlloc, (&device, (size_t)total_bytes()));
    for (int i = 0; i < 2; i++)
        DO(cuStreamCreate, (&streams[i], CU_STREAM_NON_BLOCKING));
    DO(cuEventCreate, (&event, CU_EVENT_DISABLE_TIMING));
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        for (size_t t = 0; t < n; t++) {
            size_t in = t * tile_bytes, out = offset + in;
            if (is_in)
                DO(cuMemcpyHtoDAsync, (device + in, (char *)memory + in, tile_bytes, streams[how == TWO_STREAMS_IN_TURN && t % 2]));
            if (is_out)
                DO(cuMemcpyDtoHAsync, ((char *)memory + out, device + out, tile_bytes, streams[1]));
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

/* All of it from one device to another, by a stream of the one that writes or of the one that reads. */
enum side { WRITER, READER };
static double bare_peer(const struct bench_options *o, enum side side)
{
    CUcontext ctx[2];
    CUdeviceptr memory[2];
    CUstream stream;
    struct bench_sample sample = {{0}, 0};
    for (int i = 1; i >= 0; i--) { /* the last one stays current */
        ctx[i] = bare_open(i);
        DO(cuMemAlloc, (&memory[i], (size_t)total_bytes()));
    }
    api->cuCtxEnablePeerAccess(ctx[1], 0); /* may be on already */
    DO(cuCtxSetCurrent, (ctx[1]));
    api->cuCtxEnablePeerAccess(ctx[0], 0);
    DO(cuCtxSetCurrent, (ctx[side == READER]));
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        for (size_t t = 0; t < n_tiles; t++)
            DO(cuMemcpyPeerAsync, (memory[1] + t * tile_bytes, ctx[1], memory[0] + t * tile_bytes, ctx[0], tile_bytes, stream));
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
    buffer.shape[0] = (int64_t)(tile_bytes / tg_dtype_size(dtype));
    buffer.tiles[0] = (int64_t)n_tiles;
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
    for (uint32_t t = 0; t < n_tiles; t++) {
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        const struct tg_arg fill[] = {tg_arg_tile(x, t), tg_arg_int(1)};
        const struct tg_arg scale[] = {tg_arg_int((int64_t)(tile_bytes / 4)), tg_arg_float(1), tg_arg_tile(x, t)};
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

struct ours {
    struct tg_graph *graph;
    struct tg_runtime *runtime;
    struct tg_run *run;
};

/* is_bound: tiles lie in the program's memory. */
static void open_ours(struct ours *x, enum what what, double spin_us, bool is_bound)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    x->graph = build(what, spin_us, is_bound);
    options.n_workers = 1;
    options.devices = what == PEER ? "cuda:0,1" : "cuda:0";
    run_options.keep_data = true;
    must(tg_runtime_create(&options, &x->runtime, &err));
    must(tg_run_create(x->runtime, x->graph, &run_options, &x->run, &err));
}

static double run_ours(struct ours *x)
{
    struct tg_run_stats stats;
    must(tg_run_execute(x->run, &err));
    must(tg_run_stats(x->run, &stats, &err));
    return (double)stats.makespan_ns;
}

static void close_ours(struct ours *x)
{
    tg_run_destroy(x->run);
    tg_runtime_destroy(x->runtime);
    tg_graph_destroy(x->graph);
}

/* Median nanoseconds of a run. */
static double tgraph(const struct bench_options *o, enum what what, double spin_us, bool is_bound)
{
    struct ours x;
    struct bench_sample sample = {{0}, 0};
    open_ours(&x, what, spin_us, is_bound);
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        double ns = run_ours(&x);
        if (i > 0)
            bench_sample_add(&sample, (uint64_t)ns);
    }
    close_ours(&x);
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
    report("copy to device, pageable", total_bytes(), bare(o, true, false, PLAIN), tgraph(o, SPIN, 0, true));
    report("copy to host, pageable", total_bytes(), bare(o, false, true, PLAIN), tgraph(o, TO_HOST, 0, true));
    unsetenv("TGRAPH_PINNING");
    memory = pinned;
}

/* ---- To the device alone ---------------------------------------------------------------------
 *
 * A run has a copy of each tile, on two streams in turn, an event behind it, and a kernel that waits for that.  The same by
 * hand: all of it enqueued at once, or no more than N_AHEAD tiles at a time, as tgraph does; and copies alone.  Each round
 * measures all of them one after the other, as the bandwidth of a machine that others use changes within seconds. */

struct bare_in {
    CUcontext ctx;
    CUmodule module;
    CUfunction axpy;
    CUdeviceptr device, x;
    CUstream in[2], compute[N_LANES];
    CUevent copied[N_AHEAD], done[N_AHEAD];
};

static void bare_in_open(struct bare_in *b)
{
    const void *image = tgi_kernels_fatbin(&(size_t){0});
    b->ctx = bare_open(0);
    DO(cuModuleLoadData, (&b->module, image ? image : "standin 1\nkernel tgk_axpy_f32\n"));
    DO(cuModuleGetFunction, (&b->axpy, b->module, "tgk_axpy_f32"));
    DO(cuMemAlloc, (&b->device, (size_t)total_bytes()));
    DO(cuMemAlloc, (&b->x, 512));
    for (int i = 0; i < 2; i++)
        DO(cuStreamCreate, (&b->in[i], CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < N_LANES; i++)
        DO(cuStreamCreate, (&b->compute[i], CU_STREAM_NON_BLOCKING));
    for (int i = 0; i < N_AHEAD; i++) {
        DO(cuEventCreate, (&b->copied[i], CU_EVENT_DISABLE_TIMING));
        DO(cuEventCreate, (&b->done[i], CU_EVENT_DISABLE_TIMING));
    }
}

static void bare_in_close(struct bare_in *b)
{
    for (int i = 0; i < N_AHEAD; i++) {
        api->cuEventDestroy(b->copied[i]);
        api->cuEventDestroy(b->done[i]);
    }
    for (int i = 0; i < N_LANES; i++)
        api->cuStreamDestroy(b->compute[i]);
    for (int i = 0; i < 2; i++)
        api->cuStreamDestroy(b->in[i]);
    api->cuMemFree(b->x);
    api->cuMemFree(b->device);
    api->cuModuleUnload(b->module);
    bare_close(0);
}

enum behind { NOTHING, KERNELS, KERNELS_PACED, KERNELS_OF_ONE_STREAM, EVENTS_PACED, N_BEHIND };

static void enqueue_kernel(struct bare_in *b, size_t t, CUstream in, bool has_kernel)
{
    int64_t n = 64;
    float a = 0;
    CUdeviceptr y = b->x + 256;
    void *args[] = {&n, &a, &b->x, &y};
    CUstream at = b->compute[t % N_LANES];
    if (!has_kernel) {
        DO(cuEventRecord, (b->done[t % N_AHEAD], in));
        return;
    }
    DO(cuEventRecord, (b->copied[t % N_AHEAD], in));
    DO(cuStreamWaitEvent, (at, b->copied[t % N_AHEAD], 0));
    DO(cuLaunchKernel, (b->axpy, 1, 1, 1, 256, 1, 1, 0, at, args, NULL));
    DO(cuEventRecord, (b->done[t % N_AHEAD], at));
}

static double bare_in_run(struct bare_in *b, enum behind behind)
{
    uint64_t begin = bench_now_ns();
    DO(cuCtxSetCurrent, (b->ctx));
    for (size_t t = 0; t < n_tiles; t++) {
        CUstream in = b->in[behind == NOTHING || behind == KERNELS_OF_ONE_STREAM ? 0 : t % 2];
        while (behind >= KERNELS_PACED && t >= N_AHEAD && api->cuEventQuery(b->done[t % N_AHEAD]) == CUDA_ERROR_NOT_READY)
            ;
        DO(cuMemcpyHtoDAsync, (b->device + t * tile_bytes, (char *)memory + t * tile_bytes, tile_bytes, in));
        if (behind)
            enqueue_kernel(b, t, in, behind != EVENTS_PACED);
    }
    for (int k = 0; k < N_LANES; k++)
        DO(cuStreamSynchronize, (b->compute[k]));
    for (int k = 0; k < 2; k++)
        DO(cuStreamSynchronize, (b->in[k]));
    return (double)(bench_now_ns() - begin);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, uint32_t n)
{
    qsort(x, n, sizeof *x, compare_doubles);
    return x[n / 2];
}

/* What is lost once shows less the more there is to copy, what is lost with each copy does not. */
static void measure_in_size(const struct bench_options *o)
{
    char name[48];
    struct bare_in b;
    struct ours ours;
    double ns[N_BEHIND + 1], alone[64], times[N_BEHIND + 1][64];
    uint32_t n = o->n_runs < 64 ? o->n_runs : 64;
    static const char *const systems[] = {"",
                                         "by hand, a kernel behind each",
                                         "by hand, kernels, paced",
                                         "by hand, kernels, paced, one stream",
                                         "by hand, events alone, paced",
                                         "tgraph"};
    bare_in_open(&b);
    open_ours(&ours, SPIN, 0, true);
    for (uint32_t i = 0; i <= n; i++) {
        for (int k = 0; k < N_BEHIND; k++)
            ns[k] = bare_in_run(&b, (enum behind)k);
        ns[N_BEHIND] = run_ours(&ours);
        for (int k = 0; i > 0 && k <= N_BEHIND; k++)
            times[k][i - 1] = ns[k] / ns[NOTHING];
        if (i > 0)
            alone[i - 1] = ns[NOTHING];
    }
    close_ours(&ours);
    bare_in_close(&b);
    snprintf(name, sizeof name, "%zu MiB to device, %zu times", tile_bytes >> 20, n_tiles);
    bench_report(name, "by hand", 1, "us", median(alone, n) / 1e3);
    for (int k = 1; k <= N_BEHIND; k++)
        bench_report(name, systems[k], 1, "times by hand", median(times[k], n));
}

static void measure_in(const struct bench_options *o)
{
    static const struct {
        size_t mib, n;
    } sizes[] = {{8, 128}, {8, 32}, {8, 256}, {2, 512}, {32, 32}, {128, 8}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tile_bytes = sizes[i].mib << 20;
        n_tiles = sizes[i].n;
        measure_in_size(o);
    }
}

static const size_t most_bytes = (size_t)256 * (8 << 20); /* of the sizes above */

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    bool is_in = o.what && strcmp(o.what, "in") == 0;
    size_t bytes = is_in ? most_bytes : (size_t)total_bytes();
    if (o.what && !is_in)
        bench_die("copies measures all, or --what in");
    bare_open(0);
    DO(cuMemHostAlloc, (&pinned, bytes, CU_MEMHOSTALLOC_PORTABLE));
    pageable = malloc(bytes);
    if (!pageable)
        bench_die("no memory");
    memset(pinned, 0, bytes);
    memset(pageable, 0, bytes);
    memory = pinned;
    if (is_in) {
        measure_in(&o);
        return 0;
    }
    double in_ns = bare(&o, true, false, PLAIN), out_ns = bare(&o, false, true, PLAIN), both_ns = bare(&o, true, true, PLAIN);
    /* Kernels that spin in every lane for as long as it takes to copy a tile for each. */
    double spin_us = N_LANES * in_ns / (double)n_tiles / 1e3;
    /* A fill of a bound tile moves it to the host and nothing to the device; spinning moves it to the device alone. */
    report("copy to device", total_bytes(), in_ns, tgraph(&o, SPIN, 0, true));
    bench_report("copy to device", "by hand, an event behind each", 1, "GB/s", total_bytes() / bare(&o, true, false, EVENT_BEHIND_EACH));
    bench_report("copy to device", "by hand, two streams in turn", 1, "GB/s",
                 total_bytes() / bare(&o, true, false, TWO_STREAMS_IN_TURN));
    report("copy to host", total_bytes(), out_ns, tgraph(&o, TO_HOST, 0, true));
    report("copy both ways", 2 * total_bytes(), 2 * both_ns, tgraph(&o, SCALE, 0, true));
    measure_pageable(&o);
    int n_devices;
    bare_open(0);
    DO(cuDeviceGetCount, (&n_devices));
    bare_close(0);
    if (n_devices > 1) {
        report("copy to another device", total_bytes(), bare_peer(&o, WRITER), tgraph(&o, PEER, 0, false));
        bench_report("copy to another device", "by hand, the reader's stream", 1, "GB/s", total_bytes() / bare_peer(&o, READER));
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
