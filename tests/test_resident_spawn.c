/* Dynamic programs in runs, on the stand-ins for driver and NVRTC: users' functions that make tasks, built-in bodies, the same data as task by
 * task, and what goes wrong told where it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <unistd.h>

#include "tests/device_resident.h"

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [512], 'tiles': [64], 'init': {'iota': true}}";

/* y[begin .. end) from x; `resident` is that variant, and what it does besides is up to the test. */
static struct tg_graph *graph_with(const char *resident, const char *work)
{
    char *kernels;
    int n = asprintf(&kernels,
                     ", 'stir': {'params': [{'name': 'begin', 'type': 'i32'}, {'name': 'end', 'type': 'i32'}, {'name': 'k', 'type': 'u64'}, "
                     "{'name': 'x', 'type': 'u64*', 'access': 'in'}, {'name': 'y', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
                     "{'on': 'cuda', 'code': ['extern \\\"C\\\" __global__ void stir(int begin, int end, unsigned long k, const unsigned long *x, "
                     "unsigned long *y)', '{', 'for (int i = begin + threadIdx.x; i < end; i += blockDim.x)', 'y[i] = y[i] * 31 + x[i] * k;', "
                     "'}'], 'grid': [1], 'block': [32]}, %s, "
                     "{'on': 'cpu', 'c': ['#include \\\"tgraph.h\\\"', 'int stir(void **a, const struct tg_context *c)', '{', "
                     "'unsigned long k = *(unsigned long *)a[2], *x = *(unsigned long **)a[3], *y = *(unsigned long **)a[4];', "
                     "'for (int i = *(int *)a[0]; i < *(int *)a[1]; i++) y[i] = y[i] * 31 + x[i] * k;', "
                     "'(void)c; return 0;', '}']}]}",
                     resident);
    assert_true(n > 0);
    struct tg_graph *g = device_graph(buffers, kernels, work);
    free(kernels);
    return g;
}

#define SPAWNS(first, last)                                                                                              \
    "{'on': 'resident', 'spawns': true, 'code': ["                                                                       \
    "'unsigned stir(int begin, int end, unsigned long k, const unsigned long *x, unsigned long *y)', '{', "              \
    "'int middle = (begin + end) / 2;', " first                                                                          \
    "'if (end - begin > 2 && tg_spawn(stir, begin, middle, k, x, y) == 0) {', "                                          \
    "'    if (tg_spawn(stir, middle, end, k, x, y) == 0)', '        return 0;', "                                        \
    "'    begin = middle;', '}', "                                                                                       \
    "'for (int i = begin + tg_lane(); i < end; i += TG_LANES)', '    y[i] = y[i] * 31 + x[i] * k;', " last               \
    "'return 0;', '}']}"

static const char tasks[] =
    "{'for': ['r in 0:4', 'i in 0:8'], 'id': 's[{r},{i}]', 'kernel': 'stir', "
    "'args': {'begin': 'i%3', 'end': '64-i', 'k': 'r*8+i+1', 'x': 'A[(i+3)%8]', 'y': 'A[i]'}}, "
    "{'for': ['i in 0:8'], 'id': 'm[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 64, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}";

static void expect(struct tg_graph *g, int n_starts, bool is_dynamic)
{
    struct tg_runtime *rt;
    struct tg_run *run = device_resident_begin(g, n_starts, 1 << 20, &rt);
    bool was_dynamic = strstr(device_cluster(run)->kernel, ", dynamic") != NULL;
    if (was_dynamic != is_dynamic)
        fail_msg("\"%s\" executes a %s program", device_cluster(run)->kernel, is_dynamic ? "dynamic" : "static");
    device_resident_end(run, rt, g, n_starts);
}

/* With room for what bodies make. */
static void reset(uint64_t seed)
{
    const struct standin_options o = {1, 16 << 20, seed, true};
    standin.standin_reset(&o);
}

static int setup(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_KERNEL", "", 1);
    unsetenv("TGRAPH_RESIDENT_PROGRAM");
    unsetenv("TGRAPH_RESIDENT_LIMIT_MS");
    reset(1);
    return 0;
}

/* ---- What comes of it ---------------------------------------------------------------------*/

static void functions_make_tasks_beside_built_in_ones(void **state)
{
    (void)state;
    struct tg_graph *g = graph_with(SPAWNS("", ""), tasks);
    expect(g, 10, true);
    tg_graph_destroy(g);
}

