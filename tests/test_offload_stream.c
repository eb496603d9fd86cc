/* Streams of the program: runs after them, and they after runs; tiles that both use.
 *
 * The program gives a tile its contents in a stream of its own, runs a graph after that, and copies a tile away in the
 * same stream.  While it enqueues nothing executes, so only the declared order leads to the right result, and each single
 * wait that is left out must be noticed.  TGRAPH_TEST_ALL=1 tries more. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "gpu/driver.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { N_WORDS = 32, LIMIT_S = 60, N_SEEDS = 40, N_DEVICES_MOST = 3 };

#define U64(name, n_tiles, more) "'" name "': {'dtype': 'u64', 'shape': [32], 'tiles': [" #n_tiles "]" more "}"
#define IOTA ", 'init': {'iota': true}"
#define MIX(id, out, more) "{'kernel': 'mix', 'args': {'id': " #id ", 'n': 32, 'out': '" out "'" more "}}"

static const char *at = "";
static void too_long(int signal)
{
    (void)signal;
    fprintf(stderr, "%s: not over after %d seconds\n", at, LIMIT_S);
    abort();
}

/* ---- The program --------------------------------------------------------------------------*/

/* Its own use of the driver. */
struct program {
    const struct tgi_cuda_api *cuda;
    int n_devices;
    CUcontext ctx[N_DEVICES_MOST];
    CUstream stream[N_DEVICES_MOST];
    CUdeviceptr own[N_DEVICES_MOST]; /* N_WORDS words each */
    struct tg_runtime *rt;
    struct tg_run *run;
};

#define CUDA(p, name, args) assert_int_equal((p)->cuda->name args, CUDA_SUCCESS)

static void program_open(struct program *p, int n_devices, uint64_t seed, bool has_peers)
{
    *p = (struct program){.n_devices = n_devices};
    alarm(LIMIT_S);
    device_reset(n_devices, seed, has_peers);
    standin.standin_fail_libraries(false);
    assert_int_equal(tgi_cuda_retain(&p->cuda, NULL), 0);
    for (int i = 0; i < n_devices; i++) {
        CUDA(p, cuDevicePrimaryCtxRetain, (&p->ctx[i], i));
        CUDA(p, cuCtxSetCurrent, (p->ctx[i]));
        CUDA(p, cuStreamCreateWithPriority, (&p->stream[i], CU_STREAM_NON_BLOCKING, 0));
        CUDA(p, cuMemAlloc, (&p->own[i], N_WORDS * 8));
    }
    CUDA(p, cuCtxSetCurrent, (p->ctx[0]));
}

static void program_runtime(struct program *p, const struct tg_graph *g, const struct tg_run_options *options)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_error err;
    ro.n_workers = 1;
    ro.is_unbound = true;
    ro.devices = "cuda";
    if (tg_runtime_create(&ro, &p->rt, &err) || tg_run_create(p->rt, g, options, &p->run, &err))
        fail_msg("%s", err.text);
}

/* False: something is left over. */
static bool program_close(struct program *p)
{
    char text[1024] = "";
    tg_run_destroy(p->run);
    tg_runtime_destroy(p->rt);
    for (int i = 0; i < p->n_devices; i++) {
        p->cuda->cuCtxSetCurrent(p->ctx[i]);
        p->cuda->cuStreamSynchronize(p->stream[i]);
        p->cuda->cuMemFree(p->own[i]);
        p->cuda->cuStreamDestroy(p->stream[i]);
    }
    p->cuda->cuCtxSetCurrent(NULL);
    for (int i = 0; i < p->n_devices; i++)
        p->cuda->cuDevicePrimaryCtxRelease(i);
    tgi_cuda_release();
    alarm(0);
    unsigned n = standin.standin_leaks(text, sizeof text);
    if (n)
        fprintf(stderr, "%s: left over: %s\n", at, text);
    return n == 0;
}

/* ---- One round ----------------------------------------------------------------------------*/

/* X is written by the program, Y is read by it; S, if there is one, it changes in place between two starts. */
struct scenario {
    const char *name, *buffers, *tasks;
    int n_devices;
    bool has_no_peers, has_cpu_tasks;
    unsigned n_spared; /* waits that nobody misses */
};

