/* sched/deque.h alone: what each operation returns, growth, and every item exactly once under theft. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/deque.h"

static struct tgi_deque *deque_new(int64_t capacity)
{
    struct tgi_deque *d = aligned_alloc(64, sizeof *d);
    assert_non_null(d);
    assert_true(tgi_deque_init(d, capacity));
    return d;
}

static void deque_drop(struct tgi_deque *d)
{
    tgi_deque_fini(d);
    free(d);
}

static void an_empty_deque_gives_nothing(void **state)
{
    (void)state;
    struct tgi_deque *d = deque_new(2);
    for (int i = 0; i < 3; i++) {
        assert_true(tgi_deque_take_owner(d) == TGI_DEQUE_EMPTY);
        assert_true(tgi_deque_take_alone(d) == TGI_DEQUE_EMPTY);
        assert_true(tgi_deque_steal(d) == TGI_DEQUE_EMPTY);
        assert_int_equal(tgi_deque_size_hint(d), 0);
        assert_true(tgi_deque_push_owner(d, 7));
        assert_int_equal(tgi_deque_size_hint(d), 1);
        assert_int_equal(i == 0   ? tgi_deque_take_owner(d)
                         : i == 1 ? tgi_deque_take_alone(d)
                                  : tgi_deque_steal(d),
                         7);
    }
    deque_drop(d);
}

static void the_owner_takes_the_newest_and_a_thief_the_oldest(void **state)
{
    (void)state;
    struct tgi_deque *d = deque_new(2);
    for (uint64_t i = 0; i < 100; i++)
        assert_true(tgi_deque_push_owner(d, i));
    for (uint64_t i = 0; i < 33; i++) {
        assert_int_equal(tgi_deque_take_owner(d), 99 - 2 * i);
        assert_int_equal(tgi_deque_take_alone(d), 99 - 2 * i - 1);
        assert_int_equal(tgi_deque_steal(d), i);
    }
    assert_int_equal(tgi_deque_size_hint(d), 1);
    assert_int_equal(tgi_deque_steal(d), 33);
    assert_true(tgi_deque_steal(d) == TGI_DEQUE_EMPTY);
    deque_drop(d);
}

static void growth_keeps_items_that_lie_across_the_end_of_the_array(void **state)
{
    (void)state;
    struct tgi_deque *d = deque_new(4);
    uint64_t next = 0, oldest = 0;
    for (int round = 0; round < 9; round++) {
        for (int i = 0; i < 3; i++)
            assert_true(tgi_deque_push_owner(d, next++));
        assert_int_equal(tgi_deque_steal(d), oldest++);
        assert_int_equal(tgi_deque_steal(d), oldest++);
    }
    for (int i = 0; i < 1000; i++)
        assert_true(tgi_deque_push_owner(d, next++));
    while (oldest < next)
        assert_int_equal(tgi_deque_steal(d), oldest++);
    assert_true(tgi_deque_take_owner(d) == TGI_DEQUE_EMPTY);
    deque_drop(d);
}

static void a_deque_used_as_a_queue_for_long_does_not_grow(void **state)
{
    (void)state;
    struct tgi_deque *d = deque_new(4);
    for (uint64_t i = 0; i < 100000; i++) {
        assert_true(tgi_deque_push_owner(d, i));
        assert_int_equal(i % 2 ? tgi_deque_take_owner(d) : tgi_deque_steal(d), i);
    }
    assert_int_equal(atomic_load(&d->array)->capacity, 4);
    deque_drop(d);
}

/* ---- Thieves ------------------------------------------------------------------------------*/

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { N_ITEMS = 300000 };
#else
enum { N_ITEMS = 10000000 };
#endif

struct theft {
    struct tgi_deque *deque;
    _Atomic uint8_t *n_seen; /* by item */
    _Atomic uint32_t is_over;
    uint64_t *payload; /* by item; plain memory that the push publishes */
    _Atomic uint64_t n_bad;
};

static void see(struct theft *t, uint64_t item)
{
    if (item >= N_ITEMS || t->payload[item] != ~item) {
        atomic_fetch_add_explicit(&t->n_bad, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&t->n_seen[item], 1, memory_order_relaxed);
}

static void *thief_main(void *arg)
{
    struct theft *t = arg;
    while (!atomic_load_explicit(&t->is_over, memory_order_relaxed)) {
        uint64_t item = tgi_deque_steal(t->deque);
        if (item < TGI_DEQUE_LOST)
            see(t, item);
    }
    return NULL;
}

/* Bursts of pushes and takes of varying length, so that the deque is often nearly empty. */
static void stress(uint32_t n_thieves, uint32_t burst, int64_t capacity)
{
    struct theft t = {.deque = deque_new(capacity)};
    pthread_t thieves[3];
    t.n_seen = calloc(N_ITEMS, 1);
    t.payload = calloc(N_ITEMS, sizeof *t.payload);
    assert_true(t.n_seen && t.payload);
    for (uint32_t i = 0; i < n_thieves; i++)
        assert_int_equal(pthread_create(&thieves[i], NULL, thief_main, &t), 0);
    uint64_t next = 0, random = 88172645463325252u;
    while (next < N_ITEMS) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        for (uint64_t n = 1 + random % burst; n > 0 && next < N_ITEMS; n--, next++) {
            t.payload[next] = ~next;
            if (!tgi_deque_push_owner(t.deque, next))
                abort();
        }
        for (uint64_t n = 1 + (random >> 32) % burst; n > 0; n--) {
            uint64_t item = tgi_deque_take_owner(t.deque);
            if (item != TGI_DEQUE_EMPTY)
                see(&t, item);
        }
    }
    for (uint64_t item; (item = tgi_deque_take_owner(t.deque)) != TGI_DEQUE_EMPTY;)
        see(&t, item);
    atomic_store_explicit(&t.is_over, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < n_thieves; i++)
        pthread_join(thieves[i], NULL);
    assert_int_equal(atomic_load(&t.n_bad), 0);
    for (uint64_t i = 0; i < N_ITEMS; i++)
        if (atomic_load_explicit(&t.n_seen[i], memory_order_relaxed) != 1)
            fail_msg("item %llu was seen %u times", (unsigned long long)i, atomic_load(&t.n_seen[i]));
    free((void *)t.n_seen);
    free(t.payload);
    deque_drop(t.deque);
}

static void every_item_is_seen_once_with_one_thief(void **state)
{
    (void)state;
    stress(1, 2, 2);
}

static void every_item_is_seen_once_with_three_thieves(void **state)
{
    (void)state;
    stress(3, 1, 2);
}

static void every_item_is_seen_once_while_the_array_grows(void **state)
{
    (void)state;
    stress(2, 3000, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_deque_gives_nothing),
        cmocka_unit_test(the_owner_takes_the_newest_and_a_thief_the_oldest),
        cmocka_unit_test(growth_keeps_items_that_lie_across_the_end_of_the_array),
        cmocka_unit_test(a_deque_used_as_a_queue_for_long_does_not_grow),
        cmocka_unit_test(every_item_is_seen_once_with_one_thief),
        cmocka_unit_test(every_item_is_seen_once_with_three_thieves),
        cmocka_unit_test(every_item_is_seen_once_while_the_array_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
