/* tgraph report: what records say. */
#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/cli/recording.h"
#include "io/output.h"
#include "io/recording_export.h"
#include "io/recording_table.h"
#include "io/units.h"
#include "io/utf8.h"

#define TOP 12
#define NAME_WIDTH 40

enum table { BY_KERNEL = 1, BY_DEVICE = 2, BY_TASK = 4, BY_LINK = 8 };

struct job {
    const struct tgi_cli *cli;
    unsigned tables; /* enum table */
    uint32_t top;
    const char *path;
    struct tgi_recording r;
    struct tgi_recording_paths paths;
    struct tgi_recording_table table;
    uint32_t *longest, n_longest; /* with BY_TASK */
};

static int choose_tables(struct job *job)
{
    static const char *const names[] = {"kernel", "device", "task", "link"};
    const char *text = tgi_cli_text(job->cli, "by", "kernel,device");
    while (*text) {
        size_t length = strcspn(text, ","), i = 0;
        while (i < 4 && (strlen(names[i]) != length || strncmp(names[i], text, length) != 0))
            i++;
        if (i == 4)
            return tgi_cli_usage(job->cli, "--by: there is no table \"%.*s\"; there is kernel, device, task and link", (int)length,
                                 text);
        job->tables |= 1u << i;
        text += length + (text[length] == ',');
    }
    return 0;
}

static double share(uint64_t part, uint64_t whole) { return whole ? 100.0 * (double)part / (double)whole : 0; }

static bool knows_bounds(const struct job *job) { return tgi_recording_knows_bounds(&job->r, &job->paths); }

/* ---- Text ---------------------------------------------------------------------------------*/

static void print_bounds(const struct job *job)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE];
    const struct tgi_recording_paths *p = &job->paths;
    double makespan_ns = (double)job->r.head.makespan_ns;
    printf("  makespan      %10s", tgi_format_time(makespan_ns, a, sizeof(a)));
    if (makespan_ns > 0)
        printf("   %s tasks/s", tgi_format_short((double)job->table.n_work / makespan_ns * 1e9, b, sizeof(b)));
    if (job->table.n_failed || job->table.n_not_run)
        printf("   %s done, %s failed, %s not run", tgi_format_count(job->table.n_done, a, sizeof(a)),
               tgi_format_count(job->table.n_failed, b, sizeof(b)), tgi_format_count(job->table.n_not_run, c, sizeof(c)));
    putchar('\n');
    if (!knows_bounds(job))
        return;
    struct tgi_run_bounds bounds = tgi_recording_bounds(&job->r, p);
    tgi_run_bounds_print(&bounds, stdout);
}

static int name_width(const struct job *job, uint32_t n_rows)
{
    int width = 8;
    for (uint32_t i = 0; i < n_rows; i++) {
        int length = (int)strlen(tgi_recording_kernel_name(&job->r, job->table.kernels[i].kernel));
        width = length > width ? (length < NAME_WIDTH ? length : NAME_WIDTH) : width;
    }
    return width;
}

static void print_kernels(const struct job *job)
{
    uint32_t n_rows = job->table.n_kernels < job->top ? job->table.n_kernels : job->top;
    int width = name_width(job, n_rows);
    printf("\n  %-*s %11s %11s %11s ± %-9s %11s %11s   %s\n", width, "kernel", "n", "total", "median", "IQR", "longest",
           "queued", "of critical path");
    for (uint32_t i = 0; i < n_rows; i++) {
        const struct tgi_kernel_figures *k = &job->table.kernels[i];
        char n[TGI_UNITS_SIZE], total[TGI_UNITS_SIZE], median[TGI_UNITS_SIZE], iqr[TGI_UNITS_SIZE], most[TGI_UNITS_SIZE],
            queued[TGI_UNITS_SIZE];
        printf("  ");
        tgi_utf8_print_column(stdout, tgi_recording_kernel_name(&job->r, k->kernel), NAME_WIDTH, width);
        printf(" %11s %11s %11s ± %-9s %11s %11s   %5.1f %%\n", tgi_format_count(k->n_tasks, n, sizeof(n)),
               tgi_format_time((double)k->total_ns, total, sizeof(total)),
               tgi_format_time((double)k->median_ns, median, sizeof(median)),
               tgi_format_time((double)k->iqr_ns, iqr, sizeof(iqr)), tgi_format_time((double)k->max_ns, most, sizeof(most)),
               tgi_format_time((double)k->queued_ns / (double)k->n_tasks, queued, sizeof(queued)),
               share(k->critical_ns, job->paths.critical_ns));
    }
    if (job->table.n_kernels > n_rows)
        printf("  and %u more kernels\n", job->table.n_kernels - n_rows);
}

