/* Runs that are one graph a start: recorded seldom, replayed, changed in place, and what becomes of those that cannot be. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
/* before cmocka.h */
#include <cmocka.h>

#include "gpu/driver.h"
#include "gpu/flag.h"
#include "graph/error.h"
#include "sched/offload_graph.h"
#include "tests/device_run.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 120, N_STARTS = 20 };

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}";

static struct tg_run *open_run(struct tg_runtime *rt, const struct tg_graph *g, bool keep_data)
{
    return device_open_run(rt, g, TG_EXECUTOR_GRAPH, keep_data);
}

static void execute(struct tg_run *run)
{
    struct tg_error err;
    const char *why;
    MUST(tg_run_execute(run, &err));
    if (tg_run_executor(run, &why) != TG_EXECUTOR_GRAPH)
        fail_msg("no graph: %s", why);
}

static void a_run_settles_into_a_graph_or_two(void **state)
{
    (void)state;
    for (int n_devices = 1; n_devices <= 4; n_devices++)
        for (int keep_data = 0; keep_data < 2; keep_data++) {
            struct tg_graph *g = device_graph(buffers, "", tasks);
            uint64_t *expected = device_expected(g, keep_data, N_STARTS);
            struct tgi_offload_graph_stats stats;
            alarm(LIMIT_S);
            device_reset(n_devices, (uint64_t)n_devices, n_devices != 3);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = open_run(rt, g, keep_data);
            for (int i = 0; i < N_STARTS; i++)
                execute(run);
            tgi_offload_graph_stats(run, &stats);
            assert_int_equal(stats.n_replayed, N_STARTS);
            assert_in_range(stats.n_recorded, 1, 2);
            assert_int_equal(standin.standin_calls("cuGraphLaunch"), N_STARTS);
            assert_int_equal(standin.standin_calls("cuLaunchKernel"), 0);
            device_expect(run, g, expected);
            device_close_all(run, rt, g);
            free(expected);
        }
    alarm(0);
}

/* Whoever looks at a tile may write there, so the next start finds it on the host. */
static void results_that_are_looked_at_do_not_spoil_it(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected[N_STARTS];
    (void)state;
    for (int i = 0; i < N_STARTS; i++)
        expected[i] = device_expected(g, true, i + 1);
    device_reset(2, 7, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, true);
    struct tgi_offload_graph_stats stats;
    for (int i = 0; i < N_STARTS; i++) {
        execute(run);
        if (i % 3 == 1)
            device_expect(run, g, expected[i]);
    }
    tgi_offload_graph_stats(run, &stats);
    assert_in_range(stats.n_recorded, 2, 3);
    device_close_all(run, rt, g);
    for (int i = 0; i < N_STARTS; i++)
        free(expected[i]);
}

/* Starts that find results on the host and starts that do not take turns, which are two recordings or three. */
static void what_graphs_take_is_limited(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected[N_STARTS];
    (void)state;
    for (int i = 0; i < N_STARTS; i++)
        expected[i] = device_expected(g, true, i + 1);
    for (int is_limited = 0; is_limited < 2; is_limited++) {
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tgi_offload_graph_stats stats;
        struct tg_run *run;
        struct tg_error err;
        device_reset(2, 7, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        options.executor = TG_EXECUTOR_GRAPH;
        options.keep_data = true;
        options.graph_bytes = is_limited; /* one byte: the last one alone */
        MUST(tg_run_create(rt, g, &options, &run, &err));
        for (int i = 0; i < N_STARTS; i++) {
            execute(run);
            tgi_offload_graph_stats(run, &stats);
            assert_true(!is_limited || stats.n_kept == 1);
            if (i % 2)
                device_expect(run, g, expected[i]);
        }
        assert_int_equal(stats.n_dropped + stats.n_kept, stats.n_instantiated);
        assert_true(stats.kept_bytes > 1000 * stats.n_kept);
        if (is_limited)
            assert_in_range(stats.n_dropped, N_STARTS / 2, N_STARTS);
        else
            assert_int_equal(stats.n_dropped, 0);
        device_close_all(run, rt, NULL);
    }
    for (int i = 0; i < N_STARTS; i++)
        free(expected[i]);
    tg_graph_destroy(g);
}

/* The kept ones make room. */
static void memory_that_is_short_for_a_graph_is_taken_from_older_ones(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, true, 4);
    struct tgi_offload_graph_stats stats;
    (void)state;
    device_reset(2, 7, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, true);
    standin.standin_fail("cuGraphInstantiateWithParams", 2, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
    for (int i = 0; i < 4; i++)
        execute(run);
    assert_int_equal(standin.standin_fail_hits(), 1);
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_instantiated, 2);
    assert_int_equal(stats.n_kept, 1);
    device_expect(run, g, expected);
    device_close_all(run, rt, g);
    free(expected);
}

