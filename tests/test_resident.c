/* Resident programs: what the planner makes passes the check and, executed by threads that are its workers, gives what
 * executing the graph task by task gives; what is changed in the tables is refused. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/resident_delay.h"

#include "bench/resident_dag.h"
#include "tests/random_graph.h"
#include "tests/resident_cpu.h"

static const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;

static struct tgi_resident_program *plan(const struct resident_dag *d, uint32_t n_blocks, uint32_t each,
                                         uint32_t room, enum tgi_resident_width width)
{
    struct tg_error err = {0};
    struct tgi_resident_program *p = NULL;
    struct tgi_resident_shape shape = {n_blocks, each, tgi_resident_shared_bytes(each, 0, 0) + room, width};
    if (tgi_resident_plan(&d->dag, &shape, &costs, &p, &err) || tgi_resident_check(&d->dag, p, &err))
        fail_msg("%s", err.text);
    return p;
}

static void assert_results(const struct resident_dag *d, const struct resident_cpu *c, uint32_t epoch)
{
    size_t n = d->dag.n_tasks + 1u;
    uint64_t *result = must_have(calloc(n, 8)), *line = NULL;
    if (c->v.lines)
        line = must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS));
    resident_dag_execute(&d->dag, epoch, result, line);
    for (uint32_t t = 0; t < d->dag.n_tasks; t++) {
        uint32_t slot = c->p->slot_of[t];
        if (c->v.results[slot] != result[t])
            fail_msg("epoch %u: task %u on slot %u has another result", epoch, t, slot);
        if (TGI_RESIDENT_HAS_LINE(d->op[t]))
            assert_memory_equal(&c->v.lines[slot * TGI_RESIDENT_LINE_WORDS], &line[t * TGI_RESIDENT_LINE_WORDS],
                                8 * TGI_RESIDENT_LINE_WORDS);
    }
    free(result);
    free(line);
}

/* Replays n times from an epoch on. */
static void run(const struct resident_dag *d, const struct tgi_resident_program *p, uint32_t first, uint32_t n)
{
    struct resident_cpu c;
    resident_cpu_init(&c, p, true);
    for (uint32_t s = 0; s < p->n_tasks; s++)
        if (TGI_HEAD_WAIT(p->tasks[s].head) == TGI_WAIT_COUNTER)
            c.v.counters[p->tasks[s].wait] = (first - 1) * p->tasks[s].n_wait;
    for (uint32_t epoch = first; epoch < first + n; epoch++) {
        resident_cpu_begin(&c, epoch);
        resident_cpu_end(&c);
        assert_int_equal(resident_cpu_n_done(&c), p->n_tasks);
        assert_int_equal(c.v.control->panic.code, TGI_PANIC_NONE);
        assert_results(d, &c, epoch);
    }
    resident_cpu_fini(&c);
}

/* ---- Running ------------------------------------------------------------------------------*/

static void check_shapes(enum tgi_resident_width width)
{
    struct resident_dag d[6];
    resident_dag_independent(&d[0], 1000, TGI_RESIDENT_HASH);
    resident_dag_chain(&d[1], 200, TGI_RESIDENT_HASH);
    resident_dag_wavefront(&d[2], 20, 30, TGI_RESIDENT_HASH);
    resident_dag_stencil(&d[3], 24, 20, TGI_RESIDENT_ADD);
    resident_dag_random(&d[4], 500, 4, seed, TGI_RESIDENT_HASH);
    resident_dag_random(&d[5], 300, 40, seed, TGI_RESIDENT_HASH); /* more predecessors than a task has cells */
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t each = 1; each <= 4; each += 3) {
            struct tgi_resident_program *p = plan(&d[i], 3, each, 1 << 16, width);
            run(&d[i], p, 1, (uint32_t)ROUNDS(20));
            tgi_resident_program_destroy(p);
        }
    for (uint32_t i = 0; i < 6; i++)
        resident_dag_fini(&d[i]);
}

static void shapes_run_as_one_by_one_a_warp_wide(void **state)
{
    (void)state;
    check_shapes(TGI_RESIDENT_WARP);
}
static void shapes_run_as_one_by_one_a_thread_wide(void **state)
{
    (void)state;
    check_shapes(TGI_RESIDENT_THREAD);
}

