/* A frozen graph as a Mermaid flowchart, for pages that render them. */
#ifndef TGI_IO_MERMAID_H
#define TGI_IO_MERMAID_H

#include "io/dot.h"

/* Groups, bodies of control tasks and the view of kernels are left to DOT: every task of the
 * outermost graph that is shown becomes a node. */
int tgi_mermaid_write(const struct tg_graph *g, const struct tgi_picture *picture, FILE *to,
                      struct tg_error *err);

#endif
