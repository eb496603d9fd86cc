/* Graphs of the stand-in driver, and streams captured into them. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/standin_devices.h"

/* ---- Graphs -------------------------------------------------------------------------------*/

static CUgraphNode trace_node(CUgraph g, const CUgraphNode *after, size_t n, int id)
{
    CUgraphNode node = NULL;
    void *args[] = {&id};
    CUDA_KERNEL_NODE_PARAMS p = {f_trace[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
    OK(cu->cuGraphAddKernelNode(&node, g, after, n, &p));
    return node;
}

static void nodes_run_once_each_in_any_order_of_the_edges(void **state)
{
    (void)state;
    enum { NODES = 24 };
    int n_orders = 0, last[NODES] = {0};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        CUgraph g;
        CUgraphExec x;
        CUgraphNode node[NODES], after[NODES], from[NODES * NODES], to[NODES * NODES];
        size_t n_edges = 0, n_told = NODES * NODES, n_nodes = 0;
        open_devices(1, seed);
        OK(cu->cuGraphCreate(&g, 0));
        srand(7); /* the same graph every time */
        for (int i = 0; i < NODES; i++) {
            size_t n = 0;
            for (int k = 0; k < i; k++)
                if (rand() % 8 == 0)
                    after[n++] = node[k];
            n_edges += n;
            node[i] = trace_node(g, after, n, i);
        }
        OK(cu->cuGraphGetEdges(g, from, to, &n_told));
        assert_int_equal(n_told, n_edges);
        OK(cu->cuGraphGetNodes(g, NULL, &n_nodes));
        assert_int_equal(n_nodes, NODES);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        for (int round = 0; round < 2; round++) {
            int at[NODES];
            n_trace = 0;
            OK(cu->cuGraphLaunch(x, a));
            OK(cu->cuStreamSynchronize(a));
            assert_int_equal(n_trace, NODES);
            memset(at, 0xff, sizeof at);
            for (int i = 0; i < NODES; i++) {
                assert_int_equal(at[trace[i]], -1);
                at[trace[i]] = i;
            }
            for (size_t i = 0; i < n_edges; i++)
                for (int u = 0; u < NODES; u++)
                    for (int v = 0; v < NODES; v++)
                        if (node[u] == from[i] && node[v] == to[i])
                            assert_true(at[u] < at[v]);
            n_orders += memcmp(last, trace, sizeof last) != 0;
            memcpy(last, trace, sizeof last);
        }
        OK(cu->cuGraphDestroy(g)); /* what was instantiated does not need it */
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuGraphExecDestroy(x)); /* nor does what is under way need that */
        n_trace = 0;
        OK(cu->cuStreamSynchronize(a));
        assert_int_equal(n_trace, NODES);
        close_devices(1);
    }
    assert_true(n_orders > 80);
}

static void launches_of_one_executable_graph_do_not_overlap(void **state)
{
    (void)state;
    int n_swapped = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        CUgraph g;
        CUgraphExec x, y;
        open_devices(1, seed);
        OK(cu->cuGraphCreate(&g, 0));
        CUgraphNode first = trace_node(g, NULL, 0, 1);
        trace_node(g, &first, 1, 2);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphInstantiateWithFlags(&y, g, 0));
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuGraphLaunch(x, b));
        OK(cu->cuCtxSynchronize());
        for (int i = 0; i < 4; i++)
            assert_int_equal(trace[i], i % 2 + 1);
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuGraphLaunch(y, b));
        OK(cu->cuCtxSynchronize());
        n_swapped += trace[5] == 1;
        OK(cu->cuGraphExecDestroy(x));
        OK(cu->cuGraphExecDestroy(y));
        OK(cu->cuGraphDestroy(g));
        close_devices(1);
    }
    assert_true(n_swapped > 5);
}

