/* Commute and reduce groups: neighbours that are not ordered but must not run at once on the same
 * rows.
 *
 * Each group has a lock.  A task takes the locks of its groups in ascending order and keeps them
 * until it is done, so no cycle of waiting can arise.  Who finds a lock held queues on it and goes
 * away; the holder hands the lock over, and the heir goes on taking the rest of its locks, or is
 * pushed if it has them all.  Nobody spins but for the few instructions under a lock's own latch.
 *
 * In a reduce group, who finds the lock held takes a private copy instead, which starts at the
 * neutral element; the last member merges the copies into the tile before its successors are
 * released.  There are never more copies than workers, since a copy is handed back after each task. */
#include <string.h>

#include "mem/hostops.h"
#include "sched/runtime.h"

struct private_copy {
    struct private_copy *next_all, *next_idle;
    _Alignas(64) char data[];
};

struct tgi_lock {
    _Alignas(64) _Atomic uint32_t latch; /* guards the rest */
    bool is_held;
    uint32_t first, last; /* shares that wait, TG_NONE: none */
    uint32_t n_left;      /* members that have not finished */
    struct private_copy *all, *idle;
};

/* Written under the lock's latch, or by the task's worker. */
struct tgi_share_state {
    uint32_t next; /* share that waits behind this one */
    struct private_copy *copy;
};

static void latch(struct tgi_lock *l)
{
    /* acquire: pairs with the release in unlatch. */
    while (atomic_exchange_explicit(&l->latch, 1, memory_order_acquire))
        while (atomic_load_explicit(&l->latch, memory_order_relaxed))
            ;
}

static void unlatch(struct tgi_lock *l)
{
    atomic_store_explicit(&l->latch, 0, memory_order_release);
}

bool tgi_locks_create(struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    if (!g->n_shares)
        return true;
    in->locks = aligned_alloc(64, g->n_groups * sizeof *in->locks);
    in->share_states = calloc(g->n_shares, sizeof *in->share_states);
    if (in->locks)
        memset(in->locks, 0, g->n_groups * sizeof *in->locks);
    if (!in->locks || !in->share_states)
        return false;
    for (uint32_t i = 0; i < g->n_groups; i++) {
        in->locks[i].first = in->locks[i].last = TG_NONE;
        in->locks[i].n_left = g->groups[i].n_members;
    }
    return true;
}

static void drop_copies(struct tgi_lock *l)
{
    while (l->all) {
        struct private_copy *next = l->all->next_all;
        free(l->all);
        l->all = next;
    }
    l->idle = NULL;
}

void tgi_locks_destroy(struct tgi_instance *in)
{
    for (uint32_t i = 0; in->locks && i < in->graph->n_groups; i++)
        drop_copies(&in->locks[i]);
    free(in->locks);
    free(in->share_states);
}

/* The tile a share is about. */
static uint64_t word_of(const struct tgi_instance *in, const struct tgi_share *share)
{
    return in->graph->args[in->nodes[share->task].args + share->arg];
}

/* A neutral copy; NULL without memory, or if the op has no neutral element for the type. */
static struct private_copy *copy_create(const struct tgi_instance *in, const struct tgi_share *share)
{
    const struct tgi_buffer *b;
    uint64_t n = tgi_word_elems(in->graph->space, word_of(in, share), &b);
    size_t bytes = sizeof(struct private_copy) + n * tg_dtype_size(b->dtype);
    struct private_copy *copy = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (copy && tgi_host_identity(copy->data, n, b->dtype, in->graph->groups[share->group].op, NULL)) {
        free(copy);
        copy = NULL;
    }
    return copy;
}

