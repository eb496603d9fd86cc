/* See replica.h. */
#include "mem/replica.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/error.h"
#include "graph/vec.h"

/* ---- Structures ---------------------------------------------------------------------------*/

struct piece {
    uint32_t valid; /* bit per node */
    uint32_t spilled; /* bit per node: was valid there until memory was short */
};

/* Memory of a tile, or of all tiles of a buffer that is addressed as a whole, on one device. */
struct block {
    uint64_t address;   /* 0: none */
    uint64_t users;     /* lanes that used it: bits 0.. the device's own, from TGI_LANES_EACH on who pulled from it */
    uint32_t serial;    /* of the acquire that wants it to stay */
    uint32_t newer, older; /* by use, TG_NONE: none */
    bool is_lent;          /* to the program: stays where it is */
    struct fence *fence;   /* whoever uses any part of it first comes after this; NULL: nothing to wait for */
};

/* What former users of a block's memory had enqueued when they lost it. */
struct fence {
    uint32_t n;
    struct tgi_stamp stamps[];
};

struct device {
    struct block *blocks; /* by block number */
    struct tgi_stamp *ready; /* by piece: what makes the replica valid */
    uint32_t newest, oldest;
    struct tgi_waits *fences; /* for who gets memory that others used, of this run or another */
    uint64_t in_use_bytes, peak_bytes;
};

struct tgi_replicas {
    const struct tgi_space *space;
    struct tgi_store *store;
    struct tgi_devices *devices;
    struct tgi_order *order;
    struct tgi_pool *const *pools;
    /* pieces of tile t: first_piece[t] .. first_piece[t + 1]; NULL: tile and piece are the same number */
    uint32_t *first_piece;
    uint32_t *piece_row;   /* by piece: its first row; NULL like first_piece */
    uint32_t n_pieces, n_blocks;
    uint32_t *first_block; /* by buffer */
    uint8_t *is_whole;     /* by buffer: one block */
    struct piece *pieces;
    struct tgi_stamp *host_ready; /* by piece */
    struct device *device;
    uint32_t serial;
    uint32_t n_peer_copies;
    bool has_lent;
    struct tgi_replica_stats stats;
    bool is_logged;
    uint64_t owner;          /* of the copies to come */
    struct tgi_copy *copies; /* since is_logged was set */
    uint32_t n_copies, cap_copies;
    struct tgi_usage *usages;
    uint32_t n_usages, cap_usages;
};

static inline uint32_t bit(uint32_t node) { return 1u << node; }

static uint32_t buffer_index(const struct tgi_replicas *r, const struct tgi_buffer *b)
{
    return (uint32_t)(b - r->space->buffers);
}

static bool is_there(const struct tgi_buffer *b, uint32_t index) { return !b->present || b->present[index]; }

/* ---- Pieces -------------------------------------------------------------------------------*/

struct cut {
    uint32_t tile, row;
};

static int compare_cuts(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    if (x->tile != y->tile)
        return x->tile < y->tile ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

struct cuts {
    struct cut *cuts;
    uint32_t n, cap;
};

static bool cuts_add(struct cuts *c, uint32_t tile, uint32_t row)
{
    if (!tgi_vec_reserve(&c->cuts, &c->cap, (uint64_t)c->n + 1, sizeof *c->cuts))
        return false;
    c->cuts[c->n++] = (struct cut){tile, row};
    return true;
}

/* What one graph addresses: rows cut tiles, [*] makes a buffer whole. */
static bool scan_graph(struct tgi_replicas *r, const struct tg_graph *g, struct cuts *cuts)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        uint32_t n = tgi_graph_n_words(g, t);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t word = g->args[g->nodes[t].args + i];
            uint32_t range = tgi_word_range(word);
            if (op->params[i].access == TG_SCALAR || word == TGI_WORD_NULL || range == 0)
                continue;
            const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tgi_word_tile(word));
            if (range == TGI_WORD_ALL) {
                r->is_whole[buffer_index(r, b)] = 1;
                continue;
            }
            const struct tgi_range *rows = &r->space->ranges[range - 1];
            if (!cuts_add(cuts, tgi_word_tile(word), rows->begin) || !cuts_add(cuts, tgi_word_tile(word), rows->end))
                return false;
        }
    }
    return true;
}

static bool scan(struct tgi_replicas *r, const struct tg_graph *graph, struct cuts *cuts)
{
    bool ok = scan_graph(r, graph, cuts);
    for (uint32_t i = 0; ok && i < r->space->n_ops; i++) {
        const struct tgi_op *op = &r->space->ops[i];
        ok = (!op->body || scan_graph(r, op->body, cuts)) && (!op->body_else || scan_graph(r, op->body_else, cuts));
    }
    return ok;
}

static uint64_t n_rows(const struct tgi_buffer *b)
{
    return b->n_dims ? (uint64_t)b->shape[0] : 1;
}

