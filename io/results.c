#include "io/results.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/space.h"
#include "io/npy.h"
#include "io/path.h"
#include "mem/hostops.h"
#include "sched/record.h"

static const char index_letters[] = "ijklmnop";

void tgi_results_format_element(const struct tgi_buffer *b, uint32_t tile, uint64_t element, char *text,
                                size_t size)
{
    int64_t at[TG_MAX_DIMS];
    size_t used = tgi_buffer_format_tile(b, tile, text, size);
    for (uint32_t d = b->n_dims; d > 0; d--) {
        at[d - 1] = (int64_t)(element % (uint64_t)b->shape[d - 1]);
        element /= (uint64_t)b->shape[d - 1];
    }
    if (used < size)
        used += (size_t)snprintf(text + used, size - used, " element (");
    for (uint32_t d = 0; d < b->n_dims && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, d ? "," : "", at[d]);
    if (used < size)
        snprintf(text + used, size - used, ")");
}

/* ---- Saving -------------------------------------------------------------------------------*/

/* The dimension that text, at a '{', stands for; -1: none. */
static int placeholder(const char *text)
{
    const char *letter = text[0] == '{' && text[1] ? strchr(index_letters, text[1]) : NULL;
    return letter && text[2] == '}' ? (int)(letter - index_letters) : -1;
}

/* Which dimensions occur, as bits. */
static int scan_pattern(const struct tgi_buffer *b, uint32_t *used_p, struct tg_error *err)
{
    uint32_t used = 0;
    for (const char *p = b->save; *p; p++) {
        int d = placeholder(p);
        if (*p == '{' && (d < 0 || (uint32_t)d >= b->n_tile_dims))
            return tgi_error(err, TG_E_BAD_VALUE,
                             "buffer \"%s\": \"%.3s\" in save \"%s\" is no index of its tiles", b->name, p,
                             b->save);
        if (d >= 0)
            used |= 1u << d;
    }
    for (uint32_t d = 0; used && d < b->n_tile_dims; d++)
        if (b->tiles[d] > 1 && !(used >> d & 1))
            return tgi_error(err, TG_E_BAD_VALUE,
                             "buffer \"%s\": save \"%s\" names the same file for several tiles: "
                             "{%c} is missing",
                             b->name, b->save, index_letters[d]);
    *used_p = used;
    return 0;
}

static char *expand_pattern(const struct tgi_buffer *b, uint32_t tile)
{
    int64_t at[TG_MAX_DIMS];
    char *text = NULL;
    size_t size;
    for (uint32_t d = b->n_tile_dims; d > 0; d--) {
        at[d - 1] = tile % b->tiles[d - 1];
        tile /= (uint32_t)b->tiles[d - 1];
    }
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    for (const char *p = b->save; *p; p++) {
        int d = placeholder(p);
        if (d < 0) {
            fputc(*p, to);
            continue;
        }
        fprintf(to, "%" PRId64, at[d]);
        p += 2;
    }
    bool is_complete = !ferror(to);
    if (fclose(to) != 0 || !is_complete) {
        free(text);
        return NULL;
    }
    return text;
}

static int write_zeros(struct tgi_path_output *out, uint64_t bytes, struct tg_error *err)
{
    static const char zeros[4096];
    int rc = 0;
    for (; bytes && rc == 0; bytes -= bytes < sizeof zeros ? bytes : sizeof zeros)
        rc = tgi_path_output_write(out, zeros, bytes < sizeof zeros ? bytes : sizeof zeros, err);
    return rc;
}