/* One lock; false: the share has been queued. */
static bool acquire_one(struct tgi_instance *in, const struct tgi_share *share)
{
    uint32_t id = (uint32_t)(share - in->graph->shares);
    struct tgi_lock *l = &in->locks[share->group];
    struct tgi_share_state *state = &in->share_states[id];
    struct private_copy *made = NULL;
    bool may_copy = in->graph->groups[share->group].is_reduce && !in->run->cut && !(in->via && in->via[share->task]), has = true;
    latch(l);
    if (l->is_held && may_copy && !l->idle) {
        unlatch(l);
        made = copy_create(in, share);
        latch(l);
        if (made) {
            made->next_all = l->all;
            l->all = made;
        }
    }
    state->copy = NULL;
    if (made) {
        state->copy = made;
    } else if (!l->is_held) {
        l->is_held = true;
    } else if (may_copy && l->idle) {
        state->copy = l->idle;
        l->idle = l->idle->next_idle;
    } else {
        state->next = TG_NONE;
        if (l->first == TG_NONE)
            l->first = id;
        else
            in->share_states[l->last].next = id;
        l->last = id;
        has = false;
    }
    unlatch(l);
    return has;
}

/* The locks of a task from `share` on, up to its last. */
static bool acquire_from(struct tgi_instance *in, const struct tgi_share *share)
{
    const struct tgi_share *end = in->graph->shares + in->graph->n_shares;
    uint32_t task = share->task;
    for (; share < end && share->task == task; share++)
        if (!acquire_one(in, share))
            return false;
    return true;
}

bool tgi_locks_acquire(struct tgi_worker *w, struct tgi_instance *in, uint32_t task)
{
    uint32_t n;
    (void)w;
    return acquire_from(in, tgi_graph_shares(in->graph, task, &n));
}

void tgi_locks_redirect(struct tgi_instance *in, uint32_t task, uint64_t *values)
{
    uint32_t n;
    const struct tgi_share *shares = tgi_graph_shares(in->graph, task, &n);
    for (uint32_t i = 0; i < n; i++) {
        struct private_copy *copy = in->share_states[shares + i - in->graph->shares].copy;
        if (copy)
            values[shares[i].arg] = (uint64_t)(uintptr_t)copy->data;
    }
}

/* The last member is done and alone: nobody else touches the lock until the next start. */
static void merge(struct tgi_instance *in, const struct tgi_share *share)
{
    struct tgi_lock *l = &in->locks[share->group];
    const struct tgi_buffer *b;
    uint64_t word = word_of(in, share), n = tgi_word_elems(in->graph->space, word, &b);
    void *tile = tgi_store_address(in->run->store, word);
    for (struct private_copy *copy = l->all; copy; copy = copy->next_all)
        tgi_host_reduce_into(tile, copy->data, n, b->dtype, in->graph->groups[share->group].op, NULL);
    drop_copies(l);
}

/* Gives one lock back; the share that inherits it, or NULL. */
static const struct tgi_share *release_one(struct tgi_instance *in, const struct tgi_share *share)
{
    uint32_t id = (uint32_t)(share - in->graph->shares);
    struct tgi_lock *l = &in->locks[share->group];
    const struct tgi_share *heir = NULL;
    latch(l);
    bool is_last = --l->n_left == 0;
    struct private_copy *copy = in->share_states[id].copy;
    if (copy) {
        copy->next_idle = l->idle;
        l->idle = copy;
        in->share_states[id].copy = NULL;
    } else if (l->first != TG_NONE) {
        heir = &in->graph->shares[l->first];
        l->first = in->share_states[l->first].next;
    } else {
        l->is_held = false;
    }
    unlatch(l);
    if (is_last) {
        merge(in, share);
        l->n_left = in->graph->groups[share->group].n_members;
    }
    return heir;
}

void tgi_locks_release(struct tgi_worker *w, struct tgi_instance *in, uint32_t task)
{
    uint32_t n;
    const struct tgi_share *shares = tgi_graph_shares(in->graph, task, &n);
    for (uint32_t i = 0; i < n; i++) {
        const struct tgi_share *heir = release_one(in, &shares[i]);
        if (!heir)
            continue;
        in->share_states[heir - in->graph->shares].copy = NULL;
        const struct tgi_share *rest = heir + 1, *end = in->graph->shares + in->graph->n_shares;
        if (rest == end || rest->task != heir->task || acquire_from(in, rest)) {
            tgi_worker_push(w, in, heir->task, TGI_ITEM_LOCKED);
            tgi_worker_wake(w->runtime);
        }
    }
}
