/* See factor.c.  A team of eight blocks (team.cuh) factorises a tile in one launch, 64 columns at a time:
 * the first block factorises the square on the diagonal, all solve for the panels beside it, all update
 * what remains; the team's barrier stands between.  */
#include "kernels/dense.cuh"
#include "kernels/entry.cuh"
#include "kernels/fault.cuh"
#include "kernels/team.cuh"

namespace factor {
using namespace dense;

/* Factorises a square of 64 in registers: thread (y, x) of 16 x 16 holds elements (y + 16 i, x + 16 j).  Step k
 * publishes column k and row k as they then are.  Returns 0, or the place of the pivot that is no good, from 1,
 * the same in all threads.  Only n x n exist. */
template <bool is_lu, class T> __device__ __forceinline__ int square(T *a, int64_t ld, int n, T *line, T *pivot_p)
{
    int y = threadIdx.x / 16, x = threadIdx.x % 16;
    T v[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int r = y + 16 * i, c = x + 16 * j;
            /* Above the diagonal a Cholesky tile is not read. */
            v[i][j] = r < n && c < n && (is_lu || r >= c) ? a[r * ld + c] : (T)(r == c);
        }
    int bad = 0;
#pragma unroll
    for (int kq = 0; kq < 4; kq++)
#pragma unroll 1
        for (int kr = 0; kr < 16; kr++) {
            int k = 16 * kq + kr;
            if (k >= n || bad)
                break;
            T *column = line + (k & 1) * 2 * ORDER, *row = column + ORDER;
            if (x == kr)
#pragma unroll
                for (int i = 0; i < 4; i++)
                    column[y + 16 * i] = v[i][kq];
            if (is_lu && y == kr)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    row[x + 16 * j] = v[kq][j];
            __syncthreads();
            T pivot = column[k];
            if (is_lu ? pivot == 0 || pivot - pivot != 0 : !(pivot > 0) || pivot - pivot != 0) {
                bad = k + 1;
                *pivot_p = pivot;
                break;
            }
            T scale = 1 / pivot, root = is_lu ? (T)0 : sqrt(pivot), by_root = is_lu ? scale : 1 / root;
            T factor[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                factor[i] = y + 16 * i > k ? column[y + 16 * i] * scale : (T)0;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int c = x + 16 * j;
                T of_row = c > k ? (is_lu ? row[c] : column[c]) : (T)0;
#pragma unroll
                for (int i = 0; i < 4; i++)
                    v[i][j] -= factor[i] * of_row;
            }
            if (x == kr)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    int r = y + 16 * i;
                    v[i][kq] = r > k ? v[i][kq] * by_root : !is_lu && r == k ? root : v[i][kq];
                }
        }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            int r = y + 16 * i, c = x + 16 * j;
            if (r < n && c < n && (is_lu || r >= c))
                a[r * ld + c] = v[i][j];
        }
    return bad;
}

/* The panel below the square (X U = B or X L^T = B), rows of it dealt out to the team. */
template <bool is_lu, class T>
__device__ __forceinline__ void panel_below(int64_t n, T *a, int64_t k0, T *t, T *inverse)
{
    int mine = threadIdx.x / 8, lane = threadIdx.x % 8;
    load_triangle(t, inverse, a + k0 * n + k0, n, n - k0, is_lu ? ABOVE : BELOW, false);
    __syncthreads();
    for (int64_t i0 = k0 + ORDER + team::rank() * (int64_t)SIDES; i0 < n; i0 += team::SIZE * (int64_t)SIDES) {
        T *row = a + (i0 + mine) * n + k0, x[8];
        bool is_there = i0 + mine < n;
#pragma unroll
        for (int q = 0; q < 8; q++)
            x[q] = is_there ? row[8 * q + lane] : (T)0;
        solve(x, t, inverse);
#pragma unroll
        for (int q = 0; q < 8; q++)
            if (is_there)
                row[8 * q + lane] = x[q];
    }
    __syncthreads();
}