/* Tiles [first, end), with the index space in the shape if there is more than a tile to it. */
static int save_file(const struct tg_graph *graph, const struct tg_run *run, tg_buffer_id id, uint32_t first,
                     uint32_t end, bool has_index, const char *folder, const char *path, struct tg_error *err)
{
    const struct tgi_buffer *b = &graph->space->buffers[id];
    struct tgi_path_output out;
    char header[TGI_NPY_MAX_HEADER];
    int64_t shape[2 * TG_MAX_DIMS];
    uint32_t n_dims = 0;
    for (uint32_t d = 0; has_index && d < b->n_tile_dims; d++)
        shape[n_dims++] = b->tiles[d];
    for (uint32_t d = 0; d < b->n_dims; d++)
        shape[n_dims++] = b->shape[d];
    int rc = tgi_path_create_beneath(folder, path, &out, err);
    if (rc)
        return rc;
    rc = tgi_path_output_write(&out, header, tgi_npy_format_header(b->dtype, n_dims, shape, header), err);
    for (uint32_t t = first; t < end && rc == 0; t++) {
        void *data;
        rc = tg_run_read_tile(run, id, t, &data, err);
        if (rc == 0)
            rc = data ? tgi_path_output_write(&out, data, b->tile_bytes, err) : write_zeros(&out, b->tile_bytes, err);
    }
    if (rc) {
        tgi_path_output_abandon(&out);
        return rc;
    }
    return tgi_path_output_finish(&out, err);
}

static int save_tiles(const struct tg_graph *graph, const struct tg_run *run, tg_buffer_id id,
                      const char *folder, void (*on_saved)(void *, const struct tgi_buffer *, const char *),
                      void *user, struct tg_error *err)
{
    const struct tgi_buffer *b = &graph->space->buffers[id];
    for (uint32_t t = 0; t < b->n_tiles; t++) {
        if (b->present && !b->present[t])
            continue;
        char *path = expand_pattern(b, t);
        if (!path)
            return tgi_error_memory(err, "saving a buffer");
        int rc = save_file(graph, run, id, t, t + 1, false, folder, path, err);
        if (rc == 0 && on_saved)
            on_saved(user, b, path);
        free(path);
        if (rc)
            return rc;
    }
    return 0;
}

int tgi_results_save(const struct tg_graph *graph, const struct tg_run *run, const char *folder,
                     void (*on_saved)(void *user, const struct tgi_buffer *buffer, const char *path),
                     void *user, struct tg_error *err)
{
    const struct tgi_space *space = graph->space;
    uint32_t used;
    int rc = 0;
    for (uint32_t i = 0; i < space->n_buffers && rc == 0; i++) /* before anything is written */
        if (space->buffers[i].save)
            rc = scan_pattern(&space->buffers[i], &used, err);
    for (uint32_t i = 0; i < space->n_buffers && rc == 0; i++) {
        const struct tgi_buffer *b = &space->buffers[i];
        if (!b->save)
            continue;
        rc = scan_pattern(b, &used, err);
        if (rc == 0 && used) {
            rc = save_tiles(graph, run, i, folder, on_saved, user, err);
        } else if (rc == 0) {
            rc = save_file(graph, run, i, 0, b->n_tiles, true, folder, b->save, err);
            if (rc == 0 && on_saved)
                on_saved(user, b, b->save);
        }
    }
    return rc;
}

static uint32_t first_tile(const struct tgi_buffer *b)
{
    uint32_t t = 0;
    while (b->present && t < b->n_tiles && !b->present[t])
        t++;
    return t;
}

int tgi_results_check(const struct tg_graph *graph, const char *folder, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < graph->space->n_buffers && rc == 0; i++) {
        const struct tgi_buffer *b = &graph->space->buffers[i];
        struct tgi_path_output out;
        uint32_t used;
        if (!b->save || first_tile(b) == b->n_tiles)
            continue;
        rc = scan_pattern(b, &used, err);
        char *path = rc ? NULL : expand_pattern(b, first_tile(b));
        if (rc == 0 && !path)
            rc = tgi_error_memory(err, "saving a buffer");
        if (rc == 0)
            rc = tgi_path_create_beneath(folder, path, &out, err);
        if (rc == 0)
            tgi_path_output_abandon(&out);
        free(path);
    }
    return rc;
}

/* ---- Comparing ----------------------------------------------------------------------------*/

