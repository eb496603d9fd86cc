/* See replica.h. */
#include "mem/replica.h"

#include <assert.h>
#include <stdlib.h>

#include "graph/environment.h"
#include "graph/error.h"
#include "mem/hostops.h"
#include "mem/replica_state.h"

/* ---- Acquiring ----------------------------------------------------------------------------*/

struct fetch {
    uint32_t node;
    bool reads;
    struct tgi_waits *waits;
    struct tg_error *err;
};

static int fetch_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct fetch *f = user;
    int rc = f->reads ? tgi_replica_make_valid(r, b, tile, piece, f->node, f->err) : 0;
    /* Also of a replica that is not valid: what was copied there may still be on its way. */
    if (rc == 0)
        tgi_waits_add(r->order, f->waits, *tgi_replica_ready(r, f->node, piece));
    return rc;
}

static uint64_t operand_address(const struct tgi_replicas *r, const struct tgi_operand *o)
{
    if (o->access == TG_SCALAR || o->word == TGI_WORD_NULL)
        return 0;
    uint32_t tile = tgi_word_tile(o->word), range = tgi_word_range(o->word);
    const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tile);
    uint64_t offset = range && range != TGI_WORD_ALL ? r->space->ranges[range - 1].begin * b->row_bytes : 0;
    return tgi_replica_address(r, b, tile, o->node) + offset;
}

/* Where an operand is, if it is all there and valid where it is wanted; else NULL. */
static const struct tgi_replica_spot *find_whole(const struct tgi_replicas *r, const struct tgi_operand *o)
{
    const struct tgi_replica_spot *s = tgi_replica_spot_of(r, o);
    if (!s)
        return NULL;
    const struct tgi_replica_block *b = &r->device[o->node - 1].blocks[s->block];
    uint32_t valid = r->pieces[s->piece].valid;
    bool is_there = b->address && !b->fence && (o->access == TG_OUT || valid == 0 || valid & tgi_node_bit(o->node));
    return is_there ? s : NULL;
}

/* The usual case: all of a task's tiles have memory and are valid where it runs.  False: they are not, and nothing has
 * changed. */
static bool acquire_what_is_there(struct tgi_replicas *r, struct tgi_operand *operands, uint32_t n, struct tgi_waits *waits)
{
    const struct tgi_replica_spot *spots[TG_MAX_PARAMS];
    if (n > TG_MAX_PARAMS)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (operands[i].access != TG_SCALAR && !(spots[i] = find_whole(r, &operands[i])))
            return false;
    r->serial++;
    tgi_waits_add(r->order, waits, r->floor);
    for (uint32_t i = 0; i < n; i++) {
        if (operands[i].access == TG_SCALAR)
            continue;
        struct tgi_replica_device *d = &r->device[operands[i].node - 1];
        d->blocks[spots[i]->block].serial = r->serial;
        tgi_replica_touch(d, spots[i]->block);
        tgi_waits_add(r->order, waits, d->ready[spots[i]->piece]);
        operands[i].address = d->blocks[spots[i]->block].address;
    }
    return true;
}

int tgi_replicas_acquire(struct tgi_replicas *r, struct tgi_operand *operands, uint32_t n, struct tgi_waits *waits,
                         struct tg_error *err)
{
    struct tgi_scratch none = {0};
    return acquire_what_is_there(r, operands, n, waits) ? 0 : tgi_replicas_acquire_with(r, operands, n, &none, waits, err);
}

int tgi_replicas_acquire_with(struct tgi_replicas *r, struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                              struct tgi_waits *waits, struct tg_error *err)
{
    assert(!scratch->bytes || (!r->live_order && n <= TGI_MAX_DEVICES));
    int rc = tgi_replica_reserve(r, operands, n, scratch, waits, err);
    tgi_waits_add(r->order, waits, r->floor);
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        if (operands[i].access == TG_SCALAR)
            continue;
        struct fetch f = {operands[i].node, operands[i].access != TG_OUT, waits, err};
        rc = tgi_replica_for_pieces(r, operands[i].word, fetch_piece, &f);
        operands[i].address = operand_address(r, &operands[i]);
    }
    if (rc)
        tgi_replicas_release(r, operands, n, scratch, NULL);
    return rc;
}

int tgi_replicas_send_ahead(struct tgi_replicas *r, uint32_t tile, uint32_t device, struct tgi_stamp *stamp_p, struct tg_error *err)
{
    const struct tgi_replica_spot *s = &r->spots[tile];
    const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tile);
    *stamp_p = TGI_STAMP_NONE;
    if (s->block == TG_NONE || (r->staging && r->is_pageable[tgi_replica_buffer(r, b)])) /* a copy that keeps the caller busy */
        return 0;
    uint32_t valid = r->pieces[s->piece].valid;
    if (valid == 0 || valid & tgi_node_bit(device + 1) || r->device[device].is_short)
        return 0;
    r->serial++;
    int rc = r->device[device].blocks[s->block].address ? 0
                                                       : tgi_replica_try_block(r, device, s->block, tgi_replica_block_bytes(r, b), err);
    if (rc)
        return rc == TG_E_NO_MEMORY ? 0 : rc;
    rc = tgi_replica_make_valid(r, b, tile, s->piece, device + 1, err);
    if (rc)
        return rc;
    *stamp_p = *tgi_replica_ready(r, device + 1, s->piece);
    r->stats.n_ahead++;
    r->stats.ahead_bytes += b->tile_bytes;
    return 0;
}

