/* See device.h. */
#include "gpu/device.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/dtype.h"
#include "graph/error.h"
#include "gpu/blas.h"
#include "gpu/cluster.h"
#include "gpu/code.h"
#include "gpu/collective.h"
#include "gpu/executor.h"
#include "gpu/graph.h"
#include "gpu/nvtx.h"
#include "gpu/stay.h"

/* ---- Contexts -----------------------------------------------------------------------------*/

/* What the calling thread has attached itself to.  Between attach and detach nobody else changes its
 * context, so the last one that was set is the current one. */
static _Thread_local struct {
    const struct tgi_cuda *cuda;
    CUcontext current;
    uint32_t depth;
} thread;

static int attach(struct tgi_devices *ds, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    if (thread.depth && thread.cuda == cuda) {
        thread.depth++;
        return 0;
    }
    if (thread.depth)
        return tgi_error(err, TG_E_STATE, "the thread is at work for other CUDA devices");
    int rc = TGI_CUDA_DO(cuda, err, cuCtxPushCurrent, (cuda->device[0].ctx), "entering cuda:%u", ds->ordinal[0]);
    if (rc)
        return rc;
    thread.cuda = cuda;
    thread.current = cuda->device[0].ctx;
    thread.depth = 1;
    return 0;
}

static void detach(struct tgi_devices *ds)
{
    CUcontext popped;
    if (--thread.depth)
        return;
    /* It can only fail once the devices are lost, and then there is nothing to put back. */
    tgi_cuda_of(ds)->api->cuCtxPopCurrent(&popped);
    thread.cuda = NULL;
    thread.current = NULL;
}

void tgi_cuda_try_enter(struct tgi_cuda *cuda, uint32_t device)
{
    if (thread.depth && thread.cuda == cuda)
        tgi_cuda_enter(cuda, device, NULL);
}

int tgi_cuda_enter(struct tgi_cuda *cuda, uint32_t device, struct tg_error *err)
{
    CUcontext ctx = cuda->device[device].ctx;
    if (thread.current == ctx)
        return 0;
    int rc = TGI_CUDA_DO(cuda, err, cuCtxSetCurrent, (ctx), "entering cuda:%u", cuda->base.ordinal[device]);
    if (rc == 0)
        thread.current = ctx;
    return rc;
}

int tgi_cuda_done(struct tgi_cuda *cuda, CUresult rc, const char *call, struct tg_error *err, const char *format, ...)
{
    if (__builtin_expect(rc == CUDA_SUCCESS, 1))
        return 0;
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (tgi_cuda_is_fatal(rc))
        atomic_store_explicit(&cuda->base.is_lost, true, memory_order_relaxed);
    return tgi_cuda_check(cuda->api, rc, call, err, "%s", what);
}

/* ---- Memory -------------------------------------------------------------------------------*/

static int reserve(struct tgi_devices *ds, uint32_t device, uint64_t bytes, uint64_t *address_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUdeviceptr p = 0;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuMemAlloc, (&p, bytes), "reserving %llu bytes on cuda:%u",
                         (unsigned long long)bytes, ds->ordinal[device]);
    if (rc == 0)
        *address_p = p;
    return rc;
}

static void unreserve(struct tgi_devices *ds, uint32_t device, uint64_t address)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    /* Fails only once the devices are lost: the memory goes with the process then. */
    tgi_cuda_try_enter(cuda, device);
    cuda->api->cuMemFree(address);
}

static int available(struct tgi_devices *ds, uint32_t device, uint64_t *bytes_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    size_t free_bytes = 0, total = 0;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuMemGetInfo, (&free_bytes, &total), "asking cuda:%u for its free memory",
                         ds->ordinal[device]);
    if (rc == 0)
        *bytes_p = free_bytes;
    return rc;
}

static int host_alloc(struct tgi_devices *ds, size_t bytes, void **ptr_p, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    return TGI_CUDA_DO(cuda, err, cuMemHostAlloc, (ptr_p, bytes ? bytes : 1, CU_MEMHOSTALLOC_PORTABLE),
                       "pinning %zu bytes of host memory", bytes);
}

static void host_free(struct tgi_devices *ds, void *ptr)
{
    if (ptr)
        tgi_cuda_of(ds)->api->cuMemFreeHost(ptr);
}

