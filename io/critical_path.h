/* The longest path through a frozen graph. */
#ifndef TGI_IO_CRITICAL_PATH_H
#define TGI_IO_CRITICAL_PATH_H

#include "graph/model.h"

struct tgi_critical_path {
    uint32_t *tasks; /* from a root to a sink */
    uint32_t n_tasks;
    double length;   /* sum of the weights along it */
};

/* weight: by task, none negative; NULL: every task weighs 1.  Among equally long paths the one with
 * the smallest task numbers. */
int tgi_critical_path_find(const struct tg_graph *g, const double *weight, struct tgi_critical_path *path_p,
                           struct tg_error *err);
void tgi_critical_path_fini(struct tgi_critical_path *path);

enum tgi_weight { TGI_WEIGHT_TASKS, TGI_WEIGHT_FLOPS, TGI_WEIGHT_US };
/* Weights from the costs that the graph declares: microseconds if every kernel task has them, else
 * floating point operations if any task has them, else *weight_p is NULL.  A task without cost
 * weighs 0.  The caller frees *weight_p. */
int tgi_critical_path_weights(const struct tg_graph *g, enum tgi_weight *unit_p, double **weight_p,
                              struct tg_error *err);

#endif
