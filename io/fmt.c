#include "io/fmt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/json_tree.h"
#include "io/output.h"
#include "io/source.h"
#include "io/text.h"

#define MAX_BYTES ((size_t)1 << 30)

/* ---- What the objects of a graph file are -------------------------------------------------*/

/* An object's kind follows from its parent's kind and its key.  Kinds without keys of their own are
 * free: their members keep the order in which they were written. */
/* clang-format off */
enum kind {
    FREE, TOP, BUFFERS, BUFFER, KERNELS, KERNEL, PARAM, COST, VARIANT, GRAPHS, GRAPH, TASK, COPY, CHECK, CLOSE,
    RECORD, N_KINDS
};
/* clang-format on */

/* The canonical order.  `inside` is the kind of the value, or of each element of an array. */
struct known {
    const char *key;
    enum kind inside;
};
#define MAX_KNOWN 48
/* clang-format off */
static const struct known known[N_KINDS][MAX_KNOWN] = {
    [TOP] = {{"tgraph", FREE}, {"stream", FREE}, {"name", FREE}, {"requires", FREE}, {"params", FREE},
             {"deps", FREE}, {"buffers", BUFFERS}, {"kernels", KERNELS}, {"graphs", GRAPHS}, {"tasks", TASK},
             {"checks", CHECK}, {"meta", FREE}},
    [BUFFER] = {{"name", FREE}, {"dtype", FREE}, {"shape", FREE}, {"tiles", FREE}, {"only", FREE},
                {"init", FREE}, {"save", FREE}, {"home", FREE}, {"pinned", FREE}, {"temp", FREE}},
    [KERNEL] = {{"name", FREE}, {"builtin", FREE}, {"params", PARAM}, {"cost", COST}, {"variants", VARIANT}},
    [PARAM] = {{"name", FREE}, {"type", FREE}, {"access", FREE}, {"op", FREE}},
    [COST] = {{"flops", FREE}, {"bytes", FREE}, {"us", FREE}},
    [VARIANT] = {{"on", FREE}, {"builtin", FREE}, {"so", FREE}, {"file", FREE}, {"binary", FREE},
                 {"entry", FREE}, {"width", FREE}, {"spawns", FREE}, {"cluster", FREE}, {"block", FREE},
                 {"grid", FREE}, {"smem", FREE}, {"options", FREE}, {"c", FREE}, {"code", FREE}},
    [GRAPH] = {{"name", FREE}, {"params", FREE}, {"buffers", BUFFERS}, {"tasks", TASK}},
    [TASK] = {{"for", FREE}, {"id", FREE}, {"when", FREE}, {"kernel", FREE}, {"copy", COPY}, {"fill", FREE},
              {"value", FREE}, {"collective", FREE}, {"op", FREE}, {"root", FREE}, {"buffers", FREE},
              {"host", FREE}, {"barrier", FREE}, {"call", FREE}, {"with", FREE}, {"repeat", FREE},
              {"while", FREE}, {"if", FREE}, {"max", FREE}, {"args", FREE}, {"after", FREE}, {"on", FREE},
              {"prefer", FREE}, {"priority", FREE}, {"cost", COST}, {"retries", FREE}, {"timeout_ms", FREE},
              {"meta", FREE}, {"do", TASK}, {"then", TASK}, {"else", TASK}},
    [COPY] = {{"from", FREE}, {"to", FREE}},
    [CHECK] = {{"buffer", FREE}, {"equals", FREE}, {"close", CLOSE}, {"min", FREE}, {"max", FREE},
               {"finite", FREE}, {"checksum", FREE}, {"residual", FREE}},
    [CLOSE] = {{"value", FREE}, {"file", FREE}, {"rtol", FREE}, {"atol", FREE}},
    [RECORD] = {{"tgraph", FREE}, {"stream", FREE}, {"name", FREE}, {"requires", FREE}, {"params", FREE},
                {"deps", FREE}, {"buffer", BUFFER}, {"kernel", KERNEL}, {"graph", GRAPH}, {"task", TASK},
                {"check", CHECK}, {"end", FREE}, {"checks", CHECK}, {"meta", FREE}},
};
/* clang-format on */
/* Members of these are of one kind, whatever their keys. */
static const enum kind member_kind[N_KINDS] = {[BUFFERS] = BUFFER, [KERNELS] = KERNEL, [GRAPHS] = GRAPH};

