/* See fft.c.  A block transforms a row in shared memory, two stages at a time, with the roots of unity in a
 * table beside it.  Rows of more than 64 KiB, which do not fit, are transformed where they lie by one block:
 * right, but slow; a transform that long is better a graph of shorter ones. */
#include "kernels/entry.cuh"
#include "kernels/fault.cuh"
#include "kernels/pack.cuh"

namespace fft {
constexpr int THREADS = 256;
constexpr int64_t SHARED_ROW_BYTES = 65536; /* as in fft.c */

template <class T> struct alignas(2 * sizeof(T)) number {
    T re, im;
};
template <class T> __device__ __forceinline__ number<T> operator*(number<T> a, number<T> b)
{
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class T> __device__ __forceinline__ number<T> operator+(number<T> a, number<T> b)
{
    return {a.re + b.re, a.im + b.im};
}
template <class T> __device__ __forceinline__ number<T> operator-(number<T> a, number<T> b)
{
    return {a.re - b.re, a.im - b.im};
}

/* exp(-2 pi i k / n), or its conjugate. */
__device__ __forceinline__ number<double> root_of_unity(uint64_t k, uint64_t n, bool is_inverse)
{
    double re, im;
    sincospi(2.0 * ((double)(k % n) / (double)n), &im, &re);
    return {re, is_inverse ? im : -im};
}

/* root(k, half): exp(-pi i k / half), for k < half. */
template <class T, class Root> __device__ __forceinline__ void stages(int64_t n, number<T> *x, Root root)
{
    int64_t half = 1;
    if (__popcll((unsigned long long)(n - 1)) & 1) {
        for (int64_t i = threadIdx.x; i < n / 2; i += THREADS) {
            number<T> a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a + b;
            x[2 * i + 1] = a - b;
        }
        __syncthreads();
        half = 2;
    }
    for (; half < n; half *= 4) {
        for (int64_t i = threadIdx.x; i < n / 4; i += THREADS) {
            int64_t k = i & (half - 1), at = (i - k) * 4 + k;
            number<T> w1 = root(k, half), w2 = root(k, 2 * half), w3 = root(k + half, 2 * half);
            number<T> a0 = x[at], a1 = w1 * x[at + half], a2 = x[at + 2 * half], a3 = w1 * x[at + 3 * half];
            number<T> b0 = a0 + a1, b1 = a0 - a1, b2 = w2 * (a2 + a3), b3 = w3 * (a2 - a3);
            x[at] = b0 + b2;
            x[at + half] = b1 + b3;
            x[at + 2 * half] = b0 - b2;
            x[at + 3 * half] = b1 - b3;
        }
        __syncthreads();
    }
}

template <class T> __device__ __forceinline__ void rows_of(int64_t n, number<T> *x, int64_t rows, bool is_inverse)
{
    extern __shared__ __align__(16) char shared[];
    if (n <= 0 || rows <= 0)
        return;
    if (n & (n - 1)) {
        if (blockIdx.x == 0 && threadIdx.x == 0)
            report_fault(TGI_FAULT_FFT_SIZE, x, n, 0, 0, 0);
        return;
    }
    int unused = 64 - __popcll((unsigned long long)(n - 1));
    T scale = is_inverse ? (T)1 / (T)n : (T)1;
    if (n * (int64_t)sizeof(number<T>) <= SHARED_ROW_BYTES) {
        number<T> *row = (number<T> *)shared, *roots = row + n;
        for (int64_t k = threadIdx.x; k < n / 2; k += THREADS) {
            number<double> w = root_of_unity((uint64_t)k, (uint64_t)n, is_inverse);
            roots[k] = {(T)w.re, (T)w.im};
        }
        for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
            number<T> *at = x + r * n;
            for (int64_t i = threadIdx.x; i < n; i += THREADS)
                row[n > 1 ? __brevll((unsigned long long)i) >> unused : 0] = at[i];
            __syncthreads();
            stages(n, row, [=](int64_t k, int64_t half) { return roots[k * (n / 2 / half)]; });
            for (int64_t i = threadIdx.x; i < n; i += THREADS) {
                number<T> v = row[i];
                at[i] = {v.re * scale, v.im * scale};
            }
            __syncthreads();
        }
        return;
    }
    for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
        number<T> *at = x + r * n;
        for (int64_t i = threadIdx.x; i < n; i += THREADS) {
            int64_t j = (int64_t)(__brevll((unsigned long long)i) >> unused);
            if (i < j) {
                number<T> v = at[i];
                at[i] = at[j];
                at[j] = v;
            }
        }
        __syncthreads();
        stages(n, at, [=](int64_t k, int64_t half) {
            number<double> w = root_of_unity((uint64_t)k, 2 * (uint64_t)half, is_inverse);
            return number<T>{(T)w.re, (T)w.im};
        });
        for (int64_t i = threadIdx.x; i < n; i += THREADS)
            at[i] = {at[i].re * scale, at[i].im * scale};
        __syncthreads();
    }
}

