#include "io/cli/simulate.h"

#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/cli/machine_choice.h"
#include "io/cli/recording.h"
#include "io/gantt.h"
#include "io/output.h"
#include "io/recording_plan.h"
#include "io/units.h"
#include "sched/nap.h"
#include "sched/plan.h"

enum { LANES_IN_GRAPHS = 128 };

/* ---- In place of a run --------------------------------------------------------------------*/

/* What only a run that computes something can do. */
static int check_options(const struct tgi_cli *cli)
{
    static const char *const real[] = {"plan", "verify", "compare", "check-nan", "deterministic", "repeat", "warmup"};
    for (size_t i = 0; i < sizeof(real) / sizeof(*real); i++)
        if (tgi_cli_has(cli, real[i]))
            return tgi_cli_usage(cli, "--%s does not go with --simulate, which computes nothing", real[i]);
    return 0;
}

static uint32_t count_bits(uint64_t bits) { return (uint32_t)__builtin_popcountll(bits); }

/* The machine as far as -D asks for it; more GPUs than it has are more of the same. */
static int make_machine(const struct tgi_cli *cli, const struct tgi_device_choice *devices, struct tgi_machine *m,
                        struct tg_error *err)
{
    struct tgi_machine whole;
    struct tgi_machine_change change = {TG_NONE, 1, 1, devices->n_workers};
    int rc = tgi_cli_machine(cli, &whole, err);
    if (rc)
        return rc;
    if (devices->is_given && !devices->has_cuda)
        change.n_gpus = 0;
    else if (devices->is_given && devices->cuda)
        change.n_gpus = count_bits(devices->cuda);
    rc = tgi_machine_change(&whole, &change, m, err);
    tgi_machine_fini(&whole);
    return rc;
}

void tgi_cli_print_times(const struct tgi_workload *w)
{
    const struct {
        const char *what;
        uint64_t n;
    } from[] = {{"measured", w->n_measured}, {"between measured sizes", w->n_fitted}, {"declared", w->n_declared},
                {"by roofline", w->n_roofline}, {"by size of arguments", w->n_sized}};
    char text[TGI_UNITS_SIZE];
    printf("  times of tasks:");
    for (size_t i = 0, n_printed = 0; i < sizeof(from) / sizeof(from[0]); i++)
        if (from[i].n)
            printf("%s %s %s", n_printed++ ? "," : "", tgi_format_count(from[i].n, text, sizeof(text)), from[i].what);
    printf("%s\n", w->machine->is_rough ? "; the machine's figures are rough ones, not measured" : "");
    if (w->n_bodies)
        printf("  bodies of %s control tasks count as one task each\n", tgi_format_count(w->n_bodies, text, sizeof(text)));
}

static int write_files(const struct tgi_cli *cli, const struct tgi_recording *r)
{
    static const char *const options[] = {"record", "gantt", "trace"};
    struct tg_error err;
    for (int i = 0; i < 3; i++) {
        const char *path = tgi_cli_text(cli, options[i], NULL);
        struct tgi_output out;
        int rc = path ? tgi_output_open(&out, path, &err) : 0;
        if (rc == 0 && path) {
            rc = i == 0   ? tgi_recording_write(r, out.file, &err)
                 : i == 1 ? tgi_gantt_write(r, out.file, &err)
                          : tgi_cli_trace_write(cli, r, out.file, &err);
            if (rc == 0)
                rc = tgi_output_finish(&out, &err);
            tgi_output_abandon(&out);
        }
        if (rc)
            return tgi_cli_error(cli, &err);
    }
    return 0;
}

static int summarise(const struct tgi_cli *cli, const struct tgi_workload *w, const struct tgi_plan *plan, struct tgi_recording *r)
{
    char scratch[16];
    struct tgi_json json = tgi_json_begin(stdout, TGI_JSON_PRETTY);
    bool is_json = cli->format == TGI_FORMAT_JSON;
    if (cli->is_quiet && !is_json)
        return 0;
    if (is_json) {
        json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "run");
        tgi_json_bool(&json, "is_simulated", true);
        tgi_json_string(&json, "schedule_of", plan->chosen);
        tgi_json_bool(&json, "is_rough", w->machine->is_rough);
        tgi_json_array(&json, "records");
    }
    int rc = tgi_cli_summarise_recording(cli, cli->operands[0], r, is_json ? &json : NULL);
    if (is_json) {
        tgi_json_end(&json);
        tgi_json_end(&json);
    } else if (rc == 0) {
        tgi_cli_print_times(w);
        printf("  nothing was executed: times are of a virtual clock\n");
    }
    if (plan->over != TG_NONE)
        tgi_cli_warn(cli, "the data of task \"%s\" do not fit into the memory of its device",
                     tgi_graph_task_name(w->graph, plan->over, scratch));
    return rc;
}

