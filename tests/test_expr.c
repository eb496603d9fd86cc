#include "graph/expr.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Names of the tests: N = 10, M = 3, Z = 0, F = 0.5, and slots i, j, k. */
static struct tgi_expr_name resolve(void *user, const char *name, size_t length)
{
    (void)user;
    struct tgi_expr_name r = {TGI_NAME_UNKNOWN, 0, 0, 0};
    if (length != 1)
        return r;
    switch (*name) {
    case 'N':
        r.kind = TGI_NAME_INT;
        r.i = 10;
        break;
    case 'M':
        r.kind = TGI_NAME_INT;
        r.i = 3;
        break;
    case 'Z':
        r.kind = TGI_NAME_INT;
        r.i = 0;
        break;
    case 'F':
        r.kind = TGI_NAME_FLOAT;
        r.f = 0.5;
        break;
    case 'i':
    case 'j':
    case 'k':
        r.kind = TGI_NAME_SLOT;
        r.slot = (uint32_t)(*name - 'i');
        break;
    }
    return r;
}

static int64_t n_devices(void *user, const char *kind, size_t length)
{
    (void)user;
    return length == 4 && memcmp(kind, "cuda", 4) == 0 ? 4 : -1;
}

static const struct tgi_expr_scope scope = {resolve, n_devices, NULL, -1};

static const int64_t slots[3] = {7, -2, INT64_MAX};

static int64_t value_of(const char *text)
{
    struct tgi_expr *expr;
    struct tgi_expr_error err = {0};
    int64_t value = -12345;
    if (tgi_expr_compile(text, strlen(text), &scope, &expr, &err) != 0)
        fail_msg("%s: %s at %u", text, err.text, err.offset);
    if (tgi_expr_eval_int(expr, slots, &value, &err) != 0)
        fail_msg("%s: %s at %u", text, err.text, err.offset);
    tgi_expr_destroy(expr);
    return value;
}

static double double_of(const char *text)
{
    struct tgi_expr *expr;
    struct tgi_expr_error err = {0};
    const double real_slots[3] = {7, -2, 0.25};
    double value = -1;
    if (tgi_expr_compile(text, strlen(text), &scope, &expr, &err) != 0)
        fail_msg("%s: %s at %u", text, err.text, err.offset);
    if (tgi_expr_eval_double(expr, real_slots, &value, &err) != 0)
        fail_msg("%s: %s at %u", text, err.text, err.offset);
    tgi_expr_destroy(expr);
    return value;
}

static struct tgi_expr_error error_of(const char *text, bool is_double)
{
    struct tgi_expr *expr;
    struct tgi_expr_error err = {0};
    const double real_slots[3] = {7, -2, 1e308};
    int64_t i;
    double f;
    int rc = tgi_expr_compile(text, strlen(text), &scope, &expr, &err);
    if (rc == 0) {
        rc = is_double ? tgi_expr_eval_double(expr, real_slots, &f, &err)
                       : tgi_expr_eval_int(expr, slots, &i, &err);
        tgi_expr_destroy(expr);
    }
    if (rc == 0)
        fail_msg("%s: has a value", text);
    assert_int_equal(rc, err.status);
    assert_true(err.text[0] != '\0');
    return err;
}

static void assert_error(const char *text, int status, uint32_t offset, uint32_t length)
{
    struct tgi_expr_error e = error_of(text, false);
    if (e.status != status || e.offset != offset || e.length != length)
        fail_msg("%s: status %d at %u+%u, expected %d at %u+%u (%s)", text, e.status, e.offset, e.length,
                 status, offset, length, e.text);
}

static void operators_have_c_precedence(void **state)
{
    (void)state;
    assert_int_equal(value_of("1+2*3"), 7);
    assert_int_equal(value_of("(1+2)*3"), 9);
    assert_int_equal(value_of("10-3-2"), 5);
    assert_int_equal(value_of("100/5/2"), 10);
    assert_int_equal(value_of("1<<2+1"), 8);
    assert_int_equal(value_of("1<<20"), 1048576);
    assert_int_equal(value_of("1+1<2"), 0);
    assert_int_equal(value_of("1<2==1"), 1);
    assert_int_equal(value_of("0&&0||1"), 1);
    assert_int_equal(value_of("1||0&&0"), 1);
    assert_int_equal(value_of("1==1&&2!=3"), 1);
    assert_int_equal(value_of("-2*3"), -6);
    assert_int_equal(value_of("- -2"), 2);
    assert_int_equal(value_of("!0+1"), 2);
    assert_int_equal(value_of("!!7"), 1);
    assert_int_equal(value_of("i>=j"), 1);
    assert_int_equal(value_of("-7>>1"), -4);
    assert_int_equal(value_of("-7%3"), -1);
    assert_int_equal(value_of(" ( N )\t% \n M"), 1);
}

