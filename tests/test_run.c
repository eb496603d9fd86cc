/* Execution: results equal to sequential execution, callbacks, bound memory, priorities, wide and long graphs. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/run_graph.h"

/* ---- Random graphs ------------------------------------------------------------------------*/

static _Atomic uint32_t n_gated; /* graphs in which tasks share a countdown */

struct contents {
    uint64_t words[8 * 4 * TILE_ELEMS];
    uint32_t n;
};

static void read_contents(const struct tg_run *run, const struct tg_graph *g, struct contents *c)
{
    c->n = 0;
    for (uint32_t b = 0; b < g->space->n_buffers; b++)
        for (uint32_t t = 0; t < g->space->buffers[b].n_tiles; t++, c->n += TILE_ELEMS)
            memcpy(c->words + c->n, tg_run_tile(run, b, t), TILE_ELEMS * sizeof(uint64_t));
}

static void expect_contents(const struct tg_run *run, const struct tg_graph *g,
                            const struct contents *expected, const char *what, uint64_t seed)
{
    struct contents have;
    read_contents(run, g, &have);
    for (uint32_t i = 0; i < have.n; i++)
        if (have.words[i] != expected->words[i]) {
            fprintf(stderr, "%s, TGRAPH_TEST_SEED=%" PRIu64 ": word %u differs\n", what, seed, i);
            abort();
        }
}

static void run_serially(struct tg_runtime *rt, const struct tg_graph *g, uint64_t order, struct contents *c)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    options.is_deterministic = true;
    options.seed = order;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    read_contents(run, g, c);
    tg_run_destroy(run);
}

static void compare_one(struct tg_runtime *rt, uint64_t seed)
{
    struct random_graph r;
    struct tg_error err;
    struct dice d = {mix64(seed ^ 0x5eed)};
    struct random_shape shape = draw_shape(&d);
    struct contents expected, shuffled;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    random_graph_create(&r, &shape, seed);
    MUST(tg_graph_freeze(r.graph, &err));
    if (r.graph->gated)
        atomic_fetch_add(&n_gated, 1);
    run_serially(rt, r.graph, 0, &expected);
    run_serially(rt, r.graph, 1 + roll(&d, 1000), &shuffled);
    if (memcmp(shuffled.words, expected.words, expected.n * sizeof(uint64_t))) {
        fprintf(stderr, "shuffled order, TGRAPH_TEST_SEED=%" PRIu64 "\n", seed);
        abort();
    }
    options.is_recorded = roll(&d, 8) == 0;
    MUST(tg_run_create(rt, r.graph, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    expect_contents(run, r.graph, &expected, "first run", seed);
    MUST(tg_run_start(run, &err));
    MUST(tg_run_wait(run, &err));
    expect_contents(run, r.graph, &expected, "second run", seed);
    tg_run_destroy(run);
    tg_graph_destroy(r.graph);
}

static void random_graphs_equal_sequential_execution(void **state)
{
    (void)state;
    uint64_t seed = test_seed(1);
    uint32_t n = ROUNDS(7000);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        for (uint32_t i = 0; i < n / 4; i++)
            compare_one(rt, seed + n_workers * 1000000 + i);
        tg_runtime_destroy(rt);
    }
    printf("%u of %u graphs have gates\n", atomic_load(&n_gated), n / 4 * 4);
    assert_true(atomic_load(&n_gated) > n / 50);
}

struct crowd {
    struct tg_runtime *rt;
    uint64_t seed;
    uint32_t n;
};

static void *crowd_main(void *arg)
{
    struct crowd *c = arg;
    for (uint32_t i = 0; i < c->n; i++)
        compare_one(c->rt, c->seed + i);
    return NULL;
}

static void threads_that_share_a_runtime_do_not_disturb_each_other(void **state)
{
    (void)state;
    uint64_t seed = test_seed(2);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        struct crowd crowds[4];
        pthread_t threads[4];
        for (uint32_t i = 0; i < 4; i++) {
            crowds[i] = (struct crowd){rt, seed + n_workers * 1000000 + i * 10000, ROUNDS(200)};
            pthread_create(&threads[i], NULL, crowd_main, &crowds[i]);
        }
        for (uint32_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        tg_runtime_destroy(rt);
    }
}

static void asynchronous_runs_call_back_once_and_can_be_polled(void **state)
{
    (void)state;
    enum { N = 100 }; /* more than there are sources of roots */
    uint64_t seed = test_seed(3);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        static struct random_graph r[N];
        static struct contents expected[N];
        static struct bell bells[N];
        struct tg_run *runs[N];
        for (uint32_t i = 0; i < N; i++) {
            struct dice d = {mix64(seed + i)};
            struct random_shape shape = draw_shape(&d);
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            random_graph_create(&r[i], &shape, seed + i);
            MUST(tg_graph_freeze(r[i].graph, &err));
            run_serially(rt, r[i].graph, 0, &expected[i]);
            atomic_store(&bells[i].n_calls, 0);
            options.on_done = ring;
            options.user = &bells[i];
            MUST(tg_run_create(rt, r[i].graph, &options, &runs[i], &err));
            assert_int_equal(tg_run_poll(runs[i]), 1);
        }
        for (uint32_t round = 1; round <= 3; round++) {
            for (uint32_t i = 0; i < N; i++)
                MUST(tg_run_start(runs[i], &err));
            for (uint32_t i = 0; i < N; i++) {
                while (i % 2 && !tg_run_poll(runs[i]))
                    usleep(100);
                MUST(tg_run_wait(runs[i], &err));
                assert_int_equal(atomic_load(&bells[i].n_calls), round);
                assert_int_equal(atomic_load(&bells[i].status), 0);
                expect_contents(runs[i], r[i].graph, &expected[i], "asynchronous", seed + i);
            }
        }
        for (uint32_t i = 0; i < N; i++) {
            tg_run_destroy(runs[i]);
            tg_graph_destroy(r[i].graph);
        }
        tg_runtime_destroy(rt);
    }
}

