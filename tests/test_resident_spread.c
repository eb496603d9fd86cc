/* Clusters that are on several devices at once, on the stand-ins for driver and NVRTC: the same data as task by task, over and over; nothing
 * beside them; what goes wrong named by its task, and never a hang; and where they cannot be, why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "mem/split.h"
#include "sched/guide.h"
#include "sched/machine.h"
#include "sched/offload_graph.h"
#include "sched/record.h"
#include "sched/resident_cluster.h"
#include "sched/resident_plan.h"
#include "tests/device_run.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 300 };

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [8], 'init': {'iota': true}, 'home': 'cyclic:{i}'}";
static const char tasks[] = "{'for': ['r in 0:4', 'i in 0:8'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*8+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]', 'in1': 'A[(i+3)%8]'}}";

/* All devices are linked, unless a test says otherwise. */
static int setup(void **state)
{
    (void)state;
    unsetenv("TGRAPH_RESIDENT_KERNEL");
    unsetenv("TGRAPH_RESIDENT_PROGRAM");
    unsetenv("TGRAPH_RESIDENT_LIMIT_MS");
    unsetenv("TGRAPH_HOPS");
    setenv("TGRAPH_RESIDENT_SPREAD", "on", 1);
    setenv("TGRAPH_STANDIN_PEERS", "2", 1);
    alarm(LIMIT_S);
    return 0;
}

static int teardown(void **state)
{
    setup(state);
    unsetenv("TGRAPH_RESIDENT_SPREAD");
    unsetenv("TGRAPH_STANDIN_PEERS");
    alarm(0);
    return 0;
}

static struct tg_run *open_run(struct tg_runtime *rt, const struct tg_graph *g, bool keep_data)
{
    return device_open_run(rt, g, TG_EXECUTOR_RESIDENT, keep_data);
}

static void execute(struct tg_run *run, struct tgi_offload_graph_stats *stats_p)
{
    struct tg_error err;
    const char *why;
    MUST(tg_run_execute(run, &err));
    if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
        fail_msg("not resident: %s", why);
    tgi_offload_graph_stats(run, stats_p);
}

static void execute_spread(struct tg_run *run)
{
    struct tgi_offload_graph_stats stats;
    execute(run, &stats);
    if (stats.not_spread || !stats.n_spread)
        fail_msg("not spread: %s", stats.not_spread);
}

/* ---- What has to hold -----------------------------------------------------------------------*/

/* Marks what comes before `id`, itself included. */
static void mark_before(const struct tgi_program *p, uint32_t id, uint8_t *mark)
{
    memset(mark, 0, p->n);
    mark[id] = 1;
    for (uint32_t i = id + 1; i-- > 0;)
        for (uint32_t d = 0; mark[i] && d < p->commands[i].n_deps; d++)
            mark[p->deps[p->commands[i].first_dep + d]] = 1;
}

static bool comes_after(const struct tgi_program *p, uint32_t id, uint32_t other)
{
    uint8_t *mark = calloc(p->n + 1u, 1);
    assert_non_null(mark);
    mark_before(p, id, mark);
    bool is_after = mark[other];
    free(mark);
    return is_after;
}

/* Whatever else executes code on a device of a cluster that is on several is over before it begins, or begins after it; each task is on
 * the device that its command was for.  How many such clusters there are. */
static uint32_t look_at(const struct tgi_program *p)
{
    uint32_t n = 0;
    uint8_t *before = calloc(p->n + 1u, 1);
    assert_non_null(before);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        if (c->kind != TGI_COMMAND_RESIDENT || c->cluster->n_devices == 1)
            continue;
        uint32_t mask = 0;
        for (uint32_t k = 0; k < c->cluster->n_devices; k++)
            mask |= 1u << c->cluster->device[k];
        assert_int_equal(c->cluster->program->n_devices, c->cluster->n_devices);
        assert_true(c->cluster->program->n_far_counter_edges > 0);
        n++;
        mark_before(p, i, before);
        for (uint32_t k = 0; k < p->n; k++) {
            const struct tgi_command *other = &p->commands[k];
            bool is_code = other->kind == TGI_COMMAND_LAUNCH || other->kind == TGI_COMMAND_FILL || other->kind == TGI_COMMAND_RESIDENT;
            if (is_code && mask >> tgi_lane_device(other->lane) & 1 && !before[k] && !comes_after(p, k, i))
                fail_msg("command %u is beside cluster %u", k, i);
        }
    }
    free(before);
    return n;
}

