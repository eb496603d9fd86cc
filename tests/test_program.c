/* Programs, and what a recorder makes of stamps: dependencies that are exact, few, and enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mem/program.h"
#include "mem/recorder.h"
#include "mem/replica.h"
#include "tests/random_graph.h"

static uint32_t add(struct tgi_program *p, uint32_t n_deps, ...)
{
    struct tgi_command c = {.kind = TGI_COMMAND_NOTHING};
    uint32_t deps[8], id;
    va_list list;
    va_start(list, n_deps);
    for (uint32_t i = 0; i < n_deps; i++)
        deps[i] = va_arg(list, uint32_t);
    va_end(list);
    assert_int_equal(tgi_program_add(p, &c, deps, n_deps, &id, NULL), 0);
    return id;
}

static void what_others_imply_is_left_out(void **state)
{
    struct tgi_program p = {0};
    (void)state;
    uint32_t a = add(&p, 0), b = add(&p, 1, a), c = add(&p, 1, b), d = add(&p, 0), e = add(&p, 4, c, a, d, b);
    const struct tgi_command *last = &p.commands[e];
    assert_int_equal(last->n_deps, 2);
    assert_int_equal(p.deps[last->first_dep], c);
    assert_int_equal(p.deps[last->first_dep + 1], d);
    assert_int_equal(last->level, 3);
    tgi_program_fini(&p);
}

/* ---- Narrowing ----------------------------------------------------------------------------*/

/* By command: bit k of row i: i comes after k. */
static uint8_t *reach(const struct tgi_program *p)
{
    uint8_t *after = calloc((size_t)p->n * p->n, 1);
    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t k = 0; k < p->commands[i].n_deps; k++) {
            uint32_t d = p->deps[p->commands[i].first_dep + k];
            assert_true(d < i);
            after[(size_t)i * p->n + d] = 1;
            for (uint32_t j = 0; j < d; j++)
                after[(size_t)i * p->n + j] |= after[(size_t)d * p->n + j];
        }
    return after;
}

/* No more than `width` of a side are without an order between any two: looked for greedily, so it may miss some. */
static void expect_narrow(const struct tgi_program *p, const uint8_t *after, uint32_t width, bool is_launch)
{
    uint32_t *apart = calloc(p->n, sizeof *apart);
    for (uint32_t first = 0; first < p->n; first++) {
        uint32_t n = 0;
        for (uint32_t i = first; i < p->n; i++) {
            bool is_apart = (p->commands[i].kind == TGI_COMMAND_LAUNCH) == is_launch;
            for (uint32_t k = 0; k < n; k++)
                is_apart &= !after[(size_t)i * p->n + apart[k]];
            if (is_apart)
                apart[n++] = i;
        }
        assert_true(n <= width);
    }
    free(apart);
}

static struct tgi_program draw(struct dice *d, uint32_t n)
{
    struct tgi_program p = {0};
    uint32_t *deps = malloc(n * sizeof *deps), n_hubs = 1 + roll(d, 4);
    for (uint32_t i = 0; i < n; i++) {
        struct tgi_command c = {.kind = roll(d, 4) ? TGI_COMMAND_LAUNCH : TGI_COMMAND_FILL, .owner = i};
        uint32_t n_deps = 0, id, every = 1 + roll(d, 5);
        bool is_join = roll(d, 20) == 0;
        for (uint32_t k = 0; k < i; k++) /* hubs have many after them, joins come after many */
            if (is_join ? k % every == 0 : k < n_hubs ? roll(d, 2) == 0 : roll(d, i) == 0)
                deps[n_deps++] = k;
        assert_int_equal(tgi_program_add(&p, &c, deps, n_deps, &id, NULL), 0);
    }
    free(deps);
    return p;
}

static void narrowing_keeps_the_order(void **state)
{
    uint64_t n = ROUNDS(60), first = test_seed(1);
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        uint32_t width = 2 + roll(&d, 6);
        struct tgi_program p = draw(&d, 1 + roll(&d, 120)), q = {0};
        assert_int_equal(tgi_program_narrow(&p, width, &q, NULL), 0);
        assert_int_equal(q.n, p.n);
        uint8_t *before = reach(&p), *after = reach(&q);
        expect_narrow(&q, after, width, true);
        expect_narrow(&q, after, width, false);
        for (uint32_t i = 0; i < p.n; i++) {
            assert_int_equal(q.commands[i].owner, i);
            for (uint32_t k = 0; k < p.n; k++)
                assert_true(after[(size_t)i * q.n + k] >= before[(size_t)i * p.n + k]);
        }
        free(before);
        free(after);
        tgi_program_fini(&p);
        tgi_program_fini(&q);
    }
}

