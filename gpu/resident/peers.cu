/* The kernel that runs static programs whose workers are on several devices, a launch on each: one epoch, which it is given, or
 * which each device counts itself. */
#ifndef TGI_PEERS
#define TGI_PEERS
#endif
#include "gpu/resident/enter.cuh"

extern "C" __global__ void __launch_bounds__(32 * TGI_RESIDENT_PEERS_WARPS, 1)
    tgk_resident_peers(const __grid_constant__ struct tgi_resident_view v, const __grid_constant__ struct tgi_resident_peers p)
{
    struct tgi_resident_task *stage;
    struct tgi_worker w = enter(&v, &stage);
    w.id += p.first_worker;
    w.peers = &p;
    w.epoch = v.epoch ? v.epoch : tgi_load_relaxed(&v.control->epoch) + 1;
    w.is_failed = TGI_LOAD_TOLD(&v.control->is_failed) != 0;
    tgi_warp_worker_run(&w, stage);
    tgi_far_leave(&w);
    if (!v.epoch)
        tgi_leave(v.control, w.epoch);
}
