/* How a worker of a kernel for static programs begins. */
#ifndef TGI_GPU_RESIDENT_ENTER_CUH
#define TGI_GPU_RESIDENT_ENTER_CUH

#include "gpu/resident/worker.h"

extern __shared__ __align__(16) char tgk_resident_shared[];

/* Dynamic shared memory: two batches of descriptors for each worker, then cells, then counters; tgi_resident_shared_bytes(). */
static __device__ __forceinline__ struct tgi_worker enter(const struct tgi_resident_view *v,
                                                          struct tgi_resident_task **stage_p)
{
    struct tgi_resident_task *tasks = (struct tgi_resident_task *)tgk_resident_shared;
    uint32_t each = v->n_workers_each, warp = threadIdx.x / 32;
    struct tgi_cell *cells = (struct tgi_cell *)(tasks + 2 * TGI_RESIDENT_BATCH * each);
    uint32_t *counters = (uint32_t *)(cells + v->n_shared_cells);
    for (uint32_t i = threadIdx.x; i < v->n_shared_cells; i += blockDim.x)
        cells[i].data = cells[i].tail = 0;
    for (uint32_t i = threadIdx.x; i < v->n_shared_counters; i += blockDim.x)
        counters[i] = 0;
    __syncthreads();
    *stage_p = tasks + 2 * TGI_RESIDENT_BATCH * warp;
    struct tgi_worker w = {v, cells, counters, blockIdx.x * each + warp, v->epoch, 1, 0, false, false};
    w.is_failed = tgi_load_relaxed(&v->control->is_failed) != 0;
    return w;
}

#endif
