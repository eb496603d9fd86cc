/* What becomes of a task that is ready: it is skipped, given to a device, or prepared for a worker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/offload_policy.h"
#include "sched/offload_task.h"
#include "sched/placement.h"

/* ---- Ends of tasks ------------------------------------------------------------------------*/

/* The task will not run, or has failed before it could. */
static void drop(struct tgi_offload *o, struct tgi_offload_task *t)
{
    t->stamp = TGI_STAMP_NONE;
    tgi_offload_release_locks(o, t);
    tgi_offload_complete(o, t);
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
uint32_t tgi_offload_n_operands(const struct tgi_op *op)
{
    if (!is_control(op))
        return op->n_params;
    return op->kind == TGI_OP_REPEAT ? 0 : 1;
}

uint32_t tgi_offload_make_operands(const struct tgi_instance *in, uint32_t task, uint32_t node, struct tgi_operand *operands)
{
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    uint32_t n = tgi_offload_n_operands(op), n_words = tgi_graph_n_words(in->graph, task);
    const uint64_t *words = in->graph->args + in->nodes[task].args;
    bool reads_alone = is_control(op);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = i < n_words ? words[i] : tgi_graph_word(in->graph, task, i);
        operands[i] = (struct tgi_operand){word, reads_alone ? TG_IN : op->params[i].access, node, 0};
    }
    return n;
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
    uint32_t task = tgi_offload_id(t), n = tgi_offload_make_operands(t->instance, task, t->node, operands);
    const struct tgi_op *op = tgi_graph_op(t->instance->graph, task);
    tgi_replicas_copies_for(t->instance->run->offload->replicas, owner_of(o, t));
    if (o->recording)
        tgi_recorder_set_owner(o->recording->recorder, tgi_offload_owner(t), n);
    if (t->node == TGI_HOST_NODE)
        return prepare_cpu(o, t, operands, n, err);
    switch (op->kind) {
    case TGI_OP_COPY:
        return tgi_offload_enqueue_copy(o, t, operands, err);
    case TGI_OP_COLLECTIVE:
        tgi_placement_ranks(t->instance->run->offload->placement, operands, n);
        return tgi_offload_enqueue_collective(o, t, operands, n, err);
    default:
        return tgi_offload_enqueue(o, t, operands, n, err);
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

static int dispatch_timed(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_operand *operands, struct tg_error *err)
{
    struct tgi_offload_run *run = t->instance->run->offload;
    struct tgi_run_enqueuing *e = &run->enqueuing[t->instance->nodes[tgi_offload_id(t)].op & TGI_NODE_OP];
    uint64_t begin = tgi_now_ns(), timing_ns = run->timing_ns, n_copies = tgi_replicas_n_copies(run->replicas);
    int rc = dispatch_named(o, t, operands, err);
    uint64_t marking_ns = run->timing_ns - timing_ns, ns = tgi_now_ns() - begin - marking_ns;
    n_copies = tgi_replicas_n_copies(run->replicas) - n_copies;
    e->n_tasks++;
    e->ns += ns;
    if (n_copies) {
        e->n_moving++;
        e->moving_ns += ns;
        e->n_copies += n_copies;
    }
    run->marking_ns += marking_ns;
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
    uint32_t n = tgi_offload_n_operands(tgi_graph_op(in->graph, task));
    if (n > TG_MAX_PARAMS && !(operands = malloc(n * sizeof *operands))) {
        tgi_error_memory(&err, "submitting a task");
        tgi_offload_fail_task(o, t, &err);
        drop(o, t);
        return;
    }
    if (in->spans && !o->recording ? dispatch_timed(o, t, operands, &err) : dispatch_named(o, t, operands, &err)) {
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
    uint32_t n = tgi_offload_make_operands(parent, body->parent_task, TGI_HOST_NODE, &operand);
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
        tgi_offload_take_span(o, w);
        break;
    case TGI_WATCH_TIME:
        tgi_offload_take_time(o, w);
        break;
    case TGI_WATCH_TASK:
        if (o->is_dead)
            tgi_offload_fail_task(o, w->task, &o->lost);
        if (!tgi_offload_is_main(w->task->instance))
            tgi_offload_complete(o, w->task);
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
