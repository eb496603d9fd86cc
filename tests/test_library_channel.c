/* Channels of the device library: every message is received once, in the order of its sender, whatever the capacity, the number of
 * workers and their delays; tasks that await are called; broadcasts reach everybody in one order. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/library_cpu.h"

#include "gpu/library/broadcast.h"
#include "gpu/library/channel.h"

enum { MAX_WORDS = 20, BATCH = 7, MAX_PRIORITIES = TGD_CHANNEL_PRIORITIES };

static struct tgd_channel *channel_create(const struct tgd_channel_shape *s)
{
    struct tgd_channel *c = zeroed(tgd_channel_bytes(s));
    assert_int_equal(tgd_channel_init(c, s), TGD_OK);
    return c;
}

/* Messages: sender and priority, number, and words that follow from these, or 4 bytes with all of it. */
static void write_message(uint32_t *m, uint32_t words, uint32_t sender, uint32_t number)
{
    m[0] = sender << 24 | number;
    for (uint32_t i = 1; i < words; i++)
        m[i] = (uint32_t)mix64((uint64_t)m[0] << 8 | i);
}
static bool is_message(const uint32_t *m, uint32_t words)
{
    for (uint32_t i = 1; i < words; i++)
        if (m[i] != (uint32_t)mix64((uint64_t)m[0] << 8 | i))
            return false;
    return true;
}

/* ---- Any to any -----------------------------------------------------------------------------*/

struct run {
    struct tgd_channel *c;
    uint32_t words, n_senders, n_each, n_priorities;
    uint32_t n_received; /* by all */
    uint8_t *seen;       /* by sender, priority and number */
};

static void send_all(struct worker *w, struct run *run)
{
    uint32_t messages[BATCH * MAX_WORDS] __attribute__((aligned(16)));
    uint32_t number[MAX_PRIORITIES] = {0}, n_left = run->n_each;
    while (n_left) {
        uint32_t p = roll(&w->dice, run->n_priorities), n = 1 + roll(&w->dice, BATCH), sent;
        n = n < n_left ? n : n_left;
        for (uint32_t i = 0; i < n; i++)
            write_message(&messages[i * run->words], run->words, w->id * MAX_PRIORITIES + p, number[p] + i);
        if (n == 1)
            sent = tgd_channel_try_send(run->c, p, messages) == TGD_OK;
        else
            sent = tgd_channel_send(run->c, p, messages, n);
        MUST_BE(sent <= n);
        number[p] += sent;
        n_left -= sent;
        if (sent == 0)
            sched_yield();
    }
}

static void receive_all(struct worker *w, struct run *run)
{
    uint32_t messages[BATCH * MAX_WORDS] __attribute__((aligned(16)));
    uint32_t next[MAX_WORKERS * MAX_PRIORITIES] = {0}, n_all = run->n_senders * run->n_each;
    while (tgi_word_load_relaxed(&run->n_received) < n_all) {
        uint32_t n = 1 + roll(&w->dice, BATCH), n_got;
        n_got = n == 1 ? tgd_channel_try_receive(run->c, messages) == TGD_OK : tgd_channel_receive(run->c, messages, n);
        MUST_BE(n_got <= n);
        for (uint32_t i = 0; i < n_got; i++) {
            const uint32_t *m = &messages[i * run->words];
            uint32_t from = m[0] >> 24, number = m[0] & 0xffffff;
            MUST_BE(is_message(m, run->words));
            MUST_BE(number >= next[from]); /* the sender's order */
            next[from] = number + 1;
            MUST_BE(__atomic_fetch_add(&run->seen[from * run->n_each + number], 1, __ATOMIC_RELAXED) == 0);
        }
        tgi_word_add_relaxed(&run->n_received, n_got);
        if (n_got == 0)
            sched_yield();
    }
}

static void any_worker(struct worker *w)
{
    struct run *run = w->user;
    if (w->id < run->n_senders)
        send_all(w, run);
    else
        receive_all(w, run);
}

static void run_any(const struct tgd_channel_shape *shape, uint32_t n_senders, uint32_t n_receivers, uint32_t n_each,
                    uint32_t first)
{
    struct run run = {channel_create(shape), shape->message_bytes / 4, n_senders, n_each, shape->n_priorities, 0, NULL};
    run.seen = calloc(n_senders * MAX_PRIORITIES, n_each);
    for (uint32_t p = 0; p < shape->n_priorities; p++)
        tgi_queue_init(tgi_channel_queue(run.c, p), shape->capacity, run.words, first);
    on_workers(n_senders + n_receivers, any_worker, &run);
    assert_int_equal(run.n_received, n_senders * n_each);
    for (uint32_t p = 0; p < shape->n_priorities; p++)
        assert_int_equal(tgd_channel_size(run.c, p), 0);
    free(run.seen);
    free(run.c);
}

