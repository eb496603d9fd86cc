/* The stand-in for NCCL, on the stand-in driver. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "graph/dtype.h"
#include "tests/standin/nccl.h"
#include "tests/standin_contexts.h"

static struct {
#define POINTER_X(type, name, params) type(*name) params;
    NCCL_FUNCTIONS(POINTER_X)
} nccl;

enum { N_RANKS = 3, COUNT = 40 };

static ncclComm_t comm[N_RANKS];
static CUstream stream[N_RANKS];
static CUdeviceptr from[N_RANKS], to[N_RANKS];
static float host[N_RANKS * COUNT];

/* Rank r sends r + 1 times i + 1 at element i, of N_RANKS * COUNT. */
static float sent(int r, int i) { return (float)((r + 1) * (i + 1)); }

static void open_ranks(uint64_t seed)
{
    open_devices(N_RANKS, seed);
    nccl.standin_nccl_reset();
    GOOD(nccl.ncclCommInitAll(comm, N_RANKS, NULL));
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamCreate(&stream[r], CU_STREAM_NON_BLOCKING));
        for (int i = 0; i < N_RANKS * COUNT; i++)
            host[i] = sent(r, i);
        from[r] = upload(host, sizeof host);
        OK(cu->cuMemAlloc(&to[r], sizeof host));
    }
}

static void free_ranks(void)
{
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamDestroy(stream[r]));
        OK(cu->cuMemFree(from[r]));
        OK(cu->cuMemFree(to[r]));
    }
}

static void close_ranks(void)
{
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommDestroy(comm[r]));
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    free_ranks();
    close_devices();
}

static const float *result(int r)
{
    OK(cu->cuCtxSetCurrent(ctx[r]));
    OK(cu->cuStreamSynchronize(stream[r]));
    OK(cu->cuMemcpyDtoH(host, to[r], sizeof host));
    return host;
}

static const void *send_buffer(int r) { return (const void *)(uintptr_t)from[r]; }
static void *recv_buffer(int r) { return (void *)(uintptr_t)to[r]; }

enum { EVERY_KIND = 5 };
static ncclResult_t collective(int kind, int r)
{
    const void *send = send_buffer(r);
    void *recv = recv_buffer(r);
    switch (kind) {
    case 0:
        return nccl.ncclAllReduce(send, recv, COUNT, ncclFloat32, ncclSum, comm[r], stream[r]);
    case 1:
        return nccl.ncclBroadcast(send, recv, COUNT, ncclFloat32, 1, comm[r], stream[r]);
    case 2:
        return nccl.ncclReduce(send, recv, COUNT, ncclFloat32, ncclMax, 2, comm[r], stream[r]);
    case 3:
        return nccl.ncclAllGather(send, recv, COUNT, ncclFloat32, comm[r], stream[r]);
    default:
        return nccl.ncclReduceScatter(send, recv, COUNT, ncclFloat32, ncclAvg, comm[r], stream[r]);
    }
}

static float wanted(int kind, int r, int i)
{
    switch (kind) {
    case 0:
        return sent(0, i) + sent(1, i) + sent(2, i);
    case 1:
        return sent(1, i);
    case 2:
        return sent(2, i);
    case 3:
        return sent(i / COUNT, i % COUNT);
    default:
        return (sent(0, r * COUNT + i) + sent(1, r * COUNT + i) + sent(2, r * COUNT + i)) / N_RANKS;
    }
}

static void every_collective_computes_in_every_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        for (int kind = 0; kind < EVERY_KIND; kind++) {
            open_ranks(seed);
            GOOD(nccl.ncclGroupStart());
            for (int r = N_RANKS - 1; r >= 0; r--)
                GOOD(collective(kind, r));
            GOOD(nccl.ncclGroupEnd());
            for (int r = 0; r < N_RANKS; r++) {
                if (kind == 2 && r != 2)
                    continue;
                if (kind != 3)
                    OK(cu->cuMemsetD8Async(to[r] + COUNT * sizeof(float), 0,
                                           sizeof host - COUNT * sizeof(float), stream[r]));
                const float *got = result(r);
                for (int i = 0; i < (kind == 3 ? N_RANKS : 1) * COUNT; i++)
                    assert_true(got[i] == wanted(kind, r, i));
            }
            for (int r = 0; r < N_RANKS; r++) {
                OK(cu->cuCtxSetCurrent(ctx[r]));
                OK(cu->cuStreamSynchronize(stream[r]));
            }
            close_ranks();
        }
}

/* A collective waits for what its streams have queued before, and what they queue after waits for it. */
static void a_collective_lies_in_the_order_of_its_streams(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        open_ranks(seed);
        for (int r = 0; r < N_RANKS; r++) {
            OK(cu->cuCtxSetCurrent(ctx[r]));
            OK(cu->cuMemsetD8Async(from[r], 0, sizeof host, stream[r]));
        }
        GOOD(nccl.ncclGroupStart());
        for (int r = 0; r < N_RANKS; r++)
            GOOD(nccl.ncclAllReduce(send_buffer(r), (void *)(uintptr_t)from[r], N_RANKS * COUNT, ncclFloat32,
                                    ncclSum, comm[r], stream[r]));
        GOOD(nccl.ncclGroupEnd());
        for (int r = 0; r < N_RANKS; r++) {
            OK(cu->cuCtxSetCurrent(ctx[r]));
            OK(cu->cuMemcpyDtoDAsync(to[r], from[r], sizeof host, stream[r]));
            assert_true(result(r)[COUNT] == 0);
        }
        close_ranks();
    }
}

