/* Deterministic execution: one task at a time, in program order or in an order drawn from a seed.
 * It is also the reference that other executions are compared with, and how results are looked at task by task, then
 * on devices as well. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/finite.h"
#include "sched/offload.h"

/* splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void execute_one(struct tgi_worker *w, struct tgi_instance *in, uint32_t task)
{
    if (!in->offload || !tgi_offload_step(in, task)) {
        /* Children run inside their parents here and locks are free, so the task is done. */
        tgi_task_execute(w, in, task, false);
        w->context.instance = NULL;
        tgi_count(&w->counts.n_tasks, 1);
    }
    /* relaxed: nobody else is at this run. */
    uint8_t marks = atomic_load_explicit(&in->marks[task], memory_order_relaxed);
    if (in->run->options.check_finite && !(marks & (TGI_MARK_FAILED | TGI_MARK_SKIPPED)))
        tgi_finite_check(in, task);
}

static void execute_shuffled(struct tgi_worker *w, struct tgi_instance *in, uint64_t seed, uint32_t *left, uint32_t *ready)
{
    const struct tg_graph *g = in->graph;
    uint32_t n_ready = 0, n = g->n_tasks;
    for (uint32_t t = 0; t < n; t++) {
        left[t] = g->nodes[t].n_preds;
        if (left[t] == 0)
            ready[n_ready++] = t;
    }
    while (n_ready) {
        uint32_t i = (uint32_t)(next_random(&seed) % n_ready), task = ready[i];
        ready[i] = ready[--n_ready];
        execute_one(w, in, task);
        for (uint32_t k = g->nodes[task].succ; k < g->nodes[task + 1].succ; k++)
            if (--left[g->succ[k]] == 0)
                ready[n_ready++] = g->succ[k];
    }
}

static void execute_in_order(struct tgi_worker *w, struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    for (uint32_t i = 0; i < g->n_tasks; i++)
        execute_one(w, in, g->topo ? g->topo[i] : i);
}

void tgi_serial_execute(struct tgi_worker *w, struct tgi_instance *in, uint64_t seed)
{
    size_t n = in->graph->n_tasks;
    uint32_t *left = seed ? malloc(2 * (n + 1) * sizeof *left) : NULL;
    if (seed && !left) {
        tgi_run_fail(in->run, in, 0, TG_E_NO_MEMORY, "out of memory: the list of ready tasks");
        return;
    }
    bool outer = w->is_serial; /* a body within a graph */
    w->is_serial = true;
    if (seed)
        execute_shuffled(w, in, seed, left, left + n + 1);
    else
        execute_in_order(w, in);
    w->is_serial = outer;
    free(left);
}
