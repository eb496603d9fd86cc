/* The dense kernels, in every instruction set and with a BLAS, against a plain reference and for sizes
 * around the blocks they work in. */
#include "tests/kernel_call.h"

#include <pthread.h>

#include "kernels/blas.h"
#include "kernels/dense.h"

/* Element (i, j) of op(a), a having `ld` columns. */
static double at(const void *a, enum tg_dtype t, int64_t ld, bool is_t, int64_t i, int64_t j)
{
    return get(a, is_t ? j * ld + i : i * ld + j, t);
}

static const int64_t shapes3[][3] = {
    {0, 0, 0},     {0, 4, 4},    {4, 0, 4},     {4, 4, 0},     {1, 1, 1},
    {2, 3, 4},     {5, 7, 9},    {8, 16, 8},    {16, 32, 7},   {17, 33, 65},
    {31, 15, 100}, {64, 64, 64}, {7, 100, 129}, {300, 5, 260}, {70, 70, 131},
};
#define N_SHAPES3 (sizeof(shapes3) / sizeof(shapes3[0]))

/* What a sum of k terms whose magnitudes add up to `size` may be off by. */
static double rounding(double size, int64_t k, enum tg_dtype t)
{
    return (8 + 2 * sqrt((double)k)) * size * epsilon(t);
}

/* Every element of a small result is checked, some of each row of a large one. */
static int64_t stride(int64_t n_products)
{
    return n_products > 10000000 ? 1 + (int64_t)(random_bits() % 40) : 1;
}

static void check_gemm(const char *name, enum tg_dtype t, int64_t m, int64_t n, int64_t k, double alpha,
                       double beta)
{
    bool is_a_t = strcmp(name, "gemm_tn") == 0, is_b_t = strcmp(name, "gemm_nt") == 0;
    void *a = tile(m * k, t), *b = tile(k * n, t), *c = tile(m * n, t), *old = copy_of(c, m * n, t);
    if (beta == 0)
        for (int64_t i = 0; i < m * n; i++)
            put(c, i, t, NAN); /* must not matter */
    struct call call = call_of(name, t);
    set(&call, "n", (double)n), give(&call, "a", a), give(&call, "b", b), give(&call, "c", c);
    if (m != n)
        set(&call, "m", (double)m);
    if (k != n)
        set(&call, "k", (double)k);
    if (alpha != -1)
        set(&call, "alpha", alpha);
    if (beta != 1)
        set(&call, "beta", beta);
    assert_int_equal(run(&call), 0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j += stride(m * n * k)) {
            double sum = 0, size = 1;
            for (int64_t p = 0; p < k; p++) {
                double term = at(a, t, is_a_t ? m : k, is_a_t, i, p) * at(b, t, is_b_t ? k : n, is_b_t, p, j);
                sum += term;
                size += fabs(term);
            }
            double want = (beta == 0 ? 0 : beta * get(old, i * n + j, t)) + alpha * sum;
            assert_close(get(c, i * n + j, t), want, rounding(size, k, t), name, i * n + j);
        }
    drop(a, m * k, t), drop(b, k * n, t), drop(c, m * n, t), free(old);
}

static void check_all_gemms(void)
{
    static const char *const names[] = {"gemm_nn", "gemm_nt", "gemm_tn"};
    for (int k = 0; k < 3; k++)
        EACH_TYPE (t, floats)
            for (size_t s = 0; s < N_SHAPES3; s++) {
                check_gemm(names[k], t, shapes3[s][0], shapes3[s][1], shapes3[s][2], -1, 1);
                check_gemm(names[k], t, shapes3[s][0], shapes3[s][1], shapes3[s][2], 0.5, 0);
                check_gemm(names[k], t, shapes3[s][0], shapes3[s][1], shapes3[s][2], 1, -2);
            }
}

