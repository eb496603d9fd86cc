#include "graph/scalar.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"

/* The bits of a number in a float type; false if a finite number would become infinite. */
static bool float_word(enum tg_dtype dtype, double value, uint64_t *word_p)
{
    union {
        float f32;
        double f64;
        uint64_t word;
    } u = {.word = 0};
    double stored = value;
    if (dtype == TG_F64) {
        u.f64 = value;
    } else if (dtype == TG_F32) {
        u.f32 = (float)value;
        stored = (double)u.f32;
    } else {
        u.word = dtype == TG_F16 ? tgi_f16_from_float((float)value) : tgi_bf16_from_float((float)value);
        stored = (double)(dtype == TG_F16 ? tgi_f16_to_float((uint16_t)u.word) : tgi_bf16_to_float((uint16_t)u.word));
    }
    *word_p = u.word;
    return !isinf(stored) || isinf(value);
}

static bool is_float(int dtype)
{
    return dtype == TG_F16 || dtype == TG_BF16 || dtype == TG_F32 || dtype == TG_F64;
}

static int store_int(const char *kernel, const struct tgi_param *p, int64_t value, uint64_t *word_p,
                     struct tg_error *err)
{
    if (p->dtype == TG_C64 || p->dtype == TG_C128)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is complex and cannot be passed by value", kernel, p->name);
    *word_p = (uint64_t)value;
    if (is_float(p->dtype) ? float_word((enum tg_dtype)p->dtype, (double)value, word_p)
                           : tgi_dtype_holds((enum tg_dtype)p->dtype, value))
        return 0;
    return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: %" PRId64 " does not fit argument \"%s\" of type %s", kernel,
                     value, p->name, tg_dtype_name((enum tg_dtype)p->dtype));
}

static int store_float(const char *kernel, const struct tgi_param *p, double value, uint64_t *word_p,
                       struct tg_error *err)
{
    if (is_float(p->dtype) && float_word((enum tg_dtype)p->dtype, value, word_p))
        return 0;
    if (tgi_dtype_is_integer((enum tg_dtype)p->dtype) && value == floor(value) && fabs(value) < 0x1p63)
        return store_int(kernel, p, (int64_t)value, word_p, err);
    return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: %g is not a value of type %s for argument \"%s\"", kernel, value,
                     tg_dtype_name((enum tg_dtype)p->dtype), p->name);
}

int tgi_scalar_store(const char *kernel, const struct tgi_param *p, const struct tg_arg *arg, uint64_t *word_p,
                        struct tg_error *err)
{
    if (arg->kind == TG_ARG_INT)
        return store_int(kernel, p, arg->value.i, word_p, err);
    if (arg->kind == TG_ARG_FLOAT)
        return store_float(kernel, p, arg->value.f, word_p, err);
    return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is a number of type %s, not a buffer", kernel, p->name,
                     tg_dtype_name((enum tg_dtype)p->dtype));
}

/* ---- Defaults -----------------------------------------------------------------------------*/

int tgi_defaults_make(struct tgi_space *space, struct tgi_op *op, struct tg_error *err)
{
    struct tgi_default *defaults = tgi_arena_alloc(&space->strings, (op->n_params + 1) * sizeof *defaults);
    if (!defaults)
        return tgi_error_memory(err, "adding a kernel");
    memset(defaults, 0, (op->n_params + 1) * sizeof *defaults);
    for (uint32_t i = 0; i < op->n_params; i++) {
        const struct tgi_param *p = &op->params[i];
        struct tgi_default *d = &defaults[i];
        if (!p->fallback)
            continue;
        d->kind = TGI_DEFAULT_WORD;
        d->word = TGI_WORD_NULL;
        if (strcmp(p->fallback, "null") == 0)
            continue;
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(op->params[k].name, p->fallback) == 0) {
                d->kind = TGI_DEFAULT_COPY;
                d->from = k;
            }
        if (d->kind == TGI_DEFAULT_COPY)
            continue;
        char *end;
        double number = strtod(p->fallback, &end);
        if (*end)
            return tgi_error(err, TG_E_INTERNAL, "%s: fallback \"%s\" of argument \"%s\" has no value", op->name, p->fallback,
                             p->name);
        int rc = store_float(op->name, p, number, &d->word, err);
        if (rc)
            return rc;
    }
    op->defaults = defaults;
    return 0;
}

uint32_t tgi_defaults_trim(const struct tgi_op *op, const uint64_t *words)
{
    uint32_t n = op->n_params;
    while (op->defaults && n && op->defaults[n - 1].kind != TGI_DEFAULT_NONE &&
           tgi_default_word(&op->defaults[n - 1], words) == words[n - 1])
        n--;
    return n;
}