static void conditions_evaluate_one_branch(void **state)
{
    (void)state;
    assert_int_equal(value_of("1?2:3"), 2);
    assert_int_equal(value_of("0?2:3"), 3);
    assert_int_equal(value_of("0?1:0?2:3"), 3);
    assert_int_equal(value_of("1?0?4:5:6"), 5);
    assert_int_equal(value_of("Z==0?0:N/Z"), 0);
    assert_int_equal(value_of("Z!=0&&N/Z>1"), 0);
    assert_int_equal(value_of("Z==0||N/Z>1"), 1);
    assert_int_equal(value_of("5&&6"), 1);
    assert_int_equal(value_of("0||9"), 1);
    assert_int_equal(value_of("7||0"), 1);
    assert_int_equal(value_of("(i?1:2)+10"), 11);
    assert_int_equal(value_of("10+(Z?1:2)"), 12);
    assert_int_equal(value_of("(i>0&&3)+4"), 5);
    assert_int_equal(value_of("i>5?i:j"), 7);
}

static void functions_have_exact_values(void **state)
{
    (void)state;
    assert_int_equal(value_of("min(3,1,2)"), 1);
    assert_int_equal(value_of("max(3,1,i)"), 7);
    assert_int_equal(value_of("min(4)"), 4);
    assert_int_equal(value_of("abs(-5)"), 5);
    assert_int_equal(value_of("abs(j)"), 2);
    assert_int_equal(value_of("ceildiv(7,2)"), 4);
    assert_int_equal(value_of("ceildiv(-7,2)"), -3);
    assert_int_equal(value_of("ceildiv(7,-2)"), -3);
    assert_int_equal(value_of("ceildiv(-7,-2)"), 4);
    assert_int_equal(value_of("floordiv(7,2)"), 3);
    assert_int_equal(value_of("floordiv(-7,2)"), -4);
    assert_int_equal(value_of("floordiv(7,-2)"), -4);
    assert_int_equal(value_of("floordiv(-7,-2)"), 3);
    assert_int_equal(value_of("log2(1)"), 0);
    assert_int_equal(value_of("log2(1<<62)"), 62);
    assert_int_equal(value_of("log2(1000)"), 9);
    assert_int_equal(value_of("sizeof(f32)+sizeof(c128)"), 20);
    assert_int_equal(value_of("ndev('cuda')"), 4);
    assert_int_equal(value_of("ndev(\"cuda\")*2"), 8);
    assert_int_equal(value_of("0x7fffffffffffffff"), INT64_MAX);
    assert_int_equal(value_of("0XFF"), 255);
    assert_int_equal(value_of("9223372036854775807"), INT64_MAX);
    assert_int_equal(value_of("-9223372036854775808"), INT64_MIN);
    assert_int_equal(value_of("(-9223372036854775807-1)%-1"), 0);
}

static void doubles_are_not_integers(void **state)
{
    (void)state;
    assert_true(double_of("1/4") == 0.25);
    assert_true(double_of("N/M") == 10.0 / 3.0);
    assert_true(double_of("2*F") == 1.0);
    assert_true(double_of("1e-6") == 1e-6);
    assert_true(double_of(".5+1.") == 1.5);
    assert_true(double_of("-1.5e3") == -1500);
    assert_true(double_of("k*4") == 1.0);
    assert_true(double_of("log2(8)") == 3.0);
    assert_true(fabs(double_of("log2(10)") - 3.321928094887362) < 1e-15);
    assert_true(double_of("ceildiv(7,2)") == 4.0);
    assert_true(double_of("floordiv(-7,2)") == -4.0);
    assert_true(double_of("9223372036854775807*2") == 9223372036854775807.0 * 2);
    assert_true(double_of("1<<40") == 1099511627776.0);
    assert_true(double_of("7>>1") == 3.0);
    assert_true(double_of("F<1?F:2") == 0.5);
    assert_true(double_of("i%4") == 3.0);
}

