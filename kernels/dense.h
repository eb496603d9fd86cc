/* Dense linear algebra on row-major matrices with leading dimensions (elements from one row to the
 * next): what gemm, syrk, trsm, potrf and getrf tiles are made of.
 *
 * A set of routines exists for every instruction set; tgi_dense() is the best for this processor.
 * The functions after it take a BLAS where that is faster. */
#ifndef TGI_KERNELS_DENSE_H
#define TGI_KERNELS_DENSE_H

#include <stdbool.h>
#include <stdint.h>

/* One set, for T float or double.
 *
 * gemm        c (m x n) += alpha op(a) b', with op(a)'s element (i, p) at a[i * a_row + p * a_k] and b' = b
 *             (k x n), or its transpose (b n x k) if is_b_t; only elements with column <= row if is_lower
 * trsm_right  solves X R = B for X in place of b (m x n), where R is upper triangular with its element
 *             (p, j) at l[p * l_p + j * l_j]; one of the steps is 1
 * trsm_left   solves L X = B for X in place of b (n x m), L lower triangular, with ones on the diagonal
 *             if is_unit
 * potrf       a = L L^T in place, lower triangle only; 0 or the 1-based pivot that is not positive
 * getrf       a = L U in place, L unit; 0 or the 1-based pivot that is zero or not finite */
#define TGI_DENSE_SET(T)                                                                                   \
    {                                                                                                      \
        void (*gemm)(int64_t m, int64_t n, int64_t k, T alpha, const T *a, int64_t a_row, int64_t a_k,     \
                     const T *b, int64_t ldb, bool is_b_t, T *c, int64_t ldc, bool is_lower);              \
        void (*trsm_right)(int64_t m, int64_t n, const T *l, int64_t l_p, int64_t l_j, T *b, int64_t ldb); \
        void (*trsm_left)(int64_t n, int64_t m, const T *l, int64_t ldl, bool is_unit, T *b, int64_t ldb); \
        int64_t (*potrf)(int64_t n, T *a, int64_t lda);                                                    \
        int64_t (*getrf)(int64_t n, T *a, int64_t lda);                                                    \
    }
struct tgi_dense_f32 TGI_DENSE_SET(float);
struct tgi_dense_f64 TGI_DENSE_SET(double);
struct tgi_dense {
    const char *name; /* of the instruction set */
    /* From which size on a BLAS is faster: the cube root of the number of multiplications. */
    double blas_gemm_from, blas_solve_from;
    struct tgi_dense_f32 f32;
    struct tgi_dense_f64 f64;
};

/* The i-th set this processor can run, best first; NULL past the last.  tgi_dense() is the first. */
const struct tgi_dense *tgi_dense_at(uint32_t i);
const struct tgi_dense *tgi_dense(void);

/* c (m x n) = beta c + alpha op(a) op(b), all contiguous: a is m x k, or k x m if is_a_t; b is k x n, or
 * n x k if is_b_t.  With beta 0, c is not read. */
void tgi_gemm_f32(int64_t m, int64_t n, int64_t k, float alpha, const float *a, bool is_a_t, const float *b,
                  bool is_b_t, float beta, float *c);
void tgi_gemm_f64(int64_t m, int64_t n, int64_t k, double alpha, const double *a, bool is_a_t,
                  const double *b, bool is_b_t, double beta, double *c);
/* Lower triangle of c (n x n) = beta c + alpha a a^T, a n x k. */
void tgi_syrk_f32(int64_t n, int64_t k, float alpha, const float *a, float beta, float *c);
void tgi_syrk_f64(int64_t n, int64_t k, double alpha, const double *a, double beta, double *c);

/* X L^T = B, X U = B (b m x n, the triangle n x n), L X = B (b n x m). */
enum tgi_trsm { TGI_TRSM_RLT, TGI_TRSM_RUN, TGI_TRSM_LLN };
void tgi_trsm_f32(enum tgi_trsm which, int64_t n, int64_t m, const float *l, bool is_unit, float *b);
void tgi_trsm_f64(enum tgi_trsm which, int64_t n, int64_t m, const double *l, bool is_unit, double *b);

int64_t tgi_potrf_f32(int64_t n, float *a);
int64_t tgi_potrf_f64(int64_t n, double *a);

#endif
