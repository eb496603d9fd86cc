/* Room on devices: a task's whole footprint, for which others go. */
#include "mem/replica_state.h"

#include "graph/error.h"

static int write_back(struct tgi_replicas *r, uint32_t device, uint32_t block, struct tg_error *err)
{
    uint32_t first, n, node = device + 1;
    const struct tgi_buffer *b = tgi_replica_of_block(r, block, &first, &n);
    for (uint32_t t = first; t < first + n; t++) {
        uint32_t n_pieces, piece = tgi_replica_pieces_of(r, t, &n_pieces);
        for (uint32_t p = piece; p < piece + n_pieces; p++) {
            if (r->pieces[p].valid != tgi_node_bit(node) || !tgi_replica_is_there(b, t - b->first_tile))
                continue;
            uint64_t offset, bytes;
            int rc = tgi_replica_copy_piece(r, b, t, p, node, TGI_HOST_NODE, err);
            if (rc)
                return rc;
            tgi_replica_piece_span(r, b, t, p, &offset, &bytes);
            r->stats.spilled_bytes += bytes;
        }
    }
    return 0;
}

/* Gives a block's memory back.  Whoever gets it waits for everybody who used it. */
static void block_free(struct tgi_replicas *r, uint32_t device, uint32_t i, bool is_spill)
{
    struct tgi_replica_device *d = &r->device[device];
    struct tgi_replica_block *block = &d->blocks[i];
    uint32_t first, n;
    const struct tgi_buffer *b = tgi_replica_of_block(r, i, &first, &n);
    for (uint32_t t = first; t < first + n; t++) {
        uint32_t n_pieces, piece = tgi_replica_pieces_of(r, t, &n_pieces);
        for (uint32_t p = piece; p < piece + n_pieces; p++) {
            if (is_spill && r->pieces[p].valid & tgi_node_bit(device + 1))
                r->pieces[p].spilled |= tgi_node_bit(device + 1);
            r->pieces[p].valid &= ~tgi_node_bit(device + 1);
        }
    }
    for (uint64_t users = block->users; users; users &= users - 1)
        tgi_waits_add(r->order, d->fences, tgi_order_tail(r->order, tgi_replica_user_lane(device, (uint32_t)__builtin_ctzll(users))));
    tgi_replica_unlist(d, i);
    tgi_replica_fence_drop(block);
    tgi_pool_free(r->pools[device], block->address);
    block->address = 0;
    block->users = 0;
    d->in_use_bytes -= tgi_replica_block_bytes(r, b);
    tgi_replica_log_usage(r, device);
    r->n_changes++;
}

/* Evicts the least recently used block that the task at hand does not need; false: there is none. */
static int evict_one(struct tgi_replicas *r, uint32_t device, bool *found_p, struct tg_error *err)
{
    struct tgi_replica_device *d = &r->device[device];
    uint32_t i = r->live_order ? TG_NONE : d->oldest; /* of what is recorded nothing could be written back and given away */
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
    d->is_short = true;
    return 0;
}

/* *is_full_p: there is no room and nothing more that could go. */
static int find_room(struct tgi_replicas *r, uint32_t device, uint64_t bytes, uint64_t *address_p, bool *is_full_p,
                     struct tg_error *err)
{
    bool found = true;
    int rc = tgi_pool_try_alloc(r->pools[device], bytes, address_p) ? 0 : tgi_pool_alloc(r->pools[device], bytes, address_p, err);
    while (rc == TG_E_NO_MEMORY && found) {
        struct tg_error ignored;
        int answer = evict_one(r, device, &found, err);
        if (answer)
            return answer;
        if (found && tgi_pool_try_alloc(r->pools[device], bytes, address_p))
            rc = 0;
        else if (!found)
            *is_full_p = (rc = tgi_pool_alloc(r->pools[device], bytes, address_p, &ignored)) == TG_E_NO_MEMORY;
    }
    return rc;
}

static void count_use(struct tgi_replicas *r, uint32_t device, int64_t bytes)
{
    struct tgi_replica_device *d = &r->device[device];
    d->in_use_bytes += (uint64_t)bytes;
    d->peak_bytes = d->in_use_bytes > d->peak_bytes ? d->in_use_bytes : d->peak_bytes;
    tgi_replica_log_usage(r, device);
}

static int block_place(struct tgi_replicas *r, uint32_t device, uint32_t i, uint64_t address, uint64_t bytes, struct tg_error *err)
{
    struct tgi_replica_device *d = &r->device[device];
    d->blocks[i] = (struct tgi_replica_block){address, 0, r->serial, TG_NONE, TG_NONE, false, NULL};
    if (!tgi_replica_fence_make(r, d, &d->blocks[i])) {
        tgi_pool_free(r->pools[device], address);
        d->blocks[i].address = 0;
        return tgi_error_memory(err, "reserving a task's data");
    }
    tgi_replica_list(d, i);
    r->n_changes++;
    count_use(r, device, (int64_t)bytes);
    return 0;
}

static int block_alloc(struct tgi_replicas *r, uint32_t device, uint32_t i, uint64_t bytes, bool *is_full_p,
                       struct tg_error *err)
{
    uint64_t address = 0;
    int rc = find_room(r, device, bytes, &address, is_full_p, err);
    return rc ? rc : block_place(r, device, i, address, bytes, err);
}

