/* From one GPU to another and back inside CUDA graphs: what tgraph makes of it, as one graph and as a graph for each GPU with flags, beside
 * the same by hand, in the same run.  Two GPUs that reach each other.
 *
 * --what chain: kernels that do nothing, alternating, each after the one before; data: the same, and a tile goes with them, of 8
 * bytes, 64 KiB and 1 MiB; halo: rows of 32 kernels of 5 us, half of them on each GPU, each after two of the row before.  --tasks: how many
 * kernels (1,000).  By hand: one graph over both; a graph each whose kernels wait and signal themselves, as many as there are hops; and
 * a graph each where that is done by kernels before and after them, as tgraph does it.
 *
 * Times are the device's, by events around a replay.  Kernels by hand that wait give up after two seconds. */
#include "bench/cuda_bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/own_kernel.h"
#include "bench/scratch.h"
#include "sched/offload_graph.h"

enum { N_WARM = 3, ROW = 32, CYCLES = 9900 /* 5 us at 1.98 GHz */ };

/* hop: waits until *mine is 1 and makes it 0, then makes *peer 1; either may be NULL. */
static const char ptx[] =
    ".version 7.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry burn(.param .u64 cycles)\n{\n"
    ".reg .u64 %rd<4>;\n.reg .pred %p<2>;\n"
    "ld.param.u64 %rd1, [cycles];\nsetp.eq.u64 %p1, %rd1, 0;\n@%p1 bra done;\n"
    "mov.u64 %rd2, %clock64;\nagain:\nmov.u64 %rd3, %clock64;\nsub.u64 %rd3, %rd3, %rd2;\n"
    "setp.lt.u64 %p1, %rd3, %rd1;\n@%p1 bra again;\ndone:\nret;\n}\n"
    ".visible .entry touch(.param .u64 tile)\n{\nret;\n}\n"
    ".visible .entry hop(.param .u64 mine, .param .u64 peer)\n{\n"
    ".reg .u64 %rd<6>;\n.reg .u32 %r<3>;\n.reg .pred %p<3>;\n"
    "ld.param.u64 %rd1, [mine];\nld.param.u64 %rd2, [peer];\n"
    "setp.eq.u64 %p1, %rd1, 0;\n@%p1 bra signal;\nmov.u64 %rd3, %globaltimer;\n"
    "again:\nld.acquire.sys.global.u32 %r1, [%rd1];\nsetp.ne.u32 %p1, %r1, 0;\n@%p1 bra seen;\n"
    "mov.u64 %rd4, %globaltimer;\nsub.u64 %rd4, %rd4, %rd3;\nsetp.gt.u64 %p2, %rd4, 2000000000;\n@%p2 bra done;\nbra again;\n"
    "seen:\nmov.u32 %r2, 0;\nst.global.u32 [%rd1], %r2;\n"
    "signal:\nsetp.eq.u64 %p1, %rd2, 0;\n@%p1 bra done;\nmov.u32 %r2, 1;\nst.release.sys.global.u32 [%rd2], %r2;\n"
    "done:\nret;\n}\n";
static const char *image_path; /* a file with it */

/* ---- tgraph -------------------------------------------------------------------------------*/

static const char *const places[] = {"cuda:0", "cuda:1"};

