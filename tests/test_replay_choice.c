/* Streams or graph: the break-even from both sides, with costs that are given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sched/replay_choice.h"
#include "sched/replay_costs.h"

/* What starts take in truth, which the policy sees only as they happen. */
struct truth {
    double submit_ns, streams_ns, replay_ns, make_ns;
};

static struct tgi_replay_choice choice_of(uint64_t n_expected, uint64_t n_tasks)
{
    return (struct tgi_replay_choice){.n_expected = n_expected, .n_tasks = n_tasks};
}

/* One start; what it took. */
static double start(struct tgi_replay_choice *c, const struct truth *t, bool *is_graph_p)
{
    bool had_graph = c->n_commands > 0;
    *is_graph_p = tgi_replay_choose(c);
    if (!*is_graph_p) {
        tgi_replay_time_add(&c->submit, t->submit_ns);
        tgi_replay_time_add(&c->streams, t->streams_ns);
        return t->streams_ns;
    }
    c->n_commands = c->n_tasks;
    c->made_ns += had_graph ? 0 : t->make_ns;
    tgi_replay_time_add(&c->replay, t->replay_ns);
    return t->replay_ns + (had_graph ? 0 : t->make_ns);
}

/* The number of the first start that is a graph, from 1; 0: none is. */
static uint64_t first_graph(struct tgi_replay_choice *c, const struct truth *t, uint64_t n)
{
    bool is_graph;
    for (uint64_t i = 1; i <= n; i++) {
        start(c, t, &is_graph);
        if (is_graph)
            return i;
    }
    return 0;
}

