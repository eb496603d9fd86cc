/* Several runs on the same devices, runs whose time is over, and more commands than 32 bits can count. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "mem/order.h"
#include "sched/backend.h"
#include "sched/record.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 120, N_RUNS = 3 };

static const char tiles[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}";

static void expect_nothing_left(uint64_t seed)
{
    char text[4096];
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seed %d, seen: %s", (int)seed, text);
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("seed %d, left over: %s", (int)seed, text);
}

/* They share lanes and pools; with little memory, what one gives back another gets. */
static void runs_at_once_do_not_disturb_each_other(void **state)
{
    uint64_t n = ROUNDS(200), first = test_seed(1);
    (void)state;
    struct tg_graph *g = device_graph(tiles, "", tasks);
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    for (uint64_t seed = first; seed < first + (getenv("TGRAPH_TEST_SEED") ? 1 : n); seed++) {
        struct dice d = {mix64(seed)};
        struct tg_run *runs[N_RUNS];
        struct tg_error err;
        alarm(LIMIT_S);
        device_reset(1 + (int)roll(&d, 3), seed, roll(&d, 3) != 0);
        /* Each run can have its footprint at least: three tiles. */
        struct tg_runtime *rt = device_runtime("cuda", roll(&d, 2) ? 0 : 256 * (3 * N_RUNS * 2 + roll(&d, 6)));
        for (int i = 0; i < N_RUNS; i++)
            MUST(tg_run_create(rt, g, NULL, &runs[i], &err));
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < N_RUNS; i++)
                MUST(tg_run_start(runs[i], &err));
            for (int i = 0; i < N_RUNS; i++) {
                MUST(tg_run_wait(runs[i], &err));
                assert_true(device_read(runs[i], g, have));
                if (memcmp(have, expected, device_words(g) * sizeof *have))
                    fail_msg("TGRAPH_TEST_SEED=%d: run %d differs", (int)seed, i);
            }
        }
        for (int i = 0; i < N_RUNS; i++)
            tg_run_destroy(runs[i]);
        tg_runtime_destroy(rt);
        expect_nothing_left(seed);
    }
    alarm(0);
    tg_graph_destroy(g);
    free(expected);
    free(have);
}

/* Events that have told when a task began and ended serve the next one. */
static void recorded_runs_make_no_events_anew(void **state)
{
    enum { WARM = 60, STARTS = 20 }; /* lanes have rings of events for their own ends, which are made as they are come to */
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph(tiles, "", tasks);
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.is_recorded = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    uint64_t before = 0;
    for (int i = 0; i < WARM + STARTS; i++) {
        before = i == WARM ? standin.standin_calls("cuEventCreate") : before;
        MUST(tg_run_start(run, &err));
        MUST(tg_run_wait(run, &err));
    }
    /* The thread was at it, or waited, for as long as the last start took and a little before and after. */
    struct tgi_run_submitting spent;
    struct tg_run_stats stats;
    tgi_run_submitting(run, &spent);
    MUST(tg_run_stats(run, &stats, &err));
    assert_true(spent.submitting_ns > 0 && spent.looking_ns > 0);
    assert_true(spent.submitting_ns + spent.looking_ns + spent.waiting_ns <= 2 * stats.makespan_ns + 1000000000);
    /* What its 18 tasks took is in that, all but what the run begins and ends with. */
    struct tgi_run_handling h;
    uint64_t n_tasks = 0, enqueuing_ns = 0, n_copies = 0;
    struct tgi_run_moved moved;
    tgi_run_handling(run, &h);
    for (uint32_t op = 0; op < g->space->n_ops; op++) {
        struct tgi_run_enqueuing e;
        tgi_run_enqueuing(run, op, &e);
        n_tasks += e.n_tasks;
        enqueuing_ns += e.ns;
        n_copies += e.n_copies;
        assert_true(e.n_moving <= e.n_tasks && e.n_moving <= e.n_copies && e.moving_ns <= e.ns);
    }
    tgi_run_moved(run, &moved);
    assert_true(n_copies > 0);
    assert_int_equal(n_copies, moved.n_copies);
    assert_int_equal(n_tasks, 18);
    assert_int_equal(h.n_tasks, 18);
    assert_true(enqueuing_ns > 0 && h.marking_ns > 0 && h.seeing_ns > 0);
    assert_int_equal(enqueuing_ns + h.marking_ns + h.seeing_ns, spent.giving_ns);
    assert_true(spent.giving_ns <= spent.submitting_ns + spent.looking_ns);
    assert_in_range(before, 2 * 18, 1000);
    assert_true(standin.standin_calls("cuEventCreate") - before < 18 * STARTS); /* a task has two */
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    expect_nothing_left(1);
}

