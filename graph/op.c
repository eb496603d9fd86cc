#include "graph/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/scalar.h"
#include "graph/space.h"
#include "graph/vec.h"

int tgi_op_add(struct tgi_space *space, const struct tgi_op *op, uint32_t *id_p, struct tg_error *err)
{
    if (space->n_ops > TGI_NODE_OP)
        return tgi_error(err, TG_E_LIMIT, "more than 2^24 kernels, collectives and control tasks");
    if (!tgi_vec_reserve(&space->ops, &space->cap_ops, (uint64_t)space->n_ops + 1, sizeof *op))
        return tgi_error_memory(err, "adding an operation");
    *id_p = space->n_ops;
    space->ops[space->n_ops++] = *op;
    return 0;
}

static struct tgi_op op_blank(enum tgi_op_kind kind, const char *name)
{
    struct tgi_op op = {.kind = kind, .name = name, .type_t = -1, .generic = TG_NONE, .site = TG_NONE};
    for (int i = 0; i < TG_N_DTYPES; i++)
        op.instances[i] = TG_NONE;
    return op;
}

int tgi_op_singleton(struct tgi_space *space, enum tgi_op_kind kind, uint32_t *id_p, struct tg_error *err)
{
    /* Argument types depend on the buffers, so the parameters say access only. */
    static struct tgi_param copy_params[] = {{"to", TGI_DTYPE_T, TG_OUT, TG_SUM, NULL},
                                             {"from", TGI_DTYPE_T, TG_IN, TG_SUM, NULL}};
    static struct tgi_param fill_params[] = {{"to", TGI_DTYPE_T, TG_OUT, TG_SUM, NULL},
                                             {"value", TGI_DTYPE_T, TG_SCALAR, TG_SUM, NULL}};
    if (space->singletons[kind]) {
        *id_p = space->singletons[kind] - 1;
        return 0;
    }
    struct tgi_op op = op_blank(kind, kind == TGI_OP_COPY ? "copy" : kind == TGI_OP_FILL ? "fill" : "barrier");
    if (kind != TGI_OP_BARRIER) {
        op.n_params = op.n_declared = 2;
        op.params = kind == TGI_OP_COPY ? copy_params : fill_params;
        op.pointer_mask = kind == TGI_OP_COPY ? 3 : 1;
    }
    int rc = tgi_op_add(space, &op, id_p, err);
    if (rc == 0)
        space->singletons[kind] = *id_p + 1;
    return rc;
}

int tgi_op_instance(struct tgi_space *space, uint32_t generic, enum tg_dtype t, uint32_t *id_p, struct tg_error *err)
{
    struct tgi_op *from = &space->ops[generic];
    if (from->instances[t] != TG_NONE) {
        *id_p = from->instances[t];
        return 0;
    }
    for (uint32_t i = 0; i < from->n_variants; i++) {
        const struct tgi_variant *v = &from->variants[i];
        if (v->form == TGI_VARIANT_BUILTIN && v->on == TGI_DEVICE_CPU && !v->builtin->cpu[t])
            return tgi_error(err, TG_E_DTYPE_UNSUPPORTED, "kernel \"%s\": built-in \"%s\" does not work on %s", from->name,
                             v->builtin->name, tg_dtype_name(t));
    }
    struct tgi_param *params = tgi_arena_alloc(&space->strings, from->n_params * sizeof *params);
    if (!params)
        return tgi_error_memory(err, "adding a kernel for a type");
    struct tgi_op op = *from;
    op.is_generic = false;
    op.type_t = (int)t;
    op.generic = generic;
    op.params = params;
    for (uint32_t i = 0; i < op.n_params; i++) {
        params[i] = from->params[i];
        if (params[i].dtype == TGI_DTYPE_T)
            params[i].dtype = (int)t;
    }
    int rc = tgi_defaults_make(space, &op, err);
    if (rc == 0)
        rc = tgi_op_add(space, &op, id_p, err);
    if (rc == 0)
        space->ops[generic].instances[t] = *id_p;
    return rc;
}

static const char *kernel_name(const void *space, uint32_t id)
{
    return ((const struct tgi_space *)space)->ops[id].name;
}

tg_kernel_id tgi_space_find_kernel(const struct tgi_space *space, const char *name)
{
    return tgi_names_find(&space->kernel_names, kernel_name, space, name, strlen(name));
}

/* ---- Adding kernels -----------------------------------------------------------------------*/

