/* Gates: where several tasks wait for exactly the same predecessors, those count down one gate
 * instead of every task.  p predecessors and m tasks then cost p + m steps instead of p * m.
 *
 * Gates are for executors alone.  They live in a second CSR form, in which ids from n_tasks on are
 * gates; a task behind a gate has the gate as its only predecessor.  Everything that people see (edges,
 * statistics, pictures) is the graph's own CSR form. */
#ifndef TGI_GRAPH_GATE_H
#define TGI_GRAPH_GATE_H

#include "graph/freeze.h"

/* Members of a large gate come in chunks, so that a worker that steals gets several at a time.  A gate's
 * op is the id of its first chunk, 0: it has none.  Its chunks follow each other, then comes an id that
 * ends the last one; the members of a chunk are its successors.  These ids lie beyond those of gates. */
enum { TGI_CHUNK_MEMBERS = 4, TGI_LEAST_CHUNKS = 3 };

struct tgi_gated {
    uint32_t n_gates;
    struct tgi_node *nodes; /* n_tasks + n_gates + 1 + those of chunks */
    uint32_t *succ;
    size_t bytes;
};

/* Looks for gates in a graph whose CSR form is complete.  *gated_p becomes NULL if there is nothing to
 * gain.  false without memory. */
bool tgi_gates_find(const struct tg_graph *g, const struct tgi_preds *preds, struct tgi_gated **gated_p);
void tgi_gated_destroy(struct tgi_gated *gated);

#endif
