/* Reports one shortest cycle with the reason of each of its edges.
 *
 * Program order alone makes no cycle, so every cycle has an edge that was declared with `after` and
 * leads to an earlier task.  A breadth-first search from the head of each such edge back to its
 * tail finds the shortest cycle through it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/freeze.h"

enum { MAX_SEARCHES = 4096, MAX_WORK = 1 << 26, MAX_SHOWN = 12 };

struct search {
    const struct tg_graph *g;
    const struct tgi_preds *preds;
    const uint8_t *is_left;
    uint32_t *from;  /* by task: where the search came from, TG_NONE: not reached */
    uint32_t *queue;
};

/* Walks predecessors from `start` until `goal`; path length in tasks, 0: not connected. */
static uint32_t walk(struct search *s, uint32_t start, uint32_t goal, uint32_t limit)
{
    uint32_t head = 0, n = 0, length = 1;
    memset(s->from, 0xff, (size_t)s->g->n_tasks * sizeof *s->from);
    s->queue[n++] = start;
    s->from[start] = start;
    for (; head < n && length < limit; length++)
        for (uint32_t end = n; head < end; head++) {
            uint32_t v = s->queue[head];
            if (v == goal)
                return length;
            for (uint32_t i = s->preds->first[v]; i < s->preds->first[v] + s->preds->count[v]; i++) {
                uint32_t u = s->preds->preds[i];
                if (s->is_left[u] && s->from[u] == TG_NONE) {
                    s->from[u] = v;
                    s->queue[n++] = u;
                }
            }
        }
    return 0;
}

/* Appends; false when the text is full. */
static TG_PRINTF(4, 5) bool append(char *text, size_t size, size_t *used, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + *used, size - *used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= size - *used) {
        text[*used] = '\0';
        return false;
    }
    *used += (size_t)n;
    return true;
}

/* The buffer through which `later` depends on `earlier`; NULL: a declared edge. */
static const char *shared_buffer(const struct tg_graph *g, uint32_t earlier, uint32_t later, bool *reads_p)
{
    struct tgi_after_walk walk = {0, 0, 0};
    struct tgi_control control;
    while (tgi_after_next(g, &walk, &control))
        if (control.from == earlier && control.to == later)
            return NULL;
    const struct tgi_op *a = tgi_graph_op(g, earlier), *b = tgi_graph_op(g, later);
    for (uint32_t i = 0; i < b->n_params; i++)
        for (uint32_t k = 0; b->params[i].access != TG_SCALAR && k < a->n_params; k++) {
            if (a->params[k].access == TG_SCALAR)
                continue;
            uint64_t x = tgi_graph_word(g, later, i), y = tgi_graph_word(g, earlier, k);
            if (x != TGI_WORD_NULL && y != TGI_WORD_NULL && tgi_word_tile(x) == tgi_word_tile(y)) {
                *reads_p = b->params[i].access == TG_IN;
                return tgi_space_buffer_of(g->space, tgi_word_tile(x))->name;
            }
        }
    return NULL;
}

static bool append_task(const struct tg_graph *g, char *text, size_t size, size_t *used, uint32_t task, uint32_t before)
{
    char scratch[16];
    uint32_t line, column;
    bool ok = append(text, size, used, "%s%s", before == TG_NONE ? "" : " -> ", tgi_graph_task_name(g, task, scratch));
    bool has_line = g->site_of && tgi_space_locate(g->space, g->site_of[task], &line, &column);
    if (before == TG_NONE)
        return ok && (!has_line || append(text, size, used, " (line %u)", line));
    bool reads = false;
    const char *buffer = shared_buffer(g, before, task, &reads);
    ok = ok && append(text, size, used, has_line ? " (line %u, " : " (", line);
    if (buffer)
        return ok && append(text, size, used, "%s %s)", reads ? "reads" : "writes", buffer);
    return ok && append(text, size, used, "after)");
}

static int report(const struct tg_graph *g, const uint32_t *cycle, uint32_t n, struct tg_error *err)
{
    char text[sizeof err->text - 64], scratch[16];
    size_t used = 0;
    bool fits = true;
    for (uint32_t i = 0; fits && i < n && i < MAX_SHOWN; i++)
        fits = append_task(g, text, sizeof text - 8, &used, cycle[i], i ? cycle[i - 1] : TG_NONE);
    if (fits && n <= MAX_SHOWN)
        fits = append_task(g, text, sizeof text - 8, &used, cycle[0], cycle[n - 1]);
    else
        fits = false;
    int rc = tgi_error(err, TG_E_CYCLE, "dependency cycle of %u tasks: %s%s", n, text, fits ? "" : " -> ..");
    uint32_t line, column;
    tgi_error_set_task(err, tgi_graph_task_name(g, cycle[0], scratch));
    if (g->site_of && tgi_space_locate(g->space, g->site_of[cycle[0]], &line, &column))
        tgi_error_set_position(err, g->space->file, line, column);
    return rc;
}

int tgi_cycle_report(const struct tg_graph *g, const struct tgi_preds *preds, const uint8_t *is_left,
                     struct tg_error *err)
{
    struct search s = {g, preds, is_left, malloc((size_t)g->n_tasks * sizeof *s.from),
                       malloc((size_t)g->n_tasks * sizeof *s.queue)};
    uint32_t *best = NULL, n_best = UINT32_MAX, n_searches = 0;
    int rc = 0;
    if (!s.from || !s.queue) {
        rc = tgi_error_memory(err, "reporting a cycle");
        goto out;
    }
    /* In a large graph a short cycle must do: each search may visit every task. */
    struct tgi_after_walk at = {0, 0, 0};
    struct tgi_control control;
    while (n_searches < MAX_SEARCHES && (!best || (uint64_t)n_searches * g->n_tasks < MAX_WORK) &&
           tgi_after_next(g, &at, &control)) {
        uint32_t from = control.from, to = control.to;
        if (from < to || !is_left[from] || !is_left[to])
            continue;
        n_searches++;
        uint32_t length = walk(&s, from, to, n_best);
        if (!length || length >= n_best)
            continue;
        uint32_t *cycle = realloc(best, length * sizeof *best);
        if (!cycle) {
            rc = tgi_error_memory(err, "reporting a cycle");
            goto out;
        }
        best = cycle;
        n_best = 0;
        for (uint32_t v = to; v != from; v = s.from[v])
            best[n_best++] = v;
        best[n_best++] = from;
    }
    rc = best ? report(g, best, n_best, err) : tgi_error(err, TG_E_INTERNAL, "a cycle without a backward edge");
out:
    free(best);
    free(s.from);
    free(s.queue);
    return rc;
}