/* The copies of a graph change their addresses in place; where the driver refuses that, it is made anew. */
static void other_memory_is_bound_without_a_new_graph(void **state)
{
    uint64_t memory[2][6 * 32];
    (void)state;
    for (int i_case = 0; i_case < 4; i_case++) {
        bool is_refused = i_case % 2;
        char all[2048];
        snprintf(all, sizeof all, i_case < 2 ? "%s" : "%s, {'while': 'A[0]', 'max': 3, 'do': [{'kernel': 'mix', "
                 "'args': {'id': 99, 'n': 32, 'out': 'A[1]', 'in0': 'A[2]'}}]}", tasks); /* a device decides as well */
        struct tg_graph *g = device_graph(buffers, "", all);
        uint64_t *expected = device_expected(g, false, 1);
        struct tgi_offload_graph_stats stats;
        struct tg_error err;
        device_reset(i_case < 2 ? 2 : 1, 3, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        for (int i = 0; i < 2 * N_STARTS; i++) {
            uint64_t *at = memory[i % 4 / 2];
            for (uint64_t t = 0; t < 6; t++)
                for (uint64_t k = 0; k < 32; k++)
                    at[t * 32 + k] = t * 32 + k;
            MUST(tg_run_bind(run, 0, at, &err));
            if (is_refused && i == 2)
                standin.standin_fail("cuGraphExecMemcpyNodeSetParams", 2, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, STANDIN_ONCE);
            execute(run);
            assert_memory_equal(at, expected, sizeof memory[0]);
        }
        tgi_offload_graph_stats(run, &stats);
        assert_int_equal(stats.n_instantiated, 1 + is_refused);
        assert_int_equal(stats.n_updated, N_STARTS - 1 - is_refused);
        assert_int_equal(stats.n_recorded, N_STARTS);
        device_close_all(run, rt, g);
        free(expected);
    }
}

/* Whatever was recorded with it is not replayed, also where the driver refuses to change a graph and another one has to be made. */
static void memory_that_the_program_has_freed_is_left_alone(void **state)
{
    enum { BYTES = 6 * 32 * sizeof(uint64_t) };
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    (void)state;
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        struct tg_error err;
        device_reset(2, 3, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        for (int i = 0; i < 6; i++) {
            uint64_t *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            assert_true(at != MAP_FAILED);
            for (uint64_t k = 0; k < BYTES / sizeof *at; k++)
                at[k] = k;
            MUST(tg_run_bind(run, 0, at, &err));
            if (is_refused)
                standin.standin_fail("cuGraphExecMemcpyNodeSetParams", 1, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, STANDIN_ONCE);
            execute(run);
            assert_memory_equal(at, expected, BYTES);
            assert_int_equal(mprotect(at, BYTES, PROT_NONE), 0); /* and stays so: its address is nobody else's */
        }
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
}

static void count_pulls(void *user, const char *kernel, void **args)
{
    (void)args;
    *(uint32_t *)user += strcmp(kernel, TGI_PUSH_KERNEL) == 0;
}

/* Kernels copy the six small tiles from memory that is pinned, the driver does from any other, for which the graph is made anew. */
static void small_copies_are_kernels_where_memory_is_pinned(void **state)
{
    (void)state;
    for (int is_on = 0; is_on < 2; is_on++) {
        struct tg_graph *g = device_graph(buffers, "", tasks);
        uint64_t *expected = device_expected(g, false, 1), pageable[6 * 32];
        struct tgi_offload_graph_stats stats;
        struct tg_error err;
        uint32_t n_pulls = 0;
        void *pinned;
        if (!is_on)
            setenv("TGRAPH_PULL", "off", 1);
        device_reset(1, 3, true);
        standin.standin_watch_kernels(count_pulls, &n_pulls);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tgi_devices *ds = rt->offload->devices;
        struct tg_run *run = open_run(rt, g, false);
        MUST(ds->ops->attach(ds, &err));
        MUST(ds->ops->host_alloc(ds, sizeof pageable, &pinned, &err));
        ds->ops->detach(ds);
        for (uint32_t i = 0; i < 2 * N_STARTS; i++) {
            uint64_t *at = i < N_STARTS ? pinned : pageable;
            for (uint64_t k = 0; k < 6 * 32; k++)
                at[k] = k;
            MUST(tg_run_bind(run, 0, at, &err));
            execute(run);
            assert_memory_equal(at, expected, sizeof pageable);
            assert_int_equal(n_pulls, !is_on ? 0 : i < N_STARTS ? 6 * (i + 1) : 6 * N_STARTS);
        }
        tgi_offload_graph_stats(run, &stats);
        assert_int_equal(stats.n_instantiated, 1 + is_on);
        assert_int_equal(stats.n_updated, !is_on);
        tg_run_destroy(run);
        MUST(ds->ops->attach(ds, &err));
        ds->ops->host_free(ds, pinned);
        ds->ops->detach(ds);
        device_close_all(NULL, rt, g);
        unsetenv("TGRAPH_PULL");
        free(expected);
    }
}

static void what_cannot_be_recorded_says_why(void **state)
{
    static const struct {
        const char *tasks, *why;
        uint64_t bytes;
    } cases[] = {
        {"{'id': 'host', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
         "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}", "task \"host\": it runs on a CPU", 0},
        {"{'repeat': 3, 'do': [{'id': 'inside', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}]}, "
         "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]'}}", "task \"inside\": it runs on a CPU", 0},
        {"{'if': 'A[5]', 'then': [{'on': 'cuda:0', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}], "
         "'else': [{'id': 'other', 'on': 'cuda:1', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[1]'}}]}",
         "task \"other\": it is on another device", 0},
        {"{'repeat': 20001, 'do': [{'on': 'cuda:0', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
         "{'id': 'far', 'on': 'cuda:1', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[1]'}}]}", "task \"far\": it is on another device", 0},
        {tasks, "memory is too short", 3 * 256},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = device_graph(buffers, "", cases[i].tasks);
        uint64_t *expected = device_expected(g, false, 1);
        struct tg_error err;
        const char *why;
        device_reset(2, i, true);
        struct tg_runtime *rt = device_runtime("cuda", cases[i].bytes);
        struct tg_run *run = open_run(rt, g, false);
        for (int k = 0; k < 3; k++) {
            MUST(tg_run_execute(run, &err));
            assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
            assert_non_null(why);
            if (!strstr(why, cases[i].why))
                fail_msg("\"%s\" does not say \"%s\"", why, cases[i].why);
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, g);
        free(expected);
    }
}

/* ---- Rounds -------------------------------------------------------------------------------*/

#define SCALARS ", 'x': {'dtype': 'f64', 'shape': [1], 'init': {'fill': 100}}, 'go': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}, " \
                "'odd': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}, 'never': {'dtype': 'i32', 'shape': [1], 'init': 'zero'}, " \
                "'N': {'dtype': 'u64', 'shape': [32], 'tiles': [2], 'init': 'none'}"
#define MIX(id, out, in) "{'kernel': 'mix', 'args': {'id': " #id ", 'n': 32, 'out': '" out "', 'in0': '" in "'}}"
#define HALVE            "{'kernel': 'scale', 'args': {'n': 1, 'a': 0.5, 'x': 'x'}}"
#define TEST(limit, go)  "{'kernel': 'is_above', 'args': {'x': 'x', 'limit': " #limit ", 'go': '" go "'}}"

static const struct rounds {
    const char *name, *tasks;
    int n_devices;
    uint64_t n_conditions; /* of its graph */
} rounds[] = {
    {"written out on two devices", "{'repeat': 5, 'do': [" MIX(1, "A[0]", "A[1]") ", " MIX(2, "A[1]", "A[0]") ", " MIX(3, "A[2]", "A[3]") "]}, "
     MIX(4, "A[4]", "A[2]"), 2, 0},
    {"written out, one in the other", "{'repeat': 3, 'do': [" MIX(1, "A[0]", "A[1]") ", {'repeat': 4, 'do': [" MIX(2, "A[1]", "A[0]") "]}, "
     "{'repeat': 0, 'do': [" MIX(3, "A[1]", "A[0]") "]}, {'barrier': true}, " MIX(4, "A[2]", "A[1]") "]}", 2, 0},
    {"too many to be written out", "{'repeat': 10001, 'do': [" MIX(1, "A[0]", "A[1]") ", " MIX(2, "A[1]", "A[0]") "]}, " MIX(3, "A[2]", "A[1]"), 1, 1},
    {"while", "{'while': 'go', 'max': 1000, 'do': [" MIX(1, "A[0]", "A[1]") ", " MIX(2, "A[1]", "A[2]") ", " HALVE ", " TEST(1, "go") "]}, "
     MIX(3, "A[3]", "A[0]"), 1, 1},
    {"while, but not for ever", "{'while': 'go', 'max': 5, 'do': [" MIX(1, "A[0]", "A[1]") "]}, " MIX(3, "A[3]", "A[0]"), 1, 1},
    {"never, and what nobody has written", "{'while': 'never', 'max': 5, 'do': [{'kernel': 'hash', 'args': {'id': 1, 'n': 32, 'out': 'N[0]'}}, "
     MIX(2, "A[0]", "N[0]") "]}, " MIX(3, "A[3]", "A[0]"), 1, 1},
    {"if and else", "{'while': 'go', 'max': 1000, 'do': [" TEST(10, "odd") ", {'if': 'odd', 'then': [" MIX(1, "A[0]", "A[1]") "], 'else': ["
     MIX(2, "A[1]", "A[0]") ", {'fill': 'A[5]', 'value': 7}]}, {'if': 'never', 'then': [" MIX(3, "A[0]", "A[1]") "]}, "
     "{'repeat': 2, 'do': [" MIX(4, "A[3]", "A[0]") "]}, {'copy': {'from': 'A[3]', 'to': 'A[4]'}}, " HALVE ", " TEST(1, "go") "]}, "
     MIX(5, "A[5]", "A[4]"), 1, 4},
    {"two at a time", "{'if': 'go', 'then': [" MIX(1, "A[0]", "A[0]") "]}, {'if': 'odd', 'then': [" MIX(2, "A[1]", "A[1]") "]}, "
     MIX(3, "A[2]", "A[0]") ", " MIX(4, "A[0]", "A[1]"), 1, 2},
    {"on a device each", "{'if': 'go', 'then': [" MIX(1, "A[0]", "A[0]") "]}, {'if': 'odd', 'then': [" MIX(2, "A[1]", "A[1]") "]}, "
     MIX(3, "A[2]", "A[1]") ", " MIX(4, "A[0]", "A[1]"), 2, 2},
};

/* However often a device has decided for them. */
static void expect_counts_of_streams(struct tg_runtime *rt, const struct tg_graph *g, const struct tg_run *run)
{
    struct tg_run *streams;
    struct tg_error err;
    MUST(tg_run_create(rt, g, NULL, &streams, &err));
    MUST(tg_run_execute(streams, &err));
    for (uint32_t d = 0; d < 2; d++)
        assert_int_equal(run->offload->n_device_tasks[d], streams->offload->n_device_tasks[d]);
    tg_run_destroy(streams);
}

static void rounds_are_part_of_the_graph(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++)
        for (uint64_t seed = 1; seed <= (i == 2 ? 2 : 12); seed++) {
            bool keeps = seed % 3 == 0;
            char text[2048];
            snprintf(text, sizeof text, "%s%s", buffers, SCALARS);
            struct tg_graph *g = device_graph(text, "", rounds[i].tasks);
            uint64_t *expected[4];
            for (int k = 0; k < 4; k++)
                expected[k] = device_expected(g, keeps, k + 1);
            alarm(LIMIT_S);
            device_reset(rounds[i].n_devices, seed, seed % 2 == 0);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = open_run(rt, g, keeps);
            for (int k = 0; k < 4; k++) {
                uint64_t before = standin.standin_calls("cuGraphInstantiateWithParams");
                execute(run);
                if (k == 0)
                    assert_int_equal(standin.standin_calls("cuGraphConditionalHandleCreate"), rounds[i].n_conditions);
                assert_true(k < 3 || standin.standin_calls("cuGraphInstantiateWithParams") == before);
                if (seed % 4 == 0 || k == 3)
                    device_expect_most(run, g, expected[k], 2 * 32); /* N */
            }
            if (seed <= 2 && !keeps)
                expect_counts_of_streams(rt, g, run);
            device_close_all(run, rt, g);
            for (int k = 0; k < 4; k++)
                free(expected[k]);
        }
    alarm(0);
}

/* To the program's own memory what a body writes goes when the run ends, not round by round. */
static void what_rounds_leave_goes_home_once(void **state)
{
    static const char repeat[] = "{'repeat': 5, 'do': [{'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]', 'in0': 'A[1]'}}]}";
    (void)state;
    for (int is_graph = 0; is_graph < 2; is_graph++) {
        struct tg_graph *g = device_graph(buffers, "", repeat);
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct standin_stats stats;
        struct tg_error err;
        struct tg_run *run;
        uint64_t memory[6 * 32] = {0};
        device_reset(1, 3, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        options.executor = is_graph ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS;
        MUST(tg_run_create(rt, g, &options, &run, &err));
        MUST(tg_run_bind(run, 0, memory, &err));
        MUST(tg_run_execute(run, &err));
        standin.standin_stats(&stats);
        assert_in_range(stats.d2h_bytes, sizeof memory / 6, 2 * (sizeof memory / 6) - 1); /* and the record of faults */
        device_close_all(run, rt, g);
    }
}

/* But for their code, of which each run has its own. */
static void expect_same_commands(const struct tgi_program *a, const struct tgi_program *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_deps, b->n_deps);
    assert_memory_equal(a->deps, b->deps, a->n_deps * sizeof *a->deps);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct tgi_command *x = &a->commands[i], *y = &b->commands[i];
        assert_int_equal(x->kind, y->kind);
        assert_int_equal(x->lane, y->lane);
        assert_int_equal(x->owner, y->owner);
        assert_int_equal(x->n_deps, y->n_deps);
    }
}

