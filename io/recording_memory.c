/* On devices the run notes each change.  On the host nothing is reserved or given back while tasks run, so what is shown there is
 * what they use: a tile counts from the start of the first task that touches it to the end of the last one, of those that
 * workers executed. */
#include "io/recording_memory.h"

#include <stdlib.h>

#include "graph/error.h"
#include "io/steps.h"

struct use {
    uint64_t first_ns, last_ns; /* last_ns 0: never */
};

/* ---- What the host's tasks touch ----------------------------------------------------------*/

static void touch(struct use *use, const struct tgi_span *span)
{
    use->first_ns = use->last_ns == 0 || span->start_ns < use->first_ns ? span->start_ns : use->first_ns;
    use->last_ns = span->end_ns > use->last_ns ? span->end_ns : use->last_ns;
}

/* tiles, buffers: by number; arguments that are whole buffers are noted there. */
static void touch_args(const struct tgi_part *p, uint32_t task, struct use *tiles, struct use *buffers)
{
    const struct tg_graph *g = p->graph;
    const struct tgi_op *op = tgi_graph_op(g, task);
    const uint64_t *words = g->args + g->nodes[task].args;
    uint32_t n = tgi_graph_n_words(g, task);
    for (uint32_t i = 0; i < n; i++) {
        if (op->params[i].access == TG_SCALAR || words[i] == TGI_WORD_NULL)
            continue;
        uint32_t tile = tgi_word_tile(words[i]);
        if (tgi_word_range(words[i]) == TGI_WORD_ALL)
            touch(&buffers[tgi_space_buffer_of(g->space, tile) - g->space->buffers], &p->spans[task]);
        else
            touch(&tiles[tile], &p->spans[task]);
    }
}

static void spread(const struct tgi_space *space, struct use *tiles, const struct use *buffers)
{
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        const struct tgi_span whole = {.start_ns = buffers[i].first_ns, .end_ns = buffers[i].last_ns};
        for (uint32_t t = 0; t < space->buffers[i].n_tiles && whole.end_ns; t++)
            touch(&tiles[space->buffers[i].first_tile + t], &whole);
    }
}

/* The changes, which the caller frees; NULL: no memory. */
static struct tgi_change *list_changes(const struct tgi_space *space, const struct use *tiles, uint64_t *n_p)
{
    struct tgi_change *changes = malloc((2 * (size_t)space->n_tiles + 1) * sizeof(*changes));
    uint64_t n = 0;
    for (uint32_t i = 0; i < space->n_buffers && changes; i++) {
        const struct tgi_buffer *b = &space->buffers[i];
        for (uint32_t t = b->first_tile; t < b->first_tile + b->n_tiles; t++)
            if (tiles[t].last_ns) {
                changes[n++] = (struct tgi_change){tiles[t].first_ns, (int64_t)b->tile_bytes};
                changes[n++] = (struct tgi_change){tiles[t].last_ns, -(int64_t)b->tile_bytes};
            }
    }
    *n_p = n;
    return changes;
}

static struct tgi_change *host_changes(const struct tgi_schedule *schedule, uint32_t n_workers, uint64_t *n_p)
{
    const struct tgi_space *space = schedule->parts[0].graph->space;
    struct use *tiles = calloc((size_t)space->n_tiles + 1, sizeof(*tiles)),
               *buffers = calloc((size_t)space->n_buffers + 1, sizeof(*buffers));
    struct tgi_change *changes = NULL;
    for (uint32_t i = 0; i < schedule->n_parts && tiles && buffers; i++) {
        const struct tgi_part *p = &schedule->parts[i];
        for (uint32_t t = 0; t < p->graph->n_tasks; t++)
            if (tgi_part_has_work(p, t) && p->spans[t].worker < n_workers)
                touch_args(p, t, tiles, buffers);
    }
    if (tiles && buffers) {
        spread(space, tiles, buffers);
        changes = list_changes(space, tiles, n_p);
    }
    free(tiles);
    free(buffers);
    return changes;
}

/* ---- Samples ------------------------------------------------------------------------------*/

static struct tgi_change *device_changes(const struct tg_run *run, uint32_t device, uint64_t *n_p)
{
    uint32_t n_usages = tgi_run_n_usages(run);
    struct tgi_change *changes = malloc(((size_t)n_usages + 1) * sizeof(*changes));
    uint64_t n = 0, bytes = 0;
    for (uint32_t i = 0; i < n_usages && changes; i++) {
        struct tgi_run_usage usage;
        tgi_run_usage(run, i, &usage);
        if (usage.device != device)
            continue;
        changes[n++] = (struct tgi_change){usage.at_ns, (int64_t)(usage.bytes - bytes)};
        bytes = usage.bytes;
    }
    *n_p = n;
    return changes;
}

int tgi_recording_take_memory(const struct tgi_schedule *schedule, const struct tg_run *run, uint32_t n_workers,
                              struct tgi_recording *r, struct tg_error *err)
{
    struct tgi_step *steps = malloc(TGI_MOST_MEMORY_SAMPLES * sizeof(*steps));
    int rc = steps ? 0 : tgi_error_memory(err, "the record of a run");
    r->memory = malloc((r->n_devices + 1) * TGI_MOST_MEMORY_SAMPLES * sizeof(*r->memory));
    for (uint32_t node = 0; node <= r->n_devices && rc == 0; node++) {
        uint64_t n = 0;
        struct tgi_change *changes = node ? device_changes(run, node - 1, &n) : host_changes(schedule, n_workers, &n);
        if (!changes || !r->memory)
            rc = tgi_error_memory(err, "the record of a run");
        uint32_t n_steps = rc == 0 ? tgi_steps_make(changes, n, TGI_MOST_MEMORY_SAMPLES, steps) : 0;
        for (uint32_t i = 0; i < n_steps; i++)
            r->memory[r->n_memory++] = (struct tgi_recording_memory){steps[i].at_ns, steps[i].value, node, 0};
        free(changes);
    }
    free(steps);
    return rc;
}
