/* JSON Lines: one record a line, read in memory for one line.
 *
 * The head comes first, definitions before their use, and {"end":{"tasks":N}} last: without it the
 * file was cut off.  Lines are parsed where they were read; a line that reaches over the end of the
 * buffer is moved to its start first. */
#include "io/json_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/error.h"

#define FIRST_BUFFER   (1u << 18)
#define MAX_LINE       (16u << 20)
#define MAX_LINE_NODES (4u << 20)

struct stream {
    struct tgi_reader *r;
    int fd;
    char *buffer;
    size_t size, begin, end; /* buffer[begin..end) is unread */
    bool is_at_end;          /* of the file */
    uint32_t line;           /* number of the current line */
    bool has_head, has_end;
    uint64_t n_tasks; /* records */
};

/* ---- Lines --------------------------------------------------------------------------------*/

static int make_room(struct stream *s)
{
    if (s->begin > 0) {
        memmove(s->buffer, s->buffer + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
    }
    if (s->end + 1 < s->size)
        return 0;
    if (s->size >= MAX_LINE)
        return tgi_report_position(s->r, s->line + 1, 1, 0, NULL, TG_E_LIMIT, "line is longer than %u bytes",
                                   MAX_LINE);
    char *grown = realloc(s->buffer, 2 * s->size);
    if (grown == NULL)
        return tgi_report_memory(s->r);
    s->buffer = grown;
    s->size *= 2;
    return 0;
}

static int read_more(struct stream *s)
{
    ssize_t n;
    do
        n = read(s->fd, s->buffer + s->end,
                 s->size - s->end - 1); /* one byte for a NUL behind the last line */
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return tgi_report_position(s->r, 0, 0, 0, NULL, TG_E_READ, "cannot read: %s", strerror(errno));
    s->is_at_end = n == 0;
    s->end += (size_t)n;
    return 0;
}

/* The next line, terminated by NUL in place of its newline; NULL in *text_p at the end. */
static int next_line(struct stream *s, char **text_p, uint32_t *length_p, bool *is_whole_p)
{
    size_t scanned = 0;
    for (;;) {
        char *begin = s->buffer + s->begin;
        char *newline = memchr(begin + scanned, '\n', s->end - s->begin - scanned);
        if (newline != NULL || (s->is_at_end && s->begin < s->end)) {
            char *end = newline != NULL ? newline : s->buffer + s->end;
            *end = '\0';
            *text_p = begin;
            *length_p = (uint32_t)(end - begin);
            *is_whole_p = newline != NULL;
            s->begin += *length_p + (newline != NULL);
            s->line++;
            return 0;
        }
        if (s->is_at_end) {
            *text_p = NULL;
            return 0;
        }
        scanned = s->end - s->begin;
        int rc = make_room(s);
        if (rc != 0 || (rc = read_more(s)) != 0)
            return rc;
    }
}

/* ---- Records ------------------------------------------------------------------------------*/

static int read_head(struct stream *s)
{
    static const char *const keys[] = {"tgraph", "name", "params", "deps", "requires", "meta", "stream"};
    struct tgi_reader *r = s->r;
    uint32_t v[TGI_N_HEAD + 1];
    bool is_stream = true;
    s->has_head = true;
    int rc = tgi_object_take(r, 0, "the head of a JSON Lines graph", keys, TGI_N_HEAD + 1, v);
    if (rc == 0 && v[TGI_N_HEAD] == TGI_TAPE_ABSENT)
        rc = tgi_report(r, 0, NULL, TG_E_MISSING_KEY,
                        "the first line of a JSON Lines graph needs \"stream\": true");
    if (rc == 0)
        rc = tgi_take_bool(r, v[TGI_N_HEAD], "\"stream\"", &is_stream);
    if (rc == 0 && !is_stream)
        rc = tgi_report(r, v[TGI_N_HEAD], NULL, TG_E_BAD_VALUE,
                        "\"stream\" must be true in a JSON Lines graph");
    if (rc == 0)
        rc = tgi_read_head(r, 0, v);
    if (rc != 0)
        r->is_done = true; /* what follows would be judged by a head that is not there */
    return rc;
}

/* {"buffer":{"name":..,..}} and {"kernel":{..}}. */
static int read_named(struct stream *s, uint32_t node, bool is_kernel)
{
    struct tgi_reader *r = s->r;
    const char *what = is_kernel ? "\"kernel\"" : "\"buffer\"";
    uint32_t name = TGI_TAPE_ABSENT;
    int rc = tgi_expect(r, node, TGI_TAPE_OBJECT, what);
    if (rc != 0)
        return rc;
    uint32_t key = node + 1;
    for (uint32_t left = tgi_tape_count(&r->tape, node); left > 0;
         left--, key = tgi_tape_next(&r->tape, key + 1))
        if (strcmp(tgi_node_string(r, key), "name") == 0)
            name = key + 1;
    if (name == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY, "%s needs \"name\"", what);
    if ((rc = tgi_expect(r, name, TGI_TAPE_STRING, "\"name\"")) != 0)
        return rc;
    rc = is_kernel ? tgi_read_kernel(r, name, false, node) : tgi_read_buffer(r, name, false, node);
    if (rc != 0) {
        const char *copy =
            tgi_json_pool_strndup(&r->keep, tgi_node_string(r, name), tgi_tape_count(&r->tape, name));
        if (copy == NULL || !tgi_name_index_mark_broken(is_kernel ? &r->kernels : &r->buffers, copy))
            return tgi_report_memory(r);
    }
    tgi_json_pool_reset(&r->scratch);
    return rc;
}

static int read_end(struct stream *s, uint32_t node)
{
    static const char *const keys[] = {"tasks"};
    struct tgi_reader *r = s->r;
    uint32_t v[1];
    int64_t n;
    s->has_end = true;
    int rc = tgi_object_take(r, node, "\"end\"", keys, 1, v);
    if (rc != 0)
        return rc;
    if (v[0] == TGI_TAPE_ABSENT)
        return tgi_report(r, node, NULL, TG_E_MISSING_KEY,
                          "\"end\" needs \"tasks\", the number of task lines");
    if ((rc = tgi_take_int(r, v[0], "\"tasks\"", 0, INT64_MAX, &n)) != 0)
        return rc;
    if ((uint64_t)n != s->n_tasks && r->n_errors == 0) /* a broken line is not a missing one */
        return tgi_report(r, v[0], NULL, TG_E_TRUNCATED, "\"end\" counts %lld tasks, the file has %llu",
                          (long long)n, (unsigned long long)s->n_tasks);
    return 0;
}

static int read_record(struct stream *s)
{
    static const char *const kinds[] = {"task", "buffer", "kernel", "check", "end"};
    struct tgi_reader *r = s->r;
    if (!s->has_head)
        return read_head(s);
    if (s->has_end)
        return tgi_report(r, 0, NULL, TG_E_JSON_SYNTAX, "line after \"end\"");
    int rc = tgi_expect(r, 0, TGI_TAPE_OBJECT, "a line");
    if (rc != 0)
        return rc;
    if (tgi_tape_count(&r->tape, 0) != 1)
        return tgi_report(r, 0, NULL, TG_E_BAD_VALUE, "a line holds one of buffer, kernel, task, check, end");
    const char *kind = tgi_node_string(r, 1);
    switch (kind[0]) {
    case 't':
        if (strcmp(kind, "task") != 0)
            break;
        s->n_tasks++;
        return tgi_read_task(r, 2);
    case 'b':
    case 'k':
        if (strcmp(kind, "buffer") != 0 && strcmp(kind, "kernel") != 0)
            break;
        return read_named(s, 2, kind[0] == 'k');
    case 'c':
        if (strcmp(kind, "check") != 0)
            break;
        rc = tgi_read_check(r, 2);
        tgi_json_pool_reset(&r->scratch);
        return rc;
    case 'e':
        if (strcmp(kind, "end") != 0)
            break;
        return read_end(s, 2);
    case 'x':
        if (kind[1] == '-')
            return 0;
        break;
    }
    char help[320];
    struct tgi_remark remark = {.is_key = true};
    if ((remark.help = tgi_did_you_mean_list(kinds, 5, kind, help, sizeof help)) == NULL)
        remark.help =
            "a line is one of {\"buffer\":..}, {\"kernel\":..}, {\"task\":..}, {\"check\":..}, {\"end\":..}";
    return tgi_report(r, 2, &remark, TG_E_UNKNOWN_KEY, "unknown key \"%.100s\" in a line", kind);
}

static int read_line(struct stream *s, char *text, uint32_t length, bool is_whole)
{
    struct tgi_tape_error err;
    struct tgi_reader *r = s->r;
    r->first_line = s->line - 1;
    memset(&r->cursor, 0, sizeof r->cursor);
    if (tgi_tape_parse(&r->tape, text, length, MAX_LINE_NODES, &err) == 0)
        return read_record(s);
    if (!is_whole && err.status == TG_E_JSON_SYNTAX && s->has_head) {
        s->has_end = true; /* one message is enough */
        return tgi_report_at(r, err.offset, err.length, TG_E_TRUNCATED,
                             "the file is cut off in the middle of its last line");
    }
    if (err.status == TG_E_LIMIT || !s->has_head)
        r->is_done = true;
    return tgi_report_at(r, err.offset, err.length, err.status, err.text);
}

static bool is_blank(const char *text, uint32_t length)
{
    return length < 64 && strspn(text, " \t\r") == length;
}

int tgi_read_stream(struct tgi_reader *r, int fd, const char *head, size_t n_head)
{
    struct stream s = {.r = r, .fd = fd, .size = FIRST_BUFFER};
    int result = 0, rc;
    r->is_stream = true;
    while (s.size < n_head + 2)
        s.size *= 2;
    if ((s.buffer = malloc(s.size)) == NULL)
        return tgi_report_memory(r);
    memcpy(s.buffer, head, n_head);
    s.end = n_head;
    while (!tgi_reader_is_done(r)) {
        char *text = NULL;
        uint32_t length = 0;
        bool is_whole = true;
        if ((rc = next_line(&s, &text, &length, &is_whole)) != 0) {
            result = rc;
            r->is_done = true;
            break;
        }
        if (text == NULL)
            break;
        if (!is_blank(text, length) && (rc = read_line(&s, text, length, is_whole)) != 0)
            result = rc;
    }
    if (!tgi_reader_is_done(r) && !s.has_head)
        result = tgi_report_position(r, 1, 1, 0, NULL, TG_E_JSON_SYNTAX, "the file is empty");
    else if (!tgi_reader_is_done(r) && !s.has_end)
        result = tgi_report_position(r, s.line, 1, 0, "the last line is {\"end\":{\"tasks\":N}}",
                                     TG_E_TRUNCATED, "the file ends without \"end\" after %llu task%s",
                                     (unsigned long long)s.n_tasks, s.n_tasks == 1 ? "" : "s");
    if (!tgi_reader_is_done(r) && r->graph != NULL && (rc = tgi_resolve_pending(r, r->graph, 0)) != 0)
        result = rc;
    free(s.buffer);
    r->tape.n_nodes = 0; /* its text is gone */
    return result;
}
