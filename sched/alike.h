/* Tasks that are alike: of one operation and with arguments of one size, so that they take about one time.  What is
 * measured of some is expected of the others.
 *
 * Sizes are the bytes of tiles and the values of those scalars that the kernel's costs, tiles or launch dimensions depend
 * on; of a kernel that declares none of these, of all integers.  A kernel that is used with more sizes than anybody will
 * measure keeps one class for the rest, whose sizes are "*". */
#ifndef TGI_SCHED_ALIKE_H
#define TGI_SCHED_ALIKE_H

#include "graph/model.h"

enum { TGI_ALIKE_SIZES = 96 };

struct tgi_alike {
    const struct tg_graph *graph; /* with `task`: one of them */
    uint32_t task;
    uint32_t op;
    uint32_t n_tasks;
    char sizes[TGI_ALIKE_SIZES];  /* "2097152B,512,512"; what does not fit is cut */
};

struct tgi_alikes {
    struct tgi_alike *classes;
    uint32_t n, cap;
    /* by graph: of each of its tasks, the class; TG_NONE: not a kernel */
    struct tgi_alike_graph {
        const struct tg_graph *graph;
        uint32_t *of;
    } *graphs;
    uint32_t n_graphs;
};

/* Of a graph and its bodies. */
int tgi_alikes_create(const struct tg_graph *graph, struct tgi_alikes **alikes_p, struct tg_error *err);
void tgi_alikes_destroy(struct tgi_alikes *alikes);
/* By task of one of the graphs. */
const uint32_t *tgi_alikes_of(const struct tgi_alikes *alikes, const struct tg_graph *graph);

#endif
