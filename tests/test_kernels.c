/* Every built-in kernel that is not dense linear algebra (test_dense.c) against a plain reference, for
 * every type it has; and the table they all stand in. */
#include "tests/kernel_call.h"

#include "graph/expr.h"

/* ---- The table ----------------------------------------------------------------------------*/

static void table_is_sorted_and_found_by_name(void **state)
{
    (void)state;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    assert_true(n >= 45);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            assert_true(strcmp(all[i - 1]->name, all[i]->name) < 0);
        assert_ptr_equal(tgi_builtin_find(all[i]->name), all[i]);
    }
    assert_null(tgi_builtin_find(""));
    assert_null(tgi_builtin_find("aaa"));
    assert_null(tgi_builtin_find("axp"));
    assert_null(tgi_builtin_find("axpyy"));
    assert_null(tgi_builtin_find("zzz"));
}

static bool is_identifier(const char *s)
{
    if (!(*s >= 'a' && *s <= 'z'))
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '_'))
            return false;
    return true;
}

static void every_signature_obeys_the_rules(void **state)
{
    (void)state;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    for (uint32_t k = 0; k < n; k++) {
        const struct tgi_builtin *b = all[k];
        assert_true(is_identifier(b->name));
        assert_true(b->brief && strlen(b->brief) > 8 && strlen(b->brief) <= 110);
        assert_true(b->n_params > 0 && b->n_params <= TG_MAX_PARAMS);
        bool has_typed = false, has_t = false, has_t_tile = false, writes = false, is_optional = false;
        for (int t = 0; t < TG_N_DTYPES; t++)
            has_typed |= b->cpu[t] != NULL;
        assert_true(has_typed != (b->cpu[TGI_DTYPE_T] != NULL));
        for (uint32_t i = 0; i < b->n_params; i++) {
            const struct tgi_builtin_param *p = &b->params[i];
            assert_true(is_identifier(p->name));
            for (uint32_t j = 0; j < i; j++)
                assert_string_not_equal(p->name, b->params[j].name);
            assert_true(p->dtype >= 0 && p->dtype <= TGI_DTYPE_T);
            has_t |= p->dtype == TGI_DTYPE_T;
            has_t_tile |= p->dtype == TGI_DTYPE_T && p->access != TG_SCALAR && !p->fallback;
            writes |= p->access != TG_SCALAR && p->access != TG_IN;
            if (is_optional && !p->fallback)
                fail_msg("%s: required parameter %s after an optional one", b->name, p->name);
            is_optional = p->fallback != NULL;
            if (p->access == TG_SCALAR) {
                assert_true(p->dtype == TG_I64 || p->dtype == TG_F32 || p->dtype == TG_F64 ||
                            p->dtype == TGI_DTYPE_T);
                assert_null(p->elems);
            } else {
                assert_non_null(p->elems);
                assert_true(!p->fallback || strcmp(p->fallback, "null") == 0);
            }
            if (p->access == TG_SCALAR && p->fallback) {
                char *end;
                strtod(p->fallback, &end);
                if (*end) { /* not a number: the name of an earlier integer */
                    uint32_t j = param_index(b, p->fallback);
                    assert_true(j < i && b->params[j].dtype == TG_I64 && p->dtype == TG_I64);
                }
            }
        }
        assert_true(has_t == has_typed);
        assert_true(has_t_tile == has_typed);
        assert_true(writes || strcmp(b->name, "touch") == 0);
    }
}

/* Names lead to the scalars of a builtin, all of them 4. */
static struct tgi_expr_name resolve_scalar(void *user, const char *name, size_t length)
{
    const struct tgi_builtin *b = user;
    struct tgi_expr_name r = {TGI_NAME_UNKNOWN, 0, 0, 0};
    for (uint32_t i = 0; i < b->n_params; i++)
        if (b->params[i].access == TG_SCALAR && strlen(b->params[i].name) == length &&
            memcmp(b->params[i].name, name, length) == 0) {
            r.kind = TGI_NAME_SLOT;
            r.slot = i;
        }
    return r;
}