static int simulate_on(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_policy_ops *policy,
                       const struct tgi_machine *m)
{
    struct tgi_workload *w = NULL;
    struct tgi_plan *plan = NULL;
    struct tgi_recording r;
    struct tg_error err;
    int rc = tgi_workload_create(graph, m, &w, &err);
    if (rc == 0)
        rc = tgi_plan_create(w, policy, &plan, &err);
    if (rc == 0)
        rc = tgi_recording_of_plan(w, plan, &r, &err);
    if (rc) {
        rc = tgi_cli_error(cli, &err);
    } else {
        rc = write_files(cli, &r);
        if (rc == 0)
            rc = summarise(cli, w, plan, &r);
        tgi_recording_fini(&r);
    }
    tgi_plan_destroy(plan);
    tgi_workload_destroy(w);
    return rc;
}

int tgi_cli_simulate(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_device_choice *devices)
{
    const char *name = tgi_cli_text(cli, "policy", "auto");
    const struct tgi_policy_ops *policy = tgi_policy_find(strcmp(name, "auto") == 0 ? "steal" : name);
    struct tgi_machine m;
    struct tg_error err;
    int rc = check_options(cli);
    if (rc)
        return rc;
    if (!policy)
        return tgi_cli_usage(cli, "there is no policy \"%s\"; there are auto, eager, steal, heft and bandwidth", name);
    if (make_machine(cli, devices, &m, &err))
        return tgi_cli_error(cli, &err);
    rc = simulate_on(cli, graph, policy, &m);
    tgi_machine_fini(&m);
    return rc;
}

/* ---- Beside a run -------------------------------------------------------------------------*/

static bool has_devices(const struct tgi_machine *m)
{
    for (uint32_t d = 0; d < m->n_devices; d++)
        if (m->classes[m->devices[d].class].kind != TGI_DEVICE_CPU)
            return true;
    return false;
}

static bool is_on_devices(const struct tgi_workload *w, const struct tgi_plan *plan)
{
    for (uint32_t t = 0; t < w->n_tasks; t++)
        if (w->machine->classes[w->machine->devices[plan->device[t]].class].kind == TGI_DEVICE_CPU)
            return false;
    return true;
}

/* What runs submit to devices they submit before it can start, and copies begin when they are submitted.  Where all tasks are on devices
 * beside CPUs it is known in which order and into which lanes; else as in a plan, whose devices and order are known from the
 * start.  *plan_p is replaced. */
static int submit_ahead(const struct tgi_workload *w, struct tgi_plan **plan_p, struct tg_error *err)
{
    struct tgi_assignment a = {(*plan_p)->device, (*plan_p)->start, (*plan_p)->makespan_ns, NULL};
    struct tgi_plan *plan;
    int rc = is_on_devices(w, *plan_p) ? tgi_plan_queued(w, (*plan_p)->device, &plan, err) : tgi_plan_follow(w, &a, &plan, err);
    tgi_plan_destroy(*plan_p);
    *plan_p = NULL;
    if (rc == 0)
        *plan_p = plan;
    return rc;
}

static uint64_t count_unknown(const struct tgi_workload *w) { return w->n_declared + w->n_roofline + w->n_sized; }

/* Why there is no prediction; false: there can be one. */
static bool is_unknown(const struct tgi_cli *cli, const struct tgi_workload *w, enum tg_executor executor)
{
    char a[TGI_UNITS_SIZE], scratch[16];
    uint64_t n_unknown = count_unknown(w), n = n_unknown ? n_unknown : w->n_bodies;
    if (executor == TG_EXECUTOR_RESIDENT)
        tgi_cli_note(cli, "no prediction: what tasks take inside resident kernels is not measured");
    else if (n)
        tgi_cli_note(cli, "no prediction: the machine file has no times for %s task%s of this graph%s%s",
                     tgi_format_count(n, a, sizeof(a)), n == 1 ? "" : "s", n_unknown ? ", the first of which is " : "",
                     n_unknown ? tgi_graph_task_name(w->graph, w->first_unknown, scratch) : "");
    return n || executor == TG_EXECUTOR_RESIDENT;
}

/* Whatever can run side by side in a graph does. */
static void widen_devices(struct tgi_machine *m)
{
    for (uint32_t d = 0; d < m->n_devices; d++)
        if (m->classes[m->devices[d].class].kind != TGI_DEVICE_CPU)
            m->devices[d].n_lanes = LANES_IN_GRAPHS;
}

/* The host's part of a start, before anything runs and when all of it has, after work_ns.  Of a graph nothing is seen until its end, which comes
 * in the middle of a nap. */
