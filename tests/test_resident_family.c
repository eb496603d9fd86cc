/* Bodies in dynamic programs, executed by threads: tasks that bodies make are all executed once, successors of a task see what all of
 * them have left, blocks come back, and what has no room, fails or never ends is told. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/resident_delay.h"

struct tgi_worker;
struct tgi_resident_task;
static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#define TGI_CALL_STAGE(w, word)  ((void)(w), (void)(word))
#define TGI_CALL_BODIES(w, task) call_body(w, task)
enum { MADE_WORDS = 3 };

#include "tests/dynamic_cpu.h"

#include "bench/resident_dag.h"
#include "sched/resident_dynamic.h"
#include "sched/resident_place.h"
#include "tests/random_graph.h"

/* A task of the graph has as many cells as it says.  Its value is a mix of the cells of its predecessors; it makes tasks that halve the
 * range of its cells until there is one, and that one is a mix of the value.  Cells are plain memory, so ThreadSanitizer sees
 * what no order is behind. */
enum { GRAPH_TASK, RANGE, FAILS, WAITS, TOO_MANY, N_CELLS = 24 };

static struct {
    struct resident_dag d;
    uint64_t *cells, *value; /* by task: N_CELLS; one */
    uint32_t *n_cells;
    uint32_t *asked; /* by cell: the epoch in which its task was called first */
    uint64_t *words; /* by task: its number */
    const struct tgi_resident_preds *preds;
    uint32_t n_inline, n_again, n_invalid; /* atomic */
    bool has_again;
} it;

static void must_be(bool is_so) /* in a worker, which cmocka does not know */
{
    if (!is_so)
        abort();
}
static void count(uint32_t *n) { __atomic_fetch_add(n, 1, __ATOMIC_RELAXED); }

static uint64_t cell_of(uint64_t value, uint32_t i) { return mix64(value + i); }

static uint64_t value_of(uint32_t t, uint32_t epoch)
{
    uint64_t sum = (uint64_t)epoch << 32 | t;
    for (uint32_t k = it.preds->at[t]; k < it.preds->at[t + 1]; k++) {
        uint32_t from = it.preds->task[k];
        for (uint32_t i = 0; i < it.n_cells[from]; i++)
            sum += mix64(it.cells[from * N_CELLS + i]);
    }
    return mix64(sum);
}

static uint32_t fill_range(struct tgi_family_runner *f, uint32_t t, uint32_t begin, uint32_t end, bool may_ask)
{
    if (end - begin > 1) {
        uint32_t middle = (begin + end) / 2;
        for (uint32_t k = 0; k < 2; k++) {
            const uint64_t words[] = {t, k ? middle : begin, k ? end : middle};
            if (tgd_spawn(f->spawner, true, RANGE, words, 3) == TGD_OK)
                continue;
            count(&it.n_inline);
            fill_range(f, t, (uint32_t)words[1], (uint32_t)words[2], false);
        }
        return 0;
    }
    uint32_t at = t * N_CELLS + begin;
    if (may_ask && it.has_again && at % 3 == 0 && it.asked[at] != f->r.w.epoch) {
        it.asked[at] = f->r.w.epoch;
        count(&it.n_again);
        return TGI_CALL_AGAIN;
    }
    if (begin < end)
        it.cells[at] = cell_of(it.value[t], begin);
    return 0;
}

