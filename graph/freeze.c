/* From predecessor lists to the frozen form: topological order, levels, redundant edges removed,
 * successors in CSR, priority classes.
 *
 * An edge u -> v is redundant if another predecessor of v comes after u.  Levels (longest paths)
 * decide most cases at once: a predecessor on the highest level among v's can never be redundant.
 * For the others v's ancestors are searched backwards, only through levels above the lowest
 * candidate's, only through ids from the lowest candidate's on where ids are in topological order, and
 * with a limit on the effort; what the limit leaves is correct, merely not minimal. */
#include "graph/freeze.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "graph/block.h"
#include "graph/error.h"
#include "graph/gate.h"

/* ---- Order and levels ---------------------------------------------------------------------*/

static bool is_forward(const struct tg_graph *g)
{
    for (uint32_t i = 0; i < g->n_late; i++)
        if (g->late[i].from > g->late[i].to)
            return false;
    return !g->names_later;
}

/* Successor lists as CSR; the caller frees both arrays. */
static bool make_successors(const struct tg_graph *g, const struct tgi_preds *preds, uint32_t **first_p,
                            uint32_t **succ_p)
{
    uint32_t n = g->n_tasks;
    uint32_t *first = calloc((size_t)n + 2, sizeof *first);
    uint32_t *succ = malloc((preds->n_edges + 1) * sizeof *succ);
    if (!first || !succ) {
        free(first);
        free(succ);
        return false;
    }
    /* first[u + 2] counts, so that after the prefix sum first[u + 1] can run through u's list. */
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t i = 0; i < preds->count[v]; i++)
            first[preds->preds[preds->first[v] + i] + 2]++;
    for (uint32_t u = 1; u <= n; u++)
        first[u + 1] += first[u];
    for (uint32_t v = 0; v < n; v++)
        for (uint32_t i = 0; i < preds->count[v]; i++)
            succ[first[preds->preds[preds->first[v] + i] + 1]++] = v;
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
        left[v] = preds->count[v];
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
    uint32_t *seen;      /* by task: v + 1 if the search for v came by; NULL: no search was needed yet */
    uint32_t *queue;
    uint32_t max_queued; /* entries of queue */
    uint32_t max_looks;  /* at edges, in one search */
};

/* What a task's predecessors span. */
struct span {
    uint32_t lowest, highest; /* levels */
    uint32_t first;           /* id */
};

static inline struct span span_of(const uint32_t *level, const uint32_t *list, uint32_t n)
{
    struct span s = {UINT32_MAX, 0, UINT32_MAX};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = level[list[i]];
        s.lowest = at < s.lowest ? at : s.lowest;
        s.highest = at > s.highest ? at : s.highest;
        s.first = list[i] < s.first ? list[i] : s.first;
    }
    return s;
}

/* Edges a search may look at: all of a small graph, dozens in a large one, so that freezing stays
 * well under a microsecond a task. */
static uint32_t look_limit(uint32_t n_tasks)
{
    uint32_t limit = (1u << 23) / (n_tasks + 1);
    return limit < 64 ? 64 : limit;
}

static bool reduce_begin(struct reduce *r)
{
    uint32_t n = r->g->n_tasks;
    r->max_looks = look_limit(n);
    /* A task is queued at most twice: as a predecessor of v, and as an ancestor. */
    r->max_queued = r->max_looks > 2 * (uint64_t)n + 2 ? 2 * n + 2 : r->max_looks;
    r->seen = tgi_block_alloc_zeroed((size_t)n + 1, sizeof *r->seen);
    r->queue = tgi_block_alloc(r->max_queued * sizeof *r->queue);
    return r->seen && r->queue;
}

