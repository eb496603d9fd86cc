/* Releasing the successors of a finished task: counters of predecessors, joins too wide for one counter, gates.
 * Part of worker.c, apart for reading only: everything here runs once a task and is inlined there. */
#ifndef TGI_SCHED_RELEASE_H
#define TGI_SCHED_RELEASE_H

#include "sched/agenda.h"
#include "sched/offload.h"

static inline uint32_t class_of(const struct tgi_instance *in, uint32_t task)
{
    return in->class_of ? in->class_of[task] : 0;
}

/* n of the instance's units are done.  Counted together with those that follow (tgi_worker_flush()). */
static inline void count_unit(struct tgi_worker *w, struct tgi_instance *in, uint32_t n)
{
    /* Flushing may finish a body, whose control task then counts in its own instance: only an empty
     * batch may be replaced. */
    while (w->batch != in) {
        if (w->batch) {
            tgi_worker_flush(w);
        } else {
            w->batch = in;
            w->n_batch = 0;
        }
    }
    w->n_batch += n;
}

static inline bool count_down(_Atomic uint32_t *left, bool is_alone)
{
    if (is_alone) {
        /* relaxed: one worker, no other thread counts. */
        uint32_t n = atomic_load_explicit(left, memory_order_relaxed) - 1;
        atomic_store_explicit(left, n, memory_order_relaxed);
        return n == 0;
    }
    /* acq_rel: our outputs become visible to whoever makes the successor ready, and if that is us,
     * we see the outputs of every other predecessor.  Pairs with itself in the others. */
    return atomic_fetch_sub_explicit(left, 1, memory_order_acq_rel) == 1;
}

static __attribute__((noinline)) bool count_down_wide(struct tgi_instance *in, uint32_t pred, uint32_t task, bool is_alone)
{
    struct tgi_wide *wide = tgi_instance_wide(in, task);
    uint32_t leaf = (pred - wide->first_pred) >> wide->shift;
    if (!count_down(&wide->leaves[leaf].left, is_alone))
        return false;
    /* relaxed refills: they happen before the task runs, hence before the next start. */
    atomic_store_explicit(&wide->leaves[leaf].left, wide->leaves[leaf].full, memory_order_relaxed);
    if (!count_down(&in->left[task], is_alone))
        return false;
    atomic_store_explicit(&in->left[task], wide->n_leaves, memory_order_relaxed);
    return true;
}

static inline bool is_ready_after(struct tgi_instance *in, uint32_t pred, uint32_t task, bool is_alone)
{
    uint32_t n_preds = in->nodes[task].n_preds;
    if (n_preds == 1)
        return true;
    if (__builtin_expect(n_preds >= TGI_WIDE_PREDS, 0))
        return count_down_wide(in, pred, task, is_alone);
    if (!count_down(&in->left[task], is_alone))
        return false;
    atomic_store_explicit(&in->left[task], n_preds, memory_order_relaxed); /* refill */
    return true;
}

/* A task has become ready: it is kept if it is the most urgent so far, else pushed; true: pushed. */
static inline __attribute__((always_inline)) bool keep_or_push(struct tgi_worker *w, struct tgi_instance *in,
                                                               uint32_t ready, uint32_t *keep)
{
    if (__builtin_expect(in->via != NULL, 0)) {
        if (in->via[ready]) {
            tgi_offload_push(w, in, ready, false);
            return false;
        }
        if (in->agenda)
            tgi_agenda_push(in->agenda, ready); /* and from here on it is a ticket */
    }
    if (*keep == TG_NONE) {
        *keep = ready;
        return false;
    }
    if (in->class_of && class_of(in, ready) > class_of(in, *keep)) {
        uint32_t swap = *keep;
        *keep = ready;
        ready = swap;
    }
    __builtin_prefetch(&in->succ[in->nodes[ready].succ]); /* for when it is done, as a rule soon */
    tgi_worker_push_here(w, in, ready, TGI_ITEM_TASK);
    return true;
}

/* Whether the worker's own deques hold a task of a higher class. */
static bool has_more_urgent(const struct tgi_worker *w, uint32_t class)
{
    for (uint32_t c = class + 1; c < TGI_N_CLASSES; c++)
        if (tgi_deque_size_hint(&w->deques[c]))
            return true;
    return false;
}

/* Counting down a gate.  Its predecessors end on all workers at about the same time, and if each of them counted, the
 * counter's cache line would go from worker to worker with every one.  So a worker holds back what it has to count for as
 * long as the next thing it executes is a predecessor of the same gate: the gate waits for that one anyway, so nothing
 * starts later.  Before it executes anything else, looks for work elsewhere or leaves, it counts all at once
 * (tests/model/gate.pml).  Only tasks whose one successor is the gate are held: they leave no task to go on with. */

/* The last predecessor of a gate has finished: all members are ready at once.  Returns the task to go on
 * with, which is `keep` or one of them; the others are pushed, those of all chunks but the first as
 * chunks.  Not inlined, so that tasks without gates have the registers. */
