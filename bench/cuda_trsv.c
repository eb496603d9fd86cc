/* Sparse triangular systems on a GPU: tasks of rows inside a resident kernel and as a CUDA graph, beside cuSPARSE's SpSV, each with its
 * data on the device, times of a solve by events around it.
 *
 *     cuda_trsv [--file L.mtx] [--what grid2|grid3|random|band|layers] [--n ROWS] [--tile ROWS-PER-TASK] [--runs N]
 *
 * Without a file matrices of about --n rows (60,000) are made: points of a plane and of a cube with their neighbours, eight entries
 * anywhere before the diagonal, eight right before it, and fifty layers whose rows name eight of the layer before.  Of a file the
 * lower triangle is taken.  Without --tile each is solved with tasks of as many rows as the importer's estimate says, and of 4.  What has
 * more than MOST_NODES tasks is not solved as a CUDA graph: making one of 60,000 nodes takes longer than all the rest.  Prints a line for each matrix and size of tasks: milliseconds a solve, nanoseconds a row, the largest error beside the solution found
 * row after row, relative to its largest element.  What cuSPARSE's analysis and our first start, planning included, take is told
 * apart.  All of it ends after LIMIT_S seconds at most. */
#include "bench/cuda_bare.h"
#include "bench/scratch.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/trsv_graph.h"
#include "sched/offload_graph.h"

enum { LIMIT_S = 60, N_WARM = 3, MOST_NODES = 20000 };

struct solved {
    double ms, first_ms, error; /* ms 0: not measured */
    char why[200];
};

struct system {
    char name[64];
    struct tgi_sparse l;
    double *b, *x, largest; /* of x */
};

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p)
        bench_die("out of memory");
    return p;
}

/* ---- Matrices -----------------------------------------------------------------------------*/

struct maker {
    struct tgi_sparse_entry *entries;
    uint64_t n, cap;
    uint64_t dice;
};

static uint32_t draw(struct maker *m, uint32_t n)
{
    m->dice = m->dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((m->dice >> 33) % n);
}

static void add(struct maker *m, uint32_t row, uint32_t col, double value)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 1 << 16;
        m->entries = realloc(m->entries, m->cap * sizeof *m->entries);
        if (!m->entries)
            bench_die("out of memory");
    }
    m->entries[m->n++] = (struct tgi_sparse_entry){row, col, 0, value};
}

/* `n_each` different columns of first .. first + n - 1. */
static void add_some(struct maker *m, uint32_t row, uint32_t first, uint32_t n, uint32_t n_each)
{
    uint32_t taken[8];
    n_each = n_each < n ? n_each : n;
    for (uint32_t k = 0; k < n_each; k++) {
        bool is_new;
        do {
            taken[k] = first + draw(m, n);
            is_new = true;
            for (uint32_t j = 0; j < k; j++)
                is_new = is_new && taken[j] != taken[k];
        } while (!is_new);
        add(m, row, taken[k], -0.1);
    }
}

static void add_row(struct maker *m, const char *what, uint32_t n, uint32_t edge, uint32_t row)
{
    if (strcmp(what, "grid2") == 0 || strcmp(what, "grid3") == 0) {
        if (row % edge)
            add(m, row, row - 1, -1);
        if (row / edge % edge)
            add(m, row, row - edge, -1);
        if (what[4] == '3' && row / edge / edge)
            add(m, row, row - edge * edge, -1);
    } else if (strcmp(what, "random") == 0 && row) {
        add_some(m, row, 0, row, 8);
    } else if (strcmp(what, "band") == 0 && row) {
        add_some(m, row, row < 8 ? 0 : row - 8, row < 8 ? row : 8, 8);
    } else if (strcmp(what, "layers") == 0 && row >= n / 50) {
        add_some(m, row, (row / (n / 50) - 1) * (n / 50), n / 50, 8);
    }
    add(m, row, row, 6);
}

static void make(struct system *s, const char *what, uint32_t n)
{
    struct maker m = {.dice = 1};
    uint32_t edge = 1;
    if (what[0] == 'g') {
        while (what[4] == '3' ? (edge + 1) * (edge + 1) * (edge + 1) <= n : (edge + 1) * (edge + 1) <= n)
            edge++;
        n = what[4] == '3' ? edge * edge * edge : edge * edge;
    }
    for (uint32_t row = 0; row < n; row++)
        add_row(&m, what, n, edge, row);
    must(tgi_sparse_create(n, m.entries, m.n, what, &s->l, &err));
    free(m.entries);
    snprintf(s->name, sizeof s->name, "%s", what);
}

