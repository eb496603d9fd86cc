/* See trsv_graph.h, and kernels/trsv.c for what a task is given.
 *
 * A group has the same number of rows as a tile of x.  The tiles that its entries name are put in order and numbered; the first
 * sixteen are inputs of one task, the next of another, and so on, as a task has no more.  The last task also has the entries within
 * the group and the diagonals: it solves, those before only subtract.  Entries are copied in the order in which tasks read them. */
#include "io/trsv_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "graph/vec.h"
#include "io/fmt.h"
#include "io/npy.h"
#include "io/output.h"
#include "io/text.h"

enum { N_INPUTS = 16, MOST_ROWS = 32 };

struct task {
    uint32_t group, part; /* of a group's tasks; the last one solves */
    uint32_t first_in, n_in;
    int64_t at, first, n;
    bool is_last;
};

struct plan {
    const struct tgi_sparse *l;
    uint32_t width, n_groups; /* rows of a group */
    struct task *tasks;
    uint32_t n_tasks, cap_tasks;
    uint32_t *ins; /* groups that tasks name */
    uint32_t n_ins, cap_ins;
    int64_t *start;
    uint32_t n_start, cap_start;
    int32_t *cols;
    double *vals;
    uint64_t n_entries; /* placed so far */
    uint32_t *level;    /* by group */
    uint32_t *number;   /* by group, while one is planned: its place among those that are named, from 1 */
    uint64_t *next;     /* by row of the group: the first entry that is not placed */
};

static void fini(struct plan *p)
{
    free(p->tasks);
    free(p->ins);
    free(p->start);
    free(p->cols);
    free(p->vals);
    free(p->level);
    free(p->number);
    free(p->next);
}

/* ---- Planning -----------------------------------------------------------------------------*/

