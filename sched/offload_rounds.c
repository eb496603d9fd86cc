/* Control tasks of a run that is recorded.
 *
 * Rounds whose number is known are written out if they are few: each comes after the last commands of the one before, as it would
 * in streams.  Otherwise a device decides, in a command that has the body as a program of its own.  Such a body may be
 * executed any number of times, or never, so that data has to be where it is before it and after it: all that the body touches is
 * made valid on its device first, and what it writes is valid there alone from then on, whether it has been written or
 * not.  That leaves a body nothing to copy, and the next round begins where the first one did.
 *
 * Drivers have rules for such bodies: nothing of the host's, no memory but one device's, kernels of one device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/recorder.h"
#include "sched/offload_graph.h"
#include "sched/placement.h"

/* Commands that rounds written out may become: what making the graph takes grows with them. */
enum { MOST = 20000 };

/* ---- What can be recorded -----------------------------------------------------------------*/

static bool is_control(const struct tgi_op *op) { return op->kind >= TGI_OP_REPEAT; }

static uint64_t size_of(const struct tg_graph *g);

/* Commands of a control task, roughly. */
static uint64_t measure(const struct tgi_op *op, bool *is_written_out_p)
{
    uint64_t n = size_of(op->body) + size_of(op->body_else);
    *is_written_out_p = op->kind == TGI_OP_REPEAT && (op->count == 0 || n <= MOST / op->count);
    return *is_written_out_p ? n * op->count : n + 1;
}

static uint64_t size_of(const struct tg_graph *g)
{
    uint64_t n = g ? g->n_tasks : 0;
    bool ignored;
    for (uint32_t t = 0; g && t < g->n_tasks; t++)
        if (is_control(tgi_graph_op(g, t)))
            n += measure(tgi_graph_op(g, t), &ignored);
    return n;
}

static bool is_written_out(const struct tgi_op *op)
{
    bool answer;
    measure(op, &answer);
    return answer;
}

/* What forbids a task that is no control task.  node: where the tasks of a body are that a device decides about, the host: not
 * known yet; NULL: it is in no such body. */
static const char *forbids(const struct tgi_device_ops *ops, const struct tg_graph *g, uint32_t task, uint32_t where, uint32_t *node)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    if (attr && attr->timeout_ms)
        return "it has a time limit of its own";
    if (op->kind == TGI_OP_BARRIER)
        return NULL;
    if (where == TGI_HOST_NODE)
        return "it runs on a CPU";
    if (op->kind == TGI_OP_COLLECTIVE && ops->collect_scratch && ops->collect_scratch(op, 1))
        return "this collective needs memory beside its tiles, which is not kept from one replay to the next";
    if (!node)
        return NULL;
    if (op->kind == TGI_OP_COLLECTIVE)
        return "a collective cannot be in rounds that a device decides about";
    if (*node == TGI_HOST_NODE)
        *node = where;
    return *node == where ? NULL : "it is on another device than the rest of its rounds, which a device decides about";
}

/* Whether a control task has rounds that a device would decide about. */
static bool is_decided(const struct tgi_op *op)
{
    bool is_empty = op->body->n_tasks == 0 && !(op->body_else && op->body_else->n_tasks);
    return !is_empty && !(op->kind == TGI_OP_WHILE && op->count == 0) && !is_written_out(op);
}

/* The first obstacle in a graph and its bodies, for the caller to free; NULL: there is none. */
static char *look(const struct tg_run *run, const struct tg_graph *g, uint32_t *node)
{
    const uint8_t *places, *via;
    char *text = NULL, scratch[16];
    if (!g)
        return NULL;
    tgi_placement_of(run->offload->placement, g, &places, &via);
    for (uint32_t t = 0; t < g->n_tasks && !text; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        uint32_t own = TGI_HOST_NODE, *inner = node || is_written_out(op) ? node : &own;
        if (is_control(op)) {
            if (run->spans && is_decided(op) &&
                asprintf(&text, "task \"%s\": a device decides about its rounds, and times of single tasks are wanted",
                         tgi_graph_task_name(g, t, scratch)) >= 0)
                continue;
            text = look(run, op->body, inner);
            if (!text)
                text = look(run, op->body_else, inner);
            continue;
        }
        const char *what = forbids(run->runtime->offload->devices->ops, g, t, places[t], node);
        if (what && asprintf(&text, "task \"%s\": %s", tgi_graph_task_name(g, t, scratch), what) < 0)
            text = NULL;
    }
    return text;
}

char *tgi_offload_forbidden(const struct tg_run *run) { return look(run, run->graph, NULL); }

/* The device of a body that may be decided about. */
static uint32_t node_of(const struct tg_run *run, const struct tgi_op *op)
{
    uint32_t node = TGI_HOST_NODE;
    char *none = look(run, op->body, &node);
    free(none);
    none = look(run, op->body_else, &node);
    free(none);
    return node == TGI_HOST_NODE ? 1 : node; /* only points: anywhere */
}

