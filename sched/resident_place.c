/* Two list schedules, of which the one that is expected to end first is taken.
 *
 * The eager one gives each task to the worker where it starts first.  What it does not see is who else will want that
 * worker: in a stencil as wide as there are workers, a border's column is late, its neighbour starts earlier beside it than
 * after a hop, and soon some workers have several columns while others have none.  The fair one goes by levels and gives no
 * worker more than its share of a level while a predecessor's worker has room; it loses where levels are uneven.
 * Both keep the time at which each task ends by the same costs, so their makespans can be compared.
 *
 * The workers are a tournament tree: its root is the idlest of all, the node of a block the idlest of that block, and giving
 * a worker a task changes one path.  What a task costs is a few predecessors to look at and two walks down the
 * tree, whatever the number of workers.  One a block wide goes to the block where it would start first, of the predecessors' and the one
 * whose last worker is idle first, which is looked for among all blocks. */
#include "sched/resident_place.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum { MAX_LOOK = 6 }; /* predecessors whose workers are tried and whose arrivals are told apart */
static const double TRUST = 0.9;

/* ---- Predecessors -------------------------------------------------------------------------*/

static void mark_clean(struct tgi_resident_preds *p, const struct tgi_resident_dag *dag)
{
    for (uint32_t k = 0; k < dag->n_tasks; k++) {
        uint32_t t = tgi_resident_nth(dag, k);
        bool is_clean = tgi_resident_is_small(dag->op[t]);
        for (uint32_t i = p->at[t]; i < p->at[t + 1] && is_clean; i++)
            is_clean = p->is_clean[p->task[i]];
        p->is_clean[t] = is_clean;
        p->has_memory |= TGI_RESIDENT_LEAVES_MEMORY(dag->op[t]);
    }
}

int tgi_resident_preds_init(struct tgi_resident_preds *p, const struct tgi_resident_dag *dag,
                            struct tg_error *err)
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
    p->has_memory = false;
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

/* tree[1] is the root, leaves start at n_leaves; a block's workers are a subtree, and so are a device's.  A node has the
 * least time of its leaves at which a worker is idle; leaves that are no worker never are.  In this file blocks are numbered with
 * gaps, so that each device's begin at a multiple of block_leaves; keep() takes them out. */
struct idle {
    double *tree;
    uint32_t n_leaves, each_leaves, each;
    double *last; /* by block: when all of its workers are idle; NULL: no task is a block wide */
    uint32_t n_devices, n_blocks, block_leaves; /* blocks of a device, and with the gap behind them */
    uint32_t device_at; /* the bit from which on a block's number is that of its device */
};

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static bool idle_init(struct idle *w, const struct tgi_resident_shape *shape, uint32_t n_devices, bool has_blocks)
{
    w->each = shape->n_workers_each;
    w->each_leaves = power_of_two(w->each);
    w->n_devices = n_devices;
    w->n_blocks = shape->n_blocks / w->n_devices;
    w->block_leaves = power_of_two(w->n_blocks);
    w->device_at = n_devices == 1 ? 31 : (uint32_t)__builtin_ctz(w->block_leaves);
    w->n_leaves = w->each_leaves * w->block_leaves * power_of_two(w->n_devices);
    w->tree = malloc(2 * (size_t)w->n_leaves * sizeof *w->tree);
    w->last = has_blocks ? malloc((size_t)w->block_leaves * sizeof *w->last) : NULL;
    return w->tree != NULL && (w->last || !has_blocks);
}

/* Nobody has a task. */
static void idle_reset(struct idle *w)
{
    for (uint32_t i = 0; i < w->n_leaves; i++) {
        uint32_t block = i / w->each_leaves;
        bool is_worker = i % w->each_leaves < w->each && block % w->block_leaves < w->n_blocks &&
                         block / w->block_leaves < w->n_devices;
        w->tree[w->n_leaves + i] = is_worker ? 0 : DBL_MAX;
    }
    for (uint32_t i = 0; w->last && i < w->n_blocks; i++)
        w->last[i] = 0;
    for (uint32_t i = w->n_leaves - 1; i > 0; i--)
        w->tree[i] = w->tree[2 * i] < w->tree[2 * i + 1] ? w->tree[2 * i] : w->tree[2 * i + 1];
}

