/* tgraph export: the graph as a picture, or in another form. */
#include "io/cli/recording.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/model.h"
#include "io/dot.h"
#include "io/layout.h"
#include "io/mermaid.h"
#include "io/output.h"
#include "io/write_json.h"

#define MAX_NODES 1500
#define TIME_LIMIT_NS (20 * (uint64_t)1000000000)

struct job {
    const struct tgi_cli *cli;
    const struct tg_graph *graph;
    struct tgi_picture picture;
    const char *type, *path;
    char remark[256];
};

static int choose_view(struct job *job)
{
    const struct tgi_cli *cli = job->cli;
    const char *view = tgi_cli_text(cli, "view", "auto");
    uint64_t max_nodes = (uint64_t)tgi_cli_int(cli, "max-nodes", MAX_NODES);
    uint64_t n_nodes = tgi_graph_count_all(job->graph);
    bool is_mermaid = strcmp(job->type, "mermaid") == 0;
    if (job->picture.shown) {
        n_nodes = 0;
        for (uint32_t t = 0; t < job->graph->n_tasks; t++)
            n_nodes += job->picture.shown[t];
    }
    if (strcmp(view, "auto") != 0 && strcmp(view, "graph") != 0 && strcmp(view, "types") != 0)
        return tgi_cli_usage(cli, "--view %s is there for records of runs (run --record), and \"%s\" is none", view, cli->operands[0]);
    if (strcmp(view, "types") == 0) {
        job->picture.view = TGI_VIEW_TYPES;
    } else if (strcmp(view, "auto") == 0 && n_nodes > max_nodes) {
        if (is_mermaid)
            return tgi_cli_fail(cli, TG_E_LIMIT,
                                "%llu tasks are more than a flowchart can show (--max-nodes %llu); "
                                "use --focus, or -t svg",
                                (unsigned long long)n_nodes, (unsigned long long)max_nodes);
        job->picture.view = TGI_VIEW_TYPES;
        snprintf(job->remark, sizeof(job->remark),
                 "more than %llu tasks: a node for each kernel, edges counted",
                 (unsigned long long)max_nodes);
        job->picture.remark = job->remark;
        tgi_cli_note(
            cli,
            "%llu tasks are more than --max-nodes %llu: drawn with a node for each kernel; --view graph "
            "draws them all, --focus TASK a part",
            (unsigned long long)n_nodes, (unsigned long long)max_nodes);
    }
    if (job->picture.view == TGI_VIEW_TYPES && is_mermaid)
        return tgi_cli_usage(cli, "--view types is there for dot, svg, png and pdf");
    return 0;
}

static int apply_focus(struct job *job, uint8_t **shown_p)
{
    const struct tgi_cli *cli = job->cli;
    const char *name = tgi_cli_text(cli, "focus", NULL);
    if (!name)
        return tgi_cli_has(cli, "hops") ? tgi_cli_usage(cli, "--hops goes with --focus") : 0;
    struct tg_error err;
    tg_task_id task = tg_graph_find_task(job->graph, name);
    if (task == TG_NONE && name[0] == '#') {
        char *end;
        unsigned long number = strtoul(name + 1, &end, 10);
        if (end != name + 1 && *end == '\0' && number < job->graph->n_tasks)
            task = (tg_task_id)number;
    }
    const char *close = task == TG_NONE ? tgi_suggest_task(job->graph, name) : NULL;
    if (close)
        return tgi_cli_fail(cli, TG_E_UNKNOWN_TASK, "there is no task \"%.200s\"; did you mean \"%.200s\"?", name, close);
    if (task == TG_NONE)
        return tgi_cli_fail(cli, TG_E_UNKNOWN_TASK, "there is no task \"%.200s\"; #0 is the first, whatever its name", name);
    uint32_t hops = (uint32_t)tgi_cli_int(cli, "hops", 2);
    if (tgi_picture_focus(job->graph, task, hops, shown_p, &err))
        return tgi_cli_error(cli, &err);
    job->picture.shown = *shown_p;
    uint64_t n = 0;
    for (uint32_t t = 0; t < job->graph->n_tasks; t++)
        n += (*shown_p)[t];
    snprintf(job->remark, sizeof(job->remark), "%llu task%s within %u edge%s of %.150s", (unsigned long long)n,
             n == 1 ? "" : "s", hops, hops == 1 ? "" : "s", name);
    job->picture.remark = job->remark;
    return 0;
}

