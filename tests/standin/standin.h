/* A stand-in for the CUDA driver, for tests: the control side.
 *
 * libstandin-cuda.so exports the driver API of gpu/cuda_api.h on host memory, and the functions below.
 * Programs load it by TGRAPH_CUDA_DRIVER like the real one, and reach the functions below through
 * standin_load().
 *
 * What it does that a GPU does only on a bad day:
 * - Asynchronous work is queued and executed only when something demands it, in an order drawn from
 *   the seed among everything that streams, events, the rules of the legacy stream and graph edges do
 *   not forbid.  A demand runs only what it needs, or everything else first, or a mixture.  Nothing
 *   synchronises implicitly unless the driver's manual promises it; cuMemFree does not.
 * - Device memory cannot be touched by the host: its addresses are mapped without access, and kernels
 *   get other addresses.  It is poisoned when allocated and when freed.  What has been written is known
 *   per byte; taking a byte nobody has written to the host, or into a kernel that says it reads it, is a
 *   violation.
 * - Bounds, lifetime, and the device a pointer is used on are checked when work executes; an offence is
 *   CUDA_ERROR_ILLEGAL_ADDRESS, after which every call fails, as after a fault of a real kernel.
 * - Kernels that stay (standin_stay) run on threads of their own; giving memory back meanwhile, which may wait for them, is a
 *   violation.
 * - Kernels that wait for a flag (standin_again) occupy places that a device has for kernels: one to four of them, by the seed.  With
 *   one place nothing else of the device is executed meanwhile.  When nothing but waiting goes on for long that is a violation, and
 *   the end of the process's use of the driver.
 * - Host functions run on a thread of the stand-in, may not call the driver, and run after a while even if
 *   nobody demands anything.
 * - Any call can be made to fail.
 *
 * For one seed and one sequence of calls from one thread the order of execution is always the same.
 *
 * Environment, read at load and by standin_reset(NULL): TGRAPH_STANDIN_DEVICES (1),
 * TGRAPH_STANDIN_MEMORY (bytes per device, suffix K, M or G; 64M), TGRAPH_STANDIN_SEED (1),
 * TGRAPH_STANDIN_FAIL (call:nth:code[:once|forever|sticky],...; call "any" is every call),
 * TGRAPH_STANDIN_PEERS (0: no device reaches another; 2: all reach each other by NVLink, which else two do, also where options are
 * given), TGRAPH_STANDIN_PATIENCE_US (host functions
 * nobody waits for run after this long; 200), TGRAPH_STANDIN_REPORT (a file that gets the
 * violations and leaks when the process ends; "-": stderr).
 *
 * A module image is text: a line "standin 1", then lines "kernel NAME [registers=N] [shared=N]
 * [threads=N]", "global NAME BYTES", and "code BASE64" (object.h) before the kernels it defines.  Any other
 * kernel needs a CPU function registered under its name; the built-in kernels have theirs. */
#ifndef STANDIN_H
#define STANDIN_H

#include <dlfcn.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gpu/cuda_api.h"

enum standin_param_kind {
    STANDIN_VALUE, /* passed as it is */
    STANDIN_IN,    /* device pointers, translated to addresses the CPU function can use */
    STANDIN_OUT,
    STANDIN_INOUT
};
struct standin_param {
    size_t size_bytes; /* of the parameter itself: 8 for pointers */
    enum standin_param_kind kind;
};

struct standin_launch {
    const char *name;
    int device;
    unsigned grid[3], block[3], shared_bytes;
    void *user;           /* of the registration */
    const void *instance; /* the stand-in's own */
};

/* args[i] points to parameter i.  Returns 0; a positive number is the CUresult of a fault, a
 * negative one stands for CUDA_ERROR_LAUNCH_FAILED.  Must not call the driver. */
typedef int (*standin_kernel_fn)(void **args, const void *launch);
/* Bytes that a kernel reads or writes behind pointer parameter `param`; args are untranslated. */
typedef size_t (*standin_extent_fn)(void **args, unsigned param, void *user);

struct standin_kernel {
    const char *name;
    standin_kernel_fn fn;
    unsigned n_params;
    const struct standin_param *params;
    standin_extent_fn extent; /* NULL: unknown; reads are then not checked beyond the first byte, and
                                 OUT and INOUT count as writing up to the end of the allocation */
    void *user;
};

struct standin_options {
    int n_devices;
    size_t memory_bytes;
    uint64_t seed;
    bool has_peers;
};

enum standin_fail {
    STANDIN_ONCE,    /* the nth matching call fails */
    STANDIN_FOREVER, /* it and every later matching call */
    STANDIN_STICKY,  /* it and every later call of any name, like a fault of the device */
    STANDIN_SKIP     /* the nth matching call returns CUDA_SUCCESS without doing anything.  What a wait for an
                        event would have waited for, or a part of it, is then done when nothing else can be */
};

struct standin_stats {
    uint64_t n_executed; /* pieces of work, graph nodes included */
    uint64_t n_kernels, n_copies, n_sets, n_host, n_waits;
    uint64_t h2d_bytes, d2h_bytes, d2d_bytes, peer_bytes;
    uint64_t peak_bytes[16]; /* most device memory allocated at once, by device */
};

/* What a graph is made of. */
enum standin_part { STANDIN_EDGE, STANDIN_COPY, STANDIN_N_PARTS };

