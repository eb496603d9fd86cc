/* Programs, clients and instances through the public header alone; on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/random_graph.h"
#include "tests/service_standin.h"

enum { N_INPUTS = 4, N_OUTPUTS = 5, MOST_TASKS = 200, MOST_AFTER = 64 }; /* no more than 32 words come in cells */
static uint64_t seed;

static int begin(void **state)
{
    (void)state;
    service_standin_reset(seed);
    return 0;
}

/* ---- Programs -----------------------------------------------------------------------------*/

/* A program, and what is needed to execute it one task after the other. */
struct known_program {
    struct tg_service_program *p;
    uint32_t n, n_after[MOST_TASKS], after[MOST_TASKS][MOST_AFTER];
    enum tg_service_op op[MOST_TASKS];
    uint64_t argument[MOST_TASKS];
    uint32_t outputs[N_OUTPUTS];
};

static void add(struct known_program *k, enum tg_service_op op, uint64_t argument, uint32_t n_after)
{
    uint32_t t = k->n++, got;
    k->op[t] = op;
    k->argument[t] = argument;
    k->n_after[t] = n_after;
    must(tg_service_program_add_task(k->p, op, argument, k->after[t], n_after, &got, &err));
    assert_int_equal(got, t);
}

static void make_random(struct known_program *k, uint32_t n, uint64_t key)
{
    static const enum tg_service_op ops[] = {TG_SERVICE_OP_SUM, TG_SERVICE_OP_SCALE, TG_SERVICE_OP_RAMP, TG_SERVICE_OP_SPIN,
                                             TG_SERVICE_OP_SUM, TG_SERVICE_OP_SCALE, TG_SERVICE_OP_RAMP, TG_SERVICE_OP_RAMP};
    struct dice dice = {key};
    memset(k, 0, sizeof *k);
    must(tg_service_program_create(N_INPUTS, &k->p, &err));
    for (uint32_t i = 0; i < N_INPUTS; i++)
        add(k, TG_SERVICE_OP_INPUT, N_INPUTS - 1 - i, 0);
    while (k->n < n) {
        enum tg_service_op op = ops[roll(&dice, 8)];
        uint32_t n_after = 0, *after = k->after[k->n];
        for (uint32_t tries = roll(&dice, roll(&dice, 10) ? 7 : MOST_AFTER + 1); tries; tries--) {
            uint32_t from = roll(&dice, k->n), i = 0;
            while (i < n_after && after[i] != from)
                i++;
            after[i] = from;
            n_after += i == n_after;
        }
        add(k, op, op == TG_SERVICE_OP_SPIN ? 100 : mix64(key + k->n) >> roll(&dice, 60), n_after);
    }
    for (uint32_t i = 0; i < N_OUTPUTS; i++) {
        k->outputs[i] = i ? roll(&dice, n) : n - 1;
        must(tg_service_program_add_output(k->p, k->outputs[i], &err));
    }
}

static void execute(const struct known_program *k, const uint64_t *inputs, uint64_t *outputs)
{
    uint64_t word[MOST_TASKS];
    for (uint32_t t = 0; t < k->n; t++) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < k->n_after[t]; i++)
            sum += word[k->after[t][i]];
        switch (k->op[t]) {
        case TG_SERVICE_OP_INPUT:
            word[t] = inputs[k->argument[t]];
            break;
        case TG_SERVICE_OP_SCALE:
            word[t] = sum * k->argument[t];
            break;
        case TG_SERVICE_OP_SPIN:
            word[t] = 0;
            break;
        default:
            word[t] = sum + k->argument[t];
            if (k->op[t] == TG_SERVICE_OP_RAMP && word[t] >> 63)
                word[t] = 0;
        }
    }
    for (uint32_t i = 0; i < N_OUTPUTS; i++)
        outputs[i] = word[k->outputs[i]];
}

