/* How graphs that say nothing of homes are cut into parts for devices: equal work at every level, few copies, and the same each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/gen.h"
#include "sched/partition.h"

static struct tg_graph *load(const char *path)
{
    struct tg_graph *g;
    struct tg_error err;
    if (tg_graph_load(path, NULL, &g, &err) || tg_graph_freeze(g, &err))
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return g;
}

static struct tg_graph *generate(const char *pattern, uint64_t n_tasks)
{
    char path[] = "/tmp/tgraph-test-partition-XXXXXX";
    int fd = mkstemp(path);
    struct tg_error err;
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    struct tgi_gen_options o = {.pattern = pattern, .n_tasks = n_tasks, .payload = TGI_GEN_HASH, .bytes = 128, .seed = 1};
    if (tgi_gen_write(f, &o, &err))
        fail_msg("%s", err.text);
    fclose(f);
    struct tg_graph *g = load(path);
    unlink(path);
    return g;
}

/* ' for " */
static struct tg_graph *read_graph(const char *text)
{
    char path[] = "/tmp/tgraph-test-partition-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    for (; *text; text++)
        fputc(*text == '\'' ? '"' : *text, f);
    fclose(f);
    struct tg_graph *g = load(path);
    unlink(path);
    return g;
}

/* Devices by task, the caller's to free.  weight NULL: all alike. */
static uint32_t *parts(const struct tg_graph *g, const float *weight, uint32_t n_devices)
{
    uint32_t *device_of = malloc((g->n_tasks + 1u) * sizeof *device_of);
    float *alike = malloc((g->n_tasks + 1u) * sizeof *alike);
    struct tg_error err;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        alike[t] = 1;
    if (tgi_partition_find(g, weight ? weight : alike, n_devices, device_of, &err))
        fail_msg("%s", err.text);
    free(alike);
    return device_of;
}

/* Edges between devices. */
static uint64_t n_cut(const struct tg_graph *g, const uint32_t *device_of)
{
    uint64_t n = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++)
            n += device_of[t] != device_of[g->succ[i]];
    return n;
}

/* Edges between devices on the way that has most of them. */
static uint32_t most_crossings(const struct tg_graph *g, const uint32_t *device_of)
{
    uint32_t most = 0, *n = calloc(g->n_tasks + 1u, sizeof *n);
    for (uint32_t k = 0; k < g->n_tasks; k++) {
        uint32_t t = g->topo ? g->topo[k] : k;
        most = n[t] > most ? n[t] : most;
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++) {
            uint32_t there = n[t] + (device_of[t] != device_of[g->succ[i]]);
            n[g->succ[i]] = there > n[g->succ[i]] ? there : n[g->succ[i]];
        }
    }
    free(n);
    return most;
}

/* At no level has a device more than a task and half of its part too much. */
static void see_balance(const char *name, const struct tg_graph *g, const uint32_t *device_of, uint32_t n_devices)
{
    uint32_t n_levels = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        n_levels = g->level[t] >= n_levels ? g->level[t] + 1 : n_levels;
    uint32_t *n = calloc((size_t)n_levels * (n_devices + 1) + 1, sizeof *n);
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        assert_true(device_of[t] < n_devices);
        n[g->level[t] * (n_devices + 1) + device_of[t]]++;
        n[g->level[t] * (n_devices + 1) + n_devices]++;
    }
    for (uint32_t l = 0; l < n_levels; l++)
        for (uint32_t d = 0; d < n_devices; d++) {
            uint32_t all = n[l * (n_devices + 1) + n_devices], here = n[l * (n_devices + 1) + d];
            if (here > all / n_devices + all / n_devices / 2 + 1)
                fail_msg("%s: %u of %u tasks of level %u on device %u of %u", name, here, all, l, d, n_devices);
        }
    free(n);
}

