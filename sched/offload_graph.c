/* See offload_graph.h. */
#include "sched/offload_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/replay_cache.h"
#include "sched/replay_costs.h"
#include "sched/replay_libraries.h"

/* Starts that may be refused: the second is not the first one that calls a library, and what is short then stays short. */
enum { MAX_REFUSALS = 2 };
/* Graphs that a run settles into; what it makes after that it makes again and again, which its starts pay for. */
enum { N_SETTLING = 2 };

struct tgi_offload_graphs {
    char *why;         /* it cannot be a graph, or this start could not; NULL: nothing is known against it */
    uint32_t n_refusals;
    bool was_used, was_stopped; /* of the last start */
    struct tgi_replay_cache cache;
    struct tgi_replay *last;
    struct tgi_replay_clocks clocks; /* of the last replay, if the run is recorded */
    bool is_timed;
    struct tgi_event *from, *to; /* of the last replay, if it is; NULL: not made yet */
    struct tgi_replay_choice choice; /* of TG_EXECUTOR_AUTO; its times are of all */
    struct tgi_replay_time launch;   /* the host's part of a replay that needed nothing made and has no resident kernels, */
    uint32_t n_launched;             /* of so many commands */
    enum tgi_replay_way way;         /* of this start; STREAMS: also of a graph that was asked for */
    uint64_t n_made[TGI_REPLAY_RESIDENT + 1]; /* graphs, by way */
    struct tgi_replay_libraries libraries; /* of graphs without resident kernels */
    bool has_kernels;                /* of this start, by that */
    uint64_t made_ns;                /* what making one took in this start */
    uint64_t submitted_ns;           /* this start was all enqueued, of the run's clock */
    char reason[768];                /* of the choice */
    struct tgi_offload_graph_stats stats;
};

/* ---- Graphs of a run ----------------------------------------------------------------------*/

static struct tgi_replay *find(const struct tg_run *run, struct tgi_offload_graphs *g)
{
    if (g->last && g->last->way == g->way && g->last->recorded.has_kernels == g->has_kernels && tgi_replicas_is_as_replayed(run->offload->replicas))
        return g->last;
    return tgi_replay_cache_find(&g->cache, run->offload->replicas, g->way, g->has_kernels);
}

/* The new one takes the old one's graph over, and the old one is gone. */
static int update(struct tgi_offload *o, struct tgi_offload_graphs *g, struct tgi_replay *old, struct tgi_replay *new,
                  uint64_t *owner_p, struct tg_error *err)
{
    uint64_t begin = tgi_now_ns();
    int rc = o->devices->ops->graph_update(o->devices, old->graph, &old->recorded.program, &new->recorded.program, owner_p, err);
    if (rc == 0) {
        new->graph = old->graph;
        new->device_bytes = old->device_bytes;
        old->graph = NULL;
        g->stats.n_updated++;
        g->stats.update_ns = tgi_now_ns() - begin;
    }
    tgi_replay_cache_remove(&g->cache, old);
    return rc;
}

static int instantiate(struct tgi_offload *o, struct tgi_offload_graphs *g, struct tgi_replay *p, uint64_t *owner_p,
                       struct tg_error *err)
{
    uint64_t free_bytes = tgi_replay_cache_free_bytes(&g->cache), begin = tgi_now_ns();
    int rc = o->devices->ops->graph_create(o->devices, &p->recorded.program, &p->graph, owner_p, err);
    if (rc == TG_E_NO_MEMORY && g->cache.n) { /* what is kept may be in its way */
        tgi_replay_cache_clear(&g->cache);
        rc = o->devices->ops->graph_create(o->devices, &p->recorded.program, &p->graph, owner_p, err);
    }
    g->stats.n_instantiated += rc == 0;
    g->stats.instantiate_ns = tgi_now_ns() - begin;
    uint64_t left_bytes = tgi_replay_cache_free_bytes(&g->cache);
    p->device_bytes = rc == 0 && left_bytes < free_bytes ? free_bytes - left_bytes : 0;
    return rc;
}

static int make_graph(struct tgi_offload *o, struct tgi_offload_graphs *g, struct tgi_replay *p, uint64_t *owner_p,
                      struct tg_error *err)
{
    struct tgi_replay *alike = tgi_replay_cache_find_alike(&g->cache, &p->recorded);
    int rc = alike ? update(o, g, alike, p, owner_p, err) : TG_E_UNSUPPORTED;
    /* Whatever the driver has against a change, a new graph may do. */
    return rc && !tgi_devices_are_lost(o->devices) ? instantiate(o, g, p, owner_p, err) : rc;
}

