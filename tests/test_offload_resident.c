/* Runs whose tasks are inside a resident kernel, on the stand-in driver: the same data as task by task, over and over; what cannot be
 * inside beside it; and what goes wrong named by its task. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "sched/guide.h"
#include "sched/offload_graph.h"
#include "sched/replay_costs.h"
#include "tests/device_run.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 300 };

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}";

static struct tg_run *open_run(struct tg_runtime *rt, const struct tg_graph *g, bool keep_data)
{
    return device_open_run(rt, g, TG_EXECUTOR_RESIDENT, keep_data);
}

static void execute(struct tg_run *run)
{
    struct tg_error err;
    const char *why;
    MUST(tg_run_execute(run, &err));
    if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
        fail_msg("not resident: %s", why);
    assert_null(why);
}

/* Data goes on from start to start, so that one replay that is wrong spoils all that follow. */
static void a_thousand_replays_are_as_many_sequential_runs(void **state)
{
    enum { N = 1000 };
    uint64_t n = ROUNDS(N);
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, true, (int)n);
    struct tgi_offload_graph_stats stats;
    (void)state;
    alarm(LIMIT_S);
    device_reset(1, 5, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, true);
    for (uint64_t i = 0; i < n; i++)
        execute(run);
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_clusters, 1);
    assert_int_equal(stats.n_resident, 18);
    assert_int_equal(stats.n_replayed, n);
    assert_in_range(stats.n_recorded, 1, 2);
    assert_int_equal(standin.standin_calls("cuGraphLaunch"), n);
    assert_int_equal(standin.standin_calls("cuLaunchKernel"), 0);
    device_expect(run, g, expected);
    device_close_all(run, rt, g);
    free(expected);
    alarm(0);
}

/* Kernels of all kinds; layers that read layers before, copies, fills, sums. */
static char *draw_tasks(struct dice *d, int n)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    for (int t = 0; t < n; t++) {
        uint32_t to = roll(d, 8), a = roll(d, 8), b = roll(d, 8);
        const char *comma = t ? ", " : "";
        switch (roll(d, 7)) {
        case 0:
            fprintf(f, "%s{'id': 't%d', 'fill': 'A[%u]', 'value': %u}", comma, t, to, roll(d, 1000));
            break;
        case 1:
            if (a == to)
                a = (to + 1) % 8;
            fprintf(f, "%s{'id': 't%d', 'copy': {'from': 'A[%u]', 'to': 'A[%u]'}}", comma, t, a, to);
            break;
        case 2:
            fprintf(f, "%s{'id': 't%d', 'kernel': 'add', 'args': {'id': %d, 'n': 40, 'acc': 'A[%u]'}}", comma, t, t, to);
            break;
        case 3:
            fprintf(f, "%s{'id': 't%d', 'kernel': 'hash', 'args': {'id': %d, 'n': 40, 'out': 'A[%u]'}}", comma, t, t, to);
            break;
        default:
            while (a == to)
                a = roll(d, 8);
            while (b == to)
                b = roll(d, 8);
            fprintf(f, "%s{'id': 't%d', 'kernel': 'mix', 'args': {'id': %d, 'n': %u, 'out': 'A[%u]', 'in0': 'A[%u]', 'in2': 'A[%u]'}}",
                    comma, t, t, 1 + roll(d, 40), to, a, b);
        }
    }
    fclose(f);
    return text;
}

static void random_graphs_equal_sequential_execution(void **state)
{
    uint64_t first = test_seed(1), n = ROUNDS(40);
    uint64_t n_resident = 0;
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        alarm(LIMIT_S);
        char *text = draw_tasks(&d, 5 + (int)roll(&d, 150));
        struct tg_graph *g = device_graph("'A': {'dtype': 'u64', 'shape': [40], 'tiles': [8], 'init': {'iota': true}}", "", text);
        int n_starts = 1 + (int)roll(&d, 5);
        bool keeps = roll(&d, 2);
        uint64_t *expected = device_expected(g, keeps, n_starts);
        struct tgi_offload_graph_stats stats;
        device_reset(1 + (int)roll(&d, 3), seed, roll(&d, 2));
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, keeps);
        for (int i = 0; i < n_starts; i++)
            execute(run);
        tgi_offload_graph_stats(run, &stats);
        n_resident += stats.n_resident;
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
        free(text);
    }
    alarm(0);
    assert_true(n_resident > n * 5);
}