/* More than there is room for at once, most of which do nothing, from one task that is a cluster by itself. */
static void one_task_is_enough(void **state)
{
    static const char work[] = "{'id': 'all', 'kernel': 'stir', 'args': {'begin': 0, 'end': 64, 'k': 3, 'x': 'A[1]', 'y': 'A[0]'}}";
    static const char flat[] =
        "{'on': 'resident', 'spawns': true, 'code': ["
        "'unsigned stir(int begin, int end, unsigned long k, const unsigned long *x, unsigned long *y)', '{', "
        "'for (int i = begin; i < end; i++)', '    for (int n = 0; end - begin > 1 && n < 9; n++)', "
        "'        (void)tg_spawn(stir, i, i, 0, x, y);', "
        "'for (int i = begin; i < end; i++) {', '    int mine = i % TG_LANES == tg_lane();', "
        "'    if (end - begin == 1 || tg_spawn_each(mine, stir, i, i + 1, k, x, y))', "
        "'        if (mine) y[i] = y[i] * 31 + x[i] * k;', '}', 'return 0;', '}']}";
    (void)state;
    struct tg_graph *g = graph_with(flat, work);
    expect(g, 5, true);
    tg_graph_destroy(g);
}

/* Short ranges are called twice: what the first call leaves says so to the second. */
static void a_function_is_called_again(void **state)
{
    static const char work[] = "{'for': ['i in 0:8'], 'id': 's[{i}]', 'kernel': 'stir', "
                               "'args': {'begin': 0, 'end': 64, 'k': 'i+1', 'x': 'A[(i+3)%8]', 'y': 'A[i]'}}";
    (void)state;
    struct tg_graph *g = graph_with(SPAWNS("'int is_short = begin < end && end - begin <= 4, is_first = is_short && !(y[begin] >> 63);', "
                                           "'tg_lanes_sync();', 'if (is_short && tg_lane() == 0) y[begin] ^= 1ul << 63;', "
                                           "'tg_lanes_sync();', 'if (is_first) return TG_AGAIN;', ", ""), work);
    expect(g, 1, true);
    tg_graph_destroy(g);
}

static void any_cluster_can_be_dynamic(void **state)
{
    static const char work[] = "{'for': ['r in 0:6', 'i in 0:8'], 'id': 'm[{r},{i}]', 'kernel': 'mix', "
                               "'args': {'id': 'i', 'n': 64, 'out': 'A[i]', 'in0': 'A[(i+1+r)%8]'}}";
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", work);
    expect(g, 3, false);
    setenv("TGRAPH_RESIDENT_PROGRAM", "dynamic", 1);
    reset(2);
    expect(g, 8, true);
    tg_graph_destroy(g);
}

/* Then there is no room for any task. */
static void functions_that_make_tasks_can_be_in_static_programs(void **state)
{
    (void)state;
    struct tg_graph *g = graph_with(SPAWNS("", ""), tasks);
    setenv("TGRAPH_RESIDENT_PROGRAM", "static", 1);
    expect(g, 3, false);
    tg_graph_destroy(g);
}

/* ---- What goes wrong ------------------------------------------------------------------------*/

static void a_wish_that_is_none_is_refused(void **state)
{
    struct tg_error err;
    (void)state;
    struct tg_graph *g = graph_with(SPAWNS("", ""), tasks);
    struct tg_runtime *rt = device_runtime("cuda", 1 << 20);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    setenv("TGRAPH_RESIDENT_PROGRAM", "dynamics", 1);
    assert_int_not_equal(tg_run_execute(run, &err), 0);
    assert_non_null(strstr(err.text, "TGRAPH_RESIDENT_PROGRAM is \"dynamics\", and can be auto, static or dynamic"));
    device_close_all(run, rt, g);
}

/* Each start fails for the same, or is executed by streams and tells why. */
static void expect_failure(const char *resident, int status, const char *task, const char *text)
{
    struct tg_error err;
    struct tg_graph *g = graph_with(resident, tasks);
    struct tg_runtime *rt = device_runtime("cuda", 1 << 20);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tg_run_execute(run, &err), status);
        if (task)
            assert_string_equal(err.task, task);
        if (!strstr(err.text, text))
            fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    }
    device_close_all(run, rt, g);
}

