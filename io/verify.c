/* Residuals are probed: for a wrong factor, |A x - L (L^T x)| is as large as the error with
 * probability 1 for random x, and costs N^2 operations instead of N^3.  A is generated anew, tile by
 * tile, from the buffer's init. */
#include "io/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/npy.h"
#include "io/results.h"
#include "io/units.h"
#include "mem/hostops.h"
#include "mem/store.h"

enum { TEXT = 600 };

/* One check under evaluation. */
struct subject {
    const struct tg_graph *graph;
    const struct tg_run *run;
    const struct tgi_check *check;
    const struct tgi_buffer *b;
    uint32_t first, end; /* tiles */
    enum tg_dtype part;  /* what one number is: complex ones have two */
    uint64_t n_parts;
    char text[TEXT];
};

/* 0 and NULL: an absent tile. */
static int read_tile(const struct subject *s, uint32_t tile, void **data_p, struct tg_error *err)
{
    return tg_run_read_tile(s->run, s->check->buffer, tile, data_p, err);
}

static void say(struct subject *s, const char *format, ...) TG_PRINTF(2, 3);
static void say(struct subject *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
}

/* ---- Element by element -------------------------------------------------------------------*/

/* What elements are held against: values indexed by the number's place in the tile, plus that of the
 * tile if they cover all tiles. */
struct expected {
    const double *values;
    double *owned; /* NULL: not from a file */
    uint64_t n;    /* 1: the same for all */
    bool is_per_buffer, is_complex;
};

static int expect(const struct subject *s, struct expected *e, struct tg_error *err)
{
    const struct tgi_check *c = s->check;
    const struct tgi_buffer *b = s->b;
    uint64_t whole = b->tile_elems * b->n_tiles;
    *e = (struct expected){.values = c->values, .n = c->n_values};
    if (c->file) {
        struct tgi_npy npy;
        int rc = tgi_npy_read_doubles(s->graph->space->folder, c->file, &npy, &e->owned, err);
        if (rc)
            return rc;
        e->values = e->owned;
        e->n = npy.n_elems;
        e->is_complex = npy.dtype == TG_C64 || npy.dtype == TG_C128;
        if (e->is_complex && s->n_parts == 1)
            return tgi_error(err, TG_E_TYPE_MISMATCH, "\"%s\" holds complex numbers, \"%s\" does not",
                             c->file, b->name);
    }
    e->is_per_buffer = c->tile == TG_NONE && e->n == whole && b->n_tiles > 1;
    if (e->n == 0 && whole)
        return tgi_error(err, TG_E_SHAPE_MISMATCH, "a check of \"%s\" has nothing to compare with", b->name);
    if (e->n != 1 && e->n != b->tile_elems && !e->is_per_buffer)
        return tgi_error(err, TG_E_SHAPE_MISMATCH,
                         "%" PRIu64 " values to compare with \"%s\", which has %" PRIu64 " elements%s", e->n,
                         b->name, c->tile == TG_NONE ? whole : b->tile_elems,
                         b->n_tiles > 1 ? " (or a tile's worth)" : "");
    /* Both sides are doubles here, and neighbours would be equal. */
    bool is_wide = c->kind == TGI_CHECK_EQUALS && (b->dtype == TG_I64 || b->dtype == TG_U64);
    for (uint64_t i = 0; is_wide && i < e->n; i++)
        if (fabs(e->values[i]) >= 0x1p53)
            return tgi_error(err, TG_E_BAD_VALUE,
                             "\"equals\" cannot tell integers of \"%s\" from 2^53 on from their neighbours; \"checksum\" can", b->name);
    return 0;
}

static double expected_at(const struct subject *s, const struct expected *e, uint32_t tile, uint64_t number)
{
    uint64_t element = number / s->n_parts, k = number % s->n_parts;
    uint64_t i = e->n == 1 ? 0 : element + (e->is_per_buffer ? tile * s->b->tile_elems : 0);
    if (e->is_complex)
        return e->values[2 * i + k];
    return k ? 0 : e->values[i];
}

static bool is_good(const struct tgi_check *c, double found, double wanted)
{
    switch (c->kind) {
    case TGI_CHECK_EQUALS:
        return found == wanted || (isnan(found) && isnan(wanted));
    case TGI_CHECK_CLOSE:
        return found == wanted || (isnan(found) && isnan(wanted)) ||
               (isfinite(wanted) && fabs(found - wanted) <= c->atol + c->rtol * fabs(wanted));
    case TGI_CHECK_MIN:
        return found >= wanted;
    case TGI_CHECK_MAX:
        return found <= wanted;
    default:
        return isfinite(found) != 0;
    }
}

