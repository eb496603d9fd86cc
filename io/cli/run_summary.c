/* See run_summary.h. */
#include "io/cli/run_summary.h"

#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/report.h"
#include "io/units.h"
#include "io/utf8.h"
#include "sched/offload_graph.h"

#define TOP_KERNELS 12

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* "4 x NVIDIA H200 + 8 CPU workers"; devices of one name that stand together are counted. */
static void print_devices(const struct tgi_cli_job *job)
{
    struct tgi_run_device device, next;
    for (uint32_t i = 0, n; i < job->n_devices; i += n) {
        tgi_run_device(job->run, i, &device);
        for (n = 1; i + n < job->n_devices; n++) {
            tgi_run_device(job->run, i + n, &next);
            if (strcmp(next.name, device.name) != 0)
                break;
        }
        printf("%u x ", n);
        tgi_utf8_print(stdout, device.name);
        printf(" + ");
    }
    printf("%u%s worker%s", job->n_workers, job->n_devices ? " CPU" : "", job->n_workers == 1 ? "" : "s");
}

/* Of the tasks of the outermost graph; those of bodies are in the tables. */
static void print_counts(const struct tgi_cli_job *job, const struct tgi_report *report)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    printf("  %-13s %s done, %s failed, ", tgi_cli_job_outcome(job), tgi_format_count(report->stats.n_done, a, sizeof(a)),
           tgi_format_count(report->stats.n_failed, b, sizeof(b)));
    if (report->n_cut)
        printf("%s cut short, ", tgi_format_count(report->n_cut, d, sizeof(d)));
    printf("%s not run\n", tgi_format_count(report->stats.n_skipped - report->n_cut, c, sizeof(c)));
}

/* Placed by guesses: said where it is so. */
static void print_times(const struct tgi_cli_job *job)
{
    struct tgi_run_times t;
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    tgi_run_times(job->run, &t);
    uint64_t n_missing = t.n_declared + t.n_roofline + t.n_sized;
    if (!job->n_devices || !n_missing)
        return;
    printf("  times: %s of %s kernel tasks had no measured time before this run; they were placed by", tgi_format_count(n_missing, a, sizeof(a)),
           tgi_format_count(n_missing + t.n_measured, b, sizeof(b)));
    const struct {
        uint64_t n;
        const char *what;
    } parts[] = {{t.n_declared, "declared times"}, {t.n_roofline, "declared operations and bytes"}, {t.n_sized, "the size of their data"}};
    for (uint32_t i = 0, n = 0; i < 3; i++)
        if (parts[i].n)
            printf("%s %s (%s)", n++ ? "," : "", parts[i].what, tgi_format_count(parts[i].n, a, sizeof(a)));
    putchar('\n');
}

static const struct tgi_cluster *next_cluster(const struct tgi_program *p, uint32_t i)
{
    while (i < p->n && p->commands[i].kind != TGI_COMMAND_RESIDENT)
        i++;
    return i < p->n ? p->commands[i].cluster : NULL;
}

/* Where the start that the tables are of made its graph: what that took of it is no task's. */
static void print_making(const struct tgi_cli_job *job)
{
    struct tgi_offload_graph_stats s;
    char took[TGI_UNITS_SIZE];
    if (!job->n_devices || tg_run_executor(job->run, NULL) == TG_EXECUTOR_STREAMS)
        return;
    tgi_offload_graph_stats(job->run, &s);
    if (s.made_ns)
        printf("  making the graph took %s of the makespan, which --warmup 1 leaves out\n", tgi_format_time((double)s.made_ns, took, sizeof(took)));
}

/* What the devices were given, where some of it was in kernels for fine tasks. */
static void print_resident(const struct tgi_cli_job *job)
{
    struct tgi_offload_graph_stats s;
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    if (!job->n_devices || tg_run_executor(job->run, NULL) != TG_EXECUTOR_RESIDENT)
        return;
    tgi_offload_graph_stats(job->run, &s);
    printf("  resident: %s command%s in %u kernel%s, %s as node%s of the graph\n", tgi_format_count(s.n_resident, a, sizeof(a)),
           s.n_resident == 1 ? "" : "s", s.n_clusters, s.n_clusters == 1 ? "" : "s", tgi_format_count(s.n_nodes, b, sizeof(b)),
           s.n_nodes == 1 ? "" : "s");
    if (s.n_spread)
        printf("  resident: %u of the kernels %s on several devices at once\n", s.n_spread, s.n_spread == 1 ? "is" : "are");
    if (s.not_spread)
        printf("  resident: no kernel is on several devices at once: %s\n", s.not_spread);
    const struct tgi_program *p = tgi_offload_graph_program(job->run);
    uint32_t n_alike = 0;
    for (uint32_t i = 0; p && job->cli->is_verbose && i < p->n; i++) {
        if (p->commands[i].kind != TGI_COMMAND_RESIDENT)
            continue;
        const struct tgi_cluster *one = p->commands[i].cluster, *next = next_cluster(p, i + 1);
        n_alike++;
        if (next && next->n_calls == one->n_calls && strcmp(next->kernel, one->kernel) == 0)
            continue;
        printf("  %u kernel%s of %u task%s: %s\n", n_alike, n_alike == 1 ? "" : "s", one->n_calls, one->n_calls == 1 ? "" : "s",
               one->kernel);
        n_alike = 0;
    }
}