static void expect_reason(const struct tgi_replay_choice *c, const char *part)
{
    char text[384];
    tgi_replay_explain(c, text, sizeof text);
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* 1,000 tasks: 500 us are saved a start; 8 ms are assumed for making, which are 16 starts. */
static const struct truth thousand = {.submit_ns = 500e3, .streams_ns = 550e3, .replay_ns = 100e3, .make_ns = 6e6};

static void a_single_start_and_a_first_one_go_to_streams(void **state)
{
    (void)state;
    for (uint64_t n = 0; n <= 1000; n += n ? 999 : 1) {
        struct tgi_replay_choice c = choice_of(n, 1000);
        c.costs.ns[TGI_REPLAY_SUBMIT] = 1e6; /* whatever was measured before */
        assert_false(tgi_replay_choose(&c));
        expect_reason(&c, n == 1 ? "one start was asked for" : "the first start");
    }
}

static void with_a_known_number_the_graph_comes_early_or_never(void **state)
{
    (void)state;
    struct tgi_replay_choice c = choice_of(18, 1000);
    assert_int_equal(first_graph(&c, &thousand, 18), 0); /* 16 are left when streams are known: they save just what it costs */
    expect_reason(&c, "saves up to 500.0 us a start and takes 8.00 ms to make (assumed, not measured yet), 1 start being left");
    c = choice_of(19, 1000);
    assert_int_equal(first_graph(&c, &thousand, 19), 3);
    expect_reason(&c, "graph from start 3 on, as each saves up to 500.0 us and making it was to take 8.00 ms (it took 6.00 ms)");
}

static void what_was_measured_in_earlier_runs_decides_at_the_second_start(void **state)
{
    (void)state;
    for (int pays = 0; pays < 2; pays++) {
        struct tgi_replay_choice c = choice_of(10, 1000);
        c.costs.ns[TGI_REPLAY_SUBMIT] = 500;
        c.costs.ns[TGI_REPLAY_LAUNCH] = 100;
        c.costs.ns[TGI_REPLAY_RECORD] = 1000;
        c.costs.ns[TGI_REPLAY_INSTANTIATE] = pays ? 2500 : 2700; /* 9 starts save 3.6 ms */
        assert_int_equal(first_graph(&c, &thousand, 10), pays ? 2 : 0);
    }
}

static void without_a_number_the_graph_comes_when_it_would_have_paid(void **state)
{
    (void)state;
    struct tgi_replay_choice c = choice_of(0, 1000);
    assert_int_equal(first_graph(&c, &thousand, 100), 18); /* 17 starts would have saved more than 8 ms, 16 just as much */
    c = choice_of(0, 1000);
    assert_int_equal(first_graph(&c, &thousand, 17), 0);
    expect_reason(&c, "17 starts having been seen");
}

/* The ski-rental bound: with costs that are known, never more than twice of what knowing the number would have cost, and a
 * start. */
static void not_knowing_costs_at_most_twice_as_much(void **state)
{
    (void)state;
    struct truth t = {.submit_ns = 300e3, .streams_ns = 300e3, .replay_ns = 40e3, .make_ns = 5e6};
    for (uint64_t n = 1; n <= 200; n++) {
        struct tgi_replay_choice c = choice_of(0, 1000);
        double took = 0, best_streams = (double)n * t.streams_ns, best_graph = t.make_ns + (double)n * t.replay_ns;
        bool is_graph;
        c.costs.ns[TGI_REPLAY_RECORD] = c.costs.ns[TGI_REPLAY_INSTANTIATE] = t.make_ns / 2000;
        c.costs.ns[TGI_REPLAY_LAUNCH] = t.replay_ns / 1000;
        for (uint64_t i = 0; i < n; i++)
            took += start(&c, &t, &is_graph);
        assert_true(took <= 2 * (best_streams < best_graph ? best_streams : best_graph) + t.streams_ns);
    }
}

static void a_graph_that_is_no_faster_is_given_up(void **state)
{
    (void)state;
    struct truth t = thousand;
    bool is_graph;
    t.replay_ns = 700e3;
    struct tgi_replay_choice c = choice_of(0, 1000);
    uint64_t first = first_graph(&c, &t, 100);
    assert_in_range(first, 2, 100);
    for (int i = 0; i < 3; i++) {
        start(&c, &t, &is_graph);
        assert_true(is_graph);
    }
    for (int i = 0; i < 100; i++) {
        start(&c, &t, &is_graph);
        assert_false(is_graph);
    }
    expect_reason(&c, "streams, as a start takes 700.0 us as a graph and 550.0 us on streams");
}

static void a_graph_that_was_measured_to_be_faster_stays(void **state)
{
    (void)state;
    struct tgi_replay_choice c = choice_of(1000, 1000);
    bool is_graph;
    uint64_t first = first_graph(&c, &thousand, 1000);
    for (uint64_t i = first; i < 1000; i++) {
        start(&c, &thousand, &is_graph);
        assert_true(is_graph);
    }
    expect_reason(&c, "graph, as a start takes 100.0 us as a graph and 550.0 us on streams; making graphs took 6.00 ms");
}

static void where_launching_takes_as_long_as_enqueuing_there_is_no_graph(void **state)
{
    (void)state;
    struct tgi_replay_choice c = choice_of(1000000, 1000);
    c.costs.ns[TGI_REPLAY_LAUNCH] = 500;
    assert_int_equal(first_graph(&c, &thousand, 1000), 0);
    expect_reason(&c, "takes the host no less than enqueuing them");
}

static void a_first_cold_time_does_not_count(void **state)
{
    (void)state;
    struct tgi_replay_time t = {0, 0};
    tgi_replay_time_add(&t, 1e9);
    assert_true(t.ns == 1e9);
    tgi_replay_time_add(&t, 100);
    assert_true(t.ns == 100);
    tgi_replay_time_add(&t, 140);
    assert_true(t.ns == 110);
}

static void costs_are_kept_by_device_and_size_from_one_history_to_the_next(void **state)
{
    char folder[] = "/tmp/tgraph-test-replay-XXXXXX", command[128];
    struct tgi_history *h;
    struct tgi_replay_costs costs;
    (void)state;
    assert_non_null(mkdtemp(folder));
    setenv("TGRAPH_CACHE_DIR", folder, 1);
    unsetenv("TGRAPH_HISTORY");
    assert_int_equal(tgi_history_open(&h, NULL), 0);
    tgi_replay_costs_read(h, "H200", 500, &costs);
    for (int i = 0; i < TGI_N_REPLAY_COSTS; i++)
        assert_true(costs.ns[i] == 0);
    tgi_replay_costs_note(h, "H200", 500, TGI_REPLAY_RECORD, 600, 600e3);
    tgi_replay_costs_note(h, "H200", 500, TGI_REPLAY_LAUNCH, 0, 1e9); /* of nothing */
    tgi_history_close(h);
    assert_int_equal(tgi_history_open(&h, NULL), 0);
    tgi_replay_costs_read(h, "H200", 999, &costs);
    assert_true(costs.ns[TGI_REPLAY_RECORD] == 1000);
    assert_true(costs.ns[TGI_REPLAY_LAUNCH] == 0);
    tgi_replay_costs_read(h, "H200", 1000, &costs);
    assert_true(costs.ns[TGI_REPLAY_RECORD] == 0);
    tgi_replay_costs_read(h, "H100", 500, &costs);
    assert_true(costs.ns[TGI_REPLAY_RECORD] == 0);
    tgi_history_close(h);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(a_single_start_and_a_first_one_go_to_streams),
        cmocka_unit_test(with_a_known_number_the_graph_comes_early_or_never),
        cmocka_unit_test(what_was_measured_in_earlier_runs_decides_at_the_second_start),
        cmocka_unit_test(without_a_number_the_graph_comes_when_it_would_have_paid),
        cmocka_unit_test(not_knowing_costs_at_most_twice_as_much),
        cmocka_unit_test(a_graph_that_is_no_faster_is_given_up),
        cmocka_unit_test(a_graph_that_was_measured_to_be_faster_stays),
        cmocka_unit_test(where_launching_takes_as_long_as_enqueuing_there_is_no_graph),
        cmocka_unit_test(a_first_cold_time_does_not_count),
        cmocka_unit_test(costs_are_kept_by_device_and_size_from_one_history_to_the_next),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
