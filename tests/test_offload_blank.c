/* Tiles that begin with one value everywhere and are filled in by the devices that need them: the same data as by copies, by
 * each executor, over and over, and only where nobody has written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "sched/offload.h"
#include "tests/device_run.h"

enum { LIMIT_S = 60, N_STARTS = 3 };

/* Zeros that are added to, a value that is read only, and what has to be copied. */
static const char buffers[] = "'Z': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': 'zero'}, "
                              "'V': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': {'fill': 7}}, "
                              "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': {'iota': true}}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:4'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*4+i', 'n': 32, 'out': 'Z[i]', 'in0': 'V[(i+r)%4]', 'in1': 'A[i]'}}";

static int setup(void **state)
{
    (void)state;
    unsetenv("TGRAPH_RESIDENT_KERNEL");
    unsetenv("TGRAPH_INIT");
    alarm(LIMIT_S);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    unsetenv("TGRAPH_INIT");
    alarm(0);
    return 0;
}

/* Tiles that the last start copied to devices or between them. */
static uint64_t n_copied(const struct tg_run *run)
{
    return (run->offload->stats.to_device_bytes + run->offload->stats.peer_bytes) / 256;
}

static struct tg_run *open_kept(struct tg_runtime *rt, const struct tg_graph *g, enum tg_executor executor, bool keeps)
{
    return device_open_run(rt, g, executor, keeps);
}

static void values_are_filled_in_and_nothing_else(void **state)
{
    static const enum tg_executor executors[] = {TG_EXECUTOR_STREAMS, TG_EXECUTOR_GRAPH, TG_EXECUTOR_RESIDENT};
    (void)state;
    for (int n_devices = 1; n_devices <= 2; n_devices++)
        for (size_t e = 0; e < sizeof executors / sizeof *executors; e++) {
            struct tg_graph *g = device_graph(buffers, "", tasks);
            uint64_t *expected = device_expected(g, false, 1), n[2];
            for (int fills = 0; fills < 2; fills++) {
                struct tg_error err;
                setenv("TGRAPH_INIT", fills ? "devices" : "host", 1);
                device_reset(n_devices, 1, true);
                struct tg_runtime *rt = device_runtime("cuda", 0);
                struct tg_run *run = open_kept(rt, g, executors[e], false);
                for (int i = 0; i < N_STARTS; i++) {
                    MUST(tg_run_execute(run, &err));
                    if (i == 0)
                        n[fills] = n_copied(run);
                    device_expect(run, g, expected);
                }
                device_close_all(run, rt, NULL);
            }
            if (n_devices == 1) { /* Z and V are four tiles each, A is */
                assert_int_equal(n[0], 12);
                assert_int_equal(n[1], 4);
            } else {
                assert_true(n[1] < n[0]);
            }
            tg_graph_destroy(g);
            free(expected);
        }
}

/* The second start goes on with what the first has left. */
static void what_was_written_is_no_value(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tg_error err;
    device_reset(2, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_kept(rt, g, TG_EXECUTOR_STREAMS, true);
    for (int i = 1; i <= N_STARTS; i++) {
        uint64_t *expected = device_expected(g, true, i);
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
        free(expected);
    }
    device_close_all(run, rt, g);
}

/* Who has asked for a tile's memory may have written there: what no task writes is copied then, as its memory holds. */
static void what_the_program_has_seen_is_copied(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph("'V': {'dtype': 'u64', 'shape': [32], 'init': {'fill': 7}}, 'Z': {'dtype': 'u64', 'shape': [32], 'init': 'zero'}", "",
                                      "{'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'Z', 'in0': 'V'}}");
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_error err;
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_kept(rt, g, TG_EXECUTOR_STREAMS, false);
    MUST(tg_run_execute(run, &err));
    device_expect(run, g, expected); /* asks for all tiles */
    uint64_t *v = tg_run_tile(run, 0, 0), *z = tg_run_tile(run, 1, 0), before = z[0];
    for (int i = 0; i < 32; i++)
        v[i] = 8;
    MUST(tg_run_execute(run, &err));
    z = tg_run_tile(run, 1, 0);
    assert_true(z[0] != before);
    assert_int_equal(((uint64_t *)tg_run_tile(run, 0, 0))[31], 8);
    free(expected);
    device_close_all(run, rt, g);
}

/* Memory for half of the tiles: what was filled in goes and comes again, what was written goes home. */
static void it_is_so_where_memory_is_short(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph("'Z': {'dtype': 'u64', 'shape': [4096], 'tiles': [16], 'init': 'zero'}, "
                                      "'V': {'dtype': 'u64', 'shape': [4096], 'tiles': [16], 'init': {'fill': 3}}", "",
                                      "{'for': ['r in 0:3', 'i in 0:16'], 'kernel': 'mix', "
                                      "'args': {'id': 'r*16+i', 'n': 4096, 'out': 'Z[i]', 'in0': 'V[(i+r)%16]', 'in1': 'Z[(i+1)%16]'}}");
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_error err;
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 16 * 32768);
    struct tg_run *run = open_kept(rt, g, TG_EXECUTOR_STREAMS, false);
    for (int i = 0; i < N_STARTS; i++) {
        MUST(tg_run_execute(run, &err));
        device_expect(run, g, expected);
    }
    free(expected);
    device_close_all(run, rt, g);
}

static void a_fill_that_fails_is_told(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_error err;
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_kept(rt, g, TG_EXECUTOR_STREAMS, false);
    standin.standin_fail("cuMemsetD32Async", 2, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
    assert_int_not_equal(tg_run_execute(run, &err), 0);
    assert_int_equal(standin.standin_fail_hits(), 1);
    MUST(tg_run_execute(run, &err));
    device_expect(run, g, expected);
    free(expected);
    device_close_all(run, rt, g);
}

static void a_word_that_is_none_is_refused(void **state)
{
    (void)state;
    struct tg_graph *g = device_graph(buffers, "", tasks);
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    setenv("TGRAPH_INIT", "gpu", 1);
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    assert_int_equal(tg_run_create(rt, g, &options, &run, &err), TG_E_INVALID);
    assert_non_null(strstr(err.text, "TGRAPH_INIT is \"gpu\", and can be host or devices"));
    device_close_all(NULL, rt, g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_are_filled_in_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_no_value, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_program_has_seen_is_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_so_where_memory_is_short, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fill_that_fails_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_word_that_is_none_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
