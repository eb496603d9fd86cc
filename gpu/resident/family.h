/* The worker of dynamic programs whose tasks are bodies: finds tasks as scheduler.h does, calls their bodies, and tells successors
 * when everything is over that came of a task.
 *
 * A task of the graph and all that its body made, and what those made in turn, are a family, and `live` counts its members that
 * are not over (mem/resident_dynamic.h).  A task that makes none is in no family: its successors are told as ever.
 *
 * Who keeps the count.  A worker that goes on within a family adds nothing for each task: what has ended it owes, and what
 * is made is set against that first.  So `live` less what all workers owe is how many there are, and never less: it comes to 0 by a
 * subtraction that pays what is owed, when all are over and paid.  A worker pays before it takes up a task of another family and
 * before it looks for tasks elsewhere.  What is made is counted before anybody can find it.
 *
 * Where made tasks go.  The first is gone on with, those after it to rings as long as these have few, for others to find, the rest to the private
 * list, from which the worker takes the newest first: a tree is searched in depth, and needs as much room as it is deep, times its branches.
 *
 * A body can ask to be called again (TGI_CALL_AGAIN).  Its task goes behind all others of its worker's; if it is one of the graph, it
 * is a member of its own family until then.  Where nothing else happens, this has the limit of a wait.
 *
 * The end.  `finished` counts tasks of the graph as their families are over, and `made` and `finished` both count each that was
 * made as it ends: whether anything is left to do shows in their difference, as in scheduler.h, and that they grow shows those that wait
 * that something goes on. */
#ifndef TGI_GPU_RESIDENT_FAMILY_H
#define TGI_GPU_RESIDENT_FAMILY_H

#define TGI_FAMILIES
#include "gpu/library/spawn.h"
#include "gpu/resident/scheduler.h"

enum {
    TGI_SHARE_NEAR = 4, /* tasks that a worker offers in its ring in shared memory, */
    TGI_SHARE_FAR = 8,  /* and in that in global memory */
    TGI_TELL_EVERY = 32 /* tasks, so that those that wait see that something goes on */
};

struct tgi_family_runner {
    struct tgi_runner r;
    struct tgd_spawner *spawner;
    const uint64_t *words;    /* of the task at hand */
    uint32_t owed, owed_root; /* ended, not yet subtracted; of whose family */
    struct tgi_patience patience; /* lane 0: with bodies that want to be called again, as long as nothing else happens, */
    uint32_t n_seen;              /* as `finished` says */
};

TGI_FN bool tgi_is_made(const struct tgi_family_runner *f, uint32_t task) { return task >= f->r.p->n_tasks; }

/* ---- Counts -----------------------------------------------------------------------------*/

/* All lanes: a task of the graph is over, and all that came of it. */
TGI_FN void tgi_family_end(struct tgi_family_runner *f, uint32_t root, uint32_t *next_p)
{
    struct tgi_resident_task t = f->r.w.v->tasks[root];
    tgi_warp_sync();
    tgi_release(&f->r, &t, next_p);
    f->r.n_finished++;
}

/* All lanes: pays what is owed.  acq_rel: what our tasks have left is seen by whoever comes to 0, and if that is us, we see what all others
 * have.  Pairs with itself. */
TGI_FN void tgi_settle(struct tgi_family_runner *f, uint32_t *next_p)
{
    uint32_t owed = f->owed, left = 1;
    if (owed == 0)
        return;
    f->owed = 0;
    tgi_warp_sync();
    if (tgi_lane() == 0)
        left = tgi_fetch_add_acq_rel(&f->spawner->nursery->live[f->owed_root], 0 - owed) - owed;
    if (tgi_warp_get(left, 0) == 0)
        tgi_family_end(f, f->owed_root, next_p);
}

/* All lanes: a task has ended, or not, and there are n more in its family.  relaxed: the queue's release puts it before they are found. */
TGI_FN void tgi_family_count(struct tgi_family_runner *f, uint32_t root, bool has_ended, uint32_t n)
{
    f->owed_root = root;
    f->owed += has_ended;
    uint32_t paid = n < f->owed ? n : f->owed;
    f->owed -= paid;
    if (n > paid && tgi_lane() == 0)
        tgi_fetch_add_relaxed(&f->spawner->nursery->live[root], n - paid);
}

/* ---- What a body has made ------------------------------------------------------------------*/

