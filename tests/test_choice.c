/* Which way tasks go, by measured time: variants for devices, and CPUs, on the stand-in driver.  Its clock says nothing
 * about kernels, so what was measured is put into the history by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/choice.h"
#include "sched/offload.h"
#include "sched/offload_graph.h"
#include "tests/device_graph.h"
#include "tests/must.h"

enum { N_TASKS = 40 };

static struct tg_error err;

/* x = 2 x + 1, by two functions for devices and one for CPUs. */
#define BODY "{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] = 2 * x[i] + 1; }"
#define VARIANT(name) \
    "{'on': 'cuda', 'entry': '" name "', 'grid': ['ceildiv(n, 32)'], 'block': [32], 'code': ['extern \\'C\\' __global__ void " name \
    "(int n, unsigned long long *x)', '" BODY "']}, "
#define KERNEL \
    ", 'twice': {'params': [{'name': 'n', 'type': 'i32'}, {'name': 'x', 'type': 'u64*', 'access': 'inout'}], 'variants': [" VARIANT( \
        "one") VARIANT("other") "{'on': 'cpu', 'c': ['#include \\'tgraph.h\\'', '#include <stdint.h>', " \
    "'int twice(void **args, const struct tg_context *c) { (void)c; uint64_t *x = *(uint64_t **)args[1];', " \
    "'for (int i = 0; i < *(int *)args[0]; i++) x[i] = 2 * x[i] + 1; return 0; }']}]}"

static struct tg_graph *graph;
static struct tg_runtime *rt;

static void open_all(uint64_t seed, const char *devices)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    char tasks[256];
    device_reset(1, seed, false);
    snprintf(tasks, sizeof tasks, "{'for': ['i in 0:%d'], 'kernel': 'twice', 'args': {'n': 8, 'x': 'x[i]'}}", N_TASKS);
    graph = device_graph("'x': {'dtype': 'u64', 'shape': [8], 'tiles': [40], 'init': {'iota': true}}", KERNEL, tasks);
    ro.n_workers = 1;
    ro.devices = devices;
    MUST(tg_runtime_create(&ro, &rt, &err));
}

static void close_all(void)
{
    tg_runtime_destroy(rt);
    tg_graph_destroy(graph);
}

static struct tg_run *new_run(void)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    options.is_recorded = true;
    MUST(tg_run_create(rt, graph, &options, &run, &err));
    return run;
}

/* How many tasks ran on the device; what they computed is right. */
static uint64_t execute(struct tg_run *run)
{
    uint64_t *expected = device_expected(graph, false, 1), *have = calloc(device_words(graph) + 1, sizeof *have);
    MUST(tg_run_execute(run, &err));
    assert_true(device_read(run, graph, have));
    assert_memory_equal(have, expected, device_words(graph) * sizeof *have);
    free(expected);
    free(have);
    return run->offload ? run->offload->n_device_tasks[0] : 0;
}

enum { ALONE = 1, BESIDE = 2 }; /* others on the device */

/* Tasks whose variant ends in `variant` ("cpu": on CPUs) were measured to take ns. */
static void measured_when(const char *variant, int when, double ns)
{
    struct tgi_history *h = rt->offload->history;
    uint32_t n_found = 0;
    for (uint32_t i = 0; i < tgi_history_n(h); i++) {
        struct tgi_history_key key;
        tgi_history_key(h, i, &key);
        size_t n = strlen(key.variant), m = strlen(variant);
        bool is_it = strcmp(variant, "cpu") == 0 ? strncmp(key.device, "cpu", 3) == 0
                                                 : n >= m && strcmp(key.variant + n - m, variant) == 0;
        is_it = is_it && when & (strncmp(key.sizes, "alone", 5) == 0 ? ALONE : BESIDE);
        for (int k = 0; is_it && k < 8; k++)
            tgi_history_note(h, i, ns);
        n_found += is_it;
    }
    assert_int_equal(n_found, when == (ALONE | BESIDE) && strcmp(variant, "cpu") ? 2 : 1);
}
static void measured(const char *variant, double ns) { measured_when(variant, ALONE | BESIDE, ns); }

/* Entries come with the first run. */
static void make_entries(void) { tg_run_destroy(new_run()); }

static void each_variant_is_tried(void **state)
{
    (void)state;
    open_all(1, "cuda+cpu");
    struct tg_run *run = new_run();
    uint32_t op = graph->nodes[0].op & TGI_NODE_OP;
    assert_int_equal(execute(run), N_TASKS);
    assert_non_null(strstr(tgi_run_device_text(run, op), "one ("));
    assert_non_null(strstr(tgi_run_device_text(run, op), "other ("));
    execute(run); /* the first time of either does not count */
    struct tgi_history *h = rt->offload->history;
    for (uint32_t i = 0; i < tgi_history_n(h); i++) {
        struct tgi_history_key key;
        struct tgi_history_model m;
        tgi_history_key(h, i, &key);
        if (strncmp(key.sizes, "alone", 5) == 0) {
            assert_true(tgi_history_model(h, i, &m));
            assert_true(m.n_seen >= 1);
        }
    }
    tg_run_destroy(run);
    close_all();
}

