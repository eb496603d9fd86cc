/* A sparse triangular system as a graph of fine tasks: groups of consecutive rows, each a task of the kernel trsv_rows, which waits
 * for those groups whose unknowns its rows name. */
#ifndef TGI_IO_TRSV_GRAPH_H
#define TGI_IO_TRSV_GRAPH_H

#include "io/sparse.h"

#define TGI_TRSV_MAX_ROWS 65536 /* of a task; the kernel has 16 bits for a place in a tile */

struct tgi_trsv_options {
    uint32_t rows_per_task; /* 0: a power of two up to 32, by an estimate */
    bool is_lines;          /* JSON Lines */
};

struct tgi_trsv_counts {
    uint32_t rows_per_task, n_groups, n_tasks;
    uint32_t n_levels; /* the longest path, in groups */
};

/* Writes the graph to `path` ("dir/l.json"), and beside it what it reads, l.vals.npy, l.cols.npy, l.start.npy, l.b.npy, and
 * l.expected.npy, the solution found row after row, with which the graph compares its own.  b has l->n elements.
 * TG_E_UNSUPPORTED if the solution overflows, TG_E_WRITE. */
int tgi_trsv_write(const struct tgi_sparse *l, const double *b, const struct tgi_trsv_options *options, const char *path,
                   struct tgi_trsv_counts *counts_p, struct tg_error *err);

#endif
