/* Compiles expressions to programs (expr_program.h).
 *
 * Operations on constants are folded where the integer and the double result agree; a fold never reaches back
 * over a jump target (`barrier`), because the operand on the stack could be another one.
 *
 * The parser is precedence climbing.  It recurses once per nesting level of the text, at most
 * TGI_EXPR_DEPTH deep, and a fixed number of times per level for the precedences. */
#include "graph/expr.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/expr_program.h"

#define MAX_TEXT 4096 /* bytes of an expression: bounds the work of one evaluation */

struct parser {
    const char *text;
    uint32_t length, at;
    const struct tgi_expr_scope *scope;
    struct tgi_expr_op *ops;
    uint32_t n_ops, cap_ops;
    uint32_t barrier; /* operations before this one may not be folded */
    uint32_t stack;   /* operands waiting */
    uint32_t depth;
    bool has_slot, is_float;
    struct tgi_expr_error *err;
};

int tgi_expr_report(struct tgi_expr_error *err, int status, uint32_t offset, uint32_t length, const char *format, ...)
{
    if (err == NULL)
        return status;
    va_list ap;
    err->status = status;
    err->offset = offset;
    err->length = length;
    va_start(ap, format);
    vsnprintf(err->text, sizeof err->text, format, ap);
    va_end(ap);
    return status;
}

static bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }

static char peek(struct parser *p)
{
    while (p->at < p->length && (p->text[p->at] == ' ' || p->text[p->at] == '\t' || p->text[p->at] == '\n' ||
                                 p->text[p->at] == '\r'))
        p->at++;
    return p->at < p->length ? p->text[p->at] : '\0';
}

static uint32_t token_length(const struct parser *p)
{
    if (p->at >= p->length)
        return 1;
    uint32_t n = 0;
    while (p->at + n < p->length && is_name_char(p->text[p->at + n]))
        n++;
    if (n == 0) /* a whole character, also outside ASCII */
        for (n = 1; p->at + n < p->length && ((unsigned char)p->text[p->at + n] & 0xc0) == 0x80;)
            n++;
    return n;
}

static int syntax(struct parser *p, const char *expected)
{
    peek(p);
    if (p->at >= p->length)
        return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, p->at, 1, "expected %s, but the expression ends", expected);
    uint32_t n = token_length(p);
    return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, p->at, n, "expected %s before \"%.*s\"", expected,
                  n > 40 ? 40 : (int)n, p->text + p->at);
}

static int emit(struct parser *p, enum tgi_expr_code code, uint32_t offset, uint32_t length, int stack_change)
{
    if (p->n_ops == p->cap_ops) {
        uint32_t cap = p->cap_ops > 0 ? 2 * p->cap_ops : 16;
        struct tgi_expr_op *ops = realloc(p->ops, cap * sizeof *ops);
        if (ops == NULL)
            return tgi_expr_report(p->err, TG_E_NO_MEMORY, offset, length,
                          "out of memory while compiling an expression");
        p->ops = ops;
        p->cap_ops = cap;
    }
    p->stack = (uint32_t)((int)p->stack + stack_change);
    if (p->stack > TGI_EXPR_STACK)
        return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, offset, length, "expression is nested too deeply");
    struct tgi_expr_op *op = &p->ops[p->n_ops++];
    memset(op, 0, sizeof *op);
    op->code = (uint8_t)code;
    op->offset = (uint16_t)offset;
    op->length = (uint16_t)length;
    return 0;
}

static int emit_int(struct parser *p, int64_t value, uint32_t offset, uint32_t length)
{
    int rc = emit(p, OP_INT, offset, length, 1);
    if (rc == 0)
        p->ops[p->n_ops - 1].u.i = value;
    return rc;
}

static int emit_float(struct parser *p, double value, uint32_t offset, uint32_t length)
{
    int rc = emit(p, OP_FLOAT, offset, length, 1);
    if (rc == 0)
        p->ops[p->n_ops - 1].u.f = value;
    p->is_float = true;
    return rc;
}

/* Doubles hold these exactly, so both evaluators agree on a folded value. */
static bool is_exact_double(int64_t i) { return i >= -((int64_t)1 << 53) && i <= ((int64_t)1 << 53); }

