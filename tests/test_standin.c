/* The stand-in driver itself: that it allows every order the driver allows and no other, that it sees
 * misuse, that calls fail on demand, and that it knows what is left over. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "gpu/driver.h"
#include "tests/standin/standin.h"

#define OK(call)        assert_int_equal(call, CUDA_SUCCESS)
#define IS(call, code)  assert_int_equal(call, CUDA_ERROR_##code)
#define HAS(text, part) assert_non_null(strstr(text, part))

enum { MAX_DEVICES = 4, N_SEEDS = 100, N = 64, BYTES = N * 4 };

static struct standin standin;
static char path[4200];
static const struct tgi_cuda_api *cu;
static CUcontext ctx[MAX_DEVICES];
static CUmodule module[MAX_DEVICES];
static CUfunction f_set[MAX_DEVICES], f_copy[MAX_DEVICES], f_trace[MAX_DEVICES], f_count[MAX_DEVICES],
    f_fail[MAX_DEVICES], f_indirect[MAX_DEVICES];
static CUstream a, b;

/* ---- Kernels ------------------------------------------------------------------------------*/

static int trace[4096];
static int n_trace; /* written by kernels under the stand-in's lock, read after a synchronisation */

static int kernel_set(void **args, const void *launch) /* to, n, value */
{
    (void)launch;
    int *to = *(int **)args[0], n = *(int *)args[1], value = *(int *)args[2];
    for (int i = 0; i < n; i++)
        to[i] = value;
    return 0;
}
static int kernel_copy(void **args, const void *launch) /* to, from, n */
{
    (void)launch;
    memmove(*(void **)args[0], *(void **)args[1], (size_t) * (int *)args[2] * 4);
    return 0;
}
static int kernel_trace(void **args, const void *launch)
{
    (void)launch;
    trace[n_trace++ % 4096] = *(int *)args[0];
    return 0;
}
static int kernel_count(void **args,
                        const void *launch) /* counter, handle: counts down, and says whether to go on */
{
    int *counter = *(int **)args[0];
    --*counter;
    standin.standin_set_conditional(launch, *(CUgraphConditionalHandle *)args[1], *counter > 0);
    return 0;
}
static int kernel_fail(void **args, const void *launch)
{
    (void)launch;
    return *(int *)args[0];
}
static int kernel_indirect(void **args, const void *launch) /* a pointer that is not declared as one */
{
    int *p = standin.standin_at(launch, *(CUdeviceptr *)args[0], 4, STANDIN_INOUT);
    if (p)
        *p += 1;
    return 0;
}

static atomic_bool may_leave;
static int stay(void *user)
{
    while (!atomic_load(&may_leave))
        sched_yield();
    return *(int *)user;
}
static int stay_result;
static int kernel_stay(void **args, const void *launch)
{
    stay_result = *(int *)args[0];
    standin.standin_stay(launch, stay, &stay_result);
    return 0;
}

static size_t extent(void **args, unsigned param, void *user)
{
    (void)param;
    return (size_t) * (int *)args[(size_t)(uintptr_t)user] * 4;
}
static size_t extent_counter(void **args, unsigned param, void *user)
{
    (void)args, (void)param, (void)user;
    return 4;
}

static void register_kernels(void)
{
    static const struct standin_param set[] = {{8, STANDIN_OUT}, {4, STANDIN_VALUE}, {4, STANDIN_VALUE}};
    static const struct standin_param copy[] = {{8, STANDIN_OUT}, {8, STANDIN_IN}, {4, STANDIN_VALUE}};
    static const struct standin_param number[] = {{4, STANDIN_VALUE}};
    static const struct standin_param count[] = {{8, STANDIN_INOUT}, {8, STANDIN_VALUE}};
    static const struct standin_param address[] = {{8, STANDIN_VALUE}};
    const struct standin_kernel kernels[] = {
        {"set", kernel_set, 3, set, extent, (void *)1},
        {"copy", kernel_copy, 3, copy, extent, (void *)2},
        {"trace", kernel_trace, 1, number, NULL, NULL},
        {"count", kernel_count, 2, count, extent_counter, NULL},
        {"fail", kernel_fail, 1, number, NULL, NULL},
        {"indirect", kernel_indirect, 1, address, NULL, NULL},
        {"stay", kernel_stay, 1, number, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        assert_int_equal(standin.standin_register_kernel(&kernels[i]), 0);
}

static const char image[] =
    "standin 1\n# the kernels above\nkernel set registers=16\nkernel copy\nkernel trace threads=256\n"
    "kernel count\nkernel fail\nkernel indirect shared=1024\nkernel unregistered\nkernel stay\nglobal table 256\n";

/* ---- Setting up ---------------------------------------------------------------------------*/

static void open_devices(int n, uint64_t seed)
{
    struct standin_options o = {n, 4u << 20, seed, true};
    standin.standin_reset(&o);
    OK(cu->cuInit(0));
    for (int d = n - 1; d >= 0; d--) { /* device 0 stays current */
        OK(cu->cuDevicePrimaryCtxRetain(&ctx[d], d));
        OK(cu->cuCtxSetCurrent(ctx[d]));
        OK(cu->cuModuleLoadData(&module[d], image));
        OK(cu->cuModuleGetFunction(&f_set[d], module[d], "set"));
        OK(cu->cuModuleGetFunction(&f_copy[d], module[d], "copy"));
        OK(cu->cuModuleGetFunction(&f_trace[d], module[d], "trace"));
        OK(cu->cuModuleGetFunction(&f_count[d], module[d], "count"));
        OK(cu->cuModuleGetFunction(&f_fail[d], module[d], "fail"));
        OK(cu->cuModuleGetFunction(&f_indirect[d], module[d], "indirect"));
    }
    OK(cu->cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
    OK(cu->cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
    n_trace = 0;
}

/* Nothing may be left, and nothing may have been seen. */
static void close_devices(int n)
{
    char text[4096];
    OK(cu->cuStreamDestroy(a));
    OK(cu->cuStreamDestroy(b));
    for (int d = 0; d < n; d++) {
        OK(cu->cuModuleUnload(module[d]));
        OK(cu->cuDevicePrimaryCtxRelease(d));
    }
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seen: %s", text);
    assert_int_equal(standin.standin_pending(), 0);
}

static CUresult launch(CUfunction f, CUstream stream, void **args)
{
    return cu->cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, stream, args, NULL);
}
static CUresult set(CUstream stream, CUdeviceptr to, int n, int value)
{
    return launch(f_set[0], stream, (void *[]){&to, &n, &value});
}
static CUresult copy(CUstream stream, CUdeviceptr to, CUdeviceptr from, int n)
{
    return launch(f_copy[0], stream, (void *[]){&to, &from, &n});
}
static CUresult tell(CUstream stream, int id) { return launch(f_trace[0], stream, (void *[]){&id}); }

static CUdeviceptr device_memory(size_t bytes)
{
    CUdeviceptr p = 0;
    OK(cu->cuMemAlloc(&p, bytes));
    assert_true(p != 0);
    return p;
}

static int first_of(CUdeviceptr p)
{
    int value = 0;
    OK(cu->cuMemcpyDtoH(&value, p, sizeof value));
    return value;
}

static void seen(const char *part)
{
    char text[4096];
    assert_true(standin.standin_violations(text, sizeof text) > 0);
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

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

static atomic_int n_called, called_result;
static void called(void *user)
{
    CUdeviceptr p;
    (void)user;
    atomic_store(&called_result, (int)cu->cuMemAlloc(&p, 64));
    atomic_fetch_add(&n_called, 1);
}

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

/* ---- Memory -------------------------------------------------------------------------------*/

static void device_memory_is_out_of_the_hosts_reach(void **state)
{
    (void)state;
    int fd[2];
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], (void *)(uintptr_t)p, 1),
                     -1); /* the kernel's EFAULT instead of our SIGSEGV */
    close(fd[0]);
    close(fd[1]);
    OK(cu->cuMemFree(p));
    close_devices(1);
}

static void bytes_that_nobody_wrote_are_poison_and_noticed(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES);
    unsigned char host[BYTES];
    OK(cu->cuMemsetD8Async(p, 0, BYTES - 1, NULL));
    OK(cu->cuMemcpyDtoH(host, p, BYTES - 1));
    assert_int_equal(standin.standin_violations(NULL, 0), 0);
    OK(cu->cuMemcpyDtoDAsync(q, p, BYTES, NULL)); /* moving them on the device is no offence.. */
    OK(cu->cuCtxSynchronize());
    assert_int_equal(standin.standin_violations(NULL, 0), 0);
    OK(cu->cuMemcpyDtoH(host, q, BYTES)); /* ..but they stay what they are */
    assert_int_equal(host[BYTES - 1], 0xff);
    assert_int_equal(standin.standin_violations(NULL, 0), 1);
    seen("nobody has written");
    OK(copy(a, p, q, N)); /* a kernel that says it reads them */
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(standin.standin_violations(NULL, 0), 2);
    seen("parameter 1 of kernel copy");
    OK(cu->cuMemcpyDtoH(host, p, BYTES)); /* it said it writes everything */
    assert_int_equal(standin.standin_violations(NULL, 0), 2);
}

