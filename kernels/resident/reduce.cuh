/* sum, dot, min, max, max_diff and their accumulating forms.
 *
 * The launched variants are teams of eight blocks of 1024 threads (kernels/reduce.cu), and which thread adds what follows from n
 * alone.  Here the warp is each of the team's warps that has elements in turn, so that the sums are the same to the bit;
 * a warp without elements has the neutral element, which is joined once for all of them. */
#include "kernels/reduce.cuh"
#include "kernels/resident/warp.cuh"
#include "kernels/team.cuh"

namespace warp {
template <bool has_y, class T, class Term, class Join>
__device__ __forceinline__ T join_one(int64_t first, int64_t n, const T *x, const T *y, T start, Term term, Join join)
{
    constexpr int W = pack<T>::N;
    constexpr int64_t STEP = (int64_t)team::SIZE * reduce::THREADS * W;
    T acc[W];
#pragma unroll
    for (int e = 0; e < W; e++)
        acc[e] = start;
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
    T v = acc[0];
#pragma unroll
    for (int w = 16; w > 0; w /= 2)
        v = join(v, __shfl_xor_sync(0xffffffffu, v, w));
    return v;
}

/* What the team would have; in lane 0. */
template <bool has_y, class T, class Term, class Join>
__device__ __forceinline__ T join_all(int64_t n, const T *x, const T *y, T start, Term term, Join join)
{
    constexpr int W = pack<T>::N, EACH = reduce::THREADS / 32;
    constexpr int64_t MOST = (int64_t)team::SIZE * EACH;
    int64_t n_warps = (n + 32 * W - 1) / (32 * W);
    T total = start, of_block = start;
    n_warps = n_warps < MOST ? n_warps : MOST;
    for (int64_t k = 0; k < n_warps; k++) {
        T v = join_one<has_y>((k * 32 + lane()) * W, n, x, y, start, term, join);
        of_block = k % EACH ? join(of_block, v) : v;
        if (k + 1 == n_warps && (k + 1) % EACH) /* the rest of the block */
            of_block = join(of_block, start);
        if ((k + 1) % EACH == 0 || k + 1 == n_warps)
            total = k < EACH ? of_block : join(total, of_block);
    }
    return n_warps <= MOST - EACH ? join(total, start) : total; /* the rest of the team */
}
} // namespace warp

#define REDUCE(name, type, T, has_y, start, of, op, result)                                                  \
    TGI_BODY body_##name##_##type(const uint64_t *a)                                                         \
    {                                                                                                        \
        const T *x = warp::tile<T>(a, 1), *y = has_y ? warp::tile<T>(a, 2) : x;                              \
        T v = warp::join_all<has_y>(warp::size(a, 0), x, y, (T)(start), reduce::of<T>(), reduce::op<T>());   \
        if (warp::lane() == 0)                                                                               \
            warp::tile<T>(a, result)[0] = v;                                                                 \
        return 0;                                                                                            \
    }                                                                                                        \
    TGI_BODY body_##name##_into_##type(const uint64_t *a)                                                    \
    {                                                                                                        \
        const T *x = warp::tile<T>(a, 1), *y = has_y ? warp::tile<T>(a, 2) : x;                              \
        T v = warp::join_all<has_y>(warp::size(a, 0), x, y, (T)(start), reduce::of<T>(), reduce::op<T>());   \
        if (warp::lane() == 0)                                                                               \
            warp::tile<T>(a, result)[0] = reduce::op<T>()(warp::tile<T>(a, result)[0], v);                   \
        return 0;                                                                                            \
    }
#define SUM(type, T) REDUCE(sum, type, T, false, 0, first_of, sum, 2)
#define MIN(type, T) REDUCE(min, type, T, false, reduce::range<T>::hi(), first_of, least, 2)
#define MAX(type, T) REDUCE(max, type, T, false, reduce::range<T>::lo(), first_of, greatest, 2)
#define DOT(type, T) REDUCE(dot, type, T, true, 0, product, sum, 3)
#define MAX_DIFF(type, T) REDUCE(max_diff, type, T, true, 0, difference, greatest, 3)
TGI_WRAPPING(SUM)
TGK_NUMBERS(MIN)
TGK_NUMBERS(MAX)
TGK_FLOATS(DOT)
TGK_FLOATS(MAX_DIFF)
#undef SUM
#undef MIN
#undef MAX
#undef DOT
#undef MAX_DIFF
#undef REDUCE
