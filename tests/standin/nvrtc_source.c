/* Finds kernels in preprocessed source: identifiers are told from strings and numbers, and braces of
 * namespaces from others, which is all the grammar it takes. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/standin/nvrtc_internal.h"
#include "tests/standin/object.h"

enum { MAX_DEPTH = 256 };

struct scan {
    const char *at;
    FILE *out;
    struct names *kernels;
    struct names scopes; /* a name for each open brace; "" for others than namespaces */
    bool is_template;    /* since the last ; or brace */
    bool has_barriers, is_short_of_memory;
};

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$'; }

static size_t word_length(const char *at)
{
    size_t n = 0;
    while (is_word(at[n]))
        n++;
    return n;
}
static bool is(const char *at, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(at, word, n) == 0;
}

static const char *skip_space(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

/* Past a string, a character, or a line that begins with #. */
static const char *skip_opaque(const char *at)
{
    char quote = *at++;
    if (quote == '#')
        return at + strcspn(at, "\n");
    for (; *at && *at != quote; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static const char *skip_parentheses(const char *at)
{
    int depth = 0;
    do {
        depth += (*at == '(') - (*at == ')');
        at++;
    } while (*at && depth > 0);
    return at;
}

/* The name before the parameters, after __global__. */
static const char *kernel_name(const char *at, size_t *length_p)
{
    const char *name = NULL;
    for (size_t n; *at && *at != ';' && *at != '{'; at += n ? n : 1) {
        n = word_length(at);
        if (n && (is(at, n, "__attribute__") || is(at, n, "alignas"))) {
            at = skip_parentheses(skip_space(at + n));
            n = 0;
        } else if (n) {
            name = at;
            *length_p = n;
        } else if (*at == '(')
            return name;
    }
    return NULL;
}

static void add_kernel(struct scan *s, const char *name, size_t length)
{
    char text[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < s->scopes.n && n < sizeof text; i++)
        if (s->scopes.text[i][0])
            n += (size_t)snprintf(text + n, sizeof text - n, "%s::", s->scopes.text[i]);
    if (n < sizeof text)
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s", (int)length, name);
    for (size_t i = 0; i < s->kernels->n; i++)
        if (strcmp(s->kernels->text[i], text) == 0)
            return;
    s->is_short_of_memory |= !names_add(s->kernels, text, strlen(text));
}

/* namespace NAME {: `at` is behind the word. */
static const char *open_namespace(struct scan *s, const char *at)
{
    const char *name = skip_space(at), *end = name;
    while (is_word(*end) || *end == ':')
        end++;
    const char *brace = skip_space(end);
    if (*brace != '{') /* an alias */
        return at;
    s->is_short_of_memory |= !names_add(&s->scopes, name, (size_t)(end - name));
    fwrite(at, 1, (size_t)(brace + 1 - at), s->out);
    return brace + 1;
}

/* extern __shared__ T name[]; becomes a pointer to the one array.  `at` is behind __shared__. */
static const char *dynamic_shared(struct scan *s, const char *at)
{
    const char *bracket = at + strcspn(at, "[;"), *name = bracket;
    while (name > at && isspace((unsigned char)name[-1]))
        name--;
    const char *name_end = name;
    while (name > at && is_word(name[-1]))
        name--;
    if (*bracket != '[')
        return at;
    fwrite(at, 1, (size_t)(name - at), s->out);
    fprintf(s->out, "*const %.*s = standin_dynamic_shared()", (int)(name_end - name), name);
    return bracket + strcspn(bracket, "]") + 1;
}

/* standin_body NUMBER FUNCTION; (standin_resident.hpp): `at` is behind the word. */
static const char *resident_body(struct scan *s, const char *at)
{
    char number[16], function[512], text[600];
    if (sscanf(at, " %15[0-9] %511[^ ;]", number, function) == 2) {
        int n = snprintf(text, sizeof text, STANDIN_BODY "%s=%s", number, function);
        s->is_short_of_memory |= !names_add(s->kernels, text, (size_t)n);
    }
    at += strcspn(at, ";");
    return *at ? at + 1 : at;
}

static bool is_barrier(const char *word, size_t n)
{
    static const char *const names[] = {"__syncthreads",   "__syncwarp",     "__shfl_sync",
                                        "__shfl_xor_sync", "__shfl_up_sync", "__shfl_down_sync",
                                        "__ballot_sync",   "__any_sync",     "__all_sync"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is(word, n, names[i]))
            return true;
    return false;
}

static void scan_word(struct scan *s)
{
    size_t n = word_length(s->at), length = 0;
    const char *word = s->at, *next = skip_space(word + n), *name;
    s->at += n;
    if (is(word, n, "__global__")) {
        name = kernel_name(s->at, &length);
        if (name && !s->is_template)
            add_kernel(s, name, length);
    } else if (is(word, n, "extern") && strncmp(next, "__shared__", 10) == 0)
        s->at = dynamic_shared(s, next + 10);
    else if (is(word, n, "standin_body"))
        s->at = resident_body(s, s->at);
    else if (is(word, n, "__shared__"))
        fputs("static", s->out);
    else {
        fwrite(word, 1, n, s->out);
        s->is_template |= is(word, n, "template");
        s->has_barriers |= is_barrier(word, n);
        if (is(word, n, "standin_prelude_end"))
            s->has_barriers = false; /* what the prelude only defines */
        if (is(word, n, "namespace"))
            s->at = open_namespace(s, s->at);
    }
}

static void scan_mark(struct scan *s)
{
    char c = *s->at++;
    fputc(c, s->out);
    if (c == '{')
        s->is_short_of_memory |= !names_add(&s->scopes, "", 0);
    if (c == '}' && s->scopes.n)
        free(s->scopes.text[--s->scopes.n]);
    if (c == ';' || c == '{' || c == '}')
        s->is_template = false;
}

char *source_rewrite(const char *text, struct names *kernels, bool *has_barriers_p)
{
    char *result = NULL;
    size_t size;
    struct scan s = {.at = text, .kernels = kernels, .out = open_memstream(&result, &size)};
    if (!s.out)
        return NULL;
    while (*s.at) {
        const char *from = s.at;
        if (strchr("\"'#", *s.at)) {
            s.at = skip_opaque(s.at);
            fwrite(from, 1, (size_t)(s.at - from), s.out);
        } else if (isdigit((unsigned char)*s.at)) { /* 1'000 holds no character */
            while (is_word(*s.at) || (*s.at == '\'' && is_word(s.at[1])) || *s.at == '.')
                s.at++;
            fwrite(from, 1, (size_t)(s.at - from), s.out);
        } else if (is_word(*s.at))
            scan_word(&s);
        else
            scan_mark(&s);
    }
    names_fini(&s.scopes);
    if (fclose(s.out) != 0 || s.is_short_of_memory) {
        free(result);
        return NULL;
    }
    *has_barriers_p = s.has_barriers;
    return result;
}
