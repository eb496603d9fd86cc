/* See partition.h. */
#include "sched/partition.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/device.h"

/* As long as a device has no more work than this beyond its part, it keeps it: what crosses takes longer than the others wait. */
#define SLACK_PART 0.5      /* of its part, */
#define SLACK_NS   100000.0 /* and no more than so much */

struct cut {
    const struct tg_graph *graph;
    const float *weight;
    uint32_t n_devices;
    uint32_t *device_of;  /* by task */
    uint32_t *order;      /* tasks by level, in a level by id */
    uint32_t *writer;     /* by tile; TG_NONE: nobody */
    float *bytes;         /* of the level at hand: by task, then by device, of what it reads there */
    double load[TGI_MAX_DEVICES]; /* of the level: by device */
    uint32_t *away;       /* of the level: by task */
    struct candidate {
        float loss;    /* bytes that would have to be copied then */
        uint32_t away; /* from the nearest task of a device with room, in program order */
        uint32_t at;   /* in the level */
    } *candidates;
};

/* ---- Tiles --------------------------------------------------------------------------------*/

typedef void (*tile_fn)(struct cut *c, uint32_t task, uint32_t tile, void *user);

/* Tiles that a task reads, or those that it writes. */
static void for_tiles(struct cut *c, uint32_t task, bool of_writes, tile_fn fn, void *user)
{
    const struct tg_graph *g = c->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    const uint64_t *words = g->args + g->nodes[task].args;
    for (uint32_t i = 0, n = tgi_graph_n_words(g, task); i < n; i++) {
        enum tg_access access = op->params[i].access;
        if (access == TG_SCALAR || (of_writes ? access == TG_IN : access == TG_OUT))
            continue;
        uint32_t tile, n_tiles = tgi_word_tiles(g->space, words[i], &tile);
        for (uint32_t k = 0; k < n_tiles; k++)
            fn(c, task, tile + k, user);
    }
}

static void note_writer(struct cut *c, uint32_t task, uint32_t tile, void *user)
{
    *(bool *)user |= c->writer[tile] != TG_NONE && c->writer[tile] != task;
    c->writer[tile] = task;
}

static bool is_written_once(struct cut *c)
{
    bool is_again = false;
    memset(c->writer, 0xff, c->graph->space->n_tiles * sizeof *c->writer); /* TG_NONE */
    for (uint32_t t = 0; t < c->graph->n_tasks && !is_again; t++)
        for_tiles(c, t, true, note_writer, &is_again);
    return !is_again;
}

static void add_bytes(struct cut *c, uint32_t task, uint32_t tile, void *user)
{
    float *bytes = user;
    uint32_t writer = c->writer[tile];
    if (writer != TG_NONE && writer != task && c->device_of[writer] != TG_NONE)
        bytes[c->device_of[writer]] += (float)tgi_space_buffer_of(c->graph->space, tile)->tile_bytes;
}

/* ---- A level ------------------------------------------------------------------------------*/

static float *bytes_of(struct cut *c, uint32_t at) { return c->bytes + (size_t)at * c->n_devices; }

/* Where most of what it reads is, of several the first: so a border is crossed in one direction.  Where it reads nothing of theirs, `side`, where
 * its neighbours go. */
static uint32_t best_device(const float *bytes, uint32_t n_devices, uint32_t side)
{
    uint32_t best = 0;
    for (uint32_t d = 1; d < n_devices; d++)
        if (bytes[d] > bytes[best])
            best = d;
    return bytes[best] > 0 ? best : side;
}

/* The device that has room and has most of what the task reads; TG_NONE: there is none. */
static uint32_t best_with_room(const struct cut *c, const float *bytes, double most)
{
    uint32_t best = TG_NONE;
    for (uint32_t d = 0; d < c->n_devices; d++)
        if (c->load[d] < most && (best == TG_NONE || bytes[d] > bytes[best]))
            best = d;
    return best;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->away != y->away)
        return x->away < y->away ? -1 : 1;
    if (x->loss != y->loss)
        return x->loss < y->loss ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* So that neighbours stay together: how far each task is from the nearest of a device with room, UINT32_MAX where there is none. */
static void find_away(struct cut *c, const uint32_t *task, uint32_t n, uint32_t device, double part)
{
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t k = 0, since = UINT32_MAX; k < n; k++) {
            uint32_t i = pass ? n - 1 - k : k, on = c->device_of[task[i]];
            since = on != device && on != TG_NONE && c->load[on] < part ? 0 : since + (since != UINT32_MAX);
            c->away[i] = pass && c->away[i] < since ? c->away[i] : since;
        }
}

