/* mem/service_ring.h: laps, and a host and a kernel that are threads, under contention. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "mem/service_ring.h"
#include "tests/random_graph.h"

enum { STRIDE = 64 };

static struct tgi_service_ring make_ring(uint32_t capacity)
{
    struct tgi_service_ring r = tgi_service_ring_of(aligned_alloc(64, (size_t)capacity * STRIDE), capacity, STRIDE);
    assert_non_null(r.slots);
    memset(r.slots, 0, (size_t)capacity * STRIDE);
    return r;
}

static void a_word_tells_what_was_put_into_it(void **state)
{
    (void)state;
    struct tgi_service_ring r = tgi_service_ring_of(NULL, 4, STRIDE);
    uint64_t word = tgi_service_ring_make(&r, 0xfedcba98u, 0x89abcdefu, 0xa5, 0xfff8);
    assert_int_equal(TGI_SERVICE_TAG(word), 0x89abcdefu);
    assert_int_equal(TGI_SERVICE_CODE(word), 0xa5);
    assert_int_equal(TGI_SERVICE_BYTES(word), 0xfff8);
    assert_true(tgi_service_ring_is_at(&r, 0xfedcba98u, word));
}

/* What a slot can hold when a position is looked at: nothing, this lap's word, the lap's before. */
static void a_slot_is_never_taken_for_that_of_another_lap(void **state)
{
    (void)state;
    for (uint32_t capacity = 2; capacity <= 65536; capacity *= 2) {
        struct tgi_service_ring r = tgi_service_ring_of(NULL, capacity, STRIDE);
        static const uint32_t from[] = {0, 1000, 0x7fffff00u, 0xfffffc00u};
        for (size_t k = 0; k < 4; k++)
            for (uint32_t i = 0; i < 4000; i++) {
                uint32_t position = from[k] + i * (capacity / 2); /* wraps */
                assert_false(tgi_service_ring_is_at(&r, position, 0));
                assert_true(tgi_service_ring_is_at(&r, position, tgi_service_ring_make(&r, position, 1, 2, 3)));
                uint64_t before = tgi_service_ring_make(&r, position - capacity, 1, 2, 3);
                assert_false(tgi_service_ring_is_at(&r, position, before));
            }
    }
}

/* ---- Two threads --------------------------------------------------------------------------*/

struct pair {
    struct tgi_service_ring messages, answers;
    uint32_t first, n;
    bool is_wrong;
};

static uint64_t word_of(uint32_t position, uint32_t i) { return mix64((uint64_t)position << 8 | i); }

/* As the controller does: takes a message, and answers it once it has been read. */
static void *kernel(void *user)
{
    struct pair *p = user;
    for (uint32_t position = p->first; position != p->first + p->n; position++) {
        uint64_t word;
        while (word = tgi_sys_load_acquire(tgi_service_ring_word(&p->messages, position)),
               !tgi_service_ring_is_at(&p->messages, position, word))
            sched_yield();
        uint64_t *from = (uint64_t *)tgi_service_ring_bytes(&p->messages, position);
        uint64_t *to = (uint64_t *)tgi_service_ring_bytes(&p->answers, position);
        for (uint32_t i = 0; i < TGI_SERVICE_BYTES(word) / 8; i++)
            to[i] = from[i];
        tgi_sys_store_release(tgi_service_ring_word(&p->answers, position),
                              tgi_service_ring_make(&p->answers, position, position, 0, TGI_SERVICE_BYTES(word)));
    }
    return NULL;
}

static bool take_answer(struct pair *p, uint32_t position)
{
    uint64_t word = tgi_sys_load_acquire(tgi_service_ring_word(&p->answers, position));
    if (!tgi_service_ring_is_at(&p->answers, position, word))
        return false;
    const uint64_t *got = (uint64_t *)tgi_service_ring_bytes(&p->answers, position);
    uint32_t n = TGI_SERVICE_BYTES(word) / 8;
    p->is_wrong |= TGI_SERVICE_TAG(word) != position || n != position % 6;
    for (uint32_t i = 0; i < n; i++)
        p->is_wrong |= got[i] != word_of(position, i);
    return true;
}

/* As the host does: never more under way than there are places. */
static void host(struct pair *p)
{
    uint32_t sent = p->first, taken = p->first, end = p->first + p->n, capacity = p->messages.capacity;
    while (taken != end) {
        while (sent != end && sent - taken < capacity) {
            uint64_t *to = (uint64_t *)tgi_service_ring_bytes(&p->messages, sent);
            for (uint32_t i = 0; i < sent % 6; i++)
                to[i] = word_of(sent, i);
            tgi_sys_store_release(tgi_service_ring_word(&p->messages, sent),
                                  tgi_service_ring_make(&p->messages, sent, 0, 0, sent % 6 * 8));
            sent++;
        }
        if (take_answer(p, taken))
            taken++;
        else
            sched_yield();
    }
}

static void messages_go_there_and_back_once_each(void **state)
{
    (void)state;
    static const uint32_t capacities[] = {2, 4, 256};
    static const uint32_t from[] = {0, 0xfffffff0u};
    for (size_t c = 0; c < 6; c++) {
        struct pair p = {make_ring(capacities[c / 2]), make_ring(capacities[c / 2]), from[c % 2], ROUNDS(100000), false};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, kernel, &p), 0);
        host(&p);
        pthread_join(thread, NULL);
        assert_false(p.is_wrong);
        free(p.messages.slots);
        free(p.answers.slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_tells_what_was_put_into_it),
        cmocka_unit_test(a_slot_is_never_taken_for_that_of_another_lap),
        cmocka_unit_test(messages_go_there_and_back_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
