#include "io/json_pool.h"

#include <stdlib.h>
#include <string.h>

#include "graph/vec.h"

#define CHUNK_BYTES (16u << 10)

struct tgi_json_pool_chunk {
    struct tgi_json_pool_chunk *next;
    size_t size, used;
    _Alignas(16) char bytes[];
};

void *tgi_json_pool_alloc(struct tgi_json_pool *pool, size_t bytes)
{
    struct tgi_json_pool_chunk *chunk = pool->chunks;
    bytes = (bytes + 15) & ~(size_t)15;
    if (chunk == NULL || chunk->size - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = malloc(sizeof *chunk + size);
        if (chunk == NULL)
            return NULL;
        chunk->next = pool->chunks;
        chunk->size = size;
        chunk->used = 0;
        pool->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return memset(p, 0, bytes);
}

char *tgi_json_pool_strndup(struct tgi_json_pool *pool, const char *text, size_t length)
{
    char *copy = tgi_json_pool_alloc(pool, length + 1);
    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

bool tgi_json_pool_own(struct tgi_json_pool *pool, struct tgi_expr *expr)
{
    if (!tgi_vec_reserve(&pool->exprs, &pool->cap_exprs, (uint64_t)pool->n_exprs + 1, sizeof *pool->exprs)) {
        tgi_expr_destroy(expr);
        return false;
    }
    pool->exprs[pool->n_exprs++] = expr;
    return true;
}

void tgi_json_pool_reset(struct tgi_json_pool *pool)
{
    while (pool->n_exprs > 0)
        tgi_expr_destroy(pool->exprs[--pool->n_exprs]);
    while (pool->chunks != NULL && pool->chunks->next != NULL) {
        struct tgi_json_pool_chunk *next = pool->chunks->next;
        free(pool->chunks);
        pool->chunks = next;
    }
    if (pool->chunks != NULL)
        pool->chunks->used = 0;
}

void tgi_json_pool_fini(struct tgi_json_pool *pool)
{
    tgi_json_pool_reset(pool);
    free(pool->chunks);
    free(pool->exprs);
    memset(pool, 0, sizeof *pool);
}