static void messages_arrive_once_and_in_order(void **state)
{
    (void)state;
    static const uint32_t capacities[] = {2, 4, 64}, bytes[] = {4, 16, 20, 64};
    for (uint32_t i = 0; i < 24; i++) {
        struct tgd_channel_shape shape = {capacities[i % 3], bytes[i % 4], 1 + i % 4, 0};
        has_delays = i % 2;
        run_any(&shape, 1 + i % 4, 1 + i / 4 % 4, (uint32_t)ROUNDS(5000), i % 5 ? 0 : UINT32_MAX - 100);
    }
    has_delays = false;
}

static void a_full_channel_takes_no_more(void **state)
{
    (void)state;
    const struct tgd_channel_shape shape = {4, 8, 2, 0};
    struct tgd_channel *c = channel_create(&shape);
    uint32_t m[12], got[12];
    for (uint32_t i = 0; i < 6; i++)
        write_message(&m[2 * i], 2, 0, i);
    assert_int_equal(tgd_channel_try_receive(c, got), TGD_E_EMPTY);
    assert_int_equal(tgd_channel_send(c, 0, m, 3), 3);
    assert_int_equal(tgd_channel_size(c, 0), 3);
    assert_int_equal(tgd_channel_send(c, 0, &m[6], 3), 1);
    assert_int_equal(tgd_channel_try_send(c, 0, m), TGD_E_FULL);
    assert_int_equal(tgd_channel_try_send(c, 9, &m[8]), TGD_OK); /* counts as the highest */
    assert_int_equal(tgd_channel_receive(c, got, 3), 3);
    assert_memory_equal(got, &m[8], 8); /* the urgent one first */
    assert_memory_equal(&got[2], m, 16);
    assert_int_equal(tgd_channel_send(c, 0, &m[8], 2), 2); /* over the end of the ring */
    assert_int_equal(tgd_channel_receive(c, got, 6), 4);
    assert_memory_equal(got, &m[4], 32);
    assert_int_equal(tgd_channel_receive(c, got, 6), 0);
    free(c);
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct tgd_channel_shape bad[] = {{1, 8, 1, 0}, {6, 8, 1, 0}, {0, 8, 1, 0},       {4, 0, 1, 0},
                                                   {4, 6, 1, 0}, {4, 8, 0, 0}, {1u << 30, 8, 1, 0}, {4, 8, 5, 0}};
    struct tgd_channel *c = zeroed(4096);
    for (uint32_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tgd_channel_bytes(&bad[i]), 0);
        assert_int_equal(tgd_channel_init(c, &bad[i]), TGD_E_INVALID);
    }
    free(c);
    assert_int_equal(tgd_broadcast_bytes(3, 8, 1), 0);
    assert_int_equal(tgd_broadcast_bytes(4, 8, 0), 0);
    assert_int_equal(tgd_broadcast_bytes(4, 2, 1), 0);
}

/* ---- Tasks that leave and are called --------------------------------------------------------*/

/* More tasks than workers; a task that cannot go on leaves its token with the channel.  If at some time nobody runs, nobody
 * is ready and not all have ended, a call was lost. */
struct stage {
    struct tgd_channel *c;
    uint32_t n_tasks, n_senders, n_each, n_priorities;
    pthread_mutex_t lock; /* of the following */
    uint32_t ready[64], n_ready, n_running, n_ended;
    uint32_t n_left[64]; /* by task; who runs it */
    uint32_t n_awaits, sum; /* atomics */
};

static void make_ready(struct stage *s, uint32_t task)
{
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->n_ready; i++)
        MUST_BE(s->ready[i] != task); /* handed out twice */
    MUST_BE(s->n_ready < 64);
    s->ready[s->n_ready++] = task;
    pthread_mutex_unlock(&s->lock);
}
static void wake(struct stage *s, uint32_t side)
{
    uint32_t tokens[3], n;
    do {
        n = tgd_channel_wake(s->c, side, tokens, 3);
        for (uint32_t i = 0; i < n; i++)
            make_ready(s, tokens[i]);
    } while (n == 3);
}