static void print_ahead(const struct tgi_cli_job *job, const struct tgi_run_moved *m)
{
    char bytes[TGI_UNITS_SIZE], n[TGI_UNITS_SIZE];
    if (job->cli->is_verbose && m->n_ahead)
        printf("  sent ahead, while the tasks waited for CPUs: %s in %s cop%s\n", tgi_format_bytes((double)m->ahead_bytes, bytes, sizeof(bytes)),
               tgi_format_count(m->n_ahead, n, sizeof(n)), m->n_ahead == 1 ? "y" : "ies");
}

static void print_pool(const char *name, const struct tgi_pool_stats *p)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    if (p->n_reserves)
        printf("  pool of %s: %s reserved, at most %s in use at once, largest free %s, %.0f %% fragmented; %s allocations\n", name,
               tgi_format_bytes((double)p->reserved_bytes, a, sizeof(a)), tgi_format_bytes((double)p->peak_bytes, b, sizeof(b)),
               tgi_format_bytes((double)p->largest_free_bytes, c, sizeof(c)), 100 * p->fragmentation,
               tgi_format_count(p->n_allocs, d, sizeof(d)));
}

static void print_pools(const struct tgi_cli_job *job, const struct tgi_report *report)
{
    if (!job->cli->is_verbose)
        return;
    for (uint32_t i = 0; i < report->n_devices; i++) {
        const struct tgi_run_device *device = &report->devices[i].run;
        char name[32];
        snprintf(name, sizeof(name), "%s:%u", device->kind, device->ordinal);
        print_pool(name, &device->pool);
    }
    print_pool("pinned host memory", &report->pinned);
}

static void print_text(const struct tgi_cli_job *job, const struct tgi_report *report, uint64_t median_ns)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    const struct tg_graph *g = job->graph;
    tgi_utf8_print(stdout, g->name && g->name[0] ? g->name : "graph");
    printf(": %s task%s, %s edge%s, %s tile%s (%s) on ",
           tgi_format_count(g->n_tasks, a, sizeof(a)),
           g->n_tasks == 1 ? "" : "s", tgi_format_count(report->n_edges, b, sizeof(b)),
           report->n_edges == 1 ? "" : "s", tgi_format_count(report->n_tiles, c, sizeof(c)),
           report->n_tiles == 1 ? "" : "s", tgi_format_bytes((double)report->data_bytes, d, sizeof(d)));
    print_devices(job);
    printf(", policy %s, executor %s%s\n", tgi_cli_job_policy(job), tgi_cli_job_executor(job), job->options.check_finite       ? ", one task at a time"
           : job->options.is_deterministic ? ", deterministic"
                                           : "");
    if (tgi_cli_job_executor_reason(job))
        printf("  executor: %s\n", tgi_cli_job_executor_reason(job));
    if (strcmp(tgi_cli_job_outcome(job), "ok") != 0)
        print_counts(job, report);
    if (report->stats.n_retried)
        printf("  %-13s %s failed attempt%s, as \"retries\" allows\n", "repeated", tgi_format_count(report->stats.n_retried, a, sizeof(a)),
               report->stats.n_retried == 1 ? "" : "s");
    tgi_report_print(report, median_ns, (uint32_t)tgi_cli_int(job->cli, "top", TOP_KERNELS), stdout);
    if (job->n_measured > 1)
        printf("  runs: %u, makespan %s to %s, median %s; the tables are of the last\n", job->n_measured,
               tgi_format_time((double)job->makespans_ns[0], a, sizeof(a)),
               tgi_format_time((double)job->makespans_ns[job->n_measured - 1], b, sizeof(b)),
               tgi_format_time((double)median_ns, c, sizeof(c)));
    print_making(job);
    print_resident(job);
    if (report->n_devices)
        print_ahead(job, &report->moved);
    print_pools(job, report);
    print_times(job);
    tgi_cli_checkpoint_print(job->checkpoint, stdout);
    tgi_cli_results_print(&job->results, stdout);
}

static void put_resident(const struct tgi_cli_job *job, struct tgi_json *json)
{
    struct tgi_offload_graph_stats s;
    if (!job->n_devices || tg_run_executor(job->run, NULL) != TG_EXECUTOR_RESIDENT)
        return;
    tgi_offload_graph_stats(job->run, &s);
    tgi_json_flat_object(json, "resident");
    tgi_json_uint(json, "kernels", s.n_clusters);
    tgi_json_uint(json, "commands", s.n_resident);
    tgi_json_uint(json, "nodes", s.n_nodes);
    if (s.n_spread)
        tgi_json_uint(json, "spread", s.n_spread);
    tgi_json_end(json);
}

