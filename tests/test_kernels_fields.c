/* Built-in kernels of which several tiles together give a whole: stencils, layers, attention, Fourier transforms, alignments; against plain
 * references for every type they have. */
#include "tests/kernel_call.h"

/* ---- Stencils -----------------------------------------------------------------------------*/

static void tiles_of_stencil3_together_give_the_whole_field(void **state)
{
    (void)state;
    EACH_TYPE (t, floats)
        for (int64_t n = 1; n < 20; n++) {
            int64_t parts = 3, all = parts * n;
            void *x = tile(all, t), *y = tile(all, t);
            size_t bytes = (size_t)n * tg_dtype_size(t);
            for (int64_t p = 0; p < parts; p++) {
                struct call c = call_of("stencil3", t);
                set(&c, "n", (double)n), set(&c, "a", 0.5), set(&c, "b", -2), set(&c, "c", 0.125);
                give(&c, "x", (char *)x + (size_t)p * bytes), give(&c, "y", (char *)y + (size_t)p * bytes);
                if (p > 0)
                    give(&c, "left", (char *)x + (size_t)(p - 1) * bytes);
                if (p < parts - 1)
                    give(&c, "right", (char *)x + (size_t)(p + 1) * bytes);
                assert_int_equal(run(&c), 0);
            }
            for (int64_t i = 0; i < all; i++) {
                double want = i == 0 || i == all - 1
                                  ? get(x, i, t)
                                  : 0.5 * get(x, i - 1, t) - 2 * get(x, i, t) + 0.125 * get(x, i + 1, t);
                assert_close(get(y, i, t), want, 4 * epsilon(t), "stencil3", i);
            }
            drop(x, all, t), drop(y, all, t);
        }
    /* The defaults average. */
    double x[3] = {4, 8, 16}, y[3];
    struct call c = call_of("stencil3", TG_F64);
    set(&c, "n", 3), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    assert_true(y[0] == 4 && y[1] == 9 && y[2] == 16);
    set(&c, "n", 0);
    assert_int_equal(run(&c), 0);
}

static void tiles_of_2d_stencils_together_give_the_whole_field(void **state)
{
    (void)state;
    enum { PX = 3, PY = 2 };
    static const int64_t shapes[][2] = {{1, 1}, {1, 4}, {4, 1}, {2, 2}, {7, 5}, {33, 9}};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 6; s++)
            for (int heat = 0; heat < 2; heat++) {
                int64_t nx = shapes[s][0], ny = shapes[s][1], w = PX * nx, h = PY * ny;
                double *whole = malloc((size_t)(w * h) * sizeof *whole);
                assert_non_null(whole);
                void *u[PY][PX], *v[PY][PX];
                for (int J = 0; J < PY; J++)
                    for (int I = 0; I < PX; I++) {
                        u[J][I] = tile(nx * ny, t), v[J][I] = tile(nx * ny, t);
                        for (int64_t j = 0; j < ny; j++)
                            for (int64_t i = 0; i < nx; i++)
                                whole[(J * ny + j) * w + I * nx + i] = get(u[J][I], j * nx + i, t);
                    }
                double alpha = 0.1875, centre = heat ? 1 - 4 * alpha : -1.5, edge = heat ? alpha : 0.375;
                for (int J = 0; J < PY; J++)
                    for (int I = 0; I < PX; I++) {
                        struct call c = call_of(heat ? "heat2d" : "stencil5", t);
                        set(&c, "nx", (double)nx), set(&c, "ny", (double)ny);
                        give(&c, heat ? "u" : "x", u[J][I]), give(&c, heat ? "v" : "y", v[J][I]);
                        if (heat)
                            set(&c, "alpha", alpha);
                        else
                            set(&c, "centre", centre), set(&c, "edge", edge);
                        if (J > 0)
                            give(&c, "north", u[J - 1][I]);
                        if (J < PY - 1)
                            give(&c, "south", u[J + 1][I]);
                        if (I > 0)
                            give(&c, "west", u[J][I - 1]);
                        if (I < PX - 1)
                            give(&c, "east", u[J][I + 1]);
                        assert_int_equal(run(&c), 0);
                    }
                for (int64_t y = 0; y < h; y++)
                    for (int64_t x = 0; x < w; x++) {
                        double *at = &whole[y * w + x];
                        double want = x == 0 || y == 0 || x == w - 1 || y == h - 1
                                          ? *at
                                          : centre * *at + edge * (at[-w] + at[w] + at[-1] + at[1]);
                        double got = get(v[y / ny][x / nx], y % ny * nx + x % nx, t);
                        assert_close(got, want, 8 * epsilon(t), heat ? "heat2d" : "stencil5", y * w + x);
                    }
                for (int J = 0; J < PY; J++)
                    for (int I = 0; I < PX; I++)
                        drop(u[J][I], nx * ny, t), drop(v[J][I], nx * ny, t);
                free(whole);
            }
}

