/* A workflow as other tools record it: tasks with runtimes, files they read and write, and edges.
 * Importers fill one in; one writer turns it into a graph that runs. */
#ifndef TGI_IO_WORKFLOW_H
#define TGI_IO_WORKFLOW_H

#include <stdio.h>

#include "graph/arena.h"
#include "graph/tgraph.h"

struct tgi_workflow_task {
    const char *name;
    const char *category; /* what it does; tasks of one category get one kernel.  NULL: none */
    double seconds;       /* recorded runtime; 0 if none is known */
    uint32_t line;        /* of the input */
};
struct tgi_workflow_file {
    const char *name;
    double bytes;
};
struct tgi_workflow_use {
    uint32_t task, file;
    bool is_output;
    double bytes; /* how much of the file */
};
struct tgi_workflow_edge {
    uint32_t parent, child;
    uint32_t line;
};
struct tgi_workflow_map;

struct tgi_workflow {
    const char *path; /* of the input, for messages; the caller's */
    const char *name;
    bool is_out_of_memory; /* a name is missing */
    bool edges_carry_data; /* edges stand for results handed over, even where no bytes are recorded */
    struct tgi_workflow_task *tasks;
    uint32_t n_tasks, cap_tasks;
    struct tgi_workflow_file *files;
    uint32_t n_files, cap_files;
    struct tgi_workflow_use *uses;
    uint32_t n_uses, cap_uses;
    struct tgi_workflow_edge *edges;
    uint32_t n_edges, cap_edges;
    struct tgi_arena strings;
    struct tgi_workflow_map *task_map, *file_map;
};

void tgi_workflow_init(struct tgi_workflow *w, const char *path);
void tgi_workflow_fini(struct tgi_workflow *w);

/* TG_E_IMPORT_SYNTAX at a line of the input. */
int tgi_workflow_error(const struct tgi_workflow *w, uint32_t line, struct tg_error *err, const char *format,
                       ...) TG_PRINTF(4, 5);

/* A name that exists already is an error. */
int tgi_workflow_add_task(struct tgi_workflow *w, const char *name, uint32_t line, uint32_t *task_p,
                          struct tg_error *err);
uint32_t tgi_workflow_find_task(const struct tgi_workflow *w, const char *name); /* TG_NONE: none */
/* Another name by which a task can be found; one that is taken stays with whom it has. */
int tgi_workflow_add_alias(struct tgi_workflow *w, const char *name, uint32_t task, struct tg_error *err);
/* Finds or adds; the size is the largest that was given. */
int tgi_workflow_add_file(struct tgi_workflow *w, const char *name, double bytes, uint32_t *file_p,
                          struct tg_error *err);
uint32_t tgi_workflow_find_file(const struct tgi_workflow *w, const char *name);
int tgi_workflow_add_use(struct tgi_workflow *w, uint32_t task, uint32_t file, bool is_output, double bytes,
                         struct tg_error *err);
int tgi_workflow_add_edge(struct tgi_workflow *w, uint32_t parent, uint32_t child, uint32_t line,
                          struct tg_error *err);
/* Keeps a copy of the first `size` bytes, or of all, for as long as the workflow lives.  NULL without
 * memory, which writing then reports if nobody has before. */
const char *tgi_workflow_keep(struct tgi_workflow *w, const char *text);
const char *tgi_workflow_keep_start(struct tgi_workflow *w, const char *text, size_t size);

/* Items by key: those with key k become items[at[k]] .. items[at[k+1]-1], in order.  at has n_keys + 1
 * entries, all 0 before. */
void tgi_workflow_index(uint32_t *at, uint32_t *items, uint32_t n_keys, uint32_t n_items,
                        uint32_t (*key_of)(const void *user, uint32_t item), const void *user);
/* A topological order, the one closest to the order of the input: order[i] is the i-th task, rank its
 * inverse.  Who reads a file that one task writes follows that task, whether an edge says so or not.
 * A cycle is TG_E_IMPORT_SYNTAX. */
int tgi_workflow_sort(const struct tgi_workflow *w, uint32_t *order, uint32_t *rank, struct tg_error *err);

struct tgi_workflow_options {
    bool is_spin;  /* burn recorded times and move recorded bytes; otherwise mixes that prove the order */
    double scale;  /* of times and bytes */
    bool is_lines; /* JSON Lines */
};
/* Writes the graph.  Tasks come in an order that respects all edges; if there is none, the cycle is
 * reported.  Write errors stay with the stream. */
int tgi_workflow_write(const struct tgi_workflow *w, const struct tgi_workflow_options *options, FILE *to,
                       struct tg_error *err);

#endif
