/* An index from names to ids: open addressing over ids; the names themselves stay with their
 * owner, which a function turns an id back into. */
#ifndef TGI_GRAPH_NAMES_H
#define TGI_GRAPH_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. */
struct tgi_names {
    uint32_t *slots; /* ids, UINT32_MAX: free; n_slots is a power of two, at most 3/4 full */
    uint32_t n_slots, n_used;
};
typedef const char *(*tgi_name_of)(const void *owner, uint32_t id);

/* The id called `name`, or UINT32_MAX. */
uint32_t tgi_names_find(const struct tgi_names *names, tgi_name_of name_of, const void *owner, const char *name,
                        size_t length);
/* Enters an id whose name no other id has.  false without memory. */
bool tgi_names_insert(struct tgi_names *names, tgi_name_of name_of, const void *owner, uint32_t id);
void tgi_names_fini(struct tgi_names *names);

#endif
