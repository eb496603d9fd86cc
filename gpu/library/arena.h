/* An arena: memory is taken from one end on and given back all at once, with the instance that it belongs to.
 *
 * The end moves by compare-and-swap, not by addition: an addition that does not fit would have to be taken back, and
 * whoever came in between would have been refused what there was, or, worse, given what somebody else gets again.
 *
 *     host:    image = zeroed memory of TGD_ARENA_HEAD bytes; tgd_arena_init(image, bytes); the arena takes `bytes` on the GPU,
 *              the image is copied to where they begin
 *     bodies:  tgd_arena_alloc(arena, bytes, align, &p)
 *
 * Nothing in it is an address, so it can be copied as a whole. */
#ifndef TGD_ARENA_H
#define TGD_ARENA_H

#include "gpu/library/memory_stats.h"
#include "gpu/library/status.h"
#include "gpu/library/word.h"

#define TGD_ARENA_HEAD 384u

struct tgd_arena {
    uint64_t used; /* the end, from the arena's begin on */
    uint64_t pad0[15];
    uint64_t peak, n_failed; /* n_failed since it was made; peak over resets */
    uint64_t pad1[14];
    uint64_t bytes; /* with this head */
    uint64_t pad2[15];
};

TGI_FN int tgd_arena_init(struct tgd_arena *a, uint64_t bytes)
{
    if (bytes <= TGD_ARENA_HEAD)
        return TGD_E_INVALID;
    a->used = a->peak = TGD_ARENA_HEAD;
    a->n_failed = 0;
    a->bytes = bytes;
    return TGD_OK;
}

/* One lane.  relaxed: the memory is nobody's until its place is known, and the end publishes nothing. */
TGI_FN int tgi_arena_take(struct tgd_arena *a, uint64_t bytes, uint64_t align, uint64_t *at_p)
{
    uint64_t seen = tgi_wide_load_relaxed(&a->used);
    for (;;) {
        uint64_t at = (seen + align - 1) & ~(align - 1);
        if (at > a->bytes || bytes > a->bytes - at) {
            tgi_wide_add_relaxed(&a->n_failed, 1);
            return TGD_E_NO_MEMORY;
        }
        uint64_t was = tgi_wide_swap_relaxed(&a->used, seen, at + bytes);
        if (was == seen) {
            *at_p = at;
            return TGD_OK;
        }
        seen = was;
    }
}

/* Any one lane.  align: a power of two, of the address if the arena itself is aligned so. */
TGI_FN int tgd_arena_alloc(struct tgd_arena *a, uint64_t bytes, uint64_t align, void **p)
{
    uint64_t at;
    if (bytes == 0 || align == 0 || (align & (align - 1)))
        return TGD_E_INVALID;
    int rc = tgi_arena_take(a, bytes, align, &at);
    if (rc == TGD_OK)
        *p = (char *)a + at;
    return rc;
}

/* All lanes of a warp, each with a size of its own; 0: nothing for this lane, *p is NULL.  16-byte aligned.  All get theirs or none. */
TGI_FN int tgd_arena_alloc_lanes(struct tgd_arena *a, uint64_t bytes, void **p)
{
    uint64_t total, at = 0, before = tgi_warp_before((bytes + 15) & ~(uint64_t)15, &total);
    int rc = TGD_OK;
    if (total && tgi_lane() == 0)
        rc = tgi_arena_take(a, total, 16, &at);
    rc = (int)tgi_warp_get((uint32_t)rc, 0);
    at = tgi_warp_get_wide(at, 0);
    if (rc == TGD_OK)
        *p = bytes ? (char *)a + at + before : NULL;
    return rc;
}

/* Everything is given back.  By one, while nobody allocates or uses what it has. */
TGI_FN void tgd_arena_reset(struct tgd_arena *a)
{
    tgi_wide_max_relaxed(&a->peak, tgi_wide_load_relaxed(&a->used));
    tgi_wide_store_relaxed(&a->used, TGD_ARENA_HEAD);
}

TGI_FN struct tgd_memory_stats tgd_arena_stats(const struct tgd_arena *a)
{
    struct tgd_memory_stats s;
    uint64_t used = tgi_wide_load_relaxed(&a->used), peak = tgi_wide_load_relaxed(&a->peak);
    s.usable = a->bytes - TGD_ARENA_HEAD;
    s.in_use = used - TGD_ARENA_HEAD;
    s.peak = (used > peak ? used : peak) - TGD_ARENA_HEAD;
    s.n_failed = tgi_wide_load_relaxed(&a->n_failed);
    return s;
}

#endif
