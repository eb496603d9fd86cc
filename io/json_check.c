/* "checks": what results must look like. */
#include "io/json_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum { C_BUFFER, C_EQUALS, C_CLOSE, C_MIN, C_MAX, C_FINITE, C_CHECKSUM, C_RESIDUAL, C_META, N_C };
static const char *const check_keys[N_C] = {"buffer", "equals",   "close",    "min", "max",
                                            "finite", "checksum", "residual", "meta"};

/* numpy's defaults */
#define DEFAULT_RTOL 1e-5
#define DEFAULT_ATOL 1e-8

static int add(struct tgi_reader *r, uint32_t node, const struct tgi_check *check)
{
    struct tg_error err;
    return tgi_graph_add_check(r->graph, check, &err) == 0 ? 0 : tgi_report_error(r, node, &err);
}

static uint64_t n_elements(const struct tgi_reader *r, const struct tgi_check *check)
{
    const struct tgi_buffer *b = &r->graph->space->buffers[check->buffer];
    return check->tile == TG_NONE ? b->tile_elems * b->n_present : b->tile_elems;
}

/* One number, one per element, or {"file": "x.npy"}. */
static int read_expected(struct tgi_reader *r, uint32_t node, const char *what, struct tgi_check *check)
{
    enum tgi_tape_type type = tgi_node_type(r, node);
    uint32_t n = type == TGI_TAPE_ARRAY ? tgi_tape_count(&r->tape, node) : 1;
    double *values = tgi_json_pool_alloc(&r->scratch, ((size_t)n + 1) * sizeof *values);
    if (values == NULL)
        return tgi_report_memory(r);
    if (type != TGI_TAPE_ARRAY) {
        int rc = tgi_take_double(r, node, what, values);
        if (rc != 0)
            return rc;
    } else {
        if (n != 1 && n != n_elements(r, check))
            return tgi_report(r, node, NULL, TG_E_SHAPE_MISMATCH,
                              "%s has %u numbers, the buffer %llu elements", what, n,
                              (unsigned long long)n_elements(r, check));
        uint32_t item = node + 1;
        for (uint32_t k = 0; k < n; k++, item = tgi_tape_next(&r->tape, item)) {
            int rc = tgi_take_double(r, item, what, &values[k]);
            if (rc != 0)
                return rc;
        }
    }
    check->values = values;
    check->n_values = n;
    return 0;
}

static int read_file_name(struct tgi_reader *r, uint32_t node, struct tgi_check *check)
{
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "\"file\"");
    if (rc == 0)
        check->file = tgi_node_string(r, node);
    return rc;
}

static int read_equals(struct tgi_reader *r, uint32_t node, struct tgi_check check)
{
    static const char *const keys[] = {"file"};
    uint32_t v[1];
    int rc;
    check.kind = TGI_CHECK_EQUALS;
    if (tgi_node_type(r, node) == TGI_TAPE_OBJECT) {
        rc = tgi_object_take(r, node, "\"equals\"", keys, 1, v);
        if (rc == 0 && v[0] == TGI_TAPE_ABSENT)
            rc = tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                            "\"equals\" needs a number, an array of numbers or \"file\"");
        if (rc == 0)
            rc = read_file_name(r, v[0], &check);
    } else {
        rc = read_expected(r, node, "\"equals\"", &check);
    }
    return rc != 0 ? rc : add(r, node, &check);
}

static int read_tolerance(struct tgi_reader *r, uint32_t node, const char *what, double *value_p)
{
    if (node == TGI_TAPE_ABSENT)
        return 0;
    int rc = tgi_take_double(r, node, what, value_p);
    if (rc == 0 && !(*value_p >= 0))
        rc = tgi_report(r, node, NULL, TG_E_BAD_VALUE, "%s cannot be negative", what);
    return rc;
}

static int read_close(struct tgi_reader *r, uint32_t node, struct tgi_check check)
{
    static const char *const keys[] = {"value", "file", "rtol", "atol"};
    uint32_t v[4];
    int rc;
    check.kind = TGI_CHECK_CLOSE;
    check.rtol = DEFAULT_RTOL;
    check.atol = DEFAULT_ATOL;
    if (tgi_node_type(r, node) != TGI_TAPE_OBJECT) {
        rc = read_expected(r, node, "\"close\"", &check);
        return rc != 0 ? rc : add(r, node, &check);
    }
    if ((rc = tgi_object_take(r, node, "\"close\"", keys, 4, v)) != 0)
        return rc;
    if ((v[0] == TGI_TAPE_ABSENT) == (v[1] == TGI_TAPE_ABSENT))
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "\"close\" needs either \"value\" or \"file\"");
    rc = v[0] != TGI_TAPE_ABSENT ? read_expected(r, v[0], "\"value\"", &check)
                                 : read_file_name(r, v[1], &check);
    if (rc == 0)
        rc = read_tolerance(r, v[2], "\"rtol\"", &check.rtol);
    if (rc == 0)
        rc = read_tolerance(r, v[3], "\"atol\"", &check.atol);
    return rc != 0 ? rc : add(r, node, &check);
}

static int read_bound(struct tgi_reader *r, uint32_t node, const char *what, enum tgi_check_kind kind,
                      struct tgi_check check)
{
    double value;
    int rc = tgi_take_double(r, node, what, &value);
    if (rc != 0)
        return rc;
    check.kind = kind;
    check.values = &value;
    check.n_values = 1;
    return add(r, node, &check);
}

