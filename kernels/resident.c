/* Which kernel has which body, for which arguments, and what it costs.  See resident.h. */
#include "kernels/resident.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A warp asks for a line of each tile at a time and waits for it; several are in flight. */
enum { NS_A_TASK = 100 };
static const float NS_A_KIB = 200;

/* Elements that a task goes through, from its words; negative: too wide a row for a warp, or the like. */
typedef int64_t (*elements_fn)(const uint64_t *a);

static int64_t times(int64_t a, int64_t b) { return a <= 0 || b <= 0 ? 0 : a > INT64_MAX / b ? INT64_MAX : a * b; }

static int64_t first(const uint64_t *a) { return (int64_t)a[0]; }
static int64_t second(const uint64_t *a) { return (int64_t)a[1]; }
static int64_t area(const uint64_t *a) { return times((int64_t)a[0], (int64_t)a[1]); }
/* Columns are summed by the threads of a block, whose order a warp does not follow. */
static int64_t rows_only(const uint64_t *a) { return a[5] ? -1 : area(a); }
/* Longer rows belong to a block. */
static int64_t short_rows(const uint64_t *a) { return (int64_t)a[1] > 1024 ? -1 : area(a); }
/* Elements that take as long: a warp does about ten multiply-adds in a nanosecond. */
static int64_t product(const uint64_t *a) { return times((int64_t)a[0], times((int64_t)a[4], (int64_t)a[5])) / 2; }
static int64_t square(const uint64_t *a) { return times((int64_t)a[0], times((int64_t)a[0], (int64_t)a[3])) / 4; }
/* Up to 64 unknowns, of eight sides at a time, each after the one before. */
static int64_t triangle(const uint64_t *a) { return (int64_t)a[0] > 64 ? -1 : times(30, times((int64_t)a[0], (int64_t)a[3])); }
static int64_t factor(const uint64_t *a) { return (int64_t)a[0] > 64 ? -1 : times((int64_t)a[0], times((int64_t)a[0], (int64_t)a[0])); }
/* Rows are solved one after the other, which is waiting rather than bytes. */
static int64_t entries(const uint64_t *a) { return (int64_t)a[0] < 0 || (int64_t)a[3] < 0 ? 0 : (int64_t)a[3] + times(4, (int64_t)a[0]); }
static int64_t one(const uint64_t *a) { return (void)a, 1; }
/* Every line of every input and of every output. */
static int64_t spin_bytes(const uint64_t *a)
{
    int64_t n = 0;
    double us;
    memcpy(&us, &a[0], sizeof us);
    for (int k = 0; k < 14; k++)
        n += (int64_t)a[15 + k] > 0 ? (int64_t)a[15 + k] / 64 : 0;
    return n + (us > 0 ? us < 1e6 ? (int64_t)(us * 1000 * 1024 / (double)NS_A_KIB) : INT32_MAX : 0);
}

struct tgi_body_row {
    const char *symbol;
    enum tgi_body body;
    elements_fn n;
    uint32_t bytes; /* of an element, of all tiles */
};

