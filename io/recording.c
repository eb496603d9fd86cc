/* A record is taken in one pass over the parts of a schedule: strings once each (those of a body once for all
 * its rounds), predecessors by counting.  Nothing of it happens while the run is under way. */
#include "io/recording.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "io/palette.h"
#include "io/recording_memory.h"
#include "io/schedule.h"
#include "mem/device.h"

/* ---- Taking it ----------------------------------------------------------------------------*/

/* Names of a graph's tasks, in the strings already. */
struct named_graph {
    const struct tg_graph *graph;
    uint32_t *names; /* by task */
};

struct taking {
    const struct tgi_recorded *what;
    struct tgi_schedule schedule;
    struct tgi_palette palette;
    struct tgi_recording r;
    uint32_t cap_strings, n_strings;
    struct named_graph *named;
    uint32_t n_named, cap_named;
    uint32_t *first;  /* by part: its first task in the record */
    uint32_t *n_rounds_of; /* by task: rounds of a control task */
    bool is_out_of_memory;
};

static uint32_t put_string(struct taking *k, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 1;
    if (size == 1)
        return 0;
    if (k->n_strings + size > UINT32_MAX / 2 ||
        !tgi_vec_reserve(&k->r.strings, &k->cap_strings, k->n_strings + size, 1)) {
        k->is_out_of_memory = true;
        return 0;
    }
    memcpy(k->r.strings + k->n_strings, text, size);
    k->n_strings += (uint32_t)size;
    return k->n_strings - (uint32_t)size;
}

/* NULL: none of its tasks has a name, or there is no memory. */
static const uint32_t *names_of(struct taking *k, const struct tg_graph *g)
{
    for (uint32_t i = 0; i < k->n_named; i++)
        if (k->named[i].graph == g)
            return k->named[i].names;
    uint32_t *names = g->names_at ? calloc(g->n_tasks + 1, sizeof(*names)) : NULL;
    if ((g->names_at && !names) ||
        !tgi_vec_reserve(&k->named, &k->cap_named, (uint64_t)k->n_named + 1, sizeof(*k->named))) {
        k->is_out_of_memory = true;
        free(names);
        return NULL;
    }
    for (uint32_t t = 0; names && t < g->n_tasks; t++)
        names[t] = g->names_at[t] == TG_NONE ? 0 : put_string(k, g->names_text + g->names_at[t]);
    k->named[k->n_named++] = (struct named_graph){g, names};
    return names;
}

static void take_head(struct taking *k)
{
    const struct tgi_recorded *what = k->what;
    struct tgi_recording_head *h = &k->r.head;
    struct tgi_run_moved moved;
    char host[256] = "";
    put_string(k, NULL);
    *h = (struct tgi_recording_head){.makespan_ns = what->makespan_ns, .n_tasks = what->graph->n_tasks,
                                     .n_workers = what->n_workers, .began_s = (uint64_t)time(NULL) - what->makespan_ns / 1000000000};
    struct tg_graph_stats stats;
    if (tg_graph_stats(what->graph, &stats, NULL) == 0)
        h->data_bytes = stats.data_bytes;
    h->n_lost_rounds = what->rounds ? what->rounds->n_lost : 0;
    h->name = put_string(k, what->graph->name);
    h->file = put_string(k, what->graph->space->file);
    h->policy = put_string(k, what->policy);
    h->outcome = put_string(k, what->outcome);
    h->version = put_string(k, TG_VERSION_STRING);
    if (gethostname(host, sizeof(host) - 1) == 0)
        h->machine = put_string(k, host);
    if (!what->run || what->is_ahead || tgi_run_n_devices(what->run) == 0)
        return;
    tgi_run_moved(what->run, &moved);
    h->to_device_bytes = moved.to_device_bytes;
    h->to_host_bytes = moved.to_host_bytes;
    h->peer_bytes = moved.peer_bytes;
    h->spilled_bytes = moved.spilled_bytes;
    h->n_copies = moved.n_copies;
}

static void take_kernels(struct taking *k)
{
    const struct tgi_space *space = k->what->graph->space;
    for (uint32_t i = 0; i < k->palette.n_kinds; i++) {
        const struct tgi_op *op = &space->ops[k->palette.op_of[i]];
        struct tgi_recording_kernel *kernel = &k->r.kernels[i];
        *kernel = (struct tgi_recording_kernel){put_string(k, op->name), 0, 0, op->kind == TGI_OP_KERNEL};
        for (uint32_t o = 0; o < space->n_ops && k->what->run && kernel->is_kernel; o++) {
            if (k->palette.kind_of[o] != i)
                continue;
            if (!kernel->variant)
                kernel->variant = put_string(k, tgi_run_variant_text(k->what->run, o));
            if (!kernel->device_variant)
                kernel->device_variant = put_string(k, tgi_run_device_text(k->what->run, o));
        }
    }
}

