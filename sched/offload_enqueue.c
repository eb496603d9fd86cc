/* A task on a device: its lane, its data, its waits, its command. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "sched/choice.h"
#include "sched/device_queue.h"
#include "sched/offload_task.h"
#include "sched/placement.h"

/* ---- Lanes --------------------------------------------------------------------------------*/

struct device_lanes {
    const struct tgi_offload *o;
    uint32_t device;
};
static bool is_idle(const void *arg, uint32_t lane)
{
    const struct device_lanes *l = arg;
    return !tgi_order_n_pending(l->o->order, tgi_lane_of(l->device, lane));
}

/* See device_queue.h. */
static uint32_t choose_lane(struct tgi_offload *o, const struct tgi_instance *in, uint32_t task, uint32_t device)
{
    const struct tgi_offload_instance *oi = in->offload;
    const struct tgi_lane_range range =
        tgi_lanes_for(in->class_of ? in->class_of[task] == TGI_N_CLASSES - 1 : oi->urgency->is_critical[task]);
    uint32_t best = TG_NONE;
    for (uint32_t i = oi->first_pred[task]; i < oi->first_pred[task + 1]; i++) {
        struct tgi_stamp s = oi->tasks[oi->pred[i]].stamp;
        if (s.lane != TG_NONE && tgi_lane_device(s.lane) == device && tgi_lane_is_in(range, s.lane % TGI_LANES_EACH) &&
            tgi_order_is_tail(o->order, s))
            best = s.lane;
    }
    const struct device_lanes lanes = {o, device};
    return best != TG_NONE ? best : tgi_lane_of(device, tgi_lane_in_turn(range, &o->next_lane[device], is_idle, &lanes));
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

static int wait_for(struct tgi_offload *o, uint32_t lane, struct tgi_waits *waits, struct tg_error *err)
{
    return tgi_order_wait_all(o->order, lane, waits->stamps, waits->n, err);
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

/* Of a run that is recorded as a graph: what comes is the task's own work, or no longer. */
static void time_commands(struct tgi_offload *o, bool is_own)
{
    if (o->recording)
        tgi_recorder_set_step(o->recording->recorder, is_own ? o->recording->step : 0);
}

/* ---- Tasks --------------------------------------------------------------------------------*/

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
    t->is_enqueued = true;
    t->n_later = g->nodes[task + 1].succ - g->nodes[task].succ;
    l->tail = t->n_later ? t : NULL;
    l->n_unsealed++;
    in->run->offload->n_device_tasks[tgi_lane_device(stamp.lane)]++;
    if (t->is_last_writer)
        write_back(o, t, operands, n);
    tgi_offload_release_locks(o, t);
    if (!is_sink(in, task) || in->run->needs_serial || o->recording) {
        tgi_offload_complete(o, t);
        return;
    }
    struct tgi_watch w = {.kind = TGI_WATCH_TASK, .task = t};
    bool is_watched = tgi_offload_watch(o, stamp, &w);
    struct tg_error err;
    if (!is_watched && tgi_order_synchronize(o->order, stamp, &err)) /* no memory for a few words: wait here */
        tgi_offload_fail_task(o, t, &err);
    if (!is_watched || tgi_offload_is_main(in))
        tgi_offload_complete(o, t);
}

/* A part of a task that failed may be in the lane: it is waited for, and fences the memory it uses. */
static void leave_part(struct tgi_offload *o, struct tg_run *run, uint32_t lane, const struct tgi_operand *operands,
                       uint32_t n)
{
    tgi_order_append(o->order, lane);
    tgi_replicas_used(run->offload->replicas, operands, n, lane);
}

static uint32_t record_way(struct tgi_offload *o, const struct tgi_choices *choices, uint32_t class, uint32_t device)
{
    o->recording->calls_ns[device] += tgi_choices_call_ns(choices, class, device);
    return (o->recording->has_kernels ? tgi_choices_best_kernel : tgi_choices_best)(choices, class, device);
}

/* A task that is one command of one lane: kernel, fill, barrier. */
int tgi_offload_enqueue(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n,
                        struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t);
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    struct tgi_waits waits;
    uint32_t class = in->offload->classes[task], way = 0;
    enum tgi_timing timing = TGI_NOT_TIMED;
    if (class != TG_NONE)
        way = o->recording ? record_way(o, in->run->offload->choices, class, t->node - 1u)
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
        rc = tgi_offload_timed_event(o, in->run->offload, lane, &span.from, err);
    time_commands(o, true);
    if (rc == 0 && op->kind == TGI_OP_KERNEL)
        rc = launch(o, t, way, lane, operands, err);
    else if (rc == 0 && op->kind == TGI_OP_FILL && (rc = fill(o, t, lane, operands, err)))
        leave_part(o, in->run, lane, operands, n);
    time_commands(o, false);
    if (rc) {
        tgi_offload_return_event(o, lane, span.from);
        return rc;
    }
    struct tgi_stamp stamp = tgi_order_append(o->order, lane);
    t->stamp = stamp;
    if (has_times)
        tgi_offload_watch_span(o, &span, stamp);
    if (timing == TGI_TIMED_ALONE && hold_device(o, stamp, err))
        tgi_offload_fail_task(o, t, err);
    tgi_replicas_publish(in->run->offload->replicas, operands, n, stamp);
    enqueued(o, t, operands, n, stamp);
    return 0;
}