struct relay {
    struct tg_run **runs;
    uint32_t index, n;
    _Atomic uint32_t *n_done;
};

static void start_another(void *user, struct tg_run *run, int status)
{
    struct relay *r = user;
    (void)run;
    usleep(r->index < 100 ? 500 : 0); /* lets the program fill all sources meanwhile */
    if (status == 0 && r->index + 100 < r->n && tg_run_start(r->runs[r->index + 100], NULL) != 0)
        return;
    atomic_fetch_add(r->n_done, status == 0);
}

static void callbacks_start_runs_while_many_others_wait(void **state)
{
    (void)state;
    enum { N = 300 };
    for (uint32_t n_workers = 1; n_workers <= 3; n_workers++) {
        static struct tg_run *runs[N];
        static struct relay relays[N];
        static struct random_graph r;
        _Atomic uint32_t n_done = 0;
        struct tg_runtime *rt = runtime_of(n_workers);
        struct random_shape shape = {.n_buffers = 1, .n_tiles = 1, .n_tasks = 5};
        random_graph_create(&r, &shape, 1);
        MUST(tg_graph_freeze(r.graph, &err));
        for (uint32_t i = 0; i < N; i++) {
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            relays[i] = (struct relay){runs, i, N, &n_done};
            options.on_done = start_another;
            options.user = &relays[i];
            MUST(tg_run_create(rt, r.graph, &options, &runs[i], &err));
        }
        for (uint32_t i = 0; i < 100; i++) /* more at a time than there are sources of roots */
            MUST(tg_run_start(runs[i], &err));
        while (atomic_load(&n_done) < N)
            usleep(1000);
        for (uint32_t i = 0; i < N; i++) {
            MUST(tg_run_wait(runs[i], &err));
            tg_run_destroy(runs[i]);
        }
        tg_graph_destroy(r.graph);
        tg_runtime_destroy(rt);
    }
}

/* ---- Graphs by hand -----------------------------------------------------------------------*/