/* What pinning costs is paid once for as long as the runtime lasts. */
static void runs_one_after_the_other_pin_nothing_anew(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph("'A': {'dtype': 'u64', 'shape': [50000], 'tiles': [2], 'init': {'iota': true}}", "",
                                      "{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 50000, 'out': 'A[i]', 'in0': 'A[(i+1)%2]', 'in1': 'A[i]'}}");
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    alarm(LIMIT_S);
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    uint64_t n_pinned = 0;
    for (int i = 0; i < 4; i++) {
        struct tg_run *run;
        struct tg_error err;
        MUST(tg_run_create(rt, g, NULL, &run, &err));
        n_pinned = i ? n_pinned : standin.standin_calls("cuMemHostAlloc");
        MUST(tg_run_execute(run, &err));
        assert_true(device_read(run, g, have));
        assert_memory_equal(have, expected, device_words(g) * sizeof *have);
        tg_run_destroy(run);
    }
    assert_int_not_equal(n_pinned, 0);
    assert_int_equal(standin.standin_calls("cuMemHostAlloc"), n_pinned);
    tg_runtime_destroy(rt);
    expect_nothing_left(1);
    alarm(0);
    tg_graph_destroy(g);
    free(expected);
    free(have);
}

/* The record of a kernel's failure is read by whichever run ends first. */
static void a_kernel_that_fails_fails_its_own_run(void **state)
{
    (void)state;
    struct tg_graph *bad = device_graph(
        "'M': {'dtype': 'f64', 'shape': [4, 4], 'init': 'zero'}, 'N': {'dtype': 'f64', 'shape': [4, 4], 'init': 'zero'}",
        ", 'potrf': {'builtin': 'potrf_lower'}",
        "{'for': ['i in 0:6'], 'kernel': 'scale', 'args': {'n': 16, 'a': 2, 'x': 'N'}}, "
        "{'id': 'not definite', 'on': 'cuda', 'kernel': 'potrf', 'args': {'n': 4, 'a': 'M'}}");
    struct tg_graph *good = device_graph(tiles, "", tasks);
    for (uint64_t seed = 1; seed <= ROUNDS(40); seed++) {
        struct tg_run *runs[2];
        struct tg_error err;
        alarm(LIMIT_S);
        device_reset(1, seed, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        MUST(tg_run_create(rt, good, NULL, &runs[0], &err));
        MUST(tg_run_create(rt, bad, NULL, &runs[1], &err));
        for (int i = 0; i < 2; i++)
            MUST(tg_run_start(runs[(seed + (uint64_t)i) % 2], &err));
        MUST(tg_run_wait(runs[0], &err));
        assert_int_equal(tg_run_wait(runs[1], &err), TG_E_TASK_FAILED);
        assert_string_equal(err.task, "not definite");
        for (int i = 0; i < 2; i++)
            tg_run_destroy(runs[i]);
        tg_runtime_destroy(rt);
        expect_nothing_left(seed);
    }
    alarm(0);
    tg_graph_destroy(good);
    tg_graph_destroy(bad);
}

/* A kernel that does not return: nothing can end it, but nobody is kept waiting. */
static void a_run_whose_time_is_over_is_left_behind(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph(tiles, "", tasks);
    alarm(LIMIT_S);
    device_reset(1, 1, true);
    static struct tg_runtime *rt;
    rt = device_runtime("cuda", 0);
    options.timeout_ns = 50000000;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    standin.standin_hold("tgk_hash_inout", true);
    assert_int_equal(tg_run_execute(run, &err), TG_E_RUN_TIMEOUT);
    assert_null(tg_run_tile(run, 0, 0));
    uint64_t begin = standin.standin_calls("cuLaunchKernel");
    assert_true(begin > 0);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g); /* which the run keeps */
    alarm(0);
}

/* Some ten seconds: TGRAPH_TEST_ALL=1 alone. */
static void commands_are_counted_beyond_32_bits(void **state)
{
    struct tgi_devices *ds;
    struct tgi_order *order;
    struct tg_error err;
    struct tgi_stamp s = TGI_STAMP_NONE;
    (void)state;
    if (!getenv("TGRAPH_TEST_ALL"))
        skip();
    device_reset(1, 1, true);
    standin.standin_lazy(true);
    MUST(tgi_backends[0].open(0, &ds, &err));
    MUST(ds->ops->attach(ds, &err));
    MUST(tgi_order_create(ds, &order, &err));
    for (uint64_t i = 0; i < ((uint64_t)1 << 32) + 5; i++)
        s = tgi_order_append(order, 0);
    assert_false(tgi_order_is_done(order, s));
    assert_false(tgi_order_knows(order, 1, s));
    MUST(tgi_order_wait(order, 1, s, &err));
    assert_true(tgi_order_knows(order, 1, s));
    s = tgi_order_append(order, 0);
    assert_false(tgi_order_knows(order, 1, s));
    MUST(tgi_order_synchronize(order, s, &err));
    assert_true(tgi_order_is_done(order, s));
    tgi_order_destroy(order);
    ds->ops->detach(ds);
    ds->ops->close(ds);
    expect_nothing_left(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_at_once_do_not_disturb_each_other),
        cmocka_unit_test(recorded_runs_make_no_events_anew),
        cmocka_unit_test(runs_one_after_the_other_pin_nothing_anew),
        cmocka_unit_test(a_kernel_that_fails_fails_its_own_run),
        cmocka_unit_test(commands_are_counted_beyond_32_bits),
        cmocka_unit_test(a_run_whose_time_is_over_is_left_behind), /* last: its kernel stays */
    };
    return cmocka_run_group_tests(tests, device_group_load_without_nccl, device_group_unload);
}
