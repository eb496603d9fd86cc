/* hash, hash_inout, hash_add and hash_commute. */
#include "kernels/hash.cuh"
#include "kernels/resident/warp.cuh"

namespace warp {
/* `finish` makes the result from the mix and from what the tile held, which is read if `reads`.  Inputs that are there are gone
 * through in order; which are is the same for all lanes. */
template <bool reads, class F> __device__ __forceinline__ void hash_words(const uint64_t *a, F finish)
{
    uint64_t seed = hash::mix(a[0]), *out = tile<uint64_t>(a, 2);
    int64_t n = size(a, 1);
    for (int64_t i = lane(); i < n; i += 32) {
        uint64_t v[hash::N_INPUTS], was = reads ? out[i] : 0, h = hash::mix(seed ^ (uint64_t)i);
#pragma unroll
        for (int k = 0; k < hash::N_INPUTS; k++)
            if (a[3 + k])
                v[k] = tile<uint64_t>(a, 3 + k)[i];
#pragma unroll
        for (int k = 0; k < hash::N_INPUTS; k++)
            if (a[3 + k])
                h = hash::take(h, k, v[k]);
        out[i] = finish(h, was);
    }
}
} // namespace warp

#define HASH(name, reads, value)                                                          \
    TGI_BODY body_##name(const uint64_t *a)                                               \
    {                                                                                     \
        warp::hash_words<reads>(a, [](uint64_t h, uint64_t was) { return value; });       \
        return 0;                                                                         \
    }
HASH(hash, false, (void(was), h))
HASH(hash_inout, true, hash::mix(was ^ h))
HASH(hash_add, true, was + h)
#undef HASH
