/* A message is printed from what the sink was given plus one line of the file it names.
 *
 * Everything that comes from the input goes through put_text() or put_source(), which let no control
 * character, broken UTF-8 or change of writing direction reach a terminal.  Source lines keep one
 * column per character, so that the caret stays under its token; long lines are shown as a window. */
#include "io/diagnostic.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/model.h"
#include "io/json_out.h"

#define WINDOW      100 /* characters of a source line that are shown */
#define MAX_SUGGEST 64  /* longer names are not compared */
#define MOST_COMPARED 100000 /* tasks */

/* ---- Text that is safe to print -----------------------------------------------------------*/

/* Length of the UTF-8 character at s (at most n bytes) and its code point; 0 if it is not one. */
static size_t decode(const unsigned char *s, size_t n, uint32_t *code_p)
{
    if (s[0] < 0x80) {
        *code_p = s[0];
        return 1;
    }
    size_t length = s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (length == 0 || s[0] >= 0xf5 || length > n)
        return 0;
    uint32_t code = s[0] & (0x7fu >> length);
    for (size_t k = 1; k < length; k++) {
        if ((s[k] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[k] & 0x3f);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *code_p = code;
    return length;
}

/* Controls, and marks that reorder or hide what follows. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

static void put_text(FILE *to, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t n = strlen(text); n > 0;) {
        uint32_t code = 0;
        size_t length = decode(s, n, &code);
        if (length == 0 || is_unsafe(code)) {
            fprintf(to, "\\x%02x", *s);
            length = 1;
        } else {
            fwrite(s, 1, length, to);
        }
        s += length;
        n -= length;
    }
}

/* ---- The source line ----------------------------------------------------------------------*/

struct window {
    char text[4 * WINDOW + 1];
    uint32_t n_chars;
    uint32_t first; /* column of the first character shown, from 1 */
    bool is_cut_right;
};

/* Only a regular file is read: a diagnostic must not wait for a pipe or touch a device. */
static FILE *open_source(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0)
        return NULL;
    FILE *f = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (f == NULL)
        close(fd);
    return f;
}

static bool skip_lines(FILE *f, uint32_t n)
{
    int c;
    while (n > 0 && (c = getc_unlocked(f)) != EOF)
        n -= c == '\n';
    return n == 0;
}

/* The next character of the line, '?' in place of anything unsafe; 0 at its end. */
static size_t next_char(FILE *f, char *out)
{
    unsigned char bytes[4];
    int c = getc_unlocked(f);
    if (c == EOF || c == '\n')
        return 0;
    bytes[0] = (unsigned char)c;
    size_t n = 1, want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    while (n < want && (c = getc_unlocked(f)) != EOF) {
        if ((c & 0xc0) != 0x80) {
            ungetc(c, f);
            break;
        }
        bytes[n++] = (unsigned char)c;
    }
    uint32_t code = 0;
    if (bytes[0] == '\t' || bytes[0] == '\r') {
        out[0] = ' ';
        return 1;
    }
    if (decode(bytes, n, &code) != n || is_unsafe(code)) {
        out[0] = '?';
        return 1;
    }
    memcpy(out, bytes, n);
    return n;
}

static bool read_window(const char *path, uint32_t line, uint32_t column, struct window *w)
{
    FILE *f = open_source(path);
    if (f == NULL)
        return false;
    bool is_read = skip_lines(f, line - 1);
    char one[4];
    size_t at = 0, n;
    memset(w, 0, sizeof *w);
    w->first = column > WINDOW * 3 / 4 ? column - WINDOW / 2 : 1;
    for (uint32_t skipped = 1; is_read && skipped < w->first; skipped++)
        is_read = next_char(f, one) > 0;
    while (is_read && w->n_chars < WINDOW && (n = next_char(f, one)) > 0) {
        memcpy(w->text + at, one, n);
        at += n;
        w->n_chars++;
    }
    w->is_cut_right = is_read && w->n_chars == WINDOW && next_char(f, one) > 0;
    fclose(f);
    while (at > 0 && w->text[at - 1] == ' ' && !w->is_cut_right) {
        w->text[--at] = '\0';
        w->n_chars--;
    }
    return is_read;
}

/* ---- Printing -----------------------------------------------------------------------------*/

struct paint {
    const char *error, *warning, *strong, *gutter, *off;
};
static const struct paint plain = {"", "", "", "", ""};
static const struct paint colored = {"\033[1;31m", "\033[1;33m", "\033[1m", "\033[34m", "\033[0m"};

static void print_location(FILE *to, const struct tg_diagnostic *d)
{
    if (d->file == NULL || d->file[0] == '\0')
        return;
    put_text(to, d->file);
    if (d->line > 0)
        fprintf(to, ":%u", d->line);
    if (d->line > 0 && d->column > 0)
        fprintf(to, ":%u", d->column);
}

static void print_headline(FILE *to, const struct tg_diagnostic *d, const struct paint *p)
{
    char code[16] = ""; /* some warnings have none */
    if (d->status)
        snprintf(code, sizeof code, "[TG%04d]", -d->status);
    fprintf(to, "%s%s%s%s: %s", d->is_warning ? p->warning : p->error, d->is_warning ? "warning" : "error",
            code, p->off, p->strong);
    put_text(to, d->message);
    fputs(p->off, to);
}

static void print_source(FILE *to, const struct tg_diagnostic *d, const struct paint *p, int gutter)
{
    struct window w;
    if (d->file == NULL || d->line == 0 || !read_window(d->file, d->line, d->column, &w))
        return;
    fprintf(to, "%s%*s |%s\n%s%*u |%s %s%s%s\n", p->gutter, gutter, "", p->off, p->gutter, gutter, d->line,
            p->off, w.first > 1 ? "..." : "", w.text, w.is_cut_right ? "..." : "");
    if (d->column == 0)
        return;
    uint32_t indent = d->column - w.first + (w.first > 1 ? 3 : 0);
    uint32_t room = w.first + w.n_chars > d->column ? w.first + w.n_chars - d->column : 1;
    uint32_t length = d->length == 0 ? 1 : d->length > room ? room : d->length;
    fprintf(to, "%s%*s |%s %*s%s", p->gutter, gutter, "", p->off, (int)indent, "",
            d->is_warning ? p->warning : p->error);
    for (uint32_t k = 0; k < length; k++)
        putc('^', to);
    if (d->label != NULL) {
        putc(' ', to);
        put_text(to, d->label);
    }
    fprintf(to, "%s\n", p->off);
}

static void print_note(FILE *to, const struct paint *p, int gutter, const char *kind, const char *text)
{
    if (text == NULL || text[0] == '\0')
        return;
    fprintf(to, "%s%*s =%s %s: ", p->gutter, gutter, "", p->off, kind);
    put_text(to, text);
    putc('\n', to);
}

static void print_full(FILE *to, const struct tg_diagnostic *d, const char *task, const struct paint *p)
{
    char number[16];
    int gutter = d->line > 0 ? snprintf(number, sizeof number, "%u", d->line) : 1;
    print_headline(to, d, p);
    putc('\n', to);
    if (d->file != NULL && d->file[0] != '\0') {
        fprintf(to, "%s%*s-->%s ", p->gutter, gutter, "", p->off);
        print_location(to, d);
        putc('\n', to);
    }
    print_source(to, d, p, gutter);
    print_note(to, p, gutter, "task", task);
    print_note(to, p, gutter, "help", d->help);
    print_note(to, p, gutter, "at", d->pointer);
    print_note(to, p, gutter, "with", d->bindings);
}

static void print_short(FILE *to, const struct tg_diagnostic *d, const char *task, const struct paint *p)
{
    if (d->file != NULL && d->file[0] != '\0') {
        print_location(to, d);
        fputs(": ", to);
    }
    print_headline(to, d, p);
    if (task != NULL && task[0] != '\0') {
        fputs(" (task ", to);
        put_text(to, task);
        putc(')', to);
    }
    putc('\n', to);
}

static void print_json(FILE *to, const struct tg_diagnostic *d, const char *task)
{
    struct tgi_json json = tgi_json_begin(to, TGI_JSON_LINE);
    char code[16];
    snprintf(code, sizeof code, "TG%04d", -d->status);
    tgi_json_object(&json, NULL);
    tgi_json_string(&json, "severity", d->is_warning ? "warning" : "error");
    tgi_json_string(&json, "code", d->status ? code : NULL);
    tgi_json_string(&json, "message", d->message);
    if (d->file != NULL && d->file[0] != '\0')
        tgi_json_string(&json, "file", d->file);
    if (d->line > 0)
        tgi_json_uint(&json, "line", d->line);
    if (d->column > 0)
        tgi_json_uint(&json, "column", d->column);
    if (d->length > 0)
        tgi_json_uint(&json, "length", d->length);
    const char *const texts[][2] = {{"label", d->label},
                                    {"help", d->help},
                                    {"bindings", d->bindings},
                                    {"pointer", d->pointer},
                                    {"task", task}};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        if (texts[k][1] != NULL && texts[k][1][0] != '\0')
            tgi_json_string(&json, texts[k][0], texts[k][1]);
    tgi_json_end(&json);
}

static void print_any(FILE *to, const struct tg_diagnostic *d, const char *task,
                      enum tgi_diagnostic_format format, bool color)
{
    const struct paint *p = color ? &colored : &plain;
    if (format == TGI_DIAGNOSTIC_JSON)
        print_json(to, d, task);
    else if (format == TGI_DIAGNOSTIC_SHORT)
        print_short(to, d, task, p);
    else
        print_full(to, d, task, p);
}

void tgi_diagnostic_print(FILE *to, const struct tg_diagnostic *d, enum tgi_diagnostic_format format,
                          bool color)
{
    print_any(to, d, NULL, format, color);
}

void tgi_error_print(FILE *to, const struct tg_error *err, enum tgi_diagnostic_format format, bool color)
{
    struct tg_diagnostic d = {.status = err->status,
                              .message = err->text,
                              .file = err->file,
                              .line = err->line,
                              .column = err->column};
    print_any(to, &d, err->task, format, color);
}

/* ---- Suggestions --------------------------------------------------------------------------*/

static unsigned char lower(char c) { return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); }

