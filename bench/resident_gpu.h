/* Resident programs on a GPU, by hand: tables brought there, epochs launched and timed, results compared. */
#ifndef BENCH_RESIDENT_GPU_H
#define BENCH_RESIDENT_GPU_H

#include "bench/cuda_bare.h"
#include "bench/resident_dag.h"
#include "gpu/resident/module.h"
#include "gpu/resident/probe.h"
#include "mem/resident_dynamic.h"
#include "sched/resident_dynamic.h"

struct resident_gpu {
    CUmodule module;
    CUfunction kernel[2]; /* by width */
    CUfunction dynamic, nothing, probe;
    CUstream stream;
    CUevent begin, end;
    int n_sms, shared_bytes; /* of a block, at most */
};

static inline void resident_gpu_open(struct resident_gpu *g)
{
    const void *image = tgi_resident_fatbin(&(size_t){0});
    if (!image)
        bench_die("built with CUDA=0");
    bare_open(0);
    DO(cuModuleLoadData, (&g->module, image));
    DO(cuModuleGetFunction, (&g->kernel[TGI_RESIDENT_WARP], g->module, "tgk_resident_warp"));
    DO(cuModuleGetFunction, (&g->kernel[TGI_RESIDENT_THREAD], g->module, "tgk_resident_thread"));
    DO(cuModuleGetFunction, (&g->dynamic, g->module, "tgk_resident_dynamic"));
    DO(cuModuleGetFunction, (&g->nothing, g->module, "tgk_resident_nothing"));
    DO(cuModuleGetFunction, (&g->probe, g->module, "tgk_probe"));
    DO(cuStreamCreate, (&g->stream, CU_STREAM_NON_BLOCKING));
    DO(cuEventCreate, (&g->begin, 0));
    DO(cuEventCreate, (&g->end, 0));
    DO(cuDeviceGetAttribute, (&g->n_sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    DO(cuDeviceGetAttribute, (&g->shared_bytes, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0));
    for (int i = 0; i < 2; i++)
        DO(cuFuncSetAttribute, (g->kernel[i], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, g->shared_bytes));
    DO(cuFuncSetAttribute, (g->dynamic, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, g->shared_bytes));
    DO(cuFuncSetAttribute, (g->probe, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, g->shared_bytes / 2 + 1024));
}

static inline void resident_gpu_close(struct resident_gpu *g)
{
    api->cuEventDestroy(g->begin);
    api->cuEventDestroy(g->end);
    api->cuStreamDestroy(g->stream);
    api->cuModuleUnload(g->module);
    bare_close(0);
}

static inline CUdeviceptr resident_gpu_bytes(const void *from, size_t bytes)
{
    CUdeviceptr p;
    DO(cuMemAlloc, (&p, bytes ? bytes : 16));
    if (from && bytes)
        DO(cuMemcpyHtoD, (p, from, bytes));
    else
        DO(cuMemsetD8Async, (p, 0, bytes ? bytes : 16, NULL));
    DO(cuStreamSynchronize, (NULL));
    return p;
}

/* A program on the GPU. */
struct resident_program {
    struct resident_gpu *g;
    const struct tgi_resident_program *p;
    struct tgi_resident_view v;
    uint32_t n_shared_bytes;
};

static inline void resident_program_init(struct resident_program *r, struct resident_gpu *g,
                                         const struct tgi_resident_program *p, bool has_lines, uint64_t limit_ns)
{
    size_t n = p->n_slots;
    uint32_t alone = (uint32_t)g->shared_bytes / 2 + 1024; /* so that no multiprocessor has two blocks */
    memset(r, 0, sizeof *r);
    r->g = g;
    r->p = p;
    r->v.tasks = (void *)resident_gpu_bytes(p->tasks, n * sizeof *p->tasks);
    r->v.first = (void *)resident_gpu_bytes(p->first, (p->n_workers + 1u) * 4);
    r->v.outs = (void *)resident_gpu_bytes(p->outs, p->n_outs * 4ul);
    r->v.ins = (void *)resident_gpu_bytes(p->ins, p->n_ins * 4ul);
    r->v.args = p->args ? (void *)resident_gpu_bytes(p->args, n * 8) : NULL;
    r->v.counters = (void *)resident_gpu_bytes(NULL, p->n_counters * 4ul);
    r->v.cells = (void *)resident_gpu_bytes(NULL, p->n_cells * sizeof(struct tgi_cell));
    r->v.results = (void *)resident_gpu_bytes(NULL, n * 8);
    r->v.lines = has_lines ? (void *)resident_gpu_bytes(NULL, n * 8 * TGI_RESIDENT_LINE_WORDS) : NULL;
    r->v.progress = (void *)resident_gpu_bytes(NULL, p->n_workers * 4ul);
    r->v.control = (void *)resident_gpu_bytes(NULL, sizeof *r->v.control);
    r->v.limit_ns = limit_ns;
    r->v.n_workers_each = p->n_workers_each;
    r->v.n_shared_cells = p->n_shared_cells;
    r->v.n_shared_counters = p->n_shared_counters;
    r->n_shared_bytes = tgi_resident_shared_bytes(p->n_workers_each, p->n_shared_cells, p->n_shared_counters);
    if (r->n_shared_bytes < alone)
        r->n_shared_bytes = alone;
}

static inline void resident_program_fini(struct resident_program *r)
{
    const void *const all[] = {r->v.tasks, r->v.first, r->v.outs, r->v.ins, r->v.args, r->v.counters, r->v.cells,
                               r->v.results, r->v.lines, r->v.progress, r->v.control};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            api->cuMemFree((CUdeviceptr)all[i]);
}

/* Enqueues the next epoch. */
static inline void resident_program_launch(struct resident_program *r)
{
    void *args[] = {&r->v};
    r->v.epoch++;
    DO(cuLaunchCooperativeKernel, (r->g->kernel[r->p->width], r->p->n_blocks, 1, 1, 32 * r->p->n_workers_each, 1, 1,
                                   r->n_shared_bytes, r->g->stream, args));
}

/* The GPU's time for n epochs in a row. */
static inline double resident_program_time(struct resident_program *r, uint32_t n)
{
    float ms;
    DO(cuEventRecord, (r->g->begin, r->g->stream));
    for (uint32_t i = 0; i < n; i++)
        resident_program_launch(r);
    DO(cuEventRecord, (r->g->end, r->g->stream));
    DO(cuStreamSynchronize, (r->g->stream));
    DO(cuEventElapsedTime, (&ms, r->g->begin, r->g->end));
    return ms * 1e6;
}

/* Ends the program if the last epoch went wrong. */
static inline void resident_program_check(struct resident_program *r, const struct tgi_resident_dag *d, const char *what)
{
    struct tgi_resident_control control;
    const struct tgi_resident_panic *panic = &control.panic;
    size_t n = r->p->n_slots, n_words = n * TGI_RESIDENT_LINE_WORDS;
    uint32_t *progress = malloc(r->p->n_workers * 4ul), n_done = 0;
    uint64_t *got = malloc(n * 8 + 8), *want = malloc(n * 8 + 8), *line = NULL, *want_line = NULL;
    DO(cuMemcpyDtoH, (&control, (CUdeviceptr)r->v.control, sizeof control));
    if (panic->code)
        bench_die("%s, epoch %u: panic %u: task %u on worker %u, slot %u, waits at %u for %u, which is %u (%u)", what,
                  r->v.epoch, panic->code, panic->task, panic->worker, panic->slot, panic->wait, panic->wanted,
                  panic->seen, panic->detail);
    DO(cuMemcpyDtoH, (progress, (CUdeviceptr)r->v.progress, r->p->n_workers * 4ul));
    for (uint32_t w = 0; w < r->p->n_workers; w++)
        n_done += r->p->first[w] == r->p->first[w + 1] ? 0 : progress[w];
    if (n_done != r->p->n_slots)
        bench_die("%s, epoch %u: %u of %u slots were executed", what, r->v.epoch, n_done, r->p->n_slots);
    DO(cuMemcpyDtoH, (got, (CUdeviceptr)r->v.results, n * 8));
    if (r->v.lines) {
        line = malloc(n_words * 8 + 8);
        want_line = malloc(n_words * 8 + 8);
        DO(cuMemcpyDtoH, (line, (CUdeviceptr)r->v.lines, n_words * 8));
    }
    resident_dag_execute(d, r->v.epoch, want, want_line);
    for (uint32_t t = 0; t < d->n_tasks; t++) {
        uint32_t slot = r->p->slot_of[t];
        if (got[slot] != want[t])
            bench_die("%s, epoch %u: task %u on slot %u has another result", what, r->v.epoch, t, slot);
        if (TGI_RESIDENT_HAS_LINE(d->op[t]) &&
            memcmp(line + (size_t)slot * TGI_RESIDENT_LINE_WORDS, want_line + (size_t)t * TGI_RESIDENT_LINE_WORDS,
                   8 * TGI_RESIDENT_LINE_WORDS))
            bench_die("%s, epoch %u: task %u on slot %u has another line", what, r->v.epoch, t, slot);
    }
    free(progress);
    free(got);
    free(want);
    free(line);
    free(want_line);
}

/* ---- Dynamic programs -----------------------------------------------------------------------*/

struct resident_dynamic {
    struct resident_gpu *g;
    const struct tgi_resident_dynamic *p;
    struct tgi_resident_view v;
    struct tgi_resident_pool pool;
    uint32_t n_workers;
};

static inline void resident_dynamic_init(struct resident_dynamic *r, struct resident_gpu *g,
                                         const struct tgi_resident_dynamic *p, uint32_t each, uint32_t made,
                                         uint64_t limit_ns)
{
    enum { LOCAL = 32, FAR = 256, CHUNK = 32 };
    size_t n = p->n_tasks + made + 1ul;
    memset(r, 0, sizeof *r);
    r->g = g;
    r->p = p;
    r->n_workers = (uint32_t)g->n_sms * each;
    size_t n_rings = (size_t)r->n_workers * TGI_RESIDENT_CLASSES;
    r->v.tasks = (void *)resident_gpu_bytes(p->tasks, p->n_tasks * sizeof *p->tasks);
    r->v.outs = (void *)resident_gpu_bytes(p->outs, p->n_outs * 4ul);
    r->v.ins = (void *)resident_gpu_bytes(p->ins, p->n_ins * 4ul);
    r->v.args = p->args ? (void *)resident_gpu_bytes(p->args, p->n_tasks * 8ul) : NULL;
    r->v.counters = (void *)resident_gpu_bytes(NULL, n * 4);
    r->v.results = (void *)resident_gpu_bytes(NULL, n * 8);
    r->v.progress = (void *)resident_gpu_bytes(NULL, r->n_workers * 4ul);
    r->v.control = (void *)resident_gpu_bytes(NULL, sizeof *r->v.control);
    r->v.limit_ns = limit_ns;
    r->v.n_workers_each = each;
    r->pool.roots = p->n_roots == p->n_tasks ? NULL : (void *)resident_gpu_bytes(p->roots, p->n_roots * 4ul);
    r->pool.rings = (void *)resident_gpu_bytes(NULL, n_rings * sizeof(struct tgi_ring));
    r->pool.slots = (void *)resident_gpu_bytes(NULL, n_rings * FAR * 4);
    r->pool.next = (void *)resident_gpu_bytes(NULL, n * 4);
    r->pool.idle = (void *)resident_gpu_bytes(NULL, (size_t)g->n_sms * sizeof *r->pool.idle);
    r->pool.mail = (void *)resident_gpu_bytes(NULL, r->n_workers * sizeof *r->pool.mail);
    r->pool.made = (void *)resident_gpu_bytes(NULL, (made + 1ul) * sizeof *r->pool.made);
    r->pool.counts = (void *)resident_gpu_bytes(NULL, sizeof *r->pool.counts);
    r->pool.n_tasks = p->n_tasks;
    r->pool.n_roots = p->n_roots;
    r->pool.n_blocks = (uint32_t)g->n_sms;
    r->pool.ring_capacity = FAR;
    r->pool.local_capacity = LOCAL;
    r->pool.made_capacity = made;
    /* A worker should claim some eight times. */
    r->pool.chunk = p->n_roots / (8 * r->n_workers) < CHUNK ? 1 + p->n_roots / (8 * r->n_workers) : CHUNK;
}

static inline void resident_dynamic_fini(struct resident_dynamic *r)
{
    const void *const all[] = {r->v.tasks, r->v.outs, r->v.ins, r->v.args, r->v.counters, r->v.results, r->v.progress,
                               r->v.control, r->pool.roots, r->pool.rings, r->pool.slots, r->pool.next, r->pool.idle,
                               r->pool.mail, r->pool.made, r->pool.counts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            api->cuMemFree((CUdeviceptr)all[i]);
}

/* The GPU's time for the next epoch, which ends the program if it went wrong.  What tasks made is told by *made_p. */
static inline double resident_dynamic_time(struct resident_dynamic *r, const char *what, uint32_t *made_p)
{
    struct tgi_resident_control control;
    struct tgi_resident_counts counts;
    const struct tgi_resident_panic *panic = &control.panic;
    void *args[] = {&r->v, &r->pool};
    float ms;
    uint32_t n_bytes = tgi_resident_local_bytes(r->v.n_workers_each, r->pool.local_capacity);
    uint32_t alone = (uint32_t)r->g->shared_bytes / 2 + 1024;
    r->v.epoch++;
    DO(cuEventRecord, (r->g->begin, r->g->stream));
    DO(cuLaunchCooperativeKernel, (r->g->dynamic, r->g->n_sms, 1, 1, 32 * r->v.n_workers_each, 1, 1,
                                   n_bytes > alone ? n_bytes : alone, r->g->stream, args));
    DO(cuEventRecord, (r->g->end, r->g->stream));
    DO(cuStreamSynchronize, (r->g->stream));
    DO(cuEventElapsedTime, (&ms, r->g->begin, r->g->end));
    DO(cuMemcpyDtoH, (&control, (CUdeviceptr)r->v.control, sizeof control));
    DO(cuMemcpyDtoH, (&counts, (CUdeviceptr)r->pool.counts, sizeof counts));
    uint32_t made = counts.made - r->pool.made_before;
    if (panic->code)
        bench_die("%s, dynamic, epoch %u: panic %u: task %u on worker %u: %u of %u (%u)", what, r->v.epoch, panic->code,
                  panic->task, panic->worker, panic->seen, panic->wanted, panic->detail);
    if (counts.finished - r->pool.finished_before != r->pool.n_tasks + made)
        bench_die("%s, dynamic, epoch %u: %u of %u tasks were executed", what, r->v.epoch,
                  counts.finished - r->pool.finished_before, r->pool.n_tasks + made);
    r->pool.made_before = counts.made;
    r->pool.finished_before = counts.finished;
    *made_p = made;
    return ms * 1e6;
}

static inline void resident_dynamic_check(struct resident_dynamic *r, const struct tgi_resident_dag *d, const char *what)
{
    size_t n = d->n_tasks;
    uint64_t *got = malloc(n * 8 + 8), *want = malloc(n * 8 + 8);
    DO(cuMemcpyDtoH, (got, (CUdeviceptr)r->v.results, n * 8));
    resident_dag_execute(d, r->v.epoch, want, NULL);
    for (uint32_t t = 0; t < d->n_tasks; t++)
        if (got[t] != want[t])
            bench_die("%s, dynamic, epoch %u: task %u has another result", what, r->v.epoch, t);
    free(got);
    free(want);
}

/* ---- Yardsticks ---------------------------------------------------------------------------*/

/* One hop, in ns: block 0 and a few others, the mean. */
static inline double resident_gpu_hop(struct resident_gpu *g, uint32_t form)
{
    enum { ROUNDS = 2000, PLACES = 4 };
    double sum = 0;
    for (uint32_t i = 0; i < PLACES; i++) {
        uint64_t ns;
        struct tgi_probe p = {form, ROUNDS, 1 + i * ((uint32_t)g->n_sms - 2) / (PLACES - 1), 2000000000u, NULL, NULL};
        p.memory = (void *)resident_gpu_bytes(NULL, 2048);
        p.ns_p = p.memory + 128;
        void *args[] = {&p};
        DO(cuLaunchCooperativeKernel, (g->probe, g->n_sms, 1, 1, 64, 1, 1, g->shared_bytes / 2 + 1024, g->stream, args));
        DO(cuStreamSynchronize, (g->stream));
        DO(cuMemcpyDtoH, (&ns, (CUdeviceptr)p.ns_p, 8));
        DO(cuMemFree, ((CUdeviceptr)p.memory));
        if (!ns)
            bench_die("probe %u between blocks 0 and %u did not end well", form, p.other);
        sum += (double)ns / (2 * (ROUNDS - 1));
    }
    return sum / PLACES;
}

/* The same graph as a CUDA graph of empty kernels: ns a node on the GPU. */
static inline double resident_gpu_graph(struct resident_gpu *g, const struct tgi_resident_dag *d, uint32_t n_runs)
{
    CUgraph graph;
    CUgraphExec exec;
    struct bench_sample sample = {{0}, 0};
    uint32_t n = d->n_tasks;
    CUgraphNode *node = malloc((n + 1ul) * sizeof *node), *after = malloc((n + 1ul) * sizeof *after);
    CUDA_KERNEL_NODE_PARAMS params = {.func = g->nothing, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 32,
                                      .blockDimY = 1, .blockDimZ = 1};
    DO(cuGraphCreate, (&graph, 0));
    for (uint32_t t = 0; t < n; t++) {
        uint32_t n_after = 0;
        for (uint32_t u = 0; u < t; u++)
            for (uint32_t e = d->succ_at[u]; e < d->succ_at[u + 1]; e++)
                if (d->succ[e] == t)
                    after[n_after++] = node[u];
        DO(cuGraphAddKernelNode, (&node[t], graph, after, n_after, &params));
    }
    DO(cuGraphInstantiateWithFlags, (&exec, graph, 0));
    for (uint32_t i = 0; i <= n_runs; i++) {
        float ms;
        DO(cuEventRecord, (g->begin, g->stream));
        DO(cuGraphLaunch, (exec, g->stream));
        DO(cuEventRecord, (g->end, g->stream));
        DO(cuStreamSynchronize, (g->stream));
        DO(cuEventElapsedTime, (&ms, g->begin, g->end));
        if (i > 0)
            bench_sample_add(&sample, (uint64_t)(ms * 1e6));
    }
    api->cuGraphExecDestroy(exec);
    api->cuGraphDestroy(graph);
    free(node);
    free(after);
    return (double)bench_sample_median(&sample) / n;
}

#endif
