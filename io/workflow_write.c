/* From a workflow to a graph that runs.
 *
 * The meaning of a graph is program order, so tasks are written in a topological order: the one
 * closest to the order of the input.
 *
 * Without --spin every task becomes one `hash` of the results it depends on, a word each, so that a
 * run proves the order of everything.  With it every file becomes a buffer of its (scaled) size and
 * every task a `spin` that reads, burns time and writes.  Kernels take few tiles: a task with more
 * inputs is preceded by tasks that gather them, one with more outputs followed by tasks that write the
 * rest. */
#include "io/workflow.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/fmt.h"
#include "io/text.h"

#define HASH_INPUTS 8
#define SPIN_TILES  7
#define MAX_NAME    180 /* leaves room for suffixes within the format's 256 */

struct writer {
    const struct tgi_workflow *w;
    const struct tgi_workflow_options *options;
    struct tgi_text out;
    struct tg_error *err;
    uint32_t *order;             /* tasks in topological order */
    uint32_t *rank;              /* position of a task in it */
    uint32_t *use_at, *use_of;   /* CSR of uses by task */
    uint32_t *edge_at, *edge_of; /* CSR of edges by child */
    uint32_t *writer_of;         /* of a file, while tasks are written: the last one so far */
    uint32_t *seen;              /* by task: the last task that took it as a parent, plus 1 */
    uint32_t *input_of;          /* of a file that nothing writes: its tile in "input" */
    uint32_t n_inputs;
    uint32_t n_gathers, n_gathered; /* gather tiles needed and used so far */
    const char **task_names, **buffer_names, **kernel_names;
    uint32_t *kernel_of;   /* by task: the first task of its category */
    uint32_t *n_scattered; /* by task: extra tasks that write its outputs */
    uint64_t n_written;    /* tasks */
    uint32_t *list;        /* scratch: inputs of the task being written */
};

static int no_memory(const struct writer *s) { return tgi_error_memory(s->err, "writing a workflow"); }

static void *room(size_t n, size_t size) { return calloc(n ? n : 1, size); }

static uint32_t use_task(const void *user, uint32_t i)
{
    const struct writer *s = user;
    return s->w->uses[i].task;
}

static uint32_t edge_child(const void *user, uint32_t i)
{
    const struct writer *s = user;
    return s->w->edges[i].child;
}

/* ---- Names --------------------------------------------------------------------------------*/

/* The format has its own ideas of names: braces start expressions, brackets references. */
static const char *safe_name(struct tgi_workflow *names, const char *name, const char *also_allowed,
                             const char *fallback)
{
    char text[MAX_NAME + 24];
    size_t n = 0;
    for (const char *p = name; *p && n < MAX_NAME; p++) {
        bool is_allowed = isalnum((unsigned char)*p) || *p == '_' || strchr(also_allowed, *p);
        text[n++] = (unsigned char)*p < 0x80 && is_allowed ? *p : '_';
    }
    if (n == 0 || (isdigit((unsigned char)text[0]) && !*also_allowed)) {
        size_t size = strlen(fallback);
        if (n + size > MAX_NAME)
            n = MAX_NAME - size;
        memmove(text + size, text, n);
        memcpy(text, fallback, size);
        n += size;
    }
    text[n] = '\0';
    uint32_t ignored;
    for (uint32_t k = 2; tgi_workflow_find_task(names, text) != TG_NONE; k++)
        snprintf(text + n, sizeof(text) - n, "_%u", k);
    if (tgi_workflow_add_task(names, text, 0, &ignored, NULL) != TG_OK)
        return NULL;
    return names->tasks[ignored].name;
}