static void offends(void (*act)(CUdeviceptr p, CUdeviceptr other), const char *part)
{
    CUdeviceptr unused;
    open_devices(2, 1);
    CUdeviceptr p = device_memory(BYTES), other;
    OK(cu->cuCtxSetCurrent(ctx[1]));
    other = device_memory(BYTES);
    OK(cu->cuCtxSetCurrent(ctx[0]));
    act(p, other);
    IS(cu->cuCtxSynchronize(), ILLEGAL_ADDRESS);
    seen(part);
    IS(cu->cuMemAlloc(&unused, 64), ILLEGAL_ADDRESS); /* the process is done with the driver */
    IS(cu->cuStreamQuery(b), ILLEGAL_ADDRESS);
    IS(cu->cuMemFree(p) == CUDA_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS, ILLEGAL_ADDRESS);
    assert_int_equal(standin.standin_pending(), 0);
}

static void act_beyond(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(set(a, p, N + 1, 1));
}
static void act_before(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(set(a, p - 4, 1, 1));
}
static void act_freed(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    CUdeviceptr q = device_memory(64);
    OK(cu->cuMemFree(q));
    (void)device_memory(64); /* does not get the same address at once */
    OK(set(a, q, 1, 1));
    (void)p;
}
static void act_free_while_queued(CUdeviceptr p, CUdeviceptr other)
{
    (void)p, (void)other;
    CUdeviceptr q = device_memory(64);
    OK(set(a, q, 1, 1));
    OK(cu->cuMemFree(q));
}
static void act_elsewhere(CUdeviceptr p, CUdeviceptr other)
{
    (void)p;
    OK(set(a, other, 1, 1));
}
static void act_host(CUdeviceptr p, CUdeviceptr other)
{
    static int host;
    (void)p, (void)other;
    OK(set(a, (CUdeviceptr)(uintptr_t)&host, 1, 1));
}
static void act_copy_beyond(CUdeviceptr p, CUdeviceptr other)
{
    OK(cu->cuMemcpyDtoDAsync(p, other, BYTES + 1, a));
}
static void act_memset_beyond(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(cu->cuMemsetD32Async(p, 1, N + 1, a));
}
static void act_pinned_freed(CUdeviceptr p, CUdeviceptr other)
{
    void *host;
    (void)other;
    OK(cu->cuMemAllocHost(&host, BYTES));
    OK(cu->cuMemcpyHtoDAsync(p, host, BYTES, a));
    OK(cu->cuMemFreeHost(host));
}
static void act_indirect(CUdeviceptr p, CUdeviceptr other)
{
    (void)p;
    OK(launch(f_indirect[0], a, (void *[]){&other}));
}
static void act_unloaded(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(set(a, p, 1, 1));
    OK(cu->cuModuleUnload(module[0]));
}

static void stray_accesses_are_illegal_addresses(void **state)
{
    (void)state;
    offends(act_beyond, "before the end of its memory");
    offends(act_before, "nothing is allocated there");
    offends(act_freed, "nothing is allocated there");
    offends(act_free_while_queued, "nothing is allocated there");
    offends(act_elsewhere, "memory of device 1, without peer access");
    offends(act_host, "neither device memory nor pinned");
    offends(act_copy_beyond, "before the end of its memory");
    offends(act_memset_beyond, "memset of 260 bytes");
    offends(act_pinned_freed, "copy from pinned memory");
    offends(act_indirect, "an access by kernel indirect");
    offends(act_unloaded, "after its module was unloaded");
}

static void peers_reach_each_other_once_enabled(void **state)
{
    (void)state;
    open_devices(2, 1);
    CUdeviceptr p = device_memory(BYTES), other;
    OK(cu->cuCtxSetCurrent(ctx[1]));
    other = device_memory(BYTES);
    OK(cu->cuCtxSetCurrent(ctx[0]));
    OK(cu->cuMemsetD32Async(p, 11, N, a));
    OK(cu->cuMemcpyPeerAsync(other, ctx[1], p, ctx[0], BYTES, a)); /* a copy needs no access */
    IS(cu->cuMemcpyPeerAsync(other, ctx[0], p, ctx[0], BYTES, a), INVALID_VALUE);
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(first_of(other), 11);
    OK(cu->cuCtxEnablePeerAccess(ctx[1], 0));
    IS(cu->cuCtxEnablePeerAccess(ctx[1], 0), PEER_ACCESS_ALREADY_ENABLED);
    OK(set(a, other, N, 12));
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(first_of(other), 12);
    struct standin_stats stats;
    standin.standin_stats(&stats);
    assert_int_equal(stats.peer_bytes, BYTES);
    assert_int_equal(stats.d2h_bytes, 8);
    OK(cu->cuMemFree(p));
    OK(cu->cuMemFree(other));
    close_devices(2);
}

