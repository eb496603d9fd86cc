/* Where each datum has a valid copy, and the copies that make it so.
 *
 * A piece is what is valid or not as a whole: a tile, or a run of rows of a tile that some task addresses by
 * rows.  Each piece has a replica on the nodes where its tile has memory, valid there or not: modified means
 * valid on one node only, shared on several (MSI).  States follow the order in which tasks are submitted, not
 * the order in which anything happens; each valid replica has the stamp that makes it so.
 *
 * What a task needs is made valid on its node by the fewest bytes: none where a replica is valid, else from the
 * nearest valid one.  Device memory comes from pools; when it is short, replicas nobody needs for the task at hand
 * go, least recently used first: clean ones are forgotten, modified ones written back.  A task's whole footprint
 * is there or nothing of it is; one that fits the pool fits, as at worst everything is moved.
 *
 * Why few waits suffice: tasks that conflict are ordered by the graph's edges, and their stamps are waited for.
 * A copy is always made for a task that reads this version and waits for the copy, so whoever writes the next version
 * comes after it.  What remains are a replica's own stamp, for those who read it or write there, since an older version
 * may be on its way back to the host for want of memory; and memory that goes to somebody else: its next user waits
 * for all that its former users had enqueued.
 *
 * One per run; all calls from the submitting thread. */
#ifndef TGI_MEM_REPLICA_H
#define TGI_MEM_REPLICA_H

#include "mem/order.h"
#include "mem/pool.h"
#include "mem/staging.h"
#include "mem/store.h"

struct tgi_replicas;

/* Stamps to wait for, at most one per lane. */
struct tgi_waits {
    uint32_t n;
    struct tgi_stamp stamps[TGI_MAX_LANES];
};
static inline void tgi_waits_add(struct tgi_order *order, struct tgi_waits *waits, struct tgi_stamp stamp)
{
    if (stamp.lane == TG_NONE)
        return;
    for (uint32_t i = 0; i < waits->n; i++)
        if (waits->stamps[i].lane == stamp.lane) {
            waits->stamps[i] = tgi_order_both(order, waits->stamps[i], stamp);
            return;
        }
    waits->stamps[waits->n++] = stamp;
}

/* One argument of a task. */
struct tgi_operand {
    uint64_t word;
    enum tg_access access;
    uint32_t node;    /* where it is wanted */
    uint64_t address; /* there; set by acquire.  0 for an absent tile */
};

/* Memory on the node of each operand beside its tile, for what one task does alone: reserved with its footprint. */
struct tgi_scratch {
    uint64_t bytes; /* for each; 0: none */
    uint64_t addresses[TGI_MAX_DEVICES]; /* by operand; set by acquire */
};

/* graph: the whole program, with its bodies.  pools: by device.  fences: by device, one for all that take memory
 * from a pool, empty at first: what memory somebody has given back was used for.  Everything lasts as long as this. */
int tgi_replicas_create(const struct tg_graph *graph, struct tgi_store *store, struct tgi_devices *devices,
                        struct tgi_order *order, struct tgi_pool *const *pools, struct tgi_waits *fences,
                        struct tgi_replicas **replicas_p, struct tg_error *err);
/* All that was enqueued for it is done, or lost. */
void tgi_replicas_destroy(struct tgi_replicas *replicas);

/* Tiles of buffers that lie in memory of the program's that is not pinned are copied by `staging`.  is_pageable: by
 * buffer; both last as long as this, or until the next call.  The caller waits for these copies. */
void tgi_replicas_stage(struct tgi_replicas *replicas, struct tgi_staging *staging, const uint8_t *is_pageable);

/* The host has (re)written these tiles: other replicas are not valid any more.  tile: number in the space. */
void tgi_replicas_host_wrote(struct tgi_replicas *replicas, uint32_t tile);

/* Whether the tiles of a buffer begin with one value everywhere, in memory that is not the program's. */
bool tgi_replicas_begins_alike(const struct tgi_buffer *buffer);
/* Whether devices fill such tiles in, as TGRAPH_INIT says: 1, as a rule, or 0; TG_E_INVALID: it says something else. */
int tgi_replicas_are_filled(struct tg_error *err);
/* The same of a tile that begins so, and to which the host has given its first contents: a device that needs it fills it in, and nothing is
 * copied, until somebody writes it. */
void tgi_replicas_host_began(struct tgi_replicas *replicas, uint32_t tile);

/* What nobody has ever written of a tile counts as what the host has from now on. */
void tgi_replicas_define(struct tgi_replicas *replicas, uint32_t tile);

/* Makes memory and valid contents for the operands of one task; those on one node are reserved together.
 * Copies are enqueued; waits gets what the task itself must wait for.  TG_E_NO_MEMORY: the footprint does not
 * fit; nothing has changed but what was evicted. */
