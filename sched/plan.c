#include "sched/plan.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/queueing.h"
#include "sched/simulate.h"

struct tgi_plan *tgi_plan_new(const struct tgi_workload *w)
{
    struct tgi_plan *p = calloc(1, sizeof *p);
    size_t n = (size_t)w->n_tasks + 1;
    if (!p)
        return NULL;
    *p = (struct tgi_plan){.n_tasks = w->n_tasks, .n_devices = w->machine->n_devices, .n_memories = w->machine->n_memories,
                           .over = TG_NONE};
    p->device = malloc(n * sizeof *p->device);
    p->start = calloc(n, sizeof *p->start);
    p->end = calloc(n, sizeof *p->end);
    p->busy_ns = calloc(p->n_devices, sizeof *p->busy_ns);
    p->n_run = calloc(p->n_devices, sizeof *p->n_run);
    p->peak_bytes = calloc(3 * (size_t)p->n_memories, sizeof *p->peak_bytes);
    if (!p->device || !p->start || !p->end || !p->busy_ns || !p->n_run || !p->peak_bytes) {
        tgi_plan_destroy(p);
        return NULL;
    }
    p->moved_in = p->peak_bytes + p->n_memories;
    p->moved_out = p->moved_in + p->n_memories;
    return p;
}

void tgi_plan_destroy(struct tgi_plan *p)
{
    if (!p)
        return;
    free(p->device);
    free(p->start);
    free(p->end);
    free(p->busy_ns);
    free(p->n_run);
    free(p->peak_bytes);
    free(p);
}

int tgi_plan_follow(const struct tgi_workload *w, const struct tgi_assignment *a, struct tgi_plan **plan_p,
                    struct tg_error *err)
{
    int rc = tgi_simulate(w, NULL, a, plan_p, err);
    if (rc == 0)
        (*plan_p)->policy = (*plan_p)->chosen = tgi_policy_fixed.name;
    return rc;
}

int tgi_plan_queued(const struct tgi_workload *w, const uint32_t *device, struct tgi_plan **plan_p, struct tg_error *err)
{
    struct tgi_queueing *queueing = NULL;
    struct tgi_assignment a;
    int rc = tgi_assignment_init(&a, w->n_tasks, err);
    if (rc == 0)
        rc = tgi_queueing_create(w, device, &queueing, err);
    for (uint32_t t = 0; rc == 0 && t < w->n_tasks; t++) {
        a.device[t] = device[t];
        a.order[t] = queueing->rank[t];
    }
    a.queueing = queueing;
    if (rc == 0)
        rc = tgi_plan_follow(w, &a, plan_p, err);
    tgi_queueing_destroy(queueing);
    tgi_assignment_fini(&a);
    return rc;
}

/* ---- The best of several ------------------------------------------------------------------*/

/* The earlier one where two are as good. */
static void keep_better(struct tgi_plan **best, struct tgi_plan *plan, const char *chosen, uint32_t variant)
{
    plan->chosen = chosen;
    plan->variant = variant;
    if (!*best || plan->makespan_ns < (*best)->makespan_ns) {
        tgi_plan_destroy(*best);
        *best = plan;
    } else {
        tgi_plan_destroy(plan);
    }
}

static int try_plans(const struct tgi_workload *w, const struct tgi_policy_ops *ops, struct tgi_plan **best,
                     struct tg_error *err)
{
    struct tgi_assignment a;
    struct tgi_plan *plan;
    int rc = tgi_assignment_init(&a, w->n_tasks, err);
    for (uint32_t variant = 0; rc == 0; variant++) {
        rc = ops->plan(w, variant, &a, err);
        if (rc == TG_E_LIMIT)
            break;
        if (rc == 0)
            rc = tgi_simulate(w, NULL, &a, &plan, err);
        if (rc == 0)
            keep_better(best, plan, ops->name, variant);
    }
    tgi_assignment_fini(&a);
    return rc == TG_E_LIMIT ? 0 : rc;
}

static int try_policy(const struct tgi_workload *w, const struct tgi_policy_ops *ops, struct tgi_plan **best,
                      struct tg_error *err)
{
    struct tgi_plan *plan;
    if (ops->plan)
        return try_plans(w, ops, best, err);
    int rc = tgi_simulate(w, ops, NULL, &plan, err);
    if (rc == 0)
        keep_better(best, plan, ops->name, 0);
    return rc;
}

int tgi_plan_create(const struct tgi_workload *w, const struct tgi_policy_ops *ops, struct tgi_plan **plan_p,
                    struct tg_error *err)
{
    struct tgi_plan *best = NULL;
    int rc = try_policy(w, ops, &best, err);
    for (uint32_t i = 0; rc == 0 && ops->rivals && ops->rivals[i]; i++)
        rc = try_policy(w, tgi_policy_find(ops->rivals[i]), &best, err);
    if (rc) {
        tgi_plan_destroy(best);
        return rc;
    }
    best->policy = ops->name;
    *plan_p = best;
    return 0;
}

int tgi_plan_explain(const struct tgi_workload *w, const char *chosen, uint32_t variant, struct tgi_offers *offers_p,
                     struct tg_error *err)
{
    const struct tgi_policy_ops *ops = tgi_policy_find(chosen);
    struct tgi_offers offers = {0};
    int rc = ops && ops->explain ? ops->explain(w, variant, &offers, err) : 0;
    if (rc)
        tgi_offers_fini(&offers);
    else
        *offers_p = offers;
    return rc;
}

/* ---- Checking -----------------------------------------------------------------------------*/

struct change {
    double at;
    uint32_t device;
    int by;
};

/* By device and time; what ends comes before what begins. */
static int compare_changes(const void *left, const void *right)
{
    const struct change *a = left, *b = right;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->by - b->by;
}

static bool fits_lanes(const struct tgi_workload *w, const struct tgi_plan *plan)
{
    struct change *changes = malloc(2 * ((size_t)w->n_tasks + 1) * sizeof *changes);
    uint32_t n = 0;
    bool fits = changes != NULL;
    for (uint32_t t = 0; fits && t < w->n_tasks; t++)
        if (plan->end[t] > plan->start[t]) {
            changes[n++] = (struct change){plan->start[t], plan->device[t], 1};
            changes[n++] = (struct change){plan->end[t], plan->device[t], -1};
        }
    if (fits)
        qsort(changes, n, sizeof *changes, compare_changes);
    int at_work = 0;
    for (uint32_t i = 0; fits && i < n; i++) {
        at_work += changes[i].by;
        fits = at_work <= (int)w->machine->devices[changes[i].device].n_lanes;
    }
    free(changes);
    return fits;
}

bool tgi_plan_is_valid(const struct tgi_workload *w, const struct tgi_plan *plan)
{
    const struct tg_graph *g = w->graph;
    for (uint32_t t = 0; t < w->n_tasks; t++) {
        double ns = tgi_workload_ns(w, t, plan->device[t]);
        if (!tgi_workload_allows(w, t, plan->device[t]) || plan->end[t] - plan->start[t] < ns * (1 - 1e-9) - 1e-3)
            return false;
        for (uint32_t k = g->nodes[t].succ; k < g->nodes[t + 1].succ; k++)
            if (plan->start[g->succ[k]] < plan->end[t])
                return false;
    }
    return fits_lanes(w, plan);
}
