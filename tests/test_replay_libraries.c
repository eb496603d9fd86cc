/* Calls of libraries or kernels in their place in a run's graph: what is decided by which times, and what trying costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/replay_libraries.h"

/* What starts take in truth. */
struct truth {
    double with_ns, without_ns, make_ns;
};

struct outcome {
    double ns;          /* of all starts, making included */
    uint32_t n_without; /* starts without calls */
};

/* n starts of a run whose calls take calls_ns; each kind of graph is made when it is first wanted. */
static struct outcome start(struct tgi_replay_libraries *l, const struct truth *t, uint32_t n)
{
    struct outcome all = {0, 0};
    bool is_made[2] = {false, false};
    for (uint32_t i = 0; i < n; i++) {
        bool is_without = tgi_replay_libraries_choose(l);
        double ns = is_without ? t->without_ns : t->with_ns, made_ns = is_made[is_without] ? 0 : t->make_ns;
        is_made[is_without] = true;
        tgi_replay_libraries_note(l, ns, made_ns);
        all.ns += ns + made_ns;
        all.n_without += is_without;
    }
    return all;
}

static void the_faster_one_stays(void **state)
{
    const struct truth faster = {3e6, 2e6, 10e6}, slower = {2e6, 3e6, 10e6};
    (void)state;
    struct tgi_replay_libraries l = {.calls_ns = 2e6};
    start(&l, &faster, 100);
    assert_true(l.is_decided && l.is_without);
    l = (struct tgi_replay_libraries){.calls_ns = 2e6};
    struct outcome o = start(&l, &slower, 100);
    assert_true(l.is_decided && !l.is_without);
    assert_in_range(o.n_without, 3, 4); /* the one that is made does not count */
    l = (struct tgi_replay_libraries){.calls_ns = 2e6};
    start(&l, &(struct truth){2e6, 1.99e6, 10e6}, 100); /* not by enough */
    assert_true(l.is_decided && !l.is_without);
}

static void calls_that_are_not_waited_for_are_left_alone(void **state)
{
    const struct truth t = {3e6, 2e6, 10e6};
    (void)state;
    struct tgi_replay_libraries l = {.calls_ns = 0.5e6}; /* of 3 ms */
    assert_int_equal(start(&l, &t, 100).n_without, 0);
    assert_true(l.is_decided);
    l = (struct tgi_replay_libraries){.calls_ns = 0}; /* there are none that anything else could do */
    assert_int_equal(start(&l, &t, 100).n_without, 0);
}

/* A hundred starts of 3 ms do not pay for a graph that takes a second, and five that take one of 15 ms do. */
static void nothing_is_tried_before_it_has_been_paid_for(void **state)
{
    (void)state;
    struct tgi_replay_libraries l = {.calls_ns = 2e6};
    assert_int_equal(start(&l, &(struct truth){3e6, 2e6, 1e9}, 100).n_without, 0);
    assert_false(l.is_decided);
    for (uint32_t n = 1; n < 10; n++) {
        l = (struct tgi_replay_libraries){.calls_ns = 2e6};
        assert_int_equal(start(&l, &(struct truth){3e6, 2e6, 15e6}, n).n_without, n > 5 ? n - 5 : 0);
    }
}

static void one_start_that_is_hopeless_is_enough(void **state)
{
    const struct truth t = {3e6, 30e6, 10e6};
    (void)state;
    struct tgi_replay_libraries l = {.calls_ns = 2e6};
    struct outcome o = start(&l, &t, 100);
    assert_int_equal(o.n_without, 1);
    assert_true(l.is_decided && !l.is_without);
    assert_true(o.ns < 100 * t.with_ns + 2 * t.make_ns + t.without_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_faster_one_stays),
        cmocka_unit_test(calls_that_are_not_waited_for_are_left_alone),
        cmocka_unit_test(nothing_is_tried_before_it_has_been_paid_for),
        cmocka_unit_test(one_start_that_is_hopeless_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
