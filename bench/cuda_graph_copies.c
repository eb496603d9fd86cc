/* Copies from the host that a CUDA graph begins with, by hand: how far they follow each other, and when the second of them is there.
 *
 * In no order a driver takes them as it likes; in one chain or two each comes after the one before it in its chain, as in graphs of
 * runs (mem/recorder.h).  Then two chains with an empty kernel behind each copy, added after it or after all copies; the same and one chain with
 * three kernels in a row that take as long as small tasks do; and kernels that read the host's memory in place of the copies, with and without others
 * behind them.  Beside that the same copies in one stream, and in two.  --tasks is the
 * number of copies, 136 if it is not given. */
#include "bench/cuda_bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/shape.h"

enum { N_WARM = 3, PULL_THREADS = 512, PULL_EACH = 16 << 10, PULL_BLOCKS = 64, N_STAMPS = 3, N_TASKS = 3, TASK_NS = 15000 };

/* n_chains 0: in no order. */
struct form {
    const char *name;
    uint32_t n_chains;
    enum { NOTHING, A_KERNEL, TASKS } behind; /* each copy: nothing, an empty kernel, N_TASKS of TASK_NS */
    bool is_late, is_pulled; /* what is behind is added after all copies; kernels do the copies */
};
static const struct form forms[] = {
    {"graph, no order", 0, NOTHING, false, false},
    {"graph, one chain", 1, NOTHING, false, false},
    {"graph, two chains", 2, NOTHING, false, false},
    {"graph, a kernel behind each", 2, A_KERNEL, false, false},
    {"graph, kernels after all copies", 2, A_KERNEL, true, false},
    {"graph, tasks behind each", 2, TASKS, false, false},
    {"graph, tasks after all copies", 2, TASKS, true, false},
    {"graph, one chain, tasks behind each", 1, TASKS, false, false},
    {"graph, one chain, tasks after all copies", 1, TASKS, true, false},
    {"graph, by kernels", 2, NOTHING, false, true},
    {"graph, by kernels, one behind each", 2, A_KERNEL, false, true},
    {"graph, by kernels, tasks behind each", 2, TASKS, false, true},
};

static const char ptx[] = ".version 7.0\n.target sm_80\n.address_size 64\n"
                          ".visible .entry stamp(.param .u64 to)\n{\n.reg .u64 %rd<3>;\n"
                          "ld.param.u64 %rd1, [to];\nmov.u64 %rd2, %globaltimer;\nst.global.u64 [%rd1], %rd2;\nret;\n}\n"
                          ".visible .entry task(.param .u64 ns)\n{\n.reg .u64 %rd<4>;\n.reg .pred %p<2>;\n"
                          "ld.param.u64 %rd1, [ns];\nmov.u64 %rd2, %globaltimer;\nadd.u64 %rd1, %rd1, %rd2;\n"
                          "again:\nmov.u64 %rd3, %globaltimer;\nsetp.lt.u64 %p1, %rd3, %rd1;\n@%p1 bra again;\nret;\n}\n"
                          ".visible .entry pull(.param .u64 to, .param .u64 from, .param .u64 bytes)\n{\n"
                          ".reg .u64 %rd<8>;\n.reg .u32 %r<11>;\n.reg .pred %p<2>;\n"
                          "ld.param.u64 %rd1, [to];\nld.param.u64 %rd2, [from];\nld.param.u64 %rd3, [bytes];\n"
                          "mov.u32 %r1, %ctaid.x;\nmov.u32 %r2, %ntid.x;\nmov.u32 %r3, %tid.x;\nmad.lo.u32 %r4, %r1, %r2, %r3;\n"
                          "mov.u32 %r5, %nctaid.x;\nmul.lo.u32 %r6, %r5, %r2;\n"
                          "mul.wide.u32 %rd4, %r4, 16;\nmul.wide.u32 %rd5, %r6, 16;\n"
                          "again:\nsetp.ge.u64 %p1, %rd4, %rd3;\n@%p1 bra done;\n"
                          "add.u64 %rd6, %rd2, %rd4;\nadd.u64 %rd7, %rd1, %rd4;\n"
                          "ld.global.v4.u32 {%r7, %r8, %r9, %r10}, [%rd6];\nst.global.v4.u32 [%rd7], {%r7, %r8, %r9, %r10};\n"
                          "add.u64 %rd4, %rd4, %rd5;\nbra again;\ndone:\nret;\n}\n";

struct job {
    CUcontext ctx;
    CUmodule module; /* NULL: the stand-in driver has no such kernel, its nodes are empty */
    CUfunction stamp, task, pull;
    CUdeviceptr to, stamps;
    char *from;
    uint32_t n, n_runs;
    uint64_t bytes;
};

static void *grab(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p)
        bench_die("no memory for %zu bytes", bytes);
    return p;
}

