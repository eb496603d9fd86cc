/* See scan.c.  Each of a team's eight blocks (team.cuh) adds up its part of the tile, learns what lies
 * before it, and goes over its part again: x is read twice, the second time from the cache as a rule. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"
#include "kernels/team.cuh"

namespace scan {
constexpr int THREADS = 1024, DEPTH = 2;

template <class T> struct sum {
    __device__ T operator()(T a, T b) const { return a + b; }
};

/* What the whole block's threads with lower indices hold, added up; total_p: what all hold. */
template <class T> __device__ __forceinline__ T before_me(T mine, T *of_warp, T *total_p)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    T upto = mine;
#pragma unroll
    for (int w = 1; w < 32; w *= 2) {
        T left = __shfl_up_sync(0xffffffffu, upto, w);
        if (lane >= w)
            upto += left;
    }
    if (lane == 31)
        of_warp[warp] = upto;
    __syncthreads();
    if (warp == 0) {
        T sums = of_warp[lane];
#pragma unroll
        for (int w = 1; w < 32; w *= 2) {
            T left = __shfl_up_sync(0xffffffffu, sums, w);
            if (lane >= w)
                sums += left;
        }
        of_warp[lane] = sums;
    }
    __syncthreads();
    T before = warp > 0 ? of_warp[warp - 1] : (T)0;
    T inside = __shfl_up_sync(0xffffffffu, upto, 1);
    *total_p = of_warp[31];
    return lane > 0 ? before + inside : before;
}

template <class T> __device__ __forceinline__ void tile(int64_t n, const T *x, T *y, const T *carry, int64_t at)
{
    constexpr int W = pack<T>::N;
    constexpr int64_t STEP = (int64_t)THREADS * W * DEPTH;
    __shared__ T of_warp[2][32];
    __shared__ T of_block;
    bool is_wide = is_aligned(x), is_wide_out = is_aligned(y);
    int rank = team::rank();
    /* The carry may stand in a tile that y overwrites. */
    T total = carry ? carry[at] : (T)0;
    int64_t n_steps = n > 0 ? (n + STEP - 1) / STEP : 0;
    int64_t lo = n_steps * rank / team::SIZE * STEP, hi = n_steps * (rank + 1) / team::SIZE * STEP;
    hi = hi < n ? hi : n;

    T mine = 0;
    for (int64_t base = lo; base < hi; base += STEP)
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            pack<T> v = load_pack(x, base + (d * THREADS + threadIdx.x) * W, hi, is_wide, (T)0);
#pragma unroll
            for (int e = 0; e < W; e++)
                mine += v.at[e];
        }
    T of_part;
    before_me(mine, of_warp[0], &of_part);
    if (threadIdx.x == 0)
        of_block = of_part;
    team::sync();
    for (int k = 0; k < rank; k++)
        total += team::peek(&of_block, k);
    team::sync();

    pack<T> next[DEPTH];
    int64_t first = lo + threadIdx.x * (int64_t)(W * DEPTH);
#pragma unroll
    for (int d = 0; d < DEPTH; d++)
        next[d] = load_pack(x, first + d * W, hi, is_wide, (T)0);
    int parity = 1;
    for (int64_t base = lo; base < hi; base += STEP, first += STEP, parity ^= 1) {
        pack<T> v[DEPTH];
        mine = 0;
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            v[d] = next[d];
            next[d] = load_pack(x, first + STEP + d * W, hi, is_wide, (T)0);
#pragma unroll
            for (int e = 0; e < W; e++)
                v[d].at[e] = mine += v[d].at[e];
        }
        T of_step, before = total + before_me(mine, of_warp[parity], &of_step);
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
#pragma unroll
            for (int e = 0; e < W; e++)
                v[d].at[e] += before;
            store_pack(y, first + d * W, hi, is_wide_out, v[d]);
        }
        total += of_step;
    }
}
} // namespace scan

#define SCAN(type, T)                                                                                  \
    TGK_TEAM_KERNEL(1024) tgk_scan_##type(int64_t n, const T *x, T *y, const T *carry, int64_t at)     \
    {                                                                                                  \
        tgk_begin();                                                                                   \
        if (!team::is_spare())                                                                         \
            scan::tile(n, x, y, carry, at);                                                            \
    }
TGK_WRAPPING(SCAN)
#undef SCAN