/* ---- Owners -------------------------------------------------------------------------------*/

uint64_t tgi_offload_owner(const struct tgi_offload_task *t)
{
    const struct tgi_instance *in = t->instance;
    uint64_t part = 0;
    if (in->parent) {
        uint32_t id = in->parent->nodes[in->parent_task].op & TGI_NODE_OP;
        part = 1 + 2 * (uint64_t)id + (in->graph->space->ops[id].body_else == in->graph);
    }
    return part << 32 | tgi_offload_id(t);
}

struct tgi_offload_task *tgi_offload_owned(const struct tg_run *run, uint64_t owner)
{
    uint64_t part = owner >> 32;
    if (owner == UINT64_MAX)
        return NULL;
    struct tgi_instance *in = part ? run->bodies[(part - 1) / 2][(part - 1) % 2] : run->main;
    return &in->offload->tasks[(uint32_t)owner];
}

/* ---- Recording ----------------------------------------------------------------------------*/

/* The most urgent of what could come next, each time: commands that are put into one chain, because they share something or a
 * device executes no more side by side, then stand in the order in which a list scheduler would begin them. */
static uint32_t *make_order(const struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    struct tgi_offload_instance *oi = in->offload;
    uint32_t *order = malloc(((size_t)g->n_tasks + 1) * sizeof *order), n = 0;
    uint32_t *left = malloc(((size_t)g->n_tasks + 1) * sizeof *left);
    struct tgi_ready ready = {0};
    struct tgi_offload_task *task;
    bool ok = order && left;
    for (uint32_t t = 0; ok && t < g->n_tasks; t++) {
        left[t] = oi->first_pred[t + 1] - oi->first_pred[t];
        ok = left[t] || tgi_ready_push(&ready, tgi_offload_urgency(in, t), &oi->tasks[t]);
    }
    while (ok && (task = tgi_ready_pop(&ready))) {
        uint32_t t = order[n++] = tgi_offload_id(task);
        for (uint32_t i = g->nodes[t].succ; ok && i < g->nodes[t + 1].succ; i++)
            ok = --left[g->succ[i]] || tgi_ready_push(&ready, tgi_offload_urgency(in, g->succ[i]), &oi->tasks[g->succ[i]]);
    }
    tgi_ready_fini(&ready);
    free(left);
    if (ok)
        return order;
    free(order);
    return NULL;
}

/* One stamp for several. */
static int join(struct tgi_offload *o, struct tgi_waits *waits, struct tgi_stamp *stamp_p, struct tg_error *err)
{
    uint32_t lane = tgi_lane_of(0, 0);
    int rc = tgi_order_wait_all(o->order, lane, waits->stamps, waits->n, err);
    if (rc == 0)
        *stamp_p = tgi_order_append(o->order, lane);
    return rc;
}

/* All tasks of a body, after the gate; *stamp_p: the end of all of them. */
static int record_round(struct tgi_offload *o, struct tgi_instance *body, uint64_t number, struct tgi_stamp gate,
                        struct tgi_stamp *stamp_p, struct tg_error *err)
{
    const struct tg_graph *g = body->graph;
    struct tgi_capture *rec = o->recording;
    struct tgi_waits waits = {.n = 0};
    uint32_t outer = rec->round;
    if (rec->times && !(rec->round = tgi_replay_times_begin_round(rec->times, body, outer, number)))
        return tgi_error_memory(err, "recording a run");
    body->offload->gate = gate;
    int rc = tgi_offload_record_tasks(o, body, err);
    body->offload->gate = TGI_STAMP_NONE;
    rec->round = outer;
    if (rc)
        return rc;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        if (g->nodes[t].succ == g->nodes[t + 1].succ)
            tgi_waits_add(o->order, &waits, body->offload->tasks[t].stamp);
    return join(o, &waits, stamp_p, err);
}

static int record_rounds(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_waits *waits, struct tgi_stamp *stamp_p,
                         struct tg_error *err)
{
    const struct tgi_op *op = tgi_graph_op(t->instance->graph, tgi_offload_id(t));
    uint64_t n_rounds = op->body->n_tasks ? op->count : 0;
    struct tgi_instance *body = NULL;
    int rc = n_rounds ? tgi_control_body(t->instance, tgi_offload_id(t), 0, &body, err) : 0;
    if (rc == 0)
        rc = join(o, waits, stamp_p, err);
    for (uint64_t i = 0; rc == 0 && i < n_rounds; i++)
        rc = record_round(o, body, i, *stamp_p, stamp_p, err);
    return rc;
}

/* ---- What a device decides about ----------------------------------------------------------*/

enum { TOUCHED = 1, WRITTEN = 2 };

