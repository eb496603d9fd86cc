/* The report of a run as text and as JSON. */
#include "io/report.h"

#include <string.h>

#include "io/units.h"
#include "io/utf8.h"

#define MOST_WORKER_ROWS 16
#define MOST_CHARACTERS 60 /* of a name */

static const char *kernel_name(const struct tgi_report *r, const struct tgi_report_kernel *k)
{
    return r->graph->space->ops[k->op].name;
}

/* What ran: on devices, on CPUs, or some of each. */
static void format_variant(const struct tgi_report *r, const struct tgi_report_kernel *k, char *text, size_t size)
{
    const struct tgi_op *op = &r->graph->space->ops[k->op];
    bool is_kernel = op->kind == TGI_OP_KERNEL;
    const char *cpu = is_kernel ? tgi_run_variant_text(r->run, k->op) : "runtime",
               *device = is_kernel ? tgi_run_device_text(r->run, k->op) : "runtime";
    if (k->n_on_devices && k->n_on_devices < k->n_tasks && is_kernel)
        snprintf(text, size, "%s (%llu), %s (%llu)", device, (unsigned long long)k->n_on_devices, cpu,
                 (unsigned long long)(k->n_tasks - k->n_on_devices));
    else
        snprintf(text, size, "%s", k->n_on_devices ? device : cpu);
}

/* Those of bodies too, as often as they ran. */
static uint64_t tasks_that_ran(const struct tgi_report *r)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < r->n_workers; i++)
        n += r->workers[i].n_tasks;
    for (uint32_t i = 0; i < r->n_devices; i++)
        n += r->devices[i].run.n_tasks;
    return r->has_bodies ? n : r->stats.n_done - r->n_before + r->stats.n_failed;
}

/* Whether it is known when which worker was busy. */
static bool knows_busy(const struct tgi_report *r)
{
    return r->is_recorded && r->is_whole;
}

static struct tgi_run_bounds bounds_of(const struct tgi_report *r)
{
    return tgi_run_bounds((double)r->critical_path_ns, (double)r->area_ns, &r->machine_bounds, (double)tgi_report_whole_ns(r));
}

/* ---- Text ---------------------------------------------------------------------------------*/

static void print_bounds(const struct tgi_report *r, uint64_t makespan_ns, FILE *to)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE];
    double seconds = (double)makespan_ns / 1e9;
    uint64_t n_run = tasks_that_ran(r);
    fprintf(to, "  makespan      %10s", tgi_format_time((double)makespan_ns, a, sizeof(a)));
    if (r->flops > 0 && seconds > 0)
        fprintf(to, "   %s", tgi_format_scaled(r->flops / seconds, "FLOP/s", b, sizeof(b)));
    if (seconds > 0)
        fprintf(to, "   %s tasks/s", tgi_format_short((double)n_run / seconds, c, sizeof(c)));
    if (r->predicted_ns > 0)
        fprintf(to, "   plan predicted %s (%+.1f %%)", tgi_format_time(r->predicted_ns, a, sizeof(a)),
                100 * ((double)makespan_ns / r->predicted_ns - 1));
    fputc('\n', to);
    struct tgi_run_bounds bounds = bounds_of(r);
    if (knows_busy(r) && bounds.ns[bounds.binding] > 0)
        tgi_run_bounds_print(&bounds, to);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_worker(FILE *to, const char *name, const struct tgi_report_worker *w, uint64_t whole_ns,
                         bool has_busy)
{
    char n[TGI_UNITS_SIZE], steals[TGI_UNITS_SIZE];
    fprintf(to, "  %-10s %11s", name, tgi_format_count(w->n_tasks, n, sizeof(n)));
    if (has_busy)
        fprintf(to, "   %5.1f %%  %5.1f %%", share(w->busy_ns, whole_ns), 100 - share(w->busy_ns, whole_ns));
    fprintf(to, "  %8s\n", tgi_format_count(w->n_steals, steals, sizeof(steals)));
}

static void print_workers(const struct tgi_report *r, FILE *to)
{
    char name[32];
    struct tgi_report_worker sum = {0, 0, 0, 0};
    fprintf(to, "\n  worker           tasks%s    steals\n", knows_busy(r) ? "      busy     idle" : "");
    for (uint32_t i = 0; i < r->n_workers; i++) {
        sum.n_tasks += r->workers[i].n_tasks;
        sum.busy_ns += r->workers[i].busy_ns;
        sum.n_steals += r->workers[i].n_steals;
        if (r->n_workers > MOST_WORKER_ROWS)
            continue;
        snprintf(name, sizeof(name), "cpu:%u", i);
        print_worker(to, name, &r->workers[i], tgi_report_whole_ns(r), knows_busy(r));
    }
    if (r->n_workers > MOST_WORKER_ROWS) {
        snprintf(name, sizeof(name), "%u workers", r->n_workers);
        print_worker(to, name, &sum, tgi_report_whole_ns(r) * r->n_workers, knows_busy(r));
    }
}

