/* A task a block wide: all workers of a block execute its body together.
 *
 * Its slots are in each worker of the block, after whatever these have before it.  The first worker leads: it waits for the predecessors as
 * for any CALL, and alone tells the successors.  Words of the block, which start at zero with a launch and only grow, let all of them agree;
 * g counts the block's tasks of this width, which come in the same order in all of its workers, n is the number of these:
 *   arrived  each member adds one when it comes to the task, the lead when all of them have: then there are g * n.  The bit GONE is set by a
 *            member that has to leave.
 *   said     2 * g by the lead: execute it; and one more: leave it out.
 *   ended    each adds one behind the body; the lead goes on to tell, and the others to what they have next, when all have.  On a GPU it is
 *            a barrier of the hardware, which costs no looks at memory.
 *
 * Why all do the same: a body may have barriers of the block in it, so either all execute it or none.  Additions to `arrived` are in one
 * order.  If a member's GONE comes before the lead's addition, the lead sees it and says that the task is left out.  If it comes after, the
 * member sees that there are g * n, and stays: the lead has nothing left to wait for before it says what is done.  With a plain look at the
 * abort word a member could leave between its arrival and the lead's word, and the others would wait for it in the body for ever.
 *
 * Why nobody waits in a circle: until its body begins a task a block wide waits for what each of its slots waits for, and the check executes
 * it as that.  Waits for `arrived` and `said` have the limit and look at the abort word, as all do.  Those for `ended`, and of who
 * must stay, are for bodies and for a lead that no longer waits.
 *
 * Memory: what a worker has left, or has acquired from elsewhere, comes before its release in `arrived`, which the lead acquires, and with it
 * before `said`, which all acquire: a body sees what comes before the task in any of the block's workers, and what the lead has acquired from
 * predecessors.  What the body leaves in any worker comes before its addition to `ended`, which all acquire: successors in the block are behind
 * it by order alone, and the lead's releases cover it, as causality goes on from one scope to the next. */
#ifndef TGI_GPU_RESIDENT_BLOCK_H
#define TGI_GPU_RESIDENT_BLOCK_H

#include "gpu/resident/ways.h"

#define TGI_BLOCK_GONE 0x80000000u /* of `arrived`: slots are fewer than 2^31 */

/* What a body is in each worker; without parts the lead has the whole. */
#ifndef TGI_BLOCK_BODIES
#define TGI_BLOCK_BODIES(w, task) ((task)->head & TGI_HEAD_MEMBER ? 0 : TGI_CALL_BODIES(w, task))
#endif

/* All of a block's workers. */
#ifdef __CUDACC__
TGI_FN void tgi_block_meet(struct tgi_worker *w)
{
    tgi_warp_sync();
    /* Orders what threads have written before it for those behind it, in the block.  Number 0 is that of tgi_leave(), where a worker may
     * be while others still come here. */
    asm volatile("barrier.sync 1, %0;" ::"r"(TGI_LANES * w->v->n_workers_each) : "memory");
}
#else
TGI_FN void tgi_block_meet(struct tgi_worker *w)
{
    uint32_t n = w->v->n_workers_each, wanted = ++w->n_executed * n;
    tgi_warp_sync(); /* the release covers what the whole warp has written */
    if (tgi_lane() == 0)
        tgi_shared_add_release(&w->block->ended, 1);
    /* acquire: what the others' parts have left; pairs with their additions. */
    while (!tgi_has_reached(tgi_shared_load_acquire(&w->block->ended), wanted))
        tgi_pause();
    tgi_warp_sync();
}
#endif

