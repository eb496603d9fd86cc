/* tgraph calibrate: measures this machine, for plans and predictions. */
#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/cli/machine_choice.h"
#include "io/machine_json.h"
#include "io/output.h"
#include "io/units.h"

enum { THRESHOLD_PERCENT = 25 };

struct job {
    const struct tgi_cli *cli;
    struct tgi_calibration how;
    char devices[TGI_CALIBRATION_TEXT];
    struct tgi_machine machine;
    struct tgi_machine saved;  /* with --check */
    double threshold;          /* a fraction */
    struct tgi_drift *drifts;
    uint32_t n_drifts, n_worse, n_better; /* beyond the threshold */
    struct tgi_output out;
};

/* ---- Measuring ----------------------------------------------------------------------------*/

/* Every graph's kernels, after those that are built in. */
static int measure_kernels(struct job *job)
{
    struct tg_error err;
    const char *path;
    uint32_t n = 0;
    while ((path = tgi_cli_list(job->cli, "kernels", n))) {
        struct tg_graph *graph;
        int rc = tgi_cli_load(job->cli, path, TGI_LOAD_AND_FREEZE, &graph);
        if (rc)
            return rc;
        rc = tgi_calibrate_graph(&job->how, graph, &job->machine, &err);
        tg_graph_destroy(graph);
        if (rc)
            return tgi_cli_error(job->cli, &err);
        n++;
    }
    return 0;
}

static int measure(struct job *job)
{
    struct tg_error err;
    enum tgi_calibrate_builtins which = tgi_cli_has(job->cli, "kernels") ? TGI_CALIBRATE_PEAK : TGI_CALIBRATE_ALL;
    int rc = tgi_calibrate_machine(&job->how, &job->machine, &err);
    if (rc == 0)
        rc = tgi_calibrate_builtins(&job->how, which, &job->machine, &err);
    return rc ? tgi_cli_error(job->cli, &err) : measure_kernels(job);
}

static int save(struct job *job)
{
    struct tg_error err;
    if (!job->out.file)
        return 0;
    tgi_machine_write(&job->machine, job->out.file);
    return tgi_output_finish(&job->out, &err) ? tgi_cli_error(job->cli, &err) : 0;
}

static int compare(struct job *job)
{
    struct tg_error err;
    if (tgi_calibrate_compare(&job->saved, &job->machine, &job->drifts, &job->n_drifts, &err))
        return tgi_cli_error(job->cli, &err);
    for (uint32_t i = 0; i < job->n_drifts; i++) {
        job->n_worse += job->drifts[i].worse > job->threshold;
        job->n_better += job->drifts[i].worse < -job->threshold / (1 + job->threshold);
    }
    return 0;
}

static bool is_beyond(const struct job *job, const struct tgi_drift *d)
{
    return d->worse > job->threshold || d->worse < -job->threshold / (1 + job->threshold);
}

/* ---- Text ---------------------------------------------------------------------------------*/

static const char *format_rate(double per_ns, char *text, size_t size)
{
    return tgi_format_scaled(per_ns * 1e9, "B/s", text, size);
}

static void print_classes(const struct tgi_machine *m)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    printf("\n  %-8s %14s %12s %12s %14s\n", "class", "compute", "a task", "a MiB", "an event");
    for (uint32_t i = 0; i < m->n_classes; i++) {
        const struct tgi_machine_class *k = &m->classes[i];
        printf("  %-8s %14s %12s %12s %14s\n", k->name, tgi_format_scaled(k->flops_per_ns * 1e9, "flop/s", a, sizeof(a)),
               tgi_format_time(k->launch_ns, b, sizeof(b)), tgi_format_time(k->alloc_ns, c, sizeof(c)),
               k->event_ns > 0 ? tgi_format_time(k->event_ns, d, sizeof(d)) : "-");
    }
}

static void print_memories(const struct tgi_machine *m)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE];
    printf("\n  %-8s %14s %14s %14s\n", "memory", "size", "bandwidth", "one lane");
    for (uint32_t i = 0; i < m->n_memories; i++) {
        double lane = 0;
        for (uint32_t d = 0; d < m->n_devices; d++)
            if (m->devices[d].memory == i)
                lane = m->classes[m->devices[d].class].lane_bytes_per_ns;
        printf("  %-8s %14s %14s %14s\n", m->memories[i].name, tgi_format_bytes((double)m->memories[i].bytes, a, sizeof(a)),
               format_rate(m->memories[i].bytes_per_ns, b, sizeof(b)), lane > 0 ? format_rate(lane, c, sizeof(c)) : "-");
    }
}