static void every_cost_and_size_is_an_expression_over_the_scalars(void **state)
{
    (void)state;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    double doubles[TG_MAX_PARAMS];
    int64_t ints[TG_MAX_PARAMS];
    for (int i = 0; i < TG_MAX_PARAMS; i++)
        doubles[i] = (double)(ints[i] = 4);
    for (uint32_t k = 0; k < n; k++) {
        const struct tgi_builtin *b = all[k];
        struct tgi_expr_scope scope = {resolve_scalar, NULL, (void *)(uintptr_t)b,
                                       b->cpu[TGI_DTYPE_T] ? -1 : TG_F64};
        const char *texts[2 + TG_MAX_PARAMS] = {b->flops, b->bytes};
        for (uint32_t i = 0; i < b->n_params; i++)
            texts[2 + i] = b->params[i].elems;
        for (uint32_t i = 0; i < 2 + b->n_params; i++) {
            if (!texts[i])
                continue;
            struct tgi_expr *expr;
            struct tgi_expr_error err;
            double value;
            int64_t elems;
            if (tgi_expr_compile(texts[i], strlen(texts[i]), &scope, &expr, &err) != 0)
                fail_msg("%s: %s: %s", b->name, texts[i], err.text);
            assert_int_equal(tgi_expr_eval_double(expr, doubles, &value, &err), 0);
            assert_true(value > 0);
            if (i >= 2) {
                assert_int_equal(tgi_expr_eval_int(expr, ints, &elems, &err), 0);
                assert_true(elems > 0 && elems <= 16);
            }
            tgi_expr_destroy(expr);
        }
    }
}

static void every_kernel_has_its_row_in_the_manual(void **state)
{
    (void)state;
    FILE *f = fopen("docs/KERNELS.md", "r");
    if (!f) {
        print_message("docs/KERNELS.md is not below the current folder\n");
        skip();
    }
    static char text[1 << 17];
    size_t length = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[length] = 0;
    uint32_t n;
    const struct tgi_builtin *const *all = tgi_builtin_all(&n);
    for (uint32_t k = 0; k < n; k++) {
        /* "| `axpy(n, a, x, y)` | f32 f64 | y[i] += a * x[i] |"; an optional tile is "x?", an optional
         * number "a=1". */
        const struct tgi_builtin *b = all[k];
        char row[2048];
        size_t at = (size_t)snprintf(row, sizeof row, "\n| `%s(", b->name);
        for (uint32_t i = 0; i < b->n_params; i++) {
            const struct tgi_builtin_param *p = &b->params[i];
            bool is_absent = p->fallback && strcmp(p->fallback, "null") == 0;
            at += (size_t)snprintf(row + at, sizeof row - at, "%s%s%s%s", i ? ", " : "", p->name,
                                   is_absent     ? "?"
                                   : p->fallback ? "="
                                                 : "",
                                   p->fallback && !is_absent ? p->fallback : "");
        }
        at += (size_t)snprintf(row + at, sizeof row - at, ")` | ");
        const char *separator = "";
        for (int t = 0; t < TG_N_DTYPES; t++) {
            bool has_type = b->cpu[t] != NULL; /* or, of a kernel without T, a tile of that type */
            for (uint32_t i = 0; i < b->n_params; i++)
                has_type |=
                    b->params[i].access != TG_SCALAR && b->cpu[TGI_DTYPE_T] && b->params[i].dtype == t;
            if (!has_type)
                continue;
            at += (size_t)snprintf(row + at, sizeof row - at, "%s%s", separator,
                                   tg_dtype_name((enum tg_dtype)t));
            separator = " ";
        }
        snprintf(row + at, sizeof row - at, " | %s |", b->brief);
        if (!strstr(text, row))
            fail_msg("docs/KERNELS.md lacks this row:%s", row);
    }
}

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

