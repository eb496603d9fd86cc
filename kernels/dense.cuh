/* What the dense kernels are built from: a block's product of two panels, and a triangular solve.
 *
 * A product keeps BM x BN sums in the registers of 256 threads.  Pieces of both operands, 16 deep, travel to
 * shared memory by asynchronous copies, three ahead of the one being used, in the order in which they lie in
 * memory; the padding of their rows keeps every access free of bank conflicts in both orders.  f64 goes through
 * the tensor cores (m16n8k8, on sm_80 made of m8n8k4), f32 through ordinary multiply-adds.  Elements beyond
 * the edges arrive as zeros; tiles that are not aligned for 16 bytes are copied by element. */
#ifndef TGI_KERNELS_DENSE_CUH
#define TGI_KERNELS_DENSE_CUH

#include "kernels/pack.cuh"

namespace dense {
constexpr int THREADS = 256, DEPTH = 16, STAGES = 4, PAD = 4;

template <int BYTES> __device__ __forceinline__ void copy_async(void *shared, const void *global, int n_bytes)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(shared);
    if (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(global), "r"(n_bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(at), "l"(global), "n"(BYTES), "r"(n_bytes)
                     : "memory");
}
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

/* ROWS x COLS elements at g into rows of LD, of which rows_left x cols_left exist. */
template <int ROWS, int COLS, int LD, class T>
__device__ __forceinline__ void fetch(T *s, const T *g, int64_t ld, int64_t rows_left, int64_t cols_left, bool is_wide)
{
    if (is_wide) {
        constexpr int W = pack<T>::N, PER_ROW = COLS / W;
#pragma unroll
        for (int i = threadIdx.x; i < ROWS * PER_ROW; i += THREADS) {
            int r = i / PER_ROW, c = i % PER_ROW * W;
            int64_t left = r < rows_left ? cols_left - c : 0;
            int n = left >= W ? W : left > 0 ? (int)left : 0;
            copy_async<16>(s + r * LD + c, n ? g + r * ld + c : g, n * (int)sizeof(T));
        }
    } else {
#pragma unroll 4
        for (int i = threadIdx.x; i < ROWS * COLS; i += THREADS) {
            int r = i / COLS, c = i % COLS;
            bool is_there = r < rows_left && c < cols_left;
            copy_async<sizeof(T)>(s + r * LD + c, is_there ? g + r * ld + c : g, is_there ? (int)sizeof(T) : 0);
        }
    }
}

__device__ __forceinline__ void multiply_add(double (&c)[4], const double (&a)[4], const double (&b)[2])
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
                 : "d"(a[0]), "d"(a[1]), "d"(a[2]), "d"(a[3]), "d"(b[0]), "d"(b[1]));
#else
#pragma unroll
    for (int k = 0; k < 2; k++)
#pragma unroll
        for (int half = 0; half < 2; half++)
            asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
                         : "+d"(c[2 * half]), "+d"(c[2 * half + 1])
                         : "d"(a[2 * k + half]), "d"(b[k]));
#endif
}

/* How one operand lies in shared memory: BI rows (of a) or columns (of b) times DEPTH.  is_deep: the depth is
 * the direction in which neighbours are adjacent in memory. */
template <int BI, bool is_deep> struct piece {
    static constexpr int LD = is_deep ? DEPTH + PAD : BI + PAD;
    static constexpr int SIZE = is_deep ? BI * LD : DEPTH * LD;
    template <class T> static __device__ __forceinline__ const T &at(const T *s, int i, int k)
    {
        return is_deep ? s[i * LD + k] : s[k * LD + i];
    }
    template <class T>
    static __device__ __forceinline__ void copy(T *s, const T *g, int64_t ld, int64_t k0, int64_t i_left, int64_t k_left,
                                                bool is_wide)
    {
        if (is_deep)
            fetch<BI, DEPTH, LD>(s, g + k0, ld, i_left, k_left, is_wide);
        else
            fetch<DEPTH, BI, LD>(s, g + k0 * ld, ld, k_left, i_left, is_wide);
    }
};

/* The sums that a thread holds of a BM x BN block, by element type. */
template <class T, int BM, int BN, class A, class B> struct sums;

