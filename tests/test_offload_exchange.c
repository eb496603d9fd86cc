/* Collectives that need memory beside their tiles: exchanges between all ranks (alltoall), by the stand-in for NCCL. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 60, TILE_BYTES = 256 };

/* Tiles of 32 words, one at home on each device, that are exchanged `n_rounds` times between other tasks. */
static struct tg_graph *exchanges(int n_devices, int n_rounds)
{
    char buffers[256], tasks[600];
    snprintf(buffers, sizeof buffers,
             "'A': {'dtype': 'u64', 'shape': [%d], 'tiles': [%d], 'init': {'iota': true}, 'home': 'cyclic:{i}'}, "
             "'B': {'dtype': 'u64', 'shape': [%d], 'tiles': [%d], 'init': {'iota': true}, 'home': 'cyclic:{i}'}",
             32, n_devices, 32, n_devices);
    snprintf(tasks, sizeof tasks,
             "{'for': ['r in 0:%d'], 'do': [{'for': ['i in 0:%d'], 'kernel': 'mix', 'args': {'id': 'r*16+i', 'n': 32, 'out': 'A[i]', "
             "'in0': 'B[i]'}}, {'id': 'there[{r}]', 'collective': 'alltoall', 'buffers': 'A[*]'}, {'for': ['i in 0:%d'], 'kernel': 'mix', "
             "'args': {'id': 'r*16+8+i', 'n': 32, 'out': 'B[i]', 'in0': 'A[i]'}}, {'collective': 'alltoall', 'buffers': 'B[*]'}]}",
             n_rounds, n_devices, n_devices);
    return device_graph(buffers, "", tasks);
}

static void expect_nothing_left(uint64_t seed)
{
    char text[4096];
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seed %d, seen: %s", (int)seed, text);
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("seed %d, left over: %s", (int)seed, text);
}

/* With room for all tiles, and for a tile and a copy of it only, so that each exchange sends others away. */
static void exchanges_by_devices_are_those_of_the_host(void **state)
{
    (void)state;
    for (uint64_t first = test_seed(1), seed = first; seed < first + ROUNDS(60); seed++) {
        struct dice d = {mix64(seed)};
        int n_devices = 2 << roll(&d, 2), n_rounds = 1 + (int)roll(&d, 3);
        struct tg_graph *g = exchanges(n_devices, n_rounds);
        uint64_t *expected = device_expected(g, false, 1), *have = calloc(device_words(g) + 1, sizeof *have);
        struct tg_run *run;
        struct tg_error err;
        alarm(LIMIT_S);
        device_reset(n_devices, seed, roll(&d, 3) != 0);
        struct tg_runtime *rt = device_runtime("cuda", roll(&d, 2) ? 0 : 2 * TILE_BYTES);
        MUST(tg_run_create(rt, g, NULL, &run, &err));
        for (int start = 1; start <= 2; start++) {
            uint64_t before = nccl.standin_nccl_operations();
            MUST(tg_run_execute(run, &err));
            assert_true(device_read(run, g, have));
            if (memcmp(have, expected, device_words(g) * sizeof *have))
                fail_msg("TGRAPH_TEST_SEED=%d: wrong results", (int)seed);
            /* every rank sends to every other one */
            assert_int_equal(nccl.standin_nccl_operations() - before, n_rounds * 2 * n_devices * (n_devices - 1));
        }
        tg_run_destroy(run);
        tg_runtime_destroy(rt);
        expect_nothing_left(seed);
        alarm(0);
        tg_graph_destroy(g);
        free(expected);
        free(have);
    }
}

static void an_exchange_whose_copies_do_not_fit_is_refused_before_it_runs(void **state)
{
    struct tg_run *run;
    struct tg_error err;
    (void)state;
    struct tg_graph *g = device_graph("'A': {'dtype': 'u64', 'shape': [32], 'tiles': [2], 'init': {'iota': true}, 'home': 'cyclic:{i}'}", "",
                                      "{'id': 'there', 'collective': 'alltoall', 'buffers': 'A[*]'}");
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 2 * TILE_BYTES - 1);
    assert_int_equal(tg_run_create(rt, g, NULL, &run, &err), TG_E_CAPACITY);
    assert_string_equal(err.task, "there");
    assert_non_null(strstr(err.text, "(alltoall) needs 512 bytes at once on cuda:0, where 511 can be used"));
    tg_runtime_destroy(rt);
    expect_nothing_left(1);
    tg_graph_destroy(g);
}

/* The copies' memory is somebody else's between two replays. */
static void a_run_with_an_exchange_is_no_graph(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    const char *why;
    (void)state;
    struct tg_graph *g = exchanges(2, 1);
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.executor = TG_EXECUTOR_GRAPH;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    MUST(tg_run_execute(run, &err));
    assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
    assert_non_null(why);
    assert_non_null(strstr(why, "task \"there[0]\": this collective needs memory beside its tiles"));
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    expect_nothing_left(1);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_by_devices_are_those_of_the_host),
        cmocka_unit_test(an_exchange_whose_copies_do_not_fit_is_refused_before_it_runs),
        cmocka_unit_test(a_run_with_an_exchange_is_no_graph),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
