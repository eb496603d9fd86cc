/* Starts of runs as nodes of graphs that the program makes itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include "gpu/driver.h"
#include "graph/error.h"
#include "sched/offload_graph.h"
#include "tests/device_graph.h"
#include "tests/random_graph.h"

enum { N_TILES = 6, N = 32, TILE_BYTES = N * 8 };

static const char buffers[] = "'A': {'dtype': 'u64', 'shape': [32], 'tiles': [6], 'init': {'iota': true}, 'home': 'cyclic:{i}'}";
static const char tasks[] = "{'for': ['r in 0:3', 'i in 0:6'], 'id': 't[{r},{i}]', 'kernel': 'mix', "
                            "'args': {'id': 'r*6+i', 'n': 32, 'out': 'A[i]', 'in0': 'A[(i+1)%6]', 'in1': 'A[(i+3)%6]'}}";

struct bench {
    const struct tgi_cuda_api *api;
    CUstream stream;
    struct tg_graph *g;
    struct tg_runtime *rt;
    struct tg_run *run;
};

static void open_all(struct bench *b, int n_devices, uint64_t device_bytes, const char *kernels, const char *what)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_error err;
    CUcontext ctx;
    device_reset(n_devices, (uint64_t)n_devices, true);
    MUST(tgi_cuda_retain(&b->api, &err));
    assert_int_equal(b->api->cuDevicePrimaryCtxRetain(&ctx, 0), 0);
    assert_int_equal(b->api->cuCtxSetCurrent(ctx), 0);
    assert_int_equal(b->api->cuStreamCreate(&b->stream, CU_STREAM_NON_BLOCKING), 0);
    ro.n_workers = 2;
    ro.is_unbound = true;
    ro.devices = "cuda";
    ro.device_bytes = device_bytes;
    b->g = device_graph(kernels[0] ? "'M': {'dtype': 'f64', 'shape': [4, 4], 'tiles': [3], 'init': {'fill': 0}}" : buffers, kernels, what);
    MUST(tg_runtime_create(&ro, &b->rt, &err));
    MUST(tg_run_create(b->rt, b->g, NULL, &b->run, &err));
}

static void close_all(struct bench *b)
{
    char text[4096];
    tg_run_destroy(b->run);
    tg_runtime_destroy(b->rt);
    tg_graph_destroy(b->g);
    b->api->cuStreamDestroy(b->stream);
    b->api->cuDevicePrimaryCtxRelease(0);
    tgi_cuda_release();
    if (standin.standin_violations(text, sizeof text))
        fail_msg("seen: %s", text);
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("left over: %s", text);
}

static CUgraphExec instantiate(const struct bench *b, CUgraph graph)
{
    CUgraphExec exec;
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    assert_int_equal(b->api->cuGraphInstantiateWithParams(&exec, graph, &params), 0);
    return exec;
}

static void launch(const struct bench *b, CUgraphExec exec)
{
    assert_int_equal(b->api->cuGraphLaunch(exec, b->stream), 0);
    assert_int_equal(b->api->cuStreamSynchronize(b->stream), 0);
}

static void fill_in(uint64_t *memory, uint64_t first)
{
    for (uint64_t i = 0; i < N_TILES * N; i++)
        memory[i] = i < N ? first + i : i;
}

/* What a start makes of these contents, on the CPU. */
static void compute(struct bench *b, uint64_t *memory)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    ro.n_workers = 1;
    options.is_deterministic = true;
    MUST(tg_runtime_create(&ro, &rt, &err));
    MUST(tg_run_create(rt, b->g, &options, &run, &err));
    MUST(tg_run_bind(run, 0, memory, &err));
    MUST(tg_run_execute(run, &err));
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
}

static CUDA_MEMCPY3D copy_of(void *host, uint64_t device, bool is_to_device)
{
    CUDA_MEMCPY3D copy = {.srcMemoryType = is_to_device ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE,
                          .dstMemoryType = is_to_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST,
                          .WidthInBytes = TILE_BYTES, .Height = 1, .Depth = 1};
    if (is_to_device) {
        copy.srcHost = host;
        copy.dstDevice = device;
    } else {
        copy.dstHost = host;
        copy.srcDevice = device;
    }
    return copy;
}

