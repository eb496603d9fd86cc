/* Changes of executable graphs, and which of them are refused. */
#include "tests/standin/internal.h"

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