/* A workflow of no edges serves as a set of names that keeps its strings. */
static int name_all(struct writer *s, struct tgi_workflow *tasks, struct tgi_workflow *others)
{
    const struct tgi_workflow *w = s->w;
    struct tgi_workflow first_of = {0};
    int status = TG_OK;
    for (uint32_t t = 0; t < w->n_tasks && status == TG_OK; t++) {
        s->task_names[t] = safe_name(tasks, w->tasks[t].name, "_.:#/+-", "t");
        /* Tasks of one category share the kernel of its first task. */
        const char *category = w->tasks[t].category ? w->tasks[t].category : "task";
        uint32_t first = tgi_workflow_find_task(&first_of, category);
        if (first == TG_NONE) {
            uint32_t ignored;
            first = t;
            status = tgi_workflow_add_task(&first_of, category, 0, &ignored, s->err);
            if (status == TG_OK) {
                first_of.tasks[ignored].line = t;
                s->kernel_names[t] = safe_name(others, category, "", "k");
                status = s->kernel_names[t] ? TG_OK : no_memory(s);
            }
        } else {
            first = first_of.tasks[first].line;
        }
        s->kernel_of[t] = first;
        if (!s->task_names[t])
            status = no_memory(s);
    }
    for (uint32_t f = 0; f < w->n_files && status == TG_OK && s->options->is_spin; f++) {
        s->buffer_names[f] = safe_name(others, w->files[f].name, "", "f");
        if (!s->buffer_names[f])
            status = no_memory(s);
    }
    tgi_workflow_fini(&first_of);
    return status;
}

/* ---- Buffers and kernels ------------------------------------------------------------------*/

static uint64_t scaled_bytes(const struct writer *s, double bytes)
{
    double scaled = bytes * s->options->scale;
    return scaled >= 1 ? scaled < 9e15 ? (uint64_t)scaled : (uint64_t)9e15 : 0;
}

static const char *line_open(const struct writer *s, const char *kind)
{
    static const char *const opens[] = {"{\"buffer\":{\"name\":", "{\"kernel\":{\"name\":"};
    return s->options->is_lines ? opens[kind[0] == 'k'] : "";
}
/* `"name":{` in a document, `{"buffer":{"name":"name",` as a line. */
static void open_named(struct writer *s, const char *kind, const char *name, bool is_first)
{
    bool is_lines = s->options->is_lines;
    if (!is_first && !is_lines)
        tgi_text_str(&s->out, ",");
    tgi_text_str(&s->out, line_open(s, kind));
    tgi_text_quoted(&s->out, name);
    tgi_text_str(&s->out, is_lines ? "," : ":{");
}
static void close_named(struct writer *s) { tgi_text_str(&s->out, s->options->is_lines ? "}}\n" : "}"); }

static void add_words(struct writer *s, const char *name, uint32_t n, const char *more, bool *is_first)
{
    if (n == 0)
        return;
    open_named(s, "buffer", name, *is_first);
    *is_first = false;
    tgi_text_printf(&s->out, "\"dtype\":\"%s\",\"shape\":[1],\"tiles\":[%u]%s",
                    s->options->is_spin ? "u8" : "u64", n, more);
    close_named(s);
}

static void add_buffers(struct writer *s)
{
    bool is_first = true;
    if (!s->options->is_spin) {
        add_words(s, "result", s->w->n_tasks, "", &is_first);
        add_words(s, "input", s->n_inputs, ",\"init\":{\"random\":{\"seed\":1}}", &is_first);
    }
    add_words(s, "gather", s->n_gathers, ",\"temp\":true", &is_first);
    for (uint32_t f = 0; f < s->w->n_files && s->options->is_spin; f++) {
        uint64_t bytes = scaled_bytes(s, s->w->files[f].bytes);
        open_named(s, "buffer", s->buffer_names[f], is_first);
        is_first = false;
        tgi_text_printf(&s->out, "\"dtype\":\"u8\",\"shape\":[%llu]",
                        (unsigned long long)(bytes ? bytes : 1));
        if (s->input_of[f] != TG_NONE)
            tgi_text_printf(&s->out, ",\"init\":{\"random\":{\"seed\":%u}}", s->input_of[f] + 1);
        close_named(s);
    }
}

