/* From predecessor lists to the frozen form: topological order, levels, redundant edges removed,
 * successors in CSR, priority classes.
 *
 * An edge u -> v is redundant if another predecessor of v comes after u.  Levels (longest paths)
 * decide most cases at once: a predecessor on the highest level among v's can never be redundant.
 * For the others v's ancestors are searched backwards, only through levels above the lowest
 * candidate's, only through ids from the lowest candidate's on where ids are in topological order, and
 * with a limit on the effort; what the limit leaves is correct, merely not minimal. */
#include "graph/freeze.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/gate.h"

/* ---- Order and levels ---------------------------------------------------------------------*/

static bool is_forward(const struct tg_graph *g)
{
    for (uint32_t i = 0; i < g->n_controls; i++)
        if (g->controls[i].from >= g->controls[i].to)
            return false;
    return true;
}

/* Successor lists as CSR; the caller frees both arrays. */
static bool make_successors(const struct tg_graph *g, const struct tgi_preds *preds, uint32_t **first_p,
                            uint32_t **succ_p)
{
    uint32_t n = g->n_tasks;
    uint32_t *first = calloc((size_t)n + 2, sizeof *first);
    uint32_t *succ = malloc(((size_t)preds->n + 1) * sizeof *succ);
    if (!first || !succ) {
        free(first);
        free(succ);
        return false;
    }
    /* first[u + 2] counts, so that after the prefix sum first[u + 1] can run through u's list. */
    for (uint32_t i = 0; i < preds->n; i++)
        first[preds->preds[i] + 2]++;
    for (uint32_t u = 1; u <= n; u++)
        first[u + 1] += first[u];
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t i = preds->first[v]; i < preds->first[v + 1]; i++)
            succ[first[preds->preds[i] + 1]++] = v;
    *first_p = first;
    *succ_p = succ;
    return true;
}

/* Kahn's algorithm; only needed when a control edge leads to an earlier task. */
static int sort_topologically(struct tg_graph *g, const struct tgi_preds *preds, struct tg_error *err)
{
    uint32_t n = g->n_tasks, n_done = 0;
    uint32_t *first = NULL, *succ = NULL, *left = malloc(((size_t)n + 1) * sizeof *left);
    uint8_t *is_left = NULL;
    g->topo = malloc(((size_t)n + 1) * sizeof *g->topo);
    int rc = 0;
    if (!left || !g->topo || !make_successors(g, preds, &first, &succ)) {
        rc = tgi_error_memory(err, "ordering tasks");
        goto out;
    }
    for (uint32_t v = 0; v < n; v++) {
        left[v] = preds->first[v + 1] - preds->first[v];
        if (left[v] == 0)
            g->topo[n_done++] = v;
    }
    for (uint32_t i = 0; i < n_done; i++)
        for (uint32_t k = first[g->topo[i]]; k < first[g->topo[i] + 1]; k++)
            if (--left[succ[k]] == 0)
                g->topo[n_done++] = succ[k];
    if (n_done < n) {
        is_left = calloc(n, 1);
        if (!is_left) {
            rc = tgi_error_memory(err, "reporting a cycle");
            goto out;
        }
        for (uint32_t v = 0; v < n; v++)
            is_left[v] = left[v] != 0;
        rc = tgi_cycle_report(g, preds, is_left, err);
    }
out:
    free(is_left);
    free(left);
    free(first);
    free(succ);
    return rc;
}

/* ---- Redundant edges ----------------------------------------------------------------------*/

struct reduce {
    const struct tg_graph *g;
    struct tgi_preds *preds;
    uint32_t *n_preds;  /* by task, after reduction */
    uint32_t *seen;     /* by task: v + 1 if the search for v came by */
    uint32_t *queue;
    uint32_t max_queued; /* entries of queue */
    uint32_t max_looks; /* at edges, in one search */
};

