/* Copies and sets: executed when their turn comes, and the calls that queue them. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

/* ---- Executing ----------------------------------------------------------------------------*/

static bool copy_row(const struct copy *c, uint64_t to, uint64_t from, const unsigned char *staged)
{
    struct alloc *to_alloc = NULL, *from_alloc = NULL;
    unsigned char *to_p = (unsigned char *)(uintptr_t)to;
    unsigned char *from_p = (unsigned char *)(uintptr_t)from;
    if ((c->is_to_device || c->is_to_pinned) &&
        !memory_span(-1, to, c->width, c->is_to_device ? "copy to a device" : "copy to pinned memory", &to_p,
                     &to_alloc))
        return false;
    if (!staged && (c->is_from_device || c->is_from_pinned) &&
        !memory_span(-1, from, c->width, c->is_from_device ? "copy from a device" : "copy from pinned memory",
                     &from_p, &from_alloc))
        return false;
    if (!c->is_to_device && c->is_from_device && !memory_is_written(from_alloc, from, c->width))
        violation(
            "a copy of %zu bytes from 0x%llx on device %d to the host takes bytes that nobody has written",
            c->width, (unsigned long long)from, from_alloc->device);
    memmove(to_p, staged ? staged : from_p, c->width);
    if (c->is_to_device) {
        if (from_alloc && from_alloc->written)
            memory_copy_marks(to_alloc, to, from_alloc, from, c->width);
        else
            memory_mark_written(to_alloc, to, c->width);
    }
    uint64_t *count = c->is_to_device && !c->is_from_device                       ? &state.stats.h2d_bytes
                      : !c->is_to_device && c->is_from_device                     ? &state.stats.d2h_bytes
                      : c->is_to_device && to_alloc->device != from_alloc->device ? &state.stats.peer_bytes
                                                                                  : &state.stats.d2d_bytes;
    *count += c->width;
    return true;
}

void execute_copy(struct op *op)
{
    struct copy *c = &op->copy;
    state.stats.n_copies++;
    for (size_t z = 0; z < c->depth; z++)
        for (size_t y = 0; y < c->height; y++)
            if (!copy_row(c, c->to + z * c->to_slice + y * c->to_pitch,
                          c->from + z * c->from_slice + y * c->from_pitch,
                          c->staged ? c->staged + (z * c->height + y) * c->width : NULL))
                return;
}

void execute_set(struct op *op)
{
    struct alloc *a;
    unsigned char *p;
    size_t bytes = op->set.width * op->set.element;
    state.stats.n_sets++;
    for (size_t y = 0; y < op->set.height; y++) {
        uint64_t to = op->set.to + y * op->set.pitch;
        if (!memory_span(op->device, to, bytes, "memset", &p, &a))
            return;
        for (size_t i = 0; i < op->set.width; i++)
            memcpy(p + i * op->set.element, &op->set.value, op->set.element); /* little-endian */
        memory_mark_written(a, to, bytes);
    }
}

void execute_alloc(struct op *op)
{
    struct alloc *a = memory_find(op->address);
    if (a)
        a->is_coming = false;
}

void execute_free(struct op *op)
{
    struct alloc *a = memory_find(op->address);
    if (a)
        memory_free(a);
}

/* ---- Entry points: copies and sets --------------------------------------------------------*/

enum side { ON_HOST, ON_DEVICE, ON_EITHER };

/* Says where one end of a copy is, or that it cannot be there. */
static bool classify(enum side side, uint64_t address, bool *is_device_p, bool *is_pinned_p)
{
    struct alloc *a = memory_find(address);
    bool is_device = is_device_address(address);
    *is_device_p = is_device;
    *is_pinned_p = a && a->device < 0;
    if (side == ON_DEVICE && !is_device && !*is_pinned_p)
        return false; /* pageable memory is not a device pointer */
    if (side == ON_HOST && is_device)
        return false;
    return address != 0;
}

