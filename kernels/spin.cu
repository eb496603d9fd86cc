/* See spin.c.  A team of eight blocks (team.cuh) reads and writes; the time is burnt by one warp, so that
 * pretended tasks leave the multiprocessors to others. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"
#include "kernels/spin.cuh"
#include "kernels/team.cuh"

namespace spin {
constexpr int THREADS = 256;

__device__ __forceinline__ uint64_t now_ns()
{
    uint64_t t;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
    return t;
}

struct add {
    __device__ uint32_t operator()(uint32_t a, uint32_t b) const { return a + b; }
};

/* The sum of read_lines() in spin.c; the whole team calls, and gets it. */
__device__ __forceinline__ uint8_t read_lines(const uint8_t *x, int64_t n_bytes)
{
    int64_t n_lines = n_bytes > 0 ? (n_bytes - 1) / LINE_BYTES + 1 : 0;
    uint32_t seen = 0;
    int64_t step = (int64_t)team::SIZE * THREADS;
#pragma unroll 16
    for (int64_t k = team::rank() * (int64_t)THREADS + threadIdx.x; k < n_lines; k += step)
        seen += weigh((uint64_t)k, *(const volatile uint8_t *)&x[k * LINE_BYTES]);
    if (n_bytes > 0 && team::rank() == 0 && threadIdx.x == 0)
        seen += weigh((uint64_t)n_lines, x[n_bytes - 1]);
    return (uint8_t)team::join_all<THREADS>(seen, add());
}

__device__ __forceinline__ void write_bytes(uint8_t *y, int64_t n_bytes, uint8_t value)
{
    int64_t me = team::rank() * (int64_t)THREADS + threadIdx.x, step = (int64_t)team::SIZE * THREADS;
    int64_t head = (int64_t)(-(uintptr_t)y & 15);
    head = head < n_bytes ? head : n_bytes;
    int64_t n_packs = (n_bytes - head) / 16, tail = head + n_packs * 16;
    uint32_t w = value * 0x01010101u;
    uint4 all = make_uint4(w, w, w, w);
    for (int64_t i = me; i < n_packs; i += step)
        *reinterpret_cast<uint4 *>(y + head + i * 16) = all;
    if (me < head)
        y[me] = value;
    if (me < n_bytes - tail)
        y[tail + me] = value;
}

struct tiles {
    const uint8_t *in[N_TILES];
    uint8_t *out[N_TILES];
    int64_t in_bytes[N_TILES], out_bytes[N_TILES];
};

__device__ __forceinline__ void run(double us, const tiles &t)
{
    if (team::is_spare())
        return;
    uint64_t start = now_ns();
    bool moves = false;
#pragma unroll
    for (int k = 0; k < N_TILES; k++)
        moves = moves || (t.in[k] && t.in_bytes[k] > 0) || (t.out[k] && t.out_bytes[k] > 0);
    if (moves) {
        uint8_t seen = 0;
#pragma unroll 1
        for (int k = 0; k < N_TILES; k++)
            if (t.in[k])
                seen = mix(seen, t.in_bytes[k] > 0 ? read_lines(t.in[k], t.in_bytes[k]) : 0);
#pragma unroll 1
        for (int k = 0; k < N_TILES; k++)
            if (t.out[k] && t.out_bytes[k] > 0)
                write_bytes(t.out[k], t.out_bytes[k], (uint8_t)(seen + k));
    }
    if (!(us > 0) || team::rank() != 0 || threadIdx.x >= 32)
        return;
    uint64_t ns = us < 1e15 ? (uint64_t)(us * 1e3) : (uint64_t)1e18;
    while (now_ns() - start < ns)
        ;
}
} // namespace spin

#define IN(k) const uint8_t *in##k
#define OUT(k) uint8_t *out##k
#define IN_BYTES(k) int64_t in_bytes##k
#define OUT_BYTES(k) int64_t out_bytes##k
#define EACH(P) P(0), P(1), P(2), P(3), P(4), P(5), P(6)
#define IN_AT(k) in##k
#define OUT_AT(k) out##k
#define IN_BYTES_AT(k) in_bytes##k
#define OUT_BYTES_AT(k) out_bytes##k
TGK_TEAM_KERNEL(256) tgk_spin(double us, EACH(IN), EACH(OUT), EACH(IN_BYTES), EACH(OUT_BYTES))
{
    tgk_begin();
    __shared__ spin::tiles t;
    if (threadIdx.x == 0)
        t = {{EACH(IN_AT)}, {EACH(OUT_AT)}, {EACH(IN_BYTES_AT)}, {EACH(OUT_BYTES_AT)}};
    __syncthreads();
    spin::run(us, t);
}
#undef IN
#undef OUT
#undef IN_BYTES
#undef OUT_BYTES
#undef IN_AT
#undef OUT_AT
#undef IN_BYTES_AT
#undef OUT_BYTES_AT
#undef EACH

#define TOUCH(type, T)                                                                    \
    TGK_TEAM_KERNEL(256) tgk_touch_##type(int64_t n, const T *x, T *y)                    \
    {                                                                                     \
        tgk_begin();                                                                      \
        if (team::is_spare())                                                             \
            return;                                                                       \
        int64_t n_bytes = n * (int64_t)sizeof(T);                                         \
        uint8_t seen = spin::read_lines((const uint8_t *)x, n_bytes);                     \
        if (y && n_bytes > 0)                                                             \
            spin::write_bytes((uint8_t *)y, n_bytes, seen);                               \
    }
TGK_BITS(TOUCH)
#undef TOUCH
