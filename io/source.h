/* A whole input file in memory. */
#ifndef TGI_IO_SOURCE_H
#define TGI_IO_SOURCE_H

#include "graph/tgraph.h"

struct tgi_source {
    char *text; /* terminated, though NULs may also occur inside */
    size_t size;
};

/* "-": standard input.  TG_E_OPEN, TG_E_READ, or TG_E_LIMIT beyond max_bytes. */
int tgi_source_read(struct tgi_source *source, const char *path, size_t max_bytes, struct tg_error *err);
void tgi_source_fini(struct tgi_source *source);

#endif
