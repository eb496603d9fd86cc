/* What resident kernels would make of a graph on GPUs that need not be here: its tasks as the commands that a run would give these, each once,
 * in clusters that are weighed as those of a run whose executor is left open (sched/resident_gain.h).
 *
 * Rougher than a run: copies between devices are left out, a library is never called, and elements that tasks wait for one by one count as
 * whole results.  Bodies are estimated. */
#ifndef TGI_IO_OUTLOOK_H
#define TGI_IO_OUTLOOK_H

#include "graph/model.h"
#include "sched/resident_gain.h"

struct tgi_outlook {
    struct tgi_gain possible, sure, hoped; /* of all clusters, of those that surely gain, of these and those that may */
};

/* device_of: by task, which of n_devices executes it; TG_NONE: a CPU.  All 0: nothing can be in a cluster, or the graph has rounds or
 * collectives, of which nothing is foretold.  TG_E_NO_MEMORY. */
int tgi_outlook_find(const struct tg_graph *graph, const uint32_t *device_of, uint32_t n_devices, const struct tgi_gain_costs *costs,
                     struct tgi_outlook *outlook_p, struct tg_error *err);

#endif
