/* Spans of the outermost graph's tasks lie in one array.  A body is executed any number of times, so each
 * round brings an array of its own, into which the tasks of that round are recorded. */
#include "sched/record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "sched/agenda.h"
#include "sched/least_moved.h"
#include "sched/history.h"
#include "sched/offload.h"
#include "sched/offload_policy.h"
#include "sched/placement.h"

enum { ROUND_COUNTS_AS = 4 }; /* tasks, for what a round itself takes */

void tgi_record_round(struct tgi_instance *body, struct tgi_instance *parent, uint32_t task, uint64_t number)
{
    struct tg_run *run = body->run;
    struct tgi_rounds *all = &run->rounds;
    uint32_t n = body->graph->n_tasks;
    body->spans = NULL;
    pthread_mutex_lock(&run->lock);
    bool has_room = n + ROUND_COUNTS_AS <= TGI_MOST_IN_ROUNDS - all->n_tasks && (!parent->parent || parent->round) &&
                    (number == 0 || body->round);
    struct tgi_round *round = has_room ? calloc(1, sizeof *round + n * sizeof round->own[0]) : NULL;
    if (round) {
        round->graph = body->graph;
        round->parent = parent->parent ? parent->round : NULL;
        round->parent_task = task;
        round->number = number;
        round->begin_ns = tgi_now_ns() - tgi_run_begin_ns(run);
        round->previous = number ? body->round : NULL;
        *(all->last ? &all->last->next : &all->first) = round;
        all->last = round;
        round->index = (uint32_t)all->n++;
        all->n_tasks += n + ROUND_COUNTS_AS;
        struct tgi_span *logged = run->log.round ? run->log.round(run->log.user, round) : NULL;
        body->spans = round->spans = logged ? logged : round->own;
    } else {
        all->n_lost++;
    }
    body->round = round;
    pthread_mutex_unlock(&run->lock);
}

void tgi_record_clear(struct tg_run *run)
{
    while (run->rounds.first) {
        struct tgi_round *next = run->rounds.first->next;
        free(run->rounds.first);
        run->rounds.first = next;
    }
    run->rounds = (struct tgi_rounds){0};
}

/* Known only afterwards: who counts a successor down last need not be who finished last. */
static void find_ready(const struct tg_graph *g, struct tgi_span *spans, uint64_t begin_ns)
{
    for (uint32_t t = 0; t < g->n_tasks; t++)
        spans[t].ready_ns = begin_ns;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++) {
            struct tgi_span *after = &spans[g->succ[i]];
            after->ready_ns = spans[t].end_ns > after->ready_ns ? spans[t].end_ns : after->ready_ns;
        }
}

void tgi_run_record_into(struct tg_run *run, struct tgi_span *spans, const struct tgi_run_log *log)
{
    assert(run->spans && !run->has_lent_spans);
    free(run->spans);
    run->spans = run->main->spans = spans;
    run->has_lent_spans = true;
    run->log = log ? *log : (struct tgi_run_log){0};
    if (run->offload)
        tgi_replicas_tell(run->offload->replicas, run->log.copy, run->log.user);
}

const struct tgi_span *tgi_run_spans(const struct tg_run *run)
{
    if (!run->spans)
        return NULL;
    for (uint32_t t = 0; t < run->graph->n_tasks; t++)
        run->spans[t].state = (uint8_t)tg_run_task_state(run, t);
    find_ready(run->graph, run->spans, 0);
    for (struct tgi_round *round = run->rounds.first; round; round = round->next)
        find_ready(round->graph, round->spans, round->begin_ns);
    return run->spans;
}

const struct tgi_rounds *tgi_run_rounds(const struct tg_run *run)
{
    return &run->rounds;
}

const struct tgi_worker_stats *tgi_run_worker_stats(const struct tg_run *run, uint32_t *n_workers_p)
{
    *n_workers_p = run->runtime->n_workers;
    return run->worker_stats;
}

uint32_t tgi_run_n_devices(const struct tg_run *run)
{
    return run->offload ? run->runtime->offload->devices->n_devices : 0;
}

