/* Edges between devices (mem/resident_peers.h): orders at the scope of the system, waiting, telling, and the way of the tasks
 * that do either.
 *
 * Who includes worker.h with TGI_PEERS has this in it; kernels for one device are compiled without and are what they were.
 * What is waited for lies in this device's memory, so a poll is as near as that of any other cell; what is told is a store that
 * crosses the link.  A far cell is that store and nothing else.  A far counter is a release that first waits until what the
 * task has brought to the other device has arrived there: a way over the link and back before the flag's own way begins. */
#ifndef TGI_GPU_RESIDENT_FAR_H
#define TGI_GPU_RESIDENT_FAR_H

#include "gpu/resident/ways.h"
#include "mem/resident_peers.h"

/* ---- Telling, and the words' own orders -----------------------------------------------------*/

#ifdef __CUDACC__

TGI_FN uint32_t tgi_far_load_acquire(const uint32_t *p)
{
    uint32_t x;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(x) : "l"(__cvta_generic_to_global(p)) : "memory");
    return x;
}
TGI_FN void tgi_far_store_relaxed(uint32_t *p, uint32_t x)
{
    asm volatile("st.relaxed.sys.global.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
TGI_FN void tgi_far_store_release(uint32_t *p, uint32_t x)
{
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
TGI_FN void tgi_far_add_release(uint32_t *p, uint32_t x)
{
    asm volatile("red.release.sys.global.add.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(x) : "memory");
}
TGI_FN void tgi_far_cell_load(const struct tgi_cell *c, uint64_t *data, uint64_t *tail)
{
    asm volatile("{.reg .b128 q; ld.relaxed.sys.global.b128 q, [%2]; mov.b128 {%0, %1}, q;}"
                 : "=l"(*data), "=l"(*tail)
                 : "l"(__cvta_generic_to_global(c))
                 : "memory");
}
TGI_FN void tgi_far_cell_store(struct tgi_cell *c, uint64_t data, uint64_t tail)
{
    asm volatile("{.reg .b128 q; mov.b128 q, {%1, %2}; st.relaxed.sys.global.b128 [%0], q;}" ::"l"(
                     __cvta_generic_to_global(c)),
                 "l"(data), "l"(tail)
                 : "memory");
}

#else

/* tests/fences.sh takes them away, one at a time. */
#ifndef TGI_FAR_ACQUIRE
#define TGI_FAR_ACQUIRE __ATOMIC_ACQUIRE
#endif
#ifndef TGI_FAR_RELEASE
#define TGI_FAR_RELEASE __ATOMIC_RELEASE
#endif

TGI_FN uint32_t tgi_far_load_acquire(const uint32_t *p) { return __atomic_load_n(p, TGI_FAR_ACQUIRE); }
TGI_FN void tgi_far_store_relaxed(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, __ATOMIC_RELAXED); }
TGI_FN void tgi_far_store_release(uint32_t *p, uint32_t x) { __atomic_store_n(p, x, TGI_FAR_RELEASE); }
TGI_FN void tgi_far_add_release(uint32_t *p, uint32_t x) { __atomic_fetch_add(p, x, TGI_FAR_RELEASE); }
TGI_FN void tgi_far_cell_load(const struct tgi_cell *c, uint64_t *data, uint64_t *tail) { tgi_cell_load(c, data, tail); }
TGI_FN void tgi_far_cell_store(struct tgi_cell *c, uint64_t data, uint64_t tail) { tgi_cell_store(c, data, tail); }

#endif

TGI_FN const struct tgi_resident_peer *tgi_far_home(const struct tgi_worker *w) { return &w->peers->of[w->peers->device]; }
TGI_FN const struct tgi_resident_peer *tgi_far_peer(const struct tgi_worker *w, uint32_t word)
{
    return &w->peers->of[TGI_FAR_DEVICE(word)];
}

TGI_FN bool tgi_far_is_line(uint32_t word) { return TGI_OUT_KIND(word) == TGI_OUT_FAR_CELL && word & TGI_FAR_LINE; }
/* A single one, of whatever kind. */
TGI_FN bool tgi_far_is_cell(uint32_t word)
{
    uint32_t kind = TGI_OUT_KIND(word);
    return kind == TGI_OUT_CELL || kind == TGI_OUT_SHARED_CELL || (kind == TGI_OUT_FAR_CELL && !(word & TGI_FAR_LINE));
}

/* One successor that waits far, by one lane.  The releases make visible what the whole warp has written, here and there, and
 * pair with the acquire of tgi_far_wait_counter(). */
TGI_FN void tgi_far_tell(const struct tgi_worker *w, uint32_t word, uint64_t result)
{
    const struct tgi_resident_peer *to = tgi_far_peer(w, word);
    uint32_t i = TGI_FAR_INDEX(word);
    if (TGI_OUT_KIND(word) == TGI_OUT_FAR_CELL) {
        uint32_t end = i + (word & TGI_FAR_LINE ? TGI_RESIDENT_LINE_WORDS : 1); /* a word stands for all words of a line */
        for (; i < end; i++)
            tgi_far_cell_store(&to->far_cells[i], result, (uint64_t)w->epoch << 32 | (w->is_failed || w->is_over));
        return;
    }
    if (w->is_failed) /* relaxed: the release behind it orders it */
        tgi_far_store_relaxed(&to->control->is_failed, 1);
    if (word & TGI_FAR_LONE)
        tgi_far_store_release(&to->far_counters[i], w->epoch);
    else
        tgi_far_add_release(&to->far_counters[i], 1);
}

TGI_FN void tgi_far_or_near_tell(const struct tgi_worker *w, uint32_t word, uint64_t result)
{
    if (TGI_OUT_IS_FAR(word))
        tgi_far_tell(w, word, result);
    else
        tgi_tell(w, word, true, result);
}

TGI_FN bool tgi_far_is_push(uint32_t word) { return TGI_OUT_KIND(word) == TGI_OUT_FAR_COUNTER && word & TGI_FAR_PUSH; }

/* The result, for readers on other devices, to its own place there. */
TGI_FN void tgi_far_push(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t result)
{
    for (uint32_t k = tgi_lane(), n_out = tgi_n_out(t); k < n_out; k += TGI_LANES) {
        uint32_t word = tgi_out_word(w, t, k);
        if (tgi_far_is_push(word))
            tgi_far_peer(w, word)->results[slot] = result;
    }
}

/* A worker that leaves early takes all devices with it. */
TGI_FN void tgi_far_leave(const struct tgi_worker *w)
{
    if (!tgi_warp_any(w->is_over))
        return;
    for (uint32_t d = tgi_lane(); d < w->peers->n_devices; d += TGI_LANES)
        tgi_far_store_relaxed(&w->peers->of[d].control->abort, 1);
}

/* ---- Waiting ------------------------------------------------------------------------------*/

TGI_FN void tgi_far_wait_counter(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    const struct tgi_resident_peer *home = tgi_far_home(w);
    uint32_t wanted = t->n_wait * w->epoch, seen;
    struct tgi_patience patience = {0, 0};
    do
        /* acquire: what all producers left in memory, theirs and ours; pairs with the releases of tgi_far_tell(). */
        seen = tgi_far_load_acquire(&home->far_counters[t->wait]);
    while (!tgi_has_reached(seen, wanted) && tgi_wait_longer(w, &patience, t, slot, t->wait, seen, wanted));
    w->is_failed |= TGI_LOAD_TOLD(&w->v->control->is_failed) != 0;
}

/* Of those at `cells`, the k-th. */
TGI_FN uint64_t tgi_far_wait_cell(struct tgi_worker *w, const struct tgi_resident_task *t, const struct tgi_cell *cells, uint32_t k,
                                  uint32_t slot)
{
    struct tgi_patience patience = {0, 0};
    uint64_t data, tail;
    uint32_t seen;
    do
        tgi_far_cell_load(&cells[k], &data, &tail);
    while (!tgi_cell_is_there(w, tail, &seen) && tgi_wait_longer(w, &patience, t, slot, t->wait + k, seen, w->epoch));
    return data;
}

/* What far cells contribute, the k-th in lane k; of a single one, in every lane. */
TGI_FN uint64_t tgi_far_gathered(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, uint32_t slot)
{
    const struct tgi_cell *cells = tgi_far_home(w)->far_cells + t->wait;
    uint32_t lane = tgi_lane(), mine = lane < t->n_wait ? lane : 0;
    uint64_t sum = 0;
    for (uint32_t k = mine; k < t->n_wait; k += TGI_LANES) { /* once, but on the CPU */
        uint64_t data = tgi_far_wait_cell(w, t, cells, k, slot);
        sum += lane < t->n_wait || t->n_wait == 1 ? tgi_body_take(op, data) : 0;
    }
    if (t->n_wait > 1)
        w->is_failed = tgi_warp_any(w->is_failed);
    return sum;
}

/* ---- Words ------------------------------------------------------------------------------*/

/* Sums of far cells alone whose successors, as many as there are lanes at most, wait for cells: as in tgi_warp_relay(), nothing
 * between the word that arrives and the word that leaves but the body.  `op` is known where this is compiled. */
TGI_FN bool tgi_far_relay(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, uint32_t slot, uint32_t word)
{
    uint32_t lane = tgi_lane(), n_out = tgi_n_out(t), n = t->n_wait > n_out ? t->n_wait : n_out, i = TGI_OUT_INDEX(word);
    bool tells = lane < n_out, tells_far = tells && TGI_OUT_IS_FAR(word), tells_near = tells && !tells_far;
    bool is_shared = TGI_OUT_KIND(word) == TGI_OUT_SHARED_CELL;
    struct tgi_cell *far = tells_far ? &tgi_far_peer(w, word)->far_cells[TGI_FAR_INDEX(word)] : NULL;
    struct tgi_cell *near = &w->v->cells[i], *nearest = &w->shared_cells[i];
    uint64_t base = tgi_body_base(op, t->id, w->epoch, 0), tail = (uint64_t)w->epoch << 32;
    uint64_t previous = t->head & TGI_HEAD_PREVIOUS ? tgi_body_take(op, w->previous) : 0;
    uint64_t sum = tgi_far_gathered(w, t, op, slot);
    if (t->n_wait > 1)
        sum = tgi_warp_total(sum, n);
    uint64_t result = tgi_body_end(op, base, sum + previous);
    tail |= w->is_failed || w->is_over;
    TGI_DELAY(w->id);
    if (tells_far)
        tgi_far_cell_store(far, result, tail);
    if (tells_near && !is_shared)
        tgi_cell_store(near, result, tail);
    if (tells_near && is_shared)
        tgi_shared_cell_store(nearest, result, tail);
    for (uint32_t k = TGI_LANES; k < n_out; k += TGI_LANES) /* on the CPU */
        tgi_far_or_near_tell(w, tgi_out_word(w, t, k), result);
    if (lane == 0)
        w->v->results[slot] = result;
    w->previous = tgi_warp_first(result);
    return !tgi_warp_any(w->is_over);
}

/* ---- Lines --------------------------------------------------------------------------------*/

/* Of a line a lane has its word; on the CPU the only one has all. */
#define TGI_LINE_EACH ((TGI_RESIDENT_LINE_WORDS + TGI_LANES - 1) / TGI_LANES)
TGI_FN bool tgi_line_has(uint32_t i) { return i < TGI_RESIDENT_LINE_WORDS; }

/* The lane's words to where they are told in cells, and to other devices' memory where readers are told by counters.  `word`: the
 * lane's out word. */
TGI_FN void tgi_far_line_send(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint32_t word,
                              const uint64_t *mine)
{
    uint64_t tail = (uint64_t)w->epoch << 32 | (w->is_failed || w->is_over);
    for (uint32_t k = 0, n_out = tgi_n_out(t); k < n_out; k++) {
        uint32_t out = k < TGI_LANES ? tgi_warp_get(word, k) : tgi_out_word(w, t, k);
        bool is_line = tgi_far_is_line(out), is_push = tgi_far_is_push(out);
        if (!is_line && !is_push)
            continue;
        const struct tgi_resident_peer *to = tgi_far_peer(w, out);
        for (uint32_t j = 0; j < TGI_LINE_EACH; j++) {
            uint32_t i = tgi_lane() + j * TGI_LANES;
            if (is_line && tgi_line_has(i))
                tgi_far_cell_store(&to->far_cells[TGI_FAR_INDEX(out) + i], mine[j], tail);
            if (is_push && tgi_line_has(i))
                to->lines[(uint64_t)slot * TGI_RESIDENT_LINE_WORDS + i] = mine[j];
        }
    }
}

/* What predecessors in memory contribute to a word. */
TGI_FN uint64_t tgi_far_line_inputs(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, uint32_t i)
{
    uint64_t sum = 0;
    for (uint32_t k = 0, n_in = tgi_n_in(t); k < n_in; k++) {
        uint32_t in = tgi_in_word(w, t, k), from = TGI_IN_SLOT(in);
        sum += tgi_body_take(op, in & TGI_IN_LINE ? w->v->lines[(uint64_t)from * TGI_RESIDENT_LINE_WORDS + i] : w->v->results[from]);
    }
    return sum;
}

/* Lines.  What arrives in cells is added where it arrives and leaves in cells before it is stored; `op` is known where this is
 * compiled.  False: leave. */
TGI_FN bool tgi_far_line(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t op, uint32_t slot, uint32_t word)
{
    bool has_cells = TGI_HEAD_WAIT(t->head) == TGI_WAIT_CELLS;
    uint32_t lane = tgi_lane(), n_out = tgi_n_out(t);
    uint64_t mine[TGI_LINE_EACH];
    if (!has_cells && t->head & TGI_HEAD_WAITS_FAR)
        tgi_far_wait_counter(w, t, slot);
    else if (!has_cells)
        tgi_warp_wait(w, t, slot);
    tgi_warp_sync(); /* lane 0 has written what other lanes read now */
    for (uint32_t j = 0; j < TGI_LINE_EACH; j++) {
        uint32_t i = lane + j * TGI_LANES;
        uint64_t base = tgi_body_base(op, t->id, w->epoch, i);
        /* Who leaves has not waited: predecessors may still be at their lines. */
        uint64_t sum = tgi_line_has(i) && !w->is_over ? tgi_far_line_inputs(w, t, op, i) : 0;
        const struct tgi_cell *cells = tgi_far_home(w)->far_cells + t->wait;
        for (uint32_t k = 0; has_cells && tgi_line_has(i) && k < t->n_wait; k++)
            sum += tgi_body_take(op, tgi_far_wait_cell(w, t, cells, k * TGI_RESIDENT_LINE_WORDS + i, slot));
        mine[j] = tgi_body_end(op, base, sum);
    }
    w->is_failed = tgi_warp_any(w->is_failed); /* then what is told says so, and nobody uses it */
    TGI_DELAY(w->id);
    tgi_far_line_send(w, t, slot, word, mine);
    for (uint32_t j = 0; j < TGI_LINE_EACH; j++)
        if (tgi_line_has(lane + j * TGI_LANES))
            w->v->lines[(uint64_t)slot * TGI_RESIDENT_LINE_WORDS + lane + j * TGI_LANES] = mine[j];
    uint64_t result = tgi_warp_first(mine[0]);
    if (lane == 0)
        w->v->results[slot] = result;
    tgi_far_push(w, t, slot, result);
    tgi_warp_sync();
    for (uint32_t k = lane; k < n_out; k += TGI_LANES) {
        word = k < TGI_LANES ? word : tgi_out_word(w, t, k);
        if (!tgi_far_is_line(word))
            tgi_far_or_near_tell(w, word, result);
    }
    w->previous = result;
    return !tgi_warp_any(w->is_over);
}

/* ---- Any task -----------------------------------------------------------------------------*/

/* The lane's share of what is waited for, in whatever way. */
TGI_FN uint64_t tgi_far_wait(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head);
    uint64_t sum = 0;
    if (!(t->head & TGI_HEAD_WAITS_FAR))
        return tgi_warp_wait(w, t, slot);
    if (TGI_HEAD_WAIT(t->head) == TGI_WAIT_CELLS) {
        sum = tgi_far_gathered(w, t, op, slot);
        sum = tgi_lane() < t->n_wait ? sum : 0;
    } else
        tgi_far_wait_counter(w, t, slot);
    tgi_warp_sync();
    return sum;
}

#ifdef TGI_CALL_BODIES
/* Programs of bodies have CALLs, and EMPTY ones where several things are waited for.  What a body has written, to this device's memory
 * or to another's, is behind the release at the scope of the system that tells another device, and so is all that its ancestors
 * left and told it within the device: who acquires it reads them, wherever they lie.  False: leave. */
TGI_FN bool tgi_far_call(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint64_t mine)
{
    uint32_t n_out = tgi_n_out(t), lane = tgi_lane();
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    TGI_CALL_STAGE(w, mine);
    tgi_far_wait(w, t, slot);
    w->is_over = tgi_warp_any(w->is_over);
    w->is_failed = tgi_warp_any(w->is_failed || w->is_over);
    tgi_warp_sync(); /* as in tgi_warp_call() */
    if (TGI_HEAD_OP(t->head) == TGI_RESIDENT_CALL)
        tgi_call_run(w, t, slot);
    TGI_DELAY(w->id);
    tgi_warp_sync();
    for (uint32_t k = lane; k < n_out; k += TGI_LANES)
        tgi_far_or_near_tell(w, k < TGI_LANES ? word : tgi_out_word(w, t, k), 0);
    return !tgi_warp_any(w->is_over);
}
#else
/* Any task that waits for or tells another device.  False: leave. */
TGI_FN bool tgi_warp_far(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint32_t op = TGI_HEAD_OP(t->head), n_out = tgi_n_out(t), lane = tgi_lane(), n_in = TGI_HEAD_N_IN(t->head);
    uint32_t word = lane < n_out ? tgi_out_word(w, t, lane) : 0;
    bool tells_memory = false;
    bool has_far_cells = t->head & TGI_HEAD_WAITS_FAR && TGI_HEAD_WAIT(t->head) == TGI_WAIT_CELLS;
    if (op == TGI_RESIDENT_ADD_LINE)
        return tgi_far_line(w, t, TGI_RESIDENT_ADD_LINE, slot, word);
    if (op == TGI_RESIDENT_HASH_LINE)
        return tgi_far_line(w, t, TGI_RESIDENT_HASH_LINE, slot, word);
    for (uint32_t k = lane; k < n_out; k += TGI_LANES)
        tells_memory |= !tgi_far_is_cell(k < TGI_LANES ? word : tgi_out_word(w, t, k));
    if (has_far_cells && !n_in && n_out <= TGI_RESIDENT_BATCH && !tgi_warp_any(tells_memory)) {
        if (op == TGI_RESIDENT_ADD)
            return tgi_far_relay(w, t, TGI_RESIDENT_ADD, slot, word);
        if (op == TGI_RESIDENT_HASH)
            return tgi_far_relay(w, t, TGI_RESIDENT_HASH, slot, word);
    }
    uint64_t sum = tgi_far_wait(w, t, slot);
    w->is_failed = tgi_warp_any(w->is_failed);
    uint64_t result = tgi_warp_first(tgi_warp_body(w, t, slot, sum));
    w->is_failed = tgi_warp_any(w->is_failed);
    if (tgi_warp_any(tells_memory))
        tgi_far_push(w, t, slot, result);
    TGI_DELAY(w->id);
    tgi_warp_sync();
    for (uint32_t k = lane; k < n_out; k += TGI_LANES)
        tgi_far_or_near_tell(w, k < TGI_LANES ? word : tgi_out_word(w, t, k), result);
    w->previous = result;
    return !tgi_warp_any(w->is_over);
}
#endif

#endif
