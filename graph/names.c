#include "graph/names.h"

#include <stdlib.h>
#include <string.h>

struct tgi_names {
    uint32_t *slots; /* task ids, TG_NONE: free; n_slots is a power of two, at most 3/4 full */
    uint32_t n_slots, n_used;
};

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

static const char *name_of(const struct tg_graph *g, uint32_t task)
{
    return g->names_text + g->names_at[task];
}

static uint32_t *slot_for(const struct tg_graph *g, const struct tgi_names *names, const char *name, size_t length)
{
    uint32_t mask = names->n_slots - 1;
    for (uint32_t i = (uint32_t)hash_name(name, length) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &names->slots[i];
        if (*slot == TG_NONE)
            return slot;
        const char *there = name_of(g, *slot);
        if (strncmp(there, name, length) == 0 && there[length] == '\0')
            return slot;
    }
}

uint32_t tgi_names_find(const struct tg_graph *g, const char *name, size_t length)
{
    if (!g->index || memchr(name, '\0', length))
        return TG_NONE;
    return *slot_for(g, g->index, name, length);
}

static bool names_grow(const struct tg_graph *g, struct tgi_names *names)
{
    struct tgi_names bigger = {NULL, names->n_slots ? names->n_slots * 2 : 64, names->n_used};
    if (bigger.n_slots == 0)
        return false;
    bigger.slots = malloc((size_t)bigger.n_slots * sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    memset(bigger.slots, 0xff, (size_t)bigger.n_slots * sizeof *bigger.slots);
    for (uint32_t i = 0; i < names->n_slots; i++) {
        uint32_t task = names->slots[i];
        if (task != TG_NONE) {
            const char *name = name_of(g, task);
            *slot_for(g, &bigger, name, strlen(name)) = task;
        }
    }
    free(names->slots);
    *names = bigger;
    return true;
}

bool tgi_names_insert(struct tg_graph *g, uint32_t task)
{
    if (!g->index) {
        g->index = calloc(1, sizeof *g->index);
        if (!g->index)
            return false;
    }
    struct tgi_names *names = g->index;
    if ((uint64_t)names->n_used * 4 >= (uint64_t)names->n_slots * 3 && !names_grow(g, names))
        return false;
    const char *name = name_of(g, task);
    *slot_for(g, names, name, strlen(name)) = task;
    names->n_used++;
    return true;
}

void tgi_names_destroy(struct tgi_names *names)
{
    if (names)
        free(names->slots);
    free(names);
}

size_t tgi_names_bytes(const struct tgi_names *names)
{
    return names ? sizeof *names + (size_t)names->n_slots * sizeof *names->slots : 0;
}
