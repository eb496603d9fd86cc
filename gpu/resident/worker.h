/* The worker: takes its tasks in order, waits for each, executes it, tells its successors.
 *
 * Why no order can deadlock: the planner's lists are parts of one topological order, so of all tasks that are not done the
 * first in that order has all its predecessors behind it, and so has everything before it in its worker.  The check in
 * sched/resident_plan.h proves it for the tables as they are.
 *
 * The way of a task that is one warp wide: successors' words are loaded before the wait, so that they come for nothing;
 * lane k looks at the k-th cell; contributions are added across lanes, lane 0 makes the result, lane k tells the k-th
 * successor.  What most fine tasks are has a shorter way.
 *
 * Who includes this and has bodies for CALLs defines TGI_CALL_BODIES(w, task, word), `word` being the lane's word of the
 * task's: what a body says it failed with, the same in all lanes; 0: all is well.  TGI_TIMES(view) says whether it notes
 * when each of them began and ended. */
#ifndef TGI_GPU_RESIDENT_WORKER_H
#define TGI_GPU_RESIDENT_WORKER_H

#include "gpu/resident/body.h"

#ifndef TGI_TIMES
#define TGI_TIMES(view) false
#endif

/* ---- A warp wide ----------------------------------------------------------------------------*/

/* The lane's share of its predecessors' contributions. */
TGI_FN uint64_t tgi_warp_wait(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), kind = TGI_HEAD_WAIT(t->head);
    uint64_t sum = 0;
    if (kind >= TGI_WAIT_CELLS) {
        for (uint32_t k = tgi_lane(); k < t->n_wait; k += TGI_LANES)
            sum += tgi_body_take(op, tgi_wait_cell(w, t, slot, k));
        tgi_warp_sync();
    } else if (kind != TGI_WAIT_NONE) {
        tgi_wait_counter(w, t, slot);
        tgi_warp_sync();
    }
    return sum;
}

/* The small ops: in lane 0. */
TGI_FN uint64_t tgi_warp_small(struct tgi_worker *w, const struct tgi_resident_task *t, uint64_t sum)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_in = tgi_n_in(t);
    if (n_in)
        tgi_warp_sync(); /* lane 0 has written what other lanes read now */
    for (uint32_t k = tgi_lane(); k < n_in; k += TGI_LANES)
        sum += tgi_body_take(op, w->v->results[TGI_IN_SLOT(tgi_in_word(w, t, k))]);
    uint32_t n_cells = TGI_HEAD_WAIT(t->head) >= TGI_WAIT_CELLS ? t->n_wait : 0, n = n_in > n_cells ? n_in : n_cells;
    if (n > 1)
        sum = tgi_warp_sum(sum, n < TGI_LANES ? n : TGI_LANES);
    if (t->head & TGI_HEAD_PREVIOUS)
        sum += tgi_body_take(op, w->previous);
    return tgi_body_result(op, sum, t->id, w->epoch, 0);
}

/* What the cells of a task with one or two contribute.  All lanes look at the same ones, at both in each poll, as the second
 * is there as late as the first. */
TGI_FN uint64_t tgi_warp_cells(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), late, seen;
    uint64_t data[2];
    struct tgi_patience patience = {0, 0};
    if (t->n_wait == 1)
        return tgi_body_take(op, tgi_wait_cell(w, t, slot, 0));
    while (!tgi_two_cells_try(w, t, data, &late, &seen) &&
           tgi_wait_longer(w, &patience, t, slot, t->wait + late, seen, w->epoch))
        ;
    return tgi_body_take(op, data[0]) + tgi_body_take(op, data[1]);
}

/* The short way, of small ops whose predecessors' results are at hand but for two cells at most, with up to two
 * successors.  All lanes do the same, looking at the same cells, so that no word has to go from lane to lane; between the
 * word that arrives and the word that leaves there is nothing but the body.  False: leave. */
TGI_FN bool tgi_warp_short(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_out = TGI_HEAD_N_OUT(t->head), lane = tgi_lane();
    uint64_t sum = t->n_wait ? tgi_warp_cells(w, t, slot) : 0;
    if (t->head & TGI_HEAD_PREVIOUS)
        sum += tgi_body_take(op, w->previous);
    uint64_t result = w->previous = tgi_body_result(op, sum, t->id, w->epoch, 0);
    if (lane == 0)
        w->v->results[slot] = result;
    TGI_DELAY(w->id);
    if (n_out > 1)
        tgi_warp_sync(); /* for lane 1's releases */
    if (lane < n_out)
        tgi_tell(w, lane ? t->out[1] : t->out[0], result);
    if (TGI_LANES == 1 && n_out == 2)
        tgi_tell(w, t->out[1], result);
    return !t->n_wait || !tgi_warp_any(w->is_over);
}

TGI_FN bool tgi_is_short(const struct tgi_resident_task *t)
{
    uint32_t wait = TGI_HEAD_WAIT(t->head);
    return TGI_HEAD_OP(t->head) <= TGI_RESIDENT_HASH && TGI_HEAD_N_IN(t->head) == 0 &&
           TGI_HEAD_N_OUT(t->head) != TGI_HEAD_LIST && t->n_wait <= 2 &&
           (wait == TGI_WAIT_NONE || wait >= TGI_WAIT_CELLS);
}

/* Nothing to wait for, to fetch or to tell: chains within a worker, and tasks without edges. */
TGI_FN bool tgi_is_plain(uint32_t head)
{
    return TGI_HEAD_OP(head) <= TGI_RESIDENT_HASH && !(TGI_HEAD_WAIT(head) | TGI_HEAD_N_OUT(head) | TGI_HEAD_N_IN(head));
}

