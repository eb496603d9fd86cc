/* What goes wrong in a service, and that nothing else does: bodies that fail or take long, instances that are stuck, a driver that
 * refuses, programs that end too early; on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "bench/service_soak.h"
#include "tests/random_graph.h"
#include "tests/service_standin.h"

static uint64_t seed;

static int begin(void **state)
{
    (void)state;
    service_standin_reset(seed);
    return 0;
}

/* ---- Bodies -------------------------------------------------------------------------------*/

static void a_body_that_fails_fails_its_message_alone(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    struct tg_service *s = active_service(&o);
    struct tg_service_answer answer;
    for (uint32_t i = 0; i < 6; i++) {
        struct tg_service_message m = message(i % 3 == 1 ? TG_SERVICE_FAIL : TG_SERVICE_MIX, 40 + i, &i, sizeof i);
        must(tg_service_send(s, &m, NULL, &err));
    }
    for (uint32_t i = 0; i < 6; i++) {
        char got[4];
        must(tg_service_receive(s, LONG_NS, &answer, got, sizeof got, &err));
        bool is_bad = answer.ticket % 3 == 1;
        assert_int_equal(answer.status, is_bad ? TG_E_TASK_FAILED : 0);
        assert_int_equal(answer.code, is_bad ? 40 + answer.ticket : 0);
        assert_int_equal(answer.n_bytes, is_bad ? 0 : 4);
    }
    struct tg_service_status status = status_of(s);
    assert_int_equal(status.state, TG_SERVICE_ACTIVE);
    assert_int_equal(status.panic.kind, 2);
    assert_true(status.panic.code == 41 || status.panic.code == 44);
    assert_int_equal(status.panic.task, status.panic.code - 40);
    struct tg_service_message bad = message(TG_SERVICE_FAIL, 5, NULL, 0);
    assert_int_equal(tg_service_call(s, &bad, LONG_NS, NULL, 0, NULL, &err), TG_E_TASK_FAILED);
    assert_non_null(strstr(err.text, "code 5"));
    end_service(s);
}

static void a_call_that_is_not_answered_in_time_gives_up_and_its_answer_is_dropped(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct tg_service_message slow = message(TG_SERVICE_SPIN, 100000, NULL, 0), echo = message(TG_SERVICE_ECHO, 0, "x", 1);
    struct tg_service_answer answer;
    char got;
    assert_int_equal(tg_service_call(s, &slow, SECOND / 100, NULL, 0, NULL, &err), TG_E_NO_ANSWER);
    assert_non_null(strstr(err.text, "message 0"));
    must(tg_service_call(s, &echo, LONG_NS, &got, 1, NULL, &err));
    assert_int_equal(tg_service_receive(s, SECOND / 4, &answer, &got, 1, &err), TG_E_NO_ANSWER);
    struct tg_service_metrics m = metrics_of(s);
    assert_int_equal(m.n_timeouts, 1);
    assert_int_equal(m.n_dropped, 1);
    assert_int_equal(m.n_in_flight, 0);
    end_service(s);
}

/* ---- Ending -------------------------------------------------------------------------------*/

static void a_busy_service_answers_all_it_has_before_it_terminates(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    struct tg_service *s = active_service(&o);
    struct tg_service_message spin = message(TG_SERVICE_SPIN, 20000, NULL, 0), echo = message(TG_SERVICE_ECHO, 0, NULL, 0);
    struct tg_service_answer answer;
    uint64_t seen = 0;
    for (int i = 0; i < 8; i++) /* more that take long than there are workers for */
        must(tg_service_send(s, i % 4 == 3 ? &echo : &spin, NULL, &err));
    assert_int_equal(tg_service_terminate(s, 1000000, &err), TG_E_NO_ANSWER);
    assert_int_equal(status_of(s).state, TG_SERVICE_TERMINATING);
    assert_int_equal(tg_service_send(s, &echo, NULL, &err), TG_E_STATE);
    must(tg_service_terminate(s, LONG_NS, &err));
    for (int i = 0; i < 8; i++) {
        must(tg_service_receive(s, 0, &answer, NULL, 0, &err));
        assert_int_equal(answer.status, 0);
        seen |= 1u << answer.ticket;
    }
    assert_int_equal(seen, 255);
    assert_int_equal(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err), TG_E_NO_ANSWER); /* at once */
    tg_service_destroy(s);
    service_standin_check();
}