static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *task)
{
    struct tgi_family_runner *f = (struct tgi_family_runner *)w;
    const uint64_t *a = f->words;
    uint32_t t = (uint32_t)a[0];
    switch (TGI_CALL_BODY(task->in[0])) {
    case GRAPH_TASK:
        must_be(task->id == t);
        it.value[t] = value_of(t, w->epoch);
        return fill_range(f, t, 0, it.n_cells[t], true);
    case RANGE:
        must_be(task->id == t);
        return fill_range(f, t, (uint32_t)a[1], (uint32_t)a[2], true);
    case FAILS:
        fill_range(f, t, 0, N_CELLS, false);
        return 4711;
    case WAITS:
        return TGI_CALL_AGAIN;
    case TOO_MANY: {
        const uint64_t words[MADE_WORDS + 1] = {t};
        if (tgd_spawn(f->spawner, true, RANGE, words, MADE_WORDS + 1) == TGD_E_INVALID &&
            tgd_spawn(f->spawner, false, RANGE, words, 1) == TGD_OK && f->spawner->n_made == 0)
            count(&it.n_invalid);
        return 0;
    }
    }
    return TGI_CALL_NO_BODY;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static struct tgi_resident_preds preds;

/* Of n tasks; edges are added by the caller, who then calls close_graph(). */
static void open_graph(uint32_t n)
{
    memset(&it, 0, sizeof it);
    resident_dag_init(&it.d, n, TGI_RESIDENT_CALL);
    it.d.arg = must_have(calloc(n + 1u, 8));
    it.words = must_have(calloc(n + 1u, 8));
    it.cells = must_have(calloc((n + 1u) * N_CELLS, 8));
    it.asked = must_have(calloc((n + 1u) * N_CELLS, 4));
    it.value = must_have(calloc(n + 1u, 8));
    it.n_cells = must_have(calloc(n + 1u, 4));
    for (uint32_t t = 0; t < n; t++) {
        it.d.arg[t] = TGI_CALL(GRAPH_TASK, 1, t);
        it.words[t] = t;
        it.n_cells[t] = N_CELLS;
    }
}

static struct tgi_resident_dynamic *close_graph(struct cpu *c, const struct setup *s)
{
    struct tg_error err = {0};
    struct tgi_resident_dynamic *p;
    resident_dag_close(&it.d);
    it.d.dag.arg = it.d.arg;
    if (tgi_resident_preds_init(&preds, &it.d.dag, &err) || tgi_resident_dynamic_create(&it.d.dag, NULL, &p, &err))
        fail_msg("%s", err.text);
    it.preds = &preds;
    cpu_init(c, p, s);
    c->v.words = it.words;
    return p;
}

static void fini(struct cpu *c, struct tgi_resident_dynamic *p)
{
    cpu_fini(c);
    tgi_resident_dynamic_destroy(p);
    tgi_resident_preds_fini(&preds);
    resident_dag_fini(&it.d);
    free(it.words);
    free(it.cells);
    free(it.asked);
    free(it.value);
    free(it.n_cells);
}

static void assert_cells(const struct cpu *c)
{
    for (uint32_t t = 0; t < c->p.n_tasks; t++) { /* numbered in order, so what it reads is proved before */
        if (TGI_HEAD_OP(c->v.tasks[t].head) != TGI_RESIDENT_CALL)
            continue;
        uint64_t value = value_of(t, c->v.epoch);
        if (it.value[t] != value)
            fail_msg("epoch %u: task %u did not see what all of its predecessors' families left", c->v.epoch, t);
        for (uint32_t i = 0; i < it.n_cells[t]; i++)
            if (it.cells[t * N_CELLS + i] != cell_of(value, i))
                fail_msg("epoch %u: cell %u of task %u is another", c->v.epoch, i, t);
    }
}

static void run(struct cpu *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        cpu_run(c);
        assert_int_equal(c->v.control->panic.code, TGI_PANIC_NONE);
        assert_clean(c);
        assert_cells(c);
    }
}

static void draw_graph(struct dice *dice)
{
    uint32_t n = 1 + roll(dice, 40), degree = 1 + roll(dice, 4);
    open_graph(n);
    for (uint32_t t = 0; t < n; t++) {
        it.n_cells[t] = roll(dice, 3) ? roll(dice, N_CELLS + 1) : roll(dice, 2);
        if (roll(dice, 6) == 0) {
            it.d.op[t] = TGI_RESIDENT_EMPTY;
            it.n_cells[t] = 0;
        }
        for (uint32_t k = 0; t > 0 && k < roll(dice, degree + 1); k++)
            resident_dag_edge(&it.d, roll(dice, t), t);
    }
}

/* ---- Families -------------------------------------------------------------------------------*/

static void successors_see_what_families_left(void **state)
{
    (void)state;
    struct dice dice = {seed};
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(60); i++) {
        struct cpu c;
        const struct setup s = {1 + roll(&dice, 3), 1 + roll(&dice, 4), 2u << roll(&dice, 3), 2u << roll(&dice, 3),
                                1 + roll(&dice, roll(&dice, 2) ? 4 : TGI_SPAWN_MAX_EACH), 1 + roll(&dice, 5)};
        draw_graph(&dice);
        it.has_again = i % 3 == 0;
        has_delays = i % 2;
        struct tgi_resident_dynamic *p = close_graph(&c, &s);
        run(&c, 6);
        fini(&c, p);
    }
    has_delays = false;
}

static void bodies_are_called_again_behind_others(void **state)
{
    (void)state;
    struct cpu c;
    const struct setup s = {1, 1, 2, 2, 64, 1}; /* one worker, and rings that are full at once */
    open_graph(8);
    it.has_again = true;
    struct tgi_resident_dynamic *p = close_graph(&c, &s);
    run(&c, 3);
    assert_int_equal(it.n_again, 3 * 8 * N_CELLS / 3);
    assert_int_equal(it.n_inline, 0);
    fini(&c, p);
}

