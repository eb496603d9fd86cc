/* See workload.h. */
#include "sched/workload.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/replica.h"
#include "sched/timing.h"

/* ---- Tiles --------------------------------------------------------------------------------*/

struct span {
    uint32_t tile, n_tiles;
    uint64_t bytes;
};

static struct span span_of(const struct tg_graph *g, uint64_t word)
{
    const struct tgi_buffer *b = tgi_space_buffer_of(g->space, tgi_word_tile(word));
    uint32_t range = tgi_word_range(word);
    struct span s = {tgi_word_tile(word), 1, b->tile_bytes};
    if (range == TGI_WORD_ALL) {
        s.n_tiles = b->n_tiles;
        s.bytes = b->tile_bytes * b->n_tiles;
    } else if (range) {
        const struct tgi_range *r = &g->space->ranges[range - 1];
        s.bytes = b->row_bytes * (r->end - r->begin);
    }
    return s;
}

static bool is_tile(const struct tgi_op *op, uint32_t i, uint64_t word)
{
    return op->params[i].access != TG_SCALAR && word != TGI_WORD_NULL;
}

/* Part of a tile that is written leaves the rest as it was. */
static bool reads(enum tg_access access, uint64_t word)
{
    uint32_t range = tgi_word_range(word);
    return access != TG_OUT || (range && range != TGI_WORD_ALL);
}

static void add_uses(struct tgi_workload *w, uint32_t task, uint32_t *n_p)
{
    const struct tgi_op *op = tgi_graph_op(w->graph, task);
    for (uint32_t i = 0; i < tgi_graph_n_words(w->graph, task); i++) {
        uint64_t word = w->graph->args[w->graph->nodes[task].args + i];
        if (!is_tile(op, i, word))
            continue;
        struct span s = span_of(w->graph, word);
        for (uint32_t k = 0; k < s.n_tiles; k++, ++*n_p)
            if (w->uses)
                w->uses[*n_p] = (struct tgi_use){s.tile + k, TG_NONE, reads(op->params[i].access, word),
                                                 op->params[i].access != TG_IN};
    }
}

static bool list_uses(struct tgi_workload *w)
{
    uint32_t n = 0;
    w->uses_at = malloc(((size_t)w->n_tasks + 1) * sizeof *w->uses_at);
    for (uint32_t t = 0; w->uses_at && t < w->n_tasks; t++)
        add_uses(w, t, &n);
    w->uses = malloc(((size_t)n + 1) * sizeof *w->uses);
    n = 0;
    for (uint32_t t = 0; w->uses_at && w->uses && t < w->n_tasks; t++) {
        w->uses_at[t] = n;
        add_uses(w, t, &n);
    }
    if (w->uses_at)
        w->uses_at[w->n_tasks] = n;
    return w->uses_at && w->uses;
}

static int find_blank(struct tgi_workload *w, struct tg_error *err)
{
    const struct tgi_space *space = w->graph->space;
    int fills = tgi_replicas_are_filled(err);
    for (uint32_t b = 0; fills > 0 && b < space->n_buffers; b++) {
        if (!tgi_replicas_begins_alike(&space->buffers[b]))
            continue;
        if (!w->is_blank && !(w->is_blank = calloc((size_t)w->n_tiles + 1, 1)))
            return tgi_error_memory(err, "planning");
        memset(w->is_blank + space->buffers[b].first_tile, 1, space->buffers[b].n_tiles);
    }
    return fills < 0 ? fills : 0;
}

/* Who wrote what a task reads: tasks of a tile are ordered, but for groups, whose members all follow the writer
 * before them and the last of which stands for all. */
