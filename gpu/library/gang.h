/* Gangs: workers, of several blocks as a rule, that go on together: a barrier, and reductions, scans and broadcasts of single values.
 *
 * A member is a warp that stays for the gang's life.  All members call the same functions in the same order; all must be
 * resident at once, which the launch sees to.
 *
 * Barrier.  In a gang of up to TGD_GANG_NEAR each member has a word for the rounds it has come to, which it alone writes, and each lane
 * looks at another member's: all words are in a few lines, and nobody waits for the others' additions to one of them.  In a larger
 * one each member adds one to a count that only grows, and waits until it has reached members times rounds.  Coming releases,
 * the look acquires: what any member has done before is seen by all after it.  Coming and waiting are two functions, so that
 * work fits in between.
 *
 * Values.  Each member puts its value into a cell of its own, the round beside it in the same 16 bytes, and reads those of
 * the others when they are of this round.  So a value arrives with its flag, in one hop and without a fence; therefore these
 * functions order nothing else in memory.  There are two sets of cells in turn: who writes round r + 2 has all values
 * of r + 1, and nobody gives that who has not read all of r.  Floats are combined in the same order in every run.
 *
 *     host:    image = zeroed memory of tgd_gang_bytes(n); tgd_gang_init(image, n); copied to global memory, aligned to 128
 *     bodies:  a struct tgd_member for each, tgd_member_init(); all lanes of the warp, alike
 *
 * All lanes of a warp look at once and go round together: lanes that each went round until theirs was there took turns (docs/PERFORMANCE.md).
 *
 * A wait that fails leaves the gang out of step: its members leave, and the image is copied anew. */
#ifndef TGD_GANG_H
#define TGD_GANG_H

#include "gpu/library/atomic.h"
#include "gpu/library/wait.h"

#define TGD_GANG_NEAR 32u

/* Two sets of cells follow, then the words. */
struct tgd_gang {
    uint32_t n_come; /* over all rounds; of a large gang */
    uint32_t pad0[31];
    uint32_t n_members;
    uint32_t pad1[31];
};

struct tgd_member {
    struct tgd_gang *gang;
    uint32_t rank;
    uint32_t n_members;          /* the gang's: looking there takes as long as a value takes to come */
    uint32_t n_syncs, n_rounds; /* barriers, and rounds of values */
};

enum tgd_op { TGD_SUM, TGD_MIN, TGD_MAX };

TGI_FN uint64_t tgd_gang_bytes(uint32_t n_members)
{
    return sizeof(struct tgd_gang) + (uint64_t)n_members * (2 * sizeof(struct tgi_cell) + sizeof(uint32_t));
}
/* image: zeroed. */
TGI_FN int tgd_gang_init(struct tgd_gang *g, uint32_t n_members)
{
    if (n_members == 0)
        return TGD_E_INVALID;
    g->n_members = n_members;
    return TGD_OK;
}
/* A gang that has just been made. */
TGI_FN int tgd_member_init(struct tgd_member *m, struct tgd_gang *g, uint32_t rank)
{
    if (rank >= g->n_members)
        return TGD_E_INVALID;
    m->gang = g;
    m->rank = rank;
    m->n_members = g->n_members;
    m->n_syncs = m->n_rounds = 0;
    return TGD_OK;
}

/* ---- Barrier --------------------------------------------------------------------------------*/

/* The rounds that each member has come to. */
TGI_FN uint32_t *tgi_gang_words(const struct tgd_member *m)
{
    return (uint32_t *)((struct tgi_cell *)(m->gang + 1) + 2 * (uint64_t)m->n_members);
}

