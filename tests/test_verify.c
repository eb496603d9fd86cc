/* The checks of a graph on what a run left. */
#include "io/verify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "graph/dtype.h"
#include "io/npy.h"

static struct tg_runtime *runtime;
static struct tg_graph *graph;
static struct tg_run *run;

static int setup(void **state)
{
    (void)state;
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.n_workers = 1;
    run = NULL;
    return tg_runtime_create(&options, &runtime, NULL) == 0 && tg_graph_create("g", &graph, NULL) == 0 ? 0
                                                                                                       : -1;
}

static int teardown(void **state)
{
    (void)state;
    tg_run_destroy(run);
    tg_graph_destroy(graph);
    tg_runtime_destroy(runtime);
    return 0;
}

static tg_buffer_id add(const char *name, enum tg_dtype dtype, int64_t rows, int64_t columns, int64_t nt,
                        int64_t mt, const uint8_t *present, enum tg_init init)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id;
    spec.name = name;
    spec.dtype = dtype;
    spec.n_dims = columns ? 2 : 1;
    spec.shape[0] = rows;
    spec.shape[1] = columns;
    spec.n_tile_dims = nt ? 2 : 0;
    spec.tiles[0] = nt;
    spec.tiles[1] = mt;
    spec.present = present;
    spec.init = init;
    spec.init_seed = 7;
    assert_int_equal(tg_graph_add_buffer(graph, &spec, &id, NULL), 0);
    return id;
}

static void run_graph(void)
{
    struct tg_error err;
    assert_int_equal(tg_graph_freeze(graph, &err), 0);
    assert_int_equal(tg_run_create(runtime, graph, NULL, &run, &err), 0);
    assert_int_equal(tg_run_start(run, &err), 0);
    assert_int_equal(tg_run_wait(run, &err), 0);
}

struct heard {
    int n, n_passed;
    char text[700]; /* the last one */
};

static void on_result(void *user, const struct tgi_check *check, bool passed, const char *text)
{
    struct heard *h = user;
    assert_ptr_equal(check, &graph->space->checks[h->n]);
    h->n++;
    h->n_passed += passed;
    snprintf(h->text, sizeof h->text, "%s", text);
}

/* Evaluates one check alone. */
static int verify(struct tgi_check check, const char *expected_text)
{
    struct heard h = {0};
    struct tg_error err = {0};
    graph->space->n_checks = 0;
    assert_int_equal(tgi_graph_add_check(graph, &check, NULL), 0);
    int rc = tgi_verify(graph, run, on_result, &h, &err);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.n_passed, rc == 0);
    assert_true(rc == err.status);
    if (rc)
        assert_string_equal(h.text, err.text);
    if (!strstr(h.text, expected_text))
        fail_msg("\"%s\" does not say \"%s\"", h.text, expected_text);
    return rc;
}

static struct tgi_check check_of(enum tgi_check_kind kind, tg_buffer_id buffer, uint32_t n_values,
                                 const double *values)
{
    return (struct tgi_check){.kind = kind,
                              .buffer = buffer,
                              .tile = TG_NONE,
                              .n_values = n_values,
                              .values = values,
                              .is_expected = true,
                              .site = TG_NONE};
}

static void elements_are_held_against_values(void **state)
{
    (void)state;
    static const double two[] = {2}, iota[] = {0, 1, 2, 3, 4, 5, 6, 7}, first_tile[] = {0, 1};
    add("c", TG_I32, 2, 0, 0, 0, NULL, TG_INIT_FILL);
    graph->space->buffers[0].init_value = 2;
    add("x", TG_F32, 2, 0, 2, 2, NULL, TG_INIT_IOTA);
    run_graph();
    assert_int_equal(verify(check_of(TGI_CHECK_EQUALS, 0, 1, two), "c: all elements as expected (2)"), 0);
    assert_int_equal(verify(check_of(TGI_CHECK_EQUALS, 1, 8, iota), "all elements as expected (8)"), 0);
    assert_int_equal(
        verify(check_of(TGI_CHECK_EQUALS, 1, 1, two), "x[0,0] element (0): expected 2, found 0; 7 differ"),
        TG_E_VERIFY);
    struct tgi_check c = check_of(TGI_CHECK_EQUALS, 1, 2, first_tile);
    c.tile = 0;
    assert_int_equal(verify(c, "as expected"), 0);
    c.tile = 3;
    assert_int_equal(verify(c, "x[1,1] element (0): expected 0, found 6; 2 differ"), TG_E_VERIFY);
    assert_int_equal(verify(check_of(TGI_CHECK_EQUALS, 1, 3, iota), "3 values to compare with \"x\""),
                     TG_E_SHAPE_MISMATCH);
    c.tile = 4;
    assert_int_equal(verify(c, "tile 4 of \"x\""), TG_E_INDEX_RANGE);
    assert_int_equal(verify(check_of(TGI_CHECK_EQUALS, 2, 1, two), "buffer 2"), TG_E_UNKNOWN_BUFFER);
}

