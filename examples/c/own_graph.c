/* A DAG of many small tasks in C: started on streams, then as one CUDA graph that is replayed, then as a node of a graph that the
 * program makes itself.  Prints what each start takes; docs/TUTORIAL_GRAPHS.md goes through it.
 *
 *     cc own_graph.c -o own_graph $(pkg-config --cflags --libs tgraph) -ldl && ./own_graph
 *
 * A real program would include cuda_runtime.h and pass its cudaGraph_t; this one loads the few entry points of the driver that
 * it needs, so that it builds everywhere and says so where there is no GPU. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgraph.h>
#include <time.h>

enum { N = 256, WIDTH = 16, STEPS = 60, STARTS = 20 };

/* ---- CUDA, as the program uses it ---------------------------------------------------------*/

static struct {
    int (*init)(unsigned flags);
    int (*retain)(void **context, int device);
    int (*release)(int device);
    int (*set_current)(void *context);
    int (*stream_create)(void **stream, unsigned flags);
    int (*stream_destroy)(void *stream);
    int (*synchronize)(void *stream);
    int (*graph_create)(void **graph, unsigned flags);
    int (*graph_destroy)(void *graph);
    int (*instantiate)(void **exec, void *graph, unsigned long long flags);
    int (*exec_destroy)(void *exec);
    int (*launch)(void *exec, void *stream);
} cuda;

static int find(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

static int cuda_load(void)
{
    const char *name = getenv("TGRAPH_CUDA_DRIVER"); /* the one that tgraph takes */
    void *library = dlopen(name && *name ? name : "libcuda.so.1", RTLD_NOW);
    return library && find(library, "cuInit", &cuda.init) && find(library, "cuDevicePrimaryCtxRetain", &cuda.retain) &&
           find(library, "cuDevicePrimaryCtxRelease_v2", &cuda.release) && find(library, "cuCtxSetCurrent", &cuda.set_current) &&
           find(library, "cuStreamCreate", &cuda.stream_create) && find(library, "cuStreamDestroy_v2", &cuda.stream_destroy) &&
           find(library, "cuStreamSynchronize", &cuda.synchronize) && find(library, "cuGraphCreate", &cuda.graph_create) &&
           find(library, "cuGraphDestroy", &cuda.graph_destroy) &&
           find(library, "cuGraphInstantiateWithFlags", &cuda.instantiate) &&
           find(library, "cuGraphExecDestroy", &cuda.exec_destroy) && find(library, "cuGraphLaunch", &cuda.launch) && cuda.init(0) == 0;
}

/* ---- The DAG ------------------------------------------------------------------------------*/

/* STEPS times: every tile gets some of its right neighbour.  The edges follow from who writes what. */
static int build(struct tg_graph *graph, tg_buffer_id *v_p, struct tg_error *err)
{
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "v";
    buffer.dtype = TG_F32;
    buffer.n_dims = 1;
    buffer.shape[0] = N;
    buffer.n_tile_dims = 1;
    buffer.tiles[0] = WIDTH;
    int status = tg_graph_add_buffer(graph, &buffer, v_p, err);

    tg_kernel_id axpy;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = kernel.builtin = "axpy";
    status = status ? status : tg_graph_add_kernel(graph, &kernel, &axpy, err);
    for (uint32_t i = 0; status == 0 && i < STEPS * WIDTH; i++) {
        struct tg_arg args[] = {tg_arg_int(N), tg_arg_float(0.25), tg_arg_tile(*v_p, (i + 1) % WIDTH), tg_arg_tile(*v_p, i % WIDTH)};
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        task.kernel = axpy;
        task.n_args = 4;
        task.args = args;
        status = tg_graph_add_task(graph, &task, NULL, err);
    }
    return status ? status : tg_graph_freeze(graph, err);
}

/* ---- What it gains ------------------------------------------------------------------------*/

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void fill(float *memory)
{
    for (int i = 0; i < WIDTH * N; i++)
        memory[i] = (float)(i % 7);
}

/* Each start reads `memory` and leaves its results there: the same address, new contents.  The shortest counts. */
static int measure(struct tg_runtime *runtime, const struct tg_graph *graph, tg_buffer_id v, enum tg_executor executor, float *memory,
                   double *us_p, struct tg_error *err)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    const char *why;
    options.executor = executor;
    int status = tg_run_create(runtime, graph, &options, &run, err);
    if (status)
        return status;
    status = tg_run_bind(run, v, memory, err);
    *us_p = 1e18;
    for (int i = 0; status == 0 && i < STARTS; i++) {
        fill(memory);
        double begin = now_us();
        status = tg_run_execute(run, err);
        double took = now_us() - begin;
        *us_p = took < *us_p ? took : *us_p;
    }
    if (status == 0 && executor == TG_EXECUTOR_GRAPH && tg_run_executor(run, &why) != executor) {
        snprintf(err->text, sizeof err->text, "not executed as a graph: %s", why);
        status = TG_E_UNSUPPORTED;
    }
    tg_run_destroy(run);
    return status;
}

