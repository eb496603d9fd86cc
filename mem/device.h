/* Devices with memory and queues of their own, as the scheduler sees them: the interface that every
 * kind of accelerator implements, one object for all devices of a kind on this machine.
 *
 * Nodes.  Node 0 is the host's memory; device i of the machine is node i + 1.
 *
 * Lanes.  A device executes commands from several lanes, each in order, all at once.  Lanes of all
 * devices share one numbering: device i owns [i * n_lanes_each, (i + 1) * n_lanes_each), first its
 * plain and urgent compute lanes, then its copy lanes (TGI_LANE_*).  What order there must be between lanes is made
 * with events; mem/order.h keeps count of them so that no caller handles an event itself.
 *
 * Calling thread: one thread at a time calls anything that enqueues; memory and code may be asked for
 * by any thread.  Nothing but the functions that say so waits for a device.  An error leaves the command
 * out of the lane, but for fill and collect, of which a part may be there; after a fault of the device itself (is_lost) every later call fails with TG_E_DRIVER.
 *
 * Addresses are numbers, as a device's memory cannot be touched by the host. */
#ifndef TGI_MEM_DEVICE_H
#define TGI_MEM_DEVICE_H

#include <stdatomic.h>

#include "graph/model.h"

#define TGI_MAX_DEVICES 16
#define TGI_MAX_NODES (TGI_MAX_DEVICES + 1)
#define TGI_HOST_NODE 0u

enum {
    TGI_PLAIN_LANES = 4,
    TGI_URGENT_LANES = 2, /* the device prefers what they have to what the plain ones have */
    TGI_COMPUTE_LANES = TGI_PLAIN_LANES + TGI_URGENT_LANES,
    TGI_LANE_IN = TGI_COMPUTE_LANES, /* from the host */
    TGI_LANE_OUT,                    /* to the host */
    TGI_LANE_PEER,                   /* to another device: these take turns, so that one copies while the next begins */
    TGI_PEER_LANES = 2,
    TGI_LANE_IN_TOO = TGI_LANE_PEER + TGI_PEER_LANES, /* takes turns with TGI_LANE_IN for the same reason, */
    TGI_LANE_OUT_TOO,                                 /* and this one with TGI_LANE_OUT */
    TGI_LANES_EACH
};
#define TGI_MAX_LANES (TGI_MAX_DEVICES * TGI_LANES_EACH)

struct tgi_event; /* the device's own */
struct tgi_code;  /* what an operation runs on these devices */
struct tgi_program;      /* program.h */
struct tgi_stay_ops;     /* stay.h */
struct tgi_command;
struct tgi_cluster; /* cluster.h */
struct tgi_resident_call;
struct tgi_resident_room;
struct tgi_device_graph; /* a program as the backend replays it */

struct tgi_device_info {
    char name[128];
    uint64_t memory_bytes;       /* that can be reserved */
    int numa_node;               /* -1: unknown */
    bool has_peer[TGI_MAX_DEVICES]; /* copies from that device need not pass through the host */
    double peak_flops_f64;       /* roughly, for placement before anything was measured; 0: unknown */
    double bytes_per_s;          /* of its memory, the same */
};

/* Grid, block and dynamic shared memory of one launch; what else a backend needs to know of a task. */
struct tgi_shape {
    uint32_t grid[3], block[3], cluster[3];
    uint32_t shared_bytes;
    uint32_t alternative; /* which of the code's ways */
};
enum { TGI_MAX_WAYS = 4 };

struct tgi_transfer {
    uint32_t to_node, from_node;
    uint64_t to, from; /* addresses; of node 0: pointers */
    uint64_t bytes;
};

struct tgi_devices;
struct tgi_device_ops {
    size_t size;
    const char *kind; /* "cuda" */

    /* Between the two the calling thread may call the other functions; pairs nest.  What the program has set
     * up on this thread for the device (a current context) is as it was after the last detach. */
    int (*attach)(struct tgi_devices *ds, struct tg_error *err);
    void (*detach)(struct tgi_devices *ds);

