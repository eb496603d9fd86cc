/* See arith.c. */
#include "kernels/entry.cuh"
#include "kernels/map.cuh"

#define ARITH(type, T)                                                                       \
    TGK_KERNEL(TGK_MAP_THREADS) tgk_add_##type(int64_t n, const T *x, const T *y, T *z)      \
    {                                                                                        \
        tgk_begin();                                                                         \
        map<2>(n, z, {x, y}, [](int64_t, const T *v) { return (T)(v[0] + v[1]); });          \
    }                                                                                        \
    TGK_KERNEL(TGK_MAP_THREADS) tgk_mul_##type(int64_t n, const T *x, const T *y, T *z)      \
    {                                                                                        \
        tgk_begin();                                                                         \
        map<2>(n, z, {x, y}, [](int64_t, const T *v) { return (T)(v[0] * v[1]); });          \
    }
TGK_WRAPPING(ARITH)
#undef ARITH