static void add_kernels(struct writer *s)
{
    const char *what =
        s->options->is_spin ? "\"builtin\":\"spin\",\"cost\":{\"us\":\"us\"}" : "\"builtin\":\"hash\"";
    bool is_first = true;
    for (uint32_t t = 0; t < s->w->n_tasks; t++) {
        if (!s->kernel_names[t])
            continue;
        open_named(s, "kernel", s->kernel_names[t], is_first);
        is_first = false;
        tgi_text_str(&s->out, what);
        close_named(s);
    }
    if (s->n_gathers > 0) {
        open_named(s, "kernel", "gather", is_first);
        tgi_text_str(&s->out, what);
        close_named(s);
    }
}

/* ---- Tasks --------------------------------------------------------------------------------*/

/* One thing a task reads: a file, the result of another task, or a gather tile. */
enum source_kind { SOURCE_FILE, SOURCE_RESULT, SOURCE_INPUT, SOURCE_GATHER };
static uint32_t source(enum source_kind kind, uint32_t index) { return (uint32_t)kind << 30 | index; }
static uint32_t source_index(uint32_t source) { return source & 0x3fffffffu; }

static void add_source(struct writer *s, uint32_t source)
{
    static const char *const buffers[] = {"", "result", "input", "gather"};
    if (source >> 30 == SOURCE_FILE)
        tgi_text_quoted(&s->out, s->buffer_names[source_index(source)]);
    else
        tgi_text_printf(&s->out, "\"%s[%u]\"", buffers[source >> 30], source_index(source));
}

static void open_task(struct writer *s, uint32_t t, const char *suffix, uint32_t number, const char *kernel)
{
    tgi_text_str(&s->out, s->options->is_lines ? "{\"task\":{" : s->n_written ? ",{" : "{");
    s->n_written++;
    tgi_text_printf(&s->out, "\"id\":\"%s", s->task_names[t]);
    if (suffix)
        tgi_text_printf(&s->out, "%s%u", suffix, number);
    tgi_text_printf(&s->out, "\",\"kernel\":\"%s\",\"args\":{", kernel);
}
static void close_task(struct writer *s) { tgi_text_str(&s->out, s->options->is_lines ? "}}\n" : "}"); }

/* `"in0":..` and, for spin, how many bytes of it: recorded by the use, or the one byte of a gather tile. */
static void add_inputs(struct writer *s, const uint32_t *sources, const double *bytes, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        tgi_text_printf(&s->out, ",\"in%u\":", k);
        add_source(s, sources[k]);
    }
    for (uint32_t k = 0; k < n && s->options->is_spin; k++) {
        uint64_t moved = sources[k] >> 30 == SOURCE_FILE ? scaled_bytes(s, bytes[k]) : 1;
        if (moved > 0)
            tgi_text_printf(&s->out, ",\"in_bytes%u\":%llu", k, (unsigned long long)moved);
    }
}

static void add_duration(struct writer *s, double seconds)
{
    double us = seconds * s->options->scale * 1e6;
    tgi_text_str(&s->out, "\"us\":");
    tgi_text_double(&s->out, us > 0 ? round(us * 1000) / 1000 : 0);
}

/* Numbers of hash tasks: tasks have their rank, gathers what follows. */
static void add_gather(struct writer *s, uint32_t t, uint32_t number, const uint32_t *sources,
                       const double *bytes, uint32_t n)
{
    open_task(s, t, "@in", number, "gather");
    if (s->options->is_spin)
        tgi_text_printf(&s->out, "\"us\":0,\"out0\":\"gather[%u]\",\"out_bytes0\":1", s->n_gathered);
    else
        tgi_text_printf(&s->out, "\"n\":1,\"id\":%u,\"out\":\"gather[%u]\"", s->w->n_tasks + s->n_gathered,
                        s->n_gathered);
    add_inputs(s, sources, bytes, n);
    tgi_text_str(&s->out, "}");
    close_task(s);
}

