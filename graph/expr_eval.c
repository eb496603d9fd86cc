/* Evaluates the programs of expressions (expr_program.h), in integers and in doubles. */
#include "graph/expr_program.h"

#include <math.h>

static int fail_at(const struct tgi_expr_op *op, const char *why, struct tgi_expr_error *err)
{
    return tgi_expr_report(err, TG_E_EXPR_VALUE, op->offset, op->length, "%s", why);
}

/* ---- Integers -----------------------------------------------------------------------------*/

static const char *const overflow = "result does not fit in 64 bits";

static const char *divide_int(enum tgi_expr_code code, int64_t a, int64_t b, int64_t *value_p)
{
    if (b == 0)
        return "division by zero";
    if (b == -1) { /* the machine traps on INT64_MIN / -1 */
        *value_p = 0;
        if (code == OP_MOD)
            return NULL;
        return __builtin_sub_overflow((int64_t)0, a, value_p) ? overflow : NULL;
    }
    int64_t q = a / b, r = a % b;
    switch (code) {
    case OP_DIV:
        *value_p = q;
        return r != 0 ? "division leaves a remainder; use floordiv or ceildiv" : NULL;
    case OP_MOD:
        *value_p = r;
        return NULL;
    case OP_CEILDIV:
        *value_p = q + (r != 0 && (r < 0) == (b < 0));
        return NULL;
    default: /* OP_FLOORDIV */
        *value_p = q - (r != 0 && (r < 0) != (b < 0));
        return NULL;
    }
}

const char *tgi_expr_apply_int(enum tgi_expr_code code, int64_t a, int64_t b, int64_t *value_p)
{
    switch (code) {
    case OP_ADD:
        return __builtin_add_overflow(a, b, value_p) ? overflow : NULL;
    case OP_SUB:
        return __builtin_sub_overflow(a, b, value_p) ? overflow : NULL;
    case OP_MUL:
        return __builtin_mul_overflow(a, b, value_p) ? overflow : NULL;
    case OP_DIV:
    case OP_MOD:
    case OP_CEILDIV:
    case OP_FLOORDIV:
        return divide_int(code, a, b, value_p);
    case OP_SHL:
        if (b < 0 || b > 63)
            return "shift count is outside 0..63";
        *value_p = (int64_t)((uint64_t)a << b);
        return *value_p >> b != a ? overflow : NULL;
    case OP_SHR:
        if (b < 0 || b > 63)
            return "shift count is outside 0..63";
        *value_p = a >> b;
        return NULL;
    case OP_EQ:
        *value_p = a == b;
        return NULL;
    case OP_NE:
        *value_p = a != b;
        return NULL;
    case OP_LT:
        *value_p = a < b;
        return NULL;
    case OP_LE:
        *value_p = a <= b;
        return NULL;
    case OP_GT:
        *value_p = a > b;
        return NULL;
    case OP_GE:
        *value_p = a >= b;
        return NULL;
    case OP_MIN:
        *value_p = a < b ? a : b;
        return NULL;
    case OP_MAX:
        *value_p = a > b ? a : b;
        return NULL;
    case OP_NEG:
        return __builtin_sub_overflow((int64_t)0, a, value_p) ? overflow : NULL;
    case OP_NOT:
        *value_p = a == 0;
        return NULL;
    case OP_BOOL:
        *value_p = a != 0;
        return NULL;
    case OP_ABS:
        *value_p = a;
        return a < 0 && __builtin_sub_overflow((int64_t)0, a, value_p) ? overflow : NULL;
    case OP_LOG2:
        if (a <= 0)
            return "log2 of a number that is not positive";
        *value_p = 63 - __builtin_clzll((uint64_t)a);
        return NULL;
    default:
        return "malformed program";
    }
}

int tgi_expr_eval_int(const struct tgi_expr *expr, const int64_t *slots, int64_t *value_p,
                      struct tgi_expr_error *err)
{
    int64_t stack[TGI_EXPR_STACK + 1];
    int64_t *top = stack; /* the last operand; the first entry is below all operands */

