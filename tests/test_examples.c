/* The graphs of examples/graphs on the stand-in driver, with one, two and four devices: their checks hold, and
 * their results are those of sequential execution on the CPU.  tests/examples.sh runs them without devices.
 *
 * TGRAPH_TEST_GRAPH=name.json runs one of them only, TGRAPH_TEST_SEED sets the first seed, TGRAPH_TEST_SEEDS=1000 tries each graph
 * with that many, of which all but the first three with small parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <glob.h>

#include "graph/error.h"
#include "io/results.h"
#include "io/verify.h"
#include "sched/offload.h"
#include "tests/random_graph.h"
#include "tests/standin/standin.h"

/* Built-in kernels of the stand-in are those of the CPU, but what g++ makes of CUDA source may fuse and order
 * operations in another way than the system's C compiler. */
#define RTOL 1e-3
#define ATOL 1e-4

static struct standin standin;

/* ---- One graph ----------------------------------------------------------------------------*/

static void fail_with(const char *path, int n_devices, uint64_t seed, const char *text)
{
    fail_msg("%s on %d devices, TGRAPH_TEST_SEED=%" PRIu64 ": %s", path, n_devices, seed, text);
}

static uint64_t device_tasks(const struct tg_run *run, int *n_used_p)
{
    uint64_t n = 0;
    *n_used_p = 0;
    for (uint32_t d = 0; run->offload && d < TGI_MAX_DEVICES; d++) {
        n += run->offload->n_device_tasks[d];
        *n_used_p += run->offload->n_device_tasks[d] > 0;
    }
    return n;
}

/* Parameters for graphs that take long: what is tried with many seeds is orders.  Results are compared with those of sequential
 * execution; the graphs' own checks may not hold of so few steps. */
static const struct {
    const char *graph, *params[6];
} small[] = {
    {"cg.json", {"NT=3", "B=16"}},
    {"cholesky.json", {"NT=5", "B=16"}},
    {"data-parallel.json", {"STEPS=4"}},
    {"decode.json", {"D=32", "T=64", "V=32", "C=16"}},
    {"first.json", {"N=1000"}},
    {"halo.json", {"STEPS=2", "NX=64", "NY=4"}},
    {"heat2d.json", {"STEPS=5", "NX=64"}},
    {"hybrid-lu.json", {"NT=4", "B=16"}},
    {"lu.json", {"NT=4", "B=16"}},
    {"matmul.json", {"NT=3", "B=16"}},
    {"saxpy.json", {"N=4096"}},
    {"scan.json", {"NT=6", "B=64"}},
    {"smith-waterman.json", {"NT=5", "B=16"}},
    {"transformer.json", {"T=32", "D=32"}},
};

/* A graph for so many devices, and what sequential execution makes of it. */
struct example {
    const char *path;
    int n_devices;
    bool is_small;
    struct tg_graph *graph;
    struct tg_runtime *cpu;
    struct tg_run *sequential;
};

/* Tasks that only take their time take none. */
static void hurry(struct tg_graph *g)
{
    const double none = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        if (tgi_graph_op(g, t)->n_params && strcmp(tgi_graph_op(g, t)->params[0].name, "us") == 0)
            memcpy(&g->args[g->nodes[t].args], &none, sizeof none);
}

static void open_example(struct example *x, const char *path, int n_devices, bool is_small)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_load_options lo = TG_LOAD_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_error err;
    x->path = path;
    x->n_devices = n_devices;
    x->is_small = is_small;
    ro.n_workers = 1;
    ro.is_unbound = true;
    ro.topology = "core:2 pu:1";
    lo.n_cuda = (uint32_t)n_devices;
    for (size_t i = 0; is_small && i < sizeof small / sizeof *small; i++)
        if (strcmp(strrchr(path, '/') + 1, small[i].graph) == 0) {
            lo.params = small[i].params;
            while (small[i].params[lo.n_params])
                lo.n_params++;
        }
    options.is_deterministic = true;
    if (tg_graph_load(path, &lo, &x->graph, &err) || tg_graph_freeze(x->graph, &err) || tg_runtime_create(&ro, &x->cpu, &err))
        fail_with(path, n_devices, 0, err.text);
    if (is_small)
        hurry(x->graph);
    if (tg_run_create(x->cpu, x->graph, &options, &x->sequential, &err) || tg_run_execute(x->sequential, &err))
        fail_with(path, n_devices, 0, err.text);
}

static void close_example(struct example *x)
{
    tg_run_destroy(x->sequential);
    tg_runtime_destroy(x->cpu);
    tg_graph_destroy(x->graph);
}

