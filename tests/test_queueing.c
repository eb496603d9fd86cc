/* The order and the lanes in which a run hands tasks to a device, and what plans make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "mem/device.h"
#include "sched/queueing.h"
#include "tests/plan_graph.h"

enum { DEVICE = 1, MOST = 64 };

/* A host of a lane, and a device with a link of a byte a ns. */
static void machine_of(struct tgi_machine *m)
{
    *m = (struct tgi_machine){0};
    plan_add_devices(m, "cpu", 1, 1, 1, 0);
    plan_add_devices(m, "gpu", 1, TGI_COMPUTE_LANES, 1, 0);
    plan_join(m, 0, 1, TGI_SHARE_LINK);
}

/* Number n writes `to` and reads `from`, TG_NONE: nothing. */
static tg_task_id add_between(struct tg_graph *g, uint32_t n, tg_buffer_id to, tg_buffer_id from, double us)
{
    tg_buffer_id buffers[] = {to, from};
    char name[16];
    snprintf(name, sizeof name, "k%u", n);
    return plan_task(g, plan_kernel_of(g, name, 1, from != TG_NONE), 1 + (from != TG_NONE), buffers, NAN, NAN, us);
}

/* Writes b[n]. */
static tg_task_id add(struct tg_graph *g, uint32_t n, uint32_t from, double us)
{
    return add_between(g, n, plan_buffer(g, n, 8), from, us);
}

struct queued {
    struct tg_graph *g;
    struct tgi_machine m;
    struct tgi_workload *w;
    struct tgi_queueing *q;
    uint32_t device[MOST];
};

static void queue_how(struct queued *k, enum tgi_run_form form)
{
    struct tg_error err;
    MUST(tg_graph_freeze(k->g, &err));
    machine_of(&k->m);
    MUST(tgi_workload_create_as_run(k->g, &k->m, form, &k->w, &err));
    for (uint32_t t = 0; t < k->w->n_tasks; t++)
        k->device[t] = DEVICE;
    MUST(tgi_queueing_create(k->w, k->device, &k->q, &err));
}

static void queue(struct queued *k) { queue_how(k, TGI_RUN_ON_STREAMS); }

static struct tgi_plan *run(struct queued *k)
{
    struct tgi_plan *plan;
    struct tg_error err;
    MUST(tgi_plan_queued(k->w, k->device, &plan, &err));
    assert_true(tgi_plan_is_valid(k->w, plan));
    return plan;
}

static void finish(struct queued *k)
{
    tgi_queueing_destroy(k->q);
    tgi_workload_destroy(k->w);
    tgi_machine_fini(&k->m);
    tg_graph_destroy(k->g);
}

static void those_with_the_longest_way_to_go_come_first(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    tg_task_id little = add(k.g, 0, TG_NONE, 10), first = add(k.g, 1, TG_NONE, 10), then = add(k.g, 2, 1, 10);
    queue(&k);
    assert_int_equal(k.q->rank[first], 0);
    assert_true(k.q->rank[then] < 3 && k.q->rank[little] < 3);
    assert_int_equal(k.q->order[k.q->order_at[DEVICE]], first);
    assert_int_equal(k.q->order_at[DEVICE + 1] - k.q->order_at[DEVICE], 3);
    finish(&k);
}

static void a_successor_follows_in_the_lane_of_what_it_waits_for(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    for (uint32_t i = 0; i < 5; i++)
        add(k.g, i, i ? i - 1 : TG_NONE, 10);
    queue(&k);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(k.q->next[i], i < 4 ? i + 1 : TG_NONE);
        assert_int_equal(k.q->is_behind[i], i > 0);
    }
    finish(&k);
}

