/* Attention of one query over positions that come in parts, so that tiles of a long context are tasks that run side by side.
 *
 * attention_part: of `rows` positions with keys k and values v, rows of `cols` elements, what a softmax over more of them needs:
 *                 with s = scale * k q, top = max(s) and w = exp(s - top), the part is the sum of w v, then top, then the sum of w.
 * attention_join: y = the weighted mean over the positions of all parts.
 *
 * A part of no positions has top -infinity and weighs nothing.  A query that sees nothing but scores of -infinity has no mean: y is
 * NaN, as softmax has it, and so it is with a score of NaN. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <math.h>

enum { CHUNK = 64 };
#define LANES(T) (64 / (int64_t)sizeof(T))

/* scores[i] = scale * row i of k times q, for n rows.  Returns the largest. */
#define SCORES(name, T)                                                                                       \
    TGI_HOT static T name(int64_t n, int64_t cols, const T *q, const T *k, T scale, T *scores)                \
    {                                                                                                         \
        T top = -(T)INFINITY;                                                                                 \
        for (int64_t i = 0; i < n; i++, k += cols) {                                                          \
            T acc[LANES(T)] = {0};                                                                            \
            int64_t j = 0;                                                                                    \
            for (; j + LANES(T) <= cols; j += LANES(T))                                                       \
                for (int64_t w = 0; w < LANES(T); w++)                                                        \
                    acc[w] += k[j + w] * q[j + w];                                                            \
            for (int64_t w = 0; j + w < cols; w++)                                                            \
                acc[w] += k[j + w] * q[j + w];                                                                \
            for (int64_t half = LANES(T) / 2; half > 0; half /= 2)                                            \
                for (int64_t w = 0; w < half; w++)                                                            \
                    acc[w] += acc[w + half];                                                                  \
            scores[i] = scale * acc[0];                                                                       \
            top = scores[i] > top ? scores[i] : top;                                                          \
        }                                                                                                     \
        return top;                                                                                           \
    }
SCORES(scores_f32, float)
SCORES(scores_f64, double)

/* y = y * of_y + the sum of weights[i] * row i of v. */
#define GATHER(name, T)                                                                                       \
    TGI_HOT static void name(int64_t n, int64_t cols, const T *weights, const T *v, T of_y, T *y)             \
    {                                                                                                         \
        for (int64_t j = 0; j < cols; j++)                                                                    \
            y[j] *= of_y;                                                                                     \
        for (int64_t i = 0; i < n; i++, v += cols)                                                            \
            for (int64_t j = 0; j < cols; j++)                                                                \
                y[j] += weights[i] * v[j];                                                                    \
    }
GATHER(gather_f32, float)
GATHER(gather_f64, double)

/* What weighed 1 relative to `top` before, relative to a top that is at least as large. */
#define WEIGHT(T, exp_of, before, top) ((before) > -(T)INFINITY ? exp_of((before) - (top)) : (T)0)

#define ATTENTION_PART(name, T, exp_of, scores_of, gather)                                                    \
    TGI_CPU_KERNEL(name)                                                                                      \
    {                                                                                                         \
        int64_t rows = TGI_INT(0), cols = TGI_INT(1);                                                         \
        const T *k = TGI_TILE(const T, 3), *v = TGI_TILE(const T, 4);                                         \
        T *part = TGI_TILE(T, 5), top = -(T)INFINITY, total = 0, w[CHUNK];                                    \
        for (int64_t j = 0; j < cols; j++)                                                                    \
            part[j] = 0;                                                                                      \
        for (int64_t at = 0; at < rows; at += CHUNK) {                                                        \
            int64_t n = rows - at < CHUNK ? rows - at : CHUNK;                                                \
            T higher = scores_of(n, cols, TGI_TILE(const T, 2), k + at * cols, TGI_NUM(T, 6), w);             \
            higher = higher > top ? higher : top;                                                             \
            T of_before = WEIGHT(T, exp_of, top, higher), shift = higher > -(T)INFINITY ? higher : (T)0;      \
            total *= of_before;                                                                               \
            for (int64_t i = 0; i < n; i++)                                                                   \
                total += w[i] = exp_of(w[i] - shift);                                                         \
            gather(n, cols, w, v + at * cols, of_before, part);                                               \
            top = higher;                                                                                     \
        }                                                                                                     \
        part[cols] = top;                                                                                     \
        part[cols + 1] = total;                                                                               \
        return 0;                                                                                             \
    }
