/* Dynamic programming over two strings, one tile of the table at a time: the classic wavefront.
 *
 * lcs:             h[i,j] = length of the longest common subsequence of a up to i and b up to j
 * smith_waterman:  h[i,j] = score of the best local alignment that ends at a[i], b[j], with linear gaps
 *
 * A tile holds m x n cells, for m letters of a and n of b.  Its neighbours are tiles of the same shape,
 * of which the last row (north), last column (west) and last element (northwest) are read; an absent one
 * lies outside the table and counts as 0. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

struct cell_rule {
    bool is_local;
    int64_t match, mismatch, gap;
};

static inline int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

/* `first` is the place of `north` among the arguments. */
static int fill_table(void **args, struct cell_rule rule, int first)
{
    int64_t m = TGI_INT(0), n = TGI_INT(1);
    const uint8_t *a = TGI_TILE(const uint8_t, 2), *b = TGI_TILE(const uint8_t, 3);
    int32_t *h = TGI_TILE(int32_t, 4);
    const int32_t *north = TGI_TILE(const int32_t, first), *west = TGI_TILE(const int32_t, first + 1);
    const int32_t *northwest = TGI_TILE(const int32_t, first + 2);
    for (int64_t i = 0; i < m; i++) {
        const int32_t *above = i > 0 ? h + (i - 1) * n : north ? north + (m - 1) * n : NULL;
        int64_t left = west ? west[i * n + n - 1] : 0;
        int64_t corner = 0;
        if (i > 0 && west)
            corner = west[(i - 1) * n + n - 1];
        else if (i == 0 && northwest)
            corner = northwest[m * n - 1];
        for (int64_t j = 0; j < n; j++) {
            int64_t up = above ? above[j] : 0;
            if (rule.is_local) {
                int64_t diagonal = corner + (a[i] == b[j] ? rule.match : rule.mismatch);
                left = max_of(max_of(0, diagonal), max_of(up, left) + rule.gap);
            } else {
                left = a[i] == b[j] ? corner + 1 : max_of(up, left);
            }
            corner = up;
            h[i * n + j] = (int32_t)left;
        }
    }
    return 0;
}

TGI_CPU_KERNEL(lcs) { return fill_table(args, (struct cell_rule){.is_local = false}, 5); }

TGI_CPU_KERNEL(smith_waterman)
{
    struct cell_rule rule = {true, TGI_INT(5), TGI_INT(6), TGI_INT(7)};
    return fill_table(args, rule, 8);
}

#define TABLE                                                              \
    TGI_P_INT("m"), TGI_P_INT("n"), TGI_P_TILE_OF(TG_U8, "a", TG_IN, "m"), \
        TGI_P_TILE_OF(TG_U8, "b", TG_IN, "n"), TGI_P_TILE_OF(TG_I32, "h", TG_OUT, "m*n")
#define NEIGHBOURS                                                                                       \
    TGI_P_TILE_OR_NULL(TG_I32, "north", TG_IN, "m*n"), TGI_P_TILE_OR_NULL(TG_I32, "west", TG_IN, "m*n"), \
        TGI_P_TILE_OR_NULL(TG_I32, "northwest", TG_IN, "m*n")

static const struct tgi_builtin_param lcs_params[] = {TABLE, NEIGHBOURS};
const struct tgi_builtin tgi_builtin_lcs = {
    .name = "lcs",
    .brief = "h = table of longest common subsequences of a and b (m x n), going on from its neighbours",
    TGI_PARAMS(lcs_params),
    .flops = "3*m*n",
    .bytes = "4*m*n+m+n",
    .cpu = {[TGI_DTYPE_T] = lcs},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_lcs",
        .grid = "1",
        .block = "256",
    },
};

static const struct tgi_builtin_param smith_waterman_params[] = {
    TABLE, TGI_P_INT_OR("match", "2"), TGI_P_INT_OR("mismatch", "-1"), TGI_P_INT_OR("gap", "-1"), NEIGHBOURS,
};
const struct tgi_builtin tgi_builtin_smith_waterman = {
    .name = "smith_waterman",
    .brief = "h = local alignment scores of a and b (m x n), going on from its neighbours",
    TGI_PARAMS(smith_waterman_params),
    .flops = "6*m*n",
    .bytes = "4*m*n+m+n",
    .cpu = {[TGI_DTYPE_T] = smith_waterman},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_smith_waterman",
        .grid = "1",
        .block = "256",
    },
};
