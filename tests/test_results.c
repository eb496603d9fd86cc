/* Buffers written after a run, and two runs compared. */
#include "io/results.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/npy.h"
#include "io/path.h"

static char folder[64];
static struct tg_runtime *runtime;
static struct tg_graph *graph;

static int setup(void **state)
{
    (void)state;
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    options.n_workers = 1;
    strcpy(folder, "/tmp/test-results-XXXXXX");
    return mkdtemp(folder) && tg_runtime_create(&options, &runtime, NULL) == 0 &&
                   tg_graph_create("g", &graph, NULL) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    tg_graph_destroy(graph);
    tg_runtime_destroy(runtime);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static tg_buffer_id add(const char *name, enum tg_dtype dtype, int64_t n, int64_t nt, int64_t mt,
                        const uint8_t *present, const char *save)
{
    struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id;
    spec.name = name;
    spec.dtype = dtype;
    spec.n_dims = 1;
    spec.shape[0] = n;
    spec.n_tile_dims = nt ? 2 : 0;
    spec.tiles[0] = nt;
    spec.tiles[1] = mt;
    spec.present = present;
    spec.init = TG_INIT_IOTA;
    assert_int_equal(tg_graph_add_buffer(graph, &spec, &id, NULL), 0);
    graph->space->buffers[id].save = save;
    return id;
}

static struct tg_run *run_graph(void)
{
    struct tg_run *run;
    struct tg_error err;
    if (!graph->is_frozen)
        assert_int_equal(tg_graph_freeze(graph, &err), 0);
    assert_int_equal(tg_run_create(runtime, graph, NULL, &run, &err), 0);
    assert_int_equal(tg_run_start(run, &err), 0);
    assert_int_equal(tg_run_wait(run, &err), 0);
    return run;
}

static int n_files(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void on_saved(void *user, const struct tgi_buffer *b, const char *path)
{
    (void)b;
    strcat(user, path);
    strcat(user, " ");
}

static void assert_file(const char *name, uint32_t n_dims, const int64_t *shape, const double *values,
                        size_t n)
{
    struct tgi_npy npy;
    struct tg_error err;
    double *found;
    if (tgi_npy_read_doubles(folder, name, &npy, &found, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(npy.n_dims, n_dims);
    assert_memory_equal(npy.shape, shape, n_dims * sizeof *shape);
    assert_int_equal(npy.n_elems, n);
    assert_memory_equal(found, values, n * sizeof *values);
    free(found);
}

static void buffers_are_saved_whole_or_by_tile(void **state)
{
    (void)state;
    static const uint8_t present[4] = {1, 0, 1, 1};
    add("x", TG_F32, 3, 0, 0, NULL, "x.npy");
    add("w", TG_I32, 2, 2, 2, present, "w.npy");
    add("t", TG_F64, 2, 2, 2, present, "t_{i}-{j}.npy");
    add("unsaved", TG_F64, 2, 2, 2, NULL, NULL);
    struct tg_run *run = run_graph();
    struct tg_error err;
    char saved[256] = "";
    if (tgi_results_save(graph, run, folder, on_saved, saved, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(saved, "x.npy w.npy t_0-0.npy t_1-0.npy t_1-1.npy ");
    assert_int_equal(n_files(), 5);
    assert_file("x.npy", 1, (int64_t[]){3}, (double[]){0, 1, 2}, 3);
    assert_file("w.npy", 3, (int64_t[]){2, 2, 2}, (double[]){0, 1, 0, 0, 4, 5, 6, 7}, 8);
    assert_file("t_1-0.npy", 1, (int64_t[]){2}, (double[]){4, 5}, 2);
    assert_int_equal(tgi_results_save(graph, run, folder, NULL, NULL, &err),
                     0); /* again, over the old ones */
    assert_int_equal(n_files(), 5);
    tg_run_destroy(run);
}

static void what_is_saved_initialises_a_buffer_again(void **state)
{
    (void)state;
    for (int t = 0; t < TG_N_DTYPES; t++) {
        char name[16], path[32];
        snprintf(name, sizeof name, "b%d", t);
        snprintf(path, sizeof path, "b%d.npy", t);
        tg_buffer_id id = add(name, (enum tg_dtype)t, 5, 2, 3, NULL, NULL);
        graph->space->buffers[id].init = TG_INIT_RANDOM;
        graph->space->buffers[id].save = strdup(path);
    }
    struct tg_run *run = run_graph();
    assert_int_equal(tgi_results_save(graph, run, folder, NULL, NULL, NULL), 0);
    for (uint32_t t = 0; t < TG_N_DTYPES; t++) {
        const struct tgi_buffer *b = &graph->space->buffers[t];
        struct tg_buffer_spec spec = TG_BUFFER_SPEC_INIT;
        struct tgi_file_init *init;
        struct tg_error err;
        _Alignas(16) char tile[80];
        spec.dtype = b->dtype;
        spec.n_dims = b->n_dims;
        spec.n_tile_dims = b->n_tile_dims;
        memcpy(spec.shape, b->shape, sizeof spec.shape);
        memcpy(spec.tiles, b->tiles, sizeof spec.tiles);
        if (tgi_file_init_create(folder, b->save, 0, &spec, &init, &err) != 0)
            fail_msg("%s", err.text);
        for (uint32_t k = 0; k < 6; k++) {
            assert_int_equal(tgi_file_init_tile(init, k, tile, b->tile_bytes, &err), 0);
            assert_memory_equal(tile, tg_run_tile(run, t, k), b->tile_bytes);
        }
        tgi_file_init_destroy(init);
        free((char *)b->save);
    }
    tg_run_destroy(run);
}

static void patterns_that_make_no_sense_write_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {"t_{i}.npy", "t_{j}.npy", "t_{k}{i}{j}.npy", "{x}.npy",
                                      "{",         "{i",        "{i}{j}{"};
    add("first", TG_F32, 3, 0, 0, NULL, "first.npy");
    tg_buffer_id id = add("t", TG_F32, 2, 2, 2, NULL, NULL);
    struct tg_run *run = run_graph();
    struct tg_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        graph->space->buffers[id].save = bad[i];
        assert_int_equal(tgi_results_save(graph, run, folder, NULL, NULL, &err), TG_E_BAD_VALUE);
        assert_non_null(strstr(err.text, "\"t\""));
    }
    assert_int_equal(n_files(), 0);
    graph->space->buffers[id].save = "../escape-{i}-{j}.npy";
    assert_int_equal(tgi_results_save(graph, run, folder, NULL, NULL, &err), TG_E_PATH_ESCAPE);
    graph->space->buffers[id].save = "/tmp/escape.npy";
    assert_int_equal(tgi_results_save(graph, run, folder, NULL, NULL, &err), TG_E_PATH_ESCAPE);
    graph->space->buffers[id].save = "no/such/folder.npy";
    assert_int_equal(tgi_results_save(graph, run, folder, NULL, NULL, &err), TG_E_WRITE);
    assert_int_equal(n_files(), 1); /* first.npy alone, no temporary file */
    tg_run_destroy(run);
}

static void the_first_difference_is_named_and_all_are_counted(void **state)
{
    (void)state;
    tg_buffer_id x = add("x", TG_F64, 5, 2, 2, NULL, NULL), c = add("c", TG_C64, 2, 0, 0, NULL, NULL);
    tg_buffer_id t = add("temporary", TG_F64, 2, 0, 0, NULL, NULL), n = add("n", TG_I64, 2, 0, 0, NULL, NULL);
    graph->space->buffers[t].is_temp = true;
    struct tg_run *a = run_graph(), *b = run_graph();
    struct tg_error err = {0};
    *(double *)tg_run_tile(a, t, 0) = 99; /* does not count */
    assert_int_equal(tgi_results_compare(graph, a, b, 0, 0, &err), 0);
    double *tile = tg_run_tile(a, x, 2);
    double kept = tile[3];
    tile[3] = nextafter(kept, 100);
    tile[4] += 0.5;
    assert_int_equal(tgi_results_compare(graph, a, b, 0, 0, &err), TG_E_DIFFERS);
    assert_non_null(
        strstr(err.text, "x[1,0] element (3) is 13.000000000000002, sequentially 13; 2 elements"));
    assert_int_equal(tgi_results_compare(graph, a, b, 1e-6, 0, &err), TG_E_DIFFERS);
    assert_non_null(strstr(err.text, "x[1,0] element (4) is 14.5, sequentially 14; 1 element"));
    assert_int_equal(tgi_results_compare(graph, a, b, 0.1, 0, &err), 0);
    assert_int_equal(tgi_results_compare(graph, a, b, 0, 0.5, &err), 0);
    memcpy(tile, tg_run_tile(b, x, 2), 40);
    ((float *)tg_run_tile(a, c, 0))[3] = 2; /* an imaginary part */
    assert_int_equal(tgi_results_compare(graph, a, b, 1e-3, 1e-3, &err), TG_E_DIFFERS);
    assert_non_null(strstr(err.text, "c element (1) is 1+2i, sequentially 1+0i"));
    ((float *)tg_run_tile(a, c, 0))[3] = 0;
    ((int64_t *)tg_run_tile(a, n, 0))[0] = INT64_MAX;
    ((int64_t *)tg_run_tile(b, n, 0))[0] = INT64_MAX - 1;
    assert_int_equal(tgi_results_compare(graph, a, b, 0, 0, &err), TG_E_DIFFERS);
    assert_non_null(strstr(err.text, "9223372036854775807, sequentially 9223372036854775806"));
    assert_int_equal(tgi_results_compare(graph, a, b, 0.5, 0.5, &err), TG_E_DIFFERS); /* integers are not rounded */
    tg_run_destroy(a);
    tg_run_destroy(b);
}

static void rounding_is_relative_to_the_largest_element(void **state)
{
    (void)state;
    tg_buffer_id x = add("x", TG_F32, 2, 2, 2, NULL, NULL), n = add("n", TG_I32, 2, 0, 0, NULL, NULL);
    tg_buffer_id z = add("z", TG_F64, 1, 0, 0, NULL, NULL);
    struct tg_run *a = run_graph(), *b = run_graph();
    struct tg_error err;
    float *small = tg_run_tile(a, x, 0);
    ((float *)tg_run_tile(a, x, 3))[1] = ((float *)tg_run_tile(b, x, 3))[1] = 1000;
    float kept = small[0];
    small[0] = kept + 0.05f;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), 0);
    small[0] = kept + 0.2f;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), TG_E_DIFFERS);
    small[0] = NAN;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), TG_E_DIFFERS);
    small[0] = kept;
    /* What is left of 1000 - 1000. */
    *(double *)tg_run_tile(a, z, 0) = 5e-8;
    *(double *)tg_run_tile(b, z, 0) = -4e-8;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), 0);
    *(double *)tg_run_tile(a, z, 0) = 5e-7;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), TG_E_DIFFERS);
    *(double *)tg_run_tile(a, z, 0) = 0;
    *(double *)tg_run_tile(b, z, 0) = -0.0;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), 0);
    ((int32_t *)tg_run_tile(a, n, 0))[0] = 1000000;
    ((int32_t *)tg_run_tile(b, n, 0))[0] = 1000001;
    assert_int_equal(tgi_results_compare_rounded(graph, a, b, &err), TG_E_DIFFERS);
    tg_run_destroy(a);
    tg_run_destroy(b);
}

