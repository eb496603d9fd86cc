/* Order on the stand-in driver: all that the driver allows and no other, host functions, and calls of several threads at once. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "tests/standin_devices.h"

/* ---- Order --------------------------------------------------------------------------------*/

static void nothing_runs_before_it_is_demanded(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES);
    int *host;
    OK(cu->cuMemAllocHost((void **)&host, BYTES));
    host[0] = 7;
    OK(set(a, p, N, 5));
    OK(cu->cuMemcpyDtoHAsync(host, p, BYTES, a));
    assert_int_equal(standin.standin_pending(), 2);
    assert_int_equal(host[0], 7);
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(host[0], 5);
    assert_int_equal(host[N - 1], 5);
    assert_int_equal(standin.standin_pending(), 0);
    OK(cu->cuMemFreeHost(host));
    OK(cu->cuMemFree(p));
    close_devices(1);
}

/* Writes on one stream, copies on another; what arrives. */
static int handed_over(uint64_t seed, bool is_waiting, bool is_skipping)
{
    open_devices(1, seed);
    CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES);
    CUevent e;
    OK(cu->cuMemsetD32Async(p, 3, N, a));
    OK(cu->cuStreamSynchronize(a));
    OK(cu->cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
    OK(set(a, p, N, 4));
    OK(cu->cuEventRecord(e, a));
    if (is_skipping)
        standin.standin_fail("cuStreamWaitEvent", 1, 0, STANDIN_SKIP);
    if (is_waiting)
        OK(cu->cuStreamWaitEvent(b, e, 0));
    OK(copy(b, q, p, N));
    OK(cu->cuStreamSynchronize(b));
    int value = first_of(q);
    OK(cu->cuCtxSynchronize());
    OK(cu->cuEventDestroy(e));
    OK(cu->cuMemFree(p));
    OK(cu->cuMemFree(q));
    close_devices(1);
    return value;
}

static void a_missing_wait_is_noticed_and_a_wait_is_kept(void **state)
{
    (void)state;
    int n_missing = 0, n_skipped = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        assert_int_equal(handed_over(seed, true, false), 4);
        n_missing += handed_over(seed, false, false) != 4;
        n_skipped += handed_over(seed, true, true) != 4;
    }
    assert_true(n_missing >= N_SEEDS / 4);
    assert_true(n_missing < N_SEEDS); /* the other order is possible too */
    assert_true(n_skipped >= N_SEEDS / 4);
}

static void streams_keep_their_order_and_interleave(void **state)
{
    (void)state;
    enum { EACH = 3 };
    bool is_seen[64] = {false};
    int n_seen = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        unsigned pattern = 0;
        int next[2] = {0, EACH};
        open_devices(1, seed);
        for (int i = 0; i < EACH; i++) {
            OK(tell(a, i));
            OK(tell(b, EACH + i));
        }
        OK(cu->cuCtxSynchronize());
        assert_int_equal(n_trace, 2 * EACH);
        for (int i = 0; i < 2 * EACH; i++) {
            int which = trace[i] >= EACH;
            assert_int_equal(trace[i], next[which]++);
            pattern = 2 * pattern + (unsigned)which;
        }
        n_seen += !is_seen[pattern];
        is_seen[pattern] = true;
        close_devices(1);
    }
    assert_true(n_seen >= 15); /* of the 20 that there are */
}

static void one_seed_gives_one_order(void **state)
{
    (void)state;
    int first[64], n_different = 0;
    for (uint64_t seed = 1; seed <= 10; seed++)
        for (int again = 0; again < 2; again++) {
            open_devices(1, seed);
            for (int i = 0; i < 64; i++)
                OK(tell(i % 3 ? a : b, i));
            OK(cu->cuCtxSynchronize());
            assert_int_equal(n_trace, 64);
            if (again)
                assert_memory_equal(first, trace, sizeof first);
            else if (seed > 1)
                n_different += memcmp(first, trace, sizeof first) != 0;
            memcpy(first, trace, sizeof first);
            close_devices(1);
        }
    assert_true(n_different > 5);
}

