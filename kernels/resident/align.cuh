/* lcs and smith_waterman; see kernels/align.cuh. */
#include "kernels/align.cuh"
#include "kernels/resident/warp.cuh"

namespace warp {
/* `from`: where the neighbours are among the words. */
template <bool is_local> __device__ __forceinline__ uint32_t tile_of_table(const uint64_t *a, const align::rule &rule, int from)
{
    align::table t = {size(a, 0), size(a, 1), tile<uint8_t>(a, 2), tile<uint8_t>(a, 3), tile<int32_t>(a, 4), tile<int32_t>(a, from),
                      tile<int32_t>(a, from + 1), tile<int32_t>(a, from + 2)};
    align::by_warp<is_local>(t, rule, lane());
    return 0;
}
} // namespace warp

TGI_BODY_APART body_lcs(const uint64_t *a)
{
    return warp::tile_of_table<false>(a, align::rule{0, 0, 0}, 5);
}
TGI_BODY_APART body_smith_waterman(const uint64_t *a)
{
    align::rule rule = {align::clamp(warp::size(a, 5)), align::clamp(warp::size(a, 6)), align::clamp(warp::size(a, 7))};
    return warp::tile_of_table<true>(a, rule, 8);
}
