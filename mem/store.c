/* Memory for tiles, and the generators of their first contents.
 *
 * A large buffer has a mapping of its own, aligned for huge pages.  Small ones share one pool,
 * since a graph may have more buffers than the system allows mappings.  Nothing is touched here, so
 * pages go to the memory of whoever initialises or first writes them.
 *
 * Random contents are counter-based: word k (8 bytes) of a buffer is a mix of seed and k, and an
 * element is its share of the word, low bytes first.  Any tile can be made at any time by anyone,
 * and tiles need not begin on a word. */
#include "mem/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "graph/dtype.h"
#include "graph/block.h"
#include "graph/error.h"
#include "mem/hostops.h"

#define POOL_ALIGN  ((size_t)64)
#define PAGE        ((size_t)4096)
#define OWN_MAPPING ((size_t)256 << 10) /* from here on */
#define HUGE_PAGE   ((size_t)2 << 20)
#define GIB         ((double)(1 << 30))

/* ---- Memory -------------------------------------------------------------------------------*/

static size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

static uint64_t buffer_bytes(const struct tgi_buffer *b) { return b->tile_bytes * b->n_present; }

static bool is_present(const struct tgi_buffer *b, uint32_t tile) { return !b->present || b->present[tile]; }

/* Returns NULL with errno set.  Charged to the process at once (no MAP_NORESERVE), so that where
 * the system keeps count, too much is an error here rather than a signal later. */
static void *map(size_t bytes, size_t align)
{
    size_t spare = align > PAGE ? align : 0;
    char *p = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (spare) {
        size_t head = (align - (uintptr_t)p % align) % align;
        if (head)
            munmap(p, head);
        if (spare > head)
            munmap(p + head + bytes, spare - head);
        p += head;
        madvise(p, bytes, MADV_HUGEPAGE); /* a hint: no harm if the system declines */
    }
    return p;
}

static int map_block(struct tgi_pinned *pinned, struct tgi_block *block, size_t bytes, struct tg_error *err,
                     const char *name)
{
    if (pinned) {
        block->bytes = bytes;
        return tgi_pinned_alloc(pinned, bytes, &block->base, err);
    }
    size_t mapped = round_up(bytes, PAGE);
    block->base = map(mapped, mapped >= 2 * HUGE_PAGE ? HUGE_PAGE : PAGE);
    if (!block->base)
        return tgi_error_errno(err, TG_E_NO_MEMORY, errno, "cannot map %zu bytes for %s", bytes, name);
    block->bytes = mapped;
    return 0;
}

static void unmap_block(struct tgi_pinned *pinned, struct tgi_block *block)
{
    if (block->base && pinned)
        tgi_pinned_free(pinned, block->base);
    else if (block->base)
        munmap(block->base, block->bytes);
    *block = (struct tgi_block){NULL, 0};
}

/* The system hands out more than it has and kills the process later: refuse before that. */
uint64_t tgi_machine_bytes(void)
{
    struct sysinfo info;
    if (sysinfo(&info) != 0)
        return UINT64_MAX;
    return ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
}

/* Sums up all buffers; the one with which the sum exceeds a limit is named. */
static int measure(const struct tgi_space *space, uint64_t limit_bytes, uint64_t *total_p,
                   size_t *pool_bytes_p, struct tg_error *err)
{
    uint64_t machine = tgi_machine_bytes(), total = 0;
    size_t pool = POOL_ALIGN;
    for (uint32_t i = 0; i < space->n_buffers; i++) {
        const struct tgi_buffer *b = &space->buffers[i];
        if (b->host)
            continue;
        uint64_t bytes = buffer_bytes(b), before = total;
        if (__builtin_add_overflow(total, bytes, &total))
            total = UINT64_MAX;
        if (limit_bytes && total > limit_bytes)
            return tgi_error(err, TG_E_NO_MEMORY,
                             "buffer \"%s\" needs %" PRIu64 " bytes, with %" PRIu64
                             " of the limit of %" PRIu64 " bytes in use",
                             b->name, bytes, before, limit_bytes);
        if (total > machine)
            return tgi_error(err, TG_E_NO_MEMORY,
                             "buffer \"%s\" needs %.4g GiB; the machine has %.4g GiB, of which other buffers need %.4g",
                             b->name, (double)bytes / GIB, (double)machine / GIB, (double)before / GIB);
        if (bytes < OWN_MAPPING)
            pool += round_up(bytes, POOL_ALIGN);
    }
    *total_p = total;
    *pool_bytes_p = pool;
    return 0;
}

static void place_tiles(struct tgi_store *store, const struct tgi_buffer *b, void *base)
{
    char *p = base;
    for (uint32_t t = 0; t < b->n_tiles; t++) {
        store->tile[b->first_tile + t] = is_present(b, t) ? p : NULL;
        if (is_present(b, t))
            p += b->tile_bytes;
    }
}

