/* Gangs of the device library, waits and atomics: after a barrier everybody sees what anybody did before it, values are combined
 * as one by one, nothing is added twice or lost, and every wait ends. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>

#include "tests/library_cpu.h"

#include "gpu/library/gang.h"

static const struct tgd_limit limit = {60000000000u, NULL};

static struct tgd_gang *gang_create(uint32_t n)
{
    struct tgd_gang *g = zeroed(tgd_gang_bytes(n));
    assert_int_equal(tgd_gang_init(g, n), TGD_OK);
    return g;
}

/* ---- Barrier --------------------------------------------------------------------------------*/

enum { SYNCS = 2000 };

struct sync_run {
    struct tgd_gang *g;
    uint32_t n_rounds;
    uint64_t written[2][MAX_WORKERS]; /* plain: the barrier is what orders them */
};

static void sync_worker(struct worker *w)
{
    struct sync_run *run = w->user;
    struct tgd_member m = {0};
    MUST_BE(tgd_member_init(&m, run->g, w->id) == TGD_OK);
    for (uint32_t i = 0; i < run->n_rounds; i++) {
        run->written[i & 1][w->id] = mix64(i << 8 | w->id);
        if (roll(&w->dice, 2)) {
            MUST_BE(tgd_gang_sync(&m, &limit) == TGD_OK);
        } else {
            tgd_gang_come(&m);
            MUST_BE(tgd_gang_wait(&m, &limit) == TGD_OK);
        }
        for (uint32_t k = 0; k < w->n; k++)
            MUST_BE(run->written[i & 1][k] == mix64(i << 8 | k));
    }
}

static void after_a_barrier_all_is_seen(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 8; n += n < 3 ? 1 : 5) {
        struct sync_run run = {.g = gang_create(n), .n_rounds = (uint32_t)ROUNDS(SYNCS)};
        has_delays = n != 3;
        on_workers(n, sync_worker, &run);
        for (uint32_t k = 0; k < n; k++)
            assert_int_equal(tgi_gang_words(&(struct tgd_member){.gang = run.g, .n_members = n})[k], run.n_rounds);
        free(run.g);
    }
    has_delays = false;
}

/* More members than one warp has lanes count. */
static void so_it_is_in_a_large_gang(void **state)
{
    enum { N = TGD_GANG_NEAR + 1 };
    struct sync_run run = {.g = gang_create(N), .n_rounds = (uint32_t)ROUNDS(200)};
    (void)state;
    on_workers(N, sync_worker, &run);
    assert_int_equal(run.g->n_come, N * run.n_rounds);
    free(run.g);
}

static void the_rounds_of_a_barrier_may_wrap(void **state)
{
    (void)state;
    struct tgd_gang *g = gang_create(1);
    struct tgd_member m = {0};
    assert_int_equal(tgd_member_init(&m, g, 1), TGD_E_INVALID);
    assert_int_equal(tgd_member_init(&m, g, 0), TGD_OK);
    *tgi_gang_words(&m) = m.n_syncs = UINT32_MAX - 2;
    for (int i = 0; i < 6; i++)
        assert_int_equal(tgd_gang_sync(&m, &limit), TGD_OK);
    assert_int_equal(*tgi_gang_words(&m), 3);
    assert_int_equal(tgd_gang_init(g, 0), TGD_E_INVALID);
    free(g);
}

/* ---- Values ---------------------------------------------------------------------------------*/

static uint64_t value_of(uint32_t round, uint32_t rank) { return mix64((uint64_t)round << 16 | rank) >> 20; }
static double real_of(uint32_t round, uint32_t rank) { return (double)(int64_t)value_of(round, rank) / 3 - 1e12; }

#define EXPECT(type, n, op, value)                                                            \
    ({                                                                                        \
        type sum_ = 0;                                                                        \
        for (uint32_t k = 0; k < (n); k++) {                                                  \
            type x_ = (type)(value);                                                          \
            sum_ = k == 0 ? x_ : (op) == TGD_SUM ? sum_ + x_ : (op) == TGD_MIN ? (x_ < sum_ ? x_ : sum_) : (x_ > sum_ ? x_ : sum_); \
        }                                                                                     \
        sum_;                                                                                 \
    })

