/* Writing a graph file, as its parts see it: write_json.c for the file, kernels and checks, write_buffer.c, write_task.c. */
#ifndef TGI_IO_GRAPH_WRITER_H
#define TGI_IO_GRAPH_WRITER_H

#include "graph/model.h"
#include "io/json_out.h"
#include "io/write_json.h"

struct tgi_graph_writer {
    const struct tg_graph *g;
    const struct tgi_space *space;
    enum tgi_json_form form;
    struct tgi_json json;
    struct tg_error *err;
    int rc;
};

/* Every object that is a line of its own in JSON Lines, and in a document too. */
void tgi_write_begin(struct tgi_graph_writer *w, const char *kind, const char *key);
void tgi_write_end(struct tgi_graph_writer *w);
void tgi_write_integers(struct tgi_graph_writer *w, const char *key, const int64_t *values, uint32_t n);

extern const char *const tgi_write_op_names[]; /* by enum tg_op */

void tgi_write_buffer(struct tgi_graph_writer *w, const struct tgi_buffer *b);
/* Those of the graph, with their bodies; a failure is in w->rc. */
void tgi_write_tasks(struct tgi_graph_writer *w);

#endif
