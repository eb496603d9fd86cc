/* See stencil.c. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"

namespace stencil {
constexpr int THREADS = 256, DEPTH = 4, ROWS = 4;

template <class T>
__device__ __forceinline__ void line(int64_t n, const T *x, T *y, T a, T b, T c, const T *left, const T *right)
{
    for (int64_t base = blockIdx.x * (int64_t)(THREADS * DEPTH); base < n; base += gridDim.x * (int64_t)(THREADS * DEPTH))
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            int64_t i = base + d * THREADS + threadIdx.x;
            if (i >= n)
                break;
            const T *before = i > 0 ? x + i - 1 : left ? left + n - 1 : nullptr;
            const T *after = i < n - 1 ? x + i + 1 : right;
            y[i] = before && after ? a * *before + b * x[i] + c * *after : x[i];
        }
}

/* A thread goes down ROWS rows of one column; rows it has seen stay in registers. */
template <class T>
__device__ __forceinline__ void field(int64_t nx, int64_t ny, T centre, T edge, const T *u, T *v, const T *north,
                                      const T *south, const T *west, const T *east)
{
    int64_t across = (nx + 31) / 32, down = (ny + 8 * ROWS - 1) / (8 * ROWS);
    for (int64_t at = blockIdx.x; at < across * down; at += gridDim.x) {
        int64_t i = at % across * 32 + threadIdx.x % 32;
        int64_t j = at / across * (8 * ROWS) + threadIdx.x / 32 * ROWS;
        if (i >= nx || j >= ny)
            continue;
        T row[ROWS + 2], l[ROWS], r[ROWS];
        bool has_left = i > 0 || west, has_right = i < nx - 1 || east;
#pragma unroll
        for (int k = -1; k <= ROWS; k++) {
            int64_t y = j + k;
            row[k + 1] = y < 0     ? (north ? north[(ny - 1) * nx + i] : 0)
                         : y < ny  ? u[y * nx + i]
                         : y == ny ? (south ? south[i] : 0)
                                   : 0;
        }
#pragma unroll
        for (int k = 0; k < ROWS; k++) {
            int64_t y = (j + k < ny ? j + k : ny - 1) * nx;
            l[k] = i > 0 ? u[y + i - 1] : west ? west[y + nx - 1] : 0;
            r[k] = i < nx - 1 ? u[y + i + 1] : east ? east[y] : 0;
        }
#pragma unroll
        for (int k = 0; k < ROWS; k++) {
            int64_t y = j + k;
            if (y >= ny)
                break;
            bool is_inner = has_left && has_right && (y > 0 || north) && (y < ny - 1 || south);
            v[y * nx + i] = is_inner ? centre * row[k + 1] + edge * ((row[k] + row[k + 2]) + (l[k] + r[k])) : row[k + 1];
        }
    }
}
} // namespace stencil

#define STENCIL(type, T)                                                                                       \
    TGK_KERNEL(256) tgk_stencil3_##type(int64_t n, const T *x, T *y, T a, T b, T c, const T *left, const T *right) \
    {                                                                                                          \
        tgk_begin();                                                                                           \
        stencil::line(n, x, y, a, b, c, left, right);                                                          \
    }                                                                                                          \
    TGK_KERNEL(256) tgk_stencil5_##type(int64_t nx, int64_t ny, const T *x, T *y, T centre, T edge,            \
                                        const T *north, const T *south, const T *west, const T *east)          \
    {                                                                                                          \
        tgk_begin();                                                                                           \
        stencil::field(nx, ny, centre, edge, x, y, north, south, west, east);                                  \
    }                                                                                                          \
    TGK_KERNEL(256) tgk_heat2d_##type(int64_t nx, int64_t ny, T alpha, const T *u, T *v, const T *north,       \
                                      const T *south, const T *west, const T *east)                            \
    {                                                                                                          \
        tgk_begin();                                                                                           \
        stencil::field(nx, ny, 1 - 4 * alpha, alpha, u, v, north, south, west, east);                          \
    }
TGK_FLOATS(STENCIL)
#undef STENCIL
