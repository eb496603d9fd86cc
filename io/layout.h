/* Pictures from DOT text, by Graphviz in a child process. */
#ifndef TGI_IO_LAYOUT_H
#define TGI_IO_LAYOUT_H

#include <stdio.h>

#include "graph/tgraph.h"

/* Writes the DOT text of a picture; `user` is the caller's. */
typedef int tgi_layout_write_dot(void *user, FILE *to, struct tg_error *err);

/* Lays out the DOT text that write_dot gives and writes it as `type` ("svg", "png", "pdf") to the
 * stream.  TG_E_NO_LIBRARY without Graphviz, TG_E_RUN_TIMEOUT after limit_ns, TG_E_SYSTEM with
 * Graphviz' own words. */
int tgi_layout_write(tgi_layout_write_dot *write_dot, void *user, const char *type, uint64_t limit_ns, FILE *to,
                     struct tg_error *err);

#endif
