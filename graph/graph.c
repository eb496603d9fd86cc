/* Making and ending graphs, and questions about them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/block.h"
#include "graph/by_task.h"
#include "graph/error.h"
#include "graph/freeze.h"
#include "graph/space.h"

static struct tg_graph *graph_alloc(struct tgi_space *space, const char *name)
{
    struct tg_graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->space = space;
    g->name = tgi_arena_strdup(&space->strings, name ? name : "");
    if (!g->name) {
        free(g);
        return NULL;
    }
    return g;
}

int tg_graph_create(const char *name, struct tg_graph **graph_p, struct tg_error *err)
{
    struct tgi_space *space = tgi_space_create();
    struct tg_graph *g = space ? graph_alloc(space, name) : NULL;
    if (!g) {
        tgi_space_destroy(space);
        return tgi_error_memory(err, "creating a graph");
    }
    *graph_p = g;
    return 0;
}

int tg_graph_create_body(struct tg_graph *parent, struct tg_graph **body_p, struct tg_error *err)
{
    if (parent->space->is_closed)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further body");
    struct tg_graph *g = graph_alloc(parent->space, parent->name);
    if (!g)
        return tgi_error_memory(err, "creating a body");
    g->is_body = true;
    g->is_explicit = parent->is_explicit;
    *body_p = g;
    return 0;
}

void tgi_graph_keep(const struct tg_graph *graph)
{
    /* relaxed: publishes nothing; who keeps it has it from its owner. */
    atomic_fetch_add_explicit(&((struct tg_graph *)graph)->n_keepers, 1, memory_order_relaxed);
}

void tg_graph_destroy(struct tg_graph *graph)
{
    /* acq_rel: what the others have done with the graph is over when the last one frees it.  Pairs with itself. */
    if (!graph || atomic_fetch_sub_explicit(&graph->n_keepers, 1, memory_order_acq_rel))
        return;
    tgi_graph_thaw(graph);
    tgi_block_free(graph->nodes);
    tgi_block_free(graph->args);
    tgi_block_free(graph->names_at);
    free(graph->names_text);
    tgi_block_free(graph->site_of);
    tgi_block_free(graph->priority);
    tgi_block_free(graph->attrs);
    tgi_block_free(graph->after_at);
    tgi_block_free(graph->afters);
    tgi_block_free(graph->late);
    tgi_names_fini(&graph->index);
    if (!graph->is_body)
        tgi_space_destroy(graph->space);
    free(graph);
}

/* ---- Questions ----------------------------------------------------------------------------*/

const char *tgi_graph_given_name(const void *graph, uint32_t task)
{
    const struct tg_graph *g = graph;
    return g->names_text + g->names_at[task];
}

tg_task_id tg_graph_find_task(const struct tg_graph *graph, const char *name)
{
    return tgi_names_find(&graph->index, tgi_graph_given_name, graph, name, strlen(name));
}

tg_buffer_id tg_graph_find_buffer(const struct tg_graph *graph, const char *name)
{
    return tgi_space_find_buffer(graph->space, name);
}

const char *tgi_graph_task_name(const struct tg_graph *g, uint32_t task, char *scratch)
{
    if (g->names_at && g->names_at[task] != TG_NONE)
        return g->names_text + g->names_at[task];
    snprintf(scratch, 16, "#%u", task);
    return scratch;
}

const struct tgi_attr *tgi_graph_attr(const struct tg_graph *g, uint32_t task)
{
    if (!(g->nodes[task].op & TGI_NODE_ATTR))
        return NULL;
    return &g->attrs[TGI_FIRST_OF_TASK(g->attrs, g->n_attrs, task)];
}

bool tgi_after_next(const struct tg_graph *g, struct tgi_after_walk *walk, struct tgi_control *control_p)
{
    for (; g->after_at && walk->task < g->n_tasks; walk->task++, walk->i = 0) {
        uint32_t at = g->after_at[walk->task];
        if (at != TG_NONE && walk->i < g->afters[at]) {
            *control_p = (struct tgi_control){g->afters[at + ++walk->i], walk->task};
            return true;
        }
    }
    if (walk->late == g->n_late)
        return false;
    *control_p = g->late[walk->late++];
    return true;
}

const struct tgi_share *tgi_graph_shares(const struct tg_graph *g, uint32_t task, uint32_t *n_p)
{
    uint32_t low = (uint32_t)TGI_FIRST_OF_TASK(g->shares, g->n_shares, task), end = low;
    while (end < g->n_shares && g->shares[end].task == task)
        end++;
    *n_p = end - low;
    return g->shares + low;
}
