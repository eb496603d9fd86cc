/* Tiled Cholesky factorisation with kernels of our own, verified: A = L L^T, lower triangle, NT x NT
 * tiles of B x B doubles.  The loops below are the sequential algorithm; which tasks may run at once
 * follows from the tiles they read and write.
 *
 *     cc -O2 cholesky.c -o cholesky $(pkg-config --cflags --libs tgraph) -lm && ./cholesky 8 64 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tgraph.h>

/* ---- Kernels: n is the side of a tile, tiles are row-major --------------------------------*/

static int potrf(void **args, const struct tg_context *ctx)
{
    int64_t n = *(int64_t *)args[0];
    double *a = *(double **)args[1];
    for (int64_t j = 0; j < n; j++) {
        for (int64_t k = 0; k < j; k++)
            a[j * n + j] -= a[j * n + k] * a[j * n + k];
        if (!(a[j * n + j] > 0)) {
            tg_context_explain(ctx, "not positive definite at row %ld", (long)j);
            return 1;
        }
        a[j * n + j] = sqrt(a[j * n + j]);
        for (int64_t i = j + 1; i < n; i++) {
            for (int64_t k = 0; k < j; k++)
                a[i * n + j] -= a[i * n + k] * a[j * n + k];
            a[i * n + j] /= a[j * n + j];
        }
    }
    return 0;
}

/* B := B L^-T */
static int trsm(void **args, const struct tg_context *ctx)
{
    int64_t n = *(int64_t *)args[0];
    const double *l = *(const double **)args[1];
    double *b = *(double **)args[2];
    (void)ctx;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t k = 0; k < j; k++)
                b[i * n + j] -= b[i * n + k] * l[j * n + k];
            b[i * n + j] /= l[j * n + j];
        }
    return 0;
}

/* C := C - A B^T */
static int gemm(void **args, const struct tg_context *ctx)
{
    int64_t n = *(int64_t *)args[0];
    const double *a = *(const double **)args[1], *b = *(const double **)args[2];
    double *c = *(double **)args[3];
    (void)ctx;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += a[i * n + k] * b[j * n + k];
            c[i * n + j] -= sum;
        }
    return 0;
}

/* ---- The matrix: symmetric, and positive definite because its diagonal dominates ----------*/

static double element(int64_t i, int64_t j, int64_t n)
{
    return i == j ? 2.0 * (double)n : 1.0 / (1.0 + (double)llabs(i - j));
}

static int init_tile(void *user, uint32_t tile, void *data, size_t size_bytes, struct tg_error *err)
{
    const int64_t *size = user; /* NT, B */
    int64_t row = tile / size[0] * size[1], column = tile % size[0] * size[1];
    (void)size_bytes, (void)err;
    for (int64_t i = 0; i < size[1]; i++)
        for (int64_t j = 0; j < size[1]; j++)
            ((double *)data)[i * size[1] + j] = element(row + i, column + j, size[0] * size[1]);
    return 0;
}

/* The largest difference between L L^T and A. */
static double residual(const struct tg_run *run, tg_buffer_id a, int64_t nt, int64_t b)
{
    double worst = 0;
    for (int64_t i = 0; i < nt * b; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t k = 0; k <= j; k++) {
                const double *left = tg_run_tile(run, a, (uint32_t)(i / b * nt + k / b));
                const double *right = tg_run_tile(run, a, (uint32_t)(j / b * nt + k / b));
                sum += left[i % b * b + k % b] * right[j % b * b + k % b];
            }
            worst = fmax(worst, fabs(sum - element(i, j, nt * b)));
        }
    return worst;
}

/* ---- The graph ----------------------------------------------------------------------------*/

static struct tg_error err;

static void must(int status)
{
    if (status) {
        fprintf(stderr, "cholesky: %s\n", err.text);
        exit(1);
    }
}