/* The kernel of the tests does not wait, so that nothing is in order that only a programmatic edge connects. */
static void a_programmatic_edge_is_no_order_for_a_kernel_that_does_not_wait(void **state)
{
    const CUgraphEdgeData full = {0}, early = {.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC, .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC};
    (void)state;
    for (int is_early = 0; is_early < 2; is_early++) {
        int n_swapped = 0;
        for (uint64_t seed = 1; seed <= 50; seed++) {
            CUgraph g;
            CUgraphExec x;
            CUgraphNode second, third;
            open_devices(1, seed);
            OK(cu->cuGraphCreate(&g, 0));
            CUgraphNode first = trace_node(g, NULL, 0, 1);
            int id = 2;
            void *args[] = {&id};
            CUgraphNodeParams params = {.type = CU_GRAPH_NODE_TYPE_KERNEL};
            params.kernel = (CUDA_KERNEL_NODE_PARAMS){f_trace[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
            OK(cu->cuGraphAddNode(&second, g, &first, is_early ? &early : &full, 1, &params));
            CUgraphNodeParams empty = {.type = CU_GRAPH_NODE_TYPE_EMPTY};
            IS(cu->cuGraphAddNode(&third, g, &first, &early, 1, &empty), INVALID_VALUE);
            OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
            OK(cu->cuGraphLaunch(x, a));
            OK(cu->cuCtxSynchronize());
            n_swapped += trace[0] == 2;
            OK(cu->cuGraphExecDestroy(x));
            OK(cu->cuGraphDestroy(g));
            close_devices(1);
        }
        assert_true(is_early ? n_swapped > 5 : n_swapped == 0);
    }
}

static void graphs_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    CUgraph g, other;
    CUgraphExec x;
    CUgraphNode n[3], foreign;
    open_devices(1, 1);
    OK(cu->cuGraphCreate(&g, 0));
    OK(cu->cuGraphCreate(&other, 0));
    n[0] = trace_node(g, NULL, 0, 0);
    n[1] = trace_node(g, n, 1, 1);
    foreign = trace_node(other, NULL, 0, 2);
    IS(cu->cuGraphAddEmptyNode(&n[2], g, &foreign, 1), INVALID_VALUE);
    IS(cu->cuGraphAddEmptyNode(&n[2], g, (CUgraphNode[]){n[0], n[0]}, 2), INVALID_VALUE);
    IS(cu->cuGraphAddDependencies(g, &n[0], &n[1], 1), INVALID_VALUE); /* is there already */
    OK(cu->cuGraphAddDependencies(g, &n[1], &n[0], 1));
    CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
    IS(cu->cuGraphInstantiateWithParams(&x, g, &params), INVALID_VALUE);
    assert_int_equal(params.result_out, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
    OK(cu->cuGraphDestroyNode(n[1]));
    OK(cu->cuGraphInstantiateWithParams(&x, g, &params));
    assert_int_equal(params.result_out, CUDA_GRAPH_INSTANTIATE_SUCCESS);
    OK(cu->cuGraphExecDestroy(x));
    OK(cu->cuGraphDestroy(g));
    IS(cu->cuGraphDestroy(g), INVALID_VALUE);
    OK(cu->cuGraphDestroy(other));
    close_devices(1);
}

static void updates_change_parameters_and_refuse_topology(void **state)
{
    (void)state;
    CUgraph g[5];
    CUgraphExec x;
    CUgraphNode n, m;
    CUgraphExecUpdateResultInfo info;
    open_devices(2, 1);
    CUdeviceptr p = device_memory(BYTES);
    CUDA_MEMSET_NODE_PARAMS zero = {p, 0, 0, 4, N, 1};
    for (int i = 0; i < 5; i++)
        OK(cu->cuGraphCreate(&g[i], 0));
    CUgraphNode original = n = trace_node(g[0], NULL, 0, 1);
    trace_node(g[0], &n, 1, 2);
    n = trace_node(g[1], NULL, 0, 11); /* other arguments */
    trace_node(g[1], &n, 1, 12);
    trace_node(g[2], NULL, 0, 1); /* no edge */
    CUgraphNode stray = trace_node(g[2], NULL, 0, 2);
    n = trace_node(g[3], NULL, 0, 1); /* another kind */
    OK(cu->cuGraphAddMemsetNode(&m, g[3], &n, 1, &zero, ctx[0]));
    int id = 3;
    void *args[] = {&id};
    CUDA_KERNEL_NODE_PARAMS there = {f_trace[1], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
    n = trace_node(g[4], NULL, 0, 1); /* a function of another device */
    OK(cu->cuGraphAddKernelNode(&m, g[4], &n, 1, &there));

    OK(cu->cuGraphInstantiateWithFlags(&x, g[0], 0));
    OK(cu->cuGraphLaunch(x, a)); /* keeps the arguments it was launched with */
    OK(cu->cuGraphExecUpdate(x, g[1], &info));
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_SUCCESS);
    OK(cu->cuGraphLaunch(x, a));
    CUDA_KERNEL_NODE_PARAMS again = {f_trace[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
    OK(cu->cuGraphExecKernelNodeSetParams(x, original, &again));
    OK(cu->cuGraphLaunch(x, a));
    IS(cu->cuGraphExecUpdate(x, g[2], &info), GRAPH_EXEC_UPDATE_FAILURE);
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    assert_true(info.errorNode == stray);
    IS(cu->cuGraphExecUpdate(x, g[3], &info), GRAPH_EXEC_UPDATE_FAILURE);
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
    IS(cu->cuGraphExecUpdate(x, g[4], &info), GRAPH_EXEC_UPDATE_FAILURE);
    assert_int_equal(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE);
    IS(cu->cuGraphExecKernelNodeSetParams(x, stray, &again), INVALID_VALUE);
    OK(cu->cuGraphLaunch(x, a)); /* as before the refusals */
    OK(cu->cuStreamSynchronize(a));
    static const int expected[] = {1, 2, 11, 12, 3, 12, 3, 12};
    assert_int_equal(n_trace, 8);
    assert_memory_equal(trace, expected, sizeof expected);
    OK(cu->cuGraphExecDestroy(x));
    for (int i = 0; i < 5; i++)
        OK(cu->cuGraphDestroy(g[i]));
    OK(cu->cuMemFree(p));
    close_devices(2);
}

static void copies_sets_hosts_and_children_are_nodes(void **state)
{
    (void)state;
    CUgraph g, child;
    CUgraphExec x;
    CUgraphNode n, inner;
    CUgraphNodeType type;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int *pinned;
        open_devices(1, seed);
        CUdeviceptr p = device_memory(BYTES);
        OK(cu->cuMemAllocHost((void **)&pinned, BYTES));
        atomic_store(&n_called, 0);
        OK(cu->cuGraphCreate(&child, 0));
        CUDA_MEMSET_NODE_PARAMS nines = {p, 0, 9, 4, N, 1};
        OK(cu->cuGraphAddMemsetNode(&inner, child, NULL, 0, &nines, ctx[0]));
        trace_node(child, &inner, 1, 1);
        OK(cu->cuGraphCreate(&g, 0));
        OK(cu->cuGraphAddChildGraphNode(&n, g, NULL, 0, child));
        OK(cu->cuGraphDestroy(child));
        OK(cu->cuGraphNodeGetType(n, &type));
        assert_int_equal(type, CU_GRAPH_NODE_TYPE_GRAPH);
        CUDA_MEMCPY3D out = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                             .srcDevice = p,
                             .dstMemoryType = CU_MEMORYTYPE_HOST,
                             .dstHost = pinned,
                             .WidthInBytes = BYTES,
                             .Height = 1,
                             .Depth = 1};
        OK(cu->cuGraphAddMemcpyNode(&n, g, &n, 1, &out, ctx[0]));
        CUDA_HOST_NODE_PARAMS host = {called, NULL};
        OK(cu->cuGraphAddHostNode(&n, g, &n, 1, &host));
        OK(cu->cuGraphAddEmptyNode(&n, g, &n, 1));
        trace_node(g, &n, 1, 2);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphUpload(x, a));
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuStreamSynchronize(a));
        assert_int_equal(pinned[N - 1], 9);
        assert_int_equal(n_trace, 2);
        assert_int_equal(trace[1], 2);
        assert_int_equal(atomic_load(&n_called), 1);
        OK(cu->cuGraphExecDestroy(x));
        OK(cu->cuGraphDestroy(g));
        OK(cu->cuMemFreeHost(pinned));
        OK(cu->cuMemFree(p));
        OK(cu->cuStreamDestroy(a));
        OK(cu->cuStreamDestroy(b));
    }
}

