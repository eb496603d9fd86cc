/* Copies between memories: from where, on which lane, after what. */
#include "mem/replica_state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "mem/hostops.h"

/* The lane that moves data from one node to another.  Two lanes take turns, so that what follows one copy, an event, does not
 * keep the next one.  Between devices the source's: it writes to the other one, which is the faster way along a link that
 * answers reads one by one. */
static uint32_t copy_lane(struct tgi_replicas *r, uint32_t from, uint32_t to)
{
    bool is_second = r->n_turns++ % 2;
    if (from == TGI_HOST_NODE)
        return tgi_lane_of(to - 1, is_second ? TGI_LANE_IN_TOO : TGI_LANE_IN);
    if (to == TGI_HOST_NODE)
        return tgi_lane_of(from - 1, is_second ? TGI_LANE_OUT_TOO : TGI_LANE_OUT);
    return tgi_lane_of(from - 1, TGI_LANE_PEER + is_second);
}
_Static_assert(TGI_PEER_LANES == 2, "two lanes take turns");

static void count_copy(struct tgi_replicas *r, uint32_t from, uint32_t to, uint64_t bytes)
{
    if (from == to) /* on the device itself: nothing is moved */
        return;
    r->stats.n_copies++;
    if (from != TGI_HOST_NODE)
        r->stats.out_bytes[from - 1] += bytes;
    if (to != TGI_HOST_NODE)
        r->stats.in_bytes[to - 1] += bytes;
    *(from == TGI_HOST_NODE ? &r->stats.to_device_bytes
      : to == TGI_HOST_NODE ? &r->stats.to_host_bytes
                            : &r->stats.peer_bytes) += bytes;
}

static void log_copy(struct tgi_replicas *r, const struct tgi_transfer *t, uint32_t tile)
{
    struct tgi_copy copy = {t->bytes, r->owner, t->from_node, t->to_node, tile};
    if (!r->is_logged || t->from_node == t->to_node)
        return;
    if (tgi_vec_reserve(&r->copies, &r->cap_copies, (uint64_t)r->n_copies + 1, sizeof *r->copies))
        r->copies[r->n_copies++] = copy;
    if (r->told && !r->live_devices) /* what is recorded has not happened */
        r->told(r->told_user, &copy);
}

/* A copy that is recorded is the driver's affair at each replay. */
static bool is_staged(const struct tgi_replicas *r, const struct tgi_transfer *t, uint32_t tile)
{
    bool is_between = (t->from_node == TGI_HOST_NODE) != (t->to_node == TGI_HOST_NODE);
    return r->staging && !r->live_devices && is_between && t->bytes >= TGI_STAGING_LEAST_BYTES &&
           r->is_pageable[tgi_replica_buffer(r, tgi_space_buffer_of(r->space, tile))];
}

/* Enqueues a copy of (a part of) a tile from one place to another on `lane`, after `waits`. */
static int transfer(struct tgi_replicas *r, uint32_t lane, const struct tgi_transfer *t, uint32_t tile,
                    struct tgi_waits *waits, struct tgi_stamp *stamp_p, struct tg_error *err)
{
    int rc = tgi_order_wait_all(r->order, lane, waits->stamps, waits->n, err);
    if (rc == 0)
        rc = is_staged(r, t, tile) ? tgi_staging_copy(r->staging, lane, t, err) : r->devices->ops->copy(r->devices, lane, t, err);
    if (rc)
        return rc;
    *stamp_p = tgi_order_append(r->order, lane);
    count_copy(r, t->from_node, t->to_node, t->bytes);
    log_copy(r, t, tile);
    return 0;
}

static void add_users(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t from, uint32_t to,
                      uint32_t lane)
{
    uint32_t block = tgi_replica_block_of(r, b, tile);
    if (from != TGI_HOST_NODE)
        tgi_replica_add_user(r, from - 1, block, lane);
    if (to != TGI_HOST_NODE)
        tgi_replica_add_user(r, to - 1, block, lane);
}

/* What the tile begins with, instead of a copy of it.  A pattern is several commands: of one that fails a part may be in the lane, which is
 * counted all the same so that whoever gives the memory back waits for it. */
static int fill(struct tgi_replicas *r, uint32_t lane, const struct tgi_buffer *b, const struct tgi_transfer *t, struct tgi_waits *waits,
                struct tgi_stamp *stamp_p, struct tg_error *err)
{
    uint64_t word = 0;
    if (b->init == TG_INIT_FILL)
        tgi_host_encode_float(b->dtype, b->init_value, &word); /* it can: tgi_replicas_begins_alike() */
    int rc = tgi_order_wait_all(r->order, lane, waits->stamps, waits->n, err);
    if (rc)
        return rc;
    rc = r->devices->ops->fill(r->devices, lane, t->to, t->bytes / tg_dtype_size(b->dtype), b->dtype, word, err);
    *stamp_p = tgi_order_append(r->order, lane);
    return rc;
}

