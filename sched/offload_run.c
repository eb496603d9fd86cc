/* A run on devices: code, places and data before it, its beginning, and what comes back from them; its end is in offload_finish.c. */
#include <stdlib.h>
#include <string.h>

#include "graph/environment.h"
#include "graph/error.h"
#include "sched/choice.h"
#include "sched/guide.h"
#include "sched/offload_graph.h"
#include "sched/offload_policy.h"
#include "sched/offload_task.h"
#include "sched/placement.h"

/* ---- Preparing ----------------------------------------------------------------------------*/

static int resolve_codes(struct tg_run *run, struct tg_error *err)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    const struct tgi_space *space = run->graph->space;
    struct tgi_offload_run *o = run->offload;
    o->codes = calloc((size_t)space->n_ops + 1, sizeof *o->codes);
    o->texts = calloc((size_t)space->n_ops + 1, sizeof *o->texts);
    o->enqueuing = calloc((size_t)space->n_ops + 1, sizeof *o->enqueuing);
    if (!o->codes || !o->texts || !o->enqueuing)
        return tgi_error_memory(err, "preparing a run");
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < space->n_ops; i++) {
        if (space->ops[i].kind != TGI_OP_KERNEL || space->ops[i].is_generic)
            continue;
        rc = ds->ops->resolve(ds, run->graph, i, &o->codes[i], &o->texts[i], err);
        if (rc == TG_E_NO_VARIANT)
            rc = 0; /* CPUs may have one; the placement tells */
    }
    ds->ops->detach(ds);
    return rc;
}

struct create {
    struct tg_run *run;
    struct tg_error *err;
    int rc;
};

static int refuse_footprint(struct tg_run *run, const struct tg_graph *g, uint32_t task, uint32_t device, uint64_t bytes, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    char scratch[16];
    uint32_t line, column;
    const char *name = tgi_graph_task_name(g, task, scratch);
    int rc = tgi_error(err, TG_E_CAPACITY, "task \"%s\" (%s) needs %llu bytes at once on %s:%u, where %llu can be used", name,
                       tgi_graph_op(g, task)->name, (unsigned long long)bytes, o->devices->ops->kind, o->devices->ordinal[device],
                       (unsigned long long)o->limit_bytes[device]);
    tgi_error_set_task(err, name);
    if (err && g->site_of && tgi_space_locate(g->space, g->site_of[task], &line, &column))
        tgi_error_set_position(err, g->space->file, line, column);
    return rc;
}

/* A task that needs more of a device than there is of it would fail when its turn comes: refused before anything runs. */
static int check_footprint(struct tg_run *run, const struct tg_graph *g, uint32_t task, uint32_t node, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    const struct tgi_op *op = tgi_graph_op(g, task);
    struct tgi_operand operands[TG_MAX_PARAMS];
    bool is_collective = op->kind == TGI_OP_COLLECTIVE;
    if (node == TGI_HOST_NODE || op->n_params > TG_MAX_PARAMS)
        return 0;
    for (uint32_t i = 0; i < op->n_params; i++)
        operands[i] = (struct tgi_operand){tgi_graph_word(g, task, i), op->params[i].access, node, 0};
    uint64_t scratch_bytes = 0;
    if (is_collective) {
        tgi_placement_ranks(run->offload->placement, operands, op->n_params);
        scratch_bytes = tgi_offload_scratch_bytes(o, g, task);
    }
    for (uint32_t i = 0; i < (is_collective ? op->n_params : 1); i++) {
        uint32_t device = (is_collective ? operands[i].node : node) - 1;
        uint64_t bytes = tgi_replicas_footprint(run->offload->replicas, operands, op->n_params, scratch_bytes, device);
        if (bytes > o->limit_bytes[device])
            return refuse_footprint(run, g, task, device, bytes, err);
    }
    return 0;
}

static int check_footprints(struct tg_run *run, const struct tg_graph *g, struct tg_error *err)
{
    const uint8_t *node = NULL, *via;
    int rc = 0;
    tgi_placement_of(run->offload->placement, g, &node, &via);
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++) {
        run->offload->uses_host |= node[t] == TGI_HOST_NODE;
        rc = check_footprint(run, g, t, node[t], err);
    }
    return rc;
}

