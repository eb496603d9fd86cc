/* Tasks a thread wide in runs, on the stand-in driver: which of them are one batch, what batches leave, who fails, what their times are, and where
 * they cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/resident_batch.h"
#include "sched/record.h"
#include "tests/device_resident.h"

/* ---- Dividing -----------------------------------------------------------------------------*/

enum { MOST = 400, MOST_EDGES = 1600 };
struct drawn {
    uint32_t n, succ_at[MOST + 1], succ[MOST_EDGES], level[MOST], kind[MOST];
};

static void draw(struct drawn *g, struct dice *d)
{
    static bool has[MOST][MOST];
    uint32_t density = 1 + roll(d, 60), n_edges = 0;
    g->n = 1 + roll(d, MOST);
    memset(has, 0, sizeof has);
    memset(g->level, 0, sizeof g->level);
    for (uint32_t t = 0; t < g->n; t++) {
        g->kind[t] = roll(d, 4);
        for (uint32_t k = roll(d, 4); t && k && roll(d, 60) < density; k--)
            has[roll(d, t)][t] = true;
    }
    for (uint32_t t = 0; t < g->n; t++) {
        g->succ_at[t] = n_edges;
        for (uint32_t to = t + 1; to < g->n; to++)
            if (has[t][to]) {
                g->succ[n_edges++] = to;
                g->level[to] = g->level[t] + 1 > g->level[to] ? g->level[t] + 1 : g->level[to];
            }
    }
    g->succ_at[g->n] = n_edges;
}

static bool has_edge(const struct tgi_batches *b, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = b->succ_at[from]; i < b->succ_at[from + 1]; i++)
        n += b->succ[i] == to;
    assert_true(n <= 1);
    return n == 1;
}

static void every_member_is_in_one_task_and_every_edge_goes_on(void **state)
{
    static struct drawn g;
    static uint32_t task_of[MOST];
    struct dice d = {mix64(test_seed(1))};
    (void)state;
    for (uint64_t round = 0; round < ROUNDS(500); round++) {
        struct tgi_batches b;
        uint32_t n_wide = 0, n_edges = 0;
        draw(&g, &d);
        assert_true(tgi_batches_init(&b, &(struct tgi_batch_members){g.n, g.succ_at, g.succ, g.level, g.kind}));
        assert_int_equal(b.first[0], 0);
        assert_int_equal(b.first[b.n], g.n);
        memset(task_of, 0xff, sizeof task_of);
        for (uint32_t t = 0; t < b.n; t++) {
            uint32_t one = b.member[b.first[t]], n = b.first[t + 1] - b.first[t];
            assert_in_range(n, 1, g.kind[one] ? 32 : 1);
            n_wide += g.kind[one] != 0;
            for (uint32_t i = b.first[t]; i < b.first[t + 1]; i++) {
                uint32_t m = b.member[i];
                assert_int_equal(task_of[m], UINT32_MAX);
                task_of[m] = t;
                assert_int_equal(g.kind[m], g.kind[one]);
                assert_int_equal(g.level[m], g.level[one]);
                assert_true(i == b.first[t] || b.member[i - 1] < m);
            }
        }
        assert_int_equal(n_wide, b.n_wide);
        for (uint32_t m = 0; m < g.n; m++)
            for (uint32_t e = g.succ_at[m]; e < g.succ_at[m + 1]; e++)
                assert_true(has_edge(&b, task_of[m], task_of[g.succ[e]]));
        for (uint32_t t = 0; t < b.n; t++)
            for (uint32_t e = b.succ_at[t]; e < b.succ_at[t + 1]; e++, n_edges++)
                assert_true(b.succ[e] > t); /* in topological order */
        assert_true(n_edges <= g.succ_at[g.n]);
        tgi_batches_fini(&b);
    }
}

/* A hundred of one kind side by side: three that are full, and one. */
static void batches_are_as_full_as_they_can_be(void **state)
{
    static uint32_t succ_at[101], kind[100], level[100];
    struct tgi_batches b;
    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        kind[i] = 7;
    assert_true(tgi_batches_init(&b, &(struct tgi_batch_members){100, succ_at, succ_at, level, kind}));
    assert_int_equal(b.n, 4);
    for (uint32_t t = 0; t < 4; t++)
        assert_int_equal(b.first[t], 32 * t);
    tgi_batches_fini(&b);
}

/* ---- Runs ---------------------------------------------------------------------------------*/

