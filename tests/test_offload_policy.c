/* Policies against a real clock: the stand-in's devices beside CPU workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "sched/choice.h"
#include "sched/guide.h"
#include "sched/offload_policy.h"
#include "tests/device_graph.h"
#include "tests/must.h"

static struct tg_error err;

static struct tg_graph *graph;
static struct tg_runtime *rt;

/* Chains of hash tasks, a tile each, which costs make worth spreading over devices. */
static void open_chains(int n_chains, int length, const char *task_keys, int n_devices, uint64_t seed)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    char buffers[128], tasks[512];
    device_reset(n_devices, seed, true);
    snprintf(buffers, sizeof buffers, "'x': {'dtype': 'u64', 'shape': [32], 'tiles': [%d], 'init': {'iota': true}}", n_chains);
    snprintf(tasks, sizeof tasks,
             "{'for': ['s in 0:%d', 'i in 0:%d'], 'kernel': 'mix', 'args': {'id': 's', 'n': 32, 'out': 'x[i]'},"
             " 'cost': {'us': 300}%s}", length, n_chains, task_keys);
    graph = device_graph(buffers, "", tasks);
    ro.n_workers = 2;
    ro.devices = "cuda+cpu";
    MUST(tg_runtime_create(&ro, &rt, &err));
}

static void close_all(void)
{
    tg_runtime_destroy(rt);
    tg_graph_destroy(graph);
}

static int create(const char *policy, struct tg_run **run_p)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    options.policy = policy;
    return tg_run_create(rt, graph, &options, run_p, &err);
}

static void expect_right(struct tg_run *run)
{
    uint64_t *expected = device_expected(graph, false, 1), *have = calloc(device_words(graph) + 1, sizeof *have);
    assert_true(device_read(run, graph, have));
    assert_memory_equal(have, expected, device_words(graph) * sizeof *have);
    free(expected);
    free(have);
}

static const char *const policies[] = {"eager", "steal", "heft", "bandwidth"};

static void every_policy_executes_every_task_once_and_uses_all_devices(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct tg_run *run;
        open_chains(12, 20, ", 'on': 'cuda'", 3, 10 + k);
        MUST(create(policies[k], &run));
        for (int i = 0; i < 2; i++) {
            MUST(tg_run_execute(run, &err));
            uint64_t n = 0;
            for (uint32_t d = 0; d < 3; d++) {
                assert_true(run->offload->n_device_tasks[d] > 0);
                n += run->offload->n_device_tasks[d];
            }
            assert_int_equal(n, 240);
            expect_right(run);
        }
        tg_run_destroy(run);
        close_all();
    }
}

/* The submitter looks at what is measured a little later than a plan thinks: a few tasks are taken over, and each is counted. */
static void a_plan_is_followed_but_for_what_is_taken_over(void **state)
{
    (void)state;
    for (uint32_t k = 2; k < 4; k++) {
        struct tg_run *run;
        open_chains(8, 10, "", 2, 20 + k);
        MUST(create(policies[k], &run));
        MUST(tg_run_execute(run, &err));
        const struct tgi_offload_policy *p = run->offload->policy;
        uint64_t n_elsewhere = 0, n_planned[3] = {0, 0, 0};
        for (uint32_t t = 0; t < graph->n_tasks; t++) {
            uint32_t planned = tgi_offload_policy_planned(p, t);
            assert_in_range(planned, 0, 2);
            n_planned[planned]++;
            n_elsewhere += run->main->offload->tasks[t].node != planned;
        }
        assert_true(n_planned[1] > 0 && n_planned[2] > 0);
        assert_true(n_elsewhere <= run->offload->n_stolen);
        expect_right(run);
        tg_run_destroy(run);
        close_all();
    }
}

/* Where nobody may take over, the plan is what happens: each chain is limited to a device of its own. */
static void a_plan_keeps_to_where_tasks_may_run(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct tg_run *run;
        open_chains(4, 10, ", 'on': 'cuda:{i % 2}'", 2, 30 + k);
        MUST(create(policies[k], &run));
        MUST(tg_run_execute(run, &err));
        for (uint32_t t = 0; t < graph->n_tasks; t++)
            assert_int_equal(run->main->offload->tasks[t].node, 1 + t % 4 % 2);
        expect_right(run);
        tg_run_destroy(run);
        close_all();
    }
}

/* Entries of the history come with the first run. */
static void measured(const char *device, double ns)
{
    struct tg_run *run;
    struct tgi_history *h = rt->offload->history;
    MUST(create(NULL, &run));
    tg_run_destroy(run);
    for (uint32_t i = 0; i < tgi_history_n(h); i++) {
        struct tgi_history_key key;
        tgi_history_key(h, i, &key);
        for (int k = 0; strncmp(key.device, device, strlen(device)) == 0 && k < 8; k++)
            tgi_history_note(h, i, ns);
    }
}

