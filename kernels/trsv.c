/* trsv_rows: consecutive rows of a sparse lower triangular system L x = b.
 *
 * A task has m unknowns, x[0..m).  What other tasks have solved comes as tiles, so that the graph knows what waits for what; an
 * entry names its column by tile and place: cols[e] = tile * 65536 + place, where tile 0 is x itself and tile k is in<k-1>.  The
 * entries of row r are start[2r] .. start[2r+2] - 1: to start[2r+1] - 1 those of other tiles, then those of x, ascending, and last
 * the diagonal.  All tasks share the three arrays: `at` is added to r, and first .. first + n - 1 are the task's entries.  A row
 * with entries in more tiles than a task takes is cut: without `solve` only sums are subtracted, and x is the next one's b.
 *
 * Sums have one order on every machine, so that all executors give the same bits: entries of other tiles in 8 interleaved partial
 * sums, added pairwise, then those of x one after the other; products and sums are fused.  The diagonal is divided by as a product
 * with its inverse, which is there before the sum is. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <math.h>

enum { N_INPUTS = 16, N_SUMS = 8, INPUT_ARG = 12 };

/* From the arguments of a task. */
struct rows {
    int64_t m, first, n, width;
    const int64_t *start; /* of its first row */
    const int32_t *cols;
    bool is_solve;
    const void *in[N_INPUTS];
};

static struct rows rows_of(void **args)
{
    struct rows s = {.m = TGI_INT(0), .first = TGI_INT(2), .n = TGI_INT(3), .width = TGI_INT(9)};
    s.start = s.m > 0 ? TGI_TILE(const int64_t, 5) + 2 * TGI_INT(1) : NULL;
    s.cols = TGI_TILE(const int32_t, 6);
    s.is_solve = TGI_INT(11) != 0;
    for (int k = 0; k < N_INPUTS; k++)
        s.in[k] = TGI_TILE(const void, INPUT_ARG + k);
    return s;
}

/* True if all entries of row r are the task's and name an element that it has. */
static bool is_row_sound(const struct rows *s, int64_t r)
{
    const int64_t *p = s->start + 2 * r;
    int64_t end = p[2] - s->is_solve, before = -1;
    if (p[0] < s->first || p[1] < p[0] || end < p[1] || p[2] > s->first + s->n)
        return false;
    for (int64_t e = p[0]; e < end; e++) {
        uint32_t tile = (uint32_t)s->cols[e] >> 16, place = (uint32_t)s->cols[e] & 0xffff;
        bool is_own = e >= p[1];
        if (is_own ? tile != 0 || place <= before || place >= r : tile < 1 || tile > N_INPUTS || !s->in[tile - 1] || place >= s->width)
            return false;
        before = is_own ? (int64_t)place : -1;
    }
    return true;
}

/* x of a row whose entries are sound; false: what its diagonal is, *bad_p, is of no use. */
#define ROW_OF(name, T, fused)                                                                                   \
    TGI_HOT static bool name(const struct rows *s, int64_t r, const T *vals, T b, T *x, double *bad_p)           \
    {                                                                                                            \
        const int64_t *p = s->start + 2 * r;                                                                     \
        T sums[N_SUMS] = {0};                                                                                    \
        for (int64_t e = p[0]; e < p[1]; e++) {                                                                  \
            const T *in = s->in[((uint32_t)s->cols[e] >> 16) - 1];                                               \
            T *sum = &sums[(e - p[0]) % N_SUMS];                                                                 \
            *sum = fused(vals[e], in[(uint32_t)s->cols[e] & 0xffff], *sum);                                      \
        }                                                                                                        \
        for (int w = N_SUMS / 2; w > 0; w /= 2)                                                                  \
            for (int q = 0; q < w; q++)                                                                          \
                sums[q] += sums[q + w];                                                                          \
        T left = b - sums[0];                                                                                    \
        if (!s->is_solve) {                                                                                      \
            x[r] = left;                                                                                         \
            return true;                                                                                         \
        }                                                                                                        \
        int64_t e = p[1];                                                                                        \
        for (; e < p[2] - 1; e++)                                                                                \
            left = fused(-vals[e], x[s->cols[e]], left);                                                         \
        *bad_p = (double)vals[e];                                                                                \
        x[r] = left * (1 / vals[e]);                                                                             \
        return vals[e] < 0 || vals[e] > 0;                                                                       \
    }
ROW_OF(row_f32, float, fmaf)
ROW_OF(row_f64, double, fma)

#define TRSV_ROWS(name, T, row)                                                                                  \
    TGI_CPU_KERNEL(name)                                                                                         \
    {                                                                                                            \
        struct rows s = rows_of(args);                                                                           \
        const T *vals = TGI_TILE(const T, 4), *b = TGI_TILE(const T, 7);                                         \
        double bad;                                                                                              \
        for (int64_t r = 0; r < s.m; r++) {                                                                      \
            if (!is_row_sound(&s, r))                                                                            \
                TGI_FAIL(ctx, "entries of row %lld of %lld name no element of the task", (long long)r + 1,       \
                         (long long)s.m);                                                                        \
            if (!row(&s, r, vals, b[TGI_INT(10) + r], TGI_TILE(T, 8), &bad))                                     \
                TGI_FAIL(ctx, "diagonal of row %lld of %lld is %g", (long long)r + 1, (long long)s.m, bad);      \
        }                                                                                                        \
        return 0;                                                                                                \
    }
TRSV_ROWS(trsv_rows_f32, float, row_f32)
TRSV_ROWS(trsv_rows_f64, double, row_f64)

#define INPUT(k) TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "in" #k, TG_IN, "width")
static const struct tgi_builtin_param trsv_rows_params[] = {
    TGI_P_INT("m"),
    TGI_P_INT("at"),
    TGI_P_INT("first"),
    TGI_P_INT("n"),
    TGI_P_TILE("vals", TG_IN, "first+n"),
    TGI_P_TILE_OF(TG_I64, "start", TG_IN, "2*(at+m)+1"),
    TGI_P_TILE_OF(TG_I32, "cols", TG_IN, "first+n"),
    TGI_P_TILE("b", TG_IN, "row0+m"),
    TGI_P_TILE("x", TG_OUT, "m"),
    TGI_P_INT("width"),
    TGI_P_INT_OR("row0", "0"),
    TGI_P_INT_OR("solve", "1"),
    INPUT(0),
    INPUT(1),
    INPUT(2),
    INPUT(3),
    INPUT(4),
    INPUT(5),
    INPUT(6),
    INPUT(7),
    INPUT(8),
    INPUT(9),
    INPUT(10),
    INPUT(11),
    INPUT(12),
    INPUT(13),
    INPUT(14),
    INPUT(15),
};
const struct tgi_builtin tgi_builtin_trsv_rows = {
    .name = "trsv_rows",
    .brief = "m rows of a sparse triangular solve: x = (b - sums of entries) / diagonal; solve=0: b - sums",
    TGI_PARAMS(trsv_rows_params),
    .flops = "2*n",
    .bytes = "n*(2*sizeof(T)+4)+m*(2*sizeof(T)+16)",
    .cpu = {[TG_F32] = trsv_rows_f32, [TG_F64] = trsv_rows_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_trsv_rows",
        .can_fail = true,
        .grid = "1",
        .block = "32",
    },
};