/* Rows at which a tile is cut, sorted, become the starts of its pieces. */
static bool make_pieces(struct tgi_replicas *r, struct cuts *cuts)
{
    r->n_pieces = r->space->n_tiles;
    if (cuts->n == 0)
        return true;
    qsort(cuts->cuts, cuts->n, sizeof *cuts->cuts, compare_cuts);
    r->first_piece = malloc(((size_t)r->space->n_tiles + 1) * sizeof *r->first_piece);
    r->piece_row = malloc(((size_t)r->space->n_tiles + cuts->n + 1) * sizeof *r->piece_row);
    if (!r->first_piece || !r->piece_row)
        return false;
    uint32_t at = 0, n = 0;
    for (uint32_t t = 0; t < r->space->n_tiles; t++) {
        uint64_t rows = at < cuts->n && cuts->cuts[at].tile == t ? n_rows(tgi_space_buffer_of(r->space, t)) : 0;
        uint32_t last = 0;
        r->first_piece[t] = n;
        r->piece_row[n++] = 0;
        for (; at < cuts->n && cuts->cuts[at].tile == t; at++) {
            uint32_t row = cuts->cuts[at].row;
            if (row > last && row < rows) {
                r->piece_row[n++] = row;
                last = row;
            }
        }
    }
    r->first_piece[r->space->n_tiles] = n;
    r->n_pieces = n;
    return true;
}

static inline uint32_t pieces_of(const struct tgi_replicas *r, uint32_t tile, uint32_t *n_p)
{
    if (!r->first_piece) {
        *n_p = 1;
        return tile;
    }
    *n_p = r->first_piece[tile + 1] - r->first_piece[tile];
    return r->first_piece[tile];
}

/* Offset and length of a piece within its tile. */
static void piece_span(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece,
                       uint64_t *offset_p, uint64_t *bytes_p)
{
    *offset_p = 0;
    *bytes_p = b->tile_bytes;
    if (!r->first_piece || r->first_piece[tile + 1] - r->first_piece[tile] == 1)
        return;
    bool is_last = piece + 1 == r->first_piece[tile + 1];
    *offset_p = r->piece_row[piece] * b->row_bytes;
    *bytes_p = (is_last ? b->tile_bytes : r->piece_row[piece + 1] * b->row_bytes) - *offset_p;
}

/* ---- Memory -------------------------------------------------------------------------------*/

static uint32_t block_of(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile)
{
    uint32_t buffer = buffer_index(r, b);
    return r->first_block[buffer] + (r->is_whole[buffer] ? 0 : tile - b->first_tile);
}

static char *host_address(const struct tgi_replicas *r, uint32_t tile) { return r->store->tile[tile]; }

static uint64_t block_bytes(const struct tgi_replicas *r, const struct tgi_buffer *b)
{
    return r->is_whole[buffer_index(r, b)] ? b->tile_bytes * b->n_present : b->tile_bytes;
}

/* Offset of a tile in its block: as on the host, where present tiles follow each other. */
static uint64_t tile_offset(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile)
{
    if (!r->is_whole[buffer_index(r, b)])
        return 0;
    uint32_t first = b->first_tile;
    while (!r->store->tile[first])
        first++;
    return (uint64_t)(host_address(r, tile) - host_address(r, first));
}

static void list_remove(struct device *d, uint32_t i)
{
    struct block *b = &d->blocks[i];
    if (b->newer == TG_NONE)
        d->newest = b->older;
    else
        d->blocks[b->newer].older = b->older;
    if (b->older == TG_NONE)
        d->oldest = b->newer;
    else
        d->blocks[b->older].newer = b->newer;
}

static void list_push(struct device *d, uint32_t i)
{
    struct block *b = &d->blocks[i];
    b->newer = TG_NONE;
    b->older = d->newest;
    if (d->newest == TG_NONE)
        d->oldest = i;
    else
        d->blocks[d->newest].newer = i;
    d->newest = i;
}

static inline void touch(struct device *d, uint32_t i)
{
    if (d->newest == i)
        return;
    list_remove(d, i);
    list_push(d, i);
}

/* Which lanes a bit of `users` stands for, on device `device`. */
static uint32_t user_lane(uint32_t device, uint32_t i)
{
    if (i < TGI_LANES_EACH)
        return tgi_lane_of(device, i);
    i -= TGI_LANES_EACH;
    return tgi_lane_of(i / TGI_PEER_LANES, TGI_LANE_PEER + i % TGI_PEER_LANES);
}

static void add_user(struct tgi_replicas *r, uint32_t device, uint32_t block, uint32_t lane)
{
    _Static_assert(TGI_LANES_EACH + TGI_MAX_DEVICES * TGI_PEER_LANES <= 64, "a bit for each lane");
    uint32_t owner = tgi_lane_device(lane), which = lane % TGI_LANES_EACH;
    uint32_t i = owner == device ? which : TGI_LANES_EACH + owner * TGI_PEER_LANES + which - TGI_LANE_PEER;
    r->device[device].blocks[block].users |= (uint64_t)1 << i;
}

