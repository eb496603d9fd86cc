/* The worker of dynamic programs: finds a task, executes it, releases its successors, goes on with one of them.
 *
 * Where tasks come from, nearest first: the successor at hand; the own rings in shared memory, urgent before plain; the
 * private list; claimed roots; rings of the block's other workers; unclaimed roots; the own and others' rings in
 * global memory; the mailbox.  Where they go: the own ring in shared memory, if that is full the one in global memory, where anybody
 * steals, if that is full too the private list, which has room for all tasks there are.
 *
 * Idle workers and mailboxes.  A worker that has found nothing sets its bit in its block's mask and looks on.  Who has
 * more than it needs takes a task, clears an idle worker's bit, and if it was set puts the task into that worker's
 * mailbox.  Whoever clears the bit decides: a worker that finds a task elsewhere clears its own, and if it was no longer set,
 * a task is on its way that it must wait for.  So no mailbox gets two tasks, and none is left behind.  The task is
 * taken before the bit is cleared: nobody waits for a task that another has stolen meanwhile.
 *
 * The end.  `finished` counts tasks when they and their releases are over, `made` counts tasks that tasks make before anybody can
 * find them.  A worker without a task reads first `finished`, then `made`: as finished <= all at any time and
 * neither falls, equality says that at the time of the first reading all tasks were finished, and nobody was left
 * to make one.  Queues that look empty say nothing.
 *
 * tests/model/resident_mail.pml explores announcing, claiming, withdrawing and the end. */
#ifndef TGI_GPU_RESIDENT_SCHEDULER_H
#define TGI_GPU_RESIDENT_SCHEDULER_H

#include "gpu/resident/ring.h"
#include "gpu/resident/worker.h"

#define TGI_NO_TASK  UINT32_MAX
#define TGI_ALL_DONE (UINT32_MAX - 1)

/* Lane 0 has what is said of the worker. */
struct tgi_runner {
    struct tgi_worker w;
    const struct tgi_resident_pool *p;
    struct tgi_ring *local;  /* of the block, by worker and class */
    uint32_t *local_slots;
    uint32_t block, rank;    /* in it */
    uint32_t list;           /* private list */
    uint32_t root, root_end; /* claimed */
    uint32_t n_finished, n_done; /* not yet added; in this epoch */
#ifdef TGI_FAMILIES
    uint32_t n_ended;        /* of those not yet added, made by bodies */
#endif
    uint32_t lot;            /* for victims */
    bool is_announced;
};

TGI_FN struct tgi_ring *tgi_local_ring(const struct tgi_runner *r, uint32_t rank, uint32_t class_)
{
    return &r->local[rank * TGI_RESIDENT_CLASSES + class_];
}
TGI_FN uint32_t *tgi_local_slots(const struct tgi_runner *r, uint32_t rank, uint32_t class_)
{
    return &r->local_slots[(rank * TGI_RESIDENT_CLASSES + class_) * r->p->local_capacity];
}
TGI_FN struct tgi_ring *tgi_far_ring(const struct tgi_runner *r, uint32_t worker, uint32_t class_)
{
    return &r->p->rings[worker * TGI_RESIDENT_CLASSES + class_];
}
TGI_FN uint32_t *tgi_far_slots(const struct tgi_runner *r, uint32_t worker, uint32_t class_)
{
    return &r->p->slots[(uint64_t)(worker * TGI_RESIDENT_CLASSES + class_) * r->p->ring_capacity];
}

TGI_FN uint32_t tgi_draw(struct tgi_runner *r, uint32_t n)
{
    r->lot = r->lot * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(r->lot ^ r->lot >> 15) % n);
}

/* ---- Putting and taking, lane 0 -----------------------------------------------------------------*/

TGI_FN void tgi_put(struct tgi_runner *r, uint32_t task, uint32_t class_)
{
    if (tgi_ring_put(tgi_local_ring(r, r->rank, class_), true, tgi_local_slots(r, r->rank, class_), r->p->local_capacity,
                     task) ||
        tgi_ring_put(tgi_far_ring(r, r->w.id, class_), false, tgi_far_slots(r, r->w.id, class_), r->p->ring_capacity, task))
        return;
    r->p->next[task] = r->list;
    r->list = task;
}