struct publish {
    uint32_t node;
    struct tgi_stamp stamp;
};

static void publish_one(struct tgi_replicas *r, uint32_t piece, uint32_t node, struct tgi_stamp stamp)
{
    r->pieces[piece] = (struct tgi_replica_piece){tgi_node_bit(node), 0};
    r->n_changes++;
    *tgi_replica_ready(r, node, piece) = stamp;
}

static int publish_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct publish *p = user;
    (void)b, (void)tile;
    publish_one(r, piece, p->node, p->stamp);
    return 0;
}

void tgi_replicas_used(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, uint32_t lane)
{
    const struct tgi_buffer *b;
    for (uint32_t i = 0; i < n; i++)
        if (tgi_replica_needs_block(&operands[i]))
            tgi_replica_add_user(r, operands[i].node - 1, tgi_replica_operand_block(r, &operands[i], &b), lane);
}

void tgi_replicas_publish(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_stamp stamp)
{
    const struct tgi_buffer *b;
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_operand *o = &operands[i];
        if (o->access == TG_SCALAR || o->word == TGI_WORD_NULL)
            continue;
        const struct tgi_replica_spot *s = tgi_replica_spot_of(r, o);
        if (o->node != TGI_HOST_NODE && stamp.lane != TG_NONE)
            tgi_replica_add_user(r, o->node - 1, s ? s->block : tgi_replica_operand_block(r, o, &b), stamp.lane);
        if (o->access == TG_IN)
            continue;
        if (s) {
            publish_one(r, s->piece, o->node, stamp);
            continue;
        }
        struct publish p = {o->node, stamp};
        tgi_replica_for_pieces(r, o->word, publish_piece, &p);
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
    r->device[device].blocks[tgi_replica_operand_block(r, &o, &b)].is_lent = true;
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

/* ---- Questions ----------------------------------------------------------------------------*/

struct missing {
    uint32_t node;
    uint64_t bytes;
};

static int missing_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    struct missing *m = user;
    uint64_t offset, bytes;
    tgi_replica_piece_span(r, b, tile, piece, &offset, &bytes);
    uint32_t valid = r->pieces[piece].valid;
    if (valid && !(valid & tgi_node_bit(m->node)) && !(valid & TGI_REPLICA_BLANK))
        m->bytes += bytes;
    return 0;
}

uint64_t tgi_replicas_missing(const struct tgi_replicas *r, const uint64_t *words, const uint8_t *accesses, uint32_t n,
                              uint32_t node)
{
    struct missing m = {node, 0};
    for (uint32_t i = 0; i < n; i++)
        if (accesses[i] != TG_SCALAR && accesses[i] != TG_OUT)
            tgi_replica_for_pieces((struct tgi_replicas *)r, words[i], missing_piece, &m);
    return m.bytes;
}

static int host_piece(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece, void *user)
{
    const struct fetch *f = user;
    if (!tgi_replica_is_there(b, tile - b->first_tile))
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
            int rc = tile == TG_NONE || t == tile ? tgi_replica_for_tile(r, b, b->first_tile + t, NULL, host_piece, &f) : 0;
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
    if (word == TGI_WORD_NULL ||
        !r->store->is_bound[tgi_replica_buffer(r, tgi_space_buffer_of(r->space, tgi_word_tile(word)))])
        return 0;
    return tgi_replica_for_pieces(r, word, host_piece, &f);
}

void tgi_replicas_stage(struct tgi_replicas *r, struct tgi_staging *staging, const uint8_t *is_pageable)
{
    r->staging = staging;
    r->is_pageable = is_pageable;
}

static void set_on_host(struct tgi_replicas *r, uint32_t tile, uint32_t mark)
{
    uint32_t n, first = tgi_replica_pieces_of(r, tile, &n), valid = tgi_node_bit(TGI_HOST_NODE) | mark;
    for (uint32_t p = first; p < first + n; p++) {
        r->n_changes += r->pieces[p].valid != valid;
        r->pieces[p] = (struct tgi_replica_piece){valid, 0};
        r->host_ready[p] = TGI_STAMP_NONE;
    }
}

void tgi_replicas_host_wrote(struct tgi_replicas *r, uint32_t tile) { set_on_host(r, tile, 0); }

/* A value that the type does not have is an error of whoever initialises. */
bool tgi_replicas_begins_alike(const struct tgi_buffer *b)
{
    uint64_t word;
    return !b->host && (b->init == TG_INIT_ZERO || (b->init == TG_INIT_FILL && tgi_host_encode_float(b->dtype, b->init_value, &word)));
}

int tgi_replicas_are_filled(struct tg_error *err)
{
    static const char *const who[] = {"host", "devices", NULL};
    return tgi_environment_word("TGRAPH_INIT", who, 1, err);
}

