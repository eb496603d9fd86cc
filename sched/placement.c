/* See placement.h. */
#include "sched/placement.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "sched/home.h"
#include "sched/offload.h"
#include "sched/partition.h"

#define NO_OWNER TGI_NO_HOME

enum { LAUNCH_NS = 4000, HOST_TASK_NS = 1000 };
/* Between host and device, between devices: rough, until links are measured. */
#define HOST_LINK_BYTES_PER_NS 25.0
#define PEER_LINK_BYTES_PER_NS 200.0

struct places {
    const struct tg_graph *graph;
    const uint32_t *classes; /* by task, of choices */
    uint8_t *node, *via;
    struct tgi_urgency urgency;
    struct tgi_weighed *weighed; /* of a recorded run */
    uint32_t n_weighed, cap_weighed;
};

struct tgi_placement {
    struct tg_run *run;
    struct tgi_devices *devices;
    struct tgi_code *const *codes;
    struct tgi_choices *choices;
    uint8_t *owner;      /* by tile: node, NO_OWNER */
    uint32_t *part;      /* by task of the run's graph: the device in whose part it is, TG_NONE: none */
    uint8_t *is_touched; /* by tile: some task on a device uses it */
    double load_ns[TGI_MAX_NODES];
    struct places *places; /* the graph, then its bodies */
    uint32_t n_places;
    bool has_devices, could_have_devices;
};

/* ---- Tiles of a task ----------------------------------------------------------------------*/

typedef void (*tile_fn)(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user);

static void for_tiles(struct tgi_placement *p, const struct tg_graph *g, uint32_t task, tile_fn fn, void *user)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t n = tgi_graph_n_words(g, task);
    const uint64_t *words = g->args + g->nodes[task].args;
    for (uint32_t i = 0; i < n; i++) {
        if (op->params[i].access == TG_SCALAR)
            continue;
        uint32_t tile, n_tiles = tgi_word_tiles(g->space, words[i], &tile);
        for (uint32_t k = 0; k < n_tiles; k++)
            fn(p, tile + k, op->params[i].access, user);
    }
}

static void touch_tile(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    (void)access, (void)user;
    p->is_touched[tile] = 1;
}

static void find_touched(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    (void)access;
    *(bool *)user |= p->is_touched[tile];
}

struct owned {
    uint32_t node;   /* set as owner of what is written and has none */
    uint32_t owner;  /* found: of the first tile that is written and has one, else of any */
    bool is_written;
};

static void find_owner(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    struct owned *o = user;
    bool is_written = access != TG_IN;
    if (p->owner[tile] == NO_OWNER || (o->owner != NO_OWNER && (o->is_written || !is_written)))
        return;
    o->owner = p->owner[tile];
    o->is_written = is_written;
}

static void set_owner(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    const struct owned *o = user;
    if (access != TG_IN && p->owner[tile] == NO_OWNER)
        p->owner[tile] = (uint8_t)o->node;
}

struct movement {
    uint32_t node;
    double ns;
    uint64_t bytes;
};

static void add_movement(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    struct movement *m = user;
    const struct tgi_buffer *b = tgi_space_buffer_of(p->run->graph->space, tile);
    bool is_filled = p->owner[tile] == NO_OWNER && tgi_offload_is_filled(p->run->offload, b);
    m->bytes += b->tile_bytes;
    if (access == TG_OUT || p->owner[tile] == m->node || is_filled)
        return;
    m->ns += tgi_placement_copy_ns(p->devices, p->owner[tile] == NO_OWNER ? TGI_HOST_NODE : p->owner[tile], m->node, b->tile_bytes);
}

/* ---- Where a task may run -----------------------------------------------------------------*/

static const tgi_place cpus = TGI_PLACE_CPUS;

static tgi_place place_of_device(const struct tgi_placement *p, uint32_t device)
{
    return TGI_PLACE_CUDA | TGI_PLACE_CUDA_AT(p->devices->ordinal[device]);
}

struct choice {
    bool has_cpu;
    uint32_t devices;   /* bit per device */
    uint32_t preferred; /* the same: those the task would rather have */
    bool prefers_cpu;
};

