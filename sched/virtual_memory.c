/* Copies of tiles, and the copies between memories.
 *
 * Links.  A copy gets the least of its link's bandwidth and of its equal part of everything it shares.  That
 * leaves unused what others of a shared link cannot use, which a maximal fair share would hand on; real
 * links do about the same.  Rates follow every copy that begins or ends, but where more than MANY_FLOWS
 * share something they follow when their number has changed by a sixteenth, so that a broadcast to a thousand devices does
 * not cost a million updates.
 *
 * At most COPIES_AT_ONCE go to one memory from memory 0, and as many from others, over links that are shared, in the order
 * they were asked for, as copy engines do.  Runs that hand their tasks to devices give copies to two lanes in turn instead
 * (queueing.h).  On streams an engine copies from memory 0 one tile at a time and stays with a lane for as long as that has more: a copy of the
 * other one may wait for many that were asked for later.  In graphs the lanes share the link, and copies that no kernel does have one (mem/recorder.h).
 *
 * What begins with one value everywhere is filled in by the device that needs it, in its place in a lane of these copies; no link has a part in it, and nothing
 * is moved. */
#include <stdlib.h>
#include <string.h>

#include "mem/program.h"
#include "sched/virtual.h"

enum { MANY_FLOWS = 32, COPIES_AT_ONCE = 2, SEARCH_STEPS = 256 };

/* ---- Pools --------------------------------------------------------------------------------*/

/* One more item of a growing array; false without memory. */
static bool grow(struct tgi_virtual *v, void **items, uint32_t n, uint32_t *n_room_p, size_t size)
{
    if (n < *n_room_p)
        return true;
    uint32_t n_room = *n_room_p ? *n_room_p * 2 : 256;
    void *grown = realloc(*items, n_room * size);
    if (!grown) {
        v->is_out_of_memory = true;
        return false;
    }
    *items = grown;
    *n_room_p = n_room;
    return true;
}

#define TAKE(v, items, n, n_room, free_item)                                          \
    (v->free_item != TG_NONE ? v->free_item                                           \
     : grow(v, (void **)&v->items, v->n, &v->n_room, sizeof *v->items) ? v->n++ : TG_NONE)

static uint32_t take_replica(struct tgi_virtual *v)
{
    uint32_t r = TAKE(v, replicas, n_replicas, n_replicas_room, free_replica);
    if (r != TG_NONE && r == v->free_replica)
        v->free_replica = v->replicas[r].next;
    return r;
}

static uint32_t take_flow(struct tgi_virtual *v)
{
    uint32_t f = TAKE(v, flows, n_flows, n_flows_room, free_flow), version = 0;
    if (f == TG_NONE)
        return f;
    if (f == v->free_flow) {
        v->free_flow = v->flows[f].next;
        version = v->flows[f].version + 1;
    }
    v->flows[f] = (struct tgi_flow){.version = version, .next = TG_NONE};
    return f;
}

/* ---- Replicas -----------------------------------------------------------------------------*/

static uint32_t find(const struct tgi_virtual *v, uint32_t tile, uint32_t memory)
{
    uint32_t r = v->tile_first[tile];
    while (r != TG_NONE && v->replicas[r].memory != memory)
        r = v->replicas[r].next;
    return r;
}

static void unlink_use(struct tgi_virtual *v, uint32_t r)
{
    struct tgi_replica *replica = &v->replicas[r];
    struct tgi_virtual_memory *m = &v->memories[replica->memory];
    *(replica->newer == TG_NONE ? &m->newest : &v->replicas[replica->newer].older) = replica->older;
    *(replica->older == TG_NONE ? &m->oldest : &v->replicas[replica->older].newer) = replica->newer;
}

static void link_use(struct tgi_virtual *v, uint32_t r)
{
    struct tgi_replica *replica = &v->replicas[r];
    struct tgi_virtual_memory *m = &v->memories[replica->memory];
    replica->newer = TG_NONE;
    replica->older = m->newest;
    *(m->newest == TG_NONE ? &m->oldest : &v->replicas[m->newest].newer) = r;
    m->newest = r;
}

