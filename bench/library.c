/* The device library on a GPU: each part beside its target and beside the bare instruction, all measured in this run.
 *
 *     library [--runs N] [--what messages|slab|gang|log]
 *
 * Results are checked: every message once and whole, every object with one owner and all back at the end, sums of
 * reductions, what barriers order, entries of the log.  Every loop on the GPU that waits has a limit, and two minutes end the
 * program. */
#include "bench/cuda_bare.h"
#include "bench/sample.h"
#include "gpu/library/tgraph_device.h"
#include "gpu/library/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_S = 120, WARPS = 8, MAX_WARPS = 8192 };

static struct bench_options options;
static CUmodule module;
static CUfunction messages, slab, gang, log_tasks;
static CUstream stream;
static CUevent begin, end;
static uint32_t n_sms;
static CUdeviceptr results, sums, n_failed;

static void open_gpu(void)
{
    int n;
    const void *image = tgi_library_fatbin(&(size_t){0});
    if (!image)
        bench_die("built with CUDA=0");
    bare_open(0);
    DO(cuModuleLoadData, (&module, image));
    DO(cuModuleGetFunction, (&messages, module, "tgk_trial_messages"));
    DO(cuModuleGetFunction, (&slab, module, "tgk_trial_slab"));
    DO(cuModuleGetFunction, (&gang, module, "tgk_trial_gang"));
    DO(cuModuleGetFunction, (&log_tasks, module, "tgk_trial_log"));
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    DO(cuEventCreate, (&begin, 0));
    DO(cuEventCreate, (&end, 0));
    DO(cuDeviceGetAttribute, (&n, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    n_sms = (uint32_t)n / 2 * 2;
    DO(cuMemAlloc, (&results, MAX_WARPS * 8));
    DO(cuMemAlloc, (&sums, MAX_WARPS * 8));
    DO(cuMemAlloc, (&n_failed, 4));
}

static void close_gpu(void)
{
    api->cuMemFree(results);
    api->cuMemFree(sums);
    api->cuMemFree(n_failed);
    api->cuEventDestroy(begin);
    api->cuEventDestroy(end);
    api->cuStreamDestroy(stream);
    api->cuModuleUnload(module);
    bare_close(0);
}

static void *must_have(void *p)
{
    if (!p)
        bench_die("no memory on the host");
    return p;
}
static CUdeviceptr on_gpu(const void *image, size_t image_bytes, size_t bytes)
{
    CUdeviceptr p;
    DO(cuMemAlloc, (&p, bytes));
    DO(cuMemcpyHtoD, (p, image, image_bytes));
    return p;
}

/* What the last trial left, by warp. */
static uint64_t result[MAX_WARPS], sum[MAX_WARPS];

/* One launch, in ns; ends the program if the trial failed. */
static double run(CUfunction kernel, struct tgd_trial *t, uint32_t n_blocks, uint32_t n_warps, uint32_t shared_bytes,
                  const char *what)
{
    float ms;
    uint32_t failed;
    void *args[] = {t};
    t->limit_ns = 2000000000u;
    t->result = (void *)results;
    t->sum = (void *)sums;
    t->n_failed = (void *)n_failed;
    DO(cuMemsetD8Async, (results, 0, MAX_WARPS * 8, stream));
    DO(cuMemsetD8Async, (sums, 0, MAX_WARPS * 8, stream));
    DO(cuMemsetD8Async, (n_failed, 0, 4, stream));
    DO(cuEventRecord, (begin, stream));
    DO(cuLaunchCooperativeKernel, (kernel, n_blocks, 1, 1, 32 * n_warps, 1, 1, shared_bytes, stream, args));
    DO(cuEventRecord, (end, stream));
    DO(cuStreamSynchronize, (stream));
    DO(cuEventElapsedTime, (&ms, begin, end));
    DO(cuMemcpyDtoH, (&failed, n_failed, 4));
    if (failed)
        bench_die("%s: %u results were wrong, or too late", what, failed);
    DO(cuMemcpyDtoH, (result, results, sizeof result));
    DO(cuMemcpyDtoH, (sum, sums, sizeof sum));
    return ms * 1e6;
}

/* how: "at least" or "at most" is what the target means. */
static void report(const char *what, const char *metric, uint32_t n_workers, double value, double target, const char *beside,
                   double beside_value)
{
    bench_report(what, "tgraph", n_workers, metric, value);
    if (beside)
        bench_report(what, beside, n_workers, metric, beside_value);
    printf("# %-44s %10.4g %-14s target %8.3g (%.2f)", what, value, metric, target, value / target);
    if (beside)
        printf("  %s %.4g (%.3f)", beside, beside_value, value / beside_value);
    printf("\n");
    fflush(stdout);
}

static double median(const struct bench_sample *s) { return (double)bench_sample_median(s); }

/* ---- Messages -------------------------------------------------------------------------------*/

/* n channels in a row; their bytes each. */
static CUdeviceptr channels_create(uint32_t n, const struct tgd_channel_shape *shape, size_t *stride_p)
{
    size_t stride = (tgd_channel_bytes(shape) + 127) / 128 * 128;
    char *image = must_have(calloc(n, stride));
    for (uint32_t i = 0; i < n; i++)
        if (tgd_channel_init((struct tgd_channel *)(image + i * stride), shape))
            bench_die("a channel that cannot be");
    CUdeviceptr p = on_gpu(image, n * stride, n * stride);
    free(image);
    *stride_p = stride;
    return p;
}

/* Both halves have moved as many, and the same ones. */
static void check_messages(uint32_t n_warps, uint64_t n_each, const char *what)
{
    uint64_t sent = 0, received = 0;
    for (uint32_t w = 0; w < n_warps; w++) {
        if (result[w] != n_each)
            bench_die("%s: warp %u has moved %llu messages", what, w, (unsigned long long)result[w]);
        *(w < n_warps / 2 ? &sent : &received) += sum[w];
    }
    if (sent != received)
        bench_die("%s: others were received than were sent", what);
}

static void measure_messages(const char *what, enum tgd_trial_form form, uint32_t capacity, uint32_t message_bytes,
                             uint32_t batch, uint32_t n_each, double target)
{
    const struct tgd_channel_shape shape = {capacity, message_bytes, 1, 0};
    size_t stride;
    uint32_t n_channels = form == TGD_TRIAL_ONE ? 1 : n_sms / 2 * WARPS;
    CUdeviceptr all = channels_create(n_channels, &shape, &stride), counters;
    struct bench_sample sample = {{0}, 0}, bare = {{0}, 0};
    double n_messages = (double)n_sms / 2 * WARPS * n_each;
    DO(cuMemAlloc, (&counters, n_sms * WARPS * 128));
    for (uint32_t i = 0; i <= options.n_runs; i++) {
        struct tgd_trial t = {.form = form, .n_rounds = n_each / batch, .batch = batch, .message_bytes = message_bytes,
                              .object_stride = stride, .object = (void *)all};
        double ns = run(messages, &t, n_sms, WARPS, WARPS * 32 * message_bytes, what);
        check_messages(n_sms * WARPS, n_each, what);
        t.form = TGD_TRIAL_ADDITIONS;
        t.object = (void *)counters;
        double bare_ns = run(messages, &t, n_sms, WARPS, WARPS * 32 * message_bytes, what) / 2; /* both halves add */
        if (i == 0)
            continue;
        bench_sample_add(&sample, (uint64_t)(n_messages / ns * 1e9));
        bench_sample_add(&bare, (uint64_t)(n_messages / bare_ns * 1e9));
    }
    report(what, "messages/s", n_sms * WARPS, median(&sample), target, "atomicAdd each", median(&bare));
    DO(cuMemFree, (all));
    DO(cuMemFree, (counters));
}

/* ---- Slab -----------------------------------------------------------------------------------*/

static void measure_slab(void)
{
    const uint64_t bytes = 256u << 20;
    uint64_t head = tgd_slab_head_bytes(bytes);
    struct tgd_slab *image = must_have(calloc(1, head));
    struct bench_sample cycles = {{0}, 0}, bare = {{0}, 0}, rate = {{0}, 0};
    enum { ROUNDS = 1000 };
    if (tgd_slab_init(image, bytes))
        bench_die("a slab heap that cannot be");
    CUdeviceptr heap = on_gpu(image, head, bytes);
    for (uint32_t i = 0; i <= options.n_runs; i++) {
        struct tgd_trial t = {.form = TGD_TRIAL_MAGAZINE, .n_rounds = ROUNDS, .object = (void *)heap};
        run(slab, &t, 1, 1, 0, "slab, from the magazine");
        if (i > 0)
            bench_sample_add(&cycles, sum[0] * 100 / result[0]);
        t.form = TGD_TRIAL_SHARED_ATOMIC;
        run(slab, &t, 1, 1, 0, "shared atomics");
        if (i > 0)
            bench_sample_add(&bare, sum[0] * 100 / result[0]);
        t.form = TGD_TRIAL_LANES;
        double ns = run(slab, &t, n_sms, WARPS, 0, "slab, all lanes");
        uint64_t n = 0;
        for (uint32_t w = 0; w < n_sms * WARPS; w++)
            n += result[w];
        if (n != (uint64_t)n_sms * WARPS * 32 * ROUNDS)
            bench_die("slab: %llu objects were right", (unsigned long long)n);
        if (i > 0)
            bench_sample_add(&rate, (uint64_t)((double)n / ns * 1e9));
    }
    /* Everything is back, in its place. */
    DO(cuMemcpyDtoH, (image, heap, head));
    struct tgd_memory_stats s = tgd_slab_stats(image);
    if (s.in_use || s.n_failed)
        bench_die("slab: %llu bytes did not come back, %llu refused", (unsigned long long)s.in_use, (unsigned long long)s.n_failed);
    for (uint32_t page = 0; page < image->n_pages; page++)
        for (uint32_t w = 0, c = *tgi_page_class(image, page); c != TGI_PAGE_FREE && w < TGI_PAGE_WORDS; w++)
            if (*tgi_page_bits(image, page, w) != tgi_class_mask(c, w))
                bench_die("slab: page %u lacks objects", page);
    report("slab, from the warp's magazine", "cycles", 1, median(&cycles) / 100, 100, "atomicAnd in shared memory", median(&bare) / 100);
    report("slab, all lanes of all warps", "allocations/s", n_sms * WARPS, median(&rate), 1e8, NULL, 0);
    DO(cuMemFree, (heap));
    free(image);
}

/* ---- Gang -----------------------------------------------------------------------------------*/

/* ns a round: the slowest member. */
static double gang_round(enum tgd_trial_form form, uint32_t n, const char *what)
{
    enum { ROUNDS = 2000 };
    struct tgd_gang *image = must_have(calloc(1, tgd_gang_bytes(n)));
    struct bench_sample sample = {{0}, 0};
    if (tgd_gang_init(image, n))
        bench_die("a gang that cannot be");
    for (uint32_t i = 0; i <= options.n_runs; i++) {
        CUdeviceptr g = on_gpu(image, tgd_gang_bytes(n), tgd_gang_bytes(n));
        struct tgd_trial t = {.form = form, .n_rounds = ROUNDS, .object = (void *)g};
        uint64_t most = 0;
        run(gang, &t, n, 1, 0, what);
        for (uint32_t k = 0; k < n; k++)
            most = most > result[k] ? most : result[k];
        if (i > 0)
            bench_sample_add(&sample, most * 100 / ROUNDS);
        DO(cuMemFree, (g));
    }
    free(image);
    return median(&sample) / 100;
}

static void measure_gangs(void)
{
    double bare = gang_round(TGD_TRIAL_BARRIER_BARE, 16, "bare barrier");
    report("barrier of 16 blocks", "ns", 16, gang_round(TGD_TRIAL_BARRIER, 16, "barrier"), 1000, "addition and look", bare);
    report("reduce over 16 blocks", "ns", 16, gang_round(TGD_TRIAL_REDUCE, 16, "reduce"), 1000, "addition and look", bare);
    bare = gang_round(TGD_TRIAL_BARRIER_BARE, n_sms, "bare barrier");
    report("barrier of all blocks", "ns", n_sms, gang_round(TGD_TRIAL_BARRIER, n_sms, "barrier"), 2000, "addition and look", bare);
}

/* ---- Log ------------------------------------------------------------------------------------*/

/* Every ring gives what was written or counts it as dropped. */
static void check_log(const struct tgd_logbook *book, uint64_t *n_entries_p)
{
    uint64_t n = 0;
    for (uint32_t w = 0; w < book->n_workers; w++) {
        struct tgd_log_entry e;
        uint32_t n_read = 0;
        uint64_t n_dropped = 0, n_got = 0;
        while (tgd_log_read(book, w, &n_read, &n_dropped, &e) == TGD_OK) {
            n_got++;
            if (e.worker != w || strcmp(e.text, "a task has ended") || e.severity != TGD_LOG_INFO)
                bench_die("log: worker %u's entry %u is not what it wrote", w, e.number);
        }
        if (n_got + n_dropped != result[w])
            bench_die("log: worker %u wrote %llu entries, %llu are there", w, (unsigned long long)result[w],
                      (unsigned long long)(n_got + n_dropped));
        n += result[w];
    }
    *n_entries_p = n;
}

static void measure_log(void)
{
    enum { TASKS = 20000, TASK_NS = 1000, CAPACITY = 16 };
    uint32_t n_workers = n_sms * WARPS;
    size_t bytes = tgd_logbook_bytes(n_workers, CAPACITY);
    struct tgd_logbook *image = must_have(calloc(1, bytes));
    struct bench_sample quiet = {{0}, 0}, logged = {{0}, 0}, rate = {{0}, 0};
    for (uint32_t i = 0; i <= options.n_runs; i++) {
        uint64_t n_entries;
        memset(image, 0, bytes);
        if (tgd_logbook_init(image, n_workers, CAPACITY))
            bench_die("a logbook that cannot be");
        CUdeviceptr book = on_gpu(image, bytes, bytes);
        /* Of n_workers tasks in a microsecond, one leaves an entry: 10^6 a second. */
        struct tgd_trial t = {.form = TGD_TRIAL_QUIET, .n_rounds = TASKS, .task_ns = TASK_NS, .object = (void *)book};
        double quiet_ns = run(log_tasks, &t, n_sms, WARPS, 0, "tasks");
        t.form = TGD_TRIAL_LOGGED;
        t.every = n_workers;
        double ns = run(log_tasks, &t, n_sms, WARPS, 0, "tasks with a log");
        DO(cuMemcpyDtoH, (image, book, bytes));
        check_log(image, &n_entries);
        DO(cuMemFree, (book));
        if (i == 0)
            continue;
        bench_sample_add(&quiet, (uint64_t)quiet_ns);
        bench_sample_add(&logged, (uint64_t)ns);
        bench_sample_add(&rate, (uint64_t)((double)n_entries / ns * 1e9));
    }
    printf("#     %.4g entries/s\n", median(&rate));
    report("log at 10^6 entries a second", "% of tasks", n_workers, (median(&logged) / median(&quiet) - 1) * 100, 5, NULL, 0);
    free(image);
}

/* What a launch of many entries costs each: every task leaves one. */
static void measure_entries(void)
{
    enum { TASKS = 2000, CAPACITY = 16 };
    uint32_t n_workers = n_sms * WARPS;
    size_t bytes = tgd_logbook_bytes(n_workers, CAPACITY);
    struct tgd_logbook *image = must_have(calloc(1, bytes));
    struct bench_sample sample = {{0}, 0};
    if (tgd_logbook_init(image, n_workers, CAPACITY))
        bench_die("a logbook that cannot be");
    for (uint32_t i = 0; i <= options.n_runs; i++) {
        uint64_t n_entries;
        struct tgd_logbook *copy = must_have(malloc(bytes));
        CUdeviceptr book = on_gpu(image, bytes, bytes);
        struct tgd_trial t = {.form = TGD_TRIAL_LOGGED, .n_rounds = TASKS, .every = 1, .object = (void *)book};
        double ns = run(log_tasks, &t, n_sms, WARPS, 0, "entries");
        DO(cuMemcpyDtoH, (copy, book, bytes));
        check_log(copy, &n_entries);
        DO(cuMemFree, (book));
        free(copy);
        if (i > 0)
            bench_sample_add(&sample, (uint64_t)((double)n_entries / ns * 1e9));
    }
    report("log, nothing but entries", "entries/s", n_workers, median(&sample), 1e6, NULL, 0);
    free(image);
}

static bool is_wanted(const char *what) { return !options.what || !strcmp(options.what, what); }

int main(int argc, char **argv)
{
    options = bench_parse(argc, argv);
    alarm(LIMIT_S);
    open_gpu();
    printf("# library: %u SMs, %u warps each, medians of %u runs\n", n_sms, (unsigned)WARPS, options.n_runs);
    if (is_wanted("messages")) {
        measure_messages("messages of 16 bytes, a channel a pair", TGD_TRIAL_PAIRS, 256, 16, 32, 32768, 1e8);
        measure_messages("messages of 64 bytes, a channel a pair", TGD_TRIAL_PAIRS, 256, 64, 32, 32768, 1e8);
        measure_messages("messages of 16 bytes, one by one", TGD_TRIAL_PAIRS, 256, 16, 1, 2048, 1e8);
        measure_messages("messages of 16 bytes, all by one channel", TGD_TRIAL_ONE, 8192, 16, 32, 2048, 1e8);
    }
    if (is_wanted("slab"))
        measure_slab();
    if (is_wanted("gang"))
        measure_gangs();
    if (is_wanted("log")) {
        measure_log();
        measure_entries();
    }
    close_gpu();
    return 0;
}