/* From a ring to the own one of the class, all but the first. */
TGI_FN uint32_t tgi_take(struct tgi_runner *r, struct tgi_ring *from, bool is_near, const uint32_t *slots,
                         uint32_t capacity, uint32_t class_, uint32_t n)
{
    struct tgi_ring *own = tgi_local_ring(r, r->rank, class_);
    uint64_t ends = tgi_ends_load(own, true);
    uint32_t room = r->p->local_capacity - TGI_RING_SIZE(ends), task = TGI_NO_TASK;
    uint32_t n_taken = tgi_ring_take(from, is_near, slots, capacity, n < room + 1 ? n : room + 1, &task,
                                     tgi_local_slots(r, r->rank, class_), TGI_RING_TAIL(ends), r->p->local_capacity);
    if (n_taken > 1)
        tgi_ring_publish(own, true, n_taken - 1);
    return task;
}

TGI_FN uint32_t tgi_take_local(struct tgi_runner *r, uint32_t rank, uint32_t n)
{
    uint32_t task = TGI_NO_TASK;
    for (uint32_t c = TGI_RESIDENT_CLASSES; c-- > 0 && task == TGI_NO_TASK;)
        if (TGI_RING_SIZE(tgi_ends_hint(tgi_local_ring(r, rank, c))))
            task = tgi_take(r, tgi_local_ring(r, rank, c), true, tgi_local_slots(r, rank, c), r->p->local_capacity, c, n);
    return task;
}
TGI_FN uint32_t tgi_take_far(struct tgi_runner *r, uint32_t worker)
{
    uint32_t task = TGI_NO_TASK;
    for (uint32_t c = TGI_RESIDENT_CLASSES; c-- > 0 && task == TGI_NO_TASK;)
        if (TGI_RING_SIZE(tgi_ends_hint(tgi_far_ring(r, worker, c))))
            task = tgi_take(r, tgi_far_ring(r, worker, c), false, tgi_far_slots(r, worker, c), r->p->ring_capacity, c,
                            TGI_RESIDENT_STEAL);
    return task;
}

TGI_FN uint32_t tgi_take_listed(struct tgi_runner *r)
{
    uint32_t task = r->list;
    if (task != TGI_NO_TASK)
        r->list = r->p->next[task];
    return task;
}

TGI_FN uint32_t tgi_take_claimed(struct tgi_runner *r)
{
    if (r->root == r->root_end)
        return TGI_NO_TASK;
    uint32_t i = r->root++;
    return r->p->roots ? r->p->roots[i] : i;
}
TGI_FN uint32_t tgi_claim_roots(struct tgi_runner *r)
{
    uint32_t *claimed = &r->p->counts->claimed[r->w.epoch & 1].n;
    if (tgi_load_relaxed(claimed) >= r->p->n_roots)
        return TGI_NO_TASK;
    /* relaxed: roots lie in tables that no task writes. */
    uint32_t begin = tgi_fetch_add_relaxed(claimed, r->p->chunk), left;
    if (begin >= r->p->n_roots)
        return TGI_NO_TASK;
    left = r->p->n_roots - begin;
    r->root = begin;
    r->root_end = begin + (left < r->p->chunk ? left : r->p->chunk);
    return tgi_take_claimed(r);
}

TGI_FN uint32_t tgi_take_own(struct tgi_runner *r)
{
    uint32_t task = tgi_take_local(r, r->rank, 1);
    if (task == TGI_NO_TASK)
        task = tgi_take_listed(r);
    return task == TGI_NO_TASK ? tgi_take_claimed(r) : task;
}
TGI_FN uint32_t tgi_take_any(struct tgi_runner *r, uint32_t victim)
{
    uint32_t each = r->w.v->n_workers_each, task = tgi_take_own(r);
    for (uint32_t i = 1; i < each && task == TGI_NO_TASK; i++)
        task = tgi_take_local(r, r->rank + i < each ? r->rank + i : r->rank + i - each, TGI_RESIDENT_STEAL);
    if (task == TGI_NO_TASK)
        task = tgi_claim_roots(r);
    if (task == TGI_NO_TASK)
        task = tgi_take_far(r, r->w.id);
    return task == TGI_NO_TASK && victim != TGI_NO_TASK ? tgi_take_far(r, victim) : task;
}

/* ---- Idle workers ---------------------------------------------------------------------------*/

