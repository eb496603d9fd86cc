/* tgraph run: execute a graph, then say how it went. */
#include "io/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/cli/checkpoint.h"
#include "io/cli/crash.h"
#include "io/cli/device_choice.h"
#include "io/cli/document.h"
#include "io/cli/machine_choice.h"
#include "io/cli/progress.h"
#include "io/cli/recording.h"
#include "io/cli/results.h"
#include "io/cli/simulate.h"
#include "io/gantt.h"
#include "io/live_record.h"
#include "io/output.h"
#include "io/recording.h"
#include "io/report.h"
#include "io/saved_plan.h"
#include "io/units.h"
#include "io/utf8.h"
#include "sched/offload_graph.h"
#include "sched/policy.h"

#define TOP_KERNELS 12
#define SETTLE_MS 500 /* for tasks that a time limit left behind */
#define MOST_RECORDED 4000000 /* tasks; their spans take 32 bytes each */

struct job {
    const struct tgi_cli *cli;
    const struct tg_graph *graph;
    struct tgi_device_choice devices;
    struct tg_runtime *runtime;
    struct tg_run *run;
    struct tg_run_options options;
    uint64_t *makespans_ns; /* of the measured runs */
    uint32_t n_measured, n_workers, n_devices; /* n_devices 0: CPUs alone */
    int status;             /* of the last run, with err */
    struct tg_error err;
    struct tgi_cli_results results;
    struct tgi_output gantt, record, trace; /* file NULL: none is asked for */
    struct tgi_live_record *live; /* stands for `record` until that is written; NULL: none */
    double predicted_ns;    /* with --machine or --plan; 0: not known */
    struct tgi_saved_plan plan; /* to follow; name NULL: none */
    struct tgi_machine machine; /* of --machine; n_devices 0: none */
    struct tgi_machine_bounds bounds; /* by it; none: not known, or not all of the graph ran */
    struct tgi_cli_checkpoint *checkpoint; /* NULL: none is asked for */
};

/* ---- Options ------------------------------------------------------------------------------*/

/* Which executor the devices imply; --executor can only agree. */
static int check_executor(const struct tgi_cli *cli, struct tgi_device_choice *devices)
{
    static const char *const later[] = {"mixed"};
    const char *executor = tgi_cli_text(cli, "executor", "auto");
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++) {
        if (strcmp(executor, later[i]) == 0)
            return tgi_cli_fail(cli, TG_E_UNSUPPORTED, "executor \"%s\" is not part of this build; there is auto, cpu,"
                                " streams, graph and resident", executor);
    }
    if (strcmp(executor, "auto") == 0)
        return 0;
    bool wants_cuda = strcmp(executor, "streams") == 0 || strcmp(executor, "graph") == 0 ||
                      strcmp(executor, "resident") == 0;
    if (strcmp(executor, "cpu") != 0 && !wants_cuda)
        return tgi_cli_usage(cli, "there is no executor \"%s\"; there is auto, cpu, streams, graph and resident", executor);
    if (devices->is_given && devices->has_cuda != wants_cuda)
        return tgi_cli_usage(cli, "--executor %s does not go with the devices that are asked for", executor);
    devices->is_given = true;
    devices->has_cuda = wants_cuda;
    return 0;
}

static int check_devices(const struct tgi_cli *cli, struct tgi_device_choice *devices)
{
    int rc = tgi_device_choice_read(cli, devices);
    if (rc == 0)
        rc = check_executor(cli, devices);
    if (rc == 0 && devices->has_cuda && (tgi_cli_has(cli, "checkpoint") || tgi_cli_has(cli, "resume")))
        return tgi_cli_fail(cli, TG_E_UNSUPPORTED, "there are no checkpoints of runs on devices: what is on them is not looked at; -D cpu"
                            " keeps off them");
    if (rc || !tgi_cli_has(cli, "deterministic"))
        return rc;
    if (devices->has_cuda)
        return tgi_cli_usage(cli, "--deterministic executes one task at a time on CPUs; it does not go with cuda devices");
    devices->is_given = true;
    return 0;
}