static bool find_writers(struct tgi_workload *w)
{
    uint32_t *last = malloc(((size_t)w->n_tiles + 1) * sizeof *last);
    w->tile_bytes = calloc((size_t)w->n_tiles + 1, sizeof *w->tile_bytes);
    if (!last || !w->tile_bytes) {
        free(last);
        return false;
    }
    memset(last, 0xff, (size_t)w->n_tiles * sizeof *last);
    for (uint32_t b = 0; b < w->graph->space->n_buffers; b++)
        for (uint32_t k = 0; k < w->graph->space->buffers[b].n_tiles; k++)
            w->tile_bytes[w->graph->space->buffers[b].first_tile + k] = w->graph->space->buffers[b].tile_bytes;
    for (uint32_t i = 0; i < w->n_tasks; i++) {
        uint32_t t = tgi_workload_task_at(w, i);
        for (uint32_t u = w->uses_at[t]; u < w->uses_at[t + 1]; u++)
            if (w->uses[u].is_read)
                w->uses[u].writer = last[w->uses[u].tile];
        for (uint32_t u = w->uses_at[t]; u < w->uses_at[t + 1]; u++)
            if (w->uses[u].is_written)
                last[w->uses[u].tile] = t;
    }
    free(last);
    return true;
}

/* ---- Times --------------------------------------------------------------------------------*/

void tgi_workload_signature(const struct tg_graph *g, uint32_t task, char *text, size_t size)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < op->n_params && at < size; i++) {
        uint64_t word = tgi_graph_word(g, task, i);
        bool is_float = op->params[i].dtype == TG_F16 || op->params[i].dtype == TG_BF16 ||
                        op->params[i].dtype == TG_F32 || op->params[i].dtype == TG_F64;
        if (is_tile(op, i, word))
            at += (size_t)snprintf(text + at, size - at, "%s%" PRIu64 "B", at ? "," : "", span_of(g, word).bytes);
        else if (op->params[i].access == TG_SCALAR && !is_float)
            at += (size_t)snprintf(text + at, size - at, "%s%" PRId64, at ? "," : "", (int64_t)word);
    }
}

static bool runs_on(const struct tgi_op *op, enum tgi_device_kind kind)
{
    if (op->kind != TGI_OP_KERNEL)
        return op->kind < TGI_OP_REPEAT || kind == TGI_DEVICE_CPU;
    for (uint32_t i = 0; i < op->n_variants; i++) {
        const struct tgi_variant *v = &op->variants[i];
        if (v->on == kind || (kind == TGI_DEVICE_CUDA && v->form == TGI_VARIANT_BUILTIN && v->builtin->cuda))
            return true;
    }
    return false;
}

struct pricing {
    struct tgi_workload *w;
    struct tgi_timing *timing;
    double memory[TGI_MACHINE_CLASSES]; /* bytes per ns of a device's memory; 0: no limit */
    double lane[TGI_MACHINE_CLASSES];   /* what one lane gets of it at most; 0: no limit */
    bool is_shared[TGI_MACHINE_CLASSES]; /* a device other than a CPU with several lanes */
};

static bool pricing_init(struct pricing *p, struct tgi_workload *w)
{
    const struct tgi_machine *m = w->machine;
    *p = (struct pricing){.w = w, .timing = tgi_timing_create(m, w->graph)};
    for (uint32_t d = 0; d < m->n_devices; d++) {
        uint32_t c = m->devices[d].class;
        double here = m->memories[m->devices[d].memory].bytes_per_ns, lane = m->classes[c].lane_bytes_per_ns;
        p->memory[c] = p->memory[c] > here ? p->memory[c] : here;
        p->lane[c] = lane > 0 && (here <= 0 || lane < here) ? lane : p->memory[c];
        p->is_shared[c] |= m->classes[c].kind != TGI_DEVICE_CPU && m->devices[d].n_lanes > 1;
    }
    return p->timing != NULL;
}

/* What a task moves through a memory if n lanes of it are slowed down so much by each other.  What is not slowed down
 * asks for no more than its share, and if that was not measured for no more than there is. */
