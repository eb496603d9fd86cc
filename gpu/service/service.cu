/* The kernel of a service: a cooperative launch that stays.  A block has the warps of its program's workers and one more, which
 * is the controller in block 0 and takes messages in the others. */
#include "gpu/service/controller.h"

extern __shared__ __align__(16) char tgk_service_shared[];

/* Dynamic shared memory: as tgi_resident_shared_bytes() has it, then the relay. */
extern "C" __global__ void __launch_bounds__(1024, 1) tgk_service(const __grid_constant__ struct tgi_service_view v)
{
    const struct tgi_resident_view *p = &v.program;
    uint32_t each = p->n_workers_each, warp = threadIdx.x / 32;
    struct tgi_resident_task *tasks = (struct tgi_resident_task *)tgk_service_shared;
    struct tgi_cell *cells = (struct tgi_cell *)(tasks + 2 * TGI_RESIDENT_BATCH * each);
    uint32_t *counters = (uint32_t *)(cells + p->n_shared_cells);
    uint32_t *relay = counters + (p->n_shared_counters + 3) / 4 * 4;
    for (uint32_t i = threadIdx.x; i < p->n_shared_cells; i += blockDim.x)
        cells[i].data = cells[i].tail = 0;
    for (uint32_t i = threadIdx.x; i < p->n_shared_counters; i += blockDim.x)
        counters[i] = 0;
    if (threadIdx.x == 0)
        *relay = 0;
    __syncthreads();
    if (warp < each) {
        struct tgi_worker w = {};
        w.v = p;
        w.shared_cells = cells;
        w.shared_counters = counters;
        w.id = blockIdx.x * each + warp;
        tgi_service_worker_run(&v, &w, tasks + 2 * TGI_RESIDENT_BATCH * warp, relay, warp == 0);
    } else if (blockIdx.x == 0)
        tgi_controller_run(&v);
    else if (blockIdx.x <= v.n_mails)
        tgi_mail_worker_run(&v, blockIdx.x - 1);
}