static void describe(struct subject *s, uint32_t tile, uint64_t number, double found, double wanted, uint64_t n_bad)
{
    static const char *const relation[] = {"expected", "expected", "expected at least", "expected at most"};
    char where[400], want[TGI_UNITS_SIZE], have[TGI_UNITS_SIZE];
    tgi_format_exact(wanted, want, sizeof want);
    tgi_format_exact(found, have, sizeof have);
    tgi_results_format_element(s->b, tile, number / s->n_parts, where, sizeof where);
    const char *part = s->n_parts == 1 ? "" : number % 2 ? ", imaginary part" : ", real part";
    if (s->check->kind == TGI_CHECK_FINITE)
        say(s, "%s%s: expected a finite number, found %g; %" PRIu64 " are not finite", where, part, found,
            n_bad);
    else if (s->check->kind == TGI_CHECK_CLOSE)
        say(s, "%s%s: expected %s, found %s, off by %.3g with %.3g allowed; %" PRIu64 " differ", where,
            part, want, have, fabs(found - wanted), s->check->atol + s->check->rtol * fabs(wanted), n_bad);
    else
        say(s, "%s%s: %s %s, found %s; %" PRIu64 " %s", where, part, relation[s->check->kind], want, have, n_bad,
            s->check->kind == TGI_CHECK_EQUALS ? "differ" : "fail");
}

static void praise(struct subject *s, uint64_t n)
{
    const struct tgi_check *c = s->check;
    const char *all = n == 1 ? "its element" : "all elements";
    char bound[TGI_UNITS_SIZE] = "";
    if (c->kind == TGI_CHECK_MIN || c->kind == TGI_CHECK_MAX)
        tgi_format_exact(c->values[0], bound, sizeof bound);
    switch (c->kind) {
    case TGI_CHECK_EQUALS:
        say(s, "%s: %s as expected (%" PRIu64 ")", s->b->name, all, n);
        break;
    case TGI_CHECK_CLOSE:
        say(s, "%s: %s close to the expected (%" PRIu64 ", rtol %g, atol %g)", s->b->name, all, n, c->rtol,
            c->atol);
        break;
    case TGI_CHECK_MIN:
        say(s, "%s: %s at least %s (%" PRIu64 ")", s->b->name, all, bound, n);
        break;
    case TGI_CHECK_MAX:
        say(s, "%s: %s at most %s (%" PRIu64 ")", s->b->name, all, bound, n);
        break;
    default:
        say(s, "%s: %s finite (%" PRIu64 ")", s->b->name, all, n);
    }
}

static int check_elements(struct subject *s, bool *passed_p, struct tg_error *err)
{
    struct expected e = {.n = 0};
    uint64_t n_bad = 0, n_all = 0, bad_number = 0, numbers = s->b->tile_elems * s->n_parts;
    uint32_t bad_tile = 0;
    double bad_found = 0, bad_wanted = 0;
    bool is_finite = s->check->kind == TGI_CHECK_FINITE,
         is_ordered = s->check->kind == TGI_CHECK_MIN || s->check->kind == TGI_CHECK_MAX;
    if (is_ordered && s->n_parts == 2)
        return tgi_error(err, TG_E_DTYPE_UNSUPPORTED, "\"%s\" holds complex numbers, which have no order",
                         s->b->name);
    int rc = is_finite ? 0 : expect(s, &e, err);
    for (uint32_t t = s->first; t < s->end && rc == 0; t++) {
        void *data;
        rc = read_tile(s, t, &data, err);
        if (!data)
            continue;
        n_all += s->b->tile_elems;
        for (uint64_t i = 0; i < numbers; i++) {
            double wanted = is_finite ? 0 : expected_at(s, &e, t, i);
            if (is_good(s->check, tgi_host_load(data, i, s->part), wanted))
                continue;
            if (n_bad++ == 0) {
                bad_tile = t;
                bad_number = i;
                bad_found = tgi_host_load(data, i, s->part);
                bad_wanted = wanted;
            }
        }
    }
    free(e.owned);
    if (rc)
        return rc;
    bool wants_good = !is_finite || s->check->is_expected;
    *passed_p = (n_bad == 0) == wants_good;
    if (n_bad && wants_good)
        describe(s, bad_tile, bad_number, bad_found, bad_wanted, n_bad);
    else if (n_bad)
        say(s, "%s: %" PRIu64 " elements are not finite, as expected", s->b->name, n_bad);
    else if (wants_good)
        praise(s, n_all);
    else
        say(s, "%s: expected some element that is not finite, all %" PRIu64 " are", s->b->name, n_all);
    return 0;
}

