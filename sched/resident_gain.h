/* Whether a cluster (resident_cluster.h) gains as a resident kernel over being nodes of a CUDA graph, for runs whose executor is left open.
 *
 * As nodes its commands take at least what the device needs for that many of them, and what the longest chain takes, one node after
 * another, with the kernels' own times where they are known.  Graphs have been seen to take up to NODES_UP_TO times as much: whoever decides
 * by the least does not overrate the kernel.
 *
 * As a kernel they take what the planner expects and what the kernel takes to begin and to end.  Planners are too hopeful: bodies are
 * estimated until they have been timed, and hops take longer where many cross.  The worst case is a multiple of it, a smaller one where every
 * body has been timed.  So a cluster is
 *
 *   sure    if it gains even in the worst case,
 *   hoped   if it would gain were the plan right and the nodes as slow as they have been seen to be: worth a try where starts
 *           are many, which is measured then,
 *   or not worth it.
 *
 * A kernel that fills a good part of the device is never for one warp, whatever is estimated for its body: tgi_gain_is_coarse(). */
#ifndef TGI_SCHED_RESIDENT_GAIN_H
#define TGI_SCHED_RESIDENT_GAIN_H

#include "sched/resident_plan.h"

/* What a machine takes, in nanoseconds. */
struct tgi_gain_costs {
    float node_ns;  /* of a kernel node among many that stand side by side */
    float chain_ns; /* from the end of an empty kernel to the end of the next, which comes after it */
    float start_ns; /* of a resident kernel, beside its tasks */
    float hop_ns;   /* what an edge between devices adds to chain_ns */
    struct tgi_resident_costs tasks;
};
/* Where no machine file says more (tgi_machine_gain_costs(), machine.h): an H100, docs/PERFORMANCE.md.  10,000 independent nodes took 156 ns
 * each, a chain of 1,000 787 ns each, and 10,000 independent tasks in one resident kernel 13 us in all, of which planning expects 4.4.  A hop between two in one graph took 4.9 us. */
#define TGI_GAIN_COSTS_INIT {156, 787, 9000, 4100, TGI_RESIDENT_COSTS_INIT}

/* How much more than what is expected, or at least, something may take: judgement, from comparing plans with a few rows of the H100 tables in
 * docs/PERFORMANCE.md, most of which were within.  bench/resident_run prints both, what is expected and what it was. */
#define TGI_GAIN_WORST_ESTIMATED 4.0
#define TGI_GAIN_WORST_TIMED     2.0
#define TGI_GAIN_NODES_UP_TO     4.0

struct tgi_gain {
    uint64_t n_tasks;    /* commands that it is about, */
    uint64_t n_timed;    /* and of these: with bodies that have been timed */
    double nodes_ns;     /* as nodes, at least */
    double resident_ns;  /* as a kernel */
    double worst_ns;     /* as one, if it is not as planned */
};

/* Of one cluster, which is on so many devices: its tasks, those that are no commands (EMPTY) among them, and what the planner expects.  kernel_ns: by task, of the kernel
 * as a node beyond an empty one's time; 0: not known.  TG_E_NO_MEMORY. */
int tgi_gain_find(const struct tgi_resident_dag *dag, const float *kernel_ns, uint64_t n_timed, double makespan_ns, uint32_t n_devices,
                  const struct tgi_gain_costs *costs, struct tgi_gain *gain_p, struct tg_error *err);
/* Clusters one after the other. */
void tgi_gain_add(struct tgi_gain *sum, const struct tgi_gain *gain);

bool tgi_gain_is_sure(const struct tgi_gain *gain);
bool tgi_gain_is_hoped(const struct tgi_gain *gain);
/* Whether a launch of so many threads has the device for itself, or much of it. */
bool tgi_gain_is_coarse(uint64_t n_threads);

#endif