static uint32_t leaf_of(const struct idle *w, uint32_t worker, uint32_t block)
{
    return w->n_leaves + block * w->each_leaves + (worker - block * w->each);
}
static double idle_at(const struct idle *w, uint32_t worker, uint32_t block)
{
    return w->tree[leaf_of(w, worker, block)];
}
static uint32_t node_of_block(const struct idle *w, uint32_t block)
{
    return w->n_leaves / w->each_leaves + block;
}
static uint32_t node_of_device(const struct idle *w, uint32_t block)
{
    return (w->n_leaves / w->each_leaves + block) >> w->device_at;
}

/* The same by the device's number. */
static uint32_t node_of_number(const struct idle *w, uint32_t device) { return node_of_device(w, device * w->block_leaves); }

/* The leftmost of the idlest below a node. */
static uint32_t idlest(const struct idle *w, uint32_t node)
{
    while (node < w->n_leaves)
        node = w->tree[2 * node] <= w->tree[2 * node + 1] ? 2 * node : 2 * node + 1;
    node -= w->n_leaves;
    return node / w->each_leaves * w->each + node % w->each_leaves;
}
static void set_idle(struct idle *w, uint32_t worker, double at)
{
    uint32_t node = leaf_of(w, worker, worker / w->each);
    w->tree[node] = at;
    if (w->last && w->last[worker / w->each] < at)
        w->last[worker / w->each] = at;
    for (node /= 2; node; node /= 2) {
        double least = w->tree[2 * node] < w->tree[2 * node + 1] ? w->tree[2 * node] : w->tree[2 * node + 1];
        if (w->tree[node] == least)
            break;
        w->tree[node] = least;
    }
}

/* ---- Where a task starts --------------------------------------------------------------------*/

struct place {
    const struct tgi_resident_dag *dag;
    const struct tgi_resident_preds *preds;
    const struct tgi_resident_costs *costs;
    struct idle idle;
    struct placed {
        double end;
        uint32_t worker, block;
        bool is_block; /* all of the block's workers have it, and see at once that it is done */
    } * placed; /* by task */
};

/* The predecessors that matter for a task: all if they are few, else the last to end. */
struct arrivals {
    uint32_t n, last;
    struct arrival {
        double end, near, far, beyond; /* when it ends, and is known in its block, on its device, and on others */
        uint32_t worker, block;
    } of[MAX_LOOK];
};

static void look_at_preds(const struct place *p, uint32_t t, struct arrivals *a)
{
    uint32_t n = p->preds->at[t + 1] - p->preds->at[t];
    const uint32_t *pred = p->preds->task + p->preds->at[t];
    a->n = n < MAX_LOOK ? n : MAX_LOOK;
    a->last = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct placed *from = &p->placed[pred[i]];
        if (i >= MAX_LOOK && from->end <= a->of[0].end)
            continue;
        struct arrival *to = &a->of[i < MAX_LOOK ? i : 0];
        to->end = from->end;
        to->near = from->end + (from->is_block ? 0 : p->costs->shared_ns);
        bool is_clean = p->preds->is_clean[pred[i]];
        to->far = from->end + (is_clean ? p->costs->cell_ns : p->costs->counter_ns);
        if (p->idle.n_devices > 1)
            to->beyond = from->end + (is_clean || !p->preds->has_memory ? p->costs->far_cell_ns : p->costs->far_counter_ns);
        to->worker = from->worker;
        to->block = from->block;
    }
    for (uint32_t i = 1; i < a->n; i++)
        if (a->of[i].end > a->of[a->last].end)
            a->last = i;
}

static double start_on(const struct place *p, const struct arrivals *a, uint32_t worker, uint32_t block)
{
    double at = idle_at(&p->idle, worker, block);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct arrival *from = &a->of[i];
        double known = from->worker == worker                              ? from->end
                       : from->block == block                              ? from->near
                       : (from->block ^ block) >> p->idle.device_at == 0   ? from->far
                                                                           : from->beyond;
        at = at < known ? known : at;
    }
    return at;
}

static double cost_of(const struct place *p, uint32_t t)
{
    const struct tgi_resident_dag *dag = p->dag;
    double body_ns = dag->cost_ns                      ? dag->cost_ns[t]
                     : dag->op[t] == TGI_RESIDENT_SPIN ? (double)dag->arg[t]
                                                       : 0;
    return p->costs->task_ns + body_ns;
}