/* The panel right of the square (L X = B), columns of it dealt out to the team. */
template <class T>
__device__ __forceinline__ void panel_right(int64_t n, T *a, int64_t k0, T *t, T *inverse, T *side)
{
    int mine = threadIdx.x / 8, lane = threadIdx.x % 8;
    load_triangle(t, inverse, a + k0 * n + k0, n, n - k0, BELOW, true);
    __syncthreads();
    for (int64_t j0 = k0 + ORDER + team::rank() * (int64_t)SIDES; j0 < n; j0 += team::SIZE * (int64_t)SIDES) {
        for (int i = threadIdx.x; i < ORDER * SIDES; i += THREADS)
            side[i / SIDES * (SIDES + 1) + i % SIDES] =
                j0 + i % SIDES < n ? a[(k0 + i / SIDES) * n + j0 + i % SIDES] : (T)0;
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
        for (int i = threadIdx.x; i < ORDER * SIDES; i += THREADS)
            if (j0 + i % SIDES < n)
                a[(k0 + i / SIDES) * n + j0 + i % SIDES] = side[i / SIDES * (SIDES + 1) + i % SIDES];
        __syncthreads();
    }
}

/* a -= panel times panel, in squares dealt out to the team; of a Cholesky tile only the lower ones. */
template <bool is_lu, class T> __device__ __forceinline__ void update(int64_t n, T *a, int64_t k0, T *shared)
{
    int64_t from = k0 + ORDER, count = 0;
    for (int64_t i0 = from; i0 < n; i0 += ORDER)
        for (int64_t j0 = from; j0 < n && (is_lu || j0 <= i0); j0 += ORDER) {
            if (count++ % team::SIZE != team::rank())
                continue;
            product<T, ORDER, ORDER, true, !is_lu> p;
            p.run(shared, n - i0, n - j0, ORDER, a + i0 * n + k0, n, is_lu ? a + k0 * n + j0 : a + j0 * n + k0, n);
            p.acc.each([&](int r, int c, T v) {
                if (i0 + r < n && j0 + c < n && (is_lu || j0 + c <= i0 + r))
                    a[(i0 + r) * n + j0 + c] -= v;
            });
        }
}

template <bool is_lu, class T> __device__ __forceinline__ void tile(int64_t n, T *a)
{
    extern __shared__ __align__(16) char shared[];
    __shared__ int bad;
    __shared__ T pivot, line[4 * ORDER];
    if (team::is_spare() || n <= 0)
        return;
    T *t = (T *)shared + product<T, ORDER, ORDER, true, !is_lu>::SHARED, *inverse = t + TRIANGLE, *side = inverse + ORDER;
    for (int64_t k0 = 0; k0 < n; k0 += ORDER) {
        if (team::rank() == 0) {
            int found = square<is_lu>(a + k0 * n + k0, n, n - k0 < ORDER ? (int)(n - k0) : ORDER, line, &pivot);
            if (threadIdx.x == 0)
                bad = found;
        }
        team::sync();
        if (team::peek(&bad, 0)) {
            if (team::rank() == 0 && threadIdx.x == 0)
                report_fault(is_lu ? TGI_FAULT_NO_LU : TGI_FAULT_NOT_POSITIVE, a, k0 + bad, n, (double)pivot, 0);
            break;
        }
        if (k0 + ORDER >= n)
            break;
        panel_below<is_lu>(n, a, k0, t, inverse);
        if (is_lu)
            panel_right(n, a, k0, t, inverse, side);
        team::sync();
        update<is_lu>(n, a, k0, (T *)shared);
        team::sync();
    }
    /* Nobody leaves while another may still look at `bad`. */
    team::sync();
}
} // namespace factor

#define FACTOR(type, T)                                                      \
    TGK_TEAM_KERNEL(256) tgk_potrf_lower_##type(int64_t n, T *a)             \
    {                                                                        \
        tgk_begin();                                                         \
        factor::tile<false>(n, a);                                           \
    }                                                                        \
    TGK_TEAM_KERNEL(256) tgk_getrf_nopiv_##type(int64_t n, T *a)             \
    {                                                                        \
        tgk_begin();                                                         \
        factor::tile<true>(n, a);                                            \
    }
TGK_FLOATS(FACTOR)
#undef FACTOR

/* After a library's factorisation: `info` is 0, or the number of the pivot that was not positive, from 1. */
extern "C" __global__ void tgk_report_info(const int *info, const void *tile, int64_t n)
{
    if (*info > 0)
        report_fault(TGI_FAULT_NOT_POSITIVE, tile, *info - 1, n, NAN, 0);
}
