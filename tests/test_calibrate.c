/* Measuring: what is asserted of times is what no busy machine can break. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/calibrate.h"
#include "mem/device.h"
#include "sched/guide.h"
#include "tests/device_graph.h"

enum { LIMIT_S = 120 };

static void cpus_only(struct tgi_machine *m)
{
    struct tgi_topology *t;
    struct tg_error err;
    assert_int_equal(tgi_topology_open("numa:1 core:2 pu:1", &t, &err), 0);
    assert_int_equal(tgi_machine_init_cpus(m, t, &err), 0);
    tgi_topology_close(t);
}

static const struct tgi_machine_time *time_of(const struct tgi_machine *m, const char *kernel, const char *class, const char *part)
{
    for (uint32_t i = 0; i < m->n_times; i++)
        if (strcmp(m->times[i].kernel, kernel) == 0 && strcmp(m->classes[m->times[i].class].name, class) == 0 &&
            strstr(m->times[i].arguments, part))
            return &m->times[i];
    fail_msg("no time of \"%s\" on %s with \"%s\"", kernel, class, part);
    return NULL;
}

/* ---- CPUs ---------------------------------------------------------------------------------*/

static void a_machine_that_was_measured_has_its_figures(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true};
    struct tgi_machine m;
    struct tgi_machine_origin here;
    struct tg_error err;
    char why[256];
    if (tgi_calibrate_machine(&c, &m, &err))
        fail_msg("%s", err.text);
    assert_false(m.is_rough);
    assert_true(m.memories[0].bytes_per_ns > 0);
    assert_true(m.classes[0].lane_bytes_per_ns > 0 && m.classes[0].lane_bytes_per_ns <= m.memories[0].bytes_per_ns);
    assert_true(m.classes[0].launch_ns > 0 && m.classes[0].launch_ns != 300); /* 300: the rough figure */
    assert_true(m.classes[0].alloc_ns > 0);
    assert_int_equal(tgi_calibrate_origin(&c, &here, &err), 0);
    assert_true(tgi_machine_is_of(&m.origin, &here, why, sizeof why));
    tgi_machine_fini(&m);
}

/* spin takes at least as long as it is told to. */
static void kernels_are_told_apart_by_name_and_sizes(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .n_workers = 2};
    struct tgi_machine m;
    struct tg_error err;
    struct tg_graph *g = device_graph("'A': {'dtype': 'u8', 'shape': [256], 'tiles': [4], 'init': 'zero'}, "
                                      "'B': {'dtype': 'u8', 'shape': [512], 'tiles': [4], 'init': 'zero'}",
                                      ", 'work': {'params': [{'name': 'us', 'type': 'f64'}, {'name': 'x', 'type': 'u8*', 'access': "
                                      "'in'}], 'cost': {'flops': '1000'}, 'variants': [{'on': 'cpu', 'builtin': 'spin'}]}",
                                      "{'for': ['i in 0:4'], 'kernel': 'work', 'args': {'us': 200, 'x': 'A[i]'}}, "
                                      "{'for': ['i in 0:4'], 'kernel': 'work', 'args': {'us': 400, 'x': 'B[i]'}}, "
                                      "{'repeat': 3, 'do': [{'copy': {'from': 'A[0]', 'to': 'A[1]'}}]}");
    cpus_only(&m);
    if (tgi_calibrate_graph(&c, g, &m, &err))
        fail_msg("%s", err.text);
    const struct tgi_machine_time *short_one = time_of(&m, "builtin spin", "cpu", "256B"),
                                  *long_one = time_of(&m, "builtin spin", "cpu", "512B"),
                                  *copy = time_of(&m, "copy", "cpu", "256B,256B");
    assert_true(short_one->median_ns >= 200e3 && long_one->median_ns >= 400e3);
    assert_true(short_one->together_ns >= 200e3 && short_one->n_together == 2);
    assert_true(short_one->n_samples >= 8 && short_one->flops == 1000 && short_one->bytes == 0);
    assert_true(copy->n_samples >= 6); /* every round counts */
    assert_int_equal(m.n_times, 3);
    /* A second measurement takes the place of the first. */
    assert_int_equal(tgi_calibrate_graph(&c, g, &m, &err), 0);
    assert_int_equal(m.n_times, 3);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void a_graph_that_fails_is_an_error(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .n_workers = 1};
    struct tgi_machine m;
    struct tg_error err;
    struct tg_graph *g = device_graph("'A': {'dtype': 'f64', 'shape': [4, 4], 'init': 'zero'}", ", 'potrf': {'builtin': 'potrf_lower'}",
                                      "{'id': 'p', 'kernel': 'potrf', 'args': {'n': 4, 'a': 'A'}}");
    cpus_only(&m);
    assert_int_equal(tgi_calibrate_graph(&c, g, &m, &err), TG_E_TASK_FAILED);
    assert_string_equal(err.task, "p");
    assert_int_equal(m.n_times, 0);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