static uint32_t limit(const struct writer *s) { return s->options->is_spin ? SPIN_TILES : HASH_INPUTS; }

/* Tiles that n inputs need until no more than the limit are left. */
static uint32_t gathers_for(const struct writer *s, uint32_t n)
{
    uint32_t total = 0;
    while (n > limit(s)) {
        n = (n + limit(s) - 1) / limit(s);
        total += n;
    }
    return total;
}

/* Replaces inputs by gathers of them until few enough are left; returns how many. */
static uint32_t gather(struct writer *s, uint32_t t, uint32_t *sources, double *bytes, uint32_t n)
{
    uint32_t number = 0;
    while (n > limit(s)) {
        uint32_t n_next = 0;
        for (uint32_t i = 0; i < n; i += limit(s)) {
            uint32_t size = n - i < limit(s) ? n - i : limit(s);
            add_gather(s, t, number++, sources + i, bytes + i, size);
            sources[n_next++] = source(SOURCE_GATHER, s->n_gathered++);
        }
        n = n_next;
    }
    return n;
}

/* What a task reads, each thing once; *n_out_p is how many files it writes.  A file it also writes
 * is left out: it is ordered by being written. */
static uint32_t collect(struct writer *s, uint32_t t, uint32_t *sources, double *bytes, uint32_t *n_out_p)
{
    const struct tgi_workflow *w = s->w;
    uint32_t n = 0;
    *n_out_p = 0;
    for (uint32_t i = s->use_at[t]; i < s->use_at[t + 1]; i++) {
        const struct tgi_workflow_use *use = &w->uses[s->use_of[i]];
        if (use->is_output) {
            s->list[use->file] = t + 1;
            ++*n_out_p;
        }
    }
    for (uint32_t i = s->use_at[t]; i < s->use_at[t + 1]; i++) {
        const struct tgi_workflow_use *use = &w->uses[s->use_of[i]];
        if (use->is_output || s->list[use->file] == t + 1)
            continue;
        s->list[use->file] = t + 1;
        uint32_t from = s->writer_of[use->file];
        if (s->options->is_spin) {
            bytes[n] = use->bytes;
            sources[n++] = source(SOURCE_FILE, use->file);
            if (from != TG_NONE)
                s->seen[from] = t + 1;
        } else if (from == TG_NONE) {
            if (s->input_of[use->file] != TG_NONE)
                sources[n++] = source(SOURCE_INPUT, s->input_of[use->file]);
        } else if (s->seen[from] != t + 1) {
            s->seen[from] = t + 1;
            sources[n++] = source(SOURCE_RESULT, s->rank[from]);
        }
    }
    if (!s->options->is_spin && w->edges_carry_data) {
        for (uint32_t i = s->edge_at[t]; i < s->edge_at[t + 1]; i++) {
            uint32_t parent = w->edges[s->edge_of[i]].parent;
            if (s->seen[parent] == t + 1)
                continue;
            s->seen[parent] = t + 1;
            sources[n++] = source(SOURCE_RESULT, s->rank[parent]);
        }
    }
    return n;
}

/* Edges that no data stands for. */
static void add_after(struct writer *s, uint32_t t)
{
    bool is_first = true;
    for (uint32_t i = s->edge_at[t]; i < s->edge_at[t + 1]; i++) {
        uint32_t parent = s->w->edges[s->edge_of[i]].parent;
        if (s->seen[parent] == t + 1)
            continue;
        s->seen[parent] = t + 1;
        tgi_text_printf(&s->out, is_first ? ",\"after\":[\"%s\"" : ",\"%s\"", s->task_names[parent]);
        for (uint32_t k = 0; k < s->n_scattered[parent]; k++)
            tgi_text_printf(&s->out, ",\"%s@out%u\"", s->task_names[parent], k);
        is_first = false;
    }
    if (!is_first)
        tgi_text_str(&s->out, "]");
}