/* acq_rel: the mailbox is empty before the bit is seen, and who clears it sees that. */
TGI_FN void tgi_announce(struct tgi_runner *r)
{
    tgi_fetch_or_acq_rel(&r->p->idle[r->block].mask, 1u << r->rank);
    r->is_announced = true;
}
TGI_FN bool tgi_clear_bit(const struct tgi_runner *r, uint32_t block, uint32_t rank)
{
    return tgi_fetch_and_acq_rel(&r->p->idle[block].mask, ~(1u << rank)) >> rank & 1;
}

TGI_FN uint32_t tgi_read_mail(struct tgi_runner *r)
{
    uint32_t *mail = &r->p->mail[r->w.id].task, got = tgi_load_acquire(mail); /* pairs with tgi_send() */
    if (got == 0)
        return TGI_NO_TASK;
    tgi_store_relaxed(mail, 0); /* before the bit is set again, which releases it */
    r->is_announced = false;
    return got - 1;
}

/* Wants no mail any more; a task that is on its way is waited for and put aside. */
TGI_FN void tgi_withdraw(struct tgi_runner *r)
{
    uint32_t task = TGI_NO_TASK;
    if (!r->is_announced)
        return;
    if (tgi_clear_bit(r, r->block, r->rank)) {
        r->is_announced = false;
        return;
    }
    while ((task = tgi_read_mail(r)) == TGI_NO_TASK && !tgi_load_relaxed(&r->w.v->control->abort))
        tgi_pause();
    if (task != TGI_NO_TASK)
        tgi_put(r, task, 0);
}

TGI_FN bool tgi_has_others(const struct tgi_runner *r)
{
    uint32_t size = r->root_end - r->root + (r->list != TGI_NO_TASK);
    for (uint32_t c = 0; c < TGI_RESIDENT_CLASSES; c++)
        size += TGI_RING_SIZE(tgi_ends_hint(tgi_local_ring(r, r->rank, c)));
    return size > 0;
}

/* Lane 0: a task of ours for an idle worker of that block. */
TGI_FN void tgi_send(struct tgi_runner *r, uint32_t block)
{
    uint32_t mask = tgi_load_relaxed(&r->p->idle[block].mask), rank, task;
    if (mask == 0 || (task = tgi_take_own(r)) == TGI_NO_TASK)
        return;
    rank = tgi_lowest(mask);
    if (tgi_clear_bit(r, block, rank))
        /* release: what the task depends on; pairs with tgi_read_mail(). */
        tgi_store_release(&r->p->mail[block * r->w.v->n_workers_each + rank].task, task + 1);
    else
        tgi_put(r, task, 0);
}

/* ---- Finding --------------------------------------------------------------------------------*/

/* Lane 0.  release: whoever sees the count sees that these tasks are over, and what they have made. */
TGI_FN void tgi_flush(struct tgi_runner *r)
{
#ifdef TGI_FAMILIES /* where tasks that are made are counted when they end: before, as `finished` is read first */
    if (r->n_ended)
        tgi_add_release(&r->p->counts->made, r->n_ended);
    r->n_ended = 0;
#endif
    if (r->n_finished)
        tgi_add_release(&r->p->counts->finished, r->n_finished);
    r->n_finished = 0;
    tgi_store_relaxed(&r->w.v->progress[r->w.id], r->n_done);
}

TGI_FN bool tgi_is_all_done(const struct tgi_runner *r, uint32_t *finished_p)
{
    uint32_t finished = tgi_load_acquire(&r->p->counts->finished), made = tgi_load_acquire(&r->p->counts->made);
    *finished_p = finished;
    return finished - r->p->finished_before == r->p->n_tasks + (made - r->p->made_before);
}

/* All lanes: a ring in global memory that seems to have tasks, of as many workers as there are lanes. */
TGI_FN uint32_t tgi_find_victim(struct tgi_runner *r)
{
    uint32_t n = r->p->n_blocks * r->w.v->n_workers_each, start = tgi_warp_get(tgi_draw(r, n), 0), size = 0;
    uint32_t worker = (start + tgi_lane()) % n;
    for (uint32_t c = 0; c < TGI_RESIDENT_CLASSES; c++)
        size += TGI_RING_SIZE(tgi_ends_hint(tgi_far_ring(r, worker, c)));
    uint32_t found = tgi_warp_ballot(size > 0);
    return found ? tgi_warp_get(worker, tgi_lowest(found)) : TGI_NO_TASK;
}