/* It is found without a kernel, a copy or a graph of the driver's. */
static void a_preview_is_what_is_replayed(void **state)
{
    (void)state;
    for (int n_devices = 1; n_devices <= 3; n_devices++) {
        struct tg_graph *g = device_graph(buffers, "", tasks);
        struct tgi_offload_preview preview;
        struct tg_error err;
        device_reset(n_devices, 5, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *other = open_run(rt, g, false), *run = open_run(rt, g, false);
        MUST(tgi_offload_preview(other, &preview, &err));
        assert_int_equal(standin.standin_calls("cuLaunchKernel") + standin.standin_calls("cuGraphCreate") +
                             standin.standin_calls("cuMemcpyHtoDAsync_v2"), 0);
        for (uint32_t i = 0; i < preview.recorded.program.n; i++)
            assert_int_equal(preview.tile[i] != TG_NONE, preview.recorded.program.commands[i].kind == TGI_COMMAND_COPY);
        for (int i = 0; i < 4; i++)
            execute(run);
        expect_same_commands(&preview.recorded.program, tgi_offload_graph_program(run));
        tgi_offload_preview_fini(&preview);
        tg_run_destroy(other);
        device_close_all(run, rt, g);
    }
}

/* The n-th copy from the host comes after the one before it, or, of those that kernels do, after the one before that; in the order in which tasks ask. */
static void what_is_sent_keeps_its_order(void **state)
{
    enum { N = 5 };
    (void)state;
    for (int is_large = 0; is_large < 2; is_large++) {
        char data[128], text[256];
        uint64_t n_elems = TGI_PULL_BYTES / 8 + (uint64_t)is_large;
        snprintf(data, sizeof data, "'A': {'dtype': 'u64', 'shape': [%" PRIu64 "], 'tiles': [%d], 'init': {'iota': true}}", n_elems, N);
        snprintf(text, sizeof text, "{'for': ['i in 0:%d'], 'kernel': 'mix', 'args': {'id': 'i', 'n': %" PRIu64 ", 'out': 'A[i]', 'in0': 'A[i]'}, "
                                    "'priority': '%d-i'}", N, n_elems, N);
        struct tg_graph *g = device_graph(data, "", text);
        struct tgi_offload_preview preview;
        struct tg_error err;
        uint32_t last[2] = {TG_NONE, TG_NONE}, n = 0;
        device_reset(1, 5, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        MUST(tgi_offload_preview(run, &preview, &err));
        const struct tgi_program *p = &preview.recorded.program;
        for (uint32_t i = 0; i < p->n; i++) {
            const struct tgi_command *c = &p->commands[i];
            if (c->kind != TGI_COMMAND_COPY || c->copy.from_node != TGI_HOST_NODE)
                continue;
            uint32_t before = last[is_large ? 0 : n % 2];
            assert_int_equal(preview.tile[i], n);
            assert_int_equal(c->n_deps, before != TG_NONE);
            if (before != TG_NONE)
                assert_int_equal(p->deps[c->first_dep], before);
            last[is_large ? 0 : n % 2] = i;
            n++;
        }
        assert_int_equal(n, N);
        tgi_offload_preview_fini(&preview);
        device_close_all(run, rt, g);
    }
}

static void a_preview_of_what_is_no_graph_says_why(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tgi_offload_preview preview;
    struct tg_error err;
    (void)state;
    device_reset(1, 5, true);
    struct tg_runtime *rt = device_runtime("cuda", 3 * 256);
    struct tg_run *run = open_run(rt, g, false);
    assert_int_equal(tgi_offload_preview(run, &preview, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "it cannot be a graph: memory is too short for all of the run at once");
    device_close_all(run, rt, g);
}

static struct tg_run *open_auto(struct tg_runtime *rt, const struct tg_graph *g, uint64_t n_starts)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.executor = TG_EXECUTOR_AUTO;
    options.n_starts_expected = n_starts;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_STREAMS);
    return run;
}

/* The policy has its own test; here: it is asked, told what happened, and what it says is done. */
static void the_executor_is_chosen_by_the_number_of_starts(void **state)
{
    (void)state;
    for (int is_many = 0; is_many < 2; is_many++) {
        struct tg_graph *g = device_graph(buffers, "", tasks);
        uint64_t *expected = device_expected(g, false, 1);
        struct tgi_offload_graph_stats stats;
        struct tg_error err;
        const char *why;
        device_reset(2, 3, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_auto(rt, g, is_many ? 1000000 : 1);
        for (int i = 0; i < N_STARTS; i++) {
            MUST(tg_run_execute(run, &err));
            bool is_graph = tg_run_executor(run, &why) == TG_EXECUTOR_GRAPH;
            if (!is_many || i < 5) /* after that it is measured which of them is faster here */
                assert_int_equal(is_graph, is_many && i >= 2);
            assert_int_equal(strncmp(why, is_graph ? "graph" : "streams", is_graph ? 5 : 7), 0);
            device_expect(run, g, expected);
        }
        assert_int_equal(strcmp(why, "streams, as one start was asked for") == 0, !is_many);
        tgi_offload_graph_stats(run, &stats);
        assert_int_equal(stats.n_recorded > 0, is_many);
        device_close_all(run, rt, g);
        free(expected);
    }
}

static void a_choice_that_is_none_says_why(void **state)
{
    static const char on_cpu[] = "{'id': 'host', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
                                 "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}";
    struct tg_graph *g = device_graph(buffers, "", on_cpu);
    struct tg_error err;
    const char *why;
    (void)state;
    device_reset(1, 3, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_auto(rt, g, 1000000);
    for (int i = 0; i < 5; i++) {
        MUST(tg_run_execute(run, &err));
        assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
        assert_string_equal(why, "streams, as it cannot be a graph: task \"host\": it runs on a CPU");
    }
    device_close_all(run, rt, g);
}

/* ---- Failures -----------------------------------------------------------------------------*/

/* The first kernel is refused when all that is sent from the host is there already: a copy for each tile. */
static void what_is_sent_first_is_added_first(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tg_error err;
    alarm(LIMIT_S);
    setenv("TGRAPH_PULL", "off", 1);
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    standin.standin_fail("cuGraphAddKernelNode", 1, CUDA_ERROR_INVALID_VALUE, STANDIN_ONCE);
    assert_int_not_equal(tg_run_execute(run, &err), 0);
    assert_int_equal(standin.standin_calls("cuGraphAddMemcpyNode"), 6);
    device_close_all(run, rt, g);
    unsetenv("TGRAPH_PULL");
    alarm(0);
}

static void a_graph_that_cannot_be_made_fails_one_start(void **state)
{
    static const struct {
        const char *call;
        int code, status;
        bool names_task;
    } cases[] = {
        {"cuGraphInstantiateWithParams", CUDA_ERROR_OUT_OF_MEMORY, TG_E_NO_MEMORY, false},
        {"cuGraphLaunch", CUDA_ERROR_OUT_OF_MEMORY, TG_E_NO_MEMORY, false},
        {"cuGraphAddKernelNode", CUDA_ERROR_INVALID_VALUE, TG_E_DRIVER, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{'id': 'wide', 'fill': 'A[2]', 'value': 77}, %s", tasks); /* 8 bytes: it is captured */
        struct tg_graph *g = device_graph(buffers, "", text);
        uint64_t *expected = device_expected(g, false, 1);
        struct tg_error err;
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        standin.standin_fail(cases[i].call, 1, cases[i].code, STANDIN_ONCE);
        assert_int_equal(tg_run_execute(run, &err), cases[i].status);
        assert_int_equal(standin.standin_fail_hits(), 1);
        assert_true(strstr(err.text, cases[i].call) != NULL);
        assert_int_equal(err.task[0] != '\0', cases[i].names_task);
        for (int k = 0; k < 3; k++)
            execute(run);
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
    }
}

/* Also inside of bodies, whether the node cannot be added or the graph be made of it. */
static void a_node_that_is_refused_names_its_task(void **state)
{
    static const char loop[] = "{'id': 'before', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
                               "{'id': 'loop', 'while': 'go', 'max': 3, 'do': [{'id': 'choice', 'if': 'odd', 'then': ["
                               "{'id': 'inside', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}]}]}";
    static const struct {
        const char *call;
        uint64_t nth;
        const char *task;
    } cases[] = {
        {"cuGraphInstantiateWithParams", 1, "inside"}, {"cuGraphAddKernelNode", 1, "before"}, {"cuGraphAddKernelNode", 2, "loop"},
        {"cuGraphAddKernelNode", 3, "choice"}, {"cuGraphAddKernelNode", 4, "inside"}, {"cuGraphAddKernelNode", 5, "loop"},
        {"cuGraphAddNode", 1, "loop"}, {"cuGraphAddNode", 2, "choice"}, {"cuGraphConditionalHandleCreate", 2, "choice"},
    };
    char text[2048];
    (void)state;
    setenv("TGRAPH_PULL", "off", 1); /* so that no kernel comes before the first task's */
    snprintf(text, sizeof text, "%s%s", buffers, SCALARS);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = device_graph(text, "", loop);
        uint64_t *expected = device_expected(g, false, 1);
        struct tg_error err;
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        standin.standin_fail(cases[i].call, cases[i].nth, CUDA_ERROR_INVALID_VALUE, STANDIN_ONCE);
        assert_int_equal(tg_run_execute(run, &err), TG_E_DRIVER);
        assert_string_equal(err.task, cases[i].task);
        execute(run);
        device_expect_most(run, g, expected, 2 * 32);
        device_close_all(run, rt, g);
        free(expected);
    }
    unsetenv("TGRAPH_PULL");
}

/* A library that is not ready, say: the start goes to streams, and the next one is a graph. */
static void what_spoils_a_capture_is_tried_once_more(void **state)
{
    static const struct {
        const char *call;
        int code;
    } cases[] = {{"cuStreamEndCapture", CUDA_ERROR_STREAM_CAPTURE_INVALIDATED}, {"cuMemsetD32Async", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{'id': 'wide', 'fill': 'A[2]', 'value': 77}, %s", tasks);
        struct tg_graph *g = device_graph(buffers, "", text);
        uint64_t *expected = device_expected(g, false, 1);
        struct tg_error err;
        const char *why;
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, false);
        for (size_t k = 0; k <= i / 2; k++) { /* the second time for good */
            standin.standin_fail(cases[i % 2].call, 1, cases[i % 2].code, STANDIN_ONCE);
            MUST(tg_run_execute(run, &err));
            assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
            assert_true(strstr(why, "task \"wide\": it cannot be captured") != NULL);
            assert_true(strstr(why, cases[i % 2].call) != NULL);
            device_expect(run, g, expected);
        }
        for (int k = 0; k < 3; k++) {
            MUST(tg_run_execute(run, &err));
            assert_int_equal(tg_run_executor(run, &why), i < 2 ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS);
            assert_int_equal(why != NULL, i >= 2);
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, g);
        free(expected);
    }
}

static void a_kernel_that_fails_names_its_task(void **state)
{
    static const char matrices[] = "'M': {'dtype': 'f64', 'shape': [4, 4], 'tiles': [3], 'init': {'fill': 0}}";
    static const char factors[] = "{'for': ['i in 0:3'], 'id': 'factor[{i}]', 'kernel': 'potrf', 'args': {'n': 4, 'a': 'M[i]'}}";
    struct tg_graph *g = device_graph(matrices, ", 'potrf': {'builtin': 'potrf_lower'}", factors);
    struct tg_error err;
    (void)state;
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        assert_int_equal(strncmp(err.task, "factor[", 7), 0);
        assert_true(strstr(err.text, "not positive definite") != NULL);
    }
    device_close_all(run, rt, g);
}

/* ---- Together -----------------------------------------------------------------------------*/

static void graphs_and_streams_share_devices(void **state)
{
    enum { N_RUNS = 4 };
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1), n = ROUNDS(60), first = test_seed(1);
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        struct tg_run *runs[N_RUNS];
        struct tg_error err;
        alarm(LIMIT_S);
        device_reset(1 + (int)roll(&d, 3), seed, roll(&d, 3) != 0);
        /* At times too little for all of them at once. */
        struct tg_runtime *rt = device_runtime("cuda", roll(&d, 2) ? 0 : 256 * (3 * N_RUNS * 2 + roll(&d, 20)));
        for (int i = 0; i < N_RUNS; i++) {
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            options.executor = i % 2 ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS;
            MUST(tg_run_create(rt, g, &options, &runs[i], &err));
        }
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < N_RUNS; i++)
                MUST(tg_run_start(runs[i], &err));
            for (int i = 0; i < N_RUNS; i++) {
                MUST(tg_run_wait(runs[i], &err));
                if (roll(&d, 2))
                    device_expect(runs[i], g, expected);
            }
        }
        for (int i = 1; i < N_RUNS; i++)
            tg_run_destroy(runs[i]);
        device_close_all(runs[0], rt, NULL);
    }
    alarm(0);
    tg_graph_destroy(g);
    free(expected);
}