static void take_machine(struct taking *k)
{
    const struct tg_run *run = k->what->run;
    uint32_t n_workers = k->what->n_workers, n_stats;
    const struct tgi_worker_stats *stats = run ? tgi_run_worker_stats(run, &n_stats) : NULL;
    for (uint32_t i = 0; i < n_workers; i++) {
        k->r.lanes[i] = (struct tgi_recording_lane){TGI_LANE_WORKER, TG_NONE, i, 0, 0, 0};
        if (stats && i < n_stats) {
            k->r.lanes[i].n_steals = stats[i].n_steals;
            k->r.lanes[i].n_parks = stats[i].n_parks;
        }
    }
    for (uint64_t i = n_workers; i < k->r.n_lanes; i++) {
        uint32_t stream = 0, device = tgi_run_device_of(run, (uint32_t)i, &stream);
        uint32_t n_nodes = tgi_run_n_node_lanes(run);
        bool is_resident = stream >= n_nodes;
        k->r.lanes[i] = (struct tgi_recording_lane){is_resident ? TGI_LANE_RESIDENT : TGI_LANE_STREAM, device,
                                                    is_resident ? stream - n_nodes : stream, 0, 0, 0};
    }
    for (uint32_t i = 0; i < k->r.n_devices; i++) {
        struct tgi_run_device d;
        tgi_run_device(run, i, &d);
        k->r.devices[i] = (struct tgi_recording_device){
            put_string(k, d.kind), put_string(k, d.name), d.ordinal, 0, d.in_bytes, d.out_bytes, d.peak_bytes,
            d.flop_per_s, d.byte_per_s};
    }
}

static void take_buffers(struct taking *k)
{
    const struct tgi_space *space = k->what->graph->space;
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        const struct tgi_buffer *b = &space->buffers[i];
        k->r.buffers[i] = (struct tgi_recording_buffer){b->tile_bytes, put_string(k, b->name), b->n_tiles};
    }
}

static struct tgi_recording_task take_task(struct taking *k, uint32_t part, uint32_t t, const uint32_t *names)
{
    const struct tgi_part *p = &k->schedule.parts[part];
    const struct tgi_span *s = &p->spans[t];
    struct tgi_cost cost = tgi_graph_cost(p->graph, t);
    bool is_frame = tgi_graph_op(p->graph, t)->kind >= TGI_OP_REPEAT, ran = s->end_ns > 0;
    return (struct tgi_recording_task){
        .start_ns = s->start_ns, .end_ns = s->end_ns, .flops = cost.flops, .bytes = cost.bytes, .us = cost.us,
        .waited_for = TG_NONE, .name = names ? names[t] : 0, .kernel = tgi_palette_kind(p->graph, &k->palette, t),
        .lane = ran && s->worker < k->r.n_lanes ? s->worker : TG_NONE, .part = part,
        .priority = p->graph->priority ? p->graph->priority[t] : 0, .attempts = s->attempts, .state = s->state,
        .flags = (uint8_t)((is_frame ? TGI_RECORDED_FRAME : 0) | (s->victim ? TGI_RECORDED_STOLEN : 0))};
}

static void take_tasks(struct taking *k)
{
    for (uint32_t i = 0; i < k->schedule.n_parts; i++) {
        const struct tgi_part *p = &k->schedule.parts[i];
        const uint32_t *names = names_of(k, p->graph);
        uint32_t first = k->first[i];
        uint64_t number = p->previous == TG_NONE ? 0 : k->r.parts[p->previous].number + 1;
        k->r.parts[i] = (struct tgi_recording_part){
            first, p->graph->n_tasks, p->parent == TG_NONE ? TG_NONE : k->first[p->parent] + p->parent_task, 0, number};
        for (uint32_t t = 0; t < p->graph->n_tasks; t++)
            k->r.tasks[first + t] = take_task(k, i, t, names);
        if (p->parent == TG_NONE)
            continue;
        /* The gate begins and ends when the first of the round's tasks could; find_ready() says when. */
        k->r.tasks[first - 1] = (struct tgi_recording_task){
            .flops = 0, .waited_for = TG_NONE, .kernel = k->r.tasks[k->r.parts[i].parent].kernel, .lane = TG_NONE,
            .part = i, .state = TG_TASK_DONE, .flags = TGI_RECORDED_FRAME};
    }
}