/* ---- Data ---------------------------------------------------------------------------------*/

/* Data goes on from start to start, so that one replay that is wrong spoils all that follow. */
static void replays_are_as_many_sequential_runs(void **state)
{
    static const int counts[] = {2, 4};
    uint64_t n = ROUNDS(60);
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, true, (int)n);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (uint64_t seed = 1; seed <= ROUNDS(4); seed++) {
            struct tgi_offload_graph_stats stats;
            device_reset(counts[c], seed, true);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = open_run(rt, g, true);
            for (uint64_t i = 0; i < n; i++)
                execute_spread(run);
            tgi_offload_graph_stats(run, &stats);
            assert_int_equal(stats.n_clusters, 1);
            assert_int_equal(stats.n_spread, 1);
            assert_int_equal(stats.n_nodes, 0);
            assert_int_equal(stats.n_replayed, n);
            assert_int_equal(standin.standin_calls("cuGraphLaunch"), n);
            assert_int_equal(look_at(tgi_offload_graph_program(run)), 1);
            device_expect(run, g, expected);
            device_close_all(run, rt, NULL);
        }
    tg_graph_destroy(g);
    free(expected);
}

/* Scans have no resident variant, so that there are nodes between clusters and beside them. */
static char *draw_tasks(struct dice *d, int n)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    for (int t = 0; t < n; t++) {
        uint32_t to = roll(d, 8), a = (to + 1 + roll(d, 7)) % 8, b = (to + 1 + roll(d, 7)) % 8;
        const char *comma = t ? ", " : "";
        switch (roll(d, 12)) {
        case 0:
            fprintf(f, "%s{'id': 't%d', 'kernel': 'scan', 'args': {'n': 8, 'x': 'F[%u]', 'y': 'F[%u]'}}", comma, t, to, a);
            break;
        case 1:
            fprintf(f, "%s{'id': 't%d', 'kernel': 'scale', 'args': {'n': 8, 'a': 2, 'x': 'F[%u]'}}", comma, t, to);
            break;
        case 2:
            if (t) {
                fprintf(f, "%s{'id': 't%d', 'kernel': 'add', 'after': ['t%u'], 'args': {'id': %d, 'n': 32, 'acc': 'A[%u]'}}", comma, t,
                        roll(d, (uint32_t)t), t, to);
                break;
            }
            /* fall through */
        default:
            fprintf(f, "%s{'id': 't%d', 'kernel': 'mix', 'args': {'id': %d, 'n': %u, 'out': 'A[%u]', 'in0': 'A[%u]', 'in2': 'A[%u]'}}",
                    comma, t, t, 1 + roll(d, 32), to, a, b);
        }
    }
    fclose(f);
    return text;
}

static void random_graphs_equal_sequential_execution(void **state)
{
    static const char data[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [8], 'init': {'iota': true}, 'home': 'cyclic:{i}'}, "
                               "'F': {'dtype': 'f64', 'shape': [8], 'tiles': [8], 'init': {'fill': 0.5}, 'home': 'cyclic:{i}'}";
    uint64_t first = test_seed(1), n = ROUNDS(40);
    uint32_t n_spread = 0, n_several = 0;
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        alarm(LIMIT_S);
        char *text = draw_tasks(&d, 5 + (int)roll(&d, 100));
        struct tg_graph *g = device_graph(data, ", 'scan': {'builtin': 'scan'}", text);
        int n_starts = 1 + (int)roll(&d, 4);
        bool keeps = roll(&d, 2);
        uint64_t *expected = device_expected(g, keeps, n_starts);
        struct tgi_offload_graph_stats stats;
        device_reset(2 + (int)roll(&d, 3), seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, keeps);
        for (int i = 0; i < n_starts; i++)
            execute(run, &stats);
        assert_true(stats.n_spread || stats.not_spread);
        assert_int_equal(look_at(tgi_offload_graph_program(run)), stats.n_spread);
        n_spread += stats.n_spread;
        n_several += stats.n_spread > 1;
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
        free(text);
    }
    assert_true(n_spread >= n / 2);
    assert_true(n < 20 || n_several > 0);
}

