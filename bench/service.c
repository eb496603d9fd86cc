/* The resident service: what a call costs from the host and back, beside a launch, a CUDA graph and a bare doorbell, all
 * measured in this run.
 *
 *     service [--runs N] [--what yardsticks|calls|completions|wavefront|batches]
 *     service --what soak [--runs SECONDS] [--n SEED]     mixed load with every answer checked; not without its name
 *
 * N thousand calls make a row (default 5); the first tenth is not counted.  Every answer is compared with what it must be.
 * A wait that lasts a second ends the program, and so do two minutes in all, but of soak. */
#include "bench/cuda_bare.h"
#include "bench/resident_dag.h"
#include "bench/service_soak.h"
#include "gpu/resident/module.h"
#include "graph/tgraph_service.h"
#include "mem/service_ring.h"
#include "sched/service.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_S = 120, THOUSAND = 1000 };
static const uint64_t wait_limit_ns = 1000000000u;
static struct bench_options options;

/* ---- Samples ------------------------------------------------------------------------------*/

struct row {
    const char *what, *system;
    double target_median_us, target_p99_us; /* 0: none */
};

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const struct row *row, uint64_t *ns, uint32_t n)
{
    uint32_t cold = n / 10, left = n - cold;
    uint64_t *warm = ns + cold;
    qsort(warm, left, sizeof *warm, compare);
    double median = (double)warm[left / 2] / 1e3, p99 = (double)warm[left - 1 - left / 100] / 1e3;
    bench_report(row->what, row->system, 1, "us, median", median);
    bench_report(row->what, row->system, 1, "us, 99th percentile", p99);
    if (row->target_median_us > 0)
        printf("#     target %.3g us (%.2f)%s", row->target_median_us, median / row->target_median_us,
               row->target_p99_us > 0 ? "" : "\n");
    if (row->target_p99_us > 0)
        printf(", 99th %.3g us (%.2f)\n", row->target_p99_us, p99 / row->target_p99_us);
    fflush(stdout);
}

static uint32_t n_samples(void) { return options.n_runs * THOUSAND; }

static uint64_t *samples(void)
{
    uint64_t *ns = calloc(n_samples(), sizeof *ns);
    if (!ns)
        bench_die("no memory for %u samples", n_samples());
    return ns;
}

/* ---- Yardsticks ---------------------------------------------------------------------------*/

static void measure_launches(CUfunction nothing, CUstream stream)
{
    CUgraph graph;
    CUgraphExec exec;
    CUgraphNode node;
    CUDA_KERNEL_NODE_PARAMS params = {.func = nothing, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 32,
                                      .blockDimY = 1, .blockDimZ = 1};
    uint64_t *ns = samples();
    for (uint32_t i = 0; i < n_samples(); i++) {
        uint64_t begin = bench_now_ns();
        DO(cuLaunchKernel, (nothing, 1, 1, 1, 32, 1, 1, 0, stream, NULL, NULL));
        DO(cuStreamSynchronize, (stream));
        ns[i] = bench_now_ns() - begin;
    }
    report(&(struct row){"empty call", "launch + synchronize", 0, 0}, ns, n_samples());
    DO(cuGraphCreate, (&graph, 0));
    DO(cuGraphAddKernelNode, (&node, graph, NULL, 0, &params));
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    for (uint32_t i = 0; i < n_samples(); i++) {
        uint64_t begin = bench_now_ns();
        DO(cuGraphLaunch, (exec, stream));
        DO(cuStreamSynchronize, (stream));
        ns[i] = bench_now_ns() - begin;
    }
    report(&(struct row){"empty call", "graph launch + synchronize", 0, 0}, ns, n_samples());
    DO(cuGraphExecDestroy, (exec));
    DO(cuGraphDestroy, (graph));
    free(ns);
}

