/* References: A, A[m,k], A[*], A[m,k]@rows(a:b). */
#include "io/json_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "graph/space.h"

struct text {
    struct tgi_reader *r;
    uint32_t node;
    const char *s;
    uint32_t length;
};

static int malformed(const struct text *t, uint32_t at, const char *what)
{
    struct tgi_remark remark = {
        .offset = at, .length = 1, .help = "references look like A, A[m,k], A[*] or A[m,k]@rows(a:b)"};
    if (at >= t->length) /* at the closing quote */
        remark.offset = t->length;
    return tgi_report(t->r, t->node, &remark, TG_E_BAD_REFERENCE, "malformed reference: %s", what);
}

static uint32_t skip_space(const struct text *t, uint32_t at)
{
    while (at < t->length && t->s[at] == ' ')
        at++;
    return at;
}

/* From the character after an opening bracket to its closing one, other brackets balanced. */
static uint32_t find_close(const struct text *t, uint32_t at, char close)
{
    uint32_t depth = 0;
    for (; at < t->length; at++) {
        char c = t->s[at];
        if (depth == 0 && c == close)
            return at;
        if (c == '(' || c == '[')
            depth++;
        else if ((c == ')' || c == ']') && depth > 0)
            depth--;
    }
    return at;
}

/* An expression between at and end, without the spaces around it. */
static int compile_part(const struct text *t, struct tgi_json_pool *pool, uint32_t at, uint32_t end,
                        struct tgi_number *number)
{
    at = skip_space(t, at);
    while (end > at && t->s[end - 1] == ' ')
        end--;
    return tgi_number_compile_text(t->r, pool, t->node, at, end - at, number);
}

static int find_buffer(const struct text *t, uint32_t length, tg_buffer_id *id_p)
{
    struct tgi_reader *r = t->r;
    uint32_t id = tgi_name_index_find(&r->buffers, t->s, length);
    if (id == TGI_NAME_BROKEN)
        return TG_E_UNKNOWN_BUFFER;
    if (id != UINT32_MAX) {
        *id_p = id;
        return 0;
    }
    char name[TGI_MAX_NAME + 1], help[320];
    struct tgi_remark remark = {.length = length};
    snprintf(name, sizeof name, "%.*s", length > TGI_MAX_NAME ? TGI_MAX_NAME : (int)length, t->s);
    remark.help = tgi_did_you_mean_defined(r, &r->buffers, name, help, sizeof help);
    return tgi_report(r, t->node, &remark, TG_E_UNKNOWN_BUFFER, "unknown buffer \"%.100s\"", name);
}

