/* See trsm.c.  A block owns 32 right-hand sides, rows of b or columns, and goes through the unknowns 64 at a
 * time: it subtracts the product with those that are known and solves with the block on the diagonal. */
#include "kernels/dense.cuh"
#include "kernels/entry.cuh"

namespace trsm {
using namespace dense;

/* X L^T = B (BELOW) or X U = B (ABOVE), for rows of b. */
template <triangle_kind kind, class T>
__device__ __forceinline__ void right(int64_t m, int64_t n, const T *l, T *b)
{
    using panel = product<T, SIDES, ORDER, true, kind == BELOW>;
    extern __shared__ __align__(16) char shared[];
    T *t = (T *)shared + panel::SHARED, *inverse = t + TRIANGLE, *side = inverse + ORDER;
    int mine = threadIdx.x / 8, lane = threadIdx.x % 8;
    for (int64_t i0 = blockIdx.x * (int64_t)SIDES; i0 < m; i0 += gridDim.x * (int64_t)SIDES)
        for (int64_t j0 = 0; j0 < n; j0 += ORDER) {
            load_triangle(t, inverse, l + j0 * n + j0, n, n - j0, kind, false);
            panel p;
            p.run((T *)shared, m - i0, n - j0, j0, b + i0 * n, n, kind == BELOW ? l + j0 * n : l + j0, n);
            p.acc.each([&](int r, int c, T v) {
                side[r * (ORDER + 1) + c] = i0 + r < m && j0 + c < n ? b[(i0 + r) * n + j0 + c] - v : (T)0;
            });
            __syncthreads();
            T x[8];
#pragma unroll
            for (int q = 0; q < 8; q++)
                x[q] = side[mine * (ORDER + 1) + 8 * q + lane];
            solve(x, t, inverse);
#pragma unroll
            for (int q = 0; q < 8; q++)
                if (i0 + mine < m && j0 + 8 * q + lane < n)
                    b[(i0 + mine) * n + j0 + 8 * q + lane] = x[q];
            /* The next product reads these, and takes `side` again. */
            __syncthreads();
        }
}

/* L X = B, for columns of b. */
template <class T> __device__ __forceinline__ void left(int64_t n, int64_t m, const T *l, bool is_unit, T *b)
{
    using panel = product<T, ORDER, SIDES, true, false>;
    extern __shared__ __align__(16) char shared[];
    T *t = (T *)shared + panel::SHARED, *inverse = t + TRIANGLE, *side = inverse + ORDER;
    int mine = threadIdx.x / 8, lane = threadIdx.x % 8;
    for (int64_t j0 = blockIdx.x * (int64_t)SIDES; j0 < m; j0 += gridDim.x * (int64_t)SIDES)
        for (int64_t i0 = 0; i0 < n; i0 += ORDER) {
            load_triangle(t, inverse, l + i0 * n + i0, n, n - i0, BELOW, is_unit);
            panel p;
            p.run((T *)shared, n - i0, m - j0, i0, l + i0 * n, n, b + j0, m);
            p.acc.each([&](int r, int c, T v) {
                side[r * (SIDES + 1) + c] = i0 + r < n && j0 + c < m ? b[(i0 + r) * m + j0 + c] - v : (T)0;
            });
            __syncthreads();
            T x[8];
#pragma unroll
            for (int q = 0; q < 8; q++)
                x[q] = side[(8 * q + lane) * (SIDES + 1) + mine];
            solve(x, t, inverse);
#pragma unroll
            for (int q = 0; q < 8; q++)
                side[(8 * q + lane) * (SIDES + 1) + mine] = x[q];
            __syncthreads();
            for (int i = threadIdx.x; i < ORDER * SIDES; i += THREADS) {
                int r = i / SIDES, c = i % SIDES;
                if (i0 + r < n && j0 + c < m)
                    b[(i0 + r) * m + j0 + c] = side[r * (SIDES + 1) + c];
            }
            __syncthreads();
        }
}
} // namespace trsm

#define TRSM(type, T)                                                                                             \
    TGK_KERNEL(256) tgk_trsm_rlt_##type(int64_t n, const T *l, T *b, int64_t m)                                   \
    {                                                                                                             \
        tgk_begin();                                                                                              \
        trsm::right<dense::BELOW>(m, n, l, b);                                                                    \
    }                                                                                                             \
    TGK_KERNEL(256) tgk_trsm_run_##type(int64_t n, const T *u, T *b, int64_t m)                                   \
    {                                                                                                             \
        tgk_begin();                                                                                              \
        trsm::right<dense::ABOVE>(m, n, u, b);                                                                    \
    }                                                                                                             \
    TGK_KERNEL(256) tgk_trsm_lln_##type(int64_t n, const T *l, T *b, int64_t m, int64_t unit)                     \
    {                                                                                                             \
        tgk_begin();                                                                                              \
        trsm::left(n, m, l, unit != 0, b);                                                                        \
    }
TGK_FLOATS(TRSM)
#undef TRSM
