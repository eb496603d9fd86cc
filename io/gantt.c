/* Spans become bars: sorted by worker and time, then merged where there are too many to see.  Bars
 * merge while the gap between them and either their kernels' difference or their width cannot be
 * seen at the resolution, which is lowered until few enough are left. */
#include "io/gantt.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/palette.h"
#include "io/schedule.h"
#include "io/units.h"
#include "io/utf8.h"
#include "mem/device.h"

#define MOST_BARS 20000
#define MOST_CRITICAL 4000
#define WIDTH 1200.0
#define LEFT 118.0
#define RIGHT 24.0
#define TOP 74.0
#define CHAR_WIDTH 5.6 /* of the label font */

struct bar {
    uint64_t start_ns, end_ns, busy_ns;
    uint32_t worker, kind, part, task, n_tasks;
};

struct drawing {
    const struct tgi_gantt *gantt;
    FILE *to;
    struct tgi_palette palette;
    struct tgi_schedule schedule;
    uint64_t n_critical; /* tasks on the critical path */
    struct bar *bars;
    uint64_t n_spans, n_bars, busy_ns;
    uint32_t *lane_of; /* by worker, streams of devices being workers; TG_NONE: it is not drawn */
    uint32_t n_workers, n_lanes, n_devices;
    double lane_height, lane_gap, bottom;
};

/* ---- Geometry -----------------------------------------------------------------------------*/

static double x_of(const struct drawing *d, double ns)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * ns / (double)d->gantt->makespan_ns;
}

static double y_of(const struct drawing *d, uint32_t worker)
{
    return TOP + d->lane_of[worker] * (d->lane_height + d->lane_gap);
}

/* "worker 3", "cuda:0 s1" */
static const char *lane_name(const struct drawing *d, uint32_t worker, char *text, size_t size)
{
    struct tgi_run_device device;
    uint32_t stream, i = worker < d->gantt->n_workers ? TG_NONE : tgi_run_device_of(d->gantt->run, worker, &stream);
    if (i == TG_NONE) {
        snprintf(text, size, "worker %u", worker);
    } else {
        tgi_run_device(d->gantt->run, i, &device);
        snprintf(text, size, "%s:%u s%u", device.kind, device.ordinal, stream);
    }
    return text;
}

/* ---- Text ---------------------------------------------------------------------------------*/

static void write_text(FILE *to, const char *text)
{
    while (*text) {
        int length = tgi_utf8_length(text);
        if (length == 0) {
            fputs("\xef\xbf\xbd", to);
            text++;
            continue;
        }
        if (tgi_utf8_is_control(text))
            putc('?', to);
        else if (strchr("&<>\"'", *text))
            fprintf(to, "&#%d;", *text);
        /* U+FFFE and U+FFFF are no characters of XML */
        else if (length == 3 &&
                 (memcmp(text, "\xef\xbf\xbe", 3) == 0 || memcmp(text, "\xef\xbf\xbf", 3) == 0))
            putc('?', to);
        else
            fwrite(text, 1, (size_t)length, to);
        text += length;
    }
}

/* ---- Bars ---------------------------------------------------------------------------------*/

static int compare_bars(const void *a, const void *b)
{
    const struct bar *x = a, *y = b;
    if (x->worker != y->worker)
        return x->worker < y->worker ? -1 : 1;
    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return x->task < y->task ? -1 : x->task > y->task;
}

static void collect_part(struct drawing *d, uint32_t i)
{
    const struct tgi_part *part = &d->schedule.parts[i];
    for (uint32_t t = 0; t < part->graph->n_tasks; t++) {
        const struct tgi_span *s = &part->spans[t];
        if (!tgi_part_has_work(part, t) || s->worker >= d->n_workers)
            continue;
        d->bars[d->n_spans++] = (struct bar){s->start_ns, s->end_ns, s->end_ns - s->start_ns, s->worker,
                                             tgi_palette_kind(part->graph, &d->palette, t), i, t, 1};
        d->busy_ns += s->end_ns - s->start_ns;
    }
}