static void print_links(const struct tgi_machine *m)
{
    static const char *const shares[] = {"nothing", "the link", "ports", "a root"};
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    if (m->n_memories < 2)
        return;
    printf("\n  %-8s %-8s %12s %14s  %s\n", "from", "to", "latency", "bandwidth", "shares");
    for (uint32_t i = 0; i < m->n_links; i++)
        printf("  %-8s %-8s %12s %14s  %s\n", m->links[i].from, m->links[i].to,
               tgi_format_time(m->links[i].latency_ns, a, sizeof(a)), format_rate(m->links[i].bytes_per_ns, b, sizeof(b)),
               shares[m->links[i].share]);
}

static void print_kernels(const struct tgi_machine *m)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    printf("\n  %-24s %-6s %12s %12s %12s %12s  %s\n", "kernel", "class", "median", "spread", "together", "in graphs", "arguments");
    for (uint32_t i = 0; i < m->n_times; i++) {
        const struct tgi_machine_time *t = &m->times[i];
        printf("  %-24s %-6s %12s %12s %12s %12s  %s\n", t->kernel, m->classes[t->class].name,
               tgi_format_time(t->median_ns, a, sizeof(a)), tgi_format_time(t->spread_ns, b, sizeof(b)),
               t->together_ns > 0 ? tgi_format_time(t->together_ns, c, sizeof(c)) : "-",
               t->graph_ns > 0 ? tgi_format_time(t->graph_ns, d, sizeof(d)) : "-", t->arguments);
    }
}

static void print_ends(const struct tgi_machine *m)
{
    char streams[TGI_UNITS_SIZE], graph[TGI_UNITS_SIZE];
    const struct tgi_machine_replay *r = m->n_replays ? &m->replays[m->n_replays - 1] : NULL;
    if (r && r->ns[TGI_REPLAY_ON_STREAMS] > 0 && r->ns[TGI_REPLAY_AS_GRAPH] > 0)
        printf("  beginning and ending a run on %s: %s on streams, %s as a graph\n", m->classes[r->class].name,
               tgi_format_time(r->ns[TGI_REPLAY_ON_STREAMS], streams, sizeof(streams)),
               tgi_format_time(r->ns[TGI_REPLAY_AS_GRAPH], graph, sizeof(graph)));
}

static void print_replays(const struct tgi_machine *m)
{
    char text[TGI_N_REPLAY_COSTS][TGI_UNITS_SIZE], n[TGI_UNITS_SIZE];
    if (m->n_replays)
        printf("\n  %-14s %-6s %12s %14s %12s %12s %12s %12s\n", "as a graph of", "class", "recording", "instantiating", "updating",
               "launching", "a copy", "on streams");
    for (uint32_t i = 0; i < m->n_replays; i++) {
        const struct tgi_machine_replay *r = &m->replays[i];
        for (int c = 0; c < TGI_N_REPLAY_COSTS; c++)
            if (r->ns[c] > 0)
                tgi_format_time(r->ns[c], text[c], sizeof(text[c]));
            else
                strcpy(text[c], "-");
        printf("  %8s tasks %-6s %12s %14s %12s %12s %12s %12s a task\n", tgi_format_count(r->n_tasks, n, sizeof(n)), m->classes[r->class].name,
               text[TGI_REPLAY_RECORD], text[TGI_REPLAY_INSTANTIATE], text[TGI_REPLAY_UPDATE], text[TGI_REPLAY_LAUNCH],
               text[TGI_REPLAY_COPY], text[TGI_REPLAY_SUBMIT]);
    }
    print_ends(m);
}

static const char *format_known(double ns, char *text, size_t size) { return ns > 0 ? tgi_format_time(ns, text, size) : "-"; }

static void print_inside(const struct tgi_machine *m)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    for (uint32_t i = 0; i < m->n_classes; i++) {
        const struct tgi_machine_class *k = &m->classes[i];
        if (k->node_ns > 0 || k->chain_ns > 0 || k->resident_task_ns > 0)
            printf("  on %s: a node of a graph %s among others, %s after another; a resident kernel %s, a task in it %s\n", k->name,
                   format_known(k->node_ns, a, sizeof(a)), format_known(k->chain_ns, b, sizeof(b)),
                   format_known(k->resident_start_ns, c, sizeof(c)), format_known(k->resident_task_ns, d, sizeof(d)));
    }
}

/* What is far apart from one time to the next says that something else was at work. */
static void warn_of_spread(const struct job *job)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < job->machine.n_times; i++)
        n += job->machine.times[i].spread_ns > job->machine.times[i].median_ns / 5;
    if (n)
        tgi_cli_note(job->cli, "%u of %u times of kernels have a spread of more than 20 %%: is anything else at work here?", n,
                     job->machine.n_times);
}

