/* Built-in kernels that work element by element, and reductions, against plain references for every type they have. */
#include "tests/kernel_call.h"

/* ---- Element by element -------------------------------------------------------------------*/

static void fill_and_copy_move_every_type(void **state)
{
    (void)state;
    for (int t = 0; t < TG_N_DTYPES; t++)
        EACH_SIZE (n) {
            enum tg_dtype type = (enum tg_dtype)t;
            size_t size = tg_dtype_size(type);
            char *x = tile(n, type), *y = tile(n, type);
            struct call fill = call_of("fill", type);
            set(&fill, "n", (double)n);
            uint64_t word = 0x0123456789abcdefu;
            uint32_t value_at = param_index(fill.builtin, "value");
            fill.words[value_at] = word;
            fill.is_given[value_at] = true;
            give(&fill, "x", x);
            assert_int_equal(run(&fill), 0);
            char pattern[16] = {0};
            memcpy(pattern, &word, size < 8 ? size : 8);
            for (int64_t i = 0; i < n; i++)
                assert_memory_equal(x + (size_t)i * size, pattern, size);

            drop(x, n, type);
            x = tile(n, type);
            struct call copy = call_of("copy", type);
            set(&copy, "n", (double)n);
            give(&copy, "x", x);
            give(&copy, "y", y);
            assert_int_equal(run(&copy), 0);
            if (n > 0)
                assert_memory_equal(x, y, (size_t)n * size);
            drop(x, n, type);
            drop(y, n, type);
        }
}

static void iota_counts(void **state)
{
    (void)state;
    EACH_TYPE (t, numbers)
        EACH_SIZE (n) {
            void *x = tile(n, t);
            struct call c = call_of("iota", t);
            set(&c, "n", (double)n);
            set(&c, "start", 7);
            give(&c, "x", x);
            assert_int_equal(run(&c), 0);
            for (int64_t i = 0; i < n; i++)
                assert_true(get(x, i, t) == 7 + (double)i);
            drop(x, n, t);
        }
}

static void integers_wrap(void **state)
{
    (void)state;
    int32_t x[3] = {INT32_MAX, INT32_MIN, INT32_MAX}, y[3] = {1, -1, 2}, z[3], r = 0;
    struct call c = call_of("add", TG_I32);
    set(&c, "n", 3);
    give(&c, "x", x);
    give(&c, "y", y);
    give(&c, "z", z);
    assert_int_equal(run(&c), 0);
    assert_int_equal(z[0], INT32_MIN);
    assert_int_equal(z[1], INT32_MAX);
    c = call_of("mul", TG_I32);
    set(&c, "n", 3);
    give(&c, "x", x);
    give(&c, "y", y);
    give(&c, "z", z);
    assert_int_equal(run(&c), 0);
    assert_int_equal(z[0], INT32_MAX);
    assert_int_equal(z[1], INT32_MIN);
    assert_int_equal(z[2], -2);
    c = call_of("sum", TG_I32);
    set(&c, "n", 3);
    give(&c, "x", x);
    give(&c, "r", &r);
    assert_int_equal(run(&c), 0);
    assert_int_equal(r, INT32_MAX - 1);
}

static void elementwise_kernels_match_the_definition(void **state)
{
    (void)state;
    static const char *const names[] = {"axpy", "scale", "add", "mul", "gelu", "relu"};
    for (int k = 0; k < 6; k++)
        EACH_TYPE (t, numbers) {
            struct call c = call_of(names[k], t);
            if (!c.builtin->cpu[t]) {
                assert_false(is_float(t));
                continue;
            }
            EACH_SIZE (n) {
                void *x = tile(n, t), *y = tile(n, t), *z = tile(n, t);
                if (!is_float(t))
                    for (int64_t i = 0; i < n; i++) {
                        put(x, i, t, (double)(random_bits() % 1000));
                        put(y, i, t, (double)(random_bits() % 1000));
                    }
                void *old_x = copy_of(x, n, t), *old_y = copy_of(y, n, t);
                c = call_of(names[k], t);
                set(&c, "n", (double)n);
                give(&c, "x", x);
                if (k < 2)
                    set(&c, "a", 0.75);
                if (k != 1)
                    give(&c, "y", y);
                if (k == 2 || k == 3)
                    give(&c, "z", z);
                assert_int_equal(run(&c), 0);
                for (int64_t i = 0; i < n; i++) {
                    double a = get(old_x, i, t), b = get(old_y, i, t), got, want;
                    switch (k) {
                    case 0:
                        want = b + 0.75 * a;
                        got = get(y, i, t);
                        break;
                    case 1:
                        want = 0.75 * a;
                        got = get(x, i, t);
                        break;
                    case 2:
                        want = a + b;
                        got = get(z, i, t);
                        break;
                    case 3:
                        want = a * b;
                        got = get(z, i, t);
                        break;
                    case 4:
                        want = a / 2 * (1 + erf(a / sqrt(2)));
                        got = get(y, i, t);
                        break;
                    default:
                        want = a > 0 ? a : 0;
                        got = get(y, i, t);
                        break;
                    }
                    assert_close(got, want, 2 * epsilon(t), names[k], i);
                }
                drop(x, n, t), drop(y, n, t), drop(z, n, t), free(old_x), free(old_y);
            }
        }
}

