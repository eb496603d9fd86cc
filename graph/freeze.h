/* From tasks in program order to an immutable DAG. */
#ifndef TGI_GRAPH_FREEZE_H
#define TGI_GRAPH_FREEZE_H

#include "graph/model.h"

/* Predecessor lists under construction: those of task t are preds[first[t] .. first[t] + count[t]).  A
 * task with the same predecessors as the one before may share its list. */
struct tgi_preds {
    uint32_t *preds;
    uint32_t n, cap;
    uint32_t *first, *count; /* by task */
    uint64_t n_edges;        /* of all tasks: a list counts for each that shares it */
};

/* Whether task t shares the list of task t - 1. */
static inline bool tgi_preds_is_shared(const struct tgi_preds *p, uint32_t t)
{
    return t > 0 && p->first[t] == p->first[t - 1] && p->count[t - 1] > 0;
}

/* infer.c: the edges of every task; lists hold no task twice, n_edges fits 32 bits.  INFERRED: what program order and
 * access modes imply, barriers and control edges included; fills g->shares and g->groups too.
 * DECLARED: barriers and control edges alone. */
enum tgi_edges { TGI_EDGES_INFERRED, TGI_EDGES_DECLARED };
int tgi_infer(struct tg_graph *g, enum tgi_edges edges, struct tgi_preds *out, struct tg_error *err);
void tgi_preds_fini(struct tgi_preds *preds);

/* cycle.c: reports one shortest cycle among the tasks with is_left set; TG_E_CYCLE. */
int tgi_cycle_report(const struct tg_graph *g, const struct tgi_preds *preds, const uint8_t *is_left,
                     struct tg_error *err);

/* race.c: under explicit dependencies, finds two tasks in conflict that no path orders; TG_E_RACE.
 * `declared` are the edges that hold, `conflicts` those that program order would need; g->level is
 * known for the former. */
int tgi_race_check(const struct tg_graph *g, const struct tgi_preds *declared, const struct tgi_preds *conflicts,
                   struct tg_error *err);

/* Frees what freezing made. */
void tgi_graph_thaw(struct tg_graph *g);

#endif