static CUgraphNode add_copy(const struct job *j, CUgraph graph, uint32_t i, const CUgraphNode *after)
{
    CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = j->from + i * j->bytes, .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                          .dstDevice = j->to + i * j->bytes, .WidthInBytes = j->bytes, .Height = 1, .Depth = 1};
    CUgraphNode node;
    DO(cuGraphAddMemcpyNode, (&node, graph, after, after != NULL, &copy, j->ctx));
    return node;
}

static CUgraphNode add_kernel(const struct job *j, CUgraph graph, CUfunction f, uint32_t n_blocks, uint32_t n_threads, void **args,
                              const CUgraphNode *after)
{
    CUDA_KERNEL_NODE_PARAMS params = {.func = f, .gridDimX = n_blocks, .gridDimY = 1, .gridDimZ = 1, .blockDimX = n_threads, .blockDimY = 1,
                                      .blockDimZ = 1, .kernelParams = args};
    CUgraphNode node;
    if (j->module)
        DO(cuGraphAddKernelNode, (&node, graph, after, after != NULL, &params));
    else
        DO(cuGraphAddEmptyNode, (&node, graph, after, after != NULL));
    return node;
}

static CUgraphNode add_pull(const struct job *j, CUgraph graph, uint32_t i, const CUgraphNode *after)
{
    CUdeviceptr to = j->to + i * j->bytes;
    char *from = j->from + i * j->bytes;
    uint64_t bytes = j->bytes, n = (bytes + PULL_EACH - 1) / PULL_EACH;
    void *args[] = {&to, &from, &bytes};
    return add_kernel(j, graph, j->pull, n < PULL_BLOCKS ? (uint32_t)n : PULL_BLOCKS, PULL_THREADS, args, after);
}

static void add_stamp(const struct job *j, CUgraph graph, uint32_t which, const CUgraphNode *after)
{
    CUdeviceptr to = j->stamps + 8 * which;
    void *args[] = {&to};
    add_kernel(j, graph, j->stamp, 1, 1, args, after);
}

/* Kernels of one block in a row. */
static void add_tasks(const struct job *j, CUgraph graph, const CUgraphNode *after)
{
    uint64_t ns = TASK_NS;
    void *args[] = {&ns};
    CUgraphNode node = *after;
    for (int i = 0; i < N_TASKS; i++)
        node = add_kernel(j, graph, j->task, 1, 128, args, &node);
}

static void add_behind(const struct job *j, CUgraph graph, const struct form *f, const CUgraphNode *after)
{
    if (f->behind == A_KERNEL)
        add_stamp(j, graph, 2, after);
    else if (f->behind == TASKS)
        add_tasks(j, graph, after);
}

/* The time of the first copy and of the second one is noted as each is there. */
static CUgraphExec make(const struct job *j, const struct form *f)
{
    CUgraphNode *nodes = grab(j->n * sizeof *nodes);
    CUgraphExec exec;
    CUgraph graph;
    DO(cuGraphCreate, (&graph, 0));
    for (uint32_t i = 0; i < j->n; i++) {
        const CUgraphNode *after = f->n_chains && i >= f->n_chains ? &nodes[i - f->n_chains] : NULL;
        nodes[i] = f->is_pulled ? add_pull(j, graph, i, after) : add_copy(j, graph, i, after);
        if (i < 2)
            add_stamp(j, graph, i, &nodes[i]);
        else if (!f->is_late)
            add_behind(j, graph, f, &nodes[i]);
    }
    for (uint32_t i = 2; f->is_late && i < j->n; i++)
        add_behind(j, graph, f, &nodes[i]);
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    api->cuGraphDestroy(graph);
    free(nodes);
    return exec;
}

/* What is there afterwards is what was sent. */
static void check(const struct job *j, const char *system)
{
    uint64_t n = j->n * j->bytes;
    char *have = grab(n);
    DO(cuMemcpyDtoH, (have, j->to, n));
    if (j->module && memcmp(have, j->from, n) != 0)
        bench_die("%s: other data than was sent", system);
    free(have);
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
    j->bytes = bytes;
    DO(cuMemAlloc, (&j->to, j->n * bytes));
    DO(cuMemAllocHost, ((void **)&j->from, j->n * bytes));
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        memset(j->from, (int)(1 + i), j->n * bytes);
        CUgraphExec exec = make(j, &forms[i]);
        measure(j, forms[i].name, exec, streams, 1);
        check(j, forms[i].name);
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
    DO(cuMemAlloc, (&j.stamps, 8 * N_STAMPS));
    if (!getenv("TGRAPH_CUDA_DRIVER")) {
        DO(cuModuleLoadData, (&j.module, ptx));
        DO(cuModuleGetFunction, (&j.stamp, j.module, "stamp"));
        DO(cuModuleGetFunction, (&j.task, j.module, "task"));
        DO(cuModuleGetFunction, (&j.pull, j.module, "pull"));
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
