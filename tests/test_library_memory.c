/* The allocators of the device library: nobody gets what another has, everything comes back, what does not fit is refused, and
 * as much can be used as is promised. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/library_cpu.h"

#include "gpu/library/arena.h"
#include "gpu/library/region.h"
#include "gpu/library/slab.h"

static const struct tgd_limit limit = {60000000000u, NULL};

/* Who has an object writes its own mark all over it and finds it again: two owners would see each other, and
 * ThreadSanitizer would see them too. */
static void mark(void *p, uint32_t bytes, uint64_t who)
{
    for (uint32_t i = 0; i < bytes / 8; i++)
        ((uint64_t *)p)[i] = who + i;
}
static bool is_marked(const void *p, uint32_t bytes, uint64_t who)
{
    for (uint32_t i = 0; i < bytes / 8; i++)
        if (((const uint64_t *)p)[i] != who + i)
            return false;
    return true;
}

/* ---- Arena ----------------------------------------------------------------------------------*/

enum { ARENA_BYTES = 1 << 20, ARENA_BLOCKS = 2000 };

struct arena_run {
    struct tgd_arena *a;
    uint64_t n_bytes, n_refused; /* added up */
};

static void arena_worker(struct worker *w)
{
    struct arena_run *run = w->user;
    static __thread void *mine[ARENA_BLOCKS];
    static __thread uint32_t size[ARENA_BLOCKS];
    uint32_t n = 0;
    uint64_t bytes = 0, refused = 0;
    for (uint32_t i = 0; i < ARENA_BLOCKS; i++) {
        uint32_t want = 8 * (1 + roll(&w->dice, 64)), align = 8u << roll(&w->dice, 5);
        int rc = roll(&w->dice, 2) ? tgd_arena_alloc(run->a, want, align, &mine[n])
                                   : (align = 16, tgd_arena_alloc_lanes(run->a, want, &mine[n]));
        if (rc == TGD_E_NO_MEMORY) {
            refused++;
            continue;
        }
        MUST_BE(rc == TGD_OK);
        MUST_BE((uintptr_t)mine[n] % align == 0);
        mark(mine[n], want, (uint64_t)w->id << 32 | n << 8);
        bytes += want;
        size[n++] = want;
    }
    for (uint32_t i = 0; i < n; i++)
        MUST_BE(is_marked(mine[i], size[i], (uint64_t)w->id << 32 | i << 8));
    tgi_wide_add_relaxed(&run->n_bytes, bytes);
    tgi_wide_add_relaxed(&run->n_refused, refused);
}

static void an_arena_gives_every_byte_once(void **state)
{
    (void)state;
    struct arena_run run = {zeroed(ARENA_BYTES), 0, 0};
    assert_int_equal(tgd_arena_init(run.a, ARENA_BYTES), TGD_OK);
    on_workers(4, arena_worker, &run);
    struct tgd_memory_stats s = tgd_arena_stats(run.a);
    assert_true(run.n_refused > 0);
    assert_int_equal(s.n_failed, run.n_refused);
    assert_true(s.in_use <= s.usable && s.in_use >= run.n_bytes);
    assert_true(s.usable - s.in_use < 8 * 64 + 128); /* nothing was refused that there was room for */
    tgd_arena_reset(run.a);
    assert_int_equal(tgd_arena_stats(run.a).in_use, 0);
    assert_int_equal(tgd_arena_stats(run.a).peak, s.in_use);
    free(run.a);
}

static void an_arena_refuses_what_cannot_be(void **state)
{
    (void)state;
    struct tgd_arena *a = zeroed(4096);
    void *p = a;
    assert_int_equal(tgd_arena_init(a, TGD_ARENA_HEAD), TGD_E_INVALID);
    assert_int_equal(tgd_arena_init(a, 4096), TGD_OK);
    assert_int_equal(tgd_arena_alloc(a, 0, 16, &p), TGD_E_INVALID);
    assert_int_equal(tgd_arena_alloc(a, 8, 24, &p), TGD_E_INVALID);
    assert_int_equal(tgd_arena_alloc(a, UINT64_MAX - 100, 16, &p), TGD_E_NO_MEMORY);
    assert_int_equal(tgd_arena_alloc(a, 4096 - TGD_ARENA_HEAD + 1, 1, &p), TGD_E_NO_MEMORY);
    assert_ptr_equal(p, a);
    assert_int_equal(tgd_arena_alloc(a, 4096 - TGD_ARENA_HEAD, 128, &p), TGD_OK);
    assert_int_equal(tgd_arena_alloc(a, 1, 1, &p), TGD_E_NO_MEMORY);
    assert_int_equal(tgd_arena_stats(a).n_failed, 3);
    free(a);
}

