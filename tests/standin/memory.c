/* Memory of the fake devices, pinned memory, and the work that moves bytes.
 *
 * A device's memory is one anonymous file, mapped twice: without access at the addresses that the
 * program sees, and with access at others that only the stand-in and its kernels use.  Neighbouring
 * allocations have a gap between them, and freed addresses are not used again until the range has been
 * gone through, so that strays and stale pointers hit nothing. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

#include <sys/mman.h>

enum { ALIGN = 512, GAP = 512, POISON_NEW = 0xff, POISON_FREED = 0xf7 };

static struct arena {
    unsigned char *seen, *used; /* the same bytes: as the program, as the stand-in addresses them */
    size_t size, next;          /* next: where the search for room begins */
} arena[MAX_DEVICES];
static struct alloc **allocs; /* by address */
static size_t n_allocs, allocs_room;

struct CUmemPoolHandle_st {
    struct object object;
    int device;
    uint64_t threshold;
    size_t in_use, peak;
    bool reaches[MAX_DEVICES];
};

/* ---- Allocations --------------------------------------------------------------------------*/

static void alloc_destroy(struct alloc *a)
{
    if (a->device == -1 && !a->is_registered)
        free((void *)(uintptr_t)a->base);
    free(a->written);
    free(a);
}

CUresult memory_reset(int n_devices, size_t bytes)
{
    size_t size = (bytes + bytes / 2 + (16u << 20) + 0xffff) & ~(size_t)0xffff;
    for (size_t i = 0; i < n_allocs; i++)
        alloc_destroy(allocs[i]);
    free(allocs);
    allocs = NULL;
    n_allocs = allocs_room = 0;
    for (int i = 0; i < MAX_DEVICES; i++) {
        struct arena *r = &arena[i];
        r->next = 0;
        if (r->seen && (i >= n_devices || r->size != size)) {
            munmap(r->seen, r->size);
            munmap(r->used, r->size);
            *r = (struct arena){0};
        }
        if (i >= n_devices || r->seen)
            continue;
        int fd = memfd_create("standin", MFD_CLOEXEC);
        if (fd < 0)
            return CUDA_ERROR_OPERATING_SYSTEM;
        int rc = ftruncate(fd, (off_t)size);
        r->size = size;
        r->seen = mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        r->used = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        close(fd);
        if (rc || r->seen == MAP_FAILED || r->used == MAP_FAILED)
            return CUDA_ERROR_OPERATING_SYSTEM;
    }
    return CUDA_SUCCESS;
}

static int device_of(uint64_t address)
{
    for (int d = 0; d < state.n_devices; d++)
        if (address - (uint64_t)(uintptr_t)arena[d].seen < arena[d].size)
            return d;
    return -1;
}

bool is_device_address(uint64_t address) { return device_of(address) >= 0; }

