/* Resident kernels that are generated for what a cluster uses, and users' functions in them, on the stand-ins for driver and NVRTC:
 * the same data as task by task, and what goes wrong told where it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "tests/device_resident.h"

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [8], 'init': {'iota': true}}";
/* The same work three times; what the resident function does else is up to the test. */
static char *kernel_text(const char *resident)
{
    char *text;
    int n = asprintf(&text,
                     ", 'stir': {'params': [{'name': 'n', 'type': 'i32'}, {'name': 'k', 'type': 'u64'}, {'name': 's', 'type': 'f32'}, "
                     "{'name': 'x', 'type': 'u64*', 'access': 'in'}, {'name': 'y', 'type': 'u64*', 'access': 'inout'}], "
                     "'cost': {'bytes': '24*n'}, 'variants': ["
                     "{'on': 'cuda', 'code': ['extern \\\"C\\\" __global__ void stir(int n, unsigned long k, float s, const unsigned long *x, "
                     "unsigned long *y)', '{', 'for (int i = threadIdx.x; i < n; i += blockDim.x)', "
                     "'y[i] = y[i] * 31 + x[i] * k + (unsigned long)s;', '}'], 'grid': [1], 'block': [32]}, %s, "
                     "{'on': 'cpu', 'c': ['#include \\\"tgraph.h\\\"', 'int stir(void **a, const struct tg_context *c)', '{', "
                     "'unsigned long k = *(unsigned long *)a[1], *x = *(unsigned long **)a[3], *y = *(unsigned long **)a[4];', "
                     "'float s = *(float *)a[2];', "
                     "'for (int i = 0; i < *(int *)a[0]; i++) y[i] = y[i] * 31 + x[i] * k + (unsigned long)s;', "
                     "'(void)c; return 0;', '}']}]}",
                     resident);
    assert_true(n > 0);
    return text;
}

#define BODY(name, type, last)                                                                                           \
    "'" type " " name "(int n, unsigned long k, float s, const unsigned long *x, unsigned long *y)', '{', "              \
    "'for (int i = tg_lane(); i < n; i += TG_LANES)', '    y[i] = y[i] * 31 + x[i] * k + (unsigned long)s;', " last "'}'"
static const char good[] = "{'on': 'resident', 'code': [" BODY("stir", "unsigned", "'return 0;', ") "]}";

static const char tasks[] =
    "{'for': ['r in 0:6', 'i in 0:8'], 'id': 's[{r},{i}]', 'kernel': 'stir', "
    "'args': {'n': 32, 'k': 'r*8+i+1', 's': 2.5, 'x': 'A[(i+3)%8]', 'y': 'A[i]'}}, "
    "{'for': ['i in 0:8'], 'id': 'm[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}";

static struct tg_graph *graph_with(const char *resident, const char *work)
{
    char *kernels = kernel_text(resident);
    struct tg_graph *g = device_graph(buffers, kernels, work);
    free(kernels);
    return g;
}

static void expect(struct tg_graph *g, int n_starts, const char *kernel)
{
    struct tg_runtime *rt;
    struct tg_run *run = device_resident_begin(g, n_starts, 0, &rt);
    struct tgi_offload_graph_stats stats;
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_clusters, 1);
    assert_int_equal(stats.n_nodes, 0);
    if (!strstr(device_cluster(run)->kernel, kernel))
        fail_msg("\"%s\" is not \"%s\"", device_cluster(run)->kernel, kernel);
    device_resident_end(run, rt, g, n_starts);
}

static int generated(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_KERNEL", "", 1);
    device_reset(1, 1, true);
    return 0;
}

static void users_functions_are_tasks_beside_built_in_ones(void **state)
{
    struct tg_graph *g = graph_with(good, tasks);
    (void)state;
    expect(g, 20, "generated for 2 bodies");
    unsigned n = rtc.standin_nvrtc_compiled();
    device_reset(1, 2, true);
    expect(g, 3, "generated for 2 bodies"); /* from the disk, in another runtime */
    assert_int_equal(rtc.standin_nvrtc_compiled(), n);
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1); /* which cannot be */
    device_reset(1, 3, true);
    expect(g, 2, "generated for 2 bodies");
    tg_graph_destroy(g);
}

static void one_that_returns_nothing_cannot_fail(void **state)
{
    struct tg_graph *g = graph_with("{'on': 'resident', 'code': [" BODY("other", "void", "") "], 'entry': 'other', 'width': 'warp'}", tasks);
    (void)state;
    expect(g, 3, "generated for 2 bodies");
    tg_graph_destroy(g);
}

/* However often a body is used, it is in the kernel: 256 is where a count of eight bits begins anew. */
static void a_body_that_is_used_often_is_there(void **state)
{
    static const char work[] = "{'for': ['r in 0:32', 'i in 0:8'], 'id': 'm[{r},{i}]', 'kernel': 'mix', "
                               "'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}";
    struct tg_graph *g = device_graph(buffers, "", work);
    (void)state;
    expect(g, 2, "generated for 1 body, 64 registers");
    tg_graph_destroy(g);
}

static void built_in_bodies_need_no_user(void **state)
{
    static const char work[] = "{'for': ['i in 0:8'], 'id': 'm[{i}]', 'kernel': 'mix', "
                               "'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}";
    struct tg_graph *g = device_graph(buffers, "", work);
    (void)state;
    expect(g, 3, "generated for 1 body, 64 registers");
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1);
    device_reset(1, 2, true);
    expect(g, 3, "embedded, 255 registers: TGRAPH_RESIDENT_KERNEL says so");
    tg_graph_destroy(g);
}

