/* See graph.h. */
#include "gpu/graph.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/cluster.h"
#include "gpu/code.h"
#include "gpu/collective.h"
#include "gpu/graph_build.h"
#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/vec.h"
#include "mem/program.h"

/* Parameters of a node; which of them, the command's kind says.  args points into the program. */
struct node {
    bool is_captured; /* none: a child graph */
    CUcontext ctx;
    bool is_push; /* a copy that a kernel does */
    tgi_push_args push;
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

static int describe(struct tgi_cuda *cuda, const struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id, struct node *n,
                    struct tg_error *err)
{
    const struct tgi_command *c = &p->commands[id];
    uint32_t device = tgi_lane_device(c->lane);
    n->is_captured = c->kind == TGI_COMMAND_COLLECT;
    n->is_push = tgi_cuda_is_push(g, p, id);
    if (n->is_push) {
        int rc = tgi_cuda_push_node(cuda, g, p, id, &n->push, n->args, &n->kernel, err);
        return rc ? rc : tgi_cuda_enter(cuda, device, err);
    }
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

/* ---- Nodes --------------------------------------------------------------------------------*/

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "making a graph"); }

int tgi_cuda_build_note(struct tgi_cuda_build *b, CUgraphNode node, struct tg_error *err)
{
    if (!tgi_vec_reserve(&b->owned, &b->cap_owned, (uint64_t)b->n_owned + 1, sizeof *b->owned))
        return no_memory(err);
    b->owned[b->n_owned++] = (struct owned){node, b->owner};
    return 0;
}

static int add_captured(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct node *n, struct tg_error *err)
{
    const struct tgi_command *c = &part->p->commands[id];
    CUgraph child;
    int rc = tgi_cuda_graph_capture(b->cuda, part->p, c, n->args, &child, err);
    if (rc)
        return rc;
    rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddChildGraphNode, (&part->node[id], part->graph, b->after, b->n_after, child),
                     "adding what was captured to a graph");
    b->cuda->api->cuGraphDestroy(child); /* the node has a copy */
    return rc;
}

/* A kernel whose blocks have to be there all at once, on the i-th of the cluster's devices. */
static int add_cluster_kernel(struct tgi_cuda_build *b, struct tgi_cuda_part *part, struct tgi_cuda_cluster *cluster, uint32_t device, uint32_t i,
                              CUgraphNode *node_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    CUlaunchAttributeValue value = {.cooperative = 1};
    CUDA_KERNEL_NODE_PARAMS params = tgi_cuda_cluster_node(cluster, i);
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuGraphAddKernelNode, (node_p, part->graph, b->after, b->n_after, &params),
                         "adding a resident program to a graph");
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuGraphKernelNodeSetAttribute, (*node_p, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value),
                            "having all blocks of a resident program at once");
}

/* Those of several devices come after the same and are one point for what comes after them: nothing may be in front of one of them that
 * is not in front of all. */
static int add_cluster(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    const struct tgi_cluster *cluster = part->p->commands[id].cluster;
    struct tgi_cuda_cluster **made = &g->clusters[g->n_clusters];
    CUgraphNode kernel[TGI_RESIDENT_MAX_DEVICES];
    int rc = tgi_cuda_cluster_create(b->cuda, part->p->commands[id].cluster, made, err);
    if (rc)
        return rc;
    g->n_clusters++;
    for (uint32_t i = 0; rc == 0 && i < cluster->n_devices; i++) {
        rc = add_cluster_kernel(b, part, *made, cluster->device[i], i, &kernel[i], err);
        if (rc == 0 && cluster->n_devices > 1)
            rc = tgi_cuda_build_note(b, kernel[i], err);
    }
    part->node[id] = kernel[0];
    return rc || cluster->n_devices == 1 ? rc
                                         : TGI_CUDA_DO(b->cuda, err, cuGraphAddEmptyNode, (&part->node[id], part->graph, kernel, cluster->n_devices),
                                                       "adding the end of a resident program to a graph");
}

