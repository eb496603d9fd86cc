#include "io/json_tree.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

/* One pass over the text with an explicit stack of open containers, so that depth costs no C stack.
 * What may come next is a state of its own rather than a grammar rule calling another. */
struct scan {
    struct tgi_json_tree *tree;
    const char *p, *end;
    uint32_t open[TGI_JSON_TREE_DEPTH], last[TGI_JSON_TREE_DEPTH]; /* container and its last child */
    uint32_t depth;
    uint32_t key_at, key_size; /* of the member being read */
    struct tg_error *err;
};

static int fail(const struct scan *s, const char *at, const char *text)
{
    uint32_t line, column;
    tgi_json_tree_position(s->tree, (uint32_t)(at - s->tree->text), &line, &column);
    tgi_error(s->err, TG_E_JSON_SYNTAX, "%s", text);
    tgi_error_set_position(s->err, s->tree->file, line, column);
    return TG_E_JSON_SYNTAX;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

/* Bytes of the UTF-8 sequence at p; 0: malformed (overlong, surrogate, beyond U+10FFFF, cut). */
static size_t utf8_size(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (p[0] < 0x80)
        return 1;
    size_t size = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return size;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Value of the four hex digits at p; -1: they are not. */
static int hex4(const char *p, const char *end)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = p + i < end ? hex_value(p[i]) : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static int scan_string(struct scan *s)
{
    const char *start = s->p++;
    while (s->p < s->end && *s->p != '"') {
        unsigned char c = (unsigned char)*s->p;
        if (c < 0x20)
            return fail(s, s->p,
                        c == '\n' ? "string is not closed on its line" : "control character in a string");
        if (c == '\\') {
            if (s->end - s->p < 2)
                return fail(s, start, "string is not closed");
            if (s->p[1] == 'u') {
                if (hex4(s->p + 2, s->end) < 0)
                    return fail(s, s->p, "\\u needs four hexadecimal digits");
                s->p += 6;
            } else if (strchr("\"\\/bfnrt", s->p[1]) && s->p[1]) {
                s->p += 2;
            } else {
                return fail(s, s->p, "unknown escape in a string");
            }
            continue;
        }
        size_t size = utf8_size(s->p, s->end);
        if (size == 0)
            return fail(s, s->p, "not valid UTF-8");
        s->p += size;
    }
    if (s->p >= s->end)
        return fail(s, start, "string is not closed");
    s->p++;
    return TG_OK;
}

static int scan_number(struct scan *s)
{
    const char *start = s->p;
    if (*s->p == '-')
        s->p++;
    if (!is_digit(s->p, s->end))
        return fail(s, start, "malformed number");
    if (*s->p == '0')
        s->p++;
    else
        while (is_digit(s->p, s->end))
            s->p++;
    if (is_digit(s->p, s->end))
        return fail(s, start, "number starts with a zero");
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!is_digit(s->p, s->end))
            return fail(s, start, "malformed number");
        while (is_digit(s->p, s->end))
            s->p++;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!is_digit(s->p, s->end))
            return fail(s, start, "malformed number");
        while (is_digit(s->p, s->end))
            s->p++;
    }
    return TG_OK;
}

static int scan_word(struct scan *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->p) < size || memcmp(s->p, word, size) != 0)
        return fail(s, s->p, "unexpected character");
    s->p += size;
    return TG_OK;
}

static int add_node(struct scan *s, enum tgi_json_kind kind, uint32_t *index_p)
{
    struct tgi_json_tree *tree = s->tree;
    if (tree->n_nodes == tree->cap_nodes) {
        uint32_t cap = tree->cap_nodes ? tree->cap_nodes * 2 : 256;
        struct tgi_json_node *nodes =
            cap > tree->cap_nodes ? realloc(tree->nodes, cap * sizeof(*nodes)) : NULL;
        if (!nodes)
            return tgi_error_memory(s->err, "reading JSON");
        tree->nodes = nodes;
        tree->cap_nodes = cap;
    }
    uint32_t index = tree->n_nodes++;
    tree->nodes[index] = (struct tgi_json_node){.at = (uint32_t)(s->p - tree->text),
                                                .key_at = s->key_at,
                                                .key_size = s->key_size,
                                                .first = TG_NONE,
                                                .next = TG_NONE,
                                                .kind = (uint8_t)kind};
    s->key_size = 0;
    if (s->depth > 0) {
        struct tgi_json_node *parent = &tree->nodes[s->open[s->depth - 1]];
        uint32_t *last = &s->last[s->depth - 1];
        if (*last == TG_NONE)
            parent->first = index;
        else
            tree->nodes[*last].next = index;
        *last = index;
        parent->n_children++;
    }
    *index_p = index;
    return TG_OK;
}