static void check_syrk(enum tg_dtype t, int64_t n, int64_t k, double alpha, double beta)
{
    void *a = tile(n * k, t), *c = tile(n * n, t), *old = copy_of(c, n * n, t);
    struct call call = call_of("syrk_lower", t);
    set(&call, "n", (double)n), give(&call, "a", a), give(&call, "c", c);
    if (k != n)
        set(&call, "k", (double)k);
    if (alpha != -1)
        set(&call, "alpha", alpha);
    if (beta != 1)
        set(&call, "beta", beta);
    assert_int_equal(run(&call), 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j += stride(n * n * k)) {
            double sum = 0, size = 1;
            for (int64_t p = 0; p < k; p++) {
                sum += get(a, i * k + p, t) * get(a, j * k + p, t);
                size += fabs(get(a, i * k + p, t) * get(a, j * k + p, t));
            }
            double was = get(old, i * n + j, t),
                   want = j > i ? was : (beta == 0 ? 0 : beta * was) + alpha * sum;
            assert_close(get(c, i * n + j, t), want, j > i ? 0 : rounding(size, k, t), "syrk_lower",
                         i * n + j);
        }
    drop(a, n * k, t), drop(c, n * n, t), free(old);
}

static void check_all_syrks(void)
{
    EACH_TYPE (t, floats)
        for (size_t s = 0; s < N_SHAPES3; s++) {
            check_syrk(t, shapes3[s][1], shapes3[s][2], -1, 1);
            check_syrk(t, shapes3[s][1], shapes3[s][2], 0.5, 0);
            check_syrk(t, shapes3[s][0], shapes3[s][2], 2, 3);
        }
}

/* A triangle that is well conditioned, with NaN in the other one, which must not be read. */
static void *triangle(int64_t n, enum tg_dtype t, bool is_lower, bool is_unit)
{
    void *l = tile(n * n, t);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double v = (random_unit() - 0.5) / (double)n;
            if (i == j)
                v = is_unit ? NAN : 1 + random_unit();
            else if ((j > i) == is_lower)
                v = NAN;
            put(l, i * n + j, t, v);
        }
    return l;
}

static void check_trsm(const char *name, enum tg_dtype t, int64_t n, int64_t m, bool is_unit)
{
    bool is_left = strcmp(name, "trsm_lln") == 0, is_lower = strcmp(name, "trsm_run") != 0;
    void *l = triangle(n, t, is_lower, is_unit), *b = tile(m * n, t), *old = copy_of(b, m * n, t);
    struct call call = call_of(name, t);
    set(&call, "n", (double)n), give(&call, is_lower ? "l" : "u", l), give(&call, "b", b);
    if (m != n)
        set(&call, "m", (double)m);
    if (is_unit)
        set(&call, "unit", 1);
    assert_int_equal(run(&call), 0);
    /* Put the solution back into the equation: element (i, j) of L X, X U or X L^T. */
    int64_t rows = is_left ? n : m, cols = is_left ? m : n;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0, size = 1;
            for (int64_t p = 0; p <= (is_left ? i : j); p++) {
                bool is_lower_t = is_lower && !is_left;
                double coefficient = is_left ? get(l, i * n + p, t) : at(l, t, n, is_lower_t, p, j);
                if (is_unit && p == (is_left ? i : j))
                    coefficient = 1;
                double x = is_left ? get(b, p * m + j, t) : get(b, i * n + p, t);
                sum += coefficient * x;
                size += fabs(coefficient * x);
            }
            assert_close(sum, get(old, i * cols + j, t), 16 * size * epsilon(t), name, i * cols + j);
        }
    drop(l, n * n, t), drop(b, m * n, t), free(old);
}

static void check_all_trsms(void)
{
    static const int64_t shapes[][2] = {{0, 0},  {0, 3},   {3, 0},  {1, 1},   {2, 5},    {8, 16},  {9, 17},
                                        {16, 8}, {33, 31}, {40, 7}, {64, 64}, {70, 100}, {130, 50}};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 13; s++) {
            check_trsm("trsm_rlt", t, shapes[s][0], shapes[s][1], false);
            check_trsm("trsm_run", t, shapes[s][0], shapes[s][1], false);
            check_trsm("trsm_lln", t, shapes[s][0], shapes[s][1], false);
            check_trsm("trsm_lln", t, shapes[s][0], shapes[s][1], true);
        }
}