static void the_peak_is_that_of_gemm(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .n_workers = 1};
    struct tgi_machine m;
    struct tg_error err;
    cpus_only(&m);
    if (tgi_calibrate_builtins(&c, TGI_CALIBRATE_PEAK, &m, &err))
        fail_msg("%s", err.text);
    const struct tgi_machine_time *t = time_of(&m, "builtin gemm_nn f64", "cpu", "384,");
    assert_int_equal(m.n_times, 1);
    assert_true(t->flops == 2.0 * 384 * 384 * 384);
    assert_true(m.classes[0].flops_per_ns >= t->flops / t->median_ns);
    tgi_machine_fini(&m);
}

/* ---- Devices, on the stand-in -------------------------------------------------------------*/

static void expect_nothing_left(void)
{
    char text[4096];
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("misuse: %s", text);
}

static const struct tgi_machine_link *link_of(const struct tgi_machine *m, const char *from, const char *to)
{
    for (uint32_t i = m->n_links; i-- > 0;)
        if (strcmp(m->links[i].from, from) == 0 && strcmp(m->links[i].to, to) == 0)
            return &m->links[i];
    return NULL;
}

static uint32_t n_copies(const struct tgi_machine *m, const char *from, const char *to, uint32_t n_at_once)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_copies; i++)
        n += strcmp(m->copies[i].from, from) == 0 && strcmp(m->copies[i].to, to) == 0 && m->copies[i].n_at_once == n_at_once;
    return n;
}

static void links_are_measured_by_size_alone_and_together(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .devices = "cuda"};
    struct tgi_machine m;
    struct tg_error err;
    static const char *const pairs[][2] = {{"host", "cuda:0"}, {"cuda:0", "host"}, {"host", "cuda:1"},
                                           {"cuda:1", "host"}, {"cuda:0", "cuda:1"}, {"cuda:1", "cuda:0"}};
    device_reset(2, 1, true);
    cpus_only(&m);
    if (tgi_calibrate_devices(&c, &m, &err))
        fail_msg("%s", err.text);
    expect_nothing_left();
    assert_int_equal(tgi_machine_finish(&m, &err), 0);
    assert_int_equal(m.n_devices, 3);
    uint32_t class = tgi_machine_find_class(&m, "cuda");
    assert_true(class != TG_NONE);
    assert_true(m.classes[class].launch_ns > 0 && m.classes[class].event_ns > 0 && m.classes[class].alloc_ns > 0);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const struct tgi_machine_link *link = link_of(&m, pairs[i][0], pairs[i][1]);
        assert_non_null(link);
        assert_true(link->bytes_per_ns > 0 && link->latency_ns > 0);
        assert_true(n_copies(&m, pairs[i][0], pairs[i][1], 1) >= 2);
        assert_int_equal(n_copies(&m, pairs[i][0], pairs[i][1], 2), 1);
    }
    /* More GPUs than there are have links no better than these. */
    struct tgi_machine_change change = {4, 1, 1, 0};
    struct tgi_machine more;
    assert_int_equal(tgi_machine_change(&m, &change, &more, &err), 0);
    const struct tgi_machine_link *in = tgi_machine_route(&more, 0, 4), *out = tgi_machine_route(&more, 4, 0),
                                  *peer = tgi_machine_route(&more, 2, 4), *measured = tgi_machine_route(&more, 0, 1);
    assert_true(in && out && peer && measured);
    assert_string_equal(measured->to, "cuda:0");
    assert_string_equal(in->to, "cuda");
    assert_string_equal(out->from, "cuda");
    assert_string_equal(peer->from, "cuda");
    assert_true(in->bytes_per_ns <= measured->bytes_per_ns && in->latency_ns >= measured->latency_ns);
    tgi_machine_fini(&more);
    for (uint32_t i = 1; i < 3; i++)
        assert_true(m.memories[i].bytes_per_ns > 0 && m.memories[i].port_bytes_per_ns > 0 && m.memories[i].bytes > 0);
    tgi_machine_fini(&m);
}