/* After b->after. */
static int add_plain(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct node *n, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    const struct tgi_command *c = &part->p->commands[id];
    CUgraphNode *node = &part->node[id];
    if (n->is_captured)
        return add_captured(b, part, id, n, err);
    if (b->is_early && part->p == b->whole && b->is_early[id])
        return tgi_cuda_build_early(b, part, &n->kernel, node, err);
    switch (n->is_push ? TGI_COMMAND_LAUNCH : c->kind) {
    case TGI_COMMAND_LAUNCH:
        return TGI_CUDA_DO(cuda, err, cuGraphAddKernelNode, (node, part->graph, b->after, b->n_after, &n->kernel),
                           "adding a kernel to a graph");
    case TGI_COMMAND_COPY:
        return TGI_CUDA_DO(cuda, err, cuGraphAddMemcpyNode, (node, part->graph, b->after, b->n_after, &n->copy, n->ctx),
                           "adding a copy to a graph");
    case TGI_COMMAND_RESIDENT:
        return add_cluster(b, part, id, err);
    case TGI_COMMAND_SIGNAL:
    case TGI_COMMAND_AWAIT:
        return tgi_cuda_build_flag(b, part, id, err);
    case TGI_COMMAND_FILL:
        return TGI_CUDA_DO(cuda, err, cuGraphAddMemsetNode, (node, part->graph, b->after, b->n_after, &n->set, n->ctx),
                           "adding a fill to a graph");
    case TGI_COMMAND_DECIDE:
        return tgi_cuda_build_decision(b, part, id, n->ctx, err);
    default:
        return TGI_CUDA_DO(cuda, err, cuGraphAddEmptyNode, (node, part->graph, b->after, b->n_after),
                           "adding a point to a graph");
    }
}

/* Two commands may be one node, which a third comes after but once. */
static void come_after(struct tgi_cuda_build *b, CUgraphNode node)
{
    for (uint32_t i = 0; b->g->flags && i < b->n_after; i++)
        if (b->after[i] == node)
            return;
    b->after[b->n_after++] = node;
}

static int add_node(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err)
{
    const struct tgi_command *c = &part->p->commands[id];
    struct node n;
    int rc = describe(b->cuda, b->g, part->p, id, &n, err);
    if (rc)
        return rc;
    if (!tgi_vec_reserve(&b->after, &b->cap_after, (uint64_t)c->n_deps + 2, sizeof *b->after))
        return no_memory(err);
    b->n_after = 0;
    for (uint32_t i = 0; i < c->n_deps; i++)
        come_after(b, part->node[part->p->deps[c->first_dep + i]]);
    if (!c->step)
        return add_plain(b, part, id, &n, err);
    rc = tgi_cuda_build_time_begin(b, part, id, err);
    if (rc == 0)
        rc = add_plain(b, part, id, &n, err);
    return rc ? rc : tgi_cuda_build_time_end(b, part, id, err);
}

/* Copies from the host that come after nothing but such copies.  Their nodes are added before all others: with empty kernels behind them they
 * follow each other 3.6 us apart instead of 4.3 (16 KiB), 6.4 instead of 7.1 (128 KiB; H100, bench/cuda_graph_copies).  NULL without memory. */
static bool *find_sent(const struct tgi_program *p)
{
    bool *is_sent = calloc((size_t)p->n + 1, sizeof *is_sent);
    for (uint32_t i = 0; is_sent && i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        is_sent[i] = c->kind == TGI_COMMAND_COPY && c->copy.from_node == TGI_HOST_NODE;
        for (uint32_t k = 0; k < c->n_deps; k++)
            is_sent[i] = is_sent[i] && is_sent[p->deps[c->first_dep + k]];
    }
    return is_sent;
}

static int add_noted(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, struct tg_error *err)
{
    const struct tgi_command *c = &part->p->commands[id];
    b->owner = c->owner;
    if (b->g->flags)
        part->graph = b->g->graph[tgi_cuda_graph_part(b->g, c->lane)];
    int rc = add_node(b, part, id, err);
    return rc || c->kind == TGI_COMMAND_DECIDE ? rc : tgi_cuda_build_note(b, part->node[id], err);
}

