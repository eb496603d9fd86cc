/* `steal`: tasks go to where most of their data are, each device runs its newest task first, and one without work
 * takes the oldest of another, which is the one that has been cold for longest (Blumofe and Leiserson, "Scheduling
 * multithreaded computations by work stealing", 1999) unless moving its data takes longer than waiting. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/policy.h"

enum { VICTIMS = 4, TRIES = 4 };
#define MUCH_SLOWER 2.0

struct queue {
    uint32_t newest, oldest;
    double load_ns; /* of what is in it */
};

struct steal {
    const struct tgi_workload *w;
    struct tgi_policy_view view;
    struct queue *queues;   /* by device */
    uint64_t *has_any;      /* a bit per device */
    uint32_t *newer, *older; /* by task */
    uint32_t *of_class, class_at[TGI_MACHINE_CLASSES + 1]; /* devices by class */
    uint32_t turn[TGI_MACHINE_CLASSES];                    /* by class: whose turn it is */
    uint32_t *of_memory;    /* by memory: a device that works from it, TG_NONE: none */
};

static void steal_destroy(struct tgi_policy *policy)
{
    struct steal *s = (struct steal *)policy;
    if (!s)
        return;
    free(s->queues);
    free(s->has_any);
    free(s->newer);
    free(s->older);
    free(s->of_class);
    free(s->of_memory);
    free(s);
}

static void sort_devices(struct steal *s)
{
    const struct tgi_machine *m = s->w->machine;
    uint32_t n = 0;
    memset(s->of_memory, 0xff, m->n_memories * sizeof *s->of_memory);
    for (uint32_t c = 0; c < m->n_classes; c++) {
        s->class_at[c] = n;
        for (uint32_t d = 0; d < m->n_devices; d++)
            if (m->devices[d].class == c)
                s->of_class[n++] = d;
    }
    s->class_at[m->n_classes] = n;
    for (uint32_t d = m->n_devices; d-- > 0;) {
        s->of_memory[m->devices[d].memory] = d;
        s->queues[d] = (struct queue){TG_NONE, TG_NONE, 0};
    }
}

static int steal_create(const struct tgi_workload *w, const struct tgi_policy_view *view, struct tgi_policy **policy_p,
                        struct tg_error *err)
{
    const struct tgi_machine *m = w->machine;
    size_t n = (size_t)w->n_tasks + 1;
    struct steal *s = calloc(1, sizeof *s);
    *policy_p = (struct tgi_policy *)s;
    if (s) {
        s->w = w;
        s->view = *view;
        s->queues = malloc(m->n_devices * sizeof *s->queues);
        s->has_any = calloc((m->n_devices + 63) / 64, sizeof *s->has_any);
        s->newer = malloc(n * sizeof *s->newer);
        s->older = malloc(n * sizeof *s->older);
        s->of_class = malloc(m->n_devices * sizeof *s->of_class);
        s->of_memory = malloc(m->n_memories * sizeof *s->of_memory);
    }
    if (!s || !s->queues || !s->has_any || !s->newer || !s->older || !s->of_class || !s->of_memory) {
        steal_destroy(*policy_p);
        return tgi_error_memory(err, "planning");
    }
    sort_devices(s);
    return 0;
}

static uint32_t fastest_class(const struct steal *s, uint32_t task)
{
    const float *ns = s->w->ns + (size_t)task * s->w->n_classes;
    uint32_t best = TG_NONE;
    for (uint32_t c = 0; c < s->w->n_classes; c++)
        if (s->class_at[c + 1] > s->class_at[c] && !isinf(ns[c]) && (best == TG_NONE || ns[c] < ns[best]))
            best = c;
    return best;
}

/* Devices of the fastest class in turn. */
static uint32_t next_device(struct steal *s, uint32_t task)
{
    uint32_t c = fastest_class(s, task), n = s->class_at[c + 1] - s->class_at[c];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t d = s->of_class[s->class_at[c] + s->turn[c]];
        s->turn[c] = (s->turn[c] + 1) % n;
        if (tgi_workload_allows(s->w, task, d))
            return d;
    }
    for (uint32_t d = 0; d < s->w->machine->n_devices; d++)
        if (tgi_workload_allows(s->w, task, d))
            return d;
    return TG_NONE;
}