int tgi_replicas_acquire(struct tgi_replicas *replicas, struct tgi_operand *operands, uint32_t n,
                         struct tgi_waits *waits, struct tg_error *err);
/* The same with scratch memory for operands on devices, at most TGI_MAX_DEVICES of them.  Not while a run is recorded: what is replayed
 * would find the memory in others' hands.  It is given back as soon as the task is enqueued, where its use is over at the operands' stamps
 * (NULL: nothing was enqueued). */
int tgi_replicas_acquire_with(struct tgi_replicas *replicas, struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                              struct tgi_waits *waits, struct tg_error *err);
void tgi_replicas_release(struct tgi_replicas *replicas, const struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                          const struct tgi_stamp *stamps);
/* Copies what a task will read there, a whole tile whose version is that which the task is to read, to a device as long as there is memory
 * that nobody has: nothing is evicted for it, and where anything ever was, nothing is done.  The task comes after *stamp_p by
 * acquiring the tile there, and has to; lane TG_NONE: nothing was copied. */
int tgi_replicas_send_ahead(struct tgi_replicas *replicas, uint32_t tile, uint32_t device, struct tgi_stamp *stamp_p, struct tg_error *err);
/* The task has been enqueued, as `stamp` (lane TG_NONE: done, or on the host): what it writes is valid there alone. */
void tgi_replicas_publish(struct tgi_replicas *replicas, const struct tgi_operand *operands, uint32_t n,
                          struct tgi_stamp stamp);
/* A task that failed may have enqueued some of its commands: who gets this memory later waits for the lane. */
void tgi_replicas_used(struct tgi_replicas *replicas, const struct tgi_operand *operands, uint32_t n, uint32_t lane);
/* Makes a tile (its number in the space) valid on a device for commands of the program's, which are in no lane; if they write,
 * it is valid there alone.  Its memory does not move until everything is taken back. */
int tgi_replicas_lend(struct tgi_replicas *replicas, uint32_t tile, enum tg_access access, uint32_t device,
                      uint64_t *address_p, struct tgi_waits *waits, struct tg_error *err);
void tgi_replicas_take_back(struct tgi_replicas *replicas);
/* For a copy task: `to` is acquired for writing, `from` need not be on its node.  Enqueues the transfer from
 * the best replica of `from` and publishes `to`.  On the host alone: false in *is_enqueued_p, `from` is valid there once
 * waits are over, and the caller copies. */
int tgi_replicas_copy(struct tgi_replicas *replicas, struct tgi_operand *to, struct tgi_operand *from, uint32_t lane,
                      struct tgi_waits *waits, bool *is_enqueued_p, struct tgi_stamp *stamp_p, struct tg_error *err);
/* Bytes that the operands of one task, and scratch_bytes beside each, take of a device's pool at once. */
uint64_t tgi_replicas_footprint(struct tgi_replicas *replicas, const struct tgi_operand *operands, uint32_t n, uint64_t scratch_bytes,
                                uint32_t device);
/* Bytes that acquiring would copy to `node`: what a thief weighs. */
uint64_t tgi_replicas_missing(const struct tgi_replicas *replicas, const uint64_t *words, const uint8_t *accesses,
                              uint32_t n, uint32_t node);

/* Enqueues copies that make tiles valid on the host: buffer TG_NONE: of every buffer whose memory is the
 * program's.  tile TG_NONE: all of the buffer.  Wait for `waits` before looking. */
int tgi_replicas_to_host(struct tgi_replicas *replicas, tg_buffer_id buffer, uint32_t tile, struct tgi_waits *waits,
                         struct tg_error *err);
/* Enqueues copies that make what `word` addresses valid on the host if its memory is the program's: nobody writes it
 * again in this run, so it may go home while others work. */
int tgi_replicas_write_back(struct tgi_replicas *replicas, uint64_t word, struct tg_error *err);

/* ---- Recording and replaying ----------------------------------------------------------------
 *
 * What a run would enqueue can be recorded (recorder.h) and brought about later, any number of times, by somebody who replays
 * it.  States of all replicas are kept as snapshots: a recording leads from one to another, it may be replayed whenever
 * the current one is like the first and memory is where the second has it, and then leads to the second. */

/* From now on commands go to a recorder's devices and order.  Nothing is evicted: TG_E_NO_MEMORY means that the run cannot be
 * recorded. */
int tgi_replicas_record(struct tgi_replicas *replicas, struct tgi_devices *devices, struct tgi_order *order,
                        struct tg_error *err);
/* Commands are live again; what is valid where is what it will be after a replay. */
void tgi_replicas_record_end(struct tgi_replicas *replicas);

