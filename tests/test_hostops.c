/* Fill, reductions and collectives on host memory. */
#include "mem/hostops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/dtype.h"

static const enum tg_op ops[] = {TG_SUM, TG_PROD, TG_MIN, TG_MAX};

static bool is_complex(enum tg_dtype t) { return t == TG_C64 || t == TG_C128; }

/* Writes small integers, exact in every type. */
static void put(void *data, uint64_t i, enum tg_dtype dtype, int64_t value)
{
    uint64_t word;
    assert_true(tgi_host_encode_int(dtype, value, &word));
    tgi_host_fill((char *)data + i * tg_dtype_size(dtype), 1, dtype, word);
}

static double combine(enum tg_op op, double a, double b)
{
    return op == TG_SUM ? a + b : op == TG_PROD ? a * b : op == TG_MIN ? fmin(a, b) : fmax(a, b);
}

static void numbers_are_encoded_or_refused(void **state)
{
    (void)state;
    uint64_t w = 1;
    static const struct {
        enum tg_dtype dtype;
        int64_t least, greatest;
    } ranges[] = {{TG_I8, -128, 127},
                  {TG_U8, 0, 255},
                  {TG_I16, -32768, 32767},
                  {TG_U16, 0, 65535},
                  {TG_I32, INT32_MIN, INT32_MAX},
                  {TG_U32, 0, UINT32_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        assert_true(tgi_host_encode_int(ranges[i].dtype, ranges[i].least, &w));
        assert_true((int64_t)w == ranges[i].least);
        assert_true(tgi_host_encode_float(ranges[i].dtype, (double)ranges[i].greatest, &w));
        assert_true((int64_t)w == ranges[i].greatest);
        assert_false(tgi_host_encode_int(ranges[i].dtype, ranges[i].least - 1, &w));
        assert_false(tgi_host_encode_float(ranges[i].dtype, (double)ranges[i].greatest + 1, &w));
        assert_false(tgi_host_encode_float(ranges[i].dtype, 0.5, &w));
        assert_false(tgi_host_encode_float(ranges[i].dtype, NAN, &w));
        assert_true((int64_t)w == ranges[i].greatest); /* untouched by failures */
    }
    assert_true(tgi_host_encode_float(TG_U64, 0x1p63, &w));
    assert_true(w == (uint64_t)1 << 63);
    assert_false(tgi_host_encode_float(TG_U64, 0x1p64, &w));
    assert_false(tgi_host_encode_float(TG_I64, 0x1p63, &w));
    assert_true(tgi_host_encode_float(TG_I64, -0x1p63, &w));
    assert_false(tgi_host_encode_int(TG_U64, -1, &w));
    assert_true(tgi_host_encode_float(TG_F16, 1.5, &w));
    assert_true(w == 0x3e00);
    assert_true(tgi_host_encode_float(TG_BF16, -2, &w));
    assert_true(w == 0xc000);
    assert_true(tgi_host_encode_int(TG_F32, 1, &w));
    assert_true(w == 0x3f800000);
    assert_true(tgi_host_encode_float(TG_C128, 1, &w));
    assert_true(w == UINT64_C(0x3ff0000000000000));
}

static void fill_writes_every_element_and_no_other(void **state)
{
    (void)state;
    for (int t = 0; t < TG_N_DTYPES; t++) {
        enum tg_dtype dtype = (enum tg_dtype)t;
        size_t size = tg_dtype_size(dtype);
        for (uint64_t n = 0; n < 70; n++)
            for (int64_t value = 0; value < 4; value += 3) {
                unsigned char *data = malloc(71 * size);
                uint64_t word;
                assert_non_null(data);
                memset(data, 0xee, 71 * size);
                assert_true(tgi_host_encode_int(dtype, value, &word));
                tgi_host_fill(data, n, dtype, word);
                for (uint64_t i = 0; i < n; i++) {
                    assert_true(tgi_host_load(data, i, dtype) == (double)value);
                    if (dtype == TG_C64)
                        assert_true(((float *)data)[2 * i + 1] == 0);
                    if (dtype == TG_C128)
                        assert_true(((double *)data)[2 * i + 1] == 0);
                }
                for (size_t i = n * size; i < 71 * size; i++)
                    assert_int_equal(data[i], 0xee);
                free(data);
            }
    }
}

static void reductions_equal_arithmetic_for_every_type(void **state)
{
    (void)state;
    enum { N = 67 };
    for (int t = 0; t < TG_N_DTYPES; t++)
        for (size_t k = 0; k < 4; k++) {
            enum tg_dtype dtype = (enum tg_dtype)t;
            _Alignas(16) char a[16 * N], b[16 * N];
            if (is_complex(dtype) && k >= 2)
                continue;
            for (int i = 0; i < N; i++) {
                put(a, (uint64_t)i, dtype, i % 11);
                put(b, (uint64_t)i, dtype, i % 7 + 1);
            }
            assert_int_equal(tgi_host_reduce_into(a, b, N, dtype, ops[k], NULL), 0);
            for (int i = 0; i < N; i++)
                assert_true(tgi_host_load(a, (uint64_t)i, dtype) == combine(ops[k], i % 11, i % 7 + 1));
        }
}

static void identities_change_nothing(void **state)
{
    (void)state;
    enum { N = 5 };
    static const int64_t values[N] = {0, 1, 100, 3, 7};
    for (int t = 0; t < TG_N_DTYPES; t++)
        for (size_t k = 0; k < 4; k++) {
            enum tg_dtype dtype = (enum tg_dtype)t;
            _Alignas(16) char a[16 * N];
            struct tg_error err;
            if (is_complex(dtype) && k >= 2) {
                assert_int_equal(tgi_host_identity(a, N, dtype, ops[k], &err), TG_E_DTYPE_UNSUPPORTED);
                assert_int_equal(tgi_host_reduce_into(a, a, 0, dtype, ops[k], &err), TG_E_DTYPE_UNSUPPORTED);
                continue;
            }
            _Alignas(16) char b[16 * N];
            assert_int_equal(tgi_host_identity(a, N, dtype, ops[k], NULL), 0);
            for (int i = 0; i < N; i++)
                put(b, (uint64_t)i, dtype, values[i]);
            assert_int_equal(tgi_host_reduce_into(a, b, N, dtype, ops[k], NULL), 0);
            assert_memory_equal(a, b, N * tg_dtype_size(dtype));
        }
    int64_t least;
    assert_int_equal(tgi_host_identity(&least, 1, TG_I64, TG_MAX, NULL), 0);
    assert_true(least == INT64_MIN);
    int8_t small[2];
    assert_int_equal(tgi_host_identity(small, 1, TG_I8, TG_MIN, NULL), 0);
    assert_int_equal(tgi_host_identity(small + 1, 1, TG_I8, TG_MAX, NULL), 0);
    assert_int_equal(small[0], 127);
    assert_int_equal(small[1], -128);
}

static void integers_wrap_and_nan_wins_on_either_side(void **state)
{
    (void)state;
    int32_t a = INT32_MAX, b = 2;
    int16_t c = INT16_MIN, d = INT16_MIN;
    int64_t e = INT64_MAX, f = 3;
    assert_int_equal(tgi_host_reduce_into(&a, &b, 1, TG_I32, TG_SUM, NULL), 0);
    assert_int_equal(a, INT32_MIN + 1);
    assert_int_equal(tgi_host_reduce_into(&c, &d, 1, TG_I16, TG_PROD, NULL), 0);
    assert_int_equal(c, 0);
    assert_int_equal(tgi_host_reduce_into(&e, &f, 1, TG_I64, TG_PROD, NULL), 0);
    assert_true(e == INT64_MAX - 2);
    for (int swap = 0; swap < 2; swap++)
        for (size_t k = 2; k < 4; k++) {
            double x = swap ? NAN : 1, y = swap ? 1 : NAN;
            float u = (float)x, v = (float)y;
            assert_int_equal(tgi_host_reduce_into(&x, &y, 1, TG_F64, ops[k], NULL), 0);
            assert_int_equal(tgi_host_reduce_into(&u, &v, 1, TG_F32, ops[k], NULL), 0);
            assert_true(isnan(x) && isnan(u));
        }
}

static void complex_products_are_complex(void **state)
{
    (void)state;
    float a[2] = {1, 2}, b[2] = {3, 4};
    double c[2] = {1, 2}, d[2] = {3, 4};
    assert_int_equal(tgi_host_reduce_into(a, b, 1, TG_C64, TG_PROD, NULL), 0);
    assert_int_equal(tgi_host_reduce_into(c, d, 1, TG_C128, TG_PROD, NULL), 0);
    assert_true(a[0] == -5 && a[1] == 10 && c[0] == -5 && c[1] == 10);
}

/* ---- Collectives --------------------------------------------------------------------------*/

/* Value of element i of tile r. */
static int64_t start(uint32_t r, uint64_t i) { return (int64_t)((r * 5 + i * 3) % 8); }

/* What the header says each collective leaves in element i of tile r. */
static double expected(enum tg_collective what, enum tg_op op, uint32_t root, uint32_t n, uint64_t n_elems,
                       uint32_t r, uint64_t i)
{
    uint64_t chunk = n_elems / n;
    double all = (double)start(0, i);
    for (uint32_t s = 1; s < n; s++)
        all = combine(op, all, (double)start(s, i));
    switch (what) {
    case TG_ALLREDUCE:
        return all;
    case TG_BROADCAST:
        return (double)start(root, i);
    case TG_REDUCE_TO:
        return r == root ? all : (double)start(r, i);
    case TG_ALLGATHER:
        return (double)start((uint32_t)(i / chunk), i);
    case TG_REDUCESCATTER:
        return i / chunk == r ? all : (double)start(r, i);
    case TG_ALLTOALL:
        return (double)start((uint32_t)(i / chunk), r * chunk + i % chunk);
    case TG_SENDRECV:
        return (double)start(0, i);
    }
    return NAN;
}

static void every_collective_does_what_it_says(void **state)
{
    (void)state;
    static const enum tg_dtype types[] = {TG_F64, TG_F32, TG_F16, TG_I32, TG_U64, TG_C128};
    for (int what = TG_ALLREDUCE; what <= TG_SENDRECV; what++)
        for (uint32_t n = what == TG_SENDRECV ? 2 : 1; n <= (what == TG_SENDRECV ? 2 : 5); n++)
            for (size_t k = 0; k < sizeof types / sizeof *types; k++)
                for (size_t o = 0; o < 4; o += 3) {
                    if (is_complex(types[k]) && o)
                        continue;
                    uint64_t n_elems = 60 * 40; /* several pieces of the summing buffer */
                    uint32_t root = n - 1;
                    void *tiles[5];
                    for (uint32_t r = 0; r < n; r++) {
                        tiles[r] = malloc(n_elems * tg_dtype_size(types[k]));
                        assert_non_null(tiles[r]);
                        for (uint64_t i = 0; i < n_elems; i++)
                            put(tiles[r], i, types[k], start(r, i));
                    }
                    assert_int_equal(tgi_host_collective((enum tg_collective)what, ops[o], root, tiles, n,
                                                         n_elems, types[k], NULL),
                                     0);
                    for (uint32_t r = 0; r < n; r++) {
                        for (uint64_t i = 0; i < n_elems; i++)
                            assert_true(tgi_host_load(tiles[r], i, types[k]) ==
                                        expected((enum tg_collective)what, ops[o], root, n, n_elems, r, i));
                        free(tiles[r]);
                    }
                }
}

static void sums_are_taken_in_rank_order(void **state)
{
    (void)state;
    float a = 1e8f, b = -1e8f, c = 1e-3f;
    void *tiles[] = {&a, &b, &c}, *other[] = {&c, &a, &b};
    float x = a, y = b, z = c;
    assert_int_equal(tgi_host_collective(TG_REDUCE_TO, TG_SUM, 2, tiles, 3, 1, TG_F32, NULL), 0);
    assert_true(c == (x + y) + z);
    c = z;
    assert_int_equal(tgi_host_collective(TG_REDUCE_TO, TG_SUM, 0, other, 3, 1, TG_F32, NULL), 0);
    assert_true(c == (z + x) + y);
}

static void impossible_collectives_are_refused_untouched(void **state)
{
    (void)state;
    double a[4] = {1, 2, 3, 4}, b[4] = {5, 6, 7, 8}, c[4] = {9};
    void *tiles[] = {a, b, c};
    static const struct {
        enum tg_collective what;
        uint32_t n, root;
        uint64_t n_elems;
        enum tg_dtype dtype;
        enum tg_op op;
        int status;
    } cases[] = {
        {TG_ALLREDUCE, 0, 0, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_BROADCAST, 3, 3, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_REDUCE_TO, 3, 7, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_ALLGATHER, 3, 0, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_ALLTOALL, 3, 0, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_REDUCESCATTER, 3, 0, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_SENDRECV, 3, 0, 4, TG_F64, TG_SUM, TG_E_COLLECTIVE},
        {TG_ALLREDUCE, 2, 0, 2, TG_C128, TG_MAX, TG_E_DTYPE_UNSUPPORTED},
        {(enum tg_collective)99, 2, 0, 2, TG_F64, TG_SUM, TG_E_INVALID},
        {TG_ALLREDUCE, 2, 0, 2, TG_F64, (enum tg_op)9, TG_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tg_error err = {0};
        assert_int_equal(tgi_host_collective(cases[i].what, cases[i].op, cases[i].root, tiles, cases[i].n,
                                             cases[i].n_elems, cases[i].dtype, &err),
                         cases[i].status);
        assert_int_equal(err.status, cases[i].status);
        assert_true(err.text[0]);
    }
    assert_true(a[0] == 1 && a[3] == 4 && b[0] == 5 && b[3] == 8 && c[0] == 9);
}

static void what_is_not_finite_is_found_wherever_it_is(void **state)
{
    static const enum tg_dtype types[] = {TG_F16, TG_BF16, TG_F32, TG_F64, TG_C64, TG_C128};
    static const double values[] = {NAN, -NAN, INFINITY, -INFINITY};
    enum { N = 3000 };
    static double data[2 * N];
    (void)state;
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        enum tg_dtype type = types[k], part = type == TG_C64 ? TG_F32 : type == TG_C128 ? TG_F64 : type;
        uint32_t n_parts = part == type ? 1 : 2;
        size_t size = tg_dtype_size(part);
        uint64_t large, word, found = 99;
        assert_true(tgi_host_encode_float(part, 60000, &large)); /* near the end of f16 */
        for (uint64_t i = 0; i < N * n_parts; i++)
            memcpy((char *)data + i * size, &large, size);
        assert_false(tgi_host_find_not_finite(data, N, type, &found));
        assert_int_equal(found, 99);
        for (uint64_t i = 0; i < N * n_parts; i += 1 + i % 37 * 11) {
            assert_true(tgi_host_encode_float(part, values[i % 4], &word));
            memcpy((char *)data + i * size, &word, size);
            assert_true(tgi_host_find_not_finite(data, N, type, &found));
            assert_int_equal(found, i / n_parts);
            assert_false(tgi_host_find_not_finite(data, i / n_parts, type, &found));
            memcpy((char *)data + i * size, &large, size);
        }
    }
    memset(data, 0xff, sizeof data); /* integers are never */
    uint64_t found;
    assert_false(tgi_host_find_not_finite(data, N, TG_I64, &found));
    assert_false(tgi_host_find_not_finite(data, 0, TG_F64, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_encoded_or_refused),
        cmocka_unit_test(fill_writes_every_element_and_no_other),
        cmocka_unit_test(reductions_equal_arithmetic_for_every_type),
        cmocka_unit_test(identities_change_nothing),
        cmocka_unit_test(integers_wrap_and_nan_wins_on_either_side),
        cmocka_unit_test(complex_products_are_complex),
        cmocka_unit_test(every_collective_does_what_it_says),
        cmocka_unit_test(sums_are_taken_in_rank_order),
        cmocka_unit_test(impossible_collectives_are_refused_untouched),
        cmocka_unit_test(what_is_not_finite_is_found_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