    /* Memory.  A reservation of a device, aligned to 256 bytes at least.  TG_E_NO_MEMORY. */
    int (*reserve)(struct tgi_devices *ds, uint32_t device, uint64_t bytes, uint64_t *address_p, struct tg_error *err);
    void (*unreserve)(struct tgi_devices *ds, uint32_t device, uint64_t address);
    /* Bytes that can still be reserved. */
    int (*available)(struct tgi_devices *ds, uint32_t device, uint64_t *bytes_p, struct tg_error *err);
    /* Host memory that devices copy from and to at full speed. */
    int (*host_alloc)(struct tgi_devices *ds, size_t bytes, void **ptr_p, struct tg_error *err);
    void (*host_free)(struct tgi_devices *ds, void *ptr);
    /* The same for memory the program owns, for as long as it lasts.  May decline (TG_E_UNSUPPORTED):
     * copies are then slower. */
    int (*host_register)(struct tgi_devices *ds, void *ptr, size_t bytes, struct tg_error *err);
    void (*host_unregister)(struct tgi_devices *ds, void *ptr);
    /* Whether memory of the program's is such memory already, by whoever made it so.  NULL: that cannot be told, and is
     * taken for granted. */
    bool (*is_pinned)(struct tgi_devices *ds, const void *ptr);

    /* Events.  A timed one can be asked for times. */
    int (*event_create)(struct tgi_devices *ds, uint32_t device, bool is_timed, struct tgi_event **event_p,
                        struct tg_error *err);
    void (*event_destroy)(struct tgi_devices *ds, struct tgi_event *event);
    int (*record)(struct tgi_devices *ds, uint32_t lane, struct tgi_event *event, struct tg_error *err);
    int (*wait)(struct tgi_devices *ds, uint32_t lane, struct tgi_event *event, struct tg_error *err);
    /* 1: everything before its record is done, 0: not yet, negative: a status. */
    int (*query)(struct tgi_devices *ds, struct tgi_event *event, struct tg_error *err);
    /* Waits for it. */
    int (*synchronize)(struct tgi_devices *ds, struct tgi_event *event, struct tg_error *err);
    /* Nanoseconds between two timed events of one device that are done. */
    int (*elapsed)(struct tgi_devices *ds, struct tgi_event *from, struct tgi_event *to, double *ns_p,
                   struct tg_error *err);

    /* Commands. */
    int (*copy)(struct tgi_devices *ds, uint32_t lane, const struct tgi_transfer *transfer, struct tg_error *err);
    /* `word`: the element's bits in its low bytes; 16-byte elements: the real part, imaginary 0. */
    int (*fill)(struct tgi_devices *ds, uint32_t lane, uint64_t address, uint64_t n_elems, enum tg_dtype dtype,
                uint64_t word, struct tg_error *err);
    /* args as tg_cpu_fn takes them, tiles being addresses on the lane's device; read before it returns. */
    int (*launch)(struct tgi_devices *ds, uint32_t lane, struct tgi_code *code, const struct tgi_shape *shape,
                  void **args, struct tg_error *err);

    /* Code.  Finds, compiles and loads what op (a kernel) runs on these devices; TG_E_NO_VARIANT: nothing.
     * text_p: what it is, for people; the caller frees it.  May take long. */
    int (*resolve)(struct tgi_devices *ds, const struct tg_graph *graph, uint32_t op, struct tgi_code **code_p,
                   char **text_p, struct tg_error *err);
    void (*unresolve)(struct tgi_devices *ds, struct tgi_code *code);
    /* Launch dimensions for these arguments; tiles may be anything.  TG_E_EXPR_VALUE, TG_E_UNSUPPORTED: beyond
     * what the device can. */
    int (*shape)(struct tgi_devices *ds, struct tgi_code *code, void *const *args, struct tgi_shape *shape_p,
                 struct tg_error *err);
    /* Code may have several ways to do the same: a library's and our own, several variants of a user's kernel.  ways: which
     * there are for these arguments, at least one, those first that are likely to be faster; way_name: for people, lasts as
     * long as the code; shape_way: as shape, for a way that ways named, which becomes shape_p->alternative.  All NULL: one. */
    uint32_t (*ways)(struct tgi_devices *ds, const struct tgi_code *code, void *const *args, uint32_t ways_p[TGI_MAX_WAYS]);
    const char *(*way_name)(struct tgi_devices *ds, const struct tgi_code *code, uint32_t way);
    int (*shape_way)(struct tgi_devices *ds, struct tgi_code *code, uint32_t way, void *const *args,
                     struct tgi_shape *shape_p, struct tg_error *err);

    /* Collectives: NULL if there is no library for them; then the host performs them.
     * tiles[r] is rank r's tile, on device device_of[r]; lane_of[r] is a lane of that device, one for each
     * device.  Everything is enqueued when it returns.  Not every case is possible (several ranks on one device,
     * types): can_collect says so.
     * collect_scratch: bytes of each rank's device that it needs for its time beside a tile of so many; they stay as they are until
     * what is enqueued is done.  NULL: none ever does.  scratch: by rank; NULL where it needs none. */
    bool (*can_collect)(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint32_t n_ranks,
                        const uint32_t *device_of);
    uint64_t (*collect_scratch)(const struct tgi_op *op, uint64_t tile_bytes);
    int (*collect)(struct tgi_devices *ds, const struct tgi_op *op, enum tg_dtype dtype, uint64_t n_elems, uint32_t n_ranks,
                   const uint64_t *tiles, const uint64_t *scratch, const uint32_t *lane_of, struct tg_error *err);

