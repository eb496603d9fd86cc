/* A JSON text as a tree: every node knows which bytes it was written with, so that numbers keep their spelling, objects
 * their order, and messages their position.
 *
 * The text is parsed into a tape (json_tape.h), as graphs are.  A tape is read once, from front to back; this is for those
 * who look members up (importers, machines) or put them into another order (fmt). */
#ifndef TGI_IO_JSON_TREE_H
#define TGI_IO_JSON_TREE_H

#include "graph/arena.h"
#include "graph/tgraph.h"
#include "io/json_tape.h"

enum tgi_json_kind {
    TGI_JSON_OBJECT,
    TGI_JSON_ARRAY,
    TGI_JSON_STRING,
    TGI_JSON_NUMBER,
    TGI_JSON_TRUE,
    TGI_JSON_FALSE,
    TGI_JSON_NULL
};

/* 40 bytes.  Offsets are into the text; TG_NONE is no node. */
struct tgi_json_node {
    uint32_t at, size;         /* of a string with its quotes, of a container with its brackets */
    uint32_t key_at, key_size; /* of a member's key with its quotes; size 0: no member */
    uint32_t first, next;      /* first child, next sibling */
    uint32_t n_children;
    uint32_t on_tape; /* its number there; the key of a member is before it */
    uint32_t width; /* for whoever lays the tree out */
    uint8_t kind;
    uint8_t tag; /* likewise */
};

struct tgi_json_tree {
    const char *text; /* the caller's; must outlive the tree */
    const char *file; /* for messages; likewise */
    uint32_t first_line;
    struct tgi_json_node *nodes; /* [0] is the outermost value; parents come before children */
    uint32_t n_nodes, cap_nodes;
    struct tgi_tape tape; /* of `copy`, as parsing changes the text */
    char *copy;
    uint32_t cap_copy;
};

/* What tgi_tape_parse() takes, and duplicate keys, with its messages.  `line` is the number of the text's first line.  A tree
 * may be parsed into again and again; zero-initialise it before the first time. */
int tgi_json_tree_parse(struct tgi_json_tree *tree, const char *text, size_t size, const char *file,
                        uint32_t line, struct tg_error *err);
void tgi_json_tree_fini(struct tgi_json_tree *tree);

/* The member of that name, the first if there are several; TG_NONE if there is none or `node` is TG_NONE or no object. */
uint32_t tgi_json_tree_find(const struct tgi_json_tree *tree, uint32_t node, const char *key);
/* The decoded text of a string, or of a member's key; NULL without memory. */
char *tgi_json_tree_string(const struct tgi_json_tree *tree, uint32_t node, struct tgi_arena *arena);
char *tgi_json_tree_key(const struct tgi_json_tree *tree, uint32_t node, struct tgi_arena *arena);
/* The value of a number; infinite if no double holds it. */
double tgi_json_tree_number(const struct tgi_json_tree *tree, uint32_t node);
void tgi_json_tree_position(const struct tgi_json_tree *tree, uint32_t offset, uint32_t *line_p,
                            uint32_t *column_p);
/* Writes the error's position; returns status. */
int tgi_json_tree_error(const struct tgi_json_tree *tree, uint32_t node, struct tg_error *err, int status,
                        const char *format, ...) TG_PRINTF(5, 6);

#endif