static void destroying_an_active_service_ends_what_it_is_at(void **state)
{
    (void)state;
    struct tg_service_options o = small_options(3);
    for (int round = 0; round < 5; round++) {
        struct tg_service *s = active_service(&o);
        struct tg_service_message spin = message(TG_SERVICE_SPIN, 100000000, NULL, 0), echo = message(TG_SERVICE_ECHO, 0, "abc", 3);
        uint64_t since = tgi_service_now_ns();
        for (int i = 0; i < 8; i++)
            must(tg_service_send(s, i < round ? &spin : &echo, NULL, &err));
        sleep_ms(round);
        tg_service_destroy(s);
        assert_true(tgi_service_now_ns() - since < 60 * SECOND); /* not the hundred that they would take */
        service_standin_check();
    }
    tg_service_destroy(NULL);
}

/* ---- Instances ----------------------------------------------------------------------------*/

/* Task 0 takes the input, task 1 is what goes wrong, task 2 mixes both; on two blocks. */
static struct tg_service *program_service(uint8_t op, uint64_t argument, uint64_t limit_ns, struct resident_dag *d)
{
    static const uint32_t output = 2, worker_of[] = {0, 1, 2};
    struct tgi_resident_shape shape = {2, 2, 64u << 10, TGI_RESIDENT_WARP};
    struct tgi_resident_program *p;
    struct tg_service_options o = small_options(2);
    struct tg_service *s;
    resident_dag_init(d, 3, TGI_RESIDENT_HASH);
    d->arg = calloc(3, sizeof *d->arg);
    d->op[0] = TGI_RESIDENT_INPUT;
    d->op[1] = op;
    d->arg[1] = argument;
    resident_dag_edge(d, 0, 2);
    resident_dag_edge(d, 1, 2);
    resident_dag_close(d);
    must(tgi_resident_build(&d->dag, &shape, worker_of, &p, &err));
    o.limit_ns = limit_ns;
    must(tgi_service_create(&o, &ONE_PROGRAM(p, 1, 1, &output), &s, &err));
    tgi_resident_program_destroy(p);
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    return s;
}

static void an_instance_that_fails_leaves_the_next_ones_alone(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_service *s = program_service(TGI_RESIDENT_FAIL, 77, LONG_NS, &d);
    struct tg_service_message echo = message(TG_SERVICE_ECHO, 0, "abc", 3);
    uint64_t input = 5, output;
    char got[3];
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tg_service_run(s, INPUTS(&input), LONG_NS, &output, &err), TG_E_TASK_FAILED);
        assert_non_null(strstr(err.text, "code 77"));
        must(tg_service_call(s, &echo, LONG_NS, got, 3, NULL, &err));
    }
    struct tg_service_status status = status_of(s);
    assert_int_equal(status.panic.kind, 2);
    assert_int_equal(status.panic.task, 1);
    assert_int_equal(metrics_of(s).n_launches, 1);
    resident_dag_fini(&d);
    end_service(s);
}

/* While a long task of the same instance is still at work. */
static void a_panic_reaches_the_host_before_its_instance_ends(void **state)
{
    (void)state;
    static const uint32_t worker_of[] = {0, 2};
    struct tgi_resident_shape shape = {2, 2, 64u << 10, TGI_RESIDENT_WARP};
    struct tgi_resident_program *p;
    struct tg_service_options o = small_options(2);
    struct tg_service *s;
    struct tg_service_answer answer;
    struct resident_dag d;
    resident_dag_init(&d, 2, TGI_RESIDENT_SPIN);
    d.arg = calloc(2, sizeof *d.arg);
    d.arg[0] = 2 * SECOND;
    d.op[1] = TGI_RESIDENT_FAIL;
    d.arg[1] = 9;
    resident_dag_close(&d);
    must(tgi_resident_build(&d.dag, &shape, worker_of, &p, &err));
    must(tgi_service_create(&o, &ONE_PROGRAM(p, 0, 0, NULL), &s, &err));
    tgi_resident_program_destroy(p);
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    must(tg_service_submit(s, INPUTS(NULL), NULL, &err));
    while (status_of(s).panic.kind == 0)
        sleep_ms(1);
    assert_int_equal(status_of(s).panic.task, 1);
    assert_int_equal(status_of(s).panic.code, 9);
    assert_int_equal(tg_service_receive(s, 0, &answer, NULL, 0, &err), TG_E_NO_ANSWER);
    must(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err));
    assert_int_equal(answer.status, TG_E_TASK_FAILED);
    resident_dag_fini(&d);
    end_service(s);
}