/* Outputs of t, number `from` on, at most as many as a kernel takes.  Returns where to go on. */
static uint32_t add_outputs(struct writer *s, uint32_t t, uint32_t from, uint32_t first_slot)
{
    const struct tgi_workflow *w = s->w;
    uint32_t slot = first_slot, i = from, begin = s->use_at[t], n = s->use_at[t + 1] - begin;
    uint64_t bytes[SPIN_TILES];
    for (; i < n && slot < SPIN_TILES; i++) {
        const struct tgi_workflow_use *use = &w->uses[s->use_of[begin + i]];
        /* A file named twice is written once. */
        if (!use->is_output || s->writer_of[use->file] == t)
            continue;
        s->writer_of[use->file] = t;
        tgi_text_printf(&s->out, ",\"out%u\":\"%s\"", slot, s->buffer_names[use->file]);
        /* All of it, and at least a byte, so that nobody ever reads what nobody wrote. */
        uint64_t size = scaled_bytes(s, s->w->files[use->file].bytes);
        bytes[slot++] = size ? size : 1;
    }
    for (uint32_t k = first_slot; k < slot; k++)
        tgi_text_printf(&s->out, ",\"out_bytes%u\":%llu", k, (unsigned long long)bytes[k]);
    return i;
}

static bool has_outputs(const struct writer *s, uint32_t t, uint32_t from)
{
    for (uint32_t i = s->use_at[t] + from; i < s->use_at[t + 1]; i++) {
        const struct tgi_workflow_use *use = &s->w->uses[s->use_of[i]];
        if (use->is_output && s->writer_of[use->file] != t)
            return true;
    }
    return false;
}

static void add_spin_task(struct writer *s, uint32_t t, const uint32_t *sources, const double *bytes,
                          uint32_t n, uint32_t n_out)
{
    const char *kernel = s->kernel_names[s->kernel_of[t]];
    /* More outputs than fit: the last slot is a tile that lets the tasks that write the rest follow. */
    bool is_scattered = n_out > SPIN_TILES;
    uint32_t token = s->n_gathered;
    s->n_gathered += is_scattered;
    open_task(s, t, NULL, 0, kernel);
    add_duration(s, s->w->tasks[t].seconds);
    add_inputs(s, sources, bytes, n);
    if (is_scattered)
        tgi_text_printf(&s->out, ",\"out0\":\"gather[%u]\",\"out_bytes0\":1", token);
    uint32_t at = add_outputs(s, t, 0, is_scattered);
    tgi_text_str(&s->out, "}");
    add_after(s, t);
    close_task(s);
    while (is_scattered && has_outputs(s, t, at)) {
        open_task(s, t, "@out", s->n_scattered[t]++, kernel);
        tgi_text_printf(&s->out, "\"us\":0,\"in0\":\"gather[%u]\",\"in_bytes0\":1", token);
        at = add_outputs(s, t, at, 0);
        tgi_text_str(&s->out, "}");
        close_task(s);
    }
}

static void add_hash_task(struct writer *s, uint32_t t, const uint32_t *sources, const double *bytes,
                          uint32_t n)
{
    open_task(s, t, NULL, 0, s->kernel_names[s->kernel_of[t]]);
    tgi_text_printf(&s->out, "\"n\":1,\"id\":%u,\"out\":\"result[%u]\"", s->rank[t], s->rank[t]);
    add_inputs(s, sources, bytes, n);
    tgi_text_str(&s->out, "}");
    add_after(s, t);
    close_task(s);
    for (uint32_t i = s->use_at[t]; i < s->use_at[t + 1]; i++)
        if (s->w->uses[s->use_of[i]].is_output)
            s->writer_of[s->w->uses[s->use_of[i]].file] = t;
}

static uint32_t most_inputs(const struct writer *s)
{
    uint32_t most = 1;
    for (uint32_t t = 0; t < s->w->n_tasks; t++) {
        uint32_t n = s->use_at[t + 1] - s->use_at[t] + s->edge_at[t + 1] - s->edge_at[t];
        most = n > most ? n : most;
    }
    return most;
}