static int collect_bars(struct drawing *d, struct tg_error *err)
{
    d->bars = malloc((d->schedule.n_tasks + 1) * sizeof(*d->bars));
    d->n_devices = d->gantt->run ? tgi_run_n_devices(d->gantt->run) : 0;
    d->n_workers = d->gantt->n_workers + d->n_devices * TGI_COMPUTE_LANES;
    d->lane_of = malloc(((size_t)d->n_workers + 1) * sizeof(*d->lane_of));
    if (!d->bars || !d->lane_of)
        return tgi_error_memory(err, "a picture of the schedule");
    memset(d->lane_of, 0xff, d->n_workers * sizeof(*d->lane_of));
    for (uint32_t i = 0; i < d->schedule.n_parts; i++) {
        const struct tgi_part *part = &d->schedule.parts[i];
        collect_part(d, i);
        for (uint32_t k = 0; part->is_critical && k < part->path.n_tasks; k++)
            d->n_critical += tgi_part_has_work(part, part->path.tasks[k]);
    }
    /* Workers have lanes in any case, streams if they executed anything. */
    for (uint64_t i = 0; i < d->n_spans; i++)
        d->lane_of[d->bars[i].worker] = 0;
    for (uint32_t w = 0; w < d->n_workers; w++)
        d->lane_of[w] = w < d->gantt->n_workers || d->lane_of[w] == 0 ? d->n_lanes++ : TG_NONE;
    qsort(d->bars, d->n_spans, sizeof(*d->bars), compare_bars);
    d->n_bars = d->n_spans;
    return 0;
}

static void merge_bars(struct drawing *d)
{
    uint64_t resolution = d->gantt->makespan_ns / 2400 + 1;
    while (d->n_bars > MOST_BARS) {
        uint64_t n = 0;
        for (uint64_t i = 0; i < d->n_bars; i++) {
            struct bar *bar = &d->bars[i], *last = n > 0 ? &d->bars[n - 1] : NULL;
            bool is_near = last && last->worker == bar->worker && bar->start_ns <= last->end_ns + resolution;
            bool is_small = is_near && bar->end_ns - last->start_ns <= resolution;
            if (!is_near || !(is_small || last->kind == bar->kind)) {
                d->bars[n++] = *bar;
                continue;
            }
            if (bar->busy_ns > last->busy_ns)
                last->kind = bar->kind;
            last->end_ns = bar->end_ns;
            last->busy_ns += bar->busy_ns;
            last->n_tasks += bar->n_tasks;
        }
        d->n_bars = n;
        if (resolution > d->gantt->makespan_ns)
            break;
        resolution *= 2;
    }
}

static void write_bar(const struct drawing *d, const struct bar *bar)
{
    const struct tgi_part *part = &d->schedule.parts[bar->part];
    const struct tg_graph *g = part->graph;
    const struct tgi_span *span = &part->spans[bar->task];
    double x = x_of(d, (double)bar->start_ns), width = x_of(d, (double)bar->end_ns) - x;
    char from[TGI_UNITS_SIZE], taken[TGI_UNITS_SIZE], count[TGI_UNITS_SIZE], scratch[32], lane[32];
    const char *name = tgi_graph_task_name(g, bar->task, scratch);
    const char *kernel = tgi_palette_name(g->space, &d->palette, bar->kind);
    tgi_format_time((double)bar->start_ns, from, sizeof(from));
    tgi_format_time((double)(bar->end_ns - bar->start_ns), taken, sizeof(taken));

    fprintf(d->to, "<rect class=\"k%u\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"", bar->kind, x,
            y_of(d, bar->worker), width < 0.4 ? 0.4 : width, d->lane_height);
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
    fprintf(d->to, "\n%s from %s on %s", taken, from, lane_name(d, bar->worker, lane, sizeof(lane)));
    if (bar->n_tasks == 1 && span->ready_ns <= span->start_ns) {
        char waited[TGI_UNITS_SIZE];
        fprintf(d->to, "\nready %s before%s",
                tgi_format_time((double)(span->start_ns - span->ready_ns), waited, sizeof(waited)),
                span->is_stolen ? ", stolen" : "");
    }
    if (span->state == TG_TASK_FAILED)
        fputs("\nfailed", d->to);
    fputs("</title></rect>\n", d->to);
    if (bar->n_tasks == 1 && d->lane_height >= 12 && (double)strlen(name) * CHAR_WIDTH + 4 < width) {
        fprintf(d->to, "<text class=\"n\" x=\"%.2f\" y=\"%.1f\">", x + width / 2,
                y_of(d, bar->worker) + d->lane_height / 2 + 3.5);
        write_text(d->to, name);
        fputs("</text>\n", d->to);
    }
}

/* ---- Around the bars ----------------------------------------------------------------------*/

