/* Policies that plan ahead: tasks by upward rank, each to the device where it is done first.
 *
 * `heft` is Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for heterogeneous
 * computing" (2002), with insertion into gaps: every copy has its link to itself.
 *
 * `bandwidth` works with the same ranks, but copies wait for those before them at the port of either memory; a task
 * is not done before its memory has served the bytes of all tasks placed there before it; a copy that is
 * there is not made again; tiles that do not fit cost a copy to memory 0; and a device is preferred if
 * what follows is done early from there, by the optimistic cost table of Arabnejad and Barbosa, "List scheduling
 * algorithm for heterogeneous systems by an optimistic cost table" (2014).  It offers its plan with and without
 * that look-ahead, the one of `heft`, and where lanes share a memory one that mixes tasks (policy_mix.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/policy_mix.h"
#include "sched/simulate.h"

enum { MAX_GAPS = 64, MAX_LOOK_AHEAD = 64, MIXED = 3 };

struct gap {
    double from, to;
};

struct processor {
    double *lane_free;
    uint32_t first_free; /* the lane that is free first */
    struct gap gaps[MAX_GAPS];
    uint32_t n_gaps;
};

struct planner {
    const struct tgi_workload *w;
    const struct tgi_machine *m;
    bool is_aware;          /* of contention: `bandwidth` */
    double mean_latency_ns, mean_ns_per_byte; /* between two devices */
    double *rank;           /* by task */
    uint32_t *sequence;     /* tasks in the order they are placed */
    float *table;           /* optimistic costs, by task * n_devices + device; NULL: no look-ahead */
    double *ready;          /* by task: everything before it is done */
    double *there;          /* by tile * n_memories + memory: when a copy is there; INFINITY: none is */
    uint32_t *owner;        /* by tile: memory of the last writer */
    struct processor *processors;
    double *lane_space;
    double *in_free, *out_free, *served, *held; /* by memory: ports, controller, bytes */
    uint32_t *n_lanes;      /* by memory: of all devices that work from it */
    struct tgi_offers *offers; /* NULL: nobody wants to know */
};

/* ---- Ranks --------------------------------------------------------------------------------*/

static void find_means(struct planner *p)
{
    double latency = 0, per_byte = 0, n = 0;
    uint32_t last = p->m->n_devices < 64 ? p->m->n_devices : 64; /* enough to know a large machine by */
    for (uint32_t a = 0; a < last; a++)
        for (uint32_t b = 0; b < last; b++) {
            uint32_t from = p->m->devices[a].memory, to = p->m->devices[b].memory;
            double none = tgi_machine_copy_ns(p->m, from, to, 0), some = tgi_machine_copy_ns(p->m, from, to, 1e6);
            if (a == b)
                continue;
            latency += none;
            per_byte += (some - none) / 1e6;
            n++;
        }
    p->mean_latency_ns = n ? latency / n : 0;
    p->mean_ns_per_byte = n ? per_byte / n : 0;
}

static double mean_copy_ns(const struct planner *p, double bytes)
{
    return bytes > 0 ? p->mean_latency_ns + bytes * p->mean_ns_per_byte : 0;
}

/* On the devices that may run it, lane by lane. */
static double mean_ns(const struct planner *p, uint32_t task)
{
    double sum = 0, n = 0;
    for (uint32_t d = 0; d < p->m->n_devices; d++)
        if (tgi_workload_allows(p->w, task, d)) {
            sum += tgi_workload_ns(p->w, task, d) * p->m->devices[d].n_lanes;
            n += p->m->devices[d].n_lanes;
        }
    return sum / n;
}

/* Bytes that `task` reads of what `writer` wrote. */
static double bytes_between(const struct planner *p, uint32_t writer, uint32_t task)
{
    double bytes = 0;
    for (uint32_t u = p->w->uses_at[task]; u < p->w->uses_at[task + 1]; u++)
        if (p->w->uses[u].is_read && p->w->uses[u].writer == writer)
            bytes += (double)p->w->tile_bytes[p->w->uses[u].tile];
    return bytes;
}

/* Edges that others imply are not in the graph, but what moves along them is: so both are walked. */
static void find_ranks(struct planner *p)
{
    const struct tg_graph *g = p->w->graph;
    for (uint32_t i = p->w->n_tasks; i-- > 0;) {
        uint32_t t = tgi_workload_task_at(p->w, i);
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            if (p->rank[g->succ[k]] > p->rank[t])
                p->rank[t] = p->rank[g->succ[k]];
        p->rank[t] += mean_ns(p, t);
        for (uint32_t u = p->w->uses_at[t]; u < p->w->uses_at[t + 1]; u++) {
            uint32_t writer = p->w->uses[u].is_read ? p->w->uses[u].writer : TG_NONE;
            if (writer == TG_NONE)
                continue;
            double rank = p->rank[t] + mean_copy_ns(p, bytes_between(p, writer, t));
            p->rank[writer] = rank > p->rank[writer] ? rank : p->rank[writer];
        }
    }
}

