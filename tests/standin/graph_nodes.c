/* Nodes of graphs: made, asked, changed, removed. */
#include "tests/standin/builtins.h"
#include "tests/standin/internal.h"

static uint64_t next_handle = 1000;

CUresult kernel_op(const CUDA_KERNEL_NODE_PARAMS *p, struct op *op)
{
    return function_op(p->func ? p->func : (CUfunction)p->kern,
                       (unsigned[]){p->gridDimX, p->gridDimY, p->gridDimZ},
                       (unsigned[]){p->blockDimX, p->blockDimY, p->blockDimZ}, p->sharedMemBytes, false,
                       p->kernelParams, p->extra, op);
}

CUresult set_op(const CUDA_MEMSET_NODE_PARAMS *p, CUcontext ctx, struct op *op)
{
    if (!ctx && current_ctx(&ctx) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_CONTEXT;
    if ((p->elementSize != 1 && p->elementSize != 2 && p->elementSize != 4) || p->width == 0 ||
        p->height == 0 || p->dst == 0 || p->dst % p->elementSize)
        return CUDA_ERROR_INVALID_VALUE;
    *op = (struct op){.kind = OP_SET, .device = ctx->device};
    op->set.to = p->dst;
    op->set.pitch = p->pitch;
    op->set.width = p->width;
    op->set.height = p->height;
    op->set.value = p->value;
    op->set.element = p->elementSize;
    return CUDA_SUCCESS;
}

CUresult copy_op(const CUDA_MEMCPY3D *p, CUcontext ctx, struct op *op)
{
    if (!ctx && current_ctx(&ctx) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_CONTEXT;
    *op = (struct op){.kind = OP_COPY, .device = ctx->device};
    return copy_from_3d(p, &op->copy);
}

CUresult host_op(const CUDA_HOST_NODE_PARAMS *p, struct op *op)
{
    *op = (struct op){.kind = OP_HOST, .device = -1};
    op->host.fn = p->fn;
    op->host.user = p->userData;
    return p->fn ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                                 const CUDA_KERNEL_NODE_PARAMS *params)
{
    struct op op;
    BEGIN(cuGraphAddKernelNode_v2);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    rc = kernel_op(params, &op);
    return rc == CUDA_SUCCESS ? graph_add(g, after, n, &op, node_p) : rc;
}

CUresult cuGraphAddMemcpyNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                              const CUDA_MEMCPY3D *copy, CUcontext ctx)
{
    struct op op;
    BEGIN(cuGraphAddMemcpyNode);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    rc = copy_op(copy, ctx, &op);
    if (rc == CUDA_SUCCESS && is_left_out(STANDIN_COPY))
        op = (struct op){.kind = OP_NOTHING, .device = -1};
    return rc == CUDA_SUCCESS ? graph_add(g, after, n, &op, node_p) : rc;
}

CUresult cuGraphAddMemsetNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                              const CUDA_MEMSET_NODE_PARAMS *params, CUcontext ctx)
{
    struct op op;
    BEGIN(cuGraphAddMemsetNode);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    rc = set_op(params, ctx, &op);
    return rc == CUDA_SUCCESS ? graph_add(g, after, n, &op, node_p) : rc;
}

CUresult cuGraphAddHostNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                            const CUDA_HOST_NODE_PARAMS *params)
{
    struct op op;
    BEGIN(cuGraphAddHostNode);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    rc = host_op(params, &op);
    return rc == CUDA_SUCCESS ? graph_add(g, after, n, &op, node_p) : rc;
}

CUresult cuGraphAddEmptyNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n)
{
    struct op op = {.kind = OP_NOTHING, .device = -1};
    BEGIN(cuGraphAddEmptyNode);
    return is_object(g, GRAPH) ? graph_add(g, after, n, &op, node_p) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphAddChildGraphNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                                  CUgraph child)
{
    struct op op = {.kind = OP_GRAPH, .device = -1};
    BEGIN(cuGraphAddChildGraphNode);
    if (!is_object(g, GRAPH) || !is_object(child, GRAPH) || child == g)
        return CUDA_ERROR_INVALID_VALUE;
    op.child = graph_clone(child, true);
    return op.child ? graph_add(g, after, n, &op, node_p) : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult event_node(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n, CUevent event,
                           enum op_kind kind)
{
    struct op op = {.kind = kind, .device = -1};
    op.event = event;
    if (!is_object(g, GRAPH) || !is_object(event, EVENT))
        return CUDA_ERROR_INVALID_VALUE;
    return graph_add(g, after, n, &op, node_p);
}

CUresult cuGraphAddEventRecordNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                                   CUevent event)
{
    BEGIN(cuGraphAddEventRecordNode);
    return event_node(node_p, g, after, n, event, OP_RECORD);
}

CUresult cuGraphAddEventWaitNode(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after, size_t n,
                                 CUevent event)
{
    BEGIN(cuGraphAddEventWaitNode);
    return event_node(node_p, g, after, n, event, OP_WAIT);
}

