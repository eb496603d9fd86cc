/* Compiled kernels on disk.
 *
 * A folder of mode 0700 with one file per entry: the compiled bytes and a trailer with the SHA-256 of
 * key and bytes.  Entries appear by rename.  A file that is torn, flipped, renamed, planted by
 * another user or writable by one is not an entry: what is built anew takes its place.  A folder that
 * others may enter is not used at all. */
#ifndef TGI_GRAPH_KERNEL_CACHE_H
#define TGI_GRAPH_KERNEL_CACHE_H

#include "graph/sha256.h"
#include "graph/tgraph.h"

struct tgi_kernel_cache {
    int folder; /* descriptor; -1: there is no cache, every look-up misses and nothing is kept */
};

/* Opens `name` ("cpu") in the cache folder of the user, creating both.  Cannot fail: without a
 * usable folder there is no cache. */
void tgi_kernel_cache_open(struct tgi_kernel_cache *cache, const char *name);
void tgi_kernel_cache_close(struct tgi_kernel_cache *cache);
/* The bytes of an entry, verified; the caller frees them.  NULL: not there. */
unsigned char *tgi_kernel_cache_get(const struct tgi_kernel_cache *cache,
                                    const unsigned char key[TGI_SHA256_BYTES], size_t *bytes_p);
/* Whether there is anything by the name of an entry, verified or not. */
bool tgi_kernel_cache_has(const struct tgi_kernel_cache *cache, const unsigned char key[TGI_SHA256_BYTES]);
/* Keeps an entry if the system lets us; false if not. */
bool tgi_kernel_cache_put(const struct tgi_kernel_cache *cache, const unsigned char key[TGI_SHA256_BYTES],
                          const void *data, size_t bytes);

/* Cache folder: $TGRAPH_CACHE_DIR, else $XDG_CACHE_HOME/tgraph, else $HOME/.cache/tgraph.  Writes it
 * into path, creating nothing. */
int tgi_cache_folder(char *path, size_t size, struct tg_error *err);

#endif