static void kind_of_value_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_constant, is_float;
    } cases[] = {{"1+N", true, false}, {"i", false, false}, {"F", true, true}, {"i*1.0", false, true}};
    for (size_t n = 0; n < 4; n++) {
        struct tgi_expr *expr;
        assert_int_equal(tgi_expr_compile(cases[n].text, strlen(cases[n].text), &scope, &expr, NULL), 0);
        assert_int_equal(tgi_expr_is_constant(expr), cases[n].is_constant);
        assert_int_equal(tgi_expr_is_float(expr), cases[n].is_float);
        tgi_expr_destroy(expr);
    }
}

static void overflow_is_reported_at_its_operator(void **state)
{
    (void)state;
    assert_error("k+1", TG_E_EXPR_VALUE, 1, 1);
    assert_error("1 + (k +1)", TG_E_EXPR_VALUE, 7, 1);
    assert_error("-k-2", TG_E_EXPR_VALUE, 2, 1);
    assert_error("k*2", TG_E_EXPR_VALUE, 1, 1);
    assert_error("9223372036854775807*9223372036854775807", TG_E_EXPR_VALUE, 19, 1);
    assert_error("1<<63", TG_E_EXPR_VALUE, 1, 2);
    assert_error("i<<62", TG_E_EXPR_VALUE, 1, 2);
    assert_error("1<<64", TG_E_EXPR_VALUE, 1, 2);
    assert_error("1<<-1", TG_E_EXPR_VALUE, 1, 2);
    assert_error("1>>64", TG_E_EXPR_VALUE, 1, 2);
    assert_error("i>>j", TG_E_EXPR_VALUE, 1, 2);
    assert_error("-(-k-1)", TG_E_EXPR_VALUE, 0, 1);
    assert_error("abs(-k-1)", TG_E_EXPR_VALUE, 0, 3);
    assert_error("(-k-1)/-1", TG_E_EXPR_VALUE, 6, 1);
    assert_error("floordiv(-k-1,-1)", TG_E_EXPR_VALUE, 0, 8);
    assert_error("ceildiv(-k-1,-1)", TG_E_EXPR_VALUE, 0, 7);
    assert_error("N/M", TG_E_EXPR_VALUE, 1, 1);
    assert_error("N/Z", TG_E_EXPR_VALUE, 1, 1);
    assert_error("N%Z", TG_E_EXPR_VALUE, 1, 1);
    assert_error("ceildiv(1,Z)", TG_E_EXPR_VALUE, 0, 7);
    assert_error("floordiv(1,Z)", TG_E_EXPR_VALUE, 0, 8);
    assert_error("log2(0)", TG_E_EXPR_VALUE, 0, 4);
    assert_error("log2(j)", TG_E_EXPR_VALUE, 0, 4);
    assert_error("1+F", TG_E_EXPR_VALUE, 2, 1);
    assert_error("2.5", TG_E_EXPR_VALUE, 0, 3);
    assert_error("9223372036854775808", TG_E_EXPR_VALUE, 0, 19);
    assert_error("18446744073709551616", TG_E_EXPR_VALUE, 0, 20);
    assert_error("99999999999999999999999999", TG_E_EXPR_VALUE, 0, 26);
    assert_error("0x10000000000000000", TG_E_EXPR_VALUE, 0, 19);
    assert_error("1e999", TG_E_EXPR_VALUE, 0, 5);
}

static void doubles_fail_too(void **state)
{
    (void)state;
    assert_int_equal(error_of("k*10", true).offset, 1);
    assert_int_equal(error_of("k+k", true).offset, 1);
    assert_int_equal(error_of("1/Z", true).offset, 1);
    assert_int_equal(error_of("1%Z", true).offset, 1);
    assert_int_equal(error_of("1<<k", true).offset, 1);
    assert_int_equal(error_of("log2(j)", true).offset, 0);
}

