/* The CUDA driver, with the calls that a run makes again and again timed on the host: how many there were, and what they took, printed when
 * the program ends.  Loaded in the driver's place, it finds the driver behind itself:
 *
 *     TGRAPH_CUDA_DRIVER=build/release/bench/libtimed-cuda.so build/release/tgraph run examples/graphs/cholesky.json -D cuda
 *
 * Calls that are not here go to the driver as they are.  Reading the clock twice is in every time.  Any thread. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/cuda_api.h"

enum { MAX_SAMPLES = 1 << 20 }; /* of each; later ones are counted, not kept */

struct timed {
    const char *symbol;
    _Atomic(void *) real;
    _Atomic uint64_t n, total_ns;
    _Atomic(uint32_t *) ns; /* by sample */
};

/* symbol, parameters, their names */
#define TIMED_CALLS(X)                                                                                                                   \
    X(cuLaunchKernel,                                                                                                                    \
      (CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx, unsigned int by, unsigned int bz,               \
       unsigned int shared, CUstream stream, void **args, void **extra),                                                                 \
      (f, gx, gy, gz, bx, by, bz, shared, stream, args, extra))                                                                          \
    X(cuLaunchKernelEx, (const CUlaunchConfig *config, CUfunction f, void **args, void **extra), (config, f, args, extra))               \
    X(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream), (to, from, bytes, stream))                \
    X(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream), (to, from, bytes, stream))                      \
    X(cuMemcpyAsync, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream), (to, from, bytes, stream))                       \
    X(cuMemcpyPeerAsync,                                                                                                                 \
      (CUdeviceptr to, CUcontext to_ctx, CUdeviceptr from, CUcontext from_ctx, size_t bytes, CUstream stream),                           \
      (to, to_ctx, from, from_ctx, bytes, stream))                                                                                       \
    X(cuEventCreate, (CUevent * event_p, unsigned int flags), (event_p, flags))                                                          \
    X(cuEventRecord, (CUevent event, CUstream stream), (event, stream))                                                                  \
    X(cuEventQuery, (CUevent event), (event))                                                                                            \
    X(cuEventElapsedTime, (float *ms_p, CUevent begin, CUevent end), (ms_p, begin, end))                                                 \
    X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned int flags), (stream, event, flags))                                   \
    X(cuStreamSynchronize, (CUstream stream), (stream))                                                                                  \
    X(cuCtxSetCurrent, (CUcontext ctx), (ctx))                                                                                           \
    X(cuGraphLaunch, (CUgraphExec exec, CUstream stream), (exec, stream))

#define INDEX_X(symbol, params, args) INDEX_##symbol,
enum { TIMED_CALLS(INDEX_X) N_TIMED };
#define NAME_X(name, params, args) {.symbol = #name},
static struct timed timed[N_TIMED] = {TIMED_CALLS(NAME_X)};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *find_real(struct timed *t)
{
    void *real = atomic_load(&t->real);
    if (real)
        return real;
    uint32_t *ns = calloc(MAX_SAMPLES, sizeof *ns), *none = NULL;
    if (!(real = dlsym(RTLD_NEXT, t->symbol)) || !ns) {
        fprintf(stderr, "timed driver: no %s behind this one, or no memory\n", t->symbol);
        abort();
    }
    if (!atomic_compare_exchange_strong(&t->ns, &none, ns))
        free(ns);
    atomic_store(&t->real, real);
    return real;
}

static void note(struct timed *t, uint64_t ns)
{
    uint64_t at = atomic_fetch_add(&t->n, 1);
    atomic_fetch_add(&t->total_ns, ns);
    if (at < MAX_SAMPLES)
        atomic_load(&t->ns)[at] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

#define CALL_X(symbol, params, args)                                                     \
    __attribute__((visibility("default"))) CUresult symbol params;                       \
    CUresult symbol params                                                               \
    {                                                                                    \
        void *found = find_real(&timed[INDEX_##symbol]);                                 \
        CUresult(*real) params;                                                          \
        memcpy(&real, &found, sizeof real);                                              \
        uint64_t since_ns = now_ns();                                                    \
        CUresult rc = real args;                                                         \
        note(&timed[INDEX_##symbol], now_ns() - since_ns);                                \
        return rc;                                                                       \
    }
TIMED_CALLS(CALL_X)

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

__attribute__((destructor)) static void print(void)
{
    fprintf(stderr, "%-24s %10s %12s %10s %10s %10s\n", "call of the driver", "calls", "total ms", "median ns", "90 % ns", "most ns");
    for (uint32_t i = 0; i < N_TIMED; i++) {
        uint64_t n = atomic_load(&timed[i].n), n_kept = n < MAX_SAMPLES ? n : MAX_SAMPLES;
        uint32_t *ns = atomic_load(&timed[i].ns);
        if (n == 0)
            continue;
        qsort(ns, n_kept, sizeof *ns, compare);
        fprintf(stderr, "%-24s %10llu %12.3f %10u %10u %10u\n", timed[i].symbol, (unsigned long long)n, (double)timed[i].total_ns / 1e6,
                ns[n_kept / 2], ns[n_kept * 9 / 10], ns[n_kept - 1]);
    }
}
