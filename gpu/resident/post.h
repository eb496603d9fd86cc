/* POSTs (mem/resident_program.h): single rows of a sparse triangular system, of which a warp has four at once, eight lanes each.
 *
 * A row's sum is formed by eight lanes, lane q adding entries q, q + 8, ..; see kernels/trsv.c, whose bits it has.  An entry names the
 * task whose element it takes; its lane looks at that task's posted cell until it is there.  Everything else a row needs is loaded
 * before.  No row of the four waits for another: lanes look in turns at what they lack, and a row ends as soon as its eight have
 * all, so that rows of one warp may depend on each other.  Whether a list of rows can be executed is what it is for tasks
 * one after the other: the first that is not done, in the order of all, has what it needs and is among some worker's four.
 *
 * The element goes into the cell, and that is all a successor reads.  It is stored in memory as well, without any order, for
 * whoever comes after the kernel; of several tasks that would store in one place only the last does.
 *
 * Rows whose words or arrays are no good fail before they wait.  After a failure nobody waits: cells are posted as failed.
 *
 * Who includes this defines TGI_POST_WORDS(w): room for four times TGI_RESIDENT_MAX_WORDS words where all lanes of the
 * warp find them.  Numbers are bits in 64-bit words, of a double if `is_wide`, else of a float; it is known where this is
 * compiled. */
#ifndef TGI_GPU_RESIDENT_POST_H
#define TGI_GPU_RESIDENT_POST_H

#include <math.h>
#include <string.h>

#include "gpu/resident/body.h"
#include "kernels/resident.h"

#define TGI_POST_SUMS 8u /* of a row */

/* Where an address of the words is, to be read from, or stored to: on a GPU there. */
#ifndef TGI_POST_MEMORY
#define TGI_POST_MEMORY(w, address, bytes) ((void)(w), (const void *)(uintptr_t)(address))
#define TGI_POST_PLACE(w, address, bytes)  ((void)(w), (void *)(uintptr_t)(address))
#endif

/* ---- Numbers ------------------------------------------------------------------------------*/

TGI_FN double tgi_wide(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, 8);
    return x;
}
TGI_FN float tgi_narrow(uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float x;
    memcpy(&x, &low, 4);
    return x;
}
TGI_FN uint64_t tgi_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}
TGI_FN uint64_t tgi_bits_narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

TGI_FN uint64_t tgi_post_fma(bool is_wide, uint64_t a, uint64_t b, uint64_t c)
{
    return is_wide ? tgi_bits(fma(tgi_wide(a), tgi_wide(b), tgi_wide(c)))
                   : tgi_bits_narrow(fmaf(tgi_narrow(a), tgi_narrow(b), tgi_narrow(c)));
}
TGI_FN uint64_t tgi_post_add(bool is_wide, uint64_t a, uint64_t b)
{
    return is_wide ? tgi_bits(tgi_wide(a) + tgi_wide(b)) : tgi_bits_narrow(tgi_narrow(a) + tgi_narrow(b));
}
TGI_FN uint64_t tgi_post_end(bool is_wide, uint64_t side, uint64_t sum, uint64_t inverse, bool is_solve)
{
    if (is_wide) {
        double left = tgi_wide(side) - tgi_wide(sum);
        return tgi_bits(is_solve ? left * tgi_wide(inverse) : left);
    }
    float left = tgi_narrow(side) - tgi_narrow(sum);
    return tgi_bits_narrow(is_solve ? left * tgi_narrow(inverse) : left);
}
TGI_FN uint64_t tgi_post_inverse(bool is_wide, uint64_t x)
{
    return is_wide ? tgi_bits(1 / tgi_wide(x)) : tgi_bits_narrow(1 / tgi_narrow(x));
}
TGI_FN bool tgi_post_can_divide(bool is_wide, uint64_t x)
{
    return is_wide ? tgi_wide(x) < 0 || tgi_wide(x) > 0 : tgi_narrow(x) < 0 || tgi_narrow(x) > 0;
}