static void write_axis(const struct drawing *d)
{
    double makespan = (double)d->gantt->makespan_ns, step = 1;
    static const double nice[] = {1, 2, 5};
    for (int i = 0; makespan / step > 10; i++) {
        double decade = 1;
        for (int k = 0; k < i / 3; k++)
            decade *= 10;
        step = nice[i % 3] * decade;
    }
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
    char name[32];
    for (uint32_t w = 0; w < d->n_workers; w++) {
        uint64_t busy_ns = 0;
        if (d->lane_of[w] == TG_NONE)
            continue;
        for (; bar < d->n_bars && d->bars[bar].worker == w; bar++)
            busy_ns += d->bars[bar].busy_ns;
        fprintf(d->to, "<rect class=\"l\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", LEFT,
                y_of(d, w), WIDTH - LEFT - RIGHT, d->lane_height);
        if (d->lane_height >= 10 || d->lane_of[w] % 4 == 0)
            fprintf(d->to, "<text class=\"w\" x=\"%.1f\" y=\"%.1f\">%s &#183; %.0f %%</text>\n",
                    LEFT - 8, y_of(d, w) + d->lane_height / 2 + 4, lane_name(d, w, name, sizeof(name)),
                    100.0 * (double)busy_ns / (double)d->gantt->makespan_ns);
    }
}

static void write_critical(const struct drawing *d, const struct tgi_part *part)
{
    const struct tgi_span *last = NULL;
    for (uint32_t i = 0; i < part->path.n_tasks; i++) {
        const struct tgi_span *s = &part->spans[part->path.tasks[i]];
        if (!tgi_part_has_work(part, part->path.tasks[i]) || s->worker >= d->n_workers)
            continue;
        double x = x_of(d, (double)s->start_ns), width = x_of(d, (double)s->end_ns) - x;
        if (last && last->worker != s->worker)
            fprintf(d->to, "<line class=\"c\" x1=\"%.2f\" y1=\"%.1f\" x2=\"%.2f\" y2=\"%.1f\"/>\n",
                    x_of(d, (double)last->end_ns), y_of(d, last->worker) + d->lane_height / 2, x,
                    y_of(d, s->worker) + d->lane_height / 2);
        fprintf(d->to, "<rect class=\"c\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>\n", x,
                y_of(d, s->worker), width < 0.4 ? 0.4 : width, d->lane_height);
        last = s;
    }
}

