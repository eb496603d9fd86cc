/* The rows of a sparse triangular system that are one task's, by a warp; see trsv.c.
 *
 * 32 rows at a time.  Entries of other tiles are loaded by eight lanes a row, four rows at once, which is the partial sums of
 * trsv.c; a row then belongs to one lane, which has its inverse before the rows are solved one after the other.  What a row has in
 * another row of the 32 comes from that lane. */
#ifndef TGI_KERNELS_TRSV_CUH
#define TGI_KERNELS_TRSV_CUH

#include "kernels/pack.cuh"

namespace trsv {
constexpr int N_INPUTS = 16, N_SUMS = 8, INPUT_ARG = 12, N_WORDS = INPUT_ARG + N_INPUTS;
constexpr unsigned ALL = 0xffffffffu;

struct task {
    int64_t m, first, n, width, row0;
    const int64_t *start; /* of its first row */
    const int32_t *cols;
    bool is_solve;
};

__device__ __forceinline__ task task_of(const uint64_t *a)
{
    task t = {(int64_t)a[0], (int64_t)a[2], (int64_t)a[3], (int64_t)a[9], (int64_t)a[10],
              (const int64_t *)(uintptr_t)a[5] + 2 * (int64_t)a[1], (const int32_t *)(uintptr_t)a[6], a[11] != 0};
    return t;
}

/* The eight sums of row r of which a lane forms one, joined; false: an entry names nothing. */
template <class T>
__device__ __forceinline__ bool sum_row(const task &t, const uint64_t *a, int64_t r, const T *vals, int sub, T *sum_p)
{
    bool is_sound = true;
    T sum = 0;
    if (r < t.m) {
        int64_t begin = t.start[2 * r], end = t.start[2 * r + 1], rest = t.start[2 * r + 2];
        is_sound = begin >= t.first && end >= begin && rest >= end + t.is_solve && rest <= t.first + t.n;
        for (int64_t e = begin + sub; is_sound && e < end; e += N_SUMS) {
            uint32_t col = (uint32_t)t.cols[e], tile = col >> 16, place = col & 0xffffu;
            const T *in = tile >= 1 && tile <= N_INPUTS ? (const T *)(uintptr_t)a[INPUT_ARG + tile - 1] : nullptr;
            is_sound = in && place < t.width;
            if (is_sound)
                sum = fma(vals[e], in[place], sum);
        }
    }
#pragma unroll
    for (int w = N_SUMS / 2; w > 0; w /= 2)
        sum += __shfl_xor_sync(ALL, sum, w);
    *sum_p = sum;
    return is_sound;
}

/* One row's own entries: the next of them, or nothing. */
template <class T> struct walk {
    int64_t e, end; /* end: the diagonal */
    uint32_t col;
    T value;
    __device__ __forceinline__ void look(const task &t, const T *vals)
    {
        col = e < end ? (uint32_t)t.cols[e] : ~0u;
        value = e < end ? vals[e] : (T)0;
    }
};

/* Of a row that is no good: its number from 1; `what` then is 0 for entries, 1 for the diagonal. */
struct fault {
    int64_t row;
    int what;
    double diagonal;
};

/* Rows base .. base + 31 from what is left of each in its lane.  The lane's fault has a row if its own is no good. */
template <class T>
__device__ __forceinline__ fault solve_rows(const task &t, int64_t base, T left, const T *vals, T *x, int lane)
{
    fault f = {0, 0, 0};
    int64_t r = base + lane;
    int n = t.m - base < 32 ? (int)(t.m - base) : 32;
    T diagonal = 1;
    walk<T> w = {0, 0, ~0u, 0};
    if (lane < n) {
        w.e = t.start[2 * r + 1];
        w.end = t.start[2 * r + 2] - 1;
        diagonal = vals[w.end];
        w.look(t, vals);
        for (; w.col < (uint64_t)base; w.e++, w.look(t, vals))
            left = fma(-w.value, x[w.col], left);
    }
    T inverse = 1 / diagonal;
    for (int j = 0; j < n; j++) {
        T of_j = __shfl_sync(ALL, left * inverse, j);
        if (j < lane && w.col == (uint64_t)(base + j)) {
            left = fma(-w.value, of_j, left);
            w.e++;
            w.look(t, vals);
        }
    }
    if (lane < n && (w.e != w.end || !(diagonal < 0 || diagonal > 0)))
        f = {r + 1, w.e == w.end, (double)diagonal};
    if (lane < n)
        x[r] = left * inverse;
    return f;
}

/* All rows; the first fault that is found ends it. */
template <class T> __device__ __forceinline__ fault solve(const uint64_t *a, int lane)
{
    task t = task_of(a);
    const T *vals = (const T *)(uintptr_t)a[4], *b = (const T *)(uintptr_t)a[7] + t.row0;
    T *x = (T *)(uintptr_t)a[8];
    for (int64_t base = 0; base < t.m; base += 32) {
        T left = 0;
        fault f = {0, 0, 0};
        for (int pass = 0; 4 * pass < t.m - base && pass < 8; pass++) {
            T sum;
            int64_t r = base + 4 * pass + lane / N_SUMS;
            if (!sum_row(t, a, r, vals, lane % N_SUMS, &sum))
                f.row = r + 1;
            sum = __shfl_sync(ALL, sum, lane % 4 * N_SUMS);
            if (lane / 4 == pass)
                left = sum;
        }
        bool is_sound = !__any_sync(ALL, f.row != 0), is_mine = base + lane < t.m;
        if (is_mine)
            left = b[base + lane] - left;
        if (is_sound && t.is_solve)
            f = solve_rows(t, base, left, vals, x, lane);
        else if (is_sound && is_mine)
            x[base + lane] = left;
        unsigned bad = __ballot_sync(ALL, f.row != 0);
        if (bad) {
            int who = __ffs((int)bad) - 1;
            f.row = __shfl_sync(ALL, f.row, who);
            f.what = __shfl_sync(ALL, f.what, who);
            f.diagonal = __shfl_sync(ALL, f.diagonal, who);
            return f;
        }
        __syncwarp(); /* later rows of other lanes read what was stored */
    }
    return {0, 0, 0};
}
} // namespace trsv

#endif