/* ---- Failures -----------------------------------------------------------------------------*/

static void fail(struct tg_run *run, uint64_t owner, const struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    tgi_offload_failed(o, err);
    struct tgi_offload_task *task = tgi_offload_owned(run, owner);
    if (task)
        tgi_run_fail(run, task->instance, tgi_offload_id(task), err->status, err->text);
    else
        tgi_run_fail_whole(run, err->status, err->text);
}

/* It may go to streams instead: there is no room for all at once, or the driver says that it cannot be. */
static bool may_stream(int rc) { return rc == TG_E_NO_MEMORY || rc == TG_E_UNSUPPORTED; }

static void refuse(struct tg_run *run, struct tgi_offload_graphs *g, uint64_t owner, const char *text)
{
    struct tgi_offload_task *task = tgi_offload_owned(run, owner);
    char scratch[16];
    int n = task ? asprintf(&g->why, "task \"%s\": %s", tgi_graph_task_name(task->instance->graph, tgi_offload_id(task), scratch), text)
                 : asprintf(&g->why, "%s", text);
    g->why = n < 0 ? NULL : g->why;
    g->n_refusals++;
}

static void note_cost(const struct tg_run *run, enum tgi_replay_cost cost, uint64_t n, double ns)
{
    const struct tgi_offload *o = run->runtime->offload;
    if (run->spans) /* what times its tasks is in it */
        return;
    tgi_replay_costs_note(o->history, o->devices->info[0].name, run->graph->n_tasks, cost, n, ns);
}

/* Only to see how fast it is. */
static bool is_on_trial(const struct tgi_offload_graphs *g) { return g->has_kernels && !g->libraries.is_decided; }

/* What this start has made, for those to come.  Planning and compiling resident kernels is no cost of nodes. */
static void note_making(const struct tg_run *run, struct tgi_offload_graphs *g, const struct tgi_clustering *clustering,
                        const struct tgi_offload_graph_stats *before, uint64_t begin_ns)
{
    const struct tgi_offload_graph_stats *now = &g->stats;
    g->n_made[g->way] += !is_on_trial(g);
    g->made_ns = tgi_now_ns() - begin_ns;
    g->choice.n_commands = clustering->n_clusters ? clustering->n_calls + clustering->n_left : now->n_commands;
    if (clustering->n_clusters)
        return;
    note_cost(run, TGI_REPLAY_RECORD, now->n_commands, (double)now->record_ns);
    if (now->n_updated > before->n_updated)
        note_cost(run, TGI_REPLAY_UPDATE, now->n_commands, (double)now->update_ns);
    if (now->n_instantiated > before->n_instantiated)
        note_cost(run, TGI_REPLAY_INSTANTIATE, now->n_commands, (double)now->instantiate_ns);
}

/* Of a run that may choose: nodes will do where resident kernels will not. */
static bool may_do_without(const struct tg_run *run, const struct tgi_captured *p, int rc)
{
    return run->options.executor == TG_EXECUTOR_AUTO && p->clustering.n_clusters &&
           (rc == TG_E_UNSUPPORTED || rc == TG_E_COMPILE || rc == TG_E_NO_LIBRARY);
}

static int record_and_make(struct tg_run *run, struct tgi_offload_graphs *g, struct tgi_replay *p, struct tgi_offload_task **task_p,
                           uint64_t *owner_p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    uint64_t begin = tgi_now_ns();
    int rc = tgi_offload_record(run, &p->recorded, task_p, err);
    g->stats.record_ns = tgi_now_ns() - begin;
    g->stats.n_recorded += rc == 0;
    if (run->options.executor == TG_EXECUTOR_AUTO)
        p->way = g->way = g->choice.way;
    if (rc)
        return rc;
    rc = make_graph(o, g, p, owner_p, err);
    if (!may_do_without(run, &p->recorded, rc))
        return rc;
    tgi_replay_refuse_resident(&g->choice, err->text);
    tgi_captured_fini(&p->recorded);
    p->recorded.has_kernels = g->has_kernels;
    return record_and_make(run, g, p, task_p, owner_p, err);
}