static int host_register(struct tgi_devices *ds, void *ptr, size_t bytes, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUresult rc = cuda->api->cuMemHostRegister(ptr, bytes, CU_MEMHOSTREGISTER_PORTABLE);
    if (rc && !tgi_cuda_is_fatal(rc))
        return tgi_error(err, TG_E_UNSUPPORTED, "%zu bytes of the program's memory cannot be pinned", bytes);
    return tgi_cuda_done(cuda, rc, "cuMemHostRegister", err, "pinning %zu bytes of the program's memory", bytes);
}

static void host_unregister(struct tgi_devices *ds, void *ptr)
{
    tgi_cuda_of(ds)->api->cuMemHostUnregister(ptr);
}

static bool is_pinned(struct tgi_devices *ds, const void *ptr)
{
    CUpointer_attribute attribute = CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
    unsigned type = 0; /* of memory that the driver does not know */
    void *values[] = {&type};
    return tgi_cuda_of(ds)->api->cuPointerGetAttributes(1, &attribute, values, (CUdeviceptr)(uintptr_t)ptr) == CUDA_SUCCESS &&
           type == CU_MEMORYTYPE_HOST;
}

/* ---- Events -------------------------------------------------------------------------------*/

/* An event is the driver's handle itself. */
static inline CUevent event_of(struct tgi_event *event) { return (CUevent)event; }

static int event_create(struct tgi_devices *ds, uint32_t device, bool is_timed, struct tgi_event **event_p,
                        struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUevent event = NULL;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuEventCreate, (&event, is_timed ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING),
                         "creating an event on cuda:%u", ds->ordinal[device]);
    if (rc == 0)
        *event_p = (struct tgi_event *)event;
    return rc;
}

static void event_destroy(struct tgi_devices *ds, struct tgi_event *event)
{
    if (event)
        tgi_cuda_of(ds)->api->cuEventDestroy(event_of(event));
}

static int record(struct tgi_devices *ds, uint32_t lane, struct tgi_event *event, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    uint32_t device = tgi_lane_device(lane);
    int rc = tgi_cuda_enter(cuda, device, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuEventRecord, (event_of(event), tgi_cuda_stream(cuda, lane)),
                            "recording an event on cuda:%u", ds->ordinal[device]);
}

static int wait(struct tgi_devices *ds, uint32_t lane, struct tgi_event *event, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    uint32_t device = tgi_lane_device(lane);
    int rc = tgi_cuda_enter(cuda, device, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuStreamWaitEvent,
                            (tgi_cuda_stream(cuda, lane), event_of(event), CU_EVENT_WAIT_DEFAULT),
                            "waiting for an event on cuda:%u", ds->ordinal[device]);
}

static int query(struct tgi_devices *ds, struct tgi_event *event, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUresult rc = cuda->api->cuEventQuery(event_of(event));
    if (rc == CUDA_ERROR_NOT_READY)
        return 0;
    int status = tgi_cuda_done(cuda, rc, "cuEventQuery", err, "asking for an event");
    return status ? status : 1;
}

static int synchronize(struct tgi_devices *ds, struct tgi_event *event, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    return TGI_CUDA_DO(cuda, err, cuEventSynchronize, (event_of(event)), "waiting for a device");
}

static int elapsed(struct tgi_devices *ds, struct tgi_event *from, struct tgi_event *to, double *ns_p,
                   struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    float ms = 0;
    int rc = TGI_CUDA_DO(cuda, err, cuEventElapsedTime, (&ms, event_of(from), event_of(to)), "timing a task");
    if (rc == 0)
        *ns_p = (double)ms * 1e6;
    return rc;
}

/* ---- Streams of the program ---------------------------------------------------------------*/

static int check_stream(struct tgi_cuda *cuda, uint32_t device, void *stream, struct tg_error *err)
{
    CUcontext ctx = NULL;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuStreamGetCtx, ((CUstream)stream, &ctx), "looking at the program's stream on cuda:%u",
                         cuda->base.ordinal[device]);
    if (rc == 0 && ctx != cuda->device[device].ctx)
        rc = tgi_error(err, TG_E_INVALID, "the stream is not one of cuda:%u's primary context", cuda->base.ordinal[device]);
    return rc;
}