/* The lead: whether it is executed. */
TGI_FN bool tgi_block_lead(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t n = w->v->n_workers_each, wanted = w->n_met * n - 1, seen;
    struct tgi_patience patience = {0, 0};
    if (t->n_wait)
        tgi_wait_counter(w, t, slot);
    if (!tgi_warp_any(w->is_over))
        do
            /* acquire: what members have left before; pairs with their additions in tgi_block_follow(). */
            seen = tgi_shared_load_acquire(&w->block->arrived);
        while (!(seen & TGI_BLOCK_GONE) && !tgi_has_reached(seen, wanted) && tgi_wait_longer(w, &patience, t, slot, TGI_WAIT_BLOCK, seen, wanted));
    /* Whatever has failed before in a worker of the block is known, as `arrived` was acquired. */
    w->is_failed = tgi_warp_any(w->is_failed || tgi_shared_load_acquire(&w->block->is_failed));
    w->is_over = tgi_warp_any(w->is_over);
    bool is_left_out = TGI_LEAVES_OUT(w, slot) || w->is_over;
    if (!w->is_over) {
        /* relaxed: it comes before or after a member's GONE, as both change one word; what members have left was acquired above. */
        uint32_t was = tgi_lane() == 0 ? tgi_shared_fetch_add_relaxed(&w->block->arrived, 1) : 0;
        w->is_over = tgi_warp_any((was & TGI_BLOCK_GONE) != 0);
        is_left_out |= w->is_over;
        TGI_DELAY(w->id);
    }
    tgi_warp_sync();
    if (tgi_lane() == 0) /* release: all that the lead has acquired; pairs with tgi_block_follow() */
        tgi_shared_store_release(&w->block->said, 2 * w->n_met + is_left_out);
    return !is_left_out;
}

/* What the lead has said of the task; false: nothing yet. */
TGI_FN bool tgi_block_is_said(const struct tgi_worker *w, uint32_t *said_p)
{
    *said_p = tgi_shared_load_acquire(&w->block->said); /* acquire: pairs with the release in tgi_block_lead() */
    return tgi_has_reached(*said_p, 2 * w->n_met);
}

/* A member: the same. */
TGI_FN bool tgi_block_follow(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t n = w->v->n_workers_each, said = 0;
    struct tgi_patience patience = {0, 0};
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_shared_add_release(&w->block->arrived, 1);
    while (!tgi_block_is_said(w, &said) && tgi_wait_longer(w, &patience, t, slot, TGI_WAIT_BLOCK, said, 2 * w->n_met))
        ;
    w->is_failed = tgi_warp_any(w->is_failed);
    w->is_over = tgi_warp_any(w->is_over);
    if (w->is_over) {
        /* relaxed: before or after the lead's addition, as above; what it has said is acquired below. */
        uint32_t was = tgi_lane() == 0 ? tgi_shared_fetch_or_relaxed(&w->block->arrived, TGI_BLOCK_GONE) : 0;
        if (!tgi_warp_any(tgi_lane() == 0 && (was & ~TGI_BLOCK_GONE) >= w->n_met * n))
            return false;
    }
    while (!tgi_block_is_said(w, &said))
        tgi_pause();
    tgi_warp_sync();
    return !(said & 1);
}

TGI_FN void tgi_block_execute(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t code = TGI_BLOCK_BODIES(w, t);
    if (code)
        tgi_body_fail(w, t, slot, code);
    tgi_block_meet(w);
    w->is_failed |= tgi_shared_load_acquire(&w->block->is_failed) != 0; /* of any part: all know it before they go on */
}

/* False: leave. */
TGI_FN bool tgi_warp_block(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t mine)
{
    uint32_t n_out = tgi_n_out(t), lane = tgi_lane();
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    TGI_CALL_STAGE(w, mine);
    w->n_met++;
    bool is_executed = t->head & TGI_HEAD_MEMBER ? tgi_block_follow(w, t, slot) : tgi_block_lead(w, t, slot);
    uint64_t begin_ns = TGI_TIMES(w->v) && is_executed ? tgi_now_ns() : 0;
    if (is_executed)
        tgi_block_execute(w, t, slot);
    if (TGI_TIMES(w->v) && lane == 0) {
        w->v->times[2 * (uint64_t)slot] = begin_ns;
        w->v->times[2 * (uint64_t)slot + 1] = tgi_now_ns();
    }
    TGI_DELAY(w->id);
    tgi_warp_sync();
    tgi_tell(w, word, lane < n_out, 0);
    for (uint32_t k = lane + TGI_LANES; k < n_out; k += TGI_LANES)
        tgi_tell(w, tgi_out_word(w, t, k), true, 0);
    return !tgi_warp_any(w->is_over);
}

#endif