static void pageable_memory_is_taken_at_once_and_pinned_when_its_turn_comes(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES);
    int pageable[N], *pinned, registered[N];
    OK(cu->cuMemHostAlloc((void **)&pinned, BYTES, CU_MEMHOSTALLOC_PORTABLE));
    OK(cu->cuMemHostRegister(registered, BYTES, 0));
    IS(cu->cuMemHostRegister(registered + 1, 4, 0), HOST_MEMORY_ALREADY_REGISTERED);
    pageable[0] = pinned[0] = registered[0] = 1;
    OK(cu->cuMemcpyHtoDAsync(p, pageable, 4, a));
    OK(cu->cuMemcpyHtoDAsync(p + 4, pinned, 4, a));
    OK(cu->cuMemcpyAsync(p + 8, (CUdeviceptr)(uintptr_t)registered, 4, a));
    pageable[0] = pinned[0] = registered[0] = 2;
    OK(cu->cuMemcpyDtoHAsync(pageable + 1, p, 12, a)); /* to pageable memory: over when it returns */
    assert_int_equal(pageable[1], 1);
    assert_int_equal(pageable[2], 2);
    assert_int_equal(pageable[3], 2);
    IS(cu->cuMemcpyHtoDAsync(p, (void *)(uintptr_t)q, 4, a),
       INVALID_VALUE); /* a device pointer is no host pointer */
    IS(cu->cuMemcpyDtoDAsync((CUdeviceptr)(uintptr_t)pageable, p, 4, a), INVALID_VALUE);
    OK(cu->cuMemHostUnregister(registered));
    IS(cu->cuMemHostUnregister(registered), HOST_MEMORY_NOT_REGISTERED);
    OK(cu->cuMemFreeHost(pinned));
    OK(cu->cuMemFree(p));
    OK(cu->cuMemFree(q));
    close_devices(1);
}

static void copies_in_two_dimensions_move_the_rows(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(64);
    unsigned char from[16], to[16] = {0};
    for (int i = 0; i < 16; i++)
        from[i] = (unsigned char)i;
    CUDA_MEMCPY2D in = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                        .srcHost = from,
                        .srcPitch = 4,
                        .srcXInBytes = 1,
                        .srcY = 1,
                        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                        .dstDevice = p,
                        .dstPitch = 8,
                        .WidthInBytes = 2,
                        .Height = 3};
    CUDA_MEMCPY2D out = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                         .srcDevice = p,
                         .srcPitch = 8,
                         .dstMemoryType = CU_MEMORYTYPE_HOST,
                         .dstHost = to,
                         .dstPitch = 2,
                         .WidthInBytes = 2,
                         .Height = 3};
    OK(cu->cuMemcpy2DAsync(&in, a));
    OK(cu->cuMemcpy2DAsync(&out, a));
    static const unsigned char expected[] = {5, 6, 9, 10, 13, 14};
    assert_memory_equal(to, expected, sizeof expected);
    in.srcPitch = 1;
    IS(cu->cuMemcpy2DAsync(&in, a), INVALID_VALUE);
    OK(cu->cuMemFree(p));
    close_devices(1);
}

static void memory_ends_where_it_ends(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p, q;
    size_t n_free, total;
    IS(cu->cuMemAlloc(&p, 5u << 20), OUT_OF_MEMORY);
    IS(cu->cuMemAlloc(&p, 0), INVALID_VALUE);
    p = device_memory(3u << 20);
    IS(cu->cuMemAlloc(&q, 2u << 20), OUT_OF_MEMORY);
    OK(cu->cuMemGetInfo(&n_free, &total));
    assert_int_equal(total, 4u << 20);
    assert_int_equal(n_free, (1u << 20) - 256); /* the module's global */
    IS(cu->cuMemFree(p + 512), INVALID_VALUE);
    OK(cu->cuMemFree(p));
    IS(cu->cuMemFree(p), INVALID_VALUE);
    for (int i = 0; i < 100; i++) { /* addresses come round again */
        p = device_memory(3u << 20);
        OK(cu->cuMemFree(p));
    }
    close_devices(1);
}

static void memory_in_stream_order_exists_only_between_its_calls(void **state)
{
    (void)state;
    int n_early = 0, n_late = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++)
        for (int kind = 0; kind < 3; kind++) { /* right; used on another stream before; and after */
            CUdeviceptr p;
            CUevent e;
            open_devices(1, seed);
            OK(cu->cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
            OK(cu->cuMemAllocAsync(&p, 1024, a));
            OK(cu->cuEventRecord(e, a));
            if (kind != 1)
                OK(cu->cuStreamWaitEvent(b, e, 0));
            OK(set(b, p, 4, 1));
            OK(cu->cuEventRecord(e, b));
            if (kind != 2)
                OK(cu->cuStreamWaitEvent(a, e, 0));
            OK(cu->cuMemFreeAsync(p, a));
            IS(cu->cuMemFreeAsync(p, a), INVALID_VALUE);
            CUresult rc = cu->cuCtxSynchronize();
            if (kind == 0) {
                OK(rc);
                OK(cu->cuEventDestroy(e));
                close_devices(1);
            }
            n_early += kind == 1 && rc == CUDA_ERROR_ILLEGAL_ADDRESS;
            n_late += kind == 2 && rc == CUDA_ERROR_ILLEGAL_ADDRESS;
        }
    assert_true(n_early > N_SEEDS / 8);
    assert_true(n_late > N_SEEDS / 8);
}

