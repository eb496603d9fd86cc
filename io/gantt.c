/* Spans become bars: sorted by worker and time, then merged where there are too many to see.  Bars
 * merge while the gap between them and either their kernels' difference or their width cannot be
 * seen at the resolution, which is lowered until few enough are left. */
#include "io/gantt.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/units.h"
#include "io/utf8.h"

#define MOST_BARS 20000
#define MOST_CRITICAL 4000
#define WIDTH 1200.0
#define LEFT 118.0
#define RIGHT 24.0
#define TOP 74.0
#define CHAR_WIDTH 5.6 /* of the label font */

struct bar {
    uint64_t start_ns, end_ns, busy_ns;
    uint32_t lane, kernel, task, n_tasks;
};

struct drawing {
    const struct tgi_recording *r;
    FILE *to;
    struct tgi_recording_paths paths;
    double makespan_ns; /* not 0 */
    struct bar *bars;
    uint64_t n_spans, n_bars;
    uint32_t *row_of;   /* by lane; TG_NONE: it is not drawn */
    uint32_t n_rows;
    double lane_height, lane_gap, bottom;
};

/* ---- Geometry -----------------------------------------------------------------------------*/

static double x_of(const struct drawing *d, double ns)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * ns / d->makespan_ns;
}

static double y_of(const struct drawing *d, uint32_t lane)
{
    return TOP + d->row_of[lane] * (d->lane_height + d->lane_gap);
}

/* ---- Text ---------------------------------------------------------------------------------*/

static bool escape(FILE *to, const char *at, int length)
{
    if (strchr("&<>\"'", *at))
        return fprintf(to, "&#%d;", *at) > 0;
    /* U+FFFE and U+FFFF are no characters of XML */
    if (length == 3 && (memcmp(at, "\xef\xbf\xbe", 3) == 0 || memcmp(at, "\xef\xbf\xbf", 3) == 0))
        return putc('?', to) != EOF;
    return false;
}

static void write_text(FILE *to, const char *text) { tgi_utf8_write(to, text, escape); }

/* ---- Bars ---------------------------------------------------------------------------------*/

