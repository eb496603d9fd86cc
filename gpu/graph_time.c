/* Commands that are timed: each stands between two kernels of one thread that write down what %globaltimer says, and others come
 * after the second one, so that a command begins, as they have it, no earlier than what it comes after has ended.
 *
 * Event record nodes would need no code, but the host enqueues each of them at every launch: 4.6 to 7 us a node, where a graph of
 * kernels is launched as a whole (bench/cuda_nodes --what stamps, which also shows the clock's step: 32 ns on an H100).  What the
 * kernels cost is their own time between two commands that follow each other, and a place for one thread: where all places are
 * taken the second one comes once there is one. */
#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "gpu/code.h"
#include "gpu/graph_build.h"
#include "graph/error.h"

enum { N_LOOKS = 3 }; /* at a clock */

/* In a device's row: two for each command, and one for the clock. */
static CUdeviceptr stamp_at(const struct tgi_cuda_stamps *s, uint32_t i) { return s->at + (CUdeviceptr)i * sizeof(uint64_t); }

/* ---- Making -------------------------------------------------------------------------------*/

/* What stamps need of a device is the first command's that has some. */
static uint64_t first_owner(const struct tgi_program *p, uint32_t device)
{
    uint32_t i = 0;
    while (!tgi_command_is_timed(&p->commands[i]) || tgi_lane_device(p->commands[i].lane) != device)
        i++;
    return p->commands[i].owner;
}

/* Room on each device for what its commands are to tell. */
int tgi_cuda_build_stamps(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    struct tgi_cuda *cuda = b->cuda;
    bool is_timed = false, has_clock[TGI_MAX_DEVICES] = {false};
    for (uint32_t i = 0; i < p->n; i++) {
        g->stamps[tgi_lane_device(p->commands[i].lane)].n += p->commands[i].step ? 2 : 0;
        is_timed |= p->commands[i].step != 0;
        has_clock[tgi_lane_device(p->commands[i].lane)] |= tgi_command_is_timed(&p->commands[i]);
    }
    if (is_timed && (!(g->timed = calloc(p->n, sizeof *g->timed)) || !(g->times = calloc(2 * (size_t)p->n, sizeof *g->times))))
        return tgi_error_memory(err, "making a graph");
    for (uint32_t d = 0; d < cuda->base.n_devices; d++) {
        struct tgi_cuda_stamps *s = &g->stamps[d];
        size_t bytes = ((size_t)s->n + 1) * sizeof *s->host;
        if (!has_clock[d])
            continue;
        b->owner = first_owner(p, d);
        if (!(s->host = calloc(1, bytes)))
            return tgi_error_memory(err, "making a graph");
        int rc = tgi_cuda_stamp_function(cuda, d, &s->kernel, err);
        if (rc == 0)
            rc = tgi_cuda_enter(cuda, d, err);
        if (rc == 0)
            rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&s->at, bytes), "making room for the times of a graph on cuda:%u", cuda->base.ordinal[d]);
        if (rc)
            return rc;
    }
    return 0;
}

/* After b->after, which it becomes. */
static int add_stamp(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t device, uint32_t i, CUgraphNode *node_p,
                     struct tg_error *err)
{
    const struct tgi_cuda_stamps *s = &b->g->stamps[device];
    CUdeviceptr at = stamp_at(s, i);
    void *args[] = {&at};
    CUDA_KERNEL_NODE_PARAMS k = {.func = s->kernel, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1,
                                 .blockDimZ = 1, .kernelParams = args};
    int rc = tgi_cuda_enter(b->cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddKernelNode, (node_p, part->graph, b->after, b->n_after, &k), "adding a clock to a graph");
    if (rc == 0) {
        b->after[0] = *node_p;
        b->n_after = 1;
    }
    return rc;
}