    /* A collective that was enqueued does not come to an end: whatever waits for it does so no more, and no other collective is
     * possible after that.  Fills err with what and where, as TG_E_TASK_TIMEOUT; returns its status. */
    int (*give_up)(struct tgi_devices *ds, const struct tgi_op *op, uint32_t n_ranks, const uint32_t *lane_of,
                   uint32_t limit_ms, struct tg_error *err);

    /* Whether such launches share something of their lane, as a workspace, and must not overlap in it.  NULL: none does. */
    bool (*shares_lane)(struct tgi_devices *ds, const struct tgi_code *code, const struct tgi_shape *shape);

    /* Programs (program.h) that are replayed as a whole.  All four or none; NULL: there is no such thing.
     * Of what fails at one command, *owner_p says whose it is; UINT64_MAX: at none in particular. */
    int (*graph_create)(struct tgi_devices *ds, const struct tgi_program *program, struct tgi_device_graph **graph_p,
                        uint64_t *owner_p, struct tg_error *err);
    /* Nothing of it may be in flight, unless the devices are lost.  Takes NULL. */
    void (*graph_destroy)(struct tgi_devices *ds, struct tgi_device_graph *graph);
    /* Enqueues all of it as one command of a lane, which it comes after and which goes on once all is done.  After an error parts of a split
     * program (split.h) may have been enqueued: they end, with what they write of no use, and what they write to lost. */
    int (*graph_launch)(struct tgi_devices *ds, struct tgi_device_graph *graph, uint32_t lane, struct tg_error *err);
    /* Makes launches to come do what `to` says, in place; `from` is what they do so far, and the two are alike
     * (tgi_program_is_alike).  TG_E_UNSUPPORTED: this cannot be changed in place.  After an error the graph is of no use. */
    int (*graph_update)(struct tgi_devices *ds, struct tgi_device_graph *graph, const struct tgi_program *from,
                        const struct tgi_program *to, uint64_t *owner_p, struct tg_error *err);

    /* When the commands that are timed (step), of which there are some, were executed by the last launch, which is over, of the
     * program that the graph has been made of or changed to last: two numbers for each command, begin and end by the clock of its device,
     * in nanoseconds; 0: it is not timed.  They are good until the next call.  clock: what the clock of a device with such commands says, and
     * the host's, CLOCK_MONOTONIC, at that time; waits for the device's first lane.  Both NULL: commands cannot be timed. */
    int (*graph_times)(struct tgi_devices *ds, struct tgi_device_graph *graph, const struct tgi_program *program, const uint64_t **ns_p,
                       struct tg_error *err);
    int (*graph_clock)(struct tgi_devices *ds, struct tgi_device_graph *graph, uint32_t device, uint64_t *device_ns_p,
                       uint64_t *host_ns_p, struct tg_error *err);

    /* How often each body was executed by the last launch, which is over: two numbers for each command that decides, its
     * body's and its other one's; a command comes before those of its bodies.  They are good until the next call.  NULL: nothing is
     * decided. */
    const uint64_t *(*graph_rounds)(struct tgi_device_graph *graph);

    /* Whether commands of one device can set flags of another (split.h); of split programs graph_fault says which command has waited for
     * one in vain, as not all parts were launched.  NULL: there are no flags. */
    int (*can_signal)(struct tgi_devices *ds, uint32_t from, uint32_t to, bool *can_p, struct tg_error *err);

