/* Measures this machine, so that plans need not guess.
 *
 * Method.  Everything is measured several times, after once that does not count, and kept as a median and the distance of the
 * quartiles, with outliers set aside (sched/sample.h).
 * - Memory of a NUMA node: threads bound to its cores compute a[i] = b[i] + s * c[i] over arrays that no cache holds, which moves
 *   three words for each element: one thread (what a lane can get) and all of them (what the node has).  The same with the
 *   arrays on another node is the link between the two.
 * - Tasks: a chain of kernels that do nothing, recorded, on one worker.  What is not spent inside of them is a task's launch cost.
 * - Memory allocation: a MiB is got from the system, touched and returned; on devices reserved and returned.
 * - Devices, through mem/device.h: copies by size in both directions, and between devices that reach each other, timed by events:
 *   one at a time, and of the largest size on all devices at once, which shows what they share.  A copy's time is latency +
 *   bytes / bandwidth, with the smallest copy for the one and the two largest for the other.  A device's memory: copies
 *   within it, each byte counted twice.  Launches: many kernels that do nothing, back to back; the longer of the host's and
 *   the device's time for one.
 * - Graphs: runs of tasks that do nothing, of several sizes, whose executor is left open: what recording, instantiating and launching
 *   a command took them, and the host a task on streams.  Graphs of tasks that have a small tile sent to them, by how much longer more of
 *   them take.  A task that does nothing, on streams and as a graph: what begins and ends a run.
 * - Inside graphs: replays of such tasks, in a chain and without order, and in a chain inside a resident kernel: what one more takes the device.
 * - Kernels: the tasks of a graph, by kernel and sizes of arguments, from recorded runs: on one worker (a task that nothing
 *   disturbs), on all workers (how much they slow each other down), on devices one task at a time, and on devices as runs do, by streams
 *   and as CUDA graphs (how much of a device a task leaves to others, sched/sharing.h).  What the thread that submits takes for a task comes
 *   from the same runs: enqueuing by kernel, and copies for it; events that mark when it ran, and seeing that it has ended, for all alike.
 *   What launching the graph takes the host beside its kernels is shared by the copies that it begins with.  The graph's data are what
 *   they are in a run, so caches are as warm as they will be.
 *
 * One thread at a time; nothing else should be at work on the machine. */
#ifndef TGI_SCHED_CALIBRATE_H
#define TGI_SCHED_CALIBRATE_H

#include "sched/machine.h"

struct tgi_calibration {
    bool is_quick;       /* fewer repetitions and sizes, smaller arrays */
    const char *devices; /* beside CPUs, as tg_runtime_options takes them; NULL: none */
    uint64_t device_set; /* the same: bit i for number i; 0: all */
    bool only_devices;   /* kernels are not measured on CPUs where devices have them */
    uint32_t n_workers;  /* of runs with all workers; 0: a worker for each core */
    void (*on_step)(void *user, const char *what); /* what is measured now; NULL: nobody wants to know */
    void *user;
};

/* What this machine is, as machine files say it. */
int tgi_calibrate_origin(const struct tgi_calibration *c, struct tgi_machine_origin *origin_p, struct tg_error *err);
/* CPUs, memories, links and devices: a finished machine, to which times of kernels can be added. */
int tgi_calibrate_machine(const struct tgi_calibration *c, struct tgi_machine *m_p, struct tg_error *err);
/* Adds the times of a frozen graph's tasks.  TG_E_TASK_FAILED and others: the graph does not run here. */
int tgi_calibrate_graph(const struct tgi_calibration *c, const struct tg_graph *g, struct tgi_machine *m, struct tg_error *err);
/* Adds times of built-in kernels over sizes, and what a core and a device can compute, from the best of gemm.
 * PEAK: a large gemm alone, as graphs bring their own kernels. */
enum tgi_calibrate_builtins { TGI_CALIBRATE_PEAK, TGI_CALIBRATE_ALL };
int tgi_calibrate_builtins(const struct tgi_calibration *c, enum tgi_calibrate_builtins which, struct tgi_machine *m,
                           struct tg_error *err);

/* Two measurements of one thing. */
struct tgi_drift {
    char what[256];        /* "builtin gemm_nt f64 (2097152B,..) on cpu" */
    double before, after;  /* ns, or bytes per ns */
    bool is_rate;
    double worse;          /* by which part it is slower now; negative: faster */
};
/* What both machines have, in the order of the first; the caller frees the list.  TG_E_NO_MEMORY. */
int tgi_calibrate_compare(const struct tgi_machine *before, const struct tgi_machine *after, struct tgi_drift **drifts_p,
                          uint32_t *n_p, struct tg_error *err);

/* ---- Its parts ----------------------------------------------------------------------------*/

void tgi_calibrate_step(const struct tgi_calibration *c, const char *format, ...) TG_PRINTF(2, 3);
/* Freezes a graph of whose building rc came; if either failed, it is destroyed. */
int tgi_calibrate_finish(struct tg_graph *g, int rc, struct tg_graph **g_p, struct tg_error *err);
/* calibrate_memory.c: bandwidths of nodes, and of links between them. */
int tgi_calibrate_memory(const struct tgi_calibration *c, const struct tgi_topology *t, struct tgi_machine *m,
                         struct tg_error *err);
/* calibrate_devices.c: adds a class, devices, memories and links. */
int tgi_calibrate_devices(const struct tgi_calibration *c, struct tgi_machine *m, struct tg_error *err);
/* A frozen graph of tasks that do nothing, in chains of so many. */
int tgi_calibrate_nothing(uint32_t n_tasks, uint32_t chain, struct tg_graph **graph_p, struct tg_error *err);
/* calibrate_inside.c: what tasks take inside graphs and resident kernels on devices of that class. */
int tgi_calibrate_inside(const struct tgi_calibration *c, struct tgi_machine *m, uint32_t class, struct tg_error *err);
/* calibrate_graphs.c: what runs take as graphs on devices of that class. */
int tgi_calibrate_graphs(const struct tgi_calibration *c, struct tgi_machine *m, uint32_t class, struct tg_error *err);
/* GPUs of the origin. */
int tgi_calibrate_name_devices(const struct tgi_calibration *c, struct tgi_machine_origin *origin, struct tg_error *err);

#endif