static uint32_t steal_place(struct tgi_policy *policy, uint32_t task)
{
    struct steal *s = (struct steal *)policy;
    uint32_t home = s->view.home(s->view.user, task), device = home == TG_NONE ? TG_NONE : s->of_memory[home];
    if (device == TG_NONE || !tgi_workload_allows(s->w, task, device))
        return next_device(s, task);
    double best = s->w->ns[(size_t)task * s->w->n_classes + fastest_class(s, task)];
    return tgi_workload_ns(s->w, task, device) > MUCH_SLOWER * best ? next_device(s, task) : device;
}

static void steal_push(struct tgi_policy *policy, uint32_t task, uint32_t device)
{
    struct steal *s = (struct steal *)policy;
    struct queue *q = &s->queues[device];
    s->older[task] = q->newest;
    s->newer[task] = TG_NONE;
    *(q->newest == TG_NONE ? &q->oldest : &s->newer[q->newest]) = task;
    q->newest = task;
    q->load_ns += tgi_workload_ns(s->w, task, device);
    s->has_any[device / 64] |= (uint64_t)1 << device % 64;
}

static void take(struct steal *s, uint32_t task, uint32_t device)
{
    struct queue *q = &s->queues[device];
    *(s->newer[task] == TG_NONE ? &q->newest : &s->older[s->newer[task]]) = s->older[task];
    *(s->older[task] == TG_NONE ? &q->oldest : &s->newer[s->older[task]]) = s->newer[task];
    q->load_ns -= tgi_workload_ns(s->w, task, device);
    if (q->newest == TG_NONE) {
        q->load_ns = 0;
        s->has_any[device / 64] &= ~((uint64_t)1 << device % 64);
    }
}

static uint32_t steal_pop(struct tgi_policy *policy, uint32_t device)
{
    struct steal *s = (struct steal *)policy;
    uint32_t task = s->queues[device].newest;
    if (task != TG_NONE)
        take(s, task, device);
    return task;
}

/* Whether the thief is done with it before the victim would be. */
static bool is_worth_it(const struct steal *s, uint32_t task, uint32_t thief, uint32_t victim)
{
    const struct tgi_machine *m = s->w->machine;
    uint32_t to = m->devices[thief].memory, from = m->devices[victim].memory;
    double here = tgi_workload_ns(s->w, task, thief), bytes = s->view.missing_bytes(s->view.user, task, to);
    /* What is at work there has half of its time to go, on average. */
    double there = (s->queues[victim].load_ns + tgi_workload_ns(s->w, task, victim) / 2) / m->devices[victim].n_lanes;
    if (bytes > 0)
        here += tgi_machine_copy_ns(m, from == to ? 0 : from, to, bytes);
    return here <= there || (here <= there + tgi_workload_ns(s->w, task, victim) && to == from);
}

static uint32_t try_victim(struct steal *s, uint32_t thief, uint32_t victim)
{
    uint32_t task = s->queues[victim].oldest;
    for (uint32_t i = 0; task != TG_NONE && i < TRIES; i++, task = s->newer[task])
        if (tgi_workload_allows(s->w, task, thief) && is_worth_it(s, task, thief, victim)) {
            take(s, task, victim);
            return task;
        }
    return TG_NONE;
}

/* From the next device on, around. */
static uint32_t steal_steal(struct tgi_policy *policy, uint32_t thief)
{
    struct steal *s = (struct steal *)policy;
    uint32_t n_words = (s->w->machine->n_devices + 63) / 64, n_seen = 0, first = (thief + 1) % s->w->machine->n_devices;
    for (uint32_t k = 0; k <= n_words && n_seen < VICTIMS; k++) {
        uint32_t word = (first / 64 + k) % n_words;
        uint64_t mask = s->has_any[word];
        mask &= k == 0 ? UINT64_MAX << first % 64 : k == n_words ? ~(UINT64_MAX << first % 64) : UINT64_MAX;
        for (; mask && n_seen < VICTIMS; mask &= mask - 1, n_seen++) {
            uint32_t victim = word * 64 + (uint32_t)__builtin_ctzll(mask);
            uint32_t task = victim == thief ? TG_NONE : try_victim(s, thief, victim);
            if (task != TG_NONE)
                return task;
        }
    }
    return TG_NONE;
}

const struct tgi_policy_ops tgi_policy_steal = {
    .size = sizeof(struct tgi_policy_ops), .name = "steal",
    .brief = "tasks go to their data; idle devices take others' oldest", .create = steal_create, .destroy = steal_destroy, .place = steal_place, .push = steal_push, .pop = steal_pop,
    .steal = steal_steal};
