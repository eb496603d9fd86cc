/* Resident programs whose workers are on several devices: what the planner makes passes the check and, executed by threads with
 * tables apart for each device, gives what executing the graph task by task gives; one device's end is everybody's. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/resident_delay.h"

#include "tests/resident_peers_cpu.h"

#include "bench/resident_dag.h"
#include "tests/random_graph.h"

static const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;

static struct tgi_resident_shape shape_of(uint32_t n_blocks, uint32_t each, uint32_t room)
{
    return (struct tgi_resident_shape){n_blocks, each, tgi_resident_shared_bytes(each, 0, 0) + room, TGI_RESIDENT_WARP};
}

static struct tgi_resident_program *checked(const struct resident_dag *d, struct tgi_resident_program *p)
{
    struct tg_error err = {0};
    if (tgi_resident_check(&d->dag, p, &err))
        fail_msg("%s", err.text);
    return p;
}

static struct tgi_resident_program *plan(const struct resident_dag *d, uint32_t n_devices, struct tgi_resident_shape shape)
{
    struct tg_error err = {0};
    struct tgi_resident_program *p = NULL;
    if (tgi_resident_plan_peers(&d->dag, &shape, n_devices, &costs, &p, &err))
        fail_msg("%s", err.text);
    return checked(d, p);
}

static struct tgi_resident_program *placed(const struct resident_dag *d, uint32_t n_devices, struct tgi_resident_shape shape, const uint32_t *worker_of)
{
    struct tg_error err = {0};
    struct tgi_resident_program *p = NULL;
    if (tgi_resident_build_peers(&d->dag, &shape, n_devices, worker_of, &p, &err))
        fail_msg("%s", err.text);
    return checked(d, p);
}

/* The k-th task on worker k modulo their number, which are of one block on each device: every edge between neighbours crosses. */
static struct tgi_resident_program *in_turn(const struct resident_dag *d, uint32_t n_devices)
{
    uint32_t *worker_of = must_have(malloc((d->dag.n_tasks + 1u) * 4));
    for (uint32_t t = 0; t < d->dag.n_tasks; t++)
        worker_of[t] = t % n_devices;
    struct tgi_resident_program *p = placed(d, n_devices, shape_of(1, 1, 0), worker_of);
    free(worker_of);
    return p;
}

static void assert_results(const struct resident_dag *d, const struct peers_cpu *c, uint32_t epoch)
{
    size_t n = d->dag.n_tasks + 1u;
    uint64_t *result = must_have(calloc(n, 8)), *line = NULL;
    if (c->device[0].v.lines)
        line = must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS));
    resident_dag_execute(&d->dag, epoch, result, line);
    for (uint32_t t = 0; t < d->dag.n_tasks; t++) {
        uint32_t slot = c->p->slot_of[t];
        const struct peers_cpu_device *home = peers_cpu_home(c, slot);
        if (home->v.results[slot] != result[t])
            fail_msg("epoch %u: task %u on slot %u has another result", epoch, t, slot);
        if (TGI_RESIDENT_HAS_LINE(d->op[t]))
            assert_memory_equal(&home->v.lines[slot * TGI_RESIDENT_LINE_WORDS], &line[t * TGI_RESIDENT_LINE_WORDS],
                                8 * TGI_RESIDENT_LINE_WORDS);
    }
    free(result);
    free(line);
}

/* Replays n times from an epoch on. */
static void run(const struct resident_dag *d, const struct tgi_resident_program *p, uint32_t first, uint32_t n)
{
    struct peers_cpu c;
    peers_cpu_init(&c, p, true);
    for (uint32_t s = 0; s < p->n_tasks; s++)
        if (TGI_HEAD_WAIT(p->tasks[s].head) == TGI_WAIT_COUNTER)
            for (uint32_t i = 0; i < c.n_devices; i++) {
                bool is_far = p->tasks[s].head & TGI_HEAD_WAITS_FAR;
                uint32_t *counters = is_far ? c.device[i].peers.of[i].far_counters : c.device[i].v.counters;
                counters[p->tasks[s].wait] = (first - 1) * p->tasks[s].n_wait;
            }
    for (uint32_t epoch = first; epoch < first + n; epoch++) {
        peers_cpu_begin(&c, epoch);
        peers_cpu_end(&c);
        for (uint32_t i = 0; i < c.n_devices; i++) {
            assert_int_equal(c.device[i].v.control->panic.code, TGI_PANIC_NONE);
            assert_int_equal(c.device[i].v.control->abort, 0);
        }
        assert_int_equal(peers_cpu_n_done(&c), p->n_tasks);
        assert_results(d, &c, epoch);
    }
    peers_cpu_fini(&c);
}