static const struct tgi_buffer *buffer_of_block(const struct tgi_replicas *r, uint32_t block, uint32_t *first_p,
                                                uint32_t *n_p)
{
    uint32_t low = 0, high = r->space->n_buffers;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (r->first_block[middle] <= block)
            low = middle;
        else
            high = middle;
    }
    const struct tgi_buffer *b = &r->space->buffers[low];
    *first_p = r->is_whole[low] ? b->first_tile : b->first_tile + block - r->first_block[low];
    *n_p = r->is_whole[low] ? b->n_tiles : 1;
    return b;
}

/* ---- Copies -------------------------------------------------------------------------------*/

static inline struct tgi_stamp *ready_of(struct tgi_replicas *r, uint32_t node, uint32_t piece)
{
    return node == TGI_HOST_NODE ? &r->host_ready[piece] : &r->device[node - 1].ready[piece];
}

static uint64_t address_on(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t node)
{
    if (node == TGI_HOST_NODE)
        return (uint64_t)(uintptr_t)host_address(r, tile);
    return r->device[node - 1].blocks[block_of(r, b, tile)].address + tile_offset(r, b, tile);
}

/* The lane that moves data from one node to another. */
static uint32_t copy_lane(struct tgi_replicas *r, uint32_t from, uint32_t to)
{
    if (from == TGI_HOST_NODE)
        return tgi_lane_of(to - 1, TGI_LANE_IN);
    if (to == TGI_HOST_NODE)
        return tgi_lane_of(from - 1, TGI_LANE_OUT);
    return tgi_lane_of(to - 1, TGI_LANE_PEER + r->n_peer_copies++ % TGI_PEER_LANES);
}

/* A block remembers what its memory was used for: its parts may come into use one by one. */
static bool fence_make(struct tgi_replicas *r, struct device *d, struct block *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->fences->n; i++)
        n += !tgi_order_is_done(r->order, d->fences->stamps[i]);
    b->fence = NULL;
    if (n == 0)
        return true;
    b->fence = malloc(sizeof *b->fence + n * sizeof *b->fence->stamps);
    if (!b->fence)
        return false;
    b->fence->n = 0;
    for (uint32_t i = 0; i < d->fences->n; i++)
        if (!tgi_order_is_done(r->order, d->fences->stamps[i]))
            b->fence->stamps[b->fence->n++] = d->fences->stamps[i];
    return true;
}

static void fence_drop(struct block *b)
{
    free(b->fence);
    b->fence = NULL;
}

static void fence_add(const struct tgi_replicas *r, struct block *b, struct tgi_waits *waits)
{
    bool is_over = true;
    if (!b->fence)
        return;
    for (uint32_t i = 0; i < b->fence->n; i++) {
        if (tgi_order_is_done(r->order, b->fence->stamps[i]))
            continue;
        tgi_waits_add(waits, b->fence->stamps[i]);
        is_over = false;
    }
    if (is_over)
        fence_drop(b);
}

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
    if (!r->is_logged || t->from_node == t->to_node)
        return;
    if (tgi_vec_reserve(&r->copies, &r->cap_copies, (uint64_t)r->n_copies + 1, sizeof *r->copies))
        r->copies[r->n_copies++] = (struct tgi_copy){t->bytes, r->owner, t->from_node, t->to_node, tile};
}

/* Enqueues a copy of (a part of) a tile from one place to another on `lane`, after `waits`. */
static int transfer(struct tgi_replicas *r, uint32_t lane, const struct tgi_transfer *t, uint32_t tile, struct tgi_waits *waits,
                    struct tgi_stamp *stamp_p, struct tg_error *err)
{
    int rc = tgi_order_wait_all(r->order, lane, waits->stamps, waits->n, err);
    if (rc == 0)
        rc = r->devices->ops->copy(r->devices, lane, t, err);
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
    uint32_t block = block_of(r, b, tile);
    if (from != TGI_HOST_NODE)
        add_user(r, from - 1, block, lane);
    if (to != TGI_HOST_NODE)
        add_user(r, to - 1, block, lane);
}

static int copy_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, uint32_t from,
                      uint32_t to, struct tg_error *err)
{
    uint64_t offset, bytes;
    uint32_t lane = copy_lane(r, from, to);
    piece_span(r, b, tile, piece, &offset, &bytes);
    struct tgi_transfer t = {to, from, address_on(r, b, tile, to) + offset, address_on(r, b, tile, from) + offset, bytes};
    struct tgi_stamp stamp;
    struct tgi_waits waits;
    waits.n = 0;
    if (to != TGI_HOST_NODE)
        fence_add(r, &r->device[to - 1].blocks[block_of(r, b, tile)], &waits);
    /* An older version may still be on its way to the same place: it was written back. */
    tgi_waits_add(&waits, *ready_of(r, to, piece));
    tgi_waits_add(&waits, *ready_of(r, from, piece));
    int rc = transfer(r, lane, &t, tile, &waits, &stamp, err);
    if (rc)
        return rc;
    *ready_of(r, to, piece) = stamp;
    r->pieces[piece].valid |= bit(to);
    if (r->pieces[piece].spilled & bit(to))
        r->stats.spilled_bytes += bytes;
    r->pieces[piece].spilled &= ~bit(to);
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
        if (valid & bit(d + 1) && info->has_peer[d])
            return d + 1;
    }
    return valid & bit(TGI_HOST_NODE) ? TGI_HOST_NODE : TG_NONE;
}