static void drop(struct tgi_virtual *v, uint32_t r)
{
    uint32_t *at = &v->tile_first[v->replicas[r].tile];
    while (*at != r)
        at = &v->replicas[*at].next;
    *at = v->replicas[r].next;
    unlink_use(v, r);
    v->memories[v->replicas[r].memory].used -= v->w->tile_bytes[v->replicas[r].tile];
    v->replicas[r].next = v->free_replica;
    v->free_replica = r;
}

static uint32_t add_replica(struct tgi_virtual *v, uint32_t tile, uint32_t memory)
{
    uint32_t r = take_replica(v);
    if (r == TG_NONE)
        return r;
    struct tgi_virtual_memory *m = &v->memories[memory];
    v->replicas[r] = (struct tgi_replica){.tile = tile, .memory = memory, .next = v->tile_first[tile],
                                          .waiters = TG_NONE, .state = TGI_REPLICA_RESERVED};
    v->tile_first[tile] = r;
    link_use(v, r);
    m->used += v->w->tile_bytes[tile];
    if (m->used > m->peak)
        m->peak = m->used;
    return r;
}

/* What nothing has written or moved yet is valid in memory 0. */
static void wake_tile(struct tgi_virtual *v, uint32_t tile)
{
    if (v->tile_first[tile] != TG_NONE)
        return;
    uint32_t r = add_replica(v, tile, 0);
    if (r != TG_NONE)
        v->replicas[r].state = TGI_REPLICA_VALID;
}

/* ---- Rates --------------------------------------------------------------------------------*/

static double rate_of(const struct tgi_virtual *v, const struct tgi_flow *f)
{
    double rate = f->cap;
    for (uint32_t i = 0; i < f->n_shared; i++) {
        const struct tgi_shared *s = &v->shared[f->shared[i]];
        double part = s->bytes_per_ns / (s->n ? s->n : 1);
        rate = part < rate ? part : rate;
    }
    return rate;
}

static void set_rate(struct tgi_virtual *v, uint32_t flow)
{
    struct tgi_flow *f = &v->flows[flow];
    double rate = rate_of(v, f);
    f->bytes -= (v->now - f->since) * f->rate;
    f->bytes = f->bytes > 0 ? f->bytes : 0;
    f->since = v->now;
    f->rate = rate;
    tgi_virtual_at(v, v->now + f->bytes / rate, TGI_VIRTUAL_COPY_END, flow, ++f->version);
}

static void follow(struct tgi_virtual *v, struct tgi_shared *s)
{
    uint32_t change = s->n > s->n_known ? s->n - s->n_known : s->n_known - s->n;
    if (s->n > MANY_FLOWS && change * 16 < s->n)
        return;
    s->n_known = s->n;
    for (uint32_t i = 0; i < s->n; i++)
        if (rate_of(v, &v->flows[s->flows[i]]) != v->flows[s->flows[i]].rate)
            set_rate(v, s->flows[i]);
}

static void join(struct tgi_virtual *v, uint32_t flow)
{
    struct tgi_flow *f = &v->flows[flow];
    for (uint32_t i = 0; i < f->n_shared; i++) {
        struct tgi_shared *s = &v->shared[f->shared[i]];
        if (!grow(v, (void **)&s->flows, s->n, &s->n_room, sizeof *s->flows))
            return;
        f->slot[i] = s->n;
        s->flows[s->n++] = flow;
    }
    set_rate(v, flow);
    for (uint32_t i = 0; i < f->n_shared; i++)
        follow(v, &v->shared[f->shared[i]]);
}

static void leave(struct tgi_virtual *v, uint32_t flow)
{
    struct tgi_flow *f = &v->flows[flow];
    for (uint32_t i = 0; i < f->n_shared; i++) {
        struct tgi_shared *s = &v->shared[f->shared[i]];
        uint32_t moved = s->flows[--s->n];
        s->flows[f->slot[i]] = moved;
        for (uint32_t k = 0; k < v->flows[moved].n_shared; k++)
            if (v->flows[moved].shared[k] == f->shared[i])
                v->flows[moved].slot[k] = f->slot[i];
    }
    for (uint32_t i = 0; i < f->n_shared; i++)
        follow(v, &v->shared[f->shared[i]]);
}