static void conditionals_choose_and_repeat(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        CUgraph g;
        CUgraphExec x;
        CUgraphNode loop, body, n;
        CUgraphConditionalHandle handle, choice;
        open_devices(1, seed);
        CUdeviceptr counter = device_memory(4);
        OK(cu->cuMemsetD32Async(counter, 5, 1, a));
        OK(cu->cuGraphCreate(&g, 0));
        OK(cu->cuGraphConditionalHandleCreate(&handle, g, ctx[0], 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
        OK(cu->cuGraphConditionalHandleCreate(&choice, g, ctx[0], (unsigned)seed % 2,
                                              CU_GRAPH_COND_ASSIGN_DEFAULT));
        CUgraphNodeParams p = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
        p.conditional = (CUDA_CONDITIONAL_NODE_PARAMS){handle, CU_GRAPH_COND_TYPE_WHILE, 1, NULL, ctx[0]};
        OK(cu->cuGraphAddNode(&loop, g, NULL, NULL, 0, &p));
        CUgraph inside = p.conditional.phGraph_out[0];
        void *args[] = {&counter, &handle};
        CUDA_KERNEL_NODE_PARAMS count = {f_count[0], 1, 1, 1, 32, 1, 1, 0, args, NULL, NULL, NULL};
        OK(cu->cuGraphAddKernelNode(&body, inside, NULL, 0, &count));
        trace_node(inside, &body, 1, 1);
        p.conditional = (CUDA_CONDITIONAL_NODE_PARAMS){choice, CU_GRAPH_COND_TYPE_IF, 2, NULL, ctx[0]};
        OK(cu->cuGraphAddNode(&n, g, &loop, NULL, 1, &p));
        trace_node(p.conditional.phGraph_out[0], NULL, 0, 3);
        trace_node(p.conditional.phGraph_out[1], NULL, 0, 2);
        trace_node(g, &n, 1, 4);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphLaunch(x, a));
        OK(cu->cuStreamSynchronize(a));
        assert_int_equal(first_of(counter), 0);
        assert_int_equal(n_trace, 7);
        for (int i = 0; i < 5; i++)
            assert_int_equal(trace[i], 1);
        assert_int_equal(trace[5], 2 + seed % 2);
        assert_int_equal(trace[6], 4);
        OK(cu->cuGraphExecDestroy(x));
        CUDA_HOST_NODE_PARAMS host = {called, NULL}; /* not in a body */
        OK(cu->cuGraphAddHostNode(&n, inside, NULL, 0, &host));
        CUDA_GRAPH_INSTANTIATE_PARAMS params = {0};
        IS(cu->cuGraphInstantiateWithParams(&x, g, &params), INVALID_VALUE);
        assert_int_equal(params.result_out, CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED);
        assert_true(params.hErrNode_out == n);
        OK(cu->cuGraphDestroy(g));
        OK(cu->cuMemFree(counter));
        close_devices(1);
    }
}

