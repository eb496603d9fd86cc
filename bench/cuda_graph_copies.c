/* Copies from the host that a CUDA graph begins with, by hand: how far they follow each other, and when the second of them is there.
 *
 * In no order a driver takes them as it likes; in one chain or two each comes after the one before it in its chain, as in graphs of
 * runs (mem/recorder.h).  Beside that the same copies in one stream, and in two.  --tasks is the number of copies, 136 if it is not given. */
#include "bench/cuda_bare.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/shape.h"

enum { N_WARM = 3, MOST_CHAINS = 2 };

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
                          ".visible .entry stamp(.param .u64 to)\n{\n.reg .u64 %rd<3>;\n"
                          "ld.param.u64 %rd1, [to];\nmov.u64 %rd2, %globaltimer;\nst.global.u64 [%rd1], %rd2;\nret;\n}\n";

struct job {
    CUcontext ctx;
    CUmodule module; /* NULL: the stand-in driver has no such kernel, its nodes are empty */
    CUfunction stamp;
    CUdeviceptr to, stamps;
    char *from;
    uint32_t n, n_runs;
    uint64_t bytes;
};

static CUgraphNode add_copy(const struct job *j, CUgraph graph, uint32_t i, const CUgraphNode *after)
{
    CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = j->from + i * j->bytes, .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                          .dstDevice = j->to + i * j->bytes, .WidthInBytes = j->bytes, .Height = 1, .Depth = 1};
    CUgraphNode node;
    DO(cuGraphAddMemcpyNode, (&node, graph, after, after != NULL, &copy, j->ctx));
    return node;
}

static void add_stamp(const struct job *j, CUgraph graph, uint32_t which, const CUgraphNode *after)
{
    CUdeviceptr to = j->stamps + 8 * which;
    void *args[] = {&to};
    CUDA_KERNEL_NODE_PARAMS params = {.func = j->stamp, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1,
                                      .blockDimZ = 1, .kernelParams = args};
    CUgraphNode node;
    if (j->stamp)
        DO(cuGraphAddKernelNode, (&node, graph, after, after != NULL, &params));
    else
        DO(cuGraphAddEmptyNode, (&node, graph, after, after != NULL));
}

/* n_chains 0: in no order.  The time of the first copy and of the second one is noted as each is there. */
static CUgraphExec make(const struct job *j, uint32_t n_chains)
{
    CUgraphNode last[MOST_CHAINS], node;
    CUgraphExec exec;
    CUgraph graph;
    DO(cuGraphCreate, (&graph, 0));
    for (uint32_t i = 0; i < j->n; i++) {
        node = add_copy(j, graph, i, n_chains && i >= n_chains ? &last[i % n_chains] : NULL);
        if (n_chains)
            last[i % n_chains] = node;
        if (i < 2)
            add_stamp(j, graph, i, &node);
    }
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    api->cuGraphDestroy(graph);
    return exec;
}

/* By streams where there is no graph, in turn. */
static void start(const struct job *j, CUgraphExec exec, CUstream *streams, uint32_t n_streams, CUevent event)
{
    if (exec) {
        DO(cuGraphLaunch, (exec, streams[0]));
        return;
    }
    DO(cuEventRecord, (event, streams[0]));
    for (uint32_t s = 1; s < n_streams; s++)
        DO(cuStreamWaitEvent, (streams[s], event, 0));
    for (uint32_t i = 0; i < j->n; i++)
        DO(cuMemcpyHtoDAsync, (j->to + i * j->bytes, j->from + i * j->bytes, j->bytes, streams[i % n_streams]));
    for (uint32_t s = 1; s < n_streams; s++) {
        DO(cuEventRecord, (event, streams[s]));
        DO(cuStreamWaitEvent, (streams[0], event, 0));
    }
}

static void measure(const struct job *j, const char *system, CUgraphExec exec, CUstream *streams, uint32_t n_streams)
{
    struct bench_sample each = {{0}, 0}, second = {{0}, 0};
    CUevent begin, end, event;
    uint64_t stamps[2] = {0, 0};
    float ms;
    char what[64];
    DO(cuEventCreate, (&begin, 0));
    DO(cuEventCreate, (&end, 0));
    DO(cuEventCreate, (&event, CU_EVENT_DISABLE_TIMING));
    for (uint32_t i = 0; i < N_WARM + j->n_runs; i++) {
        DO(cuEventRecord, (begin, streams[0]));
        start(j, exec, streams, n_streams, event);
        DO(cuEventRecord, (end, streams[0]));
        DO(cuStreamSynchronize, (streams[0]));
        DO(cuEventElapsedTime, (&ms, begin, end));
        if (j->stamp && exec)
            DO(cuMemcpyDtoH, (stamps, j->stamps, sizeof stamps));
        if (i < N_WARM)
            continue;
        bench_sample_add(&each, (uint64_t)(ms * 1e6f / (float)j->n));
        bench_sample_add(&second, stamps[1] > stamps[0] ? stamps[1] - stamps[0] : 0);
    }
    snprintf(what, sizeof what, "%u copies of %llu KiB", j->n, (unsigned long long)(j->bytes >> 10));
    bench_report(what, system, 1, "us/copy", (double)bench_sample_median(&each) / 1e3);
    if (exec && j->stamp)
        bench_report(what, system, 1, "us from the first to the second", (double)bench_sample_median(&second) / 1e3);
    api->cuEventDestroy(begin);
    api->cuEventDestroy(end);
    api->cuEventDestroy(event);
}

static void measure_size(struct job *j, uint64_t bytes, CUstream *streams)
{
    static const char *const orders[] = {"graph, no order", "graph, one chain", "graph, two chains"};
    j->bytes = bytes;
    DO(cuMemAlloc, (&j->to, j->n * bytes));
    DO(cuMemAllocHost, ((void **)&j->from, j->n * bytes));
    for (uint32_t n_chains = 0; n_chains <= MOST_CHAINS; n_chains++) {
        CUgraphExec exec = make(j, n_chains);
        measure(j, orders[n_chains], exec, streams, 1);
        api->cuGraphExecDestroy(exec);
    }
    measure(j, "one stream", NULL, streams, 1);
    measure(j, "two streams", NULL, streams, 2);
    api->cuMemFreeHost(j->from);
    api->cuMemFree(j->to);
}

int main(int argc, char **argv)
{
    static const uint64_t sizes[] = {16 << 10, 128 << 10, 1 << 20, 8 << 20};
    struct bench_options o = bench_parse(argc, argv);
    struct job j = {.ctx = bare_open(0), .n = o.n_tasks ? (uint32_t)o.n_tasks : 136, .n_runs = o.n_runs};
    CUstream streams[2];
    DO(cuStreamCreate, (&streams[0], CU_STREAM_NON_BLOCKING));
    DO(cuStreamCreate, (&streams[1], CU_STREAM_NON_BLOCKING));
    DO(cuMemAlloc, (&j.stamps, 16));
    if (!getenv("TGRAPH_CUDA_DRIVER")) {
        DO(cuModuleLoadData, (&j.module, ptx));
        DO(cuModuleGetFunction, (&j.stamp, j.module, "stamp"));
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        measure_size(&j, sizes[i], streams);
    if (j.module)
        api->cuModuleUnload(j.module);
    api->cuMemFree(j.stamps);
    api->cuStreamDestroy(streams[0]);
    api->cuStreamDestroy(streams[1]);
    bare_close(0);
    return 0;
}