static bool is_within(double a, double b, double rtol, double atol)
{
    return a == b || (isnan(a) && isnan(b)) || (isfinite(b) && fabs(a - b) <= atol + rtol * fabs(b));
}

/* Complex numbers are compared part by part. */
static enum tg_dtype part_of(enum tg_dtype dtype, uint64_t *n_parts_p)
{
    *n_parts_p = dtype == TG_C64 || dtype == TG_C128 ? 2 : 1;
    return dtype == TG_C64 ? TG_F32 : dtype == TG_C128 ? TG_F64 : dtype;
}

static bool differs(const struct tgi_buffer *b, const char *x, const char *y, uint64_t i, double rtol,
                    double atol)
{
    size_t size = tg_dtype_size(b->dtype);
    if (memcmp(x + i * size, y + i * size, size) == 0)
        return false;
    if ((rtol == 0 && atol == 0) || (b->dtype >= TG_I8 && b->dtype <= TG_U64)) /* integers are not rounded */
        return true;
    uint64_t n_parts;
    enum tg_dtype part = part_of(b->dtype, &n_parts);
    for (uint64_t k = i * n_parts; k < (i + 1) * n_parts; k++)
        if (!is_within(tgi_host_load(x, k, part), tgi_host_load(y, k, part), rtol, atol))
            return true;
    return false;
}

static void format_value(const struct tgi_buffer *b, const void *data, uint64_t i, char *text, size_t size)
{
    uint64_t n_parts;
    enum tg_dtype part = part_of(b->dtype, &n_parts);
    if (n_parts == 2)
        snprintf(text, size, "%.17g%+.17gi", tgi_host_load(data, 2 * i, part),
                 tgi_host_load(data, 2 * i + 1, part));
    else if (b->dtype == TG_I64)
        snprintf(text, size, "%" PRId64, ((const int64_t *)data)[i]);
    else if (b->dtype == TG_U64)
        snprintf(text, size, "%" PRIu64, ((const uint64_t *)data)[i]);
    else
        snprintf(text, size, "%.17g", tgi_host_load(data, i, b->dtype));
}

struct difference {
    uint32_t buffer, tile;
    uint64_t element, n; /* n over all tiles of the buffer */
    const void *a, *b;
};

static int report(const struct tg_graph *graph, const struct difference *d, struct tg_error *err)
{
    const struct tgi_buffer *b = &graph->space->buffers[d->buffer];
    char where[400], first[96], second[96];
    tgi_results_format_element(b, d->tile, d->element, where, sizeof where);
    format_value(b, d->a, d->element, first, sizeof first);
    format_value(b, d->b, d->element, second, sizeof second);
    return tgi_error(err, TG_E_DIFFERS, "%s is %s, sequentially %s; %" PRIu64 " element%s of \"%s\" differ%s",
                     where, first, second, d->n, d->n == 1 ? "" : "s", b->name, d->n == 1 ? "s" : "");
}

static int compare_buffer(const struct tg_graph *graph, uint32_t i, const struct tg_run *a, const struct tg_run *b,
                          double rtol, double atol, struct tg_error *err)
{
    const struct tgi_buffer *buffer = &graph->space->buffers[i];
    struct difference first = {.n = 0};
    int rc = 0;
    for (uint32_t t = 0; t < buffer->n_tiles && !buffer->is_temp && rc == 0; t++) {
        void *x, *y = NULL;
        rc = tg_run_read_tile(a, i, t, &x, err);
        if (rc == 0)
            rc = tg_run_read_tile(b, i, t, &y, err);
        if (rc || !x || !y || x == y || memcmp(x, y, buffer->tile_bytes) == 0)
            continue;
        for (uint64_t e = 0; e < buffer->tile_elems; e++)
            if (differs(buffer, x, y, e, rtol, atol) && first.n++ == 0)
                first = (struct difference){i, t, e, 1, x, y};
    }
    return rc ? rc : first.n ? report(graph, &first, err) : 0;
}