/* A matrix with random elements and a heavy diagonal; symmetric in value but with NaN above it if asked. */
static void *heavy_diagonal(int64_t n, enum tg_dtype t, bool is_symmetric)
{
    void *a = tile(n * n, t);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double v = random_unit() - 0.5;
            put(a, i * n + j, t, i == j ? (double)n : is_symmetric && j > i ? NAN : v);
        }
    return a;
}

static void check_potrf(enum tg_dtype t, int64_t n)
{
    void *a = heavy_diagonal(n, t, true), *old = copy_of(a, n * n, t);
    struct call call = call_of("potrf_lower", t);
    set(&call, "n", (double)n), give(&call, "a", a);
    assert_int_equal(run(&call), 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p <= j && j <= i; p++)
                sum += get(a, i * n + p, t) * get(a, j * n + p, t);
            if (j > i)
                assert_true(isnan(get(a, i * n + j, t)));
            else
                assert_close(sum, get(old, i * n + j, t), 16 * (double)n * epsilon(t), "potrf_lower",
                             i * n + j);
        }
    /* Any pivot that is not positive is found. */
    for (int64_t bad = 0; bad < n; bad = bad * 2 + 1) {
        memcpy(a, old, (size_t)(n * n) * tg_dtype_size(t));
        put(a, bad * n + bad, t, bad % 3 == 0 ? -1 : bad % 3 == 1 ? 0 : NAN);
        if (run(&call) == 0)
            fail_msg("potrf_lower of %lld: pivot %lld was not found", (long long)n, (long long)bad);
    }
    drop(a, n * n, t), free(old);
}

static void check_getrf(enum tg_dtype t, int64_t n)
{
    void *a = heavy_diagonal(n, t, false), *old = copy_of(a, n * n, t);
    struct call call = call_of("getrf_nopiv", t);
    set(&call, "n", (double)n), give(&call, "a", a);
    assert_int_equal(run(&call), 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p <= (i < j ? i : j); p++)
                sum += (p == i ? 1 : get(a, i * n + p, t)) * get(a, p * n + j, t);
            assert_close(sum, get(old, i * n + j, t), 16 * (double)n * epsilon(t), "getrf_nopiv", i * n + j);
        }
    /* A row of zeros stays one, so its pivot is zero and found. */
    for (int64_t bad = 0; bad < n; bad = bad * 2 + 1) {
        memcpy(a, old, (size_t)(n * n) * tg_dtype_size(t));
        for (int64_t j = 0; j < n; j++)
            put(a, bad * n + j, t, 0);
        if (run(&call) == 0)
            fail_msg("getrf_nopiv of %lld: pivot %lld was not found", (long long)n, (long long)bad);
    }
    drop(a, n * n, t), free(old);
}

static void check_all_factorisations(void)
{
    static const int64_t orders[] = {0, 1, 2, 3, 8, 15, 16, 17, 32, 33, 50, 64, 97, 150};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 14; s++) {
            check_potrf(t, orders[s]);
            check_getrf(t, orders[s]);
        }
}

static void dense_kernels_are_right_in_our_own_code(void **state)
{
    (void)state;
    tgi_blas_set_use(TGI_BLAS_NEVER);
    check_all_gemms();
    check_all_syrks();
    check_all_trsms();
    check_all_factorisations();
    tgi_blas_set_use(TGI_BLAS_BY_SIZE);
}

static void dense_kernels_are_right_with_a_blas(void **state)
{
    (void)state;
    if (!tgi_blas()) {
        print_message("no BLAS: %s\n", tgi_blas_name());
        skip();
    }
    tgi_blas_set_use(TGI_BLAS_ALWAYS);
    check_all_gemms();
    check_all_syrks();
    check_all_trsms();
    check_all_factorisations();
    tgi_blas_set_use(TGI_BLAS_BY_SIZE);
}

