/* Who submits to devices: the runtime's thread for it, or one that waits for a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "sched/offload.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 120, N_CALLERS = 3 };

static const char tiles[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}}";
#define ROW(r, on) "{'for': 'i in 0:6', 'kernel': 'mix', 'on': '" on "', " \
                   "'args': {'id': '" r "*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}"
static const char on_device[] = ROW("0", "cuda") ", " ROW("1", "cuda") ", " ROW("2", "cuda");
/* Devices have nothing to do while CPUs are at work. */
static const char on_both[] = ROW("0", "cuda") ", " ROW("1", "cpu") ", " ROW("2", "cuda");

static void await_sleep(const struct tg_runtime *rt)
{
    while (!tgi_offload_sit_down(rt->offload))
        sched_yield();
    tgi_offload_stand_up(rt->offload);
}

static void note_thread(void *user, struct tg_run *run, int status)
{
    (void)run, (void)status;
    *(pthread_t *)user = pthread_self();
}

static void the_caller_of_execute_submits_if_nobody_else_does(void **state)
{
    (void)state;
    pthread_t who;
    struct tg_error err;
    struct tg_run *run;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_graph *g = device_graph(tiles, "", on_device);
    device_reset(2, 1, false);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.keep_data = true; /* else CPUs prepare the next start, and may be seen to be at it */
    options.on_done = note_thread;
    options.user = &who;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    for (uint32_t i = 0; i < ROUNDS(200); i++) {
        await_sleep(rt);
        MUST(tg_run_execute(run, &err));
        assert_true(pthread_equal(who, pthread_self()));
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
}

static void what_is_left_when_the_caller_leaves_is_finished_by_the_thread(void **state)
{
    (void)state;
    struct tg_error err;
    struct tg_run *first, *second;
    struct tg_graph *g = device_graph(tiles, "", on_device);
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    for (uint32_t i = 0; i < ROUNDS(100); i++) {
        device_reset(2, i + 1, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        MUST(tg_run_create(rt, g, NULL, &first, &err));
        MUST(tg_run_create(rt, g, NULL, &second, &err));
        await_sleep(rt);
        MUST(tg_run_start(first, &err));
        MUST(tg_run_execute(second, &err));
        while (!tg_run_poll(first)) /* nobody waits for it */
            sched_yield();
        MUST(tg_run_wait(first, &err));
        assert_true(device_read(first, g, have));
        assert_memory_equal(have, expected, device_words(g) * sizeof *have);
        tg_run_destroy(first);
        tg_run_destroy(second);
        tg_runtime_destroy(rt);
    }
    tg_graph_destroy(g);
    free(expected);
    free(have);
}

struct caller {
    struct tg_runtime *rt;
    struct tg_graph *graph;
    const uint64_t *expected;
    uint32_t n_rounds;
};

static void *call(void *arg)
{
    const struct caller *c = arg;
    struct tg_error err;
    struct tg_run *run;
    uint64_t *have = calloc(device_words(c->graph) + 1, sizeof *have);
    const char *bad = NULL;
    if (tg_run_create(c->rt, c->graph, NULL, &run, &err))
        return strdup(err.text);
    for (uint32_t i = 0; !bad && i < c->n_rounds; i++) {
        if (i % 2 ? tg_run_execute(run, &err) : tg_run_start(run, &err) || tg_run_wait(run, &err))
            bad = err.text;
        else if (!device_read(run, c->graph, have) || memcmp(have, c->expected, device_words(c->graph) * sizeof *have))
            bad = "results differ";
    }
    tg_run_destroy(run);
    free(have);
    return bad ? strdup(bad) : NULL;
}

static void callers_at_once_take_turns(void **state)
{
    (void)state;
    struct tg_graph *graphs[] = {device_graph(tiles, "", on_device), device_graph(tiles, "", on_both)};
    uint64_t *expected = device_expected(graphs[0], false, 1);
    alarm(LIMIT_S);
    for (uint32_t i = 0; i < ROUNDS(40); i++) {
        pthread_t threads[N_CALLERS];
        struct caller callers[N_CALLERS];
        device_reset(2, i + 1, i % 2);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        for (int k = 0; k < N_CALLERS; k++) {
            callers[k] = (struct caller){rt, graphs[k % 2], expected, 10};
            assert_int_equal(pthread_create(&threads[k], NULL, call, &callers[k]), 0);
        }
        for (int k = 0; k < N_CALLERS; k++) {
            void *bad;
            pthread_join(threads[k], &bad);
            if (bad)
                fail_msg("round %u, caller %d: %s", i, k, (char *)bad);
        }
        tg_runtime_destroy(rt);
    }
    alarm(0);
    tg_graph_destroy(graphs[0]);
    tg_graph_destroy(graphs[1]);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_caller_of_execute_submits_if_nobody_else_does),
        cmocka_unit_test(what_is_left_when_the_caller_leaves_is_finished_by_the_thread),
        cmocka_unit_test(callers_at_once_take_turns),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
