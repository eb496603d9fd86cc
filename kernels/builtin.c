/* The table of built-in kernels. */
#include "graph/builtin.h"

#include <string.h>

/* Sorted by name, as strcmp() sorts: look-ups search it by halves. */
#define BUILTINS(X)   \
    X(add)            \
    X(attention_join) \
    X(attention_part) \
    X(axpy)           \
    X(bias_add)       \
    X(copy)           \
    X(dot)            \
    X(dot_into)       \
    X(fft)            \
    X(fft_butterfly)  \
    X(fill)           \
    X(gelu)           \
    X(gemm_nn)        \
    X(gemm_nt)        \
    X(gemm_tn)        \
    X(getrf_nopiv)    \
    X(hash)           \
    X(hash_add)       \
    X(hash_commute)   \
    X(hash_inout)     \
    X(heat2d)         \
    X(histogram)      \
    X(iota)           \
    X(is_above)       \
    X(layernorm)      \
    X(lcs)            \
    X(matvec)         \
    X(matvec_add)     \
    X(max)            \
    X(max_diff)       \
    X(max_diff_into)  \
    X(max_into)       \
    X(min)            \
    X(min_into)       \
    X(mul)            \
    X(potrf_lower)    \
    X(relu)           \
    X(scale)          \
    X(scan)           \
    X(smith_waterman) \
    X(softmax)        \
    X(spin)           \
    X(stencil3)       \
    X(stencil5)       \
    X(sum)            \
    X(sum_into)       \
    X(syrk_lower)     \
    X(touch)          \
    X(transpose)      \
    X(trsm_lln)       \
    X(trsm_rlt)       \
    X(trsm_run)       \
    X(trsv_rows)      \
    X(twiddle)

#define DECLARE(name) extern const struct tgi_builtin tgi_builtin_##name;
BUILTINS(DECLARE)

#define ENTRY(name) &tgi_builtin_##name,
static const struct tgi_builtin *const table[] = {BUILTINS(ENTRY)};
#define N_BUILTINS (sizeof table / sizeof table[0])

const struct tgi_builtin *tgi_builtin_find(const char *name)
{
    size_t low = 0, high = N_BUILTINS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, table[middle]->name);
        if (order == 0)
            return table[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct tgi_builtin *const *tgi_builtin_all(uint32_t *n_p)
{
    *n_p = N_BUILTINS;
    return table;
}