static int place_buffers(struct tgi_store *store, size_t pool_bytes, struct tg_error *err)
{
    int rc = map_block(store->pinned, &store->pool, pool_bytes, err, "small buffers");
    if (rc)
        return rc;
    char *pool = store->pool.base;
    for (uint32_t i = 0; i < store->space->n_buffers; i++) {
        const struct tgi_buffer *b = &store->space->buffers[i];
        size_t bytes = buffer_bytes(b);
        void *base = b->host;
        if (base) {
            store->is_bound[i] = 1;
        } else if (bytes < OWN_MAPPING) {
            base = pool;
            pool += round_up(bytes, POOL_ALIGN);
        } else {
            rc = map_block(store->pinned, &store->blocks[i], bytes, err, b->name);
            if (rc)
                return rc;
            base = store->blocks[i].base;
        }
        place_tiles(store, b, base);
    }
    return 0;
}

int tgi_store_create(const struct tgi_space *space, uint64_t limit_bytes, struct tgi_pinned *pinned,
                     struct tgi_store **store_p, struct tg_error *err)
{
    uint64_t total = 0;
    size_t pool_bytes = 0;
    int rc = measure(space, limit_bytes, &total, &pool_bytes, err);
    if (rc)
        return rc;
    struct tgi_store *store = calloc(1, sizeof *store);
    if (!store)
        return tgi_error_memory(err, "creating a store");
    store->space = space;
    store->pinned = pinned;
    store->allocated_bytes = total;
    store->tile = tgi_block_alloc_zeroed((size_t)space->n_tiles + 1, sizeof *store->tile);
    store->blocks = calloc((size_t)space->n_buffers + 1, sizeof *store->blocks);
    store->is_bound = calloc((size_t)space->n_buffers + 1, 1);
    if (store->tile && store->blocks && store->is_bound)
        rc = place_buffers(store, pool_bytes, err);
    else
        rc = tgi_error_memory(err, "creating a store");
    if (rc) {
        tgi_store_destroy(store);
        return rc;
    }
    *store_p = store;
    return 0;
}

void tgi_store_destroy(struct tgi_store *store)
{
    if (!store)
        return;
    for (uint32_t i = 0; store->blocks && i < store->space->n_buffers; i++)
        unmap_block(store->pinned, &store->blocks[i]);
    unmap_block(store->pinned, &store->pool);
    tgi_block_free(store->tile);
    free(store->blocks);
    free(store->is_bound);
    free(store);
}

int tgi_store_bind(struct tgi_store *store, tg_buffer_id buffer, void *host, struct tg_error *err)
{
    if (buffer >= store->space->n_buffers)
        return tgi_error(err, TG_E_UNKNOWN_BUFFER, "there is no buffer %u", buffer);
    const struct tgi_buffer *b = &store->space->buffers[buffer];
    if (!host)
        return tgi_error(err, TG_E_INVALID, "buffer \"%s\" cannot be bound to NULL", b->name);
    if (!store->is_bound[buffer])
        store->allocated_bytes -= buffer_bytes(b);
    unmap_block(store->pinned, &store->blocks[buffer]);
    store->is_bound[buffer] = 1;
    place_tiles(store, b, host);
    return 0;
}

/* ---- Random numbers -----------------------------------------------------------------------*/

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014) over a Weyl sequence that starts at a place
 * drawn from the seed. */
static inline uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
#define WEYL 0x9e3779b97f4a7c15u

static uint64_t stream_of(uint64_t seed) { return mix(seed + WEYL); }

static inline uint64_t word_at(uint64_t stream, uint64_t k) { return mix(stream + k * WEYL); }

static inline double unit_f64(uint64_t bits) { return (double)(bits >> 11) * 0x1p-53; }
static inline float unit_f32(uint32_t bits) { return (float)(bits >> 8) * 0x1p-24f; }
/* The products are exact in half precision and never subnormal: only the bits have to move. */
static inline uint16_t unit_f16(uint16_t bits)
{
    float v = (float)(bits >> 5) * 0x1p-11f;
    uint32_t word;
    memcpy(&word, &v, sizeof word);
    return word ? (uint16_t)((word - 0x38000000u) >> 13) : 0;
}
static inline uint16_t unit_bf16(uint16_t bits)
{
    float v = (float)(bits >> 8) * 0x1p-8f;
    uint32_t word;
    memcpy(&word, &v, sizeof word);
    return (uint16_t)(word >> 16);
}

