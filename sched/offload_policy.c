/* See offload_policy.h. */
#include "sched/offload_policy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/choice.h"
#include "sched/guide.h"
#include "sched/placement.h"

/* Rough, where nothing was measured: a core, its share of memory, links. */
#define CORE_FLOPS_PER_NS 5.0
#define HOST_BYTES_PER_NS 20.0
enum { HOST_LAUNCH_NS = 500, DEVICE_LAUNCH_NS = 4000, HOST_LATENCY_NS = 10000, PEER_LATENCY_NS = 4000 };

/* ---- The machine --------------------------------------------------------------------------*/

static int add_host(struct tgi_machine *m, const struct tg_runtime *rt, struct tg_error *err)
{
    struct tgi_machine_class class = {.name = "cpu", .kind = TGI_DEVICE_CPU, .flops_per_ns = CORE_FLOPS_PER_NS, .launch_ns = HOST_LAUNCH_NS};
    struct tgi_machine_memory memory = {"host", 0, HOST_BYTES_PER_NS, 0, TG_NONE};
    struct tgi_machine_device device = {"cpu", 0, 0, rt->n_workers};
    snprintf(m->name, sizeof m->name, "this machine");
    int rc = tgi_machine_add_class(m, &class, err);
    rc = rc ? rc : tgi_machine_add_memory(m, &memory, err);
    return rc ? rc : tgi_machine_add_device(m, &device, err);
}

/* Devices of one name are a class, which is named for the first of them; what is more than there is room for counts as
 * the last one's. */
static int find_class(struct tgi_machine *m, const struct tgi_devices *ds, uint32_t d, uint32_t *class_p, struct tg_error *err)
{
    uint32_t like = 0;
    while (strcmp(ds->info[like].name, ds->info[d].name))
        like++;
    if (like < d || m->n_classes == TGI_MACHINE_CLASSES) {
        *class_p = like < d ? m->devices[like + 1].class : m->n_classes - 1;
        return 0;
    }
    struct tgi_machine_class class = {.kind = TGI_DEVICE_CUDA, .flops_per_ns = ds->info[d].peak_flops_f64 / 1e9, .launch_ns = DEVICE_LAUNCH_NS};
    snprintf(class.name, sizeof class.name, "%s %u", ds->ops->kind, d);
    *class_p = m->n_classes;
    return tgi_machine_add_class(m, &class, err);
}

static int add_link(struct tgi_machine *m, const struct tgi_devices *ds, uint32_t from, uint32_t to, struct tg_error *err)
{
    bool is_peer = from && to;
    if (from == to || (is_peer && !ds->info[to - 1].has_peer[from - 1]))
        return 0; /* through the host */
    struct tgi_machine_link link = {"", "", is_peer ? PEER_LATENCY_NS : HOST_LATENCY_NS,
                                    1e9 / tgi_placement_copy_ns(ds, from, to, 1000000000), TGI_SHARE_LINK};
    memcpy(link.from, m->memories[from].name, sizeof link.from);
    memcpy(link.to, m->memories[to].name, sizeof link.to);
    return tgi_machine_add_link(m, &link, err);
}

static int describe_machine(struct tgi_machine *m, const struct tgi_offload *o, struct tg_error *err)
{
    const struct tgi_devices *ds = o->devices;
    *m = (struct tgi_machine){.is_rough = true};
    int rc = add_host(m, o->runtime, err);
    for (uint32_t d = 0; rc == 0 && d < ds->n_devices; d++) {
        struct tgi_machine_memory memory = {"", o->limit_bytes[d], ds->info[d].bytes_per_s / 1e9, 0, TG_NONE};
        struct tgi_machine_device device = {"", 0, d + 1, 1};
        snprintf(memory.name, sizeof memory.name, "%s:%u", ds->ops->kind, ds->ordinal[d]);
        memcpy(device.name, memory.name, sizeof device.name);
        rc = tgi_machine_add_memory(m, &memory, err);
        if (rc == 0)
            rc = find_class(m, ds, d, &device.class, err);
        if (rc == 0)
            rc = tgi_machine_add_device(m, &device, err);
    }
    for (uint32_t from = 0; from <= ds->n_devices; from++)
        for (uint32_t to = 0; rc == 0 && to <= ds->n_devices; to++)
            rc = add_link(m, ds, from, to, err);
    return rc ? rc : tgi_machine_finish(m, err);
}

/* ---- The workload -------------------------------------------------------------------------*/

static bool is_policys(const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    return op->kind < TGI_OP_REPEAT && op->kind != TGI_OP_COLLECTIVE;
}

