/* tgraph export, of the record of a run. */
#include <string.h>
#include <unistd.h>

#include "io/cli/recording.h"
#include "io/counter_chart.h"
#include "io/gantt.h"
#include "io/layout.h"
#include "io/output.h"
#include "io/recording_export.h"
#include "io/units.h"

#define MAX_NODES 10000
#define TIME_LIMIT_NS (20 * (uint64_t)1000000000)

/* What of a record is drawn; by the names of --view. */
enum view { GANTT, SCHEDULE, TYPES, DEVICES, MEMORY, N_VIEWS };
static const char *const view_names[N_VIEWS] = {"gantt", "schedule", "types", "devices", "memory"};

struct job {
    const struct tgi_cli *cli;
    const char *type;
    enum view view;
    struct tgi_recording r;
    struct tgi_recording_paths paths;
    uint32_t max_nodes, n_shown; /* of DOT */
    uint64_t limit_ns; /* of Graphviz */
};

const char *tgi_cli_picture_type(const char *path)
{
    static const char *const types[] = {"dot", "svg", "png", "pdf", "json", "jsonl", "html", "pftrace", "csv"};
    const char *dot = path ? strrchr(path, '.') : NULL;
    if (!dot)
        return NULL;
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (strcmp(dot + 1, types[i]) == 0)
            return types[i];
    }
    if (strcmp(dot, ".gv") == 0)
        return "dot";
    return strcmp(dot, ".mmd") == 0 || strcmp(dot, ".mermaid") == 0 ? "mermaid" : NULL;
}

static bool is_type(const struct job *job, const char *type) { return strcmp(job->type, type) == 0; }

static int write_dot(void *user, FILE *to, struct tg_error *err)
{
    struct job *job = user;
    if (job->view == TYPES)
        return tgi_recording_write_types(&job->r, &job->paths, to, err);
    if (job->view == DEVICES)
        return tgi_recording_write_devices(&job->r, &job->paths, to, err);
    return tgi_recording_write_dot(&job->r, &job->paths, job->max_nodes, to, &job->n_shown, err);
}

static int write_as(struct job *job, FILE *to, struct tg_error *err)
{
    if (job->view == GANTT)
        return tgi_gantt_write(&job->r, to, err);
    if (job->view == MEMORY)
        return tgi_counter_chart_write(&job->r, to, err);
    if (is_type(job, "dot"))
        return write_dot(job, to, err);
    if (is_type(job, "chrome"))
        return tgi_recording_write_chrome(&job->r, &job->paths, to, err);
    if (is_type(job, "pftrace"))
        return tgi_recording_write_perfetto(&job->r, &job->paths, to, err);
    if (is_type(job, "html"))
        return tgi_recording_write_html(&job->r, &job->paths, to, err);
    if (is_type(job, "csv"))
        return tgi_recording_write_csv(&job->r, &job->paths, to, err);
    if (is_type(job, "json"))
        return tgi_recording_write_json(&job->r, &job->paths, to, err);
    return tgi_layout_write(write_dot, job, job->type, job->limit_ns, to, err);
}

static void say_what_is_missing(const struct job *job)
{
    char n[TGI_UNITS_SIZE], all[TGI_UNITS_SIZE];
    uint64_t n_work = 0;
    for (uint64_t t = 0; t < job->r.n_tasks; t++)
        n_work += tgi_recording_has_work(&job->r, t);
    if (job->n_shown && job->n_shown < n_work)
        tgi_cli_note(job->cli, "the critical path and the longest tasks are drawn, %s of %s; --max-nodes draws more, -t svg all",
                     tgi_format_count(job->n_shown, n, sizeof(n)), tgi_format_count(n_work, all, sizeof(all)));
}

static int export_to(struct job *job, const char *path)
{
    struct tgi_output out;
    struct tg_error err;
    if (tgi_output_open(&out, path, &err))
        return tgi_cli_error(job->cli, &err);
    int rc = write_as(job, out.file, &err);
    if (rc == 0)
        rc = tgi_output_finish(&out, &err);
    tgi_output_abandon(&out);
    if (rc)
        return tgi_cli_error(job->cli, &err);
    say_what_is_missing(job);
    return 0;
}

