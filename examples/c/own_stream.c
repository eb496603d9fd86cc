/* A program that uses CUDA itself, and tgraph in between: it fills a vector x in a stream of its own, a graph computes
 * y = y + 3 x on the device after that, and the program copies y back in its stream.  The host waits once, at the end.
 *
 *     cc own_stream.c -o own_stream $(pkg-config --cflags --libs tgraph) -ldl && ./own_stream
 *
 * A real program would include cuda_runtime.h and pass its cudaStream_t; this one loads the few entry points of the
 * driver that it needs, so that it builds everywhere and says so where there is no GPU. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgraph.h>

enum { N = 1 << 16 };

/* ---- CUDA, as the program uses it ---------------------------------------------------------*/

static struct {
    int (*init)(unsigned flags);
    int (*retain)(void **context, int device);
    int (*release)(int device);
    int (*set_current)(void *context);
    int (*stream_create)(void **stream, unsigned flags);
    int (*stream_destroy)(void *stream);
    int (*synchronize)(void *stream);
    int (*memset32)(unsigned long long address, unsigned value, size_t n, void *stream);
    int (*copy_to_host)(void *to, unsigned long long address, size_t bytes, void *stream);
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
           find(library, "cuStreamSynchronize", &cuda.synchronize) && find(library, "cuMemsetD32Async", &cuda.memset32) &&
           find(library, "cuMemcpyDtoHAsync_v2", &cuda.copy_to_host) && cuda.init(0) == 0;
}

/* ---- The graph ----------------------------------------------------------------------------*/

static int build(struct tg_graph *graph, tg_buffer_id *x_p, tg_buffer_id *y_p, struct tg_error *err)
{
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "x";
    buffer.dtype = TG_F32;
    buffer.n_dims = 1;
    buffer.shape[0] = N;
    int status = tg_graph_add_buffer(graph, &buffer, x_p, err);
    buffer.name = "y";
    buffer.init = TG_INIT_IOTA;
    status = status ? status : tg_graph_add_buffer(graph, &buffer, y_p, err);

    tg_kernel_id axpy;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = kernel.builtin = "axpy";
    status = status ? status : tg_graph_add_kernel(graph, &kernel, &axpy, err);
    if (status)
        return status;
    struct tg_arg args[] = {tg_arg_int(N), tg_arg_float(3), tg_arg_tile(*x_p, 0), tg_arg_tile(*y_p, 0)};
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    task.kernel = axpy;
    task.n_args = 4;
    task.args = args;
    status = tg_graph_add_task(graph, &task, NULL, err);
    return status ? status : tg_graph_freeze(graph, err);
}

/* ---- Both ---------------------------------------------------------------------------------*/

/* Everything of one round is enqueued before the host waits. */
static int enqueue(struct tg_run *run, tg_buffer_id x, tg_buffer_id y, float value, void *stream, float *result,
                   struct tg_error *err)
{
    uint64_t address;
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    int status = tg_run_device_tile(run, x, 0, 0, TG_OUT, stream, &address, err);
    if (status == 0 && cuda.memset32(address, bits, N, stream))
        status = TG_E_DRIVER;
    status = status ? status : tg_run_start_on(run, 0, stream, err);
    status = status ? status : tg_run_wait_on(run, 0, stream, err);
    status = status ? status : tg_run_device_tile(run, y, 0, 0, TG_IN, stream, &address, err);
    if (status == 0 && cuda.copy_to_host(result, address, N * sizeof *result, stream))
        status = TG_E_DRIVER;
    return status;
}

static int rounds(struct tg_run *run, tg_buffer_id x, tg_buffer_id y, void *stream, struct tg_error *err)
{
    static float result[N];
    for (int round = 1; round <= 3; round++) {
        int status = enqueue(run, x, y, (float)round, stream, result, err);
        if (cuda.synchronize(stream))
            status = status ? status : TG_E_DRIVER;
        int ended = tg_run_wait(run, err);
        if (status || ended)
            return status ? status : ended;
        for (int i = 0; i < N; i++)
            if (result[i] != (float)(i + 3 * round)) {
                snprintf(err->text, sizeof err->text, "y[%d] is %g", i, (double)result[i]);
                return TG_E_VERIFY;
            }
        printf("x = %d: y[1000] = %g\n", round, (double)result[1000]);
    }
    return 0;
}

int main(void)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_error err = {.text = "a call of the program's own to CUDA failed"};
    struct tg_graph *graph = NULL;
    struct tg_runtime *runtime = NULL;
    struct tg_run *run = NULL;
    tg_buffer_id x, y;
    void *context, *stream = NULL;

    /* The context that the CUDA runtime uses as well; 1: a stream that does not wait for the default stream. */
    if (!cuda_load() || cuda.retain(&context, 0)) {
        printf("own_stream: no CUDA device here, nothing to show\n");
        return 0;
    }
    options.devices = "cuda:0";
    int failed = cuda.set_current(context) || cuda.stream_create(&stream, 1) || tg_graph_create("own_stream", &graph, &err) ||
                 build(graph, &x, &y, &err) || tg_runtime_create(&options, &runtime, &err) ||
                 tg_run_create(runtime, graph, NULL, &run, &err) || rounds(run, x, y, stream, &err);
    if (failed)
        fprintf(stderr, "own_stream: %s\n", err.text);
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    if (stream)
        cuda.stream_destroy(stream);
    cuda.release(0);
    return failed;
}
