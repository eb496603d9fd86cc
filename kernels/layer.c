/* Layers of neural networks, over rows of `cols` elements.
 *
 * softmax:   y = exp(x - max) / sum of them, row by row.  NaN in a row makes the row NaN.
 * layernorm: y = gamma (x - mean) / sqrt(variance + eps) + beta, row by row, in two passes.
 * gelu:      y = x (1 + erf(x / sqrt 2)) / 2.
 * relu:      y = max(x, 0); NaN stays NaN.
 * bias_add:  y = x + bias, the same bias for every row.
 * x and y may be the same tile. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <math.h>

#define SOFTMAX(name, T, exp_of)                                                                  \
    TGI_CPU_KERNEL(name)                                                                          \
    {                                                                                             \
        int64_t rows = TGI_INT(0), cols = TGI_INT(1);                                             \
        const T *x = TGI_TILE(const T, 2);                                                        \
        T *y = TGI_TILE(T, 3);                                                                    \
        for (int64_t r = 0; r < rows; r++, x += cols, y += cols) {                                \
            T top = -(T)INFINITY;                                                                 \
            for (int64_t i = 0; i < cols; i++)                                                    \
                top = x[i] > top ? x[i] : top;                                                    \
            /* A row of nothing but -infinity: no shift, all weights equal 0, and 0/0 says so. */ \
            T shift = top > -(T)INFINITY ? top : (T)0;                                            \
            T total = 0;                                                                          \
            for (int64_t i = 0; i < cols; i++)                                                    \
                total += y[i] = exp_of(x[i] - shift);                                             \
            T scale = 1 / total;                                                                  \
            for (int64_t i = 0; i < cols; i++)                                                    \
                y[i] = total > 0 ? y[i] * scale : y[i] / total;                                   \
        }                                                                                         \
        return 0;                                                                                 \
    }
SOFTMAX(softmax_f32, float, expf)
SOFTMAX(softmax_f64, double, exp)

static const struct tgi_builtin_param softmax_params[] = {
    TGI_P_INT("rows"),
    TGI_P_INT("cols"),
    TGI_P_TILE("x", TG_IN, "rows*cols"),
    TGI_P_TILE("y", TG_OUT, "rows*cols"),
};
const struct tgi_builtin tgi_builtin_softmax = {
    .name = "softmax",
    .brief = "y = softmax of each row of x (rows x cols)",
    TGI_PARAMS(softmax_params),
    .flops = "5*rows*cols",
    .bytes = "2*rows*cols*sizeof(T)",
    .cpu = {[TG_F32] = softmax_f32, [TG_F64] = softmax_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_softmax",
        .grid = TGI_GRID("(cols<=1024 ? ceildiv(rows,8) : rows)"),
        .block = "256",
    },
};

/* Mean and variance are summed in double: rows of f32 may be long. */
#define LAYERNORM(name, T)                                                                     \
    TGI_CPU_KERNEL(name)                                                                       \
    {                                                                                          \
        int64_t rows = TGI_INT(0), cols = TGI_INT(1);                                          \
        const T *x = TGI_TILE(const T, 2);                                                     \
        T *y = TGI_TILE(T, 3);                                                                 \
        const T *gamma = TGI_TILE(const T, 4), *beta = TGI_TILE(const T, 5);                   \
        double eps = (double)TGI_NUM(T, 6);                                                    \
        for (int64_t r = 0; r < rows; r++, x += cols, y += cols) {                             \
            double sum = 0, squares = 0;                                                       \
            for (int64_t i = 0; i < cols; i++)                                                 \
                sum += (double)x[i];                                                           \
            double mean = sum / (double)cols;                                                  \
            for (int64_t i = 0; i < cols; i++)                                                 \
                squares += ((double)x[i] - mean) * ((double)x[i] - mean);                      \
            double scale = 1 / sqrt(squares / (double)cols + eps);                             \
            for (int64_t i = 0; i < cols; i++) {                                               \
                double v = ((double)x[i] - mean) * scale;                                      \
                y[i] = (T)((gamma ? (double)gamma[i] * v : v) + (beta ? (double)beta[i] : 0)); \
            }                                                                                  \
        }                                                                                      \
        return 0;                                                                              \
    }