/* As many tasks as blocks many times over, without a reset. */
static void blocks_come_back(void **state)
{
    (void)state;
    struct cpu c;
    const struct setup s = {2, 2, 4, 4, 40, 1};
    open_graph(60);
    for (uint32_t t = 1; t < 60; t++)
        resident_dag_edge(&it.d, t - 1, t);
    struct tgi_resident_dynamic *p = close_graph(&c, &s);
    has_delays = true;
    run(&c, (uint32_t)ROUNDS(20));
    has_delays = false;
    assert_int_equal(it.n_inline, 0); /* a family has 46 at once, halves of halves; no worker is ever without a block */
    fini(&c, p);
}

static void without_room_the_body_does_it_itself(void **state)
{
    (void)state;
    struct cpu c;
    const struct setup none = {2, 2, 4, 4, 0, 1}, few = {1, 2, 4, 4, 3, 1};
    open_graph(10);
    struct tgi_resident_dynamic *p = close_graph(&c, &none);
    run(&c, 2);
    assert_int_equal(it.n_inline, 2 * 10 * (2 * N_CELLS - 2));
    fini(&c, p);
    open_graph(10);
    p = close_graph(&c, &few);
    run(&c, (uint32_t)ROUNDS(20));
    fini(&c, p);
}

/* One task makes all others: they are found by several workers. */
static void a_family_is_shared(void **state)
{
    (void)state;
    struct cpu c;
    uint32_t n_busy = 0;
    const struct setup s = {4, 1, 8, 8, TGI_SPAWN_MAX_EACH, 1};
    open_graph(1);
    struct tgi_resident_dynamic *p = close_graph(&c, &s);
    has_delays = true;
    /* Whether a thief comes to its turn is the system's choice, so as often as it takes. */
    for (uint32_t i = 0; i < 1000 && n_busy < 2; i++) {
        run(&c, 1);
        n_busy = 0;
        for (uint32_t w = 0; w < 4; w++)
            n_busy += c.v.progress[w] > 0;
    }
    has_delays = false;
    assert_true(n_busy >= 2);
    fini(&c, p);
}

static void what_cannot_be_made_is_refused(void **state)
{
    (void)state;
    struct cpu c;
    const struct setup s = {1, 1, 4, 4, 4, 1};
    open_graph(1);
    it.n_cells[0] = 0;
    it.d.arg[0] = TGI_CALL(TOO_MANY, 1, 0);
    struct tgi_resident_dynamic *p = close_graph(&c, &s);
    cpu_run(&c);
    assert_clean(&c);
    assert_int_equal(it.n_invalid, 1);
    fini(&c, p);
}

/* ---- What goes wrong ------------------------------------------------------------------------*/

static void a_failed_body_is_named_and_all_drains(void **state)
{
    (void)state;
    struct cpu c;
    const struct setup s = {2, 2, 4, 4, 64, 1};
    open_graph(20);
    for (uint32_t t = 1; t < 20; t++)
        resident_dag_edge(&it.d, (t - 1) / 2, t);
    it.d.arg[5] = TGI_CALL(FAILS, 1, 5);
    struct tgi_resident_dynamic *p = close_graph(&c, &s);
    cpu_run(&c);
    assert_clean(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_TASK);
    assert_int_equal(c.v.control->panic.task, 5);
    assert_int_equal(c.v.control->panic.detail, 4711);
    fini(&c, p);
}

/* A task that is called again and again for nothing: the workers that wait for others notice. */
static void one_that_never_ends_is_noticed(void **state)
{
    (void)state;
    struct cpu c;
    const struct setup s = {2, 1, 4, 4, 4, 1};
    open_graph(3);
    it.d.arg[1] = TGI_CALL(WAITS, 1, 1);
    struct tgi_resident_dynamic *p = close_graph(&c, &s);
    c.v.limit_ns = 50000000;
    cpu_run(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_STUCK);
    assert_int_equal(c.v.control->abort, 1);
    fini(&c, p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(successors_see_what_families_left),
        cmocka_unit_test(bodies_are_called_again_behind_others),
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(without_room_the_body_does_it_itself),
        cmocka_unit_test(a_family_is_shared),
        cmocka_unit_test(what_cannot_be_made_is_refused),
        cmocka_unit_test(a_failed_body_is_named_and_all_drains),
        cmocka_unit_test(one_that_never_ends_is_noticed),
    };
    seed = test_seed(9);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
