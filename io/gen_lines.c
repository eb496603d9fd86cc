#include "io/gen_lines.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/expr.h"
#include "io/gen_parts.h"

/* A line is literal text and expressions in turn. */
struct piece {
    const char *text;
    size_t size;
    struct tgi_expr *expr; /* follows the text; NULL: none */
    int32_t slot;          /* of an expression that is a loop variable alone; -1: it is not */
};
#define MAX_PIECES 40
struct compiled {
    struct piece pieces[MAX_PIECES];
    uint32_t n_pieces;
    struct tgi_expr *from, *to; /* of a loop */
    uint32_t slot;
    char *line; /* what text points into */
};
struct stream {
    const struct tgi_gen_plan *plan;
    struct compiled code[TGI_GEN_MAX_STATEMENTS];
    const char *variables[TGI_GEN_MAX_LOOPS]; /* in scope, by slot */
    uint32_t n_variables;
    int64_t slots[TGI_GEN_MAX_LOOPS];
    struct tgi_text out;
    uint64_t n_tasks;
    struct tg_error *err;
};

static struct tgi_expr_name resolve(void *user, const char *name, size_t length)
{
    const struct stream *s = user;
    for (uint32_t i = s->n_variables; i-- > 0;)
        if (strlen(s->variables[i]) == length && memcmp(s->variables[i], name, length) == 0)
            return (struct tgi_expr_name){.kind = TGI_NAME_SLOT, .slot = i};
    for (uint32_t i = 0; i < s->plan->n_params; i++)
        if (strlen(s->plan->params[i].name) == length && memcmp(s->plan->params[i].name, name, length) == 0)
            return (struct tgi_expr_name){.kind = TGI_NAME_INT, .i = s->plan->params[i].value};
    return (struct tgi_expr_name){.kind = TGI_NAME_UNKNOWN};
}

static int expression_failed(struct stream *s, const struct tgi_expr_error *e)
{
    return tgi_error(s->err, e->status, "generating %s: %s", s->plan->options->pattern, e->text);
}

static int compile(struct stream *s, const char *text, size_t size, struct tgi_expr **expr_p)
{
    struct tgi_expr_scope scope = {.resolve = resolve, .user = s, .type_t = -1};
    struct tgi_expr_error e;
    int status = tgi_expr_compile(text, size, &scope, expr_p, &e);
    return status == TG_OK ? TG_OK : expression_failed(s, &e);
}

static int compile_line(struct stream *s, struct compiled *code)
{
    for (const char *p = code->line; *p;) {
        assert(code->n_pieces < MAX_PIECES);
        struct piece *piece = &code->pieces[code->n_pieces++];
        piece->text = p;
        piece->size = strcspn(p, "`");
        piece->slot = -1;
        p += piece->size;
        if (!*p)
            break;
        size_t size = strcspn(++p, "`");
        int status = compile(s, p, size, &piece->expr);
        if (status != TG_OK)
            return status;
        struct tgi_expr_name name = resolve(s, p, size);
        if (name.kind == TGI_NAME_SLOT)
            piece->slot = (int32_t)name.slot;
        p += size + 1;
    }
    return TG_OK;
}

static int compile_statement(struct stream *s, uint32_t index)
{
    const struct tgi_gen_statement *statement = &s->plan->statements[index];
    struct compiled *code = &s->code[index];
    s->n_variables = 0;
    for (uint32_t i = 0, depth = 0; i < index; i++)
        if (s->plan->statements[i].variable && s->plan->statements[i].depth < statement->depth &&
            tgi_gen_end_of(s->plan, i) > index && s->plan->statements[i].depth == depth)
            s->variables[s->n_variables++] = s->plan->statements[i].variable, depth++;
    if (statement->variable) {
        code->slot = s->n_variables;
        int status = compile(s, statement->from, strlen(statement->from), &code->from);
        return status == TG_OK ? compile(s, statement->to, strlen(statement->to), &code->to) : status;
    }
    struct tgi_text line = {0};
    tgi_text_str(&line, "{\"task\":{");
    tgi_gen_add_task_members(&line, s->plan, statement);
    tgi_text_add(&line, "}}\n", 4); /* with the terminator */
    int status = tgi_text_finish(&line, s->err);
    code->line = line.data;
    return status == TG_OK ? compile_line(s, code) : status;
}

