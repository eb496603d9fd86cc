/* dot, sum, min, max, max_diff and their accumulating forms (dot_into, ..), whose result is a reduce
 * parameter, so that tasks which feed one accumulator may run at once.
 *
 * Floating-point sums are formed in 16 (f64) or 32 (f32) interleaved partial sums that are added
 * pairwise: this vectorises, is more accurate than one running sum, and gives the same order of
 * additions on every machine.  min and max are NaN if any element is.  Over nothing, sum and dot
 * are 0, max_diff is 0, and min and max are the neutral element: +-infinity, or the largest or
 * smallest integer.  Integer sums wrap. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <math.h>

#define LANES(T) (128 / (int64_t)sizeof(T))

/* `term` is what element i contributes, in terms of i. */
#define SUM_LOOP(T, total, term)                       \
    T total;                                           \
    {                                                  \
        T acc[LANES(T)] = {0};                         \
        int64_t base = 0;                              \
        for (; base + LANES(T) <= n; base += LANES(T)) \
            for (int64_t j = 0; j < LANES(T); j++) {   \
                int64_t i = base + j;                  \
                acc[j] += term;                        \
            }                                          \
        for (int64_t i = base; i < n; i++)             \
            acc[i - base] += term;                     \
        for (int64_t w = LANES(T) / 2; w > 0; w /= 2)  \
            for (int64_t j = 0; j < w; j++)            \
                acc[j] += acc[j + w];                  \
        total = acc[0];                                \
    }

/* U is unsigned for integers; the tile's element type has the same size. */
#define SUM(name, into_name, U)                                           \
    TGI_HOT static U name##_of(int64_t n, const U *x)                     \
    {                                                                     \
        SUM_LOOP(U, total, x[i])                                          \
        return total;                                                     \
    }                                                                     \
    TGI_CPU_KERNEL(name)                                                  \
    {                                                                     \
        TGI_TILE(U, 2)[0] = name##_of(TGI_INT(0), TGI_TILE(const U, 1));  \
        return 0;                                                         \
    }                                                                     \
    TGI_CPU_KERNEL(into_name)                                             \
    {                                                                     \
        TGI_TILE(U, 2)[0] += name##_of(TGI_INT(0), TGI_TILE(const U, 1)); \
        return 0;                                                         \
    }
SUM(sum_f32, sum_into_f32, float)
SUM(sum_f64, sum_into_f64, double)
SUM(sum_32, sum_into_32, uint32_t)
SUM(sum_64, sum_into_64, uint64_t)

#define DOT(name, into_name, T)                                                                 \
    TGI_HOT static T name##_of(int64_t n, const T *x, const T *y)                               \
    {                                                                                           \
        SUM_LOOP(T, total, x[i] * y[i])                                                         \
        return total;                                                                           \
    }                                                                                           \
    TGI_CPU_KERNEL(name)                                                                        \
    {                                                                                           \
        TGI_TILE(T, 3)[0] = name##_of(TGI_INT(0), TGI_TILE(const T, 1), TGI_TILE(const T, 2));  \
        return 0;                                                                               \
    }                                                                                           \
    TGI_CPU_KERNEL(into_name)                                                                   \
    {                                                                                           \
        TGI_TILE(T, 3)[0] += name##_of(TGI_INT(0), TGI_TILE(const T, 1), TGI_TILE(const T, 2)); \
        return 0;                                                                               \
    }
DOT(dot_f32, dot_into_f32, float)
DOT(dot_f64, dot_into_f64, double)

/* What min and max do with two values: `better` compares; a NaN on either side stays.  For
 * integers the tests for NaN are constant and vanish. */
#define PICK(r, v, better) (((v)better(r)) || (v) != (v) ? (v) : (r))

/* The best of x[0..n) and `start`.  A block is scanned twice while it is in the cache, for its best
 * number and for NaN, because one loop that does both does not vectorise. */
