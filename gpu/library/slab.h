/* A slab heap: objects of up to 1024 bytes, in classes, taken from the warp's own magazine as a rule.
 *
 * A magazine has for each class one word of a page (gpu/library/page.h): the bits of the objects that are the warp's to
 * hand out.  Taking one is finding and clearing a bit in memory that nobody else uses; giving back to the same word is
 * setting one.  An empty magazine gets up to 32 objects, or TGD_MAGAZINE_BYTES of them, by one atomic operation;
 * what belongs to other words goes back to the heap, by one operation for all lanes that give to the same word.
 *
 *     host:    bytes = a multiple of TGD_SLAB_ALIGN; image = zeroed memory of tgd_slab_head_bytes(bytes);
 *              tgd_slab_init(image, bytes); the heap takes `bytes` on the GPU, aligned to 256, and the image is
 *              copied to where they begin
 *     bodies:  a struct tgd_magazine for each warp, in shared memory as a rule; tgd_magazine_init(), allocate and free,
 *              tgd_slab_drain() before the warp leaves
 *
 * An object may be freed by any warp.  The caller says the size that it asked for, which saves a look at the page.  A request
 * that is refused with TGD_E_NO_MEMORY has looked everywhere and takes long; what lies in others' magazines, or passes
 * through others' hands at that moment, it cannot have. */
#ifndef TGD_SLAB_H
#define TGD_SLAB_H

#include "gpu/library/page.h"

#define TGD_SLAB_ALIGN     16384u
#define TGD_SLAB_MAX_BYTES 1024u
#define TGD_MAGAZINE_BYTES 2048u /* of a class, but one object at least */

/* What a magazine has of a class: read by one load. */
struct tgi_round {
    uint64_t at;    /* the object of bit 0 */
    uint32_t place; /* page * TGI_PAGE_WORDS + word */
    uint32_t bits;  /* objects to hand out */
} __attribute__((aligned(16)));

/* By one load, where a compiler would make two of it, the second behind a branch. */
TGI_FN struct tgi_round tgi_round_load(const struct tgi_round *r)
{
#ifdef __CUDACC__
    uint4 x = *(const uint4 *)r;
    struct tgi_round got = {(uint64_t)x.y << 32 | x.x, x.z, x.w};
    return got;
#else
    return *r;
#endif
}

/* Of one warp, all of whose lanes see it. */
struct tgd_magazine {
    struct tgi_round of[TGI_PAGE_CLASSES];
    uint32_t lot; /* where in pages this warp looks first, so that warps do not meet */
    uint32_t pad[3];
};

/* ---- Making ---------------------------------------------------------------------------------*/

TGI_FN uint64_t tgi_slab_table_bytes(uint64_t n_pages)
{
    uint64_t n_row_words = (n_pages + 31) / 32;
    return sizeof(struct tgd_slab) + 4 * ((TGI_PAGE_CLASSES + 1) * n_row_words + n_pages + n_pages * TGI_PAGE_WORDS);
}

/* Of a heap of so many bytes, what the image holds; the rest are pages. */
TGI_FN uint64_t tgd_slab_head_bytes(uint64_t bytes)
{
    uint64_t n_pages = bytes / TGI_PAGE_BYTES;
    while (n_pages && (tgi_slab_table_bytes(n_pages) + 255) / 256 * 256 + n_pages * TGI_PAGE_BYTES > bytes)
        n_pages--;
    return (tgi_slab_table_bytes(n_pages) + 255) / 256 * 256;
}

/* image: zeroed. */
TGI_FN int tgd_slab_init(struct tgd_slab *s, uint64_t bytes)
{
    uint64_t head = tgd_slab_head_bytes(bytes);
    if (bytes <= head || (bytes - head) / TGI_PAGE_BYTES == 0 || bytes / TGI_PAGE_BYTES > UINT32_MAX / TGI_PAGE_WORDS - 1)
        return TGD_E_INVALID;
    s->n_pages = (uint32_t)((bytes - head) / TGI_PAGE_BYTES);
    s->n_row_words = (s->n_pages + 31) / 32;
    s->pages_at = head;
    for (uint32_t page = 0; page < s->n_pages; page++) {
        *tgi_page_class(s, page) = TGI_PAGE_FREE;
        tgi_page_row(s, TGI_PAGE_FREE)[page / 32] |= 1u << page % 32;
    }
    return TGD_OK;
}

/* All lanes.  who: the warp's number. */
TGI_FN void tgd_magazine_init(struct tgd_magazine *m, uint32_t who)
{
    for (uint32_t c = tgi_lane(); c < TGI_PAGE_CLASSES; c += TGI_LANES) {
        m->of[c].at = 0;
        m->of[c].place = TGI_PAGE_NONE;
        m->of[c].bits = 0;
    }
    m->lot = who;
    tgi_warp_sync();
}

