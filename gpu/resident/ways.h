/* The ways of a task that is one warp wide: waits, executes it, tells its successors.
 *
 * Successors' words are loaded before the wait, so that they come for nothing; lane k looks at the k-th cell;
 * contributions are added across lanes, lane 0 makes the result, lane k tells the k-th successor.  What most fine tasks
 * are has a shorter way (mem/resident_way.h), compiled apart: what counts between the word that arrives and the word that
 * leaves is not so much how many instructions there are as how many branches, and how far apart they lie, as they have to be
 * fetched again each time.
 *
 * Who includes this and has bodies for CALLs defines TGI_CALL_STAGE(w, word), which is given each lane's word of the task's
 * before the wait and keeps it where all lanes find it, and TGI_CALL_BODIES(w, task): what a body says it failed with, the same
 * in all lanes, and of a batch w->failed; 0: all is well.  TGI_TIMES(view) says whether it notes when each of them began and ended.  Where TGI_KEEPS is defined an
 * instance can be stopped between two tasks and goes on elsewhere (gpu/service/worker.h). */
#ifndef TGI_GPU_RESIDENT_WAYS_H
#define TGI_GPU_RESIDENT_WAYS_H

#include "gpu/resident/body.h"

#ifndef TGI_TIMES
#define TGI_TIMES(view) false
#endif

#ifdef TGI_CALL_BODIES
#define TGI_HAS_ARITHMETIC(op) false /* in programs of bodies */
#else
#define TGI_HAS_ARITHMETIC(op) TGI_RESIDENT_IS_ARITHMETIC(op)
#endif

/* ---- Any task -----------------------------------------------------------------------------*/

/* The lane's share of its predecessors' contributions. */
TGI_FN uint64_t tgi_warp_wait(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), kind = TGI_HEAD_WAIT(t->head);
    uint64_t sum = 0;
    if (kind >= TGI_WAIT_CELLS) {
        for (uint32_t k = tgi_lane(); k < t->n_wait; k += TGI_LANES)
            sum += tgi_body_take(op, tgi_wait_cell(w, t, kind == TGI_WAIT_SHARED_CELLS, slot, k));
        tgi_warp_sync();
    } else if (kind != TGI_WAIT_NONE) {
        tgi_wait_counter(w, t, slot);
        tgi_warp_sync();
    }
    return sum;
}

/* All contributions: in lane 0. */
TGI_FN uint64_t tgi_warp_contributions(struct tgi_worker *w, const struct tgi_resident_task *t, uint64_t sum)
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
    return sum;
}

/* The small ops: in lane 0. */
TGI_FN uint64_t tgi_warp_small(struct tgi_worker *w, const struct tgi_resident_task *t, uint64_t sum)
{
    return tgi_body_result(TGI_HEAD_OP(t->head), tgi_warp_contributions(w, t, sum), t->id, w->epoch, 0);
}

/* What the cells of a task with one or two contribute.  All lanes look at the same ones, at both in each poll, as the second
 * is there as late as the first. */
TGI_FN uint64_t tgi_warp_cells(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, bool is_shared,
                               uint32_t slot)
{
    uint32_t late, seen;
    uint64_t data[2];
    struct tgi_patience patience = {0, 0};
    if (t->n_wait == 1)
        return tgi_body_take(op, tgi_wait_cell(w, t, is_shared, slot, 0));
    while (!tgi_two_cells_try(w, t, is_shared, data, &late, &seen) &&
           tgi_wait_longer(w, &patience, t, slot, t->wait + late, seen, w->epoch))
        ;
    return tgi_body_take(op, data[0]) + tgi_body_take(op, data[1]);
}

/* The shortest way, of small ops that wait for one cell or two and whose successors, two at most, wait for cells.  All lanes
 * do the same, looking at the same cells, so that no word has to go from lane to lane; `op` and `is_shared` are known where
 * this is compiled.  Between the word that arrives and the word that leaves there is nothing but the body, and hardly a branch: on
 * an H100 each costs ten nanoseconds and more.  Cells carry the result, so it need not be in memory before.  `op` SUM stands for all
 * arithmetic, which takes alike; such a task may wait for nothing.  False: leave. */