int tgi_cuda_build_nodes(struct tgi_cuda_build *b, struct tgi_cuda_part *part, struct tg_error *err)
{
    bool *is_sent = find_sent(part->p);
    int rc = is_sent ? 0 : no_memory(err);
    for (uint32_t i = 0; rc == 0 && i < part->p->n; i++)
        rc = is_sent[i] ? add_noted(b, part, i, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < part->p->n; i++)
        rc = is_sent[i] ? 0 : add_noted(b, part, i, err);
    free(is_sent);
    return rc;
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static void find_owner(struct tgi_cuda_build *b, CUgraphNode node)
{
    b->owner = UINT64_MAX;
    for (uint32_t i = 0; node && i < b->n_owned; i++)
        if (b->owned[i].node == node)
            b->owner = b->owned[i].owner;
}

/* Uploaded at once, so that the first launch is like the others. */
static int instantiate_part(struct tgi_cuda_build *b, uint32_t device, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    struct tgi_device_graph *g = b->g;
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    CUstream stream = tgi_cuda_stream(cuda, tgi_lane_of(device, 0));
    b->owner = UINT64_MAX;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc)
        return rc;
    CUresult answer = cuda->api->cuGraphInstantiateWithParams(&g->exec[device], g->graph[device], &params);
    if (answer) {
        g->exec[device] = NULL;
        find_owner(b, params.hErrNode_out);
        return tgi_cuda_done(cuda, answer, "cuGraphInstantiateWithParams", err, "instantiating a graph of %u nodes (result %d)",
                             b->n_owned, (int)params.result_out);
    }
    return TGI_CUDA_DO(cuda, err, cuGraphUpload, (g->exec[device], stream), "uploading a graph of %u nodes", b->n_owned);
}

static int instantiate(struct tgi_cuda_build *b, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < b->cuda->base.n_devices; d++)
        rc = b->g->graph[d] ? instantiate_part(b, d, err) : 0;
    return rc;
}

/* One for each device with commands if there are flags. */
static int make_parts(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    CUgraph *graph = b->g->graph;
    int rc = b->g->flags ? 0 : TGI_CUDA_DO(b->cuda, err, cuGraphCreate, (&graph[0], 0), "making a graph");
    for (uint32_t i = 0; rc == 0 && b->g->flags && i < p->n; i++) {
        uint32_t device = tgi_lane_device(p->commands[i].lane);
        rc = graph[device] ? 0 : TGI_CUDA_DO(b->cuda, err, cuGraphCreate, (&graph[device], 0), "making a graph");
    }
    return rc;
}

static int build_parts(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    int rc = tgi_cuda_build_flags(b, p, err);
    if (rc == 0)
        rc = tgi_cuda_build_pushes(b, p, err);
    if (rc == 0)
        rc = make_parts(b, p, err);
    b->whole = p;
    if (rc == 0 && !b->is_inserted)
        rc = tgi_cuda_build_chains(b, p, err);
    struct tgi_cuda_part whole = {p, g->graph[0], g->node};
    if (rc == 0)
        rc = tgi_cuda_build_stamps(b, p, err);
    if (rc == 0)
        rc = tgi_cuda_build_begin(b, &whole, err);
    if (rc == 0)
        rc = tgi_cuda_build_nodes(b, &whole, err);
    return rc ? rc : tgi_cuda_build_end(b, &whole, err);
}

/* Not instantiated yet.  b->owner: as after an error of tgi_cuda_build_nodes(). */
static int build(struct tgi_cuda_build *b, const struct tgi_program *p, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g = calloc(1, sizeof *g);
    uint32_t n_clusters = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n_clusters += p->commands[i].kind == TGI_COMMAND_RESIDENT;
    if (!g || !(g->node = malloc(((size_t)p->n + 1) * sizeof *g->node)) ||
        !(g->clusters = calloc((size_t)n_clusters + 1, sizeof *g->clusters)))
        return no_memory(err);
    g->n = p->n;
    for (uint32_t i = 0; i < p->n; i++)
        g->has_collectives |= p->commands[i].kind == TGI_COMMAND_COLLECT;
    return build_parts(b, p, err);
}

