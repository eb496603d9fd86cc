/* Graphs, executable graphs, and the capture of streams into graphs.
 *
 * A launch turns every node into an item (work.c) between an entry and an exit, so that nodes run in any
 * order their edges allow, interleaved with everything else.  Bodies of conditionals become items when
 * the conditional runs.  Memory nodes, event nodes with external events and semaphores are not there:
 * CUDA_ERROR_NOT_SUPPORTED. */
#include "tests/standin/internal.h"

static uint64_t next_handle = 1000, next_capture = 1;
static struct capture *captures;
static __thread CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

/* ---- Graphs -------------------------------------------------------------------------------*/

CUgraph graph_new(bool is_owned)
{
    CUgraph g = object_new(GRAPH, sizeof *g);
    if (g)
        g->is_owned = is_owned;
    return g;
}

static void node_free(CUgraphNode n)
{
    if (n->op.kind == OP_GRAPH)
        graph_free(n->op.child);
    for (unsigned i = 0; n->op.kind == OP_COND && i < n->op.cond.n_bodies; i++)
        graph_free(n->op.cond.body[i]);
    op_fini(&n->op);
    free(n->before);
    n->before = NULL;
    object_kill(n);
}

void graph_free(CUgraph g)
{
    if (!g)
        return;
    if (g->n_users) {
        g->is_doomed = true;
        return;
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        node_free(g->node[i]);
    free(g->node);
    free(g->condition);
    g->node = NULL;
    g->condition = NULL;
    object_kill(g);
}

static void op_drop(struct op *op)
{
    if (op->kind == OP_GRAPH)
        graph_free(op->child);
    for (unsigned i = 0; op->kind == OP_COND && i < op->cond.n_bodies; i++)
        graph_free(op->cond.body[i]);
    op_fini(op);
}

CUresult graph_add(CUgraph g, const CUgraphNode *before, size_t n_before, struct op *op, CUgraphNode *node_p)
{
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n_before; i++) {
        if (!is_object(before[i], NODE) || before[i]->graph != g)
            goto drop;
        for (size_t j = 0; j < i; j++)
            if (before[j] == before[i])
                goto drop;
    }
    rc = CUDA_ERROR_OUT_OF_MEMORY;
    CUgraphNode *nodes = realloc(g->node, (g->n_nodes + 1) * sizeof *nodes);
    if (!nodes)
        goto drop;
    g->node = nodes;
    CUgraphNode *list = malloc((n_before + 1) * sizeof *list);
    CUgraphNode n = list ? object_new(NODE, sizeof *n) : NULL;
    if (!n) {
        free(list);
        goto drop;
    }
    if (n_before)
        memcpy(list, before, n_before * sizeof *list);
    n->graph = g;
    n->op = *op;
    n->before = list;
    n->n_before = n_before;
    n->index = g->n_nodes;
    g->node[g->n_nodes++] = n;
    *node_p = n;
    return CUDA_SUCCESS;
drop:
    op_drop(op);
    return rc;
}

static CUgraph graph_clone(CUgraph from, bool is_owned);

static bool clone_op(struct op *to, const struct op *from)
{
    if (from->kind == OP_GRAPH) {
        *to = *from;
        to->child = graph_clone(from->child, true);
        return to->child != NULL;
    }
    if (from->kind != OP_COND)
        return op_clone(to, from) == CUDA_SUCCESS;
    *to = *from;
    to->cond.body = calloc(from->cond.n_bodies, sizeof *to->cond.body);
    for (unsigned i = 0; to->cond.body && i < from->cond.n_bodies; i++) {
        to->cond.body[i] = graph_clone(from->cond.body[i], true);
        if (!to->cond.body[i]) {
            op_drop(to);
            return false;
        }
    }
    return to->cond.body != NULL;
}

