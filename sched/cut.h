/* A cut through a run: a moment at which no task is half done, so that the data in memory are what the tasks that are done have
 * made of them and nothing else.  What is written of it to a file (io/checkpoint.h) is a state that a later run can go on from.
 *
 * Workers pass a gate before the body of each task and count themselves out behind it.  Whoever cuts closes the gate, waits for the
 * bodies that are under way, looks, and opens it again; tasks that become ready meanwhile wait at the gate.
 *
 * A task that fails leaves half of its results behind.  From then on there is no cut any more: what was acknowledged before stays
 * right.  Results of reduce groups go into the tile one after the other, as in commute groups: a private copy would be out of sight.
 *
 * For one start of a run on CPUs whose graph has no control tasks. */
#ifndef TGI_SCHED_CUT_H
#define TGI_SCHED_CUT_H

#include "sched/runtime.h"

/* KEPT: its results are in a file; BEFORE: they were there when the run began. */
enum tgi_cut_task { TGI_CUT_NOT_DONE, TGI_CUT_DONE, TGI_CUT_KEPT, TGI_CUT_BEFORE };

struct tgi_cut {
    uint32_t n_tasks, n_workers;
    /* By task, enum tgi_cut_task.  The worker that is done with it writes DONE, relaxed: it counts itself out after that.  KEPT is
     * written behind a closed gate, BEFORE before the run: such a body is not executed. */
    _Atomic uint8_t *state;
    /* Gives tiles what they held at the cut that the run goes on from, when all have their first contents.  NULL: from the start. */
    int (*restore)(void *user, const struct tgi_store *store, struct tg_error *err);
    void *user;
    /* 1: closed; written by whoever cuts.  seq_cst on either side: a worker that did not see the gate closed is seen to be in. */
    _Alignas(64) _Atomic uint32_t is_closed;
    _Atomic uint32_t bell;        /* rung by workers that leave while it is closed; a futex */
    _Atomic uint32_t has_failure; /* of a body, before its worker counts itself out */
    struct tgi_cut_count *counts; /* by worker */
};

int tgi_cut_create(const struct tg_graph *g, uint32_t n_workers, struct tgi_cut **cut_p, struct tg_error *err);
void tgi_cut_destroy(struct tgi_cut *cut);
/* Whether there can be cuts of runs of this graph.  TG_E_UNSUPPORTED names what it has. */
int tgi_cut_check(const struct tg_graph *g, struct tg_error *err);

/* Workers: before a body, may wait; behind it, on whichever worker finds that the task is done.  rc: what it returned. */
void tgi_cut_enter(struct tgi_cut *cut, uint32_t worker);
void tgi_cut_leave(struct tgi_cut *cut, uint32_t worker, uint32_t task, int rc);
/* Whether a task was done before the run; cut NULL: none was. */
static inline bool tgi_cut_is_before(const struct tgi_cut *cut, uint32_t task)
{
    /* relaxed: it was written before any worker had the run. */
    return cut && atomic_load_explicit(&cut->state[task], memory_order_relaxed) == TGI_CUT_BEFORE;
}

/* One thread at a time.  True: the gate is closed and nobody is behind it.  False, with the gate open: a task has failed, or
 * *gives_up (NULL: never) became nonzero. */
bool tgi_cut_close(struct tgi_cut *cut, const _Atomic uint32_t *gives_up);
void tgi_cut_open(struct tgi_cut *cut);

#endif
