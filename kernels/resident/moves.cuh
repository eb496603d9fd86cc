/* transpose and is_above; scan of integers, whose sums have no order. */
#include "kernels/resident/warp.cuh"

namespace warp {
template <class T> __device__ __forceinline__ void transpose(const uint64_t *a)
{
    uint32_t m = (uint32_t)a[0], n = (uint32_t)a[1], count = m * n;
    const T *x = tile<T>(a, 2);
    T *y = tile<T>(a, 3);
    if (size(a, 0) <= 0 || size(a, 1) <= 0)
        return;
#pragma unroll 4
    for (uint32_t at = (uint32_t)lane(); at < count; at += 32) { /* of y, so that whole lines are written */
        uint32_t j = at / m, i = at - j * m;
        y[at] = x[i * n + j];
    }
}

template <class T> __device__ __forceinline__ void scan(const uint64_t *a)
{
    int64_t n = size(a, 0);
    const T *x = tile<T>(a, 1), *carry = tile<T>(a, 3);
    T *y = tile<T>(a, 2), total = carry ? carry[size(a, 4)] : (T)0;
    __syncwarp(); /* the carry may stand where y is written */
    for (int64_t base = 0; base < n; base += 32) {
        T v = base + lane() < n ? x[base + lane()] : (T)0;
#pragma unroll
        for (int w = 1; w < 32; w *= 2) {
            T before = __shfl_up_sync(0xffffffffu, v, w);
            v += lane() >= w ? before : (T)0;
        }
        if (base + lane() < n)
            y[base + lane()] = total + v;
        total += __shfl_sync(0xffffffffu, v, 31);
    }
}
} // namespace warp

#define TRANSPOSE(bytes, T)                                    \
    TGI_BODY body_transpose_##bytes(const uint64_t *a)         \
    {                                                          \
        warp::transpose<T>(a);                                 \
        return 0;                                              \
    }
TRANSPOSE(1, uint8_t)
TRANSPOSE(2, uint16_t)
TRANSPOSE(4, uint32_t)
TRANSPOSE(8, uint64_t)
TRANSPOSE(16, uint4)
#undef TRANSPOSE

#define IS_ABOVE(type, T)                                                                              \
    TGI_BODY body_is_above_##type(const uint64_t *a)                                                   \
    {                                                                                                  \
        if (warp::lane() == 0)                                                                         \
            warp::tile<int32_t>(a, 2)[0] = warp::tile<T>(a, 0)[0] > warp::number<T>(a, 1);             \
        return 0;                                                                                      \
    }
IS_ABOVE(f32, float)
IS_ABOVE(f64, double)
IS_ABOVE(i32, int32_t)
IS_ABOVE(i64, int64_t)
#undef IS_ABOVE

#define SCAN(type, T)                                   \
    TGI_BODY body_scan_##type(const uint64_t *a)        \
    {                                                   \
        warp::scan<T>(a);                               \
        return 0;                                       \
    }
SCAN(u32, unsigned)
SCAN(u64, unsigned long long)
#undef SCAN
