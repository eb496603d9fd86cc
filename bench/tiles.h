/* The tiled Cholesky factorisation that bench/cholesky.c and its peer run: the matrix and the order of
 * tasks.  Both call tgraph's own tile kernels, so that only the scheduling differs. */
#ifndef BENCH_TILES_H
#define BENCH_TILES_H

#include <stdint.h>

enum bench_kernel { BENCH_POTRF, BENCH_TRSM, BENCH_SYRK, BENCH_GEMM, BENCH_N_KERNELS };
extern const char *const bench_kernel_names[BENCH_N_KERNELS]; /* of built-in kernels */
enum { BENCH_MAX_OPERANDS = 3 };

/* A task: a kernel on tiles, given as linear indices; the last one is written. */
struct bench_step {
    enum bench_kernel kernel;
    uint32_t n_tiles;
    uint32_t tiles[BENCH_MAX_OPERANDS];
};
/* All steps in program order; the caller frees them. */
struct bench_step *bench_cholesky_steps(uint32_t nt, uint32_t *n_steps_p);
/* Fills tile (i, j) of a positive definite matrix of nt x nt tiles of b x b elements. */
void bench_tile_fill(double *tile, uint32_t i, uint32_t j, uint32_t nt, uint32_t b);
/* Operations of the whole factorisation of an n x n matrix. */
double bench_cholesky_flops(uint32_t n);

#endif
