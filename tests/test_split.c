/* Programs in a part for each device: order is kept, and no part waits for ever, however little a device does at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mem/split.h"
#include "tests/random_graph.h"

static uint32_t device_of(const struct tgi_program *p, uint32_t i) { return tgi_lane_device(p->commands[i].lane); }

/* ---- Programs -----------------------------------------------------------------------------*/

static uint32_t add(struct tgi_program *p, enum tgi_command_kind kind, uint32_t device, const uint32_t *deps, uint32_t n_deps)
{
    struct tgi_command c = {.kind = (uint8_t)kind, .lane = tgi_lane_of(device, 0), .owner = p->n};
    uint32_t id;
    assert_int_equal(tgi_program_add(p, &c, deps, n_deps, &id, NULL), 0);
    return id;
}

/* near: most dependencies are on what is just before, as in chains from device to device. */
static struct tgi_program draw(struct dice *d, uint32_t n, uint32_t n_devices)
{
    struct tgi_program p = {0};
    uint32_t *deps = malloc((size_t)n * sizeof *deps), is_near = roll(d, 2);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_deps = 0;
        bool is_join = roll(d, 20) == 0;
        for (uint32_t k = 0; k < i; k++)
            if (is_join ? k % 3 == 0 : is_near ? i - k <= 4 && roll(d, 2) : roll(d, i) == 0)
                deps[n_deps++] = k;
        add(&p, roll(d, 3) ? TGI_COMMAND_LAUNCH : TGI_COMMAND_FILL, roll(d, n_devices), deps, n_deps);
    }
    free(deps);
    return p;
}

/* ---- Order --------------------------------------------------------------------------------*/

/* By flag: the signal that sets it; who awaits it. */
struct flags {
    uint32_t *signal[4], *await[4], n[4];
};

static struct flags find_flags(const struct tgi_program *p)
{
    struct flags f;
    for (uint32_t d = 0; d < 4; d++) {
        f.n[d] = tgi_program_flags(p, d);
        f.signal[d] = malloc((f.n[d] + 1) * sizeof(uint32_t));
        f.await[d] = malloc((f.n[d] + 1) * sizeof(uint32_t));
        memset(f.signal[d], 0xff, (f.n[d] + 1) * sizeof(uint32_t));
        memset(f.await[d], 0xff, (f.n[d] + 1) * sizeof(uint32_t));
    }
    for (uint32_t i = 0; i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        for (uint32_t k = 0; c->kind == TGI_COMMAND_SIGNAL && k < c->flags.n; k++) {
            uint64_t word = p->words[c->flags.first + k];
            uint32_t *of = &f.signal[tgi_flag_device(word)][tgi_flag_number(word)];
            assert_true(tgi_flag_number(word) < f.n[tgi_flag_device(word)]);
            assert_int_equal(*of, TG_NONE); /* nobody else's */
            *of = i;
        }
        for (uint32_t k = 0; c->kind == TGI_COMMAND_AWAIT && k < c->flags.n; k++) {
            uint32_t *of = &f.await[device_of(p, i)][c->flags.first + k];
            assert_int_equal(*of, TG_NONE);
            *of = i;
        }
    }
    for (uint32_t d = 0; d < 4; d++)
        for (uint32_t k = 0; k < f.n[d]; k++)
            assert_true(f.signal[d][k] < f.await[d][k] && f.await[d][k] != TG_NONE);
    return f;
}

static void flags_free(struct flags *f)
{
    for (uint32_t d = 0; d < 4; d++) {
        free(f->signal[d]);
        free(f->await[d]);
    }
}

static void come_after(uint8_t *after, uint32_t n, uint32_t i, uint32_t d)
{
    after[(size_t)i * n + d] = 1;
    for (uint32_t j = 0; j < d; j++)
        after[(size_t)i * n + j] |= after[(size_t)d * n + j];
}

