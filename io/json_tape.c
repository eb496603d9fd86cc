#include "io/json_tape.h"

#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

struct parser {
    struct tgi_tape *tape;
    const char *at, *end; /* *end is NUL */
    uint32_t max_nodes;
    uint32_t depth;
    uint32_t open[TGI_TAPE_MAX_DEPTH]; /* containers around the cursor, outermost first */
    struct tgi_tape_error *err;
};

static int fail_at(struct parser *p, int status, const char *at, uint32_t length, const char *format, ...)
    TG_PRINTF(5, 6);
static int fail_at(struct parser *p, int status, const char *at, uint32_t length, const char *format, ...)
{
    va_list ap;
    p->err->status = status;
    p->err->offset = (uint32_t)(at - p->tape->text);
    p->err->length = length;
    va_start(ap, format);
    vsnprintf(p->err->text, sizeof p->err->text, format, ap);
    va_end(ap);
    return status;
}

/* A character where something else is needed. */
static bool follows_comma(const struct parser *p)
{
    const char *at = p->at;
    while (at > p->tape->text && strchr(" \t\r\n", at[-1]))
        at--;
    return at > p->tape->text && at[-1] == ',';
}

static int unexpected(struct parser *p, const char *expected)
{
    unsigned char c = (unsigned char)*p->at;
    if (p->at == p->end)
        return fail_at(p, TG_E_JSON_SYNTAX, p->at, 1, "expected %s, but the text ends", expected);
    if (c == '\0')
        return fail_at(p, TG_E_JSON_SYNTAX, p->at, 1, "NUL byte in the text");
    if (c == 0xef && p->at == p->tape->text)
        return fail_at(p, TG_E_JSON_SYNTAX, p->at, 1,
                       "the text starts with a byte order mark or another non-JSON character; save it as UTF-8 without one");
    if (c < 0x20 || c >= 0x7f)
        return fail_at(p, TG_E_JSON_SYNTAX, p->at, 1, "expected %s, found byte 0x%02x", expected, c);
    if (c == '/' && (p->at[1] == '/' || p->at[1] == '*'))
        return fail_at(p, TG_E_JSON_SYNTAX, p->at, 2, "expected %s, found a comment, which JSON does not have", expected);
    if ((c == '}' || c == ']') && follows_comma(p))
        return fail_at(p, TG_E_JSON_SYNTAX, p->at, 1, "expected %s after ',', found '%c'", expected, c);
    return fail_at(p, TG_E_JSON_SYNTAX, p->at, 1, "expected %s, found '%c'", expected, c);
}

static void skip_space(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r')
        p->at++;
}

static struct tgi_tape_node *add_node(struct parser *p, enum tgi_tape_type type, const char *at)
{
    struct tgi_tape *t = p->tape;
    if (t->n_nodes >= p->max_nodes) {
        fail_at(p, TG_E_LIMIT, at, 1, "more than %u values", p->max_nodes);
        return NULL;
    }
    if (!tgi_vec_reserve(&t->nodes, &t->cap_nodes, (uint64_t)t->n_nodes + 1, sizeof *t->nodes)) {
        fail_at(p, TG_E_NO_MEMORY, at, 1, "out of memory while parsing JSON");
        return NULL;
    }
    struct tgi_tape_node *node = &t->nodes[t->n_nodes++];
    *node = (struct tgi_tape_node){.at = (uint32_t)(at - t->text), .type = type};
    return node;
}

/* ---- Strings ------------------------------------------------------------------------------*/

