/* Node ids are ours (t17); names occur in quoted labels only, where every character that Mermaid,
 * Markdown or HTML could take for markup is a numeric entity. */
#include "io/mermaid.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/critical_path.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/utf8.h"

static bool escape(FILE *to, const char *at, int length)
{
    (void)length;
    return strchr("\"#&<>`\\;%$", *at) && fprintf(to, "#%d;", *at) > 0;
}

static void write_text(FILE *to, const char *text) { tgi_utf8_write(to, text, escape); }

struct edges {
    uint32_t *critical; /* numbers of the edges on the critical path */
    uint32_t n_critical, n;
};

static void write_edges(const struct tg_graph *g, const struct tgi_picture *picture, const uint32_t *next,
                        struct edges *edges, FILE *to)
{
    for (uint32_t t = 0; t < g->n_tasks && !ferror(to); t++) {
        for (uint32_t e = g->nodes[t].succ; e < g->nodes[t + 1].succ; e++) {
            uint32_t s = g->succ[e];
            if (picture->shown && !(picture->shown[t] && picture->shown[s]))
                continue;
            fprintf(to, "  t%u %s t%u\n", t, tgi_edge_is_control(g, t, s) ? "-.->" : "-->", s);
            if (next && next[t] == s)
                edges->critical[edges->n_critical++] = edges->n;
            edges->n++;
        }
    }
}

static int write_graph(const struct tg_graph *g, const struct tgi_picture *picture,
                       const struct tgi_palette *palette, const struct tgi_critical_path *path, FILE *to,
                       struct tg_error *err)
{
    uint32_t *next = malloc(((size_t)g->n_tasks + 1) * 2 * sizeof(*next));
    if (!next)
        return tgi_error_memory(err, "a flowchart");
    struct edges edges = {next + g->n_tasks + 1, 0, 0};
    memset(next, 0xff, ((size_t)g->n_tasks + 1) * sizeof(*next));
    for (uint32_t i = 0; i + 1 < path->n_tasks; i++)
        next[path->tasks[i]] = path->tasks[i + 1];

    fputs("flowchart TD\n", to);
    if (picture->remark) {
        fputs("  %% ", to);
        write_text(to, picture->remark);
        putc('\n', to);
    }
    for (uint32_t k = 0; k < palette->n_kinds; k++)
        fprintf(to, "  classDef k%u fill:%s,stroke:#555,color:#000\n", k,
                tgi_palette_fill(g->space, palette, k));
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        char scratch[32];
        if (picture->shown && !picture->shown[t])
            continue;
        fprintf(to, "  t%u[\"", t);
        write_text(to, tgi_graph_task_name(g, t, scratch));
        fprintf(to, "\"]:::k%u\n", tgi_palette_kind(g, palette, t));
    }
    write_edges(g, picture, next, &edges, to);
    for (uint32_t i = 0; i < edges.n_critical; i++)
        fprintf(to, "%s%u", i == 0 ? "  linkStyle " : ",", edges.critical[i]);
    if (edges.n_critical > 0)
        fprintf(to, " stroke:%s,stroke-width:4px\n", TGI_PALETTE_CRITICAL);
    for (uint32_t i = 0; i < path->n_tasks; i++) {
        if (!picture->shown || picture->shown[path->tasks[i]])
            fprintf(to, "  style t%u stroke:%s,stroke-width:3px\n", path->tasks[i], TGI_PALETTE_CRITICAL);
    }
    free(next);
    return tgi_output_check(to, "the flowchart", err);
}

int tgi_mermaid_write(const struct tg_graph *g, const struct tgi_picture *picture, FILE *to,
                      struct tg_error *err)
{
    if (!g->is_frozen)
        return tgi_error(err, TG_E_NOT_FROZEN, "only a frozen graph can be drawn");
    struct tgi_palette palette;
    struct tgi_critical_path path = {NULL, 0, 0};
    enum tgi_weight unit;
    double *weight = NULL;
    int rc = tgi_palette_create(g->space, &palette, err);
    if (rc)
        return rc;
    if (picture->marks_critical) {
        rc = tgi_critical_path_weights(g, &unit, &weight, err);
        if (rc == 0)
            rc = tgi_critical_path_find(g, weight, &path, err);
    }
    if (rc == 0)
        rc = write_graph(g, picture, &palette, &path, to, err);
    tgi_critical_path_fini(&path);
    free(weight);
    tgi_palette_fini(&palette);
    return rc;
}