static void print_lanes(const struct job *job)
{
    const struct tgi_recording *r = &job->r;
    printf("\n  lane               tasks      busy    steals\n");
    for (uint32_t i = 0; i < r->n_lanes; i++) {
        const struct tgi_lane_figures *lane = &job->table.lanes[i];
        char name[64], n[TGI_UNITS_SIZE], steals[TGI_UNITS_SIZE];
        if (lane->n_tasks == 0 && (r->lanes[i].kind != TGI_LANE_WORKER || r->n_devices))
            continue; /* beside devices many workers may have nothing to do */
        printf("  ");
        tgi_utf8_print_column(stdout, tgi_recording_lane_name(r, i, name, sizeof(name)), 16, 12);
        printf(" %11s   %5.1f %%  %8s\n", tgi_format_count(lane->n_tasks, n, sizeof(n)),
               share(lane->busy_ns, r->head.makespan_ns), tgi_format_count(r->lanes[i].n_steals, steals, sizeof(steals)));
    }
    for (uint32_t i = 0; i < r->n_devices; i++) {
        const struct tgi_recording_device *d = &r->devices[i];
        char in[TGI_UNITS_SIZE], out[TGI_UNITS_SIZE], peak[TGI_UNITS_SIZE], name[64];
        printf("  ");
        tgi_utf8_print(stdout, tgi_recording_node_name(r, i + 1, name, sizeof(name)));
        printf(" (");
        tgi_utf8_print(stdout, tgi_recording_string(r, d->name));
        printf("): moved in %s, out %s; peak memory %s\n", tgi_format_bytes((double)d->in_bytes, in, sizeof(in)),
               tgi_format_bytes((double)d->out_bytes, out, sizeof(out)), tgi_format_bytes((double)d->peak_bytes, peak, sizeof(peak)));
    }
}

static void print_tasks(const struct job *job)
{
    const struct tgi_recording *r = &job->r;
    char name[TGI_RECORDING_NAME_SIZE], lane[64], start[TGI_UNITS_SIZE], took[TGI_UNITS_SIZE], queued[TGI_UNITS_SIZE],
        slack[TGI_UNITS_SIZE];
    uint32_t n_rows = job->n_longest < job->top ? job->n_longest : job->top;
    printf("\n  %-*s %11s %11s %11s %14s  %s\n", NAME_WIDTH, "longest tasks", "took", "start", "queued", "slack", "lane");
    for (uint32_t i = 0; i < n_rows; i++) {
        uint32_t t = job->longest[i];
        const struct tgi_recording_task *task = &r->tasks[t];
        printf("  ");
        tgi_utf8_print_column(stdout, tgi_recording_task_name(r, t, name, sizeof(name)), NAME_WIDTH, NAME_WIDTH);
        printf(" %11s %11s %11s %14s  ", tgi_format_time((double)tgi_recording_took_ns(r, t), took, sizeof(took)),
               tgi_format_time((double)task->start_ns, start, sizeof(start)),
               tgi_format_time((double)(task->start_ns - (task->ready_ns < task->start_ns ? task->ready_ns : task->start_ns)), queued,
                               sizeof(queued)),
               job->paths.is_critical[t] ? "critical" : tgi_format_time((double)job->paths.slack_ns[t], slack, sizeof(slack)));
        tgi_utf8_print(stdout, tgi_recording_lane_name(r, task->lane, lane, sizeof(lane)));
        putchar('\n');
    }
}