/* A compiler that cannot do it is no loss, and it is told, once. */
static void without_a_compiler_the_embedded_kernel_serves(void **state)
{
    static const char work[] = "{'for': ['i in 0:8'], 'id': 'h[{i}]', 'kernel': 'hash', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}, "
                               "{'for': ['i in 0:7'], 'id': 'm[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[i+1]'}}";
    struct tg_graph *g = device_graph(buffers, "", work);
    (void)state;
    rtc.standin_nvrtc_fail("nvrtcCompileProgram", 1, NVRTC_ERROR_COMPILATION);
    expect(g, 3, "embedded, 255 registers: kernel \"resident executor\": nvrtcCompileProgram: NVRTC_ERROR_COMPILATION");
    assert_true(rtc.standin_nvrtc_has_failed());
    tg_graph_destroy(g);
}

static void a_code_that_it_returns_fails_its_task(void **state)
{
    static const char work[] = "{'for': ['i in 0:4'], 'id': 'fine[{i}]', 'kernel': 'stir', "
                               "'args': {'n': 32, 'k': 1, 's': 1, 'x': 'A[7]', 'y': 'A[i]'}}, "
                               "{'id': 'bad', 'kernel': 'stir', 'args': {'n': 32, 'k': 77, 's': 1, 'x': 'A[7]', 'y': 'A[0]'}}";
    struct tg_graph *g = graph_with("{'on': 'resident', 'code': [" BODY("stir", "unsigned", "'return k == 77 ? 5 : 0;', ") "]}", work);
    struct tg_error err;
    (void)state;
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        assert_string_equal(err.task, "bad");
        assert_non_null(strstr(err.text, "its resident function returned 5"));
    }
    device_close_all(run, rt, g);
}

static void what_does_not_compile_is_told_where_it_is(void **state)
{
    static const struct {
        const char *resident, *text;
    } cases[] = {
        {"{'on': 'resident', 'code': [" BODY("stir", "unsigned", "'return oops;', ") "]}", "oops"},
        {"{'on': 'resident', 'code': ['unsigned stir(int n) { return 0; }']}", "another number of arguments"},
        {"{'on': 'resident', 'code': ['void stir(int n, unsigned long k, double s, const unsigned long *x, unsigned long *y) {}']}",
         "another size than the graph declares"},
        {"{'on': 'resident', 'code': ['unsigned other() { return 0; }']}", "stir"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_graph *g = graph_with(cases[i].resident, tasks);
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tg_run *run;
        struct tg_error err;
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        options.executor = TG_EXECUTOR_RESIDENT;
        assert_int_equal(tg_run_create(rt, g, &options, &run, &err), TG_E_COMPILE);
        if (!strstr(err.text, cases[i].text) || !strstr(err.text, "kernel \"stir\""))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].text);
        assert_true(err.line > 0);
        device_close_all(NULL, rt, g);
    }
}

static void functions_of_one_kernel_have_the_same_options(void **state)
{
    char *first = kernel_text("{'on': 'resident', 'options': '-DSTIR_A=1', 'code': [" BODY("stir", "unsigned", "'return 0;', ") "]}"), *both;
    static const char second[] = ", 'turn': {'params': [{'name': 'x', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
                                 "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void turn(unsigned long *x) { *x = ~*x; }', 'grid': [1], 'block': [1]}, "
                                 "{'on': 'resident', 'code': 'void turn(unsigned long *x) { if (tg_lane() == 0) *x = ~*x; }'}, "
                                 "{'on': 'cpu', 'c': 'int turn(void **a, const void *c) { **(unsigned long **)a[0] ^= -1ul; return 0 & !c; }'}]}";
    struct tg_error err;
    const char *why;
    (void)state;
    assert_true(asprintf(&both, "%s%s", first, second) > 0);
    struct tg_graph *g = device_graph(buffers, both,
                                      "{'id': 'a', 'kernel': 'turn', 'args': {'x': 'A[0]'}}, "
                                      "{'id': 'b', 'kernel': 'stir', 'args': {'n': 32, 'k': 1, 's': 1, 'x': 'A[0]', 'y': 'A[1]'}}");
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    MUST(tg_run_execute(run, &err));
    assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
    assert_non_null(strstr(why, "need the same options"));
    assert_true(device_read(run, g, have));
    assert_memory_equal(have, expected, device_words(g) * sizeof *have);
    device_close_all(run, rt, g);
    free(expected);
    free(have);
    free(first);
    free(both);
}

/* The same text is a function for one thread then. */
static void one_may_be_a_thread_wide(void **state)
{
    struct tg_graph *g = graph_with("{'on': 'resident', 'width': 'thread', 'code': [" BODY("stir", "unsigned", "'return 0;', ") "]}", tasks);
    struct tg_error err;
    uint64_t *expected = device_expected(g, false, 1);
    (void)state;
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    MUST(tg_run_execute(run, &err));
    struct tgi_offload_graph_stats stats;
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_RESIDENT);
    assert_int_equal(stats.n_nodes, 8); /* what brings the data there */
    device_expect(run, g, expected);
    device_close_all(run, rt, g);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(users_functions_are_tasks_beside_built_in_ones, generated),
        cmocka_unit_test_setup(one_that_returns_nothing_cannot_fail, generated),
        cmocka_unit_test_setup(a_body_that_is_used_often_is_there, generated),
        cmocka_unit_test_setup(built_in_bodies_need_no_user, generated),
        cmocka_unit_test_setup(without_a_compiler_the_embedded_kernel_serves, generated),
        cmocka_unit_test_setup(a_code_that_it_returns_fails_its_task, generated),
        cmocka_unit_test_setup(what_does_not_compile_is_told_where_it_is, generated),
        cmocka_unit_test_setup(functions_of_one_kernel_have_the_same_options, generated),
        cmocka_unit_test_setup(one_may_be_a_thread_wide, generated),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
