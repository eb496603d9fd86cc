/* Execution that does not go well: failures, retries, cancellation, limits, calls in the wrong state. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/run_graph.h"

/* ---- Failures -----------------------------------------------------------------------------*/

static _Atomic uint64_t fails[64]; /* bit per task id of the failing ones */
static _Atomic uint32_t n_runs_of[4096];

static int fail_if_chosen(void **args, const struct tg_context *ctx)
{
    uint64_t id = *(uint64_t *)args[0];
    atomic_fetch_add(&n_runs_of[id], 1);
    if (atomic_load(&fails[id / 64]) >> (id % 64) & 1) {
        tg_context_explain(ctx, "chosen %u", (unsigned)id);
        return 1;
    }
    return 0;
}

static void keep_going_skips_exactly_the_descendants_of_failed_tasks(void **state)
{
    (void)state;
    uint64_t seed = test_seed(5);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        for (uint32_t i = 0; i < ROUNDS(300); i++) {
            struct dice d = {mix64(seed + n_workers * 1000 + i)};
            struct tg_graph *g = graph_new();
            uint32_t n = 2 + roll(&d, 60), n_failed = 0, n_skipped = 0;
            tg_kernel_id k = add_kernel(g, "k", fail_if_chosen, TG_SCALAR);
            uint64_t poisoned[64] = {0}, failed = 0, skipped = 0;
            for (uint32_t t = 0; t < n; t++) {
                add_task(g, k, t, -1, 0);
                for (uint32_t e = roll(&d, 3); t && e > 0; e--) {
                    uint32_t from = roll(&d, t);
                    poisoned[t] |= (uint64_t)1 << from;
                    MUST(tg_graph_add_edge(g, from, t, &err));
                }
            }
            for (uint32_t t = 0; t < n; t++) {
                atomic_store(&n_runs_of[t], 0);
                if (poisoned[t] & (failed | skipped)) {
                    skipped |= (uint64_t)1 << t;
                    n_skipped++;
                } else if (roll(&d, 8) == 0) {
                    failed |= (uint64_t)1 << t;
                    n_failed++;
                }
            }
            atomic_store(&fails[0], failed);
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            struct tg_run_stats stats;
            options.keep_going = true;
            options.is_deterministic = i % 8 == 0;
            struct tg_run *run = run_new(rt, g, &options);
            for (uint32_t round = 1; round <= 2; round++) {
                int rc = tg_run_execute(run, &err);
                assert_int_equal(rc, failed ? TG_E_TASK_FAILED : 0);
                if (failed)
                    assert_true(failed >> strtoul(err.task + 1, NULL, 10) & 1);
                MUST(tg_run_stats(run, &stats, &err));
                assert_int_equal(stats.n_failed, n_failed);
                assert_int_equal(stats.n_skipped, n_skipped);
                assert_int_equal(stats.n_done, n - n_failed - n_skipped);
                for (uint32_t t = 0; t < n; t++) {
                    enum tg_task_state expected = failed >> t & 1    ? TG_TASK_FAILED
                                                  : skipped >> t & 1 ? TG_TASK_SKIPPED
                                                                     : TG_TASK_DONE;
                    assert_int_equal(tg_run_task_state(run, t), expected);
                    assert_int_equal(atomic_load(&n_runs_of[t]), expected == TG_TASK_SKIPPED ? 0 : round);
                }
            }
            atomic_store(&fails[0], 0); /* without failures the same run does everything */
            MUST(tg_run_execute(run, &err));
            MUST(tg_run_stats(run, &stats, &err));
            assert_int_equal(stats.n_done, n);
            tg_run_destroy(run);
            tg_graph_destroy(g);
        }
        tg_runtime_destroy(rt);
    }
}