/* Ops of all kinds that leave results, edges near and far, joins and forks. */
static void random_dag(struct resident_dag *d, struct dice *dice)
{
    static const uint8_t ops[] = {TGI_RESIDENT_HASH, TGI_RESIDENT_HASH,  TGI_RESIDENT_ADD,
                                  TGI_RESIDENT_EMPTY, TGI_RESIDENT_HASH_LINE, TGI_RESIDENT_ADD_LINE};
    uint32_t n = 1 + roll(dice, 300), n_ops = 3 + roll(dice, 4);
    resident_dag_init(d, n, TGI_RESIDENT_HASH);
    for (uint32_t t = 1; t < n; t++) {
        uint32_t degree = roll(dice, 8) ? roll(dice, 5) : roll(dice, 60), near = roll(dice, 2) ? 1 + roll(dice, 8) : n;
        d->op[t] = ops[roll(dice, n_ops)];
        for (uint32_t k = 0; k < degree; k++)
            resident_dag_edge(d, t - 1 - roll(dice, near < t ? near : t), t);
    }
    resident_dag_close(d);
}

static void random_graphs_replay_by_the_hundred(void **state)
{
    (void)state;
    struct dice dice = {seed};
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(30); i++) {
        struct resident_dag d;
        random_dag(&d, &dice);
        has_delays = i % 2;
        struct tgi_resident_program *p = plan(&d, 1 + roll(&dice, 4), 1 + roll(&dice, 4), roll(&dice, 3) * 4000,
                                              TGI_RESIDENT_WARP);
        run(&d, p, 1, i % 10 ? (uint32_t)ROUNDS(20) : (uint32_t)ROUNDS(200));
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
    has_delays = false;
}

/* Workers by lot, so that all kinds of edges stand beside each other. */
static void any_placement_runs(void **state)
{
    (void)state;
    struct dice dice = {seed + 1};
    has_delays = true;
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(30); i++) {
        struct resident_dag d;
        struct tg_error err = {0};
        struct tgi_resident_program *p = NULL;
        struct tgi_resident_shape shape = {1 + roll(&dice, 3), 1 + roll(&dice, 4), 40000, TGI_RESIDENT_WARP};
        random_dag(&d, &dice);
        uint32_t *worker_of = must_have(malloc((d.dag.n_tasks + 1u) * 4));
        for (uint32_t t = 0; t < d.dag.n_tasks; t++)
            worker_of[t] = roll(&dice, shape.n_blocks * shape.n_workers_each);
        assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
        if (tgi_resident_check(&d.dag, p, &err))
            fail_msg("%s", err.text);
        run(&d, p, 1, (uint32_t)ROUNDS(20));
        tgi_resident_program_destroy(p);
        free(worker_of);
        resident_dag_fini(&d);
    }
    has_delays = false;
}