static void pools_count_what_they_hold(void **state)
{
    (void)state;
    CUmemoryPool pool, standard;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUdeviceptr p;
    cuuint64_t used = 0;
    open_devices(1, 1);
    OK(cu->cuMemPoolCreate(&pool, &props));
    OK(cu->cuDeviceGetDefaultMemPool(&standard, 0));
    assert_true(pool != standard);
    OK(cu->cuMemAllocFromPoolAsync(&p, 1000, pool, a));
    OK(cu->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    assert_int_equal(used, 1000);
    OK(cu->cuMemFreeAsync(p, a));
    /* The only room is what a queued release will give back. */
    OK(cu->cuMemAllocAsync(&p, (4u << 20) - 512, a));
    OK(cu->cuMemFreeAsync(p, a));
    OK(cu->cuStreamSynchronize(a));
    OK(cu->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    assert_int_equal(used, 0);
    OK(cu->cuMemPoolDestroy(pool));
    IS(cu->cuMemPoolDestroy(standard), INVALID_VALUE);
    close_devices(1);
}

/* ---- Modules and launches -----------------------------------------------------------------*/

static void modules_say_what_they_have(void **state)
{
    (void)state;
    CUmodule m;
    CUfunction f;
    CUlibrary library;
    CUkernel kernel;
    CUdeviceptr p;
    size_t bytes, offset;
    int value;
    open_devices(2, 1);
    IS(cu->cuModuleLoadData(&m, "\177ELF"), INVALID_IMAGE);
    IS(cu->cuModuleLoadData(&m, "standin 1\nkernel set\nnonsense\n"), INVALID_IMAGE);
    IS(cu->cuModuleGetFunction(&f, module[0], "absent"), NOT_FOUND);
    OK(cu->cuModuleGetGlobal(&p, &bytes, module[0], "table"));
    assert_int_equal(bytes, 256);
    assert_int_equal(first_of(p), 0);
    OK(cu->cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, f_set[0]));
    assert_int_equal(value, 16);
    OK(cu->cuFuncGetParamInfo(f_set[0], 1, &offset, &bytes));
    assert_int_equal(offset, 8);
    assert_int_equal(bytes, 4);
    IS(cu->cuFuncGetParamInfo(f_set[0], 3, &offset, &bytes), INVALID_VALUE);
    OK(cu->cuLibraryLoadData(&library, image, NULL, NULL, 0, NULL, NULL, 0));
    IS(cu->cuLibraryGetKernel(&kernel, library, "tra"), NOT_FOUND);
    OK(cu->cuLibraryGetKernel(&kernel, library, "trace"));
    for (int d = 0; d < 2; d++) { /* one handle, a function on every device */
        int id = d;
        OK(cu->cuCtxSetCurrent(ctx[d]));
        OK(cu->cuKernelGetFunction(&f, kernel));
        OK(launch(f, NULL, (void *[]){&id}));
        OK(cu->cuCtxSynchronize());
        assert_int_equal(trace[d], d);
    }
    OK(cu->cuCtxSetCurrent(ctx[0]));
    OK(cu->cuLibraryUnload(library));
    IS(cu->cuLibraryUnload(library), INVALID_HANDLE);
    close_devices(2);
    open_devices(1, 1);
    IS(cu->cuModuleGetFunction(&f, module[0], "unregistered"), NOT_FOUND);
    seen("no function is registered");
}

static void launches_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    int id = 1, n_blocks;
    void *args[] = {&id};
    open_devices(2, 1);
    IS(cu->cuLaunchKernel(f_trace[0], 0, 1, 1, 32, 1, 1, 0, a, args, NULL), INVALID_VALUE);
    IS(cu->cuLaunchKernel(f_trace[0], 1, 65536, 1, 32, 1, 1, 0, a, args, NULL), INVALID_VALUE);
    IS(cu->cuLaunchKernel(f_trace[0], 1, 1, 1, 1024, 2, 1, 0, a, args, NULL), INVALID_VALUE);
    IS(cu->cuLaunchKernel(f_trace[0], 1, 1, 1, 512, 1, 1, 0, a, args, NULL), LAUNCH_OUT_OF_RESOURCES);
    IS(cu->cuLaunchKernel(f_trace[0], 1, 1, 1, 32, 1, 1, 100000, a, args, NULL), INVALID_VALUE);
    OK(cu->cuFuncSetAttribute(f_trace[0], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000));
    OK(cu->cuLaunchKernel(f_trace[0], 1, 1, 1, 32, 1, 1, 100000, a, args, NULL));
    IS(cu->cuFuncSetAttribute(f_trace[0], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 300000),
       INVALID_VALUE);
    OK(cu->cuOccupancyMaxActiveBlocksPerMultiprocessor(&n_blocks, f_trace[0], 256, 0));
    assert_int_equal(n_blocks, 7); /* by registers */
    OK(cu->cuLaunchCooperativeKernel(f_trace[0], 7 * 16, 1, 1, 256, 1, 1, 0, a, args));
    IS(cu->cuLaunchCooperativeKernel(f_trace[0], 7 * 16 + 1, 1, 1, 256, 1, 1, 0, a, args),
       COOPERATIVE_LAUNCH_TOO_LARGE);
    CUlaunchAttribute cooperative = {.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE, .value.cooperative = 1};
    CUlaunchConfig config = {7 * 16 + 1, 1, 1, 256, 1, 1, 0, a, &cooperative, 1};
    IS(cu->cuLaunchKernelEx(&config, f_trace[0], args, NULL), COOPERATIVE_LAUNCH_TOO_LARGE);
    config.gridDimX = 1;
    OK(cu->cuLaunchKernelEx(&config, f_trace[0], args, NULL));
    IS(launch(f_trace[1], a, args), INVALID_HANDLE); /* a function of another device */
    id = 2;                                          /* arguments are taken at the launch */
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(n_trace, 3);
    assert_int_equal(trace[0] + trace[1] + trace[2], 3);
    close_devices(2);
}

static void a_kernel_that_fails_ends_everything(void **state)
{
    (void)state;
    static const struct {
        int returned;
        CUresult rc;
    } cases[] = {{-1, CUDA_ERROR_LAUNCH_FAILED}, {710, CUDA_ERROR_ASSERT}};
    for (int i = 0; i < 2; i++) {
        int code = cases[i].returned;
        open_devices(2, 1);
        OK(launch(f_fail[0], a, (void *[]){&code}));
        OK(tell(a, 1));
        atomic_store(&n_called, 0);
        OK(cu->cuLaunchHostFunc(a, called, NULL));
        assert_int_equal(cu->cuStreamSynchronize(a), cases[i].rc);
        OK(cu->cuInit(0));
        OK(cu->cuCtxSynchronize() == cases[i].rc ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN);
        assert_int_equal(cu->cuCtxSetCurrent(ctx[1]), cases[i].rc); /* on other devices too */
        assert_int_equal(n_trace, 0);
        usleep(2000);
        assert_int_equal(atomic_load(&n_called), 0);
        seen("kernel fail on device 0");
    }
}

static void stale_and_foreign_handles_are_refused(void **state)
{
    (void)state;
    CUstream gone;
    CUevent e, elsewhere;
    open_devices(2, 1);
    OK(cu->cuStreamCreate(&gone, 0));
    OK(cu->cuStreamDestroy(gone));
    IS(tell(gone, 1), INVALID_HANDLE);
    IS(cu->cuStreamDestroy(gone), INVALID_HANDLE);
    OK(cu->cuEventCreate(&e, 0));
    IS(cu->cuEventRecord(e, (CUstream)e), INVALID_HANDLE);
    OK(cu->cuCtxSetCurrent(ctx[1]));
    OK(cu->cuEventCreate(&elsewhere, 0));
    IS(cu->cuEventRecord(elsewhere, a), INVALID_HANDLE); /* an event records on its own device only.. */
    OK(cu->cuEventRecord(elsewhere, NULL));
    OK(cu->cuStreamWaitEvent(a, elsewhere, 0)); /* ..and is waited for anywhere */
    OK(cu->cuCtxSetCurrent(ctx[0]));
    OK(cu->cuEventDestroy(e));
    IS(cu->cuEventQuery(e), INVALID_HANDLE);
    OK(cu->cuStreamSynchronize(a));
    OK(cu->cuEventDestroy(elsewhere));
    OK(cu->cuCtxSetCurrent(NULL));
    IS(cu->cuEventCreate(&e, 0), INVALID_CONTEXT);
    OK(cu->cuCtxSetCurrent(ctx[0]));
    close_devices(2);
    IS(cu->cuEventCreate(&e, 0), CONTEXT_IS_DESTROYED);
}