int tgi_replica_copy_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, uint32_t from,
                           uint32_t to, struct tg_error *err)
{
    uint64_t offset, bytes;
    uint32_t lane = copy_lane(r, from, to);
    tgi_replica_piece_span(r, b, tile, piece, &offset, &bytes);
    struct tgi_transfer t = {to, from, tgi_replica_address(r, b, tile, to) + offset,
                             tgi_replica_address(r, b, tile, from) + offset, bytes};
    struct tgi_stamp stamp;
    struct tgi_waits waits;
    waits.n = 0;
    if (to != TGI_HOST_NODE)
        tgi_replica_fence_add(r, &r->device[to - 1].blocks[tgi_replica_block_of(r, b, tile)], &waits);
    tgi_waits_add(r->order, &waits, r->floor);
    /* An older version may still be on its way to the same place: it was written back. */
    tgi_waits_add(r->order, &waits, *tgi_replica_ready(r, to, piece));
    tgi_waits_add(r->order, &waits, *tgi_replica_ready(r, from, piece));
    bool is_blank = from == TGI_HOST_NODE && r->pieces[piece].valid & TGI_REPLICA_BLANK;
    int rc = is_blank ? fill(r, lane, b, &t, &waits, &stamp, err) : transfer(r, lane, &t, tile, &waits, &stamp, err);
    if (rc && is_blank) /* a part of it may have been enqueued */
        add_users(r, b, tile, from, to, lane);
    if (rc)
        return rc;
    *tgi_replica_ready(r, to, piece) = stamp;
    r->pieces[piece].valid |= tgi_node_bit(to);
    r->n_changes++;
    if (r->pieces[piece].spilled & tgi_node_bit(to))
        r->stats.spilled_bytes += bytes;
    r->pieces[piece].spilled &= ~tgi_node_bit(to);
    add_users(r, b, tile, from, to, lane);
    /* Whoever it was made for waits for it soon, and more copies may follow at once. */
    return tgi_order_seal(r->order, lane, err);
}

/* The nearest valid replica: a device that can be reached, else the host; TG_NONE: only a device that cannot. */
static uint32_t nearest(const struct tgi_replicas *r, uint32_t valid, uint32_t to)
{
    if (to == TGI_HOST_NODE)
        return (uint32_t)__builtin_ctz(valid);
    const struct tgi_device_info *info = &r->devices->info[to - 1];
    for (uint32_t i = 0; i < r->devices->n_devices; i++) {
        /* Starting from the neighbour, so that not everybody pulls from the first. */
        uint32_t d = (to - 1 + i) % r->devices->n_devices;
        if (valid & tgi_node_bit(d + 1) && info->has_peer[d])
            return d + 1;
    }
    return valid & tgi_node_bit(TGI_HOST_NODE) ? TGI_HOST_NODE : TG_NONE;
}

int tgi_replica_make_valid(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, uint32_t node,
                           struct tg_error *err)
{
    uint32_t valid = r->pieces[piece].valid;
    if (valid == 0 || valid & tgi_node_bit(node))
        return 0; /* nobody has ever written it: whatever is there will do */
    uint32_t from = valid & TGI_REPLICA_BLANK ? TGI_HOST_NODE : nearest(r, valid, node);
    if (from == TG_NONE) { /* through the host */
        int rc = tgi_replica_copy_piece(r, b, tile, piece, (uint32_t)__builtin_ctz(valid), TGI_HOST_NODE, err);
        if (rc)
            return rc;
        from = TGI_HOST_NODE;
    }
    return tgi_replica_copy_piece(r, b, tile, piece, from, node, err);
}

/* ---- Copy tasks ---------------------------------------------------------------------------*/

struct common {
    uint32_t valid; /* nodes where all pieces are */
    uint32_t want;
    struct tgi_waits waits; /* for the replica on `want` */
};

static int common_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    struct common *c = user;
    (void)b, (void)tile;
    c->valid &= r->pieces[piece].valid;
    if (c->want != TG_NONE)
        tgi_waits_add(r->order, &c->waits, *tgi_replica_ready(r, c->want, piece));
    return 0;
}

static uint64_t word_bytes(const struct tgi_replicas *r, uint64_t word)
{
    const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tgi_word_tile(word));
    uint32_t range = tgi_word_range(word);
    if (range == TGI_WORD_ALL)
        return b->tile_bytes * b->n_present;
    return range ? (r->space->ranges[range - 1].end - r->space->ranges[range - 1].begin) * b->row_bytes : b->tile_bytes;
}

