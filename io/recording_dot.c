/* A schedule as DOT text.  Everything has its place already: x is time, y the lane, so no engine has to lay anything
 * out, and `layout=nop` makes Graphviz keep the positions.  Points, from the lower left corner. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/dot.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/recording_export.h"
#include "io/recording_table.h"
#include "io/units.h"

#define LEAST_WIDTH 900.0
#define MOST_WIDTH 5000.0
#define TASK_WIDTH 40.0  /* room for each task of a lane, if there is that much */
#define LANE_HEIGHT 40.0
#define DEVICE_GAP 24.0
#define CHAR_WIDTH 5.5
#define ORANGE "#e69f00"

struct writer {
    const struct tgi_recording *r;
    const struct tgi_recording_paths *paths;
    FILE *to;
    uint8_t *is_shown;  /* by task */
    uint32_t *row_of;   /* by lane, from the top; TG_NONE: nothing is drawn there */
    uint64_t *busy_ns;  /* by lane */
    uint32_t n_rows, n_shown, n_work;
    double width, makespan_ns, last_ns; /* last_ns: the end of the last task, and of the picture */
};

/* ---- What is drawn ------------------------------------------------------------------------*/

/* The critical path first, then the longest. */
static int choose(struct writer *w, uint32_t max_nodes, struct tg_error *err)
{
    uint32_t *longest;
    int rc = tgi_recording_longest(w->r, &longest, &w->n_work, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < w->paths->n_critical && w->n_shown < max_nodes; i++, w->n_shown++)
        w->is_shown[w->paths->critical[i]] = 1;
    for (uint32_t i = 0; i < w->n_work && w->n_shown < max_nodes; i++) {
        w->n_shown += !w->is_shown[longest[i]];
        w->is_shown[longest[i]] = 1;
    }
    free(longest);
    return 0;
}

static void place_lanes(struct writer *w)
{
    const struct tgi_recording *r = w->r;
    w->makespan_ns = r->head.makespan_ns ? (double)r->head.makespan_ns : 1;
    w->last_ns = 1;
    memset(w->row_of, 0xff, r->n_lanes * sizeof(*w->row_of));
    for (uint32_t t = 0; t < r->n_tasks; t++) {
        const struct tgi_recording_task *task = &r->tasks[t];
        if (!tgi_recording_has_work(r, t))
            continue;
        w->busy_ns[task->lane] += tgi_recording_took_ns(r, t);
        if ((double)task->end_ns > w->last_ns)
            w->last_ns = (double)task->end_ns;
        if (w->is_shown[t])
            w->row_of[task->lane] = 0;
    }
    for (uint32_t i = 0; i < r->n_lanes; i++)
        if (w->row_of[i] == 0)
            w->row_of[i] = w->n_rows++;
    w->width = TASK_WIDTH * w->n_shown / (w->n_rows ? w->n_rows : 1);
    w->width = w->width < LEAST_WIDTH ? LEAST_WIDTH : w->width > MOST_WIDTH ? MOST_WIDTH : w->width;
}

static double x_of(const struct writer *w, double ns) { return w->width * ns / w->last_ns; }

static double y_of(const struct writer *w, uint32_t lane)
{
    uint32_t device = w->r->lanes[lane].device;
    return -(LANE_HEIGHT * w->row_of[lane] + DEVICE_GAP * (device == TG_NONE ? 0 : device + 1.0));
}

/* ---- Nodes --------------------------------------------------------------------------------*/

static void write_task(const struct writer *w, uint32_t t)
{
    const struct tgi_recording_task *task = &w->r->tasks[t];
    char name[TGI_RECORDING_NAME_SIZE], start[TGI_UNITS_SIZE], took[TGI_UNITS_SIZE], slack[TGI_UNITS_SIZE];
    double x = x_of(w, (double)task->start_ns), width = x_of(w, (double)task->end_ns) - x;
    tgi_recording_task_name(w->r, t, name, sizeof(name));
    width = width < 0.8 ? 0.8 : width;
    fprintf(w->to, "      t%u [pos=\"%.2f,%.2f!\" width=%.4f height=%.3f fillcolor=\"%s\" label=\"", t, x + width / 2,
            y_of(w, task->lane), width / 72, LANE_HEIGHT * 0.7 / 72, tgi_recording_fill(w->r, task->kernel));
    if ((double)strlen(name) * CHAR_WIDTH + 4 < width)
        tgi_dot_write_label(w->to, name);
    fputs("\" tooltip=\"", w->to);
    tgi_dot_write_label(w->to, name);
    fputs("\\nkernel ", w->to);
    tgi_dot_write_label(w->to, tgi_recording_kernel_name(w->r, task->kernel));
    fprintf(w->to, "\\n%s from %s, slack %s\"", tgi_format_time((double)tgi_recording_took_ns(w->r, t), took, sizeof(took)),
            tgi_format_time((double)task->start_ns, start, sizeof(start)),
            tgi_format_time((double)w->paths->slack_ns[t], slack, sizeof(slack)));
    if (w->paths->is_critical[t])
        fprintf(w->to, " color=\"%s\" penwidth=2", TGI_PALETTE_CRITICAL);
    fputs("];\n", w->to);
}

static void write_lane(const struct writer *w, uint32_t lane)
{
    char name[64];
    double busy = 100.0 * (double)w->busy_ns[lane] / w->makespan_ns;
    tgi_recording_lane_name(w->r, lane, name, sizeof(name));
    fprintf(w->to, "    subgraph cluster_lane%u {\n      label=\"", lane);
    tgi_dot_write_label(w->to, name);
    fprintf(w->to, ", busy %.0f %%\";\n      lane%u [shape=plaintext style=\"\" pos=\"-70,%.2f!\" width=1.5 height=0.3 label=\"", busy,
            lane, y_of(w, lane));
    tgi_dot_write_label(w->to, name);
    fprintf(w->to, "  %.0f %%\"];\n", busy);
    for (uint32_t t = 0; t < w->r->n_tasks && !ferror(w->to); t++)
        if (w->is_shown[t] && w->r->tasks[t].lane == lane)
            write_task(w, t);
    fputs("    }\n", w->to);
}

