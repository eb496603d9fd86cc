/* Resident programs on several GPUs, by hand: tables brought to each, epochs launched on all and timed, results compared. */
#ifndef BENCH_RESIDENT_PEERS_H
#define BENCH_RESIDENT_PEERS_H

#include "bench/resident_gpu.h"
#include "gpu/resident/peers_probe.h"
#include "mem/resident_peers.h"

struct resident_peers {
    uint32_t n_devices;
    int n_sms, shared_bytes; /* of the least of them */
    struct resident_peers_device {
        CUcontext ctx;
        CUmodule module;
        CUfunction kernel, probe;
        CUstream stream;
        CUevent begin, end; /* end: of its last epoch */
    } device[TGI_RESIDENT_MAX_DEVICES];
};

static inline void resident_peers_enter(const struct resident_peers *g, uint32_t device)
{
    DO(cuCtxSetCurrent, (g->device[device].ctx));
}

static inline void resident_peers_device_open(struct resident_peers *g, uint32_t i)
{
    struct resident_peers_device *d = &g->device[i];
    int n_sms, shared_bytes;
    d->ctx = bare_open((int)i);
    DO(cuModuleLoadData, (&d->module, tgi_resident_peers_fatbin(&(size_t){0})));
    DO(cuModuleGetFunction, (&d->kernel, d->module, "tgk_resident_peers"));
    DO(cuModuleGetFunction, (&d->probe, d->module, "tgk_peers_probe"));
    DO(cuStreamCreate, (&d->stream, CU_STREAM_NON_BLOCKING));
    DO(cuEventCreate, (&d->begin, 0));
    DO(cuEventCreate, (&d->end, 0));
    DO(cuDeviceGetAttribute, (&n_sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, (int)i));
    DO(cuDeviceGetAttribute, (&shared_bytes, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, (int)i));
    DO(cuFuncSetAttribute, (d->kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes));
    DO(cuFuncSetAttribute, (d->probe, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 0));
    g->n_sms = i == 0 || n_sms < g->n_sms ? n_sms : g->n_sms;
    g->shared_bytes = i == 0 || shared_bytes < g->shared_bytes ? shared_bytes : g->shared_bytes;
}

/* All that there are; kernels are loaded, so that no launch waits for one that waits for it. */
static inline void resident_peers_open(struct resident_peers *g)
{
    int n, can;
    memset(g, 0, sizeof *g);
    if (!tgi_resident_peers_fatbin(&(size_t){0}))
        bench_die("built with CUDA=0");
    must(tgi_cuda_retain(&api, &err));
    DO(cuDeviceGetCount, (&n));
    if (n < 2)
        bench_die("peers: two GPUs are needed, there is %d", n);
    g->n_devices = n < (int)TGI_RESIDENT_MAX_DEVICES ? (uint32_t)n : TGI_RESIDENT_MAX_DEVICES;
    for (uint32_t i = 0; i < g->n_devices; i++)
        resident_peers_device_open(g, i);
    for (uint32_t i = 0; i < g->n_devices; i++)
        for (uint32_t k = 0; k < g->n_devices; k++) {
            if (i == k)
                continue;
            DO(cuDeviceCanAccessPeer, (&can, (CUdevice)i, (CUdevice)k));
            if (!can)
                bench_die("peers: GPU %u cannot reach GPU %u", i, k);
            resident_peers_enter(g, i);
            DO(cuCtxEnablePeerAccess, (g->device[k].ctx, 0));
        }
}

static inline void resident_peers_close(struct resident_peers *g)
{
    for (uint32_t i = 0; i < g->n_devices; i++) {
        struct resident_peers_device *d = &g->device[i];
        resident_peers_enter(g, i);
        api->cuEventDestroy(d->begin);
        api->cuEventDestroy(d->end);
        api->cuStreamDestroy(d->stream);
        api->cuModuleUnload(d->module);
        bare_close((int)i);
    }
    tgi_cuda_release();
}

static inline void resident_peers_sync(const struct resident_peers *g)
{
    for (uint32_t i = 0; i < g->n_devices; i++) {
        resident_peers_enter(g, i);
        DO(cuStreamSynchronize, (g->device[i].stream));
    }
}

/* ---- Programs -----------------------------------------------------------------------------*/

/* A program on its devices, the first n_devices. */
struct resident_spread {
    const struct resident_peers *g;
    const struct tgi_resident_program *p;
    struct tgi_resident_view v[TGI_RESIDENT_MAX_DEVICES];
    struct tgi_resident_peers peers;
    uint32_t n_shared_bytes;
};

