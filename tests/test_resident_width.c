/* Tasks a block wide in runs, on the stand-in driver: bodies in parts leave what whole ones do, users' functions may be as wide, and tasks are
 * where that should be faster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "kernels/resident/cut.h"
#include "sched/resident_inside.h"
#include "tests/device_resident.h"

/* ---- Parts --------------------------------------------------------------------------------*/

static const struct {
    const char *name;
    uint32_t body, cut;
} bodies[] = {
#define BODY_X(name, how) {#name, TGI_BODY_##name, how},
    TGI_CUTS(BODY_X)
#undef BODY_X
};
enum { N_BODIES = sizeof bodies / sizeof *bodies };

/* The parts lie side by side, from where bodies begin, and all of it is in one. */
static void parts_are_the_whole(void **state)
{
    struct dice d = {mix64(test_seed(1))};
    (void)state;
    for (uint64_t i = 0; i < ROUNDS(2000); i++) {
        uint32_t cut = bodies[roll(&d, N_BODIES)].cut, n_parts = 1 + roll(&d, 16), unit = 1u << (cut >> 3 & 15u);
        int64_t all = roll(&d, 4) ? roll(&d, 20000) : roll(&d, 40), end = 0, begin;
        for (uint32_t k = 0; k < n_parts; k++) {
            int64_t n = tgi_cut_part(all, cut, k, n_parts, &begin);
            if (n == 0) {
                assert_int_equal(end, all);
                continue;
            }
            assert_int_equal(begin, end);
            assert_int_equal(begin % unit, 0);
            assert_in_range(n, 1, all / n_parts + unit);
            end = begin + n;
        }
        assert_int_equal(end, all);
        assert_int_equal(tgi_cut_part(-all, cut, 0, n_parts, &begin), 0);
    }
}

/* Of a product of 40 x 24 by 24 x 56: rows 16 on. */
static void words_move_with_what_is_cut(void **state)
{
    const uint64_t words[] = {56, 1000, 2000, 3000, 40, 24, 7, 8};
    const uint64_t expected[] = {56, 1000 + 16 * 24 * 8, 2000, 3000 + 16 * 56 * 8, 24, 24, 7, 8};
    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(tgi_cut_word(tgi_cut_of(TGI_BODY_gemm_nn_f64), words, i, 16, 24), expected[i]);
    assert_int_equal(tgi_cut_of(TGI_BODY_gemm_tn_f64), 0); /* a row of its first operand is not in one piece */
    assert_int_equal(tgi_cut_of(TGI_BODY_sum_f32), 0);     /* its sum would go over a cut */
    assert_int_equal(tgi_cut_of(60000), 0);                /* a user's */
}

/* ---- Runs ---------------------------------------------------------------------------------*/

/* Several starts give what as many sequential runs do, and so many tasks were a block wide. */
static void expect(struct tg_graph *g, int n_starts, uint32_t n_block_tasks)
{
    struct tg_runtime *rt;
    struct tg_run *run = device_resident_begin(g, n_starts, 0, &rt);
    assert_int_equal(device_cluster(run)->program->n_block_tasks, n_block_tasks);
    assert_int_equal(strstr(device_cluster(run)->kernel, "a block wide") != NULL, n_block_tasks > 0);
    device_resident_end(run, rt, g, n_starts);
}

#define ALL_KERNELS(X) X(fill) X(copy) X(axpy) X(mul) X(gelu) X(relu) X(bias_add) X(matvec) X(matvec_add) X(softmax) X(layernorm) \
    X(gemm_nn) X(gemm_nt) X(trsm_rlt) X(trsm_run)
#define KERNEL_X(name) ", '" #name "': {'builtin': '" #name "'}"
static const char kernels[] = ALL_KERNELS(KERNEL_X) ", 'plus': {'builtin': 'add'}";