/* ---- Copies -------------------------------------------------------------------------------*/

static uint32_t pair_of(const struct tgi_virtual *v, uint32_t from, uint32_t to) { return from * v->m->n_memories + to; }

static void share(struct tgi_virtual *v, struct tgi_flow *f, uint32_t shared, double bytes_per_ns)
{
    if (shared == TG_NONE || bytes_per_ns <= 0 || f->n_shared == 4)
        return;
    v->shared[shared].bytes_per_ns = bytes_per_ns;
    f->shared[f->n_shared++] = shared;
}

static void add_link(struct tgi_virtual *v, struct tgi_flow *f, const struct tgi_machine_link *link, uint32_t from,
                     uint32_t to)
{
    const struct tgi_machine *m = v->m;
    uint32_t ports = m->n_memories * m->n_memories, roots = ports + 2 * m->n_memories;
    uint32_t out = m->memories[from].root, in = m->memories[to].root;
    if (!link)
        return;
    f->latency_ns += link->latency_ns;
    f->cap = f->cap > 0 ? 1 / (1 / f->cap + 1 / link->bytes_per_ns) : link->bytes_per_ns;
    if (link->share != TGI_SHARE_NONE)
        share(v, f, pair_of(v, from, to), link->bytes_per_ns);
    if (link->share == TGI_SHARE_PORTS) {
        share(v, f, ports + 2 * from, m->memories[from].port_bytes_per_ns);
        share(v, f, ports + 2 * to + 1, m->memories[to].port_bytes_per_ns);
    } else if (link->share == TGI_SHARE_ROOTS && out != in) {
        share(v, f, out == TG_NONE ? TG_NONE : roots + 2 * out, out == TG_NONE ? 0 : m->roots[out].bytes_per_ns);
        share(v, f, in == TG_NONE ? TG_NONE : roots + 2 * in + 1, in == TG_NONE ? 0 : m->roots[in].bytes_per_ns);
    }
}

static struct tgi_copy_queue *queue_of(struct tgi_virtual *v, uint32_t flow)
{
    const struct tgi_flow *f = &v->flows[flow];
    return &v->memories[f->to].queues[f->from != 0][f->lane];
}

/* What comes from memory 0 on streams has one engine for all lanes. */
static bool has_engine(const struct tgi_virtual *v, const struct tgi_flow *f)
{
    return v->queueing && !v->w->is_replayed && f->from == 0 && !f->is_fill;
}

static bool can_start(struct tgi_virtual *v, uint32_t flow)
{
    const struct tgi_flow *f = &v->flows[flow];
    const struct tgi_copy_queue *lanes = v->memories[f->to].queues[f->from != 0];
    uint32_t n = lanes[f->lane].n_active;
    for (uint32_t i = 0; i < TGI_COPY_LANES && has_engine(v, f); i++)
        n += i != f->lane ? lanes[i].n_active : 0;
    return (f->n_shared == 0 && !f->is_fill) || n < (v->queueing ? 1 : COPIES_AT_ONCE);
}

/* What it takes beside its bytes.  follows: it comes right after another one. */
static double begin_ns(const struct tgi_virtual *v, const struct tgi_flow *f, bool follows)
{
    double known = v->queueing ? v->queueing->copy_ns : 0, in_turn = f->is_alone ? known : known * TGI_COPY_LANES;
    if (has_engine(v, f))
        return follows && known > 0 && known < f->latency_ns ? known : f->latency_ns;
    return v->w->is_replayed && in_turn > f->latency_ns ? in_turn : f->latency_ns;
}

static void start_copy(struct tgi_virtual *v, uint32_t flow, bool follows)
{
    const struct tgi_flow *f = &v->flows[flow];
    bool is_launched = f->from == 0 && !f->is_fill && v->queueing;
    double at = v->now + begin_ns(v, f, follows), launched = is_launched ? f->turn * v->queueing->copy_launch_ns : 0;
    queue_of(v, flow)->n_active++;
    tgi_virtual_at(v, at > launched ? at : launched, TGI_VIRTUAL_COPY_BEGIN, flow, f->version);
}