/* ---- Faults on demand, leaks --------------------------------------------------------------*/

static void the_nth_call_fails_as_told(void **state)
{
    (void)state;
    CUdeviceptr p[4];
    CUstream s;
    open_devices(1, 1);
    standin.standin_fail("cuMemAlloc", 3, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
    p[0] = device_memory(64);
    p[1] = device_memory(64);
    IS(cu->cuMemAlloc(&p[2], 64), OUT_OF_MEMORY);
    p[2] = device_memory(64);
    assert_int_equal(standin.standin_fail_hits(), 1);
    standin.standin_fail("cuStreamCreate", 2, CUDA_ERROR_UNKNOWN, STANDIN_FOREVER);
    OK(cu->cuStreamCreate(&s, 0));
    OK(cu->cuStreamDestroy(s));
    for (int i = 0; i < 3; i++)
        IS(cu->cuStreamCreate(&s, 0), UNKNOWN);
    assert_int_equal(standin.standin_fail_hits(), 4);
    /* A release that fails has released, as with a driver that tells of an earlier failure. */
    standin.standin_fail("cuMemFree_v2", 1, CUDA_ERROR_UNKNOWN, STANDIN_ONCE);
    IS(cu->cuMemFree(p[0]), UNKNOWN);
    IS(cu->cuMemFree(p[0]), INVALID_VALUE);
    OK(cu->cuMemFree(p[1]));
    OK(cu->cuMemFree(p[2]));
    assert_int_equal(standin.standin_calls("cuMemAlloc"), 4);
    assert_int_equal(standin.standin_calls("cuMemFree"), 4);
    assert_true(standin.standin_calls(NULL) > 15);
    standin.standin_fail_clear();
    close_devices(1);

    open_devices(1, 1);
    standin.standin_fail(NULL, 2, CUDA_ERROR_ECC_UNCORRECTABLE, STANDIN_STICKY);
    p[0] = device_memory(64);
    IS(cu->cuMemAlloc(&p[1], 64), ECC_UNCORRECTABLE);
    IS(cu->cuCtxSynchronize(), ECC_UNCORRECTABLE);
    IS(cu->cuMemFree(p[0]), ECC_UNCORRECTABLE);
    assert_int_equal(standin.standin_fail_hits(), 1);

    open_devices(1, 1);
    standin.standin_fail("cuNoSuchCall", 1, 1, STANDIN_ONCE);
    seen("no entry point is called cuNoSuchCall");
}

static void rules_and_sizes_come_from_the_environment(void **state)
{
    (void)state;
    CUdeviceptr p;
    size_t total;
    int n;
    setenv("TGRAPH_STANDIN_DEVICES", "3", 1);
    setenv("TGRAPH_STANDIN_MEMORY", "2M", 1);
    setenv("TGRAPH_STANDIN_FAIL", "cuMemAlloc:2:2:forever,cuCtxSynchronize:1:999", 1);
    standin.standin_reset(NULL);
    unsetenv("TGRAPH_STANDIN_DEVICES");
    unsetenv("TGRAPH_STANDIN_MEMORY");
    unsetenv("TGRAPH_STANDIN_FAIL");
    IS(cu->cuDeviceGetCount(&n), NOT_INITIALIZED);
    OK(cu->cuInit(0));
    OK(cu->cuDeviceGetCount(&n));
    assert_int_equal(n, 3);
    OK(cu->cuDeviceTotalMem(&total, 2));
    assert_int_equal(total, 2u << 20);
    OK(cu->cuDevicePrimaryCtxRetain(&ctx[0], 0));
    OK(cu->cuCtxSetCurrent(ctx[0]));
    p = device_memory(64);
    IS(cu->cuMemAlloc(&p, 64), OUT_OF_MEMORY);
    IS(cu->cuMemAlloc(&p, 64), OUT_OF_MEMORY);
    IS(cu->cuCtxSynchronize(), UNKNOWN);
    OK(cu->cuCtxSynchronize());
}

static void what_is_left_over_is_listed(void **state)
{
    (void)state;
    CUevent e;
    CUgraph g;
    CUgraphExec x;
    CUgraphNode n;
    void *host;
    static int registered;
    char text[1024];
    open_devices(1, 1);
    OK(cu->cuEventCreate(&e, 0));
    (void)device_memory(100);
    OK(cu->cuMemAllocHost(&host, 64));
    OK(cu->cuMemHostRegister(&registered, sizeof registered, 0));
    OK(cu->cuGraphCreate(&g, 0));
    OK(cu->cuGraphAddEmptyNode(&n, g, NULL, 0));
    OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
    assert_int_equal(standin.standin_leaks(text, sizeof text), 2 + 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1);
    HAS(text, "2 streams\n");
    HAS(text, "1 events\n");
    HAS(text, "1 modules\n");
    HAS(text, "2 pieces of device memory, 356 bytes\n"); /* with the module's global */
    HAS(text, "1 pieces of pinned memory\n");
    HAS(text, "1 registrations of host memory\n");
    HAS(text, "1 graphs\n");
    HAS(text, "1 executable graphs\n");
    HAS(text, "1 retained contexts\n");
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static CUgraphNode trace_node(CUgraph g, const CUgraphNode *after, size_t n, int id)
{
    CUgraphNode node = NULL;
    void *args[] = {&id};
    CUDA_KERNEL_NODE_PARAMS p = {f_trace[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
    OK(cu->cuGraphAddKernelNode(&node, g, after, n, &p));
    return node;
}

static void nodes_run_once_each_in_any_order_of_the_edges(void **state)
{
    (void)state;
    enum { NODES = 24 };
    int n_orders = 0, last[NODES] = {0};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        CUgraph g;
        CUgraphExec x;
        CUgraphNode node[NODES], after[NODES], from[NODES * NODES], to[NODES * NODES];
        size_t n_edges = 0, n_told = NODES * NODES, n_nodes = 0;
        open_devices(1, seed);
        OK(cu->cuGraphCreate(&g, 0));
        srand(7); /* the same graph every time */
        for (int i = 0; i < NODES; i++) {
            size_t n = 0;
            for (int k = 0; k < i; k++)
                if (rand() % 8 == 0)
                    after[n++] = node[k];
            n_edges += n;
            node[i] = trace_node(g, after, n, i);
        }
        OK(cu->cuGraphGetEdges(g, from, to, &n_told));
        assert_int_equal(n_told, n_edges);
        OK(cu->cuGraphGetNodes(g, NULL, &n_nodes));
        assert_int_equal(n_nodes, NODES);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        for (int round = 0; round < 2; round++) {
            int at[NODES];
            n_trace = 0;
            OK(cu->cuGraphLaunch(x, a));
            OK(cu->cuStreamSynchronize(a));
            assert_int_equal(n_trace, NODES);
            memset(at, 0xff, sizeof at);
            for (int i = 0; i < NODES; i++) {
                assert_int_equal(at[trace[i]], -1);
                at[trace[i]] = i;
            }
            for (size_t i = 0; i < n_edges; i++)
                for (int u = 0; u < NODES; u++)
                    for (int v = 0; v < NODES; v++)
                        if (node[u] == from[i] && node[v] == to[i])
                            assert_true(at[u] < at[v]);
            n_orders += memcmp(last, trace, sizeof last) != 0;
            memcpy(last, trace, sizeof last);
        }
        OK(cu->cuGraphDestroy(g)); /* what was instantiated does not need it */
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuGraphExecDestroy(x)); /* nor does what is under way need that */
        n_trace = 0;
        OK(cu->cuStreamSynchronize(a));
        assert_int_equal(n_trace, NODES);
        close_devices(1);
    }
    assert_true(n_orders > 80);
}

static void launches_of_one_executable_graph_do_not_overlap(void **state)
{
    (void)state;
    int n_swapped = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        CUgraph g;
        CUgraphExec x, y;
        open_devices(1, seed);
        OK(cu->cuGraphCreate(&g, 0));
        CUgraphNode first = trace_node(g, NULL, 0, 1);
        trace_node(g, &first, 1, 2);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphInstantiateWithFlags(&y, g, 0));
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuGraphLaunch(x, b));
        OK(cu->cuCtxSynchronize());
        for (int i = 0; i < 4; i++)
            assert_int_equal(trace[i], i % 2 + 1);
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuGraphLaunch(y, b));
        OK(cu->cuCtxSynchronize());
        n_swapped += trace[5] == 1;
        OK(cu->cuGraphExecDestroy(x));
        OK(cu->cuGraphExecDestroy(y));
        OK(cu->cuGraphDestroy(g));
        close_devices(1);
    }
    assert_true(n_swapped > 5);
}

