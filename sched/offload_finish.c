/* The end of a run on devices: they come to where its last command is, what went wrong there is collected, and what it took is noted. */
#include <stdlib.h>
#include <string.h>

#include "sched/choice.h"
#include "sched/offload_graph.h"
#include "sched/offload_task.h"

/* The run whose tile is at an address; NULL: nobody's. */
static struct tg_run *find_run(struct tgi_offload *o, uint32_t device, uint64_t address, uint32_t *tile_p)
{
    for (struct tgi_offload_run *r = o->active; r; r = r->next) {
        *tile_p = tgi_replicas_find(r->replicas, device, address);
        if (*tile_p != TG_NONE)
            return r->run;
    }
    return NULL;
}

/* A record holds one failure.  It may be another run's; and of several, others may be: then nobody who has
 * tasks on the device can say that all went well. */
static void blame(struct tg_run *run, uint32_t device, uint64_t address, uint32_t n_failures, const char *text)
{
    struct tgi_offload *o = run->runtime->offload;
    uint32_t tile = TG_NONE;
    struct tg_run *owner = find_run(o, device, address, &tile);
    tgi_run_fail_tile(owner ? owner : run, tile, text);
    for (struct tgi_offload_run *r = o->active; n_failures > 1 && r; r = r->next)
        if (r->n_device_tasks[device])
            tgi_run_fail_tile(r->run, TG_NONE, text);
}

/* The failures that kernels have left on the devices, by the task that writes where they say. */
static void collect_faults(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    char text[512];
    uint64_t address;
    uint32_t n_failures;
    struct tg_error err;
    for (uint32_t d = 0; d < o->devices->n_devices; d++) {
        if (run->offload->n_device_tasks[d] == 0 || o->is_dead)
            continue;
        int rc = o->devices->ops->fault(o->devices, d, &address, &n_failures, text, sizeof text, &err);
        if (rc < 0) {
            tgi_offload_failed(o, &err);
            tgi_run_fail_whole(run, err.status, err.text);
        } else if (rc > 0) {
            blame(run, d, address, n_failures, text);
        }
    }
}

/* What CPUs took is known of recorded runs; a few tasks of a kind are enough. */
static void note_host_times(struct tg_run *run)
{
    const struct tg_graph *g = run->graph;
    const uint32_t *classes = tgi_choices_classes(run->offload->choices, g);
    for (uint32_t t = 0; run->spans && t < g->n_tasks; t++) {
        const struct tgi_span *s = &run->spans[t];
        if (classes[t] != TG_NONE && s->worker < run->runtime->n_workers && s->end_ns > s->start_ns && s->state == TG_TASK_DONE)
            tgi_choices_note_host(run->offload->choices, classes[t], (double)(s->end_ns - s->start_ns));
    }
}

/* Summaries name the ways tasks went. */
static void name_ways(struct tg_run *run)
{
    char text[256];
    for (uint32_t i = 0; i < run->graph->space->n_ops; i++) {
        tgi_choices_text(run->offload->choices, i, text, sizeof text);
        char *copy = text[0] ? strdup(text) : NULL; /* without memory the usual name stays */
        if (copy) {
            free(run->offload->texts[i]);
            run->offload->texts[i] = copy;
        }
    }
}

static void end(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run **at = &o->active;
    struct tgi_replica_stats now;
    if (o->due || run->spans) /* times are read, which is no part of the run */
        atomic_store_explicit(&run->last_ended_ns, tgi_now_ns(), memory_order_relaxed);
    if (o->due)
        tgi_offload_read_due(o, UINT32_MAX);
    tgi_offload_graph_end(run);
    collect_faults(run);
    if (run->offload->has_collected) /* one that failed ends like any other */
        tgi_offload_look_at_libraries(o);
    tgi_offload_graph_look(run);
    tgi_run_spread_failures(run);
    if (o->is_dead) /* its results are lost, unless it has failed before */
        tgi_run_fail_whole(run, o->lost.status, o->lost.text);
    while (*at != run->offload)
        at = &(*at)->next;
    *at = run->offload->next;
    o->n_recorded -= run->spans != NULL;
    struct tgi_run_submitting *spent = &run->offload->spent;
    *spent = (struct tgi_run_submitting){o->spent.submitting_ns - spent->submitting_ns, o->spent.looking_ns - spent->looking_ns,
                                         o->spent.waiting_ns - spent->waiting_ns, o->spent.giving_ns - spent->giving_ns};
    tgi_offload_ahead_end(run);
    note_host_times(run);
    name_ways(run);
    tgi_offload_graph_ended(run);
    tgi_offload_stream_end(run);
    tgi_replicas_stats(run->offload->replicas, &now);
    tgi_replicas_copies(run->offload->replicas, &run->offload->n_copies); /* who reads results makes more */
    struct tgi_replica_stats *s = &run->offload->stats, *before = &run->offload->stats_before;
    *s = (struct tgi_replica_stats){now.to_device_bytes - before->to_device_bytes, now.to_host_bytes - before->to_host_bytes,
                                    now.peer_bytes - before->peer_bytes, now.spilled_bytes - before->spilled_bytes,
                                    now.n_copies - before->n_copies, now.n_evictions - before->n_evictions, now.n_ahead - before->n_ahead,
                                    now.ahead_bytes - before->ahead_bytes, {0}, {0}};
    for (uint32_t i = 0; i < o->devices->n_devices; i++) {
        s->in_bytes[i] = now.in_bytes[i] - before->in_bytes[i];
        s->out_bytes[i] = now.out_bytes[i] - before->out_bytes[i];
    }
    for (uint32_t i = 0; i < o->devices->n_lanes; i++)
        o->lanes[i].tail = NULL; /* tasks go with the run */
    tgi_run_done(run);
}

void tgi_offload_lane_finished(struct tgi_offload *o, struct tg_run *run)
{
    (void)o;
    if (--run->offload->n_finishing == 0)
        end(run);
}

/* All that is watched is reached: it belongs to tasks that go with the run. */
static void drain(struct tgi_offload *o)
{
    tgi_offload_drain(o);
    tgi_offload_look(o);
}

/* Every lane comes to the point where it is now; then the run is over. */
static void finish(void *arg)
{
    struct tg_run *run = arg;
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_waits waits = {.n = 0};
    struct tg_error err;
    tgi_offload_graph_submitted(run);
    int rc = o->is_dead ? 0 : tgi_replicas_to_host(run->offload->replicas, TG_NONE, TG_NONE, &waits, &err);
    if (rc) {
        tgi_offload_failed(o, &err);
        tgi_run_fail_whole(run, err.status, err.text);
    }
    run->offload->n_finishing = 1;
    for (uint32_t i = 0; i < o->devices->n_lanes && !o->is_dead; i++) {
        struct tgi_watch w = {.kind = TGI_WATCH_FINISH, .run = run};
        if (!tgi_order_n_pending(o->order, i) && !o->lanes[i].first)
            continue;
        if (tgi_offload_watch(o, tgi_order_tail(o->order, i), &w))
            run->offload->n_finishing++;
        else
            drain(o);
    }
    tgi_offload_seal_all(o);
    if (o->is_dead)
        tgi_offload_look(o); /* what is still watched belongs to tasks that may go now */
    tgi_offload_stream_mark(run);
    tgi_offload_lane_finished(o, run);
}

void tgi_offload_run_finish(struct tg_run *run)
{
    struct tgi_offload_call *call = &run->offload->finish;
    call->mail.kind = TGI_MAIL_CALL;
    call->fn = finish;
    call->arg = run;
    tgi_offload_mail(run->runtime->offload, &call->mail);
}