ATTENTION_PART(attention_part_f32, float, expf, scores_f32, gather_f32)
ATTENTION_PART(attention_part_f64, double, exp, scores_f64, gather_f64)

static const struct tgi_builtin_param attention_part_params[] = {
    TGI_P_INT("rows"),
    TGI_P_INT("cols"),
    TGI_P_TILE("q", TG_IN, "cols"),
    TGI_P_TILE("k", TG_IN, "rows*cols"),
    TGI_P_TILE("v", TG_IN, "rows*cols"),
    TGI_P_TILE("part", TG_OUT, "cols+2"),
    TGI_P_NUM_OR("scale", "1"),
};
const struct tgi_builtin tgi_builtin_attention_part = {
    .name = "attention_part",
    .brief = "part = sum of w*v, max(s), sum of w; s = scale*k*q, w = exp(s - max(s)); k and v rows x cols",
    TGI_PARAMS(attention_part_params),
    .flops = "4*rows*cols+5*rows",
    .bytes = "(2*rows*cols+2*cols+2)*sizeof(T)",
    .cpu = {[TG_F32] = attention_part_f32, [TG_F64] = attention_part_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_attention_part",
        .grid = TGI_GRID("ceildiv(cols,128)"),
        .block = "256",
    },
};

#define ATTENTION_JOIN(name, T, exp_of)                                                                       \
    TGI_CPU_KERNEL(name)                                                                                      \
    {                                                                                                         \
        int64_t parts = TGI_INT(0), cols = TGI_INT(1), stride = cols + 2;                                     \
        const T *part = TGI_TILE(const T, 2);                                                                 \
        T *y = TGI_TILE(T, 3), top = -(T)INFINITY, total = 0;                                                 \
        for (int64_t i = 0; i < parts; i++)                                                                   \
            top = part[i * stride + cols] > top ? part[i * stride + cols] : top;                              \
        for (int64_t j = 0; j < cols; j++)                                                                    \
            y[j] = 0;                                                                                         \
        for (int64_t i = 0; i < parts; i++) {                                                                 \
            T w = WEIGHT(T, exp_of, part[i * stride + cols], top);                                            \
            total += w * part[i * stride + cols + 1];                                                         \
            for (int64_t j = 0; j < cols; j++)                                                                \
                y[j] += w * part[i * stride + j];                                                             \
        }                                                                                                     \
        for (int64_t j = 0; j < cols; j++)                                                                    \
            y[j] /= total;                                                                                    \
        return 0;                                                                                             \
    }
ATTENTION_JOIN(attention_join_f32, float, expf)
ATTENTION_JOIN(attention_join_f64, double, exp)

static const struct tgi_builtin_param attention_join_params[] = {
    TGI_P_INT("parts"),
    TGI_P_INT("cols"),
    TGI_P_TILE("part", TG_IN, "parts*(cols+2)"),
    TGI_P_TILE("y", TG_OUT, "cols"),
};
const struct tgi_builtin tgi_builtin_attention_join = {
    .name = "attention_join",
    .brief = "y = weighted mean over the positions of all parts, each of cols + 2 elements",
    TGI_PARAMS(attention_join_params),
    .flops = "2*parts*cols+5*parts",
    .bytes = "(parts*(cols+2)+cols)*sizeof(T)",
    .cpu = {[TG_F32] = attention_join_f32, [TG_F64] = attention_join_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_attention_join",
        .grid = TGI_GRID("ceildiv(cols,128)"),
        .block = "32",
    },
};