/* Rank of a key in its object and the kind of its value.  Unknown keys rank behind all known ones. */
static uint32_t rank_of(enum kind object, const char *key, uint32_t size, enum kind *inside_p)
{
    *inside_p = member_kind[object];
    uint32_t i = 0;
    for (; i < MAX_KNOWN && known[object][i].key; i++) {
        if (strlen(known[object][i].key) == size && memcmp(known[object][i].key, key, size) == 0) {
            *inside_p = known[object][i].inside;
            return i;
        }
    }
    return i;
}

/* ---- Order and width ----------------------------------------------------------------------*/

/* A container's children are put into one list per rank, and the lists are joined. */
static void order_members(struct tgi_json_tree *tree, struct tgi_json_node *object)
{
    uint32_t head[MAX_KNOWN + 1], tail[MAX_KNOWN + 1];
    memset(head, 0xff, sizeof(head));
    for (uint32_t i = object->first, next; i != TG_NONE; i = next) {
        struct tgi_json_node *member = &tree->nodes[i];
        next = member->next;
        member->next = TG_NONE;
        enum kind inside;
        uint32_t rank = rank_of(object->tag, tree->text + member->key_at + 1, member->key_size - 2, &inside);
        member->tag = (uint8_t)inside;
        if (head[rank] == TG_NONE)
            head[rank] = i;
        else
            tree->nodes[tail[rank]].next = i;
        tail[rank] = i;
    }
    uint32_t *link = &object->first;
    for (uint32_t rank = 0; rank <= MAX_KNOWN; rank++) {
        if (head[rank] == TG_NONE)
            continue;
        *link = head[rank];
        link = &tree->nodes[tail[rank]].next;
    }
    *link = TG_NONE;
}

/* Parents come before children among the nodes, so kinds flow forwards and widths backwards. */
static void order(struct tgi_json_tree *tree, enum kind top)
{
    tree->nodes[0].tag = (uint8_t)top;
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        struct tgi_json_node *node = &tree->nodes[i];
        if (node->kind == TGI_JSON_OBJECT)
            order_members(tree, node);
        else if (node->kind == TGI_JSON_ARRAY)
            for (uint32_t c = node->first; c != TG_NONE; c = tree->nodes[c].next)
                tree->nodes[c].tag = node->tag;
    }
}

static uint32_t columns(const char *text, uint32_t size)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* `"key": ` and nothing for an array's element. */
static uint32_t key_columns(const struct tgi_json_tree *tree, const struct tgi_json_node *node)
{
    return node->key_size ? columns(tree->text + node->key_at, node->key_size) + 2 : 0;
}

static uint32_t add(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX / 2 || b > UINT32_MAX / 2 ? UINT32_MAX / 2 : a + b;
}

/* Columns of each value when it stands on one line. */
static void measure(struct tgi_json_tree *tree)
{
    for (uint32_t i = tree->n_nodes; i-- > 0;) {
        struct tgi_json_node *node = &tree->nodes[i];
        if (node->kind > TGI_JSON_ARRAY) {
            node->width = columns(tree->text + node->at, node->size);
            continue;
        }
        /* { a, b } and [a, b]; {} and [] */
        uint32_t width = node->n_children == 0 || node->kind == TGI_JSON_ARRAY ? 2 : 4;
        for (uint32_t c = node->first; c != TG_NONE; c = tree->nodes[c].next)
            width = add(width, add(tree->nodes[c].width, key_columns(tree, &tree->nodes[c]) + 2));
        node->width = node->n_children ? width - 2 : width;
    }
}

/* ---- Writing ------------------------------------------------------------------------------*/

enum layout {
    COMPACT,  /* all elements on one line without spaces, as in JSON Lines */
    ONE_LINE, /* all elements on the line of the bracket */
    BROKEN,   /* brackets on lines of their own, a line for each element */
    FILLED,   /* numbers of an array: brackets on lines of their own, as many on a line as fit */
    HANGING,  /* short members of an object: as many on a line as fit, from the bracket's line on */
    HUGGING   /* like ONE_LINE up to the last member, whose elements have lines of their own:
                 { "for": ["i in 0:N"], "do": [ .. ] } */
};
struct frame {
    uint32_t node, child; /* child: the next to write */
    enum layout layout;
    uint32_t indent; /* of the line that closes it */
    uint32_t column; /* of FILLED and HANGING: where the line ends so far */
};

