/* See gemm.c.  Blocks of 128 x 128 where that makes enough of them to fill a large GPU, else of 64 x 64;
 * launch.h (TGI_GEMM_GRID) decides by the same rule. */
#include "kernels/dense.cuh"
#include "kernels/entry.cuh"

namespace gemm {
constexpr int64_t LARGE = 3300000;

template <class T, int SIDE, bool is_a_deep, bool is_b_deep>
__device__ __forceinline__ void blocks(int64_t m, int64_t n, int64_t k, T alpha, const T *a, const T *b, T beta, T *c)
{
    extern __shared__ __align__(16) char shared[];
    int64_t lda = is_a_deep ? k : m, ldb = is_b_deep ? k : n;
    int64_t down = (m + SIDE - 1) / SIDE, across = (n + SIDE - 1) / SIDE;
    for (int64_t at = blockIdx.x; at < down * across; at += gridDim.x) {
        /* Blocks that run at once form a square, eight rows high: they share their panels in the cache. */
        int64_t band = at / (8 * across), i_end = down - 8 * band < 8 ? down - 8 * band : 8;
        int64_t inside = at % (8 * across);
        int64_t i0 = (8 * band + inside % i_end) * SIDE, j0 = inside / i_end * SIDE;
        dense::product<T, SIDE, SIDE, is_a_deep, is_b_deep> p;
        p.run((T *)shared, m - i0, n - j0, k, is_a_deep ? a + i0 * lda : a + i0, lda, is_b_deep ? b + j0 * ldb : b + j0,
              ldb);
        p.acc.each([&](int r, int q, T v) {
            if (i0 + r < m && j0 + q < n) {
                T *z = c + (i0 + r) * n + j0 + q;
                *z = beta == 0 ? alpha * v : beta * *z + alpha * v;
            }
        });
    }
}

template <class T, bool is_a_deep, bool is_b_deep>
__device__ __forceinline__ void tile(int64_t n, const T *a, const T *b, T *c, int64_t m, int64_t k, T alpha, T beta)
{
    if (m <= 0 || n <= 0)
        return;
    if (m * n >= LARGE)
        blocks<T, 128, is_a_deep, is_b_deep>(m, n, k, alpha, a, b, beta, c);
    else
        blocks<T, 64, is_a_deep, is_b_deep>(m, n, k, alpha, a, b, beta, c);
}
} // namespace gemm

#define GEMM(name, type, T, is_a_deep, is_b_deep)                                                                 \
    extern "C" __global__ void __launch_bounds__(256, 1) tgk_##name##_##type(                                     \
        int64_t n, const T *a, const T *b, T *c, int64_t m, int64_t k, T alpha, T beta)                           \
    {                                                                                                             \
        tgk_begin();                                                                                              \
        gemm::tile<T, is_a_deep, is_b_deep>(n, a, b, c, m, k, alpha, beta);                                       \
    }
GEMM(gemm_nn, f32, float, true, false)
GEMM(gemm_nn, f64, double, true, false)
GEMM(gemm_nt, f32, float, true, true)
GEMM(gemm_nt, f64, double, true, true)
GEMM(gemm_tn, f32, float, false, false)
GEMM(gemm_tn, f64, double, false, false)
#undef GEMM