/* Copies from pageable memory take its contents now; those to it are over when the call returns. */
static CUresult enqueue_copy(struct copy c, enum side to, enum side from, CUstream stream)
{
    struct op op = {.kind = OP_COPY, .device = stream->ctx->device};
    if (c.width == 0 || c.height == 0 || c.depth == 0)
        return CUDA_SUCCESS;
    if (!classify(to, c.to, &c.is_to_device, &c.is_to_pinned) ||
        !classify(from, c.from, &c.is_from_device, &c.is_from_pinned))
        return CUDA_ERROR_INVALID_VALUE;
    bool is_from_pageable = !c.is_from_device && !c.is_from_pinned,
         is_to_pageable = !c.is_to_device && !c.is_to_pinned;
    if (stream->capture && (is_from_pageable || is_to_pageable)) {
        op.copy = c; /* taken when the graph runs, so the memory has to stay */
        return stream_enqueue(stream, &op);
    }
    if (is_from_pageable) {
        c.staged = malloc(c.width * c.height * c.depth);
        if (!c.staged)
            return CUDA_ERROR_OUT_OF_MEMORY;
        for (size_t z = 0; z < c.depth; z++)
            for (size_t y = 0; y < c.height; y++)
                memcpy(c.staged + (z * c.height + y) * c.width,
                       (void *)(uintptr_t)(c.from + z * c.from_slice + y * c.from_pitch), c.width);
    }
    op.copy = c;
    if (!is_to_pageable)
        return stream_enqueue(stream, &op);
    struct item *item = NULL;
    CUresult rc = stream_append(stream, &op, &item);
    if (rc == CUDA_SUCCESS)
        rc = demand(item);
    item_release(item);
    return rc;
}

static CUresult copy_linear(uint64_t to, enum side to_side, uint64_t from, enum side from_side, size_t bytes,
                            CUstream handle)
{
    CUstream stream;
    CUresult rc = stream_find(handle, &stream);
    struct copy c = {.to = to, .from = from, .width = bytes, .height = 1, .depth = 1};
    return rc == CUDA_SUCCESS ? enqueue_copy(c, to_side, from_side, stream) : rc;
}

static CUresult copy_now(uint64_t to, enum side to_side, uint64_t from, enum side from_side, size_t bytes,
                         bool is_waiting)
{
    CUcontext c;
    CUresult rc = current_ctx(&c);
    if (rc == CUDA_SUCCESS)
        rc = capture_forbid();
    if (rc == CUDA_SUCCESS)
        rc = copy_linear(to, to_side, from, from_side, bytes, NULL);
    if (rc == CUDA_SUCCESS && is_waiting && c->legacy.tail)
        rc = demand(c->legacy.tail);
    return rc;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    BEGIN(cuMemcpyHtoD_v2);
    return copy_now(to, ON_DEVICE, (uint64_t)(uintptr_t)from, ON_HOST, bytes, true);
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    BEGIN(cuMemcpyDtoH_v2);
    return copy_now((uint64_t)(uintptr_t)to, ON_HOST, from, ON_DEVICE, bytes, true);
}

/* Between places on devices no wait is promised. */
CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes)
{
    BEGIN(cuMemcpyDtoD_v2);
    return copy_now(to, ON_DEVICE, from, ON_DEVICE, bytes, false);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    BEGIN(cuMemcpyHtoDAsync_v2);
    return copy_linear(to, ON_DEVICE, (uint64_t)(uintptr_t)from, ON_HOST, bytes, stream);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    BEGIN(cuMemcpyDtoHAsync_v2);
    return copy_linear((uint64_t)(uintptr_t)to, ON_HOST, from, ON_DEVICE, bytes, stream);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    BEGIN(cuMemcpyDtoDAsync_v2);
    return copy_linear(to, ON_DEVICE, from, ON_DEVICE, bytes, stream);
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    BEGIN(cuMemcpyAsync);
    return copy_linear(to, ON_EITHER, from, ON_EITHER, bytes, stream);
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_ctx, CUdeviceptr from, CUcontext from_ctx,
                           size_t bytes, CUstream stream)
{
    BEGIN(cuMemcpyPeerAsync);
    struct alloc *a = memory_find(to), *b = memory_find(from);
    if (!to_ctx || !from_ctx)
        return CUDA_ERROR_INVALID_CONTEXT;
    if ((a && a->device >= 0 && a->device != to_ctx->device) ||
        (b && b->device >= 0 && b->device != from_ctx->device))
        return CUDA_ERROR_INVALID_VALUE;
    return copy_linear(to, ON_DEVICE, from, ON_DEVICE, bytes, stream);
}