static int params_from_builtin(struct tgi_space *space, struct tgi_op *op, const struct tgi_builtin *b,
                               struct tg_error *err)
{
    struct tgi_param *params = tgi_arena_alloc(&space->strings, (b->n_params + 1) * sizeof *params);
    if (!params)
        return tgi_error_memory(err, "adding a kernel");
    for (uint32_t i = 0; i < b->n_params; i++) {
        const struct tgi_builtin_param *p = &b->params[i];
        params[i] = (struct tgi_param){p->name, p->dtype, p->access, p->op, p->fallback};
        op->is_generic = op->is_generic || p->dtype == TGI_DTYPE_T;
    }
    op->params = params;
    op->n_params = op->n_declared = b->n_params;
    return 0;
}

static int params_from_spec(struct tgi_space *space, struct tgi_op *op, const struct tg_kernel_spec *spec,
                            struct tg_error *err)
{
    if (spec->n_params > TG_MAX_PARAMS)
        return tgi_error(err, TG_E_LIMIT, "kernel \"%s\" has %u parameters, at most %d are allowed", spec->name,
                         spec->n_params, TG_MAX_PARAMS);
    struct tgi_param *params = tgi_arena_alloc(&space->strings, (TG_MAX_PARAMS + 1) * sizeof *params);
    if (!params)
        return tgi_error_memory(err, "adding a kernel");
    for (uint32_t i = 0; i < spec->n_params; i++) {
        const struct tg_param *p = &spec->params[i];
        if (!p->name || !tgi_name_is_valid(p->name))
            return tgi_error(err, TG_E_BAD_NAME, "kernel \"%s\": parameter %u has no valid name", spec->name, i);
        if ((unsigned)p->dtype >= TG_N_DTYPES)
            return tgi_error(err, TG_E_INVALID, "kernel \"%s\": parameter \"%s\" has no valid type", spec->name, p->name);
        if ((unsigned)p->access > TG_COMMUTE || (unsigned)p->op > TG_MAX)
            return tgi_error(err, TG_E_INVALID, "kernel \"%s\": parameter \"%s\" has no valid access", spec->name, p->name);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(params[k].name, p->name) == 0)
                return tgi_error(err, TG_E_DUPLICATE_NAME, "kernel \"%s\" has two parameters \"%s\"", spec->name, p->name);
        char *name = tgi_arena_strdup(&space->strings, p->name);
        if (!name)
            return tgi_error_memory(err, "adding a kernel");
        params[i] = (struct tgi_param){name, (int)p->dtype, p->access, p->op, NULL};
    }
    op->params = params;
    op->n_params = op->n_declared = spec->n_params;
    return 0;
}

static void op_derive(struct tgi_op *op)
{
    op->pointer_mask = 0;
    op->has_shared = false;
    for (uint32_t i = 0; i < op->n_params; i++) {
        if (op->params[i].access != TG_SCALAR)
            op->pointer_mask |= 1u << i;
        if (op->params[i].access == TG_REDUCE || op->params[i].access == TG_COMMUTE)
            op->has_shared = true;
    }
}

static struct tgi_expr_name resolve_builtin_param(void *user, const char *name, size_t length)
{
    const struct tgi_builtin *b = user;
    struct tgi_expr_name found = {.kind = TGI_NAME_UNKNOWN};
    for (uint32_t i = 0; i < b->n_params; i++)
        if (b->params[i].access == TG_SCALAR && strlen(b->params[i].name) == length &&
            memcmp(b->params[i].name, name, length) == 0) {
            found.kind = TGI_NAME_SLOT;
            found.slot = i;
        }
    return found;
}

static void drop_needs(struct tgi_op *op)
{
    for (uint32_t i = 0; op->needs && i < TG_MAX_PARAMS; i++)
        tgi_expr_destroy(op->needs[i]);
    op->needs = NULL;
}

/* What a built-in kernel asks of its tiles.  Parameters match by position. */
static int add_needs(struct tgi_space *space, struct tgi_op *op, const struct tgi_builtin *b, struct tg_error *err)
{
    struct tgi_expr_scope scope = {resolve_builtin_param, NULL, (void *)(uintptr_t)b, -1};
    struct tgi_expr_error wrong;
    if (op->needs)
        return 0;
    op->needs = tgi_arena_alloc(&space->strings, TG_MAX_PARAMS * sizeof *op->needs);
    if (!op->needs)
        return tgi_error_memory(err, "adding a kernel");
    memset(op->needs, 0, TG_MAX_PARAMS * sizeof *op->needs);
    for (uint32_t i = 0; i < b->n_params; i++) {
        const char *elems = b->params[i].elems;
        int rc = elems ? tgi_expr_compile(elems, strlen(elems), &scope, &op->needs[i], &wrong) : 0;
        if (rc) {
            drop_needs(op);
            return tgi_error(err, rc == TG_E_NO_MEMORY ? rc : TG_E_INTERNAL, "built-in \"%s\": %s in \"%s\"", b->name,
                             wrong.text, elems);
        }
    }
    return 0;
}