/* Each kernel that can be cut, of sizes that are no multiples of anything, one after the other and side by side, for one type. */
#define WORK(t)                                                                                                                     \
    "{'id': '" t "0', 'kernel': 'fill', 'args': {'n': 1517, 'value': 0.5, 'x': '" t "v[0]'}}, "                                    \
    "{'id': '" t "1', 'kernel': 'copy', 'args': {'n': 1517, 'x': '" t "m[0]', 'y': '" t "v[1]'}}, "                                \
    "{'id': '" t "2', 'kernel': 'axpy', 'args': {'n': 1517, 'a': 0.25, 'x': '" t "v[0]', 'y': '" t "v[1]'}}, "                     \
    "{'id': '" t "3', 'kernel': 'plus', 'args': {'n': 1517, 'x': '" t "v[0]', 'y': '" t "v[1]', 'z': '" t "v[2]'}}, "             \
    "{'id': '" t "4', 'kernel': 'mul', 'args': {'n': 1517, 'x': '" t "v[2]', 'y': '" t "v[1]', 'z': '" t "v[3]'}}, "              \
    "{'id': '" t "5', 'kernel': 'scale', 'args': {'n': 1517, 'a': 0.125, 'x': '" t "v[3]'}}, "                                     \
    "{'id': '" t "6', 'kernel': 'gelu', 'args': {'n': 1517, 'x': '" t "v[3]', 'y': '" t "v[2]'}}, "                                \
    "{'id': '" t "7', 'kernel': 'relu', 'args': {'n': 1517, 'x': '" t "v[2]', 'y': '" t "v[1]'}}, "                                \
    "{'id': '" t "8', 'kernel': 'bias_add', 'args': {'rows': 37, 'cols': 41, 'x': '" t "m[0]', 'bias': '" t "m[1]', 'y': '" t "m[2]'}}, " \
    "{'id': '" t "9', 'kernel': 'softmax', 'args': {'rows': 37, 'cols': 41, 'x': '" t "m[2]', 'y': '" t "m[3]'}}, "               \
    "{'id': '" t "10', 'kernel': 'layernorm', 'args': {'rows': 37, 'cols': 41, 'x': '" t "m[2]', 'y': '" t "m[4]', 'gamma': '" t "m[1]', 'beta': '" t "m[3]'}}, " \
    "{'id': '" t "11', 'kernel': 'matvec', 'args': {'m': 37, 'n': 41, 'a': '" t "m[4]', 'x': '" t "m[3]', 'y': '" t "w'}}, "   \
    "{'id': '" t "12', 'kernel': 'matvec_add', 'args': {'m': 37, 'n': 41, 'a': '" t "m[4]', 'x': '" t "m[3]', 'y': '" t "w'}}, " \
    "{'id': '" t "13', 'kernel': 'gemm_nn', 'args': {'n': 38, 'm': 39, 'k': 37, 'a': '" t "m[3]', 'b': '" t "m[4]', 'c': '" t "m[5]'}}, " \
    "{'id': '" t "14', 'kernel': 'gemm_nt', 'args': {'n': 38, 'm': 39, 'k': 37, 'a': '" t "m[3]', 'b': '" t "m[4]', 'c': '" t "m[6]'}}, " \
    "{'id': '" t "15', 'kernel': 'trsm_rlt', 'args': {'n': 30, 'm': 45, 'l': '" t "d', 'b': '" t "m[5]'}}, "                    \
    "{'id': '" t "16', 'kernel': 'trsm_run', 'args': {'n': 30, 'm': 45, 'u': '" t "d', 'b': '" t "m[6]'}}"
#define DATA(t, type)                                                                                                              \
    "'" t "v': {'dtype': '" type "', 'shape': [1517], 'tiles': [4]}, '" t "w': {'dtype': '" type "', 'shape': [37]}, "                                                             \
    "'" t "m': {'dtype': '" type "', 'shape': [1517], 'tiles': [7], 'init': {'random': {'seed': 7}}}, "                  \
    "'" t "d': {'dtype': '" type "', 'shape': [30, 30], 'init': {'spd': {'seed': 8}}}"
enum { N_WORK = 17 };

static void bodies_in_parts_leave_what_whole_ones_do(void **state)
{
    struct tg_graph *g = device_graph(DATA("s", "f32") ", " DATA("d", "f64"), kernels, WORK("s") ", " WORK("d"));
    (void)state;
    setenv("TGRAPH_RESIDENT_WIDTH", "block", 1);
    for (uint64_t seed = 1; seed <= ROUNDS(5); seed++) {
        device_reset(1, seed, true);
        expect(g, 3, 2 * N_WORK);
    }
    setenv("TGRAPH_RESIDENT_WIDTH", "warp", 1);
    device_reset(1, 1, true);
    expect(g, 1, 0);
    tg_graph_destroy(g);
}

/* ---- Users' functions -----------------------------------------------------------------------*/