/* More independent tasks than plain lanes: the short one is behind a long one, although two lanes have nothing to do. */
static void a_task_waits_for_the_one_before_it_in_its_lane(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    for (uint32_t i = 0; i < TGI_PLAIN_LANES; i++)
        add(k.g, i, TG_NONE, 1000);
    tg_task_id last = add(k.g, TGI_PLAIN_LANES, TG_NONE, 1);
    queue(&k);
    assert_true(k.q->is_behind[last]);
    struct tgi_plan *plan = run(&k);
    assert_true(fabs(plan->start[last] - 1e6) < 1);
    tgi_plan_destroy(plan);
    plan = plan_of(k.w, "eager");
    assert_true(plan->start[last] < 1e6); /* where lanes are no queues */
    tgi_plan_destroy(plan);
    finish(&k);
}

/* A chain as long as the queue, and what reads a megabyte: sent when the first of the chain is done and it can be enqueued. */
static void data_are_sent_when_there_is_room_in_the_queue(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    for (uint32_t i = 0; i < 16; i++)
        add(k.g, i, i ? i - 1 : TG_NONE, 100);
    tg_buffer_id large = plan_buffer(k.g, 16, 1e6);
    tg_task_id reads = add(k.g, 17, large, 50);
    queue(&k);
    assert_int_equal(k.q->most[DEVICE], 16);
    assert_int_equal(k.q->rank[reads], 16);
    struct tgi_plan *plan = run(&k);
    assert_true(fabs(plan->start[reads] - 1.1e6) < 1);
    tgi_plan_destroy(plan);
    finish(&k);
}

static void queues_are_as_long_as_a_millisecond(void **state)
{
    (void)state;
    static const struct {
        double us;
        uint32_t most;
    } cases[] = {{1000, 16}, {10, 100}, {0.1, 512}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queued k = {.g = plan_graph()};
        add(k.g, 0, TG_NONE, cases[i].us);
        add(k.g, 1, TG_NONE, cases[i].us);
        queue(&k);
        assert_int_equal(k.q->most[DEVICE], cases[i].most);
        finish(&k);
    }
}

/* What enqueuing takes was measured: 40 tasks that take next to nothing. */
static void no_run_is_faster_than_it_is_enqueued(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    struct tg_error err;
    struct tgi_machine_replay replay = {.class = 1, .n_tasks = 40, .ns = {[TGI_REPLAY_SUBMIT] = 5000}};
    for (uint32_t i = 0; i < 40; i++)
        add(k.g, i, TG_NONE, 0.001);
    queue(&k);
    MUST(tgi_machine_add_replay(&k.m, &replay, &err));
    struct tgi_plan *plan = run(&k);
    assert_true(fabs(plan->makespan_ns - 40 * 5000) < 10);
    tgi_plan_destroy(plan);
    for (uint32_t t = 0; t < 40; t++) /* the graph's own kernels: every other one takes longer than nothing does */
        k.w->handling[t] = (struct tgi_handling){t % 2 ? 9000 : 3000, 4000, 0};
    plan = run(&k);
    assert_true(fabs(plan->makespan_ns - 20 * (9000 + 5000)) < 10);
    tgi_plan_destroy(plan);
    k.w->is_recorded = true;
    plan = run(&k);
    assert_true(fabs(plan->makespan_ns - 20 * (9000 + 5000) - 40 * 4000) < 10);
    tgi_plan_destroy(plan);
    finish(&k);
}

/* Of ten that read one tile the first enqueued has it copied, of those that read what the device has written none. */
static void a_copy_is_enqueued_for_who_reads_first(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    struct tgi_queueing *q;
    struct tg_error err;
    tg_buffer_id shared = plan_buffer(k.g, 50, 1000), written[10];
    for (uint32_t i = 0; i < 10; i++)
        add_between(k.g, i, written[i] = plan_buffer(k.g, i, 8), shared, 20 - i);
    for (uint32_t i = 0; i < 10; i++)
        add(k.g, 20 + i, written[i], 1);
    queue(&k);
    for (uint32_t t = 0; t < 20; t++)
        k.w->handling[t] = (struct tgi_handling){9000, 0, 3000};
    MUST(tgi_queueing_create(k.w, k.device, &q, &err));
    for (uint32_t t = 0; t < 20; t++)
        assert_true(q->task_ns[t] == (q->rank[t] == 0 ? 12000 : 9000));
    tgi_queueing_destroy(q);
    finish(&k);
}

