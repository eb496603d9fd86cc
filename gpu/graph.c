/* See graph.h. */
#include "gpu/graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "gpu/code.h"
#include "gpu/collective.h"
#include "graph/dtype.h"
#include "graph/error.h"
#include "mem/program.h"

struct tgi_device_graph {
    CUgraph graph;     /* kept for its nodes, which updates name */
    CUgraphExec exec;
    CUgraphNode *node; /* by command */
    uint32_t n;
    bool has_collectives;
};

/* Parameters of a node; which of them, the command's kind says.  args points into the program. */
struct node {
    bool is_captured; /* none: a child graph */
    CUcontext ctx;
    void *args[TG_MAX_PARAMS];
    union {
        CUDA_KERNEL_NODE_PARAMS kernel;
        CUDA_MEMCPY3D copy;
        CUDA_MEMSET_NODE_PARAMS set;
    };
};

/* ---- Parameters ---------------------------------------------------------------------------*/

static void describe_launch(const struct tgi_program *p, const struct tgi_command *c, struct node *n)
{
    const struct tgi_shape *s = &c->launch.shape;
    CUfunction f = tgi_cuda_single_launch(c->launch.code, s, tgi_lane_device(c->lane));
    n->is_captured = !f;
    for (uint32_t i = 0; i < c->launch.n_args; i++)
        n->args[i] = &p->words[c->launch.first_arg + i];
    n->kernel = (CUDA_KERNEL_NODE_PARAMS){.func = f, .gridDimX = s->grid[0], .gridDimY = s->grid[1], .gridDimZ = s->grid[2],
                                          .blockDimX = s->block[0], .blockDimY = s->block[1], .blockDimZ = s->block[2],
                                          .sharedMemBytes = s->shared_bytes, .kernelParams = n->args};
}

static void describe_copy(const struct tgi_command *c, struct node *n)
{
    const struct tgi_transfer *t = &c->copy;
    bool is_from_host = t->from_node == TGI_HOST_NODE, is_to_host = t->to_node == TGI_HOST_NODE;
    n->copy = (CUDA_MEMCPY3D){.srcMemoryType = is_from_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE,
                              .dstMemoryType = is_to_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE,
                              .srcHost = is_from_host ? (const void *)(uintptr_t)t->from : NULL,
                              .srcDevice = is_from_host ? 0 : t->from,
                              .dstHost = is_to_host ? (void *)(uintptr_t)t->to : NULL,
                              .dstDevice = is_to_host ? 0 : t->to,
                              .WidthInBytes = t->bytes, .Height = 1, .Depth = 1};
}

/* A pattern that a node can set, of at most 4 bytes; wider ones take several commands. */
static void describe_fill(const struct tgi_command *c, struct node *n)
{
    size_t size = tg_dtype_size(c->fill.dtype);
    uint64_t word = c->fill.dtype == TG_C64 ? c->fill.word & UINT32_MAX : c->fill.word;
    bool is_narrow = size <= 4 || word == 0 || (size == 8 && (uint32_t)word == (uint32_t)(word >> 32));
    unsigned element = size < 4 ? (unsigned)size : 4;
    n->is_captured = !is_narrow;
    n->set = (CUDA_MEMSET_NODE_PARAMS){.dst = c->fill.address, .value = (unsigned)(size < 4 ? word & ((1u << 8 * size) - 1) : word),
                                       .elementSize = element, .width = c->fill.n_elems * (size / element), .height = 1};
}

static int describe(struct tgi_cuda *cuda, const struct tgi_program *p, uint32_t id, struct node *n, struct tg_error *err)
{
    const struct tgi_command *c = &p->commands[id];
    uint32_t device = tgi_lane_device(c->lane);
    n->is_captured = c->kind == TGI_COMMAND_COLLECT;
    n->ctx = cuda->device[device].ctx;
    switch (c->kind) {
    case TGI_COMMAND_LAUNCH:
        describe_launch(p, c, n);
        break;
    case TGI_COMMAND_COPY:
        describe_copy(c, n);
        break;
    case TGI_COMMAND_FILL:
        describe_fill(c, n);
        break;
    default:
        break;
    }
    return tgi_cuda_enter(cuda, device, err);
}

/* ---- Capture ------------------------------------------------------------------------------*/