/* Turns the random bits of one word into elements of a type; part types of complex numbers. */
static inline uint64_t shape_f64(uint64_t w)
{
    double v = unit_f64(w);
    memcpy(&w, &v, sizeof w);
    return w;
}
static inline uint64_t shape_f32(uint64_t w)
{
    float low = unit_f32((uint32_t)w), high = unit_f32((uint32_t)(w >> 32));
    uint32_t l, h;
    memcpy(&l, &low, sizeof l);
    memcpy(&h, &high, sizeof h);
    return l | (uint64_t)h << 32;
}
static inline uint64_t shape_f16(uint64_t w)
{
    uint64_t v = 0;
    for (int i = 0; i < 64; i += 16)
        v |= (uint64_t)unit_f16((uint16_t)(w >> i)) << i;
    return v;
}
static inline uint64_t shape_bf16(uint64_t w)
{
    uint64_t v = 0;
    for (int i = 0; i < 64; i += 16)
        v |= (uint64_t)unit_bf16((uint16_t)(w >> i)) << i;
    return v;
}
static inline uint64_t shape_bits(uint64_t w) { return w; }

/* Bytes [first, first + bytes) of the stream of shaped words. */
#define DEFINE_RANDOM(name)                                                                           \
    static void random_##name(char *to, uint64_t stream, uint64_t first, uint64_t bytes)              \
    {                                                                                                 \
        uint64_t k = first / 8, skip = first % 8;                                                     \
        if (skip && bytes) {                                                                          \
            uint64_t w = shape_##name(word_at(stream, k++)), n = 8 - skip < bytes ? 8 - skip : bytes; \
            memcpy(to, (char *)&w + skip, n);                                                         \
            to += n;                                                                                  \
            bytes -= n;                                                                               \
        }                                                                                             \
        uint64_t n_words = bytes / 8;                                                                 \
        for (uint64_t i = 0; i < n_words; i++) {                                                      \
            uint64_t w = shape_##name(word_at(stream, k + i));                                        \
            memcpy(to + 8 * i, &w, 8);                                                                \
        }                                                                                             \
        uint64_t rest = shape_##name(word_at(stream, k + n_words));                                   \
        memcpy(to + 8 * n_words, &rest, bytes % 8);                                                   \
    }
DEFINE_RANDOM(f64)
DEFINE_RANDOM(f32)
DEFINE_RANDOM(f16)
DEFINE_RANDOM(bf16)
DEFINE_RANDOM(bits)

static void init_random(const struct tgi_buffer *b, uint64_t first_elem, void *data)
{
    uint64_t stream = stream_of(b->init_seed), first = first_elem * tg_dtype_size(b->dtype);
    switch (b->dtype) {
    case TG_F16:
        random_f16(data, stream, first, b->tile_bytes);
        break;
    case TG_BF16:
        random_bf16(data, stream, first, b->tile_bytes);
        break;
    case TG_F32:
    case TG_C64:
        random_f32(data, stream, first, b->tile_bytes);
        break;
    case TG_F64:
    case TG_C128:
        random_f64(data, stream, first, b->tile_bytes);
        break;
    default:
        random_bits(data, stream, first, b->tile_bytes);
    }
}

/* ---- Other contents -----------------------------------------------------------------------*/

#define IOTA_AS(type, stride, convert)               \
    do {                                             \
        type *p = data;                              \
        for (uint64_t i = 0; i < b->tile_elems; i++) \
            p[stride * i] = convert(first + i);      \
    } while (0)
#define TO_F16(x)  tgi_f16_from_float((float)(x))
#define TO_BF16(x) tgi_bf16_from_float((float)(x))

static void init_iota(const struct tgi_buffer *b, uint64_t first, void *data)
{
    switch (b->dtype) {
    case TG_F16:
        IOTA_AS(uint16_t, 1, TO_F16);
        break;
    case TG_BF16:
        IOTA_AS(uint16_t, 1, TO_BF16);
        break;
    case TG_F32:
        IOTA_AS(float, 1, (float));
        break;
    case TG_F64:
        IOTA_AS(double, 1, (double));
        break;
    case TG_I8:
    case TG_U8:
        IOTA_AS(uint8_t, 1, (uint8_t));
        break;
    case TG_I16:
    case TG_U16:
        IOTA_AS(uint16_t, 1, (uint16_t));
        break;
    case TG_I32:
    case TG_U32:
        IOTA_AS(uint32_t, 1, (uint32_t));
        break;
    case TG_I64:
    case TG_U64:
        IOTA_AS(uint64_t, 1, (uint64_t));
        break;
    case TG_C64:
        memset(data, 0, b->tile_bytes);
        IOTA_AS(float, 2, (float));
        break;
    case TG_C128:
        memset(data, 0, b->tile_bytes);
        IOTA_AS(double, 2, (double));
        break;
    case TG_N_DTYPES:
        break;
    }
}

