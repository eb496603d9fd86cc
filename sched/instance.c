/* What changes while a graph is executed: made once, started often. */
#include <stdlib.h>
#include <string.h>

#include "graph/block.h"
#include "graph/error.h"
#include "graph/gate.h"
#include "sched/agenda.h"
#include "sched/offload.h"

/* Beyond this many roots a source hands them out; fewer go straight to the worker's deque. */
enum { MAX_PUSHED_ROOTS = 64 };

int tgi_slot_take(struct tg_runtime *rt, struct tgi_instance *in, struct tg_error *err)
{
    pthread_mutex_lock(&rt->lock);
    uint32_t n = rt->n_free_slots;
    if (n) {
        in->slot = rt->free_slots[--rt->n_free_slots];
        /* relaxed: published with the first item that names the slot. */
        atomic_store_explicit(&rt->instances[in->slot], in, memory_order_relaxed);
    }
    pthread_mutex_unlock(&rt->lock);
    return n ? 0 : tgi_error(err, TG_E_LIMIT, "more than %u graphs and bodies in use at a time", TGI_MAX_INSTANCES);
}

void tgi_slot_give(struct tg_runtime *rt, struct tgi_instance *in)
{
    pthread_mutex_lock(&rt->lock);
    atomic_store_explicit(&rt->instances[in->slot], NULL, memory_order_relaxed);
    rt->free_slots[rt->n_free_slots++] = in->slot;
    pthread_mutex_unlock(&rt->lock);
}

/* ---- Wide joins ---------------------------------------------------------------------------*/

static uint32_t count_wide(const struct tgi_instance *in)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < in->n_nodes; t++)
        n += in->nodes[t].n_preds >= TGI_WIDE_PREDS;
    return n;
}

struct tgi_wide *tgi_instance_wide(struct tgi_instance *in, uint32_t task)
{
    uint32_t low = 0, high = in->n_wides;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (in->wides[middle].task <= task)
            low = middle;
        else
            high = middle;
    }
    return &in->wides[low];
}

static bool wide_make_leaves(struct tgi_wide *wide, uint32_t last_pred)
{
    uint32_t span = last_pred - wide->first_pred + 1;
    wide->shift = 0;
    while (span >> wide->shift > span / TGI_WIDE_LEAF + 1)
        wide->shift++;
    uint32_t n = (span - 1) >> wide->shift;
    wide->leaves = aligned_alloc(64, ((size_t)n + 1) * sizeof *wide->leaves);
    if (wide->leaves)
        memset(wide->leaves, 0, ((size_t)n + 1) * sizeof *wide->leaves);
    return wide->leaves != NULL;
}