/* A word there, a word back: what the bus allows. */
static void measure_doorbell(CUfunction doorbell, CUstream stream)
{
    uint64_t *ns = samples(), *words, n = n_samples(), limit_ns = 20 * wait_limit_ns;
    DO(cuMemHostAlloc, ((void **)&words, 4096, CU_MEMHOSTALLOC_PORTABLE));
    memset(words, 0, 4096);
    uint64_t *bell = words, *answer = words + 64;
    void *args[] = {&bell, &answer, &n, &limit_ns};
    DO(cuLaunchKernel, (doorbell, 1, 1, 1, 1, 1, 1, 0, stream, args, NULL));
    for (uint64_t i = 1; i <= n; i++) {
        uint64_t begin = bench_now_ns(), now = begin;
        tgi_sys_store_release(bell, i);
        while (tgi_sys_load_acquire(answer) != i && (now = bench_now_ns()) - begin < wait_limit_ns)
            ;
        if (now - begin >= wait_limit_ns)
            bench_die("the doorbell's kernel has not answered");
        ns[i - 1] = bench_now_ns() - begin;
    }
    DO(cuStreamSynchronize, (stream));
    report(&(struct row){"empty call", "bare doorbell", 0, 0}, ns, n_samples());
    DO(cuMemFreeHost, (words));
    free(ns);
}

static void measure_yardsticks(void)
{
    CUmodule module;
    CUfunction nothing, doorbell;
    CUstream stream;
    const void *image = tgi_resident_fatbin(&(size_t){0});
    if (!image)
        bench_die("built with CUDA=0");
    bare_open(0);
    DO(cuModuleLoadData, (&module, image));
    DO(cuModuleGetFunction, (&nothing, module, "tgk_resident_nothing"));
    DO(cuModuleGetFunction, (&doorbell, module, "tgk_doorbell"));
    DO(cuStreamCreate, (&stream, CU_STREAM_NON_BLOCKING));
    measure_launches(nothing, stream);
    measure_doorbell(doorbell, stream);
    DO(cuStreamDestroy, (stream));
    DO(cuModuleUnload, (module));
    bare_close(0);
}

/* ---- Calls --------------------------------------------------------------------------------*/