/* X(returned type, name, parameters) */
#define STANDIN_FUNCTIONS(X) \
    /* Forgets all work, memory, handles, faults and counters; NULL: options from the environment.  Handles \
       from before are invalid.  Registered kernels stay.  No other thread may be in a call. */ \
    X(void, standin_reset, (const struct standin_options *options)) \
    /* Copies what it is given; replaces an earlier one of the name.  0, or -1 without memory. */ \
    X(int, standin_register_kernel, (const struct standin_kernel *kernel)) \
    /* The image of all built-in kernels, which are registered from the start, with the global tgk_fault. \
       A fat binary stands for the same.  Static. */ \
    X(const char *, standin_kernels_image, (void)) \
    /* The same into a file; 0, or -1 with errno. */ \
    X(int, standin_write_kernels, (const char *path)) \
    /* From inside a kernel: an address for n bytes at a device pointer that was not a parameter, checked \
       like one; NULL after a fault, and the kernel should return. */ \
    X(void *, standin_at, (const void *launch, CUdeviceptr ptr, size_t n, enum standin_param_kind access)) \
    /* From inside a kernel: it is not over when its function returns but when fn(state) does, which is called on a thread of \
       its own while everything else goes on.  What standin_at() gave stays valid; fn must not call the driver, or anything \
       here, and returns what a kernel's function does. */ \
    X(void, standin_stay, (const void *launch, int (*fn)(void *state), void *state)) \
    /* From inside a kernel: it waits for what others do, and is to be called once more.  It must have changed nothing.  How long it has \
       done so by the driver's clock, in ns. */ \
    X(uint64_t, standin_again, (const void *launch)) \
    /* Looks of such kernels that found nothing, since the reset. */ \
    X(uint64_t, standin_looks, (void)) \
    /* How many kernels stay now. */ \
    X(uint64_t, standin_staying, (void)) \
    /* From inside a kernel: what cudaGraphSetConditional() does on a device. */ \
    X(void, standin_set_conditional, (const void *launch, CUgraphConditionalHandle handle, unsigned value)) \
    /* `call` is an entry point with or without its version suffix; NULL: every call.  nth counts from 1, \
       from now on. */ \
    X(void, standin_fail, (const char *call, uint64_t nth, int code, enum standin_fail how)) \
    X(void, standin_fail_clear, (void)) \
    /* Whether such rules also count and hit what libraries on top of the driver call: between the two, the calling \
       thread is in one.  Without a call they do. */ \
    X(void, standin_fail_libraries, (bool are_hit)) \
    X(void, standin_library_enter, (void)) \
    X(void, standin_library_leave, (void)) \
    /* While lazy, a query executes nothing: all stays queued until somebody waits, or the laziness ends. */ \
    X(void, standin_lazy, (bool is_lazy)) \
    /* How many calls were failed or skipped by standin_fail() since the reset. */ \
    X(uint64_t, standin_fail_hits, (void)) \
    /* The nth edge of graphs, or copy, that is added is left out; counted from 1 since the reset.  0: none. */ \
    X(void, standin_leave_out, (enum standin_part what, uint64_t nth)) \
    /* How many were added since the reset. */ \
    X(uint64_t, standin_parts, (enum standin_part what)) \
    /* Calls since the reset; NULL: of all names. */ \
    X(uint64_t, standin_calls, (const char *call)) \
    /* Objects alive: streams, events, memory, modules, graphs, contexts.  Writes a line for each kind. */ \
    X(unsigned, standin_leaks, (char *text, size_t size)) \
    /* Misuse seen since the reset that a driver need not report; text gets the first ones. */ \
    X(unsigned, standin_violations, (char *text, size_t size)) \
    /* Adds one: for libraries that stand in for others on top of the driver. */ \
    X(void, standin_report, (const char *text)) \
    /* Work that is queued and not yet executed. */ \
    X(uint64_t, standin_pending, (void)) \
    /* Of it, what touches memory or calls somebody: no records and waits. */ \
    X(uint64_t, standin_pending_accesses, (void)) \
    /* Called before each kernel executes, with its arguments as they were given; NULL: nobody is.  Must not call the \
       driver, or anything here. */ \
    X(void, standin_watch_kernels, (void (*fn)(void *user, const char *kernel, void **args), void *user)) \
    /* While held, launches of this kernel do not execute: a kernel that never ends. */ \
    X(void, standin_hold, (const char *kernel, bool is_held)) \
    /* Of a resident program on several devices the kernel on this one begins when the others have given up; -1: as ever. */ \
    X(void, standin_begin_late, (int device)) \
    X(void, standin_stats, (struct standin_stats * stats_p))

struct standin {
    void *handle;
#define STANDIN_POINTER_X(type, name, params) type(*name) params;
    STANDIN_FUNCTIONS(STANDIN_POINTER_X)
#undef STANDIN_POINTER_X
};

/* The library beside the test program: build/<variant>/tests/libstandin-cuda.so. */
static inline bool standin_path(char *path, size_t size)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    return (size_t)snprintf(path, size, "%s/libstandin-cuda.so", dirname(self)) < size;
}

static inline bool standin_load(struct standin *s, const char *path)
{
    memset(s, 0, sizeof *s);
    s->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!s->handle)
        return false;
#define STANDIN_FIND_X(type, name, params) \
    { \
        void *address = dlsym(s->handle, #name); \
        memcpy(&s->name, &address, sizeof address); \
        if (!address) \
            return false; \
    }
    STANDIN_FUNCTIONS(STANDIN_FIND_X)
#undef STANDIN_FIND_X
    return true;
}

#endif
