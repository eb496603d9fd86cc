/* One task: its lane, its data, its waits, its command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "mem/recorder.h"
#include "sched/choice.h"
#include "sched/offload_graph.h"
#include "sched/offload_policy.h"
#include "sched/placement.h"

/* ---- Ends of tasks ------------------------------------------------------------------------*/

static void release_locks(struct tgi_offload *o, struct tgi_offload_task *t)
{
    uint32_t task = tgi_offload_id(t);
    if (t->instance->nodes[task].op & TGI_NODE_SHARED && !o->recording)
        tgi_locks_release(o->worker, t->instance, task);
}

static void complete(struct tgi_offload *o, struct tgi_offload_task *t)
{
    if (o->recording)
        return;
    tgi_count(&o->worker->counts.n_tasks, 1);
    if (t->instance->run->needs_serial)
        return; /* whoever executes one task at a time knows what comes next */
    tgi_worker_complete(o->worker, t->instance, tgi_offload_id(t));
}

/* The task will not run, or has failed before it could. */
static void drop(struct tgi_offload *o, struct tgi_offload_task *t)
{
    t->stamp = TGI_STAMP_NONE;
    release_locks(o, t);
    complete(o, t);
}

void tgi_offload_fail_task(struct tgi_offload *o, struct tgi_offload_task *t, const struct tg_error *err)
{
    char text[sizeof err->text + 64];
    if (o->recording) { /* nothing has happened yet: who records decides */
        o->recording->err = *err;
        o->recording->task = t;
        return;
    }
    tgi_offload_failed(o, err);
    /* Which task a fault came from cannot be known: this is where it was seen. */
    snprintf(text, sizeof text, "%s%s", o->is_dead ? "the devices are lost; first observed at this task: " : "", err->text);
    tgi_run_fail(t->instance->run, t->instance, tgi_offload_id(t), err->status, text);
}

static void to_workers(struct tgi_offload *o, struct tgi_offload_task *t)
{
    uint32_t task = tgi_offload_id(t);
    bool is_shared = t->instance->nodes[task].op & TGI_NODE_SHARED;
    tgi_offload_policy_to_host(t);
    tgi_worker_push_here(o->worker, t->instance, task, is_shared ? TGI_ITEM_LOCKED : TGI_ITEM_TASK);
    tgi_worker_wake(o->runtime);
}

/* ---- Operands -----------------------------------------------------------------------------*/

static bool is_control(const struct tgi_op *op) { return op->kind >= TGI_OP_REPEAT; }

/* Of a control task only the tile that decides; what its body touches is its tasks' affair. */
static uint32_t n_operands(const struct tgi_op *op)
{
    if (!is_control(op))
        return op->n_params;
    return op->kind == TGI_OP_REPEAT ? 0 : 1;
}

static uint32_t make_operands(const struct tgi_instance *in, uint32_t task, uint32_t node, struct tgi_operand *operands)
{
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    uint32_t n = n_operands(op), n_words = tgi_graph_n_words(in->graph, task);
    const uint64_t *words = in->graph->args + in->nodes[task].args;
    bool reads_alone = is_control(op);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = i < n_words ? words[i] : tgi_graph_word(in->graph, task, i);
        operands[i] = (struct tgi_operand){word, reads_alone ? TG_IN : op->params[i].access, node, 0};
    }
    return n;
}

/* ---- Lanes --------------------------------------------------------------------------------*/

/* The lane of a predecessor that is its lane's last command saves an event and a wait; the latest one is
 * likely to finish last.  Else the lanes take turns.  What the graph calls most urgent, or what is critical where it
 * says nothing, has lanes of its own. */
static uint32_t choose_lane(struct tgi_offload *o, const struct tgi_instance *in, uint32_t task, uint32_t device)
{
    const struct tgi_offload_instance *oi = in->offload;
    bool is_urgent = in->class_of ? in->class_of[task] == TGI_N_CLASSES - 1 : oi->urgency->is_critical[task];
    uint32_t first = is_urgent ? TGI_PLAIN_LANES : 0, n = is_urgent ? TGI_URGENT_LANES : TGI_PLAIN_LANES, best = TG_NONE;
    for (uint32_t i = oi->first_pred[task]; i < oi->first_pred[task + 1]; i++) {
        struct tgi_stamp s = oi->tasks[oi->pred[i]].stamp;
        if (s.lane != TG_NONE && tgi_lane_device(s.lane) == device && s.lane % TGI_LANES_EACH - first < n &&
            tgi_order_is_tail(o->order, s))
            best = s.lane;
    }
    if (best != TG_NONE)
        return best;
    uint32_t k = o->next_lane[device]++ % n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t lane = tgi_lane_of(device, first + (k + i) % n);
        if (!tgi_order_n_pending(o->order, lane))
            return lane;
    }
    return tgi_lane_of(device, first + k);
}

