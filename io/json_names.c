#include "io/json_names.h"

#include <stdlib.h>
#include <string.h>

#include "graph/vec.h"

static uint32_t hash(const char *name, size_t length)
{
    uint64_t h = 1469598103934665603u;
    for (size_t k = 0; k < length; k++)
        h = (h ^ (unsigned char)name[k]) * 1099511628211u;
    return (uint32_t)(h ^ h >> 32);
}

uint32_t tgi_name_index_find(const struct tgi_name_index *index, const char *name, size_t length)
{
    if (index->n_slots == 0)
        return UINT32_MAX;
    uint32_t mask = index->n_slots - 1;
    for (uint32_t s = hash(name, length) & mask; index->slots[s] != 0; s = (s + 1) & mask) {
        const struct tgi_name_entry *e = &index->entries[index->slots[s] - 1];
        if (e->length == length && memcmp(e->name, name, length) == 0)
            return e->value;
    }
    return UINT32_MAX;
}

static void enter(struct tgi_name_index *index, uint32_t entry)
{
    const struct tgi_name_entry *e = &index->entries[entry];
    uint32_t mask = index->n_slots - 1, s = hash(e->name, e->length) & mask;
    while (index->slots[s] != 0)
        s = (s + 1) & mask;
    index->slots[s] = entry + 1;
}

bool tgi_name_index_add(struct tgi_name_index *index, const char *name, size_t length, uint32_t value)
{
    if (!tgi_vec_reserve(&index->entries, &index->cap_entries, (uint64_t)index->n_entries + 1,
                         sizeof *index->entries))
        return false;
    if (2 * ((uint64_t)index->n_entries + 1) > index->n_slots) {
        uint32_t n = index->n_slots > 0 ? 2 * index->n_slots : 32;
        uint32_t *slots = calloc(n, sizeof *slots);
        if (slots == NULL)
            return false;
        free(index->slots);
        index->slots = slots;
        index->n_slots = n;
        for (uint32_t k = 0; k < index->n_entries; k++)
            enter(index, k);
    }
    index->entries[index->n_entries] = (struct tgi_name_entry){name, (uint32_t)length, value};
    enter(index, index->n_entries++);
    return true;
}

bool tgi_name_index_mark_broken(struct tgi_name_index *index, const char *name)
{
    size_t length = strlen(name);
    return tgi_name_index_find(index, name, length) != UINT32_MAX ||
           tgi_name_index_add(index, name, length, TGI_NAME_BROKEN);
}

void tgi_name_index_fini(struct tgi_name_index *index)
{
    free(index->entries);
    free(index->slots);
    memset(index, 0, sizeof *index);
}