static int make_valid(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, uint32_t node,
                      struct tg_error *err)
{
    uint32_t valid = r->pieces[piece].valid;
    if (valid == 0 || valid & bit(node))
        return 0; /* nobody has ever written it: whatever is there will do */
    uint32_t from = nearest(r, valid, node);
    if (from == TG_NONE) { /* through the host */
        int rc = copy_piece(r, b, tile, piece, (uint32_t)__builtin_ctz(valid), TGI_HOST_NODE, err);
        if (rc)
            return rc;
        from = TGI_HOST_NODE;
    }
    return copy_piece(r, b, tile, piece, from, node, err);
}

/* ---- Eviction -----------------------------------------------------------------------------*/

static int write_back(struct tgi_replicas *r, uint32_t device, uint32_t block, struct tg_error *err)
{
    uint32_t first, n, node = device + 1;
    const struct tgi_buffer *b = buffer_of_block(r, block, &first, &n);
    for (uint32_t t = first; t < first + n; t++) {
        uint32_t n_pieces, piece = pieces_of(r, t, &n_pieces);
        for (uint32_t p = piece; p < piece + n_pieces; p++) {
            if (r->pieces[p].valid != bit(node) || !is_there(b, t - b->first_tile))
                continue;
            uint64_t offset, bytes;
            int rc = copy_piece(r, b, t, p, node, TGI_HOST_NODE, err);
            if (rc)
                return rc;
            piece_span(r, b, t, p, &offset, &bytes);
            r->stats.spilled_bytes += bytes;
        }
    }
    return 0;
}