static int stream_record(struct tgi_devices *ds, uint32_t device, void *stream, struct tgi_event *event, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = check_stream(cuda, device, stream, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuEventRecord, (event_of(event), (CUstream)stream),
                            "recording an event in the program's stream on cuda:%u", ds->ordinal[device]);
}

static int stream_wait(struct tgi_devices *ds, uint32_t device, void *stream, struct tgi_event *event, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = check_stream(cuda, device, stream, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuStreamWaitEvent, ((CUstream)stream, event_of(event), CU_EVENT_WAIT_DEFAULT),
                            "letting the program's stream wait on cuda:%u", ds->ordinal[device]);
}

/* ---- Commands -----------------------------------------------------------------------------*/

static int copy(struct tgi_devices *ds, uint32_t lane, const struct tgi_transfer *t, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUstream stream = tgi_cuda_stream(cuda, lane);
    CUresult rc;
    const char *call;
    if (t->bytes == 0)
        return 0;
    int status = tgi_cuda_enter(cuda, tgi_lane_device(lane), err);
    if (status)
        return status;
    if (t->from_node == TGI_HOST_NODE) {
        call = "cuMemcpyHtoDAsync";
        rc = cuda->api->cuMemcpyHtoDAsync(t->to, (const void *)(uintptr_t)t->from, t->bytes, stream);
    } else if (t->to_node == TGI_HOST_NODE) {
        call = "cuMemcpyDtoHAsync";
        rc = cuda->api->cuMemcpyDtoHAsync((void *)(uintptr_t)t->to, t->from, t->bytes, stream);
    } else if (t->to_node == t->from_node) {
        call = "cuMemcpyDtoDAsync";
        rc = cuda->api->cuMemcpyDtoDAsync(t->to, t->from, t->bytes, stream);
    } else {
        call = "cuMemcpyPeerAsync";
        rc = cuda->api->cuMemcpyPeerAsync(t->to, cuda->device[t->to_node - 1].ctx, t->from,
                                          cuda->device[t->from_node - 1].ctx, t->bytes, stream);
    }
    if (rc == CUDA_SUCCESS)
        return 0;
    return tgi_cuda_done(cuda, rc, call, err, "copying %llu bytes from memory node %u to %u",
                         (unsigned long long)t->bytes, t->from_node, t->to_node);
}

static int set32(struct tgi_cuda *cuda, CUstream stream, CUdeviceptr to, uint32_t value, uint64_t n,
                 struct tg_error *err)
{
    return TGI_CUDA_DO(cuda, err, cuMemsetD32Async, (to, value, n, stream), "filling %llu bytes",
                       (unsigned long long)n * 4);
}

/* One element, then what is there is doubled until all is full: exact for every pattern, and a few dozen
 * commands at most. */
static int fill_wide(struct tgi_cuda *cuda, CUstream stream, CUdeviceptr to, uint64_t n_elems, size_t size,
                     uint64_t word, struct tg_error *err)
{
    uint64_t done = size, total = n_elems * size;
    int rc = set32(cuda, stream, to, (uint32_t)word, 1, err);
    if (rc == 0)
        rc = set32(cuda, stream, to + 4, (uint32_t)(word >> 32), 1, err);
    if (rc == 0 && size == 16)
        rc = set32(cuda, stream, to + 8, 0, 2, err);
    for (; rc == 0 && done < total; done *= 2) {
        uint64_t bytes = total - done < done ? total - done : done;
        rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoDAsync, (to + done, to, bytes, stream), "filling %llu bytes",
                         (unsigned long long)total);
    }
    return rc;
}

