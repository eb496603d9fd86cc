/* A record drawn smaller than its tasks, in DOT for Graphviz to lay out: kernels with what waits for what, or memories and
 * workers with what went between them. */
#include <stdlib.h>

#include "graph/error.h"
#include "io/dot.h"
#include "io/output.h"
#include "io/palette.h"
#include "io/recording_export.h"
#include "io/recording_table.h"
#include "io/units.h"

#define ORANGE "#e69f00"
#define MOST_KERNELS 4096 /* whose pairs are counted in a table */

struct writer {
    const struct tgi_recording *r;
    const struct tgi_recording_paths *paths;
    struct tgi_recording_table table;
    FILE *to;
};

static double share(uint64_t part, uint64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }

/* Wider for more, from 0.6 to 5 points. */
static double width_of(uint64_t part, uint64_t most) { return 0.6 + 4.4 * (most ? (double)part / (double)most : 0); }

static void write_head(const struct writer *w, const char *name)
{
    const struct tgi_recording_head *h = &w->r->head;
    const char *title = tgi_recording_string(w->r, h->name);
    char n[TGI_UNITS_SIZE], makespan[TGI_UNITS_SIZE];
    fprintf(w->to, "digraph %s {\n  graph [fontname=\"Helvetica\" fontsize=14 labelloc=t rankdir=LR label=\"", name);
    tgi_dot_write_label(w->to, title[0] ? title : "graph");
    fprintf(w->to, ": %s tasks in %s", tgi_format_count(w->table.n_work, n, sizeof(n)),
            tgi_format_time((double)h->makespan_ns, makespan, sizeof(makespan)));
    if (w->r->is_cut)
        fputs("\\nthe record was cut off: not all tasks are there", w->to);
    fputs("\"];\n  node [shape=box style=filled penwidth=0.6 color=\"#555555\" fontname=\"Helvetica\" fontsize=11];\n"
          "  edge [color=\"#777777\" arrowsize=0.6 fontname=\"Helvetica\" fontsize=9];\n", w->to);
}

/* ---- Kernels ------------------------------------------------------------------------------*/

static void write_kernel(const struct writer *w, const struct tgi_kernel_figures *k)
{
    char n[TGI_UNITS_SIZE], total[TGI_UNITS_SIZE], median[TGI_UNITS_SIZE], iqr[TGI_UNITS_SIZE];
    fprintf(w->to, "  k%u [fillcolor=\"%s\" label=\"", k->kernel, tgi_recording_fill(w->r, k->kernel));
    tgi_dot_write_label(w->to, tgi_recording_kernel_name(w->r, k->kernel));
    fprintf(w->to, "\\n%s task%s, %s\\nmedian %s ± %s", tgi_format_count(k->n_tasks, n, sizeof(n)), k->n_tasks == 1 ? "" : "s",
            tgi_format_time((double)k->total_ns, total, sizeof(total)), tgi_format_time((double)k->median_ns, median, sizeof(median)),
            tgi_format_time((double)k->iqr_ns, iqr, sizeof(iqr)));
    if (k->critical_ns)
        fprintf(w->to, "\\n%.0f %% of the critical path\" color=\"%s\" penwidth=2];\n", share(k->critical_ns, w->paths->critical_ns),
                TGI_PALETTE_CRITICAL);
    else
        fputs("\"];\n", w->to);
}

static void count_pairs(const struct tgi_recording *r, uint64_t *pairs)
{
    for (uint32_t t = 0; t < r->n_tasks; t++)
        for (uint32_t e = 0; e < r->tasks[t].n_preds; e++) {
            uint32_t from = r->preds[r->tasks[t].first_pred + e];
            if (tgi_recording_has_work(r, t) && tgi_recording_has_work(r, from))
                pairs[(size_t)r->tasks[from].kernel * r->n_kernels + r->tasks[t].kernel]++;
        }
}

static int write_types(struct writer *w, struct tg_error *err)
{
    uint64_t n = w->r->n_kernels, most = 0;
    char count[TGI_UNITS_SIZE];
    if (n > MOST_KERNELS)
        return tgi_error(err, TG_E_LIMIT, "%llu kernels are more than a picture of kernels can show (%d)", (unsigned long long)n, MOST_KERNELS);
    uint64_t *pairs = calloc(n * n + 1, sizeof(*pairs));
    if (!pairs)
        return tgi_error_memory(err, "a picture of kernels");
    count_pairs(w->r, pairs);
    for (uint64_t i = 0; i < n * n; i++)
        most = pairs[i] > most ? pairs[i] : most;
    write_head(w, "types");
    for (uint32_t i = 0; i < w->table.n_kernels; i++)
        write_kernel(w, &w->table.kernels[i]);
    for (uint64_t i = 0; i < n * n; i++)
        if (pairs[i])
            fprintf(w->to, "  k%u -> k%u [label=\"%s\" penwidth=%.2f];\n", (unsigned)(i / n), (unsigned)(i % n),
                    tgi_format_count(pairs[i], count, sizeof(count)), width_of(pairs[i], most));
    fputs("}\n", w->to);
    free(pairs);
    return 0;
}

/* ---- Workers and devices ------------------------------------------------------------------*/

struct sum {
    uint64_t n_tasks, busy_ns;
    uint32_t n_lanes;
};

static struct sum sum_of(const struct writer *w, uint32_t device)
{
    struct sum s = {0, 0, 0};
    for (uint32_t i = 0; i < w->r->n_lanes; i++)
        if (w->r->lanes[i].device == device) {
            s.n_tasks += w->table.lanes[i].n_tasks;
            s.busy_ns += w->table.lanes[i].busy_ns;
            s.n_lanes++;
        }
    return s;
}