static uint32_t rows_of(const struct plan *p, uint32_t group)
{
    uint32_t left = p->l->n - group * p->width;
    return left < p->width ? left : p->width;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The groups before this one that its entries name, in order, behind the others in ins.  False without memory. */
static bool find_inputs(struct plan *p, uint32_t group, uint32_t *n_p)
{
    const struct tgi_sparse *l = p->l;
    uint32_t begin = p->n_ins, row0 = group * p->width;
    for (uint32_t r = row0; r < row0 + rows_of(p, group); r++)
        for (uint64_t e = l->at[r]; l->cols[e] < row0; e++) {
            uint32_t other = l->cols[e] / p->width;
            if (p->number[other])
                continue;
            if (!tgi_vec_reserve(&p->ins, &p->cap_ins, (uint64_t)p->n_ins + 1, sizeof *p->ins))
                return false;
            p->number[other] = 1;
            p->ins[p->n_ins++] = other;
            p->level[group] = p->level[other] + 1 > p->level[group] ? p->level[other] + 1 : p->level[group];
        }
    *n_p = p->n_ins - begin;
    if (*n_p)
        qsort(p->ins + begin, *n_p, sizeof *p->ins, by_number);
    for (uint32_t i = 0; i < *n_p; i++)
        p->number[p->ins[begin + i]] = i + 1;
    return true;
}

static void place(struct plan *p, uint64_t e, uint32_t tile, uint32_t col)
{
    p->vals[p->n_entries] = p->l->vals[e];
    p->cols[p->n_entries++] = (int32_t)(tile << 16 | col % p->width);
}

/* The entries of row r that belong to inputs up to number `most`, from 1, and to the group itself if it is the last task. */
static void place_row(struct plan *p, const struct task *t, uint32_t r, uint32_t most)
{
    const struct tgi_sparse *l = p->l;
    uint32_t row0 = t->group * p->width;
    uint64_t *e = &p->next[r - row0];
    p->start[p->n_start++] = (int64_t)p->n_entries;
    for (; l->cols[*e] < row0 && p->number[l->cols[*e] / p->width] <= most; ++*e)
        place(p, *e, p->number[l->cols[*e] / p->width] - t->part * N_INPUTS, l->cols[*e]);
    p->start[p->n_start++] = (int64_t)p->n_entries;
    for (; t->is_last && *e < l->at[r + 1]; ++*e)
        place(p, *e, 0, l->cols[*e]);
}

static bool plan_task(struct plan *p, uint32_t group, uint32_t part, uint32_t first_in, uint32_t n_left)
{
    uint32_t m = rows_of(p, group), row0 = group * p->width;
    if (!tgi_vec_reserve(&p->tasks, &p->cap_tasks, (uint64_t)p->n_tasks + 1, sizeof *p->tasks) ||
        !tgi_vec_reserve(&p->start, &p->cap_start, (uint64_t)p->n_start + 2 * (uint64_t)m + 1, sizeof *p->start))
        return false;
    struct task *t = &p->tasks[p->n_tasks++];
    *t = (struct task){.group = group, .part = part, .first_in = first_in, .at = p->n_start / 2, .first = (int64_t)p->n_entries};
    t->is_last = n_left <= N_INPUTS;
    t->n_in = t->is_last ? n_left : N_INPUTS;
    for (uint32_t r = row0; r < row0 + m; r++)
        place_row(p, t, r, part * N_INPUTS + t->n_in);
    p->start[p->n_start] = (int64_t)p->n_entries; /* the next task's first word, or the end */
    t->n = (int64_t)p->n_entries - t->first;
    return true;
}

static bool plan_group(struct plan *p, uint32_t group)
{
    uint32_t n, begin = p->n_ins, row0 = group * p->width, part = 0, done = 0;
    if (!find_inputs(p, group, &n))
        return false;
    for (uint32_t r = 0; r < rows_of(p, group); r++)
        p->next[r] = p->l->at[row0 + r];
    do {
        if (!plan_task(p, group, part, begin + done, n - done))
            return false;
        part++;
        done += N_INPUTS;
    } while (done < n);
    for (uint32_t i = 0; i < n; i++)
        p->number[p->ins[begin + i]] = 0;
    return true;
}

/* The longest path through groups of so many rows; level has room for each group. */
static uint32_t count_levels(const struct tgi_sparse *l, uint32_t width, uint32_t *level)
{
    uint32_t most = 0;
    for (uint32_t row = 0; row < l->n; row++) {
        uint32_t group = row / width, least = row % width ? level[group] : 1;
        for (uint64_t e = l->at[row]; l->cols[e] / width < group; e++)
            least = level[l->cols[e] / width] >= least ? level[l->cols[e] / width] + 1 : least;
        level[group] = least;
        most = least > most ? least : most;
    }
    return most;
}

/* The size of groups that should take least on a GPU, inside a resident kernel: single rows wait for elements, which is a fifth of what a
 * group waits for another; more rows save hops, until groups wait for rows that theirs do not need.  In nanoseconds: hops as they were on
 * an H100 (docs/RESIDENT.md), what a task and a row take is a guess.  0 without memory. */
static uint32_t usual_rows(const struct tgi_sparse *l)
{
    enum { SINGLE = 800, HOP = 4200, TASK = 300, ROW = 60, WORKERS = 1000 };
    uint32_t *level = malloc(l->n * sizeof *level), best = 0;
    double least = INFINITY;
    for (uint32_t rows = 1; level && rows <= MOST_ROWS; rows *= 2) {
        double path = (double)count_levels(l, rows, level) * (rows == 1 ? SINGLE : HOP + ROW * rows);
        double work = (double)((l->n - 1) / rows + 1) * (TASK + ROW * rows) / WORKERS;
        double ns = path > work ? path : work;
        best = ns < least ? rows : best;
        least = ns < least ? ns : least;
    }
    free(level);
    return best;
}

static int plan(struct plan *p, const struct tgi_trsv_options *options, struct tg_error *err)
{
    p->width = options->rows_per_task ? options->rows_per_task : usual_rows(p->l);
    if (!p->width)
        return tgi_error_memory(err, "making tasks of a matrix");
    p->width = p->width < p->l->n ? p->width : p->l->n;
    p->n_groups = (p->l->n - 1) / p->width + 1;
    p->cols = malloc(p->l->n_entries * sizeof *p->cols);
    p->vals = malloc(p->l->n_entries * sizeof *p->vals);
    p->level = calloc(p->n_groups, sizeof *p->level);
    p->number = calloc(p->n_groups, sizeof *p->number);
    p->next = malloc(p->width * sizeof *p->next);
    bool is_good = p->cols && p->vals && p->level && p->number && p->next;
    for (uint32_t g = 0; is_good && g < p->n_groups; g++)
        is_good = plan_group(p, g);
    return is_good ? 0 : tgi_error_memory(err, "making tasks of a matrix");
}

/* ---- Arrays -------------------------------------------------------------------------------*/

/* "dir/l.json" and "vals" make "dir/l.vals.npy"; malloc'ed. */
static char *beside(const char *path, const char *what)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    size_t length = dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
    char *text = malloc(length + strlen(what) + 6);
    if (text)
        sprintf(text, "%.*s.%s.npy", (int)length, path, what);
    return text;
}

