/* No wake-up is lost: tiny graphs, started from outside, over and over, until a worker that sleeps
 * through one would hang the test.  An alarm ends a hang. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "sched/parking.h"
#include "tests/run_graph.h"

enum { N_STARTS = ROUNDS(20000) };

/* n_roots roots, and a sink after all of them. */
static struct tg_graph *tiny_graph(uint32_t n_roots)
{
    struct tg_graph *g;
    struct tg_param param = {"x", TG_I64, TG_SCALAR, TG_SUM};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    struct tg_arg arg = tg_arg_int(0);
    struct tg_task_spec t = TG_TASK_SPEC_INIT, barrier = TG_TASK_SPEC_INIT;
    MUST(tg_graph_create("tiny", &g, &err));
    k.name = "nothing";
    k.n_params = 1;
    k.params = &param;
    k.cpu = nothing;
    MUST(tg_graph_add_kernel(g, &k, &t.kernel, &err));
    t.n_args = 1;
    t.args = &arg;
    for (uint32_t i = 0; i < n_roots; i++)
        MUST(tg_graph_add_task(g, &t, NULL, &err));
    barrier.kind = TG_TASK_BARRIER;
    MUST(tg_graph_add_task(g, &barrier, NULL, &err));
    MUST(tg_graph_freeze(g, &err));
    return g;
}

enum way { WAY_POLL, WAY_WAIT, WAY_EXECUTE, WAY_MIXED };

static void pause_for(struct dice *d)
{
    /* Starts fall into every phase of a worker that is about to sleep: some tens of microseconds. */
    for (volatile uint32_t n = roll(d, 8) ? roll(d, 50) : roll(d, 60000); n > 0; n--)
        ;
}

static void ping_pong(struct tg_runtime *rt, struct tg_graph *g, enum way way, uint32_t n_starts,
                      uint64_t seed)
{
    struct tg_run *run;
    struct dice d = {mix64(seed)};
    MUST(tg_run_create(rt, g, NULL, &run, &err));
    for (uint32_t i = 0; i < n_starts; i++) {
        enum way how = way == WAY_MIXED ? (enum way)roll(&d, 3) : way;
        pause_for(&d);
        if (how == WAY_EXECUTE) {
            MUST(tg_run_execute(run, &err));
            continue;
        }
        MUST(tg_run_start(run, &err));
        while (how == WAY_POLL && !tg_run_poll(run))
            ; /* nobody helps: a worker has to wake */
        pause_for(&d);
        MUST(tg_run_wait(run, &err));
    }
    tg_run_destroy(run);
}

static void every_start_wakes_a_worker(void **state)
{
    (void)state;
    uint64_t seed = test_seed(1);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++)
        for (uint32_t n_roots = 1; n_roots <= 3; n_roots += 2) {
            struct tg_runtime *rt = runtime_of(n_workers);
            struct tg_graph *g = tiny_graph(n_roots);
            ping_pong(rt, g, WAY_POLL, N_STARTS / 4, seed);
            ping_pong(rt, g, WAY_WAIT, N_STARTS, seed + 1);
            ping_pong(rt, g, WAY_EXECUTE, N_STARTS, seed + 2);
            ping_pong(rt, g, WAY_MIXED, N_STARTS / 4, seed + 3);
            tg_graph_destroy(g);
            tg_runtime_destroy(rt);
        }
}

struct player {
    struct tg_runtime *rt;
    struct tg_graph *g;
    uint64_t seed;
};

static void *player_main(void *arg)
{
    struct player *p = arg;
    ping_pong(p->rt, p->g, WAY_MIXED, N_STARTS / 8, p->seed);
    return NULL;
}

