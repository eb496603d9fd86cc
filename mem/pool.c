/* See pool.h.
 *
 * Two-level segregated fit (Masmano, Ripoll, Crespo, Real, ECRTS 2004): free blocks lie in bins by size, 16 to each
 * power of two, and bitmaps find the first bin that surely fits; before that, the bin the size itself belongs to is
 * searched for the smallest block that does.  Sizes are in units of the alignment.  Blocks know their neighbours
 * within a reservation and are merged with them when they are free.  Everything about a block is kept here, none
 * of it in the memory itself; a hash table leads from addresses to blocks.
 *
 * Programs use few sizes, over and over: a block that is given back lies in a shelf of its size for a while, as it is and
 * still in the table, and the next one who wants that size gets it.  Shelves are cleared, and their blocks merged, before
 * anything is said not to fit, and whenever somebody asks how much is free. */
#include "mem/pool.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"

enum {
    SECOND_BITS = 4,
    N_SECOND = 1 << SECOND_BITS,
    N_FIRST = 48,
    SEARCHED = 16, /* blocks of the size's own bin that are looked at */
    SLAB = 256,    /* block records made at a time */
    N_SHELVES = 64,
    MOST_SHELVED = 8 /* blocks of a shelf */
};
#define DEFAULT_CHUNK ((uint64_t)64 << 20)

struct block {
    uint64_t address, units;
    struct block *before, *after; /* neighbours in the reservation, NULL at its ends */
    struct block *next, *previous; /* in its bin or shelf, or among unused records */
    bool is_free;                  /* in a bin */
    bool is_shelved;
};

/* Blocks of one size that nobody uses. */
struct shelf {
    uint64_t units;
    struct block *first;
    uint32_t n;
};

struct chunk {
    uint64_t address, bytes;
    struct block *first;
};

struct slab {
    struct slab *next;
    struct block blocks[SLAB];
};

struct tgi_pool {
    struct tgi_pool_source source;
    uint64_t limit_bytes, chunk_bytes, align;
    char name[32];
    struct chunk *chunks;
    uint32_t n_chunks, cap_chunks;
    uint64_t first_bits;
    uint32_t second_bits[N_FIRST];
    struct block *bins[N_FIRST][N_SECOND];
    struct shelf shelves[N_SHELVES]; /* by hash of the size: who comes first has it until it is empty */
    uint64_t n_shelved;
    struct block **slots; /* hash by address; of blocks in use, and of those in shelves */
    uint64_t n_slots;     /* a power of two */
    struct slab *slabs;
    struct block *unused;
    struct tgi_pool_stats stats; /* largest and fragmentation are computed when asked for */
};

/* ---- Records ------------------------------------------------------------------------------*/