/* Rather than a graph for each device, which the cluster would be in several of. */
static void a_run_with_one_is_one_graph(void **state)
{
    struct tgi_offload_graph_stats stats;
    (void)state;
    setenv("TGRAPH_HOPS", "flags", 1);
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    execute_spread(run);
    tgi_offload_graph_stats(run, &stats);
    assert_string_equal(stats.whole, "a resident program is on several devices");
    device_expect(run, g, expected);
    device_close_all(run, rt, g);
    free(expected);
}

static void times_of_tasks_are_told_by_their_device(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    uint32_t seen = 0, lane;
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.executor = TG_EXECUTOR_RESIDENT;
    options.is_recorded = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    for (int i = 0; i < 2; i++) {
        execute_spread(run);
        const struct tgi_span *spans = tgi_run_spans(run);
        assert_non_null(spans);
        for (uint32_t t = 0; t < g->n_tasks; t++) {
            assert_int_equal(spans[t].state, TG_TASK_DONE);
            assert_true(spans[t].end_ns > 0 && spans[t].end_ns >= spans[t].start_ns);
            uint32_t device = tgi_run_device_of(run, spans[t].worker, &lane);
            assert_in_range(device, 0, 1);
            seen |= 1u << device;
            /* Clocks of two devices are brought together as well as the host can look at both. */
            for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
                if (tgi_run_device_of(run, spans[g->succ[k]].worker, &lane) == device)
                    assert_true(spans[g->succ[k]].start_ns >= spans[t].end_ns);
        }
    }
    assert_int_equal(seen, 3);
    device_close_all(run, rt, g);
}

/* ---- What goes wrong ------------------------------------------------------------------------*/

