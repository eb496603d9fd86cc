/* Instances of the dense routines, the choice among them, and the choice between them and a BLAS. */
#include "kernels/dense.h"

#include <limits.h>
#include <stddef.h>

#include "kernels/blas.h"

/* ---- Instances ----------------------------------------------------------------------------
 *
 * Blocks of c: 8 rows of two 512-bit vectors, 16 of 32 registers; 4 of two 256-bit or 128-bit
 * vectors, 8 of 16 registers, which is as many as the latency of an addition asks for. */

#ifdef __has_builtin
#define TGI_HAVE_SHUFFLE __has_builtin(__builtin_shufflevector)
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86 1

#define T       double
#define VECTOR  64
#define MR      8
#define NV      2
#define TARGET  __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
#define NAME(x) x##_f64_avx512
#include "kernels/dense_template.h"

#define T       float
#define VECTOR  64
#define MR      8
#define NV      2
#define TARGET  __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
#define NAME(x) x##_f32_avx512
#include "kernels/dense_template.h"

#define T       double
#define VECTOR  32
#define MR      4
#define NV      2
#define TARGET  __attribute__((target("avx2,fma")))
#define NAME(x) x##_f64_avx2
#include "kernels/dense_template.h"

#define T       float
#define VECTOR  32
#define MR      4
#define NV      2
#define TARGET  __attribute__((target("avx2,fma")))
#define NAME(x) x##_f32_avx2
#include "kernels/dense_template.h"
#endif

#define T      double
#define VECTOR 16
#define MR     4
#define NV     2
#define TARGET
#define NAME(x) x##_f64_plain
#include "kernels/dense_template.h"

#define T      float
#define VECTOR 16
#define MR     4
#define NV     2
#define TARGET
#define NAME(x) x##_f32_plain
#include "kernels/dense_template.h"

