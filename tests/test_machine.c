#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/machine_json.h"

static const char whole[] =
    "{\"tgraph_machine\": 1, \"name\": \"node\", \"x-note\": [1],\n"
    " \"classes\": [{\"name\": \"cpu\", \"kind\": \"cpu\", \"flops_per_s\": 3e10, \"launch_ns\": 300},\n"
    "             {\"name\": \"cuda\", \"kind\": \"cuda\", \"flops_per_s\": 6e13, \"launch_ns\": 3000,"
    " \"node_ns\": 150, \"chain_ns\": 700, \"stamp_ns\": 800, \"resident_start_ns\": 5000, \"resident_task_ns\": 90}],\n"
    " \"roots\": [{\"name\": \"pcie:0\", \"bytes_per_s\": 6e10}],\n"
    " \"memories\": [{\"name\": \"host\", \"bytes_per_s\": 1e11},\n"
    "              {\"name\": \"cuda:0\", \"bytes\": 1000000, \"bytes_per_s\": 4e12, \"port_bytes_per_s\": 4e11, \"root\": \"pcie:0\"},\n"
    "              {\"name\": \"cuda:1\", \"bytes\": 1000000, \"bytes_per_s\": 4e12, \"root\": \"pcie:0\"}],\n"
    " \"devices\": [{\"name\": \"cpu:0\", \"class\": \"cpu\", \"memory\": \"host\", \"lanes\": 8},\n"
    "             {\"name\": \"cuda:0\", \"class\": \"cuda\", \"memory\": \"cuda:0\"},\n"
    "             {\"name\": \"cuda:1\", \"class\": \"cuda\", \"memory\": \"cuda:1\"}],\n"
    " \"links\": [{\"from\": \"host\", \"to\": \"cuda\", \"latency_ns\": 6000, \"bytes_per_s\": 5e10, \"shares\": \"roots\"},\n"
    "           {\"from\": \"cuda\", \"to\": \"*\", \"latency_ns\": 3000, \"bytes_per_s\": 4e11, \"shares\": \"ports\"},\n"
    "           {\"from\": \"cuda:1\", \"to\": \"host\", \"bytes_per_s\": 1e10, \"shares\": \"link\"}],\n"
    " \"kernels\": [{\"kernel\": \"gemm\", \"class\": \"cuda\", \"arguments\": \"*\", \"median_ns\": 42900, \"spread_ns\": 600, \"samples\": 9,\n"
    "             \"together_ns\": 50000, \"together\": 4, \"beside_ns\": 45000, \"enqueue_ns\": 9000, \"move_ns\": 3000, \"mark_ns\": 2400, \"see_ns\": 700, \"graph_ns\": 41000, \"graph_part\": 0.5, \"copy_launch_ns\": 12000, \"shares_lane\": true, \"flops\": 2e9, \"bytes\": 6e6}],\n"
    " \"copies\": [{\"from\": \"host\", \"to\": \"cuda:0\", \"bytes\": 4096, \"at_once\": 2, \"median_ns\": 9000, \"samples\": 5}],\n"
    " \"graphs\": [{\"class\": \"cuda\", \"tasks\": 100, \"record_ns\": 900, \"instantiate_ns\": 2000, \"launch_ns\": 90, "
    "\"submit_ns\": 2500, \"copy_ns\": 6000, \"on_streams_ns\": 30000},\n"
    "            {\"class\": \"cuda\", \"tasks\": 10000, \"record_ns\": 500, \"update_ns\": 70}],\n"
    " \"measured_on\": {\"cpu\": \"A\", \"cores\": 8, \"numa_nodes\": 1, \"gpu\": \"B\", \"gpus\": 2, \"at_s\": 1795737600}}\n";