/* The program's graph: copy `input` to A[0], a start of the run, copy A[0] to `output`; A[0] is on the first device. */
static CUgraph make_graph(struct bench *b, uint64_t *input, uint64_t *output)
{
    struct tg_error err;
    CUgraph graph;
    CUgraphNode first, last;
    CUcontext ctx;
    void *node;
    uint64_t address;
    assert_int_equal(b->api->cuCtxGetCurrent(&ctx), 0);
    assert_int_equal(b->api->cuGraphCreate(&graph, 0), 0);
    MUST(tg_run_device_tile(b->run, 0, 0, 0, TG_OUT, b->stream, &address, &err));
    CUDA_MEMCPY3D in = copy_of(input, address, true);
    assert_int_equal(b->api->cuGraphAddMemcpyNode(&first, graph, NULL, 0, &in, ctx), 0);
    MUST(tg_run_add_to_graph(b->run, graph, (void *const *)&first, 1, &node, &err));
    MUST(tg_run_device_tile(b->run, 0, 0, 0, TG_IN, b->stream, &address, &err));
    CUDA_MEMCPY3D out = copy_of(output, address, false);
    CUgraphNode after = node;
    assert_int_equal(b->api->cuGraphAddMemcpyNode(&last, graph, &after, 1, &out, ctx), 0);
    return graph;
}

/* ---- What it computes ---------------------------------------------------------------------*/

static void a_start_between_nodes_of_the_program(void **state)
{
    (void)state;
    for (int n_devices = 1; n_devices <= 3; n_devices++)
        for (int n_before = 1; n_before <= 3; n_before++) { /* tiles have addresses once the run has been started */
            struct bench b;
            struct tg_error err;
            uint64_t input[N], output[N], expected[N_TILES * N];
            open_all(&b, n_devices, 0, "", tasks);
            for (int i = 0; i < n_before; i++)
                MUST(tg_run_execute(b.run, &err));
            CUgraph graph = make_graph(&b, input, output);
            CUgraphExec exec = instantiate(&b, graph);
            for (uint64_t k = 0; k < 5; k++) {
                fill_in(expected, 1000 * k);
                memcpy(input, expected, sizeof input);
                compute(&b, expected);
                launch(&b, exec);
                assert_memory_equal(output, expected, sizeof output);
            }
            b.api->cuGraphExecDestroy(exec);
            b.api->cuGraphDestroy(graph);
            MUST(tg_run_end_graphs(b.run, &err));
            MUST(tg_run_execute(b.run, &err)); /* with its own initial contents again */
            fill_in(expected, 0);
            compute(&b, expected);
            for (uint32_t t = 0; t < N_TILES; t++)
                assert_memory_equal(tg_run_tile(b.run, 0, t), expected + t * N, TILE_BYTES);
            close_all(&b);
        }
}

static void memory_that_is_bound_is_read_and_written_by_each_launch(void **state)
{
    (void)state;
    for (int n_before = 0; n_before <= 2; n_before++) {
        struct bench b;
        struct tg_error err;
        uint64_t memory[N_TILES * N], expected[N_TILES * N];
        CUgraph graph;
        void *node;
        open_all(&b, 2, 0, "", tasks);
        MUST(tg_run_bind(b.run, 0, memory, &err));
        fill_in(memory, 0);
        for (int i = 0; i < n_before; i++)
            MUST(tg_run_execute(b.run, &err));
        assert_int_equal(b.api->cuGraphCreate(&graph, 0), 0);
        MUST(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err));
        CUgraphExec exec = instantiate(&b, graph);
        for (uint64_t k = 0; k < 4; k++) {
            fill_in(memory, 7 * k);
            fill_in(expected, 7 * k);
            compute(&b, expected);
            launch(&b, exec);
            assert_memory_equal(memory, expected, sizeof memory);
            assert_ptr_equal(tg_run_tile(b.run, 0, 1), memory + N);
        }
        b.api->cuGraphExecDestroy(exec);
        b.api->cuGraphDestroy(graph);
        close_all(&b); /* without an end: the run goes */
    }
}

/* Another run has what the first one leaves of the device, and may not take more. */
static void its_memory_stays_when_others_are_short(void **state)
{
    struct bench b;
    struct tg_run *other;
    struct tg_error err;
    uint64_t input[N], output[N], expected[N_TILES * N];
    (void)state;
    open_all(&b, 1, (N_TILES + 3) * TILE_BYTES, "", tasks);
    MUST(tg_run_execute(b.run, &err));
    CUgraph graph = make_graph(&b, input, output);
    CUgraphExec exec = instantiate(&b, graph);
    MUST(tg_run_create(b.rt, b.g, NULL, &other, &err));
    for (uint64_t k = 0; k < 3; k++) {
        MUST(tg_run_execute(other, &err));
        fill_in(expected, k);
        memcpy(input, expected, sizeof input);
        compute(&b, expected);
        launch(&b, exec);
        assert_memory_equal(output, expected, sizeof output);
    }
    tg_run_destroy(other);
    b.api->cuGraphExecDestroy(exec);
    b.api->cuGraphDestroy(graph);
    MUST(tg_run_end_graphs(b.run, &err));
    close_all(&b);
}