/* ---- Order and time -----------------------------------------------------------------------*/

static void hash_once(const char *name, int64_t id, int64_t n, uint64_t *out, const uint64_t *const in[8])
{
    static const char *const names[8] = {"in0", "in1", "in2", "in3", "in4", "in5", "in6", "in7"};
    struct call c = call_of(name, TG_U64);
    set(&c, "id", (double)id), set(&c, "n", (double)n);
    give(&c, strcmp(name, "hash") == 0 || strcmp(name, "hash_inout") == 0 ? "out" : "acc", out);
    for (int k = 0; k < 8; k++)
        if (in[k])
            give(&c, names[k], in[k]);
    assert_int_equal(run(&c), 0);
}

static void hash_depends_on_id_position_and_every_input_word(void **state)
{
    (void)state;
    enum { N = 5 };
    uint64_t data[8][N], base[N], other[N];
    const uint64_t *in[8];
    for (int k = 0; k < 8; k++) {
        in[k] = data[k];
        for (int i = 0; i < N; i++)
            data[k][i] = 7; /* equal inputs: only their places differ */
    }
    hash_once("hash", 1, N, base, in);
    hash_once("hash", 1, N, other, in);
    assert_memory_equal(base, other, sizeof base);
    for (int i = 1; i < N; i++)
        assert_true(base[i] != base[0]);
    hash_once("hash", 2, N, other, in);
    for (int i = 0; i < N; i++)
        assert_true(base[i] != other[i]);
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < N; i++) {
            data[k][i] ^= 1;
            hash_once("hash", 1, N, other, in);
            for (int j = 0; j < N; j++)
                assert_true((other[j] == base[j]) == (i != j));
            data[k][i] ^= 1;
        }
    /* Swapping two inputs, or leaving one out, shows. */
    data[3][2] = 8;
    hash_once("hash", 1, N, base, in);
    in[3] = data[5], in[5] = data[3];
    hash_once("hash", 1, N, other, in);
    assert_true(base[2] != other[2]);
    in[3] = data[3], in[5] = NULL;
    hash_once("hash", 1, N, other, in);
    assert_true(base[2] != other[2]);
}

static void hash_inout_keeps_the_order_of_two_tasks(void **state)
{
    (void)state;
    const uint64_t *in[8] = {NULL};
    uint64_t ab[3] = {1, 2, 3}, ba[3] = {1, 2, 3};
    hash_once("hash_inout", 1, 3, ab, in), hash_once("hash_inout", 2, 3, ab, in);
    hash_once("hash_inout", 2, 3, ba, in), hash_once("hash_inout", 1, 3, ba, in);
    for (int i = 0; i < 3; i++)
        assert_true(ab[i] != ba[i]);
}

static void hash_add_and_commute_forget_the_order_but_not_the_tasks(void **state)
{
    (void)state;
    static const char *const names[] = {"hash_add", "hash_commute"};
    uint64_t x[2] = {11, 12};
    const uint64_t *in[8] = {x};
    for (int k = 0; k < 2; k++) {
        uint64_t ab[2] = {5, 6}, ba[2] = {5, 6}, aa[2] = {5, 6}, h[2];
        hash_once(names[k], 1, 2, ab, in), hash_once(names[k], 2, 2, ab, in);
        hash_once(names[k], 2, 2, ba, in), hash_once(names[k], 1, 2, ba, in);
        hash_once(names[k], 1, 2, aa, in), hash_once(names[k], 1, 2, aa, in);
        hash_once("hash", 1, 2, h, in);
        assert_memory_equal(ab, ba, sizeof ab);
        assert_true(ab[0] != aa[0]);
        assert_true(aa[1] == 6 + 2 * h[1]);
    }
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void spin_takes_its_time_and_moves_its_bytes(void **state)
{
    (void)state;
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        struct call c = call_of("spin", TG_F32);
        set(&c, "us", 300);
        uint64_t begin = now_ns();
        assert_int_equal(run(&c), 0);
        uint64_t took = now_ns() - begin;
        assert_true(took >= 300000);
        best = took < best ? took : best;
    }
    assert_true(best < 100 * 300000); /* a loaded machine may take long, but not always this long */
    struct call c = call_of("spin", TG_F32);
    set(&c, "us", NAN);
    assert_int_equal(run(&c), 0);

    uint8_t in[100] = {0}, first[50], second[50], rest = 0x77;
    for (int i = 0; i < 2; i++) {
        in[64] = (uint8_t)i;
        c = call_of("spin", TG_F32);
        set(&c, "us", -1);
        give(&c, "in3", in), set(&c, "in_bytes3", 100);
        give(&c, "out6", i ? second : first), set(&c, "out_bytes6", 50);
        give(&c, "out0", &rest);
        assert_int_equal(run(&c), 0);
    }
    for (int i = 1; i < 50; i++)
        assert_true(first[i] == first[0] && second[i] == second[0]);
    assert_true(first[0] != second[0]);
    assert_int_equal(rest, 0x77);
}

