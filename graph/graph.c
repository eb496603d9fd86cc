/* Building a graph: tasks and their arguments, checked as they are added. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/freeze.h"
#include "graph/names.h"
#include "graph/op.h"
#include "graph/space.h"
#include "graph/vec.h"

static struct tg_graph *graph_alloc(struct tgi_space *space, const char *name)
{
    struct tg_graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->space = space;
    g->name = tgi_arena_strdup(&space->strings, name ? name : "");
    if (!g->name) {
        free(g);
        return NULL;
    }
    return g;
}

int tg_graph_create(const char *name, struct tg_graph **graph_p, struct tg_error *err)
{
    struct tgi_space *space = tgi_space_create();
    struct tg_graph *g = space ? graph_alloc(space, name) : NULL;
    if (!g) {
        tgi_space_destroy(space);
        return tgi_error_memory(err, "creating a graph");
    }
    *graph_p = g;
    return 0;
}

int tg_graph_create_body(struct tg_graph *parent, struct tg_graph **body_p, struct tg_error *err)
{
    struct tg_graph *g = graph_alloc(parent->space, parent->name);
    if (!g)
        return tgi_error_memory(err, "creating a body");
    g->is_body = true;
    g->is_explicit = parent->is_explicit;
    *body_p = g;
    return 0;
}

void tg_graph_destroy(struct tg_graph *graph)
{
    if (!graph)
        return;
    tgi_graph_thaw(graph);
    free(graph->nodes);
    free(graph->args);
    free(graph->names_at);
    free(graph->names_text);
    free(graph->site_of);
    free(graph->priority);
    free(graph->attrs);
    free(graph->controls);
    tgi_names_destroy(graph->index);
    if (!graph->is_body)
        tgi_space_destroy(graph->space);
    free(graph);
}

/* ---- Arguments ----------------------------------------------------------------------------*/

static int store_int(const char *kernel, const struct tgi_param *p, int64_t value, uint64_t *word_p,
                     struct tg_error *err)
{
    union {
        float f32;
        double f64;
        uint64_t word;
    } u = {.word = 0};
    switch (p->dtype) {
    case TG_F32:
        u.f32 = (float)value;
        break;
    case TG_F64:
        u.f64 = (double)value;
        break;
    case TG_F16:
        u.word = tgi_f16_from_float((float)value);
        break;
    case TG_BF16:
        u.word = tgi_bf16_from_float((float)value);
        break;
    case TG_C64:
    case TG_C128:
        return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is complex and cannot be passed by value", kernel, p->name);
    default:
        if (!tgi_dtype_holds((enum tg_dtype)p->dtype, value))
            return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: %" PRId64 " does not fit argument \"%s\" of type %s", kernel,
                             value, p->name, tg_dtype_name((enum tg_dtype)p->dtype));
        u.word = (uint64_t)value;
    }
    *word_p = u.word;
    return 0;
}

static int store_float(const char *kernel, const struct tgi_param *p, double value, uint64_t *word_p,
                       struct tg_error *err)
{
    union {
        float f32;
        double f64;
        uint64_t word;
    } u = {.word = 0};
    switch (p->dtype) {
    case TG_F32:
        u.f32 = (float)value;
        break;
    case TG_F64:
        u.f64 = value;
        break;
    case TG_F16:
        u.word = tgi_f16_from_float((float)value);
        break;
    case TG_BF16:
        u.word = tgi_bf16_from_float((float)value);
        break;
    default:
        if (tgi_dtype_is_integer((enum tg_dtype)p->dtype) && value == floor(value) && fabs(value) < 0x1p63)
            return store_int(kernel, p, (int64_t)value, word_p, err);
        return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: %g is not a value of type %s for argument \"%s\"", kernel, value,
                         tg_dtype_name((enum tg_dtype)p->dtype), p->name);
    }
    *word_p = u.word;
    return 0;
}

static int store_scalar(const char *kernel, const struct tgi_param *p, const struct tg_arg *arg, uint64_t *word_p,
                        struct tg_error *err)
{
    if (arg->kind == TG_ARG_INT)
        return store_int(kernel, p, arg->value.i, word_p, err);
    if (arg->kind == TG_ARG_FLOAT)
        return store_float(kernel, p, arg->value.f, word_p, err);
    return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is a number of type %s, not a buffer", kernel, p->name,
                     tg_dtype_name((enum tg_dtype)p->dtype));
}

