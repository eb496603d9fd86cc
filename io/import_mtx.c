/* Matrix Market files: a line that says what follows, comments, a line of sizes, a line for each entry.
 *
 * Nothing is allocated before the sizes are known to be possible: an entry takes at least four bytes of the file, and every row
 * needs one. */
#include "io/sparse.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "graph/error.h"
#include "io/source.h"

enum { LEAST_BYTES = 4 }; /* of an entry: "1 1\n" */
#define MAX_FILE ((size_t)1 << 30)

struct mtx {
    const char *path;
    const char *p, *line_begin, *end;
    uint32_t line; /* from 1 */
    bool is_part, is_symmetric, is_pattern, is_integer;
    uint32_t symmetry_column; /* of that word in the first line */
    uint32_t n;
    uint64_t n_entries, n_kept;
    struct tgi_sparse_entry *entries;
    struct tg_error *err;
};

static int TG_PRINTF(3, 4) complain(const struct mtx *m, const char *where, const char *format, ...)
{
    char text[sizeof m->err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tgi_error(m->err, TG_E_IMPORT_SYNTAX, "%s", text);
    tgi_error_set_position(m->err, m->path, m->line, (uint32_t)(where - m->line_begin) + 1);
    return TG_E_IMPORT_SYNTAX;
}

/* ---- Words --------------------------------------------------------------------------------*/

static void skip_blanks(struct mtx *m) { m->p += strspn(m->p, " \t\r"); }

static void next_line(struct mtx *m)
{
    m->p += strcspn(m->p, "\n");
    m->p += *m->p == '\n';
    m->line_begin = m->p;
    m->line++;
}

/* To the first word of the next line that has one; false at the end. */
static bool find_line(struct mtx *m, bool are_comments)
{
    for (skip_blanks(m); m->p < m->end; next_line(m), skip_blanks(m))
        if (*m->p != '\n' && !(are_comments && *m->p == '%'))
            return true;
    return false;
}

/* A word of this line: its beginning and length; length 0: the line has ended. */
static const char *word(struct mtx *m, int *length_p)
{
    skip_blanks(m);
    const char *begin = m->p;
    *length_p = (int)strcspn(begin, " \t\r\n");
    m->p += *length_p;
    return begin;
}

static int shown(int length) { return length < 40 ? length : 40; }

static int whole(struct mtx *m, const char *what, uint64_t most, uint64_t *value_p)
{
    int length;
    const char *text = word(m, &length);
    uint64_t value = 0;
    if (length == 0)
        return complain(m, text, "%s is missing", what);
    for (int i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]))
            return complain(m, text, "%s should be a whole number, not \"%.*s\"", what, shown(length), text);
        if (value > (UINT64_MAX - 9) / 10)
            return complain(m, text, "%s is too large", what);
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (value > most)
        return complain(m, text, "%s is %llu, and may be at most %llu", what, (unsigned long long)value, (unsigned long long)most);
    *value_p = value;
    return 0;
}

static int number(struct mtx *m, double *value_p)
{
    char copy[64], *end;
    int length;
    const char *text = word(m, &length);
    if (length == 0)
        return complain(m, text, "the value is missing");
    bool is_number = length < (int)sizeof copy && (int)strspn(text, m->is_integer ? "+-0123456789" : "+-.0123456789eE") >= length;
    if (is_number) {
        memcpy(copy, text, (size_t)length);
        copy[length] = '\0';
        *value_p = strtod(copy, &end);
        is_number = *end == '\0' && isfinite(*value_p);
    }
    return is_number ? 0
                     : complain(m, text, "the value should be a finite %s, not \"%.*s\"", m->is_integer ? "integer" : "number",
                                shown(length), text);
}

static int end_of_line(struct mtx *m)
{
    int length;
    const char *text = word(m, &length);
    return length ? complain(m, text, "\"%.*s\" is too much in this line", shown(length), text) : 0;
}

/* ---- The file -----------------------------------------------------------------------------*/

static bool is_word(const char *text, int length, const char *other)
{
    return (size_t)length == strlen(other) && strncasecmp(text, other, (size_t)length) == 0;
}

static int expect(struct mtx *m, const char *wanted)
{
    int length;
    const char *text = word(m, &length);
    return is_word(text, length, wanted) ? 0
                                         : complain(m, text, "\"%s\" should come here, not \"%.*s\"", wanted, shown(length), text);
}

static int read_banner(struct mtx *m)
{
    int length;
    const char *text;
    int rc = expect(m, "%%MatrixMarket");
    if (rc || (rc = expect(m, "matrix")) != 0 || (rc = expect(m, "coordinate")) != 0)
        return rc;
    text = word(m, &length);
    m->is_pattern = is_word(text, length, "pattern");
    m->is_integer = is_word(text, length, "integer");
    if (!m->is_pattern && !m->is_integer && !is_word(text, length, "real"))
        return complain(m, text, "entries may be real, integer or pattern, not \"%.*s\"", shown(length), text);
    text = word(m, &length);
    m->is_symmetric = is_word(text, length, "symmetric");
    m->symmetry_column = (uint32_t)(text - m->line_begin) + 1;
    if (!m->is_symmetric && !is_word(text, length, "general"))
        return complain(m, text, "a matrix may be general or symmetric, not \"%.*s\"", shown(length), text);
    rc = end_of_line(m);
    next_line(m);
    return rc;
}