static void runs_as_graphs_are_measured_by_size(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .devices = "cuda"};
    struct tgi_machine m;
    struct tg_error err;
    const struct standin_options roomy = {1, 8 << 20, 1, true}; /* what is measured are nodes, though resident kernels would have room */
    struct tgi_machine_class class = {"cuda", TGI_DEVICE_CUDA, .flops_per_ns = 1};
    /* What more copies take is a difference, which others at work may hide. */
    for (int attempt = 0; attempt < 5; attempt++) {
        if (attempt)
            tgi_machine_fini(&m);
        standin.standin_reset(&roomy);
        cpus_only(&m);
        assert_int_equal(tgi_machine_add_class(&m, &class, &err), 0);
        if (tgi_calibrate_graphs(&c, &m, 1, &err))
            fail_msg("%s", err.text);
        if (m.n_replays && m.replays[0].ns[TGI_REPLAY_COPY] > 0)
            break;
    }
    assert_int_equal(standin.standin_calls("cuGraphKernelNodeSetAttribute"), 0); /* no kernel whose blocks are there all at once */
    expect_nothing_left();
    uint32_t n_ends = 0; /* each less what was measured of runs of that size, which may be more while others are at work */
    assert_int_equal(m.n_replays, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct tgi_machine_replay *r = &m.replays[i];
        assert_true(r->class == 1 && r->n_tasks == (i == 0 ? 10 : i == 1 ? 100 : 1000));
        assert_true(r->ns[TGI_REPLAY_RECORD] > 0 && r->ns[TGI_REPLAY_INSTANTIATE] > 0);
        assert_true(r->ns[TGI_REPLAY_LAUNCH] > 0 && r->ns[TGI_REPLAY_SUBMIT] > 0);
        n_ends += (r->ns[TGI_REPLAY_ON_STREAMS] > 0) + (r->ns[TGI_REPLAY_AS_GRAPH] > 0);
        assert_true(r->ns[TGI_REPLAY_COPY] > 0 && r->ns[TGI_REPLAY_COPY] == m.replays[0].ns[TGI_REPLAY_COPY]);
    }
    assert_true(n_ends > 0);
    tgi_machine_fini(&m);
}

/* Times of the stand-in are what they are; inside a kernel they may be too short for its clock. */
static void tasks_inside_graphs_are_measured(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .devices = "cuda"};
    struct tgi_machine m;
    struct tg_error err;
    const struct standin_options roomy = {1, 8 << 20, 1, true}; /* tables of resident programs have their size */
    standin.standin_reset(&roomy);
    cpus_only(&m);
    struct tgi_machine_class class = {"cuda", TGI_DEVICE_CUDA, .flops_per_ns = 1};
    assert_int_equal(tgi_machine_add_class(&m, &class, &err), 0);
    if (tgi_calibrate_inside(&c, &m, 1, &err))
        fail_msg("%s", err.text);
    expect_nothing_left();
    const struct tgi_machine_class *k = &m.classes[1];
    assert_true(k->node_ns > 0 && k->chain_ns > 0);
    assert_true(k->resident_task_ns >= 0 && k->resident_start_ns >= 0 && k->resident_task_ns < k->chain_ns);
    assert_true(k->stamp_ns >= 0);
    assert_true(standin.standin_calls("cuGraphLaunch") >= 73); /* ten of each of the seven graphs, and three that are recorded */
    tgi_machine_fini(&m);
}