/* ---- Places ---------------------------------------------------------------------------------*/

/* Of the object that bit 0 of a word stands for. */
TGI_FN uint64_t tgi_slab_address(struct tgd_slab *s, uint32_t class_, uint32_t page, uint32_t word)
{
    return (uint64_t)((char *)s + s->pages_at + (uint64_t)page * TGI_PAGE_BYTES + word * 32 * tgi_class_bytes(class_));
}
TGI_FN void *tgi_round_address(const struct tgi_round *r, uint32_t class_, uint32_t bit)
{
    return (void *)(r->at + bit * tgi_class_bytes(class_));
}

/* False: no object of the class begins there. */
TGI_FN bool tgi_slab_place(const struct tgd_slab *s, uint32_t class_, const void *p, uint32_t *place_p, uint32_t *bit_p)
{
    uint64_t at = (uint64_t)((const char *)p - (const char *)s) - s->pages_at;
    uint32_t size = tgi_class_bytes(class_), in_page = (uint32_t)at % TGI_PAGE_BYTES;
    uint32_t i = tgi_exact_quotient(in_page, size);
    *place_p = (uint32_t)(at / TGI_PAGE_BYTES) * TGI_PAGE_WORDS + i / 32;
    *bit_p = 1u << i % 32;
    return at < (uint64_t)s->n_pages * TGI_PAGE_BYTES && i * size == in_page && in_page + size <= TGI_PAGE_BYTES;
}

/* ---- Filling --------------------------------------------------------------------------------*/

/* Objects are counted before they can be had by others and after they are ours, so that the peak is never too high. */
TGI_FN void tgi_slab_count_up(struct tgd_slab *s, uint64_t bytes)
{
    uint64_t now = tgi_wide_add_relaxed(&s->in_use, bytes) + bytes;
    tgi_wide_max_relaxed(&s->peak, now);
}
TGI_FN void tgi_slab_count_down(struct tgd_slab *s, uint64_t bytes) { tgi_wide_add_relaxed(&s->in_use, -bytes); }

/* All lanes.  Fills the empty magazine of the class; what is in it, 0: there is nothing.  A thousand instructions, so a call: where
 * allocations follow each other they would be fetched past each time. */
TGI_FN_APART uint32_t tgi_slab_fill(struct tgd_slab *s, struct tgd_magazine *m, uint32_t class_)
{
    uint32_t size = tgi_class_bytes(class_), n = TGD_MAGAZINE_BYTES / size, lot = m->lot, page, word = 0, bits;
    uint32_t start = lot % s->n_row_words;
    n = n > 32 ? 32 : n;
    for (;;) {
        page = tgi_page_search(s, class_, start);
        if (page != TGI_PAGE_NONE) {
            bits = tgi_page_take(s, class_, page, n, lot, &word);
            if (bits)
                break;
        } else if (!tgi_page_claim(s, class_, start) && !tgi_page_reclaim(s)) {
            if (tgi_lane() == 0)
                tgi_wide_add_relaxed(&s->n_failed, 1);
            return 0;
        }
    }
    if (tgi_lane() == 0) {
        tgi_slab_count_up(s, (uint64_t)size * tgi_count_ones(bits));
        m->of[class_].at = tgi_slab_address(s, class_, page, word);
        m->of[class_].place = page * TGI_PAGE_WORDS + word;
        m->of[class_].bits = bits;
    }
    tgi_warp_sync();
    return bits;
}

/* ---- Allocating -----------------------------------------------------------------------------*/

/* All lanes; one object for the warp. */
TGI_FN int tgd_slab_alloc(struct tgd_slab *s, struct tgd_magazine *m, uint32_t bytes, void **p)
{
    if (bytes - 1 >= TGD_SLAB_MAX_BYTES)
        return TGD_E_INVALID;
    uint32_t class_ = tgi_class_of(bytes);
    struct tgi_round r = tgi_round_load(&m->of[class_]);
    if (r.bits == 0) {
        if (tgi_slab_fill(s, m, class_) == 0)
            return TGD_E_NO_MEMORY;
        r = tgi_round_load(&m->of[class_]);
    }
    *p = tgi_round_address(&r, class_, tgi_lowest(r.bits));
    tgi_warp_sync(); /* all have read it */
    m->of[class_].bits = r.bits & (r.bits - 1); /* by all lanes alike */
    return TGD_OK;
}

