/* Bodies whose work can be cut into parts, each of which is the same body with other words: elements one by one, or rows.  A task that is
 * a block wide is executed that way, a part by each worker (gpu/resident/block.h).
 *
 * What a part leaves is what the whole would have left there, to the bit: parts begin where what is read or written at once does, and no sum goes
 * over a cut.  Read by C and by what NVRTC compiles. */
#ifndef TGI_KERNELS_RESIDENT_CUT_H
#define TGI_KERNELS_RESIDENT_CUT_H

#include "kernels/resident.h"

#ifdef __CUDACC__
#define TGI_CUT_FN static __device__ __forceinline__
#else
#define TGI_CUT_FN static inline
#endif

/* How a body is cut, in one word.  Bits 0 to 2: the number of the word that counts what is cut; bits 3 to 6: parts begin at multiples of so
 * many of them, as a power of two; bits 7 to 11: bytes of an element; from bit 12 on, three bits for each of the words 0 to 4: what moves along. */
enum tgi_cut_step {
    TGI_CUT_STAYS,   /* the word is the same in each part */
    TGI_CUT_ELEMENT, /* it is the address of an element for each of what is cut */
    TGI_CUT_ROW_0,   /* or of as many as word 0 says, */
    TGI_CUT_ROW_1,   /* word 1 */
    TGI_CUT_ROW_5    /* or word 5 */
};
#define TGI_CUT_OF(count, unit, bytes, w1, w2, w3, w4)                                                                      \
    ((uint32_t)(count) | (uint32_t)(unit) << 3 | (uint32_t)(bytes) << 7 | (uint32_t)(w1) << 15 | (uint32_t)(w2) << 18 |     \
     (uint32_t)(w3) << 21 | (uint32_t)(w4) << 24)
#define TGI_CUT_ELEMENTS(bytes, w1, w2, w3) TGI_CUT_OF(0, 9, bytes, w1, w2, w3, TGI_CUT_STAYS)

/* X(body, how) */
#define TGI_CUTS_OF_SIZE(X, bytes)                                                                                          \
    X(fill_##bytes, TGI_CUT_ELEMENTS(bytes, TGI_CUT_STAYS, TGI_CUT_ELEMENT, TGI_CUT_STAYS))                                 \
    X(copy_##bytes, TGI_CUT_ELEMENTS(bytes, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT, TGI_CUT_STAYS))
#define TGI_CUTS_OF_WRAPPING(X, type, bytes)                                                                                \
    X(add_##type, TGI_CUT_ELEMENTS(bytes, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT))                               \
    X(mul_##type, TGI_CUT_ELEMENTS(bytes, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT))
/* Rows of products in tiles of 16, right-hand sides eight at a time, sums of rows four at a time. */
#define TGI_CUTS_OF_FLOATS(X, type, bytes)                                                                                  \
    X(axpy_##type, TGI_CUT_ELEMENTS(bytes, TGI_CUT_STAYS, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT))                                \
    X(scale_##type, TGI_CUT_ELEMENTS(bytes, TGI_CUT_STAYS, TGI_CUT_ELEMENT, TGI_CUT_STAYS))                                 \
    X(gelu_##type, TGI_CUT_ELEMENTS(bytes, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT, TGI_CUT_STAYS))                                \
    X(relu_##type, TGI_CUT_ELEMENTS(bytes, TGI_CUT_ELEMENT, TGI_CUT_ELEMENT, TGI_CUT_STAYS))                                \
    X(bias_add_##type, TGI_CUT_OF(0, 0, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_1, TGI_CUT_STAYS, TGI_CUT_ROW_1))                 \
    X(matvec_##type, TGI_CUT_OF(0, 2, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_1, TGI_CUT_STAYS, TGI_CUT_ELEMENT))                 \
    X(matvec_add_##type, TGI_CUT_OF(0, 2, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_1, TGI_CUT_STAYS, TGI_CUT_ELEMENT))             \
    X(softmax_##type, TGI_CUT_OF(0, 0, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_1, TGI_CUT_ROW_1, TGI_CUT_STAYS))                  \
    X(layernorm_##type, TGI_CUT_OF(0, 0, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_1, TGI_CUT_ROW_1, TGI_CUT_STAYS))                \
    X(gemm_nn_##type, TGI_CUT_OF(4, 4, bytes, TGI_CUT_ROW_5, TGI_CUT_STAYS, TGI_CUT_ROW_0, TGI_CUT_STAYS))                  \
    X(gemm_nt_##type, TGI_CUT_OF(4, 4, bytes, TGI_CUT_ROW_5, TGI_CUT_STAYS, TGI_CUT_ROW_0, TGI_CUT_STAYS))                  \
    X(trsm_rlt_##type, TGI_CUT_OF(3, 3, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_0, TGI_CUT_STAYS, TGI_CUT_STAYS))                 \
    X(trsm_run_##type, TGI_CUT_OF(3, 3, bytes, TGI_CUT_STAYS, TGI_CUT_ROW_0, TGI_CUT_STAYS, TGI_CUT_STAYS))
#define TGI_CUTS(X)                                                                                                         \
    TGI_CUTS_OF_SIZE(X, 1) TGI_CUTS_OF_SIZE(X, 2) TGI_CUTS_OF_SIZE(X, 4) TGI_CUTS_OF_SIZE(X, 8) TGI_CUTS_OF_SIZE(X, 16)     \
    TGI_CUTS_OF_WRAPPING(X, f32, 4) TGI_CUTS_OF_WRAPPING(X, f64, 8) TGI_CUTS_OF_WRAPPING(X, u32, 4)                         \
    TGI_CUTS_OF_WRAPPING(X, u64, 8) TGI_CUTS_OF_FLOATS(X, f32, 4) TGI_CUTS_OF_FLOATS(X, f64, 8)

/* 0: it cannot be cut. */
TGI_CUT_FN uint32_t tgi_cut_of(uint32_t body)
{
#define TGI_CUT_X(name, how) \
    case TGI_BODY_##name:    \
        return how;
    switch (body) {
        TGI_CUTS(TGI_CUT_X)
    }
#undef TGI_CUT_X
    return 0;
}

/* Of what is cut, part k of n has so many from there on; none in parts behind the last that has some.  What is empty is in none. */
TGI_CUT_FN int64_t tgi_cut_part(int64_t all, uint32_t cut, uint32_t k, uint32_t n, int64_t *begin_p)
{
    int64_t unit = (int64_t)1 << (cut >> 3 & 15u), each = all > 0 ? ((all - 1) / n / unit + 1) * unit : 0;
    *begin_p = each * k;
    return all <= 0 || *begin_p >= all ? 0 : all - *begin_p < each ? all - *begin_p : each;
}

TGI_CUT_FN uint32_t tgi_cut_count(uint32_t cut) { return cut & 7u; }

/* Word i of a part, from those of the whole. */
TGI_CUT_FN uint64_t tgi_cut_word(uint32_t cut, const uint64_t *words, uint32_t i, int64_t begin, int64_t n)
{
    uint32_t step = i < 5 ? cut >> (12 + 3 * i) & 7u : TGI_CUT_STAYS;
    if (i == tgi_cut_count(cut))
        return (uint64_t)n;
    uint64_t row = step == TGI_CUT_ROW_0 ? words[0] : step == TGI_CUT_ROW_1 ? words[1] : step == TGI_CUT_ROW_5 ? words[5] : 1;
    return step == TGI_CUT_STAYS ? words[i] : words[i] + (uint64_t)begin * row * (cut >> 7 & 31u);
}

#endif
