/* stencil3:  y[i] = a x[i-1] + b x[i] + c x[i+1]
 * stencil5:  y[j,i] = centre x[j,i] + edge (x[j-1,i] + x[j+1,i] + x[j,i-1] + x[j,i+1])
 * heat2d:    one explicit Euler step of the heat equation, stencil5 with 1 - 4 alpha and alpha.
 *
 * A tile of a larger field is given its neighbours, tiles of the same shape, of which only the
 * adjoining element, row or column is read.  A cell that lacks a neighbour lies on the boundary of
 * the field and keeps its value.  Two-dimensional tiles have ny rows of nx. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <string.h>

#define STENCIL3(name, T)                                                        \
    TGI_HOT_KERNEL(name)                                                         \
    {                                                                            \
        int64_t n = TGI_INT(0);                                                  \
        const T *x = TGI_TILE(const T, 1);                                       \
        T *y = TGI_TILE(T, 2);                                                   \
        T a = TGI_NUM(T, 3), b = TGI_NUM(T, 4), c = TGI_NUM(T, 5);               \
        const T *left = TGI_TILE(const T, 6), *right = TGI_TILE(const T, 7);     \
        if (n <= 0)                                                              \
            return 0;                                                            \
        for (int64_t i = 1; i < n - 1; i++)                                      \
            y[i] = a * x[i - 1] + b * x[i] + c * x[i + 1];                       \
        const T *before = left ? &left[n - 1] : NULL, *after = right;            \
        if (n == 1) {                                                            \
            y[0] = before && after ? a * *before + b * x[0] + c * *after : x[0]; \
            return 0;                                                            \
        }                                                                        \
        y[0] = before ? a * *before + b * x[0] + c * x[1] : x[0];                \
        y[n - 1] = after ? a * x[n - 2] + b * x[n - 1] + c * *after : x[n - 1];  \
        return 0;                                                                \
    }
STENCIL3(stencil3_f32, float)
STENCIL3(stencil3_f64, double)

static const struct tgi_builtin_param stencil3_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_IN, "n"),
    TGI_P_TILE("y", TG_OUT, "n"),
    TGI_P_NUM_OR("a", "0.25"),
    TGI_P_NUM_OR("b", "0.5"),
    TGI_P_NUM_OR("c", "0.25"),
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "left", TG_IN, "n"),
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "right", TG_IN, "n"),
};
const struct tgi_builtin tgi_builtin_stencil3 = {
    .name = "stencil3",
    .brief = "y[i] = a*x[i-1] + b*x[i] + c*x[i+1]; left and right are the neighbouring tiles",
    TGI_PARAMS(stencil3_params),
    .flops = "5*n",
    .bytes = "2*n*sizeof(T)",
    .cpu = {[TG_F32] = stencil3_f32, [TG_F64] = stencil3_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_stencil3",
        .grid = TGI_GRID("ceildiv(n,1024)"),
        .block = "256",
    },
};

/* One row.  up and down are the rows above and below; the ends of the row take their missing
 * neighbour from the tiles to the west and east (NULL: none). */
#define STENCIL5_ROW(name, T)                                                                      \
    TGI_HOT static void name(int64_t nx, T centre, T edge, const T *up, const T *u, const T *down, \
                             const T *west, const T *east, T *v)                                   \
    {                                                                                              \
        for (int64_t i = 1; i < nx - 1; i++)                                                       \
            v[i] = centre * u[i] + edge * ((up[i] + down[i]) + (u[i - 1] + u[i + 1]));             \
        const T *next = nx > 1 ? &u[1] : east;                                                     \
        v[0] = west && next ? centre * u[0] + edge * ((up[0] + down[0]) + (*west + *next)) : u[0]; \
        int64_t i = nx - 1;                                                                        \
        if (i > 0)                                                                                 \
            v[i] = east ? centre * u[i] + edge * ((up[i] + down[i]) + (u[i - 1] + *east)) : u[i];  \
    }
