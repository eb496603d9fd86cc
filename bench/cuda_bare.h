/* The CUDA driver by hand, for the yardsticks that stand beside tgraph's own figures. */
#ifndef BENCH_CUDA_BARE_H
#define BENCH_CUDA_BARE_H

#include "bench/must.h"
#include "gpu/driver.h"

static const struct tgi_cuda_api *api;

#define DO(name, args) must(TGI_CUDA_CHECK(api, &err, name, args, "benchmark"))

/* Makes a device's context current; its other calls are then the caller's to make. */
static inline CUcontext bare_open(int device)
{
    CUcontext ctx;
    must(tgi_cuda_retain(&api, &err));
    DO(cuDevicePrimaryCtxRetain, (&ctx, device));
    DO(cuCtxSetCurrent, (ctx));
    return ctx;
}

static inline void bare_close(int device)
{
    api->cuDevicePrimaryCtxRelease(device);
    tgi_cuda_release();
}

#endif