static void the_variant_with_the_shorter_median_executes_everything(void **state)
{
    (void)state;
    static const char *const names[] = {"one", "other"};
    for (uint32_t fast = 0; fast < 2; fast++) {
        open_all(2, "cuda+cpu");
        make_entries();
        measured(names[fast], 1e4);
        measured(names[!fast], 2e6);
        struct tg_run *run = new_run();
        assert_int_equal(execute(run), N_TASKS);
        const char *text = tgi_run_device_text(run, graph->nodes[0].op & TGI_NODE_OP);
        size_t n = strlen(text), m = strlen(names[fast]);
        assert_true(n > m && strcmp(text + n - m, names[fast]) == 0);
        tg_run_destroy(run);
        close_all();
    }
}

/* The one that is in use runs beside others, and takes longer for it. */
static void times_beside_others_do_not_decide(void **state)
{
    (void)state;
    open_all(2, "cuda+cpu");
    make_entries();
    measured_when("one", ALONE, 1e3);
    measured_when("other", ALONE, 2e3);
    measured_when("one", BESIDE, 8e3);
    struct tg_run *run = new_run();
    assert_int_equal(execute(run), N_TASKS);
    const char *text = tgi_run_device_text(run, graph->nodes[0].op & TGI_NODE_OP);
    size_t n = strlen(text);
    assert_true(n > 3 && strcmp(text + n - 3, "one") == 0);
    tg_run_destroy(run);
    close_all();
}

static void tasks_go_to_cpus_where_these_are_measured_to_be_faster(void **state)
{
    (void)state;
    open_all(3, "cuda+cpu");
    make_entries();
    measured("one", 1e7);
    measured("other", 2e7);
    measured("cpu", 1e3);
    struct tg_run *run = new_run();
    assert_int_equal(execute(run), 0);
    tg_run_destroy(run);
    close_all();
}

static void tasks_stay_on_devices_that_alone_were_asked_for(void **state)
{
    (void)state;
    open_all(3, "cuda");
    make_entries();
    measured("one", 1e7);
    measured("other", 2e7);
    measured("cpu", 1e3);
    struct tg_run *run = new_run();
    assert_int_equal(execute(run), N_TASKS);
    tg_run_destroy(run);
    close_all();
}

static void a_gain_smaller_than_the_way_there_moves_nothing(void **state)
{
    (void)state;
    open_all(4, "cuda+cpu");
    make_entries();
    measured("one", 3e3);
    measured("other", 2e4);
    measured("cpu", 5e3);
    struct tg_run *run = new_run();
    assert_int_equal(execute(run), N_TASKS);
    tg_run_destroy(run);
    close_all();
}

static void cpus_are_tried_with_two_tasks_where_they_could_win(void **state)
{
    (void)state;
    open_all(5, "cuda+cpu");
    make_entries();
    measured("one", 1e7);
    measured("other", 2e7);
    struct tg_run *run = new_run();
    assert_int_equal(execute(run), N_TASKS - 2);
    tg_run_destroy(run);
    struct tgi_history *h = rt->offload->history;
    for (uint32_t i = 0; i < tgi_history_n(h); i++) {
        struct tgi_history_key key;
        struct tgi_history_model m;
        tgi_history_key(h, i, &key);
        if (strncmp(key.device, "cpu", 3) == 0) {
            assert_true(tgi_history_model(h, i, &m));
            assert_int_equal(m.n_seen, 2); /* now it is known what they take there */
        }
    }
    close_all();
}

static void cpus_are_not_tried_where_they_cannot_win(void **state)
{
    (void)state;
    open_all(6, "cuda+cpu");
    make_entries();
    measured("one", 1e4); /* less than crossing to the host and back takes */
    measured("other", 2e7);
    struct tg_run *run = new_run();
    assert_int_equal(execute(run), N_TASKS);
    tg_run_destroy(run);
    close_all();
}

static bool shares(struct tgi_devices *ds, const struct tgi_code *code, const struct tgi_shape *shape)
{
    (void)ds, (void)code;
    return shape->alternative == 0;
}

static void count_variants(void *user, const char *kernel, void **args)
{
    uint32_t *n = user;
    (void)args;
    n[0] += strcmp(kernel, "one") == 0;
    n[1] += strcmp(kernel, "other") == 0;
}