static void touch(const struct tgi_space *space, uint64_t word, enum tg_access access, uint8_t *marks)
{
    uint32_t tile = tgi_word_tile(word), n = 1;
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tile);
    if (tgi_word_range(word) == TGI_WORD_ALL) {
        tile = b->first_tile;
        n = b->n_tiles;
    }
    for (uint32_t i = tile; i < tile + n; i++)
        if (!b->present || b->present[i - b->first_tile])
            marks[i] |= access == TG_IN ? TOUCHED : TOUCHED | WRITTEN;
}

/* The tiles that a control task's bodies touch, all to be read on `node`, and after them the one that decides, if any. */
static int list_tiles(const struct tgi_offload_task *t, uint32_t node, uint8_t *marks, struct tgi_operand **operands_p,
                      uint32_t *n_p, struct tg_error *err)
{
    const struct tg_graph *g = t->instance->graph;
    const struct tgi_op *op = tgi_graph_op(g, tgi_offload_id(t));
    uint32_t n_words = tgi_graph_n_words(g, tgi_offload_id(t)), n = 0, k = 0;
    for (uint32_t i = 0; i < n_words; i++) {
        uint64_t word = tgi_graph_word(g, tgi_offload_id(t), i);
        if (op->params[i].access != TG_SCALAR && word != TGI_WORD_NULL)
            touch(g->space, word, op->params[i].access, marks);
    }
    for (uint32_t i = 0; i < g->space->n_tiles; i++)
        n += marks[i] != 0;
    struct tgi_operand *operands = malloc(((size_t)n + 1) * sizeof *operands);
    if (!operands)
        return tgi_error_memory(err, "recording a run");
    for (uint32_t i = 0; i < g->space->n_tiles; i++)
        if (marks[i])
            operands[k++] = (struct tgi_operand){i, TG_IN, node, 0};
    operands[n] = (struct tgi_operand){tgi_graph_word(g, tgi_offload_id(t), 0), TG_IN, node, 0};
    *operands_p = operands;
    *n_p = n;
    return 0;
}

static int record_body(struct tgi_offload *o, struct tgi_offload_task *t, uint32_t device, uint32_t which, struct tgi_command *c,
                       struct tg_error *err)
{
    const struct tgi_op *op = tgi_graph_op(t->instance->graph, tgi_offload_id(t));
    const struct tg_graph *g = which ? op->body_else : op->body;
    struct tgi_instance *body;
    if (!g || g->n_tasks == 0)
        return 0;
    int rc = tgi_control_body(t->instance, tgi_offload_id(t), which, &body, err);
    if (rc == 0)
        rc = tgi_recorder_begin_body(o->recording->recorder, err);
    if (rc)
        return rc;
    struct tgi_capture *rec = o->recording;
    uint64_t n_tasks = rec->n_tasks, n_device_tasks[TGI_MAX_DEVICES], *counts = t->instance->run->offload->n_device_tasks;
    memcpy(n_device_tasks, counts, sizeof n_device_tasks);
    rc = tgi_offload_record_tasks(o, body, err);
    tgi_recorder_end_body(rec->recorder, which ? &c->decide.body_else : &c->decide.body);
    /* They count as often as they are executed, which is known afterwards. */
    c->decide.n_tasks[which] = rec->n_tasks - n_tasks;
    c->decide.n_device_tasks[which] = counts[device] - n_device_tasks[device];
    rec->n_tasks = n_tasks;
    memcpy(counts, n_device_tasks, sizeof n_device_tasks);
    return rc;
}

static int record_bodies(struct tgi_offload *o, struct tgi_offload_task *t, uint32_t device, struct tgi_command *c,
                         struct tg_error *err)
{
    int rc = record_body(o, t, device, 0, c, err);
    if (rc == 0)
        rc = record_body(o, t, device, 1, c, err);
    if (rc) {
        tgi_program_destroy(c->decide.body);
        tgi_program_destroy(c->decide.body_else);
    }
    return rc;
}

static int decide(struct tgi_offload *o, struct tgi_offload_task *t, uint32_t node, const struct tgi_operand *condition,
                  struct tgi_waits *waits, struct tg_error *err)
{
    const struct tg_graph *g = t->instance->graph;
    const struct tgi_op *op = tgi_graph_op(g, tgi_offload_id(t));
    struct tgi_command c = {.kind = TGI_COMMAND_DECIDE};
    uint32_t lane = tgi_lane_of(node - 1, 0);
    if (op->kind != TGI_OP_REPEAT) {
        c.decide.tile = condition->address;
        c.decide.tile_bytes = (uint32_t)tg_dtype_size(tgi_space_buffer_of(g->space, tgi_word_tile(condition->word))->dtype);
    }
    if (op->kind != TGI_OP_IF)
        c.decide.n_rounds = op->count;
    int rc = record_bodies(o, t, node - 1, &c, err);
    if (rc)
        return rc;
    tgi_recorder_set_owner(o->recording->recorder, tgi_offload_owner(t), 0);
    rc = tgi_order_wait_all(o->order, lane, waits->stamps, waits->n, err);
    if (rc) {
        tgi_program_destroy(c.decide.body);
        tgi_program_destroy(c.decide.body_else);
        return rc;
    }
    return tgi_recorder_decide(o->recording->recorder, lane, &c, err);
}

