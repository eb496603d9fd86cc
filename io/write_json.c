/* Follows the order of a graph file: header, buffers, kernels, tasks, checks.  A document and a
 * JSON Lines file hold the same objects; only what stands around them differs.
 *
 * Bodies of control tasks are walked with a stack of our own, as deep as the reader accepts. */
#include "io/write_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_out.h"
#include "io/output.h"
#include "mem/hostops.h"

#define MAX_NESTING 24 /* two levels of JSON each, of the 64 that the reader takes */

struct writer {
    const struct tg_graph *g;
    const struct tgi_space *space;
    enum tgi_json_form form;
    struct tgi_json json;
    struct tg_error *err;
    int rc;
};

static const char *const access_names[] = {"scalar", "in", "out", "inout", "reduce", "commute"};
static const char *const op_names[] = {"sum", "prod", "min", "max"};

/* Every object that is a line of its own in JSON Lines, and in a document too. */
static void begin_record(struct writer *w, const char *kind, const char *key)
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

static void end_record(struct writer *w)
{
    tgi_json_end(&w->json);
    if (w->form == TGI_JSON_LINES)
        tgi_json_end(&w->json);
}

static void put_integers(struct writer *w, const char *key, const int64_t *values, uint32_t n)
{
    tgi_json_flat_array(&w->json, key);
    for (uint32_t i = 0; i < n; i++)
        tgi_json_int(&w->json, NULL, values[i]);
    tgi_json_end(&w->json);
}

/* ---- Buffers ------------------------------------------------------------------------------*/

/* Which tiles exist, as an expression over i, j, ..: rows of the last index, or'ed together, after
 * the common shapes have been tried. */
static bool matches(const struct tgi_buffer *b, bool (*test)(int64_t i, int64_t j))
{
    for (uint32_t t = 0; t < b->n_tiles; t++) {
        if ((b->present[t] != 0) != test(t / b->tiles[1], t % b->tiles[1]))
            return false;
    }
    return true;
}
static bool is_ge(int64_t i, int64_t j) { return i >= j; }
static bool is_le(int64_t i, int64_t j) { return i <= j; }
static bool is_gt(int64_t i, int64_t j) { return i > j; }
static bool is_lt(int64_t i, int64_t j) { return i < j; }
static bool is_eq(int64_t i, int64_t j) { return i == j; }
static bool is_band(int64_t i, int64_t j) { return i - j <= 1 && j - i <= 1; }

static const char *common_shape(const struct tgi_buffer *b)
{
    static const struct {
        bool (*test)(int64_t, int64_t);
        const char *text;
    } shapes[] = {{is_ge, "i >= j"}, {is_le, "i <= j"}, {is_gt, "i > j"}, {is_lt, "i < j"}, {is_eq, "i == j"},
                  {is_band, "abs(i-j) <= 1"}};
    if (b->n_tile_dims != 2)
        return NULL;
    for (size_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++) {
        if (matches(b, shapes[k].test))
            return shapes[k].text;
    }
    return NULL;
}

static char *runs_text(const struct tgi_buffer *b)
{
    static const char names[] = "ijklmnop";
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    uint32_t last = b->n_tile_dims - 1;
    uint32_t n_row = (uint32_t)b->tiles[last];
    const char *separator = "";
    for (uint32_t t = 0, end; t < b->n_tiles; t = end) {
        uint32_t row_end = (t / n_row + 1) * n_row;
        for (end = t + 1; end < row_end && !b->present[end] == !b->present[t]; end++)
            ;
        if (!b->present[t])
            continue;
        fputs(separator, to);
        separator = " || ";
        uint64_t rest = t / n_row;
        for (uint32_t d = last; d > 0; d--) {
            fprintf(to, "%c == %llu && ", names[d - 1],
                    (unsigned long long)(rest % (uint64_t)b->tiles[d - 1]));
            rest /= (uint64_t)b->tiles[d - 1];
        }
        fprintf(to, "%c >= %u && %c < %u", names[last], t % n_row, names[last], t % n_row + (end - t));
    }
    if (fclose(to) != 0) {
        free(text);
        return NULL;
    }
    if (size == 0)
        strcpy(text, "0");
    return text;
}