static struct block *record_new(struct tgi_pool *p)
{
    if (!p->unused) {
        struct slab *slab = malloc(sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = p->slabs;
        p->slabs = slab;
        for (int i = 0; i < SLAB; i++) {
            slab->blocks[i].next = p->unused;
            p->unused = &slab->blocks[i];
        }
    }
    struct block *b = p->unused;
    p->unused = b->next;
    memset(b, 0, sizeof *b);
    return b;
}

static void record_drop(struct tgi_pool *p, struct block *b)
{
    b->next = p->unused;
    p->unused = b;
}

/* ---- Addresses ----------------------------------------------------------------------------*/

static inline uint64_t slot_of(const struct tgi_pool *p, uint64_t address)
{
    return (address * 0x9e3779b97f4a7c15u >> 20) & (p->n_slots - 1);
}

static void slots_put(struct tgi_pool *p, struct block *b)
{
    uint64_t i = slot_of(p, b->address);
    while (p->slots[i])
        i = (i + 1) & (p->n_slots - 1);
    p->slots[i] = b;
}

/* Room for one more block in use. */
static bool slots_reserve(struct tgi_pool *p)
{
    if (2 * (p->stats.n_blocks + p->n_shelved + 1) <= p->n_slots)
        return true;
    uint64_t n_old = p->n_slots, n = n_old ? 2 * n_old : 64;
    struct block **old = p->slots, **slots = calloc(n, sizeof *slots);
    if (!slots)
        return false;
    p->slots = slots;
    p->n_slots = n;
    for (uint64_t i = 0; i < n_old; i++)
        if (old[i])
            slots_put(p, old[i]);
    free(old);
    return true;
}

/* The slot of the block at an address, or an empty one; the table is not empty. */
static uint64_t slots_find(const struct tgi_pool *p, uint64_t address)
{
    uint64_t i = slot_of(p, address);
    while (p->slots[i] && p->slots[i]->address != address)
        i = (i + 1) & (p->n_slots - 1);
    return i;
}

/* Takes a block out.  The gap is closed: who could not have its own place may move up. */
static void slots_take(struct tgi_pool *p, uint64_t address)
{
    uint64_t mask = p->n_slots - 1, i = slots_find(p, address);
    for (uint64_t k = (i + 1) & mask; p->slots[k]; k = (k + 1) & mask) {
        uint64_t home = slot_of(p, p->slots[k]->address);
        if (((k - home) & mask) < ((k - i) & mask))
            continue;
        p->slots[i] = p->slots[k];
        i = k;
    }
    p->slots[i] = NULL;
}

/* ---- Bins ---------------------------------------------------------------------------------*/

static void bin_of(uint64_t units, uint32_t *first_p, uint32_t *second_p)
{
    if (units < N_SECOND) {
        *first_p = 0;
        *second_p = (uint32_t)units;
        return;
    }
    uint32_t log = 63 - (uint32_t)__builtin_clzll(units);
    *first_p = log - SECOND_BITS + 1;
    *second_p = (uint32_t)(units >> (log - SECOND_BITS)) & (N_SECOND - 1);
}

static void bin_add(struct tgi_pool *p, struct block *b)
{
    uint32_t f, s;
    bin_of(b->units, &f, &s);
    b->is_free = true;
    b->previous = NULL;
    b->next = p->bins[f][s];
    if (b->next)
        b->next->previous = b;
    p->bins[f][s] = b;
    p->first_bits |= (uint64_t)1 << f;
    p->second_bits[f] |= 1u << s;
}

static void bin_remove(struct tgi_pool *p, struct block *b)
{
    uint32_t f, s;
    bin_of(b->units, &f, &s);
    if (b->previous)
        b->previous->next = b->next;
    else
        p->bins[f][s] = b->next;
    if (b->next)
        b->next->previous = b->previous;
    if (!p->bins[f][s]) {
        p->second_bits[f] &= ~(1u << s);
        if (!p->second_bits[f])
            p->first_bits &= ~((uint64_t)1 << f);
    }
    b->is_free = false;
}

static struct block *find_free(struct tgi_pool *p, uint64_t units)
{
    uint32_t f, s, n = 0;
    bin_of(units, &f, &s);
    struct block *best = NULL;
    for (struct block *b = p->bins[f][s]; b && n < SEARCHED; b = b->next, n++)
        if (b->units >= units && (!best || b->units < best->units))
            best = b;
    if (best)
        return best;
    /* Every block of a later bin is large enough. */
    uint32_t seconds = s + 1 < N_SECOND ? p->second_bits[f] & ~0u << (s + 1) : 0;
    if (!seconds) {
        uint64_t firsts = f + 1 < 64 ? p->first_bits & ~(uint64_t)0 << (f + 1) : 0;
        if (!firsts)
            return NULL;
        f = (uint32_t)__builtin_ctzll(firsts);
        seconds = p->second_bits[f];
    }
    return p->bins[f][__builtin_ctz(seconds)];
}

/* ---- Reservations -------------------------------------------------------------------------*/

static bool chunks_reserve(struct tgi_pool *p)
{
    if (p->n_chunks < p->cap_chunks)
        return true;
    uint32_t cap = p->cap_chunks ? 2 * p->cap_chunks : 8;
    struct chunk *grown = realloc(p->chunks, cap * sizeof *grown);
    if (!grown)
        return false;
    p->chunks = grown;
    p->cap_chunks = cap;
    return true;
}

static int no_room(struct tgi_pool *p, uint64_t bytes, struct tg_error *err)
{
    struct tgi_pool_stats s;
    tgi_pool_stats(p, &s);
    return tgi_error(err, TG_E_NO_MEMORY,
                     "%s: no room for %llu bytes: %llu of its limit of %llu bytes are in use, the largest free block has %llu",
                     p->name, (unsigned long long)bytes, (unsigned long long)s.in_use_bytes,
                     (unsigned long long)p->limit_bytes, (unsigned long long)s.largest_free_bytes);
}

/* One more reservation, with room for a block of `bytes`. */
static int grow(struct tgi_pool *p, uint64_t bytes, struct tg_error *err)
{
    uint64_t left = p->limit_bytes ? p->limit_bytes - p->stats.reserved_bytes : UINT64_MAX, address;
    uint64_t wanted = bytes > p->chunk_bytes ? bytes : p->chunk_bytes;
    if (bytes > left)
        return no_room(p, bytes, err);
    wanted = wanted > left ? left / p->align * p->align : wanted;
    struct block *b = chunks_reserve(p) ? record_new(p) : NULL;
    if (!b)
        return tgi_error_memory(err, "growing a memory pool");
    int rc = p->source.reserve(p->source.user, wanted, &address, err);
    if (rc == TG_E_NO_MEMORY && wanted > bytes) {
        wanted = bytes;
        rc = p->source.reserve(p->source.user, wanted, &address, err);
    }
    if (rc) {
        record_drop(p, b);
        return rc;
    }
    b->address = address;
    b->units = wanted / p->align;
    bin_add(p, b);
    p->chunks[p->n_chunks++] = (struct chunk){address, wanted, b};
    p->stats.reserved_bytes += wanted;
    p->stats.n_reserves++;
    return 0;
}

/* ---- Shelves ------------------------------------------------------------------------------*/

/* The block after b joins it. */
static void absorb(struct tgi_pool *p, struct block *b)
{
    struct block *gone = b->after;
    b->units += gone->units;
    b->after = gone->after;
    if (b->after)
        b->after->before = b;
    record_drop(p, gone);
}

/* A block that nobody uses joins its neighbours and goes to its bin. */
static void merge(struct tgi_pool *p, struct block *b)
{
    slots_take(p, b->address);
    if (b->after && b->after->is_free) {
        bin_remove(p, b->after);
        absorb(p, b);
    }
    if (b->before && b->before->is_free) {
        b = b->before;
        bin_remove(p, b);
        absorb(p, b);
    }
    bin_add(p, b);
}

static inline struct shelf *shelf_of(struct tgi_pool *p, uint64_t units)
{
    return &p->shelves[units * 0x9e3779b97f4a7c15u >> 58];
}
_Static_assert(N_SHELVES == 64, "six bits of the hash");

/* False: there is no room for it. */
static bool shelve(struct tgi_pool *p, struct block *b)
{
    struct shelf *s = shelf_of(p, b->units);
    if (s->n == MOST_SHELVED || (s->n && s->units != b->units))
        return false;
    s->units = b->units;
    b->is_shelved = true;
    b->next = s->first;
    s->first = b;
    s->n++;
    p->n_shelved++;
    return true;
}

static struct block *unshelve(struct tgi_pool *p, uint64_t units)
{
    struct shelf *s = shelf_of(p, units);
    struct block *b = s->n && s->units == units ? s->first : NULL;
    if (!b)
        return NULL;
    s->first = b->next;
    s->n--;
    p->n_shelved--;
    b->is_shelved = false;
    return b;
}

/* True if there was anything. */
static bool clear_shelves(struct tgi_pool *p)
{
    bool has_any = p->n_shelved > 0;
    for (uint32_t i = 0; p->n_shelved && i < N_SHELVES; i++)
        for (struct block *b; (b = unshelve(p, p->shelves[i].units));)
            merge(p, b);
    return has_any;
}

/* ---- Blocks -------------------------------------------------------------------------------*/

/* Keeps the first `units` of a block; the rest becomes a free block of its own. */
static bool split(struct tgi_pool *p, struct block *b, uint64_t units)
{
    if (b->units == units)
        return true;
    struct block *rest = record_new(p);
    if (!rest)
        return false;
    rest->address = b->address + units * p->align;
    rest->units = b->units - units;
    rest->before = b;
    rest->after = b->after;
    if (b->after)
        b->after->before = rest;
    b->after = rest;
    b->units = units;
    bin_add(p, rest);
    return true;
}

uint64_t tgi_pool_rounded(const struct tgi_pool *p, uint64_t bytes)
{
    return bytes ? (bytes + p->align - 1) / p->align * p->align : p->align;
}

/* A block out of the bins. */
static struct block *carve(struct tgi_pool *p, uint64_t units)
{
    struct block *b = find_free(p, units);
    if (!b && clear_shelves(p))
        b = find_free(p, units);
    if (!b || !slots_reserve(p))
        return NULL;
    bin_remove(p, b);
    if (!split(p, b, units)) {
        bin_add(p, b);
        return NULL;
    }
    slots_put(p, b);
    return b;
}

bool tgi_pool_try_alloc(struct tgi_pool *p, uint64_t bytes, uint64_t *address_p)
{
    if (bytes > UINT64_MAX / 2)
        return false;
    uint64_t rounded = tgi_pool_rounded(p, bytes), units = rounded / p->align;
    struct block *b = unshelve(p, units);
    if (!b && !(b = carve(p, units)))
        return false;
    p->stats.n_blocks++;
    p->stats.n_allocs++;
    p->stats.in_use_bytes += rounded;
    if (p->stats.in_use_bytes > p->stats.peak_bytes)
        p->stats.peak_bytes = p->stats.in_use_bytes;
    *address_p = b->address;
    return true;
}

int tgi_pool_alloc(struct tgi_pool *p, uint64_t bytes, uint64_t *address_p, struct tg_error *err)
{
    if (tgi_pool_try_alloc(p, bytes, address_p))
        return 0;
    if (bytes > UINT64_MAX / 2)
        return no_room(p, bytes, err);
    int rc = grow(p, tgi_pool_rounded(p, bytes), err);
    if (rc)
        return rc;
    return tgi_pool_try_alloc(p, bytes, address_p) ? 0 : tgi_error_memory(err, "allocating from a memory pool");
}

void tgi_pool_free(struct tgi_pool *p, uint64_t address)
{
    struct block *b = p->n_slots ? p->slots[slots_find(p, address)] : NULL;
    if (!b || b->is_shelved)
        return;
    p->stats.n_blocks--;
    p->stats.in_use_bytes -= b->units * p->align;
    if (!shelve(p, b))
        merge(p, b);
}

static bool is_empty(const struct chunk *c) { return c->first->is_free && !c->first->after; }

void tgi_pool_trim(struct tgi_pool *p, uint64_t keep_bytes)
{
    clear_shelves(p);
    for (uint32_t i = p->n_chunks; i-- > 0 && p->stats.reserved_bytes > keep_bytes;) {
        struct chunk c = p->chunks[i];
        if (!is_empty(&c))
            continue;
        bin_remove(p, c.first);
        record_drop(p, c.first);
        p->source.unreserve(p->source.user, c.address, c.bytes);
        p->stats.reserved_bytes -= c.bytes;
        memmove(&p->chunks[i], &p->chunks[i + 1], (p->n_chunks - i - 1) * sizeof c);
        p->n_chunks--;
    }
}

void tgi_pool_stats(struct tgi_pool *p, struct tgi_pool_stats *stats_p)
{
    clear_shelves(p);
    struct tgi_pool_stats s = p->stats;
    if (p->first_bits) {
        uint32_t f = 63 - (uint32_t)__builtin_clzll(p->first_bits), best = 31 - (uint32_t)__builtin_clz(p->second_bits[f]);
        for (const struct block *b = p->bins[f][best]; b; b = b->next)
            if (b->units * p->align > s.largest_free_bytes)
                s.largest_free_bytes = b->units * p->align;
    }
    s.free_bytes = s.reserved_bytes - s.in_use_bytes;
    s.fragmentation = s.free_bytes ? 1 - (double)s.largest_free_bytes / (double)s.free_bytes : 0;
    *stats_p = s;
}

/* ---- Life ---------------------------------------------------------------------------------*/

int tgi_pool_create(const struct tgi_pool_source *source, const struct tgi_pool_options *options,
                    struct tgi_pool **pool_p, struct tg_error *err)
{
    uint64_t align = options->align_bytes ? options->align_bytes : 256;
    if (align & (align - 1) || align > 4096)
        return tgi_error(err, TG_E_INVALID, "blocks cannot be aligned to %llu bytes", (unsigned long long)align);
    struct tgi_pool *p = calloc(1, sizeof *p);
    if (!p)
        return tgi_error_memory(err, "creating a memory pool");
    p->source = *source;
    p->align = align;
    p->limit_bytes = options->limit_bytes / align * align;
    if (options->limit_bytes && !p->limit_bytes)
        p->limit_bytes = align;
    p->chunk_bytes = options->chunk_bytes ? (options->chunk_bytes + align - 1) / align * align : DEFAULT_CHUNK;
    strncpy(p->name, options->name ? options->name : "memory", sizeof p->name - 1);
    *pool_p = p;
    return 0;
}

uint64_t tgi_pool_destroy(struct tgi_pool *p)
{
    if (!p)
        return 0;
    uint64_t n_leaked = p->stats.n_blocks;
    for (uint32_t i = 0; i < p->n_chunks; i++)
        p->source.unreserve(p->source.user, p->chunks[i].address, p->chunks[i].bytes);
    while (p->slabs) {
        struct slab *next = p->slabs->next;
        free(p->slabs);
        p->slabs = next;
    }
    free(p->slots);
    free(p->chunks);
    free(p);
    return n_leaked;
}
