/* Memory for the large arrays of graphs and runs.
 *
 * Programs that build, run and drop graphs over and over ask for the same sizes each time.  malloc()
 * gives such blocks back to the system, which hands them out again page by page, each zeroed first: that
 * costs more than filling them.  So a few MiB of freed blocks are kept for the next graph, by the process
 * as a whole.  Blocks that are small, or so large that they are few, go the usual way. */
#ifndef TGI_GRAPH_BLOCK_H
#define TGI_GRAPH_BLOCK_H

#include "graph/vec.h"

/* 16-byte aligned, uninitialised; NULL without memory.  Any thread may call any of these. */
void *tgi_block_alloc(size_t bytes);
/* n * size bytes of zeros; the product must not overflow. */
void *tgi_block_alloc_zeroed(size_t n, size_t size);
/* Like realloc(): the contents stay; NULL without memory, and then the old block is as it was. */
void *tgi_block_grow(void *block, size_t bytes);
/* Gives back what lies beyond `bytes`.  NULL if that is not worth it; then the old block is as it was. */
void *tgi_block_shrink(void *block, size_t bytes);
/* Takes NULL. */
void tgi_block_free(void *block);

/* tgi_vec_reserve() for an array that is a block. */
static inline bool tgi_block_reserve(void *items_p, uint32_t *cap, uint64_t need, size_t size)
{
    if (need <= *cap)
        return true;
    uint32_t grown = tgi_vec_grown(*cap, need, size);
    void *p = grown ? tgi_block_grow(*(void **)items_p, grown * size) : NULL;
    if (!p)
        return false;
    *(void **)items_p = p;
    *cap = grown;
    return true;
}

#endif
