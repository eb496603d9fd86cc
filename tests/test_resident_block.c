/* Tasks a block wide: tables pass the check and are refused when they are changed; threads that are the block's workers execute their parts
 * together, behind all that comes before and before all that comes after, with delays, failures and ends at any time. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/resident_delay.h"

#define TGI_PATIENCE 2u
#define TGI_HAS_BLOCKS
struct tgi_worker;
struct tgi_resident_task;
static uint32_t execute(struct tgi_worker *w, const struct tgi_resident_task *t);
#define TGI_CALL_STAGE(w, word) ((void)(w), (void)(word))
#define TGI_CALL_BODIES(w, task) execute(w, task)
#define TGI_BLOCK_BODIES(w, task) execute(w, task)

#include "bench/resident_dag.h"
#include "sched/resident_place.h"
#include "tests/random_graph.h"
#include "tests/resident_cpu.h"

static const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;

/* ---- Bodies -------------------------------------------------------------------------------*/

enum { MOST_EACH = 4, NOBODY = -1 };

/* What a task leaves: a part for each worker that executes it, plain memory, so that a missing order is a race. */
static struct {
    const struct resident_dag *d;
    const uint32_t *pred_at, *pred;
    uint64_t (*part)[MOST_EACH]; /* by task */
    uint32_t each;
    int fails, fails_in; /* which task, in which of its block's workers */
} memory;

static bool is_wide(uint32_t t) { return memory.d->dag.is_block && memory.d->dag.is_block[t]; }

/* All parts of all predecessors, its number and its epoch. */
static uint64_t part_of(uint32_t t, uint32_t k, uint32_t epoch)
{
    uint64_t sum = (uint64_t)epoch << 32 | t;
    for (uint32_t i = memory.pred_at[t]; i < memory.pred_at[t + 1]; i++)
        for (uint32_t j = 0; j < (is_wide(memory.pred[i]) ? memory.each : 1); j++)
            sum += tgi_mix(memory.part[memory.pred[i]][j] + j);
    return tgi_mix(sum + k);
}

static uint32_t execute(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    uint32_t k = is_wide(t->id) ? w->id % memory.each : 0;
    TGI_DELAY(w->id);
    memory.part[t->id][k] = part_of(t->id, k, w->epoch);
    return memory.fails == (int)t->id && memory.fails_in == (int)k ? 4711 : 0;
}

static void memory_init(const struct resident_dag *d, uint32_t each)
{
    struct tgi_resident_preds preds;
    struct tg_error err = {0};
    assert_int_equal(tgi_resident_preds_init(&preds, &d->dag, &err), 0);
    memory.d = d;
    memory.pred_at = preds.at;
    memory.pred = preds.task;
    free(preds.is_clean);
    memory.each = each;
    memory.part = must_have(calloc(d->dag.n_tasks + 1u, sizeof *memory.part));
    memory.fails = memory.fails_in = NOBODY;
}
static void memory_fini(void)
{
    free((void *)memory.pred_at);
    free((void *)memory.pred);
    free(memory.part);
}

/* ---- Graphs -------------------------------------------------------------------------------*/

/* Of CALLs, one in n_th of which is a block wide. */
static void random_calls(struct resident_dag *d, uint8_t *wide, uint32_t n, uint32_t degree, uint32_t n_th, uint64_t with)
{
    struct dice dice = {with};
    resident_dag_random(d, n, degree, with, TGI_RESIDENT_CALL);
    d->dag.arg = d->arg = must_have(calloc(n + 1u, sizeof *d->arg));
    for (uint32_t t = 0; t < n; t++)
        wide[t] = roll(&dice, n_th) == 0;
    d->dag.is_block = wide;
}

static struct tgi_resident_program *plan(const struct resident_dag *d, uint32_t n_blocks, uint32_t each)
{
    struct tg_error err = {0};
    struct tgi_resident_program *p = NULL;
    struct tgi_resident_shape shape = {n_blocks, each, tgi_resident_shared_bytes(each, 0, 0) + 4000, TGI_RESIDENT_WARP};
    if (tgi_resident_plan(&d->dag, &shape, &costs, &p, &err) || tgi_resident_check(&d->dag, p, &err))
        fail_msg("%s", err.text);
    return p;
}

static void assert_parts(uint32_t epoch)
{
    for (uint32_t t = 0; t < memory.d->dag.n_tasks; t++)
        for (uint32_t k = 0; k < (is_wide(t) ? memory.each : 1); k++)
            if (memory.part[t][k] != part_of(t, k, epoch)) /* ids are in topological order */
                fail_msg("epoch %u: part %u of task %u is another", epoch, k, t);
}