/* Removes redundant predecessors of v; those of every ancestor are final. */
static void reduce_task(struct reduce *r, uint32_t v)
{
    const uint32_t *level = r->g->level;
    uint32_t *list = r->preds->preds + r->preds->first[v];
    uint32_t n = r->n_preds[v], lowest = UINT32_MAX, highest = 0, first = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        lowest = level[list[i]] < lowest ? level[list[i]] : lowest;
        highest = level[list[i]] > highest ? level[list[i]] : highest;
        first = list[i] < first ? list[i] : first;
    }
    if (n < 2 || lowest == highest)
        return;
    /* The least id that a task with a candidate before it can have: any, unless ids are in order. */
    uint32_t after_first = r->g->topo ? 0 : first + 1;
    uint32_t n_queued = 0, n_looks = 0;
    for (uint32_t i = 0; i < n && n_queued < r->max_queued; i++)
        if (level[list[i]] > lowest && list[i] >= after_first)
            r->queue[n_queued++] = list[i];
    for (uint32_t i = 0; i < n_queued && n_looks < r->max_looks; i++) {
        uint32_t u = r->queue[i];
        const uint32_t *above = r->preds->preds + r->preds->first[u];
        n_looks += r->n_preds[u];
        for (uint32_t k = 0; k < r->n_preds[u]; k++) {
            if (above[k] + 1 < after_first || r->seen[above[k]] == v + 1 || level[above[k]] < lowest)
                continue;
            r->seen[above[k]] = v + 1;
            if (level[above[k]] > lowest && above[k] >= after_first && n_queued < r->max_queued)
                r->queue[n_queued++] = above[k];
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (r->seen[list[i]] != v + 1)
            list[kept++] = list[i];
    r->n_preds[v] = kept;
}

/* Edges a search may look at: all of a small graph, dozens in a large one, so that freezing stays
 * well under a microsecond a task. */
static uint32_t look_limit(uint32_t n_tasks)
{
    uint32_t limit = (1u << 23) / (n_tasks + 1);
    return limit < 64 ? 64 : limit;
}

/* Levels and reduction in one pass over a topological order. */
static bool level_and_reduce(struct tg_graph *g, struct tgi_preds *preds, uint32_t *n_preds)
{
    uint32_t n = g->n_tasks, limit = look_limit(n);
    /* A task is queued at most twice: as a predecessor of v, and as an ancestor. */
    uint32_t max_queued = limit > 2 * (uint64_t)n + 2 ? 2 * n + 2 : limit;
    struct reduce r = {g, preds, n_preds, calloc((size_t)n + 1, sizeof *r.seen), malloc(max_queued * sizeof *r.queue),
                       max_queued, limit};
    bool ok = r.seen && r.queue;
    for (uint32_t i = 0; ok && i < n; i++) {
        uint32_t v = g->topo ? g->topo[i] : i, level = 0;
        n_preds[v] = preds->first[v + 1] - preds->first[v];
        for (uint32_t k = preds->first[v]; k < preds->first[v + 1]; k++) {
            uint32_t above = g->level[preds->preds[k]] + 1;
            level = above > level ? above : level;
        }
        g->level[v] = level;
        if (n_preds[v] > 1)
            reduce_task(&r, v);
        g->depth = level + 1 > g->depth ? level + 1 : g->depth;
    }
    free(r.seen);
    free(r.queue);
    return ok;
}

/* ---- The frozen arrays --------------------------------------------------------------------*/

/* Successors sorted by task, degrees, roots, sinks. */
static bool make_csr(struct tg_graph *g, const struct tgi_preds *preds, const uint32_t *n_preds)
{
    uint32_t n = g->n_tasks;
    uint64_t n_edges = 0;
    for (uint32_t v = 0; v < n; v++)
        n_edges += n_preds[v];
    g->succ = malloc((n_edges + 1) * sizeof *g->succ);
    if (!g->succ)
        return false;
    struct tgi_node *nodes = g->nodes;
    for (uint32_t v = 0; v <= n; v++)
        nodes[v].succ = 0;
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t i = 0; i < n_preds[v]; i++)
            nodes[preds->preds[preds->first[v] + i]].succ++;
    uint32_t at = 0;
    for (uint32_t v = 0; v < n; v++) {
        uint32_t degree = nodes[v].succ;
        g->n_sinks += degree == 0;
        g->n_roots += n_preds[v] == 0;
        nodes[v].n_preds = n_preds[v];
        nodes[v].succ = at;
        at += degree;
    }
    /* Fill by running each list's start forward, then shift the starts back by one task. */
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t i = 0; i < n_preds[v]; i++)
            g->succ[nodes[preds->preds[preds->first[v] + i]].succ++] = v;
    for (uint32_t v = n; v > 0; v--)
        nodes[v].succ = nodes[v - 1].succ;
    nodes[0].succ = 0;
    nodes[n] = (struct tgi_node){.succ = at, .args = g->n_args};
    g->n_edges = at;
    g->n_redundant = preds->n - at;
    return true;
}

static bool measure_width(struct tg_graph *g)
{
    uint32_t *n_on = calloc((size_t)g->depth + 1, sizeof *n_on);
    if (!n_on)
        return false;
    for (uint32_t v = 0; v < g->n_tasks; v++)
        g->width = ++n_on[g->level[v]] > g->width ? n_on[g->level[v]] : g->width;
    free(n_on);
    return true;
}