static void what_is_narrow_stays_as_it_is(void **state)
{
    struct tgi_program p = {0}, q = {0};
    (void)state;
    uint32_t a = add(&p, 0), b = add(&p, 1, a), c = add(&p, 1, a);
    add(&p, 2, b, c);
    assert_int_equal(tgi_program_narrow(&p, 2, &q, NULL), 0);
    assert_true(tgi_program_is_alike(&p, &q));
    add(&q, 0);
    assert_false(tgi_program_is_alike(&p, &q));
    tgi_program_fini(&p);
    tgi_program_fini(&q);
}

/* ---- Recording ----------------------------------------------------------------------------*/

static bool shares_lane(struct tgi_devices *ds, const struct tgi_code *code, const struct tgi_shape *shape)
{
    (void)ds, (void)code;
    return shape->alternative == 1;
}

static const struct tgi_device_ops fake_ops = {.size = sizeof fake_ops, .kind = "fake", .shares_lane = shares_lane};
static struct tgi_devices fake = {.ops = &fake_ops, .n_devices = 1, .n_lanes = TGI_LANES_EACH};

struct recording {
    struct tgi_program program;
    struct tgi_recorder *recorder;
    struct tgi_order *order;
};

static struct recording *begin(void)
{
    struct recording *r = calloc(1, sizeof *r);
    assert_int_equal(tgi_recorder_create(&fake, &r->program, &r->recorder, NULL), 0);
    assert_int_equal(tgi_order_create_recording(r->recorder, &r->order, NULL), 0);
    return r;
}

static void end(struct recording *r)
{
    assert_int_equal(tgi_recorder_finish(r->recorder, NULL), 0);
    tgi_order_destroy(r->order);
    tgi_recorder_destroy(r->recorder);
    tgi_program_fini(&r->program);
    free(r);
}

static struct tgi_stamp launch(struct recording *r, uint32_t lane, struct tgi_waits *waits, uint32_t alternative)
{
    struct tgi_shape shape = {.alternative = alternative};
    struct tgi_devices *ds = tgi_recorder_devices(r->recorder);
    assert_int_equal(tgi_order_wait_all(r->order, lane, waits->stamps, waits->n, NULL), 0);
    assert_int_equal(ds->ops->launch(ds, lane, NULL, &shape, NULL, NULL), 0);
    waits->n = 0;
    return tgi_order_append(r->order, lane);
}

static void a_lane_has_no_order_of_its_own(void **state)
{
    struct recording *r = begin();
    struct tgi_waits waits = {.n = 0};
    (void)state;
    launch(r, 0, &waits, 0);
    launch(r, 0, &waits, 0);
    assert_int_equal(r->program.n, 2);
    assert_int_equal(r->program.n_deps, 0);
    end(r);
}

static void copy_of(struct recording *r, uint32_t lane, uint32_t from, uint32_t to, struct tgi_stamp after)
{
    struct tgi_devices *ds = tgi_recorder_devices(r->recorder);
    struct tgi_transfer t = {.to_node = to, .from_node = from, .to = 64, .from = 128, .bytes = 8};
    struct tgi_waits waits = {.n = 0};
    tgi_waits_add(r->order, &waits, after);
    assert_int_equal(tgi_order_wait_all(r->order, lane, waits.stamps, waits.n, NULL), 0);
    assert_int_equal(ds->ops->copy(ds, lane, &t, NULL), 0);
    tgi_order_append(r->order, lane);
}

static void copies_from_the_host_that_wait_for_nothing_keep_their_order(void **state)
{
    enum { IN = TGI_LANE_IN, TOO = TGI_LANE_IN_TOO };
    static const uint32_t lanes[] = {IN, TOO, IN, TOO}, after[] = {TG_NONE, TG_NONE, 0, 1};
    struct recording *r = begin();
    struct tgi_waits none = {.n = 0};
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        copy_of(r, lanes[i], TGI_HOST_NODE, 1, TGI_STAMP_NONE);
        const struct tgi_command *c = &r->program.commands[i];
        assert_int_equal(c->n_deps, after[i] != TG_NONE);
        if (c->n_deps)
            assert_int_equal(r->program.deps[c->first_dep], after[i]);
    }
    struct tgi_stamp written = launch(r, 0, &none, 0);
    copy_of(r, IN, TGI_HOST_NODE, 1, written);                        /* comes when its data do: */
    assert_int_equal(r->program.deps[r->program.commands[5].first_dep], 4);
    assert_int_equal(r->program.commands[5].n_deps, 1);
    copy_of(r, IN, TGI_HOST_NODE, 1, TGI_STAMP_NONE);                 /* nobody else waits for that one */
    assert_int_equal(r->program.commands[6].n_deps, 1);
    assert_int_equal(r->program.deps[r->program.commands[6].first_dep], 2);
    copy_of(r, TGI_LANE_OUT, 1, TGI_HOST_NODE, TGI_STAMP_NONE);
    copy_of(r, TGI_LANE_OUT, 1, TGI_HOST_NODE, TGI_STAMP_NONE);
    assert_int_equal(r->program.commands[7].n_deps + r->program.commands[8].n_deps, 0);
    end(r);
}