/* bytes: of the tile that goes with them; 0: none does. */
static struct tg_graph *build_chain(uint32_t n, size_t bytes)
{
    static const struct tg_param cycles = {.name = "cycles", .access = TG_SCALAR, .dtype = TG_I64},
                                 tile = {.name = "tile", .access = TG_INOUT, .dtype = TG_F64};
    struct tg_graph *graph;
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_arg arg = tg_arg_int(0);
    must(tg_graph_create("hops", &graph, &err));
    task.kernel = bench_add_kernel(graph, bytes ? "touch" : "burn", bytes ? &tile : &cycles, image_path);
    if (bytes) {
        tg_buffer_id id;
        buffer.name = "A";
        buffer.dtype = TG_F64;
        buffer.n_dims = 1;
        buffer.shape[0] = (int64_t)(bytes / sizeof(double));
        buffer.init = TG_INIT_ZERO;
        must(tg_graph_add_buffer(graph, &buffer, &id, &err));
        arg = tg_arg_tile(id, 0);
    }
    task.n_args = 1;
    task.args = &arg;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t before = t - 1;
        task.on = places[t % 2];
        task.n_after = t && !bytes;
        task.after = &before;
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

static struct tg_graph *build_halo(uint32_t n)
{
    static const struct tg_param cycles = {.name = "cycles", .access = TG_SCALAR, .dtype = TG_I64};
    struct tg_graph *graph;
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    const struct tg_arg arg = tg_arg_int(CYCLES);
    must(tg_graph_create("halo", &graph, &err));
    task.kernel = bench_add_kernel(graph, "burn", &cycles, image_path);
    task.n_args = 1;
    task.args = &arg;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t before[] = {t - ROW, t - ROW - t % ROW + (t + 1) % ROW};
        task.on = places[t % ROW >= ROW / 2];
        task.n_after = t >= ROW ? 2 : 0;
        task.after = before;
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

struct figures {
    double device_us, host_us, instantiate_us; /* of one replay; host: until it is enqueued */
};

static struct figures measure_tgraph(struct tg_runtime *runtime, struct tg_graph *graph, const char *hops, uint32_t n_runs)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct bench_sample device = {{0}, 0}, host = {{0}, 0};
    struct tgi_offload_graph_stats stats;
    struct tg_run *run;
    const char *why;
    setenv("TGRAPH_HOPS", hops, 1);
    options.keep_data = true;
    options.executor = TG_EXECUTOR_GRAPH;
    must(tg_run_create(runtime, graph, &options, &run, &err));
    must(tgi_offload_graph_time(run, &err));
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        double ns;
        must(tg_run_execute(run, &err));
        if (tg_run_executor(run, &why) != TG_EXECUTOR_GRAPH)
            bench_die("not executed as a graph: %s", why ? why : "no reason");
        must(tgi_offload_graph_elapsed(run, &ns, &err));
        tgi_offload_graph_stats(run, &stats);
        if (i < N_WARM)
            continue;
        bench_sample_add(&device, (uint64_t)ns);
        bench_sample_add(&host, stats.launch_ns);
    }
    if (!stats.whole != (strcmp(hops, "flags") == 0))
        bench_die("asked for \"%s\": %s", hops, stats.whole ? stats.whole : "a graph for each device");
    tg_run_destroy(run);
    return (struct figures){(double)bench_sample_median(&device) / 1e3, (double)bench_sample_median(&host) / 1e3,
                            (double)(stats.record_ns + stats.instantiate_ns) / 1e3};
}

/* ---- By hand ------------------------------------------------------------------------------*/

static struct bare_device {
    CUcontext ctx;
    CUmodule module;
    CUfunction burn, hop;
    CUstream stream;
    CUevent ended;
    CUdeviceptr flag, tile;
} gpu[2];
static CUevent begun, from, to;

static void enter(uint32_t d) { DO(cuCtxSetCurrent, (gpu[d].ctx)); }

