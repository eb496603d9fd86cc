/* tgraph bench: repeated runs of graphs, one configuration after the other, and what the times come to. */
#include <stdlib.h>
#include <string.h>

#include "io/cli/cli.h"
#include "io/cli/crash.h"
#include "io/cli/device_choice.h"
#include "io/cli/document.h"
#include "io/cli/machine_choice.h"
#include "io/output.h"
#include "io/units.h"
#include "io/utf8.h"
#include "sched/guide.h"
#include "sched/runtime.h"
#include "sched/sample.h"

enum { MOST_VALUES = 64, LEAST_RUNS = 3, RUNS = 10 };

enum dimension { WORKERS, EXECUTOR, POLICY, N_DIMENSIONS };
static const char *const dimension_names[] = {"workers", "executor", "policy"};

/* What --matrix asks for; a dimension that it does not name has one value, NULL: as run would have it. */
struct matrix {
    char *text[N_DIMENSIONS]; /* owned; the values are in it */
    const char *values[N_DIMENSIONS][MOST_VALUES];
    uint32_t n[N_DIMENSIONS];
};

/* A graph in a configuration. */
struct measured {
    const char *file;
    char *name;
    const char *value[N_DIMENSIONS];
    uint32_t n_workers, n_devices;
    enum tg_executor executor;  /* of tasks on devices, in the last run */
    char *reason;               /* why, of executor auto; NULL: it is not */
    double *ns; /* in the order they ran */
    uint32_t n_runs;
    struct tgi_sample sample;
    double against_first; /* median by that of the file's first configuration */
};

struct job {
    const struct tgi_cli *cli;
    struct matrix matrix;
    struct tgi_device_choice devices;
    uint32_t n_runs, n_warmups;
    uint64_t time_ns; /* 0: no limit */
    struct measured *list;
    uint32_t n, n_room;
    uint32_t first;   /* of the file that is being measured */
    struct tgi_output out;
    struct tgi_machine machine; /* of --machine, for policies that plan; n_devices 0: none */
};

/* ---- What is asked for --------------------------------------------------------------------*/

static int check_value(const struct job *job, enum dimension d, const char *value)
{
    char *end;
    switch (d) {
    case WORKERS: {
        unsigned long n = strtoul(value, &end, 10);
        if (value[0] < '0' || value[0] > '9' || *end || n == 0 || n > 4096)
            return tgi_cli_usage(job->cli, "--matrix: \"%s\" is no number of workers from 1 to 4096", value);
        return 0;
    }
    case EXECUTOR:
        if (strcmp(value, "cpu") == 0 || strcmp(value, "streams") == 0 || strcmp(value, "graph") == 0 || strcmp(value, "resident") == 0 ||
            strcmp(value, "auto") == 0)
            return 0;
        return tgi_cli_usage(job->cli, "--matrix: there is no executor \"%s\"; there is cpu, streams, graph, resident and auto", value);
    default:
        if (strcmp(value, "auto") == 0 || tgi_policy_find(value))
            return 0;
        return tgi_cli_usage(job->cli, "--matrix: there is no policy \"%s\"; there are auto, eager, steal, heft and bandwidth", value);
    }
}

/* "workers=1,2,4" */
static int read_dimension(struct job *job, const char *text)
{
    const char *equals = strchr(text, '=');
    enum dimension d = 0;
    while (d < N_DIMENSIONS && (!equals || strlen(dimension_names[d]) != (size_t)(equals - text) ||
                                strncmp(dimension_names[d], text, (size_t)(equals - text)) != 0))
        d++;
    if (d == N_DIMENSIONS)
        return tgi_cli_usage(job->cli, "--matrix: \"%s\" is none of workers=N,.., executor=NAME,.. and policy=NAME,..", text);
    if (job->matrix.text[d])
        return tgi_cli_usage(job->cli, "--matrix names %s twice", dimension_names[d]);
    job->matrix.text[d] = strdup(equals + 1);
    if (!job->matrix.text[d])
        return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory for the matrix");
    char *rest = job->matrix.text[d], *value;
    while ((value = strsep(&rest, ","))) {
        int rc = check_value(job, d, value);
        if (rc)
            return rc;
        if (job->matrix.n[d] == MOST_VALUES)
            return tgi_cli_usage(job->cli, "--matrix: more than %d values of %s", MOST_VALUES, dimension_names[d]);
        job->matrix.values[d][job->matrix.n[d]++] = value;
    }
    return 0;
}