static void a_run_can_be_two_nodes(void **state)
{
    struct bench b;
    struct tg_error err;
    uint64_t memory[N_TILES * N], expected[N_TILES * N];
    CUgraph graph;
    void *first, *second;
    (void)state;
    open_all(&b, 2, 0, "", tasks);
    MUST(tg_run_bind(b.run, 0, memory, &err));
    assert_int_equal(b.api->cuGraphCreate(&graph, 0), 0);
    MUST(tg_run_add_to_graph(b.run, graph, NULL, 0, &first, &err));
    MUST(tg_run_add_to_graph(b.run, graph, &first, 1, &second, &err));
    CUgraphExec exec = instantiate(&b, graph);
    fill_in(memory, 5);
    fill_in(expected, 5);
    compute(&b, expected);
    compute(&b, expected);
    launch(&b, exec);
    assert_memory_equal(memory, expected, sizeof memory);
    b.api->cuGraphExecDestroy(exec);
    b.api->cuGraphDestroy(graph);
    MUST(tg_run_end_graphs(b.run, &err));
    close_all(&b);
}

/* ---- What it refuses ----------------------------------------------------------------------*/

static void a_run_in_a_graph_is_left_alone(void **state)
{
    struct bench b;
    struct tg_error err;
    uint64_t input[N], output[N], memory[N_TILES * N], address;
    (void)state;
    open_all(&b, 1, 0, "", tasks);
    assert_int_equal(tg_run_end_graphs(b.run, &err), TG_E_STATE);
    MUST(tg_run_execute(b.run, &err));
    CUgraph graph = make_graph(&b, input, output);
    assert_int_equal(tg_run_start(b.run, &err), TG_E_STATE);
    assert_true(strstr(err.text, "tg_run_end_graphs") != NULL);
    assert_int_equal(tg_run_execute(b.run, &err), TG_E_STATE);
    assert_int_equal(tg_run_start_on(b.run, 0, b.stream, &err), TG_E_STATE);
    assert_int_equal(tg_run_bind(b.run, 0, memory, &err), TG_E_STATE);
    assert_int_equal(tg_run_device_tile(b.run, 0, 1, 0, TG_OUT, b.stream, &address, &err), TG_E_STATE);
    assert_null(tg_run_tile(b.run, 0, 1));
    b.api->cuGraphDestroy(graph);
    MUST(tg_run_end_graphs(b.run, &err));
    assert_int_equal(tg_run_end_graphs(b.run, &err), TG_E_STATE);
    MUST(tg_run_execute(b.run, &err));
    close_all(&b);
}

static void what_cannot_be_a_node_says_why(void **state)
{
    static const struct {
        const char *tasks, *why;
        uint64_t bytes;
    } cases[] = {
        {"{'id': 'host', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, "
         "{'on': 'cuda', 'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]', 'in0': 'A[0]'}}", "task \"host\": it runs on a CPU", 0},
        {"{'id': 'host', 'on': 'cpu', 'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}", "no task is on a device", 0},
        {tasks, "memory is too short", 3 * TILE_BYTES},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        struct tg_error err;
        CUgraph graph;
        size_t n = 1;
        void *node;
        open_all(&b, 1, cases[i].bytes, "", cases[i].tasks);
        assert_int_equal(b.api->cuGraphCreate(&graph, 0), 0);
        assert_int_equal(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err), TG_E_UNSUPPORTED);
        if (!strstr(err.text, cases[i].why))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].why);
        assert_int_equal(b.api->cuGraphGetNodes(graph, NULL, &n), 0);
        assert_int_equal(n, 0);
        MUST(tg_run_execute(b.run, &err));
        b.api->cuGraphDestroy(graph);
        close_all(&b);
    }
}