/* A scalar, or the opening bracket of a container. */
static int scan_value(struct scan *s)
{
    if (s->p >= s->end)
        return fail(s, s->end, "a value is missing at the end of the text");
    static const char starts[] = "{[\"-tfn";
    static const uint8_t kinds[] = {TGI_JSON_OBJECT, TGI_JSON_ARRAY, TGI_JSON_STRING, TGI_JSON_NUMBER,
                                    TGI_JSON_TRUE,   TGI_JSON_FALSE, TGI_JSON_NULL};
    const char *start = *s->p ? strchr(starts, *s->p) : NULL;
    if (!start && !is_digit(s->p, s->end))
        return fail(s, s->p, "a value is expected here");
    enum tgi_json_kind kind = start ? kinds[start - starts] : TGI_JSON_NUMBER;
    uint32_t index = 0;
    int status = add_node(s, kind, &index);
    if (status != TG_OK)
        return status;
    switch (kind) {
    case TGI_JSON_OBJECT:
    case TGI_JSON_ARRAY:
        if (s->depth == TGI_JSON_TREE_DEPTH)
            return fail(s, s->p, "nested too deeply");
        s->open[s->depth] = index;
        s->last[s->depth++] = TG_NONE;
        s->p++;
        return TG_OK;
    case TGI_JSON_STRING:
        status = scan_string(s);
        break;
    case TGI_JSON_NUMBER:
        status = scan_number(s);
        break;
    case TGI_JSON_TRUE:
        status = scan_word(s, "true");
        break;
    case TGI_JSON_FALSE:
        status = scan_word(s, "false");
        break;
    case TGI_JSON_NULL:
        status = scan_word(s, "null");
        break;
    }
    struct tgi_json_node *node = &s->tree->nodes[index];
    node->size = (uint32_t)(s->p - s->tree->text) - node->at;
    return status;
}

static int scan_key(struct scan *s)
{
    if (s->p >= s->end || *s->p != '"')
        return fail(s, s->p, "a key in quotes is expected here");
    const char *start = s->p;
    int status = scan_string(s);
    if (status != TG_OK)
        return status;
    s->key_at = (uint32_t)(start - s->tree->text);
    s->key_size = (uint32_t)(s->p - start);
    skip_space(s);
    if (s->p >= s->end || *s->p != ':')
        return fail(s, s->p, "a colon is expected here");
    s->p++;
    skip_space(s);
    return TG_OK;
}

/* Behind an opening bracket or an element: closes what ends here and finds where the next element
 * starts.  *more_p is false at the end of the outermost value. */
static int scan_between(struct scan *s, bool *more_p)
{
    while (s->depth > 0) {
        struct tgi_json_node *node = &s->tree->nodes[s->open[s->depth - 1]];
        bool is_object = node->kind == TGI_JSON_OBJECT;
        skip_space(s);
        if (s->p < s->end && *s->p == (is_object ? '}' : ']')) {
            s->p++;
            node->size = (uint32_t)(s->p - s->tree->text) - node->at;
            s->depth--;
            continue;
        }
        if (node->n_children > 0) {
            if (s->p >= s->end || *s->p != ',')
                return fail(s, s->p,
                            is_object ? "a comma or } is expected here" : "a comma or ] is expected here");
            s->p++;
            skip_space(s);
        }
        *more_p = true;
        return is_object ? scan_key(s) : TG_OK;
    }
    *more_p = false;
    return TG_OK;
}

int tgi_json_tree_parse(struct tgi_json_tree *tree, const char *text, size_t size, const char *file,
                        uint32_t line, struct tg_error *err)
{
    if (size >= UINT32_MAX)
        return tgi_error(err, TG_E_LIMIT, "%s is larger than 4 GiB", file);
    tree->text = text;
    tree->file = file;
    tree->first_line = line;
    tree->n_nodes = 0;
    struct scan s = {.tree = tree, .p = text, .end = text + size, .err = err};
    skip_space(&s);
    for (bool more = true; more;) {
        int status = scan_value(&s);
        if (status == TG_OK)
            status = scan_between(&s, &more);
        if (status != TG_OK)
            return status;
    }
    skip_space(&s);
    return s.p == s.end ? TG_OK : fail(&s, s.p, "something stands behind the end of the value");
}

