/* Bodies that make tasks, in dynamic programs (gpu/resident/scheduler.h, gpu/resident/family.h).
 *
 * A task that a body makes calls a body, its own or another of the kernel, with words of its own.  It can be found when the body that
 * makes it is over; that one's task in the graph is over, for those that wait for it, when all are that came of it.  There is no order among
 * them but that.
 *
 *     bodies:  tgd_spawn(spawner, wants, body, words, n)
 *
 * Room is bounded: each worker has a share of blocks, and a task that was made has one until it is over.  Without one the answer is
 * TGD_E_FULL, and the body does the work itself, which cannot fail.  Whoever makes tasks by the thousand gets room as fast as others execute them.
 *
 * Free blocks are bits: the worker's own in its spawner, which is in shared memory on a GPU, those that others have given back in its home.
 * Only the owner looks there, when it has none left.  A block is written by its owner, and read by who executes the task, which the queue's
 * release and acquire puts behind; giving back is a release, taking back an acquire, so the next task is written after the last one
 * was read. */
#ifndef TGD_SPAWN_H
#define TGD_SPAWN_H

#include "gpu/library/status.h"
#include "gpu/library/word.h"
#include "mem/resident_dynamic.h"

/* A worker's, where all of its lanes can reach it. */
struct tgd_spawner {
    const struct tgi_resident_nursery *nursery;
    uint32_t worker;
    uint32_t root;   /* the task of the graph that the one at hand belongs to */
    uint32_t n_made; /* by the body at hand; nobody can find them yet */
    uint32_t free[TGI_SPAWN_BIT_WORDS];
    uint16_t made[TGI_SPAWN_MAX_EACH]; /* place in the worker's share */
};

/* All lanes, as a launch begins; whoever gives blocks back was given them after that. */
TGI_FN void tgi_spawner_init(struct tgd_spawner *s, const struct tgi_resident_nursery *nursery, uint32_t worker)
{
    if (tgi_lane() == 0) {
        s->nursery = nursery;
        s->worker = worker;
        s->root = s->n_made = 0;
        for (uint32_t i = 0; i < TGI_SPAWN_BIT_WORDS; i++) {
            uint32_t left = nursery->n_each > 32 * i ? nursery->n_each - 32 * i : 0;
            s->free[i] = left >= 32 ? ~0u : (1u << left) - 1;
            if (nursery->n_each)
                tgi_word_store_relaxed(&nursery->homes[worker].bits[i], 0);
        }
    }
    tgi_warp_sync();
}

TGI_FN uint64_t *tgi_spawn_block(const struct tgi_resident_nursery *n, uint32_t number)
{
    return &n->blocks[(uint64_t)number * (TGI_SPAWN_HEAD_WORDS + n->n_words)];
}

/* All lanes: a free block for each lane that wants one and has none, as far as there are; those that are at hand. */
TGI_FN void tgi_spawn_take(struct tgd_spawner *s, bool wants, uint32_t *place_p)
{
    uint32_t asking = tgi_warp_ballot(wants && *place_p == UINT32_MAX);
    uint32_t left = tgi_count_ones(asking), before = tgi_count_ones(asking & ((1u << tgi_lane()) - 1));
    for (uint32_t i = 0; i < TGI_SPAWN_BIT_WORDS && left; i++) {
        uint32_t bits = s->free[i], n = tgi_count_ones(bits);
        n = n < left ? n : left;
        if (asking >> tgi_lane() & 1 && *place_p == UINT32_MAX) {
            if (before < n)
                *place_p = 32 * i + tgi_nth_bit(bits, before);
            else
                before -= n;
        }
        left -= n;
        tgi_warp_sync(); /* all have seen the bits */
        for (; n; n--)
            bits &= bits - 1;
        if (tgi_lane() == 0)
            s->free[i] = bits;
        tgi_warp_sync();
    }
}

/* All lanes: those that others have given back are at hand.  acquire: they have read what was in them; pairs with tgi_spawn_give(). */
TGI_FN void tgi_spawn_collect(struct tgd_spawner *s)
{
    uint32_t *home = s->nursery->homes[s->worker].bits;
    for (uint32_t i = tgi_lane(); i < TGI_SPAWN_BIT_WORDS; i += TGI_LANES)
        if (tgi_word_load_relaxed(&home[i]))
            s->free[i] |= tgi_word_exchange_acq_rel(&home[i], 0);
    tgi_warp_sync();
}

/* One lane: the task in the block is over. */
TGI_FN void tgi_spawn_give(struct tgd_spawner *s, uint32_t number)
{
    uint32_t owner = number / s->nursery->n_each, place = number % s->nursery->n_each, bit = 1u << place % 32;
    if (owner == s->worker)
        s->free[place / 32] |= bit;
    else
        tgi_word_or_acq_rel(&s->nursery->homes[owner].bits[place / 32], bit);
}

/* All lanes, each with words of its own: a task for each lane that wants one.  TGD_OK, also where none is wanted; TGD_E_FULL: there was
 * no room for this lane's; TGD_E_INVALID: more words than the program has tasks with. */
TGI_FN int tgd_spawn(struct tgd_spawner *s, bool wants, uint32_t body, const uint64_t *words, uint32_t n)
{
    uint32_t place = UINT32_MAX;
    if (s->nursery->n_each == 0)
        return wants ? TGD_E_FULL : TGD_OK;
    if (n > s->nursery->n_words || body > TGI_CALL_BODY(~0u))
        return TGD_E_INVALID;
    tgi_spawn_take(s, wants, &place);
    if (tgi_warp_any(wants && place == UINT32_MAX)) {
        tgi_spawn_collect(s);
        tgi_spawn_take(s, wants, &place);
    }
    uint32_t got = tgi_warp_ballot(place != UINT32_MAX), n_made = s->n_made;
    if (place != UINT32_MAX) {
        uint64_t *block = tgi_spawn_block(s->nursery, s->worker * s->nursery->n_each + place);
        s->made[n_made + tgi_count_ones(got & ((1u << tgi_lane()) - 1))] = (uint16_t)place;
        block[0] = TGI_CALL(body, n, s->root);
        for (uint32_t i = 0; i < n; i++)
            block[TGI_SPAWN_HEAD_WORDS + i] = words[i];
    }
    tgi_warp_sync();
    if (tgi_lane() == 0)
        s->n_made = n_made + tgi_count_ones(got);
    tgi_warp_sync();
    return wants && place == UINT32_MAX ? TGD_E_FULL : TGD_OK;
}

#endif
