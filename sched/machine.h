/* A machine as plans see it: what executes, where memory is, how memories are joined.  It may be this machine,
 * one that was saved to a file (io/machine_json.h), or one that does not exist.
 *
 * A device belongs to a class (devices of one class take the same time for a task), works from one memory
 * and has lanes, each of which runs a task at a time.  Devices that share a memory share its bandwidth.
 * Memory 0 is where all data are before anything runs.
 *
 * How two memories are joined follows from rules, so that a thousand devices need a handful: the last rule
 * that fits a pair counts.  Without one there is no way between the two but through memory 0.
 *
 * Units: ns, bytes, bytes per ns (GB/s), floating point operations per ns (Gflop/s). */
#ifndef TGI_SCHED_MACHINE_H
#define TGI_SCHED_MACHINE_H

#include "graph/model.h"
#include "sched/replay_choice.h"
#include "sched/topology.h"

enum { TGI_MACHINE_NAME = 48, TGI_MACHINE_CLASSES = 8, TGI_MACHINE_DEVICES = 4096 };

struct tgi_machine_class {
    char name[TGI_MACHINE_NAME];
    enum tgi_device_kind kind;  /* whose kernel variants it runs */
    double flops_per_ns;        /* of one lane */
    double launch_ns;           /* of every task */
    double lane_bytes_per_ns;   /* what one lane can move through its memory; 0: all that the memory can */
    double event_ns, alloc_ns;  /* of recording an event and waiting for it; of getting and returning memory; 0: unknown */
    double node_ns, chain_ns;   /* the device's time for a kernel in a CUDA graph that does nothing: among others, after another; 0: unknown */
    double stamp_ns;            /* what a time that a recorded run takes there has beyond what such a kernel adds to a chain; 0: unknown */
    double resident_start_ns, resident_task_ns; /* of a resident kernel, of a task in it that does nothing; 0: unknown */
};

struct tgi_machine_memory {
    char name[TGI_MACHINE_NAME];
    uint64_t bytes;             /* 0: no limit */
    double bytes_per_ns;        /* of its controller; 0: no limit */
    double port_bytes_per_ns;   /* in, and the same out, over all links that share ports; 0: no limit */
    uint32_t root;              /* shared by links that share roots, TG_NONE: none */
};

struct tgi_machine_device {
    char name[TGI_MACHINE_NAME];
    uint32_t class, memory, n_lanes;
};

struct tgi_machine_root {
    char name[TGI_MACHINE_NAME];
    double bytes_per_ns;        /* in each direction */
};

enum tgi_machine_share {
    TGI_SHARE_NONE,  /* every copy has the link's bandwidth to itself */
    TGI_SHARE_LINK,  /* copies of a pair share */
    TGI_SHARE_PORTS, /* copies that leave a memory share, and those that enter one */
    TGI_SHARE_ROOTS  /* copies through a root share, in each direction */
};
/* From and to: the name of a memory, of a class (the memories of its devices), or "*". */
struct tgi_machine_link {
    char from[TGI_MACHINE_NAME], to[TGI_MACHINE_NAME];
    double latency_ns, bytes_per_ns;
    enum tgi_machine_share share;
};

/* How long a kernel took by itself, a worker's own costs (launch_ns) not included; sched/timing.h says what kernels are
 * called, tgi_workload_signature() what arguments are, "*" stands for all. */
struct tgi_machine_time {
    char kernel[64], arguments[128];
    uint32_t class;
    double median_ns, spread_ns;
    uint32_t n_samples;
    double together_ns;  /* where all lanes of a memory are at work, n_together of them; 0: not measured.  Of devices beside CPUs:
                            n_together times the part of the device that it takes, so it may be less than the median */
    uint32_t n_together;
    double beside_ns;            /* on a device, a median of runs on streams, beside whatever else was at work there; 0: not measured */
    double enqueue_ns;           /* the host's time to enqueue such a task on a device by streams, a mean; 0: not measured */
    double move_ns;              /* what each copy for such a task adds to that, a mean over the graph that was measured; 0: it is in enqueue_ns */
    double mark_ns, see_ns;      /* beside that, means over the graph that was measured: to mark when it runs, if the run is recorded; to see its
                                    end and whatever else such a task is to the thread that submits; 0: not measured */
    double graph_ns, graph_part; /* in a CUDA graph: by itself, and the part of the device it takes; 0: not measured */
    double copy_launch_ns;       /* what each copy from the host adds to the host's time to launch the graph that was measured; 0: not measured */
    bool shares_lane;            /* there it is a call that shares something with others of its lane, such as a library's workspace */
    double flops, bytes; /* that the task declared; 0: nothing */
};

/* What runs of about n_tasks tasks took as graphs, and on streams: each command or task; 0: not measured. */
struct tgi_machine_replay {
    uint32_t class;
    uint64_t n_tasks;
    double ns[TGI_N_REPLAY_COSTS];
};

