/* Graphs of several devices that are launched together and wait for each other by flags (flag.h, mem/split.h).
 *
 * A launch is one command of its lane: the other devices' parts are launched in their first lanes, which wait for an event behind
 * what the lane had before, and the lane waits for an event behind each of them.  No part needs another one's launch for
 * anything but its awaits, so the host may be held up between two of them.  If one cannot be launched, those that were are told to leave their awaits, and
 * flags are set to 0 before the next launch, as nobody knows which are. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/code.h"
#include "gpu/graph_build.h"
#include "graph/environment.h"
#include "graph/error.h"
#include "mem/split.h"

static const uint64_t limit_ns = 10000000000u; /* for launching all parts */

/* relaxed: awaits read nothing else that the host writes before it. */
static void tell(struct tgi_cuda_flags *f, enum tgi_launching launching)
{
    __atomic_store_n(&f->words->launching, (uint32_t)launching, __ATOMIC_RELAXED);
}

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "making a graph"); }

/* With CUDA_LAUNCH_BLOCKING a launch waits for its part to end, before the next one that it waits for is launched.  A driver or build that
 * has no kernels of our own is no error. */
int tgi_cuda_can_signal(struct tgi_devices *ds, uint32_t from, uint32_t to, bool *can_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    const char *blocking = getenv("CUDA_LAUNCH_BLOCKING");
    CUfunction ignored;
    *can_p = false;
    if ((blocking && strcmp(blocking, "0") != 0) || !ds->info[from].has_peer[to])
        return 0;
    int rc = tgi_cuda_flag_function(cuda, from, TGI_SIGNAL_KERNEL, &ignored, err);
    if (rc == 0)
        rc = tgi_cuda_flag_function(cuda, to, TGI_AWAIT_KERNEL, &ignored, err);
    *can_p = rc == 0;
    return rc == TG_E_UNSUPPORTED ? 0 : rc;
}

/* ---- Making -------------------------------------------------------------------------------*/

static int await_clearing(struct tgi_cuda *cuda, struct tgi_cuda_flags *f, uint32_t device, struct tg_error *err)
{
    int rc = TGI_CUDA_DO(cuda, err, cuStreamSynchronize, (tgi_cuda_stream(cuda, tgi_lane_of(device, 0))), "clearing the flags of a graph on cuda:%u",
                         cuda->base.ordinal[device]);
    f->is_clearing[device] = rc != 0;
    return rc;
}

/* Waits: a launch writes flags of several devices from several streams. */
static int clear(struct tgi_cuda *cuda, struct tgi_cuda_flags *f, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        if (!f->at[d])
            continue;
        rc = tgi_cuda_enter(cuda, d, err);
        if (rc == 0)
            rc = TGI_CUDA_DO(cuda, err, cuMemsetD8Async, (f->at[d], 0, f->n[d] * sizeof(uint32_t), tgi_cuda_stream(cuda, tgi_lane_of(d, 0))),
                             "clearing the flags of a graph on cuda:%u", cuda->base.ordinal[d]);
        if (rc == 0)
            rc = await_clearing(cuda, f, d, err);
    }
    f->is_stale = rc != 0;
    f->words->missed = 0;
    return rc;
}

static int make_room(struct tgi_cuda *cuda, struct tgi_cuda_flags *f, uint32_t device, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0 && f->n[device])
        rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&f->at[device], f->n[device] * sizeof(uint32_t)), "making room for the flags of a graph on cuda:%u",
                         cuda->base.ordinal[device]);
    return rc ? rc : ops->event_create(&cuda->base, device, false, &f->ended[device], err);
}

/* What flags need of a device is its first await's. */
static uint64_t first_owner(const struct tgi_program *p, uint32_t device)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_AWAIT && tgi_lane_device(p->commands[i].lane) == device)
            return p->commands[i].owner;
    return UINT64_MAX;
}