/* Checks a reference to a tile, rows or all tiles and makes its argument word. */
static int store_tile(struct tgi_space *space, const char *kernel, const char *param, const struct tg_arg *arg,
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

/* The value of an argument that was left out: a number, or that of an earlier argument. */
static int store_fallback(const struct tgi_op *op, uint32_t i, uint64_t *words, struct tg_error *err)
{
    const struct tgi_param *p = &op->params[i];
    if (!p->fallback)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "%s: argument \"%s\" is missing", op->name, p->name);
    if (strcmp(p->fallback, "null") == 0) {
        words[i] = TGI_WORD_NULL;
        return 0;
    }
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(op->params[k].name, p->fallback) == 0) {
            words[i] = words[k];
            return 0;
        }
    char *end;
    double number = strtod(p->fallback, &end);
    if (*end)
        return tgi_error(err, TG_E_INTERNAL, "%s: fallback \"%s\" of argument \"%s\" has no value", op->name, p->fallback, p->name);
    return store_float(op->name, p, number, &words[i], err);
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
            rc = store_scalar(op->name, p, &spec->args[i], &words[i], err);
        else if (spec->args[i].kind == TG_ARG_TILE && spec->args[i].buffer == TG_NONE && p->fallback)
            rc = store_fallback(op, i, words, err);
        else
            rc = store_tile(space, op->name, p->name, &spec->args[i], &words[i], &b, err);
        if (rc)
            return rc;
        if (b && (int)b->dtype != p->dtype)
            return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: argument \"%s\" is %s*, but buffer \"%s\" is %s", op->name, p->name,
                             tg_dtype_name((enum tg_dtype)p->dtype), b->name, tg_dtype_name(b->dtype));
    }
    *op_p = id;
    return 0;
}

static uint64_t word_elems(const struct tgi_space *space, const struct tgi_buffer *b, uint64_t word)
{
    uint32_t range = tgi_word_range(word);
    if (range == 0)
        return b->tile_elems;
    if (range == TGI_WORD_ALL)
        return b->tile_elems * b->n_tiles;
    const struct tgi_range *r = &space->ranges[range - 1];
    return b->row_bytes / tg_dtype_size(b->dtype) * (r->end - r->begin);
}

static int store_copy_args(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
                           struct tg_error *err)
{
    struct tgi_space *space = g->space;
    const struct tgi_buffer *to, *from;
    if (spec->n_args != 2)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "a copy task takes two arguments: to, from");
    int rc = store_tile(space, "copy", "to", &spec->args[0], &words[0], &to, err);
    if (rc == 0)
        rc = store_tile(space, "copy", "from", &spec->args[1], &words[1], &from, err);
    if (rc)
        return rc;
    if (to->dtype != from->dtype)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "copy: \"%s\" is %s, but \"%s\" is %s", from->name,
                         tg_dtype_name(from->dtype), to->name, tg_dtype_name(to->dtype));
    uint64_t n_to = word_elems(space, to, words[0]), n_from = word_elems(space, from, words[1]);
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
    int rc = store_tile(g->space, "fill", "to", &spec->args[0], &words[0], &to, err);
    if (rc)
        return rc;
    /* A complex fill value is its real part, stored as f32 or f64. */
    struct tgi_param value = {"value", to->dtype == TG_C64 ? TG_F32 : to->dtype == TG_C128 ? TG_F64 : (int)to->dtype,
                              TG_SCALAR, TG_SUM, NULL};
    rc = store_scalar("fill", &value, &spec->args[1], &words[1], err);
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
    uint64_t n_elems = word_elems(space, first, words[0]);
    for (uint32_t i = 1; i < spec->n_args; i++) {
        const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(words[i]));
        if (b->dtype != first->dtype || word_elems(space, b, words[i]) != n_elems)
            return tgi_error(err, TG_E_COLLECTIVE, "%s: \"%s\" and \"%s\" differ in type or size", name, first->name, b->name);
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
        int rc = store_tile(g->space, collective_names[spec->collective], "buffers", &spec->args[i], &words[i], &b, err);
        if (rc)
            return rc;
    }
    int rc = check_collective(g->space, spec, words, err);
    return rc ? rc : collective_op(g, spec, op_p, err);
}

