/* A region: blocks of any size, first or best fit, neighbours coalesce.
 *
 * A bit for each granule says whether it is used, another whether a block ends there.  A block is a run of used granules
 * up to an end; free runs need no coalescing, as nothing parts them, and blocks have no header that a task could write over.
 *
 * One warp at a time, by a lock that is waited for with back-off and with a limit: blocks of a region live long
 * and are large.  What is small or in a hurry belongs into a slab heap.
 *
 *     host:    image = zeroed memory of tgd_region_head_bytes(bytes, granule); tgd_region_init(image, bytes, granule); the
 *              region takes `bytes` on the GPU, aligned to the granule or to 256, and the image is copied to where they begin
 *     bodies:  tgd_region_alloc(), tgd_region_free() */
#ifndef TGD_REGION_H
#define TGD_REGION_H

#include "gpu/library/memory_stats.h"
#include "gpu/library/wait.h"

enum tgd_fit { TGD_FIT_FIRST, TGD_FIT_BEST };

/* The maps of used granules and of ends follow, then the granules. */
struct tgd_region {
    uint32_t lock; /* 1: held.  Whoever holds it owns the rest */
    uint32_t pad0[31];
    uint32_t n_granules, n_words, granule;
    uint32_t n_used, peak, n_failed; /* granules; requests */
    uint64_t granules_at;            /* from here */
    uint64_t pad1[12];
};

/* ---- Making ---------------------------------------------------------------------------------*/

TGI_FN uint64_t tgi_region_head(uint64_t n_granules, uint32_t granule)
{
    uint64_t align = granule < 256 ? 256 : granule;
    return (sizeof(struct tgd_region) + (n_granules + 31) / 32 * 8 + align - 1) / align * align;
}
TGI_FN uint64_t tgi_region_granules(uint64_t bytes, uint32_t granule)
{
    uint64_t n = bytes / granule;
    while (n && tgi_region_head(n, granule) + n * granule > bytes)
        n--;
    return n;
}
TGI_FN uint64_t tgd_region_head_bytes(uint64_t bytes, uint32_t granule)
{
    return tgi_region_head(tgi_region_granules(bytes, granule), granule);
}
TGI_FN uint32_t *tgi_region_used(const struct tgd_region *r) { return (uint32_t *)(r + 1); }
TGI_FN uint32_t *tgi_region_ends(const struct tgd_region *r) { return (uint32_t *)(r + 1) + r->n_words; }

/* image: zeroed.  granule: a power of two of at least 16, of which blocks are multiples. */
TGI_FN int tgd_region_init(struct tgd_region *r, uint64_t bytes, uint32_t granule)
{
    if (granule < 16 || (granule & (granule - 1)))
        return TGD_E_INVALID;
    uint64_t n = tgi_region_granules(bytes, granule);
    if (n == 0 || n >= UINT32_MAX - 64)
        return TGD_E_INVALID;
    r->n_granules = (uint32_t)n;
    r->n_words = (r->n_granules + 31) / 32;
    r->granule = granule;
    r->granules_at = tgi_region_head(n, granule);
    if (n % 32) /* what does not exist is used */
        tgi_region_used(r)[r->n_words - 1] = ~0u << n % 32;
    return TGD_OK;
}

/* ---- The lock -------------------------------------------------------------------------------*/

/* All lanes.  acq_rel, then release: the maps, from one holder to the next. */
TGI_FN int tgi_region_lock(struct tgd_region *r, const struct tgd_limit *limit)
{
    struct tgi_wait w = {0, 0, 0};
    int rc = TGD_OK;
    if (tgi_lane() == 0)
        while (rc == TGD_OK && tgi_word_exchange_acq_rel(&r->lock, 1))
            rc = tgi_poll_again(&w, limit);
    rc = (int)tgi_warp_get((uint32_t)rc, 0);
    tgi_warp_sync();
    return rc;
}
TGI_FN void tgi_region_unlock(struct tgd_region *r)
{
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_word_store_release(&r->lock, 0);
}

/* ---- Runs, with the lock held ---------------------------------------------------------------*/

/* The search for a run of n free granules, fed word by word. */
struct tgi_run_search {
    uint32_t n;
    enum tgd_fit fit;
    uint32_t begin, length; /* of the run that ends where we are */
    uint32_t found, found_length, longest;
};

TGI_FN void tgi_run_end(struct tgi_run_search *f)
{
    bool is_better = f->fit == TGD_FIT_BEST ? f->length < f->found_length : f->found == UINT32_MAX;
    if (f->length >= f->n && is_better) {
        f->found = f->begin;
        f->found_length = f->length;
    }
    f->longest = f->longest > f->length ? f->longest : f->length;
    f->length = 0;
}
TGI_FN void tgi_run_word(struct tgi_run_search *f, uint32_t used, uint32_t at)
{
    for (uint32_t i = 0, n; i < 32; i += n) {
        uint32_t rest = used >> i;
        if (rest & 1) {
            tgi_run_end(f);
            n = ~rest ? tgi_lowest(~rest) : 32;
        } else {
            n = rest ? tgi_lowest(rest) : 32 - i;
            f->begin = f->length ? f->begin : at + i;
            f->length += n;
        }
    }
}
/* All lanes; a first fit stops where it has found. */
TGI_FN void tgi_region_search(const struct tgd_region *r, struct tgi_run_search *f)
{
    for (uint32_t begin = 0; begin < r->n_words; begin += TGI_LANES) {
        uint32_t mine = begin + tgi_lane() < r->n_words ? tgi_region_used(r)[begin + tgi_lane()] : ~0u;
        if (!tgi_warp_any(mine != ~0u)) {
            tgi_run_end(f);
            continue;
        }
        for (uint32_t k = 0; k < TGI_LANES; k++)
            tgi_run_word(f, tgi_warp_get(mine, k), (begin + k) * 32);
        if (f->fit == TGD_FIT_FIRST && (f->found != UINT32_MAX || f->length >= f->n))
            break;
    }
    tgi_run_end(f);
}

