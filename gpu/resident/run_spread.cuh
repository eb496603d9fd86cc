/* The kernel that runs a cluster of several devices (mem/cluster.h), a cooperative launch on each: as run.cuh, with far edges
 * (far.h) and the words of mem/resident_peers.h.  Each device counts the epoch itself, once in each launch of all.
 *
 * Who includes this has bodies and lists as for run.cuh, and has defined TGI_PEERS before anything else.  It is generated only. */
#include "mem/resident_peers.h"

enum { WARPS = TGI_RESIDENT_RUN_WARPS };
#define TGI_CALL_WARPS WARPS
#include "gpu/resident/call.cuh"
#include "gpu/resident/enter.cuh"

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    tgk_resident_run_spread(const __grid_constant__ struct tgi_resident_view v, const __grid_constant__ struct tgi_resident_peers p)
{
    struct tgi_resident_task *stage;
    struct tgi_worker w = enter(&v, &stage);
    w.id += p.first_worker;
    w.peers = &p;
    w.epoch = tgi_load_relaxed(&v.control->epoch) + 1;
    w.is_failed = TGI_LOAD_TOLD(&v.control->is_failed) != 0;
    tgi_warp_worker_run(&w, stage);
    tgi_far_leave(&w);
    tgi_leave(v.control, w.epoch);
}
