/* See syrk.c.  One block of the grid for each block of c on and below the diagonal. */
#include "kernels/dense.cuh"
#include "kernels/entry.cuh"

namespace syrk {
constexpr int64_t LARGE = 6600000;

template <class T, int SIDE>
__device__ __forceinline__ void blocks(int64_t n, const T *a, T *c, int64_t k, T alpha, T beta)
{
    extern __shared__ __align__(16) char shared[];
    int64_t down = (n + SIDE - 1) / SIDE;
    for (int64_t at = blockIdx.x; at < down * (down + 1) / 2; at += gridDim.x) {
        int64_t i = (int64_t)((sqrt(8.0 * (double)at + 1) - 1) / 2);
        /* The root may be off by one in its last bit. */
        i -= i * (i + 1) / 2 > at;
        i += (i + 1) * (i + 2) / 2 <= at;
        int64_t i0 = i * SIDE, j0 = (at - i * (i + 1) / 2) * SIDE;
        dense::product<T, SIDE, SIDE, true, true> p;
        p.run((T *)shared, n - i0, n - j0, k, a + i0 * k, k, a + j0 * k, k);
        p.acc.each([&](int r, int q, T v) {
            if (i0 + r < n && j0 + q <= i0 + r) {
                T *z = c + (i0 + r) * n + j0 + q;
                *z = beta == 0 ? alpha * v : beta * *z + alpha * v;
            }
        });
    }
}
} // namespace syrk

#define SYRK(type, T)                                                                                         \
    extern "C" __global__ void __launch_bounds__(256, 1)                                                      \
        tgk_syrk_lower_##type(int64_t n, const T *a, T *c, int64_t k, T alpha, T beta)                        \
    {                                                                                                         \
        tgk_begin();                                                                                          \
        if (n <= 0)                                                                                           \
            return;                                                                                           \
        if (n * n >= syrk::LARGE)                                                                             \
            syrk::blocks<T, 128>(n, a, c, k, alpha, beta);                                                    \
        else                                                                                                  \
            syrk::blocks<T, 64>(n, a, c, k, alpha, beta);                                                     \
    }
TGK_FLOATS(SYRK)
#undef SYRK
