/* The table of policies, and the two that need little: `eager`, one queue for all, and the one that follows an
 * assignment. */
#include "sched/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

const struct tgi_policy_ops *const tgi_policies[] = {&tgi_policy_eager, &tgi_policy_steal, &tgi_policy_heft,
                                                     &tgi_policy_bandwidth, NULL};

const struct tgi_policy_ops *tgi_policy_find(const char *name)
{
    for (uint32_t i = 0; tgi_policies[i]; i++)
        if (strcmp(tgi_policies[i]->name, name) == 0)
            return tgi_policies[i];
    return NULL;
}

int tgi_assignment_init(struct tgi_assignment *a, uint32_t n_tasks, struct tg_error *err)
{
    *a = (struct tgi_assignment){malloc(((size_t)n_tasks + 1) * sizeof *a->device),
                                 malloc(((size_t)n_tasks + 1) * sizeof *a->order), 0, NULL};
    return a->device && a->order ? 0 : tgi_error_memory(err, "planning");
}

void tgi_assignment_fini(struct tgi_assignment *a)
{
    free(a->device);
    free(a->order);
}

/* ---- eager --------------------------------------------------------------------------------*/

/* A queue for each set of classes that tasks can run on, so that a device finds its next one at once; tasks that are
 * limited to single devices are few and share one that is searched. */
enum { LIMITED = 1 << TGI_MACHINE_CLASSES, N_QUEUES };
enum { MOST_TRIES = 4 }; /* tasks that a thief looks at */

struct eager {
    const struct tgi_workload *w;
    uint32_t *next;
    uint64_t *number; /* by task: when it was pushed */
    uint64_t n_pushed;
    uint32_t first[N_QUEUES], last[N_QUEUES];
    uint32_t used[N_QUEUES], n_used; /* queues that ever had a task */
};

static int eager_create(const struct tgi_workload *w, const struct tgi_policy_view *view, struct tgi_policy **policy_p,
                        struct tg_error *err)
{
    struct eager *e = calloc(1, sizeof *e);
    (void)view;
    if (e) {
        e->w = w;
        e->next = malloc(((size_t)w->n_tasks + 1) * sizeof *e->next);
        e->number = malloc(((size_t)w->n_tasks + 1) * sizeof *e->number);
        memset(e->first, 0xff, sizeof e->first);
        memset(e->last, 0xff, sizeof e->last);
    }
    *policy_p = (struct tgi_policy *)e;
    if (e && e->next && e->number)
        return 0;
    tgi_policy_eager.destroy(*policy_p);
    return tgi_error_memory(err, "planning");
}

static void eager_destroy(struct tgi_policy *policy)
{
    struct eager *e = (struct eager *)policy;
    if (!e)
        return;
    free(e->next);
    free(e->number);
    free(e);
}

static uint32_t eager_place(struct tgi_policy *policy, uint32_t task)
{
    (void)policy, (void)task;
    return TG_NONE;
}

static uint32_t queue_of(const struct eager *e, uint32_t task)
{
    uint32_t mask = 0;
    if (e->w->only && e->w->only[task])
        return LIMITED;
    for (uint32_t c = 0; c < e->w->n_classes; c++)
        mask |= !isinf(e->w->ns[(size_t)task * e->w->n_classes + c]) ? 1u << c : 0;
    return mask;
}

static void eager_push(struct tgi_policy *policy, uint32_t task, uint32_t device)
{
    struct eager *e = (struct eager *)policy;
    uint32_t queue = queue_of(e, task), i = 0;
    (void)device;
    while (i < e->n_used && e->used[i] != queue)
        i++;
    if (i == e->n_used)
        e->used[e->n_used++] = queue;
    e->number[task] = e->n_pushed++;
    e->next[task] = TG_NONE;
    *(e->first[queue] == TG_NONE ? &e->first[queue] : &e->next[e->last[queue]]) = task;
    e->last[queue] = task;
}

static void eager_take(struct eager *e, uint32_t queue, uint32_t before, uint32_t task)
{
    *(before == TG_NONE ? &e->first[queue] : &e->next[before]) = e->next[task];
    if (e->last[queue] == task)
        e->last[queue] = before;
}

static uint32_t eager_pop(struct tgi_policy *policy, uint32_t device)
{
    struct eager *e = (struct eager *)policy;
    uint32_t class = e->w->machine->devices[device].class, best = TG_NONE, best_queue = 0, best_before = TG_NONE;
    for (uint32_t i = 0; i < e->n_used; i++) {
        uint32_t queue = e->used[i], task = e->first[queue], before = TG_NONE;
        if (queue != LIMITED && !(queue >> class & 1))
            continue;
        while (queue == LIMITED && task != TG_NONE && !tgi_workload_allows(e->w, task, device)) {
            before = task;
            task = e->next[task];
        }
        if (task != TG_NONE && (best == TG_NONE || e->number[task] < e->number[best])) {
            best = task;
            best_queue = queue;
            best_before = before;
        }
    }
    if (best != TG_NONE)
        eager_take(e, best_queue, best_before, best);
    return best;
}

const struct tgi_policy_ops tgi_policy_eager = {
    .size = sizeof(struct tgi_policy_ops), .name = "eager", .brief = "whoever is idle takes what has been ready longest",
    .create = eager_create, .destroy = eager_destroy, .place = eager_place, .push = eager_push, .pop = eager_pop};

/* ---- fixed --------------------------------------------------------------------------------*/

struct fixed {
    const struct tgi_assignment *a;
    const struct tgi_workload *w;
    struct tgi_policy_view view; /* to steal by */
    uint32_t **heap; /* by device: ready tasks, the first in order on top */
    uint32_t *n, *n_room;
    uint32_t n_devices;
    uint32_t *space;
};

