/* Launches of resolved kernels, and what failed inside them. */
#include <math.h>
#include <stdio.h>

#include "gpu/blas.h"
#include "gpu/decide.h"
#include "gpu/way.h"
#include "graph/error.h"
#include "kernels/fault.h"

/* ---- Launching ----------------------------------------------------------------------------*/

static int launch_cluster(struct tgi_cuda *cuda, uint32_t lane, const struct tgi_code *code, const struct tgi_shape *s,
                          void **args, struct tg_error *err)
{
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION};
    attribute.value.clusterDim.x = s->cluster[0];
    attribute.value.clusterDim.y = s->cluster[1];
    attribute.value.clusterDim.z = s->cluster[2];
    CUlaunchConfig config = {.gridDimX = s->grid[0], .gridDimY = s->grid[1], .gridDimZ = s->grid[2],
                             .blockDimX = s->block[0], .blockDimY = s->block[1], .blockDimZ = s->block[2],
                             .sharedMemBytes = s->shared_bytes, .hStream = tgi_cuda_stream(cuda, lane),
                             .attrs = &attribute, .numAttrs = 1};
    return TGI_CUDA_DO(cuda, err, cuLaunchKernelEx, (&config, code->ways[s->alternative].on[tgi_lane_device(lane)].f, args, NULL),
                       "launching kernel \"%s\" on cuda:%u", code->name, cuda->base.ordinal[tgi_lane_device(lane)]);
}

int tgi_cuda_launch(struct tgi_devices *ds, uint32_t lane, struct tgi_code *code, const struct tgi_shape *s, void **args,
                    struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    uint32_t device = tgi_lane_device(lane);
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc)
        return rc;
    const struct tgi_cuda_way *way = &code->ways[s->alternative];
    if (way->blas != TG_NONE)
        return tgi_cuda_blas_call(cuda, lane, way->blas, args, &way->on[device].helpers, err);
    if (s->cluster[0])
        return launch_cluster(cuda, lane, code, s, args, err);
    CUresult answer = cuda->api->cuLaunchKernel(way->on[device].f, s->grid[0], s->grid[1], s->grid[2], s->block[0],
                                                s->block[1], s->block[2], s->shared_bytes, tgi_cuda_stream(cuda, lane),
                                                args, NULL);
    if (__builtin_expect(answer == CUDA_SUCCESS, 1))
        return 0;
    return tgi_cuda_done(cuda, answer, "cuLaunchKernel", err, "launching kernel \"%s\" on cuda:%u", code->name,
                         ds->ordinal[device]);
}

bool tgi_cuda_shares_lane(struct tgi_devices *ds, const struct tgi_code *code, const struct tgi_shape *s)
{
    (void)ds;
    return code->ways[s->alternative].blas != TG_NONE;
}

CUfunction tgi_cuda_single_launch(const struct tgi_code *code, const struct tgi_shape *s, uint32_t device)
{
    const struct tgi_cuda_way *way = &code->ways[s->alternative];
    return way->blas != TG_NONE || s->cluster[0] ? NULL : way->on[device].f;
}

bool tgi_cuda_begins_early(const struct tgi_code *code, const struct tgi_shape *s)
{
    const struct tgi_cuda_way *way = &code->ways[s->alternative];
    return way->blas == TG_NONE && way->launcher && !s->cluster[0];
}

int tgi_cuda_decide_function(struct tgi_cuda *cuda, uint32_t device, CUfunction *function_p, struct tg_error *err)
{
    return tgi_cuda_modules_in_graphs(cuda, cuda->code->modules, device, TGI_DECIDE_KERNEL, function_p, err);
}

int tgi_cuda_stamp_function(struct tgi_cuda *cuda, uint32_t device, CUfunction *function_p, struct tg_error *err)
{
    return tgi_cuda_modules_in_graphs(cuda, cuda->code->modules, device, TGI_STAMP_KERNEL, function_p, err);
}