static void open_bare(void)
{
    for (int d = 0; d < 2; d++) {
        gpu[d].ctx = bare_open(d);
        DO(cuModuleLoadData, (&gpu[d].module, ptx));
        DO(cuModuleGetFunction, (&gpu[d].burn, gpu[d].module, "burn"));
        DO(cuModuleGetFunction, (&gpu[d].hop, gpu[d].module, "hop"));
        DO(cuStreamCreate, (&gpu[d].stream, CU_STREAM_NON_BLOCKING));
        DO(cuEventCreate, (&gpu[d].ended, CU_EVENT_DISABLE_TIMING));
        DO(cuMemAlloc, (&gpu[d].flag, 4096));
        DO(cuMemAlloc, (&gpu[d].tile, 1 << 20));
        DO(cuMemsetD8Async, (gpu[d].flag, 0, 4096, gpu[d].stream));
        DO(cuStreamSynchronize, (gpu[d].stream));
    }
    for (uint32_t d = 0; d < 2; d++) { /* the runtime may have done so */
        enter(d);
        CUresult answer = api->cuCtxEnablePeerAccess(gpu[1 - d].ctx, 0);
        if (answer != CUDA_SUCCESS && answer != CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
            bench_die("the two GPUs do not reach each other (%d)", (int)answer);
    }
    enter(0);
    DO(cuEventCreate, (&begun, CU_EVENT_DISABLE_TIMING));
    DO(cuEventCreate, (&from, 0));
    DO(cuEventCreate, (&to, 0));
}

static void close_bare(void)
{
    enter(0);
    api->cuEventDestroy(begun);
    api->cuEventDestroy(from);
    api->cuEventDestroy(to);
    for (uint32_t d = 0; d < 2; d++) {
        enter(d);
        api->cuMemFree(gpu[d].flag);
        api->cuMemFree(gpu[d].tile);
        api->cuEventDestroy(gpu[d].ended);
        api->cuStreamDestroy(gpu[d].stream);
        api->cuModuleUnload(gpu[d].module);
        bare_close((int)d);
    }
}

/* After *last, which it becomes; the device is current. */
static void add_node(CUgraph graph, CUgraphNode *last, CUfunction f, void **args)
{
    CUDA_KERNEL_NODE_PARAMS k = {.func = f, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                 .kernelParams = args};
    CUgraphNode node;
    DO(cuGraphAddKernelNode, (&node, graph, last, *last ? 1 : 0, &k));
    *last = node;
}

static void add_burn(CUgraph graph, CUgraphNode *last, uint32_t d)
{
    uint64_t cycles = 0;
    enter(d);
    add_node(graph, last, gpu[d].burn, (void *[]){&cycles});
}

static void add_hop(CUgraph graph, CUgraphNode *last, uint32_t d, bool does_wait, bool does_signal)
{
    CUdeviceptr mine = does_wait ? gpu[d].flag : 0, peer = does_signal ? gpu[1 - d].flag : 0;
    enter(d);
    add_node(graph, last, gpu[d].hop, (void *[]){&mine, &peer});
}

static void add_copy(CUgraph graph, CUgraphNode *last, uint32_t from_device, size_t bytes)
{
    CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .dstMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = gpu[from_device].tile,
                          .dstDevice = gpu[1 - from_device].tile, .WidthInBytes = bytes, .Height = 1, .Depth = 1};
    CUgraphNode node;
    enter(from_device);
    DO(cuGraphAddMemcpyNode, (&node, graph, last, 1, &copy, gpu[from_device].ctx));
    *last = node;
}

enum by_hand { ONE_GRAPH, FUSED, SEPARATE };

/* One chain for each graph; with ONE_GRAPH the first alone. */
static void make_graphs(enum by_hand how, uint32_t n, size_t bytes, CUgraphExec *exec)
{
    CUgraph graph[2] = {NULL, NULL};
    CUgraphNode last[2] = {NULL, NULL};
    for (uint32_t d = 0; d < (how == ONE_GRAPH ? 1 : 2); d++)
        DO(cuGraphCreate, (&graph[d], 0));
    for (uint32_t t = 0; t < n; t++) {
        uint32_t d = t % 2, which = how == ONE_GRAPH ? 0 : d;
        bool is_last = t == n - 1;
        if (how == FUSED && !bytes) {
            add_hop(graph[d], &last[d], d, t > 0, !is_last);
            continue;
        }
        if (how != ONE_GRAPH && t)
            add_hop(graph[d], &last[d], d, true, false);
        add_burn(graph[which], &last[which], d);
        if (bytes && !is_last)
            add_copy(graph[which], &last[which], d, bytes);
        if (how != ONE_GRAPH && !is_last)
            add_hop(graph[d], &last[d], d, false, true);
    }
    for (uint32_t d = 0; d < 2; d++) {
        exec[d] = NULL;
        if (!graph[d])
            continue;
        enter(d);
        DO(cuGraphInstantiateWithFlags, (&exec[d], graph[d], 0));
        DO(cuGraphUpload, (exec[d], gpu[d].stream));
        DO(cuStreamSynchronize, (gpu[d].stream));
        api->cuGraphDestroy(graph[d]);
    }
}