static int check_choices(const struct tgi_cli *cli)
{
    const char *policy = tgi_cli_text(cli, "policy", "auto");
    if (strcmp(policy, "auto") != 0 && !tgi_policy_find(policy))
        return tgi_cli_usage(cli, "there is no policy \"%s\"; there are auto, eager, steal, heft and bandwidth", policy);
    if (tgi_cli_has(cli, "plan") && tgi_cli_has(cli, "policy"))
        return tgi_cli_usage(cli, "--plan and --policy both decide what runs where");
    const char *gantt = tgi_cli_text(cli, "gantt", "-"), *dot = strrchr(gantt, '.');
    bool is_special = strcmp(gantt, "-") == 0 || strncmp(gantt, "/dev/", 5) == 0;
    if (!is_special && (!dot || strcmp(dot, ".svg") != 0))
        return tgi_cli_usage(cli, "--gantt: schedules are drawn as SVG; \"%s\" does not end in .svg", gantt);
    if (tgi_cli_has(cli, "seed") && !tgi_cli_has(cli, "deterministic"))
        return tgi_cli_usage(cli, "--seed goes with --deterministic");
    if (tgi_cli_has(cli, "seed") && tgi_cli_has(cli, "check-nan"))
        return tgi_cli_usage(cli, "--check-nan executes tasks in program order; it does not go with --seed");
    int rc = tgi_cli_trace_check(cli);
    if (rc == 0)
        rc = tgi_cli_check_outputs(cli, (const char *const[]){"gantt", "record", "trace"}, 3);
    return rc ? rc : tgi_cli_checkpoint_check(cli);
}

/* Workers alone steal from each other, whatever decides between devices. */
static const char *policy_to_ask_for(const struct job *job)
{
    const char *policy = tgi_cli_text(job->cli, "policy", "auto");
    bool is_usual = strcmp(policy, "auto") == 0 || (strcmp(policy, "steal") == 0 && !job->devices.has_cuda);
    return is_usual ? NULL : policy;
}

static const char *policy_name(const struct job *job)
{
    return job->plan.name ? "plan" : job->options.policy ? job->options.policy : job->n_devices ? "auto" : "steal";
}

static void set_options(struct job *job)
{
    const struct tgi_cli *cli = job->cli;
    job->options = (struct tg_run_options)TG_RUN_OPTIONS_INIT;
    job->options.keep_going = tgi_cli_has(cli, "keep-going");
    job->options.is_deterministic = tgi_cli_has(cli, "deterministic");
    job->options.check_finite = tgi_cli_has(cli, "check-nan");
    job->options.seed = (uint64_t)tgi_cli_int(cli, "seed", 0);
    job->options.timeout_ns = tgi_cli_time_ns(cli, "timeout", 0);
    job->options.policy = policy_to_ask_for(job);
    const char *executor = tgi_cli_text(cli, "executor", "streams");
    uint64_t n_starts = (uint64_t)(tgi_cli_int(cli, "warmup", 0) + tgi_cli_int(cli, "repeat", 1));
    bool is_auto = strcmp(executor, "auto") == 0, is_small = job->graph->n_tasks <= MOST_RECORDED;
    job->options.executor = is_auto                             ? TG_EXECUTOR_AUTO
                            : strcmp(executor, "graph") == 0    ? TG_EXECUTOR_GRAPH
                            : strcmp(executor, "resident") == 0 ? TG_EXECUTOR_RESIDENT
                                                                : TG_EXECUTOR_STREAMS;
    bool may_be_graph = job->options.executor != TG_EXECUTOR_STREAMS && (!is_auto || n_starts > 1);
    job->options.n_starts_expected = n_starts;
    /* Times of single tasks make a graph slower, so they are taken only where a file is to have them. */
    job->options.is_recorded = is_small && (!may_be_graph || tgi_cli_has(cli, "record") || tgi_cli_has(cli, "gantt") ||
                                            tgi_cli_has(cli, "trace"));
    if (!is_small)
        tgi_cli_note(
            cli,
            "more than %d tasks: start and end of each are not recorded, so there is no table of kernels",
            MOST_RECORDED);
}