/* Measured times, and no time where there is no code. */
static void price(struct tgi_offload_policy *p, uint32_t task, uint32_t class_of_task)
{
    const struct tg_graph *g = p->run->graph;
    const struct tgi_offload_run *r = p->run->offload;
    uint32_t op = g->nodes[task].op & TGI_NODE_OP;
    bool is_kernel = tgi_graph_op(g, task)->kind == TGI_OP_KERNEL;
    float *ns = p->workload->ns + (size_t)task * p->workload->n_classes;
    for (uint32_t d = 0; d < p->machine.n_devices; d++) {
        uint32_t c = p->machine.devices[d].class;
        bool has_code = d == 0 ? p->run->calls[op].fn != NULL : r->codes[op] != NULL;
        double measured = d == 0 ? tgi_choices_host_ns(r->choices, class_of_task)
                                 : tgi_choices_device_ns(r->choices, class_of_task, d - 1);
        if (is_kernel && !has_code)
            ns[c] = INFINITY;
        else if (measured > 0 && !isinf(ns[c]))
            ns[c] = (float)measured;
    }
}

static bool fits(struct tgi_offload_policy *p, uint32_t task, uint32_t device)
{
    const struct tg_graph *g = p->run->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    struct tgi_operand operands[TG_MAX_PARAMS];
    if (device == 0 || op->n_params > TG_MAX_PARAMS)
        return true;
    for (uint32_t i = 0; i < op->n_params; i++)
        operands[i] = (struct tgi_operand){tgi_graph_word(g, task, i), op->params[i].access, device, 0};
    return tgi_replicas_footprint(p->run->offload->replicas, operands, op->n_params, 0, device - 1) <=
           p->run->runtime->offload->limit_bytes[device - 1];
}

/* The places that mean this device alone. */
static tgi_place place_of(const struct tgi_offload_policy *p, uint32_t device)
{
    return device == 0 ? TGI_PLACE_CPU : TGI_PLACE_CUDA_AT(p->run->runtime->offload->devices->ordinal[device - 1]);
}

/* Where a task fits, and of that where it would rather be. */
static int limit(struct tgi_offload_policy *p, uint32_t task, struct tg_error *err)
{
    struct tgi_workload *w = p->workload;
    const struct tgi_attr *attr = tgi_graph_attr(w->graph, task);
    tgi_place allowed = 0, preferred = 0;
    uint32_t n = 0;
    char scratch[16];
    for (uint32_t d = 0; d < p->machine.n_devices; d++) {
        if (!tgi_workload_allows(w, task, d) || !fits(p, task, d))
            continue;
        n++;
        allowed |= place_of(p, d);
        if (attr && attr->prefer & tgi_machine_place(&p->machine, d))
            preferred |= place_of(p, d);
    }
    if (n == 0)
        return tgi_error(err, TG_E_CAPACITY, "task \"%s\" fits into none of the devices that can run it",
                         tgi_graph_task_name(w->graph, task, scratch));
    if (n == p->machine.n_devices && !preferred)
        return 0;
    if (!w->only && !(w->only = calloc((size_t)w->n_tasks + 1, sizeof *w->only)))
        return tgi_error_memory(err, "planning");
    w->only[task] = preferred ? preferred : allowed;
    return 0;
}

static int describe_workload(struct tgi_offload_policy *p, struct tg_error *err)
{
    const struct tg_graph *g = p->run->graph;
    const uint32_t *classes = tgi_choices_classes(p->run->offload->choices, g);
    int rc = tgi_workload_create(g, &p->machine, &p->workload, err);
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++) {
        if (!is_policys(g, t))
            continue;
        price(p, t, classes[t]);
        rc = limit(p, t, err);
    }
    return rc;
}

/* ---- What a policy may ask ----------------------------------------------------------------*/

static uint64_t missing(const struct tgi_offload_policy *p, uint32_t task, uint32_t node)
{
    const struct tg_graph *g = p->run->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint8_t accesses[TG_MAX_PARAMS];
    uint32_t n = tgi_graph_n_words(g, task);
    for (uint32_t i = 0; i < n && i < TG_MAX_PARAMS; i++)
        accesses[i] = (uint8_t)op->params[i].access;
    return tgi_replicas_missing(p->run->offload->replicas, g->args + g->nodes[task].args, accesses, n < TG_MAX_PARAMS ? n : 0,
                                node);
}

static double missing_bytes(void *user, uint32_t task, uint32_t memory) { return (double)missing(user, task, memory); }