static void touch_shows_what_it_read(void **state)
{
    (void)state;
    EACH_SIZE (n) {
        double *x = tile(n, TG_F64), *y = tile(n, TG_F64);
        struct call c = call_of("touch", TG_F64);
        set(&c, "n", (double)n), give(&c, "x", x);
        assert_int_equal(run(&c), 0);
        give(&c, "y", y);
        assert_int_equal(run(&c), 0);
        for (int64_t i = 1; i < n; i++)
            assert_memory_equal(&y[i], &y[0], sizeof y[0]);
        if (n > 0) {
            uint8_t before = *(uint8_t *)y;
            ((uint8_t *)x)[(n - 1) * 8 / 64 * 64] ^= 1; /* the first byte of the last line */
            assert_int_equal(run(&c), 0);
            assert_true(before != *(uint8_t *)y);
        }
        drop(x, n, TG_F64), drop(y, n, TG_F64);
    }
}

/* ---- Stencils -----------------------------------------------------------------------------*/

static void tiles_of_stencil3_together_give_the_whole_field(void **state)
{
    (void)state;
    EACH_TYPE (t, floats)
        for (int64_t n = 1; n < 20; n++) {
            int64_t parts = 3, all = parts * n;
            void *x = tile(all, t), *y = tile(all, t);
            size_t bytes = (size_t)n * tg_dtype_size(t);
            for (int64_t p = 0; p < parts; p++) {
                struct call c = call_of("stencil3", t);
                set(&c, "n", (double)n), set(&c, "a", 0.5), set(&c, "b", -2), set(&c, "c", 0.125);
                give(&c, "x", (char *)x + (size_t)p * bytes), give(&c, "y", (char *)y + (size_t)p * bytes);
                if (p > 0)
                    give(&c, "left", (char *)x + (size_t)(p - 1) * bytes);
                if (p < parts - 1)
                    give(&c, "right", (char *)x + (size_t)(p + 1) * bytes);
                assert_int_equal(run(&c), 0);
            }
            for (int64_t i = 0; i < all; i++) {
                double want = i == 0 || i == all - 1
                                  ? get(x, i, t)
                                  : 0.5 * get(x, i - 1, t) - 2 * get(x, i, t) + 0.125 * get(x, i + 1, t);
                assert_close(get(y, i, t), want, 4 * epsilon(t), "stencil3", i);
            }
            drop(x, all, t), drop(y, all, t);
        }
    /* The defaults average. */
    double x[3] = {4, 8, 16}, y[3];
    struct call c = call_of("stencil3", TG_F64);
    set(&c, "n", 3), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    assert_true(y[0] == 4 && y[1] == 9 && y[2] == 16);
    set(&c, "n", 0);
    assert_int_equal(run(&c), 0);
}