static void keep_data_continues_and_its_absence_starts_over(void **state)
{
    (void)state;
    for (int is_deterministic = 0; is_deterministic < 2; is_deterministic++)
        for (int keep = 0; keep < 2; keep++) {
            struct tg_graph *g = graph_new();
            struct tg_runtime *rt = runtime_of(2);
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            tg_buffer_id x = add_buffer(g, "x", 1, 3, TG_INIT_IOTA);
            tg_kernel_id k = add_kernel(g, "k", add_to, TG_INOUT);
            for (uint32_t i = 0; i < 3; i++)
                add_task(g, k, 100, x, i);
            options.keep_data = keep;
            options.is_deterministic = is_deterministic;
            struct tg_run *run = run_new(rt, g, &options);
            for (uint32_t round = 1; round <= 3; round++) {
                MUST(tg_run_execute(run, &err));
                for (uint32_t i = 0; i < 3; i++)
                    assert_int_equal(*(uint64_t *)tg_run_tile(run, x, i), i + 100 * (keep ? round : 1));
            }
            tg_run_destroy(run);
            tg_graph_destroy(g);
            tg_runtime_destroy(rt);
        }
}

static int fail_first_time(void *user, uint32_t tile, void *data, size_t bytes, struct tg_error *error)
{
    _Atomic int *n_left = user;
    (void)tile;
    (void)error;
    memset(data, 0, bytes);
    *(uint64_t *)data = 7;
    return atomic_fetch_sub(n_left, 1) > 0 ? 1 : 0;
}

static void data_whose_initialisation_failed_is_initialised_by_the_next_start(void **state)
{
    (void)state;
    static _Atomic int n_left;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    tg_buffer_id x = add_buffer(g, "x", 1, 1, TG_INIT_ZERO), y;
    struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
    b.name = "y";
    b.dtype = TG_U64;
    b.init = TG_INIT_CALL;
    b.init_call = fail_first_time;
    b.init_user = (void *)&n_left;
    MUST(tg_graph_add_buffer(g, &b, &y, &err));
    struct tg_arg args[] = {tg_arg_tile(x, 0), tg_arg_tile(y, 0)};
    struct tg_task_spec copy = TG_TASK_SPEC_INIT;
    copy.kind = TG_TASK_COPY;
    copy.n_args = 2;
    copy.args = args;
    MUST(tg_graph_add_task(g, &copy, NULL, &err));
    atomic_store(&n_left, 1);
    struct tg_run *run = run_new(rt, g, NULL);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
    assert_int_equal(atomic_load(&n_left), 0);
    MUST(tg_run_execute(run, &err));
    assert_int_equal(atomic_load(&n_left), -1);
    assert_int_equal(*(uint64_t *)tg_run_tile(run, x, 0), 7);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void bound_memory_is_used_and_not_initialised(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(1);
    tg_buffer_id x = add_buffer(g, "x", 1, 2, TG_INIT_ZERO);
    tg_kernel_id k = add_kernel(g, "k", add_to, TG_INOUT);
    add_task(g, k, 1, x, 0);
    add_task(g, k, 1, x, 1);
    struct tg_run *run = run_new(rt, g, NULL);
    uint64_t mine[2] = {41, 99};
    MUST(tg_run_execute(run, &err));
    assert_int_equal(*(uint64_t *)tg_run_tile(run, x, 1), 1);
    MUST(tg_run_bind(run, x, mine, &err));
    MUST(tg_run_execute(run, &err));
    assert_int_equal(mine[0], 42);
    assert_int_equal(mine[1], 100);
    assert_ptr_equal(tg_run_tile(run, x, 1), &mine[1]);
    assert_null(tg_run_tile(run, x, 2));
    assert_null(tg_run_tile(run, 7, 0));
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

static void an_empty_graph_and_a_single_task_run(void **state)
{
    (void)state;
    for (uint32_t n_tasks = 0; n_tasks < 2; n_tasks++)
        for (int is_deterministic = 0; is_deterministic < 2; is_deterministic++) {
            struct tg_graph *g = graph_new();
            struct tg_runtime *rt = runtime_of(2);
            struct bell bell = {0, 1};
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            struct tg_run_stats stats;
            options.on_done = ring;
            options.user = &bell;
            options.is_deterministic = is_deterministic;
            if (n_tasks)
                add_task(g, add_kernel(g, "k", nothing, TG_SCALAR), 1, -1, 0);
            struct tg_run *run = run_new(rt, g, &options);
            assert_int_equal(tg_run_stats(run, &stats, &err), TG_E_STATE);
            for (uint32_t i = 1; i <= 100; i++) {
                MUST(tg_run_start(run, &err));
                MUST(tg_run_wait(run, &err));
                assert_int_equal(atomic_load(&bell.n_calls), i);
            }
            MUST(tg_run_stats(run, &stats, &err));
            assert_int_equal(stats.n_done, n_tasks);
            tg_run_destroy(run);
            tg_graph_destroy(g);
            tg_runtime_destroy(rt);
        }
}

static void wide_joins_and_forks_run_every_task_once(void **state)
{
    (void)state;
    /* layers of commuting adders with a barrier between them: joins of more than 2,048 */
    uint32_t widths[] = {2047, 2048, 2049, 5000, 20000};
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            struct tg_graph *g = graph_new();
            tg_buffer_id x = add_buffer(g, "x", 1, widths[w], TG_INIT_ZERO);
            tg_kernel_id k = add_kernel(g, "k", times_3_plus, TG_INOUT);
            struct tg_task_spec barrier = TG_TASK_SPEC_INIT;
            struct tg_run_stats stats;
            barrier.kind = TG_TASK_BARRIER;
            for (uint32_t layer = 1; layer <= 3; layer++) {
                for (uint32_t i = 0; i < widths[w]; i++)
                    add_task(g, k, layer, x, i);
                MUST(tg_graph_add_task(g, &barrier, NULL, &err));
            }
            struct tg_run *run = run_new(rt, g, NULL);
            for (int round = 0; round < 3; round++) {
                MUST(tg_run_execute(run, &err));
                for (uint32_t i = 0; i < widths[w]; i++)
                    assert_int_equal(*(uint64_t *)tg_run_tile(run, x, i), 9 + 6 + 3);
            }
            MUST(tg_run_stats(run, &stats, &err));
            assert_int_equal(stats.n_done, 3 * widths[w] + 3);
            tg_run_destroy(run);
            tg_graph_destroy(g);
        }
        tg_runtime_destroy(rt);
    }
}