static double traffic_of(double ns, double slower, double bytes_per_ns, uint32_t n_lanes, double declared)
{
    double share = ns * bytes_per_ns / (n_lanes ? n_lanes : 1);
    if (slower > 1)
        return slower * share;
    return declared < share ? declared : share;
}

/* Without what the recorded runs that it is from have noted times for. */
static double in_graph_ns(const struct tgi_machine_class *class, const struct tgi_timed *timed)
{
    return timed->graph_ns > class->stamp_ns ? timed->graph_ns - class->stamp_ns : 0;
}

/* Files that were calibrated before they said so: two events that tell the time; an event and a look at it (bench/cuda_calls on an H100). */
static const float usual_mark_ns = 2330, usual_see_ns = 550;

static void note_handling(struct tgi_handling *h, const struct tgi_timed *timed)
{
    if (timed->enqueue_ns > 0)
        h->ns = (float)timed->enqueue_ns + (timed->see_ns > 0 ? (float)timed->see_ns : usual_see_ns);
    h->move_ns = (float)timed->move_ns;
    if (timed->mark_ns > 0)
        h->mark_ns = (float)timed->mark_ns;
}

static enum tgi_timing_found measured(const struct pricing *p, uint32_t task, const struct tgi_cost *cost, float *ns,
                                      float *traffic)
{
    struct tgi_workload *w = p->w;
    uint32_t op = w->graph->nodes[task].op & TGI_NODE_OP;
    enum tgi_timing_found worst = TGI_TIMING_EXACT;
    char arguments[128];
    if (!tgi_timing_knows(p->timing, op))
        return TGI_TIMING_NONE;
    tgi_workload_signature(w->graph, task, arguments, sizeof arguments);
    for (uint32_t c = 0; c < w->n_classes; c++) {
        struct tgi_timed timed;
        const struct tgi_machine_class *class = &w->machine->classes[c];
        if (isinf(ns[c]))
            continue;
        enum tgi_timing_found found = tgi_timing_find(p->timing, op, c, arguments, cost->flops, cost->bytes, &timed);
        if (found == TGI_TIMING_NONE || worst != TGI_TIMING_NONE)
            worst = found == TGI_TIMING_EXACT ? worst : found;
        if (found == TGI_TIMING_NONE)
            continue;
        bool is_replayed = w->is_replayed && class->kind != TGI_DEVICE_CPU && timed.graph_ns > 0;
        ns[c] = (float)(is_replayed ? in_graph_ns(class, &timed) : timed.ns + (class->kind == TGI_DEVICE_CPU ? class->launch_ns : 0));
        w->n_replayed += is_replayed;
        if (w->known_ns && class->kind != TGI_DEVICE_CPU)
            w->known_ns[task] = (float)(timed.beside_ns > 0 ? timed.beside_ns : timed.ns);
        if (is_replayed)
            w->copy_launch_ns += timed.copy_launch_ns / w->n_tasks;
        if (is_replayed && timed.shares_lane)
            w->shares_lane[task] = 1;
        if (w->handling && class->kind != TGI_DEVICE_CPU)
            note_handling(&w->handling[task], &timed);
        bool is_cpu = class->kind == TGI_DEVICE_CPU;
        if (is_replayed && p->memory[c] > 0)
            traffic[c] = (float)(ns[c] * p->memory[c] * timed.graph_part);
        else if (!is_cpu && timed.n_together > 1 && p->memory[c] > 0)
            traffic[c] = (float)(ns[c] * p->memory[c] * timed.slower / timed.n_together);
        else if (is_cpu && p->memory[c] > 0)
            traffic[c] = (float)traffic_of(ns[c], timed.slower, p->memory[c], timed.n_together, traffic[c]);
        else if (p->is_shared[c])
            traffic[c] = (float)(ns[c] * p->memory[c]);
    }
    return worst;
}

static bool is_move(const struct tgi_op *op) { return op->kind == TGI_OP_COPY || op->kind == TGI_OP_FILL; }