/* ---- Slab -----------------------------------------------------------------------------------*/

static struct tgd_slab *slab_create(uint64_t bytes)
{
    struct tgd_slab *s = zeroed(bytes);
    assert_int_equal(tgd_slab_init(s, bytes), TGD_OK);
    return s;
}

/* All objects are free and all pages can be had by any class. */
static void assert_slab_whole(struct tgd_slab *s)
{
    uint32_t n_free = 0;
    while (tgi_page_reclaim(s))
        ;
    for (uint32_t page = 0; page < s->n_pages; page++) {
        n_free += *tgi_page_class(s, page) == TGI_PAGE_FREE;
        for (uint32_t c = 0; c <= TGI_PAGE_CLASSES; c++)
            assert_int_equal(tgi_page_row(s, c)[page / 32] >> page % 32 & 1, c == TGI_PAGE_FREE);
    }
    assert_int_equal(n_free, s->n_pages);
    assert_int_equal(tgd_slab_stats(s).in_use, 0);
}

static void classes_fit_their_sizes(void **state)
{
    (void)state;
    for (uint32_t bytes = 1; bytes <= TGD_SLAB_MAX_BYTES; bytes++) {
        uint32_t c = tgi_class_of(bytes), size = tgi_class_bytes(c);
        assert_true(c < TGI_PAGE_CLASSES && size >= bytes && size % 16 == 0);
        assert_true(c == 0 || tgi_class_bytes(c - 1) < bytes);
    }
    for (uint32_t c = 0; c < TGI_PAGE_CLASSES; c++) {
        uint32_t n = 0;
        for (uint32_t w = 0; w < TGI_PAGE_WORDS; w++)
            n += tgi_count_ones(tgi_class_mask(c, w));
        assert_int_equal(n, TGI_PAGE_BYTES / tgi_class_bytes(c));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t x = (uint32_t)mix64(seed + i) | 1, n = (uint32_t)(mix64(i) % tgi_count_ones(x)), at = tgi_nth_bit(x, n);
        assert_true(x >> at & 1);
        assert_int_equal(tgi_count_ones(x & ((1u << at) - 1)), n);
    }
}

enum { HELD = 400 };

struct slab_run {
    struct tgd_slab *s;
    uint32_t n_rounds, n_refused;
    /* Objects on their way from one worker to another. */
    pthread_mutex_t lock;
    void *passed[64];
    uint32_t passed_bytes[64];
};

/* Swaps an object with one that another worker has left; what is freed then was allocated elsewhere. */
static void pass_on(struct slab_run *run, uint32_t at, void **p, uint32_t *bytes)
{
    void *q;
    uint32_t other;
    pthread_mutex_lock(&run->lock);
    q = run->passed[at];
    other = run->passed_bytes[at];
    run->passed[at] = *p;
    run->passed_bytes[at] = *bytes;
    pthread_mutex_unlock(&run->lock);
    *p = q;
    *bytes = other;
}

static uint64_t mark_of(const void *p) { return (uint64_t)(uintptr_t)p * 0x9e3779b9u; }

static uint32_t size_by_lot(struct dice *dice, uint32_t phase)
{
    return phase % 3 == 0 ? 1 + roll(dice, 100) : phase % 3 == 1 ? 1 + roll(dice, 1024) : 700 + roll(dice, 300);
}

static void slab_worker(struct worker *w)
{
    struct slab_run *run = w->user;
    struct tgd_magazine m;
    void *held[HELD] = {NULL};
    uint32_t size[HELD] = {0}, n_refused = 0;
    tgd_magazine_init(&m, w->id);
    for (uint32_t i = 0; i < run->n_rounds; i++) {
        uint32_t k = roll(&w->dice, HELD);
        if (held[k] && roll(&w->dice, 4) == 0)
            pass_on(run, roll(&w->dice, 64), &held[k], &size[k]);
        if (held[k]) {
            MUST_BE(is_marked(held[k], size[k], mark_of(held[k])));
            MUST_BE(tgd_slab_free(run->s, &m, size[k], held[k]) == TGD_OK);
            held[k] = NULL;
            continue;
        }
        size[k] = size_by_lot(&w->dice, i * 8 / run->n_rounds + w->id);
        int rc = roll(&w->dice, 2) ? tgd_slab_alloc(run->s, &m, size[k], &held[k])
                                   : tgd_slab_alloc_lanes(run->s, &m, size[k], true, &held[k]);
        n_refused += rc == TGD_E_NO_MEMORY;
        if (rc)
            held[k] = NULL;
        else
            mark(held[k], size[k], mark_of(held[k]));
    }
    for (uint32_t k = 0; k < HELD; k++)
        if (held[k])
            MUST_BE(tgd_slab_free(run->s, &m, size[k], held[k]) == TGD_OK);
    tgd_slab_drain(run->s, &m);
    tgi_word_add_relaxed(&run->n_refused, n_refused);
}

