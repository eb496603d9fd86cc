/* attention_part and attention_join; see kernels/attention.cuh. */
#include "kernels/attention.cuh"
#include "kernels/resident/warp.cuh"

#define ATTENTION(type, T)                                                                                                   \
    TGI_BODY_APART body_attention_part_##type(const uint64_t *a)                                                             \
    {                                                                                                                        \
        attention::part_by_warp(attention::task<T>{warp::size(a, 0), warp::size(a, 1), warp::tile<T>(a, 2), warp::tile<T>(a, 3),  \
                                                   warp::tile<T>(a, 4), warp::tile<T>(a, 5), warp::number<T>(a, 6)},         \
                                warp::lane());                                                                               \
        return 0;                                                                                                            \
    }                                                                                                                        \
    TGI_BODY_APART body_attention_join_##type(const uint64_t *a)                                                             \
    {                                                                                                                        \
        for (int64_t col0 = 0; col0 < warp::size(a, 1); col0 += attention::COLS)                                             \
            attention::join_parts(warp::size(a, 0), warp::size(a, 1), warp::tile<T>(a, 2), warp::tile<T>(a, 3), col0, warp::lane()); \
        return 0;                                                                                                            \
    }
TGK_FLOATS(ATTENTION)
#undef ATTENTION
