/* See is_above.c. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"

#define IS_ABOVE(type, T)                                                                  \
    TGK_KERNEL(32) tgk_is_above_##type(const T *x, T limit, int32_t *go)                   \
    {                                                                                      \
        tgk_begin();                                                                       \
        if (threadIdx.x == 0)                                                              \
            go[0] = x[0] > limit;                                                          \
    }
IS_ABOVE(f32, float)
IS_ABOVE(f64, double)
IS_ABOVE(i32, int32_t)
IS_ABOVE(i64, int64_t)
#undef IS_ABOVE