static void print_links(const struct job *job)
{
    const struct tgi_recording_head *h = &job->r.head;
    char from[64], to[64], n[TGI_UNITS_SIZE], bytes[TGI_UNITS_SIZE];
    if (h->n_copies == 0 && job->table.n_links == 0) {
        printf("\n  nothing was moved between memories\n");
        return;
    }
    printf("\n  moved: %s in %s copies; ", tgi_format_bytes((double)(h->to_device_bytes + h->to_host_bytes + h->peer_bytes), bytes, sizeof(bytes)),
           tgi_format_count(h->n_copies, n, sizeof(n)));
    printf("%s to devices, ", tgi_format_bytes((double)h->to_device_bytes, bytes, sizeof(bytes)));
    printf("%s to the host, ", tgi_format_bytes((double)h->to_host_bytes, bytes, sizeof(bytes)));
    printf("%s between devices\n", tgi_format_bytes((double)h->peer_bytes, bytes, sizeof(bytes)));
    for (uint32_t i = 0; i < job->table.n_links; i++) {
        const struct tgi_link_figures *link = &job->table.links[i];
        printf("  ");
        tgi_utf8_print_column(stdout, tgi_recording_node_name(&job->r, link->from, from, sizeof(from)), 16, 10);
        printf(" -> ");
        tgi_utf8_print_column(stdout, tgi_recording_node_name(&job->r, link->to, to, sizeof(to)), 16, 10);
        printf(" %11s in %s copies\n", tgi_format_bytes((double)link->bytes, bytes, sizeof(bytes)),
               tgi_format_count(link->n_copies, n, sizeof(n)));
    }
}

