/* copy: y[i] = x[i], for every type. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <string.h>

/* x and y may be the same tile, hence memmove. */
static int copy_bytes(void **args, size_t elem_bytes)
{
    int64_t n = TGI_INT(0);
    if (n > 0)
        memmove(TGI_TILE(void, 2), TGI_TILE(const void, 1), (size_t)n * elem_bytes);
    return 0;
}
TGI_CPU_KERNEL(copy_1) { return copy_bytes(args, 1); }
TGI_CPU_KERNEL(copy_2) { return copy_bytes(args, 2); }
TGI_CPU_KERNEL(copy_4) { return copy_bytes(args, 4); }
TGI_CPU_KERNEL(copy_8) { return copy_bytes(args, 8); }
TGI_CPU_KERNEL(copy_16) { return copy_bytes(args, 16); }

static const struct tgi_builtin_param copy_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_OUT, "n"),
};
const struct tgi_builtin tgi_builtin_copy = {
    .name = "copy",
    .brief = "y[i] = x[i]",
    TGI_PARAMS(copy_params),
    .bytes = "2*n*sizeof(T)",
    .cpu = TGI_EVERY_TYPE(copy_1, copy_2, copy_4, copy_8, copy_16),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_copy",
        .grid = TGI_MAP_GRID("n"),
        .block = "256",
    },
};
