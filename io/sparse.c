/* See sparse.h.  Entries are sorted by counting: by column first and then by row, which keeps the order of columns. */
#include "io/sparse.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

static int at_line(const char *path, uint32_t line, struct tg_error *err)
{
    tgi_error_set_position(err, path, line, 0);
    return TG_E_IMPORT_SYNTAX;
}

/* Into `to`, by row or by column; at has n + 1 counters. */
static void sort(const struct tgi_sparse_entry *from, struct tgi_sparse_entry *to, uint64_t n_entries, uint64_t *at, uint32_t n,
                 bool is_by_row)
{
    memset(at, 0, ((size_t)n + 1) * sizeof *at);
    for (uint64_t e = 0; e < n_entries; e++)
        at[(is_by_row ? from[e].row : from[e].col) + 1]++;
    for (uint32_t i = 0; i < n; i++)
        at[i + 1] += at[i];
    for (uint64_t e = 0; e < n_entries; e++)
        to[at[is_by_row ? from[e].row : from[e].col]++] = from[e];
    memmove(at + 1, at, (size_t)n * sizeof *at); /* each has come to where the next begins */
    at[0] = 0;
}

/* Entries are sorted. */
static int check(const struct tgi_sparse_entry *entries, const uint64_t *at, uint32_t n, const char *path, struct tg_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint64_t e = at[i] + 1; e < at[i + 1]; e++)
            if (entries[e].col == entries[e - 1].col) {
                tgi_error(err, TG_E_IMPORT_SYNTAX, "row %u, column %u is there already (line %u)", i + 1, entries[e].col + 1,
                          entries[e - 1].line);
                return at_line(path, entries[e].line, err);
            }
        if (at[i + 1] == at[i] || entries[at[i + 1] - 1].col != i) {
            tgi_error(err, TG_E_IMPORT_SYNTAX, "row %u has no diagonal", i + 1);
            return at_line(path, 0, err);
        }
        if (entries[at[i + 1] - 1].value == 0) {
            tgi_error(err, TG_E_IMPORT_SYNTAX, "the diagonal of row %u is zero", i + 1);
            return at_line(path, entries[at[i + 1] - 1].line, err);
        }
    }
    return 0;
}

int tgi_sparse_create(uint32_t n, struct tgi_sparse_entry *entries, uint64_t n_entries, const char *path, struct tgi_sparse *l_p,
                      struct tg_error *err)
{
    struct tgi_sparse l = {.n = n, .n_entries = n_entries};
    struct tgi_sparse_entry *other = malloc((n_entries + 1) * sizeof *other);
    l.at = malloc(((size_t)n + 1) * sizeof *l.at);
    l.cols = malloc((n_entries + 1) * sizeof *l.cols);
    l.vals = malloc((n_entries + 1) * sizeof *l.vals);
    int rc = other && l.at && l.cols && l.vals ? 0 : tgi_error_memory(err, "sorting a matrix");
    if (rc == 0) {
        sort(entries, other, n_entries, l.at, n, false);
        sort(other, entries, n_entries, l.at, n, true);
        rc = check(entries, l.at, n, path, err);
    }
    for (uint64_t e = 0; rc == 0 && e < n_entries; e++) {
        l.cols[e] = entries[e].col;
        l.vals[e] = entries[e].value;
    }
    free(other);
    if (rc)
        tgi_sparse_fini(&l);
    else
        *l_p = l;
    return rc;
}

void tgi_sparse_fini(struct tgi_sparse *l)
{
    free(l->at);
    free(l->cols);
    free(l->vals);
    *l = (struct tgi_sparse){0};
}

void tgi_sparse_solve(const struct tgi_sparse *l, const double *b, double *x)
{
    for (uint32_t i = 0; i < l->n; i++) {
        double sum = b[i];
        uint64_t e = l->at[i];
        for (; l->cols[e] < i; e++)
            sum -= l->vals[e] * x[l->cols[e]];
        x[i] = sum / l->vals[e];
    }
}

void tgi_sparse_multiply(const struct tgi_sparse *l, const double *x, double *b)
{
    for (uint32_t i = 0; i < l->n; i++) {
        b[i] = 0;
        for (uint64_t e = l->at[i]; e < l->at[i + 1]; e++)
            b[i] += l->vals[e] * x[l->cols[e]];
    }
}
