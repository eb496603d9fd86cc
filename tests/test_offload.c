/* Execution on devices, on the stand-in driver: random graphs against sequential execution on the CPU. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "sched/offload.h"
#include "tests/random_graph.h"
#include "tests/standin/standin.h"

enum { MAX_ELEMS = 16384 };

static struct standin standin;
static struct {
    void (*standin_nccl_reset)(void);
    uint64_t (*standin_nccl_operations)(void);
} nccl;
static char nccl_path[4200];
static char image_path[] = "/tmp/tgraph-test-offload-XXXXXX";

/* ---- Kernels for the stand-in -------------------------------------------------------------*/

static int hash_on_device(void **args, const void *launch)
{
    (void)launch;
    return hash_kernel(args, NULL);
}

static int count_down_on_device(void **args, const void *launch)
{
    (void)launch;
    return count_down_kernel(args, NULL);
}

static size_t hash_extent(void **args, unsigned param, void *user)
{
    (void)user;
    return param < 3 ? 8 : (*(uint64_t *)args[2] >> 8 * (param - 3) & 0xff) * sizeof(uint64_t);
}

static size_t one_word(void **args, unsigned param, void *user)
{
    (void)args, (void)param, (void)user;
    return sizeof(uint64_t);
}

static void register_hash(const char *name, uint32_t codes, uint32_t n)
{
    struct standin_param params[3 + MAX_TILE_ARGS] = {{8, STANDIN_VALUE}, {8, STANDIN_VALUE}, {8, STANDIN_VALUE}};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t access = codes >> 8 * i & 15;
        params[3 + i] = (struct standin_param){8, access == TG_IN ? STANDIN_IN : access == TG_OUT ? STANDIN_OUT : STANDIN_INOUT};
    }
    const struct standin_kernel k = {name, hash_on_device, 3 + n, params, hash_extent, NULL};
    assert_int_equal(standin.standin_register_kernel(&k), 0);
}

/* Gives the kernels of a graph variants for devices: an image that names them, and their functions. */
static void add_variants(struct random_graph *r, uint32_t percent, struct dice *d)
{
    struct tg_error err;
    FILE *f = fopen(image_path, "w");
    fprintf(f, "standin 1\n");
    for (uint32_t k = 0; k < r->graph->space->n_ops; k++)
        if (r->graph->space->ops[k].kind == TGI_OP_KERNEL)
            fprintf(f, "kernel %s\n", r->graph->space->ops[k].name);
    fclose(f);
    for (uint32_t k = 0; k < r->graph->space->n_ops; k++) {
        const struct tgi_op *op = &r->graph->space->ops[k];
        if (op->kind != TGI_OP_KERNEL || roll(d, 100) >= percent)
            continue;
        struct tgi_variant v = {.on = TGI_DEVICE_CUDA, .form = TGI_VARIANT_BINARY, .path = image_path, .site = TG_NONE};
        if (strcmp(op->name, "count_down") == 0) {
            const struct standin_param param = {8, STANDIN_INOUT};
            const struct standin_kernel down = {op->name, count_down_on_device, 1, &param, one_word, NULL};
            assert_int_equal(standin.standin_register_kernel(&down), 0);
        } else {
            uint32_t codes = (uint32_t)strtoul(op->name + 1, NULL, 16);
            register_hash(op->name, codes, op->n_params - 3);
        }
        MUST(tgi_graph_add_variant(r->graph, k, &v, &err));
    }
}

/* ---- Comparing ----------------------------------------------------------------------------*/

struct contents {
    uint64_t words[MAX_ELEMS];
    uint32_t n;
};

static void read_contents(struct tg_run *run, const struct tg_graph *g, struct contents *c)
{
    c->n = 0;
    for (uint32_t b = 0; b < g->space->n_buffers; b++)
        for (uint32_t t = 0; t < g->space->buffers[b].n_tiles; t++, c->n += TILE_ELEMS) {
            void *tile = tg_run_tile(run, b, t);
            assert_non_null(tile);
            memcpy(c->words + c->n, tile, TILE_ELEMS * sizeof(uint64_t));
        }
}

/* The program's own memory for every buffer. */
static uint64_t bound[MAX_ELEMS];

static void bind_all(struct tg_run *run, const struct tg_graph *g)
{
    struct tg_error err;
    uint32_t n = 0;
    for (uint32_t b = 0; b < g->space->n_buffers; b++, n += g->space->buffers[b - 1].n_tiles * TILE_ELEMS)
        MUST(tg_run_bind(run, b, bound + n, &err));
}

