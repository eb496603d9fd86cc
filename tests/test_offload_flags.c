/* Runs that are a graph for each device, which wait for each other by flags: replayed, cancelled, launched in part, and with what they wait
 * for left out. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "gpu/code.h"
#include "gpu/driver.h"
#include "gpu/graph_build.h"
#include "graph/error.h"
#include "mem/split.h"
#include "sched/offload_graph.h"
#include "tests/device_run.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 120, N_STARTS = 120, N_SETTLED = 4 };

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}";

static void execute(struct tg_run *run, const char *whole)
{
    struct tgi_offload_graph_stats stats;
    struct tg_error err;
    const char *why;
    MUST(tg_run_execute(run, &err));
    if (tg_run_executor(run, &why) != TG_EXECUTOR_GRAPH)
        fail_msg("no graph: %s", why);
    tgi_offload_graph_stats(run, &stats);
    if (!whole && stats.whole)
        fail_msg("one graph for all devices: %s", stats.whole);
    if (whole)
        assert_string_equal(stats.whole, whole);
}

/* ---- Replays ------------------------------------------------------------------------------*/

static void replays_are_as_many_sequential_runs(void **state)
{
    uint64_t n_looks = 0;
    (void)state;
    for (int n_devices = 2; n_devices <= 4; n_devices++)
        for (uint64_t seed = 1; seed <= (IS_SLOW ? 2 : 8); seed++) {
            struct tg_graph *g = device_graph(buffers, "", tasks);
            bool keeps = seed % 2;
            int n = IS_SLOW ? 20 : N_STARTS;
            uint64_t *expected = device_expected(g, keeps, n);
            alarm(LIMIT_S);
            device_reset(n_devices, seed, true);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, keeps);
            for (int i = 0; i < n; i++)
                execute(run, NULL);
            assert_int_equal(standin.standin_calls("cuGraphLaunch"), n * n_devices);
            assert_int_equal(standin.standin_calls("cuLaunchKernel"), 0);
            n_looks += standin.standin_looks();
            device_expect(run, g, expected);
            device_close_all(run, rt, g);
            free(expected);
        }
    assert_true(n_looks > 0); /* somebody has waited */
    alarm(0);
}

static struct tg_graph *draw_graph(struct dice *d)
{
    char text[8192], *at = text;
    uint32_t n = 5 + roll(d, 30);
    for (uint32_t i = 0; i < n; i++)
        at += sprintf(at, "%s{'kernel': 'mix', 'args': {'id': %u, 'n': 32, 'out': 'A[%u]', 'in0': 'A[%u]', 'in1': 'A[%u]'}}", i ? ", " : "", i,
                      roll(d, 6), roll(d, 6), roll(d, 6));
    return device_graph(buffers, "", text);
}

static void random_graphs_equal_sequential_execution(void **state)
{
    uint64_t n = ROUNDS(60), first = test_seed(1);
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        struct tg_graph *g = draw_graph(&d);
        uint64_t *expected[3];
        for (int k = 0; k < 3; k++)
            expected[k] = device_expected(g, true, k + 1);
        alarm(LIMIT_S);
        device_reset(2 + (int)roll(&d, 3), seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, true);
        struct tg_error err;
        for (int k = 0; k < 3; k++) {
            MUST(tg_run_execute(run, &err));
            device_expect(run, g, expected[k]);
        }
        device_close_all(run, rt, g);
        for (int k = 0; k < 3; k++)
            free(expected[k]);
    }
    alarm(0);
}

/* Memory has moved to other addresses: nodes of all parts are changed in place. */
static void parts_are_changed_in_place(void **state)
{
    static uint64_t one[6 * 32], other[6 * 32];
    static const char ours[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'home': 'cyclic:{i}'}";
    struct tg_graph *g = device_graph(ours, "", tasks);
    struct tgi_offload_graph_stats stats;
    struct tg_error err;
    (void)state;
    device_reset(2, 3, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, false);
    for (int k = 0; k < 4; k++) {
        uint64_t *memory = k % 2 ? one : other;
        for (int i = 0; i < 6 * 32; i++)
            memory[i] = (uint64_t)i;
        MUST(tg_run_bind(run, 0, memory, &err));
        execute(run, NULL);
    }
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_instantiated, 1);
    assert_int_equal(stats.n_updated, 3);
    assert_memory_equal(one, other, sizeof one);
    device_close_all(run, rt, g);
}

