/* The schedule of a recorded run as an SVG picture: time from left to right, a lane for each worker
 * and for each stream of a device that executed tasks. */
#ifndef TGI_IO_GANTT_H
#define TGI_IO_GANTT_H

#include <stdio.h>

#include "graph/model.h"
#include "sched/record.h"

struct tgi_gantt {
    const struct tg_graph *graph;
    const struct tgi_span *spans; /* by task */
    uint32_t n_workers;
    uint64_t makespan_ns;
    const struct tgi_rounds *rounds; /* of bodies; NULL: none */
    const struct tg_run *run;        /* tells which devices there were; NULL: none */
};

/* Many spans are drawn merged with their neighbours, and the picture says so. */
int tgi_gantt_write(const struct tgi_gantt *gantt, FILE *to, struct tg_error *err);

#endif