/* Two clusters with a scan between them, which has no resident variant as its sums have an order. */
static void what_has_no_variant_is_a_node_between(void **state)
{
    static const char data[] = "'A': {'dtype': 'f64', 'shape': [16], 'tiles': [4], 'init': {'fill': 2}}, "
                               "'M': {'dtype': 'f64', 'shape': [4, 4], 'tiles': [1], 'init': {'fill': 0}}";
    static const char kernels[] = ", 'axpy': {'builtin': 'axpy'}, 'scan': {'builtin': 'scan'}";
    static const char work[] =
        "{'for': ['i in 0:4'], 'id': 'before[{i}]', 'kernel': 'scale', 'args': {'n': 16, 'a': 3, 'x': 'A[i]'}}, "
        "{'id': 'through', 'kernel': 'scan', 'args': {'n': 16, 'x': 'A[0]', 'y': 'M[0]'}}, "
        "{'for': ['i in 1:4'], 'id': 'after[{i}]', 'kernel': 'axpy', 'args': {'n': 16, 'a': 2, 'x': 'M[0]', 'y': 'A[i]'}}";
    struct tg_graph *g = device_graph(data, kernels, work);
    uint64_t *expected = device_expected(g, false, 1);
    struct tgi_offload_graph_stats stats;
    (void)state;
    device_reset(1, 2, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    for (int i = 0; i < 5; i++) {
        execute(run);
        device_expect(run, g, expected);
    }
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_clusters, 2);
    device_close_all(run, rt, g);
    free(expected);
}

static void what_cannot_be_resident_says_why(void **state)
{
    static const char more[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}}, "
                               "'F': {'dtype': 'f64', 'shape': [8], 'tiles': [1], 'init': {'fill': 0.5}}";
    static const struct {
        const char *tasks, *why;
        enum tg_executor executor;
    } cases[] = {
        {"{'for': ['i in 0:4'], 'id': 't[{i}]', 'kernel': 'commute', 'args': {'id': 1, 'n': 32, 'acc': 'A[i]'}}, "
         "{'id': 'host', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}",
         "task \"host\": it runs on a CPU", TG_EXECUTOR_STREAMS},
        {"{'id': 'alone', 'kernel': 'histogram', 'args': {'n': 8, 'bins': 4, 'lo': 0, 'hi': 1, 'x': 'F[0]', 'h': 'A[0]'}}",
         "task \"alone\": its kernel has no resident variant", TG_EXECUTOR_GRAPH},
        {"{'id': 'one', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}", "there are not two tasks", TG_EXECUTOR_GRAPH},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = device_graph(more, ", 'histogram': {'builtin': 'histogram'}", cases[i].tasks);
        uint64_t *expected = device_expected(g, false, 1);
        struct tg_error err;
        const char *why;
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        for (int k = 0; k < 3; k++) {
            MUST(tg_run_execute(run, &err));
            assert_int_equal(tg_run_executor(run, &why), cases[i].executor);
            assert_non_null(why);
            if (!strstr(why, cases[i].why))
                fail_msg("\"%s\" does not say \"%s\"", why, cases[i].why);
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, g);
        free(expected);
    }
}

