/* Execution: results equal to sequential execution, failures, limits, children, records. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "graph/model.h"
#include "sched/record.h"
#include "sched/runtime.h"
#include "tests/random_graph.h"

static struct tg_error err;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct tg_runtime *runtime_of(uint32_t n_workers)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    options.n_workers = n_workers;
    options.is_unbound = true;
    MUST(tg_runtime_create(&options, &rt, &err));
    return rt;
}

/* ---- Random graphs ------------------------------------------------------------------------*/

static struct random_shape draw_shape(struct dice *d)
{
    struct random_shape shape = {.n_buffers = 1 + roll(d, 4),
                                 .n_tiles = 1 + roll(d, 4),
                                 .n_tasks = 1 + roll(d, roll(d, 10) ? 20 : 80),
                                 .has_bodies = roll(d, 4) == 0,
                                 .has_collectives = roll(d, 2),
                                 .has_barriers = roll(d, 3) == 0,
                                 .has_overlaps = roll(d, 4) == 0,
                                 .percent_rows = roll(d, 3) * 30,
                                 .percent_after = roll(d, 3) * 10,
                                 .percent_priority = roll(d, 4) == 0 ? 50 : 0};
    shape.is_crowded = roll(d, 4) == 0;
    return shape;
}

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

struct bell {
    _Atomic uint32_t n_calls;
    _Atomic int status;
};

static void ring(void *user, struct tg_run *run, int status)
{
    struct bell *bell = user;
    (void)run;
    atomic_store(&bell->status, status);
    atomic_fetch_add(&bell->n_calls, 1);
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

static struct tg_graph *graph_new(void)
{
    struct tg_graph *g;
    MUST(tg_graph_create("g", &g, &err));
    return g;
}

static tg_buffer_id add_buffer(struct tg_graph *g, const char *name, int64_t elems, int64_t tiles,
                               enum tg_init init)
{
    struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id;
    b.name = name;
    b.dtype = TG_U64;
    b.n_dims = 1;
    b.shape[0] = elems;
    b.n_tile_dims = 1;
    b.tiles[0] = tiles;
    b.init = init;
    MUST(tg_graph_add_buffer(g, &b, &id, &err));
    return id;
}

/* A kernel of a scalar "x" and, unless access is TG_SCALAR, a tile "t". */
static tg_kernel_id add_kernel(struct tg_graph *g, const char *name, tg_cpu_fn fn, enum tg_access access)
{
    struct tg_param params[] = {{"x", TG_I64, TG_SCALAR, TG_SUM}, {"t", TG_U64, access, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    k.name = name;
    k.n_params = access == TG_SCALAR ? 1 : 2;
    k.params = params;
    k.cpu = fn;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    return id;
}

static tg_task_id add_task(struct tg_graph *g, tg_kernel_id kernel, int64_t x, int64_t buffer, uint32_t tile)
{
    struct tg_arg args[] = {tg_arg_int(x), tg_arg_tile((tg_buffer_id)buffer, tile)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    tg_task_id id;
    t.kernel = kernel;
    t.n_args = buffer < 0 ? 1 : 2;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, &id, &err));
    return id;
}

static struct tg_run *run_new(struct tg_runtime *rt, struct tg_graph *g, const struct tg_run_options *options)
{
    struct tg_run *run;
    MUST(tg_graph_freeze(g, &err));
    MUST(tg_run_create(rt, g, options, &run, &err));
    return run;
}

static int add_to(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    **(uint64_t **)args[1] += *(uint64_t *)args[0];
    return 0;
}

static int times_3_plus(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    uint64_t *t = *(uint64_t **)args[1];
    *t = *t * 3 + *(uint64_t *)args[0];
    return 0;
}

static int nothing(void **args, const struct tg_context *ctx)
{
    (void)args;
    (void)ctx;
    return 0;
}

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

/* ---- Children -----------------------------------------------------------------------------*/

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

/* ---- Records ------------------------------------------------------------------------------*/

static void spans_agree_with_the_order_of_the_graph(void **state)
{
    (void)state;
    uint64_t seed = test_seed(7), n_stolen_of_all = 0, n_steals_of_all = 0;
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        for (uint32_t i = 0; i < ROUNDS(200); i++) {
            static struct random_graph r;
            struct dice d = {mix64(seed + i)};
            struct random_shape shape = draw_shape(&d);
            struct tg_run_options options = TG_RUN_OPTIONS_INIT;
            struct tg_run *run;
            uint32_t n;
            random_graph_create(&r, &shape, seed + i);
            MUST(tg_graph_freeze(r.graph, &err));
            options.is_recorded = true;
            options.is_deterministic = i % 8 == 0;
            MUST(tg_run_create(rt, r.graph, &options, &run, &err));
            for (int round = 0; round < 2; round++) {
                MUST(tg_run_execute(run, &err));
                const struct tg_graph *g = r.graph;
                const struct tgi_span *spans = tgi_run_spans(run);
                assert_non_null(spans);
                for (uint32_t t = 0; t < g->n_tasks; t++) {
                    assert_true(spans[t].end_ns >= spans[t].start_ns &&
                                spans[t].start_ns >= spans[t].ready_ns);
                    assert_true(spans[t].worker < n_workers);
                    assert_int_equal(spans[t].state, TG_TASK_DONE);
                    assert_int_equal(spans[t].attempts, 1);
                    assert_true(spans[t].victim <= n_workers && spans[t].victim != 1 + spans[t].worker);
                    for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++) {
                        assert_true(spans[g->succ[k]].start_ns >= spans[t].end_ns);
                        assert_true(spans[g->succ[k]].ready_ns >= spans[t].end_ns);
                    }
                }
                const struct tgi_worker_stats *stats = tgi_run_worker_stats(run, &n);
                uint64_t n_tasks = 0, n_steals = 0, n_stolen = 0;
                assert_int_equal(n, n_workers);
                for (uint32_t w = 0; w < n; w++) {
                    n_tasks += stats[w].n_tasks;
                    n_steals += stats[w].n_steals;
                }
                for (uint32_t t = 0; t < g->n_tasks; t++)
                    n_stolen += spans[t].victim > 0;
                for (const struct tgi_round *r = tgi_run_rounds(run)->first; r; r = r->next)
                    for (uint32_t t = 0; t < r->graph->n_tasks; t++)
                        n_stolen += r->spans[t].victim > 0;
                assert_true(n_stolen <= n_steals && (!options.is_deterministic || n_stolen == 0));
                n_stolen_of_all += n_stolen;
                n_steals_of_all += n_steals;
                assert_true(n_tasks >= g->n_tasks);
                assert_true(shape.has_bodies || shape.n_tasks != g->n_tasks || n_tasks >= g->n_tasks);
            }
            tg_run_destroy(run);
            tg_graph_destroy(r.graph);
        }
        tg_runtime_destroy(rt);
    }
    assert_true(n_stolen_of_all > 0 || n_steals_of_all == 0);
}

