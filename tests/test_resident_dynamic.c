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
#include "tests/random_graph.h"
#include "tests/resident_cpu.h"

/* ---- Threads for workers --------------------------------------------------------------------*/

struct cpu {
    struct tgi_resident_view v;
    struct tgi_resident_pool p;
    struct tgi_ring *local;
    uint32_t *local_slots;
    uint32_t n_workers;
};

struct cpu_worker {
    struct cpu *cpu;
    uint32_t id;
};

static void *cpu_thread(void *user)
{
    struct cpu_worker *me = user;
    struct cpu *c = me->cpu;
    uint32_t each = c->v.n_workers_each, block = me->id / each, per_block = each * TGI_RESIDENT_CLASSES;
    struct tgi_runner r = {.w = {.v = &c->v, .id = me->id, .epoch = c->v.epoch}, .p = &c->p, .block = block, .rank = me->id % each};
    r.local = c->local + (size_t)block * per_block;
    r.local_slots = c->local_slots + (size_t)block * per_block * c->p.local_capacity;
    tgi_runner_run(&r);
    return NULL;
}

struct setup {
    uint32_t n_blocks, each, local, far, made, chunk;
};

static void cpu_init(struct cpu *c, const struct tgi_resident_dynamic *d, const struct setup *s)
{
    uint32_t n_workers = s->n_blocks * s->each, n_rings = n_workers * TGI_RESIDENT_CLASSES;
    size_t n = (size_t)d->n_tasks + s->made + 1;
    memset(c, 0, sizeof *c);
    c->n_workers = n_workers;
    c->v = (struct tgi_resident_view){.tasks = d->tasks, .outs = d->outs, .ins = d->ins, .args = d->args};
    c->v.counters = zeroed_lines(n * 4);
    c->v.results = must_have(calloc(n, 8));
    c->v.lines = must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS));
    c->v.progress = must_have(calloc(n_workers, 4));
    c->v.control = zeroed_lines(sizeof *c->v.control);
    c->v.limit_ns = 60000000000u;
    c->v.n_workers_each = s->each;
    c->p = (struct tgi_resident_pool){.roots = d->roots, .n_tasks = d->n_tasks, .n_roots = d->n_roots,
                                      .n_blocks = s->n_blocks, .ring_capacity = s->far, .local_capacity = s->local,
                                      .made_capacity = s->made, .chunk = s->chunk};
    c->p.rings = zeroed_lines(n_rings * sizeof *c->p.rings);
    c->p.slots = zeroed_lines((size_t)n_rings * s->far * 4);
    c->p.next = must_have(calloc(n, 4));
    c->p.idle = zeroed_lines(s->n_blocks * sizeof *c->p.idle);
    c->p.mail = zeroed_lines(n_workers * sizeof *c->p.mail);
    c->p.made = must_have(calloc(s->made + 1u, sizeof *c->p.made));
    c->p.counts = zeroed_lines(sizeof *c->p.counts);
    c->local = zeroed_lines(n_rings * sizeof *c->local);
    c->local_slots = zeroed_lines((size_t)n_rings * s->local * 4);
}

static void cpu_run(struct cpu *c)
{
    pthread_t threads[64];
    struct cpu_worker workers[64];
    c->v.epoch++;
    c->p.made_before = c->p.counts->made;
    c->p.finished_before = c->p.counts->finished;
    memset(c->local, 0, c->n_workers * TGI_RESIDENT_CLASSES * sizeof *c->local);
    for (uint32_t w = 0; w < c->n_workers; w++) {
        workers[w] = (struct cpu_worker){c, w};
        if (pthread_create(&threads[w], NULL, cpu_thread, &workers[w]))
            abort();
    }
    for (uint32_t w = 0; w < c->n_workers; w++)
        pthread_join(threads[w], NULL);
}

/* Nothing is left anywhere, and all was counted. */
static void assert_clean(const struct cpu *c)
{
    uint32_t n_done = 0, n_made = c->p.counts->made - c->p.made_before;
    for (uint32_t w = 0; w < c->n_workers; w++) {
        assert_int_equal(c->p.mail[w].task, 0);
        n_done += c->v.progress[w];
        for (uint32_t k = 0; k < TGI_RESIDENT_CLASSES; k++)
            assert_int_equal(TGI_RING_SIZE(c->p.rings[w * TGI_RESIDENT_CLASSES + k].ends) +
                                 TGI_RING_SIZE(c->local[w * TGI_RESIDENT_CLASSES + k].ends), 0);
    }
    for (uint32_t b = 0; b < c->p.n_blocks; b++)
        assert_int_equal(c->p.idle[b].mask, 0);
    assert_int_equal(n_done, c->p.n_tasks + n_made);
    assert_int_equal(c->p.counts->finished - c->p.finished_before, c->p.n_tasks + n_made);
}

static void cpu_fini(struct cpu *c)
{
    void *const all[] = {c->v.counters, c->v.results, c->v.lines, c->v.progress, c->v.control, c->p.rings, c->p.slots,
                         c->p.next, c->p.idle, c->p.mail, c->p.made, c->p.counts, c->local, c->local_slots};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

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