/* ---- Running ------------------------------------------------------------------------------*/

static void shapes_run_as_one_by_one(void **state)
{
    (void)state;
    struct resident_dag d[6];
    resident_dag_chain(&d[0], 200, TGI_RESIDENT_HASH);
    resident_dag_chain(&d[1], 200, TGI_RESIDENT_HASH_LINE);
    resident_dag_wavefront(&d[2], 20, 30, TGI_RESIDENT_HASH);
    resident_dag_stencil(&d[3], 24, 20, TGI_RESIDENT_ADD);
    resident_dag_random(&d[4], 500, 4, seed, TGI_RESIDENT_HASH);
    resident_dag_random(&d[5], 300, 40, seed, TGI_RESIDENT_HASH); /* more predecessors than a task has cells */
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t n_devices = 2; n_devices <= 4; n_devices += 2) {
            struct tgi_resident_program *p = plan(&d[i], n_devices, shape_of(2, 2, 1 << 12));
            run(&d[i], p, 1, (uint32_t)ROUNDS(20));
            tgi_resident_program_destroy(p);
            p = in_turn(&d[i], n_devices);
            assert_true(p->n_far_cell_edges + p->n_far_counter_edges > 0);
            run(&d[i], p, 1, (uint32_t)ROUNDS(20));
            tgi_resident_program_destroy(p);
        }
    for (uint32_t i = 0; i < 6; i++)
        resident_dag_fini(&d[i]);
}

/* With a task that copies, if only nothing, what lies in memory has to go by counters. */
static void add_copy(struct resident_dag *d, uint32_t task)
{
    d->arg = must_have(calloc(d->dag.n_tasks + 1u, sizeof *d->arg));
    d->dag.arg = d->arg;
    d->op[task] = TGI_RESIDENT_COPY;
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
    if (roll(dice, 2))
        add_copy(d, 0);
    resident_dag_close(d);
}

static void random_graphs_replay(void **state)
{
    (void)state;
    struct dice dice = {seed};
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(30); i++) {
        struct resident_dag d;
        random_dag(&d, &dice);
        has_delays = i % 2;
        uint32_t n_devices = i % 3 ? 2 : 4;
        struct tgi_resident_shape shape = shape_of(1 + roll(&dice, 2), 1 + roll(&dice, 3), roll(&dice, 3) * 4000);
        struct tgi_resident_program *p = plan(&d, n_devices, shape);
        run(&d, p, 1, i % 10 ? (uint32_t)ROUNDS(20) : (uint32_t)ROUNDS(200));
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
    has_delays = false;
}

/* Workers by lot, so that all kinds of edges stand beside each other, and epochs that wrap the counters. */
static void any_placement_runs(void **state)
{
    (void)state;
    struct dice dice = {seed + 1};
    uint64_t n_cells = 0, n_counters = 0;
    has_delays = true;
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(30); i++) {
        struct resident_dag d;
        uint32_t n_devices = i % 3 ? 2 : 4;
        struct tgi_resident_shape shape = shape_of(1 + roll(&dice, 2), 1 + roll(&dice, 3), 3000);
        random_dag(&d, &dice);
        uint32_t *worker_of = must_have(malloc((d.dag.n_tasks + 1u) * 4));
        for (uint32_t t = 0; t < d.dag.n_tasks; t++)
            worker_of[t] = roll(&dice, n_devices * shape.n_blocks * shape.n_workers_each);
        struct tgi_resident_program *p = placed(&d, n_devices, shape, worker_of);
        n_cells += p->n_far_cell_edges;
        n_counters += p->n_far_counter_edges;
        run(&d, p, i % 2 ? 1 : UINT32_C(0xffffffff) / 38 - 10, (uint32_t)ROUNDS(20));
        tgi_resident_program_destroy(p);
        free(worker_of);
        resident_dag_fini(&d);
    }
    has_delays = false;
    assert_true(n_cells > 0 && n_counters > 0);
}