/* ---- Layers -------------------------------------------------------------------------------*/

static void layers_match_the_definition(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{0, 5}, {1, 1}, {3, 7}, {2, 64}, {5, 129}};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 5; s++) {
            int64_t rows = shapes[s][0], cols = shapes[s][1], n = rows * cols;
            void *x = tile(n, t), *y = tile(n, t), *gamma = tile(cols, t), *beta = tile(cols, t);
            struct call c = call_of("softmax", t);
            set(&c, "rows", (double)rows), set(&c, "cols", (double)cols), give(&c, "x", x), give(&c, "y", y);
            assert_int_equal(run(&c), 0);
            for (int64_t r = 0; r < rows; r++) {
                double total = 0;
                for (int64_t i = 0; i < cols; i++)
                    total += exp(get(x, r * cols + i, t));
                for (int64_t i = 0; i < cols; i++)
                    assert_close(get(y, r * cols + i, t), exp(get(x, r * cols + i, t)) / total,
                                 8 * epsilon(t), "softmax", i);
            }
            for (int with = 0; with < 4; with++) {
                c = call_of("layernorm", t);
                set(&c, "rows", (double)rows), set(&c, "cols", (double)cols), give(&c, "x", x),
                    give(&c, "y", y);
                if (with & 1)
                    give(&c, "gamma", gamma);
                if (with & 2)
                    give(&c, "beta", beta), set(&c, "eps", 0.125);
                assert_int_equal(run(&c), 0);
                double eps = with & 2 ? 0.125 : 1e-5;
                for (int64_t r = 0; r < rows; r++) {
                    double mean = 0, variance = 0;
                    for (int64_t i = 0; i < cols; i++)
                        mean += get(x, r * cols + i, t) / (double)cols;
                    for (int64_t i = 0; i < cols; i++)
                        variance += pow(get(x, r * cols + i, t) - mean, 2) / (double)cols;
                    for (int64_t i = 0; i < cols; i++) {
                        double want = (get(x, r * cols + i, t) - mean) / sqrt(variance + eps);
                        want = want * (with & 1 ? get(gamma, i, t) : 1) + (with & 2 ? get(beta, i, t) : 0);
                        assert_close(get(y, r * cols + i, t), want, 64 * epsilon(t), "layernorm", i);
                    }
                }
            }
            c = call_of("bias_add", t);
            set(&c, "rows", (double)rows), set(&c, "cols", (double)cols);
            give(&c, "x", x), give(&c, "bias", beta), give(&c, "y", y);
            assert_int_equal(run(&c), 0);
            for (int64_t i = 0; i < n; i++)
                assert_close(get(y, i, t), get(x, i, t) + get(beta, i % cols, t), epsilon(t), "bias_add", i);
            drop(x, n, t), drop(y, n, t), drop(gamma, cols, t), drop(beta, cols, t);
        }
}

static void layers_survive_extreme_rows(void **state)
{
    (void)state;
    double x[4][3] = {
        {1e308, 1e308, -1e308}, {-INFINITY, 0, 0}, {NAN, 0, 0}, {-INFINITY, -INFINITY, -INFINITY}};
    double y[4][3];
    struct call c = call_of("softmax", TG_F64);
    set(&c, "rows", 4), set(&c, "cols", 3), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    assert_true(y[0][0] == 0.5 && y[0][1] == 0.5 && y[0][2] == 0);
    assert_true(y[1][0] == 0 && y[1][1] == 0.5 && y[1][2] == 0.5);
    for (int i = 0; i < 3; i++)
        assert_true(isnan(y[2][i]) && isnan(y[3][i]));
    double z[3] = {NAN, -1, 5}, out[3];
    c = call_of("relu", TG_F64);
    set(&c, "n", 3), give(&c, "x", z), give(&c, "y", out);
    assert_int_equal(run(&c), 0);
    assert_true(isnan(out[0]) && out[1] == 0 && out[2] == 5);
}