static void close_uses_both_tolerances(void **state)
{
    (void)state;
    static const double near[] = {100.5}, infinite[] = {INFINITY};
    add("x", TG_F64, 3, 0, 0, 0, NULL, TG_INIT_FILL);
    graph->space->buffers[0].init_value = 100;
    run_graph();
    struct tgi_check c = check_of(TGI_CHECK_CLOSE, 0, 1, near);
    c.rtol = 0.006;
    assert_int_equal(verify(c, "close"), 0);
    c.rtol = 0.004;
    assert_int_equal(verify(c, "expected 100.5, found 100, off by 0.5"), TG_E_VERIFY);
    c.atol = 0.1;
    assert_int_equal(verify(c, "close"), 0);
    c = check_of(TGI_CHECK_CLOSE, 0, 1, infinite);
    c.rtol = 0.5;
    assert_int_equal(verify(c, "expected inf"), TG_E_VERIFY);
    ((double *)tg_run_tile(run, 0, 0))[1] = NAN;
    c = check_of(TGI_CHECK_CLOSE, 0, 1, near);
    c.atol = 1e9;
    assert_int_equal(verify(c, "element (1): expected 100.5, found nan"), TG_E_VERIFY);
}

static void limits_and_finiteness_notice_single_elements(void **state)
{
    (void)state;
    static const double one[] = {1};
    add("x", TG_F32, 4, 0, 2, 2, NULL, TG_INIT_FILL);
    graph->space->buffers[0].init_value = 1;
    add("c", TG_C64, 2, 0, 0, 0, NULL, TG_INIT_ZERO);
    run_graph();
    float *tile = tg_run_tile(run, 0, 2);
    assert_int_equal(verify(check_of(TGI_CHECK_MIN, 0, 1, one), "at least 1 (16)"), 0);
    assert_int_equal(verify(check_of(TGI_CHECK_MAX, 0, 1, one), "at most 1 (16)"), 0);
    tile[3] = 0.5f;
    assert_int_equal(verify(check_of(TGI_CHECK_MIN, 0, 1, one),
                            "x[1,0] element (3): expected at least 1, found 0.5; 1 fail"),
                     TG_E_VERIFY);
    tile[3] = 1.5f;
    assert_int_equal(verify(check_of(TGI_CHECK_MAX, 0, 1, one), "expected at most 1, found 1.5"),
                     TG_E_VERIFY);
    struct tgi_check finite = check_of(TGI_CHECK_FINITE, 0, 0, NULL), infinite = finite;
    infinite.is_expected = false;
    assert_int_equal(verify(finite, "x: all elements finite (16)"), 0);
    assert_int_equal(verify(infinite, "expected some element that is not finite"), TG_E_VERIFY);
    tile[3] = NAN;
    assert_int_equal(verify(finite, "x[1,0] element (3): expected a finite number, found nan; 1"),
                     TG_E_VERIFY);
    assert_int_equal(verify(infinite, "not finite, as expected"), 0);
    assert_int_equal(verify(check_of(TGI_CHECK_MIN, 0, 1, one), "nan"), TG_E_VERIFY);
    assert_int_equal(verify(check_of(TGI_CHECK_MAX, 0, 1, one), "nan"), TG_E_VERIFY);
    finite.buffer = 1;
    assert_int_equal(verify(finite, "finite"), 0);
    ((float *)tg_run_tile(run, 1, 0))[3] = INFINITY;
    assert_int_equal(verify(finite, "c element (1), imaginary part"), TG_E_VERIFY);
    assert_int_equal(verify(check_of(TGI_CHECK_MIN, 1, 1, one), "no order"), TG_E_DTYPE_UNSUPPORTED);
}

