/* Lanes that share a memory slow each other down if all of them execute tasks that live from it, while its bandwidth lies idle when
 * all of them compute.  By rank alone that is what happens: equal tasks have equal ranks, so they come together.
 *
 * A task is *heavy* on a device if the tasks of all lanes could not go at its rate at once.  Each device hands out heavy and light
 * tasks so that the time of its lanes is divided as the bandwidth allows: k of n lanes heavy, with as many heavy ones as the memory
 * serves undisturbed.  It is kept by accounts of the time that was handed out, so that nobody needs to know what is under way.  Within
 * either kind the longest way to the end comes first. */
#include "sched/policy_mix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum kind { LIGHT, HEAVY, N_KINDS };

struct heap {
    uint32_t *tasks, n;
};

struct own {
    struct heap heaps[N_KINDS];
    double load_ns;          /* handed to it and not popped */
    double given[N_KINDS];   /* lane time of what was popped */
    double share;            /* of its lanes for heavy tasks */
};

struct mix {
    const struct tgi_workload *w;
    struct own *devices;
    double *rank;      /* by task: the longest way to the end */
    uint32_t *space;   /* of all heaps */
};

/* ---- Kinds --------------------------------------------------------------------------------*/

static double bandwidth(const struct tgi_workload *w, uint32_t device)
{
    return w->machine->memories[w->machine->devices[device].memory].bytes_per_ns;
}

/* How many lanes could do this at once. */
static double at_once(const struct tgi_workload *w, uint32_t task, uint32_t device)
{
    double ns = tgi_workload_ns(w, task, device), bytes = tgi_workload_traffic(w, task, device);
    return bytes > 0 && ns > 0 ? bandwidth(w, device) * ns / bytes : INFINITY;
}

static enum kind kind_of(const struct tgi_workload *w, uint32_t task, uint32_t device)
{
    uint32_t n_lanes = w->machine->devices[device].n_lanes;
    return n_lanes > 1 && bandwidth(w, device) > 0 && at_once(w, task, device) < 0.9 * n_lanes ? HEAVY : LIGHT;
}

bool tgi_policy_mix_is_of_use(const struct tgi_workload *w)
{
    bool has[N_KINDS] = {false, false};
    for (uint32_t d = 0; d < w->machine->n_devices; d++) {
        if (w->machine->devices[d].n_lanes == 1 || bandwidth(w, d) <= 0)
            continue;
        for (uint32_t t = 0; t < w->n_tasks && !(has[LIGHT] && has[HEAVY]); t++)
            if (tgi_workload_allows(w, t, d) && tgi_workload_ns(w, t, d) > 0)
                has[kind_of(w, t, d)] = true;
    }
    return has[LIGHT] && has[HEAVY];
}

/* ---- Life ---------------------------------------------------------------------------------*/

static void mix_destroy(struct tgi_policy *policy)
{
    struct mix *m = (struct mix *)policy;
    if (!m)
        return;
    free(m->devices);
    free(m->rank);
    free(m->space);
    free(m);
}

static void find_ranks(struct mix *m)
{
    const struct tg_graph *g = m->w->graph;
    for (uint32_t i = m->w->n_tasks; i-- > 0;) {
        uint32_t t = tgi_workload_task_at(m->w, i);
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            m->rank[t] = m->rank[g->succ[k]] > m->rank[t] ? m->rank[g->succ[k]] : m->rank[t];
        m->rank[t] += tgi_workload_least_ns(m->w, t);
    }
}

/* Lanes for the heavy tasks of a device: the mean of what each of them would allow, by time. */
static void find_shares(struct mix *m)
{
    for (uint32_t d = 0; d < m->w->machine->n_devices; d++) {
        double sum = 0, ns = 0;
        uint32_t n_lanes = m->w->machine->devices[d].n_lanes;
        for (uint32_t t = 0; t < m->w->n_tasks; t++) {
            if (!tgi_workload_allows(m->w, t, d) || kind_of(m->w, t, d) == LIGHT)
                continue;
            ns += tgi_workload_ns(m->w, t, d);
            sum += tgi_workload_ns(m->w, t, d) * at_once(m->w, t, d);
        }
        double k = ns > 0 ? floor(sum / ns + 0.5) : 1;
        m->devices[d].share = (k < 1 ? 1 : k < n_lanes ? k : n_lanes) / n_lanes;
    }
}