static void give(struct place *p, uint32_t t, uint32_t worker, double start)
{
    p->placed[t] = (struct placed){start + cost_of(p, t), worker, worker / p->idle.each, false};
    set_idle(&p->idle, worker, p->placed[t].end);
}

enum { ANY_DEVICE = UINT32_MAX };
static uint32_t device_for(const struct place *p, uint32_t t)
{
    return p->dag->device_of && p->idle.n_devices > 1 ? p->dag->device_of[t] : ANY_DEVICE;
}
static bool is_on(const struct place *p, uint32_t block, uint32_t device)
{
    return device == ANY_DEVICE || block >> p->idle.device_at == device;
}

/* Of equals the first: a worker of a predecessor, then one of its block. */
static void try_worker(const struct place *p, const struct arrivals *a, uint32_t worker, uint32_t block,
                       uint32_t *best_p, double *start_p)
{
    double at = idle_at(&p->idle, worker, block);
    if (at < *start_p && (at = start_on(p, a, worker, block)) < *start_p) {
        *start_p = at;
        *best_p = worker;
    }
}

/* The idlest worker of the last predecessor's block, of its device, and of all on the devices that may have it: where a task goes
 * that no predecessor's worker suits. */
static void try_idlest(const struct place *p, const struct arrivals *a, uint32_t device, uint32_t *best_p, double *start_p)
{
    bool is_beside = a->n > 0 && is_on(p, a->of[a->last].block, device);
    /* It cannot start before its last predecessor ends. */
    if (is_beside && *start_p > a->of[a->last].end) {
        uint32_t block = a->of[a->last].block;
        try_worker(p, a, idlest(&p->idle, node_of_block(&p->idle, block)), block, best_p, start_p);
    }
    if (is_beside && p->idle.n_devices > 1 && *start_p > a->of[a->last].end) {
        uint32_t worker = idlest(&p->idle, node_of_device(&p->idle, a->of[a->last].block));
        try_worker(p, a, worker, worker / p->idle.each, best_p, start_p);
    }
    if (a->n == 0 || *start_p > a->of[a->last].end) {
        uint32_t worker = idlest(&p->idle, device == ANY_DEVICE ? 1 : node_of_number(&p->idle, device));
        try_worker(p, a, worker, worker / p->idle.each, best_p, start_p);
    }
}

/* ---- A block wide -------------------------------------------------------------------------*/

static double start_in(const struct place *p, const struct arrivals *a, uint32_t block)
{
    double at = p->idle.last[block];
    for (uint32_t i = 0; i < a->n; i++) {
        double known = a->of[i].block == block ? a->of[i].end : a->of[i].far;
        at = at < known ? known : at;
    }
    return at;
}

static void try_block(const struct place *p, const struct arrivals *a, uint32_t block, uint32_t *best_p, double *start_p)
{
    double at = start_in(p, a, block);
    if (at < *start_p) {
        *start_p = at;
        *best_p = block;
    }
}

/* Of equals a predecessor's block.  Programs with such tasks are on one device. */
static void place_block(struct place *p, uint32_t t)
{
    struct arrivals a;
    uint32_t best = 0, idlest_block = 0;
    double start = DBL_MAX;
    look_at_preds(p, t, &a);
    for (uint32_t i = 0; i < a.n; i++)
        try_block(p, &a, a.of[i].block, &best, &start);
    for (uint32_t b = 1; b < p->idle.n_blocks; b++)
        idlest_block = p->idle.last[b] < p->idle.last[idlest_block] ? b : idlest_block;
    try_block(p, &a, idlest_block, &best, &start);
    p->placed[t] = (struct placed){start + TGI_RESIDENT_BLOCK_NS + cost_of(p, t), best * p->idle.each, best, true};
    for (uint32_t w = 0; w < p->idle.each; w++)
        set_idle(&p->idle, best * p->idle.each + w, p->placed[t].end);
}

static bool is_block(const struct place *p, uint32_t t) { return p->dag->is_block && p->dag->is_block[t]; }

/* ---- A warp wide --------------------------------------------------------------------------*/

