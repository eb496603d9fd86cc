/* Tasks that spawn others while they run. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/run_graph.h"

struct fib {
    int n;
    uint64_t result;
};

static int fib_job(void *arg, const struct tg_context *ctx)
{
    struct fib *f = arg;
    if (f->n < 2) {
        f->result = (uint64_t)f->n;
        return 0;
    }
    struct fib a = {f->n - 1, 0}, b = {f->n - 2, 0};
    struct tg_job job;
    tg_spawn(ctx, &job, fib_job, &a);
    int rc = fib_job(&b, ctx);
    rc |= tg_sync(ctx, &job);
    f->result = a.result + b.result;
    return rc;
}

static int fib_kernel(void **args, const struct tg_context *ctx)
{
    struct fib f = {(int)*(int64_t *)args[0], 0};
    int rc = fib_job(&f, ctx);
    **(uint64_t **)args[1] = f.result;
    return rc;
}

static void spawned_fibonacci_numbers_are_right(void **state)
{
    (void)state;
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_graph *g = graph_new();
        struct tg_runtime *rt = runtime_of(n_workers);
        tg_buffer_id x = add_buffer(g, "x", 1, 6, TG_INIT_ZERO);
        tg_kernel_id k = add_kernel(g, "fib", fib_kernel, TG_OUT);
        for (uint32_t i = 0; i < 6; i++)
            add_task(g, k, IS_SLOW ? 15 : 22, x, i);
        struct tg_run *run = run_new(rt, g, NULL);
        for (int round = 0; round < 3; round++) {
            MUST(tg_run_execute(run, &err));
            for (uint32_t i = 0; i < 6; i++)
                assert_int_equal(*(uint64_t *)tg_run_tile(run, x, i), IS_SLOW ? 610 : 17711);
        }
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

static int failing_job(void *arg, const struct tg_context *ctx)
{
    (void)ctx;
    return (int)(intptr_t)arg;
}

static int sync_kernel(void **args, const struct tg_context *ctx)
{
    struct tg_job jobs[20];
    (void)args;
    for (intptr_t i = 0; i < 20; i++)
        tg_spawn(ctx, &jobs[i], failing_job, (void *)(i - 10));
    for (int i = 19; i >= 0; i--)
        if (tg_sync(ctx, &jobs[i]) != i - 10)
            return 1;
    return 0;
}

static void sync_returns_what_the_job_returned(void **state)
{
    (void)state;
    for (uint32_t n_workers = 1; n_workers <= 3; n_workers++) {
        struct tg_graph *g = graph_new();
        struct tg_runtime *rt = runtime_of(n_workers);
        tg_kernel_id k = add_kernel(g, "k", sync_kernel, TG_SCALAR);
        for (uint32_t i = 0; i < 300; i++)
            add_task(g, k, 0, -1, 0);
        struct tg_run *run = run_new(rt, g, NULL);
        MUST(tg_run_execute(run, &err));
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

static _Atomic int is_taken; /* the job has begun, so somebody has stolen it */

static int explaining_job(void *arg, const struct tg_context *ctx)
{
    struct tg_thread_task task;
    (void)arg;
    atomic_store(&is_taken, 1);
    if (!tg_thread_task(0, &task) || task.task != tg_context_task(ctx) || strcmp(task.kernel, "k") != 0)
        return 2;
    tg_context_explain(ctx, "words of the job");
    return 1;
}

static int explained_kernel(void **args, const struct tg_context *ctx)
{
    struct tg_job job;
    uint64_t end = now_ns() + 5000000000u;
    (void)args;
    atomic_store(&is_taken, 0);
    tg_spawn(ctx, &job, explaining_job, NULL);
    while (!atomic_load(&is_taken) && now_ns() < end)
        sched_yield();
    return tg_sync(ctx, &job);
}

