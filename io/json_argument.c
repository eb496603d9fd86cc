/* Kernels of tasks, and what a task gives them: names looked up, numbers and references compiled. */
#include "io/json_reader.h"

#include <stdio.h>
#include <string.h>

int tgi_find_kernel(struct tgi_reader *r, uint32_t node, uint32_t *kernel_p)
{
    char help[400];
    struct tgi_remark remark = {.label = "not in \"kernels\""};
    int rc = tgi_expect(r, node, TGI_TAPE_STRING, "the name of a kernel");
    if (rc != 0)
        return rc;
    const char *name = tgi_node_string(r, node);
    *kernel_p = tgi_name_index_find(&r->kernels, name, tgi_tape_count(&r->tape, node));
    if (*kernel_p == TGI_NAME_BROKEN)
        return TG_E_UNKNOWN_KERNEL;
    if (*kernel_p != UINT32_MAX)
        return 0;
    if ((remark.help = tgi_did_you_mean_defined(r, &r->kernels, name, help, sizeof help)) == NULL &&
        tgi_builtin_find(name) != NULL) {
        snprintf(help, sizeof help,
                 "it is built in; declare it: \"kernels\": {\"%s\": {\"builtin\": \"%s\"}}", name, name);
        remark.help = help;
    }
    return tgi_report(r, node, &remark, TG_E_UNKNOWN_KERNEL, "unknown kernel \"%.100s\"", name);
}

static bool is_float_dtype(int dtype)
{
    return dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_F32 || dtype == TG_F64 || dtype == TG_C64 ||
           dtype == TG_C128;
}

int tgi_compile_arg(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, const struct tgi_param *p,
                    int type_t, struct tgi_arg_template *arg)
{
    arg->node = node;
    if (p->access != TG_SCALAR) {
        if (tgi_node_type(r, node) == TGI_TAPE_NULL && p->fallback != NULL &&
            strcmp(p->fallback, "null") == 0) {
            arg->kind = TGI_ARG_ABSENT;
            return 0;
        }
        arg->kind = TGI_ARG_REFERENCE;
        if (tgi_node_type(r, node) != TGI_TAPE_STRING)
            return tgi_report(r, node, NULL, TG_E_TYPE_MISMATCH,
                              "argument \"%.100s\" is a buffer, written as a string such as \"A[m,k]\"",
                              p->name);
        return tgi_reference_compile(r, pool, node, &arg->reference);
    }
    int dtype = p->dtype == TGI_DTYPE_T ? type_t : p->dtype;
    arg->kind = is_float_dtype(dtype) ? TGI_ARG_NUMBER_FLOAT : TGI_ARG_NUMBER_INT;
    char what[160];
    snprintf(what, sizeof what, "argument \"%.100s\"", p->name);
    int rc = tgi_number_compile(r, pool, node, what, &arg->number);
    /* A number such as 2.0 for an integer: let the graph decide. */
    if (rc == 0 && arg->number.kind == TGI_NUMBER_FLOAT)
        arg->kind = TGI_ARG_NUMBER_FLOAT;
    return rc;
}

static int unknown_argument(struct tgi_reader *r, uint32_t node, const struct tgi_op *op)
{
    const char *names[TG_MAX_PARAMS], *name = tgi_node_string(r, node - 1);
    char help[400];
    struct tgi_remark remark = {.is_key = true};
    for (uint32_t i = 0; i < op->n_params; i++)
        names[i] = op->params[i].name;
    if ((remark.help = tgi_did_you_mean_list(names, op->n_params, name, help, sizeof help)) == NULL) {
        size_t used = (size_t)snprintf(help, sizeof help, "it takes");
        for (uint32_t i = 0; i < op->n_params && used < sizeof help; i++)
            used += (size_t)snprintf(help + used, sizeof help - used, "%s %s", i > 0 ? "," : "", names[i]);
        remark.help = help;
    }
    return tgi_report(r, node, &remark, TG_E_UNKNOWN_ARGUMENT, "kernel \"%.100s\" has no argument \"%.100s\"",
                      op->name, name);
}

