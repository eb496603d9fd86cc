/* The CUDA devices of this machine behind mem/device.h: contexts, streams, events, memory, copies.
 * Code, libraries and collectives live in code.h, blas.h and collective.h and find here what they need.
 *
 * Each device uses its primary context, so that libraries and the program's own CUDA code share it.  A
 * lane is one non-blocking stream.  The thread that enqueues makes a device's context current when it
 * changes device (tgi_cuda_enter). */
#ifndef TGI_GPU_DEVICE_H
#define TGI_GPU_DEVICE_H

#include "gpu/driver.h"
#include "mem/device.h"

struct tgi_cuda_code_table; /* code.h */
struct tgi_cuda_blas;       /* blas.h */
struct tgi_cuda_collective; /* collective.h */
struct tgi_cuda_resident;   /* executor.h */

struct tgi_cuda_device {
    const struct tgi_cuda_device_info *info;
    CUcontext ctx;
    CUstream stream[TGI_LANES_EACH];
};

struct tgi_cuda {
    struct tgi_devices base; /* first */
    const struct tgi_cuda_api *api;
    struct tgi_cuda_machine machine;
    struct tgi_cuda_device device[TGI_MAX_DEVICES]; /* base.n_devices of them */
    struct tgi_cuda_code_table *code;
    struct tgi_cuda_blas *blas;             /* NULL: not looked for yet */
    struct tgi_cuda_resident *resident;     /* NULL: not loaded yet */
    /* NULL: not looked for yet.  By whoever asks first, under a lock, release: publishes what it points to. */
    _Atomic(struct tgi_cuda_collective *) collective;
};

static inline struct tgi_cuda *tgi_cuda_of(struct tgi_devices *ds) { return (struct tgi_cuda *)ds; }

/* A tgi_devices_open_fn.  TG_E_NO_DEVICE names ordinals that do not exist. */
int tgi_cuda_open(uint64_t set, struct tgi_devices **devices_p, struct tg_error *err);

/* Makes the device's context the calling thread's, which has attached itself. */
int tgi_cuda_enter(struct tgi_cuda *cuda, uint32_t device, struct tg_error *err);

/* The same for giving something back: where that fails, or the thread has not attached itself, the call is made all the
 * same, since addresses and handles know their device. */
void tgi_cuda_try_enter(struct tgi_cuda *cuda, uint32_t device);

/* Every driver call on a device goes through this: as TGI_CUDA_CHECK, and notes a lost device. */
int tgi_cuda_done(struct tgi_cuda *cuda, CUresult rc, const char *call, struct tg_error *err, const char *format, ...)
    TG_PRINTF(5, 6);
#define TGI_CUDA_DO(cuda, err, name, args, ...) \
    tgi_cuda_done((cuda), (cuda)->api->name args, #name, (err), __VA_ARGS__)

static inline CUstream tgi_cuda_stream(const struct tgi_cuda *cuda, uint32_t lane)
{
    return cuda->device[tgi_lane_device(lane)].stream[lane % TGI_LANES_EACH];
}

#endif
