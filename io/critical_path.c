#include "io/critical_path.h"

#include <math.h>
#include <stdlib.h>

#include "graph/error.h"

int tgi_critical_path_find(const struct tg_graph *g, const double *weight, struct tgi_critical_path *path_p,
                           struct tg_error *err)
{
    uint32_t n = g->n_tasks;
    int rc = TG_E_NO_MEMORY;
    double *below = malloc(((size_t)n + 1) * sizeof(*below)); /* longest path that starts at the task */
    uint32_t *next = malloc(((size_t)n + 1) * sizeof(*next));
    uint32_t *tasks = NULL;
    if (!below || !next) {
        tgi_error_memory(err, "finding the critical path");
        goto free_work;
    }

    uint32_t first = TG_NONE, n_on_path = 0;
    for (uint32_t i = n; i > 0; i--) {
        uint32_t t = g->topo ? g->topo[i - 1] : i - 1;
        below[t] = 0;
        next[t] = TG_NONE;
        for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++) {
            uint32_t s = g->succ[e];
            if (next[t] == TG_NONE || below[s] > below[t]) {
                below[t] = below[s];
                next[t] = s;
            }
        }
        below[t] += weight ? weight[t] : 1;
        if (g->nodes[t].n_preds == 0 && (first == TG_NONE || below[t] >= below[first]))
            first = t;
    }
    for (uint32_t t = first; t != TG_NONE; t = next[t])
        n_on_path++;
    tasks = malloc(((size_t)n_on_path + 1) * sizeof(*tasks));
    if (!tasks) {
        tgi_error_memory(err, "finding the critical path");
        goto free_work;
    }
    n_on_path = 0;
    for (uint32_t t = first; t != TG_NONE; t = next[t])
        tasks[n_on_path++] = t;
    *path_p = (struct tgi_critical_path){tasks, n_on_path, first == TG_NONE ? 0 : below[first]};
    rc = 0;

free_work:
    free(below);
    free(next);
    return rc;
}

void tgi_critical_path_fini(struct tgi_critical_path *path)
{
    free(path->tasks);
    *path = (struct tgi_critical_path){NULL, 0, 0};
}

int tgi_critical_path_weights(const struct tg_graph *g, enum tgi_weight *unit_p, double **weight_p,
                              struct tg_error *err)
{
    bool all_have_us = g->n_tasks > 0, some_have_flops = false;
    double *weight = malloc(((size_t)g->n_tasks + 1) * sizeof(*weight) * 2);
    if (!weight)
        return tgi_error_memory(err, "the costs of the tasks");
    double *us = weight + g->n_tasks;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        struct tgi_cost cost = tgi_graph_cost(g, t);
        weight[t] = isfinite(cost.flops) && cost.flops > 0 ? cost.flops : 0;
        us[t] = isfinite(cost.us) && cost.us > 0 ? cost.us : 0;
        some_have_flops |= weight[t] > 0;
        if (tgi_graph_op(g, t)->kind == TGI_OP_KERNEL && !isfinite(cost.us))
            all_have_us = false;
    }
    double total_us = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        total_us += us[t];
    *unit_p = all_have_us && total_us > 0 ? TGI_WEIGHT_US
              : some_have_flops           ? TGI_WEIGHT_FLOPS
                                          : TGI_WEIGHT_TASKS;
    if (*unit_p == TGI_WEIGHT_TASKS) {
        free(weight);
        weight = NULL;
    } else if (*unit_p == TGI_WEIGHT_US) {
        for (uint32_t t = 0; t < g->n_tasks; t++)
            weight[t] = us[t];
    }
    *weight_p = weight;
    return 0;
}
