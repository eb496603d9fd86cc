/* What is remembered of a run: the span of every task, and of every round of a body. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/run_graph.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_agree_with_the_order_of_the_graph),
        cmocka_unit_test(every_round_of_a_body_is_recorded),
    };
    alarm(600); /* a hang ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
