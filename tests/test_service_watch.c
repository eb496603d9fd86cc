/* Answers of a service by callback and by a descriptor that is polled; on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "tests/random_graph.h"
#include "tests/service_standin.h"

static uint64_t seed;

static int begin(void **state)
{
    (void)state;
    service_standin_reset(seed);
    return 0;
}

static int fd_of(struct tg_service *s)
{
    int fd;
    must(tg_service_fd(s, &fd, &err));
    return fd;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n = poll(&p, 1, timeout_ms);
    assert_true(n == 0 || (n == 1 && p.revents == POLLIN));
    return n == 1;
}
enum { LONG_MS = 120000 };

static void send_words(struct tg_service *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct tg_service_message m = message(TG_SERVICE_ECHO, 0, &i, sizeof i);
        must(tg_service_send(s, &m, NULL, &err));
    }
}

/* ---- The descriptor -----------------------------------------------------------------------*/

static void a_descriptor_is_readable_just_while_there_is_an_answer(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct tg_service_answer answer;
    uint32_t word;
    int fd = fd_of(s);
    assert_int_equal(fd_of(s), fd);
    assert_false(is_readable(fd, 0));
    for (uint32_t round = 0; round < ROUNDS(100) + 5; round++) {
        uint32_t n = 1 + round % o.queue_capacity;
        send_words(s, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(is_readable(fd, LONG_MS));
            assert_true(is_readable(fd, 0));
            if (i == 0) /* with no room for it, it stays */
                assert_int_equal(tg_service_receive(s, 0, &answer, &word, 3, &err), TG_E_LIMIT);
            must(tg_service_receive(s, 0, &answer, &word, sizeof word, &err));
            assert_int_equal(word, i);
        }
        assert_false(is_readable(fd, 0));
        assert_int_equal(tg_service_receive(s, 0, &answer, &word, sizeof word, &err), TG_E_NO_ANSWER);
        must(tg_service_call(s, &(struct tg_service_message){TG_SERVICE_ECHO, 0, &n, sizeof n}, LONG_NS, &word, sizeof word, NULL, &err));
        assert_false(is_readable(fd, 0)); /* a call's answer is none of its business */
    }
    send_words(s, 2);
    must(tg_service_terminate(s, LONG_NS, &err));
    for (int i = 0; i < 3; i++) { /* the end too makes it readable, and stays */
        assert_true(is_readable(fd, 0));
        assert_int_equal(tg_service_receive(s, 0, &answer, &word, sizeof word, &err), i < 2 ? 0 : TG_E_NO_ANSWER);
    }
    assert_true(is_readable(fd, 0));
    tg_service_destroy(s);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    service_standin_check();
}

/* The thread alone finds an answer to what was sent before there was a descriptor, and the end that nobody waits for. */
static void a_descriptor_tells_of_what_was_sent_before_and_of_an_end_nobody_waits_for(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct tg_service_message spin = message(TG_SERVICE_SPIN, 30000, NULL, 0);
    struct tg_service_answer answer;
    must(tg_service_send(s, &spin, NULL, &err));
    int fd = fd_of(s);
    assert_int_equal(tg_service_terminate(s, 0, &err), TG_E_NO_ANSWER);
    assert_true(is_readable(fd, LONG_MS));
    must(tg_service_receive(s, 0, &answer, NULL, 0, &err));
    assert_true(is_readable(fd, LONG_MS));
    assert_int_equal(status_of(s).state, TG_SERVICE_TERMINATED);
    tg_service_destroy(s);
    service_standin_check();
}

static void a_descriptor_that_cannot_be_had_is_an_error_and_can_be_asked_for_again(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct rlimit limit, none;
    int fd = 77;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    int rc = tg_service_fd(s, &fd, &err);
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(rc, TG_E_SYSTEM);
    assert_int_equal(fd, 77);
    fd_of(s);
    assert_int_equal(tg_service_set_callback(s, NULL, NULL, &err), TG_E_INVALID);
    end_service(s);
}

/* ---- Load ---------------------------------------------------------------------------------*/

