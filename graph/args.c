#include "graph/args.h"

#include <inttypes.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/op.h"
#include "graph/scalar.h"
#include "graph/space.h"

/* ---- Arguments ----------------------------------------------------------------------------*/

/* Checks a reference to a tile, rows or all tiles and makes its argument word. */
int tgi_args_store_tile(struct tgi_space *space, const char *kernel, const char *param, const struct tg_arg *arg,
                      uint64_t *word_p, const struct tgi_buffer **buffer_p, struct tg_error *err)
{
    if (arg->kind < TG_ARG_TILE)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is a buffer, not a number", kernel, param);
    if (arg->buffer >= space->n_buffers)
        return tgi_error(err, TG_E_UNKNOWN_BUFFER, "%s: argument \"%s\" names buffer %u, which does not exist", kernel,
                         param, arg->buffer);
    const struct tgi_buffer *b = &space->buffers[arg->buffer];
    *buffer_p = b;
    if (arg->kind == TG_ARG_ALL) {
        if (b->n_present != b->n_tiles)
            return tgi_error(err, TG_E_TILE_ABSENT, "%s: argument \"%s\": \"%s[*]\" needs all tiles, but \"only\" excludes some",
                             kernel, param, b->name);
        *word_p = (uint64_t)TGI_WORD_ALL << 32 | b->first_tile;
        return 0;
    }
    if (arg->tile >= b->n_tiles)
        return tgi_error(err, TG_E_INDEX_RANGE, "%s: argument \"%s\": tile %u of \"%s\", which has %u", kernel, param,
                         arg->tile, b->name, b->n_tiles);
    if (b->present && !b->present[arg->tile]) {
        char text[160];
        tgi_buffer_format_tile(b, arg->tile, text, sizeof text);
        return tgi_error(err, TG_E_TILE_ABSENT, "%s: argument \"%s\": tile %s is excluded by \"only\"", kernel, param, text);
    }
    uint32_t range = 0;
    if (arg->kind == TG_ARG_ROWS) {
        int64_t n_rows = b->n_dims ? b->shape[0] : 1;
        if (arg->row_begin >= arg->row_end || arg->row_end > n_rows)
            return tgi_error(err, TG_E_ROW_RANGE, "%s: argument \"%s\": rows(%u:%u) of \"%s\", whose tiles have %" PRId64 " rows",
                             kernel, param, arg->row_begin, arg->row_end, b->name, n_rows);
        int rc = arg->row_begin == 0 && arg->row_end == n_rows
                     ? 0
                     : tgi_space_add_range(space, arg->row_begin, arg->row_end, &range, err);
        if (rc)
            return rc;
    }
    *word_p = (uint64_t)range << 32 | (b->first_tile + arg->tile);
    return 0;
}

/* The value of an argument that was left out. */
static int store_fallback(const struct tgi_op *op, uint32_t i, uint64_t *words, struct tg_error *err)
{
    if (!op->defaults || op->defaults[i].kind == TGI_DEFAULT_NONE)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "%s: argument \"%s\" is missing", op->name, op->params[i].name);
    words[i] = tgi_default_word(&op->defaults[i], words);
    return 0;
}

static int find_type(const struct tgi_space *space, const struct tgi_op *op, const struct tg_arg *args, uint32_t n_args,
                     enum tg_dtype *t_p, struct tg_error *err)
{
    for (uint32_t i = 0; i < n_args && i < op->n_params; i++)
        if (op->params[i].dtype == TGI_DTYPE_T && op->params[i].access != TG_SCALAR && args[i].kind >= TG_ARG_TILE &&
            args[i].buffer < space->n_buffers) {
            *t_p = space->buffers[args[i].buffer].dtype;
            return 0;
        }
    return tgi_error(err, TG_E_TYPE_MISMATCH, "kernel \"%s\": no argument decides its type", op->name);
}

/* A built-in kernel trusts its sizes, so they are checked against the tiles here. */
static int check_needs(const struct tgi_space *space, const struct tgi_op *op, const uint64_t *words, struct tg_error *err)
{
    int64_t slots[TG_MAX_PARAMS];
    struct tgi_expr_error wrong;
    for (uint32_t i = 0; i < op->n_params; i++)
        slots[i] = op->params[i].access == TG_SCALAR ? (int64_t)words[i] : 0;
    for (uint32_t i = 0; i < op->n_params; i++) {
        int64_t need;
        if (!op->needs[i] || op->params[i].access == TG_SCALAR || words[i] == TGI_WORD_NULL)
            continue;
        if (tgi_expr_eval_int(op->needs[i], slots, &need, &wrong))
            return tgi_error(err, TG_E_SHAPE_MISMATCH, "%s: the sizes of argument \"%s\" overflow", op->name, op->params[i].name);
        const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(words[i]));
        uint64_t have = tgi_space_word_elems(space, b, words[i]);
        if (need > 0 && (uint64_t)need > have)
            return tgi_error(err, TG_E_SHAPE_MISMATCH, "%s: argument \"%s\" needs %" PRId64 " elements, \"%s\" gives it %" PRIu64,
                             op->name, op->params[i].name, need, b->name, have);
    }
    return 0;
}