/* What is copied on one device is read where it lies by the next. */
static void copies_are_seen_by_other_devices(void **state)
{
    (void)state;
    enum { N = 40, WORDS = 9 };
    struct resident_dag d;
    struct peers_cpu c;
    struct tgi_resident_copy copies[N];
    uint64_t memory[N + 1][WORDS];
    resident_dag_chain(&d, N, TGI_RESIDENT_COPY);
    add_copy(&d, 0);
    for (uint32_t t = 0; t < N; t++) {
        d.arg[t] = t;
        copies[t] = (struct tgi_resident_copy){(uintptr_t)memory[t + 1], (uintptr_t)memory[t], sizeof memory[t]};
    }
    struct tgi_resident_program *p = in_turn(&d, 4);
    assert_int_equal(p->n_far_counter_edges, N - 1);
    peers_cpu_init(&c, p, false);
    for (uint32_t i = 0; i < 4; i++)
        c.device[i].v.copies = copies;
    for (uint32_t epoch = 1; epoch <= (uint32_t)ROUNDS(20); epoch++) {
        for (uint32_t i = 0; i < WORDS; i++)
            memory[0][i] = mix64(seed + epoch * WORDS + i);
        peers_cpu_begin(&c, epoch);
        peers_cpu_end(&c);
        assert_memory_equal(memory[N], memory[0], sizeof memory[0]);
    }
    peers_cpu_fini(&c);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* ---- Planning -----------------------------------------------------------------------------*/

static void a_chain_stays_on_one_device(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_chain(&d, 1000, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = plan(&d, 4, shape_of(2, 8, 1 << 16));
    assert_int_equal(p->n_order_edges, 999);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Chains of long tasks: more than one device has workers for are spread, and none is torn. */
static void chains_are_spread_over_devices(void **state)
{
    (void)state;
    enum { N_CHAINS = 12, LENGTH = 50 };
    struct resident_dag d;
    uint32_t n_on[3] = {0};
    resident_dag_init(&d, N_CHAINS * LENGTH, TGI_RESIDENT_SPIN);
    d.arg = must_have(malloc(d.dag.n_tasks * sizeof *d.arg));
    for (uint32_t t = 0; t < N_CHAINS * LENGTH; t++) {
        d.arg[t] = 10000;
        if (t >= N_CHAINS)
            resident_dag_edge(&d, t - N_CHAINS, t);
    }
    resident_dag_close(&d);
    struct tgi_resident_program *p = plan(&d, 3, shape_of(2, 2, 1 << 12));
    assert_int_equal(p->n_far_cell_edges + p->n_far_counter_edges, 0);
    for (uint32_t w = 0; w < 12; w++)
        n_on[w / 4] += p->first[w + 1] - p->first[w];
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(n_on[i], 4 * LENGTH);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void the_kind_of_a_far_edge_is_as_that_of_a_near_one(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_chain(&d, 4, TGI_RESIDENT_HASH);
    struct tgi_resident_program *p = in_turn(&d, 2);
    assert_int_equal(p->n_far_cell_edges, 3);
    assert_int_equal(TGI_OUT_KIND(p->tasks[p->slot_of[0]].out[0]), TGI_OUT_FAR_CELL);
    tgi_resident_program_destroy(p);
    d.op[0] = d.op[1] = TGI_RESIDENT_HASH_LINE;
    p = in_turn(&d, 2);
    /* A line goes in cells, sixteen of them, and the word of one in one. */
    assert_int_equal(p->n_far_cell_edges, 3);
    assert_int_equal(p->n_far_cells, 18);
    assert_true(p->tasks[p->slot_of[0]].out[0] & TGI_FAR_LINE);
    assert_false(p->tasks[p->slot_of[1]].out[0] & TGI_FAR_LINE);
    tgi_resident_program_destroy(p);
    add_copy(&d, 3);
    p = in_turn(&d, 2);
    /* Everything behind a line too: whoever comes after it may read what it left. */
    assert_int_equal(p->n_far_counter_edges, 3);
    uint32_t word = p->tasks[p->slot_of[0]].out[0];
    assert_int_equal(TGI_OUT_KIND(word), TGI_OUT_FAR_COUNTER);
    assert_true(word & TGI_FAR_LONE && word & TGI_FAR_PUSH);
    assert_int_equal(TGI_FAR_DEVICE(word), 1);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

static void refusals_say_why(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_error err = {0};
    struct tgi_resident_program *p;
    struct tgi_resident_shape shape = {3, 1, 1 << 16, TGI_RESIDENT_WARP};
    resident_dag_chain(&d, 3, TGI_RESIDENT_HASH);
    assert_int_equal(tgi_resident_plan_peers(&d.dag, &shape, 17, &costs, &p, &err), TG_E_INVALID);
    assert_string_equal(err.text, "resident program: on 17 devices, of which there are one to 16");
    shape.width = TGI_RESIDENT_THREAD;
    assert_int_equal(tgi_resident_plan_peers(&d.dag, &shape, 2, &costs, &p, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "resident program: tasks one thread wide are of one device");
    shape.width = TGI_RESIDENT_WARP;
    shape.n_workers_each = 17;
    assert_int_equal(tgi_resident_plan_peers(&d.dag, &shape, 2, &costs, &p, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "resident program: on several devices blocks have at most 16 workers, not 17");
    shape.n_workers_each = 1;
    d.arg = must_have(calloc(3, 8));
    d.dag.arg = d.arg;
    d.op[1] = TGI_RESIDENT_CALL;
    assert_int_equal(tgi_resident_plan_peers(&d.dag, &shape, 2, &costs, &p, &err), TG_E_UNSUPPORTED);
    assert_string_equal(err.text, "resident program: task 1 calls a body, and nothing says whose memory that is for");
    resident_dag_fini(&d);
}

/* ---- The check ----------------------------------------------------------------------------*/

/* Every bit of every word that a task uses, changed in turn.  A bit may be changed without harm where the producer
 * adds instead of storing, or brings what has been brought already. */
static void any_changed_word_is_refused(void **state)
{
    (void)state;
    struct tg_error err = {0};
    for (uint32_t form = 0; form < 3; form++) { /* words, lines in cells, lines by counters */
        struct resident_dag d;
        uint32_t worker_of[144];
        resident_dag_wavefront(&d, 12, 12, form ? TGI_RESIDENT_HASH_LINE : TGI_RESIDENT_HASH);
        if (form == 2)
            add_copy(&d, 143);
        for (uint32_t t = 0; t < 144; t++)
            worker_of[t] = t / 12 % 6; /* three blocks of two on three devices, a row each */
        struct tgi_resident_program *p = placed(&d, 3, shape_of(1, 2, 600), worker_of);
        assert_true(p->n_shared_edges > 0 && p->n_far_cell_edges + p->n_far_counter_edges > 0);
        for (uint32_t s = 0; s < p->n_tasks; s++) {
            struct tgi_resident_task *t = &p->tasks[s], was = *t;
            if (TGI_HEAD_OP(t->head) == TGI_RESIDENT_COPY)
                continue; /* takes nobody's result, so it does not matter where it would */
            for (uint32_t i = 0; i < 7 * 32; i++) {
                uint32_t *const word[] = {&t->head, &t->id, &t->wait, &t->n_wait, &t->out[0], &t->out[1], &t->in[0]}, k = i / 32;
                bool is_used = (k == 0 && i < 21) || k == 1 || k == 3 || (k == 2 && t->n_wait) ||
                               (k >= 4 && k < 6 && k - 4 < TGI_HEAD_N_OUT(t->head)) || (k == 6 && TGI_HEAD_N_IN(t->head));
                uint32_t bit = 1u << i % 32;
                bool is_harmless = (k == 4 || k == 5) && TGI_OUT_KIND(*word[k]) == TGI_OUT_FAR_COUNTER &&
                                   (bit == TGI_FAR_LONE || (bit == TGI_FAR_PUSH && !(*word[k] & bit)));
                is_harmless |= (k == 4 || k == 5) && TGI_OUT_KIND(*word[k]) < TGI_OUT_SHARED_COUNTER && bit == 1u << 29;
                if (!is_used || is_harmless)
                    continue;
                *word[k] ^= bit;
                if (tgi_resident_check(&d.dag, p, &err) == 0)
                    fail_msg("word %u of task %u is %08x instead of %08x, and nobody minds", k, was.id, *word[k],
                             ((uint32_t *)&was)[k]);
                *t = was;
            }
        }
        assert_int_equal(tgi_resident_check(&d.dag, p, &err), 0);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

static void assert_refused(const struct resident_dag *d, const struct tgi_resident_program *p, const char *text)
{
    struct tg_error err = {0};
    assert_int_equal(tgi_resident_check(&d->dag, p, &err), TG_E_INVALID);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
}

/* What only several devices can have wrong. */
static void what_is_wrong_between_devices_is_named(void **state)
{
    (void)state;
    struct resident_dag d;
    resident_dag_init(&d, 3, TGI_RESIDENT_HASH_LINE);
    resident_dag_edge(&d, 0, 1);
    add_copy(&d, 2);
    resident_dag_close(&d);
    struct tgi_resident_program *p = in_turn(&d, 2);
    p->tasks[0].out[0] &= ~TGI_FAR_PUSH;
    assert_refused(&d, p, "task 1 reads a result of another device that nobody brings to its own");
    p->tasks[0].out[0] |= TGI_FAR_PUSH;
    p->tasks[0].out[0] ^= TGI_FAR(1, 0);
    assert_refused(&d, p, "task 0 tells a device where the task that waits is not");
    /* The same edge as a counter of one device. */
    p->n_counters = p->n_far_counters;
    p->tasks[0].out[0] = TGI_OUT(TGI_OUT_LONE_COUNTER, 0);
    p->tasks[p->slot_of[1]].head &= ~TGI_HEAD_WAITS_FAR;
    assert_refused(&d, p, "task 0 tells a task of another device as if it were of its own");
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
}

/* Two devices, each of which has the task that the other's first one waits for last. */
static void devices_that_wait_for_each_other_are_refused(void **state)
{
    (void)state;
    struct resident_dag d;
    const uint32_t worker_of[] = {0, 1, 0, 1};
    resident_dag_init(&d, 4, TGI_RESIDENT_EMPTY); /* 0 -> 3, 1 -> 2 */
    resident_dag_edge(&d, 0, 3);
    resident_dag_edge(&d, 1, 2);
    resident_dag_close(&d);
    struct tgi_resident_program *p = placed(&d, 2, shape_of(1, 1, 0), worker_of);
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

/* ---- What goes wrong ------------------------------------------------------------------------*/

/* A word that nobody writes: whoever waits says so, and the workers of all devices leave, of which most still have all the
 * patience there is. */
static void a_wait_without_end_ends_all_devices(void **state)
{
    (void)state;
    for (uint32_t form = 0; form < 3; form++) { /* words, lines in cells, lines by counters */
        struct resident_dag d;
        struct peers_cpu c;
        resident_dag_chain(&d, 60, form ? TGI_RESIDENT_HASH_LINE : TGI_RESIDENT_HASH);
        if (form == 2)
            add_copy(&d, 59);
        struct tgi_resident_program *p = in_turn(&d, 4);
        p->tasks[p->slot_of[21]].head &= ~(TGI_HEAD_LIST << 12);
        peers_cpu_init(&c, p, true);
        c.device[22 % 4].v.limit_ns = 50000000;
        peers_cpu_begin(&c, 1);
        peers_cpu_end(&c);
        for (uint32_t i = 0; i < 4; i++) {
            const struct tgi_resident_panic *panic = &c.device[i].v.control->panic;
            assert_int_equal(c.device[i].v.control->abort, 1);
            assert_int_equal(panic->code, i == 22 % 4 ? TGI_PANIC_STUCK : TGI_PANIC_NONE);
            if (panic->code) {
                assert_int_equal(panic->task, 22);
                assert_int_equal(panic->seen, 0);
                assert_int_equal(panic->wanted, 1);
            }
        }
        assert_true(peers_cpu_n_done(&c) < p->n_tasks);
        peers_cpu_fini(&c);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

/* A spinning body on one device, waits on the others; the word is written on one. */
static void an_abort_ends_all_devices(void **state)
{
    (void)state;
    struct resident_dag d;
    struct peers_cpu c;
    resident_dag_chain(&d, 40, TGI_RESIDENT_SPIN);
    d.arg = must_have(calloc(40, 8));
    d.dag.arg = d.arg;
    d.arg[3] = UINT64_MAX;
    for (uint32_t where = 0; where < 4; where++) {
        struct tgi_resident_program *p = in_turn(&d, 4);
        peers_cpu_init(&c, p, false);
        peers_cpu_begin(&c, 1);
        tgi_store_relaxed(&c.device[where].v.control->abort, 1);
        peers_cpu_end(&c);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(c.device[i].v.control->panic.code, TGI_PANIC_NONE);
            assert_int_equal(c.device[i].v.control->abort, 1);
        }
        assert_true(peers_cpu_n_done(&c) < 40);
        peers_cpu_fini(&c);
        tgi_resident_program_destroy(p);
    }
    resident_dag_fini(&d);
}

/* Edges run down on all devices, and a body behind the failure, on another device, is left out. */
static void a_failed_task_is_named_and_all_devices_drain(void **state)
{
    (void)state;
    for (uint32_t has_copy = 0; has_copy < 2; has_copy++) {
        struct resident_dag d;
        struct peers_cpu c;
        uint32_t n_named = 0;
        resident_dag_wavefront(&d, 8, 8, TGI_RESIDENT_HASH);
        add_copy(&d, 0); /* counters everywhere */
        d.op[0] = has_copy ? TGI_RESIDENT_COPY : TGI_RESIDENT_HASH;
        d.op[27] = TGI_RESIDENT_FAIL;
        d.arg[27] = 4711;
        d.op[63] = TGI_RESIDENT_FAIL;
        d.arg[63] = 1;
        struct tgi_resident_program *p = in_turn(&d, 3);
        peers_cpu_init(&c, p, true);
        peers_cpu_begin(&c, 1);
        peers_cpu_end(&c);
        for (uint32_t i = 0; i < 3; i++) {
            const struct tgi_resident_panic *panic = &c.device[i].v.control->panic;
            assert_int_equal(c.device[i].v.control->abort, 0);
            if (panic->code == TGI_PANIC_NONE)
                continue;
            n_named++;
            assert_int_equal(panic->code, TGI_PANIC_TASK);
            assert_int_equal(panic->task, 27);
            assert_int_equal(panic->detail, 4711);
        }
        assert_int_equal(n_named, 1);
        assert_int_equal(peers_cpu_n_done(&c), 64);
        peers_cpu_fini(&c);
        tgi_resident_program_destroy(p);
        resident_dag_fini(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_run_as_one_by_one),
        cmocka_unit_test(random_graphs_replay),
        cmocka_unit_test(any_placement_runs),
        cmocka_unit_test(copies_are_seen_by_other_devices),
        cmocka_unit_test(a_chain_stays_on_one_device),
        cmocka_unit_test(chains_are_spread_over_devices),
        cmocka_unit_test(the_kind_of_a_far_edge_is_as_that_of_a_near_one),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(any_changed_word_is_refused),
        cmocka_unit_test(what_is_wrong_between_devices_is_named),
        cmocka_unit_test(devices_that_wait_for_each_other_are_refused),
        cmocka_unit_test(a_wait_without_end_ends_all_devices),
        cmocka_unit_test(an_abort_ends_all_devices),
        cmocka_unit_test(a_failed_task_is_named_and_all_devices_drain),
    };
    seed = test_seed(6);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