static int write_array(const char *path, const char *what, enum tg_dtype type, uint32_t n_dims, const int64_t *shape, const void *data,
                       struct tg_error *err)
{
    char header[TGI_NPY_MAX_HEADER], *name = beside(path, what);
    struct tgi_output out;
    size_t n = 1, length = tgi_npy_format_header(type, n_dims, shape, header);
    int rc = name ? tgi_output_open(&out, name, err) : tgi_error_memory(err, "writing an array");
    for (uint32_t d = 0; d < n_dims; d++)
        n *= (size_t)shape[d];
    if (rc == 0) {
        fwrite(header, 1, length, out.file);
        fwrite(data, tg_dtype_size(type), n, out.file);
        rc = tgi_output_finish(&out, err); /* which also looks for earlier errors */
    }
    free(name);
    return rc;
}

/* The solution, in tiles as the graph has it; *largest_p: of its elements. */
static int write_solution(const struct plan *p, const double *b, const char *path, double *largest_p, struct tg_error *err)
{
    int64_t shape[2] = {p->n_groups, p->width};
    double *x = calloc((size_t)p->n_groups * p->width, sizeof *x);
    if (!x)
        return tgi_error_memory(err, "solving a system");
    int rc = 0;
    tgi_sparse_solve(p->l, b, x);
    *largest_p = 0;
    for (uint32_t i = 0; rc == 0 && i < p->l->n; i++) {
        *largest_p = fmax(*largest_p, fabs(x[i]));
        if (!isfinite(x[i]))
            rc = tgi_error(err, TG_E_UNSUPPORTED, "the solution is not finite, from row %u on", i + 1);
    }
    if (rc == 0)
        rc = write_array(path, "expected", TG_F64, 2, shape, x, err);
    free(x);
    return rc;
}

static int write_arrays(const struct plan *p, const double *b, const char *path, double *largest_p, struct tg_error *err)
{
    int64_t n_entries = (int64_t)p->l->n_entries, n_start = (int64_t)p->n_start + 1, n = p->l->n;
    int rc = write_solution(p, b, path, largest_p, err);
    if (rc || (rc = write_array(path, "vals", TG_F64, 1, &n_entries, p->vals, err)) != 0 ||
        (rc = write_array(path, "cols", TG_I32, 1, &n_entries, p->cols, err)) != 0 ||
        (rc = write_array(path, "start", TG_I64, 1, &n_start, p->start, err)) != 0)
        return rc;
    return write_array(path, "b", TG_F64, 1, &n, b, err);
}

/* ---- The graph ----------------------------------------------------------------------------*/

struct writer {
    const struct plan *p;
    const char *path;
    bool is_lines, is_first; /* of a list */
    struct tgi_text out;
};

/* An item of a section: in JSON Lines a line. */
static void begin(struct writer *w, const char *kind)
{
    if (w->is_lines)
        tgi_text_printf(&w->out, "{\"%s\":", kind);
    else if (!w->is_first)
        tgi_text_str(&w->out, ",");
    w->is_first = false;
}
static void end(struct writer *w) { tgi_text_str(&w->out, w->is_lines ? "}\n" : "\n"); }
static void section(struct writer *w, const char *text)
{
    w->is_first = true;
    if (!w->is_lines)
        tgi_text_str(&w->out, text);
}

static void put_file(struct writer *w, const char *what)
{
    char *name = beside(w->path, what);
    const char *slash = name ? strrchr(name, '/') : NULL;
    if (name)
        tgi_text_quoted(&w->out, slash ? slash + 1 : name);
    else
        w->out.is_out_of_memory = true;
    free(name);
}

static void put_name(struct writer *w, const char *name)
{
    tgi_text_printf(&w->out, w->is_lines ? "{\"name\":\"%s\"," : "\"%s\":{", name);
}

static void put_input(struct writer *w, const char *name, const char *type, uint64_t n)
{
    begin(w, "buffer");
    put_name(w, name);
    tgi_text_printf(&w->out, "\"dtype\":\"%s\",\"shape\":[%llu],\"init\":{\"file\":", type, (unsigned long long)n);
    put_file(w, name);
    tgi_text_str(&w->out, "}}");
    end(w);
}

static void put_buffers(struct writer *w)
{
    const struct plan *p = w->p;
    put_input(w, "vals", "f64", p->l->n_entries);
    put_input(w, "start", "i64", (uint64_t)p->n_start + 1);
    put_input(w, "cols", "i32", p->l->n_entries);
    put_input(w, "b", "f64", p->l->n);
    begin(w, "buffer");
    put_name(w, "x");
    tgi_text_printf(&w->out, "\"dtype\":\"f64\",\"shape\":[%u],\"tiles\":[%u],\"init\":\"zero\",\"save\":", p->width, p->n_groups);
    put_file(w, "x");
    tgi_text_str(&w->out, "}");
    end(w);
}