/* The value of an argument left out between others: a number, or that of an earlier one. */
static int fall_back(struct tgi_reader *r, const struct tgi_op *op, uint32_t i, struct tgi_arg_template *args)
{
    const char *fallback = op->params[i].fallback;
    args[i].kind = TGI_ARG_ABSENT;
    if (op->params[i].access != TG_SCALAR)
        return 0;
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(op->params[k].name, fallback) == 0) {
            args[i] = args[k];
            return 0;
        }
    struct tgi_expr_scope scope = {NULL, NULL, NULL, -1};
    struct tgi_expr *expr;
    double value = 0;
    if (tgi_expr_compile(fallback, strlen(fallback), &scope, &expr, NULL) != 0)
        return tgi_report(r, args[i].node, NULL, TG_E_INTERNAL, "default \"%s\" of argument \"%s\"", fallback,
                          op->params[i].name);
    (void)tgi_expr_eval_double(expr, NULL, &value, NULL); /* of a literal */
    tgi_expr_destroy(expr);
    args[i].kind = TGI_ARG_NUMBER_FLOAT;
    args[i].number =
        (struct tgi_number){.kind = TGI_NUMBER_FLOAT, .node = args[i].node, .is_float = true, .u.f = value};
    return 0;
}

/* What T is: the type of the first buffer among the arguments that are of type T. */
static int find_type(const struct tgi_reader *r, const struct tgi_op *op, const struct tgi_arg_template *args)
{
    for (uint32_t i = 0; i < op->n_params; i++)
        if (op->params[i].dtype == TGI_DTYPE_T && args[i].kind == TGI_ARG_REFERENCE)
            return (int)r->graph->space->buffers[args[i].reference.buffer].dtype;
    return -1;
}

/* Sorts the members of "args" by parameter. */
static int sort_args(struct tgi_reader *r, uint32_t node, const struct tgi_op *op, uint32_t *nodes)
{
    int rc = tgi_expect(r, node, TGI_TAPE_OBJECT, "\"args\"");
    if (rc != 0)
        return rc;
    uint32_t key = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0;
         left--, key = tgi_tape_next(&r->tape, key + 1)) {
        const char *name = tgi_node_string(r, key);
        uint32_t i = 0;
        while (i < op->n_params && strcmp(op->params[i].name, name) != 0)
            i++;
        if (i == op->n_params)
            return unknown_argument(r, key + 1, op);
        nodes[i] = key + 1;
    }
    return 0;
}

int tgi_compile_args(struct tgi_reader *r, struct tgi_json_pool *pool, uint32_t node, struct tgi_template *t,
                     uint32_t kernel_node)
{
    const struct tgi_op *op = &r->graph->space->ops[t->kernel];
    uint32_t nodes[TG_MAX_PARAMS] = {0};
    int rc = node == TGI_TAPE_ABSENT ? 0 : sort_args(r, node, op, nodes);
    if (rc != 0)
        return rc;
    t->args = tgi_json_pool_alloc(pool, (op->n_params + 1) * sizeof *t->args);
    if (t->args == NULL)
        return tgi_report_memory(r);
    /* Buffers first: they decide what T is for the numbers. */
    for (int pass = 0; pass < 2; pass++) {
        int type_t = pass == 0 ? -1 : find_type(r, op, t->args);
        for (uint32_t i = 0; i < op->n_params; i++)
            if (nodes[i] != TGI_TAPE_ABSENT && (op->params[i].access == TG_SCALAR) == (pass == 1) &&
                (rc = tgi_compile_arg(r, pool, nodes[i], &op->params[i], type_t, &t->args[i])) != 0)
                return rc;
    }
    for (uint32_t i = 0; i < op->n_params; i++) {
        if (nodes[i] != TGI_TAPE_ABSENT) {
            t->n_args = i + 1;
            continue;
        }
        if (op->params[i].fallback == NULL)
            return tgi_report(r, node != TGI_TAPE_ABSENT ? node : kernel_node, NULL, TG_E_MISSING_ARGUMENT,
                              "kernel \"%.100s\": argument \"%.100s\" is missing", op->name,
                              op->params[i].name);
        t->args[i].node = kernel_node;
        if ((rc = fall_back(r, op, i, t->args)) != 0)
            return rc;
    }
    return 0;
}