static __attribute__((noinline)) uint32_t open_gate(struct tgi_worker *w, struct tgi_instance *in, uint32_t gate,
                                                    uint32_t keep, bool is_alone)
{
    uint32_t member = in->nodes[gate].succ, end = in->nodes[gate + 1].succ, chunk = in->nodes[gate].op;
    if (chunk && !is_alone && !in->spans && !in->class_of && !in->via) {
        for (uint32_t c = chunk + 1; in->nodes[c].succ < end; c++)
            tgi_worker_push_here(w, in, c, TGI_ITEM_TASK);
        end = in->nodes[chunk + 1].succ;
    }
    for (; member < end; member++)
        keep_or_push(w, in, in->succ[member], &keep);
    return keep;
}

/* Counts down what is held.  The instance may be gone afterwards, unless this opened the gate; then all members are pushed. */
static __attribute__((noinline)) void count_held(struct tgi_worker *w)
{
    struct tgi_instance *in = w->held;
    uint32_t gate = w->held_gate, n = w->n_held;
    w->n_held = 0; /* pushing may execute, and hold */
    /* acq_rel: as in count_down(), for n predecessors. */
    if (atomic_fetch_sub_explicit(&in->left[gate], n, memory_order_acq_rel) != n)
        return;
    atomic_store_explicit(&in->left[gate], in->nodes[gate].n_preds, memory_order_relaxed); /* refill */
    uint32_t keep = open_gate(w, in, gate, TG_NONE, false);
    if (keep != TG_NONE)
        tgi_worker_push(w, in, keep, TGI_ITEM_TASK);
    tgi_worker_wake(w->runtime);
}

static inline bool has_one_successor(const struct tgi_instance *in, uint32_t task, uint32_t successor)
{
    uint32_t i = in->nodes[task].succ;
    return in->nodes[task + 1].succ == i + 1 && in->succ[i] == successor;
}

/* Before a task is executed. */
static __attribute__((noinline)) void count_held_for_others(struct tgi_worker *w, const struct tgi_instance *in, uint32_t task)
{
    if (w->held != in || !has_one_successor(in, task, w->held_gate))
        count_held(w);
}

/* The predecessor of a gate is done.  Returns the task to go on with, `keep` or a member. */
static __attribute__((noinline)) uint32_t pass_gate(struct tgi_worker *w, struct tgi_instance *in, uint32_t pred, uint32_t gate,
                                                    uint32_t keep, bool is_alone, bool *has_pushed_p)
{
    if (!is_alone && in->nodes[gate].n_preds < TGI_WIDE_PREDS && has_one_successor(in, pred, gate)) {
        if (w->n_held && (w->held != in || w->held_gate != gate))
            count_held(w);
        w->held = in;
        w->held_gate = gate;
        w->n_held++;
        return keep;
    }
    if (!is_ready_after(in, pred, gate, is_alone))
        return keep;
    *has_pushed_p = true;
    return open_gate(w, in, gate, keep, is_alone);
}

/* A chunk was taken, most often by a thief: its members are pushed here, but for the one to go on with. */
static __attribute__((noinline)) uint32_t open_chunk(struct tgi_worker *w, struct tgi_instance *in, uint32_t chunk)
{
    uint32_t keep = TG_NONE;
    bool has_pushed = false;
    for (uint32_t i = in->nodes[chunk].succ, end = in->nodes[chunk + 1].succ; i < end; i++)
        has_pushed |= keep_or_push(w, in, in->succ[i], &keep);
    if (has_pushed)
        tgi_worker_wake(w->runtime);
    return keep;
}

/* Releases the successors of a finished task.  Returns the one to go on with, TG_NONE: none.  Once
 * the last successor has been counted down for somebody else to run, the instance may be gone. */
static inline __attribute__((always_inline)) uint32_t release(struct tgi_worker *w, struct tgi_instance *in,
                                                              uint32_t task, bool is_alone)
{
    uint32_t i = in->nodes[task].succ, end = in->nodes[task + 1].succ;
    uint32_t keep = TG_NONE, n_tasks = in->n_tasks;
    bool has_pushed = false;
    if (i == end) {
        count_unit(w, in, 1);
        return TG_NONE;
    }
    for (; i < end; i++) {
        uint32_t s = in->succ[i];
        if (__builtin_expect(s >= n_tasks, 0))
            keep = pass_gate(w, in, task, s, keep, is_alone, &has_pushed);
        else if (is_ready_after(in, task, s, is_alone))
            has_pushed |= keep_or_push(w, in, s, &keep);
    }
    if (has_pushed && !is_alone)
        tgi_worker_wake(w->runtime);
    if (keep != TG_NONE && in->class_of && has_more_urgent(w, class_of(in, keep))) {
        tgi_worker_push(w, in, keep, TGI_ITEM_TASK);
        if (!is_alone)
            tgi_worker_wake(w->runtime);
        return TG_NONE;
    }
    return keep;
}

#endif
