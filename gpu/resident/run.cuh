/* The kernel that runs clusters of a graph's tasks (mem/cluster.h): one cooperative launch is one epoch, which it counts itself.
 *
 * Eight warps a block, so that bodies have up to 255 registers.  Who includes this has the bodies and defines the lists of
 * gpu/resident/call.cuh, which is all of kernels/resident.h in the embedded kernel (run.cu), and what a graph uses in a generated
 * one (gpu/executor.h). */
#include "mem/resident_program.h"

enum { WARPS = TGI_RESIDENT_RUN_WARPS };
#define TGI_CALL_WARPS WARPS
#include "gpu/resident/call.cuh"

extern __shared__ __align__(16) char tgk_resident_shared[];

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    tgk_resident_run(const __grid_constant__ struct tgi_resident_view v)
{
    struct tgi_resident_task *tasks = (struct tgi_resident_task *)tgk_resident_shared;
    uint32_t warp = threadIdx.x / 32, epoch = tgi_load_relaxed(&v.control->epoch) + 1;
    struct tgi_cell *cells = (struct tgi_cell *)(tasks + 2 * TGI_RESIDENT_BATCH * WARPS);
    uint32_t *counters = (uint32_t *)(cells + v.n_shared_cells);
    for (uint32_t i = threadIdx.x; i < v.n_shared_cells; i += blockDim.x)
        cells[i].data = cells[i].tail = 0;
    for (uint32_t i = threadIdx.x; i < v.n_shared_counters; i += blockDim.x)
        counters[i] = 0;
#ifdef TGI_HAS_BLOCKS
    __shared__ struct tgi_block block;
    if (threadIdx.x == 0)
        block.arrived = block.said = block.ended = block.is_failed = 0;
#endif
    __syncthreads();
    struct tgi_worker w = {&v, cells, counters, blockIdx.x * WARPS + warp, epoch, 1, 0, false, false};
    w.is_failed = tgi_load_relaxed(&v.control->is_failed) != 0;
#ifdef TGI_HAS_BLOCKS
    w.block = &block;
#endif
    tgi_warp_worker_run(&w, tasks + 2 * TGI_RESIDENT_BATCH * warp);
    tgi_leave(v.control, epoch);
}