/* Nobody has asked for devices: GPUs are used if they are here and of use. */
static int choose_devices(struct job *job, bool *is_optional_p)
{
    char why[512];
    uint32_t n;
    struct tg_error err;
    *is_optional_p = false;
    if (job->devices.is_given)
        return 0;
    enum tgi_cuda_use use = tgi_cuda_use_of(job->graph, why, sizeof(why));
    if (use == TGI_CUDA_USELESS)
        return 0;
    int rc = tgi_cuda_count(&n, &err);
    if (rc == 0 && use == TGI_CUDA_USEFUL && job->checkpoint) {
        tgi_cli_note(job->cli, "the graph runs on CPUs: there are no checkpoints of runs on devices");
        return 0;
    }
    if (rc && use == TGI_CUDA_NEEDED)
        return tgi_cli_fail(job->cli, TG_E_NO_DEVICE, "%s, and there is none: %s", why, err.text);
    /* Most machines have no driver, or no device; what else keeps one from being used is worth a word. */
    if (rc && (!tgi_cuda_is_absent(rc) || getenv("TGRAPH_CUDA_DRIVER")))
        tgi_cli_warn(job->cli, "the graph runs on CPUs: %s", err.text);
    job->devices.has_cuda = rc == 0;
    *is_optional_p = rc == 0 && use == TGI_CUDA_USEFUL;
    return 0;
}

static int create_runtime(struct job *job)
{
    const struct tgi_cli *cli = job->cli;
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    char devices[128];
    options.n_workers = job->devices.n_workers;
    options.memory_bytes = tgi_cli_bytes(cli, "mem", 0);
    options.device_bytes = tgi_cli_bytes(cli, "device-mem", 0);
    options.on_thread = tgi_cli_prepare_thread;
    if (job->devices.has_cuda) {
        tgi_device_choice_format(&job->devices, devices, sizeof(devices));
        options.devices = devices;
    }
    return tgi_cli_runtime_create(&options, &job->runtime, &job->err);
}

static int create_guided(struct job *job)
{
    struct tgi_guide_plan plan = tgi_saved_plan_guide(&job->plan);
    struct tgi_guide guide = {job->machine.n_devices ? &job->machine : NULL, job->plan.name ? &plan : NULL, NULL};
    int rc = tgi_cli_checkpoint_cut(job->checkpoint, tg_runtime_n_workers(job->runtime), &guide.cut, &job->err);
    return rc ? rc : tgi_run_create_guided(job->runtime, job->graph, &job->options, &guide, &job->run, &job->err);
}

static int create_run_on(struct job *job)
{
    int rc = create_runtime(job);
    if (rc == 0)
        rc = create_guided(job);
    if (rc) {
        tg_runtime_destroy(job->runtime);
        job->runtime = NULL;
    }
    return rc;
}

static int create_run(struct job *job)
{
    bool is_optional;
    int rc = choose_devices(job, &is_optional);
    if (rc)
        return rc;
    tgi_cli_name_crashes(job->cli);
    set_options(job);
    rc = create_run_on(job);
    /* Devices that nobody asked for may be in use by others, or lack a library. */
    if (rc && is_optional && tg_status_exit_code(rc) == TGI_EXIT_ENVIRONMENT) {
        tgi_cli_warn(job->cli, "the graph runs on CPUs (-D cpu asks for that): %s", job->err.text);
        job->devices.has_cuda = false;
        rc = create_run_on(job);
    }
    if (rc)
        return tgi_cli_error(job->cli, &job->err);
    job->n_workers = tg_runtime_n_workers(job->runtime);
    job->n_devices = tgi_run_n_devices(job->run);
    char opening[512];
    tgi_runtime_opening(job->runtime, opening, sizeof(opening));
    tgi_cli_detail(job->cli, "opening: %s", opening);
    if (job->devices.has_cuda && job->devices.is_given && job->n_devices == 0)
        tgi_cli_warn(job->cli, "no task of this graph runs on a cuda device");
    return 0;
}

/* ---- Execution ----------------------------------------------------------------------------*/