/* What comes next is not what the others wait for: an event marks the point before it. */
static int seal_tail(struct tgi_offload *o, uint32_t lane, struct tg_error *err)
{
    struct tgi_offload_lane *l = &o->lanes[lane];
    bool is_wanted = (l->tail && l->tail->n_later) || l->n_unsealed >= tgi_offload_seal_every(o, tgi_lane_device(lane));
    if (!is_wanted)
        return 0;
    l->n_unsealed = 0;
    return tgi_order_seal(o->order, lane, err);
}

/* All are counted, whatever becomes of the task. */
void tgi_offload_wait_for_preds(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_waits *waits)
{
    const struct tgi_offload_instance *oi = t->instance->offload;
    uint32_t task = tgi_offload_id(t), first = oi->first_pred[task], end = oi->first_pred[task + 1];
    for (uint32_t i = first; i < end; i++) {
        struct tgi_offload_task *p = &oi->tasks[oi->pred[i]];
        p->n_later--;
        tgi_waits_add(o->order, waits, p->stamp);
    }
    if (first == end)
        tgi_waits_add(o->order, waits, oi->gate);
}

static int wait_for(struct tgi_offload *o, uint32_t lane, struct tgi_waits *waits, struct tg_error *err)
{
    return tgi_order_wait_all(o->order, lane, waits->stamps, waits->n, err);
}

/* ---- Commands -----------------------------------------------------------------------------*/

/* Where they go. */
static struct tgi_devices *target(struct tgi_offload *o)
{
    return o->recording ? tgi_recorder_devices(o->recording->recorder) : o->devices;
}

static bool shape_equals(const struct tgi_shape *a, const struct tgi_shape *b) { return memcmp(a, b, sizeof *a) == 0; }

static int make_shape(struct tgi_offload *o, struct tgi_code *code, uint32_t way, void *const *args, struct tgi_shape *shape,
                      struct tg_error *err)
{
    const struct tgi_device_ops *ops = o->devices->ops;
    memset(shape, 0, sizeof *shape); /* they are compared as bytes */
    return ops->shape_way ? ops->shape_way(o->devices, code, way, args, shape, err)
                          : ops->shape(o->devices, code, args, shape, err);
}

static int find_shape(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_code *code, uint32_t way, void *const *args,
                      const struct tgi_shape **shape_p, struct tg_error *err)
{
    struct tgi_offload_instance *oi = t->instance->offload;
    if (!t->has_shape || oi->shapes[t->shape].alternative != way) {
        struct tgi_shape shape;
        int rc = make_shape(o, code, way, args, &shape, err);
        if (rc)
            return rc;
        uint32_t i = oi->n_shapes, first = i > 8 ? i - 8 : 0;
        while (i > first && !shape_equals(&oi->shapes[i - 1], &shape))
            i--;
        if (i == first) {
            if (!tgi_vec_reserve(&oi->shapes, &oi->cap_shapes, (uint64_t)oi->n_shapes + 1, sizeof *oi->shapes))
                return tgi_error_memory(err, "launch dimensions");
            oi->shapes[oi->n_shapes] = shape;
            i = ++oi->n_shapes;
        }
        t->shape = i - 1;
        t->has_shape = true;
    }
    *shape_p = &oi->shapes[t->shape];
    return 0;
}

static int launch(struct tgi_offload *o, struct tgi_offload_task *t, uint32_t way, uint32_t lane,
                  const struct tgi_operand *operands, struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), id = in->nodes[task].op & TGI_NODE_OP;
    const struct tgi_op *op = &in->graph->space->ops[id];
    struct tgi_code *code = in->run->offload->codes[id];
    uint64_t values[TG_MAX_PARAMS];
    void *args[TG_MAX_PARAMS];
    const struct tgi_shape *shape = NULL;
    for (uint32_t i = 0; i < op->n_params; i++) {
        values[i] = operands[i].access == TG_SCALAR ? operands[i].word : operands[i].address;
        args[i] = &values[i];
    }
    int rc = find_shape(o, t, code, way, args, &shape, err);
    struct tgi_devices *ds = target(o);
    return rc ? rc : ds->ops->launch(ds, lane, code, shape, args, err);
}