/* True: it has ended; else it has left. */
static bool run_task(struct stage *s, struct worker *w, uint32_t task)
{
    bool is_sender = task < s->n_senders;
    uint32_t m[BATCH * 2], p = is_sender ? task % s->n_priorities : 0, side = is_sender ? TGD_CHANNEL_SENDERS + p : TGD_CHANNEL_RECEIVERS;
    while (s->n_left[task]) {
        uint32_t n = 1 + roll(&w->dice, 2), n_moved;
        n = n < s->n_left[task] ? n : s->n_left[task];
        for (uint32_t i = 0; is_sender && i < n; i++)
            write_message(&m[2 * i], 2, task, s->n_left[task] - i);
        n_moved = is_sender ? tgd_channel_send(s->c, p, m, n) : tgd_channel_receive(s->c, m, n);
        if (n_moved == 0) {
            uint32_t ready;
            tgi_word_add_relaxed(&s->n_awaits, 1);
            MUST_BE(tgd_channel_await(s->c, side, task, &ready) == TGD_OK);
            if (ready != TGD_NO_TOKEN)
                make_ready(s, ready);
            return false;
        }
        s->n_left[task] -= n_moved;
        for (uint32_t i = 0; !is_sender && i < n_moved; i++) {
            MUST_BE(is_message(&m[2 * i], 2));
            tgi_word_add_relaxed(&s->sum, m[2 * i] & 0xffffff);
        }
        for (uint32_t k = 0; k <= s->n_priorities; k++)
            if (is_sender == (k == TGD_CHANNEL_RECEIVERS))
                wake(s, k);
    }
    return true;
}

static void stage_worker(struct worker *w)
{
    struct stage *s = w->user;
    for (;;) {
        uint32_t task = TGD_NO_TOKEN;
        pthread_mutex_lock(&s->lock);
        bool is_over = s->n_ended == s->n_tasks;
        if (s->n_ready) {
            uint32_t k = roll(&w->dice, s->n_ready);
            task = s->ready[k];
            s->ready[k] = s->ready[--s->n_ready];
            s->n_running++;
        }
        MUST_BE(is_over || s->n_running); /* else all sleep */
        pthread_mutex_unlock(&s->lock);
        if (is_over)
            return;
        if (task == TGD_NO_TOKEN) {
            sched_yield();
            continue;
        }
        bool has_ended = run_task(s, w, task);
        pthread_mutex_lock(&s->lock);
        s->n_running--;
        s->n_ended += has_ended;
        pthread_mutex_unlock(&s->lock);
    }
}

static void nobody_who_awaits_is_forgotten(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 16; i++) {
        struct tgd_channel_shape shape = {2u << i % 3, 8, 1 + i % 2, 64};
        struct stage s = {.c = channel_create(&shape), .n_senders = 4 + i % 5, .n_priorities = shape.n_priorities,
                          .n_each = (uint32_t)ROUNDS(3000), .lock = PTHREAD_MUTEX_INITIALIZER};
        s.n_tasks = 2 * s.n_senders; /* as many receive as much as is sent */
        has_delays = i % 2;
        for (uint32_t t = 0; t < s.n_tasks; t++) {
            s.n_left[t] = s.n_each;
            s.ready[s.n_ready++] = t;
        }
        on_workers(2 + i % 4, stage_worker, &s);
        assert_int_equal(s.sum, (uint32_t)(s.n_senders * (uint64_t)s.n_each * (s.n_each + 1) / 2));
        assert_true(s.n_awaits > 0);
        for (uint32_t k = 0; k <= s.n_priorities; k++)
            assert_int_equal(tgi_channel_waiters(s.c, k)->balance, 0);
        free(s.c);
    }
    has_delays = false;
}

static void who_awaits_what_is_there_is_called_at_once(void **state)
{
    (void)state;
    const struct tgd_channel_shape shape = {2, 4, 1, 2};
    struct tgd_channel *c = channel_create(&shape);
    uint32_t m = 7, ready, tokens[4];
    assert_int_equal(tgd_channel_await(c, TGD_CHANNEL_SENDERS, 5, &ready), TGD_OK);
    assert_int_equal(ready, 5);
    assert_int_equal(tgd_channel_await(c, TGD_CHANNEL_RECEIVERS, 1, &ready), TGD_OK);
    assert_int_equal(ready, TGD_NO_TOKEN);
    assert_int_equal(tgd_channel_await(c, TGD_CHANNEL_RECEIVERS, 3, &ready), TGD_OK);
    assert_int_equal(ready, TGD_NO_TOKEN);
    assert_int_equal(tgd_channel_await(c, TGD_CHANNEL_RECEIVERS, 4, &ready), TGD_E_FULL);
    assert_int_equal(tgd_channel_wake(c, TGD_CHANNEL_RECEIVERS, tokens, 4), 0); /* there is no message */
    assert_int_equal(tgd_channel_try_send(c, 0, &m), TGD_OK);
    assert_int_equal(tgd_channel_wake(c, TGD_CHANNEL_RECEIVERS, tokens, 4), 1); /* one message, one task */
    assert_true(tokens[0] == 1 || tokens[0] == 3);
    assert_int_equal(tgd_channel_await(c, TGD_CHANNEL_RECEIVERS, 4, &ready), TGD_OK);
    assert_true(ready != TGD_NO_TOKEN && ready != tokens[0]);
    free(c);
}

