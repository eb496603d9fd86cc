/* Decisions: a kernel sets the condition, a node of the driver's looks at it; of a loop the same kernel comes at the end of
 * the body once more.  An `if` with two bodies is two such nodes, since drivers before CUDA 12.8 know no other body. */
#include <stdlib.h>
#include <string.h>

#include "gpu/code.h"
#include "gpu/graph_build.h"
#include "graph/error.h"
#include "graph/vec.h"

static int no_memory(struct tg_error *err) { return tgi_error_memory(err, "making a graph"); }

/* ---- One decision -------------------------------------------------------------------------*/

static int add_kernel(struct tgi_cuda_build *b, CUgraph graph, uint32_t device, tgi_decision *d, uint32_t n_after, CUgraphNode *node_p,
                      struct tg_error *err)
{
    void *args[] = {d};
    CUDA_KERNEL_NODE_PARAMS k = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1,
                                 .kernelParams = args};
    int rc = tgi_cuda_decide_function(b->cuda, device, &k.func, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddKernelNode, (node_p, graph, b->after, n_after, &k), "adding a decision to a graph");
    return rc ? rc : tgi_cuda_build_note(b, *node_p, err);
}

/* What nothing in the part comes after, as what the next node does. */
static int gather_ends(struct tgi_cuda_build *b, const struct tgi_cuda_part *part, uint32_t *n_p, struct tg_error *err)
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
static int fill_body(struct tgi_cuda_build *b, const struct tgi_program *p, CUgraph graph, uint32_t device, tgi_decision *again,
                     struct tg_error *err)
{
    struct tgi_cuda_part part = {p, graph, malloc(((size_t)p->n + 1) * sizeof *part.node)};
    uint64_t owner = b->owner;
    CUgraphNode node;
    uint32_t n = 0;
    int rc = part.node ? tgi_cuda_build_nodes(b, &part, err) : no_memory(err);
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
static int add_conditional(struct tgi_cuda_build *b, CUgraph graph, CUcontext ctx, const struct tgi_command *c, uint64_t condition,
                           const struct tgi_program *body, tgi_decision *again, CUgraphNode *node_p, struct tg_error *err)
{
    CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
    CUgraphNode after = *node_p, node;
    params.conditional = (CUDA_CONDITIONAL_NODE_PARAMS){
        .handle = condition, .type = again ? CU_GRAPH_COND_TYPE_WHILE : CU_GRAPH_COND_TYPE_IF, .size = 1, .ctx = ctx};
    int rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddNode, (&node, graph, &after, NULL, 1, &params), "adding a body to a graph");
    if (rc == 0)
        rc = tgi_cuda_build_note(b, node, err);
    if (rc)
        return rc;
    *node_p = node;
    if (body)
        return fill_body(b, body, params.conditional.phGraph_out[0], tgi_lane_device(c->lane), again, err);
    return TGI_CUDA_DO(b->cuda, err, cuGraphAddEmptyNode, (&node, params.conditional.phGraph_out[0], NULL, 0),
                       "adding a point to a graph");
}

int tgi_cuda_build_decision(struct tgi_cuda_build *b, struct tgi_cuda_part *part, uint32_t id, CUcontext ctx, struct tg_error *err)
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
    if (part->node == b->g->node)
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
static int begin_decisions(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, uint32_t device, struct tg_error *err)
{
    struct tgi_cuda *cuda = b->cuda;
    struct tgi_device_graph *g = b->g;
    struct tgi_cuda_kept *kept = &g->kept[device];
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
    return rc ? rc : tgi_cuda_build_note(b, b->begin[device], err);
}

static int end_decisions(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, uint32_t device, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    CUgraphNode node;
    CUDA_MEMCPY3D copy = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = g->kept[device].at, .dstMemoryType = CU_MEMORYTYPE_HOST,
                          .dstHost = g->kept[device].host, .WidthInBytes = kept_bytes(g), .Height = 1, .Depth = 1};
    uint32_t n;
    int rc = gather_ends(b, whole, &n, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(b->cuda, err, cuGraphAddMemcpyNode, (&node, g->graph[0], b->after, n, &copy, b->cuda->device[device].ctx),
                         "adding a copy to a graph");
    return rc ? rc : tgi_cuda_build_note(b, node, err);
}

/* What decisions need of a device is the first one's. */
static uint64_t first_owner(const struct tgi_program *p, uint32_t device)
{
    uint32_t i = 0;
    while (p->commands[i].kind != TGI_COMMAND_DECIDE || tgi_lane_device(p->commands[i].lane) != device)
        i++;
    return p->commands[i].owner;
}

static int for_devices(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, 
                       int (*fn)(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, uint32_t device, struct tg_error *err), struct tg_error *err)
{
    int rc = 0;
    for (uint32_t d = 0; rc == 0 && d < b->cuda->base.n_devices; d++) {
        if (!(b->devices >> d & 1))
            continue;
        b->owner = first_owner(whole->p, d);
        rc = fn(b, whole, d, err);
    }
    return rc;
}

int tgi_cuda_build_begin(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, struct tg_error *err)
{
    struct tgi_device_graph *g = b->g;
    g->n_decisions = count_decisions(whole->p, &b->devices);
    if (g->n_decisions && !(g->rounds = calloc(2 * (size_t)g->n_decisions, sizeof *g->rounds)))
        return no_memory(err);
    return for_devices(b, whole, begin_decisions, err);
}

int tgi_cuda_build_end(struct tgi_cuda_build *b, const struct tgi_cuda_part *whole, struct tg_error *err)
{
    return for_devices(b, whole, end_decisions, err);
}

/* ---- What they keep -----------------------------------------------------------------------*/

void tgi_cuda_graph_forget(struct tgi_cuda *cuda, struct tgi_device_graph *g)
{
    for (uint32_t d = 0; d < cuda->base.n_devices; d++) {
        if (g->kept[d].at) {
            tgi_cuda_try_enter(cuda, d);
            cuda->api->cuMemFree(g->kept[d].at);
        }
        if (g->kept[d].host)
            cuda->base.ops->host_free(&cuda->base, g->kept[d].host);
    }
    free(g->rounds);
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