/* A kernel that declares its parameters may still be computed by a built-in one: parameters match
 * by position, and the optional ones it leaves out are appended with their fallbacks. */
static int match_builtin(struct tgi_op *op, const struct tgi_builtin *b, struct tg_error *err)
{
    int t = -1;
    if (op->n_declared > b->n_params)
        return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\" has %u parameters, built-in \"%s\" has %u", op->name,
                         op->n_declared, b->name, b->n_params);
    for (uint32_t i = 0; i < b->n_params; i++) {
        const struct tgi_builtin_param *want = &b->params[i];
        if (i >= op->n_declared) {
            if (!want->fallback)
                return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\" lacks parameter %u of built-in \"%s\" (\"%s\")", op->name,
                                 i, b->name, want->name);
            op->params[i] = (struct tgi_param){want->name, want->dtype == TGI_DTYPE_T && t >= 0 ? t : want->dtype,
                                               want->access, want->op, want->fallback};
            continue;
        }
        const struct tgi_param *have = &op->params[i];
        bool same_kind = (have->access == TG_SCALAR) == (want->access == TG_SCALAR);
        bool same_type = have->dtype == want->dtype;
        if (want->dtype == TGI_DTYPE_T) {
            same_type = t < 0 || t == have->dtype;
            t = have->dtype;
        } else if (want->access == TG_SCALAR && want->dtype == TG_I64) {
            /* Integer scalars travel in sign-extended words, so any width will do. */
            same_type = have->dtype >= TG_I8 && have->dtype <= TG_U64;
        }
        if (want->access > TG_IN && have->access == TG_IN)
            return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\": parameter \"%s\" is declared \"in\", but built-in \"%s\" writes it",
                             op->name, have->name, b->name);
        if (!same_kind || !same_type)
            return tgi_error(err, TG_E_SIGNATURE, "kernel \"%s\": parameter \"%s\" does not match \"%s\" of built-in \"%s\"",
                             op->name, have->name, want->name, b->name);
    }
    if (t == TGI_DTYPE_T) /* still generic: each instance checks its own type */
        t = -1;
    else if (!b->cpu[t < 0 ? TGI_DTYPE_T : t])
        return tgi_error(err, TG_E_DTYPE_UNSUPPORTED, "kernel \"%s\": built-in \"%s\" does not work on %s", op->name, b->name,
                         t < 0 ? "these types" : tg_dtype_name((enum tg_dtype)t));
    if (op->n_params < b->n_params)
        op->n_params = b->n_params;
    if (t >= 0)
        op->type_t = t;
    return 0;
}

struct name_scope {
    const struct tgi_op *op;
};

static struct tgi_expr_name resolve_param(void *user, const char *name, size_t length)
{
    const struct tgi_op *op = ((struct name_scope *)user)->op;
    struct tgi_expr_name found = {.kind = TGI_NAME_UNKNOWN};
    for (uint32_t i = 0; i < op->n_params; i++)
        if (op->params[i].access == TG_SCALAR && strlen(op->params[i].name) == length &&
            memcmp(op->params[i].name, name, length) == 0) {
            found.kind = TGI_NAME_SLOT;
            found.slot = i;
        }
    return found;
}

/* What the graph wrote, in its names of the parameters, or else what the built-in (NULL: none) says, in
 * its own: they match by position. */
static int compile_cost(struct tgi_space *space, const struct tgi_op *op, const char *text, const char *builtin_text,
                        const struct tgi_builtin *b, struct tgi_expr **expr_p, const char **text_p, struct tg_error *err)
{
    bool is_given = text != NULL;
    text = is_given ? text : builtin_text;
    if (!text)
        return 0;
    struct name_scope names = {op};
    /* A generic kernel's sizeof(T) is bounded by the widest usual type until T is known. */
    int t = op->type_t >= 0 ? op->type_t : op->is_generic ? TG_F64 : -1;
    struct tgi_expr_scope scope = {resolve_param, NULL, &names, t};
    struct tgi_expr_error wrong;
    if (!is_given) {
        scope.resolve = resolve_builtin_param;
        scope.user = (void *)(uintptr_t)b;
    }
    int rc = tgi_expr_compile(text, strlen(text), &scope, expr_p, &wrong);
    if (rc)
        return tgi_error(err, rc, "cost of kernel \"%s\": %s at character %u of \"%s\"", op->name, wrong.text,
                         wrong.offset + 1, text);
    *text_p = tgi_arena_strdup(&space->strings, text);
    return *text_p ? 0 : tgi_error_memory(err, "adding a kernel");
}