static CUresult conditional_op(CUDA_CONDITIONAL_NODE_PARAMS *p, struct op *op)
{
    unsigned most = p->type == CU_GRAPH_COND_TYPE_IF ? 2 : p->type == CU_GRAPH_COND_TYPE_WHILE ? 1 : 64;
    if (p->size == 0 || p->size > most)
        return CUDA_ERROR_INVALID_VALUE;
    *op = (struct op){.kind = OP_COND, .device = -1};
    op->cond.handle = p->handle;
    op->cond.type = p->type;
    op->cond.n_bodies = p->size;
    op->cond.body = calloc(p->size, sizeof *op->cond.body);
    for (unsigned i = 0; op->cond.body && i < p->size; i++) {
        op->cond.body[i] = graph_new(true);
        if (!op->cond.body[i]) {
            op_drop(op);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    }
    p->phGraph_out = op->cond.body;
    return op->cond.body ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* A programmatic edge is an order only to a kernel that waits by itself, as built-in ones do: others run whenever they like. */
static bool is_edge_kept(CUgraphNode from, const struct op *to, const CUgraphEdgeData *edge, CUresult *rc_p)
{
    if (edge->type == CU_GRAPH_DEPENDENCY_TYPE_DEFAULT)
        return true;
    if (edge->type != CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC || edge->from_port != CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC || edge->to_port ||
        !is_object(from, NODE) || from->op.kind != OP_KERNEL || to->kind != OP_KERNEL) {
        *rc_p = CUDA_ERROR_INVALID_VALUE;
        return false;
    }
    return is_builtin(to->kernel.function->kernel);
}

CUresult cuGraphAddNode_v2(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after,
                           const CUgraphEdgeData *edges, size_t n, CUgraphNodeParams *params)
{
    struct op op;
    BEGIN(cuGraphAddNode_v2);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    switch (params->type) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
        rc = kernel_op(&params->kernel, &op);
        break;
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
        rc = conditional_op(&params->conditional, &op);
        break;
    case CU_GRAPH_NODE_TYPE_EMPTY:
        op = (struct op){.kind = OP_NOTHING, .device = -1};
        break;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (rc != CUDA_SUCCESS)
        return rc;
    CUgraphNode *full = malloc((n + 1) * sizeof *full);
    size_t n_full = 0;
    rc = full ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; rc == CUDA_SUCCESS && i < n; i++)
        if (!edges || is_edge_kept(after[i], &op, &edges[i], &rc))
            full[n_full++] = after[i];
    if (rc == CUDA_SUCCESS)
        rc = graph_add(g, full, n_full, &op, node_p);
    else
        op_drop(&op);
    free(full);
    return rc;
}

CUresult cuGraphConditionalHandleCreate(CUgraphConditionalHandle *handle_p, CUgraph g, CUcontext ctx,
                                        unsigned int initial, unsigned int flags)
{
    BEGIN(cuGraphConditionalHandleCreate);
    if (!is_object(g, GRAPH) || !ctx || flags & ~(unsigned)CU_GRAPH_COND_ASSIGN_DEFAULT)
        return CUDA_ERROR_INVALID_VALUE;
    void *more = realloc(g->condition, (g->n_conditions + 1) * sizeof *g->condition);
    if (!more)
        return CUDA_ERROR_OUT_OF_MEMORY;
    g->condition = more;
    g->condition[g->n_conditions].handle = *handle_p = next_handle++;
    g->condition[g->n_conditions].initial = initial;
    g->condition[g->n_conditions++].is_assigned = flags != 0;
    return rc;
}

static CUresult add_dependencies(CUgraph g, const CUgraphNode *from, const CUgraphNode *to, size_t n)
{
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        if (!is_object(from[i], NODE) || !is_object(to[i], NODE) || from[i]->graph != g ||
            to[i]->graph != g || from[i] == to[i])
            return CUDA_ERROR_INVALID_VALUE;
        for (size_t k = 0; k < to[i]->n_before; k++)
            if (to[i]->before[k] == from[i])
                return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < n; i++) {
        CUgraphNode *more = realloc(to[i]->before, (to[i]->n_before + 1) * sizeof *more);
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        to[i]->before = more;
        more[to[i]->n_before++] = from[i];
    }
    return CUDA_SUCCESS;
}

CUresult cuGraphAddDependencies(CUgraph g, const CUgraphNode *from, const CUgraphNode *to, size_t n)
{
    BEGIN(cuGraphAddDependencies);
    return add_dependencies(g, from, to, n);
}

CUresult cuGraphAddDependencies_v2(CUgraph g, const CUgraphNode *from, const CUgraphNode *to,
                                   const CUgraphEdgeData *edges, size_t n)
{
    (void)edges;
    BEGIN(cuGraphAddDependencies_v2);
    return add_dependencies(g, from, to, n);
}

