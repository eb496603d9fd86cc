#include "bench/tiles.h"

#include <stdlib.h>

#include "bench/sample.h"

const char *const bench_kernel_names[BENCH_N_KERNELS] = {"potrf_lower", "trsm_rlt", "syrk_lower", "gemm_nt"};

struct bench_step *bench_cholesky_steps(uint32_t nt, uint32_t *n_steps_p)
{
    size_t n = nt, count = n + n * (n - 1) + n * (n - 1) * (n - 2) / 6;
    struct bench_step *steps = malloc(count * sizeof *steps);
    if (!steps)
        bench_die("no memory for %zu steps", count);
    uint32_t at = 0;
    for (uint32_t k = 0; k < nt; k++) {
        steps[at++] = (struct bench_step){BENCH_POTRF, 1, {k * nt + k}};
        for (uint32_t m = k + 1; m < nt; m++)
            steps[at++] = (struct bench_step){BENCH_TRSM, 2, {k * nt + k, m * nt + k}};
        for (uint32_t m = k + 1; m < nt; m++) {
            steps[at++] = (struct bench_step){BENCH_SYRK, 2, {m * nt + k, m * nt + m}};
            for (uint32_t j = k + 1; j < m; j++)
                steps[at++] = (struct bench_step){BENCH_GEMM, 3, {m * nt + k, j * nt + k, m * nt + j}};
        }
    }
    *n_steps_p = at;
    return steps;
}

void bench_tile_fill(double *tile, uint32_t i, uint32_t j, uint32_t nt, uint32_t b)
{
    for (uint32_t r = 0; r < b; r++)
        for (uint32_t c = 0; c < b; c++) {
            int64_t row = (int64_t)i * b + r, column = (int64_t)j * b + c;
            tile[(size_t)r * b + c] =
                row == column ? 2.0 * nt * b : 1.0 / (1.0 + (double)llabs(row - column));
        }
}

double bench_cholesky_flops(uint32_t n) { return (double)n * n * n / 3; }