/* Bit k of row i: i comes after k, by dependencies and, with `f`, by flags. */
static uint8_t *reach(const struct tgi_program *p, const struct flags *f)
{
    uint8_t *after = calloc((size_t)p->n * p->n + 1, 1);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        for (uint32_t k = 0; k < c->n_deps; k++)
            come_after(after, p->n, i, p->deps[c->first_dep + k]);
        for (uint32_t k = 0; f && c->kind == TGI_COMMAND_AWAIT && k < c->flags.n; k++)
            come_after(after, p->n, i, f->signal[device_of(p, i)][c->flags.first + k]);
    }
    return after;
}

static bool is_ours(const struct tgi_command *c)
{
    return c->kind == TGI_COMMAND_SIGNAL || c->kind == TGI_COMMAND_AWAIT || (c->kind == TGI_COMMAND_NOTHING && c->owner == UINT64_MAX);
}

static void expect_order(const struct tgi_program *p, const struct tgi_program *q, const struct flags *f)
{
    uint8_t *before = reach(p, NULL), *after = reach(q, f);
    uint32_t *moved = malloc((p->n + 1) * sizeof *moved), n = 0;
    for (uint32_t i = 0; i < q->n; i++)
        if (!is_ours(&q->commands[i])) {
            assert_int_equal(q->commands[i].owner, n);
            assert_int_equal(q->commands[i].lane, p->commands[n].lane);
            moved[n++] = i;
        }
    assert_int_equal(n, p->n);
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->n; k++)
            assert_true(after[(size_t)moved[i] * q->n + moved[k]] >= before[(size_t)i * p->n + k]);
    free(moved);
    free(before);
    free(after);
}

/* The two rules of split.h, and how many awaits can wait at once. */
static void expect_rules(const struct tgi_program *q)
{
    uint8_t *after = reach(q, NULL);
    for (uint32_t i = 0; i < q->n; i++) {
        const struct tgi_command *c = &q->commands[i];
        for (uint32_t k = 0; k < c->n_deps; k++) {
            assert_true(q->deps[c->first_dep + k] < i);
            assert_int_equal(device_of(q, q->deps[c->first_dep + k]), device_of(q, i));
        }
        uint32_t n_apart = 0;
        for (uint32_t k = 0; k < i && c->kind == TGI_COMMAND_AWAIT; k++) {
            bool is_here = device_of(q, k) == device_of(q, i);
            if (is_here && q->commands[k].kind == TGI_COMMAND_SIGNAL)
                assert_true(after[(size_t)i * q->n + k]);
            n_apart += is_here && q->commands[k].kind == TGI_COMMAND_AWAIT && !after[(size_t)i * q->n + k];
        }
        assert_true(n_apart < TGI_MAX_AWAITS);
    }
    free(after);
}

/* ---- Progress -----------------------------------------------------------------------------*/

/* Of all that its dependencies allow a device begins something, and nothing else before that has ended. */
static uint32_t begin_one(const struct tgi_program *q, const uint8_t *is_done, uint32_t device, struct dice *d)
{
    uint32_t chosen = TG_NONE, n = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        bool is_ready = !is_done[i] && device_of(q, i) == device;
        for (uint32_t k = 0; is_ready && k < q->commands[i].n_deps; k++)
            is_ready = is_done[q->deps[q->commands[i].first_dep + k]];
        if (is_ready && roll(d, ++n) == 0)
            chosen = i;
    }
    return chosen;
}

/* How many commands are not executed when nothing goes on any more. */
static uint32_t execute_one_at_a_time(const struct tgi_program *q, uint32_t n_devices, struct dice *d)
{
    uint8_t *is_done = calloc((size_t)q->n + 1, 1), *is_set[4];
    uint32_t at_work[4], n_left = q->n;
    for (uint32_t k = 0; k < 4; k++) {
        is_set[k] = calloc((size_t)tgi_program_flags(q, k) + 1, 1);
        at_work[k] = TG_NONE;
    }
    for (uint32_t n_idle = 0; n_left && n_idle < 100;) {
        uint32_t device = roll(d, n_devices), *i = &at_work[device];
        n_idle++;
        *i = *i == TG_NONE ? begin_one(q, is_done, device, d) : *i;
        if (*i == TG_NONE)
            continue;
        const struct tgi_command *c = &q->commands[*i];
        uint32_t n_set = 0;
        for (uint32_t k = 0; c->kind == TGI_COMMAND_AWAIT && k < c->flags.n; k++)
            n_set += is_set[device][c->flags.first + k];
        if (c->kind == TGI_COMMAND_AWAIT && n_set < c->flags.n)
            continue;
        for (uint32_t k = 0; c->kind == TGI_COMMAND_SIGNAL && k < c->flags.n; k++) {
            uint64_t word = q->words[c->flags.first + k];
            is_set[tgi_flag_device(word)][tgi_flag_number(word)] = 1;
        }
        is_done[*i] = 1;
        *i = TG_NONE;
        n_left--;
        n_idle = 0;
    }
    for (uint32_t k = 0; k < 4; k++)
        free(is_set[k]);
    free(is_done);
    return n_left;
}

