/* Messages of the reader: positions, suggestions, loop variables.
 *
 * A line number is found by walking the text when a message is written and at no other time; see
 * tgi_tape_locate(). */
#include "io/json_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/diagnostic.h"

#define MAX_COMPARED 100000 /* names, for a suggestion */

/* ---- Where ---------------------------------------------------------------------------------*/

/* JSON pointer of a node, found from the root: the child whose extent holds the node is the way. */
static void format_pointer(const struct tgi_tape *t, uint32_t node, char *text, size_t size)
{
    size_t used = 0;
    uint32_t at = 0;
    text[0] = '\0';
    while (at != node && tgi_tape_kind(t, at) >= TGI_TAPE_ARRAY && used < size) {
        bool is_object = tgi_tape_kind(t, at) == TGI_TAPE_OBJECT;
        uint32_t child = at + 1, k = 0;
        for (;; k++) {
            uint32_t next = tgi_tape_next(t, is_object ? child + 1 : child);
            if (node < next)
                break;
            child = next;
        }
        if (!is_object) {
            used += (size_t)snprintf(text + used, size - used, "/%u", k);
            at = child;
            continue;
        }
        if (used + 1 < size)
            text[used++] = '/';
        for (const char *s = tgi_tape_string(t, child); *s != '\0' && used + 2 < size; s++) {
            if (*s == '~' || *s == '/') {
                text[used++] = '~';
                text[used++] = *s == '~' ? '0' : '1';
            } else {
                text[used++] = *s;
            }
        }
        if (used < size)
            text[used] = '\0';
        at = node == child ? node : child + 1;
    }
}

static void locate_offset(struct tgi_reader *r, uint32_t offset, uint32_t *line_p, uint32_t *column_p)
{
    tgi_tape_locate(&r->tape, offset, &r->cursor, line_p, column_p);
    *line_p += r->first_line;
}

void tgi_reader_locate(struct tgi_reader *r, uint32_t node, uint32_t *line_p, uint32_t *column_p)
{
    locate_offset(r, r->tape.nodes[node].at, line_p, column_p);
}

uint32_t tgi_reader_site(struct tgi_reader *r, uint32_t node)
{
    uint32_t line, column;
    tgi_reader_locate(r, node, &line, &column);
    uint32_t site = tgi_space_add_site(r->graph->space, NULL, line);
    if (site != TG_NONE)
        r->graph->space->sites[site].column = column;
    return site;
}

/* ---- Handing over --------------------------------------------------------------------------*/

static void keep_first(struct tgi_reader *r, const struct tg_diagnostic *d)
{
    if (r->n_errors > 0)
        return;
    tgi_error(&r->first, d->status, "%s", d->message);
    if (d->bindings != NULL) {
        size_t used = strlen(r->first.text);
        snprintf(r->first.text + used, sizeof r->first.text - used, " (with %s)", d->bindings);
    }
    tgi_error_set_position(&r->first, d->file, d->line, d->column);
}

static int deliver(struct tgi_reader *r, struct tg_diagnostic *d)
{
    char bindings[512];
    if (r->current != NULL) {
        tgi_format_bindings(r, bindings, sizeof bindings);
        if (bindings[0] != '\0')
            d->bindings = bindings;
    }
    d->file = r->file;
    keep_first(r, d);
    r->n_errors++;
    if (r->options->on_diagnostic == NULL) {
        r->is_done = true;
        return d->status;
    }
    r->options->on_diagnostic(r->options->user, d);
    if (d->status == TG_E_NO_MEMORY || d->status == TG_E_LIMIT || d->status == TG_E_EXPANSION)
        r->is_done = true;
    if (r->n_errors >= TGI_MAX_ERRORS && !r->is_done) {
        struct tg_diagnostic more = {.status = d->status,
                                     .is_warning = true,
                                     .message = "further errors are not shown",
                                     .file = r->file};
        r->options->on_diagnostic(r->options->user, &more);
        r->is_done = true;
    }
    return d->status;
}