static struct choice choices(const struct tgi_placement *p, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    uint32_t id = g->nodes[task].op & TGI_NODE_OP;
    tgi_place on = attr ? attr->on : 0, prefer = attr ? attr->prefer : 0;
    struct choice c = {true, 0, 0, false};
    bool has_device = op->kind == TGI_OP_KERNEL ? p->codes[id] != NULL : op->kind < TGI_OP_REPEAT;
    if (op->kind == TGI_OP_KERNEL)
        c.has_cpu = p->run->calls[id].fn != NULL;
    if (on && !(on & cpus))
        c.has_cpu = false;
    for (uint32_t d = 0; has_device && d < p->devices->n_devices; d++) {
        tgi_place here = place_of_device(p, d);
        if (!on || on & here)
            c.devices |= 1u << d;
        if (prefer & here)
            c.preferred |= 1u << d;
    }
    c.preferred &= c.devices;
    c.prefers_cpu = prefer & cpus && !c.preferred;
    return c;
}

static int no_place(const struct tgi_placement *p, const struct tg_graph *g, uint32_t task, struct tg_error *err)
{
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t line, column;
    char scratch[16], place[64];
    int rc;
    if (attr && attr->on) {
        tgi_place_format(attr->on, place, sizeof place);
        rc = tgi_error(err, TG_E_NO_DEVICE, "task \"%s\" may run on %s only, where its kernel \"%s\" cannot run or which is not in use",
                       tgi_graph_task_name(g, task, scratch), place, op->name);
    } else {
        rc = tgi_error(err, TG_E_NO_VARIANT, "kernel \"%s\" has no variant for the devices in use", op->name);
    }
    if (g->site_of && err && tgi_space_locate(g->space, g->site_of[task], &line, &column))
        tgi_error_set_position(err, p->run->graph->space->file, line, column);
    return rc;
}

bool tgi_placement_allows(const struct tgi_placement *p, const struct tg_graph *g, uint32_t task, uint32_t device)
{
    struct choice c = choices(p, g, task);
    return (c.preferred ? c.preferred : c.devices) >> device & 1;
}

double tgi_placement_copy_ns(const struct tgi_devices *ds, uint32_t from, uint32_t to, uint64_t bytes)
{
    if (from == to)
        return 0;
    if (from == TGI_HOST_NODE || to == TGI_HOST_NODE)
        return (double)bytes / HOST_LINK_BYTES_PER_NS;
    return ds->info[to - 1].has_peer[from - 1] ? (double)bytes / PEER_LINK_BYTES_PER_NS
                                               : 2 * (double)bytes / HOST_LINK_BYTES_PER_NS;
}

/* ---- Choosing -----------------------------------------------------------------------------*/

static double execution_ns(const struct tgi_placement *p, const struct places *at, uint32_t task, uint32_t device,
                           uint64_t bytes)
{
    const struct tg_graph *g = at->graph;
    const struct tgi_device_info *info = &p->devices->info[device];
    double measured = tgi_choices_device_ns(p->choices, at->classes[task], device);
    if (measured > 0)
        return measured;
    struct tgi_cost cost = tgi_graph_cost(g, task);
    double flops = isnan(cost.flops) ? 0 : cost.flops, traffic = isnan(cost.bytes) ? (double)bytes : cost.bytes;
    double compute = info->peak_flops_f64 > 0 ? flops / info->peak_flops_f64 * 1e9 : 0;
    double memory = info->bytes_per_s > 0 ? traffic / info->bytes_per_s * 1e9 : 0;
    if (!isnan(cost.us) && cost.us > 0)
        return cost.us * 1e3;
    return LAUNCH_NS + (compute > memory ? compute : memory);
}

/* For records, if one is made.  Without memory it says less. */
static void note(struct tgi_placement *p, struct places *at, struct tgi_weighed weighed)
{
    if (p->run->options.is_recorded &&
        tgi_vec_reserve(&at->weighed, &at->cap_weighed, (uint64_t)at->n_weighed + 1, sizeof *at->weighed))
        at->weighed[at->n_weighed++] = weighed;
}

/* The winner first; `devices` has more than one. */
static void note_estimates(struct tgi_placement *p, struct places *at, uint32_t task, uint32_t devices, uint32_t best)
{
    for (uint32_t i = 0; i <= p->devices->n_devices && p->run->options.is_recorded; i++) {
        uint32_t d = i == 0 ? best : i - 1;
        struct movement m = {d + 1, 0, 0};
        if (!(devices >> d & 1) || (i > 0 && d == best))
            continue;
        for_tiles(p, at->graph, task, add_movement, &m);
        note(p, at, (struct tgi_weighed){task, (uint16_t)d, TGI_WEIGHED_ESTIMATE, p->load_ns[d + 1], m.ns});
    }
}

