/* The worker: takes its tasks in order, waits for each, executes it, tells its successors.
 *
 * Why no order can deadlock: the planner's lists are parts of one topological order, so of all tasks that are not done the
 * first in that order has all its predecessors behind it, and so has everything before it in its worker.  The check in
 * sched/resident_plan.h proves it for the tables as they are. */
#ifndef TGI_GPU_RESIDENT_WORKER_H
#define TGI_GPU_RESIDENT_WORKER_H

#include "gpu/resident/ways.h"
#ifdef TGI_PEERS
#include "gpu/resident/far.h"
#endif
#ifdef TGI_HAS_POSTS
#include "gpu/resident/post.h"
#endif
#ifdef TGI_HAS_BLOCKS
#include "gpu/resident/block.h"
#endif

/* ---- A warp wide ----------------------------------------------------------------------------*/

/* mine: TGI_CALL_WORD() of it. */
TGI_FN bool tgi_warp_task(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t mine)
{
#ifndef TGI_CALL_BODIES
    bool is_shared = TGI_HEAD_WAIT(t->head) == TGI_WAIT_SHARED_CELLS;
#endif
    switch (TGI_HEAD_WAY(t->head)) {
    case TGI_WAY_SHORT:
        return tgi_warp_short(w, t, slot);
#ifdef TGI_CALL_BODIES /* whose programs have neither words nor lines beside them, so that others need not be compiled */
    case TGI_WAY_CALL:
        return tgi_warp_call(w, t, slot, mine);
#ifdef TGI_HAS_BLOCKS
    case TGI_WAY_BLOCK:
        return tgi_warp_block(w, t, slot, mine);
#endif
#else
    case TGI_WAY_RELAY:
        if (TGI_HEAD_OP(t->head) == TGI_RESIDENT_ADD)
            return is_shared ? tgi_warp_relay(w, t, TGI_RESIDENT_ADD, true, slot)
                             : tgi_warp_relay(w, t, TGI_RESIDENT_ADD, false, slot);
        return is_shared ? tgi_warp_relay(w, t, TGI_RESIDENT_HASH, true, slot)
                         : tgi_warp_relay(w, t, TGI_RESIDENT_HASH, false, slot);
    case TGI_WAY_ARITHMETIC:
        return is_shared ? tgi_warp_relay(w, t, TGI_RESIDENT_SUM, true, slot)
                         : tgi_warp_relay(w, t, TGI_RESIDENT_SUM, false, slot);
    case TGI_WAY_GATHER:
        return is_shared ? tgi_warp_gather(w, t, true, slot) : tgi_warp_gather(w, t, false, slot);
    case TGI_WAY_LINE:
        return TGI_HEAD_OP(t->head) == TGI_RESIDENT_ADD_LINE ? tgi_warp_line(w, t, TGI_RESIDENT_ADD_LINE, slot)
                                                             : tgi_warp_line(w, t, TGI_RESIDENT_HASH_LINE, slot);
#endif
#ifdef TGI_PEERS
    case TGI_WAY_FAR:
#ifdef TGI_CALL_BODIES
        return tgi_far_call(w, t, slot, mine);
#else
        return tgi_warp_far(w, t, slot);
#endif
#endif
    }
    (void)mine;
    return tgi_warp_long(w, t, slot);
}

#ifdef __CUDACC__
/* A block leaves a launch that counts its epoch itself: the last one counts, so that the next launch finds it. */
TGI_FN void tgi_leave(struct tgi_resident_control *c, uint32_t epoch)
{
    __syncthreads();
    if (threadIdx.x || tgi_fetch_add_acq_rel(&c->n_left, 1) != gridDim.x - 1)
        return;
    tgi_store_relaxed(&c->n_left, 0);
    tgi_store_relaxed(&c->epoch, epoch);
}
#endif

/* The worker's descriptors are brought to shared memory, a batch at a time; the next one is on its way while one is
 * executed.  On the CPU they stay where they are. */
#ifdef __CUDACC__
TGI_FN const struct tgi_resident_task *tgi_fetch(const struct tgi_worker *w, struct tgi_resident_task *stage,
                                                 uint32_t slot, uint32_t end)
{
    uint32_t n = end - slot < TGI_RESIDENT_BATCH ? end - slot : TGI_RESIDENT_BATCH;
    const char *from = (const char *)&w->v->tasks[slot];
    uint32_t to = (uint32_t)__cvta_generic_to_shared(stage);
    for (uint32_t i = tgi_lane() * 16; i < n * sizeof(struct tgi_resident_task); i += TGI_LANES * 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + i), "l"(__cvta_generic_to_global(from + i))
                     : "memory");
    asm volatile("cp.async.commit_group;" ::: "memory");
    return stage;
}
TGI_FN void tgi_fetch_end(void)
{
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncwarp();
}
#else
TGI_FN const struct tgi_resident_task *tgi_fetch(const struct tgi_worker *w, struct tgi_resident_task *stage,
                                                 uint32_t slot, uint32_t end)
{
    (void)stage, (void)end;
    return &w->v->tasks[slot];
}
TGI_FN void tgi_fetch_end(void) {}
#endif

TGI_FN void tgi_batch_done(struct tgi_worker *w, uint32_t n_done)
{
    /* relaxed: a figure for whoever watches. */
    if (tgi_lane() == 0)
        tgi_store_relaxed(&w->v->progress[w->id], n_done);
}

