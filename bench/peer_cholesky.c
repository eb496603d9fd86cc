/* The tiled Cholesky factorisation of bench/cholesky.c as OpenMP tasks with depend clauses, calling the
 * same tile kernels on the same matrix. */
#include <omp.h>
#include <stdlib.h>

#include "bench/sample.h"
#include "bench/tiles.h"
#include "graph/builtin.h"

static tg_cpu_fn kernels[BENCH_N_KERNELS];

/* Arguments as the built-in kernels want them: n, the tiles, then the optional ones. */
static void call(const struct bench_step *step, double *const *tiles, int64_t b)
{
    double alpha = -1, beta = 1;
    double *operand[BENCH_MAX_OPERANDS];
    void *args[8] = {&b};
    uint32_t n = 1;
    for (uint32_t k = 0; k < step->n_tiles; k++) {
        operand[k] = tiles[step->tiles[k]];
        args[n++] = &operand[k];
    }
    if (step->kernel == BENCH_TRSM || step->kernel == BENCH_SYRK)
        args[n++] = &b;
    if (step->kernel == BENCH_GEMM)
        args[n++] = &b, args[n++] = &b;
    args[n++] = &alpha;
    args[n++] = &beta;
    if (kernels[step->kernel](args, NULL))
        bench_die("%s failed", bench_kernel_names[step->kernel]);
}

static void create_tasks(const struct bench_step *steps, uint32_t n_steps, double *const *tiles, int64_t b)
{
    for (uint32_t i = 0; i < n_steps; i++) {
        const struct bench_step *s = &steps[i];
        const uint32_t *at = s->tiles;
        if (s->n_tiles == 1) {
#pragma omp task depend(inout : tiles[at[0]][0]) firstprivate(s, tiles, b)
            call(s, tiles, b);
        } else if (s->n_tiles == 2) {
#pragma omp task depend(in : tiles[at[0]][0]) depend(inout : tiles[at[1]][0]) firstprivate(s, tiles, b)
            call(s, tiles, b);
        } else {
#pragma omp task depend(in                                                            \
                        : tiles[at[0]][0], tiles[at[1]][0]) depend(inout              \
                                                                   : tiles[at[2]][0]) \
    firstprivate(s, tiles, b)
            call(s, tiles, b);
        }
    }
}

static void measure(const char *what, uint32_t nt, uint32_t b, const struct bench_options *o)
{
    uint32_t n_steps, n_tiles = nt * nt;
    struct bench_step *steps = bench_cholesky_steps(nt, &n_steps);
    double *matrix = aligned_alloc(4096, (size_t)n_tiles * b * b * sizeof *matrix);
    double **tiles = malloc(n_tiles * sizeof *tiles);
    if (!matrix || !tiles)
        bench_die("no memory for %u tiles", n_tiles);
    struct bench_sample sample = {0};
    for (uint32_t run = 0; run <= o->n_runs; run++) {
        for (uint32_t t = 0; t < n_tiles; t++) {
            tiles[t] = matrix + (size_t)t * b * b;
            bench_tile_fill(tiles[t], t / nt, t % nt, nt, b);
        }
        uint64_t begin = bench_now_ns();
#pragma omp parallel num_threads(o->n_threads)
#pragma omp single
        create_tasks(steps, n_steps, tiles, b);
        if (run > 0)
            bench_sample_add(&sample, bench_now_ns() - begin);
    }
    bench_report(what, BENCH_SYSTEM, o->n_threads, "us/task",
                 (double)bench_sample_median(&sample) / 1e3 / n_steps);
    bench_report(what, BENCH_SYSTEM, o->n_threads, "GFLOP/s",
                 bench_cholesky_flops(nt * b) / (double)bench_sample_best(&sample));
    bench_report(what, BENCH_SYSTEM, o->n_threads, "last element", matrix[(size_t)n_tiles * b * b - 1]);
    free(tiles);
    free(matrix);
    free(steps);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    for (int i = 0; i < BENCH_N_KERNELS; i++)
        kernels[i] = tgi_builtin_find(bench_kernel_names[i])->cpu[TG_F64];
    if (!o.tile || o.tile == 256)
        measure("cholesky 4096/256", 16, 256, &o);
    if (!o.tile || o.tile == 64)
        measure("cholesky 2048/64", 32, 64, &o);
    if (!o.tile || o.tile == 32)
        measure("cholesky 2048/32", 64, 32, &o);
    return 0;
}