void tgi_run_device(const struct tg_run *run, uint32_t i, struct tgi_run_device *device_p)
{
    const struct tgi_devices *ds = run->runtime->offload->devices;
    const struct tgi_offload_run *o = run->offload;
    *device_p = (struct tgi_run_device){ds->ops->kind, ds->info[i].name, ds->ordinal[i], o->n_device_tasks[i],
                                        o->stats.in_bytes[i], o->stats.out_bytes[i], tgi_replicas_peak(o->replicas, i),
                                        ds->info[i].peak_flops_f64, ds->info[i].bytes_per_s, {0}};
    tgi_pool_stats(run->runtime->offload->pools[i], &device_p->pool);
}

void tgi_run_pinned(const struct tg_run *run, struct tgi_pool_stats *stats_p)
{
    *stats_p = (struct tgi_pool_stats){0};
    if (run->offload)
        tgi_pinned_stats(run->runtime->offload->pinned, stats_p);
}

uint32_t tgi_run_device_of(const struct tg_run *run, uint32_t worker, uint32_t *lane_p)
{
    uint32_t n = run->runtime->n_workers;
    if (worker < n)
        return TG_NONE;
    *lane_p = (worker - n) % tgi_run_n_lanes(run);
    return (worker - n) / tgi_run_n_lanes(run);
}

uint32_t tgi_run_n_lanes(const struct tg_run *run) { return run->offload->n_shown_lanes; }

uint32_t tgi_run_n_node_lanes(const struct tg_run *run) { return run->offload->n_node_lanes; }

const uint8_t *tgi_run_nodes(const struct tg_run *run)
{
    const uint8_t *nodes = NULL, *via;
    if (run->offload)
        tgi_placement_of(run->offload->placement, run->graph, &nodes, &via);
    return nodes;
}

void tgi_run_moved(const struct tg_run *run, struct tgi_run_moved *moved_p)
{
    const struct tgi_replica_stats *s = &run->offload->stats;
    struct tgi_run_moved m = {s->to_device_bytes, s->to_host_bytes, s->peer_bytes, s->spilled_bytes,
                              s->n_copies, s->n_evictions, s->n_ahead, s->ahead_bytes, false, 0};
    m.has_least = tgi_least_moved(run, &m.least_bytes);
    *moved_p = m;
}

void tgi_run_times(const struct tg_run *run, struct tgi_run_times *times_p)
{
    *times_p = run->offload ? run->offload->times : (struct tgi_run_times){0, 0, 0, 0};
}

bool tgi_run_take_notice(struct tg_run *run, char *text, size_t size)
{
    return run->runtime->offload && tgi_history_take_notice(run->runtime->offload->history, text, size);
}

void tgi_runtime_opening(const struct tg_runtime *rt, char *text, size_t size)
{
    const struct tgi_devices *ds = rt->offload ? rt->offload->devices : NULL;
    size_t at = (size_t)snprintf(text, size, "topology %.1f ms", (double)rt->topology_ns / 1e6);
    if (ds && at < size)
        at += (size_t)snprintf(text + at, size - at, "; devices %.1f ms beside it (", (double)rt->devices_ns / 1e6);
    for (uint32_t i = 0; ds && i < ds->n_opening && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s %.1f", i ? ", " : "", ds->opening[i].what,
                               (double)ds->opening[i].ns / 1e6);
    if (at < size)
        snprintf(text + at, size - at, "%s; threads %.1f ms", ds ? ")" : "", (double)rt->threads_ns / 1e6);
}

uint64_t tgi_run_recording_ns(const struct tg_run *run)
{
    return run->spans && run->offload ? run->offload->timing_ns : 0;
}


void tgi_run_submitting(const struct tg_run *run, struct tgi_run_submitting *s_p)
{
    *s_p = run->spans && run->offload ? run->offload->spent : (struct tgi_run_submitting){0, 0, 0, 0};
}

void tgi_run_handling(const struct tg_run *run, struct tgi_run_handling *h_p)
{
    const struct tgi_offload_run *o = run->spans ? run->offload : NULL;
    struct tgi_run_handling h = {0, o ? o->marking_ns : 0, o ? o->spent.giving_ns : 0};
    for (uint32_t op = 0; o && op < run->graph->space->n_ops; op++) {
        uint64_t own_ns = o->enqueuing[op].ns;
        h.n_tasks += o->enqueuing[op].n_tasks;
        h.seeing_ns -= own_ns < h.seeing_ns ? own_ns : h.seeing_ns;
    }
    h.seeing_ns -= h.marking_ns < h.seeing_ns ? h.marking_ns : h.seeing_ns;
    *h_p = h;
}