static void fill_bound(void)
{
    for (uint32_t i = 0; i < MAX_ELEMS; i++)
        bound[i] = mix64(i);
}

/* What a run has left in the program's memory, not asked for. */
static void read_bound(struct contents *c, uint32_t n)
{
    memcpy(c->words, bound, n * sizeof(uint64_t));
    c->n = n;
}

/* Graphs of bodies are for runs that are CUDA graphs, in which devices decide about rounds. */
static struct random_shape draw_shape(struct dice *d, bool is_of_bodies)
{
    struct random_shape s = {.n_buffers = 1 + roll(d, 4), .n_tiles = 1 + roll(d, 6), .n_tasks = 1 + roll(d, 60)};
    s.has_bodies = roll(d, 4) == 0;
    s.has_collectives = roll(d, 4) == 0;
    s.has_barriers = roll(d, 4) == 0;
    s.has_overlaps = false;
    s.percent_rows = roll(d, 2) ? roll(d, 50) : 0;
    s.percent_after = roll(d, 3) ? 0 : roll(d, 40);
    s.percent_priority = roll(d, 3) ? 0 : 50;
    if (is_of_bodies) {
        s.has_bodies = true;
        s.has_collectives = false;
    }
    return s;
}

static void expect_no_violation(uint64_t seed)
{
    char text[4096];
    if (standin.standin_violations(text, sizeof text)) {
        fprintf(stderr, "TGRAPH_TEST_SEED=%" PRIu64 ": %s\n", seed, text);
        abort();
    }
}

/* The least memory of a device with which the graph is accepted: its largest footprint. */
static uint64_t least_memory(const struct tg_graph *g, struct tg_runtime_options ro)
{
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    for (ro.device_bytes = 256;; ro.device_bytes += 256) {
        MUST(tg_runtime_create(&ro, &rt, &err));
        int rc = tg_run_create(rt, g, NULL, &run, &err);
        if (rc == 0)
            tg_run_destroy(run);
        tg_runtime_destroy(rt);
        if (rc == 0)
            return ro.device_bytes;
        if (rc != TG_E_CAPACITY) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
    }
}

static uint32_t n_policies; /* runs that had one */
static uint32_t n_graphs; /* starts that were */
static uint64_t n_conditions; /* of graphs */

static void compare_one(uint64_t seed, bool is_of_bodies)
{
    struct random_graph r;
    struct tg_error err;
    struct dice d = {mix64(seed ^ 0xd0d0)};
    struct random_shape shape = draw_shape(&d, is_of_bodies);
    static struct contents expected, have;
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct standin_options so = {1 + (int)roll(&d, is_of_bodies ? roll(&d, 4) ? 1 : 3 : roll(&d, 8) ? 4 : 8), 1 << 20, seed, roll(&d, 4) != 0};
    nccl.standin_nccl_reset();
    setenv("TGRAPH_NCCL", roll(&d, 2) ? nccl_path : "off", 1); /* off: the host performs collectives */
    struct tg_runtime *rt;
    struct tg_run *run;
    standin.standin_reset(&so);
    ro.n_workers = 1 + roll(&d, 3);
    ro.devices = "cuda";
    bool is_short = roll(&d, 4) == 0;
    random_graph_create(&r, &shape, seed);
    add_variants(&r, is_of_bodies || roll(&d, 3) ? 100 : roll(&d, 101), &d);
    bool has_homes = !is_of_bodies && roll(&d, 2); /* on a device each, as collectives by devices need */
    for (uint32_t b = 0; has_homes && b < r.graph->space->n_buffers; b++)
        r.graph->space->buffers[b].home = "cyclic:{i}";
    MUST(tg_graph_freeze(r.graph, &err));
    if (is_short) /* replicas have to go */
        ro.device_bytes = least_memory(r.graph, ro) + 256 * roll(&d, 4);
    MUST(tg_runtime_create(&ro, &rt, &err));
    options.is_deterministic = true;
    MUST(tg_run_create(rt, r.graph, &options, &run, &err));
    bool is_bound = roll(&d, 3) == 0;
    if (is_bound)
        bind_all(run, r.graph);
    fill_bound();
    MUST(tg_run_execute(run, &err));
    read_contents(run, r.graph, &expected);
    tg_run_destroy(run);
    options.is_deterministic = false;
    options.is_recorded = roll(&d, 4) == 0;
    options.check_finite = roll(&d, 8) == 0; /* one task at a time, on devices as well */
    options.executor = roll(&d, 2) ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS;
    if (is_of_bodies) {
        options.is_recorded = options.check_finite = false;
        options.executor = TG_EXECUTOR_GRAPH;
        options.keep_data = false;
    }
    static const char *const policies[] = {"eager", "steal", "heft", "bandwidth"};
    if (!is_of_bodies && !options.check_finite && roll(&d, 2))
        options.policy = policies[roll(&d, 4)];
    int rc = tg_run_create(rt, r.graph, &options, &run, &err);
    if (rc == TG_E_UNSUPPORTED && options.policy) { /* no task can run on a device: nothing to decide */
        options.policy = NULL;
        rc = tg_run_create(rt, r.graph, &options, &run, &err);
    }
    if (rc)
        fail_msg("TGRAPH_TEST_SEED=%" PRIu64 ": %s", seed, err.text);
    n_policies += options.policy != NULL;
    if (is_bound)
        bind_all(run, r.graph);
    for (int i = 0; i < 2 + (options.executor == TG_EXECUTOR_GRAPH); i++) { /* a graph is recorded twice as a rule, then replayed */
        fill_bound();
        MUST(tg_run_execute(run, &err));
        n_graphs += tg_run_executor(run, NULL) == TG_EXECUTOR_GRAPH;
        if (is_bound)
            read_bound(&have, expected.n);
        else
            read_contents(run, r.graph, &have);
        expect_no_violation(seed);
        for (uint32_t k = 0; k < have.n; k++)
            if (have.words[k] != expected.words[k]) {
                fprintf(stderr, "run %d, TGRAPH_TEST_SEED=%" PRIu64 ": word %u differs\n", i, seed, k);
                abort();
            }
    }
    n_conditions += standin.standin_calls("cuGraphConditionalHandleCreate");
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(r.graph);
    char leaks[1024];
    if (standin.standin_leaks(leaks, sizeof leaks)) {
        fprintf(stderr, "TGRAPH_TEST_SEED=%" PRIu64 " leaks: %s\n", seed, leaks);
        abort();
    }
}