/* y = 3 y + x, on CPUs, launched, and a block wide. */
static const char stir[] =
    ", 'stir': {'params': [{'name': 'n', 'type': 'i32'}, {'name': 'x', 'type': 'u64*', 'access': 'in'}, "
    "{'name': 'y', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
    "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void stir(int n, const unsigned long *x, unsigned long *y) "
    "{ for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = 3 * y[i] + x[i]; }', 'grid': [1], 'block': [32]}, "
    "{'on': 'resident', 'width': 'block', 'code': ['unsigned stir(int n, const unsigned long *x, unsigned long *y)', '{', "
    "'for (int i = tg_block_thread(); i < n; i += tg_block_threads())', '    y[i] = 3 * y[i] + x[i];', "
    "'tg_block_sync();', 'return tg_block_max(0u) + tg_block_sum(0u) + (y[0] == 4711);', '}']}, "
    "{'on': 'cpu', 'c': ['int stir(void **a, const void *c)', '{', 'unsigned long *x = *(unsigned long **)a[1], *y = *(unsigned long **)a[2];', "
    "'for (int i = 0; i < *(int *)a[0]; i++) y[i] = 3 * y[i] + x[i];', 'return 0 & !c;', '}']}]}";
static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [8], 'init': {'iota': true}}, "
                              "'B': {'dtype': 'u64', 'shape': [1], 'init': {'fill': 1570}}, "
                              "'C': {'dtype': 'u64', 'shape': [1], 'init': {'fill': 1}}";
static const char tasks[] =
    "{'for': ['r in 0:4', 'i in 0:8'], 'id': 's[{r},{i}]', 'kernel': 'stir', 'args': {'n': 32, 'x': 'A[(i+3)%8]', 'y': 'A[i]'}}, "
    "{'for': ['i in 0:8'], 'id': 'm[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}";

static void users_functions_may_be_a_block_wide(void **state)
{
    struct tg_graph *g = device_graph(buffers, stir, tasks);
    (void)state;
    setenv("TGRAPH_RESIDENT_WIDTH", "warp", 1); /* it is what it is */
    for (uint64_t seed = 1; seed <= ROUNDS(10); seed++) {
        device_reset(1, seed, true);
        expect(g, 3, 32);
    }
    /* Where a program cannot have them on several devices, each device has its own. */
    device_reset(2, 1, true);
    uint64_t *expected = device_expected(g, true, 2);
    struct tg_runtime *rt = device_runtime("cuda:0,1", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, true);
    struct tg_error err;
    MUST(tg_run_execute(run, &err));
    MUST(tg_run_execute(run, &err));
    device_expect(run, g, expected);
    device_close_all(run, rt, g);
    free(expected);
}

/* 3 * 1570 + 1 is 4711. */
static void one_that_fails_names_its_task(void **state)
{
    struct tg_graph *g = device_graph(buffers, stir,
                                      "{'id': 'good', 'kernel': 'stir', 'args': {'n': 32, 'x': 'A[0]', 'y': 'A[1]'}}, "
                                      "{'id': 'bad', 'kernel': 'stir', 'args': {'n': 1, 'x': 'C', 'y': 'B'}}, "
                                      "{'id': 'after', 'kernel': 'stir', 'args': {'n': 1, 'x': 'B', 'y': 'A[1]'}}");
    struct tg_error err;
    (void)state;
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    assert_int_not_equal(tg_run_execute(run, &err), 0);
    assert_string_equal(err.task, "bad");
    device_close_all(run, rt, g);
}

/* ---- What is not there ------------------------------------------------------------------------*/

/* It is executed otherwise, saying so, and its data are right. */
static void expect_not_resident(struct tg_graph *g, const char *words)
{
    struct tg_error err;
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    const char *why = NULL;
    MUST(tg_run_execute(run, &err));
    assert_int_not_equal(tg_run_executor(run, &why), TG_EXECUTOR_RESIDENT);
    if (!why || !strstr(why, words))
        fail_msg("\"%s\" is not \"%s\"", why, words);
    device_expect(run, g, expected);
    device_close_all(run, rt, NULL);
    free(expected);
}