int tgi_cuda_build_flags(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    const struct tgi_device_ops *ops = cuda->base.ops;
    uint32_t n_awaits = 0;
    void *words;
    for (uint32_t i = 0; i < p->n; i++)
        n_awaits += p->commands[i].kind == TGI_COMMAND_AWAIT;
    if (n_awaits == 0)
        return 0;
    struct tgi_cuda_flags *f = b->g->flags = calloc(1, sizeof *f);
    if (!f || !(f->owner = malloc(n_awaits * sizeof *f->owner)))
        return no_memory(err);
    int rc = ops->host_alloc(&cuda->base, sizeof *f->words, &words, err);
    if (rc)
        return rc;
    f->words = memset(words, 0, sizeof *f->words);
    rc = ops->event_create(&cuda->base, 0, false, &f->begun, err);
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        f->n[d] = tgi_program_flags(p, d);
        b->owner = first_owner(p, d);
        rc = make_room(cuda, f, d, err);
    }
    if (rc)
        return rc;
    b->owner = UINT64_MAX;
    return clear(cuda, f, err);
}

static int add_kernel(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, const char *kernel, void *argument, struct tg_error *err)
{
    uint32_t device = tgi_lane_device(part->p->commands[id].lane);
    void *args[] = {argument};
    CUDA_KERNEL_NODE_PARAMS k = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                 .kernelParams = args};
    int rc = tgi_cuda_flag_function(b->cuda, device, kernel, &k.func, err);
    return rc ? rc
              : TGI_CUDA_DO(b->cuda, err, cuGraphAddKernelNode, (&part->node[id], part->graph, b->after, b->n_after, &k),
                            "adding a flag to a graph");
}

static CUdeviceptr flag_at(const struct tgi_cuda_flags *f, uint32_t device, uint32_t flag)
{
    return f->at[device] + (CUdeviceptr)flag * sizeof(uint32_t);
}

static tgi_signal_args signal_of(const struct tgi_cuda_flags *f, const struct tgi_program *p, const struct tgi_command *c)
{
    tgi_signal_args args = {.n = c->flags.n};
    for (uint32_t i = 0; i < c->flags.n; i++) {
        uint64_t word = p->words[c->flags.first + i];
        args.flag[i] = (uint32_t *)(uintptr_t)flag_at(f, tgi_flag_device(word), tgi_flag_number(word));
    }
    return args;
}

static bool is_between_devices(const struct tgi_command *c)
{
    return c->kind == TGI_COMMAND_COPY && c->copy.from_node != TGI_HOST_NODE && c->copy.to_node != TGI_HOST_NODE &&
           c->copy.from_node != c->copy.to_node;
}

/* A copy is its lane's device's, which has to reach the other one; node i + 1 is device i. */
static bool find_push(const struct tgi_command *c, uint32_t *to_p)
{
    *to_p = c->copy.to_node - 1;
    return is_between_devices(c) && c->copy.from_node == tgi_lane_device(c->lane) + 1 && c->copy.bytes && c->copy.bytes <= TGI_PUSH_BYTES;
}

/* The same from the host; the memory has to be pinned as well. */
static bool find_pull(const struct tgi_command *c)
{
    return c->kind == TGI_COMMAND_COPY && c->copy.from_node == TGI_HOST_NODE && c->copy.to_node == tgi_lane_device(c->lane) + 1 && c->copy.bytes &&
           c->copy.bytes <= TGI_PULL_BYTES;
}

static bool is_readable(struct tgi_cuda *cuda, const struct tgi_command *c)
{
    const unsigned char *from = (const unsigned char *)(uintptr_t)c->copy.from;
    const struct tgi_device_ops *ops = cuda->base.ops;
    return ops->is_pinned(&cuda->base, from) && ops->is_pinned(&cuda->base, from + c->copy.bytes - 1);
}

bool tgi_cuda_can_pull(struct tgi_cuda *cuda, const struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id)
{
    return !find_pull(&p->commands[id]) || !g->is_pulled || !g->is_pulled[id] || is_readable(cuda, &p->commands[id]);
}

/* As a copy node would be the host's work at each launch of the graph.  A driver without such kernels copies. */
static int build_pulls(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    CUfunction ignored;
    int rc = 0, is_on = tgi_environment_switch("TGRAPH_PULL", 1, err);
    for (uint32_t i = 0; rc == 0 && is_on > 0 && i < p->n; i++) {
        if (!find_pull(&p->commands[i]) || !is_readable(b->cuda, &p->commands[i]))
            continue;
        if (!b->g->is_pulled && !(b->g->is_pulled = calloc(p->n, 1)))
            return tgi_error_memory(err, "making a graph");
        b->owner = p->commands[i].owner;
        rc = tgi_cuda_flag_function(b->cuda, tgi_lane_device(p->commands[i].lane), TGI_PUSH_KERNEL, &ignored, err);
        b->g->is_pulled[i] = rc == 0;
    }
    if (rc == 0 || rc == TG_E_UNSUPPORTED)
        b->owner = UINT64_MAX;
    return is_on < 0 ? is_on : rc == TG_E_UNSUPPORTED ? 0 : rc;
}

