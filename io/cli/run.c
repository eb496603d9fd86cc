/* tgraph run: execute a graph, then say how it went. */
#include "io/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/cli/crash.h"
#include "io/cli/machine_choice.h"
#include "io/cli/progress.h"
#include "io/cli/recording.h"
#include "io/cli/run_job.h"
#include "io/cli/run_record.h"
#include "io/cli/run_summary.h"
#include "io/cli/simulate.h"
#include "io/units.h"
#include "sched/offload_graph.h"
#include "sched/policy.h"
#include "sched/record.h"

enum { SETTLE_MS = 5000 };

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
static const char *policy_to_ask_for(const struct tgi_cli_job *job)
{
    const char *policy = tgi_cli_text(job->cli, "policy", "auto");
    bool is_usual = strcmp(policy, "auto") == 0 || (strcmp(policy, "steal") == 0 && !job->devices.has_cuda);
    return is_usual ? NULL : policy;
}

static void set_options(struct tgi_cli_job *job)
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
    bool is_auto = strcmp(executor, "auto") == 0, is_small = job->graph->n_tasks <= TGI_CLI_MOST_RECORDED;
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
            TGI_CLI_MOST_RECORDED);
}

/* Nobody has asked for devices: GPUs are used if they are here and of use. */
static int choose_devices(struct tgi_cli_job *job, bool *is_optional_p)
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

static int create_runtime(struct tgi_cli_job *job)
{
    const struct tgi_cli *cli = job->cli;
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    char devices[128];
    options.n_workers = job->devices.n_workers;
    options.memory_bytes = tgi_cli_bytes(cli, "mem", 0);
    options.device_bytes = tgi_cli_bytes(cli, "device-mem", 0);
    options.on_thread = tgi_cli_prepare_thread;
    options.has_devices_alone = true;
    if (job->devices.has_cuda) {
        tgi_device_choice_format(&job->devices, devices, sizeof(devices));
        options.devices = devices;
    }
    return tgi_cli_runtime_create(&options, &job->runtime, &job->err);
}

static int create_guided(struct tgi_cli_job *job)
{
    struct tgi_guide_plan plan = tgi_saved_plan_guide(&job->plan);
    struct tgi_guide guide = {job->machine.n_devices ? &job->machine : NULL, job->plan.name ? &plan : NULL, NULL};
    int rc = tgi_cli_checkpoint_cut(job->checkpoint, tg_runtime_n_workers(job->runtime), &guide.cut, &job->err);
    return rc ? rc : tgi_run_create_guided(job->runtime, job->graph, &job->options, &guide, &job->run, &job->err);
}

static int create_run_on(struct tgi_cli_job *job)
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

static int create_run(struct tgi_cli_job *job)
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
static void tell_executor(struct tgi_cli_job *job)
{
    const char *why = NULL;
    bool is_graph = tg_run_executor(job->run, &why) == TG_EXECUTOR_GRAPH;
    if (why && job->status == 0 && job->options.executor != TG_EXECUTOR_AUTO)
        tgi_cli_warn(job->cli, "%s: %s", is_graph ? "no task is resident, all are nodes of a graph" : "not executed as a graph", why);
    else if (why && job->n_devices)
        tgi_cli_detail(job->cli, "executor: %s", why);
}

/* Whether a graph calls libraries, where both were measured, and how it goes from device to device, where it does. */
static void tell_graph(struct tgi_cli_job *job)
{
    struct tgi_offload_graph_stats s;
    char with[32], without[32];
    if (!job->n_devices || tg_run_executor(job->run, NULL) == TG_EXECUTOR_STREAMS)
        return;
    tgi_offload_graph_stats(job->run, &s);
    if (s.kernels_ns > 0)
        tgi_cli_detail(job->cli, "graph: %s calls of libraries, as a start took %s with them and %s with kernels in their place", s.has_kernels ? "without" : "with",
                       tgi_format_time(s.calls_ns, with, sizeof with), tgi_format_time(s.kernels_ns, without, sizeof without));
    if (s.n_hops && s.whole)
        tgi_cli_detail(job->cli, "graph: one for all devices, %u edges between them in a row: %s", s.n_hops, s.whole);
    else if (s.n_hops)
        tgi_cli_detail(job->cli, "graph: one for each device, which wait for each other by flags, %u edges between them in a row", s.n_hops);
}