static void a_failure_names_the_task_and_stops_the_rest(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    struct tg_run_stats stats;
    struct bell bell = {0, 0};
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    tg_kernel_id k = add_kernel(g, "k", fail_if_chosen, TG_SCALAR);
    for (uint32_t t = 0; t < 10; t++) {
        add_task(g, k, t, -1, 0);
        if (t)
            MUST(tg_graph_add_edge(g, t - 1, t, &err));
    }
    atomic_store(&fails[0], 1 << 3);
    options.on_done = ring;
    options.user = &bell;
    struct tg_run *run = run_new(rt, g, &options);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
    assert_string_equal(err.text, "task \"#3\" (k) failed: chosen 3");
    assert_string_equal(err.task, "#3");
    assert_int_equal(atomic_load(&bell.status), TG_E_TASK_FAILED);
    MUST(tg_run_stats(run, &stats, &err));
    assert_int_equal(stats.n_done, 3);
    assert_int_equal(stats.n_failed, 1);
    assert_int_equal(stats.n_skipped, 6);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void a_failure_in_a_nested_body_fails_every_control_task_around_it(void **state)
{
    (void)state;
    for (int is_deterministic = 0; is_deterministic < 2; is_deterministic++) {
        struct tg_graph *g = graph_new(), *outer, *inner;
        struct tg_runtime *rt = runtime_of(2);
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tg_task_spec repeat = TG_TASK_SPEC_INIT;
        struct tg_run_stats stats;
        tg_kernel_id k = add_kernel(g, "k", fail_if_chosen, TG_SCALAR);
        for (int t = 0; t < 3; t++)
            atomic_store(&n_runs_of[t], 0);
        MUST(tg_graph_create_body(g, &outer, &err));
        MUST(tg_graph_create_body(outer, &inner, &err));
        add_task(inner, k, 0, -1, 0);
        repeat.kind = TG_TASK_REPEAT;
        repeat.count = 3;
        repeat.body = inner;
        MUST(tg_graph_add_task(outer, &repeat, NULL, &err));
        repeat.body = outer;
        MUST(tg_graph_add_task(g, &repeat, NULL, &err));
        add_task(g, k, 1, -1, 0);
        MUST(tg_graph_add_edge(g, 0, 1, &err)); /* after the loop: must be skipped */
        add_task(g, k, 2, -1, 0);               /* independent: must run */
        atomic_store(&fails[0], 1);
        options.keep_going = true;
        options.is_deterministic = is_deterministic;
        struct tg_run *run = run_new(rt, g, &options);
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        assert_int_equal(tg_run_task_state(run, 0), TG_TASK_FAILED);
        assert_int_equal(tg_run_task_state(run, 1), TG_TASK_SKIPPED);
        assert_int_equal(tg_run_task_state(run, 2), TG_TASK_DONE);
        assert_int_equal(atomic_load(&n_runs_of[0]), 1);
        assert_int_equal(atomic_load(&n_runs_of[1]), 0);
        assert_int_equal(atomic_load(&n_runs_of[2]), 1);
        atomic_store(&fails[0], 0);
        MUST(tg_run_execute(run, &err));
        MUST(tg_run_stats(run, &stats, &err));
        assert_int_equal(stats.n_done, 3);
        assert_int_equal(atomic_load(&n_runs_of[0]), 1 + 9);
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

/* ---- Retries ------------------------------------------------------------------------------*/

static _Atomic uint32_t n_attempts_of[4096];

/* Spoils its tile and fails `faults` times, then adds 1. */
static int fail_some_times(void **args, const struct tg_context *ctx)
{
    uint64_t x = *(uint64_t *)args[0], id = x >> 8, faults = x & 0xff, *t = *(uint64_t **)args[1];
    uint32_t n = atomic_fetch_add(&n_attempts_of[id], 1);
    (void)ctx;
    *t += 1;
    if (n < faults) {
        *t = 0xdead;
        return -1;
    }
    return 0;
}

static void retries_restore_inout_arguments_and_are_counted_exactly(void **state)
{
    (void)state;
    uint64_t seed = test_seed(6);
    enum tg_access accesses[] = {TG_INOUT, TG_COMMUTE, TG_REDUCE};
    uint64_t n_faults_in_all = 0;
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers += 1)
        for (uint32_t a = 0; a < 3; a++) {
            struct tg_runtime *rt = runtime_of(n_workers);
            for (uint32_t round = 0; round < ROUNDS(20); round++) {
                struct dice d = {mix64(seed + n_workers * 100 + a * 10000 + round)};
                struct tg_graph *g = graph_new();
                struct tg_run_stats stats;
                enum { N = 100, TILES = 5 };
                uint64_t expected[TILES] = {0}, n_retried = 0;
                tg_buffer_id x = add_buffer(g, "x", 1, TILES, TG_INIT_ZERO);
                tg_kernel_id k = add_kernel(g, "k", fail_some_times, accesses[a]);
                for (uint32_t t = 0; t < N; t++) {
                    uint32_t faults = roll(&d, 4), tile = roll(&d, TILES);
                    struct tg_arg args[] = {tg_arg_int(t << 8 | faults), tg_arg_tile(x, tile)};
                    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
                    spec.kernel = k;
                    spec.n_args = 2;
                    spec.args = args;
                    spec.retries = faults + roll(&d, 2);
                    MUST(tg_graph_add_task(g, &spec, NULL, &err));
                    atomic_store(&n_attempts_of[t], 0);
                    expected[tile]++;
                    n_retried += faults;
                }
                n_faults_in_all += n_retried;
                struct tg_run *run = run_new(rt, g, NULL);
                MUST(tg_run_execute(run, &err));
                for (uint32_t i = 0; i < TILES; i++)
                    assert_int_equal(*(uint64_t *)tg_run_tile(run, x, i), expected[i]);
                MUST(tg_run_stats(run, &stats, &err));
                assert_int_equal(stats.n_retried, n_retried);
                assert_int_equal(stats.n_done, N);
                tg_run_destroy(run);
                tg_graph_destroy(g);
            }
            tg_runtime_destroy(rt);
        }
    assert_true(IS_SLOW || n_faults_in_all > 10000);
}

static void a_task_that_fails_more_often_than_it_may_be_retried_fails(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(1);
    tg_buffer_id x = add_buffer(g, "x", 1, 1, TG_INIT_ZERO);
    struct tg_arg args[] = {tg_arg_int(3), tg_arg_tile(x, 0)};
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = add_kernel(g, "k", fail_some_times, TG_INOUT);
    spec.n_args = 2;
    spec.args = args;
    spec.retries = 2;
    MUST(tg_graph_add_task(g, &spec, NULL, &err));
    atomic_store(&n_attempts_of[0], 0);
    struct tg_run *run = run_new(rt, g, NULL);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
    assert_int_equal(atomic_load(&n_attempts_of[0]), 3);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

/* ---- Cancellation and limits --------------------------------------------------------------*/

/* Whoever cancels waits for it. */
static _Atomic int has_come_there;
static int wait_a_little(void **args, const struct tg_context *ctx)
{
    (void)args;
    (void)ctx;
    atomic_store(&has_come_there, 1);
    usleep(200);
    return 0;
}

/* Task 50 waits to be cancelled, if it may. */
static _Atomic int holds_out;
static int wait_to_be_cancelled(void **args, const struct tg_context *ctx)
{
    if (*(int64_t *)args[0] == 50)
        atomic_store(&has_come_there, 1);
    for (int i = 0;
         *(int64_t *)args[0] == 50 && atomic_load(&holds_out) && i < 50000 && !tg_context_is_cancelled(ctx);
         i++)
        usleep(200);
    return 0;
}

static void *cancel_main(void *arg)
{
    while (!atomic_exchange(&has_come_there, 0))
        usleep(100);
    tg_run_cancel(arg);
    return NULL;
}

static void a_run_is_cancelled_from_another_thread_and_can_run_again(void **state)
{
    (void)state;
    for (uint32_t n_workers = 1; n_workers <= 3; n_workers++) {
        struct tg_graph *g = graph_new();
        struct tg_runtime *rt = runtime_of(n_workers);
        struct tg_run_stats stats;
        tg_kernel_id k = add_kernel(g, "k", wait_to_be_cancelled, TG_SCALAR);
        for (uint32_t i = 0; i < 200; i++) {
            add_task(g, k, i, -1, 0);
            if (i >= 10)
                MUST(tg_graph_add_edge(g, i - 10, i, &err));
        }
        struct tg_run *run = run_new(rt, g, NULL);
        atomic_store(&holds_out, 1);
        for (int round = 0; round < 3; round++) {
            pthread_t canceller;
            atomic_store(&has_come_there, 0);
            pthread_create(&canceller, NULL, cancel_main, run);
            assert_int_equal(tg_run_execute(run, &err), TG_E_CANCELLED);
            pthread_join(canceller, NULL);
            MUST(tg_run_stats(run, &stats, &err));
            assert_true(stats.n_skipped > 0);
            assert_int_equal(stats.n_done + stats.n_skipped, 200);
        }
        atomic_store(&holds_out, 0);
        MUST(tg_run_execute(run, &err));
        MUST(tg_run_stats(run, &stats, &err));
        assert_int_equal(stats.n_done, 200);
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

static void cancel_from_callback(void *user, struct tg_run *run, int status)
{
    ring(user, run, status);
    tg_run_cancel(run);
}

static void a_cancel_that_comes_when_all_is_done_changes_nothing(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    struct bell bell = {0, 1};
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    add_task(g, add_kernel(g, "k", nothing, TG_SCALAR), 0, -1, 0);
    options.on_done = cancel_from_callback;
    options.user = &bell;
    struct tg_run *run = run_new(rt, g, &options);
    for (int round = 0; round < 10; round++) {
        assert_int_equal(tg_run_execute(run, &err), 0);
        assert_int_equal(atomic_load(&bell.status), 0);
    }
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void a_loop_that_is_cancelled_ends_as_cancelled(void **state)
{
    (void)state;
    for (int is_deterministic = 0; is_deterministic < 2; is_deterministic++) {
        struct tg_graph *g = graph_new(), *body;
        struct tg_runtime *rt = runtime_of(2);
        struct tg_task_spec repeat = TG_TASK_SPEC_INIT;
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        pthread_t canceller;
        MUST(tg_graph_create_body(g, &body, &err));
        add_task(body, add_kernel(g, "k", wait_a_little, TG_SCALAR), 0, -1, 0);
        repeat.kind = TG_TASK_REPEAT;
        repeat.count = UINT64_MAX;
        repeat.body = body;
        MUST(tg_graph_add_task(g, &repeat, NULL, &err));
        options.is_deterministic = is_deterministic;
        struct tg_run *run = run_new(rt, g, &options);
        atomic_store(&has_come_there, 0);
        pthread_create(&canceller, NULL, cancel_main, run);
        assert_int_equal(tg_run_execute(run, &err), TG_E_CANCELLED);
        pthread_join(canceller, NULL);
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

static _Atomic int spin_ends;
static int spin_for_a_while(void **args, const struct tg_context *ctx)
{
    uint64_t end = now_ns() + *(uint64_t *)args[0] * 1000000;
    (void)ctx;
    while (now_ns() < end && !atomic_load(&spin_ends))
        ;
    return 0;
}

/* A machine that is busy with other things may hold any single attempt up; never all of them. */
enum { N_ATTEMPTS = 8 };

static bool is_in_time(uint64_t used_ms, uint64_t limit_ms)
{
    assert_in_range(used_ms, limit_ms, 900); /* before the task ends by itself, in any case */
    return IS_SLOW || used_ms <= limit_ms + 100;
}

/* How long until a task with a limit of 50 ms is reported. */
static uint64_t time_task_over_its_limit(uint32_t n_workers)
{
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(n_workers);
    struct bell bell = {0, 0};
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run_stats stats;
    struct tg_arg arg = tg_arg_int(1000);
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.name = "spinner";
    spec.kernel = add_kernel(g, "k", spin_for_a_while, TG_SCALAR);
    spec.n_args = 1;
    spec.args = &arg;
    spec.timeout_ms = 50;
    MUST(tg_graph_add_task(g, &spec, NULL, &err));
    add_task(g, spec.kernel, 0, -1, 0);
    MUST(tg_graph_add_edge(g, 0, 1, &err));
    options.on_done = ring;
    options.user = &bell;
    struct tg_run *run = run_new(rt, g, &options);
    atomic_store(&spin_ends, 0);
    uint64_t begin = now_ns();
    MUST(tg_run_start(run, &err));
    assert_int_equal(tg_run_wait(run, &err), TG_E_TASK_TIMEOUT);
    uint64_t used_ms = (now_ns() - begin) / 1000000;
    assert_string_equal(err.task, "spinner");
    assert_int_equal(atomic_load(&bell.n_calls), 1);
    MUST(tg_run_stats(run, &stats, &err));
    assert_int_equal(stats.n_done, 0); /* what comes after it has not run and will not */
    assert_int_equal(stats.n_failed, 1);
    assert_int_equal(tg_run_start(run, &err), TG_E_STATE); /* the task is still at it */
    atomic_store(&spin_ends, 1);
    int rc;
    while ((rc = tg_run_start(run, &err)) == TG_E_STATE)
        usleep(1000);
    assert_int_equal(rc, 0);
    assert_int_equal(tg_run_wait(run, &err), 0); /* spin_ends: in time now */
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
    return used_ms;
}

static void a_task_over_its_limit_is_reported_in_time(void **state)
{
    (void)state;
    for (uint32_t n_workers = 1; n_workers <= 2; n_workers++) {
        bool in_time = false;
        for (int i = 0; i < N_ATTEMPTS && !in_time; i++)
            in_time = is_in_time(time_task_over_its_limit(n_workers), 50);
        assert_true(in_time);
    }
}

static uint64_t time_run_over_its_limit(void)
{
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    tg_kernel_id k = add_kernel(g, "k", spin_for_a_while, TG_SCALAR);
    for (uint32_t i = 0; i < 50; i++) {
        add_task(g, k, 20, -1, 0);
        if (i)
            MUST(tg_graph_add_edge(g, i - 1, i, &err));
    }
    options.timeout_ns = 60000000;
    struct tg_run *run = run_new(rt, g, &options);
    atomic_store(&spin_ends, 0);
    uint64_t begin = now_ns();
    assert_int_equal(tg_run_execute(run, &err), TG_E_RUN_TIMEOUT);
    uint64_t used_ms = (now_ns() - begin) / 1000000;
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
    return used_ms;
}

static void a_run_over_its_limit_is_reported_in_time(void **state)
{
    (void)state;
    bool in_time = false;
    for (int i = 0; i < N_ATTEMPTS && !in_time; i++)
        in_time = is_in_time(time_run_over_its_limit(), 60);
    assert_true(in_time);
}

static _Atomic int is_held, is_back;
static int hold(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    while (atomic_load(&is_held))
        usleep(1000);
    atomic_store(&is_back, 1);
    return 0;
}

/* What such a task may still use is there until it has returned, and goes with the runtime then: without the graph's
 * being kept, address sanitizers see the worker count down successors that are gone, without the rest's going, leaks. */
static void a_graph_is_kept_from_its_destruction_by_a_task_that_has_not_returned(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        struct tg_graph *g = graph_new();
        struct tg_runtime *rt = runtime_of(2);
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tg_graph_stats stats;
        tg_kernel_id k = add_kernel(g, "hold", hold, TG_SCALAR);
        for (uint32_t i = 0; i < 3; i++) {
            add_task(g, k, 0, -1, 0);
            if (i)
                MUST(tg_graph_add_edge(g, 0, i, &err));
        }
        options.timeout_ns = 60000000;
        struct tg_run *run = run_new(rt, g, &options);
        atomic_store(&is_held, 1);
        atomic_store(&is_back, 0);
        MUST(tg_run_start(run, &err));
        assert_int_equal(tg_run_wait(run, &err), TG_E_RUN_TIMEOUT);
        tg_run_destroy(run);
        assert_int_equal(atomic_load(&is_back), 0);
        if (is_late) { /* the runtime may go before its graph, as ever */
            atomic_store(&is_held, 0);
            tg_runtime_destroy(rt);
            MUST(tg_graph_stats(g, &stats, &err));
            assert_int_equal(stats.n_tasks, 3);
            tg_graph_destroy(g);
            continue;
        }
        tg_graph_destroy(g);
        atomic_store(&is_held, 0);
        tg_runtime_destroy(rt);
        assert_int_equal(atomic_load(&is_back), 1);
    }
}

static void a_cancelled_run_whose_task_hangs_still_ends_at_its_limit(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    add_task(g, add_kernel(g, "k", spin_for_a_while, TG_SCALAR), 1000, -1, 0);
    options.timeout_ns = 60000000;
    struct tg_run *run = run_new(rt, g, &options);
    atomic_store(&spin_ends, 0);
    uint64_t begin = now_ns();
    MUST(tg_run_start(run, &err));
    tg_run_cancel(run);
    assert_true(tg_run_wait(run, &err) < 0);
    assert_in_range((now_ns() - begin) / 1000000, 0, 900);
    atomic_store(&spin_ends, 1);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void short_runs_never_exceed_a_limit_of_an_hour(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(1);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    add_task(g, add_kernel(g, "k", nothing, TG_SCALAR), 0, -1, 0);
    options.timeout_ns = UINT64_C(3600000000000);
    struct tg_run *runs[16]; /* makes the watchdog's round longer */
    MUST(tg_graph_freeze(g, &err));
    for (uint32_t i = 0; i < 16; i++)
        MUST(tg_run_create(rt, g, &options, &runs[i], &err));
    uint64_t end = now_ns() + 1500000000;
    while (now_ns() < end)
        MUST(tg_run_execute(runs[15], &err));
    for (uint32_t i = 0; i < 16; i++)
        tg_run_destroy(runs[i]);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void calls_in_the_wrong_state_are_refused(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    struct tg_run *run;
    tg_buffer_id x = add_buffer(g, "x", 1, 1, TG_INIT_ZERO);
    add_task(g, add_kernel(g, "k", spin_for_a_while, TG_SCALAR), 200, -1, 0);
    assert_int_equal(tg_run_create(rt, g, NULL, &run, &err), TG_E_NOT_FROZEN);
    run = run_new(rt, g, NULL);
    assert_int_equal(tg_run_wait(run, &err), 0);
    atomic_store(&spin_ends, 0);
    MUST(tg_run_start(run, &err));
    uint64_t mine;
    struct tg_run_stats stats;
    assert_int_equal(tg_run_poll(run), 0);
    assert_int_equal(tg_run_start(run, &err), TG_E_STATE);
    assert_int_equal(tg_run_bind(run, x, &mine, &err), TG_E_STATE);
    assert_int_equal(tg_run_stats(run, &stats, &err), TG_E_STATE);
    assert_int_equal(tg_run_task_state(run, 0), TG_TASK_WAITING);
    atomic_store(&spin_ends, 1);
    tg_run_destroy(run); /* waits */
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_going_skips_exactly_the_descendants_of_failed_tasks),
        cmocka_unit_test(a_failure_names_the_task_and_stops_the_rest),
        cmocka_unit_test(a_failure_in_a_nested_body_fails_every_control_task_around_it),
        cmocka_unit_test(retries_restore_inout_arguments_and_are_counted_exactly),
        cmocka_unit_test(a_task_that_fails_more_often_than_it_may_be_retried_fails),
        cmocka_unit_test(a_run_is_cancelled_from_another_thread_and_can_run_again),
        cmocka_unit_test(a_cancel_that_comes_when_all_is_done_changes_nothing),
        cmocka_unit_test(a_loop_that_is_cancelled_ends_as_cancelled),
        cmocka_unit_test(a_task_over_its_limit_is_reported_in_time),
        cmocka_unit_test(a_run_over_its_limit_is_reported_in_time),
        cmocka_unit_test(a_graph_is_kept_from_its_destruction_by_a_task_that_has_not_returned),
        cmocka_unit_test(a_cancelled_run_whose_task_hangs_still_ends_at_its_limit),
        cmocka_unit_test(short_runs_never_exceed_a_limit_of_an_hour),
        cmocka_unit_test(calls_in_the_wrong_state_are_refused),
    };
    alarm(600); /* a hang ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