static void read_file(struct system *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (tgi_mtx_read_file(path, true, &s->l, &err))
        bench_die("%s:%u:%u: %s", err.file, err.line, err.column, err.text);
    snprintf(s->name, sizeof s->name, "%s", slash ? slash + 1 : path);
}

static void set_sides(struct system *s)
{
    s->b = allocate(s->l.n * sizeof *s->b);
    s->x = allocate(s->l.n * sizeof *s->x);
    for (uint32_t i = 0; i < s->l.n; i++)
        s->x[i] = 1 + i * 40503u % 65536 / 65536.;
    tgi_sparse_multiply(&s->l, s->x, s->b);
    tgi_sparse_solve(&s->l, s->b, s->x);
    s->largest = 0;
    for (uint32_t i = 0; i < s->l.n; i++)
        s->largest = fmax(s->largest, fabs(s->x[i]));
}

static double error_of(const struct system *s, uint32_t i, double x) { return fabs(x - s->x[i]) / s->largest; }
/* NaN is the largest. */
static double larger(double error, double other) { return isnan(error) || other <= error ? error : other; }

/* ---- tgraph -------------------------------------------------------------------------------*/

/* Its arrays, whose files stand beside it, are read when a run starts. */
static struct tg_graph *make_graph(const struct system *s, uint32_t rows_per_task, struct tgi_trsv_counts *counts)
{
    const char *path = bench_scratch_path("l.jsonl");
    const struct tgi_trsv_options options = {rows_per_task, true};
    struct tg_graph *g;
    must(tgi_trsv_write(&s->l, s->b, &options, path, counts, &err));
    if (tg_graph_load(path, NULL, &g, &err) || tg_graph_freeze(g, &err))
        bench_die("%s:%u:%u: %s", err.file, err.line, err.column, err.text);
    return g;
}

static struct solved measure_tgraph(const struct system *s, const struct tg_graph *g, enum tg_executor executor, uint32_t n_runs)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    struct bench_sample sample = {{0}, 0};
    struct solved m = {0};
    struct tg_runtime *runtime;
    struct tg_run *run;
    const char *why = NULL;
    options.n_workers = 1;
    options.devices = "cuda:0";
    run_options.keep_data = true; /* the matrix stays on the device */
    run_options.executor = executor;
    must(tg_runtime_create(&options, &runtime, &err));
    must(tg_run_create(runtime, g, &run_options, &run, &err));
    must(tgi_offload_graph_time(run, &err));
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        uint64_t begin = bench_now_ns();
        double ns = 0;
        must(tg_run_execute(run, &err));
        if (i == 0)
            m.first_ms = (double)(bench_now_ns() - begin) / 1e6;
        if (i >= N_WARM && tgi_offload_graph_elapsed(run, &ns, NULL) == 0)
            bench_sample_add(&sample, (uint64_t)ns);
    }
    if (tg_run_executor(run, &why) != executor)
        snprintf(m.why, sizeof m.why, "%s", why ? why : "another executor");
    else if (sample.count)
        m.ms = (double)bench_sample_median(&sample) / 1e6;
    tg_buffer_id x = tg_graph_find_buffer(g, "x");
    uint32_t width = (uint32_t)g->space->buffers[x].shape[0];
    for (uint32_t i = 0; i < s->l.n; i++) {
        const double *tile = tg_run_tile(run, x, i / width);
        m.error = larger(m.error, tile ? error_of(s, i, tile[i % width]) : NAN);
    }
    tg_run_destroy(run);
    tg_runtime_destroy(runtime);
    return m;
}

/* ---- cuSPARSE -----------------------------------------------------------------------------*/

/* The generic interface by hand, as cuSPARSE 11.3 and later have it; values of its enumerations. */
enum { INDEX_32 = 2, FROM_ZERO = 0, REAL_F64 = 1, AS_IT_IS = 0, FILL_MODE = 0, DIAG_TYPE = 1, USUAL = 0 };
struct cusparse {
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*create_csr)(void **matrix, int64_t rows, int64_t cols, int64_t n, CUdeviceptr at, CUdeviceptr col, CUdeviceptr val,
                      int at_type, int col_type, int base, int type);
    int (*set)(void *matrix, int attribute, void *value, size_t bytes);
    int (*create_vector)(void **vector, int64_t n, CUdeviceptr values, int type);
    int (*create_solve)(void **solve);
    int (*buffer_size)(void *handle, int op, const void *alpha, void *matrix, void *x, void *y, int type, int how, void *solve,
                       size_t *bytes);
    int (*analyse)(void *handle, int op, const void *alpha, void *matrix, void *x, void *y, int type, int how, void *solve,
                   CUdeviceptr buffer);
    int (*solve)(void *handle, int op, const void *alpha, void *matrix, void *x, void *y, int type, int how, void *solve);
};

