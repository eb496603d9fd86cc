/* Times that no schedule of a workload can beat on its machine. */
#ifndef TGI_SCHED_BOUNDS_H
#define TGI_SCHED_BOUNDS_H

#include "sched/workload.h"

enum tgi_bound { TGI_BOUND_PATH, TGI_BOUND_AREA, TGI_BOUND_MEMORY, TGI_BOUND_LINKS, TGI_N_BOUNDS };

struct tgi_bounds {
    double ns[TGI_N_BOUNDS];
    enum tgi_bound binding; /* the largest, the first of equal ones */
};

/* "critical path", "area", "memory", "links". */
const char *tgi_bound_name(enum tgi_bound bound);
int tgi_bounds_find(const struct tgi_workload *w, struct tgi_bounds *bounds_p, struct tg_error *err);
static inline double tgi_bounds_ns(const struct tgi_bounds *b) { return b->ns[b->binding]; }

/* The area alone: count[k] tasks of kind k, each for ns[k * n_classes + c] on a lane of class c (INFINITY: not
 * there), n_lanes[c] lanes.  Tasks may be divided; so it is the least T of a linear program.
 * gap_p (may be NULL): how far T may be below the optimum, as a part of it. */
int tgi_bounds_area(uint32_t n_kinds, uint32_t n_classes, const double *count, const double *ns, const double *n_lanes,
                    double *area_p, double *gap_p, struct tg_error *err);

#endif
