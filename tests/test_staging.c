/* Copies of memory that is not pinned: against a device that does nothing until it is waited for, so that a buffer that is
 * used too early is noticed, and in whole runs on the stand-in driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "mem/staging.h"
#include "sched/offload.h"
#include "tests/device_graph.h"
#include "tests/must.h"

static struct tg_error err;

/* ---- A device that puts everything off ----------------------------------------------------*/

enum { MOST_COPIES = 64 };

struct tgi_event {
    uint32_t seq;
};

static struct {
    struct tgi_devices base;
    struct tgi_transfer copies[MOST_COPIES];
    uint32_t n, n_done;
    uint32_t fail_copy, fail_record; /* the nth of them, from 1; 0: none */
    uint32_t n_copies, n_records;
    int n_blocks, n_events;
} lazy;

static int lazy_attach(struct tgi_devices *ds, struct tg_error *e) { return (void)ds, (void)e, 0; }
static void lazy_detach(struct tgi_devices *ds) { (void)ds; }

static int lazy_host_alloc(struct tgi_devices *ds, size_t bytes, void **ptr_p, struct tg_error *e)
{
    (void)ds, (void)e;
    *ptr_p = malloc(bytes);
    lazy.n_blocks++;
    return 0;
}

static void lazy_host_free(struct tgi_devices *ds, void *ptr)
{
    (void)ds;
    lazy.n_blocks -= ptr != NULL;
    free(ptr);
}

static int lazy_event_create(struct tgi_devices *ds, uint32_t device, bool is_timed, struct tgi_event **event_p, struct tg_error *e)
{
    (void)ds, (void)device, (void)is_timed, (void)e;
    *event_p = calloc(1, sizeof **event_p);
    lazy.n_events++;
    return 0;
}

static void lazy_event_destroy(struct tgi_devices *ds, struct tgi_event *event)
{
    (void)ds;
    lazy.n_events--;
    free(event);
}

static void do_until(uint32_t seq)
{
    for (; lazy.n_done < seq; lazy.n_done++) {
        const struct tgi_transfer *t = &lazy.copies[lazy.n_done];
        memcpy((void *)(uintptr_t)t->to, (const void *)(uintptr_t)t->from, t->bytes);
    }
}

static int lazy_copy(struct tgi_devices *ds, uint32_t lane, const struct tgi_transfer *t, struct tg_error *e)
{
    (void)ds, (void)lane;
    if (++lazy.n_copies == lazy.fail_copy)
        return tgi_error(e, TG_E_DRIVER, "copy %u", lazy.n_copies);
    assert_true(lazy.n < MOST_COPIES);
    lazy.copies[lazy.n++] = *t;
    return 0;
}

static int lazy_record(struct tgi_devices *ds, uint32_t lane, struct tgi_event *event, struct tg_error *e)
{
    (void)ds, (void)lane;
    if (++lazy.n_records == lazy.fail_record)
        return tgi_error(e, TG_E_DRIVER, "record %u", lazy.n_records);
    event->seq = lazy.n;
    return 0;
}

static int lazy_synchronize(struct tgi_devices *ds, struct tgi_event *event, struct tg_error *e)
{
    (void)ds, (void)e;
    do_until(event->seq);
    return 0;
}

static int lazy_drain(struct tgi_devices *ds, uint32_t device, struct tg_error *e)
{
    (void)ds, (void)device, (void)e;
    do_until(lazy.n);
    return 0;
}

static const struct tgi_device_ops lazy_ops = {
    .size = sizeof lazy_ops, .kind = "lazy", .attach = lazy_attach, .detach = lazy_detach, .host_alloc = lazy_host_alloc,
    .host_free = lazy_host_free, .event_create = lazy_event_create, .event_destroy = lazy_event_destroy, .copy = lazy_copy,
    .record = lazy_record, .synchronize = lazy_synchronize, .drain = lazy_drain};

static void reset(void)
{
    memset(&lazy, 0, sizeof lazy);
    lazy.base.ops = &lazy_ops;
    lazy.base.n_devices = 1;
    lazy.base.n_lanes = TGI_LANES_EACH;
}

enum { MOST_BYTES = 22 << 20 };
static unsigned char *host, *device;

static void fill(unsigned char *memory, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t word = (i + seed) * 0x9e3779b97f4a7c15u;
        memcpy(memory + i, &word, bytes - i < sizeof word ? bytes - i : sizeof word);
    }
}

static int copy(struct tgi_staging *s, bool is_in, size_t bytes)
{
    uint64_t here = (uint64_t)(uintptr_t)host, there = (uint64_t)(uintptr_t)device;
    struct tgi_transfer t = is_in ? (struct tgi_transfer){1, 0, there, here, bytes} : (struct tgi_transfer){0, 1, here, there, bytes};
    return tgi_staging_copy(s, is_in ? TGI_LANE_IN : TGI_LANE_OUT, &t, &err);
}