static int read_text(const char *text, struct tgi_machine *m, struct tg_error *err)
{
    char path[] = "/tmp/tgraph-test-machine-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    int rc = tgi_machine_read(m, path, err);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static char *written(const struct tgi_machine *m)
{
    char *text;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    tgi_machine_write(m, to);
    fclose(to);
    return text;
}

static void read_must(const char *text, struct tgi_machine *m)
{
    struct tg_error err;
    if (read_text(text, m, &err))
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
}

static void the_last_rule_that_fits_a_pair_counts(void **state)
{
    (void)state;
    struct tgi_machine m;
    read_must(whole, &m);
    assert_ptr_equal(tgi_machine_route(&m, 0, 1), &m.links[0]);
    assert_ptr_equal(tgi_machine_route(&m, 1, 0), &m.links[1]);
    assert_ptr_equal(tgi_machine_route(&m, 1, 2), &m.links[1]);
    assert_ptr_equal(tgi_machine_route(&m, 2, 0), &m.links[2]);
    assert_null(tgi_machine_route(&m, 1, 1));
    assert_true(tgi_machine_copy_ns(&m, 0, 1, 1000) == 6000 + 1000 / 50.0);
    assert_int_equal(m.devices[0].n_lanes, 8);
    assert_int_equal(m.memories[1].root, 0);
    assert_int_equal(m.times[0].class, 1);
    assert_true(m.times[0].together_ns == 50000 && m.times[0].n_together == 4 && m.times[0].flops == 2e9);
    assert_true(m.times[0].copy_launch_ns == 12000);
    assert_true(m.times[0].move_ns == 3000);
    assert_true(m.times[0].mark_ns == 2400 && m.times[0].see_ns == 700);
    assert_true(m.times[0].enqueue_ns == 9000 && m.times[0].graph_ns == 41000 && m.times[0].graph_part == 0.5);
    assert_true(m.times[0].beside_ns == 45000 && m.times[0].shares_lane && m.classes[1].stamp_ns == 800);
    assert_int_equal(m.copies[0].n_at_once, 2);
    assert_int_equal(m.n_replays, 2);
    assert_true(m.replays[0].class == 1 && m.replays[1].ns[TGI_REPLAY_UPDATE] == 70);
    assert_int_equal(m.origin.measured_s, 1795737600);
    tgi_machine_fini(&m);
}

static void costs_of_graphs_are_those_of_the_closest_size(void **state)
{
    (void)state;
    struct tgi_replay_costs costs;
    struct tgi_machine m, more;
    struct tg_error err;
    read_must(whole, &m);
    tgi_machine_replay_costs(&m, 5, &costs);
    assert_true(costs.ns[TGI_REPLAY_RECORD] == 900 && costs.ns[TGI_REPLAY_SUBMIT] == 2500 && costs.ns[TGI_REPLAY_UPDATE] == 0);
    assert_true(costs.ns[TGI_REPLAY_COPY] == 6000 && costs.ns[TGI_REPLAY_ON_STREAMS] == 30000 && costs.ns[TGI_REPLAY_AS_GRAPH] == 0);
    tgi_machine_replay_costs(&m, 2000, &costs);
    assert_true(costs.ns[TGI_REPLAY_RECORD] == 500 && costs.ns[TGI_REPLAY_SUBMIT] == 0);
    struct tgi_machine_change change = {4, 1, 1, 0};
    assert_int_equal(tgi_machine_change(&m, &change, &more, &err), 0);
    tgi_machine_replay_costs(&more, 200, &costs);
    assert_true(costs.ns[TGI_REPLAY_LAUNCH] == 90);
    tgi_machine_fini(&more);
    tgi_machine_fini(&m);
    struct tgi_machine none = {0};
    tgi_machine_replay_costs(&none, 200, &costs);
    assert_true(costs.ns[TGI_REPLAY_LAUNCH] == 0);
}

static void costs_of_clusters_are_measured_or_usual(void **state)
{
    (void)state;
    static const struct tgi_gain_costs usual = TGI_GAIN_COSTS_INIT;
    struct tgi_gain_costs costs;
    struct tgi_machine m;
    read_must(whole, &m);
    tgi_machine_gain_costs(&m, &costs);
    assert_true(costs.node_ns == 150 && costs.chain_ns == 700 && costs.start_ns == 5000 && costs.tasks.task_ns == 90);
    assert_true(costs.tasks.counter_ns == usual.tasks.counter_ns);
    m.classes[1].resident_task_ns = m.classes[1].chain_ns = 0; /* not measured */
    tgi_machine_gain_costs(&m, &costs);
    assert_true(costs.node_ns == 150 && costs.chain_ns == usual.chain_ns && costs.tasks.task_ns == usual.tasks.task_ns);
    m.n_classes = 1;
    tgi_machine_gain_costs(&m, &costs);
    assert_memory_equal(&costs, &usual, sizeof costs);
    m.n_classes = 2;
    tgi_machine_fini(&m);
}

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    struct tgi_machine m, again;
    read_must(whole, &m);
    char *first = written(&m);
    read_must(first, &again);
    char *second = written(&again);
    assert_string_equal(first, second);
    free(first);
    free(second);
    tgi_machine_fini(&m);
    tgi_machine_fini(&again);
}

static void a_machine_can_have_other_gpus(void **state)
{
    (void)state;
    struct tgi_machine m, changed;
    struct tg_error err;
    struct tgi_machine_change change = {5, 2, 0.5, 0};
    read_must(whole, &m);
    assert_int_equal(tgi_machine_change(&m, &change, &changed, &err), 0);
    assert_int_equal(changed.n_devices, 6);
    assert_int_equal(changed.n_memories, 6);
    assert_string_equal(changed.devices[5].name, "cuda:4");
    assert_true(changed.links[0].bytes_per_ns == 2 * m.links[0].bytes_per_ns);
    assert_true(changed.memories[1].bytes_per_ns == m.memories[1].bytes_per_ns / 2);
    assert_non_null(tgi_machine_route(&changed, 1, 5));
    tgi_machine_fini(&changed);
    change.n_gpus = 0;
    assert_int_equal(tgi_machine_change(&m, &change, &changed, &err), 0);
    assert_int_equal(changed.n_devices, 1);
    assert_int_equal(changed.n_memories, 1);
    tgi_machine_fini(&changed);
    tgi_machine_fini(&m);
}

