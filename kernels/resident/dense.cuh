/* gemm, syrk, trsm, potrf and getrf of small tiles; see kernels/dense.cuh for the order of sums, which is kept: along the depth, in
 * f64 eight at a time by the tensor core's instruction, in f32 one after the other.  Solves and factorisations are of up to 64
 * unknowns, one square of the launched variants.  Everything is read from the caches, as there is no shared memory for it. */
#include "kernels/dense.cuh"
#include "kernels/resident/warp.cuh"

namespace warp {
/* Element (i, k) of an operand at p[i * across + k * along]; beyond the edges it is 0. */
template <class T> struct operand {
    const T *p;
    int64_t across, along, n, depth;
    __device__ __forceinline__ T at(int64_t i, int64_t k) const { return i < n && k < depth ? p[i * across + k * along] : (T)0; }
};

/* f(row, column, sum) for every element of a b, or of its lower triangle. */
template <class F>
__device__ __forceinline__ void multiply(const operand<double> &a, const operand<double> &b, bool is_lower, F f)
{
    constexpr int N = 4; /* tiles of 16 x 8 side by side */
    int g = lane() / 4, t = lane() % 4;
    for (int64_t i0 = 0; i0 < a.n; i0 += 16)
        for (int64_t j0 = 0; j0 < b.n && (!is_lower || j0 < i0 + 16); j0 += 8 * N) {
            double sum[N][4] = {};
            for (int64_t k = 0; k < a.depth; k += 8) {
                double x[4], y[N][2];
#pragma unroll
                for (int q = 0; q < 4; q++)
                    x[q] = a.at(i0 + g + q % 2 * 8, k + t + q / 2 * 4);
#pragma unroll
                for (int j = 0; j < N; j++)
#pragma unroll
                    for (int q = 0; q < 2; q++)
                        y[j][q] = b.at(j0 + 8 * j + g, k + t + q * 4);
#pragma unroll
                for (int j = 0; j < N; j++)
                    dense::multiply_add(sum[j], x, y[j]);
            }
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    int64_t r = i0 + g + q / 2 * 8, c = j0 + 8 * j + t * 2 + q % 2;
                    if (r < a.n && c < b.n && (!is_lower || c <= r))
                        f(r, c, sum[j][q]);
                }
        }
}

/* A lane has four rows of one column. */
template <class F>
__device__ __forceinline__ void multiply(const operand<float> &a, const operand<float> &b, bool is_lower, F f)
{
    constexpr int M = 4;
    for (int64_t i0 = 0; i0 < a.n; i0 += M)
        for (int64_t c = lane(); c < b.n && (!is_lower || c < i0 + M); c += 32) {
            float sum[M] = {};
#pragma unroll 4
            for (int64_t k = 0; k < a.depth; k++) {
                float y = b.at(c, k);
#pragma unroll
                for (int q = 0; q < M; q++)
                    sum[q] += a.at(i0 + q, k) * y;
            }
#pragma unroll
            for (int q = 0; q < M; q++)
                if (i0 + q < a.n && (!is_lower || c <= i0 + q))
                    f(i0 + q, c, sum[q]);
        }
}

template <class T, bool is_a_deep, bool is_b_deep> __device__ __forceinline__ void gemm(const uint64_t *a)
{
    int64_t n = size(a, 0), m = size(a, 4), k = size(a, 5);
    T *c = tile<T>(a, 3), alpha = number<T>(a, 6), beta = number<T>(a, 7);
    operand<T> x = {tile<T>(a, 1), is_a_deep ? k : 1, is_a_deep ? 1 : m, m, k};
    operand<T> y = {tile<T>(a, 2), is_b_deep ? k : 1, is_b_deep ? 1 : n, n, k};
    multiply(x, y, false, [=](int64_t r, int64_t q, T v) {
        T *z = c + r * n + q;
        *z = beta == 0 ? alpha * v : beta * *z + alpha * v;
    });
}

template <class T> __device__ __forceinline__ void syrk(const uint64_t *a)
{
    int64_t n = size(a, 0), k = size(a, 3);
    T *c = tile<T>(a, 2), alpha = number<T>(a, 4), beta = number<T>(a, 5);
    operand<T> x = {tile<T>(a, 1), k, 1, n, k};
    multiply(x, x, true, [=](int64_t r, int64_t q, T v) {
        T *z = c + r * n + q;
        *z = beta == 0 ? alpha * v : beta * *z + alpha * v;
    });
}

/* Solves for n <= 64 unknowns of m right-hand sides, eight at a time: unknown p of side r is b[r * side + p * step], and enters
 * equation p by l[p * to + j * from] of unknown j.  A lane has two unknowns of each side. */
