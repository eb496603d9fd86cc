#include "sched/finite.h"

#include <math.h>
#include <stdio.h>

#include "graph/space.h"
#include "mem/hostops.h"

struct culprit {
    uint32_t tile; /* in the space */
    uint64_t element;
};

static bool find_in_tile(const struct tgi_store *store, const struct tgi_buffer *b, uint32_t tile, uint64_t first, uint64_t n,
                         struct culprit *c)
{
    const char *data = store->tile[tile];
    if (!data || !tgi_host_find_not_finite(data + first * tg_dtype_size(b->dtype), n, b->dtype, &c->element))
        return false;
    c->tile = tile;
    c->element += first;
    return true;
}

static bool find_in_argument(const struct tgi_instance *in, uint64_t word, struct culprit *c)
{
    const struct tgi_space *space = in->graph->space;
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(word));
    uint32_t range = tgi_word_range(word), tile = tgi_word_tile(word);
    if (range == 0)
        return find_in_tile(in->run->store, b, tile, 0, b->tile_elems, c);
    if (range != TGI_WORD_ALL) {
        const struct tgi_range *rows = &space->ranges[range - 1];
        uint64_t row = b->row_bytes / tg_dtype_size(b->dtype);
        return find_in_tile(in->run->store, b, tile, rows->begin * row, (rows->end - rows->begin) * row, c);
    }
    for (uint32_t i = 0; i < b->n_tiles; i++)
        if (find_in_tile(in->run->store, b, b->first_tile + i, 0, b->tile_elems, c))
            return true;
    return false;
}

static void report(struct tgi_instance *in, uint32_t task, const char *param, const struct culprit *c)
{
    const struct tgi_buffer *b = tgi_space_buffer_of(in->graph->space, c->tile);
    const void *data = in->run->store->tile[c->tile];
    bool is_complex = b->dtype == TG_C64 || b->dtype == TG_C128;
    enum tg_dtype part = b->dtype == TG_C64 ? TG_F32 : TG_F64;
    double value = tgi_host_load(data, c->element, b->dtype);
    if (is_complex && isfinite(value))
        value = tgi_host_load(data, 2 * c->element + 1, part);
    char where[300], text[TGI_EXPLANATION_BYTES];
    tgi_buffer_format_tile(b, c->tile - b->first_tile, where, sizeof where);
    snprintf(text, sizeof text, "what it wrote is not finite: %s%s%s, element %llu of %llu is %g", param ? param : "",
             param ? " = " : "", where, (unsigned long long)c->element, (unsigned long long)b->tile_elems, value);
    tgi_run_fail(in->run, in, task, TG_E_NOT_FINITE, text);
}

void tgi_finite_check(struct tgi_instance *in, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    struct culprit c;
    for (uint32_t i = 0; op->kind < TGI_OP_REPEAT && i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(in->graph, task, i);
        if (op->params[i].access <= TG_IN || word == TGI_WORD_NULL || !find_in_argument(in, word, &c))
            continue;
        report(in, task, op->kind == TGI_OP_KERNEL ? op->params[i].name : NULL, &c);
        return;
    }
}