/* Returns how many tasks devices executed, and on how many of them. */
static uint64_t run_on_devices(const struct example *x, uint64_t seed, int *n_used_p)
{
    struct standin_options so = {x->n_devices, x->is_small ? 4u << 20 : 32u << 20, seed, seed % 4 != 0};
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    char text[4096];
    standin.standin_reset(&so);
    ro.n_workers = 2;
    ro.is_unbound = true;
    ro.topology = "core:2 pu:1"; /* reading this machine's takes longer than a small graph */
    ro.devices = "cuda";
    if (tg_runtime_create(&ro, &rt, &err) || tg_run_create(rt, x->graph, NULL, &run, &err) || tg_run_execute(run, &err) ||
        (!x->is_small && tgi_verify(x->graph, run, NULL, NULL, &err)) ||
        tgi_results_compare(x->graph, run, x->sequential, RTOL, ATOL, &err))
        fail_with(x->path, x->n_devices, seed, err.text);
    uint64_t n_tasks = device_tasks(run, n_used_p);
    if (standin.standin_violations(text, sizeof text))
        fail_with(x->path, x->n_devices, seed, text);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    if (standin.standin_leaks(text, sizeof text))
        fail_with(x->path, x->n_devices, seed, text);
    return n_tasks;
}

/* ---- Tests --------------------------------------------------------------------------------*/

/* With one, two and four devices in turn, if there are as many seeds. */
static uint64_t run_example(const char *path, uint64_t first_seed, uint64_t n_seeds, bool is_small)
{
    static const int n_devices[] = {2, 1, 4};
    int n_used;
    for (uint64_t k = 0; k < 3 && k < n_seeds; k++) {
        struct example x;
        open_example(&x, path, n_devices[k], is_small);
        for (uint64_t i = k; i < n_seeds; i += 3) {
            uint64_t n_tasks = run_on_devices(&x, first_seed + i, &n_used);
            if (i == k && getenv("TGRAPH_TEST_GRAPH"))
                printf("%s: %" PRIu64 " tasks on %d of %d devices\n", path, n_tasks, n_used, n_devices[k]);
        }
        close_example(&x);
    }
    return n_seeds;
}

static void every_example_gives_the_same_on_devices(void **state)
{
    (void)state;
    const char *only = getenv("TGRAPH_TEST_GRAPH"), *wanted = getenv("TGRAPH_TEST_SEEDS");
    uint64_t n_seeds = wanted ? strtoull(wanted, NULL, 0) : IS_SLOW ? 1 : 3, n_full = n_seeds < 3 ? n_seeds : 3, seed = test_seed(1), n = 0;
    glob_t files = {0};
    assert_int_equal(glob("examples/graphs/*.json", 0, NULL, &files), 0);
    assert_true(n_seeds > 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *path = files.gl_pathv[i];
        if (only && strcmp(strrchr(path, '/') + 1, only) != 0)
            continue;
        n += run_example(path, seed + n, n_full, false);
        n += run_example(path, seed + n, n_seeds - n_full, true);
    }
    globfree(&files);
    printf("%" PRIu64 " orders\n", n);
    assert_true(n >= (only ? 1u : 20u) * n_seeds);
}

/* Where data has a home on every device, work goes to every device. */
static void examples_for_several_devices_use_them_all(void **state)
{
    static const char *const names[] = {"cholesky", "data-parallel", "halo", "hybrid-lu", "pipeline", "tensor-parallel"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        int n_used;
        snprintf(path, sizeof path, "examples/graphs/%s.json", names[i]);
        struct example x;
        open_example(&x, path, 4, false);
        run_on_devices(&x, 1, &n_used);
        close_example(&x);
        if (n_used != 4)
            fail_msg("%s has used %d of 4 devices", path, n_used);
    }
}

/* ---- Setting up ---------------------------------------------------------------------------*/

static char cache[] = "/tmp/tgraph-test-examples-XXXXXX";

static int load(void **state)
{
    static const char *const files[][2] = {{"TGRAPH_CUDA_DRIVER", "libstandin-cuda.so"},
                                           {"TGRAPH_CUDA_KERNELS", "standin-kernels.txt"},
                                           {"TGRAPH_NVRTC", "libstandin-nvrtc.so"},
                                           {"TGRAPH_NCCL", "libstandin-nccl.so"}};
    char path[4096], file[4200];
    (void)state;
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path) || !mkdtemp(cache))
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(file, sizeof file, "%.*s/%s", (int)(strrchr(path, '/') - path), path, files[i][1]);
        setenv(files[i][0], file, 1);
    }
    setenv("TGRAPH_BLAS", "off", 1);
    setenv("TGRAPH_RESIDENT_KERNEL", "embedded", 1);
    setenv("TGRAPH_CACHE_DIR", cache, 1);
    return 0;
}

static int unload(void **state)
{
    char command[sizeof cache + 16];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", cache);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_gives_the_same_on_devices),
        cmocka_unit_test(examples_for_several_devices_use_them_all),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