static void a_refusal_of_the_driver_leaves_all_as_it_was(void **state)
{
    static const struct {
        const char *call, *part;
        uint64_t at;
    } cases[] = {{"cuGraphCreate", "cuGraphCreate", 1}, {"cuGraphAddKernelNode", "task \"t[", 3},
                 {"cuGraphAddChildGraphNode", "the program's graph", 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        struct tg_error err;
        CUgraph graph;
        size_t n = 1;
        void *node;
        open_all(&b, 2, 0, "", tasks);
        assert_int_equal(b.api->cuGraphCreate(&graph, 0), 0);
        standin.standin_fail(cases[i].call, cases[i].at, CUDA_ERROR_INVALID_VALUE, STANDIN_ONCE);
        assert_int_equal(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err), TG_E_DRIVER);
        assert_true(strstr(err.text, cases[i].part) != NULL);
        assert_int_equal(b.api->cuGraphGetNodes(graph, NULL, &n), 0);
        assert_int_equal(n, 0);
        MUST(tg_run_execute(b.run, &err));
        MUST(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err));
        b.api->cuGraphDestroy(graph);
        close_all(&b);
    }
}

/* A[0] is on the second device as well, because the program has asked for it there, and a start writes it on the first: the
 * next launch would find an old copy. */
static void a_start_that_does_not_lead_back_is_refused(void **state)
{
    struct tg_run_options options = TG_RUN_OPTIONS_INIT;
    struct bench b;
    struct tg_error err;
    CUgraph graph;
    void *node;
    uint64_t address;
    (void)state;
    open_all(&b, 2, 0, "", "{'kernel': 'mix', 'args': {'id': 1, 'n': 32, 'out': 'A[0]'}}, {'kernel': 'mix', 'args': {'id': 2, 'n': 32, 'out': 'A[1]'}}");
    tg_run_destroy(b.run);
    options.keep_data = true;
    MUST(tg_run_create(b.rt, b.g, &options, &b.run, &err));
    assert_int_equal(b.api->cuGraphCreate(&graph, 0), 0);
    MUST(tg_run_execute(b.run, &err));
    CUcontext ctx;
    assert_int_equal(b.api->cuDevicePrimaryCtxRetain(&ctx, 1), 0);
    assert_int_equal(b.api->cuCtxSetCurrent(ctx), 0);
    MUST(tg_run_device_tile(b.run, 0, 0, 1, TG_IN, NULL, &address, &err));
    assert_int_equal(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err), TG_E_STATE);
    assert_true(strstr(err.text, "start it once more") != NULL);
    MUST(tg_run_execute(b.run, &err));
    MUST(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err));
    b.api->cuGraphDestroy(graph);
    b.api->cuDevicePrimaryCtxRelease(1);
    close_all(&b);
}

static void the_end_tells_which_task_failed(void **state)
{
    static const char factors[] = "{'for': ['i in 0:3'], 'id': 'factor[{i}]', 'kernel': 'potrf', 'args': {'n': 4, 'a': 'M[i]'}}";
    struct bench b;
    struct tg_error err;
    CUgraph graph;
    void *node;
    (void)state;
    open_all(&b, 1, 0, ", 'potrf': {'builtin': 'potrf_lower'}", factors);
    assert_int_equal(b.api->cuGraphCreate(&graph, 0), 0);
    MUST(tg_run_add_to_graph(b.run, graph, NULL, 0, &node, &err));
    CUgraphExec exec = instantiate(&b, graph);
    launch(&b, exec);
    b.api->cuGraphExecDestroy(exec);
    b.api->cuGraphDestroy(graph);
    assert_int_equal(tg_run_end_graphs(b.run, &err), TG_E_TASK_FAILED);
    assert_int_equal(strncmp(err.task, "factor[", 7), 0);
    assert_int_equal(tg_run_execute(b.run, &err), TG_E_TASK_FAILED); /* as ever */
    close_all(&b);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(a_start_between_nodes_of_the_program),
        cmocka_unit_test(memory_that_is_bound_is_read_and_written_by_each_launch),
        cmocka_unit_test(its_memory_stays_when_others_are_short),
        cmocka_unit_test(a_run_can_be_two_nodes),
        cmocka_unit_test(a_run_in_a_graph_is_left_alone),
        cmocka_unit_test(what_cannot_be_a_node_says_why),
        cmocka_unit_test(a_refusal_of_the_driver_leaves_all_as_it_was),
        cmocka_unit_test(a_start_that_does_not_lead_back_is_refused),
        cmocka_unit_test(the_end_tells_which_task_failed),
    };
    return cmocka_run_group_tests(all, device_group_load, device_group_unload);
}
