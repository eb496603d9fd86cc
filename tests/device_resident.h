/* Runs whose tasks are inside a resident kernel, compared with as many sequential runs.  Include cmocka.h first. */
#ifndef TEST_DEVICE_RESIDENT_H
#define TEST_DEVICE_RESIDENT_H

#include "sched/offload_graph.h"
#include "tests/device_run.h"

/* The only one, or the first. */
static inline const struct tgi_cluster *device_cluster(const struct tg_run *run)
{
    const struct tgi_program *p = tgi_offload_graph_program(run);
    for (uint32_t i = 0; i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT)
            return p->commands[i].cluster;
    fail_msg("no cluster");
    return NULL;
}

/* After that many starts, each of them resident; data go on from start to start.  bytes: memory for data, 0 for all there is. */
static inline struct tg_run *device_resident_begin(struct tg_graph *g, int n_starts, uint64_t bytes, struct tg_runtime **rt_p)
{
    struct tg_error err;
    const char *why;
    *rt_p = device_runtime("cuda", bytes);
    struct tg_run *run = device_open_run(*rt_p, g, TG_EXECUTOR_RESIDENT, true);
    for (int i = 0; i < n_starts; i++) {
        MUST(tg_run_execute(run, &err));
        if (tg_run_executor(run, &why) != TG_EXECUTOR_RESIDENT)
            fail_msg("not resident: %s", why);
    }
    return run;
}

/* Its data are what sequential execution gives, and nothing is left over; the graph stays. */
static inline void device_resident_end(struct tg_run *run, struct tg_runtime *rt, struct tg_graph *g, int n_starts)
{
    uint64_t *have = calloc(device_words(g) + 1, sizeof *have);
    assert_true(device_read(run, g, have));
    device_close_all(run, rt, NULL);
    uint64_t *expected = device_expected(g, true, n_starts);
    assert_memory_equal(have, expected, device_words(g) * sizeof *have);
    free(expected);
    free(have);
}

#endif
