/* Follows the order of a graph file: header, buffers, kernels, tasks, checks.  A document and a
 * JSON Lines file hold the same objects; only what stands around them differs. */
#include "io/write_json.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/graph_writer.h"
#include "io/output.h"

static const char *const access_names[] = {"scalar", "in", "out", "inout", "reduce", "commute"};
const char *const tgi_write_op_names[] = {"sum", "prod", "min", "max"};

void tgi_write_begin(struct tgi_graph_writer *w, const char *kind, const char *key)
{
    if (w->form == TGI_JSON_LINES) {
        tgi_json_flat_object(&w->json, NULL);
        tgi_json_flat_object(&w->json, kind);
        if (key)
            tgi_json_string(&w->json, "name", key);
    } else {
        tgi_json_flat_object(&w->json, key);
    }
}

void tgi_write_end(struct tgi_graph_writer *w)
{
    tgi_json_end(&w->json);
    if (w->form == TGI_JSON_LINES)
        tgi_json_end(&w->json);
}

void tgi_write_integers(struct tgi_graph_writer *w, const char *key, const int64_t *values, uint32_t n)
{
    tgi_json_flat_array(&w->json, key);
    for (uint32_t i = 0; i < n; i++)
        tgi_json_int(&w->json, NULL, values[i]);
    tgi_json_end(&w->json);
}

/* ---- Kernels ------------------------------------------------------------------------------*/

