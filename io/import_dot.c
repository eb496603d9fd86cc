/* DOT, read by Graphviz's own parser, libcgraph, which is loaded at run time.
 *
 * Nodes become tasks, edges order them.  Attributes that are understood, all optional: of a node
 * `runtime` (seconds), `us`, and `category`; of an edge `bytes`, which the parent then writes and the
 * child reads.  libcgraph keeps no positions, so lines are those where a name occurs first. */
#include "io/import.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/foreign.h"

/* What is used of cgraph.h, version 6 of the library. */
struct Agraph_s;
struct Agnode_s;
struct Agedge_s;
typedef int (*message_fn)(char *);
static struct {
    struct Agraph_s *(*read)(const char *);
    int (*close)(struct Agraph_s *);
    int (*is_directed)(struct Agraph_s *);
    char *(*name_of)(void *);
    char *(*get)(void *, char *);
    struct Agnode_s *(*first_node)(struct Agraph_s *);
    struct Agnode_s *(*next_node)(struct Agraph_s *, struct Agnode_s *);
    struct Agedge_s *(*first_out)(struct Agraph_s *, struct Agnode_s *);
    struct Agedge_s *(*next_out)(struct Agraph_s *, struct Agedge_s *);
    struct Agnode_s *(*head)(struct Agedge_s *);
    message_fn (*on_message)(message_fn);
    void (*set_line)(int);
    void (*flush)(void);
} cgraph;

static int load(struct tg_error *err)
{
    const struct tgi_foreign_function functions[] = {{"agmemread", (void **)&cgraph.read},
                                                     {"agclose", (void **)&cgraph.close},
                                                     {"agisdirected", (void **)&cgraph.is_directed},
                                                     {"agnameof", (void **)&cgraph.name_of},
                                                     {"agget", (void **)&cgraph.get},
                                                     {"agfstnode", (void **)&cgraph.first_node},
                                                     {"agnxtnode", (void **)&cgraph.next_node},
                                                     {"agfstout", (void **)&cgraph.first_out},
                                                     {"agnxtout", (void **)&cgraph.next_out},
                                                     {"aghead", (void **)&cgraph.head},
                                                     {"agseterrf", (void **)&cgraph.on_message},
                                                     {"agreadline", (void **)&cgraph.set_line},
                                                      {"aglexbad", (void **)&cgraph.flush},
                                                     {NULL, NULL}};
    return tgi_foreign_load("libcgraph.so.6", "libcgraph6", functions, err);
}

/* The parser has global state and reports through a global function. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char message[400]; /* under mutex */

/* A message may come in pieces. */
static int keep_message(char *text)
{
    size_t used = strlen(message);
    snprintf(message + used, sizeof(message) - used, "%s", text);
    return 0;
}

/* "Error: <memory>: syntax error in line 3 near '}'" */
static int report(struct tgi_workflow *w, struct tg_error *err)
{
    const char *line = strstr(message, "line ");
    char *text = strstr(message, "syntax error"); /* warnings may come before it */
    char *shown = text ? text : message;
    shown[strcspn(shown, "\n")] = '\0';
    return tgi_workflow_error(w, line ? (uint32_t)strtoul(line + 5, NULL, 10) : 0, err, "not valid DOT: %s",
                              shown[0] ? shown : "the parser gives no reason");
}

/* Lines of names: one pass over the text that enters each word or string where it occurs first. */
struct place {
    const char *name; /* in the text, or NULL */
    uint32_t size, line;
};
struct places {
    struct place *slots;
    uint32_t n_slots, n_used; /* a power of two, at most half full */
};

static struct place *place_of(const struct places *p, const char *name, uint32_t size)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
    for (uint32_t i = (uint32_t)(h ^ h >> 29) & (p->n_slots - 1);; i = (i + 1) & (p->n_slots - 1)) {
        struct place *place = &p->slots[i];
        if (!place->name || (place->size == size && memcmp(place->name, name, size) == 0))
            return place;
    }
}

static bool add_place(struct places *p, const char *name, uint32_t size, uint32_t line)
{
    if ((p->n_used + 1) * 2 > p->n_slots) {
        struct places grown = {.n_slots = p->n_slots ? p->n_slots * 2 : 256, .n_used = p->n_used};
        grown.slots = calloc(grown.n_slots, sizeof(*grown.slots));
        if (!grown.slots)
            return false;
        for (uint32_t i = 0; i < p->n_slots; i++)
            if (p->slots[i].name)
                *place_of(&grown, p->slots[i].name, p->slots[i].size) = p->slots[i];
        free(p->slots);
        *p = grown;
    }
    struct place *place = place_of(p, name, size);
    if (!place->name) {
        *place = (struct place){name, size, line};
        p->n_used++;
    }
    return true;
}

