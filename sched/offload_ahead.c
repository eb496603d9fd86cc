/* Data that is sent ahead of its task.
 *
 * A task on a device is enqueued, copies and all, once its predecessors on devices are, but it has to wait for those on CPUs.
 * What else it reads would be copied only after that.  So while the submitter has nothing better to do it sends such tiles ahead, one copy at
 * a time to each device: what becomes ready meanwhile waits for one at most.
 *
 * Which version of a tile is a task's?  That of the last writer before it in program order; from when that has been enqueued, or from the
 * beginning where there is none, until the task itself is, as the next writer waits for it.  Writers on CPUs are left out: their
 * version counts as valid before they have written it.  So are tiles that are written in parts, in any order or by the tasks of bodies.
 * The copy is over before the task begins, and so before the next writer; therefore the task must not go elsewhere any more
 * (offload_balance.c).
 *
 * Memory that is free is used, nothing makes room, and to a device that had to evict nothing is sent ahead any more.  Nor is anything sent
 * for tasks that are far from their turn. */
#include "sched/offload.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

enum { WINDOW = 32 }; /* entries from the first whose task has not been enqueued */

#define UNKNOWN (TG_NONE - 1)

struct entry {
    uint32_t task, tile;
    uint32_t writer; /* TG_NONE: what is there when the run begins */
    bool is_over; /* sent, or nothing was to be sent */
};
struct tgi_offload_ahead {
    struct entry *entries; /* by task, in program order */
    uint32_t n, cap;
    uint32_t next; /* the first whose task has not been enqueued; n while no run is under way in streams */
};

/* ---- What may be sent ---------------------------------------------------------------------*/

/* Itself or by way of other devices'. */
static bool waits_for_cpu(const struct tgi_offload_instance *oi, uint32_t task, const uint8_t *waits)
{
    for (uint32_t i = oi->first_pred[task]; i < oi->first_pred[task + 1]; i++)
        if (oi->tasks[oi->pred[i]].node == TGI_HOST_NODE || waits[oi->pred[i]])
            return true;
    return false;
}

static bool add_inputs(struct tgi_offload_ahead *a, const struct tgi_instance *in, uint32_t task, const uint32_t *writer)
{
    const struct tg_graph *g = in->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    const struct tgi_offload_task *tasks = in->offload->tasks;
    uint32_t n = tgi_graph_n_words(g, task);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = g->args[g->nodes[task].args + i];
        bool is_read = op->params[i].access == TG_IN || op->params[i].access == TG_INOUT;
        if (!is_read || word == TGI_WORD_NULL || tgi_word_range(word))
            continue;
        uint32_t tile = tgi_word_tile(word), w = writer[tile];
        if (w == UNKNOWN || (w != TG_NONE && tasks[w].node == TGI_HOST_NODE))
            continue;
        if (!tgi_vec_reserve(&a->entries, &a->cap, (uint64_t)a->n + 1, sizeof *a->entries))
            return false;
        a->entries[a->n++] = (struct entry){task, tile, w, false};
    }
    return true;
}

static void note_writes(const struct tgi_instance *in, uint32_t task, uint32_t *writer)
{
    const struct tg_graph *g = in->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t n = tgi_graph_n_words(g, task);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t word = g->args[g->nodes[task].args + i];
        enum tg_access access = (enum tg_access)op->params[i].access;
        if (access == TG_SCALAR || access == TG_IN || word == TGI_WORD_NULL)
            continue;
        uint32_t tile = tgi_word_tile(word), n_tiles = 1;
        bool is_whole = tgi_word_range(word) == 0 && (access == TG_OUT || access == TG_INOUT) && op->kind < TGI_OP_REPEAT;
        if (tgi_word_range(word) == TGI_WORD_ALL)
            n_tiles = tgi_space_buffer_of(g->space, tile)->n_tiles;
        for (uint32_t k = 0; k < n_tiles; k++)
            writer[tile + k] = is_whole ? task : UNKNOWN;
    }
}

