/* Memory of the stand-in driver: what is reached from where, what nobody has written, and that misuse is seen. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/standin_devices.h"

static void device_memory_is_out_of_the_hosts_reach(void **state)
{
    (void)state;
    int fd[2];
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], (void *)(uintptr_t)p, 1),
                     -1); /* the kernel's EFAULT instead of our SIGSEGV */
    close(fd[0]);
    close(fd[1]);
    OK(cu->cuMemFree(p));
    close_devices(1);
}

static void bytes_that_nobody_wrote_are_poison_and_noticed(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES);
    unsigned char host[BYTES];
    OK(cu->cuMemsetD8Async(p, 0, BYTES - 1, NULL));
    OK(cu->cuMemcpyDtoH(host, p, BYTES - 1));
    assert_int_equal(standin.standin_violations(NULL, 0), 0);
    OK(cu->cuMemcpyDtoDAsync(q, p, BYTES, NULL)); /* moving them on the device is no offence.. */
    OK(cu->cuCtxSynchronize());
    assert_int_equal(standin.standin_violations(NULL, 0), 0);
    OK(cu->cuMemcpyDtoH(host, q, BYTES)); /* ..but they stay what they are */
    assert_int_equal(host[BYTES - 1], 0xff);
    assert_int_equal(standin.standin_violations(NULL, 0), 1);
    seen("nobody has written");
    OK(copy(a, p, q, N)); /* a kernel that says it reads them */
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(standin.standin_violations(NULL, 0), 2);
    seen("parameter 1 of kernel copy");
    OK(cu->cuMemcpyDtoH(host, p, BYTES)); /* it said it writes everything */
    assert_int_equal(standin.standin_violations(NULL, 0), 2);
}

static void offends(void (*act)(CUdeviceptr p, CUdeviceptr other), const char *part)
{
    CUdeviceptr unused;
    open_devices(2, 1);
    CUdeviceptr p = device_memory(BYTES), other;
    OK(cu->cuCtxSetCurrent(ctx[1]));
    other = device_memory(BYTES);
    OK(cu->cuCtxSetCurrent(ctx[0]));
    act(p, other);
    IS(cu->cuCtxSynchronize(), ILLEGAL_ADDRESS);
    seen(part);
    IS(cu->cuMemAlloc(&unused, 64), ILLEGAL_ADDRESS); /* the process is done with the driver */
    IS(cu->cuStreamQuery(b), ILLEGAL_ADDRESS);
    IS(cu->cuMemFree(p) == CUDA_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_ILLEGAL_ADDRESS, ILLEGAL_ADDRESS);
    assert_int_equal(standin.standin_pending(), 0);
}

static void act_beyond(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(set(a, p, N + 1, 1));
}
static void act_before(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(set(a, p - 4, 1, 1));
}
static void act_freed(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    CUdeviceptr q = device_memory(64);
    OK(cu->cuMemFree(q));
    (void)device_memory(64); /* does not get the same address at once */
    OK(set(a, q, 1, 1));
    (void)p;
}
static void act_free_while_queued(CUdeviceptr p, CUdeviceptr other)
{
    (void)p, (void)other;
    CUdeviceptr q = device_memory(64);
    OK(set(a, q, 1, 1));
    OK(cu->cuMemFree(q));
}
static void act_elsewhere(CUdeviceptr p, CUdeviceptr other)
{
    (void)p;
    OK(set(a, other, 1, 1));
}
static void act_host(CUdeviceptr p, CUdeviceptr other)
{
    static int host;
    (void)p, (void)other;
    OK(set(a, (CUdeviceptr)(uintptr_t)&host, 1, 1));
}
static void act_copy_beyond(CUdeviceptr p, CUdeviceptr other)
{
    OK(cu->cuMemcpyDtoDAsync(p, other, BYTES + 1, a));
}
static void act_memset_beyond(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(cu->cuMemsetD32Async(p, 1, N + 1, a));
}
static void act_pinned_freed(CUdeviceptr p, CUdeviceptr other)
{
    void *host;
    (void)other;
    OK(cu->cuMemAllocHost(&host, BYTES));
    OK(cu->cuMemcpyHtoDAsync(p, host, BYTES, a));
    OK(cu->cuMemFreeHost(host));
}
static void act_indirect(CUdeviceptr p, CUdeviceptr other)
{
    (void)p;
    OK(launch(f_indirect[0], a, (void *[]){&other}));
}
static void act_unloaded(CUdeviceptr p, CUdeviceptr other)
{
    (void)other;
    OK(set(a, p, 1, 1));
    OK(cu->cuModuleUnload(module[0]));
}