static struct tg_service *service_of(struct tg_service_options *o, const struct tg_service_setup *setup)
{
    struct tg_service *s;
    o->setup = setup;
    o->n_sms_free = n_multiprocessors - setup->n_teams * setup->n_blocks_each;
    must(tg_service_create(o, &s, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    return s;
}

/* ---- Tests --------------------------------------------------------------------------------*/

static void instances_compute_what_their_program_says(void **state)
{
    (void)state;
    static const struct {
        uint32_t n_teams, n_blocks_each, n_workers_each, n_ahead;
    } shapes[] = {{2, 1, 1, 1}, {2, 1, 3, 4}, {1, 2, 2, 2}, {3, 1, 2, 8}};
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        struct known_program k[3];
        struct tg_service_program *programs[3];
        for (uint32_t i = 0; i < 3; i++) {
            make_random(&k[i], 8 + 60 * i, seed + 10 * shape + i);
            programs[i] = k[i].p;
        }
        struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
        struct tg_service_options o = small_options(2);
        setup.programs = programs;
        setup.n_programs = 3;
        setup.n_teams = shapes[shape].n_teams;
        setup.n_blocks_each = shapes[shape].n_blocks_each;
        setup.n_workers_each = shapes[shape].n_workers_each;
        setup.n_ahead = shapes[shape].n_ahead;
        struct tg_service *s = service_of(&o, &setup);
        for (uint32_t i = 0; i < 3; i++)
            tg_service_program_destroy(programs[i]);
        for (uint64_t n = 0; n < ROUNDS(100) + 10; n += o.queue_capacity) {
            uint64_t inputs[8][N_INPUTS], got[N_OUTPUTS], want[N_OUTPUTS];
            for (uint32_t i = 0; i < o.queue_capacity; i++) {
                struct tg_service_instance instance = {.program = i % 3, .inputs = inputs[i]};
                for (uint32_t j = 0; j < N_INPUTS; j++)
                    inputs[i][j] = mix64(n + 10 * i + j) >> j * 20;
                must(tg_service_submit(s, &instance, NULL, &err));
            }
            for (uint32_t i = 0; i < o.queue_capacity; i++) {
                struct tg_service_answer a;
                must(tg_service_receive(s, LONG_NS, &a, got, sizeof got, &err));
                uint32_t which = a.ticket % o.queue_capacity;
                assert_int_equal(a.status, 0);
                assert_int_equal(a.n_bytes, sizeof got);
                execute(&k[which % 3], inputs[which], want);
                assert_memory_equal(got, want, sizeof want);
            }
            must(tg_service_run(s, &(struct tg_service_instance){.program = 2, .inputs = inputs[0]}, LONG_NS, got, &err));
            execute(&k[2], inputs[0], want);
            assert_memory_equal(got, want, sizeof want);
            /* So that instance i has ticket i modulo the capacity again. */
            for (uint32_t i = 1; i < o.queue_capacity; i++)
                must(tg_service_run(s, &(struct tg_service_instance){.inputs = inputs[i]}, LONG_NS, got, &err));
        }
        end_service(s);
    }
}

static void a_task_that_makes_no_sense_is_refused_and_named(void **state)
{
    (void)state;
    static const struct {
        enum tg_service_op op;
        uint64_t argument;
        uint32_t n_after, after[2];
        const char *text;
    } bad[] = {{TG_SERVICE_N_OPS, 0, 0, {0}, "there is no op 6"},
               {TG_SERVICE_OP_INPUT, 2, 0, {0}, "task 2 of a service's program takes input 2 of 2"},
               {TG_SERVICE_OP_INPUT, 1, 1, {0}, "comes after nothing"},
               {TG_SERVICE_OP_FAIL, UINT64_C(1) << 32, 0, {0}, "which has 32 bits"},
               {TG_SERVICE_OP_SUM, 0, 2, {1, 2}, "task 2 of a service's program comes after task 2"},
               {TG_SERVICE_OP_RAMP, 0, 2, {1, 1}, "twice after task 1"}};
    struct tg_service_program *p;
    uint32_t task;
    must(tg_service_program_create(2, &p, &err));
    must(tg_service_program_add_task(p, TG_SERVICE_OP_INPUT, 0, NULL, 0, NULL, &err));
    must(tg_service_program_add_task(p, TG_SERVICE_OP_INPUT, 1, NULL, 0, NULL, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tg_service_program_add_task(p, bad[i].op, bad[i].argument, bad[i].after, bad[i].n_after, &task, &err), TG_E_INVALID);
        if (!strstr(err.text, bad[i].text))
            fail_msg("no \"%s\" in \"%s\"", bad[i].text, err.text);
    }
    assert_int_equal(tg_service_program_add_output(p, 2, &err), TG_E_INVALID);
    must(tg_service_program_add_task(p, TG_SERVICE_OP_SUM, 0, bad[4].after, 1, &task, &err)); /* it is as it was */
    assert_int_equal(task, 2);
    tg_service_program_destroy(p);
    tg_service_program_destroy(NULL);
}

static void a_setup_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    enum { N_BAD = 14 };
    static const int wanted[N_BAD] = {TG_E_INVALID, TG_E_LIMIT,   TG_E_LIMIT,   TG_E_LIMIT,   TG_E_LIMIT,   TG_E_LIMIT, TG_E_LIMIT,
                                      TG_E_INVALID, TG_E_INVALID, TG_E_INVALID, TG_E_INVALID, TG_E_INVALID, TG_E_LIMIT, TG_E_LIMIT};
    const struct tg_service_client none = {0}, many[TG_SERVICE_MAX_CLIENTS + 1] = {{1, 0, 0}};
    struct tg_service_program *program, *empty, *wide;
    struct tg_service_options o = small_options(2);
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT, bad[N_BAD];
    struct tg_service *s = NULL;
    must(tg_service_program_create(0, &empty, &err));
    must(tg_service_program_create(33, &wide, &err)); /* 264 bytes */
    must(tg_service_program_add_task(wide, TG_SERVICE_OP_SUM, 1, NULL, 0, NULL, &err));
    must(tg_service_program_create(0, &program, &err));
    must(tg_service_program_add_task(program, TG_SERVICE_OP_SUM, 1, NULL, 0, NULL, &err));
    setup.programs = &program;
    setup.n_programs = 1;
    setup.n_teams = 2;
    for (size_t i = 0; i < N_BAD; i++)
        bad[i] = setup;
    bad[0].size = 4;
    bad[1].n_programs = 0;
    bad[2].n_programs = TG_SERVICE_MAX_PROGRAMS + 1;
    bad[3].n_workers_each = 0;
    bad[4].n_workers_each = 16;
    bad[5].n_blocks_each = 0;
    bad[6].n_blocks_each = UINT32_MAX;
    bad[7].n_teams = 0;
    bad[8].n_ahead = UINT32_MAX;
    bad[9].n_ahead = 3;
    bad[10].programs = &empty;
    bad[11].clients = &none;
    bad[11].n_clients = 1;
    bad[12].clients = many;
    bad[12].n_clients = TG_SERVICE_MAX_CLIENTS + 1;
    bad[13].programs = &wide;
    for (size_t i = 0; i < N_BAD; i++) {
        o.setup = &bad[i];
        int rc = tg_service_create(&o, &s, &err);
        if (rc != wanted[i])
            fail_msg("setup %zu: %d instead of %d", i, rc, wanted[i]);
    }
    assert_null(s);
    setup.n_teams = 17;
    setup.n_ahead = 1;
    o.setup = &setup;
    assert_int_equal(tg_service_create(&o, &s, &err), TG_E_CAPACITY);
    o.setup = NULL;
    s = active_service(&o);
    assert_int_equal(tg_service_submit(s, &(struct tg_service_instance){0}, NULL, &err), TG_E_STATE);
    end_service(s);
    tg_service_program_destroy(program);
    tg_service_program_destroy(empty);
    tg_service_program_destroy(wide);
}

