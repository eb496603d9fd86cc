/* See resident_gain.h. */
#include "sched/resident_gain.h"

#include <stdlib.h>

#include "graph/error.h"

enum { COARSE_THREADS = 2048 }; /* as many as a multiprocessor has at a time */

/* The longest way, of tasks in topological order; a point is no node of its own. */
static double find_path(const struct tgi_resident_dag *dag, const float *kernel_ns, const struct tgi_gain_costs *costs, double *begin_ns)
{
    double longest = 0;
    for (uint32_t k = 0; k < dag->n_tasks; k++) {
        uint32_t t = dag->topo ? dag->topo[k] : k;
        double end = begin_ns[t] + (dag->op[t] == TGI_RESIDENT_EMPTY ? 0 : (double)costs->chain_ns + (kernel_ns ? (double)kernel_ns[t] : 0));
        for (uint32_t i = dag->succ_at[t]; i < dag->succ_at[t + 1]; i++) {
            uint32_t next = dag->succ[i];
            double there = end + (dag->device_of && dag->device_of[t] != dag->device_of[next] ? (double)costs->hop_ns : 0);
            if (begin_ns[next] < there)
                begin_ns[next] = there;
        }
        longest = end > longest ? end : longest;
    }
    return longest;
}

int tgi_gain_find(const struct tgi_resident_dag *dag, const float *kernel_ns, uint64_t n_timed, double makespan_ns, uint32_t n_devices,
                  const struct tgi_gain_costs *costs, struct tgi_gain *g, struct tg_error *err)
{
    double *begin_ns = calloc((size_t)dag->n_tasks + 1, sizeof *begin_ns);
    if (!begin_ns)
        return tgi_error_memory(err, "weighing a resident program");
    double path = find_path(dag, kernel_ns, costs, begin_ns);
    free(begin_ns);
    *g = (struct tgi_gain){.n_timed = n_timed, .resident_ns = costs->start_ns + makespan_ns};
    for (uint32_t t = 0; t < dag->n_tasks; t++)
        g->n_tasks += dag->op[t] != TGI_RESIDENT_EMPTY;
    double side_by_side = (double)g->n_tasks * costs->node_ns / n_devices;
    g->nodes_ns = path > side_by_side ? path : side_by_side;
    g->worst_ns = costs->start_ns + makespan_ns * (n_timed < g->n_tasks ? TGI_GAIN_WORST_ESTIMATED : TGI_GAIN_WORST_TIMED);
    return 0;
}

void tgi_gain_add(struct tgi_gain *sum, const struct tgi_gain *g)
{
    sum->n_tasks += g->n_tasks;
    sum->n_timed += g->n_timed;
    sum->nodes_ns += g->nodes_ns;
    sum->resident_ns += g->resident_ns;
    sum->worst_ns += g->worst_ns;
}

bool tgi_gain_is_sure(const struct tgi_gain *g) { return g->worst_ns < g->nodes_ns; }

bool tgi_gain_is_hoped(const struct tgi_gain *g) { return g->resident_ns < TGI_GAIN_NODES_UP_TO * g->nodes_ns; }

bool tgi_gain_is_coarse(uint64_t n_threads) { return n_threads > COARSE_THREADS; }
