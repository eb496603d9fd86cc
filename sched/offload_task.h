/* Between the parts of submitting a task: offload_submit.c decides what becomes of one that is ready, offload_enqueue.c gives it to
 * a device, offload_span.c times it there, offload_step.c executes one at a time.  The submitter alone. */
#ifndef TGI_SCHED_OFFLOAD_TASK_H
#define TGI_SCHED_OFFLOAD_TASK_H

#include "mem/recorder.h"
#include "sched/offload.h"
#include "sched/offload_graph.h"

static inline void tgi_offload_release_locks(struct tgi_offload *o, struct tgi_offload_task *t)
{
    uint32_t task = tgi_offload_id(t);
    if (t->instance->nodes[task].op & TGI_NODE_SHARED && !o->recording)
        tgi_locks_release(o->worker, t->instance, task);
}

/* Its successors may go. */
static inline void tgi_offload_complete(struct tgi_offload *o, struct tgi_offload_task *t)
{
    if (o->recording)
        return;
    tgi_count(&o->worker->counts.n_tasks, 1);
    if (t->instance->run->needs_serial)
        return; /* whoever executes one task at a time knows what comes next */
    tgi_worker_complete(o->worker, t->instance, tgi_offload_id(t));
}

/* Its end waits for all lanes; a body's is the end of a round, which the host goes on after. */
static inline bool tgi_offload_is_main(const struct tgi_instance *in) { return !in->parent; }

/* offload_submit.c: operands for a memory node, as many as tgi_offload_n_operands() says. */
uint32_t tgi_offload_n_operands(const struct tgi_op *op);
uint32_t tgi_offload_make_operands(const struct tgi_instance *in, uint32_t task, uint32_t node, struct tgi_operand *operands);

/* offload_enqueue.c: on the device that the task has; an error: nothing of it is left there that nobody waits for. */
/* A task that is one command of one lane: kernel, fill, barrier. */
int tgi_offload_enqueue(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n, struct tg_error *err);
/* From wherever the source is valid. */
int tgi_offload_enqueue_copy(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, struct tg_error *err);
/* What a collective needs beside each of its tiles. */
uint64_t tgi_offload_scratch_bytes(const struct tgi_offload *o, const struct tg_graph *g, uint32_t task);
/* One tile per device. */
int tgi_offload_enqueue_collective(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n,
                                   struct tg_error *err);

/* offload_span.c */
/* An event with a time at this point of a lane, the caller's until it is returned. */
int tgi_offload_timed_event(struct tgi_offload *o, struct tgi_offload_run *run, uint32_t lane, struct tgi_event **event_p,
                            struct tg_error *err);
/* Its lane has come to it, or nothing waits for that any more; NULL: there is none. */
void tgi_offload_return_event(struct tgi_offload *o, uint32_t lane, struct tgi_event *event);
/* The task is enqueued, and its end is to be timed; takes span->from.  A time that cannot be taken fails the task: it was asked for. */
void tgi_offload_watch_span(struct tgi_offload *o, struct tgi_watch *span, struct tgi_stamp stamp);
/* What was watched has come, for the choice between ways of executing it; and for the record. */
void tgi_offload_take_time(struct tgi_offload *o, struct tgi_watch *w);
void tgi_offload_take_span(struct tgi_offload *o, struct tgi_watch *w);

#endif