/* ---- Attention ----------------------------------------------------------------------------*/

/* Of one query over rows first .. first + n - 1. */
static void attention_part(enum tg_dtype t, int64_t first, int64_t n, int64_t cols, double scale, const void *q, const void *k,
                           const void *v, void *part)
{
    size_t at = (size_t)(first * cols) * tg_dtype_size(t);
    struct call c = call_of("attention_part", t);
    set(&c, "rows", (double)n), set(&c, "cols", (double)cols), set(&c, "scale", scale);
    give(&c, "q", q), give(&c, "k", (const char *)k + at), give(&c, "v", (const char *)v + at), give(&c, "part", part);
    assert_int_equal(run(&c), 0);
}
static void attention_join(enum tg_dtype t, int64_t parts, int64_t cols, const void *part, void *y)
{
    struct call c = call_of("attention_join", t);
    set(&c, "parts", (double)parts), set(&c, "cols", (double)cols), give(&c, "part", part), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
}

/* One after the other, in double. */
static void attention_by_definition(enum tg_dtype t, int64_t rows, int64_t cols, double scale, const void *q, const void *k,
                                    const void *v, double *y)
{
    double total = 0;
    for (int64_t j = 0; j < cols; j++)
        y[j] = 0;
    for (int64_t i = 0; i < rows; i++) {
        double score = 0;
        for (int64_t j = 0; j < cols; j++)
            score += get(k, i * cols + j, t) * get(q, j, t);
        total += exp(scale * score);
        for (int64_t j = 0; j < cols; j++)
            y[j] += exp(scale * score) * get(v, i * cols + j, t);
    }
    for (int64_t j = 0; j < cols; j++)
        y[j] /= total;
}

/* However the positions are cut, empty parts among them. */
static void parts_of_an_attention_joined_are_the_attention_to_the_whole(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {63, 16}, {64, 64}, {65, 33}, {200, 128}, {5, 300}};
    EACH_TYPE (t, floats)
        for (int s = 0; s < 7; s++)
            for (int64_t parts = 1; parts <= 9; parts += 4) {
                int64_t rows = shapes[s][0], cols = shapes[s][1], stride = cols + 2, first = 0;
                void *q = tile(cols, t), *k = tile(rows * cols, t), *v = tile(rows * cols, t), *part = tile(parts * stride, t),
                     *y = tile(cols, t);
                double scale = 1.5, want[300];
                for (int64_t p = 0; p < parts; p++) {
                    int64_t n = p == parts - 1 ? rows - first : (int64_t)(random_bits() % (uint64_t)(rows - first + 1));
                    attention_part(t, first, n, cols, scale, q, k, v, (char *)part + (size_t)(p * stride) * tg_dtype_size(t));
                    first += n;
                }
                attention_join(t, parts, cols, part, y);
                attention_by_definition(t, rows, cols, scale, q, k, v, want);
                for (int64_t j = 0; j < cols; j++)
                    assert_close(get(y, j, t), want[j], 64 * epsilon(t), "attention", j);
                drop(q, cols, t), drop(k, rows * cols, t), drop(v, rows * cols, t), drop(part, parts * stride, t), drop(y, cols, t);
            }
}

/* Scores that exp() has no number for; what is not seen; nothing to see. */
static void attention_survives_extreme_scores(void **state)
{
    (void)state;
    double q = 1, k[4] = {-1e308, 1e6, 1e6 - 1, -INFINITY}, v[4] = {1, 2, 3, 4}, part[2][3], y, e = exp(-1);
    for (int cut = 0; cut <= 4; cut++) {
        attention_part(TG_F64, 0, cut, 1, 1, &q, k, v, part[0]);
        attention_part(TG_F64, cut, 4 - cut, 1, 1, &q, k, v, part[1]);
        attention_join(TG_F64, 2, 1, part[0], &y);
        assert_true(fabs(y - (2 + 3 * e) / (1 + e)) < 1e-12);
    }
    attention_part(TG_F64, 0, 0, 1, 1, &q, k, v, part[0]);
    assert_true(part[0][0] == 0 && part[0][1] == -INFINITY && part[0][2] == 0);
    attention_part(TG_F64, 3, 1, 1, 1, &q, k, v, part[1]);
    attention_join(TG_F64, 2, 1, part[0], &y);
    assert_true(isnan(y)); /* nothing but -infinity */
    attention_join(TG_F64, 0, 1, part[0], &y);
    assert_true(isnan(y));
    k[2] = NAN;
    attention_part(TG_F64, 0, 1, 1, 1, &q, k, v, part[0]);
    attention_part(TG_F64, 1, 3, 1, 1, &q, k, v, part[1]);
    attention_join(TG_F64, 2, 1, part[0], &y);
    assert_true(isnan(y));
}