struct ranked {
    double rank;
    uint32_t position;
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank > b->rank ? -1 : 1;
    return a->position < b->position ? -1 : 1;
}

static bool sort_by_rank(struct planner *p)
{
    struct ranked *order = malloc(((size_t)p->w->n_tasks + 1) * sizeof *order);
    for (uint32_t i = 0; order && i < p->w->n_tasks; i++)
        order[i] = (struct ranked){p->rank[tgi_workload_task_at(p->w, i)], i};
    if (order)
        qsort(order, p->w->n_tasks, sizeof *order, compare_ranked);
    for (uint32_t i = 0; order && i < p->w->n_tasks; i++)
        p->sequence[i] = tgi_workload_task_at(p->w, order[i].position);
    free(order);
    return order != NULL;
}

/* ---- Look-ahead ---------------------------------------------------------------------------*/

/* Least time from the end of t on device d to the end of everything along the path through s. */
static void look_past(struct planner *p, uint32_t t, uint32_t s)
{
    uint32_t n = p->m->n_devices;
    const float *after = p->table + (size_t)s * n;
    float *table = p->table + (size_t)t * n, stay[MAX_LOOK_AHEAD], least = INFINITY;
    float copy = (float)mean_copy_ns(p, bytes_between(p, t, s));
    for (uint32_t d = 0; d < n; d++) {
        stay[d] = tgi_workload_allows(p->w, s, d) ? after[d] + (float)tgi_workload_ns(p->w, s, d) : INFINITY;
        least = stay[d] < least ? stay[d] : least;
    }
    for (uint32_t d = 0; d < n; d++) {
        float best = stay[d] < least + copy ? stay[d] : least + copy;
        table[d] = best > table[d] ? best : table[d];
    }
}

static bool look_ahead(struct planner *p)
{
    const struct tg_graph *g = p->w->graph;
    p->table = calloc((size_t)p->w->n_tasks * p->m->n_devices + 1, sizeof *p->table);
    for (uint32_t i = p->w->n_tasks; p->table && i-- > 0;) {
        uint32_t t = tgi_workload_task_at(p->w, i);
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            look_past(p, t, g->succ[k]);
    }
    return p->table != NULL;
}

/* ---- Where a task is done first -----------------------------------------------------------*/

struct offer {
    uint32_t device;
    double from, start, end, score; /* from: data are there */
    double in_free, served;
};

/* When the copy of a tile is in a memory; in_free_p: when the port into it is free, NULL: it has no queue. */
static double arrival(const struct planner *p, uint32_t tile, uint32_t memory, double *in_free_p)
{
    const double *there = p->there + (size_t)tile * p->m->n_memories;
    uint32_t from = p->owner[tile];
    if (!isinf(there[memory]))
        return there[memory];
    if (p->w->is_blank && p->w->is_blank[tile] && from == 0 && there[0] <= 0)
        return 0;
    double ns = tgi_machine_copy_ns(p->m, from, memory, (double)p->w->tile_bytes[tile]), start = there[from];
    if (in_free_p) {
        start = *in_free_p > start ? *in_free_p : start;
        start = p->out_free[from] > start ? p->out_free[from] : start;
        *in_free_p = start + ns;
    }
    return start + ns;
}

static double data_there(const struct planner *p, uint32_t task, struct offer *o)
{
    uint32_t memory = p->m->devices[o->device].memory;
    double at = p->ready[task];
    o->in_free = p->in_free[memory];
    for (uint32_t u = p->w->uses_at[task]; u < p->w->uses_at[task + 1]; u++)
        if (p->w->uses[u].is_read) {
            double here = arrival(p, p->w->uses[u].tile, memory, p->is_aware ? &o->in_free : NULL);
            at = here > at ? here : at;
        }
    return at;
}

/* The first gap that is long enough, else behind everything. */
static double find_start(const struct processor *x, double from, double ns)
{
    for (uint32_t i = 0; i < x->n_gaps; i++) {
        double start = x->gaps[i].from > from ? x->gaps[i].from : from;
        if (start + ns <= x->gaps[i].to)
            return start;
    }
    double last = x->lane_free[x->first_free];
    return last > from ? last : from;
}

