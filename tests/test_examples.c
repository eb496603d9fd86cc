/* The graphs of examples/graphs on the stand-in driver, with one, two and four devices: their checks hold, and
 * their results are those of sequential execution on the CPU.  tests/examples.sh runs them without devices.
 *
 * TGRAPH_TEST_GRAPH=name.json runs one of them only, TGRAPH_TEST_SEED a single seed, TGRAPH_TEST_ROUNDS=15 all of them that often,
 * each time in other orders. */
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

/* Returns how many tasks devices executed, and on how many of them. */
static uint64_t run_on_devices(const char *path, int n_devices, uint64_t seed, int *n_used_p)
{
    struct standin_options so = {n_devices, 32u << 20, seed, seed % 4 != 0};
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_load_options lo = TG_LOAD_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_graph *g;
    struct tg_runtime *rt;
    struct tg_run *run, *sequential;
    struct tg_error err;
    char text[4096];
    standin.standin_reset(&so);
    ro.n_workers = 2;
    ro.is_unbound = true;
    ro.devices = "cuda";
    lo.n_cuda = (uint32_t)n_devices;
    if (tg_graph_load(path, &lo, &g, &err) || tg_graph_freeze(g, &err) || tg_runtime_create(&ro, &rt, &err) ||
        tg_run_create(rt, g, &options, &run, &err) || tg_run_execute(run, &err) ||
        tgi_verify(g, run, NULL, NULL, &err))
        fail_with(path, n_devices, seed, err.text);
    uint64_t n_tasks = device_tasks(run, n_used_p);
    options.is_deterministic = true;
    if (tg_run_create(rt, g, &options, &sequential, &err) || tg_run_execute(sequential, &err) ||
        tgi_results_compare(g, run, sequential, RTOL, ATOL, &err))
        fail_with(path, n_devices, seed, err.text);
    if (standin.standin_violations(text, sizeof text))
        fail_with(path, n_devices, seed, text);
    tg_run_destroy(sequential);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    if (standin.standin_leaks(text, sizeof text))
        fail_with(path, n_devices, seed, text);
    return n_tasks;
}

/* ---- Tests --------------------------------------------------------------------------------*/

static void every_example_gives_the_same_on_devices(void **state)
{
    (void)state;
    const char *only = getenv("TGRAPH_TEST_GRAPH"), *rounds = getenv("TGRAPH_TEST_ROUNDS");
    int n_rounds = rounds ? atoi(rounds) : 1;
    uint64_t seed = test_seed(1);
    glob_t files = {0};
    unsigned n = 0;
    assert_int_equal(glob("examples/graphs/*.json", 0, NULL, &files), 0);
    assert_true(n_rounds > 0);
    for (size_t i = 0; i < files.gl_pathc * (size_t)n_rounds; i++) {
        const char *path = files.gl_pathv[i % files.gl_pathc];
        int n_used;
        if (only && strcmp(strrchr(path, '/') + 1, only) != 0)
            continue;
        for (int n_devices = IS_SLOW ? 2 : 1; n_devices <= (IS_SLOW ? 2 : 4); n_devices *= 2, n++) {
            uint64_t n_tasks = run_on_devices(path, n_devices, seed + n, &n_used);
            if (only)
                printf("%s: %" PRIu64 " tasks on %d of %d devices\n", only, n_tasks, n_used, n_devices);
        }
    }
    globfree(&files);
    printf("%u orders\n", n);
    assert_true(n >= (only ? 1u : 20u) * (unsigned)n_rounds);
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
        run_on_devices(path, 4, 1, &n_used);
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