TGI_FN bool tgi_warp_relay(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, bool is_shared, uint32_t slot)
{
    uint32_t n_out = TGI_HEAD_N_OUT(t->head), lane = tgi_lane(), word = lane ? t->out[1] : t->out[0];
    bool tells_far = lane < n_out && TGI_OUT_KIND(word) == TGI_OUT_CELL, tells_near = lane < n_out && !tells_far;
    struct tgi_cell *far = &w->v->cells[TGI_OUT_INDEX(word)], *near = &w->shared_cells[TGI_OUT_INDEX(word)];
    bool is_arithmetic = op == TGI_RESIDENT_SUM;
    uint64_t base = is_arithmetic ? w->v->args[slot] : tgi_body_base(op, t->id, w->epoch, 0), tail = (uint64_t)w->epoch << 32;
    uint64_t sum = t->head & TGI_HEAD_PREVIOUS ? tgi_body_take(op, w->previous) : 0;
    if (!is_arithmetic || t->n_wait)
        sum += tgi_warp_cells(w, t, op, is_shared, slot);
    uint64_t result = is_arithmetic ? tgi_body_arithmetic(TGI_HEAD_OP(t->head), sum, base) : tgi_body_end(op, base, sum);
    tail |= w->is_failed || w->is_over;
    TGI_DELAY(w->id);
    if (tells_far)
        tgi_cell_store(far, result, tail);
    if (tells_near)
        tgi_shared_cell_store(near, result, tail);
    for (uint32_t k = TGI_LANES; k < n_out; k += TGI_LANES) /* on the CPU */
        tgi_tell(w, t->out[k], true, result);
    w->previous = result;
    if (lane == 0)
        w->v->results[slot] = result;
    return !tgi_warp_any(w->is_over);
}

/* The cells of a task with more of them, one in each lane, all looked at until the last is there. */
TGI_FN uint64_t tgi_warp_gathered(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, bool is_shared,
                                  uint32_t slot)
{
    uint32_t lane = tgi_lane(), mine = lane < t->n_wait ? lane : 0, seen;
    uint64_t data = 0, sum = 0;
    struct tgi_patience patience = {0, 0};
    if (TGI_LANES == 1) {
        for (uint32_t k = 0; k < t->n_wait; k++)
            sum += tgi_body_take(op, tgi_wait_cell(w, t, is_shared, slot, k));
        return sum;
    }
    for (;;) {
        bool is_there = tgi_cell_try(w, t, is_shared, mine, &data, &seen);
        if (!tgi_warp_any(!is_there && !w->is_over))
            return lane < t->n_wait ? tgi_body_take(op, data) : 0;
        if (!is_there)
            tgi_wait_longer(w, &patience, t, slot, t->wait + mine, seen, w->epoch);
    }
}

/* Words and spins that wait for cells and tell cells, any number of either.  False: leave. */
TGI_FN bool tgi_warp_gather(struct tgi_worker *w, const struct tgi_resident_task *t, bool is_shared, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), lane = tgi_lane(), n_in = TGI_HEAD_N_IN(t->head), n_out = tgi_n_out(t);
    uint32_t word = tgi_out_word(w, t, lane < n_out ? lane : 0), n = n_in > t->n_wait ? n_in : t->n_wait;
    bool tells_far = lane < n_out && TGI_OUT_KIND(word) == TGI_OUT_CELL, tells_near = lane < n_out && !tells_far;
    struct tgi_cell *far = &w->v->cells[TGI_OUT_INDEX(word)], *near = &w->shared_cells[TGI_OUT_INDEX(word)];
    uint64_t base = tgi_body_base(op, t->id, w->epoch, 0), tail = (uint64_t)w->epoch << 32, sum = 0, ns = 0;
    n = n > n_out ? n : n_out < TGI_LANES ? n_out : TGI_LANES; /* lanes that have to know the sum */
    if (op == TGI_RESIDENT_SPIN)
        ns = w->v->args[slot];
    if (n_in) {
        tgi_warp_sync(); /* lane 0 has written what other lanes read now */
        for (uint32_t k = lane; k < n_in; k += TGI_LANES)
            sum += tgi_body_take(op, w->v->results[TGI_IN_SLOT(k ? t->in[1] : t->in[0])]);
    }
    sum = tgi_warp_total(sum + tgi_warp_gathered(w, t, op, is_shared, slot), n);
    if (t->head & TGI_HEAD_PREVIOUS)
        sum += tgi_body_take(op, w->previous);
    w->is_failed = tgi_warp_any(w->is_failed);
    if (op == TGI_RESIDENT_SPIN && !w->is_failed)
        tgi_body_spin(w, ns);
    uint64_t result = tgi_body_end(op, base, sum);
    tail |= w->is_failed || w->is_over;
    TGI_DELAY(w->id);
    if (tells_far)
        tgi_cell_store(far, result, tail);
    if (tells_near)
        tgi_shared_cell_store(near, result, tail);
    for (uint32_t k = lane + TGI_LANES; k < n_out; k += TGI_LANES)
        tgi_tell(w, tgi_out_word(w, t, k), true, result);
    if (lane == 0)
        w->v->results[slot] = result;
    w->previous = tgi_warp_first(result);
    return !tgi_warp_any(w->is_over);
}