static const struct scenario scenarios[] = {
    {.name = "one device",
     .buffers = U64("X", 1, IOTA) ", " U64("Y", 1, IOTA) ", " U64("A", 3, IOTA),
     .tasks = "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'i+1', 'n': 32, 'out': 'A[i]', 'in0': 'X[0]'}}, "
              MIX(9, "Y[0]", ", 'in0': 'A[0]', 'in1': 'A[1]', 'in2': 'A[2]'"),
     .n_devices = 1},
    {.name = "what nobody writes in the graph",
     .buffers = U64("X", 1, ", 'init': 'none'") ", " U64("Y", 1, IOTA),
     .tasks = MIX(1, "Y[0]", ", 'in0': 'X[0]'"),
     .n_devices = 1},
    {.name = "what the graph writes as well",
     .buffers = U64("X", 1, IOTA) ", " U64("Y", 1, IOTA),
     .tasks = MIX(1, "X[0]", "") ", " MIX(2, "Y[0]", ", 'in0': 'X[0]'") ", " MIX(3, "X[0]", ", 'in0': 'Y[0]'"),
     .n_devices = 1,
     /* In each round the copy of Y to the device waits for the stream, for the sake of who wrote to the host's memory
      * there: here it did not, and the kernels wait by another lane. */
     .n_spared = 2},
    {.name = "two devices",
     .buffers = U64("X", 1, IOTA) ", " U64("Y", 1, IOTA ", 'home': 'cuda:1'") ", " U64("A", 2, IOTA ", 'home': 'cyclic:{i}'"),
     .tasks = "{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'i+1', 'n': 32, 'out': 'A[i]', 'in0': 'X[0]'}}, "
              MIX(9, "Y[0]", ", 'in0': 'A[0]', 'in1': 'A[1]'"),
     .n_devices = 2},
    {.name = "two devices that do not reach each other",
     .buffers = U64("X", 1, IOTA) ", " U64("Y", 1, IOTA ", 'home': 'cuda:1'"),
     .tasks = MIX(9, "Y[0]", ", 'in0': 'X[0]'"),
     .n_devices = 2,
     .has_no_peers = true},
    {.name = "devices and CPUs",
     .buffers = U64("X", 1, IOTA) ", " U64("Y", 1, IOTA) ", " U64("A", 3, IOTA),
     .tasks = "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]', 'in0': 'X[0]'}}, "
              "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]', 'in1': 'X[0]'}}, "
              "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 3, 'n': 32, 'out': 'A[2]', 'in0': 'A[1]'}}, "
              "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 4, 'n': 32, 'out': 'Y[0]', 'in0': 'A[2]'}}",
     .n_devices = 1,
     .has_cpu_tasks = true},
    {.name = "what only CPUs read",
     .buffers = U64("X", 1, IOTA) ", " U64("Y", 1, IOTA) ", " U64("A", 1, IOTA),
     .tasks = "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'Y[0]', 'in0': 'X[0]'}}, "
              "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[0]'}}",
     .n_devices = 1,
     .has_cpu_tasks = true},
};
enum { N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

static uint32_t pattern(unsigned round) { return 0x01010101u * (3 * round + 5); }

/* What Y is after each round, by one task at a time on the CPU. */
static void expect(const struct tg_graph *g, unsigned n_rounds, uint64_t (*y)[N_WORDS])
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    uint32_t x[2 * N_WORDS];
    ro.n_workers = 1;
    options.is_deterministic = true;
    tgi_place *on = calloc((size_t)g->n_attrs + 1, sizeof *on);
    for (uint32_t i = 0; i < g->n_attrs; i++) {
        on[i] = g->attrs[i].on;
        g->attrs[i].on = 0;
    }
    if (tg_runtime_create(&ro, &rt, &err) || tg_run_create(rt, g, &options, &run, &err) ||
        tg_run_bind(run, tg_graph_find_buffer(g, "X"), x, &err))
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < n_rounds; i++) {
        for (int k = 0; k < 2 * N_WORDS; k++)
            x[k] = pattern(i);
        assert_int_equal(tg_run_execute(run, &err), 0);
        memcpy(y[i], tg_run_tile(run, tg_graph_find_buffer(g, "Y"), 0), sizeof *y);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    for (uint32_t i = 0; i < g->n_attrs; i++)
        g->attrs[i].on = on[i];
    free(on);
}

