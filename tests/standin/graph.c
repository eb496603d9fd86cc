/* Graphs: their nodes with edges, and copies of them.
 *
 * graph_nodes.c makes nodes, graph_exec.c executable graphs and launches, graph_update.c changes those, capture.c turns
 * streams into graphs.  Memory nodes, event nodes with external events and semaphores are not there:
 * CUDA_ERROR_NOT_SUPPORTED. */
#include "tests/standin/internal.h"

CUgraph graph_new(bool is_owned)
{
    CUgraph g = object_new(GRAPH, sizeof *g);
    if (g)
        g->is_owned = is_owned;
    return g;
}

void node_free(CUgraphNode n)
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

void op_drop(struct op *op)
{
    if (op->kind == OP_GRAPH)
        graph_free(op->child);
    for (unsigned i = 0; op->kind == OP_COND && i < op->cond.n_bodies; i++)
        graph_free(op->cond.body[i]);
    op_fini(op);
}

bool is_left_out(enum standin_part what)
{
    return ++state.n_parts[what] == state.left_out[what];
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
    n->graph = g;
    n->op = *op;
    n->before = list;
    for (size_t i = 0; i < n_before; i++)
        if (!is_left_out(STANDIN_EDGE))
            list[n->n_before++] = before[i];
    n->index = g->n_nodes;
    g->node[g->n_nodes++] = n;
    *node_p = n;
    return CUDA_SUCCESS;
drop:
    op_drop(op);
    return rc;
}

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

CUgraph graph_clone(CUgraph from, bool is_owned)
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
