#include "graph/names.h"

#include <stdlib.h>
#include <string.h>

/* Multiply-and-fold over 8-byte words. */
static uint64_t hash_name(const char *name, size_t length)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ length;
    while (length >= 8) {
        uint64_t word;
        memcpy(&word, name, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
        name += 8;
        length -= 8;
    }
    uint64_t word = 0;
    memcpy(&word, name, length);
    h = (h ^ word) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

static uint32_t *slot_for(const struct tgi_names *names, tgi_name_of name_of, const void *owner, const char *name,
                          size_t length)
{
    uint32_t mask = names->n_slots - 1;
    for (uint32_t i = (uint32_t)hash_name(name, length) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &names->slots[i];
        if (*slot == UINT32_MAX)
            return slot;
        const char *there = name_of(owner, *slot);
        if (strncmp(there, name, length) == 0 && there[length] == '\0')
            return slot;
    }
}

uint32_t tgi_names_find(const struct tgi_names *names, tgi_name_of name_of, const void *owner, const char *name,
                        size_t length)
{
    if (!names->n_slots || memchr(name, '\0', length))
        return UINT32_MAX;
    return *slot_for(names, name_of, owner, name, length);
}

static bool names_grow(struct tgi_names *names, tgi_name_of name_of, const void *owner)
{
    struct tgi_names bigger = {NULL, names->n_slots ? names->n_slots * 2 : 64, names->n_used};
    if (bigger.n_slots == 0)
        return false;
    bigger.slots = malloc((size_t)bigger.n_slots * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    memset(bigger.slots, 0xff, (size_t)bigger.n_slots * sizeof *bigger.slots);
    for (uint32_t i = 0; i < names->n_slots; i++) {
        uint32_t id = names->slots[i];
        if (id != UINT32_MAX) {
            const char *name = name_of(owner, id);
            *slot_for(&bigger, name_of, owner, name, strlen(name)) = id;
        }
    }
    free(names->slots);
    *names = bigger;
    return true;
}

bool tgi_names_insert(struct tgi_names *names, tgi_name_of name_of, const void *owner, uint32_t id)
{
    if ((uint64_t)names->n_used * 4 >= (uint64_t)names->n_slots * 3 && !names_grow(names, name_of, owner))
        return false;
    const char *name = name_of(owner, id);
    *slot_for(names, name_of, owner, name, strlen(name)) = id;
    names->n_used++;
    return true;
}

void tgi_names_fini(struct tgi_names *names)
{
    free(names->slots);
    *names = (struct tgi_names){NULL, 0, 0};
}