static void graphs_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    CUgraph g, other;
    CUgraphExec x;
    CUgraphNode n[3], foreign;
    open_devices(1, 1);
    OK(cu->cuGraphCreate(&g, 0));
    OK(cu->cuGraphCreate(&other, 0));
    n[0] = trace_node(g, NULL, 0, 0);
    n[1] = trace_node(g, n, 1, 1);
    foreign = trace_node(other, NULL, 0, 2);
    IS(cu->cuGraphAddEmptyNode(&n[2], g, &foreign, 1), INVALID_VALUE);
    IS(cu->cuGraphAddEmptyNode(&n[2], g, (CUgraphNode[]){n[0], n[0]}, 2), INVALID_VALUE);
    IS(cu->cuGraphAddDependencies(g, &n[0], &n[1], 1), INVALID_VALUE); /* is there already */
    OK(cu->cuGraphAddDependencies(g, &n[1], &n[0], 1));
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    IS(cu->cuGraphInstantiateWithParams(&x, g, &params), INVALID_VALUE);
    assert_int_equal(params.result_out, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
    OK(cu->cuGraphDestroyNode(n[1]));
    OK(cu->cuGraphInstantiateWithParams(&x, g, &params));
    assert_int_equal(params.result_out, CUDA_GRAPH_INSTANTIATE_SUCCESS);
    OK(cu->cuGraphExecDestroy(x));
    OK(cu->cuGraphDestroy(g));
    IS(cu->cuGraphDestroy(g), INVALID_VALUE);
    OK(cu->cuGraphDestroy(other));
    close_devices(1);
}

static void updates_change_parameters_and_refuse_topology(void **state)
{
    (void)state;
    CUgraph g[5];
    CUgraphExec x;
    CUgraphNode n, m;
    CUgraphExecUpdateResultInfo info;
    open_devices(2, 1);
    CUdeviceptr p = device_memory(BYTES);
    CUDA_MEMSET_NODE_PARAMS zero = {p, 0, 0, 4, N, 1};
    for (int i = 0; i < 5; i++)
        OK(cu->cuGraphCreate(&g[i], 0));
    CUgraphNode original = n = trace_node(g[0], NULL, 0, 1);
    trace_node(g[0], &n, 1, 2);
    n = trace_node(g[1], NULL, 0, 11); /* other arguments */
    trace_node(g[1], &n, 1, 12);
    trace_node(g[2], NULL, 0, 1); /* no edge */
    CUgraphNode stray = trace_node(g[2], NULL, 0, 2);
    n = trace_node(g[3], NULL, 0, 1); /* another kind */
    OK(cu->cuGraphAddMemsetNode(&m, g[3], &n, 1, &zero, ctx[0]));
    int id = 3;
    void *args[] = {&id};
    CUDA_KERNEL_NODE_PARAMS there = {f_trace[1], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
    n = trace_node(g[4], NULL, 0, 1); /* a function of another device */
    OK(cu->cuGraphAddKernelNode(&m, g[4], &n, 1, &there));

    OK(cu->cuGraphInstantiateWithFlags(&x, g[0], 0));
    OK(cu->cuGraphLaunch(x, a)); /* keeps the arguments it was launched with */
    OK(cu->cuGraphExecUpdate(x, g[1], &info));
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_SUCCESS);
    OK(cu->cuGraphLaunch(x, a));
    CUDA_KERNEL_NODE_PARAMS again = {f_trace[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
    OK(cu->cuGraphExecKernelNodeSetParams(x, original, &again));
    OK(cu->cuGraphLaunch(x, a));
    IS(cu->cuGraphExecUpdate(x, g[2], &info), GRAPH_EXEC_UPDATE_FAILURE);
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    assert_true(info.errorNode == stray);
    IS(cu->cuGraphExecUpdate(x, g[3], &info), GRAPH_EXEC_UPDATE_FAILURE);
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
    IS(cu->cuGraphExecUpdate(x, g[4], &info), GRAPH_EXEC_UPDATE_FAILURE);
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE);
    IS(cu->cuGraphExecKernelNodeSetParams(x, stray, &again), INVALID_VALUE);
    OK(cu->cuGraphLaunch(x, a)); /* as before the refusals */
    OK(cu->cuStreamSynchronize(a));
    static const int expected[] = {1, 2, 11, 12, 3, 12, 3, 12};
    assert_int_equal(n_trace, 8);
    assert_memory_equal(trace, expected, sizeof expected);
    OK(cu->cuGraphExecDestroy(x));
    for (int i = 0; i < 5; i++)
        OK(cu->cuGraphDestroy(g[i]));
    OK(cu->cuMemFree(p));
    close_devices(2);
}

static void copies_sets_hosts_and_children_are_nodes(void **state)
{
    (void)state;
    CUgraph g, child;
    CUgraphExec x;
    CUgraphNode n, inner;
    CUgraphNodeType type;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int *pinned;
        open_devices(1, seed);
        CUdeviceptr p = device_memory(BYTES);
        OK(cu->cuMemAllocHost((void **)&pinned, BYTES));
        atomic_store(&n_called, 0);
        OK(cu->cuGraphCreate(&child, 0));
        CUDA_MEMSET_NODE_PARAMS nines = {p, 0, 9, 4, N, 1};
        OK(cu->cuGraphAddMemsetNode(&inner, child, NULL, 0, &nines, ctx[0]));
        trace_node(child, &inner, 1, 1);
        OK(cu->cuGraphCreate(&g, 0));
        OK(cu->cuGraphAddChildGraphNode(&n, g, NULL, 0, child));
        OK(cu->cuGraphDestroy(child));
        OK(cu->cuGraphNodeGetType(n, &type));
        assert_int_equal(type, CU_GRAPH_NODE_TYPE_GRAPH);
        CUDA_MEMCPY3D out = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                             .srcDevice = p,
                             .dstMemoryType = CU_MEMORYTYPE_HOST,
                             .dstHost = pinned,
                             .WidthInBytes = BYTES,
                             .Height = 1,
                             .Depth = 1};
        OK(cu->cuGraphAddMemcpyNode(&n, g, &n, 1, &out, ctx[0]));
        CUDA_HOST_NODE_PARAMS host = {called, NULL};
        OK(cu->cuGraphAddHostNode(&n, g, &n, 1, &host));
        OK(cu->cuGraphAddEmptyNode(&n, g, &n, 1));
        trace_node(g, &n, 1, 2);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphUpload(x, a));
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuStreamSynchronize(a));
        assert_int_equal(pinned[N - 1], 9);
        assert_int_equal(n_trace, 2);
        assert_int_equal(trace[1], 2);
        assert_int_equal(atomic_load(&n_called), 1);
        OK(cu->cuGraphExecDestroy(x));
        OK(cu->cuGraphDestroy(g));
        OK(cu->cuMemFreeHost(pinned));
        OK(cu->cuMemFree(p));
        OK(cu->cuStreamDestroy(a));
        OK(cu->cuStreamDestroy(b));
    }
}