static void launch(CUgraphExec *exec)
{
    enter(0);
    DO(cuEventRecord, (from, gpu[0].stream));
    DO(cuEventRecord, (begun, gpu[0].stream));
    DO(cuGraphLaunch, (exec[0], gpu[0].stream));
    if (exec[1]) {
        enter(1);
        DO(cuStreamWaitEvent, (gpu[1].stream, begun, 0));
        DO(cuGraphLaunch, (exec[1], gpu[1].stream));
        DO(cuEventRecord, (gpu[1].ended, gpu[1].stream));
        enter(0);
        DO(cuStreamWaitEvent, (gpu[0].stream, gpu[1].ended, 0));
    }
    DO(cuEventRecord, (to, gpu[0].stream));
    DO(cuStreamSynchronize, (gpu[0].stream));
}

static double measure_by_hand(enum by_hand how, uint32_t n, size_t bytes, uint32_t n_runs)
{
    struct bench_sample sample = {{0}, 0};
    CUgraphExec exec[2];
    make_graphs(how, n, bytes, exec);
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        float ms;
        launch(exec);
        DO(cuEventElapsedTime, (&ms, from, to));
        if (ms > 2000)
            bench_die("a kernel by hand waited in vain");
        if (i >= N_WARM)
            bench_sample_add(&sample, (uint64_t)(ms * 1e6f));
    }
    for (uint32_t d = 0; d < 2; d++)
        if (exec[d]) {
            enter(d);
            api->cuGraphExecDestroy(exec[d]);
        }
    return (double)bench_sample_median(&sample) / 1e3;
}

/* ---- Comparing ----------------------------------------------------------------------------*/

static void report_tgraph(struct tg_runtime *runtime, const char *what, struct tg_graph *graph, double n, const char *unit, uint32_t n_runs)
{
    static const char *const hops[] = {"driver", "flags"};
    char system[32];
    for (int i = 0; i < 2; i++) {
        struct figures f = measure_tgraph(runtime, graph, hops[i], n_runs);
        snprintf(system, sizeof system, "tgraph, %s", hops[i]);
        bench_report(what, system, 2, unit, f.device_us / n);
        bench_report(what, system, 2, "us to launch", f.host_us);
        bench_report(what, system, 2, "us to record and instantiate", f.instantiate_us);
    }
    tg_graph_destroy(graph);
}

static void compare(struct tg_runtime *runtime, uint32_t n, size_t bytes, uint32_t n_runs)
{
    char what[64];
    snprintf(what, sizeof what, bytes ? "hops %u, %zu bytes" : "hops %u", n, bytes);
    report_tgraph(runtime, what, build_chain(n, bytes), n, "us/hop", n_runs);
    bench_report(what, "one graph by hand", 2, "us/hop", measure_by_hand(ONE_GRAPH, n, bytes, n_runs) / n);
    bench_report(what, "a graph each by hand", 2, "us/hop", measure_by_hand(SEPARATE, n, bytes, n_runs) / n);
    if (!bytes)
        bench_report(what, "a graph each by hand, fused", 2, "us/hop", measure_by_hand(FUSED, n, bytes, n_runs) / n);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *runtime;
    uint32_t n = o.n_tasks ? o.n_tasks : 1000;
    image_path = bench_scratch_file("hops.ptx", ptx);
    options.n_workers = 1;
    options.devices = "cuda:0,1";
    must(tg_runtime_create(&options, &runtime, &err));
    open_bare();
    if (!o.what || strcmp(o.what, "chain") == 0)
        compare(runtime, n, 0, o.n_runs);
    if (!o.what || strcmp(o.what, "data") == 0) {
        compare(runtime, n, 8, o.n_runs);
        compare(runtime, n, 64 << 10, o.n_runs);
        compare(runtime, n, 1 << 20, o.n_runs);
    }
    if (!o.what || strcmp(o.what, "halo") == 0)
        report_tgraph(runtime, "halo, kernels of 5 us", build_halo(n), 1, "us/replay", o.n_runs);
    close_bare();
    tg_runtime_destroy(runtime);
    return 0;
}
