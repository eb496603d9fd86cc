/* See stay.h.
 *
 * Asking the stream is the only thing that is ever done to learn whether the kernel is there: a synchronisation would hold the
 * calling thread for as long as it stays. */
#include "gpu/stay.h"

#include <stdlib.h>

#include "gpu/executor.h"
#include "gpu/module.h"
#include "gpu/resident/module.h"
#include "graph/error.h"

struct tgi_stay {
    uint32_t device;
    struct tgi_stay_shape shape;
    struct tgi_cuda_modules *modules; /* of a build without kernels of its own; NULL: not needed */
    CUmodule loaded;                  /* NULL: the kernel is in `modules` */
    CUfunction kernel;
    CUstream stream;
};

static uint32_t ordinal_of(const struct tgi_cuda *cuda, const struct tgi_stay *s) { return cuda->base.ordinal[s->device]; }

/* One that is generated for bodies belongs to the devices; without them what is embedded, else what $TGRAPH_CUDA_KERNELS names. */
static int load_kernel(struct tgi_cuda *cuda, struct tgi_stay *s, const struct tgi_stay_shape *shape, struct tg_error *err)
{
    if (shape->n_bodies)
        return tgi_cuda_executor_stay(cuda, s->device, shape, &s->kernel, err);
    const void *image = tgi_resident_fatbin(&(size_t){0});
    CUmodule module = NULL;
    int rc = 0;
    if (image) {
        rc = TGI_CUDA_DO(cuda, err, cuModuleLoadData, (&module, image), "loading the service's kernel on cuda:%u",
                         ordinal_of(cuda, s));
        s->loaded = module;
    } else {
        rc = tgi_cuda_modules_create(cuda, &s->modules, err);
        if (rc == 0)
            rc = tgi_cuda_modules_builtin(cuda, s->modules, s->device, &module, err);
    }
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuModuleGetFunction, (&s->kernel, module, "tgk_service"),
                         "looking for the service's kernel on cuda:%u", ordinal_of(cuda, s));
    return rc;
}

/* More than half of a multiprocessor's shared memory keeps a second block away. */
static int choose_shape(struct tgi_cuda *cuda, struct tgi_stay *s, struct tgi_stay_shape *shape, struct tg_error *err)
{
    const struct tgi_cuda_device_info *info = cuda->device[s->device].info;
    uint32_t n_sms = (uint32_t)info->n_sms, n_left = shape->n_free < n_sms ? n_sms - shape->n_free : 0;
    uint32_t alone = (uint32_t)info->shared_per_block_optin / 2 + 1024;
    s->shape = *shape;
    s->shape.bodies = NULL; /* the caller's */
    if (s->shape.n_blocks == 0)
        s->shape.n_blocks = n_left < shape->most_blocks ? n_left : shape->most_blocks;
    if (s->shape.n_blocks > n_left || s->shape.n_blocks < 2)
        return tgi_error(err, TG_E_CAPACITY, "a service of %u blocks: cuda:%u has %u multiprocessors, %u of them are to be left free",
                         s->shape.n_blocks, ordinal_of(cuda, s), n_sms, shape->n_free);
    if (shape->is_alone && s->shape.shared_bytes < alone)
        s->shape.shared_bytes = alone;
    return TGI_CUDA_DO(cuda, err, cuFuncSetAttribute,
                       (s->kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)s->shape.shared_bytes),
                       "asking cuda:%u for %u bytes of shared memory", ordinal_of(cuda, s), s->shape.shared_bytes);
}

static void stay_close(struct tgi_devices *ds, struct tgi_stay *s)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    if (!s)
        return;
    /* These fail only once the devices are lost: what they were goes with the process then. */
    tgi_cuda_try_enter(cuda, s->device);
    if (s->stream)
        cuda->api->cuStreamDestroy(s->stream);
    if (s->loaded)
        cuda->api->cuModuleUnload(s->loaded);
    tgi_cuda_modules_destroy(cuda, s->modules);
    free(s);
}

static int stay_open(struct tgi_devices *ds, uint32_t device, struct tgi_stay_shape *shape, struct tgi_stay **stay_p,
                     struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int least = 0, greatest = 0;
    if (!cuda->device[device].info->has_cooperative_launch)
        return tgi_error(err, TG_E_UNSUPPORTED, "cuda:%u launches no cooperative kernels, so it cannot have a service",
                         ds->ordinal[device]);
    struct tgi_stay *s = calloc(1, sizeof *s);
    if (!s)
        return tgi_error_memory(err, "opening a service");
    s->device = device;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = load_kernel(cuda, s, shape, err);
    if (rc == 0)
        rc = choose_shape(cuda, s, shape, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuCtxGetStreamPriorityRange, (&least, &greatest), "asking for priorities of cuda:%u",
                         ds->ordinal[device]);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuStreamCreateWithPriority, (&s->stream, CU_STREAM_NON_BLOCKING, greatest),
                         "creating a service's stream on cuda:%u", ds->ordinal[device]);
    if (rc) {
        stay_close(ds, s);
        return rc;
    }
    shape->n_blocks = s->shape.n_blocks;
    *stay_p = s;
    return 0;
}

static int zero(struct tgi_devices *ds, struct tgi_stay *s, uint64_t address, uint64_t bytes, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = tgi_cuda_enter(cuda, s->device, err);
    return rc || !bytes ? rc
                        : TGI_CUDA_DO(cuda, err, cuMemsetD8Async, (address, 0, bytes, s->stream),
                                      "zeroing %llu bytes of a service on cuda:%u", (unsigned long long)bytes, ordinal_of(cuda, s));
}

static int upload(struct tgi_devices *ds, struct tgi_stay *s, uint64_t address, const void *from, uint64_t bytes,
                  struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    int rc = tgi_cuda_enter(cuda, s->device, err);
    /* Pageable memory is read before the call returns. */
    return rc || !bytes ? rc
                        : TGI_CUDA_DO(cuda, err, cuMemcpyHtoDAsync, (address, from, bytes, s->stream),
                                      "copying %llu bytes of a service to cuda:%u", (unsigned long long)bytes, ordinal_of(cuda, s));
}

static int stay_launch(struct tgi_devices *ds, struct tgi_stay *s, const struct tgi_service_view *view, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    void *args[] = {(void *)(uintptr_t)view};
    int rc = tgi_cuda_enter(cuda, s->device, err);
    return rc ? rc
              : TGI_CUDA_DO(cuda, err, cuLaunchCooperativeKernel,
                            (s->kernel, s->shape.n_blocks, 1, 1, 32 * s->shape.n_warps, 1, 1, s->shape.shared_bytes, s->stream,
                             args),
                            "launching a service of %u blocks on cuda:%u", s->shape.n_blocks, ordinal_of(cuda, s));
}

static int stay_query(struct tgi_devices *ds, struct tgi_stay *s, struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUresult rc = cuda->api->cuStreamQuery(s->stream);
    if (rc == CUDA_ERROR_NOT_READY)
        return 0;
    int status = tgi_cuda_done(cuda, rc, "cuStreamQuery", err, "asking for the service on cuda:%u", ordinal_of(cuda, s));
    return status ? status : 1;
}

const struct tgi_stay_ops tgi_cuda_stay_ops = {
    .size = sizeof tgi_cuda_stay_ops,
    .open = stay_open,
    .close = stay_close,
    .zero = zero,
    .upload = upload,
    .launch = stay_launch,
    .query = stay_query,
};