/* A 64-bit number: as a JSON number if it fits, else as a string of hexadecimal digits. */
static int read_checksum(struct tgi_reader *r, uint32_t node, struct tgi_check check)
{
    int64_t value;
    check.kind = TGI_CHECK_CHECKSUM;
    if (tgi_node_type(r, node) == TGI_TAPE_INT && tgi_tape_int(&r->tape, node, &value)) {
        check.checksum = (uint64_t)value;
        return add(r, node, &check);
    }
    if (tgi_node_type(r, node) == TGI_TAPE_STRING) {
        const char *text = tgi_node_string(r, node);
        char *end;
        errno = 0;
        check.checksum = strtoull(text, &end, 16);
        if (errno == 0 && end != text && *end == '\0' && *text != '-' && *text != '+' && *text != ' ')
            return add(r, node, &check);
    }
    return tgi_report(r, node, NULL, TG_E_BAD_VALUE,
                      "\"checksum\" must be 64 bits, as a number or a string such as \"0x1234abcd\"");
}

static int read_residual(struct tgi_reader *r, uint32_t node, struct tgi_check check)
{
    static const char *const keys[] = {"method", "max"}, *const methods[] = {"cholesky", "lu"};
    uint32_t v[2], method;
    double most = 0;
    int rc = tgi_object_take(r, node, "\"residual\"", keys, 2, v);
    if (rc != 0)
        return rc;
    if (v[0] == TGI_TAPE_ABSENT || v[1] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "\"residual\" needs \"method\" and \"max\"");
    if ((rc = tgi_take_word(r, v[0], "\"method\"", methods, 2, &method)) != 0 ||
        (rc = tgi_take_double(r, v[1], "\"max\"", &most)) != 0)
        return rc;
    check.kind = TGI_CHECK_RESIDUAL;
    check.method = methods[method];
    check.values = &most;
    check.n_values = 1;
    return add(r, node, &check);
}

static int read_finite(struct tgi_reader *r, uint32_t node, struct tgi_check check)
{
    int rc = tgi_take_bool(r, node, "\"finite\"", &check.is_expected);
    check.kind = TGI_CHECK_FINITE;
    return rc != 0 ? rc : add(r, node, &check);
}

static int read_conditions(struct tgi_reader *r, const uint32_t *v, struct tgi_check check)
{
    int rc = 0;
    if (v[C_EQUALS] != TGI_TAPE_ABSENT)
        rc = read_equals(r, v[C_EQUALS], check);
    if (rc == 0 && v[C_CLOSE] != TGI_TAPE_ABSENT)
        rc = read_close(r, v[C_CLOSE], check);
    if (rc == 0 && v[C_MIN] != TGI_TAPE_ABSENT)
        rc = read_bound(r, v[C_MIN], "\"min\"", TGI_CHECK_MIN, check);
    if (rc == 0 && v[C_MAX] != TGI_TAPE_ABSENT)
        rc = read_bound(r, v[C_MAX], "\"max\"", TGI_CHECK_MAX, check);
    if (rc == 0 && v[C_FINITE] != TGI_TAPE_ABSENT)
        rc = read_finite(r, v[C_FINITE], check);
    if (rc == 0 && v[C_CHECKSUM] != TGI_TAPE_ABSENT)
        rc = read_checksum(r, v[C_CHECKSUM], check);
    if (rc == 0 && v[C_RESIDUAL] != TGI_TAPE_ABSENT)
        rc = read_residual(r, v[C_RESIDUAL], check);
    return rc;
}

int tgi_read_check(struct tgi_reader *r, uint32_t node)
{
    uint32_t v[N_C];
    struct tgi_reference ref;
    struct tg_arg arg;
    bool has_condition = false;
    int rc = tgi_object_take(r, node, "a check", check_keys, N_C, v);
    if (rc != 0)
        return rc;
    if (v[C_BUFFER] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "a check needs \"buffer\"");
    for (uint32_t k = C_EQUALS; k <= C_RESIDUAL; k++)
        has_condition |= v[k] != TGI_TAPE_ABSENT;
    if (!has_condition)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                          "a check needs one of equals, close, min, max, finite, checksum, residual");
    if ((rc = tgi_expect(r, v[C_BUFFER], TGI_TAPE_STRING, "\"buffer\" of a check")) != 0)
        return rc;
    /* The bare name of a tiled buffer means all of it here. */
    struct tgi_check check = {.tile = TG_NONE, .site = tgi_reader_site(r, node)};
    const char *name = tgi_node_string(r, v[C_BUFFER]);
    if (strpbrk(name, "[@") == NULL) {
        check.buffer = tgi_name_index_find(&r->buffers, name, strlen(name));
        if (check.buffer < TGI_NAME_BROKEN)
            return read_conditions(r, v, check);
    }
    if ((rc = tgi_reference_compile(r, &r->scratch, v[C_BUFFER], &ref)) != 0 ||
        (rc = tgi_reference_eval(r, &ref, &arg)) != 0)
        return rc;
    if (arg.kind == TG_ARG_ROWS)
        return tgi_report(r, v[C_BUFFER], NULL, TG_E_BAD_REFERENCE,
                          "a check looks at a tile or a buffer, not at rows");
    check.buffer = arg.buffer;
    check.tile = arg.kind == TG_ARG_ALL ? TG_NONE : arg.tile;
    return read_conditions(r, v, check);
}

int tgi_read_checks(struct tgi_reader *r, uint32_t node)
{
    int result = tgi_expect(r, node, TGI_TAPE_ARRAY, "\"checks\"");
    if (result != 0)
        return result;
    uint32_t item = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0 && !tgi_reader_is_done(r); left--) {
        int rc = tgi_read_check(r, item);
        result = rc != 0 ? rc : result;
        tgi_json_pool_reset(&r->scratch);
        item = tgi_tape_next(&r->tape, item);
    }
    return result;
}