static void write_devices(const struct writer *w)
{
    const struct tgi_recording *r = w->r;
    char name[64];
    for (uint32_t node = 0; node <= r->n_devices; node++) {
        bool is_open = false;
        for (uint32_t i = 0; i < r->n_lanes; i++) {
            uint32_t device = r->lanes[i].device;
            if (w->row_of[i] == TG_NONE || (device == TG_NONE ? 0 : device + 1) != node)
                continue;
            if (!is_open) {
                fprintf(w->to, "  subgraph cluster_device%u {\n    label=\"", node);
                tgi_dot_write_label(w->to, node ? tgi_recording_node_name(r, node, name, sizeof(name)) : "CPUs");
                fputs("\";\n", w->to);
                is_open = true;
            }
            write_lane(w, i);
        }
        if (is_open)
            fputs("  }\n", w->to);
    }
}

/* ---- Edges --------------------------------------------------------------------------------*/

/* The critical path, what crossed from lane to lane, and copies. */
static void write_edges(const struct writer *w)
{
    const struct tgi_recording *r = w->r;
    char bytes[TGI_UNITS_SIZE];
    for (uint32_t i = 0; i + 1 < w->paths->n_critical; i++)
        if (w->is_shown[w->paths->critical[i]] && w->is_shown[w->paths->critical[i + 1]])
            fprintf(w->to, "  t%u -> t%u [color=\"%s\" penwidth=2];\n", w->paths->critical[i], w->paths->critical[i + 1],
                    TGI_PALETTE_CRITICAL);
    for (uint32_t t = 0; t < r->n_tasks && !ferror(w->to); t++) {
        uint32_t from = r->tasks[t].waited_for;
        if (w->is_shown[t] && from != TG_NONE && w->is_shown[from] && r->tasks[from].lane != r->tasks[t].lane &&
            !(w->paths->is_critical[t] && w->paths->is_critical[from]))
            fprintf(w->to, "  t%u -> t%u;\n", from, t);
    }
    for (uint64_t i = 0; i < r->n_transfers && !ferror(w->to); i++) {
        const struct tgi_recording_transfer *x = &r->transfers[i];
        uint32_t from = x->task == TG_NONE ? TG_NONE : r->tasks[x->task].waited_for;
        if (from != TG_NONE && w->is_shown[x->task] && w->is_shown[from])
            fprintf(w->to, "  t%u -> t%u [color=\"%s\" fontcolor=\"%s\" label=\"%s\"];\n", from, x->task, ORANGE, ORANGE,
                    tgi_format_bytes((double)x->bytes, bytes, sizeof(bytes)));
    }
}

static void write_head(const struct writer *w)
{
    const struct tgi_recording_head *h = &w->r->head;
    const char *name = tgi_recording_string(w->r, h->name);
    char n[TGI_UNITS_SIZE], all[TGI_UNITS_SIZE], makespan[TGI_UNITS_SIZE], critical[TGI_UNITS_SIZE];
    fputs("digraph schedule {\n  graph [layout=nop splines=line fontname=\"Helvetica\" fontsize=14 labelloc=t label=\"", w->to);
    tgi_dot_write_label(w->to, name[0] ? name : "graph");
    fprintf(w->to, ": %s tasks in %s, critical path %s", tgi_format_count(w->n_work, all, sizeof(all)),
            tgi_format_time((double)h->makespan_ns, makespan, sizeof(makespan)),
            tgi_format_time((double)w->paths->critical_ns, critical, sizeof(critical)));
    if (w->n_shown < w->n_work)
        fprintf(w->to, "\\nthe critical path and the longest tasks: %s of %s", tgi_format_count(w->n_shown, n, sizeof(n)), all);
    if (w->r->is_cut)
        fputs("\\nthe record was cut off: not all tasks are there", w->to);
    fputs("\"];\n  node [shape=box style=filled fixedsize=true penwidth=0.4 color=\"#555555\" fontname=\"Helvetica\" fontsize=9];\n"
          "  edge [color=\"#99999980\" arrowsize=0.4 penwidth=0.6 fontname=\"Helvetica\" fontsize=8];\n", w->to);
}

int tgi_recording_write_dot(const struct tgi_recording *r, const struct tgi_recording_paths *paths, uint32_t max_nodes,
                            FILE *to, uint32_t *n_shown_p, struct tg_error *err)
{
    struct writer w = {.r = r, .paths = paths, .to = to, .is_shown = calloc(r->n_tasks + 1, 1),
                       .row_of = calloc(r->n_lanes + 1, sizeof(*w.row_of)), .busy_ns = calloc(r->n_lanes + 1, sizeof(*w.busy_ns))};
    bool has_memory = w.is_shown && w.row_of && w.busy_ns;
    int rc = has_memory ? choose(&w, max_nodes, err) : tgi_error_memory(err, "a picture of the schedule");
    if (rc == 0) {
        place_lanes(&w);
        write_head(&w);
        write_devices(&w);
        write_edges(&w);
        fputs("}\n", to);
        if (n_shown_p)
            *n_shown_p = w.n_shown;
        rc = tgi_output_check(to, "the picture of the schedule", err);
    }
    free(w.is_shown);
    free(w.row_of);
    free(w.busy_ns);
    return rc;
}