/* The short way, of small ops whose predecessors' results are at hand but for two cells at most, with up to two
 * successors.  False: leave. */
TGI_FN bool tgi_warp_short(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_out = TGI_HEAD_N_OUT(t->head), lane = tgi_lane();
    uint64_t sum = t->n_wait ? tgi_warp_cells(w, t, op, TGI_HEAD_WAIT(t->head) == TGI_WAIT_SHARED_CELLS, slot) : 0;
    if (t->head & TGI_HEAD_PREVIOUS)
        sum += tgi_body_take(op, w->previous);
    uint64_t result = w->previous = tgi_body_result(op, sum, t->id, w->epoch, 0);
    if (lane == 0)
        w->v->results[slot] = result;
    TGI_DELAY(w->id);
    tgi_warp_sync(); /* for releases of lane 1, and of what other lanes have written */
    tgi_tell(w, lane ? t->out[1] : t->out[0], lane < n_out, result);
    for (uint32_t k = TGI_LANES; k < n_out; k += TGI_LANES) /* on the CPU */
        tgi_tell(w, t->out[k], true, result);
    return !t->n_wait || !tgi_warp_any(w->is_over);
}

/* The results of a run of tasks that need those before them, from what each lane knows of its own: one after the other, in
 * all lanes alike.  `linked`: the tasks that need it; `op`: HASH if any task is one, known where this is compiled. */
TGI_FN uint64_t tgi_warp_links(struct tgi_worker *w, uint32_t op, uint32_t mine, uint64_t base, uint32_t n_run, uint32_t linked)
{
    uint64_t previous = w->previous, result = 0;
    for (uint32_t k = 0; k < n_run; k++) {
        uint64_t link = linked >> k & 1 ? previous : 0, here = tgi_warp_word(base, k);
        if (op != TGI_RESIDENT_HASH)
            previous = here + link;
        else {
            uint32_t one = tgi_warp_get(mine, k);
            previous = tgi_body_end(one, here, linked >> k & 1 ? tgi_body_take(one, previous) : 0);
        }
        result = k == tgi_lane() ? previous : result;
    }
    return result;
}

/* The plain tasks of the batch from the i-th on, which is one, to the first that is not.  Lane k has the k-th of them; if none
 * needs the one before, all results are made at once.  Nobody waits here, so nobody looks whether to leave: the next task that
 * waits does. */
TGI_FN uint32_t tgi_warp_plain(struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t n,
                               uint32_t slot)
{
    uint32_t lane = tgi_lane(), mine = i + lane < n ? i + lane : i;
    uint32_t head = batch[mine].head, id = batch[mine].id, op = TGI_HEAD_OP(head);
    uint32_t others = tgi_warp_ballot(i + lane >= n || TGI_HEAD_WAY(head) != TGI_WAY_PLAIN);
    uint32_t n_run = others ? tgi_lowest(others) : TGI_LANES;
    uint32_t linked = tgi_warp_ballot((head & TGI_HEAD_PREVIOUS) != 0 && op != TGI_RESIDENT_EMPTY) & ((2u << (n_run - 1)) - 1);
    uint64_t base = tgi_body_base(op, id, w->epoch, 0), result;
    if (!linked)
        result = tgi_body_end(op, base, 0);
    else if (tgi_warp_any(op == TGI_RESIDENT_HASH))
        result = tgi_warp_links(w, TGI_RESIDENT_HASH, op, base, n_run, linked);
    else
        result = tgi_warp_links(w, TGI_RESIDENT_ADD, op, base, n_run, linked);
    if (lane < n_run)
        w->v->results[slot + mine] = result;
    TGI_DELAY(w->id);
    w->previous = tgi_warp_word(result, n_run - 1);
    tgi_warp_sync(); /* a release of any lane's covers what all have written */
    return i + n_run;
}