static void print_machine(const struct job *job)
{
    const struct tgi_machine *m = &job->machine;
    printf("%s, %u core%s", m->origin.cpu, m->origin.n_cores, m->origin.n_cores == 1 ? "" : "s");
    if (m->origin.n_gpus)
        printf(" + %u x %s", m->origin.n_gpus, m->origin.gpu);
    printf(": %s\n", job->how.is_quick ? "measured quickly" : "measured");
    print_classes(m);
    print_memories(m);
    print_links(m);
    print_kernels(m);
    print_replays(m);
    print_inside(m);
}

static void print_drift(const struct job *job)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE];
    printf("%u figures compared, %u slower and %u faster by more than %.0f %%\n", job->n_drifts, job->n_worse, job->n_better,
           100 * job->threshold);
    for (uint32_t i = 0; i < job->n_drifts; i++) {
        const struct tgi_drift *d = &job->drifts[i];
        if (!is_beyond(job, d))
            continue;
        printf("  %-56s %12s -> %-12s %s by %.0f %%\n", d->what,
               d->is_rate ? format_rate(d->before, a, sizeof(a)) : tgi_format_time(d->before, a, sizeof(a)),
               d->is_rate ? format_rate(d->after, b, sizeof(b)) : tgi_format_time(d->after, b, sizeof(b)),
               d->worse > 0 ? "slower" : "faster", 100 * (d->worse > 0 ? d->worse : 1 / (1 + d->worse) - 1));
    }
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_drifts(const struct job *job, struct tgi_json *json)
{
    tgi_json_double(json, "threshold", job->threshold);
    tgi_json_uint(json, "slower", job->n_worse);
    tgi_json_uint(json, "faster", job->n_better);
    tgi_json_array(json, "compared");
    for (uint32_t i = 0; i < job->n_drifts; i++) {
        const struct tgi_drift *d = &job->drifts[i];
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "what", d->what);
        tgi_json_double(json, d->is_rate ? "before_bytes_per_s" : "before_ns", d->before * (d->is_rate ? 1e9 : 1));
        tgi_json_double(json, d->is_rate ? "after_bytes_per_s" : "after_ns", d->after * (d->is_rate ? 1e9 : 1));
        tgi_json_double(json, "slower_by", d->worse);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

/* The machine as its file has it, but for the newline at its end. */
static void put_machine(const struct job *job, struct tgi_json *json)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (to)
        tgi_machine_write(&job->machine, to);
    if (to && fclose(to) == 0) {
        text[size - 1] = '\0';
        tgi_json_raw(json, "machine", text);
    } else {
        tgi_json_null(json, "machine");
    }
    free(text);
}

static void put_json(const struct job *job)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "calibrate");
    tgi_json_bool(&json, "is_quick", job->how.is_quick);
    put_machine(job, &json);
    if (tgi_cli_has(job->cli, "check"))
        put_drifts(job, &json);
    tgi_json_end(&json);
}

/* ---- The command --------------------------------------------------------------------------*/

static int report(struct job *job)
{
    bool is_check = tgi_cli_has(job->cli, "check");
    warn_of_spread(job);
    if (job->cli->format == TGI_FORMAT_JSON)
        put_json(job);
    else if (is_check)
        print_drift(job);
    else if (!job->cli->is_quiet)
        print_machine(job);
    return is_check && job->n_worse + job->n_better > 0 ? TGI_EXIT_NO : TGI_EXIT_OK;
}

static int prepare(struct job *job)
{
    const struct tgi_cli *cli = job->cli;
    const char *saved = tgi_cli_text(cli, "check", NULL), *out = tgi_cli_text(cli, "output", NULL);
    struct tgi_device_choice devices;
    struct tg_error err;
    int rc = tgi_cli_percent(cli, "threshold", THRESHOLD_PERCENT, &job->threshold);
    if (rc == 0)
        rc = tgi_device_choice_read(cli, &devices);
    if (rc)
        return rc;
    if (out && strcmp(out, "-") == 0)
        return tgi_cli_usage(cli, "-o takes the name of a file; --format json prints the machine");
    tgi_cli_calibration(cli, &devices, &job->how, job->devices);
    job->how.is_quick = tgi_cli_has(cli, "quick");
    if (saved && tgi_cli_measured_machine(saved, &job->saved, &err))
        return tgi_cli_error(cli, &err);
    if (out && tgi_output_open(&job->out, out, &err))
        return tgi_cli_error(cli, &err);
    return 0;
}

int tgi_cli_calibrate(struct tgi_cli *cli)
{
    struct job job = {.cli = cli, .out = {.slot = -1}};
    int rc = prepare(&job);
    if (rc == 0)
        rc = measure(&job);
    if (rc == 0)
        rc = save(&job);
    if (rc == 0 && tgi_cli_has(cli, "check"))
        rc = compare(&job);
    if (rc == 0)
        rc = report(&job);
    tgi_output_abandon(&job.out);
    free(job.drifts);
    tgi_machine_fini(&job.machine);
    tgi_machine_fini(&job.saved);
    return rc;
}