enum found { FOUND_OWNER, FOUND_PART, FOUND_ONLY, FOUND_BEST };

static enum found find_device(struct tgi_placement *p, const struct tg_graph *g, uint32_t task, uint32_t devices,
                              uint32_t *device_p)
{
    struct owned o = {0, NO_OWNER, false};
    double best_ns = INFINITY;
    for_tiles(p, g, task, find_owner, &o);
    if (o.owner != NO_OWNER && o.is_written && o.owner != TGI_HOST_NODE && devices >> (o.owner - 1) & 1) {
        *device_p = o.owner - 1;
        return g == p->run->graph && p->part[task] == *device_p ? FOUND_PART : FOUND_OWNER;
    }
    *device_p = (uint32_t)__builtin_ctz(devices);
    if (!(devices & (devices - 1)))
        return FOUND_ONLY;
    for (uint32_t d = 0; d < p->devices->n_devices; d++) {
        if (!(devices >> d & 1))
            continue;
        struct movement m = {d + 1, 0, 0};
        for_tiles(p, g, task, add_movement, &m);
        double ns = p->load_ns[d + 1] + m.ns;
        if (ns < best_ns) {
            best_ns = ns;
            *device_p = d;
        }
    }
    return FOUND_BEST;
}

/* reason: why there is a choice of these only. */
static uint32_t choose_device(struct tgi_placement *p, struct places *at, uint32_t task, uint32_t devices, enum tgi_weighing reason)
{
    uint32_t device;
    enum found found = find_device(p, at->graph, task, devices, &device);
    if (found == FOUND_BEST)
        note_estimates(p, at, task, devices, device);
    else
        note(p, at, (struct tgi_weighed){task, (uint16_t)device,
                                         (uint16_t)(found == FOUND_OWNER  ? TGI_WEIGHED_OWNER
                                                    : found == FOUND_PART ? TGI_WEIGHED_PART
                                                                          : reason), 0, 0});
    return device;
}

static void account(struct tgi_placement *p, const struct places *at, uint32_t task, uint32_t node)
{
    const struct tg_graph *g = at->graph;
    struct owned o = {node, NO_OWNER, false};
    struct movement m = {node, 0, 0};
    for_tiles(p, g, task, set_owner, &o);
    if (node == TGI_HOST_NODE) {
        p->load_ns[node] += tgi_choices_host_ns(p->choices, at->classes[task]) / p->run->runtime->n_workers;
        return;
    }
    for_tiles(p, g, task, add_movement, &m);
    p->load_ns[node] += execution_ns(p, at, task, node - 1, m.bytes);
    p->has_devices = true;
}

/* Kernels first: whether they go to a device, and what those touch. */
static int mark_kernels(struct tgi_placement *p, const struct places *at, struct tg_error *err)
{
    const struct tg_graph *g = at->graph;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        struct choice c = choices(p, g, t);
        if (!c.has_cpu && !c.devices)
            return no_place(p, g, t, err);
        p->could_have_devices |= op->kind == TGI_OP_KERNEL && c.devices;
        if (op->kind == TGI_OP_KERNEL && c.devices && !(c.has_cpu && c.prefers_cpu))
            for_tiles(p, g, t, touch_tile, NULL);
    }
    return 0;
}

static bool is_distinct(const struct tgi_placement *p, const struct tg_graph *g, uint32_t task, uint32_t *device_of)
{
    const uint64_t *words = g->args + g->nodes[task].args;
    uint32_t n = tgi_graph_op(g, task)->n_params, seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t owner = p->owner[tgi_word_tile(words[i])];
        if (owner == NO_OWNER || owner == TGI_HOST_NODE || seen >> owner & 1)
            return false;
        seen |= 1u << owner;
        device_of[i] = owner - 1;
    }
    return true;
}

/* A collective is performed by devices if each of its tiles is at home on another one. */
static bool can_collect(const struct tgi_placement *p, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t device_of[TGI_MAX_DEVICES];
    if (!p->devices->ops->can_collect || op->n_params > p->devices->n_devices || op->n_params < 2 ||
        !is_distinct(p, g, task, device_of))
        return false;
    const struct tgi_buffer *b = tgi_space_buffer_of(g->space, tgi_word_tile(g->args[g->nodes[task].args]));
    return p->devices->ops->can_collect(p->devices, op, b->dtype, op->n_params, device_of);
}


