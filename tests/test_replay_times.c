/* When the tasks of a replay ran: as the device tells it, task by task, in every round, for each start anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "graph/error.h"
#include "sched/offload_graph.h"
#include "tests/device_run.h"

enum { N_STARTS = 4, N_SEEDS = 6, SKEW_NS = 2000000 };

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}, "
                              "'B': {'dtype': 'u64', 'shape': [32], 'tiles': [2], 'init': {'iota': true}, 'home': 'cyclic:{i}'}, "
                              "'go': {'dtype': 'i32', 'shape': [1], 'init': {'fill': 1}}";
#define MIX(id, out, in) "{'kernel': 'mix', 'args': {'id': " #id ", 'n': 32, 'out': '" out "', 'in0': '" in "'}}"

static const struct {
    const char *name, *tasks;
    int n_devices;
    uint64_t n_rounds;
    bool needs_all; /* the devices */
} cases[] = {
    {"kernels", "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}", 3, 0, false},
    {"fills, copies and a barrier", "{'on': 'cuda', 'fill': 'A[0]', 'value': 7}, {'on': 'cuda', 'fill': 'A[1]', 'value': 8}, "
     "{'on': 'cuda', 'copy': {'from': 'A[0]', 'to': 'A[4]'}}, "
     "{'barrier': true}, {'on': 'cuda', 'copy': {'from': 'A[1]', 'to': 'A[2]'}}, " MIX(1, "A[3]", "A[2]"), 2, 0, false},
    {"only points", "{'barrier': true}, {'repeat': 2, 'do': []}, {'barrier': true}, " MIX(1, "A[3]", "A[2]"), 1, 0, false},
    {"rounds", MIX(0, "A[0]", "A[5]") ", {'repeat': 5, 'do': [" MIX(1, "A[0]", "A[1]") ", " MIX(2, "A[1]", "A[0]") ", " MIX(3, "A[2]", "A[3]") "]}, "
     MIX(4, "A[4]", "A[2]"), 2, 5, false},
    {"rounds in rounds", "{'repeat': 3, 'do': [" MIX(1, "A[0]", "A[1]") ", {'repeat': 4, 'do': [" MIX(2, "A[1]", "A[0]") ", {'barrier': true}]}, "
     "{'repeat': 0, 'do': [" MIX(3, "A[1]", "A[0]") "]}, " MIX(4, "A[2]", "A[1]") "]}, {'repeat': 2, 'do': [" MIX(5, "A[5]", "A[2]") "]}", 2,
     3 + 3 * 4 + 2, false},
    {"collectives", "{'for': ['i in 0:2'], 'kernel': 'mix', 'args': {'id': 'i', 'n': 32, 'out': 'B[i]', 'in0': 'A[i]'}}, "
     "{'collective': 'allreduce', 'op': 'sum', 'buffers': 'B[*]'}, " MIX(1, "A[3]", "B[0]"), 2, 0, true},
};

static struct tg_run *open_run(struct tg_runtime *rt, const struct tg_graph *g, enum tg_executor executor)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_run *run;
    struct tg_error err;
    options.executor = executor;
    options.is_recorded = true;
    MUST(tg_run_create(rt, g, &options, &run, &err));
    return run;
}

/* A device's clock is looked at from the host, which may be held up meanwhile, so two devices' zeros are known to no more than that; on
 * one device there is one zero.  A span of no length has been given a nanosecond. */
static void expect_after(const struct tg_run *run, const struct tgi_span *after, const struct tgi_span *before)
{
    uint32_t lane, device = tgi_run_device_of(run, after->worker, &lane);
    bool is_one_device = tgi_run_n_devices(run) == 1 || (device != TG_NONE && device == tgi_run_device_of(run, before->worker, &lane));
    assert_true(after->start_ns + (is_one_device ? 1 : SKEW_NS) >= before->end_ns);
}

/* What comes after a task begins after it. */
static void expect_order(const struct tg_run *run, const struct tg_graph *g, const struct tgi_span *spans)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        assert_true(spans[t].end_ns > 0);
        assert_true(spans[t].end_ns >= spans[t].start_ns);
        assert_int_equal(spans[t].attempts, 1);
        assert_int_equal(spans[t].state, TG_TASK_DONE);
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++)
            expect_after(run, &spans[g->succ[i]], &spans[t]);
    }
}