static int read_sizes(struct mtx *m)
{
    uint64_t n_rows, n_cols, most = (uint64_t)(m->end - m->p) / LEAST_BYTES + 1;
    if (!find_line(m, true))
        return complain(m, m->p, "the file ends where the sizes should come");
    const char *begin = m->p, *at;
    int rc = whole(m, "the number of rows", INT32_MAX, &n_rows);
    if (rc || (rc = whole(m, "the number of columns", INT32_MAX, &n_cols)) != 0)
        return rc;
    skip_blanks(m);
    at = m->p;
    if ((rc = whole(m, "the number of entries", UINT64_MAX, &m->n_entries)) != 0 || (rc = end_of_line(m)) != 0)
        return rc;
    if (n_rows != n_cols || n_rows == 0)
        return complain(m, begin, "a matrix of %llu by %llu is not triangular", (unsigned long long)n_rows, (unsigned long long)n_cols);
    if (m->n_entries > most)
        return complain(m, at, "%llu entries are announced, and the file is too short for them", (unsigned long long)m->n_entries);
    if (m->n_entries < n_rows)
        return complain(m, at, "%llu entries are too few for the diagonals of %llu rows", (unsigned long long)m->n_entries,
                        (unsigned long long)n_rows);
    m->n = (uint32_t)n_rows;
    next_line(m);
    return 0;
}

static int read_entry(struct mtx *m)
{
    const char *begin = m->p;
    uint64_t row, col;
    double value = 1;
    int rc = whole(m, "the row", m->n, &row);
    if (rc || (rc = whole(m, "the column", m->n, &col)) != 0 || (!m->is_pattern && (rc = number(m, &value)) != 0) ||
        (rc = end_of_line(m)) != 0)
        return rc;
    if (row == 0 || col == 0)
        return complain(m, begin, "rows and columns count from 1");
    if (col > row && m->is_symmetric)
        return complain(m, begin, "row %llu, column %llu is above the diagonal of a symmetric matrix", (unsigned long long)row,
                        (unsigned long long)col);
    if (col > row && !m->is_part)
        return complain(m, begin, "row %llu, column %llu is above the diagonal; --lower takes the lower triangle alone",
                        (unsigned long long)row, (unsigned long long)col);
    if (col < row && m->is_symmetric && !m->is_part) {
        m->line = 1;
        return complain(m, m->line_begin + m->symmetry_column - 1,
                        "a symmetric matrix is not triangular; --lower takes its lower triangle");
    }
    if (col <= row)
        m->entries[m->n_kept++] = (struct tgi_sparse_entry){(uint32_t)row - 1, (uint32_t)col - 1, m->line, value};
    next_line(m);
    return 0;
}

static int read_entries(struct mtx *m)
{
    m->entries = malloc(m->n_entries * sizeof *m->entries);
    if (!m->entries)
        return tgi_error_memory(m->err, "reading a matrix");
    int rc = 0;
    for (uint64_t e = 0; rc == 0 && e < m->n_entries; e++)
        rc = find_line(m, false)
                 ? read_entry(m)
                 : complain(m, m->p, "the file ends after %llu of %llu entries", (unsigned long long)e, (unsigned long long)m->n_entries);
    if (rc == 0 && find_line(m, false))
        rc = complain(m, m->p, "more entries come than the %llu that were announced", (unsigned long long)m->n_entries);
    return rc;
}

int tgi_mtx_read(const char *path, const char *text, size_t size, bool is_part, struct tgi_sparse *l_p, struct tg_error *err)
{
    struct tg_error ignored;
    struct mtx m = {.path = path, .p = text, .line_begin = text, .end = text + size, .line = 1, .is_part = is_part,
                    .err = err ? err : &ignored};
    const char *nul = memchr(text, '\0', size);
    if (nul) {
        for (const char *p = text; p < nul; p++)
            if (*p == '\n')
                m.line++, m.line_begin = p + 1;
        return complain(&m, nul, "there is a NUL byte in it");
    }
    int rc = read_banner(&m);
    if (rc == 0)
        rc = read_sizes(&m);
    if (rc == 0)
        rc = read_entries(&m);
    if (rc == 0)
        rc = tgi_sparse_create(m.n, m.entries, m.n_kept, path, l_p, m.err);
    free(m.entries);
    return rc;
}

int tgi_mtx_read_file(const char *path, bool is_part, struct tgi_sparse *l_p, struct tg_error *err)
{
    struct tgi_source source;
    int rc = tgi_source_read(&source, path, MAX_FILE, err);
    if (rc)
        return rc;
    rc = tgi_mtx_read(path, source.text, source.size, is_part, l_p, err);
    tgi_source_fini(&source);
    return rc;
}