/* Making a graph is dear by the machine file, where else it would be assumed to pay. */
static void a_run_that_knows_a_machine_file_decides_by_it(void **state)
{
    (void)state;
    struct tgi_machine m;
    struct tg_error err;
    device_reset(1, 1, true);
    cpus_only(&m);
    struct tgi_machine_replay replay = {.class = 0, .n_tasks = 4, .ns = {[TGI_REPLAY_RECORD] = 1e15, [TGI_REPLAY_INSTANTIATE] = 1e15}};
    assert_int_equal(tgi_machine_add_replay(&m, &replay, &err), 0);
    for (int has_file = 0; has_file < 2; has_file++) {
        struct tg_graph *g = device_graph("'A': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': {'iota': true}}", "",
                                          "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}");
        struct tg_runtime *rt = device_runtime("cuda:0", 0);
        struct tg_run_options o = TG_RUN_OPTIONS_INIT;
        struct tgi_guide guide = {.machine = has_file ? &m : NULL};
        const char *why = NULL;
        struct tg_run *run;
        o.executor = TG_EXECUTOR_AUTO;
        o.n_starts_expected = 1000000;
        assert_int_equal(tgi_run_create_guided(rt, g, &o, &guide, &run, &err), 0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(tg_run_execute(run, &err), 0);
        bool is_graph = tg_run_executor(run, &why) == TG_EXECUTOR_GRAPH;
        assert_int_equal(is_graph, !has_file);
        if (has_file)
            assert_true(why && strstr(why, "to make") && !strstr(why, "assumed"));
        tg_run_destroy(run);
        tg_runtime_destroy(rt);
        tg_graph_destroy(g);
    }
    expect_nothing_left();
    tgi_machine_fini(&m);
}

static void devices_that_do_not_reach_each_other_have_no_link(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .devices = "cuda"};
    struct tgi_machine m;
    struct tg_error err;
    device_reset(2, 1, false);
    cpus_only(&m);
    if (tgi_calibrate_devices(&c, &m, &err))
        fail_msg("%s", err.text);
    expect_nothing_left();
    assert_null(link_of(&m, "cuda:0", "cuda:1"));
    assert_non_null(link_of(&m, "cuda:0", "host"));
    tgi_machine_fini(&m);
}

/* Of one of four tasks that do not depend on each other: how much of the device it leaves to others is known. */
static bool is_plausible(const struct tgi_machine_time *t)
{
    return t->together_ns > 0 && t->together_ns <= TGI_COMPUTE_LANES * t->median_ns && t->median_ns > 0 && t->beside_ns > 0 && t->enqueue_ns > 0 && t->mark_ns > 0 && t->see_ns > 0 && t->graph_ns > 0 && t->copy_launch_ns > 0 &&
           !t->shares_lane && t->graph_part > 0 && t->graph_part <= 1;
}

static void kernels_run_on_devices_as_well(void **state)
{
    (void)state;
    struct tgi_calibration c = {.is_quick = true, .n_workers = 1, .devices = "cuda:1", .device_set = 2};
    struct tgi_machine m;
    struct tg_error err;
    struct tg_graph *g = device_graph("'A': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': {'iota': true}}", "",
                                      "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'A[i]'}}");
    /* How times compare is what it is only while nobody else is at work, for a moment at least. */
    for (int attempt = 0; attempt < 5; attempt++) {
        if (attempt)
            tgi_machine_fini(&m);
        device_reset(2, 1, true);
        cpus_only(&m);
        if (tgi_calibrate_devices(&c, &m, &err) || tgi_calibrate_graph(&c, g, &m, &err))
            fail_msg("%s", err.text);
        expect_nothing_left();
        if (is_plausible(time_of(&m, "builtin hash_inout", "cuda", "256B")))
            break;
    }
    assert_int_equal(m.n_devices, 2);
    assert_string_equal(m.devices[1].name, "cuda:1");
    assert_true(time_of(&m, "builtin hash_inout", "cpu", "256B")->n_samples >= 8);
    assert_true(time_of(&m, "builtin hash_inout", "cuda", "256B")->n_samples >= 8);
    const struct tgi_machine_time *beside = time_of(&m, "builtin hash_inout", "cuda", "256B");
    assert_int_equal(beside->n_together, TGI_COMPUTE_LANES);
    assert_int_equal(m.devices[1].n_lanes, TGI_COMPUTE_LANES);
    assert_true(is_plausible(beside));
    assert_true(beside->move_ns == 0); /* each of them has something copied: what they take without is not known */
    tgi_machine_fini(&m);
    /* With devices alone, CPUs are left out. */
    c.only_devices = true;
    device_reset(2, 1, true);
    cpus_only(&m);
    if (tgi_calibrate_devices(&c, &m, &err) || tgi_calibrate_graph(&c, g, &m, &err))
        fail_msg("%s", err.text);
    expect_nothing_left();
    assert_int_equal(m.n_times, 4); /* `id` is an integer, which tells them apart */
    for (uint32_t i = 0; i < m.n_times; i++)
        assert_int_equal(m.classes[m.times[i].class].kind, TGI_DEVICE_CUDA);
    tgi_machine_fini(&m);
    tg_graph_destroy(g);
}