/* The lanes of a collective, rank by rank. */
static void read_lanes(const struct tgi_program *p, const struct tgi_command *c, uint32_t *lanes)
{
    for (uint32_t i = 0; i < c->collect.n_ranks; i++)
        lanes[i] = (uint32_t)p->words[c->collect.first_rank + c->collect.n_ranks + i];
}

/* Lane `to` comes after lane `from`. */
static int follow(struct tgi_cuda *cuda, uint32_t from, uint32_t to, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    struct tgi_event *event = NULL;
    int rc = ops->event_create(&cuda->base, tgi_lane_device(from), false, &event, err);
    if (rc == 0)
        rc = ops->record(&cuda->base, from, event, err);
    if (rc == 0)
        rc = ops->wait(&cuda->base, to, event, err);
    ops->event_destroy(&cuda->base, event);
    return rc;
}

/* All lanes join the capture of the first one and come back to it.  They do the latter also after an error, or they would
 * stay in a capture that is over. */
static int issue_collective(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    uint32_t n = c->collect.n_ranks, lanes[TGI_MAX_DEVICES], n_joined = 1;
    int rc = 0;
    read_lanes(p, c, lanes);
    for (uint32_t i = 1; rc == 0 && i < n; i++) {
        rc = follow(cuda, lanes[0], lanes[i], err);
        n_joined += rc == 0;
    }
    if (rc == 0)
        rc = ops->collect(&cuda->base, c->collect.op, c->collect.dtype, c->collect.n_elems, n, &p->words[c->collect.first_rank],
                          lanes, err);
    for (uint32_t i = 1; i < n_joined; i++) {
        int answer = follow(cuda, lanes[i], lanes[0], rc ? NULL : err);
        rc = rc ? rc : answer;
    }
    return rc;
}

/* The same command as live, into a lane that captures. */
static int issue(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, struct node *n,
                 struct tg_error *err)
{
    const struct tgi_device_ops *ops = cuda->base.ops;
    if (c->kind == TGI_COMMAND_COLLECT)
        return issue_collective(cuda, p, c, err);
    if (c->kind == TGI_COMMAND_LAUNCH)
        return ops->launch(&cuda->base, c->lane, c->launch.code, &c->launch.shape, n->args, err);
    return ops->fill(&cuda->base, c->lane, c->fill.address, c->fill.n_elems, c->fill.dtype, c->fill.word, err);
}

/* What must not happen while a lane captures. */
static int prepare(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, struct tg_error *err)
{
    uint32_t lanes[TGI_MAX_DEVICES];
    if (c->kind != TGI_COMMAND_COLLECT)
        return 0;
    read_lanes(p, c, lanes);
    int rc = tgi_cuda_collective_prepare(cuda, c->collect.n_ranks, lanes, err);
    return rc ? rc : tgi_cuda_enter(cuda, tgi_lane_device(c->lane), err);
}

/* A library that must not be captured, or not yet, spoils the capture with whatever error it likes. */
static int refused(struct tgi_cuda *cuda, int rc, struct tg_error *err)
{
    char text[sizeof err->text];
    if (rc == 0 || rc == TG_E_COLLECTIVE || tgi_devices_are_lost(&cuda->base) || !err)
        return rc;
    snprintf(text, sizeof text, "%s", err->text);
    return tgi_error(err, TG_E_UNSUPPORTED, "it cannot be captured: %.400s", text);
}

/* Relaxed: a library may allocate a workspace, which is no part of the graph, and other threads do what they like. */
static int capture(struct tgi_cuda *cuda, const struct tgi_program *p, const struct tgi_command *c, struct node *n,
                   CUgraph *child_p, struct tg_error *err)
{
    CUstream stream = tgi_cuda_stream(cuda, c->lane);
    CUgraph child = NULL;
    int rc = prepare(cuda, p, c, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuStreamBeginCapture, (stream, CU_STREAM_CAPTURE_MODE_RELAXED), "beginning a capture");
    if (rc)
        return rc;
    rc = issue(cuda, p, c, n, err);
    /* Also after an error: the lane has to be an ordinary stream again. */
    struct tg_error *end_err = rc ? NULL : err;
    int end = TGI_CUDA_DO(cuda, end_err, cuStreamEndCapture, (stream, &child), "ending a capture");
    rc = refused(cuda, rc ? rc : end, err);
    if (rc && child)
        cuda->api->cuGraphDestroy(child);
    else if (rc == 0)
        *child_p = child;
    return rc;
}