enum { N_LAYERS = 60, MAX_LAYER = 70 };
static uint32_t layer_end[N_LAYERS + 1]; /* ids */
static _Atomic uint32_t n_done_in_layer[N_LAYERS + 1];
static _Atomic uint32_t n_too_early;

static int count_in_layer(void **args, const struct tg_context *ctx)
{
    (void)args;
    uint32_t layer = 0, task = ctx->task;
    while (task >= layer_end[layer])
        layer++;
    if (layer > 0 && atomic_load(&n_done_in_layer[layer - 1]) < layer_end[layer - 1] - (layer > 1 ? layer_end[layer - 2] : 0))
        atomic_fetch_add(&n_too_early, 1);
    atomic_fetch_add(&n_done_in_layer[layer], 1);
    return 0;
}

/* Layers of every width up to 70, each waiting for all of the layer before: gates whose members come one
 * by one, in chunks, and in chunks of which the last is short. */
static void layers_behind_gates_run_one_after_the_other(void **state)
{
    (void)state;
    struct dice d = {test_seed(12)};
    struct tg_graph *g = graph_new();
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = "count";
    kernel.cpu = count_in_layer;
    MUST(tg_graph_add_kernel(g, &kernel, &task.kernel, &err));
    uint32_t before[MAX_LAYER], n = 0;
    for (uint32_t layer = 0; layer < N_LAYERS; layer++) {
        uint32_t width = 1 + roll(&d, MAX_LAYER), now[MAX_LAYER];
        task.after = before;
        for (uint32_t i = 0; i < width; i++)
            MUST(tg_graph_add_task(g, &task, &now[i], &err));
        memcpy(before, now, width * sizeof *now);
        task.n_after = width;
        layer_end[layer] = n += width;
    }
    MUST(tg_graph_freeze(g, &err));
    assert_non_null(g->gated);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        struct tg_run *run = run_new(rt, g, NULL);
        for (uint32_t round = 0; round < ROUNDS(300); round++) {
            memset((void *)n_done_in_layer, 0, sizeof n_done_in_layer);
            MUST(tg_run_execute(run, &err));
            assert_int_equal(atomic_load(&n_too_early), 0);
            for (uint32_t layer = 0; layer < N_LAYERS; layer++)
                assert_int_equal(atomic_load(&n_done_in_layer[layer]), layer_end[layer] - (layer ? layer_end[layer - 1] : 0));
        }
        tg_run_destroy(run);
        tg_runtime_destroy(rt);
    }
    tg_graph_destroy(g);
}

