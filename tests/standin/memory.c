/* Memory of the fake devices and pinned memory, by address: which bytes are whose, and which have been written.
 *
 * A device's memory is one anonymous file, mapped twice: without access at the addresses that the
 * program sees, and with access at others that only the stand-in and its kernels use.  Neighbouring
 * allocations have a gap between them, and freed addresses are not used again until the range has been
 * gone through, so that strays and stale pointers hit nothing. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

#include <sys/mman.h>

enum { ALIGN = 512, GAP = 512 };

static struct arena {
    unsigned char *seen, *used; /* the same bytes: as the program, as the stand-in addresses them */
    size_t size, next;          /* next: where the search for room begins */
} arena[MAX_DEVICES];
static struct alloc **allocs; /* by address */
static size_t n_allocs, allocs_room;

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

bool memory_overlaps(uint64_t base, size_t n)
{
    ptrdiff_t i = find_index(base + n - 1);
    return i >= 0 && allocs[i]->base + allocs[i]->size > base;
}

void memory_leave_pool(CUmemoryPool pool)
{
    for (size_t i = 0; i < n_allocs; i++)
        if (allocs[i]->pool == pool)
            allocs[i]->pool = NULL;
}

CUresult memory_insert(struct alloc *a)
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
    if (!a || !written || memory_insert(a) != CUDA_SUCCESS) {
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

void memory_copy_marks(struct alloc *to, uint64_t to_address, const struct alloc *from, uint64_t from_address,
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
