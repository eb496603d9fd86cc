/* tgraph import: graphs of other tools. */
#include "io/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/fmt.h"
#include "io/import.h"
#include "io/npy.h"
#include "io/output.h"
#include "io/trsv_graph.h"

static int write_graph(const struct tgi_workflow *w, const struct tgi_workflow_options *options,
                       const char *path, struct tg_error *err)
{
    struct tgi_output out;
    int status = tgi_output_open(&out, path, err);
    if (status != TG_OK)
        return status;
    status = tgi_workflow_write(w, options, out.file, err);
    if (status == TG_OK)
        return tgi_output_finish(&out, err);
    tgi_output_abandon(&out);
    return status;
}

static void describe(const struct tgi_cli *cli, const struct tgi_workflow *w)
{
    double seconds = 0, bytes = 0;
    for (uint32_t t = 0; t < w->n_tasks; t++)
        seconds += w->tasks[t].seconds;
    for (uint32_t f = 0; f < w->n_files; f++)
        bytes += w->files[f].bytes;
    tgi_cli_detail(cli, "%u tasks, %u edges, %u files of %.4g MiB; recorded runtimes add up to %.6g s",
                   w->n_tasks, w->n_edges, w->n_files, bytes / (1 << 20), seconds);
}

static int import_workflow(const struct tgi_cli *cli, const struct tgi_source *source, enum tgi_import_format format,
                           struct tg_error *err)
{
    const char *path = tgi_cli_text(cli, "output", "-");
    struct tgi_workflow_options options = {
        .is_spin = tgi_cli_has(cli, "spin"),
        .scale = tgi_cli_float(cli, "scale", 1),
        .is_lines = tgi_cli_has(cli, "jsonl") || tgi_fmt_form_of(path) == TGI_FMT_LINES,
    };
    struct tgi_workflow w;
    tgi_workflow_init(&w, cli->operands[0]);
    int status = tgi_import_workflow(&w, source, format, err);
    if (status == TG_OK) {
        describe(cli, &w);
        status = write_graph(&w, &options, path, err);
    }
    tgi_workflow_fini(&w);
    return status;
}

/* ---- Matrices -----------------------------------------------------------------------------*/

/* The right-hand side: a file, or that of a solution between 1 and 2 in which neighbours differ, so that a wrong one is noticed. */
static int read_rhs(const struct tgi_cli *cli, const struct tgi_sparse *l, double **b_p, struct tg_error *err)
{
    const char *path = tgi_cli_text(cli, "rhs", NULL);
    struct tgi_npy npy;
    if (path) {
        int status = tgi_npy_read_doubles(NULL, path, &npy, b_p, err);
        if (status != TG_OK || (npy.n_elems == l->n && npy.dtype != TG_C64 && npy.dtype != TG_C128))
            return status;
        free(*b_p);
        return tgi_error(err, TG_E_DATA_SIZE, "%s should hold %u real numbers, as many as the matrix has rows", path, l->n);
    }
    double *x = malloc(l->n * sizeof *x), *b = malloc(l->n * sizeof *b);
    for (uint32_t i = 0; x && i < l->n; i++)
        x[i] = 1 + i * 40503u % 65536 / 65536.;
    if (x && b)
        tgi_sparse_multiply(l, x, *b_p = b);
    else
        free(b);
    free(x);
    return x && b ? TG_OK : tgi_error_memory(err, "making a right-hand side");
}

static int import_matrix(const struct tgi_cli *cli, const struct tgi_source *source, struct tg_error *err)
{
    const char *path = tgi_cli_text(cli, "output", "-");
    struct tgi_trsv_options options = {
        .rows_per_task = (uint32_t)tgi_cli_int(cli, "rows-per-task", 0),
        .is_lines = tgi_cli_has(cli, "jsonl") || tgi_fmt_form_of(path) == TGI_FMT_LINES,
    };
    struct tgi_trsv_counts counts;
    struct tgi_sparse l;
    double *b;
    int status = tgi_mtx_read(cli->operands[0], source->text, source->size, tgi_cli_has(cli, "lower"), &l, err);
    if (status != TG_OK)
        return status;
    status = read_rhs(cli, &l, &b, err);
    if (status == TG_OK) {
        status = tgi_trsv_write(&l, b, &options, path, &counts, err);
        free(b);
    }
    if (status == TG_OK)
        tgi_cli_detail(cli, "%u rows, %llu entries; %u tasks for %u groups of %u rows; the longest path has %u groups", l.n,
                       (unsigned long long)l.n_entries, counts.n_tasks, counts.n_groups, counts.rows_per_task, counts.n_levels);
    tgi_sparse_fini(&l);
    return status;
}

/* Options of the other kind of input; NULL: none was given. */
static const char *foreign_option(const struct tgi_cli *cli, bool is_matrix)
{
    static const char *const of_matrix[] = {"rows-per-task", "lower", "rhs", NULL}, *const of_workflow[] = {"spin", "scale", NULL};
    for (const char *const *name = is_matrix ? of_workflow : of_matrix; *name; name++)
        if (tgi_cli_has(cli, *name))
            return *name;
    return NULL;
}

int tgi_cli_import(struct tgi_cli *cli)
{
    struct tg_error err;
    struct tgi_source source;
    enum tgi_import_format format = (enum tgi_import_format)tgi_import_format_of(tgi_cli_text(cli, "from", "auto"));
    if (tgi_cli_has(cli, "scale") && !tgi_cli_has(cli, "spin"))
        return tgi_cli_usage(cli, "--scale goes with --spin");
    int status = tgi_import_open(cli->operands[0], &format, &source, &err);
    if (status != TG_OK)
        return tgi_cli_error(cli, &err);
    bool is_matrix = format == TGI_IMPORT_MTX;
    const char *foreign = foreign_option(cli, is_matrix);
    int answer = TGI_EXIT_OK;
    if (foreign)
        answer = tgi_cli_usage(cli, "--%s goes with %s, and %s is a %s", foreign, is_matrix ? "workflows" : "matrices", cli->operands[0],
                               is_matrix ? "matrix" : "workflow");
    else if (is_matrix && strcmp(tgi_cli_text(cli, "output", "-"), "-") == 0)
        answer = tgi_cli_usage(cli, "the graph of a matrix reads files that stand beside it: name it with -o");
    else if ((is_matrix ? import_matrix(cli, &source, &err) : import_workflow(cli, &source, format, &err)) != TG_OK)
        answer = tgi_cli_error(cli, &err);
    tgi_source_fini(&source);
    return answer;
}
