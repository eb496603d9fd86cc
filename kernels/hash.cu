/* See hash.c.  A thread makes two neighbouring words, 16 bytes of every tile. */
#include "kernels/entry.cuh"
#include "kernels/hash.cuh"
#include "kernels/pack.cuh"

namespace hash {
constexpr int THREADS = 256;

struct inputs {
    const uint64_t *at[N_INPUTS];
};

/* `finish` makes the result from the mix and from what the tile held, which is read if `reads`. */
template <bool reads, class F>
__device__ __forceinline__ void words(uint64_t id, int64_t n, uint64_t *out, const inputs in, F finish)
{
    bool is_wide = is_aligned(out);
#pragma unroll
    for (int k = 0; k < N_INPUTS; k++)
        is_wide = is_wide && is_aligned(in.at[k]);
    uint64_t seed = mix(id);
    for (int64_t i = 2 * (blockIdx.x * (int64_t)THREADS + threadIdx.x); i < n; i += 2 * (int64_t)gridDim.x * THREADS) {
        pack<uint64_t> v[N_INPUTS], was = {{0, 0}}, r;
        if (reads)
            was = load_pack(out, i, n, is_wide, (uint64_t)0);
#pragma unroll
        for (int k = 0; k < N_INPUTS; k++)
            if (in.at[k])
                v[k] = load_pack(in.at[k], i, n, is_wide, (uint64_t)0);
#pragma unroll
        for (int e = 0; e < 2; e++) {
            uint64_t h = mix(seed ^ (uint64_t)(i + e));
#pragma unroll
            for (int k = 0; k < N_INPUTS; k++)
                if (in.at[k])
                    h = take(h, k, v[k].at[e]);
            r.at[e] = finish(h, was.at[e]);
        }
        store_pack(out, i, n, is_wide, r);
    }
}
} // namespace hash

#define IN const uint64_t *
#define HASH(name, reads, value)                                                                           \
    TGK_KERNEL(256) tgk_##name(int64_t id, int64_t n, uint64_t *out, IN in0, IN in1, IN in2, IN in3, IN in4, \
                               IN in5, IN in6, IN in7)                                                     \
    {                                                                                                      \
        tgk_begin();                                                                                       \
        hash::words<reads>((uint64_t)id, n, out, {{in0, in1, in2, in3, in4, in5, in6, in7}},               \
                           [](uint64_t h, uint64_t was) { return value; });                                \
    }
HASH(hash, false, (void(was), h))
HASH(hash_inout, true, hash::mix(was ^ h))
HASH(hash_add, true, was + h)
HASH(hash_commute, true, was + h)
#undef HASH
#undef IN