TGI_FN uint64_t tgi_post_load(const struct tgi_worker *w, bool is_wide, uint64_t base, int64_t i)
{
    uint64_t at = base + (uint64_t)i * (is_wide ? 8 : 4);
    (void)w;
    return is_wide ? *(const uint64_t *)TGI_POST_MEMORY(w, at, 8) : *(const uint32_t *)TGI_POST_MEMORY(w, at, 4);
}
TGI_FN void tgi_post_store(const struct tgi_worker *w, bool is_wide, uint64_t at, uint64_t bits)
{
    (void)w;
    if (at && is_wide)
        *(uint64_t *)TGI_POST_PLACE(w, at, 8) = bits;
    else if (at)
        *(uint32_t *)TGI_POST_PLACE(w, at, 4) = (uint32_t)bits;
}

/* ---- A row --------------------------------------------------------------------------------*/

struct tgi_post_row {
    int64_t begin, end; /* its entries; then the diagonal, if it is solved */
    bool is_sound, is_solve;
};

TGI_FN struct tgi_post_row tgi_post_row(const struct tgi_worker *w, const uint64_t *a)
{
    const int64_t *start = (const int64_t *)TGI_POST_MEMORY(w, a[5] + 16 * a[1], 24);
    int64_t rest = start[2];
    struct tgi_post_row r = {start[0], start[1], false, a[11] != 0};
    (void)w;
    r.is_sound = r.begin >= (int64_t)a[2] && r.end >= r.begin && rest >= r.end && (uint64_t)rest - (uint64_t)r.end == r.is_solve &&
                 rest <= (int64_t)(a[2] + a[3]);
    return r;
}

/* The cell of entry e; NULL: it names none. */
TGI_FN const struct tgi_cell *tgi_post_cell(const struct tgi_worker *w, const uint64_t *a, int64_t e)
{
    uint32_t col = *(const uint32_t *)TGI_POST_MEMORY(w, a[6] + 4 * (uint64_t)e, 4), tile = col >> 16;
    uint64_t who = tile >= 1 && tile <= TGI_POST_N_IN && (col & 0xffffu) == 0 ? a[TGI_POST_FIRST_IN + tile - 1] : 0;
    return who ? &w->v->posted[who - 1] : (const struct tgi_cell *)0;
}

/* Told to whoever looks; what lies behind it is nobody's who looks. */
TGI_FN void tgi_post_tell(const struct tgi_worker *w, uint32_t id, uint64_t bits)
{
    TGI_DELAY(w->id);
    tgi_cell_store(&w->v->posted[id], bits, (uint64_t)w->epoch << 32 | (w->is_failed || w->is_over));
}

#ifndef TGI_TIMES
#define TGI_TIMES(view) false
#endif

/* It begins when all of its elements are there; rows of one warp that were complete at once overlap. */
TGI_FN void tgi_post_note(const struct tgi_worker *w, uint32_t slot, uint64_t begin_ns)
{
    w->v->times[2 * (uint64_t)slot] = begin_ns;
    w->v->times[2 * (uint64_t)slot + 1] = tgi_now_ns();
}

#if TGI_LANES == 1

/* ---- One lane: one row after the other --------------------------------------------------------*/

TGI_FN uint64_t tgi_post_wait(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, const struct tgi_cell *cell)
{
    struct tgi_patience patience = {0, 0};
    uint64_t data = 0, tail;
    uint32_t seen = 0;
    for (;;) {
        tgi_cell_load(cell, &data, &tail);
        if (tgi_cell_is_there(w, tail, &seen) ||
            !tgi_wait_longer(w, &patience, t, slot, (uint32_t)(cell - w->v->posted), seen, w->epoch))
            return data;
    }
}

/* The sum, once all is there; false: the row is no good. */
TGI_FN bool tgi_post_sum(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, const uint64_t *a,
                         const struct tgi_post_row *r, bool is_wide, uint64_t *sum_p)
{
    uint64_t sums[TGI_POST_SUMS] = {0};
    for (int64_t e = r->begin; e < r->end; e++)
        if (!tgi_post_cell(w, a, e))
            return false;
    for (int64_t e = r->begin; e < r->end && !w->is_over; e++) {
        uint64_t *sum = &sums[(e - r->begin) % TGI_POST_SUMS];
        *sum = tgi_post_fma(is_wide, tgi_post_load(w, is_wide, a[4], e), tgi_post_wait(w, t, slot, tgi_post_cell(w, a, e)), *sum);
    }
    for (uint32_t n = TGI_POST_SUMS / 2; n > 0; n /= 2)
        for (uint32_t q = 0; q < n; q++)
            sums[q] = tgi_post_add(is_wide, sums[q], sums[q + n]);
    *sum_p = sums[0];
    return true;
}

