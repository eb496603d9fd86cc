/* A service: states, messages, back-pressure, idle exit, instances of a program; on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>

#include "bench/resident_dag.h"
#include "tests/random_graph.h"
#include "tests/service_standin.h"

static uint64_t seed;

static int begin(void **state)
{
    (void)state;
    service_standin_reset(seed);
    return 0;
}

/* ---- States -------------------------------------------------------------------------------*/

enum { LAUNCH, ACTIVATE, DEACTIVATE, TERMINATE, SEND, RECEIVE, CALL, SET_CALLBACK, FD, N_CALLS };

static void ignore(void *user, const struct tg_service_answer *answer, const void *data, const struct tg_error *why)
{
    (void)user, (void)answer, (void)data, (void)why;
}

static int make_call(struct tg_service *s, int which)
{
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, NULL, 0);
    struct tg_service_answer answer;
    int fd;
    switch (which) {
    case LAUNCH:
        return tg_service_launch(s, &err);
    case ACTIVATE:
        return tg_service_activate(s, &err);
    case DEACTIVATE:
        return tg_service_deactivate(s, &err);
    case TERMINATE:
        return tg_service_terminate(s, LONG_NS, &err);
    case SEND:
        return tg_service_send(s, &m, NULL, &err);
    case RECEIVE:
        return tg_service_receive(s, 0, &answer, NULL, 0, &err);
    case SET_CALLBACK:
        return tg_service_set_callback(s, ignore, NULL, &err);
    case FD:
        return tg_service_fd(s, &fd, &err);
    default:
        return tg_service_call(s, &m, LONG_NS, NULL, 0, NULL, &err);
    }
}

static struct tg_service *service_in(enum tg_service_state state)
{
    struct tg_service_options o = small_options(2);
    struct tg_service *s;
    must(tg_service_create(&o, &s, &err));
    if (state >= TG_SERVICE_LAUNCHED)
        must(tg_service_launch(s, &err));
    if (state == TG_SERVICE_ACTIVE || state == TG_SERVICE_INACTIVE)
        must(tg_service_activate(s, &err));
    if (state == TG_SERVICE_INACTIVE)
        must(tg_service_deactivate(s, &err));
    if (state == TG_SERVICE_TERMINATING) { /* a body that takes a while, and no time for it */
        struct tg_service_message m = message(TG_SERVICE_SPIN, 400000, NULL, 0);
        must(tg_service_send(s, &m, NULL, &err));
        assert_int_equal(tg_service_terminate(s, 0, &err), TG_E_NO_ANSWER);
    }
    if (state == TG_SERVICE_TERMINATED)
        must(tg_service_terminate(s, LONG_NS, &err));
    assert_int_equal(status_of(s).state, state);
    return s;
}

static void each_call_is_legal_in_its_states_and_an_error_elsewhere(void **state)
{
    (void)state;
    static const uint32_t legal[N_CALLS] = {
        [LAUNCH] = TGI_STATE(CREATED),
        [ACTIVATE] = TGI_STATE(LAUNCHED) | TGI_STATE(INACTIVE),
        [DEACTIVATE] = TGI_STATE(ACTIVE),
        [TERMINATE] = TGI_STATE(LAUNCHED) | TGI_STATE(ACTIVE) | TGI_STATE(INACTIVE) | TGI_STATE(TERMINATING),
        [SEND] = TGI_STATE(LAUNCHED) | TGI_STATE(ACTIVE) | TGI_STATE(INACTIVE),
        [RECEIVE] = ~TGI_STATE(CREATED),
        [CALL] = TGI_STATE(ACTIVE),
        [SET_CALLBACK] = TGI_STATE(CREATED),
        [FD] = UINT32_MAX};
    for (int in = TG_SERVICE_CREATED; in <= TG_SERVICE_TERMINATED; in++)
        for (int which = 0; which < N_CALLS; which++) {
            struct tg_service *s = service_in((enum tg_service_state)in);
            int rc = make_call(s, which);
            if (legal[which] >> in & 1) {
                if (rc != (which == RECEIVE ? TG_E_NO_ANSWER : 0))
                    must(rc);
            } else {
                if (rc != TG_E_STATE)
                    print_error("call %d in state %s\n", which, tg_service_state_name((enum tg_service_state)in));
                assert_int_equal(rc, TG_E_STATE);
                assert_non_null(strstr(err.text, tg_service_state_name((enum tg_service_state)in)));
                assert_int_equal(status_of(s).state, in);
            }
            tg_service_destroy(s);
            service_standin_check();
        }
}