static void a_task_that_was_made_fails_the_task_that_made_it(void **state)
{
    (void)state;
    expect_failure(SPAWNS("'if (k == 6 && begin > 40) return 5;', ", ""), TG_E_TASK_FAILED, "s[0,5]", "its resident function returned 5");
}

static void one_that_is_called_again_for_ever_is_named(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_LIMIT_MS", "200", 1);
    expect_failure(SPAWNS("'if (k == 6 && begin > 40) return TG_AGAIN;', ", ""), TG_E_TASK_TIMEOUT, NULL, "no task ended");
}

static void a_static_program_calls_nothing_again(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_PROGRAM", "static", 1);
    expect_failure(SPAWNS("'if (k == 6) return TG_AGAIN;', ", ""), TG_E_TASK_FAILED, "s[0,5]", "in dynamic programs only");
}

static void what_does_not_compile_is_told_where_it_is(void **state)
{
    static const char *const wrong[][2] = {
        {SPAWNS("'tg_spawn(stir, begin, end, k, x);', ", ""), "tg_spawn() needs as many arguments"},
        {SPAWNS("'tg_spawn(stir, begin, end, k, y, 7.5);', ", ""), "convert"},
        {SPAWNS("'tg_spawn(oops, begin);', ", ""), "oops"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tg_graph *g = graph_with(wrong[i][0], tasks);
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tg_run *run;
        struct tg_error err;
        reset(i);
        struct tg_runtime *rt = device_runtime("cuda", 1 << 20);
        options.executor = TG_EXECUTOR_RESIDENT;
        assert_int_equal(tg_run_create(rt, g, &options, &run, &err), TG_E_COMPILE);
        if (!strstr(err.text, wrong[i][1]) || !strstr(err.text, "kernel \"stir\""))
            fail_msg("\"%s\" does not say \"%s\"", err.text, wrong[i][1]);
        device_close_all(NULL, rt, g);
    }
}

/* The kernel is held back until it has been told to stop; the next starts begin anew. */
static void a_run_that_is_cancelled_ends_early(void **state)
{
    struct tg_error err;
    (void)state;
    struct tg_graph *g = graph_with(SPAWNS("", ""), tasks);
    uint64_t *expected = device_expected(g, false, 1);
    for (uint64_t seed = 0; seed < 3; seed++) {
        reset(seed);
        struct tg_runtime *rt = device_runtime("cuda", 1 << 20);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
        device_cancel_held(run, "tgk_resident_run_dynamic", 2);
        for (int i = 0; i < 3; i++) {
            MUST(tg_run_execute(run, &err));
            device_expect(run, g, expected);
        }
        device_close_all(run, rt, NULL);
    }
    tg_graph_destroy(g);
    free(expected);
}

/* By streams, where it can be. */
static void times_of_tasks_are_not_noted(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    const char *why;
    (void)state;
    struct tg_graph *g = graph_with(SPAWNS("", ""), tasks);
    struct tg_runtime *rt = device_runtime("cuda", 1 << 20);
    options.executor = TG_EXECUTOR_RESIDENT;
    options.is_recorded = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
    assert_non_null(strstr(why, "tasks of a dynamic resident program note no times"));
    device_close_all(run, rt, g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(functions_make_tasks_beside_built_in_ones, setup),
        cmocka_unit_test_setup(one_task_is_enough, setup),
        cmocka_unit_test_setup(a_function_is_called_again, setup),
        cmocka_unit_test_setup(any_cluster_can_be_dynamic, setup),
        cmocka_unit_test_setup(functions_that_make_tasks_can_be_in_static_programs, setup),
        cmocka_unit_test_setup(a_wish_that_is_none_is_refused, setup),
        cmocka_unit_test_setup(a_task_that_was_made_fails_the_task_that_made_it, setup),
        cmocka_unit_test_setup(one_that_is_called_again_for_ever_is_named, setup),
        cmocka_unit_test_setup(a_static_program_calls_nothing_again, setup),
        cmocka_unit_test_setup(what_does_not_compile_is_told_where_it_is, setup),
        cmocka_unit_test_setup(a_run_that_is_cancelled_ends_early, setup),
        cmocka_unit_test_setup(times_of_tasks_are_not_noted, setup),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