static tg_kernel_id add_kernel(struct tg_graph *graph, const char *name, tg_cpu_fn fn, uint32_t n_inputs)
{
    struct tg_param params[4] = {{"n", TG_I64, TG_SCALAR, TG_SUM}};
    for (uint32_t i = 1; i <= n_inputs; i++)
        params[i] = (struct tg_param){i == 1 ? "a" : "b", TG_F64, TG_IN, TG_SUM};
    params[n_inputs + 1] = (struct tg_param){"c", TG_F64, TG_INOUT, TG_SUM};
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    spec.name = name;
    spec.n_params = n_inputs + 2;
    spec.params = params;
    spec.cpu = fn;
    tg_kernel_id kernel;
    must(tg_graph_add_kernel(graph, &spec, &kernel, &err));
    return kernel;
}

static void add_task(struct tg_graph *graph, tg_kernel_id kernel, int64_t n, uint32_t n_tiles,
                     const struct tg_arg *tiles)
{
    struct tg_arg args[4] = {tg_arg_int(n)};
    for (uint32_t i = 0; i < n_tiles; i++)
        args[i + 1] = tiles[i];
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = kernel;
    spec.n_args = n_tiles + 1;
    spec.args = args;
    must(tg_graph_add_task(graph, &spec, NULL, &err));
}

static void add_tasks(struct tg_graph *graph, tg_buffer_id a, int64_t nt, int64_t b)
{
#define TILE(i, j) tg_arg_tile(a, (uint32_t)((i)*nt + (j)))
    tg_kernel_id potrf_id = add_kernel(graph, "potrf", potrf, 0),
                 trsm_id = add_kernel(graph, "trsm", trsm, 1), gemm_id = add_kernel(graph, "gemm", gemm, 2);
    for (int64_t k = 0; k < nt; k++) {
        add_task(graph, potrf_id, b, 1, (struct tg_arg[]){TILE(k, k)});
        for (int64_t m = k + 1; m < nt; m++)
            add_task(graph, trsm_id, b, 2, (struct tg_arg[]){TILE(k, k), TILE(m, k)});
        for (int64_t m = k + 1; m < nt; m++)
            for (int64_t n = k + 1; n <= m; n++)
                add_task(graph, gemm_id, b, 3, (struct tg_arg[]){TILE(m, k), TILE(n, k), TILE(m, n)});
    }
#undef TILE
}

int main(int argc, char **argv)
{
    int64_t size[2] = {argc > 1 ? atoll(argv[1]) : 8, argc > 2 ? atoll(argv[2]) : 64};
    if (size[0] < 1 || size[0] > 256 || size[1] < 1 || size[1] > 4096) {
        fprintf(stderr, "usage: cholesky [TILES [TILE-SIZE]]\n");
        return 2;
    }
    struct tg_graph *graph;
    must(tg_graph_create("cholesky", &graph, &err));
    struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
    buffer.name = "A";
    buffer.dtype = TG_F64;
    buffer.n_dims = buffer.n_tile_dims = 2;
    buffer.shape[0] = buffer.shape[1] = size[1];
    buffer.tiles[0] = buffer.tiles[1] = size[0];
    buffer.init = TG_INIT_CALL;
    buffer.init_call = init_tile;
    buffer.init_user = size;
    tg_buffer_id a;
    must(tg_graph_add_buffer(graph, &buffer, &a, &err));
    add_tasks(graph, a, size[0], size[1]);
    must(tg_graph_freeze(graph, &err));

    struct tg_runtime *runtime;
    struct tg_run *run;
    must(tg_runtime_create(NULL, &runtime, &err));
    must(tg_run_create(runtime, graph, NULL, &run, &err));
    must(tg_run_start(run, &err));
    must(tg_run_wait(run, &err));

    struct tg_graph_stats graph_stats;
    struct tg_run_stats stats;
    must(tg_graph_stats(graph, &graph_stats, &err));
    must(tg_run_stats(run, &stats, &err));
    double worst = residual(run, a, size[0], size[1]);
    printf("%lu tasks, %lu edges, %u workers, %.3f ms, largest error %.1e\n",
           (unsigned long)graph_stats.n_tasks, (unsigned long)graph_stats.n_edges, stats.n_workers,
           (double)stats.makespan_ns / 1e6, worst);

    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    tg_graph_destroy(graph);
    return worst < 1e-9 * (double)(size[0] * size[1]) ? 0 : 1;
}
