/* See layer.c.  Rows of up to 1024 columns belong to a warp, longer ones to a block; a row of up to 8192 is
 * read once and stays in registers, a longer one is read again from the cache. */
#include "kernels/entry.cuh"
#include "kernels/layer.cuh"
#include "kernels/map.cuh"

namespace layer {
/* f.template of_row<GROUP, N>(r) for every row. */
template <class F> __device__ __forceinline__ void each_row(int64_t rows, int64_t cols, F f)
{
    if (cols <= 1024) {
        int64_t step = (int64_t)gridDim.x * (THREADS / 32);
        for (int64_t r = blockIdx.x * (int64_t)(THREADS / 32) + threadIdx.x / 32; r < rows; r += step)
            if (cols <= 256)
                f.template of_row<32, 8>(r);
            else
                f.template of_row<32, 32>(r);
        return;
    }
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x)
        if (cols <= 2048)
            f.template of_row<THREADS, 8>(r);
        else if (cols <= 8192)
            f.template of_row<THREADS, 32>(r);
        else
            f.template of_row<THREADS, 0>(r);
}

template <class T> struct softmax {
    int64_t cols;
    const T *x;
    T *y;
    template <int GROUP, int N> __device__ __forceinline__ void of_row(int64_t r)
    {
        softmax_row<GROUP, N>(cols, x + r * cols, y + r * cols);
    }
};
template <class T> struct layernorm {
    int64_t cols;
    const T *x;
    T *y;
    const T *gamma, *beta;
    T eps;
    template <int GROUP, int N> __device__ __forceinline__ void of_row(int64_t r)
    {
        layernorm_row<GROUP, N>(cols, x + r * cols, y + r * cols, gamma, beta, (double)eps);
    }
};

template <class T>
__device__ __forceinline__ void bias_add(int64_t rows, int64_t cols, const T *x, const T *bias, T *y)
{
    int64_t n = cols > 0 ? rows * cols : 0;
    /* 64-bit remainders are slow, and few tiles need them. */
    if (n <= UINT32_MAX) {
        uint32_t width = (uint32_t)cols;
        map<1>(n, y, {x}, [=](int64_t i, const T *v) { return v[0] + bias[(uint32_t)i % width]; });
    } else {
        map<1>(n, y, {x}, [=](int64_t i, const T *v) { return v[0] + bias[i % cols]; });
    }
}
} // namespace layer

#define LAYER(type, T)                                                                                        \
    TGK_KERNEL(256) tgk_softmax_##type(int64_t rows, int64_t cols, const T *x, T *y)                          \
    {                                                                                                         \
        tgk_begin();                                                                                          \
        layer::each_row(rows, cols, layer::softmax<T>{cols, x, y});                                           \
    }                                                                                                         \
    TGK_KERNEL(256) tgk_layernorm_##type(int64_t rows, int64_t cols, const T *x, T *y, const T *gamma,        \
                                         const T *beta, T eps)                                                \
    {                                                                                                         \
        tgk_begin();                                                                                          \
        layer::each_row(rows, cols, layer::layernorm<T>{cols, x, y, gamma, beta, eps});                       \
    }                                                                                                         \
    TGK_KERNEL(256) tgk_gelu_##type(int64_t n, const T *x, T *y)                                              \
    {                                                                                                         \
        tgk_begin();                                                                                          \
        map<1>(n, y, {x}, [](int64_t, const T *v) { return layer::gelu_of(v[0]); });                          \
    }                                                                                                         \
    TGK_KERNEL(256) tgk_relu_##type(int64_t n, const T *x, T *y)                                              \
    {                                                                                                         \
        tgk_begin();                                                                                          \
        map<1>(n, y, {x}, [](int64_t, const T *v) { return v[0] < 0 ? (T)0 : v[0]; });                        \
    }                                                                                                         \
    TGK_KERNEL(256) tgk_bias_add_##type(int64_t rows, int64_t cols, const T *x, const T *bias, T *y)          \
    {                                                                                                         \
        tgk_begin();                                                                                          \
        layer::bias_add(rows, cols, x, bias, y);                                                              \
    }
TGK_FLOATS(LAYER)
#undef LAYER