/* ---- Checksum -----------------------------------------------------------------------------*/

int tgi_verify_checksum(const struct tg_graph *graph, const struct tg_run *run, tg_buffer_id buffer, uint32_t tile,
                        uint64_t *sum_p, struct tg_error *err)
{
    const struct tgi_buffer *b = &graph->space->buffers[buffer];
    uint64_t sum = 0xcbf29ce484222325u;
    uint32_t first = tile == TG_NONE ? 0 : tile, end = tile == TG_NONE ? b->n_tiles : tile + 1;
    int rc = 0;
    for (uint32_t t = first; t < end && rc == 0; t++) {
        void *data;
        rc = tg_run_read_tile(run, buffer, t, &data, err);
        for (uint64_t i = 0; data && i < b->tile_bytes; i += 8) {
            uint64_t word = 0;
            memcpy(&word, (const char *)data + i, b->tile_bytes - i < 8 ? b->tile_bytes - i : 8);
            sum = (sum ^ word) * 0x100000001b3u;
        }
    }
    *sum_p = sum;
    return rc;
}

static int check_checksum(struct subject *s, bool *passed_p, struct tg_error *err)
{
    uint64_t sum;
    int rc = tgi_verify_checksum(s->graph, s->run, s->check->buffer, s->check->tile, &sum, err);
    if (rc)
        return rc;
    *passed_p = sum == s->check->checksum;
    if (*passed_p)
        say(s, "%s: checksum 0x%016" PRIx64, s->b->name, sum);
    else
        say(s, "%s: expected checksum 0x%016" PRIx64 ", found 0x%016" PRIx64, s->b->name, s->check->checksum,
            sum);
    return 0;
}

/* ---- Residuals ----------------------------------------------------------------------------*/

/* A square matrix of nt x nt tiles of n x n; vectors have nt * n numbers. */
struct matrix {
    uint64_t n, nt;
    double *tile;    /* one, in double */
    void *generated; /* one, in the buffer's type */
};

/* Which part of a tile counts. */
enum part { FULL, LOWER, UNIT_LOWER, UPPER };

static void bounds(enum part part, uint64_t n, uint64_t row, uint64_t *begin_p, uint64_t *end_p)
{
    *begin_p = part == UPPER ? row : 0;
    *end_p = part == LOWER ? row + 1 : part == UNIT_LOWER ? row : n;
}