static bool fits(uint32_t used, uint32_t width, uint32_t behind)
{
    return add(used, add(width, behind)) <= TGI_FMT_COLUMNS;
}

static bool is_all_numbers(const struct tgi_json_tree *tree, const struct tgi_json_node *node)
{
    for (uint32_t c = node->first; c != TG_NONE; c = tree->nodes[c].next)
        if (tree->nodes[c].kind != TGI_JSON_NUMBER)
            return false;
    return node->kind == TGI_JSON_ARRAY;
}

/* The parts a graph consists of get a line an entry even where all would fit on one, so that adding
 * one changes one line. */
static bool is_always_broken(const struct tgi_json_tree *tree, const struct tgi_json_node *node,
                             uint32_t depth)
{
    return depth == 0 || (depth == 1 && tree->nodes[0].tag == TOP && node->tag != FREE);
}

/* Columns behind the last member of a HANGING object: its brace, and a comma or its parent's brace. */
static uint32_t closing_columns(const struct tgi_json_node *object)
{
    return object->next != TG_NONE ? 3 : 5;
}

/* Whether each member fits on a line of its own that starts in column `indent`, and the first one
 * behind the brace in column `brace`. */
static bool is_hangable(const struct tgi_json_tree *tree, const struct tgi_json_node *node, uint32_t indent,
                        uint32_t brace)
{
    for (uint32_t c = node->first; c != TG_NONE; c = tree->nodes[c].next) {
        const struct tgi_json_node *member = &tree->nodes[c];
        uint32_t behind = member->next != TG_NONE ? 1 : closing_columns(node);
        uint32_t start = c == node->first ? brace + 2 : indent;
        if (!fits(start, add(key_columns(tree, member), member->width), behind))
            return false;
    }
    return node->kind == TGI_JSON_OBJECT;
}

/* How an object that does not fit on one line is spread over several.  `indent` is where its last
 * line would start, `used` what is taken on the line before it. */
static enum layout object_layout(const struct tgi_json_tree *tree, const struct tgi_json_node *node,
                                 uint32_t indent, uint32_t used)
{
    uint32_t width = used + 2;
    for (uint32_t c = node->first; c != TG_NONE; c = tree->nodes[c].next) {
        const struct tgi_json_node *member = &tree->nodes[c];
        bool is_first = c == node->first, is_last = member->next == TG_NONE;
        uint32_t key = key_columns(tree, member), behind = is_last ? closing_columns(node) : 1;
        bool is_short = fits(is_first ? used + 2 : indent + 2, add(key, member->width), behind);
        if (!is_short && (is_first || !is_hangable(tree, member, indent + 4, indent + 2 + key))) {
            bool is_hugging = is_last && member->kind <= TGI_JSON_ARRAY && fits(width, key, 1);
            return is_hugging ? HUGGING : BROKEN;
        }
        width = add(width, add(key, add(member->width, 2)));
    }
    return HANGING;
}

/* `used` columns are taken on the line before the value. */
static enum layout layout_of(const struct tgi_json_tree *tree, uint32_t index, uint32_t depth,
                             const struct frame *parent, uint32_t used)
{
    const struct tgi_json_node *node = &tree->nodes[index];
    if (node->n_children == 0)
        return ONE_LINE;
    bool is_broken = is_always_broken(tree, node, depth);
    if (!is_broken && fits(used, node->width, node->next != TG_NONE))
        return ONE_LINE;
    if (node->kind == TGI_JSON_ARRAY)
        return is_all_numbers(tree, node) ? FILLED : BROKEN;
    if (is_broken || parent->layout == HUGGING)
        return BROKEN;
    return object_layout(tree, node, parent->indent + 2, used);
}

static void new_line(struct tgi_text *out, uint32_t indent)
{
    static const char spaces[] = "                                                                "
                                 "                                                                ";
    assert(indent < sizeof(spaces));
    tgi_text_add(out, "\n", 1);
    tgi_text_add(out, spaces, indent);
}