/* Gives a block's memory back.  Whoever gets it waits for everybody who used it. */
static void log_usage(struct tgi_replicas *r, uint32_t device)
{
    struct timespec now;
    if (!r->is_logged || !tgi_vec_reserve(&r->usages, &r->cap_usages, (uint64_t)r->n_usages + 1, sizeof *r->usages))
        return;
    clock_gettime(CLOCK_MONOTONIC, &now);
    r->usages[r->n_usages++] =
        (struct tgi_usage){(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, r->device[device].in_use_bytes, device};
}

static void block_free(struct tgi_replicas *r, uint32_t device, uint32_t i, bool is_spill)
{
    struct device *d = &r->device[device];
    struct block *block = &d->blocks[i];
    uint32_t first, n;
    const struct tgi_buffer *b = buffer_of_block(r, i, &first, &n);
    for (uint32_t t = first; t < first + n; t++) {
        uint32_t n_pieces, piece = pieces_of(r, t, &n_pieces);
        for (uint32_t p = piece; p < piece + n_pieces; p++) {
            if (is_spill && r->pieces[p].valid & bit(device + 1))
                r->pieces[p].spilled |= bit(device + 1);
            r->pieces[p].valid &= ~bit(device + 1);
        }
    }
    for (uint64_t users = block->users; users; users &= users - 1)
        tgi_waits_add(d->fences, tgi_order_tail(r->order, user_lane(device, (uint32_t)__builtin_ctzll(users))));
    list_remove(d, i);
    fence_drop(block);
    tgi_pool_free(r->pools[device], block->address);
    block->address = 0;
    block->users = 0;
    d->in_use_bytes -= block_bytes(r, b);
    log_usage(r, device);
}

/* Evicts the least recently used block that the task at hand does not need; false: there is none. */
static int evict_one(struct tgi_replicas *r, uint32_t device, bool *found_p, struct tg_error *err)
{
    struct device *d = &r->device[device];
    uint32_t i = d->oldest;
    while (i != TG_NONE && (d->blocks[i].serial == r->serial || d->blocks[i].is_lent))
        i = d->blocks[i].newer;
    *found_p = i != TG_NONE;
    if (i == TG_NONE)
        return 0;
    int rc = write_back(r, device, i, err);
    if (rc)
        return rc;
    block_free(r, device, i, true);
    r->stats.n_evictions++;
    return 0;
}

/* *is_full_p: there is no room and nothing more that could go. */
static int block_alloc(struct tgi_replicas *r, uint32_t device, uint32_t i, uint64_t bytes, bool *is_full_p,
                       struct tg_error *err)
{
    struct device *d = &r->device[device];
    uint64_t address = 0;
    bool found = true;
    int rc = tgi_pool_try_alloc(r->pools[device], bytes, &address) ? 0
                                                                  : tgi_pool_alloc(r->pools[device], bytes, &address, err);
    while (rc == TG_E_NO_MEMORY && found) {
        struct tg_error ignored;
        int answer = evict_one(r, device, &found, err);
        if (answer)
            return answer;
        if (found && tgi_pool_try_alloc(r->pools[device], bytes, &address))
            rc = 0;
        else if (!found)
            *is_full_p = (rc = tgi_pool_alloc(r->pools[device], bytes, &address, &ignored)) == TG_E_NO_MEMORY;
    }
    if (rc)
        return rc;
    d->blocks[i] = (struct block){address, 0, r->serial, TG_NONE, TG_NONE, false, NULL};
    if (!fence_make(r, d, &d->blocks[i])) {
        tgi_pool_free(r->pools[device], address);
        d->blocks[i].address = 0;
        return tgi_error_memory(err, "reserving a task's data");
    }
    list_push(d, i);
    d->in_use_bytes += bytes;
    d->peak_bytes = d->in_use_bytes > d->peak_bytes ? d->in_use_bytes : d->peak_bytes;
    log_usage(r, device);
    return 0;
}

/* ---- Acquiring ----------------------------------------------------------------------------*/

static uint32_t operand_block(const struct tgi_replicas *r, const struct tgi_operand *o, const struct tgi_buffer **b_p)
{
    uint32_t tile = tgi_word_tile(o->word);
    *b_p = tgi_space_buffer_of(r->space, tile);
    return block_of(r, *b_p, tile);
}

static bool needs_block(const struct tgi_operand *o)
{
    return o->node != TGI_HOST_NODE && o->access != TG_SCALAR && o->word != TGI_WORD_NULL;
}

static int try_reserve(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, bool *is_full_p,
                       struct tg_error *err)
{
    const struct tgi_buffer *b;
    *is_full_p = false;
    r->serial++;
    for (uint32_t i = 0; i < n; i++) {
        if (!needs_block(&operands[i]))
            continue;
        struct device *d = &r->device[operands[i].node - 1];
        uint32_t block = operand_block(r, &operands[i], &b);
        d->blocks[block].serial = r->serial;
        if (d->blocks[block].address)
            touch(d, block);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!needs_block(&operands[i]))
            continue;
        uint32_t device = operands[i].node - 1, block = operand_block(r, &operands[i], &b);
        struct block *at = &r->device[device].blocks[block];
        int rc = at->address ? 0 : block_alloc(r, device, block, block_bytes(r, b), is_full_p, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* What operands need on one device, as the pool counts. */
static uint64_t footprint(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, uint32_t device)
{
    const struct tgi_buffer *b;
    uint64_t total = 0;
    r->serial++;
    for (uint32_t i = 0; i < n; i++) {
        if (!needs_block(&operands[i]) || operands[i].node != device + 1)
            continue;
        struct block *at = &r->device[device].blocks[operand_block(r, &operands[i], &b)];
        total += at->serial == r->serial ? 0 : tgi_pool_rounded(r->pools[device], block_bytes(r, b));
        at->serial = r->serial;
    }
    return total;
}

/* All that the run has on a device goes, so that what is free is in one piece. */
static int clear_device(struct tgi_replicas *r, uint32_t device, struct tg_error *err)
{
    bool found = true;
    int rc = 0;
    r->serial++;
    while (rc == 0 && found)
        rc = evict_one(r, device, &found, err);
    return rc;
}

/* Reservations that are each too small make place for one that is not. */
static int regroup(struct tgi_replicas *r, uint32_t device, uint64_t bytes, struct tg_error *err)
{
    const struct tgi_waits *fences = r->device[device].fences;
    uint64_t address;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < fences->n; i++)
        rc = tgi_order_synchronize(r->order, fences->stamps[i], err);
    if (rc)
        return rc;
    tgi_pool_trim(r->pools[device], 0);
    rc = tgi_pool_alloc(r->pools[device], bytes, &address, err);
    if (rc == 0)
        tgi_pool_free(r->pools[device], address);
    return rc;
}

/* Memory for all operands, or an error.  What fits may not find its place among what is there already: then
 * everything moves. */
static int reserve(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_waits *waits,
                   struct tg_error *err)
{
    const struct tgi_buffer *b;
    bool is_full;
    int rc = try_reserve(r, operands, n, &is_full, err);
    for (int step = 0; is_full && step < 2; step++) {
        int answer = 0;
        for (uint32_t d = 0; answer == 0 && d < r->devices->n_devices; d++) {
            uint64_t bytes = footprint(r, operands, n, d);
            answer = bytes ? clear_device(r, d, err) : 0;
            if (answer == 0 && bytes && step == 1)
                answer = regroup(r, d, bytes, err);
        }
        if (answer)
            return answer;
        rc = try_reserve(r, operands, n, &is_full, err);
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (needs_block(&operands[i]))
            fence_add(r, &r->device[operands[i].node - 1].blocks[operand_block(r, &operands[i], &b)], waits);
    return rc;
}

/* Calls fn for every piece of an operand until it answers something but 0. */
typedef int (*piece_fn)(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user);

static int for_tile(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, const struct tgi_range *rows,
                    piece_fn fn, void *user)
{
    uint32_t n, first = pieces_of(r, tile, &n);
    for (uint32_t p = first; p < first + n; p++) {
        if (rows && n > 1 && (r->piece_row[p] < rows->begin || r->piece_row[p] >= rows->end))
            continue;
        int rc = fn(r, b, tile, p, user);
        if (rc)
            return rc;
    }
    return 0;
}

static int for_pieces(struct tgi_replicas *r, uint64_t word, piece_fn fn, void *user)
{
    uint32_t tile = tgi_word_tile(word), range = tgi_word_range(word);
    if (word == TGI_WORD_NULL)
        return 0;
    const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tile);
    if (range != TGI_WORD_ALL)
        return for_tile(r, b, tile, range ? &r->space->ranges[range - 1] : NULL, fn, user);
    for (uint32_t i = 0; i < b->n_tiles; i++) {
        int rc = is_there(b, i) ? for_tile(r, b, b->first_tile + i, NULL, fn, user) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

struct fetch {
    uint32_t node;
    bool reads;
    struct tgi_waits *waits;
    struct tg_error *err;
};

static int fetch_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct fetch *f = user;
    int rc = f->reads ? make_valid(r, b, tile, piece, f->node, f->err) : 0;
    /* Also of a replica that is not valid: what was copied there may still be on its way. */
    if (rc == 0)
        tgi_waits_add(f->waits, *ready_of(r, f->node, piece));
    return rc;
}

static uint64_t operand_address(const struct tgi_replicas *r, const struct tgi_operand *o)
{
    if (o->access == TG_SCALAR || o->word == TGI_WORD_NULL)
        return 0;
    uint32_t tile = tgi_word_tile(o->word), range = tgi_word_range(o->word);
    const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tile);
    uint64_t offset = range && range != TGI_WORD_ALL ? r->space->ranges[range - 1].begin * b->row_bytes : 0;
    return address_on(r, b, tile, o->node) + offset;
}

int tgi_replicas_acquire(struct tgi_replicas *r, struct tgi_operand *operands, uint32_t n, struct tgi_waits *waits,
                         struct tg_error *err)
{
    int rc = reserve(r, operands, n, waits, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        if (operands[i].access == TG_SCALAR)
            continue;
        struct fetch f = {operands[i].node, operands[i].access != TG_OUT, waits, err};
        rc = for_pieces(r, operands[i].word, fetch_piece, &f);
        operands[i].address = operand_address(r, &operands[i]);
    }
    return rc;
}

struct publish {
    uint32_t node;
    struct tgi_stamp stamp;
};

static int publish_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct publish *p = user;
    (void)b, (void)tile;
    r->pieces[piece] = (struct piece){bit(p->node), 0};
    *ready_of(r, p->node, piece) = p->stamp;
    return 0;
}

void tgi_replicas_used(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, uint32_t lane)
{
    const struct tgi_buffer *b;
    for (uint32_t i = 0; i < n; i++)
        if (needs_block(&operands[i]))
            add_user(r, operands[i].node - 1, operand_block(r, &operands[i], &b), lane);
}

void tgi_replicas_publish(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_stamp stamp)
{
    const struct tgi_buffer *b;
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_operand *o = &operands[i];
        if (o->access == TG_SCALAR || o->word == TGI_WORD_NULL)
            continue;
        if (o->node != TGI_HOST_NODE && stamp.lane != TG_NONE)
            add_user(r, o->node - 1, operand_block(r, o, &b), stamp.lane);
        if (o->access == TG_IN)
            continue;
        struct publish p = {o->node, stamp};
        for_pieces(r, o->word, publish_piece, &p);
    }
}

