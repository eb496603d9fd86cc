/* The calls that allocate: memory of devices, at once and in stream order, pools, and pinned memory of the host. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

/* ---- Entry points: allocation -------------------------------------------------------------*/

CUresult cuMemGetInfo_v2(size_t *free_p, size_t *total_p)
{
    CUcontext c;
    BEGIN(cuMemGetInfo_v2);
    rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    *total_p = state.memory_bytes;
    *free_p = state.memory_bytes - state.in_use[c->device];
    return rc;
}

CUresult cuMemAlloc_v2(CUdeviceptr *ptr_p, size_t bytes)
{
    CUcontext c;
    BEGIN(cuMemAlloc_v2);
    rc = current_ctx(&c);
    if (rc == CUDA_SUCCESS)
        rc = capture_forbid();
    return rc == CUDA_SUCCESS ? memory_alloc(c->device, bytes, false, NULL, ptr_p) : rc;
}

/* Does not wait for work that uses the memory: the manual does not promise it. */
CUresult cuMemFree_v2(CUdeviceptr ptr)
{
    BEGIN_RELEASE(cuMemFree_v2);
    forbid_while_staying("cuMemFree");
    struct alloc *a = memory_find(ptr);
    if (ptr == 0)
        return rc;
    rc = capture_forbid();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!a || a->base != ptr || a->device < 0 || a->is_leaving)
        return CUDA_ERROR_INVALID_VALUE;
    memory_free(a);
    DONE(rc);
}