int tgi_cuda_build_pushes(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    uint32_t asked[TGI_MAX_DEVICES] = {0}, to;
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t from = tgi_lane_device(p->commands[i].lane);
        bool can_push = false;
        if (!find_push(&p->commands[i], &to) || asked[from] >> to & 1)
            continue;
        b->owner = p->commands[i].owner;
        int rc = tgi_cuda_can_signal(&b->cuda->base, from, to, &can_push, err);
        if (rc)
            return rc;
        asked[from] |= 1u << to;
        b->g->pushes[from] |= (uint32_t)can_push << to;
    }
    b->owner = UINT64_MAX;
    return build_pulls(b, p, err);
}

bool tgi_cuda_is_push(const struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id)
{
    uint32_t to;
    if (find_pull(&p->commands[id]))
        return g->is_pulled && g->is_pulled[id];
    return find_push(&p->commands[id], &to) && g->pushes[tgi_lane_device(p->commands[id].lane)] >> to & 1;
}

/* Not one that is timed: other commands come after the clock behind it. */
bool tgi_cuda_push_signals(const struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id)
{
    const struct tgi_command *c = &p->commands[id], *next = c + 1;
    return g->flags && tgi_cuda_is_push(g, p, id) && !c->step && c->copy.bytes <= TGI_PUSH_SIGNAL && id + 1 < p->n &&
           next->kind == TGI_COMMAND_SIGNAL && next->n_deps == 1 && p->deps[next->first_dep] == id;
}

int tgi_cuda_push_node(struct tgi_cuda *cuda, const struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id, tgi_push_args *args_p,
                       void **pointer_p, CUDA_KERNEL_NODE_PARAMS *node_p, struct tg_error *err)
{
    const struct tgi_command *c = &p->commands[id];
    uint64_t n_blocks = (c->copy.bytes + TGI_PUSH_EACH - 1) / TGI_PUSH_EACH;
    bool does_signal = tgi_cuda_push_signals(g, p, id);
    *args_p = (tgi_push_args){.to = (unsigned char *)(uintptr_t)c->copy.to, .from = (const unsigned char *)(uintptr_t)c->copy.from,
                              .bytes = c->copy.bytes};
    if (does_signal)
        args_p->signal = signal_of(g->flags, p, c + 1);
    *pointer_p = args_p;
    n_blocks = does_signal ? 1 : n_blocks < TGI_PUSH_BLOCKS ? n_blocks : TGI_PUSH_BLOCKS;
    *node_p = (CUDA_KERNEL_NODE_PARAMS){.gridDimX = (unsigned)n_blocks, .gridDimY = 1, .gridDimZ = 1, .blockDimX = TGI_PUSH_THREADS, .blockDimY = 1,
                                        .blockDimZ = 1, .kernelParams = pointer_p};
    return tgi_cuda_flag_function(cuda, tgi_lane_device(c->lane), TGI_PUSH_KERNEL, &node_p->func, err);
}

int tgi_cuda_build_flag(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err)
{
    const struct tgi_command *c = &part->p->commands[id];
    struct tgi_cuda_flags *f = b->g->flags;
    if (id && tgi_cuda_push_signals(b->g, part->p, id - 1)) {
        part->node[id] = part->node[id - 1];
        return 0;
    }
    if (c->kind == TGI_COMMAND_SIGNAL) {
        tgi_signal_args args = signal_of(f, part->p, c);
        return add_kernel(b, part, id, TGI_SIGNAL_KERNEL, &args, err);
    }
    tgi_await_args args = {.flags = (uint32_t *)(uintptr_t)flag_at(f, tgi_lane_device(c->lane), c->flags.first), .words = f->words,
                           .limit_ns = limit_ns, .n = c->flags.n, .number = f->n_awaits};
    f->owner[f->n_awaits++] = c->owner;
    return add_kernel(b, part, id, TGI_AWAIT_KERNEL, &args, err);
}