/* A new graph for this start.  NULL: the run goes to streams (g->why says why), or has failed. */
static struct tgi_replay *make(struct tg_run *run, struct tgi_offload_graphs *g, bool *has_failed_p)
{
    struct tgi_offload_task *task = NULL;
    struct tgi_replay new = {.recorded = {.has_kernels = g->has_kernels}};
    struct tg_error err;
    uint64_t owner = UINT64_MAX;
    const struct tgi_offload_graph_stats before = g->stats;
    uint64_t begin = tgi_now_ns();
    g->last = NULL;
    int rc = record_and_make(run, g, &new, &task, &owner, &err);
    bool is_recorded = new.recorded.program.n > 0;
    if (rc == 0) {
        new.bytes = tgi_captured_bytes(&new.recorded, run->offload->replicas) + new.device_bytes;
        for (uint32_t i = 0; i < new.recorded.program.n; i++)
            new.has_collectives |= new.recorded.program.commands[i].kind == TGI_COMMAND_COLLECT;
        g->stats.n_commands = new.n_commands = tgi_program_size(&new.recorded.program);
        g->stats.n_edges = new.recorded.program.n_deps;
        g->stats.n_hops = new.recorded.n_hops;
        g->stats.whole = new.recorded.whole;
        if (!g->has_kernels)
            g->libraries.calls_ns = new.recorded.calls_ns / TGI_COMPUTE_LANES;
        note_making(run, g, &new.recorded.clustering, &before, begin);
        return tgi_replay_cache_add(&g->cache, &new);
    }
    owner = task && rc != TG_E_NO_MEMORY ? tgi_offload_owner(task) : owner; /* memory is short for all, not for this one */
    *has_failed_p = !may_stream(rc) || (is_recorded && rc == TG_E_NO_MEMORY);
    if (*has_failed_p)
        fail(run, owner, &err);
    else
        refuse(run, g, owner, rc == TG_E_NO_MEMORY ? "memory is too short for all of the run at once" : err.text);
    tgi_captured_fini(&new.recorded);
    return NULL;
}

/* ---- Starting -----------------------------------------------------------------------------*/

static int record_time(struct tg_run *run, struct tgi_event **event_p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    int rc = *event_p ? 0 : o->devices->ops->event_create(o->devices, 0, true, event_p, err);
    return rc ? rc : o->devices->ops->record(o->devices, tgi_lane_of(0, 0), *event_p, err);
}

static int launch(struct tg_run *run, struct tgi_offload_graphs *g, struct tgi_replay *p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    int rc = run->spans ? tgi_replay_times_begin(run, &p->recorded.program, p->graph, &g->clocks, err) : 0;
    if (rc == 0 && g->is_timed)
        rc = record_time(run, &g->from, err);
    if (rc == 0)
        rc = o->devices->ops->graph_launch(o->devices, p->graph, tgi_lane_of(0, 0), err);
    return rc || !g->is_timed ? rc : record_time(run, &g->to, err);
}

static int enqueue(struct tg_run *run, struct tgi_offload_graphs *g, struct tgi_replay *p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_stamp stamps[TGI_MAX_DEVICES];
    struct tgi_waits waits = {.n = 0};
    uint32_t lane = tgi_lane_of(0, 0);
    if (!tgi_replicas_is_as_replayed(run->offload->replicas))
        tgi_replicas_pending(run->offload->replicas, &waits);
    if (p->recorded.clustering.n_spread)
        tgi_offload_wait_for_collectives(o, &waits);
    int rc = tgi_order_wait_all(o->order, lane, waits.stamps, waits.n, err);
    if (rc == 0)
        rc = tgi_order_seal(o->order, lane, err);
    if (rc == 0)
        rc = launch(run, g, p, err);
    if (rc)
        return rc;
    stamps[0] = tgi_order_append(o->order, lane);
    for (uint32_t d = 1; rc == 0 && d < o->devices->n_devices; d++) {
        rc = tgi_order_wait(o->order, tgi_lane_of(d, 0), stamps[0], err);
        stamps[d] = tgi_order_append(o->order, tgi_lane_of(d, 0));
    }
    if (rc == 0)
        tgi_replicas_replayed(run->offload->replicas, p->recorded.before, p->recorded.after, stamps);
    return rc;
}