    for (uint32_t pc = 0; pc < expr->n_ops; pc++) {
        const struct tgi_expr_op *op = &expr->ops[pc];
        const char *why;
        switch ((enum tgi_expr_code)op->code) {
        case OP_INT:
            *++top = op->u.i;
            break;
        case OP_SLOT:
            *++top = slots[op->u.slot];
            break;
        case OP_FLOAT:
            return fail_at(op, "floating-point number where an integer is needed", err);
        case OP_JUMP:
            pc = op->u.target - 1;
            break;
        case OP_JUMP_IF_NOT:
            if (*top-- == 0)
                pc = op->u.target - 1;
            break;
        case OP_AND:
            if (*top == 0)
                pc = op->u.target - 1;
            else
                top--;
            break;
        case OP_OR:
            if (*top != 0) {
                *top = 1;
                pc = op->u.target - 1;
            } else {
                top--;
            }
            break;
        case OP_NEG:
        case OP_NOT:
        case OP_BOOL:
        case OP_ABS:
        case OP_LOG2:
            if ((why = tgi_expr_apply_int((enum tgi_expr_code)op->code, *top, 0, top)) != NULL)
                return fail_at(op, why, err);
            break;
        default:
            top--;
            if ((why = tgi_expr_apply_int((enum tgi_expr_code)op->code, top[0], top[1], top)) != NULL)
                return fail_at(op, why, err);
        }
    }
    *value_p = *top;
    return 0;
}

/* ---- Doubles ------------------------------------------------------------------------------*/

static const char *shift_double(enum tgi_expr_code code, double a, double b, double *value_p)
{
    if (!(b >= 0 && b <= 63))
        return "shift count is outside 0..63";
    int n = (int)b;
    *value_p = code == OP_SHL ? ldexp(a, n) : floor(ldexp(a, -n));
    return NULL;
}

static const char *apply_double(enum tgi_expr_code code, double a, double b, double *value_p)
{
    double v;
    const char *why = NULL;
    switch (code) {
    case OP_ADD:
        v = a + b;
        break;
    case OP_SUB:
        v = a - b;
        break;
    case OP_MUL:
        v = a * b;
        break;
    case OP_DIV:
    case OP_MOD:
    case OP_CEILDIV:
    case OP_FLOORDIV:
        if (b == 0)
            return "division by zero";
        v = code == OP_DIV       ? a / b
            : code == OP_MOD     ? fmod(a, b)
            : code == OP_CEILDIV ? ceil(a / b)
                                 : floor(a / b);
        break;
    case OP_SHL:
    case OP_SHR:
        if ((why = shift_double(code, a, b, &v)) != NULL)
            return why;
        break;
    case OP_EQ:
        v = a == b;
        break;
    case OP_NE:
        v = a != b;
        break;
    case OP_LT:
        v = a < b;
        break;
    case OP_LE:
        v = a <= b;
        break;
    case OP_GT:
        v = a > b;
        break;
    case OP_GE:
        v = a >= b;
        break;
    case OP_MIN:
        v = a < b ? a : b;
        break;
    case OP_MAX:
        v = a > b ? a : b;
        break;
    case OP_NEG:
        v = -a;
        break;
    case OP_NOT:
        v = a == 0;
        break;
    case OP_BOOL:
        v = a != 0;
        break;
    case OP_ABS:
        v = fabs(a);
        break;
    case OP_LOG2:
        if (!(a > 0))
            return "log2 of a number that is not positive";
        v = log2(a);
        break;
    default:
        return "malformed program";
    }
    *value_p = v;
    return isfinite(v) ? NULL : "result is too large for a double";
}

int tgi_expr_eval_double(const struct tgi_expr *expr, const double *slots, double *value_p,
                         struct tgi_expr_error *err)
{
    double stack[TGI_EXPR_STACK + 1];
    double *top = stack;

    for (uint32_t pc = 0; pc < expr->n_ops; pc++) {
        const struct tgi_expr_op *op = &expr->ops[pc];
        const char *why;
        switch ((enum tgi_expr_code)op->code) {
        case OP_INT:
            *++top = (double)op->u.i;
            break;
        case OP_FLOAT:
            *++top = op->u.f;
            break;
        case OP_SLOT:
            *++top = slots[op->u.slot];
            break;
        case OP_JUMP:
            pc = op->u.target - 1;
            break;
        case OP_JUMP_IF_NOT:
            if (*top-- == 0)
                pc = op->u.target - 1;
            break;
        case OP_AND:
            if (*top == 0)
                pc = op->u.target - 1;
            else
                top--;
            break;
        case OP_OR:
            if (*top != 0) {
                *top = 1;
                pc = op->u.target - 1;
            } else {
                top--;
            }
            break;
        case OP_NEG:
        case OP_NOT:
        case OP_BOOL:
        case OP_ABS:
        case OP_LOG2:
            if ((why = apply_double((enum tgi_expr_code)op->code, *top, 0, top)) != NULL)
                return fail_at(op, why, err);
            break;
        default:
            top--;
            if ((why = apply_double((enum tgi_expr_code)op->code, top[0], top[1], top)) != NULL)
                return fail_at(op, why, err);
        }
    }
    *value_p = *top;
    return 0;
}