/* y = 3 y + 5 a + b + k, on CPUs, launched, and a thread wide; 4711 as a fails. */
static const char kernels[] =
    ", 'cell': {'params': [{'name': 'k', 'type': 'u64'}, {'name': 'y', 'type': 'u64*', 'access': 'inout'}, "
    "{'name': 'a', 'type': 'u64*', 'access': 'in'}, {'name': 'b', 'type': 'u64*', 'access': 'in'}], 'variants': ["
    "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void cell(unsigned long k, unsigned long *y, const unsigned long *a, const unsigned long *b) "
    "{ *y = 3 * *y + 5 * *a + *b + k; }', 'grid': [1], 'block': [1]}, "
    "{'on': 'resident', 'width': 'thread', 'code': ['unsigned cell(unsigned long k, unsigned long *y, const unsigned long *a, const unsigned long *b)', '{', "
    "'    *y = 3 * *y + 5 * *a + *b + k;', '    return *a == 4711 ? 1300 + (unsigned)k : 0;', '}']}, "
    "{'on': 'cpu', 'c': ['int cell(void **a, const void *c)', '{', "
    "'unsigned long k = *(unsigned long *)a[0], *y = *(unsigned long **)a[1], *p = *(unsigned long **)a[2], *q = *(unsigned long **)a[3];', "
    "'*y = 3 * *y + 5 * *p + *q + k;', 'return 0 & !c;', '}']}]}"
    ", 'next': {'params': [{'name': 'y', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
    "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void next(unsigned long *y) { ++*y; }', 'grid': [1], 'block': [1]}, "
    "{'on': 'resident', 'width': 'thread', 'code': 'void next(unsigned long *y) { ++*y; }'}, "
    "{'on': 'cpu', 'c': 'int next(void **a, const void *c) { ++**(unsigned long **)a[0]; return 0 & !c; }'}]}";
static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [8], 'init': {'iota': true}}, "
                              "'C': {'dtype': 'u64', 'shape': [1], 'tiles': [40, 40], 'init': {'fill': 1}}";
/* A wavefront of cells between tasks a warp wide and ones of another kind. */
static const char tasks[] =
    "{'for': ['i in 0:8'], 'id': 'm[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}, "
    "{'for': ['i in 1:40', 'j in 1:40'], 'id': 'c[{i},{j}]', 'kernel': 'cell', 'args': {'k': '40*i+j', 'y': 'C[i,j]', 'a': 'C[i-1,j]', 'b': 'C[i,j-1]'}}, "
    "{'for': ['i in 0:40'], 'id': 'n[{i}]', 'kernel': 'next', 'args': {'y': 'C[i,39]'}}, "
    "{'for': ['i in 0:8'], 'id': 'o[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+3)%8]'}}";
/* With room for the tables of programs of so many tasks. */
static void reset(uint32_t n_devices, uint64_t seed)
{
    const struct standin_options room = {n_devices, 16 << 20, seed, true};
    standin.standin_reset(&room);
}
enum { DATA_BYTES = 1 << 20 };
enum { N_CELLS = 39 * 39, N_NEXT = 40, N_MIXES = 16 };

static void a_wavefront_of_them_is_one_of_batches(void **state)
{
    struct tg_graph *g = device_graph(buffers, kernels, tasks);
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(10); seed++) {
        struct tg_runtime *rt;
        reset(1, seed);
        struct tg_run *run = device_resident_begin(g, 3, DATA_BYTES, &rt);
        const struct tgi_cluster *c = device_cluster(run);
        /* 77 diagonals, of which 15 need two batches; two of the others: what nothing comes before, and the rest, level by level */
        assert_in_range(c->n_batches, 77 + 14 + 2, 77 + 16 + N_NEXT);
        assert_true(c->program->n_tasks < N_CELLS / 2);
        assert_true(c->n_calls >= N_CELLS + N_NEXT + N_MIXES);
        if (!strstr(c->kernel, "what is a thread wide is in "))
            fail_msg("\"%s\" says nothing of batches", c->kernel);
        device_resident_end(run, rt, g, 3);
    }
    tg_graph_destroy(g);
}

/* Each device has batches of its own tasks. */
static void on_several_devices_they_are_each_devices_own(void **state)
{
    struct tg_graph *g = device_graph(buffers, kernels, tasks);
    (void)state;
    for (int spread = 0; spread < 2; spread++) {
        struct tg_error err;
        setenv("TGRAPH_RESIDENT_SPREAD", spread ? "on" : "off", 1);
        reset(2, 1);
        uint64_t *expected = device_expected(g, true, 2);
        struct tg_runtime *rt = device_runtime("cuda:0,1", DATA_BYTES);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, true);
        MUST(tg_run_execute(run, &err));
        MUST(tg_run_execute(run, &err));
        assert_int_equal(device_cluster(run)->n_devices, 1 + spread);
        device_expect(run, g, expected);
        device_close_all(run, rt, NULL);
        free(expected);
    }
    unsetenv("TGRAPH_RESIDENT_SPREAD");
    tg_graph_destroy(g);
}

