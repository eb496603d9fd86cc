/* What graphs and their bodies share: buffers, tile numbers, row ranges, sites, checks. */
#include "graph/space.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/vec.h"

/* A tile costs tens of bytes while a graph is frozen and run, even if it holds nothing. */
enum { MAX_NAME = 256, MAX_TILES = 1 << 26 };

struct tgi_space *tgi_space_create(void)
{
    return calloc(1, sizeof(struct tgi_space));
}

static void op_fini(struct tgi_op *op)
{
    tgi_expr_destroy(op->flops);
    tgi_expr_destroy(op->bytes);
    tgi_expr_destroy(op->us);
    for (uint32_t i = 0; op->needs && i < TG_MAX_PARAMS; i++)
        tgi_expr_destroy(op->needs[i]);
    for (uint32_t i = 0; i < op->n_variants; i++) {
        struct tgi_variant *v = &op->variants[i];
        for (int d = 0; d < 3; d++) {
            tgi_expr_destroy(v->grid[d]);
            tgi_expr_destroy(v->block[d]);
            tgi_expr_destroy(v->cluster[d]);
        }
        tgi_expr_destroy(v->smem);
    }
    free(op->variants);
    tg_graph_destroy(op->body);
    tg_graph_destroy(op->body_else);
}

void tgi_space_destroy(struct tgi_space *space)
{
    if (!space)
        return;
    for (uint32_t i = 0; i < space->n_buffers; i++)
        if (space->buffers[i].init_user_free)
            space->buffers[i].init_user_free(space->buffers[i].init_user);
    /* Instances share the expressions and variants of their generic op; bodies refer to the space. */
    for (uint32_t i = 0; i < space->n_ops; i++)
        if (space->ops[i].generic == TG_NONE)
            op_fini(&space->ops[i]);
    if (space->locate_free)
        space->locate_free(space->locate_user);
    tgi_names_fini(&space->buffer_names);
    tgi_names_fini(&space->kernel_names);
    free(space->buffers);
    free(space->ops);
    free(space->ranges);
    free(space->sites);
    free(space->checks);
    tgi_arena_fini(&space->strings);
    free(space);
}