/* ---- Nodes --------------------------------------------------------------------------------*/

static int add_captured(struct tgi_cuda *cuda, struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id,
                        struct node *n, const CUgraphNode *after, struct tg_error *err)
{
    const struct tgi_command *c = &p->commands[id];
    CUgraph child;
    int rc = capture(cuda, p, c, n, &child, err);
    if (rc)
        return rc;
    rc = TGI_CUDA_DO(cuda, err, cuGraphAddChildGraphNode, (&g->node[id], g->graph, after, c->n_deps, child),
                     "adding what was captured to a graph");
    cuda->api->cuGraphDestroy(child); /* the node has a copy */
    return rc;
}

static int add_node(struct tgi_cuda *cuda, struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id,
                    CUgraphNode *after, struct tg_error *err)
{
    const struct tgi_command *c = &p->commands[id];
    CUgraphNode *node = &g->node[id];
    struct node n;
    int rc = describe(cuda, p, id, &n, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < c->n_deps; i++)
        after[i] = g->node[p->deps[c->first_dep + i]];
    if (n.is_captured)
        return add_captured(cuda, g, p, id, &n, after, err);
    switch (c->kind) {
    case TGI_COMMAND_LAUNCH:
        return TGI_CUDA_DO(cuda, err, cuGraphAddKernelNode, (node, g->graph, after, c->n_deps, &n.kernel),
                           "adding a kernel to a graph");
    case TGI_COMMAND_COPY:
        return TGI_CUDA_DO(cuda, err, cuGraphAddMemcpyNode, (node, g->graph, after, c->n_deps, &n.copy, n.ctx),
                           "adding a copy to a graph");
    case TGI_COMMAND_FILL:
        return TGI_CUDA_DO(cuda, err, cuGraphAddMemsetNode, (node, g->graph, after, c->n_deps, &n.set, n.ctx),
                           "adding a fill to a graph");
    default:
        return TGI_CUDA_DO(cuda, err, cuGraphAddEmptyNode, (node, g->graph, after, c->n_deps), "adding a point to a graph");
    }
}

static int add_nodes(struct tgi_cuda *cuda, struct tgi_device_graph *g, const struct tgi_program *p, uint32_t *at_p,
                     struct tg_error *err)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < p->n; i++)
        most = p->commands[i].n_deps > most ? p->commands[i].n_deps : most;
    CUgraphNode *after = malloc(((size_t)most + 1) * sizeof *after);
    int rc = after ? 0 : tgi_error_memory(err, "making a graph");
    for (uint32_t i = 0; rc == 0 && i < p->n; i++) {
        rc = add_node(cuda, g, p, i, after, err);
        if (rc)
            *at_p = i;
    }
    free(after);
    return rc;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static void find_node(const struct tgi_device_graph *g, CUgraphNode node, uint32_t *at_p)
{
    for (uint32_t i = 0; node && i < g->n; i++)
        if (g->node[i] == node)
            *at_p = i;
}

/* Uploaded at once, so that the first launch is like the others. */
static int instantiate(struct tgi_cuda *cuda, struct tgi_device_graph *g, uint32_t *at_p, struct tg_error *err)
{
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    int rc = tgi_cuda_enter(cuda, 0, err);
    if (rc)
        return rc;
    CUresult answer = cuda->api->cuGraphInstantiateWithParams(&g->exec, g->graph, &params);
    if (answer) {
        g->exec = NULL;
        find_node(g, params.hErrNode_out, at_p);
        return tgi_cuda_done(cuda, answer, "cuGraphInstantiateWithParams", err, "instantiating a graph of %u nodes (result %d)",
                             g->n, (int)params.result_out);
    }
    return TGI_CUDA_DO(cuda, err, cuGraphUpload, (g->exec, tgi_cuda_stream(cuda, 0)), "uploading a graph of %u nodes", g->n);
}

