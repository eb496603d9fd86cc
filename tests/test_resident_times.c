/* Times of tasks inside resident kernels, on the stand-in driver: a span for every task, in the order of the graph, by the worker that
 * executed it; beside tasks that stay nodes of the graph, in rounds, and of a start that failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/offload_graph.h"
#include "sched/record.h"
#include "tests/device_run.h"

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}}, "
                              "'F': {'dtype': 'f64', 'shape': [8], 'tiles': [1], 'init': {'fill': 0.5}}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}, "
                            "{'id': 'all', 'barrier': true}, {'id': 'last', 'kernel': 'mix', 'after': ['all'], "
                            "'args': {'id': 99, 'n': 32, 'out': 'A[0]'}}";

static struct tg_run *open_run(struct tg_runtime *rt, const struct tg_graph *g)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.executor = TG_EXECUTOR_RESIDENT;
    options.is_recorded = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    return run;
}

static void expect_spans(const struct tg_run *run, const struct tg_graph *g)
{
    const struct tgi_span *spans = tgi_run_spans(run);
    uint32_t lane;
    assert_non_null(spans);
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        bool is_barrier = tgi_graph_op(g, t)->kind == TGI_OP_BARRIER;
        assert_true(spans[t].end_ns > 0 && spans[t].end_ns >= spans[t].start_ns);
        assert_int_equal(spans[t].state, TG_TASK_DONE);
        assert_int_equal(spans[t].attempts, 1);
        if (!is_barrier) {
            assert_int_equal(tgi_run_device_of(run, spans[t].worker, &lane), 0);
            assert_true(lane >= TGI_COMPUTE_LANES && lane < tgi_run_n_lanes(run));
        }
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            assert_true(spans[g->succ[k]].start_ns >= spans[t].end_ns);
    }
    /* A worker does one thing at a time. */
    for (uint32_t a = 0; a < g->n_tasks; a++)
        for (uint32_t b = a + 1; b < g->n_tasks; b++)
            if (spans[a].worker == spans[b].worker && spans[a].worker)
                assert_true(spans[a].end_ns <= spans[b].start_ns || spans[b].end_ns <= spans[a].start_ns);
}

static int generated(void **state)
{
    (void)state;
    device_reset(1, 1, true);
    return 0;
}

static void every_task_has_a_span(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    struct tgi_offload_graph_stats stats;
    struct tg_error err;
    const char *why;
    (void)state;
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g);
    for (int i = 0; i < 4; i++) {
        MUST(tg_run_execute(run, &err));
        if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
            fail_msg("not resident: %s", why);
        expect_spans(run, g);
        assert_true(device_read(run, g, have));
        assert_memory_equal(have, expected, device_words(g) * sizeof *have);
    }
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_replayed, 4);
    device_close_all(run, rt, g);
    free(expected);
    free(have);
}

/* A task outside stands between two looks at the clock, as in any graph, and what comes after it comes after it. */
static void what_is_outside_has_its_time_too(void **state)
{
    static const char outside[] = ", {'id': 'beside', 'kernel': 'histogram', 'args': {'n': 8, 'bins': 4, 'lo': 0, 'hi': 1, 'x': 'F[0]', 'h': 'A[5]'}}";
    char *text;
    struct tg_error err;
    const char *why;
    uint32_t n_workers = 0, n_nodes = 0, lane;
    (void)state;
    assert_true(asprintf(&text, "%s%s", tasks, outside) > 0);
    struct tg_graph *g = device_graph(buffers, ", 'histogram': {'builtin': 'histogram'}", text);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g);
    MUST(tg_run_execute(run, &err));
    if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
        fail_msg("not resident: %s", why);
    const struct tgi_span *spans = tgi_run_spans(run);
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        assert_true(spans[t].end_ns > 0 && spans[t].end_ns >= spans[t].start_ns);
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            assert_true(spans[g->succ[k]].start_ns >= spans[t].end_ns);
        if (tgi_graph_op(g, t)->kind == TGI_OP_BARRIER)
            continue;
        assert_int_equal(tgi_run_device_of(run, spans[t].worker, &lane), 0);
        n_workers += lane >= TGI_COMPUTE_LANES;
        n_nodes += lane < TGI_COMPUTE_LANES;
    }
    assert_int_equal(n_nodes, 1);
    assert_int_equal(n_workers, 19);
    device_close_all(run, rt, g);
    free(text);
}