/* Lane 0: a task, TGI_ALL_DONE, or nothing yet. */
TGI_FN uint32_t tgi_look(struct tgi_runner *r, uint32_t victim, struct tgi_patience *patience, uint32_t *finished_p)
{
    const struct tgi_resident_task nobody = {0, TGI_NO_TASK, 0, 0, {0, 0}, {0, 0}};
    uint32_t task = tgi_take_any(r, victim), finished;
    if (task != TGI_NO_TASK) {
        tgi_withdraw(r);
        return task;
    }
    tgi_flush(r);
    if (!r->is_announced)
        tgi_announce(r);
    if ((task = tgi_read_mail(r)) != TGI_NO_TASK)
        return task;
    if (tgi_is_all_done(r, &finished)) {
        tgi_withdraw(r);
        return TGI_ALL_DONE;
    }
    if (finished != *finished_p) /* patience is for when nothing happens anywhere */
        patience->since_ns = 0;
    *finished_p = finished;
    return tgi_wait_longer(&r->w, patience, &nobody, TGI_NO_TASK, TGI_NO_TASK, finished - r->p->finished_before,
                           r->p->n_tasks)
               ? TGI_NO_TASK
               : TGI_ALL_DONE;
}

TGI_FN uint32_t tgi_find(struct tgi_runner *r)
{
    struct tgi_patience patience = {0, 0};
    uint32_t task = TGI_NO_TASK, finished = 0;
    if (tgi_lane() == 0)
        task = tgi_take_own(r);
    task = tgi_warp_get(task, 0);
    while (task == TGI_NO_TASK) {
        uint32_t victim = tgi_find_victim(r);
        if (tgi_lane() == 0)
            task = tgi_look(r, victim, &patience, &finished);
        task = tgi_warp_get(task, 0);
    }
    tgi_warp_sync(); /* lane 0 has acquired for all */
    return task;
}

/* ---- Executing ------------------------------------------------------------------------------*/

/* Lane 0: one more ready task.  The first is kept at hand, unless a later one is more urgent. */
TGI_FN void tgi_ready(struct tgi_runner *r, uint32_t word, uint32_t *next_p)
{
    bool is_better = (word & TGI_NEXT_URGENT) && *next_p != TGI_NO_TASK && !(*next_p & TGI_NEXT_URGENT);
    uint32_t put = word & ~TGI_NEXT_LONE;
    if (*next_p == TGI_NO_TASK || is_better) {
        put = *next_p;
        *next_p = word & ~TGI_NEXT_LONE;
    }
    if (put != TGI_NO_TASK)
        tgi_put(r, TGI_NEXT_ID(put), put & TGI_NEXT_URGENT ? 1 : 0);
}

/* All lanes. */
TGI_FN void tgi_release(struct tgi_runner *r, const struct tgi_resident_task *t, uint32_t *next_p)
{
    uint32_t n_out = tgi_n_out(t);
    for (uint32_t begin = 0; begin < n_out; begin += TGI_LANES) {
        uint32_t k = begin + tgi_lane(), word = k < n_out ? tgi_out_word(&r->w, t, k) : 0, id = TGI_NEXT_ID(word);
        bool is_ready = k < n_out;
        if (is_ready && !(word & TGI_NEXT_LONE)) {
            uint32_t wanted = r->w.v->tasks[id].n_wait * r->w.epoch;
            /* acq_rel: our results become visible to whoever is last, and if that is us, we see all others'.  Pairs
             * with itself in the other predecessors. */
            is_ready = tgi_fetch_add_acq_rel(&r->w.v->counters[id], 1) + 1 == wanted;
        }
        uint32_t ready = tgi_warp_ballot(is_ready);
        tgi_warp_sync();
        for (; ready; ready &= ready - 1) {
            uint32_t one = tgi_warp_get(word, tgi_lowest(ready));
            if (tgi_lane() == 0)
                tgi_ready(r, one, next_p);
        }
    }
}

