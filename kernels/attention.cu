/* See attention.c.  A block for each 128 columns of a head; the positions of a part are shared by its warps. */
#include "kernels/attention.cuh"
#include "kernels/entry.cuh"

namespace attention {
template <class T> __device__ __forceinline__ void part_by_block(const task<T> &t)
{
    __shared__ state<T> handed[WARPS][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    bool is_wide = is_task_wide(t);
    for (int64_t col0 = blockIdx.x * (int64_t)COLS; col0 == 0 || col0 < t.cols; col0 += gridDim.x * (int64_t)COLS) {
        handed[warp][lane] = share(t, warp, col0, is_wide, lane);
        __syncthreads();
        if (warp == 0) {
            state<T> s = nothing<T>();
            for (int which = 0; which < WARPS && (int64_t)which * CHUNK < t.rows; which++)
                join(s, handed[which][lane]);
            store(t, s, col0, lane);
        }
        __syncthreads();
    }
}
} // namespace attention

#define ATTENTION(type, T)                                                                                                       \
    TGK_KERNEL(256) tgk_attention_part_##type(int64_t rows, int64_t cols, const T *q, const T *k, const T *v, T *part, T scale)   \
    {                                                                                                                            \
        tgk_begin();                                                                                                             \
        attention::part_by_block(attention::task<T>{rows, cols, q, k, v, part, scale});                                          \
    }                                                                                                                            \
    TGK_KERNEL(32) tgk_attention_join_##type(int64_t parts, int64_t cols, const T *part, T *y)                                   \
    {                                                                                                                            \
        tgk_begin();                                                                                                             \
        for (int64_t col0 = blockIdx.x * (int64_t)attention::COLS; col0 < cols; col0 += gridDim.x * (int64_t)attention::COLS)     \
            attention::join_parts(parts, cols, part, y, col0, (int)threadIdx.x);                                                 \
    }
TGK_FLOATS(ATTENTION)
#undef ATTENTION