void tgi_json_tree_fini(struct tgi_json_tree *tree)
{
    free(tree->nodes);
    *tree = (struct tgi_json_tree){0};
}

uint32_t tgi_json_tree_find(const struct tgi_json_tree *tree, uint32_t node, const char *key)
{
    if (node == TG_NONE || tree->nodes[node].kind != TGI_JSON_OBJECT)
        return TG_NONE;
    size_t size = strlen(key);
    for (uint32_t i = tree->nodes[node].first; i != TG_NONE; i = tree->nodes[i].next) {
        const struct tgi_json_node *n = &tree->nodes[i];
        if (n->key_size == size + 2 && memcmp(tree->text + n->key_at + 1, key, size) == 0)
            return i;
    }
    return TG_NONE;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Decodes the \u escape at p, with its second half if it is a surrogate pair. */
static const char *decode_u(const char *p, const char *end, uint32_t *c_p)
{
    uint32_t c = (uint32_t)hex4(p + 2, end);
    p += 6;
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
            *c_p = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
            return p + 6;
        }
    }
    *c_p = c == 0 || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c;
    return p;
}

/* No escape is shorter than what it stands for, so the raw size is enough room. */
static char *decode(const char *raw, uint32_t size, struct tgi_arena *arena)
{
    char *text = tgi_arena_alloc(arena, size);
    if (!text)
        return NULL;
    char *to = text;
    const char *end = raw + size - 1;
    for (const char *p = raw + 1; p < end;) {
        if (*p != '\\') {
            *to++ = *p++;
        } else if (p[1] == 'u') {
            uint32_t c = 0;
            p = decode_u(p, end, &c);
            to += put_utf8(to, c);
        } else {
            static const char from[] = "bfnrt", into[] = "\b\f\n\r\t";
            const char *known = strchr(from, p[1]);
            *to++ = known ? into[known - from] : p[1];
            p += 2;
        }
    }
    *to = '\0';
    return text;
}

char *tgi_json_tree_string(const struct tgi_json_tree *tree, uint32_t node, struct tgi_arena *arena)
{
    const struct tgi_json_node *n = &tree->nodes[node];
    assert(n->kind == TGI_JSON_STRING);
    return decode(tree->text + n->at, n->size, arena);
}

char *tgi_json_tree_key(const struct tgi_json_tree *tree, uint32_t node, struct tgi_arena *arena)
{
    const struct tgi_json_node *n = &tree->nodes[node];
    assert(n->key_size >= 2);
    return decode(tree->text + n->key_at, n->key_size, arena);
}

double tgi_json_tree_number(const struct tgi_json_tree *tree, uint32_t node)
{
    const struct tgi_json_node *n = &tree->nodes[node];
    assert(n->kind == TGI_JSON_NUMBER);
    /* strtod wants a terminator, which a text that is mapped or cut may lack; longer spellings than
     * this differ only in digits that no double can hold. */
    char digits[400];
    size_t size = n->size < sizeof(digits) ? n->size : sizeof(digits) - 1;
    memcpy(digits, tree->text + n->at, size);
    digits[size] = '\0';
    return strtod(digits, NULL);
}

void tgi_json_tree_position(const struct tgi_json_tree *tree, uint32_t offset, uint32_t *line_p,
                            uint32_t *column_p)
{
    uint32_t line = tree->first_line, column = 1;
    for (uint32_t i = 0; i < offset; i++) {
        unsigned char c = (unsigned char)tree->text[i];
        if (c == '\n') {
            line++;
            column = 1;
        } else if ((c & 0xc0) != 0x80) {
            column++;
        }
    }
    *line_p = line;
    *column_p = column;
}

int tgi_json_tree_error(const struct tgi_json_tree *tree, uint32_t node, struct tg_error *err, int status,
                        const char *format, ...)
{
    char text[sizeof(((struct tg_error *)NULL)->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    uint32_t line, column;
    tgi_json_tree_position(tree, tree->nodes[node].at, &line, &column);
    tgi_error(err, status, "%s", text);
    tgi_error_set_position(err, tree->file, line, column);
    return status;
}
