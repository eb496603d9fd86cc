/* Replicas from within: what the files mem/replica*.c share.
 *
 * replica_piece.c cuts tiles into pieces, replica_block.c has the memory of tiles on devices and what its next user waits
 * for, replica_copy.c moves contents, replica_evict.c makes room, replica_snapshot.c keeps states for replays, replica.c puts
 * them together. */
#ifndef TGI_MEM_REPLICA_STATE_H
#define TGI_MEM_REPLICA_STATE_H

#include "mem/replica.h"

/* Of what is valid, beside the host's bit: nobody has written it, and it begins with one value everywhere, which a device can fill in itself. */
#define TGI_REPLICA_BLANK (UINT32_C(1) << 31)
_Static_assert(TGI_MAX_NODES < 31, "nodes and a mark fit a word");

struct tgi_replica_piece {
    uint32_t valid;   /* bit per node, and TGI_REPLICA_BLANK */
    uint32_t spilled; /* bit per node: was valid there until memory was short */
};

/* Memory of a tile, or of all tiles of a buffer that is addressed as a whole, on one device. */
struct tgi_replica_block {
    uint64_t address;      /* 0: none */
    uint64_t users;        /* lanes that used it: bits 0.. the device's own, from TGI_LANES_EACH on others' that wrote to it */
    uint32_t serial;       /* of the acquire that wants it to stay */
    uint32_t newer, older; /* by use, TG_NONE: none */
    bool is_lent;          /* to the program: stays where it is */
    struct tgi_replica_fence *fence; /* whoever uses any part of it first comes after this; NULL: nothing to wait for */
};

/* What former users of a block's memory had enqueued when they lost it. */
struct tgi_replica_fence {
    uint32_t n;
    struct tgi_stamp stamps[];
};

/* Of a tile that is one piece and has blocks of its own; block TG_NONE: it is not so. */
struct tgi_replica_spot {
    uint32_t piece, block;
};

struct tgi_replica_device {
    struct tgi_replica_block *blocks; /* by block number */
    struct tgi_stamp *ready;          /* by piece: what makes the replica valid */
    uint32_t newest, oldest;
    struct tgi_waits *fences; /* for who gets memory that others used, of this run or another */
    uint64_t in_use_bytes, peak_bytes;
    bool is_short; /* something had to be evicted */
};

struct tgi_replicas {
    const struct tgi_space *space;
    struct tgi_store *store;
    struct tgi_devices *devices;
    struct tgi_order *order;
    struct tgi_pool *const *pools;
    /* pieces of tile t: first_piece[t] .. first_piece[t + 1]; NULL: tile and piece are the same number */
    uint32_t *first_piece;
    uint32_t *piece_row; /* by piece: its first row; NULL like first_piece */
    uint32_t n_pieces, n_blocks;
    struct tgi_replica_spot *spots; /* by tile: what nearly every operand needs to know, in one place */
    uint32_t *first_block; /* by buffer */
    uint8_t *is_whole;     /* by buffer: one block */
    struct tgi_replica_piece *pieces;
    struct tgi_stamp *host_ready; /* by piece */
    struct tgi_replica_device *device;
    struct tgi_staging *staging;  /* NULL: nothing is staged */
    const uint8_t *is_pageable;   /* by buffer */
    uint32_t serial;
    uint32_t n_turns; /* of the lanes for copies */
    bool has_lent;
    struct tgi_stamp floor; /* of a replay: everything comes after it */
    /* While commands are recorded: what they would be enqueued on, else NULL; and stamps of there, by node. */
    struct tgi_devices *live_devices;
    struct tgi_order *live_order;
    struct tgi_stamp *live_ready[TGI_MAX_NODES], live_floor;
    const struct tgi_replica_snapshot *replayed; /* where the last replay led to, if nothing was recorded since */
    bool is_steady;         /* that was where it had begun */
    uint64_t n_changes_replayed; /* as it was after that */
    uint64_t n_changes;     /* of what is valid where, and of memory: unchanged if nothing has */
    struct tgi_replica_stats stats;
    bool is_logged;
    uint64_t owner;          /* of the copies to come */
    struct tgi_copy *copies; /* since is_logged was set */
    uint32_t n_copies, cap_copies;
    void (*told)(void *user, const struct tgi_copy *copy); /* NULL: nobody */
    void *told_user;
    uint32_t n_live_copies; /* of these, when the recording began */
    struct tgi_usage *usages; /* the same */
    uint32_t n_usages, cap_usages;
};