static void count_pushes(void *user, const char *kernel, void **args)
{
    uint32_t *n = user;
    (void)args;
    n[0] += strcmp(kernel, TGI_PUSH_KERNEL) == 0;
    n[1] += strcmp(kernel, TGI_SIGNAL_KERNEL) == 0;
}

/* By a kernel that signals as well, by one that does not, by the driver; from the host by a kernel as well, if they are small. */
static void copies_of_any_size_arrive(void **state)
{
    static const uint64_t sizes[] = {1, 3, TGI_PUSH_SIGNAL / 8, TGI_PUSH_SIGNAL / 8 + 1, TGI_PULL_BYTES / 8, TGI_PULL_BYTES / 8 + 1,
                                     TGI_PUSH_BYTES / 8, TGI_PUSH_BYTES / 8 + 1};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int is_split = 0; is_split < 2; is_split++) {
            const struct standin_options so = {2, 64u << 20, i + 1, true};
            char data[256], text[512];
            uint32_t n[2] = {0, 0};
            setenv("TGRAPH_HOPS", is_split ? "flags" : "driver", 1);
            snprintf(data, sizeof data, "'A': {'dtype': 'u64', 'shape': [%" PRIu64 "], 'init': {'iota': true}}", sizes[i]);
            snprintf(text, sizeof text, "{'for': ['r in 0:4', 'd in 0:2'], 'kernel': 'mix', 'on': 'cuda:{d}', 'args': {'id': 'r*2+d', 'n': %" PRIu64
                                        ", 'out': 'A', 'in0': 'A'}}", sizes[i]);
            struct tg_graph *g = device_graph(data, "", text);
            uint64_t *expected = device_expected(g, false, 1);
            standin.standin_reset(&so);
            standin.standin_watch_kernels(count_pushes, n);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, false);
            execute(run, is_split ? NULL : "TGRAPH_HOPS does not ask for more");
            device_expect(run, g, expected);
            assert_int_equal(n[0], (8 * sizes[i] <= TGI_PUSH_BYTES ? 7 : 0) + (8 * sizes[i] <= TGI_PULL_BYTES));
            assert_int_equal(n[1], is_split && 8 * sizes[i] > TGI_PUSH_SIGNAL ? 7 : 0);
            device_close_all(run, rt, g);
            free(expected);
        }
    setenv("TGRAPH_HOPS", "flags", 1);
}

/* ---- What stays whole ---------------------------------------------------------------------*/

static void one_graph_says_why(void **state)
{
    static const char no_flags[] = "its devices cannot set flags of each other";
    static const struct {
        const char *variable, *value, *whole;
        bool has_peers;
    } cases[] = {
        {"TGRAPH_HOPS", "flags", no_flags, false},
        {"CUDA_LAUNCH_BLOCKING", "1", no_flags, true},
        {"CUDA_LAUNCH_BLOCKING", "0", NULL, true},
        {"TGRAPH_HOPS", "driver", "TGRAPH_HOPS does not ask for more", true},
    };
    struct tg_graph *g = device_graph(buffers, "", tasks);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv(cases[i].variable, cases[i].value, 1);
        device_reset(2, 1, cases[i].has_peers);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, true);
        execute(run, cases[i].whole);
        assert_int_equal(standin.standin_calls("cuGraphLaunch"), cases[i].whole ? 1 : 2);
        device_close_all(run, rt, NULL);
    }
    unsetenv("CUDA_LAUNCH_BLOCKING");
    setenv("TGRAPH_HOPS", "flags", 1);
    tg_graph_destroy(g);
}

static void a_wish_that_there_is_not_is_told(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tg_error err;
    (void)state;
    setenv("TGRAPH_HOPS", "flag", 1);
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, true);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
    if (!strstr(err.text, "TGRAPH_HOPS is \"flag\", and can be driver, flags or auto"))
        fail_msg("%s", err.text);
    setenv("TGRAPH_HOPS", "flags", 1);
    device_close_all(run, rt, g);
}