struct written {
    bool has_device_owner;
    double ns; /* to bring back what is written */
};

static void add_written(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    struct written *w = user;
    uint32_t owner = p->owner[tile];
    if (access == TG_IN || owner == NO_OWNER || owner == TGI_HOST_NODE)
        return;
    w->has_device_owner = true;
    w->ns += tgi_placement_copy_ns(p->devices, TGI_HOST_NODE, owner, tgi_space_buffer_of(p->run->graph->space, tile)->tile_bytes);
}

/* Of a task that both could execute: what was measured says that a CPU is done earlier, or it is to be measured. */
static bool is_for_host(struct tgi_placement *p, const struct places *at, uint32_t task, uint32_t devices, bool has_device_pred)
{
    uint32_t class = at->classes[task], device;
    find_device(p, at->graph, task, devices, &device);
    double there = tgi_choices_device_ns(p->choices, class, device), here = tgi_choices_host_ns(p->choices, class);
    struct movement in = {device + 1, 0, 0}, home = {TGI_HOST_NODE, 0, 0};
    struct written back = {false, 0};
    if (!p->run->runtime->offload->uses_cpus)
        return false;
    if (here <= 0)
        return tgi_choices_try_host(p->choices, class);
    if (there <= 0)
        return false;
    for_tiles(p, at->graph, task, add_movement, &in);
    for_tiles(p, at->graph, task, add_movement, &home);
    for_tiles(p, at->graph, task, add_written, &back);
    here += home.ns + back.ns + TGI_CHOICE_CROSSING_NS * (has_device_pred + back.has_device_owner);
    there += in.ns;
    return here < there && p->load_ns[TGI_HOST_NODE] + here < p->load_ns[device + 1] + there;
}

static uint32_t place_task(struct tgi_placement *p, struct places *at, uint32_t task, const uint8_t *has_device_pred)
{
    const struct tg_graph *g = at->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    struct choice c = choices(p, g, task);
    struct owned o = {0, NO_OWNER, false};
    bool is_touched = false, wants_device;
    switch (op->kind) {
    case TGI_OP_KERNEL:
        wants_device = !c.has_cpu || !(c.prefers_cpu || (c.devices && !c.preferred &&
                                                         is_for_host(p, at, task, c.devices, has_device_pred[task])));
        break;
    case TGI_OP_COPY:
    case TGI_OP_FILL:
        for_tiles(p, g, task, find_touched, &is_touched);
        wants_device = is_touched && !(c.has_cpu && c.prefers_cpu);
        break;
    case TGI_OP_COLLECTIVE:
        wants_device = can_collect(p, g, task);
        break;
    case TGI_OP_BARRIER:
        wants_device = has_device_pred[task];
        break;
    default:
        wants_device = false;
    }
    if (!c.devices || (c.has_cpu && !wants_device))
        return TGI_HOST_NODE;
    if (c.preferred)
        return choose_device(p, at, task, c.preferred, TGI_WEIGHED_WISH) + 1;
    if (op->kind == TGI_OP_COPY || op->kind == TGI_OP_FILL) {
        /* Where its target lives; a host that owns it keeps it unless devices use it. */
        for_tiles(p, g, task, find_owner, &o);
        if (o.owner != NO_OWNER && o.owner != TGI_HOST_NODE && c.devices >> (o.owner - 1) & 1) {
            note(p, at, (struct tgi_weighed){task, (uint16_t)(o.owner - 1), TGI_WEIGHED_OWNER, 0, 0});
            return o.owner;
        }
    }
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    return choose_device(p, at, task, c.devices, attr && attr->on ? TGI_WEIGHED_WISH : TGI_WEIGHED_ONLY) + 1;
}

