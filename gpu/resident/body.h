/* What tasks do: one function for each op of mem/resident_program.h, and the switch over them.
 *
 * A small op's result is a word: a function of its predecessors' results, in whatever order, of its id and of the
 * epoch.  tgi_body_take() says what a predecessor's result contributes, tgi_body_result() makes the word
 * of the sum, so that contributions can be added up where they arrive, lane by lane; in two steps if what comes before the
 * wait is to be done by then. */
#ifndef TGI_GPU_RESIDENT_BODY_H
#define TGI_GPU_RESIDENT_BODY_H

#include "gpu/resident/edge.h"

TGI_FN uint64_t tgi_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

TGI_FN bool tgi_body_mixes(uint32_t op) { return op == TGI_RESIDENT_HASH || op == TGI_RESIDENT_HASH_LINE; }

TGI_FN uint64_t tgi_body_take(uint32_t op, uint64_t result) { return tgi_body_mixes(op) ? tgi_mix(result) : result; }

TGI_FN uint64_t tgi_body_seed(uint32_t id, uint32_t epoch) { return (uint64_t)epoch << 32 | id; }

/* What of a result is known before predecessors are; `word`: of a line, else 0. */
TGI_FN uint64_t tgi_body_base(uint32_t op, uint32_t id, uint32_t epoch, uint32_t word)
{
    uint64_t seed = tgi_body_seed(id, epoch) ^ (uint64_t)word << 60;
    return tgi_body_mixes(op) ? tgi_mix(seed) : TGI_RESIDENT_HAS_SEED(op) ? seed : 0;
}
TGI_FN uint64_t tgi_body_end(uint32_t op, uint64_t base, uint64_t sum)
{
    return tgi_body_mixes(op) ? tgi_mix(base + sum) : TGI_RESIDENT_HAS_SEED(op) ? base + sum : 0;
}
TGI_FN uint64_t tgi_body_result(uint32_t op, uint64_t sum, uint32_t id, uint32_t epoch, uint32_t word)
{
    return tgi_body_end(op, tgi_body_base(op, id, epoch, word), sum);
}

/* Signed numbers are in two's complement, of which sums and products modulo 2^64 are right. */
TGI_FN uint64_t tgi_body_arithmetic(uint32_t op, uint64_t sum, uint64_t arg)
{
    uint64_t x = op == TGI_RESIDENT_SCALE ? sum * arg : sum + arg;
    return op == TGI_RESIDENT_RAMP && (int64_t)x < 0 ? 0 : x;
}

/* Word i of a line, from word i of every predecessor's line, or from its result if it leaves none. */
TGI_FN uint64_t tgi_line_word(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t i)
{
    uint32_t op = TGI_HEAD_OP(t->head);
    uint64_t sum = 0;
    for (uint32_t k = 0; k < tgi_n_in(t); k++) {
        uint32_t in = tgi_in_word(w, t, k), slot = TGI_IN_SLOT(in);
        const uint64_t *from = in & TGI_IN_LINE ? &w->v->lines[(uint64_t)slot * TGI_RESIDENT_LINE_WORDS + i]
                                                : &w->v->results[slot];
        sum += tgi_body_take(op, *from);
    }
    return tgi_body_result(op, sum, t->id, w->epoch, i);
}

/* Its result is its first word, in lane 0. */
TGI_FN uint64_t tgi_body_line(const struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    uint64_t first = 0;
    for (uint32_t i = tgi_lane(); i < TGI_RESIDENT_LINE_WORDS; i += TGI_LANES) {
        uint64_t word = tgi_line_word(w, t, i);
        w->v->lines[(uint64_t)slot * TGI_RESIDENT_LINE_WORDS + i] = word;
        if (i == 0)
            first = word;
    }
    return first;
}

TGI_FN void tgi_body_copy(const struct tgi_resident_copy *c)
{
    uint64_t *to = (uint64_t *)(uintptr_t)c->to;
    const uint64_t *from = (const uint64_t *)(uintptr_t)c->from;
    for (uint64_t i = tgi_lane(); i < c->bytes / 8; i += TGI_LANES)
        to[i] = from[i];
}

/* The abort word takes as long to come as a short task, so it is looked at now and then.  So does the clock, and longer if
 * everybody reads it: half of what is left passes by the multiprocessor's own counter, until that is short and the two
 * have been compared over half of the time; the counter tells the end, so that no reading lies between it and the next task.  A
 * CPU's clock is at hand, and a thread may be called away between one and the other. */
#define TGI_SPIN_LOOK_NS 4000u
#define TGI_SPIN_END_NS  2000u
/* False: it was cut short. */
TGI_FN bool tgi_body_spin(struct tgi_worker *w, uint64_t ns)
{
    uint64_t first = tgi_cycles(), since = tgi_now_ns(), now = since, looked = since;
    while (now - since < ns && !w->is_over) {
        uint64_t half = (ns - (now - since)) / 2;
        tgi_let_pass(half < TGI_SPIN_LOOK_NS ? (uint32_t)half : TGI_SPIN_LOOK_NS);
        uint64_t mark = tgi_cycles();
        now = tgi_now_ns();
        uint64_t took = now - since, left = took < ns ? ns - took : 0;
        if (TGI_LANES > 1 && took >= left && left < TGI_SPIN_END_NS) {
            uint64_t rest = (uint64_t)((float)left * ((float)(mark - first) / (float)took));
            while (tgi_cycles() - mark < rest)
                tgi_pause();
            return true;
        }
        if (now - looked >= TGI_SPIN_LOOK_NS) {
            looked = now;
            w->is_over = TGI_LOAD_TOLD(&w->v->control->abort) != 0;
            w->is_failed |= TGI_LOAD_TOLD(&w->v->control->is_failed) != 0; /* for the bodies after this one */
        }
    }
    return now - since >= ns;
}

/* The same for a CALL, which says so for people. */
TGI_FN void tgi_body_burn(struct tgi_worker *w, const struct tgi_resident_task *t, uint64_t ns)
{
    if (ns && !tgi_body_spin(w, ns) && tgi_lane() == 0)
        tgi_store_relaxed(&w->v->control->cut, 1 + t->id);
}

TGI_FN void tgi_body_fail(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot, uint32_t code)
{
    struct tgi_resident_panic what = {TGI_PANIC_TASK, t->id, w->id, slot, 0, w->failed, 0, code};
    w->is_failed = true;
    if (tgi_lane() == 0) {
        tgi_panic(w->v, &what);
        tgi_store_relaxed(&w->v->control->is_failed, 1);
#ifdef TGI_HAS_BLOCKS
        tgi_shared_store_release(&w->block->is_failed, 1); /* for tasks a block wide behind it in the block's order */
#endif
    }
}

/* The ops that are not a word of words. */
TGI_FN uint64_t tgi_body_other(struct tgi_worker *w, const struct tgi_resident_task *t, uint32_t slot)
{
    switch (TGI_HEAD_OP(t->head)) {
    case TGI_RESIDENT_ADD_LINE:
    case TGI_RESIDENT_HASH_LINE:
        return tgi_body_line(w, t, slot);
    case TGI_RESIDENT_COPY:
        tgi_body_copy(&w->v->copies[w->v->args[slot]]);
        break;
    case TGI_RESIDENT_SPIN:
        tgi_body_spin(w, w->v->args[slot]);
        break;
    case TGI_RESIDENT_FAIL:
        tgi_body_fail(w, t, slot, (uint32_t)w->v->args[slot]);
        break;
    case TGI_RESIDENT_INPUT:
        return w->v->inputs[w->v->args[slot]];
    }
    return 0;
}

#endif