/* On whatever device; the others end, and the next start fails in the same way. */
static void a_task_that_fails_is_named(void **state)
{
    static const char matrices[] = "'M': {'dtype': 'f64', 'shape': [4, 4], 'tiles': [8], 'init': {'fill': 0}, 'home': 'cyclic:{i}'}";
    static const char factors[] = "{'id': 'good', 'kernel': 'fill', 'args': {'n': 16, 'value': 1, 'x': 'M[7]'}}, "
                                  "{'id': 'factor', 'kernel': 'potrf', 'args': {'n': 4, 'a': 'M[%d]'}}, "
                                  "{'for': ['i in 0:8', 'k in 0:3'], 'id': 'after[{i},{k}]', 'kernel': 'axpy', "
                                  "'args': {'n': 16, 'a': 2, 'x': 'M[(i+k+1)%%8]', 'y': 'M[i]'}}";
    struct tg_error err;
    (void)state;
    for (int which = 0; which < 4; which++) {
        char text[sizeof factors + 16];
        snprintf(text, sizeof text, factors, which);
        struct tg_graph *g = device_graph(matrices, ", 'potrf': {'builtin': 'potrf_lower'}, 'fill': {'builtin': 'fill'}, 'axpy': {'builtin': 'axpy'}", text);
        device_reset(2 + which % 2 * 2, (uint64_t)which, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        for (int i = 0; i < 4; i++) {
            struct tgi_offload_graph_stats stats;
            assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
            assert_string_equal(err.task, "factor");
            assert_non_null(strstr(err.text, "pivot 1 of 4 is not positive: the matrix is not positive definite"));
            tgi_offload_graph_stats(run, &stats);
            assert_int_equal(stats.n_spread, 1);
        }
        device_close_all(run, rt, g);
    }
}

/* A worker of one device spins for longer than one of another waits for it: all kernels end, and the reason is named. */
static void a_wait_without_end_ends_all_kernels(void **state)
{
    static const char data[] = "'A': {'dtype': 'u8', 'shape': [8], 'tiles': [8], 'init': {'fill': 1}, 'home': 'cyclic:{i}'}";
    static const char kernels[] = ", 'spin': {'builtin': 'spin'}";
    static const char work[] = "{'for': ['i in 0:1000'], 'id': 'slow[{i}]', 'kernel': 'spin', "
                               "'args': {'us': 90, 'in0': 'A[0]', 'out0': 'A[0]', 'in_bytes0': 8, 'out_bytes0': 8}}, "
                               "{'for': ['i in 1:8'], 'id': 'next[{i}]', 'kernel': 'spin', "
                               "'args': {'us': 90, 'in0': 'A[0]', 'out0': 'A[i]', 'in_bytes0': 8, 'out_bytes0': 8}}";
    struct tg_graph *g = device_graph(data, kernels, work);
    struct tg_error err;
    (void)state;
    for (int i = 0; i < 4; i++) {
        const struct standin_options roomy = {2 + i % 2 * 2, 8 << 20, (uint64_t)i, true};
        standin.standin_reset(&roomy);
        setenv("TGRAPH_RESIDENT_LIMIT_MS", "5", 1);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        for (int k = 0; k < 2; k++) { /* again: tables are as they were before the first */
            struct tgi_offload_graph_stats stats;
            int rc = tg_run_execute(run, &err);
            if (rc != TG_E_TASK_TIMEOUT)
                fail_msg("status %d: %s", rc, err.text);
            /* who was at work, who waited for it, or a copy between two of them, which is no task's */
            tgi_offload_graph_stats(run, &stats);
            assert_int_equal(stats.n_spread, 1);
        }
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
}

/* A kernel on one device never begins: those on the others do not wait for it for ever. */
static void all_end_where_a_kernel_does_not_begin(void **state)
{
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    device_reset(2, 1, true);
    setenv("TGRAPH_RESIDENT_LIMIT_MS", "1000", 1);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    execute_spread(run);
    standin.standin_begin_late(1);
    int rc = tg_run_execute(run, &err);
    if (rc != TG_E_TASK_TIMEOUT)
        fail_msg("status %d: %s", rc, err.text);
    standin.standin_begin_late(-1);
    for (int i = 0; i < 3; i++) {
        execute_spread(run);
        device_expect(run, g, expected);
    }
    device_close_all(run, rt, g);
    free(expected);
}

static void a_run_that_is_cancelled_ends_early(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    for (uint64_t seed = 0; seed < 4; seed++) {
        device_reset(2 + (int)(seed % 2) * 2, seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        execute_spread(run);
        device_expect(run, g, expected);
        device_cancel_held(run, "tgk_resident_run_spread", 2);
        for (int i = 0; i < 3; i++) {
            execute_spread(run);
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
}

/* Every call that brings a program to its devices, failing once on each. */
static void a_driver_that_refuses_fails_one_start(void **state)
{
    static const char *const calls[] = {"cuModuleLoadData", "cuMemcpyHtoD", "cuMemsetD8Async", "cuGraphKernelNodeSetAttribute", "cuGraphAddEmptyNode"};
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (uint64_t nth = 1; nth <= 2; nth++) {
            device_reset(2, i, true);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = open_run(rt, g, false);
            standin.standin_fail(calls[i], nth, CUDA_ERROR_INVALID_VALUE, STANDIN_ONCE);
            int rc = tg_run_execute(run, &err);
            if (standin.standin_fail_hits() != 1 && nth == 1)
                fail_msg("%s was not called", calls[i]);
            if (standin.standin_fail_hits() == 1 && rc == 0)
                fail_msg("%s failed, and nobody says so", calls[i]);
            for (int k = 0; k < 3; k++)
                execute_spread(run);
            device_expect(run, g, expected);
            device_close_all(run, rt, NULL);
        }
    tg_graph_destroy(g);
    free(expected);
}

/* ---- Where it cannot be ---------------------------------------------------------------------*/

/* Resident all the same, as if it had not been asked for. */
static void expect_refused(int n_devices, bool has_peers, const char *work, const char *why)
{
    struct tgi_offload_graph_stats stats;
    struct tg_graph *g = device_graph(buffers, "", work);
    uint64_t *expected = device_expected(g, false, 1);
    device_reset(n_devices, 1, has_peers);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    for (int i = 0; i < 2; i++)
        execute(run, &stats);
    assert_int_equal(stats.n_spread, 0);
    if (why)
        assert_string_equal(stats.not_spread, why);
    else
        assert_null(stats.not_spread);
    assert_int_equal(look_at(tgi_offload_graph_program(run)), 0);
    device_expect(run, g, expected);
    device_close_all(run, rt, g);
    free(expected);
}

/* The same tiles over and over, then neighbours'. */
#define APART "{'for': ['r in 0:4', 'i in 0:8'], 'kernel': 'add', 'args': {'id': 'r*8+i', 'n': 32, 'acc': 'A[i]'}}"
#define ACROSS "{'for': ['i in 0:8'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}"

static void what_cannot_be_says_why(void **state)
{
    (void)state;
    expect_refused(1, true, APART ", " ACROSS, "all of it is on one device");
    expect_refused(2, true, APART, "no edge between devices is inside a cluster");
    expect_refused(2, false, APART ", " ACROSS, "one of its devices cannot reach another's memory by NVLink");
    setenv("TGRAPH_STANDIN_PEERS", "1", 1); /* two by two */
    expect_refused(4, true, APART ", " ACROSS, "one of its devices cannot reach another's memory by NVLink");
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1);
    expect_refused(2, true, APART ", " ACROSS, "TGRAPH_RESIDENT_KERNEL asks for the embedded kernel, which is for one device");
    unsetenv("TGRAPH_RESIDENT_KERNEL");
    setenv("TGRAPH_RESIDENT_PROGRAM", "dynamic", 1);
    expect_refused(2, true, APART ", " ACROSS, "dynamic programs are on one device");
}

/* Why not is told where one could expect it. */
static void there_are_none_where_they_are_off_or_pointless(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_SPREAD", "off", 1);
    expect_refused(2, true, APART ", " ACROSS, NULL);
    setenv("TGRAPH_RESIDENT_SPREAD", "", 1);
    expect_refused(1, true, APART ", " ACROSS, NULL);
    expect_refused(2, true, APART, NULL);
    unsetenv("TGRAPH_RESIDENT_SPREAD");
    expect_refused(2, false, APART ", " ACROSS, "one of its devices cannot reach another's memory by NVLink");
}

/* Of starts of a run, as many as it has clusters on several devices in the end; data is right after each. */
static uint32_t n_spread_of(enum tg_executor executor, bool has_devices_alone)
{
    struct tgi_machine_class slow_nodes = {.name = "cuda", .kind = TGI_DEVICE_CUDA, .node_ns = 1e6, .chain_ns = 1e6};
    struct tgi_machine m = {.classes = &slow_nodes, .n_classes = 1};
    struct tgi_guide guide = {.machine = &m};
    struct tg_runtime_options runtime_options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tgi_offload_graph_stats stats = {.n_spread = 0};
    struct tg_graph *g = device_graph(buffers, "", APART ", " ACROSS);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    device_reset(2, 1, true);
    runtime_options.n_workers = 2;
    runtime_options.devices = "cuda";
    runtime_options.has_devices_alone = has_devices_alone;
    MUST(tg_runtime_create(&runtime_options, &rt, &err));
    options.executor = executor;
    options.n_starts_expected = 1000000;
    MUST(tgi_run_create_guided(rt, g, &options, &guide, &run, &err));
    for (int i = 0; i < 20; i++) {
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
        if (tg_run_executor(run, NULL) == TG_EXECUTOR_RESIDENT)
            tgi_offload_graph_stats(run, &stats);
    }
    device_close_all(run, rt, g);
    free(expected);
    return stats.n_spread;
}

static void they_are_there_where_nothing_was_said(void **state)
{
    (void)state;
    unsetenv("TGRAPH_RESIDENT_SPREAD");
    assert_true(n_spread_of(TG_EXECUTOR_RESIDENT, false) > 0);
    assert_true(n_spread_of(TG_EXECUTOR_AUTO, true) > 0);
    assert_int_equal(n_spread_of(TG_EXECUTOR_AUTO, false), 0);
    setenv("TGRAPH_RESIDENT_SPREAD", "on", 1);
    assert_true(n_spread_of(TG_EXECUTOR_AUTO, false) > 0);
    setenv("TGRAPH_RESIDENT_SPREAD", "off", 1);
    assert_int_equal(n_spread_of(TG_EXECUTOR_AUTO, true), 0);
    assert_int_equal(n_spread_of(TG_EXECUTOR_RESIDENT, true), 0);
}

static void a_wish_that_is_none_is_refused(void **state)
{
    struct tg_error err;
    (void)state;
    setenv("TGRAPH_RESIDENT_SPREAD", "wide", 1);
    struct tg_graph *g = device_graph(buffers, "", tasks);
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    assert_int_not_equal(tg_run_execute(run, &err), 0);
    assert_non_null(strstr(err.text, "TGRAPH_RESIDENT_SPREAD is \"wide\", and can be on or off"));
    device_close_all(run, rt, g);
}

/* ---- Programs -----------------------------------------------------------------------------*/

/* A plan has every task where its memory is, and one that has not is refused. */
static void tasks_are_on_their_devices(void **state)
{
    enum { N = 60 };
    uint32_t succ_at[N + 1], succ[N * 2], n_edges = 0, worker_of[N];
    uint64_t arg[N], words[1] = {0};
    uint8_t op[N], device_of[N];
    float cost_ns[N];
    struct tg_error err;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct dice d = {mix64(seed)};
        uint32_t n_devices = 2 + roll(&d, 3);
        n_edges = 0;
        for (uint32_t t = 0; t < N; t++) {
            op[t] = roll(&d, 8) ? TGI_RESIDENT_CALL : TGI_RESIDENT_EMPTY;
            arg[t] = TGI_CALL(1, 0, 0);
            cost_ns[t] = (float)roll(&d, 3000);
            device_of[t] = (uint8_t)roll(&d, n_devices);
            succ_at[t] = n_edges;
            for (uint32_t k = 0, last = t; k < 2 && last + 1 < N; k++)
                succ[n_edges++] = last = last + 1 + roll(&d, N - last - 1);
        }
        succ_at[N] = n_edges;
        struct tgi_resident_dag dag = {.n_tasks = N, .succ_at = succ_at, .succ = succ, .op = op, .arg = arg, .words = words,
                                       .cost_ns = cost_ns, .device_of = device_of};
        struct tgi_resident_shape shape = {1 + roll(&d, 3), 8, tgi_resident_shared_bytes(8, 64, 64), TGI_RESIDENT_WARP};
        struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
        struct tgi_resident_program *p;
        MUST(tgi_resident_plan_peers(&dag, &shape, n_devices, &costs, &p, &err));
        MUST(tgi_resident_check(&dag, p, &err));
        for (uint32_t t = 0; t < N; t++)
            device_of[t] = (uint8_t)((device_of[t] + (t == 7)) % n_devices);
        assert_int_equal(tgi_resident_check(&dag, p, &err), TG_E_INVALID);
        assert_string_equal(err.text, "resident program: task 7 is on a device whose memory it is not for");
        tgi_resident_program_destroy(p);
        device_of[7] = (uint8_t)n_devices;
        assert_int_equal(tgi_resident_plan_peers(&dag, &shape, n_devices, &costs, &p, &err), TG_E_INVALID);
        for (uint32_t t = 0; t < N; t++)
            worker_of[t] = 0;
        device_of[7] = 0;
        op[3] = TGI_RESIDENT_POST;
        assert_int_not_equal(tgi_resident_build_peers(&dag, &shape, n_devices, worker_of, &p, &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tasks_are_on_their_devices, setup, teardown),
        cmocka_unit_test_setup_teardown(replays_are_as_many_sequential_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(random_graphs_equal_sequential_execution, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_with_one_is_one_graph, setup, teardown),
        cmocka_unit_test_setup_teardown(times_of_tasks_are_told_by_their_device, setup, teardown),
        cmocka_unit_test_setup_teardown(a_task_that_fails_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wait_without_end_ends_all_kernels, setup, teardown),
        cmocka_unit_test_setup_teardown(all_end_where_a_kernel_does_not_begin, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_that_is_cancelled_ends_early, setup, teardown),
        cmocka_unit_test_setup_teardown(a_driver_that_refuses_fails_one_start, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_none_where_they_are_off_or_pointless, setup, teardown),
        cmocka_unit_test_setup_teardown(they_are_there_where_nothing_was_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wish_that_is_none_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