static int fill(struct tgi_devices *ds, uint32_t lane, uint64_t address, uint64_t n_elems, enum tg_dtype dtype,
                uint64_t word, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUstream stream = tgi_cuda_stream(cuda, lane);
    size_t size = tg_dtype_size(dtype);
    int rc = tgi_cuda_enter(cuda, tgi_lane_device(lane), err);
    if (rc || n_elems == 0)
        return rc;
    if (dtype == TG_C64)
        word &= UINT32_MAX; /* the real part; the imaginary one is 0 */
    bool has_equal_halves = (uint32_t)word == (uint32_t)(word >> 32);
    if (size == 1)
        return TGI_CUDA_DO(cuda, err, cuMemsetD8Async, (address, (unsigned char)word, n_elems, stream), "filling a tile");
    if (size == 2)
        return TGI_CUDA_DO(cuda, err, cuMemsetD16Async, (address, (unsigned short)word, n_elems, stream),
                           "filling a tile");
    if (size == 4)
        return set32(cuda, stream, address, (uint32_t)word, n_elems, err);
    if (word == 0 || (size == 8 && has_equal_halves))
        return set32(cuda, stream, address, (uint32_t)word, n_elems * size / 4, err);
    return fill_wide(cuda, stream, address, n_elems, size, word, err);
}

static int drain(struct tgi_devices *ds, uint32_t device, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = tgi_cuda_enter(cuda, device, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuCtxSynchronize, (), "waiting for cuda:%u", ds->ordinal[device]);
}

/* ---- Ranges -------------------------------------------------------------------------------*/

static void range_push(struct tgi_devices *ds, const char *name)
{
    (void)ds;
    tgi_nvtx_listener()->push(name);
}

static void range_pop(struct tgi_devices *ds)
{
    (void)ds;
    tgi_nvtx_listener()->pop();
}

/* ---- Opening ------------------------------------------------------------------------------*/

static void close_device(struct tgi_cuda *cuda, uint32_t i)
{
    struct tgi_cuda_device *d = &cuda->device[i];
    if (!d->ctx)
        return;
    CUcontext popped;
    bool has_entered = cuda->api->cuCtxPushCurrent(d->ctx) == CUDA_SUCCESS;
    for (uint32_t k = 0; k < TGI_LANES_EACH; k++)
        if (d->stream[k])
            cuda->api->cuStreamDestroy(d->stream[k]);
    if (has_entered)
        cuda->api->cuCtxPopCurrent(&popped);
    cuda->api->cuDevicePrimaryCtxRelease(d->info->device);
}

static void close_devices(struct tgi_devices *ds)
{
    if (!ds)
        return;
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    bool is_attached = cuda->device[0].ctx && attach(ds, NULL) == 0;
    if (atomic_load_explicit(&cuda->collective, memory_order_relaxed)) /* nobody else is left */
        tgi_cuda_collective_close(cuda);
    if (cuda->blas)
        tgi_cuda_blas_close(cuda);
    tgi_cuda_executor_close(cuda);
    tgi_cuda_code_table_destroy(cuda, cuda->code);
    if (is_attached)
        detach(ds);
    for (uint32_t i = 0; i < ds->n_devices; i++)
        close_device(cuda, i);
    tgi_cuda_machine_fini(&cuda->machine);
    if (cuda->api)
        tgi_cuda_release();
    free(ds->info);
    free(ds->ordinal);
    free(cuda);
}

static const struct tgi_device_ops ops = {
    .size = sizeof ops,
    .kind = "cuda",
    .attach = attach,
    .detach = detach,
    .reserve = reserve,
    .unreserve = unreserve,
    .available = available,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .host_register = host_register,
    .host_unregister = host_unregister,
    .is_pinned = is_pinned,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .record = record,
    .wait = wait,
    .query = query,
    .synchronize = synchronize,
    .elapsed = elapsed,
    .copy = copy,
    .fill = fill,
    .launch = tgi_cuda_launch,
    .resolve = tgi_cuda_resolve,
    .unresolve = tgi_cuda_unresolve,
    .shape = tgi_cuda_shape,
    .ways = tgi_cuda_ways,
    .way_name = tgi_cuda_way_name,
    .shape_way = tgi_cuda_shape_way,
    .can_collect = tgi_cuda_can_collect,
    .collect_scratch = tgi_cuda_collect_scratch,
    .collect = tgi_cuda_collect,
    .give_up = tgi_cuda_give_up,
    .shares_lane = tgi_cuda_shares_lane,
    .resident_call = tgi_cuda_resident_call,
    .resident_room = tgi_cuda_resident_room,
    .resident_is_compiled = tgi_cuda_resident_is_compiled,
    .resident_spreads = tgi_cuda_resident_spreads,
    .can_signal = tgi_cuda_can_signal,
    .graph_fault = tgi_cuda_graph_fault,
    .graph_abort = tgi_cuda_graph_abort,
    .cluster_times = tgi_cuda_graph_cluster_times,
    .graph_create = tgi_cuda_graph_create,
    .graph_destroy = tgi_cuda_graph_destroy,
    .graph_launch = tgi_cuda_graph_launch,
    .graph_update = tgi_cuda_graph_update,
    .graph_rounds = tgi_cuda_graph_rounds,
    .graph_times = tgi_cuda_graph_times,
    .graph_clock = tgi_cuda_graph_clock,
    .graph_insert = tgi_cuda_graph_insert,
    .stream_record = stream_record,
    .stream_wait = stream_wait,
    .poll = tgi_cuda_poll,
    .fault = tgi_cuda_fault,
    .stay = &tgi_cuda_stay_ops,
    .drain = drain,
    .close = close_devices,
};

