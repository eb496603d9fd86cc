/* Waiting for predecessors and telling successors, for each kind of edge (mem/resident_program.h).
 *
 * Every wait ends: a predecessor comes, somebody set the abort word, or the limit of the wait has passed, which makes
 * this worker set the abort word itself and say what it waited for.  The word and the clock are looked at once in
 * TGI_PATIENCE polls, so that a poll is a load and a comparison.
 *
 * After an abort every lane of a warp goes on to the end of its task as if the wait had been good, because the others need it in
 * their votes; the worker then leaves.  What it tells its successors until then is marked as failed. */
#ifndef TGI_GPU_RESIDENT_EDGE_H
#define TGI_GPU_RESIDENT_EDGE_H

#include "gpu/resident/order.h"
#ifdef TGI_PEERS /* in kernels of programs on several devices, see far.h */
#include "mem/resident_peers.h"
#endif

/* Words of the control block that everybody writes, on several devices from each of them. */
#ifdef TGI_PEERS
#define TGI_LOAD_TOLD(p) tgi_far_load_relaxed(p)
#else
#define TGI_LOAD_TOLD(p) tgi_load_relaxed(p)
#endif

#ifndef TGI_PATIENCE
#define TGI_PATIENCE 128u /* a power of two */
#endif

#ifdef TGI_HAS_BLOCKS
/* Of a block, in shared memory: how its workers come together for tasks a block wide (block.h). */
struct tgi_block {
    uint32_t arrived, said, ended;
    uint32_t is_failed; /* by a worker whose body, or part of one, failed */
};
#endif

/* One for each lane; what is said of a warp is the same in all of its lanes. */
struct tgi_worker {
    const struct tgi_resident_view *v;
    struct tgi_cell *shared_cells; /* of the block */
    uint32_t *shared_counters;
    uint32_t id;
    uint32_t epoch;        /* of the program: v->epoch, or what a service has come to */
    uint32_t shared_epoch; /* the same since shared memory was zero: in a launch of one epoch, 1 */
    uint64_t previous; /* the result of the task before */
    bool is_over;      /* of the lane: leave */
    bool is_failed;    /* of the lane: the instance has failed, leave out bodies */
    uint32_t failed;   /* which task of a batch its body has failed for; of other tasks 0 */
#ifdef TGI_PEERS
    const struct tgi_resident_peers *peers;
#endif
#ifdef TGI_HAS_BLOCKS
    struct tgi_block *block;
    uint32_t n_met, n_executed; /* tasks a block wide that it has come to, and those that were executed */
#endif
#ifdef TGI_KEEPS
    uint32_t resumes;  /* bodies of slots before it were executed before the instance was kept */
    uint32_t stops;    /* the first slot whose body was left out; UINT32_MAX: there is none */
#endif
};

/* ---- Patience -----------------------------------------------------------------------------*/

struct tgi_patience {
    uint32_t n_polls;
    uint64_t since_ns;
};

/* The first to come writes the record; its code last, with release, for whoever reads while the kernel runs. */
TGI_FN void tgi_panic(const struct tgi_resident_view *v, const struct tgi_resident_panic *what)
{
    struct tgi_resident_panic *p = &v->control->panic;
    if (tgi_exchange(&v->control->is_claimed, 1))
        return;
    tgi_store_relaxed(&p->task, what->task);
    tgi_store_relaxed(&p->worker, what->worker);
    tgi_store_relaxed(&p->slot, what->slot);
    tgi_store_relaxed(&p->wait, what->wait);
    tgi_store_relaxed(&p->seen, what->seen);
    tgi_store_relaxed(&p->wanted, what->wanted);
    tgi_store_relaxed(&p->detail, what->detail);
    tgi_store_release(&p->code, what->code);
}

enum { TGI_LOOK_FAILED = 1, TGI_LOOK_OVER = 2 };

/* Looks at the clock and at what others have said; TGI_LOOK_*.  Apart, and by value, so that a poll stays short and the worker in
 * registers. */
TGI_FN_APART uint32_t tgi_wait_look(const struct tgi_resident_view *v, uint64_t since_ns, uint32_t task, uint32_t worker,
                                    uint32_t slot, uint32_t wait, uint32_t seen, uint32_t wanted)
{
    uint32_t looks = TGI_LOAD_TOLD(&v->control->is_failed) ? TGI_LOOK_FAILED : 0;
    if (TGI_LOAD_TOLD(&v->control->abort))
        return looks | TGI_LOOK_OVER;
    if (tgi_now_ns() - since_ns <= v->limit_ns)
        return looks;
    struct tgi_resident_panic what = {TGI_PANIC_STUCK, task, worker, slot, wait, seen, wanted, 0};
    tgi_panic(v, &what);
    tgi_store_relaxed(&v->control->abort, 1);
    return looks | TGI_LOOK_OVER;
}

/* False: no longer. */
TGI_FN bool tgi_wait_longer(struct tgi_worker *w, struct tgi_patience *p, const struct tgi_resident_task *t,
                            uint32_t slot, uint32_t wait, uint32_t seen, uint32_t wanted)
{
    if (++p->n_polls & (TGI_PATIENCE - 1)) {
        tgi_pause();
        return true;
    }
    if (p->since_ns == 0)
        p->since_ns = tgi_now_ns();
    uint32_t looks = tgi_wait_look(w->v, p->since_ns, t->id, w->id, slot, wait, seen, wanted);
    w->is_failed |= (looks & TGI_LOOK_FAILED) != 0;
    w->is_over |= (looks & TGI_LOOK_OVER) != 0;
    return !w->is_over;
}

/* ---- Waiting ------------------------------------------------------------------------------*/