TGI_FN void tgd_gang_come(struct tgd_member *m)
{
    tgi_warp_sync(); /* what all lanes have done */
    TGI_DELAY(m->rank);
    m->n_syncs++;
    if (tgi_lane() != 0)
        return;
    /* Both pair with tgd_gang_wait(). */
    if (m->n_members <= TGD_GANG_NEAR)
        tgi_store_release(tgi_gang_words(m) + m->rank, m->n_syncs);
    else
        tgi_add_release(&m->gang->n_come, 1);
}
/* A lane's member among those from `first` on; where they are fewer than lanes, the last one of the gang is several lanes'. */
TGI_FN uint32_t tgi_gang_rank(const struct tgd_member *m, uint32_t first)
{
    uint32_t rank = first + tgi_lane();
    return rank < m->n_members ? rank : m->n_members - 1;
}
/* All lanes, after a look each.  Whether to look again; rc: of the lane, once it has waited too long. */
TGI_FN bool tgi_gang_again(bool is_late, struct tgi_wait *w, const struct tgd_limit *limit, int *rc)
{
    if (!tgi_warp_any(is_late && *rc == TGD_OK))
        return false;
    int now = tgi_poll_again(w, limit);
    *rc = *rc == TGD_OK ? now : *rc;
    return true;
}
/* What all lanes return who have looked for the last time. */
TGI_FN int tgi_gang_rc(bool is_late, int rc)
{
    uint32_t late = tgi_warp_ballot(is_late);
    return late ? (int)tgi_warp_get((uint32_t)rc, tgi_lowest(late)) : TGD_OK;
}

/* All lanes: until each one's member has come. */
TGI_FN int tgi_gang_reach(const struct tgd_member *m, uint32_t rank, const struct tgd_limit *limit)
{
    const uint32_t *word = tgi_gang_words(m) + rank;
    struct tgi_wait w = {0, 0, 0};
    bool is_late;
    int rc = TGD_OK;
    do
        is_late = (int32_t)(tgi_word_load_acquire(word) - m->n_syncs) < 0;
    while (tgi_gang_again(is_late, &w, limit, &rc));
    return tgi_gang_rc(is_late, rc);
}
TGI_FN int tgd_gang_wait(struct tgd_member *m, const struct tgd_limit *limit)
{
    int rc = TGD_OK;
    if (m->n_members <= TGD_GANG_NEAR) {
        for (uint32_t first = 0; first < m->n_members && rc == TGD_OK; first += TGI_LANES)
            rc = tgi_gang_reach(m, tgi_gang_rank(m, first), limit);
    } else {
        if (tgi_lane() == 0)
            rc = tgd_word_reach(&m->gang->n_come, m->n_syncs * m->n_members, limit);
        rc = (int)tgi_warp_get((uint32_t)rc, 0);
    }
    tgi_warp_sync(); /* what a lane has acquired is acquired for all */
    return rc;
}
TGI_FN int tgd_gang_sync(struct tgd_member *m, const struct tgd_limit *limit)
{
    tgd_gang_come(m);
    return tgd_gang_wait(m, limit);
}

/* ---- Values ---------------------------------------------------------------------------------*/

TGI_FN void tgi_gang_put(struct tgd_member *m, uint64_t x)
{
    struct tgi_cell *cells = (struct tgi_cell *)(m->gang + 1);
    m->n_rounds++;
    TGI_DELAY(m->rank);
    if (tgi_lane() == 0)
        tgi_cell_store(&cells[(m->n_rounds & 1) * m->n_members + m->rank], x, (uint64_t)m->n_rounds << 32);
}

/* All lanes: each one's member's value of this round. */
TGI_FN int tgi_gang_get(const struct tgd_member *m, uint32_t rank, const struct tgd_limit *limit, uint64_t *x_p)
{
    const struct tgi_cell *cell = (const struct tgi_cell *)(m->gang + 1) + (m->n_rounds & 1) * m->n_members + rank;
    struct tgi_wait w = {0, 0, 0};
    bool is_late;
    int rc = TGD_OK;
    do {
        uint64_t tail;
        tgi_cell_load(cell, x_p, &tail);
        is_late = tail >> 32 != m->n_rounds;
    } while (tgi_gang_again(is_late, &w, limit, &rc));
    return tgi_gang_rc(is_late, rc);
}

