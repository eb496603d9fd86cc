/* The table of built-in kernels, and those whose order and time matter: hash, spin, touch.  The others are in test_kernels_elements.c,
 * test_kernels_fields.c and test_dense.c, each against a plain reference for every type it has. */
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
                assert_true(elems > 0 && elems <= 32);
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

int main(void)
{
    seed_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sorted_and_found_by_name),
        cmocka_unit_test(every_signature_obeys_the_rules),
        cmocka_unit_test(every_cost_and_size_is_an_expression_over_the_scalars),
        cmocka_unit_test(every_kernel_has_its_row_in_the_manual),
        cmocka_unit_test(hash_depends_on_id_position_and_every_input_word),
        cmocka_unit_test(hash_inout_keeps_the_order_of_two_tasks),
        cmocka_unit_test(hash_add_and_commute_forget_the_order_but_not_the_tasks),
        cmocka_unit_test(spin_takes_its_time_and_moves_its_bytes),
        cmocka_unit_test(touch_shows_what_it_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
