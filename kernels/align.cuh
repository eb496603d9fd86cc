/* lcs and smith_waterman (align.c), a tile by one warp: what the resident executor does with a tile too small for a block.
 *
 * The warp goes over the tile in bands of 32 * ROWS rows.  A lane owns ROWS rows and takes COLS columns a step, one step behind the
 * lane above it, which hands down the letters and its lowest row.  What comes from outside, the row above, the letters of b and
 * the column to the left, is loaded for CHUNK columns at a time, each lane its share, a chunk ahead, so that no step waits for
 * memory.  A band of n columns takes n / COLS + 31 steps. */
#ifndef TGI_KERNELS_ALIGN_CUH
#define TGI_KERNELS_ALIGN_CUH

#include "kernels/pack.cuh"

namespace align {
struct rule {
    int32_t match, mismatch, gap;
};
struct table {
    int64_t m, n;
    const uint8_t *a, *b;
    int32_t *h;
    const int32_t *north, *west, *northwest; /* NULL: outside */
};

/* A bonus beyond this in size would leave the table's range with one step. */
__device__ __forceinline__ int32_t clamp(int64_t v)
{
    const int64_t most = 1 << 30;
    return (int32_t)(v > most ? most : v < -most ? -most : v);
}
__device__ __forceinline__ int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }

template <bool is_local>
__device__ __forceinline__ int32_t cell(const rule &k, bool is_same, int32_t corner, int32_t up, int32_t left)
{
    if (is_local) /* what needs `left` comes last: cells of a row wait for each other by it */
        return larger(larger(larger(0, corner + (is_same ? k.match : k.mismatch)), up + k.gap), left + k.gap);
    return is_same ? corner + 1 : larger(up, left);
}

namespace of_warp {
constexpr int ROWS = 2, COLS = 4, CHUNK = 32 * COLS;

/* A lane's share of what is above a band and of b: columns j .. j + COLS - 1. */
struct share {
    int32_t up[COLS];
    uint32_t letters;
};
__device__ __forceinline__ share load(const table &t, const int32_t *above, int64_t j, bool is_wide)
{
    share s = {{0, 0, 0, 0}, 0};
    if (is_wide) {
        if (j < t.n) {
            memcpy(&s.letters, __builtin_assume_aligned(t.b + j, COLS), COLS);
            if (above) {
                pack<int32_t> four = load_pack(above + j);
                memcpy(s.up, &four, sizeof s.up);
            }
        }
        return s;
    }
#pragma unroll
    for (int c = 0; c < COLS; c++) {
        bool is_there = j + c < t.n;
        s.up[c] = is_there && above ? above[j + c] : 0;
        s.letters |= (uint32_t)(is_there ? t.b[j + c] : 0) << 8 * c;
    }
    return s;
}

/* What a lane keeps of its rows from step to step. */
struct rows {
    int64_t first;
    int32_t *h; /* the first's next COLS cells */
    int32_t left[ROWS], corner; /* the cell left of each; above and left of the first */
    uint8_t letter[ROWS];
};
__device__ __forceinline__ rows begin(const table &t, int64_t first)
{
    rows r;
    r.first = first;
    r.h = t.h + first * t.n;
    r.corner = 0;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        bool is_row = first + i < t.m;
        r.left[i] = is_row && t.west ? t.west[(first + i) * t.n + t.n - 1] : 0;
        r.letter[i] = is_row ? t.a[first + i] : 0;
    }
    if (first > 0 && first < t.m)
        r.corner = t.west ? t.west[(first - 1) * t.n + t.n - 1] : 0;
    else if (first == 0 && t.northwest)
        r.corner = t.northwest[t.m * t.n - 1];
    return r;
}

/* COLS columns from j0 on: `s` has what is above them and becomes the lane's lowest row. */
template <bool is_local>
__device__ __forceinline__ void step(const table &t, const rule &k, rows &r, share &s, int64_t j0, bool is_wide)
{
    int32_t next_corner = s.up[COLS - 1];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int32_t corner = r.corner, l = r.left[i];
        r.corner = l;
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            l = cell<is_local>(k, r.letter[i] == (uint8_t)(s.letters >> 8 * c), corner, s.up[c], l);
            corner = s.up[c];
            s.up[c] = l;
        }
        r.left[i] = l;
        if (r.first + i < t.m) {
            int32_t *to = r.h + i * t.n;
            if (is_wide) {
                pack<int32_t> four = {{s.up[0], s.up[1], s.up[2], s.up[3]}};
                store_pack(to, four);
            } else {
#pragma unroll
                for (int c = 0; c < COLS; c++)
                    if (j0 + c < t.n)
                        to[c] = s.up[c];
            }
        }
    }
    r.corner = next_corner;
    r.h += COLS;
}

/* The lane above's, or for lane 0 the chunk's. */
__device__ __forceinline__ share hand_down(const share &mine, const share &chunk, int64_t at, int lane)
{
    share s;
#pragma unroll
    for (int c = 0; c < COLS; c++) {
        int32_t above = __shfl_sync(0xffffffffu, mine.up[c], (lane + 31) % 32), outside = __shfl_sync(0xffffffffu, chunk.up[c], (int)(at % 32));
        s.up[c] = lane ? above : outside;
    }
    uint32_t above = __shfl_sync(0xffffffffu, mine.letters, (lane + 31) % 32);
    uint32_t outside = __shfl_sync(0xffffffffu, chunk.letters, (int)(at % 32));
    s.letters = lane ? above : outside;
    return s;
}

template <bool is_local>
__device__ __forceinline__ void band(const table &t, const rule &k, int64_t first, int lane)
{
    static_assert(COLS == 4 && sizeof(pack<int32_t>) == 16, "a step's columns are one store");
    const int32_t *above = first > 0 ? t.h + (first - 1) * t.n : t.north ? t.north + (t.m - 1) * t.n : nullptr;
    /* All tiles in sixteens, letters in fours. */
    bool is_wide = t.n % COLS == 0 && is_aligned(t.h) && is_aligned(t.north) && ((uintptr_t)t.b & (COLS - 1)) == 0;
    int64_t left = t.m - first, n_used = left < 32 * ROWS ? (left + ROWS - 1) / ROWS : 32, n_blocks = (t.n + COLS - 1) / COLS;
    share chunk = load(t, above, lane * COLS, is_wide), next = load(t, above, CHUNK + lane * COLS, is_wide), mine = {{0, 0, 0, 0}, 0};
    rows r = begin(t, first + lane * ROWS);
    for (int64_t s = 0; s < n_blocks + n_used - 1; s++) {
        if (s > 0 && s % 32 == 0) {
            chunk = next;
            next = load(t, above, (s + 32) * COLS + lane * COLS, is_wide);
        }
        mine = hand_down(mine, chunk, s, lane);
        int64_t at = s - lane;
        if (at >= 0 && at < n_blocks && r.first < t.m)
            step<is_local>(t, k, r, mine, at * COLS, is_wide);
    }
    __syncwarp(); /* the lowest row is read by other lanes */
}
} // namespace of_warp

/* All lanes of a warp. */
template <bool is_local> __device__ __forceinline__ void by_warp(const table &t, const rule &k, int lane)
{
    for (int64_t first = 0; t.n > 0 && first < t.m; first += 32 * of_warp::ROWS)
        of_warp::band<is_local>(t, k, first, lane);
}
} // namespace align

#endif
