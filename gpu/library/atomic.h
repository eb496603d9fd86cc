/* Additions, minima and maxima that many make to one number: floats, vectors of floats, integers.
 *
 * Relaxed: they order nothing but themselves.  A vector is changed element by element; who reads it meanwhile may see some of
 * them changed.  Sums of floats depend on the order of the additions, which is nobody's; who needs the same bits each
 * time uses a gang's collectives.  NaN: minima and maxima ignore it, as fmin() and fmax() do; a number that is NaN is replaced. */
#ifndef TGD_ATOMIC_H
#define TGD_ATOMIC_H

#include "gpu/library/word.h"

/* ---- Floats as words ------------------------------------------------------------------------*/

#ifdef __CUDACC__
TGI_FN uint32_t tgi_word_of_f32(float x) { return __float_as_uint(x); }
TGI_FN float tgi_f32_of_word(uint32_t x) { return __uint_as_float(x); }
TGI_FN uint64_t tgi_wide_of_f64(double x) { return (uint64_t)__double_as_longlong(x); }
TGI_FN double tgi_f64_of_wide(uint64_t x) { return __longlong_as_double((long long)x); }
#else
TGI_FN uint32_t tgi_word_of_f32(float x)
{
    uint32_t word;
    __builtin_memcpy(&word, &x, sizeof word);
    return word;
}
TGI_FN float tgi_f32_of_word(uint32_t x)
{
    float f;
    __builtin_memcpy(&f, &x, sizeof f);
    return f;
}
TGI_FN uint64_t tgi_wide_of_f64(double x)
{
    uint64_t wide;
    __builtin_memcpy(&wide, &x, sizeof wide);
    return wide;
}
TGI_FN double tgi_f64_of_wide(uint64_t x)
{
    double f;
    __builtin_memcpy(&f, &x, sizeof f);
    return f;
}
#endif

/* ---- Sums -----------------------------------------------------------------------------------*/

#ifdef __CUDACC__
TGI_FN void tgd_add_f32(float *p, float x) { asm volatile("red.relaxed.gpu.add.f32 [%0], %1;" ::"l"(p), "f"(x) : "memory"); }
TGI_FN void tgd_add_f64(double *p, double x) { asm volatile("red.relaxed.gpu.add.f64 [%0], %1;" ::"l"(p), "d"(x) : "memory"); }
/* p: 8-byte aligned, in global memory. */
TGI_FN void tgd_add_f32x2(float *p, const float x[2])
{
#if __CUDA_ARCH__ >= 900
    asm volatile("red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(p)), "f"(x[0]), "f"(x[1])
                 : "memory");
#else
    for (int i = 0; i < 2; i++)
        tgd_add_f32(&p[i], x[i]);
#endif
}
/* p: 16-byte aligned, in global memory. */
TGI_FN void tgd_add_f32x4(float *p, const float x[4])
{
#if __CUDA_ARCH__ >= 900
    asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "f"(x[0]),
                 "f"(x[1]), "f"(x[2]), "f"(x[3])
                 : "memory");
#else
    for (int i = 0; i < 4; i++)
        tgd_add_f32(&p[i], x[i]);
#endif
}
#else
TGI_FN void tgd_add_f32(float *p, float x)
{
    uint32_t *word = (uint32_t *)(void *)p, seen = tgi_word_load_relaxed(word), was;
    while ((was = tgi_word_swap_relaxed(word, seen, tgi_word_of_f32(tgi_f32_of_word(seen) + x))) != seen)
        seen = was;
}
TGI_FN void tgd_add_f64(double *p, double x)
{
    uint64_t *wide = (uint64_t *)(void *)p, seen = tgi_wide_load_relaxed(wide), was;
    while ((was = tgi_wide_swap_relaxed(wide, seen, tgi_wide_of_f64(tgi_f64_of_wide(seen) + x))) != seen)
        seen = was;
}
TGI_FN void tgd_add_f32x2(float *p, const float x[2])
{
    for (int i = 0; i < 2; i++)
        tgd_add_f32(&p[i], x[i]);
}
TGI_FN void tgd_add_f32x4(float *p, const float x[4])
{
    for (int i = 0; i < 4; i++)
        tgd_add_f32(&p[i], x[i]);
}
#endif
TGI_FN void tgd_add_u32(uint32_t *p, uint32_t x) { tgi_word_add_relaxed(p, x); }
TGI_FN void tgd_add_u64(uint64_t *p, uint64_t x) { tgi_wide_add_relaxed(p, x); }

/* ---- Minima and maxima ----------------------------------------------------------------------*/

/* Most who come change nothing, so the number is looked at before it is swapped. */
#define TGI_EXTREME(name, type, bits, access, of_bits, to_bits, is_better)                            \
    TGI_FN void name(type *p, type x)                                                                 \
    {                                                                                                 \
        bits *word = (bits *)(void *)p, seen = tgi_##access##_load_relaxed(word), was;                \
        for (; is_better(x, of_bits(seen)); seen = was)                                               \
            if ((was = tgi_##access##_swap_relaxed(word, seen, to_bits(x))) == seen)                  \
                return;                                                                               \
    }
#define TGI_IS_LESS(a, b)       ((a) < (b))
#define TGI_IS_MORE(a, b)       ((a) > (b))
#define TGI_IS_LESS_FLOAT(a, b) ((a) < (b) || ((b) != (b) && (a) == (a)))
#define TGI_IS_MORE_FLOAT(a, b) ((a) > (b) || ((b) != (b) && (a) == (a)))
TGI_EXTREME(tgd_min_f32, float, uint32_t, word, tgi_f32_of_word, tgi_word_of_f32, TGI_IS_LESS_FLOAT)
TGI_EXTREME(tgd_max_f32, float, uint32_t, word, tgi_f32_of_word, tgi_word_of_f32, TGI_IS_MORE_FLOAT)
TGI_EXTREME(tgd_min_f64, double, uint64_t, wide, tgi_f64_of_wide, tgi_wide_of_f64, TGI_IS_LESS_FLOAT)
TGI_EXTREME(tgd_max_f64, double, uint64_t, wide, tgi_f64_of_wide, tgi_wide_of_f64, TGI_IS_MORE_FLOAT)
TGI_EXTREME(tgd_min_u32, uint32_t, uint32_t, word, (uint32_t), (uint32_t), TGI_IS_LESS)
TGI_EXTREME(tgd_max_u32, uint32_t, uint32_t, word, (uint32_t), (uint32_t), TGI_IS_MORE)
TGI_EXTREME(tgd_min_i32, int32_t, uint32_t, word, (int32_t), (uint32_t), TGI_IS_LESS)
TGI_EXTREME(tgd_max_i32, int32_t, uint32_t, word, (int32_t), (uint32_t), TGI_IS_MORE)
TGI_EXTREME(tgd_min_u64, uint64_t, uint64_t, wide, (uint64_t), (uint64_t), TGI_IS_LESS)
TGI_EXTREME(tgd_max_u64, uint64_t, uint64_t, wide, (uint64_t), (uint64_t), TGI_IS_MORE)
TGI_EXTREME(tgd_min_i64, int64_t, uint64_t, wide, (int64_t), (uint64_t), TGI_IS_LESS)
TGI_EXTREME(tgd_max_i64, int64_t, uint64_t, wide, (int64_t), (uint64_t), TGI_IS_MORE)
#undef TGI_EXTREME
#undef TGI_IS_LESS
#undef TGI_IS_MORE
#undef TGI_IS_LESS_FLOAT
#undef TGI_IS_MORE_FLOAT

#endif
