/* See graph.h. */
#include "gpu/graph.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/code.h"
#include "gpu/collective.h"
#include "gpu/decide.h"
#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/vec.h"
#include "mem/program.h"

/* What decisions keep, as many as there are in a row on each device that has one.  A launch begins with none of them taken, and ends
 * with a copy of all to the host. */
struct kept {
    CUdeviceptr at; /* 0: this device has none */
    struct tgi_decided *host;
};

struct tgi_device_graph {
    CUgraph graph;     /* kept for its nodes, which updates name */
    CUgraphExec exec;
    CUgraphNode *node; /* by command */
    uint32_t n;
    bool has_collectives;
    uint32_t n_decisions;
    struct kept kept[TGI_MAX_DEVICES];
    uint64_t *rounds; /* as graph_rounds tells; NULL: there are no decisions */
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

/* ---- Nodes --------------------------------------------------------------------------------*/

/* A graph that is being made, with its bodies. */
struct build {
    struct tgi_cuda *cuda;
    struct tgi_device_graph *g;
    struct owned {
        CUgraphNode node;
        uint64_t owner;
    } * owned; /* all nodes */
    uint32_t n_owned, cap_owned;
    CUgraphNode *after; /* of the node at hand */
    uint32_t cap_after;
    uint64_t owner;     /* of the command at hand; UINT64_MAX: none */
    uint32_t n_decided; /* decisions so far */
    CUgraphNode begin[TGI_MAX_DEVICES]; /* after which decisions of a device have room */
};

/* A program, or the body of a command, and what it becomes. */
struct part {
    const struct tgi_program *p;
    CUgraph graph;
    CUgraphNode *node; /* by command: what others come after */
};

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "making a graph"); }

static int note(struct build *b, CUgraphNode node, struct tg_error *err)
{
    if (!tgi_vec_reserve(&b->owned, &b->cap_owned, (uint64_t)b->n_owned + 1, sizeof *b->owned))
        return no_memory(err);
    b->owned[b->n_owned++] = (struct owned){node, b->owner};
    return 0;
}

static int add_captured(struct build *b, struct part *part, uint32_t id, struct node *n, struct tg_error *err)
{
    const struct tgi_command *c = &part->p->commands[id];
    CUgraph child;
    int rc = tgi_cuda_graph_capture(b->cuda, part->p, c, n->args, &child, err);
    if (rc)
        return rc;
    rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddChildGraphNode, (&part->node[id], part->graph, b->after, c->n_deps, child),
                     "adding what was captured to a graph");
    b->cuda->api->cuGraphDestroy(child); /* the node has a copy */
    return rc;
}

static int add_decision(struct build *b, struct part *part, uint32_t id, CUcontext ctx, struct tg_error *err);

static int add_node(struct build *b, struct part *part, uint32_t id, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    const struct tgi_command *c = &part->p->commands[id];
    CUgraphNode *node = &part->node[id];
    struct node n;
    int rc = describe(cuda, part->p, id, &n, err);
    if (rc)
        return rc;
    if (!tgi_vec_reserve(&b->after, &b->cap_after, (uint64_t)c->n_deps + 2, sizeof *b->after))
        return no_memory(err);
    for (uint32_t i = 0; i < c->n_deps; i++)
        b->after[i] = part->node[part->p->deps[c->first_dep + i]];
    if (n.is_captured)
        return add_captured(b, part, id, &n, err);
    switch (c->kind) {
    case TGI_COMMAND_LAUNCH:
        return TGI_CUDA_DO(cuda, err, cuGraphAddKernelNode, (node, part->graph, b->after, c->n_deps, &n.kernel),
                           "adding a kernel to a graph");
    case TGI_COMMAND_COPY:
        return TGI_CUDA_DO(cuda, err, cuGraphAddMemcpyNode, (node, part->graph, b->after, c->n_deps, &n.copy, n.ctx),
                           "adding a copy to a graph");
    case TGI_COMMAND_FILL:
        return TGI_CUDA_DO(cuda, err, cuGraphAddMemsetNode, (node, part->graph, b->after, c->n_deps, &n.set, n.ctx),
                           "adding a fill to a graph");
    case TGI_COMMAND_DECIDE:
        return add_decision(b, part, id, n.ctx, err);
    default:
        return TGI_CUDA_DO(cuda, err, cuGraphAddEmptyNode, (node, part->graph, b->after, c->n_deps),
                           "adding a point to a graph");
    }
}