/* ---- Control tasks ------------------------------------------------------------------------*/

struct use {
    uint64_t word;
    enum tg_access access;
};

static int compare_uses(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    return x->word < y->word ? -1 : x->word > y->word;
}

static uint64_t count_uses(const struct tg_graph *body)
{
    uint64_t n = 0;
    for (uint32_t t = 0; body && t < body->n_tasks; t++)
        n += tgi_graph_op(body, t)->n_params;
    return n;
}

static uint32_t list_uses(const struct tg_graph *body, struct use *uses)
{
    uint32_t n = 0;
    for (uint32_t t = 0; body && t < body->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(body, t);
        for (uint32_t i = 0; i < op->n_params; i++) {
            uint64_t word = body->args[body->nodes[t].args + i];
            if (op->params[i].access == TG_SCALAR || word == TGI_WORD_NULL)
                continue;
            uses[n++] = (struct use){word, op->params[i].access == TG_IN ? TG_IN : TG_INOUT};
        }
    }
    return n;
}

/* The control task touches what its bodies touch: a list without repetitions, after its condition. */
static int gather_uses(const struct tg_task_spec *spec, const uint64_t *condition, struct use **uses_p, uint32_t *n_p,
                       struct tg_error *err)
{
    uint64_t n = 1 + count_uses(spec->body) + count_uses(spec->body_else);
    struct use *uses = n < UINT32_MAX ? malloc(n * sizeof *uses) : NULL;
    if (!uses)
        return tgi_error_memory(err, "adding a control task");
    uint32_t n_listed = list_uses(spec->body, uses);
    n_listed += list_uses(spec->body_else, uses + n_listed);
    qsort(uses, n_listed, sizeof *uses, compare_uses);
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n_listed; i++) {
        if (n_kept && uses[n_kept - 1].word == uses[i].word) {
            if (uses[i].access != TG_IN)
                uses[n_kept - 1].access = uses[i].access;
        } else {
            uses[n_kept++] = uses[i];
        }
    }
    if (condition) {
        memmove(uses + 1, uses, n_kept * sizeof *uses);
        uses[0] = (struct use){*condition, TG_IN};
        n_kept++;
    }
    *uses_p = uses;
    *n_p = n_kept;
    return 0;
}

static int check_control(struct tg_graph *g, const struct tg_task_spec *spec, uint64_t *condition, struct tg_error *err)
{
    const char *name = spec->kind == TG_TASK_REPEAT ? "repeat" : spec->kind == TG_TASK_WHILE ? "while" : "if";
    if (!spec->body || !spec->body->is_body || spec->body->space != g->space || spec->body == g)
        return tgi_error(err, TG_E_INVALID, "%s: its body was not created for this graph", name);
    if (spec->body_else && (spec->kind != TG_TASK_IF || !spec->body_else->is_body || spec->body_else->space != g->space))
        return tgi_error(err, TG_E_INVALID, "%s: its second body was not created for this graph", name);
    if (spec->kind == TG_TASK_REPEAT)
        return spec->n_args ? tgi_error(err, TG_E_UNKNOWN_ARGUMENT, "repeat takes no arguments") : 0;
    if (spec->n_args != 1)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "%s takes one argument, its condition", name);
    const struct tgi_buffer *b;
    int rc = store_tile(g->space, name, "condition", &spec->args[0], condition, &b, err);
    if (rc)
        return rc;
    if (!tgi_dtype_is_integer(b->dtype) || b->tile_elems == 0)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: its condition \"%s\" is %s, not an integer", name, b->name,
                         tg_dtype_name(b->dtype));
    return 0;
}

