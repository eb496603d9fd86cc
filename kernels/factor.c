/* potrf_lower: a = L L^T of a symmetric positive definite tile.  L replaces the lower triangle; above
 *              the diagonal a is neither read nor written.
 * getrf_nopiv: a = L U without pivoting, for tiles that need none (diagonally dominant ones).  U replaces
 *              the upper triangle with the diagonal, L, whose diagonal is 1, the rest.
 *
 * Both fail, naming the pivot, where the matrix is not what they need, and leave the tile half done. */
#include "kernels/dense.h"
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define POTRF(name, T, potrf)                                                                          \
    TGI_CPU_KERNEL(name)                                                                               \
    {                                                                                                  \
        int64_t n = TGI_INT(0);                                                                        \
        T *a = TGI_TILE(T, 1);                                                                         \
        int64_t bad = n > 0 ? potrf(n, a) : 0;                                                         \
        if (bad)                                                                                       \
            TGI_FAIL(ctx, "matrix is not positive definite: pivot %lld of %lld is %g", (long long)bad, \
                     (long long)n, (double)a[(bad - 1) * n + bad - 1]);                                \
        return 0;                                                                                      \
    }
POTRF(potrf_lower_f32, float, tgi_potrf_f32)
POTRF(potrf_lower_f64, double, tgi_potrf_f64)

static const struct tgi_builtin_param factor_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("a", TG_INOUT, "n*n"),
};
const struct tgi_builtin tgi_builtin_potrf_lower = {
    .name = "potrf_lower",
    .brief = "lower triangle of a = L with L*L^T = a; fails if a is not positive definite",
    TGI_PARAMS(factor_params),
    .flops = "n*n*n/3",
    .bytes = "n*(n+1)*sizeof(T)",
    .cpu = {[TG_F32] = potrf_lower_f32, [TG_F64] = potrf_lower_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_potrf_lower",
        .can_fail = true,
        .grid = TGI_TEAM_GRID,
        .block = "256",
        .shared_bytes = "14464*sizeof(T)",
        .max_shared_bytes = 14464 * 8,
    },
};

#define GETRF(name, T, set)                                                                            \
    TGI_CPU_KERNEL(name)                                                                               \
    {                                                                                                  \
        int64_t n = TGI_INT(0);                                                                        \
        T *a = TGI_TILE(T, 1);                                                                         \
        int64_t bad = n > 0 ? tgi_dense()->set.getrf(n, a, n) : 0;                                     \
        if (bad)                                                                                       \
            TGI_FAIL(ctx, "matrix has no LU factorisation without pivoting: pivot %lld of %lld is %g", \
                     (long long)bad, (long long)n, (double)a[(bad - 1) * n + bad - 1]);                \
        return 0;                                                                                      \
    }
GETRF(getrf_nopiv_f32, float, f32)
GETRF(getrf_nopiv_f64, double, f64)

const struct tgi_builtin tgi_builtin_getrf_nopiv = {
    .name = "getrf_nopiv",
    .brief = "a = L and U with L*U = a, L unit lower triangular, without pivoting",
    TGI_PARAMS(factor_params),
    .flops = "2*n*n*n/3",
    .bytes = "2*n*n*sizeof(T)",
    .cpu = {[TG_F32] = getrf_nopiv_f32, [TG_F64] = getrf_nopiv_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_getrf_nopiv",
        .can_fail = true,
        .grid = TGI_TEAM_GRID,
        .block = "256",
        .shared_bytes = "15808*sizeof(T)",
        .max_shared_bytes = 15808 * 8,
    },
};
