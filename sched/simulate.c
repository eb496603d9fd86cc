/* The virtual clock: a heap of events, ties in a fixed order.
 *
 * A device accepts a task when it pops it, and may accept a few more than it has lanes, so that their data
 * arrive while others compute.  An accepted task gathers its data, then takes the first lane that is free.
 *
 * Bandwidth of a memory.  A task that would move its bytes at a rate d by itself slows down when the tasks at
 * work in its memory ask for more than there is: those that ask for less than a fair share get what they ask for,
 * the others an equal part of the rest (max-min fairness). */
#include "sched/simulate.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/virtual.h"

enum { PLANNED_AHEAD = 2, STEAL_ATTEMPTS = 4 };

/* ---- Events -------------------------------------------------------------------------------*/

static bool comes_before(const struct tgi_virtual_event *a, const struct tgi_virtual_event *b)
{
    if (a->at != b->at)
        return a->at < b->at;
    return a->kind != b->kind ? a->kind < b->kind : a->id < b->id;
}

void tgi_virtual_at(struct tgi_virtual *v, double at, enum tgi_virtual_kind kind, uint32_t id, uint32_t version)
{
    struct tgi_virtual_event event = {at, kind, id, version};
    if (v->n_heap == v->n_heap_room) {
        uint32_t n_room = v->n_heap_room ? 2 * v->n_heap_room : 1024;
        void *grown = realloc(v->heap, n_room * sizeof *v->heap);
        if (!grown) {
            v->is_out_of_memory = true;
            return;
        }
        v->heap = grown;
        v->n_heap_room = n_room;
    }
    uint32_t i = v->n_heap++;
    for (; i > 0 && comes_before(&event, &v->heap[(i - 1) / 2]); i = (i - 1) / 2)
        v->heap[i] = v->heap[(i - 1) / 2];
    v->heap[i] = event;
}

static struct tgi_virtual_event next_event(struct tgi_virtual *v)
{
    struct tgi_virtual_event first = v->heap[0], last = v->heap[--v->n_heap];
    uint32_t i = 0;
    for (uint32_t child = 1; child < v->n_heap; i = child, child = 2 * i + 1) {
        if (child + 1 < v->n_heap && comes_before(&v->heap[child + 1], &v->heap[child]))
            child++;
        if (!comes_before(&v->heap[child], &last))
            break;
        v->heap[i] = v->heap[child];
    }
    v->heap[i] = last;
    return first;
}

/* ---- Bandwidth of a memory ----------------------------------------------------------------*/

/* The rate beyond which tasks get no more: what is left by those that ask for less. */
static double fair_rate(const struct tgi_virtual *v, const struct tgi_virtual_memory *m)
{
    double rate = m->bytes_per_ns / m->n_lanes, last = 0;
    for (int round = 0; round < 8 && rate > last; round++) {
        double left = m->bytes_per_ns;
        uint32_t n = 0;
        last = rate;
        for (uint32_t i = 0; i < m->n_lanes; i++) {
            double demand = v->lanes[m->lanes[i]].demand;
            if (demand <= rate)
                left -= demand;
            else
                n++;
        }
        rate = n ? left / n : m->bytes_per_ns;
    }
    return rate;
}

static void set_speed(struct tgi_virtual *v, uint32_t lane, double speed)
{
    struct tgi_virtual_lane *l = &v->lanes[lane];
    l->left_ns -= (v->now - l->since) * l->speed;
    l->left_ns = l->left_ns > 0 ? l->left_ns : 0;
    l->since = v->now;
    l->speed = speed;
    tgi_virtual_at(v, v->now + l->left_ns / speed, TGI_VIRTUAL_TASK_END, lane, ++l->version);
}