static int fill(struct tgi_offload *o, struct tgi_offload_task *t, uint32_t lane, const struct tgi_operand *operands,
                struct tg_error *err)
{
    const struct tgi_buffer *b;
    uint64_t n = tgi_word_elems(t->instance->graph->space, operands[0].word, &b);
    struct tgi_devices *ds = target(o);
    return ds->ops->fill(ds, lane, operands[0].address, n, b->dtype, operands[1].word, err);
}

/* ---- Times --------------------------------------------------------------------------------*/

static int timed_event(struct tgi_offload *o, struct tgi_offload_run *run, uint32_t lane, struct tgi_event **event_p,
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
static void watch_span(struct tgi_offload *o, struct tgi_watch *span, struct tgi_stamp stamp)
{
    struct tg_error err;
    int rc = timed_event(o, span->task->instance->run->offload, stamp.lane, &span->to, &err);
    if (rc == 0 && tgi_offload_watch(o, stamp, span))
        return;
    if (rc == 0) {
        tgi_error_memory(&err, "recording a task");
        o->devices->ops->event_destroy(o->devices, span->to);
    }
    o->devices->ops->event_destroy(o->devices, span->from);
    tgi_offload_fail_task(o, span->task, &err);
}

/* Of a run that is recorded as a graph: what comes is the task's own work, or no longer. */
static void time_commands(struct tgi_offload *o, bool is_own)
{
    if (o->recording)
        tgi_recorder_set_step(o->recording->recorder, is_own ? o->recording->step : 0);
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

static void take_time(struct tgi_offload *o, struct tgi_watch *w)
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

static void take_span(struct tgi_offload *o, struct tgi_watch *w)
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
        span->end_ns = (uint64_t)(zero + end > 0 ? zero + end : 0);
        if (span->end_ns <= span->start_ns)
            span->end_ns = span->start_ns + 1; /* a zero length would mean that it never ran */
        span->worker = o->runtime->n_workers + device * run->n_shown_lanes + lane % TGI_LANES_EACH;
        span->attempts = 1;
        note_time(w->task, w->was_alone, end - begin);
        uint64_t begin_ns = tgi_run_begin_ns(in->run);
        tgi_offload_note_busy(o, device, begin_ns + span->start_ns, begin_ns + span->end_ns);
    }
    o->devices->ops->event_destroy(o->devices, w->from);
    o->devices->ops->event_destroy(o->devices, w->to);
}

/* What a device has been given to execute so far. */
static void add_device(struct tgi_offload *o, uint32_t device, struct tgi_waits *waits)
{
    for (uint32_t k = 0; k < TGI_COMPUTE_LANES; k++)
        if (tgi_order_n_pending(o->order, tgi_lane_of(device, k)))
            tgi_waits_add(o->order, waits, tgi_order_tail(o->order, tgi_lane_of(device, k)));
}

/* What it is given from now on comes after a task. */
static int hold_device(struct tgi_offload *o, struct tgi_stamp stamp, struct tg_error *err)
{
    uint32_t first = tgi_lane_of(tgi_lane_device(stamp.lane), 0);
    int rc = 0;
    for (uint32_t lane = first; rc == 0 && lane < first + TGI_COMPUTE_LANES; lane++)
        rc = lane == stamp.lane ? 0 : tgi_order_wait(o->order, lane, stamp, err);
    return rc;
}

/* ---- On a device --------------------------------------------------------------------------*/

/* Its end waits for all lanes; a body's is the end of a round, which the host goes on after. */
static bool is_main(const struct tgi_instance *in) { return !in->parent; }

static bool is_sink(const struct tgi_instance *in, uint32_t task)
{
    return in->nodes[task].succ == in->nodes[task + 1].succ;
}

static void write_back(struct tgi_offload *o, struct tgi_offload_task *t, const struct tgi_operand *operands, uint32_t n)
{
    struct tg_error err;
    for (uint32_t i = 0; i < n; i++)
        if (operands[i].access != TG_SCALAR && operands[i].access != TG_IN &&
            tgi_word_range(operands[i].word) != TGI_WORD_ALL &&
            tgi_replicas_write_back(t->instance->run->offload->replicas, operands[i].word, &err))
            tgi_offload_fail_task(o, t, &err);
}