static double argument_bytes(const struct tgi_workload *w, uint32_t task)
{
    const struct tg_graph *g = w->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    double bytes = 0;
    for (uint32_t i = 0; i < tgi_graph_n_words(g, task); i++) {
        uint64_t word = g->args[g->nodes[task].args + i];
        if (is_tile(op, i, word)) /* of a part of a tile no more is moved than the part */
            bytes += (double)span_of(g, word).bytes * ((op->params[i].access != TG_OUT) + (op->params[i].access != TG_IN));
    }
    return bytes;
}

/* Of a control task: its body, one task after the other on a CPU lane, `count` times where that is known. */
static double body_us(const struct tg_graph *body)
{
    double us = 0;
    for (uint32_t t = 0; body && t < body->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(body, t);
        struct tgi_cost cost = tgi_graph_cost(body, t);
        us += !isnan(cost.us) ? cost.us : 1;
        if (op->kind >= TGI_OP_REPEAT)
            us += body_us(op->body) * (op->kind == TGI_OP_REPEAT ? (double)op->count : 1);
    }
    return us;
}

static struct tgi_cost cost_of(struct tgi_workload *w, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(w->graph, task);
    struct tgi_cost cost = tgi_graph_cost(w->graph, task);
    if (op->kind >= TGI_OP_REPEAT) {
        w->n_bodies++;
        cost.us = body_us(op->body) * (op->kind == TGI_OP_REPEAT ? (double)op->count : 1);
    }
    return cost;
}

static bool runs_on_device(const struct tgi_workload *w, uint32_t task)
{
    const struct tgi_attr *attr = tgi_graph_attr(w->graph, task);
    const struct tgi_op *op = tgi_graph_op(w->graph, task);
    for (uint32_t d = 0; d < w->machine->n_devices; d++)
        if (w->machine->classes[w->machine->devices[d].class].kind == TGI_DEVICE_CUDA && runs_on(op, TGI_DEVICE_CUDA) &&
            (!attr || !attr->on || attr->on & tgi_machine_place(w->machine, d)))
            return true;
    return false;
}

/* Fills in the times of the classes that can run the task at all. */
static void price(struct pricing *p, uint32_t task)
{
    struct tgi_workload *w = p->w;
    const struct tgi_op *op = tgi_graph_op(w->graph, task);
    float *ns = w->ns + (size_t)task * w->n_classes, *moved = w->traffic + (size_t)task * w->n_classes;
    struct tgi_cost cost = cost_of(w, task);
    bool has_roofline = !isnan(cost.flops) || !isnan(cost.bytes), has_us = !isnan(cost.us) && cost.us >= 0;
    double traffic = !isnan(cost.bytes) ? cost.bytes : has_us ? 0 : argument_bytes(w, task);
    double flops = isnan(cost.flops) ? 0 : cost.flops;
    bool is_for_device = w->is_as_run && op->kind < TGI_OP_BARRIER && runs_on_device(w, task);
    for (uint32_t c = 0; c < w->n_classes; c++) {
        const struct tgi_machine_class *class = &w->machine->classes[c];
        double memory = p->lane[c] > 0 ? traffic / p->lane[c] : 0;
        double compute = class->flops_per_ns > 0 ? flops / class->flops_per_ns : 0;
        double longer = has_us ? cost.us * 1e3 : compute > memory ? compute : memory;
        bool is_possible = runs_on(op, class->kind) && !(is_for_device && class->kind == TGI_DEVICE_CPU);
        ns[c] = is_possible ? (float)(longer + (op->kind == TGI_OP_BARRIER ? 0 : class->launch_ns)) : INFINITY;
        moved[c] = op->kind == TGI_OP_BARRIER || !is_possible ? 0 : (float)traffic;
        if (is_possible && p->is_shared[c] && !is_move(op) && op->kind != TGI_OP_BARRIER)
            moved[c] = (float)(ns[c] * p->memory[c]);
    }
    enum tgi_timing_found found = op->kind == TGI_OP_BARRIER ? TGI_TIMING_NONE : measured(p, task, &cost, ns, moved);
    if (found == TGI_TIMING_NONE && is_move(op) && !has_us && !w->machine->is_rough)
        found = TGI_TIMING_FITTED;
    if (op->kind == TGI_OP_BARRIER)
        w->n_free++;
    else if (found != TGI_TIMING_NONE)
        *(found == TGI_TIMING_EXACT ? &w->n_measured : &w->n_fitted) += 1;
    else if (has_us)
        w->n_declared++;
    else
        *(has_roofline ? &w->n_roofline : &w->n_sized) += 1;
    if (found == TGI_TIMING_NONE && op->kind != TGI_OP_BARRIER && w->first_unknown == TG_NONE)
        w->first_unknown = task;
}

