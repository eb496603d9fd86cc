/* Races under explicit dependencies: every edge that program order would need must be implied by
 * a path of declared edges.
 *
 * For each such edge u -> v the ancestors of v are searched for u, through levels above u's only. */
#include <stdio.h>
#include <stdlib.h>

#include "graph/error.h"
#include "graph/freeze.h"

static bool is_ancestor(const struct tg_graph *g, const struct tgi_preds *declared, uint32_t u, uint32_t v,
                        uint32_t *seen, uint32_t stamp, uint32_t *queue)
{
    uint32_t n = 0;
    if (g->level[u] >= g->level[v])
        return false;
    queue[n++] = v;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = declared->first[queue[i]]; k < declared->first[queue[i]] + declared->count[queue[i]]; k++) {
            uint32_t w = declared->preds[k];
            if (w == u)
                return true;
            if (seen[w] == stamp || g->level[w] <= g->level[u])
                continue;
            seen[w] = stamp;
            queue[n++] = w;
        }
    return false;
}

static const char *access_name(enum tg_access access)
{
    static const char *const names[] = {"scalar", "in", "out", "inout", "reduce", "commute"};
    return names[access];
}

static int report(const struct tg_graph *g, uint32_t u, uint32_t v, struct tg_error *err)
{
    const struct tgi_op *a = tgi_graph_op(g, u), *b = tgi_graph_op(g, v);
    const char *buffer = "?", *access_a = "?", *access_b = "?";
    for (uint32_t i = 0; i < a->n_params; i++)
        for (uint32_t k = 0; a->params[i].access != TG_SCALAR && k < b->n_params; k++) {
            uint64_t x = tgi_graph_word(g, u, i), y = tgi_graph_word(g, v, k);
            if (b->params[k].access == TG_SCALAR || tgi_word_tile(x) != tgi_word_tile(y) ||
                (a->params[i].access == TG_IN && b->params[k].access == TG_IN))
                continue;
            buffer = tgi_space_buffer_of(g->space, tgi_word_tile(x))->name;
            access_a = access_name(a->params[i].access);
            access_b = access_name(b->params[k].access);
        }
    char name_a[16], name_b[16], where_a[24] = "", where_b[24] = "";
    uint32_t line = 0, column = 0;
    if (g->site_of && tgi_space_locate(g->space, g->site_of[u], &line, &column))
        snprintf(where_a, sizeof where_a, ", line %u", line);
    if (g->site_of && tgi_space_locate(g->space, g->site_of[v], &line, &column))
        snprintf(where_b, sizeof where_b, ", line %u", line);
    int rc = tgi_error(err, TG_E_RACE, "data race on \"%s\": tasks \"%s\" (%s%s) and \"%s\" (%s%s) are unordered under \"deps\": \"explicit\"",
                       buffer, tgi_graph_task_name(g, u, name_a), access_a, where_a,
                       tgi_graph_task_name(g, v, name_b), access_b, where_b);
    tgi_error_set_task(err, tgi_graph_task_name(g, v, name_b));
    if (line)
        tgi_error_set_position(err, g->space->file, line, column);
    return rc;
}

int tgi_race_check(const struct tg_graph *g, const struct tgi_preds *declared, const struct tgi_preds *conflicts,
                   struct tg_error *err)
{
    uint32_t *seen = calloc((size_t)g->n_tasks + 1, sizeof *seen);
    uint32_t *queue = malloc(((size_t)g->n_tasks + 1) * sizeof *queue);
    uint32_t stamp = 0;
    int rc = seen && queue ? 0 : tgi_error_memory(err, "looking for races");
    for (uint32_t v = 0; rc == 0 && v < g->n_tasks; v++)
        for (uint32_t i = conflicts->first[v]; rc == 0 && i < conflicts->first[v] + conflicts->count[v]; i++)
            if (!is_ancestor(g, declared, conflicts->preds[i], v, seen, ++stamp, queue))
                rc = report(g, conflicts->preds[i], v, err);
    free(seen);
    free(queue);
    return rc;
}
