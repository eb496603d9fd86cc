/* The host copy of all data of one run: an address for every tile, and how it gets its first
 * contents.  One store belongs to one run. */
#ifndef TGI_MEM_STORE_H
#define TGI_MEM_STORE_H

#include "mem/pinned.h"

struct tgi_store {
    const struct tgi_space *space;
    void **tile;              /* by tile number; NULL: the tile does not exist */
    uint64_t allocated_bytes; /* the store's own memory */
    struct tgi_block {
        void *base; /* of the store's own memory; NULL: the program's */
        size_t bytes;
    } *blocks;      /* by buffer */
    struct tgi_block pool; /* what the small buffers share */
    uint8_t *is_bound; /* by buffer: the program's own memory, never initialised */
    struct tgi_pinned *pinned; /* where the store's memory is from; NULL: mappings of its own */
};

/* What this machine has, swap included. */
uint64_t tgi_machine_bytes(void);
/* Maps memory for every buffer the program did not provide; contents are undefined, nothing is
 * touched.  The tiles of a buffer that exist lie one after the other, in the program's memory as in
 * the store's own; absent ones take no room.  The first is aligned to 64 bytes, to a page from
 * 256 KiB.  TG_E_NO_MEMORY names the buffer and the bytes; limit_bytes 0: no limit.  pinned: memory that devices
 * copy at full speed, which outlasts the store; NULL: none is needed, and pages go to whoever first writes them. */
int tgi_store_create(const struct tgi_space *space, uint64_t limit_bytes, struct tgi_pinned *pinned,
                     struct tgi_store **store_p, struct tg_error *err);
void tgi_store_destroy(struct tgi_store *store);
/* The program's memory for a whole buffer from now on. */
int tgi_store_bind(struct tgi_store *store, tg_buffer_id buffer, void *host, struct tg_error *err);
/* Gives one tile (index within its buffer) its initial contents.  Does nothing for bound buffers,
 * TG_INIT_NONE and absent tiles.  Different tiles may be initialised by different threads; the
 * contents depend on the graph alone, not on who initialises what when. */
int tgi_store_init_tile(struct tgi_store *store, tg_buffer_id buffer, uint32_t tile, struct tg_error *err);

/* Writes what the tile first holds into `data` (tile_bytes of it): what tgi_store_init_tile() does,
 * for any memory.  TG_INIT_NONE leaves it alone.  Element values depend on the kind of init, the
 * seed and the element's index over the whole buffer (absent tiles counted) only:
 *   random: floats are uniform multiples of 2^-53, 2^-24, 2^-11, 2^-8 (f64, f32, f16, bf16) in
 *           [0,1), complex numbers in both parts, integers all their bits;
 *   iota:   the index converted to the type, integers modulo 2^bits;
 *   spd:    entry (i,j) of the whole matrix of order N depends on the seed, max(i,j) and min(i,j):
 *           uniform in [-0.5,0.5), on the diagonal N + uniform in [0,1); complex ones are real. */
int tgi_store_generate(const struct tgi_buffer *buffer, uint32_t tile, void *data, struct tg_error *err);

/* Address of an argument word; NULL for an absent optional tile. */
static inline void *tgi_store_address(const struct tgi_store *store, uint64_t word)
{
    uint32_t range = tgi_word_range(word);
    if (__builtin_expect(range == 0, 1))
        return store->tile[tgi_word_tile(word)];
    if (word == TGI_WORD_NULL)
        return NULL;
    if (range == TGI_WORD_ALL)
        return store->tile[tgi_word_tile(word)];
    const struct tgi_buffer *b = tgi_space_buffer_of(store->space, tgi_word_tile(word));
    return (char *)store->tile[tgi_word_tile(word)] + store->space->ranges[range - 1].begin * b->row_bytes;
}

#endif