/* ---- Fourier ------------------------------------------------------------------------------*/

static void reference_dft(int64_t n, const double *x, double *y)
{
    for (int64_t k = 0; k < n; k++) {
        y[2 * k] = y[2 * k + 1] = 0;
        for (int64_t j = 0; j < n; j++) {
            double angle = -2 * M_PI * (double)(j * k % n) / (double)n;
            y[2 * k] += x[2 * j] * cos(angle) - x[2 * j + 1] * sin(angle);
            y[2 * k + 1] += x[2 * j] * sin(angle) + x[2 * j + 1] * cos(angle);
        }
    }
}

static void fft_is_the_fourier_transform_and_its_inverse_undoes_it(void **state)
{
    (void)state;
    static const enum tg_dtype complexes[] = {TG_C64, TG_C128};
    EACH_TYPE (t, complexes)
        for (int64_t n = 1; n <= 256; n *= 2) {
            enum tg_dtype part = t == TG_C64 ? TG_F32 : TG_F64;
            int64_t rows = 3;
            void *x = tile(rows * n, t), *old = copy_of(x, rows * n, t);
            struct call c = call_of("fft", t);
            set(&c, "n", (double)n), set(&c, "rows", (double)rows), give(&c, "x", x);
            assert_int_equal(run(&c), 0);
            double in[512], out[512];
            for (int64_t r = 0; r < rows; r++) {
                for (int64_t i = 0; i < 2 * n; i++)
                    in[i] = get(old, 2 * r * n + i, part);
                reference_dft(n, in, out);
                for (int64_t i = 0; i < 2 * n; i++)
                    assert_close(get(x, 2 * r * n + i, part), out[i], 8 * (double)n * epsilon(part), "fft",
                                 i);
            }
            set(&c, "inverse", 1);
            assert_int_equal(run(&c), 0);
            for (int64_t i = 0; i < 2 * n * rows; i++)
                assert_close(get(x, i, part), get(old, i, part), 16 * epsilon(part), "inverse fft", i);
            drop(x, rows * n, t), free(old);
        }
    double x[12];
    struct call c = call_of("fft", TG_C128);
    set(&c, "n", 6), give(&c, "x", x);
    assert_int_not_equal(run(&c), 0);
    set(&c, "n", 0);
    assert_int_equal(run(&c), 0);
}

static void twiddle_and_transpose_join_ffts_of_rows(void **state)
{
    (void)state;
    enum { R = 8, C = 16, N = R * C };
    double *x = tile(N, TG_C128), *y = tile(N, TG_C128), want[2 * N];
    reference_dft(N, x, want);
    struct call c = call_of("transpose", TG_C128); /* to C x R, row c: elements c, c + C, .. */
    set(&c, "m", R), set(&c, "n", C), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    c = call_of("fft", TG_C128);
    set(&c, "n", R), set(&c, "rows", C), give(&c, "x", y);
    assert_int_equal(run(&c), 0);
    for (int half = 0; half < 2; half++) { /* as two tiles of C/2 rows */
        c = call_of("twiddle", TG_C128);
        set(&c, "rows", C / 2), set(&c, "cols", R), set(&c, "total", N), set(&c, "row0", half * C / 2);
        give(&c, "x", y + 2 * half * (C / 2) * R);
        assert_int_equal(run(&c), 0);
    }
    c = call_of("transpose", TG_C128);
    set(&c, "m", C), set(&c, "n", R), give(&c, "x", y), give(&c, "y", x);
    assert_int_equal(run(&c), 0);
    c = call_of("fft", TG_C128);
    set(&c, "n", C), set(&c, "rows", R), give(&c, "x", x);
    assert_int_equal(run(&c), 0);
    c = call_of("transpose", TG_C128);
    set(&c, "m", R), set(&c, "n", C), give(&c, "x", x), give(&c, "y", y);
    assert_int_equal(run(&c), 0);
    for (int i = 0; i < 2 * N; i++)
        assert_close(y[i], want[i], 1e-13 * N, "four-step fft", i);
    drop(x, N, TG_C128), drop(y, N, TG_C128);
}

