/* Pages of a slab heap: which class each belongs to, which of its objects are free, where to find one that has some.
 *
 * A page holds objects of one class, with a bit for each: set, it is free.  Who clears a bit owns the object, who owns it sets
 * the bit again.  So an object is never written to by the heap, up to 32 are taken by one operation, and there is no
 * list whose head could come back.
 *
 * Rows.  For each class a row of bits, one a page, leads to pages that have free objects, and one more row to pages of no
 * class.  A row's bit is a hint: set, it may be out of date; but a page of the class with a free object has it set,
 * or somebody is about to set it.  Who sets bits in a word that was 0 sets the row's bit after it.  Who finds nothing in a
 * page clears the row's bit and then looks again.  Both are read-modify-write operations on the row's word, acquire and
 * release: if the clearing came second, the second look sees the objects; if it came first, the bit is set after it.
 *
 * Classes.  Only who holds all objects of a page changes its class.  So while one holds a single object, the class is
 * what it is.  Who took objects of a page for one of its class, and sees now that it has become another, gives them back;
 * their class was written before they could be taken.  A page goes back to no class when somebody needs one: who finds none
 * looks for a page whose objects are all free and takes them all.
 *
 * All functions are for all lanes of a warp.  tests/model/library_page.pml explores rows and classes. */
#ifndef TGD_PAGE_H
#define TGD_PAGE_H

#include "gpu/library/memory_stats.h"
#include "gpu/library/status.h"
#include "gpu/library/word.h"

#define TGI_PAGE_BYTES   16384u
#define TGI_PAGE_WORDS   32u /* of bits: objects of 16 bytes */
#define TGI_PAGE_CLASSES 32u
#define TGI_PAGE_FREE    TGI_PAGE_CLASSES /* the row of pages that belong to no class, and their class */
#define TGI_PAGE_NONE    UINT32_MAX

/* At the begin of its memory; rows, classes, bits and pages follow. */
struct tgd_slab {
    uint64_t in_use, peak, n_failed; /* as in struct tgd_memory_stats */
    uint64_t pad0[13];
    uint64_t pages_at; /* from here */
    uint32_t n_pages, n_row_words;
    uint64_t pad1[14];
};

TGI_FN uint32_t *tgi_page_row(const struct tgd_slab *s, uint32_t class_)
{
    return (uint32_t *)(s + 1) + class_ * s->n_row_words;
}
TGI_FN uint32_t *tgi_page_class(const struct tgd_slab *s, uint32_t page)
{
    return tgi_page_row(s, TGI_PAGE_CLASSES + 1) + page;
}
TGI_FN uint32_t *tgi_page_bits(const struct tgd_slab *s, uint32_t page, uint32_t word)
{
    return tgi_page_class(s, s->n_pages) + page * TGI_PAGE_WORDS + word;
}

/* Multiples of 16 up to 256, of 32 up to 512, of 64 up to 1024. */
TGI_FN uint32_t tgi_class_bytes(uint32_t class_)
{
    return class_ < 16 ? (class_ + 1) * 16 : class_ < 24 ? 256 + (class_ - 15) * 32 : 512 + (class_ - 23) * 64;
}
TGI_FN uint32_t tgi_class_of(uint32_t bytes)
{
    return bytes <= 256 ? (bytes + 15) / 16 - 1 : bytes <= 512 ? (bytes + 31) / 32 + 7 : (bytes + 63) / 64 + 15;
}
/* The bits of a page of the class that stand for objects. */
TGI_FN uint32_t tgi_class_mask(uint32_t class_, uint32_t word)
{
    uint32_t n = TGI_PAGE_BYTES / tgi_class_bytes(class_), first = word * 32;
    return n >= first + 32 ? ~0u : n > first ? (1u << (n - first)) - 1 : 0;
}

/* ---- Rows -----------------------------------------------------------------------------------*/

/* Lane 0: after bits of the page were set in a word that was 0.  acq_rel: pairs with tgi_page_hide(). */
TGI_FN void tgi_page_show(struct tgd_slab *s, uint32_t row, uint32_t page)
{
    tgi_word_or_acq_rel(&tgi_page_row(s, row)[page / 32], 1u << page % 32);
}