static inline uint32_t tgi_node_bit(uint32_t node) { return 1u << node; }

static inline uint32_t tgi_replica_buffer(const struct tgi_replicas *r, const struct tgi_buffer *b)
{
    return (uint32_t)(b - r->space->buffers);
}

static inline bool tgi_replica_is_there(const struct tgi_buffer *b, uint32_t index)
{
    return !b->present || b->present[index];
}

/* The pieces of a tile: their number, and the first. */
static inline uint32_t tgi_replica_pieces_of(const struct tgi_replicas *r, uint32_t tile, uint32_t *n_p)
{
    if (!r->first_piece) {
        *n_p = 1;
        return tile;
    }
    *n_p = r->first_piece[tile + 1] - r->first_piece[tile];
    return r->first_piece[tile];
}

static inline struct tgi_stamp *tgi_replica_ready(struct tgi_replicas *r, uint32_t node, uint32_t piece)
{
    return node == TGI_HOST_NODE ? &r->host_ready[piece] : &r->device[node - 1].ready[piece];
}

/* replica.c */
/* n times none; NULL: no memory. */
struct tgi_stamp *tgi_replica_no_stamps(uint32_t n);

/* replica_piece.c */
/* What the graph and its bodies address makes pieces, and buffers whole.  False: no memory. */
bool tgi_replica_make_pieces(struct tgi_replicas *r, const struct tg_graph *graph);
/* Offset and length of a piece within its tile. */
void tgi_replica_piece_span(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece,
                            uint64_t *offset_p, uint64_t *bytes_p);
/* Call fn for every piece of (the rows of) a tile, of an argument, until it answers something but 0.  rows NULL: all. */
typedef int (*tgi_replica_piece_fn)(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece,
                                    void *user);
int tgi_replica_for_tile(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, const struct tgi_range *rows,
                         tgi_replica_piece_fn fn, void *user);
int tgi_replica_for_pieces(struct tgi_replicas *r, uint64_t word, tgi_replica_piece_fn fn, void *user);

/* replica_block.c */
uint64_t tgi_replica_block_bytes(const struct tgi_replicas *r, const struct tgi_buffer *b);
/* The buffer a block belongs to, and which of its tiles are in it. */
const struct tgi_buffer *tgi_replica_of_block(const struct tgi_replicas *r, uint32_t block, uint32_t *first_p,
                                              uint32_t *n_p);