/* The same with ranges, for who is profiled. */
static struct tgi_device_ops ops_with_ranges;
static pthread_once_t ops_once = PTHREAD_ONCE_INIT;

static void make_ops(void)
{
    ops_with_ranges = ops;
    ops_with_ranges.range_push = range_push;
    ops_with_ranges.range_pop = range_pop;
}

static int choose_ops(const struct tgi_device_ops **ops_p, struct tg_error *err)
{
    const struct tgi_nvtx *listener = NULL;
    int rc = tgi_nvtx_find(&listener, err);
    if (listener)
        pthread_once(&ops_once, make_ops);
    *ops_p = listener ? &ops_with_ranges : &ops;
    return rc;
}

/* Which of the machine's devices are wanted. */
static int select_devices(struct tgi_cuda *cuda, uint64_t set, struct tg_error *err)
{
    struct tgi_devices *ds = &cuda->base;
    uint32_t n = (uint32_t)cuda->machine.n_devices;
    for (uint32_t i = 0; i < 64; i++)
        if (set >> i & 1 && i >= n)
            return tgi_error(err, TG_E_NO_DEVICE, "there is no device cuda:%u; this machine has %u", i, n);
    ds->info = calloc(n, sizeof *ds->info);
    ds->ordinal = calloc(n, sizeof *ds->ordinal);
    if (!ds->info || !ds->ordinal)
        return tgi_error_memory(err, "opening CUDA devices");
    for (uint32_t i = 0; i < n; i++) {
        if (set && !(set >> i & 1))
            continue;
        if (ds->n_devices == TGI_MAX_DEVICES)
            return tgi_error(err, TG_E_LIMIT, "more than %d devices", TGI_MAX_DEVICES);
        cuda->device[ds->n_devices].info = &cuda->machine.device[i];
        ds->ordinal[ds->n_devices++] = i;
    }
    ds->n_lanes = ds->n_devices * TGI_LANES_EACH;
    return 0;
}

static void describe(struct tgi_cuda *cuda, uint32_t i)
{
    const struct tgi_cuda_device_info *from = cuda->device[i].info;
    struct tgi_device_info *to = &cuda->base.info[i];
    snprintf(to->name, sizeof to->name, "%s", from->name);
    to->memory_bytes = from->memory_bytes;
    to->numa_node = from->numa_node;
    /* Rough, by what all data-centre parts of a class share: 64 double-precision FMA units per SM from 8.0 on,
     * twice that with tensor cores, and 24 GB/s of memory bandwidth per SM. */
    to->peak_flops_f64 = (double)from->n_sms * from->clock_khz * 1e3 * (from->cc_major >= 8 ? 256 : 128);
    to->bytes_per_s = (double)from->n_sms * 24e9;
    for (uint32_t k = 0; k < cuda->base.n_devices; k++)
        to->has_peer[k] = k != i && cuda->machine.link[(size_t)from->ordinal * (size_t)cuda->machine.n_devices +
                                                       (size_t)cuda->base.ordinal[k]] != TGI_CUDA_LINK_NONE;
}