/* Tiles of a thousand bytes, a byte a ns, go to two lanes in turn.  A copy takes 5 us beside its bytes, and 3 us where it follows another
 * one; without that figure, as long as any. */
static void an_engine_stays_with_a_lane_that_has_more_copies(void **state)
{
    (void)state;
    static const uint32_t nth[] = {0, 2, 1, 3};
    for (int is_measured = 0; is_measured < 2; is_measured++) {
        struct queued k = {.g = plan_graph()};
        struct tg_error err;
        struct tgi_machine_replay replay = {.class = 1, .n_tasks = 4, .ns = {[TGI_REPLAY_COPY] = is_measured ? 3000 : 0}};
        for (uint32_t i = 0; i < 4; i++)
            add(k.g, 10 + i, plan_buffer(k.g, i, 1000), 40 - 10 * i);
        queue(&k);
        k.m.links[0].latency_ns = 5000;
        MUST(tgi_machine_add_replay(&k.m, &replay, &err));
        struct tgi_plan *plan = run(&k);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(k.q->rank[i], i);
            assert_true(fabs(plan->start[i] - (6000 + nth[i] * (is_measured ? 4000 : 6000))) < 1);
        }
        tgi_plan_destroy(plan);
        finish(&k);
    }
}

/* Two tasks of the same time; of one the run has seen that others make it longer. */
static void what_a_run_has_seen_of_tasks_orders_them(void **state)
{
    (void)state;
    struct queued k = {.g = plan_graph()};
    add(k.g, 0, TG_NONE, 10);
    tg_task_id longer = add(k.g, 1, TG_NONE, 10);
    queue(&k);
    assert_int_equal(k.q->rank[longer], 1);
    k.w->known_ns[longer] = 20000;
    struct tgi_queueing *q;
    struct tg_error err;
    MUST(tgi_queueing_create(k.w, k.device, &q, &err));
    assert_int_equal(q->rank[longer], 0);
    tgi_queueing_destroy(q);
    finish(&k);
}

/* A kernel of which any number runs side by side, and calls of libraries, for which there are as many places as lanes. */
static void calls_that_share_their_lane_follow_each_other_in_a_graph(void **state)
{
    (void)state;
    enum { N = TGI_PLAIN_LANES + 2 };
    struct queued k = {.g = plan_graph()};
    for (uint32_t i = 0; i < N; i++)
        add(k.g, i, TG_NONE, 200 - 10 * i);
    add(k.g, N, 0, 500); /* goes on in the lane of the first, which is the one that has rested longest when the last one is recorded */
    queue_how(&k, TGI_RUN_IN_GRAPH);
    k.m.devices[DEVICE].n_lanes = 2 * N;
    struct tgi_plan *plan = run(&k);
    for (uint32_t i = 0; i < N; i++)
        assert_true(plan->start[i] == 0);
    tgi_plan_destroy(plan);
    for (uint32_t t = 0; t <= N; t++)
        k.w->shares_lane[t] = t != 1;
    plan = run(&k);
    for (uint32_t i = 0; i <= TGI_PLAIN_LANES; i++)
        assert_true(plan->start[i] == 0);
    assert_true(fabs(plan->start[N] - plan->end[0]) < 1);
    assert_true(fabs(plan->start[N - 1] - plan->end[N]) < 1);
    tgi_plan_destroy(plan);
    finish(&k);
}