/* Warps in 2 rows of 4. */
template <int BM, int BN, class A, class B> struct sums<double, BM, BN, A, B> {
    static constexpr int WM = BM / 2, WN = BN / 4, M = WM / 16, N = WN / 8;
    static_assert(WM % 16 == 0 && WN % 8 == 0, "whole tensor core tiles");
    double at[M][N][4];
    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < M * N * 4; i++)
            at[i / (4 * N)][i / 4 % N][i % 4] = 0;
    }
    __device__ __forceinline__ void add(const double *a, const double *b)
    {
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
        int i0 = warp / 4 * WM + g, j0 = warp % 4 * WN + g;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 8) {
            double x[M][4], y[N][2];
#pragma unroll
            for (int i = 0; i < M; i++)
#pragma unroll
                for (int q = 0; q < 4; q++)
                    x[i][q] = A::at(a, i0 + 16 * i + q % 2 * 8, k + t + q / 2 * 4);
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int q = 0; q < 2; q++)
                    y[j][q] = B::at(b, j0 + 8 * j, k + t + q * 4);
#pragma unroll
            for (int i = 0; i < M; i++)
#pragma unroll
                for (int j = 0; j < N; j++)
                    multiply_add(at[i][j], x[i], y[j]);
        }
    }
    /* f(row, column, sum) */
    template <class F> __device__ __forceinline__ void each(F f)
    {
        int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        int i0 = warp / 4 * WM + lane / 4, j0 = warp % 4 * WN + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int q = 0; q < 4; q++)
                    f(i0 + 16 * i + q / 2 * 8, j0 + 8 * j + q % 2, at[i][j][q]);
    }
};

/* Threads in 16 x 16, so placed that a warp reads 4 rows and 8 columns: those reads never meet in a bank. */
template <int BM, int BN, class A, class B> struct sums<float, BM, BN, A, B> {
    static constexpr int M = BM / 16, N = BN / 16;
    float at[M][N];
    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int i = 0; i < M * N; i++)
            at[i / N][i % N] = 0;
    }
    /* Four deep: rows along the depth are read 16 bytes at a time, others by element. */
    template <class P, int COUNT>
    static __device__ __forceinline__ void load(float (&x)[COUNT][4], const float *s, int i0, int k)
    {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            if (P::LD == DEPTH + PAD) {
                float4 v = *reinterpret_cast<const float4 *>(&P::at(s, i0 + 16 * i, k));
                x[i][0] = v.x, x[i][1] = v.y, x[i][2] = v.z, x[i][3] = v.w;
            } else {
#pragma unroll
                for (int q = 0; q < 4; q++)
                    x[i][q] = P::at(s, i0 + 16 * i, k + q);
            }
    }
    static __device__ __forceinline__ int row() { return threadIdx.x / 64 * 4 + threadIdx.x % 32 / 8; }
    static __device__ __forceinline__ int column() { return threadIdx.x / 32 % 2 * 8 + threadIdx.x % 8; }
    __device__ __forceinline__ void add(const float *a, const float *b)
    {
#pragma unroll
        for (int k = 0; k < DEPTH; k += 4) {
            float x[M][4], y[N][4];
            load<A>(x, a, row(), k);
            load<B>(y, b, column(), k);
#pragma unroll
            for (int q = 0; q < 4; q++)
#pragma unroll
                for (int i = 0; i < M; i++)
#pragma unroll
                    for (int j = 0; j < N; j++)
                        at[i][j] += x[i][q] * y[j][q];
        }
    }
    template <class F> __device__ __forceinline__ void each(F f)
    {
#pragma unroll
        for (int i = 0; i < M; i++)
#pragma unroll
            for (int j = 0; j < N; j++)
                f(row() + 16 * i, column() + 16 * j, at[i][j]);
    }
};

/* BM x BN sums over k of a(i, k) b(k, j).  is_a_deep: a lies in rows along k (gemm_nn, gemm_nt); is_b_deep: b
 * lies in rows along k, that is, transposed (gemm_nt).  `shared` holds SHARED elements. */