/* Removes redundant predecessors of v; those of every ancestor are final. */
static void reduce_task(struct reduce *r, uint32_t v, struct span span)
{
    const uint32_t *level = r->g->level;
    uint32_t *list = r->preds->preds + r->preds->first[v];
    uint32_t n = r->preds->count[v], n_queued = 0, n_looks = 0;
    /* The least id that a task with a candidate before it can have: any, unless ids are in order. */
    uint32_t after_first = r->g->topo ? 0 : span.first + 1;
    for (uint32_t i = 0; i < n && n_queued < r->max_queued; i++)
        if (level[list[i]] > span.lowest && list[i] >= after_first)
            r->queue[n_queued++] = list[i];
    for (uint32_t i = 0; i < n_queued && n_looks < r->max_looks; i++) {
        uint32_t u = r->queue[i], n_above = r->preds->count[u];
        const uint32_t *above = r->preds->preds + r->preds->first[u];
        n_looks += n_above;
        for (uint32_t k = 0; k < n_above; k++) {
            if (above[k] + 1 < after_first || r->seen[above[k]] == v + 1 || level[above[k]] < span.lowest)
                continue;
            r->seen[above[k]] = v + 1;
            if (level[above[k]] > span.lowest && above[k] >= after_first && n_queued < r->max_queued)
                r->queue[n_queued++] = above[k];
        }
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (r->seen[list[i]] != v + 1)
            list[kept++] = list[i];
    r->preds->count[v] = kept;
}

/* Levels and reduction in one pass over a topological order. */
static bool level_and_reduce(struct tg_graph *g, struct tgi_preds *preds)
{
    struct reduce r = {.g = g, .preds = preds};
    bool ok = true;
    for (uint32_t i = 0; ok && i < g->n_tasks; i++) {
        uint32_t v = g->topo ? g->topo[i] : i;
        if (tgi_preds_is_shared(preds, v)) {
            assert(!g->topo || g->topo[i - 1] == v - 1); /* they become ready together */
            g->level[v] = g->level[v - 1];
            preds->count[v] = preds->count[v - 1];
            continue;
        }
        struct span span = span_of(g->level, preds->preds + preds->first[v], preds->count[v]);
        uint32_t level = preds->count[v] ? span.highest + 1 : 0;
        g->level[v] = level;
        g->depth = level + 1 > g->depth ? level + 1 : g->depth;
        if (preds->count[v] > 1 && span.lowest < span.highest) {
            ok = r.seen || reduce_begin(&r);
            if (ok)
                reduce_task(&r, v, span);
        }
    }
    tgi_block_free(r.seen);
    tgi_block_free(r.queue);
    return ok;
}

/* ---- The frozen arrays --------------------------------------------------------------------*/

/* How many tasks from v on share v's list. */
static inline uint32_t run_length(const struct tgi_preds *preds, uint32_t n_tasks, uint32_t v)
{
    uint32_t n = 1;
    while (v + n < n_tasks && tgi_preds_is_shared(preds, v + n))
        n++;
    return n;
}

/* Successors sorted by task, degrees, roots, sinks. */
static bool make_csr(struct tg_graph *g, const struct tgi_preds *preds)
{
    uint32_t n = g->n_tasks, at = 0, run;
    struct tgi_node *nodes = g->nodes;
    for (uint32_t v = 0; v <= n; v++)
        nodes[v].succ = 0;
    for (uint32_t v = 0; v < n; v += run) {
        const uint32_t *list = preds->preds + preds->first[v], *end = list + preds->count[v];
        run = run_length(preds, n, v);
        for (; list < end; list++)
            nodes[*list].succ += run;
    }
    /* Ends of the lists, which filling them from behind turns into their starts. */
    for (uint32_t v = 0; v < n; v++) {
        g->n_sinks += nodes[v].succ == 0;
        g->n_roots += preds->count[v] == 0;
        nodes[v].n_preds = preds->count[v];
        nodes[v].succ = at += nodes[v].succ;
    }
    g->succ = tgi_block_alloc(((size_t)at + 1) * sizeof *g->succ);
    if (!g->succ)
        return false;
    uint32_t *succ = g->succ;
    for (uint32_t v = n; v-- > 0;) {
        const uint32_t *list = preds->preds + preds->first[v], *end = list + preds->count[v];
        uint32_t last = v;
        if (!tgi_preds_is_shared(preds, v)) {
            for (; list < end; list++)
                succ[--nodes[*list].succ] = v;
            continue;
        }
        while (tgi_preds_is_shared(preds, v))
            v--;
        for (; list < end; list++) {
            uint32_t to = nodes[*list].succ -= last - v + 1;
            for (uint32_t k = v; k <= last; k++)
                succ[to++] = k;
        }
    }
    nodes[n] = (struct tgi_node){.succ = at, .args = g->n_args};
    g->n_edges = at;
    g->n_redundant = preds->n_edges - at;
    return true;
}

static bool measure_width(struct tg_graph *g)
{
    uint32_t *n_on = tgi_block_alloc_zeroed((size_t)g->depth + 1, sizeof *n_on);
    if (!n_on)
        return false;
    for (uint32_t v = 0, end; v < g->n_tasks; v = end) {
        uint32_t level = g->level[v];
        for (end = v + 1; end < g->n_tasks && g->level[end] == level;)
            end++;
        n_on[level] += end - v;
        g->width = n_on[level] > g->width ? n_on[level] : g->width;
    }
    tgi_block_free(n_on);
    return true;
}

static int compare_priorities(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

/* The least priority of each class but the first.  Many tasks of the lowest priority, as a rule those that were given none,
 * are a class of their own and leave the others to the rest. */
static void choose_bounds(const int32_t *sorted, uint32_t n, int32_t *bounds)
{
    uint32_t n_lowest = 0, n_above, n_classes = TGI_N_CLASSES;
    while (n_lowest < n && sorted[n_lowest] == sorted[0])
        n_lowest++;
    if (n_lowest <= n / TGI_N_CLASSES || n_lowest == n)
        n_lowest = 0;
    else
        *bounds++ = sorted[n_lowest], n_classes--;
    n_above = n - n_lowest;
    for (uint32_t c = 1; c < n_classes; c++)
        *bounds++ = sorted[n_lowest + (uint64_t)n_above * c / n_classes];
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
    choose_bounds(sorted, g->n_tasks, bounds);
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
    void *smaller = n && n < *cap ? tgi_block_shrink(*(void **)items_p, n * size) : NULL;
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
    if (g->after_at)
        shrink(&g->after_at, &(uint32_t){cap}, n, sizeof *g->after_at);
    if (g->priority)
        shrink(&g->priority, &(uint32_t){cap}, n, sizeof *g->priority);
    shrink(&g->nodes, &g->cap_tasks, n, sizeof *g->nodes);
    shrink(&g->args, &g->cap_args, g->n_args, sizeof *g->args);
    shrink(&g->attrs, &g->cap_attrs, g->n_attrs, sizeof *g->attrs);
    shrink(&g->afters, &g->cap_afters, g->n_afters, sizeof *g->afters);
    shrink(&g->late, &g->cap_late, g->n_late, sizeof *g->late);
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
    g->nodes = tgi_block_alloc_zeroed(2, sizeof *g->nodes);
    g->cap_tasks = g->nodes ? 2 : 0;
    return g->nodes != NULL;
}

static int freeze_edges(struct tg_graph *g, struct tgi_preds *preds, struct tg_error *err)
{
    int rc = is_forward(g) ? 0 : sort_topologically(g, preds, err);
    if (rc)
        return rc;
    g->level = tgi_block_alloc(((size_t)g->n_tasks + 1) * sizeof *g->level);
    bool ok = g->level && level_and_reduce(g, preds) && make_csr(g, preds) && measure_width(g) && make_classes(g) &&
              tgi_gates_find(g, preds, &g->gated);
    return ok ? 0 : tgi_error_memory(err, "freezing the graph");
}

static int freeze_tasks(struct tg_graph *g, struct tg_error *err)
{
    struct tgi_preds preds = {.preds = NULL}, conflicts = {.preds = NULL};
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
    tgi_block_free(g->succ);
    free(g->topo);
    tgi_block_free(g->level);
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
    uint64_t columns = (g->names_at != NULL) + (g->site_of != NULL) + (g->after_at != NULL) + (g->priority != NULL) +
                       (g->topo != NULL) + 1;
    uint64_t memory = sizeof *g + (n + 1) * (sizeof *g->nodes + columns * sizeof(uint32_t)) + (g->class_of ? n : 0) +
                      (uint64_t)g->cap_args * sizeof *g->args + g->cap_names_text + (uint64_t)g->index.n_slots * sizeof *g->index.slots +
                      (uint64_t)g->cap_attrs * sizeof *g->attrs + (uint64_t)g->cap_afters * sizeof *g->afters +
                      (uint64_t)g->cap_late * sizeof *g->late +
                      (uint64_t)g->n_edges * sizeof *g->succ + (uint64_t)g->n_shares * sizeof *g->shares +
                      (uint64_t)g->n_groups * sizeof *g->groups + (g->gated ? g->gated->bytes : 0);
    uint64_t data = 0;
    for (uint32_t i = 0; i < space->n_buffers; i++)
        data += space->buffers[i].tile_bytes * space->buffers[i].n_present;
    *stats_p = (struct tg_graph_stats){n, g->n_edges, g->n_roots, g->n_sinks, g->depth, g->width, g->n_redundant,
                                       memory, data};
    return 0;
}
