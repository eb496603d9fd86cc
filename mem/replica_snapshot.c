/* States of all replicas: kept, compared, and made the current one once something outside has brought it about. */
#include "mem/replica_state.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

struct tgi_replica_snapshot {
    uint32_t *valid;    /* by piece */
    uint64_t *address;  /* by device and block; 0: none */
    void **host;        /* by tile */
    struct tgi_replica_stats stats;
};

/* ---- Recording ----------------------------------------------------------------------------*/

/* Stamps of what is recorded mean nothing outside, and those of before mean nothing in it: each have arrays of their own. */
int tgi_replicas_record(struct tgi_replicas *r, struct tgi_devices *devices, struct tgi_order *order, struct tg_error *err)
{
    struct tgi_stamp *ready[TGI_MAX_NODES];
    uint32_t n = r->devices->n_devices, i = 0;
    while (i <= n && (ready[i] = tgi_replica_no_stamps(r->n_pieces)))
        i++;
    if (i <= n) {
        while (i-- > 0)
            free(ready[i]);
        return tgi_error_memory(err, "recording a run");
    }
    for (uint32_t node = 0; node <= n; node++) {
        struct tgi_stamp **at = node == TGI_HOST_NODE ? &r->host_ready : &r->device[node - 1].ready;
        r->live_ready[node] = *at;
        *at = ready[node];
    }
    r->live_floor = r->floor;
    r->floor = TGI_STAMP_NONE;
    r->live_devices = r->devices;
    r->live_order = r->order;
    r->devices = devices;
    r->order = order;
    r->n_live_copies = r->n_copies;
    r->replayed = NULL; /* a new snapshot may lie where an old one was */
    return 0;
}

void tgi_replicas_record_end(struct tgi_replicas *r)
{
    for (uint32_t node = 0; node <= r->devices->n_devices; node++) {
        struct tgi_stamp **at = node == TGI_HOST_NODE ? &r->host_ready : &r->device[node - 1].ready;
        free(*at);
        *at = r->live_ready[node];
    }
    r->floor = r->live_floor;
    r->devices = r->live_devices;
    r->order = r->live_order;
    r->live_devices = NULL;
    r->live_order = NULL;
}

/* ---- Snapshots ----------------------------------------------------------------------------*/

void tgi_replica_snapshot_destroy(struct tgi_replica_snapshot *s)
{
    if (!s)
        return;
    free(s->valid);
    free(s->address);
    free(s->host);
    free(s);
}

uint64_t tgi_replicas_snapshot_bytes(const struct tgi_replicas *r)
{
    return sizeof(struct tgi_replica_snapshot) + r->n_pieces * sizeof(uint32_t) +
           (uint64_t)r->devices->n_devices * r->n_blocks * sizeof(uint64_t) + r->space->n_tiles * sizeof(void *);
}

int tgi_replicas_save(const struct tgi_replicas *r, struct tgi_replica_snapshot **snapshot_p, struct tg_error *err)
{
    struct tgi_replica_snapshot *s = calloc(1, sizeof *s);
    if (s) {
        s->valid = malloc(((size_t)r->n_pieces + 1) * sizeof *s->valid);
        s->address = malloc(((size_t)r->devices->n_devices * r->n_blocks + 1) * sizeof *s->address);
        s->host = malloc(((size_t)r->space->n_tiles + 1) * sizeof *s->host);
    }
    if (!s || !s->valid || !s->address || !s->host) {
        tgi_replica_snapshot_destroy(s);
        return tgi_error_memory(err, "keeping the state of a run's data");
    }
    for (uint32_t i = 0; i < r->n_pieces; i++)
        s->valid[i] = r->pieces[i].valid;
    for (uint32_t d = 0; d < r->devices->n_devices; d++)
        for (uint32_t i = 0; i < r->n_blocks; i++)
            s->address[(size_t)d * r->n_blocks + i] = r->device[d].blocks[i].address;
    memcpy(s->host, r->store->tile, r->space->n_tiles * sizeof *s->host);
    s->stats = r->stats;
    *snapshot_p = s;
    return 0;
}

bool tgi_replicas_is_valid_as(const struct tgi_replicas *r, const struct tgi_replica_snapshot *s)
{
    for (uint32_t i = 0; i < r->n_pieces; i++)
        if (r->pieces[i].valid != s->valid[i])
            return false;
    return true;
}

