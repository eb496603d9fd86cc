/* A hash index from names to numbers. */
#ifndef TGI_IO_JSON_NAMES_H
#define TGI_IO_JSON_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tgi_name_entry {
    const char *name; /* the caller's; outlives the index */
    uint32_t length, value;
};
/* Zero-initialised is empty. */
struct tgi_name_index {
    struct tgi_name_entry *entries; /* in the order of insertion */
    uint32_t n_entries, cap_entries;
    uint32_t *slots; /* 1 + entry; 0: free */
    uint32_t n_slots;
};

/* UINT32_MAX if it is not there. */
uint32_t tgi_name_index_find(const struct tgi_name_index *index, const char *name, size_t length);
/* Of a name that is not there yet; false without memory. */
bool tgi_name_index_add(struct tgi_name_index *index, const char *name, size_t length, uint32_t value);
/* What a name leads to if its definition was wrong: uses of it are not errors of their own. */
#define TGI_NAME_BROKEN (UINT32_MAX - 1)
/* Enters a name as broken unless it is there; false without memory. */
bool tgi_name_index_mark_broken(struct tgi_name_index *index, const char *name);
void tgi_name_index_fini(struct tgi_name_index *index);

#endif