static void a_round_has_the_times_of_its_tasks(void **state)
{
    static const char rounds[] = ", {'id': 'rounds', 'repeat': 3, 'do': [{'id': 'one', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
                                 "{'id': 'two', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}]}";
    char *text;
    struct tg_error err;
    const char *why;
    uint64_t before_ns = 0, number = 0;
    (void)state;
    assert_true(asprintf(&text, "%s%s", tasks, rounds) > 0);
    struct tg_graph *g = device_graph(buffers, "", text);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g);
    MUST(tg_run_execute(run, &err));
    if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
        fail_msg("not resident: %s", why);
    for (const struct tgi_round *r = tgi_run_rounds(run)->first; r; r = r->next, number++) {
        assert_int_equal(r->number, number);
        assert_true(r->spans[0].start_ns >= before_ns && r->spans[0].end_ns > 0);
        assert_true(r->spans[1].start_ns >= r->spans[0].end_ns && r->spans[1].end_ns >= r->spans[1].start_ns);
        before_ns = r->spans[1].end_ns;
    }
    assert_int_equal(number, 3);
    device_close_all(run, rt, g);
    free(text);
}

/* A body that fails has run; one that was left out because of it has no times. */
static void what_was_left_out_has_none(void **state)
{
    static const char chain[] = "{'id': 'fails', 'kernel': 'potrf', 'args': {'n': 8, 'a': 'Z[0]'}}, "
                                "{'id': 'after', 'kernel': 'potrf', 'after': ['fails'], 'args': {'n': 8, 'a': 'Z[1]'}}";
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph("'Z': {'dtype': 'f64', 'shape': [8, 8], 'tiles': [2], 'init': {'fill': 0}}", ", 'potrf': {'builtin': 'potrf_lower'}", chain);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
    const struct tgi_span *spans = tgi_run_spans(run);
    assert_true(spans[0].end_ns > 0);
    assert_int_equal(spans[1].end_ns, 0);
    assert_int_not_equal(spans[1].state, TG_TASK_DONE);
    device_close_all(run, rt, g);
}

static void without_a_compiler_there_are_no_times(void **state)
{
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tg_error err;
    const char *why;
    (void)state;
    char *path = strdup(getenv("TGRAPH_CACHE_DIR"));
    setenv("TGRAPH_CACHE_DIR", "/nonexistent", 1); /* not compiled by an earlier test */
    rtc.standin_nvrtc_fail("nvrtcCompileProgram", 1, NVRTC_ERROR_COMPILATION);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g);
    MUST(tg_run_execute(run, &err));
    assert_true(rtc.standin_nvrtc_has_failed());
    assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
    if (!strstr(why, "the embedded resident kernel notes no times: "))
        fail_msg("%s", why);
    const struct tgi_span *spans = tgi_run_spans(run);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        assert_true(tgi_graph_op(g, t)->kind == TGI_OP_BARRIER || spans[t].end_ns > spans[t].start_ns);
    device_close_all(run, rt, g);
    setenv("TGRAPH_CACHE_DIR", path, 1);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_task_has_a_span, generated),
        cmocka_unit_test_setup(what_is_outside_has_its_time_too, generated),
        cmocka_unit_test_setup(a_round_has_the_times_of_its_tasks, generated),
        cmocka_unit_test_setup(what_was_left_out_has_none, generated),
        cmocka_unit_test_setup(without_a_compiler_there_are_no_times, generated),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