/* A graph was asked for, or a kernel for fine tasks, and cannot be: said once, whatever the number of runs. */
static void tell_executor(struct job *job)
{
    const char *why = NULL;
    bool is_graph = tg_run_executor(job->run, &why) == TG_EXECUTOR_GRAPH;
    if (why && job->status == 0 && job->options.executor != TG_EXECUTOR_AUTO)
        tgi_cli_warn(job->cli, "%s: %s", is_graph ? "no task is resident, all are nodes of a graph" : "not executed as a graph", why);
    else if (why && job->n_devices)
        tgi_cli_detail(job->cli, "executor: %s", why);
}

/* How a graph goes from device to device, where it does. */
static void tell_hops(struct job *job)
{
    struct tgi_offload_graph_stats s;
    if (!job->n_devices || tg_run_executor(job->run, NULL) == TG_EXECUTOR_STREAMS)
        return;
    tgi_offload_graph_stats(job->run, &s);
    if (s.n_hops && s.whole)
        tgi_cli_detail(job->cli, "graph: one for all devices, %u edges between them in a row: %s", s.n_hops, s.whole);
    else if (s.n_hops)
        tgi_cli_detail(job->cli, "graph: one for each device, which wait for each other by flags, %u edges between them in a row", s.n_hops);
}

/* Why the executor was chosen; NULL: it was not, or there was nothing to choose. */
static const char *executor_reason(const struct job *job)
{
    const char *why = NULL;
    tg_run_executor(job->run, &why);
    return job->n_devices && job->options.executor == TG_EXECUTOR_AUTO ? why : NULL;
}

/* Returns false when there is no point in a further run. */
static bool execute_once(struct job *job, bool is_measured)
{
    struct tg_run_stats stats;
    struct tgi_cli_progress *progress =
        tgi_cli_progress_begin(job->cli, job->runtime, job->graph, job->options.is_recorded);
    job->status = tg_run_start(job->run, &job->err);
    if (job->status == 0)
        job->status = tg_run_wait(job->run, &job->err);
    tgi_cli_progress_end(progress);
    if (is_measured && tg_run_stats(job->run, &stats, NULL) == 0)
        job->makespans_ns[job->n_measured++] = stats.makespan_ns;
    return job->status == 0 && tgi_cli_signal() == 0;
}

static int execute(struct job *job)
{
    int64_t n_warmups = tgi_cli_int(job->cli, "warmup", 0), n_repeats = tgi_cli_int(job->cli, "repeat", 1);
    job->makespans_ns = calloc((size_t)n_repeats, sizeof(*job->makespans_ns));
    if (!job->makespans_ns)
        return tgi_cli_fail(job->cli, TG_E_NO_MEMORY, "no memory for the times of %lld runs",
                            (long long)n_repeats);
    bool goes_on = true;
    tgi_cli_watch(job->run);
    tgi_cli_checkpoint_begin(job->checkpoint);
    for (int64_t i = 0; goes_on && i < n_warmups; i++)
        goes_on = execute_once(job, false);
    for (int64_t i = 0; goes_on && i < n_repeats; i++)
        goes_on = execute_once(job, true);
    tgi_cli_watch(NULL);
    tell_executor(job);
    tell_hops(job);
    /* A warm-up that failed is the run that the summary is about. */
    struct tg_run_stats stats;
    if (job->n_measured == 0 && tg_run_stats(job->run, &stats, NULL) == 0)
        job->makespans_ns[job->n_measured++] = stats.makespan_ns;
    return 0;
}

/* Before the run, so that no hour of computing ends in a folder that is not there. */
static int open_output(struct job *job, const char *option, struct tgi_output *out)
{
    const char *path = tgi_cli_text(job->cli, option, NULL);
    struct tg_error err;
    if (!path)
        return 0;
    if (!job->options.is_recorded) /* it would be, for this option, if it were small enough */
        return tgi_cli_fail(job->cli, TG_E_UNSUPPORTED, "--%s: the graph is too large to be recorded", option);
    if (tgi_output_open(out, path, &err))
        return tgi_cli_error(job->cli, &err);
    return 0;
}