static void the_legacy_stream_orders_blocking_streams_only(void **state)
{
    (void)state;
    int n_overtaken = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        CUstream blocking;
        open_devices(1, seed);
        OK(cu->cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
        OK(tell(blocking, 1));
        OK(tell(NULL, 2));
        OK(tell(blocking, 3));
        OK(tell(a, 9));
        OK(cu->cuStreamDestroy(blocking)); /* what is queued stays in order */
        OK(tell(CU_STREAM_LEGACY, 4));
        OK(cu->cuCtxSynchronize());
        int expected = 1;
        for (int i = 0; i < 5; i++)
            if (trace[i] != 9)
                assert_int_equal(trace[i], expected++);
            else
                n_overtaken += i != 4;
        close_devices(1);
    }
    assert_true(n_overtaken > N_SEEDS / 4);
}

static void polling_comes_to_an_end(void **state)
{
    (void)state;
    int n_not_ready = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CUevent e, begin;
        float ms = -1;
        CUresult rc;
        open_devices(1, seed);
        OK(cu->cuEventCreate(&e, CU_EVENT_DEFAULT));
        OK(cu->cuEventCreate(&begin, CU_EVENT_DEFAULT));
        OK(cu->cuEventQuery(e)); /* never recorded */
        OK(cu->cuEventRecord(begin, a));
        for (int i = 0; i < 10; i++)
            OK(tell(a, i));
        OK(cu->cuEventRecord(e, a));
        IS(cu->cuEventElapsedTime(&ms, begin, e), NOT_READY);
        int n_polls = 0;
        while ((rc = cu->cuEventQuery(e)) == CUDA_ERROR_NOT_READY && n_polls++ < 1000)
            n_not_ready++;
        OK(rc);
        assert_int_equal(n_trace, 10);
        OK(cu->cuEventElapsedTime(&ms, begin, e));
        assert_true(ms > 0 && ms < 10);
        OK(cu->cuStreamQuery(a));
        OK(cu->cuEventDestroy(e));
        OK(cu->cuEventDestroy(begin));
        close_devices(1);
    }
    assert_true(n_not_ready >= 20);
}

static void a_held_kernel_never_ends_until_it_may(void **state)
{
    (void)state;
    CUevent e;
    open_devices(1, 3);
    OK(cu->cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
    standin.standin_hold("trace", true);
    OK(tell(a, 1));
    OK(cu->cuEventRecord(e, a));
    for (int i = 0; i < 200; i++)
        IS(cu->cuEventQuery(e), NOT_READY);
    standin.standin_hold("trace", false);
    OK(cu->cuEventSynchronize(e));
    assert_int_equal(n_trace, 1);
    OK(cu->cuEventDestroy(e));
    close_devices(1);
}

/* ---- Kernels that stay --------------------------------------------------------------------*/

static CUresult launch_staying(int result)
{
    CUfunction f;
    atomic_store(&may_leave, false);
    OK(cu->cuModuleGetFunction(&f, module[0], "stay"));
    return launch(f, a, (void *[]){&result});
}

static void a_kernel_that_stays_holds_its_stream_alone_and_memory_is_not_freed_meanwhile(void **state)
{
    (void)state;
    CUdeviceptr p;
    open_devices(1, 5);
    OK(cu->cuMemAlloc(&p, 64));
    OK(launch_staying(0));
    OK(tell(a, 1)); /* behind it */
    while (standin.standin_staying() == 0)
        IS(cu->cuStreamQuery(a), NOT_READY);
    OK(tell(b, 2));
    OK(cu->cuStreamSynchronize(b));
    IS(cu->cuStreamQuery(a), NOT_READY);
    assert_int_equal(n_trace, 1);
    assert_int_equal(trace[0], 2);
    assert_int_equal(standin.standin_violations(NULL, 0), 0);
    OK(cu->cuMemFree(p));
    assert_int_equal(standin.standin_violations(NULL, 0), 1);
    atomic_store(&may_leave, true);
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(n_trace, 2);
    assert_int_equal(standin.standin_staying(), 0);
}

static void a_kernel_that_stayed_can_fail(void **state)
{
    (void)state;
    open_devices(1, 6);
    OK(launch_staying(CUDA_ERROR_ILLEGAL_ADDRESS));
    while (standin.standin_staying() == 0)
        IS(cu->cuStreamQuery(a), NOT_READY);
    atomic_store(&may_leave, true);
    IS(cu->cuStreamSynchronize(a), ILLEGAL_ADDRESS);
    IS(cu->cuStreamQuery(b), ILLEGAL_ADDRESS);
}

/* ---- Host functions -----------------------------------------------------------------------*/

static void host_functions_run_without_a_demand_and_may_not_call_the_driver(void **state)
{
    (void)state;
    open_devices(1, 1);
    atomic_store(&n_called, 0);
    OK(tell(a, 1));
    OK(cu->cuLaunchHostFunc(a, called, NULL));
    OK(tell(a, 2));
    for (int i = 0; i < 5000 && atomic_load(&n_called) == 0; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&n_called), 1);
    assert_int_equal(atomic_load(&called_result), CUDA_ERROR_NOT_PERMITTED);
    OK(cu->cuLaunchHostFunc(a, called, NULL));
    OK(cu->cuStreamSynchronize(a)); /* waits for it */
    assert_int_equal(atomic_load(&n_called), 2);
    assert_int_equal(n_trace, 2);
    seen("a host function called cuMemAlloc_v2");
    OK(cu->cuStreamDestroy(a));
    OK(cu->cuStreamDestroy(b));
}