/* What separates the next child from what is there. */
static void write_gap(struct tgi_text *out, const struct tgi_json_tree *tree, struct frame *f)
{
    const struct tgi_json_node *parent = &tree->nodes[f->node], *child = &tree->nodes[f->child];
    bool is_first = parent->first == f->child;
    if (!is_first)
        tgi_text_add(out, ",", 1);
    if (f->layout == COMPACT)
        return;
    if (f->layout == ONE_LINE || f->layout == HUGGING) {
        if (!is_first || parent->kind == TGI_JSON_OBJECT)
            tgi_text_add(out, " ", 1);
        return;
    }
    uint32_t width = key_columns(tree, child) + child->width;
    uint32_t behind = child->next != TG_NONE ? 1 : f->layout == HANGING ? closing_columns(parent) : 0;
    bool stays = (f->layout == FILLED && !is_first) || f->layout == HANGING;
    uint32_t gap = is_first ? 1 : 2; /* the comma is not counted in f->column */
    if (stays && (is_first || fits(f->column + gap, width, behind))) {
        tgi_text_add(out, " ", 1);
        f->column += gap + width;
        return;
    }
    new_line(out, f->indent + 2);
    f->column = f->indent + 2 + width;
}

static void write_end(struct tgi_text *out, const struct tgi_json_tree *tree, const struct frame *f)
{
    const struct tgi_json_node *node = &tree->nodes[f->node];
    bool is_object = node->kind == TGI_JSON_OBJECT;
    if (f->layout == BROKEN || f->layout == FILLED)
        new_line(out, f->indent);
    else if (f->layout != COMPACT && is_object && node->n_children > 0)
        tgi_text_add(out, " ", 1);
    tgi_text_add(out, is_object ? "}" : "]", 1);
}

static struct frame open_container(struct tgi_text *out, const struct tgi_json_tree *tree, uint32_t index,
                                   const struct frame *parent, uint32_t depth, enum tgi_fmt_form form)
{
    const struct tgi_json_node *node = &tree->nodes[index];
    struct frame f = {index, node->first, form == TGI_FMT_LINES ? COMPACT : ONE_LINE, 0, 0};
    if (!parent) {
        if (f.layout == ONE_LINE)
            f.layout = layout_of(tree, index, depth, NULL, 0);
    } else if (parent->layout <= ONE_LINE) {
        f.layout = parent->layout;
    } else {
        bool is_last = node->next == TG_NONE;
        f.indent = parent->layout == HUGGING ? parent->indent : parent->indent + 2;
        uint32_t used = parent->indent + 2 + key_columns(tree, node);
        uint32_t behind = is_last ? closing_columns(&tree->nodes[parent->node]) : 1;
        if (parent->layout == HUGGING && !is_last)
            f.layout = ONE_LINE;
        else if (parent->layout == HANGING)
            f.layout = fits(used, node->width, behind) || node->n_children == 0 ? ONE_LINE : HANGING;
        else
            f.layout = layout_of(tree, index, depth, parent, used);
        if (parent->layout == HUGGING && is_last && f.layout == ONE_LINE && node->n_children > 0)
            f.layout = BROKEN;
        f.column = used + 1;
    }
    tgi_text_add(out, node->kind == TGI_JSON_OBJECT ? "{" : "[", 1);
    return f;
}

static void write_tree(struct tgi_text *out, const struct tgi_json_tree *tree, enum tgi_fmt_form form)
{
    struct frame stack[TGI_TAPE_MAX_DEPTH];
    uint32_t depth = 0, next = 0;
    for (;;) {
        const struct tgi_json_node *node = &tree->nodes[next];
        tgi_text_add(out, tree->text + node->key_at, node->key_size);
        if (node->key_size)
            tgi_text_add(out, ": ", form == TGI_FMT_LINES ? 1 : 2);
        if (node->kind <= TGI_JSON_ARRAY) {
            stack[depth] = open_container(out, tree, next, depth ? &stack[depth - 1] : NULL, depth, form);
            depth++;
        } else {
            tgi_text_add(out, tree->text + node->at, node->size);
        }
        while (depth > 0 && stack[depth - 1].child == TG_NONE) {
            depth--;
            write_end(out, tree, &stack[depth]);
        }
        if (depth == 0)
            break;
        struct frame *f = &stack[depth - 1];
        write_gap(out, tree, f);
        next = f->child;
        f->child = tree->nodes[next].next;
    }
    tgi_text_add(out, "\n", 1);
}