static CUgraph graph_clone(CUgraph from, bool is_owned)
{
    CUgraph g = graph_new(is_owned);
    if (!g)
        return NULL;
    if (from->n_conditions) {
        g->condition = malloc(from->n_conditions * sizeof *g->condition);
        if (!g->condition)
            goto free_graph;
        memcpy(g->condition, from->condition, from->n_conditions * sizeof *g->condition);
        g->n_conditions = from->n_conditions;
    }
    for (size_t i = 0; i < from->n_nodes; i++) { /* all of them first: an edge may lead back in the list */
        struct op op;
        CUgraphNode n;
        if (!clone_op(&op, &from->node[i]->op) || graph_add(g, NULL, 0, &op, &n) != CUDA_SUCCESS)
            goto free_graph;
        n->origin = from->node[i];
    }
    for (size_t i = 0; i < from->n_nodes; i++) {
        CUgraphNode a = from->node[i], n = g->node[i];
        CUgraphNode *list = malloc((a->n_before + 1) * sizeof *list);
        if (!list)
            goto free_graph;
        for (size_t k = 0; k < a->n_before; k++)
            list[k] = g->node[a->before[k]->index];
        free(n->before);
        n->before = list;
        n->n_before = a->n_before;
    }
    return g;
free_graph:
    graph_free(g);
    return NULL;
}

CUresult cuGraphCreate(CUgraph *graph_p, unsigned int flags)
{
    BEGIN(cuGraphCreate);
    if (flags)
        return CUDA_ERROR_INVALID_VALUE;
    CUgraph g = graph_new(false);
    if (!g)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *graph_p = g;
    return rc;
}

CUresult cuGraphDestroy(CUgraph g)
{
    BEGIN_RELEASE(cuGraphDestroy);
    if (!is_object(g, GRAPH) || g->is_owned)
        return CUDA_ERROR_INVALID_VALUE;
    graph_free(g);
    DONE(rc);
}