/* The index of the last allocation that begins at or before the address; -1: none. */
static ptrdiff_t find_index(uint64_t address)
{
    size_t low = 0, high = n_allocs;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (allocs[middle]->base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return (ptrdiff_t)low - 1;
}

struct alloc *memory_find(uint64_t address)
{
    ptrdiff_t i = find_index(address);
    return i >= 0 && address - allocs[i]->base < allocs[i]->size ? allocs[i] : NULL;
}

static CUresult alloc_insert(struct alloc *a)
{
    if (n_allocs == allocs_room) {
        size_t room = allocs_room ? 2 * allocs_room : 64;
        struct alloc **more = realloc(allocs, room * sizeof *more);
        if (!more)
            return CUDA_ERROR_OUT_OF_MEMORY;
        allocs = more;
        allocs_room = room;
    }
    size_t at = (size_t)(find_index(a->base) + 1);
    memmove(&allocs[at + 1], &allocs[at], (n_allocs - at) * sizeof *allocs);
    allocs[at] = a;
    n_allocs++;
    return CUDA_SUCCESS;
}

/* First room at or after `from`; the arena's size if there is none. */
static size_t find_room(int device, size_t need, size_t from)
{
    uint64_t base = (uint64_t)(uintptr_t)arena[device].seen;
    ptrdiff_t i = find_index(base + from);
    size_t at = from;
    if (i >= 0 && allocs[i]->device == device && allocs[i]->base + allocs[i]->size + GAP > base + from)
        at = (size_t)(allocs[i]->base + allocs[i]->size + GAP - base);
    for (i++;; i++) {
        at = (at + ALIGN - 1) / ALIGN * ALIGN;
        size_t end = arena[device].size;
        bool is_last = i >= (ptrdiff_t)n_allocs || allocs[i]->device != device;
        if (!is_last)
            end = (size_t)(allocs[i]->base - base);
        if (at + need + GAP <= end)
            return at;
        if (is_last)
            return arena[device].size;
        at = (size_t)(allocs[i]->base + allocs[i]->size + GAP - base);
    }
}

static void poison(const struct alloc *a, int pattern)
{
    if (a->device >= 0)
        memset(arena[a->device].used + (a->base - (uint64_t)(uintptr_t)arena[a->device].seen), pattern,
               a->size);
}

CUresult memory_alloc(int device, size_t bytes, bool is_async, CUmemoryPool pool, CUdeviceptr *ptr_p)
{
    struct arena *r = &arena[device];
    if (bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (bytes > state.memory_bytes || state.in_use[device] + bytes > state.memory_bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    size_t at = find_room(device, bytes, r->next);
    if (at == r->size)
        at = find_room(device, bytes, 0);
    if (at == r->size)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct alloc *a = calloc(1, sizeof *a);
    unsigned char *written = calloc(1, bytes / 8 + 1);
    if (a)
        *a = (struct alloc){
            (uint64_t)(uintptr_t)r->seen + at, bytes, device, false, is_async, false, pool, written};
    if (!a || !written || alloc_insert(a) != CUDA_SUCCESS) {
        free(a);
        free(written);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    r->next = at + bytes + GAP;
    state.in_use[device] += bytes;
    if (state.in_use[device] > state.stats.peak_bytes[device])
        state.stats.peak_bytes[device] = state.in_use[device];
    if (pool) {
        pool->in_use += bytes;
        pool->peak = pool->in_use > pool->peak ? pool->in_use : pool->peak;
    }
    poison(a, POISON_NEW);
    *ptr_p = a->base;
    return CUDA_SUCCESS;
}

void memory_free(struct alloc *a)
{
    size_t at = (size_t)find_index(a->base);
    poison(a, POISON_FREED);
    if (a->device >= 0)
        state.in_use[a->device] -= a->size;
    if (a->pool)
        a->pool->in_use -= a->size;
    memmove(&allocs[at], &allocs[at + 1], (n_allocs - at - 1) * sizeof *allocs);
    n_allocs--;
    alloc_destroy(a);
}

void memory_leaks(size_t *n_device, size_t *device_bytes, size_t *n_pinned, size_t *n_registered)
{
    *n_device = *device_bytes = *n_pinned = *n_registered = 0;
    for (size_t i = 0; i < n_allocs; i++) {
        if (allocs[i]->device >= 0 && !allocs[i]->is_leaving) {
            ++*n_device;
            *device_bytes += allocs[i]->size;
        } else if (allocs[i]->device < 0)
            ++*(allocs[i]->is_registered ? n_registered : n_pinned);
    }
}

/* ---- Access -------------------------------------------------------------------------------*/

bool memory_span(int device, uint64_t address, size_t n, const char *what, unsigned char **p,
                 struct alloc **a_p)
{
    struct alloc *a = memory_find(address);
    if (!a) {
        fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s at 0x%llx: %s", what, (unsigned long long)address,
              is_device_address(address) ? "nothing is allocated there (freed, or out of bounds)"
                                         : "neither device memory nor pinned");
        return false;
    }
    uint64_t offset = address - a->base;
    if (n > a->size - offset) {
        fault(CUDA_ERROR_ILLEGAL_ADDRESS,
              "%s of %zu bytes at 0x%llx, which is %zu bytes before the end of its memory", what, n,
              (unsigned long long)address, (size_t)(a->size - offset));
        return false;
    }
    if (a->is_coming) {
        fault(CUDA_ERROR_ILLEGAL_ADDRESS, "%s at 0x%llx, before its allocation in stream order", what,
              (unsigned long long)address);
        return false;
    }
    if (device >= 0 && a->device >= 0 && device != a->device && !state.ctx[device].reaches[a->device] &&
        !(a->pool && a->pool->reaches[device])) {
        fault(CUDA_ERROR_ILLEGAL_ADDRESS,
              "%s on device %d at 0x%llx, memory of device %d, without peer access", what, device,
              (unsigned long long)address, a->device);
        return false;
    }
    *p = a->device < 0 ? (unsigned char *)(uintptr_t)address
                       : arena[a->device].used + (address - (uint64_t)(uintptr_t)arena[a->device].seen);
    *a_p = a;
    return true;
}

void memory_mark_written(struct alloc *a, uint64_t address, size_t n)
{
    if (!a->written)
        return;
    size_t i = (size_t)(address - a->base), end = i + n;
    for (; i < end && i % 8; i++)
        a->written[i / 8] |= (unsigned char)(1u << i % 8);
    if (end > i) {
        memset(&a->written[i / 8], 0xff, (end - i) / 8);
        i += (end - i) / 8 * 8;
    }
    for (; i < end; i++)
        a->written[i / 8] |= (unsigned char)(1u << i % 8);
}

bool memory_is_written(const struct alloc *a, uint64_t address, size_t n)
{
    if (!a->written)
        return true;
    size_t i = (size_t)(address - a->base), end = i + n;
    while (i < end) {
        if (i % 8 == 0 && end - i >= 8) {
            if (a->written[i / 8] != 0xff)
                return false;
            i += 8;
        } else {
            if (!(a->written[i / 8] >> i % 8 & 1))
                return false;
            i++;
        }
    }
    return true;
}

/* Bytes nobody has written stay such when they are copied between devices. */
static void copy_marks(struct alloc *to, uint64_t to_address, const struct alloc *from, uint64_t from_address,
                       size_t n)
{
    if (!to->written)
        return;
    if (memory_is_written(from, from_address, n)) {
        memory_mark_written(to, to_address, n);
        return;
    }
    for (size_t k = 0; k < n; k++) {
        size_t i = (size_t)(to_address - to->base) + k;
        unsigned char bit = (unsigned char)(1u << i % 8);
        if (memory_is_written(from, from_address + k, 1))
            to->written[i / 8] |= bit;
        else
            to->written[i / 8] &= (unsigned char)~bit;
    }
}

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
            copy_marks(to_alloc, to, from_alloc, from, c->width);
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
    if (!a || alloc_insert(a) != CUDA_SUCCESS) {
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
    ptrdiff_t i = find_index(base + bytes - 1);
    if (i >= 0 && allocs[i]->base + allocs[i]->size > base)
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
    for (size_t i = 0; i < n_allocs; i++) /* its memory stays until it is freed */
        if (allocs[i]->pool == pool)
            allocs[i]->pool = NULL;
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
