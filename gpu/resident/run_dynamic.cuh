/* The kernel that runs clusters as dynamic programs (gpu/resident/family.h): one cooperative launch is one epoch, which it counts itself.
 *
 * It is always generated.  Who includes this has the bodies and defines the lists of gpu/resident/call.cuh, TGI_SPAWNS, and users'
 * numbers (gpu/resident/user.cuh). */
#include "mem/resident_program.h"

enum { WARPS = TGI_RESIDENT_RUN_WARPS };
#define TGI_CALL_WARPS WARPS
#include "gpu/resident/call.cuh"
#include "gpu/resident/family.h"

extern __shared__ __align__(16) char tgk_resident_shared[];
static __shared__ struct tgd_spawner spawners[WARPS];
static __shared__ struct tgi_resident_pool pool; /* as given, with what depends on the epoch */

static __device__ __forceinline__ uint32_t make_task(bool wants, uint32_t body, const uint64_t *words, uint32_t n)
{
    return tgd_spawn(&spawners[threadIdx.x / 32], wants, body, words, n) == TGD_OK ? 0 : 1;
}

/* Dynamic shared memory: rings, then their slots; tgi_resident_local_bytes(). */
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    tgk_resident_run_dynamic(const __grid_constant__ struct tgi_resident_view v, const __grid_constant__ struct tgi_resident_pool p,
                             const __grid_constant__ struct tgi_resident_nursery n)
{
    uint32_t warp = threadIdx.x / 32, epoch = tgi_load_relaxed(&v.control->epoch) + 1;
    struct tgi_ring *rings = (struct tgi_ring *)tgk_resident_shared;
    for (uint32_t i = threadIdx.x; i < WARPS * TGI_RESIDENT_CLASSES; i += blockDim.x)
        rings[i].ends = 0;
    if (threadIdx.x == 0) {
        pool = p;
        pool.finished_before = p.n_tasks * (epoch - 1);
    }
    tgi_spawner_init(&spawners[warp], &n, blockIdx.x * WARPS + warp);
    __syncthreads();
    struct tgi_family_runner f = {};
    f.r.w.v = &v;
    f.r.w.epoch = epoch;
    f.r.w.shared_epoch = 1;
    f.r.w.id = blockIdx.x * WARPS + warp;
    f.r.w.is_failed = tgi_load_relaxed(&v.control->is_failed) != 0;
    f.r.p = &pool;
    f.r.local = rings;
    f.r.local_slots = (uint32_t *)(rings + WARPS * TGI_RESIDENT_CLASSES);
    f.r.block = blockIdx.x;
    f.r.rank = warp;
    f.spawner = &spawners[warp];
    tgi_family_run(&f);
    tgi_leave(v.control, epoch);
}