enum { N_SENDERS = 2 };
struct sender {
    struct tg_service *service;
    uint64_t n;
    bool calls; /* instead of sending */
    pthread_t thread;
};

static void *keep_sending(void *user)
{
    struct sender *x = user;
    for (uint64_t i = 0; i < x->n; i++) {
        uint64_t word = mix64(i), got = 0;
        struct tg_service_message m = message(i % 8 == 7 ? TG_SERVICE_MIX : TG_SERVICE_ECHO, 0, &word, sizeof word);
        struct tg_error why;
        int rc;
        while ((rc = x->calls ? tg_service_call(x->service, &m, LONG_NS, &got, sizeof got, NULL, &why)
                              : tg_service_send(x->service, &m, NULL, &why)) == TG_E_FULL)
            sched_yield();
        if (rc || (x->calls && got != (i % 8 == 7 ? tgi_mix(word) : word)))
            return x;
    }
    return NULL;
}

static void begin_senders(struct sender *x, struct tg_service *s, uint64_t n)
{
    for (int i = 0; i <= N_SENDERS; i++) {
        x[i] = (struct sender){s, n, i == N_SENDERS, 0};
        assert_int_equal(pthread_create(&x[i].thread, NULL, keep_sending, &x[i]), 0);
    }
}
static void end_senders(struct sender *x)
{
    for (int i = 0; i <= N_SENDERS; i++) {
        void *wrong;
        pthread_join(x[i].thread, &wrong);
        assert_null(wrong);
    }
}

/* Answers to sends; those of calls have tickets of the same sequence. */
static void one_thread_gets_all_answers_by_epoll_while_others_send_and_call(void **state)
{
    (void)state;
    for (uint64_t idle_ns = 0; idle_ns <= 300000; idle_ns += 300000) {
        struct tg_service_options o = small_options(3);
        o.idle_exit_ns = idle_ns;
        struct tg_service *s = active_service(&o);
        struct sender senders[N_SENDERS + 1];
        uint64_t n_each = 2000, n_got = 0;
        unsigned char *seen = calloc(3 * n_each, 1);
        struct epoll_event event = {.events = EPOLLIN};
        int epoll = epoll_create1(0), fd = fd_of(s);
        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
        begin_senders(senders, s, n_each);
        while (n_got < N_SENDERS * n_each) {
            struct tg_service_answer answer;
            uint64_t word;
            int rc;
            assert_int_equal(epoll_wait(epoll, &event, 1, LONG_MS), 1);
            while ((rc = tg_service_receive(s, 0, &answer, &word, sizeof word, &err)) == 0) {
                assert_int_equal(answer.status, 0);
                assert_true(answer.ticket < 3 * n_each && !seen[answer.ticket]++);
                n_got++;
                if (n_got % 3 == 0) /* and is told again if it leaves the rest */
                    break;
            }
            assert_true(rc == 0 || rc == TG_E_NO_ANSWER);
        }
        end_senders(senders);
        assert_false(is_readable(fd, 0));
        assert_int_equal(metrics_of(s).n_answered, 3 * n_each);
        close(epoll);
        free(seen);
        end_service(s);
    }
}

/* ---- The callback -------------------------------------------------------------------------*/

/* What a callback has seen; read while it may be called through the atomics alone. */
struct seen {
    struct tg_service *service;
    uint64_t n_to_send;  /* by the callback itself, one for each answer */
    uint64_t last;       /* ticket, and one */
    long pause_ms;
    bool tries_to_wait, is_mixed; /* bodies that take long are overtaken by echoes */
    struct tg_error why;
    _Atomic uint64_t n_answers, n_ends, n_wrong;
};

/* From within a callback. */
static bool waiting_is_refused(struct tg_service *s)
{
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, NULL, 0);
    struct tg_service_answer answer;
    struct tg_error why;
    int fd;
    return tg_service_call(s, &m, LONG_NS, NULL, 0, NULL, &why) == TG_E_STATE && strstr(why.text, "cannot wait") &&
           tg_service_deactivate(s, &why) == TG_E_STATE && tg_service_terminate(s, LONG_NS, &why) == TG_E_STATE &&
           tg_service_cancel(s, 0, &why) == TG_E_STATE && strstr(why.text, "cannot wait") &&
           tg_service_receive(s, LONG_NS, &answer, NULL, 0, &why) == TG_E_STATE && tg_service_fd(s, &fd, &why) == TG_E_STATE;
}