static inline void resident_spread_init(struct resident_spread *r, const struct resident_peers *g,
                                        const struct tgi_resident_program *p, bool has_lines, uint64_t limit_ns)
{
    size_t n = p->n_tasks;
    uint32_t alone = (uint32_t)g->shared_bytes / 2 + 1024; /* so that no multiprocessor has two blocks */
    memset(r, 0, sizeof *r);
    r->g = g;
    r->p = p;
    r->peers.n_devices = p->n_devices;
    for (uint32_t i = 0; i < p->n_devices; i++) {
        struct tgi_resident_view *v = &r->v[i];
        resident_peers_enter(g, i);
        v->tasks = (void *)resident_gpu_bytes(p->tasks, n * sizeof *p->tasks);
        v->first = (void *)resident_gpu_bytes(p->first, (p->n_workers + 1u) * 4);
        v->outs = (void *)resident_gpu_bytes(p->outs, p->n_outs * 4ul);
        v->ins = (void *)resident_gpu_bytes(p->ins, p->n_ins * 4ul);
        v->args = p->args ? (void *)resident_gpu_bytes(p->args, n * 8) : NULL;
        v->copies = (void *)resident_gpu_bytes(NULL, sizeof *v->copies); /* the one of nothing */
        v->counters = (void *)resident_gpu_bytes(NULL, p->n_counters * 4ul);
        v->cells = (void *)resident_gpu_bytes(NULL, p->n_cells * sizeof(struct tgi_cell));
        v->results = (void *)resident_gpu_bytes(NULL, n * 8);
        v->lines = has_lines ? (void *)resident_gpu_bytes(NULL, n * 8 * TGI_RESIDENT_LINE_WORDS) : NULL;
        v->progress = (void *)resident_gpu_bytes(NULL, p->n_workers * 4ul);
        v->control = (void *)resident_gpu_bytes(NULL, sizeof *v->control);
        v->limit_ns = limit_ns;
        v->n_workers_each = p->n_workers_each;
        v->n_shared_cells = p->n_shared_cells;
        v->n_shared_counters = p->n_shared_counters;
        r->peers.of[i] = (struct tgi_resident_peer){(void *)resident_gpu_bytes(NULL, p->n_far_counters * 4ul),
                                                    (void *)resident_gpu_bytes(NULL, p->n_far_cells * sizeof(struct tgi_cell)),
                                                    v->results, v->lines, v->control};
    }
    r->n_shared_bytes = tgi_resident_shared_bytes(p->n_workers_each, p->n_shared_cells, p->n_shared_counters);
    if (r->n_shared_bytes < alone)
        r->n_shared_bytes = alone;
}

static inline void resident_spread_fini(struct resident_spread *r)
{
    for (uint32_t i = 0; i < r->p->n_devices; i++) {
        const struct tgi_resident_view *v = &r->v[i];
        const void *const all[] = {v->tasks, v->first, v->outs, v->ins, v->args, v->copies, v->counters, v->cells, v->results, v->lines,
                                   v->progress, v->control, r->peers.of[i].far_counters, r->peers.of[i].far_cells};
        resident_peers_enter(r->g, i);
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (all[k])
                api->cuMemFree((CUdeviceptr)all[k]);
    }
}

/* Enqueues the next epoch on all devices; on none does it begin before all have ended the one before. */
static inline void resident_spread_launch(struct resident_spread *r)
{
    uint32_t n = r->p->n_devices;
    for (uint32_t i = 0; i < n; i++) {
        resident_peers_enter(r->g, i);
        for (uint32_t k = 0; k < n && r->v[i].epoch > 0; k++)
            if (k != i)
                DO(cuStreamWaitEvent, (r->g->device[i].stream, r->g->device[k].end, 0));
    }
    for (uint32_t i = 0; i < n; i++) {
        struct tgi_resident_peers peers = r->peers;
        void *args[] = {&r->v[i], &peers};
        r->v[i].epoch++;
        peers.device = i;
        peers.first_worker = i * (r->p->n_workers / n);
        resident_peers_enter(r->g, i);
        DO(cuLaunchCooperativeKernel, (r->g->device[i].kernel, r->p->n_blocks / n, 1, 1, 32 * r->p->n_workers_each, 1, 1,
                                       r->n_shared_bytes, r->g->device[i].stream, args));
    }
    for (uint32_t i = 0; i < n; i++) {
        resident_peers_enter(r->g, i);
        DO(cuEventRecord, (r->g->device[i].end, r->g->device[i].stream));
    }
}