/* Four sums at once: a single one would wait for each addition. */
static double dot(const double *a, const double *b, uint64_t n)
{
    double sum[4] = {0, 0, 0, 0};
    uint64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* y += T x */
static void multiply(const double *tile, uint64_t n, enum part part, const double *x, double *y)
{
    for (uint64_t r = 0; r < n; r++) {
        uint64_t begin, end;
        bounds(part, n, r, &begin, &end);
        y[r] += dot(tile + r * n + begin, x + begin, end - begin) + (part == UNIT_LOWER ? x[r] : 0);
    }
}

/* y += T^T x */
static void multiply_transposed(const double *tile, uint64_t n, enum part part, const double *x, double *y)
{
    for (uint64_t r = 0; r < n; r++) {
        uint64_t begin, end;
        bounds(part, n, r, &begin, &end);
        for (uint64_t c = begin; c < end; c++)
            y[c] += tile[r * n + c] * x[r];
    }
}

static void to_double(const struct subject *s, const void *data, struct matrix *m)
{
    if (s->b->dtype == TG_F64)
        memcpy(m->tile, data, m->n * m->n * sizeof *m->tile);
    else
        for (uint64_t i = 0; i < m->n * m->n; i++)
            m->tile[i] = tgi_host_load(data, i, s->b->dtype);
}

static int load_original(const struct subject *s, struct matrix *m, uint64_t i, uint64_t j,
                         struct tg_error *err)
{
    int rc = tgi_store_generate(s->b, (uint32_t)(i * m->nt + j), m->generated, err);
    if (rc == 0)
        to_double(s, m->generated, m);
    return rc;
}

static int load_factor(const struct subject *s, struct matrix *m, uint64_t i, uint64_t j,
                       struct tg_error *err)
{
    void *data;
    int rc = read_tile(s, (uint32_t)(i * m->nt + j), &data, err);
    if (rc)
        return rc;
    if (!data)
        return tgi_error(err, TG_E_TILE_ABSENT,
                         "residual of \"%s\": tile [%" PRIu64 ",%" PRIu64 "] is absent", s->b->name, i, j);
    to_double(s, data, m);
    return 0;
}

/* y = A x and z = L (L^T x); t is scratch, all but x zero at first. */
static int probe_cholesky(const struct subject *s, struct matrix *m, const double *x, double *y, double *t,
                          double *z, struct tg_error *err)
{
    uint64_t n = m->n;
    int rc = 0;
    for (uint64_t i = 0; i < m->nt; i++)
        for (uint64_t j = 0; j <= i; j++) {
            rc = load_original(s, m, i, j, err);
            if (rc)
                return rc;
            multiply(m->tile, n, i == j ? LOWER : FULL, x + j * n, y + i * n);
            for (uint64_t r = 0; i == j && r < n; r++) /* the diagonal once only */
                y[i * n + r] -= m->tile[r * n + r] * x[i * n + r];
            multiply_transposed(m->tile, n, i == j ? LOWER : FULL, x + i * n, y + j * n);
            rc = load_factor(s, m, i, j, err);
            if (rc)
                return rc;
            multiply_transposed(m->tile, n, i == j ? LOWER : FULL, x + i * n, t + j * n);
        }
    for (uint64_t i = 0; i < m->nt && rc == 0; i++)
        for (uint64_t j = 0; j <= i && rc == 0; j++) {
            rc = load_factor(s, m, i, j, err);
            if (rc == 0)
                multiply(m->tile, n, i == j ? LOWER : FULL, t + j * n, z + i * n);
        }
    return rc;
}

/* y = A x and z = L (U x) */
static int probe_lu(const struct subject *s, struct matrix *m, const double *x, double *y, double *t,
                    double *z, struct tg_error *err)
{
    uint64_t n = m->n;
    int rc = 0;
    for (uint64_t i = 0; i < m->nt && rc == 0; i++)
        for (uint64_t j = 0; j < m->nt && rc == 0; j++) {
            rc = load_original(s, m, i, j, err);
            if (rc == 0)
                multiply(m->tile, n, FULL, x + j * n, y + i * n);
            if (rc == 0 && j >= i)
                rc = load_factor(s, m, i, j, err);
            if (rc == 0 && j >= i)
                multiply(m->tile, n, i == j ? UPPER : FULL, x + j * n, t + i * n);
        }
    for (uint64_t i = 0; i < m->nt && rc == 0; i++)
        for (uint64_t j = 0; j <= i && rc == 0; j++) {
            rc = load_factor(s, m, i, j, err);
            if (rc == 0)
                multiply(m->tile, n, i == j ? UNIT_LOWER : FULL, t + j * n, z + i * n);
        }
    return rc;
}

static int probe(const struct subject *s, struct matrix *m, bool is_lu, uint64_t seed, double *vectors,
                 double *residual_p, struct tg_error *err)
{
    uint64_t order = m->n * m->nt;
    double *x = vectors, *y = x + order, *t = y + order, *z = t + order, error = 0, size = 0;
    struct tgi_buffer random = {.name = "x",
                                .dtype = TG_F64,
                                .tile_elems = order,
                                .tile_bytes = order * sizeof *x,
                                .init = TG_INIT_RANDOM,
                                .init_seed = seed};
    int rc = tgi_store_generate(&random, 0, x, err);
    memset(y, 0, 3 * order * sizeof *y);
    if (rc == 0)
        rc = is_lu ? probe_lu(s, m, x, y, t, z, err) : probe_cholesky(s, m, x, y, t, z, err);
    for (uint64_t i = 0; i < order; i++) {
        error += (y[i] - z[i]) * (y[i] - z[i]);
        size += y[i] * y[i];
    }
    *residual_p = size > 0 ? sqrt(error / size) : sqrt(error);
    return rc;
}

static int check_matrix(const struct subject *s, struct matrix *m, struct tg_error *err)
{
    const struct tgi_buffer *b = s->b;
    bool is_grid = b->n_tile_dims == 2 && b->tiles[0] == b->tiles[1];
    if (s->check->tile != TG_NONE || b->n_dims != 2 || b->shape[0] != b->shape[1] ||
        !(is_grid || b->n_tiles == 1))
        return tgi_error(err, TG_E_SHAPE_MISMATCH,
                         "residual of \"%s\": it needs square tiles of 2 dimensions in a square grid",
                         b->name);
    if (b->dtype != TG_F64 && b->dtype != TG_F32 && b->dtype != TG_F16 && b->dtype != TG_BF16)
        return tgi_error(err, TG_E_DTYPE_UNSUPPORTED, "residual of \"%s\": not for %s", b->name,
                         tg_dtype_name(b->dtype));
    if (b->init == TG_INIT_NONE || b->host)
        return tgi_error(err, TG_E_UNINITIALISED,
                         "residual of \"%s\": without an init the original is not known", b->name);
    m->n = (uint64_t)b->shape[0];
    m->nt = is_grid ? (uint64_t)b->tiles[0] : 1;
    return 0;
}

static int check_residual(struct subject *s, bool *passed_p, struct tg_error *err)
{
    enum { N_PROBES = 2 };
    struct matrix m = {0};
    double worst = 0, limit = s->check->n_values ? s->check->values[0] : 0;
    const char *method = s->check->method ? s->check->method : "";
    bool is_lu = strcmp(method, "lu") == 0;
    if (!is_lu && strcmp(method, "cholesky") != 0)
        return tgi_error(err, TG_E_BAD_VALUE,
                         "residual of \"%s\": method \"%s\" is neither \"cholesky\" nor \"lu\"", s->b->name,
                         method);
    int rc = check_matrix(s, &m, err);
    if (rc)
        return rc;
    m.tile = malloc(m.n * m.n * sizeof *m.tile + 1);
    m.generated = malloc(s->b->tile_bytes + 1);
    double *vectors = calloc(4 * m.n * m.nt + 1, sizeof *vectors);
    if (!m.tile || !m.generated || !vectors)
        rc = tgi_error_memory(err, "computing a residual");
    for (uint64_t seed = 1; seed <= N_PROBES && rc == 0; seed++) {
        double residual;
        rc = probe(s, &m, is_lu, seed, vectors, &residual, err);
        if (!(residual <= worst)) /* a NaN stays */
            worst = residual;
    }
    free(m.tile);
    free(m.generated);
    free(vectors);
    if (rc)
        return rc;
    *passed_p = worst <= limit;
    say(s, "%s: %s residual %.3g, %s %.3g", s->b->name, method, worst,
        *passed_p ? "at most" : "expected at most", limit);
    return 0;
}

/* ---- All checks ---------------------------------------------------------------------------*/

static int evaluate(struct subject *s, bool *passed_p, struct tg_error *err)
{
    const struct tgi_check *c = s->check;
    if (c->buffer >= s->graph->space->n_buffers)
        return tgi_error(err, TG_E_UNKNOWN_BUFFER, "a check names buffer %u, which is not there", c->buffer);
    s->b = &s->graph->space->buffers[c->buffer];
    if (c->tile != TG_NONE && c->tile >= s->b->n_tiles)
        return tgi_error(err, TG_E_INDEX_RANGE, "a check names tile %u of \"%s\", which has %u", c->tile,
                         s->b->name, s->b->n_tiles);
    s->first = c->tile == TG_NONE ? 0 : c->tile;
    s->end = c->tile == TG_NONE ? s->b->n_tiles : c->tile + 1;
    s->n_parts = s->b->dtype == TG_C64 || s->b->dtype == TG_C128 ? 2 : 1;
    s->part = s->b->dtype == TG_C64 ? TG_F32 : s->b->dtype == TG_C128 ? TG_F64 : s->b->dtype;
    switch (c->kind) {
    case TGI_CHECK_RESIDUAL:
        return check_residual(s, passed_p, err);
    case TGI_CHECK_CHECKSUM:
        return check_checksum(s, passed_p, err);
    default:
        return check_elements(s, passed_p, err);
    }
}

int tgi_verify(const struct tg_graph *graph, const struct tg_run *run,
               void (*on_result)(void *user, const struct tgi_check *check, bool passed, const char *text),
               void *user, struct tg_error *err)
{
    int status = 0;
    for (uint32_t i = 0; i < graph->space->n_checks; i++) {
        struct subject s = {.graph = graph, .run = run, .check = &graph->space->checks[i]};
        struct tg_error why = {0};
        bool passed = false;
        int rc = evaluate(&s, &passed, &why);
        const char *text = rc ? why.text : s.text;
        if (on_result)
            on_result(user, s.check, rc == 0 && passed, text);
        if (status == 0 && (rc || !passed)) {
            status = rc ? rc : TG_E_VERIFY;
            tgi_error(err, status, "%s", text);
        }
    }
    return status;
}