/* Left to be chosen: enough edges, and those in a row. */
static void a_choice_goes_by_the_edges_in_a_row(void **state)
{
#define KERNEL(on, id, out, in) "'kernel': 'mix', 'on': '" on "', 'args': {'id': '" id "', 'n': 32, 'out': '" out "', 'in0': '" in "'}}"
    static const struct {
        const char *tasks, *whole;
    } cases[] = {
        {"{" KERNEL("cuda:0", "0", "A[1]", "A[1]") ", {" KERNEL("cuda:1", "1", "A[0]", "A[1]"), "it has too few edges between devices in a row"},
        {"{'for': ['r in 0:20', 'd in 0:2'], " KERNEL("cuda:{d}", "r", "A[0]", "A[1]"), NULL},
        {"{'for': ['r in 0:20', 'd in 0:2', 'i in 0:6'], " KERNEL("cuda:{d}", "r", "A[i]", "A[i]"),
         "too many of its edges between devices are not in a row"},
    };
#undef KERNEL
    (void)state;
    setenv("TGRAPH_HOPS", "auto", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = device_graph(buffers, "", cases[i].tasks);
        uint64_t *expected = device_expected(g, false, 1);
        device_reset(2, 1, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, false);
        execute(run, cases[i].whole);
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
    }
    setenv("TGRAPH_HOPS", "flags", 1);
}

/* ---- Failures -----------------------------------------------------------------------------*/

/* Whatever part it is: those that were launched leave, the start fails, and the next one is as ever. */
static void a_part_that_is_not_launched_fails_the_start(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        for (uint64_t nth = 1; nth <= 3; nth++) {
            struct tg_error err;
            alarm(LIMIT_S);
            device_reset(3, seed, true);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, false);
            execute(run, NULL);
            execute(run, NULL);
            standin.standin_fail("cuGraphLaunch", nth, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
            assert_int_equal(tg_run_execute(run, &err), TG_E_NO_MEMORY);
            assert_non_null(strstr(err.text, "launching the part of cuda:"));
            for (int k = 0; k < 3; k++) {
                execute(run, NULL);
                device_expect(run, g, expected);
            }
            device_close_all(run, rt, NULL);
        }
    tg_graph_destroy(g);
    free(expected);
    alarm(0);
}