static void value_worker(struct worker *w)
{
    struct tgd_member m = {0};
    MUST_BE(tgd_member_init(&m, w->user, w->id) == TGD_OK);
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(1000); i++) {
        enum tgd_op op = (enum tgd_op)(i % 3);
        uint64_t x = value_of(i, w->id), u, got;
        int64_t s;
        double d;
        float f;
        MUST_BE(tgd_gang_reduce_u64(&m, op, x, &limit, &u) == TGD_OK);
        MUST_BE(u == EXPECT(uint64_t, w->n, op, value_of(i, k)));
        MUST_BE(tgd_gang_scan_u64(&m, op, x, &limit, &u) == TGD_OK);
        MUST_BE(u == EXPECT(uint64_t, w->id + 1, op, value_of(i, k)));
        MUST_BE(tgd_gang_reduce_i64(&m, op, -(int64_t)x, &limit, &s) == TGD_OK);
        MUST_BE(s == EXPECT(int64_t, w->n, op, -(int64_t)value_of(i, k)));
        /* One after the other, as there is one lane. */
        MUST_BE(tgd_gang_reduce_f64(&m, op, real_of(i, w->id), &limit, &d) == TGD_OK);
        MUST_BE(d == EXPECT(double, w->n, op, real_of(i, k)));
        MUST_BE(tgd_gang_scan_f32(&m, op, (float)(w->id + 1), &limit, &f) == TGD_OK);
        MUST_BE(f == EXPECT(float, w->id + 1, op, (float)(k + 1)));
        MUST_BE(tgd_gang_broadcast(&m, i % w->n, x, &limit, &got) == TGD_OK);
        MUST_BE(got == value_of(i, i % w->n));
    }
    MUST_BE(tgd_gang_broadcast(&m, w->n, 0, &limit, &(uint64_t){0}) == TGD_E_INVALID);
}

static void values_are_combined_as_one_by_one(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 7; n += 2) {
        struct tgd_gang *g = gang_create(n);
        has_delays = n != 3;
        on_workers(n, value_worker, g);
        free(g);
    }
    has_delays = false;
}

/* ---- Waits ----------------------------------------------------------------------------------*/

static void a_wait_for_nobody_ends(void **state)
{
    (void)state;
    struct tgd_gang *g = gang_create(2);
    struct tgd_member m = {0};
    uint32_t abort_word = 1, word = 5, seen = 0;
    uint64_t x = 77;
    const struct tgd_limit soon = {1000000, NULL}, aborted = {60000000000u, &abort_word};
    tgd_member_init(&m, g, 0);
    assert_int_equal(tgd_gang_sync(&m, &soon), TGD_E_TIMEOUT);
    assert_int_equal(tgd_gang_wait(&m, &aborted), TGD_E_ABORTED);
    assert_int_equal(tgd_gang_reduce_u64(&m, TGD_SUM, 1, &soon, &x), TGD_E_TIMEOUT);
    assert_int_equal(tgd_gang_broadcast(&m, 0, 1, &aborted, &x), TGD_E_ABORTED);
    assert_int_equal(x, 77);
    assert_int_equal(tgd_word_wait(&word, 5, &soon, &seen), TGD_E_TIMEOUT);
    assert_int_equal(tgd_word_wait(&word, 4, &soon, &seen), TGD_OK);
    assert_int_equal(seen, 5);
    assert_int_equal(tgd_word_reach(&word, 6, &soon), TGD_E_TIMEOUT);
    assert_int_equal(tgd_word_reach(&word, 4, &soon), TGD_OK);
    assert_int_equal(tgd_word_reach(&word, 0xffffffffu, &soon), TGD_OK); /* 5 is beyond that */
    free(g);
}

/* Two hand a plain number to and fro, each telling with a word. */
static struct {
    uint32_t turn;
    uint64_t number;
} table_tennis;

static void tennis_worker(struct worker *w)
{
    for (uint32_t i = 0; i < (uint32_t)ROUNDS(4000); i++) {
        uint32_t seen;
        if (w->id == 0)
            MUST_BE(tgd_word_reach(&table_tennis.turn, 2 * i, &limit) == TGD_OK);
        else
            MUST_BE(tgd_word_wait(&table_tennis.turn, 2 * i, &limit, &seen) == TGD_OK && seen == 2 * i + 1);
        MUST_BE(table_tennis.number == 2 * i + w->id);
        table_tennis.number++;
        delay(w->id);
        if (i % 2)
            tgd_word_tell(&table_tennis.turn, 2 * i + w->id + 1);
        else
            tgd_word_advance(&table_tennis.turn, 1);
    }
}