/* After a copy of a lane.  An engine stays with a lane that has more. */
static void start_next(struct tgi_virtual *v, struct tgi_copy_queue *lanes, uint32_t lane)
{
    for (uint32_t i = 0; i < TGI_COPY_LANES; i++) {
        struct tgi_copy_queue *q = &lanes[(lane + i) % TGI_COPY_LANES];
        uint32_t flow = q->first;
        if (flow == TG_NONE || !can_start(v, flow))
            continue;
        q->first = v->flows[flow].next;
        v->flows[flow].next = TG_NONE;
        start_copy(v, flow, true);
    }
}

static void queue_copy(struct tgi_virtual *v, uint32_t flow)
{
    struct tgi_flow *f = &v->flows[flow];
    f->turn = v->n_copy_turns++;
    f->is_alone = v->w->is_replayed && f->from == 0 && !f->is_fill && f->bytes > TGI_PULL_BYTES;
    f->lane = v->queueing && !f->is_alone ? f->turn % TGI_COPY_LANES : 0;
    struct tgi_copy_queue *to = queue_of(v, flow);
    if (can_start(v, flow)) {
        start_copy(v, flow, false);
        return;
    }
    *(to->first == TG_NONE ? &to->first : &v->flows[to->last].next) = flow;
    to->last = flow;
}

/* From a valid copy: the one with the quickest way, of those the one fewest others read from. */
static uint32_t choose_source(const struct tgi_virtual *v, uint32_t tile, uint32_t to)
{
    uint32_t best = TG_NONE, ports = v->m->n_memories * v->m->n_memories, n_seen = 0;
    double best_ns = 0;
    for (uint32_t r = v->tile_first[tile]; r != TG_NONE && n_seen < 16; r = v->replicas[r].next) {
        uint32_t from = v->replicas[r].memory;
        if (v->replicas[r].state != TGI_REPLICA_VALID || from == to)
            continue;
        double ns = tgi_machine_copy_ns(v->m, from, to, (double)v->w->tile_bytes[tile]) * (1 + v->shared[ports + 2 * from].n);
        if (best == TG_NONE || ns < best_ns || (ns == best_ns && from < best)) {
            best = from;
            best_ns = ns;
        }
        n_seen++;
    }
    return best;
}

/* As fast as the memory can be written, on a lane of the copies from memory 0. */
static void fill(struct tgi_virtual *v, uint32_t replica)
{
    uint32_t flow = take_flow(v), to = v->replicas[replica].memory;
    double bytes_per_ns = v->m->memories[to].bytes_per_ns;
    if (flow == TG_NONE)
        return;
    struct tgi_flow *f = &v->flows[flow];
    f->replica = replica;
    f->from = 0;
    f->to = to;
    f->bytes = (double)v->w->tile_bytes[v->replicas[replica].tile];
    f->cap = bytes_per_ns > 0 ? bytes_per_ns : 1e9;
    f->is_fill = true;
    v->replicas[replica].state = TGI_REPLICA_COMING;
    queue_copy(v, flow);
}

static void copy(struct tgi_virtual *v, uint32_t replica, uint32_t from)
{
    uint32_t flow = take_flow(v), to = v->replicas[replica].memory;
    uint64_t bytes = v->w->tile_bytes[v->replicas[replica].tile];
    if (flow == TG_NONE)
        return;
    struct tgi_flow *f = &v->flows[flow];
    const struct tgi_machine_link *direct = tgi_machine_route(v->m, from, to);
    f->replica = replica;
    f->from = from;
    f->to = to;
    f->bytes = (double)bytes;
    if (direct) {
        add_link(v, f, direct, from, to);
    } else {
        add_link(v, f, from ? tgi_machine_route(v->m, from, 0) : NULL, from, 0);
        add_link(v, f, to ? tgi_machine_route(v->m, 0, to) : NULL, 0, to);
    }
    if (f->cap <= 0)
        f->cap = 1e9; /* two memories that nothing joins: as good as one */
    v->replicas[replica].state = TGI_REPLICA_COMING;
    v->plan->moved_bytes += bytes;
    v->plan->moved_in[to] += bytes;
    v->plan->moved_out[from] += bytes;
    v->plan->n_copies++;
    queue_copy(v, flow);
}