/* ---- Where tasks may run ------------------------------------------------------------------*/

bool tgi_workload_allows(const struct tgi_workload *w, uint32_t task, uint32_t device)
{
    if (isinf(w->ns[(size_t)task * w->n_classes + w->machine->devices[device].class]))
        return false;
    return !w->only || !w->only[task] || (w->only[task] & tgi_machine_place(w->machine, device));
}

double tgi_workload_least_ns(const struct tgi_workload *w, uint32_t task)
{
    double least = INFINITY;
    const float *ns = w->ns + (size_t)task * w->n_classes;
    for (uint32_t c = 0; c < w->n_classes; c++)
        least = ns[c] < least ? ns[c] : least;
    return least;
}

double tgi_workload_least_traffic(const struct tgi_workload *w, uint32_t task)
{
    double least = INFINITY;
    size_t at = (size_t)task * w->n_classes;
    for (uint32_t c = 0; c < w->n_classes; c++)
        least = !isinf(w->ns[at + c]) && w->traffic[at + c] < least ? w->traffic[at + c] : least;
    return isinf(least) ? 0 : least;
}

/* Classes without a device of the machine, or without one that the task is limited to, do not count. */
static int limit(struct tgi_workload *w, uint32_t task, struct tg_error *err)
{
    const struct tgi_attr *attr = tgi_graph_attr(w->graph, task);
    bool has_device[TGI_MACHINE_CLASSES] = {false}, is_any = false;
    char scratch[16];
    if (attr && attr->on && !w->only && !(w->only = calloc(w->n_tasks, sizeof *w->only)))
        return tgi_error_memory(err, "planning");
    if (attr && attr->on)
        w->only[task] = attr->on;
    for (uint32_t d = 0; d < w->machine->n_devices; d++) {
        bool is_allowed = tgi_workload_allows(w, task, d);
        has_device[w->machine->devices[d].class] |= is_allowed;
        is_any |= is_allowed;
    }
    for (uint32_t c = 0; c < w->n_classes; c++)
        if (!has_device[c])
            w->ns[(size_t)task * w->n_classes + c] = INFINITY;
    if (is_any)
        return 0;
    return tgi_error(err, attr && attr->on ? TG_E_NO_DEVICE : TG_E_NO_VARIANT,
                     "no device of the machine can run task \"%s\" (\"%s\")",
                     tgi_graph_task_name(w->graph, task, scratch), tgi_graph_op(w->graph, task)->name);
}

static bool is_plain(const struct tgi_workload *w, uint32_t task, const uint8_t *is_used)
{
    for (uint32_t c = 0; c < w->n_classes; c++)
        if (is_used[c] && !isinf(w->ns[(size_t)task * w->n_classes + c]))
            return !tgi_graph_attr(w->graph, task);
    return false;
}