/* Where one task makes tasks the cluster is a dynamic program, in which a function that is a block wide cannot be, asked for or not. */
static void none_is_in_a_cluster_with_tasks_that_make_tasks(void **state)
{
    static const char spawner[] =
        ", 'grow': {'params': [{'name': 'x', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
        "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void grow(unsigned long *x) { x[0] += 1; }', 'grid': [1], 'block': [1]}, "
        "{'on': 'resident', 'spawns': true, 'code': 'unsigned grow(unsigned long *x) { if (tg_lane() == 0) x[0] += 1; return 0; }'}, "
        "{'on': 'cpu', 'c': 'int grow(void **a, const void *c) { **(unsigned long **)a[0] += 1; return 0 & !c; }'}]}";
    char *both;
    assert_true(asprintf(&both, "%s%s", stir, spawner) > 0);
    (void)state;
    for (int k = 0; k < 4; k++) { /* the one that makes tasks before and behind the others in the file */
        struct tg_graph *g = device_graph(buffers, both,
                                          k % 2 ? "{'id': 'g', 'kernel': 'grow', 'args': {'x': 'B'}}, {'id': 'h', 'kernel': 'grow', 'args': {'x': 'C'}}, "
                                                  "{'for': ['i in 0:8'], 'id': 's[{i}]', 'kernel': 'stir', 'args': {'n': 32, 'x': 'A[(i+3)%8]', 'y': 'A[i]'}}"
                                                : "{'for': ['i in 0:8'], 'id': 's[{i}]', 'kernel': 'stir', 'args': {'n': 32, 'x': 'A[(i+3)%8]', 'y': 'A[i]'}}, "
                                                  "{'id': 'g', 'kernel': 'grow', 'args': {'x': 'B'}}, {'id': 'h', 'kernel': 'grow', 'args': {'x': 'C'}}");
        struct tgi_offload_graph_stats stats;
        struct tg_error err;
        uint64_t *expected = device_expected(g, false, 1);
        const struct standin_options room = {1, 16 << 20, 1, true}; /* for the tables of a dynamic program */
        standin.standin_reset(&room);
        setenv("TGRAPH_RESIDENT_PROGRAM", k < 2 ? "" : "static", 1); /* where all can be in one */
        struct tg_runtime *rt = device_runtime("cuda", 1 << 20);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
        MUST(tg_run_execute(run, &err));
        const char *why = NULL;
        if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
            fail_msg("case %d is not resident: %s", k, why);
        tgi_offload_graph_stats(run, &stats);
        assert_int_equal(stats.n_clusters, 1);
        assert_int_equal(stats.n_resident, k < 2 ? 4 : 12); /* two of them fill in what they begin with */
        assert_int_equal(device_cluster(run)->program->roots != NULL, k < 2);
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
    }
    unsetenv("TGRAPH_RESIDENT_PROGRAM");
    free(both);
}

static void where_it_cannot_be_a_run_says_why(void **state)
{
    struct tg_graph *both = device_graph(buffers, stir, tasks);
    struct tg_graph *built_in = device_graph(DATA("s", "f32"), kernels, WORK("s"));
    struct tgi_offload_graph_stats stats;
    struct tg_error err;
    (void)state;
    setenv("TGRAPH_RESIDENT_PROGRAM", "dynamic", 1);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, both, TG_EXECUTOR_RESIDENT, false);
    MUST(tg_run_execute(run, &err));
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_clusters, 1);
    assert_int_equal(stats.n_resident, 8); /* the built-in ones */
    device_close_all(run, rt, NULL);
    unsetenv("TGRAPH_RESIDENT_PROGRAM");

    setenv("TGRAPH_RESIDENT_WIDTH", "thread", 1);
    device_reset(1, 1, true);
    rt = device_runtime("cuda", 0);
    run = device_open_run(rt, built_in, TG_EXECUTOR_RESIDENT, false);
    assert_int_not_equal(tg_run_execute(run, &err), 0);
    assert_string_equal(err.text, "TGRAPH_RESIDENT_WIDTH is \"thread\", and can be auto, warp or block");
    device_close_all(run, rt, NULL);
    setenv("TGRAPH_RESIDENT_WIDTH", "block", 1);
    rtc.standin_nvrtc_fail("nvrtcCompileProgram", 1, NVRTC_ERROR_COMPILATION);
    device_reset(1, 1, true);
    expect_not_resident(built_in, "the embedded resident kernel has no tasks a block wide");
    assert_true(rtc.standin_nvrtc_has_failed());
    /* The first start does not know yet that nothing compiles, the next one has the embedded kernel. */
    setenv("TGRAPH_RESIDENT_WIDTH", "", 1);
    device_reset(1, 1, true);
    struct tg_graph *long_ones = device_graph(
        "'L': {'dtype': 'f32', 'shape': [20000], 'tiles': [4], 'init': {'random': {'seed': 3}}}", ", 'relu': {'builtin': 'relu'}",
        "{'for': ['r in 0:3', 'i in 0:4'], 'kernel': 'relu', 'args': {'n': 20000, 'x': 'L[i]', 'y': 'L[i]'}}");
    rtc.standin_nvrtc_fail("nvrtcCompileProgram", 1, NVRTC_ERROR_COMPILATION);
    rt = device_runtime("cuda", 0);
    run = device_open_run(rt, long_ones, TG_EXECUTOR_RESIDENT, false);
    MUST(tg_run_execute(run, &err));
    assert_true(rtc.standin_nvrtc_has_failed());
    assert_int_not_equal(tg_run_executor(run, NULL), TG_EXECUTOR_RESIDENT);
    tg_run_destroy(run);
    run = device_open_run(rt, long_ones, TG_EXECUTOR_RESIDENT, false);
    MUST(tg_run_execute(run, &err));
    assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_RESIDENT);
    assert_non_null(strstr(device_cluster(run)->kernel, "embedded"));
    device_close_all(run, rt, long_ones);
    unsetenv("TGRAPH_RESIDENT_WIDTH"); /* where it is left open none is */
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1);
    device_reset(1, 1, true);
    expect(built_in, 2, 0);
    tg_graph_destroy(both);
    tg_graph_destroy(built_in);
}

