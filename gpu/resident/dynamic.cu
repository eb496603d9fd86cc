/* The kernel that runs dynamic programs: one cooperative launch is one epoch.  A block has n_workers_each warps. */
#include "gpu/resident/scheduler.h"

extern __shared__ __align__(16) char tgk_resident_shared[];

/* Dynamic shared memory: rings, then their slots; tgi_resident_local_bytes(). */
extern "C" __global__ void __launch_bounds__(1024, 1)
    tgk_resident_dynamic(const __grid_constant__ struct tgi_resident_view v,
                         const __grid_constant__ struct tgi_resident_pool p)
{
    uint32_t each = v.n_workers_each, warp = threadIdx.x / 32;
    struct tgi_ring *rings = (struct tgi_ring *)tgk_resident_shared;
    for (uint32_t i = threadIdx.x; i < each * TGI_RESIDENT_CLASSES; i += blockDim.x)
        rings[i].ends = 0;
    __syncthreads();
    struct tgi_runner r = {};
    r.w.v = &v;
    r.w.epoch = v.epoch;
    r.w.id = blockIdx.x * each + warp;
    r.p = &p;
    r.local = rings;
    r.local_slots = (uint32_t *)(rings + each * TGI_RESIDENT_CLASSES);
    r.block = blockIdx.x;
    r.rank = warp;
    tgi_runner_run(&r);
}
