#include "sched/agenda.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

struct tgi_agenda {
    pthread_mutex_t lock; /* of the policy, which knows one caller */
    const struct tgi_policy_ops *ops;
    struct tgi_policy *policy;
    struct tgi_machine machine;
    struct tgi_workload *workload;
    struct tgi_assignment assignment; /* of a plan; device NULL: none */
    const char *chosen;               /* whose plan it is, and which of them; NULL: none of ours */
    uint32_t variant;
    uint32_t *device_of;              /* by worker */
    uint8_t *via;
};

/* ---- The machine --------------------------------------------------------------------------*/

/* CPUs alone, with a lane for each worker. */
static int describe(struct tgi_agenda *a, const struct tg_run *run, struct tg_error *err)
{
    const struct tg_runtime *rt = run->runtime;
    const struct tgi_machine_change change = {0, 1, 1, rt->n_workers};
    struct tgi_machine rough = {0};
    const struct tgi_machine *base = run->guide ? run->guide->machine : NULL;
    int rc = base ? 0 : tgi_machine_init_cpus(&rough, rt->topology, err);
    if (rc == 0)
        rc = tgi_machine_change(base ? base : &rough, &change, &a->machine, err);
    tgi_machine_fini(&rough);
    return rc;
}

/* "cpu:1", the CPUs of NUMA node 1; "cpu", those of the first. */
static uint32_t find_device(void *user, const char *name)
{
    const struct tgi_agenda *a = user;
    for (uint32_t d = 0; d < a->machine.n_devices; d++)
        if (strcmp(a->machine.devices[d].name, strcmp(name, "cpu") == 0 ? "cpu:0" : name) == 0)
            return d;
    return TG_NONE;
}

/* Workers of nodes that a described machine lacks are the first one's. */
static bool seat_workers(struct tgi_agenda *a, const struct tg_runtime *rt)
{
    a->device_of = calloc(rt->n_workers, sizeof *a->device_of);
    for (uint32_t w = 0; a->device_of && w < rt->n_workers; w++) {
        char name[TGI_MACHINE_NAME];
        snprintf(name, sizeof name, "cpu:%u", rt->topology->cpus[w % rt->topology->n_cpus].numa);
        uint32_t d = find_device(a, name);
        a->device_of[w] = d == TG_NONE ? 0 : d;
    }
    return a->device_of != NULL;
}

/* ---- Life ---------------------------------------------------------------------------------*/

static double no_bytes(void *user, uint32_t task, uint32_t memory)
{
    (void)user, (void)task, (void)memory;
    return 0;
}

static uint32_t no_home(void *user, uint32_t task)
{
    (void)user, (void)task;
    return TG_NONE;
}

static int take_plan(struct tgi_agenda *a, const struct tgi_policy_ops *ops, struct tg_error *err)
{
    struct tgi_plan *plan;
    int rc = tgi_plan_create(a->workload, ops, &plan, err);
    if (rc)
        return rc;
    rc = tgi_assignment_init(&a->assignment, a->workload->n_tasks, err);
    if (rc == 0) {
        memcpy(a->assignment.device, plan->device, plan->n_tasks * sizeof *plan->device);
        memcpy(a->assignment.order, plan->start, plan->n_tasks * sizeof *plan->start);
        a->assignment.makespan_ns = plan->makespan_ns;
        a->chosen = plan->chosen;
        a->variant = plan->variant;
    }
    tgi_plan_destroy(plan);
    return rc;
}

static int decide(struct tgi_agenda *a, const struct tg_run *run, const struct tgi_policy_ops *ops, struct tg_error *err)
{
    const struct tgi_policy_view view = {a, no_bytes, no_home};
    const struct tgi_guide_plan *plan = run->guide ? run->guide->plan : NULL;
    int rc = tgi_workload_create(run->graph, &a->machine, &a->workload, err);
    if (rc == 0 && plan)
        rc = tgi_guide_assign(plan, a->workload, find_device, a, &a->assignment, err);
    else if (rc == 0 && ops->plan)
        rc = take_plan(a, ops, err);
    if (rc)
        return rc;
    a->ops = a->assignment.device ? &tgi_policy_followed : ops;
    return a->assignment.device ? tgi_followed_create(a->workload, &a->assignment, &view, &a->policy, err)
                                : ops->create(a->workload, &view, &a->policy, err);
}