/* Quotas, deadlines, cancelling and failures by client, and what the figures then say of each. */
static void figures_are_by_client(void **state)
{
    (void)state;
    struct tg_service_program *programs[2];
    const struct tg_service_client clients[] = {{1, 0, 2}, {3, 1, 0}};
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    struct tg_service_options o = small_options(2);
    struct tg_service_answer a;
    uint64_t ticket, waits;
    must(tg_service_program_create(0, &programs[0], &err));
    must(tg_service_program_add_task(programs[0], TG_SERVICE_OP_SPIN, 200000000, NULL, 0, NULL, &err));
    must(tg_service_program_create(0, &programs[1], &err));
    must(tg_service_program_add_task(programs[1], TG_SERVICE_OP_FAIL, 12, NULL, 0, NULL, &err));
    setup.programs = programs;
    setup.n_programs = 2;
    setup.clients = clients;
    setup.n_clients = 2;
    setup.n_teams = 2;
    setup.n_workers_each = 2;
    struct tg_service *s = service_of(&o, &setup);
    assert_int_equal(tg_service_run(s, &(struct tg_service_instance){.program = 1}, LONG_NS, NULL, &err), TG_E_TASK_FAILED);
    must(tg_service_submit(s, &(struct tg_service_instance){0}, NULL, &err));
    must(tg_service_submit(s, &(struct tg_service_instance){0}, NULL, &err));
    assert_int_equal(tg_service_submit(s, &(struct tg_service_instance){0}, NULL, &err), TG_E_FULL);
    assert_non_null(strstr(err.text, "client 0"));
    must(tg_service_submit(s, &(struct tg_service_instance){.client = 1}, NULL, &err));
    must(tg_service_submit(s, &(struct tg_service_instance){.client = 1}, &waits, &err));
    must(tg_service_submit(s, &(struct tg_service_instance){.client = 1, .deadline_ns = 1000000}, &ticket, &err));
    must(tg_service_cancel(s, waits, &err)); /* one runs, and it may have one */
    for (int i = 0; i < 5; i++) {
        must(tg_service_receive(s, LONG_NS, &a, NULL, 0, &err));
        assert_int_equal(a.status, a.ticket == waits ? TG_E_CANCELLED : a.ticket == ticket ? TG_E_DEADLINE : 0);
    }
    struct tg_service_metrics m = metrics_of(s);
    while (m.clients[0].n_running || m.clients[1].n_running) /* they may lag behind, */
        m = metrics_of(s);
    m = metrics_of(s); /* and are read one after the other */
    assert_int_equal(m.n_clients, 2);
    assert_int_equal(m.clients[0].weight, 1);
    assert_int_equal(m.clients[1].weight, 3);
    assert_int_equal(m.clients[0].n_begun, 3);
    assert_int_equal(m.clients[1].n_cancelled, 1);
    assert_int_equal(m.clients[1].n_late, 1);
    /* Three of 200 ms.  One behind another in its team is charged from when the controller has seen that one's end, which may be late: that is charged
     * to the one before, of whichever client. */
    if (m.clients[0].used_ns + m.clients[1].used_ns < 600000000 || m.clients[0].used_ns < 200000000 || m.clients[1].used_ns < 100000000)
        fail_msg("%llu and %llu ns", (unsigned long long)m.clients[0].used_ns, (unsigned long long)m.clients[1].used_ns);
    end_service(s);
    tg_service_program_destroy(programs[0]);
    tg_service_program_destroy(programs[1]);
}

int main(void)
{
    if (!service_standin_load())
        return 1;
    seed = test_seed(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(instances_compute_what_their_program_says, begin),
        cmocka_unit_test_setup(a_task_that_makes_no_sense_is_refused_and_named, begin),
        cmocka_unit_test_setup(a_setup_that_makes_no_sense_is_refused, begin),
        cmocka_unit_test_setup(figures_are_by_client, begin),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_standin_end_if_left();
    return n_failed;
}