template <class T, int BM, int BN, bool is_a_deep, bool is_b_deep> struct product {
    using A = piece<BM, is_a_deep>;
    using B = piece<BN, is_b_deep>;
    static constexpr int STAGE = A::SIZE + B::SIZE, SHARED = STAGES * STAGE;
    sums<T, BM, BN, A, B> acc;

    /* a and b point at the block's first row and column, of which m_left and n_left exist.  Begins and ends with
     * all threads done with `shared`. */
    __device__ __forceinline__ void run(T *shared, int64_t m_left, int64_t n_left, int64_t k, const T *a, int64_t lda,
                                        const T *b, int64_t ldb)
    {
        bool is_a_wide = is_aligned(a) && lda % pack<T>::N == 0, is_b_wide = is_aligned(b) && ldb % pack<T>::N == 0;
        int64_t n_pieces = (k + DEPTH - 1) / DEPTH;
        auto copy = [&](int64_t p) {
            if (p < n_pieces) {
                T *s = shared + p % STAGES * STAGE;
                A::copy(s, a, lda, p * DEPTH, m_left, k - p * DEPTH, is_a_wide);
                B::copy(s + A::SIZE, b, ldb, p * DEPTH, n_left, k - p * DEPTH, is_b_wide);
            }
            commit();
        };
        acc.clear();
#pragma unroll
        for (int p = 0; p < STAGES - 1; p++)
            copy(p);
#pragma unroll 1
        for (int64_t p = 0; p < n_pieces; p++) {
            wait<STAGES - 2>();
            /* Everybody's copies of this piece have arrived, and everybody is done with the piece before it,
             * whose place the next copy takes. */
            __syncthreads();
            copy(p + STAGES - 1);
            const T *s = shared + p % STAGES * STAGE;
            acc.add(s, s + A::SIZE);
        }
        wait<0>();
        __syncthreads();
    }
};

/* ---- Triangular solves of 64 unknowns -----------------------------------------------------
 *
 * Eight lanes share a right-hand side and keep eight of its unknowns each; the unknown that is known next is
 * passed among them by a shuffle.  So 32 right-hand sides are solved by a block without a barrier. */
constexpr int ORDER = 64, SIDES = 32, TRIANGLE = ORDER * (ORDER + 1);

enum triangle_kind { BELOW, ABOVE }; /* which triangle of the stored matrix is used */

/* Fills t[j][c], by which unknown j enters equation c, and inverse[j], from the block at l.  BELOW: l[c][j]
 * for c > j; ABOVE: l[j][c].  Unknowns beyond n_left are kept apart. */
template <class T>
__device__ __forceinline__ void load_triangle(T *t, T *inverse, const T *l, int64_t ld, int64_t n_left, triangle_kind kind,
                                              bool is_unit)
{
    for (int i = threadIdx.x; i < ORDER * ORDER; i += THREADS) {
        int r = i / ORDER, c = i % ORDER;
        bool is_there = r < n_left && c < n_left;
        if (r == c)
            inverse[r] = is_there && !is_unit ? 1 / l[r * ld + r] : (T)1;
        else if (kind == BELOW && r > c)
            t[c * (ORDER + 1) + r] = is_there ? l[r * ld + c] : (T)0;
        else if (kind == ABOVE && r < c)
            t[r * (ORDER + 1) + c] = is_there ? l[r * ld + c] : (T)0;
    }
}

/* v holds unknowns lane % 8 + 8 q of right-hand side thread / 8. */
template <class T> __device__ __forceinline__ void solve(T (&v)[8], const T *t, const T *inverse)
{
    int me = threadIdx.x % 8;
#pragma unroll
    for (int q = 0; q < 8; q++)
#pragma unroll 1
        for (int r = 0; r < 8; r++) {
            int j = 8 * q + r;
            T x = __shfl_sync(0xffffffffu, v[q] * inverse[j], r, 8);
            if (me == r)
                v[q] = x;
            else if (me > r)
                v[q] -= x * t[j * (ORDER + 1) + 8 * q + me];
#pragma unroll
            for (int p = q + 1; p < 8; p++)
                v[p] -= x * t[j * (ORDER + 1) + 8 * p + me];
        }
}

} // namespace dense

#endif