static void is_above_is_a_condition(void **state)
{
    (void)state;
    double x[3] = {1.5, 2.5, NAN};
    for (int i = 0; i < 3; i++) {
        int32_t go = -1;
        struct call c = call_of("is_above", TG_F64);
        set(&c, "limit", 2);
        give(&c, "x", &x[i]);
        give(&c, "go", &go);
        assert_int_equal(run(&c), 0);
        assert_int_equal(go, i == 1);
    }
    int64_t big = INT64_C(1) << 40;
    int32_t go = -1;
    struct call c = call_of("is_above", TG_I64);
    set(&c, "limit", -3);
    give(&c, "x", &big);
    give(&c, "go", &go);
    assert_int_equal(run(&c), 0);
    assert_int_equal(go, 1);
}

/* ---- Reductions ---------------------------------------------------------------------------*/

static double reduced(const char *name, enum tg_dtype t, int64_t n, const void *x, const void *y,
                      double before)
{
    unsigned char r[8];
    put(r, 0, t, before);
    struct call c = call_of(name, t);
    set(&c, "n", (double)n);
    give(&c, "x", x);
    if (y)
        give(&c, "y", y);
    give(&c, "r", r);
    assert_int_equal(run(&c), 0);
    return get(r, 0, t);
}

static void reductions_match_the_definition(void **state)
{
    (void)state;
    EACH_TYPE (t, numbers)
        EACH_SIZE (n) {
            void *x = tile(n, t), *y = tile(n, t);
            if (!is_float(t))
                for (int64_t i = 0; i < n; i++)
                    put(x, i, t, (double)(random_bits() % 100000));
            double sum = 0, dot = 0, low = INFINITY, high = -INFINITY, diff = 0, size = 0;
            for (int64_t i = 0; i < n; i++) {
                double a = get(x, i, t), b = get(y, i, t);
                sum += a;
                size += fabs(a);
                dot += a * b;
                low = fmin(low, a);
                high = fmax(high, a);
                diff = fmax(diff, fabs(a - b));
            }
            double tolerance = size * epsilon(t);
            assert_close(reduced("sum", t, n, x, NULL, 99), sum, tolerance, "sum", n);
            assert_close(reduced("sum_into", t, n, x, NULL, 10), sum + 10, tolerance + 20 * epsilon(t),
                         "sum_into", n);
            if (n > 0) {
                assert_close(reduced("min", t, n, x, NULL, 0), low, 0, "min", n);
                assert_close(reduced("max", t, n, x, NULL, 0), high, 0, "max", n);
                assert_close(reduced("min_into", t, n, x, NULL, 1e6), low, 0, "min_into", n);
            } else if (is_float(t)) {
                assert_close(reduced("min", t, n, x, NULL, 0) > 0, 1, 0, "min of nothing", n);
                assert_true(isinf(reduced("max", t, n, x, NULL, 0)));
            }
            assert_close(reduced("max_into", t, n, x, NULL, 1e6), 1e6, 0, "max_into", n);
            if (is_float(t)) {
                assert_close(reduced("min_into", t, n, x, NULL, -9), -9, 0, "min_into", n);
                assert_close(reduced("dot", t, n, x, y, 99), dot, tolerance, "dot", n);
                assert_close(reduced("dot_into", t, n, x, y, 1), dot + 1, tolerance + 2 * epsilon(t),
                             "dot_into", n);
                assert_close(reduced("max_diff", t, n, x, y, 99), diff, epsilon(t), "max_diff", n);
                assert_close(reduced("max_diff_into", t, n, x, y, 99), 99, 0, "max_diff_into", n);
            }
            drop(x, n, t), drop(y, n, t);
        }
}

static void extremes_use_the_whole_range_of_integers(void **state)
{
    (void)state;
    int64_t low[2] = {INT64_MAX, INT64_MIN}, r = 0;
    uint64_t high[2] = {UINT64_MAX, 0}, u = 0;
    struct call c = call_of("min", TG_I64);
    set(&c, "n", 2), give(&c, "x", low), give(&c, "r", &r);
    assert_int_equal(run(&c), 0);
    assert_true(r == INT64_MIN);
    c = call_of("max", TG_U64);
    set(&c, "n", 2), give(&c, "x", high), give(&c, "r", &u);
    assert_int_equal(run(&c), 0);
    assert_true(u == UINT64_MAX);
    c = call_of("min", TG_U64);
    set(&c, "n", 0), give(&c, "x", high), give(&c, "r", &u);
    assert_int_equal(run(&c), 0);
    assert_true(u == UINT64_MAX);
}

