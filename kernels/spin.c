/* spin: keeps a processor busy for a given time.  touch: reads, and may write, memory.
 *
 * They stand in for work whose duration and traffic are known but whose code is not, as in imported
 * workflows.  spin can also move memory: of input tile k it reads in_bytes<k> bytes, of output tile k
 * it writes out_bytes<k>; with 0 bytes a tile only orders tasks.  What is written follows from what
 * was read, so results can be compared. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <string.h>
#include <time.h>

#define N_TILES    7
#define LINE_BYTES 64

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void burn(double us, uint64_t start, const struct tg_context *ctx)
{
    if (!(us > 0))
        return;
    uint64_t ns = us < 1e15 ? (uint64_t)(us * 1e3) : (uint64_t)1e18;
    /* A cancelled run should not wait for minutes of pretended work; asking costs more than a look
     * at the clock, so it is asked every few thousand looks. */
    for (uint32_t looks = 1; now_ns() - start < ns; looks++)
        if (looks % 4096 == 0 && ctx && tg_context_is_cancelled(ctx))
            return;
}

/* Multiplication alone would lose bits where the same byte is met again and again, as in the tiles that
 * these kernels write. */
static inline uint8_t mix(uint8_t seen, uint8_t byte)
{
    seen = (uint8_t)(seen * 5u + 1u);
    return (uint8_t)((uint8_t)(seen << 3 | seen >> 5) ^ byte);
}

/* What byte `k` of those read adds to the checksum: for each k another permutation of the bytes, so that one
 * byte that differs is always noticed and many equal ones do not cancel. */
static inline uint8_t weigh(uint64_t k, uint8_t byte)
{
    uint32_t key = (uint32_t)k * 0x9e3779b1u;
    byte = (uint8_t)(byte + (key >> 24));
    byte = (uint8_t)((uint8_t)(byte * 5u + 1u) ^ (key >> 16));
    return (uint8_t)((uint8_t)(byte << 3 | byte >> 5) * 101u);
}

/* The first byte of every cache line, and the last byte.  A sum, so that many threads can share it. */
static uint8_t read_lines(const uint8_t *x, int64_t n_bytes)
{
    int64_t n_lines = n_bytes > 0 ? (n_bytes - 1) / LINE_BYTES + 1 : 0;
    uint8_t seen = 0;
    for (int64_t k = 0; k < n_lines; k++)
        seen = (uint8_t)(seen + weigh((uint64_t)k, x[k * LINE_BYTES]));
    return n_bytes > 0 ? (uint8_t)(seen + weigh((uint64_t)n_lines, x[n_bytes - 1])) : seen;
}

TGI_CPU_KERNEL(spin)
{
    uint64_t start = now_ns();
    uint8_t seen = 0;
    for (int k = 0; k < N_TILES; k++) {
        const uint8_t *in = TGI_TILE(const uint8_t, 1 + k);
        if (in)
            seen = mix(seen, read_lines(in, TGI_INT(1 + 2 * N_TILES + k)));
    }
    for (int k = 0; k < N_TILES; k++) {
        uint8_t *out = TGI_TILE(uint8_t, 1 + N_TILES + k);
        int64_t n_bytes = TGI_INT(1 + 3 * N_TILES + k);
        if (out && n_bytes > 0)
            memset(out, seen + k, (size_t)n_bytes);
    }
    burn(TGI_NUM(double, 0), start, ctx);
    return 0;
}

#define IN(k)        TGI_P_TILE_OR_NULL(TG_U8, "in" #k, TG_IN, "in_bytes" #k)
#define OUT(k)       TGI_P_TILE_OR_NULL(TG_U8, "out" #k, TG_OUT, "out_bytes" #k)
#define IN_BYTES(k)  TGI_P_INT_OR("in_bytes" #k, "0")
#define OUT_BYTES(k) TGI_P_INT_OR("out_bytes" #k, "0")
#define EACH(P)      P(0), P(1), P(2), P(3), P(4), P(5), P(6)

static const struct tgi_builtin_param spin_params[] = {
    {.name = "us", .dtype = TG_F64}, EACH(IN), EACH(OUT), EACH(IN_BYTES), EACH(OUT_BYTES),
};
const struct tgi_builtin tgi_builtin_spin = {
    .name = "spin",
    .brief = "burns us microseconds, reading and writing as many bytes of its tiles as it is told",
    TGI_PARAMS(spin_params),
    .bytes = "in_bytes0+in_bytes1+in_bytes2+in_bytes3+in_bytes4+in_bytes5+in_bytes6"
             "+out_bytes0+out_bytes1+out_bytes2+out_bytes3+out_bytes4+out_bytes5+out_bytes6",
    .cpu = {[TGI_DTYPE_T] = spin},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_spin",
        .grid = TGI_TEAM_GRID,
        .block = "256",
    },
};

static int touch(void **args, int64_t elem_bytes)
{
    int64_t n_bytes = TGI_INT(0) * elem_bytes;
    uint8_t *y = TGI_TILE(uint8_t, 2);
    uint8_t seen = read_lines(TGI_TILE(const uint8_t, 1), n_bytes);
    if (y && n_bytes > 0)
        memset(y, seen, (size_t)n_bytes);
    /* The reads must happen even where nothing depends on them. */
    __asm__ volatile("" : : "r"(seen));
    return 0;
}
TGI_CPU_KERNEL(touch_1) { return touch(args, 1); }
TGI_CPU_KERNEL(touch_2) { return touch(args, 2); }
TGI_CPU_KERNEL(touch_4) { return touch(args, 4); }
TGI_CPU_KERNEL(touch_8) { return touch(args, 8); }
TGI_CPU_KERNEL(touch_16) { return touch(args, 16); }

static const struct tgi_builtin_param touch_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "y", TG_OUT, "n"),
};
const struct tgi_builtin tgi_builtin_touch = {
    .name = "touch",
    .brief = "reads every cache line of x; sets all bytes of y, if given, to a checksum of what it read",
    TGI_PARAMS(touch_params),
    .bytes = "n*sizeof(T)",
    .cpu = TGI_EVERY_TYPE(touch_1, touch_2, touch_4, touch_8, touch_16),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_touch",
        .grid = TGI_TEAM_GRID,
        .block = "256",
    },
};
