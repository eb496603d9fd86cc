/* Element by element: fill, copy, iota, add, mul, axpy, scale, gelu, relu, bias_add. */
#include "kernels/layer.cuh"
#include "kernels/resident/warp.cuh"

#define FILL(bytes, T)                                                                        \
    TGI_BODY body_fill_##bytes(const uint64_t *a)                                              \
    {                                                                                         \
        T value = warp::number<T>(a, 1), *x = warp::tile<T>(a, 2);                            \
        warp::map<0>(warp::size(a, 0), x, {x}, [=](int64_t, const T *) { return value; });    \
        return 0;                                                                             \
    }
FILL(1, uint8_t)
FILL(2, uint16_t)
FILL(4, uint32_t)
FILL(8, uint64_t)
#undef FILL
/* The word of a 16-byte type holds the real part. */
TGI_BODY body_fill_16(const uint64_t *a)
{
    double2 value = make_double2(warp::number<double>(a, 1), 0), *x = warp::tile<double2>(a, 2);
    warp::map<0>(warp::size(a, 0), x, {x}, [=](int64_t, const double2 *) { return value; });
    return 0;
}

#define COPY(bytes, T)                                                                                       \
    TGI_BODY body_copy_##bytes(const uint64_t *a)                                                             \
    {                                                                                                        \
        warp::map<1>(warp::size(a, 0), warp::tile<T>(a, 2), {warp::tile<T>(a, 1)},                           \
                     [](int64_t, const T *v) { return v[0]; });                                              \
        return 0;                                                                                            \
    }
COPY(1, uint8_t)
COPY(2, uint16_t)
COPY(4, uint32_t)
COPY(8, uint64_t)
COPY(16, uint4)
#undef COPY

#define TGI_WRAPPING(X) X(f32, float) X(f64, double) X(u32, uint32_t) X(u64, uint64_t)
#define ARITH(type, T)                                                                                       \
    TGI_BODY body_iota_##type(const uint64_t *a)                                                             \
    {                                                                                                        \
        T start = warp::number<T>(a, 1), *x = warp::tile<T>(a, 2);                                           \
        warp::map<0>(warp::size(a, 0), x, {x}, [=](int64_t i, const T *) { return (T)(start + (T)i); });     \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_add_##type(const uint64_t *a)                                                              \
    {                                                                                                        \
        warp::map<2>(warp::size(a, 0), warp::tile<T>(a, 3), {warp::tile<T>(a, 1), warp::tile<T>(a, 2)},      \
                     [](int64_t, const T *v) { return (T)(v[0] + v[1]); });                                  \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_mul_##type(const uint64_t *a)                                                              \
    {                                                                                                        \
        warp::map<2>(warp::size(a, 0), warp::tile<T>(a, 3), {warp::tile<T>(a, 1), warp::tile<T>(a, 2)},      \
                     [](int64_t, const T *v) { return (T)(v[0] * v[1]); });                                  \
        return 0;                                                                                            \
    }
TGI_WRAPPING(ARITH)
#undef ARITH

#define FLOATS(type, T)                                                                                      \
    TGI_BODY body_axpy_##type(const uint64_t *a)                                                             \
    {                                                                                                        \
        T factor = warp::number<T>(a, 1), *y = warp::tile<T>(a, 3);                                          \
        warp::map<2>(warp::size(a, 0), y, {warp::tile<T>(a, 2), y},                                          \
                     [=](int64_t, const T *v) { return factor * v[0] + v[1]; });                             \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_scale_##type(const uint64_t *a)                                                            \
    {                                                                                                        \
        T factor = warp::number<T>(a, 1), *x = warp::tile<T>(a, 2);                                          \
        warp::map<1>(warp::size(a, 0), x, {x}, [=](int64_t, const T *v) { return v[0] * factor; });          \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY_APART body_gelu_##type(const uint64_t *a)                                                       \
    {                                                                                                        \
        warp::map<1>(warp::size(a, 0), warp::tile<T>(a, 2), {warp::tile<T>(a, 1)},                           \
                     [](int64_t, const T *v) { return layer::gelu_of(v[0]); });                              \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_relu_##type(const uint64_t *a)                                                             \
    {                                                                                                        \
        warp::map<1>(warp::size(a, 0), warp::tile<T>(a, 2), {warp::tile<T>(a, 1)},                           \
                     [](int64_t, const T *v) { return v[0] < 0 ? (T)0 : v[0]; });                            \
        return 0;                                                                                            \
    }                                                                                                        \
    /* What a warp does has fewer than 2^32 elements. */                                                     \
    TGI_BODY body_bias_add_##type(const uint64_t *a)                                                         \
    {                                                                                                        \
        int64_t n = warp::size(a, 1) > 0 ? warp::size(a, 0) * warp::size(a, 1) : 0;                          \
        uint32_t width = (uint32_t)warp::size(a, 1);                                                         \
        const T *bias = warp::tile<T>(a, 3);                                                                 \
        warp::map<1>(n, warp::tile<T>(a, 4), {warp::tile<T>(a, 2)},                                          \
                     [=](int64_t i, const T *v) { return v[0] + bias[(uint32_t)i % width]; });               \
        return 0;                                                                                            \
    }
TGK_FLOATS(FLOATS)
#undef FLOATS