/* Modulo 2^32, so that it does not matter that the product wraps. */
TGI_FN bool tgi_has_reached(uint32_t seen, uint32_t wanted) { return (int32_t)(seen - wanted) >= 0; }

/* All lanes look at the same word, which is one access. */
TGI_FN void tgi_wait_counter(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    /* Shared memory is zero at the start of each launch. */
    bool is_shared = TGI_HEAD_WAIT(t->head) == TGI_WAIT_SHARED_COUNTER;
    uint32_t wanted = t->n_wait * (is_shared ? w->shared_epoch : w->epoch), seen;
    struct tgi_patience patience = {0, 0};
    do
        /* acquire: what all producers left in memory; pairs with the releases of tgi_tell(). */
        seen = is_shared ? tgi_shared_load_acquire(&w->shared_counters[t->wait])
                         : tgi_load_acquire(&w->v->counters[t->wait]);
    while (!tgi_has_reached(seen, wanted) && tgi_wait_longer(w, &patience, t, slot, t->wait, seen, wanted));
}

/* Whether what was loaded is of this epoch. */
TGI_FN bool tgi_cell_is_there(struct tgi_worker *w, uint64_t tail, uint32_t *seen_p)
{
    *seen_p = (uint32_t)(tail >> 32);
    if (*seen_p != w->epoch)
        return false;
    if (tail & 1)
        w->is_failed = true;
    return true;
}

TGI_FN bool tgi_cell_try(struct tgi_worker *w, const struct tgi_resident_task *t, bool is_shared, uint32_t k,
                         uint64_t *data_p, uint32_t *seen_p)
{
    uint64_t tail;
    if (is_shared)
        tgi_shared_cell_load(&w->shared_cells[t->wait + k], data_p, &tail);
    else
        tgi_cell_load(&w->v->cells[t->wait + k], data_p, &tail);
    return tgi_cell_is_there(w, tail, seen_p);
}

/* The first two cells, with both loads on their way at once.  *late_p and *seen_p: one that is not there. */
TGI_FN bool tgi_two_cells_try(struct tgi_worker *w, const struct tgi_resident_task *t, bool is_shared, uint64_t data[2],
                              uint32_t *late_p, uint32_t *seen_p)
{
    uint64_t tail[2];
    if (is_shared) {
        tgi_shared_cell_load(&w->shared_cells[t->wait], &data[0], &tail[0]);
        tgi_shared_cell_load(&w->shared_cells[t->wait + 1], &data[1], &tail[1]);
    } else {
        tgi_cell_load(&w->v->cells[t->wait], &data[0], &tail[0]);
        tgi_cell_load(&w->v->cells[t->wait + 1], &data[1], &tail[1]);
    }
    *late_p = 0;
    if (!tgi_cell_is_there(w, tail[0], seen_p))
        return false;
    *late_p = 1;
    return tgi_cell_is_there(w, tail[1], seen_p);
}

/* Lane k waits for cell k; what was in it. */
TGI_FN uint64_t tgi_wait_cell(struct tgi_worker *w, const struct tgi_resident_task *t, bool is_shared, uint32_t slot,
                              uint32_t k)
{
    struct tgi_patience patience = {0, 0};
    uint64_t data = 0;
    uint32_t seen;
    while (!tgi_cell_try(w, t, is_shared, k, &data, &seen) &&
           tgi_wait_longer(w, &patience, t, slot, t->wait + k, seen, w->epoch))
        ;
    return data;
}

/* ---- Telling ------------------------------------------------------------------------------*/

TGI_FN uint32_t tgi_n_out(const struct tgi_resident_task *t)
{
    return TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST ? t->out[1] : TGI_HEAD_N_OUT(t->head);
}
TGI_FN uint32_t tgi_out_word(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t k)
{
    return TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST ? w->v->outs[t->out[0] + k] : k ? t->out[1] : t->out[0];
}
TGI_FN uint32_t tgi_n_in(const struct tgi_resident_task *t)
{
    return TGI_HEAD_N_IN(t->head) == TGI_HEAD_LIST ? t->in[1] : TGI_HEAD_N_IN(t->head);
}
TGI_FN uint32_t tgi_in_word(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t k)
{
    return TGI_HEAD_N_IN(t->head) == TGI_HEAD_LIST ? w->v->ins[t->in[0] + k] : k ? t->in[1] : t->in[0];
}

/* One successor, by one lane.  The releases make visible what the whole warp has written, as it has met in
 * tgi_warp_sync() before; they pair with the acquires of tgi_wait_counter().  One condition after the other, most of one
 * instruction: branches within branches cost more than what they would save. */
TGI_FN void tgi_tell(const struct tgi_worker *w, uint32_t word, bool is_teller, uint64_t result)
{
    uint32_t i = TGI_OUT_INDEX(word), kind = is_teller ? TGI_OUT_KIND(word) : TGI_OUT_NOBODY;
    uint64_t tail = (uint64_t)w->epoch << 32 | (w->is_failed || w->is_over);
    if (kind == TGI_OUT_CELL)
        tgi_cell_store(&w->v->cells[i], result, tail);
    if (kind == TGI_OUT_SHARED_CELL)
        tgi_shared_cell_store(&w->shared_cells[i], result, tail);
    if (kind < TGI_OUT_CELL) {
        if (kind == TGI_OUT_LONE_COUNTER)
            tgi_store_release(&w->v->counters[i], w->epoch);
        if (kind == TGI_OUT_COUNTER)
            tgi_add_release(&w->v->counters[i], 1);
        if (kind == TGI_OUT_SHARED_COUNTER)
            tgi_shared_add_release(&w->shared_counters[i], 1);
    }
}

#endif