/* How long the tasks of each kind took together, for the legend. */
static double write_legend(const struct drawing *d, double y)
{
    const struct tgi_space *space = d->gantt->graph->space;
    uint64_t *busy_ns = calloc(d->palette.n_kinds + 1, sizeof(*busy_ns));
    double x = LEFT;
    if (!busy_ns)
        return y;
    for (uint32_t i = 0; i < d->schedule.n_parts; i++) {
        const struct tgi_part *part = &d->schedule.parts[i];
        for (uint32_t t = 0; t < part->graph->n_tasks; t++)
            if (tgi_part_has_work(part, t))
                busy_ns[tgi_palette_kind(part->graph, &d->palette, t)] +=
                    part->spans[t].end_ns - part->spans[t].start_ns;
    }
    for (uint32_t k = 0; k < d->palette.n_kinds; k++) {
        char taken[TGI_UNITS_SIZE];
        if (busy_ns[k] == 0)
            continue;
        const char *name = tgi_palette_name(space, &d->palette, k);
        tgi_format_time((double)busy_ns[k], taken, sizeof(taken));
        double width = 26 + 6.3 * (double)(strlen(name) + strlen(taken) + 2);
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
    if (d->n_critical == 0)
        return y;
    char length[TGI_UNITS_SIZE];
    if (x + 200 > WIDTH - RIGHT) {
        x = LEFT;
        y += 20;
    }
    fprintf(d->to, "<rect class=\"c\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\"/>"
            "<text class=\"t\" x=\"%.1f\" y=\"%.1f\">critical path  %s</text>\n", x, y - 10, x + 17, y,
            tgi_format_time(d->schedule.critical_ns, length, sizeof(length)));
    return y;
}

static void write_head(const struct drawing *d, double height)
{
    const struct tg_graph *g = d->gantt->graph;
    char tasks[TGI_UNITS_SIZE], makespan[TGI_UNITS_SIZE], bound[TGI_UNITS_SIZE];
    /* Beside devices, whose kernels overlap, no sum of times bounds anything. */
    double area_ns = d->n_devices ? 0 : (double)d->busy_ns / d->gantt->n_workers;
    double bound_ns = area_ns > d->schedule.critical_ns ? area_ns : d->schedule.critical_ns;
    fprintf(
        d->to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
        "font-family=\"Helvetica,Arial,sans-serif\">\n<style>\n"
        "text{fill:#222;font-size:11px;white-space:pre}.n{font-size:10px;text-anchor:middle;pointer-events:"
        "none}"
        ".a{text-anchor:middle;fill:#666}.w{text-anchor:end}.g{stroke:#d8d8d8}.l{fill:#f3f3f3}\n"
        ".c{fill:none;stroke:%s;stroke-width:%s;pointer-events:none}line.c{stroke-width:1;stroke-opacity:.6}"
        "\n",
        WIDTH, height, WIDTH, height, TGI_PALETTE_CRITICAL, d->n_critical > 200 ? ".4" : "1.6");
    for (uint32_t k = 0; k < d->palette.n_kinds; k++)
        fprintf(d->to, ".k%u{fill:%s%s}\n", k, tgi_palette_fill(g->space, &d->palette, k),
                d->n_spans > 300 ? "" : ";stroke:#fff;stroke-width:.5");
    fprintf(d->to, "</style>\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#fff\"/>\n"
            "<text x=\"%.0f\" y=\"26\" style=\"font-size:16px;font-weight:bold\">", WIDTH, height, LEFT);
    write_text(d->to, g->name && g->name[0] ? g->name : "graph");
    fprintf(d->to, "</text><text x=\"%.0f\" y=\"44\">%s tasks on ", LEFT,
            tgi_format_count(d->n_spans, tasks, sizeof(tasks)));
    if (d->n_devices)
        fprintf(d->to, "%u device%s and ", d->n_devices, d->n_devices == 1 ? "" : "s");
    fprintf(d->to, "%u worker%s in %s; lower bound %s", d->gantt->n_workers, d->gantt->n_workers == 1 ? "" : "s",
            tgi_format_time((double)d->gantt->makespan_ns, makespan, sizeof(makespan)),
            tgi_format_time(bound_ns, bound, sizeof(bound)));
    if (!d->schedule.is_whole)
        fputs("; there were more rounds than are drawn", d->to);
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
    for (uint32_t k = 0; k < d->palette.n_kinds; k++)
        x += 26 + 6.3 * (double)(strlen(tgi_palette_name(d->gantt->graph->space, &d->palette, k)) + 10);
    return (uint32_t)(x / (WIDTH - LEFT - RIGHT - 120)) + 1;
}

static void write_picture(struct drawing *d)
{
    uint32_t n = d->n_lanes;
    d->lane_height = n <= 4 ? 34 : n <= 32 ? 22 : n <= 96 ? 12 : 6;
    d->lane_gap = n <= 32 ? 4 : 1;
    d->bottom = TOP + n * (d->lane_height + d->lane_gap);
    double height = d->bottom + 30 + 20 * n_legend_rows(d);
    write_head(d, height);
    write_lanes(d);
    write_axis(d);
    for (uint64_t i = 0; i < d->n_bars && !ferror(d->to); i++)
        write_bar(d, &d->bars[i]);
    for (uint32_t i = 0; i < d->schedule.n_parts && d->n_critical <= MOST_CRITICAL; i++)
        if (d->schedule.parts[i].is_critical)
            write_critical(d, &d->schedule.parts[i]);
    write_legend(d, d->bottom + 24);
    fputs("</svg>\n", d->to);
}

int tgi_gantt_write(const struct tgi_gantt *gantt, FILE *to, struct tg_error *err)
{
    struct drawing d = {.gantt = gantt, .to = to};
    struct tgi_gantt whole = *gantt;
    if (whole.makespan_ns == 0)
        whole.makespan_ns = 1;
    d.gantt = &whole;
    int rc = tgi_palette_create(gantt->graph->space, &d.palette, err);
    if (rc)
        return rc;
    rc = tgi_schedule_create(gantt->graph, gantt->spans, gantt->rounds, &d.schedule, err);
    if (rc == 0)
        rc = collect_bars(&d, err);
    if (rc == 0) {
        merge_bars(&d);
        write_picture(&d);
        if (ferror(to))
            rc = tgi_error(err, TG_E_WRITE, "cannot write the picture of the schedule");
    }
    free(d.bars);
    free(d.lane_of);
    tgi_schedule_fini(&d.schedule);
    tgi_palette_fini(&d.palette);
    return rc;
}
