/* Pieces: what is valid or not as a whole. */
#include "mem/replica_state.h"

#include <stdlib.h>

#include "graph/vec.h"

struct cut {
    uint32_t tile, row;
};

static int compare_cuts(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    if (x->tile != y->tile)
        return x->tile < y->tile ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

struct cuts {
    struct cut *cuts;
    uint32_t n, cap;
};

static bool cuts_add(struct cuts *c, uint32_t tile, uint32_t row)
{
    if (!tgi_vec_reserve(&c->cuts, &c->cap, (uint64_t)c->n + 1, sizeof *c->cuts))
        return false;
    c->cuts[c->n++] = (struct cut){tile, row};
    return true;
}

/* What one graph addresses: rows cut tiles, [*] makes a buffer whole. */
static bool scan_graph(struct tgi_replicas *r, const struct tg_graph *g, struct cuts *cuts)
{
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        uint32_t n = tgi_graph_n_words(g, t);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t word = g->args[g->nodes[t].args + i];
            uint32_t range = tgi_word_range(word);
            if (op->params[i].access == TG_SCALAR || word == TGI_WORD_NULL || range == 0)
                continue;
            const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tgi_word_tile(word));
            if (range == TGI_WORD_ALL) {
                r->is_whole[tgi_replica_buffer(r, b)] = 1;
                continue;
            }
            const struct tgi_range *rows = &r->space->ranges[range - 1];
            if (!cuts_add(cuts, tgi_word_tile(word), rows->begin) || !cuts_add(cuts, tgi_word_tile(word), rows->end))
                return false;
        }
    }
    return true;
}

static bool scan(struct tgi_replicas *r, const struct tg_graph *graph, struct cuts *cuts)
{
    bool ok = scan_graph(r, graph, cuts);
    for (uint32_t i = 0; ok && i < r->space->n_ops; i++) {
        const struct tgi_op *op = &r->space->ops[i];
        ok = (!op->body || scan_graph(r, op->body, cuts)) && (!op->body_else || scan_graph(r, op->body_else, cuts));
    }
    return ok;
}

static uint64_t n_rows(const struct tgi_buffer *b) { return b->n_dims ? (uint64_t)b->shape[0] : 1; }

/* Rows at which a tile is cut, sorted, become the starts of its pieces. */
static bool make_pieces(struct tgi_replicas *r, struct cuts *cuts)
{
    r->n_pieces = r->space->n_tiles;
    if (cuts->n == 0)
        return true;
    qsort(cuts->cuts, cuts->n, sizeof *cuts->cuts, compare_cuts);
    r->first_piece = malloc(((size_t)r->space->n_tiles + 1) * sizeof *r->first_piece);
    r->piece_row = malloc(((size_t)r->space->n_tiles + cuts->n + 1) * sizeof *r->piece_row);
    if (!r->first_piece || !r->piece_row)
        return false;
    uint32_t at = 0, n = 0;
    for (uint32_t t = 0; t < r->space->n_tiles; t++) {
        uint64_t rows = at < cuts->n && cuts->cuts[at].tile == t ? n_rows(tgi_space_buffer_of(r->space, t)) : 0;
        uint32_t last = 0;
        r->first_piece[t] = n;
        r->piece_row[n++] = 0;
        for (; at < cuts->n && cuts->cuts[at].tile == t; at++) {
            uint32_t row = cuts->cuts[at].row;
            if (row > last && row < rows) {
                r->piece_row[n++] = row;
                last = row;
            }
        }
    }
    r->first_piece[r->space->n_tiles] = n;
    r->n_pieces = n;
    return true;
}

bool tgi_replica_make_pieces(struct tgi_replicas *r, const struct tg_graph *graph)
{
    struct cuts cuts = {NULL, 0, 0};
    bool ok = scan(r, graph, &cuts) && make_pieces(r, &cuts);
    free(cuts.cuts);
    return ok;
}

void tgi_replica_piece_span(const struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, uint32_t piece,
                            uint64_t *offset_p, uint64_t *bytes_p)
{
    *offset_p = 0;
    *bytes_p = b->tile_bytes;
    if (!r->first_piece || r->first_piece[tile + 1] - r->first_piece[tile] == 1)
        return;
    bool is_last = piece + 1 == r->first_piece[tile + 1];
    *offset_p = r->piece_row[piece] * b->row_bytes;
    *bytes_p = (is_last ? b->tile_bytes : r->piece_row[piece + 1] * b->row_bytes) - *offset_p;
}

int tgi_replica_for_tile(struct tgi_replicas *r, const struct tgi_buffer *b, uint32_t tile, const struct tgi_range *rows,
                         tgi_replica_piece_fn fn, void *user)
{
    uint32_t n, first = tgi_replica_pieces_of(r, tile, &n);
    for (uint32_t p = first; p < first + n; p++) {
        if (rows && n > 1 && (r->piece_row[p] < rows->begin || r->piece_row[p] >= rows->end))
            continue;
        int rc = fn(r, b, tile, p, user);
        if (rc)
            return rc;
    }
    return 0;
}

int tgi_replica_for_pieces(struct tgi_replicas *r, uint64_t word, tgi_replica_piece_fn fn, void *user)
{
    uint32_t tile = tgi_word_tile(word), range = tgi_word_range(word);
    if (word == TGI_WORD_NULL)
        return 0;
    const struct tgi_buffer *b = tgi_space_buffer_of(r->space, tile);
    if (range != TGI_WORD_ALL)
        return tgi_replica_for_tile(r, b, tile, range ? &r->space->ranges[range - 1] : NULL, fn, user);
    for (uint32_t i = 0; i < b->n_tiles; i++) {
        int rc = tgi_replica_is_there(b, i) ? tgi_replica_for_tile(r, b, b->first_tile + i, NULL, fn, user) : 0;
        if (rc)
            return rc;
    }
    return 0;
}