static const size_t sizes[] = {1, 4095, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 13 << 20, 22 << 20};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void what_is_read_may_change_at_once_and_arrives_as_it_was(void **state)
{
    (void)state;
    for (uint32_t helpers = 0; helpers <= 3; helpers += 3) {
        struct tgi_staging *s;
        reset();
        MUST(tgi_staging_create(&lazy.base, helpers, &s, &err));
        for (uint32_t i = 0; i < N_SIZES; i++) {
            size_t n = sizes[i];
            unsigned char *expected = malloc(n);
            fill(host, n, i);
            memcpy(expected, host, n);
            memset(device, 0xee, n);
            MUST(copy(s, true, n));
            memset(host, 0xdd, n);
            do_until(lazy.n);
            assert_memory_equal(device, expected, n);
            free(expected);
        }
        tgi_staging_destroy(s);
        assert_int_equal(lazy.n_blocks + lazy.n_events, 0);
    }
}

static void what_goes_to_the_host_is_there_at_once(void **state)
{
    (void)state;
    for (uint32_t helpers = 0; helpers <= 3; helpers += 3) {
        struct tgi_staging *s;
        uint64_t total = 0;
        reset();
        MUST(tgi_staging_create(&lazy.base, helpers, &s, &err));
        for (uint32_t i = 0; i < N_SIZES; i++) {
            fill(device, sizes[i], 100 + i);
            memset(host, 0, sizes[i]);
            MUST(copy(s, false, sizes[i]));
            assert_memory_equal(host, device, sizes[i]);
            total += sizes[i];
        }
        assert_int_equal(tgi_staging_bytes(s), total);
        tgi_staging_destroy(s);
        assert_int_equal(lazy.n_blocks + lazy.n_events, 0);
    }
}

static void after_an_error_nothing_is_left_in_the_lane(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++)
        for (uint32_t nth = 1; nth <= 6; nth++) {
            struct tgi_staging *s;
            reset();
            *(k < 2 ? &lazy.fail_copy : &lazy.fail_record) = nth;
            MUST(tgi_staging_create(&lazy.base, 0, &s, &err));
            assert_int_equal(copy(s, k % 2, MOST_BYTES), TG_E_DRIVER);
            assert_int_equal(lazy.n_done, lazy.n);
            lazy.fail_copy = lazy.fail_record = 0;
            lazy.n = lazy.n_done = 0;
            fill(device, 13 << 20, nth);
            MUST(copy(s, false, 13 << 20)); /* it can be used again */
            assert_memory_equal(host, device, 13 << 20);
            tgi_staging_destroy(s);
            assert_int_equal(lazy.n_blocks + lazy.n_events, 0);
        }
}

/* ---- Runs ---------------------------------------------------------------------------------*/

enum { TILE_WORDS = 90000, N_TILES = 3 }; /* 720 kB */

/* x of the program's memory, on the device and back; the bytes that were staged. */
static uint64_t run_with(void *memory, const uint64_t *expected, uint64_t seed)
{
    const struct standin_options o = {1, 64 << 20, seed, false};
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    standin.standin_reset(&o);
    struct tg_graph *g = device_graph("'x': {'dtype': 'u64', 'shape': [90000], 'tiles': [3]}", "",
                                      "{'for': ['i in 0:3'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 90000, 'out': 'x[i]'}}");
    ro.n_workers = 1;
    ro.devices = "cuda";
    MUST(tg_runtime_create(&ro, &rt, &err));
    MUST(tg_run_create(rt, g, NULL, &run, &err));
    MUST(tg_run_bind(run, 0, memory, &err));
    for (int i = 0; i < 2; i++) {
        for (uint32_t w = 0; w < N_TILES * TILE_WORDS; w++)
            ((uint64_t *)memory)[w] = w;
        MUST(tg_run_execute(run, &err));
        if (expected)
            assert_memory_equal(memory, expected, N_TILES * TILE_WORDS * sizeof *expected);
    }
    uint64_t n_bytes = tgi_staging_bytes(rt->offload->staging);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    char text[1024];
    assert_int_equal(standin.standin_violations(text, sizeof text), 0);
    assert_int_equal(standin.standin_leaks(text, sizeof text), 0);
    return n_bytes;
}

static void a_run_stages_what_is_not_pinned_and_that_alone(void **state)
{
    (void)state;
    size_t bytes = N_TILES * TILE_WORDS * sizeof(uint64_t);
    uint64_t *memory = malloc(bytes), *expected = malloc(bytes);
    assert_int_equal(run_with(memory, NULL, 1), 2 * 2 * bytes); /* two runs, to the device and back */
    memcpy(expected, memory, bytes);
    for (uint64_t seed = 2; seed < 6; seed++)
        assert_int_equal(run_with(memory, expected, seed), 2 * 2 * bytes);
    free(memory);
    free(expected);
}

static int set_up(void **state)
{
    host = malloc(MOST_BYTES);
    device = malloc(MOST_BYTES);
    return host && device ? device_group_load(state) : -1;
}

static int tear_down(void **state)
{
    free(host);
    free(device);
    return device_group_unload(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_may_change_at_once_and_arrives_as_it_was),
        cmocka_unit_test(what_goes_to_the_host_is_there_at_once),
        cmocka_unit_test(after_an_error_nothing_is_left_in_the_lane),
        cmocka_unit_test(a_run_stages_what_is_not_pinned_and_that_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
