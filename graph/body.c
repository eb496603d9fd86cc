/* Control tasks: what a repeat, while or if touches is what its bodies touch. */
#include <stdlib.h>
#include <string.h>

#include "graph/args.h"
#include "graph/dtype.h"
#include "graph/error.h"
#include "graph/op.h"
#include "graph/space.h"

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
            uint64_t word = tgi_graph_word(body, t, i);
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
    if (spec->body->is_given || spec->body == spec->body_else || (spec->body_else && spec->body_else->is_given))
        return tgi_error(err, TG_E_INVALID, "%s: its body belongs to a task already", name);
    if (spec->body_else == g)
        return tgi_error(err, TG_E_INVALID, "%s: a task cannot be in its own body", name);
    if (spec->retries || spec->timeout_ms)
        return tgi_error(err, TG_E_UNSUPPORTED, "%s: retries and time limits belong to the tasks of its body", name);
    if (spec->kind == TG_TASK_REPEAT)
        return spec->n_args ? tgi_error(err, TG_E_UNKNOWN_ARGUMENT, "repeat takes no arguments") : 0;
    if (spec->n_args != 1)
        return tgi_error(err, TG_E_MISSING_ARGUMENT, "%s takes one argument, its condition", name);
    const struct tgi_buffer *b;
    int rc = tgi_args_store_tile(g->space, name, "condition", &spec->args[0], condition, &b, err);
    if (rc)
        return rc;
    if (!tgi_dtype_is_integer(b->dtype) || b->tile_elems == 0)
        return tgi_error(err, TG_E_TYPE_MISMATCH, "%s: its condition \"%s\" is %s, not an integer", name, b->name,
                         tg_dtype_name(b->dtype));
    return 0;
}

/* Writes the op of a control task and the words of everything it touches (malloc'ed). */
int tgi_args_make_control(struct tg_graph *g, const struct tg_task_spec *spec, uint32_t *op_p, uint64_t **words_p,
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