/* As if nobody else knew: the stream waits for the graph, and its graph for what the stream has written. */
static void a_graph_comes_after_a_stream_and_before_it(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1), have[32], input[32];
    struct tg_error err;
    const struct tgi_cuda_api *api;
    CUcontext ctx;
    CUstream stream;
    uint64_t address;
    (void)state;
    device_reset(1, 5, true);
    for (uint64_t i = 0; i < 32; i++)
        input[i] = i; /* what A[0] has at first */
    MUST(tgi_cuda_retain(&api, &err));
    assert_int_equal(api->cuDevicePrimaryCtxRetain(&ctx, 0), 0);
    assert_int_equal(api->cuCtxSetCurrent(ctx), 0);
    assert_int_equal(api->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), 0);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, false);
    for (int i = 0; i < 6; i++) {
        if (i) { /* once it has memory there */
            MUST(tg_run_device_tile(run, 0, 0, 0, TG_OUT, stream, &address, &err));
            assert_int_equal(api->cuMemcpyHtoDAsync(address, input, sizeof input, stream), 0);
        }
        MUST(tg_run_start_on(run, 0, stream, &err));
        MUST(tg_run_wait_on(run, 0, stream, &err));
        MUST(tg_run_device_tile(run, 0, 3, 0, TG_IN, stream, &address, &err));
        assert_int_equal(api->cuMemcpyDtoHAsync(have, address, sizeof have, stream), 0);
        assert_int_equal(api->cuStreamSynchronize(stream), 0);
        MUST(tg_run_wait(run, &err));
        assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_GRAPH);
        assert_memory_equal(have, expected + 3 * 32, sizeof have);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    api->cuStreamDestroy(stream);
    api->cuDevicePrimaryCtxRelease(0);
    tgi_cuda_release();
    device_close_all(NULL, NULL, g);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(a_run_settles_into_a_graph_or_two),
        cmocka_unit_test(results_that_are_looked_at_do_not_spoil_it),
        cmocka_unit_test(what_graphs_take_is_limited),
        cmocka_unit_test(memory_that_is_short_for_a_graph_is_taken_from_older_ones),
        cmocka_unit_test(other_memory_is_bound_without_a_new_graph),
        cmocka_unit_test(memory_that_the_program_has_freed_is_left_alone),
        cmocka_unit_test(what_is_sent_keeps_its_order),
        cmocka_unit_test(small_copies_are_kernels_where_memory_is_pinned),
        cmocka_unit_test(what_cannot_be_recorded_says_why),
        cmocka_unit_test(rounds_are_part_of_the_graph),
        cmocka_unit_test(what_rounds_leave_goes_home_once),
        cmocka_unit_test(a_preview_is_what_is_replayed),
        cmocka_unit_test(a_preview_of_what_is_no_graph_says_why),
        cmocka_unit_test(the_executor_is_chosen_by_the_number_of_starts),
        cmocka_unit_test(a_choice_that_is_none_says_why),
        cmocka_unit_test(what_is_sent_first_is_added_first),
        cmocka_unit_test(a_graph_that_cannot_be_made_fails_one_start),
        cmocka_unit_test(a_node_that_is_refused_names_its_task),
        cmocka_unit_test(what_spoils_a_capture_is_tried_once_more),
        cmocka_unit_test(a_kernel_that_fails_names_its_task),
        cmocka_unit_test(graphs_and_streams_share_devices),
        cmocka_unit_test(a_graph_comes_after_a_stream_and_before_it),
    };
    return cmocka_run_group_tests(all, device_group_load, device_group_unload);
}