/* What was expected of tasks inside resident kernels, where these were weighed. */
static void put_gain(const struct tgi_cli_job *job, struct tgi_json *json)
{
    const struct tgi_replay_choice *choice = job->n_devices ? tgi_offload_graph_choice(job->run) : NULL;
    const struct tgi_gain *g = choice ? tgi_replay_gain(choice) : NULL;
    if (!g)
        return;
    tgi_json_flat_object(json, "weighed");
    tgi_json_uint(json, "tasks", g->n_tasks);
    tgi_json_uint(json, "timed_tasks", g->n_timed);
    tgi_json_double(json, "resident_ns", g->resident_ns);
    tgi_json_double(json, "worst_ns", g->worst_ns);
    tgi_json_double(json, "nodes_ns", g->nodes_ns);
    tgi_json_end(json);
}

static void put_times(const struct tgi_cli_job *job, struct tgi_json *json)
{
    struct tgi_run_times t;
    tgi_run_times(job->run, &t);
    if (!job->n_devices)
        return;
    tgi_json_flat_object(json, "placed_by");
    tgi_json_uint(json, "measured_tasks", t.n_measured);
    tgi_json_uint(json, "declared_tasks", t.n_declared);
    tgi_json_uint(json, "roofline_tasks", t.n_roofline);
    tgi_json_uint(json, "size_tasks", t.n_sized);
    tgi_json_end(json);
}

static void print_json(const struct tgi_cli_job *job, const struct tgi_report *report, uint64_t median_ns)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "run");
    tgi_json_string(&json, "file", job->cli->operands[0]);
    tgi_json_string(&json, "name", job->graph->name);
    tgi_json_string(&json, "outcome", tgi_cli_job_outcome(job));
    if (job->status) {
        char code[16];
        snprintf(code, sizeof(code), "TG%04d", -job->status);
        tgi_json_flat_object(&json, "error");
        tgi_json_string(&json, "code", code);
        tgi_json_string(&json, "text", job->err.text);
        tgi_json_string(&json, "task", job->err.task[0] ? job->err.task : NULL);
        tgi_json_end(&json);
    }
    tgi_json_uint(&json, "tasks", job->graph->n_tasks);
    tgi_json_uint(&json, "edges", report->n_edges);
    tgi_json_uint(&json, "tiles", report->n_tiles);
    tgi_json_uint(&json, "data_bytes", report->data_bytes);
    tgi_json_uint(&json, "n_workers", job->n_workers);
    tgi_json_string(&json, "policy", tgi_cli_job_policy(job));
    tgi_json_string(&json, "executor", tgi_cli_job_executor(job));
    put_resident(job, &json);
    if (tgi_cli_job_executor_reason(job))
        tgi_json_string(&json, "executor_reason", tgi_cli_job_executor_reason(job));
    put_gain(job, &json);
    tgi_json_bool(&json, "is_deterministic", job->options.is_deterministic);
    if (job->options.is_deterministic)
        tgi_json_uint(&json, "seed", job->options.seed);
    tgi_json_bool(&json, "check_nan", job->options.check_finite);
    tgi_json_uint(&json, "makespan_ns", median_ns);
    tgi_json_flat_array(&json, "makespans_ns");
    for (uint32_t i = 0; i < job->n_measured; i++)
        tgi_json_uint(&json, NULL, job->makespans_ns[i]);
    tgi_json_end(&json);
    tgi_json_uint(&json, "init_ns", report->stats.init_ns);
    put_times(job, &json);
    tgi_report_json(report, median_ns, &json);
    tgi_cli_checkpoint_json(job->checkpoint, &json);
    tgi_cli_results_json(&job->results, &json);
    tgi_json_end(&json);
}

int tgi_cli_run_summarise(struct tgi_cli_job *job)
{
    struct tgi_report report;
    struct tg_error err;
    if (job->cli->is_quiet && job->cli->format == TGI_FORMAT_TEXT)
        return 0;
    if (tgi_report_create(job->graph, job->run, &report, &err))
        return tgi_cli_error(job->cli, &err);
    report.predicted_ns = job->predicted_ns;
    report.machine_bounds = tgi_cli_job_bounds(job);
    qsort(job->makespans_ns, job->n_measured, sizeof(*job->makespans_ns), compare_u64);
    uint64_t median_ns = job->n_measured ? job->makespans_ns[job->n_measured / 2] : 0;
    if (job->cli->format == TGI_FORMAT_JSON)
        print_json(job, &report, median_ns);
    else
        print_text(job, &report, median_ns);
    tgi_report_fini(&report);
    return 0;
}