static void options_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct tg_service_options o[7];
    struct tg_service *s = NULL;
    for (size_t i = 0; i < 7; i++)
        o[i] = small_options(2);
    o[0].queue_capacity = 1;
    o[1].queue_capacity = 12;
    o[2].queue_capacity = 1u << 17;
    o[3].message_bytes = 16;
    o[4].message_bytes = 1u << 16;
    o[5].device = 3;
    o[6].n_sms_free = n_multiprocessors - 1;
    static const int wanted[] = {TG_E_INVALID, TG_E_INVALID, TG_E_INVALID, TG_E_INVALID, TG_E_INVALID, TG_E_NO_DEVICE, TG_E_CAPACITY};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(tg_service_create(&o[i], &s, &err), wanted[i]);
    assert_null(s);
    service_standin_check();
}

/* ---- Messages -----------------------------------------------------------------------------*/

static void fill(unsigned char *to, size_t n, uint64_t key)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (unsigned char)mix64(key * 1000 + i);
}

static void messages_of_every_size_come_back_as_they_went(void **state)
{
    (void)state;
    static const uint32_t capacities[] = {2, 4, 64};
    for (size_t c = 0; c < 3; c++) {
        struct tg_service_options o = small_options(2);
        o.queue_capacity = capacities[c];
        o.message_bytes = 100;
        struct tg_service *s = active_service(&o);
        unsigned char sent[100], got[101];
        for (size_t n = 0; n <= 100; n++) {
            struct tg_service_message m = message(TG_SERVICE_ECHO, 0, sent, n);
            size_t n_got = 12345;
            fill(sent, n, n);
            memset(got, 0xee, sizeof got);
            must(tg_service_call(s, &m, LONG_NS, got, n, &n_got, &err));
            assert_int_equal(n_got, n);
            assert_memory_equal(got, sent, n);
            assert_int_equal(got[n], 0xee);
        }
        end_service(s);
    }
}

/* As many as there is room for, then as many answers as there are, and so on. */
static void answers_come_once_each_and_in_order(void **state)
{
    (void)state;
    for (uint32_t capacity = 2; capacity <= 64; capacity *= 4) {
        struct tg_service_options o = small_options(2);
        o.queue_capacity = capacity;
        struct tg_service *s = active_service(&o);
        uint64_t n_total = ROUNDS(4000), n_sent = 0, n_got = 0, ticket;
        while (n_got < n_total) {
            unsigned char sent[64], got[64];
            struct tg_service_answer answer;
            int rc = n_sent < n_total ? 0 : TG_E_FULL;
            while (rc == 0 && n_sent < n_total) {
                struct tg_service_message m = message(TG_SERVICE_ECHO, 0, sent, mix64(n_sent) % 65);
                fill(sent, m.n_bytes, n_sent);
                rc = tg_service_send(s, &m, &ticket, &err);
                if (rc == 0)
                    assert_int_equal(ticket, n_sent++);
                else
                    assert_int_equal(rc, TG_E_FULL);
            }
            must(tg_service_receive(s, LONG_NS, &answer, got, sizeof got, &err));
            assert_int_equal(answer.ticket, n_got);
            assert_int_equal(answer.status, 0);
            assert_int_equal(answer.n_bytes, mix64(n_got) % 65);
            fill(sent, answer.n_bytes, n_got++);
            assert_memory_equal(got, sent, answer.n_bytes);
        }
        assert_int_equal(metrics_of(s).n_answered, n_total);
        end_service(s);
    }
}

static void a_receiver_that_never_receives_is_told_that_the_queue_is_full(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, "abc", 3);
    struct tg_service_answer answer;
    char got[3];
    for (uint32_t i = 0; i < o.queue_capacity; i++)
        must(tg_service_send(s, &m, NULL, &err));
    for (int i = 0; i < 100; i++)
        assert_int_equal(tg_service_send(s, &m, NULL, &err), TG_E_FULL);
    assert_int_equal(tg_service_call(s, &m, LONG_NS, got, 3, NULL, &err), TG_E_FULL);
    must(tg_service_receive(s, LONG_NS, &answer, got, 3, &err));
    must(tg_service_send(s, &m, NULL, &err));
    assert_int_equal(metrics_of(s).n_full, 101);
    /* What nobody receives does not keep it from ending. */
    end_service(s);
}