template <class T>
__device__ __forceinline__ void twiddle(int64_t rows, int64_t cols, int64_t total, number<T> *x, uint64_t row0,
                                        uint64_t col0, bool is_inverse)
{
    if (total <= 0) {
        if (blockIdx.x == 0 && threadIdx.x == 0)
            report_fault(TGI_FAULT_TWIDDLE, x, total, 0, 0, 0);
        return;
    }
    int64_t n = cols > 0 ? rows * cols : 0;
    for (int64_t i = blockIdx.x * (int64_t)THREADS + threadIdx.x; i < n; i += (int64_t)gridDim.x * THREADS) {
        uint64_t r = (uint64_t)(i / cols), c = (uint64_t)(i % cols);
        number<double> w = root_of_unity((row0 + r) * (col0 + c), (uint64_t)total, is_inverse);
        number<T> v = x[i];
        number<double> z = w * number<double>{(double)v.re, (double)v.im};
        x[i] = {(T)z.re, (T)z.im};
    }
}

template <class T>
__device__ __forceinline__ void butterfly(int64_t n, int64_t len, number<T> *a, number<T> *b, uint64_t start,
                                          bool is_inverse)
{
    if (len <= 0) {
        if (blockIdx.x == 0 && threadIdx.x == 0)
            report_fault(TGI_FAULT_BUTTERFLY, a, len, 0, 0, 0);
        return;
    }
    for (int64_t j = blockIdx.x * (int64_t)THREADS + threadIdx.x; j < n; j += (int64_t)gridDim.x * THREADS) {
        number<double> w = root_of_unity(start + (uint64_t)j, (uint64_t)len, is_inverse);
        number<T> even = a[j], odd = b[j];
        number<double> z = w * number<double>{(double)odd.re, (double)odd.im};
        b[j] = {(T)((double)even.re - z.re), (T)((double)even.im - z.im)};
        a[j] = {(T)((double)even.re + z.re), (T)((double)even.im + z.im)};
    }
}
} // namespace fft

#define FFT(type, T)                                                                                             \
    TGK_KERNEL(256) tgk_fft_##type(int64_t n, fft::number<T> *x, int64_t rows, int64_t inverse)                  \
    {                                                                                                            \
        tgk_begin();                                                                                             \
        fft::rows_of(n, x, rows, inverse != 0);                                                                  \
    }                                                                                                            \
    TGK_KERNEL(256) tgk_twiddle_##type(int64_t rows, int64_t cols, int64_t total, fft::number<T> *x, int64_t row0, \
                                       int64_t col0, int64_t inverse)                                            \
    {                                                                                                            \
        tgk_begin();                                                                                             \
        fft::twiddle(rows, cols, total, x, (uint64_t)row0, (uint64_t)col0, inverse != 0);                        \
    }                                                                                                            \
    TGK_KERNEL(256) tgk_fft_butterfly_##type(int64_t n, int64_t len, fft::number<T> *a, fft::number<T> *b,       \
                                             int64_t start, int64_t inverse)                                     \
    {                                                                                                            \
        tgk_begin();                                                                                             \
        fft::butterfly(n, len, a, b, (uint64_t)start, inverse != 0);                                             \
    }
FFT(c64, float)
FFT(c128, double)
#undef FFT