/* Enqueued: others may now be, and what must wait until it is done is watched. */
static void enqueued(struct tgi_offload *o, struct tgi_offload_task *t, const struct tgi_operand *operands, uint32_t n,
                     struct tgi_stamp stamp)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t);
    struct tgi_offload_lane *l = &o->lanes[stamp.lane];
    const struct tg_graph *g = in->graph;
    t->stamp = stamp;
    t->n_later = g->nodes[task + 1].succ - g->nodes[task].succ;
    l->tail = t->n_later ? t : NULL;
    l->n_unsealed++;
    in->run->offload->n_device_tasks[tgi_lane_device(stamp.lane)]++;
    if (t->is_last_writer)
        write_back(o, t, operands, n);
    release_locks(o, t);
    if (!is_sink(in, task) || in->run->needs_serial || o->recording) {
        complete(o, t);
        return;
    }
    struct tgi_watch w = {.kind = TGI_WATCH_TASK, .task = t};
    bool is_watched = tgi_offload_watch(o, stamp, &w);
    struct tg_error err;
    if (!is_watched && tgi_order_synchronize(o->order, stamp, &err)) /* no memory for a few words: wait here */
        tgi_offload_fail_task(o, t, &err);
    if (!is_watched || is_main(in))
        complete(o, t);
}

/* A part of a task that failed may be in the lane: it is waited for, and fences the memory it uses. */
static void leave_part(struct tgi_offload *o, struct tg_run *run, uint32_t lane, const struct tgi_operand *operands,
                       uint32_t n)
{
    tgi_order_append(o->order, lane);
    tgi_replicas_used(run->offload->replicas, operands, n, lane);
}

/* A task that is one command of one lane: kernel, fill, barrier. */
static int enqueue(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n,
                   struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t);
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    struct tgi_waits waits;
    uint32_t class = in->offload->classes[task], way = 0;
    enum tgi_timing timing = TGI_NOT_TIMED;
    if (class != TG_NONE)
        way = o->recording ? tgi_choices_best(in->run->offload->choices, class, t->node - 1u)
                           : tgi_choices_take(in->run->offload->choices, class, t->node - 1u, &timing);
    /* Always in one lane: a library's first call in a lane prepares what it needs there, and would be timed with it. */
    uint32_t lane = timing == TGI_TIMED_ALONE ? tgi_lane_of(t->node - 1u, 0) : choose_lane(o, in, task, t->node - 1u);
    bool has_times = timing != TGI_NOT_TIMED || (in->spans && !o->recording);
    struct tgi_watch span = {.kind = in->spans ? TGI_WATCH_SPAN : TGI_WATCH_TIME, .task = t, .was_alone = timing == TGI_TIMED_ALONE};
    waits.n = 0;
    if (timing == TGI_TIMED_ALONE)
        add_device(o, t->node - 1u, &waits);
    tgi_offload_wait_for_preds(o, t, &waits);
    int rc = tgi_replicas_acquire(in->run->offload->replicas, operands, n, &waits, err);
    if (rc == 0)
        rc = wait_for(o, lane, &waits, err);
    if (rc == 0)
        rc = seal_tail(o, lane, err);
    if (rc == 0 && has_times)
        rc = timed_event(o, in->run->offload, lane, &span.from, err);
    time_commands(o, true);
    if (rc == 0 && op->kind == TGI_OP_KERNEL)
        rc = launch(o, t, way, lane, operands, err);
    else if (rc == 0 && op->kind == TGI_OP_FILL && (rc = fill(o, t, lane, operands, err)))
        leave_part(o, in->run, lane, operands, n);
    time_commands(o, false);
    if (rc) {
        if (span.from)
            o->devices->ops->event_destroy(o->devices, span.from);
        return rc;
    }
    struct tgi_stamp stamp = tgi_order_append(o->order, lane);
    t->stamp = stamp;
    if (has_times)
        watch_span(o, &span, stamp);
    if (timing == TGI_TIMED_ALONE && hold_device(o, stamp, err))
        tgi_offload_fail_task(o, t, err);
    tgi_replicas_publish(in->run->offload->replicas, operands, n, stamp);
    enqueued(o, t, operands, n, stamp);
    return 0;
}

