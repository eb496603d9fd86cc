/* Executable graphs.
 *
 * A launch turns every node into an item (work.c) between an entry and an exit, so that nodes run in any
 * order their edges allow, interleaved with everything else.  Bodies of conditionals become items when
 * the conditional runs. */
#include "tests/standin/internal.h"

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

/* The first kernel of the innermost body. */
static CUgraphNode innermost(CUgraph g)
{
    CUgraphNode found = NULL;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->node[i]->op.kind == OP_COND && g->node[i]->op.cond.body[0]->n_nodes)
            return innermost(g->node[i]->op.cond.body[0]);
        if (!found && g->node[i]->op.kind == OP_KERNEL)
            found = g->node[i];
    }
    return found;
}

/* Told to fail for what a node has, it names one. */
CUresult cuGraphInstantiateWithParams(CUgraphExec *exec_p, CUgraph g, CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    struct scope scope __attribute__((cleanup(leave))) = {0};
    CUresult rc;
    if (!enter(&scope, CALL_cuGraphInstantiateWithParams, ENTER, &rc)) {
        params->hErrNode_out = rc == CUDA_ERROR_INVALID_VALUE && is_object(g, GRAPH) ? innermost(g) : NULL;
        return rc;
    }
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
