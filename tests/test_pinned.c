/* The pool of pinned host memory, against devices that only count. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "mem/pinned.h"
#include "tests/must.h"

#define MIB ((size_t)1 << 20)

static struct tg_error err;

/* ---- Devices that only count ---------------------------------------------------------------*/

static struct {
    struct tgi_devices base;
    size_t limit_bytes, pinned_bytes; /* limit 0: none */
    struct {
        void *ptr;
        size_t bytes;
    } blocks[64];
    uint32_t n_allocs, n_attached;
} counting;

static int count_attach(struct tgi_devices *ds, struct tg_error *e) { return (void)ds, (void)e, counting.n_attached++, 0; }
static void count_detach(struct tgi_devices *ds) { (void)ds, counting.n_attached--; }

static int count_alloc(struct tgi_devices *ds, size_t bytes, void **ptr_p, struct tg_error *e)
{
    (void)ds;
    assert_int_equal(counting.n_attached, 1);
    if (counting.limit_bytes && counting.pinned_bytes + bytes > counting.limit_bytes)
        return tgi_error(e, TG_E_NO_MEMORY, "no more than %zu bytes", counting.limit_bytes);
    *ptr_p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    assert_non_null(*ptr_p);
    uint32_t i = 0;
    while (counting.blocks[i].ptr)
        i++;
    counting.blocks[i].ptr = *ptr_p;
    counting.blocks[i].bytes = bytes;
    counting.pinned_bytes += bytes;
    counting.n_allocs++;
    return 0;
}

static void count_free(struct tgi_devices *ds, void *ptr)
{
    (void)ds;
    uint32_t i = 0;
    while (counting.blocks[i].ptr != ptr)
        i++;
    counting.pinned_bytes -= counting.blocks[i].bytes;
    counting.blocks[i].ptr = NULL;
    free(ptr);
}

static const struct tgi_device_ops counting_ops = {
    .size = sizeof(struct tgi_device_ops),
    .kind = "counting",
    .attach = count_attach,
    .detach = count_detach,
    .host_alloc = count_alloc,
    .host_free = count_free,
};

static struct tgi_pinned *pinned_of(uint64_t keep_bytes)
{
    struct tgi_pinned *p;
    memset(&counting, 0, sizeof counting);
    counting.base.ops = &counting_ops;
    MUST(tgi_pinned_create(&counting.base, keep_bytes, &p, &err));
    return p;
}

static void *block_of(struct tgi_pinned *p, size_t bytes)
{
    void *ptr;
    MUST(tgi_pinned_alloc(p, bytes, &ptr, &err));
    assert_int_equal((uintptr_t)ptr % 4096, 0);
    memset(ptr, 1, bytes);
    return ptr;
}

/* ---- Tests ---------------------------------------------------------------------------------*/

static void what_was_given_back_is_taken_again(void **state)
{
    (void)state;
    struct tgi_pinned *p = pinned_of(64 * MIB);
    struct tgi_pool_stats stats;
    for (int i = 0; i < 10; i++) {
        void *small = block_of(p, 1000), *large = block_of(p, 5 * MIB);
        assert_int_equal(counting.n_allocs, 2);
        tgi_pinned_free(p, small);
        tgi_pinned_free(p, large);
    }
    tgi_pinned_stats(p, &stats);
    assert_int_equal(stats.n_allocs, 20);
    assert_int_equal(stats.n_blocks, 0);
    assert_int_equal(stats.reserved_bytes, counting.pinned_bytes);
    tgi_pinned_destroy(p);
    assert_int_equal(counting.pinned_bytes, 0);
}

static void no_more_is_kept_than_was_said(void **state)
{
    (void)state;
    struct tgi_pinned *p = pinned_of(8 * MIB);
    void *a = block_of(p, 6 * MIB), *b = block_of(p, 7 * MIB), *c = block_of(p, 20 * MIB);
    tgi_pinned_free(p, c);
    assert_int_equal(counting.pinned_bytes, 13 * MIB);
    tgi_pinned_free(p, b);
    assert_int_equal(counting.pinned_bytes, 6 * MIB);
    tgi_pinned_free(p, a);
    assert_int_equal(counting.pinned_bytes, 6 * MIB);
    tgi_pinned_destroy(p);
    assert_int_equal(counting.pinned_bytes, 0);
}

static void what_is_kept_makes_way_for_what_does_not_fit(void **state)
{
    (void)state;
    struct tgi_pinned *p = pinned_of(64 * MIB);
    void *ptr;
    counting.limit_bytes = 10 * MIB;
    tgi_pinned_free(p, block_of(p, 6 * MIB));
    void *large = block_of(p, 8 * MIB);
    assert_int_equal(counting.pinned_bytes, 8 * MIB);
    assert_int_equal(tgi_pinned_alloc(p, 3 * MIB, &ptr, &err), TG_E_NO_MEMORY);
    tgi_pinned_free(p, large);
    tgi_pinned_destroy(p);
    assert_int_equal(counting.pinned_bytes, 0);
}

static void memory_of_lost_devices_is_given_to_nobody(void **state)
{
    (void)state;
    struct tgi_pinned *p = pinned_of(64 * MIB);
    void *before = block_of(p, 4 * MIB);
    atomic_store(&counting.base.is_lost, true);
    tgi_pinned_free(p, before);
    void *after = block_of(p, 4 * MIB);
    assert_ptr_not_equal(after, before);
    tgi_pinned_free(p, after);
    tgi_pinned_destroy(p);
    assert_int_equal(counting.pinned_bytes, 0);
}

static void memory_that_is_still_in_use_stays(void **state)
{
    (void)state;
    static struct tgi_pinned *p; /* is known to leak checkers */
    p = pinned_of(64 * MIB);
    memset(block_of(p, 4 * MIB), 2, 4 * MIB);
    tgi_pinned_destroy(p); /* a run was given up with a device still at it */
    assert_int_equal(counting.pinned_bytes, 4 * MIB);
}

struct borrower {
    struct tgi_pinned *pinned;
    unsigned char mark;
};

static void *borrow(void *arg)
{
    const struct borrower *b = arg;
    for (uint32_t i = 0; i < 300; i++) {
        size_t bytes = (i % 7 + 1) * 30000;
        unsigned char *ptr = block_of(b->pinned, bytes);
        memset(ptr, b->mark, bytes);
        for (size_t k = 0; k < bytes; k += 997)
            assert_int_equal(ptr[k], b->mark);
        tgi_pinned_free(b->pinned, ptr);
    }
    return NULL;
}

static void threads_get_different_blocks(void **state)
{
    (void)state;
    enum { N = 4 };
    struct tgi_pinned *p = pinned_of(64 * MIB);
    struct borrower borrowers[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        borrowers[i] = (struct borrower){p, (unsigned char)(i + 1)};
        assert_int_equal(pthread_create(&threads[i], NULL, borrow, &borrowers[i]), 0);
    }
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    tgi_pinned_destroy(p);
    assert_int_equal(counting.pinned_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_back_is_taken_again),
        cmocka_unit_test(no_more_is_kept_than_was_said),
        cmocka_unit_test(what_is_kept_makes_way_for_what_does_not_fit),
        cmocka_unit_test(memory_of_lost_devices_is_given_to_nobody),
        cmocka_unit_test(memory_that_is_still_in_use_stays),
        cmocka_unit_test(threads_get_different_blocks),
    };
    alarm(60); /* a hang ends here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
