/* See offload_times.h. */
#include "sched/offload_times.h"

#include <stdlib.h>

#include "graph/error.h"

/* ---- Before -------------------------------------------------------------------------------*/

static void mark_owners(const struct tgi_program *p, uint32_t n_tasks, uint8_t *is_inside)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        for (uint32_t t = 0; c->kind == TGI_COMMAND_RESIDENT && t < c->cluster->program->n_tasks; t++)
            if (c->cluster->owner[t] < n_tasks)
                is_inside[c->cluster->owner[t]] = 1;
    }
    /* One that is partly outside has a time that nobody notes. */
    for (uint32_t i = 0; i < p->n; i++) {
        const struct tgi_command *c = &p->commands[i];
        if ((c->kind == TGI_COMMAND_LAUNCH || c->kind == TGI_COMMAND_COLLECT) && c->owner < n_tasks)
            is_inside[c->owner] = 0;
    }
}

int tgi_offload_times_want(const struct tg_run *run, const struct tgi_program *p, struct tg_error *err)
{
    const struct tg_graph *g = run->graph;
    uint8_t *is_inside = calloc((size_t)g->n_tasks + 1, 1);
    char scratch[16];
    int rc = 0;
    if (!is_inside)
        return tgi_error_memory(err, "recording a run");
    mark_owners(p, g->n_tasks, is_inside);
    for (uint32_t t = 0; rc == 0 && t < g->n_tasks; t++)
        if (tgi_graph_op(g, t)->kind >= TGI_OP_REPEAT)
            rc = tgi_error(err, TG_E_UNSUPPORTED,
                           "times of single tasks are wanted, and resident kernels do not tell which round of \"%s\" a time is of",
                           tgi_graph_task_name(g, t, scratch));
        else if (!is_inside[t] && tgi_graph_op(g, t)->kind != TGI_OP_BARRIER)
            rc = tgi_error(err, TG_E_UNSUPPORTED, "times of single tasks are wanted, and task \"%s\" is not inside a resident kernel",
                           tgi_graph_task_name(g, t, scratch));
    for (uint32_t i = 0; rc == 0 && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT)
            p->commands[i].cluster->is_timed = true;
    free(is_inside);
    return rc;
}

/* ---- After --------------------------------------------------------------------------------*/

struct taking {
    struct tg_run *run;
    const struct tgi_program *program;
    struct tgi_device_graph *graph;
    uint64_t **times;              /* by command; NULL: it is no cluster */
    uint64_t first[TGI_MAX_DEVICES], last[TGI_MAX_DEVICES]; /* by the device's clock: when the first task began and the last ended; 0: none did */
};

static int fetch(struct taking *k, uint32_t i, struct tg_error *err)
{
    const struct tgi_command *c = &k->program->commands[i];
    struct tgi_devices *ds = k->run->runtime->offload->devices;
    uint32_t n = c->cluster->program->n_tasks, device = tgi_lane_device(c->lane);
    k->times[i] = calloc(2 * (size_t)n + 2, sizeof **k->times);
    int rc = k->times[i] ? ds->ops->cluster_times(ds, k->graph, c->cluster, k->times[i], err) : tgi_error_memory(err, "keeping the times of tasks");
    for (uint32_t s = 0; rc == 0 && s < n; s++) {
        uint64_t begin = k->times[i][2 * s], end = k->times[i][2 * s + 1];
        if (begin && (!k->first[device] || begin < k->first[device]))
            k->first[device] = begin;
        k->last[device] = end > k->last[device] ? end : k->last[device];
    }
    return rc;
}

/* Workers have the lanes after those of streams. */
static uint16_t lane_of(const struct tg_run *run, uint32_t device, uint32_t worker)
{
    return (uint16_t)(run->runtime->n_workers + device * run->offload->n_shown_lanes + TGI_COMPUTE_LANES + worker);
}

/* A task may be several commands.  No time is 0, which would mean that it never ran. */
static void note(struct tg_run *run, uint64_t owner, uint64_t start_ns, uint64_t end_ns, uint16_t lane)
{
    if (owner >= run->graph->n_tasks)
        return;
    struct tgi_span *s = &run->spans[owner];
    if (!s->end_ns || start_ns < s->start_ns)
        s->start_ns = start_ns;
    if (end_ns >= s->end_ns) {
        s->end_ns = end_ns;
        s->worker = lane;
    }
    s->attempts = 1;
}

static void spread(const struct taking *k, uint32_t i, uint64_t end_ns)
{
    const struct tgi_command *c = &k->program->commands[i];
    const struct tgi_resident_program *p = c->cluster->program;
    uint32_t device = tgi_lane_device(c->lane);
    uint64_t long_ns = k->last[device] - k->first[device], zero_ns = end_ns > long_ns ? end_ns - long_ns : 1;
    for (uint32_t w = 0; w < p->n_workers; w++)
        for (uint32_t s = p->first[w]; s < p->first[w + 1]; s++) {
            uint64_t begin = k->times[i][2 * s], end = k->times[i][2 * s + 1];
            if (!TGI_RESIDENT_HAS_WORDS(TGI_HEAD_OP(p->tasks[s].head)) || !end)
                continue;
            note(k->run, c->cluster->owner[p->tasks[s].id], zero_ns + (begin - k->first[device]), zero_ns + (end - k->first[device]),
                 lane_of(k->run, device, w));
        }
}

/* Barriers take no time, and nobody executes them. */
static void place_barriers(struct tg_run *run)
{
    const struct tg_graph *g = run->graph;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        run->spans[t].ready_ns = 0;
    for (uint32_t k = 0; k < g->n_tasks; k++) {
        uint32_t t = g->topo ? g->topo[k] : k;
        struct tgi_span *s = &run->spans[t];
        if (tgi_graph_op(g, t)->kind == TGI_OP_BARRIER) {
            s->start_ns = s->end_ns = s->ready_ns ? s->ready_ns : 1;
            s->attempts = 1;
        }
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++) {
            struct tgi_span *after = &run->spans[g->succ[i]];
            after->ready_ns = s->end_ns > after->ready_ns ? s->end_ns : after->ready_ns;
        }
    }
}

int tgi_offload_times_take(struct tg_run *run, const struct tgi_program *p, struct tgi_device_graph *graph, uint64_t end_ns,
                           struct tg_error *err)
{
    struct taking k = {.run = run, .program = p, .graph = graph, .times = calloc((size_t)p->n + 1, sizeof *k.times)};
    int rc = k.times ? 0 : tgi_error_memory(err, "keeping the times of tasks");
    run->offload->n_shown_lanes = TGI_COMPUTE_LANES;
    for (uint32_t i = 0; rc == 0 && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT) {
            uint32_t n = TGI_COMPUTE_LANES + p->commands[i].cluster->program->n_workers;
            run->offload->n_shown_lanes = n > run->offload->n_shown_lanes ? n : run->offload->n_shown_lanes;
            rc = fetch(&k, i, err);
        }
    for (uint32_t i = 0; rc == 0 && i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_RESIDENT)
            spread(&k, i, end_ns);
    if (rc == 0)
        place_barriers(run);
    for (uint32_t i = 0; k.times && i < p->n; i++)
        free(k.times[i]);
    free(k.times);
    return rc;
}