/* bytes: little enough that pages change their class all the time. */
static void run_slab(uint64_t bytes, uint32_t n_workers, uint32_t n_rounds, bool *has_refused_p)
{
    struct slab_run run = {.s = slab_create(bytes), .n_rounds = n_rounds, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct tgd_magazine m;
    on_workers(n_workers, slab_worker, &run);
    tgd_magazine_init(&m, 0);
    for (uint32_t i = 0; i < 64; i++)
        if (run.passed[i])
            assert_int_equal(tgd_slab_free(run.s, &m, run.passed_bytes[i], run.passed[i]), TGD_OK);
    tgd_slab_drain(run.s, &m);
    *has_refused_p = run.n_refused > 0;
    assert_int_equal(tgd_slab_stats(run.s).n_failed, run.n_refused);
    assert_true(tgd_slab_stats(run.s).peak <= tgd_slab_stats(run.s).usable);
    assert_slab_whole(run.s);
    free(run.s);
}

static void slab_objects_have_one_owner(void **state)
{
    (void)state;
    bool has_refused, has_ever = false;
    for (uint32_t i = 0; i < 4; i++) {
        has_delays = i % 2;
        run_slab(4u << 20, 4, (uint32_t)ROUNDS(200000), &has_refused);
        assert_false(has_refused);
        run_slab((5 + 3 * i) * 16384u, 8, (uint32_t)ROUNDS(100000), &has_refused);
        has_ever = has_ever || has_refused;
    }
    has_delays = false;
    assert_true(has_ever);
}

static void a_slab_refuses_what_cannot_be(void **state)
{
    (void)state;
    struct tgd_slab *s = slab_create(4 * 16384);
    struct tgd_magazine m;
    void *p = NULL, *q = NULL;
    tgd_magazine_init(&m, 3);
    assert_int_equal(tgd_slab_alloc(s, &m, 0, &p), TGD_E_INVALID);
    assert_int_equal(tgd_slab_alloc(s, &m, 1025, &p), TGD_E_INVALID);
    assert_int_equal(tgd_slab_alloc(s, &m, 100, &p), TGD_OK);
    assert_int_equal(tgd_slab_free(s, &m, 100, (char *)p + 16), TGD_E_INVALID);
    assert_int_equal(tgd_slab_free(s, &m, 200, p), TGD_E_INVALID);
    assert_int_equal(tgd_slab_free(s, &m, 100, &p), TGD_E_INVALID);
    assert_int_equal(tgd_slab_free(s, &m, 100, p), TGD_OK);
    assert_int_equal(tgd_slab_free(s, &m, 100, p), TGD_E_INVALID); /* it is in the magazine */
    tgd_slab_drain(s, &m);
    assert_int_equal(tgd_slab_free(s, &m, 100, p), TGD_E_INVALID); /* and now in the heap */
    assert_int_equal(tgd_slab_alloc_lanes(s, &m, 16, false, &q), TGD_OK);
    assert_null(q);
    s->in_use = 0; /* what was freed twice was counted twice */
    assert_slab_whole(s);
    free(s);
    s = zeroed(16384);
    assert_int_equal(tgd_slab_init(s, 16384), TGD_E_INVALID);
    free(s);
}

/* ---- How much of a heap can be used ---------------------------------------------------------*/

enum { MIX_BYTES = 16 << 20, MIX_MAX = 400000 };

struct mix {
    struct tgd_slab *s;
    struct tgd_magazine m;
    struct dice dice;
    void **held;
    uint32_t *size;
    uint32_t n;
    uint64_t bytes; /* asked for and held */
};

/* Of ten, six of 16 .. 128 bytes, three of up to 512, one of up to 1024. */
static uint32_t mix_size(struct dice *dice)
{
    uint32_t lot = roll(dice, 10);
    return lot < 6 ? 16 + roll(dice, 113) : lot < 9 ? 129 + roll(dice, 384) : 513 + roll(dice, 512);
}
static bool mix_add(struct mix *x)
{
    uint32_t size = mix_size(&x->dice);
    if (x->n == MIX_MAX || tgd_slab_alloc(x->s, &x->m, size, &x->held[x->n]))
        return false;
    x->size[x->n++] = size;
    x->bytes += size;
    return true;
}
static void mix_drop(struct mix *x)
{
    uint32_t k = roll(&x->dice, x->n);
    assert_int_equal(tgd_slab_free(x->s, &x->m, x->size[k], x->held[k]), TGD_OK);
    x->bytes -= x->size[k];
    x->held[k] = x->held[--x->n];
    x->size[k] = x->size[x->n];
}

/* Usable: what was asked for and given until something is refused, of the bytes of the heap, tables and all.
 * Fragmentation: how much less that is after a long time of random frees and allocations at three quarters. */
static void nine_tenths_of_a_heap_can_be_used(void **state)
{
    (void)state;
    struct mix x = {.s = slab_create(MIX_BYTES), .dice = {seed}};
    x.held = calloc(MIX_MAX, sizeof *x.held);
    x.size = calloc(MIX_MAX, sizeof *x.size);
    tgd_magazine_init(&x.m, 0);
    while (mix_add(&x))
        ;
    double fresh = (double)x.bytes / MIX_BYTES;
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(20); i++) {
        while (x.bytes > MIX_BYTES / 2)
            mix_drop(&x);
        while (x.bytes < MIX_BYTES / 4 * 3)
            mix_add(&x);
        for (uint32_t k = 0; k < 50000; k++) {
            mix_drop(&x);
            mix_add(&x);
        }
    }
    while (mix_add(&x))
        ;
    double worn = (double)x.bytes / MIX_BYTES;
    printf("usable %.2f %% at first, %.2f %% later\n", 100 * fresh, 100 * worn);
    assert_true(fresh >= 0.90);
    assert_true((fresh - worn) / fresh < 0.05);
    while (x.n)
        mix_drop(&x);
    tgd_slab_drain(x.s, &x.m);
    assert_slab_whole(x.s);
    free(x.held);
    free(x.size);
    free(x.s);
}

