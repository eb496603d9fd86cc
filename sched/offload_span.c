/* When a task began and ended on a device. */
#include <stdlib.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "sched/choice.h"
#include "sched/offload_task.h"

/* ---- Events with times --------------------------------------------------------------------*/

/* They are kept for the next task: two for each task under way at once are enough for a run of any length. */
static int take_event(struct tgi_offload *o, uint32_t device, struct tgi_event **event_p, struct tg_error *err)
{
    struct tgi_events *e = &o->timed[device];
    if (e->n == 0)
        return o->devices->ops->event_create(o->devices, device, true, event_p, err);
    *event_p = e->list[--e->n];
    return 0;
}

void tgi_offload_return_event(struct tgi_offload *o, uint32_t lane, struct tgi_event *event)
{
    struct tgi_events *e = &o->timed[tgi_lane_device(lane)];
    if (event && tgi_vec_reserve(&e->list, &e->cap, (uint64_t)e->n + 1, sizeof *e->list))
        e->list[e->n++] = event;
    else if (event)
        o->devices->ops->event_destroy(o->devices, event);
}

void tgi_offload_forget_events(struct tgi_offload *o)
{
    for (uint32_t d = 0; d < TGI_MAX_DEVICES; d++) {
        while (o->timed[d].n)
            o->devices->ops->event_destroy(o->devices, o->timed[d].list[--o->timed[d].n]);
        free(o->timed[d].list);
    }
}

int tgi_offload_timed_event(struct tgi_offload *o, struct tgi_offload_run *run, uint32_t lane, struct tgi_event **event_p,
                            struct tg_error *err)
{
    uint64_t begin = tgi_now_ns();
    struct tgi_event *event = NULL;
    int rc = take_event(o, tgi_lane_device(lane), &event, err);
    if (rc == 0 && (rc = o->devices->ops->record(o->devices, lane, event, err)) != 0)
        tgi_offload_return_event(o, lane, event);
    if (rc == 0)
        *event_p = event;
    run->timing_ns += tgi_now_ns() - begin;
    return rc;
}

/* ---- Spans --------------------------------------------------------------------------------*/

/* The task is enqueued, and its end is to be timed.  A time that cannot be taken fails the task: it was asked for. */
void tgi_offload_watch_span(struct tgi_offload *o, struct tgi_watch *span, struct tgi_stamp stamp)
{
    struct tg_error err;
    int rc = tgi_offload_timed_event(o, span->task->instance->run->offload, stamp.lane, &span->to, &err);
    span->lane = stamp.lane;
    if (rc == 0 && tgi_offload_watch(o, stamp, span))
        return;
    if (rc == 0) {
        tgi_error_memory(&err, "recording a task");
        tgi_offload_return_event(o, stamp.lane, span->to);
    }
    tgi_offload_return_event(o, stamp.lane, span->from);
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
    uint64_t begin_ns = tgi_now_ns();
    double ns = 0;
    struct tg_error err;
    int rc = o->is_dead ? 0 : o->devices->ops->elapsed(o->devices, w->from, w->to, &ns, &err);
    if (rc)
        tgi_offload_fail_task(o, w->task, &err);
    else
        note_time(w->task, w->was_alone, ns);
    tgi_offload_return_event(o, w->lane, w->from);
    tgi_offload_return_event(o, w->lane, w->to);
    w->task->instance->run->offload->timing_ns += tgi_now_ns() - begin_ns;
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
    uint64_t taken_ns = tgi_now_ns();
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
    tgi_offload_return_event(o, w->lane, w->from);
    tgi_offload_return_event(o, w->lane, w->to);
    run->timing_ns += tgi_now_ns() - taken_ns;
}