static int evaluate(struct stream *s, const struct tgi_expr *expr, int64_t *value_p)
{
    struct tgi_expr_error e;
    int status = tgi_expr_eval_int(expr, s->slots, value_p, &e);
    return status == TG_OK ? TG_OK : expression_failed(s, &e);
}

static int stream_task(struct stream *s, const struct compiled *code)
{
    for (uint32_t i = 0; i < code->n_pieces; i++) {
        const struct piece *piece = &code->pieces[i];
        tgi_text_add(&s->out, piece->text, piece->size);
        if (!piece->expr)
            continue;
        int64_t value;
        if (piece->slot >= 0) {
            value = s->slots[piece->slot];
        } else {
            int status = evaluate(s, piece->expr, &value);
            if (status != TG_OK)
                return status;
        }
        assert(value >= 0);
        tgi_text_uint(&s->out, (uint64_t)value);
    }
    s->n_tasks++;
    return s->out.is_out_of_memory ? tgi_error_memory(s->err, "writing text") : TG_OK;
}

static int stream_statements(struct stream *s, uint32_t first, uint32_t end)
{
    int status = TG_OK;
    for (uint32_t i = first; i < end && status == TG_OK;) {
        const struct compiled *code = &s->code[i];
        if (!s->plan->statements[i].variable) {
            status = stream_task(s, code);
            i++;
            continue;
        }
        uint32_t after = tgi_gen_end_of(s->plan, i);
        int64_t from, to;
        status = evaluate(s, code->from, &from);
        if (status == TG_OK)
            status = evaluate(s, code->to, &to);
        for (int64_t v = from; status == TG_OK && v < to; v++) {
            s->slots[code->slot] = v;
            status = stream_statements(s, i + 1, after);
        }
        i = after;
    }
    return status;
}

static void stream_head(struct stream *s)
{
    struct tgi_text *out = &s->out;
    tgi_text_str(out, "{\"tgraph\":\"1.0\",\"stream\":true");
    tgi_gen_add_title(out, s->plan);
    tgi_text_printf(out, "}\n{\"buffer\":{\"name\":\"%s\",", s->plan->is_factorisation ? "A" : "x");
    tgi_gen_add_buffer(out, s->plan);
    tgi_text_str(out, "}}\n");
    tgi_gen_add_kernels(out, s->plan, "{\"kernel\":{\"name\":\"%s\",", "}}\n");
}

static int stream_tasks(struct stream *s)
{
    if (s->plan->is_random) {
        tgi_gen_add_random_tasks(&s->out, s->plan, "{\"task\":{", "}}\n", "");
        s->n_tasks = s->plan->n_tasks;
        return TG_OK;
    }
    for (uint32_t i = 0; i < s->plan->n_statements; i++) {
        int status = compile_statement(s, i);
        if (status != TG_OK)
            return status;
    }
    return stream_statements(s, 0, s->plan->n_statements);
}

int tgi_gen_write_lines(FILE *to, const struct tgi_gen_plan *plan, struct tg_error *err)
{
    struct stream *s = calloc(1, sizeof(*s));
    if (!s)
        return tgi_error_memory(err, "generating a graph");
    s->plan = plan;
    s->err = err;
    s->out.to = to;
    stream_head(s);
    int status = stream_tasks(s);
    if (plan->is_factorisation)
        tgi_text_printf(&s->out,
                        "{\"check\":{\"buffer\":\"A\",\"residual\":{\"method\":\"%s\",\"max\":1e-12}}}\n",
                        plan->options->pattern);
    tgi_text_printf(&s->out, "{\"end\":{\"tasks\":%llu}}\n", (unsigned long long)s->n_tasks);
    if (status == TG_OK)
        status = tgi_text_finish(&s->out, err);
    for (uint32_t i = 0; i < plan->n_statements; i++) {
        for (uint32_t k = 0; k < s->code[i].n_pieces; k++)
            tgi_expr_destroy(s->code[i].pieces[k].expr);
        tgi_expr_destroy(s->code[i].from);
        tgi_expr_destroy(s->code[i].to);
        free(s->code[i].line);
    }
    tgi_text_fini(&s->out);
    free(s);
    return status;
}
