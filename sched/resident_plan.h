/* Programs for the resident executor: which worker runs which task after which, and how each edge is carried.
 *
 * The planner places every task twice, on the worker where it would start first and by levels that are shared evenly, and
 * keeps what costs say ends first.  Either way a task goes to a worker of a predecessor, the idlest of that predecessor's
 * block, or the idlest of all: chains stay on a worker and neighbours in a block.  Less than a microsecond a task. */
#ifndef TGI_SCHED_RESIDENT_PLAN_H
#define TGI_SCHED_RESIDENT_PLAN_H

#include "graph/model.h"
#include "mem/cluster.h"

/* What is planned: the CSR form of a graph, with an op for each task.  The arrays are the caller's. */
struct tgi_resident_dag {
    uint32_t n_tasks;
    const uint32_t *succ_at; /* n_tasks + 1 */
    const uint32_t *succ;    /* no task twice in a row of one task */
    const uint32_t *topo;    /* NULL: ids are in topological order */
    const uint8_t *op;       /* enum tgi_resident_op */
    const uint64_t *arg;     /* NULL: no op has one */
    const uint64_t *words;   /* of CALLs and POSTs, as their args say; NULL: there are no POSTs */
    const float *cost_ns;    /* of bodies; NULL: SPIN burns its argument, the others cost nothing beside task_ns */
    const uint8_t *device_of; /* of programs on several devices: which of them a task has to be on; NULL: any may have it */
    const uint8_t *is_block;  /* CALLs that are a block wide, whose costs are those of a block; NULL: none is */
};

/* What bench/resident measures before it plans, or TGI_RESIDENT_COSTS_INIT where nothing was measured: an H100 at
 * 1,980 MHz, 2026-11-27.  From the end of one task to the end of the next on another worker is a hop and task_ns. */
struct tgi_resident_costs {
    float task_ns;    /* of a task beside its body, on its worker, where nothing is late */
    float shared_ns;  /* from a worker to another of its block */
    float cell_ns;    /* to another block, the data in the flag */
    float counter_ns; /* to another block, the data in memory */
    float far_cell_ns, far_counter_ns; /* to another device, the same two */
};
#define TGI_RESIDENT_COSTS_INIT {218, 100, 245, 966, 1300, 2600}
/* Of a task a block wide beside its body: its workers meet before and behind it, and none of them has done anything else meanwhile.  With a quarter of it
 * the fine tasks of examples/graphs/decode.json, of some 900 to 3,300 ns, were wide and took a fifth longer than a warp wide (an H100, 2026-11-28). */
#define TGI_RESIDENT_BLOCK_NS 2500

struct tgi_resident_shape {
    uint32_t n_blocks, n_workers_each; /* blocks are all resident at once; at most 32 workers in each */
    uint32_t shared_bytes;             /* of a block, descriptors included */
    enum tgi_resident_width width;
};

/* TG_E_UNSUPPORTED: an op that cannot be as wide, a task a block wide where others are not a warp wide or post their results, or
 * more edges or slots than words can name.  TG_E_INVALID: a shape without workers.
 * TG_E_NO_MEMORY. */
int tgi_resident_plan(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape,
                      const struct tgi_resident_costs *costs, struct tgi_resident_program **program_p,
                      struct tg_error *err);
/* The same where the caller says which worker each task runs on, of one a block wide any of its block; workers take their tasks in
 * topological order. */
int tgi_resident_build(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape,
                       const uint32_t *worker_of, struct tgi_resident_program **program_p, struct tg_error *err);
/* The same on several devices, each of that shape; workers are numbered across them (mem/resident_peers.h).
 * TG_E_UNSUPPORTED besides: tasks that are not a warp wide, wider ones too, that post their results, or call bodies without being told which device's
 * memory these are for (device_of), or more than TGI_RESIDENT_PEERS_WARPS workers each.  TG_E_INVALID: a device that there is not. */
int tgi_resident_plan_peers(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape, uint32_t n_devices,
                            const struct tgi_resident_costs *costs, struct tgi_resident_program **program_p,
                            struct tg_error *err);
int tgi_resident_build_peers(const struct tgi_resident_dag *dag, const struct tgi_resident_shape *shape, uint32_t n_devices,
                             const uint32_t *worker_of, struct tgi_resident_program **program_p, struct tg_error *err);
/* What is made is for tgi_resident_program_destroy(), mem/cluster.h. */

/* Proves that a program does what the graph says, whoever made it: every task in one slot, or if it is a block wide in one of each worker of
 * one block, of which the first one's leads and the others neither wait nor tell; those in the same order in all of them; every edge carried exactly
 * once and by a kind that may carry it, those of POSTs by their words, every wait target the number of its producers, every cell written by one, every
 * result read where it is, every task on its device, and an order in which all tasks can be executed.  TG_E_INVALID names the task
 * for which it does not hold. */
int tgi_resident_check(const struct tgi_resident_dag *dag, const struct tgi_resident_program *program,
                       struct tg_error *err);

#endif
