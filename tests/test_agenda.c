/* Policies and plans between workers: results as in sequential execution, order as planned, refusals. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>

#include "sched/guide.h"
#include "tests/run_graph.h"

static const char *const policies[] = {"eager", "steal", "heft", "bandwidth"};
enum { N_POLICIES = 4, MOST_WORDS = 8 * 4 * TILE_ELEMS };

static uint32_t read_words(const struct tg_run *run, const struct tg_graph *g, uint64_t *words)
{
    uint32_t n = 0;
    for (uint32_t b = 0; b < g->space->n_buffers; b++)
        for (uint32_t t = 0; t < g->space->buffers[b].n_tiles; t++, n += TILE_ELEMS)
            memcpy(words + n, tg_run_tile(run, b, t), TILE_ELEMS * sizeof(uint64_t));
    return n;
}

static void run_serially(struct tg_runtime *rt, const struct tg_graph *g, uint64_t *words)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    options.is_deterministic = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    read_words(run, g, words);
    tg_run_destroy(run);
}

static void compare_one(struct tg_runtime *rt, uint64_t seed)
{
    static uint64_t expected[MOST_WORDS], have[MOST_WORDS];
    struct random_graph r;
    struct dice d = {mix64(seed ^ 0x5eed)};
    struct random_shape shape = draw_shape(&d);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    random_graph_create(&r, &shape, seed);
    MUST(tg_graph_freeze(r.graph, &err));
    run_serially(rt, r.graph, expected);
    options.policy = policies[seed % N_POLICIES];
    options.is_recorded = roll(&d, 2) == 0;
    MUST(tg_run_create(rt, r.graph, &options, &run, &err));
    for (uint32_t start = 0; start < 3; start++) {
        MUST(tg_run_execute(run, &err));
        uint32_t n = read_words(run, r.graph, have);
        if (memcmp(have, expected, n * sizeof(uint64_t)) != 0)
            fail_msg("start %u under %s differs, TGRAPH_TEST_SEED=%" PRIu64, start, options.policy, seed);
    }
    tg_run_destroy(run);
    tg_graph_destroy(r.graph);
}

static void random_graphs_equal_sequential_execution_under_every_policy(void **state)
{
    (void)state;
    uint64_t seed = test_seed(1);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        for (uint32_t i = 0; i < ROUNDS(600); i++)
            compare_one(rt, seed + n_workers * 1000000 + i);
        tg_runtime_destroy(rt);
    }
}

/* Two NUMA nodes: workers of one take what is left to the other. */
static void nodes_help_each_other(void **state)
{
    (void)state;
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    options.topology = "pack:2 [numa] core:2 pu:1";
    options.n_workers = 4;
    options.is_unbound = true;
    MUST(tg_runtime_create(&options, &rt, &err));
    assert_int_equal(rt->topology->n_numa, 2);
    for (uint32_t i = 0; i < ROUNDS(400); i++)
        compare_one(rt, 7000000 + i);
    tg_runtime_destroy(rt);
}

/* ---- Plans --------------------------------------------------------------------------------*/

enum { N_FREE = 50 };

/* Tasks that do not depend on each other. */
static struct tg_graph *independent(void)
{
    struct tg_graph *g = graph_new();
    tg_buffer_id x = add_buffer(g, "x", N_FREE, N_FREE, TG_INIT_ZERO);
    tg_kernel_id k = add_kernel(g, "k", add_to, TG_INOUT);
    for (uint32_t i = 0; i < N_FREE; i++)
        add_task(g, k, 1, x, i);
    MUST(tg_graph_freeze(g, &err));
    return g;
}

struct planned {
    uint32_t device[N_FREE];
    double start[N_FREE];
    const char *devices[2];
    struct tgi_guide_plan plan;
    struct tgi_guide guide;
};

/* On the first device, the last task first. */
static void plan_backwards(struct planned *p)
{
    *p = (struct planned){.devices = {"cpu:0", "cuda:0"}};
    for (uint32_t t = 0; t < N_FREE; t++)
        p->start[t] = N_FREE - t;
    p->plan = (struct tgi_guide_plan){N_FREE, 2, p->devices, p->device, p->start, N_FREE};
    p->guide = (struct tgi_guide){.plan = &p->plan};
}

static void a_worker_follows_the_order_of_a_plan(void **state)
{
    (void)state;
    struct tg_graph *g = independent();
    struct tg_runtime *rt = runtime_of(1);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct planned p;
    struct tg_run *run;
    plan_backwards(&p);
    options.is_recorded = true;
    MUST(tgi_run_create_guided(rt, g, &options, &p.guide, &run, &err));
    memset(&p, 0, sizeof p); /* needed until the run is there, and no longer */
    for (int start = 0; start < 2; start++) {
        MUST(tg_run_execute(run, &err));
        const struct tgi_span *spans = tgi_run_spans(run);
        for (uint32_t t = 0; t + 1 < N_FREE; t++)
            assert_true(spans[t].start_ns >= spans[t + 1].end_ns);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

static void plans_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct tg_graph *g = independent();
    struct tg_runtime *rt = runtime_of(2);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct planned p;
    struct tg_run *run;
    plan_backwards(&p);
    p.plan.n_tasks--;
    assert_int_equal(tgi_run_create_guided(rt, g, &options, &p.guide, &run, &err), TG_E_BAD_VALUE);
    assert_non_null(strstr(err.text, "of another graph"));
    plan_backwards(&p);
    p.device[7] = 1;
    assert_int_equal(tgi_run_create_guided(rt, g, &options, &p.guide, &run, &err), TG_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "task \"#7\" on cuda:0"));
    plan_backwards(&p);
    options.is_deterministic = true;
    assert_int_equal(tgi_run_create_guided(rt, g, &options, &p.guide, &run, &err), TG_E_UNSUPPORTED);
    options.policy = "heft";
    assert_int_equal(tg_run_create(rt, g, &options, &run, &err), TG_E_UNSUPPORTED);
    options = (struct tg_run_options)TG_RUN_OPTIONS_INIT;
    options.policy = "luck";
    assert_int_equal(tg_run_create(rt, g, &options, &run, &err), TG_E_BAD_VALUE);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

/* ---- Failures -----------------------------------------------------------------------------*/

static int fail_on_third(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    return *(int64_t *)args[0] == 3;
}

static void a_run_that_fails_ends_and_starts_again(void **state)
{
    (void)state;
    struct tg_graph *g = graph_new();
    struct tg_runtime *rt = runtime_of(2);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_run_stats stats;
    tg_buffer_id x = add_buffer(g, "x", 8, 4, TG_INIT_ZERO);
    tg_kernel_id k = add_kernel(g, "k", fail_on_third, TG_INOUT);
    for (uint32_t i = 0; i < 40; i++)
        add_task(g, k, i, x, i % 4);
    MUST(tg_graph_freeze(g, &err));
    options.policy = "eager";
    options.keep_going = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    for (int start = 0; start < 3; start++) {
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        MUST(tg_run_stats(run, &stats, &err));
        assert_int_equal(stats.n_failed, 1);
        assert_int_equal(stats.n_skipped, 9);
        assert_int_equal(stats.n_done, 30);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_equal_sequential_execution_under_every_policy),
        cmocka_unit_test(nodes_help_each_other),
        cmocka_unit_test(a_worker_follows_the_order_of_a_plan),
        cmocka_unit_test(plans_that_do_not_fit_are_refused),
        cmocka_unit_test(a_run_that_fails_ends_and_starts_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