static void share_memory(struct tgi_virtual *v, struct tgi_virtual_memory *m)
{
    double rate = m->demand > m->bytes_per_ns ? fair_rate(v, m) : m->bytes_per_ns;
    for (uint32_t i = 0; i < m->n_lanes; i++) {
        struct tgi_virtual_lane *l = &v->lanes[m->lanes[i]];
        double speed = l->demand > rate ? rate / l->demand : 1;
        if (speed != l->speed)
            set_speed(v, m->lanes[i], speed);
    }
}

static void enter_memory(struct tgi_virtual *v, uint32_t lane)
{
    struct tgi_virtual_memory *m = &v->memories[v->devices[v->lanes[lane].device].memory];
    if (!m->lanes || v->lanes[lane].demand <= 0)
        return;
    double before = m->demand;
    v->lanes[lane].slot = m->n_lanes;
    m->lanes[m->n_lanes++] = lane;
    m->demand += v->lanes[lane].demand;
    if (before > m->bytes_per_ns || m->demand > m->bytes_per_ns)
        share_memory(v, m);
}

static void leave_memory(struct tgi_virtual *v, uint32_t lane)
{
    struct tgi_virtual_memory *m = &v->memories[v->devices[v->lanes[lane].device].memory];
    if (!m->lanes || v->lanes[lane].demand <= 0)
        return;
    double before = m->demand;
    uint32_t moved = m->lanes[--m->n_lanes];
    m->lanes[v->lanes[lane].slot] = moved;
    v->lanes[moved].slot = v->lanes[lane].slot;
    m->demand = m->n_lanes ? m->demand - v->lanes[lane].demand : 0;
    if (before > m->bytes_per_ns)
        share_memory(v, m);
}

/* ---- Tasks --------------------------------------------------------------------------------*/

static void set_bit(uint64_t *bits, uint32_t i, bool is_set)
{
    uint64_t bit = (uint64_t)1 << i % 64;
    bits[i / 64] = is_set ? bits[i / 64] | bit : bits[i / 64] & ~bit;
}

static void note_room(struct tgi_virtual *v, uint32_t device)
{
    const struct tgi_virtual_device *d = &v->devices[device];
    set_bit(v->has_lane, device, d->n_accepted < d->n_lanes);
    set_bit(v->has_room, device, d->n_accepted < d->window);
}

static void start(struct tgi_virtual *v, uint32_t device, uint32_t task)
{
    struct tgi_virtual_device *d = &v->devices[device];
    uint32_t lane = v->free_lanes[d->first_lane + --d->n_free];
    double ns = tgi_workload_ns(v->w, task, device), traffic = tgi_workload_traffic(v->w, task, device);
    double limit = v->memories[d->memory].bytes_per_ns;
    if (limit > 0 && traffic / limit > ns)
        ns = traffic / limit;
    struct tgi_virtual_lane *l = &v->lanes[lane];
    *l = (struct tgi_virtual_lane){task, device, 0, l->version, ns, 0, v->now, ns > 0 ? traffic / ns : 0};
    v->plan->start[task] = v->now;
    v->plan->device[task] = device;
    set_speed(v, lane, 1);
    enter_memory(v, lane);
}

static void start_runnable(struct tgi_virtual *v, uint32_t device)
{
    struct tgi_virtual_device *d = &v->devices[device];
    while (d->n_free && d->first != TG_NONE) {
        uint32_t task = d->first;
        d->first = v->next[task];
        start(v, device, task);
    }
}

void tgi_virtual_runnable(struct tgi_virtual *v, uint32_t task)
{
    struct tgi_virtual_device *d = &v->devices[v->plan->device[task]];
    v->next[task] = TG_NONE;
    *(d->first == TG_NONE ? &d->first : &v->next[d->last]) = task;
    d->last = task;
    start_runnable(v, v->plan->device[task]);
}

static void accept(struct tgi_virtual *v, uint32_t device, uint32_t task)
{
    v->devices[device].n_accepted++;
    v->plan->device[task] = device;
    v->n_missing[task] = 0;
    tgi_virtual_gather(v, task, v->devices[device].memory);
    if (v->n_missing[task] == 0)
        tgi_virtual_runnable(v, task);
}