/* Returns false when there is no point in a further run. */
static bool execute_once(struct tgi_cli_job *job, bool is_measured)
{
    struct tg_run_stats stats;
    struct tgi_cli_progress *progress =
        tgi_cli_progress_begin(job->cli, job->runtime, job->graph, job->options.is_recorded);
    job->status = tg_run_start(job->run, &job->err);
    if (job->status == 0)
        job->status = tg_run_wait(job->run, &job->err);
    tgi_cli_progress_end(progress);
    /* After a time limit devices may still be at it: they are told to leave, and what is said of them is read when they have. */
    if (job->status && job->n_devices && !tgi_run_settle(job->run, SETTLE_MS)) {
        tgi_cli_warn(job->cli, "a device is still at it, so nothing is said of devices");
        job->n_devices = 0;
    }
    if (is_measured && tg_run_stats(job->run, &stats, NULL) == 0)
        job->makespans_ns[job->n_measured++] = stats.makespan_ns;
    return job->status == 0 && tgi_cli_signal() == 0;
}

static int execute(struct tgi_cli_job *job)
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
    tell_graph(job);
    /* A warm-up that failed is the run that the summary is about. */
    struct tg_run_stats stats;
    if (job->n_measured == 0 && tg_run_stats(job->run, &stats, NULL) == 0)
        job->makespans_ns[job->n_measured++] = stats.makespan_ns;
    return 0;
}

/* ---- From beginning to end -----------------------------------------------------------------*/

/* What follows a run that was not stopped: checks, comparison, files. */
static int use_results(struct tgi_cli_job *job)
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
static int read_guide(struct tgi_cli_job *job)
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

static int ask_machine(struct tgi_cli_job *job, double *ns_p, struct tgi_machine_bounds *bounds_p)
{
    struct tgi_cli_prediction what = {job->options.policy, tg_run_executor(job->run, NULL), job->options.is_recorded, job->n_workers,
                                      job->n_devices, job->options.n_starts_expected, tgi_run_nodes(job->run)};
    return job->machine.n_devices ? tgi_cli_predict(job->cli, job->graph, &job->machine, &what, ns_p, bounds_p) : 0;
}

/* Before the run, as its record has them whether it comes to an end or not. */
static int find_bounds(struct tgi_cli_job *job) { return ask_machine(job, NULL, &job->bounds); }

/* After it: by the executor that was used. */
static int predict(struct tgi_cli_job *job)
{
    struct tgi_machine_bounds bounds;
    job->predicted_ns = job->plan.name ? job->plan.makespan_ns : 0;
    return job->plan.name ? 0 : ask_machine(job, &job->predicted_ns, &bounds);
}

static int run_graph(struct tgi_cli_job *job)
{
    int rc = read_guide(job);
    if (rc == 0)
        rc = tgi_cli_checkpoint_open(job->cli, job->graph, &job->checkpoint);
    if (rc == 0)
        rc = create_run(job);
    if (rc == 0)
        rc = find_bounds(job);
    if (rc == 0)
        rc = tgi_cli_run_open(job, "gantt", &job->gantt);
    if (rc == 0)
        rc = tgi_cli_run_open(job, "record", &job->record);
    if (rc == 0)
        rc = tgi_cli_run_open(job, "trace", &job->trace);
    if (rc == 0)
        rc = tgi_cli_results_check(job->cli, job->graph, tgi_cli_text(job->cli, "save-dir", "."));
    if (rc == 0)
        tgi_cli_run_begin_live(job);
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
    int drawn = tgi_cli_run_write(job), predicted = predict(job);
    int summarised = tgi_cli_run_summarise(job);
    return rc ? rc : kept ? kept : drawn ? drawn : predicted ? predicted : summarised;
}

int tgi_cli_run(struct tgi_cli *cli)
{
    static struct tgi_cli_job job; /* what a task that does not return keeps is reachable from here */
    struct tg_graph *graph;
    int rc = check_choices(cli);
    job = (struct tgi_cli_job){.cli = cli, .bounds = TGI_MACHINE_BOUNDS_NONE, .gantt = {.slot = -1}, .record = {.slot = -1}, .trace = {.slot = -1}};
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
