/* A list schedule over a tournament tree of workers: its root is the idlest of all, the node of a block the idlest of that
 * block, and giving a worker a task changes one path.  What a task costs is a few predecessors to look at and two
 * walks down the tree, whatever the number of workers. */
#include "sched/resident_place.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum { MAX_LOOK = 6 }; /* predecessors whose workers are tried and whose arrivals are told apart */

/* ---- Predecessors -------------------------------------------------------------------------*/

static void mark_clean(struct tgi_resident_preds *p, const struct tgi_resident_dag *dag)
{
    for (uint32_t k = 0; k < dag->n_tasks; k++) {
        uint32_t t = tgi_resident_nth(dag, k);
        bool is_clean = tgi_resident_is_small(dag->op[t]);
        for (uint32_t i = p->at[t]; i < p->at[t + 1] && is_clean; i++)
            is_clean = p->is_clean[p->task[i]];
        p->is_clean[t] = is_clean;
    }
}

int tgi_resident_preds_init(struct tgi_resident_preds *p, const struct tgi_resident_dag *dag, struct tg_error *err)
{
    uint32_t n = dag->n_tasks, n_edges = dag->succ_at[n];
    p->at = calloc((size_t)n + 2, sizeof *p->at);
    p->task = malloc(((size_t)n_edges + 1) * sizeof *p->task);
    p->is_clean = malloc((size_t)n + 1);
    if (!p->at || !p->task || !p->is_clean) {
        tgi_resident_preds_fini(p);
        return tgi_error_memory(err, "planning a resident program");
    }
    for (uint32_t i = 0; i < n_edges; i++)
        p->at[dag->succ[i] + 2]++;
    for (uint32_t t = 0; t < n; t++)
        p->at[t + 2] += p->at[t + 1];
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = dag->succ_at[t]; i < dag->succ_at[t + 1]; i++)
            p->task[p->at[dag->succ[i] + 1]++] = t;
    mark_clean(p, dag);
    return 0;
}

void tgi_resident_preds_fini(struct tgi_resident_preds *p)
{
    free(p->at);
    free(p->task);
    free(p->is_clean);
    memset(p, 0, sizeof *p);
}

/* ---- Idle workers -------------------------------------------------------------------------*/

/* tree[1] is the root, leaves start at n_leaves; a block's workers are a subtree.  A node has the least time of its
 * leaves at which a worker is idle; leaves that are no worker never are. */
struct idle {
    double *tree;
    uint32_t n_leaves, each_leaves, each;
};

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static bool idle_init(struct idle *w, const struct tgi_resident_shape *shape)
{
    w->each = shape->n_workers_each;
    w->each_leaves = power_of_two(w->each);
    w->n_leaves = w->each_leaves * power_of_two(shape->n_blocks);
    w->tree = malloc(2 * (size_t)w->n_leaves * sizeof *w->tree);
    if (!w->tree)
        return false;
    for (uint32_t i = 0; i < w->n_leaves; i++)
        w->tree[w->n_leaves + i] = i % w->each_leaves < w->each && i / w->each_leaves < shape->n_blocks ? 0 : DBL_MAX;
    for (uint32_t i = w->n_leaves - 1; i > 0; i--)
        w->tree[i] = w->tree[2 * i] < w->tree[2 * i + 1] ? w->tree[2 * i] : w->tree[2 * i + 1];
    return true;
}

static uint32_t leaf_of(const struct idle *w, uint32_t worker)
{
    return w->n_leaves + worker / w->each * w->each_leaves + worker % w->each;
}
static double idle_at(const struct idle *w, uint32_t worker) { return w->tree[leaf_of(w, worker)]; }

/* The leftmost of the idlest below a node. */
static uint32_t idlest(const struct idle *w, uint32_t node)
{
    while (node < w->n_leaves)
        node = w->tree[2 * node] <= w->tree[2 * node + 1] ? 2 * node : 2 * node + 1;
    node -= w->n_leaves;
    return node / w->each_leaves * w->each + node % w->each_leaves;
}
static uint32_t idlest_of_block(const struct idle *w, uint32_t worker)
{
    return idlest(w, w->n_leaves / w->each_leaves + worker / w->each);
}

static void set_idle(struct idle *w, uint32_t worker, double at)
{
    uint32_t node = leaf_of(w, worker);
    w->tree[node] = at;
    for (node /= 2; node; node /= 2) {
        double least = w->tree[2 * node] < w->tree[2 * node + 1] ? w->tree[2 * node] : w->tree[2 * node + 1];
        if (w->tree[node] == least)
            break;
        w->tree[node] = least;
    }
}

/* ---- Tasks a warp wide ----------------------------------------------------------------------*/

struct place {
    const struct tgi_resident_dag *dag;
    const struct tgi_resident_preds *preds;
    const struct tgi_resident_costs *costs;
    struct idle idle;
    uint32_t *worker_of;
    double *end; /* by task */
};

/* The predecessors that matter for a task: all if they are few, else the last to end. */
struct arrivals {
    uint32_t n;
    uint32_t task[MAX_LOOK];
    uint32_t last; /* index */
};