static int open_context(struct tgi_cuda *cuda, uint32_t i, struct tg_error *err)
{
    struct tgi_cuda_device *d = &cuda->device[i];
    CUcontext ctx = NULL;
    int rc = TGI_CUDA_DO(cuda, err, cuDevicePrimaryCtxRetain, (&ctx, d->info->device), "opening cuda:%u", cuda->base.ordinal[i]);
    if (rc)
        return rc;
    d->ctx = ctx;
    describe(cuda, i);
    return 0;
}

static int make_streams(struct tgi_cuda *cuda, uint32_t i, struct tg_error *err)
{
    struct tgi_cuda_device *d = &cuda->device[i];
    uint32_t ordinal = cuda->base.ordinal[i];
    CUcontext ctx = d->ctx, popped;
    int least = 0, greatest = 0;
    int rc = TGI_CUDA_DO(cuda, err, cuCtxPushCurrent, (ctx), "entering cuda:%u", ordinal);
    if (rc)
        return rc;
    rc = TGI_CUDA_DO(cuda, err, cuCtxGetStreamPriorityRange, (&least, &greatest), "asking for priorities of cuda:%u",
                     ordinal);
    for (uint32_t k = 0; rc == 0 && k < TGI_LANES_EACH; k++) {
        bool is_urgent = k >= TGI_PLAIN_LANES && k < TGI_COMPUTE_LANES;
        rc = TGI_CUDA_DO(cuda, err, cuStreamCreateWithPriority,
                         (&d->stream[k], CU_STREAM_NON_BLOCKING, is_urgent ? greatest : least), "creating a stream on cuda:%u",
                         ordinal);
    }
    cuda->api->cuCtxPopCurrent(&popped);
    return rc;
}

/* Copies between devices go directly where they can. */
static int open_peers(struct tgi_cuda *cuda, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < cuda->base.n_devices; i++) {
        rc = tgi_cuda_enter(cuda, i, err);
        for (uint32_t k = 0; rc == 0 && k < cuda->base.n_devices; k++) {
            if (!cuda->base.info[i].has_peer[k])
                continue;
            CUresult answer = cuda->api->cuCtxEnablePeerAccess(cuda->device[k].ctx, 0);
            if (answer != CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
                rc = tgi_cuda_done(cuda, answer, "cuCtxEnablePeerAccess", err, "reaching cuda:%u from cuda:%u",
                                   cuda->base.ordinal[k], cuda->base.ordinal[i]);
        }
    }
    return rc;
}

/* What has passed since `since` counts as one more part of opening. */
static void note_part(struct tgi_devices *ds, const char *what, uint64_t *since)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    if (what && ds->n_opening < TGI_MAX_OPENING)
        ds->opening[ds->n_opening++] = (struct tgi_opening_part){what, now - *since};
    *since = now;
}

int tgi_cuda_open(uint64_t set, struct tgi_devices **devices_p, struct tg_error *err)
{
    const struct tgi_device_ops *chosen;
    int rc = choose_ops(&chosen, err);
    if (rc)
        return rc;
    struct tgi_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda)
        return tgi_error_memory(err, "opening CUDA devices");
    struct tgi_devices *ds = &cuda->base;
    uint64_t since;
    ds->ops = chosen;
    note_part(ds, NULL, &since);
    rc = tgi_cuda_retain(&cuda->api, err);
    note_part(ds, "driver", &since);
    if (rc)
        cuda->api = NULL;
    else
        rc = tgi_cuda_machine_init(cuda->api, &cuda->machine, err);
    if (rc == 0)
        rc = select_devices(cuda, set, err);
    note_part(ds, "asking for devices", &since);
    for (uint32_t i = 0; rc == 0 && i < ds->n_devices; i++)
        rc = open_context(cuda, i, err);
    note_part(ds, "contexts", &since);
    for (uint32_t i = 0; rc == 0 && i < ds->n_devices; i++)
        rc = make_streams(cuda, i, err);
    note_part(ds, "streams", &since);
    if (rc == 0)
        rc = attach(ds, err);
    if (rc == 0) {
        rc = open_peers(cuda, err);
        if (rc == 0)
            rc = tgi_cuda_code_table_create(cuda, &cuda->code, err);
        note_part(ds, "access between devices", &since);
        detach(ds);
    }
    if (rc) {
        close_devices(&cuda->base);
        return rc;
    }
    *devices_p = &cuda->base;
    return 0;
}