/* The instruction sets below the best one, which the kernels never use on this processor. */
static void every_instruction_set_gives_the_same_results(void **state)
{
    (void)state;
    enum { N = 83, M = 41 };
    const struct tgi_dense *best = tgi_dense();
    assert_ptr_equal(tgi_dense_at(0), best);
    assert_null(tgi_dense_at(10));
    for (uint32_t i = 1; tgi_dense_at(i); i++) {
        const struct tgi_dense *other = tgi_dense_at(i);
        double *a = heavy_diagonal(N, TG_F64, false), *b = tile(N * M, TG_F64), *c[2];
        float *f = heavy_diagonal(N, TG_F32, false), *g = tile(N * M, TG_F32), *h[2];
        for (int k = 0; k < 9; k++) {
            for (int w = 0; w < 2; w++) {
                const struct tgi_dense *set = w ? other : best;
                int64_t size = k < 2 || k > 4 ? N * N : N * M;
                double *x = c[w] = copy_of(size == N * N ? a : b, size, TG_F64);
                float *y = h[w] = copy_of(size == N * N ? f : g, size, TG_F32);
                switch (k) {
                case 0: /* N x N, depth M, b transposed */
                    set->f64.gemm(N, N, M, 2, b, M, 1, b, M, true, x, N, false);
                    set->f32.gemm(N, N, M, 2, g, M, 1, g, M, true, y, N, false);
                    break;
                case 1:
                    set->f64.gemm(N, N, M, 2, b, M, 1, b, M, true, x, N, true);
                    set->f32.gemm(N, N, M, 2, g, M, 1, g, M, true, y, N, true);
                    break;
                case 2: /* b is M x N here */
                    set->f64.trsm_right(M, N, a, 1, N, x, N);
                    set->f32.trsm_right(M, N, f, 1, N, y, N);
                    break;
                case 3:
                    set->f64.trsm_right(M, N, a, N, 1, x, N);
                    set->f32.trsm_right(M, N, f, N, 1, y, N);
                    break;
                case 4:
                    set->f64.trsm_left(N, M, a, N, false, x, M);
                    set->f32.trsm_left(N, M, f, N, false, y, M);
                    break;
                case 5:
                    assert_int_equal(set->f64.potrf(N, x, N), 0);
                    assert_int_equal(set->f32.potrf(N, y, N), 0);
                    break;
                case 6:
                    assert_int_equal(set->f64.getrf(N, x, N), 0);
                    assert_int_equal(set->f32.getrf(N, y, N), 0);
                    break;
                case 7: /* a transposed */
                    set->f64.gemm(N, N, N, -1, a, 1, N, a, N, false, x, N, false);
                    set->f32.gemm(N, N, N, -1, f, 1, N, f, N, false, y, N, false);
                    break;
                case 8: /* a pivot in the middle */
                    x[50 * N + 50] = -1, y[50 * N + 50] = -1;
                    assert_int_equal(set->f64.potrf(N, x, N), 51);
                    assert_int_equal(set->f32.potrf(N, y, N), 51);
                    break;
                }
            }
            int64_t size = k < 2 || k > 4 ? N * N : N * M;
            for (int64_t j = 0; j < size && k < 8; j++) {
                double scale = 1 + fabs(c[0][j]);
                assert_close(c[1][j], c[0][j], 1e-12 * scale * (k == 7 ? N : 1), other->name, j);
                assert_close((double)h[1][j], (double)h[0][j], 1e-4 * scale * (k == 7 ? N : 1), other->name,
                             j);
            }
            for (int w = 0; w < 2; w++)
                drop(c[w], size, TG_F64), drop(h[w], size, TG_F32);
        }
        drop(a, N * N, TG_F64), drop(b, N * M, TG_F64), drop(f, N * N, TG_F32), drop(g, N * M, TG_F32);
    }
}