static int record_decision(struct tgi_offload *o, struct tgi_offload_task *t, struct tgi_waits *waits, struct tgi_stamp *stamp_p,
                           struct tg_error *err)
{
    const struct tg_graph *g = t->instance->graph;
    struct tgi_replicas *r = t->instance->run->offload->replicas;
    const struct tgi_op *op = tgi_graph_op(g, tgi_offload_id(t));
    uint32_t n = 0, node = node_of(t->instance->run, op), n_wanted;
    uint8_t *marks = calloc((size_t)g->space->n_tiles + 1, 1);
    struct tgi_operand *operands = NULL;
    int rc = marks ? list_tiles(t, node, marks, &operands, &n, err) : tgi_error_memory(err, "recording a run");
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        tgi_replicas_define(r, tgi_word_tile(operands[i].word));
    n_wanted = op->kind == TGI_OP_REPEAT ? n : n + 1;
    if (rc == 0)
        rc = tgi_replicas_acquire(r, operands, n_wanted, waits, err);
    if (rc == 0)
        rc = decide(o, t, node, &operands[n], waits, err);
    if (rc == 0) {
        *stamp_p = tgi_order_append(o->order, tgi_lane_of(node - 1, 0));
        for (uint32_t i = 0; i < n; i++)
            operands[i].access = marks[tgi_word_tile(operands[i].word)] & WRITTEN ? TG_INOUT : TG_IN;
        tgi_replicas_publish(r, operands, n_wanted, *stamp_p);
    }
    free(operands);
    free(marks);
    return rc;
}

/* ---- Tasks --------------------------------------------------------------------------------*/

/* A control task, or a point that nobody executes. */
static int record_here(struct tgi_offload *o, struct tgi_offload_task *t, struct tg_error *err)
{
    const struct tg_graph *g = t->instance->graph;
    const struct tgi_op *op = tgi_graph_op(g, tgi_offload_id(t));
    struct tgi_waits waits = {.n = 0};
    int rc;
    tgi_offload_wait_for_preds(o, t, &waits);
    tgi_recorder_set_owner(o->recording->recorder, tgi_offload_owner(t), 0);
    if (is_control(op) && is_decided(op))
        rc = record_decision(o, t, &waits, &t->stamp, err);
    else if (op->kind == TGI_OP_REPEAT)
        rc = record_rounds(o, t, &waits, &t->stamp, err);
    else
        rc = join(o, &waits, &t->stamp, err);
    t->n_later = g->nodes[tgi_offload_id(t) + 1].succ - g->nodes[tgi_offload_id(t)].succ;
    return rc;
}

/* Its step in what is timed; without memory the task fails. */
static bool keep_step(struct tgi_offload *o, struct tgi_offload_task *t)
{
    struct tgi_capture *rec = o->recording;
    struct tg_error err;
    rec->step = rec->times ? tgi_replay_times_add(rec->times, t->instance, tgi_offload_id(t), rec->round) : 0;
    if (!rec->times || rec->step)
        return true;
    tgi_error_memory(&err, "recording a run");
    tgi_offload_fail_task(o, t, &err);
    return false;
}

static void record_task(struct tgi_offload *o, struct tgi_offload_task *t)
{
    const struct tgi_op *op = tgi_graph_op(t->instance->graph, tgi_offload_id(t));
    struct tg_error err;
    o->recording->n_tasks++;
    if (!is_control(op) && !(op->kind == TGI_OP_BARRIER && t->node == TGI_HOST_NODE)) {
        if (keep_step(o, t))
            tgi_offload_submit(o, t);
        return;
    }
    int rc = record_here(o, t, &err);
    if (rc && o->recording->err.status == 0) /* else a task of its body has said more */
        tgi_offload_fail_task(o, t, &err);
    if (rc == 0)
        keep_step(o, t); /* after its rounds */
}

int tgi_offload_record_tasks(struct tgi_offload *o, struct tgi_instance *in, struct tg_error *err)
{
    struct tgi_capture *rec = o->recording;
    uint32_t *order = make_order(in);
    if (!order)
        return tgi_error_memory(err, "recording a run");
    for (uint32_t i = 0; i < in->graph->n_tasks && rec->err.status == 0; i++)
        record_task(o, &in->offload->tasks[order[i]]);
    free(order);
    if (rec->err.status && err)
        *err = rec->err;
    return rec->err.status;
}
