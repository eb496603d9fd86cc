/* The graphs of examples/graphs and of the templates as CUDA graphs, on one, two and four devices of the stand-in driver, every other one as a
 * graph for each device (TGRAPH_HOPS=flags), and with kernels that are launched early (TGRAPH_PDL): each of many starts gives bit for bit what streams give, and
 * that is what sequential execution gives.  On one device so does the resident executor, with whatever of them it can have inside.
 *
 * Which of them still go to streams, and why, is listed: one more, or one that does no longer, is noticed.
 *
 * TGRAPH_TEST_GRAPH=name.json runs one of them only, TGRAPH_TEST_SEED sets the order, TGRAPH_TEST_ROUNDS=1000 makes that many
 * starts of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <glob.h>

#include "graph/error.h"
#include "io/results.h"
#include "sched/offload.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

/* What g++ makes of CUDA source may fuse and order operations in another way than the system's C compiler. */
#define RTOL 1e-3
#define ATOL 1e-4

/* ---- What goes to streams -----------------------------------------------------------------*/

static const char on_cpu[] = "it runs on a CPU", elsewhere[] = "it is on another device than the rest of its rounds, which a device decides about",
                  no_device[] = "no task is on a device";

static const struct fallback {
    const char *graph, *task, *why; /* task NULL: which one depends on where tasks are placed, or it is none */
    int least, most;                /* on so many devices */
} fallbacks[] = {
    {"cg.json", NULL, elsewhere, 2, 4},
    {"collatz.json", "look", on_cpu, 1, 4},
    {"collectives.json", "sum", on_cpu, 1, 4},
    {"commute.json", "compare[0]", on_cpu, 1, 4},
    {"data-parallel.json", "same_w1", on_cpu, 1, 2},
    {"fft.json", "difference[0]", on_cpu, 1, 4},
    {"hybrid-lu.json", "getrf[0]", on_cpu, 1, 4},
    {"jacobi.json", "heat", on_cpu, 1, 4},
    {"mandelbrot.json", NULL, no_device, 1, 4},
    {"saxpy.json", "again", on_cpu, 1, 4},
    {"tensor-parallel.json", "allreduce[0]", on_cpu, 1, 2},
};

static const struct fallback *find_fallback(const char *graph, int n_devices)
{
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        if (strcmp(fallbacks[i].graph, graph) == 0 && fallbacks[i].least <= n_devices && n_devices <= fallbacks[i].most)
            return &fallbacks[i];
    return NULL;
}

/* ---- One graph ----------------------------------------------------------------------------*/

static struct {
    const char *path, *name;
    int n_devices;
    uint64_t seed;
} at;
static unsigned n_unexpected, n_resident;

static void fail_here(const char *text)
{
    fail_msg("%s on %d devices, TGRAPH_TEST_SEED=%" PRIu64 ": %s", at.path, at.n_devices, at.seed, text);
}

static bool is_expected(const struct fallback *f, const char *why)
{
    char expected[512];
    if (!f || !why)
        return !f && !why;
    snprintf(expected, sizeof expected, "task \"%s\": %s", f->task, f->why);
    size_t n = strlen(why), n_end = strlen(f->why);
    return f->task ? strcmp(why, expected) == 0 : n >= n_end && strcmp(why + n - n_end, f->why) == 0;
}

/* All that differ are told before the test fails. */
static void expect_way(const struct tg_run *run)
{
    const struct fallback *f = find_fallback(at.name, at.n_devices);
    const char *why;
    bool is_graph = tg_run_executor(run, &why) == TG_EXECUTOR_GRAPH;
    if (is_graph == !f && is_expected(f, why))
        return;
    fprintf(stderr, "%s on %d devices: %s, where %s is expected\n", at.name, at.n_devices, why ? why : "a graph",
            f ? f->why : "a graph");
    n_unexpected++;
}

static void expect_nothing(unsigned (*look)(char *text, size_t size))
{
    char text[4096];
    if (look(text, sizeof text))
        fail_here(text);
}