static double host_ns(const struct tgi_workload *w, bool is_graph, double work_ns)
{
    struct tgi_replay_costs costs;
    tgi_machine_replay_costs(w->machine, w->n_tasks, &costs);
    return is_graph ? costs.ns[TGI_REPLAY_LAUNCH] * w->n_tasks + costs.ns[TGI_REPLAY_AS_GRAPH] + (double)tgi_nap_ns((uint64_t)work_ns) / 2
                    : costs.ns[TGI_REPLAY_ON_STREAMS];
}

/* By task: the device of the machine it was placed on, for free().  NULL: that is not known, or some are not on GPUs, or there is no memory. */
static uint32_t *find_placed(const struct tgi_workload *w, const struct tgi_cli_prediction *what)
{
    uint32_t gpus[UINT8_MAX], n = 0, t = 0;
    uint32_t *device = what->nodes && !what->policy ? malloc(((size_t)w->n_tasks + 1) * sizeof *device) : NULL;
    for (uint32_t d = 0; d < w->machine->n_devices && n < UINT8_MAX; d++)
        if (w->machine->classes[w->machine->devices[d].class].kind != TGI_DEVICE_CPU)
            gpus[n++] = d;
    for (; device && t < w->n_tasks && what->nodes[t] > 0 && what->nodes[t] <= n; t++) {
        device[t] = gpus[what->nodes[t] - 1];
        if (!tgi_workload_allows(w, t, device[t]))
            break;
    }
    if (device && t == w->n_tasks)
        return device;
    free(device);
    return NULL;
}

/* Where a run has put its tasks is known; else a policy stands for what a run would do. */
static int plan_as_run(const struct tgi_workload *w, const struct tgi_cli_prediction *what, struct tgi_plan **plan_p, struct tg_error *err)
{
    uint32_t *placed = find_placed(w, what);
    int rc = placed ? tgi_plan_queued(w, placed, plan_p, err)
                    : tgi_plan_create(w, tgi_policy_find(what->policy ? what->policy : "steal"), plan_p, err);
    if (rc == 0 && !placed && has_devices(w->machine))
        rc = submit_ahead(w, plan_p, err);
    free(placed);
    return rc;
}

static int plan_run(const struct tgi_workload *w, const struct tgi_cli_prediction *what, double *ns_p, struct tg_error *err)
{
    struct tgi_plan *plan;
    int rc = plan_as_run(w, what, &plan, err);
    if (rc)
        return rc;
    *ns_p = plan->makespan_ns + (has_devices(w->machine) ? host_ns(w, what->executor == TG_EXECUTOR_GRAPH, plan->makespan_ns) : 0);
    tgi_plan_destroy(plan);
    return 0;
}

static int predict_on(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_machine *m,
                      const struct tgi_cli_prediction *what, double *ns_p, struct tgi_machine_bounds *bounds_p, struct tg_error *err)
{
    struct tgi_workload *w;
    struct tgi_bounds bounds;
    enum tgi_run_form form = what->executor == TG_EXECUTOR_GRAPH ? TGI_RUN_IN_GRAPH : what->is_recorded ? TGI_RUN_RECORDED : TGI_RUN_ON_STREAMS;
    int rc = tgi_workload_create_as_run(graph, m, form, &w, err);
    if (rc)
        return rc;
    rc = what->n_starts > 1 ? tgi_workload_stay(w, err) : 0;
    if (rc == 0)
        rc = tgi_bounds_find(w, &bounds, err);
    if (rc == 0)
        *bounds_p = (struct tgi_machine_bounds){bounds.ns[TGI_BOUND_MEMORY], bounds.ns[TGI_BOUND_LINKS]};
    if (rc == 0 && ns_p && !is_unknown(cli, w, what->executor))
        rc = plan_run(w, what, ns_p, err);
    tgi_workload_destroy(w);
    return rc;
}

int tgi_cli_predict(const struct tgi_cli *cli, const struct tg_graph *graph, const struct tgi_machine *machine,
                    const struct tgi_cli_prediction *what, double *ns_p, struct tgi_machine_bounds *bounds_p)
{
    struct tgi_machine_change change = {what->n_gpus, 1, 1, what->n_workers};
    struct tgi_machine m;
    struct tg_error err;
    int rc = tgi_machine_change(machine, &change, &m, &err);
    if (rc == 0) {
        if (what->executor == TG_EXECUTOR_GRAPH)
            widen_devices(&m);
        rc = predict_on(cli, graph, &m, what, ns_p, bounds_p, &err);
        tgi_machine_fini(&m);
    }
    return rc ? tgi_cli_error(cli, &err) : 0;
}