/* Where there is no memory for it nothing is sent ahead. */
static void list(struct tgi_offload_ahead *a, const struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    uint32_t *writer = malloc(((size_t)g->space->n_tiles + 1) * sizeof *writer);
    uint8_t *waits = calloc((size_t)g->n_tasks + 1, 1);
    bool ok = writer && waits;
    if (writer)
        memset(writer, 0xff, ((size_t)g->space->n_tiles + 1) * sizeof *writer);
    for (uint32_t t = 0; ok && t < g->n_tasks; t++) {
        waits[t] = waits_for_cpu(in->offload, t, waits);
        if (waits[t] && tgi_graph_op(g, t)->kind == TGI_OP_KERNEL && in->offload->tasks[t].node != TGI_HOST_NODE)
            ok = add_inputs(a, in, t, writer);
        note_writes(in, t, writer);
    }
    free(writer);
    free(waits);
}

void tgi_offload_ahead_begin(struct tg_run *run)
{
    struct tgi_offload_run *r = run->offload;
    struct tgi_offload_task *tasks = run->main->offload->tasks;
    if (!r->uses_host || r->policy)
        return;
    if (!r->ahead && (r->ahead = calloc(1, sizeof *r->ahead)))
        list(r->ahead, run->main); /* once: what is on CPUs stays there */
    if (!r->ahead)
        return;
    r->ahead->next = 0;
    for (uint32_t i = 0; i < r->ahead->n; i++) {
        struct entry *e = &r->ahead->entries[i];
        e->is_over = tasks[e->task].is_enqueued = tasks[e->task].has_data_ahead = false;
        if (e->writer != TG_NONE)
            tasks[e->writer].is_enqueued = false;
    }
}

void tgi_offload_ahead_end(struct tg_run *run)
{
    if (run->offload->ahead)
        run->offload->ahead->next = run->offload->ahead->n;
}

void tgi_offload_ahead_release(struct tgi_offload_run *r)
{
    if (r->ahead)
        free(r->ahead->entries);
    free(r->ahead);
    r->ahead = NULL;
}

/* ---- Sending ------------------------------------------------------------------------------*/

/* One entry; true if a copy was enqueued. */
static bool send(struct tgi_offload *o, struct tgi_offload_run *r, struct entry *e)
{
    struct tgi_offload_task *t = &r->run->main->offload->tasks[e->task];
    struct tgi_stamp stamp = TGI_STAMP_NONE;
    struct tg_error err;
    e->is_over = true;
    tgi_replicas_copies_for(r->replicas, e->task);
    if (tgi_replicas_send_ahead(r->replicas, e->tile, t->node - 1u, &stamp, &err)) {
        tgi_offload_fail_task(o, t, &err);
        return true;
    }
    if (stamp.lane == TG_NONE)
        return false;
    t->has_data_ahead = true;
    o->ahead[t->node - 1] = stamp;
    return true;
}

static bool send_of(struct tgi_offload *o, struct tgi_offload_run *r)
{
    const struct tgi_offload_task *tasks = r->run->main->offload->tasks;
    struct tgi_offload_ahead *a = r->ahead;
    while (a->next < a->n && tasks[a->entries[a->next].task].is_enqueued)
        a->next++;
    for (uint32_t i = a->next; i < a->n && i < a->next + WINDOW; i++) {
        struct entry *e = &a->entries[i];
        bool is_known = e->writer == TG_NONE || tasks[e->writer].is_enqueued;
        if (e->is_over || !is_known || tasks[e->task].is_enqueued)
            continue;
        if (!tgi_order_is_done(o->order, o->ahead[tasks[e->task].node - 1]))
            o->is_ahead_waiting = true;
        else if (send(o, r, e))
            return true;
    }
    return false;
}

bool tgi_offload_send_ahead(struct tgi_offload *o)
{
    bool any = false;
    o->is_ahead_waiting = false;
    for (struct tgi_offload_run *r = o->active; r && !o->is_dead; r = r->next)
        /* relaxed: a copy too many at worst. */
        if (r->ahead && atomic_load_explicit(&r->run->stop, memory_order_relaxed) == TGI_STOP_NO)
            any |= send_of(o, r);
    return any;
}