static bool place_graph(struct tgi_placement *p, struct places *at)
{
    const struct tg_graph *g = at->graph;
    uint8_t *has_device_pred = calloc((size_t)g->n_tasks + 1, 1);
    at->node = calloc((size_t)g->n_tasks + 1, 1);
    at->via = calloc((size_t)g->n_tasks + 1, 1);
    at->urgency.level_ns = calloc((size_t)g->n_tasks + 1, sizeof *at->urgency.level_ns);
    at->urgency.is_critical = calloc((size_t)g->n_tasks + 1, 1);
    if (!has_device_pred || !at->node || !at->via || !at->urgency.level_ns || !at->urgency.is_critical) {
        free(has_device_pred);
        return false;
    }
    for (uint32_t i = 0; i < g->n_tasks; i++) {
        uint32_t t = g->topo ? g->topo[i] : i;
        at->node[t] = (uint8_t)place_task(p, at, t, has_device_pred);
        account(p, at, t, at->node[t]);
        for (uint32_t k = g->nodes[t].succ; at->node[t] && k < g->nodes[t + 1].succ; k++)
            has_device_pred[g->succ[k]] = 1;
    }
    /* What lies on a CPU and touches nothing of a device's needs no submitter; filled in by mark_via(). */
    memcpy(at->via, has_device_pred, g->n_tasks);
    free(has_device_pred);
    return true;
}

/* Without memory urgencies stay as they are. */
static void set_urgency(struct tgi_placement *p, struct places *at)
{
    const struct tg_graph *g = at->graph;
    float *task_ns = malloc(((size_t)g->n_tasks + 1) * sizeof *task_ns);
    for (uint32_t t = 0; task_ns && t < g->n_tasks; t++) {
        uint32_t node = at->node[t];
        double host_ns = tgi_choices_host_ns(p->choices, at->classes[t]);
        struct movement m = {node, 0, 0};
        if (node == TGI_HOST_NODE) {
            task_ns[t] = host_ns > 0 ? (float)host_ns : HOST_TASK_NS;
        } else {
            for_tiles(p, g, t, add_movement, &m);
            task_ns[t] = (float)execution_ns(p, at, t, node - 1, m.bytes);
        }
    }
    if (task_ns)
        tgi_urgency_compute(g, task_ns, &at->urgency);
    free(task_ns);
}

void tgi_placement_update(struct tgi_placement *p)
{
    for (uint32_t i = 0; i < p->n_places; i++)
        set_urgency(p, &p->places[i]);
}

static void touch_placed(struct tgi_placement *p, const struct places *at)
{
    for (uint32_t t = 0; t < at->graph->n_tasks; t++)
        if (at->node[t])
            for_tiles(p, at->graph, t, touch_tile, NULL);
}

static void mark_via(struct tgi_placement *p, struct places *at)
{
    for (uint32_t t = 0; t < at->graph->n_tasks; t++) {
        bool is_touched = false;
        for_tiles(p, at->graph, t, find_touched, &is_touched);
        at->via[t] = at->via[t] || at->node[t] || is_touched;
    }
}

/* ---- Life ---------------------------------------------------------------------------------*/

static bool list_graphs(struct tgi_placement *p)
{
    const struct tgi_space *space = p->run->graph->space;
    p->places = calloc(2 * (size_t)space->n_ops + 1, sizeof *p->places);
    if (!p->places)
        return false;
    p->places[p->n_places++].graph = p->run->graph;
    for (uint32_t i = 0; i < space->n_ops; i++) {
        if (space->ops[i].body)
            p->places[p->n_places++].graph = space->ops[i].body;
        if (space->ops[i].body_else)
            p->places[p->n_places++].graph = space->ops[i].body_else;
    }
    return true;
}

static void set_part(struct tgi_placement *p, uint32_t tile, enum tg_access access, void *user)
{
    const uint32_t *device = user;
    if (access != TG_IN)
        p->owner[tile] = (uint8_t)(*device + 1);
}

/* A graph that says nothing of homes is cut (partition.h), if it is all there is and may be anywhere: what a part writes is at home there. */
static int set_parts(struct tgi_placement *p, struct tg_error *err)
{
    const struct places *at = &p->places[0];
    const struct tg_graph *g = at->graph;
    uint32_t n_devices = p->devices->n_devices, all = (uint32_t)((UINT64_C(1) << n_devices) - 1);
    memset(p->part, 0xff, g->n_tasks * sizeof *p->part); /* TG_NONE */
    if (n_devices < 2 || p->n_places > 1)
        return 0;
    for (uint32_t i = 0; i < g->space->n_tiles; i++)
        if (p->owner[i] != NO_OWNER)
            return 0;
    float *weight = calloc((size_t)g->n_tasks + 1, sizeof *weight);
    int rc = weight ? 0 : tgi_error_memory(err, "placing tasks");
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++) {
        struct choice c = choices(p, g, t);
        struct movement m = {1, 0, 0};
        for_tiles(p, g, t, add_movement, &m);
        if (c.devices == all && !c.preferred && !c.prefers_cpu && m.bytes)
            weight[t] = (float)execution_ns(p, at, t, 0, m.bytes);
    }
    if (rc == 0)
        rc = tgi_partition_find(g, weight, n_devices, p->part, err);
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++)
        if (p->part[t] != TG_NONE)
            for_tiles(p, g, t, set_part, &p->part[t]);
    free(weight);
    return rc;
}