void tgi_replicas_host_began(struct tgi_replicas *r, uint32_t tile) { set_on_host(r, tile, TGI_REPLICA_BLANK); }

void tgi_replicas_define(struct tgi_replicas *r, uint32_t tile)
{
    uint32_t n, first = tgi_replica_pieces_of(r, tile, &n);
    for (uint32_t p = first; p < first + n; p++)
        if (r->pieces[p].valid == 0) {
            r->pieces[p].valid = tgi_node_bit(TGI_HOST_NODE);
            r->n_changes++;
        }
}

uint64_t tgi_replicas_n_copies(const struct tgi_replicas *r) { return r->stats.n_copies; }
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
    tgi_replica_piece_span(r, b, tile, piece, &offset, &bytes);
    l->fn(l->user, piece, bytes);
    return 0;
}

void tgi_replicas_list_pieces(const struct tgi_replicas *r, uint64_t word,
                              void (*fn)(void *user, uint32_t piece, uint64_t bytes), void *user)
{
    struct listing l = {fn, user};
    tgi_replica_for_pieces((struct tgi_replicas *)r, word, list_piece, &l);
}

uint32_t tgi_replicas_find(const struct tgi_replicas *r, uint32_t device, uint64_t address)
{
    const struct tgi_replica_device *d = &r->device[device];
    for (uint32_t i = 0; i < r->n_blocks; i++) {
        uint32_t first, n;
        const struct tgi_buffer *b = tgi_replica_of_block(r, i, &first, &n);
        if (!d->blocks[i].address || address < d->blocks[i].address ||
            address - d->blocks[i].address >= (b->tile_bytes * n > 0 ? b->tile_bytes * n : 1))
            continue;
        for (uint32_t t = first; t < first + n; t++)
            if (tgi_replica_is_there(b, t - b->first_tile) && address >= tgi_replica_address(r, b, t, device + 1) &&
                address - tgi_replica_address(r, b, t, device + 1) < b->tile_bytes)
                return t;
    }
    return TG_NONE;
}

uint64_t tgi_replicas_peak(const struct tgi_replicas *r, uint32_t device) { return r->device[device].peak_bytes; }

/* ---- Life ---------------------------------------------------------------------------------*/

struct tgi_stamp *tgi_replica_no_stamps(uint32_t n)
{
    struct tgi_stamp *stamps = malloc(((size_t)n + 1) * sizeof *stamps);
    for (uint32_t i = 0; stamps && i < n; i++)
        stamps[i] = TGI_STAMP_NONE;
    return stamps;
}

static bool device_init(struct tgi_replicas *r, struct tgi_replica_device *d, struct tgi_waits *fences)
{
    d->newest = d->oldest = TG_NONE;
    d->fences = fences;
    d->blocks = calloc((size_t)r->n_blocks + 1, sizeof *d->blocks);
    d->ready = tgi_replica_no_stamps(r->n_pieces);
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

/* After pieces and blocks are made. */
static bool make_spots(struct tgi_replicas *r)
{
    r->spots = malloc(((size_t)r->space->n_tiles + 1) * sizeof *r->spots);
    for (uint32_t i = 0; r->spots && i < r->space->n_buffers; i++) {
        const struct tgi_buffer *b = &r->space->buffers[i];
        for (uint32_t t = b->first_tile; t < b->first_tile + b->n_tiles; t++) {
            uint32_t n, piece = tgi_replica_pieces_of(r, t, &n);
            bool is_one = n == 1 && !r->is_whole[i];
            r->spots[t] = (struct tgi_replica_spot){piece, is_one ? tgi_replica_block_of(r, b, t) : TG_NONE};
        }
    }
    return r->spots != NULL;
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
    if (!r)
        return tgi_error_memory(err, "preparing replicas");
    r->space = space;
    r->store = store;
    r->devices = devices;
    r->order = order;
    r->pools = pools;
    r->floor = TGI_STAMP_NONE;
    r->is_whole = calloc((size_t)space->n_buffers + 1, 1);
    r->first_block = calloc((size_t)space->n_buffers + 1, sizeof *r->first_block);
    bool ok = r->is_whole && r->first_block && tgi_replica_make_pieces(r, graph);
    if (ok) {
        r->pieces = calloc((size_t)r->n_pieces + 1, sizeof *r->pieces);
        r->host_ready = tgi_replica_no_stamps(r->n_pieces);
        ok = r->pieces && r->host_ready && make_blocks(r, fences) && make_spots(r);
    }
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
        struct tgi_replica_device *d = &r->device[i];
        for (uint32_t b = 0; d->blocks && b < r->n_blocks; b++)
            if (d->blocks[b].address) {
                tgi_replica_fence_drop(&d->blocks[b]);
                tgi_pool_free(r->pools[i], d->blocks[b].address);
            }
        free(d->blocks);
        free(d->ready);
    }
    free(r->device);
    free(r->first_piece);
    free(r->piece_row);
    free(r->spots);
    free(r->first_block);
    free(r->is_whole);
    free(r->pieces);
    free(r->host_ready);
    free(r->copies);
    free(r->usages);
    free(r);
}