/* The time of n epochs in a row, on the first device's clock until all have ended. */
static inline double resident_spread_time(struct resident_spread *r, uint32_t n)
{
    const struct resident_peers_device *first = &r->g->device[0];
    float ms;
    resident_peers_enter(r->g, 0);
    DO(cuEventRecord, (first->begin, first->stream));
    for (uint32_t i = 0; i < n; i++)
        resident_spread_launch(r);
    resident_peers_enter(r->g, 0);
    for (uint32_t k = 1; k < r->p->n_devices; k++)
        DO(cuStreamWaitEvent, (first->stream, r->g->device[k].end, 0));
    DO(cuEventRecord, (first->end, first->stream));
    resident_peers_sync(r->g);
    resident_peers_enter(r->g, 0);
    DO(cuEventElapsedTime, (&ms, first->begin, first->end));
    return ms * 1e6;
}

/* One epoch as a CUDA graph, a node on each device; they count epochs themselves, so it is the same each time.  Not beside
 * resident_spread_launch(). */
static inline CUgraphExec resident_spread_graph(struct resident_spread *r)
{
    uint32_t n = r->p->n_devices;
    CUgraph graph;
    CUgraphExec exec;
    DO(cuGraphCreate, (&graph, 0));
    for (uint32_t i = 0; i < n; i++) {
        struct tgi_resident_view v = r->v[i];
        struct tgi_resident_peers peers = r->peers;
        void *args[] = {&v, &peers};
        CUgraphNode node;
        CUlaunchAttributeValue value = {.cooperative = 1};
        CUDA_KERNEL_NODE_PARAMS params = {.func = r->g->device[i].kernel, .gridDimX = r->p->n_blocks / n, .gridDimY = 1, .gridDimZ = 1,
                                          .blockDimX = 32 * r->p->n_workers_each, .blockDimY = 1, .blockDimZ = 1,
                                          .sharedMemBytes = r->n_shared_bytes, .kernelParams = args};
        v.epoch = 0;
        peers.device = i;
        peers.first_worker = i * (r->p->n_workers / n);
        resident_peers_enter(r->g, i);
        DO(cuGraphAddKernelNode, (&node, graph, NULL, 0, &params));
        DO(cuGraphKernelNodeSetAttribute, (node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value));
    }
    resident_peers_enter(r->g, 0);
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    DO(cuGraphDestroy, (graph));
    return exec;
}

/* The time of n replays of it in a row. */
static inline double resident_spread_replay(struct resident_spread *r, CUgraphExec exec, uint32_t n)
{
    const struct resident_peers_device *first = &r->g->device[0];
    float ms;
    resident_peers_enter(r->g, 0);
    DO(cuEventRecord, (first->begin, first->stream));
    for (uint32_t i = 0; i < n; i++)
        DO(cuGraphLaunch, (exec, first->stream));
    DO(cuEventRecord, (first->end, first->stream));
    DO(cuStreamSynchronize, (first->stream));
    DO(cuEventElapsedTime, (&ms, first->begin, first->end));
    for (uint32_t i = 0; i < r->p->n_devices; i++)
        r->v[i].epoch += n; /* as the devices have counted */
    return ms * 1e6;
}

static inline uint32_t resident_spread_first_slot(const struct resident_spread *r, uint32_t device)
{
    return r->p->first[device * (r->p->n_workers / r->p->n_devices)];
}

/* Of tasks that are executed, by what the last epoch's workers have noted. */
static inline uint32_t resident_spread_n_done(const struct resident_spread *r)
{
    uint32_t each = r->p->n_workers / r->p->n_devices, n_done = 0, *progress = malloc(r->p->n_workers * 4ul);
    for (uint32_t i = 0; i < r->p->n_devices; i++) {
        resident_peers_enter(r->g, i);
        DO(cuMemcpyDtoH, (progress, (CUdeviceptr)r->v[i].progress, r->p->n_workers * 4ul));
        for (uint32_t w = i * each; w < (i + 1) * each; w++)
            n_done += r->p->first[w] == r->p->first[w + 1] ? 0 : progress[w];
    }
    free(progress);
    return n_done;
}

