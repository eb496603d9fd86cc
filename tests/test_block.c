/* Blocks: contents across growing, and across being kept and handed out again. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "graph/block.h"

static void fill(unsigned char *p, size_t n, unsigned char seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(seed + i * 7);
}

static void assert_filled(const unsigned char *p, size_t n, unsigned char seed)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(p[i], (unsigned char)(seed + i * 7));
}

static void growing_keeps_the_contents_through_every_size(void **state)
{
    (void)state;
    unsigned char *p = NULL;
    size_t before = 0;
    for (size_t bytes = 1000; bytes < 40u << 20; bytes = bytes * 3 / 2) {
        unsigned char *grown = tgi_block_grow(p, bytes);
        assert_non_null(grown);
        assert_int_equal((size_t)grown % 16, 0);
        assert_filled(grown, before, 3);
        fill(grown, bytes, 3);
        p = grown;
        before = bytes;
    }
    unsigned char *smaller = tgi_block_shrink(p, 20 << 20);
    assert_non_null(smaller);
    assert_filled(smaller, 20 << 20, 3);
    assert_ptr_equal(tgi_block_grow(smaller, 1000), smaller);
    tgi_block_free(smaller);
}

static void a_zeroed_block_is_zero_also_if_it_was_used_before(void **state)
{
    (void)state;
    static const unsigned char zeros[200000];
    for (int i = 0; i < 100; i++) {
        unsigned char *p = tgi_block_alloc_zeroed(1000, 200);
        assert_non_null(p);
        assert_memory_equal(p, zeros, sizeof zeros);
        memset(p, 0xff, sizeof zeros);
        tgi_block_free(p);
    }
}

static void freed_blocks_are_used_again(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* there, nothing is kept */
#endif
    void *a = tgi_block_alloc(1000000), *b = tgi_block_alloc(1500000);
    tgi_block_free(b);
    tgi_block_free(a);
    assert_ptr_equal(tgi_block_alloc(900000), a); /* the smaller of the two that fit */
    assert_ptr_equal(tgi_block_alloc(1400000), b);
    tgi_block_free(a);
    void *far = tgi_block_alloc(400000); /* not half of a */
    assert_ptr_not_equal(far, a);
    tgi_block_free(b);
    tgi_block_free(far);
}

static void what_cannot_be_had_is_refused(void **state)
{
    (void)state;
    unsigned char *p = tgi_block_alloc(50000);
    fill(p, 50000, 9);
    assert_null(tgi_block_alloc(SIZE_MAX - 4));
    assert_null(tgi_block_alloc_zeroed(SIZE_MAX / 8, 8));
    assert_null(tgi_block_grow(p, SIZE_MAX - 4));
    assert_filled(p, 50000, 9);
    tgi_block_free(p);
    tgi_block_free(NULL);
}

static void *churn(void *seed_p)
{
    uint32_t seed = *(uint32_t *)seed_p;
    unsigned char *blocks[16] = {NULL};
    size_t sizes[16] = {0};
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t k = seed >> 28;
        if (blocks[k] && (blocks[k][0] != k || blocks[k][sizes[k] - 1] != k))
            return "somebody else wrote here";
        tgi_block_free(blocks[k]);
        sizes[k] = 20000 + (seed >> 8) % 400000;
        blocks[k] = tgi_block_alloc(sizes[k]);
        if (!blocks[k])
            return "no memory";
        blocks[k][0] = blocks[k][sizes[k] - 1] = (unsigned char)k;
    }
    for (int k = 0; k < 16; k++)
        tgi_block_free(blocks[k]);
    return NULL;
}

static void threads_never_share_a_block(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint32_t seeds[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &seeds[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_keeps_the_contents_through_every_size),
        cmocka_unit_test(a_zeroed_block_is_zero_also_if_it_was_used_before),
        cmocka_unit_test(freed_blocks_are_used_again),
        cmocka_unit_test(what_cannot_be_had_is_refused),
        cmocka_unit_test(threads_never_share_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
