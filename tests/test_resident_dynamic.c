/* Dynamic resident programs executed by threads: any graph gives what executing it task by task gives, however small the
 * rings, tasks that tasks make are all executed once, and everything ends. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/resident_delay.h"

#include "bench/resident_dag.h"
#include "gpu/resident/scheduler.h"
#include "sched/resident_dynamic.h"
#include "tests/dynamic_cpu.h"
#include "tests/random_graph.h"

static void assert_results(const struct resident_dag *d, const struct cpu *c)
{
    size_t n = d->dag.n_tasks + 1u;
    uint64_t *result = must_have(calloc(n, 8)), *line = must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS));
    resident_dag_execute(&d->dag, c->v.epoch, result, line);
    for (uint32_t t = 0; t < d->dag.n_tasks; t++) {
        if (c->v.results[t] != result[t])
            fail_msg("epoch %u: task %u has another result", c->v.epoch, t);
        if (TGI_RESIDENT_HAS_LINE(d->op[t]))
            assert_memory_equal(&c->v.lines[t * TGI_RESIDENT_LINE_WORDS], &line[t * TGI_RESIDENT_LINE_WORDS],
                                8 * TGI_RESIDENT_LINE_WORDS);
    }
    free(result);
    free(line);
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static struct tgi_resident_dynamic *create(const struct resident_dag *d, const uint8_t *is_urgent)
{
    struct tg_error err = {0};
    struct tgi_resident_dynamic *p = NULL;
    if (tgi_resident_dynamic_create(&d->dag, is_urgent, &p, &err))
        fail_msg("%s", err.text);
    return p;
}

static void run(const struct resident_dag *d, const uint8_t *is_urgent, const struct setup *s, uint32_t n)
{
    struct tgi_resident_dynamic *p = create(d, is_urgent);
    struct cpu c;
    cpu_init(&c, p, s);
    for (uint32_t i = 0; i < n; i++) {
        cpu_run(&c);
        assert_clean(&c);
        assert_results(d, &c);
        assert_int_equal(c.v.control->panic.code, TGI_PANIC_NONE);
    }
    cpu_fini(&c);
    tgi_resident_dynamic_destroy(p);
}

static void shapes_run_as_one_by_one(void **state)
{
    (void)state;
    static const struct setup setups[] = {{1, 1, 2, 2, 0, 1}, {2, 2, 32, 64, 0, 8}, {4, 1, 4, 4, 0, 3}};
    struct resident_dag d[5];
    resident_dag_independent(&d[0], 500, TGI_RESIDENT_HASH);
    resident_dag_chain(&d[1], 200, TGI_RESIDENT_HASH);
    resident_dag_wavefront(&d[2], 20, 20, TGI_RESIDENT_HASH);
    resident_dag_stencil(&d[3], 24, 16, TGI_RESIDENT_ADD);
    resident_dag_random(&d[4], 400, 4, seed, TGI_RESIDENT_HASH);
    for (uint32_t i = 0; i < 5; i++)
        for (uint32_t k = 0; k < 3; k++)
            run(&d[i], NULL, &setups[k], (uint32_t)ROUNDS(10));
    for (uint32_t i = 0; i < 5; i++)
        resident_dag_fini(&d[i]);
}

/* All ops, classes by lot, rings of two and more. */
static void random_graphs_run_with_rings_of_two(void **state)
{
    (void)state;
    static const uint8_t ops[] = {TGI_RESIDENT_HASH, TGI_RESIDENT_HASH_LINE, TGI_RESIDENT_ADD, TGI_RESIDENT_EMPTY,
                                  TGI_RESIDENT_ADD_LINE};
    struct dice dice = {seed};
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(60); i++) {
        struct resident_dag d;
        uint32_t n = 1 + roll(&dice, 300), degree = 1 + roll(&dice, 5);
        struct setup s = {1 + roll(&dice, 3), 1 + roll(&dice, 4), 2u << roll(&dice, 3), 2u << roll(&dice, 3), 0,
                          1 + roll(&dice, 5)};
        uint8_t *is_urgent = must_have(malloc(n));
        resident_dag_init(&d, n, TGI_RESIDENT_HASH);
        for (uint32_t t = 0; t < n; t++) {
            d.op[t] = ops[roll(&dice, 5)];
            is_urgent[t] = (uint8_t)roll(&dice, 2);
            for (uint32_t k = 0; t > 0 && k < roll(&dice, degree + 1); k++)
                resident_dag_edge(&d, roll(&dice, t), t);
        }
        resident_dag_close(&d);
        has_delays = i % 2;
        run(&d, is_urgent, &s, 8);
        free(is_urgent);
        resident_dag_fini(&d);
    }
    has_delays = false;
}

/* One task releases all others: the worker that has them gives them away or loses them to thieves. */
static void a_wide_fork_is_shared(void **state)
{
    (void)state;
    struct resident_dag d;
    const struct setup s = {4, 1, 2, 4, 0, 1};
    resident_dag_init(&d, 600, TGI_RESIDENT_HASH);
    for (uint32_t t = 1; t < 599; t++) {
        resident_dag_edge(&d, 0, t);
        resident_dag_edge(&d, t, 599);
    }
    resident_dag_close(&d);
    struct tgi_resident_dynamic *p = create(&d, NULL);
    struct cpu c;
    uint32_t n_busy = 0;
    cpu_init(&c, p, &s);
    has_delays = true;
    /* Whether a thief comes to its turn is the system's choice, so as often as it takes. */
    for (uint32_t i = 0; i < 1000 && n_busy < 2; i++) {
        cpu_run(&c);
        assert_clean(&c);
        assert_results(&d, &c);
        n_busy = 0;
        for (uint32_t w = 0; w < 4; w++)
            n_busy += c.v.progress[w] > 1;
    }
    has_delays = false;
    assert_true(n_busy >= 2);
    cpu_fini(&c);
    tgi_resident_dynamic_destroy(p);
    resident_dag_fini(&d);
}