/* What would have to leave a full memory for it. */
static double eviction_ns(const struct planner *p, uint32_t task, uint32_t memory)
{
    double bytes = 0, limit = memory ? (double)p->m->memories[memory].bytes : 0;
    if (limit <= 0)
        return 0;
    for (uint32_t u = p->w->uses_at[task]; u < p->w->uses_at[task + 1]; u++)
        if (isinf(p->there[(size_t)p->w->uses[u].tile * p->m->n_memories + memory]))
            bytes += (double)p->w->tile_bytes[p->w->uses[u].tile];
    double over = p->held[memory] + bytes - limit;
    return over > 0 ? tgi_machine_copy_ns(p->m, memory, 0, over < bytes ? over : bytes) : 0;
}

static struct offer make_offer(const struct planner *p, uint32_t task, uint32_t device)
{
    struct offer o = {.device = device};
    uint32_t memory = p->m->devices[device].memory;
    double ns = tgi_workload_ns(p->w, task, device), from = data_there(p, task, &o);
    double limit = p->m->memories[memory].bytes_per_ns;
    if (p->is_aware)
        from += eviction_ns(p, task, memory);
    o.from = from;
    o.start = find_start(&p->processors[device], from, ns);
    o.end = o.start + ns;
    double traffic = tgi_workload_traffic(p->w, task, device);
    if (p->is_aware && limit > 0 && traffic > 0) {
        double turn = p->served[memory] > o.start && p->n_lanes[memory] > 1 ? p->served[memory] : o.start;
        o.served = turn + traffic / limit;
        o.end = o.served > o.end ? o.served : o.end;
    }
    o.score = o.end + (p->table ? p->table[(size_t)task * p->m->n_devices + device] : 0);
    return o;
}

/* Smaller is better; the first of equal ones. */
static bool is_better(const struct offer *a, const struct offer *b)
{
    return a->score < b->score || (a->score == b->score && a->end < b->end);
}

static struct tgi_offer told(const struct planner *p, uint32_t task, const struct offer *o)
{
    double ns = tgi_workload_ns(p->w, task, o->device), ready = p->ready[task];
    double contention = o->end - o->start - ns, after = o->score - o->end;
    return (struct tgi_offer){task, o->device, ready, o->from > ready ? o->from - ready : 0, o->start - o->from, ns,
                              contention > 0 ? contention : 0, after > 0 ? after : 0};
}

/* The one that was taken, then the best of the others. */
static void tell_offers(struct planner *p, uint32_t task, uint32_t taken)
{
    struct offer best[TGI_OFFERS_EACH];
    uint32_t n = 1;
    best[0] = make_offer(p, task, taken);
    for (uint32_t d = 0; d < p->m->n_devices; d++) {
        if (d == taken || !tgi_workload_allows(p->w, task, d))
            continue;
        struct offer o = make_offer(p, task, d);
        uint32_t i = n < TGI_OFFERS_EACH ? n++ : n;
        if (i == n && !is_better(&o, &best[--i]))
            continue;
        for (; i > 1 && is_better(&o, &best[i - 1]); i--)
            best[i] = best[i - 1];
        best[i] = o;
    }
    if (!tgi_offers_reserve(p->offers, n))
        return;
    for (uint32_t i = 0; i < n; i++)
        p->offers->list[p->offers->n++] = told(p, task, &best[i]);
}

static struct offer best_offer(const struct planner *p, uint32_t task)
{
    struct offer best = {.device = TG_NONE};
    for (uint32_t d = 0; d < p->m->n_devices; d++) {
        if (!tgi_workload_allows(p->w, task, d))
            continue;
        struct offer o = make_offer(p, task, d);
        if (best.device == TG_NONE || is_better(&o, &best))
            best = o;
    }
    return best;
}

/* ---- Placing it there ---------------------------------------------------------------------*/

static void add_gap(struct processor *x, double from, double to)
{
    if (x->n_gaps == MAX_GAPS)
        memmove(x->gaps, x->gaps + 1, --x->n_gaps * sizeof *x->gaps);
    uint32_t i = x->n_gaps++;
    for (; i > 0 && x->gaps[i - 1].from > from; i--)
        x->gaps[i] = x->gaps[i - 1];
    x->gaps[i] = (struct gap){from, to};
}

static void occupy(struct processor *x, uint32_t n_lanes, double start, double end)
{
    double last = x->lane_free[x->first_free];
    for (uint32_t i = 0; i < x->n_gaps; i++) {
        struct gap g = x->gaps[i];
        if (start < g.from || end > g.to)
            continue;
        memmove(x->gaps + i, x->gaps + i + 1, (--x->n_gaps - i) * sizeof *x->gaps);
        if (g.from < start)
            add_gap(x, g.from, start);
        if (end < g.to)
            add_gap(x, end, g.to);
        return;
    }
    if (start > last)
        add_gap(x, last, start);
    x->lane_free[x->first_free] = end > last ? end : last;
    for (uint32_t i = 0; i < n_lanes; i++)
        if (x->lane_free[i] < x->lane_free[x->first_free])
            x->first_free = i;
}

