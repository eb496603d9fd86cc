/* The virtual machine inside the simulator: simulate.c has the clock and the tasks, virtual_memory.c copies. */
#ifndef TGI_SCHED_VIRTUAL_H
#define TGI_SCHED_VIRTUAL_H

#include "sched/plan.h"
#include "sched/queueing.h"

enum tgi_virtual_kind { TGI_VIRTUAL_COPY_BEGIN, TGI_VIRTUAL_COPY_END, TGI_VIRTUAL_TASK_END, TGI_VIRTUAL_SUBMIT };
/* An event whose version is not that of its lane or copy is out of date. */
struct tgi_virtual_event {
    double at;
    uint32_t kind, id, version;
};

/* A copy of a tile in a memory. */
struct tgi_replica {
    uint32_t tile, memory;
    uint32_t next;         /* of the tile, or free */
    uint32_t newer, older; /* of the memory, by last use */
    uint32_t n_pins;       /* tasks that are accepted and use it */
    uint32_t waiters;      /* tasks that wait until it is valid */
    enum { TGI_REPLICA_RESERVED, TGI_REPLICA_COMING, TGI_REPLICA_VALID } state;
    bool is_stale;         /* overwritten elsewhere while on its way */
};

enum { TGI_COPY_LANES = 2 };
struct tgi_flow {
    uint32_t replica, from, to, next; /* next: in the queue of its memory, or free */
    uint32_t lane, turn;              /* which queue; how many were asked for before, over all of them */
    uint32_t version, n_shared, shared[4], slot[4];
    double latency_ns, cap, bytes, rate, since;
    bool is_alone; /* in a graph: its lane is the only one */
    bool is_fill; /* from nowhere: the device writes what the tile begins with */
};

/* What copies share. */
struct tgi_shared {
    double bytes_per_ns;
    uint32_t *flows;
    uint32_t n, n_room, n_known; /* n_known: when rates were last worked out */
};

struct tgi_virtual_memory {
    uint64_t used, peak, limit; /* limit 0: none */
    uint32_t newest, oldest;
    struct tgi_copy_queue {
        uint32_t n_active, first, last; /* copies: under way, and waiting */
    } queues[2][TGI_COPY_LANES];        /* from memory 0, from others; the second lane is that of runs that hand copies to both in turn */
    /* tasks at work in it, where several can be */
    uint32_t *lanes;
    uint32_t n_lanes;
    double demand, bytes_per_ns;
};

struct tgi_virtual_lane {
    uint32_t task, device, slot, version;
    double left_ns, speed, since, demand;
};

struct tgi_virtual_device {
    uint32_t first_lane, n_lanes, n_free, n_accepted, window, memory;
    uint32_t first, last;  /* tasks that have their data and wait for a lane, through next */
};

struct tgi_virtual {
    const struct tgi_workload *w;
    const struct tgi_machine *m;
    const struct tgi_policy_ops *ops;
    struct tgi_policy *policy;
    struct tgi_plan *plan;
    double now;
    struct tgi_virtual_event *heap;
    uint32_t n_heap, n_heap_room;
    uint32_t *n_waiting, *n_missing, *next; /* by task */
    uint32_t n_done;
    struct tgi_virtual_device *devices;
    struct tgi_virtual_lane *lanes;
    uint32_t *free_lanes;  /* of device d: [first_lane, first_lane + n_free) */
    uint64_t *has_lane, *has_room; /* a bit per device: could start, could accept */
    uint32_t *ready, n_ready; /* tasks to be pushed */
    struct tgi_virtual_memory *memories;
    struct tgi_shared *shared;
    uint32_t *tile_first;  /* by tile: its first replica */
    struct tgi_replica *replicas;
    uint32_t n_replicas, n_replicas_room, free_replica;
    struct tgi_flow *flows;
    uint32_t n_flows, n_flows_room, free_flow;
    struct tgi_waiter {
        uint32_t task, next;
    } *waiters;
    uint32_t n_waiters, n_waiters_room, free_waiter;
    /* of a run that hands its tasks to devices */
    const struct tgi_queueing *queueing; /* NULL: tasks are there from the beginning */
    uint32_t *n_unsubmitted;       /* by task: predecessors */
    uint32_t *n_submitted, *n_queued; /* by device: tasks; of them not done */
    uint32_t n_copy_turns;
    uint8_t *is_blank; /* by tile: devices fill it in; NULL: no tile is so */
    bool is_submitting;
    bool is_out_of_memory; /* of ours */
};

void tgi_virtual_at(struct tgi_virtual *v, double at, enum tgi_virtual_kind kind, uint32_t id, uint32_t version);
/* A task's data are there. */
void tgi_virtual_runnable(struct tgi_virtual *v, uint32_t task);

bool tgi_virtual_memory_init(struct tgi_virtual *v);
void tgi_virtual_memory_fini(struct tgi_virtual *v);
/* Gets what a task needs into a memory and keeps it there; n_missing says what is still on its way. */
void tgi_virtual_gather(struct tgi_virtual *v, uint32_t task, uint32_t memory);
/* What it wrote is valid there alone, and nothing it used is kept any more. */
void tgi_virtual_release(struct tgi_virtual *v, uint32_t task, uint32_t memory);
/* Sends what a task reads ahead, if there is room: what `writer` wrote (TG_NONE: what was there at the start), or all. */
enum tgi_virtual_send { TGI_VIRTUAL_ALL, TGI_VIRTUAL_OF_WRITER };
void tgi_virtual_prefetch(struct tgi_virtual *v, uint32_t task, enum tgi_virtual_send what, uint32_t writer,
                          uint32_t memory);
void tgi_virtual_copy_begins(struct tgi_virtual *v, uint32_t flow);
void tgi_virtual_copy_ends(struct tgi_virtual *v, uint32_t flow);
double tgi_virtual_missing_bytes(void *user, uint32_t task, uint32_t memory);
uint32_t tgi_virtual_home(void *user, uint32_t task);

#endif