static void files_are_compared_with(void **state)
{
    (void)state;
    char folder[] = "/tmp/test-verify-XXXXXX", path[64], header[TGI_NPY_MAX_HEADER];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/x.npy", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    size_t length = tgi_npy_format_header(TG_F64, 3, (int64_t[]){2, 2, 2}, header);
    assert_int_equal(fwrite(header, 1, length, f), length);
    for (int i = 0; i < 8; i++)
        assert_int_equal(fwrite(&(double){i}, 8, 1, f), 1);
    assert_int_equal(fclose(f), 0);
    add("x", TG_F32, 2, 0, 2, 2, NULL, TG_INIT_IOTA);
    graph->space->folder = folder;
    run_graph();
    struct tgi_check c = check_of(TGI_CHECK_EQUALS, 0, 0, NULL);
    c.file = "x.npy";
    assert_int_equal(verify(c, "as expected (8)"), 0);
    ((float *)tg_run_tile(run, 0, 3))[1] = 8;
    assert_int_equal(verify(c, "x[1,1] element (1): expected 7, found 8"), TG_E_VERIFY);
    c.file = "missing.npy";
    assert_int_equal(verify(c, "missing.npy"), TG_E_OPEN);
    c.file = "../x.npy";
    assert_int_equal(verify(c, "leaves"), TG_E_PATH_ESCAPE);
    graph->space->folder = NULL;
    unlink(path);
    rmdir(folder);
}

static uint64_t checksum_of(uint32_t tile)
{
    struct tg_error err;
    uint64_t sum;
    assert_int_equal(tgi_verify_checksum(graph, run, 0, tile, &sum, &err), 0);
    return sum;
}

static void checksums_depend_on_every_byte(void **state)
{
    (void)state;
    static const uint8_t present[4] = {1, 1, 0, 1};
    add("x", TG_U8, 11, 0, 2, 2, present, TG_INIT_RANDOM);
    run_graph();
    uint64_t all = checksum_of(TG_NONE), tile = checksum_of(1);
    assert_true(all != tile);
    struct tgi_check c = check_of(TGI_CHECK_CHECKSUM, 0, 0, NULL);
    c.checksum = all;
    assert_int_equal(verify(c, "checksum 0x"), 0);
    for (uint32_t t = 0; t < 4; t++)
        for (int i = 0; present[t] && i < 11; i++) {
            ((uint8_t *)tg_run_tile(run, 0, t))[i] ^= 0x10;
            assert_true(checksum_of(TG_NONE) != all);
            assert_int_equal(verify(c, "expected checksum"), TG_E_VERIFY);
            ((uint8_t *)tg_run_tile(run, 0, t))[i] ^= 0x10;
        }
    c.tile = 1;
    c.checksum = tile;
    assert_int_equal(verify(c, "checksum"), 0);
    /* One word, by hand: (basis ^ word) * prime. */
    memset(tg_run_tile(run, 0, 1), 0, 11);
    assert_true(checksum_of(1) ==
                UINT64_C(0xcbf29ce484222325) * UINT64_C(0x100000001b3) * UINT64_C(0x100000001b3));
}

/* ---- Residuals ----------------------------------------------------------------------------*/

enum { N = 6, NT = 3, ORDER = N * NT };

static double get(tg_buffer_id id, int i, int j)
{
    const struct tgi_buffer *b = &graph->space->buffers[id];
    const void *tile = tg_run_tile(run, id, (uint32_t)(i / N * NT + j / N));
    size_t at = (size_t)(i % N * N + j % N);
    return b->dtype == TG_F64 ? ((const double *)tile)[at] : ((const float *)tile)[at];
}

static void put(tg_buffer_id id, int i, int j, double value)
{
    const struct tgi_buffer *b = &graph->space->buffers[id];
    void *tile = tg_run_tile(run, id, (uint32_t)(i / N * NT + j / N));
    size_t at = (size_t)(i % N * N + j % N);
    if (b->dtype == TG_F64)
        ((double *)tile)[at] = value;
    else
        ((float *)tile)[at] = (float)value;
}

/* Textbook factorisations in place, element by element. */
static void factor_cholesky(tg_buffer_id id)
{
    for (int j = 0; j < ORDER; j++)
        for (int i = j; i < ORDER; i++) {
            double sum = get(id, i, j);
            for (int k = 0; k < j; k++)
                sum -= get(id, i, k) * get(id, j, k);
            put(id, i, j, i == j ? sqrt(sum) : sum / get(id, j, j));
        }
}

static void factor_lu(tg_buffer_id id)
{
    for (int k = 0; k < ORDER; k++)
        for (int i = k + 1; i < ORDER; i++) {
            put(id, i, k, get(id, i, k) / get(id, k, k));
            for (int j = k + 1; j < ORDER; j++)
                put(id, i, j, get(id, i, j) - get(id, i, k) * get(id, k, j));
        }
}