static void syntax_errors_have_exact_positions(void **state)
{
    (void)state;
    assert_error("", TG_E_EXPR_SYNTAX, 0, 1);
    assert_error("  ", TG_E_EXPR_SYNTAX, 2, 1);
    assert_error("1+", TG_E_EXPR_SYNTAX, 2, 1);
    assert_error("1 2", TG_E_EXPR_SYNTAX, 2, 1);
    assert_error("N foo", TG_E_EXPR_SYNTAX, 2, 3);
    assert_error("(1", TG_E_EXPR_SYNTAX, 2, 1);
    assert_error("1)", TG_E_EXPR_SYNTAX, 1, 1);
    assert_error("*3", TG_E_EXPR_SYNTAX, 0, 1);
    assert_error("3 + * 4", TG_E_EXPR_SYNTAX, 4, 1);
    assert_error("1?2", TG_E_EXPR_SYNTAX, 3, 1);
    assert_error("12abc", TG_E_EXPR_SYNTAX, 0, 5);
    assert_error("0x", TG_E_EXPR_SYNTAX, 0, 2);
    assert_error("0xg", TG_E_EXPR_SYNTAX, 0, 2);
    assert_error("min()", TG_E_EXPR_SYNTAX, 4, 1);
    assert_error("abs(1,2)", TG_E_EXPR_SYNTAX, 5, 1);
    assert_error("ceildiv(1)", TG_E_EXPR_SYNTAX, 0, 7);
    assert_error("ceildiv(1,2,3)", TG_E_EXPR_SYNTAX, 11, 1);
    assert_error("ndev('cuda)", TG_E_EXPR_SYNTAX, 10, 1);
    assert_error("1 = 2", TG_E_EXPR_SYNTAX, 2, 1);
    assert_error("1 & 2", TG_E_EXPR_SYNTAX, 2, 1);
    assert_error("N\xc3\xa9", TG_E_EXPR_SYNTAX, 1, 2);
    assert_error("N + NT", TG_E_UNKNOWN_NAME, 4, 2);
    assert_error("foo(3)", TG_E_UNKNOWN_NAME, 0, 3);
    assert_error("sizeof(f31)", TG_E_UNKNOWN_NAME, 7, 3);
    assert_error("sizeof(T)", TG_E_UNKNOWN_NAME, 7, 1);
    assert_error("ndev(tpu)", TG_E_UNKNOWN_NAME, 5, 3);
    assert_error("min", TG_E_UNKNOWN_NAME, 0, 3);
}

static void embedded_nul_is_a_syntax_error(void **state)
{
    (void)state;
    struct tgi_expr *expr;
    struct tgi_expr_error err;
    assert_int_equal(tgi_expr_compile("1\0+2", 4, &scope, &expr, &err), TG_E_EXPR_SYNTAX);
    assert_int_equal(err.offset, 1);
}

static void sizeof_t_follows_the_scope(void **state)
{
    (void)state;
    struct tgi_expr_scope typed = scope;
    struct tgi_expr *expr;
    int64_t value;
    typed.type_t = TG_C64;
    assert_int_equal(tgi_expr_compile("sizeof(T)", 9, &typed, &expr, NULL), 0);
    assert_int_equal(tgi_expr_eval_int(expr, NULL, &value, NULL), 0);
    assert_int_equal(value, 8);
    tgi_expr_destroy(expr);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *open, *close;
    } shapes[] = {{"(", ")"},   {"-", ""},     {"!", ""},      {"1?", ":2"},
                  {"0?1:", ""}, {"abs(", ")"}, {"1+2*(", ")"}, {"1<2<<3+4*(", ")"}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (uint32_t depth = 8; depth <= 1024; depth *= 2) {
            char text[16384] = "";
            size_t at = 0;
            for (uint32_t d = 0; d < depth; d++)
                at += (size_t)sprintf(text + at, "%s", shapes[s].open);
            at += (size_t)sprintf(text + at, "i");
            for (uint32_t d = 0; d < depth; d++)
                at += (size_t)sprintf(text + at, "%s", shapes[s].close);
            struct tgi_expr *expr;
            struct tgi_expr_error err = {0};
            int rc = tgi_expr_compile(text, at, &scope, &expr, &err);
            if (rc == 0) {
                int64_t value;
                (void)tgi_expr_eval_int(expr, slots, &value, &err);
                tgi_expr_destroy(expr);
            }
            if (depth <= 32)
                assert_int_equal(rc, 0);
            if (depth > TGI_EXPR_DEPTH)
                assert_int_equal(rc, TG_E_EXPR_SYNTAX);
        }
}

