/* The dense routines for one element type and one instruction set.  dense.c includes this file once
 * for each pair, with
 *     T        element type
 *     VECTOR   bytes of a vector register
 *     MR, NV   rows, and vectors per row, of a block of c that stays in registers
 *     TARGET   function attribute that selects the instruction set
 *     NAME(x)  name of x in this instance
 *
 * Everything rests on one micro-kernel: a block of MR x NR elements of c gathers k rank-1 updates in
 * registers, from elements of a that are broadcast and rows of b that lie contiguous in a packed panel
 * of NR columns.  The panel (at most KC x NR) lives on the stack, 16 KiB at most, and stays in the
 * first cache while all rows of a go past it.  Triangular solves use the same micro-kernel on panels of
 * NR systems that are solved side by side.  Loops over constant bounds are written so that the compiler
 * unrolls them and keeps the accumulators in registers. */

#define LANES ((int64_t)(VECTOR / sizeof(T)))
#define NR    (NV * LANES)
#define KC    128 /* depth of a panel */
#define MC    256 /* rows of a that pass by a panel: more, a power of two apart, evict each other */
#define NB    32  /* unknowns that trsm solves for between two gemms */
#define FB    16  /* columns that potrf and getrf factor at a time */

/* This instance's names, so that the code reads as if there were one. */
#define micro        NAME(micro)
#define micro_rows   NAME(micro_rows)
#define micro_full   NAME(micro_full)
#define pack         NAME(pack)
#define transpose4   NAME(transpose4)
#define transpose    NAME(transpose)
#define pack_t       NAME(pack_t)
#define unpack       NAME(unpack)
#define block_partly NAME(block_partly)
#define gemm_slice   NAME(gemm_slice)
#define gemm         NAME(gemm)
#define solve_block  NAME(solve_block)
#define solve        NAME(solve)
#define trsm_right   NAME(trsm_right)
#define trsm_left    NAME(trsm_left)
#define potrf_block  NAME(potrf_block)
#define potrf        NAME(potrf)
#define getrf_panel  NAME(getrf_panel)
#define getrf        NAME(getrf)

typedef T NAME(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(T)), may_alias));
#define VEC         NAME(vec)
#define INLINE      static inline __attribute__((always_inline)) TARGET
#define LOAD(p)     (*(const VEC *)(p))
#define STORE(p, v) (*(VEC *)(p) = (v))

/* c[0..mr) += alpha (a b) for one panel: b[p * ldb ..] holds NR columns of row p. */
INLINE void micro(const int mr, int64_t k, T alpha, const T *a, int64_t a_row, int64_t a_k, const T *b,
                  int64_t ldb, T *c, int64_t ldc)
{
    VEC acc[MR][NV];
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < NV; v++)
            acc[i][v] = (VEC){0};
    for (int64_t p = 0; p < k; p++) {
        VEC row[NV];
        for (int v = 0; v < NV; v++)
            row[v] = LOAD(b + p * ldb + v * LANES);
        for (int i = 0; i < mr; i++) {
            T x = a[i * a_row + p * a_k];
            for (int v = 0; v < NV; v++)
                acc[i][v] += x * row[v];
        }
    }
    for (int i = 0; i < mr; i++)
        for (int v = 0; v < NV; v++) {
            T *at = c + i * ldc + v * LANES;
            STORE(at, LOAD(at) + alpha * acc[i][v]);
        }
}

/* The same for a number of rows that is not known when compiling. */
static TARGET void micro_rows(int mr, int64_t k, T alpha, const T *a, int64_t a_row, int64_t a_k, const T *b,
                              int64_t ldb, T *c, int64_t ldc)
{
    int i = 0;
    for (; i + 4 <= mr; i += 4)
        micro(4, k, alpha, a + i * a_row, a_row, a_k, b, ldb, c + i * ldc, ldc);
    for (; i < mr; i++)
        micro(1, k, alpha, a + i * a_row, a_row, a_k, b, ldb, c + i * ldc, ldc);
}

static TARGET void micro_full(int64_t k, T alpha, const T *a, int64_t a_row, int64_t a_k, const T *b,
                              int64_t ldb, T *c, int64_t ldc)
{
    micro(MR, k, alpha, a, a_row, a_k, b, ldb, c, ldc);
}

/* panel[p][j] = b[p * ldb + j] for j < n, 0 for the others. */
static TARGET void pack(int64_t k, int64_t n, const T *b, int64_t ldb, T *panel)
{
    if (n == NR) {
        for (int64_t p = 0; p < k; p++)
            for (int v = 0; v < NV; v++)
                STORE(panel + p * NR + v * LANES, LOAD(b + p * ldb + v * LANES));
        return;
    }
    for (int64_t p = 0; p < k; p++)
        for (int64_t j = 0; j < NR; j++)
            panel[p * NR + j] = j < n ? b[p * ldb + j] : (T)0;
}