static void parts_keep_the_order_and_come_to_their_end(void **state)
{
    uint64_t n = ROUNDS(400), first = test_seed(1);
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        uint32_t n_devices = 2 + roll(&d, 3);
        struct tgi_program p = draw(&d, 1 + roll(&d, seed % 8 ? 60 : 250), n_devices), q = {0}, narrow = {0};
        assert_int_equal(tgi_program_split(&p, &q, NULL), 0);
        assert_int_equal(tgi_program_narrow(&q, 2 + roll(&d, 8), &narrow, NULL), 0);
        struct flags f = find_flags(&q);
        expect_order(&p, &q, &f);
        expect_rules(&q);
        expect_rules(&narrow);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(execute_one_at_a_time(&q, n_devices, &d), 0);
            assert_int_equal(execute_one_at_a_time(&narrow, n_devices, &d), 0);
        }
        flags_free(&f);
        tgi_program_fini(&p);
        tgi_program_fini(&q);
        tgi_program_fini(&narrow);
    }
}

/* Without the second rule two devices wait for each other, as each may begin with its await. */
static void without_the_order_of_signals_they_do_not(void **state)
{
    struct tgi_program p = {0}, q = {0};
    uint32_t n_stuck = 0;
    (void)state;
    uint32_t a = add(&p, TGI_COMMAND_LAUNCH, 0, NULL, 0), b = add(&p, TGI_COMMAND_LAUNCH, 1, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 0, &b, 1);
    add(&p, TGI_COMMAND_LAUNCH, 1, &a, 1);
    assert_int_equal(tgi_program_split(&p, &q, NULL), 0);
    assert_int_equal(tgi_program_flags(&q, 0), 1);
    assert_int_equal(tgi_program_flags(&q, 1), 1);
    for (uint64_t seed = 0; seed < 50; seed++)
        assert_int_equal(execute_one_at_a_time(&q, 2, &(struct dice){seed}), 0);
    for (uint32_t i = 0; i < q.n; i++)
        if (q.commands[i].kind == TGI_COMMAND_AWAIT)
            q.commands[i].n_deps = 0;
    for (uint64_t seed = 0; seed < 50; seed++)
        n_stuck += execute_one_at_a_time(&q, 2, &(struct dice){seed}) > 0;
    assert_true(n_stuck > 0);
    tgi_program_fini(&p);
    tgi_program_fini(&q);
}

/* From device to device and back: one await, one signal a hop, and nothing else. */
static void a_chain_has_a_flag_for_each_hop(void **state)
{
    enum { N = 100 };
    struct tgi_program p = {0}, q = {0};
    uint32_t last = TG_NONE, n_points = 0, n_flags;
    (void)state;
    for (uint32_t i = 0; i < N; i++)
        last = add(&p, TGI_COMMAND_LAUNCH, i % 2, &last, i ? 1 : 0);
    assert_int_equal(tgi_program_hops(&p, &n_flags), N - 1);
    assert_int_equal(n_flags, N - 1);
    assert_int_equal(tgi_program_split(&p, &q, NULL), 0);
    for (uint32_t i = 0; i < q.n; i++)
        n_points += q.commands[i].kind == TGI_COMMAND_NOTHING;
    assert_int_equal(n_points, 0);
    assert_int_equal(q.n, N + 2 * (N - 1));
    assert_int_equal(tgi_program_flags(&q, 0) + tgi_program_flags(&q, 1), N - 1);
    assert_true(q.n_deps <= q.n + N);
    tgi_program_fini(&p);
    tgi_program_fini(&q);
}

