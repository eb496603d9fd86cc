/* The header is a Python dictionary; the few forms that NumPy writes and accepts are read by a
 * scanner that knows only them. */
#include "io/npy.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/path.h"
#include "mem/hostops.h"

enum { MAX_HEADER_READ = 1 << 16 };
static const char magic[] = "\x93NUMPY";

/* ---- Reading bytes ------------------------------------------------------------------------*/

static int read_at(int fd, const char *name, void *to, size_t bytes, uint64_t offset, struct tg_error *err)
{
    char *p = to;
    while (bytes) {
        ssize_t n = pread(fd, p, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tgi_error_errno(err, TG_E_READ, errno, "cannot read \"%s\"", name);
        if (n == 0)
            return tgi_error(err, TG_E_DATA_SIZE, "\"%s\" ends at byte %" PRIu64 ", %zu more are needed",
                             name, offset, bytes);
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* ---- The header ---------------------------------------------------------------------------*/

struct scanner {
    const char *at, *end, *name;
    struct tg_error *err;
};

static int complain(const struct scanner *s, const char *format, ...) TG_PRINTF(2, 3);
static int complain(const struct scanner *s, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return tgi_error(s->err, TG_E_NPY, "\"%s\" is not a usable .npy file: %s", s->name, text);
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->end && isspace((unsigned char)*s->at))
        s->at++;
}

static bool take(struct scanner *s, char c)
{
    skip_blanks(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scanner *s, const char *word)
{
    size_t length = strlen(word);
    skip_blanks(s);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return false;
    s->at += length;
    return true;
}

/* A quoted string without escapes, cut at size. */
static bool take_string(struct scanner *s, char *text, size_t size)
{
    skip_blanks(s);
    if (s->at == s->end || (*s->at != '\'' && *s->at != '"'))
        return false;
    char quote = *s->at++;
    const char *close = memchr(s->at, quote, (size_t)(s->end - s->at));
    if (!close)
        return false;
    snprintf(text, size, "%.*s", (int)(close - s->at < 200 ? close - s->at : 200), s->at);
    s->at = close + 1;
    return true;
}

static int take_descr(struct scanner *s, struct tgi_npy *npy)
{
    static const struct {
        const char *code;
        enum tg_dtype dtype;
    } types[] = {{"f2", TG_F16}, {"f4", TG_F32}, {"f8", TG_F64},   {"i1", TG_I8},  {"i2", TG_I16},
                 {"i4", TG_I32}, {"i8", TG_I64}, {"u1", TG_U8},    {"u2", TG_U16}, {"u4", TG_U32},
                 {"u8", TG_U64}, {"c8", TG_C64}, {"c16", TG_C128}, {"b1", TG_U8},  {"V2", TG_BF16}};
    char descr[64];
    skip_blanks(s);
    if (s->at < s->end && *s->at == '[')
        return complain(s, "it holds records, not numbers");
    if (!take_string(s, descr, sizeof descr))
        return complain(s, "malformed \"descr\"");
    const char *code = descr + (strchr("<>=|", descr[0]) && descr[0] != '\0');
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(code, types[i].code) == 0) {
            npy->dtype = types[i].dtype;
            npy->is_swapped = descr[0] == '>' && npy->dtype != TG_BF16;
            return 0;
        }
    return complain(s, "no data type matches \"%s\"", descr);
}

static int take_shape(struct scanner *s, struct tgi_npy *npy)
{
    if (!take(s, '('))
        return complain(s, "malformed \"shape\"");
    npy->n_dims = 0;
    while (!take(s, ')')) {
        if (npy->n_dims && !take(s, ','))
            return complain(s, "malformed \"shape\"");
        if (npy->n_dims && take(s, ')'))
            break;
        if (npy->n_dims == TGI_NPY_MAX_DIMS)
            return complain(s, "more than %d dimensions", TGI_NPY_MAX_DIMS);
        int64_t extent = 0;
        skip_blanks(s);
        if (s->at == s->end || !isdigit((unsigned char)*s->at))
            return complain(s, "malformed \"shape\"");
        for (; s->at < s->end && isdigit((unsigned char)*s->at); s->at++)
            if (__builtin_mul_overflow(extent, 10, &extent) ||
                __builtin_add_overflow(extent, *s->at - '0', &extent))
                return complain(s, "its size overflows");
        s->at += s->at < s->end && *s->at == 'L'; /* Python 2 */
        npy->shape[npy->n_dims++] = extent;
    }
    return 0;
}

static int measure(const struct scanner *s, struct tgi_npy *npy)
{
    npy->n_elems = 1;
    for (uint32_t d = 0; d < npy->n_dims; d++)
        if (__builtin_mul_overflow(npy->n_elems, (uint64_t)npy->shape[d], &npy->n_elems))
            return complain(s, "its size overflows");
    if (__builtin_mul_overflow(npy->n_elems, tg_dtype_size(npy->dtype), &npy->data_bytes) ||
        npy->data_bytes > INT64_MAX)
        return complain(s, "its size overflows");
    return 0;
}

static int scan_header(struct scanner *s, struct tgi_npy *npy)
{
    bool has_descr = false, has_order = false, has_shape = false, is_fortran = false;
    int rc = 0;
    if (!take(s, '{'))
        return complain(s, "its header is no dictionary");
    while (!take(s, '}')) {
        char key[32];
        if (!take_string(s, key, sizeof key) || !take(s, ':'))
            return complain(s, "malformed header");
        bool *seen = strcmp(key, "descr") == 0           ? &has_descr
                     : strcmp(key, "fortran_order") == 0 ? &has_order
                     : strcmp(key, "shape") == 0         ? &has_shape
                                                         : NULL;
        if (!seen || *seen)
            return complain(s, "%s key \"%s\" in its header", seen ? "second" : "unknown", key);
        *seen = true;
        if (seen == &has_descr)
            rc = take_descr(s, npy);
        else if (seen == &has_shape)
            rc = take_shape(s, npy);
        else if (take_word(s, "True"))
            is_fortran = true;
        else if (!take_word(s, "False"))
            rc = complain(s, "malformed \"fortran_order\"");
        if (rc)
            return rc;
        if (!take(s, ',')) {
            if (!take(s, '}'))
                return complain(s, "malformed header");
            break;
        }
    }
    skip_blanks(s);
    if (s->at != s->end)
        return complain(s, "text after the dictionary in its header");
    if (!has_descr || !has_order || !has_shape)
        return complain(s, "no \"%s\" in its header",
                        !has_descr   ? "descr"
                        : !has_order ? "fortran_order"
                                     : "shape");
    if (is_fortran && npy->n_dims > 1)
        return complain(s, "it is in Fortran order; save it with numpy.ascontiguousarray()");
    return measure(s, npy);
}

int tgi_npy_read_header(int fd, const char *name, uint64_t offset, struct tgi_npy *npy_p,
                        struct tg_error *err)
{
    unsigned char start[12];
    struct tgi_npy npy = {.n_dims = 0};
    struct scanner s = {NULL, NULL, name, err};
    struct stat info;
    if (fstat(fd, &info) != 0)
        return tgi_error_errno(err, TG_E_READ, errno, "cannot read \"%s\"", name);
    uint64_t size = (uint64_t)info.st_size;
    if (offset > size || size - offset < sizeof start)
        return complain(&s, "it is shorter than any header");
    int rc = read_at(fd, name, start, sizeof start, offset, err);
    if (rc)
        return rc;
    if (memcmp(start, magic, 6) != 0)
        return complain(&s, "it does not begin with the magic number");
    if (start[6] < 1 || start[6] > 3)
        return complain(&s, "version %d.%d is unknown", start[6], start[7]);
    bool is_short = start[6] == 1;
    uint64_t length = start[8] | (uint64_t)start[9] << 8, before = is_short ? 10 : 12;
    if (!is_short)
        length |= (uint64_t)start[10] << 16 | (uint64_t)start[11] << 24;
    if (length > MAX_HEADER_READ)
        return complain(&s, "its header has %" PRIu64 " bytes, at most %d are read", length, MAX_HEADER_READ);
    if (size - offset - before < length)
        return complain(&s, "it ends within its header");
    char *text = malloc(length + 1);
    if (!text)
        return tgi_error_memory(err, "reading a .npy file");
    rc = read_at(fd, name, text, length, offset + before, err);
    if (rc == 0) {
        s.at = text;
        s.end = text + length;
        rc = scan_header(&s, &npy);
    }
    free(text);
    if (rc)
        return rc;
    npy.data_offset = offset + before + length;
    if (size - npy.data_offset < npy.data_bytes)
        return tgi_error(err, TG_E_DATA_SIZE,
                         "\"%s\" holds %" PRIu64 " bytes of data, its header promises %" PRIu64, name,
                         size - npy.data_offset, npy.data_bytes);
    *npy_p = npy;
    return 0;
}

/* ---- The data -----------------------------------------------------------------------------*/

static void swap_bytes(unsigned char *p, uint64_t n_words, size_t word)
{
    for (uint64_t i = 0; i < n_words; i++, p += word)
        for (size_t k = 0; k < word / 2; k++) {
            unsigned char byte = p[k];
            p[k] = p[word - 1 - k];
            p[word - 1 - k] = byte;
        }
}

int tgi_npy_read_elems(int fd, const char *name, const struct tgi_npy *npy, uint64_t first, uint64_t n_elems,
                       void *data, struct tg_error *err)
{
    size_t size = tg_dtype_size(npy->dtype);
    int rc = read_at(fd, name, data, n_elems * size, npy->data_offset + first * size, err);
    if (rc == 0 && npy->is_swapped) {
        bool is_complex = npy->dtype == TG_C64 || npy->dtype == TG_C128;
        swap_bytes(data, is_complex ? 2 * n_elems : n_elems, is_complex ? size / 2 : size);
    }
    return rc;
}

size_t tgi_npy_format_header(enum tg_dtype dtype, uint32_t n_dims, const int64_t *shape,
                             char header[TGI_NPY_MAX_HEADER])
{
    static const char *const codes[TG_N_DTYPES] = {"<f2", "<u2", "<f4", "<f8", "|i1", "<i2", "<i4",
                                                   "<i8", "|u1", "<u2", "<u4", "<u8", "<c8", "<c16"};
    size_t n = 10;
    n += (size_t)sprintf(header + n, "{'descr': '%s', 'fortran_order': False, 'shape': (", codes[dtype]);
    for (uint32_t d = 0; d < n_dims; d++)
        n += (size_t)sprintf(header + n, "%s%" PRId64 "%s", d ? ", " : "", shape[d], n_dims == 1 ? "," : "");
    n += (size_t)sprintf(header + n, "), }");
    while ((n + 1) % 64)
        header[n++] = ' ';
    header[n++] = '\n';
    memcpy(header, magic, 6);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((n - 10) & 0xff);
    header[9] = (char)((n - 10) >> 8);
    return n;
}

int tgi_npy_read_doubles(const char *folder, const char *path, struct tgi_npy *npy_p, double **values_p,
                         struct tg_error *err)
{
    int fd;
    struct tgi_npy npy;
    int rc = tgi_path_open_beneath(folder, path, O_RDONLY, &fd, err);
    if (rc)
        return rc;
    rc = tgi_npy_read_header(fd, path, 0, &npy, err);
    void *data = NULL;
    double *values = NULL;
    if (rc == 0) {
        /* The header's sizes were held against the file's: no more than a few times the file. */
        bool is_complex = npy.dtype == TG_C64 || npy.dtype == TG_C128;
        uint64_t n = npy.n_elems * (is_complex ? 2 : 1);
        enum tg_dtype part = npy.dtype == TG_C64 ? TG_F32 : npy.dtype == TG_C128 ? TG_F64 : npy.dtype;
        data = malloc(npy.data_bytes + 1);
        values = calloc(n + 1, sizeof *values);
        if (!data || !values)
            rc = tgi_error_memory(err, "reading a .npy file");
        else
            rc = tgi_npy_read_elems(fd, path, &npy, 0, npy.n_elems, data, err);
        for (uint64_t i = 0; rc == 0 && i < n; i++)
            values[i] = tgi_host_load(data, i, part);
    }
    free(data);
    close(fd);
    if (rc) {
        free(values);
        return rc;
    }
    *npy_p = npy;
    *values_p = values;
    return 0;
}

/* ---- Contents of a buffer -----------------------------------------------------------------*/

struct tgi_file_init {
    char *folder, *path; /* folder NULL: any path */
    uint64_t offset;
    struct tg_buffer_spec spec; /* only type and extents */
    uint64_t tile_elems, n_tiles;
};

static bool is_array_file(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".npy") == 0;
}

static size_t format_shape(const struct tgi_file_init *f, bool is_whole, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t d = 0; is_whole && d < f->spec.n_tile_dims && used < size; d++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%" PRId64, used > 1 ? "," : "", f->spec.tiles[d]);
    for (uint32_t d = 0; d < f->spec.n_dims && used < size; d++)
        used +=
            (size_t)snprintf(text + used, size - used, "%s%" PRId64, used > 1 ? "," : "", f->spec.shape[d]);
    return used < size ? used + (size_t)snprintf(text + used, size - used, "]") : used;
}

static bool is_tile_shape(const struct tgi_file_init *f, const struct tgi_npy *npy, uint32_t skip)
{
    if (npy->n_dims - skip != f->spec.n_dims)
        return false;
    for (uint32_t d = 0; d < f->spec.n_dims; d++)
        if (npy->shape[skip + d] != f->spec.shape[d])
            return false;
    return true;
}

static bool is_whole_shape(const struct tgi_file_init *f, const struct tgi_npy *npy)
{
    uint32_t n = f->spec.n_tile_dims;
    if (npy->n_dims < n || !is_tile_shape(f, npy, n))
        return false;
    for (uint32_t d = 0; d < n; d++)
        if (npy->shape[d] != f->spec.tiles[d])
            return false;
    return true;
}

static int match_array(const struct tgi_file_init *f, int fd, struct tgi_npy *npy, bool *is_whole_p,
                       struct tg_error *err)
{
    int rc = tgi_npy_read_header(fd, f->path, f->offset, npy, err);
    if (rc)
        return rc;
    bool is_alike = npy->dtype == f->spec.dtype || (f->spec.dtype == TG_BF16 && npy->dtype == TG_U16);
    if (!is_alike)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "\"%s\" holds %s, the buffer %s", f->path,
                         tg_dtype_name(npy->dtype), tg_dtype_name(f->spec.dtype));
    *is_whole_p = is_whole_shape(f, npy);
    if (!*is_whole_p && !is_tile_shape(f, npy, 0)) {
        struct tgi_file_init there = {.spec.n_dims = npy->n_dims < TG_MAX_DIMS ? npy->n_dims : TG_MAX_DIMS};
        char is[256], whole[256], tile[256];
        memcpy(there.spec.shape, npy->shape, sizeof there.spec.shape);
        format_shape(&there, false, is, sizeof is);
        format_shape(f, true, whole, sizeof whole);
        format_shape(f, false, tile, sizeof tile);
        if (f->n_tiles == 1)
            return tgi_error(err, TG_E_SHAPE_MISMATCH, "\"%s\" has shape %s, the buffer %s", f->path, is,
                             tile);
        return tgi_error(err, TG_E_SHAPE_MISMATCH,
                         "\"%s\" has shape %s; the whole buffer would be %s, one tile %s", f->path, is, whole,
                         tile);
    }
    return 0;
}