/* Writes the op of a control task and the words of everything it touches (malloc'ed). */
static int make_control(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t **words_p,
                        uint32_t *n_words_p, struct tg_error *err)
{
    uint64_t condition = 0;
    int rc = check_control(g, spec, &condition, err);
    if (rc)
        return rc;
    struct use *uses = NULL;
    uint32_t n = 0;
    rc = gather_uses(spec, spec->kind == TG_TASK_REPEAT ? NULL : &condition, &uses, &n, err);
    if (rc)
        return rc;
    struct tgi_param *params = tgi_arena_alloc(&g->space->strings, (n + 1) * sizeof *params);
    uint64_t *words = malloc((n + 1) * sizeof *words);
    if (!params || !words) {
        free(uses);
        free(words);
        return tgi_error_memory(err, "adding a control task");
    }
    for (uint32_t i = 0; i < n; i++) {
        words[i] = uses[i].word;
        params[i] = (struct tgi_param){"uses", TGI_DTYPE_T, uses[i].access, TG_SUM, NULL};
    }
    free(uses);
    enum tgi_op_kind kind = spec->kind == TG_TASK_REPEAT ? TGI_OP_REPEAT
                            : spec->kind == TG_TASK_WHILE ? TGI_OP_WHILE : TGI_OP_IF;
    static const char *const names[] = {"repeat", "while", "if"};
    struct tgi_op op = {.kind = kind, .name = names[kind - TGI_OP_REPEAT], .n_params = n, .n_declared = n,
                        .params = params, .type_t = -1, .generic = TG_NONE, .count = spec->count, .site = TG_NONE};
    rc = tgi_op_add(g->space, &op, op_p, err);
    if (rc) {
        free(words);
        return rc;
    }
    *words_p = words;
    *n_words_p = n;
    return 0;
}

/* ---- Tasks --------------------------------------------------------------------------------*/

/* Grows the task arrays for one more task and its words; the optional columns grow along. */
static bool reserve_task(struct tg_graph *g, uint32_t n_words)
{
    uint32_t before = g->cap_tasks;
    uint32_t cap = before;
    if (!tgi_vec_reserve(&g->nodes, &cap, (uint64_t)g->n_tasks + 2, sizeof *g->nodes))
        return false;
    if (cap != before) {
        uint32_t **columns[] = {&g->names_at, &g->site_of, (uint32_t **)&g->priority};
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
            if (*columns[i]) {
                uint32_t *grown = realloc(*columns[i], (size_t)cap * sizeof *grown);
                if (!grown)
                    return false; /* cap_tasks stays: what has grown is larger than it says */
                *columns[i] = grown;
            }
        g->cap_tasks = cap;
    }
    return tgi_vec_reserve(&g->args, &g->cap_args, (uint64_t)g->n_args + n_words, sizeof *g->args);
}

static bool column_make(const struct tg_graph *g, uint32_t **column, uint32_t initial)
{
    if (*column)
        return true;
    *column = malloc((size_t)g->cap_tasks * sizeof **column);
    if (!*column)
        return false;
    for (uint32_t i = 0; i < g->n_tasks; i++)
        (*column)[i] = initial;
    return true;
}

static int add_name(struct tg_graph *g, const char *name, struct tg_error *err)
{
    size_t length = strlen(name);
    if (!tgi_name_is_valid(name))
        return tgi_error(err, TG_E_BAD_NAME, "a task's name has 1 to 256 printable bytes");
    if (tgi_names_find(g, name, length) != TG_NONE)
        return tgi_error(err, TG_E_DUPLICATE_NAME, "there is a task \"%s\" already", name);
    if (g->n_names_text + length + 1 >= TG_NONE)
        return tgi_error(err, TG_E_LIMIT, "task names take more than 4 GiB");
    if (g->n_names_text + length + 1 > g->cap_names_text) {
        size_t cap = g->cap_names_text ? g->cap_names_text * 2 : 4096;
        while (cap < g->n_names_text + length + 1)
            cap *= 2;
        char *grown = realloc(g->names_text, cap);
        if (!grown)
            return tgi_error_memory(err, "naming a task");
        g->names_text = grown;
        g->cap_names_text = cap;
    }
    if (!column_make(g, &g->names_at, TG_NONE))
        return tgi_error_memory(err, "naming a task");
    memcpy(g->names_text + g->n_names_text, name, length + 1);
    g->names_at[g->n_tasks] = (uint32_t)g->n_names_text;
    if (!tgi_names_insert(g, g->n_tasks))
        return tgi_error_memory(err, "naming a task");
    g->n_names_text += length + 1;
    return 0;
}