enum { N_BEFORE_GATE = 64, LONG_TASK = 7 };
static _Atomic uint32_t n_behind_gate, n_gave_up;

static int count_behind_gate(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    atomic_fetch_add(&n_behind_gate, 1);
    return 0;
}
static int wait_for_gate(void **args, const struct tg_context *ctx)
{
    (void)args, (void)ctx;
    uint64_t until = now_ns() + 5000000000u;
    while (atomic_load(&n_behind_gate) == 0 && now_ns() < until)
        sched_yield();
    if (atomic_load(&n_behind_gate) == 0)
        atomic_fetch_add(&n_gave_up, 1);
    return 0;
}

/* The first worker to come gets eight roots, of which the last, no predecessor of the gate, takes as long as the gate is shut:
 * what the worker holds back of the seven before it has to be counted by then. */
static void a_long_task_keeps_no_gate_shut(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_task_spec task = TG_TASK_SPEC_INIT;
    tg_kernel_id before = add_kernel(g, "before", nothing, TG_SCALAR), behind, waits;
    struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
    kernel.name = "behind";
    kernel.cpu = count_behind_gate;
    MUST(tg_graph_add_kernel(g, &kernel, &behind, &err));
    kernel.name = "waits";
    kernel.cpu = wait_for_gate;
    MUST(tg_graph_add_kernel(g, &kernel, &waits, &err));
    tg_task_id after[N_BEFORE_GATE];
    uint32_t n = 0;
    for (uint32_t i = 0; i <= N_BEFORE_GATE; i++) {
        task.kernel = waits;
        if (i == LONG_TASK)
            MUST(tg_graph_add_task(g, &task, NULL, &err));
        else
            after[n++] = add_task(g, before, 0, -1, 0);
    }
    task.kernel = behind;
    task.after = after;
    task.n_after = n;
    for (uint32_t i = 0; i < 4; i++)
        MUST(tg_graph_add_task(g, &task, NULL, &err));
    MUST(tg_graph_freeze(g, &err));
    assert_non_null(g->gated);
    for (uint32_t n_workers = 2; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        struct tg_run *run = run_new(rt, g, NULL);
        for (uint32_t round = 0; round < ROUNDS(500); round++) {
            atomic_store(&n_behind_gate, 0);
            MUST(tg_run_execute(run, &err));
            assert_int_equal(atomic_load(&n_gave_up), 0);
            assert_int_equal(atomic_load(&n_behind_gate), 4);
        }
        tg_run_destroy(run);
        tg_runtime_destroy(rt);
    }
    tg_graph_destroy(g);
}

static void a_layer_of_wide_joins_is_prepared_in_linear_time(void **state)
{
    (void)state;
    /* 2,100 x 2,100 edges, every successor a wide join. */
    enum { N = 2100 };
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    tg_kernel_id k = add_kernel(g, "k", nothing, TG_SCALAR);
    for (uint32_t i = 0; i < 2 * N; i++)
        add_task(g, k, 0, -1, 0);
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t j = 0; j < N; j++)
            MUST(tg_graph_add_edge(g, i, N + j, &err));
    struct tg_run *run = run_new(rt, g, NULL);
    uint64_t begin = now_ns();
    MUST(tg_run_execute(run, &err));
    MUST(tg_run_execute(run, &err));
    assert_in_range((now_ns() - begin) / 1000000, 0, IS_SLOW ? 60000 : 1500);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

/* ---- Priorities ---------------------------------------------------------------------------*/

struct log {
    uint32_t n;
    tg_task_id tasks[4096];
};
static struct log order;

static int write_log(void **args, const struct tg_context *ctx)
{
    (void)args;
    order.tasks[order.n++] = tg_context_task(ctx);
    return 0;
}

