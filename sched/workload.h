/* A frozen graph in the terms of a machine: how long each task takes on each class of devices, what it moves
 * through memory, and the tiles it uses.  Policies, bounds and the simulator read this and nothing else.
 *
 * Times are, in this order: measured ones of the machine; between measured ones, for built-in kernels (sched/timing.h); the
 * declared `us`; a roofline of declared operations and bytes; a roofline of the bytes of the arguments.
 *
 * Bytes through memory of a measured kernel follow from how much longer it takes where every lane is at it: it takes
 * that long if all lanes share the memory's bandwidth.  What lanes of a GPU share is rather its multiprocessors, but the
 * arithmetic is the same: the part of the GPU that a task takes (sharing.h) is that part of its memory's bandwidth, all of it
 * where that was not measured.
 *
 * Copies and fills do nothing but move their arguments: where memory was measured, so are they. */
#ifndef TGI_SCHED_WORKLOAD_H
#define TGI_SCHED_WORKLOAD_H

#include "sched/machine.h"

struct tgi_use {
    uint32_t tile;
    uint32_t writer; /* the task whose result is read; TG_NONE: what was there at the start */
    bool is_read, is_written;
};

/* How a run hands its tasks to devices. */
enum tgi_run_form { TGI_RUN_ON_STREAMS, TGI_RUN_RECORDED, TGI_RUN_IN_GRAPH }; /* recorded: on streams, with a time for each task */

/* What a task on a device is to the thread that submits; 0: not known. */
struct tgi_handling {
    float ns, mark_ns; /* enqueuing it and seeing its end; events that tell when it ran, where there are such */
    float move_ns;     /* enqueuing each copy of what it reads */
};

struct tgi_workload {
    const struct tg_graph *graph;
    const struct tgi_machine *machine;
    uint32_t n_tasks, n_tiles, n_classes;
    float *ns;           /* by task * n_classes + class, undisturbed; INFINITY: the class cannot run it */
    float *traffic;      /* by task * n_classes + class: bytes through memory */
    uint32_t *uses_at;   /* by task, n_tasks + 1 */
    struct tgi_use *uses;
    uint64_t *tile_bytes;
    uint8_t *stays;      /* by tile: it is valid in every memory that a task reads it from; NULL: none is */
    uint8_t *is_blank;   /* by tile: until a task writes it it has one value everywhere, which devices fill in (mem/replica.h); NULL: none has */
    tgi_place *only;     /* by task: devices it is limited to, 0: none in particular; NULL: no task is */
    uint64_t n_measured, n_fitted, n_declared, n_roofline, n_sized, n_free; /* tasks whose time came from what */
    uint32_t first_unknown; /* the first task whose time was not measured, between measured ones or free; TG_NONE: none */
    bool is_as_run, is_replayed, is_recorded;
    float *known_ns;      /* by task: what a run takes it to take on a device when it orders tasks; NULL: it is no run */
    uint8_t *shares_lane; /* by task: in a CUDA graph it comes after others of its lane (machine.h); NULL: it is for none */
    double copy_launch_ns;         /* in a CUDA graph: what launching it takes the host for each copy that it begins with, a mean over tasks; 0: not known */
    struct tgi_handling *handling; /* by task; NULL: it is no run */
    uint64_t n_replayed; /* tasks whose time is one inside a CUDA graph */
    uint64_t n_bodies;   /* control tasks, whose bodies count as one task on a CPU lane */
};

/* The machine must outlive it.  TG_E_NO_VARIANT, TG_E_NO_DEVICE: a task that no device can run. */
int tgi_workload_create(const struct tg_graph *g, const struct tgi_machine *machine, struct tgi_workload **w_p,
                        struct tg_error *err);
/* The same with tasks where a run puts them (sched/placement.h): those that a device beside CPUs can execute go nowhere else.  In a CUDA graph with
 * the times of kernels there, where those were measured. */
int tgi_workload_create_as_run(const struct tg_graph *g, const struct tgi_machine *machine, enum tgi_run_form form, struct tgi_workload **w_p,
                               struct tg_error *err);
void tgi_workload_destroy(struct tgi_workload *w);
/* As in any start of a run but its first: what no task writes is where the tasks that read it are. */
int tgi_workload_stay(struct tgi_workload *w, struct tg_error *err);

/* The sizes of a task's arguments, as keys of measured times: bytes of tiles, values of integers. */
void tgi_workload_signature(const struct tg_graph *g, uint32_t task, char *text, size_t size);

static inline uint32_t tgi_workload_task_at(const struct tgi_workload *w, uint32_t position)
{
    return w->graph->topo ? w->graph->topo[position] : position;
}
static inline double tgi_workload_ns(const struct tgi_workload *w, uint32_t task, uint32_t device)
{
    return w->ns[(size_t)task * w->n_classes + w->machine->devices[device].class];
}
/* Bytes that a task moves through the device's memory. */
static inline double tgi_workload_traffic(const struct tgi_workload *w, uint32_t task, uint32_t device)
{
    return w->traffic[(size_t)task * w->n_classes + w->machine->devices[device].class];
}
/* The least on any class that can run it. */
double tgi_workload_least_traffic(const struct tgi_workload *w, uint32_t task);
bool tgi_workload_allows(const struct tgi_workload *w, uint32_t task, uint32_t device);
/* The shortest time on any device that may run it. */
double tgi_workload_least_ns(const struct tgi_workload *w, uint32_t task);
#endif