static void butterflies_join_ffts_of_interleaved_tiles(void **state)
{
    (void)state;
    enum { P = 4, L = 8, N = P * L };
    double *x = tile(N, TG_C128), *part[P], want[2 * N];
    reference_dft(N, x, want);
    static const int order[P] = {0, 2, 1, 3}; /* residues modulo P, bit-reversed */
    for (int p = 0; p < P; p++) {
        part[p] = tile(L, TG_C128);
        for (int i = 0; i < L; i++)
            memcpy(&part[p][2 * i], &x[2 * (i * P + order[p])], 16);
        struct call c = call_of("fft", TG_C128);
        set(&c, "n", L), give(&c, "x", part[p]);
        assert_int_equal(run(&c), 0);
    }
    for (int half = 1; half < P; half *= 2)
        for (int block = 0; block < P; block += 2 * half)
            for (int p = 0; p < half; p++) {
                struct call c = call_of("fft_butterfly", TG_C128);
                set(&c, "n", L), set(&c, "len", 2 * half * L), set(&c, "start", p * L);
                give(&c, "a", part[block + p]), give(&c, "b", part[block + p + half]);
                assert_int_equal(run(&c), 0);
            }
    for (int p = 0; p < P; p++) {
        for (int i = 0; i < 2 * L; i++)
            assert_close(part[p][i], want[2 * L * p + i], 1e-13 * N, "butterfly fft", i);
        drop(part[p], L, TG_C128);
    }
    drop(x, N, TG_C128);
}

/* ---- Wavefronts ---------------------------------------------------------------------------*/

static void tiles_of_an_alignment_together_give_the_whole_table(void **state)
{
    (void)state;
    enum { PI = 3, PJ = 2, M = 5, N = 7, H = PI * M, W = PJ * N };
    for (int local = 0; local < 2; local++) {
        uint8_t a[H], b[W];
        for (int i = 0; i < H; i++)
            a[i] = (uint8_t)(random_bits() % 3);
        for (int j = 0; j < W; j++)
            b[j] = (uint8_t)(random_bits() % 3);
        static int32_t want[H + 1][W + 1], h[PI][PJ][M * N];
        for (int i = 1; i <= H; i++)
            for (int j = 1; j <= W; j++) {
                int diagonal = want[i - 1][j - 1], up = want[i - 1][j], left = want[i][j - 1];
                bool same = a[i - 1] == b[j - 1];
                int v;
                if (local) {
                    v = diagonal + (same ? 3 : -2);
                    v = v > up - 1 ? v : up - 1;
                    v = v > left - 1 ? v : left - 1;
                    v = v > 0 ? v : 0;
                } else {
                    v = same ? diagonal + 1 : up > left ? up : left;
                }
                want[i][j] = v;
            }
        for (int I = 0; I < PI; I++)
            for (int J = 0; J < PJ; J++) {
                struct call c = call_of(local ? "smith_waterman" : "lcs", TG_I32);
                set(&c, "m", M), set(&c, "n", N), give(&c, "a", a + I * M), give(&c, "b", b + J * N);
                give(&c, "h", h[I][J]);
                if (local)
                    set(&c, "match", 3), set(&c, "mismatch", -2);
                if (I > 0)
                    give(&c, "north", h[I - 1][J]);
                if (J > 0)
                    give(&c, "west", h[I][J - 1]);
                if (I > 0 && J > 0)
                    give(&c, "northwest", h[I - 1][J - 1]);
                assert_int_equal(run(&c), 0);
            }
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++)
                assert_int_equal(h[i / M][j / N][i % M * N + j % N], want[i + 1][j + 1]);
    }
}

int main(void)
{
    seed_random();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_of_stencil3_together_give_the_whole_field),
        cmocka_unit_test(tiles_of_2d_stencils_together_give_the_whole_field),
        cmocka_unit_test(layers_match_the_definition),
        cmocka_unit_test(layers_survive_extreme_rows),
        cmocka_unit_test(parts_of_an_attention_joined_are_the_attention_to_the_whole),
        cmocka_unit_test(attention_survives_extreme_scores),
        cmocka_unit_test(fft_is_the_fourier_transform_and_its_inverse_undoes_it),
        cmocka_unit_test(twiddle_and_transpose_join_ffts_of_rows),
        cmocka_unit_test(butterflies_join_ffts_of_interleaved_tiles),
        cmocka_unit_test(tiles_of_an_alignment_together_give_the_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
