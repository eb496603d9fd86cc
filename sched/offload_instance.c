/* An instance of a graph on devices: what the submitter knows of each of its tasks. */
#include <stdlib.h>
#include <string.h>

#include "graph/block.h"
#include "graph/error.h"
#include "sched/choice.h"
#include "sched/offload_policy.h"
#include "sched/offload_task.h"
#include "sched/placement.h"

static bool make_preds(struct tgi_offload_instance *oi, const struct tg_graph *g)
{
    oi->first_pred = calloc((size_t)g->n_tasks + 2, sizeof *oi->first_pred);
    oi->pred = malloc(((size_t)g->n_edges + 1) * sizeof *oi->pred);
    if (!oi->first_pred || !oi->pred)
        return false;
    /* first_pred[t + 2] counts, so that after the sums first_pred[t + 1] can run through t's list. */
    for (uint32_t i = 0; i < g->n_edges; i++)
        oi->first_pred[g->succ[i] + 2 > g->n_tasks + 1 ? g->n_tasks + 1 : g->succ[i] + 2]++;
    for (uint32_t t = 1; t <= g->n_tasks; t++)
        oi->first_pred[t + 1] += oi->first_pred[t];
    for (uint32_t t = 0; t < g->n_tasks; t++)
        for (uint32_t i = g->nodes[t].succ; i < g->nodes[t + 1].succ; i++)
            oi->pred[oi->first_pred[g->succ[i] + 1]++] = t;
    return true;
}

/* Roots that pass through the submitter leave the instance's own list. */
static bool split_roots(struct tgi_instance *in)
{
    struct tgi_offload_instance *oi = in->offload;
    uint32_t n_kept = 0, n = in->n_roots;
    uint32_t *kept = tgi_block_alloc(((size_t)n + 1) * sizeof *kept);
    oi->roots = malloc(((size_t)n + 1) * sizeof *oi->roots);
    if (!kept || !oi->roots) {
        tgi_block_free(kept);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t task = in->roots ? in->roots[i] : i;
        if (in->via[task])
            oi->roots[oi->n_roots++] = task;
        else
            kept[n_kept++] = task;
    }
    tgi_block_free(in->roots);
    in->roots = kept;
    in->n_roots = n_kept;
    return true;
}

/* What the last task that writes a tile leaves there can go to the program's memory at once. */
static bool mark_last_writers(struct tgi_instance *in)
{
    const struct tg_graph *g = in->graph;
    uint8_t *is_written = calloc((size_t)g->space->n_tiles + 1, 1);
    if (!is_written)
        return false;
    for (uint32_t t = g->n_tasks; t-- > 0;) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        uint32_t n = tgi_graph_n_words(g, t);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t word = g->args[g->nodes[t].args + i];
            if (op->params[i].access == TG_SCALAR || op->params[i].access == TG_IN || word == TGI_WORD_NULL)
                continue;
            uint32_t tile = tgi_word_tile(word), n_tiles = 1;
            if (tgi_word_range(word) == TGI_WORD_ALL) /* not written back early, nor what it overwrites */
                n_tiles = tgi_space_buffer_of(g->space, tile)->n_tiles;
            else
                in->offload->tasks[t].is_last_writer |= !is_written[tile];
            memset(is_written + tile, 1, n_tiles);
        }
    }
    free(is_written);
    return true;
}

int tgi_offload_instance_prepare(struct tgi_instance *in, struct tg_error *err)
{
    const struct tg_graph *g = in->graph;
    struct tg_run *run = in->run;
    const uint8_t *node = NULL;
    if (!run->offload)
        return 0;
    struct tgi_offload_instance *oi = calloc(1, sizeof *oi);
    if (!oi)
        return tgi_error_memory(err, "preparing a graph for devices");
    in->offload = oi;
    tgi_placement_of(run->offload->placement, g, &node, &in->via);
    oi->classes = tgi_choices_classes(run->offload->choices, g);
    oi->urgency = tgi_placement_urgency(run->offload->placement, g);
    if (run->offload->policy)
        in->via = run->offload->policy->via; /* what devices will touch is not known before */
    oi->continued.kind = TGI_MAIL_CONTINUE;
    oi->gate = TGI_STAMP_NONE;
    oi->tasks = calloc((size_t)g->n_tasks + 1, sizeof *oi->tasks);
    if (!oi->tasks || !make_preds(oi, g) || !split_roots(in))
        return tgi_error_memory(err, "preparing a graph for devices");
    for (uint32_t t = 0; t <= g->n_tasks; t++) {
        oi->tasks[t].instance = in;
        oi->tasks[t].stamp = TGI_STAMP_NONE;
        oi->tasks[t].node = t < g->n_tasks ? node[t] : 0;
    }
    if (g == run->graph && !mark_last_writers(in)) /* a body runs again, or what follows it writes again */
        return tgi_error_memory(err, "preparing a graph for devices");
    return 0;
}

void tgi_offload_instance_release(struct tgi_instance *in)
{
    struct tgi_offload_instance *oi = in->offload;
    if (!oi)
        return;
    free(oi->tasks);
    free(oi->first_pred);
    free(oi->pred);
    free(oi->roots);
    free(oi->shapes);
    free(oi);
    in->offload = NULL;
}