/* to[j][i] = from[i][j] for a block of 4 x 4. */
INLINE void transpose4(const T *from, int64_t ld_from, T *to, int64_t ld_to)
{
#if TGI_HAVE_SHUFFLE
    typedef T vec4 __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
    vec4 a = *(const vec4 *)from, b = *(const vec4 *)(from + ld_from);
    vec4 c = *(const vec4 *)(from + 2 * ld_from), d = *(const vec4 *)(from + 3 * ld_from);
    vec4 ab_even = __builtin_shufflevector(a, b, 0, 4, 2, 6),
         ab_odd = __builtin_shufflevector(a, b, 1, 5, 3, 7);
    vec4 cd_even = __builtin_shufflevector(c, d, 0, 4, 2, 6),
         cd_odd = __builtin_shufflevector(c, d, 1, 5, 3, 7);
    *(vec4 *)to = __builtin_shufflevector(ab_even, cd_even, 0, 1, 4, 5);
    *(vec4 *)(to + ld_to) = __builtin_shufflevector(ab_odd, cd_odd, 0, 1, 4, 5);
    *(vec4 *)(to + 2 * ld_to) = __builtin_shufflevector(ab_even, cd_even, 2, 3, 6, 7);
    *(vec4 *)(to + 3 * ld_to) = __builtin_shufflevector(ab_odd, cd_odd, 2, 3, 6, 7);
#else
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            to[j * ld_to + i] = from[i * ld_from + j];
#endif
}

/* to (n x m) = from (m x n), transposed. */
static TARGET void transpose(int64_t m, int64_t n, const T *from, int64_t ld_from, T *to, int64_t ld_to)
{
    int64_t i = 0;
    for (; i + 4 <= m; i += 4) {
        int64_t j = 0;
        for (; j + 4 <= n; j += 4)
            transpose4(from + i * ld_from + j, ld_from, to + j * ld_to + i, ld_to);
        for (; j < n; j++)
            for (int64_t q = i; q < i + 4; q++)
                to[j * ld_to + q] = from[q * ld_from + j];
    }
    for (; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            to[j * ld_to + i] = from[i * ld_from + j];
}

/* panel[p][j] = b[j * ldb + p] for j < n, 0 for the others. */
static TARGET void pack_t(int64_t k, int64_t n, const T *b, int64_t ldb, T *panel)
{
    transpose(n, k, b, ldb, panel, NR);
    if (n < NR)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = n; j < NR; j++)
                panel[p * NR + j] = 0;
}

/* The way back of pack. */
static TARGET void unpack(int64_t k, int64_t n, const T *panel, T *b, int64_t ldb)
{
    for (int64_t p = 0; p < k; p++)
        if (n == NR)
            for (int v = 0; v < NV; v++)
                STORE(b + p * ldb + v * LANES, LOAD(panel + p * NR + v * LANES));
        else
            for (int64_t j = 0; j < n; j++)
                b[p * ldb + j] = panel[p * NR + j];
}

/* A block at the right edge or across the diagonal: computed aside, then only what belongs is added.
 * Row i of the block takes its first `n` columns, of which at most first + i + 1 if is_lower. */
static TARGET void block_partly(int mr, int64_t n, int64_t k, T alpha, const T *a, int64_t a_row, int64_t a_k,
                                const T *b, int64_t ldb, T *c, int64_t ldc, bool is_lower, int64_t first)
{
    T aside[MR * NR];
    for (int64_t i = 0; i < mr * NR; i++)
        aside[i] = 0;
    if (mr == MR)
        micro_full(k, alpha, a, a_row, a_k, b, ldb, aside, NR);
    else
        micro_rows(mr, k, alpha, a, a_row, a_k, b, ldb, aside, NR);
    for (int64_t i = 0; i < mr; i++) {
        int64_t end = is_lower && first + i + 1 < n ? first + i + 1 : n;
        for (int64_t j = 0; j < end; j++)
            c[i * ldc + j] += aside[i * NR + j];
    }
}

