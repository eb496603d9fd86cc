/* Checksums of spin.cu. */
#ifndef TGI_KERNELS_SPIN_CUH
#define TGI_KERNELS_SPIN_CUH

#include <stdint.h>

namespace spin {
constexpr int N_TILES = 7, LINE_BYTES = 64;

__device__ __forceinline__ uint8_t mix(uint8_t seen, uint8_t byte)
{
    seen = (uint8_t)(seen * 5u + 1u);
    return (uint8_t)((uint8_t)(seen << 3 | seen >> 5) ^ byte);
}
__device__ __forceinline__ uint8_t weigh(uint64_t k, uint8_t byte)
{
    uint32_t key = (uint32_t)k * 0x9e3779b1u;
    byte = (uint8_t)(byte + (key >> 24));
    byte = (uint8_t)((uint8_t)(byte * 5u + 1u) ^ (key >> 16));
    return (uint8_t)((uint8_t)(byte << 3 | byte >> 5) * 101u);
}
} // namespace spin

#endif
