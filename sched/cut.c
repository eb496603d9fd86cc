/* Who is behind the gate is not one number, on which all workers would meet for every task, but what all of them have counted in less
 * what all have counted out, each in a place of its own; the one that counts a task out need not be the one that counted it in.
 *
 * Why the gate can be trusted.  Whoever cuts closes it, then adds up all `out`, then all `in`.  Each `out` belongs to an earlier `in`,
 * so the second sum is at least the first; if they are equal nobody was in at the moment between the two.  A worker that counts
 * itself in later finds the gate closed: it counted itself in, seq_cst, before it looked, and the gate was closed, seq_cst, before
 * it was not seen.  Such a worker counts itself out again and waits. */
#include "sched/cut.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/futex.h"

struct tgi_cut_count {
    _Alignas(64) _Atomic uint64_t in, out; /* seq_cst; written by one worker */
};

enum { LOOK_NS = 10000000 }; /* whether the caller gives up */

int tgi_cut_check(const struct tg_graph *g, struct tg_error *err)
{
    char scratch[16];
    for (uint32_t t = 0; t < g->n_tasks; t++)
        if (tgi_graph_op(g, t)->kind >= TGI_OP_REPEAT)
            return tgi_error(err, TG_E_UNSUPPORTED, "task \"%s\" has a body that is executed in rounds, of which there are no checkpoints",
                             tgi_graph_task_name(g, t, scratch));
    return 0;
}

int tgi_cut_create(const struct tg_graph *g, uint32_t n_workers, struct tgi_cut **cut_p, struct tg_error *err)
{
    struct tgi_cut *cut = aligned_alloc(64, sizeof *cut);
    if (!cut)
        return tgi_error_memory(err, "preparing checkpoints");
    memset(cut, 0, sizeof *cut);
    cut->n_tasks = g->n_tasks;
    cut->n_workers = n_workers;
    cut->state = calloc((size_t)g->n_tasks + 1, sizeof *cut->state);
    cut->counts = aligned_alloc(64, n_workers * sizeof *cut->counts);
    if (!cut->state || !cut->counts) {
        tgi_cut_destroy(cut);
        return tgi_error_memory(err, "preparing checkpoints");
    }
    memset(cut->counts, 0, n_workers * sizeof *cut->counts);
    *cut_p = cut;
    return 0;
}

void tgi_cut_destroy(struct tgi_cut *cut)
{
    if (!cut)
        return;
    free((void *)cut->state);
    free(cut->counts);
    free(cut);
}

/* ---- Workers ------------------------------------------------------------------------------*/

static void count_out(struct tgi_cut *cut, uint32_t worker)
{
    /* Publishes what the task has written to whoever cuts. */
    atomic_fetch_add_explicit(&cut->counts[worker].out, 1, memory_order_seq_cst);
    if (!atomic_load_explicit(&cut->is_closed, memory_order_seq_cst))
        return;
    atomic_fetch_add_explicit(&cut->bell, 1, memory_order_release);
    tgi_futex_wake(&cut->bell, UINT32_MAX);
}

void tgi_cut_enter(struct tgi_cut *cut, uint32_t worker)
{
    for (;;) {
        atomic_fetch_add_explicit(&cut->counts[worker].in, 1, memory_order_seq_cst);
        if (!atomic_load_explicit(&cut->is_closed, memory_order_seq_cst))
            return;
        count_out(cut, worker);
        while (atomic_load_explicit(&cut->is_closed, memory_order_acquire))
            tgi_futex_wait(&cut->is_closed, 1, UINT64_MAX);
    }
}

void tgi_cut_leave(struct tgi_cut *cut, uint32_t worker, uint32_t task, int rc)
{
    if (rc)
        atomic_store_explicit(&cut->has_failure, 1, memory_order_relaxed);
    else
        atomic_store_explicit(&cut->state[task], TGI_CUT_DONE, memory_order_relaxed);
    count_out(cut, worker);
}

/* ---- Whoever cuts -------------------------------------------------------------------------*/

static bool is_anybody_in(const struct tgi_cut *cut)
{
    uint64_t out = 0, in = 0;
    for (uint32_t i = 0; i < cut->n_workers; i++)
        out += atomic_load_explicit(&cut->counts[i].out, memory_order_seq_cst);
    for (uint32_t i = 0; i < cut->n_workers; i++)
        in += atomic_load_explicit(&cut->counts[i].in, memory_order_seq_cst);
    return in != out;
}

bool tgi_cut_close(struct tgi_cut *cut, const _Atomic uint32_t *gives_up)
{
    bool is_over = false;
    atomic_store_explicit(&cut->is_closed, 1, memory_order_seq_cst);
    for (;;) {
        /* acquire: read before the counts, so that whoever leaves after they were added up has changed it since. */
        uint32_t rung = atomic_load_explicit(&cut->bell, memory_order_acquire);
        if (!is_anybody_in(cut))
            break;
        is_over = gives_up && atomic_load_explicit((_Atomic uint32_t *)gives_up, memory_order_relaxed);
        if (is_over)
            break;
        tgi_futex_wait(&cut->bell, rung, LOOK_NS);
    }
    /* relaxed: written before the count that has just been read. */
    if (!is_over && !atomic_load_explicit(&cut->has_failure, memory_order_relaxed))
        return true;
    tgi_cut_open(cut);
    return false;
}

void tgi_cut_open(struct tgi_cut *cut)
{
    /* release: a worker that finds it open sees what was done behind it. */
    atomic_store_explicit(&cut->is_closed, 0, memory_order_release);
    tgi_futex_wake(&cut->is_closed, UINT32_MAX);
}