static int check_all_footprints(struct tg_run *run, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    int rc = check_footprints(run, run->graph, err);
    for (uint32_t i = 0; rc == 0 && i < space->n_ops; i++) {
        if (space->ops[i].body)
            rc = check_footprints(run, space->ops[i].body, err);
        if (rc == 0 && space->ops[i].body_else)
            rc = check_footprints(run, space->ops[i].body_else, err);
    }
    return rc;
}

static void create_replicas(void *arg)
{
    struct create *c = arg;
    struct tgi_offload *o = c->run->runtime->offload;
    c->rc = tgi_replicas_create(c->run->graph, c->run->store, o->devices, o->order, o->pools,
                                o->fences, &c->run->offload->replicas, c->err);
    if (c->rc == 0)
        c->rc = check_all_footprints(c->run, c->err);
}

/* The program's own memory is pinned for as long as the run lasts; where that cannot be, copies are slower. */
static int register_memory(struct tg_run *run, struct tg_error *err)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    const struct tgi_space *space = run->graph->space;
    int is_wanted = tgi_environment_switch("TGRAPH_PINNING", 1, err);
    if (is_wanted <= 0)
        return is_wanted;
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        const struct tgi_buffer *b = &space->buffers[i];
        uint64_t bytes = b->tile_bytes * b->n_present;
        if (b->host && bytes && ds->ops->host_register(ds, b->host, bytes, NULL) == 0)
            run->offload->is_registered[i] = 1;
    }
    ds->ops->detach(ds);
    return 0;
}

static void unregister_memory(struct tg_run *run)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    for (uint32_t i = 0; run->offload->is_registered && i < run->graph->space->n_buffers; i++)
        if (run->offload->is_registered[i])
            ds->ops->host_unregister(ds, run->graph->space->buffers[i].host);
}

static void unresolve_codes(struct tg_run *run)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    for (uint32_t i = 0; run->offload->codes && i < run->graph->space->n_ops; i++)
        if (run->offload->codes[i])
            ds->ops->unresolve(ds, run->offload->codes[i]);
}

int tgi_offload_run_resolve(struct tg_run *run, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    if (!o || run->options.is_deterministic)
        return 0;
    run->offload = calloc(1, sizeof *run->offload);
    if (!run->offload)
        return tgi_error_memory(err, "preparing a run");
    run->offload->n_shown_lanes = run->offload->n_node_lanes = TGI_COMPUTE_LANES;
    run->offload->gain_costs = (struct tgi_gain_costs)TGI_GAIN_COSTS_INIT;
    if (run->guide && run->guide->machine) {
        tgi_machine_replay_costs(run->guide->machine, run->graph->n_tasks, &run->offload->replay_costs);
        tgi_machine_gain_costs(run->guide->machine, &run->offload->gain_costs);
    }
    run->offload->is_registered = calloc((size_t)run->graph->space->n_buffers + 1, 1);
    run->offload->is_pageable = calloc((size_t)run->graph->space->n_buffers + 1, 1);
    if (!run->offload->is_registered || !run->offload->is_pageable)
        return tgi_error_memory(err, "preparing a run");
    return resolve_codes(run, err);
}

int tgi_offload_run_place(struct tg_run *run, struct tg_error *err)
{
    if (!run->offload)
        return 0;
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    int rc = tgi_choices_create(run, o->devices, r->codes, o->history, &r->choices, err);
    if (rc == 0)
        tgi_choices_sources(r->choices, run->graph, &r->times);
    if (rc == 0)
        rc = tgi_placement_create(run, o->devices, r->codes, r->choices, &r->placement, err);
    bool has_devices = rc == 0 && (run->options.policy ? tgi_placement_could_have_devices(r->placement)
                                                       : tgi_placement_has_devices(r->placement));
    if (rc == 0 && !has_devices)
        tgi_offload_run_release(run);
    return rc;
}