/* Goes through the tasks twice: once to count gather tiles, which buffers must announce, once to
 * write.  `seen`, `list` and `writer_of` start over each time. */
static int go_through(struct writer *s, bool is_counting)
{
    const struct tgi_workflow *w = s->w;
    uint32_t most = most_inputs(s);
    uint32_t *sources = room(most, sizeof(*sources));
    double *bytes = room(most, sizeof(*bytes));
    int status = sources && bytes ? TG_OK : no_memory(s);
    memset(s->seen, 0, w->n_tasks * sizeof(*s->seen));
    memset(s->list, 0, w->n_files * sizeof(*s->list));
    memset(s->writer_of, 0xff, w->n_files * sizeof(*s->writer_of));
    for (uint32_t i = 0; i < w->n_tasks && status == TG_OK; i++) {
        uint32_t t = s->order[i], n_out;
        uint32_t n = collect(s, t, sources, bytes, &n_out);
        if (is_counting) {
            s->n_gathers += gathers_for(s, n) + (s->options->is_spin && n_out > SPIN_TILES);
            for (uint32_t k = s->use_at[t]; k < s->use_at[t + 1]; k++)
                if (w->uses[s->use_of[k]].is_output)
                    s->writer_of[w->uses[s->use_of[k]].file] = t;
            continue;
        }
        n = gather(s, t, sources, bytes, n);
        if (s->options->is_spin)
            add_spin_task(s, t, sources, bytes, n, n_out);
        else
            add_hash_task(s, t, sources, bytes, n);
        if (s->out.is_out_of_memory)
            status = no_memory(s);
    }
    free(sources);
    free(bytes);
    return status;
}

/* Numbers the files that somebody reads before anybody has written them. */
static void number_inputs(struct writer *s)
{
    const struct tgi_workflow *w = s->w;
    memset(s->input_of, 0xff, w->n_files * sizeof(*s->input_of));
    memset(s->writer_of, 0xff, w->n_files * sizeof(*s->writer_of));
    for (uint32_t i = 0; i < w->n_tasks; i++) {
        uint32_t t = s->order[i];
        for (uint32_t k = s->use_at[t]; k < s->use_at[t + 1]; k++) {
            const struct tgi_workflow_use *use = &w->uses[s->use_of[k]];
            if (!use->is_output && s->writer_of[use->file] == TG_NONE && s->input_of[use->file] == TG_NONE)
                s->input_of[use->file] = s->n_inputs++;
        }
        for (uint32_t k = s->use_at[t]; k < s->use_at[t + 1]; k++)
            if (w->uses[s->use_of[k]].is_output)
                s->writer_of[w->uses[s->use_of[k]].file] = t;
    }
}

/* ---- The whole ----------------------------------------------------------------------------*/

static int prepare(struct writer *s)
{
    const struct tgi_workflow *w = s->w;
    size_t n_tasks = w->n_tasks, n_files = w->n_files;
    s->order = room(n_tasks, sizeof(*s->order));
    s->rank = room(n_tasks, sizeof(*s->rank));
    s->seen = room(n_tasks, sizeof(*s->seen));
    s->kernel_of = room(n_tasks, sizeof(*s->kernel_of));
    s->n_scattered = room(n_tasks, sizeof(*s->n_scattered));
    s->task_names = room(n_tasks, sizeof(*s->task_names));
    s->kernel_names = room(n_tasks, sizeof(*s->kernel_names));
    s->buffer_names = room(n_files, sizeof(*s->buffer_names));
    s->writer_of = room(n_files, sizeof(*s->writer_of));
    s->input_of = room(n_files, sizeof(*s->input_of));
    s->list = room(n_files, sizeof(*s->list));
    s->use_at = room(n_tasks + 1, sizeof(*s->use_at));
    s->edge_at = room(n_tasks + 1, sizeof(*s->edge_at));
    s->use_of = room(w->n_uses, sizeof(*s->use_of));
    s->edge_of = room(w->n_edges, sizeof(*s->edge_of));
    if (!s->order || !s->rank || !s->seen || !s->kernel_of || !s->n_scattered || !s->task_names ||
        !s->kernel_names || !s->buffer_names || !s->writer_of || !s->input_of || !s->list || !s->use_at ||
        !s->edge_at || !s->use_of || !s->edge_of)
        return no_memory(s);
    tgi_workflow_index(s->use_at, s->use_of, w->n_tasks, w->n_uses, use_task, s);
    tgi_workflow_index(s->edge_at, s->edge_of, w->n_tasks, w->n_edges, edge_child, s);
    return tgi_workflow_sort(w, s->order, s->rank, s->err);
}