CUresult cuGraphClone(CUgraph *clone_p, CUgraph g)
{
    BEGIN(cuGraphClone);
    if (!is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    CUgraph clone = graph_clone(g, false);
    if (!clone)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *clone_p = clone;
    return rc;
}

/* ---- Nodes --------------------------------------------------------------------------------*/

static CUresult kernel_op(const CUDA_KERNEL_NODE_PARAMS *p, struct op *op)
{
    return function_op(p->func ? p->func : (CUfunction)p->kern,
                       (unsigned[]){p->gridDimX, p->gridDimY, p->gridDimZ},
                       (unsigned[]){p->blockDimX, p->blockDimY, p->blockDimZ}, p->sharedMemBytes, false,
                       p->kernelParams, p->extra, op);
}

static CUresult set_op(const CUDA_MEMSET_NODE_PARAMS *p, CUcontext ctx, struct op *op)
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

static CUresult copy_op(const CUDA_MEMCPY3D *p, CUcontext ctx, struct op *op)
{
    if (!ctx && current_ctx(&ctx) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_CONTEXT;
    *op = (struct op){.kind = OP_COPY, .device = ctx->device};
    return copy_from_3d(p, &op->copy);
}

static CUresult host_op(const CUDA_HOST_NODE_PARAMS *p, struct op *op)
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

CUresult cuGraphAddNode_v2(CUgraphNode *node_p, CUgraph g, const CUgraphNode *after,
                           const CUgraphEdgeData *edges, size_t n, CUgraphNodeParams *params)
{
    struct op op;
    BEGIN(cuGraphAddNode_v2);
    (void)edges; /* a programmatic edge promises less than a full one; here it is a full one */
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
    return rc == CUDA_SUCCESS ? graph_add(g, after, n, &op, node_p) : rc;
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

/* Takes op over. */
static CUresult node_set(CUgraphNode n, struct op *op)
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

/* ---- Executable graphs --------------------------------------------------------------------*/

static bool has_cycle(CUgraph g, bool *is_out_of_memory_p)
{
    size_t *n_left = calloc(g->n_nodes + 1, sizeof *n_left), n_done = 0, n_stack = 0, n_edges = 0;
    size_t *first = calloc(g->n_nodes + 2, sizeof *first), *after = NULL;
    CUgraphNode *stack = malloc((g->n_nodes + 1) * sizeof *stack);
    for (size_t i = 0; i < g->n_nodes; i++)
        n_edges += g->node[i]->n_before;
    after = malloc((n_edges + 1) * sizeof *after);
    *is_out_of_memory_p = !n_left || !first || !after || !stack;
    if (!*is_out_of_memory_p) {
        for (size_t i = 0; i < g->n_nodes; i++)
            for (size_t k = 0; k < g->node[i]->n_before; k++)
                first[g->node[i]->before[k]->index + 2]++;
        for (size_t i = 2; i < g->n_nodes + 2; i++)
            first[i] += first[i - 1];
        for (size_t i = 0; i < g->n_nodes; i++)
            for (size_t k = 0; k < g->node[i]->n_before; k++)
                after[first[g->node[i]->before[k]->index + 1]++] = i;
        for (size_t i = 0; i < g->n_nodes; i++) {
            n_left[i] = g->node[i]->n_before;
            if (n_left[i] == 0)
                stack[n_stack++] = g->node[i];
        }
        while (n_stack) {
            CUgraphNode n = stack[--n_stack];
            n_done++;
            for (size_t k = first[n->index]; k < first[n->index + 1]; k++)
                if (--n_left[after[k]] == 0)
                    stack[n_stack++] = g->node[after[k]];
        }
    }
    bool is_cyclic = n_done < g->n_nodes;
    free(n_left);
    free(first);
    free(after);
    free(stack);
    return is_cyclic;
}

static CUgraphInstantiateResult check_graph(CUgraph g, bool is_body, int *device_p, CUgraphNode *bad_p)
{
    bool is_out_of_memory;
    if (has_cycle(g, &is_out_of_memory))
        return is_out_of_memory ? CUDA_GRAPH_INSTANTIATE_ERROR : CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE;
    for (size_t i = 0; i < g->n_nodes; i++) {
        CUgraphNode n = g->node[i];
        CUgraphInstantiateResult r = CUDA_GRAPH_INSTANTIATE_SUCCESS;
        *bad_p = n;
        if (is_body && (n->op.kind == OP_HOST || n->op.kind == OP_RECORD || n->op.kind == OP_WAIT))
            return CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED;
        if (is_body && n->op.kind == OP_KERNEL) {
            if (*device_p >= 0 && *device_p != n->op.device)
                return CUDA_GRAPH_INSTANTIATE_MULTIPLE_CTXS_NOT_SUPPORTED;
            *device_p = n->op.device;
        }
        if (n->op.kind == OP_GRAPH)
            r = check_graph(n->op.child, is_body, device_p, bad_p);
        for (unsigned k = 0;
             n->op.kind == OP_COND && k < n->op.cond.n_bodies && r == CUDA_GRAPH_INSTANTIATE_SUCCESS; k++) {
            int device = -1;
            r = check_graph(n->op.cond.body[k], true, is_body ? device_p : &device, bad_p);
        }
        if (r != CUDA_GRAPH_INSTANTIATE_SUCCESS)
            return r;
    }
    *bad_p = NULL;
    return CUDA_GRAPH_INSTANTIATE_SUCCESS;
}

static CUresult instantiate(CUgraphExec *exec_p, CUgraph g, unsigned long long flags,
                            CUgraphInstantiateResult *result_p, CUgraphNode *bad_p)
{
    int device = -1;
    *result_p = CUDA_GRAPH_INSTANTIATE_ERROR;
    *bad_p = NULL;
    if (!is_object(g, GRAPH) || flags & ~0xfull)
        return CUDA_ERROR_INVALID_VALUE;
    *result_p = check_graph(g, false, &device, bad_p);
    if (*result_p != CUDA_GRAPH_INSTANTIATE_SUCCESS)
        return *result_p == CUDA_GRAPH_INSTANTIATE_ERROR ? CUDA_ERROR_OUT_OF_MEMORY
                                                         : CUDA_ERROR_INVALID_VALUE;
    CUgraphExec e = object_new(EXEC, sizeof *e);
    if (e)
        e->graph = graph_clone(g, true);
    if (!e || !e->graph) {
        if (e)
            object_kill(e);
        *result_p = CUDA_GRAPH_INSTANTIATE_ERROR;
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *exec_p = e;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec_p, CUgraph g, unsigned long long flags)
{
    CUgraphInstantiateResult result;
    CUgraphNode bad;
    BEGIN(cuGraphInstantiateWithFlags);
    return instantiate(exec_p, g, flags, &result, &bad);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec *exec_p, CUgraph g, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    BEGIN(cuGraphInstantiateWithParams);
    return instantiate(exec_p, g, params->flags, &params->result_out, &params->hErrNode_out);
}

CUresult cuGraphExecDestroy(CUgraphExec e)
{
    BEGIN_RELEASE(cuGraphExecDestroy);
    if (!is_object(e, EXEC))
        return CUDA_ERROR_INVALID_VALUE;
    item_release(e->last);
    e->last = NULL;
    graph_free(e->graph);
    e->graph = NULL;
    object_kill(e);
    DONE(rc);
}

CUresult cuGraphUpload(CUgraphExec e, CUstream stream)
{
    CUstream s;
    BEGIN(cuGraphUpload);
    rc = stream_find(stream, &s);
    return rc == CUDA_SUCCESS && !is_object(e, EXEC) ? CUDA_ERROR_INVALID_VALUE : rc;
}

/* An item per node, after `before` and before `after` (either may be NULL). */
CUresult expand(CUgraph g, struct launch *launch, unsigned speed, struct item *before, struct item *after)
{
    CUresult rc = CUDA_ERROR_OUT_OF_MEMORY;
    struct item **begin = calloc(2 * g->n_nodes + 1, sizeof *begin), **end = begin + g->n_nodes;
    size_t n_made = 0;
    if (!begin)
        return rc;
    for (; n_made < g->n_nodes; n_made++) {
        CUgraphNode n = g->node[n_made];
        struct op op = {.kind = OP_NOTHING, .device = -1};
        if (n->op.kind == OP_COND) {
            op = n->op;
            op.cond.body = malloc(n->op.cond.n_bodies * sizeof *op.cond.body);
            if (!op.cond.body)
                goto done;
            memcpy(op.cond.body, n->op.cond.body, n->op.cond.n_bodies * sizeof *op.cond.body);
        } else if (n->op.kind != OP_GRAPH && op_clone(&op, &n->op) != CUDA_SUCCESS)
            goto done;
        struct item *it = item_new(&op, draw(4) ? speed : (unsigned)draw(1000));
        if (!it)
            goto done;
        begin[n_made] = end[n_made] = it;
        it->launch = launch;
        launch->n_refs++;
        if (before && !item_order(before, it))
            goto done;
        if (n->op.kind == OP_WAIT && is_object(n->op.event, EVENT) && !item_order(n->op.event->last, it))
            goto done;
        if (n->op.kind == OP_RECORD && is_object(n->op.event, EVENT)) {
            item_release(n->op.event->last);
            n->op.event->last = it;
            it->n_refs++;
        }
        if (n->op.kind == OP_GRAPH) {
            op = (struct op){.kind = OP_NOTHING, .device = -1};
            end[n_made] = item_new(&op, speed);
            if (!end[n_made] || !item_order(it, end[n_made]) ||
                expand(n->op.child, launch, speed, it, end[n_made]) != CUDA_SUCCESS)
                goto done;
        }
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        for (size_t k = 0; k < g->node[i]->n_before; k++)
            if (!item_order(end[g->node[i]->before[k]->index], begin[i]))
                goto done;
        if (after && !item_order(end[i], after))
            goto done;
    }
    rc = CUDA_SUCCESS;
done:
    if (rc != CUDA_SUCCESS)
        fault(rc, "the stand-in has no memory for a graph");
    for (size_t i = 0; i < g->n_nodes && rc == CUDA_SUCCESS; i++) {
        item_start(begin[i]);
        if (end[i] != begin[i])
            item_start(end[i]);
    }
    free(begin);
    return rc;
}

static bool collect_conditions(CUgraph g, struct launch *l)
{
    if (g->n_conditions) {
        struct condition *more = realloc(l->condition, (l->n_conditions + g->n_conditions) * sizeof *more);
        if (!more)
            return false;
        l->condition = more;
        for (size_t i = 0; i < g->n_conditions; i++)
            more[l->n_conditions++] = (struct condition){
                g->condition[i].handle, g->condition[i].is_assigned ? g->condition[i].initial : 0};
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct op *op = &g->node[i]->op;
        if (op->kind == OP_GRAPH && !collect_conditions(op->child, l))
            return false;
        for (unsigned k = 0; op->kind == OP_COND && k < op->cond.n_bodies; k++)
            if (!collect_conditions(op->cond.body[k], l))
                return false;
    }
    return true;
}

static bool has_host_node(CUgraph g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->node[i]->op.kind == OP_HOST ||
            (g->node[i]->op.kind == OP_GRAPH && has_host_node(g->node[i]->op.child)))
            return true;
    return false;
}

static CUresult launch_exec(CUgraphExec e, CUstream s)
{
    struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
    struct launch *l = calloc(1, sizeof *l);
    if (!l)
        return CUDA_ERROR_OUT_OF_MEMORY;
    l->n_refs = 1;
    l->graph = e->graph;
    e->graph->n_users++;
    if (!collect_conditions(e->graph, l) || (has_host_node(e->graph) && !host_thread_ready())) {
        launch_release(l);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    struct item *entry = item_new(&nothing, s->speed), *exit = item_new(&nothing, s->speed);
    if (!entry || !exit || !stream_order(s, entry) || !item_order(e->last, entry) ||
        !item_order(entry, exit)) {
        fault(CUDA_ERROR_OUT_OF_MEMORY, "the stand-in has no memory for a launch");
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    entry->launch = l; /* with the first reference */
    CUresult rc = expand(e->graph, l, s->speed, entry, exit);
    if (rc != CUDA_SUCCESS)
        return rc;
    item_release(e->last);
    e->last = exit;
    exit->n_refs++;
    stream_set_tail(s, exit);
    item_start(entry);
    item_start(exit);
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec e, CUstream stream)
{
    CUstream s;
    BEGIN(cuGraphLaunch);
    rc = stream_find(stream, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!is_object(e, EXEC))
        return CUDA_ERROR_INVALID_VALUE;
    if (!s->capture)
        return launch_exec(e, s);
    struct op op = {.kind = OP_GRAPH, .device = -1};
    op.child = graph_clone(e->graph, true);
    return op.child ? stream_enqueue(s, &op) : CUDA_ERROR_OUT_OF_MEMORY;
}

/* ---- Updates ------------------------------------------------------------------------------*/

static int place_of(uint64_t address)
{
    struct alloc *a = memory_find(address);
    return a ? a->device : -2;
}

static bool are_edges_equal(CUgraphNode a, CUgraphNode b)
{
    if (a->n_before != b->n_before)
        return false;
    for (size_t i = 0; i < a->n_before; i++) {
        bool is_found = false;
        for (size_t k = 0; k < b->n_before; k++)
            is_found |= a->before[i]->index == b->before[k]->index;
        if (!is_found)
            return false;
    }
    return true;
}

static CUgraphExecUpdateResult compare_graphs(CUgraph a, CUgraph b, CUgraphNode *bad_p);

static CUgraphExecUpdateResult compare_ops(const struct op *a, const struct op *b, CUgraphNode *bad_p)
{
    CUgraphExecUpdateResult r = CU_GRAPH_EXEC_UPDATE_SUCCESS;
    if (a->kind != b->kind)
        return CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED;
    switch (a->kind) {
    case OP_KERNEL:
        if (a->device != b->device)
            return CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE;
        return a->kernel.is_cooperative != b->kernel.is_cooperative
                   ? CU_GRAPH_EXEC_UPDATE_ERROR_ATTRIBUTES_CHANGED
                   : r;
    case OP_COPY:
        if (a->copy.is_to_device != b->copy.is_to_device ||
            a->copy.is_from_device != b->copy.is_from_device || a->device != b->device ||
            (a->copy.is_to_device && place_of(a->copy.to) != place_of(b->copy.to)) ||
            (a->copy.is_from_device && place_of(a->copy.from) != place_of(b->copy.from)) ||
            (a->copy.height > 1) != (b->copy.height > 1))
            return CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
        return r;
    case OP_SET:
        return a->device != b->device || a->set.height != b->set.height
                   ? CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED
                   : r;
    case OP_GRAPH:
        return compare_graphs(a->child, b->child, bad_p);
    case OP_COND:
        if (a->cond.handle != b->cond.handle || a->cond.type != b->cond.type ||
            a->cond.n_bodies != b->cond.n_bodies)
            return CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED;
        for (unsigned i = 0; i < a->cond.n_bodies && r == CU_GRAPH_EXEC_UPDATE_SUCCESS; i++)
            r = compare_graphs(a->cond.body[i], b->cond.body[i], bad_p);
        return r;
    default:
        return r;
    }
}

static CUgraphExecUpdateResult compare_graphs(CUgraph a, CUgraph b, CUgraphNode *bad_p)
{
    if (a->n_nodes != b->n_nodes)
        return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    for (size_t i = 0; i < a->n_nodes; i++) {
        *bad_p = b->node[i];
        if (!are_edges_equal(a->node[i], b->node[i]))
            return CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
        CUgraphExecUpdateResult r = compare_ops(&a->node[i]->op, &b->node[i]->op, bad_p);
        if (r != CU_GRAPH_EXEC_UPDATE_SUCCESS)
            return r;
    }
    *bad_p = NULL;
    return CU_GRAPH_EXEC_UPDATE_SUCCESS;
}

CUresult cuGraphExecUpdate_v2(CUgraphExec e, CUgraph g, CUgraphExecUpdateResultInfo *info)
{
    CUgraphNode bad = NULL;
    BEGIN(cuGraphExecUpdate_v2);
    if (!is_object(e, EXEC) || !is_object(g, GRAPH))
        return CUDA_ERROR_INVALID_VALUE;
    CUgraphExecUpdateResult r = compare_graphs(e->graph, g, &bad);
    *info = (CUgraphExecUpdateResultInfo){r, bad, NULL};
    if (r != CU_GRAPH_EXEC_UPDATE_SUCCESS)
        return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    /* Launches that are under way keep what they were launched with. */
    CUgraph clone = graph_clone(g, true);
    if (!clone)
        return CUDA_ERROR_OUT_OF_MEMORY;
    /* Handles of nodes stay those of the graph that was instantiated. */
    for (size_t i = 0; i < clone->n_nodes; i++)
        clone->node[i]->origin = e->graph->node[i]->origin;
    graph_free(e->graph);
    e->graph = clone;
    return rc;
}

static CUgraphNode exec_node(CUgraphExec e, CUgraphNode origin)
{
    for (size_t i = 0; is_object(e, EXEC) && i < e->graph->n_nodes; i++)
        if (e->graph->node[i]->origin == origin)
            return e->graph->node[i];
    return NULL;
}

/* Takes op over. */
static CUresult exec_set(CUgraphExec e, CUgraphNode origin, struct op *op)
{
    CUgraphNode n = exec_node(e, origin), bad;
    if (n && compare_ops(&n->op, op, &bad) == CU_GRAPH_EXEC_UPDATE_SUCCESS)
        return node_set(n, op);
    op_fini(op);
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec e, CUgraphNode n,
                                           const CUDA_KERNEL_NODE_PARAMS *params)
{
    struct op op;
    BEGIN(cuGraphExecKernelNodeSetParams_v2);
    rc = kernel_op(params, &op);
    return rc == CUDA_SUCCESS ? exec_set(e, n, &op) : rc;
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec e, CUgraphNode n, const CUDA_MEMCPY3D *copy,
                                        CUcontext ctx)
{
    struct op op;
    BEGIN(cuGraphExecMemcpyNodeSetParams);
    rc = copy_op(copy, ctx, &op);
    return rc == CUDA_SUCCESS ? exec_set(e, n, &op) : rc;
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec e, CUgraphNode n, const CUDA_MEMSET_NODE_PARAMS *params,
                                        CUcontext ctx)
{
    struct op op;
    BEGIN(cuGraphExecMemsetNodeSetParams);
    rc = set_op(params, ctx, &op);
    return rc == CUDA_SUCCESS ? exec_set(e, n, &op) : rc;
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec e, CUgraphNode n, const CUDA_HOST_NODE_PARAMS *params)
{
    struct op op;
    BEGIN(cuGraphExecHostNodeSetParams);
    rc = host_op(params, &op);
    return rc == CUDA_SUCCESS ? exec_set(e, n, &op) : rc;
}

/* ---- Capture ------------------------------------------------------------------------------*/

struct capture *capture_find(uint64_t id)
{
    for (struct capture *c = captures; c; c = c->next)
        if (c->id == id)
            return c;
    return NULL;
}

CUresult capture_invalidate(struct capture *c, CUresult rc)
{
    c->is_invalid = true;
    return rc;
}

CUresult capture_forbid(void)
{
    CUresult rc = CUDA_SUCCESS;
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED)
        return rc;
    for (struct capture *c = captures; c; c = c->next) {
        bool is_ours = pthread_equal(c->owner, pthread_self());
        if (is_ours
                ? c->mode != CU_STREAM_CAPTURE_MODE_RELAXED
                : c->mode == CU_STREAM_CAPTURE_MODE_GLOBAL && thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL)
            rc = capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    return rc;
}

bool capture_blocks_legacy(CUcontext ctx)
{
    for (struct object *o = state.objects[STREAM]; o; o = o->next) {
        CUstream s = (CUstream)o;
        if (s->capture && s->ctx == ctx && s->is_blocking &&
            s->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED) {
            s->capture->is_invalid = true;
            return true;
        }
    }
    return false;
}

static void capture_leave(CUstream s, struct capture *c)
{
    if (s->capture != c)
        return;
    s->capture = NULL;
    free(s->deps);
    s->deps = NULL;
    s->n_deps = 0;
}

static void capture_free(struct capture *c)
{
    for (struct object *o = state.objects[STREAM]; o; o = o->next)
        capture_leave((CUstream)o, c);
    for (int d = 0; d < MAX_DEVICES; d++)
        capture_leave(&state.ctx[d].per_thread, c);
    for (struct capture **p = &captures; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    free(c);
}

void captures_reset(void)
{
    while (captures)
        capture_free(captures);
}

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode)
{
    CUstream s;
    BEGIN(cuStreamBeginCapture_v2);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (s->is_legacy)
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (s->capture || (unsigned)mode > CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_ILLEGAL_STATE;
    struct capture *c = calloc(1, sizeof *c);
    if (c)
        c->graph = graph_new(true);
    if (!c || !c->graph) {
        free(c);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    c->id = next_capture++;
    c->origin = s;
    c->mode = mode;
    c->owner = pthread_self();
    c->next = captures;
    captures = c;
    s->capture = c;
    return rc;
}

static bool is_in(CUgraphNode n, const CUgraphNode *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == n)
            return true;
    return false;
}

/* Every node that nothing comes after has to be what the origin would come after. */
static bool is_joined(struct capture *c)
{
    for (size_t i = 0; i < c->graph->n_nodes; i++) {
        bool is_leaf = true;
        for (size_t k = 0; k < c->graph->n_nodes && is_leaf; k++)
            is_leaf = !is_in(c->graph->node[i], c->graph->node[k]->before, c->graph->node[k]->n_before);
        if (is_leaf && !is_in(c->graph->node[i], c->origin->deps, c->origin->n_deps))
            return false;
    }
    return true;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph_p)
{
    CUstream s;
    BEGIN_RELEASE(cuStreamEndCapture);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct capture *c = s->capture;
    if (!c)
        return CUDA_ERROR_ILLEGAL_STATE;
    if (c->mode != CU_STREAM_CAPTURE_MODE_RELAXED && !pthread_equal(c->owner, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    if (c->origin != s)
        return capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    CUgraph g = c->graph;
    rc = c->is_invalid   ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
         : !is_joined(c) ? CUDA_ERROR_STREAM_CAPTURE_UNJOINED
                         : scope.late;
    capture_free(c);
    if (rc == CUDA_SUCCESS) {
        g->is_owned = false;
        *graph_p = g;
    } else {
        graph_free(g);
        *graph_p = NULL;
    }
    return rc;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status_p)
{
    CUstream s;
    BEGIN(cuStreamIsCapturing);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS)
        *status_p = !s->capture              ? CU_STREAM_CAPTURE_STATUS_NONE
                    : s->capture->is_invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                             : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return rc;
}

CUresult cuStreamGetCaptureInfo_v2(CUstream handle, CUstreamCaptureStatus *status_p, cuuint64_t *id_p,
                                   CUgraph *graph_p, const CUgraphNode **dependencies_p, size_t *n_p)
{
    CUstream s;
    BEGIN(cuStreamGetCaptureInfo_v2);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    *status_p = CU_STREAM_CAPTURE_STATUS_NONE;
    if (!s->capture)
        return rc;
    *status_p =
        s->capture->is_invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (s->capture->is_invalid)
        return rc;
    if (id_p)
        *id_p = s->capture->id;
    if (graph_p)
        *graph_p = s->capture->graph;
    if (dependencies_p)
        *dependencies_p = s->deps;
    if (n_p)
        *n_p = s->n_deps;
    return rc;
}

CUresult cuStreamUpdateCaptureDependencies(CUstream handle, CUgraphNode *dependencies, size_t n,
                                           unsigned int flags)
{
    CUstream s;
    BEGIN(cuStreamUpdateCaptureDependencies);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!s->capture || flags > 1)
        return CUDA_ERROR_ILLEGAL_STATE;
    for (size_t i = 0; i < n; i++)
        if (!is_object(dependencies[i], NODE) || dependencies[i]->graph != s->capture->graph)
            return CUDA_ERROR_INVALID_VALUE;
    CUgraphNode *list = malloc((s->n_deps + n + 1) * sizeof *list);
    size_t count = 0;
    if (!list)
        return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; flags == 0 && i < s->n_deps; i++)
        list[count++] = s->deps[i];
    for (size_t i = 0; i < n; i++)
        if (!is_in(dependencies[i], list, count))
            list[count++] = dependencies[i];
    free(s->deps);
    s->deps = list;
    s->n_deps = count;
    return rc;
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    BEGIN(cuThreadExchangeStreamCaptureMode);
    CUstreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return rc;
}
