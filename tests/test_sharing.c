/* Times and parts of a device, from tasks that were beside each other.  TGRAPH_TEST_SEED=n draws other tasks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sched/sharing.h"

enum { N_LANES = 4, N_KINDS = 3, MOST = 2000 };

static unsigned seed(void)
{
    const char *text = getenv("TGRAPH_TEST_SEED");
    unsigned n = text ? (unsigned)strtoul(text, NULL, 10) : 1;
    print_message("TGRAPH_TEST_SEED=%u\n", n);
    return n;
}

struct lane {
    uint32_t task;
    double left_ns, speed;
};

/* What is left of the device, in equal parts to those that ask for more than an equal part. */
static void set_speeds(struct lane *lanes, uint32_t n, const struct tgi_sharing_task *tasks, const struct tgi_shared_time *truth)
{
    double part[N_LANES], left = 1;
    bool is_given[N_LANES] = {false};
    for (uint32_t round = 0; round < n; round++) { /* who asks for least first */
        uint32_t least = TG_NONE;
        for (uint32_t i = 0; i < n; i++) {
            part[i] = truth[tasks[lanes[i].task].kind].part;
            if (!is_given[i] && (least == TG_NONE || part[i] < part[least]))
                least = i;
        }
        double equal = left / (n - round), got = part[least] < equal ? part[least] : equal;
        lanes[least].speed = got / part[least];
        is_given[least] = true;
        left -= got;
    }
}

static void start(struct lane *lane, uint32_t t, struct tgi_sharing_task *tasks, const struct tgi_shared_time *truth, double now)
{
    tasks[t].kind = (uint32_t)rand() % N_KINDS;
    tasks[t].start_ns = (uint64_t)now;
    *lane = (struct lane){t, truth[tasks[t].kind].ns, 1};
}

/* n tasks of random kinds on that many lanes, each lane's tasks one after the other. */
static void run(struct tgi_sharing_task *tasks, uint32_t n, uint32_t n_lanes, const struct tgi_shared_time *truth)
{
    struct lane lanes[N_LANES];
    double now = 0;
    uint32_t n_at_work = 0, next = 0;
    while (n_at_work < n_lanes && next < n)
        start(&lanes[n_at_work++], next++, tasks, truth, now);
    while (n_at_work) {
        uint32_t first = 0;
        set_speeds(lanes, n_at_work, tasks, truth);
        for (uint32_t i = 1; i < n_at_work; i++)
            if (lanes[i].left_ns / lanes[i].speed < lanes[first].left_ns / lanes[first].speed)
                first = i;
        double step = lanes[first].left_ns / lanes[first].speed;
        for (uint32_t i = 0; i < n_at_work; i++)
            lanes[i].left_ns -= step * lanes[i].speed;
        now += step;
        tasks[lanes[first].task].end_ns = (uint64_t)now;
        if (next < n)
            start(&lanes[first], next++, tasks, truth, now);
        else
            lanes[first] = lanes[--n_at_work];
    }
}

static void parts_are_found_that_explain_what_was_seen(void **state)
{
    (void)state;
    static struct tgi_sharing_task tasks[MOST];
    static const struct tgi_shared_time truths[][N_KINDS] = {
        {{100e3, 0.6, 0}, {300e3, 0.25, 0}, {50e3, 1, 0}},
        {{45e3, 0.7, 0}, {170e3, 0.9, 0}, {470e3, 0.65, 0}},
    };
    srand(seed());
    for (uint32_t i = 0; i < sizeof truths / sizeof *truths; i++) {
        struct tgi_shared_time found[N_KINDS] = {{0}};
        uint64_t until = 0;
        run(tasks, 500, N_LANES, truths[i]);
        run(tasks + 500, 100, 1, truths[i]); /* by themselves, later */
        for (uint32_t t = 0; t < 500; t++)
            until = tasks[t].end_ns > until ? tasks[t].end_ns : until;
        for (uint32_t t = 500; t < 600; t++) {
            tasks[t].start_ns += until;
            tasks[t].end_ns += until;
        }
        assert_int_equal(tgi_sharing_find(tasks, 600, N_KINDS, found, NULL), 0);
        for (uint32_t k = 0; k < N_KINDS; k++) {
            assert_true(found[k].n_tasks > 0);
            assert_true(found[k].ns > 0.99 * truths[i][k].ns && found[k].ns < 1.01 * truths[i][k].ns);
            assert_true(found[k].part > truths[i][k].part - 0.051 && found[k].part < truths[i][k].part + 0.051);
        }
    }
}

static void what_always_had_company_has_the_time_the_caller_knows(void **state)
{
    (void)state;
    static const struct tgi_shared_time truth[N_KINDS] = {{100e3, 0.6, 0}, {300e3, 0.25, 0}, {50e3, 1, 0}};
    static struct tgi_sharing_task tasks[MOST];
    struct tgi_shared_time found[N_KINDS] = {{100e3, 0, 0}, {300e3, 0, 0}, {50e3, 0, 0}};
    srand(seed());
    run(tasks, 600, N_LANES, truth);
    assert_int_equal(tgi_sharing_find(tasks, 600, N_KINDS, found, NULL), 0);
    for (uint32_t k = 0; k < N_KINDS; k++) {
        assert_true(found[k].ns == truth[k].ns);
        assert_true(found[k].part > truth[k].part - 0.051 && found[k].part < truth[k].part + 0.051);
    }
}