static void on_answer(void *user, const struct tg_service_answer *answer, const void *data, const struct tg_error *why)
{
    struct seen *x = user;
    uint64_t word = 0;
    if (!answer) {
        x->why = *why;
        atomic_fetch_add(&x->n_ends, 1);
        return;
    }
    if (answer->n_bytes == sizeof word)
        memcpy(&word, data, sizeof word);
    x->n_wrong += x->n_ends || answer->status || why || (answer->n_bytes == 0) != !data;
    x->n_wrong += !x->is_mixed && answer->ticket < x->last;
    x->last = answer->ticket + 1;
    if (x->tries_to_wait)
        x->n_wrong += !waiting_is_refused(x->service);
    if (x->n_to_send) {
        struct tg_service_message m = message(TG_SERVICE_ECHO, 0, &word, sizeof word);
        x->n_to_send--;
        x->n_wrong += tg_service_send(x->service, &m, NULL, NULL) != 0;
    }
    if (x->pause_ms)
        sleep_ms(x->pause_ms);
    atomic_fetch_add(&x->n_answers, 1);
}

static struct tg_service *service_calling_back(const struct tg_service_options *o, struct seen *x)
{
    struct tg_service *s;
    must(tg_service_create(o, &s, &err));
    x->service = s;
    must(tg_service_set_callback(s, on_answer, x, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    return s;
}

static void await_answers(struct seen *x, uint64_t n)
{
    uint64_t since = tgi_service_now_ns();
    while (atomic_load(&x->n_answers) < n && tgi_service_now_ns() - since < LONG_NS)
        sleep_ms(1);
    assert_int_equal(x->n_answers, n);
}

static void a_callback_and_receiving_exclude_each_other(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct seen x = {0};
    struct tg_service *s;
    struct tg_service_answer answer;
    int fd = 77;
    must(tg_service_create(&o, &s, &err));
    must(tg_service_set_callback(s, on_answer, &x, &err));
    assert_int_equal(tg_service_set_callback(s, on_answer, &x, &err), TG_E_STATE);
    must(tg_service_launch(s, &err));
    assert_int_equal(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err), TG_E_STATE);
    assert_non_null(strstr(err.text, "callback"));
    assert_int_equal(tg_service_fd(s, &fd, &err), TG_E_STATE);
    assert_int_equal(fd, 77);
    must(tg_service_terminate(s, LONG_NS, &err));
    assert_int_equal(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err), TG_E_STATE);
    tg_service_destroy(s);
    must(tg_service_create(&o, &s, &err));
    fd_of(s);
    assert_int_equal(tg_service_set_callback(s, on_answer, &x, &err), TG_E_STATE);
    assert_non_null(strstr(err.text, "descriptor"));
    tg_service_destroy(s);
    assert_int_equal(x.n_answers + x.n_ends, 0);
    service_standin_check();
}

/* As many under way as there is room for, each answer of which sends the next: its place is free by then. */
static void callbacks_come_in_order_and_may_send(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct seen x = {.n_to_send = 4000, .tries_to_wait = true};
    const uint64_t n = o.queue_capacity + x.n_to_send;
    struct tg_service *s = service_calling_back(&o, &x);
    must(tg_service_deactivate(s, &err));
    for (uint64_t i = 0; i < o.queue_capacity; i++)
        must(tg_service_send(s, &(struct tg_service_message){TG_SERVICE_ECHO, 0, &i, sizeof i}, NULL, &err));
    assert_int_equal(x.n_answers, 0);
    must(tg_service_activate(s, &err));
    await_answers(&x, n);
    assert_int_equal(x.last, n);
    end_service(s);
    assert_int_equal(x.n_wrong + x.n_ends, 0);
}

