/* Integer and floating-point expressions of the graph file, compiled once and evaluated often.
 *
 * Grammar: numbers (decimal, 0x, floats), names, ( ), unary - !, binary + - * / % << >> == != < <=
 * > >= && || with C precedence, ?:, and calls of min max abs ceildiv floordiv log2 sizeof(dtype)
 * ndev(kind).  Compilation and evaluation use no recursion deeper than TGI_EXPR_DEPTH. */
#ifndef TGI_GRAPH_EXPR_H
#define TGI_GRAPH_EXPR_H

#include "graph/tgraph.h"

#define TGI_EXPR_DEPTH 64

struct tgi_expr;

/* Where names lead: a constant known now, or a slot whose value comes with each evaluation. */
struct tgi_expr_name {
    enum { TGI_NAME_UNKNOWN, TGI_NAME_INT, TGI_NAME_FLOAT, TGI_NAME_SLOT } kind;
    int64_t i;
    double f;
    uint32_t slot;
};
struct tgi_expr_scope {
    /* Resolves a name of `length` bytes (not terminated). */
    struct tgi_expr_name (*resolve)(void *user, const char *name, size_t length);
    /* Value of ndev(kind), e.g. "cuda"; negative: unknown kind. */
    int64_t (*n_devices)(void *user, const char *kind, size_t length);
    void *user;
    int type_t; /* what sizeof(T) means: an enum tg_dtype; negative: no T here */
};

/* What is wrong and where: byte offset in the text, from 0. */
struct tgi_expr_error {
    int status; /* TG_E_EXPR_SYNTAX, TG_E_EXPR_VALUE, TG_E_UNKNOWN_NAME, TG_E_NO_MEMORY */
    uint32_t offset, length;
    char text[160];
};

/* Compiles `text`.  A name it does not know is TG_E_UNKNOWN_NAME.  The result is immutable and may
 * be evaluated by several threads at once. */
int tgi_expr_compile(const char *text, size_t length, const struct tgi_expr_scope *scope,
                     struct tgi_expr **expr_p, struct tgi_expr_error *err);
void tgi_expr_destroy(struct tgi_expr *expr);

/* True if no slot occurs; then slots may be NULL. */
bool tgi_expr_is_constant(const struct tgi_expr *expr);
/* Whether the value depends on a slot. */
bool tgi_expr_uses(const struct tgi_expr *expr, uint32_t slot);
/* True if the value is a floating-point number: a float literal or a TGI_NAME_FLOAT occurs. */
bool tgi_expr_is_float(const struct tgi_expr *expr);

/* 64-bit integer arithmetic; overflow, division by zero, a division with remainder and a shift
 * outside 0..63 are TG_E_EXPR_VALUE at the operator's position. */
int tgi_expr_eval_int(const struct tgi_expr *expr, const int64_t *slots, int64_t *value_p,
                      struct tgi_expr_error *err);
/* Double arithmetic, as in costs. */
int tgi_expr_eval_double(const struct tgi_expr *expr, const double *slots, double *value_p,
                         struct tgi_expr_error *err);

#endif
