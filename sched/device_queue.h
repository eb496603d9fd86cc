/* How much a device has queued, and which of its lanes a task gets: the rules of where tasks are enqueued (offload_balance.c,
 * offload_enqueue.c), by which plans foretell it, too (queueing.c).
 *
 * Pace.  A device has as many commands queued as it executes in TGI_QUEUE_NS: enough not to run dry between two looks, little
 * enough that whatever becomes ready later is still chosen by its urgency, or goes elsewhere.
 *
 * Lanes.  What the graph calls most urgent, or what is critical where it says nothing, has lanes of its own.  Among its lanes a task gets that of
 * a predecessor that is its lane's last command, which saves an event and a wait; of several the latest, which is likely to finish
 * last.  Callers know who is last where.  Else the lanes take turns, and one with nothing to do comes first. */
#ifndef TGI_SCHED_DEVICE_QUEUE_H
#define TGI_SCHED_DEVICE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "mem/device.h"

enum {
    TGI_QUEUE_NS = 1000000,
    TGI_QUEUE_LEAST = 16, /* a few for every lane */
    TGI_QUEUE_MOST = 512
};

/* Commands, each of which takes so long. */
static inline uint32_t tgi_queue_limit(double command_ns)
{
    return command_ns * TGI_QUEUE_LEAST >= TGI_QUEUE_NS  ? TGI_QUEUE_LEAST
           : command_ns * TGI_QUEUE_MOST <= TGI_QUEUE_NS ? TGI_QUEUE_MOST
                                                         : (uint32_t)(TGI_QUEUE_NS / command_ns);
}

/* Of a device's compute lanes, from 0. */
struct tgi_lane_range {
    uint32_t first, n;
};

static inline struct tgi_lane_range tgi_lanes_for(bool is_urgent)
{
    return is_urgent ? (struct tgi_lane_range){TGI_PLAIN_LANES, TGI_URGENT_LANES} : (struct tgi_lane_range){0, TGI_PLAIN_LANES};
}

/* lane: of its device.  Below `first` the difference is large. */
static inline bool tgi_lane_is_in(struct tgi_lane_range r, uint32_t lane) { return lane - r.first < r.n; }

/* *turn_p: the device's, counts the tasks that this was asked for. */
static inline uint32_t tgi_lane_in_turn(struct tgi_lane_range r, uint32_t *turn_p, bool (*is_idle)(const void *arg, uint32_t lane),
                                        const void *arg)
{
    uint32_t k = (*turn_p)++ % r.n;
    for (uint32_t i = 0; i < r.n; i++) {
        uint32_t lane = r.first + (k + i) % r.n;
        if (is_idle(arg, lane))
            return lane;
    }
    return r.first + k;
}

#endif