static void run(const struct tgi_resident_program *p, uint32_t n)
{
    struct resident_cpu c;
    resident_cpu_init(&c, p, false);
    c.v.words = must_have(calloc(1, 8));
    for (uint32_t epoch = 1; epoch <= n; epoch++) {
        resident_cpu_begin(&c, epoch);
        resident_cpu_end(&c);
        assert_int_equal(resident_cpu_n_done(&c), p->n_slots);
        assert_int_equal(c.v.control->panic.code, TGI_PANIC_NONE);
        assert_parts(epoch);
    }
    free((void *)c.v.words);
    resident_cpu_fini(&c);
}

/* ---- Running ------------------------------------------------------------------------------*/

static void parts_come_behind_what_is_before_them(void **state)
{
    (void)state;
    struct dice dice = {seed};
    uint8_t wide[300];
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(12); i++) {
        struct resident_dag d;
        uint32_t each = 1 + roll(&dice, MOST_EACH);
        has_delays = i % 2;
        random_calls(&d, wide, 20 + roll(&dice, 200), 1 + roll(&dice, 4), 1 + i % 3, seed + i);
        struct tgi_resident_program *p = plan(&d, 1 + roll(&dice, 3), each);
        memory_init(&d, each);
        run(p, (uint32_t)ROUNDS(10));
        memory_fini();
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
    has_delays = false;
}