/* ---- Whole texts --------------------------------------------------------------------------*/

static int format_document(struct tgi_text *out, const char *text, size_t size, const char *name,
                           struct tg_error *err)
{
    struct tgi_json_tree tree = {0};
    int status = tgi_json_tree_parse(&tree, text, size, name, 1, err);
    if (status == TG_OK) {
        order(&tree, TOP);
        measure(&tree);
        write_tree(out, &tree, TGI_FMT_DOCUMENT);
    }
    tgi_json_tree_fini(&tree);
    return status;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
            return false;
    return true;
}

/* Line by line, so that the tree is never larger than the longest line. */
static int format_lines(struct tgi_text *out, const char *text, size_t size, const char *name,
                        struct tg_error *err)
{
    struct tgi_json_tree tree = {0};
    int status = TG_OK;
    uint32_t line = 1;
    for (const char *p = text, *end = text + size; p < end && status == TG_OK; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop ? stop : end) - p);
        if (!is_blank(p, length)) {
            status = tgi_json_tree_parse(&tree, p, length, name, line, err);
            if (status == TG_OK) {
                order(&tree, RECORD);
                write_tree(out, &tree, TGI_FMT_LINES);
            }
        }
        p += length + 1;
    }
    tgi_json_tree_fini(&tree);
    return status;
}

static int format(struct tgi_text *out, enum tgi_fmt_form form, const char *text, size_t size,
                  const char *name, struct tg_error *err)
{
    int status = form == TGI_FMT_LINES ? format_lines(out, text, size, name, err)
                                       : format_document(out, text, size, name, err);
    return status == TG_OK ? tgi_text_finish(out, err) : status;
}

enum tgi_fmt_form tgi_fmt_form_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcmp(dot, ".jsonl") == 0 || strcmp(dot, ".ndjson") == 0) ? TGI_FMT_LINES
                                                                              : TGI_FMT_DOCUMENT;
}

int tgi_fmt_write(FILE *to, enum tgi_fmt_form form, const char *text, size_t size, const char *name,
                  struct tg_error *err)
{
    struct tgi_text out = {.to = to};
    int status = format(&out, form, text, size, name, err);
    tgi_text_fini(&out);
    return status;
}

int tgi_fmt_is_canonical(enum tgi_fmt_form form, const char *text, size_t size, const char *name,
                         bool *is_canonical_p, struct tg_error *err)
{
    struct tgi_text out = {0};
    int status = format(&out, form, text, size, name, err);
    if (status == TG_OK)
        *is_canonical_p = out.size == size && memcmp(out.data, text, size) == 0;
    tgi_text_fini(&out);
    return status;
}

static int write_file(const char *path, const struct tgi_text *text, struct tg_error *err)
{
    struct tgi_output out;
    int status = tgi_output_open(&out, path, err);
    if (status != TG_OK)
        return status;
    fwrite(text->data, 1, text->size, out.file);
    return tgi_output_finish(&out, err);
}

int tgi_fmt_file(const char *from, const char *to, bool *is_changed_p, struct tg_error *err)
{
    struct tgi_source source;
    int status = tgi_source_read(&source, from, MAX_BYTES, err);
    if (status != TG_OK)
        return status;
    struct tgi_text out = {0};
    status = format(&out, tgi_fmt_form_of(from), source.text, source.size, from, err);
    if (status == TG_OK) {
        bool is_changed = out.size != source.size || memcmp(out.data, source.text, out.size) != 0;
        if (to || is_changed)
            status = write_file(to ? to : from, &out, err);
        if (status == TG_OK && is_changed_p)
            *is_changed_p = is_changed;
    }
    tgi_text_fini(&out);
    tgi_source_fini(&source);
    return status;
}

int tgi_fmt_check_file(const char *path, bool *is_canonical_p, struct tg_error *err)
{
    struct tgi_source source;
    int status = tgi_source_read(&source, path, MAX_BYTES, err);
    if (status != TG_OK)
        return status;
    status = tgi_fmt_is_canonical(tgi_fmt_form_of(path), source.text, source.size, path, is_canonical_p, err);
    tgi_source_fini(&source);
    return status;
}