bool tgi_replicas_has_memory_of(const struct tgi_replicas *r, const struct tgi_replica_snapshot *s)
{
    if (memcmp(s->host, r->store->tile, r->space->n_tiles * sizeof *s->host)) /* the program has bound other memory */
        return false;
    for (uint32_t d = 0; d < r->devices->n_devices; d++)
        for (uint32_t i = 0; i < r->n_blocks; i++) {
            uint64_t address = s->address[(size_t)d * r->n_blocks + i];
            if (address && address != r->device[d].blocks[i].address)
                return false;
        }
    return true;
}

bool tgi_replicas_is_repeatable(const struct tgi_replicas *r, const struct tgi_replica_snapshot *before,
                                const struct tgi_replica_snapshot *after)
{
    for (uint32_t i = 0; i < r->n_pieces; i++)
        if (before->valid[i] & ~after->valid[i] & ~tgi_node_bit(TGI_HOST_NODE) & ~TGI_REPLICA_BLANK)
            return false;
    return true;
}

void tgi_replicas_keep(struct tgi_replicas *r, const struct tgi_replica_snapshot *s)
{
    for (uint32_t d = 0; d < r->devices->n_devices; d++)
        for (uint32_t i = 0; i < r->n_blocks; i++)
            if (s->address[(size_t)d * r->n_blocks + i])
                r->device[d].blocks[i].is_lent = r->has_lent = true;
}

static void add_stats(struct tgi_replicas *r, const struct tgi_replica_stats *from, const struct tgi_replica_stats *to)
{
    struct tgi_replica_stats *s = &r->stats;
    s->to_device_bytes += to->to_device_bytes - from->to_device_bytes;
    s->to_host_bytes += to->to_host_bytes - from->to_host_bytes;
    s->peer_bytes += to->peer_bytes - from->peer_bytes;
    s->n_copies += to->n_copies - from->n_copies;
    for (uint32_t i = 0; i < r->devices->n_devices; i++) {
        s->in_bytes[i] += to->in_bytes[i] - from->in_bytes[i];
        s->out_bytes[i] += to->out_bytes[i] - from->out_bytes[i];
    }
}

void tgi_replicas_forget(struct tgi_replicas *r, const struct tgi_replica_snapshot *before)
{
    for (uint32_t i = 0; i < r->n_pieces; i++)
        r->pieces[i].valid = before->valid[i];
    r->stats = before->stats;
    r->n_copies = r->n_live_copies;
}

static void add_pending(struct tgi_replicas *r, struct tgi_stamp stamp, struct tgi_waits *waits)
{
    if (!tgi_order_is_done(r->order, stamp))
        tgi_waits_add(r->order, waits, stamp);
}

void tgi_replicas_pending(struct tgi_replicas *r, struct tgi_waits *waits)
{
    add_pending(r, r->floor, waits);
    for (uint32_t i = 0; i < r->n_pieces; i++)
        add_pending(r, r->host_ready[i], waits);
    for (uint32_t d = 0; d < r->devices->n_devices; d++) {
        for (uint32_t i = 0; i < r->n_pieces; i++)
            add_pending(r, r->device[d].ready[i], waits);
        for (uint32_t i = 0; i < r->n_blocks; i++)
            tgi_replica_fence_add(r, &r->device[d].blocks[i], waits);
    }
}

static void replay_first(struct tgi_replicas *r, const struct tgi_replica_snapshot *before,
                         const struct tgi_replica_snapshot *after, const struct tgi_stamp *stamps)
{
    for (uint32_t d = 0; d < r->devices->n_devices; d++)
        for (uint32_t i = 0; i < r->n_blocks; i++)
            if (after->address[(size_t)d * r->n_blocks + i])
                tgi_replica_add_user(r, d, i, stamps[d].lane);
    r->replayed = after;
    r->is_steady = memcmp(before->valid, after->valid, r->n_pieces * sizeof *before->valid) == 0;
}

/* Of a replay that leads back to where it began all is as it was, but for the stamp. */
void tgi_replicas_replayed(struct tgi_replicas *r, const struct tgi_replica_snapshot *before,
                           const struct tgi_replica_snapshot *after, const struct tgi_stamp *stamps)
{
    r->floor = stamps[0];
    add_stats(r, &before->stats, &after->stats);
    if (r->replayed != after)
        replay_first(r, before, after, stamps);
    r->n_changes_replayed = r->n_changes;
    if (r->is_steady)
        return;
    for (uint32_t i = 0; i < r->n_pieces; i++)
        r->pieces[i] = (struct tgi_replica_piece){after->valid[i], 0};
}

bool tgi_replicas_is_as_replayed(const struct tgi_replicas *r)
{
    return r->replayed && r->is_steady && r->n_changes == r->n_changes_replayed;
}
