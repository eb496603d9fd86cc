/* Data that is sent to devices ahead of tasks that wait for CPUs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "sched/record.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { LIMIT_S = 60, TILE_BYTES = 256, N_TILES = 6 };

/* ---- A task on a CPU that watches ---------------------------------------------------------*/

static struct {
    bool is_on, fails;
    uint64_t copies, begin; /* into devices and between them: how many to wait for, since when */
    bool have_come;
} hold;

static uint64_t n_copies_in(void)
{
    return standin.standin_calls("cuMemcpyHtoDAsync") + standin.standin_calls("cuMemcpyPeerAsync");
}

/* Called by the graph's kernel. */
__attribute__((visibility("default"))) int test_offload_ahead_hold(void);
int test_offload_ahead_hold(void)
{
    for (int i = 0; hold.is_on && i < 20000 && n_copies_in() - hold.begin < hold.copies; i++)
        usleep(500);
    hold.have_come = n_copies_in() - hold.begin >= hold.copies;
    return hold.fails;
}

#define HOLD \
    ", 'hold': {'params': [{'name': 's', 'type': 'u64*', 'access': 'inout'}], 'variants': [{'on': 'cpu', 'c': [" \
    "'#include \\\"tgraph.h\\\"', 'int test_offload_ahead_hold(void);', " \
    "'int hold(void **args, const struct tg_context *ctx) {', '  (void)ctx;', '  **(unsigned long long **)args += 1;', " \
    "'  return test_offload_ahead_hold();', '}']}]}"

/* Tasks at home on n_devices that read their own tile, the next one and what the CPU writes.  A[0] was written on a device before that, A[1] by
 * another task on a CPU, the others are what they were. */
static struct tg_graph *make(void)
{
    return device_graph("'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}, "
                        "'S': {'dtype': 'u64', 'shape': [32], 'init': {'iota': true}}",
                        HOLD,
                        "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
                        "{'on': 'cpu', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]'}}, "
                        "{'id': 'hold', 'on': 'cpu', 'kernel': 'hold', 'args': {'s': 'S'}}, "
                        "{'for': ['i in 0:6'], 'on': 'cuda', 'kernel': 'mix', "
                        "'args': {'id': 'i+3', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'S'}}");
}

static struct {
    struct tg_graph *graph;
    struct tg_runtime *rt;
    struct tg_run *run;
    uint64_t *expected, *have;
} at;

static void open_run(int n_devices, uint64_t bytes, uint64_t seed, bool has_peers)
{
    struct tg_error err;
    alarm(LIMIT_S);
    device_reset(n_devices, seed, has_peers);
    at.rt = device_runtime("cuda+cpu:2", bytes);
    MUST(tg_run_create(at.rt, at.graph, NULL, &at.run, &err));
}

static int execute(uint64_t n_wanted, bool fails, struct tgi_run_moved *moved_p)
{
    struct tg_error err;
    hold.is_on = true;
    hold.fails = fails;
    hold.copies = n_wanted;
    hold.begin = n_copies_in();
    int rc = tg_run_execute(at.run, &err);
    hold.is_on = hold.fails = false;
    tgi_run_moved(at.run, moved_p);
    return rc;
}

static void expect_results(uint64_t seed)
{
    assert_true(device_read(at.run, at.graph, at.have));
    if (memcmp(at.have, at.expected, device_words(at.graph) * sizeof *at.have))
        fail_msg("TGRAPH_TEST_SEED=%d: wrong results", (int)seed);
}

static void close_run(uint64_t seed)
{
    char text[4096];
    tg_run_destroy(at.run);
    tg_runtime_destroy(at.rt);
    if (standin.standin_violations(text, sizeof text) || standin.standin_leaks(text, sizeof text))
        fail_msg("seed %d: %s", (int)seed, text);
    alarm(0);
}

/* ---- Facts --------------------------------------------------------------------------------*/

/* One device reads all of A: A[0] is there, as it was written there, A[1] is the other CPU's, and the rest comes before the CPU is done, which
 * waits for that. */
static void what_is_known_comes_while_a_cpu_is_at_work(void **state)
{
    struct tgi_run_moved moved;
    (void)state;
    for (uint64_t first = test_seed(1), seed = first; seed < first + ROUNDS(20); seed++) {
        open_run(1, 0, seed, true);
        for (int start = 0; start < 2; start++) {
            assert_int_equal(execute(N_TILES - 2 + 1, false, &moved), 0); /* and A[0] for its first writer */
            assert_true(hold.have_come);
            assert_int_equal(moved.n_ahead, N_TILES - 2);
            assert_int_equal(moved.ahead_bytes, (N_TILES - 2) * TILE_BYTES);
            assert_int_equal(moved.to_device_bytes, (N_TILES + 1) * TILE_BYTES); /* nothing twice: A and S */
            expect_results(seed);
        }
        close_run(seed);
    }
}

/* Between devices as well, whether or not they reach each other. */
static void several_devices_get_what_their_tasks_read(void **state)
{
    struct tgi_run_moved moved;
    (void)state;
    for (uint64_t first = test_seed(1), seed = first; seed < first + ROUNDS(20); seed++) {
        open_run(2 + (int)(seed % 2), 0, seed, seed % 3 != 0);
        assert_int_equal(execute(N_TILES, false, &moved), 0);
        assert_true(hold.have_come);
        assert_true(moved.n_ahead >= N_TILES - 2);
        expect_results(seed);
        close_run(seed);
    }
}

/* With memory for three tiles, two more than the first task takes, two come and nothing goes for more. */
static void nothing_makes_room_for_it(void **state)
{
    struct tgi_run_moved moved;
    (void)state;
    for (uint64_t first = test_seed(1), seed = first; seed < first + ROUNDS(20); seed++) {
        open_run(1, 3 * TILE_BYTES, seed, true);
        assert_int_equal(execute(3, false, &moved), 0);
        assert_true(hold.have_come);
        assert_int_equal(moved.n_ahead, 2);
        assert_true(moved.n_evictions > 0); /* later, by tasks */
        expect_results(seed);
        assert_int_equal(execute(1, false, &moved), 0); /* this memory is known to be short */
        assert_int_equal(moved.n_ahead, 0);
        expect_results(seed);
        close_run(seed);
    }
}

/* Tasks that do not run leave copies that nobody waits for. */
static void a_cpu_that_fails_leaves_nothing_wrong(void **state)
{
    struct tgi_run_moved moved;
    (void)state;
    for (uint64_t first = test_seed(1), seed = first; seed < first + ROUNDS(20); seed++) {
        open_run(1 + (int)(seed % 3), seed % 2 ? 0 : 4 * TILE_BYTES, seed, true);
        assert_int_equal(execute(3, true, &moved), TG_E_TASK_FAILED);
        assert_int_equal(execute(1, false, &moved), 0);
        expect_results(seed);
        close_run(seed);
    }
}

static int load(void **state)
{
    int rc = device_group_load(state);
    if (rc == 0) {
        at.graph = make();
        at.expected = device_expected(at.graph, false, 1);
        at.have = calloc(device_words(at.graph) + 1, sizeof *at.have);
    }
    return rc;
}

static int unload(void **state)
{
    tg_graph_destroy(at.graph);
    free(at.expected);
    free(at.have);
    return device_group_unload(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_comes_while_a_cpu_is_at_work),
        cmocka_unit_test(several_devices_get_what_their_tasks_read),
        cmocka_unit_test(nothing_makes_room_for_it),
        cmocka_unit_test(a_cpu_that_fails_leaves_nothing_wrong),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