static bool is_point(const struct tgi_op *op) { return op->kind == TGI_OP_BARRIER || op->kind >= TGI_OP_REPEAT; }

/* In a lane of its device, which no other has at that time. */
static void expect_lanes(const struct tg_run *run, const struct tg_graph *g, const struct tgi_span *spans)
{
    uint32_t lane, n_workers = run->runtime->n_workers;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        bool is_on_device = tgi_run_device_of(run, spans[t].worker, &lane) != TG_NONE;
        assert_int_equal(is_on_device, !is_point(tgi_graph_op(g, t)));
        assert_true(!is_on_device || tgi_run_device_of(run, spans[t].worker, &lane) < tgi_run_n_devices(run));
        for (uint32_t u = 0; u < t; u++)
            assert_true(spans[u].worker != spans[t].worker || spans[t].worker < n_workers || spans[u].end_ns <= spans[t].start_ns ||
                        spans[t].end_ns <= spans[u].start_ns);
    }
}

static void expect_rounds(const struct tg_run *run, const struct tgi_span *spans, uint64_t n_rounds)
{
    const struct tgi_rounds *rounds = tgi_run_rounds(run);
    assert_int_equal(rounds->n, n_rounds);
    assert_int_equal(rounds->n_lost, 0);
    for (const struct tgi_round *r = rounds->first; r; r = r->next) {
        const struct tgi_span *control = &(r->parent ? r->parent->spans : spans)[r->parent_task];
        assert_int_equal(r->previous ? r->previous->number + 1 : 0, r->number);
        assert_true(r->begin_ns >= control->start_ns);
        expect_order(run, r->graph, r->spans);
        expect_lanes(run, r->graph, r->spans);
        for (uint32_t t = 0; t < r->graph->n_tasks; t++) {
            assert_true(r->spans[t].end_ns <= control->end_ns);
            assert_true(r->spans[t].start_ns + (tgi_run_n_devices(run) == 1 ? 1 : SKEW_NS) >= r->begin_ns);
            for (uint32_t u = 0; r->previous && u < r->graph->n_tasks; u++)
                expect_after(run, &r->spans[t], &r->previous->spans[u]);
        }
    }
}

static uint64_t count_copies(const struct tg_run *run, uint64_t n_rounds)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < tgi_run_n_copies(run); i++) {
        struct tgi_run_copy c;
        tgi_run_copy(run, i, &c);
        assert_true(c.round <= n_rounds);
        bytes += c.bytes;
    }
    return bytes;
}

static void expect_record(const struct tg_run *run, const struct tg_graph *g, uint64_t n_rounds)
{
    const struct tgi_span *spans = tgi_run_spans(run);
    struct tgi_run_moved moved;
    expect_order(run, g, spans);
    expect_lanes(run, g, spans);
    expect_rounds(run, spans, n_rounds);
    tgi_run_moved(run, &moved);
    assert_int_equal(tgi_run_n_copies(run), moved.n_copies);
    assert_int_equal(count_copies(run, n_rounds), moved.to_device_bytes + moved.to_host_bytes + moved.peer_bytes);
}

/* A single time may be the same as in another start. */
static uint64_t mix_of_times(const struct tg_run *run, const struct tg_graph *g)
{
    uint64_t mixed = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        mixed = mix64(mixed ^ mix64(tgi_run_spans(run)[t].start_ns) ^ tgi_run_spans(run)[t].end_ns);
    return mixed;
}

static void every_task_of_a_replay_has_its_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
            struct tg_graph *g = device_graph(buffers, "", cases[i].tasks);
            uint64_t *expected = device_expected(g, false, 1), last_ns = 0;
            struct tgi_offload_graph_stats stats;
            struct tg_error err;
            const char *why;
            device_reset(seed % 3 == 1 && !cases[i].needs_all ? 1 : cases[i].n_devices, seed, seed % 2 == 0);
            struct tg_runtime *rt = device_runtime("cuda", 0);
            struct tg_run *run = open_run(rt, g, TG_EXECUTOR_GRAPH);
            for (int k = 0; k < N_STARTS; k++) {
                MUST(tg_run_execute(run, &err));
                if (tg_run_executor(run, &why) != TG_EXECUTOR_GRAPH)
                    fail_msg("%s, seed %d: no graph: %s", cases[i].name, (int)seed, why);
                expect_record(run, g, cases[i].n_rounds);
                assert_int_not_equal(mix_of_times(run, g), last_ns); /* its own, not the last start's */
                last_ns = mix_of_times(run, g);
                if (seed % 3 == 0 || k == N_STARTS - 1)
                    device_expect(run, g, expected);
            }
            tgi_offload_graph_stats(run, &stats);
            assert_int_equal(stats.n_replayed, N_STARTS);
            device_close_all(run, rt, g);
            free(expected);
        }
}