TGI_FN void tgi_post_task(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, bool is_wide)
{
    const uint64_t *a = &w->v->words[t->in[1]];
    struct tgi_post_row r = tgi_post_row(w, a);
    uint64_t sum = 0, side = 0, diagonal = 0, bits = 0, begin_ns = 0;
    bool is_good = r.is_sound;
    if (is_good && r.is_solve) {
        diagonal = tgi_post_load(w, is_wide, a[4], r.end);
        is_good = tgi_post_can_divide(is_wide, diagonal);
    }
    is_good = is_good && tgi_post_sum(w, t, slot, a, &r, is_wide, &sum);
    if (is_good)
        side = a[TGI_POST_SIDE] ? tgi_post_wait(w, t, slot, &w->v->posted[a[TGI_POST_SIDE] - 1])
                                : tgi_post_load(w, is_wide, a[7], (int64_t)a[10]);
    else
        tgi_body_fail(w, t, slot, 1);
    if (TGI_TIMES(w->v))
        begin_ns = tgi_now_ns();
    if (!w->is_failed && !w->is_over) {
        bits = tgi_post_end(is_wide, side, sum, r.is_solve ? tgi_post_inverse(is_wide, diagonal) : 0, r.is_solve);
        tgi_post_store(w, is_wide, a[TGI_POST_OUT], bits);
    }
    tgi_post_tell(w, t->id, bits);
    if (TGI_TIMES(w->v))
        tgi_post_note(w, slot, begin_ns);
}

/* The POSTs of the batch from the i-th on to the first task that is none; how far it came, TGI_RESIDENT_BATCH + 1: leave. */
TGI_FN uint32_t tgi_warp_posts(struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t n, uint32_t slot)
{
    for (; i < n && TGI_HEAD_WAY(batch[i].head) == TGI_WAY_POST; i++) {
        if (w->is_failed)
            tgi_post_tell(w, batch[i].id, 0);
        else if (TGI_CALL_BODY(batch[i].in[0]) == TGI_BODY_trsv_row_f64)
            tgi_post_task(w, &batch[i], slot + i, true);
        else
            tgi_post_task(w, &batch[i], slot + i, false);
        if (w->is_over)
            return TGI_RESIDENT_BATCH + 1;
    }
    return i;
}

#else

/* ---- A warp: four rows at once --------------------------------------------------------------*/

#define TGI_POSTS (TGI_LANES / TGI_POST_SUMS)

/* A lane's share of a row.  Two entries are looked at at a time, which are all of most rows. */
struct tgi_post_share {
    int64_t e, end; /* the first of the entries that are looked at */
    const struct tgi_cell *cell[3]; /* the third: of the side, in the first lane of a row */
    uint64_t value[2], got[3], sum;
    uint32_t missing; /* of these; bits */
    bool is_sound;
};

/* The two entries from e on, or what there is of them. */
TGI_FN void tgi_post_look(const struct tgi_worker *w, const uint64_t *a, bool is_wide, struct tgi_post_share *s)
{
#pragma unroll
    for (uint32_t k = 0; k < 2; k++) {
        int64_t e = s->e + k * TGI_POST_SUMS;
        if (e >= s->end)
            continue;
        s->cell[k] = tgi_post_cell(w, a, e);
        s->value[k] = tgi_post_load(w, is_wide, a[4], e);
        s->is_sound = s->is_sound && s->cell[k];
        s->missing |= 1u << k;
    }
}

/* Nothing is missing: adds what has come, and looks at the next. */
TGI_FN void tgi_post_take(const struct tgi_worker *w, const uint64_t *a, bool is_wide, struct tgi_post_share *s)
{
#pragma unroll
    for (uint32_t k = 0; k < 2; k++)
        if (s->e + k * TGI_POST_SUMS < s->end)
            s->sum = tgi_post_fma(is_wide, s->value[k], s->got[k], s->sum);
    s->e += 2 * TGI_POST_SUMS;
    if (s->e < s->end)
        tgi_post_look(w, a, is_wide, s);
}

