/* Which worker each task of a resident program runs on, and in what order; see resident_plan.h. */
#ifndef TGI_SCHED_RESIDENT_PLACE_H
#define TGI_SCHED_RESIDENT_PLACE_H

#include "sched/resident_plan.h"

/* Predecessors in CSR form, and what they say about every task. */
struct tgi_resident_preds {
    uint32_t *at, *task;
    uint8_t *is_clean; /* neither it nor an ancestor leaves anything in memory but small results */
    bool has_memory;   /* some task of the program leaves what others than its successors may read */
};
int tgi_resident_preds_init(struct tgi_resident_preds *p, const struct tgi_resident_dag *dag, struct tg_error *err);
void tgi_resident_preds_fini(struct tgi_resident_preds *p);

/* The k-th task in topological order. */
static inline uint32_t tgi_resident_nth(const struct tgi_resident_dag *dag, uint32_t k)
{
    return dag->topo ? dag->topo[k] : k;
}

/* Fills worker_of[n_tasks] and order[n_tasks], a topological order; workers execute their tasks in it.  The blocks are of
 * n_devices, each as many. */
int tgi_resident_place(const struct tgi_resident_dag *dag, const struct tgi_resident_preds *preds,
                       const struct tgi_resident_shape *shape, uint32_t n_devices, const struct tgi_resident_costs *costs,
                       uint32_t *worker_of, uint32_t *order, double *makespan_p, struct tg_error *err);

#endif