static void print_devices(const struct tgi_report *r, FILE *to)
{
    fprintf(to, "\n  device           tasks%s   moved in  moved out  peak memory\n", knows_busy(r) ? "      busy" : "");
    for (uint32_t i = 0; i < r->n_devices; i++) {
        const struct tgi_run_device *d = &r->devices[i].run;
        char name[32], n[TGI_UNITS_SIZE], in[TGI_UNITS_SIZE], out[TGI_UNITS_SIZE], peak[TGI_UNITS_SIZE];
        snprintf(name, sizeof(name), "%s:%u", d->kind, d->ordinal);
        fprintf(to, "  %-10s %11s", name, tgi_format_count(d->n_tasks, n, sizeof(n)));
        if (knows_busy(r))
            fprintf(to, "   %5.1f %%", share(r->devices[i].busy_ns, tgi_report_whole_ns(r)));
        fprintf(to, " %10s %10s   %10s\n", tgi_format_bytes((double)d->in_bytes, in, sizeof(in)),
                tgi_format_bytes((double)d->out_bytes, out, sizeof(out)),
                tgi_format_bytes((double)d->peak_bytes, peak, sizeof(peak)));
    }
    const struct tgi_run_moved *m = &r->moved;
    uint64_t bytes = m->to_device_bytes + m->to_host_bytes + m->peer_bytes;
    char all[TGI_UNITS_SIZE], copies[TGI_UNITS_SIZE], least[TGI_UNITS_SIZE], spilled[TGI_UNITS_SIZE];
    fprintf(to, "  moved: %s in %s cop%s", tgi_format_bytes((double)bytes, all, sizeof(all)),
            tgi_format_count(m->n_copies, copies, sizeof(copies)), m->n_copies == 1 ? "y" : "ies");
    if (m->has_least)
        fprintf(to, "; %s is the least possible where tasks ran",
                tgi_format_bytes((double)m->least_bytes, least, sizeof(least)));
    if (m->spilled_bytes)
        fprintf(to, "; %s for want of device memory", tgi_format_bytes((double)m->spilled_bytes, spilled, sizeof(spilled)));
    fputc('\n', to);
    enum tg_executor executor = tg_run_executor(r->run, NULL);
    if (tgi_run_recording_ns(r->run) && executor != TG_EXECUTOR_STREAMS)
        fprintf(to, "  each task was timed by two more nodes of the graph, which slow it down; reading them took %s\n",
                tgi_format_time((double)tgi_run_recording_ns(r->run), all, sizeof(all)));
    else if (tgi_run_recording_ns(r->run))
        fprintf(to, "  recording when tasks ran there took %s of the thread that submits to them\n",
                tgi_format_time((double)tgi_run_recording_ns(r->run), all, sizeof(all)));
    struct tgi_run_submitting s;
    tgi_run_submitting(r->run, &s);
    if (s.submitting_ns && executor == TG_EXECUTOR_STREAMS)
        fprintf(to, "  it submitted for %s, saw what had ended for %s and waited for %s\n",
                tgi_format_time((double)s.submitting_ns, all, sizeof(all)), tgi_format_time((double)s.looking_ns, copies, sizeof(copies)),
                tgi_format_time((double)s.waiting_ns, least, sizeof(least)));
}

/* Beside devices CPUs may have nothing to do. */
static bool has_busy_workers(const struct tgi_report *r)
{
    bool any = r->n_devices == 0;
    for (uint32_t i = 0; i < r->n_workers; i++)
        any |= r->workers[i].n_tasks > 0;
    return any;
}

static void print_kernels(const struct tgi_report *r, uint32_t top, FILE *to)
{
    int width = 8;
    bool has_flops = false;
    uint32_t n_rows = r->n_kernels < top ? r->n_kernels : top;
    for (uint32_t i = 0; i < n_rows; i++) {
        int length = (int)strlen(kernel_name(r, &r->kernels[i]));
        width = length > width ? (length < 40 ? length : 40) : width;
        has_flops |= r->kernels[i].flops > 0;
    }
    fprintf(to, "\n  %-*s %11s %11s %11s ± %-9s%s %s\n", width, "kernel", "n", "total", "median", "IQR",
            has_flops ? "   GFLOP/s  " : "", "variant");
    for (uint32_t i = 0; i < n_rows; i++) {
        const struct tgi_report_kernel *k = &r->kernels[i];
        char n[TGI_UNITS_SIZE], total[TGI_UNITS_SIZE], median[TGI_UNITS_SIZE], iqr[TGI_UNITS_SIZE], variant[256];
        fputs("  ", to);
        tgi_utf8_print_column(to, kernel_name(r, k), MOST_CHARACTERS, width);
        fprintf(to, " %11s %11s %11s ± %-9s", tgi_format_count(k->n_tasks, n, sizeof(n)),
                tgi_format_time((double)k->total_ns, total, sizeof(total)),
                tgi_format_time((double)k->median_ns, median, sizeof(median)),
                tgi_format_time((double)k->iqr_ns, iqr, sizeof(iqr)));
        if (has_flops && k->flops > 0 && k->total_ns > 0)
            fprintf(to, "%10.2f  ", k->flops / (double)k->total_ns);
        else if (has_flops)
            fprintf(to, "%10s  ", "-");
        putc(' ', to);
        format_variant(r, k, variant, sizeof(variant));
        tgi_utf8_print_column(to, variant, MOST_CHARACTERS, 0);
        fputc('\n', to);
    }
    if (r->n_kernels > n_rows)
        fprintf(to, "  and %u more kernels\n", r->n_kernels - n_rows);
}