/* Whether the device got anything. */
static bool feed(struct tgi_virtual *v, uint32_t device)
{
    bool has_any = false;
    while (v->devices[device].n_accepted < v->devices[device].window) {
        uint32_t task = v->ops->pop(v->policy, device);
        /* What lies ready elsewhere is taken only where a lane has nothing to do. */
        if (task == TG_NONE && v->ops->steal && v->devices[device].n_accepted < v->devices[device].n_lanes) {
            task = v->ops->steal(v->policy, device);
            v->plan->n_steals += task != TG_NONE;
        }
        if (task == TG_NONE)
            break;
        accept(v, device, task);
        has_any = true;
    }
    note_room(v, device);
    return has_any;
}

/* Asks devices in `bits`, from `first` on and around, until one takes something. */
static bool feed_any(struct tgi_virtual *v, const uint64_t *bits, uint32_t first, uint32_t n_attempts)
{
    uint32_t n = v->m->n_devices, n_words = (n + 63) / 64;
    for (uint32_t k = 0; k <= n_words; k++) {
        uint32_t word = (first / 64 + k) % n_words;
        uint64_t mask = bits[word];
        mask &= k == 0 ? UINT64_MAX << first % 64 : k == n_words ? ~(UINT64_MAX << first % 64) : UINT64_MAX;
        for (; mask; mask &= mask - 1) {
            if (feed(v, word * 64 + (uint32_t)__builtin_ctzll(mask)))
                return true;
            if (--n_attempts == 0)
                return false;
        }
    }
    return false;
}

static void push(struct tgi_virtual *v, uint32_t task)
{
    uint32_t device = v->ops->place(v->policy, task), n = v->m->n_devices;
    v->ops->push(v->policy, task, device);
    if (device == TG_NONE) {
        if (!feed_any(v, v->has_lane, 0, n))
            feed_any(v, v->has_room, 0, n);
        return;
    }
    if (v->ops->target)
        tgi_virtual_prefetch(v, task, TGI_VIRTUAL_ALL, TG_NONE, v->devices[device].memory);
    if (v->devices[device].n_accepted < v->devices[device].window)
        feed(v, device);
    else if (v->ops->steal)
        feed_any(v, v->has_lane, device, STEAL_ATTEMPTS);
}

static void send_ahead(struct tgi_virtual *v, uint32_t task)
{
    const struct tg_graph *g = v->w->graph;
    for (uint32_t k = g->nodes[task].succ; k < g->nodes[task + 1].succ; k++) {
        uint32_t target = v->ops->target(v->policy, g->succ[k]);
        if (target != TG_NONE)
            tgi_virtual_prefetch(v, g->succ[k], TGI_VIRTUAL_OF_WRITER, task, v->devices[target].memory);
    }
}

static void count_down(struct tgi_virtual *v, uint32_t task)
{
    if (--v->n_waiting[task] == 0)
        v->ready[v->n_ready++] = task;
}

/* The device whose next task can be enqueued, the most urgent of several; TG_NONE: there is none. */
static uint32_t find_submittable(const struct tgi_virtual *v)
{
    const struct tgi_queueing *s = v->queueing;
    uint32_t best = TG_NONE, least = UINT32_MAX;
    for (uint32_t d = 0; d < v->m->n_devices; d++) {
        uint32_t at = s->order_at[d] + v->n_submitted[d];
        if (at == s->order_at[d + 1] || v->n_queued[d] >= s->most[d] || v->n_unsubmitted[s->order[at]])
            continue;
        if (s->rank[s->order[at]] < least) {
            least = s->rank[s->order[at]];
            best = d;
        }
    }
    return best;
}

static void submit(struct tgi_virtual *v)
{
    const struct tgi_queueing *s = v->queueing;
    uint32_t device = v->is_submitting ? TG_NONE : find_submittable(v);
    if (device == TG_NONE)
        return;
    v->is_submitting = true;
    tgi_virtual_at(v, v->now + s->task_ns[s->order[s->order_at[device] + v->n_submitted[device]]], TGI_VIRTUAL_SUBMIT, device, 0);
}