static void format_tiles(const struct tgi_buffer *b, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t d = 0; d < b->n_tile_dims && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, d > 0 ? "," : "", b->tiles[d]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

static int wrong_rank(const struct text *t, const struct tgi_buffer *b, uint32_t n_given)
{
    char tiles[200], help[400];
    struct tgi_remark remark = {0};
    format_tiles(b, tiles, sizeof tiles);
    if (b->n_tile_dims == 0)
        return tgi_report(t->r, t->node, NULL, TG_E_INDEX_RANK,
                          "\"%.100s\" is a single tile and takes no index", b->name);
    if (n_given == 0) {
        snprintf(help, sizeof help, "%s[*] means all tiles, %s[%s] one", b->name, b->name,
                 b->n_tile_dims == 1   ? "i"
                 : b->n_tile_dims == 2 ? "i,j"
                                       : "i,j,..");
        remark.help = help;
        return tgi_report(t->r, t->node, &remark, TG_E_INDEX_RANK,
                          "\"%.100s\" has tiles %s; which one is meant?", b->name, tiles);
    }
    return tgi_report(t->r, t->node, NULL, TG_E_INDEX_RANK, "%u %s, but \"%.100s\" has tiles %s", n_given,
                      n_given == 1 ? "index" : "indices", b->name, tiles);
}

/* Indices between text[at] and text[end]. */
static int compile_index(const struct text *t, struct tgi_json_pool *pool, uint32_t at, uint32_t end,
                         struct tgi_reference *ref)
{
    struct tgi_number index[TG_MAX_DIMS];
    for (;;) {
        uint32_t depth = 0, comma = at;
        for (; comma < end && (depth > 0 || t->s[comma] != ','); comma++)
            depth += t->s[comma] == '(' ? 1u : t->s[comma] == ')' && depth > 0 ? -1u : 0u;
        if (ref->n_index == TG_MAX_DIMS)
            return malformed(t, at, "too many indices");
        int rc = compile_part(t, pool, at, comma, &index[ref->n_index]);
        if (rc != 0)
            return rc;
        ref->n_index++;
        if (comma == end)
            break;
        at = comma + 1;
    }
    ref->index = tgi_json_pool_alloc(pool, ref->n_index * sizeof *ref->index);
    if (ref->index == NULL)
        return tgi_report_memory(t->r);
    memcpy(ref->index, index, ref->n_index * sizeof *ref->index);
    return 0;
}

static int compile_rows(const struct text *t, struct tgi_json_pool *pool, uint32_t at, struct tgi_reference *ref)
{
    static const char word[] = "@rows(";
    if (t->length - at < sizeof word - 1 || memcmp(t->s + at, word, sizeof word - 1) != 0)
        return malformed(t, at, "expected \"@rows(a:b)\"");
    uint32_t begin = at + (uint32_t)sizeof word - 1, end = find_close(t, begin, ')');
    if (end == t->length)
        return malformed(t, end, "expected \")\"");
    if (skip_space(t, end + 1) != t->length)
        return malformed(t, end + 1, "text after the row range");
    uint32_t colon = tgi_find_colon(t->s + begin, end - begin) + begin;
    if (colon == end)
        return malformed(t, end, "expected \":\" in the row range");
    ref->kind = TG_ARG_ROWS;
    int rc = compile_part(t, pool, begin, colon, &ref->rows[0]);
    return rc != 0 ? rc : compile_part(t, pool, colon + 1, end, &ref->rows[1]);
}

int tgi_reference_compile(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node,
                          struct tgi_reference *ref_p)
{
    struct tgi_reference ref = {.node = node, .kind = TG_ARG_TILE};
    if (tgi_node_type(r, node) != TGI_TAPE_STRING)
        return tgi_report(r, node, NULL, TG_E_WRONG_TYPE, "a buffer is named by a string such as \"A[m,k]\"");
    struct text t = {r, node, tgi_node_string(r, node), tgi_tape_count(&r->tape, node)};
    uint32_t at = 0;
    while (at < t.length && t.s[at] != '[' && t.s[at] != '@')
        at++;
    uint32_t n_name = at;
    if (n_name == 0)
        return malformed(&t, 0, "expected the name of a buffer");
    int rc = find_buffer(&t, n_name, &ref.buffer);
    if (rc != 0)
        return rc;
    const struct tgi_buffer *b = &r->graph->space->buffers[ref.buffer];
    if (at < t.length && t.s[at] == '[') {
        uint32_t end = find_close(&t, at + 1, ']'), first = skip_space(&t, at + 1);
        if (end == t.length)
            return malformed(&t, end, "expected \"]\"");
        if (first < end && t.s[first] == '*' && skip_space(&t, first + 1) == end)
            ref.kind = TG_ARG_ALL;
        else if ((rc = compile_index(&t, pool, at + 1, end, &ref)) != 0)
            return rc;
        at = end + 1;
    }
    if (ref.kind != TG_ARG_ALL && ref.n_index != b->n_tile_dims && !(b->n_tiles == 1 && ref.n_index == 0))
        return wrong_rank(&t, b, ref.n_index);
    if (at < t.length) {
        if (ref.kind == TG_ARG_ALL)
            return malformed(&t, at, "text after \"[*]\"");
        if ((rc = compile_rows(&t, pool, at, &ref)) != 0)
            return rc;
    }
    *ref_p = ref;
    return 0;
}

/* ---- Evaluation ---------------------------------------------------------------------------*/

static int out_of_range(struct tgi_reader *r, const struct tgi_reference *ref, const int64_t *at)
{
    const struct tgi_buffer *b = &r->graph->space->buffers[ref->buffer];
    char tiles[200], index[200];
    size_t used = 0;
    format_tiles(b, tiles, sizeof tiles);
    for (uint32_t d = 0; d < ref->n_index && used < sizeof index; d++)
        used += (size_t)snprintf(index + used, sizeof index - used, "%s%" PRId64, d > 0 ? "," : "", at[d]);
    struct tgi_remark remark = {.help = "indices start at 0; ranges are half-open: 0:NT is 0..NT-1"};
    return tgi_report(r, ref->node, &remark, TG_E_INDEX_RANGE,
                      "tile index out of range: %.100s[%s], but \"%.100s\" has tiles %s", b->name, index,
                      b->name, tiles);
}

static int tile_absent(struct tgi_reader *r, const struct tgi_reference *ref, uint32_t tile)
{
    const struct tgi_buffer *b = &r->graph->space->buffers[ref->buffer];
    char text[300];
    tgi_buffer_format_tile(b, tile, text, sizeof text);
    return tgi_report(r, ref->node, NULL, TG_E_TILE_ABSENT,
                      "tile %s does not exist: \"only\" of \"%.100s\" excludes it", text, b->name);
}

static int eval_rows(struct tgi_reader *r, const struct tgi_reference *ref, struct tg_arg *arg)
{
    const struct tgi_buffer *b = &r->graph->space->buffers[ref->buffer];
    int64_t begin, end, n_rows = b->n_dims > 0 ? b->shape[0] : 1;
    int rc = tgi_number_int(r, &ref->rows[0], &begin);
    if (rc != 0 || (rc = tgi_number_int(r, &ref->rows[1], &end)) != 0)
        return rc;
    if (begin >= end)
        return tgi_report(r, ref->node, NULL, TG_E_ROW_RANGE,
                          "rows(%" PRId64 ":%" PRId64 ") of \"%.100s\" is empty", begin, end, b->name);
    if (begin < 0 || end > n_rows || end > UINT32_MAX)
        return tgi_report(r, ref->node, NULL, TG_E_ROW_RANGE,
                          "row range out of range: rows(%" PRId64 ":%" PRId64
                          ") of \"%.100s\", whose tiles have %" PRId64 " rows",
                          begin, end, b->name, n_rows);
    arg->row_begin = (uint32_t)begin;
    arg->row_end = (uint32_t)end;
    return 0;
}

int tgi_reference_eval(struct tgi_reader *r, const struct tgi_reference *ref, struct tg_arg *arg_p)
{
    const struct tgi_buffer *b = &r->graph->space->buffers[ref->buffer];
    struct tg_arg arg = {.kind = ref->kind, .buffer = ref->buffer};
    int64_t at[TG_MAX_DIMS];
    uint64_t tile = 0;
    bool is_inside = true;
    for (uint32_t d = 0; d < ref->n_index; d++) {
        int rc = tgi_number_int(r, &ref->index[d], &at[d]);
        if (rc != 0)
            return rc;
        is_inside = is_inside && at[d] >= 0 && at[d] < b->tiles[d];
        tile = tile * (uint64_t)b->tiles[d] + (uint64_t)at[d];
    }
    if (!is_inside)
        return out_of_range(r, ref, at);
    arg.tile = (uint32_t)tile;
    if (b->present != NULL && ref->kind != TG_ARG_ALL && b->present[arg.tile] == 0)
        return tile_absent(r, ref, arg.tile);
    if (ref->kind == TG_ARG_ROWS) {
        int rc = eval_rows(r, ref, &arg);
        if (rc != 0)
            return rc;
    }
    *arg_p = arg;
    return 0;
}
