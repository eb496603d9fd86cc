/* Element loops over tiles in host memory.  A macro per family of types, so that each loop has a
 * constant type and can be vectorised; half precision goes through float, element by element. */
#include "mem/hostops.h"

#include <math.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/error.h"

/* ---- Single elements ----------------------------------------------------------------------*/

static uint64_t float_word(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t double_word(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Only the types that are not integers.  A double goes to half precision through float: the second
 * rounding can differ from a direct one in the last place only. */
static uint64_t encode_real(enum tg_dtype dtype, double value)
{
    switch (dtype) {
    case TG_F16:
        return tgi_f16_from_float((float)value);
    case TG_BF16:
        return tgi_bf16_from_float((float)value);
    case TG_F32:
    case TG_C64:
        return float_word((float)value);
    default:
        return double_word(value);
    }
}

bool tgi_host_encode_int(enum tg_dtype dtype, int64_t value, uint64_t *word_p)
{
    if (!tgi_dtype_is_integer(dtype)) {
        *word_p =
            dtype == TG_F32 || dtype == TG_C64 ? float_word((float)value) : encode_real(dtype, (double)value);
        return true;
    }
    if (!tgi_dtype_holds(dtype, value))
        return false;
    *word_p = (uint64_t)value;
    return true;
}

bool tgi_host_encode_float(enum tg_dtype dtype, double value, uint64_t *word_p)
{
    if (!tgi_dtype_is_integer(dtype)) {
        *word_p = encode_real(dtype, value);
        return true;
    }
    if (value != trunc(value)) /* also false for NaN */
        return false;
    if (dtype == TG_U64 && value >= 0 && value < 0x1p64) {
        *word_p = (uint64_t)value;
        return true;
    }
    return value >= -0x1p63 && value < 0x1p63 && tgi_host_encode_int(dtype, (int64_t)value, word_p);
}

double tgi_host_load(const void *src, uint64_t i, enum tg_dtype dtype)
{
    switch (dtype) {
    case TG_F16:
        return tgi_f16_to_float(((const uint16_t *)src)[i]);
    case TG_BF16:
        return tgi_bf16_to_float(((const uint16_t *)src)[i]);
    case TG_F32:
        return ((const float *)src)[i];
    case TG_F64:
        return ((const double *)src)[i];
    case TG_I8:
        return ((const int8_t *)src)[i];
    case TG_I16:
        return ((const int16_t *)src)[i];
    case TG_I32:
        return ((const int32_t *)src)[i];
    case TG_I64:
        return (double)((const int64_t *)src)[i];
    case TG_U8:
        return ((const uint8_t *)src)[i];
    case TG_U16:
        return ((const uint16_t *)src)[i];
    case TG_U32:
        return ((const uint32_t *)src)[i];
    case TG_U64:
        return (double)((const uint64_t *)src)[i];
    case TG_C64:
        return ((const float *)src)[2 * i];
    case TG_C128:
        return ((const double *)src)[2 * i];
    default:
        return NAN;
    }
}

/* The exponent of what is not finite is all ones.  Blocks first: within one the loop has no exit and is
 * vectorised. */
#define FIND_NOT_FINITE(name, type, exponent)                               \
    static bool name(const type *words, uint64_t n, uint64_t *index_p)      \
    {                                                                       \
        for (uint64_t from = 0; from < n; from += 1024) {                   \
            uint64_t to = n - from < 1024 ? n : from + 1024;                \
            type any = 0;                                                   \
            for (uint64_t i = from; i < to; i++)                            \
                any |= (type)((words[i] & (exponent)) == (exponent));       \
            for (uint64_t i = from; any && i < to; i++)                     \
                if ((words[i] & (exponent)) == (exponent)) {                \
                    *index_p = i;                                           \
                    return true;                                            \
                }                                                           \
        }                                                                   \
        return false;                                                       \
    }
FIND_NOT_FINITE(find_in_f16, uint16_t, 0x7c00u)
FIND_NOT_FINITE(find_in_bf16, uint16_t, 0x7f80u)
FIND_NOT_FINITE(find_in_f32, uint32_t, 0x7f800000u)
FIND_NOT_FINITE(find_in_f64, uint64_t, 0x7ff0000000000000u)

bool tgi_host_find_not_finite(const void *src, uint64_t n_elems, enum tg_dtype dtype, uint64_t *index_p)
{
    bool is_complex = dtype == TG_C64 || dtype == TG_C128, found;
    uint64_t n = is_complex ? 2 * n_elems : n_elems;
    switch (dtype) {
    case TG_F16:
        found = find_in_f16(src, n, index_p);
        break;
    case TG_BF16:
        found = find_in_bf16(src, n, index_p);
        break;
    case TG_F32:
    case TG_C64:
        found = find_in_f32(src, n, index_p);
        break;
    case TG_F64:
    case TG_C128:
        found = find_in_f64(src, n, index_p);
        break;
    default:
        return false;
    }
    if (found && is_complex)
        *index_p /= 2;
    return found;
}

/* ---- Fill ---------------------------------------------------------------------------------*/

#define FILL_AS(type)                          \
    do {                                       \
        type *p = dst, v = (type)word;         \
        for (uint64_t i = 0; i < n_elems; i++) \
            p[i] = v;                          \
    } while (0)

void tgi_host_fill(void *dst, uint64_t n_elems, enum tg_dtype dtype, uint64_t word)
{
    size_t size = tg_dtype_size(dtype);
    if (n_elems == 0)
        return;
    if (word == 0) {
        memset(dst, 0, n_elems * size);
        return;
    }
    switch (size) {
    case 1:
        memset(dst, (int)(word & 0xff), n_elems);
        break;
    case 2:
        FILL_AS(uint16_t);
        break;
    case 4:
        FILL_AS(uint32_t);
        break;
    case 8:
        FILL_AS(uint64_t);
        break;
    default: {
        uint64_t *p = dst;
        for (uint64_t i = 0; i < n_elems; i++) {
            p[2 * i] = word;
            p[2 * i + 1] = 0;
        }
    }
    }
}

/* ---- Reductions ---------------------------------------------------------------------------*/

static int check_reducible(enum tg_dtype dtype, enum tg_op op, struct tg_error *err)
{
    if ((unsigned)dtype >= TG_N_DTYPES)
        return tgi_error(err, TG_E_INVALID, "%d is not a data type", (int)dtype);
    if ((unsigned)op > TG_MAX)
        return tgi_error(err, TG_E_INVALID, "%d is not a reduction operator", (int)op);
    if ((dtype == TG_C64 || dtype == TG_C128) && (op == TG_MIN || op == TG_MAX))
        return tgi_error(err, TG_E_DTYPE_UNSUPPORTED, "complex numbers (%s) have no %s", tg_dtype_name(dtype),
                         op == TG_MIN ? "min" : "max");
    return 0;
}

/* A NaN on either side wins, so that the result does not depend on the order. */
#define MIN_OF(a, b) ((b) < (a) || (b) != (b) ? (b) : (a))
#define MAX_OF(a, b) ((b) > (a) || (b) != (b) ? (b) : (a))

#define LOOP(type, load, store, expression)  \
    for (uint64_t i = 0; i < n; i++) {       \
        type a = load(d[i]), b = load(s[i]); \
        d[i] = store(expression);            \
    }
/* `wide` is the type of sums and products: unsigned for integers, which wrap. */
#define REDUCE_REAL(name, element, type, wide, load, store)                                              \
    static void reduce_##name(element *restrict d, const element *restrict s, uint64_t n, enum tg_op op) \
    {                                                                                                    \
        switch (op) {                                                                                    \
        case TG_SUM:                                                                                     \
            LOOP(type, load, store, (type)((wide)a + (wide)b))                                           \
            break;                                                                                       \
        case TG_PROD:                                                                                    \
            LOOP(type, load, store, (type)((wide)a * (wide)b))                                           \
            break;                                                                                       \
        case TG_MIN:                                                                                     \
            LOOP(type, load, store, MIN_OF(a, b))                                                        \
            break;                                                                                       \
        case TG_MAX:                                                                                     \
            LOOP(type, load, store, MAX_OF(a, b))                                                        \
            break;                                                                                       \
        }                                                                                                \
    }
#define AS_IS(x) (x)
REDUCE_REAL(f16, uint16_t, float, float, tgi_f16_to_float, tgi_f16_from_float)
REDUCE_REAL(bf16, uint16_t, float, float, tgi_bf16_to_float, tgi_bf16_from_float)
REDUCE_REAL(f32, float, float, float, AS_IS, AS_IS)
REDUCE_REAL(f64, double, double, double, AS_IS, AS_IS)
REDUCE_REAL(i8, int8_t, int8_t, uint32_t, AS_IS, AS_IS)
REDUCE_REAL(i16, int16_t, int16_t, uint32_t, AS_IS, AS_IS)
REDUCE_REAL(i32, int32_t, int32_t, uint32_t, AS_IS, AS_IS)
REDUCE_REAL(i64, int64_t, int64_t, uint64_t, AS_IS, AS_IS)
REDUCE_REAL(u8, uint8_t, uint8_t, uint32_t, AS_IS, AS_IS)
REDUCE_REAL(u16, uint16_t, uint16_t, uint32_t, AS_IS, AS_IS)
REDUCE_REAL(u32, uint32_t, uint32_t, uint32_t, AS_IS, AS_IS)
REDUCE_REAL(u64, uint64_t, uint64_t, uint64_t, AS_IS, AS_IS)

/* The schoolbook product: C's own complex multiplication looks for infinities and is a call. */
#define REDUCE_COMPLEX(name, type)                                                                 \
    static void reduce_##name(type *restrict d, const type *restrict s, uint64_t n, enum tg_op op) \
    {                                                                                              \
        for (uint64_t i = 0; i < 2 * n; i += 2) {                                                  \
            type re = d[i], im = d[i + 1];                                                         \
            d[i] = op == TG_SUM ? re + s[i] : re * s[i] - im * s[i + 1];                           \
            d[i + 1] = op == TG_SUM ? im + s[i + 1] : re * s[i + 1] + im * s[i];                   \
        }                                                                                          \
    }
REDUCE_COMPLEX(c64, float)
REDUCE_COMPLEX(c128, double)

static void reduce(void *dst, const void *src, uint64_t n, enum tg_dtype dtype, enum tg_op op)
{
    switch (dtype) {
#define REDUCE_CASE(constant, name)     \
    case constant:                      \
        reduce_##name(dst, src, n, op); \
        break;
        REDUCE_CASE(TG_F16, f16)
        REDUCE_CASE(TG_BF16, bf16)
        REDUCE_CASE(TG_F32, f32)
        REDUCE_CASE(TG_F64, f64)
        REDUCE_CASE(TG_I8, i8)
        REDUCE_CASE(TG_I16, i16)
        REDUCE_CASE(TG_I32, i32)
        REDUCE_CASE(TG_I64, i64)
        REDUCE_CASE(TG_U8, u8)
        REDUCE_CASE(TG_U16, u16)
        REDUCE_CASE(TG_U32, u32)
        REDUCE_CASE(TG_U64, u64)
        REDUCE_CASE(TG_C64, c64)
        REDUCE_CASE(TG_C128, c128)
    case TG_N_DTYPES:
        break;
    }
}

int tgi_host_reduce_into(void *dst, const void *src, uint64_t n_elems, enum tg_dtype dtype, enum tg_op op,
                         struct tg_error *err)
{
    int rc = check_reducible(dtype, op, err);
    if (rc == 0)
        reduce(dst, src, n_elems, dtype, op);
    return rc;
}

/* The least or greatest value of a type. */
static uint64_t extreme_word(enum tg_dtype dtype, bool greatest)
{
    unsigned bits = 8 * (unsigned)tg_dtype_size(dtype);
    switch (dtype) {
    case TG_I8:
    case TG_I16:
    case TG_I32:
    case TG_I64:
        return greatest ? UINT64_MAX >> (65 - bits) : (uint64_t)1 << (bits - 1);
    case TG_U8:
    case TG_U16:
    case TG_U32:
    case TG_U64:
        return greatest ? UINT64_MAX : 0;
    default:
        return encode_real(dtype, greatest ? INFINITY : -INFINITY);
    }
}

int tgi_host_identity(void *dst, uint64_t n_elems, enum tg_dtype dtype, enum tg_op op, struct tg_error *err)
{
    int rc = check_reducible(dtype, op, err);
    if (rc)
        return rc;
    uint64_t word = 0;
    if (op == TG_PROD)
        tgi_host_encode_int(dtype, 1, &word);
    else if (op != TG_SUM)
        word = extreme_word(dtype, op == TG_MIN);
    tgi_host_fill(dst, n_elems, dtype, word);
    return 0;
}

/* ---- Collectives --------------------------------------------------------------------------*/

enum { PIECE_BYTES = 8192 };

static void copy_bytes(void *dst, const void *src, size_t bytes)
{
    if (dst != src && bytes)
        memmove(dst, src, bytes);
}

/* Reduces elements [first, first + n_elems) of all tiles in rank order, piece by piece through the
 * cache, and writes them to tiles [to, to_end). */
static void reduce_ranks(void *const *tiles, uint32_t n, uint64_t first, uint64_t n_elems,
                         enum tg_dtype dtype, enum tg_op op, uint32_t to, uint32_t to_end)
{
    _Alignas(64) unsigned char sum[PIECE_BYTES];
    size_t size = tg_dtype_size(dtype);
    uint64_t step = PIECE_BYTES / size;
    for (uint64_t done = 0; done < n_elems; done += step) {
        uint64_t count = n_elems - done < step ? n_elems - done : step;
        size_t at = (first + done) * size;
        memcpy(sum, (char *)tiles[0] + at, count * size);
        for (uint32_t r = 1; r < n; r++)
            reduce(sum, (char *)tiles[r] + at, count, dtype, op);
        for (uint32_t r = to; r < to_end; r++)
            memcpy((char *)tiles[r] + at, sum, count * size);
    }
}

static void swap_bytes(char *a, char *b, size_t bytes)
{
    unsigned char piece[PIECE_BYTES];
    for (size_t done = 0; done < bytes; done += PIECE_BYTES) {
        size_t count = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        memcpy(piece, a + done, count);
        memcpy(a + done, b + done, count);
        memcpy(b + done, piece, count);
    }
}

static int check_collective(enum tg_collective what, enum tg_op op, uint32_t root, uint32_t n,
                            uint64_t n_elems, enum tg_dtype dtype, struct tg_error *err)
{
    if (n == 0)
        return tgi_error(err, TG_E_COLLECTIVE, "a collective needs at least one tile");
    switch (what) {
    case TG_SENDRECV:
        if (n != 2)
            return tgi_error(err, TG_E_COLLECTIVE, "sendrecv takes 2 tiles, not %u", n);
        return 0;
    case TG_REDUCE_TO:
    case TG_BROADCAST:
        if (root >= n)
            return tgi_error(err, TG_E_COLLECTIVE, "root %u of a collective over %u tiles", root, n);
        return what == TG_REDUCE_TO ? check_reducible(dtype, op, err) : 0;
    case TG_ALLREDUCE:
        return check_reducible(dtype, op, err);
    case TG_ALLGATHER:
    case TG_ALLTOALL:
    case TG_REDUCESCATTER:
        if (n_elems % n)
            return tgi_error(err, TG_E_COLLECTIVE, "%llu elements cannot be cut into %u equal chunks",
                             (unsigned long long)n_elems, n);
        return what == TG_REDUCESCATTER ? check_reducible(dtype, op, err) : 0;
    }
    return tgi_error(err, TG_E_INVALID, "%d is not a collective", (int)what);
}

int tgi_host_collective(enum tg_collective what, enum tg_op op, uint32_t root, void *const *tiles, uint32_t n,
                        uint64_t n_elems, enum tg_dtype dtype, struct tg_error *err)
{
    int rc = check_collective(what, op, root, n, n_elems, dtype, err);
    if (rc)
        return rc;
    size_t bytes = n_elems * tg_dtype_size(dtype), chunk = bytes / n;
    switch (what) {
    case TG_ALLREDUCE:
        reduce_ranks(tiles, n, 0, n_elems, dtype, op, 0, n);
        break;
    case TG_REDUCE_TO:
        reduce_ranks(tiles, n, 0, n_elems, dtype, op, root, root + 1);
        break;
    case TG_REDUCESCATTER: /* each rank writes only the chunk that nobody else reads any more */
        for (uint32_t r = 0; r < n; r++)
            reduce_ranks(tiles, n, r * (n_elems / n), n_elems / n, dtype, op, r, r + 1);
        break;
    case TG_BROADCAST:
        for (uint32_t r = 0; r < n; r++)
            copy_bytes(tiles[r], tiles[root], bytes);
        break;
    case TG_SENDRECV:
        copy_bytes(tiles[1], tiles[0], bytes);
        break;
    case TG_ALLGATHER:
        for (uint32_t r = 0; r < n; r++)
            for (uint32_t s = 0; s < n; s++)
                copy_bytes((char *)tiles[s] + r * chunk, (char *)tiles[r] + r * chunk, chunk);
        break;
    case TG_ALLTOALL:
        for (uint32_t r = 0; r < n; r++)
            for (uint32_t s = 0; s < r; s++)
                swap_bytes((char *)tiles[r] + s * chunk, (char *)tiles[s] + r * chunk, chunk);
        break;
    }
    return 0;
}
