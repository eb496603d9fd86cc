/* tg_graph_load(): a file becomes a graph or a list of messages. */
#include "io/json_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/error.h"

#define DEFAULT_MAX_BYTES (64u << 20)
#define DEFAULT_MAX_TASKS 50000000u

enum { D_BUFFERS = TGI_N_HEAD, D_KERNELS, D_GRAPHS, D_TASKS, D_CHECKS, D_STREAM, N_D };

static int read_sections(struct tgi_reader *r, const uint32_t *v)
{
    static int (*const readers[])(struct tgi_reader *, uint32_t) = {
        tgi_read_buffers, tgi_read_kernels, tgi_read_graphs, tgi_read_tasks, tgi_read_checks};
    int result = 0, rc;
    for (uint32_t k = 0; k < 5 && !tgi_reader_is_done(r); k++) {
        if (v[D_BUFFERS + k] != TGI_TAPE_ABSENT && (rc = readers[k](r, v[D_BUFFERS + k])) != 0)
            result = rc;
        if (k == D_TASKS - D_BUFFERS && !tgi_reader_is_done(r) &&
            (rc = tgi_resolve_pending(r, r->graph, 0)) != 0)
            result = rc;
    }
    return result;
}

static int read_document(struct tgi_reader *r, char *text, size_t size, uint32_t max_nodes)
{
    static const char *const keys[] = {"tgraph",  "name",    "params", "deps",  "requires", "meta",
                                       "buffers", "kernels", "graphs", "tasks", "checks",   "stream"};
    struct tgi_tape_error err;
    uint32_t v[N_D];
    int result, rc;
    if (tgi_tape_parse(&r->tape, text, (uint32_t)size, max_nodes, &err) != 0) {
        r->is_done = true;
        return tgi_report_at(r, err.offset, err.length, err.status, err.text);
    }
    if ((result = tgi_object_take(r, 0, "the graph", keys, N_D, v)) != 0 &&
        tgi_node_type(r, 0) != TGI_TAPE_OBJECT)
        return result;
    if (v[D_STREAM] != TGI_TAPE_ABSENT && tgi_node_type(r, v[D_STREAM]) != TGI_TAPE_FALSE) {
        struct tgi_remark remark = {.is_key = true, .help = "the name of a JSON Lines file ends in .jsonl"};
        return tgi_report(r, v[D_STREAM], &remark, TG_E_BAD_VALUE, "\"stream\" belongs to JSON Lines");
    }
    if (!tgi_reader_is_done(r) && (rc = tgi_read_head(r, 0, v)) != 0)
        result = rc;
    if (!tgi_reader_is_done(r) && (rc = read_sections(r, v)) != 0)
        result = rc;
    if (!tgi_reader_is_done(r) && v[D_TASKS] == TGI_TAPE_ABSENT)
        result = tgi_report(r, 0, NULL, TG_E_MISSING_KEY, "the graph needs \"tasks\"");
    return result;
}

/* ---- Reading the bytes --------------------------------------------------------------------*/

struct input {
    int fd;
    char *text;
    size_t used, size;
};

static int fail_system(struct tgi_reader *r, int status, const char *what, int number)
{
    r->is_done = true;
    return tgi_report_position(r, 0, 0, 0, NULL, status, "cannot %s: %s", what, strerror(number));
}

static int open_input(struct tgi_reader *r, const char *path, struct input *in)
{
    struct stat st;
    in->fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (in->fd < 0)
        return fail_system(r, TG_E_OPEN, "open", errno);
    if (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode))
        return fail_system(r, TG_E_READ, "read", EISDIR);
    return 0;
}

