/* How far lanes have come, by events of devices that say so: what is done is seen, what is not is not, and few events are asked for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdlib.h>

#include "graph/error.h"
#include "mem/order.h"
#include "tests/random_graph.h"

enum { N_LANES = TGI_LANES_EACH };

struct tgi_event {
    uint32_t lane;
    uint64_t at; /* commands before it in its lane */
};

static struct {
    uint64_t n_given[N_LANES], n_done[N_LANES]; /* commands */
    uint32_t n_queries;
    bool fails;
} fake;

static int event_create(struct tgi_devices *ds, uint32_t device, bool is_timed, struct tgi_event **event_p, struct tg_error *err)
{
    (void)ds, (void)device, (void)is_timed, (void)err;
    *event_p = calloc(1, sizeof **event_p);
    assert_non_null(*event_p);
    return 0;
}
static void event_destroy(struct tgi_devices *ds, struct tgi_event *event)
{
    (void)ds;
    free(event);
}
static int record(struct tgi_devices *ds, uint32_t lane, struct tgi_event *event, struct tg_error *err)
{
    (void)ds, (void)err;
    *event = (struct tgi_event){lane, fake.n_given[lane]};
    return 0;
}
static int query(struct tgi_devices *ds, struct tgi_event *event, struct tg_error *err)
{
    (void)ds;
    fake.n_queries++;
    return fake.fails ? tgi_error(err, TG_E_DRIVER, "told to") : event->at <= fake.n_done[event->lane];
}
static int attach(struct tgi_devices *ds, struct tg_error *err)
{
    (void)ds, (void)err;
    return 0;
}
static void detach(struct tgi_devices *ds) { (void)ds; }

static const struct tgi_device_ops ops = {.size = sizeof ops, .kind = "fake", .event_create = event_create, .event_destroy = event_destroy,
                                          .record = record, .query = query, .attach = attach, .detach = detach};

static struct tgi_order *create(struct tgi_devices *ds)
{
    struct tgi_order *o;
    struct tg_error err;
    *ds = (struct tgi_devices){.ops = &ops, .n_devices = 1, .n_lanes = N_LANES};
    memset(&fake, 0, sizeof fake);
    MUST(tgi_order_create(ds, &o, &err));
    return o;
}

static void give(struct tgi_order *o, uint32_t lane)
{
    fake.n_given[lane]++;
    tgi_order_append(o, lane);
}

static uint32_t polls(struct tgi_order *o, uint32_t lane)
{
    struct tg_error err;
    fake.n_queries = 0;
    MUST(tgi_order_poll(o, lane, &err));
    return fake.n_queries;
}

static void finish(struct tgi_order *o)
{
    for (uint32_t lane = 0; lane < N_LANES; lane++)
        tgi_order_drained(o, lane);
    tgi_order_destroy(o);
}

/* Against a list of where events are. */
static void what_is_done_is_seen(void **state)
{
    uint64_t first = test_seed(1), n = ROUNDS(300);
    (void)state;
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct dice d = {mix64(seed)};
        struct tgi_devices ds;
        struct tgi_order *o = create(&ds);
        struct tg_error err;
        uint8_t is_marked[N_LANES][600] = {{0}};
        uint64_t seen[N_LANES] = {0};
        for (int step = 0; step < 500; step++) {
            uint32_t lane = roll(&d, 3);
            switch (roll(&d, 4)) {
            case 0:
                give(o, lane);
                break;
            case 1:
                MUST(tgi_order_seal(o, lane, &err));
                is_marked[lane][fake.n_given[lane]] = 1;
                break;
            case 2:
                fake.n_done[lane] += roll(&d, (uint32_t)(fake.n_given[lane] - fake.n_done[lane]) + 1);
                break;
            default:
                polls(o, lane);
                for (uint64_t at = seen[lane] + 1; at <= fake.n_done[lane]; at++)
                    if (is_marked[lane][at])
                        seen[lane] = at;
            }
            for (uint64_t at = 1; at <= fake.n_given[lane]; at++)
                assert_int_equal(tgi_order_is_done(o, (struct tgi_stamp){lane, at}), at <= seen[lane]);
            assert_int_equal(tgi_order_n_pending(o, lane), fake.n_given[lane] - seen[lane]);
        }
        finish(o);
    }
}

static void few_events_are_asked(void **state)
{
    struct tgi_devices ds;
    struct tgi_order *o = create(&ds);
    struct tg_error err;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        give(o, 0);
        MUST(tgi_order_seal(o, 0, &err));
    }
    assert_int_equal(polls(o, 0), 1); /* the oldest is not done */
    fake.n_done[0] = 700;
    assert_true(polls(o, 0) <= 12);
    assert_true(tgi_order_is_done(o, (struct tgi_stamp){0, 700}) && !tgi_order_is_done(o, (struct tgi_stamp){0, 701}));
    fake.n_done[0] = 1000;
    assert_true(polls(o, 0) <= 11);
    assert_int_equal(tgi_order_n_pending(o, 0), 0);
    assert_int_equal(polls(o, 0), 0);
    finish(o);
}

static void a_device_that_cannot_be_asked_is_told(void **state)
{
    struct tgi_devices ds;
    struct tgi_order *o = create(&ds);
    struct tg_error err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        give(o, 1);
        MUST(tgi_order_seal(o, 1, &err));
    }
    fake.n_done[1] = 2;
    fake.fails = true;
    assert_int_equal(tgi_order_poll(o, 1, &err), TG_E_DRIVER);
    assert_string_equal(err.text, "told to");
    fake.fails = false;
    polls(o, 1);
    assert_int_equal(tgi_order_n_pending(o, 1), 1);
    finish(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_done_is_seen),
        cmocka_unit_test(few_events_are_asked),
        cmocka_unit_test(a_device_that_cannot_be_asked_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