static int compare_priorities(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* Priorities become a few classes of about equal size, ties kept together. */
static bool make_classes(struct tg_graph *g)
{
    if (!g->priority || g->n_tasks == 0)
        return true;
    int32_t *sorted = malloc((size_t)g->n_tasks * sizeof *sorted);
    g->class_of = malloc(g->n_tasks);
    if (!sorted || !g->class_of) {
        free(sorted);
        return false;
    }
    memcpy(sorted, g->priority, (size_t)g->n_tasks * sizeof *sorted);
    qsort(sorted, g->n_tasks, sizeof *sorted, compare_priorities);
    int32_t bounds[TGI_N_CLASSES - 1];
    for (uint32_t c = 1; c < TGI_N_CLASSES; c++)
        bounds[c - 1] = sorted[(uint64_t)g->n_tasks * c / TGI_N_CLASSES];
    /* The smallest and the largest must not share a class unless they are equal. */
    bool is_flat = sorted[0] == sorted[g->n_tasks - 1];
    for (uint32_t v = 0; v < g->n_tasks; v++) {
        uint8_t c = 0;
        for (uint32_t k = 0; k < TGI_N_CLASSES - 1; k++)
            c += g->priority[v] >= bounds[k] && bounds[k] > sorted[0];
        if (!is_flat && c == 0 && g->priority[v] > sorted[0])
            c = 1;
        g->class_of[v] = c;
    }
    free(sorted);
    return true;
}

static void shrink(void *items_p, uint32_t *cap, uint64_t n, size_t size)
{
    void *smaller = n && n < *cap ? realloc(*(void **)items_p, n * size) : NULL;
    if (smaller) {
        *(void **)items_p = smaller;
        *cap = (uint32_t)n;
    }
}

/* Gives back what growing by doubling left over. */
static void trim(struct tg_graph *g)
{
    uint32_t cap = g->cap_tasks;
    uint64_t n = (uint64_t)g->n_tasks + 1;
    if (g->names_at)
        shrink(&g->names_at, &(uint32_t){cap}, n, sizeof *g->names_at);
    if (g->site_of)
        shrink(&g->site_of, &(uint32_t){cap}, n, sizeof *g->site_of);
    if (g->priority)
        shrink(&g->priority, &(uint32_t){cap}, n, sizeof *g->priority);
    shrink(&g->nodes, &g->cap_tasks, n, sizeof *g->nodes);
    shrink(&g->args, &g->cap_args, g->n_args, sizeof *g->args);
    shrink(&g->attrs, &g->cap_attrs, g->n_attrs, sizeof *g->attrs);
    shrink(&g->controls, &g->cap_controls, g->n_controls, sizeof *g->controls);
    if (g->n_names_text && g->n_names_text < g->cap_names_text) {
        char *smaller = realloc(g->names_text, g->n_names_text);
        if (smaller) {
            g->names_text = smaller;
            g->cap_names_text = g->n_names_text;
        }
    }
}

/* The arrays every task has, also when there is no task. */
static bool ensure_arrays(struct tg_graph *g)
{
    if (g->nodes)
        return true;
    g->nodes = calloc(2, sizeof *g->nodes);
    g->cap_tasks = g->nodes ? 2 : 0;
    return g->nodes != NULL;
}

static int freeze_edges(struct tg_graph *g, struct tgi_preds *preds, struct tg_error *err)
{
    int rc = is_forward(g) ? 0 : sort_topologically(g, preds, err);
    if (rc)
        return rc;
    g->level = malloc(((size_t)g->n_tasks + 1) * sizeof *g->level);
    uint32_t *n_preds = malloc(((size_t)g->n_tasks + 1) * sizeof *n_preds);
    bool ok = g->level && n_preds && level_and_reduce(g, preds, n_preds) && make_csr(g, preds, n_preds) &&
              measure_width(g) && make_classes(g) &&
              tgi_gates_find(g, preds->preds, preds->first, n_preds, &g->gated);
    free(n_preds);
    return ok ? 0 : tgi_error_memory(err, "freezing the graph");
}

static int freeze_tasks(struct tg_graph *g, struct tg_error *err)
{
    struct tgi_preds preds = {NULL, 0, 0, NULL}, conflicts = {NULL, 0, 0, NULL};
    int rc = tgi_infer(g, g->is_explicit ? TGI_EDGES_DECLARED : TGI_EDGES_INFERRED, &preds, err);
    if (rc)
        return rc;
    if (g->is_explicit)
        rc = tgi_infer(g, TGI_EDGES_INFERRED, &conflicts, err);
    if (rc == 0)
        rc = freeze_edges(g, &preds, err);
    if (rc == 0 && g->is_explicit)
        rc = tgi_race_check(g, &preds, &conflicts, err);
    tgi_preds_fini(&preds);
    tgi_preds_fini(&conflicts);
    return rc;
}

static int freeze_bodies(struct tg_graph *g, struct tg_error *err)
{
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        struct tg_graph *bodies[] = {g->space->ops[i].body, g->space->ops[i].body_else};
        for (int k = 0; k < 2; k++)
            if (bodies[k] && !bodies[k]->is_frozen) {
                int rc = ensure_arrays(bodies[k]) ? freeze_tasks(bodies[k], err) : tgi_error_memory(err, "freezing a body");
                if (rc) {
                    tgi_graph_thaw(bodies[k]);
                    return rc;
                }
                trim(bodies[k]);
                bodies[k]->is_frozen = true;
            }
    }
    return 0;
}