static int attr_for(struct tg_graph *g, uint32_t task, struct tgi_attr **attr_p, struct tg_error *err)
{
    if (g->n_attrs && g->attrs[g->n_attrs - 1].task == task) {
        *attr_p = &g->attrs[g->n_attrs - 1];
        return 0;
    }
    if (!tgi_vec_reserve(&g->attrs, &g->cap_attrs, (uint64_t)g->n_attrs + 1, sizeof *g->attrs))
        return tgi_error_memory(err, "adding a task");
    g->attrs[g->n_attrs] = (struct tgi_attr){.task = task, .flops = NAN, .bytes = NAN, .us = NAN};
    *attr_p = &g->attrs[g->n_attrs++];
    return 0;
}

static int add_attrs(struct tg_graph *g, const struct tg_task_spec *spec, tgi_place on, tgi_place prefer,
                     struct tg_error *err)
{
    if (!on && !prefer && !spec->retries && !spec->timeout_ms)
        return 0;
    struct tgi_attr *attr;
    int rc = attr_for(g, g->n_tasks, &attr, err);
    if (rc)
        return rc;
    attr->on = on;
    attr->prefer = prefer;
    attr->retries = spec->retries;
    attr->timeout_ms = spec->timeout_ms;
    g->nodes[g->n_tasks].op |= TGI_NODE_ATTR;
    return 0;
}

static int add_controls(struct tg_graph *g, const struct tg_task_spec *spec, struct tg_error *err)
{
    if (!tgi_vec_reserve(&g->controls, &g->cap_controls, (uint64_t)g->n_controls + spec->n_after, sizeof *g->controls))
        return tgi_error_memory(err, "adding control edges");
    for (uint32_t i = 0; i < spec->n_after; i++)
        g->controls[g->n_controls + i] = (struct tgi_control){spec->after[i], g->n_tasks};
    return 0;
}