static void patterns_are_cut_where_little_crosses(void **state)
{
    static const struct {
        const char *name;
        double most; /* edges that are cut, part of all, for each device beyond the first */
    } patterns[] = {{"chain", 0}, {"independent", 0}, {"wavefront", 0.04}, {"stencil1d", 0.04}, {"sweep", 0.04}, {"tree", 0.12}, {"fft", 0.15}, {"random", 0.4}};
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct tg_graph *g = generate(patterns[i].name, 5000);
        for (uint32_t n_devices = 2; n_devices <= 4; n_devices++) {
            uint32_t *device_of = parts(g, NULL, n_devices), *again = parts(g, NULL, n_devices);
            see_balance(patterns[i].name, g, device_of, n_devices);
            assert_memory_equal(device_of, again, g->n_tasks * sizeof *again);
            uint64_t cut = n_cut(g, device_of);
            if ((double)cut > patterns[i].most * (n_devices - 1) * g->nodes[g->n_tasks].succ)
                fail_msg("%s on %u devices: %d of %u edges are cut", patterns[i].name, n_devices, (int)cut, g->nodes[g->n_tasks].succ);
            free(device_of);
            free(again);
        }
        tg_graph_destroy(g);
    }
}

/* The border between the parts of a wavefront moves now and then, not with each diagonal. */
static void a_border_stays_for_a_while(void **state)
{
    (void)state;
    struct tg_graph *g = generate("wavefront", 5000);
    uint32_t n_levels = 0, *device_of = parts(g, NULL, 2);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        n_levels = g->level[t] >= n_levels ? g->level[t] + 1 : n_levels;
    uint32_t most = most_crossings(g, device_of);
    if (most > n_levels / 4)
        fail_msg("the way with most crossings has %u, of %u levels", most, n_levels);
    free(device_of);
    tg_graph_destroy(g);
}

/* One task as long as all others together: it has a device for itself. */
static void weights_count(void **state)
{
    (void)state;
    struct tg_graph *g = generate("independent", 101);
    float weight[101];
    for (uint32_t t = 0; t < 101; t++)
        weight[t] = t == 50 ? 1e8f : 1e6f;
    uint32_t *device_of = parts(g, weight, 2), n_beside = 0;
    for (uint32_t t = 0; t < 101; t++)
        n_beside += t != 50 && device_of[t] == device_of[50];
    assert_true(n_beside <= 1);
    free(device_of);
    tg_graph_destroy(g);
}

static void what_is_not_to_be_given_is_not(void **state)
{
    (void)state;
    struct tg_graph *g = generate("stencil1d", 1000);
    float *weight = malloc(g->n_tasks * sizeof *weight);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        weight[t] = t % 3 ? 1 : 0;
    uint32_t *device_of = parts(g, weight, 2);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        assert_true(t % 3 ? device_of[t] < 2 : device_of[t] == TG_NONE);
    free(device_of);
    free(weight);
    tg_graph_destroy(g);
}

static void tiles_that_are_written_again_are_not_cut(void **state)
{
    (void)state;
    struct tg_graph *g = read_graph("{'tgraph': '1.0', 'kernels': {'mix': {'builtin': 'hash_inout'}},"
                                    "'buffers': {'A': {'dtype': 'u64', 'shape': [8], 'tiles': [8], 'init': {'iota': true}}},"
                                    "'tasks': [{'for': ['r in 0:2', 'i in 0:8'], 'kernel': 'mix', 'args': {'id': 'r', 'n': 1, 'out': 'A[i]', 'in0': 'A[(i+1)%8]'}}]}");
    uint32_t *device_of = parts(g, NULL, 2);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        assert_int_equal(device_of[t], TG_NONE);
    free(device_of);
    tg_graph_destroy(g);
}

static void one_device_has_no_parts(void **state)
{
    (void)state;
    struct tg_graph *g = generate("chain", 10);
    uint32_t *device_of = parts(g, NULL, 1);
    for (uint32_t t = 0; t < g->n_tasks; t++)
        assert_int_equal(device_of[t], TG_NONE);
    free(device_of);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_are_cut_where_little_crosses), cmocka_unit_test(weights_count),
        cmocka_unit_test(a_border_stays_for_a_while),
        cmocka_unit_test(what_is_not_to_be_given_is_not),        cmocka_unit_test(tiles_that_are_written_again_are_not_cut),
        cmocka_unit_test(one_device_has_no_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