static int add_costs(struct tgi_space *space, struct tgi_op *op, const struct tg_kernel_spec *spec,
                     const struct tgi_builtin *b, struct tg_error *err)
{
    int rc = compile_cost(space, op, spec->flops, b ? b->flops : NULL, b, &op->flops, &op->flops_text, err);
    if (rc == 0)
        rc = compile_cost(space, op, spec->bytes, b ? b->bytes : NULL, b, &op->bytes, &op->bytes_text, err);
    if (rc == 0)
        rc = compile_cost(space, op, spec->us, NULL, NULL, &op->us, &op->us_text, err);
    return rc;
}

static void drop_expressions(struct tgi_op *op)
{
    drop_needs(op);
    tgi_expr_destroy(op->flops);
    tgi_expr_destroy(op->bytes);
    tgi_expr_destroy(op->us);
}

static int op_from_spec(struct tgi_space *space, struct tgi_op *op, const struct tg_kernel_spec *spec,
                        const struct tgi_builtin *b, struct tg_error *err)
{
    int rc = b && !spec->n_params ? params_from_builtin(space, op, b, err) : params_from_spec(space, op, spec, err);
    if (rc == 0 && b && spec->n_params)
        rc = match_builtin(op, b, err);
    if (rc == 0 && b)
        rc = add_needs(space, op, b, err);
    if (rc == 0 && !op->is_generic)
        rc = tgi_defaults_make(space, op, err);
    if (rc)
        return rc;
    op_derive(op);
    rc = add_costs(space, op, spec, b, err);
    if (rc == 0 && (b || spec->cpu)) {
        struct tgi_variant *v = calloc(1, sizeof *v);
        if (!v)
            return tgi_error_memory(err, "adding a kernel");
        *v = (struct tgi_variant){.on = TGI_DEVICE_CPU, .form = b ? TGI_VARIANT_BUILTIN : TGI_VARIANT_FUNCTION,
                                  .builtin = b, .fn = spec->cpu, .site = TG_NONE};
        op->variants = v;
        op->n_variants = 1;
    }
    return rc;
}

int tg_graph_add_kernel(struct tg_graph *graph, const struct tg_kernel_spec *spec, tg_kernel_id *id_p,
                        struct tg_error *err)
{
    struct tgi_space *space = graph->space;
    if (space->is_closed)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further kernel");
    int rc = tgi_error_check_size(err, "struct tg_kernel_spec", spec->size, sizeof *spec);
    if (rc)
        return rc;
    if (spec->n_params && !spec->params)
        return tgi_error(err, TG_E_INVALID, "a kernel with %u parameters names none", spec->n_params);
    if (!spec->name || !tgi_name_is_valid(spec->name))
        return tgi_error(err, TG_E_BAD_NAME, "a kernel needs a name of 1 to 256 printable bytes");
    if (tgi_space_find_kernel(space, spec->name) != TG_NONE)
        return tgi_error(err, TG_E_DUPLICATE_NAME, "there is a kernel \"%s\" already", spec->name);
    if (spec->builtin && spec->cpu)
        return tgi_error(err, TG_E_INVALID, "kernel \"%s\" has both a built-in and a function", spec->name);
    const struct tgi_builtin *b = NULL;
    if (spec->builtin && !(b = tgi_builtin_find(spec->builtin)))
        return tgi_error(err, TG_E_UNKNOWN_BUILTIN, "there is no built-in kernel \"%s\"", spec->builtin);
    char *name = tgi_arena_strdup(&space->strings, spec->name);
    if (!name)
        return tgi_error_memory(err, "adding a kernel");
    struct tgi_op op = op_blank(TGI_OP_KERNEL, name);
    rc = op_from_spec(space, &op, spec, b, err);
    uint32_t id = 0;
    if (rc == 0)
        rc = tgi_op_add(space, &op, &id, err);
    if (rc == 0 && !tgi_names_insert(&space->kernel_names, kernel_name, space, id)) {
        space->n_ops--;
        rc = tgi_error_memory(err, "adding a kernel");
    }
    if (rc == 0)
        *id_p = id;
    if (rc) {
        drop_expressions(&op);
        free(op.variants);
    }
    return rc;
}