static int store_args(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t *words,
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

int tg_graph_add_task(struct tg_graph *graph, const struct tg_task_spec *spec, tg_task_id *id_p, struct tg_error *err)
{
    struct tg_graph *g = graph;
    tgi_place on = 0, prefer = 0;
    uint64_t *made = NULL;
    uint32_t op, n_words;
    int rc;
    if (g->is_frozen)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further task");
    if (g->n_tasks >= INT32_MAX - 1)
        return tgi_error(err, TG_E_LIMIT, "more than 2^31 tasks");
    if ((spec->on && (rc = tgi_place_parse(spec->on, &on, err))) ||
        (spec->prefer && (rc = tgi_place_parse(spec->prefer, &prefer, err))))
        return rc;
    if (spec->kind == TG_TASK_HOST)
        on = TGI_PLACE_CPU;
    bool is_control = spec->kind >= TG_TASK_REPEAT && spec->kind <= TG_TASK_IF;
    uint32_t n_reserve = spec->kind == TG_TASK_COLLECTIVE ? spec->n_args : TG_MAX_PARAMS;
    if (is_control) {
        rc = make_control(g, spec, &op, &made, &n_reserve, err);
        if (rc)
            return rc;
    }
    if (!reserve_task(g, n_reserve)) {
        free(made);
        return tgi_error_memory(err, "adding a task");
    }
    uint64_t *words = g->args + g->n_args;
    if (is_control) {
        memcpy(words, made, n_reserve * sizeof *words);
        free(made);
    } else {
        rc = store_args(g, spec, &op, words, err);
        if (rc)
            return rc;
    }
    n_words = g->space->ops[op].n_params;
    g->nodes[g->n_tasks] = (struct tgi_node){.args = g->n_args, .op = op};
    uint32_t n_attrs = g->n_attrs;
    if ((spec->n_after && (rc = add_controls(g, spec, err))) || (rc = add_attrs(g, spec, on, prefer, err)))
        return rc;
    /* Last of what can fail, as the index of names cannot forget. */
    if (spec->priority && !column_make(g, (uint32_t **)&g->priority, 0)) {
        g->n_attrs = n_attrs;
        return tgi_error_memory(err, "adding a task");
    }
    if (spec->name) {
        rc = add_name(g, spec->name, err);
        if (rc) {
            g->n_attrs = n_attrs;
            return rc;
        }
    } else if (g->names_at) {
        g->names_at[g->n_tasks] = TG_NONE;
    }
    if (g->priority)
        g->priority[g->n_tasks] = spec->priority;
    if (g->site_of)
        g->site_of[g->n_tasks] = TG_NONE;
    if (is_control) {
        g->space->ops[op].body = spec->body;
        g->space->ops[op].body_else = spec->body_else;
    }
    g->n_controls += spec->n_after;
    g->n_args += n_words;
    if (id_p)
        *id_p = g->n_tasks;
    g->n_tasks++;
    return 0;
}

int tg_graph_add_edge(struct tg_graph *graph, tg_task_id earlier, tg_task_id task, struct tg_error *err)
{
    struct tg_graph *g = graph;
    if (g->is_frozen)
        return tgi_error(err, TG_E_FROZEN, "a frozen graph takes no further edge");
    if (task >= g->n_tasks || earlier >= g->n_tasks)
        return tgi_error(err, TG_E_UNKNOWN_TASK, "an edge from task %u to task %u, of %u", earlier, task, g->n_tasks);
    if (!tgi_vec_reserve(&g->controls, &g->cap_controls, (uint64_t)g->n_controls + 1, sizeof *g->controls))
        return tgi_error_memory(err, "adding a control edge");
    g->controls[g->n_controls++] = (struct tgi_control){earlier, task};
    return 0;
}

int tgi_graph_set_site(struct tg_graph *g, tg_task_id task, uint32_t site, struct tg_error *err)
{
    if (!column_make(g, &g->site_of, TG_NONE))
        return tgi_error_memory(err, "adding a task");
    g->site_of[task] = site;
    return 0;
}

int tgi_graph_set_task_cost(struct tg_graph *g, tg_task_id task, double flops, double bytes, double us,
                            struct tg_error *err)
{
    struct tgi_attr *attr;
    if (task + 1 != g->n_tasks)
        return tgi_error(err, TG_E_STATE, "the cost of a task is set right after adding it");
    int rc = attr_for(g, task, &attr, err);
    if (rc)
        return rc;
    attr->flops = flops;
    attr->bytes = bytes;
    attr->us = us;
    g->nodes[task].op |= TGI_NODE_ATTR;
    return 0;
}

/* ---- Questions ----------------------------------------------------------------------------*/

tg_task_id tg_graph_find_task(const struct tg_graph *graph, const char *name)
{
    return tgi_names_find(graph, name, strlen(name));
}

tg_buffer_id tg_graph_find_buffer(const struct tg_graph *graph, const char *name)
{
    return tgi_space_find_buffer(graph->space, name);
}

const char *tgi_graph_task_name(const struct tg_graph *g, uint32_t task, char *scratch)
{
    if (g->names_at && g->names_at[task] != TG_NONE)
        return g->names_text + g->names_at[task];
    snprintf(scratch, 16, "#%u", task);
    return scratch;
}

const struct tgi_attr *tgi_graph_attr(const struct tg_graph *g, uint32_t task)
{
    if (!(g->nodes[task].op & TGI_NODE_ATTR))
        return NULL;
    uint32_t low = 0, high = g->n_attrs;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->attrs[middle].task < task)
            low = middle + 1;
        else
            high = middle;
    }
    return &g->attrs[low];
}

const struct tgi_share *tgi_graph_shares(const struct tg_graph *g, uint32_t task, uint32_t *n_p)
{
    uint32_t low = 0, high = g->n_shares;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->shares[middle].task < task)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t end = low;
    while (end < g->n_shares && g->shares[end].task == task)
        end++;
    *n_p = end - low;
    return g->shares + low;
}

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

struct tgi_cost tgi_graph_cost(const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    struct tgi_cost cost = {NAN, NAN, NAN};
    if (op->kind == TGI_OP_KERNEL && (op->flops || op->bytes || op->us)) {
        double slots[TG_MAX_PARAMS];
        for (uint32_t i = 0; i < op->n_params; i++)
            slots[i] = op->params[i].access == TG_SCALAR ? number_of(&op->params[i], g->args[g->nodes[task].args + i]) : NAN;
        cost = (struct tgi_cost){cost_of(op->flops, slots), cost_of(op->bytes, slots), cost_of(op->us, slots)};
    }
    if (attr) {
        cost.flops = isnan(attr->flops) ? cost.flops : attr->flops;
        cost.bytes = isnan(attr->bytes) ? cost.bytes : attr->bytes;
        cost.us = isnan(attr->us) ? cost.us : attr->us;
    }
    return cost;
}