static int price_all(struct tgi_workload *w, struct tg_error *err)
{
    struct pricing p;
    uint8_t is_used[TGI_MACHINE_CLASSES] = {0};
    uint32_t n_used = 0;
    int rc = pricing_init(&p, w) ? 0 : tgi_error_memory(err, "planning");
    for (uint32_t d = 0; d < w->machine->n_devices; d++)
        is_used[w->machine->devices[d].class] = 1;
    for (uint32_t c = 0; c < w->n_classes; c++)
        n_used += is_used[c];
    for (uint32_t t = 0; rc == 0 && t < w->n_tasks; t++) {
        price(&p, t);
        if (n_used != w->n_classes || !is_plain(w, t, is_used))
            rc = limit(w, t, err);
    }
    tgi_timing_destroy(p.timing);
    return rc;
}

/* What is known of a task as part of a run. */
static bool make_notes(struct tgi_workload *w)
{
    size_t n = (size_t)w->n_tasks + 1;
    if (!w->is_as_run)
        return true;
    w->known_ns = calloc(n, sizeof *w->known_ns);
    w->shares_lane = w->is_replayed ? calloc(n, 1) : NULL;
    w->handling = w->is_replayed ? NULL : malloc(n * sizeof *w->handling);
    for (uint32_t t = 0; w->handling && t < w->n_tasks; t++)
        w->handling[t] = (struct tgi_handling){0, usual_mark_ns, 0};
    return w->known_ns && (w->is_replayed ? w->shares_lane != NULL : w->handling != NULL);
}

/* form: NULL: it is no run. */
static int create(const struct tg_graph *g, const struct tgi_machine *machine, const enum tgi_run_form *form,
                  struct tgi_workload **w_p, struct tg_error *err)
{
    struct tgi_workload *w = calloc(1, sizeof *w);
    if (!w)
        return tgi_error_memory(err, "planning");
    *w = (struct tgi_workload){.graph = g, .machine = machine, .n_tasks = g->n_tasks, .n_tiles = g->space->n_tiles,
                               .n_classes = machine->n_classes, .is_as_run = form != NULL, .is_replayed = form && *form == TGI_RUN_IN_GRAPH,
                               .is_recorded = form && *form == TGI_RUN_RECORDED, .first_unknown = TG_NONE};
    w->ns = malloc(((size_t)g->n_tasks * w->n_classes + 1) * sizeof *w->ns);
    w->traffic = malloc(((size_t)g->n_tasks * w->n_classes + 1) * sizeof *w->traffic);
    int rc = w->ns && w->traffic && make_notes(w) && list_uses(w) && find_writers(w) ? 0 : tgi_error_memory(err, "planning");
    if (rc == 0)
        rc = find_blank(w, err);
    if (rc == 0)
        rc = price_all(w, err);
    if (rc)
        tgi_workload_destroy(w);
    else
        *w_p = w;
    return rc;
}

int tgi_workload_create(const struct tg_graph *g, const struct tgi_machine *machine, struct tgi_workload **w_p,
                        struct tg_error *err)
{
    return create(g, machine, NULL, w_p, err);
}

int tgi_workload_create_as_run(const struct tg_graph *g, const struct tgi_machine *machine, enum tgi_run_form form, struct tgi_workload **w_p,
                               struct tg_error *err)
{
    return create(g, machine, &form, w_p, err);
}

int tgi_workload_stay(struct tgi_workload *w, struct tg_error *err)
{
    w->stays = malloc((size_t)w->n_tiles + 1);
    if (!w->stays)
        return tgi_error_memory(err, "planning");
    memset(w->stays, 1, (size_t)w->n_tiles);
    for (uint32_t u = 0; u < w->uses_at[w->n_tasks]; u++)
        if (w->uses[u].is_written)
            w->stays[w->uses[u].tile] = 0;
    return 0;
}

void tgi_workload_destroy(struct tgi_workload *w)
{
    if (!w)
        return;
    free(w->ns);
    free(w->traffic);
    free(w->uses_at);
    free(w->uses);
    free(w->tile_bytes);
    free(w->stays);
    free(w->is_blank);
    free(w->known_ns);
    free(w->handling);
    free(w->shares_lane);
    free(w->only);
    free(w);
}
