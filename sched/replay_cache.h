/* The recordings that a run keeps, each with its graph: as many as there are places and as their memory may be, the one that was
 * replayed longest ago goes first.  The one made last stays in any case, as it is about to be replayed.
 *
 * What one takes is the host's memory for its commands and states, and what the devices had less after their graphs were made; the
 * latter is asked for only if there is a limit, as asking takes the driver a while.
 *
 * The submitter's; nothing of a graph that goes may be in flight. */
#ifndef TGI_SCHED_REPLAY_CACHE_H
#define TGI_SCHED_REPLAY_CACHE_H

#include "sched/offload_graph.h"

enum { TGI_REPLAY_PLACES = 8 };

struct tgi_replay {
    struct tgi_captured recorded;
    struct tgi_device_graph *graph; /* NULL: the place is free */
    uint64_t last_used;             /* a number that grows with each replay */
    uint64_t bytes, device_bytes;   /* of all; of these on devices */
    uint32_t n_commands;            /* of it, bodies included; those inside resident kernels are none of their own */
    bool has_collectives;
    enum tgi_replay_way way; /* of a run whose executor is left open: what it was recorded as; else STREAMS */
};

struct tgi_replay_cache {
    struct tgi_devices *devices;
    uint64_t limit_bytes; /* 0: none */
    uint64_t bytes;       /* of all that are kept */
    uint32_t n;
    uint64_t n_dropped;   /* for want of places or memory */
    struct tgi_replay places[TGI_REPLAY_PLACES];
};

/* One of that way, with kernels or not (struct tgi_captured), that is good for the state of data now; NULL: none. */
struct tgi_replay *tgi_replay_cache_find(struct tgi_replay_cache *cache, const struct tgi_replicas *replicas, enum tgi_replay_way way,
                                         bool has_kernels);
/* One that is as the new one but for addresses and the like; NULL: none. */
struct tgi_replay *tgi_replay_cache_find_alike(struct tgi_replay_cache *cache, const struct tgi_captured *recorded);
/* Keeps it, and of the others what there is room for. */
struct tgi_replay *tgi_replay_cache_add(struct tgi_replay_cache *cache, const struct tgi_replay *replay);
void tgi_replay_cache_remove(struct tgi_replay_cache *cache, struct tgi_replay *replay);
void tgi_replay_cache_clear(struct tgi_replay_cache *cache);

/* Bytes that can be reserved on all devices together; 0 without a limit, or if a device does not tell. */
uint64_t tgi_replay_cache_free_bytes(const struct tgi_replay_cache *cache);
/* Of a recording on the host. */
uint64_t tgi_captured_bytes(const struct tgi_captured *recorded, const struct tgi_replicas *replicas);

#endif
