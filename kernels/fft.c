/* The pieces of Fourier transforms of any size that is a power of two.  Forward is
 * X[k] = sum of x[j] exp(-2 pi i j k / n); the inverse conjugates, and fft then divides by n.
 *
 * fft            transforms each row of a rows x n tile in place, in natural order
 * twiddle        x[r,c] *= exp(-2 pi i (row0 + r)(col0 + c) / total)
 * fft_butterfly  joins two transforms of len/2 points into one of len: with a tile a of the transform of
 *                the even-numbered points and b of the odd ones, both starting at point `start`,
 *                (a, b) = (a + w b, a - w b), w[j] = exp(-2 pi i (start + j) / len)
 *
 * A transform of R C points as an R x C matrix: transpose, fft of every row, twiddle with total = R C,
 * transpose, fft of every row, transpose.  Or as a butterfly graph: fft on P interleaved tiles, then log2 P
 * stages of fft_butterfly. */
#include "kernels/kernel.h"
#include "kernels/launch.h"

#include <math.h>
#include <stdlib.h>

/* exp(-2 pi i k / n), or its conjugate, with k reduced first: sin and cos lose digits far from 0. */
static void root_of_unity(uint64_t k, uint64_t n, bool is_inverse, double *re_p, double *im_p)
{
    double angle = 2 * M_PI * ((double)(k % n) / (double)n);
    *re_p = cos(angle);
    *im_p = is_inverse ? sin(angle) : -sin(angle);
}

static int count_bits(uint64_t n)
{
    int bits = 0;
    while (n > 1) {
        n /= 2;
        bits++;
    }
    return bits;
}

#define FFT(name, T)                                                                                  \
    static void name##_row(int64_t n, T *x, const T *roots)                                           \
    {                                                                                                 \
        /* Bit-reversed order, by counting in it. */                                                  \
        for (int64_t i = 1, j = 0; i < n; i++) {                                                      \
            int64_t bit = n / 2;                                                                      \
            for (; j & bit; bit /= 2)                                                                 \
                j ^= bit;                                                                             \
            j ^= bit;                                                                                 \
            if (i < j) {                                                                              \
                T re = x[2 * i], im = x[2 * i + 1];                                                   \
                x[2 * i] = x[2 * j];                                                                  \
                x[2 * i + 1] = x[2 * j + 1];                                                          \
                x[2 * j] = re;                                                                        \
                x[2 * j + 1] = im;                                                                    \
            }                                                                                         \
        }                                                                                             \
        for (int64_t half = 1; half < n; half *= 2) {                                                 \
            int64_t step = n / (2 * half);                                                            \
            for (int64_t block = 0; block < n; block += 2 * half) {                                   \
                T *a = x + 2 * block, *b = a + 2 * half;                                              \
                for (int64_t k = 0; k < half; k++) {                                                  \
                    T w_re = roots[2 * k * step], w_im = roots[2 * k * step + 1];                     \
                    T re = w_re * b[2 * k] - w_im * b[2 * k + 1];                                     \
                    T im = w_re * b[2 * k + 1] + w_im * b[2 * k];                                     \
                    b[2 * k] = a[2 * k] - re;                                                         \
                    b[2 * k + 1] = a[2 * k + 1] - im;                                                 \
                    a[2 * k] += re;                                                                   \
                    a[2 * k + 1] += im;                                                               \
                }                                                                                     \
            }                                                                                         \
        }                                                                                             \
    }                                                                                                 \
    TGI_CPU_KERNEL(name)                                                                              \
    {                                                                                                 \
        int64_t n = TGI_INT(0), rows = TGI_INT(2);                                                    \
        T *x = TGI_TILE(T, 1);                                                                        \
        bool is_inverse = TGI_INT(3) != 0;                                                            \
        if (n <= 0 || rows <= 0)                                                                      \
            return 0;                                                                                 \
        if (n != (int64_t)1 << count_bits((uint64_t)n))                                               \
            TGI_FAIL(ctx, "fft needs a power of two, got n = %lld", (long long)n);                    \
        /* The n/2 roots of unity that the stages use, each stage a fraction of them. */              \
        T *roots = malloc(((size_t)n / 2 + 1) * 2 * sizeof(T));                                       \
        if (!roots)                                                                                   \
            TGI_FAIL(ctx, "out of memory for the %lld roots of unity of an fft", (long long)(n / 2)); \
        for (int64_t k = 0; k < (n > 2 ? n / 4 : n / 2); k++) {                                       \
            double re, im;                                                                            \
            root_of_unity((uint64_t)k, (uint64_t)n, is_inverse, &re, &im);                            \
            roots[2 * k] = (T)re;                                                                     \
            roots[2 * k + 1] = (T)im;                                                                 \
            if (n > 2) { /* a quarter of a turn further: times -i, or i for the inverse */            \
                roots[2 * (k + n / 4)] = (T)(is_inverse ? -im : im);                                  \
                roots[2 * (k + n / 4) + 1] = (T)(is_inverse ? re : -re);                              \
            }                                                                                         \
        }                                                                                             \
        for (int64_t r = 0; r < rows; r++)                                                            \
            name##_row(n, x + 2 * r * n, roots);                                                      \
        free(roots);                                                                                  \
        T scale = (T)1 / (T)n;                                                                        \
        for (int64_t i = 0; is_inverse && i < 2 * n * rows; i++)                                      \
            x[i] *= scale;                                                                            \
        return 0;                                                                                     \
    }
FFT(fft_c64, float)
FFT(fft_c128, double)