/* Nodes are changed, not what times them. */
static void a_graph_that_is_changed_in_place_is_still_timed(void **state)
{
    uint64_t memory[2][6 * 32];
    struct tg_graph *g = device_graph(buffers, "", cases[0].tasks);
    uint64_t *expected = device_expected(g, false, 1);
    struct tgi_offload_graph_stats stats;
    struct tg_error err;
    (void)state;
    device_reset(2, 3, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, TG_EXECUTOR_GRAPH);
    for (int k = 0; k < 6; k++) {
        uint64_t *at = memory[k % 2];
        for (uint64_t i = 0; i < 6 * 32; i++)
            at[i] = i;
        MUST(tg_run_bind(run, 0, at, &err));
        MUST(tg_run_execute(run, &err));
        assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_GRAPH);
        expect_record(run, g, 0);
        assert_memory_equal(at, expected, sizeof memory[0]);
    }
    tgi_offload_graph_stats(run, &stats);
    assert_int_equal(stats.n_instantiated, 1);
    assert_int_equal(stats.n_updated, 5);
    device_close_all(run, rt, g);
    free(expected);
}

static void rounds_that_a_device_decides_about_go_to_streams(void **state)
{
    static const char loop[] = "{'repeat': 2, 'do': [{'id': 'loop', 'while': 'go', 'max': 3, 'do': [" MIX(1, "A[0]", "A[1]") "]}]}";
    struct tg_graph *g = device_graph(buffers, "", loop);
    struct tg_error err;
    const char *why;
    (void)state;
    device_reset(1, 3, true);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = open_run(rt, g, TG_EXECUTOR_GRAPH);
    MUST(tg_run_execute(run, &err));
    assert_int_equal(tg_run_executor(run, &why), TG_EXECUTOR_STREAMS);
    assert_string_equal(why, "task \"loop\": a device decides about its rounds, and times of single tasks are wanted");
    assert_int_equal(tgi_run_rounds(run)->n, 2 + 2 * 3);
    device_close_all(run, rt, g);
}

static void a_time_that_cannot_be_taken_fails_one_start(void **state)
{
    static const struct {
        const char *call;
        uint64_t nth;
        const char *task; /* which it names */
    } failures[] = {
        {"cuGraphAddKernelNode", 1, "only"}, {"cuGraphAddKernelNode", 3, "only"}, {"cuMemAlloc_v2", 2, "only"}, {"cuMemcpyDtoH_v2", 1, ""},
        {"cuMemcpyDtoH_v2", 4, ""}, {"cuLaunchKernel", 2, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        struct tg_graph *g = device_graph(buffers, "", "{'id': 'only', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]', 'in0': 'A[1]'}}");
        uint64_t *expected = device_expected(g, false, 1);
        char name[64];
        struct tg_error err;
        device_reset(1, i, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = open_run(rt, g, TG_EXECUTOR_GRAPH);
        standin.standin_fail(failures[i].call, failures[i].nth, CUDA_ERROR_INVALID_VALUE, STANDIN_ONCE);
        assert_int_equal(tg_run_execute(run, &err), TG_E_DRIVER);
        assert_int_equal(standin.standin_fail_hits(), 1);
        assert_string_equal(err.task, failures[i].task);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(failures[i].call, "_"), failures[i].call);
        assert_non_null(strstr(err.text, name));
        for (int k = 0; k < 2; k++) {
            MUST(tg_run_execute(run, &err));
            assert_int_equal(tg_run_executor(run, NULL), TG_EXECUTOR_GRAPH);
            expect_record(run, g, 0);
        }
        device_expect(run, g, expected);
        device_close_all(run, rt, g);
        free(expected);
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(every_task_of_a_replay_has_its_time),
        cmocka_unit_test(a_graph_that_is_changed_in_place_is_still_timed),
        cmocka_unit_test(rounds_that_a_device_decides_about_go_to_streams),
        cmocka_unit_test(a_time_that_cannot_be_taken_fails_one_start),
    };
    return cmocka_run_group_tests(all, device_group_load, device_group_unload);
}