/* The program's stream is on device d.  A status, the first that a call has answered. */
static int enqueue_round(struct program *p, const struct tg_graph *g, int d, unsigned round, struct tg_error *err)
{
    tg_buffer_id x = tg_graph_find_buffer(g, "X"), y = tg_graph_find_buffer(g, "Y");
    CUstream s = p->stream[d];
    uint64_t address;
    int rc = tg_run_device_tile(p->run, x, 0, (uint32_t)d, TG_OUT, s, &address, err);
    if (rc)
        return rc;
    p->cuda->cuCtxSetCurrent(p->ctx[d]);
    if (p->cuda->cuMemsetD32Async(address, pattern(round), 2 * N_WORDS, s))
        return TG_E_DRIVER;
    rc = tg_run_start_on(p->run, (uint32_t)d, s, err);
    if (rc)
        return rc;
    rc = tg_run_wait_on(p->run, (uint32_t)d, s, err);
    if (rc == 0)
        rc = tg_run_device_tile(p->run, y, 0, (uint32_t)d, TG_IN, s, &address, err);
    if (rc == 0 && p->cuda->cuMemcpyDtoDAsync(p->own[d], address, N_WORDS * 8, s))
        rc = TG_E_DRIVER;
    return rc;
}

/* The result of a round that is over; false: it cannot be had. */
static bool read_round(struct program *p, int d, uint64_t *have)
{
    p->cuda->cuCtxSetCurrent(p->ctx[d]);
    return p->cuda->cuMemcpyDtoHAsync(have, p->own[d], N_WORDS * 8, p->stream[d]) == CUDA_SUCCESS &&
           p->cuda->cuStreamSynchronize(p->stream[d]) == CUDA_SUCCESS;
}

/* ---- Order --------------------------------------------------------------------------------*/

/* Whether anything is wrong. */
static bool run_once(const struct scenario *s, const struct tg_graph *g, uint64_t (*expected)[N_WORDS], const char *call,
                     uint64_t nth, uint64_t seed, uint64_t *n_calls_p, bool *is_hit_p)
{
    struct program p;
    struct tg_error err;
    uint64_t have[N_WORDS];
    bool is_wrong = false;
    int d = s->n_devices > 1 && seed % 2;
    at = s->name;
    program_open(&p, s->n_devices, seed, !s->has_no_peers);
    program_runtime(&p, g, NULL);
    uint64_t before = standin.standin_calls(call);
    if (nth)
        standin.standin_fail(call, nth, 0, STANDIN_SKIP);
    for (unsigned i = 0; i < 2 && !is_wrong; i++) {
        standin.standin_lazy(!s->has_cpu_tasks);
        int rc = enqueue_round(&p, g, d, i, &err);
        if (rc == 0 && !s->has_cpu_tasks)
            assert_true(standin.standin_pending_accesses() > 0); /* nobody has waited on the host */
        standin.standin_lazy(false);
        is_wrong = rc || !read_round(&p, d, have) || tg_run_wait(p.run, &err) || memcmp(have, expected[i], sizeof have) ||
                   standin.standin_violations(NULL, 0);
        if (is_wrong && !nth)
            fprintf(stderr, "\"%s\", seed %llu, round %u: %s\n", s->name, (unsigned long long)seed, i,
                    rc ? err.text : "wrong contents");
    }
    *n_calls_p = standin.standin_calls(call) - before;
    *is_hit_p = standin.standin_fail_hits() > 0;
    standin.standin_fail_clear();
    bool is_clean = program_close(&p);
    return is_wrong || (!nth && !is_clean);
}

static void rounds_give_what_the_cpu_gives(void **state)
{
    uint64_t n_calls, expected[2][N_WORDS];
    bool is_hit;
    (void)state;
    for (int i = 0; i < N_SCENARIOS; i++) {
        struct tg_graph *g = device_graph(scenarios[i].buffers, "", scenarios[i].tasks);
        expect(g, 2, expected);
        for (uint64_t seed = 1; seed <= (uint64_t)ROUNDS(60); seed++)
            assert_false(run_once(&scenarios[i], g, expected, "cuStreamWaitEvent", 0, seed, &n_calls, &is_hit));
        tg_graph_destroy(g);
    }
}