/* ---- For the reader of files --------------------------------------------------------------*/

static bool copy_string(struct tgi_space *space, const char **text)
{
    if (*text)
        *text = tgi_arena_strdup(&space->strings, *text);
    return *text != NULL;
}

/* true if every string that was there could be copied */
static bool variant_copy_strings(struct tgi_space *space, struct tgi_variant *v)
{
    const char **texts[] = {&v->text, &v->path, &v->entry, &v->options, &v->width, &v->smem_text,
                            &v->grid_text[0], &v->grid_text[1], &v->grid_text[2],
                            &v->block_text[0], &v->block_text[1], &v->block_text[2],
                            &v->cluster_text[0], &v->cluster_text[1], &v->cluster_text[2]};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (*texts[i] && !copy_string(space, texts[i]))
            return false;
    return true;
}

/* Instances share their generic kernel's variants and costs, which must not change under them. */
static bool has_instances(const struct tgi_op *op)
{
    for (int t = 0; t < TG_N_DTYPES; t++)
        if (op->instances[t] != TG_NONE)
            return true;
    return false;
}

int tgi_graph_add_variant(struct tg_graph *g, tg_kernel_id kernel, const struct tgi_variant *variant,
                          struct tg_error *err)
{
    struct tgi_op *op = &g->space->ops[kernel];
    struct tgi_variant copy = *variant;
    if (has_instances(op))
        return tgi_error(err, TG_E_STATE, "kernel \"%s\" is in use and takes no further variant", op->name);
    if (copy.form == TGI_VARIANT_BUILTIN && copy.on == TGI_DEVICE_CPU) {
        int rc = match_builtin(op, copy.builtin, err);
        if (rc == 0)
            rc = add_needs(g->space, op, copy.builtin, err);
        if (rc == 0 && !op->is_generic)
            rc = tgi_defaults_make(g->space, op, err);
        if (rc)
            return rc;
        op_derive(op);
    }
    if (!variant_copy_strings(g->space, &copy))
        return tgi_error_memory(err, "adding a kernel variant");
    struct tgi_variant *grown = realloc(op->variants, (op->n_variants + 1) * sizeof copy);
    if (!grown)
        return tgi_error_memory(err, "adding a kernel variant");
    op->variants = grown;
    op->variants[op->n_variants++] = copy;
    return 0;
}

bool tgi_variant_locate(const struct tgi_space *space, const struct tgi_variant *v, uint32_t source_line, uint32_t *line_p,
                        uint32_t *column_p)
{
    bool is_line = source_line > 0 && source_line <= v->n_lines;
    return tgi_space_locate(space, is_line ? v->line_site + source_line - 1 : v->site, line_p, column_p);
}

bool tgi_variant_has_width(const struct tgi_variant *v, const char *width) { return v->width && strcmp(v->width, width) == 0; }

void tgi_variant_set_position(const struct tgi_space *space, const struct tgi_variant *v, struct tg_error *err)
{
    uint32_t line, column, source_line = err ? err->line : 0;
    if (!err || err->file[0])
        return;
    if (source_line && v->path) {
        tgi_error_set_position(err, v->path, source_line, err->column);
        return;
    }
    size_t n = strlen(err->text);
    if (source_line > v->n_lines && n < sizeof err->text) /* one string */
        snprintf(err->text + n, sizeof err->text - n, " (line %u of the source)", source_line);
    if (tgi_variant_locate(space, v, source_line, &line, &column))
        tgi_error_set_position(err, space->file, line, column);
}

static void replace_cost(struct tgi_expr **slot, const char **text, struct tgi_expr *expr)
{
    if (!expr)
        return;
    tgi_expr_destroy(*slot);
    *slot = expr;
    *text = NULL; /* the reader sets the text it came from */
}

int tgi_graph_set_cost(struct tg_graph *g, tg_kernel_id kernel, struct tgi_expr *flops, struct tgi_expr *bytes,
                       struct tgi_expr *us, struct tg_error *err)
{
    if (kernel >= g->space->n_ops)
        return tgi_error(err, TG_E_UNKNOWN_KERNEL, "there is no kernel %u", kernel);
    struct tgi_op *op = &g->space->ops[kernel];
    if (has_instances(op))
        return tgi_error(err, TG_E_STATE, "kernel \"%s\" is in use and its cost cannot change", op->name);
    replace_cost(&op->flops, &op->flops_text, flops);
    replace_cost(&op->bytes, &op->bytes_text, bytes);
    replace_cost(&op->us, &op->us_text, us);
    return 0;
}
