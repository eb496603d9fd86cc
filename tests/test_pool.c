/* The pool: random sequences against a list of what is in use, and what a reservation must still hold afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mem/pool.h"
#include "tests/must.h"

static struct tg_error err;

/* Reservations far apart, so that blocks of two are never neighbours. */
struct source {
    uint64_t next;
    uint64_t n, bytes; /* held now */
    uint64_t most_bytes; /* 0: no limit */
};

static int reserve(void *user, uint64_t bytes, uint64_t *address_p, struct tg_error *e)
{
    struct source *s = user;
    (void)e;
    if (s->most_bytes && s->bytes + bytes > s->most_bytes)
        return TG_E_NO_MEMORY;
    *address_p = s->next;
    s->next += bytes + (1 << 20);
    s->n++;
    s->bytes += bytes;
    return 0;
}

static void unreserve(void *user, uint64_t address, uint64_t bytes)
{
    struct source *s = user;
    (void)address;
    s->n--;
    s->bytes -= bytes;
}

static struct tgi_pool *make(struct source *s, uint64_t limit_bytes, uint64_t chunk_bytes)
{
    const struct tgi_pool_source source = {reserve, unreserve, s};
    const struct tgi_pool_options options = {.limit_bytes = limit_bytes, .chunk_bytes = chunk_bytes, .name = "test"};
    struct tgi_pool *pool;
    *s = (struct source){.next = 1 << 20};
    MUST(tgi_pool_create(&source, &options, &pool, &err));
    return pool;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

enum { N_LIVE = 200, N_OPS = 20000 };
struct live {
    uint64_t address, bytes;
};

static void expect_apart(const struct live *live, uint32_t i)
{
    for (uint32_t k = 0; k < N_LIVE; k++)
        if (k != i && live[k].address)
            assert_true(live[i].address + live[i].bytes <= live[k].address || live[k].address + live[k].bytes <= live[i].address);
}

/* sizes: that many different ones, 0: any. */
static void churn(uint32_t n_sizes, uint64_t *addresses)
{
    struct source s;
    struct live live[N_LIVE] = {{0, 0}};
    uint64_t state = 7 + n_sizes, in_use = 0;
    struct tgi_pool_stats stats;
    struct tgi_pool *pool = make(&s, 0, 1 << 20);
    for (uint32_t i = 0; i < N_OPS; i++) {
        uint32_t k = (uint32_t)next_random(&state) % N_LIVE;
        uint64_t draw = next_random(&state) % (n_sizes ? n_sizes : 40000), bytes = n_sizes ? 1000 * (draw * draw + 1) : draw;
        if (live[k].address) {
            tgi_pool_free(pool, live[k].address);
            in_use -= tgi_pool_rounded(pool, live[k].bytes);
            live[k].address = 0;
        } else {
            live[k].bytes = bytes;
            MUST(tgi_pool_alloc(pool, bytes, &live[k].address, &err));
            in_use += tgi_pool_rounded(pool, bytes);
            assert_int_equal(live[k].address % 256, 0);
            expect_apart(live, k);
        }
        if (addresses)
            addresses[i] = live[k].address;
        if (i % 1000 == 0) {
            tgi_pool_stats(pool, &stats);
            assert_int_equal(stats.in_use_bytes, in_use);
            assert_int_equal(stats.reserved_bytes, s.bytes);
        }
    }
    for (uint32_t k = 0; k < N_LIVE; k++)
        if (live[k].address)
            tgi_pool_free(pool, live[k].address);
    /* All of it is one block in each reservation again. */
    tgi_pool_trim(pool, 0);
    assert_int_equal(s.n, 0);
    assert_int_equal(tgi_pool_destroy(pool), 0);
}

static void blocks_never_overlap_and_all_is_merged_in_the_end(void **state)
{
    (void)state;
    churn(1, NULL);
    churn(12, NULL);
    churn(0, NULL);
}

static void the_same_calls_give_the_same_addresses(void **state)
{
    (void)state;
    static uint64_t first[N_OPS], second[N_OPS];
    churn(12, first);
    churn(12, second);
    assert_memory_equal(first, second, sizeof first);
}

static void what_lies_on_a_shelf_is_merged_before_anything_does_not_fit(void **state)
{
    (void)state;
    struct source s;
    uint64_t small[8], large;
    struct tgi_pool *pool = make(&s, 1 << 20, 1 << 20);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 8; i++)
            MUST(tgi_pool_alloc(pool, 1 << 17, &small[i], &err));
        assert_false(tgi_pool_try_alloc(pool, 256, &large));
        for (uint32_t i = 0; i < 8; i++)
            tgi_pool_free(pool, small[i]);
        assert_true(tgi_pool_try_alloc(pool, 1 << 20, &large));
        assert_int_equal(s.n, 1);
        tgi_pool_free(pool, large);
    }
    assert_int_equal(tgi_pool_destroy(pool), 0);
}

static void what_lies_on_a_shelf_counts_as_free_and_whole(void **state)
{
    (void)state;
    struct source s;
    uint64_t a, b;
    struct tgi_pool_stats stats;
    struct tgi_pool *pool = make(&s, 0, 1 << 20);
    MUST(tgi_pool_alloc(pool, 1000, &a, &err));
    MUST(tgi_pool_alloc(pool, 5000, &b, &err));
    tgi_pool_free(pool, a);
    tgi_pool_free(pool, b);
    tgi_pool_stats(pool, &stats);
    assert_int_equal(stats.in_use_bytes, 0);
    assert_int_equal(stats.largest_free_bytes, 1 << 20);
    assert_true(stats.fragmentation == 0);
    assert_int_equal(tgi_pool_destroy(pool), 0);
}

static void giving_back_twice_does_nothing(void **state)
{
    (void)state;
    struct source s;
    uint64_t a, b, c;
    struct tgi_pool *pool = make(&s, 0, 1 << 20);
    tgi_pool_free(pool, 4096); /* never given */
    MUST(tgi_pool_alloc(pool, 1000, &a, &err));
    tgi_pool_free(pool, a);
    tgi_pool_free(pool, a);
    MUST(tgi_pool_alloc(pool, 1000, &b, &err));
    MUST(tgi_pool_alloc(pool, 1000, &c, &err));
    assert_int_not_equal(b, c);
    assert_int_equal(tgi_pool_destroy(pool), 2); /* a leak of two */
}

static void a_limit_is_kept_and_named(void **state)
{
    (void)state;
    struct source s;
    uint64_t a, b;
    struct tgi_pool *pool = make(&s, 4096, 1024);
    MUST(tgi_pool_alloc(pool, 3072, &a, &err));
    assert_int_equal(tgi_pool_alloc(pool, 2048, &b, &err), TG_E_NO_MEMORY);
    assert_non_null(strstr(err.text, "test: no room for 2048 bytes: 3072 of its limit of 4096 bytes are in use"));
    MUST(tgi_pool_alloc(pool, 1024, &b, &err));
    assert_int_equal(s.bytes, 4096);
    tgi_pool_free(pool, a);
    tgi_pool_free(pool, b);
    assert_int_equal(tgi_pool_destroy(pool), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_never_overlap_and_all_is_merged_in_the_end),
        cmocka_unit_test(the_same_calls_give_the_same_addresses),
        cmocka_unit_test(what_lies_on_a_shelf_is_merged_before_anything_does_not_fit),
        cmocka_unit_test(what_lies_on_a_shelf_counts_as_free_and_whole),
        cmocka_unit_test(giving_back_twice_does_nothing),
        cmocka_unit_test(a_limit_is_kept_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
