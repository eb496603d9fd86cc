/* Which device takes over what: graphs whose tasks are all placed on one of two devices of the stand-in driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/offload.h"
#include "tests/device_graph.h"
#include "tests/must.h"

enum { N_TASKS = 400 };

static struct tg_error err;

struct outcome {
    uint64_t n_tasks[2], n_stolen;
    bool is_equal;
};

/* A hash task per tile, all at home on cuda:0. */
static struct outcome execute(const char *task_keys, int64_t tile_elems, uint64_t seed)
{
    char buffers[256], tasks[512];
    struct outcome outcome;
    device_reset(2, seed, true);
    snprintf(buffers, sizeof buffers, "'x': {'dtype': 'u64', 'shape': [%lld], 'tiles': [%d], 'init': {'iota': true}, 'home': 'cuda:0'}",
             (long long)tile_elems, N_TASKS);
    snprintf(tasks, sizeof tasks, "{'for': ['i in 0:%d'], 'kernel': 'mix', 'args': {'id': 'i', 'n': %lld, 'out': 'x[i]'}%s}",
             N_TASKS, (long long)tile_elems, task_keys);
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    ro.n_workers = 1;
    ro.devices = "cuda";
    MUST(tg_runtime_create(&ro, &rt, &err));
    MUST(tg_run_create(rt, g, NULL, &run, &err));
    MUST(tg_run_execute(run, &err));
    outcome.n_tasks[0] = run->offload->n_device_tasks[0];
    outcome.n_tasks[1] = run->offload->n_device_tasks[1];
    outcome.n_stolen = run->offload->n_stolen;
    outcome.is_equal = device_read(run, g, have) && memcmp(have, expected, device_words(g) * sizeof *have) == 0;
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    free(expected);
    free(have);
    return outcome;
}

/* Whether there is anything to take is a matter of time: a busy machine may hold single attempts up, never all. */
static void an_idle_device_takes_what_waits_for_another(void **state)
{
    (void)state;
    uint64_t n_stolen = 0;
    for (uint64_t seed = 1; seed <= 5 || (n_stolen == 0 && seed <= 60); seed++) {
        struct outcome o = execute("", 8, seed);
        assert_true(o.is_equal);
        assert_int_equal(o.n_tasks[0] + o.n_tasks[1], N_TASKS);
        assert_int_equal(o.n_tasks[1], o.n_stolen);
        n_stolen += o.n_stolen;
    }
    assert_true(n_stolen > 0);
}

static void a_task_that_may_run_on_one_device_only_stays_there(void **state)
{
    (void)state;
    struct outcome o = execute(", 'on': 'cuda:0'", 8, 6);
    assert_true(o.is_equal);
    assert_int_equal(o.n_tasks[0], N_TASKS);
    assert_int_equal(o.n_stolen, 0);
    o = execute(", 'prefer': 'cuda:0'", 8, 7);
    assert_true(o.is_equal);
    assert_int_equal(o.n_stolen, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_device_takes_what_waits_for_another),
        cmocka_unit_test(a_task_that_may_run_on_one_device_only_stays_there),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