static void tasks_that_nothing_slows_down_take_no_more_than_that_shows(void **state)
{
    (void)state;
    static const struct tgi_shared_time truth[N_KINDS] = {{100e3, 0.1, 0}, {30e3, 0.05, 0}, {50e3, 0.2, 0}};
    static struct tgi_sharing_task tasks[MOST];
    struct tgi_shared_time found[N_KINDS] = {{0}};
    srand(seed());
    run(tasks, 600, N_LANES, truth);
    assert_int_equal(tgi_sharing_find(tasks, 600, N_KINDS, found, NULL), 0);
    double all = 0;
    for (uint32_t k = 0; k < N_KINDS; k++) {
        assert_true(found[k].ns > 0.97 * truth[k].ns && found[k].ns < 1.03 * truth[k].ns);
        all += found[k].part;
    }
    assert_true(all < 1);
}

/* Two long ones of which each has the whole device for itself, and beside each a short one that gets nothing until it is done. */
static void tasks_that_get_what_others_leave_take_nothing_from_them(void **state)
{
    (void)state;
    static struct tgi_sharing_task tasks[60];
    struct tgi_shared_time found[N_KINDS] = {{1000e3, 0, 0}, {50e3, 0, 0}};
    for (uint32_t i = 0; i < 30; i++) {
        tasks[2 * i] = (struct tgi_sharing_task){0, 1100000u * i, 1100000u * i + 1000000};
        tasks[2 * i + 1] = (struct tgi_sharing_task){1, 1100000u * i + 50000, 1100000u * i + 1050000};
    }
    assert_int_equal(tgi_sharing_find(tasks, 60, N_KINDS, found, NULL), 0);
    assert_true(found[0].ns == 1000e3 && found[0].part == 1);
    assert_true(found[1].ns == 50e3);
}

/* Long ones one after the other, a short one beside each of them: what they took one task at a time, with launches, is longer. */
static void a_short_companion_hides_no_time(void **state)
{
    (void)state;
    static struct tgi_sharing_task tasks[20];
    struct tgi_shared_time found[N_KINDS] = {{1050e3, 0, 0}, {70e3, 0, 0}};
    for (uint32_t i = 0; i < 10; i++) {
        tasks[2 * i] = (struct tgi_sharing_task){0, 1100000u * i, 1100000u * i + 1000000};
        tasks[2 * i + 1] = (struct tgi_sharing_task){1, 1100000u * i + 50000, 1100000u * i + 120000};
    }
    assert_int_equal(tgi_sharing_find(tasks, 20, N_KINDS, found, NULL), 0);
    assert_true(found[0].ns == 1000e3);
    assert_true(found[1].ns == 70e3);
}

static void a_kind_of_which_no_task_was_seen_stays_as_it_is(void **state)
{
    (void)state;
    struct tgi_sharing_task tasks[] = {{1, 100, 200}, {1, 300, 400}, {1, 500, 620}};
    struct tgi_shared_time found[N_KINDS] = {{7, 0, 0}};
    assert_int_equal(tgi_sharing_find(tasks, 3, N_KINDS, found, NULL), 0);
    assert_true(found[0].n_tasks == 0 && found[0].ns == 7);
    assert_true(found[1].n_tasks == 3 && found[1].ns == 100 && found[1].part == 1);
    assert_int_equal(tgi_sharing_find(tasks, 0, N_KINDS, found, NULL), 0);
}

static void more_tasks_at_a_time_than_are_told_apart_are_no_harm(void **state)
{
    (void)state;
    static struct tgi_sharing_task tasks[MOST];
    struct tgi_shared_time found[N_KINDS] = {{0}};
    for (uint32_t t = 0; t < MOST; t++)
        tasks[t] = (struct tgi_sharing_task){t % N_KINDS, t % 7, 1000 + t};
    assert_int_equal(tgi_sharing_find(tasks, MOST, N_KINDS, found, NULL), 0);
    for (uint32_t k = 0; k < N_KINDS; k++)
        assert_true(found[k].part > 0 && found[k].part <= 1 && found[k].ns >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_found_that_explain_what_was_seen),
        cmocka_unit_test(what_always_had_company_has_the_time_the_caller_knows),
        cmocka_unit_test(tasks_that_nothing_slows_down_take_no_more_than_that_shows),
        cmocka_unit_test(tasks_that_get_what_others_leave_take_nothing_from_them),
        cmocka_unit_test(a_short_companion_hides_no_time),
        cmocka_unit_test(a_kind_of_which_no_task_was_seen_stays_as_it_is),
        cmocka_unit_test(more_tasks_at_a_time_than_are_told_apart_are_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