int tgi_cuda_flag_function(struct tgi_cuda *cuda, uint32_t device, const char *kernel, CUfunction *function_p, struct tg_error *err)
{
    return tgi_cuda_modules_in_graphs(cuda, cuda->code->modules, device, kernel, function_p, err);
}

const struct tgi_body_row *tgi_cuda_body(const struct tgi_code *code, const struct tgi_shape *s)
{
    const struct tgi_cuda_way *way = &code->ways[s->alternative];
    return way->blas != TG_NONE ? way[-1].body : way->body; /* which it stands after */
}

bool tgi_cuda_calls_library(const struct tgi_code *code, const struct tgi_shape *s) { return code->ways[s->alternative].blas != TG_NONE; }

/* ---- Faults -------------------------------------------------------------------------------*/

static void describe_fault(const struct tgi_fault *f, char *text, size_t size)
{
    switch (f->kind) {
    case TGI_FAULT_NOT_POSITIVE:
        if (isnan(f->x)) /* a library does not tell */
            snprintf(text, size, "pivot %lld of %lld is not positive: the matrix is not positive definite", (long long)f->a,
                     (long long)f->b);
        else
            snprintf(text, size, "pivot %lld of %lld is %g: the matrix is not positive definite", (long long)f->a,
                     (long long)f->b, f->x);
        break;
    case TGI_FAULT_NO_LU:
        snprintf(text, size, "pivot %lld of %lld is %g: there is no LU factorisation without pivoting", (long long)f->a,
                 (long long)f->b, f->x);
        break;
    case TGI_FAULT_HISTOGRAM:
        snprintf(text, size, "a histogram of %lld bins over [%g, %g] is not possible", (long long)f->a, f->x, f->y);
        break;
    case TGI_FAULT_FFT_SIZE:
        snprintf(text, size, "the length %lld of an FFT is not a power of two", (long long)f->a);
        break;
    case TGI_FAULT_TWIDDLE:
        snprintf(text, size, "the total length %lld is not positive", (long long)f->a);
        break;
    case TGI_FAULT_TRSV_DIAGONAL:
        snprintf(text, size, "the diagonal of row %lld of %lld is %g", (long long)f->a, (long long)f->b, f->x);
        break;
    case TGI_FAULT_TRSV_ENTRIES:
        snprintf(text, size, "entries of row %lld of %lld name no element of the task", (long long)f->a, (long long)f->b);
        break;
    default:
        snprintf(text, size, "the length %lld is not positive", (long long)f->a);
    }
}

int tgi_cuda_fault(struct tgi_devices *ds, uint32_t device, uint64_t *address_p, uint32_t *n_p, char *text, size_t size,
                   struct tg_error *err)
{
    struct tgi_cuda *cuda = tgi_cuda_of(ds);
    CUdeviceptr at = tgi_cuda_modules_fault(cuda->code->modules, device);
    struct tgi_fault fault;
    static const struct tgi_fault none;
    if (!at)
        return 0;
    int rc = tgi_cuda_enter(cuda, device, err);
    if (rc == 0)
        rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (&fault, at, sizeof fault), "reading the record of faults of cuda:%u",
                         ds->ordinal[device]);
    if (rc == 0 && fault.kind < 0) { /* a kernel of another run is writing it */
        rc = TGI_CUDA_DO(cuda, err, cuCtxSynchronize, (), "waiting for cuda:%u", ds->ordinal[device]);
        if (rc == 0)
            rc = TGI_CUDA_DO(cuda, err, cuMemcpyDtoH, (&fault, at, sizeof fault), "reading the record of faults of cuda:%u",
                             ds->ordinal[device]);
    }
    if (rc || fault.kind == TGI_FAULT_NONE)
        return rc;
    rc = TGI_CUDA_DO(cuda, err, cuMemcpyHtoD, (at, &none, sizeof none), "clearing the record of faults of cuda:%u",
                     ds->ordinal[device]);
    if (rc)
        return rc;
    describe_fault(&fault, text, size);
    *address_p = fault.tile;
    *n_p = fault.n;
    return 1;
}