int tgi_replica_try_block(struct tgi_replicas *r, uint32_t device, uint32_t i, uint64_t bytes, struct tg_error *err)
{
    uint64_t address;
    int rc = tgi_pool_try_alloc(r->pools[device], bytes, &address) ? 0 : tgi_pool_alloc(r->pools[device], bytes, &address, err);
    return rc ? rc : block_place(r, device, i, address, bytes, err);
}

/* ---- Scratch ------------------------------------------------------------------------------*/

void tgi_replicas_release(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                          const struct tgi_stamp *stamps)
{
    for (uint32_t i = 0; scratch->bytes && i < n; i++) {
        if (!scratch->addresses[i])
            continue;
        uint32_t device = operands[i].node - 1;
        if (stamps)
            tgi_waits_add(r->order, r->device[device].fences, stamps[i]);
        tgi_pool_free(r->pools[device], scratch->addresses[i]);
        scratch->addresses[i] = 0;
        count_use(r, device, -(int64_t)scratch->bytes);
    }
}

/* Whoever gets memory waits for those who had it: of a device's, all that ever gave some back. */
static int reserve_scratch(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                           struct tgi_waits *waits, bool *is_full_p, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; scratch->bytes && rc == 0 && i < n; i++) {
        uint32_t device = operands[i].node - 1;
        if (!tgi_replica_needs_block(&operands[i]))
            continue;
        rc = find_room(r, device, scratch->bytes, &scratch->addresses[i], is_full_p, err);
        if (rc)
            break;
        count_use(r, device, (int64_t)scratch->bytes);
        for (uint32_t k = 0; k < r->device[device].fences->n; k++)
            if (!tgi_order_is_done(r->order, r->device[device].fences->stamps[k]))
                tgi_waits_add(r->order, waits, r->device[device].fences->stamps[k]);
    }
    if (rc)
        tgi_replicas_release(r, operands, n, scratch, NULL);
    return rc;
}

/* ---- Acquiring ----------------------------------------------------------------------------*/
static int try_reserve(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                       struct tgi_waits *waits, bool *is_full_p, struct tg_error *err)
{
    const struct tgi_buffer *b;
    *is_full_p = false;
    r->serial++;
    for (uint32_t i = 0; i < n; i++) {
        if (!tgi_replica_needs_block(&operands[i]))
            continue;
        struct tgi_replica_device *d = &r->device[operands[i].node - 1];
        uint32_t block = tgi_replica_operand_block(r, &operands[i], &b);
        d->blocks[block].serial = r->serial;
        if (d->blocks[block].address)
            tgi_replica_touch(d, block);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!tgi_replica_needs_block(&operands[i]))
            continue;
        uint32_t device = operands[i].node - 1, block = tgi_replica_operand_block(r, &operands[i], &b);
        struct tgi_replica_block *at = &r->device[device].blocks[block];
        int rc = at->address ? 0 : block_alloc(r, device, block, tgi_replica_block_bytes(r, b), is_full_p, err);
        if (rc)
            return rc;
    }
    return reserve_scratch(r, operands, n, scratch, waits, is_full_p, err);
}

uint64_t tgi_replicas_footprint(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, uint64_t scratch_bytes,
                                uint32_t device)
{
    const struct tgi_buffer *b;
    uint64_t total = 0;
    r->serial++;
    for (uint32_t i = 0; i < n; i++) {
        if (!tgi_replica_needs_block(&operands[i]) || operands[i].node != device + 1)
            continue;
        struct tgi_replica_block *at = &r->device[device].blocks[tgi_replica_operand_block(r, &operands[i], &b)];
        total += at->serial == r->serial ? 0 : tgi_pool_rounded(r->pools[device], tgi_replica_block_bytes(r, b));
        at->serial = r->serial;
        total += scratch_bytes ? tgi_pool_rounded(r->pools[device], scratch_bytes) : 0;
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

int tgi_replica_reserve(struct tgi_replicas *r, const struct tgi_operand *operands, uint32_t n, struct tgi_scratch *scratch,
                        struct tgi_waits *waits, struct tg_error *err)
{
    const struct tgi_buffer *b;
    bool is_full;
    int rc = try_reserve(r, operands, n, scratch, waits, &is_full, err);
    for (int step = 0; is_full && !r->live_order && step < 2; step++) {
        int answer = 0;
        for (uint32_t d = 0; answer == 0 && d < r->devices->n_devices; d++) {
            uint64_t bytes = tgi_replicas_footprint(r, operands, n, scratch->bytes, d);
            answer = bytes ? clear_device(r, d, err) : 0;
            if (answer == 0 && bytes && step == 1)
                answer = regroup(r, d, bytes, err);
        }
        if (answer)
            return answer;
        rc = try_reserve(r, operands, n, scratch, waits, &is_full, err);
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (tgi_replica_needs_block(&operands[i]))
            tgi_replica_fence_add(r, &r->device[operands[i].node - 1].blocks[tgi_replica_operand_block(r, &operands[i], &b)],
                                  waits);
    return rc;
}
