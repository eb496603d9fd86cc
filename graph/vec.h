/* Growing arrays: room for one more, by doubling. */
#ifndef TGI_GRAPH_VEC_H
#define TGI_GRAPH_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Makes *items_p hold at least `need` elements of `size` bytes; false without memory, and then
 * nothing has changed. */
static inline bool tgi_vec_reserve(void *items_p, uint32_t *cap, uint64_t need, size_t size)
{
    if (need <= *cap)
        return true;
    uint64_t grown = *cap ? (uint64_t)*cap * 2 : 16;
    if (grown < need)
        grown = need;
    if (grown > UINT32_MAX)
        grown = UINT32_MAX;
    if (grown < need || grown > SIZE_MAX / size)
        return false;
    void *p = realloc(*(void **)items_p, grown * size);
    if (!p)
        return false;
    *(void **)items_p = p;
    *cap = (uint32_t)grown;
    return true;
}

#endif