static void build_fini(struct tgi_cuda_build *b)
{
    free(b->owned);
    free(b->after);
    free(b->is_early);
}

int tgi_cuda_graph_create(struct tgi_devices *ds, const struct tgi_program *p, struct tgi_device_graph **graph_p,
                          uint64_t *owner_p, struct tg_error *err)
{
    struct tgi_cuda_build b = {.cuda = tgi_cuda_of(ds), .owner = UINT64_MAX};
    int rc = build(&b, p, err);
    if (rc == 0)
        rc = instantiate(&b, err);
    build_fini(&b);
    *owner_p = rc ? b.owner : UINT64_MAX;
    if (rc)
        tgi_cuda_graph_destroy(ds, b.g);
    else
        *graph_p = b.g;
    return rc;
}

/* Their tables would be this graph's, which does not stay. */
static int refuse_tables(const struct tgi_program *p, uint64_t *owner_p, struct tg_error *err)
{
    for (uint32_t i = 0; i < p->n; i++) {
        *owner_p = p->commands[i].owner;
        if (p->commands[i].kind == TGI_COMMAND_DECIDE)
            return tgi_error(err, TG_E_UNSUPPORTED, "a device decides about its rounds, which a graph inside another cannot have");
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT)
            return tgi_error(err, TG_E_UNSUPPORTED, "a graph inside another cannot have resident tasks");
        if (p->commands[i].kind == TGI_COMMAND_AWAIT)
            return tgi_error(err, TG_E_UNSUPPORTED, "a graph inside another cannot be one for each device");
    }
    *owner_p = UINT64_MAX;
    return 0;
}

int tgi_cuda_graph_insert(struct tgi_devices *ds, const struct tgi_program *p, void *graph, void *const *after, size_t n_after,
                          void **node_p, uint64_t *owner_p, struct tg_error *err)
{
    struct tgi_cuda_build b = {.cuda = tgi_cuda_of(ds), .owner = UINT64_MAX, .is_inserted = true};
    CUgraphNode node;
    int rc = refuse_tables(p, owner_p, err);
    if (rc)
        return rc;
    rc = build(&b, p, err);
    build_fini(&b);
    *owner_p = rc ? b.owner : UINT64_MAX;
    if (rc == 0)
        rc = TGI_CUDA_DO(b.cuda, err, cuGraphAddChildGraphNode, (&node, graph, (const CUgraphNode *)after, n_after, b.g->graph[0]),
                         "adding %u nodes to the program's graph", b.g->n);
    if (rc == 0)
        *node_p = node;
    tgi_cuda_graph_destroy(ds, b.g); /* the node has a copy */
    return rc;
}

void tgi_cuda_graph_destroy(struct tgi_devices *ds, struct tgi_device_graph *g)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    const struct tgi_cuda_api *api = cuda->api;
    if (!g)
        return;
    for (uint32_t d = 0; d < TGI_MAX_DEVICES; d++) {
        if (g->exec[d])
            api->cuGraphExecDestroy(g->exec[d]);
        if (g->graph[d])
            api->cuGraphDestroy(g->graph[d]);
    }
    tgi_cuda_graph_forget_flags(cuda, g);
    tgi_cuda_graph_forget_times(cuda, g);
    tgi_cuda_graph_forget(cuda, g);
    for (uint32_t i = 0; i < g->n_clusters; i++)
        tgi_cuda_cluster_destroy(cuda, g->clusters[i]);
    free(g->clusters);
    free(g->node);
    free(g->is_pulled);
    free(g);
}

int tgi_cuda_graph_launch(struct tgi_devices *ds, struct tgi_device_graph *g, uint32_t lane, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = tgi_cuda_enter(cuda, tgi_lane_device(lane), err);
    if (rc == 0 && g->has_collectives) /* communicators that were aborted are gone, for graphs as well */
        rc = tgi_cuda_collective_poll(cuda, err);
    if (rc == 0 && g->flags)
        return tgi_cuda_flags_launch(cuda, g, lane, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuGraphLaunch, (g->exec[0], tgi_cuda_stream(cuda, lane)), "launching a graph of %u nodes",
                            g->n);
}