/* c += alpha op(a) op(b) for a range of k that fits a panel. */
static TARGET void gemm_slice(int64_t m, int64_t n, int64_t k, T alpha, const T *a, int64_t a_row,
                              int64_t a_k, const T *b, int64_t ldb, bool is_b_t, T *c, int64_t ldc,
                              bool is_lower, int64_t first)
{
    T panel[KC * NR] __attribute__((aligned(VECTOR)));
    for (int64_t j = 0; j < n; j += NR) {
        int64_t width = n - j < NR ? n - j : NR;
        /* Rows above the panel's first column have nothing below the diagonal in it. */
        int64_t top = is_lower && j > first ? (j - first) / MR * MR : 0;
        if (top >= m)
            break;
        if (is_b_t)
            pack_t(k, width, b + j * ldb, ldb, panel);
        else
            pack(k, width, b + j, ldb, panel);
        for (int64_t i = top; i < m; i += MR) {
            int rows = m - i < MR ? (int)(m - i) : MR;
            const T *at = a + i * a_row;
            T *to = c + i * ldc + j;
            if (width < NR || (is_lower && first + i < j + NR - 1))
                block_partly(rows, width, k, alpha, at, a_row, a_k, panel, NR, to, ldc, is_lower,
                             first + i - j);
            else if (rows == MR)
                micro_full(k, alpha, at, a_row, a_k, panel, NR, to, ldc);
            else
                micro_rows(rows, k, alpha, at, a_row, a_k, panel, NR, to, ldc);
        }
    }
}

static TARGET void gemm(int64_t m, int64_t n, int64_t k, T alpha, const T *a, int64_t a_row, int64_t a_k,
                        const T *b, int64_t ldb, bool is_b_t, T *c, int64_t ldc, bool is_lower)
{
    for (int64_t i = 0; i < m; i += MC)
        for (int64_t p = 0; p < k; p += KC)
            gemm_slice(m - i < MC ? m - i : MC, n, k - p < KC ? k - p : KC, alpha, a + i * a_row + p * a_k,
                       a_row, a_k, b + (is_b_t ? p : p * ldb), ldb, is_b_t, c + i * ldc, ldc, is_lower, i);
}

/* A diagonal block of at most MR rows, in registers where the compiler knows how many. */
INLINE void solve_block(const int rows, const T *l, int64_t l_j, int64_t l_p, bool is_unit, T *x)
{
    VEC y[MR][NV];
    for (int j = 0; j < rows; j++) {
        T scale = is_unit ? (T)1 : (T)1 / l[j * l_j + j * l_p];
        for (int v = 0; v < NV; v++) {
            VEC sum = LOAD(x + j * NR + v * LANES);
            for (int p = 0; p < j; p++)
                sum -= l[j * l_j + p * l_p] * y[p][v];
            y[j][v] = sum * scale;
            STORE(x + j * NR + v * LANES, y[j][v]);
        }
    }
}

/* NR systems side by side: x[j] = (x[j] - sum over p < j of coef(j, p) x[p]) / coef(j, j), where
 * coef(j, p) is at l[j * l_j + p * l_p] and x[j] is a row of NR elements. */
static TARGET void solve(int64_t n, const T *l, int64_t l_j, int64_t l_p, bool is_unit, T *x)
{
    for (int64_t j0 = 0; j0 < n; j0 += MR) {
        int rows = n - j0 < MR ? (int)(n - j0) : MR;
        if (j0 > 0 && rows == MR)
            micro_full(j0, (T)-1, l + j0 * l_j, l_j, l_p, x, NR, x + j0 * NR, NR);
        else if (j0 > 0)
            micro_rows(rows, j0, (T)-1, l + j0 * l_j, l_j, l_p, x, NR, x + j0 * NR, NR);
        if (rows == MR)
            solve_block(MR, l + j0 * l_j + j0 * l_p, l_j, l_p, is_unit, x + j0 * NR);
        else
            solve_block(rows, l + j0 * l_j + j0 * l_p, l_j, l_p, is_unit, x + j0 * NR);
    }
}

static TARGET void trsm_right(int64_t m, int64_t n, const T *l, int64_t l_p, int64_t l_j, T *b, int64_t ldb)
{
    T x[NB * NR] __attribute__((aligned(VECTOR)));
    for (int64_t j = 0; j < n; j += NB) {
        int64_t width = n - j < NB ? n - j : NB;
        /* The columns solved so far, times the part of op(L) above the diagonal block.  Seen as the
         * operand b of gemm, its rows are p and its columns j, contiguous along one of the two. */
        if (j > 0)
            gemm(m, width, j, (T)-1, b, ldb, 1, l + j * l_j, l_j == 1 ? l_p : l_j, l_j != 1, b + j, ldb,
                 false);
        for (int64_t i = 0; i < m; i += NR) {
            int64_t rows = m - i < NR ? m - i : NR;
            pack_t(width, rows, b + i * ldb + j, ldb, x);
            solve(width, l + j * l_p + j * l_j, l_j, l_p, false, x);
            transpose(width, rows, x, NR, b + i * ldb + j, ldb);
        }
    }
}