/* Whether a transfer from node to node goes directly. */
static bool is_direct(const struct tgi_replicas *r, uint32_t from, uint32_t to)
{
    return from == to || from == TGI_HOST_NODE || to == TGI_HOST_NODE || r->devices->info[to - 1].has_peer[from - 1];
}

int tgi_replicas_copy(struct tgi_replicas *r, struct tgi_operand *to, struct tgi_operand *from, uint32_t lane,
                      struct tgi_waits *waits, bool *is_enqueued_p, struct tgi_stamp *stamp_p, struct tg_error *err)
{
    struct common c = {UINT32_MAX, TG_NONE, {0}};
    tgi_replica_for_pieces(r, from->word, common_piece, &c);
    /* A device addresses a range of tiles as one block only where it is one. */
    uint32_t source = to->node;
    if (!(c.valid & tgi_node_bit(to->node))) {
        uint32_t candidates = c.valid & ~TGI_REPLICA_BLANK;
        for (uint32_t node = 0; node <= r->devices->n_devices; node++)
            if (!is_direct(r, node, to->node))
                candidates &= ~tgi_node_bit(node);
        source = candidates ? (candidates & ~tgi_node_bit(TGI_HOST_NODE)
                                   ? (uint32_t)__builtin_ctz(candidates & ~tgi_node_bit(TGI_HOST_NODE))
                                   : TGI_HOST_NODE)
                            : to->node;
    }
    from->node = source;
    struct tgi_operand both[2] = {*to, *from};
    tgi_waits_add(r->order, waits, r->floor);
    int rc = tgi_replicas_acquire(r, both, 2, waits, err);
    *to = both[0];
    *from = both[1];
    *is_enqueued_p = to->node != TGI_HOST_NODE || from->node != TGI_HOST_NODE;
    if (rc || !*is_enqueued_p)
        return rc;
    if (from->node != to->node)
        lane = copy_lane(r, from->node, to->node);
    struct tgi_transfer t = {to->node, from->node, to->address, from->address, word_bytes(r, to->word)};
    rc = transfer(r, lane, &t, tgi_word_tile(to->word), waits, stamp_p, err);
    if (rc)
        return rc;
    both[0] = *to, both[1] = *from;
    tgi_replicas_publish(r, both, 2, *stamp_p);
    return tgi_order_seal(r->order, lane, err);
}

/* ---- The list of copies --------------------------------------------------------------------*/

void tgi_replica_log_usage(struct tgi_replicas *r, uint32_t device)
{
    struct timespec now;
    if (!r->is_logged || !tgi_vec_reserve(&r->usages, &r->cap_usages, (uint64_t)r->n_usages + 1, sizeof *r->usages))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    r->usages[r->n_usages++] =
        (struct tgi_usage){(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, r->device[device].in_use_bytes, device};
}

void tgi_replicas_log(struct tgi_replicas *r, bool is_wanted)
{
    r->is_logged = is_wanted;
    r->n_copies = r->n_usages = 0;
    r->owner = UINT64_MAX;
    for (uint32_t i = 0; i < r->devices->n_devices; i++)
        tgi_replica_log_usage(r, i);
}

void tgi_replicas_tell(struct tgi_replicas *r, void (*told)(void *user, const struct tgi_copy *copy), void *user)
{
    r->told = told;
    r->told_user = user;
}

const struct tgi_usage *tgi_replicas_usages(const struct tgi_replicas *r, uint32_t *n_p)
{
    *n_p = r->n_usages;
    return r->usages;
}

int tgi_replicas_keep_copies(const struct tgi_replicas *r, struct tgi_copy **copies_p, uint32_t *n_p, struct tg_error *err)
{
    uint32_t n = r->n_copies - r->n_live_copies;
    struct tgi_copy *copies = malloc(((size_t)n + 1) * sizeof *copies);
    if (!copies)
        return tgi_error_memory(err, "recording a run");
    if (n)
        memcpy(copies, r->copies + r->n_live_copies, n * sizeof *copies);
    *copies_p = copies;
    *n_p = n;
    return 0;
}

void tgi_replicas_log_again(struct tgi_replicas *r, const struct tgi_copy *copies, uint32_t n)
{
    for (uint32_t i = 0; r->is_logged && r->told && i < n; i++)
        r->told(r->told_user, &copies[i]);
    if (n == 0 || !r->is_logged || !tgi_vec_reserve(&r->copies, &r->cap_copies, (uint64_t)r->n_copies + n, sizeof *r->copies))
        return;
    memcpy(r->copies + r->n_copies, copies, n * sizeof *copies);
    r->n_copies += n;
}

void tgi_replicas_copies_for(struct tgi_replicas *r, uint64_t owner) { r->owner = owner; }

const struct tgi_copy *tgi_replicas_copies(const struct tgi_replicas *r, uint32_t *n_p)
{
    *n_p = r->n_copies;
    return r->copies;
}