static void put_only(struct writer *w, const struct tgi_buffer *b)
{
    if (!b->present || b->n_present == b->n_tiles || b->n_tile_dims == 0)
        return;
    const char *common = common_shape(b);
    if (common) {
        tgi_json_string(&w->json, "only", common);
        return;
    }
    char *text = runs_text(b);
    if (text)
        tgi_json_string(&w->json, "only", text);
    else
        w->rc = tgi_error_memory(w->err, "writing a buffer");
    free(text);
}

static void put_init(struct writer *w, const struct tgi_buffer *b)
{
    if (b->host || (b->init == TG_INIT_CALL && !b->init_text)) {
        w->rc = tgi_error(w->err, TG_E_UNSUPPORTED, "buffer \"%s\": a file cannot hold %s", b->name,
                          b->host ? "memory of the program" : "a C function");
        return;
    }
    switch (b->init) {
    case TG_INIT_NONE:
        tgi_json_string(&w->json, "init", "none");
        return;
    case TG_INIT_ZERO:
        tgi_json_string(&w->json, "init", "zero");
        return;
    case TG_INIT_FILL:
        tgi_json_flat_object(&w->json, "init");
        tgi_json_double(&w->json, "fill", b->init_value);
        break;
    case TG_INIT_IOTA:
        tgi_json_flat_object(&w->json, "init");
        tgi_json_bool(&w->json, "iota", true);
        break;
    case TG_INIT_RANDOM:
    case TG_INIT_SPD:
        tgi_json_flat_object(&w->json, "init");
        tgi_json_flat_object(&w->json, b->init == TG_INIT_SPD ? "spd" : "random");
        tgi_json_uint(&w->json, "seed", b->init_seed);
        tgi_json_end(&w->json);
        break;
    case TG_INIT_CALL:
        tgi_json_raw(&w->json, "init", b->init_text);
        return;
    }
    tgi_json_end(&w->json);
}

static void put_buffer(struct writer *w, const struct tgi_buffer *b)
{
    begin_record(w, "buffer", b->name);
    tgi_json_string(&w->json, "dtype", tg_dtype_name(b->dtype));
    put_integers(w, "shape", b->shape, b->n_dims);
    if (b->n_tile_dims > 0)
        put_integers(w, "tiles", b->tiles, b->n_tile_dims);
    put_only(w, b);
    put_init(w, b);
    if (b->save)
        tgi_json_string(&w->json, "save", b->save);
    if (b->home)
        tgi_json_string(&w->json, "home", b->home);
    if (b->is_pinned)
        tgi_json_bool(&w->json, "pinned", true);
    if (b->is_temp)
        tgi_json_bool(&w->json, "temp", true);
    end_record(w);
}

/* ---- Kernels ------------------------------------------------------------------------------*/

static void put_param(struct writer *w, const struct tgi_param *p)
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
        tgi_json_string(&w->json, "op", op_names[p->op]);
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
static void put_cost(struct writer *w, const struct tgi_op *op, const struct tgi_builtin *b)
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

static void put_expressions(struct writer *w, const char *key, const char *const texts[3])
{
    if (!texts[0])
        return;
    tgi_json_flat_array(&w->json, key);
    for (int i = 0; i < 3 && texts[i]; i++)
        tgi_json_string(&w->json, NULL, texts[i]);
    tgi_json_end(&w->json);
}

/* Source text as a list of lines, which is how people write it. */
static void put_source(struct writer *w, const char *key, const char *text)
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

static void put_variant(struct writer *w, const struct tgi_op *op, const struct tgi_variant *v)
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
    tgi_json_end(&w->json);
}