/* Where the k-th input lies: a line, or a word that stands for all words of one. */
TGI_FN const uint64_t *tgi_line_input(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t k, uint32_t i)
{
    uint32_t in = k ? t->in[1] : t->in[0];
    return in & TGI_IN_LINE ? &w->v->lines[(uint64_t)TGI_IN_SLOT(in) * TGI_RESIDENT_LINE_WORDS + i]
                            : &w->v->results[TGI_IN_SLOT(in)];
}

/* Lines with up to two predecessors and successors: all that can be is done before the wait.  `op` is known where this is
 * compiled.  False: leave. */
TGI_FN bool tgi_warp_line(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, uint32_t slot)
{
    uint32_t lane = tgi_lane(), n_out = TGI_HEAD_N_OUT(t->head), n_in = TGI_HEAD_N_IN(t->head), at = lane % TGI_RESIDENT_LINE_WORDS;
    const uint64_t *one = tgi_line_input(w, t, 0, at), *two = tgi_line_input(w, t, 1, at);
    uint64_t base = tgi_body_base(op, t->id, w->epoch, at), result = 0;
    tgi_wait_counter(w, t, slot);
    w->is_failed = tgi_warp_any(w->is_failed);
    if (!w->is_failed) {
        if (TGI_LANES == 1)
            result = tgi_body_line(w, t, slot);
        else if (lane < TGI_RESIDENT_LINE_WORDS) {
            uint64_t sum = n_in > 0 ? tgi_body_take(op, *one) : 0;
            sum += n_in > 1 ? tgi_body_take(op, *two) : 0;
            result = tgi_body_end(op, base, sum);
            w->v->lines[(uint64_t)slot * TGI_RESIDENT_LINE_WORDS + lane] = result;
        }
    }
    if (lane == 0)
        w->v->results[slot] = result;
    TGI_DELAY(w->id);
    tgi_warp_sync();
    tgi_tell(w, lane ? t->out[1] : t->out[0], lane < n_out, result);
    for (uint32_t k = TGI_LANES; k < n_out; k += TGI_LANES) /* on the CPU */
        tgi_tell(w, t->out[k], true, result);
    w->previous = tgi_warp_first(result);
    return !tgi_warp_any(w->is_over);
}

/* The body of a task that has waited; `sum` is what it was told in cells.  What is returned is good in lane 0, and stored. */
TGI_FN uint64_t tgi_warp_body(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t sum)
{
    uint32_t op = TGI_HEAD_OP(t->head);
    uint64_t result = 0;
    if (op <= TGI_RESIDENT_HASH || TGI_HAS_ARITHMETIC(op)) {
        sum = tgi_warp_contributions(w, t, sum);
        result = op <= TGI_RESIDENT_HASH ? tgi_body_result(op, sum, t->id, w->epoch, 0) : tgi_body_arithmetic(op, sum, w->v->args[slot]);
    } else if (!w->is_failed) {
        tgi_warp_sync(); /* as in tgi_warp_contributions(), for lines and copies */
        result = tgi_body_other(w, t, slot);
    }
    if (tgi_lane() == 0)
        w->v->results[slot] = result;
    return result;
}