static void conditionals_choose_and_repeat(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        CUgraph g;
        CUgraphExec x;
        CUgraphNode loop, body, n;
        CUgraphConditionalHandle handle, choice;
        open_devices(1, seed);
        CUdeviceptr counter = device_memory(4);
        OK(cu->cuMemsetD32Async(counter, 5, 1, a));
        OK(cu->cuGraphCreate(&g, 0));
        OK(cu->cuGraphConditionalHandleCreate(&handle, g, ctx[0], 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
        OK(cu->cuGraphConditionalHandleCreate(&choice, g, ctx[0], (unsigned)seed % 2,
                                              CU_GRAPH_COND_ASSIGN_DEFAULT));
        CUgraphNodeParams p = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
        p.conditional = (CUDA_CONDITIONAL_NODE_PARAMS){handle, CU_GRAPH_COND_TYPE_WHILE, 1, NULL, ctx[0]};
        OK(cu->cuGraphAddNode(&loop, g, NULL, NULL, 0, &p));
        CUgraph inside = p.conditional.phGraph_out[0];
        void *args[] = {&counter, &handle};
        CUDA_KERNEL_NODE_PARAMS count = {f_count[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
        OK(cu->cuGraphAddKernelNode(&body, inside, NULL, 0, &count));
        trace_node(inside, &body, 1, 1);
        p.conditional = (CUDA_CONDITIONAL_NODE_PARAMS){choice, CU_GRAPH_COND_TYPE_IF, 2, NULL, ctx[0]};
        OK(cu->cuGraphAddNode(&n, g, &loop, NULL, 1, &p));
        trace_node(p.conditional.phGraph_out[0], NULL, 0, 3);
        trace_node(p.conditional.phGraph_out[1], NULL, 0, 2);
        trace_node(g, &n, 1, 4);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuStreamSynchronize(a));
        assert_int_equal(first_of(counter), 0);
        assert_int_equal(n_trace, 7);
        for (int i = 0; i < 5; i++)
            assert_int_equal(trace[i], 1);
        assert_int_equal(trace[5], 2 + seed % 2);
        assert_int_equal(trace[6], 4);
        OK(cu->cuGraphExecDestroy(x));
        CUDA_HOST_NODE_PARAMS host = {called, NULL}; /* not in a body */
        OK(cu->cuGraphAddHostNode(&n, inside, NULL, 0, &host));
        CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
        IS(cu->cuGraphInstantiateWithParams(&x, g, &params), INVALID_VALUE);
        assert_int_equal(params.result_out, CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED);
        assert_true(params.hErrNode_out == n);
        OK(cu->cuGraphDestroy(g));
        OK(cu->cuMemFree(counter));
        close_devices(1);
    }
}

/* ---- Capture ------------------------------------------------------------------------------*/

/* a: set p; then b (after a): copy q from p, and a: trace; then a (after b): copy r from q. */
static CUgraph captured(CUdeviceptr p, CUdeviceptr q, CUdeviceptr r, CUevent fork, CUevent join,
                        bool is_joining)
{
    CUgraph g = NULL;
    OK(cu->cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(set(a, p, N, 6));
    OK(cu->cuEventRecord(fork, a));
    OK(cu->cuStreamWaitEvent(b, fork, 0));
    OK(copy(b, q, p, N));
    OK(cu->cuEventRecord(join, b));
    OK(tell(a, 1));
    if (is_joining) {
        OK(cu->cuStreamWaitEvent(a, join, 0));
        OK(copy(a, r, q, N));
        OK(cu->cuStreamEndCapture(a, &g));
    } else
        IS(cu->cuStreamEndCapture(a, &g), STREAM_CAPTURE_UNJOINED);
    return g;
}

static void streams_are_captured_with_their_events(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        CUevent fork, join;
        CUgraphExec x;
        size_t n_nodes = 0, n_edges = 0;
        CUstreamCaptureStatus status;
        open_devices(1, seed);
        CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES), r = device_memory(BYTES);
        OK(cu->cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
        OK(cu->cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
        CUgraph g = captured(p, q, r, fork, join, true);
        OK(cu->cuStreamIsCapturing(b, &status));
        assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_NONE);
        assert_int_equal(standin.standin_pending(), 0);
        OK(cu->cuGraphGetNodes(g, NULL, &n_nodes));
        OK(cu->cuGraphGetEdges(g, NULL, NULL, &n_edges));
        assert_int_equal(n_nodes, 4);
        assert_int_equal(n_edges, 4);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphLaunch(x, b));
        OK(cu->cuStreamSynchronize(b));
        assert_int_equal(first_of(r), 6);
        assert_int_equal(n_trace, 1);
        OK(cu->cuGraphExecDestroy(x));
        OK(cu->cuGraphDestroy(g));
        assert_null(captured(p, q, r, fork, join, false));
        IS(cu->cuStreamWaitEvent(a, join, 0), INVALID_VALUE); /* of a capture that is over */
        OK(cu->cuEventRecord(join, b));                       /* recorded anew, it is an event again */
        OK(cu->cuEventSynchronize(join));
        OK(cu->cuEventDestroy(fork));
        OK(cu->cuEventDestroy(join));
        OK(cu->cuMemFree(p));
        OK(cu->cuMemFree(q));
        OK(cu->cuMemFree(r));
        close_devices(1);
    }
}

static CUgraph begin(void)
{
    OK(cu->cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(tell(a, 1));
    return NULL;
}
static void end_invalid(void)
{
    CUgraph g;
    CUstreamCaptureStatus status;
    OK(cu->cuStreamIsCapturing(a, &status));
    assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    IS(tell(a, 2), STREAM_CAPTURE_INVALIDATED);
    IS(cu->cuStreamEndCapture(a, &g), STREAM_CAPTURE_INVALIDATED);
    assert_null(g);
    OK(tell(a, 3)); /* the stream works again */
    OK(cu->cuStreamSynchronize(a));
}

static void what_a_capture_forbids_ends_it(void **state)
{
    (void)state;
    CUdeviceptr p;
    CUevent e, outside;
    CUstream blocking;
    CUgraph g;
    open_devices(1, 1);
    OK(cu->cuEventCreate(&e, 0));
    OK(cu->cuEventCreate(&outside, 0));
    OK(tell(b, 1));
    OK(cu->cuEventRecord(outside, b));
    begin();
    IS(cu->cuStreamSynchronize(a), STREAM_CAPTURE_UNSUPPORTED);
    end_invalid();
    begin();
    IS(cu->cuMemAlloc(&p, 64), STREAM_CAPTURE_UNSUPPORTED);
    end_invalid();
    p = device_memory(64);
    begin();
    IS(cu->cuMemFree(p), STREAM_CAPTURE_UNSUPPORTED);
    end_invalid();
    OK(cu->cuMemFree(p));
    begin();
    IS(cu->cuStreamWaitEvent(a, outside, 0), STREAM_CAPTURE_ISOLATION);
    end_invalid();
    begin();
    OK(cu->cuEventRecord(e, a));
    IS(cu->cuEventQuery(e), CAPTURED_EVENT);
    IS(cu->cuStreamWaitEvent(b, e, 0), INVALID_VALUE);
    end_invalid();
    begin();
    OK(cu->cuEventRecord(e, a));
    OK(cu->cuStreamBeginCapture(b, CU_STREAM_CAPTURE_MODE_RELAXED));
    IS(cu->cuStreamWaitEvent(b, e, 0), STREAM_CAPTURE_MERGE);
    IS(cu->cuStreamEndCapture(b, &g), STREAM_CAPTURE_INVALIDATED);
    end_invalid();
    begin();
    OK(cu->cuEventRecord(e, a));
    OK(cu->cuStreamWaitEvent(b, e, 0));
    IS(cu->cuStreamEndCapture(b, &g), STREAM_CAPTURE_UNMATCHED);
    end_invalid();
    OK(cu->cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    OK(cu->cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_GLOBAL));
    IS(tell(NULL, 1), STREAM_CAPTURE_IMPLICIT);
    IS(cu->cuStreamEndCapture(blocking, &g), STREAM_CAPTURE_INVALIDATED);
    IS(cu->cuStreamEndCapture(blocking, &g), ILLEGAL_STATE);
    OK(cu->cuStreamDestroy(blocking));
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED; /* allows what would be forbidden */
    OK(cu->cuThreadExchangeStreamCaptureMode(&mode));
    begin();
    OK(cu->cuMemAlloc(&p, 64));
    OK(cu->cuStreamEndCapture(a, &g));
    OK(cu->cuThreadExchangeStreamCaptureMode(&mode));
    assert_int_equal(mode, CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cu->cuGraphDestroy(g));
    OK(cu->cuMemFree(p));
    OK(cu->cuEventDestroy(e));
    OK(cu->cuEventDestroy(outside));
    OK(cu->cuCtxSynchronize());
    close_devices(1);
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
    struct tg_error err;
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path)) {
        fprintf(stderr, "cannot load %s: %s\n", path, dlerror());
        return 1;
    }
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
    if (tgi_cuda_retain(&cu, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    register_kernels();
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
        cmocka_unit_test(device_memory_is_out_of_the_hosts_reach),
        cmocka_unit_test(bytes_that_nobody_wrote_are_poison_and_noticed),
        cmocka_unit_test(stray_accesses_are_illegal_addresses),
        cmocka_unit_test(peers_reach_each_other_once_enabled),
        cmocka_unit_test(pageable_memory_is_taken_at_once_and_pinned_when_its_turn_comes),
        cmocka_unit_test(copies_in_two_dimensions_move_the_rows),
        cmocka_unit_test(memory_ends_where_it_ends),
        cmocka_unit_test(memory_in_stream_order_exists_only_between_its_calls),
        cmocka_unit_test(pools_count_what_they_hold),
        cmocka_unit_test(modules_say_what_they_have),
        cmocka_unit_test(launches_beyond_the_limits_are_refused),
        cmocka_unit_test(a_kernel_that_fails_ends_everything),
        cmocka_unit_test(stale_and_foreign_handles_are_refused),
        cmocka_unit_test(the_nth_call_fails_as_told),
        cmocka_unit_test(rules_and_sizes_come_from_the_environment),
        cmocka_unit_test(what_is_left_over_is_listed),
        cmocka_unit_test(nodes_run_once_each_in_any_order_of_the_edges),
        cmocka_unit_test(launches_of_one_executable_graph_do_not_overlap),
        cmocka_unit_test(graphs_that_make_no_sense_are_refused),
        cmocka_unit_test(updates_change_parameters_and_refuse_topology),
        cmocka_unit_test(copies_sets_hosts_and_children_are_nodes),
        cmocka_unit_test(conditionals_choose_and_repeat),
        cmocka_unit_test(streams_are_captured_with_their_events),
        cmocka_unit_test(what_a_capture_forbids_ends_it),
        cmocka_unit_test(threads_may_call_at_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tgi_cuda_release();
    return failed;
}