static int match_raw(const struct tgi_file_init *f, int fd, struct tgi_npy *npy, bool *is_whole_p,
                     struct tg_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return tgi_error_errno(err, TG_E_READ, errno, "cannot read \"%s\"", f->path);
    uint64_t size = (uint64_t)info.st_size, tile = f->tile_elems * tg_dtype_size(f->spec.dtype);
    uint64_t left = f->offset <= size ? size - f->offset : 0;
    *npy = (struct tgi_npy){.dtype = f->spec.dtype, .data_offset = f->offset};
    *is_whole_p = left == tile * f->n_tiles;
    if (f->offset > size || (!*is_whole_p && left != tile))
        return tgi_error(err, TG_E_DATA_SIZE,
                         "\"%s\" has %" PRIu64 " bytes after offset %" PRIu64
                         "; the whole buffer has %" PRIu64 ", one tile %" PRIu64,
                         f->path, left, f->offset, tile * f->n_tiles, tile);
    return 0;
}

static int open_matched(const struct tgi_file_init *f, int *fd_p, struct tgi_npy *npy, bool *is_whole_p,
                        struct tg_error *err)
{
    int fd;
    int rc = tgi_path_open_beneath(f->folder, f->path, O_RDONLY, &fd, err);
    if (rc)
        return rc;
    rc = is_array_file(f->path) ? match_array(f, fd, npy, is_whole_p, err)
                                : match_raw(f, fd, npy, is_whole_p, err);
    if (rc)
        close(fd);
    else
        *fd_p = fd;
    return rc;
}