/* A flag for each device, whatever waits there; one await, however many are waited for. */
static void flags_are_shared(void **state)
{
    struct tgi_program p = {0}, q = {0};
    uint32_t from[3], n_awaits = 0, n_signals = 0, n_flags;
    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        from[i] = add(&p, TGI_COMMAND_LAUNCH, 0, NULL, 0);
    for (uint32_t i = 0; i < 6; i++)
        add(&p, TGI_COMMAND_LAUNCH, 1 + i % 2, from, 3);
    assert_int_equal(tgi_program_split(&p, &q, NULL), 0);
    for (uint32_t i = 0; i < q.n; i++) {
        n_awaits += q.commands[i].kind == TGI_COMMAND_AWAIT;
        n_signals += q.commands[i].kind == TGI_COMMAND_SIGNAL;
    }
    assert_int_equal(n_signals, 3);
    assert_int_equal(n_awaits, 2);
    assert_int_equal(tgi_program_flags(&q, 1), 3);
    assert_int_equal(tgi_program_flags(&q, 2), 3);
    assert_int_equal(tgi_program_hops(&p, &n_flags), 1);
    assert_int_equal(n_flags, 6);
    tgi_program_fini(&p);
    tgi_program_fini(&q);
}

/* ---- What stays whole ---------------------------------------------------------------------*/

static int can_signal(struct tgi_devices *ds, uint32_t from, uint32_t to, bool *can_p, struct tg_error *err)
{
    (void)ds, (void)err;
    *can_p = from + to != 3; /* 1 and 2 do not reach each other */
    return from == 3 ? TG_E_DRIVER : 0;
}

static void expect_whole(struct tgi_program *p, int status, const char *why)
{
    static const struct tgi_device_ops ops = {.size = sizeof ops, .can_signal = can_signal};
    struct tgi_devices ds = {.ops = &ops, .n_devices = 4};
    const char *answer = NULL;
    assert_int_equal(tgi_program_whole(&ds, p, &answer, NULL), status);
    if (why)
        assert_string_equal(answer, why);
    else
        assert_null(answer);
    tgi_program_fini(p);
}

static void some_programs_stay_whole(void **state)
{
    struct tgi_program p = {0};
    (void)state;
    uint32_t a = add(&p, TGI_COMMAND_LAUNCH, 0, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 0, &a, 1);
    add(&p, TGI_COMMAND_LAUNCH, 1, NULL, 0);
    expect_whole(&p, 0, "no edge is between devices");
    a = add(&p, TGI_COMMAND_LAUNCH, 0, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 1, &a, 1);
    expect_whole(&p, 0, NULL);
    a = add(&p, TGI_COMMAND_LAUNCH, 1, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 2, &a, 1);
    expect_whole(&p, 0, "its devices cannot set flags of each other");
    a = add(&p, TGI_COMMAND_COLLECT, 0, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 1, &a, 1);
    expect_whole(&p, 0, "it has collectives");
    a = add(&p, TGI_COMMAND_DECIDE, 0, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 1, &a, 1);
    expect_whole(&p, 0, "a device decides about its rounds");
    a = add(&p, TGI_COMMAND_COPY, 0, NULL, 0); /* to node 0, the host */
    add(&p, TGI_COMMAND_LAUNCH, 0, &a, 1);
    add(&p, TGI_COMMAND_COPY, 1, &a, 1);
    expect_whole(&p, 0, "a device comes after what another copies to the host");
    a = add(&p, TGI_COMMAND_LAUNCH, 3, NULL, 0);
    add(&p, TGI_COMMAND_LAUNCH, 1, &a, 1);
    expect_whole(&p, TG_E_DRIVER, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_keep_the_order_and_come_to_their_end),
        cmocka_unit_test(without_the_order_of_signals_they_do_not),
        cmocka_unit_test(a_chain_has_a_flag_for_each_hop),
        cmocka_unit_test(flags_are_shared),
        cmocka_unit_test(some_programs_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
