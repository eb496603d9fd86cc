/* See launch.h. */
#include "kernels/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRID, BLOCK, SHARED, N_SIZES };

/* A size that no argument changes is evaluated once. */
struct size {
    struct tgi_expr *expr; /* NULL: always `value` */
    int64_t value;
};

struct tgi_launcher {
    char symbol[64];
    uint32_t n_params;
    uint32_t ints; /* bit i: parameter i is an integer scalar, which expressions may name */
    struct size sizes[N_SIZES];
};

struct tgi_expr_name tgi_launch_resolve(void *builtin, const char *name, size_t length)
{
    const struct tgi_builtin *b = builtin;
    struct tgi_expr_name found = {.kind = TGI_NAME_UNKNOWN};
    for (uint32_t i = 0; i < b->n_params; i++) {
        const struct tgi_builtin_param *p = &b->params[i];
        if (p->access == TG_SCALAR && p->dtype == TG_I64 && strlen(p->name) == length &&
            memcmp(p->name, name, length) == 0) {
            found.kind = TGI_NAME_SLOT;
            found.slot = i;
        }
    }
    return found;
}

static int compile(struct size *size, const char *text, const struct tgi_expr_scope *scope)
{
    struct tgi_expr_error err;
    if (!text)
        return 0;
    int rc = tgi_expr_compile(text, strlen(text), scope, &size->expr, &err);
    if (rc || !tgi_expr_is_constant(size->expr))
        return rc;
    rc = tgi_expr_eval_int(size->expr, NULL, &size->value, &err);
    tgi_expr_destroy(size->expr);
    size->expr = NULL;
    return rc;
}

int tgi_launcher_create(const struct tgi_builtin *builtin, enum tg_dtype type, struct tgi_launcher **launcher_p)
{
    *launcher_p = NULL;
    bool is_generic = !builtin->cpu[TGI_DTYPE_T];
    if (!builtin->cuda || (is_generic && ((unsigned)type >= TG_N_DTYPES || !builtin->cpu[type])))
        return TG_E_NO_VARIANT;
    struct tgi_launcher *l = calloc(1, sizeof *l);
    if (!l)
        return TG_E_NO_MEMORY;
    snprintf(l->symbol, sizeof l->symbol, "%s%s%s", builtin->cuda->symbol, is_generic ? "_" : "",
             is_generic ? tg_dtype_name(type) : "");
    l->n_params = builtin->n_params;
    for (uint32_t i = 0; i < builtin->n_params; i++)
        if (builtin->params[i].access == TG_SCALAR && builtin->params[i].dtype == TG_I64)
            l->ints |= 1u << i;
    struct tgi_expr_scope scope = {tgi_launch_resolve, NULL, (void *)(uintptr_t)builtin, is_generic ? (int)type : -1};
    const char *texts[N_SIZES] = {builtin->cuda->grid, builtin->cuda->block, builtin->cuda->shared_bytes};
    for (int i = 0; i < N_SIZES; i++) {
        int rc = compile(&l->sizes[i], texts[i], &scope);
        if (rc) {
            tgi_launcher_destroy(l);
            return rc;
        }
    }
    *launcher_p = l;
    return 0;
}

void tgi_launcher_destroy(struct tgi_launcher *launcher)
{
    if (!launcher)
        return;
    for (int i = 0; i < N_SIZES; i++)
        tgi_expr_destroy(launcher->sizes[i].expr);
    free(launcher);
}

const char *tgi_launcher_symbol(const struct tgi_launcher *launcher) { return launcher->symbol; }

int tgi_launcher_size(const struct tgi_launcher *launcher, void *const *args, struct tgi_launch *launch_p)
{
    int64_t slots[TG_MAX_PARAMS] = {0}, values[N_SIZES];
    for (uint32_t i = 0; i < launcher->n_params; i++)
        if (launcher->ints >> i & 1)
            slots[i] = *(const int64_t *)args[i];
    for (int i = 0; i < N_SIZES; i++) {
        struct tgi_expr_error err;
        values[i] = launcher->sizes[i].value;
        int rc = launcher->sizes[i].expr ? tgi_expr_eval_int(launcher->sizes[i].expr, slots, &values[i], &err) : 0;
        if (rc)
            return rc;
        if (values[i] < 0 || values[i] > INT32_MAX)
            return TG_E_EXPR_VALUE;
    }
    launch_p->grid = (uint32_t)values[GRID];
    launch_p->block = (uint32_t)values[BLOCK];
    launch_p->shared_bytes = (uint32_t)values[SHARED];
    return 0;
}