static void ranks_send_to_each_other(void **state)
{
    (void)state;
    open_ranks(1);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++) { /* a ring, of which no rank could go first */
        GOOD(nccl.ncclRecv(recv_buffer(r), N_RANKS * COUNT, ncclFloat32, (r + 2) % N_RANKS, comm[r],
                           stream[r]));
        GOOD(nccl.ncclSend(send_buffer(r), N_RANKS * COUNT, ncclFloat32, (r + 1) % N_RANKS, comm[r],
                           stream[r]));
    }
    GOOD(nccl.ncclGroupEnd());
    for (int r = 0; r < N_RANKS; r++)
        assert_true(result(r)[COUNT] == sent((r + 2) % N_RANKS, COUNT));
    close_ranks();
}

/* 3, 5 and 7, of every type. */
static void write_number(void *p, ncclDataType_t type, int value)
{
    const float f = (float)value;
    const double d = value;
    const uint16_t half = tgi_f16_from_float(f), brain = tgi_bf16_from_float(f);
    const int64_t i = value;
    const void *source = type == ncclFloat32    ? (const void *)&f
                         : type == ncclFloat64  ? (const void *)&d
                         : type == ncclFloat16  ? (const void *)&half
                         : type == ncclBfloat16 ? (const void *)&brain
                                                : (const void *)&i;
    memcpy(p, source,
           type == ncclFloat64 || type == ncclInt64 || type == ncclUint64 ? 8
           : type == ncclFloat32                                          ? 4
                                                                          : 2);
}

static void every_type_and_operation_computes(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
    static const int want[] = {15, 105, 7, 3, 5};
    open_ranks(1);
    for (int type = 0; type < STANDIN_NCCL_N_TYPES; type++)
        for (int op = 0; op < ncclNumOps; op++) {
            unsigned char number[8] = {0}, expected[8] = {0}, got[8] = {0};
            for (int r = 0; r < N_RANKS; r++) {
                write_number(number, (ncclDataType_t)type, 3 + 2 * r);
                if (type == ncclInt32 || type == ncclUint32)
                    memset(number + 2, 0, 6);
                OK(cu->cuCtxSetCurrent(ctx[r]));
                OK(cu->cuMemcpyHtoD(from[r], number, sizes[type]));
            }
            write_number(expected, (ncclDataType_t)type, want[op]);
            GOOD(nccl.ncclGroupStart());
            for (int r = 0; r < N_RANKS; r++)
                GOOD(nccl.ncclAllReduce(send_buffer(r), recv_buffer(r), 1, (ncclDataType_t)type,
                                        (ncclRedOp_t)op, comm[r], stream[r]));
            GOOD(nccl.ncclGroupEnd());
            for (int r = 0; r < N_RANKS; r++) {
                OK(cu->cuCtxSetCurrent(ctx[r]));
                OK(cu->cuStreamSynchronize(stream[r]));
                OK(cu->cuMemcpyDtoH(got, to[r], sizes[type]));
                assert_memory_equal(got, expected, sizes[type]);
            }
        }
    close_ranks();
}

static void misuse_is_noticed(void **state)
{
    (void)state;
    open_ranks(1);
    assert_int_equal(collective(0, 0), ncclInvalidUsage);
    seen("outside a group");
    GOOD(nccl.ncclGroupStart());
    GOOD(collective(0, 0));
    GOOD(collective(0, 1));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 2 does not take part in an ncclAllReduce of 40 float32 that rank 0 calls");
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(r == 1 ? 3 : 0, r));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 1 calls ncclAllGather of 40 float32");
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++) { /* in other orders */
        GOOD(collective(r == 2 ? 1 : 0, r));
        GOOD(collective(r == 2 ? 0 : 1, r));
    }
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 2 calls ncclBroadcast");
    GOOD(nccl.ncclGroupStart());
    GOOD(nccl.ncclSend(send_buffer(0), 1, ncclInt8, 1, comm[0], stream[0]));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 0 sends to rank 1, which does not receive");
    GOOD(nccl.ncclGroupStart());
    GOOD(nccl.ncclRecv(recv_buffer(0), 1, ncclInt8, 1, comm[0], stream[0]));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    seen("rank 0 receives from rank 1, which does not send");
    int twice[] = {1, 1}, beyond[] = {0, N_RANKS};
    ncclComm_t other[2];
    assert_int_equal(nccl.ncclCommInitAll(other, 2, twice), ncclInvalidUsage);
    assert_int_equal(nccl.ncclCommInitAll(other, 2, beyond), ncclInvalidArgument);
    assert_int_equal(nccl.ncclAllReduce(NULL, recv_buffer(0), 1, ncclInt8, ncclSum, comm[0], stream[0]),
                     ncclInvalidArgument);
    assert_int_equal(nccl.ncclGroupEnd(), ncclInvalidUsage);
    assert_int_equal(standin.standin_pending(), 0); /* nothing was enqueued */
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommDestroy(comm[r]));
    free_ranks();
}