static struct tg_run *execute(struct tg_runtime *rt, const struct tg_graph *g, bool is_deterministic)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.is_deterministic = is_deterministic;
    if (tg_run_create(rt, g, &options, &run, &err) || tg_run_execute(run, &err))
        fail_here(err.text);
    return run;
}

/* What can be inside resident kernels is; of two starts the second begins where the first ended. */
static void expect_resident_same(struct tg_runtime *rt, const struct tg_graph *g, const struct tg_run *streams)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.executor = TG_EXECUTOR_RESIDENT;
    if (tg_run_create(rt, g, &options, &run, &err))
        fail_here(err.text);
    for (int i = 0; i < 2; i++)
        if (tg_run_execute(run, &err))
            fail_here(err.text);
    n_resident += tg_run_executor(run, NULL) == TG_EXECUTOR_RESIDENT;
    if (tgi_results_compare(g, run, streams, 0, 0, &err))
        fail_here(err.text);
    tg_run_destroy(run);
}

static void run_as_graph(uint64_t n_starts)
{
    struct standin_options so = {at.n_devices, 256u << 20, at.seed, at.seed % 4 != 0};
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_load_options lo = TG_LOAD_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_graph *g;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    nccl.standin_nccl_reset();
    standin.standin_reset(&so);
    ro.n_workers = 2;
    ro.is_unbound = true;
    ro.devices = "cuda";
    lo.n_cuda = (uint32_t)at.n_devices;
    if (tg_graph_load(at.path, &lo, &g, &err) || tg_graph_freeze(g, &err) || tg_runtime_create(&ro, &rt, &err))
        fail_here(err.text);
    struct tg_run *streams = execute(rt, g, false), *sequential = execute(rt, g, true);
    options.executor = TG_EXECUTOR_GRAPH;
    if (tg_run_create(rt, g, &options, &run, &err))
        fail_here(err.text);
    for (uint64_t i = 0; i < n_starts; i++) {
        if (tg_run_execute(run, &err))
            fail_here(err.text);
        if (i == 0)
            expect_way(run);
        /* Two times of three nobody looks, so that the next start begins where this one ended. */
        if ((i % 3 == 2 || i == n_starts - 1) && tgi_results_compare(g, run, streams, 0, 0, &err))
            fail_here(err.text);
    }
    if (tgi_results_compare(g, run, sequential, RTOL, ATOL, &err))
        fail_here(err.text);
    if (at.n_devices == (IS_SLOW ? 2 : 1))
        expect_resident_same(rt, g, streams);
    expect_nothing(standin.standin_violations);
    tg_run_destroy(run);
    tg_run_destroy(streams);
    tg_run_destroy(sequential);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    expect_nothing(standin.standin_leaks);
}

static void starts_as_graphs_give_what_streams_give(void **state)
{
    const char *only = getenv("TGRAPH_TEST_GRAPH"), *rounds = getenv("TGRAPH_TEST_ROUNDS");
    uint64_t n_starts = rounds ? strtoull(rounds, NULL, 0) : 3;
    glob_t found = {0};
    (void)state;
    at.seed = test_seed(1);
    assert_int_equal(glob("examples/graphs/*.json", 0, NULL, &found), 0);
    assert_int_equal(glob("io/templates/*/*.json", GLOB_APPEND, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        for (at.n_devices = IS_SLOW ? 2 : 1; at.n_devices <= (IS_SLOW ? 2 : 4); at.n_devices *= 2) {
            at.path = found.gl_pathv[i];
            setenv("TGRAPH_HOPS", (i + at.n_devices / 2) % 2 ? "flags" : "driver", 1);
            setenv("TGRAPH_PDL", i % 2 ? "on" : "off", 1);
            at.name = strrchr(at.path, '/') + 1;
            if (!only || strcmp(only, at.name) == 0)
                run_as_graph(n_starts);
        }
    globfree(&found);
    assert_int_equal(n_unexpected, 0);
    assert_true(IS_SLOW || n_resident >= (only ? 1 : 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_as_graphs_give_what_streams_give),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
