/* See reduce.c.  A team of eight blocks (team.cuh) reduces a tile in one launch.  Which thread adds which
 * elements follows from n alone, so the result is the same each time, wherever the tile lies. */
#include "kernels/entry.cuh"
#include "kernels/pack.cuh"
#include "kernels/reduce.cuh"
#include "kernels/team.cuh"

namespace reduce {
constexpr int DEPTH = 4;

/* Joins term(x[i], y[i]) over the tile; y is x where there is none. */
template <bool has_y, class T, class Term, class Join>
__device__ __forceinline__ T tile(int64_t n, const T *x, const T *y, T start, Term term, Join join)
{
    constexpr int W = pack<T>::N;
    constexpr int64_t STEP = (int64_t)team::SIZE * THREADS * W;
    bool is_wide = is_aligned(x) && is_aligned(y);
    T acc[W];
#pragma unroll
    for (int e = 0; e < W; e++)
        acc[e] = start;
    int64_t first = (team::rank() * (int64_t)THREADS + threadIdx.x) * W;
    for (; is_wide && first + (DEPTH - 1) * STEP + W <= n; first += DEPTH * STEP) {
        pack<T> v[DEPTH], w[DEPTH];
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            v[d] = load_pack(x + first + d * STEP);
            if (has_y)
                w[d] = load_pack(y + first + d * STEP);
        }
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
#pragma unroll
            for (int e = 0; e < W; e++)
                acc[e] = join(acc[e], term(v[d].at[e], has_y ? w[d].at[e] : v[d].at[e]));
    }
    for (; first < n; first += STEP)
#pragma unroll
        for (int e = 0; e < W; e++)
            if (first + e < n)
                acc[e] = join(acc[e], term(x[first + e], has_y ? y[first + e] : x[first + e]));
#pragma unroll
    for (int w = W / 2; w > 0; w /= 2)
#pragma unroll
        for (int e = 0; e < w; e++)
            acc[e] = join(acc[e], acc[e + w]);
    return team::join_all<THREADS>(acc[0], join);
}
} // namespace reduce

/* name and name_into; `of` is what x[i] and y[i] contribute. */
#define REDUCE_1(name, type, T, start, join)                                                             \
    TGK_TEAM_KERNEL(1024) tgk_##name##_##type(int64_t n, const T *x, T *r)                               \
    {                                                                                                    \
        tgk_begin();                                                                                     \
        if (team::is_spare())                                                                            \
            return;                                                                                      \
        T v = reduce::tile<false>(n, x, x, (T)(start), reduce::first_of<T>(), join<T>());                \
        if (team::rank() == 0 && threadIdx.x == 0)                                                       \
            r[0] = v;                                                                                    \
    }                                                                                                    \
    TGK_TEAM_KERNEL(1024) tgk_##name##_into_##type(int64_t n, const T *x, T *r)                          \
    {                                                                                                    \
        tgk_begin();                                                                                     \
        if (team::is_spare())                                                                            \
            return;                                                                                      \
        T v = reduce::tile<false>(n, x, x, (T)(start), reduce::first_of<T>(), join<T>());                \
        if (team::rank() == 0 && threadIdx.x == 0)                                                       \
            r[0] = join<T>()(r[0], v);                                                                   \
    }
#define REDUCE_2(name, type, T, start, of, join)                                                         \
    TGK_TEAM_KERNEL(1024) tgk_##name##_##type(int64_t n, const T *x, const T *y, T *r)                   \
    {                                                                                                    \
        tgk_begin();                                                                                     \
        if (team::is_spare())                                                                            \
            return;                                                                                      \
        T v = reduce::tile<true>(n, x, y, (T)(start), of<T>(), join<T>());                               \
        if (team::rank() == 0 && threadIdx.x == 0)                                                       \
            r[0] = v;                                                                                    \
    }                                                                                                    \
    TGK_TEAM_KERNEL(1024) tgk_##name##_into_##type(int64_t n, const T *x, const T *y, T *r)              \
    {                                                                                                    \
        tgk_begin();                                                                                     \
        if (team::is_spare())                                                                            \
            return;                                                                                      \
        T v = reduce::tile<true>(n, x, y, (T)(start), of<T>(), join<T>());                               \
        if (team::rank() == 0 && threadIdx.x == 0)                                                       \
            r[0] = join<T>()(r[0], v);                                                                   \
    }
#define SUM(type, T) REDUCE_1(sum, type, T, 0, reduce::sum)
#define MIN(type, T) REDUCE_1(min, type, T, reduce::range<T>::hi(), reduce::least)
#define MAX(type, T) REDUCE_1(max, type, T, reduce::range<T>::lo(), reduce::greatest)
#define DOT(type, T) REDUCE_2(dot, type, T, 0, reduce::product, reduce::sum)
#define MAX_DIFF(type, T) REDUCE_2(max_diff, type, T, 0, reduce::difference, reduce::greatest)
TGK_WRAPPING(SUM)
TGK_NUMBERS(MIN)
TGK_NUMBERS(MAX)
TGK_FLOATS(DOT)
TGK_FLOATS(MAX_DIFF)
#undef SUM
#undef MIN
#undef MAX
#undef DOT
#undef MAX_DIFF
#undef REDUCE_1
#undef REDUCE_2
