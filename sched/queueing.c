#include "sched/queueing.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/device_queue.h"
#include "sched/urgency.h"

struct lane {
    uint32_t tail, n_before; /* the last task; how many the device was given before that */
};

struct device {
    struct lane lanes[TGI_COMPUTE_LANES];
    uint32_t next_lane, n; /* tasks */
};

struct submitting {
    const struct tgi_workload *w;
    const struct tg_graph *g;
    const uint32_t *device_of;
    struct tgi_queueing *s;
    struct device *devices;
    struct tgi_urgency urgency;
    float *task_ns, *known_ns;           /* what a task takes; what the run goes by */
    uint32_t *n_before, *pred_at, *pred; /* by task: predecessors that are not enqueued; predecessors */
    uint8_t *lane_of;                    /* by task */
    uint32_t *heap, *number;             /* tasks that can be enqueued; by task: when they could be */
    uint32_t n_heap, n_numbers;
    uint32_t *by_rank; /* tasks as they are enqueued */
};

/* ---- The most urgent ----------------------------------------------------------------------*/

static bool precedes(const struct submitting *s, uint32_t a, uint32_t b)
{
    const uint8_t *class_of = s->g->class_of;
    if (class_of && class_of[a] != class_of[b])
        return class_of[a] > class_of[b];
    float x = s->urgency.level_ns[a], y = s->urgency.level_ns[b];
    return x != y ? x > y : s->number[a] < s->number[b];
}