/* A task is enqueued.  Copies of what is there from the start begin now; of what others write, when those are done. */
static void submitted(struct tgi_virtual *v, uint32_t device)
{
    const struct tgi_queueing *s = v->queueing;
    const struct tg_graph *g = v->w->graph;
    uint32_t task = s->order[s->order_at[device] + v->n_submitted[device]++];
    v->n_queued[device]++;
    v->is_submitting = false;
    tgi_virtual_prefetch(v, task, TGI_VIRTUAL_OF_WRITER, TG_NONE, v->devices[device].memory);
    for (uint32_t k = g->nodes[task].succ; k < g->nodes[task + 1].succ; k++)
        v->n_unsubmitted[g->succ[k]]--;
    count_down(v, task);
    submit(v);
}

static void finish(struct tgi_virtual *v, uint32_t lane)
{
    struct tgi_virtual_lane *l = &v->lanes[lane];
    struct tgi_virtual_device *d = &v->devices[l->device];
    const struct tg_graph *g = v->w->graph;
    uint32_t task = l->task, device = l->device;
    v->plan->end[task] = v->now;
    v->plan->busy_ns[device] += v->now - v->plan->start[task];
    v->plan->n_run[device]++;
    v->n_done++;
    leave_memory(v, lane);
    v->free_lanes[d->first_lane + d->n_free++] = lane;
    d->n_accepted--;
    tgi_virtual_release(v, task, d->memory);
    note_room(v, device);
    if (v->ops->target)
        send_ahead(v, task);
    start_runnable(v, device);
    for (uint32_t k = g->nodes[task].succ; k < g->nodes[task + 1].succ; k++)
        count_down(v, g->succ[k]);
    if (v->queueing && v->queueing->next[task] != TG_NONE)
        count_down(v, v->queueing->next[task]);
    if (v->queueing) {
        v->n_queued[device]--;
        submit(v);
    }
}

/* Tasks that end at one time are over before anything takes their place, so that who comes first among equals does not
 * depend on the order of events. */
static void settle(struct tgi_virtual *v, uint32_t *ended, uint32_t n_ended)
{
    for (uint32_t i = 0; i < v->n_ready; i++)
        push(v, v->ready[i]);
    v->n_ready = 0;
    for (uint32_t i = 0; i < n_ended; i++)
        feed(v, ended[i]);
}

/* ---- A run --------------------------------------------------------------------------------*/

static bool is_current(const struct tgi_virtual *v, const struct tgi_virtual_event *e)
{
    if (e->kind == TGI_VIRTUAL_SUBMIT)
        return true;
    return e->kind == TGI_VIRTUAL_TASK_END ? v->lanes[e->id].version == e->version : v->flows[e->id].version == e->version;
}

static void handle(struct tgi_virtual *v, const struct tgi_virtual_event *e, uint32_t *ended, uint32_t *n_ended)
{
    switch (e->kind) {
    case TGI_VIRTUAL_COPY_BEGIN:
        tgi_virtual_copy_begins(v, e->id);
        break;
    case TGI_VIRTUAL_COPY_END:
        tgi_virtual_copy_ends(v, e->id);
        break;
    case TGI_VIRTUAL_SUBMIT:
        submitted(v, e->id);
        break;
    default:
        v->lanes[e->id].version++;
        ended[(*n_ended)++] = v->lanes[e->id].device;
        finish(v, e->id);
    }
}

struct planned {
    double at;
    uint32_t task;
};

static int compare_planned(const void *left, const void *right)
{
    const struct planned *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->task < b->task ? -1 : a->task > b->task;
}