static void a_machine_can_have_fewer_workers(void **state)
{
    (void)state;
    struct tgi_machine m, changed;
    struct tg_error err;
    struct tgi_machine_change change = {TG_NONE, 1, 1, 3};
    read_must(whole, &m);
    assert_int_equal(tgi_machine_change(&m, &change, &changed, &err), 0);
    assert_int_equal(changed.devices[0].n_lanes, 3);
    assert_int_equal(changed.devices[1].n_lanes, 1);
    assert_int_equal(changed.origin.n_cores, 8);
    tgi_machine_fini(&changed);
    tgi_machine_fini(&m);
}

static void figures_hold_on_the_machine_they_were_measured_on(void **state)
{
    (void)state;
    const struct tgi_machine_origin here = {"A", "B", 8, 1, 2, 0};
    struct tgi_machine_origin o = {"A", "B", 8, 1, 2, 7}, other;
    char why[256] = "";
    assert_true(tgi_machine_is_of(&o, &here, why, sizeof why));
    o.n_gpus = 1; /* some of the GPUs are enough */
    assert_true(tgi_machine_is_of(&o, &here, why, sizeof why));
    struct {
        struct tgi_machine_origin o;
        const char *text;
    } cases[] = {{{"", "", 0, 0, 0, 0}, "on none"},
                 {{"C", "B", 8, 1, 2, 0}, "\"C\""},
                 {{"A", "B", 16, 1, 2, 0}, "16 cores"},
                 {{"A", "B", 8, 2, 2, 0}, "2 NUMA nodes"},
                 {{"A", "B", 8, 1, 3, 0}, "3 x"},
                 {{"A", "D", 8, 1, 2, 0}, "\"D\""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        other = cases[i].o;
        assert_false(tgi_machine_is_of(&other, &here, why, sizeof why));
        assert_non_null(strstr(why, cases[i].text));
    }
}

/* The whole file with one text in place of another. */
static void expect(const char *what, const char *instead, int status, uint32_t line, uint32_t column)
{
    static char text[8192];
    struct tgi_machine m;
    struct tg_error err = {0};
    const char *at = strstr(whole, what);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, instead, at + strlen(what));
    assert_int_equal(read_text(text, &m, &err), status);
    if (err.line != line || err.column != column)
        fail_msg("%s: at %u:%u, not %u:%u", err.text, err.line, err.column, line, column);
}

static void errors_have_positions(void **state)
{
    (void)state;
    expect("\"tgraph_machine\": 1", "\"tgraph_machine\": 2", TG_E_VERSION, 1, 20);
    expect("\"tgraph_machine\": 1, ", "", TG_E_MISSING_KEY, 1, 1);
    expect("\"name\": \"node\"", "\"nmae\": \"node\"", TG_E_UNKNOWN_KEY, 1, 31);
    expect("\"kind\": \"cuda\"", "\"kind\": \"coda\"", TG_E_BAD_VALUE, 3, 39);
    expect("6e13", "-1", TG_E_BAD_VALUE, 3, 62);
    expect("\"class\": \"cuda\", \"memory\"", "\"class\": \"cida\", \"memory\"", TG_E_UNKNOWN_NAME, 9, 42);
    expect("\"root\": \"pcie:0\"", "\"root\": \"pcie:1\"", TG_E_UNKNOWN_NAME, 6, 107);
    expect("\"to\": \"*\"", "\"to\": \"gpu\"", TG_E_UNKNOWN_NAME, 12, 35);
    expect("\"name\": \"cuda:1\"", "\"name\": \"cuda:0\"", TG_E_DUPLICATE_NAME, 7, 15);
    expect("\"lanes\": 8", "\"lanes\": \"8\"", TG_E_WRONG_TYPE, 8, 75);
    expect(", \"together\": 4", "", TG_E_MISSING_KEY, 14, 14);
    expect(", \"graph_part\": 0.5", "", TG_E_MISSING_KEY, 14, 14);
    expect("\"cores\": 8", "\"cores\": 0", TG_E_BAD_VALUE, 19, 39);
    expect("\"at_once\": 2", "\"at_one\": 2", TG_E_UNKNOWN_KEY, 16, 71);
    expect("42900", "42900,", TG_E_JSON_SYNTAX, 14, 87);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_rule_that_fits_a_pair_counts),
        cmocka_unit_test(costs_of_graphs_are_those_of_the_closest_size),
        cmocka_unit_test(costs_of_clusters_are_measured_or_usual),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(a_machine_can_have_other_gpus),
        cmocka_unit_test(a_machine_can_have_fewer_workers),
        cmocka_unit_test(figures_hold_on_the_machine_they_were_measured_on),
        cmocka_unit_test(errors_have_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
