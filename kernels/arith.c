/* add: z = x + y.  mul: z = x y, element by element.  Integers wrap. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define ELEMENTWISE(name, T, op)                                      \
    TGI_HOT_KERNEL(name)                                              \
    {                                                                 \
        int64_t n = TGI_INT(0);                                       \
        const T *x = TGI_TILE(const T, 1), *y = TGI_TILE(const T, 2); \
        T *z = TGI_TILE(T, 3);                                        \
        for (int64_t i = 0; i < n; i++)                               \
            z[i] = x[i] op y[i];                                      \
        return 0;                                                     \
    }
/* Signed and unsigned integers of one size have the same sums and products modulo 2^bits. */
ELEMENTWISE(add_f32, float, +)
ELEMENTWISE(add_f64, double, +)
ELEMENTWISE(add_32, uint32_t, +)
ELEMENTWISE(add_64, uint64_t, +)
ELEMENTWISE(mul_f32, float, *)
ELEMENTWISE(mul_f64, double, *)
ELEMENTWISE(mul_32, uint32_t, *)
ELEMENTWISE(mul_64, uint64_t, *)

static const struct tgi_builtin_param arith_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_IN, "n"),
    TGI_P_TILE("z", TG_OUT, "n"),
};
const struct tgi_builtin tgi_builtin_add = {
    .name = "add",
    .brief = "z[i] = x[i] + y[i]",
    TGI_PARAMS(arith_params),
    .flops = "n",
    .bytes = "3*n*sizeof(T)",
    .cpu = TGI_NUMBERS(add_f32, add_f64, add_32, add_32, add_64, add_64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_add",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};
const struct tgi_builtin tgi_builtin_mul = {
    .name = "mul",
    .brief = "z[i] = x[i] * y[i]",
    TGI_PARAMS(arith_params),
    .flops = "n",
    .bytes = "3*n*sizeof(T)",
    .cpu = TGI_NUMBERS(mul_f32, mul_f64, mul_32, mul_32, mul_64, mul_64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_mul",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};