/* ---- Threads ------------------------------------------------------------------------------*/

static void *work(void *failed_p)
{
    int *failed = failed_p, *pinned;
    CUstream s;
    CUevent e;
    CUdeviceptr p;
    *failed = 1;
    if (cu->cuCtxSetCurrent(ctx[0]) || cu->cuStreamCreate(&s, CU_STREAM_NON_BLOCKING) ||
        cu->cuEventCreate(&e, 0) || cu->cuMemAlloc(&p, BYTES) || cu->cuMemAllocHost((void **)&pinned, BYTES))
        return NULL;
    for (int i = 0; i < 30; i++) {
        if (set(s, p, N, i) || cu->cuMemcpyDtoHAsync(pinned, p, BYTES, s) || cu->cuEventRecord(e, s))
            return NULL;
        if (i % 2) {
            if (cu->cuEventSynchronize(e))
                return NULL;
        } else {
            CUresult rc;
            while ((rc = cu->cuEventQuery(e)) == CUDA_ERROR_NOT_READY)
                continue;
            if (rc != CUDA_SUCCESS)
                return NULL;
        }
        if (pinned[0] != i || pinned[N - 1] != i || cu->cuLaunchHostFunc(s, called, NULL))
            return NULL;
    }
    if (cu->cuStreamSynchronize(s) || cu->cuStreamDestroy(s) || cu->cuEventDestroy(e) || cu->cuMemFree(p) ||
        cu->cuMemFreeHost(pinned))
        return NULL;
    *failed = 0;
    return NULL;
}

static void threads_may_call_at_once(void **state)
{
    (void)state;
    pthread_t thread[4];
    int failed[4];
    char text[256];
    open_devices(1, 5);
    atomic_store(&n_called, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, &failed[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(failed[i], 0);
    }
    assert_int_equal(atomic_load(&n_called), 120);
    OK(cu->cuStreamDestroy(a));
    OK(cu->cuStreamDestroy(b));
    OK(cu->cuModuleUnload(module[0]));
    OK(cu->cuDevicePrimaryCtxRelease(0));
    assert_int_equal(standin.standin_leaks(text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_runs_before_it_is_demanded),
        cmocka_unit_test(a_missing_wait_is_noticed_and_a_wait_is_kept),
        cmocka_unit_test(streams_keep_their_order_and_interleave),
        cmocka_unit_test(one_seed_gives_one_order),
        cmocka_unit_test(the_legacy_stream_orders_blocking_streams_only),
        cmocka_unit_test(polling_comes_to_an_end),
        cmocka_unit_test(a_held_kernel_never_ends_until_it_may),
        cmocka_unit_test(a_kernel_that_stays_holds_its_stream_alone_and_memory_is_not_freed_meanwhile),
        cmocka_unit_test(a_kernel_that_stayed_can_fail),
        cmocka_unit_test(host_functions_run_without_a_demand_and_may_not_call_the_driver),
        cmocka_unit_test(threads_may_call_at_once),
    };
    return cmocka_run_group_tests(tests, load_standin, unload_standin);
}