int tgi_placement_create(struct tg_run *run, struct tgi_devices *devices, struct tgi_code *const *codes,
                         struct tgi_choices *choices, struct tgi_placement **placement_p, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    struct tgi_placement *p = calloc(1, sizeof *p);
    if (!p)
        return tgi_error_memory(err, "placing tasks");
    *p = (struct tgi_placement){.run = run, .devices = devices, .codes = codes, .choices = choices};
    p->owner = malloc((size_t)space->n_tiles + 1);
    p->is_touched = calloc((size_t)space->n_tiles + 1, 1);
    p->part = malloc(((size_t)run->graph->n_tasks + 1) * sizeof *p->part);
    int rc = p->owner && p->is_touched && p->part && list_graphs(p) ? 0 : tgi_error_memory(err, "placing tasks");
    if (rc == 0) {
        tgi_homes_find(devices, space, p->owner);
        for (uint32_t i = 0; i < p->n_places; i++)
            p->places[i].classes = tgi_choices_classes(choices, p->places[i].graph);
    }
    for (uint32_t i = 0; rc == 0 && i < p->n_places; i++)
        rc = mark_kernels(p, &p->places[i], err);
    if (rc == 0)
        rc = set_parts(p, err);
    for (uint32_t i = 0; rc == 0 && i < p->n_places; i++)
        if (!place_graph(p, &p->places[i]))
            rc = tgi_error_memory(err, "placing tasks");
    if (rc == 0) {
        memset(p->is_touched, 0, space->n_tiles);
        for (uint32_t i = 0; i < p->n_places; i++)
            touch_placed(p, &p->places[i]);
        for (uint32_t i = 0; i < p->n_places; i++)
            mark_via(p, &p->places[i]);
        tgi_placement_update(p);
        *placement_p = p;
    } else {
        tgi_placement_destroy(p);
    }
    return rc;
}

void tgi_placement_destroy(struct tgi_placement *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_places; i++) {
        free(p->places[i].node);
        free(p->places[i].via);
        free(p->places[i].urgency.level_ns);
        free(p->places[i].urgency.is_critical);
        free(p->places[i].weighed);
    }
    free(p->places);
    free(p->owner);
    free(p->part);
    free(p->is_touched);
    free(p);
}

void tgi_placement_of(const struct tgi_placement *p, const struct tg_graph *graph, const uint8_t **node_p,
                      const uint8_t **via_p)
{
    for (uint32_t i = 0; i < p->n_places; i++)
        if (p->places[i].graph == graph) {
            *node_p = p->places[i].node;
            *via_p = p->places[i].via;
        }
}

const struct tgi_weighed *tgi_placement_weighed(const struct tgi_placement *p, const struct tg_graph *graph, uint32_t *n_p)
{
    for (uint32_t i = 0; i < p->n_places; i++)
        if (p->places[i].graph == graph) {
            *n_p = p->places[i].n_weighed;
            return p->places[i].weighed;
        }
    return NULL;
}

const struct tgi_urgency *tgi_placement_urgency(const struct tgi_placement *p, const struct tg_graph *graph)
{
    for (uint32_t i = 0; i < p->n_places; i++)
        if (p->places[i].graph == graph)
            return &p->places[i].urgency;
    return NULL;
}

bool tgi_placement_has_devices(const struct tgi_placement *p) { return p->has_devices; }

bool tgi_placement_could_have_devices(const struct tgi_placement *p) { return p->could_have_devices; }

void tgi_placement_ranks(const struct tgi_placement *p, struct tgi_operand *operands, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        operands[i].node = p->owner[tgi_word_tile(operands[i].word)];
}