/* Nobody sees when a collective of it begins, so its time begins with the graph's. */
static void expect_collective(struct tg_run *run, const struct tgi_program *p, const struct tgi_command *c,
                              struct tgi_stamp stamp)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_task *task = tgi_offload_owned(run, c->owner);
    const struct tgi_waits none = {.n = 0};
    uint32_t lanes[TGI_MAX_DEVICES];
    struct tg_error err;
    for (uint32_t i = 0; i < c->collect.n_ranks; i++)
        lanes[i] = (uint32_t)p->words[c->collect.first_rank + c->collect.n_ranks + i];
    if (!tgi_offload_expect(o, task, &none, c->collect.n_ranks, lanes, stamp)) {
        tgi_error_memory(&err, "watching a collective");
        tgi_offload_fail_task(o, task, &err);
    }
}

static void expect_collectives(struct tg_run *run, const struct tgi_replay *p)
{
    struct tgi_stamp end = tgi_order_tail(run->runtime->offload->order, tgi_lane_of(0, 0));
    run->offload->has_collected |= p->has_collectives;
    for (uint32_t i = 0; p->has_collectives && i < p->recorded.program.n; i++)
        if (p->recorded.program.commands[i].kind == TGI_COMMAND_COLLECT)
            expect_collective(run, &p->recorded.program, &p->recorded.program.commands[i], end);
}

static void replay(struct tg_run *run, struct tgi_offload_graphs *g, struct tgi_replay *p)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tg_error err;
    int rc = enqueue(run, g, p, &err);
    memcpy(run->offload->n_device_tasks, p->recorded.n_device_tasks, sizeof p->recorded.n_device_tasks);
    if (rc) {
        fail(run, UINT64_MAX, &err);
        tgi_offload_drain(o); /* it may have been launched all the same, and no lane knows of it */
        g->last = NULL;
        return;
    }
    expect_collectives(run, p);
    tgi_count(&o->worker->counts.n_tasks, p->recorded.n_tasks);
    p->last_used = ++g->stats.n_replayed;
    g->last = p;
    g->was_used = true;
    g->stats.n_clusters = p->recorded.clustering.n_clusters;
    g->stats.n_resident = p->recorded.clustering.n_calls;
    g->stats.n_nodes = p->recorded.clustering.n_left;
    g->stats.n_spread = p->recorded.clustering.n_spread;
    g->stats.not_spread = p->recorded.clustering.not_spread;
    tgi_replicas_log_again(run->offload->replicas, p->recorded.times.copies, p->recorded.times.n_copies);
}

static struct tgi_offload_graphs *graphs_of(struct tg_run *run)
{
    const struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    if (r->graphs)
        return r->graphs;
    r->graphs = calloc(1, sizeof *r->graphs);
    if (!r->graphs)
        return NULL;
    r->graphs->why = tgi_offload_obstacle(run);
    r->graphs->cache.devices = o->devices;
    r->graphs->cache.limit_bytes = run->options.graph_bytes;
    r->graphs->choice.n_tasks = run->graph->n_tasks;
    r->graphs->choice.n_expected = run->options.n_starts_expected;
    tgi_replay_costs_read(o->history, o->devices->info[0].name, run->graph->n_tasks, &r->graphs->choice.costs);
    for (int i = 0; i < TGI_N_REPLAY_COSTS; i++) /* what runs have shown is newer than what a machine file has */
        if (r->graphs->choice.costs.ns[i] <= 0)
            r->graphs->choice.costs.ns[i] = r->replay_costs.ns[i];
    return r->graphs;
}

struct tgi_replay_choice *tgi_offload_graph_choice(const struct tg_run *run)
{
    struct tgi_offload_graphs *g = run->offload->graphs;
    return g && run->options.executor == TG_EXECUTOR_AUTO && !run->offload->insertion ? &g->choice : NULL;
}

/* A graph that was only to be tried cannot be made: the other one is good. */
static void end_trial(struct tgi_offload_graphs *g)
{
    g->libraries.is_decided = true;
    g->libraries.is_without = g->has_kernels = false;
    free(g->why);
    g->why = NULL;
    g->n_refusals = 0;
}