static int read_options(struct job *job)
{
    const struct tgi_cli *cli = job->cli;
    const char *text, *out = tgi_cli_text(cli, "export-json", NULL);
    struct tg_error err;
    int rc = tgi_device_choice_read(cli, &job->devices);
    for (uint32_t i = 0; rc == 0 && (text = tgi_cli_list(cli, "matrix", i)); i++)
        rc = read_dimension(job, text);
    if (rc)
        return rc;
    if (job->devices.is_given && (job->matrix.n[EXECUTOR] || (job->devices.n_workers && job->matrix.n[WORKERS])))
        return tgi_cli_usage(cli, "-D and --matrix both say what to run on");
    if (out && strcmp(out, "-") == 0 && cli->format == TGI_FORMAT_JSON)
        return tgi_cli_usage(cli, "--export-json - and --format json both write to stdout");
    for (int d = 0; d < N_DIMENSIONS; d++)
        job->matrix.n[d] += job->matrix.n[d] == 0;
    job->n_runs = (uint32_t)tgi_cli_int(cli, "runs", RUNS);
    job->n_warmups = (uint32_t)tgi_cli_int(cli, "warmup", 1);
    job->time_ns = tgi_cli_time_ns(cli, "time", 0);
    if (tgi_cli_has(cli, "machine") && tgi_cli_measured_machine(tgi_cli_text(cli, "machine", NULL), &job->machine, &err))
        return tgi_cli_error(cli, &err);
    return out && tgi_output_open(&job->out, out, &err) ? tgi_cli_error(cli, &err) : 0;
}

/* ---- Runs ---------------------------------------------------------------------------------*/

static enum tg_executor executor_to_ask_for(const struct measured *m)
{
    const char *name = m->value[EXECUTOR] ? m->value[EXECUTOR] : "streams";
    return strcmp(name, "graph") == 0      ? TG_EXECUTOR_GRAPH
           : strcmp(name, "resident") == 0 ? TG_EXECUTOR_RESIDENT
           : strcmp(name, "auto") == 0     ? TG_EXECUTOR_AUTO
                                           : TG_EXECUTOR_STREAMS;
}

/* Whether GPUs are to be used; what was asked for and is not there is an error of the runtime's. */
static bool uses_cuda(const struct job *job, const struct measured *m, const struct tg_graph *graph)
{
    char why[512];
    uint32_t n;
    struct tg_error err;
    if (m->value[EXECUTOR] && strcmp(m->value[EXECUTOR], "auto") != 0)
        return strcmp(m->value[EXECUTOR], "cpu") != 0;
    if (job->devices.is_given)
        return job->devices.has_cuda;
    if (tgi_cuda_use_of(graph, why, sizeof(why)) == TGI_CUDA_USELESS)
        return false;
    int rc = tgi_cuda_count(&n, &err);
    if (rc && !tgi_cuda_is_absent(rc))
        tgi_cli_warn(job->cli, "%s: the graph runs on CPUs: %s", m->file, err.text);
    return rc == 0;
}

/* Workers alone steal from each other, whatever decides between devices. */
static const char *policy_to_ask_for(const struct measured *m, bool has_cuda)
{
    const char *policy = m->value[POLICY] ? m->value[POLICY] : "auto";
    return strcmp(policy, "auto") == 0 || (strcmp(policy, "steal") == 0 && !has_cuda) ? NULL : policy;
}