static void place_eagerly(struct place *p, uint32_t t)
{
    if (is_block(p, t)) {
        place_block(p, t);
        return;
    }
    struct arrivals a;
    uint32_t best = 0, device = device_for(p, t);
    double start = DBL_MAX;
    look_at_preds(p, t, &a);
    for (uint32_t i = 0; i < a.n; i++)
        if (is_on(p, a.of[i].block, device))
            try_worker(p, &a, a.of[i].worker, a.of[i].block, &best, &start);
    try_idlest(p, &a, device, &best, &start);
    give(p, t, best, start);
}

/* The first predecessor's worker that has less than its share of the level: tasks of a level come in the order of their
 * predecessors, so each leaves to the next what the next would rather have. */
static uint32_t place_fairly(struct place *p, uint32_t t, const uint32_t *n_of, uint32_t share)
{
    struct arrivals a;
    if (is_block(p, t)) {
        place_block(p, t);
        return p->placed[t].worker;
    }
    uint32_t best = 0, i = 0, device = device_for(p, t);
    double start = DBL_MAX;
    look_at_preds(p, t, &a);
    while (i < a.n && (n_of[a.of[i].worker] >= share || !is_on(p, a.of[i].block, device)))
        i++;
    if (i < a.n)
        try_worker(p, &a, a.of[i].worker, a.of[i].block, &best, &start);
    else
        try_idlest(p, &a, device, &best, &start);
    give(p, t, best, start);
    return best;
}

/* ---- By level -------------------------------------------------------------------------------*/

/* *at_p: where each level ends in the order, `depth` of them; the caller's. */
static int sort_by_level(const struct tgi_resident_dag *dag, uint32_t *order, uint32_t **at_p,
                         uint32_t *depth_p, struct tg_error *err)
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
    *at_p = at;
    *depth_p = n ? depth + 1 : 0;
    return 0;
}

/* Tasks a thread wide: batches that hardly depend on each other, each to the idlest worker. */
static void place_batches(struct place *p, const uint32_t *order)
{
    for (uint32_t k = 0; k < p->dag->n_tasks; k += TGI_RESIDENT_BATCH) {
        uint32_t worker = idlest(&p->idle, 1), end = k + TGI_RESIDENT_BATCH;
        double start = idle_at(&p->idle, worker, worker / p->idle.each), last = 0;
        for (uint32_t i = k; i < end && i < p->dag->n_tasks; i++) {
            give(p, order[i], worker, start);
            last = last < p->placed[order[i]].end ? p->placed[order[i]].end : last;
        }
        set_idle(&p->idle, worker, last);
    }
}

/* ---- POSTs --------------------------------------------------------------------------------*/

/* A worker has several of them at once, and none is nearer to one worker than to another, as cells are in global memory.  So they
 * are dealt by levels, a few to each block in turn: levels too narrow for all are spread over as many multiprocessors as can
 * be, and the next levels' rows are loaded while these are waited for.  The end is what the levels take, or the work. */
static int place_posts(struct place *p, const struct tgi_resident_shape *shape, uint32_t *worker_of, uint32_t *order, double *makespan_p,
                       struct tg_error *err)
{
    uint32_t *level_end, depth, n_workers = shape->n_blocks * shape->n_workers_each, n = p->dag->n_tasks;
    double work = 0;
    int rc = sort_by_level(p->dag, order, &level_end, &depth, err);
    if (rc)
        return rc;
    free(level_end);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t turn = k / TGI_RESIDENT_POSTS_AT_ONCE;
        worker_of[order[k]] = turn % shape->n_blocks * shape->n_workers_each + turn / shape->n_blocks % shape->n_workers_each;
        work += cost_of(p, order[k]);
    }
    double path = depth * (double)(p->costs->task_ns + p->costs->cell_ns);
    work /= n_workers * (double)TGI_RESIDENT_POSTS_AT_ONCE;
    *makespan_p = path > work ? path : work;
    return 0;
}

static bool has_posts_alone(const struct tgi_resident_dag *dag)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < dag->n_tasks; t++) {
        if (dag->op[t] != TGI_RESIDENT_POST && dag->op[t] != TGI_RESIDENT_EMPTY)
            return false;
        n += dag->op[t] == TGI_RESIDENT_POST;
    }
    return n > 0;
}

/* ---- Tasks a warp wide ----------------------------------------------------------------------*/

static void run_eagerly(struct place *p, uint32_t *order)
{
    for (uint32_t k = 0; k < p->dag->n_tasks; k++) {
        order[k] = tgi_resident_nth(p->dag, k);
        place_eagerly(p, order[k]);
    }
}