static void every_wait_is_missed(void **state)
{
    uint64_t n_calls, ignored, expected[2][N_WORDS];
    unsigned n_all = 0, n_waits = 0;
    bool is_hit;
    (void)state;
    for (int i = 0; i < N_SCENARIOS; i++) {
        const struct scenario *s = &scenarios[i];
        if (s->has_cpu_tasks || s->n_devices > 1) /* which waits there are depends on what the host sees done, or on the seed */
            continue;
        struct tg_graph *g = device_graph(s->buffers, "", s->tasks);
        expect(g, 2, expected);
        assert_false(run_once(s, g, expected, "cuStreamWaitEvent", 0, 2, &n_calls, &is_hit));
        n_waits += (unsigned)n_calls;
        unsigned n_unnoticed = 0;
        for (uint64_t nth = 1; nth <= n_calls; nth++) {
            bool is_noticed = false, was_there = false;
            for (uint64_t seed = 1; seed <= N_SEEDS && !is_noticed; seed++) {
                is_noticed = run_once(s, g, expected, "cuStreamWaitEvent", nth, seed, &ignored, &is_hit);
                was_there |= is_hit;
            }
            if (was_there && !is_noticed && ++n_unnoticed > s->n_spared) {
                n_all++;
                fprintf(stderr, "\"%s\": nobody misses wait %llu of %llu\n", s->name, (unsigned long long)nth,
                        (unsigned long long)n_calls);
            }
        }
        tg_graph_destroy(g);
    }
    printf("%u waits\n", n_waits);
    assert_int_equal(n_all, 0);
}

/* ---- Random graphs ------------------------------------------------------------------------*/

enum { MAX_TASKS = 14 };

static void draw_tasks(struct dice *d, uint32_t n_tiles, bool has_cpu_tasks, char *text, size_t size)
{
    uint32_t n = 3 + roll(d, MAX_TASKS - 4);
    size_t used = (size_t)snprintf(text, size, "{'kernel': 'mix', 'args': {'id': 50, 'n': 32, 'out': 'A[0]', 'in0': 'X[0]'}}");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t out = roll(d, n_tiles), n_inputs = roll(d, 3);
        used += (size_t)snprintf(text + used, size - used, ", {%s'kernel': 'mix', 'args': {'id': %u, 'n': 32, 'out': 'A[%u]'",
                                 has_cpu_tasks && roll(d, 3) == 0 ? "'on': 'cpu', " : "", i, out);
        for (uint32_t k = 0; k < n_inputs; k++)
            used += (size_t)snprintf(text + used, size - used, ", 'in%u': '%s[%u]'", k, k == 0 && roll(d, 3) == 0 ? "X" : "A",
                                     k == 0 ? 0 : (out + 1 + k) % n_tiles);
        used += (size_t)snprintf(text + used, size - used, "}}");
    }
    snprintf(text + used, size - used, ", {'kernel': 'mix', 'args': {'id': 51, 'n': 32, 'out': 'Y[0]', 'in0': 'A[0]', 'in1': 'A[%u]'}}",
             n_tiles - 1);
}

static void random_graphs_between_a_streams_commands(void **state)
{
    uint64_t seed = test_seed(1), n_graphs = getenv("TGRAPH_TEST_ALL") ? 2000 : (uint64_t)ROUNDS(200), n_calls;
    uint64_t expected[2][N_WORDS];
    bool is_hit;
    (void)state;
    for (uint64_t i = 0; i < n_graphs; i++) {
        struct dice d = {mix64(seed + i)};
        char buffers[512], tasks[(MAX_TASKS + 4) * 200], name[48];
        uint32_t n_tiles = 3 + roll(&d, 4);
        struct scenario s = {.name = name, .buffers = buffers, .tasks = tasks, .n_devices = 1 + (int)roll(&d, 3)};
        s.has_no_peers = roll(&d, 4) == 0;
        s.has_cpu_tasks = roll(&d, 3) == 0;
        snprintf(name, sizeof name, "TGRAPH_TEST_SEED=%" PRIu64, seed + i);
        snprintf(buffers, sizeof buffers,
                 U64("X", 1, IOTA) ", " U64("Y", 1, IOTA) ", 'A': {'dtype': 'u64', 'shape': [32], 'tiles': [%u]" IOTA
                 ", 'home': 'cyclic:{i}'}", n_tiles);
        draw_tasks(&d, n_tiles, s.has_cpu_tasks, tasks, sizeof tasks);
        struct tg_graph *g = device_graph(buffers, "", tasks);
        expect(g, 2, expected);
        for (uint64_t k = 0; k < 4; k++)
            assert_false(run_once(&s, g, expected, "cuStreamWaitEvent", 0, seed + 4 * i + k, &n_calls, &is_hit));
        tg_graph_destroy(g);
    }
}