static void a_stolen_job_explains_the_failure_of_its_task(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    add_task(g, add_kernel(g, "k", explained_kernel, TG_SCALAR), 0, -1, 0);
    struct tg_run *run = run_new(rt, g, NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        assert_non_null(strstr(err.text, "words of the job"));
    }
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static int look_at_thread(void **args, const struct tg_context *ctx)
{
    struct tg_thread_task task;
    (void)args;
    return !tg_thread_task(0, &task) || task.task != tg_context_task(ctx) || strcmp(task.kernel, "k") != 0 ||
           (task.task == 0) != (task.name == NULL) || (task.name && strcmp(task.name, "named") != 0) ||
           tg_thread_task(1, &task);
}

static void a_thread_tells_which_task_it_executes(void **state)
{
    (void)state;
    struct tg_thread_task none;
    for (uint32_t n_workers = 1; n_workers <= 2; n_workers++) {
        for (int is_recorded = 0; is_recorded < 2; is_recorded++) {
            struct tg_graph *g = graph_new();
            struct tg_runtime *rt = runtime_of(n_workers);
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            struct tg_task_spec named = TG_TASK_SPEC_INIT;
            options.is_recorded = is_recorded;
            named.kernel = add_kernel(g, "k", look_at_thread, TG_SCALAR);
            add_task(g, named.kernel, 0, -1, 0);
            struct tg_arg arg = tg_arg_int(0);
            named.name = "named";
            named.n_args = 1;
            named.args = &arg;
            MUST(tg_graph_add_task(g, &named, NULL, &err));
            struct tg_run *run = run_new(rt, g, &options);
            assert_false(tg_thread_task(0, &none));
            MUST(tg_run_execute(run, &err));
            assert_false(tg_thread_task(0, &none));
            tg_run_destroy(run);
            tg_graph_destroy(g);
            tg_runtime_destroy(rt);
        }
    }
}

static int same_worker_job(void *arg, const struct tg_context *ctx)
{
    usleep(100); /* somebody else would steal it meanwhile */
    return tg_context_worker(ctx) != *(uint32_t *)arg;
}

static int same_worker_kernel(void **args, const struct tg_context *ctx)
{
    struct tg_job jobs[10];
    uint32_t me = tg_context_worker(ctx);
    int rc = 0;
    (void)args;
    for (int i = 0; i < 10; i++)
        tg_spawn(ctx, &jobs[i], same_worker_job, &me);
    for (int i = 9; i >= 0; i--)
        rc |= tg_sync(ctx, &jobs[i]);
    return rc;
}

static void deterministic_runs_do_one_thing_at_a_time(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(4);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    tg_kernel_id k = add_kernel(g, "k", same_worker_kernel, TG_SCALAR);
    for (uint32_t i = 0; i < 10; i++)
        add_task(g, k, 0, -1, 0);
    options.is_deterministic = true;
    struct tg_run *run = run_new(rt, g, &options);
    for (int round = 0; round < 5; round++)
        MUST(tg_run_execute(run, &err));
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

struct seedling {
    _Atomic uint64_t *count;
    uint32_t depth;
    bool fails;
};

static int grow(void *arg, const struct tg_context *ctx)
{
    struct seedling *s = arg;
    atomic_fetch_add_explicit(s->count, 1, memory_order_relaxed);
    if (s->depth == 0) {
        if (s->fails)
            tg_context_explain(ctx, "a leaf fails");
        return s->fails ? -5 : 0;
    }
    struct seedling next = {s->count, s->depth - 1, s->fails};
    int rc = 0;
    for (int i = 0; i < 3 && rc == 0; i++) {
        rc = tg_spawn_detached(ctx, grow, &next, sizeof next);
        next.fails = false;
    }
    return rc;
}

static _Atomic uint64_t n_grown;
static int plant_kernel(void **args, const struct tg_context *ctx)
{
    uint64_t x = *(uint64_t *)args[0];
    struct seedling s = {&n_grown, (uint32_t)x & 0xff, x >> 8 != 0};
    return tg_spawn_detached(ctx, grow, &s, sizeof s);
}
static int check_grown(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    return atomic_load(&n_grown) != *(uint64_t *)args[0];
}
static int empty_job(void *arg, const struct tg_context *ctx)
{
    (void)arg;
    (void)ctx;
    atomic_fetch_add(&n_grown, 1);
    return 0;
}
static int plant_nothing_kernel(void **args, const struct tg_context *ctx)
{
    (void)args;
    return tg_spawn_detached(ctx, empty_job, NULL, 0);
}

static void successors_wait_for_all_detached_children(void **state)
{
    (void)state;
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++)
        for (int is_deterministic = 0; is_deterministic < 2; is_deterministic++) {
            struct tg_graph *g = graph_new();
            struct tg_runtime *rt = runtime_of(n_workers);
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            tg_kernel_id plant = add_kernel(g, "plant", plant_kernel, TG_SCALAR),
                         check = add_kernel(g, "check", check_grown, TG_SCALAR);
            tg_kernel_id none = add_kernel(g, "none", plant_nothing_kernel, TG_SCALAR);
            for (uint32_t i = 0; i < 10; i++) {
                add_task(g, plant, 4, -1, 0);
                add_task(g, none, 0, -1, 0);
                add_task(g, check, (i + 1) * (1 + 3 + 9 + 27 + 81 + 1), -1, 0);
                MUST(tg_graph_add_edge(g, 3 * i, 3 * i + 1, &err));
                MUST(tg_graph_add_edge(g, 3 * i + 1, 3 * i + 2, &err));
                if (i)
                    MUST(tg_graph_add_edge(g, 3 * i - 1, 3 * i, &err));
            }
            options.is_deterministic = is_deterministic;
            struct tg_run *run = run_new(rt, g, &options);
            for (int round = 0; round < 20; round++) {
                atomic_store(&n_grown, 0);
                MUST(tg_run_execute(run, &err));
            }
            tg_run_destroy(run);
            tg_graph_destroy(g);
            tg_runtime_destroy(rt);
        }
}

static void a_detached_child_that_fails_fails_its_task_with_its_own_words(void **state)
{
    (void)state;
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_graph *g = graph_new();
        struct tg_runtime *rt = runtime_of(n_workers);
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        tg_kernel_id plant = add_kernel(g, "plant", plant_kernel, TG_SCALAR),
                     k = add_kernel(g, "k", nothing, TG_SCALAR);
        add_task(g, plant, 4, -1, 0);
        add_task(g, plant, 256 + 4, -1, 0);
        add_task(g, k, 0, -1, 0);
        MUST(tg_graph_add_edge(g, 1, 2, &err));
        options.keep_going = true;
        struct tg_run *run = run_new(rt, g, &options);
        for (int round = 0; round < 50; round++) {
            assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
            assert_string_equal(err.text, "task \"#1\" (plant) failed: a leaf fails");
            assert_int_equal(tg_run_task_state(run, 0), TG_TASK_DONE);
            assert_int_equal(tg_run_task_state(run, 1), TG_TASK_FAILED);
            assert_int_equal(tg_run_task_state(run, 2), TG_TASK_SKIPPED);
        }
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spawned_fibonacci_numbers_are_right),
        cmocka_unit_test(sync_returns_what_the_job_returned),
        cmocka_unit_test(a_stolen_job_explains_the_failure_of_its_task),
        cmocka_unit_test(a_thread_tells_which_task_it_executes),
        cmocka_unit_test(deterministic_runs_do_one_thing_at_a_time),
        cmocka_unit_test(successors_wait_for_all_detached_children),
        cmocka_unit_test(a_detached_child_that_fails_fails_its_task_with_its_own_words),
    };
    alarm(600); /* a hang ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