/* Lane 0.  n_far: tasks in the worker's ring in global memory, at most. */
TGI_FN void tgi_share(struct tgi_runner *r, uint32_t task, uint32_t *n_far_p)
{
    struct tgi_ring *near = tgi_local_ring(r, r->rank, 0);
    if (TGI_RING_SIZE(tgi_ends_hint(near)) < TGI_SHARE_NEAR &&
        tgi_ring_put(near, true, tgi_local_slots(r, r->rank, 0), r->p->local_capacity, task))
        return;
    if (*n_far_p < TGI_SHARE_FAR &&
        tgi_ring_put(tgi_far_ring(r, r->w.id, 0), false, tgi_far_slots(r, r->w.id, 0), r->p->ring_capacity, task)) {
        ++*n_far_p;
        return;
    }
    r->p->next[task] = r->list;
    r->list = task;
}

/* Lane 0: they can be found, the first by ourselves. */
TGI_FN void tgi_show(struct tgi_family_runner *f, uint32_t n_made, uint32_t n_far, uint32_t *next_p)
{
    struct tgd_spawner *s = f->spawner;
    uint32_t first = f->r.p->n_tasks + s->worker * s->nursery->n_each;
    bool is_kept = n_made && *next_p == TGI_NO_TASK;
    for (uint32_t i = n_made; i-- > (is_kept ? 1 : 0);)
        tgi_share(&f->r, first + s->made[i], &n_far);
    if (is_kept)
        *next_p = first + s->made[0];
}

/* Lane 0: they are forgotten, after a failure. */
TGI_FN void tgi_forget(struct tgd_spawner *s, uint32_t n_made)
{
    for (uint32_t i = 0; i < n_made; i++)
        tgi_spawn_give(s, s->worker * s->nursery->n_each + s->made[i]);
}

/* Lane 0: behind all others.  Where both rings are full, the oldest of the near one makes room. */
TGI_FN void tgi_put_behind(struct tgi_runner *r, uint32_t task)
{
    struct tgi_ring *near = tgi_local_ring(r, r->rank, 0);
    while (!tgi_ring_put(near, true, tgi_local_slots(r, r->rank, 0), r->p->local_capacity, task)) {
        uint32_t oldest = tgi_take(r, near, true, tgi_local_slots(r, r->rank, 0), r->p->local_capacity, 0, 1);
        if (oldest == TGI_NO_TASK) /* somebody else has taken it */
            continue;
        r->p->next[oldest] = r->list;
        r->list = oldest;
    }
}

/* Lane 0: called again for nothing, all the time, is a wait like others. */
TGI_FN void tgi_be_patient(struct tgi_family_runner *f, const struct tgi_resident_task *t)
{
    uint32_t finished = tgi_load_relaxed(&f->r.p->counts->finished);
    if (finished != f->n_seen)
        f->patience.since_ns = 0;
    f->n_seen = finished;
    tgi_wait_longer(&f->r.w, &f->patience, t, t->id, TGI_NO_TASK, finished - f->r.p->finished_before, f->r.p->n_tasks);
}

/* ---- Executing ------------------------------------------------------------------------------*/

/* The lane's word of its words. */
TGI_FN uint64_t tgi_family_fetch(struct tgi_family_runner *f, uint32_t task, struct tgi_resident_task *t)
{
    const struct tgi_resident_view *v = f->r.w.v;
    if (tgi_is_made(f, task)) {
        const uint64_t *block = tgi_spawn_block(f->spawner->nursery, task - f->r.p->n_tasks);
        uint64_t head = block[0];
        const struct tgi_resident_task call = {TGI_RESIDENT_CALL, (uint32_t)(head >> 32), 0, 0, {0, 0}, {(uint32_t)head, 0}};
        *t = call;
        f->words = block + TGI_SPAWN_HEAD_WORDS;
    } else {
        *t = v->tasks[task];
        f->words = TGI_HEAD_OP(t->head) == TGI_RESIDENT_CALL ? v->words + t->in[1] : NULL;
    }
    return f->words && tgi_lane() < TGI_CALL_N_WORDS(t->in[0]) ? f->words[tgi_lane()] : 0;
}