static void plans_go_by_measured_times(void **state)
{
    (void)state;
    static const char *const fast[] = {"cpu", "cuda"}, *const slow[] = {"cuda", "cpu"};
    for (uint32_t k = 0; k < 2; k++) {
        struct tg_run *run;
        open_chains(2, 20, "", 1, 40 + k);
        measured(fast[k], 1e4);
        measured(slow[k], 1e8);
        MUST(create("heft", &run));
        for (uint32_t t = 0; t < graph->n_tasks; t++)
            assert_int_equal(tgi_offload_policy_planned(run->offload->policy, t), k);
        MUST(tg_run_execute(run, &err));
        expect_right(run);
        tg_run_destroy(run);
        close_all();
    }
}

static void what_cannot_be_decided_is_refused(void **state)
{
    (void)state;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    open_chains(2, 2, "", 1, 50);
    assert_int_equal(create("hefd", &run), TG_E_BAD_VALUE);
    assert_non_null(strstr(err.text, "there is no policy \"hefd\""));
    options.policy = "heft";
    options.check_finite = true;
    assert_int_equal(tg_run_create(rt, graph, &options, &run, &err), TG_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "one task runs at a time"));
    close_all();
    open_chains(2, 2, ", 'on': 'cpu'", 1, 51);
    MUST(create("heft", &run)); /* between workers */
    assert_null(run->offload);
    tg_run_destroy(run);
    close_all();
}

/* Task by task to the other device than the one before, wherever its data are. */
static void a_plan_that_was_made_before_is_followed(void **state)
{
    (void)state;
    static const char *const names[] = {"cuda:0", "cuda:1", "cuda:7"};
    static uint32_t device[256];
    static double start[256];
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    open_chains(2, 6, "", 4, 52);
    uint32_t n = graph->n_tasks;
    assert_true(n <= 256);
    for (uint32_t t = 0; t < n; t++) {
        device[t] = t % 2;
        start[t] = t;
    }
    struct tgi_guide_plan plan = {n, 3, names, device, start, n};
    struct tgi_guide guide = {.plan = &plan};
    MUST(tgi_run_create_guided(rt, graph, &options, &guide, &run, &err));
    for (uint32_t t = 0; t < n; t++)
        assert_int_equal(tgi_offload_policy_planned(run->offload->policy, t), 1 + t % 2);
    for (int i = 0; i < 2; i++) {
        MUST(tg_run_execute(run, &err));
        expect_right(run);
    }
    tg_run_destroy(run);
    device[n / 2] = 2;
    assert_int_equal(tgi_run_create_guided(rt, graph, &options, &guide, &run, &err), TG_E_NO_DEVICE);
    assert_non_null(strstr(err.text, "on cuda:7, which this run does not have"));
    close_all();
}

/* Bodies, control tasks and collectives are not the policy's, and their tiles may be anywhere. */
static void what_is_not_the_policys_finds_its_data(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 4; k++) {
        struct tg_run *run;
        struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
        device_reset(2, 60 + k, false);
        graph = device_graph("'x': {'dtype': 'u64', 'shape': [32], 'tiles': [4], 'init': {'iota': true}}", "",
                             "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'x[i]'}},"
                             "{'repeat': 3, 'do': [{'for': ['i in 0:4'], 'on': 'cpu', 'kernel': 'mix', 'args': {'id': '7+i', 'n': 32,"
                             " 'out': 'x[i]', 'in0': 'x[(i+1)%4]'}}]},"
                             "{'for': ['i in 0:4'], 'kernel': 'mix', 'args': {'id': '20+i', 'n': 32, 'out': 'x[i]'}},"
                             "{'for': ['i in 0:4'], 'kernel': 'commute', 'args': {'id': '30+i', 'n': 32, 'acc': 'x[0]'}}");
        ro.n_workers = 2;
        ro.devices = "cuda+cpu";
        MUST(tg_runtime_create(&ro, &rt, &err));
        MUST(create(policies[k], &run));
        for (int i = 0; i < 2; i++) {
            MUST(tg_run_execute(run, &err));
            expect_right(run);
        }
        tg_run_destroy(run);
        close_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_executes_every_task_once_and_uses_all_devices),
        cmocka_unit_test(a_plan_is_followed_but_for_what_is_taken_over),
        cmocka_unit_test(a_plan_keeps_to_where_tasks_may_run),
        cmocka_unit_test(plans_go_by_measured_times),
        cmocka_unit_test(what_cannot_be_decided_is_refused),
        cmocka_unit_test(a_plan_that_was_made_before_is_followed),
        cmocka_unit_test(what_is_not_the_policys_finds_its_data),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