/* Not instantiated yet. */
static int build(struct tgi_devices *ds, const struct tgi_program *p, struct tgi_device_graph **graph_p, uint32_t *at_p,
                 struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    struct tgi_device_graph *g = calloc(1, sizeof *g);
    *at_p = TG_NONE;
    if (!g || !(g->node = malloc(((size_t)p->n + 1) * sizeof *g->node))) {
        free(g);
        return tgi_error_memory(err, "making a graph");
    }
    g->n = p->n;
    for (uint32_t i = 0; i < p->n; i++)
        g->has_collectives |= p->commands[i].kind == TGI_COMMAND_COLLECT;
    int rc = TGI_CUDA_DO(cuda, err, cuGraphCreate, (&g->graph, 0), "making a graph");
    if (rc == 0)
        rc = add_nodes(cuda, g, p, at_p, err);
    if (rc) {
        tgi_cuda_graph_destroy(ds, g);
        return rc;
    }
    *graph_p = g;
    return 0;
}

int tgi_cuda_graph_create(struct tgi_devices *ds, const struct tgi_program *p, struct tgi_device_graph **graph_p,
                          uint32_t *at_p, struct tg_error *err)
{
    struct tgi_device_graph *g;
    int rc = build(ds, p, &g, at_p, err);
    if (rc)
        return rc;
    rc = instantiate(tgi_cuda_of(ds), g, at_p, err);
    if (rc) {
        tgi_cuda_graph_destroy(ds, g);
        return rc;
    }
    *graph_p = g;
    return 0;
}

int tgi_cuda_graph_insert(struct tgi_devices *ds, const struct tgi_program *p, void *graph, void *const *after, size_t n_after,
                          void **node_p, uint32_t *at_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    struct tgi_device_graph *g;
    CUgraphNode node;
    int rc = build(ds, p, &g, at_p, err);
    if (rc)
        return rc;
    rc = TGI_CUDA_DO(cuda, err, cuGraphAddChildGraphNode, (&node, graph, (const CUgraphNode *)after, n_after, g->graph),
                     "adding %u nodes to the program's graph", g->n);
    if (rc == 0)
        *node_p = node;
    tgi_cuda_graph_destroy(ds, g); /* the node has a copy */
    return rc;
}

void tgi_cuda_graph_destroy(struct tgi_devices *ds, struct tgi_device_graph *g)
{
    const struct tgi_cuda_api *api = tgi_cuda_of(ds)->api;
    if (!g)
        return;
    if (g->exec)
        api->cuGraphExecDestroy(g->exec);
    if (g->graph)
        api->cuGraphDestroy(g->graph);
    free(g->node);
    free(g);
}

int tgi_cuda_graph_launch(struct tgi_devices *ds, struct tgi_device_graph *g, uint32_t lane, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = tgi_cuda_enter(cuda, tgi_lane_device(lane), err);
    if (rc == 0 && g->has_collectives) /* communicators that were aborted are gone, for graphs as well */
        rc = tgi_cuda_collective_poll(cuda, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuGraphLaunch, (g->exec, tgi_cuda_stream(cuda, lane)), "launching a graph of %u nodes",
                            g->n);
}

/* ---- Updates ------------------------------------------------------------------------------*/

static int update_node(struct tgi_cuda *cuda, struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id,
                       struct tg_error *err)
{
    struct node n;
    int rc = describe(cuda, p, id, &n, err);
    if (rc)
        return rc;
    if (n.is_captured)
        return tgi_error(err, TG_E_UNSUPPORTED, "what was captured cannot be changed in place");
    switch (p->commands[id].kind) {
    case TGI_COMMAND_LAUNCH:
        return TGI_CUDA_DO(cuda, err, cuGraphExecKernelNodeSetParams, (g->exec, g->node[id], &n.kernel),
                           "changing a kernel of a graph");
    case TGI_COMMAND_COPY:
        return TGI_CUDA_DO(cuda, err, cuGraphExecMemcpyNodeSetParams, (g->exec, g->node[id], &n.copy, n.ctx),
                           "changing a copy of a graph");
    default:
        return TGI_CUDA_DO(cuda, err, cuGraphExecMemsetNodeSetParams, (g->exec, g->node[id], &n.set, n.ctx),
                           "changing a fill of a graph");
    }
}

int tgi_cuda_graph_update(struct tgi_devices *ds, struct tgi_device_graph *g, const struct tgi_program *from,
                          const struct tgi_program *to, uint32_t *at_p, struct tg_error *err)
{
    int rc = 0;
    *at_p = TG_NONE;
    for (uint32_t i = 0; rc == 0 && i < to->n; i++)
        if (!tgi_command_is_same(from, to, i) && (rc = update_node(tgi_cuda_of(ds), g, to, i, err)))
            *at_p = i;
    return rc;
}
