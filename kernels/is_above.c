/* is_above: go[0] = 1 if x[0] > limit, else 0.  The condition of a while or if task: with a NaN it is
 * 0, so that an iteration that has diverged ends. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define IS_ABOVE(name, T)                                                  \
    TGI_CPU_KERNEL(name)                                                   \
    {                                                                      \
        TGI_TILE(int32_t, 2)[0] = TGI_TILE(const T, 0)[0] > TGI_NUM(T, 1); \
        return 0;                                                          \
    }
IS_ABOVE(is_above_f32, float)
IS_ABOVE(is_above_f64, double)
IS_ABOVE(is_above_i32, int32_t)
IS_ABOVE(is_above_i64, int64_t)

static const struct tgi_builtin_param is_above_params[] = {
    TGI_P_TILE("x", TG_IN, "1"),
    TGI_P_NUM("limit"),
    TGI_P_TILE_OF(TG_I32, "go", TG_OUT, "1"),
};
const struct tgi_builtin tgi_builtin_is_above = {
    .name = "is_above",
    .brief = "go[0] = x[0] > limit, as the condition of while and if",
    TGI_PARAMS(is_above_params),
    .cpu =
        {[TG_F32] = is_above_f32, [TG_F64] = is_above_f64, [TG_I32] = is_above_i32, [TG_I64] = is_above_i64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_is_above",
        .grid = "1",
        .block = "32",
    },
};