static int init_fill(const struct tgi_buffer *b, void *data, struct tg_error *err)
{
    uint64_t word;
    if (!tgi_host_encode_float(b->dtype, b->init_value, &word))
        return tgi_error(err, TG_E_BAD_VALUE, "buffer \"%s\": %g is not a value of type %s", b->name,
                         b->init_value, tg_dtype_name(b->dtype));
    tgi_host_fill(data, b->tile_elems, b->dtype, word);
    return 0;
}

/* Row i from column `begin`: up to the diagonal the counter runs on, beyond it goes down a column. */
#define SPD_AS(type, stride, convert)                                                                    \
    do {                                                                                                 \
        type *p = data;                                                                                  \
        for (uint64_t i = row; i < row + n; i++, p += stride * n) {                                      \
            uint64_t below = i <= column ? 0 : i - column < n ? i - column : n, start = i * (i + 1) / 2; \
            for (uint64_t c = 0; c < below; c++)                                                         \
                p[stride * c] = convert(unit_f64(word_at(stream, start + column + c)) - 0.5);            \
            for (uint64_t c = below; c < n; c++) {                                                       \
                uint64_t j = column + c;                                                                 \
                double u = unit_f64(word_at(stream, j * (j + 1) / 2 + i));                               \
                p[stride * c] = convert(i == j ? (double)order + u : u - 0.5);                           \
            }                                                                                            \
        }                                                                                                \
    } while (0)

static int init_spd(const struct tgi_buffer *b, uint32_t tile, void *data, struct tg_error *err)
{
    bool is_grid = b->n_tile_dims == 2 && b->tiles[0] == b->tiles[1];
    if (b->n_dims != 2 || b->shape[0] != b->shape[1] || !(is_grid || b->n_tiles == 1))
        return tgi_error(err, TG_E_SHAPE_MISMATCH,
                         "buffer \"%s\": init \"spd\" needs square tiles of 2 dimensions in a square grid",
                         b->name);
    uint64_t n = (uint64_t)b->shape[0], nt = is_grid ? (uint64_t)b->tiles[0] : 1, order = n * nt;
    uint64_t row = tile / nt * n, column = tile % nt * n, stream = stream_of(b->init_seed);
    switch (b->dtype) {
    case TG_F16:
        SPD_AS(uint16_t, 1, TO_F16);
        break;
    case TG_BF16:
        SPD_AS(uint16_t, 1, TO_BF16);
        break;
    case TG_F32:
        SPD_AS(float, 1, (float));
        break;
    case TG_F64:
        SPD_AS(double, 1, (double));
        break;
    case TG_C64:
        memset(data, 0, b->tile_bytes);
        SPD_AS(float, 2, (float));
        break;
    case TG_C128:
        memset(data, 0, b->tile_bytes);
        SPD_AS(double, 2, (double));
        break;
    default:
        return tgi_error(err, TG_E_DTYPE_UNSUPPORTED,
                         "buffer \"%s\": init \"spd\" needs a float type, not %s", b->name,
                         tg_dtype_name(b->dtype));
    }
    return 0;
}

/* The program's function may fail without saying why, or with a number that is no status. */
static int init_call(const struct tgi_buffer *b, uint32_t tile, void *data, struct tg_error *err)
{
    struct tg_error answer = {0};
    int rc = b->init_call(b->init_user, tile, data, b->tile_bytes, &answer);
    if (rc == 0)
        return 0;
    if (answer.status == 0 || answer.text[0] == '\0')
        return tgi_error(err, rc < 0 ? rc : TG_E_TASK_FAILED,
                         "buffer \"%s\": its init function returned %d for tile %u", b->name, rc, tile);
    if (err)
        *err = answer;
    return answer.status;
}

int tgi_store_generate(const struct tgi_buffer *b, uint32_t tile, void *data, struct tg_error *err)
{
    switch (b->init) {
    case TG_INIT_NONE:
        return 0;
    case TG_INIT_ZERO:
        if (b->tile_bytes)
            memset(data, 0, b->tile_bytes);
        return 0;
    case TG_INIT_FILL:
        return init_fill(b, data, err);
    case TG_INIT_IOTA:
        init_iota(b, tile * b->tile_elems, data);
        return 0;
    case TG_INIT_RANDOM:
        init_random(b, tile * b->tile_elems, data);
        return 0;
    case TG_INIT_SPD:
        return init_spd(b, tile, data, err);
    case TG_INIT_CALL:
        return init_call(b, tile, data, err);
    }
    return tgi_error(err, TG_E_INVALID, "buffer \"%s\": %d is not a kind of init", b->name, (int)b->init);
}

int tgi_store_init_tile(struct tgi_store *store, tg_buffer_id buffer, uint32_t tile, struct tg_error *err)
{
    const struct tgi_buffer *b = &store->space->buffers[buffer];
    if (store->is_bound[buffer] || !is_present(b, tile))
        return 0;
    return tgi_store_generate(b, tile, store->tile[b->first_tile + tile], err);
}