#define EXTREME_OF(name, T, better, value)                            \
    TGI_HOT static T name(int64_t n, const T *x, const T *y, T start) \
    {                                                                 \
        (void)y;                                                      \
        T acc[LANES(T)];                                              \
        for (int64_t j = 0; j < LANES(T); j++)                        \
            acc[j] = start;                                           \
        int64_t base = 0;                                             \
        bool has_nan = false;                                         \
        while (base + LANES(T) <= n) {                                \
            int64_t end = base + 1024 < n ? base + 1024 : n;          \
            int n_nan = 0;                                            \
            for (int64_t i = base; i < end; i++)                      \
                n_nan += value != value;                              \
            has_nan |= n_nan > 0;                                     \
            for (; base + LANES(T) <= end; base += LANES(T))          \
                for (int64_t j = 0; j < LANES(T); j++) {              \
                    int64_t i = base + j;                             \
                    T v = value;                                      \
                    acc[j] = v better acc[j] ? v : acc[j];            \
                }                                                     \
        }                                                             \
        T best = start;                                               \
        for (int64_t j = 0; j < LANES(T); j++)                        \
            best = PICK(best, acc[j], better);                        \
        for (int64_t i = base; i < n; i++)                            \
            best = PICK(best, value, better);                         \
        return has_nan ? not_a_number_##T() : best;                   \
    }
static inline float not_a_number_float(void) { return NAN; }
static inline double not_a_number_double(void) { return NAN; }
/* Integers never get here: has_nan is constant. */
static inline int32_t not_a_number_int32_t(void) { return 0; }
static inline int64_t not_a_number_int64_t(void) { return 0; }
static inline uint32_t not_a_number_uint32_t(void) { return 0; }
static inline uint64_t not_a_number_uint64_t(void) { return 0; }

#define EXTREME(name, into_name, T, better, neutral)                                    \
    EXTREME_OF(name##_of, T, better, x[i])                                              \
    TGI_CPU_KERNEL(name)                                                                \
    {                                                                                   \
        TGI_TILE(T, 2)[0] = name##_of(TGI_INT(0), TGI_TILE(const T, 1), NULL, neutral); \
        return 0;                                                                       \
    }                                                                                   \
    TGI_CPU_KERNEL(into_name)                                                           \
    {                                                                                   \
        T *r = TGI_TILE(T, 2);                                                          \
        T best = name##_of(TGI_INT(0), TGI_TILE(const T, 1), NULL, neutral);            \
        r[0] = PICK(r[0], best, better);                                                \
        return 0;                                                                       \
    }
EXTREME(min_f32, min_into_f32, float, <, INFINITY)
EXTREME(min_f64, min_into_f64, double, <, (double)INFINITY)
EXTREME(min_i32, min_into_i32, int32_t, <, INT32_MAX)
EXTREME(min_i64, min_into_i64, int64_t, <, INT64_MAX)
EXTREME(min_u32, min_into_u32, uint32_t, <, UINT32_MAX)
EXTREME(min_u64, min_into_u64, uint64_t, <, UINT64_MAX)
EXTREME(max_f32, max_into_f32, float, >, -INFINITY)
EXTREME(max_f64, max_into_f64, double, >, -(double)INFINITY)
EXTREME(max_i32, max_into_i32, int32_t, >, INT32_MIN)
EXTREME(max_i64, max_into_i64, int64_t, >, INT64_MIN)
EXTREME(max_u32, max_into_u32, uint32_t, >, 0)
EXTREME(max_u64, max_into_u64, uint64_t, >, 0)

#define MAX_DIFF(name, into_name, T, absolute)                                                    \
    EXTREME_OF(name##_of, T, >, absolute(x[i] - y[i]))                                            \
    TGI_CPU_KERNEL(name)                                                                          \
    {                                                                                             \
        TGI_TILE(T, 3)[0] = name##_of(TGI_INT(0), TGI_TILE(const T, 1), TGI_TILE(const T, 2), 0); \
        return 0;                                                                                 \
    }                                                                                             \
    TGI_CPU_KERNEL(into_name)                                                                     \
    {                                                                                             \
        T *r = TGI_TILE(T, 3);                                                                    \
        T best = name##_of(TGI_INT(0), TGI_TILE(const T, 1), TGI_TILE(const T, 2), 0);            \
        r[0] = PICK(r[0], best, >);                                                               \
        return 0;                                                                                 \
    }
MAX_DIFF(max_diff_f32, max_diff_into_f32, float, fabsf)
MAX_DIFF(max_diff_f64, max_diff_into_f64, double, fabs)

static const struct tgi_builtin_param unary_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("r", TG_OUT, "1"),
};
static const struct tgi_builtin_param binary_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_IN, "n"),
    TGI_P_TILE("r", TG_OUT, "1"),
};
#define UNARY_INTO(op) TGI_P_INT("n"), TGI_P_TILE("x", TG_IN, "n"), TGI_P_REDUCE(TGI_DTYPE_T, "r", op, "1")
#define BINARY_INTO(op)                                                       \
    TGI_P_INT("n"), TGI_P_TILE("x", TG_IN, "n"), TGI_P_TILE("y", TG_IN, "n"), \
        TGI_P_REDUCE(TGI_DTYPE_T, "r", op, "1")
