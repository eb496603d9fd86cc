/* tgraph import: graphs of other tools. */
#include "io/cli/cli.h"

#include "io/fmt.h"
#include "io/import.h"
#include "io/output.h"

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

int tgi_cli_import(struct tgi_cli *cli)
{
    const char *path = tgi_cli_text(cli, "output", "-");
    struct tgi_workflow_options options = {
        .is_spin = tgi_cli_has(cli, "spin"),
        .scale = tgi_cli_float(cli, "scale", 1),
        .is_lines = tgi_cli_has(cli, "jsonl") || tgi_fmt_form_of(path) == TGI_FMT_LINES,
    };
    if (tgi_cli_has(cli, "scale") && !options.is_spin)
        return tgi_cli_usage(cli, "--scale goes with --spin");
    struct tg_error err;
    struct tgi_workflow w;
    tgi_workflow_init(&w, cli->operands[0]);
    int status =
        tgi_import_read(&w, cli->operands[0], tgi_import_format_of(tgi_cli_text(cli, "from", "auto")), &err);
    if (status == TG_OK) {
        describe(cli, &w);
        status = write_graph(&w, &options, path, &err);
    }
    tgi_workflow_fini(&w);
    return status == TG_OK ? TGI_EXIT_OK : tgi_cli_error(cli, &err);
}
