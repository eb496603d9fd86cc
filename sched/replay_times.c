/* See replay_times.h. */
#include "sched/replay_times.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "sched/choice.h"
#include "sched/offload.h"

/* What the commands of a step have told. */
struct taken {
    uint64_t start_ns, end_ns; /* both 0: it has none */
    struct tgi_span *span;     /* NULL: its round has no place in the record */
    uint32_t device;
    uint32_t worker; /* of a resident kernel, in which the last of them ended; TG_NONE: in none */
};

struct taking {
    struct tg_run *run;
    const struct tgi_replay_times *times;
    struct place {
        struct tgi_round *round;  /* NULL: it has no place in the record */
        struct tgi_span *control; /* of its control task; NULL: the same of that one's round */
    } * places;                   /* by number of the round */
    struct taken *taken;          /* by step, then those that have been told, by device and start */
    uint32_t n_taken;
    uint8_t *has_command;         /* by step */
    uint32_t n_workers;           /* the most that a resident kernel has */
};

/* ---- Keeping ------------------------------------------------------------------------------*/

static bool add(struct tgi_replay_times *times, struct tgi_replay_step step)
{
    if (!tgi_vec_reserve(&times->steps, &times->cap, (uint64_t)times->n + 1, sizeof *times->steps))
        return false;
    times->steps[times->n++] = step;
    return true;
}

uint32_t tgi_replay_times_add(struct tgi_replay_times *times, struct tgi_instance *instance, uint32_t task, uint32_t round)
{
    return add(times, (struct tgi_replay_step){instance, task, round, 0, 0}) ? times->n : 0;
}

uint32_t tgi_replay_times_begin_round(struct tgi_replay_times *times, struct tgi_instance *body, uint32_t outer,
                                      uint64_t number)
{
    return add(times, (struct tgi_replay_step){body, TG_NONE, times->n_rounds + 1, outer, number}) ? ++times->n_rounds : 0;
}

void tgi_replay_times_fini(struct tgi_replay_times *times)
{
    free(times->steps);
    free(times->copies);
    memset(times, 0, sizeof *times);
}

/* ---- Commands -----------------------------------------------------------------------------*/

/* NULL: the round has no place in the record. */
static struct tgi_span *spans_of(const struct taking *k, uint32_t round)
{
    return round == 0 ? k->run->spans : k->places[round].round ? k->places[round].round->spans : NULL;
}

static void record_rounds(struct taking *k)
{
    for (uint32_t i = 0; i < k->times->n; i++) {
        const struct tgi_replay_step *s = &k->times->steps[i];
        struct tgi_instance *body = s->instance;
        if (s->task != TG_NONE)
            continue;
        struct tgi_span *outer = spans_of(k, s->outer);
        tgi_record_round(body, body->parent, body->parent_task, s->number);
        k->places[s->round] = (struct place){body->round, outer ? &outer[body->parent_task] : NULL};
    }
}

int tgi_replay_times_begin(struct tg_run *run, const struct tgi_program *p, struct tgi_device_graph *graph,
                           struct tgi_replay_clocks *clocks_p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_devices *ds = o->devices;
    uint64_t begin = tgi_now_ns(), device_ns, host_ns;
    uint32_t has_steps = 0;
    int rc = 0;
    for (uint32_t i = 0; i < p->n; i++)
        has_steps |= tgi_command_is_timed(&p->commands[i]) ? 1u << tgi_lane_device(p->commands[i].lane) : 0;
    for (uint32_t d = 0; rc == 0 && d < ds->n_devices; d++) {
        if (!(has_steps >> d & 1))
            continue;
        rc = ds->ops->graph_clock(ds, graph, d, &device_ns, &host_ns, err);
        tgi_order_append(o->order, tgi_lane_of(d, 0)); /* after an error it may still be under way, and has to be waited for */
        if (rc == 0)
            clocks_p->zero_ns[d] = (int64_t)device_ns - (int64_t)(host_ns - tgi_run_begin_ns(run));
    }
    run->offload->timing_ns += tgi_now_ns() - begin;
    return rc;
}