/* ---- Broadcast ------------------------------------------------------------------------------*/

struct cast {
    struct tgd_broadcast *b;
    uint32_t n_senders, n_each, words;
    uint32_t *order; /* by subscriber: what it has received */
};

static void cast_worker(struct worker *w)
{
    struct cast *x = w->user;
    uint32_t m[BATCH * MAX_WORDS], n_all = x->n_senders * x->n_each;
    if (w->id < x->n_senders) {
        for (uint32_t n_sent = 0, n; n_sent < x->n_each; n_sent += n) {
            n = 1 + roll(&w->dice, BATCH);
            n = n < x->n_each - n_sent ? n : x->n_each - n_sent;
            for (uint32_t i = 0; i < n; i++)
                write_message(&m[i * x->words], x->words, w->id, n_sent + i);
            if ((n = tgd_broadcast_send(x->b, m, n)) == 0)
                sched_yield();
        }
        return;
    }
    struct tgd_subscriber s;
    tgd_subscriber_init(&s);
    uint32_t *order = &x->order[(w->id - x->n_senders) * n_all];
    for (uint32_t n_got = 0, n; n_got < n_all; n_got += n) {
        n = tgd_broadcast_receive(x->b, &s, m, 1 + roll(&w->dice, BATCH));
        for (uint32_t i = 0; i < n; i++) {
            MUST_BE(is_message(&m[i * x->words], x->words));
            order[n_got + i] = m[i * x->words];
        }
        if (n == 0)
            sched_yield();
    }
}

static void broadcasts_reach_everybody_in_one_order(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t n_subscribers = 1 + i % 4, capacity = 2u << i % 3, bytes = i % 2 ? 16 : 12;
        struct cast x = {zeroed(tgd_broadcast_bytes(capacity, bytes, n_subscribers)), 1 + i % 3, (uint32_t)ROUNDS(5000), bytes / 4, NULL};
        uint32_t n_all = x.n_senders * x.n_each, next[4] = {0};
        has_delays = i / 2 % 2;
        x.order = calloc((size_t)n_all * n_subscribers, 4);
        assert_int_equal(tgd_broadcast_init(x.b, capacity, bytes, n_subscribers), TGD_OK);
        on_workers(x.n_senders + n_subscribers, cast_worker, &x);
        for (uint32_t k = 0; k < n_all; k++)
            assert_int_equal(x.order[k] & 0xffffff, next[x.order[k] >> 24]++);
        for (uint32_t k = 1; k < n_subscribers; k++)
            assert_memory_equal(x.order, &x.order[k * n_all], n_all * 4);
        free(x.order);
        free(x.b);
    }
    has_delays = false;
}

static void a_subscriber_that_does_not_read_stops_senders(void **state)
{
    (void)state;
    struct tgd_broadcast *b = zeroed(tgd_broadcast_bytes(2, 4, 2));
    struct tgd_subscriber quick, slow;
    uint32_t m[3] = {1, 2, 3}, got[3];
    assert_int_equal(tgd_broadcast_init(b, 2, 4, 2), TGD_OK);
    tgd_subscriber_init(&quick);
    tgd_subscriber_init(&slow);
    assert_int_equal(tgd_broadcast_send(b, m, 3), 2);
    assert_int_equal(tgd_broadcast_receive(b, &quick, got, 3), 2);
    assert_int_equal(tgd_broadcast_send(b, m, 1), 0);
    assert_int_equal(tgd_broadcast_receive(b, &slow, got, 1), 1);
    assert_int_equal(tgd_broadcast_send(b, &m[2], 1), 1);
    assert_int_equal(tgd_broadcast_receive(b, &quick, got, 3), 1);
    assert_int_equal(got[0], 3);
    assert_int_equal(tgd_broadcast_receive(b, &slow, got, 3), 2);
    assert_int_equal(got[1], 3);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_once_and_in_order),
        cmocka_unit_test(a_full_channel_takes_no_more),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
        cmocka_unit_test(nobody_who_awaits_is_forgotten),
        cmocka_unit_test(who_awaits_what_is_there_is_called_at_once),
        cmocka_unit_test(broadcasts_reach_everybody_in_one_order),
        cmocka_unit_test(a_subscriber_that_does_not_read_stops_senders),
    };
    seed = test_seed(12);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