/* NULL with 0: nothing is asked for. */
static int find_policy(const struct tg_run *run, const struct tgi_policy_ops **ops_p, struct tg_error *err)
{
    const char *name = run->options.policy;
    *ops_p = name ? tgi_policy_find(name) : NULL;
    if (name && !*ops_p)
        return tgi_error(err, TG_E_BAD_VALUE, "there is no policy \"%s\"; there are eager, steal, heft and bandwidth", name);
    if (name && run->needs_serial)
        return tgi_error(err, TG_E_UNSUPPORTED, "policy \"%s\" has nothing to decide where one task runs at a time", name);
    if (run->guide && run->guide->plan)
        *ops_p = &tgi_policy_followed;
    if (*ops_p && run->needs_serial)
        return tgi_error(err, TG_E_UNSUPPORTED, "a plan cannot be followed where one task runs at a time");
    return 0;
}

int tgi_agenda_create(struct tg_run *run, struct tgi_agenda **agenda_p, struct tg_error *err)
{
    const struct tgi_policy_ops *ops;
    int rc = find_policy(run, &ops, err);
    *agenda_p = NULL;
    if (rc || !ops)
        return rc;
    struct tgi_agenda *a = calloc(1, sizeof *a);
    if (!a)
        return tgi_error_memory(err, "planning");
    pthread_mutex_init(&a->lock, NULL);
    a->via = calloc((size_t)run->graph->n_tasks + 1, 1);
    rc = a->via ? describe(a, run, err) : tgi_error_memory(err, "planning");
    if (rc == 0 && !seat_workers(a, run->runtime))
        rc = tgi_error_memory(err, "planning");
    if (rc == 0)
        rc = decide(a, run, ops, err);
    if (rc) {
        a->policy = NULL; /* a policy that was not created has gone */
        tgi_agenda_destroy(a);
        return rc;
    }
    *agenda_p = a;
    return 0;
}

void tgi_agenda_destroy(struct tgi_agenda *a)
{
    if (!a)
        return;
    if (a->policy)
        a->ops->destroy(a->policy);
    tgi_assignment_fini(&a->assignment);
    tgi_workload_destroy(a->workload);
    tgi_machine_fini(&a->machine);
    pthread_mutex_destroy(&a->lock);
    free(a->device_of);
    free(a->via);
    free(a);
}

const uint8_t *tgi_agenda_via(const struct tgi_agenda *a) { return a->via; }

int tgi_agenda_explain(const struct tgi_agenda *a, struct tgi_offers *offers_p, struct tg_error *err)
{
    struct tgi_offers offers = {0};
    int rc = a->chosen ? tgi_plan_explain(a->workload, a->chosen, a->variant, &offers, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < offers.n; i++)
        offers.list[i].device = 0;
    if (rc == 0)
        *offers_p = offers;
    return rc;
}

/* ---- Deciding -----------------------------------------------------------------------------*/

void tgi_agenda_push(struct tgi_agenda *a, uint32_t task)
{
    pthread_mutex_lock(&a->lock);
    a->ops->push(a->policy, task, a->ops->place(a->policy, task));
    pthread_mutex_unlock(&a->lock);
}

uint32_t tgi_agenda_take(struct tgi_agenda *a, uint32_t worker)
{
    uint32_t device = a->device_of[worker], n = a->machine.n_devices;
    pthread_mutex_lock(&a->lock);
    uint32_t task = a->ops->pop(a->policy, device);
    if (task == TG_NONE && a->ops->steal)
        task = a->ops->steal(a->policy, device);
    for (uint32_t i = 1; task == TG_NONE && i < n; i++)
        task = a->ops->pop(a->policy, (device + i) % n);
    pthread_mutex_unlock(&a->lock);
    assert(task != TG_NONE); /* as many ready tasks as tickets */
    return task;
}
