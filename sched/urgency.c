#include "sched/urgency.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_CRITICAL_PERCENT = 25, NEARLY_PERCENT = 95 };

static uint32_t at(const struct tg_graph *g, uint32_t i) { return g->topo ? g->topo[i] : i; }

/* The longest path that passes through task t has `through[t]`. */
static float longest_paths(const struct tg_graph *g, const float *task_ns, const float *level_ns, float *through)
{
    float longest = 0;
    memset(through, 0, g->n_tasks * sizeof *through); /* first: from the beginning of the graph to the task's */
    for (uint32_t i = 0; i < g->n_tasks; i++) {
        uint32_t t = at(g, i);
        float end = through[t] + task_ns[t];
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            if (through[g->succ[k]] < end)
                through[g->succ[k]] = end;
        through[t] += level_ns[t];
        longest = through[t] > longest ? through[t] : longest;
    }
    return longest;
}

static void mark_critical(const struct tg_graph *g, const float *through, float longest, uint8_t *is_critical)
{
    uint64_t n = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        n += is_critical[t] = through[t] * 100 >= longest * NEARLY_PERCENT;
    if (n * 100 > (uint64_t)g->n_tasks * MOST_CRITICAL_PERCENT)
        memset(is_critical, 0, g->n_tasks);
}

void tgi_urgency_compute(const struct tg_graph *g, const float *task_ns, struct tgi_urgency *u)
{
    for (uint32_t i = g->n_tasks; i-- > 0;) {
        uint32_t t = at(g, i);
        float below = 0;
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            below = u->level_ns[g->succ[k]] > below ? u->level_ns[g->succ[k]] : below;
        u->level_ns[t] = below + task_ns[t];
    }
    float *through = malloc(((size_t)g->n_tasks + 1) * sizeof *through);
    if (!through) { /* then nothing is known to be critical */
        memset(u->is_critical, 0, g->n_tasks);
        return;
    }
    mark_critical(g, through, longest_paths(g, task_ns, u->level_ns, through), u->is_critical);
    free(through);
}