static bool multiply(const int64_t *extents, uint32_t n, uint64_t *product_p)
{
    *product_p = 1;
    for (uint32_t d = 0; d < n; d++)
        if (extents[d] < 0 || __builtin_mul_overflow(*product_p, (uint64_t)extents[d], product_p))
            return false;
    return true;
}

int tgi_file_init_create(const char *folder, const char *path, uint64_t offset,
                         const struct tg_buffer_spec *spec, struct tgi_file_init **init_p,
                         struct tg_error *err)
{
    struct tgi_npy npy;
    bool is_whole;
    int fd;
    uint64_t all;
    if (spec->n_dims > TG_MAX_DIMS || spec->n_tile_dims > TG_MAX_DIMS)
        return tgi_error(err, TG_E_INVALID, "more than %d dimensions", TG_MAX_DIMS);
    struct tgi_file_init *f = calloc(1, sizeof *f);
    if (!f)
        return tgi_error_memory(err, "init from a file");
    f->offset = offset;
    f->spec = *spec;
    f->path = strdup(path);
    f->folder = folder ? strdup(folder) : NULL;
    int rc = 0;
    if (!f->path || (folder && !f->folder))
        rc = tgi_error_memory(err, "init from a file");
    else if (!multiply(spec->shape, spec->n_dims, &f->tile_elems) ||
             !multiply(spec->tiles, spec->n_tile_dims, &f->n_tiles) ||
             __builtin_mul_overflow(f->tile_elems, f->n_tiles, &all) || all > INT64_MAX / 16)
        rc = tgi_error(err, TG_E_SIZE_OVERFLOW, "the size of the buffer overflows");
    else
        rc = open_matched(f, &fd, &npy, &is_whole, err);
    if (rc) {
        tgi_file_init_destroy(f);
        return rc;
    }
    close(fd);
    *init_p = f;
    return 0;
}

void tgi_file_init_destroy(void *init)
{
    struct tgi_file_init *f = init;
    if (!f)
        return;
    free(f->folder);
    free(f->path);
    free(f);
}

int tgi_file_init_tile(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *err)
{
    const struct tgi_file_init *f = user;
    struct tgi_npy npy;
    bool is_whole;
    int fd;
    if (size_bytes != f->tile_elems * tg_dtype_size(f->spec.dtype) || tile >= f->n_tiles)
        return tgi_error(err, TG_E_INVALID, "\"%s\" was meant for a buffer of another shape", f->path);
    int rc = open_matched(f, &fd, &npy, &is_whole, err); /* it may have changed since */
    if (rc)
        return rc;
    rc = tgi_npy_read_elems(fd, f->path, &npy, is_whole ? tile * f->tile_elems : 0, f->tile_elems, data, err);
    close(fd);
    return rc;
}