/* ---- Capture ------------------------------------------------------------------------------*/

/* a: set p; then b (after a): copy q from p, and a: trace; then a (after b): copy r from q. */
static CUgraph captured(CUdeviceptr p, CUdeviceptr q, CUdeviceptr r, CUevent fork, CUevent join,
                        bool is_joining)
{
    CUgraph g = NULL;
    OK(cu->cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(set(a, p, N, 6));
    OK(cu->cuEventRecord(fork, a));
    OK(cu->cuStreamWaitEvent(b, fork, 0));
    OK(copy(b, q, p, N));
    OK(cu->cuEventRecord(join, b));
    OK(tell(a, 1));
    if (is_joining) {
        OK(cu->cuStreamWaitEvent(a, join, 0));
        OK(copy(a, r, q, N));
        OK(cu->cuStreamEndCapture(a, &g));
    } else
        IS(cu->cuStreamEndCapture(a, &g), STREAM_CAPTURE_UNJOINED);
    return g;
}

static void streams_are_captured_with_their_events(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        CUevent fork, join;
        CUgraphExec x;
        size_t n_nodes = 0, n_edges = 0;
        CUstreamCaptureStatus status;
        open_devices(1, seed);
        CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES), r = device_memory(BYTES);
        OK(cu->cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
        OK(cu->cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
        CUgraph g = captured(p, q, r, fork, join, true);
        OK(cu->cuStreamIsCapturing(b, &status));
        assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_NONE);
        assert_int_equal(standin.standin_pending(), 0);
        OK(cu->cuGraphGetNodes(g, NULL, &n_nodes));
        OK(cu->cuGraphGetEdges(g, NULL, NULL, &n_edges));
        assert_int_equal(n_nodes, 4);
        assert_int_equal(n_edges, 4);
        OK(cu->cuGraphInstantiateWithFlags(&x, g, 0));
        OK(cu->cuGraphLaunch(x, b));
        OK(cu->cuStreamSynchronize(b));
        assert_int_equal(first_of(r), 6);
        assert_int_equal(n_trace, 1);
        OK(cu->cuGraphExecDestroy(x));
        OK(cu->cuGraphDestroy(g));
        assert_null(captured(p, q, r, fork, join, false));
        IS(cu->cuStreamWaitEvent(a, join, 0), INVALID_VALUE); /* of a capture that is over */
        OK(cu->cuEventRecord(join, b));                       /* recorded anew, it is an event again */
        OK(cu->cuEventSynchronize(join));
        OK(cu->cuEventDestroy(fork));
        OK(cu->cuEventDestroy(join));
        OK(cu->cuMemFree(p));
        OK(cu->cuMemFree(q));
        OK(cu->cuMemFree(r));
        close_devices(1);
    }
}