void tgi_virtual_copy_begins(struct tgi_virtual *v, uint32_t flow)
{
    v->flows[flow].since = v->now;
    join(v, flow);
}

static void wake_waiters(struct tgi_virtual *v, uint32_t replica)
{
    uint32_t at = v->replicas[replica].waiters;
    v->replicas[replica].waiters = TG_NONE;
    while (at != TG_NONE) {
        uint32_t task = v->waiters[at].task, next = v->waiters[at].next;
        v->waiters[at].next = v->free_waiter;
        v->free_waiter = at;
        if (--v->n_missing[task] == 0)
            tgi_virtual_runnable(v, task);
        at = next;
    }
}

static void fetch(struct tgi_virtual *v, uint32_t replica);

/* A copy has come.  If the tile was written elsewhere meanwhile, whoever has asked for it since needs a new one. */
static void arrive(struct tgi_virtual *v, uint32_t replica)
{
    struct tgi_replica *r = &v->replicas[replica];
    bool is_stale = r->is_stale;
    r->is_stale = false;
    r->state = is_stale ? TGI_REPLICA_RESERVED : TGI_REPLICA_VALID;
    if (is_stale && r->n_pins == 0) {
        drop(v, replica);
        return;
    }
    if (is_stale && r->waiters != TG_NONE)
        fetch(v, replica);
    if (v->replicas[replica].state == TGI_REPLICA_VALID)
        wake_waiters(v, replica);
}

void tgi_virtual_copy_ends(struct tgi_virtual *v, uint32_t flow)
{
    struct tgi_copy_queue *to = queue_of(v, flow);
    struct tgi_copy_queue *lanes = v->memories[v->flows[flow].to].queues[v->flows[flow].from != 0];
    uint32_t replica = v->flows[flow].replica, lane = v->flows[flow].lane;
    leave(v, flow);
    v->flows[flow].version++;
    v->flows[flow].next = v->free_flow;
    v->free_flow = flow;
    to->n_active--;
    start_next(v, lanes, lane);
    arrive(v, replica);
}

/* ---- Capacity -----------------------------------------------------------------------------*/

static bool is_clean(const struct tgi_virtual *v, uint32_t r)
{
    for (uint32_t k = v->tile_first[v->replicas[r].tile]; k != TG_NONE; k = v->replicas[k].next)
        if (k != r && v->replicas[k].state == TGI_REPLICA_VALID)
            return true;
    return false;
}

static uint32_t find_victim(const struct tgi_virtual *v, uint32_t memory, bool must_be_clean)
{
    uint32_t r = v->memories[memory].oldest;
    for (uint32_t i = 0; r != TG_NONE && i < SEARCH_STEPS; i++, r = v->replicas[r].newer)
        if (v->replicas[r].n_pins == 0 && v->replicas[r].state == TGI_REPLICA_VALID && (!must_be_clean || is_clean(v, r)))
            return r;
    return TG_NONE;
}

/* The room is taken as free at once; the copy to memory 0 takes its time. */
static void spill(struct tgi_virtual *v, uint32_t victim)
{
    uint32_t tile = v->replicas[victim].tile, from = v->replicas[victim].memory, home = find(v, tile, 0);
    if (home == TG_NONE)
        home = add_replica(v, tile, 0);
    if (home == TG_NONE)
        return;
    if (v->replicas[home].state == TGI_REPLICA_RESERVED)
        copy(v, home, from);
    v->plan->spilled_bytes += v->w->tile_bytes[tile];
    drop(v, victim);
}

static bool fits(const struct tgi_virtual *v, uint32_t memory, uint64_t bytes)
{
    return v->memories[memory].limit == 0 || v->memories[memory].used + bytes <= v->memories[memory].limit;
}

