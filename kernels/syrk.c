/* syrk_lower: the lower triangle, with the diagonal, of c = beta c + alpha a a^T, where c is n x n and a
 * is n x k.  Above the diagonal c is neither read nor written.  k defaults to n, alpha to -1, beta to 1. */
#include "kernels/dense.h"
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define SYRK(name, T, syrk)                                                                               \
    TGI_CPU_KERNEL(name)                                                                                  \
    {                                                                                                     \
        syrk(TGI_INT(0), TGI_INT(3), TGI_NUM(T, 4), TGI_TILE(const T, 1), TGI_NUM(T, 5), TGI_TILE(T, 2)); \
        return 0;                                                                                         \
    }
SYRK(syrk_lower_f32, float, tgi_syrk_f32)
SYRK(syrk_lower_f64, double, tgi_syrk_f64)

static const struct tgi_builtin_param syrk_lower_params[] = {
    TGI_P_INT("n"),         TGI_P_TILE("a", TG_IN, "n*k"), TGI_P_TILE("c", TG_INOUT, "n*n"),
    TGI_P_INT_OR("k", "n"), TGI_P_NUM_OR("alpha", "-1"),   TGI_P_NUM_OR("beta", "1"),
};
const struct tgi_builtin tgi_builtin_syrk_lower = {
    .name = "syrk_lower",
    .brief = "lower triangle of c = beta*c + alpha*a*a^T; c -= a*a^T by default",
    TGI_PARAMS(syrk_lower_params),
    .flops = "n*(n+1)*k",
    .bytes = "(n*k+n*(n+1))*sizeof(T)",
    .cpu = {[TG_F32] = syrk_lower_f32, [TG_F64] = syrk_lower_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_syrk_lower",
        .grid = TGI_GRID("(n*n>=6600000 ? ceildiv(n,128)*(ceildiv(n,128)+1)/2 : ceildiv(n,64)*(ceildiv(n,64)+1)/2)"),
        .block = "256",
        .shared_bytes = "(n*n>=6600000 ? 20480 : 10240)*sizeof(T)",
        .max_shared_bytes = 20480 * 8,
    },
};