static void settle_copies(struct planner *p, uint32_t task, const struct offer *o)
{
    uint32_t memory = p->m->devices[o->device].memory;
    double in_free = p->in_free[memory];
    for (uint32_t u = p->w->uses_at[task]; u < p->w->uses_at[task + 1]; u++) {
        const struct tgi_use *use = &p->w->uses[u];
        double *there = p->there + (size_t)use->tile * p->m->n_memories;
        if (!use->is_read || !isinf(there[memory]))
            continue;
        double at = arrival(p, use->tile, memory, p->is_aware ? &in_free : NULL);
        if (p->is_aware && at > 0)
            p->out_free[p->owner[use->tile]] = at;
        there[memory] = at;
        p->held[memory] += (double)p->w->tile_bytes[use->tile];
    }
    p->in_free[memory] = in_free;
}

static void settle_writes(struct planner *p, uint32_t task, const struct offer *o)
{
    uint32_t memory = p->m->devices[o->device].memory, n = p->m->n_memories;
    for (uint32_t u = p->w->uses_at[task]; u < p->w->uses_at[task + 1]; u++) {
        uint32_t tile = p->w->uses[u].tile;
        if (!p->w->uses[u].is_written)
            continue;
        for (uint32_t i = 0; i < n; i++) {
            double *there = &p->there[(size_t)tile * n + i];
            double bytes = (double)p->w->tile_bytes[tile];
            p->held[i] += bytes * ((i == memory) - !isinf(*there));
            *there = i == memory ? o->end : INFINITY;
        }
        p->owner[tile] = memory;
    }
}

static void place(struct planner *p, uint32_t task, struct tgi_assignment *a)
{
    const struct tg_graph *g = p->w->graph;
    struct offer o = best_offer(p, task);
    uint32_t memory = p->m->devices[o.device].memory;
    if (p->offers)
        tell_offers(p, task, o.device);
    settle_copies(p, task, &o);
    settle_writes(p, task, &o);
    occupy(&p->processors[o.device], p->m->devices[o.device].n_lanes, o.start, o.end);
    if (o.served > p->served[memory])
        p->served[memory] = o.served;
    a->device[task] = o.device;
    a->order[task] = o.start;
    a->makespan_ns = o.end > a->makespan_ns ? o.end : a->makespan_ns;
    for (uint32_t k = g->nodes[task].succ; k < g->nodes[task + 1].succ; k++)
        if (o.end > p->ready[g->succ[k]])
            p->ready[g->succ[k]] = o.end;
}

/* ---- A plan -------------------------------------------------------------------------------*/

static void planner_fini(struct planner *p)
{
    free(p->rank);
    free(p->sequence);
    free(p->table);
    free(p->ready);
    free(p->there);
    free(p->owner);
    free(p->processors);
    free(p->lane_space);
    free(p->in_free);
    free(p->n_lanes);
}

static bool init_processors(struct planner *p)
{
    uint32_t n_lanes = 0;
    for (uint32_t d = 0; d < p->m->n_devices; d++)
        n_lanes += p->m->devices[d].n_lanes;
    p->processors = calloc(p->m->n_devices, sizeof *p->processors);
    p->lane_space = calloc(n_lanes, sizeof *p->lane_space);
    n_lanes = 0;
    for (uint32_t d = 0; p->processors && p->lane_space && d < p->m->n_devices; d++) {
        p->processors[d].lane_free = p->lane_space + n_lanes;
        n_lanes += p->m->devices[d].n_lanes;
    }
    return p->processors && p->lane_space;
}

static bool planner_init(struct planner *p, const struct tgi_workload *w)
{
    size_t n = (size_t)w->n_tasks + 1, n_memories = w->machine->n_memories, n_copies = (size_t)w->n_tiles * n_memories;
    p->rank = calloc(n, sizeof *p->rank);
    p->sequence = malloc(n * sizeof *p->sequence);
    p->ready = calloc(n, sizeof *p->ready);
    p->there = malloc((n_copies + 1) * sizeof *p->there);
    p->owner = calloc((size_t)w->n_tiles + 1, sizeof *p->owner);
    p->in_free = calloc(4 * n_memories, sizeof *p->in_free);
    p->n_lanes = calloc(n_memories, sizeof *p->n_lanes);
    if (!p->rank || !p->sequence || !p->ready || !p->there || !p->owner || !p->in_free || !p->n_lanes || !init_processors(p))
        return false;
    p->out_free = p->in_free + n_memories;
    p->served = p->out_free + n_memories;
    p->held = p->served + n_memories;
    for (uint32_t d = 0; d < w->machine->n_devices; d++)
        p->n_lanes[w->machine->devices[d].memory] += w->machine->devices[d].n_lanes;
    for (size_t i = 0; i < n_copies; i++)
        p->there[i] = i % n_memories ? INFINITY : 0;
    return true;
}