static void push(struct submitting *s, uint32_t task)
{
    uint32_t i = s->n_heap++;
    s->number[task] = s->n_numbers++;
    for (; i > 0 && precedes(s, task, s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = task;
}

static uint32_t pop(struct submitting *s)
{
    uint32_t first = s->heap[0], last = s->heap[--s->n_heap], i = 0;
    for (uint32_t child = 1; child < s->n_heap; i = child, child = 2 * i + 1) {
        if (child + 1 < s->n_heap && precedes(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!precedes(s, s->heap[child], last))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

/* ---- Lanes --------------------------------------------------------------------------------*/

struct device_lanes {
    const struct device *d;
    uint32_t most;
};
/* What was enqueued before a whole queue is done. */
static bool is_idle(const void *arg, uint32_t lane)
{
    const struct device_lanes *l = arg;
    return l->d->lanes[lane].tail == TG_NONE || l->d->lanes[lane].n_before + l->most < l->d->n;
}

static bool is_urgent(const struct submitting *s, uint32_t task)
{
    return s->g->class_of ? s->g->class_of[task] == TGI_N_CLASSES - 1 : s->urgency.is_critical[task];
}

/* One that nothing was put into has rested since ever. */
static bool rests_longer(const struct lane *a, const struct lane *b)
{
    return b->tail != TG_NONE && (a->tail == TG_NONE || a->n_before < b->n_before);
}

/* As recorders do (mem/recorder.h): that of a predecessor that is its lane's last one, else the one that has rested longest. */
static uint32_t choose_shared(const struct submitting *s, const struct device *d, uint32_t task)
{
    const struct tgi_lane_range range = tgi_lanes_for(is_urgent(s, task));
    uint32_t best = range.first;
    for (uint32_t lane = range.first; lane < range.first + range.n; lane++) {
        for (uint32_t i = s->pred_at[task]; i < s->pred_at[task + 1]; i++)
            if (d->lanes[lane].tail == s->pred[i])
                return lane;
        if (rests_longer(&d->lanes[lane], &d->lanes[best]))
            best = lane;
    }
    return best;
}

/* See device_queue.h. */
static uint32_t choose_lane(const struct submitting *s, struct device *d, uint32_t task, uint32_t most)
{
    const struct tgi_lane_range range = tgi_lanes_for(is_urgent(s, task));
    uint32_t best = TG_NONE;
    for (uint32_t i = s->pred_at[task]; i < s->pred_at[task + 1]; i++) {
        uint32_t p = s->pred[i], lane = s->lane_of[p];
        if (s->device_of[p] == s->device_of[task] && tgi_lane_is_in(range, lane) && d->lanes[lane].tail == p)
            best = lane;
    }
    const struct device_lanes lanes = {d, most};
    return best != TG_NONE ? best : tgi_lane_in_turn(range, &d->next_lane, is_idle, &lanes);
}

static void enqueue(struct submitting *s, uint32_t task)
{
    struct device *d = &s->devices[s->device_of[task]];
    if (s->w->is_replayed && !s->w->shares_lane[task])
        return;
    uint32_t which = s->w->is_replayed ? choose_shared(s, d, task) : choose_lane(s, d, task, s->s->most[s->device_of[task]]);
    struct lane *lane = &d->lanes[which];
    s->s->is_behind[task] = lane->tail != TG_NONE;
    if (lane->tail != TG_NONE)
        s->s->next[lane->tail] = task;
    *lane = (struct lane){task, d->n++};
    s->lane_of[task] = (uint8_t)which;
}

/* ---- All of it ----------------------------------------------------------------------------*/

/* By what a task takes of its device while others are at work as well. */
static void limit_queues(struct submitting *s)
{
    const struct tgi_machine *m = s->w->machine;
    for (uint32_t d = 0; d < m->n_devices; d++) {
        double ns = 0, n = 0, rate = m->memories[m->devices[d].memory].bytes_per_ns;
        for (uint32_t t = 0; t < s->w->n_tasks; t++) {
            if (s->device_of[t] != d)
                continue;
            double moved = tgi_workload_traffic(s->w, t, d);
            ns += rate > 0 && moved > 0 ? moved / rate : (double)s->task_ns[t];
            n++;
        }
        s->s->most[d] = s->w->is_replayed ? UINT32_MAX : tgi_queue_limit(n > 0 ? ns / n : 0);
    }
}

static bool list_predecessors(struct submitting *s)
{
    const struct tg_graph *g = s->g;
    uint32_t n_edges = g->nodes[g->n_tasks].succ;
    s->pred = malloc(((size_t)n_edges + 1) * sizeof *s->pred);
    if (!s->pred)
        return false;
    for (uint32_t k = 0; k < n_edges; k++)
        s->pred_at[g->succ[k] + 1]++;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        s->pred_at[t + 1] += s->pred_at[t];
    for (uint32_t i = 0; i < g->n_tasks; i++) {
        uint32_t t = tgi_workload_task_at(s->w, i);
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            s->pred[s->pred_at[g->succ[k]] + s->n_before[g->succ[k]]++] = t;
    }
    return true;
}

static void submit_all(struct submitting *s)
{
    const struct tg_graph *g = s->g;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_tasks; i++) {
        uint32_t t = tgi_workload_task_at(s->w, i);
        if (s->n_before[t] == 0)
            push(s, t);
    }
    while (s->n_heap) {
        uint32_t t = pop(s);
        enqueue(s, t);
        s->s->rank[t] = n++;
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            if (--s->n_before[g->succ[k]] == 0)
                push(s, g->succ[k]);
    }
}

/* Each device's in the order of their ranks. */
static void sort_by_device(struct submitting *s)
{
    uint32_t n = s->w->n_tasks, *at = s->s->order_at;
    for (uint32_t t = 0; t < n; t++) {
        s->by_rank[s->s->rank[t]] = t;
        at[s->device_of[t] + 1]++;
    }
    for (uint32_t d = 0; d < s->w->machine->n_devices; d++) {
        at[d + 1] += at[d];
        s->devices[d].n = at[d];
    }
    for (uint32_t i = 0; i < n; i++)
        s->s->order[s->devices[s->device_of[s->by_rank[i]]].n++] = s->by_rank[i];
}

/* What copies take the thread: of what is read where it has not been read or written before, since it was written elsewhere.  Memories beyond the
 * first 64 are not looked at.  False: no memory. */
static bool add_moves(struct submitting *s)
{
    const struct tgi_workload *w = s->w;
    uint64_t *there = calloc((size_t)w->n_tiles + 1, sizeof *there); /* by tile: a bit for each memory that has it; 0: as at first, memory 0 alone */
    for (uint32_t i = 0; there && w->handling && i < w->n_tasks; i++) {
        uint32_t t = s->by_rank[i], memory = w->machine->devices[s->device_of[t]].memory;
        for (uint32_t k = w->uses_at[t]; memory < 64 && k < w->uses_at[t + 1]; k++) {
            const struct tgi_use *use = &w->uses[k];
            uint64_t here = UINT64_C(1) << memory, has = there[use->tile] ? there[use->tile] : 1;
            bool is_filled = w->is_blank && w->is_blank[use->tile] && use->writer == TG_NONE;
            if (use->is_read && !(has & here) && !is_filled && !(w->stays && w->stays[use->tile]))
                s->s->task_ns[t] += w->handling[t].move_ns;
            there[use->tile] = use->is_written ? here : has | here;
        }
    }
    bool is_good = there != NULL;
    free(there);
    return is_good;
}

/* Tasks that do nothing are the least; those of this graph may be several launches each. */
static float host_ns(const struct tgi_workload *w, uint32_t task, double least_ns)
{
    struct tgi_handling h = w->handling ? w->handling[task] : (struct tgi_handling){0, 0, 0};
    float ns = h.ns < (float)least_ns ? (float)least_ns : h.ns;
    return w->is_recorded && ns > 0 ? ns + h.mark_ns : ns;
}

static void prepare(struct submitting *s)
{
    struct tgi_replay_costs costs;
    for (uint32_t d = 0; d < s->w->machine->n_devices; d++)
        for (uint32_t k = 0; k < TGI_COMPUTE_LANES; k++)
            s->devices[d].lanes[k].tail = TG_NONE;
    for (uint32_t t = 0; t < s->w->n_tasks; t++) {
        float known_ns = s->w->known_ns ? s->w->known_ns[t] : 0;
        s->task_ns[t] = (float)tgi_workload_ns(s->w, t, s->device_of[t]);
        s->known_ns[t] = known_ns > 0 ? known_ns : s->task_ns[t];
    }
    memset(s->s->next, 0xff, s->w->n_tasks * sizeof *s->s->next);
    tgi_machine_replay_costs(s->w->machine, s->w->n_tasks, &costs);
    s->s->copy_ns = costs.ns[TGI_REPLAY_COPY];
    for (uint32_t t = 0; t < s->w->n_tasks; t++)
        s->s->task_ns[t] = s->w->is_replayed ? 0 : host_ns(s->w, t, costs.ns[TGI_REPLAY_SUBMIT]);
    tgi_urgency_compute(s->g, s->known_ns, &s->urgency);
}

int tgi_queueing_create(const struct tgi_workload *w, const uint32_t *device, struct tgi_queueing **s_p, struct tg_error *err)
{
    size_t n = (size_t)w->n_tasks + 2;
    struct submitting s = {.w = w, .g = w->graph, .device_of = device, .s = calloc(1, sizeof *s.s)};
    s.devices = calloc(w->machine->n_devices, sizeof *s.devices);
    s.urgency = (struct tgi_urgency){malloc(n * sizeof(float)), calloc(n, 1)};
    s.task_ns = malloc(n * sizeof *s.task_ns);
    s.known_ns = malloc(n * sizeof *s.known_ns);
    s.n_before = calloc(n, sizeof *s.n_before);
    s.pred_at = calloc(n, sizeof *s.pred_at);
    s.lane_of = calloc(n, 1);
    s.heap = malloc(n * sizeof *s.heap);
    s.number = malloc(n * sizeof *s.number);
    s.by_rank = malloc(n * sizeof *s.by_rank);
    if (s.s)
        *s.s = (struct tgi_queueing){malloc(n * sizeof(uint32_t)), calloc((size_t)w->machine->n_devices + 1, sizeof(uint32_t)),
                                       malloc(n * sizeof(uint32_t)), malloc(n * sizeof(uint32_t)), calloc(n, 1),
                                       calloc(w->machine->n_devices, sizeof(uint32_t)), malloc(n * sizeof(float)), w->copy_launch_ns, 0};
    bool is_done = s.s && s.s->order && s.s->order_at && s.s->rank && s.s->next && s.s->is_behind && s.s->most && s.s->task_ns && s.devices && s.urgency.level_ns &&
                   s.urgency.is_critical && s.task_ns && s.known_ns && s.n_before && s.pred_at && s.lane_of && s.heap && s.number && s.by_rank &&
                   list_predecessors(&s);
    if (is_done) {
        prepare(&s);
        limit_queues(&s);
        submit_all(&s);
        sort_by_device(&s);
        is_done = add_moves(&s);
    }
    if (is_done)
        *s_p = s.s;
    else
        tgi_queueing_destroy(s.s);
    free(s.devices);
    free(s.urgency.level_ns);
    free(s.urgency.is_critical);
    free(s.task_ns);
    free(s.known_ns);
    free(s.n_before);
    free(s.pred_at);
    free(s.pred);
    free(s.lane_of);
    free(s.heap);
    free(s.number);
    free(s.by_rank);
    return is_done ? 0 : tgi_error_memory(err, "simulating");
}

void tgi_queueing_destroy(struct tgi_queueing *s)
{
    if (!s)
        return;
    free(s->order);
    free(s->order_at);
    free(s->rank);
    free(s->next);
    free(s->is_behind);
    free(s->most);
    free(s->task_ns);
    free(s);
}
