/* A walk through the tasks in program order, the rounds of bodies where their control task stands.  Each piece of
 * data (mem/replica.h) has the set of memories where it is valid: the one it was written in, and those that it has
 * been copied to since.  A task that reads it somewhere else costs one copy.
 *
 * What the walk does not know it leaves out, so that it never counts too much: where the tiles of a collective were,
 * and what an earlier start has left on devices of data that no task writes. */
#include "sched/least_moved.h"

#include <stdlib.h>
#include <string.h>

#include "sched/offload.h"
#include "sched/placement.h"

struct walk {
    const struct tg_run *run;
    uint32_t *valid; /* by piece: bit per node */
    const struct tgi_round **first; /* rounds that are their control task's first, sorted by that */
    uint64_t n_first;
    const struct tgi_round **after; /* by round: the next one of its control task; NULL: none */
    uint64_t bytes;
    /* of the argument at hand */
    uint32_t node;
    bool is_read, is_written, is_anywhere;
};

static void walk_piece(void *user, uint32_t piece, uint64_t bytes)
{
    struct walk *w = user;
    if (w->is_anywhere) {
        w->valid[piece] = UINT32_MAX;
        return;
    }
    if (w->is_read && !(w->valid[piece] >> w->node & 1))
        w->bytes += bytes;
    w->valid[piece] = w->is_written ? 1u << w->node : w->valid[piece] | 1u << w->node;
}

static void walk_argument(struct walk *w, uint64_t word, enum tg_access access, uint32_t node)
{
    if (access == TG_SCALAR || word == TGI_WORD_NULL)
        return;
    w->node = node;
    w->is_read = access != TG_OUT;
    w->is_written = access != TG_IN;
    tgi_replicas_list_pieces(w->run->offload->replicas, word, walk_piece, w);
}

static void walk_graph(struct walk *w, const struct tg_graph *g, const struct tgi_round *round);

static int compare_tasks(const struct tgi_round *x, const struct tgi_round *parent, uint32_t task)
{
    uint64_t a = x->parent ? x->parent->index + 1u : 0, b = parent ? parent->index + 1u : 0;
    if (a != b)
        return a < b ? -1 : 1;
    return x->parent_task < task ? -1 : x->parent_task > task;
}

static int compare_first(const void *a, const void *b)
{
    const struct tgi_round *const *x = a, *const *y = b;
    return compare_tasks(*x, (*y)->parent, (*y)->parent_task);
}

static const struct tgi_round *first_round(const struct walk *w, const struct tgi_round *parent, uint32_t task)
{
    uint64_t low = 0, high = w->n_first;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        int order = compare_tasks(w->first[middle], parent, task);
        if (order == 0)
            return w->first[middle];
        *(order < 0 ? &low : &high) = order < 0 ? middle + 1 : middle;
    }
    return NULL;
}

static void walk_control(struct walk *w, const struct tg_graph *g, uint32_t task, const struct tgi_round *round)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    if (op->kind != TGI_OP_REPEAT)
        walk_argument(w, tgi_graph_word(g, task, 0), TG_IN, TGI_HOST_NODE);
    for (const struct tgi_round *r = first_round(w, round, task); r; r = w->after[r->index]) {
        walk_graph(w, r->graph, r);
        if (op->kind == TGI_OP_WHILE)
            walk_argument(w, tgi_graph_word(g, task, 0), TG_IN, TGI_HOST_NODE);
    }
}

/* Where a task ran, which is where it was placed unless another device has taken it. */
static uint32_t node_of(const struct walk *w, const struct tgi_span *span, uint32_t placed)
{
    uint32_t lane, device = placed == TGI_HOST_NODE ? TG_NONE : tgi_run_device_of(w->run, span->worker, &lane);
    return device == TG_NONE ? placed : device + 1;
}

static void walk_graph(struct walk *w, const struct tg_graph *g, const struct tgi_round *round)
{
    const struct tgi_span *spans = round ? round->spans : w->run->spans;
    const uint8_t *placed = NULL, *via;
    tgi_placement_of(w->run->offload->placement, g, &placed, &via);
    for (uint32_t i = 0; i < g->n_tasks; i++) {
        uint32_t t = g->topo ? g->topo[i] : i, node = node_of(w, &spans[t], placed[t]);
        const struct tgi_op *op = tgi_graph_op(g, t);
        if (op->kind >= TGI_OP_REPEAT) {
            walk_control(w, g, t, round);
            continue;
        }
        /* Reads first: what a task writes is nowhere else afterwards. */
        w->is_anywhere = op->kind == TGI_OP_COLLECTIVE && node != TGI_HOST_NODE;
        for (int pass = 0; pass < 2; pass++)
            for (uint32_t k = 0; k < op->n_params; k++)
                if ((op->params[k].access == TG_IN) == (pass == 0))
                    walk_argument(w, tgi_graph_word(g, t, k), op->params[k].access, node);
        w->is_anywhere = false;
    }
}

static bool list_rounds(struct walk *w)
{
    const struct tgi_rounds *rounds = &w->run->rounds;
    w->first = malloc((rounds->n + 1) * sizeof *w->first);
    w->after = calloc(rounds->n + 1, sizeof *w->after);
    if (!w->first || !w->after)
        return false;
    for (const struct tgi_round *r = rounds->first; r; r = r->next) {
        if (r->previous)
            w->after[r->previous->index] = r;
        else
            w->first[w->n_first++] = r;
    }
    qsort(w->first, w->n_first, sizeof *w->first, compare_first);
    return true;
}

static void put_on_host(void *user, uint32_t piece, uint64_t bytes)
{
    struct walk *w = user;
    (void)bytes;
    w->valid[piece] = 1u << TGI_HOST_NODE;
}

static void put_anywhere(void *user, uint32_t piece, uint64_t bytes)
{
    struct walk *w = user;
    (void)bytes;
    w->valid[piece] = UINT32_MAX;
}

/* Everything is on the host at first, at later starts what has been written there again. */
static void place_data(struct walk *w)
{
    const struct tg_run *run = w->run;
    const struct tgi_replicas *replicas = run->offload->replicas;
    uint32_t n = tgi_replicas_n_pieces(replicas);
    for (uint32_t i = 0; i < n; i++)
        w->valid[i] = run->offload->n_starts > 1 ? UINT32_MAX : 1u << TGI_HOST_NODE;
    for (uint32_t i = 0; i < run->n_init_due; i++) {
        const struct tgi_init_item *item = &run->init_items[i];
        const struct tgi_buffer *b = &run->graph->space->buffers[item->buffer];
        bool is_filled = tgi_offload_is_filled(run->offload, b);
        tgi_replicas_list_pieces(replicas, b->first_tile + item->tile, is_filled ? put_anywhere : put_on_host, w);
    }
}

bool tgi_least_moved(const struct tg_run *run, uint64_t *bytes_p)
{
    struct walk w = {.run = run};
    bool has_skipped = atomic_load_explicit(&((struct tg_run *)run)->n_skipped, memory_order_relaxed);
    if (!run->spans || run->rounds.n_lost || run->error.status || has_skipped)
        return false;
    w.valid = malloc(((size_t)tgi_replicas_n_pieces(run->offload->replicas) + 1) * sizeof *w.valid);
    bool ok = w.valid && list_rounds(&w);
    if (ok) {
        place_data(&w);
        walk_graph(&w, run->graph, NULL);
        *bytes_p = w.bytes;
    }
    free(w.valid);
    free(w.first);
    free(w.after);
    return ok;
}