/* ---- Updates ------------------------------------------------------------------------------*/

static int update_node(struct tgi_cuda *cuda, struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id,
                       struct tg_error *err)
{
    CUgraphNode node = p->commands[id].step ? g->timed[id].node : g->node[id];
    CUgraphExec exec = g->exec[tgi_cuda_graph_part(g, p->commands[id].lane)];
    struct node n;
    if (p->commands[id].kind == TGI_COMMAND_DECIDE)
        return tgi_error(err, TG_E_UNSUPPORTED, "what a device decides about cannot be changed in place");
    if (!tgi_cuda_can_pull(cuda, g, p, id))
        return tgi_error(err, TG_E_UNSUPPORTED, "a kernel cannot copy from memory that is not pinned");
    int rc = describe(cuda, g, p, id, &n, err);
    if (rc)
        return rc;
    if (n.is_captured)
        return tgi_error(err, TG_E_UNSUPPORTED, "what was captured cannot be changed in place");
    switch (n.is_push ? TGI_COMMAND_LAUNCH : p->commands[id].kind) {
    case TGI_COMMAND_LAUNCH:
        return TGI_CUDA_DO(cuda, err, cuGraphExecKernelNodeSetParams, (exec, node, &n.kernel),
                           "changing a kernel of a graph");
    case TGI_COMMAND_COPY:
        return TGI_CUDA_DO(cuda, err, cuGraphExecMemcpyNodeSetParams, (exec, node, &n.copy, n.ctx),
                           "changing a copy of a graph");
    default:
        return TGI_CUDA_DO(cuda, err, cuGraphExecMemsetNodeSetParams, (exec, node, &n.set, n.ctx),
                           "changing a fill of a graph");
    }
}

int tgi_cuda_graph_update(struct tgi_devices *ds, struct tgi_device_graph *g, const struct tgi_program *from,
                          const struct tgi_program *to, uint64_t *owner_p, struct tg_error *err)
{
    int rc = 0;
    *owner_p = UINT64_MAX;
    for (uint32_t i = 0; i < to->n; i++)
        if (to->commands[i].kind == TGI_COMMAND_RESIDENT && to->commands[i].cluster != from->commands[i].cluster)
            strcpy(to->commands[i].cluster->kernel, from->commands[i].cluster->kernel); /* it stays the one on the device */
    for (uint32_t i = 0; rc == 0 && i < to->n; i++)
        if (!tgi_command_is_same(from, to, i) && (rc = update_node(tgi_cuda_of(ds), g, to, i, err)))
            *owner_p = to->commands[i].owner;
    return rc;
}

/* ---- Clusters -----------------------------------------------------------------------------*/

int tgi_cuda_graph_fault(struct tgi_devices *ds, struct tgi_device_graph *g, uint64_t *owner_p, struct tg_error *err)
{
    struct tg_error other;
    int rc = g->flags ? tgi_cuda_flags_fault(g, owner_p, err) : 0;
    for (uint32_t i = 0; i < g->n_clusters; i++) {
        uint64_t owner = UINT64_MAX;
        int answer = tgi_cuda_cluster_fault(tgi_cuda_of(ds), g->clusters[i], &owner, rc ? &other : err);
        if (rc == 0 && answer) {
            rc = answer;
            *owner_p = owner;
        }
    }
    return rc;
}

int tgi_cuda_graph_abort(struct tgi_devices *ds, struct tgi_device_graph *g, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < g->n_clusters; i++)
        rc = tgi_cuda_cluster_abort(tgi_cuda_of(ds), g->clusters[i], err);
    return rc;
}

int tgi_cuda_graph_cluster_times(struct tgi_devices *ds, struct tgi_device_graph *g, const struct tgi_cluster *cluster,
                                 uint64_t *times_p, struct tg_error *err)
{
    for (uint32_t i = 0; i < g->n_clusters; i++)
        if (tgi_cuda_cluster_is(g->clusters[i], cluster))
            return tgi_cuda_cluster_times(tgi_cuda_of(ds), g->clusters[i], times_p, err);
    return tgi_error(err, TG_E_STATE, "a graph has lost a resident program");
}
