/* BLAS and LAPACK, loaded when a tile is first large enough to gain from them.
 *
 * TGRAPH_BLAS=off   never
 * TGRAPH_BLAS=PATH  this library, whatever it is; a LAPACK is looked for in it as well
 * otherwise         OpenBLAS, under the names Debian and others give it, or a libblas.so.3 that turns
 *                   out to be OpenBLAS.  The reference BLAS is slower than our own blocks and is used
 *                   only if named.
 * One thread a task: the library is told to use one thread before its first use. */
#ifndef TGI_KERNELS_BLAS_H
#define TGI_KERNELS_BLAS_H

#include <stddef.h>

/* Fortran calling convention: everything by address, matrices column-major, 32-bit integers; at the end
 * the lengths of the character arguments, by value, which libraries written in C ignore. */
#define TGI_BLAS_SET(T, p)                                                                                  \
    void (*p##gemm)(const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k,     \
                    const T *alpha, const T *a, const int *lda, const T *b, const int *ldb, const T *beta,  \
                    T *c, const int *ldc, size_t, size_t);                                                  \
    void (*p##syrk)(const char *uplo, const char *trans, const int *n, const int *k, const T *alpha,        \
                    const T *a, const int *lda, const T *beta, T *c, const int *ldc, size_t, size_t);       \
    void (*p##trsm)(const char *side, const char *uplo, const char *trans, const char *diag, const int *m,  \
                    const int *n, const T *alpha, const T *a, const int *lda, T *b, const int *ldb, size_t, \
                    size_t, size_t, size_t);                                                                \
    void (*p##potrf)(const char *uplo, const int *n, T *a, const int *lda, int *info, size_t) /* or NULL */

struct tgi_blas {
    TGI_BLAS_SET(float, s);
    TGI_BLAS_SET(double, d);
};

/* NULL if there is none or it is switched off.  Any thread; the first call loads. */
const struct tgi_blas *tgi_blas(void);
/* For reports: "OpenBLAS 0.3.21 (libopenblas.so.0)", or "own" and why if there is none.  Loads. */
const char *tgi_blas_name(void);

/* For tests, between runs: whether the size of the operands decides who computes. */
enum tgi_blas_use { TGI_BLAS_BY_SIZE, TGI_BLAS_NEVER, TGI_BLAS_ALWAYS };
void tgi_blas_set_use(enum tgi_blas_use use);
enum tgi_blas_use tgi_blas_use(void);

#endif