static bool is_foldable(const struct parser *p, uint32_t n_operands)
{
    if (p->n_ops < p->barrier + n_operands)
        return false;
    for (uint32_t k = 1; k <= n_operands; k++)
        if (p->ops[p->n_ops - k].code != OP_INT || !is_exact_double(p->ops[p->n_ops - k].u.i))
            return false;
    return true;
}

static int emit_operator(struct parser *p, enum tgi_expr_code code, uint32_t offset, uint32_t length)
{
    uint32_t n_operands = code >= OP_NEG ? 1 : 2;
    if (is_foldable(p, n_operands)) {
        int64_t b = p->ops[p->n_ops - 1].u.i, a = n_operands == 2 ? p->ops[p->n_ops - 2].u.i : b, value;
        bool agrees = code != OP_LOG2 || (a > 0 && (a & (a - 1)) == 0);
        if (code == OP_MOD && a < 0) /* the sign of a zero */
            agrees = false;
        if (agrees && tgi_expr_apply_int(code, a, b, &value) == NULL && is_exact_double(value)) {
            p->n_ops -= n_operands;
            p->stack -= n_operands;
            return emit_int(p, value, offset, length);
        }
    }
    return emit(p, code, offset, length, 1 - (int)n_operands);
}

static int parse_ternary(struct parser *p);

static int parse_number(struct parser *p, bool is_negated)
{
    uint32_t begin = p->at;
    const char *s = p->text + begin, *end = p->text + p->length;
    const char *t = s;
    uint64_t value = 0;
    bool is_over = false, is_real = false;

    if (end - t > 2 && t[0] == '0' && (t[1] == 'x' || t[1] == 'X')) {
        const char *digits = t += 2;
        for (; t < end; t++) {
            char c = *t;
            unsigned d = is_digit(c)            ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
            if (d == 99)
                break;
            is_over |= value >> 60 != 0;
            value = value << 4 | d;
        }
        if (t == digits)
            return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, begin, 2, "expected hexadecimal digits after \"0x\"");
    } else {
        for (; t < end && is_digit(*t); t++) {
            is_over |= value > (UINT64_MAX - (uint64_t)(*t - '0')) / 10;
            value = value * 10 + (uint64_t)(*t - '0');
        }
        if (t < end && *t == '.') {
            is_real = true;
            for (t++; t < end && is_digit(*t);)
                t++;
        }
        if (t < end && (*t == 'e' || *t == 'E')) {
            const char *e = t + 1;
            if (e < end && (*e == '+' || *e == '-'))
                e++;
            if (e < end && is_digit(*e)) {
                is_real = true;
                for (t = e; t < end && is_digit(*t);)
                    t++;
            }
        }
    }
    uint32_t length = (uint32_t)(t - s);
    p->at += length;
    if (t < end && is_name_char(*t))
        return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, begin, length + token_length(p), "malformed number");

    if (is_real) {
        char copy[64];
        if (length >= sizeof copy)
            return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, begin, length, "number has more than %d characters",
                          (int)sizeof copy - 1);
        memcpy(copy, s, length);
        copy[length] = '\0';
        char *point = strchr(copy, '.');
        if (point != NULL) /* strtod follows the locale of the program */
            *point = *localeconv()->decimal_point;
        double real = strtod(copy, NULL);
        if (!isfinite(real))
            return tgi_expr_report(p->err, TG_E_EXPR_VALUE, begin, length, "number is too large for a double");
        return emit_float(p, is_negated ? -real : real, begin, length);
    }
    if (is_over || value > (uint64_t)INT64_MAX + (is_negated ? 1u : 0u))
        return tgi_expr_report(p->err, TG_E_EXPR_VALUE, begin, length, "number does not fit in 64 bits");
    return emit_int(p, is_negated ? (int64_t)(0 - value) : (int64_t)value, begin, length);
}

static const struct function {
    const char *name;
    enum tgi_expr_code code;
    uint32_t min_args, max_args;
} functions[] = {
    {"min", OP_MIN, 1, 64},          {"max", OP_MAX, 1, 64}, {"ceildiv", OP_CEILDIV, 2, 2},
    {"floordiv", OP_FLOORDIV, 2, 2}, {"abs", OP_ABS, 1, 1},  {"log2", OP_LOG2, 1, 1},
};

