/* What reductions join, and how; see reduce.cu. */
#ifndef TGI_KERNELS_REDUCE_CUH
#define TGI_KERNELS_REDUCE_CUH

#include <math.h>
#include <stdint.h>

namespace reduce {
constexpr int THREADS = 1024; /* of each block of the team */

template <class T> struct sum {
    __device__ T operator()(T a, T b) const { return a + b; }
};
/* A NaN on either side stays. */
template <class T> struct least {
    __device__ T operator()(T a, T b) const { return b < a || b != b ? b : a; }
};
template <class T> struct greatest {
    __device__ T operator()(T a, T b) const { return b > a || b != b ? b : a; }
};
template <class T> struct first_of {
    __device__ T operator()(T a, T) const { return a; }
};
template <class T> struct product {
    __device__ T operator()(T a, T b) const { return a * b; }
};
template <class T> struct difference {
    __device__ T operator()(T a, T b) const { return fabs(a - b); }
};

template <class T> struct range;
#define RANGE(T, lo_, hi_)                                \
    template <> struct range<T> {                         \
        static __device__ T lo() { return lo_; }          \
        static __device__ T hi() { return hi_; }          \
    };
RANGE(float, -INFINITY, INFINITY)
RANGE(double, -(double)INFINITY, (double)INFINITY)
RANGE(int32_t, INT32_MIN, INT32_MAX)
RANGE(int64_t, INT64_MIN, INT64_MAX)
RANGE(uint32_t, 0, UINT32_MAX)
RANGE(uint64_t, 0, UINT64_MAX)
#undef RANGE
} // namespace reduce

#endif
