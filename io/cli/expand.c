/* tgraph expand: the graph without templates, or what it consists of. */
#include "io/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "graph/model.h"
#include "io/cli/document.h"
#include "io/critical_path.h"
#include "io/dot.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/units.h"
#include "io/utf8.h"
#include "io/write_json.h"

struct stats {
    struct tg_graph_stats graph;
    uint64_t n_all; /* tasks with those of bodies */
    uint64_t n_tiles;
    struct tgi_critical_path path;
    enum tgi_weight unit;
    double path_cost, total_cost; /* in unit, if that is not tasks */
    uint64_t *by_kind;
    struct tgi_palette palette;
};

static void stats_fini(struct stats *s)
{
    tgi_critical_path_fini(&s->path);
    tgi_palette_fini(&s->palette);
    free(s->by_kind);
}

static int stats_init(struct stats *s, const struct tg_graph *g, struct tg_error *err)
{
    double *weight = NULL;
    *s = (struct stats){.n_all = tgi_graph_count_all(g)};
    int rc = tg_graph_stats(g, &s->graph, err);
    if (rc == 0)
        rc = tgi_palette_create(g->space, &s->palette, err);
    if (rc)
        return rc;
    s->by_kind = calloc((size_t)s->palette.n_kinds + 1, sizeof(*s->by_kind));
    if (!s->by_kind) {
        stats_fini(s);
        err->status = TG_E_NO_MEMORY;
        snprintf(err->text, sizeof(err->text), "out of memory while counting tasks");
        return TG_E_NO_MEMORY;
    }
    for (uint32_t t = 0; t < g->n_tasks; t++)
        s->by_kind[tgi_palette_kind(g, &s->palette, t)]++;
    for (uint32_t i = 0; i < g->space->n_buffers; i++)
        s->n_tiles += g->space->buffers[i].n_present;
    rc = tgi_critical_path_weights(g, &s->unit, &weight, err);
    if (rc == 0)
        rc = tgi_critical_path_find(g, weight, &s->path, err);
    if (rc) {
        stats_fini(s);
        free(weight);
        return rc;
    }
    s->path_cost = s->path.length;
    for (uint32_t t = 0; weight && t < g->n_tasks; t++)
        s->total_cost += weight[t];
    free(weight);
    return 0;
}

static void print_line(const char *label, const char *name)
{
    fputs(label, stdout);
    tgi_utf8_print(stdout, name);
    putchar('\n');
}

static void print_text(const struct stats *s, const struct tg_graph *g)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    if (g->name && g->name[0])
        print_line("graph          ", g->name);
    printf("tasks          %s", tgi_format_count(s->graph.n_tasks, a, sizeof(a)));
    if (s->n_all != s->graph.n_tasks)
        printf("   (%s with bodies of control tasks)", tgi_format_count(s->n_all, a, sizeof(a)));
    printf("\nedges          %s   (%s more are implied by others)\n",
           tgi_format_count(s->graph.n_edges, a, sizeof(a)),
           tgi_format_count(s->graph.n_redundant, b, sizeof(b)));
    printf("roots, sinks   %s, %s\n", tgi_format_count(s->graph.n_roots, a, sizeof(a)),
           tgi_format_count(s->graph.n_sinks, b, sizeof(b)));
    printf("levels         %s\n", tgi_format_count(s->graph.depth, a, sizeof(a)));
    printf("width          %s\n", tgi_format_count(s->graph.width, a, sizeof(a)));
    printf("critical path  %s tasks", tgi_format_count(s->graph.depth, a, sizeof(a)));
    if (s->unit == TGI_WEIGHT_US)
        printf(", %s of %s (parallelism %.1f)", tgi_format_time(s->path_cost * 1e3, a, sizeof(a)),
               tgi_format_time(s->total_cost * 1e3, b, sizeof(b)), s->total_cost / s->path_cost);
    else if (s->unit == TGI_WEIGHT_FLOPS)
        printf(", %s of %s (parallelism %.1f)", tgi_format_scaled(s->path_cost, "flop", a, sizeof(a)),
               tgi_format_scaled(s->total_cost, "flop", b, sizeof(b)), s->total_cost / s->path_cost);
    printf("\ndata           %s tiles, %s\n", tgi_format_count(s->n_tiles, a, sizeof(a)),
           tgi_format_bytes((double)s->graph.data_bytes, b, sizeof(b)));
    printf("graph memory   %s", tgi_format_bytes((double)s->graph.memory_bytes, a, sizeof(a)));
    if (s->graph.n_tasks > 0)
        printf(", %.0f bytes a task", (double)s->graph.memory_bytes / (double)s->graph.n_tasks);
    printf("\n");
    const char *label = "kernels";
    for (uint32_t k = 0; k < s->palette.n_kinds; k++) {
        if (s->by_kind[k] == 0)
            continue;
        printf("%-14s %s ", label, tgi_format_count(s->by_kind[k], a, sizeof(a)));
        print_line("", tgi_palette_name(g->space, &s->palette, k));
        label = "";
    }
}

