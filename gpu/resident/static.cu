/* The kernels that run static programs: one cooperative launch is one epoch.  A block has n_workers_each warps. */
#include "gpu/resident/enter.cuh"

extern "C" __global__ void __launch_bounds__(1024, 1)
    tgk_resident_warp(const __grid_constant__ struct tgi_resident_view v)
{
    struct tgi_resident_task *stage;
    struct tgi_worker w = enter(&v, &stage);
    tgi_warp_worker_run(&w, stage);
}

extern "C" __global__ void __launch_bounds__(1024, 1)
    tgk_resident_thread(const __grid_constant__ struct tgi_resident_view v)
{
    struct tgi_resident_task *stage;
    struct tgi_worker w = enter(&v, &stage);
    tgi_thread_worker_run(&w);
}

/* A node of a CUDA graph that does nothing, the yardstick. */
extern "C" __global__ void tgk_resident_nothing(void) {}