/* All lanes; an object for each that wants one.  The status is the lane's own, as is *p, NULL without one. */
TGI_FN int tgd_slab_alloc_lanes(struct tgd_slab *s, struct tgd_magazine *m, uint32_t bytes, bool is_wanted, void **p)
{
    uint32_t class_, rank, n, left = tgi_warp_ballot(is_wanted);
    *p = NULL;
    if (bytes - 1 >= TGD_SLAB_MAX_BYTES)
        return TGD_E_INVALID;
    class_ = tgi_class_of(bytes);
    while (left) {
        uint32_t bits = m->of[class_].bits;
        if (bits == 0 && (bits = tgi_slab_fill(s, m, class_)) == 0)
            break;
        n = tgi_count_ones(bits);
        rank = tgi_count_ones(left & ((1u << tgi_lane()) - 1));
        if ((left >> tgi_lane() & 1) && rank < n)
            *p = tgi_round_address(&m->of[class_], class_, tgi_nth_bit(bits, rank));
        uint32_t n_left = tgi_count_ones(left);
        if (n_left < n) {
            uint32_t last = tgi_nth_bit(bits, n_left - 1);
            bits = bits >> last >> 1 << last << 1;
        } else
            bits = 0;
        tgi_warp_sync();
        m->of[class_].bits = bits;
        tgi_warp_sync();
        left = tgi_warp_ballot(is_wanted && *p == NULL);
    }
    return is_wanted && *p == NULL ? TGD_E_NO_MEMORY : TGD_OK;
}

/* All lanes: some give back an object, with that bit at that place, which is not in the magazine.  False: one of them was free already, or
 * *is_good_p is false now, as it is no object of the class. */
TGI_FN_APART bool tgi_slab_give(struct tgd_slab *s, uint32_t class_, uint32_t place, uint32_t bit, bool is_far, bool *is_good_p)
{
    uint32_t page = place / TGI_PAGE_WORDS;
    if (is_far && tgi_word_load_relaxed(tgi_page_class(s, page)) != class_)
        is_far = *is_good_p = false;
    uint64_t n = tgi_count_ones(tgi_warp_ballot(is_far));
    if (n && tgi_lane() == 0)
        tgi_slab_count_down(s, n * tgi_class_bytes(class_));
    return tgi_page_give(s, class_, page, place % TGI_PAGE_WORDS, is_far ? bit : 0);
}

/* All lanes; each gives back an object, or NULL.  bytes: what it was asked for with.  TGD_E_INVALID, for all lanes: one of them was
 * no object of that size, or free already, as far as the heap or this magazine can tell; objects of other lanes are given
 * back nevertheless. */
TGI_FN int tgd_slab_free_lanes(struct tgd_slab *s, struct tgd_magazine *m, uint32_t bytes, void *p)
{
    if (bytes - 1 >= TGD_SLAB_MAX_BYTES)
        return TGD_E_INVALID;
    uint32_t class_ = tgi_class_of(bytes), place = 0, bit = 0;
    bool is_good = p == NULL || tgi_slab_place(s, class_, p, &place, &bit);
    bool has = p != NULL && is_good, is_near = has && place == m->of[class_].place;
    uint32_t near = tgi_warp_or(is_near ? bit : 0), bits = m->of[class_].bits;
    bool is_twice = (near & bits) != 0;
    tgi_warp_sync();
    m->of[class_].bits = bits | near;
    tgi_warp_sync();
    if (tgi_warp_any(has && !is_near))
        is_twice |= !tgi_slab_give(s, class_, place, bit, has && !is_near, &is_good);
    return tgi_warp_any(!is_good || is_twice) ? TGD_E_INVALID : TGD_OK;
}

/* All lanes; one object of the warp. */
TGI_FN int tgd_slab_free(struct tgd_slab *s, struct tgd_magazine *m, uint32_t bytes, void *p)
{
    tgi_warp_sync(); /* what all lanes have done with it is over */
    return tgd_slab_free_lanes(s, m, bytes, tgi_lane() == 0 ? p : NULL);
}

/* All lanes: what is in the magazine goes back to the heap. */
TGI_FN void tgd_slab_drain(struct tgd_slab *s, struct tgd_magazine *m)
{
    for (uint32_t c = 0; c < TGI_PAGE_CLASSES; c++) {
        uint32_t bits = m->of[c].bits, place = m->of[c].place;
        tgi_warp_sync();
        m->of[c].bits = 0;
        m->of[c].place = TGI_PAGE_NONE;
        if (bits == 0)
            continue;
        if (tgi_lane() == 0)
            tgi_slab_count_down(s, (uint64_t)tgi_class_bytes(c) * tgi_count_ones(bits));
        tgi_page_give(s, c, place / TGI_PAGE_WORDS, place % TGI_PAGE_WORDS, tgi_lane() == 0 ? bits : 0);
    }
    tgi_warp_sync();
}

TGI_FN struct tgd_memory_stats tgd_slab_stats(const struct tgd_slab *s)
{
    struct tgd_memory_stats t;
    t.usable = (uint64_t)s->n_pages * TGI_PAGE_BYTES;
    t.in_use = tgi_wide_load_relaxed(&s->in_use);
    t.peak = tgi_wide_load_relaxed(&s->peak);
    t.n_failed = tgi_wide_load_relaxed(&s->n_failed);
    return t;
}

#endif