/* How long copies took, for people and for --check; plans use the links. */
struct tgi_machine_copy {
    char from[TGI_MACHINE_NAME], to[TGI_MACHINE_NAME]; /* memories */
    uint64_t bytes;
    uint32_t n_at_once; /* copies of that size, each between another pair */
    double median_ns, spread_ns;
    uint32_t n_samples;
};

/* Which machine the figures were measured on; cpu "": on none. */
struct tgi_machine_origin {
    char cpu[64], gpu[64];
    uint32_t n_cores, n_numa, n_gpus;
    uint64_t measured_s; /* since 1970 */
};

struct tgi_machine {
    char name[TGI_MACHINE_NAME];
    bool is_rough; /* figures are typical ones, not measured */
    struct tgi_machine_class *classes;
    struct tgi_machine_memory *memories;
    struct tgi_machine_device *devices;
    struct tgi_machine_root *roots;
    struct tgi_machine_link *links;
    struct tgi_machine_time *times;
    struct tgi_machine_copy *copies;
    struct tgi_machine_replay *replays;
    uint32_t n_classes, n_memories, n_devices, n_roots, n_links, n_times, n_copies, n_replays;
    struct tgi_machine_origin origin;
    uint16_t *route; /* by from * n_memories + to: 1 + link, 0: none; from tgi_machine_finish() */
};

/* Each appends one; text that is too long is cut.  TG_E_NO_MEMORY. */
int tgi_machine_add_class(struct tgi_machine *m, const struct tgi_machine_class *c, struct tg_error *err);
int tgi_machine_add_memory(struct tgi_machine *m, const struct tgi_machine_memory *memory, struct tg_error *err);
int tgi_machine_add_device(struct tgi_machine *m, const struct tgi_machine_device *device, struct tg_error *err);
int tgi_machine_add_root(struct tgi_machine *m, const struct tgi_machine_root *root, struct tg_error *err);
int tgi_machine_add_link(struct tgi_machine *m, const struct tgi_machine_link *link, struct tg_error *err);
int tgi_machine_add_time(struct tgi_machine *m, const struct tgi_machine_time *time, struct tg_error *err);
int tgi_machine_add_copy(struct tgi_machine *m, const struct tgi_machine_copy *copy, struct tg_error *err);
int tgi_machine_add_replay(struct tgi_machine *m, const struct tgi_machine_replay *replay, struct tg_error *err);
/* Works out the routes; the machine is not changed after it.  TG_E_BAD_VALUE: no device, a limit. */
int tgi_machine_finish(struct tgi_machine *m, struct tg_error *err);
void tgi_machine_fini(struct tgi_machine *m);

/* TG_NONE: there is none. */
uint32_t tgi_machine_find_class(const struct tgi_machine *m, const char *name);
uint32_t tgi_machine_find_memory(const struct tgi_machine *m, const char *name);
uint32_t tgi_machine_find_root(const struct tgi_machine *m, const char *name);

/* The link from one memory to another; NULL: none. */
static inline const struct tgi_machine_link *tgi_machine_route(const struct tgi_machine *m, uint32_t from, uint32_t to)
{
    uint32_t route = m->route[(size_t)from * m->n_memories + to];
    return route ? &m->links[route - 1] : NULL;
}
/* An undisturbed copy, through memory 0 where there is no link. */
double tgi_machine_copy_ns(const struct tgi_machine *m, uint32_t from, uint32_t to, double bytes);
/* The costs of runs closest to that size, as a ratio; all 0: none were measured. */
void tgi_machine_replay_costs(const struct tgi_machine *m, uint64_t n_tasks, struct tgi_replay_costs *costs_p);
/* What clusters are weighed by: measured costs of the first class that has any, else usual ones. */
void tgi_machine_gain_costs(const struct tgi_machine *m, struct tgi_gain_costs *costs_p);
/* The places an `on` may name that mean this device. */
tgi_place tgi_machine_place(const struct tgi_machine *m, uint32_t device);

/* Whether figures of `origin` hold on `here`: both measured, on processors and GPUs of one kind and number.  If not, says
 * what differs. */
bool tgi_machine_is_of(const struct tgi_machine_origin *origin, const struct tgi_machine_origin *here, char *why, size_t size);
/* CPUs with rough figures: a device for each NUMA node, a lane for each core.  Not finished. */
int tgi_machine_init_cpus(struct tgi_machine *m, const struct tgi_topology *topology, struct tg_error *err);
/* The machine with n GPUs in place of its own: like its first one, or, without any, like a typical data centre GPU,
 * with rough figures.  Finished.  link_scale and memory_scale change the speeds of links and memories. */
struct tgi_machine_change {
    uint32_t n_gpus; /* TG_NONE: as they are */
    double link_scale, memory_scale;
    uint32_t n_workers; /* lanes of CPUs, spread over their devices; 0: as they are */
};
int tgi_machine_change(const struct tgi_machine *m, const struct tgi_machine_change *change, struct tgi_machine *to,
                       struct tg_error *err);

#endif