/* For each type: its own text, as C has no other way.  Each lane combines the values of every 32nd member, then the lanes combine
 * theirs.  A scan is the same over fewer members, but waits for all, as the next round may come only then. */
#define TGI_GANG(suffix, type, to_wide, of_wide)                                                                          \
    TGI_FN type tgi_combine_##suffix(enum tgd_op op, type a, type b)                                                      \
    {                                                                                                                     \
        return op == TGD_SUM ? a + b : op == TGD_MIN ? (b < a ? b : a) : (b > a ? b : a);                                 \
    }                                                                                                                     \
    TGI_FN int tgi_gang_combine_##suffix(struct tgd_member *m, enum tgd_op op, type x, type nothing, uint32_t n,          \
                                         const struct tgd_limit *limit, type *result_p)                                   \
    {                                                                                                                     \
        type sum = nothing;                                                                                               \
        int rc = TGD_OK;                                                                                                  \
        tgi_gang_put(m, to_wide(x));                                                                                      \
        for (uint32_t first = 0; first < m->n_members && rc == TGD_OK; first += TGI_LANES) {                              \
            uint64_t wide = 0;                                                                                            \
            rc = tgi_gang_get(m, tgi_gang_rank(m, first), limit, &wide);                                                  \
            if (first + tgi_lane() < n && rc == TGD_OK)                                                                   \
                sum = tgi_combine_##suffix(op, sum, of_wide(wide));                                                       \
        }                                                                                                                 \
        if (rc != TGD_OK)                                                                                                 \
            return rc;                                                                                                    \
        for (uint32_t d = 1; d < TGI_LANES; d *= 2)                                                                       \
            sum = tgi_combine_##suffix(op, sum, of_wide(tgi_warp_swapped(to_wide(sum), d)));                              \
        *result_p = sum;                                                                                                  \
        return TGD_OK;                                                                                                    \
    }                                                                                                                     \
    /* The same result for all members. */                                                                                \
    TGI_FN int tgd_gang_reduce_##suffix(struct tgd_member *m, enum tgd_op op, type x, const struct tgd_limit *limit,      \
                                        type *result_p)                                                                   \
    {                                                                                                                     \
        return tgi_gang_combine_##suffix(m, op, x, op == TGD_SUM ? (type)0 : x, m->n_members, limit, result_p);           \
    }                                                                                                                     \
    /* Over the members up to this one. */                                                                                \
    TGI_FN int tgd_gang_scan_##suffix(struct tgd_member *m, enum tgd_op op, type x, const struct tgd_limit *limit,        \
                                      type *result_p)                                                                     \
    {                                                                                                                     \
        return tgi_gang_combine_##suffix(m, op, x, op == TGD_SUM ? (type)0 : x, m->rank + 1, limit, result_p);            \
    }
TGI_GANG(u64, uint64_t, (uint64_t), (uint64_t))
TGI_GANG(i64, int64_t, (uint64_t), (int64_t))
TGI_GANG(f64, double, tgi_wide_of_f64, tgi_f64_of_wide)
TGI_GANG(f32, float, tgi_word_of_f32, tgi_f32_of_word)
#undef TGI_GANG

/* The root's value, for all. */
TGI_FN int tgd_gang_broadcast(struct tgd_member *m, uint32_t root, uint64_t x, const struct tgd_limit *limit, uint64_t *result_p)
{
    if (root >= m->n_members)
        return TGD_E_INVALID;
    uint64_t got = 0;
    int rc = TGD_OK;
    tgi_gang_put(m, x);
    for (uint32_t first = 0; first < m->n_members && rc == TGD_OK; first += TGI_LANES) {
        uint64_t wide = 0;
        rc = tgi_gang_get(m, tgi_gang_rank(m, first), limit, &wide);
        got = first + tgi_lane() == root ? wide : got;
    }
    if (rc != TGD_OK)
        return rc;
    *result_p = tgi_warp_get_wide(got, root % TGI_LANES);
    return TGD_OK;
}

#endif
