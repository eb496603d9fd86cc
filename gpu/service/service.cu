/* The kernel of a service: a cooperative launch that stays.  A block has the warps of its team's workers and one more, which
 * is the controller in block 0 and takes messages in the others. */
#include "gpu/service/controller.h"

#ifndef TGI_SERVICE_KERNEL /* bodies.cuh makes another of it */
#define TGI_SERVICE_KERNEL      tgk_service
#define TGI_SERVICE_BLOCK_WARPS TGI_SERVICE_MAX_WARPS
#endif

extern __shared__ __align__(16) char tgk_service_shared[];

/* Dynamic shared memory: two batches for each worker, cells and counters of all seats, the relay, the desk. */
extern "C" __global__ void __launch_bounds__(32 * TGI_SERVICE_BLOCK_WARPS, 1)
    TGI_SERVICE_KERNEL(const __grid_constant__ struct tgi_service_view v)
{
    uint32_t each = v.n_workers_each, warp = threadIdx.x / 32;
    uint32_t n_cells = v.n_ahead * v.n_cells, n_counters = v.n_ahead * v.n_counters;
    struct tgi_resident_task *tasks = (struct tgi_resident_task *)tgk_service_shared;
    struct tgi_cell *cells = (struct tgi_cell *)(tasks + 2 * TGI_RESIDENT_BATCH * each);
    uint32_t *counters = (uint32_t *)(cells + n_cells);
    uint64_t *relay = (uint64_t *)(counters + (n_counters + 3) / 4 * 4);
    for (uint32_t i = threadIdx.x; i < n_cells; i += blockDim.x)
        cells[i].data = cells[i].tail = 0;
    for (uint32_t i = threadIdx.x; i < n_counters; i += blockDim.x)
        counters[i] = 0;
    if (threadIdx.x < TGI_SERVICE_MAX_AHEAD)
        relay[threadIdx.x] = 0;
    __syncthreads();
    uint32_t team = v.n_blocks_each ? blockIdx.x / v.n_blocks_each : 0;
    if (warp < each) {
        if (team >= v.n_teams)
            return;
        struct tgi_service_worker me = {team,
                                        (blockIdx.x - team * v.n_blocks_each) * each + warp,
                                        warp == 0,
                                        tasks + 2 * TGI_RESIDENT_BATCH * warp,
                                        cells,
                                        counters,
                                        relay};
        tgi_service_worker_run(&v, &me);
    } else if (blockIdx.x == 0)
        tgi_controller_run(&v, (struct tgi_service_desk *)(relay + TGI_SERVICE_MAX_AHEAD));
    else if (blockIdx.x <= v.n_mails)
        tgi_mail_worker_run(&v, blockIdx.x - 1);
}