/* A record that is there should the process be killed.  What cannot be put into a folder (a pipe) has none. */
static void begin_live_record(struct job *job)
{
    struct tgi_recorded what = {.graph = job->graph, .n_workers = job->n_workers, .run = job->run, .policy = policy_name(job),
                                .outcome = "did not end"};
    struct tg_error err;
    if (!job->record.temp)
        return;
    char *path = tgi_live_record_path(job->record.path);
    int rc = path ? tgi_live_record_create(path, &what, &job->live, &err) : tgi_error_memory(&err, "the record of a run");
    free(path);
    if (rc)
        tgi_cli_warn(job->cli, "should this run be killed, there will be no record of it: %s", err.text);
    else
        tgi_live_record_follow(job->live, job->run);
}

static const char *outcome(const struct job *job)
{
    if (tgi_cli_signal())
        return "interrupted";
    switch (job->status) {
    case 0:
        return "ok";
    case TG_E_RUN_TIMEOUT:
        return "timeout";
    case TG_E_CANCELLED:
        return "cancelled";
    default:
        return "failed";
    }
}

/* Those of the whole graph say nothing about a part of it. */
static struct tgi_machine_bounds bounds_of(const struct job *job)
{
    bool is_whole = job->status == 0 && !tgi_cli_signal() && !tgi_cli_has(job->cli, "resume");
    return is_whole ? job->bounds : TGI_MACHINE_BOUNDS_NONE;
}

static int take_recording(const struct job *job, struct tgi_recording *recording, struct tg_error *err)
{
    struct tg_run_stats stats;
    if (!tgi_run_settle(job->run, SETTLE_MS))
        return tgi_error(err, TG_E_STATE, "a task has not returned, so there is no record of the run");
    int rc = tg_run_stats(job->run, &stats, err);
    const struct tgi_span *spans = rc ? NULL : tgi_run_spans(job->run);
    if (rc == 0 && !spans)
        return tgi_error(err, TG_E_STATE, "the run did not start, so there is no record of it");
    struct tgi_recorded what = {job->graph, spans, stats.n_workers, stats.makespan_ns, tgi_run_rounds(job->run), job->run,
                                policy_name(job), outcome(job), false};
    if (rc == 0)
        rc = tgi_recording_create(&what, recording, err);
    struct tgi_machine_bounds bounds = bounds_of(job);
    if (rc == 0)
        tgi_recording_take_bounds(recording, &bounds);
    return rc;
}

