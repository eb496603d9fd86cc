/* JSON text as a flat array of nodes.
 *
 * A graph file needs the place of every value, refuses duplicate keys, NUL bytes and deep nesting
 * with positions, and a JSON Lines file of a million tasks has about two microseconds a line.  A tree
 * of allocated values without positions serves none of that (jansson alone takes 1.2 to 2.2 us for
 * such a line), so the text is parsed here once, without recursion, into nodes of 16 bytes that
 * point into it.
 *
 * Nodes stand in document order.  The elements of an array follow it; an object is followed by
 * key, value, key, value.  String contents are terminated in place: the closing quote becomes NUL. */
#ifndef TGI_IO_JSON_TAPE_H
#define TGI_IO_JSON_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "graph/arena.h"

enum tgi_tape_type {
    TGI_TAPE_NULL,
    TGI_TAPE_FALSE,
    TGI_TAPE_TRUE,
    TGI_TAPE_INT,
    TGI_TAPE_REAL,
    TGI_TAPE_STRING,
    TGI_TAPE_ARRAY,
    TGI_TAPE_OBJECT
};

#define TGI_TAPE_MAX_DEPTH  64
#define TGI_TAPE_MAX_STRING (1u << 20)
#define TGI_TAPE_ABSENT     0 /* the root is never a member, so its number stands for "no node" */

struct tgi_tape_node {
    uint32_t at;     /* byte offset in the text */
    uint32_t size;   /* bytes in the text, quotes and brackets included */
    uint32_t link;   /* container: the node after its last; escaped string: index into unescaped */
    uint32_t n : 28; /* elements, members, or bytes of a string */
    uint32_t type : 3;
    uint32_t is_escaped : 1; /* the contents are not in the text */
};

struct tgi_tape {
    char *text; /* the caller's */
    uint32_t length;
    struct tgi_tape_node *nodes;
    uint32_t n_nodes, cap_nodes;
    char **unescaped;
    uint32_t n_unescaped, cap_unescaped;
    struct tgi_arena strings;
    bool keeps_duplicates; /* set by the caller: an object may have a key several times */
    uint32_t *seen; /* scratch of the duplicate check */
    uint32_t cap_seen;
};

struct tgi_tape_error {
    int status;
    uint32_t offset, length; /* in the text */
    char text[200];
};

/* Parses text[0..length); text[length] must be NUL.  The text is changed in place and belongs to the
 * tape until the next parse.  A zeroed tape is empty; its memory is reused from parse to parse. */
int tgi_tape_parse(struct tgi_tape *tape, char *text, uint32_t length, uint32_t max_nodes,
                   struct tgi_tape_error *err);
void tgi_tape_fini(struct tgi_tape *tape);

static inline enum tgi_tape_type tgi_tape_kind(const struct tgi_tape *t, uint32_t node)
{
    return (enum tgi_tape_type)t->nodes[node].type;
}
/* The node after `node` and everything in it. */
static inline uint32_t tgi_tape_next(const struct tgi_tape *t, uint32_t node)
{
    return t->nodes[node].type >= TGI_TAPE_ARRAY ? t->nodes[node].link : node + 1;
}
static inline const char *tgi_tape_string(const struct tgi_tape *t, uint32_t node)
{
    const struct tgi_tape_node *n = &t->nodes[node];
    return n->is_escaped ? t->unescaped[n->link] : t->text + n->at + 1;
}
static inline uint32_t tgi_tape_count(const struct tgi_tape *t, uint32_t node) { return t->nodes[node].n; }
/* False if it does not fit. */
bool tgi_tape_int(const struct tgi_tape *tape, uint32_t node, int64_t *value_p);
/* Of a TGI_TAPE_INT or TGI_TAPE_REAL; false if it is too large for a double. */
bool tgi_tape_double(const struct tgi_tape *tape, uint32_t node, double *value_p);
/* Line and column, from 1, of a byte offset; columns count characters.  `cursor` remembers the last
 * answer, so that ascending questions cost one pass in all; zeroed at first. */
struct tgi_tape_cursor {
    uint32_t offset, line, column;
};
void tgi_tape_locate(const struct tgi_tape *tape, uint32_t offset, struct tgi_tape_cursor *cursor,
                     uint32_t *line_p, uint32_t *column_p);
/* Characters in a stretch of the text. */
uint32_t tgi_tape_characters(const struct tgi_tape *tape, uint32_t offset, uint32_t length);
/* The text of a node as it was written, in the arena; NULL without memory. */
char *tgi_tape_copy_raw(const struct tgi_tape *tape, uint32_t node, struct tgi_arena *arena);

#endif