static void a_stuck_instance_ends_alone_and_the_kernel_comes_back(void **state)
{
    (void)state;
    struct resident_dag d;
    struct tg_service *s = program_service(TGI_RESIDENT_SPIN, 60 * SECOND, SECOND / 20, &d);
    struct tg_service_message echo = message(TG_SERVICE_ECHO, 0, "abc", 3);
    struct tg_service_answer answer;
    uint64_t input = 5, output;
    for (uint64_t round = 1; round <= 3; round++) {
        must(tg_service_submit(s, INPUTS(&input), NULL, &err));
        must(tg_service_send(s, &echo, NULL, &err));
        for (int i = 0; i < 2; i++) {
            must(tg_service_receive(s, LONG_NS, &answer, &output, sizeof output, &err));
            assert_int_equal(answer.status, answer.ticket % 2 ? 0 : TG_E_TASK_TIMEOUT);
        }
    }
    must(tg_service_submit(s, INPUTS(&input), NULL, &err));
    must(tg_service_receive(s, LONG_NS, &answer, &output, sizeof output, &err));
    assert_int_equal(answer.status, TG_E_TASK_TIMEOUT);
    struct tg_service_status status = status_of(s);
    assert_int_equal(status.panic.kind, 1);
    assert_int_equal(status.panic.task, 2);
    assert_int_equal(status.state, TG_SERVICE_ACTIVE);
    assert_true(metrics_of(s).n_launches >= 4);
    resident_dag_fini(&d);
    end_service(s);
}

/* ---- The driver ---------------------------------------------------------------------------*/

static int whole_life(void)
{
    struct tg_service_options o = small_options(2);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, "abc", 3);
    struct tg_service *s;
    char got[3];
    int rc = tg_service_create(&o, &s, &err);
    if (rc)
        return rc;
    rc = tg_service_launch(s, &err);
    if (rc == 0)
        rc = tg_service_activate(s, &err);
    if (rc == 0)
        rc = tg_service_call(s, &m, LONG_NS, got, 3, NULL, &err);
    if (rc == 0)
        rc = tg_service_terminate(s, LONG_NS, &err);
    if (rc && rc != TG_E_STATE) { /* the first error is told again */
        struct tg_error again;
        assert_int_equal(tg_service_send(s, &m, NULL, &again), rc);
        assert_string_equal(again.text, err.text);
        assert_int_equal(status_of(s).state, TG_SERVICE_TERMINATED);
    }
    tg_service_destroy(s);
    return rc;
}

static void each_call_of_the_driver_that_fails_is_told_and_nothing_is_left(void **state)
{
    (void)state;
    NEEDS_STANDIN();
    static const char *const calls[] = {"cuInit", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent", "cuMemHostAlloc", "cuModuleLoadData",
                                        "cuModuleGetFunction", "cuFuncSetAttribute", "cuStreamCreateWithPriority", "cuMemAlloc",
                                        "cuMemsetD8Async", "cuLaunchCooperativeKernel", "cuStreamQuery"};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (uint64_t nth = 1;; nth++) {
            service_standin_reset(seed + nth);
            standin.standin_fail(calls[i], nth, CUDA_ERROR_UNKNOWN, STANDIN_ONCE);
            int rc = whole_life();
            uint64_t n_hits = standin.standin_fail_hits();
            service_standin_check();
            if (n_hits == 0 || nth > 20) {
                assert_true(nth > 1);
                assert_int_equal(n_hits ? 0 : rc, 0);
                break;
            }
            assert_true(rc < 0 || strcmp(calls[i], "cuCtxPushCurrent") == 0 || strcmp(calls[i], "cuStreamQuery") == 0);
            if (rc)
                assert_non_null(strstr(err.text, "CUDA_ERROR_UNKNOWN"));
        }
}

