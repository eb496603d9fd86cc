/* Bodies of control tasks are walked with a stack of our own, as deep as the reader accepts. */
#include "io/graph_writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "mem/hostops.h"

#define MAX_NESTING 24 /* two levels of JSON each, of the 64 that the reader takes */

/* The shortest digits that become the same value of the type again. */
static void put_float(struct tgi_graph_writer *w, const char *key, double value, enum tg_dtype dtype)
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

static void put_scalar(struct tgi_graph_writer *w, const char *key, uint64_t word, enum tg_dtype dtype)
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

static void put_reference(struct tgi_graph_writer *w, const char *key, uint64_t word)
{
    char text[512];
    tgi_space_format_word(w->space, word, text, sizeof(text));
    tgi_json_string(&w->json, key, text);
}

static const uint64_t *words_of(const struct tg_graph *g, uint32_t task)
{
    return g->args + g->nodes[task].args;
}

static void put_kernel_args(struct tgi_graph_writer *w, const struct tg_graph *g, uint32_t task)
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

static void put_collective(struct tgi_graph_writer *w, const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    bool reduces = op->collective == TG_ALLREDUCE || op->collective == TG_REDUCE_TO ||
                   op->collective == TG_REDUCESCATTER;
    tgi_json_string(&w->json, "collective", op->name);
    if (reduces)
        tgi_json_string(&w->json, "op", tgi_write_op_names[op->reduce_op]);
    if (op->collective == TG_BROADCAST || op->collective == TG_REDUCE_TO)
        tgi_json_uint(&w->json, "root", op->root);
    tgi_json_flat_array(&w->json, "buffers");
    for (uint32_t i = 0; i < op->n_params; i++)
        put_reference(w, NULL, words_of(g, task)[i]);
    tgi_json_end(&w->json);
}

static void put_verb(struct tgi_graph_writer *w, const struct tg_graph *g, uint32_t task)
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
static void put_name(struct tgi_graph_writer *w, const char *key, const char *name)
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

static void put_after(struct tgi_graph_writer *w, struct frame *f, uint32_t task)
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

static void put_attributes(struct tgi_graph_writer *w, const struct tg_graph *g, uint32_t task)
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
static void put_task(struct tgi_graph_writer *w, struct frame *f, uint32_t task, bool is_outermost)
{
    char scratch[300];
    if (is_outermost)
        tgi_write_begin(w, "task", NULL);
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

void tgi_write_tasks(struct tgi_graph_writer *w)
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
                tgi_write_end(w);
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