static void destroying_under_way_is_noticed(void **state)
{
    (void)state;
    open_ranks(1);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    GOOD(nccl.ncclGroupEnd());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommDestroy(comm[r]));
    seen("destroyed while its operations run");
    assert_int_equal(nccl.ncclCommDestroy(comm[0]), ncclInvalidArgument);
    for (int r = 0; r < N_RANKS; r++)
        result(r);
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    free_ranks();
}

static void a_collective_that_hangs_is_aborted(void **state)
{
    (void)state;
    open_ranks(1);
    nccl.standin_nccl_hang(true);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    GOOD(nccl.ncclGroupEnd());
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        for (int i = 0; i < 20; i++)
            IS(cu->cuStreamQuery(stream[r]), NOT_READY);
    }
    ncclResult_t error;
    GOOD(nccl.ncclCommGetAsyncError(comm[0], &error));
    assert_int_equal(error, ncclSuccess);
    nccl.standin_nccl_async(ncclRemoteError);
    GOOD(nccl.ncclCommGetAsyncError(comm[2], &error));
    assert_int_equal(error, ncclRemoteError);
    assert_int_equal(collective(0, 0), ncclRemoteError);
    for (int r = 0; r < N_RANKS; r++)
        GOOD(nccl.ncclCommAbort(comm[r]));
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamSynchronize(stream[r]));
    }
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    free_ranks();
    close_devices();
}

static void nccl_fails_on_demand(void **state)
{
    (void)state;
    int version;
    open_ranks(1);
    uint64_t n = nccl.standin_nccl_operations();
    nccl.standin_nccl_fail("ncclAllReduce", 2, ncclInternalError);
    GOOD(nccl.ncclGroupStart());
    GOOD(collective(0, 0));
    assert_int_equal(collective(0, 1), ncclInternalError);
    GOOD(collective(0, 2));
    assert_int_equal(nccl.ncclGroupEnd(), ncclInternalError);
    HAS(nccl.ncclGetLastError(NULL), "ncclAllReduce");
    nccl.standin_nccl_fail("ncclGroupEnd", 1, ncclSystemError);
    for (int k = 0; k < 2; k++) {
        GOOD(nccl.ncclGroupStart());
        for (int r = 0; r < N_RANKS; r++)
            GOOD(collective(0, r));
        assert_int_equal(nccl.ncclGroupEnd(), k == 0 ? ncclSystemError : ncclSuccess);
    }
    assert_int_equal(nccl.standin_nccl_operations(), n + 1);
    for (int r = 0; r < N_RANKS; r++) {
        OK(cu->cuCtxSetCurrent(ctx[r]));
        OK(cu->cuStreamSynchronize(stream[r]));
    }
    standin.standin_fail("cuLaunchKernel", 1, CUDA_ERROR_OUT_OF_MEMORY, STANDIN_ONCE);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    assert_int_equal(nccl.ncclGroupEnd(), ncclUnhandledCudaError);
    GOOD(nccl.ncclGetVersion(&version));
    assert_int_equal(version, 22809);
    assert_string_equal(nccl.ncclGetErrorString(ncclInvalidUsage), "invalid usage");
    close_ranks();
}

/* As after a fault, when the driver has forgotten what the communicators are made of. */
static void a_reset_forgets_communicators_and_operations(void **state)
{
    (void)state;
    open_ranks(1);
    GOOD(nccl.ncclGroupStart());
    for (int r = 0; r < N_RANKS; r++)
        GOOD(collective(0, r));
    GOOD(nccl.ncclGroupEnd());
    open_devices(1, 1);
    nccl.standin_nccl_reset();
    assert_int_equal(nccl.standin_nccl_alive(), 0);
    assert_int_equal(nccl.ncclCommDestroy(comm[0]), ncclInvalidArgument);
    close_devices();
    open_ranks(1);
    close_ranks();
}

static int load(void **state)
{
    void *handle = load_beside_standin("libstandin-nccl.so");
    (void)state;
    bool ok = handle != NULL;
#define FIND_X(type, name, params) ok = ok && find_in(handle, #name, &nccl.name);
    NCCL_FUNCTIONS(FIND_X)
    return ok ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_collective_computes_in_every_order),
        cmocka_unit_test(a_collective_lies_in_the_order_of_its_streams),
        cmocka_unit_test(ranks_send_to_each_other),
        cmocka_unit_test(every_type_and_operation_computes),
        cmocka_unit_test(misuse_is_noticed),
        cmocka_unit_test(destroying_under_way_is_noticed),
        cmocka_unit_test(a_collective_that_hangs_is_aborted),
        cmocka_unit_test(nccl_fails_on_demand),
        cmocka_unit_test(a_reset_forgets_communicators_and_operations),
    };
    return cmocka_run_group_tests(tests, load, unload_standin);
}