static void a_launch_whose_kernel_does_not_begin_can_be_tried_again(void **state)
{
    (void)state;
    NEEDS_STANDIN();
    struct tg_service_options o = small_options(2);
    struct tg_service_message m = message(TG_SERVICE_ECHO, 0, "x", 1);
    struct tg_service *s;
    char got;
    int rc;
    must(tg_service_create(&o, &s, &err));
    standin.standin_hold("tgk_service", true);
    assert_int_equal(tg_service_launch(s, &err), TG_E_NO_ANSWER);
    assert_non_null(strstr(err.text, "have not begun within 10 s"));
    assert_int_equal(tg_service_launch(s, &err), TG_E_NO_ANSWER);
    assert_int_equal(status_of(s).state, TG_SERVICE_CREATED);
    standin.standin_hold("tgk_service", false);
    while ((rc = tg_service_launch(s, &err)) == TG_E_NO_ANSWER) /* the first has to come and go */
        sleep_ms(1);
    must(rc);
    must(tg_service_activate(s, &err));
    must(tg_service_call(s, &m, LONG_NS, &got, 1, NULL, &err));
    end_service(s);
}

static void a_lost_device_ends_the_service_and_says_why_ever_after(void **state)
{
    (void)state;
    NEEDS_STANDIN();
    struct tg_service_options o = small_options(2);
    struct tg_service *s = active_service(&o);
    struct tg_service_message slow = message(TG_SERVICE_SPIN, 300000, NULL, 0);
    struct tg_service_answer answer;
    standin.standin_fail("cuStreamQuery", 3, CUDA_ERROR_ILLEGAL_ADDRESS, STANDIN_STICKY);
    assert_int_equal(tg_service_call(s, &slow, LONG_NS, NULL, 0, NULL, &err), TG_E_TASK_FAILED);
    assert_non_null(strstr(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
    assert_int_equal(status_of(s).state, TG_SERVICE_TERMINATED);
    err.text[0] = '\0';
    assert_int_equal(tg_service_receive(s, LONG_NS, &answer, NULL, 0, &err), TG_E_TASK_FAILED);
    assert_non_null(strstr(err.text, "CUDA_ERROR_ILLEGAL_ADDRESS"));
    assert_int_equal(tg_service_terminate(s, LONG_NS, &err), TG_E_TASK_FAILED);
    while (standin.standin_staying()) /* a kernel of threads does not end with its device, but because it is told to */
        sleep_ms(1);
    tg_service_destroy(s);
}

static void mixed_load_loses_doubles_and_spoils_nothing(void **state)
{
    (void)state;
    static struct soak s;
    uint64_t n_cancelled = 0, n_failed = 0, n_instances = 0;
    for (uint64_t round = 0; round < 4; round++) {
        struct tg_service_options o = small_options(3);
        struct tg_service_metrics m;
        service_standin_reset(seed + round);
        if (!service_soak(&s, o, 3, seed + round, SECOND / 2, &m))
            fail_msg("%s", s.text);
        n_cancelled += m.n_cancelled;
        n_failed += m.n_failed;
        n_instances += m.n_instances;
        service_standin_check();
    }
    assert_true(n_cancelled > 0 && n_failed > 0 && n_instances > n_cancelled);
}

int main(void)
{
    if (!service_standin_load())
        return 1;
    seed = test_seed(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_body_that_fails_fails_its_message_alone, begin),
        cmocka_unit_test_setup(a_call_that_is_not_answered_in_time_gives_up_and_its_answer_is_dropped, begin),
        cmocka_unit_test_setup(a_busy_service_answers_all_it_has_before_it_terminates, begin),
        cmocka_unit_test_setup(destroying_an_active_service_ends_what_it_is_at, begin),
        cmocka_unit_test_setup(an_instance_that_fails_leaves_the_next_ones_alone, begin),
        cmocka_unit_test_setup(a_panic_reaches_the_host_before_its_instance_ends, begin),
        cmocka_unit_test_setup(a_stuck_instance_ends_alone_and_the_kernel_comes_back, begin),
        cmocka_unit_test_setup(each_call_of_the_driver_that_fails_is_told_and_nothing_is_left, begin),
        cmocka_unit_test_setup(mixed_load_loses_doubles_and_spoils_nothing, begin),
        cmocka_unit_test_setup(a_launch_whose_kernel_does_not_begin_can_be_tried_again, begin),
        cmocka_unit_test_setup(a_lost_device_ends_the_service_and_says_why_ever_after, begin),
    };
    int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    service_standin_end_if_left();
    return n_failed;
}