/* ---- Region ---------------------------------------------------------------------------------*/

static struct tgd_region *region_create(uint64_t bytes, uint32_t granule)
{
    struct tgd_region *r = zeroed(bytes);
    assert_int_equal(tgd_region_init(r, bytes, granule), TGD_OK);
    return r;
}

static void assert_region_whole(struct tgd_region *r)
{
    struct tgd_memory_stats s;
    uint64_t longest;
    assert_int_equal(tgd_region_stats(r, &limit, &s, &longest), TGD_OK);
    assert_int_equal(s.in_use, 0);
    assert_int_equal(longest, s.usable);
    for (uint32_t w = 0; w < r->n_words; w++)
        assert_int_equal(tgi_region_ends(r)[w], 0);
}

static void fits_are_first_and_best(void **state)
{
    (void)state;
    struct tgd_region *r = region_create(1 << 16, 256);
    void *p[6], *q;
    static const uint32_t granules[6] = {40, 1, 3, 1, 33, 1}; /* holes of 40, 3 and 33 between blocks of 1 */
    struct tgd_memory_stats s;
    uint64_t longest;
    for (int i = 0; i < 6; i++)
        assert_int_equal(tgd_region_alloc(r, granules[i] * 256, TGD_FIT_FIRST, &limit, &p[i]), TGD_OK);
    for (int i = 0; i < 6; i += 2)
        assert_int_equal(tgd_region_free(r, p[i], &limit), TGD_OK);
    assert_int_equal(tgd_region_alloc(r, 513, TGD_FIT_BEST, &limit, &q), TGD_OK);
    assert_ptr_equal(q, p[2]);
    assert_int_equal(tgd_region_alloc(r, 33 * 256, TGD_FIT_BEST, &limit, &p[2]), TGD_OK);
    assert_ptr_equal(p[2], p[4]);
    assert_int_equal(tgd_region_free(r, q, &limit), TGD_OK);
    assert_int_equal(tgd_region_alloc(r, 3 * 256, TGD_FIT_FIRST, &limit, &q), TGD_OK);
    assert_ptr_equal(q, p[0]);
    /* The hole before it and the one behind become one when it goes. */
    assert_int_equal(tgd_region_free(r, p[1], &limit), TGD_OK);
    assert_int_equal(tgd_region_free(r, q, &limit), TGD_OK);
    assert_int_equal(tgd_region_alloc(r, 44 * 256, TGD_FIT_BEST, &limit, &q), TGD_OK);
    assert_ptr_equal(q, p[0]);
    assert_int_equal(tgd_region_free(r, (char *)q + 256, &limit), TGD_E_INVALID);
    assert_int_equal(tgd_region_free(r, (char *)q + 1, &limit), TGD_E_INVALID);
    assert_int_equal(tgd_region_free(r, r, &limit), TGD_E_INVALID);
    assert_int_equal(tgd_region_free(r, q, &limit), TGD_OK);
    assert_int_equal(tgd_region_free(r, q, &limit), TGD_E_INVALID);
    assert_int_equal(tgd_region_alloc(r, 1 << 16, TGD_FIT_FIRST, &limit, &q), TGD_E_NO_MEMORY);
    assert_int_equal(tgd_region_alloc(r, UINT64_MAX - 300, TGD_FIT_FIRST, &limit, &q), TGD_E_NO_MEMORY);
    assert_int_equal(tgd_region_alloc(r, 0, TGD_FIT_FIRST, &limit, &q), TGD_E_INVALID);
    assert_int_equal(tgd_region_stats(r, &limit, &s, &longest), TGD_OK);
    assert_int_equal(s.n_failed, 2);
    for (int i = 2; i < 6; i++)
        if (i != 4)
            assert_int_equal(tgd_region_free(r, p[i], &limit), TGD_OK);
    assert_region_whole(r);
    /* All of it at once. */
    assert_int_equal(tgd_region_alloc(r, s.usable, TGD_FIT_BEST, &limit, &q), TGD_OK);
    assert_int_equal(tgd_region_alloc(r, 1, TGD_FIT_BEST, &limit, &p[0]), TGD_E_NO_MEMORY);
    assert_int_equal(tgd_region_free(r, q, &limit), TGD_OK);
    assert_region_whole(r);
    assert_int_equal(tgd_region_init(r, 1 << 16, 100), TGD_E_INVALID);
    free(r);
}

