/* matvec: y = alpha op(a) x.  matvec_add: y = beta y + alpha op(a) x.  a is m x n, and op transposes it
 * if trans is not 0: then x has m elements and y n. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define LANES(T) (128 / (int64_t)sizeof(T))

/* Rows of a are read once, in order, either way: as dot products, or added up into y. */
#define MATVEC_OF(name, T)                                                                        \
    TGI_HOT static void name(int64_t m, int64_t n, T alpha, const T *a, const T *x, T beta, T *y, \
                             bool is_trans)                                                       \
    {                                                                                             \
        int64_t n_y = is_trans ? n : m;                                                           \
        for (int64_t i = 0; i < n_y; i++)                                                         \
            y[i] = beta == 0 ? 0 : beta * y[i];                                                   \
        for (int64_t i = 0; i < m; i++) {                                                         \
            const T *row = a + i * n;                                                             \
            if (is_trans) {                                                                       \
                T factor = alpha * x[i];                                                          \
                for (int64_t j = 0; j < n; j++)                                                   \
                    y[j] += factor * row[j];                                                      \
                continue;                                                                         \
            }                                                                                     \
            T acc[LANES(T)] = {0};                                                                \
            int64_t j = 0;                                                                        \
            for (; j + LANES(T) <= n; j += LANES(T))                                              \
                for (int64_t q = 0; q < LANES(T); q++)                                            \
                    acc[q] += row[j + q] * x[j + q];                                              \
            for (int64_t q = 0; j + q < n; q++)                                                   \
                acc[q] += row[j + q] * x[j + q];                                                  \
            for (int64_t w = LANES(T) / 2; w > 0; w /= 2)                                         \
                for (int64_t q = 0; q < w; q++)                                                   \
                    acc[q] += acc[q + w];                                                         \
            y[i] += alpha * acc[0];                                                               \
        }                                                                                         \
    }
MATVEC_OF(matvec_of_f32, float)
MATVEC_OF(matvec_of_f64, double)

#define MATVEC(name, T, matvec_of)                                                                      \
    TGI_CPU_KERNEL(name)                                                                                \
    {                                                                                                   \
        matvec_of(TGI_INT(0), TGI_INT(1), TGI_NUM(T, 6), TGI_TILE(const T, 2), TGI_TILE(const T, 3), 0, \
                  TGI_TILE(T, 4), TGI_INT(5) != 0);                                                     \
        return 0;                                                                                       \
    }
MATVEC(matvec_f32, float, matvec_of_f32)
MATVEC(matvec_f64, double, matvec_of_f64)

#define MATVEC_ADD(name, T, matvec_of)                                                               \
    TGI_CPU_KERNEL(name)                                                                             \
    {                                                                                                \
        matvec_of(TGI_INT(0), TGI_INT(1), TGI_NUM(T, 6), TGI_TILE(const T, 2), TGI_TILE(const T, 3), \
                  TGI_NUM(T, 7), TGI_TILE(T, 4), TGI_INT(5) != 0);                                   \
        return 0;                                                                                    \
    }
MATVEC_ADD(matvec_add_f32, float, matvec_of_f32)
MATVEC_ADD(matvec_add_f64, double, matvec_of_f64)

static const struct tgi_builtin_param matvec_params[] = {
    TGI_P_INT("m"),
    TGI_P_INT("n"),
    TGI_P_TILE("a", TG_IN, "m*n"),
    TGI_P_TILE("x", TG_IN, "trans ? m : n"),
    TGI_P_TILE("y", TG_OUT, "trans ? n : m"),
    TGI_P_INT_OR("trans", "0"),
    TGI_P_NUM_OR("alpha", "1"),
};
const struct tgi_builtin tgi_builtin_matvec = {
    .name = "matvec",
    .brief = "y = alpha*a*x, a m x n; with trans, y = alpha*a^T*x",
    TGI_PARAMS(matvec_params),
    .flops = "2*m*n",
    .bytes = "(m*n+m+n)*sizeof(T)",
    .cpu = {[TG_F32] = matvec_f32, [TG_F64] = matvec_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_matvec",
        .grid = TGI_GRID("(trans ? ceildiv(n,32) : ceildiv(m,8))"),
        .block = "trans ? 1024 : 256",
    },
};

static const struct tgi_builtin_param matvec_add_params[] = {
    TGI_P_INT("m"),
    TGI_P_INT("n"),
    TGI_P_TILE("a", TG_IN, "m*n"),
    TGI_P_TILE("x", TG_IN, "trans ? m : n"),
    TGI_P_TILE("y", TG_INOUT, "trans ? n : m"),
    TGI_P_INT_OR("trans", "0"),
    TGI_P_NUM_OR("alpha", "1"),
    TGI_P_NUM_OR("beta", "1"),
};
const struct tgi_builtin tgi_builtin_matvec_add = {
    .name = "matvec_add",
    .brief = "y = beta*y + alpha*a*x, a m x n; with trans, a^T",
    TGI_PARAMS(matvec_add_params),
    .flops = "2*m*n",
    .bytes = "(m*n+2*m+2*n)*sizeof(T)",
    .cpu = {[TG_F32] = matvec_add_f32, [TG_F64] = matvec_add_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_matvec_add",
        .grid = TGI_GRID("(trans ? ceildiv(n,32) : ceildiv(m,8))"),
        .block = "trans ? 1024 : 256",
    },
};