/* A plan knows from the start who needs what is there: it is sent in the order of planned starts. */
static bool send_first(struct tgi_virtual *v, const struct tgi_assignment *a)
{
    struct planned *order = malloc(((size_t)v->w->n_tasks + 1) * sizeof *order);
    uint32_t n = 0;
    for (uint32_t t = 0; order && t < v->w->n_tasks; t++) {
        bool has_any = false;
        for (uint32_t u = v->w->uses_at[t]; u < v->w->uses_at[t + 1]; u++)
            has_any = has_any || (v->w->uses[u].is_read && v->w->uses[u].writer == TG_NONE);
        if (has_any && v->devices[a->device[t]].memory != 0)
            order[n++] = (struct planned){a->order[t], t};
    }
    if (order)
        qsort(order, n, sizeof *order, compare_planned);
    for (uint32_t i = 0; order && i < n; i++)
        tgi_virtual_prefetch(v, order[i].task, TGI_VIRTUAL_OF_WRITER, TG_NONE, v->devices[a->device[order[i].task]].memory);
    free(order);
    return order != NULL;
}

static void run(struct tgi_virtual *v, uint32_t *ended)
{
    uint32_t n_ended = 0;
    for (uint32_t i = 0; i < v->w->n_tasks; i++) {
        uint32_t t = tgi_workload_task_at(v->w, i);
        if (v->n_waiting[t] == 0)
            v->ready[v->n_ready++] = t;
    }
    settle(v, ended, 0);
    if (v->queueing)
        submit(v);
    while (v->n_heap && !v->is_out_of_memory) {
        struct tgi_virtual_event e = next_event(v);
        if (is_current(v, &e)) {
            v->now = e.at;
            handle(v, &e, ended, &n_ended);
        }
        if ((n_ended || v->n_ready) && (v->n_heap == 0 || v->heap[0].at > v->now)) {
            settle(v, ended, n_ended);
            n_ended = 0;
        }
    }
}

static bool init_devices(struct tgi_virtual *v)
{
    const struct tgi_machine *m = v->m;
    uint32_t n_lanes = 0, n_words = (m->n_devices + 63) / 64;
    v->devices = calloc(m->n_devices, sizeof *v->devices);
    v->has_lane = calloc(n_words, sizeof *v->has_lane);
    v->has_room = calloc(n_words, sizeof *v->has_room);
    if (!v->devices || !v->has_lane || !v->has_room)
        return false;
    for (uint32_t i = 0; i < m->n_devices; i++) {
        uint32_t n = m->devices[i].n_lanes, ahead = v->ops->target ? PLANNED_AHEAD : 1;
        v->devices[i] = (struct tgi_virtual_device){n_lanes, n, n, 0, n + (m->n_memories > 1 ? ahead : 0),
                                                    m->devices[i].memory, TG_NONE, TG_NONE};
        n_lanes += n;
    }
    v->lanes = calloc(n_lanes, sizeof *v->lanes);
    v->free_lanes = malloc(n_lanes * sizeof *v->free_lanes);
    for (uint32_t i = 0; v->free_lanes && i < n_lanes; i++)
        v->free_lanes[i] = i;
    return v->lanes && v->free_lanes;
}

/* Only where several tasks can be at work in a memory do they have to share it. */
static bool init_sharing(struct tgi_virtual *v)
{
    for (uint32_t i = 0; i < v->m->n_memories; i++) {
        uint32_t n = 0;
        for (uint32_t d = 0; d < v->m->n_devices; d++)
            n += v->devices[d].memory == i ? v->devices[d].n_lanes : 0;
        if (n > 1 && v->memories[i].bytes_per_ns > 0 && !(v->memories[i].lanes = malloc(n * sizeof(uint32_t))))
            return false;
    }
    return true;
}

static bool init_tasks(struct tgi_virtual *v)
{
    size_t n = (size_t)v->w->n_tasks + 1;
    v->n_waiting = malloc(n * sizeof *v->n_waiting);
    v->n_missing = malloc(n * sizeof *v->n_missing);
    v->next = malloc(n * sizeof *v->next);
    v->ready = malloc(n * sizeof *v->ready);
    for (uint32_t t = 0; v->n_waiting && t < v->w->n_tasks; t++)
        v->n_waiting[t] = v->w->graph->nodes[t].n_preds;
    return v->n_waiting && v->n_missing && v->next && v->ready;
}

