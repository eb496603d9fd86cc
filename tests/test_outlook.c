/* What is foretold of resident kernels, from graphs alone. */
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

#include "io/outlook.h"

static const struct tgi_gain_costs costs = TGI_GAIN_COSTS_INIT;

/* ' for " */
static struct tg_graph *read_graph(const char *text)
{
    char path[] = "/tmp/tgraph-test-outlook-XXXXXX";
    int fd = mkstemp(path);
    struct tg_graph *g;
    struct tg_error err;
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    for (; *text; text++)
        fputc(*text == '\'' ? '"' : *text, f);
    fclose(f);
    if (tg_graph_load(path, NULL, &g, &err) || tg_graph_freeze(g, &err))
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    unlink(path);
    return g;
}

/* on_cpu: a task that is there instead; TG_NONE: none is. */
static struct tgi_outlook outlook_of(const char *text, uint32_t n_devices, uint32_t on_cpu)
{
    struct tg_graph *g = read_graph(text);
    uint32_t n = g->n_tasks, *device_of = malloc((n + 1u) * sizeof *device_of);
    struct tgi_outlook o;
    struct tg_error err;
    for (uint32_t t = 0; t < n; t++)
        device_of[t] = t == on_cpu ? TG_NONE : t % n_devices;
    if (tgi_outlook_find(g, device_of, n_devices, &costs, &o, &err))
        fail_msg("%s", err.text);
    free(device_of);
    tg_graph_destroy(g);
    return o;
}

#define HEAD "{'tgraph': '1.0', 'buffers': {'A': {'dtype': 'u64', 'shape': [16], 'tiles': [400], 'init': {'iota': true}}, " \
             "'M': {'dtype': 'f64', 'shape': [200000], 'tiles': [4], 'init': {'iota': true}}, "                              \
             "'G': {'dtype': 'f64', 'shape': [128, 128], 'tiles': [12], 'init': {'iota': true}}}, "                          \
             "'kernels': {'add': {'builtin': 'hash_add'}, 'mix': {'builtin': 'hash_inout'}, 'scale': {'builtin': 'scale'}, 'gemm': {'builtin': 'gemm_nn'}, "   \
             "'histogram': {'builtin': 'histogram'}}, 'tasks': ["
#define FINE "{'for': ['s in 0:2', 'i in 0:400'], 'id': 't[{s},{i}]', 'kernel': 'add', 'args': {'id': 's*400+i', 'n': 16, 'acc': 'A[i]'}}"

static void fine_tasks_gain(void **state)
{
    (void)state;
    struct tgi_outlook o = outlook_of(HEAD FINE "]}", 1, TG_NONE);
    assert_true(o.possible.n_tasks == 800 && o.sure.n_tasks == 800 && o.hoped.n_tasks == 800);
    assert_true(o.sure.nodes_ns == 800 * (double)costs.node_ns);
    assert_true(o.sure.resident_ns > costs.start_ns && o.sure.worst_ns > o.sure.resident_ns && o.sure.n_timed == 0);
    o = outlook_of(HEAD FINE ", {'barrier': true}, "
                             "{'id': 'more', 'copy': {'from': 'A[0]', 'to': 'A[1]'}}]}", 1, TG_NONE);
    assert_int_equal(o.sure.n_tasks, 801); /* the copy, not the barrier */
}

/* A cluster on each. */
static void devices_have_clusters_of_their_own(void **state)
{
    (void)state;
    struct tgi_outlook o = outlook_of(HEAD FINE "]}", 2, TG_NONE);
    assert_int_equal(o.possible.n_tasks, 800);
    assert_true(o.possible.resident_ns > 2 * (double)costs.start_ns);
}

static void what_is_coarse_does_not(void **state)
{
    (void)state;
    static const char scale[] = HEAD "{'for': ['s in 0:50', 'i in 0:4'], 'id': 't[{s},{i}]', 'kernel': 'scale', "
                                     "'args': {'n': 200000, 'a': 2, 'x': 'M[i]'}}]}";
    static const char gemm[] = HEAD "{'for': ['i in 0:4'], 'id': 't[{i}]', 'kernel': 'gemm', 'args': {'m': 128, 'n': 128, 'k': 128, "
                                    "'a': 'G[i]', 'b': 'G[i+4]', 'c': 'G[i+8]'}}]}";
    static const char histogram[] = HEAD "{'for': ['i in 0:4'], 'id': 't[{i}]', 'kernel': 'histogram', 'args': {'n': 8, 'bins': 4, 'lo': 0, "
                                         "'hi': 1, 'x': 'M[i]', 'h': 'A[i]'}}]}";
    assert_true(outlook_of(scale, 1, TG_NONE).possible.n_tasks == 0);
    assert_true(outlook_of(gemm, 1, TG_NONE).possible.n_tasks == 0);
    assert_true(outlook_of(histogram, 1, TG_NONE).possible.n_tasks == 0);
}

/* Task 1 of a chain of 400, on a CPU, leaves one before it, which is no cluster, and those after it. */
static void a_task_on_a_cpu_stands_between(void **state)
{
    (void)state;
    static const char chain[] = HEAD "{'for': ['i in 0:400'], 'id': 't[{i}]', 'kernel': 'mix', 'args': {'id': 'i', 'n': 16, 'out': 'A[0]'}}]}";
    struct tgi_outlook o = outlook_of(chain, 1, TG_NONE);
    assert_true(o.possible.n_tasks == 400 && o.sure.n_tasks == 0 && o.hoped.n_tasks == 400); /* as measured chains, it may */
    assert_true(o.possible.nodes_ns == 400 * (double)costs.chain_ns);
    assert_int_equal(outlook_of(chain, 1, 1).possible.n_tasks, 398);
}

static void of_rounds_nothing_is_foretold(void **state)
{
    (void)state;
    static const char rounds[] = HEAD FINE ", {'id': 'r', 'repeat': 3, 'do': [{'id': 'x', 'kernel': 'add', "
                                           "'args': {'id': 1, 'n': 16, 'acc': 'A[0]'}}]}]}";
    struct tgi_outlook o = outlook_of(rounds, 1, TG_NONE);
    assert_true(o.possible.n_tasks == 0 && o.sure.n_tasks == 0 && o.hoped.n_tasks == 0);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(fine_tasks_gain),         cmocka_unit_test(devices_have_clusters_of_their_own),
        cmocka_unit_test(what_is_coarse_does_not), cmocka_unit_test(a_task_on_a_cpu_stands_between),
        cmocka_unit_test(of_rounds_nothing_is_foretold),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