/* Offset of a tile in the block of a whole buffer: as on the host, where present tiles follow each other. */
uint64_t tgi_replica_tile_offset(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile);
/* The block of a tile, and the tile's address on a node; every task asks for each of its tiles. */
static inline uint32_t tgi_replica_block_of(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile)
{
    uint32_t buffer = tgi_replica_buffer(r, b);
    return r->first_block[buffer] + (r->is_whole[buffer] ? 0 : tile - b->first_tile);
}
static inline uint64_t tgi_replica_address(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t node)
{
    if (node == TGI_HOST_NODE)
        return (uint64_t)(uintptr_t)r->store->tile[tile];
    uint64_t block = r->device[node - 1].blocks[tgi_replica_block_of(r, b, tile)].address;
    return r->is_whole[tgi_replica_buffer(r, b)] ? block + tgi_replica_tile_offset(r, b, tile) : block;
}
/* Where a whole tile of a device is kept; NULL: the operand is more or less than that, and looked up piece by piece. */
static inline const struct tgi_replica_spot *tgi_replica_spot_of(const struct tgi_replicas *r, const struct tgi_operand *o)
{
    if (o->node == TGI_HOST_NODE || tgi_word_range(o->word)) /* as that of TGI_WORD_NULL is */
        return NULL;
    const struct tgi_replica_spot *s = &r->spots[tgi_word_tile(o->word)];
    return s->block == TG_NONE ? NULL : s;
}
/* Whether an operand takes memory of a device, and which block it is of. */
static inline bool tgi_replica_needs_block(const struct tgi_operand *o)
{
    return o->node != TGI_HOST_NODE && o->access != TG_SCALAR && o->word != TGI_WORD_NULL;
}
static inline uint32_t tgi_replica_operand_block(const struct tgi_replicas *r, const struct tgi_operand *o,
                                                 const struct tgi_buffer **b_p)
{
    uint32_t tile = tgi_word_tile(o->word);
    *b_p = tgi_space_buffer_of(r->space, tile);
    return tgi_replica_block_of(r, *b_p, tile);
}
/* The list by use: a block that has got memory, loses it, is used. */
static inline void tgi_replica_unlist(struct tgi_replica_device *d, uint32_t i)
{
    struct tgi_replica_block *b = &d->blocks[i];
    if (b->newer == TG_NONE)
        d->newest = b->older;
    else
        d->blocks[b->newer].older = b->older;
    if (b->older == TG_NONE)
        d->oldest = b->newer;
    else
        d->blocks[b->older].newer = b->newer;
}

static inline void tgi_replica_list(struct tgi_replica_device *d, uint32_t i)
{
    struct tgi_replica_block *b = &d->blocks[i];
    b->newer = TG_NONE;
    b->older = d->newest;
    if (d->newest == TG_NONE)
        d->oldest = i;
    else
        d->blocks[d->newest].newer = i;
    d->newest = i;
}

static inline void tgi_replica_touch(struct tgi_replica_device *d, uint32_t i)
{
    if (d->newest == i)
        return;
    tgi_replica_unlist(d, i);
    tgi_replica_list(d, i);
}
/* Which lanes have used a block: a bit each, and the lane a bit stands for on device `device`. */
static inline void tgi_replica_add_user(struct tgi_replicas *r, uint32_t device, uint32_t block, uint32_t lane)
{
    _Static_assert(TGI_LANES_EACH + TGI_MAX_DEVICES * TGI_PEER_LANES <= 64, "a bit for each lane");
    uint32_t i = lane - tgi_lane_of(device, 0);
    if (i >= TGI_LANES_EACH) /* of another device */
        i = TGI_LANES_EACH + tgi_lane_device(lane) * TGI_PEER_LANES + lane % TGI_LANES_EACH - TGI_LANE_PEER;
    r->device[device].blocks[block].users |= (uint64_t)1 << i;
}
uint32_t tgi_replica_user_lane(uint32_t device, uint32_t i);
/* A block that gets memory remembers what that was used for: its parts may come into use one by one.  False: no memory. */
bool tgi_replica_fence_make(struct tgi_replicas *r, struct tgi_replica_device *d, struct tgi_replica_block *b);
void tgi_replica_fence_add(const struct tgi_replicas *r, struct tgi_replica_block *b, struct tgi_waits *waits);
void tgi_replica_fence_drop(struct tgi_replica_block *b);

/* replica_copy.c */
/* Of a recorded run: what the device's memory is used for has changed. */
void tgi_replica_log_usage(struct tgi_replicas *r, uint32_t device);
int tgi_replica_copy_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, uint32_t from,
                           uint32_t to, struct tg_error *err);
/* From the nearest valid replica; nothing where there is none or the piece is valid already. */
int tgi_replica_make_valid(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, uint32_t node,
                           struct tg_error *err);

/* replica_evict.c */
/* Memory for all operands and their scratch, or an error.  What fits may not find its place among what is there already: then
 * everything moves. */
int tgi_replica_reserve(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                        struct tgi_waits *waits, struct tg_error *err);

/* Memory for a block where that costs nobody else's.  TG_E_NO_MEMORY: there is none. */
int tgi_replica_try_block(struct tgi_replicas *r, uint32_t device, uint32_t block, uint64_t bytes, struct tg_error *err);

#endif