/* Reads on until the text holds `until`, or the file ends, or there are more than `most` bytes. */
static int read_input(struct tgi_reader *r, struct input *in, char until, size_t most, bool *is_at_end_p)
{
    *is_at_end_p = false;
    for (;;) {
        if (in->used + 1 >= in->size) {
            size_t size = in->size > 0 ? 2 * in->size : 1u << 16;
            char *text = realloc(in->text, size);
            if (text == NULL)
                return tgi_report_memory(r);
            in->text = text;
            in->size = size;
        }
        ssize_t n = read(in->fd, in->text + in->used, in->size - in->used - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_system(r, TG_E_READ, "read", errno);
        bool is_found = until != '\0' && n > 0 && memchr(in->text + in->used, until, (size_t)n) != NULL;
        in->used += (size_t)n;
        in->text[in->used] = '\0';
        if (in->used > most) {
            r->is_done = true;
            return tgi_report_position(r, 0, 0, 0, "a JSON Lines file (.jsonl) may have any size", TG_E_LIMIT,
                                       "the file has more than %zu bytes", most);
        }
        *is_at_end_p = n == 0;
        if (n == 0 || is_found)
            return 0;
    }
}

/* Whatever the name is: a first line that says so begins a stream. */
static bool looks_like_stream(struct tgi_reader *r, const struct input *in)
{
    const char *newline = memchr(in->text, '\n', in->used);
    size_t n = newline != NULL ? (size_t)(newline - in->text) : in->used;
    char *line = n < (1u << 20) ? malloc(n + 1) : NULL;
    struct tgi_tape_error err;
    bool is_stream = false;
    if (line == NULL)
        return false;
    memcpy(line, in->text, n);
    line[n] = '\0';
    if (tgi_tape_parse(&r->tape, line, (uint32_t)n, 1u << 20, &err) == 0 &&
        tgi_node_type(r, 0) == TGI_TAPE_OBJECT) {
        uint32_t key = 1;
        for (uint32_t left = tgi_tape_count(&r->tape, 0); left > 0;
             left--, key = tgi_tape_next(&r->tape, key + 1))
            if (strcmp(tgi_node_string(r, key), "stream") == 0)
                is_stream = tgi_node_type(r, key + 1) == TGI_TAPE_TRUE;
    }
    r->tape.n_nodes = 0;
    free(line);
    return is_stream;
}

static int read_any(struct tgi_reader *r, const char *path)
{
    struct input in = {.fd = -1};
    uint64_t max_bytes = r->options->max_bytes > 0 ? r->options->max_bytes : DEFAULT_MAX_BYTES;
    size_t most =
        max_bytes < UINT32_MAX - 16 ? (size_t)max_bytes : UINT32_MAX - 16; /* offsets have 32 bits */
    uint32_t max_nodes = (uint32_t)(most / 4 > 1u << 20 ? most / 4 : 1u << 20);
    size_t length = strlen(path);
    bool is_at_end = false, is_stream = length > 6 && strcmp(path + length - 6, ".jsonl") == 0;
    int rc = open_input(r, path, &in);
    if (rc == 0 && !is_stream) {
        rc = read_input(r, &in, '\n', most, &is_at_end);
        is_stream = rc == 0 && looks_like_stream(r, &in);
    }
    if (rc == 0 && is_stream) {
        rc = tgi_read_stream(r, in.fd, in.text != NULL ? in.text : "", in.used);
    } else if (rc == 0) {
        if (!is_at_end)
            rc = read_input(r, &in, '\0', most, &is_at_end);
        if (rc == 0)
            rc = read_document(r, in.text, in.used, max_nodes);
    }
    if (in.fd >= 0)
        close(in.fd);
    free(in.text);
    return rc;
}

/* What nothing has used once all is read. */
static int keep_unused_params(struct tgi_reader *r)
{
    struct tgi_space *space = r->graph->space;
    uint32_t n = 0;
    for (uint32_t k = 0; k < r->n_params; k++)
        n += !r->param_values[k].is_used;
    if (n == 0)
        return 0;
    space->unused_params = tgi_arena_alloc(&space->strings, n * sizeof *space->unused_params);
    if (space->unused_params == NULL)
        return tgi_report_memory(r);
    for (uint32_t k = 0; k < r->params.n_entries; k++) {
        const struct tgi_param_value *value = &r->param_values[r->params.entries[k].value];
        const char *name = value->is_used ? NULL : tgi_arena_strdup(&space->strings, r->params.entries[k].name);
        if (value->is_used)
            continue;
        if (name == NULL)
            return tgi_report_memory(r);
        space->unused_params[space->n_unused_params++] = (struct tgi_unused_param){name, value->site};
    }
    return 0;
}

/* ---- The reader ---------------------------------------------------------------------------*/

static void reader_fini(struct tgi_reader *r)
{
    tgi_tape_fini(&r->tape);
    tgi_json_pool_fini(&r->scratch);
    for (uint32_t k = 0; k < r->n_subgraphs; k++)
        free(r->subgraphs[k]->calls);
    tgi_json_pool_fini(&r->keep);
    tgi_name_index_fini(&r->params);
    tgi_name_index_fini(&r->buffers);
    tgi_name_index_fini(&r->kernels);
    tgi_name_index_fini(&r->graphs);
    tgi_arena_fini(&r->pending_names);
    free(r->param_values);
    free(r->is_override_used);
    free(r->subgraphs);
    free(r->slots_i);
    free(r->slots_f);
    free(r->args);
    free(r->after);
    free(r->pending);
}

int tg_graph_load(const char *path, const struct tg_load_options *options, struct tg_graph **graph_p,
                  struct tg_error *err)
{
    struct tg_load_options all = TG_LOAD_OPTIONS_INIT;
    if (path == NULL || path[0] == '\0')
        return tgi_error(err, TG_E_INVALID, "a graph is loaded from a file; none is named");
    if (options != NULL && (options->size < sizeof(size_t) || options->size > sizeof all))
        return tgi_error(err, TG_E_INVALID, "tg_load_options has size %zu", options->size);
    if (options != NULL)
        memcpy(&all, options, options->size);
    struct tgi_reader *r = calloc(1, sizeof *r);
    if (r == NULL)
        return tgi_error_memory(err, "reading a graph");
    r->options = &all;
    r->file = strcmp(path, "-") == 0 ? "<stdin>" : path;
    r->max_tasks = all.max_tasks == 0           ? DEFAULT_MAX_TASKS
                   : all.max_tasks < UINT32_MAX ? all.max_tasks
                                                : UINT32_MAX;
    r->n_cuda = all.n_cuda;
    size_t n_slots = (TGI_MAX_CALLS + 1) * TGI_MAX_VARS;
    r->slots_i = calloc(n_slots, sizeof *r->slots_i);
    r->slots_f = calloc(n_slots, sizeof *r->slots_f);
    r->frame = (struct tgi_frame){r->slots_i, r->slots_f, 0};
    int rc = r->slots_i != NULL && r->slots_f != NULL ? read_any(r, path) : tgi_report_memory(r);
    if (rc == 0 && r->n_errors > 0)
        rc = r->first.status;
    if (rc == 0)
        rc = keep_unused_params(r);
    if (rc != 0) {
        tg_graph_destroy(r->graph);
        rc = r->n_errors > 0 ? r->first.status : rc;
        if (err != NULL)
            *err = r->first;
    } else {
        *graph_p = r->graph;
    }
    reader_fini(r);
    free(r);
    return rc;
}