/* True: some are free. */
TGI_FN bool tgi_page_has_some(const struct tgd_slab *s, uint32_t page)
{
    bool has = false;
    for (uint32_t w = tgi_lane(); w < TGI_PAGE_WORDS; w += TGI_LANES)
        has = has || tgi_word_load_relaxed(tgi_page_bits(s, page, w));
    return tgi_warp_any(has);
}

/* There was nothing in it. */
TGI_FN void tgi_page_hide(struct tgd_slab *s, uint32_t class_, uint32_t page)
{
    if (tgi_lane() == 0) /* acq_rel: pairs with tgi_page_show() */
        tgi_word_and_acq_rel(&tgi_page_row(s, class_)[page / 32], ~(1u << page % 32));
    TGI_DELAY(page);
    tgi_warp_sync();
    bool is_ours = tgi_word_load_relaxed(tgi_page_class(s, page)) == class_;
    if (tgi_warp_any(is_ours) && tgi_page_has_some(s, page) && tgi_lane() == 0)
        tgi_page_show(s, class_, page);
}

/* A page whose bit is set in the row, the first one from a word on. */
TGI_FN uint32_t tgi_page_search(const struct tgd_slab *s, uint32_t row, uint32_t start)
{
    for (uint32_t begin = 0; begin < s->n_row_words; begin += TGI_LANES) {
        uint32_t i = begin + tgi_lane(), at = (start + i) % s->n_row_words;
        /* relaxed: what is found is looked at with an order of its own. */
        uint32_t bits = i < s->n_row_words ? tgi_word_load_relaxed(&tgi_page_row(s, row)[at]) : 0;
        uint32_t found = tgi_warp_ballot(bits != 0);
        if (found)
            return tgi_warp_get(at * 32 + tgi_lowest(bits), tgi_lowest(found));
    }
    return TGI_PAGE_NONE;
}

/* ---- Objects --------------------------------------------------------------------------------*/

/* Each lane gives back objects of one word of the class; bits 0: none.  False: one of them was free already. */
TGI_FN bool tgi_page_give(struct tgd_slab *s, uint32_t class_, uint32_t page, uint32_t word, uint32_t bits)
{
    bool is_first, is_good = true;
    uint32_t all = tgi_warp_or_alike(bits ? page * TGI_PAGE_WORDS + word : TGI_PAGE_NONE, bits, &is_first);
    tgi_warp_sync(); /* before the release: what other lanes have written to the objects */
    if (is_first && all) {
        /* acq_rel: whoever gets an object next sees it as we leave it; pairs with tgi_page_take(). */
        uint32_t was = tgi_word_or_acq_rel(tgi_page_bits(s, page, word), all);
        TGI_DELAY(page);
        is_good = (was & all) == 0;
        if (was == 0)
            tgi_page_show(s, class_, page);
    }
    return !tgi_warp_any(!is_good);
}

/* Up to n objects of a page, of one word; which, 0: none this time. */
TGI_FN uint32_t tgi_page_take(struct tgd_slab *s, uint32_t class_, uint32_t page, uint32_t n, uint32_t lot, uint32_t *word_p)
{
    uint32_t word = TGI_PAGE_NONE, bits = 0, got = 0, now = class_;
    for (uint32_t begin = 0; begin < TGI_PAGE_WORDS && word == TGI_PAGE_NONE; begin += TGI_LANES) {
        uint32_t w = (begin + tgi_lane() + lot) % TGI_PAGE_WORDS, x = tgi_word_load_relaxed(tgi_page_bits(s, page, w));
        uint32_t found = tgi_warp_ballot(x != 0);
        if (found) {
            word = tgi_warp_get(w, tgi_lowest(found));
            bits = tgi_warp_get(x, tgi_lowest(found));
        }
    }
    if (word == TGI_PAGE_NONE || tgi_warp_any(tgi_word_load_relaxed(tgi_page_class(s, page)) != class_)) {
        tgi_page_hide(s, class_, page);
        return 0;
    }
    uint32_t wanted = 0;
    for (; bits && n; bits &= bits - 1, n--)
        wanted |= bits & -bits;
    TGI_DELAY(page);
    if (tgi_lane() == 0) {
        /* acq_rel: pairs with tgi_page_give() and, for the class, with tgi_page_claim(). */
        got = tgi_word_and_acq_rel(tgi_page_bits(s, page, word), ~wanted) & wanted;
        if (got)
            now = tgi_word_load_relaxed(tgi_page_class(s, page));
    }
    got = tgi_warp_get(got, 0);
    now = tgi_warp_get(now, 0);
    if (got && now != class_) { /* it has been turned into another since */
        tgi_page_give(s, now, page, word, tgi_lane() == 0 ? got : 0);
        return 0;
    }
    tgi_warp_sync(); /* lane 0 has acquired for all */
    *word_p = word;
    return got;
}

