/* A bump allocator for strings and small objects that live as long as their owner. */
#ifndef TGI_GRAPH_ARENA_H
#define TGI_GRAPH_ARENA_H

#include <stddef.h>

struct tgi_arena_chunk;
/* Zero-initialised is empty. */
struct tgi_arena {
    struct tgi_arena_chunk *chunks;
    size_t total_bytes;
};

/* 16-byte aligned, uninitialised; NULL without memory. */
void *tgi_arena_alloc(struct tgi_arena *arena, size_t bytes);
char *tgi_arena_strdup(struct tgi_arena *arena, const char *text);
char *tgi_arena_strndup(struct tgi_arena *arena, const char *text, size_t length);
void tgi_arena_fini(struct tgi_arena *arena);

#endif