static void tiles_of_2d_stencils_together_give_the_whole_field(void **state)
{
    (void)state;
    enum { PX = 3, PY = 2 };
    static const int64_t shapes[][2] = {{1, 1}, {1, 4}, {4, 1}, {2, 2}, {7, 5}, {33, 9}};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 6; s++)
            for (int heat = 0; heat < 2; heat++) {
                int64_t nx = shapes[s][0], ny = shapes[s][1], w = PX * nx, h = PY * ny;
                double *whole = malloc((size_t)(w * h) * sizeof *whole);
                assert_non_null(whole);
                void *u[PY][PX], *v[PY][PX];
                for (int J = 0; J < PY; J++)
                    for (int I = 0; I < PX; I++) {
                        u[J][I] = tile(nx * ny, t), v[J][I] = tile(nx * ny, t);
                        for (int64_t j = 0; j < ny; j++)
                            for (int64_t i = 0; i < nx; i++)
                                whole[(J * ny + j) * w + I * nx + i] = get(u[J][I], j * nx + i, t);
                    }
                double alpha = 0.1875, centre = heat ? 1 - 4 * alpha : -1.5, edge = heat ? alpha : 0.375;
                for (int J = 0; J < PY; J++)
                    for (int I = 0; I < PX; I++) {
                        struct call c = call_of(heat ? "heat2d" : "stencil5", t);
                        set(&c, "nx", (double)nx), set(&c, "ny", (double)ny);
                        give(&c, heat ? "u" : "x", u[J][I]), give(&c, heat ? "v" : "y", v[J][I]);
                        if (heat)
                            set(&c, "alpha", alpha);
                        else
                            set(&c, "centre", centre), set(&c, "edge", edge);
                        if (J > 0)
                            give(&c, "north", u[J - 1][I]);
                        if (J < PY - 1)
                            give(&c, "south", u[J + 1][I]);
                        if (I > 0)
                            give(&c, "west", u[J][I - 1]);
                        if (I < PX - 1)
                            give(&c, "east", u[J][I + 1]);
                        assert_int_equal(run(&c), 0);
                    }
                for (int64_t y = 0; y < h; y++)
                    for (int64_t x = 0; x < w; x++) {
                        double *at = &whole[y * w + x];
                        double want = x == 0 || y == 0 || x == w - 1 || y == h - 1
                                          ? *at
                                          : centre * *at + edge * (at[-w] + at[w] + at[-1] + at[1]);
                        double got = get(v[y / ny][x / nx], y % ny * nx + x % nx, t);
                        assert_close(got, want, 8 * epsilon(t), heat ? "heat2d" : "stencil5", y * w + x);
                    }
                for (int J = 0; J < PY; J++)
                    for (int I = 0; I < PX; I++)
                        drop(u[J][I], nx * ny, t), drop(v[J][I], nx * ny, t);
                free(whole);
            }
}

/* ---- Layers -------------------------------------------------------------------------------*/

