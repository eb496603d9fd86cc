/* Sub-allocation from a few large reservations, for device, pinned and host memory alike.
 *
 * Blocks are numbers (addresses), never touched here, so one allocator serves memory that the host cannot
 * reach.  Small sizes come from slabs by size class, larger ones by best fit with coalescing of neighbours.
 * The same sequence of calls gives the same addresses.
 *
 * Not thread-safe: the owner sees to that. */
#ifndef TGI_MEM_POOL_H
#define TGI_MEM_POOL_H

#include "graph/tgraph.h"

struct tgi_pool;

/* Gets and returns the reservations; `reserve` may decline by TG_E_NO_MEMORY. */
struct tgi_pool_source {
    int (*reserve)(void *user, uint64_t bytes, uint64_t *address_p, struct tg_error *err);
    void (*unreserve)(void *user, uint64_t address, uint64_t bytes);
    void *user;
};
struct tgi_pool_options {
    uint64_t limit_bytes; /* of all reservations together; 0: what the source gives */
    uint64_t chunk_bytes; /* least size of a reservation; 0: 64 MiB.  Larger blocks get one of their own size */
    uint64_t align_bytes; /* of every block, a power of two up to 4096; 0: 256 */
    const char *name;     /* "cuda:0", for messages; copied */
};
struct tgi_pool_stats {
    uint64_t reserved_bytes, in_use_bytes, peak_bytes; /* in use: as asked for, rounded up to align */
    uint64_t free_bytes, largest_free_bytes;           /* inside the reservations */
    uint64_t n_blocks, n_allocs, n_reserves;
    double fragmentation; /* 1 - largest_free / free; 0 if nothing is free */
};

int tgi_pool_create(const struct tgi_pool_source *source, const struct tgi_pool_options *options,
                    struct tgi_pool **pool_p, struct tg_error *err);
/* Returns all reservations.  Blocks still in use are a leak of the caller's: their number. */
uint64_t tgi_pool_destroy(struct tgi_pool *pool);
/* TG_E_NO_MEMORY (limit, source, fragmentation: the text says which, with the figures).  bytes 0 gives a block
 * of its own as well. */
int tgi_pool_alloc(struct tgi_pool *pool, uint64_t bytes, uint64_t *address_p, struct tg_error *err);
/* The same without asking the source and without a message; false: no room. */
bool tgi_pool_try_alloc(struct tgi_pool *pool, uint64_t bytes, uint64_t *address_p);
void tgi_pool_free(struct tgi_pool *pool, uint64_t address);
/* What a block of so many bytes takes. */
uint64_t tgi_pool_rounded(const struct tgi_pool *pool, uint64_t bytes);
/* Returns reservations nothing is in, until at most keep_bytes are reserved. */
void tgi_pool_trim(struct tgi_pool *pool, uint64_t keep_bytes);
void tgi_pool_stats(struct tgi_pool *pool, struct tgi_pool_stats *stats_p);

#endif