static void region_worker(struct worker *w)
{
    struct tgd_region *r = w->user;
    void *held[32] = {NULL};
    uint32_t size[32];
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(20000); i++) {
        uint32_t k = roll(&w->dice, 32);
        if (held[k]) {
            MUST_BE(is_marked(held[k], size[k], mark_of(held[k])));
            MUST_BE(tgd_region_free(r, held[k], &limit) == TGD_OK);
            held[k] = NULL;
            continue;
        }
        size[k] = 8 + roll(&w->dice, 14000);
        if (tgd_region_alloc(r, size[k], roll(&w->dice, 2) ? TGD_FIT_BEST : TGD_FIT_FIRST, &limit, &held[k]) == TGD_OK)
            mark(held[k], size[k], mark_of(held[k]));
        else
            held[k] = NULL;
    }
    for (uint32_t k = 0; k < 32; k++)
        if (held[k])
            MUST_BE(tgd_region_free(r, held[k], &limit) == TGD_OK);
}

static void region_blocks_have_one_owner(void **state)
{
    (void)state;
    struct tgd_region *r = region_create(90000, 64);
    struct tgd_memory_stats s;
    uint64_t longest;
    on_workers(4, region_worker, r);
    assert_int_equal(tgd_region_stats(r, &limit, &s, &longest), TGD_OK);
    assert_true(s.n_failed > 0 && s.peak <= s.usable);
    assert_region_whole(r);
    free(r);
}

static void a_lock_that_is_not_given_back_is_not_waited_for_for_ever(void **state)
{
    (void)state;
    struct tgd_region *r = region_create(1 << 16, 256);
    uint32_t abort_word = 1;
    const struct tgd_limit soon = {1000000, NULL}, aborted = {60000000000u, &abort_word};
    void *p = NULL;
    r->lock = 1;
    assert_int_equal(tgd_region_alloc(r, 256, TGD_FIT_FIRST, &soon, &p), TGD_E_TIMEOUT);
    assert_int_equal(tgd_region_alloc(r, 256, TGD_FIT_FIRST, &aborted, &p), TGD_E_ABORTED);
    assert_null(p);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_arena_gives_every_byte_once),
        cmocka_unit_test(an_arena_refuses_what_cannot_be),
        cmocka_unit_test(classes_fit_their_sizes),
        cmocka_unit_test(slab_objects_have_one_owner),
        cmocka_unit_test(a_slab_refuses_what_cannot_be),
        cmocka_unit_test(nine_tenths_of_a_heap_can_be_used),
        cmocka_unit_test(fits_are_first_and_best),
        cmocka_unit_test(region_blocks_have_one_owner),
        cmocka_unit_test(a_lock_that_is_not_given_back_is_not_waited_for_for_ever),
    };
    seed = test_seed(11);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