static void layers_match_the_definition(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{0, 5}, {1, 1}, {3, 7}, {2, 64}, {5, 129}};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 5; s++) {
            int64_t rows = shapes[s][0], cols = shapes[s][1], n = rows * cols;
            void *x = tile(n, t), *y = tile(n, t), *gamma = tile(cols, t), *beta = tile(cols, t);
            struct call c = call_of("softmax", t);
            set(&c, "rows", (double)rows), set(&c, "cols", (double)cols), give(&c, "x", x), give(&c, "y", y);
            assert_int_equal(run(&c), 0);
            for (int64_t r = 0; r < rows; r++) {
                double total = 0;
                for (int64_t i = 0; i < cols; i++)
                    total += exp(get(x, r * cols + i, t));
                for (int64_t i = 0; i < cols; i++)
                    assert_close(get(y, r * cols + i, t), exp(get(x, r * cols + i, t)) / total,
                                 8 * epsilon(t), "softmax", i);
            }
            for (int with = 0; with < 4; with++) {
                c = call_of("layernorm", t);
                set(&c, "rows", (double)rows), set(&c, "cols", (double)cols), give(&c, "x", x),
                    give(&c, "y", y);
                if (with & 1)
                    give(&c, "gamma", gamma);
                if (with & 2)
                    give(&c, "beta", beta), set(&c, "eps", 0.125);
                assert_int_equal(run(&c), 0);
                double eps = with & 2 ? 0.125 : 1e-5;
                for (int64_t r = 0; r < rows; r++) {
                    double mean = 0, variance = 0;
                    for (int64_t i = 0; i < cols; i++)
                        mean += get(x, r * cols + i, t) / (double)cols;
                    for (int64_t i = 0; i < cols; i++)
                        variance += pow(get(x, r * cols + i, t) - mean, 2) / (double)cols;
                    for (int64_t i = 0; i < cols; i++) {
                        double want = (get(x, r * cols + i, t) - mean) / sqrt(variance + eps);
                        want = want * (with & 1 ? get(gamma, i, t) : 1) + (with & 2 ? get(beta, i, t) : 0);
                        assert_close(get(y, r * cols + i, t), want, 64 * epsilon(t), "layernorm", i);
                    }
                }
            }
            c = call_of("bias_add", t);
            set(&c, "rows", (double)rows), set(&c, "cols", (double)cols);
            give(&c, "x", x), give(&c, "bias", beta), give(&c, "y", y);
            assert_int_equal(run(&c), 0);
            for (int64_t i = 0; i < n; i++)
                assert_close(get(y, i, t), get(x, i, t) + get(beta, i % cols, t), epsilon(t), "bias_add", i);
            drop(x, n, t), drop(y, n, t), drop(gamma, cols, t), drop(beta, cols, t);
        }
}

static void layers_survive_extreme_rows(void **state)
{
    (void)state;
    double x[4][3] = {
        {1e308, 1e308, -1e308}, {-INFINITY, 0, 0}, {NAN, 0, 0}, {-INFINITY, -INFINITY, -INFINITY}};
    double y[4][3];
    struct call c = call_of("softmax", TG_F64);
    set(&c, "rows", 4), set(&c, "cols", 3), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    assert_true(y[0][0] == 0.5 && y[0][1] == 0.5 && y[0][2] == 0);
    assert_true(y[1][0] == 0 && y[1][1] == 0.5 && y[1][2] == 0.5);
    for (int i = 0; i < 3; i++)
        assert_true(isnan(y[2][i]) && isnan(y[3][i]));
    double z[3] = {NAN, -1, 5}, out[3];
    c = call_of("relu", TG_F64);
    set(&c, "n", 3), give(&c, "x", z), give(&c, "y", out);
    assert_int_equal(run(&c), 0);
    assert_true(isnan(out[0]) && out[1] == 0 && out[2] == 5);
}

/* ---- Fourier ------------------------------------------------------------------------------*/

static void reference_dft(int64_t n, const double *x, double *y)
{
    for (int64_t k = 0; k < n; k++) {
        y[2 * k] = y[2 * k + 1] = 0;
        for (int64_t j = 0; j < n; j++) {
            double angle = -2 * M_PI * (double)(j * k % n) / (double)n;
            y[2 * k] += x[2 * j] * cos(angle) - x[2 * j + 1] * sin(angle);
            y[2 * k + 1] += x[2 * j] * sin(angle) + x[2 * j + 1] * cos(angle);
        }
    }
}