static void every_answer_is_called_back_once_while_others_send_and_call(void **state)
{
    (void)state;
    for (uint64_t idle_ns = 0; idle_ns <= 300000; idle_ns += 300000) {
        struct tg_service_options o = small_options(3);
        struct sender senders[N_SENDERS + 1];
        struct seen x = {.is_mixed = true};
        uint64_t n_each = 2000;
        o.idle_exit_ns = idle_ns;
        struct tg_service *s = service_calling_back(&o, &x);
        begin_senders(senders, s, n_each);
        end_senders(senders);
        must(tg_service_terminate(s, LONG_NS, &err)); /* waits for all */
        assert_int_equal(x.n_answers, N_SENDERS * n_each);
        tg_service_destroy(s);
        service_standin_check();
        assert_int_equal(x.n_wrong + x.n_ends, 0);
    }
}

/* ---- Sleep --------------------------------------------------------------------------------*/

static int rest_of(struct tg_service *s)
{
    pthread_mutex_lock(&s->lock);
    int rest = s->watch.rest;
    pthread_mutex_unlock(&s->lock);
    return rest;
}
static void await_rest(struct tg_service *s, int rest)
{
    uint64_t since = tgi_service_now_ns();
    while (rest_of(s) != rest && tgi_service_now_ns() - since < LONG_NS)
        sched_yield();
    assert_int_equal(rest_of(s), rest);
}

static void the_thread_sleeps_through_calls_and_is_there_for_messages(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct seen x = {0};
    struct tg_service *s = service_calling_back(&o, &x);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, NULL, 0), spin = message(TG_SERVICE_SPIN, 100000000, NULL, 0);
    for (uint64_t i = 1; i < ROUNDS(50) + 5; i++) {
        await_rest(s, TGI_WATCH_SLEEPS);
        must(tg_service_call(s, &m, LONG_NS, NULL, 0, NULL, &err));
        assert_int_equal(rest_of(s), TGI_WATCH_SLEEPS);
        must(tg_service_send(s, &m, NULL, &err));
        await_answers(&x, i);
    }
    must(tg_service_send(s, &spin, NULL, &err));
    await_rest(s, TGI_WATCH_NAPS);
    tg_service_destroy(s); /* which ends the body */
    service_standin_check();
}

/* A kernel that has left is brought back, and one that leaves with a message in its ring. */
static void kernels_that_leave_are_not_noticed(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct seen x = {0};
    o.idle_exit_ns = 1000000;
    struct tg_service *s = service_calling_back(&o, &x), *polled = active_service(&o);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, NULL, 0);
    struct tg_service_answer answer;
    int fd = fd_of(polled);
    const uint64_t n = ROUNDS(100) + 5;
    for (uint64_t i = 1; i <= n; i++) {
        struct timespec t = {0, (long)(mix64(i + seed) % 3000000)};
        nanosleep(&t, NULL);
        while (i == n && (status_of(s).is_resident || status_of(polled).is_resident))
            sleep_ms(1);
        must(tg_service_send(s, &m, NULL, &err));
        must(tg_service_send(polled, &m, NULL, &err));
        await_answers(&x, i);
        assert_true(is_readable(fd, LONG_MS));
        must(tg_service_receive(polled, 0, &answer, NULL, 0, &err));
    }
    assert_true(metrics_of(s).n_launches > 1 && metrics_of(polled).n_launches > 1);
    must(tg_service_terminate(s, LONG_NS, &err));
    must(tg_service_terminate(polled, LONG_NS, &err)); /* none is resident when memory is freed */
    tg_service_destroy(s);
    tg_service_destroy(polled);
    service_standin_check();
}

/* ---- Ending -------------------------------------------------------------------------------*/

static void terminate_waits_for_callbacks_and_none_comes_after_it(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct seen x = {.pause_ms = 5};
    struct tg_service *s = service_calling_back(&o, &x);
    send_words(s, 8);
    assert_int_equal(tg_service_terminate(s, 0, &err), TG_E_NO_ANSWER);
    assert_int_equal(status_of(s).state, TG_SERVICE_TERMINATING);
    must(tg_service_terminate(s, LONG_NS, &err));
    assert_int_equal(x.n_answers, 8);
    x.service = NULL; /* nobody looks at it any more, which the sanitizer sees */
    tg_service_destroy(s);
    service_standin_check();
    assert_int_equal(x.n_answers, 8);
    assert_int_equal(x.n_wrong + x.n_ends, 0);
}

