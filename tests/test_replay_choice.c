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
    double resident_ns; /* of a replay with resident kernels */
    struct tgi_replay_clusters clusters;
};

static struct tgi_replay_choice choice_of(uint64_t n_expected, uint64_t n_tasks)
{
    return (struct tgi_replay_choice){.n_expected = n_expected, .n_tasks = n_tasks};
}

/* One start; how it went. */
static enum tgi_replay_way start_once(struct tgi_replay_choice *c, const struct truth *t)
{
    enum tgi_replay_way way = tgi_replay_choose(c);
    if (way == TGI_REPLAY_STREAMS) {
        tgi_replay_time_add(&c->submit, t->submit_ns);
        tgi_replay_time_add(&c->streams, t->streams_ns);
        return way;
    }
    bool is_resident = !c->is_weighed ? tgi_replay_weigh(c, &t->clusters) : way == TGI_REPLAY_RESIDENT;
    struct tgi_replay_time *time = is_resident ? &c->resident : &c->replay;
    c->n_commands = c->n_tasks;
    c->made_ns += time->n ? 0 : t->make_ns;
    tgi_replay_time_add(time, is_resident ? t->resident_ns : t->replay_ns);
    return is_resident ? TGI_REPLAY_RESIDENT : TGI_REPLAY_GRAPH;
}

/* Without resident kernels: what it took. */
static double start(struct tgi_replay_choice *c, const struct truth *t, bool *is_graph_p)
{
    bool had_graph = c->n_commands > 0;
    *is_graph_p = start_once(c, t) == TGI_REPLAY_GRAPH;
    return !*is_graph_p ? t->streams_ns : t->replay_ns + (had_graph ? 0 : t->make_ns);
}