bool tgi_offload_graph_begin(struct tg_run *run)
{
    uint64_t begin = tgi_now_ns();
    bool has_failed = false;
    if (run->offload->insertion) {
        tgi_offload_insert(run);
        tgi_offload_run_finish(run);
        return true;
    }
    if (run->options.executor == TG_EXECUTOR_STREAMS)
        return false;
    struct tgi_offload_graphs *g = graphs_of(run);
    if (!g) {
        tgi_run_fail_whole(run, TG_E_NO_MEMORY, "no memory for keeping a run's graphs");
        tgi_offload_run_finish(run);
        return true;
    }
    g->was_used = g->was_stopped = false;
    g->made_ns = 0;
    if (run->options.executor == TG_EXECUTOR_AUTO && (g->way = tgi_replay_choose(&g->choice)) == TGI_REPLAY_STREAMS)
        return false;
    bool may_be_without = run->options.executor != TG_EXECUTOR_RESIDENT && g->way != TGI_REPLAY_RESIDENT;
    bool may_try = !run->spans || g->libraries.is_decided; /* noting times is no way to compare them */
    g->has_kernels = may_be_without && may_try && tgi_replay_libraries_choose(&g->libraries);
    if (g->n_refusals && g->n_refusals < MAX_REFUSALS) { /* once more */
        free(g->why);
        g->why = NULL;
    }
    /* relaxed: nothing is published by it.  A run that was stopped skips its tasks one by one. */
    if (g->why || run->runtime->offload->is_dead ||
        atomic_load_explicit(&run->stop, memory_order_relaxed) != TGI_STOP_NO)
        return false;
    struct tgi_replay *p = find(run, g);
    if (!p)
        p = make(run, g, &has_failed);
    if (!p && !has_failed && is_on_trial(g)) {
        end_trial(g);
        p = find(run, g);
        p = p ? p : make(run, g, &has_failed);
    }
    if (!p && !has_failed)
        return false;
    if (p)
        replay(run, g, p);
    g->stats.launch_ns = tgi_now_ns() - begin;
    tgi_offload_run_finish(run);
    return true;
}

static const uint64_t *count_rounds(struct tg_run *run, const struct tgi_program *p, const uint64_t *rounds)
{
    for (uint32_t i = 0; p && i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        if (c->kind != TGI_COMMAND_DECIDE)
            continue;
        for (uint32_t k = 0; k < 2; k++) {
            run->offload->n_device_tasks[tgi_lane_device(c->lane)] += rounds[k] * c->decide.n_device_tasks[k];
            tgi_count(&run->runtime->offload->worker->counts.n_tasks, rounds[k] * c->decide.n_tasks[k]);
        }
        rounds = count_rounds(run, c->decide.body, rounds + 2);
        rounds = count_rounds(run, c->decide.body_else, rounds);
    }
    return rounds;
}

/* A time that cannot be taken fails the run: it was asked for. */
static void take_times(struct tg_run *run, const struct tgi_replay *p)
{
    struct tg_error err;
    if (tgi_replay_times_take(run, &p->recorded.times, &run->offload->graphs->clocks, &p->recorded.program, p->graph, &err))
        fail(run, UINT64_MAX, &err);
}

void tgi_offload_graph_end(struct tg_run *run)
{
    const struct tgi_offload_graphs *g = run->offload->graphs;
    struct tgi_offload *o = run->runtime->offload;
    if (!g || !g->was_used || !g->last || o->is_dead)
        return;
    const uint64_t *rounds = o->devices->ops->graph_rounds(g->last->graph);
    if (rounds)
        count_rounds(run, &g->last->recorded.program, rounds);
    if (run->spans && !g->was_stopped) /* what a kernel that was stopped has noted is of no start */
        take_times(run, g->last);
}

/* ---- Times --------------------------------------------------------------------------------*/

void tgi_offload_graph_submitted(struct tg_run *run)
{
    if (run->offload->graphs)
        run->offload->graphs->submitted_ns = tgi_now_ns() - tgi_run_begin_ns(run);
}