/* Any task.  False: leave. */
TGI_FN bool tgi_warp_long(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_out = tgi_n_out(t), lane = tgi_lane();
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    uint64_t sum = tgi_warp_wait(w, t, slot);
    if (t->n_wait) /* lanes that waited may differ in what they know */
        w->is_failed = tgi_warp_any(w->is_failed);
    uint64_t result = tgi_warp_body(w, t, slot, sum);
    TGI_DELAY(w->id);
    bool has_line = TGI_RESIDENT_HAS_LINE(op); /* which no cell carries: who tells needs no result, and the next task can wait */
    if (!has_line)
        result = tgi_warp_first(result);
    tgi_warp_sync();
    tgi_tell(w, word, lane < n_out, result);
    for (uint32_t k = lane + TGI_LANES; k < n_out; k += TGI_LANES)
        tgi_tell(w, tgi_out_word(w, t, k), true, result);
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

#ifdef TGI_KEEPS
/* Whether the body is left out: since the instance is to be kept, or because it was executed before.
 *
 * Why what is executed is closed: who leaves a body out has read that the instance is to be kept, then tells its successors with
 * release; they acquire that, so they read it here too, whatever else has been read in between.  And a worker that has left out one
 * leaves out all after it.  So the tasks that are done are a part of each worker's list from its beginning, and with each of them all
 * that come before it.  relaxed: the words that are waited for order it. */
TGI_FN bool tgi_keep_leaves_out(struct tgi_worker *w, uint32_t slot)
{
    w->is_failed = tgi_warp_any(w->is_failed || tgi_load_relaxed(&w->v->control->is_failed) != 0);
    if (w->is_failed && w->stops == UINT32_MAX)
        w->stops = slot;
    return w->is_failed || slot < w->resumes;
}
#define TGI_LEAVES_OUT(w, slot) tgi_keep_leaves_out(w, slot)
#elif defined TGI_PEERS
/* On several devices each has a panic record of its own, and a body that is given what another has not made could fail before the one
 * that did is known.  So none is: who leaves a body out, or leaves before its predecessors are there, has read that the instance has
 * failed or is over, or writes that it has, here and where it tells (far.h), and then tells with release; who acquires that reads it
 * here too.  relaxed: as above. */
TGI_FN bool tgi_peers_leaves_out(struct tgi_worker *w)
{
    bool is_said = TGI_LOAD_TOLD(&w->v->control->is_failed) != 0, is_over = TGI_LOAD_TOLD(&w->v->control->abort) != 0;
    w->is_failed = tgi_warp_any(w->is_failed || w->is_over || is_said || is_over);
    if (w->is_failed && !is_said && tgi_lane() == 0)
        tgi_store_relaxed(&w->v->control->is_failed, 1);
    return w->is_failed;
}
#define TGI_LEAVES_OUT(w, slot) tgi_peers_leaves_out(w)
#else
#define TGI_LEAVES_OUT(w, slot) (w)->is_failed
#endif

/* The body of one that has waited, whose words are staged. */
TGI_FN void tgi_call_run(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t code = 0;
    uint64_t begin_ns = 0;
    if (TGI_TIMES(w->v))
        begin_ns = tgi_now_ns();
    bool is_left_out = TGI_LEAVES_OUT(w, slot) || w->is_over;
    if (!is_left_out && (code = TGI_CALL_BODIES(w, t)) != 0)
        tgi_body_fail(w, t, slot, code);
    if (TGI_TIMES(w->v) && tgi_lane() == 0) {
        w->v->times[2 * (uint64_t)slot] = is_left_out ? 0 : begin_ns;
        w->v->times[2 * (uint64_t)slot + 1] = tgi_now_ns();
    }
}

/* A body on words.  They were fetched while the task before was executed; successors are fetched before the wait. */
TGI_FN bool tgi_warp_call(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t mine)
{
    uint32_t n_out = tgi_n_out(t), lane = tgi_lane();
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    TGI_CALL_STAGE(w, mine);
    if (t->n_wait) {
        tgi_wait_counter(w, t, slot);
        if (tgi_warp_any(w->is_failed || w->is_over)) {
            w->is_failed = tgi_warp_any(w->is_failed);
            w->is_over = tgi_warp_any(w->is_over);
        }
    }
    tgi_warp_sync(); /* the words, and what the task before has written, are there for other lanes */
    tgi_call_run(w, t, slot);
    TGI_DELAY(w->id);
    tgi_warp_sync();
    tgi_tell(w, word, lane < n_out, 0);
    for (uint32_t k = lane + TGI_LANES; k < n_out; k += TGI_LANES)
        tgi_tell(w, tgi_out_word(w, t, k), true, 0);
    return !tgi_warp_any(w->is_over);
}
#else
#define TGI_CALL_WORD(w, task) 0
#endif

#endif