/* After an error b->owner is whose command it was. */
static int add_nodes(struct build *b, struct part *part, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < part->p->n; i++) {
        b->owner = part->p->commands[i].owner;
        rc = add_node(b, part, i, err);
        if (rc == 0 && part->p->commands[i].kind != TGI_COMMAND_DECIDE)
            rc = note(b, part->node[i], err);
    }
    return rc;
}

/* ---- Decisions ----------------------------------------------------------------------------
 *
 * A kernel sets the condition, a node of the driver's looks at it; of a loop the same kernel comes at the end of the body
 * once more.  An `if` with two bodies is two such nodes, since drivers before CUDA 12.8 know no other body. */

static int add_kernel(struct build *b, CUgraph graph, uint32_t device, tgi_decision *d, uint32_t n_after, CUgraphNode *node_p,
                      struct tg_error *err)
{
    void *args[] = {d};
    CUDA_KERNEL_NODE_PARAMS k = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                 .kernelParams = args};
    int rc = tgi_cuda_decide_function(b->cuda, device, &k.func, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddKernelNode, (node_p, graph, b->after, n_after, &k), "adding a decision to a graph");
    return rc ? rc : note(b, *node_p, err);
}

/* What nothing in the part comes after, as what the next node does. */
static int gather_ends(struct build *b, const struct part *part, uint32_t *n_p, struct tg_error *err)
{
    const struct tgi_program *p = part->p;
    uint8_t *is_before = calloc((size_t)p->n + 1, 1);
    uint32_t n = 0;
    if (!is_before || !tgi_vec_reserve(&b->after, &b->cap_after, (uint64_t)p->n + 1, sizeof *b->after)) {
        free(is_before);
        return no_memory(err);
    }
    for (uint32_t i = 0; i < p->n_deps; i++)
        is_before[p->deps[i]] = 1;
    for (uint32_t i = 0; i < p->n; i++)
        if (!is_before[i])
            b->after[n++] = part->node[i];
    free(is_before);
    *n_p = n;
    return 0;
}

/* again: what decides at the end of a round; NULL: there is only one. */
static int fill_body(struct build *b, const struct tgi_program *p, CUgraph graph, uint32_t device, tgi_decision *again,
                     struct tg_error *err)
{
    struct part part = {p, graph, malloc(((size_t)p->n + 1) * sizeof *part.node)};
    uint64_t owner = b->owner;
    CUgraphNode node;
    uint32_t n = 0;
    int rc = part.node ? add_nodes(b, &part, err) : no_memory(err);
    if (rc == 0)
        b->owner = owner;
    if (rc == 0 && again)
        rc = gather_ends(b, &part, &n, err);
    if (rc == 0 && again)
        rc = add_kernel(b, graph, device, again, n, &node, err);
    free(part.node);
    return rc;
}

/* Comes after *node_p, and is then there. */
static int add_conditional(struct build *b, CUgraph graph, CUcontext ctx, const struct tgi_command *c, uint64_t condition,
                           const struct tgi_program *body, tgi_decision *again, CUgraphNode *node_p, struct tg_error *err)
{
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
    CUgraphNode after = *node_p, node;
    params.conditional = (CUDA_CONDITIONAL_NODE_PARAMS){
        .handle = condition, .type = again ? CU_GRAPH_COND_TYPE_WHILE : CU_GRAPH_COND_TYPE_IF, .size = 1, .ctx = ctx};
    int rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddNode, (&node, graph, &after, NULL, 1, &params), "adding a body to a graph");
    if (rc == 0)
        rc = note(b, node, err);
    if (rc)
        return rc;
    *node_p = node;
    if (body)
        return fill_body(b, body, params.conditional.phGraph_out[0], tgi_lane_device(c->lane), again, err);
    return TGI_CUDA_DO(b->cuda, err, cuGraphAddEmptyNode, (&node, params.conditional.phGraph_out[0], NULL, 0),
                       "adding a point to a graph");
}