static const struct tgi_builtin_param sum_into_params[] = {UNARY_INTO(TG_SUM)};
static const struct tgi_builtin_param min_into_params[] = {UNARY_INTO(TG_MIN)};
static const struct tgi_builtin_param max_into_params[] = {UNARY_INTO(TG_MAX)};
static const struct tgi_builtin_param dot_into_params[] = {BINARY_INTO(TG_SUM)};
static const struct tgi_builtin_param max_diff_into_params[] = {BINARY_INTO(TG_MAX)};

const struct tgi_builtin tgi_builtin_dot = {
    .name = "dot",
    .brief = "r[0] = sum of x[i] * y[i]",
    TGI_PARAMS(binary_params),
    .flops = "2*n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = dot_f32, [TG_F64] = dot_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_dot",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_dot_into = {
    .name = "dot_into",
    .brief = "r[0] += sum of x[i] * y[i] (reduce)",
    TGI_PARAMS(dot_into_params),
    .flops = "2*n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = dot_into_f32, [TG_F64] = dot_into_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_dot_into",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_sum = {
    .name = "sum",
    .brief = "r[0] = sum of x[i]",
    TGI_PARAMS(unary_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(sum_f32, sum_f64, sum_32, sum_32, sum_64, sum_64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_sum",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_sum_into = {
    .name = "sum_into",
    .brief = "r[0] += sum of x[i] (reduce)",
    TGI_PARAMS(sum_into_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(sum_into_f32, sum_into_f64, sum_into_32, sum_into_32, sum_into_64, sum_into_64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_sum_into",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_min = {
    .name = "min",
    .brief = "r[0] = least x[i]; NaN if any is",
    TGI_PARAMS(unary_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(min_f32, min_f64, min_i32, min_u32, min_i64, min_u64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_min",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_min_into = {
    .name = "min_into",
    .brief = "r[0] = least of r[0] and x[i] (reduce)",
    TGI_PARAMS(min_into_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(min_into_f32, min_into_f64, min_into_i32, min_into_u32, min_into_i64, min_into_u64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_min_into",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_max = {
    .name = "max",
    .brief = "r[0] = greatest x[i]; NaN if any is",
    TGI_PARAMS(unary_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(max_f32, max_f64, max_i32, max_u32, max_i64, max_u64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_max",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_max_into = {
    .name = "max_into",
    .brief = "r[0] = greatest of r[0] and x[i] (reduce)",
    TGI_PARAMS(max_into_params),
    .flops = "n",
    .bytes = "n*sizeof(T)",
    .cpu = TGI_NUMBERS(max_into_f32, max_into_f64, max_into_i32, max_into_u32, max_into_i64, max_into_u64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_max_into",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_max_diff = {
    .name = "max_diff",
    .brief = "r[0] = greatest abs(x[i] - y[i]); NaN if any is",
    TGI_PARAMS(binary_params),
    .flops = "3*n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = max_diff_f32, [TG_F64] = max_diff_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_max_diff",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
const struct tgi_builtin tgi_builtin_max_diff_into = {
    .name = "max_diff_into",
    .brief = "r[0] = greatest of r[0] and abs(x[i] - y[i]) (reduce)",
    TGI_PARAMS(max_diff_into_params),
    .flops = "3*n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = max_diff_into_f32, [TG_F64] = max_diff_into_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_max_diff_into",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
