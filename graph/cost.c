/* What a task costs, by its own attributes or its kernel's expressions. */
#include <math.h>

#include "graph/dtype.h"
#include "graph/model.h"

static double number_of(const struct tgi_param *p, uint64_t word)
{
    union {
        uint64_t word;
        float f32;
        double f64;
    } u = {.word = word};
    switch (p->dtype) {
    case TG_F32:
        return (double)u.f32;
    case TG_F64:
        return u.f64;
    case TG_F16:
        return (double)tgi_f16_to_float((uint16_t)word);
    case TG_BF16:
        return (double)tgi_bf16_to_float((uint16_t)word);
    case TG_U64:
        return (double)word;
    default:
        return (double)(int64_t)word;
    }
}

static double cost_of(const struct tgi_expr *expr, const double *slots)
{
    double value;
    return expr && tgi_expr_eval_double(expr, slots, &value, NULL) == 0 ? value : NAN;
}

struct tgi_cost tgi_op_cost(const struct tgi_op *op, const uint64_t *words)
{
    double slots[TG_MAX_PARAMS];
    for (uint32_t i = 0; i < op->n_params; i++)
        slots[i] = op->params[i].access == TG_SCALAR ? number_of(&op->params[i], words[i]) : NAN;
    return (struct tgi_cost){cost_of(op->flops, slots), cost_of(op->bytes, slots), cost_of(op->us, slots)};
}

struct tgi_cost tgi_graph_cost(const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    struct tgi_cost cost = {NAN, NAN, NAN};
    if (op->kind == TGI_OP_KERNEL && (op->flops || op->bytes || op->us)) {
        uint64_t words[TG_MAX_PARAMS];
        for (uint32_t i = 0; i < op->n_params; i++)
            words[i] = tgi_graph_word(g, task, i);
        cost = tgi_op_cost(op, words);
    }
    if (attr) {
        cost.flops = isnan(attr->flops) ? cost.flops : attr->flops;
        cost.bytes = isnan(attr->bytes) ? cost.bytes : attr->bytes;
        cost.us = isnan(attr->us) ? cost.us : attr->us;
    }
    return cost;
}