static void stray_accesses_are_illegal_addresses(void **state)
{
    (void)state;
    offends(act_beyond, "before the end of its memory");
    offends(act_before, "nothing is allocated there");
    offends(act_freed, "nothing is allocated there");
    offends(act_free_while_queued, "nothing is allocated there");
    offends(act_elsewhere, "memory of device 1, without peer access");
    offends(act_host, "neither device memory nor pinned");
    offends(act_copy_beyond, "before the end of its memory");
    offends(act_memset_beyond, "memset of 260 bytes");
    offends(act_pinned_freed, "copy from pinned memory");
    offends(act_indirect, "an access by kernel indirect");
    offends(act_unloaded, "after its module was unloaded");
}

static void peers_reach_each_other_once_enabled(void **state)
{
    (void)state;
    open_devices(2, 1);
    CUdeviceptr p = device_memory(BYTES), other;
    OK(cu->cuCtxSetCurrent(ctx[1]));
    other = device_memory(BYTES);
    OK(cu->cuCtxSetCurrent(ctx[0]));
    OK(cu->cuMemsetD32Async(p, 11, N, a));
    OK(cu->cuMemcpyPeerAsync(other, ctx[1], p, ctx[0], BYTES, a)); /* a copy needs no access */
    IS(cu->cuMemcpyPeerAsync(other, ctx[0], p, ctx[0], BYTES, a), INVALID_VALUE);
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(first_of(other), 11);
    OK(cu->cuCtxEnablePeerAccess(ctx[1], 0));
    IS(cu->cuCtxEnablePeerAccess(ctx[1], 0), PEER_ACCESS_ALREADY_ENABLED);
    OK(set(a, other, N, 12));
    OK(cu->cuStreamSynchronize(a));
    assert_int_equal(first_of(other), 12);
    struct standin_stats stats;
    standin.standin_stats(&stats);
    assert_int_equal(stats.peer_bytes, BYTES);
    assert_int_equal(stats.d2h_bytes, 8);
    OK(cu->cuMemFree(p));
    OK(cu->cuMemFree(other));
    close_devices(2);
}

static void pageable_memory_is_taken_at_once_and_pinned_when_its_turn_comes(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(BYTES), q = device_memory(BYTES);
    int pageable[N], *pinned, registered[N];
    OK(cu->cuMemHostAlloc((void **)&pinned, BYTES, CU_MEMHOSTALLOC_PORTABLE));
    OK(cu->cuMemHostRegister(registered, BYTES, 0));
    IS(cu->cuMemHostRegister(registered + 1, 4, 0), HOST_MEMORY_ALREADY_REGISTERED);
    pageable[0] = pinned[0] = registered[0] = 1;
    OK(cu->cuMemcpyHtoDAsync(p, pageable, 4, a));
    OK(cu->cuMemcpyHtoDAsync(p + 4, pinned, 4, a));
    OK(cu->cuMemcpyAsync(p + 8, (CUdeviceptr)(uintptr_t)registered, 4, a));
    pageable[0] = pinned[0] = registered[0] = 2;
    OK(cu->cuMemcpyDtoHAsync(pageable + 1, p, 12, a)); /* to pageable memory: over when it returns */
    assert_int_equal(pageable[1], 1);
    assert_int_equal(pageable[2], 2);
    assert_int_equal(pageable[3], 2);
    IS(cu->cuMemcpyHtoDAsync(p, (void *)(uintptr_t)q, 4, a),
       INVALID_VALUE); /* a device pointer is no host pointer */
    IS(cu->cuMemcpyDtoDAsync((CUdeviceptr)(uintptr_t)pageable, p, 4, a), INVALID_VALUE);
    OK(cu->cuMemHostUnregister(registered));
    IS(cu->cuMemHostUnregister(registered), HOST_MEMORY_NOT_REGISTERED);
    OK(cu->cuMemFreeHost(pinned));
    OK(cu->cuMemFree(p));
    OK(cu->cuMemFree(q));
    close_devices(1);
}

static void copies_in_two_dimensions_move_the_rows(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p = device_memory(64);
    unsigned char from[16], to[16] = {0};
    for (int i = 0; i < 16; i++)
        from[i] = (unsigned char)i;
    CUDA_MEMCPY2D in = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                        .srcHost = from,
                        .srcPitch = 4,
                        .srcXInBytes = 1,
                        .srcY = 1,
                        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                        .dstDevice = p,
                        .dstPitch = 8,
                        .WidthInBytes = 2,
                        .Height = 3};
    CUDA_MEMCPY2D out = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                         .srcDevice = p,
                         .srcPitch = 8,
                         .dstMemoryType = CU_MEMORYTYPE_HOST,
                         .dstHost = to,
                         .dstPitch = 2,
                         .WidthInBytes = 2,
                         .Height = 3};
    OK(cu->cuMemcpy2DAsync(&in, a));
    OK(cu->cuMemcpy2DAsync(&out, a));
    static const unsigned char expected[] = {5, 6, 9, 10, 13, 14};
    assert_memory_equal(to, expected, sizeof expected);
    in.srcPitch = 1;
    IS(cu->cuMemcpy2DAsync(&in, a), INVALID_VALUE);
    OK(cu->cuMemFree(p));
    close_devices(1);
}