static uint64_t from_zero(const struct tgi_replay_clocks *clocks, uint32_t device, uint64_t ns)
{
    int64_t at = (int64_t)ns - clocks->zero_ns[device];
    return at > 0 ? (uint64_t)at : 0;
}

/* What tasks of its kind take there is known from then on.  The kernels that note times are part of what they see: an empty one seems to
 * take as long on an H100 (bench/cuda_nodes --what stamps). */
static const double STAMPS_NS = 1570;

static void note_time(struct taking *k, const struct tgi_replay_step *s, uint32_t device, bool is_resident, uint64_t ns)
{
    double own_ns = is_resident ? (double)ns : (double)ns - STAMPS_NS;
    tgi_choices_note_inside(k->run->offload->choices, s->instance->offload->classes[s->task], device,
                            is_resident ? TGI_INSIDE_RESIDENT : TGI_INSIDE_GRAPH, own_ns > 1 ? own_ns : 1);
}

/* A task of several commands is at work from the first one's beginning to the last one's end.  own_ns: what is kept as the task's time. */
static void take(struct taking *k, const struct tgi_replay_clocks *clocks, uint32_t step, uint32_t device, uint32_t worker, uint64_t own_ns,
                 const uint64_t *ns)
{
    const struct tgi_replay_step *s = &k->times->steps[step - 1];
    struct tgi_span *spans = spans_of(k, s->round);
    struct taken *t = &k->taken[step - 1];
    uint64_t start_ns = from_zero(clocks, device, ns[0]), end_ns = from_zero(clocks, device, ns[1]);
    note_time(k, s, device, worker != TG_NONE, own_ns);
    if (t->end_ns == 0 || start_ns < t->start_ns)
        t->start_ns = start_ns;
    if (end_ns >= t->end_ns) {
        t->end_ns = end_ns;
        t->device = device;
        t->worker = worker;
    }
    if (t->end_ns == 0)
        t->end_ns = 1; /* 0 would mean that it never ran */
    t->span = spans ? &spans[s->task] : NULL;
}

static int take_nodes(struct taking *k, const struct tgi_replay_clocks *clocks, const struct tgi_program *p, struct tgi_device_graph *graph,
                      struct tg_error *err)
{
    struct tgi_devices *ds = k->run->runtime->offload->devices;
    bool has_steps = false;
    const uint64_t *ns = NULL;
    for (uint32_t i = 0; i < p->n; i++)
        has_steps |= p->commands[i].step != 0;
    int rc = has_steps ? ds->ops->graph_times(ds, graph, p, &ns, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < p->n; i++) {
        uint32_t step = p->commands[i].step;
        uint64_t at[2] = {step ? ns[2 * i] : 0, step ? ns[2 * i + 1] : 0};
        if (!step)
            continue;
        k->has_command[step - 1] = 1;
        at[1] += at[0] == at[1]; /* its own time is shorter than a tick */
        take(k, clocks, step, tgi_lane_device(p->commands[i].lane), TG_NONE, at[1] > at[0] ? at[1] - at[0] : 0, at);
    }
    return rc;
}

/* A task of a cluster.  What is kept of one that several warps have executed together is what a warp is taken to need (resident_inside.h): as many times
 * as long; and of one of a batch, how long the batch took.  But in the record those of a batch, which are all in its worker's lane, share its time out. */
static void take_task(struct taking *k, const struct tgi_replay_clocks *clocks, const struct tgi_cluster *c, const struct tgi_resident_task *t,
                      uint32_t worker, const uint64_t *ns)
{
    uint32_t first = tgi_cluster_first(c, t->id), n = tgi_cluster_first(c, t->id + 1) - first, n_each = c->program->n_workers / c->n_devices;
    uint64_t whole_ns = ns[1] > ns[0] ? ns[1] - ns[0] : 0, own_ns = whole_ns * (t->head & TGI_HEAD_BLOCK ? c->program->n_workers_each : 1);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t part[2] = {ns[0] + whole_ns * i / n, ns[0] + whole_ns * (i + 1) / n};
        uint32_t step = c->step[first + i];
        if (!step)
            continue;
        k->has_command[step - 1] = 1;
        if (ns[0]) /* else its body was left out */
            take(k, clocks, step, c->device[worker / n_each], worker % n_each, own_ns, part);
    }
}