static int create(const struct job *job, struct measured *m, const struct tg_graph *graph, struct tg_runtime **rt_p,
                  struct tg_run **run_p, struct tg_error *err)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_run_options run_options = TG_RUN_OPTIONS_INIT;
    const struct tgi_guide guide = {.machine = job->machine.n_devices ? &job->machine : NULL};
    char devices[128];
    run_options.policy = policy_to_ask_for(m, uses_cuda(job, m, graph));
    options.n_workers = m->value[WORKERS] ? (uint32_t)strtoul(m->value[WORKERS], NULL, 10) : job->devices.n_workers;
    options.on_thread = tgi_cli_prepare_thread;
    options.has_devices_alone = true;
    run_options.executor = executor_to_ask_for(m);
    run_options.n_starts_expected = (uint64_t)job->n_warmups + job->n_runs;
    if (uses_cuda(job, m, graph)) {
        tgi_device_choice_format(&job->devices, devices, sizeof(devices));
        options.devices = job->devices.has_cuda ? devices : "cuda";
    }
    int rc = tgi_cli_runtime_create(&options, rt_p, err);
    if (rc == 0)
        rc = tgi_run_create_guided(*rt_p, graph, &run_options, &guide, run_p, err);
    if (rc)
        return rc;
    m->n_workers = tg_runtime_n_workers(*rt_p);
    m->n_devices = tgi_run_n_devices(*run_p);
    return 0;
}

/* False: the run failed, or somebody wants an end of it. */
static bool run_once(struct tg_run *run, double *ns_p, int *rc_p, struct tg_error *err)
{
    struct tg_run_stats stats;
    *rc_p = tg_run_start(run, err);
    if (*rc_p == 0)
        *rc_p = tg_run_wait(run, err);
    if (*rc_p || tgi_cli_signal())
        return false;
    *rc_p = tg_run_stats(run, &stats, err);
    *ns_p = (double)stats.makespan_ns;
    return *rc_p == 0;
}

static int run_all(const struct job *job, struct measured *m, struct tg_run *run, struct tg_error *err)
{
    uint64_t begin_ns = tgi_now_ns();
    double ns;
    int rc = 0;
    bool goes_on = true;
    tgi_cli_watch(run);
    for (uint32_t i = 0; goes_on && i < job->n_warmups; i++)
        goes_on = run_once(run, &ns, &rc, err);
    while (goes_on && m->n_runs < job->n_runs) {
        goes_on = run_once(run, &m->ns[m->n_runs], &rc, err);
        m->n_runs += goes_on;
        bool is_late = job->time_ns && tgi_now_ns() - begin_ns > job->time_ns;
        goes_on = goes_on && (!is_late || m->n_runs < LEAST_RUNS);
    }
    tgi_cli_watch(NULL);
    return tgi_cli_signal() ? 0 : rc;
}

/* A graph that was asked for and is none is no measurement of a graph; nor is one whose tasks were to be resident and are not. */
static void note_executor(const struct job *job, struct measured *m, const struct tg_run *run)
{
    const char *why;
    m->executor = tg_run_executor(run, &why);
    if (!why || !m->n_devices)
        return;
    if (executor_to_ask_for(m) != TG_EXECUTOR_AUTO) {
        tgi_cli_warn(job->cli, "%s: %s: %s", m->file,
                     m->executor == TG_EXECUTOR_GRAPH ? "no task is resident, all are nodes of a graph" : "not executed as a graph", why);
    } else {
        tgi_cli_detail(job->cli, "executor: %s", why);
        m->reason = strdup(why); /* without memory nobody is told */
    }
}

static int summarise(const struct job *job, struct measured *m)
{
    double *sorted = malloc(((size_t)m->n_runs + 1) * sizeof(*sorted));
    if (!sorted)
        return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory for the times of %u runs", m->n_runs);
    memcpy(sorted, m->ns, m->n_runs * sizeof(*sorted));
    tgi_sample_of(sorted, m->n_runs, &m->sample);
    free(sorted);
    const struct measured *first = &job->list[job->first];
    m->against_first = first->sample.median > 0 ? m->sample.median / first->sample.median : 1;
    return 0;
}