static void memory_ends_where_it_ends(void **state)
{
    (void)state;
    open_devices(1, 1);
    CUdeviceptr p, q;
    size_t n_free, total;
    IS(cu->cuMemAlloc(&p, 5u << 20), OUT_OF_MEMORY);
    IS(cu->cuMemAlloc(&p, 0), INVALID_VALUE);
    p = device_memory(3u << 20);
    IS(cu->cuMemAlloc(&q, 2u << 20), OUT_OF_MEMORY);
    OK(cu->cuMemGetInfo(&n_free, &total));
    assert_int_equal(total, 4u << 20);
    assert_int_equal(n_free, (1u << 20) - 256); /* the module's global */
    IS(cu->cuMemFree(p + 512), INVALID_VALUE);
    OK(cu->cuMemFree(p));
    IS(cu->cuMemFree(p), INVALID_VALUE);
    for (int i = 0; i < 100; i++) { /* addresses come round again */
        p = device_memory(3u << 20);
        OK(cu->cuMemFree(p));
    }
    close_devices(1);
}

static void memory_in_stream_order_exists_only_between_its_calls(void **state)
{
    (void)state;
    int n_early = 0, n_late = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++)
        for (int kind = 0; kind < 3; kind++) { /* right; used on another stream before; and after */
            CUdeviceptr p;
            CUevent e;
            open_devices(1, seed);
            OK(cu->cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
            OK(cu->cuMemAllocAsync(&p, 1024, a));
            OK(cu->cuEventRecord(e, a));
            if (kind != 1)
                OK(cu->cuStreamWaitEvent(b, e, 0));
            OK(set(b, p, 4, 1));
            OK(cu->cuEventRecord(e, b));
            if (kind != 2)
                OK(cu->cuStreamWaitEvent(a, e, 0));
            OK(cu->cuMemFreeAsync(p, a));
            IS(cu->cuMemFreeAsync(p, a), INVALID_VALUE);
            CUresult rc = cu->cuCtxSynchronize();
            if (kind == 0) {
                OK(rc);
                OK(cu->cuEventDestroy(e));
                close_devices(1);
            }
            n_early += kind == 1 && rc == CUDA_ERROR_ILLEGAL_ADDRESS;
            n_late += kind == 2 && rc == CUDA_ERROR_ILLEGAL_ADDRESS;
        }
    assert_true(n_early > N_SEEDS / 8);
    assert_true(n_late > N_SEEDS / 8);
}

static void pools_count_what_they_hold(void **state)
{
    (void)state;
    CUmemoryPool pool, standard;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUdeviceptr p;
    cuuint64_t used = 0;
    open_devices(1, 1);
    OK(cu->cuMemPoolCreate(&pool, &props));
    OK(cu->cuDeviceGetDefaultMemPool(&standard, 0));
    assert_true(pool != standard);
    OK(cu->cuMemAllocFromPoolAsync(&p, 1000, pool, a));
    OK(cu->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    assert_int_equal(used, 1000);
    OK(cu->cuMemFreeAsync(p, a));
    /* The only room is what a queued release will give back. */
    OK(cu->cuMemAllocAsync(&p, (4u << 20) - 512, a));
    OK(cu->cuMemFreeAsync(p, a));
    OK(cu->cuStreamSynchronize(a));
    OK(cu->cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
    assert_int_equal(used, 0);
    OK(cu->cuMemPoolDestroy(pool));
    IS(cu->cuMemPoolDestroy(standard), INVALID_VALUE);
    close_devices(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_memory_is_out_of_the_hosts_reach),
        cmocka_unit_test(bytes_that_nobody_wrote_are_poison_and_noticed),
        cmocka_unit_test(stray_accesses_are_illegal_addresses),
        cmocka_unit_test(peers_reach_each_other_once_enabled),
        cmocka_unit_test(pageable_memory_is_taken_at_once_and_pinned_when_its_turn_comes),
        cmocka_unit_test(copies_in_two_dimensions_move_the_rows),
        cmocka_unit_test(memory_ends_where_it_ends),
        cmocka_unit_test(memory_in_stream_order_exists_only_between_its_calls),
        cmocka_unit_test(pools_count_what_they_hold),
    };
    return cmocka_run_group_tests(tests, load_standin, unload_standin);
}