/* The device that has most of what a task reads; the host has what nobody has moved. */
static uint32_t home(void *user, uint32_t task)
{
    const struct tgi_offload_policy *p = user;
    uint64_t least = missing(p, task, TGI_MAX_NODES); /* no such node: what there is at all */
    uint32_t best = TG_NONE;
    for (uint32_t node = 1; node < p->machine.n_memories; node++) {
        uint64_t bytes = missing(p, task, node);
        if (bytes < least) {
            least = bytes;
            best = node;
        }
    }
    return best;
}

/* ---- Life ---------------------------------------------------------------------------------*/

int tgi_offload_policy_find(const struct tg_run *run, const struct tgi_policy_ops **ops_p, struct tg_error *err)
{
    const char *name = run->options.policy;
    bool has_plan = run->guide && run->guide->plan;
    *ops_p = name ? tgi_policy_find(name) : has_plan ? &tgi_policy_followed : NULL;
    if (!name && has_plan && run->needs_serial)
        return tgi_error(err, TG_E_UNSUPPORTED, "a plan cannot be followed where one task runs at a time");
    if (!name)
        return 0;
    if (!*ops_p)
        return tgi_error(err, TG_E_BAD_VALUE, "there is no policy \"%s\"; there are eager, steal, heft and bandwidth", name);
    if (run->needs_serial)
        return tgi_error(err, TG_E_UNSUPPORTED, "policy \"%s\" has nothing to decide where one task runs at a time", name);
    return 0;
}

/* "cuda:1" is the device of that number, if it is the runtime's; CPUs are one device, whatever they are called. */
static uint32_t find_device(void *user, const char *name)
{
    const struct tgi_offload_policy *p = user;
    if (strcmp(name, "cpu") == 0 || strncmp(name, "cpu:", 4) == 0)
        return 0;
    for (uint32_t d = 1; d < p->machine.n_devices; d++)
        if (strcmp(p->machine.devices[d].name, name) == 0)
            return d;
    return TG_NONE;
}

/* The plan that the run is guided by. */
static int follow_guide(struct tgi_offload_policy *p, const struct tgi_policy_view *view, struct tg_error *err)
{
    int rc = tgi_guide_assign(p->run->guide->plan, p->workload, find_device, p, &p->assignment, err);
    return rc ? rc : tgi_followed_create(p->workload, &p->assignment, view, &p->policy, err);
}

static int follow(struct tgi_offload_policy *p, const struct tgi_policy_ops *ops, const struct tgi_policy_view *view,
                  struct tg_error *err)
{
    struct tgi_plan *plan;
    int rc = tgi_plan_create(p->workload, ops, &plan, err);
    if (rc)
        return rc;
    rc = tgi_assignment_init(&p->assignment, p->workload->n_tasks, err);
    if (rc == 0) {
        memcpy(p->assignment.device, plan->device, p->workload->n_tasks * sizeof *plan->device);
        memcpy(p->assignment.order, plan->start, p->workload->n_tasks * sizeof *plan->start);
        p->assignment.makespan_ns = plan->makespan_ns;
        p->chosen = plan->chosen;
        p->variant = plan->variant;
        p->ops = &tgi_policy_followed;
        rc = tgi_followed_create(p->workload, &p->assignment, view, &p->policy, err);
    }
    tgi_plan_destroy(plan);
    return rc;
}

static bool make_via(struct tgi_offload_policy *p)
{
    const struct tgi_space *space = p->run->graph->space;
    size_t most = p->run->graph->n_tasks;
    for (uint32_t i = 0; i < space->n_ops; i++) {
        const struct tg_graph *const bodies[] = {space->ops[i].body, space->ops[i].body_else};
        for (int k = 0; k < 2; k++)
            most = bodies[k] && bodies[k]->n_tasks > most ? bodies[k]->n_tasks : most;
    }
    p->via = malloc(most + 1);
    if (p->via)
        memset(p->via, 1, most + 1);
    return p->via != NULL;
}

int tgi_offload_policy_create(struct tg_run *run, const struct tgi_policy_ops *ops, struct tgi_offload_policy **policy_p,
                              struct tg_error *err)
{
    struct tgi_offload_policy *p = calloc(1, sizeof *p);
    const struct tgi_policy_view view = {p, missing_bytes, home};
    if (!p)
        return tgi_error_memory(err, "planning");
    p->run = run;
    p->ops = ops;
    atomic_init(&p->n_on_host, 0);
    int rc = make_via(p) ? describe_machine(&p->machine, run->runtime->offload, err) : tgi_error_memory(err, "planning");
    if (rc == 0)
        rc = describe_workload(p, err);
    if (rc == 0)
        rc = ops == &tgi_policy_followed ? follow_guide(p, &view, err)
             : ops->plan                 ? follow(p, ops, &view, err)
                                         : ops->create(p->workload, &view, &p->policy, err);
    if (rc) {
        p->policy = NULL; /* a policy that was not created has gone */
        tgi_offload_policy_destroy(p);
        return rc;
    }
    *policy_p = p;
    return 0;
}