/* Bytes of the UTF-8 character at s; 0 if it is malformed. */
static uint32_t utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[0] == 0xe0 && s[1] < 0xa0) ||
            (s[0] == 0xed && s[1] >= 0xa0))
            return 0;
        return 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if ((s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80 ||
            (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
            return 0;
        return 4;
    }
    return 0;
}

static bool hex4(const char *s, uint32_t *code_p)
{
    uint32_t code = 0;
    for (int k = 0; k < 4; k++) {
        char c = s[k];
        uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                            : 16;
        if (d == 16)
            return false;
        code = code << 4 | d;
    }
    *code_p = code;
    return true;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* One escape at *s (a backslash); advances both. */
static int unescape_one(struct parser *p, const char **s_p, char **to_p)
{
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    const char *s = *s_p;
    for (const char *k = plain; *k != '\0'; k += 2)
        if (s[1] == *k) {
            *(*to_p)++ = k[1];
            *s_p = s + 2;
            return 0;
        }
    uint32_t code, low;
    if (s[1] != 'u')
        return fail_at(p, TG_E_JSON_SYNTAX, s, 2, "unknown escape in a string");
    if (!hex4(s + 2, &code))
        return fail_at(p, TG_E_JSON_SYNTAX, s, 2, "\\u needs four hexadecimal digits");
    *s_p = s + 6;
    if (code == 0)
        return fail_at(p, TG_E_JSON_SYNTAX, s, 6, "NUL character in a string");
    if (code >= 0xd800 && code <= 0xdfff) {
        if (code >= 0xdc00 || s[6] != '\\' || s[7] != 'u' || !hex4(s + 8, &low) || low < 0xdc00 ||
            low > 0xdfff)
            return fail_at(p, TG_E_JSON_SYNTAX, s, 6, "half of a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *s_p = s + 12;
    }
    *to_p = put_utf8(*to_p, code);
    return 0;
}

static int unescape(struct parser *p, struct tgi_tape_node *node, const char *s, const char *end)
{
    struct tgi_tape *t = p->tape;
    char *copy = tgi_arena_alloc(&t->strings, (size_t)(end - s) + 1);
    if (copy == NULL || !tgi_vec_reserve(&t->unescaped, &t->cap_unescaped, (uint64_t)t->n_unescaped + 1,
                                         sizeof *t->unescaped))
        return fail_at(p, TG_E_NO_MEMORY, s, 1, "out of memory while parsing JSON");
    char *to = copy;
    while (s < end) {
        if (*s != '\\') {
            *to++ = *s++;
            continue;
        }
        int rc = unescape_one(p, &s, &to);
        if (rc != 0)
            return rc;
    }
    *to = '\0';
    node->is_escaped = 1;
    node->n = (uint32_t)(to - copy);
    node->link = t->n_unescaped;
    t->unescaped[t->n_unescaped++] = copy;
    return 0;
}

static int parse_string(struct parser *p)
{
    const char *begin = p->at, *s = begin + 1;
    bool has_escape = false;
    for (;; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"')
            break;
        if (c == '\\') {
            has_escape = true;
            if (s[1] != '\0')
                s++;
        } else if (c >= 0x80) {
            uint32_t n = utf8_length(s);
            if (n == 0)
                return fail_at(p, TG_E_JSON_SYNTAX, s, 1, "string is not valid UTF-8 (byte 0x%02x)", c);
            s += n - 1;
        } else if (c < 0x20) {
            if (s == p->end)
                return fail_at(p, TG_E_JSON_SYNTAX, begin, 1, "string is not closed before the text ends");
            if (c == '\n')
                return fail_at(p, TG_E_JSON_SYNTAX, begin, 1, "string is not closed before the line ends");
            if (c == 0)
                return fail_at(p, TG_E_JSON_SYNTAX, s, 1, "NUL byte in a string");
            return fail_at(p, TG_E_JSON_SYNTAX, s, 1, "control character 0x%02x in a string", c);
        }
    }
    if ((size_t)(s - begin) > TGI_TAPE_MAX_STRING)
        return fail_at(p, TG_E_LIMIT, begin, 1, "string is longer than %u bytes", TGI_TAPE_MAX_STRING);
    struct tgi_tape_node *node = add_node(p, TGI_TAPE_STRING, begin);
    if (node == NULL)
        return p->err->status;
    node->size = (uint32_t)(s + 1 - begin);
    node->n = node->size - 2;
    p->at = s + 1;
    if (has_escape)
        return unescape(p, node, begin + 1, s);
    p->tape->text[s - p->tape->text] = '\0';
    return 0;
}

/* ---- Numbers and words --------------------------------------------------------------------*/

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int parse_number(struct parser *p)
{
    const char *begin = p->at, *s = begin;
    enum tgi_tape_type type = TGI_TAPE_INT;
    if (*s == '-')
        s++;
    if (!is_digit(*s))
        return fail_at(p, TG_E_JSON_SYNTAX, begin, 1, "malformed number");
    if (*s == '0' && is_digit(s[1]))
        return fail_at(p, TG_E_JSON_SYNTAX, begin, 1, "a number cannot start with 0");
    while (is_digit(*s))
        s++;
    if (*s == '.') {
        type = TGI_TAPE_REAL;
        if (!is_digit(*++s))
            return fail_at(p, TG_E_JSON_SYNTAX, begin, (uint32_t)(s - begin),
                           "a digit must follow the decimal point");
        while (is_digit(*s))
            s++;
    }
    if (*s == 'e' || *s == 'E') {
        type = TGI_TAPE_REAL;
        s++;
        if (*s == '+' || *s == '-')
            s++;
        if (!is_digit(*s))
            return fail_at(p, TG_E_JSON_SYNTAX, begin, (uint32_t)(s - begin),
                           "a digit must follow the exponent");
        while (is_digit(*s))
            s++;
    }
    struct tgi_tape_node *node = add_node(p, type, begin);
    if (node == NULL)
        return p->err->status;
    node->size = (uint32_t)(s - begin);
    p->at = s;
    return 0;
}

static int parse_word(struct parser *p)
{
    static const struct {
        const char *text;
        enum tgi_tape_type type;
    } words[] = {{"null", TGI_TAPE_NULL}, {"false", TGI_TAPE_FALSE}, {"true", TGI_TAPE_TRUE}};
    for (size_t k = 0; k < 3; k++) {
        size_t n = strlen(words[k].text);
        if (strncmp(p->at, words[k].text, n) == 0) {
            struct tgi_tape_node *node = add_node(p, words[k].type, p->at);
            if (node == NULL)
                return p->err->status;
            node->size = (uint32_t)n;
            p->at += n;
            return 0;
        }
    }
    return unexpected(p, "a value");
}

/* ---- Containers ---------------------------------------------------------------------------*/

static bool same_key(const struct tgi_tape *t, uint32_t a, uint32_t b)
{
    return t->nodes[a].n == t->nodes[b].n &&
           memcmp(tgi_tape_string(t, a), tgi_tape_string(t, b), t->nodes[a].n) == 0;
}

static int duplicate_key(struct parser *p, uint32_t key)
{
    const struct tgi_tape_node *node = &p->tape->nodes[key];
    return fail_at(p, TG_E_DUPLICATE_KEY, p->tape->text + node->at, node->size, "duplicate key \"%.100s\"",
                   tgi_tape_string(p->tape, key));
}

static uint32_t hash_key(const char *s, uint32_t n)
{
    uint64_t h = 1469598103934665603u ^ n;
    for (uint32_t k = 0; k < n; k++)
        h = (h ^ (unsigned char)s[k]) * 1099511628211u;
    return (uint32_t)(h ^ h >> 32);
}

static int check_duplicates_hashed(struct parser *p, uint32_t object)
{
    struct tgi_tape *t = p->tape;
    uint32_t n = t->nodes[object].n, size = 16;
    while (size < 2 * n)
        size *= 2;
    if (!tgi_vec_reserve(&t->seen, &t->cap_seen, size, sizeof *t->seen))
        return fail_at(p, TG_E_NO_MEMORY, p->at, 1, "out of memory while parsing JSON");
    memset(t->seen, 0, size * sizeof *t->seen);
    uint32_t key = object + 1;
    for (uint32_t k = 0; k < n; k++, key = tgi_tape_next(t, key + 1)) {
        uint32_t slot = hash_key(tgi_tape_string(t, key), t->nodes[key].n) & (size - 1);
        for (; t->seen[slot] != 0; slot = (slot + 1) & (size - 1))
            if (same_key(t, t->seen[slot], key))
                return duplicate_key(p, key);
        t->seen[slot] = key;
    }
    return 0;
}

static int check_duplicates(struct parser *p, uint32_t object)
{
    const struct tgi_tape *t = p->tape;
    uint32_t n = t->nodes[object].n, keys[12];
    if (n > sizeof keys / sizeof *keys)
        return check_duplicates_hashed(p, object);
    uint32_t key = object + 1;
    for (uint32_t k = 0; k < n; k++, key = tgi_tape_next(t, key + 1)) {
        keys[k] = key;
        for (uint32_t j = 0; j < k; j++)
            if (same_key(t, keys[j], key))
                return duplicate_key(p, key);
    }
    return 0;
}

static int open_container(struct parser *p, enum tgi_tape_type type)
{
    if (p->depth == TGI_TAPE_MAX_DEPTH)
        return fail_at(p, TG_E_LIMIT, p->at, 1, "nested more than %d deep", TGI_TAPE_MAX_DEPTH);
    if (add_node(p, type, p->at) == NULL)
        return p->err->status;
    p->open[p->depth++] = p->tape->n_nodes - 1;
    p->at++;
    return 0;
}

static int close_container(struct parser *p)
{
    uint32_t index = p->open[--p->depth];
    struct tgi_tape_node *node = &p->tape->nodes[index];
    p->at++;
    node->size = (uint32_t)(p->at - p->tape->text) - node->at;
    node->link = p->tape->n_nodes;
    return node->type == TGI_TAPE_OBJECT && !p->tape->keeps_duplicates ? check_duplicates(p, index) : 0;
}

static int parse_key(struct parser *p)
{
    skip_space(p);
    if (*p->at != '"')
        return unexpected(p, "a key in double quotes");
    int rc = parse_string(p);
    if (rc != 0)
        return rc;
    skip_space(p);
    if (*p->at != ':')
        return unexpected(p, "':'");
    p->at++;
    return 0;
}

/* Goes on after a value: over commas and closing brackets to where the next value starts. */
static int after_value(struct parser *p)
{
    while (p->depth > 0) {
        struct tgi_tape_node *around = &p->tape->nodes[p->open[p->depth - 1]];
        bool is_object = around->type == TGI_TAPE_OBJECT;
        around->n++;
        skip_space(p);
        if (*p->at == ',') {
            p->at++;
            return is_object ? parse_key(p) : 0;
        }
        if (*p->at != (is_object ? '}' : ']'))
            return unexpected(p, is_object ? "',' or '}'" : "',' or ']'");
        int rc = close_container(p);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int parse_all(struct parser *p)
{
    do {
        int rc;
        skip_space(p);
        char c = *p->at;
        if (c == '{' || c == '[') {
            if ((rc = open_container(p, c == '{' ? TGI_TAPE_OBJECT : TGI_TAPE_ARRAY)) != 0)
                return rc;
            skip_space(p);
            if (*p->at != (c == '{' ? '}' : ']')) {
                if (c == '{' && (rc = parse_key(p)) != 0)
                    return rc;
                continue;
            }
            rc = close_container(p);
        } else if (c == '"') {
            rc = parse_string(p);
        } else if (c == '-' || is_digit(c)) {
            rc = parse_number(p);
        } else {
            rc = parse_word(p);
        }
        if (rc != 0 || (rc = after_value(p)) != 0)
            return rc;
    } while (p->depth > 0);
    skip_space(p);
    return p->at == p->end ? 0 : unexpected(p, "the end of the text");
}

int tgi_tape_parse(struct tgi_tape *tape, char *text, uint32_t length, uint32_t max_nodes,
                   struct tgi_tape_error *err)
{
    struct parser p = {.tape = tape, .at = text, .end = text + length, .max_nodes = max_nodes, .err = err};
    tape->text = text;
    tape->length = length;
    tape->n_nodes = 0;
    if (tape->n_unescaped > 0) {
        tgi_arena_fini(&tape->strings);
        tape->n_unescaped = 0;
    }
    return parse_all(&p);
}

void tgi_tape_fini(struct tgi_tape *tape)
{
    free(tape->nodes);
    free(tape->unescaped);
    free(tape->seen);
    tgi_arena_fini(&tape->strings);
    memset(tape, 0, sizeof *tape);
}

/* ---- Questions ----------------------------------------------------------------------------*/

bool tgi_tape_int(const struct tgi_tape *tape, uint32_t node, int64_t *value_p)
{
    const char *s = tape->text + tape->nodes[node].at;
    const char *end = s + tape->nodes[node].size;
    bool is_negative = *s == '-';
    int64_t value = 0; /* built up as a negative number, whose range is larger */
    for (s += is_negative; s < end; s++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, *s - '0', &value))
            return false;
    if (!is_negative && __builtin_sub_overflow(0, value, &value))
        return false;
    *value_p = value;
    return true;
}

bool tgi_tape_double(const struct tgi_tape *tape, uint32_t node, double *value_p)
{
    const struct tgi_tape_node *n = &tape->nodes[node];
    char copy[512];
    if (n->size >= sizeof copy) /* nobody's number; cutting it could change its value */
        return false;
    memcpy(copy, tape->text + n->at, n->size);
    copy[n->size] = '\0';
    char *point = strchr(copy, '.');
    if (point != NULL) /* strtod follows the locale of the program */
        *point = *localeconv()->decimal_point;
    *value_p = strtod(copy, NULL);
    return isfinite(*value_p);
}

uint32_t tgi_tape_characters(const struct tgi_tape *tape, uint32_t offset, uint32_t length)
{
    uint32_t n = 0;
    for (uint32_t k = offset; k < offset + length && k < tape->length; k++)
        n += ((unsigned char)tape->text[k] & 0xc0) != 0x80;
    return n;
}

void tgi_tape_locate(const struct tgi_tape *tape, uint32_t offset, struct tgi_tape_cursor *cursor,
                     uint32_t *line_p, uint32_t *column_p)
{
    if (cursor->line == 0 || offset < cursor->offset)
        *cursor = (struct tgi_tape_cursor){0, 1, 1};
    const char *s = tape->text + cursor->offset, *newline;
    const char *end = tape->text + (offset < tape->length ? offset : tape->length);
    while ((newline = memchr(s, '\n', (size_t)(end - s))) != NULL) {
        s = newline + 1;
        cursor->line++;
        cursor->column = 1;
    }
    cursor->column += tgi_tape_characters(tape, (uint32_t)(s - tape->text), (uint32_t)(end - s));
    cursor->offset = (uint32_t)(end - tape->text);
    *line_p = cursor->line;
    *column_p = cursor->column;
}

char *tgi_tape_copy_raw(const struct tgi_tape *tape, uint32_t node, struct tgi_arena *arena)
{
    const struct tgi_tape_node *n = &tape->nodes[node];
    char *copy = tgi_arena_alloc(arena, (size_t)n->size + 1);
    if (copy == NULL)
        return NULL;
    for (uint32_t k = 0; k < n->size; k++) /* give closing quotes back */
        copy[k] = tape->text[n->at + k] == '\0' ? '"' : tape->text[n->at + k];
    copy[n->size] = '\0';
    return copy;
}