static bool is_earlier(const struct tgi_assignment *a, uint32_t left, uint32_t right)
{
    return a->order[left] != a->order[right] ? a->order[left] < a->order[right] : left < right;
}

/* A device's heap has room for all tasks of the device. */
int tgi_fixed_create(const struct tgi_workload *w, const struct tgi_assignment *a, struct tgi_policy **policy_p,
                     struct tg_error *err)
{
    struct fixed *f = calloc(1, sizeof *f);
    uint32_t n = w->machine->n_devices, at = 0;
    *policy_p = (struct tgi_policy *)f;
    if (f) {
        *f = (struct fixed){a, w, {0}, calloc(n, sizeof *f->heap), calloc(n, sizeof *f->n), calloc(n, sizeof *f->n_room), n,
                            malloc(((size_t)w->n_tasks + 1) * sizeof *f->space)};
    }
    if (!f || !f->heap || !f->n || !f->n_room || !f->space) {
        tgi_policy_fixed.destroy(*policy_p);
        return tgi_error_memory(err, "planning");
    }
    for (uint32_t t = 0; t < w->n_tasks; t++)
        f->n_room[a->device[t]]++;
    for (uint32_t d = 0; d < n; at += f->n_room[d++])
        f->heap[d] = f->space + at;
    return 0;
}

static void fixed_destroy(struct tgi_policy *policy)
{
    struct fixed *f = (struct fixed *)policy;
    if (!f)
        return;
    free(f->heap);
    free(f->n);
    free(f->n_room);
    free(f->space);
    free(f);
}

static uint32_t fixed_target(const struct tgi_policy *policy, uint32_t task)
{
    return ((const struct fixed *)policy)->a->device[task];
}

static uint32_t fixed_place(struct tgi_policy *policy, uint32_t task) { return fixed_target(policy, task); }

static void fixed_push(struct tgi_policy *policy, uint32_t task, uint32_t device)
{
    struct fixed *f = (struct fixed *)policy;
    uint32_t *heap = f->heap[device], i = f->n[device]++;
    for (; i > 0 && is_earlier(f->a, task, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = task;
}

/* Takes entry i out of a device's heap: the last one takes its place, and goes up or down from there. */
static uint32_t fixed_take(struct fixed *f, uint32_t device, uint32_t i)
{
    uint32_t *heap = f->heap[device], taken = heap[i], last = heap[--f->n[device]], n = f->n[device];
    if (i == n)
        return taken;
    for (; i > 0 && is_earlier(f->a, last, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    for (uint32_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        if (child + 1 < n && is_earlier(f->a, heap[child + 1], heap[child]))
            child++;
        if (!is_earlier(f->a, heap[child], last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return taken;
}

static uint32_t fixed_pop(struct tgi_policy *policy, uint32_t device)
{
    struct fixed *f = (struct fixed *)policy;
    return f->n[device] ? fixed_take(f, device, 0) : TG_NONE;
}

const struct tgi_policy_ops tgi_policy_fixed = {
    .size = sizeof(struct tgi_policy_ops), .name = "fixed", .brief = "follows an assignment", .destroy = fixed_destroy,
    .place = fixed_place, .push = fixed_push, .pop = fixed_pop, .target = fixed_target};

/* ---- followed -----------------------------------------------------------------------------*/

int tgi_followed_create(const struct tgi_workload *w, const struct tgi_assignment *a, const struct tgi_policy_view *view,
                        struct tgi_policy **policy_p, struct tg_error *err)
{
    int rc = tgi_fixed_create(w, a, policy_p, err);
    if (rc == 0)
        ((struct fixed *)*policy_p)->view = *view;
    return rc;
}

/* Of tasks that are ready on a device, how long they keep it busy. */
static double ready_ns(const struct fixed *f, uint32_t device)
{
    double ns = 0;
    for (uint32_t i = 0; i < f->n[device]; i++)
        ns += tgi_workload_ns(f->w, f->heap[device][i], device);
    return ns / f->w->machine->devices[device].n_lanes;
}

/* The longest queue; its last entries are leaves of the heap and among those that come late. */
static uint32_t followed_steal(struct tgi_policy *policy, uint32_t thief)
{
    struct fixed *f = (struct fixed *)policy;
    const struct tgi_machine *m = f->w->machine;
    uint32_t victim = TG_NONE, to = m->devices[thief].memory;
    for (uint32_t d = 0; d < f->n_devices; d++)
        if (d != thief && f->n[d] > (victim == TG_NONE ? 0 : f->n[victim]))
            victim = d;
    double there = victim == TG_NONE ? 0 : ready_ns(f, victim);
    for (uint32_t i = victim == TG_NONE ? 0 : f->n[victim], tries = 0; i-- > 0 && tries < MOST_TRIES; tries++) {
        uint32_t task = f->heap[victim][i];
        if (!tgi_workload_allows(f->w, task, thief))
            continue;
        double bytes = f->view.missing_bytes(f->view.user, task, to), here = tgi_workload_ns(f->w, task, thief);
        here += bytes > 0 ? tgi_machine_copy_ns(m, m->devices[victim].memory == to ? 0 : m->devices[victim].memory, to, bytes) : 0;
        if (here < there)
            return fixed_take(f, victim, i);
    }
    return TG_NONE;
}

const struct tgi_policy_ops tgi_policy_followed = {
    .size = sizeof(struct tgi_policy_ops), .name = "followed", .brief = "follows an assignment until somebody is idle",
    .destroy = fixed_destroy, .place = fixed_place, .push = fixed_push, .pop = fixed_pop, .steal = followed_steal,
    .target = fixed_target};