static TARGET void trsm_left(int64_t n, int64_t m, const T *l, int64_t ldl, bool is_unit, T *b, int64_t ldb)
{
    T x[NB * NR] __attribute__((aligned(VECTOR)));
    for (int64_t i = 0; i < n; i += NB) {
        int64_t rows = n - i < NB ? n - i : NB;
        if (i > 0)
            gemm(rows, m, i, (T)-1, l + i * ldl, ldl, 1, b, ldb, false, b + i * ldb, ldb, false);
        for (int64_t j = 0; j < m; j += NR) {
            int64_t width = m - j < NR ? m - j : NR;
            pack(rows, width, b + i * ldb + j, ldb, x);
            solve(rows, l + i * ldl + i, ldl, 1, is_unit, x);
            unpack(rows, width, x, b + i * ldb + j, ldb);
        }
    }
}

/* A diagonal block, row by row: row i is solved against the rows above it. */
static TARGET int64_t potrf_block(int64_t n, T *a, int64_t lda)
{
    T scale[FB];
    for (int64_t j = 0; j < n; j++) {
        T pivot = a[j * lda + j];
        for (int64_t p = 0; p < j; p++)
            pivot -= a[j * lda + p] * a[j * lda + p];
        if (!(pivot > 0) || pivot - pivot != 0) {
            a[j * lda + j] = pivot;
            return j + 1;
        }
        a[j * lda + j] = (T)__builtin_sqrt((double)pivot);
        scale[j] = 1 / a[j * lda + j];
        for (int64_t i = j + 1; i < n; i++) {
            T sum = a[i * lda + j];
            for (int64_t p = 0; p < j; p++)
                sum -= a[i * lda + p] * a[j * lda + p];
            a[i * lda + j] = sum * scale[j];
        }
    }
    return 0;
}

static TARGET int64_t potrf(int64_t n, T *a, int64_t lda)
{
    for (int64_t j = 0; j < n; j += FB) {
        int64_t width = n - j < FB ? n - j : FB;
        T *diagonal = a + j * lda + j;
        if (j > 0)
            gemm(width, width, j, (T)-1, a + j * lda, lda, 1, a + j * lda, lda, true, diagonal, lda, true);
        int64_t bad = potrf_block(width, diagonal, lda);
        if (bad)
            return j + bad;
        int64_t below = n - j - width;
        if (below == 0)
            break;
        T *under = diagonal + width * lda;
        if (j > 0)
            gemm(below, width, j, (T)-1, a + (j + width) * lda, lda, 1, a + j * lda, lda, true, under, lda,
                 false);
        trsm_right(below, width, diagonal, 1, lda, under, lda);
    }
    return 0;
}

/* A panel of m >= n rows and n <= FB columns. */
static TARGET int64_t getrf_panel(int64_t m, int64_t n, T *a, int64_t lda)
{
    for (int64_t j = 0; j < n; j++) {
        T pivot = a[j * lda + j];
        if (pivot == 0 || pivot - pivot != 0)
            return j + 1;
        T scale = 1 / pivot;
        for (int64_t i = j + 1; i < m; i++) {
            T factor = a[i * lda + j] *= scale;
            for (int64_t p = j + 1; p < n; p++)
                a[i * lda + p] -= factor * a[j * lda + p];
        }
    }
    return 0;
}

static TARGET int64_t getrf(int64_t n, T *a, int64_t lda)
{
    for (int64_t j = 0; j < n; j += FB) {
        int64_t width = n - j < FB ? n - j : FB;
        T *diagonal = a + j * lda + j;
        int64_t bad = getrf_panel(n - j, width, diagonal, lda);
        if (bad)
            return j + bad;
        int64_t rest = n - j - width;
        if (rest == 0)
            break;
        T *right = diagonal + width, *under = diagonal + width * lda;
        trsm_left(width, rest, diagonal, lda, true, right, lda);
        gemm(rest, rest, width, (T)-1, under, lda, 1, right, lda, false, under + width, lda, false);
    }
    return 0;
}

#undef micro
#undef micro_rows
#undef micro_full
#undef pack
#undef transpose4
#undef transpose
#undef pack_t
#undef unpack
#undef block_partly
#undef gemm_slice
#undef gemm
#undef solve_block
#undef solve
#undef trsm_right
#undef trsm_left
#undef potrf_block
#undef potrf
#undef getrf_panel
#undef getrf
#undef LANES
#undef NR
#undef KC
#undef MC
#undef NB
#undef FB
#undef VEC
#undef INLINE
#undef LOAD
#undef STORE
#undef T
#undef VECTOR
#undef MR
#undef NV
#undef TARGET
#undef NAME