/* Calls fn for every edge of the record. */
static void each_edge(struct taking *k, void (*fn)(struct taking *k, uint32_t from, uint32_t to))
{
    for (uint32_t i = 0; i < k->schedule.n_parts; i++) {
        const struct tgi_part *p = &k->schedule.parts[i];
        const struct tg_graph *g = p->graph;
        uint32_t first = k->first[i];
        for (uint32_t t = 0; t < g->n_tasks; t++) {
            for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++)
                fn(k, first + t, first + g->succ[e]);
            if (p->parent == TG_NONE)
                continue;
            if (g->nodes[t].n_preds == 0)
                fn(k, first - 1, first + t);
        }
        if (p->parent == TG_NONE)
            continue;
        const struct tgi_part *parent = &k->schedule.parts[p->parent];
        if (p->previous == TG_NONE) /* what the control task waits for */
            for (uint32_t t = 0; t < parent->graph->n_tasks; t++)
                for (uint32_t e = parent->graph->nodes[t].succ; e < parent->graph->nodes[t + 1].succ; e++)
                    if (parent->graph->succ[e] == p->parent_task)
                        fn(k, k->first[p->parent] + t, first - 1);
    }
    for (uint32_t i = 1; i < k->schedule.n_parts; i++) {
        const struct tgi_part *p = &k->schedule.parts[i];
        uint32_t control = k->r.parts[i].parent, n_rounds = k->n_rounds_of[control];
        bool is_last = k->r.parts[i].number + 1 == n_rounds;
        (void)p;
        if (is_last)
            for (uint32_t t = 0; t < p->graph->n_tasks; t++)
                if (p->graph->nodes[t].succ == p->graph->nodes[t + 1].succ)
                    fn(k, k->first[i] + t, control);
        if (is_last && p->graph->n_tasks == 0)
            fn(k, k->first[i] - 1, control);
        if (p->previous == TG_NONE)
            continue;
        const struct tgi_part *before = &k->schedule.parts[p->previous];
        for (uint32_t t = 0; t < before->graph->n_tasks; t++)
            if (before->graph->nodes[t].succ == before->graph->nodes[t + 1].succ)
                fn(k, k->first[p->previous] + t, k->first[i] - 1);
        if (before->graph->n_tasks == 0)
            fn(k, k->first[p->previous] - 1, k->first[i] - 1);
    }
}

static void count_edge(struct taking *k, uint32_t from, uint32_t to)
{
    (void)from;
    k->r.tasks[to].n_preds++;
    k->r.n_preds++;
}

static void put_edge(struct taking *k, uint32_t from, uint32_t to)
{
    struct tgi_recording_task *task = &k->r.tasks[to];
    k->r.preds[task->first_pred + task->n_preds++] = from;
}

static bool take_edges(struct taking *k)
{
    for (uint32_t i = 1; i < k->schedule.n_parts; i++)
        k->n_rounds_of[k->r.parts[i].parent]++;
    each_edge(k, count_edge);
    k->r.preds = malloc((k->r.n_preds + 1) * sizeof(*k->r.preds));
    if (!k->r.preds)
        return false;
    uint64_t at = 0;
    for (uint64_t t = 0; t < k->r.n_tasks; t++) {
        k->r.tasks[t].first_pred = at;
        at += k->r.tasks[t].n_preds;
        k->r.tasks[t].n_preds = 0;
    }
    each_edge(k, put_edge);
    return true;
}

/* A gate has no span of its own: it opens when the last it waits for has ended.  Parts stand after those that
 * contain them and after the round before, so the gates of what a gate waits for are open already; a control task
 * waits for rounds that ended before it did, which is how its own spans have it. */
void tgi_recording_find_ready(struct tgi_recording *r)
{
    for (uint64_t i = 1; i < r->n_parts; i++) {
        struct tgi_recording_task *gate = &r->tasks[r->parts[i].first - 1];
        for (uint32_t e = 0; e < gate->n_preds; e++) {
            uint64_t end_ns = r->tasks[r->preds[gate->first_pred + e]].end_ns;
            gate->end_ns = end_ns > gate->end_ns ? end_ns : gate->end_ns;
        }
        gate->end_ns = gate->end_ns ? gate->end_ns : 1; /* zero would mean that it never opened */
        gate->start_ns = gate->end_ns;
    }
    for (uint64_t t = 0; t < r->n_tasks; t++) {
        struct tgi_recording_task *task = &r->tasks[t];
        for (uint32_t e = 0; e < task->n_preds; e++) {
            uint32_t p = r->preds[task->first_pred + e];
            uint64_t end_ns = r->tasks[p].end_ns;
            bool is_own = !(task->flags & TGI_RECORDED_FRAME) || end_ns <= task->start_ns; /* not a round's */
            if (end_ns && is_own && (task->waited_for == TG_NONE || end_ns > task->ready_ns)) {
                task->ready_ns = end_ns;
                task->waited_for = p;
            }
        }
    }
}