/* From wherever the source is valid. */
static int enqueue_copy(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands,
                        struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), lane = choose_lane(o, in, task, t->node - 1u);
    struct tgi_waits waits;
    struct tgi_stamp stamp;
    bool is_enqueued;
    waits.n = 0;
    tgi_offload_wait_for_preds(o, t, &waits);
    time_commands(o, true);
    int rc = tgi_replicas_copy(in->run->offload->replicas, &operands[0], &operands[1], lane, &waits, &is_enqueued, &stamp, err);
    time_commands(o, false);
    if (rc)
        return rc;
    enqueued(o, t, operands, 1, stamp);
    return 0;
}

/* One tile per device, a compute lane each; afterwards every lane has come to the same point. */
static int enqueue_collective(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n,
                              struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), *lanes = calloc(2 * (size_t)n, sizeof *lanes);
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    uint64_t *tiles = calloc(n, sizeof *tiles);
    const struct tgi_buffer *b;
    uint64_t n_elems = tgi_word_elems(in->graph->space, operands[0].word, &b);
    struct tgi_waits waits;
    int rc = lanes && tiles ? 0 : tgi_error_memory(err, "a collective");
    waits.n = 0;
    tgi_offload_wait_for_preds(o, t, &waits);
    if (rc == 0)
        rc = tgi_replicas_acquire(in->run->offload->replicas, operands, n, &waits, err);
    struct tgi_waits before = waits;
    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        struct tgi_waits own = waits;
        tiles[i] = operands[i].address;
        lanes[i] = tgi_lane_of(operands[i].node - 1, 0);
        rc = wait_for(o, lanes[i], &own, err);
    }
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = seal_tail(o, lanes[i], err);
    bool is_ready = rc == 0;
    for (uint32_t i = 0; is_ready && i < n; i++)
        tgi_waits_add(o->order, &before, tgi_order_tail(o->order, lanes[i]));
    struct tgi_devices *ds = target(o);
    time_commands(o, true);
    in->run->offload->has_collected |= is_ready && !o->recording;
    if (is_ready)
        rc = ds->ops->collect(ds, op, b->dtype, n_elems, n, tiles, lanes, err);
    time_commands(o, false);
    /* Each rank has its tile once its own lane has come to here; the task is done where lane 0 knows all of them. */
    for (uint32_t i = n; is_ready && i-- > 0;) {
        struct tgi_stamp own = tgi_order_append(o->order, lanes[i]);
        o->lanes[lanes[i]].tail = NULL;
        tgi_replicas_used(in->run->offload->replicas, &operands[i], 1, lanes[i]);
        if (rc == 0)
            tgi_replicas_publish(in->run->offload->replicas, &operands[i], 1, own);
        if (rc == 0)
            rc = tgi_order_wait(o->order, lanes[0], own, err);
    }
    if (rc == 0) {
        struct tgi_stamp stamp = tgi_order_append(o->order, lanes[0]);
        struct tg_error memory;
        if (!o->recording && !tgi_offload_expect(o, t, &before, n, lanes, stamp)) { /* it was asked for, so it fails */
            tgi_error_memory(&memory, "watching a collective");
            tgi_offload_fail_task(o, t, &memory);
        }
        enqueued(o, t, operands, n, stamp);
    }
    free(lanes);
    free(tiles);
    return rc;
}

/* ---- On the host --------------------------------------------------------------------------*/

static void count_waiting(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_stamp stamp)
{
    struct tgi_watch w = {.kind = TGI_WATCH_CPU, .task = t};
    struct tg_error err;
    if (stamp.lane == TG_NONE || tgi_order_is_done(o->order, stamp))
        return;
    if (tgi_offload_watch(o, stamp, &w))
        t->n_waiting++;
    else if (tgi_order_synchronize(o->order, stamp, &err))
        tgi_offload_fail_task(o, t, &err);
}

/* A task for CPUs whose data or predecessors are on devices: to the workers when both have come. */
static int prepare_cpu(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n,
                       struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t);
    struct tgi_waits waits;
    waits.n = 0;
    tgi_offload_wait_for_preds(o, t, &waits);
    int rc = tgi_replicas_acquire(in->run->offload->replicas, operands, n, &waits, err);
    t->stamp = TGI_STAMP_NONE;
    t->n_later = in->graph->nodes[task + 1].succ - in->graph->nodes[task].succ;
    if (rc)
        return rc;
    tgi_replicas_publish(in->run->offload->replicas, operands, n, TGI_STAMP_NONE);
    t->n_waiting = 1;
    for (uint32_t i = 0; i < waits.n; i++)
        count_waiting(o, t, waits.stamps[i]);
    if (--t->n_waiting == 0)
        to_workers(o, t);
    return 0;
}