static int store_kernel_args(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                             struct tg_error *err)
{
    struct tgi_space *space = g->space;
    if (spec->kernel >= space->n_ops || space->ops[spec->kernel].kind != TGI_OP_KERNEL)
        return tgi_error(err, TG_E_UNKNOWN_KERNEL, "there is no kernel %u", spec->kernel);
    uint32_t id = spec->kernel;
    if (spec->n_args > space->ops[id].n_params)
        return tgi_error(err, TG_E_UNKNOWN_ARGUMENT, "kernel \"%s\" has %u parameters, the task gives %u arguments",
                         space->ops[id].name, space->ops[id].n_params, spec->n_args);
    if (space->ops[id].is_generic) {
        enum tg_dtype t = TG_N_DTYPES;
        int rc = find_type(space, &space->ops[id], spec->args, spec->n_args, &t, err);
        if (rc == 0)
            rc = tgi_op_instance(space, id, t, &id, err);
        if (rc)
            return rc;
    }
    const struct tgi_op *op = &space->ops[id];
    for (uint32_t i = 0; i < op->n_params; i++) {
        const struct tgi_param *p = &op->params[i];
        const struct tgi_buffer *b = NULL;
        int rc;
        if (i >= spec->n_args)
            rc = store_fallback(op, i, words, err);
        else if (p->access == TG_SCALAR)
            rc = tgi_scalar_store(op->name, p, &spec->args[i], &words[i], err);
        else if (spec->args[i].kind == TG_ARG_TILE && spec->args[i].buffer == TG_NONE && p->fallback)
            rc = store_fallback(op, i, words, err);
        else
            rc = tgi_args_store_tile(space, op->name, p->name, &spec->args[i], &words[i], &b, err);
        if (rc)
            return rc;
        if (b && (int)b->dtype != p->dtype)
            return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is %s*, but buffer \"%s\" is %s", op->name, p->name,
                             tg_dtype_name((enum tg_dtype)p->dtype), b->name, tg_dtype_name(b->dtype));
    }
    *op_p = id;
    return op->needs ? check_needs(space, op, words, err) : 0;
}

static int store_copy_args(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                           struct tg_error *err)
{
    struct tgi_space *space = g->space;
    const struct tgi_buffer *to, *from;
    if (spec->n_args != 2)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "a copy task takes two arguments: to, from");
    int rc = tgi_args_store_tile(space, "copy", "to", &spec->args[0], &words[0], &to, err);
    if (rc == 0)
        rc = tgi_args_store_tile(space, "copy", "from", &spec->args[1], &words[1], &from, err);
    if (rc)
        return rc;
    if (to->dtype != from->dtype)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "copy: \"%s\" is %s, but \"%s\" is %s", from->name,
                         tg_dtype_name(from->dtype), to->name, tg_dtype_name(to->dtype));
    uint64_t n_to = tgi_space_word_elems(space, to, words[0]), n_from = tgi_space_word_elems(space, from, words[1]);
    if (n_to != n_from)
        return tgi_error(err, TG_E_SHAPE_MISMATCH, "copy: %" PRIu64 " elements of \"%s\" into %" PRIu64 " of \"%s\"", n_from,
                         from->name, n_to, to->name);
    return tgi_op_singleton(space, TGI_OP_COPY, op_p, err);
}

static int store_fill_args(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                           struct tg_error *err)
{
    const struct tgi_buffer *to;
    if (spec->n_args != 2)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "a fill task takes two arguments: target, value");
    int rc = tgi_args_store_tile(g->space, "fill", "to", &spec->args[0], &words[0], &to, err);
    if (rc)
        return rc;
    /* A complex fill value is its real part, stored as f32 or f64. */
    struct tgi_param value = {"value", to->dtype == TG_C64 ? TG_F32 : to->dtype == TG_C128 ? TG_F64 : (int)to->dtype,
                              TG_SCALAR, TG_SUM, NULL};
    rc = tgi_scalar_store("fill", &value, &spec->args[1], &words[1], err);
    return rc ? rc : tgi_op_singleton(g->space, TGI_OP_FILL, op_p, err);
}

/* ---- Collectives --------------------------------------------------------------------------*/

static const char *const collective_names[] = {"allreduce", "broadcast", "reduce", "allgather",
                                               "reducescatter", "alltoall", "sendrecv"};

static enum tg_access collective_access(const struct tg_task_spec *spec, uint32_t rank)
{
    switch (spec->collective) {
    case TG_BROADCAST:
        return rank == spec->root ? TG_IN : TG_OUT;
    case TG_REDUCE_TO:
        return rank == spec->root ? TG_INOUT : TG_IN;
    case TG_SENDRECV:
        return rank == 0 ? TG_IN : TG_OUT;
    default:
        return TG_INOUT;
    }
}