static void write_worker(const struct writer *w, uint32_t lane)
{
    const struct tgi_lane_figures *figures = &w->table.lanes[lane];
    char name[64], n[TGI_UNITS_SIZE];
    fprintf(w->to, "  lane%u [fillcolor=\"#f3f3f3\" label=\"", lane);
    tgi_dot_write_label(w->to, tgi_recording_lane_name(w->r, lane, name, sizeof(name)));
    fprintf(w->to, "\\n%s task%s\\nbusy %.0f %%\"];\n", tgi_format_count(figures->n_tasks, n, sizeof(n)), figures->n_tasks == 1 ? "" : "s",
            share(figures->busy_ns, w->r->head.makespan_ns));
}

static void write_node(const struct writer *w, uint32_t node)
{
    const struct tgi_recording *r = w->r;
    struct sum s = sum_of(w, node ? node - 1 : TG_NONE);
    char name[64], n[TGI_UNITS_SIZE], peak[TGI_UNITS_SIZE];
    fprintf(w->to, "  node%u [fillcolor=\"%s\" label=\"", node, node ? "#dceaf7" : "#f3f3f3");
    tgi_dot_write_label(w->to, tgi_recording_node_name(r, node, name, sizeof(name)));
    if (node) {
        fputs("\\n", w->to);
        tgi_dot_write_label(w->to, tgi_recording_string(r, r->devices[node - 1].name));
    }
    fprintf(w->to, "\\n%s task%s", tgi_format_count(s.n_tasks, n, sizeof(n)), s.n_tasks == 1 ? "" : "s");
    if (node)
        fprintf(w->to, "\\npeak memory %s", tgi_format_bytes((double)r->devices[node - 1].peak_bytes, peak, sizeof(peak)));
    else
        fprintf(w->to, " on %u worker%s\\nbusy %.0f %%", s.n_lanes, s.n_lanes == 1 ? "" : "s",
                share(s.busy_ns, r->head.makespan_ns * (s.n_lanes ? s.n_lanes : 1)));
    fputs("\"];\n", w->to);
}

/* Copies between memories. */
static void write_links(const struct writer *w)
{
    char bytes[TGI_UNITS_SIZE], n[TGI_UNITS_SIZE];
    uint64_t most = 0;
    for (uint32_t i = 0; i < w->table.n_links; i++)
        most = w->table.links[i].bytes > most ? w->table.links[i].bytes : most;
    for (uint32_t i = 0; i < w->table.n_links; i++) {
        const struct tgi_link_figures *link = &w->table.links[i];
        fprintf(w->to, "  node%u -> node%u [color=\"%s\" penwidth=%.2f label=\"%s in %s cop%s\"];\n", link->from, link->to, ORANGE,
                width_of(link->bytes, most), tgi_format_bytes((double)link->bytes, bytes, sizeof(bytes)),
                tgi_format_count(link->n_copies, n, sizeof(n)), link->n_copies == 1 ? "y" : "ies");
    }
}

/* Who took tasks out of whose queue. */
static int write_steals(const struct writer *w, struct tg_error *err)
{
    const struct tgi_recording *r = w->r;
    uint64_t n = r->n_lanes, most = 0;
    uint64_t *pairs = n <= MOST_KERNELS ? calloc(n * n + 1, sizeof(*pairs)) : NULL;
    char count[TGI_UNITS_SIZE];
    if (!pairs)
        return n <= MOST_KERNELS ? tgi_error_memory(err, "a picture of workers") : 0;
    for (uint64_t i = 0; i < r->n_steals; i++) {
        uint32_t thief = r->tasks[r->steals[i].task].lane, victim = r->steals[i].victim;
        if (victim == TG_NONE || thief == TG_NONE || !w->table.lanes[victim].n_tasks)
            continue;
        uint64_t pair = ++pairs[victim * n + thief];
        most = pair > most ? pair : most;
    }
    for (uint64_t i = 0; i < n * n; i++)
        if (pairs[i])
            fprintf(w->to, "  lane%u -> lane%u [label=\"%s stolen\" penwidth=%.2f];\n", (unsigned)(i / n), (unsigned)(i % n),
                    tgi_format_count(pairs[i], count, sizeof(count)), width_of(pairs[i], most));
    free(pairs);
    return 0;
}

static int write_devices(struct writer *w, struct tg_error *err)
{
    int rc = 0;
    write_head(w, "devices");
    if (w->r->n_devices) {
        for (uint32_t node = 0; node <= w->r->n_devices; node++)
            write_node(w, node);
        write_links(w);
    } else {
        for (uint32_t i = 0; i < w->r->n_lanes; i++)
            if (w->table.lanes[i].n_tasks)
                write_worker(w, i);
        rc = write_steals(w, err);
    }
    fputs("}\n", w->to);
    return rc;
}

/* ---- The whole ----------------------------------------------------------------------------*/

static int write_view(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                      int (*fn)(struct writer *, struct tg_error *), struct tg_error *err)
{
    struct writer w = {.r = r, .paths = paths, .to = to};
    int rc = tgi_recording_table_create(r, paths, &w.table, err);
    if (rc)
        return rc;
    rc = fn(&w, err);
    if (rc == 0)
        rc = tgi_output_check(to, "the picture of a record", err);
    tgi_recording_table_fini(&w.table);
    return rc;
}

int tgi_recording_write_types(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to, struct tg_error *err)
{
    return write_view(r, paths, to, write_types, err);
}

int tgi_recording_write_devices(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                                struct tg_error *err)
{
    return write_view(r, paths, to, write_devices, err);
}