static void fft_is_the_fourier_transform_and_its_inverse_undoes_it(void **state)
{
    (void)state;
    static const enum tg_dtype complexes[] = {TG_C64, TG_C128};
    EACH_TYPE (t, complexes)
        for (int64_t n = 1; n <= 256; n *= 2) {
            enum tg_dtype part = t == TG_C64 ? TG_F32 : TG_F64;
            int64_t rows = 3;
            void *x = tile(rows * n, t), *old = copy_of(x, rows * n, t);
            struct call c = call_of("fft", t);
            set(&c, "n", (double)n), set(&c, "rows", (double)rows), give(&c, "x", x);
            assert_int_equal(run(&c), 0);
            double in[512], out[512];
            for (int64_t r = 0; r < rows; r++) {
                for (int64_t i = 0; i < 2 * n; i++)
                    in[i] = get(old, 2 * r * n + i, part);
                reference_dft(n, in, out);
                for (int64_t i = 0; i < 2 * n; i++)
                    assert_close(get(x, 2 * r * n + i, part), out[i], 8 * (double)n * epsilon(part), "fft",
                                 i);
            }
            set(&c, "inverse", 1);
            assert_int_equal(run(&c), 0);
            for (int64_t i = 0; i < 2 * n * rows; i++)
                assert_close(get(x, i, part), get(old, i, part), 16 * epsilon(part), "inverse fft", i);
            drop(x, rows * n, t), free(old);
        }
    double x[12];
    struct call c = call_of("fft", TG_C128);
    set(&c, "n", 6), give(&c, "x", x);
    assert_int_not_equal(run(&c), 0);
    set(&c, "n", 0);
    assert_int_equal(run(&c), 0);
}

static void twiddle_and_transpose_join_ffts_of_rows(void **state)
{
    (void)state;
    enum { R = 8, C = 16, N = R * C };
    double *x = tile(N, TG_C128), *y = tile(N, TG_C128), want[2 * N];
    reference_dft(N, x, want);
    struct call c = call_of("transpose", TG_C128); /* to C x R, row c: elements c, c + C, .. */
    set(&c, "m", R), set(&c, "n", C), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    c = call_of("fft", TG_C128);
    set(&c, "n", R), set(&c, "rows", C), give(&c, "x", y);
    assert_int_equal(run(&c), 0);
    for (int half = 0; half < 2; half++) { /* as two tiles of C/2 rows */
        c = call_of("twiddle", TG_C128);
        set(&c, "rows", C / 2), set(&c, "cols", R), set(&c, "total", N), set(&c, "row0", half * C / 2);
        give(&c, "x", y + 2 * half * (C / 2) * R);
        assert_int_equal(run(&c), 0);
    }
    c = call_of("transpose", TG_C128);
    set(&c, "m", C), set(&c, "n", R), give(&c, "x", y), give(&c, "y", x);
    assert_int_equal(run(&c), 0);
    c = call_of("fft", TG_C128);
    set(&c, "n", C), set(&c, "rows", R), give(&c, "x", x);
    assert_int_equal(run(&c), 0);
    c = call_of("transpose", TG_C128);
    set(&c, "m", R), set(&c, "n", C), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    for (int i = 0; i < 2 * N; i++)
        assert_close(y[i], want[i], 1e-13 * N, "four-step fft", i);
    drop(x, N, TG_C128), drop(y, N, TG_C128);
}

static void butterflies_join_ffts_of_interleaved_tiles(void **state)
{
    (void)state;
    enum { P = 4, L = 8, N = P * L };
    double *x = tile(N, TG_C128), *part[P], want[2 * N];
    reference_dft(N, x, want);
    static const int order[P] = {0, 2, 1, 3}; /* residues modulo P, bit-reversed */
    for (int p = 0; p < P; p++) {
        part[p] = tile(L, TG_C128);
        for (int i = 0; i < L; i++)
            memcpy(&part[p][2 * i], &x[2 * (i * P + order[p])], 16);
        struct call c = call_of("fft", TG_C128);
        set(&c, "n", L), give(&c, "x", part[p]);
        assert_int_equal(run(&c), 0);
    }
    for (int half = 1; half < P; half *= 2)
        for (int block = 0; block < P; block += 2 * half)
            for (int p = 0; p < half; p++) {
                struct call c = call_of("fft_butterfly", TG_C128);
                set(&c, "n", L), set(&c, "len", 2 * half * L), set(&c, "start", p * L);
                give(&c, "a", part[block + p]), give(&c, "b", part[block + p + half]);
                assert_int_equal(run(&c), 0);
            }
    for (int p = 0; p < P; p++) {
        for (int i = 0; i < 2 * L; i++)
            assert_close(part[p][i], want[2 * L * p + i], 1e-13 * N, "butterfly fft", i);
        drop(part[p], L, TG_C128);
    }
    drop(x, N, TG_C128);
}