/* Names with escapes or of several lines are not found; their tasks have line 0 then. */
static bool find_places(struct places *p, const char *text)
{
    uint32_t line = 1;
    for (const char *at = text; *at;) {
        if (*at == '\n') {
            line++;
            at++;
        } else if (at[0] == '#' || (at[0] == '/' && at[1] == '/')) {
            at += strcspn(at, "\n");
        } else if (*at == '"') {
            size_t size = strcspn(at + 1, "\"\n");
            if (!add_place(p, at + 1, (uint32_t)size, line))
                return false;
            at += 1 + size + (at[1 + size] == '"');
        } else if (isalnum((unsigned char)*at) || *at == '_' || (*at & 0x80)) {
            const char *start = at;
            while (isalnum((unsigned char)*at) || *at == '_' || *at == '.' || (*at & 0x80))
                at++;
            if (!add_place(p, start, (uint32_t)(at - start), line))
                return false;
        } else {
            at++;
        }
    }
    return true;
}

struct reader {
    struct tgi_workflow *w;
    struct Agraph_s *graph;
    struct places places;
    struct tg_error *err;
};

static uint32_t line_of(const struct reader *r, const char *name)
{
    return r->places.n_slots ? place_of(&r->places, name, (uint32_t)strlen(name))->line : 0;
}

/* The attribute's value times `unit`; leaves *value_p alone if it is not set. */
static int number(const struct reader *r, void *object, const char *attribute, double unit, uint32_t line,
                  double *value_p)
{
    char name[16];
    snprintf(name, sizeof(name), "%s", attribute);
    const char *text = cgraph.get(object, name);
    if (!text || !*text)
        return TG_OK;
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value < 1e18))
        return tgi_workflow_error(r->w, line, r->err, "%s=\"%.60s\" is not a number", attribute, text);
    *value_p = value * unit;
    return TG_OK;
}

static int read_node(struct reader *r, struct Agnode_s *node)
{
    const char *name = cgraph.name_of(node);
    uint32_t line = line_of(r, name), task = 0;
    int status = tgi_workflow_add_task(r->w, name, line, &task, r->err);
    if (status != TG_OK)
        return status;
    struct tgi_workflow_task *t = &r->w->tasks[task];
    char category[] = "category";
    const char *text = cgraph.get(node, category);
    if (text && *text)
        t->category = tgi_workflow_keep(r->w, text);
    status = number(r, node, "runtime", 1, line, &t->seconds);
    return status == TG_OK ? number(r, node, "us", 1e-6, line, &t->seconds) : status;
}

/* What a node hands to its successors is one file of the size of the largest edge. */
static int read_edges(struct reader *r, struct Agnode_s *node, uint32_t parent)
{
    int status = TG_OK;
    double most = 0;
    uint32_t file = 0;
    for (struct Agedge_s *e = cgraph.first_out(r->graph, node); e && status == TG_OK;
         e = cgraph.next_out(r->graph, e)) {
        const char *head = cgraph.name_of(cgraph.head(e));
        uint32_t child = tgi_workflow_find_task(r->w, head), line = line_of(r, r->w->tasks[parent].name);
        double bytes = 0;
        status = number(r, e, "bytes", 1, line, &bytes);
        if (status == TG_OK)
            status = tgi_workflow_add_edge(r->w, parent, child, line, r->err);
        if (status != TG_OK || bytes <= 0)
            continue;
        status = tgi_workflow_add_file(r->w, r->w->tasks[parent].name, bytes, &file, r->err);
        if (status == TG_OK)
            status = tgi_workflow_add_use(r->w, child, file, false, bytes, r->err);
        most = bytes > most ? bytes : most;
    }
    return status == TG_OK && most > 0 ? tgi_workflow_add_use(r->w, parent, file, true, most, r->err)
                                       : status;
}

static int read_graph(struct reader *r)
{
    if (!cgraph.is_directed(r->graph))
        return tgi_workflow_error(r->w, 1, r->err, "the edges have no direction; a digraph is needed");
    /* A graph without a name is called "%1" or so. */
    const char *name = cgraph.name_of(r->graph);
    r->w->name = name && *name != '%' ? tgi_workflow_keep(r->w, name) : NULL;
    r->w->edges_carry_data = true;
    int status = TG_OK;
    for (struct Agnode_s *n = cgraph.first_node(r->graph); n && status == TG_OK;
         n = cgraph.next_node(r->graph, n))
        status = read_node(r, n);
    uint32_t task = 0;
    for (struct Agnode_s *n = cgraph.first_node(r->graph); n && status == TG_OK;
         n = cgraph.next_node(r->graph, n))
        status = read_edges(r, n, task++);
    return status;
}

int tgi_import_dot(struct tgi_workflow *w, const char *text, size_t size, struct tg_error *err)
{
    if (memchr(text, '\0', size))
        return tgi_workflow_error(w, 0, err, "there is a NUL byte in it");
    struct reader r = {.w = w, .err = err};
    if (!find_places(&r.places, text)) {
        free(r.places.slots);
        return tgi_error_memory(err, "importing a workflow");
    }
    pthread_mutex_lock(&mutex);
    int status = load(err);
    if (status == TG_OK) {
        message[0] = '\0';
        message_fn before = cgraph.on_message(keep_message);
        /* The lexer would go on with what stood behind the last graph, and with its line number. */
        cgraph.flush();
        cgraph.set_line(1);
        r.graph = cgraph.read(text);
        status = r.graph && !message[0] ? read_graph(&r) : report(w, err);
        if (r.graph)
            cgraph.close(r.graph);
        cgraph.on_message(before);
    }
    pthread_mutex_unlock(&mutex);
    free(r.places.slots);
    return status;
}
