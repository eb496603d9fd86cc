/* See trsv.c.  A task is a warp's; its words go to shared memory, where the input of an entry is looked up. */
#include "kernels/entry.cuh"
#include "kernels/fault.cuh"
#include "kernels/trsv.cuh"

namespace trsv {
template <class T> __device__ __forceinline__ void tile(const uint64_t *a)
{
    fault f = solve<T>(a, (int)threadIdx.x);
    if (f.row && threadIdx.x == 0)
        report_fault(f.what ? TGI_FAULT_TRSV_DIAGONAL : TGI_FAULT_TRSV_ENTRIES, (const void *)(uintptr_t)a[8], f.row, (int64_t)a[0],
                     f.diagonal, 0);
}
} // namespace trsv

#define TRSV_ROWS(type, T)                                                                                           \
    TGK_KERNEL(32) tgk_trsv_rows_##type(                                                                             \
        int64_t m, int64_t at, int64_t first, int64_t n, const T *vals, const int64_t *start, const int32_t *cols,   \
        const T *b, T *x, int64_t width, int64_t row0, int64_t solve, const T *in0, const T *in1, const T *in2,      \
        const T *in3, const T *in4, const T *in5, const T *in6, const T *in7, const T *in8, const T *in9,            \
        const T *in10, const T *in11, const T *in12, const T *in13, const T *in14, const T *in15)                    \
    {                                                                                                                \
        tgk_begin();                                                                                                 \
        __shared__ uint64_t words[trsv::N_WORDS];                                                                    \
        const void *tiles[trsv::N_INPUTS] = {in0, in1, in2,  in3,  in4,  in5,  in6,  in7,                            \
                                             in8, in9, in10, in11, in12, in13, in14, in15};                          \
        if (threadIdx.x == 0) {                                                                                      \
            words[0] = (uint64_t)m;                                                                                  \
            words[1] = (uint64_t)at;                                                                                 \
            words[2] = (uint64_t)first;                                                                              \
            words[3] = (uint64_t)n;                                                                                  \
            words[4] = (uint64_t)(uintptr_t)vals;                                                                    \
            words[5] = (uint64_t)(uintptr_t)start;                                                                   \
            words[6] = (uint64_t)(uintptr_t)cols;                                                                    \
            words[7] = (uint64_t)(uintptr_t)b;                                                                       \
            words[8] = (uint64_t)(uintptr_t)x;                                                                       \
            words[9] = (uint64_t)width;                                                                              \
            words[10] = (uint64_t)row0;                                                                              \
            words[11] = (uint64_t)solve;                                                                             \
            _Pragma("unroll") for (int k = 0; k < trsv::N_INPUTS; k++)                                               \
                words[trsv::INPUT_ARG + k] = (uint64_t)(uintptr_t)tiles[k];                                          \
        }                                                                                                            \
        __syncthreads();                                                                                             \
        trsv::tile<T>(words);                                                                                        \
    }
TGK_FLOATS(TRSV_ROWS)
#undef TRSV_ROWS