/* Edits (insert, delete, replace, swap neighbours) from a to b, letter case aside; a different
 * case adds nothing, so that "GEMM" finds "gemm". */
static uint32_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    uint32_t rows[3][MAX_SUGGEST + 1];
    uint32_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (uint32_t j = 0; j <= n_b; j++)
        last[j] = before[j] = j;
    for (uint32_t i = 1; i <= n_a; i++) {
        now[0] = i;
        for (uint32_t j = 1; j <= n_b; j++) {
            uint32_t best = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        uint32_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[n_b];
}

const char *tgi_suggest(const char *name, const char *const *names, size_t n)
{
    size_t length = strlen(name);
    const char *best = NULL;
    if (length == 0 || length > MAX_SUGGEST)
        return NULL;
    uint32_t limit = length <= 3 ? 1 : length <= 5 ? 2 : (uint32_t)length / 3 + 1;
    for (size_t k = 0; k < n; k++) {
        size_t other = strlen(names[k]);
        size_t apart = other > length ? other - length : length - other;
        if (other == 0 || other > MAX_SUGGEST || apart > limit)
            continue;
        uint32_t d = distance(name, length, names[k], other);
        if (d < length && d <= limit && (best == NULL || d < limit)) {
            best = names[k];
            limit = d;
        }
    }
    return best;
}

const char *tgi_suggest_task(const struct tg_graph *g, const char *name)
{
    uint32_t n = 0, n_max = g->n_tasks < MOST_COMPARED ? g->n_tasks : MOST_COMPARED;
    const char **names = g->names_at != NULL ? malloc(n_max * sizeof *names) : NULL;
    if (names == NULL)
        return NULL;
    for (uint32_t t = 0; t < n_max; t++)
        if (g->names_at[t] != TG_NONE)
            names[n++] = g->names_text + g->names_at[t];
    const char *found = tgi_suggest(name, names, n);
    free(names);
    return found;
}