static void look_at_preds(const struct place *p, uint32_t t, struct arrivals *a)
{
    uint32_t begin = p->preds->at[t], n = p->preds->at[t + 1] - begin;
    const uint32_t *pred = p->preds->task + begin;
    a->n = n < MAX_LOOK ? n : MAX_LOOK;
    a->last = 0;
    memcpy(a->task, pred, a->n * sizeof *pred);
    for (uint32_t i = MAX_LOOK; i < n; i++)
        if (p->end[pred[i]] > p->end[a->task[0]])
            a->task[0] = pred[i];
    for (uint32_t i = 1; i < a->n; i++)
        if (p->end[a->task[i]] > p->end[a->task[a->last]])
            a->last = i;
}

static double start_on(const struct place *p, const struct arrivals *a, uint32_t worker)
{
    double at = idle_at(&p->idle, worker);
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t t = a->task[i], from = p->worker_of[t];
        double hop = from == worker                                       ? 0
                     : from / p->idle.each == worker / p->idle.each      ? p->costs->shared_ns
                     : p->preds->is_clean[t]                              ? p->costs->cell_ns
                                                                          : p->costs->counter_ns;
        if (at < p->end[t] + hop)
            at = p->end[t] + hop;
    }
    return at;
}

static double cost_of(const struct place *p, uint32_t t)
{
    return p->costs->task_ns + (p->dag->cost_ns ? p->dag->cost_ns[t] : 0);
}

static void place_task(struct place *p, uint32_t t)
{
    struct arrivals a;
    double best = DBL_MAX;
    uint32_t worker = 0, candidates[MAX_LOOK + 2], n = 0;
    look_at_preds(p, t, &a);
    for (uint32_t i = 0; i < a.n; i++)
        candidates[n++] = p->worker_of[a.task[i]];
    if (a.n > 0)
        candidates[n++] = idlest_of_block(&p->idle, p->worker_of[a.task[a.last]]);
    candidates[n++] = idlest(&p->idle, 1);
    for (uint32_t i = 0; i < n; i++) {
        double at = start_on(p, &a, candidates[i]);
        if (at < best) {
            best = at;
            worker = candidates[i];
        }
    }
    p->worker_of[t] = worker;
    p->end[t] = best + cost_of(p, t);
    set_idle(&p->idle, worker, p->end[t]);
}

/* ---- Tasks a thread wide --------------------------------------------------------------------*/

/* By level: batches of tasks that hardly depend on each other, each to the idlest worker. */
static int sort_by_level(const struct tgi_resident_dag *dag, uint32_t *order, struct tg_error *err)
{
    uint32_t n = dag->n_tasks, depth = 0;
    uint32_t *level = calloc((size_t)n + 1, sizeof *level), *at = calloc((size_t)n + 2, sizeof *at);
    if (!level || !at) {
        free(level);
        free(at);
        return tgi_error_memory(err, "planning a resident program");
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t t = tgi_resident_nth(dag, k);
        at[level[t] + 1]++;
        depth = depth > level[t] ? depth : level[t];
        for (uint32_t i = dag->succ_at[t]; i < dag->succ_at[t + 1]; i++)
            if (level[dag->succ[i]] <= level[t])
                level[dag->succ[i]] = level[t] + 1;
    }
    for (uint32_t l = 0; l < depth; l++)
        at[l + 1] += at[l];
    for (uint32_t k = 0; k < n; k++) {
        uint32_t t = tgi_resident_nth(dag, k);
        order[at[level[t]]++] = t;
    }
    free(level);
    free(at);
    return 0;
}

static void place_batches(struct place *p, const uint32_t *order)
{
    for (uint32_t k = 0; k < p->dag->n_tasks; k += TGI_RESIDENT_BATCH) {
        uint32_t worker = idlest(&p->idle, 1);
        double longest = 0, end;
        for (uint32_t i = k; i < k + TGI_RESIDENT_BATCH && i < p->dag->n_tasks; i++) {
            p->worker_of[order[i]] = worker;
            if (longest < cost_of(p, order[i]))
                longest = cost_of(p, order[i]);
        }
        end = idle_at(&p->idle, worker) + longest;
        set_idle(&p->idle, worker, end);
        p->end[order[k]] = end;
    }
}

/* ---- Entry --------------------------------------------------------------------------------*/

int tgi_resident_place(const struct tgi_resident_dag *dag, const struct tgi_resident_preds *preds,
                       const struct tgi_resident_shape *shape, const struct tgi_resident_costs *costs,
                       uint32_t *worker_of, uint32_t *order, double *makespan_p, struct tg_error *err)
{
    struct place p = {dag, preds, costs, {0}, worker_of, NULL};
    int rc = 0;
    p.end = calloc((size_t)dag->n_tasks + 1, sizeof *p.end);
    if (!p.end || !idle_init(&p.idle, shape))
        rc = tgi_error_memory(err, "planning a resident program");
    else if (shape->width == TGI_RESIDENT_THREAD) {
        rc = sort_by_level(dag, order, err);
        if (!rc)
            place_batches(&p, order);
    } else
        for (uint32_t k = 0; k < dag->n_tasks; k++) {
            order[k] = tgi_resident_nth(dag, k);
            place_task(&p, order[k]);
        }
    if (!rc) {
        *makespan_p = 0;
        for (uint32_t t = 0; t < dag->n_tasks; t++)
            *makespan_p = *makespan_p < p.end[t] ? p.end[t] : *makespan_p;
    }
    free(p.end);
    free(p.idle.tree);
    return rc;
}