static int measure(struct job *job, const struct tg_graph *graph, struct measured *m)
{
    struct tg_runtime *rt = NULL;
    struct tg_run *run = NULL;
    struct tg_error err;
    m->name = strdup(graph->name && graph->name[0] ? graph->name : m->file);
    m->ns = malloc(job->n_runs * sizeof(*m->ns));
    if (!m->name || !m->ns)
        return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory for the times of %u runs", job->n_runs);
    int rc = create(job, m, graph, &rt, &run, &err);
    if (rc == 0)
        rc = run_all(job, m, run, &err);
    if (rc == 0)
        note_executor(job, m, run);
    tg_run_destroy(run);
    tg_runtime_destroy(rt);
    return rc ? tgi_cli_error(job->cli, &err) : summarise(job, m);
}

static struct measured *next_entry(struct job *job, const char *file)
{
    if (job->n == job->n_room) {
        void *grown = realloc(job->list, (2 * (size_t)job->n_room + 8) * sizeof(*job->list));
        if (!grown)
            return NULL;
        job->list = grown;
        job->n_room = 2 * job->n_room + 8;
    }
    job->list[job->n] = (struct measured){.file = file};
    return &job->list[job->n++];
}

/* The first dimension varies fastest.  What fails ends the configurations of its file. */
static int measure_matrix(struct job *job, const char *file, const struct tg_graph *graph)
{
    const struct matrix *x = &job->matrix;
    int rc = 0;
    job->first = job->n;
    for (uint32_t i = 0; rc == 0 && !tgi_cli_signal() && i < x->n[WORKERS] * x->n[EXECUTOR] * x->n[POLICY]; i++) {
        struct measured *m = next_entry(job, file);
        if (!m)
            return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory for %u configurations", job->n);
        m->value[WORKERS] = x->values[WORKERS][i % x->n[WORKERS]];
        m->value[EXECUTOR] = x->values[EXECUTOR][i / x->n[WORKERS] % x->n[EXECUTOR]];
        m->value[POLICY] = x->values[POLICY][i / x->n[WORKERS] / x->n[EXECUTOR]];
        tgi_cli_detail(job->cli, "running %s, configuration %u of %u", file, i + 1, x->n[WORKERS] * x->n[EXECUTOR] * x->n[POLICY]);
        rc = measure(job, graph, m);
    }
    return rc;
}

/* ---- Text ---------------------------------------------------------------------------------*/

static const char *policy_of(const struct measured *m)
{
    const char *policy = m->value[POLICY] ? m->value[POLICY] : "auto";
    return strcmp(policy, "auto") == 0 && !m->n_devices ? "steal" : policy;
}

static const char *executor_of(const struct measured *m)
{
    return !m->n_devices                            ? "cpu"
           : m->executor == TG_EXECUTOR_GRAPH    ? "graph"
           : m->executor == TG_EXECUTOR_RESIDENT ? "resident"
                                                 : "streams";
}

static void print_row(const struct measured *m)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    const struct tgi_sample *s = &m->sample;
    char executor[16];
    snprintf(executor, sizeof(executor), "%s%s", m->reason ? "auto: " : "", executor_of(m));
    printf("  ");
    tgi_utf8_print_column(stdout, m->name, 20, 20);
    printf(" %7u  %-14s %-9s %5u %10s %10s %10s %10s %8u %8.3f\n", m->n_workers, executor, policy_of(m), s->n,
           tgi_format_time(s->median, a, sizeof(a)), tgi_format_time(tgi_sample_spread(s), b, sizeof(b)),
           tgi_format_time(s->least, c, sizeof(c)), tgi_format_time(s->most, d, sizeof(d)), s->n_outliers, m->against_first);
}