static int take_cluster(struct taking *k, const struct tgi_replay_clocks *clocks, const struct tgi_command *c,
                        struct tgi_device_graph *graph, struct tg_error *err)
{
    struct tgi_devices *ds = k->run->runtime->offload->devices;
    const struct tgi_resident_program *p = c->cluster->program;
    uint32_t n_each = p->n_workers / c->cluster->n_devices;
    uint64_t *ns = calloc(2 * (size_t)p->n_slots + 2, sizeof *ns);
    int rc = ns ? ds->ops->cluster_times(ds, graph, c->cluster, ns, err) : tgi_error_memory(err, "recording when tasks ran");
    for (uint32_t w = 0; rc == 0 && w < p->n_workers; w++)
        for (uint32_t i = p->first[w]; i < p->first[w + 1]; i++)
            if (!(p->tasks[i].head & TGI_HEAD_MEMBER)) /* whose leading slot has the time */
                take_task(k, clocks, c->cluster, &p->tasks[i], w, &ns[2 * i]);
    k->n_workers = n_each > k->n_workers ? n_each : k->n_workers;
    free(ns);
    return rc;
}

static int take_commands(struct taking *k, const struct tgi_replay_clocks *clocks, const struct tgi_program *p,
                         struct tgi_device_graph *graph, struct tg_error *err)
{
    int rc = take_nodes(k, clocks, p, graph, err);
    for (uint32_t i = 0; rc == 0 && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT && p->commands[i].cluster->is_timed)
            rc = take_cluster(k, clocks, &p->commands[i], graph, err);
    for (uint32_t i = 0; rc == 0 && i < k->times->n; i++)
        if (k->taken[i].span)
            k->taken[k->n_taken++] = k->taken[i];
    return rc;
}

/* ---- Lanes --------------------------------------------------------------------------------*/