static void a_service_is_destroyed_while_answers_come(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    for (uint32_t round = 0; round < ROUNDS(30) + 6; round++) {
        struct seen x = {.n_to_send = 1000, .pause_ms = round % 3 == 1};
        bool is_polled = round % 2;
        struct tg_service *s = is_polled ? active_service(&o) : service_calling_back(&o, &x);
        if (is_polled)
            fd_of(s);
        send_words(s, 1 + round % 4);
        sleep_ms(round % 3);
        tg_service_destroy(s);
        service_standin_check();
        x.service = NULL;
        assert_int_equal(x.n_ends, 0);
    }
}

static void a_lost_device_is_told_by_descriptor_and_callback(void **state)
{
    (void)state;
    NEEDS_STANDIN();
    for (int is_polled = 0; is_polled < 2; is_polled++) {
        service_standin_reset(seed);
        struct tg_service_options o = small_options(2);
        struct seen x = {0};
        struct tg_service *s = is_polled ? active_service(&o) : service_calling_back(&o, &x);
        struct tg_service_message slow = message(TG_SERVICE_SPIN, 300000, NULL, 0);
        struct tg_service_answer answer;
        int fd = is_polled ? fd_of(s) : -1;
        must(tg_service_send(s, &slow, NULL, &err));
        standin.standin_fail("cuStreamQuery", 3, CUDA_ERROR_ILLEGAL_ADDRESS, STANDIN_STICKY);
        if (is_polled) {
            assert_true(is_readable(fd, LONG_MS));
            for (int i = 0; i < 2; i++) {
                err.text[0] = '\0';
                assert_int_equal(tg_service_receive(s, 0, &answer, NULL, 0, &err), TG_E_TASK_FAILED);
                assert_non_null(strstr(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
                assert_true(is_readable(fd, 0));
            }
        } else {
            uint64_t since = tgi_service_now_ns();
            while (!atomic_load(&x.n_ends) && tgi_service_now_ns() - since < LONG_NS)
                sleep_ms(1);
            assert_int_equal(x.n_ends, 1);
            assert_int_equal(x.why.status, TG_E_TASK_FAILED);
            assert_non_null(strstr(x.why.text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
        }
        assert_int_equal(status_of(s).state, TG_SERVICE_TERMINATED);
        while (standin.standin_staying()) /* a kernel of threads ends because it is told to */
            sleep_ms(1);
        tg_service_destroy(s);
        assert_int_equal(x.n_answers + x.n_wrong, 0);
        assert_int_equal(x.n_ends, !is_polled);
    }
}

int main(void)
{
    if (!service_standin_load())
        return 1;
    seed = test_seed(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_descriptor_is_readable_just_while_there_is_an_answer, begin),
        cmocka_unit_test_setup(a_descriptor_tells_of_what_was_sent_before_and_of_an_end_nobody_waits_for, begin),
        cmocka_unit_test_setup(a_descriptor_that_cannot_be_had_is_an_error_and_can_be_asked_for_again, begin),
        cmocka_unit_test_setup(one_thread_gets_all_answers_by_epoll_while_others_send_and_call, begin),
        cmocka_unit_test_setup(a_callback_and_receiving_exclude_each_other, begin),
        cmocka_unit_test_setup(callbacks_come_in_order_and_may_send, begin),
        cmocka_unit_test_setup(every_answer_is_called_back_once_while_others_send_and_call, begin),
        cmocka_unit_test_setup(the_thread_sleeps_through_calls_and_is_there_for_messages, begin),
        cmocka_unit_test_setup(kernels_that_leave_are_not_noticed, begin),
        cmocka_unit_test_setup(terminate_waits_for_callbacks_and_none_comes_after_it, begin),
        cmocka_unit_test_setup(a_service_is_destroyed_while_answers_come, begin),
        cmocka_unit_test_setup(a_lost_device_is_told_by_descriptor_and_callback, begin),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_standin_end_if_left();
    return n_failed;
}