/* stage: room for two batches. */
TGI_FN void tgi_warp_worker_run(struct tgi_worker *w, struct tgi_resident_task *stage)
{
    uint32_t begin = w->v->first[w->id], end = w->v->first[w->id + 1], room = TGI_RESIDENT_BATCH;
    if (begin == end)
        return;
    const struct tgi_resident_task *coming = tgi_fetch(w, stage, begin, end);
    for (uint32_t slot = begin; slot < end; slot += TGI_RESIDENT_BATCH, room ^= TGI_RESIDENT_BATCH) {
        uint32_t n = end - slot < TGI_RESIDENT_BATCH ? end - slot : TGI_RESIDENT_BATCH;
        const struct tgi_resident_task *batch = coming;
        tgi_fetch_end();
        if (slot + n < end)
            coming = tgi_fetch(w, stage + room, slot + n, end);
        struct tgi_resident_task next = batch[0];
        uint64_t next_word = TGI_CALL_WORD(w, &next);
        for (uint32_t i = 0; i < n;) {
            if (TGI_HEAD_WAY(next.head) == TGI_WAY_PLAIN)
                i = tgi_warp_plain(w, batch, i, n, slot);
#ifdef TGI_HAS_POSTS
            else if (TGI_HEAD_WAY(next.head) == TGI_WAY_POST) {
                if ((i = tgi_warp_posts(w, batch, i, n, slot)) > TGI_RESIDENT_BATCH)
                    return;
            }
#endif
            else {
                struct tgi_resident_task t = next;
                uint64_t word = next_word;
                next = batch[i + 1 < n ? i + 1 : i];
                next_word = TGI_CALL_WORD(w, &next);
                if (!tgi_warp_task(w, &t, slot + i++, word))
                    return;
                continue;
            }
            if (i < n) {
                next = batch[i];
                next_word = TGI_CALL_WORD(w, &next);
            }
        }
        tgi_batch_done(w, slot + n - begin);
    }
}

/* ---- A thread wide --------------------------------------------------------------------------*/

/* Whether its predecessors are there; their contributions. */
TGI_FN bool tgi_thread_try(struct tgi_worker *w, const struct tgi_resident_task *t, uint64_t *sum_p, uint32_t *seen_p)
{
    uint32_t op = TGI_HEAD_OP(t->head);
    uint64_t sum = 0, data;
    switch (TGI_HEAD_WAIT(t->head)) {
    case TGI_WAIT_COUNTER:
        *seen_p = tgi_load_acquire(&w->v->counters[t->wait]); /* as in tgi_wait_counter() */
        if (!tgi_has_reached(*seen_p, t->n_wait * w->epoch))
            return false;
        break;
    case TGI_WAIT_SHARED_COUNTER:
        *seen_p = tgi_shared_load_acquire(&w->shared_counters[t->wait]);
        if (!tgi_has_reached(*seen_p, t->n_wait * w->shared_epoch))
            return false;
        break;
    default:
        for (uint32_t k = 0; k < t->n_wait; k++) {
            if (!tgi_cell_try(w, t, TGI_HEAD_WAIT(t->head) == TGI_WAIT_SHARED_CELLS, k, &data, seen_p))
                return false;
            sum += tgi_body_take(op, data);
        }
    }
    *sum_p = sum;
    return true;
}

TGI_FN void tgi_thread_task(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t sum)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_in = tgi_n_in(t), n_out = tgi_n_out(t);
    for (uint32_t k = 0; k < n_in; k++)
        sum += tgi_body_take(op, w->v->results[TGI_IN_SLOT(tgi_in_word(w, t, k))]);
    uint64_t result = tgi_body_result(op, sum, t->id, w->epoch, 0);
    w->v->results[slot] = result;
    TGI_DELAY(w->id);
    for (uint32_t k = 0; k < n_out; k++)
        tgi_tell(w, tgi_out_word(w, t, k), true, result);
}

/* Lane i has the i-th task of the batch, and the only lane of a CPU has them all.  No lane waits for another, so tasks of
 * one batch may depend on each other; results of earlier batches are there, as the warp has met since. */
TGI_FN void tgi_thread_batch(struct tgi_worker *w, uint32_t slot, uint32_t n)
{
    struct tgi_patience patience = {0, 0};
    uint32_t pending = 0, seen = 0;
    for (uint32_t i = tgi_lane(); i < n; i += TGI_LANES)
        pending |= 1u << i;
    while (pending && !w->is_over)
        for (uint32_t i = tgi_lane(); i < n; i += TGI_LANES) {
            struct tgi_resident_task t = w->v->tasks[slot + i];
            uint64_t sum;
            if (!(pending >> i & 1))
                continue;
            if (tgi_thread_try(w, &t, &sum, &seen)) {
                tgi_thread_task(w, &t, slot + i, sum);
                pending &= ~(1u << i);
            } else
                tgi_wait_longer(w, &patience, &t, slot + i, t.wait, seen, t.n_wait);
        }
    tgi_warp_sync();
}

TGI_FN void tgi_thread_worker_run(struct tgi_worker *w)
{
    uint32_t begin = w->v->first[w->id], end = w->v->first[w->id + 1];
    for (uint32_t slot = begin; slot < end; slot += TGI_RESIDENT_BATCH) {
        uint32_t n = end - slot < TGI_RESIDENT_BATCH ? end - slot : TGI_RESIDENT_BATCH;
        tgi_thread_batch(w, slot, n);
        if (tgi_warp_any(w->is_over))
            return;
        tgi_batch_done(w, slot + n - begin);
    }
}

#endif