static int compare_bars(const void *a, const void *b)
{
    const struct bar *x = a, *y = b;
    if (x->lane != y->lane)
        return x->lane < y->lane ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

static int collect_bars(struct drawing *d, struct tg_error *err)
{
    const struct tgi_recording *r = d->r;
    d->bars = malloc((r->n_tasks + 1) * sizeof(*d->bars));
    d->row_of = malloc((r->n_lanes + 1) * sizeof(*d->row_of));
    if (!d->bars || !d->row_of)
        return tgi_error_memory(err, "a picture of the schedule");
    memset(d->row_of, 0xff, r->n_lanes * sizeof(*d->row_of));
    for (uint32_t t = 0; t < r->n_tasks; t++) {
        const struct tgi_recording_task *task = &r->tasks[t];
        if (!tgi_recording_has_work(r, t))
            continue;
        d->bars[d->n_spans++] = (struct bar){task->start_ns, task->end_ns, task->end_ns - task->start_ns, task->lane,
                                             task->kernel, t, 1};
        d->row_of[task->lane] = 0;
        if ((double)task->end_ns > d->makespan_ns) /* a time limit ends a run before its last tasks return */
            d->makespan_ns = (double)task->end_ns;
    }
    /* Streams have lanes if they executed anything; so have workers beside devices, where many may have nothing to do. */
    for (uint32_t i = 0; i < r->n_lanes; i++)
        d->row_of[i] = (r->lanes[i].kind == TGI_LANE_WORKER && r->n_devices == 0) || d->row_of[i] == 0 ? d->n_rows++ : TG_NONE;
    qsort(d->bars, d->n_spans, sizeof(*d->bars), compare_bars);
    d->n_bars = d->n_spans;
    return 0;
}

static void merge_bars(struct drawing *d)
{
    uint64_t resolution = (uint64_t)d->makespan_ns / 2400 + 1;
    while (d->n_bars > MOST_BARS) {
        uint64_t n = 0;
        for (uint64_t i = 0; i < d->n_bars; i++) {
            struct bar *bar = &d->bars[i], *last = n > 0 ? &d->bars[n - 1] : NULL;
            bool is_near = last && last->lane == bar->lane && bar->start_ns <= last->end_ns + resolution;
            bool is_small = is_near && bar->end_ns - last->start_ns <= resolution;
            if (!is_near || !(is_small || last->kernel == bar->kernel)) {
                d->bars[n++] = *bar;
                continue;
            }
            if (bar->busy_ns > last->busy_ns)
                last->kernel = bar->kernel;
            last->end_ns = bar->end_ns;
            last->busy_ns += bar->busy_ns;
            last->n_tasks += bar->n_tasks;
        }
        d->n_bars = n;
        if ((double)resolution > d->makespan_ns)
            break;
        resolution *= 2;
    }
}

static void write_bar(const struct drawing *d, const struct bar *bar)
{
    const struct tgi_recording_task *task = &d->r->tasks[bar->task];
    double x = x_of(d, (double)bar->start_ns), width = x_of(d, (double)bar->end_ns) - x;
    char from[TGI_UNITS_SIZE], taken[TGI_UNITS_SIZE], count[TGI_UNITS_SIZE], scratch[TGI_RECORDING_NAME_SIZE], lane[64];
    const char *name = tgi_recording_task_name(d->r, bar->task, scratch, sizeof(scratch));
    const char *kernel = tgi_recording_kernel_name(d->r, bar->kernel);
    tgi_format_time((double)bar->start_ns, from, sizeof(from));
    tgi_format_time((double)(bar->end_ns - bar->start_ns), taken, sizeof(taken));

    fprintf(d->to, "<rect class=\"k%u\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"", bar->kernel, x,
            y_of(d, bar->lane), width < 0.4 ? 0.4 : width, d->lane_height);
    /* A merged bar is as pale as its worker was idle in it. */
    double busy = (double)bar->busy_ns / (double)(bar->end_ns - bar->start_ns + 1);
    if (bar->n_tasks > 1 && busy < 0.95)
        fprintf(d->to, " fill-opacity=\"%.2f\"", busy < 0.15 ? 0.15 : busy);
    fputs("><title>", d->to);
    if (bar->n_tasks > 1) {
        fprintf(d->to, "%s tasks, mostly ", tgi_format_count(bar->n_tasks, count, sizeof(count)));
        write_text(d->to, kernel);
        fprintf(d->to, ", busy %.0f %%", 100 * busy);
    } else {
        write_text(d->to, name);
        fputs("\nkernel ", d->to);
        write_text(d->to, kernel);
    }
    fprintf(d->to, "\n%s from %s on ", taken, from);
    write_text(d->to, tgi_recording_lane_name(d->r, bar->lane, lane, sizeof(lane)));
    if (bar->n_tasks == 1 && task->ready_ns <= task->start_ns) {
        char waited[TGI_UNITS_SIZE];
        fprintf(d->to, "\nready %s before%s",
                tgi_format_time((double)(task->start_ns - task->ready_ns), waited, sizeof(waited)),
                task->flags & TGI_RECORDED_STOLEN ? ", stolen" : "");
    }
    if (task->state == TG_TASK_FAILED)
        fputs("\nfailed", d->to);
    fputs("</title></rect>\n", d->to);
    if (bar->n_tasks == 1 && d->lane_height >= 12 && (double)strlen(name) * CHAR_WIDTH + 4 < width) {
        fprintf(d->to, "<text class=\"n\" x=\"%.2f\" y=\"%.1f\">", x + width / 2,
                y_of(d, bar->lane) + d->lane_height / 2 + 3.5);
        write_text(d->to, name);
        fputs("</text>\n", d->to);
    }
}

/* ---- Around the bars ----------------------------------------------------------------------*/

static void write_axis(const struct drawing *d)
{
    double makespan = d->makespan_ns, step = tgi_round_step(makespan);
    for (int i = 0; i * step <= makespan * 1.0001; i++) {
        char label[TGI_UNITS_SIZE];
        double x = x_of(d, i * step);
        fprintf(d->to, "<line class=\"g\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x, TOP - 5, x,
                d->bottom);
        tgi_format_time(i * step, label, sizeof(label));
        fprintf(d->to, "<text class=\"a\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x, TOP - 10,
                i == 0 ? "0" : label);
    }
}

static void write_lanes(const struct drawing *d)
{
    uint64_t bar = 0;
    char name[64];
    for (uint32_t i = 0; i < d->r->n_lanes; i++) {
        uint64_t busy_ns = 0;
        if (d->row_of[i] == TG_NONE)
            continue;
        for (; bar < d->n_bars && d->bars[bar].lane == i; bar++)
            busy_ns += d->bars[bar].busy_ns;
        fprintf(d->to, "<rect class=\"l\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", LEFT,
                y_of(d, i), WIDTH - LEFT - RIGHT, d->lane_height);
        if (d->lane_height < 10 && d->row_of[i] % 4 != 0)
            continue;
        fprintf(d->to, "<text class=\"w\" x=\"%.1f\" y=\"%.1f\">", LEFT - 8, y_of(d, i) + d->lane_height / 2 + 4);
        write_text(d->to, tgi_recording_lane_name(d->r, i, name, sizeof(name)));
        fprintf(d->to, " &#183; %.0f %%</text>\n", 100.0 * (double)busy_ns / d->makespan_ns);
    }
}

static void write_critical(const struct drawing *d)
{
    const struct tgi_recording_task *last = NULL;
    for (uint32_t i = 0; i < d->paths.n_critical; i++) {
        const struct tgi_recording_task *t = &d->r->tasks[d->paths.critical[i]];
        double x = x_of(d, (double)t->start_ns), width = x_of(d, (double)t->end_ns) - x;
        if (last && last->lane != t->lane)
            fprintf(d->to, "<line class=\"c\" x1=\"%.2f\" y1=\"%.1f\" x2=\"%.2f\" y2=\"%.1f\"/>\n",
                    x_of(d, (double)last->end_ns), y_of(d, last->lane) + d->lane_height / 2, x,
                    y_of(d, t->lane) + d->lane_height / 2);
        fprintf(d->to, "<rect class=\"c\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>\n", x,
                y_of(d, t->lane), width < 0.4 ? 0.4 : width, d->lane_height);
        last = t;
    }
}

/* How long the tasks of each kernel took together, for the legend. */
static double write_legend(const struct drawing *d, double y)
{
    const struct tgi_recording *r = d->r;
    uint64_t *busy_ns = calloc(r->n_kernels + 1, sizeof(*busy_ns));
    double x = LEFT;
    if (!busy_ns)
        return y;
    for (uint64_t i = 0; i < r->n_tasks; i++)
        if (tgi_recording_has_work(r, i))
            busy_ns[r->tasks[i].kernel] += tgi_recording_took_ns(r, i);
    for (uint32_t k = 0; k < r->n_kernels; k++) {
        char taken[TGI_UNITS_SIZE];
        if (busy_ns[k] == 0)
            continue;
        const char *name = tgi_recording_kernel_name(r, k);
        tgi_format_time((double)busy_ns[k], taken, sizeof(taken));
        double width = 26 + 7 * (double)(strlen(name) + strlen(taken) + 2);
        if (x + width > WIDTH - RIGHT && x > LEFT) {
            x = LEFT;
            y += 20;
        }
        fprintf(d->to, "<rect class=\"k%u\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\"/>"
                "<text class=\"t\" x=\"%.1f\" y=\"%.1f\">", k, x, y - 10, x + 17, y);
        write_text(d->to, name);
        fprintf(d->to, "  %s</text>\n", taken);
        x += width;
    }
    free(busy_ns);
    if (d->paths.n_critical == 0)
        return y;
    char length[TGI_UNITS_SIZE];
    if (x + 200 > WIDTH - RIGHT) {
        x = LEFT;
        y += 20;
    }
    fprintf(d->to, "<rect class=\"c\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\"/>"
            "<text class=\"t\" x=\"%.1f\" y=\"%.1f\">critical path  %s</text>\n", x, y - 10, x + 17, y,
            tgi_format_time((double)d->paths.critical_ns, length, sizeof(length)));
    return y;
}

static void write_head(const struct drawing *d, double height)
{
    const struct tgi_recording *r = d->r;
    const char *title = tgi_recording_string(r, r->head.name);
    uint32_t n_workers = r->head.n_workers;
    struct tgi_run_bounds bounds = tgi_recording_bounds(r, &d->paths);
    char tasks[TGI_UNITS_SIZE], makespan[TGI_UNITS_SIZE], bound[TGI_UNITS_SIZE];
    fprintf(
        d->to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
        "font-family=\"Helvetica,Arial,sans-serif\">\n<style>\n"
        "text{fill:#222;font-size:11px;white-space:pre}.n{font-size:10px;text-anchor:middle;pointer-events:"
        "none}"
        ".a{text-anchor:middle;fill:#666}.w{text-anchor:end}.g{stroke:#d8d8d8}.l{fill:#f3f3f3}\n"
        ".c{fill:none;stroke:%s;stroke-width:%s;pointer-events:none}line.c{stroke-width:1;stroke-opacity:.6}"
        "\n",
        WIDTH, height, WIDTH, height, TGI_PALETTE_CRITICAL, d->paths.n_critical > 200 ? ".4" : "1.6");
    for (uint32_t k = 0; k < r->n_kernels; k++)
        fprintf(d->to, ".k%u{fill:%s%s}\n", k, tgi_recording_fill(r, k), d->n_spans > 300 ? "" : ";stroke:#fff;stroke-width:.5");
    fprintf(d->to, "</style>\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n"
            "<text x=\"%.0f\" y=\"26\" style=\"font-size:16px;font-weight:bold\">", WIDTH, height, LEFT);
    write_text(d->to, title[0] ? title : "graph");
    fprintf(d->to, "</text><text x=\"%.0f\" y=\"44\">%s tasks on ", LEFT,
            tgi_format_count(d->n_spans, tasks, sizeof(tasks)));
    if (r->n_devices)
        fprintf(d->to, "%u device%s and ", (unsigned)r->n_devices, r->n_devices == 1 ? "" : "s");
    fprintf(d->to, "%u worker%s in %s", n_workers, n_workers == 1 ? "" : "s",
            tgi_format_time((double)r->head.makespan_ns, makespan, sizeof(makespan)));
    if (!r->is_cut && r->head.n_lost_rounds == 0)
        fprintf(d->to, "; lower bound %s", tgi_format_time(bounds.ns[bounds.binding], bound, sizeof(bound)));
    if (r->head.n_lost_rounds)
        fputs("; there were more rounds than are drawn", d->to);
    if (r->is_cut)
        fputs(r->is_unfinished ? "; the run did not end" : "; the record was cut off: not all tasks are drawn", d->to);
    if (d->n_bars < d->n_spans) {
        char bars[TGI_UNITS_SIZE];
        fprintf(d->to, "; neighbours drawn as one where there is no room for each: %s bars",
                tgi_format_count(d->n_bars, bars, sizeof(bars)));
    }
    fputs("</text>\n", d->to);
}

static uint32_t n_legend_rows(const struct drawing *d)
{
    double x = 200;
    for (uint32_t k = 0; k < d->r->n_kernels; k++)
        x += 26 + 7 * (double)(strlen(tgi_recording_kernel_name(d->r, k)) + 10);
    return (uint32_t)(x / (WIDTH - LEFT - RIGHT - 120)) + 1;
}

static void write_picture(struct drawing *d)
{
    uint32_t n = d->n_rows;
    d->lane_height = n <= 4 ? 34 : n <= 32 ? 22 : n <= 96 ? 12 : 6;
    d->lane_gap = n <= 32 ? 4 : 1;
    d->bottom = TOP + n * (d->lane_height + d->lane_gap);
    double height = d->bottom + 30 + 20 * n_legend_rows(d);
    write_head(d, height);
    write_lanes(d);
    write_axis(d);
    for (uint64_t i = 0; i < d->n_bars && !ferror(d->to); i++)
        write_bar(d, &d->bars[i]);
    if (d->paths.n_critical <= MOST_CRITICAL)
        write_critical(d);
    write_legend(d, d->bottom + 24);
    fputs("</svg>\n", d->to);
}

int tgi_gantt_write(const struct tgi_recording *recording, FILE *to, struct tg_error *err)
{
    struct drawing d = {.r = recording, .to = to};
    d.makespan_ns = recording->head.makespan_ns ? (double)recording->head.makespan_ns : 1;
    int rc = tgi_recording_paths_create(recording, &d.paths, err);
    if (rc)
        return rc;
    rc = collect_bars(&d, err);
    if (rc == 0) {
        merge_bars(&d);
        write_picture(&d);
        rc = tgi_output_check(to, "the picture of the schedule", err);
    }
    free(d.bars);
    free(d.row_of);
    tgi_recording_paths_fini(&d.paths);
    return rc;
}