static void thaw_bodies(struct tg_graph *g)
{
    for (uint32_t i = 0; i < g->space->n_ops; i++) {
        struct tg_graph *bodies[] = {g->space->ops[i].body, g->space->ops[i].body_else};
        for (int k = 0; k < 2; k++)
            if (bodies[k])
                tgi_graph_thaw(bodies[k]);
    }
}

int tg_graph_freeze(struct tg_graph *graph, struct tg_error *err)
{
    struct tg_graph *g = graph;
    if (g->is_frozen)
        return 0;
    if (g->is_body)
        return tgi_error(err, TG_E_STATE, "a body is frozen with the graph it belongs to");
    if (!ensure_arrays(g))
        return tgi_error_memory(err, "freezing the graph");
    /* Bodies of bodies are ops of the same space, so one pass meets them all. */
    int rc = freeze_bodies(g, err);
    if (rc == 0)
        rc = freeze_tasks(g, err);
    if (rc) {
        thaw_bodies(g);
        tgi_graph_thaw(g);
        return rc;
    }
    trim(g);
    g->is_frozen = g->space->is_closed = true;
    return 0;
}

void tgi_graph_thaw(struct tg_graph *g)
{
    free(g->succ);
    free(g->topo);
    free(g->level);
    free(g->class_of);
    tgi_gated_destroy(g->gated);
    g->gated = NULL;
    free(g->shares);
    free(g->groups);
    g->succ = g->topo = g->level = NULL;
    g->class_of = NULL;
    g->shares = NULL;
    g->groups = NULL;
    g->n_edges = g->n_shares = g->n_groups = 0;
    g->n_roots = g->n_sinks = g->depth = g->width = 0;
    g->n_redundant = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        g->nodes[t].op &= ~TGI_NODE_SHARED;
    g->is_frozen = false;
}

int tg_graph_stats(const struct tg_graph *graph, struct tg_graph_stats *stats_p, struct tg_error *err)
{
    const struct tg_graph *g = graph;
    if (!g->is_frozen)
        return tgi_error(err, TG_E_NOT_FROZEN, "statistics are there once the graph is frozen");
    const struct tgi_space *space = g->space;
    uint64_t n = g->n_tasks;
    uint64_t columns = (g->names_at != NULL) + (g->site_of != NULL) + (g->priority != NULL) + (g->topo != NULL) + 1;
    uint64_t memory = sizeof *g + (n + 1) * (sizeof *g->nodes + columns * sizeof(uint32_t)) + (g->class_of ? n : 0) +
                      (uint64_t)g->cap_args * sizeof *g->args + g->cap_names_text + (uint64_t)g->index.n_slots * sizeof *g->index.slots +
                      (uint64_t)g->cap_attrs * sizeof *g->attrs + (uint64_t)g->cap_controls * sizeof *g->controls +
                      (uint64_t)g->n_edges * sizeof *g->succ + (uint64_t)g->n_shares * sizeof *g->shares +
                      (uint64_t)g->n_groups * sizeof *g->groups + (g->gated ? g->gated->bytes : 0);
    uint64_t data = 0;
    for (uint32_t i = 0; i < space->n_buffers; i++)
        data += space->buffers[i].tile_bytes * space->buffers[i].n_present;
    *stats_p = (struct tg_graph_stats){n, g->n_edges, g->n_roots, g->n_sinks, g->depth, g->width, g->n_redundant,
                                       memory, data};
    return 0;
}