static const struct tgi_builtin_param fft_params[] = {
    TGI_P_INT("n"),
    TGI_P_TILE("x", TG_INOUT, "rows*n"),
    TGI_P_INT_OR("rows", "1"),
    TGI_P_INT_OR("inverse", "0"),
};
const struct tgi_builtin tgi_builtin_fft = {
    .name = "fft",
    .brief = "x = Fourier transform of each of its rows of n points, n a power of two",
    TGI_PARAMS(fft_params),
    .flops = "5*rows*n*log2(max(n,1))",
    .bytes = "2*rows*n*sizeof(T)",
    .cpu = {[TG_C64] = fft_c64, [TG_C128] = fft_c128},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_fft",
        .can_fail = true,
        .grid = "min(2112,max(1,rows))",
        .block = "256",
        .shared_bytes = "n*sizeof(T)<=65536 ? max(0,n+ceildiv(n,2))*sizeof(T) : 0",
        .max_shared_bytes = 65536 + 32768,
    },
};

#define TWIDDLE(name, T)                                                                                \
    TGI_CPU_KERNEL(name)                                                                                \
    {                                                                                                   \
        int64_t rows = TGI_INT(0), cols = TGI_INT(1), total = TGI_INT(2);                               \
        T *x = TGI_TILE(T, 3);                                                                          \
        uint64_t row0 = (uint64_t)TGI_INT(4), col0 = (uint64_t)TGI_INT(5);                              \
        bool is_inverse = TGI_INT(6) != 0;                                                              \
        if (total <= 0)                                                                                 \
            TGI_FAIL(ctx, "twiddle needs total > 0, got %lld", (long long)total);                       \
        for (int64_t r = 0; r < rows; r++)                                                              \
            for (int64_t c = 0; c < cols; c++, x += 2) {                                                \
                double w_re, w_im, re = (double)x[0], im = (double)x[1];                                \
                root_of_unity((row0 + (uint64_t)r) * (col0 + (uint64_t)c), (uint64_t)total, is_inverse, \
                              &w_re, &w_im);                                                            \
                x[0] = (T)(w_re * re - w_im * im);                                                      \
                x[1] = (T)(w_re * im + w_im * re);                                                      \
            }                                                                                           \
        return 0;                                                                                       \
    }
TWIDDLE(twiddle_c64, float)
TWIDDLE(twiddle_c128, double)

static const struct tgi_builtin_param twiddle_params[] = {
    TGI_P_INT("rows"),
    TGI_P_INT("cols"),
    TGI_P_INT("total"),
    TGI_P_TILE("x", TG_INOUT, "rows*cols"),
    TGI_P_INT_OR("row0", "0"),
    TGI_P_INT_OR("col0", "0"),
    TGI_P_INT_OR("inverse", "0"),
};
const struct tgi_builtin tgi_builtin_twiddle = {
    .name = "twiddle",
    .brief = "x[r,c] *= exp(-2*pi*i*(row0+r)*(col0+c)/total), rows x cols",
    TGI_PARAMS(twiddle_params),
    .flops = "46*rows*cols",
    .bytes = "2*rows*cols*sizeof(T)",
    .cpu = {[TG_C64] = twiddle_c64, [TG_C128] = twiddle_c128},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_twiddle",
        .can_fail = true,
        .grid = TGI_GRID("ceildiv(rows*cols,256)"),
        .block = "256",
    },
};

#define BUTTERFLY(name, T)                                                               \
    TGI_CPU_KERNEL(name)                                                                 \
    {                                                                                    \
        int64_t n = TGI_INT(0), len = TGI_INT(1);                                        \
        T *a = TGI_TILE(T, 2), *b = TGI_TILE(T, 3);                                      \
        uint64_t start = (uint64_t)TGI_INT(4);                                           \
        bool is_inverse = TGI_INT(5) != 0;                                               \
        if (len <= 0)                                                                    \
            TGI_FAIL(ctx, "fft_butterfly needs len > 0, got %lld", (long long)len);      \
        for (int64_t j = 0; j < n; j++, a += 2, b += 2) {                                \
            double w_re, w_im;                                                           \
            root_of_unity(start + (uint64_t)j, (uint64_t)len, is_inverse, &w_re, &w_im); \
            double re = w_re * (double)b[0] - w_im * (double)b[1];                       \
            double im = w_re * (double)b[1] + w_im * (double)b[0];                       \
            b[0] = (T)((double)a[0] - re);                                               \
            b[1] = (T)((double)a[1] - im);                                               \
            a[0] = (T)((double)a[0] + re);                                               \
            a[1] = (T)((double)a[1] + im);                                               \
        }                                                                                \
        return 0;                                                                        \
    }
BUTTERFLY(fft_butterfly_c64, float)
BUTTERFLY(fft_butterfly_c128, double)

static const struct tgi_builtin_param fft_butterfly_params[] = {
    TGI_P_INT("n"),
    TGI_P_INT("len"),
    TGI_P_TILE("a", TG_INOUT, "n"),
    TGI_P_TILE("b", TG_INOUT, "n"),
    TGI_P_INT_OR("start", "0"),
    TGI_P_INT_OR("inverse", "0"),
};
const struct tgi_builtin tgi_builtin_fft_butterfly = {
    .name = "fft_butterfly",
    .brief = "(a, b) = (a + w*b, a - w*b), w[j] = exp(-2*pi*i*(start+j)/len)",
    TGI_PARAMS(fft_butterfly_params),
    .flops = "50*n",
    .bytes = "4*n*sizeof(T)",
    .cpu = {[TG_C64] = fft_butterfly_c64, [TG_C128] = fft_butterfly_c128},
    .cuda = &(const struct tgi_builtin_cuda){
        .symbol = "tgk_fft_butterfly",
        .can_fail = true,
        .grid = TGI_GRID("ceildiv(n,256)"),
        .block = "256",
    },
};