#define SET(isa, gemm_from, solve_from)                                                     \
    {                                                                                       \
        .name = #isa, .blas_gemm_from = gemm_from, .blas_solve_from = solve_from,           \
        .f32 = {gemm_f32_##isa, trsm_right_f32_##isa, trsm_left_f32_##isa, potrf_f32_##isa, \
                getrf_f32_##isa},                                                           \
        .f64 = {gemm_f64_##isa, trsm_right_f64_##isa, trsm_left_f64_##isa, potrf_f64_##isa, \
                getrf_f64_##isa},                                                           \
    }
static const struct tgi_dense sets[] = {
#ifdef HAVE_X86
    SET(avx512, 448, 2048),
    SET(avx2, 448, 2048),
#endif
    SET(plain, 48, 128),
};
#define N_SETS (sizeof(sets) / sizeof(sets[0]))

/* The first set that the processor runs.  Asked every time: it is one load and a test. */
static uint32_t first_set(void)
{
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return 0;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 1;
    return 2;
#else
    return 0;
#endif
}

const struct tgi_dense *tgi_dense_at(uint32_t i)
{
    i += first_set();
    return i < N_SETS ? &sets[i] : NULL;
}

const struct tgi_dense *tgi_dense(void) { return &sets[first_set()]; }

/* ---- Ours or the BLAS ---------------------------------------------------------------------
 *
 * A BLAS packs its operands and looks at its settings before it computes: for small tiles that costs
 * more than it gains.  Beside OpenBLAS 0.3.21 on an AVX-512 Xeon (f64, one thread, GFLOP/s, ours / its):
 *
 *              n = 32     64         128        256        512        1024
 *     gemm_nt  68 / 43    77 / 58    87 / 62    85 / 72    72 / 75    59 / 78
 *     trsm     35 / 6     40 / 10    53 / 14    61 / 21    55 / 28    53 / 41
 *     potrf    9 / 6      18 / 7     31 / 13    40 / 18    45 / 25    50 / 33
 *
 * A row-major matrix is the transpose of the column-major one that a BLAS sees, so operands change
 * places and triangles change sides. */
static const struct tgi_blas *blas_for(double from, int64_t a, int64_t b, int64_t c)
{
    enum tgi_blas_use use = tgi_blas_use();
    double size = (double)a * (double)b * (double)c;
    if (a > INT_MAX || b > INT_MAX || c > INT_MAX || size < 1 || use == TGI_BLAS_NEVER)
        return NULL;
    return use == TGI_BLAS_ALWAYS || size >= from * from * from ? tgi_blas() : NULL;
}

#define BETA(name, T)                                                   \
    static void name(int64_t m, int64_t n, T beta, T *c, bool is_lower) \
    {                                                                   \
        if (beta == 1)                                                  \
            return;                                                     \
        for (int64_t i = 0; i < m; i++) {                               \
            T *row = c + i * n;                                         \
            int64_t end = is_lower ? i + 1 : n;                         \
            for (int64_t j = 0; j < end; j++)                           \
                row[j] = beta == 0 ? 0 : beta * row[j];                 \
        }                                                               \
    }
BETA(apply_beta_f32, float)
BETA(apply_beta_f64, double)

#define GEMM(name, T, set, p, apply_beta)                                                                   \
    void name(int64_t m, int64_t n, int64_t k, T alpha, const T *a, bool is_a_t, const T *b, bool is_b_t,   \
              T beta, T *c)                                                                                 \
    {                                                                                                       \
        if (m <= 0 || n <= 0)                                                                               \
            return;                                                                                         \
        const struct tgi_blas *blas = blas_for(tgi_dense()->blas_gemm_from, m, n, k);                       \
        if (blas) {                                                                                         \
            int rows = (int)m, cols = (int)n, depth = (int)k;                                               \
            int lda = is_a_t ? rows : depth, ldb = is_b_t ? depth : cols;                                   \
            blas->p##gemm(is_b_t ? "T" : "N", is_a_t ? "T" : "N", &cols, &rows, &depth, &alpha, b, &ldb, a, \
                          &lda, &beta, c, &cols, 1, 1);                                                     \
            return;                                                                                         \
        }                                                                                                   \
        apply_beta(m, n, beta, c, false);                                                                   \
        tgi_dense()->set.gemm(m, n, k, alpha, a, is_a_t ? 1 : k, is_a_t ? m : 1, b, is_b_t ? k : n, is_b_t, \
                              c, n, false);                                                                 \
    }
GEMM(tgi_gemm_f32, float, f32, s, apply_beta_f32)
GEMM(tgi_gemm_f64, double, f64, d, apply_beta_f64)

#define SYRK(name, T, set, p, apply_beta)                                                     \
    void name(int64_t n, int64_t k, T alpha, const T *a, T beta, T *c)                        \
    {                                                                                         \
        if (n <= 0)                                                                           \
            return;                                                                           \
        const struct tgi_blas *blas = blas_for(tgi_dense()->blas_gemm_from, n, n, k);         \
        if (blas) {                                                                           \
            int rows = (int)n, depth = (int)k;                                                \
            blas->p##syrk("U", "T", &rows, &depth, &alpha, a, &depth, &beta, c, &rows, 1, 1); \
            return;                                                                           \
        }                                                                                     \
        apply_beta(n, n, beta, c, true);                                                      \
        tgi_dense()->set.gemm(n, n, k, alpha, a, k, 1, a, k, true, c, n, true);               \
    }
SYRK(tgi_syrk_f32, float, f32, s, apply_beta_f32)
SYRK(tgi_syrk_f64, double, f64, d, apply_beta_f64)

#define TRSM(name, T, set, p)                                                                              \
    void name(enum tgi_trsm which, int64_t n, int64_t m, const T *l, bool is_unit, T *b)                   \
    {                                                                                                      \
        if (n <= 0 || m <= 0)                                                                              \
            return;                                                                                        \
        const struct tgi_blas *blas = blas_for(tgi_dense()->blas_solve_from, n, n, m);                     \
        if (blas) {                                                                                        \
            int order = (int)n, other = (int)m;                                                            \
            T one = 1;                                                                                     \
            switch (which) {                                                                               \
            case TGI_TRSM_RLT:                                                                             \
                blas->p##trsm("L", "U", "T", "N", &order, &other, &one, l, &order, b, &order, 1, 1, 1, 1); \
                break;                                                                                     \
            case TGI_TRSM_RUN:                                                                             \
                blas->p##trsm("L", "L", "N", "N", &order, &other, &one, l, &order, b, &order, 1, 1, 1, 1); \
                break;                                                                                     \
            case TGI_TRSM_LLN:                                                                             \
                blas->p##trsm("R", "U", "N", is_unit ? "U" : "N", &other, &order, &one, l, &order, b,      \
                              &other, 1, 1, 1, 1);                                                         \
                break;                                                                                     \
            }                                                                                              \
            return;                                                                                        \
        }                                                                                                  \
        switch (which) {                                                                                   \
        case TGI_TRSM_RLT:                                                                                 \
            tgi_dense()->set.trsm_right(m, n, l, 1, n, b, n);                                              \
            break;                                                                                         \
        case TGI_TRSM_RUN:                                                                                 \
            tgi_dense()->set.trsm_right(m, n, l, n, 1, b, n);                                              \
            break;                                                                                         \
        case TGI_TRSM_LLN:                                                                                 \
            tgi_dense()->set.trsm_left(n, m, l, n, is_unit, b, m);                                         \
            break;                                                                                         \
        }                                                                                                  \
    }
TRSM(tgi_trsm_f32, float, f32, s)
TRSM(tgi_trsm_f64, double, f64, d)

#define POTRF(name, T, set, p)                                                         \
    int64_t name(int64_t n, T *a)                                                      \
    {                                                                                  \
        const struct tgi_blas *blas = blas_for(tgi_dense()->blas_solve_from, n, n, n); \
        if (blas && blas->p##potrf) {                                                  \
            int order = (int)n, info = 0;                                              \
            blas->p##potrf("U", &order, a, &order, &info, 1);                          \
            return info;                                                               \
        }                                                                              \
        return tgi_dense()->set.potrf(n, a, n);                                        \
    }
POTRF(tgi_potrf_f32, float, f32, s)
POTRF(tgi_potrf_f64, double, f64, d)
