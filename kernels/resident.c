/* Which kernel has which body, for which arguments, and what it costs.  See resident.h. */
#include "kernels/resident.h"

#include <stdbool.h>
#include <stddef.h>
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

struct row {
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
#define BITS(kernel, tiles)                                                                                \
    ROW(kernel, u8, kernel##_1, first, tiles), ROW(kernel, i8, kernel##_1, first, tiles),                  \
        ROW(kernel, f16, kernel##_2, first, 2 * tiles), ROW(kernel, bf16, kernel##_2, first, 2 * tiles),   \
        ROW(kernel, i16, kernel##_2, first, 2 * tiles), ROW(kernel, u16, kernel##_2, first, 2 * tiles),    \
        ROW(kernel, f32, kernel##_4, first, 4 * tiles), ROW(kernel, i32, kernel##_4, first, 4 * tiles),    \
        ROW(kernel, u32, kernel##_4, first, 4 * tiles), ROW(kernel, f64, kernel##_8, first, 8 * tiles),    \
        ROW(kernel, i64, kernel##_8, first, 8 * tiles), ROW(kernel, u64, kernel##_8, first, 8 * tiles),    \
        ROW(kernel, c64, kernel##_8, first, 8 * tiles), ROW(kernel, c128, kernel##_16, first, 16 * tiles)
#define ALONE(kernel, body, n, bytes) {"tgk_" #kernel, TGI_BODY_##body, n, bytes}

static const struct row rows[] = {
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
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static const struct row *find(const char *symbol)
{
    for (uint32_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].symbol, symbol) == 0)
            return &rows[i];
    return NULL;
}

int tgi_body_exists(const char *symbol) { return find(symbol) != NULL; }

int tgi_body_find(const char *symbol, const uint64_t *words, float *cost_ns_p)
{
    const struct row *row = find(symbol);
    int64_t n = row ? row->n(words) : -1;
    if (n < 0 && row && (row->n == first || row->n == second))
        n = 0; /* sizes below 0 are as 0 */
    if (n < 0)
        return -1;
    *cost_ns_p = NS_A_TASK + NS_A_KIB / 1024 * (float)n * (float)row->bytes;
    return (int)row->body;
}

const char *tgi_body_symbol(enum tgi_body body)
{
    for (uint32_t i = 0; i < N_ROWS; i++)
        if (rows[i].body == body)
            return rows[i].symbol;
    return NULL;
}