/* Looks once at all that is missing. */
TGI_FN void tgi_post_poll(struct tgi_worker *w, struct tgi_post_share *s, uint32_t *seen_p)
{
    uint64_t tail[3];
#pragma unroll
    for (uint32_t k = 0; k < 3; k++)
        if (s->missing >> k & 1)
            tgi_cell_load(s->cell[k], &s->got[k], &tail[k]);
#pragma unroll
    for (uint32_t k = 0; k < 3; k++)
        if ((s->missing >> k & 1) && tgi_cell_is_there(w, tail[k], seen_p))
            s->missing &= ~(1u << k);
}

/* A row of the lanes in `bad` is no good. */
TGI_FN void tgi_post_refuse(struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t slot, uint32_t bad)
{
    uint32_t who = i + tgi_lowest(bad) / TGI_POST_SUMS;
    tgi_body_fail(w, &batch[who], slot + who, 1);
}

/* Which rows have all of their lanes in `lanes`: of each its lowest bit. */
TGI_FN uint32_t tgi_post_whole(uint32_t lanes)
{
    lanes &= lanes >> 4;
    lanes &= lanes >> 2;
    lanes &= lanes >> 1;
    return lanes & 0x01010101u;
}

/* All that a lane knows before others have posted anything; *inverse_p: of the diagonal. */
TGI_FN void tgi_post_begin(const struct tgi_worker *w, const uint64_t *a, const struct tgi_post_row *r, bool is_wide,
                           struct tgi_post_share *s, uint64_t *inverse_p)
{
    uint32_t q = tgi_lane() % TGI_POST_SUMS;
    s->e = r->begin + q;
    s->end = r->is_sound ? r->end : r->begin;
    s->is_sound = r->is_sound;
    if (!a[TGI_POST_SIDE])
        s->got[2] = tgi_post_load(w, is_wide, a[7], (int64_t)a[10]);
    else if (q == 0) {
        s->cell[2] = &w->v->posted[a[TGI_POST_SIDE] - 1];
        s->missing = 4;
    }
    tgi_post_look(w, a, is_wide, s);
    if (r->is_solve && r->is_sound) {
        uint64_t diagonal = tgi_post_load(w, is_wide, a[4], r->end);
        *inverse_p = tgi_post_inverse(is_wide, diagonal);
        s->is_sound = s->is_sound && tgi_post_can_divide(is_wide, diagonal);
    }
}

/* n rows from batch[i] on, of one kind of number, whose words are in `all`.  False: leave.  Between an element that arrives and the
 * one that leaves there are one vote, three steps of the sum, and a product. */
TGI_FN bool tgi_post_rows(struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t n, uint32_t slot,
                          const uint64_t *all, bool is_wide)
{
    uint32_t lane = tgi_lane(), q = lane % TGI_POST_SUMS, k = lane / TGI_POST_SUMS, mine = k < n ? k : 0, seen = 0, n_turns = 0;
    uint32_t left = 0x01010101u >> (TGI_POSTS - n) * TGI_POST_SUMS;
    const uint64_t *a = all + mine * TGI_RESIDENT_MAX_WORDS;
    const struct tgi_resident_task *t = &batch[i + mine];
    struct tgi_post_row r = tgi_post_row(w, a);
    struct tgi_post_share s = {0, 0, {0, 0, 0}, {0, 0}, {0, 0, 0}, 0, 0, true};
    struct tgi_patience patience = {0, 0};
    uint64_t inverse = 0, begin_ns = 0;
    tgi_post_begin(w, a, &r, is_wide, &s, &inverse);
    uint32_t bad = tgi_warp_ballot(k < n && !s.is_sound);
    if (bad)
        tgi_post_refuse(w, batch, i, slot, bad);
    while (left) {
        if (w->is_failed || !s.is_sound)
            s.missing = 0, s.e = s.end;
        tgi_post_poll(w, &s, &seen);
        if (!s.missing && s.e < s.end)
            tgi_post_take(w, a, is_wide, &s);
        uint32_t ready = tgi_post_whole(tgi_warp_ballot(!s.missing && s.e >= s.end)) & left;
        if (ready) {
            uint64_t sum = s.sum;
            if (TGI_TIMES(w->v))
                begin_ns = tgi_now_ns();
#pragma unroll
            for (uint32_t d = TGI_POST_SUMS / 2; d > 0; d /= 2)
                sum = tgi_post_add(is_wide, sum, tgi_warp_xor(sum, d));
            uint64_t bits = tgi_post_end(is_wide, s.got[2], sum, inverse, r.is_solve);
            if (tgi_warp_any(w->is_failed || !s.is_sound)) {
                bad = tgi_warp_ballot(k < n && !s.is_sound && !w->is_failed);
                if (bad) /* of a row with more entries than are looked at at once */
                    tgi_post_refuse(w, batch, i, slot, bad);
                w->is_failed = true;
            }
            if (q == 0 && (ready >> lane & 1)) {
                tgi_post_tell(w, t->id, bits);
                if (!w->is_failed)
                    tgi_post_store(w, is_wide, a[TGI_POST_OUT], bits);
                if (TGI_TIMES(w->v))
                    tgi_post_note(w, slot + i + k, begin_ns);
            }
            left &= ~ready;
        } else if (s.missing) {
            const struct tgi_cell *late = s.missing & 1 ? s.cell[0] : s.missing & 2 ? s.cell[1] : s.cell[2];
            tgi_wait_longer(w, &patience, t, slot + i + mine, (uint32_t)(late - w->v->posted), seen, w->epoch);
        }
        if (!(++n_turns & (TGI_PATIENCE - 1)) && tgi_warp_any(w->is_over))
            return false;
    }
    return true;
}

