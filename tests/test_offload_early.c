/* Kernels of graphs that are launched while the one before them in a chain still runs (unless TGRAPH_PDL is off): which ones they are, and that results
 * are what they are without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "tests/device_run.h"

enum { LIMIT_S = 60, N_STARTS = 3 };

/* Tiles of `n` words, and what a task of each number does. */
#define GRAPH(n, tasks) "'A': {'dtype': 'u64', 'shape': [" n "], 'tiles': [6], 'init': {'iota': true}}", "", tasks
#define MIX(n, id, out, in) "'kernel': 'mix', 'args': {'id': '" id "', 'n': " n ", 'out': '" out "', 'in0': '" in "'}}"

static uint64_t n_early(struct tg_graph *g, bool is_recorded)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    uint64_t *expected = device_expected(g, false, 1);
    device_reset(1, 3, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    options.executor = TG_EXECUTOR_GRAPH;
    options.is_recorded = is_recorded;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    for (int i = 0; i < N_STARTS; i++) {
        const char *why;
        MUST(tg_run_execute(run, &err));
        if (tg_run_executor(run, &why) != TG_EXECUTOR_GRAPH)
            fail_msg("no graph: %s", why);
        device_expect(run, g, expected);
    }
    uint64_t n = standin.standin_calls("cuGraphAddNode");
    device_close_all(run, rt, g);
    free(expected);
    return n;
}

static void kernels_of_a_chain_are_launched_early(void **state)
{
    static const struct {
        const char *what;
        const char *buffers, *more, *tasks;
        uint64_t n; /* of each recording */
        bool is_recorded;
    } cases[] = {
        {"a chain", GRAPH("32", "{'for': ['r in 0:20'], " MIX("32", "r", "A[0]", "A[1]")), 19, false},
        {"chains side by side", GRAPH("32", "{'for': ['r in 0:20', 'i in 0:2'], " MIX("32", "r", "A[i]", "A[2+i]")), 38, false},
        {"two things come after one", GRAPH("32", "{" MIX("32", "0", "A[0]", "A[1]") ", {'for': ['i in 2:4'], " MIX("32", "1", "A[i]", "A[0]")), 0, false},
        {"one comes after two", GRAPH("32", "{'for': ['i in 0:2'], " MIX("32", "i", "A[i]", "A[i]") ", {" MIX("32", "2", "A[0]", "A[1]")), 0, false},
        {"kernels that fill the device", GRAPH("20000", "{'for': ['r in 0:3'], " MIX("20000", "r", "A[0]", "A[1]")), 0, false},
        {"tasks that are timed", GRAPH("32", "{'for': ['r in 0:20'], " MIX("32", "r", "A[0]", "A[1]")), 0, true},
    };
    (void)state;
    for (int is_on = 0; is_on < 3; is_on++) /* 2: nothing is said */
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            setenv("TGRAPH_PDL", is_on == 2 ? "" : is_on ? "on" : "off", 1);
            alarm(LIMIT_S);
            struct tg_graph *g = device_graph(cases[i].buffers, cases[i].more, cases[i].tasks);
            uint64_t n = n_early(g, cases[i].is_recorded), each = is_on ? cases[i].n : 0;
            if (each ? n == 0 || n % each : n != 0)
                fail_msg("%s: %d early kernels instead of %d for each recording", cases[i].what, (int)n, (int)each);
        }
    unsetenv("TGRAPH_PDL");
    alarm(0);
}

static void a_wish_that_there_is_not_is_told(void **state)
{
    struct tg_graph *g = device_graph(GRAPH("32", "{'for': ['r in 0:20'], " MIX("32", "r", "A[0]", "A[1]")));
    struct tg_error err;
    (void)state;
    setenv("TGRAPH_PDL", "maybe", 1);
    device_reset(1, 1, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, TG_EXECUTOR_GRAPH, true);
    assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
    if (!strstr(err.text, "TGRAPH_PDL is \"maybe\", and can be on or off"))
        fail_msg("%s", err.text);
    unsetenv("TGRAPH_PDL");
    device_close_all(run, rt, g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_of_a_chain_are_launched_early),
        cmocka_unit_test(a_wish_that_there_is_not_is_told),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