static void residuals_pass_for_true_factors_and_no_others(void **state)
{
    (void)state;
    static const uint8_t lower[NT * NT] = {1, 0, 0, 1, 1, 0, 1, 1, 1};
    static const struct {
        enum tg_dtype dtype;
        bool is_lu;
        double limit;
    } cases[] = {{TG_F64, false, 1e-14}, {TG_F32, false, 1e-6}, {TG_F64, true, 1e-14}, {TG_F32, true, 1e-6}};
    for (uint32_t k = 0; k < 4; k++) {
        char name[8];
        snprintf(name, sizeof name, "A%u", k);
        add(name, cases[k].dtype, N, N, NT, NT, cases[k].is_lu ? NULL : lower, TG_INIT_SPD);
    }
    run_graph();
    for (uint32_t k = 0; k < 4; k++) {
        struct tgi_check c = check_of(TGI_CHECK_RESIDUAL, k, 1, &cases[k].limit);
        c.method = cases[k].is_lu ? "lu" : "cholesky";
        assert_int_equal(verify(c, "expected at most"), TG_E_VERIFY); /* nothing factored yet */
        if (cases[k].is_lu)
            factor_lu(k);
        else
            factor_cholesky(k);
        assert_int_equal(verify(c, "residual"), 0);
        if (!cases[k].is_lu) { /* what lies above the diagonal of a diagonal tile is left alone */
            put(k, 1, 3, 1e9);
            assert_int_equal(verify(c, "residual"), 0);
        }
        for (int i = 0; i < ORDER; i++)
            for (int j = 0; j < (cases[k].is_lu ? ORDER : i + 1); j++) {
                double kept = get(k, i, j);
                put(k, i, j, kept + 1e-3);
                if (verify(c, "residual") != TG_E_VERIFY)
                    fail_msg("an error in (%d,%d) of %s is not noticed", i, j, c.method);
                put(k, i, j, kept);
            }
        put(k, 7, 2, NAN);
        assert_int_equal(verify(c, "nan"), TG_E_VERIFY);
    }
}

static void residuals_that_cannot_be_computed_fail(void **state)
{
    (void)state;
    static const double limit[] = {1e-12};
    add("vector", TG_F64, 4, 0, 0, 0, NULL, TG_INIT_IOTA);
    add("complex", TG_C128, 4, 4, 2, 2, NULL, TG_INIT_ZERO);
    add("unknown", TG_F64, 4, 4, 2, 2, NULL, TG_INIT_NONE);
    add("square", TG_F64, 4, 4, 0, 0, NULL, TG_INIT_SPD);
    run_graph();
    struct tgi_check c = check_of(TGI_CHECK_RESIDUAL, 0, 1, limit);
    c.method = "cholesky";
    assert_int_equal(verify(c, "square"), TG_E_SHAPE_MISMATCH);
    c.buffer = 1;
    assert_int_equal(verify(c, "c128"), TG_E_DTYPE_UNSUPPORTED);
    c.buffer = 2;
    assert_int_equal(verify(c, "without an init"), TG_E_UNINITIALISED);
    c.buffer = 3;
    c.method = "qr";
    assert_int_equal(verify(c, "\"qr\""), TG_E_BAD_VALUE);
}

static void every_check_is_told_and_the_first_failure_is_the_error(void **state)
{
    (void)state;
    static const double one[] = {1}, two[] = {2}, three[] = {3};
    add("x", TG_F64, 2, 0, 0, 0, NULL, TG_INIT_FILL);
    graph->space->buffers[0].init_value = 2;
    const struct tgi_check checks[] = {
        check_of(TGI_CHECK_EQUALS, 0, 1, two), check_of(TGI_CHECK_EQUALS, 0, 1, three),
        check_of(TGI_CHECK_EQUALS, 0, 1, one), check_of(TGI_CHECK_MIN, 0, 1, one)};
    for (int i = 0; i < 4; i++)
        assert_int_equal(tgi_graph_add_check(graph, &checks[i], NULL), 0);
    run_graph();
    struct heard h = {0};
    struct tg_error err;
    assert_int_equal(tgi_verify(graph, run, on_result, &h, &err), TG_E_VERIFY);
    assert_int_equal(h.n, 4);
    assert_int_equal(h.n_passed, 2);
    assert_non_null(strstr(err.text, "expected 3, found 2"));
    assert_int_equal(tgi_verify(graph, run, NULL, NULL, NULL), TG_E_VERIFY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(elements_are_held_against_values),
        TEST(close_uses_both_tolerances),
        TEST(limits_and_finiteness_notice_single_elements),
        TEST(files_are_compared_with),
        TEST(checksums_depend_on_every_byte),
        TEST(residuals_pass_for_true_factors_and_no_others),
        TEST(residuals_that_cannot_be_computed_fail),
        TEST(every_check_is_told_and_the_first_failure_is_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
