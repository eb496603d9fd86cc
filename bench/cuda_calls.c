/* What single calls of the CUDA driver take the host, by hand: those that a task by streams may need.
 *
 * Each is made in a row of CALLS, on a device that has nothing to do or, for "launch", is given a kernel that does nothing.  The least of
 * --runs rows counts, as others have the processor for a while. */
#include "bench/cuda_bare.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/shape.h"

enum { CALLS = 500 };

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry nothing()\n{\nret;\n}\n";

static CUstream streams[2];
static CUevent timed[2], untimed, made[CALLS];
static CUfunction nothing; /* NULL: the stand-in driver has no such kernel */

static void event_create(uint32_t i) { DO(cuEventCreate, (&made[i], CU_EVENT_DEFAULT)); }
static void event_destroy(uint32_t i) { DO(cuEventDestroy, (made[i])); }
static void event_record(uint32_t i)
{
    (void)i;
    DO(cuEventRecord, (untimed, streams[0]));
}
static void event_record_timed(uint32_t i) { DO(cuEventRecord, (timed[i & 1], streams[0])); }
static void event_query(uint32_t i)
{
    (void)i;
    DO(cuEventQuery, (untimed));
}
static void event_elapsed(uint32_t i)
{
    float ms;
    (void)i;
    DO(cuEventElapsedTime, (&ms, timed[0], timed[1]));
}
static void stream_wait(uint32_t i)
{
    (void)i;
    DO(cuStreamWaitEvent, (streams[1], untimed, 0));
}
static void launch(uint32_t i)
{
    DO(cuLaunchKernel, (nothing, 1, 1, 1, 1, 1, 1, 0, streams[i & 1], NULL, NULL));
}

/* In this order: what one makes the next ones use. */
static const struct {
    const char *name;
    void (*call)(uint32_t i);
} calls[] = {
    {"cuEventCreate", event_create},         {"cuEventDestroy", event_destroy},
    {"cuEventRecord", event_record},         {"cuEventRecord, with a time", event_record_timed},
    {"cuEventQuery", event_query},           {"cuEventElapsedTime", event_elapsed},
    {"cuStreamWaitEvent", stream_wait},      {"cuLaunchKernel", launch},
};

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    CUmodule module = NULL;
    uint64_t least[sizeof calls / sizeof *calls];
    bare_open(0);
    for (int i = 0; i < 2; i++) {
        DO(cuStreamCreate, (&streams[i], CU_STREAM_NON_BLOCKING));
        DO(cuEventCreate, (&timed[i], CU_EVENT_DEFAULT));
    }
    DO(cuEventCreate, (&untimed, CU_EVENT_DISABLE_TIMING));
    if (!getenv("TGRAPH_CUDA_DRIVER")) {
        DO(cuModuleLoadData, (&module, ptx));
        DO(cuModuleGetFunction, (&nothing, module, "nothing"));
    }
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++)
        least[k] = UINT64_MAX;
    for (uint32_t run = 0; run < o.n_runs; run++)
        for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
            if (calls[k].call == launch && !nothing)
                continue;
            uint64_t begin = bench_now_ns();
            for (uint32_t i = 0; i < CALLS; i++)
                calls[k].call(i);
            uint64_t ns = bench_now_ns() - begin;
            least[k] = ns < least[k] ? ns : least[k];
            for (int i = 0; i < 2; i++)
                DO(cuStreamSynchronize, (streams[i]));
        }
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++)
        if (least[k] != UINT64_MAX)
            bench_report(calls[k].name, "driver", 1, "ns/call", (double)least[k] / CALLS);
    for (int i = 0; i < 2; i++) {
        api->cuEventDestroy(timed[i]);
        api->cuStreamDestroy(streams[i]);
    }
    api->cuEventDestroy(untimed);
    if (module)
        api->cuModuleUnload(module);
    bare_close(0);
    return 0;
}