static void nan_equals_nan_and_nothing_else(void **state)
{
    (void)state;
    tg_buffer_id x = add("x", TG_F64, 1, 0, 0, NULL, NULL);
    struct tg_run *a = run_graph(), *b = run_graph();
    struct tg_error err;
    double *p = tg_run_tile(a, x, 0), *q = tg_run_tile(b, x, 0);
    *p = NAN;
    assert_int_equal(tgi_results_compare(graph, a, b, 1e9, 1e9, &err), TG_E_DIFFERS);
    *q = -NAN;
    assert_int_equal(tgi_results_compare(graph, a, b, 1e-9, 0, &err), 0);
    assert_int_equal(tgi_results_compare(graph, a, b, 0, 0, &err), TG_E_DIFFERS); /* other bits */
    *p = INFINITY;
    *q = -INFINITY;
    assert_int_equal(tgi_results_compare(graph, a, b, 0.5, 0, &err), TG_E_DIFFERS);
    *p = 1;
    assert_int_equal(tgi_results_compare(graph, a, b, 0.5, 0, &err), TG_E_DIFFERS);
    *p = -INFINITY;
    assert_int_equal(tgi_results_compare(graph, a, b, 0.5, 0, &err), 0);
    tg_run_destroy(a);
    tg_run_destroy(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buffers_are_saved_whole_or_by_tile),
        TEST(what_is_saved_initialises_a_buffer_again),
        TEST(patterns_that_make_no_sense_write_nothing),
        TEST(the_first_difference_is_named_and_all_are_counted),
        TEST(rounding_is_relative_to_the_largest_element),
        TEST(nan_equals_nan_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