void tgi_cuda_graph_forget_flags(struct tgi_cuda *cuda, struct tgi_device_graph *g)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    struct tgi_cuda_flags *f = g->flags;
    if (!f)
        return;
    if (f->words) /* what is still waiting on devices that are lost has nothing to wait for */
        tell(f, TGI_GIVEN_UP);
    for (uint32_t d = 0; d < cuda->base.n_devices; d++) {
        if (f->at[d]) {
            struct tg_error ignored;
            tgi_cuda_try_enter(cuda, d);
            /* Memory that may still be written to is left to the process's end. */
            if (!f->is_clearing[d] || await_clearing(cuda, f, d, &ignored) == 0)
                cuda->api->cuMemFree(f->at[d]);
        }
        ops->event_destroy(&cuda->base, f->ended[d]);
    }
    ops->event_destroy(&cuda->base, f->begun);
    if (f->words)
        ops->host_free(&cuda->base, f->words);
    free(f->owner);
    free(f);
}

/* ---- Launching ----------------------------------------------------------------------------*/

/* Of a launch from `home`. */
static uint32_t lane_of(uint32_t home, uint32_t device)
{
    return device == tgi_lane_device(home) ? home : tgi_lane_of(device, 0);
}

/* The other lanes come after what this one has had before. */
static int begin(struct tgi_cuda *cuda, struct tgi_device_graph *g, uint32_t home, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    int rc = ops->record(&cuda->base, home, g->flags->begun, err);
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++)
        if (g->exec[d] && lane_of(home, d) != home)
            rc = ops->wait(&cuda->base, lane_of(home, d), g->flags->begun, err);
    return rc;
}

/* launched_p: parts that were, a bit each, also after an error. */
static int launch_parts(struct tgi_cuda *cuda, struct tgi_device_graph *g, uint32_t home, uint32_t *launched_p, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        if (!g->exec[d])
            continue;
        rc = tgi_cuda_enter(cuda, d, err);
        if (rc == 0)
            rc = TGI_CUDA_DO(cuda, err, cuGraphLaunch, (g->exec[d], tgi_cuda_stream(cuda, lane_of(home, d))),
                             "launching the part of cuda:%u of a graph of %u nodes", cuda->base.ordinal[d], g->n);
        *launched_p |= rc ? 0 : 1u << d;
    }
    return rc;
}

/* The lane comes after the parts of others. */
static int end(struct tgi_cuda *cuda, struct tgi_device_graph *g, uint32_t home, uint32_t launched, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < cuda->base.n_devices; d++) {
        if (!(launched >> d & 1) || lane_of(home, d) == home)
            continue;
        rc = ops->record(&cuda->base, lane_of(home, d), g->flags->ended[d], err);
        if (rc == 0)
            rc = ops->wait(&cuda->base, home, g->flags->ended[d], err);
    }
    return rc;
}

int tgi_cuda_flags_launch(struct tgi_cuda *cuda, struct tgi_device_graph *g, uint32_t home, struct tg_error *err)
{
    struct tgi_cuda_flags *f = g->flags;
    uint32_t launched = 0;
    int rc = f->is_stale ? clear(cuda, f, err) : 0;
    if (rc == 0)
        rc = begin(cuda, g, home, err);
    if (rc)
        return rc;
    tell(f, TGI_LAUNCHING);
    rc = launch_parts(cuda, g, home, &launched, err);
    f->is_stale = rc && launched;
    tell(f, f->is_stale ? TGI_GIVEN_UP : TGI_LAUNCHED);
    int answer = end(cuda, g, home, launched, rc ? NULL : err);
    return rc ? rc : answer;
}

int tgi_cuda_flags_fault(struct tgi_device_graph *g, uint64_t *owner_p, struct tg_error *err)
{
    struct tgi_cuda_flags *f = g->flags;
    /* relaxed: the launch is over, which the host has waited for. */
    uint32_t missed = __atomic_exchange_n(&f->words->missed, 0, __ATOMIC_RELAXED);
    if (missed == 0)
        return 0;
    f->is_stale = true;
    *owner_p = missed <= f->n_awaits ? f->owner[missed - 1] : UINT64_MAX;
    return tgi_error(err, TG_E_TASK_TIMEOUT, "it waited for %" PRIu64 " ms for another device, whose part of the graph was not launched meanwhile",
                     limit_ns / 1000000);
}
