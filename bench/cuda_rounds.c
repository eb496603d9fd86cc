/* Rounds as part of a CUDA graph: a body of some small kernels, one after the other, --n rounds (1,000) of --tasks kernels (10).
 *
 * By streams, where the host decides about each round; as a graph whose device decides (`while`); as a graph that has all rounds written
 * out (`repeat`, up to 20,000 kernels); and as a conditional graph by hand, of the same kernels.  Times are those of a round, from
 * the call that starts a run to the end of the wait, so that long runs show the rounds and not the start. */
#include "bench/cuda_bare.h"
#include "bench/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/decide.h"
#include "kernels/launch.h"

enum { N_WARM = 3, MOST_WRITTEN_OUT = 20000 };

/* ---- tgraph -------------------------------------------------------------------------------*/

/* x is above the limit for ever. */
static struct tg_graph *load(const char *control, uint32_t n_rounds, uint32_t n_tasks)
{
    char head[64], *text;
    struct tg_graph *graph;
    snprintf(head, sizeof head, strcmp(control, "while") ? "\"repeat\": %u" : "\"while\": \"go\", \"max\": %u", n_rounds);
    if (asprintf(&text, "{\"tgraph\": \"1.0\", \"buffers\": {\"x\": {\"dtype\": \"f64\", \"shape\": [1], \"init\": {\"fill\": 2}}, "
               "\"go\": {\"dtype\": \"i32\", \"shape\": [1], \"init\": {\"fill\": 1}}}, \"kernels\": {\"is_above\": {\"builtin\": \"is_above\"}}, "
               "\"tasks\": [{%s, \"do\": [{\"for\": [\"i in 0:%u\"], \"kernel\": \"is_above\", "
               "\"args\": {\"x\": \"x\", \"limit\": 1, \"go\": \"go\"}}]}]}\n", head, n_tasks) < 0)
        bench_die("no memory for a graph");
    must(tg_graph_load(bench_scratch_file("rounds.json", text), NULL, &graph, &err));
    free(text);
    must(tg_graph_freeze(graph, &err));
    return graph;
}

static double measure_tgraph(const char *control, enum tg_executor executor, uint32_t n_rounds, uint32_t n_tasks, uint32_t n_runs)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct tg_graph *graph = load(control, n_rounds, n_tasks);
    struct bench_sample wall = {{0}, 0};
    struct tg_runtime *runtime;
    struct tg_run *run;
    const char *why;
    options.n_workers = 1;
    options.devices = "cuda:0";
    run_options.keep_data = true;
    run_options.executor = executor;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, graph, &run_options, &run, &err));
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        uint64_t begin = bench_now_ns();
        must(tg_run_execute(run, &err));
        if (i >= N_WARM)
            bench_sample_add(&wall, bench_now_ns() - begin);
    }
    if (tg_run_executor(run, &why) != executor)
        bench_die("not executed as it was asked for: %s", why ? why : "no reason");
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return (double)bench_sample_median(&wall) / 1e3 / n_rounds;
}

/* ---- By hand ------------------------------------------------------------------------------*/

static CUfunction load_kernel(const void *(*image)(size_t *length_p), const char *name, CUmodule *module_p)
{
    size_t length;
    CUfunction f;
    const void *bytes = image(&length);
    if (!bytes)
        bench_die("this build has no kernels for GPUs");
    DO(cuModuleLoadData, (module_p, bytes));
    DO(cuModuleGetFunction, (&f, *module_p, name));
    return f;
}

static void add(CUgraph graph, CUgraphNode *node, CUfunction f, uint32_t n_threads, void **args)
{
    CUDA_KERNEL_NODE_PARAMS params = {.func = f, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = n_threads, .blockDimY = 1,
                                      .blockDimZ = 1, .kernelParams = args};
    CUgraphNode before = *node;
    DO(cuGraphAddKernelNode, (node, graph, before ? &before : NULL, before ? 1 : 0, &params));
}