/* Ends the program if the last epoch went wrong on any device. */
static inline void resident_spread_check(struct resident_spread *r, const struct tgi_resident_dag *d, const char *what)
{
    struct tgi_resident_control control;
    const struct tgi_resident_panic *panic = &control.panic;
    size_t n = d->n_tasks, n_words = r->v[0].lines ? n * TGI_RESIDENT_LINE_WORDS : 0;
    uint64_t *got = malloc(n * 8 + 8), *want = malloc(n * 8 + 8), *line = malloc(n_words * 8 + 8), *want_line = malloc(n_words * 8 + 8);
    for (uint32_t i = 0; i < r->p->n_devices; i++) {
        resident_peers_enter(r->g, i);
        DO(cuMemcpyDtoH, (&control, (CUdeviceptr)r->v[i].control, sizeof control));
        if (panic->code || control.abort)
            bench_die("%s, epoch %u, GPU %u: panic %u, abort %u: task %u on worker %u, slot %u, waits at %u for %u, which is %u (%u)",
                      what, r->v[i].epoch, i, panic->code, control.abort, panic->task, panic->worker, panic->slot, panic->wait,
                      panic->wanted, panic->seen, panic->detail);
        uint32_t begin = resident_spread_first_slot(r, i), end = resident_spread_first_slot(r, i + 1);
        if (begin == end)
            continue;
        DO(cuMemcpyDtoH, (got + begin, (CUdeviceptr)(r->v[i].results + begin), (end - begin) * 8ul));
        if (n_words)
            DO(cuMemcpyDtoH, (line + (size_t)begin * TGI_RESIDENT_LINE_WORDS,
                              (CUdeviceptr)(r->v[i].lines + (size_t)begin * TGI_RESIDENT_LINE_WORDS),
                              (end - begin) * 8ul * TGI_RESIDENT_LINE_WORDS));
    }
    if (resident_spread_n_done(r) != d->n_tasks)
        bench_die("%s, epoch %u: %u of %u tasks were executed", what, r->v[0].epoch, resident_spread_n_done(r), d->n_tasks);
    resident_dag_execute(d, r->v[0].epoch, want, n_words ? want_line : NULL);
    for (uint32_t t = 0; t < d->n_tasks; t++) {
        uint32_t slot = r->p->slot_of[t];
        if (got[slot] != want[t])
            bench_die("%s, epoch %u: task %u on slot %u has another result", what, r->v[0].epoch, t, slot);
        if (TGI_RESIDENT_HAS_LINE(d->op[t]) &&
            memcmp(line + (size_t)slot * TGI_RESIDENT_LINE_WORDS, want_line + (size_t)t * TGI_RESIDENT_LINE_WORDS,
                   8 * TGI_RESIDENT_LINE_WORDS))
            bench_die("%s, epoch %u: task %u on slot %u has another line", what, r->v[0].epoch, t, slot);
    }
    free(got);
    free(want);
    free(line);
    free(want_line);
}

/* ---- Yardsticks ---------------------------------------------------------------------------*/

/* One bare hop between the first two GPUs, in ns. */
static inline double resident_peers_hop(const struct resident_peers *g, uint32_t form)
{
    enum { ROUNDS = 5000 };
    struct tgi_peers_probe p[2];
    uint64_t ns;
    for (uint32_t i = 0; i < 2; i++) {
        resident_peers_enter(g, i);
        p[i] = (struct tgi_peers_probe){form, ROUNDS, i == 0, 2000000000u, (void *)resident_gpu_bytes(NULL, 2048), NULL, NULL};
        p[i].ns_p = p[i].mine + 128;
    }
    for (uint32_t i = 0; i < 2; i++) {
        void *args[] = {&p[i]};
        p[i].other = p[1 - i].mine;
        resident_peers_enter(g, i);
        DO(cuLaunchCooperativeKernel, (g->device[i].probe, 1, 1, 1, 32, 1, 1, 0, g->device[i].stream, args));
    }
    resident_peers_sync(g);
    resident_peers_enter(g, 0);
    DO(cuMemcpyDtoH, (&ns, (CUdeviceptr)p[0].ns_p, 8));
    for (uint32_t i = 0; i < 2; i++) {
        resident_peers_enter(g, i);
        DO(cuMemFree, ((CUdeviceptr)p[i].mine));
    }
    if (!ns)
        bench_die("peers: the bare exchange %u did not end well", form);
    return (double)ns / (2 * (ROUNDS - 1));
}

#endif