static void replays_by_the_hundred_reset_nothing(void **state)
{
    (void)state;
    struct resident_dag d;
    const struct setup s = {2, 2, 2, 2, 0, 2};
    resident_dag_random(&d, 80, 3, seed, TGI_RESIDENT_HASH);
    run(&d, NULL, &s, (uint32_t)ROUNDS(400));
    resident_dag_fini(&d);
}

/* ---- Tasks made by tasks --------------------------------------------------------------------*/

static uint64_t tree_sum(uint32_t key, uint32_t level)
{
    return tgi_mix(key) + (level ? tree_sum(2 * key, level - 1) + tree_sum(2 * key + 1, level - 1) : 0);
}

static struct tgi_resident_dynamic *make_tree(struct resident_dag *d, uint32_t level)
{
    resident_dag_init(d, 2, TGI_RESIDENT_TREE);
    d->arg = must_have(calloc(2, 8));
    d->arg[0] = level;
    d->arg[1] = 1;
    resident_dag_close(d);
    return create(d, NULL);
}

static void a_tree_grows_and_is_counted(void **state)
{
    (void)state;
    enum { LEVEL = 9, ALL = (2 << LEVEL) - 2 + 2 };
    struct resident_dag d;
    struct cpu c;
    const struct setup s = {2, 2, 2, 4, ALL, 1};
    struct tgi_resident_dynamic *p = make_tree(&d, LEVEL);
    cpu_init(&c, p, &s);
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(40); i++) {
        c.p.counts->sum = 0;
        cpu_run(&c);
        assert_clean(&c);
        assert_int_equal(c.p.counts->made - c.p.made_before, ALL);
        assert_true(c.p.counts->sum == tree_sum(1, LEVEL) + tree_sum(2, 1));
    }
    cpu_fini(&c);
    tgi_resident_dynamic_destroy(p);
    resident_dag_fini(&d);
}

static void no_room_for_a_task_is_a_failure_that_ends(void **state)
{
    (void)state;
    struct resident_dag d;
    struct cpu c;
    const struct setup s = {2, 1, 2, 4, 20, 1};
    struct tgi_resident_dynamic *p = make_tree(&d, 9);
    cpu_init(&c, p, &s);
    cpu_run(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_ROOM);
    assert_int_equal(c.v.control->panic.wanted, 20);
    assert_int_equal(c.v.control->is_failed, 1);
    assert_int_equal(c.v.control->abort, 0);
    cpu_fini(&c);
    tgi_resident_dynamic_destroy(p);
    resident_dag_fini(&d);
}

/* ---- What goes wrong ------------------------------------------------------------------------*/

static void a_failed_task_is_named_and_the_rest_drains(void **state)
{
    (void)state;
    struct resident_dag d;
    struct cpu c;
    const struct setup s = {2, 2, 4, 4, 0, 1};
    resident_dag_wavefront(&d, 8, 8, TGI_RESIDENT_HASH);
    d.arg = must_have(calloc(64, 8));
    d.dag.arg = d.arg;
    d.op[27] = TGI_RESIDENT_FAIL;
    d.arg[27] = 4711;
    struct tgi_resident_dynamic *p = create(&d, NULL);
    cpu_init(&c, p, &s);
    cpu_run(&c);
    assert_clean(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_TASK);
    assert_int_equal(c.v.control->panic.task, 27);
    assert_int_equal(c.v.control->panic.detail, 4711);
    cpu_fini(&c);
    tgi_resident_dynamic_destroy(p);
    resident_dag_fini(&d);
}

/* A target that is never reached: nothing runs, tasks remain. */
static void a_standstill_is_noticed(void **state)
{
    (void)state;
    struct resident_dag d;
    struct cpu c;
    const struct setup s = {2, 1, 4, 4, 0, 1};
    resident_dag_wavefront(&d, 4, 4, TGI_RESIDENT_HASH);
    struct tgi_resident_dynamic *p = create(&d, NULL);
    p->tasks[10].n_wait++;
    cpu_init(&c, p, &s);
    c.v.limit_ns = 50000000;
    cpu_run(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_STUCK);
    assert_int_equal(c.v.control->abort, 1);
    assert_int_equal(c.v.control->panic.wanted, 16);
    assert_true(c.v.control->panic.seen < 16);
    cpu_fini(&c);
    tgi_resident_dynamic_destroy(p);
    resident_dag_fini(&d);
}

static void refusals_name_the_task(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_dynamic *p;
    resident_dag_chain(&d, 3, TGI_RESIDENT_HASH);
    d.op[2] = TGI_RESIDENT_TREE;
    assert_int_equal(tgi_resident_dynamic_create(&d.dag, NULL, &p, &err), TG_E_INVALID);
    assert_string_equal(err.text, "resident program: task 2 needs an argument");
    resident_dag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_run_as_one_by_one),
        cmocka_unit_test(random_graphs_run_with_rings_of_two),
        cmocka_unit_test(a_wide_fork_is_shared),
        cmocka_unit_test(replays_by_the_hundred_reset_nothing),
        cmocka_unit_test(a_tree_grows_and_is_counted),
        cmocka_unit_test(no_room_for_a_task_is_a_failure_that_ends),
        cmocka_unit_test(a_failed_task_is_named_and_the_rest_drains),
        cmocka_unit_test(a_standstill_is_noticed),
        cmocka_unit_test(refusals_name_the_task),
    };
    seed = test_seed(6);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
