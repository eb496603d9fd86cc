/* Two threads at work on one processor take turns for as long as the system does not notice, which with few processors
 * has been seen to take seconds: a graph of small tasks then runs four times as long.  So the caller works in place of the
 * worker whose processor it is on.  If that one is awake, the caller goes to where another one would be. */
#include "sched/seat.h"

struct tgi_seat tgi_seat_take(struct tg_runtime *rt)
{
    struct tgi_seat seat = {.worker = NULL};
    int cpu = rt->is_bound ? sched_getcpu() : -1;
    uint32_t here = cpu >= 0 && (uint32_t)cpu < rt->n_cpus ? rt->worker_of_cpu[cpu] : TG_NONE;
    uint32_t w = here;
    if (here == TG_NONE || !tgi_parking_claim(&rt->parking, here))
        w = tgi_parking_claim_any(&rt->parking);
    if (w == UINT32_MAX)
        return seat;
    seat.worker = rt->workers[w];
    if (here != TG_NONE && w != here && pthread_getaffinity_np(pthread_self(), sizeof seat.before, &seat.before) == 0)
        seat.has_moved = tgi_topology_bind(rt->topology, w, NULL) == 0; /* else it is slower, no more */
    return seat;
}

void tgi_seat_leave(struct tgi_seat *seat)
{
    if (!seat->worker)
        return;
    struct tg_runtime *rt = seat->worker->runtime;
    uint32_t w = seat->worker->index;
    tgi_parking_announce(&rt->parking, w);
    /* Work may have been pushed for this seat meanwhile, or lie in its deques. */
    tgi_worker_wake_if_work(rt, w);
    if (seat->has_moved)
        pthread_setaffinity_np(pthread_self(), sizeof seat->before, &seat->before);
}