/* ---- Lending ------------------------------------------------------------------------------*/

int tgi_replicas_lend(struct tgi_replicas *r, uint32_t tile, enum tg_access access, uint32_t device, uint64_t *address_p,
                      struct tgi_waits *waits, struct tg_error *err)
{
    struct tgi_operand o = {tile, access, device + 1, 0};
    const struct tgi_buffer *b;
    int rc = tgi_replicas_acquire(r, &o, 1, waits, err);
    if (rc)
        return rc;
    r->device[device].blocks[operand_block(r, &o, &b)].is_lent = true;
    r->has_lent = true;
    tgi_replicas_publish(r, &o, 1, TGI_STAMP_NONE);
    *address_p = o.address;
    return 0;
}

void tgi_replicas_take_back(struct tgi_replicas *r)
{
    for (uint32_t d = 0; d < r->devices->n_devices && r->has_lent; d++)
        for (uint32_t i = 0; i < r->n_blocks; i++)
            r->device[d].blocks[i].is_lent = false;
    r->has_lent = false;
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
        tgi_waits_add(&c->waits, *ready_of(r, c->want, piece));
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
    for_pieces(r, from->word, common_piece, &c);
    /* A device addresses a range of tiles as one block only where it is one. */
    uint32_t source = to->node;
    if (!(c.valid & bit(to->node))) {
        uint32_t candidates = c.valid;
        for (uint32_t node = 0; node <= r->devices->n_devices; node++)
            if (!is_direct(r, node, to->node))
                candidates &= ~bit(node);
        source = candidates ? (candidates & ~bit(TGI_HOST_NODE) ? (uint32_t)__builtin_ctz(candidates & ~bit(TGI_HOST_NODE))
                                                                : TGI_HOST_NODE)
                            : to->node;
    }
    from->node = source;
    struct tgi_operand both[2] = {*to, *from};
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

/* ---- Questions ----------------------------------------------------------------------------*/

struct missing {
    uint32_t node;
    uint64_t bytes;
};

static int missing_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    struct missing *m = user;
    uint64_t offset, bytes;
    piece_span(r, b, tile, piece, &offset, &bytes);
    if (r->pieces[piece].valid && !(r->pieces[piece].valid & bit(m->node)))
        m->bytes += bytes;
    return 0;
}