LAYERNORM(layernorm_f32, float)
LAYERNORM(layernorm_f64, double)

static const struct tgi_builtin_param layernorm_params[] = {
    TGI_P_INT("rows"),
    TGI_P_INT("cols"),
    TGI_P_TILE("x", TG_IN, "rows*cols"),
    TGI_P_TILE("y", TG_OUT, "rows*cols"),
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "gamma", TG_IN, "cols"),
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "beta", TG_IN, "cols"),
    TGI_P_NUM_OR("eps", "1e-5"),
};
const struct tgi_builtin tgi_builtin_layernorm = {
    .name = "layernorm",
    .brief = "y = gamma*(x - mean)/sqrt(variance + eps) + beta, for each row of x (rows x cols)",
    TGI_PARAMS(layernorm_params),
    .flops = "8*rows*cols",
    .bytes = "2*rows*cols*sizeof(T)",
    .cpu = {[TG_F32] = layernorm_f32, [TG_F64] = layernorm_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_layernorm",
        .grid = TGI_GRID("(cols<=1024 ? ceildiv(rows,8) : rows)"),
        .block = "256",
    },
};

#define UNARY(name, T, value)              \
    TGI_CPU_KERNEL(name)                   \
    {                                      \
        int64_t n = TGI_INT(0);            \
        const T *x = TGI_TILE(const T, 1); \
        T *y = TGI_TILE(T, 2);             \
        for (int64_t i = 0; i < n; i++)    \
            y[i] = value;                  \
        return 0;                          \
    }
UNARY(gelu_f32, float, x[i] * 0.5f * (1 + erff(x[i] * (float)M_SQRT1_2)))
UNARY(gelu_f64, double, x[i] * 0.5 * (1 + erf(x[i] * M_SQRT1_2)))
UNARY(relu_f32, float, x[i] < 0 ? 0 : x[i])
UNARY(relu_f64, double, x[i] < 0 ? 0 : x[i])

static const struct tgi_builtin_param unary_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_OUT, "n"),
};
const struct tgi_builtin tgi_builtin_gelu = {
    .name = "gelu",
    .brief = "y[i] = x[i]*(1 + erf(x[i]/sqrt(2)))/2",
    TGI_PARAMS(unary_params),
    .flops = "20*n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = gelu_f32, [TG_F64] = gelu_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_gelu",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};
const struct tgi_builtin tgi_builtin_relu = {
    .name = "relu",
    .brief = "y[i] = max(x[i], 0)",
    TGI_PARAMS(unary_params),
    .flops = "n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = relu_f32, [TG_F64] = relu_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_relu",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};

#define BIAS_ADD(name, T)                                                \
    TGI_HOT_KERNEL(name)                                                 \
    {                                                                    \
        int64_t rows = TGI_INT(0), cols = TGI_INT(1);                    \
        const T *x = TGI_TILE(const T, 2), *bias = TGI_TILE(const T, 3); \
        T *y = TGI_TILE(T, 4);                                           \
        for (int64_t r = 0; r < rows; r++)                               \
            for (int64_t i = 0; i < cols; i++)                           \
                y[r * cols + i] = x[r * cols + i] + bias[i];             \
        return 0;                                                        \
    }
BIAS_ADD(bias_add_f32, float)
BIAS_ADD(bias_add_f64, double)

static const struct tgi_builtin_param bias_add_params[] = {
    TGI_P_INT("rows"),
    TGI_P_INT("cols"),
    TGI_P_TILE("x", TG_IN, "rows*cols"),
    TGI_P_TILE("bias", TG_IN, "cols"),
    TGI_P_TILE("y", TG_OUT, "rows*cols"),
};
const struct tgi_builtin tgi_builtin_bias_add = {
    .name = "bias_add",
    .brief = "y[r,i] = x[r,i] + bias[i] (rows x cols)",
    TGI_PARAMS(bias_add_params),
    .flops = "rows*cols",
    .bytes = "2*rows*cols*sizeof(T)",
    .cpu = {[TG_F32] = bias_add_f32, [TG_F64] = bias_add_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_bias_add",
        .grid = TGI_MAP_GRID("rows*cols"),
        .block = "256",
    },
};