static int make_plan(const struct tgi_workload *w, bool is_aware, bool looks_ahead, struct tgi_assignment *a,
                     struct tgi_offers *offers, struct tg_error *err)
{
    struct planner p = {.w = w, .m = w->machine, .is_aware = is_aware, .offers = offers};
    a->makespan_ns = 0;
    bool is_done = planner_init(&p, w);
    if (is_done) {
        find_means(&p);
        find_ranks(&p);
        is_done = sort_by_rank(&p) && (!looks_ahead || look_ahead(&p));
    }
    for (uint32_t i = 0; is_done && i < w->n_tasks; i++)
        place(&p, p.sequence[i], a);
    planner_fini(&p);
    is_done = is_done && (!offers || !offers->is_out_of_memory);
    return is_done ? 0 : tgi_error_memory(err, "planning");
}

static int heft_plan(const struct tgi_workload *w, uint32_t variant, struct tgi_assignment *a, struct tg_error *err)
{
    return variant ? TG_E_LIMIT : make_plan(w, false, false, a, NULL, err);
}

static int bandwidth_variant(const struct tgi_workload *w, uint32_t variant, struct tgi_assignment *a, struct tgi_offers *offers,
                             struct tg_error *err)
{
    return make_plan(w, variant < 2, variant == 0 && w->machine->n_devices <= MAX_LOOK_AHEAD, a, offers, err);
}

/* By what a policy that decides as it goes comes to against the virtual clock. */
static int mixed_plan(const struct tgi_workload *w, struct tgi_assignment *a, struct tg_error *err)
{
    struct tgi_plan *plan;
    int rc = tgi_simulate(w, &tgi_policy_mix, NULL, &plan, err);
    if (rc)
        return rc;
    memcpy(a->device, plan->device, w->n_tasks * sizeof *a->device);
    memcpy(a->order, plan->start, w->n_tasks * sizeof *a->order);
    a->makespan_ns = plan->makespan_ns;
    tgi_plan_destroy(plan);
    return 0;
}

static int bandwidth_plan(const struct tgi_workload *w, uint32_t variant, struct tgi_assignment *a, struct tg_error *err)
{
    if (variant == MIXED && tgi_policy_mix_is_of_use(w))
        return mixed_plan(w, a, err);
    return variant >= MIXED ? TG_E_LIMIT : bandwidth_variant(w, variant, a, NULL, err);
}

static int heft_explain(const struct tgi_workload *w, uint32_t variant, struct tgi_offers *offers, struct tg_error *err)
{
    struct tgi_assignment a;
    (void)variant;
    int rc = tgi_assignment_init(&a, w->n_tasks, err);
    if (rc == 0)
        rc = make_plan(w, false, false, &a, offers, err);
    tgi_assignment_fini(&a);
    return rc;
}

/* Of a mixed plan there is nothing to tell: it did not compare devices. */
static int bandwidth_explain(const struct tgi_workload *w, uint32_t variant, struct tgi_offers *offers, struct tg_error *err)
{
    struct tgi_assignment a;
    if (variant == MIXED)
        return 0;
    int rc = tgi_assignment_init(&a, w->n_tasks, err);
    if (rc == 0)
        rc = bandwidth_variant(w, variant, &a, offers, err);
    tgi_assignment_fini(&a);
    return rc;
}

static const char *const heft_rivals[] = {"eager", NULL};
static const char *const bandwidth_rivals[] = {"eager", "steal", NULL};

const struct tgi_policy_ops tgi_policy_heft = {
    .size = sizeof(struct tgi_policy_ops), .name = "heft", .brief = "by upward rank to where it is done first",
    .plan = heft_plan, .explain = heft_explain, .rivals = heft_rivals};
const struct tgi_policy_ops tgi_policy_bandwidth = {
    .size = sizeof(struct tgi_policy_ops), .name = "bandwidth",
    .brief = "the same, with the contention of links and memories, capacity and look-ahead",
    .plan = bandwidth_plan, .explain = bandwidth_explain, .rivals = bandwidth_rivals};