/* A start that comes after a stream of the program's has waited for it, nobody knows how long; one that failed says nothing. */
static void note_times(struct tg_run *run, struct tgi_offload_graphs *g)
{
    uint64_t last_ns = atomic_load_explicit(&run->last_ended_ns, memory_order_relaxed); /* by this thread */
    double ns = (double)((last_ns ? last_ns : tgi_now_ns()) - tgi_run_begin_ns(run));
    bool is_whole = !run->offload->after, is_settling = g->n_made[g->way] <= N_SETTLING;
    /* relaxed: whoever has set it has done so before the run came to its end here, or it is too late to matter. */
    if (atomic_load_explicit(&run->attention, memory_order_relaxed))
        return;
    if (!g->was_used) {
        tgi_replay_time_add(&g->choice.submit, (double)g->submitted_ns);
        if (is_whole)
            tgi_replay_time_add(&g->choice.streams, ns);
        return;
    }
    if (!g->made_ns && !g->stats.n_clusters && g->last) {
        tgi_replay_time_add(&g->launch, (double)g->stats.launch_ns);
        g->n_launched = g->last->n_commands;
    }
    if (is_whole && !g->stats.n_clusters) {
        bool was_on_trial = is_on_trial(g);
        tgi_replay_libraries_note(&g->libraries, ns - (double)g->made_ns, (double)g->made_ns);
        if (was_on_trial)
            return;
    }
    if (is_settling)
        g->choice.made_ns += (double)g->made_ns;
    if (is_whole)
        tgi_replay_time_add(g->way == TGI_REPLAY_RESIDENT ? &g->choice.resident : &g->choice.replay, ns - (is_settling ? (double)g->made_ns : 0));
}

void tgi_offload_graph_ended(struct tg_run *run)
{
    struct tgi_offload_graphs *g = run->offload->graphs;
    if (!g || run->offload->insertion)
        return;
    note_times(run, g);
    if (run->options.executor != TG_EXECUTOR_AUTO)
        return;
    if (g->why && g->choice.reason != TGI_REPLAY_SINGLE)
        snprintf(g->reason, sizeof g->reason, "streams, as it cannot be a graph: %s", g->why);
    else
        tgi_replay_explain(&g->choice, g->reason, sizeof g->reason);
}

void tgi_offload_graph_forget_last(struct tg_run *run)
{
    if (run->offload->graphs)
        run->offload->graphs->last = NULL;
}

/* ---- Questions, life ----------------------------------------------------------------------*/

static const char *why_not_as_asked(const struct tg_run *run, const struct tgi_offload_graphs *g)
{
    if (run->options.executor == TG_EXECUTOR_STREAMS)
        return NULL;
    if (!g)
        return !run->has_started ? NULL : run->offload ? "tasks are executed one at a time" : "no task is on a device";
    if (run->options.executor == TG_EXECUTOR_AUTO)
        return g->reason;
    return g->was_used && g->last ? g->last->recorded.not_resident : g->why;
}

enum tg_executor tg_run_executor(const struct tg_run *run, const char **why_p)
{
    const struct tgi_offload_graphs *g = run->offload && tgi_run_is_settled(run) ? run->offload->graphs : NULL;
    const struct tgi_captured *last = g && g->was_used && g->last ? &g->last->recorded : NULL;
    if (why_p && !tgi_run_is_settled(run))
        *why_p = "it was given up while a device was still at it";
    else if (why_p)
        *why_p = why_not_as_asked(run, g);
    return !last ? TG_EXECUTOR_STREAMS : last->clustering.n_clusters ? TG_EXECUTOR_RESIDENT : TG_EXECUTOR_GRAPH;
}

void tgi_offload_graph_stats(const struct tg_run *run, struct tgi_offload_graph_stats *stats_p)
{
    static const struct tgi_offload_graph_stats none;
    const struct tgi_offload_graphs *g = run->offload && tgi_run_is_settled(run) ? run->offload->graphs : NULL;
    *stats_p = g ? g->stats : none;
    if (g) {
        stats_p->made_ns = g->made_ns;
        stats_p->has_kernels = g->has_kernels && g->was_used;
        stats_p->is_trying = !g->libraries.is_decided;
        bool has_both = g->libraries.is_decided && g->libraries.without.n;
        stats_p->calls_ns = has_both ? g->libraries.with.ns : 0;
        stats_p->kernels_ns = has_both ? g->libraries.without.ns : 0;
        stats_p->n_kept = g->cache.n;
        stats_p->kept_bytes = g->cache.bytes;
        stats_p->n_dropped = g->cache.n_dropped;
    }
}

static int open_graphs(struct tg_run *run, struct tgi_offload_graphs **g_p, struct tg_error *err)
{
    *g_p = run->offload ? graphs_of(run) : NULL;
    if (*g_p)
        return 0;
    return run->offload ? tgi_error_memory(err, "keeping a run's graphs") : tgi_error(err, TG_E_STATE, "no task is on a device");
}