/* From wherever the source is valid. */
int tgi_offload_enqueue_copy(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands,
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

uint64_t tgi_offload_scratch_bytes(const struct tgi_offload *o, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_device_ops *ops = o->devices->ops;
    const struct tgi_buffer *b;
    uint64_t n_elems = tgi_word_elems(g->space, tgi_graph_word(g, task, 0), &b);
    return ops->collect_scratch ? ops->collect_scratch(tgi_graph_op(g, task), n_elems * tg_dtype_size(b->dtype)) : 0;
}

/* One tile per device, a compute lane each; afterwards every lane has come to the same point. */
int tgi_offload_enqueue_collective(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, uint32_t n,
                                   struct tg_error *err)
{
    struct tgi_instance *in = t->instance;
    uint32_t task = tgi_offload_id(t), *lanes = calloc(2 * (size_t)n, sizeof *lanes);
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    uint64_t *tiles = calloc(n, sizeof *tiles);
    const struct tgi_buffer *b;
    uint64_t n_elems = tgi_word_elems(in->graph->space, operands[0].word, &b);
    struct tgi_scratch scratch = {.bytes = tgi_offload_scratch_bytes(o, in->graph, task)};
    struct tgi_stamp ends[TGI_MAX_DEVICES];
    struct tgi_waits waits;
    int rc = lanes && tiles ? 0 : tgi_error_memory(err, "a collective");
    waits.n = 0;
    tgi_offload_wait_for_preds(o, t, &waits);
    if (rc == 0)
        rc = tgi_replicas_acquire_with(in->run->offload->replicas, operands, n, &scratch, &waits, err);
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
        rc = ds->ops->collect(ds, op, b->dtype, n_elems, n, tiles, scratch.bytes ? scratch.addresses : NULL, lanes, err);
    time_commands(o, false);
    /* Each rank has its tile once its own lane has come to here; the task is done where lane 0 knows all of them. */
    for (uint32_t i = n; is_ready && i-- > 0;) {
        struct tgi_stamp own = ends[i] = tgi_order_append(o->order, lanes[i]);
        o->lanes[lanes[i]].tail = NULL;
        tgi_replicas_used(in->run->offload->replicas, &operands[i], 1, lanes[i]);
        if (rc == 0)
            tgi_replicas_publish(in->run->offload->replicas, &operands[i], 1, own);
        if (rc == 0)
            rc = tgi_order_wait(o->order, lanes[0], own, err);
    }
    tgi_replicas_release(in->run->offload->replicas, operands, n, &scratch, is_ready ? ends : NULL);
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