static void a_word_tells_what_was_done_before(void **state)
{
    (void)state;
    has_delays = true;
    on_workers(2, tennis_worker, NULL);
    has_delays = false;
    assert_int_equal(table_tennis.number, 2 * (uint64_t)ROUNDS(4000));
}

/* ---- Atomics --------------------------------------------------------------------------------*/

static struct {
    _Alignas(16) float v4[4];
    float v2[2], sum, least, most;
    double sum_wide, least_wide, most_wide;
    uint32_t n, least_u, most_u;
    int32_t least_i, most_i;
    uint64_t n_wide, least_w, most_w;
    int64_t least_l, most_l;
} numbers;

static void number_worker(struct worker *w)
{
    for (int32_t i = 1; i <= 2000; i++) {
        const float v[4] = {1, 2, 3, 4};
        int32_t signed_ = (w->id % 2 ? -i : i) * 3 + (int32_t)w->id;
        uint32_t x = 1000000 + (uint32_t)i * 5 + w->id;
        tgd_add_f32x4(numbers.v4, v);
        tgd_add_f32x2(numbers.v2, v);
        tgd_add_f32(&numbers.sum, 0.5f);
        tgd_add_f64(&numbers.sum_wide, 0.25);
        tgd_add_u32(&numbers.n, 3);
        tgd_add_u64(&numbers.n_wide, (uint64_t)1 << 32);
        tgd_min_f32(&numbers.least, (float)signed_);
        tgd_max_f32(&numbers.most, (float)signed_);
        tgd_min_f64(&numbers.least_wide, signed_);
        tgd_max_f64(&numbers.most_wide, signed_);
        tgd_min_u32(&numbers.least_u, x);
        tgd_max_u32(&numbers.most_u, x);
        tgd_min_i32(&numbers.least_i, signed_);
        tgd_max_i32(&numbers.most_i, signed_);
        tgd_min_u64(&numbers.least_w, (uint64_t)x << 20);
        tgd_max_u64(&numbers.most_w, (uint64_t)x << 20);
        tgd_min_i64(&numbers.least_l, (int64_t)signed_ * (1 << 20));
        tgd_max_i64(&numbers.most_l, (int64_t)signed_ * (1 << 20));
    }
}

static void numbers_are_added_once(void **state)
{
    (void)state;
    numbers.least = numbers.most = __builtin_nanf("");
    numbers.least_u = UINT32_MAX;
    numbers.least_w = UINT64_MAX;
    on_workers(4, number_worker, NULL);
    for (int i = 0; i < 4; i++)
        assert_true(numbers.v4[i] == 8000.0f * (float)(i + 1));
    assert_true(numbers.v2[0] == 8000 && numbers.v2[1] == 16000);
    assert_true(numbers.sum == 4000 && numbers.sum_wide == 2000);
    assert_int_equal(numbers.n, 24000);
    assert_int_equal(numbers.n_wide, (uint64_t)8000 << 32);
    assert_true(numbers.least == -5999 && numbers.most == 6002);
    assert_true(numbers.least_wide == -5999 && numbers.most_wide == 6002);
    assert_true(numbers.least_i == -5999 && numbers.most_i == 6002);
    assert_true(numbers.least_l == -5999 * (1ll << 20) && numbers.most_l == 6002 * (1ll << 20));
    assert_true(numbers.least_u == 1000005 && numbers.most_u == 1010003);
    assert_true(numbers.least_w == 1000005ull << 20 && numbers.most_w == 1010003ull << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_barrier_all_is_seen),
        cmocka_unit_test(so_it_is_in_a_large_gang),
        cmocka_unit_test(the_rounds_of_a_barrier_may_wrap),
        cmocka_unit_test(values_are_combined_as_one_by_one),
        cmocka_unit_test(a_wait_for_nobody_ends),
        cmocka_unit_test(a_word_tells_what_was_done_before),
        cmocka_unit_test(numbers_are_added_once),
    };
    seed = test_seed(13);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