static void take_copies(struct taking *k)
{
    const struct tgi_space *space = k->what->graph->space;
    for (uint32_t i = 0; i < k->r.n_transfers; i++) {
        struct tgi_run_copy c;
        tgi_run_copy(k->what->run, i, &c);
        const struct tgi_buffer *b = tgi_space_buffer_of(space, c.tile);
        uint32_t task = c.task == TG_NONE || c.round >= k->r.n_parts ? TG_NONE : k->first[c.round] + c.task;
        k->r.transfers[i] = (struct tgi_recording_transfer){
            c.bytes, 0, 0, c.from, c.to, (uint32_t)(b - space->buffers), c.tile - b->first_tile, task, 0};
    }
}

static bool take_steals(struct taking *k)
{
    struct tgi_recording *r = &k->r;
    uint64_t n = 0;
    for (uint64_t t = 0; t < r->n_tasks; t++)
        n += (r->tasks[t].flags & TGI_RECORDED_STOLEN) != 0;
    r->steals = malloc((n + 1) * sizeof(*r->steals));
    if (!r->steals)
        return false;
    for (uint32_t i = 0; i < k->schedule.n_parts; i++) {
        const struct tgi_part *p = &k->schedule.parts[i];
        for (uint32_t t = 0; t < p->graph->n_tasks; t++)
            if (p->spans[t].victim)
                r->steals[r->n_steals++] = (struct tgi_recording_steal){
                    k->first[i] + t, p->spans[t].victim <= k->what->n_workers ? p->spans[t].victim - 1u : TG_NONE};
    }
    return true;
}

/* They come in the order of placement; here they stand by task, those of one as they came. */
static bool put_places(struct taking *k, uint32_t first, uint32_t n_tasks, const struct tgi_weighed *weighed, uint32_t n)
{
    struct tgi_recording_place *to = k->r.places + k->r.n_places;
    uint32_t *at = calloc((size_t)n_tasks + 2, sizeof(*at));
    if (!at)
        return false;
    for (uint32_t i = 0; i < n; i++)
        at[weighed[i].task + 1]++;
    for (uint32_t t = 0; t < n_tasks; t++)
        at[t + 1] += at[t];
    for (uint32_t i = 0; i < n; i++)
        to[at[weighed[i].task]++] = (struct tgi_recording_place){weighed[i].busy_ns, weighed[i].move_ns, first + weighed[i].task,
                                                                 weighed[i].device + 1u, weighed[i].reason, 0};
    k->r.n_places += n;
    free(at);
    return true;
}

static bool take_places(struct taking *k)
{
    uint32_t n = 0;
    uint64_t n_all = 0;
    bool has_memory = true;
    for (uint32_t i = 0; i < k->schedule.n_parts && k->what->run; i++, n_all += n)
        tgi_run_weighed(k->what->run, k->schedule.parts[i].graph, &n);
    k->r.places = malloc((n_all + 1) * sizeof(*k->r.places));
    if (!k->r.places)
        return false;
    for (uint32_t i = 0; i < k->schedule.n_parts && n_all && has_memory; i++) {
        const struct tgi_part *p = &k->schedule.parts[i];
        const struct tgi_weighed *weighed = tgi_run_weighed(k->what->run, p->graph, &n);
        has_memory = put_places(k, k->first[i], p->graph->n_tasks, weighed, n);
    }
    return has_memory;
}

static int take_offers(struct taking *k, struct tg_error *err)
{
    uint32_t node_of[UINT8_MAX + 1];
    struct tgi_offers offers;
    if (!k->what->run)
        return 0;
    int rc = tgi_run_offers(k->what->run, &offers, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i <= UINT8_MAX; i++)
        node_of[i] = i;
    rc = offers.n ? tgi_recording_take_offers(&k->r, &offers, node_of, err) : 0;
    tgi_offers_fini(&offers);
    return rc;
}

