/* A run written down: all of its tasks go through the submitter's code at once, in an order of their own, into a recorder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/recorder.h"
#include "sched/offload_graph.h"

/* Launches of a device side by side: as many as it executes at a time.  The driver's time for more grows with their square
 * (bench/cuda_graphs --what widths). */
enum { WIDTH = 128 };

/* ---- What can be recorded -----------------------------------------------------------------*/

static const char *what_forbids(const struct tg_graph *g, uint32_t task, uint32_t node)
{
    switch (tgi_graph_op(g, task)->kind) {
    case TGI_OP_REPEAT:
    case TGI_OP_WHILE:
    case TGI_OP_IF:
        return "the host decides about its rounds";
    default:
        return node == TGI_HOST_NODE ? "it runs on a CPU" : NULL;
    }
}

char *tgi_offload_obstacle(const struct tg_run *run)
{
    const struct tgi_offload *o = run->runtime->offload;
    const struct tgi_instance *in = run->main;
    const struct tg_graph *g = in->graph;
    char *text = NULL, scratch[16];
    if (!o->devices->ops->graph_create)
        return strdup("there are no graphs of such devices");
    if (run->offload->policy)
        return strdup("a policy decides while it runs");
    if (run->needs_serial)
        return strdup("tasks are executed one at a time");
    if (run->spans)
        return strdup("times of single tasks are wanted");
    if (run->has_deadlines)
        return strdup("a task has a time limit of its own");
    for (uint32_t t = 0; t < g->n_tasks && !text; t++) {
        const char *what = what_forbids(g, t, in->offload->tasks[t].node);
        if (what && asprintf(&text, "task \"%s\": %s", tgi_graph_task_name(g, t, scratch), what) < 0)
            text = NULL;
    }
    return text;
}

/* ---- Recording ----------------------------------------------------------------------------*/

/* Program order where edges follow it, which they do unless they were given; else a breadth-first order.  The same graph
 * gives the same one each time. */
static bool is_in_order(const struct tg_graph *g)
{
    for (uint32_t t = 0; t < g->n_tasks; t++)
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++)
            if (g->succ[i] < t)
                return false;
    return true;
}

static uint32_t *make_order(const struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    uint32_t *order = malloc(((size_t)g->n_tasks + 1) * sizeof *order), n = 0;
    uint32_t *left = calloc((size_t)g->n_tasks + 1, sizeof *left);
    bool is_simple = is_in_order(g);
    for (uint32_t t = 0; order && left && t < g->n_tasks; t++) {
        left[t] = in->offload->first_pred[t + 1] - in->offload->first_pred[t];
        if (is_simple || left[t] == 0)
            order[n++] = t;
    }
    for (uint32_t k = 0; order && left && !is_simple && k < n; k++)
        for (uint32_t i = g->nodes[order[k]].succ; i < g->nodes[order[k] + 1].succ; i++)
            if (--left[g->succ[i]] == 0)
                order[n++] = g->succ[i];
    if (!left) {
        free(order);
        order = NULL;
    }
    free(left);
    return order;
}

static void submit_all(struct tgi_offload *o, struct tgi_instance *in, const uint32_t *order)
{
    struct tgi_capture *rec = o->recording;
    struct tgi_waits ignored = {.n = 0};
    for (uint32_t i = 0; i < in->graph->n_tasks && rec->err.status == 0; i++)
        tgi_offload_submit(o, &in->offload->tasks[order[i]]);
    rec->task = rec->err.status ? rec->task : NULL;
    tgi_recorder_set_owner(rec->recorder, UINT64_MAX, 0);
    /* What is due in the program's own memory when the run ends. */
    if (rec->err.status == 0)
        tgi_replicas_to_host(in->run->offload->replicas, TG_NONE, TG_NONE, &ignored, &rec->err);
    if (rec->err.status == 0)
        tgi_recorder_finish(rec->recorder, &rec->err);
}

/* While it lasts, the submitter's order is the recording's. */
static int record_with(struct tg_run *run, struct tgi_capture *rec, struct tgi_captured *p, const uint32_t *order,
                       struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    struct tgi_order *live = o->order, *recorded;
    int rc = tgi_order_create_recording(rec->recorder, &recorded, err);
    if (rc)
        return rc;
    rc = tgi_replicas_record(r->replicas, tgi_recorder_devices(rec->recorder), recorded, err);
    if (rc == 0) {
        rc = tgi_replicas_save(r->replicas, &p->before, err);
        o->order = recorded;
        o->recording = rec;
        if (rc == 0)
            submit_all(o, run->main, order);
        o->order = live;
        o->recording = NULL;
        tgi_replicas_record_end(r->replicas);
        if (rc == 0 && rec->err.status) {
            *err = rec->err;
            rc = err->status;
        }
        if (rc == 0)
            rc = tgi_replicas_save(r->replicas, &p->after, err);
        if (p->before)
            tgi_replicas_forget(r->replicas, p->before);
    }
    for (uint32_t i = 0; i < o->devices->n_lanes; i++)
        o->lanes[i].tail = NULL; /* tasks that are in no lane */
    tgi_order_destroy(recorded);
    return rc;
}

int tgi_offload_record(struct tg_run *run, struct tgi_captured *p, struct tgi_offload_task **at_p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_capture rec = {0};
    struct tgi_program program = {0};
    uint32_t *order = make_order(run->main);
    int rc = order ? tgi_recorder_create(o->devices, &program, &rec.recorder, err) : tgi_error_memory(err, "recording a run");
    if (rc == 0)
        rc = record_with(run, &rec, p, order, err);
    if (rc == 0)
        rc = tgi_program_narrow(&program, WIDTH, &p->program, err);
    memcpy(p->n_device_tasks, run->offload->n_device_tasks, sizeof p->n_device_tasks);
    *at_p = rec.task;
    tgi_recorder_destroy(rec.recorder);
    tgi_program_fini(&program);
    free(order);
    return rc;
}

int tgi_offload_record_named(struct tg_run *run, struct tgi_captured *p, struct tg_error *err)
{
    struct tgi_offload_task *task = NULL;
    char scratch[16];
    struct tg_error why;
    int rc = tgi_offload_record(run, p, &task, &why);
    if (rc == TG_E_NO_MEMORY && !task)
        return tgi_error(err, TG_E_NO_MEMORY, "recording the run: %.400s", why.text);
    if (rc == TG_E_NO_MEMORY)
        return tgi_error(err, TG_E_UNSUPPORTED, "it cannot be a graph: memory is too short for all of the run at once");
    if (rc && task)
        return tgi_error(err, rc, "task \"%s\" cannot be in a graph: %.400s",
                         tgi_graph_task_name(run->graph, tgi_offload_id(task), scratch), why.text);
    return rc ? tgi_error(err, rc, "it cannot be a graph: %.400s", why.text) : 0;
}

void tgi_captured_fini(struct tgi_captured *p)
{
    tgi_program_fini(&p->program);
    tgi_replica_snapshot_destroy(p->before);
    tgi_replica_snapshot_destroy(p->after);
    memset(p, 0, sizeof *p);
}
