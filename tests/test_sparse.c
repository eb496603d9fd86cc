/* Sparse triangular systems: matrices are read, mistakes in them named with their place; graphs of their rows solve them on CPUs
 * and on the stand-in driver, by streams, as a graph and inside a resident kernel, with the same bits.
 *
 * TGRAPH_TEST_SEED sets the seed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* before cmocka.h */
#include <cmocka.h>

#include <math.h>

#include "graph/error.h"
#include "io/import.h"
#include "io/trsv_graph.h"
#include "tests/device_run.h"
#include "tests/kernel_call.h"

enum { LIMIT_S = 300 };

/* ---- Reading ------------------------------------------------------------------------------*/

static int read_text(const char *text, bool is_part, struct tgi_sparse *l, struct tg_error *err)
{
    return tgi_mtx_read("m.mtx", text, strlen(text), is_part, l, err);
}

static void assert_row(const struct tgi_sparse *l, uint32_t row, uint32_t n, const uint32_t *cols, const double *vals)
{
    assert_int_equal(l->at[row + 1] - l->at[row], n);
    for (uint32_t k = 0; k < n; k++) {
        assert_int_equal(l->cols[l->at[row] + k], cols[k]);
        assert_true(l->vals[l->at[row] + k] == vals[k]);
    }
}

#define ROW(l, row, n, ...) assert_row(l, row, n, (const uint32_t[]){__VA_ARGS__}, values)

static void entries_come_in_any_order_between_comments_and_empty_lines(void **state)
{
    static const char text[] = "%%matrixmarket MATRIX coordinate Real general\r\n% one\n%\n\n 3 3 5 \n3 3 -4e0\n\n3 1 .5\n  1 1\t1\n2 2 2.\n3 2 +7\n\n";
    struct tgi_sparse l;
    struct tg_error err;
    const double values[] = {.5, 7, -4};
    (void)state;
    MUST(read_text(text, false, &l, &err));
    assert_int_equal(l.n, 3);
    assert_int_equal(l.n_entries, 5);
    ROW(&l, 2, 3, 0, 1, 2);
    assert_row(&l, 1, 1, (const uint32_t[]){1}, (const double[]){2});
    double b[] = {2, 2, 4}, x[3], back[3];
    tgi_sparse_solve(&l, b, x);
    assert_true(x[0] == 2 && x[1] == 1 && x[2] == 1);
    tgi_sparse_multiply(&l, x, back);
    assert_memory_equal(back, b, sizeof b);
    tgi_sparse_fini(&l);
}

static void integers_and_patterns_are_values_too(void **state)
{
    struct tgi_sparse l;
    struct tg_error err;
    const double values[] = {1, 1};
    (void)state;
    MUST(read_text("%%MatrixMarket matrix coordinate pattern general\n2 2 3\n2 2\n1 1\n2 1\n", false, &l, &err));
    ROW(&l, 1, 2, 0, 1);
    tgi_sparse_fini(&l);
    MUST(read_text("%%MatrixMarket matrix coordinate integer symmetric\n1 1 1\n1 1 -3", false, &l, &err));
    assert_true(l.vals[0] == -3);
    tgi_sparse_fini(&l);
}

static void the_lower_part_is_taken_on_request(void **state)
{
    struct tgi_sparse l;
    struct tg_error err;
    const double values[] = {5, 2};
    (void)state;
    MUST(read_text("%%MatrixMarket matrix coordinate real general\n2 2 4\n1 1 1\n1 2 9\n2 1 5\n2 2 2\n", true, &l, &err));
    assert_int_equal(l.n_entries, 3);
    ROW(&l, 1, 2, 0, 1);
    tgi_sparse_fini(&l);
    MUST(read_text("%%MatrixMarket matrix coordinate real symmetric\n2 2 3\n1 1 1\n2 1 5\n2 2 2\n", true, &l, &err));
    ROW(&l, 1, 2, 0, 1);
    tgi_sparse_fini(&l);
}

#define GENERAL "%%MatrixMarket matrix coordinate real general\n"