static int add_decision(struct build *b, struct part *part, uint32_t id, CUcontext ctx, struct tg_error *err)
{
    const struct tgi_command *c = &part->p->commands[id];
    uint32_t device = tgi_lane_device(c->lane), n_handles = c->decide.body_else ? 2 : 1, n_after = c->n_deps;
    tgi_decision d = {.tile = (const unsigned char *)(uintptr_t)c->decide.tile, .tile_bytes = c->decide.tile_bytes,
                      .state = (struct tgi_decided *)(uintptr_t)b->g->kept[device].at + b->n_decided++,
                      .n_rounds = c->decide.n_rounds, .is_loop = c->decide.n_rounds > 0, .has_other = n_handles == 2};
    CUgraphConditionalHandle handle[2] = {0};
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < n_handles; i++)
        rc = TGI_CUDA_DO(b->cuda, err, cuGraphConditionalHandleCreate, (&handle[i], part->graph, ctx, 0, 0),
                         "making a condition of a graph");
    d.condition = handle[0];
    d.other = handle[1];
    if (part->graph == b->g->graph)
        b->after[n_after++] = b->begin[device];
    if (rc == 0)
        rc = add_kernel(b, part->graph, device, &d, n_after, &part->node[id], err);
    d.n_rounds = 0;
    if (rc == 0)
        rc = add_conditional(b, part->graph, ctx, c, handle[0], c->decide.body, d.is_loop ? &d : NULL, &part->node[id], err);
    if (rc == 0 && c->decide.body_else)
        rc = add_conditional(b, part->graph, ctx, c, handle[1], c->decide.body_else, NULL, &part->node[id], err);
    return rc;
}

/* Their number, and which devices have some. */
static uint32_t count_decisions(const struct tgi_program *p, uint32_t *devices_p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; p && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_DECIDE) {
            *devices_p |= 1u << tgi_lane_device(p->commands[i].lane);
            n += 1 + count_decisions(p->commands[i].decide.body, devices_p) + count_decisions(p->commands[i].decide.body_else, devices_p);
        }
    return n;
}

static size_t kept_bytes(const struct tgi_device_graph *g) { return g->n_decisions * sizeof(struct tgi_decided); }

/* Whether the driver can do it at all is seen first. */
static int begin_decisions(struct build *b, const struct part *whole, uint32_t device, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    struct tgi_device_graph *g = b->g;
    struct kept *kept = &g->kept[device];
    CUfunction ignored;
    void *host;
    int rc = tgi_cuda_decide_function(cuda, device, &ignored, err);
    if (rc == 0)
        rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&kept->at, kept_bytes(g)), "making room for the rounds of a graph on cuda:%u",
                         cuda->base.ordinal[device]);
    if (rc)
        return rc;
    rc = cuda->base.ops->host_alloc(&cuda->base, kept_bytes(g), &host, err);
    if (rc)
        return rc;
    kept->host = memset(host, 0, kept_bytes(g));
    CUDA_MEMSET_NODE_PARAMS set = {.dst = kept->at, .elementSize = 4, .width = kept_bytes(g) / 4, .height = 1};
    rc = TGI_CUDA_DO(cuda, err, cuGraphAddMemsetNode, (&b->begin[device], whole->graph, NULL, 0, &set, cuda->device[device].ctx),
                     "adding a fill to a graph");
    return rc ? rc : note(b, b->begin[device], err);
}

static int end_decisions(struct build *b, const struct part *whole, uint32_t device, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    CUgraphNode node;
    CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = g->kept[device].at, .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = g->kept[device].host, .WidthInBytes = kept_bytes(g), .Height = 1, .Depth = 1};
    uint32_t n;
    int rc = gather_ends(b, whole, &n, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddMemcpyNode, (&node, g->graph, b->after, n, &copy, b->cuda->device[device].ctx),
                         "adding a copy to a graph");
    return rc ? rc : note(b, node, err);
}

/* ---- Graphs -------------------------------------------------------------------------------*/

static void find_owner(struct build *b, CUgraphNode node)
{
    b->owner = UINT64_MAX;
    for (uint32_t i = 0; node && i < b->n_owned; i++)
        if (b->owned[i].node == node)
            b->owner = b->owned[i].owner;
}

/* Uploaded at once, so that the first launch is like the others. */
static int instantiate(struct build *b, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    struct tgi_device_graph *g = b->g;
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    b->owner = UINT64_MAX;
    int rc = tgi_cuda_enter(cuda, 0, err);
    if (rc)
        return rc;
    CUresult answer = cuda->api->cuGraphInstantiateWithParams(&g->exec, g->graph, &params);
    if (answer) {
        g->exec = NULL;
        find_owner(b, params.hErrNode_out);
        return tgi_cuda_done(cuda, answer, "cuGraphInstantiateWithParams", err, "instantiating a graph of %u nodes (result %d)",
                             b->n_owned, (int)params.result_out);
    }
    return TGI_CUDA_DO(cuda, err, cuGraphUpload, (g->exec, tgi_cuda_stream(cuda, 0)), "uploading a graph of %u nodes", b->n_owned);
}