static void release(struct writer *s)
{
    free(s->order);
    free(s->rank);
    free(s->seen);
    free(s->kernel_of);
    free(s->n_scattered);
    free(s->task_names);
    free(s->kernel_names);
    free(s->buffer_names);
    free(s->writer_of);
    free(s->input_of);
    free(s->list);
    free(s->use_at);
    free(s->edge_at);
    free(s->use_of);
    free(s->edge_of);
    tgi_text_fini(&s->out);
}

static int write_graph(struct writer *s)
{
    bool is_lines = s->options->is_lines;
    tgi_text_str(&s->out, "{\"tgraph\":\"1.0\"");
    if (is_lines)
        tgi_text_str(&s->out, ",\"stream\":true");
    if (s->w->name) {
        tgi_text_str(&s->out, ",\"name\":");
        tgi_text_quoted(&s->out, s->w->name);
    }
    tgi_text_str(&s->out, is_lines ? "}\n" : ",\"buffers\":{");
    add_buffers(s);
    tgi_text_str(&s->out, is_lines ? "" : "},\"kernels\":{");
    add_kernels(s);
    tgi_text_str(&s->out, is_lines ? "" : "},\"tasks\":[");
    int status = go_through(s, false);
    if (is_lines)
        tgi_text_printf(&s->out, "{\"end\":{\"tasks\":%llu}}\n", (unsigned long long)s->n_written);
    else
        tgi_text_str(&s->out, "]}");
    return status == TG_OK ? tgi_text_finish(&s->out, s->err) : status;
}

int tgi_workflow_write(const struct tgi_workflow *w, const struct tgi_workflow_options *options, FILE *to,
                       struct tg_error *err)
{
    if (w->is_out_of_memory)
        return tgi_error_memory(err, "importing a workflow");
    if (w->n_tasks == 0)
        return tgi_workflow_error(w, 0, err, "there are no tasks in it");
    if (w->n_tasks >= 1u << 29 || w->n_files >= 1u << 29)
        return tgi_error(err, TG_E_LIMIT, "%s has too many tasks or files", w->path);
    struct writer s = {.w = w, .options = options, .err = err, .out = {.to = options->is_lines ? to : NULL}};
    struct tgi_workflow tasks = {0}, others = {0};
    int status = prepare(&s);
    if (status == TG_OK) {
        /* These are taken. */
        static const char *const taken[] = {"result", "input", "gather"};
        uint32_t ignored;
        for (uint32_t i = 0; i < 3 && status == TG_OK; i++)
            status = tgi_workflow_add_task(&others, taken[i], 0, &ignored, err);
    }
    if (status == TG_OK)
        status = name_all(&s, &tasks, &others);
    if (status == TG_OK) {
        number_inputs(&s);
        status = go_through(&s, true);
    }
    if (status == TG_OK)
        status = write_graph(&s);
    if (status == TG_OK && !options->is_lines)
        status = tgi_fmt_write(to, TGI_FMT_DOCUMENT, s.out.data, s.out.size, w->path, err);
    release(&s);
    tgi_workflow_fini(&tasks);
    tgi_workflow_fini(&others);
    return status;
}