/* The record of the last run, and its picture. */
static int write_record(struct job *job)
{
    struct tgi_recording recording;
    struct tg_error err;
    if (!job->gantt.file && !job->record.file && !job->trace.file)
        return 0;
    int rc = take_recording(job, &recording, &err);
    if (rc) {
        if (job->live)
            tgi_cli_note(job->cli, "\"%s.partial\" has what had ended", job->record.path);
        return tgi_cli_error(job->cli, &err);
    }
    if (job->record.file)
        rc = tgi_recording_write(&recording, job->record.file, &err);
    if (rc == 0 && job->record.file) {
        rc = tgi_output_finish(&job->record, &err);
        if (rc == 0)
            tgi_live_record_remove(job->live);
    }
    if (rc == 0 && job->gantt.file)
        rc = tgi_gantt_write(&recording, job->gantt.file, &err);
    if (rc == 0 && job->gantt.file)
        rc = tgi_output_finish(&job->gantt, &err);
    if (rc == 0 && job->trace.file)
        rc = tgi_cli_trace_write(job->cli, &recording, job->trace.file, &err);
    if (rc == 0 && job->trace.file)
        rc = tgi_output_finish(&job->trace, &err);
    tgi_recording_fini(&recording);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

/* ---- Summary ------------------------------------------------------------------------------*/

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static const char *executor_name(const struct job *job)
{
    if (!job->n_devices)
        return "cpu";
    switch (tg_run_executor(job->run, NULL)) {
    case TG_EXECUTOR_GRAPH:
        return "graph";
    case TG_EXECUTOR_RESIDENT:
        return "resident";
    default:
        return "streams";
    }
}

/* "4 x NVIDIA H200 + 8 CPU workers"; devices of one name that stand together are counted. */
static void print_devices(const struct job *job)
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
static void print_counts(const struct job *job, const struct tgi_report *report)
{
    char a[TGI_UNITS_SIZE], b[TGI_UNITS_SIZE], c[TGI_UNITS_SIZE], d[TGI_UNITS_SIZE];
    printf("  %-13s %s done, %s failed, ", outcome(job), tgi_format_count(report->stats.n_done, a, sizeof(a)),
           tgi_format_count(report->stats.n_failed, b, sizeof(b)));
    if (report->n_cut)
        printf("%s cut short, ", tgi_format_count(report->n_cut, d, sizeof(d)));
    printf("%s not run\n", tgi_format_count(report->stats.n_skipped - report->n_cut, c, sizeof(c)));
}

/* Placed by guesses: said where it is so. */
static void print_times(const struct job *job)
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
static void print_making(const struct job *job)
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
static void print_resident(const struct job *job)
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

static void print_ahead(const struct job *job, const struct tgi_run_moved *m)
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

static void print_pools(const struct job *job, const struct tgi_report *report)
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

static void print_text(const struct job *job, const struct tgi_report *report, uint64_t median_ns)
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
    printf(", policy %s, executor %s%s\n", policy_name(job), executor_name(job), job->options.check_finite       ? ", one task at a time"
           : job->options.is_deterministic ? ", deterministic"
                                           : "");
    if (executor_reason(job))
        printf("  executor: %s\n", executor_reason(job));
    if (strcmp(outcome(job), "ok") != 0)
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

static void put_resident(const struct job *job, struct tgi_json *json)
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
static void put_gain(const struct job *job, struct tgi_json *json)
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

static void put_times(const struct job *job, struct tgi_json *json)
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

static void print_json(const struct job *job, const struct tgi_report *report, uint64_t median_ns)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "run");
    tgi_json_string(&json, "file", job->cli->operands[0]);
    tgi_json_string(&json, "name", job->graph->name);
    tgi_json_string(&json, "outcome", outcome(job));
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
    tgi_json_string(&json, "policy", policy_name(job));
    tgi_json_string(&json, "executor", executor_name(job));
    put_resident(job, &json);
    if (executor_reason(job))
        tgi_json_string(&json, "executor_reason", executor_reason(job));
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

static int summarise(struct job *job)
{
    struct tgi_report report;
    struct tg_error err;
    if (job->cli->is_quiet && job->cli->format == TGI_FORMAT_TEXT)
        return 0;
    if (tgi_report_create(job->graph, job->run, &report, &err))
        return tgi_cli_error(job->cli, &err);
    report.predicted_ns = job->predicted_ns;
    report.machine_bounds = bounds_of(job);
    qsort(job->makespans_ns, job->n_measured, sizeof(*job->makespans_ns), compare_u64);
    uint64_t median_ns = job->n_measured ? job->makespans_ns[job->n_measured / 2] : 0;
    if (job->cli->format == TGI_FORMAT_JSON)
        print_json(job, &report, median_ns);
    else
        print_text(job, &report, median_ns);
    tgi_report_fini(&report);
    return 0;
}

/* What follows a run that was not stopped: checks, comparison, files. */
static int use_results(struct job *job)
{
    const struct tgi_cli *cli = job->cli;
    int worst = 0, rc;
    if (tgi_cli_has(cli, "verify")) {
        rc = tgi_cli_results_verify(cli, job->graph, job->run, &job->results);
        worst = rc > worst ? rc : worst;
    }
    if (tgi_cli_has(cli, "compare")) {
        rc = tgi_cli_results_compare(cli, job->graph, job->runtime, job->run, &job->results);
        worst = rc > worst ? rc : worst;
    }
    rc = tgi_cli_results_save(cli, job->graph, job->run, tgi_cli_text(cli, "save-dir", "."), &job->results);
    return rc > worst ? rc : worst;
}

/* What the run is to follow or to be compared with. */
static int read_guide(struct job *job)
{
    const char *plan = tgi_cli_text(job->cli, "plan", NULL), *machine = tgi_cli_text(job->cli, "machine", NULL);
    struct tg_error err;
    int rc = plan ? tgi_saved_plan_read(&job->plan, plan, &err) : 0;
    if (rc == 0 && plan)
        rc = tgi_saved_plan_check(&job->plan, job->graph, &err);
    if (rc == 0 && machine)
        rc = tgi_cli_measured_machine(machine, &job->machine, &err);
    return rc ? tgi_cli_error(job->cli, &err) : 0;
}