static bool is_word(const char *s, uint32_t n, const char *word)
{
    return strlen(word) == n && memcmp(s, word, n) == 0;
}

static int expect(struct parser *p, char c, const char *what)
{
    if (peek(p) != c)
        return syntax(p, what);
    p->at++;
    return 0;
}

static int parse_call(struct parser *p, const struct function *f, uint32_t begin)
{
    uint32_t length = p->at - begin, n = 0;
    int rc = expect(p, '(', "\"(\"");
    if (rc != 0)
        return rc;
    for (;;) {
        if ((rc = parse_ternary(p)) != 0)
            return rc;
        n++;
        /* min(a, b, c) is min(min(a, b), c): two operands wait at most */
        if (n >= 2 || f->max_args == 1)
            if ((rc = emit_operator(p, f->code, begin, length)) != 0)
                return rc;
        if (peek(p) != ',')
            break;
        if (n == f->max_args)
            return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, p->at, 1, "%s takes %u argument%s", f->name, f->max_args,
                          f->max_args == 1 ? "" : "s");
        p->at++;
    }
    if ((rc = expect(p, ')', n < f->max_args ? "\",\" or \")\"" : "\")\"")) != 0)
        return rc;
    if (n < f->min_args)
        return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, begin, length, "%s takes %u arguments", f->name, f->min_args);
    return 0;
}

/* A word, bare or in quotes, between parentheses. */
static int parse_word_argument(struct parser *p, const char *what, uint32_t *begin_p, uint32_t *length_p)
{
    int rc = expect(p, '(', "\"(\"");
    if (rc != 0)
        return rc;
    char quote = peek(p);
    if (quote == '\'' || quote == '"')
        p->at++;
    else
        quote = '\0';
    uint32_t begin = p->at;
    while (p->at < p->length && is_name_char(p->text[p->at]))
        p->at++;
    *begin_p = begin;
    *length_p = p->at - begin;
    if (*length_p == 0)
        return syntax(p, what);
    if (quote != '\0') {
        if (p->at >= p->length || p->text[p->at] != quote)
            return syntax(p, "a closing quote");
        p->at++;
    }
    return expect(p, ')', "\")\"");
}

static int parse_sizeof(struct parser *p)
{
    uint32_t begin, length;
    int rc = parse_word_argument(p, "a data type such as f32", &begin, &length);
    if (rc != 0)
        return rc;
    const char *word = p->text + begin;
    if (is_word(word, length, "T") && p->scope->type_t >= 0)
        return emit_int(p, (int64_t)tg_dtype_size((enum tg_dtype)p->scope->type_t), begin, length);
    for (int t = 0; t < TG_N_DTYPES; t++)
        if (is_word(word, length, tg_dtype_name((enum tg_dtype)t)))
            return emit_int(p, (int64_t)tg_dtype_size((enum tg_dtype)t), begin, length);
    return tgi_expr_report(p->err, TG_E_UNKNOWN_NAME, begin, length, "unknown data type \"%.*s\"; there is f16, bf16, f32, f64, i8 to i64, u8 to u64, c64 and c128",
                  length > 40 ? 40 : (int)length, word);
}

static int parse_ndev(struct parser *p)
{
    uint32_t begin, length;
    int rc = parse_word_argument(p, "a kind of device such as 'cuda'", &begin, &length);
    if (rc != 0)
        return rc;
    const char *word = p->text + begin;
    int64_t n = p->scope->n_devices != NULL ? p->scope->n_devices(p->scope->user, word, length) : -1;
    if (n < 0)
        return tgi_expr_report(p->err, TG_E_UNKNOWN_NAME, begin, length, "unknown kind of device \"%.*s\"; there is cuda and cpu",
                      length > 40 ? 40 : (int)length, word);
    return emit_int(p, n, begin, length);
}