/* Lane 0: two tasks below, one of them at hand. */
TGI_FN void tgi_branch(struct tgi_runner *r, uint32_t task, uint32_t key, uint32_t level, uint32_t *next_p)
{
    tgi_add_wide(&r->p->counts->sum, tgi_mix(key));
    if (level == 0 || r->w.is_failed)
        return;
    /* relaxed: the ring's release, or our own program order, puts it before whatever the children do. */
    uint32_t i = tgi_fetch_add_relaxed(&r->p->counts->made, 2) - r->p->made_before;
    if (i + 2 > r->p->made_capacity || i + 2 < i) {
        struct tgi_resident_panic what = {TGI_PANIC_ROOM, task, r->w.id, task, 0, i, r->p->made_capacity, 0};
        r->n_finished += 2; /* which nobody will find */
        r->w.is_failed = true;
        tgi_panic(r->w.v, &what);
        tgi_store_relaxed(&r->w.v->control->is_failed, 1);
        return;
    }
    r->p->made[i].key = 2 * key;
    r->p->made[i + 1].key = 2 * key + 1;
    r->p->made[i].level = r->p->made[i + 1].level = level - 1;
    tgi_put(r, r->p->n_tasks + i + 1, 0);
    *next_p = r->p->n_tasks + i;
}

TGI_FN uint32_t tgi_execute(struct tgi_runner *r, uint32_t task)
{
    uint32_t next = TGI_NO_TASK;
    if (task >= r->p->n_tasks) {
        const struct tgi_resident_made *m = &r->p->made[task - r->p->n_tasks];
        if (tgi_lane() == 0)
            tgi_branch(r, task, m->key, m->level, &next);
    } else {
        struct tgi_resident_task t = r->w.v->tasks[task];
        uint32_t op = TGI_HEAD_OP(t.head);
        uint64_t result = 0;
        if (op <= TGI_RESIDENT_HASH)
            result = tgi_warp_small(&r->w, &t, 0);
        else if (op == TGI_RESIDENT_TREE) {
            if (tgi_lane() == 0)
                tgi_branch(r, task, task + 1, (uint32_t)r->w.v->args[task], &next);
        } else if (!r->w.is_failed)
            result = tgi_body_other(&r->w, &t, task);
        if (tgi_lane() == 0)
            r->w.v->results[task] = result;
        TGI_DELAY(r->w.id);
        tgi_warp_sync();
        tgi_release(r, &t, &next);
    }
    r->n_finished++;
    r->n_done++;
    return next;
}

/* What a worker looks at between tasks.  The words are asked for before a task and looked at after it, so that they come
 * while it is executed. */
struct tgi_outlook {
    uint32_t abort, is_failed;
    uint32_t block, idle; /* by lane: a block, and its mask */
};

TGI_FN struct tgi_outlook tgi_outlook_ask(struct tgi_runner *r)
{
    struct tgi_outlook o;
    uint32_t start = tgi_warp_get(tgi_draw(r, r->p->n_blocks), 0);
    o.block = (start + tgi_lane()) % r->p->n_blocks;
    o.idle = tgi_load_relaxed(&r->p->idle[o.block].mask);
    o.abort = tgi_load_relaxed(&r->w.v->control->abort);
    o.is_failed = tgi_load_relaxed(&r->w.v->control->is_failed);
    return o;
}

/* Whoever goes on with a task at hand and has others besides feeds the idle. */
TGI_FN void tgi_outlook_use(struct tgi_runner *r, const struct tgi_outlook *o)
{
    uint32_t found = tgi_warp_ballot(o->idle != 0);
    uint32_t block = found ? tgi_warp_get(o->block, tgi_lowest(found)) : 0;
    if (found && tgi_lane() == 0 && tgi_has_others(r))
        tgi_send(r, block);
    if (o->is_failed)
        r->w.is_failed = true;
    if (o->abort)
        r->w.is_over = true;
}

TGI_FN void tgi_runner_run(struct tgi_runner *r)
{
    uint32_t next = TGI_NO_TASK;
    r->list = TGI_NO_TASK;
    r->lot = r->w.id * 2654435761u + r->w.epoch;
    if (r->w.id == 0 && tgi_lane() == 0)
        tgi_store_relaxed(&r->p->counts->claimed[~r->w.epoch & 1].n, 0);
    for (;;) {
        uint32_t task = tgi_warp_get(next, 0);
        task = task == TGI_NO_TASK ? tgi_find(r) : TGI_NEXT_ID(task);
        if (task == TGI_ALL_DONE)
            break;
        struct tgi_outlook outlook = tgi_outlook_ask(r);
        next = tgi_execute(r, task);
        tgi_outlook_use(r, &outlook);
        if (tgi_warp_any(r->w.is_over))
            break;
    }
    if (tgi_lane() == 0)
        tgi_flush(r);
}

#endif