static void an_inactive_service_keeps_messages_until_it_is_active(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = service_in(TG_SERVICE_LAUNCHED);
    struct tg_service_answer answer;
    for (int round = 0; round < (int)ROUNDS(40) + 2; round++) {
        for (uint32_t i = 0; i < o.queue_capacity; i++) {
            struct tg_service_message m = message(TG_SERVICE_ECHO, 0, &i, sizeof i);
            must(tg_service_send(s, &m, NULL, &err));
        }
        assert_int_equal(tg_service_receive(s, SECOND / 200, &answer, NULL, 0, &err), TG_E_NO_ANSWER);
        must(tg_service_activate(s, &err));
        for (uint32_t i = 0, got; i < o.queue_capacity; i++) {
            must(tg_service_receive(s, LONG_NS, &answer, &got, sizeof got, &err));
            assert_int_equal(got, i);
        }
        must(tg_service_deactivate(s, &err));
    }
    end_service(s);
}

static void a_message_that_is_too_large_or_for_nobody_is_refused(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    char data[257] = "";
    struct tg_service_message large = message(TG_SERVICE_ECHO, 0, data, 257), odd = message((enum tg_service_body)4, 0, data, 1);
    struct tg_service_message fits = message(TG_SERVICE_ECHO, 0, data, 256);
    struct tg_service_answer answer;
    assert_int_equal(tg_service_send(s, &large, NULL, &err), TG_E_LIMIT);
    assert_int_equal(tg_service_call(s, &large, LONG_NS, data, 257, NULL, &err), TG_E_LIMIT);
    assert_int_equal(tg_service_send(s, &odd, NULL, &err), TG_E_INVALID);
    must(tg_service_send(s, &fits, NULL, &err));
    assert_int_equal(tg_service_receive(s, LONG_NS, &answer, data, 255, &err), TG_E_LIMIT);
    must(tg_service_receive(s, LONG_NS, &answer, data, 256, &err)); /* it stayed */
    assert_int_equal(answer.n_bytes, 256);
    assert_int_equal(tg_service_submit(s, INPUTS(NULL), NULL, &err), TG_E_STATE);
    end_service(s);
}

static void bodies_do_what_they_say(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    struct tg_service *s = active_service(&o);
    uint64_t words[4], got[4];
    for (uint32_t round = 0; round < 50; round++) {
        size_t n = 8 * (round % 4) + round % 8;
        struct tg_service_message m = message(TG_SERVICE_MIX, round, words, n);
        fill((unsigned char *)words, sizeof words, round);
        must(tg_service_call(s, &m, LONG_NS, got, sizeof got, &n, &err));
        assert_int_equal(n, m.n_bytes);
        for (size_t i = 0; i < n / 8; i++)
            assert_true(got[i] == tgi_mix(words[i] + round));
        assert_memory_equal((char *)got + n / 8 * 8, (char *)words + n / 8 * 8, n % 8);
    }
    uint64_t since = tgi_service_now_ns();
    struct tg_service_message spin = message(TG_SERVICE_SPIN, 3000, NULL, 0);
    must(tg_service_call(s, &spin, LONG_NS, NULL, 0, NULL, &err));
    assert_true(tgi_service_now_ns() - since >= 3000000);
    end_service(s);
}

/* Each has a worker of its own, and what is short does not wait for what is long. */
static void long_messages_do_not_hold_up_short_ones(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    struct tg_service *s = active_service(&o);
    struct tg_service_message spin = message(TG_SERVICE_SPIN, 300000, NULL, 0), echo = message(TG_SERVICE_ECHO, 0, NULL, 0);
    struct tg_service_answer answer;
    uint64_t slow, fast;
    must(tg_service_send(s, &spin, &slow, &err));
    must(tg_service_send(s, &echo, &fast, &err));
    must(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err));
    assert_int_equal(answer.ticket, fast);
    must(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err));
    assert_int_equal(answer.ticket, slow);
    end_service(s);
}