int tgi_report(struct tgi_reader *r, uint32_t node, const struct tgi_remark *remark, int status,
               const char *format, ...)
{
    static const struct tgi_remark none = {NULL, NULL, false, 0, 0};
    char text[600], pointer[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (remark == NULL)
        remark = &none;
    struct tg_diagnostic d = {
        .status = status, .message = text, .label = remark->label, .help = remark->help};
    if (r->tape.n_nodes == 0)
        return deliver(r, &d);

    uint32_t at = remark->is_key && node > 0 ? node - 1 : node;
    const struct tgi_tape_node *n = &r->tape.nodes[at];
    uint32_t offset = n->at, length = n->size;
    if (remark->length > 0 && n->type == TGI_TAPE_STRING && !n->is_escaped) {
        offset = n->at + 1 + remark->offset;
        length = remark->length;
    }
    format_pointer(&r->tape, node, pointer, sizeof pointer);
    d.pointer = pointer;
    locate_offset(r, offset, &d.line, &d.column);
    /* Of a container only the bracket is marked. */
    d.length = n->type >= TGI_TAPE_ARRAY ? 1 : tgi_tape_characters(&r->tape, offset, length);
    if (d.length == 0)
        d.length = 1;
    return deliver(r, &d);
}

int tgi_report_at(struct tgi_reader *r, uint32_t offset, uint32_t length, int status, const char *text)
{
    struct tg_diagnostic d = {.status = status, .message = text, .length = length};
    locate_offset(r, offset, &d.line, &d.column);
    return deliver(r, &d);
}

int tgi_report_position(struct tgi_reader *r, uint32_t line, uint32_t column, uint32_t length,
                        const char *help, int status, const char *format, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    struct tg_diagnostic d = {
        .status = status, .message = text, .line = line, .column = column, .length = length, .help = help};
    return deliver(r, &d);
}

int tgi_report_error(struct tgi_reader *r, uint32_t node, const struct tg_error *err)
{
    return tgi_report(r, node, NULL, err->status, "%s", err->text);
}

int tgi_report_memory(struct tgi_reader *r)
{
    struct tg_diagnostic d = {.status = TG_E_NO_MEMORY, .message = "out of memory while reading a graph"};
    return deliver(r, &d);
}

/* ---- Suggestions ---------------------------------------------------------------------------*/

const char *tgi_did_you_mean_list(const char *const *names, size_t n, const char *name, char *text,
                                  size_t size)
{
    const char *found = tgi_suggest(name, names, n);
    if (found == NULL)
        return NULL;
    snprintf(text, size, "did you mean \"%s\"?", found);
    return text;
}

static const char *closest(const struct tgi_name_index *index, const char *name)
{
    uint32_t n = index->n_entries < MAX_COMPARED ? index->n_entries : MAX_COMPARED;
    const char **names = n > 0 ? malloc(n * sizeof *names) : NULL;
    if (names == NULL)
        return NULL;
    for (uint32_t k = 0; k < n; k++)
        names[k] = index->entries[k].name;
    const char *found = tgi_suggest(name, names, n);
    free(names);
    return found;
}

/* A few names are worth telling all. */
static const char *tell_all(const struct tgi_name_index *index, char *text, size_t size)
{
    size_t used = 0;
    if (index->n_entries == 0 || index->n_entries > 8)
        return NULL;
    for (uint32_t k = 0; k < index->n_entries && used < size; k++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", k > 0 ? ", " : "there is ", index->entries[k].name);
    return text;
}

const char *tgi_did_you_mean(const struct tgi_name_index *index, const char *name, char *text, size_t size)
{
    const char *found = closest(index, name);
    if (found == NULL)
        return tell_all(index, text, size);
    snprintf(text, size, "did you mean \"%s\"?", found);
    return text;
}

const char *tgi_did_you_mean_defined(struct tgi_reader *r, const struct tgi_name_index *index,
                                     const char *name, char *text, size_t size)
{
    const struct tgi_space *space = r->graph->space;
    const char *found = closest(index, name);
    uint32_t line = 0, column;
    if (found == NULL)
        return tell_all(index, text, size);
    uint32_t id = tgi_name_index_find(index, found, strlen(found));
    if (id != TGI_NAME_BROKEN)
        tgi_space_locate(space, index == &r->kernels ? space->ops[id].site : space->buffers[id].site, &line,
                         &column);
    if (line > 0)
        snprintf(text, size, "did you mean \"%s\"? (defined at line %u)", found, line);
    else
        snprintf(text, size, "did you mean \"%s\"?", found);
    return text;
}