bool tgi_name_is_valid(const char *name)
{
    size_t length = strnlen(name, MAX_NAME + 1);
    if (length == 0 || length > MAX_NAME)
        return false;
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

/* ---- Buffers ------------------------------------------------------------------------------*/

static const char *buffer_name(const void *space, uint32_t id)
{
    return ((const struct tgi_space *)space)->buffers[id].name;
}

tg_buffer_id tgi_space_find_buffer(const struct tgi_space *space, const char *name)
{
    return tgi_names_find(&space->buffer_names, buffer_name, space, name, strlen(name));
}

/* Product of extents; false on overflow. */
static bool multiply(const int64_t *extents, uint32_t n, uint64_t *product_p)
{
    uint64_t product = 1;
    for (uint32_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(product, (uint64_t)extents[i], &product))
            return false;
    *product_p = product;
    return product <= INT64_MAX;
}

static int check_extents(const char *name, const char *what, const int64_t *extents, uint32_t n, int64_t least,
                         struct tg_error *err)
{
    if (n > TG_MAX_DIMS)
        return tgi_error(err, TG_E_SHAPE_MISMATCH, "buffer \"%s\": %s has %u dimensions, at most %d are allowed",
                         name, what, n, TG_MAX_DIMS);
    for (uint32_t i = 0; i < n; i++)
        if (extents[i] < least)
            return tgi_error(err, TG_E_SHAPE_MISMATCH, "buffer \"%s\": %s[%u] is %" PRId64 ", it must be at least %" PRId64,
                             name, what, i, extents[i], least);
    return 0;
}

static int buffer_measure(struct tgi_buffer *b, const struct tg_buffer_spec *spec, struct tg_error *err)
{
    int rc = check_extents(spec->name, "shape", spec->shape, spec->n_dims, 0, err);
    if (rc == 0)
        rc = check_extents(spec->name, "tiles", spec->tiles, spec->n_tile_dims, 1, err);
    if (rc)
        return rc;
    uint64_t n_tiles = 0, all;
    b->n_dims = spec->n_dims;
    b->n_tile_dims = spec->n_tile_dims;
    memcpy(b->shape, spec->shape, sizeof b->shape);
    memcpy(b->tiles, spec->tiles, sizeof b->tiles);
    if (!multiply(spec->tiles, spec->n_tile_dims, &n_tiles) || n_tiles >= TG_NONE)
        return tgi_error(err, TG_E_SIZE_OVERFLOW, "buffer \"%s\" has too many tiles; at most %u are allowed", spec->name, TG_NONE - 1);
    if (!multiply(spec->shape, spec->n_dims, &b->tile_elems) ||
        __builtin_mul_overflow(b->tile_elems, tg_dtype_size(spec->dtype), &b->tile_bytes) ||
        __builtin_mul_overflow(b->tile_bytes, n_tiles, &all) || all > INT64_MAX)
        return tgi_error(err, TG_E_SIZE_OVERFLOW, "buffer \"%s\" has more than 2^63 bytes", spec->name);
    b->n_tiles = (uint32_t)n_tiles;
    b->row_bytes = spec->n_dims && spec->shape[0] ? b->tile_bytes / (uint64_t)spec->shape[0] : b->tile_bytes;
    b->n_present = b->n_tiles;
    if (spec->present) {
        b->n_present = 0;
        for (uint32_t i = 0; i < b->n_tiles; i++)
            b->n_present += spec->present[i] != 0;
    }
    return 0;
}

static int buffer_copy_strings(struct tgi_space *space, struct tgi_buffer *b, const struct tg_buffer_spec *spec,
                               struct tg_error *err)
{
    b->name = tgi_arena_strdup(&space->strings, spec->name);
    bool is_complete = b->name != NULL;
    if (spec->home) {
        b->home = tgi_arena_strdup(&space->strings, spec->home);
        is_complete = is_complete && b->home;
    }
    if (spec->present) {
        uint8_t *present = tgi_arena_alloc(&space->strings, b->n_tiles);
        is_complete = is_complete && present;
        if (present)
            memcpy(present, spec->present, b->n_tiles);
        b->present = present;
    }
    return is_complete ? 0 : tgi_error_memory(err, "adding a buffer");
}

int tg_graph_add_buffer(struct tg_graph *graph, const struct tg_buffer_spec *spec, tg_buffer_id *id_p,
                        struct tg_error *err)
{
    struct tgi_space *space = graph->space;
    if (space->is_closed)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further buffer");
    int rc = tgi_error_check_size(err, "struct tg_buffer_spec", spec->size, sizeof *spec);
    if (rc)
        return rc;
    if (!spec->name || !tgi_name_is_valid(spec->name))
        return tgi_error(err, TG_E_BAD_NAME, "a buffer needs a name of 1 to %d printable bytes", MAX_NAME);
    if (tgi_space_find_buffer(space, spec->name) != TG_NONE)
        return tgi_error(err, TG_E_DUPLICATE_NAME, "there is a buffer \"%s\" already", spec->name);
    if ((unsigned)spec->dtype >= TG_N_DTYPES)
        return tgi_error(err, TG_E_INVALID, "buffer \"%s\": %d is not a data type", spec->name, (int)spec->dtype);
    if (spec->init == TG_INIT_CALL && !spec->init_call)
        return tgi_error(err, TG_E_INVALID, "buffer \"%s\": TG_INIT_CALL without init_call", spec->name);
    struct tgi_buffer b = {.dtype = spec->dtype, .host = spec->host, .init = spec->init,
                           .init_value = spec->init_value, .init_seed = spec->init_seed,
                           .init_call = spec->init_call, .init_user = spec->init_user,
                           .is_temp = spec->is_temp, .first_tile = space->n_tiles, .site = TG_NONE};
    rc = buffer_measure(&b, spec, err);
    if (rc)
        return rc;
    if ((uint64_t)space->n_tiles + b.n_tiles > MAX_TILES)
        return tgi_error(err, TG_E_LIMIT, "buffer \"%s\": more than %d tiles in all", spec->name, MAX_TILES);
    if (!tgi_vec_reserve(&space->buffers, &space->cap_buffers, (uint64_t)space->n_buffers + 1, sizeof b))
        return tgi_error_memory(err, "adding a buffer");
    rc = buffer_copy_strings(space, &b, spec, err);
    if (rc)
        return rc;
    space->buffers[space->n_buffers] = b;
    if (!tgi_names_insert(&space->buffer_names, buffer_name, space, space->n_buffers))
        return tgi_error_memory(err, "adding a buffer");
    *id_p = space->n_buffers++;
    space->n_tiles += b.n_tiles;
    return 0;
}

const struct tgi_buffer *tgi_space_buffer_of(const struct tgi_space *space, uint32_t tile)
{
    uint32_t low = 0, high = space->n_buffers;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (space->buffers[middle].first_tile <= tile)
            low = middle;
        else
            high = middle;
    }
    return &space->buffers[low];
}