int tgi_offload_run_prepare(struct tg_run *run, struct tg_error *err)
{
    struct create c = {run, err, 0};
    const struct tgi_policy_ops *ops;
    int rc = tgi_offload_policy_find(run, &ops, err);
    if (rc || !run->offload)
        return rc;
    int fills = tgi_replicas_are_filled(err);
    if (fills < 0)
        return fills;
    run->offload->fills = fills == 1;
    c.rc = register_memory(run, err);
    if (c.rc == 0)
        tgi_offload_do(run->runtime->offload, create_replicas, &c);
    if (c.rc == 0 && ops) {
        c.rc = tgi_offload_policy_create(run, ops, &run->offload->policy, err);
        run->offload->uses_host = true; /* perhaps */
    }
    return c.rc;
}

/* On the submitter's thread, which is attached. */
static void release(void *arg)
{
    struct tg_run *run = arg;
    struct tgi_offload *o = run->runtime->offload;
    tgi_offload_stream_release(run);
    tgi_offload_insert_release(run);
    tgi_offload_graph_release(run);
    tgi_replicas_destroy(run->offload->replicas);
    for (uint32_t i = 0; i < o->devices->n_devices; i++)
        if (run->offload->base[i])
            o->devices->ops->event_destroy(o->devices, run->offload->base[i]);
    unregister_memory(run);
    unresolve_codes(run);
}

void tgi_offload_run_release(struct tg_run *run)
{
    struct tgi_offload_run *o = run->offload;
    if (!o)
        return;
    tgi_offload_do(run->runtime->offload, release, run);
    for (uint32_t i = 0; o->texts && i < run->graph->space->n_ops; i++)
        free(o->texts[i]);
    tgi_offload_policy_destroy(o->policy);
    tgi_offload_ahead_release(o);
    tgi_placement_destroy(o->placement);
    tgi_choices_destroy(o->choices);
    free(o->codes);
    free(o->texts);
    free(o->enqueuing);
    free(o->is_registered);
    free(o->is_pageable);
    free(o->lent_tiles);
    free(o);
    run->offload = NULL;
}

/* ---- Beginning ----------------------------------------------------------------------------*/

/* Time zero on each device, and what the host's clock says then. */
static void take_bases(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    struct tg_error err;
    for (uint32_t i = 0; i < o->devices->n_devices && run->spans; i++) {
        int rc = r->base[i] ? 0 : o->devices->ops->event_create(o->devices, i, true, &r->base[i], &err);
        if (rc == 0)
            rc = o->devices->ops->record(o->devices, tgi_lane_of(i, 0), r->base[i], &err);
        if (rc == 0)
            rc = o->devices->ops->synchronize(o->devices, r->base[i], &err);
        if (rc) {
            tgi_offload_failed(o, &err);
            tgi_run_fail_whole(run, err.status, err.text);
            return;
        }
        r->base_ns[i] = (int64_t)tgi_now_ns();
    }
}

/* What the host has written since the last run, unless the program has done so on a device after that. */
static void find_written(struct tg_run *run)
{
    struct tgi_offload_run *r = run->offload;
    const struct tgi_space *space = run->graph->space;
    for (uint32_t i = 0; i < run->n_init_due; i++) {
        uint32_t tile = space->buffers[run->init_items[i].buffer].first_tile + run->init_items[i].tile;
        if (tgi_offload_is_given(r, tile))
            continue;
        if (tgi_offload_is_filled(r, &space->buffers[run->init_items[i].buffer]))
            tgi_replicas_host_began(r->replicas, tile);
        else
            tgi_replicas_host_wrote(r->replicas, tile);
    }
    /* The program may have written to its own memory since the last run. */
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        uint32_t first = space->buffers[i].first_tile, n = run->store->is_bound[i] ? space->buffers[i].n_tiles : 0;
        for (uint32_t t = first; t < first + n; t++)
            if (!tgi_offload_is_given(r, t))
                tgi_replicas_host_wrote(r->replicas, t);
    }
}

/* The program may have bound other memory since the last start. */
static void find_pageable(struct tg_run *run)
{
    struct tgi_offload_run *r = run->offload;
    struct tgi_offload *o = run->runtime->offload;
    for (uint32_t i = 0; i < run->graph->space->n_buffers; i++) {
        const struct tgi_buffer *b = &run->graph->space->buffers[i];
        const char *memory = b->n_tiles ? run->store->tile[b->first_tile] : NULL;
        bool is_ours = r->is_registered[i] && memory == b->host;
        r->is_pageable[i] = run->store->is_bound[i] && memory && !is_ours && o->devices->ops->is_pinned &&
                            !o->devices->ops->is_pinned(o->devices, memory);
    }
    tgi_replicas_stage(r->replicas, o->staging, r->is_pageable);
}