static int run_fairly(struct place *p, uint32_t *order, uint32_t n_workers, struct tg_error *err)
{
    uint32_t n_places = ((p->idle.n_devices - 1) * p->idle.block_leaves + p->idle.n_blocks) * p->idle.each;
    uint32_t *level_end, depth, *n_of = malloc(n_places * sizeof *n_of);
    if (!n_of)
        return tgi_error_memory(err, "planning a resident program");
    int rc = sort_by_level(p->dag, order, &level_end, &depth, err);
    for (uint32_t l = 0, k = 0; !rc && l < depth; l++) {
        uint32_t share = (level_end[l] - k + n_workers - 1) / n_workers;
        memset(n_of, 0, n_places * sizeof *n_of);
        for (; k < level_end[l]; k++)
            n_of[place_fairly(p, order[k], n_of, share)]++;
    }
    if (!rc)
        free(level_end);
    free(n_of);
    return rc;
}

/* ---- Entry --------------------------------------------------------------------------------*/

static double makespan(const struct place *p)
{
    double last = 0;
    for (uint32_t t = 0; t < p->dag->n_tasks; t++)
        last = last < p->placed[t].end ? p->placed[t].end : last;
    return last;
}

static void keep(const struct place *p, uint32_t *worker_of)
{
    const struct idle *w = &p->idle;
    uint32_t gap = (w->block_leaves - w->n_blocks) * w->each;
    for (uint32_t t = 0; t < p->dag->n_tasks; t++)
        worker_of[t] = p->placed[t].worker - (p->placed[t].block >> w->device_at) * gap;
}

static int place_threads(struct place *p, uint32_t *worker_of, uint32_t *order, double *makespan_p,
                         struct tg_error *err)
{
    uint32_t *level_end, depth;
    int rc = sort_by_level(p->dag, order, &level_end, &depth, err);
    if (rc)
        return rc;
    free(level_end);
    place_batches(p, order);
    keep(p, worker_of);
    *makespan_p = makespan(p);
    return 0;
}

/* Whichever is expected to end first.  The eager one has to be better by more than costs can be trusted: what it gains, by
 * putting tasks between others' waits, it gains only if they hold. */
static int place_warps(struct place *p, const struct tgi_resident_shape *shape, uint32_t *worker_of,
                       uint32_t *order, double *makespan_p, struct tg_error *err)
{
    uint32_t *fair_order = malloc(((size_t)p->dag->n_tasks + 1) * sizeof *fair_order);
    if (!fair_order)
        return tgi_error_memory(err, "planning a resident program");
    run_eagerly(p, order);
    keep(p, worker_of);
    *makespan_p = makespan(p);
    idle_reset(&p->idle);
    int rc = run_fairly(p, fair_order, shape->n_blocks * shape->n_workers_each, err);
    double fair = makespan(p);
    if (!rc && *makespan_p > TRUST * fair) {
        keep(p, worker_of);
        memcpy(order, fair_order, p->dag->n_tasks * sizeof *order);
        *makespan_p = fair;
    }
    free(fair_order);
    return rc;
}

int tgi_resident_place(const struct tgi_resident_dag *dag, const struct tgi_resident_preds *preds,
                       const struct tgi_resident_shape *shape, uint32_t n_devices, const struct tgi_resident_costs *costs,
                       uint32_t *worker_of, uint32_t *order, double *makespan_p, struct tg_error *err)
{
    struct place p = {.dag = dag, .preds = preds, .costs = costs};
    int rc;
    p.placed = malloc(((size_t)dag->n_tasks + 1) * sizeof *p.placed);
    if (!p.placed || !idle_init(&p.idle, shape, n_devices, dag->is_block != NULL))
        rc = tgi_error_memory(err, "planning a resident program");
    else {
        idle_reset(&p.idle);
        rc = shape->width == TGI_RESIDENT_THREAD ? place_threads(&p, worker_of, order, makespan_p, err)
             : has_posts_alone(dag)              ? place_posts(&p, shape, worker_of, order, makespan_p, err)
                                                 : place_warps(&p, shape, worker_of, order, makespan_p, err);
    }
    free(p.placed);
    free(p.idle.tree);
    free(p.idle.last);
    return rc;
}
