/* transpose: y (n x m) = the transpose of x (m x n), in blocks that fit the first cache.  x and y must
 * be different tiles. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#define BLOCK 16

#define TRANSPOSE(name, T)                                    \
    TGI_HOT_KERNEL(name)                                      \
    {                                                         \
        int64_t m = TGI_INT(0), n = TGI_INT(1);               \
        const T *x = TGI_TILE(const T, 2);                    \
        T *y = TGI_TILE(T, 3);                                \
        for (int64_t i0 = 0; i0 < m; i0 += BLOCK)             \
            for (int64_t j0 = 0; j0 < n; j0 += BLOCK) {       \
                int64_t i1 = i0 + BLOCK < m ? i0 + BLOCK : m; \
                int64_t j1 = j0 + BLOCK < n ? j0 + BLOCK : n; \
                for (int64_t j = j0; j < j1; j++)             \
                    for (int64_t i = i0; i < i1; i++)         \
                        y[j * m + i] = x[i * n + j];          \
            }                                                 \
        return 0;                                             \
    }
struct bytes16 {
    uint64_t half[2];
};
TRANSPOSE(transpose_1, uint8_t)
TRANSPOSE(transpose_2, uint16_t)
TRANSPOSE(transpose_4, uint32_t)
TRANSPOSE(transpose_8, uint64_t)
TRANSPOSE(transpose_16, struct bytes16)

static const struct tgi_builtin_param transpose_params[] = {
    TGI_P_INT("m"),
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "m*n"),
    TGI_P_TILE("y", TG_OUT, "m*n"),
};
const struct tgi_builtin tgi_builtin_transpose = {
    .name = "transpose",
    .brief = "y[j,i] = x[i,j] for x of m x n",
    TGI_PARAMS(transpose_params),
    .bytes = "2*m*n*sizeof(T)",
    .cpu = TGI_EVERY_TYPE(transpose_1, transpose_2, transpose_4, transpose_8, transpose_16),
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_transpose",
        .grid = TGI_GRID("(sizeof(T)<=2 ? ceildiv(m,64)*ceildiv(n,64) : ceildiv(m,32)*ceildiv(n,32))"),
        .block = "256",
    },
};