/* Targets are n_wait * epoch modulo 2^32, and pass 2^32 here. */
static void targets_wrap(void **state)
{
    (void)state;
    struct resident_dag d;
    uint32_t worker_of[200];
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {4, 1, tgi_resident_shared_bytes(1, 0, 0), TGI_RESIDENT_WARP};
    resident_dag_random(&d, 200, 50, seed, TGI_RESIDENT_HASH);
    for (uint32_t t = 0; t < 200; t++)
        worker_of[t] = t % 4;
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    assert_true(p->n_counter_edges > 0);
    run(&d, p, UINT32_C(0x7fffffff) / 20, 100);
    run(&d, p, UINT32_C(0xffffffff) / 38 - 20, 100);
    run(&d, p, UINT32_MAX - 20, 20);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* ---- Planning -----------------------------------------------------------------------------*/

static void a_chain_stays_on_one_worker(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_chain(&d, 1000, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = plan(&d, 8, 8, 1 << 16, TGI_RESIDENT_WARP);
    assert_int_equal(p->n_order_edges, 999);
    for (uint32_t t = 1; t < 1000; t++)
        assert_true(p->tasks[p->slot_of[t]].head & TGI_HEAD_PREVIOUS);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Rows become workers, neighbours in a block: only the border between blocks is crossed in global memory. */
static void a_wavefront_crosses_blocks_at_borders_alone(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_wavefront(&d, 64, 64, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = plan(&d, 8, 8, 1 << 17, TGI_RESIDENT_WARP);
    assert_int_equal(p->n_counter_edges, 0);
    assert_int_equal(p->n_order_edges + p->n_shared_edges + p->n_cell_edges, d.n_edges);
    assert_int_equal(p->n_order_edges, 64 * 63);
    assert_int_equal(p->n_cell_edges, 7 * 64);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void loads_are_even(void **state)
{
    (void)state;
    struct resident_dag d;
    float cost[1000];
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {5, 4, 1 << 16, TGI_RESIDENT_WARP};
    double busy[20] = {0}, sum = 0;
    resident_dag_independent(&d, 1000, TGI_RESIDENT_EMPTY);
    for (uint32_t t = 0; t < 1000; t++)
        sum += cost[t] = (float)(100 + mix64(seed + t) % 1000);
    d.dag.cost_ns = cost;
    assert_int_equal(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err), 0);
    for (uint32_t w = 0; w < 20; w++) {
        for (uint32_t s = p->first[w]; s < p->first[w + 1]; s++)
            busy[w] += cost[p->tasks[s].id] + costs.task_ns;
        /* No worker has more than its share and the longest task. */
        assert_true(busy[w] <= (sum + 1000 * costs.task_ns) / 20 + 1100 + costs.task_ns);
    }
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* A stencil as wide as there are workers: a column each, and a hop a step.  Nobody has two while others have none, with
 * tasks shorter than the hop and longer. */
static void assert_column_for_each_worker(uint8_t op, uint64_t body_ns)
{
    enum { BLOCKS = 16, EACH = 8, WIDTH = BLOCKS * EACH, STEPS = 400 };
    struct resident_dag d;
    resident_dag_stencil(&d, WIDTH, STEPS, op);
    d.dag.arg = d.arg = must_have(malloc(d.dag.n_tasks * sizeof *d.arg));
    for (uint32_t t = 0; t < d.dag.n_tasks; t++)
        d.arg[t] = body_ns;
    struct tgi_resident_program *p = plan(&d, BLOCKS, EACH, 1 << 17, TGI_RESIDENT_WARP);
    for (uint32_t w = 0; w < WIDTH; w++) {
        assert_int_equal(p->first[w + 1] - p->first[w], STEPS);
        for (uint32_t step = 0; step < STEPS; step++)
            assert_int_equal(p->tasks[p->first[w] + step].id, step * WIDTH + p->tasks[p->first[w]].id);
    }
    double step_ns = costs.task_ns + (op == TGI_RESIDENT_SPIN ? (double)body_ns : 0) + costs.cell_ns;
    assert_true(p->makespan_ns <= STEPS * step_ns);
    assert_true(p->makespan_ns >= (STEPS - 1) * step_ns);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void a_stencil_has_a_column_for_each_worker(void **state)
{
    (void)state;
    assert_column_for_each_worker(TGI_RESIDENT_HASH, 0);
    assert_column_for_each_worker(TGI_RESIDENT_SPIN, 10000);
}

static void what_lies_in_memory_goes_by_counters(void **state)
{
    (void)state;
    struct resident_dag d;
    const uint32_t worker_of[] = {0, 1, 2};
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {3, 1, 1 << 16, TGI_RESIDENT_WARP};
    resident_dag_chain(&d, 3, TGI_RESIDENT_HASH);
    d.op[0] = TGI_RESIDENT_HASH_LINE;
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    /* The second edge too: whoever comes after it may read what the first task left. */
    assert_int_equal(p->n_counter_edges, 2);
    assert_int_equal(TGI_OUT_KIND(p->tasks[0].out[0]), TGI_OUT_LONE_COUNTER);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void refusals_name_the_task(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {2, 1, 1 << 16, TGI_RESIDENT_THREAD};
    const uint32_t worker_of[] = {0, 2, 0};
    resident_dag_chain(&d, 3, TGI_RESIDENT_HASH);
    d.op[1] = TGI_RESIDENT_HASH_LINE;
    assert_int_equal(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "resident program: task 1 cannot be one thread wide");
    d.op[1] = TGI_RESIDENT_SPIN;
    shape.width = TGI_RESIDENT_WARP;
    assert_int_equal(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err), TG_E_INVALID);
    assert_string_equal(err.text, "resident program: task 1 needs an argument");
    d.op[1] = TGI_RESIDENT_HASH;
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), TG_E_INVALID);
    assert_string_equal(err.text, "resident program: task 1 is on worker 2, which there is not");
    shape.n_workers_each = 0;
    assert_int_equal(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err), TG_E_INVALID);
    resident_dag_fini(&d);
}

/* ---- The check ----------------------------------------------------------------------------*/

static void assert_refused(const struct resident_dag *d, const struct tgi_resident_program *p, const char *text)
{
    struct tg_error err = {0};
    assert_int_equal(tgi_resident_check(&d->dag, p, &err), TG_E_INVALID);
    assert_non_null(strstr(err.text, text));
}

/* Every word that a task uses, changed in turn. */
static void any_changed_word_is_refused(void **state)
{
    (void)state;
    struct dice dice = {seed + 2};
    struct resident_dag d;
    struct tg_error err = {0};
    resident_dag_wavefront(&d, 12, 12, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = plan(&d, 3, 2, 600, TGI_RESIDENT_WARP);
    assert_true(p->n_shared_edges > 0 && p->n_cell_edges > 0);
    for (uint32_t s = 0; s < p->n_tasks; s++) {
        struct tgi_resident_task *t = &p->tasks[s], was = *t;
        for (uint32_t i = 0; i < 7; i++) {
            uint32_t *const word[] = {&t->head, &t->id, &t->wait, &t->n_wait, &t->out[0], &t->out[1], &t->in[0]};
            bool is_used = i < 2 || i == 3 || (i == 2 && t->n_wait) ||
                           (i >= 4 && i < 6 && i - 4 < TGI_HEAD_N_OUT(t->head)) || (i == 6 && TGI_HEAD_N_IN(t->head));
            if (!is_used)
                continue;
            static const uint32_t head_bits[] = {0, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19};
            *word[i] ^= i == 0 ? 1u << head_bits[roll(&dice, 12)] : 1u + roll(&dice, 3);
            if (tgi_resident_check(&d.dag, p, &err) == 0)
                fail_msg("word %u of task %u is %u instead of %u, and nobody minds", i, was.id, *word[i],
                         ((uint32_t *)&was)[i]);
            *t = was;
        }
    }
    assert_int_equal(tgi_resident_check(&d.dag, p, &err), 0);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Two workers, each of which has the task that the other's first one waits for last. */
static void orders_that_wait_for_each_other_are_refused(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {2, 1, 1 << 16, TGI_RESIDENT_WARP};
    const uint32_t worker_of[] = {0, 1, 0, 1};
    resident_dag_init(&d, 4, TGI_RESIDENT_EMPTY); /* 0 -> 3, 1 -> 2 */
    resident_dag_edge(&d, 0, 3);
    resident_dag_edge(&d, 1, 2);
    resident_dag_close(&d);
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    assert_int_equal(tgi_resident_check(&d.dag, p, &err), 0);
    for (uint32_t w = 0; w < 2; w++) { /* each worker's two the other way round */
        struct tgi_resident_task t = p->tasks[2 * w];
        p->tasks[2 * w] = p->tasks[2 * w + 1];
        p->tasks[2 * w + 1] = t;
        p->slot_of[p->tasks[2 * w].id] = 2 * w;
        p->slot_of[p->tasks[2 * w + 1].id] = 2 * w + 1;
    }
    assert_refused(&d, p, "would never run: the workers' orders wait for each other");
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void a_cell_behind_a_line_is_refused(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {3, 1, 1 << 16, TGI_RESIDENT_WARP};
    const uint32_t worker_of[] = {0, 1, 2};
    resident_dag_chain(&d, 3, TGI_RESIDENT_EMPTY);
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    assert_int_equal(p->n_cell_edges, 2);
    p->tasks[0].head |= d.op[0] = TGI_RESIDENT_HASH_LINE;
    assert_refused(&d, p, "task 0 leaves something in memory, or an ancestor does, but its edge is a cell");
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* ---- What goes wrong ------------------------------------------------------------------------*/

/* A word that nobody writes: whoever waits says so, and everybody leaves. */
static void a_wait_without_end_is_named(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_wavefront(&d, 6, 6, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = plan(&d, 3, 2, 0, TGI_RESIDENT_WARP);
    struct resident_cpu c;
    uint32_t slot = 0;
    while (TGI_HEAD_N_OUT(p->tasks[slot].head) != 1)
        slot++;
    struct tgi_resident_task *t = &p->tasks[slot];
    uint32_t cell = TGI_OUT_INDEX(t->out[0]);
    assert_int_equal(TGI_OUT_KIND(t->out[0]), TGI_OUT_CELL);
    t->head &= ~(TGI_HEAD_LIST << 12);
    resident_cpu_init(&c, p, false);
    c.v.limit_ns = 50000000;
    resident_cpu_begin(&c, 1);
    resident_cpu_end(&c);
    const struct tgi_resident_panic *panic = &c.v.control->panic;
    assert_int_equal(panic->code, TGI_PANIC_STUCK);
    assert_int_equal(c.v.control->abort, 1);
    assert_true(resident_cpu_n_done(&c) < p->n_tasks);
    /* The first to lose patience waits for that cell, or for a task that does. */
    assert_int_equal(p->tasks[panic->slot].id, panic->task);
    assert_int_equal(panic->seen, 0);
    assert_int_equal(panic->wanted, 1);
    assert_true(panic->wait == cell || panic->task > p->tasks[slot].id);
    resident_cpu_fini(&c);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* The rest of the instance drains: edges run down, bodies behind the failure are left out. */
/* Of two cells that are looked at together, the one that never comes. */
static void the_late_one_of_two_cells_is_named(void **state)
{
    (void)state;
    const uint32_t worker_of[] = {0, 1, 2};
    struct tg_error err = {0};
    struct tgi_resident_shape shape = {3, 1, tgi_resident_shared_bytes(1, 0, 0), TGI_RESIDENT_WARP};
    for (uint32_t late = 0; late < 2; late++) {
        struct resident_dag d;
        struct resident_cpu c;
        struct tgi_resident_program *p;
        resident_dag_init(&d, 3, TGI_RESIDENT_HASH);
        resident_dag_edge(&d, 0, 2);
        resident_dag_edge(&d, 1, 2);
        resident_dag_close(&d);
        assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
        assert_int_equal(p->tasks[2].n_wait, 2);
        p->tasks[late].head &= ~(TGI_HEAD_LIST << 12);
        resident_cpu_init(&c, p, false);
        c.v.cells[p->tasks[2].wait + !late].tail = UINT64_C(1) << 32; /* however late its worker starts */
        c.v.limit_ns = 50000000;
        resident_cpu_begin(&c, 1);
        resident_cpu_end(&c);
        assert_int_equal(c.v.control->panic.code, TGI_PANIC_STUCK);
        assert_int_equal(c.v.control->panic.task, 2);
        assert_int_equal(c.v.control->panic.wait, p->tasks[2].wait + late);
        assert_int_equal(c.v.control->panic.seen, 0);
        resident_cpu_fini(&c);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

static void a_failed_task_is_named_and_the_rest_drains(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_wavefront(&d, 8, 8, TGI_RESIDENT_HASH);
    d.arg = must_have(calloc(64, 8));
    d.dag.arg = d.arg;
    d.op[27] = TGI_RESIDENT_FAIL;
    d.arg[27] = 4711;
    d.op[63] = TGI_RESIDENT_FAIL; /* behind it: its own failure does not happen */
    d.arg[63] = 1;
    struct tgi_resident_program *p = plan(&d, 2, 3, 1 << 16, TGI_RESIDENT_WARP);
    struct resident_cpu c;
    resident_cpu_init(&c, p, false);
    resident_cpu_begin(&c, 1);
    resident_cpu_end(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_TASK);
    assert_int_equal(c.v.control->panic.task, 27);
    assert_int_equal(c.v.control->panic.detail, 4711);
    assert_int_equal(c.v.control->is_failed, 1);
    assert_int_equal(c.v.control->abort, 0);
    assert_int_equal(resident_cpu_n_done(&c), 64);
    resident_cpu_fini(&c);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* A spinning body and workers that wait for it. */
static void an_abort_ends_everything(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_chain(&d, 40, TGI_RESIDENT_SPIN);
    d.arg = must_have(calloc(40, 8));
    d.dag.arg = d.arg;
    d.arg[3] = UINT64_MAX;
    uint32_t worker_of[40];
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {4, 1, 1 << 16, TGI_RESIDENT_WARP};
    for (uint32_t t = 0; t < 40; t++)
        worker_of[t] = t % 4;
    assert_int_equal(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err), 0);
    struct resident_cpu c;
    resident_cpu_init(&c, p, false);
    resident_cpu_begin(&c, 1);
    tgi_store_relaxed(&c.v.control->abort, 1);
    resident_cpu_end(&c);
    assert_int_equal(c.v.control->panic.code, TGI_PANIC_NONE);
    assert_true(resident_cpu_n_done(&c) < 40);
    resident_cpu_fini(&c);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_run_as_one_by_one_a_warp_wide),
        cmocka_unit_test(shapes_run_as_one_by_one_a_thread_wide),
        cmocka_unit_test(random_graphs_replay_by_the_hundred),
        cmocka_unit_test(any_placement_runs),
        cmocka_unit_test(targets_wrap),
        cmocka_unit_test(a_chain_stays_on_one_worker),
        cmocka_unit_test(a_wavefront_crosses_blocks_at_borders_alone),
        cmocka_unit_test(loads_are_even),
        cmocka_unit_test(a_stencil_has_a_column_for_each_worker),
        cmocka_unit_test(what_lies_in_memory_goes_by_counters),
        cmocka_unit_test(refusals_name_the_task),
        cmocka_unit_test(any_changed_word_is_refused),
        cmocka_unit_test(orders_that_wait_for_each_other_are_refused),
        cmocka_unit_test(a_cell_behind_a_line_is_refused),
        cmocka_unit_test(a_wait_without_end_is_named),
        cmocka_unit_test(the_late_one_of_two_cells_is_named),
        cmocka_unit_test(a_failed_task_is_named_and_the_rest_drains),
        cmocka_unit_test(an_abort_ends_everything),
    };
    seed = test_seed(6);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