static void put_param(struct tgi_graph_writer *w, const struct tgi_param *p)
{
    char type[16];
    snprintf(type, sizeof(type), "%s%s",
             p->dtype == TGI_DTYPE_T ? "T" : tg_dtype_name((enum tg_dtype)p->dtype),
             p->access == TG_SCALAR ? "" : "*");
    tgi_json_flat_object(&w->json, NULL);
    tgi_json_string(&w->json, "name", p->name);
    tgi_json_string(&w->json, "type", type);
    if (p->access != TG_SCALAR)
        tgi_json_string(&w->json, "access", access_names[p->access]);
    if (p->access == TG_REDUCE)
        tgi_json_string(&w->json, "op", tgi_write_op_names[p->op]);
    tgi_json_end(&w->json);
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The built-in kernel that the op stands for, with all its parameters under their own names; NULL:
 * there is more to it. */
static const struct tgi_builtin *plain_builtin(const struct tgi_op *op)
{
    if (op->n_variants != 1 || op->variants[0].form != TGI_VARIANT_BUILTIN ||
        op->variants[0].on != TGI_DEVICE_CPU)
        return NULL;
    const struct tgi_builtin *b = op->variants[0].builtin;
    bool is_plain = op->n_params == b->n_params;
    for (uint32_t i = 0; is_plain && i < b->n_params; i++)
        is_plain = strcmp(op->params[i].name, b->params[i].name) == 0 &&
                   op->params[i].dtype == b->params[i].dtype && op->params[i].access == b->params[i].access;
    return is_plain ? b : NULL;
}

/* A built-in kernel's own cost need not be written. */
static void put_cost(struct tgi_graph_writer *w, const struct tgi_op *op, const struct tgi_builtin *b)
{
    bool has_flops = op->flops_text && !(b && is_same_text(op->flops_text, b->flops));
    bool has_bytes = op->bytes_text && !(b && is_same_text(op->bytes_text, b->bytes));
    if (!has_flops && !has_bytes && !op->us_text)
        return;
    tgi_json_flat_object(&w->json, "cost");
    if (has_flops)
        tgi_json_string(&w->json, "flops", op->flops_text);
    if (has_bytes)
        tgi_json_string(&w->json, "bytes", op->bytes_text);
    if (op->us_text)
        tgi_json_string(&w->json, "us", op->us_text);
    tgi_json_end(&w->json);
}

static void put_expressions(struct tgi_graph_writer *w, const char *key, const char *const texts[3])
{
    if (!texts[0])
        return;
    tgi_json_flat_array(&w->json, key);
    for (int i = 0; i < 3 && texts[i]; i++)
        tgi_json_string(&w->json, NULL, texts[i]);
    tgi_json_end(&w->json);
}

/* Source text as a list of lines, which is how people write it. */
static void put_source(struct tgi_graph_writer *w, const char *key, const char *text)
{
    tgi_json_flat_array(&w->json, key);
    while (*text && w->rc == 0) {
        size_t length = strcspn(text, "\n");
        char *line = strndup(text, length);
        if (line)
            tgi_json_string(&w->json, NULL, line);
        else
            w->rc = tgi_error_memory(w->err, "writing a kernel");
        free(line);
        text += length + (text[length] == '\n');
    }
    tgi_json_end(&w->json);
}

static void put_variant(struct tgi_graph_writer *w, const struct tgi_op *op, const struct tgi_variant *v)
{
    static const char *const kinds[] = {"cpu", "cuda", "resident"};
    tgi_json_flat_object(&w->json, NULL);
    tgi_json_string(&w->json, "on", kinds[v->on]);
    switch (v->form) {
    case TGI_VARIANT_BUILTIN:
        tgi_json_string(&w->json, "builtin", v->builtin->name);
        break;
    case TGI_VARIANT_FUNCTION:
        w->rc = tgi_error(w->err, TG_E_UNSUPPORTED,
                          "kernel \"%s\": a file cannot hold a C function of the program", op->name);
        break;
    case TGI_VARIANT_SOURCE:
        put_source(w, v->on == TGI_DEVICE_CPU ? "c" : "code", v->text);
        break;
    case TGI_VARIANT_BINARY:
        tgi_json_string(&w->json, v->on == TGI_DEVICE_CPU ? "so" : "binary", v->path);
        break;
    }
    if (v->entry)
        tgi_json_string(&w->json, "entry", v->entry);
    put_expressions(w, "grid", v->grid_text);
    put_expressions(w, "block", v->block_text);
    put_expressions(w, "cluster", v->cluster_text);
    if (v->smem_text)
        tgi_json_string(&w->json, "smem", v->smem_text);
    if (v->options)
        tgi_json_string(&w->json, "options", v->options);
    if (v->width)
        tgi_json_string(&w->json, "width", v->width);
    if (v->spawns)
        tgi_json_bool(&w->json, "spawns", true);
    tgi_json_end(&w->json);
}

static void put_kernel(struct tgi_graph_writer *w, const struct tgi_op *op)
{
    const struct tgi_builtin *b = plain_builtin(op);
    tgi_write_begin(w, "kernel", op->name);
    if (b) {
        tgi_json_string(&w->json, "builtin", b->name);
        put_cost(w, op, b);
        tgi_write_end(w);
        return;
    }
    tgi_json_flat_array(&w->json, "params");
    for (uint32_t i = 0; i < op->n_declared; i++)
        put_param(w, &op->params[i]);
    tgi_json_end(&w->json);
    put_cost(w, op, NULL);
    tgi_json_flat_array(&w->json, "variants");
    for (uint32_t i = 0; i < op->n_variants; i++)
        put_variant(w, op, &op->variants[i]);
    tgi_json_end(&w->json);
    tgi_write_end(w);
}

/* ---- Checks -------------------------------------------------------------------------------*/

static void put_check_values(struct tgi_graph_writer *w, const struct tgi_check *c, const char *key)
{
    if (c->file) {
        tgi_json_flat_object(&w->json, key);
        tgi_json_string(&w->json, "file", c->file);
        tgi_json_end(&w->json);
    } else if (c->n_values == 1) {
        tgi_json_double(&w->json, key, c->values[0]);
    } else {
        tgi_json_flat_array(&w->json, key);
        for (uint32_t i = 0; i < c->n_values; i++)
            tgi_json_double(&w->json, NULL, c->values[i]);
        tgi_json_end(&w->json);
    }
}

static void put_check(struct tgi_graph_writer *w, const struct tgi_check *c)
{
    char reference[512];
    const struct tgi_buffer *b = &w->space->buffers[c->buffer];
    tgi_write_begin(w, "check", NULL);
    if (c->tile == TG_NONE)
        snprintf(reference, sizeof(reference), "%s", b->name);
    else
        tgi_space_format_word(w->space, b->first_tile + c->tile, reference, sizeof(reference));
    tgi_json_string(&w->json, "buffer", reference);
    switch (c->kind) {
    case TGI_CHECK_EQUALS:
        put_check_values(w, c, "equals");
        break;
    case TGI_CHECK_CLOSE:
        tgi_json_flat_object(&w->json, "close");
        if (c->file)
            tgi_json_string(&w->json, "file", c->file);
        else
            put_check_values(w, c, "value");
        tgi_json_double(&w->json, "rtol", c->rtol);
        tgi_json_double(&w->json, "atol", c->atol);
        tgi_json_end(&w->json);
        break;
    case TGI_CHECK_MIN:
        tgi_json_double(&w->json, "min", c->values[0]);
        break;
    case TGI_CHECK_MAX:
        tgi_json_double(&w->json, "max", c->values[0]);
        break;
    case TGI_CHECK_FINITE:
        tgi_json_bool(&w->json, "finite", c->is_expected);
        break;
    case TGI_CHECK_CHECKSUM: {
        char digits[24];
        snprintf(digits, sizeof(digits), "0x%016llx", (unsigned long long)c->checksum);
        tgi_json_string(&w->json, "checksum", digits);
        break;
    }
    case TGI_CHECK_RESIDUAL:
        tgi_json_flat_object(&w->json, "residual");
        tgi_json_string(&w->json, "method", c->method);
        tgi_json_double(&w->json, "max", c->values[0]);
        tgi_json_end(&w->json);
        break;
    }
    tgi_write_end(w);
}

/* ---- The file -----------------------------------------------------------------------------*/

static void put_header(struct tgi_graph_writer *w)
{
    const struct tgi_space *space = w->space;
    tgi_json_string(&w->json, "tgraph", "1.0");
    if (w->form == TGI_JSON_LINES)
        tgi_json_bool(&w->json, "stream", true);
    if (w->g->name && w->g->name[0])
        tgi_json_string(&w->json, "name", w->g->name);
    if (space->requires_cuda || space->requires_cpu) {
        tgi_json_flat_object(&w->json, "requires");
        if (space->requires_cpu)
            tgi_json_uint(&w->json, "cpu", space->requires_cpu);
        if (space->requires_cuda)
            tgi_json_uint(&w->json, "cuda", space->requires_cuda);
        tgi_json_end(&w->json);
    }
    if (space->params_text)
        tgi_json_raw(&w->json, "params", space->params_text);
    if (w->g->is_explicit)
        tgi_json_string(&w->json, "deps", "explicit");
    if (space->meta_text)
        tgi_json_raw(&w->json, "meta", space->meta_text);
}

static bool is_written_kernel(const struct tgi_op *op)
{
    return op->kind == TGI_OP_KERNEL && op->generic == TG_NONE;
}

/* In a document a list has a key and brackets; in JSON Lines its elements are lines. */
static void begin_list(struct tgi_graph_writer *w, const char *key, bool is_object)
{
    if (w->form == TGI_JSON_LINES)
        return;
    if (is_object)
        tgi_json_object(&w->json, key);
    else
        tgi_json_array(&w->json, key);
}

static void end_list(struct tgi_graph_writer *w)
{
    if (w->form != TGI_JSON_LINES)
        tgi_json_end(&w->json);
}

static void put_file(struct tgi_graph_writer *w)
{
    const struct tgi_space *space = w->space;
    if (w->form == TGI_JSON_LINES) {
        tgi_json_flat_object(&w->json, NULL);
        put_header(w);
        tgi_json_end(&w->json);
    } else {
        tgi_json_object(&w->json, NULL);
        put_header(w);
    }
    begin_list(w, "buffers", true);
    for (uint32_t i = 0; i < space->n_buffers && w->rc == 0; i++)
        tgi_write_buffer(w, &space->buffers[i]);
    end_list(w);
    begin_list(w, "kernels", true);
    for (uint32_t i = 0; i < space->n_ops && w->rc == 0; i++) {
        if (is_written_kernel(&space->ops[i]))
            put_kernel(w, &space->ops[i]);
    }
    end_list(w);
    begin_list(w, "tasks", false);
    if (w->rc == 0)
        tgi_write_tasks(w);
    end_list(w);
    if (space->n_checks > 0)
        begin_list(w, "checks", false);
    for (uint32_t i = 0; i < space->n_checks && w->rc == 0; i++)
        put_check(w, &space->checks[i]);
    if (space->n_checks > 0)
        end_list(w);
    if (w->form == TGI_JSON_LINES) {
        tgi_json_flat_object(&w->json, NULL);
        tgi_json_flat_object(&w->json, "end");
        tgi_json_uint(&w->json, "tasks", w->g->n_tasks);
        tgi_json_end(&w->json);
    }
    tgi_json_end(&w->json);
}

int tgi_graph_write_json(const struct tg_graph *g, enum tgi_json_form form, FILE *to, struct tg_error *err)
{
    struct tgi_graph_writer w = {g,    g->space,
                       form, tgi_json_begin(to, form == TGI_JSON_LINES ? TGI_JSON_LINE : TGI_JSON_PRETTY),
                       err,  0};
    put_file(&w);
    if (w.rc == 0)
        w.rc = tgi_output_check(to, "the graph", err);
    return w.rc;
}

int tg_graph_save(const struct tg_graph *graph, const char *path, struct tg_error *err)
{
    struct tgi_output out;
    const char *dot = strrchr(path, '.');
    bool is_lines = dot && strcmp(dot, ".jsonl") == 0;
    if (!is_lines && !(dot && strcmp(dot, ".json") == 0) && strcmp(path, "-") != 0)
        return tgi_error(err, TG_E_INVALID, "\"%s\" ends neither in .json nor in .jsonl", path);
    int rc = tgi_output_open(&out, path, err);
    if (rc)
        return rc;
    rc = tgi_graph_write_json(graph, is_lines ? TGI_JSON_LINES : TGI_JSON_DOCUMENT, out.file, err);
    if (rc == 0)
        rc = tgi_output_finish(&out, err);
    tgi_output_abandon(&out);
    return rc;
}