static void print_json(const struct stats *s, const struct tg_graph *g, const char *path)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "expand");
    tgi_json_string(&json, "file", path);
    tgi_json_string(&json, "name", g->name);
    tgi_json_uint(&json, "tasks", s->graph.n_tasks);
    tgi_json_uint(&json, "tasks_with_bodies", s->n_all);
    tgi_json_uint(&json, "edges", s->graph.n_edges);
    tgi_json_uint(&json, "redundant_edges", s->graph.n_redundant);
    tgi_json_uint(&json, "roots", s->graph.n_roots);
    tgi_json_uint(&json, "sinks", s->graph.n_sinks);
    tgi_json_uint(&json, "levels", s->graph.depth);
    tgi_json_uint(&json, "width", s->graph.width);
    tgi_json_object(&json, "critical_path");
    tgi_json_uint(&json, "tasks", s->graph.depth);
    if (s->unit == TGI_WEIGHT_US) {
        tgi_json_double(&json, "cost_ns", s->path_cost * 1e3);
        tgi_json_double(&json, "total_cost_ns", s->total_cost * 1e3);
    } else if (s->unit == TGI_WEIGHT_FLOPS) {
        tgi_json_double(&json, "cost_flop", s->path_cost);
        tgi_json_double(&json, "total_cost_flop", s->total_cost);
    }
    tgi_json_end(&json);
    tgi_json_uint(&json, "tiles", s->n_tiles);
    tgi_json_uint(&json, "data_bytes", s->graph.data_bytes);
    tgi_json_uint(&json, "graph_bytes", s->graph.memory_bytes);
    tgi_json_array(&json, "kernels");
    for (uint32_t k = 0; k < s->palette.n_kinds; k++) {
        if (s->by_kind[k] == 0)
            continue;
        tgi_json_flat_object(&json, NULL);
        tgi_json_string(&json, "kernel", tgi_palette_name(g->space, &s->palette, k));
        tgi_json_uint(&json, "tasks", s->by_kind[k]);
        tgi_json_end(&json);
    }
    tgi_json_end(&json);
    tgi_json_end(&json);
}

static int print_stats(const struct tgi_cli *cli, const struct tg_graph *g)
{
    struct stats stats;
    struct tg_error err = {0};
    if (stats_init(&stats, g, &err))
        return tgi_cli_error(cli, &err);
    if (cli->format == TGI_FORMAT_JSON)
        print_json(&stats, g, cli->operands[0]);
    else
        print_text(&stats, g);
    stats_fini(&stats);
    return 0;
}

static int write_graph(const struct tgi_cli *cli, const struct tg_graph *g)
{
    const char *path = tgi_cli_text(cli, "output", NULL);
    const char *extension = path ? strrchr(path, '.') : NULL;
    bool is_lines = tgi_cli_has(cli, "jsonl") || (extension && strcmp(extension, ".jsonl") == 0);
    struct tgi_output out;
    struct tg_error err;
    if (tgi_output_open(&out, path, &err))
        return tgi_cli_error(cli, &err);
    int rc = tgi_graph_write_json(g, is_lines ? TGI_JSON_LINES : TGI_JSON_DOCUMENT, out.file, &err);
    if (rc == 0)
        rc = tgi_output_finish(&out, &err);
    tgi_output_abandon(&out);
    return rc ? tgi_cli_error(cli, &err) : 0;
}

int tgi_cli_expand(struct tgi_cli *cli)
{
    struct tg_graph *graph;
    bool wants_stats = tgi_cli_has(cli, "stats");
    if (wants_stats && tgi_cli_has(cli, "output"))
        return tgi_cli_usage(cli, "--stats prints to stdout; it does not go with --output");
    int rc = tgi_cli_load(cli, cli->operands[0], wants_stats ? TGI_LOAD_AND_FREEZE : TGI_LOAD_ONLY, &graph);
    if (rc)
        return rc;
    rc = wants_stats ? print_stats(cli, graph) : write_graph(cli, graph);
    tg_graph_destroy(graph);
    return rc;
}
