/* spin, as far as it moves memory, and touch.  Who calls them burns the time, since that looks at the abort word. */
#include "kernels/resident/warp.cuh"
#include "kernels/spin.cuh"

namespace warp {
/* The sum of read_lines() in kernels/spin.c, in every lane. */
__device__ __forceinline__ uint8_t read_lines(const uint8_t *x, int64_t n_bytes)
{
    int64_t n_lines = n_bytes > 0 ? (n_bytes - 1) / spin::LINE_BYTES + 1 : 0;
    uint32_t seen = 0;
#pragma unroll 4
    for (int64_t k = lane(); k < n_lines; k += 32)
        seen += spin::weigh((uint64_t)k, *(const volatile uint8_t *)&x[k * spin::LINE_BYTES]);
    if (n_bytes > 0 && lane() == 0)
        seen += spin::weigh((uint64_t)n_lines, x[n_bytes - 1]);
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        seen += __shfl_xor_sync(0xffffffffu, seen, w);
    return (uint8_t)seen;
}

__device__ __forceinline__ void write_bytes(uint8_t *y, int64_t n_bytes, uint8_t value)
{
    map<0>(n_bytes, y, {y}, [=](int64_t, const uint8_t *) { return value; });
}

__device__ __forceinline__ void move_for_spin(const uint64_t *a)
{
    uint8_t seen = 0;
#pragma unroll 1
    for (int k = 0; k < spin::N_TILES; k++)
        if (a[1 + k]) {
            int64_t n_bytes = size(a, 1 + 2 * spin::N_TILES + k);
            seen = spin::mix(seen, n_bytes > 0 ? read_lines(tile<uint8_t>(a, 1 + k), n_bytes) : 0);
        }
#pragma unroll 1
    for (int k = 0; k < spin::N_TILES; k++) {
        int64_t n_bytes = size(a, 1 + 3 * spin::N_TILES + k);
        if (a[1 + spin::N_TILES + k] && n_bytes > 0)
            write_bytes(tile<uint8_t>(a, 1 + spin::N_TILES + k), n_bytes, (uint8_t)(seen + k));
    }
}

__device__ __forceinline__ uint64_t ns_of_spin(const uint64_t *a)
{
    double us = number<double>(a, 0);
    return !(us > 0) ? 0 : us < 1e15 ? (uint64_t)(us * 1e3) : (uint64_t)1e18;
}
} // namespace warp

#define TOUCH(bytes)                                                                          \
    TGI_BODY body_touch_##bytes(const uint64_t *a)                                            \
    {                                                                                         \
        int64_t n_bytes = warp::size(a, 0) * bytes;                                           \
        uint8_t seen = warp::read_lines(warp::tile<uint8_t>(a, 1), n_bytes);                  \
        if (a[2] && n_bytes > 0)                                                              \
            warp::write_bytes(warp::tile<uint8_t>(a, 2), n_bytes, seen);                      \
        return 0;                                                                             \
    }
TOUCH(1)
TOUCH(2)
TOUCH(4)
TOUCH(8)
TOUCH(16)
#undef TOUCH
