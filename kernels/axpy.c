/* axpy: y += a x.  scale: x *= a. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define AXPY(name, T)                      \
    TGI_HOT_KERNEL(name)                   \
    {                                      \
        int64_t n = TGI_INT(0);            \
        T a = TGI_NUM(T, 1);               \
        const T *x = TGI_TILE(const T, 2); \
        T *y = TGI_TILE(T, 3);             \
        for (int64_t i = 0; i < n; i++)    \
            y[i] += a * x[i];              \
        return 0;                          \
    }
AXPY(axpy_f32, float)
AXPY(axpy_f64, double)

static const struct tgi_builtin_param axpy_params[] = {
    TGI_P_INT("n"),
    TGI_P_NUM("a"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_INOUT, "n"),
};
const struct tgi_builtin tgi_builtin_axpy = {
    .name = "axpy",
    .brief = "y[i] += a * x[i]",
    TGI_PARAMS(axpy_params),
    .flops = "2*n",
    .bytes = "3*n*sizeof(T)",
    .cpu = {[TG_F32] = axpy_f32, [TG_F64] = axpy_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_axpy",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};

#define SCALE(name, T)                  \
    TGI_HOT_KERNEL(name)                \
    {                                   \
        int64_t n = TGI_INT(0);         \
        T a = TGI_NUM(T, 1);            \
        T *x = TGI_TILE(T, 2);          \
        for (int64_t i = 0; i < n; i++) \
            x[i] *= a;                  \
        return 0;                       \
    }
SCALE(scale_f32, float)
SCALE(scale_f64, double)

static const struct tgi_builtin_param scale_params[] = {
    TGI_P_INT("n"),
    TGI_P_NUM("a"),
    TGI_P_TILE("x", TG_INOUT, "n"),
};
const struct tgi_builtin tgi_builtin_scale = {
    .name = "scale",
    .brief = "x[i] *= a",
    TGI_PARAMS(scale_params),
    .flops = "n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = scale_f32, [TG_F64] = scale_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_scale",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};