/* ---- Submitting ---------------------------------------------------------------------------*/

/* Part and task as in a record; what is not in one has no owner. */
static uint64_t owner_of(const struct tgi_offload *o, const struct tgi_offload_task *t)
{
    const struct tgi_instance *in = t->instance;
    if (o->recording)
        return (uint64_t)o->recording->round << 32 | tgi_offload_id(t);
    if (in->parent && !in->round)
        return UINT64_MAX;
    return (uint64_t)(in->parent ? in->round->index + 1 : 0) << 32 | tgi_offload_id(t);
}

static int dispatch(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, struct tg_error *err)
{
    uint32_t task = tgi_offload_id(t), n = make_operands(t->instance, task, t->node, operands);
    const struct tgi_op *op = tgi_graph_op(t->instance->graph, task);
    tgi_replicas_copies_for(t->instance->run->offload->replicas, owner_of(o, t));
    if (o->recording)
        tgi_recorder_set_owner(o->recording->recorder, tgi_offload_owner(t), n);
    if (t->node == TGI_HOST_NODE)
        return prepare_cpu(o, t, operands, n, err);
    switch (op->kind) {
    case TGI_OP_COPY:
        return enqueue_copy(o, t, operands, err);
    case TGI_OP_COLLECTIVE:
        tgi_placement_ranks(t->instance->run->offload->placement, operands, n);
        return enqueue_collective(o, t, operands, n, err);
    default:
        return enqueue(o, t, operands, n, err);
    }
}

/* The same between the two ends of a range, if a profiler listens. */
static int dispatch_named(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, struct tg_error *err)
{
    const struct tgi_device_ops *ops = o->devices->ops;
    char scratch[16];
    if (ops->range_push)
        ops->range_push(o->devices, tgi_graph_task_name(t->instance->graph, tgi_offload_id(t), scratch));
    int rc = dispatch(o, t, operands, err);
    if (ops->range_pop)
        ops->range_pop(o->devices);
    return rc;
}

void tgi_offload_submit(struct tgi_offload *o, struct tgi_offload_task *t)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t);
    struct tgi_operand few[TG_MAX_PARAMS], *operands = few;
    struct tg_error err;
    /* A recording goes task by task, so that nobody holds a lock, and what skips tasks is looked at when it is over. */
    bool is_shared = in->nodes[task].op & TGI_NODE_SHARED && !o->recording;
    bool is_skipped = !o->recording && tgi_task_is_skipped(in, task);
    /* Who waits for its locks must not wait for ever; a group also counts its members. */
    if (is_shared && !t->has_locks && !tgi_locks_acquire(o->worker, in, task))
        return;
    if (is_skipped) {
        tgi_task_skip(in, task);
        drop(o, t);
        return;
    }
    if (o->is_dead) {
        tgi_offload_fail_task(o, t, &o->lost);
        drop(o, t);
        return;
    }
    uint32_t n = n_operands(tgi_graph_op(in->graph, task));
    if (n > TG_MAX_PARAMS && !(operands = malloc(n * sizeof *operands))) {
        tgi_error_memory(&err, "submitting a task");
        tgi_offload_fail_task(o, t, &err);
        drop(o, t);
        return;
    }
    if (dispatch_named(o, t, operands, &err)) {
        tgi_offload_fail_task(o, t, &err);
        drop(o, t);
    }
    if (operands != few)
        free(operands);
}

void tgi_offload_continue(struct tgi_offload *o, struct tgi_instance *body)
{
    struct tgi_instance *parent = body->parent;
    struct tgi_offload_task *t = &parent->offload->tasks[body->parent_task];
    struct tgi_operand operand;
    struct tgi_waits waits = {.n = 0};
    struct tg_error err;
    uint32_t n = make_operands(parent, body->parent_task, TGI_HOST_NODE, &operand);
    int rc = o->is_dead ? o->lost.status : 0;
    if (rc)
        err = o->lost;
    if (rc == 0)
        rc = tgi_replicas_acquire(parent->run->offload->replicas, &operand, n, &waits, &err);
    /* The round is over: what it has enqueued is done, and this copy is all there is to wait for. */
    for (uint32_t i = 0; rc == 0 && i < waits.n; i++)
        rc = tgi_order_synchronize(o->order, waits.stamps[i], &err);
    if (rc)
        tgi_offload_fail_task(o, t, &err);
    tgi_control_continue(o->worker, body);
}