/* The same tiles, sent to tasks that are all there at once: each copy takes ten times what its bytes do, and the order stays. */
static void copies_in_a_graph_take_what_was_measured_there(void **state)
{
    (void)state;
    enum { N = 6 };
    struct queued k = {.g = plan_graph()};
    struct tg_error err;
    struct tgi_machine_replay replay = {.class = 1, .n_tasks = N, .ns = {[TGI_REPLAY_SUBMIT] = 1e6, [TGI_REPLAY_COPY] = 10e3}};
    for (uint32_t i = 0; i < N; i++)
        add(k.g, 10 + i, plan_buffer(k.g, i, 1000), 100 - 10 * i);
    queue_how(&k, TGI_RUN_IN_GRAPH);
    MUST(tgi_machine_add_replay(&k.m, &replay, &err));
    struct tgi_plan *plan = run(&k);
    for (uint32_t i = 0; i < N; i++) {
        assert_false(k.q->is_behind[i]);
        assert_int_equal(k.q->next[i], TG_NONE);
        double at = 20e3 * (1 + i / 2);
        assert_true(plan->start[i] > at && plan->start[i] < at + 7e3);
    }
    tgi_plan_destroy(plan);
    finish(&k);
}

/* What no kernel copies has one lane: a copy comes when the one before it is there. */
static void large_copies_in_a_graph_come_one_by_one(void **state)
{
    (void)state;
    enum { N = 6, BYTES = 1000000 };
    struct queued k = {.g = plan_graph()};
    struct tg_error err;
    struct tgi_machine_replay replay = {.class = 1, .n_tasks = N, .ns = {[TGI_REPLAY_SUBMIT] = 1e6, [TGI_REPLAY_COPY] = 10e3}};
    for (uint32_t i = 0; i < N; i++)
        add(k.g, 10 + i, plan_buffer(k.g, i, BYTES), 100 - 10 * i);
    queue_how(&k, TGI_RUN_IN_GRAPH);
    MUST(tgi_machine_add_replay(&k.m, &replay, &err));
    struct tgi_plan *plan = run(&k);
    for (uint32_t i = 0; i < N; i++)
        assert_true(fabs(plan->start[i] - (i + 1) * (10e3 + BYTES)) < 1);
    tgi_plan_destroy(plan);
    finish(&k);
}

/* The same tiles: the host launches a copy every 40 us, and each of them is a microsecond under way. */
static void copies_of_a_graph_come_no_sooner_than_they_are_launched(void **state)
{
    (void)state;
    enum { N = 6 };
    for (int is_known = 0; is_known < 2; is_known++) {
        struct queued k = {.g = plan_graph()};
        for (uint32_t i = 0; i < N; i++)
            add(k.g, 10 + i, plan_buffer(k.g, i, 1000), 100 - 10 * i);
        queue_how(&k, TGI_RUN_IN_GRAPH);
        k.w->copy_launch_ns = is_known ? 40e3 : 0;
        struct tgi_plan *plan = run(&k);
        for (uint32_t i = 0; i < N; i++)
            assert_true(is_known ? fabs(plan->start[i] - (i * 40e3 + 1e3)) < 1 : plan->start[i] <= N * 1e3);
        tgi_plan_destroy(plan);
        finish(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_with_the_longest_way_to_go_come_first),
        cmocka_unit_test(a_successor_follows_in_the_lane_of_what_it_waits_for),
        cmocka_unit_test(a_task_waits_for_the_one_before_it_in_its_lane),
        cmocka_unit_test(data_are_sent_when_there_is_room_in_the_queue),
        cmocka_unit_test(queues_are_as_long_as_a_millisecond),
        cmocka_unit_test(no_run_is_faster_than_it_is_enqueued),
        cmocka_unit_test(a_copy_is_enqueued_for_who_reads_first),
        cmocka_unit_test(an_engine_stays_with_a_lane_that_has_more_copies),
        cmocka_unit_test(what_a_run_has_seen_of_tasks_orders_them),
        cmocka_unit_test(calls_that_share_their_lane_follow_each_other_in_a_graph),
        cmocka_unit_test(copies_in_a_graph_take_what_was_measured_there),
        cmocka_unit_test(large_copies_in_a_graph_come_one_by_one),
        cmocka_unit_test(copies_of_a_graph_come_no_sooner_than_they_are_launched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