int tgi_offload_graph_use_kernels(struct tg_run *run, struct tg_error *err)
{
    struct tgi_offload_graphs *g;
    int rc = open_graphs(run, &g, err);
    if (rc == 0)
        g->libraries.is_decided = g->libraries.is_without = true;
    return rc;
}

int tgi_offload_graph_refuse_resident(struct tg_run *run, const char *why, struct tg_error *err)
{
    struct tgi_offload_graphs *g;
    int rc = open_graphs(run, &g, err);
    if (rc == 0)
        tgi_replay_refuse_resident(&g->choice, why);
    return rc;
}

int tgi_offload_graph_time(struct tg_run *run, struct tg_error *err)
{
    struct tgi_offload_graphs *g;
    int rc = open_graphs(run, &g, err);
    if (rc == 0)
        g->is_timed = true;
    return rc;
}

struct elapsed {
    struct tg_run *run;
    double *ns_p;
    struct tg_error *err;
    int rc;
};

static void find_elapsed(void *arg)
{
    struct elapsed *e = arg;
    struct tgi_devices *ds = e->run->runtime->offload->devices;
    const struct tgi_offload_graphs *g = e->run->offload->graphs;
    e->rc = ds->ops->elapsed(ds, g->from, g->to, e->ns_p, e->err);
}

int tgi_offload_graph_elapsed(struct tg_run *run, double *ns_p, struct tg_error *err)
{
    struct elapsed e = {run, ns_p, err, 0};
    const struct tgi_offload_graphs *g = run->offload ? run->offload->graphs : NULL;
    if (!g || !g->is_timed || !g->was_used)
        return tgi_error(err, TG_E_STATE, "the last start was no replay that is timed");
    tgi_offload_do(run->runtime->offload, find_elapsed, &e);
    return e.rc;
}

const struct tgi_program *tgi_offload_graph_program(const struct tg_run *run)
{
    const struct tgi_offload_graphs *g = run->offload ? run->offload->graphs : NULL;
    return g && g->last ? &g->last->recorded.program : NULL;
}

void tgi_offload_graph_stop(struct tgi_offload *o)
{
    struct tg_error err;
    for (struct tgi_offload_run *r = o->active; r; r = r->next) {
        struct tgi_offload_graphs *g = r->graphs;
        bool is_resident = g && g->was_used && !g->was_stopped && g->last && g->last->recorded.clustering.n_clusters;
        /* relaxed: nothing is published by it. */
        if (!is_resident || o->is_dead || atomic_load_explicit(&r->run->stop, memory_order_relaxed) == TGI_STOP_NO)
            continue;
        g->was_stopped = true;
        if (o->devices->ops->graph_abort(o->devices, g->last->graph, &err))
            tgi_offload_failed(o, &err);
    }
}

void tgi_offload_graph_look(struct tg_run *run)
{
    const struct tgi_offload_graphs *g = run->offload->graphs;
    struct tgi_devices *ds = run->runtime->offload->devices;
    struct tg_error err;
    uint64_t owner = UINT64_MAX;
    if (!g || !g->was_used || !g->last || run->runtime->offload->is_dead)
        return;
    const struct tgi_captured *last = &g->last->recorded;
    if (!last->clustering.n_clusters && last->whole)
        return; /* nothing of it waits for anything */
    if (ds->ops->graph_fault(ds, g->last->graph, &owner, &err))
        fail(run, owner, &err);
    if (g->was_stopped) /* which of them were left out nobody knows */
        atomic_fetch_add_explicit(&run->n_skipped, last->clustering.n_calls, memory_order_relaxed);
}

void tgi_offload_graph_release(struct tg_run *run)
{
    struct tgi_offload_graphs *g = run->offload->graphs;
    if (!g)
        return;
    tgi_replay_cache_clear(&g->cache);
    note_cost(run, TGI_REPLAY_LAUNCH, g->n_launched, g->launch.ns);
    note_cost(run, TGI_REPLAY_SUBMIT, run->graph->n_tasks, g->choice.submit.n > 1 ? g->choice.submit.ns : 0);
    struct tgi_devices *ds = run->runtime->offload->devices;
    ds->ops->event_destroy(ds, g->from);
    ds->ops->event_destroy(ds, g->to);
    free(g->why);
    free(g);
    run->offload->graphs = NULL;
}