uint64_t tgi_replicas_footprint(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, uint32_t device)
{
    return footprint(r, operands, n, device);
}

uint64_t tgi_replicas_missing(const struct tgi_replicas *r, const uint64_t *words, const uint8_t *accesses, uint32_t n,
                              uint32_t node)
{
    struct missing m = {node, 0};
    for (uint32_t i = 0; i < n; i++)
        if (accesses[i] != TG_SCALAR && accesses[i] != TG_OUT)
            for_pieces((struct tgi_replicas *)r, words[i], missing_piece, &m);
    return m.bytes;
}

static int host_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct fetch *f = user;
    if (!is_there(b, tile - b->first_tile))
        return 0;
    return fetch_piece(r, b, tile, piece, (void *)f);
}

int tgi_replicas_to_host(struct tgi_replicas *r, tg_buffer_id buffer, uint32_t tile, struct tgi_waits *waits,
                         struct tg_error *err)
{
    struct fetch f = {TGI_HOST_NODE, true, waits, err};
    for (uint32_t i = 0; i < r->space->n_buffers; i++) {
        const struct tgi_buffer *b = &r->space->buffers[i];
        if (buffer == TG_NONE ? !r->store->is_bound[i] : i != buffer)
            continue;
        for (uint32_t t = 0; t < b->n_tiles; t++) {
            int rc = tile == TG_NONE || t == tile ? for_tile(r, b, b->first_tile + t, NULL, host_piece, &f) : 0;
            if (rc)
                return rc;
        }
    }
    return 0;
}

int tgi_replicas_write_back(struct tgi_replicas *r, uint64_t word, struct tg_error *err)
{
    struct tgi_waits waits = {.n = 0}; /* the run waits for all lanes when it ends */
    struct fetch f = {TGI_HOST_NODE, true, &waits, err};
    if (word == TGI_WORD_NULL || !r->store->is_bound[buffer_index(r, tgi_space_buffer_of(r->space, tgi_word_tile(word)))])
        return 0;
    return for_pieces(r, word, host_piece, &f);
}

void tgi_replicas_host_wrote(struct tgi_replicas *r, uint32_t tile)
{
    uint32_t n, first = pieces_of(r, tile, &n);
    for (uint32_t p = first; p < first + n; p++) {
        r->pieces[p] = (struct piece){bit(TGI_HOST_NODE), 0};
        r->host_ready[p] = TGI_STAMP_NONE;
    }
}

void tgi_replicas_log(struct tgi_replicas *r, bool is_wanted)
{
    r->is_logged = is_wanted;
    r->n_copies = r->n_usages = 0;
    r->owner = UINT64_MAX;
    for (uint32_t i = 0; i < r->devices->n_devices; i++)
        log_usage(r, i);
}

const struct tgi_usage *tgi_replicas_usages(const struct tgi_replicas *r, uint32_t *n_p)
{
    *n_p = r->n_usages;
    return r->usages;
}

void tgi_replicas_copies_for(struct tgi_replicas *r, uint64_t owner) { r->owner = owner; }

const struct tgi_copy *tgi_replicas_copies(const struct tgi_replicas *r, uint32_t *n_p)
{
    *n_p = r->n_copies;
    return r->copies;
}

void tgi_replicas_stats(const struct tgi_replicas *r, struct tgi_replica_stats *stats_p) { *stats_p = r->stats; }

uint32_t tgi_replicas_n_pieces(const struct tgi_replicas *r) { return r->n_pieces; }

struct listing {
    void (*fn)(void *user, uint32_t piece, uint64_t bytes);
    void *user;
};

static int list_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct listing *l = user;
    uint64_t offset, bytes;
    piece_span(r, b, tile, piece, &offset, &bytes);
    l->fn(l->user, piece, bytes);
    return 0;
}

void tgi_replicas_list_pieces(const struct tgi_replicas *r, uint64_t word,
                              void (*fn)(void *user, uint32_t piece, uint64_t bytes), void *user)
{
    struct listing l = {fn, user};
    for_pieces((struct tgi_replicas *)r, word, list_piece, &l);
}