/* ---- Wavefronts ---------------------------------------------------------------------------*/

static void tiles_of_an_alignment_together_give_the_whole_table(void **state)
{
    (void)state;
    enum { PI = 3, PJ = 2, M = 5, N = 7, H = PI * M, W = PJ * N };
    for (int local = 0; local < 2; local++) {
        uint8_t a[H], b[W];
        for (int i = 0; i < H; i++)
            a[i] = (uint8_t)(random_bits() % 3);
        for (int j = 0; j < W; j++)
            b[j] = (uint8_t)(random_bits() % 3);
        static int32_t want[H + 1][W + 1], h[PI][PJ][M * N];
        for (int i = 1; i <= H; i++)
            for (int j = 1; j <= W; j++) {
                int diagonal = want[i - 1][j - 1], up = want[i - 1][j], left = want[i][j - 1];
                bool same = a[i - 1] == b[j - 1];
                int v;
                if (local) {
                    v = diagonal + (same ? 3 : -2);
                    v = v > up - 1 ? v : up - 1;
                    v = v > left - 1 ? v : left - 1;
                    v = v > 0 ? v : 0;
                } else {
                    v = same ? diagonal + 1 : up > left ? up : left;
                }
                want[i][j] = v;
            }
        for (int I = 0; I < PI; I++)
            for (int J = 0; J < PJ; J++) {
                struct call c = call_of(local ? "smith_waterman" : "lcs", TG_I32);
                set(&c, "m", M), set(&c, "n", N), give(&c, "a", a + I * M), give(&c, "b", b + J * N);
                give(&c, "h", h[I][J]);
                if (local)
                    set(&c, "match", 3), set(&c, "mismatch", -2);
                if (I > 0)
                    give(&c, "north", h[I - 1][J]);
                if (J > 0)
                    give(&c, "west", h[I][J - 1]);
                if (I > 0 && J > 0)
                    give(&c, "northwest", h[I - 1][J - 1]);
                assert_int_equal(run(&c), 0);
            }
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++)
                assert_int_equal(h[i / M][j / N][i % M * N + j % N], want[i + 1][j + 1]);
    }
}

int main(void)
{
    seed_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sorted_and_found_by_name),
        cmocka_unit_test(every_signature_obeys_the_rules),
        cmocka_unit_test(every_cost_and_size_is_an_expression_over_the_scalars),
        cmocka_unit_test(every_kernel_has_its_row_in_the_manual),
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
        cmocka_unit_test(hash_depends_on_id_position_and_every_input_word),
        cmocka_unit_test(hash_inout_keeps_the_order_of_two_tasks),
        cmocka_unit_test(hash_add_and_commute_forget_the_order_but_not_the_tasks),
        cmocka_unit_test(spin_takes_its_time_and_moves_its_bytes),
        cmocka_unit_test(touch_shows_what_it_read),
        cmocka_unit_test(tiles_of_stencil3_together_give_the_whole_field),
        cmocka_unit_test(tiles_of_2d_stencils_together_give_the_whole_field),
        cmocka_unit_test(layers_match_the_definition),
        cmocka_unit_test(layers_survive_extreme_rows),
        cmocka_unit_test(fft_is_the_fourier_transform_and_its_inverse_undoes_it),
        cmocka_unit_test(twiddle_and_transpose_join_ffts_of_rows),
        cmocka_unit_test(butterflies_join_ffts_of_interleaved_tiles),
        cmocka_unit_test(tiles_of_an_alignment_together_give_the_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