/* The kernel that kept workers waiting most; NULL: none did. */
static const struct tgi_report_kernel *most_blamed(const struct tgi_report *r)
{
    const struct tgi_report_kernel *worst = NULL;
    for (uint32_t i = 0; i < r->n_kernels; i++) {
        if (r->kernels[i].idle_behind_ns > (worst ? worst->idle_behind_ns : 0))
            worst = &r->kernels[i];
    }
    return worst;
}

static void print_waits(const struct tgi_report *r, FILE *to)
{
    const struct tgi_report_kernel *worst = most_blamed(r);
    /* Not worth a line: hardly anybody waited. */
    if (!knows_busy(r) || share(r->idle_ns, tgi_report_whole_ns(r) * tgi_report_n_servers(r)) < 2)
        return;
    double behind = worst ? share(worst->idle_behind_ns, r->idle_ns) : 0,
           end = share(r->idle_end_ns, r->idle_ns);
    if (behind < 5 && end < 5)
        return;
    fprintf(to, "  waits: ");
    if (behind >= 5) {
        fprintf(to, "%.0f %% of idle time behind ", behind);
        tgi_utf8_print_column(to, kernel_name(r, worst), MOST_CHARACTERS, 0);
    }
    if (end >= 5)
        fprintf(to, "%s%.0f %% %sat the end, with fewer tasks than %s", behind >= 5 ? ", " : "", end,
                behind >= 5 ? "" : "of idle time ", r->n_devices ? "devices" : "workers");
    fputc('\n', to);
}