void tgi_run_enqueuing(const struct tg_run *run, uint32_t op, struct tgi_run_enqueuing *e_p)
{
    *e_p = run->spans && run->offload ? run->offload->enqueuing[op] : (struct tgi_run_enqueuing){.n_tasks = 0};
}

uint32_t tgi_run_n_copies(const struct tg_run *run) { return run->offload && run->spans ? run->offload->n_copies : 0; }

void tgi_run_copy(const struct tg_run *run, uint32_t i, struct tgi_run_copy *copy_p)
{
    uint32_t n;
    const struct tgi_copy *c = &tgi_replicas_copies(run->offload->replicas, &n)[i];
    bool has_owner = c->owner != UINT64_MAX;
    *copy_p = (struct tgi_run_copy){c->bytes, c->from, c->to, c->tile, has_owner ? (uint32_t)(c->owner >> 32) : 0,
                                    has_owner ? (uint32_t)c->owner : TG_NONE};
}

uint32_t tgi_run_n_usages(const struct tg_run *run)
{
    uint32_t n = 0;
    if (run->offload && run->spans)
        tgi_replicas_usages(run->offload->replicas, &n);
    return n;
}

void tgi_run_usage(const struct tg_run *run, uint32_t i, struct tgi_run_usage *usage_p)
{
    uint32_t n;
    const struct tgi_usage *u = &tgi_replicas_usages(run->offload->replicas, &n)[i];
    /* What was there before the run has been there from its beginning. */
    uint64_t begin_ns = tgi_run_begin_ns(run);
    *usage_p = (struct tgi_run_usage){u->at_ns > begin_ns ? u->at_ns - begin_ns : 0, u->bytes, u->device};
}

const struct tgi_weighed *tgi_run_weighed(const struct tg_run *run, const struct tg_graph *graph, uint32_t *n_p)
{
    *n_p = 0;
    if (run->offload && run->offload->policy && graph == run->graph)
        return NULL;
    return run->offload && run->spans ? tgi_placement_weighed(run->offload->placement, graph, n_p) : NULL;
}

int tgi_run_offers(const struct tg_run *run, struct tgi_offers *offers_p, struct tg_error *err)
{
    if (run->agenda)
        return tgi_agenda_explain(run->agenda, offers_p, err);
    if (run->offload && run->offload->policy)
        return tgi_offload_policy_explain(run->offload->policy, offers_p, err);
    *offers_p = (struct tgi_offers){0};
    return 0;
}

void tgi_runtime_progress(const struct tg_runtime *rt, uint64_t *n_tasks_p, uint64_t *busy_ns_p)
{
    *n_tasks_p = *busy_ns_p = 0;
    for (uint32_t i = 0; i < rt->n_workers; i++) {
        struct tgi_counts *counts = &rt->workers[i]->counts;
        /* relaxed: numbers for people. */
        *n_tasks_p += atomic_load_explicit(&counts->n_tasks, memory_order_relaxed);
        *busy_ns_p += atomic_load_explicit(&counts->busy_ns, memory_order_relaxed);
    }
    if (rt->submitter)
        *n_tasks_p += atomic_load_explicit(&rt->submitter->counts.n_tasks, memory_order_relaxed);
}

uint32_t tgi_runtime_n_devices(const struct tg_runtime *rt) { return rt->offload ? rt->offload->devices->n_devices : 0; }

uint64_t tgi_runtime_device_busy_ns(const struct tg_runtime *rt, uint32_t device)
{
    /* relaxed: a number for people. */
    return atomic_load_explicit(&rt->offload->seen_busy[device].ns, memory_order_relaxed);
}

char *tgi_runtime_device_name(const struct tg_runtime *rt, uint32_t device, char *text, size_t size)
{
    const struct tgi_devices *ds = rt->offload->devices;
    snprintf(text, size, "%s:%u", ds->ops->kind, (unsigned)ds->ordinal[device]);
    return text;
}