/* Nothing leaves early: as with one graph, a start that was launched is executed to its end, and all of its tasks are. */
static void a_run_that_is_cancelled_goes_to_its_end(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct tg_error err;
        alarm(LIMIT_S);
        device_reset(2, seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, false);
        execute(run, NULL);
        standin.standin_lazy(true);
        MUST(tg_run_start(run, &err));
        while (standin.standin_calls("cuGraphLaunch") < 4)
            usleep(100);
        tg_run_cancel(run);
        standin.standin_lazy(false);
        assert_int_equal(tg_run_wait(run, &err), 0);
        device_expect(run, g, expected);
        for (int k = 0; k < 3; k++) {
            execute(run, NULL);
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
    alarm(0);
}

/* ---- By hand ------------------------------------------------------------------------------*/

/* One more graph of what a run that has settled replays. */
struct bench {
    struct tg_graph *graph;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tgi_devices *ds;
    struct tgi_cuda *cuda;
    const struct tgi_program *program;
    struct tgi_device_graph *g;
};

static void bench_open(struct bench *b, struct tg_graph *graph, uint64_t seed)
{
    struct tg_error err;
    uint64_t owner;
    alarm(LIMIT_S);
    device_reset(2, seed, true);
    b->graph = graph;
    b->rt = device_runtime("cuda", 0);
    b->run = device_open_run(b->rt, graph, TG_EXECUTOR_GRAPH, true);
    for (int i = 0; i < N_SETTLED; i++)
        execute(b->run, NULL);
    b->program = tgi_offload_graph_program(b->run);
    b->ds = b->rt->offload->devices;
    b->cuda = tgi_cuda_of(b->ds);
    MUST(b->ds->ops->attach(b->ds, &err));
    MUST(b->ds->ops->graph_create(b->ds, b->program, &b->g, &owner, &err));
}

/* The data, as it is on the devices, is not what the run expects, nor that of the program. */
static bool bench_close(struct bench *b, const uint64_t *expected)
{
    struct tg_error err;
    uint64_t *have = calloc(device_words(b->graph) + 1, sizeof *have);
    if (!tgi_devices_are_lost(b->ds))
        for (uint32_t d = 0; d < b->ds->n_devices; d++)
            (void)b->ds->ops->drain(b->ds, d, &err);
    b->ds->ops->graph_destroy(b->ds, b->g);
    b->ds->ops->detach(b->ds);
    bool is_as_expected = device_read(b->run, b->graph, have) && memcmp(have, expected, device_words(b->graph) * sizeof *have) == 0;
    tg_run_destroy(b->run);
    tg_runtime_destroy(b->rt);
    free(have);
    alarm(0);
    return is_as_expected;
}

static CUresult launch_alone(struct bench *b, uint32_t device)
{
    struct tg_error err;
    MUST(tgi_cuda_enter(b->cuda, device, &err));
    return b->cuda->api->cuGraphLaunch(b->g->exec[device], tgi_cuda_stream(b->cuda, tgi_lane_of(device, 0)));
}

/* As if the host were held up before the others: an await leaves after a while, the start is told to have failed, and what flags are left
 * set does not matter to the next one. */
static void a_part_alone_does_not_wait_for_ever(void **state)
{
    struct tg_graph *graph = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(graph, true, N_SETTLED);
    char text[4096];
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct bench b;
        struct tg_error err;
        uint64_t owner = UINT64_MAX;
        bench_open(&b, graph, seed);
        b.g->flags->words->launching = TGI_LAUNCHING;
        assert_int_equal(launch_alone(&b, seed % 2), 0);
        MUST(b.ds->ops->drain(b.ds, seed % 2, &err));
        assert_int_equal(b.ds->ops->graph_fault(b.ds, b.g, &owner, &err), TG_E_TASK_TIMEOUT);
        assert_true(owner < graph->n_tasks);
        assert_int_equal(b.ds->ops->graph_fault(b.ds, b.g, &owner, &err), 0);
        MUST(b.ds->ops->graph_launch(b.ds, b.g, 0, &err));
        MUST(b.ds->ops->drain(b.ds, 0, &err));
        MUST(b.ds->ops->drain(b.ds, 1, &err));
        assert_int_equal(b.ds->ops->graph_fault(b.ds, b.g, &owner, &err), 0);
        for (uint32_t d = 0; d < 2; d++) { /* all flags are 0 again */
            uint32_t flags[256] = {1}, n = b.g->flags->n[d];
            assert_in_range(n, 1, 256);
            MUST(tgi_cuda_enter(b.cuda, d, &err));
            assert_int_equal(b.cuda->api->cuMemcpyDtoH(flags, b.g->flags->at[d], n * sizeof *flags), 0);
            for (uint32_t i = 0; i < n; i++)
                assert_int_equal(flags[i], 0);
        }
        bench_close(&b, expected);
        assert_int_equal(standin.standin_violations(text, sizeof text), 0);
        assert_int_equal(standin.standin_leaks(text, sizeof text), 0);
    }
    tg_graph_destroy(graph);
    free(expected);
}

/* The kernel of a command waits for nothing, or signals nothing, from now on. */
static void leave_out(struct bench *b, uint32_t id)
{
    const struct tgi_command *c = &b->program->commands[id];
    uint32_t device = tgi_lane_device(c->lane);
    tgi_signal_args signal = {.n = 0};
    tgi_push_args push;
    tgi_await_args await = {.flags = (uint32_t *)(uintptr_t)b->g->flags->at[device], .words = b->g->flags->words};
    void *args[] = {c->kind == TGI_COMMAND_SIGNAL ? (void *)&signal : (void *)&await};
    CUDA_KERNEL_NODE_PARAMS k = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                 .kernelParams = args};
    struct tg_error err;
    if (tgi_cuda_push_signals(b->g, b->program, id - 1)) {
        MUST(tgi_cuda_push_node(b->cuda, b->g, b->program, id - 1, &push, args, &k, &err));
        push.signal.n = 0;
    } else
        MUST(tgi_cuda_flag_function(b->cuda, device, c->kind == TGI_COMMAND_SIGNAL ? TGI_SIGNAL_KERNEL : TGI_AWAIT_KERNEL, &k.func, &err));
    MUST(tgi_cuda_enter(b->cuda, device, &err));
    assert_int_equal(b->cuda->api->cuGraphExecKernelNodeSetParams(b->g->exec[device], b->g->node[id], &k), 0);
}

