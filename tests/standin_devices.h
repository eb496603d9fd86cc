/* For tests of the stand-in driver itself: its devices, opened and closed with nothing left over, kernels that show what was
 * executed when, and what they are checked with.  Include cmocka.h first. */
#ifndef TEST_STANDIN_DEVICES_H
#define TEST_STANDIN_DEVICES_H

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

static inline int kernel_set(void **args, const void *launch) /* to, n, value */
{
    (void)launch;
    int *to = *(int **)args[0], n = *(int *)args[1], value = *(int *)args[2];
    for (int i = 0; i < n; i++)
        to[i] = value;
    return 0;
}
static inline int kernel_copy(void **args, const void *launch) /* to, from, n */
{
    (void)launch;
    memmove(*(void **)args[0], *(void **)args[1], (size_t) * (int *)args[2] * 4);
    return 0;
}
static inline int kernel_trace(void **args, const void *launch)
{
    (void)launch;
    trace[n_trace++ % 4096] = *(int *)args[0];
    return 0;
}
/* counter, handle: counts down, and says whether to go on */
static inline int kernel_count(void **args, const void *launch)
{
    int *counter = *(int **)args[0];
    --*counter;
    standin.standin_set_conditional(launch, *(CUgraphConditionalHandle *)args[1], *counter > 0);
    return 0;
}
static inline int kernel_fail(void **args, const void *launch)
{
    (void)launch;
    return *(int *)args[0];
}
static inline int kernel_indirect(void **args, const void *launch) /* a pointer that is not declared as one */
{
    int *p = standin.standin_at(launch, *(CUdeviceptr *)args[0], 4, STANDIN_INOUT);
    if (p)
        *p += 1;
    return 0;
}

static atomic_bool may_leave;
static inline int stay(void *user)
{
    while (!atomic_load(&may_leave))
        sched_yield();
    return *(int *)user;
}
static int stay_result;
static inline int kernel_stay(void **args, const void *launch)
{
    stay_result = *(int *)args[0];
    standin.standin_stay(launch, stay, &stay_result);
    return 0;
}

static inline size_t extent(void **args, unsigned param, void *user)
{
    (void)param;
    return (size_t) * (int *)args[(size_t)(uintptr_t)user] * 4;
}
static inline size_t extent_counter(void **args, unsigned param, void *user)
{
    (void)args, (void)param, (void)user;
    return 4;
}

static inline void register_kernels(void)
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

/* A host function, which tries to call the driver. */
static atomic_int n_called, called_result;
static inline void called(void *user)
{
    CUdeviceptr p;
    (void)user;
    atomic_store(&called_result, (int)cu->cuMemAlloc(&p, 64));
    atomic_fetch_add(&n_called, 1);
}

/* ---- Setting up ---------------------------------------------------------------------------*/

static inline void open_devices(int n, uint64_t seed)
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
static inline void close_devices(int n)
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

static inline CUresult launch(CUfunction f, CUstream stream, void **args)
{
    return cu->cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, stream, args, NULL);
}
static inline CUresult set(CUstream stream, CUdeviceptr to, int n, int value)
{
    return launch(f_set[0], stream, (void *[]){&to, &n, &value});
}
static inline CUresult copy(CUstream stream, CUdeviceptr to, CUdeviceptr from, int n)
{
    return launch(f_copy[0], stream, (void *[]){&to, &from, &n});
}
static inline CUresult tell(CUstream stream, int id) { return launch(f_trace[0], stream, (void *[]){&id}); }

static inline CUdeviceptr device_memory(size_t bytes)
{
    CUdeviceptr p = 0;
    OK(cu->cuMemAlloc(&p, bytes));
    assert_true(p != 0);
    return p;
}

static inline int first_of(CUdeviceptr p)
{
    int value = 0;
    OK(cu->cuMemcpyDtoH(&value, p, sizeof value));
    return value;
}

static inline void seen(const char *part)
{
    char text[4096];
    assert_true(standin.standin_violations(text, sizeof text) > 0);
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* For cmocka_run_group_tests(). */
static inline int load_standin(void **state)
{
    struct tg_error err;
    (void)state;
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path)) {
        fprintf(stderr, "cannot load %s: %s\n", path, dlerror());
        return -1;
    }
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
    if (tgi_cuda_retain(&cu, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    register_kernels();
    return 0;
}

static inline int unload_standin(void **state)
{
    (void)state;
    tgi_cuda_release();
    return 0;
}

#endif