static CUgraphExec build(CUcontext ctx, CUdeviceptr memory, CUfunction above, CUfunction decide, uint32_t n_rounds, uint32_t n_tasks)
{
    CUdeviceptr x = memory, go = memory + 8;
    double limit = 1;
    void *above_args[] = {&x, &limit, &go};
    tgi_decision d = {.tile = (const unsigned char *)(uintptr_t)go, .state = (struct tgi_decided *)(uintptr_t)(memory + 16),
                      .n_rounds = n_rounds, .tile_bytes = 4, .is_loop = 1};
    void *decide_args[] = {&d};
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
    CUgraph graph;
    CUgraphNode first = NULL, loop, last = NULL;
    CUgraphConditionalHandle handle;
    CUgraphExec exec;
    DO(cuGraphCreate, (&graph, 0));
    DO(cuGraphConditionalHandleCreate, (&handle, graph, ctx, 0, 0));
    d.condition = handle;
    add(graph, &first, decide, 1, decide_args);
    params.conditional =
        (CUDA_CONDITIONAL_NODE_PARAMS){.handle = handle, .type = CU_GRAPH_COND_TYPE_WHILE, .size = 1, .ctx = ctx};
    DO(cuGraphAddNode, (&loop, graph, &first, NULL, 1, &params));
    for (uint32_t i = 0; i < n_tasks; i++)
        add(params.conditional.phGraph_out[0], &last, above, 32, above_args);
    d.n_rounds = 0;
    add(params.conditional.phGraph_out[0], &last, decide, 1, decide_args);
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    api->cuGraphDestroy(graph);
    return exec;
}

static double measure_by_hand(CUcontext ctx, uint32_t n_rounds, uint32_t n_tasks, uint32_t n_runs)
{
    const struct {
        double x;
        int64_t go;
        struct tgi_decided state;
    } begin_with = {2, 1, {{0}, 0}};
    struct tgi_decided taken;
    struct bench_sample wall = {{0}, 0};
    CUmodule kernels, decisions;
    CUstream stream;
    CUdeviceptr memory;
    CUfunction above = load_kernel(tgi_kernels_fatbin, "tgk_is_above_f64", &kernels),
               decide = load_kernel(tgi_decide_fatbin, TGI_DECIDE_KERNEL, &decisions);
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    DO(cuMemAlloc, (&memory, sizeof begin_with));
    DO(cuMemcpyHtoDAsync, (memory, &begin_with, sizeof begin_with, stream));
    DO(cuStreamSynchronize, (stream));
    CUgraphExec exec = build(ctx, memory, above, decide, n_rounds, n_tasks);
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        uint64_t begin = bench_now_ns();
        DO(cuGraphLaunch, (exec, stream));
        DO(cuStreamSynchronize, (stream));
        if (i >= N_WARM)
            bench_sample_add(&wall, bench_now_ns() - begin);
    }
    DO(cuMemcpyDtoHAsync, (&taken, memory + 16, sizeof taken, stream));
    DO(cuStreamSynchronize, (stream));
    if (taken.n_taken[0] != (uint64_t)n_rounds * (N_WARM + n_runs))
        bench_die("by hand %llu rounds were executed", (unsigned long long)taken.n_taken[0]);
    api->cuGraphExecDestroy(exec);
    api->cuMemFree(memory);
    api->cuStreamDestroy(stream);
    api->cuModuleUnload(kernels);
    api->cuModuleUnload(decisions);
    return (double)bench_sample_median(&wall) / 1e3 / n_rounds;
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    uint32_t n_rounds = o.n ? o.n : 1000, n_tasks = o.n_tasks ? o.n_tasks : 10;
    char name[64];
    CUcontext ctx = bare_open(0);
    snprintf(name, sizeof name, "%u rounds of %u", n_rounds, n_tasks);
    double streams = measure_tgraph("while", TG_EXECUTOR_STREAMS, n_rounds, n_tasks, o.n_runs),
           decided = measure_tgraph("while", TG_EXECUTOR_GRAPH, n_rounds, n_tasks, o.n_runs),
           by_hand = measure_by_hand(ctx, n_rounds, n_tasks, o.n_runs);
    bench_report(name, "streams", 1, "us/round", streams);
    bench_report(name, "graph, the device decides", 1, "us/round", decided);
    bench_report(name, "conditional graph by hand", 1, "us/round", by_hand);
    if (n_rounds <= MOST_WRITTEN_OUT / n_tasks)
        bench_report(name, "graph, rounds written out", 1, "us/round",
                     measure_tgraph("repeat", TG_EXECUTOR_GRAPH, n_rounds, n_tasks, o.n_runs));
    bench_report(name, "graph/by hand", 1, "time", decided / by_hand);
    bench_report(name, "streams/graph", 1, "time", streams / decided);
    bare_close(0);
    return 0;
}
