/* Sixteen bytes at a time.  Tiles may start at any element, so every kernel that wants 16-byte accesses
 * asks whether its tiles allow them and otherwise does the same by single elements. */
#ifndef TGI_KERNELS_PACK_CUH
#define TGI_KERNELS_PACK_CUH

#include <stdint.h>
#include <string.h>

template <class T> struct alignas(16) pack {
    static constexpr int N = 16 / sizeof(T);
    T at[N];
};

__device__ __forceinline__ bool is_aligned(const void *p) { return ((uintptr_t)p & 15) == 0; }

template <class T> __device__ __forceinline__ pack<T> load_pack(const T *p)
{
    uint4 word = *reinterpret_cast<const uint4 *>(p);
    pack<T> v;
    memcpy(&v, &word, sizeof v);
    return v;
}
template <class T> __device__ __forceinline__ void store_pack(T *p, const pack<T> &v)
{
    uint4 word;
    memcpy(&word, &v, sizeof word);
    *reinterpret_cast<uint4 *>(p) = word;
}

/* Elements first.. of x[0..n), `filler` beyond the end. */
template <class T>
__device__ __forceinline__ pack<T> load_pack(const T *x, int64_t first, int64_t n, bool is_wide, T filler)
{
    if (is_wide && first + pack<T>::N <= n)
        return load_pack(x + first);
    pack<T> v;
#pragma unroll
    for (int e = 0; e < pack<T>::N; e++)
        v.at[e] = first + e < n ? x[first + e] : filler;
    return v;
}
template <class T>
__device__ __forceinline__ void store_pack(T *x, int64_t first, int64_t n, bool is_wide, const pack<T> &v)
{
    if (is_wide && first + pack<T>::N <= n) {
        store_pack(x + first, v);
        return;
    }
#pragma unroll
    for (int e = 0; e < pack<T>::N; e++)
        if (first + e < n)
            x[first + e] = v.at[e];
}

/* Types by name, for tables of instances. */
#define TGK_NUMBERS(X) \
    X(f32, float) X(f64, double) X(i32, int32_t) X(u32, uint32_t) X(i64, int64_t) X(u64, uint64_t)
/* Integers of both signs have the same sums and products modulo 2^bits. */
#define TGK_WRAPPING(X) \
    X(f32, float) X(f64, double) X(i32, uint32_t) X(u32, uint32_t) X(i64, uint64_t) X(u64, uint64_t)
#define TGK_FLOATS(X) X(f32, float) X(f64, double)
/* By what moves the bits of an element. */
#define TGK_BITS(X)                                                                                          \
    X(f16, uint16_t) X(bf16, uint16_t) X(f32, uint32_t) X(f64, uint64_t) X(i8, uint8_t) X(i16, uint16_t)     \
    X(i32, uint32_t) X(i64, uint64_t) X(u8, uint8_t) X(u16, uint16_t) X(u32, uint32_t) X(u64, uint64_t)      \
    X(c64, uint64_t) X(c128, uint4)

#endif
