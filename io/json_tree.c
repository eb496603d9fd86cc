#include "io/json_tree.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"

#define MAX_NODES ((1u << 28) - 1) /* as many as a tape can count in one container */

/* An open container: the node, where it ends on the tape, and its last child so far. */
struct level {
    uint32_t node, end, last;
};

static struct tgi_json_node node_of(const struct tgi_tape *tape, uint32_t at)
{
    static const uint8_t kinds[] = {[TGI_TAPE_NULL] = TGI_JSON_NULL,     [TGI_TAPE_FALSE] = TGI_JSON_FALSE,
                                    [TGI_TAPE_TRUE] = TGI_JSON_TRUE,     [TGI_TAPE_INT] = TGI_JSON_NUMBER,
                                    [TGI_TAPE_REAL] = TGI_JSON_NUMBER,   [TGI_TAPE_STRING] = TGI_JSON_STRING,
                                    [TGI_TAPE_ARRAY] = TGI_JSON_ARRAY,   [TGI_TAPE_OBJECT] = TGI_JSON_OBJECT};
    const struct tgi_tape_node *n = &tape->nodes[at];
    return (struct tgi_json_node){.at = n->at,
                                  .size = n->size,
                                  .first = TG_NONE,
                                  .next = TG_NONE,
                                  .on_tape = at,
                                  .kind = kinds[n->type]};
}

/* Every node of the tape but keys becomes one of the tree, which has room for it. */
static void grow(struct tgi_json_tree *tree)
{
    const struct tgi_tape *tape = &tree->tape;
    struct level open[TGI_TAPE_MAX_DEPTH];
    uint32_t depth = 0;
    tree->n_nodes = 0;
    for (uint32_t at = 0; at < tape->n_nodes; at++) {
        while (depth > 0 && at == open[depth - 1].end)
            depth--;
        struct level *around = depth > 0 ? &open[depth - 1] : NULL;
        bool is_member = around && tree->nodes[around->node].kind == TGI_JSON_OBJECT;
        uint32_t index = tree->n_nodes++;
        struct tgi_json_node *node = &tree->nodes[index];
        at += is_member;
        *node = node_of(tape, at);
        if (is_member) {
            node->key_at = tape->nodes[at - 1].at;
            node->key_size = tape->nodes[at - 1].size;
        }
        if (around) {
            *(around->last == TG_NONE ? &tree->nodes[around->node].first : &tree->nodes[around->last].next) = index;
            around->last = index;
            tree->nodes[around->node].n_children++;
        }
        if (tape->nodes[at].type >= TGI_TAPE_ARRAY)
            open[depth++] = (struct level){index, tape->nodes[at].link, TG_NONE};
    }
}

int tgi_json_tree_parse(struct tgi_json_tree *tree, const char *text, size_t size, const char *file,
                        uint32_t line, struct tg_error *err)
{
    struct tgi_tape_error wrong;
    if (size >= UINT32_MAX)
        return tgi_error(err, TG_E_LIMIT, "%s is larger than 4 GiB", file);
    tree->text = text;
    tree->file = file;
    tree->first_line = line;
    tree->n_nodes = 0;
    tree->tape.keeps_duplicates = true; /* fmt changes no meaning, not even a wrong one */
    if (!tgi_vec_reserve(&tree->copy, &tree->cap_copy, size + 1, 1))
        return tgi_error_memory(err, "reading JSON");
    memcpy(tree->copy, text, size);
    tree->copy[size] = '\0';
    if (tgi_tape_parse(&tree->tape, tree->copy, (uint32_t)size, MAX_NODES, &wrong)) {
        uint32_t row, column;
        tgi_json_tree_position(tree, wrong.offset, &row, &column);
        tgi_error(err, wrong.status, "%s", wrong.text);
        tgi_error_set_position(err, file, row, column);
        return wrong.status;
    }
    if (!tgi_vec_reserve(&tree->nodes, &tree->cap_nodes, tree->tape.n_nodes, sizeof(*tree->nodes)))
        return tgi_error_memory(err, "reading JSON");
    grow(tree);
    return TG_OK;
}

void tgi_json_tree_fini(struct tgi_json_tree *tree)
{
    free(tree->nodes);
    free(tree->copy);
    tgi_tape_fini(&tree->tape);
    *tree = (struct tgi_json_tree){0};
}

uint32_t tgi_json_tree_find(const struct tgi_json_tree *tree, uint32_t node, const char *key)
{
    if (node == TG_NONE || tree->nodes[node].kind != TGI_JSON_OBJECT)
        return TG_NONE;
    for (uint32_t i = tree->nodes[node].first; i != TG_NONE; i = tree->nodes[i].next)
        if (strcmp(tgi_tape_string(&tree->tape, tree->nodes[i].on_tape - 1), key) == 0)
            return i;
    return TG_NONE;
}

static char *copy_string(const struct tgi_tape *tape, uint32_t at, struct tgi_arena *arena)
{
    size_t size = (size_t)tgi_tape_count(tape, at) + 1;
    char *text = tgi_arena_alloc(arena, size);
    return text ? memcpy(text, tgi_tape_string(tape, at), size) : NULL;
}

char *tgi_json_tree_string(const struct tgi_json_tree *tree, uint32_t node, struct tgi_arena *arena)
{
    assert(tree->nodes[node].kind == TGI_JSON_STRING);
    return copy_string(&tree->tape, tree->nodes[node].on_tape, arena);
}

char *tgi_json_tree_key(const struct tgi_json_tree *tree, uint32_t node, struct tgi_arena *arena)
{
    assert(tree->nodes[node].key_size >= 2);
    return copy_string(&tree->tape, tree->nodes[node].on_tape - 1, arena);
}

double tgi_json_tree_number(const struct tgi_json_tree *tree, uint32_t node)
{
    double value;
    assert(tree->nodes[node].kind == TGI_JSON_NUMBER);
    return tgi_tape_double(&tree->tape, tree->nodes[node].on_tape, &value) ? value : INFINITY;
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