static bool load_cusparse(struct cusparse *c)
{
    void *library = dlopen("libcusparse.so.12", RTLD_NOW);
    library = library ? library : dlopen("libcusparse.so.11", RTLD_NOW);
    const struct {
        const char *name;
        void *slot;
    } calls[] = {{"cusparseCreate", &c->create},           {"cusparseDestroy", &c->destroy},
                 {"cusparseCreateCsr", &c->create_csr},    {"cusparseSpMatSetAttribute", &c->set},
                 {"cusparseCreateDnVec", &c->create_vector}, {"cusparseSpSV_createDescr", &c->create_solve},
                 {"cusparseSpSV_bufferSize", &c->buffer_size}, {"cusparseSpSV_analysis", &c->analyse},
                 {"cusparseSpSV_solve", &c->solve}};
    for (size_t i = 0; library && i < sizeof calls / sizeof *calls; i++) {
        void *address = dlsym(library, calls[i].name);
        if (!address)
            return false;
        memcpy(calls[i].slot, &address, sizeof address);
    }
    return library != NULL;
}

static void check(int status, const char *what)
{
    if (status)
        bench_die("cuSPARSE: %s gives %d", what, status);
}

static CUdeviceptr upload(const void *data, size_t bytes)
{
    CUdeviceptr p;
    DO(cuMemAlloc, (&p, bytes));
    if (data)
        DO(cuMemcpyHtoD, (p, data, bytes));
    return p;
}

/* Row starts as cuSPARSE takes them. */
static CUdeviceptr upload_starts(const struct tgi_sparse *l)
{
    int32_t *at = allocate(((size_t)l->n + 1) * sizeof *at);
    for (uint32_t i = 0; i <= l->n; i++)
        at[i] = (int32_t)l->at[i];
    CUdeviceptr p = upload(at, ((size_t)l->n + 1) * sizeof *at);
    free(at);
    return p;
}

static double time_solves(const struct cusparse *c, void *handle, void *matrix, void *b, void *x, void *solve, uint32_t n_runs)
{
    struct bench_sample sample = {{0}, 0};
    const double one = 1;
    CUevent begin, end;
    DO(cuEventCreate, (&begin, CU_EVENT_DEFAULT));
    DO(cuEventCreate, (&end, CU_EVENT_DEFAULT));
    for (uint32_t i = 0; i < N_WARM + n_runs; i++) {
        float ms;
        DO(cuEventRecord, (begin, NULL));
        check(c->solve(handle, AS_IT_IS, &one, matrix, b, x, REAL_F64, USUAL, solve), "SpSV_solve");
        DO(cuEventRecord, (end, NULL));
        DO(cuEventSynchronize, (end));
        DO(cuEventElapsedTime, (&ms, begin, end));
        if (i >= N_WARM)
            bench_sample_add(&sample, (uint64_t)(ms * 1e6f));
    }
    api->cuEventDestroy(begin);
    api->cuEventDestroy(end);
    return (double)bench_sample_median(&sample) / 1e6;
}

static struct solved measure_cusparse(const struct system *s, uint32_t n_runs)
{
    struct cusparse c;
    struct solved m = {0};
    void *handle, *matrix, *b, *x, *solve;
    size_t bytes = 0, n = s->l.n;
    int lower = 0, non_unit = 0;
    const double one = 1;
    bare_open(0);
    if (!load_cusparse(&c) || c.create(&handle)) {
        snprintf(m.why, sizeof m.why, "there is no cuSPARSE of use");
        bare_close(0);
        return m;
    }
    CUdeviceptr at = upload_starts(&s->l), col = upload(s->l.cols, s->l.n_entries * sizeof *s->l.cols);
    CUdeviceptr val = upload(s->l.vals, s->l.n_entries * sizeof(double)), in = upload(s->b, n * sizeof(double));
    CUdeviceptr out = upload(NULL, n * sizeof(double));
    check(c.create_csr(&matrix, s->l.n, s->l.n, (int64_t)s->l.n_entries, at, col, val, INDEX_32, INDEX_32, FROM_ZERO, REAL_F64), "CreateCsr");
    check(c.set(matrix, FILL_MODE, &lower, sizeof lower), "SpMatSetAttribute");
    check(c.set(matrix, DIAG_TYPE, &non_unit, sizeof non_unit), "SpMatSetAttribute");
    check(c.create_vector(&b, s->l.n, in, REAL_F64), "CreateDnVec");
    check(c.create_vector(&x, s->l.n, out, REAL_F64), "CreateDnVec");
    check(c.create_solve(&solve), "SpSV_createDescr");
    check(c.buffer_size(handle, AS_IT_IS, &one, matrix, b, x, REAL_F64, USUAL, solve, &bytes), "SpSV_bufferSize");
    CUdeviceptr buffer = upload(NULL, bytes + 16);
    uint64_t begin = bench_now_ns();
    check(c.analyse(handle, AS_IT_IS, &one, matrix, b, x, REAL_F64, USUAL, solve, buffer), "SpSV_analysis");
    DO(cuCtxSynchronize, ());
    m.first_ms = (double)(bench_now_ns() - begin) / 1e6;
    m.ms = time_solves(&c, handle, matrix, b, x, solve, n_runs);
    double *got = allocate(n * sizeof *got);
    DO(cuMemcpyDtoH, (got, out, n * sizeof *got));
    for (uint32_t i = 0; i < s->l.n; i++)
        m.error = larger(m.error, error_of(s, i, got[i]));
    free(got);
    c.destroy(handle);
    CUdeviceptr all[] = {at, col, val, in, out, buffer};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        api->cuMemFree(all[i]);
    bare_close(0);
    return m;
}