template <class T>
__device__ __forceinline__ void solve(int64_t n, int64_t m, const T *l, int64_t to, int64_t from, bool is_unit, T *b,
                                      int64_t side, int64_t step)
{
    constexpr int SIDES = 8;
    for (int64_t r0 = 0; r0 < m; r0 += SIDES) {
        T v[SIDES][2];
#pragma unroll
        for (int r = 0; r < SIDES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                v[r][h] = r0 + r < m && lane() + 32 * h < n ? b[(r0 + r) * side + (lane() + 32 * h) * step] : (T)0;
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll 1
            for (int i = 0; i < 32 && 32 * half + i < n; i++) {
                int j = 32 * half + i;
                T inverse = is_unit ? (T)1 : 1 / l[j * to + j * from], t[2];
#pragma unroll
                for (int h = 0; h < 2; h++)
                    t[h] = lane() + 32 * h > j && lane() + 32 * h < n ? l[(lane() + 32 * h) * to + j * from] : (T)0;
#pragma unroll
                for (int r = 0; r < SIDES; r++) {
                    T x = __shfl_sync(0xffffffffu, v[r][half] * inverse, i);
#pragma unroll
                    for (int h = half; h < 2; h++)
                        v[r][h] = lane() + 32 * h == j ? x : lane() + 32 * h > j ? v[r][h] - x * t[h] : v[r][h];
                }
            }
#pragma unroll
        for (int r = 0; r < SIDES; r++)
#pragma unroll
            for (int h = 0; h < 2; h++)
                if (r0 + r < m && lane() + 32 * h < n)
                    b[(r0 + r) * side + (lane() + 32 * h) * step] = v[r][h];
    }
}

/* Factorises n <= 64 in place, of a Cholesky tile the lower triangle.  0, or the place of the pivot that is no good, from 1. */
template <bool is_lu, class T> __device__ __forceinline__ uint32_t factorise(int64_t n, T *a)
{
    for (int64_t k = 0; k < n; k++) {
        T pivot = a[k * n + k];
        if (is_lu ? pivot == 0 || pivot - pivot != 0 : !(pivot > 0) || pivot - pivot != 0)
            return (uint32_t)k + 1;
        T scale = 1 / pivot, root = is_lu ? (T)0 : sqrt(pivot), by_root = is_lu ? scale : 1 / root;
        for (int64_t r = k + 1; r < n; r++) {
            T factor = a[r * n + k] * scale;
            for (int64_t c = k + 1 + lane(); c < (is_lu ? n : r + 1); c += 32)
                a[r * n + c] -= factor * (is_lu ? a[k * n + c] : a[c * n + k]);
        }
        __syncwarp(); /* the column is read until here */
        for (int64_t r = k + 1 + lane(); r < n; r += 32)
            a[r * n + k] *= by_root;
        if (!is_lu && lane() == 0)
            a[k * n + k] = root;
        __syncwarp();
    }
    return 0;
}
} // namespace warp

#define DENSE(type, T)                                                                                               \
    TGI_BODY_APART body_gemm_nn_##type(const uint64_t *a)                                                            \
    {                                                                                                                \
        warp::gemm<T, true, false>(a);                                                                               \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_gemm_nt_##type(const uint64_t *a)                                                            \
    {                                                                                                                \
        warp::gemm<T, true, true>(a);                                                                                \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_gemm_tn_##type(const uint64_t *a)                                                            \
    {                                                                                                                \
        warp::gemm<T, false, false>(a);                                                                              \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_syrk_lower_##type(const uint64_t *a)                                                         \
    {                                                                                                                \
        warp::syrk<T>(a);                                                                                            \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_trsm_rlt_##type(const uint64_t *a)                                                           \
    {                                                                                                                \
        int64_t n = warp::size(a, 0);                                                                                \
        warp::solve<T>(n, warp::size(a, 3), warp::tile<T>(a, 1), n, 1, false, warp::tile<T>(a, 2), n, 1);            \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_trsm_run_##type(const uint64_t *a)                                                           \
    {                                                                                                                \
        int64_t n = warp::size(a, 0);                                                                                \
        warp::solve<T>(n, warp::size(a, 3), warp::tile<T>(a, 1), 1, n, false, warp::tile<T>(a, 2), n, 1);            \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_trsm_lln_##type(const uint64_t *a)                                                           \
    {                                                                                                                \
        int64_t n = warp::size(a, 0), m = warp::size(a, 3);                                                          \
        warp::solve<T>(n, m, warp::tile<T>(a, 1), n, 1, a[4] != 0, warp::tile<T>(a, 2), 1, m);                       \
        return 0;                                                                                                    \
    }                                                                                                                \
    TGI_BODY_APART body_potrf_lower_##type(const uint64_t *a)                                                        \
    {                                                                                                                \
        return warp::factorise<false>(warp::size(a, 0), warp::tile<T>(a, 1));                                        \
    }                                                                                                                \
    TGI_BODY_APART body_getrf_nopiv_##type(const uint64_t *a)                                                        \
    {                                                                                                                \
        return warp::factorise<true>(warp::size(a, 0), warp::tile<T>(a, 1));                                         \
    }
TGK_FLOATS(DENSE)
#undef DENSE
