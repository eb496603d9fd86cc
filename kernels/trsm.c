/* Triangular solves, in place of b.
 *
 *     trsm_rlt   X L^T = B   l lower, n x n   b m x n   (Cholesky: the tiles below the diagonal)
 *     trsm_run   X U = B     u upper, n x n   b m x n   (LU: the tiles below the diagonal)
 *     trsm_lln   L X = B     l lower, n x n   b n x m   (LU: the tiles right of it, with unit = 1)
 *
 * m defaults to n.  The other triangle of l is not read, nor is its diagonal if unit is not 0.  A zero
 * on the diagonal gives infinities and NaN, as the division does. */
#include "kernels/dense.h"
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define TRSM(name, T, trsm, which, m_at, is_unit)                                              \
    TGI_CPU_KERNEL(name)                                                                       \
    {                                                                                          \
        trsm(which, TGI_INT(0), TGI_INT(m_at), TGI_TILE(const T, 1), is_unit, TGI_TILE(T, 2)); \
        return 0;                                                                              \
    }
TRSM(trsm_rlt_f32, float, tgi_trsm_f32, TGI_TRSM_RLT, 3, false)
TRSM(trsm_rlt_f64, double, tgi_trsm_f64, TGI_TRSM_RLT, 3, false)
TRSM(trsm_run_f32, float, tgi_trsm_f32, TGI_TRSM_RUN, 3, false)
TRSM(trsm_run_f64, double, tgi_trsm_f64, TGI_TRSM_RUN, 3, false)
TRSM(trsm_lln_f32, float, tgi_trsm_f32, TGI_TRSM_LLN, 3, TGI_INT(4) != 0)
TRSM(trsm_lln_f64, double, tgi_trsm_f64, TGI_TRSM_LLN, 3, TGI_INT(4) != 0)

#define TRSM_COST .flops = "n*n*m", .bytes = "(n*(n+1)/2+2*m*n)*sizeof(T)"

static const struct tgi_builtin_param trsm_rlt_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("l", TG_IN, "n*n"),
    TGI_P_TILE("b", TG_INOUT, "m*n"),
    TGI_P_INT_OR("m", "n"),
};
const struct tgi_builtin tgi_builtin_trsm_rlt = {
    .name = "trsm_rlt",
    .brief = "b = X with X*L^T = b, L lower triangular (n x n), b m x n",
    TGI_PARAMS(trsm_rlt_params),
    TRSM_COST,
    .cpu = {[TG_F32] = trsm_rlt_f32, [TG_F64] = trsm_rlt_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_trsm_rlt",
        .grid = TGI_GRID("ceildiv(m,32)"),
        .block = "256",
        .shared_bytes = "14016*sizeof(T)",
        .max_shared_bytes = 14016 * 8,
    },
};

static const struct tgi_builtin_param trsm_run_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("u", TG_IN, "n*n"),
    TGI_P_TILE("b", TG_INOUT, "m*n"),
    TGI_P_INT_OR("m", "n"),
};
const struct tgi_builtin tgi_builtin_trsm_run = {
    .name = "trsm_run",
    .brief = "b = X with X*U = b, U upper triangular (n x n), b m x n",
    TGI_PARAMS(trsm_run_params),
    TRSM_COST,
    .cpu = {[TG_F32] = trsm_run_f32, [TG_F64] = trsm_run_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_trsm_run",
        .grid = TGI_GRID("ceildiv(m,32)"),
        .block = "256",
        .shared_bytes = "13248*sizeof(T)",
        .max_shared_bytes = 13248 * 8,
    },
};

static const struct tgi_builtin_param trsm_lln_params[] = {
    TGI_P_INT("n"),         TGI_P_TILE("l", TG_IN, "n*n"), TGI_P_TILE("b", TG_INOUT, "n*m"),
    TGI_P_INT_OR("m", "n"), TGI_P_INT_OR("unit", "0"),
};
const struct tgi_builtin tgi_builtin_trsm_lln = {
    .name = "trsm_lln",
    .brief = "b = X with L*X = b, L lower triangular (n x n; unit: ones on the diagonal), b n x m",
    TGI_PARAMS(trsm_lln_params),
    TRSM_COST,
    .cpu = {[TG_F32] = trsm_lln_f32, [TG_F64] = trsm_lln_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_trsm_lln",
        .grid = TGI_GRID("ceildiv(m,32)"),
        .block = "256",
        .shared_bytes = "13760*sizeof(T)",
        .max_shared_bytes = 13760 * 8,
    },
};