/* All lanes: what its body says; 0 also of what has none, or is left out. */
TGI_FN uint32_t tgi_family_call(struct tgi_family_runner *f, const struct tgi_resident_task *t, uint64_t mine)
{
    struct tgi_worker *w = &f->r.w;
    uint32_t code = 0;
    TGI_CALL_STAGE(w, mine);
    (void)mine;
    if (tgi_lane() == 0) {
        f->spawner->root = t->id;
        f->spawner->n_made = 0;
    }
    w->is_failed = tgi_warp_any(w->is_failed);
    tgi_warp_sync(); /* the words, and what lane 0 has acquired, are there for other lanes */
    if (TGI_HEAD_OP(t->head) == TGI_RESIDENT_CALL && !w->is_failed)
        code = TGI_CALL_BODIES(w, t);
    if (code && code != TGI_CALL_AGAIN)
        tgi_body_fail(w, t, t->id, code);
    return code;
}

TGI_FN uint32_t tgi_family_execute(struct tgi_family_runner *f, uint32_t task)
{
    struct tgi_runner *r = &f->r;
    struct tgi_resident_task t;
    uint32_t next = TGI_NO_TASK, n_far = 0;
    bool is_made = tgi_is_made(f, task);
    uint64_t mine = tgi_family_fetch(f, task, &t);
    /* relaxed: what it counts is itself, by whoever put it where it was found. */
    bool is_member = is_made || tgi_load_relaxed(&f->spawner->nursery->live[task]) != 0;
    if (tgi_lane() == 0)
        n_far = TGI_RING_SIZE(tgi_ends_hint(tgi_far_ring(r, r->w.id, 0)));
    if (f->owed_root != t.id)
        tgi_settle(f, &next);
    bool is_again = tgi_family_call(f, &t, mine) == TGI_CALL_AGAIN;
    TGI_DELAY(r->w.id);
    tgi_warp_sync();
    uint32_t n_made = f->spawner->n_made;
    if (r->w.is_failed && n_made) {
        if (tgi_lane() == 0)
            tgi_forget(f->spawner, n_made);
        n_made = 0;
    }
    if (is_member || n_made || is_again)
        tgi_family_count(f, t.id, is_member && !is_again, n_made + (is_again && !is_member));
    else
        tgi_family_end(f, task, &next);
    if (tgi_lane() == 0) {
        tgi_show(f, n_made, n_far, &next);
        if (is_again) {
            tgi_put_behind(r, task);
            tgi_be_patient(f, &t);
        } else {
            f->patience.since_ns = 0;
            if (is_made)
                tgi_spawn_give(f->spawner, task - r->p->n_tasks);
        }
    }
    r->n_ended += is_made && !is_again;
    r->n_finished += is_made && !is_again;
    r->n_done++;
    return next;
}

/* All lanes: the newest of the own, then what others have left. */
TGI_FN uint32_t tgi_family_find(struct tgi_family_runner *f)
{
    uint32_t task = TGI_NO_TASK;
    if (tgi_lane() == 0) {
        task = tgi_take_listed(&f->r);
        if (task == TGI_NO_TASK)
            task = tgi_take_own(&f->r);
    }
    task = tgi_warp_get(task, 0);
    if (task == TGI_NO_TASK) {
        tgi_settle(f, &task);
        task = tgi_warp_get(task, 0);
    }
    if (task == TGI_NO_TASK)
        return tgi_find(&f->r);
    tgi_warp_sync(); /* lane 0 has acquired for all */
    return TGI_NEXT_ID(task);
}

TGI_FN void tgi_family_run(struct tgi_family_runner *f)
{
    struct tgi_runner *r = &f->r;
    uint32_t next = TGI_NO_TASK;
    r->list = TGI_NO_TASK;
    r->lot = r->w.id * 2654435761u + r->w.epoch;
    f->owed_root = TGI_NO_TASK;
    if (r->w.id == 0 && tgi_lane() == 0)
        tgi_store_relaxed(&r->p->counts->claimed[~r->w.epoch & 1].n, 0);
    for (;;) {
        uint32_t task = tgi_warp_get(next, 0);
        task = task == TGI_NO_TASK ? tgi_family_find(f) : TGI_NEXT_ID(task);
        if (task == TGI_ALL_DONE)
            break;
        struct tgi_outlook outlook = tgi_outlook_ask(r);
        next = tgi_family_execute(f, task);
        tgi_outlook_use(r, &outlook);
        if (tgi_warp_any(r->w.is_over))
            break;
        if (r->n_done % TGI_TELL_EVERY == 0 && tgi_lane() == 0)
            tgi_flush(r);
    }
    if (tgi_lane() == 0)
        tgi_flush(r);
}

#endif