static void print_text(const struct job *job)
{
    tgi_cli_print_recording(&job->r);
    print_bounds(job);
    if (job->tables & BY_DEVICE)
        print_lanes(job);
    if (job->tables & BY_KERNEL)
        print_kernels(job);
    if (job->tables & BY_TASK)
        print_tasks(job);
    if (job->tables & BY_LINK)
        print_links(job);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_kernels(const struct job *job, struct tgi_json *json)
{
    tgi_json_array(json, "kernels");
    for (uint32_t i = 0; i < job->table.n_kernels; i++) {
        const struct tgi_kernel_figures *k = &job->table.kernels[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "kernel", tgi_recording_kernel_name(&job->r, k->kernel));
        tgi_json_uint(json, "tasks", k->n_tasks);
        tgi_kernel_figures_json(k, json);
        if (k->flops > 0 && k->total_ns > 0)
            tgi_json_double(json, "flop_per_s", k->flops / (double)k->total_ns * 1e9);
        tgi_json_string(json, "variant", tgi_recording_string(&job->r, job->r.kernels[k->kernel].variant));
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_lanes(const struct job *job, struct tgi_json *json)
{
    char name[64];
    tgi_json_array(json, "lanes");
    for (uint32_t i = 0; i < job->r.n_lanes; i++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "lane", tgi_recording_lane_name(&job->r, i, name, sizeof(name)));
        tgi_json_uint(json, "tasks", job->table.lanes[i].n_tasks);
        tgi_json_uint(json, "busy_ns", job->table.lanes[i].busy_ns);
        tgi_json_uint(json, "steals", job->r.lanes[i].n_steals);
        tgi_json_uint(json, "parks", job->r.lanes[i].n_parks);
        tgi_json_end(json);
    }
    tgi_json_end(json);
    tgi_json_array(json, "devices");
    for (uint32_t i = 0; i < job->r.n_devices; i++) {
        const struct tgi_recording_device *d = &job->r.devices[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "device", tgi_recording_node_name(&job->r, i + 1, name, sizeof(name)));
        tgi_json_string(json, "name", tgi_recording_string(&job->r, d->name));
        tgi_json_uint(json, "moved_in_bytes", d->in_bytes);
        tgi_json_uint(json, "moved_out_bytes", d->out_bytes);
        tgi_json_uint(json, "peak_bytes", d->peak_bytes);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_tasks(const struct job *job, struct tgi_json *json)
{
    char name[TGI_RECORDING_NAME_SIZE], lane[64];
    tgi_json_array(json, "longest_tasks");
    for (uint32_t i = 0; i < job->n_longest && i < job->top; i++) {
        uint32_t t = job->longest[i];
        const struct tgi_recording_task *task = &job->r.tasks[t];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "task", tgi_recording_task_name(&job->r, t, name, sizeof(name)));
        tgi_json_string(json, "kernel", tgi_recording_kernel_name(&job->r, task->kernel));
        tgi_json_string(json, "lane", tgi_recording_lane_name(&job->r, task->lane, lane, sizeof(lane)));
        tgi_json_uint(json, "ready_ns", task->ready_ns);
        tgi_json_uint(json, "start_ns", task->start_ns);
        tgi_json_uint(json, "end_ns", task->end_ns);
        tgi_json_uint(json, "slack_ns", job->paths.slack_ns[t]);
        tgi_json_bool(json, "is_critical", job->paths.is_critical[t]);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_links(const struct job *job, struct tgi_json *json)
{
    const struct tgi_recording_head *h = &job->r.head;
    char node[64];
    tgi_json_flat_object(json, "moved");
    tgi_json_uint(json, "to_device_bytes", h->to_device_bytes);
    tgi_json_uint(json, "to_host_bytes", h->to_host_bytes);
    tgi_json_uint(json, "peer_bytes", h->peer_bytes);
    tgi_json_uint(json, "spilled_bytes", h->spilled_bytes);
    tgi_json_uint(json, "copies", h->n_copies);
    tgi_json_end(json);
    tgi_json_array(json, "links");
    for (uint32_t i = 0; i < job->table.n_links; i++) {
        const struct tgi_link_figures *link = &job->table.links[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "from", tgi_recording_node_name(&job->r, link->from, node, sizeof(node)));
        tgi_json_string(json, "to", tgi_recording_node_name(&job->r, link->to, node, sizeof(node)));
        tgi_json_uint(json, "copies", link->n_copies);
        tgi_json_uint(json, "moved_bytes", link->bytes);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_record(const struct job *job, struct tgi_json *json)
{
    const struct tgi_recording *r = &job->r;
    tgi_json_object(json, NULL);
    tgi_json_string(json, "file", job->path);
    tgi_json_string(json, "name", tgi_recording_string(r, r->head.name));
    tgi_json_string(json, "outcome", tgi_recording_string(r, r->head.outcome));
    tgi_json_string(json, "policy", tgi_recording_string(r, r->head.policy));
    tgi_json_string(json, "machine", tgi_recording_string(r, r->head.machine));
    tgi_json_uint(json, "began_s", r->head.began_s);
    tgi_json_bool(json, "is_cut", r->is_cut);
    tgi_json_bool(json, "is_unfinished", r->is_unfinished);
    tgi_json_uint(json, "tasks", r->head.n_tasks);
    tgi_json_uint(json, "n_workers", r->head.n_workers);
    tgi_json_uint(json, "makespan_ns", r->head.makespan_ns);
    tgi_json_uint(json, "done_tasks", job->table.n_done);
    tgi_json_uint(json, "failed_tasks", job->table.n_failed);
    tgi_json_uint(json, "skipped_tasks", job->table.n_not_run);
    if (knows_bounds(job)) {
        struct tgi_run_bounds bounds = tgi_recording_bounds(r, &job->paths);
        tgi_json_uint(json, "bound_ns", (uint64_t)bounds.ns[bounds.binding]);
        tgi_run_bounds_json(&bounds, json);
    }
    if (job->tables & BY_DEVICE)
        put_lanes(job, json);
    if (job->tables & BY_KERNEL)
        put_kernels(job, json);
    if (job->tables & BY_TASK)
        put_tasks(job, json);
    if (job->tables & BY_LINK)
        put_links(job, json);
    tgi_json_end(json);
}

/* ---- Page ---------------------------------------------------------------------------------*/

static int write_page(const struct tgi_recording *r, const struct tgi_recording_paths *paths, const char *to, struct tg_error *err)
{
    struct tgi_output out;
    int rc = tgi_output_open(&out, to, err);
    if (rc)
        return rc;
    rc = tgi_recording_write_html(r, paths, out.file, err);
    if (rc == 0)
        rc = tgi_output_finish(&out, err);
    tgi_output_abandon(&out);
    return rc;
}

static int make_page(const struct tgi_cli *cli, const char *to)
{
    struct tgi_recording r;
    struct tgi_recording_paths paths;
    struct tg_error err;
    if (cli->n_operands > 1 || tgi_cli_has(cli, "by") || tgi_cli_has(cli, "top") || cli->format == TGI_FORMAT_JSON)
        return tgi_cli_usage(cli, "--html writes all of one record; it does not go with %s",
                             cli->n_operands > 1 ? "several" : tgi_cli_has(cli, "by") ? "--by" : tgi_cli_has(cli, "top") ? "--top" : "--format json");
    int rc = tgi_cli_read_recording(cli, cli->operands[0], &r, &paths);
    if (rc)
        return rc;
    rc = write_page(&r, &paths, to, &err);
    tgi_recording_paths_fini(&paths);
    tgi_recording_fini(&r);
    return rc ? tgi_cli_error(cli, &err) : 0;
}

/* ---- The whole ----------------------------------------------------------------------------*/

/* json NULL: as text. */
static int report_one(struct job *job, const char *path, struct tgi_json *json)
{
    struct tg_error err;
    job->path = path;
    job->longest = NULL;
    int rc = tgi_cli_read_recording(job->cli, path, &job->r, &job->paths);
    if (rc)
        return rc;
    rc = tgi_recording_table_create(&job->r, &job->paths, &job->table, &err);
    if (rc == 0 && job->tables & BY_TASK)
        rc = tgi_recording_longest(&job->r, &job->longest, &job->n_longest, &err);
    if (rc == 0 && json)
        put_record(job, json);
    else if (rc == 0)
        print_text(job);
    free(job->longest);
    tgi_recording_table_fini(&job->table);
    tgi_recording_paths_fini(&job->paths);
    tgi_recording_fini(&job->r);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

int tgi_cli_summarise_recording(const struct tgi_cli *cli, const char *path, const struct tgi_recording *r, struct tgi_json *json)
{
    struct job job = {.cli = cli, .tables = BY_KERNEL | BY_DEVICE, .top = (uint32_t)tgi_cli_int(cli, "top", TOP), .path = path, .r = *r};
    struct tg_error err;
    int rc = tgi_recording_paths_create(&job.r, &job.paths, &err);
    if (rc)
        return tgi_cli_error(cli, &err);
    rc = tgi_recording_table_create(&job.r, &job.paths, &job.table, &err);
    if (rc == 0 && json)
        put_record(&job, json);
    else if (rc == 0)
        print_text(&job);
    tgi_recording_table_fini(&job.table);
    tgi_recording_paths_fini(&job.paths);
    return rc ? tgi_cli_error(cli, &err) : 0;
}

int tgi_cli_report(struct tgi_cli *cli)
{
    struct job job = {.cli = cli, .top = (uint32_t)tgi_cli_int(cli, "top", TOP)};
    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    bool is_json = cli->format == TGI_FORMAT_JSON;
    const char *page = tgi_cli_text(cli, "html", NULL);
    int worst = choose_tables(&job);
    if (worst || page)
        return worst ? worst : make_page(cli, page);
    if (is_json) {
        json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "report");
        tgi_json_array(&json, "records");
    }
    for (uint32_t i = 0; i < cli->n_operands; i++) {
        if (i > 0 && !is_json)
            putchar('\n');
        int rc = report_one(&job, cli->operands[i], is_json ? &json : NULL);
        worst = rc > worst ? rc : worst;
    }
    if (is_json) {
        tgi_json_end(&json);
        tgi_json_end(&json);
    }
    return worst;
}