static bool make_wides(struct tgi_instance *in)
{
    uint32_t n_wide = count_wide(in), *last = NULL;
    if (!n_wide)
        return true;
    in->wides = calloc(n_wide, sizeof *in->wides);
    last = calloc(n_wide, sizeof *last);
    if (!in->wides || !last) {
        free(last);
        return false;
    }
    for (uint32_t t = 0; t < in->n_nodes; t++)
        if (in->nodes[t].n_preds >= TGI_WIDE_PREDS) {
            in->wides[in->n_wides].task = t;
            in->wides[in->n_wides++].first_pred = TG_NONE;
        }
    /* Two passes over all edges: the range of predecessors, then their number in each leaf. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t p = 0; p < in->n_tasks; p++)
            for (uint32_t i = in->nodes[p].succ; i < in->nodes[p + 1].succ; i++) {
                uint32_t s = in->succ[i];
                struct tgi_wide *wide = in->nodes[s].n_preds >= TGI_WIDE_PREDS ? tgi_instance_wide(in, s) : NULL;
                if (!wide)
                    continue;
                if (pass == 0) {
                    wide->first_pred = p < wide->first_pred ? p : wide->first_pred;
                    last[wide - in->wides] = p;
                } else if (wide->leaves[(p - wide->first_pred) >> wide->shift].full++ == 0) {
                    wide->n_leaves++;
                }
            }
        for (uint32_t i = 0; pass == 0 && i < in->n_wides; i++)
            if (!wide_make_leaves(&in->wides[i], last[i])) {
                free(last);
                return false;
            }
    }
    for (uint32_t i = 0; i < in->n_wides; i++)
        for (uint32_t leaf = 0; leaf <= (last[i] - in->wides[i].first_pred) >> in->wides[i].shift; leaf++)
            atomic_init(&in->wides[i].leaves[leaf].left, in->wides[i].leaves[leaf].full);
    free(last);
    return true;
}

/* ---- Instances ----------------------------------------------------------------------------*/

static bool make_roots(struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    in->n_roots = g->n_roots;
    if (g->n_roots == g->n_tasks && !g->class_of)
        return true;
    in->roots = tgi_block_alloc((size_t)g->n_roots * sizeof *in->roots);
    if (!in->roots)
        return false;
    uint32_t n = 0;
    /* Most urgent first. */
    for (uint32_t c = g->class_of ? TGI_N_CLASSES : 1; c-- > 0;)
        for (uint32_t t = 0; t < g->n_tasks; t++)
            if (g->nodes[t].n_preds == 0 && (g->class_of ? g->class_of[t] : 0) == c)
                in->roots[n++] = t;
    return true;
}

static bool make_counters(struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    in->left = tgi_block_alloc(((size_t)in->n_nodes + 1) * sizeof *in->left);
    in->marks = tgi_block_alloc_zeroed((size_t)g->n_tasks + 1, sizeof *in->marks);
    if (!in->left || !in->marks)
        return false;
    for (uint32_t t = 0; t < in->n_nodes; t++)
        atomic_init(&in->left[t], in->nodes[t].n_preds);
    for (uint32_t i = 0; i < in->n_wides; i++)
        atomic_init(&in->left[in->wides[i].task], in->wides[i].n_leaves);
    return true;
}

static bool has_deadlines(const struct tg_graph *g)
{
    for (uint32_t i = 0; i < g->n_attrs; i++)
        if (g->attrs[i].timeout_ms)
            return true;
    return false;
}

int tgi_instance_create(struct tg_run *run, const struct tg_graph *g, struct tgi_instance **instance_p,
                        struct tg_error *err)
{
    struct tgi_instance *in = aligned_alloc(64, sizeof *in);
    if (!in)
        return tgi_error_memory(err, "preparing a graph");
    memset(in, 0, sizeof *in);
    in->graph = g;
    in->n_tasks = g->n_tasks;
    in->class_of = g->class_of;
    in->n_nodes = g->n_tasks + (g->gated ? g->gated->n_gates : 0);
    in->nodes = g->gated ? g->gated->nodes : g->nodes;
    in->succ = g->gated ? g->gated->succ : g->succ;
    in->run = run;
    in->n_units = g->n_sinks;
    in->slot = TG_NONE;
    if (!make_wides(in) || !make_roots(in) || !make_counters(in) || !tgi_locks_create(in)) {
        tgi_instance_destroy(in);
        return tgi_error_memory(err, "preparing a graph");
    }
    int rc = tgi_offload_instance_prepare(in, err);
    if (rc == 0)
        rc = tgi_slot_take(run->runtime, in, err);
    if (rc) {
        tgi_instance_destroy(in);
        return rc;
    }
    if (has_deadlines(g) && !run->has_deadlines) {
        rc = tgi_watchdog_need(run->runtime, err);
        if (rc) {
            tgi_instance_destroy(in);
            return rc;
        }
    }
    *instance_p = in;
    return 0;
}

void tgi_instance_destroy(struct tgi_instance *in)
{
    if (!in)
        return;
    if (in->slot != TG_NONE)
        tgi_slot_give(in->run->runtime, in);
    tgi_locks_destroy(in);
    tgi_offload_instance_release(in);
    for (uint32_t i = 0; i < in->n_wides; i++) {
        free(in->wides[i].leaves);
    }
    free(in->wides);
    tgi_block_free(in->roots);
    tgi_block_free((void *)in->left);
    tgi_block_free((void *)in->marks);
    free(in);
}

/* ---- Starting and finishing ---------------------------------------------------------------*/

/* Gives the instance a source of its own; false: all are in use. */
static bool source_fill_locked(struct tg_runtime *rt, struct tgi_instance *in)
{
    for (uint32_t i = 0; i < TGI_N_SOURCES; i++) {
        struct tgi_source *s = &rt->sources[i];
        /* Only holders of the lock make it nonzero.  seq_cst: see source_wait_locked(). */
        uint64_t word = atomic_load_explicit(&s->word, memory_order_seq_cst);
        if ((uint32_t)word)
            continue;
        atomic_fetch_add_explicit(&rt->n_sources, 1, memory_order_relaxed);
        atomic_store_explicit(&s->instance, in, memory_order_relaxed);
        /* release: who claims a root sees the instance and its counters. */
        atomic_store_explicit(&s->word, ((word >> 32) + 1) << 32 | in->n_roots, memory_order_release);
        return true;
    }
    return false;
}

static void sources_serve_locked(struct tg_runtime *rt)
{
    while (rt->first_waiting) {
        struct tgi_instance *next = rt->first_waiting->next_waiting;
        if (!source_fill_locked(rt, rt->first_waiting))
            return;
        rt->first_waiting = next;
        atomic_fetch_sub_explicit(&rt->n_waiting, 1, memory_order_relaxed);
    }
}

/* Queues for a source.  seq_cst: we count ourselves, then look at the sources; a worker that empties a
 * source does so, then looks at the count.  That neither sees the other is what must not happen. */
static void source_wait_locked(struct tg_runtime *rt, struct tgi_instance *in)
{
    in->next_waiting = NULL;
    if (rt->first_waiting)
        rt->last_waiting->next_waiting = in;
    else
        rt->first_waiting = in;
    rt->last_waiting = in;
    atomic_fetch_add_explicit(&rt->n_waiting, 1, memory_order_seq_cst);
    sources_serve_locked(rt);
}

void tgi_sources_serve(struct tg_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    sources_serve_locked(rt);
    pthread_mutex_unlock(&rt->lock);
    for (uint32_t i = 0; i < rt->n_workers; i++)
        tgi_worker_wake(rt);
}

static void source_fill(struct tg_runtime *rt, struct tgi_instance *in)
{
    pthread_mutex_lock(&rt->lock);
    if (rt->first_waiting || !source_fill_locked(rt, in))
        source_wait_locked(rt, in);
    pthread_mutex_unlock(&rt->lock);
}

static void start_roots(struct tg_runtime *rt, struct tgi_worker *w, struct tgi_instance *in)
{
    uint32_t n_roots = in->n_roots; /* once they are published, the instance may be gone at any time */
    bool has_few = n_roots <= MAX_PUSHED_ROOTS;
    if (!w || in->loop || !has_few || in->graph->class_of) {
        source_fill(rt, in);
        for (uint32_t i = 0; i < n_roots && i < rt->n_workers; i++)
            tgi_worker_wake(rt);
        return;
    }
    for (uint32_t i = n_roots; i-- > 0;)
        tgi_worker_push(w, in, in->roots ? in->roots[i] : i, TGI_ITEM_TASK);
    tgi_worker_wake(rt);
}

void tgi_instance_start(struct tg_runtime *rt, struct tgi_worker *w, struct tgi_instance *in)
{
    atomic_store_explicit(&in->n_left, in->n_units, memory_order_relaxed); /* published with the roots */
    uint32_t n_offloaded = in->offload ? in->offload->n_roots : 0;
    for (uint32_t i = 0; in->agenda && i < in->n_roots; i++)
        tgi_agenda_push(in->agenda, in->roots ? in->roots[i] : i);
    if (in->n_roots || !n_offloaded)
        start_roots(rt, w, in);
    /* Until the last of them is out the instance cannot be over. */
    const uint32_t *roots = n_offloaded ? in->offload->roots : NULL;
    for (uint32_t i = 0; i < n_offloaded; i++)
        tgi_offload_push(w, in, roots[i], false);
}

void tgi_instance_finish(struct tgi_worker *w, struct tgi_instance *in)
{
    in->on_done(w, in);
}