/* ---- The table ----------------------------------------------------------------------------*/

static void print_solved(const struct solved *m, uint32_t n)
{
    if (m->ms > 0)
        printf("  %9.4f %8.2f %8.1e", m->ms, m->ms * 1e6 / n, m->error);
    else
        printf("  %9s %8s %8s", "-", "-", "-");
}

static void compare(struct system *s, const struct bench_options *o)
{
    static const uint32_t usual[] = {0, 4};
    set_sides(s);
    struct solved theirs = measure_cusparse(s, o->n_runs);
    for (size_t i = 0; i < (o->tile ? 1 : sizeof usual / sizeof *usual); i++) {
        struct tgi_trsv_counts counts;
        struct tg_graph *g = make_graph(s, o->tile ? o->tile : usual[i], &counts);
        struct solved resident = measure_tgraph(s, g, TG_EXECUTOR_RESIDENT, o->n_runs);
        struct solved graph = {0};
        if (counts.n_tasks <= MOST_NODES)
            graph = measure_tgraph(s, g, TG_EXECUTOR_GRAPH, o->n_runs);
        printf("%-14s %8u %9llu %4u %7u %7u", s->name, s->l.n, (unsigned long long)s->l.n_entries, counts.rows_per_task, counts.n_tasks,
               counts.n_levels);
        print_solved(&resident, s->l.n);
        print_solved(&graph, s->l.n);
        print_solved(&theirs, s->l.n);
        if (resident.ms > 0 && theirs.ms > 0)
            printf("  %6.2f", theirs.ms / resident.ms);
        printf("  first %.0f, analysis %.1f ms%s%s%s%s%s%s\n", resident.first_ms, theirs.first_ms, *resident.why ? "; resident: " : "",
               resident.why, *graph.why ? "; graph: " : "", graph.why, *theirs.why ? "; " : "", theirs.why);
        fflush(stdout);
        tg_graph_destroy(g);
    }
    tgi_sparse_fini(&s->l);
    free(s->b);
    free(s->x);
}

int main(int argc, char **argv)
{
    static const char *const whats[] = {"grid2", "grid3", "random", "band", "layers"};
    struct bench_options o = bench_parse(argc, argv);
    struct system s;
    bool is_known = !o.what;
    uint32_t n = o.n ? o.n : 60000;
    alarm(LIMIT_S);
    for (size_t i = 0; i < sizeof whats / sizeof *whats; i++)
        is_known = is_known || strcmp(o.what, whats[i]) == 0;
    if (!is_known || n < 100)
        bench_die("--what is grid2, grid3, random, band or layers, --n at least 100");
    printf("%-14s %8s %9s %4s %7s %7s  %27s  %27s  %27s  %6s\n", "", "", "", "", "", "", "resident: ms, ns a row, err", "graph: ms, ns a row, error",
           "SpSV: ms, ns a row, error", "SpSV /");
    printf("%-14s %8s %9s %4s %7s %7s  %27s  %27s  %27s  %6s\n", "matrix", "rows", "entries", "each", "tasks", "levels", "", "", "", "ours");
    if (o.file) {
        read_file(&s, o.file);
        compare(&s, &o);
    }
    for (size_t i = 0; !o.file && i < sizeof whats / sizeof *whats; i++)
        if (!o.what || strcmp(o.what, whats[i]) == 0) {
            make(&s, whats[i], n);
            compare(&s, &o);
        }
    return 0;
}
