/* A sparse lower triangular matrix, by rows. */
#ifndef TGI_IO_SPARSE_H
#define TGI_IO_SPARSE_H

#include "graph/tgraph.h"

struct tgi_sparse {
    uint32_t n;         /* rows, and columns */
    uint64_t n_entries; /* at least n */
    uint64_t *at;       /* n + 1: those of row i are at[i] .. at[i+1] - 1 */
    uint32_t *cols;     /* ascending within a row; the last one of row i is i */
    double *vals;       /* the diagonal is not 0 */
};

/* An entry as files have them, from 0, and the line it stands in. */
struct tgi_sparse_entry {
    uint32_t row, col;
    uint32_t line;
    double value;
};

/* From entries in any order, none of them above the diagonal, of which they are rearranged.  Two in one place, or a row whose
 * diagonal is zero or missing, are TG_E_IMPORT_SYNTAX at `path` and the line, where there is one. */
int tgi_sparse_create(uint32_t n, struct tgi_sparse_entry *entries, uint64_t n_entries, const char *path, struct tgi_sparse *l_p,
                      struct tg_error *err);
void tgi_sparse_fini(struct tgi_sparse *l);

/* x with L x = b, row after row. */
void tgi_sparse_solve(const struct tgi_sparse *l, const double *b, double *x);
/* b = L x. */
void tgi_sparse_multiply(const struct tgi_sparse *l, const double *x, double *b);

/* Reads the text of a Matrix Market file ("matrix coordinate real|integer|pattern general|symmetric"), terminated.  Entries of a
 * pattern are 1.  With is_part the lower triangle of a matrix is taken and the rest left out; without, the matrix must be lower
 * triangular.  `path` is for messages.  TG_E_IMPORT_SYNTAX at line and column. */
int tgi_mtx_read(const char *path, const char *text, size_t size, bool is_part, struct tgi_sparse *l_p, struct tg_error *err);
/* The file itself, of at most 1 GiB; "-": standard input. */
int tgi_mtx_read_file(const char *path, bool is_part, struct tgi_sparse *l_p, struct tg_error *err);

#endif