struct tgi_replica_snapshot;
int tgi_replicas_save(const struct tgi_replicas *replicas, struct tgi_replica_snapshot **snapshot_p, struct tg_error *err);
uint64_t tgi_replicas_snapshot_bytes(const struct tgi_replicas *replicas); /* that one takes */
void tgi_replica_snapshot_destroy(struct tgi_replica_snapshot *snapshot); /* takes NULL */
/* The same is valid in the same places; all that had memory then has it in the same place. */
bool tgi_replicas_is_valid_as(const struct tgi_replicas *replicas, const struct tgi_replica_snapshot *snapshot);
bool tgi_replicas_has_memory_of(const struct tgi_replicas *replicas, const struct tgi_replica_snapshot *snapshot);
/* Whether what was recorded between the two can be brought about again and again: nothing is valid on a device before it that is
 * not so after it. */
bool tgi_replicas_is_repeatable(const struct tgi_replicas *replicas, const struct tgi_replica_snapshot *before,
                                const struct tgi_replica_snapshot *after);
/* The device memory that a snapshot has does not move until everything lent is taken back. */
void tgi_replicas_keep(struct tgi_replicas *replicas, const struct tgi_replica_snapshot *snapshot);
/* What was recorded since `before` will not happen. */
void tgi_replicas_forget(struct tgi_replicas *replicas, const struct tgi_replica_snapshot *before);
/* What a replay has to wait for that comes after something else than another replay. */
void tgi_replicas_pending(struct tgi_replicas *replicas, struct tgi_waits *waits);
/* Whether the last replay led back to where it began, and nothing has changed since. */
bool tgi_replicas_is_as_replayed(const struct tgi_replicas *replicas);
/* A replay has been enqueued, of what was recorded between the two.  stamps: by device, of a lane of it that comes after the
 * replay; the first is the replay's own. */
void tgi_replicas_replayed(struct tgi_replicas *replicas, const struct tgi_replica_snapshot *before,
                           const struct tgi_replica_snapshot *after, const struct tgi_stamp *stamps);

/* ---- Numbers ------------------------------------------------------------------------------*/

struct tgi_replica_stats {
    uint64_t to_device_bytes, to_host_bytes, peer_bytes;
    uint64_t spilled_bytes;   /* of these: written back for want of memory, and fetched again after that */
    uint64_t n_copies, n_evictions;
    uint64_t n_ahead, ahead_bytes; /* by tgi_replicas_send_ahead() */
    uint64_t in_bytes[TGI_MAX_DEVICES], out_bytes[TGI_MAX_DEVICES]; /* by device: to and from it */
};
/* Copies between memories, one by one, if asked for: from the call on, nothing of what was before.  `owner`: what they are made
 * for, a number of the caller's. */
struct tgi_copy {
    uint64_t bytes, owner;
    uint32_t from, to, tile;
};
/* What tiles take of a device's memory after each change, of the same time. */
struct tgi_usage {
    uint64_t at_ns, bytes; /* of CLOCK_MONOTONIC */
    uint32_t device;
};
void tgi_replicas_log(struct tgi_replicas *replicas, bool is_wanted);
/* Whom to tell of each copy that is logged, once it is enqueued; told NULL: nobody. */
void tgi_replicas_tell(struct tgi_replicas *replicas, void (*told)(void *user, const struct tgi_copy *copy), void *user);
void tgi_replicas_copies_for(struct tgi_replicas *replicas, uint64_t owner);
/* In the order they were enqueued; what there was no memory for is missing. */
const struct tgi_copy *tgi_replicas_copies(const struct tgi_replicas *replicas, uint32_t *n_p);
/* Those of a recording, between its end and tgi_replicas_forget(), which takes them off the list; the caller frees them.  Then, as
 * it is replayed: they are made once more. */
int tgi_replicas_keep_copies(const struct tgi_replicas *replicas, struct tgi_copy **copies_p, uint32_t *n_p, struct tg_error *err);
void tgi_replicas_log_again(struct tgi_replicas *replicas, const struct tgi_copy *copies, uint32_t n);
const struct tgi_usage *tgi_replicas_usages(const struct tgi_replicas *replicas, uint32_t *n_p);
/* n_copies of these alone. */
uint64_t tgi_replicas_n_copies(const struct tgi_replicas *replicas);
void tgi_replicas_stats(const struct tgi_replicas *replicas, struct tgi_replica_stats *stats_p);
/* The pieces that an argument stands for, their numbers below n_pieces, and what each has of bytes. */
uint32_t tgi_replicas_n_pieces(const struct tgi_replicas *replicas);
void tgi_replicas_list_pieces(const struct tgi_replicas *replicas, uint64_t word,
                              void (*fn)(void *user, uint32_t piece, uint64_t bytes), void *user);
/* The tile whose memory on a device contains an address; TG_NONE: none has. */
uint32_t tgi_replicas_find(const struct tgi_replicas *replicas, uint32_t device, uint64_t address);
/* The most bytes in use on a device at once, of this run. */
uint64_t tgi_replicas_peak(const struct tgi_replicas *replicas, uint32_t device);

#endif