/* What decisions need of a device is the first one's. */
static uint64_t first_owner(const struct tgi_program *p, uint32_t device)
{
    uint32_t i = 0;
    while (p->commands[i].kind != TGI_COMMAND_DECIDE || tgi_lane_device(p->commands[i].lane) != device)
        i++;
    return p->commands[i].owner;
}

static int for_devices(struct build *b, const struct part *whole, uint32_t devices,
                       int (*fn)(struct build *b, const struct part *whole, uint32_t device, struct tg_error *err), struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < b->cuda->base.n_devices; d++) {
        if (!(devices >> d & 1))
            continue;
        b->owner = first_owner(whole->p, d);
        rc = fn(b, whole, d, err);
    }
    return rc;
}

static int build(struct build *b, const struct tgi_program *p, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    uint32_t devices = 0;
    g->n_decisions = count_decisions(p, &devices);
    if (g->n_decisions && !(g->rounds = calloc(2 * (size_t)g->n_decisions, sizeof *g->rounds)))
        return no_memory(err);
    int rc = TGI_CUDA_DO(b->cuda, err, cuGraphCreate, (&g->graph, 0), "making a graph");
    struct part whole = {p, g->graph, g->node};
    if (rc == 0)
        rc = for_devices(b, &whole, devices, begin_decisions, err);
    if (rc == 0)
        rc = add_nodes(b, &whole, err);
    if (rc == 0)
        rc = for_devices(b, &whole, devices, end_decisions, err);
    return rc ? rc : instantiate(b, err);
}

int tgi_cuda_graph_create(struct tgi_devices *ds, const struct tgi_program *p, struct tgi_device_graph **graph_p,
                          uint64_t *owner_p, struct tg_error *err)
{
    struct tgi_device_graph *g = calloc(1, sizeof *g);
    struct build b = {.cuda = tgi_cuda_of(ds), .g = g, .owner = UINT64_MAX};
    *owner_p = UINT64_MAX;
    if (!g || !(g->node = malloc(((size_t)p->n + 1) * sizeof *g->node))) {
        free(g);
        return no_memory(err);
    }
    g->n = p->n;
    for (uint32_t i = 0; i < p->n; i++)
        g->has_collectives |= p->commands[i].kind == TGI_COMMAND_COLLECT;
    int rc = build(&b, p, err);
    free(b.owned);
    free(b.after);
    if (rc) {
        *owner_p = b.owner;
        tgi_cuda_graph_destroy(ds, g);
        return rc;
    }
    *graph_p = g;
    return 0;
}

void tgi_cuda_graph_destroy(struct tgi_devices *ds, struct tgi_device_graph *g)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    const struct tgi_cuda_api *api = cuda->api;
    if (!g)
        return;
    if (g->exec)
        api->cuGraphExecDestroy(g->exec);
    if (g->graph)
        api->cuGraphDestroy(g->graph);
    for (uint32_t d = 0; d < ds->n_devices; d++) {
        if (g->kept[d].at) {
            tgi_cuda_try_enter(cuda, d);
            api->cuMemFree(g->kept[d].at);
        }
        if (g->kept[d].host)
            ds->ops->host_free(ds, g->kept[d].host);
    }
    free(g->rounds);
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

const uint64_t *tgi_cuda_graph_rounds(struct tgi_device_graph *g)
{
    for (uint32_t i = 0; i < g->n_decisions; i++)
        for (uint32_t k = 0; k < 2; k++) {
            g->rounds[2 * i + k] = 0;
            for (uint32_t d = 0; d < TGI_MAX_DEVICES; d++)
                g->rounds[2 * i + k] += g->kept[d].host ? g->kept[d].host[i].n_taken[k] : 0;
        }
    return g->rounds;
}

/* ---- Updates ------------------------------------------------------------------------------*/

static int update_node(struct tgi_cuda *cuda, struct tgi_device_graph *g, const struct tgi_program *p, uint32_t id,
                       struct tg_error *err)
{
    struct node n;
    if (p->commands[id].kind == TGI_COMMAND_DECIDE)
        return tgi_error(err, TG_E_UNSUPPORTED, "what a device decides about cannot be changed in place");
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
                          const struct tgi_program *to, uint64_t *owner_p, struct tg_error *err)
{
    int rc = 0;
    *owner_p = UINT64_MAX;
    for (uint32_t i = 0; rc == 0 && i < to->n; i++)
        if (!tgi_command_is_same(from, to, i) && (rc = update_node(tgi_cuda_of(ds), g, to, i, err)))
            *owner_p = to->commands[i].owner;
    return rc;
}
