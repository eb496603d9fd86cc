#include "graph/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct tgi_arena_chunk {
    struct tgi_arena_chunk *next;
    size_t used, size;
    alignas(16) char bytes[];
};

enum { CHUNK_BYTES = 16 * 1024 };

void *tgi_arena_alloc(struct tgi_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + 15) & ~(size_t)15;
    struct tgi_arena_chunk *c = arena->chunks;
    if (!c || c->size - c->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        c = malloc(sizeof *c + size);
        if (!c)
            return NULL;
        c->used = 0;
        c->size = size;
        c->next = arena->chunks;
        arena->chunks = c;
        arena->total_bytes += sizeof *c + size;
    }
    void *p = c->bytes + c->used;
    c->used += bytes;
    return p;
}

char *tgi_arena_strndup(struct tgi_arena *arena, const char *text, size_t length)
{
    char *p = tgi_arena_alloc(arena, length + 1);
    if (!p)
        return NULL;
    memcpy(p, text, length);
    p[length] = '\0';
    return p;
}

char *tgi_arena_strdup(struct tgi_arena *arena, const char *text)
{
    return tgi_arena_strndup(arena, text, strlen(text));
}

void tgi_arena_fini(struct tgi_arena *arena)
{
    while (arena->chunks) {
        struct tgi_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->total_bytes = 0;
}
