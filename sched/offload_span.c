/* When a task began and ended on a device. */
#include "graph/error.h"
#include "sched/choice.h"
#include "sched/offload_task.h"

int tgi_offload_timed_event(struct tgi_offload *o, struct tgi_offload_run *run, uint32_t lane, struct tgi_event **event_p,
                            struct tg_error *err)
{
    uint64_t begin = tgi_now_ns();
    int rc = o->devices->ops->event_create(o->devices, tgi_lane_device(lane), true, event_p, err);
    if (rc)
        return rc;
    rc = o->devices->ops->record(o->devices, lane, *event_p, err);
    if (rc)
        o->devices->ops->event_destroy(o->devices, *event_p);
    run->timing_ns += tgi_now_ns() - begin;
    return rc;
}

/* The task is enqueued, and its end is to be timed.  A time that cannot be taken fails the task: it was asked for. */
void tgi_offload_watch_span(struct tgi_offload *o, struct tgi_watch *span, struct tgi_stamp stamp)
{
    struct tg_error err;
    int rc = tgi_offload_timed_event(o, span->task->instance->run->offload, stamp.lane, &span->to, &err);
    if (rc == 0 && tgi_offload_watch(o, stamp, span))
        return;
    if (rc == 0) {
        tgi_error_memory(&err, "recording a task");
        o->devices->ops->event_destroy(o->devices, span->to);
    }
    o->devices->ops->event_destroy(o->devices, span->from);
    tgi_offload_fail_task(o, span->task, &err);
}

/* What a task took tells about others, and which way it should go. */
static void note_time(const struct tgi_offload_task *t, bool was_alone, double ns)
{
    const struct tgi_offload_instance *oi = t->instance->offload;
    uint32_t class = oi->classes[tgi_offload_id(t)];
    if (class != TG_NONE && ns > 0)
        tgi_choices_note(t->instance->run->offload->choices, class, tgi_lane_device(t->stamp.lane),
                         oi->shapes[t->shape].alternative, was_alone, ns);
}

void tgi_offload_take_time(struct tgi_offload *o, struct tgi_watch *w)
{
    double ns = 0;
    struct tg_error err;
    int rc = o->is_dead ? 0 : o->devices->ops->elapsed(o->devices, w->from, w->to, &ns, &err);
    if (rc)
        tgi_offload_fail_task(o, w->task, &err);
    else
        note_time(w->task, w->was_alone, ns);
    o->devices->ops->event_destroy(o->devices, w->from);
    o->devices->ops->event_destroy(o->devices, w->to);
}

void tgi_offload_note_busy(struct tgi_offload *o, uint32_t device, uint64_t start_ns, uint64_t end_ns)
{
    struct tgi_seen_busy *seen = &o->seen_busy[device];
    uint64_t from_ns = start_ns > seen->until_ns ? start_ns : seen->until_ns;
    if (end_ns <= from_ns)
        return;
    tgi_count(&seen->ns, end_ns - from_ns);
    seen->until_ns = end_ns;
}

void tgi_offload_take_span(struct tgi_offload *o, struct tgi_watch *w)
{
    struct tgi_instance *in = w->task->instance;
    struct tgi_offload_run *run = in->run->offload;
    struct tgi_span *span = &in->spans[tgi_offload_id(w->task)];
    uint32_t lane = w->task->stamp.lane, device = tgi_lane_device(lane);
    double begin = 0, end = 0;
    struct tg_error err;
    int rc = o->is_dead ? 0 : o->devices->ops->elapsed(o->devices, run->base[device], w->from, &begin, &err);
    if (rc == 0 && !o->is_dead)
        rc = o->devices->ops->elapsed(o->devices, run->base[device], w->to, &end, &err);
    if (rc)
        tgi_offload_fail_task(o, w->task, &err);
    if (rc == 0 && !o->is_dead) {
        double zero = (double)run->base_ns[device];
        span->start_ns = (uint64_t)(zero + begin > 0 ? zero + begin : 0);
        uint64_t end_ns = (uint64_t)(zero + end > 0 ? zero + end : 0);
        span->worker = o->runtime->n_workers + device * run->n_shown_lanes + lane % TGI_LANES_EACH;
        span->attempts = 1;
        /* A zero length would mean that it never ran. */
        tgi_span_end(span, end_ns > span->start_ns ? end_ns : span->start_ns + 1);
        note_time(w->task, w->was_alone, end - begin);
        uint64_t begin_ns = tgi_run_begin_ns(in->run);
        tgi_offload_note_busy(o, device, begin_ns + span->start_ns, begin_ns + span->end_ns);
    }
    o->devices->ops->event_destroy(o->devices, w->from);
    o->devices->ops->event_destroy(o->devices, w->to);
}