uint32_t tgi_replicas_find(const struct tgi_replicas *r, uint32_t device, uint64_t address)
{
    const struct device *d = &r->device[device];
    for (uint32_t i = 0; i < r->n_blocks; i++) {
        uint32_t first, n;
        const struct tgi_buffer *b = buffer_of_block(r, i, &first, &n);
        if (!d->blocks[i].address || address < d->blocks[i].address ||
            address - d->blocks[i].address >= (b->tile_bytes * n > 0 ? b->tile_bytes * n : 1))
            continue;
        for (uint32_t t = first; t < first + n; t++)
            if (is_there(b, t - b->first_tile) && address >= address_on(r, b, t, device + 1) &&
                address - address_on(r, b, t, device + 1) < b->tile_bytes)
                return t;
    }
    return TG_NONE;
}

uint64_t tgi_replicas_peak(const struct tgi_replicas *r, uint32_t device) { return r->device[device].peak_bytes; }

/* ---- Life ---------------------------------------------------------------------------------*/

static struct tgi_stamp *no_stamps(uint32_t n)
{
    struct tgi_stamp *stamps = malloc(((size_t)n + 1) * sizeof *stamps);
    for (uint32_t i = 0; stamps && i < n; i++)
        stamps[i] = TGI_STAMP_NONE;
    return stamps;
}

static bool device_init(struct tgi_replicas *r, struct device *d, struct tgi_waits *fences)
{
    d->newest = d->oldest = TG_NONE;
    d->fences = fences;
    d->blocks = calloc((size_t)r->n_blocks + 1, sizeof *d->blocks);
    d->ready = no_stamps(r->n_pieces);
    return d->blocks && d->ready;
}

static bool make_blocks(struct tgi_replicas *r, struct tgi_waits *fences)
{
    for (uint32_t i = 0; i < r->space->n_buffers; i++) {
        r->first_block[i] = r->n_blocks;
        r->n_blocks += r->is_whole[i] ? 1 : r->space->buffers[i].n_tiles;
    }
    r->device = calloc(r->devices->n_devices, sizeof *r->device);
    bool ok = r->device != NULL;
    for (uint32_t i = 0; ok && i < r->devices->n_devices; i++)
        ok = device_init(r, &r->device[i], &fences[i]);
    return ok;
}

/* What the host holds at first: everything but what nobody has initialised. */
static void make_valid_on_host(struct tgi_replicas *r)
{
    for (uint32_t i = 0; i < r->space->n_buffers; i++) {
        const struct tgi_buffer *b = &r->space->buffers[i];
        if (!r->store->is_bound[i] && b->init == TG_INIT_NONE)
            continue;
        for (uint32_t t = 0; t < b->n_tiles; t++)
            tgi_replicas_host_wrote(r, b->first_tile + t);
    }
}

int tgi_replicas_create(const struct tg_graph *graph, struct tgi_store *store, struct tgi_devices *devices,
                        struct tgi_order *order, struct tgi_pool *const *pools, struct tgi_waits *fences,
                        struct tgi_replicas **replicas_p, struct tg_error *err)
{
    const struct tgi_space *space = graph->space;
    struct tgi_replicas *r = calloc(1, sizeof *r);
    struct cuts cuts = {NULL, 0, 0};
    if (!r)
        return tgi_error_memory(err, "preparing replicas");
    r->space = space;
    r->store = store;
    r->devices = devices;
    r->order = order;
    r->pools = pools;
    r->is_whole = calloc((size_t)space->n_buffers + 1, 1);
    r->first_block = calloc((size_t)space->n_buffers + 1, sizeof *r->first_block);
    bool ok = r->is_whole && r->first_block && scan(r, graph, &cuts) && make_pieces(r, &cuts);
    if (ok) {
        r->pieces = calloc((size_t)r->n_pieces + 1, sizeof *r->pieces);
        r->host_ready = no_stamps(r->n_pieces);
        ok = r->pieces && r->host_ready && make_blocks(r, fences);
    }
    free(cuts.cuts);
    if (!ok) {
        tgi_replicas_destroy(r);
        return tgi_error_memory(err, "preparing replicas");
    }
    make_valid_on_host(r);
    *replicas_p = r;
    return 0;
}

void tgi_replicas_destroy(struct tgi_replicas *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; r->device && i < r->devices->n_devices; i++) {
        struct device *d = &r->device[i];
        for (uint32_t b = 0; d->blocks && b < r->n_blocks; b++)
            if (d->blocks[b].address) {
                fence_drop(&d->blocks[b]);
                tgi_pool_free(r->pools[i], d->blocks[b].address);
            }
        free(d->blocks);
        free(d->ready);
    }
    free(r->device);
    free(r->first_piece);
    free(r->piece_row);
    free(r->first_block);
    free(r->is_whole);
    free(r->pieces);
    free(r->host_ready);
    free(r->copies);
    free(r->usages);
    free(r);
}