CUresult cuGraphGetNodes(CUgraph g, CUgraphNode *nodes, size_t *n_p)
{
    BEGIN(cuGraphGetNodes);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; nodes && i < *n_p; i++)
        nodes[i] = i < g->n_nodes ? g->node[i] : NULL;
    if (!nodes || *n_p > g->n_nodes)
        *n_p = g->n_nodes;
    return rc;
}

CUresult cuGraphGetEdges(CUgraph g, CUgraphNode *from, CUgraphNode *to, size_t *n_p)
{
    size_t n = 0;
    BEGIN(cuGraphGetEdges);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = 0; k < g->node[i]->n_before; k++, n++)
            if (from && to && n < *n_p) {
                from[n] = g->node[i]->before[k];
                to[n] = g->node[i];
            }
    if (!from || *n_p > n)
        *n_p = n;
    return rc;
}

CUresult cuGraphNodeGetType(CUgraphNode n, CUgraphNodeType *type_p)
{
    static const CUgraphNodeType types[] = {
        [OP_NOTHING] = CU_GRAPH_NODE_TYPE_EMPTY,   [OP_KERNEL] = CU_GRAPH_NODE_TYPE_KERNEL,
        [OP_COPY] = CU_GRAPH_NODE_TYPE_MEMCPY,     [OP_SET] = CU_GRAPH_NODE_TYPE_MEMSET,
        [OP_HOST] = CU_GRAPH_NODE_TYPE_HOST,       [OP_RECORD] = CU_GRAPH_NODE_TYPE_EVENT_RECORD,
        [OP_WAIT] = CU_GRAPH_NODE_TYPE_WAIT_EVENT, [OP_ALLOC] = CU_GRAPH_NODE_TYPE_MEM_ALLOC,
        [OP_FREE] = CU_GRAPH_NODE_TYPE_MEM_FREE,   [OP_GRAPH] = CU_GRAPH_NODE_TYPE_GRAPH,
        [OP_COND] = CU_GRAPH_NODE_TYPE_CONDITIONAL};
    BEGIN(cuGraphNodeGetType);
    if (!is_object(n, NODE))
        return CUDA_ERROR_INVALID_VALUE;
    *type_p = types[n->op.kind];
    return rc;
}

CUresult cuGraphDestroyNode(CUgraphNode n)
{
    BEGIN_RELEASE(cuGraphDestroyNode);
    if (!is_object(n, NODE))
        return CUDA_ERROR_INVALID_VALUE;
    CUgraph g = n->graph;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = 0; k < g->node[i]->n_before; k++)
            if (g->node[i]->before[k] == n)
                g->node[i]->before[k--] = g->node[i]->before[--g->node[i]->n_before];
    for (size_t i = n->index + 1; i < g->n_nodes; i++) {
        g->node[i - 1] = g->node[i];
        g->node[i - 1]->index = i - 1;
    }
    g->n_nodes--;
    node_free(n);
    DONE(rc);
}

/* kernelParams is not told. */
CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode n, CUDA_KERNEL_NODE_PARAMS *p)
{
    BEGIN(cuGraphKernelNodeGetParams_v2);
    if (!is_object(n, NODE) || n->op.kind != OP_KERNEL)
        return CUDA_ERROR_INVALID_VALUE;
    *p = (CUDA_KERNEL_NODE_PARAMS){n->op.kernel.function,
                                   n->op.kernel.grid[0],
                                   n->op.kernel.grid[1],
                                   n->op.kernel.grid[2],
                                   n->op.kernel.block[0],
                                   n->op.kernel.block[1],
                                   n->op.kernel.block[2],
                                   n->op.kernel.shared_bytes,
                                   NULL,
                                   NULL,
                                   NULL,
                                   NULL};
    return rc;
}

CUresult node_set(CUgraphNode n, struct op *op)
{
    if (!n || n->op.kind != op->kind) {
        op_fini(op);
        return CUDA_ERROR_INVALID_VALUE;
    }
    op_fini(&n->op);
    n->op = *op;
    return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode n, const CUDA_KERNEL_NODE_PARAMS *params)
{
    struct op op;
    BEGIN(cuGraphKernelNodeSetParams_v2);
    rc = kernel_op(params, &op);
    return rc == CUDA_SUCCESS ? node_set(is_object(n, NODE) ? n : NULL, &op) : rc;
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode n, CUlaunchAttributeID attribute, const CUlaunchAttributeValue *value)
{
    BEGIN(cuGraphKernelNodeSetAttribute);
    if (!is_object(n, NODE) || n->op.kind != OP_KERNEL || !value)
        return CUDA_ERROR_INVALID_VALUE;
    if (attribute != CU_LAUNCH_ATTRIBUTE_COOPERATIVE)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (value->cooperative && !function_fits(&n->op))
        return CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE;
    n->op.kernel.is_cooperative = value->cooperative != 0;
    return rc;
}