static int mix_create(const struct tgi_workload *w, const struct tgi_policy_view *view, struct tgi_policy **policy_p,
                      struct tg_error *err)
{
    struct mix *m = calloc(1, sizeof *m);
    uint32_t n = w->machine->n_devices;
    size_t room = (size_t)w->n_tasks + 1;
    (void)view;
    *policy_p = (struct tgi_policy *)m;
    if (m) {
        m->w = w;
        m->devices = calloc(n, sizeof *m->devices);
        m->rank = calloc(room, sizeof *m->rank);
        m->space = malloc(N_KINDS * n * room * sizeof *m->space);
    }
    if (!m || !m->devices || !m->rank || !m->space) {
        mix_destroy(*policy_p);
        return tgi_error_memory(err, "planning");
    }
    for (uint32_t d = 0; d < n; d++)
        for (int kind = 0; kind < N_KINDS; kind++)
            m->devices[d].heaps[kind].tasks = m->space + (N_KINDS * d + (uint32_t)kind) * room;
    find_ranks(m);
    find_shares(m);
    return 0;
}

/* ---- Deciding -----------------------------------------------------------------------------*/

static uint32_t mix_place(struct tgi_policy *policy, uint32_t task)
{
    const struct mix *m = (struct mix *)policy;
    uint32_t best = TG_NONE;
    double best_ns = INFINITY;
    for (uint32_t d = 0; d < m->w->machine->n_devices; d++) {
        if (!tgi_workload_allows(m->w, task, d))
            continue;
        double ns = m->devices[d].load_ns / m->w->machine->devices[d].n_lanes + tgi_workload_ns(m->w, task, d);
        best = ns < best_ns ? d : best;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    return best;
}

static bool comes_before(const struct mix *m, uint32_t a, uint32_t b)
{
    return m->rank[a] != m->rank[b] ? m->rank[a] > m->rank[b] : a < b;
}

static void mix_push(struct tgi_policy *policy, uint32_t task, uint32_t device)
{
    struct mix *m = (struct mix *)policy;
    struct heap *h = &m->devices[device].heaps[kind_of(m->w, task, device)];
    uint32_t i = h->n++;
    for (; i > 0 && comes_before(m, task, h->tasks[(i - 1) / 2]); i = (i - 1) / 2)
        h->tasks[i] = h->tasks[(i - 1) / 2];
    h->tasks[i] = task;
    m->devices[device].load_ns += tgi_workload_ns(m->w, task, device);
}

static uint32_t take(struct mix *m, struct heap *h)
{
    uint32_t first = h->tasks[0], last = h->tasks[--h->n], i = 0;
    for (uint32_t child = 1; child < h->n; i = child, child = 2 * i + 1) {
        if (child + 1 < h->n && comes_before(m, h->tasks[child + 1], h->tasks[child]))
            child++;
        if (!comes_before(m, h->tasks[child], last))
            break;
        h->tasks[i] = h->tasks[child];
    }
    h->tasks[i] = last;
    return first;
}

/* The kind that has had less than its share; the other one's account does not run up while there is nothing of it. */
static uint32_t mix_pop(struct tgi_policy *policy, uint32_t device)
{
    struct mix *m = (struct mix *)policy;
    struct own *own = &m->devices[device];
    if (own->heaps[LIGHT].n + own->heaps[HEAVY].n == 0)
        return TG_NONE;
    bool has_both = own->heaps[LIGHT].n && own->heaps[HEAVY].n;
    enum kind kind = own->heaps[HEAVY].n ? HEAVY : LIGHT;
    if (has_both && own->given[HEAVY] * (1 - own->share) > own->given[LIGHT] * own->share)
        kind = LIGHT;
    uint32_t task = take(m, &own->heaps[kind]);
    double ns = tgi_workload_ns(m->w, task, device);
    own->load_ns -= ns;
    if (has_both)
        own->given[kind] += ns;
    return task;
}

const struct tgi_policy_ops tgi_policy_mix = {
    .size = sizeof(struct tgi_policy_ops), .name = "mix", .brief = "much of a memory beside little of it", .create = mix_create,
    .destroy = mix_destroy, .place = mix_place, .push = mix_push, .pop = mix_pop};