void tgi_offload_policy_destroy(struct tgi_offload_policy *p)
{
    if (!p)
        return;
    if (p->policy)
        p->ops->destroy(p->policy);
    tgi_assignment_fini(&p->assignment);
    tgi_workload_destroy(p->workload);
    tgi_machine_fini(&p->machine);
    free(p->via);
    free(p);
}

uint32_t tgi_offload_policy_planned(const struct tgi_offload_policy *p, uint32_t task)
{
    return p->assignment.device && is_policys(p->run->graph, task) ? p->assignment.device[task] : TG_NONE;
}

int tgi_offload_policy_explain(const struct tgi_offload_policy *p, struct tgi_offers *offers_p, struct tg_error *err)
{
    if (p->chosen)
        return tgi_plan_explain(p->workload, p->chosen, p->variant, offers_p, err);
    *offers_p = (struct tgi_offers){0};
    return 0;
}

/* ---- Deciding -----------------------------------------------------------------------------*/

static struct tgi_offload_policy *policy_of(const struct tgi_offload_task *t)
{
    const struct tgi_instance *in = t->instance;
    return in->parent ? NULL : in->run->offload->policy;
}

bool tgi_offload_policy_push(struct tgi_offload *o, struct tgi_offload_task *t)
{
    struct tgi_offload_policy *p = policy_of(t);
    uint32_t task = tgi_offload_id(t);
    /* Who comes back with locks was placed before. */
    if (!p || !is_policys(t->instance->graph, task) || t->has_locks)
        return false;
    p->ops->push(p->policy, task, p->ops->place(p->policy, task));
    p->n_ready++;
    o->n_ready++;
    o->n_at_policies++;
    return true;
}

/* Workers get one task more than there are workers, so that data come while others are at work. */
static bool has_room(const struct tgi_offload_policy *p, uint32_t node)
{
    return node != TGI_HOST_NODE ||
           atomic_load_explicit(&p->n_on_host, memory_order_relaxed) <= p->run->runtime->n_workers;
}

static struct tgi_offload_task *take(struct tgi_offload *o, struct tgi_offload_policy *p, uint32_t task, uint32_t node)
{
    struct tgi_offload_task *t = &p->run->main->offload->tasks[task];
    t->node = (uint8_t)node;
    p->n_ready--;
    o->n_ready--;
    o->n_at_policies--;
    return t;
}

struct tgi_offload_task *tgi_offload_policy_pop(struct tgi_offload *o, uint32_t node)
{
    for (struct tgi_offload_run *r = o->active; r; r = r->next) {
        struct tgi_offload_policy *p = r->policy;
        uint32_t task = p && p->n_ready && has_room(p, node) ? p->ops->pop(p->policy, node) : TG_NONE;
        if (task != TG_NONE)
            return take(o, p, task, node);
    }
    return NULL;
}

struct tgi_offload_task *tgi_offload_policy_steal(struct tgi_offload *o, uint32_t node)
{
    for (struct tgi_offload_run *r = o->active; r; r = r->next) {
        struct tgi_offload_policy *p = r->policy;
        uint32_t task = p && p->n_ready && p->ops->steal && has_room(p, node) ? p->ops->steal(p->policy, node) : TG_NONE;
        if (task == TG_NONE)
            continue;
        r->n_stolen++;
        return take(o, p, task, node);
    }
    return NULL;
}

void tgi_offload_policy_to_host(struct tgi_offload_task *t)
{
    struct tgi_offload_policy *p = policy_of(t);
    if (!p || !is_policys(t->instance->graph, tgi_offload_id(t)))
        return;
    t->is_on_host = true; /* before it is pushed, which publishes it */
    atomic_fetch_add_explicit(&p->n_on_host, 1, memory_order_relaxed);
}

void tgi_offload_policy_host_done(struct tgi_instance *in, uint32_t task)
{
    struct tgi_offload_task *t = &in->offload->tasks[task];
    if (!t->is_on_host)
        return;
    t->is_on_host = false;
    atomic_fetch_sub_explicit(&in->run->offload->policy->n_on_host, 1, memory_order_relaxed);
}
