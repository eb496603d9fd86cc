/* Blocks: memory of tiles on devices, who used it, and where in it a tile is. */
#include "mem/replica_state.h"

#include <stdlib.h>

static char *host_address(const struct tgi_replicas *r, uint32_t tile) { return r->store->tile[tile]; }

uint64_t tgi_replica_block_bytes(const struct tgi_replicas *r, const struct tgi_buffer *b)
{
    return r->is_whole[tgi_replica_buffer(r, b)] ? b->tile_bytes * b->n_present : b->tile_bytes;
}

uint64_t tgi_replica_tile_offset(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile)
{
    uint32_t first = b->first_tile;
    while (!r->store->tile[first])
        first++;
    return (uint64_t)(host_address(r, tile) - host_address(r, first));
}

uint32_t tgi_replica_user_lane(uint32_t device, uint32_t i)
{
    if (i < TGI_LANES_EACH)
        return tgi_lane_of(device, i);
    i -= TGI_LANES_EACH;
    return tgi_lane_of(i / TGI_PEER_LANES, TGI_LANE_PEER + i % TGI_PEER_LANES);
}

const struct tgi_buffer *tgi_replica_of_block(const struct tgi_replicas *r, uint32_t block, uint32_t *first_p, uint32_t *n_p)
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

bool tgi_replica_fence_make(struct tgi_replicas *r, struct tgi_replica_device *d, struct tgi_replica_block *b)
{
    const struct tgi_order *order = r->live_order ? r->live_order : r->order;
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->fences->n; i++)
        n += !tgi_order_is_done(order, d->fences->stamps[i]);
    b->fence = NULL;
    if (n == 0)
        return true;
    b->fence = malloc(sizeof *b->fence + n * sizeof *b->fence->stamps);
    if (!b->fence)
        return false;
    b->fence->n = 0;
    for (uint32_t i = 0; i < d->fences->n; i++)
        if (!tgi_order_is_done(order, d->fences->stamps[i]))
            b->fence->stamps[b->fence->n++] = d->fences->stamps[i];
    return true;
}

void tgi_replica_fence_drop(struct tgi_replica_block *b)
{
    free(b->fence);
    b->fence = NULL;
}

void tgi_replica_fence_add(const struct tgi_replicas *r, struct tgi_replica_block *b, struct tgi_waits *waits)
{
    bool is_over = true;
    if (!b->fence || r->live_order) /* who replays what is recorded waits for it */
        return;
    for (uint32_t i = 0; i < b->fence->n; i++) {
        if (tgi_order_is_done(r->order, b->fence->stamps[i]))
            continue;
        tgi_waits_add(r->order, waits, b->fence->stamps[i]);
        is_over = false;
    }
    if (is_over)
        tgi_replica_fence_drop(b);
}