static void large_products_are_right_whoever_computes_them(void **state)
{
    (void)state;
    check_gemm("gemm_nt", TG_F64, 530, 270, 700, -1, 1); /* beyond the size from which a BLAS is asked */
    check_gemm("gemm_nn", TG_F32, 300, 600, 530, 1, 0);
    check_syrk(TG_F64, 400, 600, -1, 1);
    check_trsm("trsm_rlt", TG_F64, 300, 280, false);
    check_potrf(TG_F64, 270);
}

struct product {
    double *a, *b, *c;
    int64_t n;
};
static void *multiply(void *user)
{
    struct product *p = user;
    for (int i = 0; i < 5; i++)
        tgi_gemm_f64(p->n, p->n, p->n, 1, p->a, false, p->b, true, 0, p->c);
    return NULL;
}

static void threads_may_multiply_at_once_with_a_blas(void **state)
{
    (void)state;
    enum { N_THREADS = 4, N = 120 };
    pthread_t threads[N_THREADS];
    struct product work[N_THREADS];
    double *a = tile(N * N, TG_F64), *b = tile(N * N, TG_F64);
    tgi_blas_set_use(TGI_BLAS_ALWAYS);
    for (int i = 0; i < N_THREADS; i++) {
        work[i] = (struct product){a, b, tile(N * N, TG_F64), N};
        assert_int_equal(pthread_create(&threads[i], NULL, multiply, &work[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    tgi_blas_set_use(TGI_BLAS_BY_SIZE);
    for (int i = 1; i < N_THREADS; i++)
        assert_memory_equal(work[i].c, work[0].c, N * N * sizeof(double));
    assert_non_null(tgi_blas_name());
    for (int i = 0; i < N_THREADS; i++)
        drop(work[i].c, N * N, TG_F64);
    drop(a, N * N, TG_F64), drop(b, N * N, TG_F64);
}

/* Workers may have stacks of 64 KiB; panels of operands live there.  Sanitizers need room of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SMALL_STACK (1 << 20)
#else
#define SMALL_STACK (64 << 10)
#endif
static void *factor_and_solve(void *user)
{
    int *status_p = user;
    enum { N = 200 };
    static double a[N * N], b[N * N], c[N * N];
    static float f[N * N], g[N * N];
    for (int i = 0; i < N; i++)
        f[i * N + i] = 4, a[i * N + i] = 4;
    tgi_blas_set_use(TGI_BLAS_NEVER);
    tgi_gemm_f64(N, N, N, 1, a, false, b, true, 1, c);
    tgi_gemm_f32(N, N, N, 1, f, true, f, false, 0, g);
    tgi_syrk_f64(N, N, 1, b, 1, c);
    tgi_trsm_f64(TGI_TRSM_LLN, N, N, a, false, b);
    tgi_trsm_f32(TGI_TRSM_RLT, N, N, f, false, g);
    *status_p = (int)(tgi_potrf_f64(N, a) + tgi_potrf_f32(N, f) + tgi_dense()->f64.getrf(N, a, N));
    tgi_blas_set_use(TGI_BLAS_BY_SIZE);
    return NULL;
}

static void dense_kernels_fit_into_the_stack_of_a_small_worker(void **state)
{
    (void)state;
    pthread_attr_t attr;
    pthread_t thread;
    int status = -1;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, SMALL_STACK), 0);
    assert_int_equal(pthread_create(&thread, &attr, factor_and_solve, &status), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
    assert_int_equal(status, 0);
}

/* Through the whole library: the message of the failed run names task and pivot. */
static void a_factorisation_that_fails_names_its_pivot(void **state)
{
    (void)state;
    static const char *const names[] = {"potrf_lower", "getrf_nopiv"};
    for (int k = 0; k < 2; k++) {
        struct tg_error err;
        struct tg_graph *graph;
        struct tg_runtime *runtime;
        struct tg_run *run;
        tg_buffer_id buffer;
        struct tg_buffer_spec ones = TG_BUFFER_SPEC_INIT;
        struct tg_kernel_spec kernel = TG_KERNEL_SPEC_INIT;
        struct tg_task_spec task = TG_TASK_SPEC_INIT;
        assert_int_equal(tg_graph_create("singular", &graph, &err), 0);
        ones.name = "A", ones.dtype = TG_F64, ones.n_dims = 2, ones.shape[0] = ones.shape[1] = 4;
        ones.init = TG_INIT_FILL, ones.init_value = 1;
        assert_int_equal(tg_graph_add_buffer(graph, &ones, &buffer, &err), 0);
        kernel.name = "factor", kernel.builtin = names[k];
        assert_int_equal(tg_graph_add_kernel(graph, &kernel, &task.kernel, &err), 0);
        struct tg_arg args[] = {tg_arg_int(4), tg_arg_tile(buffer, 0)};
        task.name = "factor[0]", task.n_args = 2, task.args = args;
        assert_int_equal(tg_graph_add_task(graph, &task, NULL, &err), 0);
        assert_int_equal(tg_graph_freeze(graph, &err), 0);
        assert_int_equal(tg_runtime_create(NULL, &runtime, &err), 0);
        assert_int_equal(tg_run_create(runtime, graph, NULL, &run, &err), 0);
        assert_int_equal(tg_run_start(run, &err), 0);
        assert_int_equal(tg_run_wait(run, &err), TG_E_TASK_FAILED);
        assert_string_equal(err.task, "factor[0]");
        assert_non_null(strstr(err.text, "pivot 2 of 4 is 0"));
        tg_run_destroy(run);
        tg_runtime_destroy(runtime);
        tg_graph_destroy(graph);
    }
}

static void matvec_multiplies_and_accumulates(void **state)
{
    (void)state;
    EACH_TYPE (t, floats)
        for (size_t s = 0; s < N_SHAPES3; s++)
            for (int mode = 0; mode < 4; mode++) {
                bool is_trans = mode & 1, adds = mode & 2;
                int64_t m = shapes3[s][0], n = shapes3[s][2], n_y = is_trans ? n : m, n_x = is_trans ? m : n;
                void *a = tile(m * n, t), *x = tile(n_x, t), *y = tile(n_y, t), *old = copy_of(y, n_y, t);
                struct call c = call_of(adds ? "matvec_add" : "matvec", t);
                set(&c, "m", (double)m), set(&c, "n", (double)n);
                give(&c, "a", a), give(&c, "x", x), give(&c, "y", y);
                if (is_trans)
                    set(&c, "trans", 1), set(&c, "alpha", -0.5);
                if (adds)
                    set(&c, "beta", 3);
                else
                    for (int64_t i = 0; i < n_y; i++)
                        put(y, i, t, NAN);
                assert_int_equal(run(&c), 0);
                for (int64_t i = 0; i < n_y; i++) {
                    double sum = 0, size = 2;
                    for (int64_t p = 0; p < n_x; p++) {
                        sum += at(a, t, n, is_trans, i, p) * get(x, p, t);
                        size += fabs(at(a, t, n, is_trans, i, p) * get(x, p, t));
                    }
                    double want = (is_trans ? -0.5 : 1) * sum + (adds ? 3 * get(old, i, t) : 0);
                    assert_close(get(y, i, t), want, 4 * size * epsilon(t), c.builtin->name, i);
                }
                drop(a, m * n, t), drop(x, n_x, t), drop(y, n_y, t), free(old);
            }
}

int main(void)
{
    seed_random();
    const struct CMUnitTest tests[] = {
        /* first, so that the threads race to load the BLAS */
        cmocka_unit_test(threads_may_multiply_at_once_with_a_blas),
        cmocka_unit_test(dense_kernels_are_right_in_our_own_code),
        cmocka_unit_test(dense_kernels_are_right_with_a_blas),
        cmocka_unit_test(every_instruction_set_gives_the_same_results),
        cmocka_unit_test(large_products_are_right_whoever_computes_them),
        cmocka_unit_test(dense_kernels_fit_into_the_stack_of_a_small_worker),
        cmocka_unit_test(a_factorisation_that_fails_names_its_pivot),
        cmocka_unit_test(matvec_multiplies_and_accumulates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