static int write_dot(void *user, FILE *to, struct tg_error *err)
{
    const struct job *job = user;
    if (strcmp(job->type, "mermaid") == 0)
        return tgi_mermaid_write(job->graph, &job->picture, to, err);
    return tgi_dot_write(job->graph, &job->picture, to, err);
}

static int write_picture(struct job *job)
{
    struct tgi_output out;
    struct tg_error err;
    bool is_binary = strcmp(job->type, "png") == 0 || strcmp(job->type, "pdf") == 0;
    if (is_binary && (!job->path || strcmp(job->path, "-") == 0) && isatty(STDOUT_FILENO))
        return tgi_cli_usage(job->cli, "a %s does not belong on a terminal; use -o FILE", job->type);
    if (tgi_output_open(&out, job->path, &err))
        return tgi_cli_error(job->cli, &err);
    bool needs_layout = is_binary || strcmp(job->type, "svg") == 0;
    uint64_t limit_ns = tgi_cli_time_ns(job->cli, "time-limit", TIME_LIMIT_NS);
    int rc = needs_layout ? tgi_layout_write(write_dot, job, job->type, limit_ns, out.file, &err)
                          : write_dot(job, out.file, &err);
    if (rc == 0)
        rc = tgi_output_finish(&out, &err);
    tgi_output_abandon(&out);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

static int write_graph_file(const struct job *job)
{
    struct tg_error err;
    struct tgi_output out;
    enum tgi_json_form form = strcmp(job->type, "jsonl") == 0 ? TGI_JSON_LINES : TGI_JSON_DOCUMENT;
    if (tgi_output_open(&out, job->path, &err))
        return tgi_cli_error(job->cli, &err);
    int rc = tgi_graph_write_json(job->graph, form, out.file, &err);
    if (rc == 0)
        rc = tgi_output_finish(&out, &err);
    tgi_output_abandon(&out);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

int tgi_cli_export(struct tgi_cli *cli)
{
    struct job job = {.cli = cli, .path = tgi_cli_text(cli, "output", NULL)};
    const char *group = tgi_cli_text(cli, "group", "none");
    job.type = tgi_cli_text(cli, "type", NULL);
    if (!job.type)
        job.type = job.path ? tgi_cli_picture_type(job.path) : "dot";
    if (!job.type)
        return tgi_cli_usage(cli, "\"%s\" does not tell the form; use --type", job.path);
    job.picture.group = strcmp(group, "kernel") == 0 ? TGI_GROUP_KERNEL
                        : strcmp(group, "prefix") == 0 ? TGI_GROUP_PREFIX : TGI_GROUP_NONE;
    job.picture.marks_critical = tgi_cli_has(cli, "critical-path");

    if (tgi_cli_is_recording(cli->operands[0]))
        return tgi_cli_export_recording(cli, job.type, job.path);
    if (strcmp(job.type, "chrome") == 0 || strcmp(job.type, "pftrace") == 0 || strcmp(job.type, "csv") == 0 ||
        strcmp(job.type, "html") == 0)
        return tgi_cli_usage(cli, "--type %s is there for records of runs (run --record), and \"%s\" is none", job.type,
                             cli->operands[0]);
    struct tg_graph *graph;
    int rc = tgi_cli_load(cli, cli->operands[0], TGI_LOAD_AND_FREEZE, &graph);
    if (rc)
        return rc;
    job.graph = graph;
    uint8_t *shown = NULL;
    if (strcmp(tgi_cli_text(cli, "view", "auto"), "cuda-graph") == 0) {
        rc = tgi_cli_export_program(cli, graph, job.type, job.path);
    } else if (strncmp(job.type, "json", 4) == 0) {
        rc = write_graph_file(&job);
    } else {
        rc = apply_focus(&job, &shown);
        if (rc == 0)
            rc = choose_view(&job);
        if (rc == 0)
            rc = write_picture(&job);
    }
    free(shown);
    tg_graph_destroy(graph);
    return rc;
}