/* repeat 3 { repeat 4 { a; b after a }; c after that } */
static void every_round_of_a_body_is_recorded(void **state)
{
    (void)state;
    for (uint32_t n_workers = 0; n_workers <= 3; n_workers++) { /* 0: deterministic */
        struct tg_graph *g = graph_new(), *outer, *inner;
        struct tg_runtime *rt = runtime_of(n_workers ? n_workers : 2);
        struct tg_task_spec repeat = TG_TASK_SPEC_INIT;
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        tg_buffer_id x = add_buffer(g, "x", 1, 1, TG_INIT_ZERO);
        tg_kernel_id k = add_kernel(g, "k", add_to, TG_INOUT);
        MUST(tg_graph_create_body(g, &outer, &err));
        MUST(tg_graph_create_body(outer, &inner, &err));
        add_task(inner, k, 1, x, 0);
        add_task(inner, k, 1, x, 0);
        repeat.kind = TG_TASK_REPEAT;
        repeat.count = 4;
        repeat.body = inner;
        MUST(tg_graph_add_task(outer, &repeat, NULL, &err));
        add_task(outer, k, 1, x, 0);
        repeat.count = 3;
        repeat.body = outer;
        MUST(tg_graph_add_task(g, &repeat, NULL, &err));
        options.is_recorded = true;
        options.is_deterministic = n_workers == 0;
        struct tg_run *run = run_new(rt, g, &options);
        for (int start = 0; start < 2; start++) {
            MUST(tg_run_execute(run, &err));
            assert_int_equal(tgi_run_spans(run)[0].state, TG_TASK_DONE);
            const struct tgi_rounds *rounds = tgi_run_rounds(run);
            uint32_t index = 0, n_inner = 0;
            uint64_t last_ns = 0; /* everything is one chain */
            assert_int_equal(rounds->n, 3 + 3 * 4);
            assert_int_equal(rounds->n_lost, 0);
            for (const struct tgi_round *r = rounds->first; r; r = r->next, index++) {
                bool is_inner = r->graph == inner;
                n_inner += is_inner;
                assert_int_equal(r->index, index);
                assert_int_equal(r->parent_task, 0);
                assert_int_equal(r->parent != NULL, is_inner);
                assert_true(!is_inner || r->parent->graph == outer);
                assert_int_equal(r->previous != NULL, r->number > 0);
                assert_true(!r->previous || r->previous->number + 1 == r->number);
                assert_true(r->begin_ns >= last_ns);
                for (uint32_t t = 0; t < 2; t++) {
                    assert_int_equal(r->spans[t].state, is_inner || t == 1 ? TG_TASK_DONE : TG_TASK_WAITING);
                    assert_true(r->spans[t].start_ns >= r->begin_ns && r->spans[t].end_ns >= r->spans[t].start_ns);
                    assert_true(r->spans[t].ready_ns <= r->spans[t].start_ns && r->spans[t].ready_ns >= r->begin_ns);
                }
                assert_true(r->spans[1].start_ns >= r->spans[0].end_ns);
                last_ns = is_inner ? r->spans[1].end_ns : last_ns;
            }
            assert_int_equal(index, 15);
            assert_int_equal(n_inner, 12);
        }
        tg_run_destroy(run);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
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
        cmocka_unit_test(a_layer_of_wide_joins_is_prepared_in_linear_time),
        cmocka_unit_test(with_one_worker_the_highest_class_among_ready_tasks_runs_first),
        cmocka_unit_test(a_million_task_chain_runs_in_a_stack_of_64_kib),
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
        cmocka_unit_test(a_cancelled_run_whose_task_hangs_still_ends_at_its_limit),
        cmocka_unit_test(short_runs_never_exceed_a_limit_of_an_hour),
        cmocka_unit_test(spawned_fibonacci_numbers_are_right),
        cmocka_unit_test(sync_returns_what_the_job_returned),
        cmocka_unit_test(a_stolen_job_explains_the_failure_of_its_task),
        cmocka_unit_test(a_thread_tells_which_task_it_executes),
        cmocka_unit_test(deterministic_runs_do_one_thing_at_a_time),
        cmocka_unit_test(successors_wait_for_all_detached_children),
        cmocka_unit_test(a_detached_child_that_fails_fails_its_task_with_its_own_words),
        cmocka_unit_test(spans_agree_with_the_order_of_the_graph),
        cmocka_unit_test(every_round_of_a_body_is_recorded),
        cmocka_unit_test(calls_in_the_wrong_state_are_refused),
    };
    alarm(600); /* a hang ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