static void long_text_is_refused(void **state)
{
    (void)state;
    char text[5000];
    memset(text, '1', sizeof text);
    struct tgi_expr *expr;
    struct tgi_expr_error err;
    assert_int_equal(tgi_expr_compile(text, sizeof text, &scope, &expr, &err), TG_E_EXPR_SYNTAX);
    for (size_t n = 0; n < 4095; n++)
        text[n] = n % 2 != 0 ? '+' : 'i';
    assert_int_equal(tgi_expr_compile(text, 4095, &scope, &expr, &err), 0);
    int64_t value;
    assert_int_equal(tgi_expr_eval_int(expr, slots, &value, &err), 0);
    assert_int_equal(value, 7 * 2048);
    tgi_expr_destroy(expr);
}

/* ---- Random expressions against a reference that computes in 128 bits --------------------*/

struct random_expr {
    char text[3000];
    size_t length;
    uint64_t seed;
};
struct reference {
    bool failed;
    size_t offset;
    int64_t value;
};

static uint64_t next_random(struct random_expr *r)
{
    r->seed ^= r->seed << 13;
    r->seed ^= r->seed >> 7;
    r->seed ^= r->seed << 17;
    return r->seed;
}

static size_t put(struct random_expr *r, const char *s)
{
    size_t at = r->length;
    r->length += (size_t)sprintf(r->text + at, "%s", s);
    return at;
}

static struct reference check(__int128 value, size_t offset)
{
    struct reference v = {value > INT64_MAX || value < INT64_MIN, offset, (int64_t)value};
    return v;
}

static struct reference apply(const char *op, struct reference a, struct reference b, size_t at)
{
    if (a.failed)
        return a;
    if (b.failed)
        return b;
    __int128 x = a.value, y = b.value;
    struct reference bad = {true, at, 0};
    if (strcmp(op, "+") == 0)
        return check(x + y, at);
    if (strcmp(op, "-") == 0)
        return check(x - y, at);
    if (strcmp(op, "*") == 0)
        return check(x * y, at);
    if (strcmp(op, "<<") == 0)
        return y < 0 || y > 63 ? bad : check(x * ((__int128)1 << (int)y), at);
    if (strcmp(op, ">>") == 0)
        return y < 0 || y > 63 ? bad : check(x >> (int)y, at);
    if (strcmp(op, "<") == 0)
        return check(x < y, at);
    if (strcmp(op, ">=") == 0)
        return check(x >= y, at);
    if (strcmp(op, "==") == 0)
        return check(x == y, at);
    if (strcmp(op, "!=") == 0)
        return check(x != y, at);
    if (strcmp(op, "min") == 0)
        return check(x < y ? x : y, at);
    if (strcmp(op, "max") == 0)
        return check(x > y ? x : y, at);
    if (y == 0)
        return bad;
    if (strcmp(op, "/") == 0)
        return x % y != 0 ? bad : check(x / y, at);
    if (strcmp(op, "%") == 0)
        return check(x % y, at);
    __int128 q = x / y;
    if (strcmp(op, "floordiv") == 0)
        return check(q * y != x && (x < 0) != (y < 0) ? q - 1 : q, at);
    return check(q * y != x && (x < 0) == (y < 0) ? q + 1 : q, at);
}

/* Writes a random expression in parentheses; what it is worth is returned. */
static struct reference grow(struct random_expr *r, int depth)
{
    static const char *const binary[] = {"+", "-", "*", "<<", ">>", "<", ">=", "==", "!=", "/", "%"};
    static const char *const call[] = {"min", "max", "floordiv", "ceildiv"};
    static const int64_t literals[] = {0, 1, 2, 3, 63, 64, 1000, INT64_MAX, INT64_MAX - 1, (int64_t)1 << 53};
    struct reference a, b, c, v = {false, 0, 0};
    char number[32];
    size_t at;
    uint64_t choice = depth == 0 ? next_random(r) % 2 : 2 + next_random(r) % 8;