int tgi_cuda_build_time_begin(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    uint32_t device = tgi_lane_device(part->p->commands[id].lane);
    CUgraphNode node;
    assert(part->node == g->node); /* rounds of a body that is decided about would all write to one place */
    g->timed[id].slot = g->stamps[device].n_used;
    g->stamps[device].n_used += 2;
    int rc = add_stamp(b, part, device, g->timed[id].slot, &node, err);
    return rc ? rc : tgi_cuda_build_note(b, node, err);
}

int tgi_cuda_build_time_end(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err)
{
    struct tgi_cuda_timed *t = &b->g->timed[id];
    t->node = b->after[0] = part->node[id];
    b->n_after = 1;
    int rc = tgi_cuda_build_note(b, t->node, err);
    return rc ? rc : add_stamp(b, part, tgi_lane_device(part->p->commands[id].lane), t->slot + 1, &part->node[id], err);
}

void tgi_cuda_graph_forget_times(struct tgi_cuda *cuda, struct tgi_device_graph *g)
{
    for (uint32_t d = 0; d < cuda->base.n_devices; d++) {
        if (g->stamps[d].at) {
            tgi_cuda_try_enter(cuda, d);
            cuda->api->cuMemFree(g->stamps[d].at);
        }
        free(g->stamps[d].host);
    }
    free(g->timed);
    free(g->times);
}

/* ---- Telling ------------------------------------------------------------------------------*/

int tgi_cuda_graph_times(struct tgi_devices *ds, struct tgi_device_graph *g, const struct tgi_program *p, const uint64_t **ns_p,
                         struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    for (uint32_t d = 0; d < ds->n_devices; d++) {
        struct tgi_cuda_stamps *s = &g->stamps[d];
        int rc = s->n ? tgi_cuda_enter(cuda, d, err) : 0;
        if (rc == 0 && s->n)
            rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (s->host, s->at, s->n * sizeof *s->host), "reading the times of a graph on cuda:%u",
                             ds->ordinal[d]);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < p->n; i++) {
        const uint64_t *from = &g->stamps[tgi_lane_device(p->commands[i].lane)].host[g->timed[i].slot];
        for (uint32_t k = 0; k < 2 && p->commands[i].step; k++)
            g->times[2 * i + k] = from[k];
    }
    *ns_p = g->times;
    return 0;
}

static uint64_t host_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The kernel looks at its clock at some time between the two. */
static int look(struct tgi_cuda *cuda, const struct tgi_cuda_stamps *s, uint32_t device, uint64_t *began_p, uint64_t *ended_p,
                struct tg_error *err)
{
    CUstream stream = tgi_cuda_stream(cuda, tgi_lane_of(device, 0));
    CUdeviceptr at = stamp_at(s, s->n);
    void *args[] = {&at};
    *began_p = host_ns();
    int rc = TGI_CUDA_DO(cuda, err, cuLaunchKernel, (s->kernel, 1, 1, 1, 1, 1, 1, 0, stream, args, NULL), "looking at the clock of cuda:%u",
                         cuda->base.ordinal[device]);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuStreamSynchronize, (stream), "looking at the clock of cuda:%u", cuda->base.ordinal[device]);
    *ended_p = host_ns();
    return rc ? rc : TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (&s->host[s->n], at, sizeof *s->host), "looking at the clock of cuda:%u",
                                 cuda->base.ordinal[device]);
}

int tgi_cuda_graph_clock(struct tgi_devices *ds, struct tgi_device_graph *g, uint32_t device, uint64_t *device_ns_p, uint64_t *host_ns_p,
                         struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    const struct tgi_cuda_stamps *s = &g->stamps[device];
    uint64_t began, ended, least = UINT64_MAX;
    int rc = tgi_cuda_enter(cuda, device, err);
    for (uint32_t i = 0; rc == 0 && i < N_LOOKS; i++) {
        rc = look(cuda, s, device, &began, &ended, err);
        if (rc || ended - began >= least)
            continue;
        least = ended - began;
        *device_ns_p = s->host[s->n];
        *host_ns_p = began + least / 2;
    }
    return rc;
}