static void extremes_of_nan_are_nan_wherever_it_stands(void **state)
{
    (void)state;
    static const char *const names[] = {"min", "max", "min_into", "max_into"};
    EACH_TYPE (t, floats)
        EACH_SIZE (n) {
            void *x = tile(n, t), *zero = tile(n, t);
            for (int64_t i = 0; i < n; i++)
                put(zero, i, t, 0);
            for (int trial = 0; trial < 6 && n > 0; trial++) {
                int64_t at = trial == 0 ? 0 : trial == 1 ? n - 1 : (int64_t)(random_bits() % (uint64_t)n);
                double old = get(x, at, t);
                put(x, at, t, NAN);
                for (int k = 0; k < 4; k++)
                    assert_true(isnan(reduced(names[k], t, n, x, NULL, 0)));
                assert_true(isnan(reduced("max_diff", t, n, x, zero, 0)));
                assert_true(isnan(reduced("sum", t, n, x, NULL, 0)));
                put(x, at, t, old);
            }
            assert_true(isnan(reduced("max_into", t, n, x, NULL, NAN)));
            drop(x, n, t), drop(zero, n, t);
        }
}

static void scan_adds_up_and_goes_on_from_a_carry(void **state)
{
    (void)state;
    EACH_TYPE (t, numbers)
        EACH_SIZE (n) {
            void *x = tile(n, t), *y = tile(n, t), *carry = tile(3, t);
            for (int64_t i = 0; i < n; i++)
                put(x, i, t, (double)(random_bits() % 8));
            put(carry, 2, t, 1000);
            for (int with = 0; with < 2; with++) {
                struct call c = call_of("scan", t);
                set(&c, "n", (double)n), give(&c, "x", x), give(&c, "y", y);
                if (with)
                    give(&c, "carry", carry), set(&c, "at", 2);
                assert_int_equal(run(&c), 0);
                double total = with ? 1000 : 0;
                for (int64_t i = 0; i < n; i++)
                    assert_close(get(y, i, t), total += get(x, i, t), 0, "scan", i);
            }
            drop(x, n, t), drop(y, n, t), drop(carry, 3, t);
        }
}

static void histogram_counts_what_lies_within(void **state)
{
    (void)state;
    EACH_TYPE (t, floats) {
        float x32[8] = {-1, -0.001f, 0, 0.5f, 1, 1.999f, 2, NAN};
        double x64[8] = {-1, -0.001, 0, 0.5, 1, 1.999, 2, NAN};
        uint64_t h[4] = {0, 100, 0, 0};
        struct call c = call_of("histogram", t);
        set(&c, "n", 8), set(&c, "bins", 4), set(&c, "lo", 0), set(&c, "hi", 2);
        give(&c, "x", t == TG_F32 ? (void *)x32 : (void *)x64), give(&c, "h", h);
        assert_int_equal(run(&c), 0);
        assert_true(h[0] == 1 && h[1] == 101 && h[2] == 1 && h[3] == 2);
        set(&c, "bins", 0);
        assert_int_not_equal(run(&c), 0);
        set(&c, "bins", 4), set(&c, "hi", 0);
        assert_int_not_equal(run(&c), 0);
    }
    int32_t values[5] = {0, 1, 2, 3, INT32_MIN};
    uint64_t h[2] = {0, 0};
    struct call c = call_of("histogram", TG_I32);
    set(&c, "n", 5), set(&c, "bins", 2), set(&c, "lo", 0), set(&c, "hi", 3);
    give(&c, "x", values), give(&c, "h", h);
    assert_int_equal(run(&c), 0);
    assert_true(h[0] == 2 && h[1] == 2);
}

static void transpose_moves_every_type(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{0, 3}, {3, 0},   {1, 1},   {1, 40},
                                        {5, 3}, {16, 16}, {17, 33}, {64, 50}};
    for (int t = 0; t < TG_N_DTYPES; t++)
        for (int s = 0; s < 8; s++) {
            enum tg_dtype type = (enum tg_dtype)t;
            int64_t m = shapes[s][0], n = shapes[s][1];
            size_t size = tg_dtype_size(type);
            char *x = tile(m * n, type), *y = tile(m * n, type);
            struct call c = call_of("transpose", type);
            set(&c, "m", (double)m), set(&c, "n", (double)n), give(&c, "x", x), give(&c, "y", y);
            assert_int_equal(run(&c), 0);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < n; j++)
                    assert_memory_equal(y + (size_t)(j * m + i) * size, x + (size_t)(i * n + j) * size, size);
            drop(x, m * n, type), drop(y, m * n, type);
        }
}

int main(void)
{
    seed_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fill_and_copy_move_every_type),
        cmocka_unit_test(iota_counts),
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(elementwise_kernels_match_the_definition),
        cmocka_unit_test(is_above_is_a_condition),
        cmocka_unit_test(reductions_match_the_definition),
        cmocka_unit_test(extremes_use_the_whole_range_of_integers),
        cmocka_unit_test(extremes_of_nan_are_nan_wherever_it_stands),
        cmocka_unit_test(scan_adds_up_and_goes_on_from_a_carry),
        cmocka_unit_test(histogram_counts_what_lies_within),
        cmocka_unit_test(transpose_moves_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