/* ---- Classes --------------------------------------------------------------------------------*/

/* A page of no class becomes one of this class. */
TGI_FN bool tgi_page_claim(struct tgd_slab *s, uint32_t class_, uint32_t start)
{
    for (uint32_t page; (page = tgi_page_search(s, TGI_PAGE_FREE, start)) != TGI_PAGE_NONE;) {
        uint32_t bit = 1u << page % 32, was = 0;
        if (tgi_lane() == 0) {
            /* acq_rel: who takes the bit has the page alone; pairs with tgi_page_return(). */
            was = tgi_word_and_acq_rel(&tgi_page_row(s, TGI_PAGE_FREE)[page / 32], ~bit);
            if (was & bit)
                tgi_word_store_relaxed(tgi_page_class(s, page), class_);
        }
        tgi_warp_sync();
        if (!(tgi_warp_get(was, 0) & bit))
            continue;
        /* release: the class, before anybody can hold an object. */
        for (uint32_t w = tgi_lane(); w < TGI_PAGE_WORDS; w += TGI_LANES)
            tgi_word_store_release(tgi_page_bits(s, page, w), tgi_class_mask(class_, w));
        tgi_warp_sync();
        if (tgi_lane() == 0)
            tgi_page_show(s, class_, page);
        return true;
    }
    return false;
}

/* The page goes back to no class, if all of its objects can be had. */
TGI_FN bool tgi_page_return(struct tgd_slab *s, uint32_t class_, uint32_t page)
{
    uint32_t n_all = 0, n_want = 0;
    for (uint32_t w = 0; w < TGI_PAGE_WORDS && n_all == n_want; w++) {
        uint32_t mask = tgi_class_mask(class_, w), got = 0;
        if (tgi_lane() == 0 && mask) /* acq_rel: as in tgi_page_take() */
            got = tgi_word_and_acq_rel(tgi_page_bits(s, page, w), 0);
        got = tgi_warp_get(got, 0);
        n_want += mask != 0;
        n_all += mask && got == mask;
        if (got && got != mask)
            tgi_page_give(s, tgi_word_load_relaxed(tgi_page_class(s, page)), page, w, tgi_lane() == 0 ? got : 0);
    }
    TGI_DELAY(page);
    /* With some of them in hand, the class is what it is. */
    uint32_t now = tgi_warp_get(tgi_word_load_relaxed(tgi_page_class(s, page)), 0);
    if (n_all == n_want && now == class_) {
        tgi_page_hide(s, class_, page);
        if (tgi_lane() == 0) {
            tgi_word_store_relaxed(tgi_page_class(s, page), TGI_PAGE_FREE);
            tgi_page_show(s, TGI_PAGE_FREE, page);
        }
        tgi_warp_sync();
        return true;
    }
    for (uint32_t w = 0; w < n_all; w++)
        tgi_page_give(s, now, page, w, tgi_lane() == 0 ? tgi_class_mask(class_, w) : 0);
    return false;
}

/* Looks for pages without an object in use and makes them pages of no class.  False: there is none. */
TGI_FN bool tgi_page_reclaim(struct tgd_slab *s)
{
    for (uint32_t begin = 0; begin < s->n_pages; begin += TGI_LANES) {
        uint32_t page = begin + tgi_lane(), class_ = TGI_PAGE_FREE;
        if (page < s->n_pages)
            class_ = tgi_word_load_relaxed(tgi_page_class(s, page));
        bool is_whole = class_ != TGI_PAGE_FREE, has_returned = false;
        for (uint32_t w = 0; is_whole && w < TGI_PAGE_WORDS; w++)
            is_whole = tgi_word_load_relaxed(tgi_page_bits(s, page, w)) == tgi_class_mask(class_, w);
        for (uint32_t whole = tgi_warp_ballot(is_whole); whole; whole &= whole - 1) {
            uint32_t lane = tgi_lowest(whole);
            has_returned |= tgi_page_return(s, tgi_warp_get(class_, lane), tgi_warp_get(page, lane));
        }
        if (has_returned)
            return true;
    }
    return false;
}

#endif