static void print_text(const struct job *job)
{
    uint32_t n_outliers = 0;
    printf("  %-20s %7s  %-14s %-9s %5s %10s %10s %10s %10s %8s %8s\n", "graph", "workers", "executor", "policy", "runs",
           "median", "IQR", "min", "max", "outliers", "to first");
    for (uint32_t i = 0; i < job->n; i++) {
        if (job->list[i].sample.n)
            print_row(&job->list[i]);
        n_outliers += job->list[i].sample.n_outliers;
    }
    for (uint32_t i = 0; i < job->n; i++)
        if (job->list[i].reason) {
            printf("  ");
            tgi_utf8_print(stdout, job->list[i].name);
            printf(", executor auto: %s\n", job->list[i].reason);
        }
    if (n_outliers)
        printf("  %u outlier%s set aside for median and IQR; min and max are of all runs\n", n_outliers, n_outliers == 1 ? "" : "s");
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_entry(const struct measured *m, struct tgi_json *json)
{
    tgi_json_object(json, NULL);
    tgi_json_string(json, "file", m->file);
    tgi_json_string(json, "name", m->name);
    tgi_json_uint(json, "n_workers", m->n_workers);
    tgi_json_uint(json, "n_devices", m->n_devices);
    tgi_json_string(json, "executor", executor_of(m));
    if (m->reason)
        tgi_json_string(json, "executor_reason", m->reason);
    tgi_json_string(json, "policy", policy_of(m));
    tgi_json_uint(json, "runs", m->sample.n);
    tgi_json_uint(json, "outliers", m->sample.n_outliers);
    tgi_json_double(json, "median_ns", m->sample.median);
    tgi_json_double(json, "iqr_ns", tgi_sample_spread(&m->sample));
    tgi_json_double(json, "min_ns", m->sample.least);
    tgi_json_double(json, "max_ns", m->sample.most);
    tgi_json_double(json, "to_first", m->against_first);
    tgi_json_flat_array(json, "makespans_ns");
    for (uint32_t i = 0; i < m->n_runs; i++)
        tgi_json_uint(json, NULL, (uint64_t)m->ns[i]);
    tgi_json_end(json);
    tgi_json_end(json);
}

static void put_json(const struct job *job, FILE *to)
{
    struct tgi_json json = tgi_cli_document(to, TGI_REPORT_SCHEMA, "bench");
    tgi_json_string(&json, "version", TG_VERSION_STRING);
    tgi_json_array(&json, "results");
    for (uint32_t i = 0; i < job->n; i++)
        if (job->list[i].sample.n)
            put_entry(&job->list[i], &json);
    tgi_json_end(&json);
    tgi_json_end(&json);
}

static int report(struct job *job)
{
    struct tg_error err;
    uint32_t n_measured = 0;
    for (uint32_t i = 0; i < job->n; i++)
        n_measured += job->list[i].sample.n > 0;
    if (n_measured == 0)
        return 0; /* why has been said */
    if (job->cli->format == TGI_FORMAT_JSON)
        put_json(job, stdout);
    else if (!job->cli->is_quiet && job->out.file != stdout)
        print_text(job);
    if (!job->out.file)
        return 0;
    put_json(job, job->out.file);
    return tgi_output_finish(&job->out, &err) ? tgi_cli_error(job->cli, &err) : 0;
}

/* ---- The command --------------------------------------------------------------------------*/

static void job_fini(struct job *job)
{
    tgi_output_abandon(&job->out);
    for (uint32_t i = 0; i < job->n; i++) {
        free(job->list[i].name);
        free(job->list[i].reason);
        free(job->list[i].ns);
    }
    for (int d = 0; d < N_DIMENSIONS; d++)
        free(job->matrix.text[d]);
    free(job->list);
    tgi_machine_fini(&job->machine);
}

int tgi_cli_bench(struct tgi_cli *cli)
{
    struct job job = {.cli = cli, .out = {.slot = -1}};
    int worst = read_options(&job), rc;
    if (worst == 0)
        tgi_cli_name_crashes(cli);
    for (uint32_t i = 0; (worst == 0 || job.n > 0) && i < cli->n_operands && !tgi_cli_signal(); i++) {
        struct tg_graph *graph;
        rc = tgi_cli_load(cli, cli->operands[i], TGI_LOAD_AND_FREEZE, &graph);
        if (rc == 0) {
            rc = measure_matrix(&job, cli->operands[i], graph);
            tg_graph_destroy(graph);
        }
        worst = rc > worst ? rc : worst;
    }
    if (job.n > 0) {
        rc = report(&job);
        worst = rc > worst ? rc : worst;
    }
    job_fini(&job);
    return tgi_cli_signal() ? 128 + tgi_cli_signal() : worst;
}