static void put_kernel(struct writer *w, const struct tgi_op *op)
{
    const struct tgi_builtin *b = plain_builtin(op);
    begin_record(w, "kernel", op->name);
    if (b) {
        tgi_json_string(&w->json, "builtin", b->name);
        put_cost(w, op, b);
        end_record(w);
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
    end_record(w);
}

/* ---- Tasks --------------------------------------------------------------------------------*/

/* The shortest digits that become the same value of the type again. */
static void put_float(struct writer *w, const char *key, double value, enum tg_dtype dtype)
{
    char text[40];
    uint64_t word, again;
    if (!isfinite(value)) {
        w->rc = tgi_error(w->err, TG_E_UNSUPPORTED, "\"%s\": JSON has no number for %g", key, value);
        return;
    }
    if (!tgi_host_encode_float(dtype, value, &word)) {
        tgi_json_double(&w->json, key, value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (tgi_host_encode_float(dtype, strtod(text, NULL), &again) && again == word)
            break;
    }
    tgi_json_raw(&w->json, key, text);
}

static void put_scalar(struct writer *w, const char *key, uint64_t word, enum tg_dtype dtype)
{
    if (dtype >= TG_I8 && dtype <= TG_I64)
        tgi_json_int(&w->json, key, (int64_t)word);
    else if (dtype >= TG_U8 && dtype <= TG_U64)
        tgi_json_uint(&w->json, key, word);
    else if (dtype == TG_C64)
        put_float(w, key, tgi_host_load(&word, 0, TG_F32), TG_F32);
    else if (dtype == TG_C128)
        put_float(w, key, tgi_host_load(&word, 0, TG_F64), TG_F64);
    else
        put_float(w, key, tgi_host_load(&word, 0, dtype), dtype);
}

static void put_reference(struct writer *w, const char *key, uint64_t word)
{
    char text[512];
    tgi_space_format_word(w->space, word, text, sizeof(text));
    tgi_json_string(&w->json, key, text);
}

static const uint64_t *words_of(const struct tg_graph *g, uint32_t task)
{
    return g->args + g->nodes[task].args;
}

static void put_kernel_args(struct writer *w, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const uint64_t *words = words_of(g, task);
    tgi_json_string(&w->json, "kernel", op->name);
    tgi_json_flat_object(&w->json, "args");
    for (uint32_t i = 0; i < tgi_graph_n_words(g, task); i++) {
        const struct tgi_param *p = &op->params[i];
        enum tg_dtype dtype = (enum tg_dtype)(p->dtype == TGI_DTYPE_T ? op->type_t : p->dtype);
        if (p->access == TG_SCALAR)
            put_scalar(w, p->name, words[i], dtype);
        else if (words[i] != TGI_WORD_NULL)
            put_reference(w, p->name, words[i]);
    }
    tgi_json_end(&w->json);
}

static void put_collective(struct writer *w, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    bool reduces = op->collective == TG_ALLREDUCE || op->collective == TG_REDUCE_TO ||
                   op->collective == TG_REDUCESCATTER;
    tgi_json_string(&w->json, "collective", op->name);
    if (reduces)
        tgi_json_string(&w->json, "op", op_names[op->reduce_op]);
    if (op->collective == TG_BROADCAST || op->collective == TG_REDUCE_TO)
        tgi_json_uint(&w->json, "root", op->root);
    tgi_json_flat_array(&w->json, "buffers");
    for (uint32_t i = 0; i < op->n_params; i++)
        put_reference(w, NULL, words_of(g, task)[i]);
    tgi_json_end(&w->json);
}

static void put_verb(struct writer *w, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    const uint64_t *words = words_of(g, task);
    switch (op->kind) {
    case TGI_OP_KERNEL:
        put_kernel_args(w, g, task);
        break;
    case TGI_OP_COPY:
        tgi_json_flat_object(&w->json, "copy");
        put_reference(w, "from", words[1]);
        put_reference(w, "to", words[0]);
        tgi_json_end(&w->json);
        break;
    case TGI_OP_FILL:
        put_reference(w, "fill", words[0]);
        put_scalar(w, "value", words[1], tgi_space_buffer_of(w->space, tgi_word_tile(words[0]))->dtype);
        break;
    case TGI_OP_COLLECTIVE:
        put_collective(w, g, task);
        break;
    case TGI_OP_BARRIER:
        tgi_json_bool(&w->json, "barrier", true);
        break;
    case TGI_OP_REPEAT:
        tgi_json_uint(&w->json, "repeat", op->count);
        break;
    case TGI_OP_WHILE:
        put_reference(w, "while", words[0]);
        tgi_json_uint(&w->json, "max", op->count);
        break;
    case TGI_OP_IF:
        put_reference(w, "if", words[0]);
        break;
    }
}

/* Control edges, sorted by the task that waits. */
static int compare_controls(const void *a, const void *b)
{
    const struct tgi_control *x = a, *y = b;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* A graph that is being written: the outermost one or a body. */
struct frame {
    const struct tg_graph *g;
    struct tgi_control *controls;
    uint64_t n_controls;
    uint8_t *is_named; /* tasks without name that an edge must name */
    uint64_t next_control;
    uint32_t task;
    uint8_t n_bodies_done; /* of the task */
};

static int frame_init(struct frame *f, const struct tg_graph *g, struct tg_error *err)
{
    *f = (struct frame){.g = g};
    if (g->n_controls == 0)
        return 0;
    f->controls = malloc(g->n_controls * sizeof(*f->controls));
    f->is_named = calloc(g->n_tasks, 1);
    if (!f->controls || !f->is_named) {
        free(f->controls);
        free(f->is_named);
        return tgi_error_memory(err, "writing the graph");
    }
    struct tgi_after_walk walk = {0, 0, 0};
    while (tgi_after_next(g, &walk, &f->controls[f->n_controls]))
        f->is_named[f->controls[f->n_controls++].from] = 1;
    qsort(f->controls, f->n_controls, sizeof(*f->controls), compare_controls);
    return 0;
}

static void frame_fini(struct frame *f)
{
    free(f->controls);
    free(f->is_named);
}

/* A task without name gets one if an edge must name it; one that nobody else has. */
static const char *written_name(const struct frame *f, uint32_t task, char *scratch, size_t size)
{
    const char *name = tgi_graph_task_name(f->g, task, scratch);
    if (name != scratch)
        return name;
    if (!f->is_named || !f->is_named[task])
        return NULL;
    while (tg_graph_find_task(f->g, scratch) != TG_NONE && strlen(scratch) + 1 < size)
        strcat(scratch, "_");
    return scratch;
}

/* Names of tasks are patterns in a file: braces that belong to the name are doubled. */
static void put_name(struct writer *w, const char *key, const char *name)
{
    char text[2 * 300];
    size_t n = 0;
    for (const char *p = name; *p && n + 2 < sizeof(text); p++) {
        text[n++] = *p;
        if (*p == '{' || *p == '}')
            text[n++] = *p;
    }
    text[n] = '\0';
    tgi_json_string(&w->json, key, text);
}

static void put_after(struct writer *w, struct frame *f, uint32_t task)
{
    if (f->next_control >= f->n_controls || f->controls[f->next_control].to != task)
        return;
    tgi_json_flat_array(&w->json, "after");
    for (; f->next_control < f->n_controls && f->controls[f->next_control].to == task; f->next_control++) {
        char scratch[300];
        uint32_t from = f->controls[f->next_control].from;
        put_name(w, NULL, written_name(f, from, scratch, sizeof(scratch)));
    }
    tgi_json_end(&w->json);
}

static void put_attributes(struct writer *w, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_attr *attr = tgi_graph_attr(g, task);
    char place[256];
    if (g->priority && g->priority[task])
        tgi_json_int(&w->json, "priority", g->priority[task]);
    if (!attr)
        return;
    if (attr->on) {
        tgi_place_format(attr->on, place, sizeof(place));
        tgi_json_string(&w->json, "on", place);
    }
    if (attr->prefer) {
        tgi_place_format(attr->prefer, place, sizeof(place));
        tgi_json_string(&w->json, "prefer", place);
    }
    if (isfinite(attr->flops) || isfinite(attr->bytes) || isfinite(attr->us)) {
        tgi_json_flat_object(&w->json, "cost");
        if (isfinite(attr->flops))
            tgi_json_double(&w->json, "flops", attr->flops);
        if (isfinite(attr->bytes))
            tgi_json_double(&w->json, "bytes", attr->bytes);
        if (isfinite(attr->us))
            tgi_json_double(&w->json, "us", attr->us);
        tgi_json_end(&w->json);
    }
    if (attr->retries)
        tgi_json_uint(&w->json, "retries", attr->retries);
    if (attr->timeout_ms)
        tgi_json_uint(&w->json, "timeout_ms", attr->timeout_ms);
}

/* A task without its bodies and without its end. */
static void put_task(struct writer *w, struct frame *f, uint32_t task, bool is_outermost)
{
    char scratch[300];
    if (is_outermost)
        begin_record(w, "task", NULL);
    else
        tgi_json_flat_object(&w->json, NULL);
    const char *name = written_name(f, task, scratch, sizeof(scratch));
    if (name)
        put_name(w, "id", name);
    put_verb(w, f->g, task);
    put_after(w, f, task);
    put_attributes(w, f->g, task);
}

/* The body that is to be written next for the task on top; NULL: none is left. */
static const struct tg_graph *next_body(struct frame *f, const char **key_p)
{
    const struct tgi_op *op = tgi_graph_op(f->g, f->task);
    while (f->n_bodies_done < 2) {
        int i = f->n_bodies_done++;
        const struct tg_graph *body = i == 0 ? op->body : op->body_else;
        *key_p = op->kind != TGI_OP_IF ? "do" : i == 0 ? "then" : "else";
        if (body)
            return body;
    }
    return NULL;
}

static void put_tasks(struct writer *w)
{
    struct frame *frames = calloc(MAX_NESTING, sizeof(*frames));
    uint32_t depth = 0;
    bool is_begun = false; /* the task on top has been written, its bodies are under way */
    w->rc = frames ? frame_init(&frames[0], w->g, w->err) : tgi_error_memory(w->err, "writing the graph");
    if (w->rc) {
        free(frames);
        return;
    }
    depth = 1;
    while (w->rc == 0 && depth > 0) {
        struct frame *f = &frames[depth - 1];
        if (f->task == f->g->n_tasks) {
            frame_fini(f);
            depth--;
            if (depth > 0)
                tgi_json_end(&w->json); /* the list of the body's tasks */
            is_begun = true;
            continue;
        }
        if (!is_begun)
            put_task(w, f, f->task, depth == 1);
        const char *key;
        const struct tg_graph *body = next_body(f, &key);
        if (body && depth == MAX_NESTING) {
            w->rc = tgi_error(w->err, TG_E_LIMIT, "bodies of control tasks are nested more than %d deep",
                              MAX_NESTING);
        } else if (body) {
            tgi_json_flat_array(&w->json, key);
            w->rc = frame_init(&frames[depth], body, w->err);
            depth += w->rc == 0;
            is_begun = false;
        } else {
            if (depth == 1)
                end_record(w);
            else
                tgi_json_end(&w->json);
            f->task++;
            f->n_bodies_done = 0;
            is_begun = false;
            /* Nobody reads on. */
            if (ferror(w->json.to))
                break;
        }
    }
    while (depth > 0)
        frame_fini(&frames[--depth]);
    free(frames);
}

/* ---- Checks -------------------------------------------------------------------------------*/

static void put_check_values(struct writer *w, const struct tgi_check *c, const char *key)
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

static void put_check(struct writer *w, const struct tgi_check *c)
{
    char reference[512];
    const struct tgi_buffer *b = &w->space->buffers[c->buffer];
    begin_record(w, "check", NULL);
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
    end_record(w);
}

/* ---- The file -----------------------------------------------------------------------------*/

static void put_header(struct writer *w)
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
static void begin_list(struct writer *w, const char *key, bool is_object)
{
    if (w->form == TGI_JSON_LINES)
        return;
    if (is_object)
        tgi_json_object(&w->json, key);
    else
        tgi_json_array(&w->json, key);
}

static void end_list(struct writer *w)
{
    if (w->form != TGI_JSON_LINES)
        tgi_json_end(&w->json);
}

static void put_file(struct writer *w)
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
        put_buffer(w, &space->buffers[i]);
    end_list(w);
    begin_list(w, "kernels", true);
    for (uint32_t i = 0; i < space->n_ops && w->rc == 0; i++) {
        if (is_written_kernel(&space->ops[i]))
            put_kernel(w, &space->ops[i]);
    }
    end_list(w);
    begin_list(w, "tasks", false);
    if (w->rc == 0)
        put_tasks(w);
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
    struct writer w = {g,    g->space,
                       form, tgi_json_begin(to, form == TGI_JSON_LINES ? TGI_JSON_LINE : TGI_JSON_PRETTY),
                       err,  0};
    put_file(&w);
    if (w.rc == 0 && ferror(to))
        w.rc = tgi_error(err, TG_E_WRITE, "cannot write the graph");
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