void tgi_offload_reached(struct tgi_offload *o, struct tgi_watch *w)
{
    switch (w->kind) {
    case TGI_WATCH_SPAN:
        take_span(o, w);
        break;
    case TGI_WATCH_TIME:
        take_time(o, w);
        break;
    case TGI_WATCH_TASK:
        if (o->is_dead)
            tgi_offload_fail_task(o, w->task, &o->lost);
        if (!is_main(w->task->instance))
            complete(o, w->task);
        break;
    case TGI_WATCH_CPU:
        if (--w->task->n_waiting)
            break;
        if (o->is_dead) { /* what it reads is not there */
            tgi_offload_fail_task(o, w->task, &o->lost);
            drop(o, w->task);
        } else {
            to_workers(o, w->task);
        }
        break;
    case TGI_WATCH_FINISH:
        tgi_offload_lane_finished(o, w->run);
        break;
    }
}

/* ---- One task at a time -------------------------------------------------------------------*/

static int wait_here(struct tgi_offload *o, const struct tgi_waits *waits, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < waits->n; i++)
        rc = tgi_order_synchronize(o->order, waits->stamps[i], err);
    return rc;
}

/* What a task on the host needs, or with `is_done` what one on a device has written, is valid on the host. */
static int bring_home(struct tgi_offload *o, struct tgi_offload_task *t, bool is_done, struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), n = n_operands(tgi_graph_op(in->graph, task));
    struct tgi_operand *operands = malloc(((size_t)n + 1) * sizeof *operands);
    struct tgi_waits waits = {.n = 0};
    if (!operands)
        return tgi_error_memory(err, "submitting a task");
    make_operands(in, task, TGI_HOST_NODE, operands);
    for (uint32_t i = 0; is_done && i < n; i++)
        operands[i].access = operands[i].access > TG_IN ? TG_IN : TG_SCALAR;
    int rc = tgi_replicas_acquire(in->run->offload->replicas, operands, n, &waits, err);
    if (rc == 0)
        rc = wait_here(o, &waits, err);
    if (rc == 0 && !is_done)
        tgi_replicas_publish(in->run->offload->replicas, operands, n, TGI_STAMP_NONE);
    free(operands);
    return rc;
}

/* The failure that the task's kernel has left on the device; false: none. */
static bool has_fault(struct tgi_offload *o, struct tgi_offload_task *t)
{
    uint64_t address;
    uint32_t n_failures;
    char text[512];
    struct tg_error err;
    int rc = o->devices->ops->fault(o->devices, t->node - 1u, &address, &n_failures, text, sizeof text, &err);
    if (rc < 0)
        tgi_offload_fail_task(o, t, &err);
    else if (rc > 0)
        tgi_run_fail(t->instance->run, t->instance, tgi_offload_id(t), TG_E_TASK_FAILED, text);
    return rc != 0;
}

static void step(void *arg)
{
    struct tgi_offload_task *t = arg;
    struct tgi_offload *o = t->instance->run->runtime->offload;
    struct tg_error err;
    int rc = 0;
    if (t->node == TGI_HOST_NODE) {
        t->stamp = TGI_STAMP_NONE;
        rc = bring_home(o, t, false, &err);
    } else {
        tgi_offload_submit(o, t);
        if (t->stamp.lane == TG_NONE)
            return; /* it was skipped, or has failed */
        rc = tgi_order_synchronize(o->order, t->stamp, &err);
        tgi_offload_look(o); /* its span belongs to this round */
        if (rc == 0 && !has_fault(o, t))
            rc = bring_home(o, t, true, &err);
    }
    if (rc)
        tgi_offload_fail_task(o, t, &err);
}

bool tgi_offload_step(struct tgi_instance *in, uint32_t task)
{
    struct tgi_offload_task *t = &in->offload->tasks[task];
    if (!in->via[task])
        return false;
    if (t->node == TGI_HOST_NODE && tgi_task_is_skipped(in, task))
        return false; /* who executes it sees that as well */
    tgi_offload_do(in->run->runtime->offload, step, t);
    return t->node != TGI_HOST_NODE;
}