/* The bits of a word that belong to the granules begin .. end - 1. */
TGI_FN uint32_t tgi_run_mask(uint32_t word, uint32_t begin, uint32_t end)
{
    uint32_t mask = ~0u;
    if (word == begin / 32)
        mask &= ~0u << begin % 32;
    if (word == end / 32)
        mask &= (1u << end % 32) - 1;
    return mask;
}
TGI_FN void tgi_region_mark(struct tgd_region *r, uint32_t begin, uint32_t end, bool is_used)
{
    uint32_t *used = tgi_region_used(r), last = (end - 1) / 32;
    for (uint32_t w = begin / 32 + tgi_lane(); w <= last; w += TGI_LANES)
        used[w] = is_used ? used[w] | tgi_run_mask(w, begin, end) : used[w] & ~tgi_run_mask(w, begin, end);
    tgi_warp_sync();
    if (tgi_lane() == 0) {
        tgi_region_ends(r)[last] ^= 1u << (end - 1) % 32;
        r->n_used += is_used ? end - begin : begin - end;
        r->peak = r->peak > r->n_used ? r->peak : r->n_used;
    }
}
TGI_FN bool tgi_bit(const uint32_t *words, uint32_t i) { return words[i / 32] >> i % 32 & 1; }

/* One behind the end of the block that begins there; 0: none does. */
TGI_FN uint32_t tgi_region_block_end(const struct tgd_region *r, uint32_t begin)
{
    const uint32_t *used = tgi_region_used(r), *ends = tgi_region_ends(r);
    if (!tgi_bit(used, begin) || (begin && tgi_bit(used, begin - 1) && !tgi_bit(ends, begin - 1)))
        return 0;
    for (uint32_t w = begin / 32; w < r->n_words; w += TGI_LANES) {
        uint32_t mine = w + tgi_lane(), bits = mine < r->n_words ? ends[mine] : 0;
        if (mine == begin / 32)
            bits &= ~0u << begin % 32;
        uint32_t found = tgi_warp_ballot(bits != 0);
        if (found)
            return tgi_warp_get(mine * 32 + tgi_lowest(bits), tgi_lowest(found)) + 1;
    }
    return 0;
}

/* ---- Blocks ---------------------------------------------------------------------------------*/

/* All lanes, alike.  What is in the way of an answer is the lock: TGD_E_TIMEOUT and TGD_E_ABORTED change nothing. */
TGI_FN int tgd_region_alloc(struct tgd_region *r, uint64_t bytes, enum tgd_fit fit, const struct tgd_limit *limit, void **p)
{
    uint64_t n = (bytes + r->granule - 1) / r->granule;
    if (bytes == 0)
        return TGD_E_INVALID;
    int rc = tgi_region_lock(r, limit);
    if (rc)
        return rc;
    struct tgi_run_search f = {n < UINT32_MAX ? (uint32_t)n : UINT32_MAX, fit, 0, 0, UINT32_MAX, UINT32_MAX, 0};
    if (n <= r->n_granules)
        tgi_region_search(r, &f);
    if (f.found != UINT32_MAX) {
        tgi_region_mark(r, f.found, f.found + f.n, true);
        *p = (char *)r + r->granules_at + (uint64_t)f.found * r->granule;
    } else {
        rc = TGD_E_NO_MEMORY;
        if (tgi_lane() == 0)
            r->n_failed++;
    }
    tgi_region_unlock(r);
    return rc;
}

/* All lanes, alike.  TGD_E_INVALID: no block begins there. */
TGI_FN int tgd_region_free(struct tgd_region *r, void *p, const struct tgd_limit *limit)
{
    uint64_t at = (uint64_t)((char *)p - (char *)r) - r->granules_at, begin = at / r->granule;
    if (begin >= r->n_granules || at % r->granule)
        return TGD_E_INVALID;
    int rc = tgi_region_lock(r, limit);
    if (rc)
        return rc;
    uint32_t end = tgi_region_block_end(r, (uint32_t)begin);
    tgi_warp_sync();
    if (end)
        tgi_region_mark(r, (uint32_t)begin, end, false);
    else
        rc = TGD_E_INVALID;
    tgi_region_unlock(r);
    return rc;
}

/* All lanes.  *longest_p: bytes of the largest block that could be had. */
TGI_FN int tgd_region_stats(struct tgd_region *r, const struct tgd_limit *limit, struct tgd_memory_stats *s, uint64_t *longest_p)
{
    struct tgi_run_search f = {UINT32_MAX, TGD_FIT_BEST, 0, 0, UINT32_MAX, UINT32_MAX, 0};
    int rc = tgi_region_lock(r, limit);
    if (rc)
        return rc;
    tgi_region_search(r, &f);
    s->usable = (uint64_t)r->n_granules * r->granule;
    s->in_use = (uint64_t)r->n_used * r->granule;
    s->peak = (uint64_t)r->peak * r->granule;
    s->n_failed = r->n_failed;
    *longest_p = (uint64_t)f.longest * r->granule;
    tgi_region_unlock(r);
    return TGD_OK;
}

#endif
