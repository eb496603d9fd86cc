/* Growing arrays: room for one more, by doubling. */
#ifndef TGI_GRAPH_VEC_H
#define TGI_GRAPH_VEC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* The capacity to grow to, by doubling; 0: there is none. */
static inline uint32_t tgi_vec_grown(uint32_t cap, uint64_t need, size_t size)
{
    uint64_t grown = cap ? (uint64_t)cap * 2 : 16;
    if (grown < need)
        grown = need;
    if (grown > UINT32_MAX)
        grown = UINT32_MAX;
    return grown < need || grown > SIZE_MAX / size ? 0 : (uint32_t)grown;
}

/* Makes *items_p hold at least `need` elements of `size` bytes; false without memory, and then
 * nothing has changed. */
static inline bool tgi_vec_reserve(void *items_p, uint32_t *cap, uint64_t need, size_t size)
{
    if (need <= *cap)
        return true;
    uint32_t grown = tgi_vec_grown(*cap, need, size);
    void *p = grown ? realloc(*(void **)items_p, grown * size) : NULL;
    if (!p)
        return false;
    *(void **)items_p = p;
    *cap = grown;
    return true;
}

#endif