static bool is_picture(const struct job *job)
{
    return is_type(job, "dot") || is_type(job, "svg") || is_type(job, "png") || is_type(job, "pdf");
}

int tgi_cli_trace_check(const struct tgi_cli *cli)
{
    const char *path = tgi_cli_text(cli, "trace", NULL), *type = tgi_cli_picture_type(path);
    if (!path)
        return 0;
    if (!type)
        return tgi_cli_usage(cli, "--trace: what to write is known by the end of a name, and \"%s\" ends in none of .svg, .html, .pftrace,"
                             " .json, .csv, .dot, .png, .pdf", path);
    if (strcmp(type, "mermaid") == 0 || strcmp(type, "jsonl") == 0)
        return tgi_cli_usage(cli, "--trace: \"%s\" is a form of graphs, not of runs", path);
    return 0;
}

int tgi_cli_trace_write(const struct tgi_cli *cli, const struct tgi_recording *r, FILE *to, struct tg_error *err)
{
    struct job job = {.cli = cli, .type = tgi_cli_picture_type(tgi_cli_text(cli, "trace", NULL)), .r = *r, .max_nodes = MAX_NODES,
                      .limit_ns = TIME_LIMIT_NS};
    job.view = is_type(&job, "svg") ? GANTT : is_picture(&job) ? SCHEDULE : N_VIEWS;
    int rc = tgi_recording_paths_create(&job.r, &job.paths, err);
    if (rc)
        return rc;
    rc = write_as(&job, to, err);
    if (rc == 0)
        say_what_is_missing(&job);
    tgi_recording_paths_fini(&job.paths);
    return rc;
}

/* Gantt charts and memory we draw ourselves; the others are DOT text, in any form that Graphviz makes of it. */
static int choose_view(struct job *job)
{
    const char *name = tgi_cli_text(job->cli, "view", "auto");
    bool is_svg = is_type(job, "svg");
    job->view = is_svg ? GANTT : is_picture(job) ? SCHEDULE : N_VIEWS;
    if (strcmp(name, "auto") == 0)
        return 0;
    if (!is_picture(job))
        return tgi_cli_usage(job->cli, "--view is there for pictures, and --type %s is none", job->type);
    for (job->view = GANTT; job->view < N_VIEWS && strcmp(view_names[job->view], name) != 0;)
        job->view++;
    if (job->view == N_VIEWS)
        return tgi_cli_usage(job->cli, "--view %s is there for graphs, and \"%s\" is the record of a run", name, job->cli->operands[0]);
    if ((job->view == GANTT || job->view == MEMORY) && !is_svg)
        return tgi_cli_usage(job->cli, "--view %s is drawn as svg only; --view schedule is there as dot, svg, png and pdf", name);
    return 0;
}

int tgi_cli_export_recording(const struct tgi_cli *cli, const char *type, const char *path)
{
    struct job job = {.cli = cli, .type = type, .max_nodes = (uint32_t)tgi_cli_int(cli, "max-nodes", MAX_NODES),
                      .limit_ns = tgi_cli_time_ns(cli, "time-limit", TIME_LIMIT_NS)};
    bool is_binary = is_type(&job, "png") || is_type(&job, "pdf") || is_type(&job, "pftrace");
    if (is_type(&job, "mermaid") || is_type(&job, "jsonl"))
        return tgi_cli_usage(cli, "--type %s is there for graphs, and \"%s\" is the record of a run", type, cli->operands[0]);
    if (tgi_cli_has(cli, "focus") || tgi_cli_has(cli, "group"))
        return tgi_cli_usage(cli, "--focus and --group are there for graphs, and \"%s\" is the record of a run",
                             cli->operands[0]);
    if (is_binary && (!path || strcmp(path, "-") == 0) && isatty(STDOUT_FILENO))
        return tgi_cli_usage(cli, "a %s does not belong on a terminal; use -o FILE", type);
    int rc = choose_view(&job);
    if (rc == 0)
        rc = tgi_cli_read_recording(cli, cli->operands[0], &job.r, &job.paths);
    if (rc)
        return rc;
    rc = export_to(&job, path);
    tgi_recording_paths_fini(&job.paths);
    tgi_recording_fini(&job.r);
    return rc;
}