static void random_graphs_on_devices_equal_sequential_execution(void **state)
{
    (void)state;
    uint64_t seed = test_seed(1);
    uint32_t n = getenv("TGRAPH_TEST_SEED") ? 1 : ROUNDS(1000);
    for (uint32_t i = 0; i < n; i++)
        compare_one(seed + i, false);
    printf("%" PRIu64 " collectives by NCCL, %u runs with a policy, %u starts as graphs\n", nccl.standin_nccl_operations(), n_policies,
           n_graphs);
    assert_true(n == 1 || n_graphs > 0);
}

static void devices_decide_about_rounds_as_the_host_does(void **state)
{
    (void)state;
    uint64_t seed = test_seed(1);
    uint32_t n = getenv("TGRAPH_TEST_SEED") ? 1 : ROUNDS(300);
    n_graphs = 0;
    n_conditions = 0;
    for (uint32_t i = 0; i < n; i++)
        compare_one(seed + i, true);
    printf("%u starts as graphs, with %" PRIu64 " conditions\n", n_graphs, n_conditions);
    assert_true(n == 1 || (n_graphs > n / 2 && n_conditions > n / 8));
}

static int load(void **state)
{
    char path[4096];
    (void)state;
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path))
        return -1;
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
    setenv("TGRAPH_HISTORY", "off", 1); /* no case depends on what another one has measured */
    char *name = strrchr(path, '/'), kernels[4200];
    snprintf(kernels, sizeof kernels, "%.*s/standin-kernels.txt", (int)(name - path), path);
    setenv("TGRAPH_CUDA_KERNELS", kernels, 1); /* what decides in graphs is among them, also in a build without nvcc */
    snprintf(nccl_path, sizeof nccl_path, "%.*s/libstandin-nccl.so", (int)(name - path), path);
    void *handle = dlopen(nccl_path, RTLD_NOW | RTLD_LOCAL);
    void *reset = handle ? dlsym(handle, "standin_nccl_reset") : NULL;
    void *operations = handle ? dlsym(handle, "standin_nccl_operations") : NULL;
    if (!reset || !operations)
        return -1;
    memcpy(&nccl.standin_nccl_reset, &reset, sizeof reset);
    memcpy(&nccl.standin_nccl_operations, &operations, sizeof operations);
    int fd = mkstemp(image_path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    unlink(image_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_on_devices_equal_sequential_execution),
        cmocka_unit_test(devices_decide_about_rounds_as_the_host_does),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