    /* Clusters (cluster.h) in programs.  All five or none; NULL: there are no resident programs on such devices.
     * call: what a launch, a fill or a copy from a device is as a task of one; false, and *why_p, a constant: it cannot be.
     * room: what there is for one on a device; TG_E_UNSUPPORTED says why there is nothing.
     * fault: once a launch of a graph is done, what has gone wrong in a cluster of it, TG_E_TASK_FAILED or TG_E_TASK_TIMEOUT with
     * the owner of the command that the task was; 0: nothing.  The next launch begins as if nothing had.
     * abort: tasks of clusters that are under way leave at their next wait; fault has to be called before the next launch.
     * times: of a timed cluster of it after a launch, by slot when its task began and ended, on the device's clock in nanoseconds; 0: it
     * did not. */
    bool (*resident_call)(struct tgi_devices *ds, const struct tgi_program *program, const struct tgi_command *command,
                          struct tgi_resident_call *call_p, const char **why_p);
    int (*resident_room)(struct tgi_devices *ds, uint32_t device, struct tgi_resident_room *room_p, struct tg_error *err);
    int (*graph_fault)(struct tgi_devices *ds, struct tgi_device_graph *graph, uint64_t *owner_p, struct tg_error *err);
    int (*graph_abort)(struct tgi_devices *ds, struct tgi_device_graph *graph, struct tg_error *err);
    int (*cluster_times)(struct tgi_devices *ds, struct tgi_device_graph *graph, const struct tgi_cluster *cluster,
                         uint64_t *times_p, struct tg_error *err);
    /* Whether a cluster's kernel is there, and need not be compiled first, which may take long.  NULL: it always is. */
    bool (*resident_is_compiled)(struct tgi_devices *ds, uint32_t device, const struct tgi_cluster *cluster);

    /* Whether a cluster can be on several devices at once (cluster.h): each reaches the others' memory, and there is a kernel for it.  Else
     * *why_p, a constant.  NULL: none can. */
    bool (*resident_spreads)(struct tgi_devices *ds, const uint32_t *devices, uint32_t n, const char **why_p);

    /* Adds a program as one node to a graph of the program's own, a handle that the backend knows, after n_after of its nodes.
     * NULL: that is not possible.  After an error that graph is as it was. */
    int (*graph_insert)(struct tgi_devices *ds, const struct tgi_program *program, void *graph, void *const *after, size_t n_after,
                        void **node_p, uint64_t *owner_p, struct tg_error *err);

    /* Streams of the program's own, on a device, as handles that the backend knows; the two enqueue nothing in lanes, and any
     * thread may call them.  TG_E_INVALID: the stream is not of this device.  NULL: there are no such streams. */
    int (*stream_record)(struct tgi_devices *ds, uint32_t device, void *stream, struct tgi_event *event, struct tg_error *err);
    int (*stream_wait)(struct tgi_devices *ds, uint32_t device, void *stream, struct tgi_event *event, struct tg_error *err);

    /* An error that a library has noticed by itself, or that has ended all it was at: from then on, always.  Commands that waited
     * for it do so no more, and what they were to write is not there.  NULL: there are no such errors. */
    int (*poll)(struct tgi_devices *ds, struct tg_error *err);

    /* Kernels that failed since the last call: 1, how many, who (an address that the kernel writes) and why, of
     * the first; 0: none.  Waits. */
    int (*fault)(struct tgi_devices *ds, uint32_t device, uint64_t *address_p, uint32_t *n_p, char *text, size_t size,
                 struct tg_error *err);
    /* Kernels that stay on a device (stay.h).  NULL: there are none. */
    const struct tgi_stay_ops *stay;

    /* Waits for everything of a device. */
    int (*drain)(struct tgi_devices *ds, uint32_t device, struct tg_error *err);
    /* Ranges for profilers, around what the calling thread enqueues; NULL: no profiler listens. */
    void (*range_push)(struct tgi_devices *ds, const char *name);
    void (*range_pop)(struct tgi_devices *ds);
    /* Nothing may be in flight, unless the devices are lost. */
    void (*close)(struct tgi_devices *ds);
};

/* What opening took, part by part, for who wonders. */
enum { TGI_MAX_OPENING = 8 };
struct tgi_opening_part {
    const char *what; /* "streams" */
    uint64_t ns;
};

/* A backend embeds this first. */
struct tgi_devices {
    const struct tgi_device_ops *ops;
    uint32_t n_devices, n_lanes;
    struct tgi_device_info *info; /* by device */
    uint32_t *ordinal;            /* by device: its number on this machine, as in "cuda:1" */
    struct tgi_opening_part opening[TGI_MAX_OPENING];
    uint32_t n_opening;
    _Atomic bool is_lost;         /* by whoever sees it first; relaxed, as it publishes nothing */
};

static inline bool tgi_devices_are_lost(const struct tgi_devices *ds)
{
    return atomic_load_explicit(&((struct tgi_devices *)ds)->is_lost, memory_order_relaxed);
}

static inline uint32_t tgi_lane_of(uint32_t device, uint32_t which) { return device * TGI_LANES_EACH + which; }
static inline uint32_t tgi_lane_device(uint32_t lane) { return lane / TGI_LANES_EACH; }

/* Opens the devices of a kind; ordinals in `set`: bit i for number i; 0: all.  n_p 0 devices is no success. */
typedef int (*tgi_devices_open_fn)(uint64_t set, struct tgi_devices **devices_p, struct tg_error *err);

#endif