/* ---- Idle exit ----------------------------------------------------------------------------*/

/* Around the moment when the kernel leaves, so that all ways in which the two can meet are taken. */
static void a_kernel_that_has_left_comes_back_unseen(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    o.idle_exit_ns = 1000000;
    struct tg_service *s = active_service(&o);
    for (uint32_t i = 0; i < ROUNDS(100) + 5; i++) {
        struct tg_service_message m = message(i % 2 ? TG_SERVICE_ECHO : TG_SERVICE_MIX, 0, &i, sizeof i);
        struct timespec t = {0, (long)(mix64(i + seed) % 3000000)};
        uint32_t got;
        nanosleep(&t, NULL);
        must(tg_service_call(s, &m, LONG_NS, &got, sizeof got, NULL, &err));
        assert_int_equal(got, i);
        assert_int_equal(status_of(s).state, TG_SERVICE_ACTIVE);
    }
    while (status_of(s).is_resident)
        sleep_ms(1);
    uint64_t before = metrics_of(s).n_launches;
    uint32_t got, i = 7;
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, &i, sizeof i);
    must(tg_service_call(s, &m, LONG_NS, &got, sizeof got, NULL, &err));
    assert_true(metrics_of(s).n_launches > before);
    assert_int_equal(got, i);
    end_service(s);
}

static void a_service_whose_kernel_has_left_activates_and_terminates(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    o.idle_exit_ns = 1000000;
    struct tg_service *s = active_service(&o);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, NULL, 0);
    struct tg_service_answer answer;
    must(tg_service_deactivate(s, &err));
    while (status_of(s).is_resident)
        sleep_ms(1);
    must(tg_service_send(s, &m, NULL, &err));
    must(tg_service_activate(s, &err));
    must(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err));
    while (status_of(s).is_resident)
        sleep_ms(1);
    must(tg_service_deactivate(s, &err));
    must(tg_service_send(s, &m, NULL, &err)); /* every message that was sent before is answered */
    must(tg_service_terminate(s, LONG_NS, &err));
    must(tg_service_receive(s, 0, &answer, NULL, 0, &err));
    assert_int_equal(answer.ticket, 1);
    tg_service_destroy(s);
    service_standin_check();
}

/* ---- Threads ------------------------------------------------------------------------------*/

struct client {
    struct tg_service *service;
    uint64_t key;
    pthread_t thread;
};

static void *client_run(void *user)
{
    struct client *c = user;
    for (uint64_t i = 0; i < ROUNDS(300); i++) {
        uint64_t word = mix64(c->key + i), got = 0;
        struct tg_service_message m = message(i % 3 ? TG_SERVICE_ECHO : TG_SERVICE_MIX, 1, &word, 8);
        struct tg_error why;
        int rc;
        while ((rc = tg_service_call(c->service, &m, LONG_NS, &got, 8, NULL, &why)) == TG_E_FULL)
            sched_yield();
        if (rc || got != (i % 3 ? word : tgi_mix(word + 1)))
            return c;
    }
    return NULL;
}

static void threads_that_call_get_their_own_answers(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    o.queue_capacity = 4;
    struct tg_service *s = active_service(&o);
    struct client clients[4];
    for (uint64_t i = 0; i < 4; i++) {
        clients[i] = (struct client){s, i << 32, 0};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, client_run, &clients[i]), 0);
    }
    for (uint64_t i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(clients[i].thread, &wrong);
        assert_null(wrong);
    }
    end_service(s);
}