#define ROW(kernel, type, body, n, bytes) {"tgk_" #kernel "_" #type, TGI_BODY_##body, n, bytes}
#define FLOATS(kernel, n, tiles) ROW(kernel, f32, kernel##_f32, n, 4 * tiles), ROW(kernel, f64, kernel##_f64, n, 8 * tiles)
/* Integers of both signs have the same sums and products. */
#define WRAPPING(kernel, n, tiles)                                                                        \
    FLOATS(kernel, n, tiles), ROW(kernel, i32, kernel##_u32, n, 4 * tiles), ROW(kernel, u32, kernel##_u32, n, 4 * tiles), \
        ROW(kernel, i64, kernel##_u64, n, 8 * tiles), ROW(kernel, u64, kernel##_u64, n, 8 * tiles)
#define NUMBERS(kernel, n, tiles)                                                                         \
    FLOATS(kernel, n, tiles), ROW(kernel, i32, kernel##_i32, n, 4 * tiles), ROW(kernel, u32, kernel##_u32, n, 4 * tiles), \
        ROW(kernel, i64, kernel##_i64, n, 8 * tiles), ROW(kernel, u64, kernel##_u64, n, 8 * tiles)
#define BITS(kernel, tiles) BITS_OF(kernel, first, tiles)
#define BITS_OF(kernel, n, tiles)                                                                          \
    ROW(kernel, u8, kernel##_1, n, tiles), ROW(kernel, i8, kernel##_1, n, tiles),                  \
        ROW(kernel, f16, kernel##_2, n, 2 * tiles), ROW(kernel, bf16, kernel##_2, n, 2 * tiles),   \
        ROW(kernel, i16, kernel##_2, n, 2 * tiles), ROW(kernel, u16, kernel##_2, n, 2 * tiles),    \
        ROW(kernel, f32, kernel##_4, n, 4 * tiles), ROW(kernel, i32, kernel##_4, n, 4 * tiles),    \
        ROW(kernel, u32, kernel##_4, n, 4 * tiles), ROW(kernel, f64, kernel##_8, n, 8 * tiles),    \
        ROW(kernel, i64, kernel##_8, n, 8 * tiles), ROW(kernel, u64, kernel##_8, n, 8 * tiles),    \
        ROW(kernel, c64, kernel##_8, n, 8 * tiles), ROW(kernel, c128, kernel##_16, n, 16 * tiles)
#define FLOPS(kernel, n) ROW(kernel, f32, kernel##_f32, n, 1), ROW(kernel, f64, kernel##_f64, n, 1)
#define ALONE(kernel, body, n, bytes) {"tgk_" #kernel, TGI_BODY_##body, n, bytes}

static const struct tgi_body_row rows[] = {
    BITS(fill, 1),
    BITS(copy, 2),
    BITS(touch, 1),
    WRAPPING(iota, first, 1),
    WRAPPING(add, first, 3),
    WRAPPING(mul, first, 3),
    FLOATS(axpy, first, 3),
    FLOATS(scale, first, 2),
    ALONE(hash, hash, second, 40),
    ALONE(hash_inout, hash_inout, second, 40),
    ALONE(hash_add, hash_add, second, 40),
    ALONE(hash_commute, hash_add, second, 40),
    ALONE(spin, spin, spin_bytes, 1),
    FLOATS(stencil3, first, 4),
    FLOATS(stencil5, area, 6),
    FLOATS(heat2d, area, 6),
    WRAPPING(sum, first, 1),
    WRAPPING(sum_into, first, 1),
    FLOATS(dot, first, 2),
    FLOATS(dot_into, first, 2),
    FLOATS(max_diff, first, 2),
    FLOATS(max_diff_into, first, 2),
    NUMBERS(min, first, 1),
    NUMBERS(min_into, first, 1),
    NUMBERS(max, first, 1),
    NUMBERS(max_into, first, 1),
    FLOATS(matvec, rows_only, 2),
    FLOATS(matvec_add, rows_only, 2),
    FLOATS(softmax, short_rows, 4),
    FLOATS(layernorm, short_rows, 6),
    FLOATS(gelu, first, 4),
    FLOATS(relu, first, 2),
    FLOATS(bias_add, area, 3),
    FLOATS(attention_part, area, 2),
    FLOATS(attention_join, area, 1),
    BITS_OF(transpose, area, 4),
    FLOATS(is_above, one, 1),
    ROW(is_above, i32, is_above_i32, one, 4),
    ROW(is_above, i64, is_above_i64, one, 8),
    ROW(scan, i32, scan_u32, first, 16),
    ROW(scan, u32, scan_u32, first, 16),
    ROW(scan, i64, scan_u64, first, 16),
    ROW(scan, u64, scan_u64, first, 16),
    FLOPS(gemm_nn, product),
    FLOPS(gemm_nt, product),
    FLOPS(gemm_tn, product),
    FLOPS(syrk_lower, square),
    FLOPS(trsm_rlt, triangle),
    FLOPS(trsm_run, triangle),
    FLOPS(trsm_lln, triangle),
    FLOPS(potrf_lower, factor),
    FLOPS(getrf_nopiv, factor),
    FLOATS(trsv_rows, entries, 3),
    ALONE(lcs, lcs, area, 10),
    ALONE(smith_waterman, smith_waterman, area, 10),
};
enum { N_ROWS = sizeof rows / sizeof *rows };

const struct tgi_body_row *tgi_body_row(const char *symbol)
{
    for (uint32_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].symbol, symbol) == 0)
            return &rows[i];
    return NULL;
}

int tgi_body_of(const struct tgi_body_row *row, const uint64_t *words, float *cost_ns_p)
{
    int64_t n = row->n(words);
    if (n < 0 && (row->n == first || row->n == second))
        n = 0; /* sizes below 0 are as 0 */
    if (n < 0)
        return -1;
    *cost_ns_p = NS_A_TASK + NS_A_KIB / 1024 * (float)n * (float)row->bytes;
    return (int)row->body;
}

/* One row with inputs of one element. */
uint32_t tgi_body_post(enum tgi_body body, const uint64_t *words, uint32_t *bytes_p, uint64_t *side_p)
{
    bool is_wide = body == TGI_BODY_trsv_rows_f64;
    if ((!is_wide && body != TGI_BODY_trsv_rows_f32) || words[0] != 1 || words[9] != 1 || words[10] > INT32_MAX)
        return 0;
    *bytes_p = is_wide ? 8 : 4;
    *side_p = words[7] + words[10] * *bytes_p;
    return is_wide ? TGI_BODY_trsv_row_f64 : TGI_BODY_trsv_row_f32;
}

const char *tgi_body_symbol(enum tgi_body body)
{
    for (uint32_t i = 0; i < N_ROWS; i++)
        if (rows[i].body == body)
            return rows[i].symbol;
    return NULL;
}

void tgi_body_explain(enum tgi_body body, const uint64_t *words, uint32_t code, char *text, size_t size)
{
    const char *meaning = body == TGI_BODY_potrf_lower_f32 || body == TGI_BODY_potrf_lower_f64
                              ? "is not positive: the matrix is not positive definite"
                          : body == TGI_BODY_getrf_nopiv_f32 || body == TGI_BODY_getrf_nopiv_f64
                              ? "is zero or not finite: there is no LU factorisation without pivoting"
                              : NULL;
    if (body == TGI_BODY_trsv_rows_f32 || body == TGI_BODY_trsv_rows_f64 || body == TGI_BODY_trsv_row_f32 || body == TGI_BODY_trsv_row_f64)
        snprintf(text, size, "row %u of %llu has a diagonal of zero, or entries that name no element of the task", code,
                 (unsigned long long)words[0]);
    else if (meaning)
        snprintf(text, size, "pivot %u of %llu %s", code, (unsigned long long)words[0], meaning);
    else
        snprintf(text, size, "its resident variant failed with code %u", code);
}