static void make_room(struct tgi_virtual *v, uint32_t memory, uint64_t bytes, uint32_t task)
{
    while (!fits(v, memory, bytes)) {
        uint32_t victim = find_victim(v, memory, true);
        if (victim != TG_NONE) {
            drop(v, victim);
            v->plan->n_evicted++;
            continue;
        }
        victim = find_victim(v, memory, false);
        if (victim == TG_NONE) {
            v->plan->over = v->plan->over == TG_NONE ? task : v->plan->over;
            return;
        }
        spill(v, victim);
        v->plan->n_evicted++;
    }
}

/* ---- What tasks ask for -------------------------------------------------------------------*/

static void fetch(struct tgi_virtual *v, uint32_t replica)
{
    if (v->w->stays && v->w->stays[v->replicas[replica].tile]) {
        v->replicas[replica].state = TGI_REPLICA_VALID;
        return;
    }
    if (v->is_blank && v->is_blank[v->replicas[replica].tile]) {
        fill(v, replica);
        return;
    }
    uint32_t from = choose_source(v, v->replicas[replica].tile, v->replicas[replica].memory);
    if (from != TG_NONE)
        copy(v, replica, from);
    else
        v->replicas[replica].state = TGI_REPLICA_VALID; /* of a group whose members write at once */
}

static void await(struct tgi_virtual *v, uint32_t task, uint32_t replica)
{
    uint32_t at = TAKE(v, waiters, n_waiters, n_waiters_room, free_waiter);
    if (at == TG_NONE)
        return;
    if (at == v->free_waiter)
        v->free_waiter = v->waiters[at].next;
    v->waiters[at] = (struct tgi_waiter){task, v->replicas[replica].waiters};
    v->replicas[replica].waiters = at;
    v->n_missing[task]++;
}

void tgi_virtual_gather(struct tgi_virtual *v, uint32_t task, uint32_t memory)
{
    for (uint32_t u = v->w->uses_at[task]; u < v->w->uses_at[task + 1] && !v->is_out_of_memory; u++) {
        const struct tgi_use *use = &v->w->uses[u];
        if (use->is_read)
            wake_tile(v, use->tile);
        uint32_t r = find(v, use->tile, memory);
        if (r == TG_NONE) {
            make_room(v, memory, v->w->tile_bytes[use->tile], task);
            r = add_replica(v, use->tile, memory);
        } else {
            unlink_use(v, r);
            link_use(v, r);
        }
        if (r == TG_NONE)
            return;
        v->replicas[r].n_pins++;
        if (use->is_read && v->replicas[r].state == TGI_REPLICA_RESERVED)
            fetch(v, r);
        if (use->is_read && v->replicas[r].state == TGI_REPLICA_COMING)
            await(v, task, r);
    }
}

static void write_tile(struct tgi_virtual *v, uint32_t tile, uint32_t memory)
{
    uint32_t next;
    if (v->is_blank)
        v->is_blank[tile] = 0;
    for (uint32_t r = v->tile_first[tile]; r != TG_NONE; r = next) {
        next = v->replicas[r].next;
        if (v->replicas[r].memory == memory) {
            v->replicas[r].state = TGI_REPLICA_VALID;
            v->replicas[r].is_stale = false;
        }
        else if (v->replicas[r].state == TGI_REPLICA_COMING && v->replicas[r].waiters == TG_NONE)
            v->replicas[r].is_stale = true;
        else if (v->replicas[r].n_pins == 0 && v->replicas[r].state != TGI_REPLICA_COMING)
            drop(v, r);
    }
}

void tgi_virtual_release(struct tgi_virtual *v, uint32_t task, uint32_t memory)
{
    for (uint32_t u = v->w->uses_at[task]; u < v->w->uses_at[task + 1]; u++) {
        uint32_t r = find(v, v->w->uses[u].tile, memory);
        if (r != TG_NONE)
            v->replicas[r].n_pins--;
        if (v->w->uses[u].is_written)
            write_tile(v, v->w->uses[u].tile, memory);
    }
}

void tgi_virtual_prefetch(struct tgi_virtual *v, uint32_t task, enum tgi_virtual_send what, uint32_t writer,
                          uint32_t memory)
{
    for (uint32_t u = v->w->uses_at[task]; u < v->w->uses_at[task + 1]; u++) {
        const struct tgi_use *use = &v->w->uses[u];
        if (!use->is_read || (what == TGI_VIRTUAL_OF_WRITER && use->writer != writer))
            continue;
        wake_tile(v, use->tile);
        if (find(v, use->tile, memory) != TG_NONE || !fits(v, memory, v->w->tile_bytes[use->tile]))
            continue;
        uint32_t r = add_replica(v, use->tile, memory);
        if (r != TG_NONE)
            fetch(v, r);
    }
}

