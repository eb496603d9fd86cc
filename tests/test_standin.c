/* Modules and launches on the stand-in driver, calls that fail on demand, and that it knows what is left over. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/standin_devices.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_say_what_they_have),
        cmocka_unit_test(launches_beyond_the_limits_are_refused),
        cmocka_unit_test(a_kernel_that_fails_ends_everything),
        cmocka_unit_test(stale_and_foreign_handles_are_refused),
        cmocka_unit_test(the_nth_call_fails_as_told),
        cmocka_unit_test(rules_and_sizes_come_from_the_environment),
        cmocka_unit_test(what_is_left_over_is_listed),
    };
    return cmocka_run_group_tests(tests, load_standin, unload_standin);
}
