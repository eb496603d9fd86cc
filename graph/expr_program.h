/* The program that an expression is compiled to (expr.c) and that is evaluated (expr_eval.c): postfix, for a stack machine.
 *
 * One evaluator would not do: integer places want exact 64-bit arithmetic with every overflow
 * noticed, costs want doubles.  Both run the same program; an operation keeps the place in the text
 * it came from, so that a failure in the millionth evaluation still points at the operator.
 *
 * && || and ?: are jumps, so that "n == 0 ? 0 : 100 / n" never divides by zero. */
#ifndef TGI_GRAPH_EXPR_PROGRAM_H
#define TGI_GRAPH_EXPR_PROGRAM_H

#include "graph/expr.h"

#define TGI_EXPR_STACK 256 /* operands waiting at once */

enum tgi_expr_code {
    OP_INT,
    OP_FLOAT,
    OP_SLOT,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_SHL,
    OP_SHR,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_MIN,
    OP_MAX,
    OP_CEILDIV,
    OP_FLOORDIV,
    OP_NEG,
    OP_NOT,
    OP_BOOL,
    OP_ABS,
    OP_LOG2,
    OP_JUMP,        /* to `target` */
    OP_JUMP_IF_NOT, /* pops; to `target` if 0 */
    OP_AND,         /* if the top is 0: leaves 0 and jumps; else pops */
    OP_OR           /* if the top is not 0: leaves 1 and jumps; else pops */
};

struct tgi_expr_op {
    uint8_t code;
    uint16_t offset, length; /* of the operator in the text */
    union {
        int64_t i;
        double f;
        uint32_t slot, target;
    } u;
};

struct tgi_expr {
    uint32_t n_ops;
    bool has_slot, is_float;
    struct tgi_expr_op ops[];
};

/* Notes what is wrong, at a place of the text; returns the status. */
int tgi_expr_report(struct tgi_expr_error *err, int status, uint32_t offset, uint32_t length, const char *format, ...)
    TG_PRINTF(5, 6);
/* An integer operation, as evaluation does it; b is not looked at if there is one operand.  The reason why it has no value;
 * NULL: it has one. */
const char *tgi_expr_apply_int(enum tgi_expr_code code, int64_t a, int64_t b, int64_t *value_p);

#endif