/* What is too much for a device goes elsewhere, as long as it has its part without it. */
static void relieve(struct cut *c, const uint32_t *task, uint32_t n, uint32_t device, double part)
{
    uint32_t n_candidates = 0;
    find_away(c, task, n, device, part);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t to = best_with_room(c, bytes_of(c, i), part);
        if (c->device_of[task[i]] != device || to == TG_NONE)
            continue;
        uint32_t side = to > device ? n - i : i + 1; /* where nobody is there yet, from its side */
        c->candidates[n_candidates++] = (struct candidate){bytes_of(c, i)[device] - bytes_of(c, i)[to],
                                                           c->away[i] != UINT32_MAX ? c->away[i] : side, i};
    }
    qsort(c->candidates, n_candidates, sizeof *c->candidates, compare_candidates);
    for (uint32_t i = 0; i < n_candidates; i++) {
        uint32_t at = c->candidates[i].at, t = task[at], to = best_with_room(c, bytes_of(c, at), part);
        if (to == TG_NONE)
            return;
        if (c->load[device] - (double)c->weight[t] < part || c->load[to] + (double)c->weight[t] > c->load[device])
            continue;
        c->load[device] -= (double)c->weight[t];
        c->load[to] += (double)c->weight[t];
        c->device_of[t] = to;
    }
}

static void cut_level(struct cut *c, const uint32_t *task, uint32_t n)
{
    double total = 0, before = 0;
    memset(c->bytes, 0, (size_t)n * c->n_devices * sizeof *c->bytes);
    memset(c->load, 0, sizeof c->load);
    for (uint32_t i = 0; i < n; i++)
        total += (double)c->weight[task[i]];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t t = task[i], side;
        double weight = (double)c->weight[t];
        if (weight <= 0)
            continue;
        for_tiles(c, t, false, add_bytes, bytes_of(c, i));
        side = (uint32_t)(before / total * c->n_devices);
        before += weight;
        c->device_of[t] = best_device(bytes_of(c, i), c->n_devices, side < c->n_devices ? side : c->n_devices - 1);
        c->load[c->device_of[t]] += weight;
    }
    double part = total / c->n_devices, slack = part * SLACK_PART < SLACK_NS ? part * SLACK_PART : SLACK_NS;
    for (uint32_t d = 0; d < c->n_devices; d++)
        if (c->load[d] > part + slack)
            relieve(c, task, n, d, part);
}

/* ---- All ----------------------------------------------------------------------------------*/

/* Tasks by level; how many the widest has, 0: no memory. */
static uint32_t sort_by_level(struct cut *c)
{
    const struct tg_graph *g = c->graph;
    uint32_t n_levels = 0, widest = 1;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        n_levels = g->level[t] >= n_levels ? g->level[t] + 1 : n_levels;
    uint32_t *at = calloc((size_t)n_levels + 2, sizeof *at);
    if (!at)
        return 0;
    for (uint32_t t = 0; t < g->n_tasks; t++)
        at[g->level[t] + 1]++;
    for (uint32_t l = 0; l < n_levels; l++) {
        widest = at[l + 1] > widest ? at[l + 1] : widest;
        at[l + 1] += at[l];
    }
    for (uint32_t t = 0; t < g->n_tasks; t++)
        c->order[at[g->level[t]]++] = t;
    free(at);
    return widest;
}

static bool find(struct cut *c)
{
    const struct tg_graph *g = c->graph;
    uint32_t widest = sort_by_level(c);
    c->bytes = widest ? malloc((size_t)widest * c->n_devices * sizeof *c->bytes) : NULL;
    c->candidates = widest ? malloc((size_t)widest * sizeof *c->candidates) : NULL;
    c->away = widest ? malloc((size_t)widest * sizeof *c->away) : NULL;
    if (!c->bytes || !c->candidates || !c->away)
        return false;
    for (uint32_t i = 0, n; i < g->n_tasks; i += n) {
        for (n = 1; i + n < g->n_tasks && g->level[c->order[i + n]] == g->level[c->order[i]];)
            n++;
        cut_level(c, c->order + i, n);
    }
    return true;
}

int tgi_partition_find(const struct tg_graph *g, const float *weight, uint32_t n_devices, uint32_t *device_of, struct tg_error *err)
{
    struct cut c = {.graph = g, .weight = weight, .n_devices = n_devices, .device_of = device_of};
    memset(device_of, 0xff, g->n_tasks * sizeof *device_of); /* TG_NONE */
    if (n_devices < 2 || n_devices > TGI_MAX_DEVICES || !g->level)
        return 0;
    c.order = malloc(((size_t)g->n_tasks + 1) * sizeof *c.order);
    c.writer = malloc(((size_t)g->space->n_tiles + 1) * sizeof *c.writer);
    bool is_good = c.order && c.writer && (!is_written_once(&c) || find(&c));
    free(c.order);
    free(c.writer);
    free(c.bytes);
    free(c.candidates);
    free(c.away);
    return is_good ? 0 : tgi_error_memory(err, "placing tasks");
}
