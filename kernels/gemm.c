/* gemm_nn, gemm_nt, gemm_tn: c = beta c + alpha op(a) op(b), all row-major and contiguous.
 *
 *     gemm_nn   a m x k   b k x n
 *     gemm_nt   a m x k   b n x k, transposed
 *     gemm_tn   a k x m, transposed   b k x n
 *
 * m and k default to n, alpha to -1 and beta to 1: the update of a factorisation.  With beta 0, c is
 * not read. */
#include "kernels/dense.h"
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define GEMM(name, T, gemm, is_a_t, is_b_t)                                                   \
    TGI_CPU_KERNEL(name)                                                                      \
    {                                                                                         \
        gemm(TGI_INT(4), TGI_INT(0), TGI_INT(5), TGI_NUM(T, 6), TGI_TILE(const T, 1), is_a_t, \
             TGI_TILE(const T, 2), is_b_t, TGI_NUM(T, 7), TGI_TILE(T, 3));                    \
        return 0;                                                                             \
    }
GEMM(gemm_nn_f32, float, tgi_gemm_f32, false, false)
GEMM(gemm_nn_f64, double, tgi_gemm_f64, false, false)
GEMM(gemm_nt_f32, float, tgi_gemm_f32, false, true)
GEMM(gemm_nt_f64, double, tgi_gemm_f64, false, true)
GEMM(gemm_tn_f32, float, tgi_gemm_f32, true, false)
GEMM(gemm_tn_f64, double, tgi_gemm_f64, true, false)

static const struct tgi_builtin_param gemm_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("a", TG_IN, "m*k"),
    TGI_P_TILE("b", TG_IN, "k*n"),
    TGI_P_TILE("c", TG_INOUT, "m*n"),
    TGI_P_INT_OR("m", "n"),
    TGI_P_INT_OR("k", "n"),
    TGI_P_NUM_OR("alpha", "-1"),
    TGI_P_NUM_OR("beta", "1"),
};
#define GEMM_COST .flops = "2*m*n*k", .bytes = "(m*k+k*n+2*m*n)*sizeof(T)"

const struct tgi_builtin tgi_builtin_gemm_nn = {
    .name = "gemm_nn",
    .brief = "c = beta*c + alpha*a*b (m x n, depth k); c -= a*b by default",
    TGI_PARAMS(gemm_params),
    GEMM_COST,
    .cpu = {[TG_F32] = gemm_nn_f32, [TG_F64] = gemm_nn_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_gemm_nn",
        .grid = TGI_GEMM_GRID,
        .block = "256",
        .shared_bytes = "(m*n>=3300000 ? 18688 : 9472)*sizeof(T)",
        .max_shared_bytes = 18688 * 8,
    },
};
const struct tgi_builtin tgi_builtin_gemm_nt = {
    .name = "gemm_nt",
    .brief = "c = beta*c + alpha*a*b^T (b is n x k); c -= a*b^T by default",
    TGI_PARAMS(gemm_params),
    GEMM_COST,
    .cpu = {[TG_F32] = gemm_nt_f32, [TG_F64] = gemm_nt_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_gemm_nt",
        .grid = TGI_GEMM_GRID,
        .block = "256",
        .shared_bytes = "(m*n>=3300000 ? 20480 : 10240)*sizeof(T)",
        .max_shared_bytes = 20480 * 8,
    },
};
const struct tgi_builtin tgi_builtin_gemm_tn = {
    .name = "gemm_tn",
    .brief = "c = beta*c + alpha*a^T*b (a is k x m); c -= a^T*b by default",
    TGI_PARAMS(gemm_params),
    GEMM_COST,
    .cpu = {[TG_F32] = gemm_tn_f32, [TG_F64] = gemm_tn_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_gemm_tn",
        .grid = TGI_GEMM_GRID,
        .block = "256",
        .shared_bytes = "(m*n>=3300000 ? 16896 : 8704)*sizeof(T)",
        .max_shared_bytes = 16896 * 8,
    },
};