/* One worker: no task of a lower class may start while a ready one of a higher class waits. */
static void expect_priority_order(const struct tg_graph *g)
{
    static uint32_t left[4096];
    static bool is_done[4096];
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        left[t] = g->nodes[t].n_preds;
        is_done[t] = false;
    }
    assert_int_equal(order.n, g->n_tasks);
    for (uint32_t i = 0; i < order.n; i++) {
        uint32_t task = order.tasks[i];
        assert_int_equal(left[task], 0);
        for (uint32_t t = 0; t < g->n_tasks; t++)
            if (!is_done[t] && left[t] == 0)
                assert_true(g->class_of[t] <= g->class_of[task]);
        is_done[task] = true;
        for (uint32_t k = g->nodes[task].succ; k < g->nodes[task + 1].succ; k++)
            left[g->succ[k]]--;
    }
}

static void with_one_worker_the_highest_class_among_ready_tasks_runs_first(void **state)
{
    (void)state;
    struct dice d = {mix64(test_seed(4))};
    for (int has_root = 0; has_root < 2; has_root++) {
        struct tg_graph *g = graph_new();
        struct tg_runtime *rt = runtime_of(1);
        tg_kernel_id k = add_kernel(g, "log", write_log, TG_SCALAR);
        struct tg_arg arg = tg_arg_int(0);
        for (uint32_t i = 0; i < 300; i++) {
            struct tg_task_spec t = TG_TASK_SPEC_INIT;
            tg_task_id after = i == 0 ? 0 : i <= 60 ? 0 : 1 + roll(&d, i - 1);
            t.kernel = k;
            t.n_args = 1;
            t.args = &arg;
            t.priority = (int32_t)roll(&d, 100) - 50;
            if (has_root && i) {
                t.n_after = 1;
                t.after = &after;
            }
            MUST(tg_graph_add_task(g, &t, NULL, &err));
        }
        struct tg_run *run = run_new(rt, g, NULL);
        assert_int_equal(g->class_of[0] <= 3, 1);
        order.n = 0;
        MUST(tg_run_execute(run, &err));
        if (has_root) {
            expect_priority_order(g);
        } else {
            for (uint32_t i = 1; i < order.n; i++)
                assert_true(g->class_of[order.tasks[i]] <= g->class_of[order.tasks[i - 1]]);
        }
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

/* ---- Long chains --------------------------------------------------------------------------*/

static void a_million_task_chain_runs_in_a_stack_of_64_kib(void **state)
{
    (void)state;
    enum { N = IS_SLOW ? 100000 : 1000000 };
    struct tg_graph *g = graph_new();
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    options.n_workers = 2;
    options.stack_bytes = IS_SLOW ? 256 << 10 : 64 << 10;
    MUST(tg_runtime_create(&options, &rt, &err));
    tg_buffer_id x = add_buffer(g, "x", 1, 1, TG_INIT_ZERO);
    tg_kernel_id k = add_kernel(g, "k", add_to, TG_INOUT);
    for (uint32_t i = 0; i < N; i++)
        add_task(g, k, 1, x, 0);
    struct tg_run *run = run_new(rt, g, NULL);
    MUST(tg_run_start(run, &err));
    while (!tg_run_poll(run)) /* not wait: the caller would help, on its own stack */
        usleep(1000);
    MUST(tg_run_wait(run, &err));
    assert_int_equal(*(uint64_t *)tg_run_tile(run, x, 0), N);
    tg_run_destroy(run);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_equal_sequential_execution),
        cmocka_unit_test(threads_that_share_a_runtime_do_not_disturb_each_other),
        cmocka_unit_test(asynchronous_runs_call_back_once_and_can_be_polled),
        cmocka_unit_test(callbacks_start_runs_while_many_others_wait),
        cmocka_unit_test(keep_data_continues_and_its_absence_starts_over),
        cmocka_unit_test(data_whose_initialisation_failed_is_initialised_by_the_next_start),
        cmocka_unit_test(bound_memory_is_used_and_not_initialised),
        cmocka_unit_test(an_empty_graph_and_a_single_task_run),
        cmocka_unit_test(wide_joins_and_forks_run_every_task_once),
        cmocka_unit_test(layers_behind_gates_run_one_after_the_other),
        cmocka_unit_test(a_long_task_keeps_no_gate_shut),
        cmocka_unit_test(a_layer_of_wide_joins_is_prepared_in_linear_time),
        cmocka_unit_test(with_one_worker_the_highest_class_among_ready_tasks_runs_first),
        cmocka_unit_test(a_million_task_chain_runs_in_a_stack_of_64_kib),
    };
    alarm(600); /* a hang ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