static void stamps_of_one_lane_are_all_waited_for(void **state)
{
    enum { N = 500 };
    struct recording *r = begin();
    struct tgi_waits waits = {.n = 0}, none = {.n = 0};
    (void)state;
    for (uint32_t i = 0; i < N; i++)
        tgi_waits_add(r->order, &waits, launch(r, i % 3, &none, 0));
    assert_int_equal(waits.n, 3);
    launch(r, 1, &waits, 0);
    assert_int_equal(r->program.commands[N].n_deps, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(r->program.deps[i], i);
    end(r);
}

static void what_comes_after_a_barrier_comes_after_one_point(void **state)
{
    struct recording *r = begin();
    struct tgi_waits waits = {.n = 0}, none = {.n = 0};
    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        tgi_waits_add(r->order, &waits, launch(r, i % 4, &none, 0));
    assert_int_equal(tgi_order_wait_all(r->order, 2, waits.stamps, waits.n, NULL), 0);
    struct tgi_stamp barrier = tgi_order_append(r->order, 2);
    waits.n = 0;
    tgi_waits_add(r->order, &waits, barrier);
    launch(r, 0, &waits, 0);
    assert_int_equal(r->program.n, 12);
    assert_int_equal(r->program.commands[10].kind, TGI_COMMAND_NOTHING);
    assert_int_equal(r->program.commands[10].n_deps, 10);
    assert_int_equal(r->program.commands[11].n_deps, 1);
    end(r);
}

static void launches_that_share_something_follow_each_other(void **state)
{
    enum { N = 40 };
    struct recording *r = begin();
    struct tgi_waits none = {.n = 0};
    (void)state;
    for (uint32_t i = 0; i < N; i++)
        launch(r, i % 2 ? TGI_PLAIN_LANES : 0, &none, 1);
    uint8_t *after = reach(&r->program);
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t k = 0; k < i; k++)
            if (r->program.commands[i].lane == r->program.commands[k].lane)
                assert_true(after[i * N + k]);
    uint32_t n_first = 0, used = 0;
    for (uint32_t i = 0; i < N; i++) {
        uint32_t lane = r->program.commands[i].lane;
        assert_int_equal(lane >= TGI_PLAIN_LANES, i % 2); /* urgent ones in lanes that the device prefers */
        n_first += r->program.commands[i].n_deps == 0;
        used |= 1u << lane;
    }
    assert_int_equal(used, (1u << TGI_COMPUTE_LANES) - 1); /* and all lanes are used, from the start */
    assert_int_equal(n_first, TGI_COMPUTE_LANES);
    free(after);
    end(r);
}

/* A body is a program of its own, in which nothing of outside is waited for; who decides comes after whoever shares what
 * the body shares, and before the next. */