/* "one" is taken for a library's call and is the faster one by itself: a graph with "other" in its place is tried for some starts, and only where there is
 * such a call; one of both stays. */
static void a_graph_without_calls_is_tried(void **state)
{
    enum { N_STARTS = 40 };
    (void)state;
    for (int i_case = 0; i_case < 4; i_case++) {
        bool has_calls = i_case % 2, is_known = i_case < 2; /* not known: as where no start has gone by streams */
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tgi_offload_graph_stats stats;
        uint32_t n[2] = {0, 0}, n_with = 0;
        open_all(2, "cuda");
        struct tgi_devices *ds = rt->offload->devices;
        const struct tgi_device_ops *true_ops = ds->ops;
        struct tgi_device_ops ops = *ds->ops;
        if (has_calls)
            ops.shares_lane = shares;
        ds->ops = &ops;
        struct tg_run *run;
        make_entries();
        if (is_known) {
            measured("one", 1e7); /* forty of them are a good part of any replay */
            measured("other", 2e7);
        }
        standin.standin_watch_kernels(count_variants, n);
        options.executor = TG_EXECUTOR_GRAPH;
        MUST(tg_run_create(rt, graph, &options, &run, &err));
        for (uint32_t i = 0; i < N_STARTS; i++) {
            uint32_t before[2] = {n[0], n[1]};
            execute(run);
            tgi_offload_graph_stats(run, &stats);
            assert_int_equal(n[0] - before[0], stats.has_kernels ? 0 : N_TASKS);
            assert_int_equal(n[1] - before[1], stats.has_kernels ? N_TASKS : 0);
            n_with += !stats.has_kernels;
        }
        assert_int_equal(n_with < N_STARTS, has_calls);
        assert_true(n_with >= 3);
        assert_true(stats.kernels_ns == 0 || stats.has_kernels == (stats.kernels_ns <= 0.97 * stats.calls_ns));
        tg_run_destroy(run);
        ds->ops = true_ops;
        close_all();
    }
}

static void kernels_are_there_from_the_first_start_where_that_is_said(void **state)
{
    (void)state;
    for (int is_recorded = 0; is_recorded < 2; is_recorded++) {
        struct tg_run_options options = TG_RUN_OPTIONS_INIT;
        struct tgi_offload_graph_stats stats;
        uint32_t n[2] = {0, 0};
        open_all(2, "cuda");
        struct tgi_devices *ds = rt->offload->devices;
        const struct tgi_device_ops *true_ops = ds->ops;
        struct tgi_device_ops ops = *ds->ops;
        ops.shares_lane = shares;
        ds->ops = &ops;
        struct tg_run *run;
        make_entries();
        standin.standin_watch_kernels(count_variants, n);
        options.executor = TG_EXECUTOR_GRAPH;
        options.is_recorded = is_recorded;
        MUST(tg_run_create(rt, graph, &options, &run, &err));
        MUST(tgi_offload_graph_use_kernels(run, &err));
        for (int i = 0; i < 3; i++)
            execute(run);
        tgi_offload_graph_stats(run, &stats);
        assert_true(stats.has_kernels);
        assert_false(stats.is_trying);
        assert_true(stats.kernels_ns == 0);
        assert_int_equal(n[0], 0);
        assert_int_equal(n[1], 3 * N_TASKS);
        tg_run_destroy(run);
        ds->ops = true_ops;
        close_all();
    }
}

static void sources_of_times_are_counted(void **state)
{
    (void)state;
    struct tgi_run_times s;
    open_all(7, "cuda+cpu");
    struct tg_run *run = new_run();
    tgi_choices_sources(run->offload->choices, graph, &s);
    assert_int_equal(s.n_sized, N_TASKS);
    execute(run);
    tgi_choices_sources(run->offload->choices, graph, &s);
    assert_int_equal(s.n_measured, N_TASKS);
    assert_int_equal(s.n_sized + s.n_declared + s.n_roofline, 0);
    tg_run_destroy(run);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_variant_is_tried),
        cmocka_unit_test(times_beside_others_do_not_decide),
        cmocka_unit_test(the_variant_with_the_shorter_median_executes_everything),
        cmocka_unit_test(tasks_go_to_cpus_where_these_are_measured_to_be_faster),
        cmocka_unit_test(tasks_stay_on_devices_that_alone_were_asked_for),
        cmocka_unit_test(a_gain_smaller_than_the_way_there_moves_nothing),
        cmocka_unit_test(cpus_are_tried_with_two_tasks_where_they_could_win),
        cmocka_unit_test(cpus_are_not_tried_where_they_cannot_win),
        cmocka_unit_test(a_graph_without_calls_is_tried),
        cmocka_unit_test(kernels_are_there_from_the_first_start_where_that_is_said), cmocka_unit_test(sources_of_times_are_counted),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