static int compare(const void *a, const void *b)
{
    const struct taken *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* Spans name lanes of all devices by 16 bits. */
static uint32_t most_lanes(const struct tg_run *run)
{
    const struct tg_runtime *rt = run->runtime;
    return (UINT16_MAX - rt->n_workers) / rt->offload->devices->n_devices;
}

/* The first lane that is free then, as a rule. */
static uint32_t find_lane(const uint64_t *until_ns, uint32_t n, uint64_t start_ns)
{
    uint32_t lane = 0;
    while (lane < n && until_ns[lane] > start_ns)
        lane++;
    return lane;
}

/* lane: by task taken.  The most that a device has.  One for which there is none is drawn over another. */
static uint32_t choose_lanes(const struct taking *k, uint64_t *until_ns, uint32_t *lane)
{
    uint32_t most = TGI_COMPUTE_LANES, n = 0, limit = most_lanes(k->run);
    for (uint32_t i = 0; i < k->n_taken; i++) {
        const struct taken *t = &k->taken[i];
        if (i && t->device != t[-1].device)
            n = 0;
        if (t->worker != TG_NONE)
            continue;
        lane[i] = find_lane(until_ns, n, t->start_ns);
        if (lane[i] == limit)
            lane[i]--;
        n = lane[i] < n ? n : lane[i] + 1;
        until_ns[lane[i]] = t->end_ns;
        most = n > most ? n : most;
    }
    for (uint32_t i = 0; i < k->n_taken; i++)
        if (k->taken[i].worker != TG_NONE)
            lane[i] = most + k->taken[i].worker < limit ? most + k->taken[i].worker : limit - 1;
    k->run->offload->n_node_lanes = most;
    return most + k->n_workers < limit ? most + k->n_workers : limit;
}

static int put_spans(struct taking *k, struct tg_error *err)
{
    struct tgi_offload *o = k->run->runtime->offload;
    uint64_t *until_ns = malloc(((size_t)k->n_taken + 1) * sizeof *until_ns), begin_ns = tgi_run_begin_ns(k->run);
    uint32_t *lane = malloc(((size_t)k->n_taken + 1) * sizeof *lane);
    int rc = until_ns && lane ? 0 : tgi_error_memory(err, "recording when tasks ran");
    qsort(k->taken, k->n_taken, sizeof *k->taken, compare);
    if (rc == 0)
        k->run->offload->n_shown_lanes = choose_lanes(k, until_ns, lane);
    for (uint32_t i = 0; rc == 0 && i < k->n_taken; i++) {
        const struct taken *t = &k->taken[i];
        t->span->start_ns = t->start_ns;
        t->span->worker = (uint16_t)(o->runtime->n_workers + t->device * k->run->offload->n_shown_lanes + lane[i]);
        t->span->attempts = 1;
        t->span->state = TG_TASK_DONE;
        tgi_span_end(t->span, t->end_ns);
        tgi_offload_note_busy(o, t->device, begin_ns + t->start_ns, begin_ns + t->end_ns);
    }
    free(until_ns);
    free(lane);
    return rc;
}

/* ---- What has no command ------------------------------------------------------------------*/

static uint64_t ready_ns(const struct tgi_instance *in, const struct tgi_span *spans, uint32_t task, uint64_t begin_ns)
{
    const struct tgi_offload_instance *oi = in->offload;
    for (uint32_t i = oi->first_pred[task]; i < oi->first_pred[task + 1]; i++)
        begin_ns = spans[oi->pred[i]].end_ns > begin_ns ? spans[oi->pred[i]].end_ns : begin_ns;
    return begin_ns;
}

static void put_here(struct tgi_span *span, uint64_t at_ns)
{
    if (span->end_ns)
        return;
    span->start_ns = at_ns;
    span->attempts = 1;
    span->state = TG_TASK_DONE;
    tgi_span_end(span, at_ns ? at_ns : 1);
}

/* The outermost graph begins with the run. */
static uint64_t begin_of(const struct taking *k, uint32_t round) { return k->places[round].round ? k->places[round].round->begin_ns : 0; }

/* A control task's span ends where its rounds so far have: tasks of a round stand before whatever comes after its control task. */
static void settle_round(const struct taking *k, const struct tgi_replay_step *s)
{
    const struct tgi_instance *body = s->instance;
    const struct place *place = &k->places[s->round];
    if (!place->round || !place->control)
        return;
    put_here(place->control, ready_ns(body->parent, place->control - body->parent_task, body->parent_task, begin_of(k, s->outer)));
    place->round->begin_ns = place->control->end_ns;
}

static void settle_task(const struct taking *k, const struct tgi_replay_step *s)
{
    struct tgi_span *spans = spans_of(k, s->round), *control = k->places[s->round].control;
    if (!spans)
        return;
    if (!k->has_command[s - k->times->steps])
        put_here(&spans[s->task], ready_ns(s->instance, spans, s->task, begin_of(k, s->round)));
    if (control && spans[s->task].end_ns > control->end_ns)
        control->end_ns = spans[s->task].end_ns;
}

/* ---- All ----------------------------------------------------------------------------------*/

int tgi_replay_times_take(struct tg_run *run, const struct tgi_replay_times *times, const struct tgi_replay_clocks *clocks,
                          const struct tgi_program *program, struct tgi_device_graph *graph, struct tg_error *err)
{
    struct taking k = {.run = run, .times = times, .places = calloc((size_t)times->n_rounds + 1, sizeof *k.places),
                       .taken = calloc((size_t)times->n + 1, sizeof *k.taken), .has_command = calloc((size_t)times->n + 1, 1)};
    uint64_t begin = tgi_now_ns();
    int rc = k.places && k.taken && k.has_command ? 0 : tgi_error_memory(err, "recording when tasks ran");
    if (rc == 0) {
        record_rounds(&k);
        rc = take_commands(&k, clocks, program, graph, err);
    }
    if (rc == 0)
        rc = put_spans(&k, err);
    for (uint32_t i = 0; rc == 0 && i < times->n; i++)
        (times->steps[i].task == TG_NONE ? settle_round : settle_task)(&k, &times->steps[i]);
    run->offload->timing_ns += tgi_now_ns() - begin;
    free(k.places);
    free(k.taken);
    free(k.has_command);
    return rc;
}