/* Its tables may not fit beside the data: then it is as if it had not been asked for. */
static void without_room_for_tables_the_run_goes_to_streams(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_error err;
    const char *why;
    (void)state;
    for (int i = 0; i < 3; i++) {
        device_reset(1, (uint64_t)i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        standin.standin_fail("cuMemAlloc", 2, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE); /* the first is the data's */
        MUST(tg_run_execute(run, &err));
        assert_int_equal(standin.standin_fail_hits(), 1);
        assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
        assert_non_null(strstr(why, "has no room for"));
        device_expect(run, g, expected);
        execute(run); /* another time there may be */
        device_expect(run, g, expected);
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
}

/* ---- Left open ------------------------------------------------------------------------------*/

/* node_ns: what a machine file says of nodes; 0: there is none. */
static struct tg_run *open_guided(struct tg_runtime *rt, const struct tg_graph *g, double node_ns, bool keep_data)
{
    struct tgi_machine_class class = {.name = "cuda", .kind = TGI_DEVICE_CUDA, .node_ns = node_ns, .chain_ns = node_ns};
    struct tgi_machine m = {.classes = &class, .n_classes = 1};
    struct tgi_guide guide = {.machine = node_ns > 0 ? &m : NULL};
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.executor = TG_EXECUTOR_AUTO;
    options.n_starts_expected = 1000000;
    options.keep_data = keep_data;
    MUST(tgi_run_create_guided(rt, g, &options, &guide, &run, &err));
    return run;
}

static struct tg_run *open_auto(struct tg_runtime *rt, const struct tg_graph *g) { return open_guided(rt, g, 0, false); }

/* Starts until the first graph, whose executor and reason are told. */
static enum tg_executor first_graph(struct tg_run *run, const struct tg_graph *g, const uint64_t *expected, const char **why_p)
{
    struct tg_error err;
    for (int i = 0; i < 10; i++) {
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
        enum tg_executor executor = tg_run_executor(run, why_p);
        if (executor != TG_EXECUTOR_STREAMS)
            return executor;
    }
    return TG_EXECUTOR_STREAMS;
}

static void reset_roomy(void)
{
    const struct standin_options roomy = {1, 8 << 20, 5, true}; /* tables of so many tasks have their size */
    standin.standin_reset(&roomy);
}

static void expect_words(const char *why, const char *words)
{
    if (!why || !strstr(why, words))
        fail_msg("\"%s\" does not say \"%s\"", why ? why : "", words);
}

/* 400 tasks of a tile each, in two steps. */
static const char fine_buffers[] = "'A': {'dtype': 'u64', 'shape': [16], 'tiles': [400], 'init': {'iota': true}}";
static const char fine_tasks[] = "{'for': ['s in 0:2', 'i in 0:400'], 'id': 't[{s},{i}]', 'kernel': 'add', "
                                 "'args': {'id': 's*400+i', 'n': 16, 'acc': 'A[i]'}}";

/* Whatever is measured here afterwards: data are what they are in any case. */
static void fine_tasks_become_resident_where_it_is_left_open(void **state)
{
    struct tg_graph *g = device_graph(fine_buffers, "", fine_tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tgi_offload_graph_stats stats;
    const char *why;
    struct tg_error err;
    (void)state;
    reset_roomy();
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_auto(rt, g);
    if (first_graph(run, g, expected, &why) != TG_EXECUTOR_RESIDENT)
        fail_msg("%s", why);
    expect_words(why, "resident from start 3 on, as each saves up to ");
    expect_words(why, "; 800 tasks were expected to take ");
    expect_words(why, "(not all of them have been timed there), and 124.8 us or more as nodes");
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_clusters, 1);
    assert_int_equal(stats.n_resident, 800);
    for (int i = 0; i < 20; i++) {
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
    }
    tg_run_executor(run, &why);
    expect_words(why, " with resident kernels, ");
    device_close_all(run, rt, g);
    free(expected);
}

/* Its one command took what a thousand tasks take to plan; whoever goes by costs of commands would never make a graph again. */
static void resident_runs_say_nothing_about_nodes(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tgi_replay_costs costs;
    struct tg_error err;
    (void)state;
    device_reset(1, 5, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    for (int is_graph = 0; is_graph < 2; is_graph++) {
        struct tg_run *run = device_open_run(rt, g, is_graph ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_RESIDENT, false);
        for (int i = 0; i < 4; i++)
            MUST(tg_run_execute(run, &err));
        tg_run_destroy(run);
        tgi_replay_costs_read(rt->offload->history, rt->offload->devices->info[0].name, g->n_tasks, &costs);
        assert_true((costs.ns[TGI_REPLAY_RECORD] > 0) == is_graph);
        assert_true((costs.ns[TGI_REPLAY_INSTANTIATE] > 0) == is_graph);
        assert_true((costs.ns[TGI_REPLAY_LAUNCH] > 0) == is_graph);
    }
    device_close_all(NULL, rt, g);
}

/* By a machine on which nodes take nothing, no kernel gains. */
static void a_machine_file_says_what_nodes_take(void **state)
{
    struct tg_graph *g = device_graph(fine_buffers, "", fine_tasks);
    uint64_t *expected = device_expected(g, false, 1);
    const char *why;
    (void)state;
    reset_roomy();
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_guided(rt, g, 1, false);
    assert_int_equal(first_graph(run, g, expected, &why), TG_EXECUTOR_GRAPH);
    expect_words(why, "and 0.8 us or more as nodes");
    device_close_all(run, rt, g);
    free(expected);
}

/* Where nodes are said to be dear all clusters are taken at first; what is measured then sends starts from one way to another, with
 * data that go on or begin anew. */
static void random_graphs_that_change_their_way_equal_sequential_execution(void **state)
{
    uint64_t first = test_seed(1), n = ROUNDS(20), n_on[TG_EXECUTOR_RESIDENT + 1] = {0};
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        alarm(LIMIT_S);
        char *text = draw_tasks(&d, 20 + (int)roll(&d, 150));
        struct tg_graph *g = device_graph("'A': {'dtype': 'u64', 'shape': [40], 'tiles': [8], 'init': {'iota': true}}", "", text);
        int n_starts = 12 + (int)roll(&d, 4);
        bool keeps = roll(&d, 2);
        uint64_t *expected = device_expected(g, keeps, n_starts);
        struct tg_error err;
        device_reset(1 + (int)roll(&d, 3), seed, roll(&d, 2));
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_guided(rt, g, 1e6, keeps);
        for (int i = 0; i < n_starts; i++) {
            MUST(tg_run_execute(run, &err));
            n_on[tg_run_executor(run, NULL)]++;
        }
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
        free(text);
    }
    alarm(0);
    assert_true(n_on[TG_EXECUTOR_STREAMS] >= n && n_on[TG_EXECUTOR_RESIDENT] >= n);
}

/* Half a second is not worth it for a hundred starts; once a kernel is there, all that is left to decide is whether it gains. */
static void a_kernel_is_compiled_only_where_that_pays(void **state)
{
    struct tg_graph *g = device_graph(fine_buffers, "", fine_tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    const char *why;
    (void)state;
    reset_roomy();
    unsetenv("TGRAPH_RESIDENT_KERNEL");
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.executor = TG_EXECUTOR_AUTO;
    options.n_starts_expected = 100;
    for (int is_there = 0; is_there < 2; is_there++) {
        MUST(tg_run_create(rt, g, &options, &run, &err));
        assert_int_equal(first_graph(run, g, expected, &why), is_there ? TG_EXECUTOR_RESIDENT : TG_EXECUTOR_GRAPH);
        if (!is_there)
            expect_words(why, ", which saves too little for compiling their kernel in 650.00 ms");
        tg_run_destroy(run);
        run = open_run(rt, g, false);
        execute(run);
        tg_run_destroy(run);
        if (!is_there) { /* on disk as well */
            tg_runtime_destroy(rt);
            rt = device_runtime("cuda", 0);
        }
    }
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1);
    device_close_all(NULL, rt, g);
    free(expected);
}

/* A run that is recorded tells what bodies take, and later ones go by it. */
static void what_bodies_take_is_learnt_from_records(void **state)
{
    struct tg_graph *g = device_graph(fine_buffers, "", fine_tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    const char *why;
    (void)state;
    reset_roomy();
    struct tg_runtime *rt = device_runtime("cuda", 0);
    for (int is_resident = 0; is_resident < 2; is_resident++) {
        options.executor = is_resident ? TG_EXECUTOR_RESIDENT : TG_EXECUTOR_GRAPH;
        options.is_recorded = true;
        MUST(tg_run_create(rt, g, &options, &run, &err));
        MUST(tg_run_execute(run, &err));
        assert_int_equal(tg_run_executor(run, &why), options.executor);
        device_expect(run, g, expected);
        tg_run_destroy(run);
    }
    run = open_auto(rt, g);
    assert_int_not_equal(first_graph(run, g, expected, &why), TG_EXECUTOR_STREAMS);
    expect_words(why, "; 800 tasks ");
    assert_null(strstr(why, "have been timed"));
    device_close_all(run, rt, g);
    free(expected);
}

static void what_is_coarse_stays_a_graph_and_says_why(void **state)
{
    static const struct {
        int n;
        const char *why;
    } cases[] = {{10000, "; 12 tasks would take "}, {40000, "; no task is resident: task \"t[0,0]\": its kernel fills too much of the device for one warp"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char data[128], work[192];
        snprintf(data, sizeof data, "'M': {'dtype': 'f64', 'shape': [%d], 'tiles': [4], 'init': {'iota': true}}", cases[i].n);
        snprintf(work, sizeof work, "{'for': ['s in 0:3', 'i in 0:4'], 'id': 't[{s},{i}]', 'kernel': 'scale', "
                                    "'args': {'n': %d, 'a': 2, 'x': 'M[i]'}}", cases[i].n);
        struct tg_graph *g = device_graph(data, "", work);
        uint64_t *expected = device_expected(g, false, 1);
        const char *why;
        reset_roomy();
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_auto(rt, g);
        assert_int_equal(first_graph(run, g, expected, &why), TG_EXECUTOR_GRAPH);
        expect_words(why, cases[i].why);
        device_close_all(run, rt, g);
        free(expected);
    }
}

static void without_room_for_tables_a_run_that_may_choose_is_a_graph(void **state)
{
    struct tg_graph *g = device_graph(fine_buffers, "", fine_tasks);
    uint64_t *expected = device_expected(g, false, 1);
    const char *why;
    struct tg_error err;
    (void)state;
    reset_roomy();
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_auto(rt, g);
    for (int i = 0; i < 2; i++) {
        MUST(tg_run_execute(run, &err));
        assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
    }
    standin.standin_fail("cuMemAlloc", 1, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
    assert_int_equal(first_graph(run, g, expected, &why), TG_EXECUTOR_GRAPH);
    assert_int_equal(standin.standin_fail_hits(), 1);
    expect_words(why, "graph from start 3 on, as ");
    expect_words(why, "; no task is resident: cuda:0 has no room for the ");
    for (int i = 0; i < 5; i++) {
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
    }
    device_close_all(run, rt, g);
    free(expected);
}

/* ---- What goes wrong ------------------------------------------------------------------------*/

/* One worker spins for longer than another waits for it: the spinning task is named, and the next start is as ever. */
static void a_task_that_takes_too_long_is_named(void **state)
{
    static const char data[] = "'A': {'dtype': 'u8', 'shape': [8], 'tiles': [7], 'init': {'fill': 1}}";
    static const char kernels[] = ", 'spin': {'builtin': 'spin'}";
    static const char work[] = "{'for': ['i in 0:1000'], 'id': 'slow[{i}]', 'kernel': 'spin', "
                               "'args': {'us': 90, 'in0': 'A[0]', 'out0': 'A[0]', 'in_bytes0': 8, 'out_bytes0': 8}}, "
                               "{'for': ['i in 1:7'], 'id': 'next[{i}]', 'kernel': 'spin', "
                               "'args': {'us': 90, 'in0': 'A[0]', 'out0': 'A[i]', 'in_bytes0': 8, 'out_bytes0': 8}}";
    struct tg_graph *g = device_graph(data, kernels, work);
    struct tg_error err;
    (void)state;
    alarm(LIMIT_S);
    for (int i = 0; i < 2; i++) {
        const struct standin_options roomy = {1, 8 << 20, (uint64_t)i, true}; /* tables of 1,000 tasks have their size */
        standin.standin_reset(&roomy);
        setenv("TGRAPH_RESIDENT_LIMIT_MS", "10", 1);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        int rc = tg_run_execute(run, &err);
        unsetenv("TGRAPH_RESIDENT_LIMIT_MS");
        if (rc != TG_E_TASK_TIMEOUT)
            fail_msg("status %d: %s", rc, err.text);
        assert_true(strncmp(err.task, "slow[", 5) == 0 || strncmp(err.task, "next[", 5) == 0);
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    alarm(0);
}

/* Every call that brings a program to a device, failing once: that start fails with what the driver said, the next ones do not. */
static void a_driver_that_refuses_fails_one_start(void **state)
{
    static const char *const calls[] = {"cuModuleLoadData", "cuModuleGetFunction", "cuFuncGetAttribute", "cuFuncSetAttribute",
                                        "cuOccupancyMaxActiveBlocksPerMultiprocessor", "cuMemcpyHtoD", "cuMemsetD8Async",
                                        "cuGraphKernelNodeSetAttribute"};
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_error err;
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        standin.standin_fail(calls[i], 1, CUDA_ERROR_INVALID_VALUE, STANDIN_ONCE);
        assert_int_equal(tg_run_execute(run, &err), TG_E_DRIVER);
        assert_int_equal(standin.standin_fail_hits(), 1);
        assert_non_null(strstr(err.text, calls[i]));
        for (int k = 0; k < 3; k++)
            execute(run);
        device_expect(run, g, expected);
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
}

/* What was inside with it is left out or done, nothing hangs, and the next start fails in the same way. */
static void a_task_that_fails_is_named(void **state)
{
    static const char matrices[] = "'M': {'dtype': 'f64', 'shape': [4, 4], 'tiles': [8], 'init': {'fill': 0}}";
    static const char factors[] = "{'id': 'good', 'kernel': 'fill', 'args': {'n': 16, 'value': 1, 'x': 'M[7]'}}, "
                                  "{'for': ['i in 0:6'], 'id': 'factor[{i}]', 'kernel': 'potrf', 'args': {'n': 4, 'a': 'M[i]'}}, "
                                  "{'for': ['i in 0:6'], 'id': 'after[{i}]', 'kernel': 'scale', 'args': {'n': 16, 'a': 2, 'x': 'M[i]'}}";
    struct tg_graph *g = device_graph(matrices, ", 'potrf': {'builtin': 'potrf_lower'}, 'fill': {'builtin': 'fill'}", factors);
    struct tg_error err;
    (void)state;
    alarm(LIMIT_S);
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        assert_int_equal(strncmp(err.task, "factor[", 7), 0);
        assert_non_null(strstr(err.text, "pivot 1 of 4 is not positive: the matrix is not positive definite"));
        assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_RESIDENT);
    }
    device_close_all(run, rt, g);
    alarm(0);
}

/* The kernel is held back until the submitter has told it to stop: whatever it does then, the run ends as cancelled and the next
 * one is as ever. */
static void a_run_that_is_cancelled_ends_early(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    (void)state;
    alarm(LIMIT_S);
    for (uint64_t seed = 0; seed < 5; seed++) {
        device_reset(1, seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        execute(run);
        device_expect(run, g, expected);
        device_cancel_held(run, "tgk_resident_run", 2);
        for (int i = 0; i < 3; i++) {
            execute(run);
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_replays_are_as_many_sequential_runs),
        cmocka_unit_test(random_graphs_equal_sequential_execution),
        cmocka_unit_test(what_has_no_variant_is_a_node_between),
        cmocka_unit_test(what_cannot_be_resident_says_why),
        cmocka_unit_test(without_room_for_tables_the_run_goes_to_streams),
        cmocka_unit_test(fine_tasks_become_resident_where_it_is_left_open),
        cmocka_unit_test(resident_runs_say_nothing_about_nodes),
        cmocka_unit_test(a_machine_file_says_what_nodes_take),
        cmocka_unit_test(a_kernel_is_compiled_only_where_that_pays),
        cmocka_unit_test(random_graphs_that_change_their_way_equal_sequential_execution),
        cmocka_unit_test(what_bodies_take_is_learnt_from_records),
        cmocka_unit_test(what_is_coarse_stays_a_graph_and_says_why),
        cmocka_unit_test(without_room_for_tables_a_run_that_may_choose_is_a_graph),
        cmocka_unit_test(a_driver_that_refuses_fails_one_start),
        cmocka_unit_test(a_task_that_fails_is_named),
        cmocka_unit_test(a_run_that_is_cancelled_ends_early),
        cmocka_unit_test(a_task_that_takes_too_long_is_named),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
