/* matvec, matvec_add, softmax and layernorm: row by row, each as a warp of the launched variant does it. */
#include "kernels/layer.cuh"
#include "kernels/matvec.cuh"
#include "kernels/resident/warp.cuh"

namespace warp {
template <class T> __device__ __forceinline__ void rows_times(const uint64_t *a, T alpha, T beta)
{
    constexpr int AT_ONCE = 4; /* rows */
    int64_t m = size(a, 0), n = size(a, 1);
    const T *x = tile<T>(a, 3);
    T *y = tile<T>(a, 4);
    bool is_wide = matvec::is_row_wide(n, tile<T>(a, 2), x);
    int64_t i = 0;
    for (; is_wide && i + AT_ONCE <= m; i += AT_ONCE) {
        T total[AT_ONCE];
        matvec::row_sums<AT_ONCE>(n, tile<T>(a, 2) + i * n, x, lane(), total);
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++)
            if (lane() == r)
                y[i + r] = matvec::element(alpha, total[r], beta, &y[i + r]);
    }
    for (; i < m; i++) {
        T total = matvec::row_sum(n, tile<T>(a, 2) + i * n, x, is_wide, lane());
        if (lane() == 0)
            y[i] = matvec::element(alpha, total, beta, &y[i]);
    }
}

template <int N, class T> __device__ __forceinline__ void softmax_rows(const uint64_t *a)
{
    for (int64_t r = 0; r < size(a, 0); r++)
        layer::softmax_row<32, N>(size(a, 1), tile<T>(a, 2) + r * size(a, 1), tile<T>(a, 3) + r * size(a, 1));
}

template <int N, class T> __device__ __forceinline__ void layernorm_rows(const uint64_t *a)
{
    double eps = (double)number<T>(a, 6);
    for (int64_t r = 0; r < size(a, 0); r++)
        layer::layernorm_row<32, N>(size(a, 1), tile<T>(a, 2) + r * size(a, 1), tile<T>(a, 3) + r * size(a, 1),
                                    tile<T>(a, 4), tile<T>(a, 5), eps);
}
} // namespace warp

/* Few columns or up to 1024, as in each_row() of kernels/layer.cu. */
#define ROWS(type, T)                                                                 \
    TGI_BODY body_matvec_##type(const uint64_t *a)                                    \
    {                                                                                 \
        warp::rows_times<T>(a, warp::number<T>(a, 6), (T)0);                          \
        return 0;                                                                     \
    }                                                                                 \
    TGI_BODY body_matvec_add_##type(const uint64_t *a)                                \
    {                                                                                 \
        warp::rows_times<T>(a, warp::number<T>(a, 6), warp::number<T>(a, 7));         \
        return 0;                                                                     \
    }                                                                                 \
    TGI_BODY_APART body_softmax_##type(const uint64_t *a)                             \
    {                                                                                 \
        if (warp::size(a, 1) <= 256)                                                  \
            warp::softmax_rows<8, T>(a);                                              \
        else                                                                          \
            warp::softmax_rows<32, T>(a);                                             \
        return 0;                                                                     \
    }                                                                                 \
    TGI_BODY_APART body_layernorm_##type(const uint64_t *a)                           \
    {                                                                                 \
        if (warp::size(a, 1) <= 256)                                                  \
            warp::layernorm_rows<8, T>(a);                                            \
        else                                                                          \
            warp::layernorm_rows<32, T>(a);                                           \
        return 0;                                                                     \
    }
TGK_FLOATS(ROWS)
#undef ROWS