/* The plain tasks of the batch from the i-th on, which is one; the first that is not.  Two words of a descriptor are all
 * they need, and the next ones come while a task is executed; only a hash branches.  Nobody waits here, so nobody looks
 * whether to leave: the next task that waits does. */
TGI_FN uint32_t tgi_warp_plain(struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t n,
                               uint32_t slot)
{
    uint32_t next_head = batch[i].head, next_id = batch[i].id, epoch = w->epoch;
    uint64_t previous = w->previous, *result = w->v->results + slot + i;
    bool is_first = tgi_lane() == 0;
    do {
        uint32_t head = next_head, id = next_id, next = i + 1 < n ? i + 1 : i;
        next_head = batch[next].head;
        next_id = batch[next].id;
        uint64_t sum = head & TGI_HEAD_PREVIOUS ? previous : 0;
        if (TGI_HEAD_OP(head) != TGI_RESIDENT_HASH)
            previous = TGI_HEAD_OP(head) == TGI_RESIDENT_ADD ? tgi_body_result(TGI_RESIDENT_ADD, sum, id, epoch, 0) : 0;
        else {
            sum = head & TGI_HEAD_PREVIOUS ? tgi_body_take(TGI_RESIDENT_HASH, previous) : 0;
            previous = tgi_body_result(TGI_RESIDENT_HASH, sum, id, epoch, 0);
        }
        if (is_first)
            *result = previous;
        TGI_DELAY(w->id);
        result++;
    } while (++i < n && tgi_is_plain(next_head));
    w->previous = previous;
    return i;
}

/* Any task.  False: leave. */
TGI_FN bool tgi_warp_long(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_out = tgi_n_out(t), lane = tgi_lane();
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    uint64_t result = 0, sum = tgi_warp_wait(w, t, slot);
    if (t->n_wait) /* lanes that waited may differ in what they know */
        w->is_failed = tgi_warp_any(w->is_failed);
    if (op <= TGI_RESIDENT_HASH)
        result = tgi_warp_small(w, t, sum);
    else if (!w->is_failed) {
        tgi_warp_sync(); /* as in tgi_warp_small(), for lines and copies */
        result = tgi_body_other(w, t, slot);
    }
    if (lane == 0)
        w->v->results[slot] = result;
    TGI_DELAY(w->id);
    bool has_line = TGI_RESIDENT_HAS_LINE(op); /* which no cell carries: who tells needs no result, and the next task can wait */
    if (!has_line)
        result = tgi_warp_first(result);
    tgi_warp_sync();
    if (lane < n_out)
        tgi_tell(w, word, result);
    for (uint32_t k = lane + TGI_LANES; k < n_out; k += TGI_LANES)
        tgi_tell(w, tgi_out_word(w, t, k), result);
    w->previous = has_line ? tgi_warp_first(result) : result;
    return !(t->n_wait || op == TGI_RESIDENT_SPIN) || !tgi_warp_any(w->is_over);
}

#ifdef TGI_CALL_BODIES
/* The lane's word of a CALL's. */
TGI_FN uint64_t tgi_call_word(const struct tgi_worker *w, const struct tgi_resident_task *t)
{
    uint32_t lane = tgi_lane();
    return TGI_HEAD_OP(t->head) == TGI_RESIDENT_CALL && lane < TGI_CALL_N_WORDS(t->in[0]) ? w->v->words[t->in[1] + lane] : 0;
}

#define TGI_CALL_WORD(w, task) tgi_call_word(w, task)

/* A body on words.  They were fetched while the task before was executed; successors are fetched before the wait. */
TGI_FN bool tgi_warp_call(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t mine)
{
    uint32_t n_out = tgi_n_out(t), lane = tgi_lane(), code = 0;
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    uint64_t begin_ns = 0;
    if (t->n_wait) {
        tgi_wait_counter(w, t, slot);
        w->is_failed = tgi_warp_any(w->is_failed);
        w->is_over = tgi_warp_any(w->is_over);
    } else
        tgi_warp_sync(); /* the task before has written what other lanes read now */
    if (TGI_TIMES(w->v))
        begin_ns = tgi_now_ns();
    if (!w->is_failed && !w->is_over && (code = TGI_CALL_BODIES(w, t, mine)) != 0)
        tgi_body_fail(w, t, slot, code);
    if (TGI_TIMES(w->v) && lane == 0) {
        w->v->times[2 * (uint64_t)slot] = begin_ns;
        w->v->times[2 * (uint64_t)slot + 1] = tgi_now_ns();
    }
    TGI_DELAY(w->id);
    tgi_warp_sync();
    if (lane < n_out)
        tgi_tell(w, word, 0);
    for (uint32_t k = lane + TGI_LANES; k < n_out; k += TGI_LANES)
        tgi_tell(w, tgi_out_word(w, t, k), 0);
    return !tgi_warp_any(w->is_over);
}
#else
#define TGI_CALL_WORD(w, task) 0
#endif

/* mine: TGI_CALL_WORD() of it. */
TGI_FN bool tgi_warp_task(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t mine)
{
#ifdef TGI_CALL_BODIES
    if (TGI_HEAD_OP(t->head) == TGI_RESIDENT_CALL)
        return tgi_warp_call(w, t, slot, mine);
#endif
    (void)mine;
    return tgi_is_short(t) ? tgi_warp_short(w, t, slot) : tgi_warp_long(w, t, slot);
}

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
            if (tgi_is_plain(next.head))
                i = tgi_warp_plain(w, batch, i, n, slot);
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
            if (!tgi_cell_try(w, t, k, &data, seen_p))
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
        tgi_tell(w, tgi_out_word(w, t, k), result);
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
