/* Runs of device_graph.h's graphs with an executor, opened and closed with nothing left over.  Include cmocka.h first. */
#ifndef TEST_DEVICE_RUN_H
#define TEST_DEVICE_RUN_H

#include "tests/device_graph.h"
#include "tests/random_graph.h"

static inline struct tg_run *device_open_run(struct tg_runtime *rt, const struct tg_graph *g, enum tg_executor executor,
                                             bool keep_data)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.executor = executor;
    options.keep_data = keep_data;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    return run;
}

/* The words of all buffers, but for the last n_open, which nobody may have written. */
static inline void device_expect_most(struct tg_run *run, const struct tg_graph *g, const uint64_t *expected, size_t n_open)
{
    uint64_t *have = calloc(device_words(g) + 1, sizeof *have);
    assert_true(device_read(run, g, have));
    assert_memory_equal(have, expected, (device_words(g) - n_open) * sizeof *have);
    free(have);
}
static inline void device_expect(struct tg_run *run, const struct tg_graph *g, const uint64_t *expected)
{
    device_expect_most(run, g, expected, 0);
}

/* The next start as a graph, the nth of the run, is cancelled while a kernel of that name is being held, and ends. */
static inline void device_cancel_held(struct tg_run *run, const char *kernel, uint64_t nth)
{
    struct tg_error err;
    standin.standin_hold(kernel, true);
    MUST(tg_run_start(run, &err));
    while (standin.standin_calls("cuGraphLaunch") < nth)
        usleep(100);
    uint64_t n = standin.standin_calls("cuMemcpyHtoD");
    tg_run_cancel(run);
    while (standin.standin_calls("cuMemcpyHtoD") == n) /* the kernel is told to leave */
        usleep(100);
    standin.standin_hold(kernel, false);
    assert_int_equal(tg_run_wait(run, &err), TG_E_CANCELLED);
}

static inline void device_close_all(struct tg_run *run, struct tg_runtime *rt, struct tg_graph *g)
{
    char text[4096];
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seen: %s", text);
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
}

#endif