int tgi_space_add_range(struct tgi_space *space, uint32_t begin, uint32_t end, uint32_t *range_p, struct tg_error *err)
{
    /* Neighbouring tasks tend to use the same few ranges: look at the latest ones. */
    uint32_t first = space->n_ranges > 8 ? space->n_ranges - 8 : 0;
    for (uint32_t i = space->n_ranges; i > first; i--)
        if (space->ranges[i - 1].begin == begin && space->ranges[i - 1].end == end) {
            *range_p = i;
            return 0;
        }
    if (!tgi_vec_reserve(&space->ranges, &space->cap_ranges, (uint64_t)space->n_ranges + 1, sizeof *space->ranges))
        return tgi_error_memory(err, "adding a row range");
    space->ranges[space->n_ranges++] = (struct tgi_range){begin, end};
    *range_p = space->n_ranges;
    return 0;
}

size_t tgi_buffer_format_tile(const struct tgi_buffer *b, uint32_t index, char *text, size_t size)
{
    int64_t at[TG_MAX_DIMS];
    for (uint32_t d = b->n_tile_dims; d > 0; d--) {
        at[d - 1] = index % b->tiles[d - 1];
        index /= (uint32_t)b->tiles[d - 1];
    }
    size_t used = (size_t)snprintf(text, size, "%s", b->name);
    for (uint32_t d = 0; d < b->n_tile_dims && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%c%" PRId64, d ? ',' : '[', at[d]);
    if (b->n_tile_dims && used < size)
        used += (size_t)snprintf(text + used, size - used, "]");
    return used;
}

void tgi_space_format_word(const struct tgi_space *space, uint64_t word, char *text, size_t size)
{
    if (word == TGI_WORD_NULL) {
        snprintf(text, size, "null");
        return;
    }
    uint32_t tile = tgi_word_tile(word), range = tgi_word_range(word);
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tile);
    if (range == TGI_WORD_ALL) {
        snprintf(text, size, "%s[*]", b->name);
        return;
    }
    size_t used = tgi_buffer_format_tile(b, tile - b->first_tile, text, size);
    if (range && used < size)
        snprintf(text + used, size - used, "@rows(%u:%u)", space->ranges[range - 1].begin, space->ranges[range - 1].end);
}

uint64_t tgi_space_word_elems(const struct tgi_space *space, const struct tgi_buffer *b, uint64_t word)
{
    uint32_t range = tgi_word_range(word);
    if (range == 0)
        return b->tile_elems;
    if (range == TGI_WORD_ALL)
        return b->tile_elems * b->n_tiles;
    const struct tgi_range *r = &space->ranges[range - 1];
    return b->row_bytes / tg_dtype_size(b->dtype) * (r->end - r->begin);
}

/* ---- Sites and checks ---------------------------------------------------------------------*/

uint32_t tgi_space_add_site(struct tgi_space *space, const char *pointer, uint32_t line)
{
    if (!tgi_vec_reserve(&space->sites, &space->cap_sites, (uint64_t)space->n_sites + 1, sizeof *space->sites))
        return TG_NONE;
    const char *copy = pointer ? tgi_arena_strdup(&space->strings, pointer) : NULL;
    if (pointer && !copy)
        return TG_NONE;
    space->sites[space->n_sites] = (struct tgi_site){copy, line, 0};
    return space->n_sites++;
}

bool tgi_space_locate(const struct tgi_space *space, uint32_t site, uint32_t *line_p, uint32_t *column_p)
{
    if (site >= space->n_sites)
        return false;
    const struct tgi_site *s = &space->sites[site];
    if (s->line) {
        *line_p = s->line;
        *column_p = s->column ? s->column : 1;
        return true;
    }
    return s->pointer && space->locate && space->locate(space->locate_user, s->pointer, line_p, column_p);
}

int tgi_graph_add_check(struct tg_graph *g, const struct tgi_check *check, struct tg_error *err)
{
    struct tgi_space *space = g->space;
    if (!tgi_vec_reserve(&space->checks, &space->cap_checks, (uint64_t)space->n_checks + 1, sizeof *check))
        return tgi_error_memory(err, "adding a check");
    struct tgi_check copy = *check;
    if (check->n_values) {
        double *values = tgi_arena_alloc(&space->strings, check->n_values * sizeof *values);
        if (!values)
            return tgi_error_memory(err, "adding a check");
        memcpy(values, check->values, check->n_values * sizeof *values);
        copy.values = values;
    }
    if (check->file && !(copy.file = tgi_arena_strdup(&space->strings, check->file)))
        return tgi_error_memory(err, "adding a check");
    if (check->method && !(copy.method = tgi_arena_strdup(&space->strings, check->method)))
        return tgi_error_memory(err, "adding a check");
    space->checks[space->n_checks++] = copy;
    return 0;
}