/* Whatever the driver refuses, it is an error with its text, and all that was got is returned. */
static void what_the_driver_refuses_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        uint64_t nth;
    } cases[] = {{"cuMemAlloc", 1}, {"cuMemAlloc", 2}, {"cuMemHostAlloc", 1}, {"cuMemHostAlloc", 2}, {"cuEventCreate", 1},
                 {"cuEventCreate", 3}, {"cuMemcpyHtoDAsync", 1}, {"cuMemcpyHtoDAsync", 9}, {"cuMemcpyDtoHAsync", 2},
                 {"cuMemcpyPeerAsync", 1}, {"cuMemcpyDtoDAsync", 1}, {"cuLaunchKernel", 1}, {"cuLaunchKernel", 300},
                 {"cuEventRecord", 5}, {"cuEventElapsedTime", 2}, {"cuEventSynchronize", 3}, {"cuStreamWaitEvent", 1}};
    uint32_t n_hit = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tgi_calibration c = {.is_quick = true, .devices = "cuda"};
        struct tgi_machine m;
        struct tg_error err = {0};
        device_reset(2, 1, true);
        standin.standin_fail(cases[i].call, cases[i].nth, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
        cpus_only(&m);
        int rc = tgi_calibrate_devices(&c, &m, &err);
        if (standin.standin_fail_hits()) {
            n_hit++;
            if (rc == 0)
                fail_msg("%s, call %d: nobody noticed", cases[i].call, (int)cases[i].nth);
            assert_true(err.text[0] != '\0');
        }
        standin.standin_fail_clear();
        expect_nothing_left();
        tgi_machine_fini(&m);
    }
    assert_true(n_hit >= 12); /* names are those that are really called */
}

/* ---- Drift --------------------------------------------------------------------------------*/

static void add_time(struct tgi_machine *m, const char *arguments, double ns)
{
    struct tgi_machine_time t = {.kernel = "k", .median_ns = ns, .n_samples = 1};
    struct tg_error err;
    snprintf(t.arguments, sizeof t.arguments, "%s", arguments);
    assert_int_equal(tgi_machine_add_time(m, &t, &err), 0);
}

static void drift_is_what_both_have_and_differs(void **state)
{
    (void)state;
    struct tgi_machine a, b;
    struct tgi_drift *drifts;
    struct tg_error err;
    uint32_t n, n_seen = 0;
    cpus_only(&a);
    cpus_only(&b);
    b.memories[0].bytes_per_ns /= 2;
    add_time(&a, "1", 100);
    add_time(&a, "2", 100);
    add_time(&a, "only here", 100);
    add_time(&b, "2", 80);
    add_time(&b, "1", 150);
    assert_int_equal(tgi_calibrate_compare(&a, &b, &drifts, &n, &err), 0);
    for (uint32_t i = 0; i < n; i++) {
        const char *what = drifts[i].what;
        double worse = strstr(what, "memory of host") ? 1 : strstr(what, "k (1)") ? 0.5 : strstr(what, "k (2)") ? -0.2 : 0;
        n_seen += worse != 0;
        assert_true(drifts[i].worse > worse - 1e-9 && drifts[i].worse < worse + 1e-9);
        assert_null(strstr(drifts[i].what, "only here"));
    }
    assert_int_equal(n_seen, 3);
    free(drifts);
    tgi_machine_fini(&a);
    tgi_machine_fini(&b);
}

static int begin(void **state)
{
    (void)state;
    alarm(LIMIT_S);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, begin)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_that_was_measured_has_its_figures),
        TEST(kernels_are_told_apart_by_name_and_sizes),
        TEST(a_graph_that_fails_is_an_error),
        TEST(the_peak_is_that_of_gemm),
        TEST(links_are_measured_by_size_alone_and_together),
        TEST(runs_as_graphs_are_measured_by_size),
        TEST(tasks_inside_graphs_are_measured),
        TEST(a_run_that_knows_a_machine_file_decides_by_it),
        TEST(devices_that_do_not_reach_each_other_have_no_link),
        TEST(kernels_run_on_devices_as_well),
        TEST(what_the_driver_refuses_is_an_error),
        TEST(drift_is_what_both_have_and_differs),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
