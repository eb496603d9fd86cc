/* In which order a run hands tasks to its devices, and into which lanes: what limits them beside edges, copies and room on a device.
 *
 * The runtime enqueues a task as soon as those before it are enqueued, the most urgent first (urgency.h), while a device has no more than
 * about a millisecond's work queued (offload_balance.c).  What a task reads is sent when it is enqueued, not before.  A lane executes its
 * tasks in the order they came, so a task may wait for one that it does not depend on (device_queue.h).  None of this
 * depends on the clock but when the queue is full, so it is worked out before the simulation.
 *
 * One thread does all of it: for each task what enqueuing it and seeing its end takes, and in a recorded run the events that tell when it
 * ran.  When those are read is not counted, as it is put off until nothing else is to be done.
 *
 * Copies from memory 0 go to two lanes in turn, in the order in which tasks ask for them.
 *
 * In a CUDA graph everything is enqueued at once, and tasks have no lanes but those that share something of theirs, which follow each other
 * there.  What is left is the order of the copies, which the graph keeps (mem/recorder.h), what each of them takes beside its bytes, and how
 * far they follow each other when the driver hands them over one by one as the graph is launched: graphs with many small tiles begin with that.
 *
 * Urgency goes by what the run has seen tasks take, beside others on streams, whatever they take in the simulation. */
#ifndef TGI_SCHED_QUEUEING_H
#define TGI_SCHED_QUEUEING_H

#include "sched/workload.h"

struct tgi_queueing {
    uint32_t *order, *order_at; /* tasks, device by device; n_devices + 1 */
    uint32_t *rank;      /* by task, over all devices */
    uint32_t *next;      /* by task: the next one in its lane; TG_NONE: there is none */
    uint8_t *is_behind;  /* by task: there is one before it in its lane */
    uint32_t *most;      /* by device: tasks that are enqueued and not done, at most */
    float *task_ns;      /* by task: what it takes the thread that submits */
    double copy_launch_ns; /* in a CUDA graph, how far copies from memory 0 follow each other at least, as the host launches them one by one */
    double copy_ns;      /* what a copy that follows another one at once takes beside its bytes; 0: the link says */
};

/* device: by task; all of them are devices beside CPUs.  In a CUDA graph if that is what the workload is for.  TG_E_NO_MEMORY. */
int tgi_queueing_create(const struct tgi_workload *w, const uint32_t *device, struct tgi_queueing **s_p, struct tg_error *err);
void tgi_queueing_destroy(struct tgi_queueing *s);

#endif