static bool copy_end(CUmemorytype type, const void *host, CUdeviceptr device, uint64_t *address_p,
                     enum side *side_p)
{
    *address_p = type == CU_MEMORYTYPE_HOST ? (uint64_t)(uintptr_t)host : device;
    *side_p = type == CU_MEMORYTYPE_HOST ? ON_HOST : type == CU_MEMORYTYPE_DEVICE ? ON_DEVICE : ON_EITHER;
    return type == CU_MEMORYTYPE_HOST || type == CU_MEMORYTYPE_DEVICE || type == CU_MEMORYTYPE_UNIFIED;
}

CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *p, CUstream handle)
{
    CUstream stream;
    enum side to_side, from_side;
    BEGIN(cuMemcpy2DAsync_v2);
    struct copy c = {.width = p->WidthInBytes, .height = p->Height, .depth = 1};
    if (!copy_end(p->dstMemoryType, p->dstHost, p->dstDevice, &c.to, &to_side) ||
        !copy_end(p->srcMemoryType, p->srcHost, p->srcDevice, &c.from, &from_side))
        return CUDA_ERROR_INVALID_VALUE;
    c.to_pitch = p->dstPitch ? p->dstPitch : p->WidthInBytes;
    c.from_pitch = p->srcPitch ? p->srcPitch : p->WidthInBytes;
    if (c.to_pitch < p->WidthInBytes + p->dstXInBytes || c.from_pitch < p->WidthInBytes + p->srcXInBytes)
        return CUDA_ERROR_INVALID_VALUE;
    c.to += p->dstY * c.to_pitch + p->dstXInBytes;
    c.from += p->srcY * c.from_pitch + p->srcXInBytes;
    rc = stream_find(handle, &stream);
    return rc == CUDA_SUCCESS ? enqueue_copy(c, to_side, from_side, stream) : rc;
}

CUresult copy_from_3d(const CUDA_MEMCPY3D *p, struct copy *copy_p)
{
    enum side to_side, from_side;
    struct copy c = {.width = p->WidthInBytes, .height = p->Height, .depth = p->Depth};
    if (c.width == 0 || c.height == 0 || c.depth == 0 ||
        !copy_end(p->dstMemoryType, p->dstHost, p->dstDevice, &c.to, &to_side) ||
        !copy_end(p->srcMemoryType, p->srcHost, p->srcDevice, &c.from, &from_side))
        return CUDA_ERROR_INVALID_VALUE;
    c.to_pitch = p->dstPitch ? p->dstPitch : c.width;
    c.from_pitch = p->srcPitch ? p->srcPitch : c.width;
    c.to_slice = c.to_pitch * (p->dstHeight ? p->dstHeight : c.height);
    c.from_slice = c.from_pitch * (p->srcHeight ? p->srcHeight : c.height);
    c.to += p->dstZ * c.to_slice + p->dstY * c.to_pitch + p->dstXInBytes;
    c.from += p->srcZ * c.from_slice + p->srcY * c.from_pitch + p->srcXInBytes;
    if (!classify(to_side, c.to, &c.is_to_device, &c.is_to_pinned) ||
        !classify(from_side, c.from, &c.is_from_device, &c.is_from_pinned))
        return CUDA_ERROR_INVALID_VALUE;
    *copy_p = c;
    return CUDA_SUCCESS;
}

static CUresult enqueue_set(uint64_t to, unsigned value, unsigned element, size_t n, CUstream handle)
{
    CUstream stream;
    CUresult rc = stream_find(handle, &stream);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (to == 0 || to % element)
        return CUDA_ERROR_INVALID_VALUE;
    struct op op = {.kind = OP_SET, .device = stream->ctx->device};
    op.set.to = to;
    op.set.width = n;
    op.set.height = 1;
    op.set.value = value;
    op.set.element = element;
    return n ? stream_enqueue(stream, &op) : CUDA_SUCCESS;
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, CUstream stream)
{
    BEGIN(cuMemsetD8Async);
    return enqueue_set(to, value, 1, n, stream);
}

CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t n, CUstream stream)
{
    BEGIN(cuMemsetD16Async);
    return enqueue_set(to, value, 2, n, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned int value, size_t n, CUstream stream)
{
    BEGIN(cuMemsetD32Async);
    return enqueue_set(to, value, 4, n, stream);
}