void tgi_report_print(const struct tgi_report *report, uint64_t makespan_ns, uint32_t top, FILE *to)
{
    print_bounds(report, makespan_ns, to);
    if (report->n_devices)
        print_devices(report, to);
    if (has_busy_workers(report))
        print_workers(report, to);
    if (report->is_recorded && report->n_kernels > 0) {
        print_kernels(report, top, to);
        print_waits(report, to);
    }
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_bounds(const struct tgi_report *r, uint64_t makespan_ns, struct tgi_json *json)
{
    double seconds = (double)makespan_ns / 1e9;
    tgi_json_uint(json, "done_tasks", r->stats.n_done);
    tgi_json_uint(json, "failed_tasks", r->stats.n_failed);
    tgi_json_uint(json, "skipped_tasks", r->stats.n_skipped);
    tgi_json_uint(json, "cut_tasks", r->n_cut); /* among the skipped ones */
    tgi_json_uint(json, "retried_tasks", r->stats.n_retried);
    tgi_json_double(json, "tasks_per_s", (double)tasks_that_ran(r) / seconds);
    if (r->flops > 0) {
        tgi_json_double(json, "flop", r->flops);
        tgi_json_double(json, "flop_per_s", r->flops / seconds);
    }
    if (r->predicted_ns > 0)
        tgi_json_double(json, "predicted_ns", r->predicted_ns);
    if (!knows_busy(r))
        return;
    struct tgi_run_bounds bounds = bounds_of(r);
    tgi_json_object(json, "lower_bound");
    tgi_json_uint(json, "bound_ns", (uint64_t)bounds.ns[bounds.binding]);
    tgi_run_bounds_json(&bounds, json);
    tgi_json_end(json);
}

static void put_kernels(const struct tgi_report *r, struct tgi_json *json)
{
    tgi_json_array(json, "kernels");
    for (uint32_t i = 0; i < r->n_kernels; i++) {
        const struct tgi_report_kernel *k = &r->kernels[i];
        char variant[256];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "kernel", kernel_name(r, k));
        tgi_json_uint(json, "tasks", k->n_tasks);
        tgi_json_uint(json, "total_ns", k->total_ns);
        tgi_json_uint(json, "median_ns", k->median_ns);
        tgi_json_uint(json, "iqr_ns", k->iqr_ns);
        tgi_json_uint(json, "min_ns", k->min_ns);
        tgi_json_uint(json, "max_ns", k->max_ns);
        if (k->flops > 0 && k->total_ns > 0)
            tgi_json_double(json, "flop_per_s", k->flops / (double)k->total_ns * 1e9);
        format_variant(r, k, variant, sizeof(variant));
        tgi_json_string(json, "variant", variant);
        if (r->n_devices)
            tgi_json_uint(json, "device_tasks", k->n_on_devices);
        tgi_json_uint(json, "idle_behind_ns", k->idle_behind_ns);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_pool(const char *name, const struct tgi_pool_stats *p, struct tgi_json *json)
{
    tgi_json_flat_object(json, name);
    tgi_json_uint(json, "reserved_bytes", p->reserved_bytes);
    tgi_json_uint(json, "in_use_bytes", p->in_use_bytes);
    tgi_json_uint(json, "peak_bytes", p->peak_bytes);
    tgi_json_uint(json, "free_bytes", p->free_bytes);
    tgi_json_uint(json, "largest_free_bytes", p->largest_free_bytes);
    tgi_json_double(json, "fragmentation", p->fragmentation);
    tgi_json_uint(json, "blocks", p->n_blocks);
    tgi_json_uint(json, "allocations", p->n_allocs);
    tgi_json_uint(json, "reservations", p->n_reserves);
    tgi_json_end(json);
}

static void put_devices(const struct tgi_report *r, struct tgi_json *json)
{
    const struct tgi_run_moved *m = &r->moved;
    char name[32];
    tgi_json_array(json, "devices");
    for (uint32_t i = 0; i < r->n_devices; i++) {
        const struct tgi_run_device *d = &r->devices[i].run;
        snprintf(name, sizeof(name), "%s:%u", d->kind, d->ordinal);
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "device", name);
        tgi_json_string(json, "name", d->name);
        tgi_json_uint(json, "tasks", d->n_tasks);
        if (knows_busy(r))
            tgi_json_uint(json, "busy_ns", r->devices[i].busy_ns);
        tgi_json_uint(json, "moved_in_bytes", d->in_bytes);
        tgi_json_uint(json, "moved_out_bytes", d->out_bytes);
        tgi_json_uint(json, "peak_bytes", d->peak_bytes);
        if (d->pool.n_reserves)
            put_pool("pool", &d->pool, json);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    if (r->pinned.n_reserves)
        put_pool("pinned_pool", &r->pinned, json);
    tgi_json_flat_object(json, "moved");
    tgi_json_uint(json, "to_device_bytes", m->to_device_bytes);
    tgi_json_uint(json, "to_host_bytes", m->to_host_bytes);
    tgi_json_uint(json, "peer_bytes", m->peer_bytes);
    tgi_json_uint(json, "spilled_bytes", m->spilled_bytes);
    tgi_json_uint(json, "copies", m->n_copies);
    tgi_json_uint(json, "evictions", m->n_evictions);
    tgi_json_uint(json, "ahead_copies", m->n_ahead);
    tgi_json_uint(json, "ahead_bytes", m->ahead_bytes);
    if (m->has_least)
        tgi_json_uint(json, "least_bytes", m->least_bytes);
    tgi_json_end(json);
    tgi_json_uint(json, "recording_ns", tgi_run_recording_ns(r->run));
    struct tgi_run_submitting s;
    tgi_run_submitting(r->run, &s);
    if (s.submitting_ns) {
        tgi_json_flat_object(json, "submitter");
        tgi_json_uint(json, "submitting_ns", s.submitting_ns);
        tgi_json_uint(json, "looking_ns", s.looking_ns);
        tgi_json_uint(json, "waiting_ns", s.waiting_ns);
        tgi_json_end(json);
    }
}

void tgi_report_json(const struct tgi_report *r, uint64_t makespan_ns, struct tgi_json *json)
{
    put_bounds(r, makespan_ns, json);
    if (r->n_devices)
        put_devices(r, json);
    tgi_json_array(json, "workers");
    for (uint32_t i = 0; i < r->n_workers; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_uint(json, "worker", i);
        tgi_json_uint(json, "tasks", r->workers[i].n_tasks);
        if (knows_busy(r))
            tgi_json_uint(json, "busy_ns", r->workers[i].busy_ns);
        tgi_json_uint(json, "steals", r->workers[i].n_steals);
        tgi_json_uint(json, "parks", r->workers[i].n_parks);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    if (!r->is_recorded)
        return;
    put_kernels(r, json);
    if (!r->is_whole)
        return;
    tgi_json_uint(json, "idle_ns", r->idle_ns);
    tgi_json_uint(json, "idle_end_ns", r->idle_end_ns);
}