static int ask_machine(struct job *job, double *ns_p, struct tgi_machine_bounds *bounds_p)
{
    struct tgi_cli_prediction what = {job->options.policy, tg_run_executor(job->run, NULL), job->n_workers, job->n_devices,
                                      job->options.n_starts_expected};
    return job->machine.n_devices ? tgi_cli_predict(job->cli, job->graph, &job->machine, &what, ns_p, bounds_p) : 0;
}

/* Before the run, as its record has them whether it comes to an end or not. */
static int find_bounds(struct job *job) { return ask_machine(job, NULL, &job->bounds); }

/* After it: by the executor that was used. */
static int predict(struct job *job)
{
    struct tgi_machine_bounds bounds;
    job->predicted_ns = job->plan.name ? job->plan.makespan_ns : 0;
    return job->plan.name ? 0 : ask_machine(job, &job->predicted_ns, &bounds);
}

static int run_graph(struct job *job)
{
    int rc = read_guide(job);
    if (rc == 0)
        rc = tgi_cli_checkpoint_open(job->cli, job->graph, &job->checkpoint);
    if (rc == 0)
        rc = create_run(job);
    if (rc == 0)
        rc = find_bounds(job);
    if (rc == 0)
        rc = open_output(job, "gantt", &job->gantt);
    if (rc == 0)
        rc = open_output(job, "record", &job->record);
    if (rc == 0)
        rc = open_output(job, "trace", &job->trace);
    if (rc == 0)
        rc = tgi_cli_results_check(job->cli, job->graph, tgi_cli_text(job->cli, "save-dir", "."));
    if (rc == 0)
        begin_live_record(job);
    if (rc == 0)
        rc = execute(job);
    if (rc)
        return rc;
    int kept = tgi_cli_checkpoint_end(job->checkpoint, job->checkpoint && tgi_run_settle(job->run, 0)), number = tgi_cli_signal();
    if (number)
        rc = 128 + number;
    else if (job->status)
        rc = tgi_cli_error(job->cli, &job->err);
    else
        rc = use_results(job);
    char text[512];
    while (tgi_run_take_notice(job->run, text, sizeof(text)))
        tgi_cli_note(job->cli, "%s", text);
    int drawn = write_record(job), predicted = predict(job);
    int summarised = summarise(job);
    return rc ? rc : kept ? kept : drawn ? drawn : predicted ? predicted : summarised;
}

int tgi_cli_run(struct tgi_cli *cli)
{
    static struct job job; /* what a task that does not return keeps is reachable from here */
    struct tg_graph *graph;
    int rc = check_choices(cli);
    job = (struct job){.cli = cli, .bounds = TGI_MACHINE_BOUNDS_NONE, .gantt = {.slot = -1}, .record = {.slot = -1}, .trace = {.slot = -1}};
    if (rc == 0)
        rc = check_devices(cli, &job.devices);
    if (rc == 0)
        rc = tgi_cli_load(cli, cli->operands[0], TGI_LOAD_AND_FREEZE, &graph);
    if (rc)
        return rc;
    job.graph = graph;
    rc = tgi_cli_has(cli, "simulate") ? tgi_cli_simulate(cli, graph, &job.devices) : run_graph(&job);
    tgi_output_abandon(&job.gantt);
    tgi_output_abandon(&job.record);
    tgi_output_abandon(&job.trace);
    bool has_settled = !job.run || tgi_run_settle(job.run, 0);
    tg_run_destroy(job.run);
    tg_runtime_destroy(job.runtime);
    if (has_settled) { /* a task that does not return may still use these, which are left to it */
        tgi_live_record_close(job.live);
        tgi_cli_checkpoint_destroy(job.checkpoint);
    }
    tg_graph_destroy(graph);
    tgi_cli_results_fini(&job.results);
    tgi_saved_plan_fini(&job.plan);
    tgi_machine_fini(&job.machine);
    free(job.makespans_ns);
    return rc;
}