/* ---- Changing a tile in place -------------------------------------------------------------*/

static void a_tile_is_changed_in_place_between_starts(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_error err;
    uint64_t address, have[N_WORDS], before[N_WORDS];
    (void)state;
    at = "in place";
    options.keep_data = true;
    struct tg_graph *g = device_graph(U64("S", 1, IOTA), "", MIX(1, "S[0]", ""));
    for (uint64_t seed = 1; seed <= (uint64_t)ROUNDS(20); seed++) {
        struct program p;
        program_open(&p, 1, seed, true);
        program_runtime(&p, g, &options);
        assert_int_equal(tg_run_execute(p.run, &err), 0);
        memcpy(before, tg_run_tile(p.run, 0, 0), sizeof before);
        /* Its first half is zeroed by the stream; the second one stays. */
        assert_int_equal(tg_run_device_tile(p.run, 0, 0, 0, TG_INOUT, p.stream[0], &address, &err), 0);
        CUDA(&p, cuCtxSetCurrent, (p.ctx[0]));
        CUDA(&p, cuMemsetD32Async, (address, 0, N_WORDS, p.stream[0]));
        CUDA(&p, cuStreamSynchronize, (p.stream[0]));
        memcpy(have, tg_run_tile(p.run, 0, 0), sizeof have);
        for (int i = 0; i < N_WORDS; i++)
            assert_int_equal(have[i], i < N_WORDS / 2 ? 0 : before[i]);
        assert_int_equal(standin.standin_violations(NULL, 0), 0);
        assert_true(program_close(&p));
    }
    tg_graph_destroy(g);
}

/* ---- Ends before the end ------------------------------------------------------------------*/

static void a_stream_goes_on_after_a_run_that_was_cancelled(void **state)
{
    struct tg_error err;
    (void)state;
    at = "cancelled";
    for (int i = 0; i < N_SCENARIOS; i++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            const struct scenario *s = &scenarios[i];
            struct tg_graph *g = device_graph(s->buffers, "", s->tasks);
            struct program p;
            program_open(&p, s->n_devices, seed, !s->has_no_peers);
            program_runtime(&p, g, NULL);
            standin.standin_lazy(true); /* so that a run that is held begins only because it is cancelled */
            CUDA(&p, cuMemsetD32Async, (p.own[0], 1, 1, p.stream[0]));
            assert_int_equal(tg_run_start_on(p.run, 0, p.stream[0], &err), 0);
            tg_run_cancel(p.run);
            assert_int_equal(tg_run_wait_on(p.run, 0, p.stream[0], &err), 0);
            if (s->has_cpu_tasks) {
                assert_int_equal(tg_run_wait(p.run, &err), TG_E_CANCELLED);
                assert_true(standin.standin_pending_accesses() > 0); /* the stream has not come there yet */
            }
            standin.standin_lazy(false);
            CUDA(&p, cuCtxSetCurrent, (p.ctx[0]));
            CUDA(&p, cuStreamSynchronize, (p.stream[0]));
            int rc = tg_run_wait(p.run, &err);
            assert_true(rc == 0 || rc == TG_E_CANCELLED);
            assert_int_equal(tg_run_execute(p.run, &err), 0); /* it can be started again */
            assert_true(program_close(&p));
            tg_graph_destroy(g);
        }
}