static int check_collective(const struct tgi_space *space, const struct tg_task_spec *spec, const uint64_t *words,
                            struct tg_error *err)
{
    const char *name = collective_names[spec->collective];
    const struct tgi_buffer *first = tgi_space_buffer_of(space, tgi_word_tile(words[0]));
    uint64_t n_elems = tgi_space_word_elems(space, first, words[0]);
    for (uint32_t i = 1; i < spec->n_args; i++) {
        const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(words[i]));
        uint64_t n = tgi_space_word_elems(space, b, words[i]);
        if (b->dtype != first->dtype || n != n_elems)
            return tgi_error(err, TG_E_COLLECTIVE, "%s: \"%s\" and \"%s\" differ in type or size: %" PRIu64 " %s and %" PRIu64 " %s",
                             name, first->name, b->name, n_elems, tg_dtype_name(first->dtype), n, tg_dtype_name(b->dtype));
        for (uint32_t k = 0; k < i && i < 4096; k++)
            if (tgi_word_tile(words[k]) == tgi_word_tile(words[i]))
                return tgi_error(err, TG_E_COLLECTIVE, "%s: a tile of \"%s\" takes part twice", name, b->name);
    }
    bool is_chunked = spec->collective == TG_ALLGATHER || spec->collective == TG_REDUCESCATTER ||
                      spec->collective == TG_ALLTOALL;
    if (is_chunked && n_elems % spec->n_args)
        return tgi_error(err, TG_E_COLLECTIVE, "%s: %" PRIu64 " elements a tile do not divide into %u chunks", name, n_elems,
                         spec->n_args);
    if ((spec->collective == TG_BROADCAST || spec->collective == TG_REDUCE_TO) && spec->root >= spec->n_args)
        return tgi_error(err, TG_E_COLLECTIVE, "%s: root %u of %u tiles", name, spec->root, spec->n_args);
    if (spec->collective == TG_SENDRECV && spec->n_args != 2)
        return tgi_error(err, TG_E_COLLECTIVE, "sendrecv takes two tiles, not %u", spec->n_args);
    if ((unsigned)spec->op > TG_MAX)
        return tgi_error(err, TG_E_INVALID, "%s: %d is not an operation", name, (int)spec->op);
    bool reduces = spec->collective == TG_ALLREDUCE || spec->collective == TG_REDUCE_TO ||
                   spec->collective == TG_REDUCESCATTER;
    if (reduces && (first->dtype == TG_C64 || first->dtype == TG_C128) && spec->op != TG_SUM && spec->op != TG_PROD)
        return tgi_error(err, TG_E_COLLECTIVE, "%s: complex numbers have no minimum or maximum", name);
    return 0;
}

static int collective_op(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, struct tg_error *err)
{
    struct tgi_param *params = tgi_arena_alloc(&g->space->strings, spec->n_args * sizeof *params);
    if (!params)
        return tgi_error_memory(err, "adding a collective");
    for (uint32_t i = 0; i < spec->n_args; i++)
        params[i] = (struct tgi_param){"tile", TGI_DTYPE_T, collective_access(spec, i), TG_SUM, NULL};
    struct tgi_op op = {.kind = TGI_OP_COLLECTIVE, .name = collective_names[spec->collective], .n_params = spec->n_args,
                        .n_declared = spec->n_args, .params = params, .type_t = -1, .generic = TG_NONE,
                        .collective = spec->collective, .reduce_op = spec->op, .root = spec->root, .site = TG_NONE};
    return tgi_op_add(g->space, &op, op_p, err);
}

static int store_collective_args(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                                 struct tg_error *err)
{
    if ((unsigned)spec->collective > TG_SENDRECV)
        return tgi_error(err, TG_E_INVALID, "%d is not a collective", (int)spec->collective);
    if (spec->n_args == 0)
        return tgi_error(err, TG_E_COLLECTIVE, "%s: no tiles", collective_names[spec->collective]);
    for (uint32_t i = 0; i < spec->n_args; i++) {
        const struct tgi_buffer *b;
        if (spec->args[i].kind == TG_ARG_ALL)
            return tgi_error(err, TG_E_COLLECTIVE, "%s: tiles are given one by one", collective_names[spec->collective]);
        int rc = tgi_args_store_tile(g->space, collective_names[spec->collective], "buffers", &spec->args[i], &words[i], &b, err);
        if (rc)
            return rc;
    }
    int rc = check_collective(g->space, spec, words, err);
    return rc ? rc : collective_op(g, spec, op_p, err);
}

/* ---- All kinds ----------------------------------------------------------------------------*/

int tgi_args_store(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                      struct tg_error *err)
{
    switch (spec->kind) {
    case TG_TASK_KERNEL:
    case TG_TASK_HOST:
        return store_kernel_args(g, spec, op_p, words, err);
    case TG_TASK_COPY:
        return store_copy_args(g, spec, op_p, words, err);
    case TG_TASK_FILL:
        return store_fill_args(g, spec, op_p, words, err);
    case TG_TASK_COLLECTIVE:
        return store_collective_args(g, spec, op_p, words, err);
    case TG_TASK_BARRIER:
        if (spec->n_args)
            return tgi_error(err, TG_E_UNKNOWN_ARGUMENT, "barrier takes no arguments");
        return tgi_op_singleton(g->space, TGI_OP_BARRIER, op_p, err);
    default:
        return tgi_error(err, TG_E_INVALID, "%d is not a kind of task", (int)spec->kind);
    }
}