static void mistakes_are_named_with_their_place(void **state)
{
    static const struct {
        const char *text, *says;
        uint32_t line, column;
    } cases[] = {
        {"", "\"%%MatrixMarket\" should come here", 1, 1},
        {"%%MatrixMarket vector coordinate real general\n", "\"matrix\" should come here, not \"vector\"", 1, 16},
        {"%%MatrixMarket matrix array real general\n", "\"coordinate\" should come here, not \"array\"", 1, 23},
        {"%%MatrixMarket matrix coordinate complex general\n", "not \"complex\"", 1, 34},
        {"%%MatrixMarket matrix coordinate real skew-symmetric\n", "not \"skew-symmetric\"", 1, 39},
        {"%%MatrixMarket matrix coordinate real\n2 2 2\n", "general or symmetric, not \"\"", 1, 38},
        {"%%MatrixMarket matrix coordinate real general now\n", "\"now\" is too much", 1, 47},
        {GENERAL "% and nothing\n", "the file ends where the sizes should come", 3, 1},
        {GENERAL "2 2\n", "the number of entries is missing", 2, 4},
        {GENERAL "2 -2 2\n", "the number of columns should be a whole number, not \"-2\"", 2, 3},
        {GENERAL "2 2 2 2\n", "\"2\" is too much in this line", 2, 7},
        {GENERAL "3 2 4\n", "a matrix of 3 by 2 is not triangular", 2, 1},
        {GENERAL "0 0 0\n", "a matrix of 0 by 0", 2, 1},
        {GENERAL "2147483648 1 1\n", "may be at most 2147483647", 2, 1},
        {GENERAL "99999999999999999999999 1 1\n", "the number of rows is too large", 2, 1},
        {GENERAL "2 2 1000000000000\n1 1 1\n", "1000000000000 entries are announced, and the file is too short", 2, 5},
        {GENERAL "2000000000 2000000000 3\n1 1 1\n2 2 1\n3 3 1\n", "3 entries are too few for the diagonals", 2, 23},
        {GENERAL "2 2 2\n1 1 1\n", "the file ends after 1 of 2 entries", 4, 1},
        {GENERAL "1 1 1\n1 1 1\n1 1 1\n", "more entries come than the 1", 4, 1},
        {GENERAL "2 2 2\n1 1 1\n3 2 1\n", "the row is 3, and may be at most 2", 4, 1},
        {GENERAL "2 2 2\n1 1 1\n2 3 1\n", "the column is 3, and may be at most 2", 4, 3},
        {GENERAL "2 2 2\n1 1 1\n2 0 1\n", "rows and columns count from 1", 4, 1},
        {GENERAL "2 2 2\n1 1 1\n2 2\n", "the value is missing", 4, 4},
        {GENERAL "2 2 2\n1 1 1\n2 2 1 0\n", "\"0\" is too much in this line", 4, 7},
        {GENERAL "2 2 2\n1 1 1\n2 2 nan\n", "a finite number, not \"nan\"", 4, 5},
        {GENERAL "2 2 2\n1 1 1\n2 2 1e999\n", "a finite number, not \"1e999\"", 4, 5},
        {GENERAL "2 2 2\n1 1 1\n2 2 0x10\n", "not \"0x10\"", 4, 5},
        {GENERAL "2 2 2\n1 1 1\n2 2 1,5\n", "not \"1,5\"", 4, 5},
        {GENERAL "2 2 2\n1 1 1\n%2 2 1\n", "the row should be a whole number, not \"%2\"", 4, 1},
        {"%%MatrixMarket matrix coordinate integer general\n1 1 1\n1 1 1.5\n", "a finite integer, not \"1.5\"", 3, 5},
        {GENERAL "2 2 3\n1 1 1\n1 2 1\n2 2 1\n", "row 1, column 2 is above the diagonal; --lower takes", 4, 1},
        {"%%MatrixMarket matrix coordinate real symmetric\n2 2 3\n1 1 1\n1 2 1\n2 2 1\n", "above the diagonal of a symmetric matrix", 4, 1},
        {"%%MatrixMarket matrix coordinate real symmetric\n2 2 3\n1 1 1\n2 1 1\n2 2 1\n", "--lower takes its lower triangle", 1, 39},
        {GENERAL "2 2 3\n1 1 1\n2 2 1\n1 1 4\n", "row 1, column 1 is there already (line 3)", 5, 0},
        {GENERAL "3 3 3\n1 1 1\n2 1 1\n3 3 1\n", "row 2 has no diagonal", 0, 0},
        {GENERAL "3 3 3\n1 1 1\n2 2 0.0\n3 3 1\n", "the diagonal of row 2 is zero", 4, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tgi_sparse l = {0};
        struct tg_error err = {0};
        int rc = read_text(cases[i].text, false, &l, &err);
        if (rc != TG_E_IMPORT_SYNTAX || !strstr(err.text, cases[i].says))
            fail_msg("case %zu: %d, \"%s\" does not say \"%s\"", i, rc, err.text, cases[i].says);
        if (err.line != cases[i].line || err.column != cases[i].column || strcmp(err.file, "m.mtx") != 0)
            fail_msg("case %zu (%s): at %s:%u:%u", i, err.text, err.file, err.line, err.column);
        assert_null(l.at);
    }
    struct tgi_sparse l;
    struct tg_error err;
    assert_int_equal(tgi_mtx_read("m.mtx", GENERAL "1 1\0 1\n", sizeof GENERAL + 6, false, &l, &err), TG_E_IMPORT_SYNTAX);
    assert_true(err.line == 2 && err.column == 4);
}

static void a_matrix_is_told_from_workflows(void **state)
{
    char path[300];
    struct tgi_source source;
    struct tgi_workflow w;
    struct tg_error err;
    enum tgi_import_format format = TGI_IMPORT_AUTO;
    (void)state;
    snprintf(path, sizeof path, "%s/one.mtx", device_folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(GENERAL "1 1 1\n1 1 1\n", f);
    fclose(f);
    MUST(tgi_import_open(path, &format, &source, &err));
    assert_int_equal(format, TGI_IMPORT_MTX);
    tgi_source_fini(&source);
    tgi_workflow_init(&w, path);
    assert_int_equal(tgi_import_read(&w, path, TGI_IMPORT_AUTO, &err), TG_E_IMPORT_FORMAT);
    tgi_workflow_fini(&w);
}

/* ---- The kernel ---------------------------------------------------------------------------*/

/* Two rows: 3 x0 = b0 - 2 in[1]; 4 x1 = b1 - 5 x0. */
struct two_rows {
    int64_t start[7];
    int32_t cols[6];
    double vals[6], b[3], x[3], in[4];
};

static struct two_rows two_rows(void)
{
    return (struct two_rows){.start = {-1, -1, 2, 3, 4, 4, 6},
                             .cols = {-1, -1, 2 << 16 | 1, 0, 0, 1},
                             .vals = {0, 0, 2, 3, 5, 4},
                             .b = {0, 1, 7},
                             .x = {9, 9, 9},
                             .in = {0, -4, 0, 0}};
}

static struct call call_rows(struct two_rows *s)
{
    struct call c = call_of("trsv_rows", TG_F64);
    set(&c, "m", 2), set(&c, "at", 1), set(&c, "first", 2), set(&c, "n", 4), set(&c, "width", 4), set(&c, "row0", 1);
    set(&c, "solve", 1), give(&c, "vals", s->vals), give(&c, "start", s->start), give(&c, "cols", s->cols), give(&c, "b", s->b);
    give(&c, "x", s->x), give(&c, "in1", s->in);
    return c;
}

static void rows_are_solved_one_after_the_other(void **state)
{
    struct two_rows s = two_rows();
    struct call c = call_rows(&s);
    (void)state;
    assert_int_equal(run(&c), 0);
    assert_true(s.x[0] == 9 * (1. / 3) && s.x[1] == fma(-5, s.x[0], 7) / 4 && s.x[2] == 9);
    s = two_rows();
    s.start[3] = s.start[4] = 3, s.start[5] = s.start[6] = 4;
    s.cols[3] = 2 << 16;
    set(&c, "solve", 0);
    assert_int_equal(run(&c), 0);
    assert_true(s.x[0] == 9 && s.x[1] == 7 && s.x[2] == 9);
}

static void rows_that_are_no_good_fail(void **state)
{
    (void)state;
    for (int i = 0; i < 11; i++) {
        struct two_rows s = two_rows();
        struct call c = call_rows(&s);
        switch (i) {
        case 0: s.vals[5] = 0; break;
        case 1: s.vals[3] = NAN; break;
        case 2: s.cols[2] = 1 << 16; break;      /* in0 is not there */
        case 3: s.cols[2] = 17 << 16; break;
        case 4: s.cols[2] = 2 << 16 | 4; break;  /* width is 4 */
        case 5: s.cols[4] = 1; break;            /* of itself */
        case 6: s.start[2] = 1; break;           /* before the task's */
        case 7: s.start[6] = 7; break;
        case 8: s.start[3] = 1; break;
        case 9: s.start[5] = s.start[6]; break;  /* no diagonal */
        case 10: s.cols[2] = -1; break;
        }
        if (run(&c) == 0)
            fail_msg("case %d passes", i);
    }
}

/* ---- Graphs -------------------------------------------------------------------------------*/

struct shape {
    const char *name;
    uint32_t n;
    bool (*has)(struct dice *d, uint32_t n, uint32_t row, uint32_t col);
};

static bool in_band(struct dice *d, uint32_t n, uint32_t row, uint32_t col) { return (void)d, (void)n, row - col <= 7; }
static bool in_chain(struct dice *d, uint32_t n, uint32_t row, uint32_t col) { return (void)d, (void)n, row - col == 1; }
static bool never(struct dice *d, uint32_t n, uint32_t row, uint32_t col) { return (void)d, (void)n, (void)row, (void)col, false; }
/* Five points of a square grid, as IC(0) keeps them. */
static bool in_grid(struct dice *d, uint32_t n, uint32_t row, uint32_t col)
{
    uint32_t edge = (uint32_t)sqrt(n);
    (void)d;
    return row - col == edge || (row - col == 1 && row % edge);
}
static bool at_random(struct dice *d, uint32_t n, uint32_t row, uint32_t col) { return (void)n, (void)row, (void)col, roll(d, 8) == 0; }
/* One that waits for all. */
static bool is_last(struct dice *d, uint32_t n, uint32_t row, uint32_t col) { return (void)d, (void)col, row == n - 1; }

static const struct shape shapes[] = {{"band", 200, in_band},   {"chain", 150, in_chain},   {"diagonal", 100, never},
                                      {"grid", 400, in_grid},   {"random", 150, at_random}, {"last", 120, is_last},
                                      {"one", 1, never}};

static void make_matrix(const struct shape *s, uint64_t seed, struct tgi_sparse *l)
{
    struct dice d = {mix64(seed)};
    struct tgi_sparse_entry *entries = malloc((size_t)s->n * (s->n + 1) / 2 * sizeof *entries);
    uint64_t n = 0;
    struct tg_error err;
    assert_non_null(entries);
    for (uint32_t row = 0; row < s->n; row++) {
        for (uint32_t col = 0; col < row; col++)
            if (s->has(&d, s->n, row, col))
                entries[n++] = (struct tgi_sparse_entry){row, col, 0, ((double)roll(&d, 2001) - 1000) / 8000};
        entries[n++] = (struct tgi_sparse_entry){row, row, 0, 1 + roll(&d, 1000) / 999.};
    }
    MUST(tgi_sparse_create(s->n, entries, n, s->name, l, &err));
    free(entries);
}

/* The graph of a system, frozen, and the solution that is expected; the caller frees both. */
static struct tg_graph *make_graph(const struct shape *s, uint64_t seed, uint32_t rows_per_task, double **x_p)
{
    struct tgi_sparse l;
    struct tgi_trsv_counts counts;
    struct tg_graph *g;
    struct tg_error err;
    char path[300];
    make_matrix(s, seed, &l);
    double *b = malloc(l.n * sizeof *b), *x = *x_p = malloc(l.n * sizeof *x);
    assert_true(b && x);
    for (uint32_t i = 0; i < l.n; i++)
        b[i] = sin(i + 1.);
    tgi_sparse_solve(&l, b, x);
    struct tgi_trsv_options options = {rows_per_task, seed % 2};
    snprintf(path, sizeof path, "%s/%s.json%s", device_folder, s->name, options.is_lines ? "l" : "");
    MUST(tgi_trsv_write(&l, b, &options, path, &counts, &err));
    if (tg_graph_load(path, NULL, &g, &err) || tg_graph_freeze(g, &err))
        fail_msg("%s:%u:%u: %s", err.file, err.line, err.column, err.text);
    assert_int_equal(g->n_tasks, counts.n_tasks);
    assert_in_range(counts.n_levels, 1, counts.n_groups);
    if (rows_per_task == 0 && s->has == in_chain)
        assert_int_equal(counts.rows_per_task, 32);
    if (rows_per_task == 0 && s->has == in_grid) /* lines of 20: larger groups go from one line to the next */
        assert_true(counts.rows_per_task <= 4);
    if (s->has == in_chain)
        assert_int_equal(counts.n_levels, counts.n_groups);
    if (s->has == never)
        assert_int_equal(counts.n_levels, 1);
    if (s->has == in_grid && rows_per_task == 1)
        assert_int_equal(counts.n_levels, 2 * (uint32_t)sqrt(l.n) - 1);
    if (s->has == is_last && rows_per_task == 1)
        assert_int_equal(counts.n_tasks, l.n - 1 + (l.n - 2) / 16 + 1); /* the last row's tasks take 16 inputs each */
    free(b);
    tgi_sparse_fini(&l);
    return g;
}

static void assert_solved(struct tg_run *run, const struct tg_graph *g, const char *name, const double *x, uint32_t n)
{
    tg_buffer_id id = tg_graph_find_buffer(g, "x");
    uint32_t width = (uint32_t)g->space->buffers[id].shape[0];
    for (uint32_t i = 0; i < n; i++) {
        const double *tile = tg_run_tile(run, id, i / width);
        assert_non_null(tile);
        if (!(fabs(tile[i % width] - x[i]) <= 1e-12 * (1 + fabs(x[i]))))
            fail_msg("%s: x[%u] is %.17g, not %.17g", name, i, tile[i % width], x[i]);
    }
}

static void solve_on_cpus(const struct shape *s, uint64_t seed, uint32_t rows_per_task)
{
    struct tg_runtime_options ro = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    struct tg_run *run;
    struct tg_error err;
    double *x;
    struct tg_graph *g = make_graph(s, seed, rows_per_task, &x);
    uint64_t *expected = device_expected(g, false, 1);
    ro.n_workers = 2;
    ro.is_unbound = true;
    MUST(tg_runtime_create(&ro, &rt, &err));
    MUST(tg_run_create(rt, g, NULL, &run, &err));
    for (int i = 0; i < 3; i++) {
        MUST(tg_run_execute(run, &err));
        assert_solved(run, g, s->name, x, s->n);
        device_expect(run, g, expected);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    tg_graph_destroy(g);
    free(expected);
    free(x);
}

static const uint32_t rows_per_task[] = {1, 3, 32, 100, 0};

static void every_shape_is_solved_on_cpus(void **state)
{
    uint64_t seed = test_seed(1);
    (void)state;
    alarm(LIMIT_S);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof rows_per_task / sizeof *rows_per_task; k++)
            solve_on_cpus(&shapes[i], seed + i + k, rows_per_task[k]);
    alarm(0);
}

/* With the bits of sequential execution; in a resident kernel all tasks are inside. */
static void solve_on_device(const struct shape *s, uint64_t seed, uint32_t rows, enum tg_executor executor)
{
    double *x;
    struct tg_graph *g = make_graph(s, seed, rows, &x);
    uint64_t *expected = device_expected(g, false, 1);
    struct tg_error err;
    const char *why;
    const struct standin_options o = {1, 8 << 20, seed, true};
    nccl.standin_nccl_reset();
    standin.standin_reset(&o);
    struct tg_runtime *rt = device_runtime("cuda", 0);
    struct tg_run *run = device_open_run(rt, g, executor, false);
    for (int i = 0; i < 2; i++) {
        MUST(tg_run_execute(run, &err));
        enum tg_executor used = tg_run_executor(run, &why);
        if (used != executor && g->n_tasks > 1)
            fail_msg("%s, %u tasks: %s", s->name, g->n_tasks, why);
        assert_solved(run, g, s->name, x, s->n);
        device_expect(run, g, expected);
    }
    device_close_all(run, rt, g);
    free(expected);
    free(x);
}

static void every_shape_has_the_same_bits_on_a_device(void **state)
{
    static const enum tg_executor executors[] = {TG_EXECUTOR_STREAMS, TG_EXECUTOR_GRAPH, TG_EXECUTOR_RESIDENT};
    uint64_t seed = test_seed(1);
    (void)state;
    alarm(LIMIT_S);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof executors / sizeof *executors; k++)
            for (size_t r = 0; r < 3; r++)
                solve_on_device(&shapes[i], seed + r, rows_per_task[r], executors[k]);
    alarm(0);
}

static void random_matrices_are_solved_inside_a_resident_kernel(void **state)
{
    uint64_t seed = test_seed(1), n = ROUNDS(20);
    (void)state;
    alarm(LIMIT_S);
    for (uint64_t i = seed; i < seed + n; i++) {
        struct dice d = {mix64(i)};
        struct shape s = {"random", 2 + roll(&d, 120), at_random};
        solve_on_device(&s, i, 1 + roll(&d, 40), TG_EXECUTOR_RESIDENT);
    }
    alarm(0);
}

/* A diagonal that is zero cannot come from an importer, but from other arrays. */
static void a_zero_on_the_diagonal_fails_the_run_naming_the_task(void **state)
{
    static const char buffers[] = "'vals': {'dtype': 'f64', 'shape': [2], 'init': {'fill': 0}}, 'cols': {'dtype': 'i32', 'shape': [2], "
                                  "'init': {'iota': true}}, 'start': {'dtype': 'i64', 'shape': [5], 'init': {'iota': true}}, "
                                  "'x': {'dtype': 'f64', 'shape': [2], 'tiles': [2], 'init': 'zero'}";
    static const char tasks[] = "{'for': ['i in 0:2'], 'id': 'rows[{i}]', 'kernel': 'rows', 'args': {'m': 1, 'at': 0, 'first': 0, 'n': 2, "
                                "'vals': 'vals', 'start': 'start', 'cols': 'cols', 'b': 'vals', 'x': 'x[i]', 'width': 2, "
                                "'in0': 'x[i]', 'solve': 1}}";
    static const enum tg_executor executors[] = {TG_EXECUTOR_STREAMS, TG_EXECUTOR_RESIDENT};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct tg_graph *g = device_graph(buffers, ", 'rows': {'builtin': 'trsv_rows'}", tasks);
        struct tg_error err;
        device_reset(1, 1, true);
        struct tg_runtime *rt = device_runtime("cuda", 0);
        struct tg_run *run = device_open_run(rt, g, executors[k], false);
        assert_int_equal(tg_run_execute(run, &err), TG_E_TASK_FAILED);
        if (strncmp(err.task, "rows[", 5) != 0 || !strstr(err.text, executors[k] == TG_EXECUTOR_RESIDENT ? "row 1 of 1 has" : "row 1 of 1"))
            fail_msg("%s: %s", err.task, err.text);
        device_close_all(run, rt, g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_in_any_order_between_comments_and_empty_lines),
        cmocka_unit_test(integers_and_patterns_are_values_too),
        cmocka_unit_test(the_lower_part_is_taken_on_request),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(a_matrix_is_told_from_workflows),
        cmocka_unit_test(rows_are_solved_one_after_the_other),
        cmocka_unit_test(rows_that_are_no_good_fail),
        cmocka_unit_test(every_shape_is_solved_on_cpus),
        cmocka_unit_test(every_shape_has_the_same_bits_on_a_device),
        cmocka_unit_test(random_matrices_are_solved_inside_a_resident_kernel),
        cmocka_unit_test(a_zero_on_the_diagonal_fails_the_run_naming_the_task),
    };
    return cmocka_run_group_tests(tests, device_group_load, device_group_unload);
}