static int parse_name(struct parser *p)
{
    uint32_t begin = p->at;
    while (p->at < p->length && is_name_char(p->text[p->at]))
        p->at++;
    uint32_t length = p->at - begin;
    const char *name = p->text + begin;

    if (peek(p) == '(') {
        for (size_t k = 0; k < sizeof functions / sizeof *functions; k++)
            if (is_word(name, length, functions[k].name)) {
                p->at = begin + length;
                return parse_call(p, &functions[k], begin);
            }
        if (is_word(name, length, "sizeof"))
            return parse_sizeof(p);
        if (is_word(name, length, "ndev"))
            return parse_ndev(p);
        return tgi_expr_report(p->err, TG_E_UNKNOWN_NAME, begin, length, "unknown function \"%.*s\"; there is min, max, abs, ceildiv, floordiv, log2, sizeof and ndev",
                      length > 40 ? 40 : (int)length, name);
    }

    struct tgi_expr_name found = {TGI_NAME_UNKNOWN, 0, 0, 0};
    if (p->scope->resolve != NULL)
        found = p->scope->resolve(p->scope->user, name, length);
    int rc;
    switch (found.kind) {
    case TGI_NAME_INT:
        return emit_int(p, found.i, begin, length);
    case TGI_NAME_FLOAT:
        return emit_float(p, found.f, begin, length);
    case TGI_NAME_SLOT:
        if ((rc = emit(p, OP_SLOT, begin, length, 1)) != 0)
            return rc;
        p->ops[p->n_ops - 1].u.slot = found.slot;
        p->has_slot = true;
        return 0;
    default:
        return tgi_expr_report(p->err, TG_E_UNKNOWN_NAME, begin, length, "unknown name \"%.*s\"",
                      length > 80 ? 80 : (int)length, name);
    }
}

static int enter(struct parser *p)
{
    if (++p->depth > TGI_EXPR_DEPTH)
        return tgi_expr_report(p->err, TG_E_EXPR_SYNTAX, p->at, 1, "expression is nested more than %d deep",
                      TGI_EXPR_DEPTH);
    return 0;
}

static int parse_primary(struct parser *p, bool is_negated)
{
    char c = peek(p);
    if (is_digit(c) || (c == '.' && p->at + 1 < p->length && is_digit(p->text[p->at + 1])))
        return parse_number(p, is_negated);
    if (is_name_start(c))
        return parse_name(p);
    if (c == '(') {
        p->at++;
        int rc = parse_ternary(p);
        return rc != 0 ? rc : expect(p, ')', "an operator or \")\"");
    }
    return syntax(p, "a number, a name or \"(\"");
}

static int parse_unary(struct parser *p)
{
    char c = peek(p);
    uint32_t at = p->at;
    int rc;
    if (c != '-' && c != '!' && c != '+')
        return parse_primary(p, false);
    p->at++;
    char next = peek(p);
    if (c == '-' && is_digit(next)) /* one token, or -2^63 could not be written */
        return parse_primary(p, true);
    if ((rc = enter(p)) != 0 || (rc = parse_unary(p)) != 0)
        return rc;
    p->depth--;
    if (c == '+')
        return 0;
    return emit_operator(p, c == '-' ? OP_NEG : OP_NOT, at, 1);
}

/* The binary operator at the cursor, its precedence (0: none) and length. */
static int peek_operator(struct parser *p, enum tgi_expr_code *code_p, uint32_t *length_p)
{
    static const struct {
        char text[3];
        enum tgi_expr_code code;
        int precedence;
    } operators[] = {
        {"||", OP_OR, 1},  {"&&", OP_AND, 2}, {"==", OP_EQ, 3}, {"!=", OP_NE, 3}, {"<<", OP_SHL, 5},
        {">>", OP_SHR, 5}, {"<=", OP_LE, 4},  {">=", OP_GE, 4}, {"<", OP_LT, 4},  {">", OP_GT, 4},
        {"+", OP_ADD, 6},  {"-", OP_SUB, 6},  {"*", OP_MUL, 7}, {"/", OP_DIV, 7}, {"%", OP_MOD, 7},
    };
    if (peek(p) == '\0')
        return 0;
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++) {
        uint32_t n = (uint32_t)strlen(operators[k].text);
        if (p->length - p->at >= n && memcmp(p->text + p->at, operators[k].text, n) == 0) {
            *code_p = operators[k].code;
            *length_p = n;
            return operators[k].precedence;
        }
    }
    return 0;
}

