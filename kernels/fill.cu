/* See fill.c. */
#include "kernels/entry.cuh"
#include "kernels/map.cuh"

#define FILL(type, T)                                                          \
    TGK_KERNEL(TGK_MAP_THREADS) tgk_fill_##type(int64_t n, T value, T *x)      \
    {                                                                          \
        tgk_begin();                                                           \
        map<0>(n, x, {x}, [=](int64_t, const T *) { return value; });          \
    }
FILL(f16, uint16_t)
FILL(bf16, uint16_t)
FILL(f32, uint32_t)
FILL(f64, uint64_t)
FILL(i8, uint8_t)
FILL(i16, uint16_t)
FILL(i32, uint32_t)
FILL(i64, uint64_t)
FILL(u8, uint8_t)
FILL(u16, uint16_t)
FILL(u32, uint32_t)
FILL(u64, uint64_t)
FILL(c64, uint64_t)
#undef FILL

/* The word of a 16-byte type holds the real part. */
TGK_KERNEL(TGK_MAP_THREADS) tgk_fill_c128(int64_t n, double value, double2 *x)
{
    tgk_begin();
    double2 v = make_double2(value, 0);
    map<0>(n, x, {x}, [=](int64_t, const double2 *) { return v; });
}

#define IOTA(type, T)                                                                          \
    TGK_KERNEL(TGK_MAP_THREADS) tgk_iota_##type(int64_t n, T start, T *x)                      \
    {                                                                                          \
        tgk_begin();                                                                           \
        map<0>(n, x, {x}, [=](int64_t i, const T *) { return (T)(start + (T)i); });            \
    }
TGK_WRAPPING(IOTA)
#undef IOTA