static struct tg_service *begin_service(const struct tg_service_options *o, const struct tgi_service_setup *setup)
{
    struct tg_service *s;
    must(tgi_service_create(o, setup, &s, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    return s;
}

static void end_service(struct tg_service *s)
{
    must(tg_service_terminate(s, 10 * wait_limit_ns, &err));
    tg_service_destroy(s);
}

static void measure_call(struct tg_service *s, const struct row *row, enum tg_service_body body, uint32_t n_bytes)
{
    uint64_t *ns = samples(), sent[128] = {0}, got[128] = {0};
    for (uint32_t i = 0; i < n_samples(); i++) {
        sent[0] = i;
        struct tg_service_message m = {body, 0, sent, n_bytes};
        size_t n;
        uint64_t begin = bench_now_ns();
        must(tg_service_call(s, &m, wait_limit_ns, got, sizeof got, &n, &err));
        ns[i] = bench_now_ns() - begin;
        uint64_t want = body == TG_SERVICE_MIX ? tgi_mix(i) : i;
        if (n != n_bytes || (n_bytes && got[0] != want))
            bench_die("%s: call %u got another answer", row->what, i);
    }
    report(row, ns, n_samples());
    free(ns);
}

static void measure_calls(void)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    o.idle_exit_ns = 0;
    struct tg_service *s = begin_service(&o, NULL);
    measure_call(s, &(struct row){"empty call", "tgraph", 4.0, 8.0}, TG_SERVICE_ECHO, 0);
    measure_call(s, &(struct row){"call, 64 bytes there and back", "tgraph", 0, 0}, TG_SERVICE_ECHO, 64);
    measure_call(s, &(struct row){"call, 1024 bytes there and back", "tgraph", 0, 0}, TG_SERVICE_ECHO, 1024);
    measure_call(s, &(struct row){"call, 8 bytes, by a worker", "tgraph", 0, 0}, TG_SERVICE_MIX, 8);
    end_service(s);
}

/* ---- Completions --------------------------------------------------------------------------*/

enum completion { RECEIVED, POLLED, CALLED_BACK };
static _Atomic uint64_t called_back; /* ticket, and one */

static void on_answer(void *user, const struct tg_service_answer *answer, const void *data, const struct tg_error *why)
{
    (void)user, (void)data;
    if (!answer)
        bench_die("a callback was told: %s", why->text);
    /* release: pairs with the load in await_answer(). */
    atomic_store_explicit(&called_back, answer->ticket + 1, memory_order_release);
}

static void await_answer(struct tg_service *s, enum completion how, int fd, uint64_t ticket)
{
    struct tg_service_answer answer = {0};
    struct pollfd p = {fd, POLLIN, 0};
    if (how == CALLED_BACK) {
        uint64_t since = bench_now_ns();
        while (atomic_load_explicit(&called_back, memory_order_acquire) != ticket + 1)
            if (bench_now_ns() - since > wait_limit_ns)
                bench_die("nothing has been called back");
        return;
    }
    if (how == POLLED && poll(&p, 1, (int)(wait_limit_ns / 1000000)) != 1)
        bench_die("the descriptor has not become readable");
    must(tg_service_receive(s, how == POLLED ? 0 : wait_limit_ns, &answer, NULL, 0, &err));
    if (answer.ticket != ticket || answer.status)
        bench_die("another answer than that to message %llu", (unsigned long long)ticket);
}

/* From send until the program has the answer; and a call beside the thread, which should cost what it costs alone. */
static void measure_completion(enum completion how, const char *what, const char *what_call)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    struct tg_service_message m = {TG_SERVICE_ECHO, 0, NULL, 0};
    struct tg_service *s;
    uint64_t *ns = samples(), ticket;
    int fd = -1;
    o.idle_exit_ns = 0;
    atomic_store_explicit(&called_back, 0, memory_order_relaxed);
    must(tg_service_create(&o, &s, &err));
    if (how == CALLED_BACK)
        must(tg_service_set_callback(s, on_answer, NULL, &err));
    if (how == POLLED)
        must(tg_service_fd(s, &fd, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    for (uint32_t i = 0; i < n_samples(); i++) {
        uint64_t begin = bench_now_ns();
        must(tg_service_send(s, &m, &ticket, &err));
        await_answer(s, how, fd, ticket);
        ns[i] = bench_now_ns() - begin;
    }
    report(&(struct row){what, "tgraph", 0, 0}, ns, n_samples());
    free(ns);
    measure_call(s, &(struct row){what_call, "tgraph", 0, 0}, TG_SERVICE_ECHO, 0);
    end_service(s);
}

static void measure_completions(void)
{
    measure_completion(RECEIVED, "empty message, received", "empty call");
    measure_completion(POLLED, "empty message, polled for", "empty call, with a descriptor");
    measure_completion(CALLED_BACK, "empty message, called back", "empty call, with a callback");
}

/* ---- Returning ----------------------------------------------------------------------------*/

/* A call that finds the kernel gone. */
static void measure_return(void)
{
    enum { N = 50 };
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    uint64_t ns[N];
    o.idle_exit_ns = 1000000;
    struct tg_service *s = begin_service(&o, NULL);
    for (int i = 0; i < N; i++) {
        struct tg_service_message m = {TG_SERVICE_ECHO, 0, NULL, 0};
        struct tg_service_status status;
        uint64_t begin = bench_now_ns();
        do {
            usleep(1000);
            must(tg_service_status(s, &status, &err));
        } while (status.is_resident && bench_now_ns() - begin < wait_limit_ns);
        if (status.is_resident)
            bench_die("the kernel has not left after an idle second");
        begin = bench_now_ns();
        must(tg_service_call(s, &m, wait_limit_ns, NULL, 0, NULL, &err));
        ns[i] = bench_now_ns() - begin;
    }
    report(&(struct row){"empty call that brings the kernel back", "tgraph", 0, 0}, ns, N);
    end_service(s);
}

/* ---- Instances ----------------------------------------------------------------------------*/

static void measure_wavefront(void)
{
    enum { ROWS = 25, COLUMNS = 40, EACH = 8, BLOCKS = 4, OUTPUT = ROWS * COLUMNS - 1 };
    const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
    const struct tgi_resident_shape shape = {BLOCKS, EACH, 64u << 10, TGI_RESIDENT_WARP};
    static const uint32_t output = OUTPUT;
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    struct tgi_resident_program *p;
    struct resident_dag d;
    uint64_t *ns = samples(), *want = calloc(ROWS * COLUMNS, sizeof *want), got;
    o.idle_exit_ns = 0;
    resident_dag_wavefront(&d, ROWS, COLUMNS, TGI_RESIDENT_HASH);
    d.dag.arg = d.arg = calloc(ROWS * COLUMNS, sizeof *d.arg);
    d.op[0] = TGI_RESIDENT_INPUT;
    must(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err));
    must(tgi_resident_check(&d.dag, p, &err));
    struct tg_service *s = begin_service(&o, &ONE_PROGRAM(p, 1, 1, &output));
    for (uint32_t i = 0; i < n_samples(); i++) {
        uint64_t input = tgi_mix(i), begin = bench_now_ns();
        must(tg_service_run(s, INPUTS(&input), wait_limit_ns, &got, &err));
        ns[i] = bench_now_ns() - begin;
        resident_dag_execute_on(&d.dag, &input, i + 1, want);
        if (got != want[OUTPUT])
            bench_die("wavefront: instance %u has another result", i);
    }
    report(&(struct row){"wavefront of 1,000 tasks, call", "tgraph", 30, 0}, ns, n_samples());
    printf("#     the planner expects %.3g us on the GPU\n", p->makespan_ns / 1e3);
    end_service(s);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
    free(ns);
    free(want);
}

/* The same through the public header: sums of 64 bits. */
static void measure_public_wavefront(void)
{
    enum { ROWS = 25, COLUMNS = 40, N = ROWS * COLUMNS };
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_program *program;
    struct tg_service *s;
    uint64_t *ns = samples(), want[N], got;
    must(tg_service_program_create(1, &program, &err));
    must(tg_service_program_add_task(program, TG_SERVICE_OP_INPUT, 0, NULL, 0, NULL, &err));
    for (uint32_t t = 1; t < N; t++) {
        uint32_t after[2], n_after = 0;
        if (t % COLUMNS)
            after[n_after++] = t - 1;
        if (t >= COLUMNS)
            after[n_after++] = t - COLUMNS;
        must(tg_service_program_add_task(program, TG_SERVICE_OP_SUM, t, after, n_after, NULL, &err));
    }
    must(tg_service_program_add_output(program, N - 1, &err));
    setup.programs = &program;
    setup.n_programs = setup.n_teams = setup.n_ahead = 1;
    setup.n_blocks_each = 4;
    setup.n_workers_each = 8;
    o.idle_exit_ns = 0;
    o.setup = &setup;
    must(tg_service_create(&o, &s, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    for (uint32_t i = 0; i < n_samples(); i++) {
        uint64_t input = tgi_mix(i), begin = bench_now_ns();
        must(tg_service_run(s, INPUTS(&input), wait_limit_ns, &got, &err));
        ns[i] = bench_now_ns() - begin;
        for (uint32_t t = 0; t < N; t++)
            want[t] = t == 0 ? input : t + (t % COLUMNS ? want[t - 1] : 0) + (t >= COLUMNS ? want[t - COLUMNS] : 0);
        if (got != want[N - 1])
            bench_die("wavefront of sums: instance %u has another result", i);
    }
    report(&(struct row){"wavefront of 1,000 sums, call, public header", "tgraph", 30, 0}, ns, n_samples());
    end_service(s);
    tg_service_program_destroy(program);
    free(ns);
}

/* ---- Batches ------------------------------------------------------------------------------*/

/* One thread sends whatever there is room for and receives whatever has come. */
static void measure_batches(uint32_t capacity, uint32_t n_bytes)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    uint64_t n = 100ull * n_samples(), n_sent = 0, n_got = 0, data[8] = {0};
    struct tg_service_answer answer;
    char what[64];
    o.idle_exit_ns = 0;
    o.queue_capacity = capacity;
    o.message_bytes = 64;
    struct tg_service *s = begin_service(&o, NULL);
    uint64_t begin = bench_now_ns();
    while (n_got < n) {
        struct tg_service_message m = {TG_SERVICE_ECHO, 0, data, n_bytes};
        int rc = 0;
        while (n_sent < n && n_sent - n_got < capacity) {
            data[0] = n_sent;
            must(tg_service_send(s, &m, NULL, &err));
            n_sent++;
        }
        must(tg_service_receive(s, wait_limit_ns, &answer, data, sizeof data, &err));
        do {
            if (answer.ticket != n_got || answer.status || (n_bytes && data[0] != n_got))
                bench_die("batches: answer %llu is another one", (unsigned long long)n_got);
            n_got++;
        } while (n_got < n_sent && (rc = tg_service_receive(s, 0, &answer, data, sizeof data, NULL)) == 0);
        if (rc && rc != TG_E_NO_ANSWER)
            bench_die("batches: status %d", rc);
    }
    double rate = (double)n / ((double)(bench_now_ns() - begin) / 1e9);
    snprintf(what, sizeof what, "messages of %u bytes, %u under way", n_bytes, capacity);
    bench_report(what, "tgraph", 1, "messages/s there and back", rate);
    struct tg_service_metrics metrics;
    must(tg_service_terminate(s, 10 * wait_limit_ns, &err)); /* then all is counted */
    must(tg_service_metrics(s, &metrics, &err));
    tg_service_destroy(s);
    printf("#     target 2e6 (%.2f); %.3g messages at a time\n", rate / 2e6,
           (double)metrics.n_messages / (double)(metrics.n_batches ? metrics.n_batches : 1));
}

static volatile sig_atomic_t is_told_to_end;
static void end_soon(int signal)
{
    (void)signal;
    is_told_to_end = 1;
}

/* A second of load for each service, so that starting and ending belong to it; one after the other until the time is over, or SIGTERM, after which
 * the one at hand is ended and counted.  A line about every minute, for those that are cut off. */
static void soak(void)
{
    static struct soak s;
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    struct tg_service_metrics m, all = {0};
    uint64_t begin = bench_now_ns(), told = begin, end = begin + 1000000000ull * options.n_runs;
    uint32_t n = 0;
    signal(SIGTERM, end_soon);
    for (uint64_t now = begin; now < end && !is_told_to_end; now = bench_now_ns()) {
        if (!service_soak(&s, o, 4, options.n + n, 1000000000u, &m))
            bench_die("soak, seed %u: %s", options.n + n, s.text);
        n++;
        all.n_sent += m.n_sent;
        all.n_instances += m.n_instances;
        all.n_failed += m.n_failed;
        all.n_cancelled += m.n_cancelled;
        all.n_late += m.n_late;
        all.n_timeouts += m.n_timeouts;
        all.n_launches += m.n_launches;
        if (now - told > 60000000000u) {
            told = now;
            printf("#     after %.0f s: %u services, %llu messages\n", (double)(now - begin) / 1e9, n, (unsigned long long)all.n_sent);
            fflush(stdout);
        }
    }
    bench_report("soak", "tgraph", 1, "messages, each answered once and rightly", (double)all.n_sent);
    printf("#     in %.0f s: %llu instances, %llu of all failed, %llu were cancelled, %llu missed their deadline, %llu calls gave up, %llu launches of %u services\n",
           (double)(bench_now_ns() - begin) / 1e9, (unsigned long long)all.n_instances, (unsigned long long)all.n_failed,
           (unsigned long long)all.n_cancelled, (unsigned long long)all.n_late, (unsigned long long)all.n_timeouts, (unsigned long long)all.n_launches, n);
}

int main(int argc, char **argv)
{
    options = bench_parse(argc, argv);
    if (options.what && !strcmp(options.what, "soak")) {
        alarm(10 * options.n_runs + LIMIT_S);
        soak();
        return 0;
    }
    alarm(LIMIT_S);
    printf("# service: %u calls each\n", n_samples());
#define WANTED(name) (!options.what || !strcmp(options.what, name))
    if (WANTED("yardsticks"))
        measure_yardsticks();
    if (WANTED("calls")) {
        measure_calls();
        measure_return();
    }
    if (WANTED("completions"))
        measure_completions();
    if (WANTED("wavefront")) {
        measure_wavefront();
        measure_public_wavefront();
    }
    if (WANTED("batches")) {
        measure_batches(256, 0);
        measure_batches(4096, 0);
        measure_batches(4096, 64);
    }
    return 0;
}