    switch (choice) {
    case 0:
        v.value = literals[next_random(r) % 10];
        sprintf(number, "%lld", (long long)v.value);
        put(r, number);
        return v;
    case 1:
        at = next_random(r) % 3;
        v.value = slots[at];
        sprintf(number, "%c", (char)('i' + at));
        put(r, number);
        return v;
    case 2:
        put(r, "(");
        at = put(r, "-(");
        a = grow(r, depth - 1);
        put(r, "))");
        return a.failed ? a : check(-(__int128)a.value, at);
    case 3: {
        const char *f = call[next_random(r) % 4];
        at = put(r, f);
        put(r, "(");
        a = grow(r, depth - 1);
        put(r, ", ");
        b = grow(r, depth - 1);
        put(r, ")");
        return apply(f, a, b, at);
    }
    case 4: {
        bool is_and = next_random(r) % 2;
        put(r, "(");
        a = grow(r, depth - 1);
        put(r, is_and ? " && " : " || ");
        b = grow(r, depth - 1);
        put(r, ")");
        if (a.failed)
            return a;
        if ((a.value != 0) != is_and)
            return check(!is_and, 0);
        return b.failed ? b : check(b.value != 0, 0);
    }
    case 5:
        put(r, "(");
        a = grow(r, depth - 1);
        put(r, " ? ");
        b = grow(r, depth - 1);
        put(r, " : ");
        c = grow(r, depth - 1);
        put(r, ")");
        return a.failed ? a : a.value != 0 ? b : c;
    default: {
        const char *op = binary[next_random(r) % 11];
        put(r, "(");
        a = grow(r, depth - 1);
        at = put(r, " ") + 1;
        put(r, op);
        put(r, " ");
        b = grow(r, depth - 1);
        put(r, ")");
        return apply(op, a, b, at);
    }
    }
}

static void random_expressions_agree_with_the_reference(void **state)
{
    (void)state;
    const char *given = getenv("TGRAPH_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20250101;
    print_message("TGRAPH_TEST_SEED=%llu\n", (unsigned long long)seed);
    struct random_expr r = {.seed = seed | 1};
    uint32_t n_values = 0, n_failures = 0;
    for (uint32_t n = 0; n < 50000; n++) {
        r.length = 0;
        struct reference want = grow(&r, (int)(n % 5));
        struct tgi_expr *expr;
        struct tgi_expr_error err = {0};
        int64_t value = 0;
        if (tgi_expr_compile(r.text, r.length, &scope, &expr, &err) != 0)
            fail_msg("%s: %s at %u", r.text, err.text, err.offset);
        int rc = tgi_expr_eval_int(expr, slots, &value, &err);
        tgi_expr_destroy(expr);
        if (want.failed ? rc != TG_E_EXPR_VALUE || err.offset != want.offset : rc != 0 || value != want.value)
            fail_msg("%s: got %d, %lld at %u; want %d, %lld at %zu", r.text, rc, (long long)value, err.offset,
                     want.failed, (long long)want.value, want.offset);
        if (want.failed)
            n_failures++;
        else
            n_values++;
    }
    assert_true(n_values > 10000 && n_failures > 5000);
}

/* Any bytes: compiles or says why; never reads outside (the sanitizer build checks that). */
static void random_bytes_are_harmless(void **state)
{
    (void)state;
    static const char alphabet[] = "01.9exXNijk()()+-*/%<>=!&|?:, minabslog2'\"\0\xff";
    struct random_expr r = {.seed = 88172645463325252ull};
    for (uint32_t n = 0; n < 100000; n++) {
        size_t length = next_random(&r) % 24;
        char *text = malloc(length + 1);
        assert_non_null(text);
        for (size_t b = 0; b < length; b++)
            text[b] = alphabet[next_random(&r) % (sizeof alphabet - 1)];
        struct tgi_expr *expr;
        struct tgi_expr_error err = {0};
        int rc = tgi_expr_compile(text, length, &scope, &expr, &err);
        if (rc == 0) {
            int64_t i;
            double f;
            const double zero[3] = {0, 0, 0};
            (void)tgi_expr_eval_int(expr, slots, &i, &err);
            (void)tgi_expr_eval_double(expr, zero, &f, &err);
            tgi_expr_destroy(expr);
        } else {
            assert_true(err.offset <= length && err.length >= 1);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_have_c_precedence),
        cmocka_unit_test(conditions_evaluate_one_branch),
        cmocka_unit_test(functions_have_exact_values),
        cmocka_unit_test(doubles_are_not_integers),
        cmocka_unit_test(kind_of_value_is_known),
        cmocka_unit_test(overflow_is_reported_at_its_operator),
        cmocka_unit_test(doubles_fail_too),
        cmocka_unit_test(syntax_errors_have_exact_positions),
        cmocka_unit_test(embedded_nul_is_a_syntax_error),
        cmocka_unit_test(sizeof_t_follows_the_scope),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(long_text_is_refused),
        cmocka_unit_test(random_expressions_agree_with_the_reference),
        cmocka_unit_test(random_bytes_are_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