void tgi_offload_run_set_out(struct tg_run *run)
{
    struct tgi_offload_run *r = run->offload;
    find_written(run);
    find_pageable(run);
    memset(r->n_device_tasks, 0, sizeof r->n_device_tasks);
    memset(r->enqueuing, 0, run->graph->space->n_ops * sizeof *r->enqueuing);
    r->n_stolen = r->timing_ns = r->marking_ns = 0;
    r->has_collected = false;
    r->n_shown_lanes = r->n_node_lanes = TGI_COMPUTE_LANES;
    r->run = run;
    tgi_replicas_stats(r->replicas, &r->stats_before);
    tgi_replicas_log(r->replicas, run->spans != NULL);
    r->n_starts++;
    if (tgi_choices_begin(r->choices))
        tgi_placement_update(r->placement);
    r->has_last = false;
}

void tgi_offload_run_begin_now(struct tg_run *run)
{
    struct tgi_offload_run *r = run->offload;
    struct tgi_offload *o = run->runtime->offload;
    tgi_offload_run_set_out(run);
    r->next = o->active;
    o->active = r;
    o->n_recorded += run->spans != NULL;
    r->spent = o->spent;
    tgi_offload_stream_take_tiles(run);
    take_bases(run);
    tgi_run_set_begin_ns(run, tgi_now_ns());
    for (uint32_t i = 0; i < o->devices->n_devices; i++)
        r->base_ns[i] -= (int64_t)tgi_run_begin_ns(run);
    if (!run->needs_serial && !tgi_offload_graph_begin(run)) {
        tgi_offload_ahead_begin(run);
        tgi_instance_start(run->runtime, NULL, run->main);
    }
}

static void begin(void *arg)
{
    struct tg_run *run = arg;
    if (!run->offload->after || !tgi_offload_stream_holds(run))
        tgi_offload_run_begin_now(run);
}

void tgi_offload_run_begin_serial(struct tg_run *run)
{
    tgi_offload_do(run->runtime->offload, begin, run);
}

void tgi_offload_run_begin(struct tg_run *run)
{
    struct tgi_offload_call *call = &run->offload->begin;
    call->mail.kind = TGI_MAIL_CALL;
    call->fn = begin;
    call->arg = run;
    tgi_offload_mail(run->runtime->offload, &call->mail);
}

/* ---- Results ------------------------------------------------------------------------------*/

struct fetch {
    struct tg_run *run;
    tg_buffer_id buffer;
    uint32_t tile;
    int status;
    struct tg_error err;
};

static void fetch(void *arg)
{
    struct fetch *f = arg;
    struct tgi_offload *o = f->run->runtime->offload;
    struct tgi_waits waits = {.n = 0};
    bool was_dead = o->is_dead;
    if (was_dead)
        f->err = o->lost;
    int rc = was_dead ? o->lost.status : tgi_replicas_to_host(f->run->offload->replicas, f->buffer, f->tile, &waits, &f->err);
    for (uint32_t i = 0; rc == 0 && i < waits.n; i++)
        rc = tgi_order_synchronize(o->order, waits.stamps[i], &f->err);
    f->status = rc;
    if (rc && !was_dead) { /* a copy that was enqueued must not come when the memory is somebody else's */
        tgi_offload_failed(o, &f->err);
        tgi_offload_drain(o);
    }
    /* The program has the address now and may write there. */
    if (rc == 0)
        tgi_replicas_host_wrote(f->run->offload->replicas, f->run->graph->space->buffers[f->buffer].first_tile + f->tile);
}

int tgi_offload_fetch(struct tg_run *run, tg_buffer_id buffer, uint32_t tile, struct tg_error *err)
{
    struct fetch f = {.run = run, .buffer = buffer, .tile = tile};
    tgi_offload_do(run->runtime->offload, fetch, &f);
    return f.status ? tgi_error(err, f.status, "\"%s\" has not come back from its device: %s", run->graph->space->buffers[buffer].name, f.err.text)
                    : 0;
}
