/* Resident variants of built-in kernels: bodies a warp wide, which the resident executor calls (gpu/resident/run.cu) where a launch
 * or a node would start a kernel.
 *
 * A body takes the words that the kernel takes as arguments, one each, scalars in the low bytes, and returns 0 or what it failed
 * with.  It gives the bits that the
 * kernel's variant for GPUs gives, whatever the order in which other tasks run: sums are added in that variant's order.
 * Kernels for which that cannot be had by a warp, or not for all sizes, have no body then, and stay launches.
 *
 * The list is shared by both sides; the functions are in kernels/resident/, named body_<name>, and lists per type make them
 * from templates.  Bodies that move bits are one for each size of an element. */
#ifndef TGI_KERNELS_RESIDENT_H
#define TGI_KERNELS_RESIDENT_H

#include <stddef.h>
#include <stdint.h>

#define TGI_BODIES_SIZES(X, name)   X(name##_1) X(name##_2) X(name##_4) X(name##_8) X(name##_16)
#define TGI_BODIES_FLOATS(X, name)  X(name##_f32) X(name##_f64)
#define TGI_BODIES_WRAPPING(X, name) X(name##_f32) X(name##_f64) X(name##_u32) X(name##_u64)
#define TGI_BODIES_NUMBERS(X, name) TGI_BODIES_WRAPPING(X, name) X(name##_i32) X(name##_i64)

/* Those that most fine tasks are, which the worker has inside itself, */
#define TGI_BODIES_NEAR(X)                                                                                 \
    TGI_BODIES_SIZES(X, fill) TGI_BODIES_SIZES(X, copy)                                                    \
    TGI_BODIES_WRAPPING(X, iota) TGI_BODIES_WRAPPING(X, add) TGI_BODIES_WRAPPING(X, mul)                   \
    TGI_BODIES_FLOATS(X, axpy) TGI_BODIES_FLOATS(X, scale) TGI_BODIES_FLOATS(X, relu)                      \
    X(hash) X(hash_inout) X(hash_add) X(spin)                                                              \
    TGI_BODIES_FLOATS(X, stencil3) TGI_BODIES_FLOATS(X, stencil5) TGI_BODIES_FLOATS(X, heat2d)
/* and those that it calls. */
#define TGI_BODIES_APART(X)                                                                                \
    TGI_BODIES_SIZES(X, touch) TGI_BODIES_SIZES(X, transpose)                                              \
    TGI_BODIES_WRAPPING(X, sum) TGI_BODIES_WRAPPING(X, sum_into)                                           \
    TGI_BODIES_FLOATS(X, dot) TGI_BODIES_FLOATS(X, dot_into)                                               \
    TGI_BODIES_FLOATS(X, max_diff) TGI_BODIES_FLOATS(X, max_diff_into)                                     \
    TGI_BODIES_NUMBERS(X, min) TGI_BODIES_NUMBERS(X, min_into)                                             \
    TGI_BODIES_NUMBERS(X, max) TGI_BODIES_NUMBERS(X, max_into)                                             \
    TGI_BODIES_FLOATS(X, is_above) X(is_above_i32) X(is_above_i64) X(scan_u32) X(scan_u64)                 \
    TGI_BODIES_FLOATS(X, matvec) TGI_BODIES_FLOATS(X, matvec_add) TGI_BODIES_FLOATS(X, bias_add)           \
    TGI_BODIES_FLOATS(X, softmax) TGI_BODIES_FLOATS(X, layernorm) TGI_BODIES_FLOATS(X, gelu)               \
    TGI_BODIES_FLOATS(X, gemm_nn) TGI_BODIES_FLOATS(X, gemm_nt) TGI_BODIES_FLOATS(X, gemm_tn)              \
    TGI_BODIES_FLOATS(X, syrk_lower) TGI_BODIES_FLOATS(X, trsm_rlt) TGI_BODIES_FLOATS(X, trsm_run)         \
    TGI_BODIES_FLOATS(X, trsm_lln) TGI_BODIES_FLOATS(X, potrf_lower) TGI_BODIES_FLOATS(X, getrf_nopiv)    \
    TGI_BODIES_FLOATS(X, trsv_rows) X(lcs) X(smith_waterman)                                               \
    TGI_BODIES_FLOATS(X, attention_part) TGI_BODIES_FLOATS(X, attention_join)
/* Single rows of systems (trsv_rows) as POSTs (mem/resident_program.h), which the worker does by itself: gpu/resident/post.h. */
#define TGI_BODIES_POSTING(X) TGI_BODIES_FLOATS(X, trsv_row)
#define TGI_BODIES(X) TGI_BODIES_NEAR(X) TGI_BODIES_APART(X) TGI_BODIES_POSTING(X)

enum tgi_body {
#define TGI_BODY_X(name) TGI_BODY_##name,
    TGI_BODIES(TGI_BODY_X)
#undef TGI_BODY_X
    TGI_N_BODIES
};

#ifndef __CUDACC__
/* What there is of bodies for the kernel that is launched as `symbol` ("tgk_axpy_f32"); NULL: nothing. */
struct tgi_body_row;
const struct tgi_body_row *tgi_body_row(const char *symbol);
/* The body for these arguments; negative: there is none for them.  *cost_ns_p: what a warp needs, roughly: from how much
 * memory it touches, nothing was measured. */
int tgi_body_of(const struct tgi_body_row *row, const uint64_t *words, float *cost_ns_p);
/* The body as a POST, the bytes of its element, and the address that its sums are subtracted from; 0: it cannot be one. */
uint32_t tgi_body_post(enum tgi_body body, const uint64_t *words, uint32_t *bytes_p, uint64_t *side_p);
/* A kernel whose body it is; of bodies that several kernels share, one of them. */
const char *tgi_body_symbol(enum tgi_body body);
/* What it means that a body returned a code, for people. */
void tgi_body_explain(enum tgi_body body, const uint64_t *words, uint32_t code, char *text, size_t size);
#endif

#endif