static CUgraph begin(void)
{
    OK(cu->cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_GLOBAL));
    OK(tell(a, 1));
    return NULL;
}
static void end_invalid(void)
{
    CUgraph g;
    CUstreamCaptureStatus status;
    OK(cu->cuStreamIsCapturing(a, &status));
    assert_int_equal(status, CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    IS(tell(a, 2), STREAM_CAPTURE_INVALIDATED);
    IS(cu->cuStreamEndCapture(a, &g), STREAM_CAPTURE_INVALIDATED);
    assert_null(g);
    OK(tell(a, 3)); /* the stream works again */
    OK(cu->cuStreamSynchronize(a));
}

static void what_a_capture_forbids_ends_it(void **state)
{
    (void)state;
    CUdeviceptr p;
    CUevent e, outside;
    CUstream blocking;
    CUgraph g;
    open_devices(1, 1);
    OK(cu->cuEventCreate(&e, 0));
    OK(cu->cuEventCreate(&outside, 0));
    OK(tell(b, 1));
    OK(cu->cuEventRecord(outside, b));
    begin();
    IS(cu->cuStreamSynchronize(a), STREAM_CAPTURE_UNSUPPORTED);
    end_invalid();
    begin();
    IS(cu->cuMemAlloc(&p, 64), STREAM_CAPTURE_UNSUPPORTED);
    end_invalid();
    p = device_memory(64);
    begin();
    IS(cu->cuMemFree(p), STREAM_CAPTURE_UNSUPPORTED);
    end_invalid();
    OK(cu->cuMemFree(p));
    begin();
    IS(cu->cuStreamWaitEvent(a, outside, 0), STREAM_CAPTURE_ISOLATION);
    end_invalid();
    begin();
    OK(cu->cuEventRecord(e, a));
    IS(cu->cuEventQuery(e), CAPTURED_EVENT);
    IS(cu->cuStreamWaitEvent(b, e, 0), INVALID_VALUE);
    end_invalid();
    begin();
    OK(cu->cuEventRecord(e, a));
    OK(cu->cuStreamBeginCapture(b, CU_STREAM_CAPTURE_MODE_RELAXED));
    IS(cu->cuStreamWaitEvent(b, e, 0), STREAM_CAPTURE_MERGE);
    IS(cu->cuStreamEndCapture(b, &g), STREAM_CAPTURE_INVALIDATED);
    end_invalid();
    begin();
    OK(cu->cuEventRecord(e, a));
    OK(cu->cuStreamWaitEvent(b, e, 0));
    IS(cu->cuStreamEndCapture(b, &g), STREAM_CAPTURE_UNMATCHED);
    end_invalid();
    OK(cu->cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    OK(cu->cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_GLOBAL));
    IS(tell(NULL, 1), STREAM_CAPTURE_IMPLICIT);
    IS(cu->cuStreamEndCapture(blocking, &g), STREAM_CAPTURE_INVALIDATED);
    IS(cu->cuStreamEndCapture(blocking, &g), ILLEGAL_STATE);
    OK(cu->cuStreamDestroy(blocking));
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED; /* allows what would be forbidden */
    OK(cu->cuThreadExchangeStreamCaptureMode(&mode));
    begin();
    OK(cu->cuMemAlloc(&p, 64));
    OK(cu->cuStreamEndCapture(a, &g));
    OK(cu->cuThreadExchangeStreamCaptureMode(&mode));
    assert_int_equal(mode, CU_STREAM_CAPTURE_MODE_RELAXED);
    OK(cu->cuGraphDestroy(g));
    OK(cu->cuMemFree(p));
    OK(cu->cuEventDestroy(e));
    OK(cu->cuEventDestroy(outside));
    OK(cu->cuCtxSynchronize());
    close_devices(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_run_once_each_in_any_order_of_the_edges),
        cmocka_unit_test(launches_of_one_executable_graph_do_not_overlap),
        cmocka_unit_test(a_programmatic_edge_is_no_order_for_a_kernel_that_does_not_wait),
        cmocka_unit_test(graphs_that_make_no_sense_are_refused),
        cmocka_unit_test(updates_change_parameters_and_refuse_topology),
        cmocka_unit_test(copies_sets_hosts_and_children_are_nodes),
        cmocka_unit_test(conditionals_choose_and_repeat),
        cmocka_unit_test(streams_are_captured_with_their_events),
        cmocka_unit_test(what_a_capture_forbids_ends_it),
    };
    return cmocka_run_group_tests(tests, load_standin, unload_standin);
}