/* How many rows from the i-th on can be taken at once: POSTs of one kind. */
TGI_FN uint32_t tgi_post_count(const struct tgi_resident_task *batch, uint32_t i, uint32_t n)
{
    uint32_t mine = i + tgi_lane() < n ? i + tgi_lane() : i, body = TGI_CALL_BODY(batch[i].in[0]);
    uint32_t others = tgi_warp_ballot(i + tgi_lane() >= n || tgi_lane() >= TGI_POSTS || TGI_HEAD_WAY(batch[mine].head) != TGI_WAY_POST ||
                                      TGI_CALL_BODY(batch[mine].in[0]) != body);
    return tgi_lowest(others);
}

/* The lane's words of those rows, on their way. */
TGI_FN void tgi_post_fetch(const struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t n_rows,
                           uint64_t ahead[TGI_POSTS])
{
    uint32_t lane = tgi_lane();
#pragma unroll
    for (uint32_t k = 0; k < TGI_POSTS; k++)
        ahead[k] = k < n_rows && lane < TGI_POST_N_WORDS ? w->v->words[batch[i + k].in[1] + lane] : 0;
}

/* The POSTs of the batch from the i-th on, which is one, to the first task that is none; how far it came, TGI_RESIDENT_BATCH + 1:
 * leave.  The words of the next rows are fetched while these are waited for. */
TGI_FN uint32_t tgi_warp_posts(struct tgi_worker *w, const struct tgi_resident_task *batch, uint32_t i, uint32_t n, uint32_t slot)
{
    uint64_t *all = TGI_POST_WORDS(w), ahead[TGI_POSTS];
    uint32_t n_rows = tgi_post_count(batch, i, n);
    tgi_post_fetch(w, batch, i, n_rows, ahead);
    while (n_rows) {
        bool is_wide = TGI_CALL_BODY(batch[i].in[0]) == TGI_BODY_trsv_row_f64;
        uint32_t first = i, n_these = n_rows;
        tgi_warp_sync(); /* nobody looks at the words of the rows before */
#pragma unroll
        for (uint32_t k = 0; k < TGI_POSTS; k++)
            all[k * TGI_RESIDENT_MAX_WORDS + tgi_lane()] = ahead[k];
        tgi_warp_sync();
        i += n_rows;
        n_rows = i < n ? tgi_post_count(batch, i, n) : 0;
        if (n_rows)
            tgi_post_fetch(w, batch, i, n_rows, ahead);
        if (!(is_wide ? tgi_post_rows(w, batch, first, n_these, slot, all, true) : tgi_post_rows(w, batch, first, n_these, slot, all, false)))
            return TGI_RESIDENT_BATCH + 1;
    }
    return i;
}
#endif

#endif