static void a_body_stands_for_itself(void **state)
{
    struct recording *r = begin();
    struct tgi_waits waits = {.n = 0}, none = {.n = 0};
    struct tgi_command c = {.decide = {.tile = 64, .tile_bytes = 4}};
    (void)state;
    struct tgi_stamp outside = launch(r, 0, &none, 0);
    for (uint32_t i = 0; i < TGI_COMPUTE_LANES; i++)
        launch(r, 0, &none, 1);
    assert_int_equal(tgi_recorder_begin_body(r->recorder, NULL), 0);
    tgi_waits_add(r->order, &waits, outside);
    struct tgi_stamp inside = launch(r, 0, &waits, 1);
    tgi_waits_add(r->order, &waits, outside);
    tgi_waits_add(r->order, &waits, inside);
    launch(r, 1, &waits, 0);
    assert_int_equal(tgi_recorder_begin_body(r->recorder, NULL), 0);
    launch(r, 0, &none, 0);
    struct tgi_command inner = {.decide = {.n_rounds = 3}};
    tgi_recorder_end_body(r->recorder, &inner.decide.body);
    assert_int_equal(tgi_recorder_decide(r->recorder, 0, &inner, NULL), 0);
    tgi_order_append(r->order, 0);
    tgi_recorder_end_body(r->recorder, &c.decide.body);
    assert_int_equal(tgi_recorder_decide(r->recorder, 0, &c, NULL), 0);
    tgi_order_append(r->order, 0);
    for (uint32_t i = 0; i < TGI_COMPUTE_LANES; i++)
        launch(r, 0, &none, 1);

    const struct tgi_command *decision = &r->program.commands[1 + TGI_COMPUTE_LANES];
    const struct tgi_program *body = decision->decide.body;
    assert_int_equal(decision->kind, TGI_COMMAND_DECIDE);
    assert_int_equal(body->n, 3);
    assert_int_equal(body->commands[0].n_deps, 0);
    assert_int_equal(body->commands[1].n_deps, 1);
    assert_int_equal(body->commands[2].decide.body->n, 1);
    assert_int_equal(tgi_program_size(&r->program), 1 + TGI_COMPUTE_LANES + 1 + 4 + TGI_COMPUTE_LANES);
    assert_int_equal(decision->n_deps, 1);
    uint32_t shared = r->program.deps[decision->first_dep];
    assert_int_equal(r->program.commands[shared].lane, body->commands[0].lane);
    uint8_t *after = reach(&r->program);
    for (uint32_t i = 2 + TGI_COMPUTE_LANES; i < r->program.n; i++)
        if (r->program.commands[i].lane == body->commands[0].lane)
            assert_true(after[i * r->program.n + 1 + TGI_COMPUTE_LANES]);
    free(after);

    struct tgi_program narrow = {0};
    assert_int_equal(tgi_program_narrow(&r->program, 2, &narrow, NULL), 0);
    assert_true(tgi_program_is_alike(&narrow, &narrow));
    assert_true(tgi_program_is_alike(body, narrow.commands[1 + TGI_COMPUTE_LANES].decide.body));
    assert_ptr_not_equal(body, narrow.commands[1 + TGI_COMPUTE_LANES].decide.body);
    tgi_program_fini(&narrow);
    end(r);
}

static void a_body_copies_nothing_between_memories(void **state)
{
    struct recording *r = begin();
    struct tgi_devices *ds = tgi_recorder_devices(r->recorder);
    struct tgi_transfer in = {.to_node = 1, .bytes = 8}, within = {.to_node = 1, .from_node = 1, .bytes = 8};
    struct tgi_program *body;
    struct tg_error err;
    (void)state;
    assert_int_equal(ds->ops->copy(ds, 0, &in, &err), 0);
    assert_int_equal(tgi_recorder_begin_body(r->recorder, NULL), 0);
    assert_int_equal(ds->ops->copy(ds, 0, &in, &err), TG_E_UNSUPPORTED);
    assert_int_equal(ds->ops->copy(ds, 0, &within, &err), 0);
    tgi_recorder_end_body(r->recorder, &body);
    assert_int_equal(body->n, 1);
    tgi_program_destroy(body);
    end(r);
}

static void nothing_recorded_can_be_waited_for(void **state)
{
    struct recording *r = begin();
    struct tgi_waits none = {.n = 0};
    struct tg_error err;
    (void)state;
    struct tgi_stamp stamp = launch(r, 0, &none, 0);
    assert_false(tgi_order_is_done(r->order, stamp));
    assert_false(tgi_order_knows(r->order, 0, stamp));
    assert_int_equal(tgi_order_synchronize(r->order, stamp, &err), TG_E_STATE);
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_imply_is_left_out),
        cmocka_unit_test(narrowing_keeps_the_order),
        cmocka_unit_test(what_is_narrow_stays_as_it_is),
        cmocka_unit_test(a_lane_has_no_order_of_its_own),
        cmocka_unit_test(copies_from_the_host_that_wait_for_nothing_keep_their_order),
        cmocka_unit_test(stamps_of_one_lane_are_all_waited_for),
        cmocka_unit_test(what_comes_after_a_barrier_comes_after_one_point),
        cmocka_unit_test(launches_that_share_something_follow_each_other),
        cmocka_unit_test(a_body_stands_for_itself),
        cmocka_unit_test(a_body_copies_nothing_between_memories),
        cmocka_unit_test(nothing_recorded_can_be_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