/* Of a batch of 39 in two, the one in the middle of the first, or of the second; its code is its own. */
static void one_that_fails_names_itself(void **state)
{
    (void)state;
    for (int bad = 17; bad < 40; bad += 20) {
        char buffer[512], name[32], words[64];
        struct tg_error err;
        snprintf(buffer, sizeof buffer, "%s, 'F': {'dtype': 'u64', 'shape': [1], 'init': {'fill': 4711}}", buffers);
        snprintf(name, sizeof name, "c[%d]", bad);
        snprintf(words, sizeof words, "its resident function returned %d", 1300 + bad);
        char *text;
        assert_true(asprintf(&text,
                             "{'for': ['i in 0:%d'], 'id': 'c[{i}]', 'kernel': 'cell', 'args': {'k': 'i', 'y': 'C[1,i]', 'a': 'C[0,i]', 'b': 'C[0,39]'}}, "
                             "{'id': 'c[%d]', 'kernel': 'cell', 'args': {'k': '%d', 'y': 'C[1,%d]', 'a': 'F', 'b': 'C[0,39]'}}, "
                             "{'for': ['i in %d:40'], 'id': 'c[{i}]', 'kernel': 'cell', 'args': {'k': 'i', 'y': 'C[1,i]', 'a': 'C[0,i]', 'b': 'C[0,39]'}}, "
                             "{'for': ['i in 0:40'], 'id': 'after[{i}]', 'kernel': 'next', 'args': {'y': 'C[1,i]'}}",
                             bad, bad, bad, bad, bad + 1) > 0);
        struct tg_graph *g = device_graph(buffer, kernels, text);
        reset(1, 1);
        struct tg_runtime *rt = device_runtime("cuda", DATA_BYTES);
        struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
        assert_int_not_equal(tg_run_execute(run, &err), 0);
        assert_string_equal(err.task, name);
        if (!strstr(err.text, words))
            fail_msg("\"%s\" is not \"%s\"", err.text, words);
        device_close_all(run, rt, g);
        free(text);
    }
}

/* Those of a batch have a part of its time each, so that no worker is at two tasks at once. */
static void each_has_a_time_in_a_record(void **state)
{
    struct tg_graph *g = device_graph(buffers, kernels, tasks);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt = device_runtime("cuda", DATA_BYTES);
    struct tg_run *run;
    struct tg_error err;
    (void)state;
    options.executor = TG_EXECUTOR_RESIDENT;
    options.is_recorded = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    MUST(tg_run_execute(run, &err));
    assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_RESIDENT);
    const struct tgi_span *spans = tgi_run_spans(run);
    assert_non_null(spans);
    for (uint32_t t = 0; t < N_CELLS + N_NEXT + N_MIXES; t++) {
        assert_true(spans[t].end_ns > 0 && spans[t].start_ns <= spans[t].end_ns);
        for (uint32_t u = 0; u < t; u++)
            assert_true(spans[u].worker != spans[t].worker || spans[u].end_ns <= spans[t].start_ns || spans[t].end_ns <= spans[u].start_ns);
    }
    device_close_all(run, rt, g);
}

/* ---- What is not there ----------------------------------------------------------------------*/

static void expect_resident(struct tg_graph *g, uint64_t n)
{
    struct tgi_offload_graph_stats stats;
    struct tg_error err;
    uint64_t *expected = device_expected(g, false, 1);
    reset(1, 1);
    struct tg_runtime *rt = device_runtime("cuda", DATA_BYTES);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_RESIDENT, false);
    MUST(tg_run_execute(run, &err));
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_resident, n);
    device_expect(run, g, expected);
    device_close_all(run, rt, NULL);
    free(expected);
}

static void dynamic_programs_have_none(void **state)
{
    struct tg_graph *g = device_graph(buffers, kernels,
                                      "{'for': ['i in 0:8'], 'id': 'n[{i}]', 'kernel': 'next', 'args': {'y': 'C[i,39]'}}, "
                                      "{'for': ['i in 0:8'], 'id': 'm[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}");
    (void)state;
    setenv("TGRAPH_RESIDENT_PROGRAM", "dynamic", 1);
    expect_resident(g, 16); /* eight fill in what the others begin with */
    unsetenv("TGRAPH_RESIDENT_PROGRAM");
    tg_graph_destroy(g);
    g = device_graph(buffers,
                     ", 'next': {'params': [{'name': 'y', 'type': 'u64*', 'access': 'inout'}], 'variants': ["
                     "{'on': 'cuda', 'code': 'extern \\\"C\\\" __global__ void next(unsigned long *y) { ++*y; }', 'grid': [1], 'block': [1]}, "
                     "{'on': 'resident', 'width': 'thread', 'spawns': true, 'code': 'void next(unsigned long *y) { ++*y; }'}, "
                     "{'on': 'cpu', 'c': 'int next(void **a, const void *c) { ++**(unsigned long **)a[0]; return 0 & !c; }'}]}",
                     "{'for': ['i in 0:8'], 'id': 'n[{i}]', 'kernel': 'next', 'args': {'y': 'C[i,39]'}}");
    expect_resident(g, 8); /* which make tasks, and are launched */
    tg_graph_destroy(g);
}

static int generated(void **state)
{
    (void)state;
    setenv("TGRAPH_RESIDENT_KERNEL", "", 1);
    reset(1, 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_in_one_task_and_every_edge_goes_on),
        cmocka_unit_test(batches_are_as_full_as_they_can_be),
        cmocka_unit_test_setup(a_wavefront_of_them_is_one_of_batches, generated),
        cmocka_unit_test_setup(on_several_devices_they_are_each_devices_own, generated),
        cmocka_unit_test_setup(one_that_fails_names_itself, generated),
        cmocka_unit_test_setup(each_has_a_time_in_a_record, generated),
        cmocka_unit_test_setup(dynamic_programs_have_none, generated),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