/* The group's tile, of which the last one has rows that nobody writes. */
static void put_own(struct writer *w, const struct task *t, const char *parameter)
{
    uint32_t m = rows_of(w->p, t->group);
    tgi_text_printf(&w->out, "\"%s\":\"x[%u]", parameter, t->group);
    if (m < w->p->width)
        tgi_text_printf(&w->out, "@rows(0:%u)", m);
    tgi_text_str(&w->out, "\",");
}

static void put_task(struct writer *w, const struct task *t)
{
    const struct plan *p = w->p;
    begin(w, "task");
    tgi_text_printf(&w->out, "{\"id\":\"x[%u]", t->group);
    if (!t->is_last)
        tgi_text_printf(&w->out, ".part[%u]", t->part);
    tgi_text_printf(&w->out, "\",\"kernel\":\"rows\",\"args\":{\"m\":%u,\"at\":%lld,\"first\":%lld,\"n\":%lld,", rows_of(p, t->group),
                    (long long)t->at, (long long)t->first, (long long)t->n);
    tgi_text_str(&w->out, "\"vals\":\"vals\",\"start\":\"start\",\"cols\":\"cols\",");
    if (t->part)
        put_own(w, t, "b");
    else
        tgi_text_printf(&w->out, "\"b\":\"b\",\"row0\":%llu,", (unsigned long long)t->group * p->width);
    put_own(w, t, "x");
    tgi_text_printf(&w->out, "\"width\":%u", p->width);
    if (!t->is_last)
        tgi_text_str(&w->out, ",\"solve\":0");
    for (uint32_t k = 0; k < t->n_in; k++)
        tgi_text_printf(&w->out, ",\"in%u\":\"x[%u]\"", k, p->ins[t->first_in + k]);
    tgi_text_str(&w->out, "}}");
    end(w);
}

static int put_graph(struct writer *w, double largest, struct tg_error *err)
{
    tgi_text_str(&w->out, "{\"tgraph\":\"1.0\",\"name\":\"trsv\"");
    tgi_text_str(&w->out, w->is_lines ? ",\"stream\":true}\n" : ",\n");
    section(w, "\"buffers\":{");
    put_buffers(w);
    section(w, "},\"kernels\":{");
    begin(w, "kernel");
    put_name(w, "rows");
    tgi_text_str(&w->out, "\"builtin\":\"trsv_rows\"}");
    end(w);
    section(w, "},\"tasks\":[");
    for (uint32_t i = 0; i < w->p->n_tasks; i++)
        put_task(w, &w->p->tasks[i]);
    section(w, "],\"checks\":[");
    begin(w, "check");
    tgi_text_str(&w->out, "{\"buffer\":\"x\",\"close\":{\"file\":");
    put_file(w, "expected");
    tgi_text_str(&w->out, ",\"rtol\":1e-6,\"atol\":");
    tgi_text_double(&w->out, 1e-9 * largest);
    tgi_text_str(&w->out, "}}");
    end(w);
    section(w, "]}");
    if (w->is_lines)
        tgi_text_printf(&w->out, "{\"end\":{\"tasks\":%u}}\n", w->p->n_tasks);
    return tgi_text_finish(&w->out, err);
}

static int write_graph(const struct plan *p, bool is_lines, double largest, const char *path, struct tg_error *err)
{
    struct tgi_output out;
    int rc = tgi_output_open(&out, path, err);
    if (rc)
        return rc;
    struct writer w = {.p = p, .path = path, .is_lines = is_lines, .out = {.to = is_lines ? out.file : NULL}};
    rc = put_graph(&w, largest, err);
    if (rc == 0 && !is_lines)
        rc = tgi_fmt_write(out.file, TGI_FMT_DOCUMENT, w.out.data, w.out.size, path, err);
    tgi_text_fini(&w.out);
    if (rc == 0)
        return tgi_output_finish(&out, err);
    tgi_output_abandon(&out);
    return rc;
}

int tgi_trsv_write(const struct tgi_sparse *l, const double *b, const struct tgi_trsv_options *options, const char *path,
                   struct tgi_trsv_counts *counts_p, struct tg_error *err)
{
    struct plan p = {.l = l};
    double largest = 0;
    int rc = plan(&p, options, err);
    if (rc == 0)
        rc = write_arrays(&p, b, path, &largest, err);
    if (rc == 0)
        rc = write_graph(&p, options->is_lines, largest, path, err);
    if (rc == 0) {
        *counts_p = (struct tgi_trsv_counts){p.width, p.n_groups, p.n_tasks, 1};
        for (uint32_t g = 0; g < p.n_groups; g++)
            counts_p->n_levels = p.level[g] + 1 > counts_p->n_levels ? p.level[g] + 1 : counts_p->n_levels;
    }
    fini(&p);
    return rc;
}
