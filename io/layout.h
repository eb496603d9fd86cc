/* Pictures from DOT text, by Graphviz in a child process. */
#ifndef TGI_IO_LAYOUT_H
#define TGI_IO_LAYOUT_H

#include <stdio.h>

#include "graph/tgraph.h"

/* Lays out the DOT text of the file `dot_path` and writes it as `type` ("svg", "png", "pdf") to the
 * stream.  TG_E_NO_LIBRARY without Graphviz, TG_E_RUN_TIMEOUT after limit_ns, TG_E_SYSTEM with
 * Graphviz' own words. */
int tgi_layout_render(const char *dot_path, const char *type, uint64_t limit_ns, FILE *to,
                      struct tg_error *err);

/* A new empty file in the folder for temporary files; the caller closes the stream and discards the
 * path.  Discarding removes the file and frees the path. */
int tgi_layout_temporary(char **path_p, FILE **file_p, struct tg_error *err);
void tgi_layout_discard(char *path);

#endif