/* The ways of starts, a letter each: s, g, r. */
static void expect_ways(struct tgi_replay_choice *c, const struct truth *t, const char *ways)
{
    for (size_t i = 0; ways[i]; i++) {
        char way = "sgr"[start_once(c, t)];
        if (way != ways[i])
            fail_msg("start %zu went to %c, not to %c", i + 1, way, ways[i]);
    }
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
    char text[768];
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
        assert_int_equal(tgi_replay_choose(&c), TGI_REPLAY_STREAMS);
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

/* ---- Resident kernels ---------------------------------------------------------------------*/

/* 1,000 tasks as nodes take 156 us at least; in truth 200, all with their start. */
static struct truth with_clusters(double resident_ns, double worst_ns, double truth_ns)
{
    struct truth t = thousand;
    struct tgi_gain g = {.n_tasks = 1000, .nodes_ns = 156e3, .resident_ns = resident_ns, .worst_ns = worst_ns}, none = {0};
    t.replay_ns = 200e3;
    t.resident_ns = truth_ns;
    t.clusters = (struct tgi_replay_clusters){g, tgi_gain_is_sure(&g) ? g : none, tgi_gain_is_hoped(&g) ? g : none, true};
    return t;
}

static void clusters_that_surely_gain_are_kernels_from_the_first_graph_on(void **state)
{
    (void)state;
    struct truth t = with_clusters(30e3, 100e3, 60e3);
    for (int is_known = 0; is_known < 2; is_known++) {
        struct tgi_replay_choice c = choice_of(is_known ? 100 : 0, 1000);
        expect_ways(&c, &t, is_known ? "ssrrr" : "sssssssssssssssssrrr");
        expect_reason(&c, "resident from start");
        expect_reason(&c, "; 1000 tasks were expected to take 30.0 us inside resident kernels, 100.0 us at worst (not all of them have been"
                          " timed there), and 156.0 us or more as nodes; a start took 60.0 us");
        expect_ways(&c, &t, "rrrrrrrrrrrrrrrrrrrr");
        expect_reason(&c, "resident, as a start takes 60.0 us with resident kernels, and 550.0 us on streams; ");
    }
}

static void one_that_would_have_to_be_compiled_waits_for_starts_that_pay(void **state)
{
    (void)state;
    struct truth t = with_clusters(30e3, 100e3, 60e3);
    t.clusters.is_compiled = false;
    struct tgi_replay_choice c = choice_of(100, 1000); /* 97 times 56 us are not 650 ms */
    expect_ways(&c, &t, "ssgggggggggggggggggg");
    expect_reason(&c, "graph, as a start takes 200.0 us as a graph and 550.0 us on streams; ");
    expect_reason(&c, "; 1000 tasks would take 30.0 us inside resident kernels, 100.0 us at worst");
    expect_reason(&c, "which saves too little for compiling their kernel in 650.00 ms");
    c = choice_of(100000, 1000);
    expect_ways(&c, &t, "ssrrrr");
}

static void what_turns_out_slower_than_nodes_could_be_is_compared_with_them(void **state)
{
    (void)state;
    struct truth t = with_clusters(30e3, 100e3, 250e3);
    struct tgi_replay_choice c = choice_of(1000, 1000);
    expect_ways(&c, &t, "ssrrrrgggggggggggggg");
    expect_reason(&c, "graph, as a start takes 250.0 us with resident kernels, 200.0 us as a graph and 550.0 us on streams");
    c = choice_of(10, 1000); /* too few are left for making another graph */
    c.costs.ns[TGI_REPLAY_RECORD] = c.costs.ns[TGI_REPLAY_INSTANTIATE] = 100;
    expect_ways(&c, &t, "ssrrrrrrrr");
    t.replay_ns = 300e3; /* the comparison may end the other way */
    c = choice_of(1000, 1000);
    expect_ways(&c, &t, "ssrrrrggggrrrrrrrrrr");
}

static void what_may_gain_is_tried_once_the_graph_was_measured(void **state)
{
    (void)state;
    struct truth t = with_clusters(100e3, 400e3, 120e3);
    for (int gains = 0; gains < 2; gains++) {
        t.resident_ns = gains ? 120e3 : 240e3;
        struct tgi_replay_choice c = choice_of(1000, 1000);
        expect_ways(&c, &t, "ssggggr");
        expect_reason(&c, "so they are tried");
        expect_ways(&c, &t, gains ? "rrrrrrrrrr" : "rrrggggggg");
        expect_reason(&c, gains ? "resident, as a start takes 120.0 us with resident kernels, 200.0 us as a graph"
                                : "graph, as a start takes 240.0 us with resident kernels, 200.0 us as a graph");
        c = choice_of(20, 1000); /* what could be gained is less than making it takes */
        c.costs.ns[TGI_REPLAY_RECORD] = c.costs.ns[TGI_REPLAY_INSTANTIATE] = 100;
        expect_ways(&c, &t, "ssgggggggggggggggggg");
    }
}

static void what_cannot_gain_is_never_tried(void **state)
{
    (void)state;
    struct truth t = with_clusters(700e3, 2.8e6, 1); /* coarse: 156 us as nodes, 624 at most */
    struct tgi_replay_choice c = choice_of(1000000, 1000);
    assert_true(t.clusters.hoped.n_tasks == 0);
    expect_ways(&c, &t, "ssgggggggggggggggggggggggggggggg");
    expect_reason(&c, "; 1000 tasks would take 700.0 us inside resident kernels, 2.80 ms at worst");
    struct truth none = thousand;
    c = choice_of(1000000, 1000);
    expect_ways(&c, &none, "ssgggggg");
    char text[768];
    tgi_replay_explain(&c, text, sizeof text);
    assert_null(strstr(text, "resident"));
}

static void kernels_slower_than_streams_give_way_to_a_graph_first(void **state)
{
    (void)state;
    struct truth t = with_clusters(30e3, 100e3, 900e3);
    struct tgi_replay_choice c = choice_of(1000, 1000);
    expect_ways(&c, &t, "ssrrrrgggggg");
    t.replay_ns = 700e3; /* that is slower as well */
    c = choice_of(1000, 1000);
    expect_ways(&c, &t, "ssrrrrggggssssss");
    expect_reason(&c, "streams, as a start takes 900.0 us with resident kernels, 700.0 us as a graph and 550.0 us on streams");
}

static void a_kernel_that_cannot_be_made_is_not_asked_for_again(void **state)
{
    (void)state;
    struct truth t = with_clusters(30e3, 100e3, 60e3);
    struct tgi_replay_choice c = choice_of(1000, 1000);
    expect_ways(&c, &t, "ssr");
    tgi_replay_refuse_resident(&c, "cuda:0 has no room for its tables");
    expect_ways(&c, &t, "gggggggggggg");
    expect_reason(&c, "; no task is resident: cuda:0 has no room for its tables");
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
        cmocka_unit_test(clusters_that_surely_gain_are_kernels_from_the_first_graph_on),
        cmocka_unit_test(one_that_would_have_to_be_compiled_waits_for_starts_that_pay),
        cmocka_unit_test(what_turns_out_slower_than_nodes_could_be_is_compared_with_them),
        cmocka_unit_test(what_may_gain_is_tried_once_the_graph_was_measured),
        cmocka_unit_test(what_cannot_gain_is_never_tried),
        cmocka_unit_test(kernels_slower_than_streams_give_way_to_a_graph_first),
        cmocka_unit_test(a_kernel_that_cannot_be_made_is_not_asked_for_again),
        cmocka_unit_test(a_first_cold_time_does_not_count),
        cmocka_unit_test(costs_are_kept_by_device_and_size_from_one_history_to_the_next),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