static void metrics_count_what_happened(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, "12345", 5), bad = message(TG_SERVICE_FAIL, 3, NULL, 0);
    char got[5];
    for (int i = 0; i < 20; i++)
        must(tg_service_call(s, &m, LONG_NS, got, 5, NULL, &err));
    assert_int_equal(tg_service_call(s, &bad, LONG_NS, got, 5, NULL, &err), TG_E_TASK_FAILED);
    must(tg_service_terminate(s, LONG_NS, &err));
    struct tg_service_metrics c = metrics_of(s);
    uint64_t n = 0;
    for (uint32_t i = 0; i < TG_SERVICE_N_BUCKETS; i++)
        n += c.latency[i];
    assert_int_equal(n, 21);
    assert_int_equal(c.n_sent, 21);
    assert_int_equal(c.n_answered, 21);
    assert_int_equal(c.n_failed, 1);
    assert_int_equal(c.n_messages, 21);
    assert_int_equal(c.sent_bytes, 100);
    assert_int_equal(c.answered_bytes, 100);
    assert_int_equal(c.n_launches, 1);
    assert_int_equal(c.n_in_flight, 0);
    assert_true(c.n_polls >= 21 && c.n_batches >= 1 && c.latency_sum_ns > 0);
    for (uint32_t i = 0; i + 1 < TG_SERVICE_N_BUCKETS; i++)
        assert_true(tg_service_bucket_ns(i) < tg_service_bucket_ns(i + 1));
    tg_service_destroy(s);
    service_standin_check();
}

/* ---- Instances ----------------------------------------------------------------------------*/

/* Some inputs, and tasks that mix what comes before them. */
static void make_dag(struct resident_dag *d, uint32_t n_inputs, uint32_t n, uint64_t key)
{
    struct dice dice = {key};
    resident_dag_init(d, n_inputs + n, TGI_RESIDENT_HASH);
    d->arg = calloc(n_inputs + n, sizeof *d->arg);
    for (uint32_t t = 0; t < n_inputs; t++) {
        d->op[t] = TGI_RESIDENT_INPUT;
        d->arg[t] = n_inputs - 1 - t;
    }
    for (uint32_t t = n_inputs; t < n_inputs + n; t++) {
        static const uint8_t ops[] = {TGI_RESIDENT_HASH, TGI_RESIDENT_ADD, TGI_RESIDENT_HASH, TGI_RESIDENT_EMPTY};
        d->op[t] = ops[roll(&dice, 4)];
        for (uint32_t k = roll(&dice, 5); k; k--)
            resident_dag_edge(d, roll(&dice, t), t);
    }
    resident_dag_close(d);
}

static void instances_compute_what_the_host_computes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < (IS_SLOW ? 3 : 12); round++) {
        const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
        enum { N_INPUTS = 6, N_OUTPUTS = 12, EACH = 2 };
        struct tgi_resident_shape shape = {2 + round % 2, EACH, round % 3 ? 64u << 10 : tgi_resident_shared_bytes(EACH, 2, 4),
                                           TGI_RESIDENT_WARP};
        struct resident_dag d;
        struct tgi_resident_program *p;
        uint32_t n = 20 + 60 * round, outputs[N_OUTPUTS];
        make_dag(&d, N_INPUTS, n, seed + round);
        must(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err));
        must(tgi_resident_check(&d.dag, p, &err));
        for (uint32_t i = 0; i < N_OUTPUTS; i++)
            outputs[i] = (uint32_t)(mix64(seed + i) % (n + N_INPUTS));
        struct tgi_service_program sp = WORD_PROGRAM(p, N_INPUTS, N_OUTPUTS, outputs);
        struct tg_service_options o = small_options(shape.n_blocks);
        struct tg_service *s;
        must(tgi_service_create(&o, &(struct tgi_service_setup){.programs = &sp, .n_programs = 1}, &s, &err));
        tgi_resident_program_destroy(p);
        must(tg_service_launch(s, &err));
        must(tg_service_activate(s, &err));
        uint64_t *want = calloc(n + N_INPUTS, 8);
        for (uint32_t instance = 1; instance <= 10; instance++) {
            uint64_t inputs[N_INPUTS], got[N_OUTPUTS];
            for (uint32_t i = 0; i < N_INPUTS; i++)
                inputs[i] = mix64(instance * 100 + i);
            resident_dag_execute_on(&d.dag, inputs, instance, want);
            must(tg_service_run(s, INPUTS(inputs), LONG_NS, got, &err));
            for (uint32_t i = 0; i < N_OUTPUTS; i++)
                assert_true(got[i] == want[outputs[i]]);
        }
        /* Several sent at once are executed one after the other, among messages. */
        for (uint32_t i = 0; i < 3; i++) {
            uint64_t inputs[N_INPUTS] = {i};
            struct tg_service_message m = message(TG_SERVICE_ECHO, 0, NULL, 0);
            must(tg_service_submit(s, INPUTS(inputs), NULL, &err));
            must(tg_service_send(s, &m, NULL, &err));
        }
        for (uint32_t i = 0, instance = 11; i < 6; i++) {
            uint64_t inputs[N_INPUTS] = {0}, got[N_OUTPUTS];
            struct tg_service_answer answer;
            must(tg_service_receive(s, LONG_NS, &answer, got, sizeof got, &err));
            if (answer.ticket % 2)
                continue;
            inputs[0] = (answer.ticket - 10) / 2;
            resident_dag_execute_on(&d.dag, inputs, instance++, want);
            for (uint32_t k = 0; k < N_OUTPUTS; k++)
                assert_true(got[k] == want[outputs[k]]);
        }
        free(want);
        resident_dag_fini(&d);
        end_service(s);
    }
}