static CUresult pin(uint64_t base, size_t bytes, bool is_registered)
{
    struct alloc *a = calloc(1, sizeof *a);
    if (a)
        *a = (struct alloc){base, bytes, -1, is_registered, false, false, NULL, NULL};
    if (!a || memory_insert(a) != CUDA_SUCCESS) {
        free(a);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return CUDA_SUCCESS;
}

static CUresult alloc_host(void **ptr_p, size_t bytes)
{
    CUcontext c;
    CUresult rc = current_ctx(&c);
    void *p = NULL;
    if (rc == CUDA_SUCCESS)
        rc = capture_forbid();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (posix_memalign(&p, 4096, bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    memset(p, POISON_NEW, bytes);
    rc = pin((uint64_t)(uintptr_t)p, bytes, false);
    if (rc == CUDA_SUCCESS)
        *ptr_p = p;
    else
        free(p);
    return rc;
}

CUresult cuMemAllocHost_v2(void **ptr_p, size_t bytes)
{
    BEGIN(cuMemAllocHost_v2);
    return alloc_host(ptr_p, bytes);
}

CUresult cuMemHostAlloc(void **ptr_p, size_t bytes, unsigned int flags)
{
    BEGIN(cuMemHostAlloc);
    return flags & ~7u ? CUDA_ERROR_INVALID_VALUE : alloc_host(ptr_p, bytes);
}

CUresult cuMemFreeHost(void *ptr)
{
    BEGIN_RELEASE(cuMemFreeHost);
    forbid_while_staying("cuMemFreeHost");
    struct alloc *a = memory_find((uint64_t)(uintptr_t)ptr);
    if (!a || a->base != (uint64_t)(uintptr_t)ptr || a->device >= 0 || a->is_registered)
        return CUDA_ERROR_INVALID_VALUE;
    memory_free(a);
    DONE(rc);
}

CUresult cuMemHostRegister_v2(void *ptr, size_t bytes, unsigned int flags)
{
    CUcontext c;
    BEGIN(cuMemHostRegister_v2);
    uint64_t base = (uint64_t)(uintptr_t)ptr;
    rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ptr || bytes == 0 || flags & ~0xfu || is_device_address(base))
        return CUDA_ERROR_INVALID_VALUE;
    if (memory_overlaps(base, bytes))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return pin(base, bytes, true);
}

CUresult cuMemHostUnregister(void *ptr)
{
    BEGIN_RELEASE(cuMemHostUnregister);
    struct alloc *a = memory_find((uint64_t)(uintptr_t)ptr);
    if (a && !a->is_registered)
        return CUDA_ERROR_INVALID_VALUE;
    if (!a || a->base != (uint64_t)(uintptr_t)ptr)
        return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    memory_free(a);
    DONE(rc);
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device_p, void *host, unsigned int flags)
{
    BEGIN(cuMemHostGetDevicePointer_v2);
    struct alloc *a = memory_find((uint64_t)(uintptr_t)host);
    if (flags || !a || a->device >= 0)
        return CUDA_ERROR_INVALID_VALUE;
    *device_p = (CUdeviceptr)(uintptr_t)host;
    return rc;
}

/* Knows of no error: of memory that is not the driver's every value is 0. */
CUresult cuPointerGetAttributes(unsigned int n, CUpointer_attribute *attributes, void **values, CUdeviceptr ptr)
{
    BEGIN(cuPointerGetAttributes);
    struct alloc *a = memory_find(ptr);
    for (unsigned int i = 0; i < n; i++) {
        if (attributes[i] != CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
            return CUDA_ERROR_NOT_SUPPORTED;
        *(unsigned *)values[i] = !a ? 0 : a->device < 0 ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    }
    return rc;
}

CUresult cuPointerGetAttribute(void *value_p, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    BEGIN(cuPointerGetAttribute);
    struct alloc *a = memory_find(ptr);
    if (!a)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *(unsigned *)value_p = a->device < 0 ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
        return rc;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        *(CUdeviceptr *)value_p = ptr;
        return rc;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        if (a->device >= 0)
            return CUDA_ERROR_INVALID_VALUE;
        *(void **)value_p = (void *)(uintptr_t)ptr;
        return rc;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *(int *)value_p = a->device < 0 ? 0 : a->device;
        return rc;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

/* ---- Entry points: allocation in stream order ---------------------------------------------*/

static CUresult default_pool(int device, CUmemoryPool *pool_p)
{
    CUmemoryPool *slot = &state.ctx[device].pool;
    if (!*slot) {
        *slot = object_new(POOL, sizeof **slot);
        if (!*slot)
            return CUDA_ERROR_OUT_OF_MEMORY;
        (*slot)->device = device;
        (*slot)->reaches[device] = true;
    }
    *pool_p = *slot;
    return CUDA_SUCCESS;
}

static CUresult alloc_async(CUdeviceptr *ptr_p, size_t bytes, CUmemoryPool pool, CUstream handle)
{
    CUstream stream;
    CUdeviceptr ptr;
    CUresult rc = stream_find(handle, &stream);
    if (rc == CUDA_SUCCESS && stream->capture)
        rc = capture_invalidate(stream->capture,
                                CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED); /* no memory nodes here */
    if (rc == CUDA_SUCCESS && !pool)
        rc = default_pool(stream->ctx->device, &pool);
    if (rc != CUDA_SUCCESS)
        return rc;
    rc = memory_alloc(pool->device, bytes, true, pool, &ptr);
    if (rc == CUDA_ERROR_OUT_OF_MEMORY && demand_device(pool->device) == CUDA_SUCCESS) /* queued releases */
        rc = memory_alloc(pool->device, bytes, true, pool, &ptr);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct op op = {.kind = OP_ALLOC, .device = stream->ctx->device};
    op.address = ptr;
    rc = stream_enqueue(stream, &op);
    if (rc == CUDA_SUCCESS)
        *ptr_p = ptr;
    else
        memory_free(memory_find(ptr));
    return rc;
}

CUresult cuMemAllocAsync(CUdeviceptr *ptr_p, size_t bytes, CUstream stream)
{
    BEGIN(cuMemAllocAsync);
    return alloc_async(ptr_p, bytes, NULL, stream);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ptr_p, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    BEGIN(cuMemAllocFromPoolAsync);
    return is_object(pool, POOL) ? alloc_async(ptr_p, bytes, pool, stream) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream handle)
{
    CUstream stream;
    BEGIN_RELEASE(cuMemFreeAsync);
    struct alloc *a = memory_find(ptr);
    if (!a || a->base != ptr || a->device < 0 || a->is_leaving)
        return CUDA_ERROR_INVALID_VALUE;
    rc = stream_find(handle, &stream);
    if (rc == CUDA_SUCCESS && stream->capture)
        rc = capture_invalidate(stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct op op = {.kind = OP_FREE, .device = stream->ctx->device};
    op.address = ptr;
    rc = stream_enqueue(stream, &op);
    a->is_leaving = rc == CUDA_SUCCESS;
    DONE(rc);
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool_p, CUdevice device)
{
    BEGIN(cuDeviceGetDefaultMemPool);
    return device < 0 || device >= state.n_devices ? CUDA_ERROR_INVALID_DEVICE : default_pool(device, pool_p);
}

CUresult cuMemPoolCreate(CUmemoryPool *pool_p, const CUmemPoolProps *props)
{
    BEGIN(cuMemPoolCreate);
    if (props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED ||
        props->location.type != CU_MEM_LOCATION_TYPE_DEVICE || props->location.id < 0 ||
        props->location.id >= state.n_devices)
        return CUDA_ERROR_INVALID_VALUE;
    CUmemoryPool pool = object_new(POOL, sizeof *pool);
    if (!pool)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pool->device = props->location.id;
    pool->reaches[pool->device] = true;
    *pool_p = pool;
    return rc;
}

CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
    BEGIN_RELEASE(cuMemPoolDestroy);
    if (!is_object(pool, POOL) || state.ctx[pool->device].pool == pool)
        return CUDA_ERROR_INVALID_VALUE;
    memory_leave_pool(pool); /* it stays until it is freed */
    object_kill(pool);
    DONE(rc);
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep_bytes)
{
    (void)keep_bytes;
    BEGIN(cuMemPoolTrimTo);
    return is_object(pool, POOL) ? rc : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    BEGIN(cuMemPoolSetAttribute);
    if (!is_object(pool, POOL))
        return CUDA_ERROR_INVALID_VALUE;
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        pool->threshold = *(cuuint64_t *)value;
    else if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH && *(cuuint64_t *)value == 0)
        pool->peak = pool->in_use;
    else if (attribute > CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES)
        return CUDA_ERROR_INVALID_VALUE;
    return rc;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    BEGIN(cuMemPoolGetAttribute);
    if (!is_object(pool, POOL))
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        *(cuuint64_t *)value = pool->threshold;
        return rc;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        *(cuuint64_t *)value = pool->in_use;
        return rc;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        *(cuuint64_t *)value = pool->peak;
        return rc;
    default:
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc *map, size_t n)
{
    BEGIN(cuMemPoolSetAccess);
    if (!is_object(pool, POOL))
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++) {
        int d = map[i].location.id;
        if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE || d < 0 || d >= state.n_devices)
            return CUDA_ERROR_INVALID_DEVICE;
        if (d != pool->device && !state.has_peers)
            return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
        pool->reaches[d] = map[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE || d == pool->device;
    }
    return rc;
}