/* TG_NONE: nothing is left out.  What the data is afterwards. */
static bool is_right_without(struct tg_graph *graph, uint64_t seed, uint32_t id, const uint64_t *expected)
{
    struct bench b;
    struct tg_error err;
    bench_open(&b, graph, seed);
    if (id != TG_NONE)
        leave_out(&b, id);
    MUST(b.ds->ops->graph_launch(b.ds, b.g, 0, &err));
    return bench_close(&b, expected);
}

static uint32_t *find_all(struct tg_graph *graph, enum tgi_command_kind kind, uint32_t *n_p)
{
    struct bench b;
    uint32_t n = 0;
    bench_open(&b, graph, 1);
    uint32_t *ids = malloc(b.program->n * sizeof *ids);
    for (uint32_t i = 0; i < b.program->n; i++)
        if (b.program->commands[i].kind == kind)
            ids[n++] = i;
    uint64_t *none = calloc(device_words(graph) + 1, sizeof *none);
    bench_close(&b, none);
    free(none);
    *n_p = n;
    return ids;
}

/* In some order of execution each of them shows in what comes out. */
static void awaits_that_are_left_out_are_noticed(void **state)
{
    enum { N_SEEDS = 400 };
    struct tg_graph *graph = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(graph, true, N_SETTLED + 1);
    uint32_t n, n_noticed = 0, *ids = find_all(graph, TGI_COMMAND_AWAIT, &n);
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        assert_true(is_right_without(graph, seed, TG_NONE, expected));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t seed = 1;
        while (seed <= N_SEEDS && is_right_without(graph, seed, ids[i], expected))
            seed++;
        if (seed > N_SEEDS)
            printf("await %u of %u is not missed\n", ids[i], n);
        n_noticed += seed <= N_SEEDS;
    }
    assert_true(n > 4);
    assert_int_equal(n_noticed, n);
    tg_graph_destroy(graph);
    free(expected);
    free(ids);
}

static void a_signal_that_is_left_out_is_waited_for(void **state)
{
    struct tg_graph *graph = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(graph, true, N_SETTLED + 1);
    uint32_t n, *ids = find_all(graph, TGI_COMMAND_SIGNAL, &n);
    char text[4096];
    (void)state;
    for (uint32_t i = 0; i < n; i += IS_SLOW ? 5 : 1) {
        assert_false(is_right_without(graph, i + 1, ids[i], expected));
        standin.standin_violations(text, sizeof text);
        assert_non_null(strstr(text, "wait for what never comes"));
    }
    tg_graph_destroy(graph);
    free(expected);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replays_are_as_many_sequential_runs),
        cmocka_unit_test(random_graphs_equal_sequential_execution),
        cmocka_unit_test(parts_are_changed_in_place),
        cmocka_unit_test(copies_of_any_size_arrive),
        cmocka_unit_test(one_graph_says_why),
        cmocka_unit_test(a_wish_that_there_is_not_is_told),
        cmocka_unit_test(a_choice_goes_by_the_edges_in_a_row),
        cmocka_unit_test(a_part_that_is_not_launched_fails_the_start),
        cmocka_unit_test(a_run_that_is_cancelled_goes_to_its_end),
        cmocka_unit_test(a_part_alone_does_not_wait_for_ever),
        cmocka_unit_test(awaits_that_are_left_out_are_noticed),
        cmocka_unit_test(a_signal_that_is_left_out_is_waited_for),
    };
    setenv("TGRAPH_HOPS", "flags", 1);
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