static void a_stream_goes_on_after_a_run_that_failed(void **state)
{
    struct tg_error err;
    (void)state;
    at = "failed";
    struct tg_graph *g = device_graph(scenarios[0].buffers, "", scenarios[0].tasks);
    for (uint64_t nth = 1; nth <= 4; nth++) {
        struct program p;
        program_open(&p, 1, nth, true);
        program_runtime(&p, g, NULL);
        standin.standin_fail("cuLaunchKernel", nth, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, STANDIN_ONCE);
        assert_int_equal(tg_run_start_on(p.run, 0, p.stream[0], &err), 0);
        assert_int_equal(tg_run_wait_on(p.run, 0, p.stream[0], &err), 0);
        CUDA(&p, cuCtxSetCurrent, (p.ctx[0]));
        CUDA(&p, cuStreamSynchronize, (p.stream[0]));
        assert_true(tg_run_wait(p.run, &err) < 0);
        assert_true(err.task[0] || err.text[0]);
        assert_true(program_close(&p));
    }
    tg_graph_destroy(g);
}

/* A kernel that never ends until the time of the run is over. */
static void a_stream_waits_for_no_more_than_was_enqueued_when_time_is_over(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_error err;
    struct program p;
    (void)state;
    at = "time is over";
    options.timeout_ns = 50000000;
    struct tg_graph *g = device_graph(scenarios[5].buffers, "", scenarios[5].tasks);
    program_open(&p, 1, 1, true);
    program_runtime(&p, g, &options);
    standin.standin_lazy(true); /* the stream does not get to where the run begins */
    CUDA(&p, cuMemsetD32Async, (p.own[0], 1, 1, p.stream[0]));
    assert_int_equal(tg_run_start_on(p.run, 0, p.stream[0], &err), 0);
    assert_int_equal(tg_run_wait_on(p.run, 0, p.stream[0], &err), 0);
    assert_int_equal(tg_run_wait(p.run, &err), TG_E_RUN_TIMEOUT);
    standin.standin_lazy(false);
    CUDA(&p, cuCtxSetCurrent, (p.ctx[0]));
    CUDA(&p, cuStreamSynchronize, (p.stream[0]));
    assert_true(program_close(&p));
    tg_graph_destroy(g);
}

/* ---- Refusals -----------------------------------------------------------------------------*/

static void refusals_say_what_is_wrong(void **state)
{
    struct tg_error err;
    struct program p;
    uint64_t address = 7;
    (void)state;
    at = "refusals";
    struct tg_graph *g = device_graph(U64("X", 2, IOTA ", 'only': 'i == 0'"), "", MIX(1, "X[0]", ""));
    program_open(&p, 2, 1, true);
    program_runtime(&p, g, NULL);
    assert_int_equal(tg_run_wait_on(p.run, 0, p.stream[0], &err), TG_E_STATE);
    assert_int_equal(tg_run_start_on(p.run, 2, p.stream[0], &err), TG_E_NO_DEVICE);
    assert_string_equal(err.text, "cuda:2 is none of the runtime's devices");
    assert_int_equal(tg_run_start_on(p.run, 0, p.stream[1], &err), TG_E_INVALID);
    assert_string_equal(err.text, "the stream is not one of cuda:0's primary context");
    assert_int_equal(tg_run_start_on(p.run, 0, &p, NULL), TG_E_DRIVER); /* no stream at all */
    assert_int_equal(tg_run_poll(p.run), 1);
    assert_int_equal(tg_run_device_tile(p.run, 1, 0, 0, TG_IN, NULL, &address, &err), TG_E_UNKNOWN_BUFFER);
    assert_int_equal(tg_run_device_tile(p.run, 0, 2, 0, TG_IN, NULL, &address, &err), TG_E_INDEX_RANGE);
    assert_int_equal(tg_run_device_tile(p.run, 0, 1, 0, TG_IN, NULL, &address, &err), TG_E_TILE_ABSENT);
    assert_int_equal(tg_run_device_tile(p.run, 0, 0, 0, TG_COMMUTE, NULL, &address, &err), TG_E_INVALID);
    assert_int_equal(tg_run_device_tile(p.run, 0, 0, 5, TG_IN, NULL, &address, &err), TG_E_NO_DEVICE);
    assert_int_equal(address, 7);
    /* The default stream is one as well. */
    assert_int_equal(tg_run_start_on(p.run, 1, NULL, &err), 0);
    assert_int_equal(tg_run_wait_on(p.run, 1, NULL, &err), 0);
    assert_int_equal(tg_run_wait(p.run, &err), 0);
    assert_int_equal(tg_run_device_tile(p.run, 0, 0, 1, TG_IN, NULL, &address, &err), 0);
    assert_true(address != 7);
    assert_true(program_close(&p));
    tg_graph_destroy(g);
}