/* Tasks also wait to be enqueued, and for the one before them in their lane. */
static bool init_queueing(struct tgi_virtual *v)
{
    size_t n = (size_t)v->w->n_tasks + 1;
    v->n_unsubmitted = malloc(n * sizeof *v->n_unsubmitted);
    v->n_submitted = calloc(v->m->n_devices, sizeof *v->n_submitted);
    v->n_queued = calloc(v->m->n_devices, sizeof *v->n_queued);
    for (uint32_t t = 0; v->n_unsubmitted && t < v->w->n_tasks; t++) {
        v->n_unsubmitted[t] = v->w->graph->nodes[t].n_preds;
        v->n_waiting[t] += 1 + v->queueing->is_behind[t];
    }
    return v->n_unsubmitted && v->n_submitted && v->n_queued;
}

static void fini(struct tgi_virtual *v)
{
    tgi_virtual_memory_fini(v);
    free(v->heap);
    free(v->n_waiting);
    free(v->n_missing);
    free(v->next);
    free(v->ready);
    free(v->devices);
    free(v->lanes);
    free(v->free_lanes);
    free(v->has_lane);
    free(v->has_room);
    free(v->n_unsubmitted);
    free(v->n_submitted);
    free(v->n_queued);
}

static void fill_in(struct tgi_virtual *v)
{
    for (uint32_t t = 0; t < v->w->n_tasks; t++)
        if (v->plan->end[t] > v->plan->makespan_ns)
            v->plan->makespan_ns = v->plan->end[t];
    for (uint32_t i = 0; i < v->m->n_memories; i++)
        v->plan->peak_bytes[i] = v->memories[i].peak;
}

int tgi_simulate(const struct tgi_workload *w, const struct tgi_policy_ops *ops, const struct tgi_assignment *a,
                 struct tgi_plan **plan_p, struct tg_error *err)
{
    struct tgi_virtual v = {.w = w, .m = w->machine, .ops = a ? &tgi_policy_fixed : ops, .plan = tgi_plan_new(w),
                            .queueing = a ? a->queueing : NULL};
    struct tgi_policy_view view = {&v, tgi_virtual_missing_bytes, tgi_virtual_home};
    uint32_t *ended = NULL;
    int rc = v.plan ? 0 : tgi_error_memory(err, "simulating");
    if (rc)
        return rc;
    if (!tgi_virtual_memory_init(&v) || !init_devices(&v) || !init_sharing(&v) || !init_tasks(&v) ||
        (v.queueing && !init_queueing(&v)) || !(ended = malloc(((size_t)w->n_tasks + 1) * sizeof *ended)))
        rc = tgi_error_memory(err, "simulating");
    if (rc == 0)
        rc = a ? tgi_fixed_create(w, a, &v.policy, err) : ops->create(w, &view, &v.policy, err);
    if (rc == 0) {
        for (uint32_t d = 0; d < w->machine->n_devices; d++)
            note_room(&v, d);
        v.is_out_of_memory = a && !v.queueing && !send_first(&v, a);
        run(&v, ended);
        fill_in(&v);
        v.ops->destroy(v.policy);
        if (v.is_out_of_memory)
            rc = tgi_error_memory(err, "simulating");
        else if (v.n_done != w->n_tasks)
            rc = tgi_error(err, TG_E_UNSUPPORTED, "policy \"%s\" left %u of %u tasks undone", ops ? ops->name : "fixed",
                           w->n_tasks - v.n_done, w->n_tasks);
    }
    free(ended);
    fini(&v);
    if (rc)
        tgi_plan_destroy(v.plan);
    else
        *plan_p = v.plan;
    return rc;
}
