/* scan: y[i] = carry[0] + x[0] + .. + x[i], from left to right.  carry, if given, is what the tiles
 * before this one add up to: the last element of the previous tile's scan, or a sum.  It is read at
 * carry[at], so that the previous tile can be passed as it is, with at = n - 1.  x and y may be the
 * same tile.  Integers wrap. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define SCAN(name, U)                               \
    TGI_CPU_KERNEL(name)                            \
    {                                               \
        int64_t n = TGI_INT(0);                     \
        const U *x = TGI_TILE(const U, 1);          \
        U *y = TGI_TILE(U, 2);                      \
        const U *carry = TGI_TILE(const U, 3);      \
        U total = carry ? carry[TGI_INT(4)] : (U)0; \
        for (int64_t i = 0; i < n; i++)             \
            y[i] = total += x[i];                   \
        return 0;                                   \
    }
SCAN(scan_f32, float)
SCAN(scan_f64, double)
SCAN(scan_32, uint32_t)
SCAN(scan_64, uint64_t)

static const struct tgi_builtin_param scan_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_OUT, "n"),
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "carry", TG_IN, "at+1"),
    TGI_P_INT_OR("at", "0"),
};
const struct tgi_builtin tgi_builtin_scan = {
    .name = "scan",
    .brief = "y[i] = x[0] + .. + x[i], plus carry[at] if given",
    TGI_PARAMS(scan_params),
    .flops = "n",
    .bytes = "2*n*sizeof(T)",
    .cpu = TGI_NUMBERS(scan_f32, scan_f64, scan_32, scan_32, scan_64, scan_64),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_scan",
        .grid = TGI_TEAM_GRID,
        .block = "1024",
    },
};