static void threads_that_take_and_leave_seats_lose_no_wake_up(void **state)
{
    (void)state;
    uint64_t seed = test_seed(2);
    for (uint32_t n_workers = 1; n_workers <= 4; n_workers++) {
        struct tg_runtime *rt = runtime_of(n_workers);
        struct tg_graph *g = tiny_graph(4);
        struct player players[3];
        pthread_t threads[3];
        for (uint32_t i = 0; i < 3; i++) {
            players[i] = (struct player){rt, g, seed + i};
            pthread_create(&threads[i], NULL, player_main, &players[i]);
        }
        for (uint32_t i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        tg_graph_destroy(g);
        tg_runtime_destroy(rt);
    }
}

static void idle_workers_sleep(void **state)
{
    (void)state;
    struct tg_runtime *rt = runtime_of(4);
    struct tg_graph *g = tiny_graph(4);
    ping_pong(rt, g, WAY_WAIT, 10, 1);
    struct timespec before, after;
    usleep(100000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    usleep(200000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    int64_t used_ns = (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec - before.tv_nsec;
    assert_in_range(used_ns, 0, 10000000);
    tg_graph_destroy(g);
    tg_runtime_destroy(rt);
}

/* ---- The seats themselves -----------------------------------------------------------------*/

static void a_claim_succeeds_once_and_the_lowest_comes_first(void **state)
{
    (void)state;
    struct tgi_parking p;
    memset(&p, 0, sizeof p);
    assert_true(tgi_parking_init(&p, 130));
    assert_false(tgi_parking_is_needed(&p));
    assert_int_equal(tgi_parking_claim_any(&p), UINT32_MAX);
    tgi_parking_announce(&p, 129);
    tgi_parking_announce(&p, 64);
    tgi_parking_announce(&p, 63);
    assert_true(tgi_parking_is_needed(&p));
    assert_true(tgi_parking_claim(&p, 64));
    assert_false(tgi_parking_claim(&p, 64));
    assert_int_equal(tgi_parking_claim_any(&p), 63);
    assert_int_equal(tgi_parking_claim_any(&p), 129);
    assert_int_equal(tgi_parking_claim_any(&p), UINT32_MAX);
    assert_false(tgi_parking_is_needed(&p));
    tgi_parking_fini(&p);
}

struct duel {
    struct tgi_parking parking;
    struct tgi_parking_seat seat;
    _Atomic uint64_t n_items; /* published, relaxed: the protocol alone has to make them seen */
    _Atomic uint64_t n_taken;
    uint64_t n_rounds;
};

static void *sleeper_main(void *arg)
{
    struct duel *d = arg;
    for (uint64_t taken = 0; taken < d->n_rounds;) {
        if (atomic_load_explicit(&d->n_items, memory_order_relaxed) > taken) {
            taken++;
            atomic_store_explicit(&d->n_taken, taken, memory_order_release);
            continue;
        }
        tgi_parking_announce(&d->parking, 0);
        if (atomic_load_explicit(&d->n_items, memory_order_relaxed) > taken &&
            tgi_parking_claim(&d->parking, 0))
            continue;
        tgi_parking_sleep(&d->seat);
    }
    return NULL;
}

/* The bare protocol: one item at a time, so that a lost call leaves both sides waiting. */
static void duel(bool has_membarrier)
{
    static struct duel d;
    pthread_t sleeper;
    memset(&d, 0, sizeof d);
    assert_true(tgi_parking_init(&d.parking, 1));
    if (!has_membarrier)
        d.parking.has_membarrier = false;
    d.n_rounds = ROUNDS(100000);
    pthread_create(&sleeper, NULL, sleeper_main, &d);
    struct dice dice = {1};
    for (uint64_t i = 0; i < d.n_rounds; i++) {
        atomic_store_explicit(&d.n_items, i + 1, memory_order_relaxed);
        if (tgi_parking_is_needed(&d.parking) && tgi_parking_claim(&d.parking, 0))
            tgi_parking_call(&d.seat);
        while (atomic_load_explicit(&d.n_taken, memory_order_acquire) != i + 1)
            ;
        for (volatile uint32_t n = roll(&dice, 300); n > 0; n--)
            ;
    }
    pthread_join(sleeper, NULL);
    tgi_parking_fini(&d.parking);
}

static void publisher_and_sleeper_never_miss_each_other(void **state)
{
    (void)state;
    duel(true);
}

static void publisher_and_sleeper_never_miss_each_other_without_membarrier(void **state)
{
    (void)state;
    duel(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_claim_succeeds_once_and_the_lowest_comes_first),
        cmocka_unit_test(publisher_and_sleeper_never_miss_each_other),
        cmocka_unit_test(publisher_and_sleeper_never_miss_each_other_without_membarrier),
        cmocka_unit_test(every_start_wakes_a_worker),
        cmocka_unit_test(threads_that_take_and_leave_seats_lose_no_wake_up),
        cmocka_unit_test(idle_workers_sleep),
    };
    alarm(300);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
