/* For tests of the stand-ins for libraries: the stand-in driver with a context on each device, closed with nothing left over.
 * Include cmocka.h first. */
#ifndef TEST_STANDIN_CONTEXTS_H
#define TEST_STANDIN_CONTEXTS_H

#include <stdlib.h>

#include "gpu/driver.h"
#include "tests/standin/standin.h"

#define OK(call)       assert_int_equal(call, CUDA_SUCCESS)
#define IS(call, code) assert_int_equal(call, CUDA_ERROR_##code)
#define GOOD(call)     assert_int_equal(call, 0)
#define HAS(text, part)                                   \
    do {                                                  \
        if (!strstr(text, part))                          \
            fail_msg("\"%s\" is not in: %s", part, text); \
    } while (0)

enum { MAX_DEVICES = 4 };

static struct standin standin;
static const struct tgi_cuda_api *cu;
static CUcontext ctx[MAX_DEVICES];
static int n_open;

static inline void open_devices(int n, uint64_t seed)
{
    struct standin_options o = {n, 4u << 20, seed, true};
    standin.standin_reset(&o);
    OK(cu->cuInit(0));
    n_open = n;
    for (int d = n - 1; d >= 0; d--) {
        OK(cu->cuDevicePrimaryCtxRetain(&ctx[d], d));
        OK(cu->cuCtxSetCurrent(ctx[d]));
    }
}

static inline void close_devices(void)
{
    char text[4096];
    for (int d = 0; d < n_open; d++)
        OK(cu->cuDevicePrimaryCtxRelease(d));
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seen: %s", text);
    assert_int_equal(standin.standin_pending(), 0);
}

static inline void seen(const char *part)
{
    char text[4096];
    assert_true(standin.standin_violations(text, sizeof text) > 0);
    HAS(text, part);
}

static inline CUdeviceptr upload(const void *from, size_t bytes)
{
    CUdeviceptr p;
    OK(cu->cuMemAlloc(&p, bytes));
    OK(cu->cuMemcpyHtoD(p, from, bytes));
    return p;
}

/* Loads the stand-in driver, and the library `name` that lies beside it; NULL after saying why. */
static inline void *load_beside_standin(const char *name)
{
    char driver[4200], path[4300];
    struct tg_error err = {0};
    if (!standin_path(driver, sizeof driver) || !standin_load(&standin, driver)) {
        print_error("%s\n", dlerror());
        return NULL;
    }
    snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(driver, '/') - driver), driver, name);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle)
        print_error("%s\n", dlerror());
    setenv("TGRAPH_CUDA_DRIVER", driver, 1);
    standin.standin_reset(NULL);
    if (handle && tgi_cuda_retain(&cu, &err)) {
        print_error("%s\n", err.text);
        return NULL;
    }
    return handle;
}

static inline bool find_in(void *handle, const char *name, void *slot)
{
    void *address = dlsym(handle, name);
    memcpy(slot, &address, sizeof address);
    return address != NULL;
}

/* For cmocka_run_group_tests(). */
static inline int unload_standin(void **state)
{
    (void)state;
    standin.standin_reset(NULL);
    tgi_cuda_release();
    return 0;
}

#endif
