/* How a task on a CPU learns that a kernel before it is done: by events that a thread looks at in batches, as tgraph does,
 * or by a function that the driver calls on a thread of its own (cuLaunchHostFunc).
 *
 * hop: a kernel, then the host, then the next kernel, and so on: the whole way there and back.  many: kernels on four
 * streams, each with a notice of its own, with a thread that wants them all: nanoseconds a kernel from the first launch to
 * the last notice, and what of that the process's threads spent (both sides of the driver). */
#include "bench/cuda_bare.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "kernels/launch.h"

enum { N_HOPS = 2000, N_MANY = 8000, N_STREAMS = 4, ELEMS = 64 };

static CUmodule module;
static CUfunction axpy;
static CUdeviceptr x;
static CUstream streams[N_STREAMS];
static CUevent events[N_MANY];
static _Atomic uint32_t n_called; /* by the driver's thread, release: what the kernel wrote is seen */

static void open_all(void)
{
    const void *image = tgi_kernels_fatbin(&(size_t){0});
    if (!image)
        bench_die("this build has no kernels for GPUs");
    bare_open(0);
    DO(cuModuleLoadData, (&module, image));
    DO(cuModuleGetFunction, (&axpy, module, "tgk_axpy_f32"));
    DO(cuMemAlloc, (&x, 2 * ELEMS * sizeof(float)));
    for (uint32_t i = 0; i < N_STREAMS; i++)
        DO(cuStreamCreate, (&streams[i], CU_STREAM_NON_BLOCKING));
    for (uint32_t i = 0; i < N_MANY; i++)
        DO(cuEventCreate, (&events[i], CU_EVENT_DISABLE_TIMING));
}

static void close_all(void)
{
    for (uint32_t i = 0; i < N_MANY; i++)
        api->cuEventDestroy(events[i]);
    for (uint32_t i = 0; i < N_STREAMS; i++)
        api->cuStreamDestroy(streams[i]);
    api->cuMemFree(x);
    api->cuModuleUnload(module);
    bare_close(0);
}

static void launch(CUstream stream)
{
    int64_t n = ELEMS;
    float a = 1e-6f;
    CUdeviceptr y = x + ELEMS * sizeof(float);
    void *args[] = {&n, &a, &x, &y};
    DO(cuLaunchKernel, (axpy, 1, 1, 1, 256, 1, 1, 0, stream, args, NULL));
}

static void called(void *user)
{
    (void)user;
    atomic_fetch_add_explicit(&n_called, 1, memory_order_release);
}

static void wait_called(uint32_t n)
{
    /* acquire: pairs with the release in the driver's thread. */
    while (atomic_load_explicit(&n_called, memory_order_acquire) < n)
        ;
}

static bool is_done(CUevent event)
{
    CUresult rc = api->cuEventQuery(event);
    if (rc == CUDA_ERROR_NOT_READY)
        return false;
    must(tgi_cuda_check(api, rc, "cuEventQuery", &err, "benchmark"));
    return true;
}

enum way { EVENTS, FUNCTIONS };
static const char *const names[] = {"polled events", "host functions"};

/* ---- Hops ---------------------------------------------------------------------------------*/

static uint64_t hops(enum way way)
{
    uint64_t begin = bench_now_ns();
    atomic_store_explicit(&n_called, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < N_HOPS; i++) {
        launch(streams[0]);
        if (way == FUNCTIONS) {
            DO(cuLaunchHostFunc, (streams[0], called, NULL));
            wait_called(i + 1);
        } else {
            DO(cuEventRecord, (events[0], streams[0]));
            while (!is_done(events[0]))
                ;
        }
    }
    return bench_now_ns() - begin;
}

/* ---- Many ---------------------------------------------------------------------------------*/

static uint64_t cpu_ns(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return ((uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec)) * 1000;
}

/* One look at each stream's oldest event: those before it are done as well. */
static uint32_t look(uint32_t *next, uint32_t n_launched)
{
    uint32_t n = 0;
    for (uint32_t s = 0; s < N_STREAMS; s++)
        while (next[s] < n_launched && is_done(events[next[s]])) {
            next[s] += N_STREAMS;
            n++;
        }
    return n;
}

static uint64_t many(enum way way)
{
    uint32_t next[N_STREAMS] = {0, 1, 2, 3}, n_seen = 0;
    uint64_t begin = bench_now_ns();
    atomic_store_explicit(&n_called, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < N_MANY; i++) {
        CUstream stream = streams[i % N_STREAMS];
        launch(stream);
        if (way == FUNCTIONS)
            DO(cuLaunchHostFunc, (stream, called, NULL));
        else
            DO(cuEventRecord, (events[i], stream));
        if (way == EVENTS && i % 32 == 31) /* as often as the submitter looks */
            n_seen += look(next, i + 1);
    }
    if (way == FUNCTIONS)
        wait_called(N_MANY);
    while (way == EVENTS && n_seen < N_MANY)
        n_seen += look(next, N_MANY);
    return bench_now_ns() - begin;
}

static void measure(const struct bench_options *o, enum way way)
{
    struct bench_sample hop = {{0}, 0}, all = {{0}, 0};
    uint64_t spent = 0;
    for (uint32_t i = 0; i <= o->n_runs; i++) {
        uint64_t hop_ns = hops(way), before = cpu_ns(), all_ns = many(way);
        if (i == 0)
            continue; /* code is loaded, threads start */
        bench_sample_add(&hop, hop_ns);
        bench_sample_add(&all, all_ns);
        spent += cpu_ns() - before;
    }
    bench_report("wake-up, hop", names[way], 1, "us", (double)bench_sample_median(&hop) / N_HOPS / 1e3);
    bench_report("wake-up, many", names[way], 1, "ns/task", (double)bench_sample_median(&all) / N_MANY);
    bench_report("wake-up, many", names[way], 1, "ns/task of all threads", (double)spent / o->n_runs / N_MANY);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    open_all();
    measure(&o, EVENTS);
    measure(&o, FUNCTIONS);
    close_all();
    return 0;
}