int tgi_results_compare(const struct tg_graph *graph, const struct tg_run *a, const struct tg_run *b,
                        double rtol, double atol, struct tg_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < graph->space->n_buffers && rc == 0; i++)
        rc = compare_buffer(graph, i, a, b, rtol, atol, err);
    return rc;
}

/* The part of the rounding of the graph's largest number that may be left in a buffer of small ones. */
#define CANCELLED 0.1

/* What rounding may come to, of the largest element: sums of a million terms, and factors of ill-conditioned
 * matrices by as much again. */
static double rounding_of(enum tg_dtype dtype)
{
    switch (dtype) {
    case TG_F64:
    case TG_C128:
        return 1e-9;
    case TG_F32:
    case TG_C64:
        return 1e-4;
    case TG_F16:
        return 1e-2;
    case TG_BF16:
        return 5e-2;
    default:
        return 0;
    }
}

static int find_largest(const struct tgi_buffer *b, uint32_t i, const struct tg_run *run, double *most_p, struct tg_error *err)
{
    uint64_t n_parts;
    enum tg_dtype part = part_of(b->dtype, &n_parts);
    double most = 0;
    int rc = 0;
    for (uint32_t t = 0; t < b->n_tiles && rc == 0; t++) {
        void *data;
        rc = tg_run_read_tile(run, i, t, &data, err);
        for (uint64_t e = 0; data && e < b->tile_elems * n_parts; e++) {
            double x = fabs(tgi_host_load(data, e, part));
            most = isfinite(x) && x > most ? x : most;
        }
    }
    *most_p = most;
    return rc;
}

int tgi_results_compare_rounded(const struct tg_graph *graph, const struct tg_run *a, const struct tg_run *b,
                                struct tg_error *err)
{
    const struct tgi_space *space = graph->space;
    double *scale = calloc((size_t)space->n_buffers + 1, sizeof *scale), most = 0;
    int rc = scale ? 0 : tgi_error_memory(err, "comparing results");
    for (uint32_t i = 0; i < space->n_buffers && rc == 0; i++) {
        if (rounding_of(space->buffers[i].dtype) > 0)
            rc = find_largest(&space->buffers[i], i, b, &scale[i], err);
        most = scale[i] > most ? scale[i] : most;
    }
    for (uint32_t i = 0; i < space->n_buffers && rc == 0; i++) {
        double share = rounding_of(space->buffers[i].dtype);
        /* A difference of large numbers keeps their rounding.  DBL_MIN: also 0 and -0 are equal then. */
        double atol = share > 0 ? share * (scale[i] + CANCELLED * most) + DBL_MIN : 0;
        rc = compare_buffer(graph, i, a, b, 0, atol, err);
    }
    free(scale);
    return rc;
}

/* Sums whose terms come in another order differ by rounding. */
#define REORDERED_RTOL 1e-5
#define REORDERED_ATOL 1e-8

bool tgi_results_may_reorder(const struct tg_graph *graph)
{
    bool may = graph->n_groups > 0;
    for (uint32_t i = 0; i < graph->space->n_ops && !may; i++) {
        const struct tgi_op *op = &graph->space->ops[i];
        may = (op->body && op->body->n_groups > 0) || (op->body_else && op->body_else->n_groups > 0);
    }
    return may;
}

int tgi_results_compare_sequential(const struct tg_graph *graph, const struct tg_run *run, const struct tg_run *sequential,
                                   bool *is_exact_p, struct tg_error *err)
{
    int rc = tgi_results_compare(graph, run, sequential, 0, 0, err);
    *is_exact_p = rc == 0;
    if (rc == TG_E_DIFFERS && tgi_results_may_reorder(graph))
        rc = tgi_results_compare(graph, run, sequential, REORDERED_RTOL, REORDERED_ATOL, err);
    if (rc == TG_E_DIFFERS && tgi_run_n_devices(run))
        rc = tgi_results_compare_rounded(graph, run, sequential, err);
    return rc;
}
