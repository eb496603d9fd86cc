/* Tasks issued to CUDA streams: what tgraph costs beside the same graph written by hand with streams and
 * events.  W tiles, S steps; task (s, i) adds tile i + 1 to tile i, so it comes after (s, i - 1), which read tile i, and
 * after (s - 1, i + 1), which wrote tile i + 1.
 *
 * By hand: a row of tasks per stream, four streams in turn, an event after each task that the next row waits for.
 * On the null driver (bench/null_driver.c, by TGRAPH_CUDA_DRIVER), whose calls do nothing, what remains is tgraph's
 * own work on the host; --what null says so in the results. */
#include "bench/cuda_bare.h"
#include "kernels/launch.h"

enum { WIDTH = 16, STEPS = 1000, ELEMS = 64, N_TASKS = WIDTH * STEPS, N_STREAMS = 4 };

/* ---- tgraph -------------------------------------------------------------------------------*/

static struct tg_graph *build(void)
{
    struct tg_graph *graph;
    must(tg_graph_create("streams", &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "x";
    buffer.n_dims = buffer.n_tile_dims = 1;
    buffer.shape[0] = ELEMS;
    buffer.tiles[0] = WIDTH;
    buffer.init = TG_INIT_FILL;
    buffer.init_value = 1;
    tg_buffer_id x;
    must(tg_graph_add_buffer(graph, &buffer, &x, &err));
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = kernel.builtin = "axpy";
    tg_kernel_id axpy;
    must(tg_graph_add_kernel(graph, &kernel, &axpy, &err));
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    task.kernel = axpy;
    task.n_args = 4;
    task.on = "cuda";
    for (uint32_t t = 0; t < N_TASKS; t++) {
        const struct tg_arg args[] = {tg_arg_int(ELEMS), tg_arg_float(1e-6), tg_arg_tile(x, (t + 1) % WIDTH),
                                      tg_arg_tile(x, t % WIDTH)};
        task.args = args;
        must(tg_graph_add_task(graph, &task, NULL, &err));
    }
    must(tg_graph_freeze(graph, &err));
    return graph;
}

static void measure_tgraph(const struct bench_options *o)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *runtime;
    struct tg_run *run;
    struct tg_graph *graph = build();
    struct bench_sample sample = {{0}, 0};
    options.n_workers = 1;
    options.devices = "cuda:0";
    run_options.keep_data = true;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, graph, &run_options, &run, &err));
    must(tg_run_execute(run, &err));
    for (uint32_t i = 0; i < o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        must(tg_run_execute(run, &err));
        bench_sample_add(&sample, bench_now_ns() - begin);
    }
    bench_report(o->what ? "streams, null driver" : "streams", "tgraph", 1, "ns/task", (double)bench_sample_median(&sample) / N_TASKS);
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
}

/* ---- By hand ------------------------------------------------------------------------------*/

struct by_hand {
    CUmodule module;
    CUfunction axpy;
    CUdeviceptr x;
    CUstream streams[N_STREAMS];
    CUevent events[2][WIDTH]; /* of a row; the row after the next uses them again */
};

static void open_by_hand(struct by_hand *h)
{
    const void *image = tgi_kernels_fatbin(&(size_t){0});
    if (!image)
        image = "standin 1\nkernel tgk_axpy_f32\n";
    bare_open(0);
    DO(cuModuleLoadData, (&h->module, image));
    DO(cuModuleGetFunction, (&h->axpy, h->module, "tgk_axpy_f32"));
    DO(cuMemAlloc, (&h->x, WIDTH * ELEMS * sizeof(float)));
    for (uint32_t i = 0; i < N_STREAMS; i++)
        DO(cuStreamCreate, (&h->streams[i], CU_STREAM_NON_BLOCKING));
    for (uint32_t i = 0; i < 2 * WIDTH; i++)
        DO(cuEventCreate, (&h->events[i / WIDTH][i % WIDTH], CU_EVENT_DISABLE_TIMING));
}

static void run_by_hand(struct by_hand *h)
{
    int64_t n = ELEMS;
    float a = 1e-6f;
    for (uint32_t s = 0; s < STEPS; s++)
        for (uint32_t i = 0; i < WIDTH; i++) {
            CUstream stream = h->streams[s % N_STREAMS];
            CUdeviceptr x = h->x + (i + 1) % WIDTH * ELEMS * sizeof(float), y = h->x + i * ELEMS * sizeof(float);
            void *args[] = {&n, &a, &x, &y};
            if (s && i + 1 < WIDTH)
                DO(cuStreamWaitEvent, (stream, h->events[(s - 1) % 2][i + 1], 0));
            DO(cuLaunchKernel, (h->axpy, 1, 1, 1, 256, 1, 1, 0, stream, args, NULL));
            DO(cuEventRecord, (h->events[s % 2][i], stream));
        }
    for (uint32_t i = 0; i < N_STREAMS; i++)
        DO(cuStreamSynchronize, (h->streams[i]));
}

static void close_by_hand(struct by_hand *h)
{
    for (uint32_t i = 0; i < 2 * WIDTH; i++)
        api->cuEventDestroy(h->events[i / WIDTH][i % WIDTH]);
    for (uint32_t i = 0; i < N_STREAMS; i++)
        api->cuStreamDestroy(h->streams[i]);
    api->cuMemFree(h->x);
    api->cuModuleUnload(h->module);
    bare_close(0);
}

static void measure_by_hand(const struct bench_options *o)
{
    struct by_hand h;
    struct bench_sample sample = {{0}, 0};
    open_by_hand(&h);
    run_by_hand(&h);
    for (uint32_t i = 0; i < o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
        run_by_hand(&h);
        bench_sample_add(&sample, bench_now_ns() - begin);
    }
    bench_report(o->what ? "streams, null driver" : "streams", "by hand", 1, "ns/task", (double)bench_sample_median(&sample) / N_TASKS);
    close_by_hand(&h);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    measure_tgraph(&o);
    measure_by_hand(&o);
    return 0;
}
