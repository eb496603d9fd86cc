#include "graph/block.h"

#include <pthread.h>
#include <string.h>

/* In front of every block. */
struct header {
    _Alignas(16) size_t bytes; /* that follow */
};

enum {
    LEAST_BYTES = 32 * 1024,      /* of a block that is kept */
    MOST_BYTES = 4 * 1024 * 1024,
    MAX_KEPT = 64,
    MAX_KEPT_BYTES = 16 * 1024 * 1024,
};

/* Under the sanitizer a freed block must be out of bounds at once. */
#if defined(__SANITIZE_ADDRESS__)
static const bool keeps = false;
#else
static const bool keeps = true;
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* The oldest first; all under the lock. */
static struct header *kept[MAX_KEPT];
static uint32_t n_kept;
static size_t kept_bytes;

static bool is_kept_size(size_t bytes)
{
    return keeps && bytes >= LEAST_BYTES && bytes <= MOST_BYTES;
}

static struct header *take_locked(uint32_t i)
{
    struct header *h = kept[i];
    kept_bytes -= h->bytes;
    memmove(kept + i, kept + i + 1, (--n_kept - i) * sizeof *kept);
    return h;
}

/* The smallest kept block that is large enough, and not much too large; NULL: none. */
static struct header *take_fitting(size_t bytes)
{
    struct header *h = NULL;
    uint32_t best = MAX_KEPT;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < n_kept; i++)
        if (kept[i]->bytes >= bytes && kept[i]->bytes / 2 <= bytes && (best == MAX_KEPT || kept[i]->bytes < kept[best]->bytes))
            best = i;
    if (best < MAX_KEPT)
        h = take_locked(best);
    pthread_mutex_unlock(&lock);
    return h;
}

/* Keeps a block; what was kept longest has to go if there is no room. */
static void keep(struct header *h)
{
    pthread_mutex_lock(&lock);
    while (n_kept == MAX_KEPT || kept_bytes + h->bytes > MAX_KEPT_BYTES)
        free(take_locked(0));
    kept[n_kept++] = h;
    kept_bytes += h->bytes;
    pthread_mutex_unlock(&lock);
}

void *tgi_block_alloc(size_t bytes)
{
    struct header *h = is_kept_size(bytes) ? take_fitting(bytes) : NULL;
    if (!h) {
        h = bytes < SIZE_MAX / 2 ? malloc(sizeof *h + bytes) : NULL;
        if (!h)
            return NULL;
        h->bytes = bytes;
    }
    return h + 1;
}

void *tgi_block_alloc_zeroed(size_t n, size_t size)
{
    size_t bytes = n * size;
    struct header *h = is_kept_size(bytes) ? take_fitting(bytes) : NULL;
    if (h)
        return memset(h + 1, 0, bytes);
    h = bytes < SIZE_MAX / 2 ? calloc(1, sizeof *h + bytes) : NULL;
    if (!h)
        return NULL;
    h->bytes = bytes;
    return h + 1;
}

static void *resize(struct header *h, size_t bytes)
{
    h = bytes < SIZE_MAX / 2 ? realloc(h, sizeof *h + bytes) : NULL;
    if (!h)
        return NULL;
    h->bytes = bytes;
    return h + 1;
}

void *tgi_block_grow(void *block, size_t bytes)
{
    struct header *h = block ? (struct header *)block - 1 : NULL;
    if (!h)
        return tgi_block_alloc(bytes);
    if (h->bytes >= bytes)
        return block;
    struct header *grown = is_kept_size(bytes) ? take_fitting(bytes) : NULL;
    if (!grown) /* realloc() grows in place where it can, and moves large blocks by their pages */
        return resize(h, bytes);
    memcpy(grown + 1, block, h->bytes);
    tgi_block_free(block);
    return grown + 1;
}

void *tgi_block_shrink(void *block, size_t bytes)
{
    struct header *h = (struct header *)block - 1;
    return bytes < h->bytes && !is_kept_size(h->bytes) ? resize(h, bytes) : NULL;
}

void tgi_block_free(void *block)
{
    struct header *h = block ? (struct header *)block - 1 : NULL;
    if (h && is_kept_size(h->bytes))
        keep(h);
    else
        free(h);
}
