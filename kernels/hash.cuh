/* The mix of hash.cu. */
#ifndef TGI_KERNELS_HASH_CUH
#define TGI_KERNELS_HASH_CUH

#include <stdint.h>

namespace hash {
constexpr int N_INPUTS = 8;

__device__ __forceinline__ uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* What input k contributes to the mix. */
__device__ __forceinline__ uint64_t take(uint64_t h, int k, uint64_t word)
{
    return mix(h ^ mix(word + ((uint64_t)(k + 1) << 56)));
}
} // namespace hash

#endif