/* The whole tile; its arguments are u, v and, `halo` places into args, the four neighbours. */
#define STENCIL5_TILE(name, T)                                                                   \
    static int name(void **args, T centre, T edge, const T *u, T *v, int halo)                   \
    {                                                                                            \
        int64_t nx = TGI_INT(0), ny = TGI_INT(1);                                                \
        const T *north = TGI_TILE(const T, halo), *south = TGI_TILE(const T, halo + 1);          \
        const T *west = TGI_TILE(const T, halo + 2), *east = TGI_TILE(const T, halo + 3);        \
        if (nx <= 0)                                                                             \
            return 0;                                                                            \
        for (int64_t j = 0; j < ny; j++) {                                                       \
            int64_t at = j * nx;                                                                 \
            const T *up = j > 0 ? u + at - nx : north ? north + (ny - 1) * nx : NULL;            \
            const T *down = j < ny - 1 ? u + at + nx : south;                                    \
            if (up && down)                                                                      \
                name##_row(nx, centre, edge, up, u + at, down, west ? west + at + nx - 1 : NULL, \
                           east ? east + at : NULL, v + at);                                     \
            else                                                                                 \
                memcpy(v + at, u + at, (size_t)nx * sizeof(T));                                  \
        }                                                                                        \
        return 0;                                                                                \
    }
STENCIL5_ROW(tile_f32_row, float)
STENCIL5_ROW(tile_f64_row, double)
STENCIL5_TILE(tile_f32, float)
STENCIL5_TILE(tile_f64, double)

#define STENCIL5(name, T, tile)                                                                   \
    TGI_CPU_KERNEL(name)                                                                          \
    {                                                                                             \
        return tile(args, TGI_NUM(T, 4), TGI_NUM(T, 5), TGI_TILE(const T, 2), TGI_TILE(T, 3), 6); \
    }
STENCIL5(stencil5_f32, float, tile_f32)
STENCIL5(stencil5_f64, double, tile_f64)

#define HEAT2D(name, T, tile)                                                             \
    TGI_CPU_KERNEL(name)                                                                  \
    {                                                                                     \
        T alpha = TGI_NUM(T, 2);                                                          \
        return tile(args, 1 - 4 * alpha, alpha, TGI_TILE(const T, 3), TGI_TILE(T, 4), 5); \
    }
HEAT2D(heat2d_f32, float, tile_f32)
HEAT2D(heat2d_f64, double, tile_f64)

#define NEIGHBOURS                                               \
    TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "north", TG_IN, "nx*ny"),    \
        TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "south", TG_IN, "nx"),   \
        TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "west", TG_IN, "nx*ny"), \
        TGI_P_TILE_OR_NULL(TGI_DTYPE_T, "east", TG_IN, "nx*ny")

static const struct tgi_builtin_param stencil5_params[] = {
    TGI_P_INT("nx"),
    TGI_P_INT("ny"),
    TGI_P_TILE("x", TG_IN, "nx*ny"),
    TGI_P_TILE("y", TG_OUT, "nx*ny"),
    TGI_P_NUM_OR("centre", "0"),
    TGI_P_NUM_OR("edge", "0.25"),
    NEIGHBOURS,
};
const struct tgi_builtin tgi_builtin_stencil5 = {
    .name = "stencil5",
    .brief = "y = centre*x + edge*(sum of the 4 neighbours), ny rows of nx; boundary cells keep their value",
    TGI_PARAMS(stencil5_params),
    .flops = "6*nx*ny",
    .bytes = "2*nx*ny*sizeof(T)",
    .cpu = {[TG_F32] = stencil5_f32, [TG_F64] = stencil5_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_stencil5",
        .grid = TGI_GRID("ceildiv(nx,32)*ceildiv(ny,32)"),
        .block = "256",
    },
};

static const struct tgi_builtin_param heat2d_params[] = {
    TGI_P_INT("nx"),
    TGI_P_INT("ny"),
    TGI_P_NUM("alpha"),
    TGI_P_TILE("u", TG_IN, "nx*ny"),
    TGI_P_TILE("v", TG_OUT, "nx*ny"),
    NEIGHBOURS,
};
const struct tgi_builtin tgi_builtin_heat2d = {
    .name = "heat2d",
    .brief = "v = u + alpha*(sum of the 4 neighbours - 4*u), ny rows of nx; boundary cells keep their value",
    TGI_PARAMS(heat2d_params),
    .flops = "6*nx*ny",
    .bytes = "2*nx*ny*sizeof(T)",
    .cpu = {[TG_F32] = heat2d_f32, [TG_F64] = heat2d_f64},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_heat2d",
        .grid = TGI_GRID("ceildiv(nx,32)*ceildiv(ny,32)"),
        .block = "256",
    },
};