/* The others of the block know it too, bodies behind it are left out, edges run down. */
static void a_part_that_fails_is_named_and_the_rest_drains(void **state)
{
    (void)state;
    static uint8_t wide[] = {1, 1, 1, 1, 1, 1};
    for (int part = 0; part < 3; part++) {
        struct resident_dag d;
        struct resident_cpu c;
        resident_dag_chain(&d, 6, TGI_RESIDENT_CALL);
        d.dag.arg = d.arg = must_have(calloc(6, 8));
        d.dag.is_block = wide;
        struct tgi_resident_program *p = plan(&d, 2, 3);
        memory_init(&d, 3);
        memory.fails = 2;
        memory.fails_in = part;
        resident_cpu_init(&c, p, false);
        c.v.words = must_have(calloc(1, 8));
        resident_cpu_begin(&c, 1);
        resident_cpu_end(&c);
        assert_int_equal(c.v.control->panic.code, TGI_PANIC_TASK);
        assert_int_equal(c.v.control->panic.task, 2);
        assert_int_equal(c.v.control->panic.detail, 4711);
        assert_int_equal(resident_cpu_n_done(&c), p->n_slots);
        for (uint32_t k = 0; k < 3; k++) {
            assert_true(memory.part[2][k] != 0);
            assert_true(memory.part[3][k] == 0);
        }
        free((void *)c.v.words);
        resident_cpu_fini(&c);
        memory_fini();
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

/* Whenever it comes nobody is left behind: part of a task is executed by all or by none. */
static void an_abort_ends_all_of_a_block(void **state)
{
    (void)state;
    enum { N = 200 };
    static uint8_t wide[N];
    struct resident_dag d;
    random_calls(&d, wide, N, 2, 1, seed);
    struct tgi_resident_program *p = plan(&d, 2, 3);
    has_delays = true;
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(60); i++) {
        struct resident_cpu c;
        memory_init(&d, 3);
        resident_cpu_init(&c, p, false);
        c.v.words = must_have(calloc(1, 8));
        resident_cpu_begin(&c, 1);
        for (uint32_t k = 0; k < i % 16; k++)
            sched_yield();
        tgi_store_relaxed(&c.v.control->abort, 1);
        resident_cpu_end(&c);
        for (uint32_t t = 0; t < N; t++)
            for (uint32_t k = 1; k < 3; k++)
                assert_int_equal(memory.part[t][k] != 0, memory.part[t][0] != 0);
        free((void *)c.v.words);
        resident_cpu_fini(&c);
        memory_fini();
    }
    has_delays = false;
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* A word that nobody writes: the lead waits for it and the members for the lead. */
static void a_wait_without_end_ends_all_of_a_block(void **state)
{
    (void)state;
    static uint8_t wide[] = {0, 1};
    const uint32_t worker_of[] = {0, 3};
    struct resident_dag d;
    struct resident_cpu c;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {2, 3, 40000, TGI_RESIDENT_WARP};
    resident_dag_chain(&d, 2, TGI_RESIDENT_CALL);
    d.dag.arg = d.arg = must_have(calloc(2, 8));
    d.dag.is_block = wide;
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    p->tasks[0].head &= ~(TGI_HEAD_LIST << 12);
    memory_init(&d, 3);
    resident_cpu_init(&c, p, false);
    c.v.words = must_have(calloc(1, 8));
    c.v.limit_ns = 50000000;
    resident_cpu_begin(&c, 1);
    resident_cpu_end(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_STUCK);
    assert_int_equal(c.v.control->panic.task, 1);
    assert_true(memory.part[1][0] == 0 && memory.part[1][2] == 0);
    free((void *)c.v.words);
    resident_cpu_fini(&c);
    memory_fini();
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* ---- Tables -------------------------------------------------------------------------------*/

/* In one block nothing is stored for a chain of them. */
static void a_chain_of_them_stays_in_one_block(void **state)
{
    (void)state;
    static uint8_t wide[50];
    struct resident_dag d;
    memset(wide, 1, sizeof wide);
    resident_dag_chain(&d, 50, TGI_RESIDENT_CALL);
    d.dag.arg = d.arg = must_have(calloc(50, 8));
    d.dag.is_block = wide;
    struct tgi_resident_program *p = plan(&d, 3, 4);
    assert_int_equal(p->n_order_edges, 49);
    assert_int_equal(p->n_slots, 200);
    assert_int_equal(p->n_block_tasks, 50);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void assert_refused(const struct resident_dag *d, const struct tgi_resident_program *p, const char *text)
{
    struct tg_error err = {0};
    assert_int_equal(tgi_resident_check(&d->dag, p, &err), TG_E_INVALID);
    if (!strstr(err.text, text))
        fail_msg("'%s' instead of '%s'", err.text, text);
}

static void swap(struct tgi_resident_task *a, struct tgi_resident_task *b)
{
    struct tgi_resident_task was = *a;
    *a = *b;
    *b = was;
}

static void what_is_not_one_block_in_one_order_is_refused(void **state)
{
    (void)state;
    static uint8_t wide[] = {1, 1, 1, 1};
    const uint32_t worker_of[] = {0, 0, 2, 2};
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {2, 2, 40000, TGI_RESIDENT_WARP};
    resident_dag_independent(&d, 4, TGI_RESIDENT_CALL);
    d.dag.arg = d.arg = must_have(calloc(4, 8));
    d.dag.is_block = wide;
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    assert_int_equal(tgi_resident_check(&d.dag, p, &err), 0);
    /* slots: worker 0 has 0 1, worker 1 has 0 1, worker 2 has 2 3, worker 3 has 2 3 */
    swap(&p->tasks[2], &p->tasks[3]);
    assert_refused(&d, p, "would never run: the workers' orders wait for each other");
    swap(&p->tasks[2], &p->tasks[3]);
    swap(&p->tasks[3], &p->tasks[6]);
    assert_refused(&d, p, "workers of another block take part");
    swap(&p->tasks[3], &p->tasks[6]);
    p->tasks[3] = p->tasks[2];
    assert_refused(&d, p, "twice in one worker");
    p->tasks[3].id = 1;
    p->tasks[3].head &= ~TGI_HEAD_MEMBER;
    assert_refused(&d, p, "is executed by more or fewer workers than it should be");
    p->tasks[3].head |= TGI_HEAD_MEMBER;
    p->tasks[3].n_wait = 1;
    assert_refused(&d, p, "more than its first worker waits or tells");
    p->tasks[3].n_wait = 0;
    assert_int_equal(tgi_resident_check(&d.dag, p, &err), 0);
    p->first[1] = 3; /* worker 1 begins later: three of worker 0 */
    p->first[2] = 4;
    assert_true(tgi_resident_check(&d.dag, p, &err) == TG_E_INVALID);
    p->first[1] = 2;
    p->n_slots = 7;
    assert_refused(&d, p, "its slots are not the graph's");
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void what_cannot_be_a_block_wide_is_named(void **state)
{
    (void)state;
    static uint8_t wide[] = {0, 1, 0};
    static const uint8_t device_of[] = {0, 0, 1};
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {2, 2, 40000, TGI_RESIDENT_WARP};
    resident_dag_chain(&d, 3, TGI_RESIDENT_HASH);
    d.dag.is_block = wide;
    assert_int_equal(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "resident program: task 1 cannot be a block wide");
    memset(d.op, TGI_RESIDENT_CALL, 3);
    d.dag.arg = d.arg = must_have(calloc(3, 8));
    d.dag.device_of = device_of;
    assert_int_equal(tgi_resident_plan_peers(&d.dag, &shape, 2, &costs, &p, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "resident program: task 1 is a block wide, in a program on several devices");
    resident_dag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_come_behind_what_is_before_them),
        cmocka_unit_test(a_part_that_fails_is_named_and_the_rest_drains),
        cmocka_unit_test(an_abort_ends_all_of_a_block),
        cmocka_unit_test(a_wait_without_end_ends_all_of_a_block),
        cmocka_unit_test(a_chain_of_them_stays_in_one_block),
        cmocka_unit_test(what_is_not_one_block_in_one_order_is_refused),
        cmocka_unit_test(what_cannot_be_a_block_wide_is_named),
    };
    seed = test_seed(11);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