static int allocate(struct taking *k, struct tg_error *err)
{
    struct tgi_recording *r = &k->r;
    uint64_t n = k->schedule.n_tasks + k->schedule.n_parts - 1;
    if (n >= TG_NONE)
        return tgi_error(err, TG_E_LIMIT, "%llu tasks are more than a record can hold", (unsigned long long)n);
    r->n_tasks = r->n_tasks_expected = n;
    r->n_parts = k->schedule.n_parts;
    r->n_kernels = k->palette.n_kinds;
    r->n_buffers = k->what->graph->space->n_buffers;
    r->n_devices = k->what->run ? tgi_run_n_devices(k->what->run) : 0;
    r->n_lanes = k->what->n_workers + r->n_devices * (r->n_devices ? tgi_run_n_lanes(k->what->run) : 0);
    r->tasks = calloc(n + 1, sizeof(*r->tasks));
    r->parts = calloc(r->n_parts + 1, sizeof(*r->parts));
    r->kernels = calloc(r->n_kernels + 1, sizeof(*r->kernels));
    r->buffers = calloc(r->n_buffers + 1, sizeof(*r->buffers));
    r->devices = calloc(r->n_devices + 1, sizeof(*r->devices));
    r->lanes = calloc(r->n_lanes + 1, sizeof(*r->lanes));
    r->n_transfers = k->what->run && !k->what->is_ahead ? tgi_run_n_copies(k->what->run) : 0;
    r->transfers = calloc(r->n_transfers + 1, sizeof(*r->transfers));
    r->offers = calloc(1, sizeof(*r->offers));
    k->first = calloc(r->n_parts + 1, sizeof(*k->first));
    k->n_rounds_of = calloc(n + 1, sizeof(*k->n_rounds_of));
    if (!tgi_vec_reserve(&r->strings, &k->cap_strings, 4096, 1) || !r->tasks || !r->parts || !r->kernels || !r->buffers ||
        !r->devices || !r->lanes || !r->transfers || !r->offers || !k->first || !k->n_rounds_of)
        return tgi_error_memory(err, "the record of a run");
    r->strings[0] = '\0';
    k->n_strings = 1;
    for (uint32_t i = 0, at = 0; i < r->n_parts; i++) {
        k->first[i] = at + (i > 0);
        at = k->first[i] + k->schedule.parts[i].graph->n_tasks;
    }
    return 0;
}

static int take(struct taking *k, struct tg_error *err)
{
    int rc = allocate(k, err);
    if (rc)
        return rc;
    take_head(k);
    take_kernels(k);
    take_machine(k);
    take_buffers(k);
    take_tasks(k);
    if (k->is_out_of_memory || !take_edges(k))
        return tgi_error_memory(err, "the record of a run");
    tgi_recording_find_ready(&k->r);
    take_copies(k);
    if (!take_steals(k) || !take_places(k))
        return tgi_error_memory(err, "the record of a run");
    k->r.n_strings = k->n_strings;
    if (k->what->is_ahead) {
        k->r.memory = calloc(1, sizeof(*k->r.memory));
        return k->r.memory ? 0 : tgi_error_memory(err, "the record of a run");
    }
    rc = take_offers(k, err);
    return rc ? rc : tgi_recording_take_memory(&k->schedule, k->what->run, k->what->n_workers, &k->r, err);
}

int tgi_recording_create(const struct tgi_recorded *what, struct tgi_recording *recording_p, struct tg_error *err)
{
    struct taking k = {.what = what};
    int rc = tgi_palette_create(what->graph->space, &k.palette, err);
    if (rc)
        return rc;
    rc = tgi_schedule_create(what->graph, what->spans, what->rounds, &k.schedule, err);
    if (rc == 0)
        rc = take(&k, err);
    for (uint32_t i = 0; i < k.n_named; i++)
        free(k.named[i].names);
    free(k.named);
    free(k.first);
    free(k.n_rounds_of);
    tgi_schedule_fini(&k.schedule);
    tgi_palette_fini(&k.palette);
    if (rc)
        tgi_recording_fini(&k.r);
    else
        *recording_p = k.r;
    return rc;
}

void tgi_recording_take_bounds(struct tgi_recording *r, const struct tgi_machine_bounds *bounds)
{
    r->head.has_data_bounds = !isnan(bounds->memory_ns) && !isnan(bounds->links_ns);
    if (r->head.has_data_bounds) {
        r->head.memory_ns = bounds->memory_ns;
        r->head.links_ns = bounds->links_ns;
    }
}

void tgi_recording_fini(struct tgi_recording *r)
{
    free(r->strings);
    free(r->kernels);
    free(r->devices);
    free(r->lanes);
    free(r->parts);
    free(r->tasks);
    free(r->preds);
    free(r->transfers);
    free(r->buffers);
    free(r->steals);
    free(r->places);
    free(r->offers);
    free(r->memory);
    free(r->spans);
    free(r->log);
    *r = (struct tgi_recording){.strings = NULL};
}
