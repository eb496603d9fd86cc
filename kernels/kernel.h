/* What the files of built-in kernels share: how a kernel reads its arguments and how its signature
 * is written down.
 *
 * Sizes are never negative in a valid graph; a kernel given n <= 0 touches nothing.  All matrices
 * are row-major and contiguous.  Tiles may start at any element (row ranges), so nothing is assumed
 * about alignment beyond the element's own.  A context may be NULL (tests call kernels directly). */
#ifndef TGI_KERNELS_KERNEL_H
#define TGI_KERNELS_KERNEL_H

#include "graph/builtin.h"

/* Integer scalars always come as 64-bit words; other scalars in the low bytes, in their own type. */
#define TGI_INT(i)     (*(const int64_t *)args[i])
#define TGI_NUM(T, i)  (*(const T *)args[i])
#define TGI_TILE(T, i) (*(T *const *)args[i])

/* Loops worth compiling for several instruction sets, one of which the dynamic linker picks.  The
 * sanitizers and such linkers do not mix: resolvers run before their shadow memory exists. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GLIBC__) && !defined(__clang__) && \
    __GNUC__ >= 12 && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TGI_HOT __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define TGI_HOT
#endif

#define TGI_CPU_KERNEL(name) \
    static int name(void **args, const struct tg_context *ctx __attribute__((unused)))
#define TGI_HOT_KERNEL(name) TGI_HOT TGI_CPU_KERNEL(name)

#define TGI_FAIL(ctx, ...)                        \
    do {                                          \
        if (ctx)                                  \
            tg_context_explain(ctx, __VA_ARGS__); \
        return TG_E_TASK_FAILED;                  \
    } while (0)

/* Tables of variants: for kernels that move bits, by element size; for all the usual numbers. */
#define TGI_EVERY_TYPE(b1, b2, b4, b8, c128)                                                      \
    {                                                                                             \
        [TG_F16] = b2, [TG_BF16] = b2, [TG_F32] = b4, [TG_F64] = b8, [TG_I8] = b1, [TG_I16] = b2, \
        [TG_I32] = b4, [TG_I64] = b8, [TG_U8] = b1, [TG_U16] = b2, [TG_U32] = b4, [TG_U64] = b8,  \
        [TG_C64] = b8, [TG_C128] = c128                                                           \
    }
#define TGI_NUMBERS(f32, f64, i32, u32, i64, u64)                                                      \
    {                                                                                                  \
        [TG_F32] = f32, [TG_F64] = f64, [TG_I32] = i32, [TG_U32] = u32, [TG_I64] = i64, [TG_U64] = u64 \
    }

/* Entries of a signature. */
#define TGI_P_INT(n)               \
    {                              \
        .name = n, .dtype = TG_I64 \
    }
#define TGI_P_INT_OR(n, or_)                        \
    {                                               \
        .name = n, .dtype = TG_I64, .fallback = or_ \
    }
#define TGI_P_NUM(n)                    \
    {                                   \
        .name = n, .dtype = TGI_DTYPE_T \
    }
#define TGI_P_NUM_OR(n, or_)                             \
    {                                                    \
        .name = n, .dtype = TGI_DTYPE_T, .fallback = or_ \
    }
#define TGI_P_TILE(n, access_, elems_)                                      \
    {                                                                       \
        .name = n, .dtype = TGI_DTYPE_T, .access = access_, .elems = elems_ \
    }
#define TGI_P_TILE_OF(type_, n, access_, elems_)                      \
    {                                                                 \
        .name = n, .dtype = type_, .access = access_, .elems = elems_ \
    }
#define TGI_P_TILE_OR_NULL(type_, n, access_, elems_)                                     \
    {                                                                                     \
        .name = n, .dtype = type_, .access = access_, .fallback = "null", .elems = elems_ \
    }
#define TGI_P_REDUCE(type_, n, op_, elems_)                                        \
    {                                                                              \
        .name = n, .dtype = type_, .access = TG_REDUCE, .op = op_, .elems = elems_ \
    }
#define TGI_PARAMS(list) .n_params = sizeof(list) / sizeof(list[0]), .params = list

#endif
