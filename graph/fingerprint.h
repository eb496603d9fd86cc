/* Whether two frozen graphs are the same: a digest of all that decides what they compute, but for what files hold that they read
 * (io/checkpoint.c looks at that itself). */
#ifndef TGI_GRAPH_FINGERPRINT_H
#define TGI_GRAPH_FINGERPRINT_H

#include "graph/model.h"
#include "graph/sha256.h"

/* Bodies of control tasks are not part of it. */
void tgi_graph_fingerprint(const struct tg_graph *g, unsigned char digest[TGI_SHA256_BYTES]);

#endif