/* ---- Choice -------------------------------------------------------------------------------*/

/* So many side by side, each of which takes a warp so long. */
static uint32_t widened(uint32_t n, float cost_ns, enum tgi_inside_width width, enum tgi_width_wish wish, uint32_t *n_blocks_p)
{
    enum { MOST = 4096 };
    static float cost[MOST];
    static uint8_t may[MOST], is_block[MOST];
    static uint32_t level[MOST], n_at[MOST];
    struct tgi_inside in = {.cost_ns = cost, .width = may, .is_block = is_block, .level = level, .n_at = n_at};
    uint32_t n_wide = 0;
    assert_in_range(n, 1, MOST);
    in.dag.n_tasks = n;
    n_at[0] = n;
    for (uint32_t t = 0; t < n; t++) {
        cost[t] = cost_ns;
        may[t] = (uint8_t)width;
        level[t] = 0;
    }
    *n_blocks_p = tgi_inside_widen(&in, wish, 132, 8);
    for (uint32_t t = 0; t < n; t++) {
        n_wide += is_block[t];
        assert_true(cost[t] == (is_block[t] ? cost_ns / 8 : cost_ns));
    }
    assert_int_equal(in.dag.is_block != NULL, n_wide > 0);
    return n_wide;
}

static void long_tasks_are_wide_where_they_are_few(void **state)
{
    uint32_t n_blocks;
    (void)state;
    assert_int_equal(widened(1, 10000, TGI_INSIDE_MAY_BLOCK, TGI_WIDTH_CHOSEN, &n_blocks), 1);
    assert_int_equal(n_blocks, 1);
    assert_int_equal(widened(132, 10000, TGI_INSIDE_MAY_BLOCK, TGI_WIDTH_CHOSEN, &n_blocks), 132);
    assert_int_equal(n_blocks, 132);
    assert_int_equal(widened(132, 500, TGI_INSIDE_MAY_BLOCK, TGI_WIDTH_CHOSEN, &n_blocks), 0); /* meeting takes longer */
    assert_int_equal(n_blocks, 17);
    assert_int_equal(widened(1056, 10000, TGI_INSIDE_MAY_BLOCK, TGI_WIDTH_CHOSEN, &n_blocks), 0); /* each worker has one */
    assert_int_equal(n_blocks, 132);
    assert_int_equal(widened(8, 10000, TGI_INSIDE_MAY_BLOCK, TGI_WIDTH_WARP, &n_blocks), 0);
    assert_int_equal(n_blocks, 1);
    assert_int_equal(widened(8, 10, TGI_INSIDE_MAY_BLOCK, TGI_WIDTH_BLOCK, &n_blocks), 8);
    assert_int_equal(widened(8, 10, TGI_INSIDE_BLOCK, TGI_WIDTH_WARP, &n_blocks), 8);
    assert_int_equal(widened(8, 10000, TGI_INSIDE_WARP, TGI_WIDTH_BLOCK, &n_blocks), 0);
}

static int generated(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_KERNEL", "", 1);
    unsetenv("TGRAPH_RESIDENT_WIDTH");
    device_reset(1, 1, true);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(words_move_with_what_is_cut),
        cmocka_unit_test_setup(bodies_in_parts_leave_what_whole_ones_do, generated),
        cmocka_unit_test_setup(users_functions_may_be_a_block_wide, generated),
        cmocka_unit_test_setup(one_that_fails_names_its_task, generated),
        cmocka_unit_test_setup(none_is_in_a_cluster_with_tasks_that_make_tasks, generated),
        cmocka_unit_test_setup(where_it_cannot_be_a_run_says_why, generated),
        cmocka_unit_test(long_tasks_are_wide_where_they_are_few),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
