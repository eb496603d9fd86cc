/* See align.c.  One block goes over a tile in bands of THREADS * ROWS rows.  A thread owns ROWS rows and
 * takes COLS columns a step, one step behind the thread above it, which hands down its lowest row through
 * shared memory; so a band of n columns takes n / COLS + THREADS steps.
 *
 * Scores are 32-bit here and 64-bit in align.c: the same unless a score leaves the range of the table. */
#include "kernels/align.cuh"
#include "kernels/entry.cuh"

namespace align {
constexpr int THREADS = 256, ROWS = 4, COLS = 8;

template <bool is_local>
__device__ __forceinline__ void tile(int64_t m, int64_t n, const uint8_t *a, const uint8_t *b, int32_t *h, const rule &k,
                                     const int32_t *north, const int32_t *west, const int32_t *northwest)
{
    /* What a thread hands to the one below it: read in the step after it was written, while the next is
     * written beside it. */
    __shared__ int32_t handed[2][THREADS][COLS + 1];
    int me = threadIdx.x;
    for (int64_t band = 0; band < m; band += THREADS * ROWS) {
        int64_t i0 = band + me * ROWS;
        int32_t left[ROWS];
        uint8_t letter[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            bool is_row = i0 + r < m;
            left[r] = is_row && west ? west[(i0 + r) * n + n - 1] : 0;
            letter[r] = is_row ? a[i0 + r] : 0;
        }
        /* The cell above and left of the first. */
        int32_t corner = 0;
        if (i0 > 0 && i0 < m)
            corner = west ? west[(i0 - 1) * n + n - 1] : 0;
        else if (i0 == 0 && northwest)
            corner = northwest[m * n - 1];
        int64_t n_steps = (n + COLS - 1) / COLS + THREADS - 1;
        const int32_t *above = band > 0 ? h + (band - 1) * n : north ? north + (m - 1) * n : nullptr;
        for (int64_t s = 0; s < n_steps; s++) {
            int64_t j0 = (s - me) * COLS;
            if (j0 >= 0 && j0 < n && i0 < m) {
                int32_t up[COLS];
#pragma unroll
                for (int c = 0; c < COLS; c++) {
                    if (me > 0)
                        up[c] = handed[(s + 1) & 1][me - 1][c];
                    else
                        up[c] = above && j0 + c < n ? above[j0 + c] : 0;
                }
                uint8_t other[COLS];
#pragma unroll
                for (int c = 0; c < COLS; c++)
                    other[c] = j0 + c < n ? b[j0 + c] : 0;
                int32_t next_corner = up[COLS - 1];
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    int32_t diagonal = corner, l = left[r];
                    corner = l;
#pragma unroll
                    for (int c = 0; c < COLS; c++) {
                        l = cell<is_local>(k, letter[r] == other[c], diagonal, up[c], l);
                        diagonal = up[c];
                        up[c] = l;
                        if (j0 + c < n && i0 + r < m)
                            h[(i0 + r) * n + j0 + c] = l;
                    }
                    left[r] = l;
                }
                corner = next_corner;
#pragma unroll
                for (int c = 0; c < COLS; c++)
                    handed[s & 1][me][c] = up[c];
            }
            __syncthreads();
        }
    }
}
} // namespace align

TGK_KERNEL(256) tgk_lcs(int64_t m, int64_t n, const uint8_t *a, const uint8_t *b, int32_t *h, const int32_t *north,
                        const int32_t *west, const int32_t *northwest)
{
    tgk_begin();
    align::tile<false>(m, n, a, b, h, {0, 0, 0}, north, west, northwest);
}
TGK_KERNEL(256) tgk_smith_waterman(int64_t m, int64_t n, const uint8_t *a, const uint8_t *b, int32_t *h, int64_t match,
                                   int64_t mismatch, int64_t gap, const int32_t *north, const int32_t *west,
                                   const int32_t *northwest)
{
    tgk_begin();
    align::tile<true>(m, n, a, b, h, {align::clamp(match), align::clamp(mismatch), align::clamp(gap)}, north, west, northwest);
}