static void programs_that_a_service_cannot_execute_are_refused(void **state)
{
    (void)state;
    const struct tgi_resident_costs costs = TGI_RESIDENT_COSTS_INIT;
    struct tgi_resident_shape shape = {2, 2, 64u << 10, TGI_RESIDENT_WARP}, thread = {2, 2, 64u << 10, TGI_RESIDENT_THREAD};
    struct tg_service_options o = small_options(2);
    struct tg_service *s = NULL;
    struct tgi_resident_program *p;
    struct resident_dag d;
    uint32_t output = 99;
    make_dag(&d, 2, 8, 1);
    must(tgi_resident_plan(&d.dag, &shape, &costs, &p, &err));
    assert_int_equal(tgi_service_create(&o, &ONE_PROGRAM(p, 1, 0, NULL), &s, &err), TG_E_INVALID);
    assert_int_equal(tgi_service_create(&o, &ONE_PROGRAM(p, 2, 1, &output), &s, &err), TG_E_INVALID);
    assert_int_equal(tgi_service_create(&o, &ONE_PROGRAM(p, 33, 0, NULL), &s, &err), TG_E_LIMIT);
    o.n_sms_free = n_multiprocessors - 1;
    assert_int_equal(tgi_service_create(&o, &ONE_PROGRAM(p, 2, 0, NULL), &s, &err), TG_E_CAPACITY);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
    resident_dag_independent(&d, 40, TGI_RESIDENT_HASH);
    must(tgi_resident_plan(&d.dag, &thread, &costs, &p, &err));
    assert_int_equal(tgi_service_create(&o, &ONE_PROGRAM(p, 0, 0, NULL), &s, &err), TG_E_UNSUPPORTED);
    tgi_resident_program_destroy(p);
    resident_dag_fini(&d);
    assert_null(s);
    service_standin_check();
}

int main(void)
{
    if (!service_standin_load())
        return 1;
    seed = test_seed(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_call_is_legal_in_its_states_and_an_error_elsewhere, begin),
        cmocka_unit_test_setup(options_that_make_no_sense_are_refused, begin),
        cmocka_unit_test_setup(messages_of_every_size_come_back_as_they_went, begin),
        cmocka_unit_test_setup(answers_come_once_each_and_in_order, begin),
        cmocka_unit_test_setup(a_receiver_that_never_receives_is_told_that_the_queue_is_full, begin),
        cmocka_unit_test_setup(an_inactive_service_keeps_messages_until_it_is_active, begin),
        cmocka_unit_test_setup(a_message_that_is_too_large_or_for_nobody_is_refused, begin),
        cmocka_unit_test_setup(bodies_do_what_they_say, begin),
        cmocka_unit_test_setup(long_messages_do_not_hold_up_short_ones, begin),
        cmocka_unit_test_setup(a_kernel_that_has_left_comes_back_unseen, begin),
        cmocka_unit_test_setup(a_service_whose_kernel_has_left_activates_and_terminates, begin),
        cmocka_unit_test_setup(threads_that_call_get_their_own_answers, begin),
        cmocka_unit_test_setup(metrics_count_what_happened, begin),
        cmocka_unit_test_setup(instances_compute_what_the_host_computes, begin),
        cmocka_unit_test_setup(programs_that_a_service_cannot_execute_are_refused, begin),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_standin_end_if_left();
    return n_failed;
}