static void without_devices_there_are_no_streams(void **state)
{
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    uint64_t address;
    (void)state;
    struct tg_graph *g = device_graph(U64("X", 1, IOTA), "", MIX(1, "X[0]", ""));
    assert_int_equal(tg_runtime_create(NULL, &rt, &err), 0);
    assert_int_equal(tg_run_create(rt, g, NULL, &run, &err), 0);
    assert_int_equal(tg_run_start_on(run, 0, NULL, &err), TG_E_NO_DEVICE);
    assert_string_equal(err.text, "the runtime has no devices");
    assert_int_equal(tg_run_wait_on(run, 0, NULL, NULL), TG_E_NO_DEVICE);
    assert_int_equal(tg_run_device_tile(run, 0, 0, 0, TG_IN, NULL, &address, &err), TG_E_NO_DEVICE);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

static void a_run_on_cpus_waits_for_the_stream_itself(void **state)
{
    struct tg_error err;
    struct program p;
    uint64_t address, x[N_WORDS] = {0};
    (void)state;
    at = "CPUs alone";
    struct tg_graph *g = device_graph(U64("X", 1, IOTA) ", " U64("Y", 1, IOTA), "",
                                      "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'Y[0]', 'in0': 'X[0]'}}");
    uint64_t expected[1][N_WORDS];
    expect(g, 1, expected);
    program_open(&p, 1, 1, true);
    program_runtime(&p, g, NULL);
    assert_int_equal(tg_run_bind(p.run, 0, x, &err), 0);
    CUDA(&p, cuMemsetD32Async, (p.own[0], pattern(0), 2 * N_WORDS, p.stream[0]));
    CUDA(&p, cuMemcpyDtoHAsync, (x, p.own[0], sizeof x, p.stream[0]));
    assert_int_equal(tg_run_start_on(p.run, 0, p.stream[0], &err), 0);
    assert_int_equal(tg_run_wait_on(p.run, 0, p.stream[0], &err), 0);
    assert_int_equal(tg_run_wait(p.run, &err), 0);
    assert_memory_equal(tg_run_tile(p.run, 1, 0), expected[0], sizeof expected[0]);
    assert_int_equal(tg_run_device_tile(p.run, 0, 0, 0, TG_IN, p.stream[0], &address, &err), TG_E_NO_DEVICE);
    assert_true(program_close(&p));
    tg_graph_destroy(g);
}

/* What the program holds does not move. */
static void memory_that_is_lent_stays(void **state)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_error err;
    struct program p;
    uint64_t address[4];
    (void)state;
    at = "lent";
    struct tg_graph *g = device_graph(U64("A", 4, IOTA), "", "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}");
    program_open(&p, 1, 1, true);
    ro.n_workers = 1;
    ro.devices = "cuda";
    ro.device_bytes = 2 * 256;
    assert_int_equal(tg_runtime_create(&ro, &p.rt, &err), 0);
    assert_int_equal(tg_run_create(p.rt, g, NULL, &p.run, &err), 0);
    assert_int_equal(tg_run_execute(p.run, &err), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(tg_run_device_tile(p.run, 0, i, 0, TG_IN, p.stream[0], &address[i], &err), 0);
    assert_int_equal(tg_run_device_tile(p.run, 0, 2, 0, TG_IN, p.stream[0], &address[2], &err), TG_E_NO_MEMORY);
    assert_int_equal(tg_run_device_tile(p.run, 0, 0, 0, TG_IN, p.stream[0], &address[3], &err), 0);
    assert_true(address[3] == address[0] && address[0] != address[1]);
    assert_int_equal(tg_run_execute(p.run, &err), 0); /* now it is the run's again */
    assert_int_equal(tg_run_device_tile(p.run, 0, 2, 0, TG_IN, p.stream[0], &address[2], &err), 0);
    assert_true(program_close(&p));
    tg_graph_destroy(g);
}

/* ---- Failures -----------------------------------------------------------------------------*/

/* Whatever call fails, it is said, or has done no harm; nothing hangs, nothing is left over. */
static void every_call_may_fail(void **state)
{
    static const char *const calls[] = {"cuStreamGetCtx", "cuEventCreate", "cuEventRecord", "cuStreamWaitEvent", "cuEventQuery",
                                        "cuEventSynchronize", "cuCtxPushCurrent", "cuCtxSetCurrent", "cuMemcpyHtoDAsync",
                                        "cuMemcpyDtoHAsync", "cuMemcpyPeerAsync", "cuMemAlloc"};
    static const struct {
        int code;
        enum standin_fail how;
    } ways[] = {{CUDA_ERROR_UNKNOWN, STANDIN_ONCE}, {CUDA_ERROR_UNKNOWN, STANDIN_FOREVER}, {CUDA_ERROR_ILLEGAL_ADDRESS, STANDIN_STICKY}};
    uint64_t expected[2][N_WORDS], have[N_WORDS];
    (void)state;
    for (int i = 0; i < N_SCENARIOS; i++) {
        const struct scenario *s = &scenarios[i];
        struct tg_graph *g = device_graph(s->buffers, "", s->tasks);
        expect(g, 2, expected);
        for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
            for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
                bool is_over = false;
                for (uint64_t nth = 1; !is_over; nth += IS_SLOW ? 5 : 1) {
                    struct program p;
                    struct tg_error err = {0};
                    char name[160];
                    snprintf(name, sizeof name, "\"%s\", call %llu of %s, way %zu", s->name, (unsigned long long)nth, calls[c], way);
                    at = name;
                    program_open(&p, s->n_devices, nth, !s->has_no_peers);
                    program_runtime(&p, g, NULL);
                    standin.standin_fail(calls[c], nth, ways[way].code, ways[way].how);
                    int rc = 0;
                    bool is_right = true;
                    for (unsigned k = 0; rc == 0 && k < 2; k++) {
                        rc = enqueue_round(&p, g, s->n_devices - 1, k, &err);
                        int ended = tg_run_wait(p.run, rc ? NULL : &err);
                        rc = rc ? rc : ended;
                        if (rc == 0 && !read_round(&p, s->n_devices - 1, have))
                            rc = TG_E_DRIVER; /* the program's own call */
                        is_right = rc || !memcmp(have, expected[k], sizeof have);
                    }
                    is_over = standin.standin_fail_hits() == 0;
                    if (rc == 0 && !is_right && ways[way].how != STANDIN_STICKY)
                        fail_msg("%s: nobody says that it failed", name);
                    if (rc && !err.text[0] && rc != TG_E_DRIVER)
                        fail_msg("%s: status %d without a text", name, rc);
                    standin.standin_fail_clear();
                    bool is_clean = program_close(&p);
                    if (!is_clean && ways[way].how == STANDIN_ONCE && strncmp(calls[c], "cuCtx", 5))
                        fail_msg("%s: something is left over", name);
                }
            }
        tg_graph_destroy(g);
    }
}

static int load(void **state)
{
    signal(SIGALRM, too_long);
    return device_group_load_without_nccl(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_give_what_the_cpu_gives),
        cmocka_unit_test(every_wait_is_missed),
        cmocka_unit_test(random_graphs_between_a_streams_commands),
        cmocka_unit_test(a_tile_is_changed_in_place_between_starts),
        cmocka_unit_test(a_stream_goes_on_after_a_run_that_was_cancelled),
        cmocka_unit_test(a_stream_goes_on_after_a_run_that_failed),
        cmocka_unit_test(a_stream_waits_for_no_more_than_was_enqueued_when_time_is_over),
        cmocka_unit_test(refusals_say_what_is_wrong),
        cmocka_unit_test(without_devices_there_are_no_streams),
        cmocka_unit_test(a_run_on_cpus_waits_for_the_stream_itself),
        cmocka_unit_test(memory_that_is_lent_stays),
        cmocka_unit_test(every_call_may_fail),
    };
    return cmocka_run_group_tests(tests, load, device_group_unload);
}
