/* See axpy.c. */
#include "kernels/entry.cuh"
#include "kernels/map.cuh"

#define AXPY(type, T)                                                                   \
    TGK_KERNEL(TGK_MAP_THREADS) tgk_axpy_##type(int64_t n, T a, const T *x, T *y)       \
    {                                                                                   \
        tgk_begin();                                                                    \
        map<2>(n, y, {x, y}, [=](int64_t, const T *v) { return a * v[0] + v[1]; });     \
    }                                                                                   \
    TGK_KERNEL(TGK_MAP_THREADS) tgk_scale_##type(int64_t n, T a, T *x)                  \
    {                                                                                   \
        tgk_begin();                                                                    \
        map<1>(n, x, {x}, [=](int64_t, const T *v) { return v[0] * a; });               \
    }
TGK_FLOATS(AXPY)
#undef AXPY
