/* fill: every element becomes value.  iota: x[i] = start + i.
 *
 * A fill moves bit patterns, so it is written once per element size and serves every type. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define FILL(name, T)                   \
    TGI_HOT_KERNEL(name)                \
    {                                   \
        int64_t n = TGI_INT(0);         \
        T value = TGI_NUM(T, 1);        \
        T *x = TGI_TILE(T, 2);          \
        for (int64_t i = 0; i < n; i++) \
            x[i] = value;               \
        return 0;                       \
    }
FILL(fill_1, uint8_t)
FILL(fill_2, uint16_t)
FILL(fill_4, uint32_t)
FILL(fill_8, uint64_t)

/* The word of a 16-byte type holds the real part. */
TGI_HOT_KERNEL(fill_c128)
{
    int64_t n = TGI_INT(0);
    double value = TGI_NUM(double, 1);
    double *x = TGI_TILE(double, 2);
    for (int64_t i = 0; i < n; i++) {
        x[2 * i] = value;
        x[2 * i + 1] = 0.0;
    }
    return 0;
}

static const struct tgi_builtin_param fill_params[] = {
    TGI_P_INT("n"),
    TGI_P_NUM("value"),
    TGI_P_TILE("x", TG_OUT, "n"),
};
const struct tgi_builtin tgi_builtin_fill = {
    .name = "fill",
    .brief = "x[i] = value",
    TGI_PARAMS(fill_params),
    .bytes = "n*sizeof(T)",
    .cpu = TGI_EVERY_TYPE(fill_1, fill_2, fill_4, fill_8, fill_c128),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_fill",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};

/* U is where the sum is formed: unsigned for integers, so that it wraps. */
#define IOTA(name, T, U)                 \
    TGI_HOT_KERNEL(name)                 \
    {                                    \
        int64_t n = TGI_INT(0);          \
        T start = TGI_NUM(T, 1);         \
        T *x = TGI_TILE(T, 2);           \
        for (int64_t i = 0; i < n; i++)  \
            x[i] = (T)((U)start + (U)i); \
        return 0;                        \
    }
IOTA(iota_f32, float, float)
IOTA(iota_f64, double, double)
IOTA(iota_i32, int32_t, uint32_t)
IOTA(iota_i64, int64_t, uint64_t)

static const struct tgi_builtin_param iota_params[] = {
    TGI_P_INT("n"),
    TGI_P_NUM("start"),
    TGI_P_TILE("x", TG_OUT, "n"),
};
const struct tgi_builtin tgi_builtin_iota = {
    .name = "iota",
    .brief = "x[i] = start + i",
    TGI_PARAMS(iota_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(iota_f32, iota_f64, iota_i32, iota_i32, iota_i64, iota_i64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_iota",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};