/* The whole DAG as one node of a graph of the program's, which could have others before and after it. */
static int measure_node(struct tg_run *run, tg_buffer_id v, float *memory, void *stream, double *us_p, struct tg_error *err)
{
    void *graph, *node, *exec = NULL;
    int status = tg_run_bind(run, v, memory, err);
    fill(memory);
    status = status ? status : tg_run_execute(run, err); /* code is loaded, memory has its place */
    if (status || cuda.graph_create(&graph, 0))
        return status ? status : TG_E_DRIVER;
    status = tg_run_add_to_graph(run, graph, NULL, 0, &node, err);
    if (status == 0 && cuda.instantiate(&exec, graph, 0))
        status = TG_E_DRIVER;
    *us_p = 1e18;
    for (int i = 0; status == 0 && i < STARTS; i++) {
        fill(memory);
        double begin = now_us();
        if (cuda.launch(exec, stream) || cuda.synchronize(stream))
            status = TG_E_DRIVER;
        double took = now_us() - begin;
        *us_p = took < *us_p ? took : *us_p;
    }
    if (exec)
        cuda.exec_destroy(exec);
    cuda.graph_destroy(graph);
    return status ? status : tg_run_end_graphs(run, err);
}

static int compare(struct tg_runtime *runtime, const struct tg_graph *graph, tg_buffer_id v, void *stream, struct tg_error *err)
{
    static float on_streams[WIDTH * N], as_graph[WIDTH * N], as_node[WIDTH * N];
    double streams_us, graph_us, node_us;
    struct tg_run *run = NULL;
    int status = measure(runtime, graph, v, TG_EXECUTOR_STREAMS, on_streams, &streams_us, err);
    status = status ? status : measure(runtime, graph, v, TG_EXECUTOR_GRAPH, as_graph, &graph_us, err);
    status = status ? status : tg_run_create(runtime, graph, NULL, &run, err);
    status = status ? status : measure_node(run, v, as_node, stream, &node_us, err);
    tg_run_destroy(run);
    if (status)
        return status;
    if (memcmp(on_streams, as_graph, sizeof as_graph) || memcmp(on_streams, as_node, sizeof as_node)) {
        snprintf(err->text, sizeof err->text, "the results differ");
        return TG_E_VERIFY;
    }
    printf("%d tasks, the same results three times; the shortest of %d starts:\n", STEPS * WIDTH, STARTS);
    printf("  on streams                        %8.1f us\n", streams_us);
    printf("  as a graph, replayed              %8.1f us  %.2f x\n", graph_us, streams_us / graph_us);
    printf("  as a node of the program's graph  %8.1f us  %.2f x\n", node_us, streams_us / node_us);
    return 0;
}

int main(void)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_error err = {.text = "a call of the program's own to CUDA failed"};
    struct tg_graph *graph = NULL;
    struct tg_runtime *runtime = NULL;
    tg_buffer_id v;
    void *context, *stream = NULL;

    if (!cuda_load() || cuda.retain(&context, 0)) {
        printf("own_graph: no CUDA device here, nothing to show\n");
        return 0;
    }
    options.devices = "cuda:0";
    int failed = cuda.set_current(context) || cuda.stream_create(&stream, 1) || tg_graph_create("own_graph", &graph, &err) ||
                 build(graph, &v, &err) || tg_runtime_create(&options, &runtime, &err) || compare(runtime, graph, v, stream, &err);
    if (failed)
        fprintf(stderr, "own_graph: %s\n", err.text);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    if (stream)
        cuda.stream_destroy(stream);
    cuda.release(0);
    return failed;
}
