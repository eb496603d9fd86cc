/* stencil3, stencil5 and heat2d; see kernels/stencil.c. */
#include "kernels/resident/warp.cuh"

namespace warp {
enum { CELLS = 4 }; /* of a lane, whose neighbours are all on their way before one is stored: y may not be x, but none can tell */

template <class T> __device__ __forceinline__ void line(const uint64_t *a)
{
    int64_t n = size(a, 0);
    const T *x = tile<T>(a, 1), *left = tile<T>(a, 6), *right = tile<T>(a, 7);
    T *y = tile<T>(a, 2), p = number<T>(a, 3), q = number<T>(a, 4), r = number<T>(a, 5);
    for (int64_t base = lane(); base < n; base += 32 * CELLS) {
        T v[CELLS];
#pragma unroll
        for (int d = 0; d < CELLS; d++) {
            int64_t i = base + d * 32;
            if (i >= n)
                break;
            const T *before = i > 0 ? x + i - 1 : left ? left + n - 1 : nullptr;
            const T *after = i < n - 1 ? x + i + 1 : right;
            v[d] = before && after ? p * *before + q * x[i] + r * *after : x[i];
        }
#pragma unroll
        for (int d = 0; d < CELLS; d++)
            if (base + d * 32 < n)
                y[base + d * 32] = v[d];
    }
}

template <class T> struct field {
    uint32_t nx, ny;
    T centre, edge;
    const T *u, *north, *south, *west, *east;

    __device__ __forceinline__ T cell(uint32_t at) const
    {
        uint32_t j = at / nx, i = at - j * nx;
        T here = u[at];
        bool is_inner = (i > 0 || west) && (i < nx - 1 || east) && (j > 0 || north) && (j < ny - 1 || south);
        if (!is_inner)
            return here;
        T up = j > 0 ? u[at - nx] : north[(ny - 1) * nx + i], down = j < ny - 1 ? u[at + nx] : south[i];
        T l = i > 0 ? u[at - 1] : west[at + nx - 1], r = i < nx - 1 ? u[at + 1] : east[at - i];
        return centre * here + edge * ((up + down) + (l + r));
    }
};

template <class T> __device__ __forceinline__ void cells(const field<T> &f, T *v)
{
    uint32_t n = f.nx * f.ny;
    for (uint32_t base = (uint32_t)lane(); base < n; base += 32 * CELLS) {
        T r[CELLS];
#pragma unroll
        for (uint32_t d = 0; d < CELLS; d++)
            if (base + d * 32 < n)
                r[d] = f.cell(base + d * 32);
#pragma unroll
        for (uint32_t d = 0; d < CELLS; d++)
            if (base + d * 32 < n)
                v[base + d * 32] = r[d];
    }
}

/* `halo`: where the four neighbours are among the words.  What a warp does has fewer than 2^32 cells. */
template <class T>
__device__ __forceinline__ void field_of(const uint64_t *a, T centre, T edge, int from, int halo)
{
    if (size(a, 0) <= 0 || size(a, 1) <= 0)
        return;
    field<T> f = {(uint32_t)a[0], (uint32_t)a[1], centre, edge, tile<T>(a, from), tile<T>(a, halo), tile<T>(a, halo + 1),
                  tile<T>(a, halo + 2), tile<T>(a, halo + 3)};
    cells(f, tile<T>(a, from + 1));
}
} // namespace warp

#define STENCIL(type, T)                                                                                     \
    TGI_BODY body_stencil3_##type(const uint64_t *a)                                                         \
    {                                                                                                        \
        warp::line<T>(a);                                                                                    \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_stencil5_##type(const uint64_t *a)                                                         \
    {                                                                                                        \
        warp::field_of<T>(a, warp::number<T>(a, 4), warp::number<T>(a, 5), 2, 6);                            \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_heat2d_##type(const uint64_t *a)                                                           \
    {                                                                                                        \
        T alpha = warp::number<T>(a, 2);                                                                     \
        warp::field_of<T>(a, 1 - 4 * alpha, alpha, 3, 5);                                                    \
        return 0;                                                                                            \
    }
TGK_FLOATS(STENCIL)
#undef STENCIL