double tgi_virtual_missing_bytes(void *user, uint32_t task, uint32_t memory)
{
    const struct tgi_virtual *v = user;
    double bytes = 0;
    for (uint32_t u = v->w->uses_at[task]; u < v->w->uses_at[task + 1]; u++) {
        uint32_t tile = v->w->uses[u].tile;
        bool is_there = (v->w->stays && v->w->stays[tile]) || (v->is_blank && v->is_blank[tile]) ||
                        (v->tile_first[tile] == TG_NONE ? memory == 0 : find(v, tile, memory) != TG_NONE);
        if (v->w->uses[u].is_read && !is_there)
            bytes += (double)v->w->tile_bytes[tile];
    }
    return bytes;
}

uint32_t tgi_virtual_home(void *user, uint32_t task)
{
    const struct tgi_virtual *v = user;
    uint32_t home = TG_NONE;
    uint64_t most = 0;
    for (uint32_t u = v->w->uses_at[task]; u < v->w->uses_at[task + 1]; u++) {
        uint32_t tile = v->w->uses[u].tile, n_seen = 0;
        uint64_t bytes = v->w->tile_bytes[tile] * (1 + v->w->uses[u].is_written);
        uint32_t r = v->w->uses[u].is_read ? v->tile_first[tile] : TG_NONE;
        for (; r != TG_NONE && n_seen < 4; r = v->replicas[r].next, n_seen++)
            if (v->replicas[r].state == TGI_REPLICA_VALID && bytes > most) {
                most = bytes;
                home = v->replicas[r].memory;
            }
    }
    return home;
}

bool tgi_virtual_memory_init(struct tgi_virtual *v)
{
    const struct tgi_machine *m = v->m;
    size_t n = m->n_memories, n_shared = n * n + 2 * n + 2 * (size_t)m->n_roots;
    v->memories = calloc(n, sizeof *v->memories);
    v->shared = calloc(n_shared + 1, sizeof *v->shared);
    v->tile_first = malloc(((size_t)v->w->n_tiles + 1) * sizeof *v->tile_first);
    v->free_replica = v->free_flow = v->free_waiter = TG_NONE;
    v->is_blank = v->w->is_blank ? malloc((size_t)v->w->n_tiles + 1) : NULL;
    if (!v->memories || !v->shared || !v->tile_first || (v->w->is_blank && !v->is_blank))
        return false;
    if (v->is_blank)
        memcpy(v->is_blank, v->w->is_blank, v->w->n_tiles);
    memset(v->tile_first, 0xff, (size_t)v->w->n_tiles * sizeof *v->tile_first);
    for (uint32_t i = 0; i < n; i++) {
        struct tgi_virtual_memory *memory = &v->memories[i];
        memory->newest = memory->oldest = TG_NONE;
        for (uint32_t k = 0; k < 2 * TGI_COPY_LANES; k++)
            memory->queues[k / TGI_COPY_LANES][k % TGI_COPY_LANES] = (struct tgi_copy_queue){0, TG_NONE, TG_NONE};
        memory->limit = i == 0 ? 0 : m->memories[i].bytes;
        memory->bytes_per_ns = m->memories[i].bytes_per_ns;
    }
    return true;
}

void tgi_virtual_memory_fini(struct tgi_virtual *v)
{
    size_t n = v->m->n_memories, n_shared = n * n + 2 * n + 2 * (size_t)v->m->n_roots;
    for (size_t i = 0; v->shared && i < n_shared; i++)
        free(v->shared[i].flows);
    for (size_t i = 0; v->memories && i < n; i++)
        free(v->memories[i].lanes);
    free(v->memories);
    free(v->shared);
    free(v->tile_first);
    free(v->is_blank);
    free(v->replicas);
    free(v->flows);
    free(v->waiters);
}