static int parse_binary(struct parser *p, int min_precedence)
{
    int rc = parse_unary(p);
    if (rc != 0)
        return rc;
    for (;;) {
        enum tgi_expr_code code = OP_ADD;
        uint32_t length = 0;
        int precedence = peek_operator(p, &code, &length);
        if (precedence == 0 || precedence < min_precedence)
            return 0;
        uint32_t at = p->at, jump = 0;
        p->at += length;
        if (code == OP_AND || code == OP_OR) {
            if ((rc = emit(p, code, at, length, -1)) != 0)
                return rc;
            jump = p->n_ops - 1;
            p->barrier = p->n_ops; /* the left side stays where it is */
        }
        if ((rc = parse_binary(p, precedence + 1)) != 0)
            return rc;
        if (code == OP_AND || code == OP_OR) {
            if ((rc = emit(p, OP_BOOL, at, length, 0)) != 0)
                return rc;
            p->ops[jump].u.target = p->n_ops;
            p->barrier = p->n_ops;
        } else if ((rc = emit_operator(p, code, at, length)) != 0)
            return rc;
    }
}

static int parse_ternary(struct parser *p)
{
    int rc = enter(p);
    if (rc != 0 || (rc = parse_binary(p, 1)) != 0)
        return rc;
    if (peek(p) == '?') {
        uint32_t at = p->at++;
        if ((rc = emit(p, OP_JUMP_IF_NOT, at, 1, -1)) != 0)
            return rc;
        uint32_t jump_else = p->n_ops - 1;
        p->barrier = p->n_ops;
        if ((rc = parse_ternary(p)) != 0 || (rc = expect(p, ':', "\":\"")) != 0 ||
            (rc = emit(p, OP_JUMP, at, 1, -1)) != 0)
            return rc;
        uint32_t jump_end = p->n_ops - 1;
        p->ops[jump_else].u.target = p->n_ops;
        p->barrier = p->n_ops;
        if ((rc = parse_ternary(p)) != 0)
            return rc;
        p->ops[jump_end].u.target = p->n_ops;
        p->barrier = p->n_ops;
    }
    p->depth--;
    return 0;
}

int tgi_expr_compile(const char *text, size_t length, const struct tgi_expr_scope *scope,
                     struct tgi_expr **expr_p, struct tgi_expr_error *err)
{
    if (length > MAX_TEXT)
        return tgi_expr_report(err, TG_E_EXPR_SYNTAX, 0, 1, "expression is longer than %d bytes", MAX_TEXT);
    struct parser p = {.text = text, .length = (uint32_t)length, .scope = scope, .err = err};
    int rc = parse_ternary(&p);
    if (rc == 0) {
        peek(&p);
        if (p.at < p.length)
            rc = syntax(&p, "an operator");
    }
    if (rc == 0) {
        struct tgi_expr *expr = malloc(sizeof *expr + p.n_ops * sizeof *p.ops);
        if (expr == NULL) {
            rc = tgi_expr_report(err, TG_E_NO_MEMORY, 0, 1, "out of memory while compiling an expression");
        } else {
            expr->n_ops = p.n_ops;
            expr->has_slot = p.has_slot;
            expr->is_float = p.is_float;
            memcpy(expr->ops, p.ops, p.n_ops * sizeof *p.ops);
            *expr_p = expr;
        }
    }
    free(p.ops);
    return rc;
}

void tgi_expr_destroy(struct tgi_expr *expr) { free(expr); }

bool tgi_expr_is_constant(const struct tgi_expr *expr) { return !expr->has_slot; }

bool tgi_expr_uses(const struct tgi_expr *expr, uint32_t slot)
{
    for (uint32_t i = 0; expr->has_slot && i < expr->n_ops; i++)
        if (expr->ops[i].code == OP_SLOT && expr->ops[i].u.slot == slot)
            return true;
    return false;
}

bool tgi_expr_is_float(const struct tgi_expr *expr) { return expr->is_float; }
