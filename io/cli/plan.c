/* tgraph plan: schedules a graph without running it, on this machine or on one that is described. */
#include "io/cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/cli/document.h"
#include "io/cli/machine_choice.h"
#include "io/cli/simulate.h"
#include "io/machine_json.h"
#include "io/outlook.h"
#include "io/output.h"
#include "io/plan_json.h"
#include "io/units.h"
#include "sched/bounds.h"
#include "sched/plan.h"

enum { MAX_POLICIES = 8, MAX_CASES = 16, MAX_GPUS = TGI_MACHINE_DEVICES - 64 };

/* A machine, and what the policies make of the graph there. */
struct machine_case {
    uint32_t n_gpus; /* TG_NONE: as the machine has them */
    struct tgi_machine machine;
    struct tgi_workload *workload;
    struct tgi_bounds bounds;
    struct tgi_plan *plans[MAX_POLICIES];
    double as_run_ns; /* 0: not asked for, or not known */
};

struct job {
    const struct tgi_cli *cli;
    struct tg_graph *graph;
    const struct tgi_policy_ops *policies[MAX_POLICIES];
    uint32_t n_policies;
    struct machine_case cases[MAX_CASES];
    uint32_t n_cases;
    const char *as_run; /* NULL: no prediction is wanted */
    double flops; /* of the graph; 0: unknown */
};

/* ---- What is asked for --------------------------------------------------------------------*/

static int read_policies(struct job *job)
{
    const char *at = tgi_cli_text(job->cli, "policy", "bandwidth");
    while (*at) {
        char name[32];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof(name), "%.*s", (int)(length < 31 ? length : 31), at);
        const struct tgi_policy_ops *policy = tgi_policy_find(name);
        if (!policy)
            return tgi_cli_usage(job->cli, "there is no policy \"%s\"; there are eager, steal, heft and bandwidth", name);
        if (job->n_policies == MAX_POLICIES)
            return tgi_cli_usage(job->cli, "more than %d policies", MAX_POLICIES);
        job->policies[job->n_policies++] = policy;
        at += length + (at[length] == ',');
    }
    return job->n_policies ? 0 : tgi_cli_usage(job->cli, "--policy names none");
}

static int read_gpus(struct job *job)
{
    const char *at = tgi_cli_text(job->cli, "gpus", "");
    job->cases[0].n_gpus = TG_NONE;
    while (*at) {
        char *end;
        unsigned long n = strtoul(at, &end, 10);
        if (end == at || *at == '-' || (*end && *end != ',') || n > MAX_GPUS)
            return tgi_cli_usage(job->cli, "--gpus takes numbers from 0 to %d, as in 1,2,4,8", MAX_GPUS);
        if (job->n_cases == MAX_CASES)
            return tgi_cli_usage(job->cli, "--gpus takes at most %d numbers", MAX_CASES);
        job->cases[job->n_cases++].n_gpus = (uint32_t)n;
        at = end + (*end == ',');
    }
    job->n_cases += job->n_cases == 0;
    return 0;
}

/* ---- Machines -----------------------------------------------------------------------------*/

static int make_machines(struct job *job, struct tg_error *err)
{
    struct tgi_machine base;
    int rc = tgi_cli_machine(job->cli, &base, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < job->n_cases; i++) {
        struct tgi_machine_change change = {job->cases[i].n_gpus, tgi_cli_float(job->cli, "link-speed", 1),
                                            tgi_cli_float(job->cli, "memory-speed", 1), 0};
        rc = tgi_machine_change(&base, &change, &job->cases[i].machine, err);
    }
    tgi_machine_fini(&base);
    return rc;
}

static int save_machine(const struct job *job, struct tg_error *err)
{
    const char *path = tgi_cli_text(job->cli, "save-machine", NULL);
    struct tgi_output out;
    int rc = path ? tgi_output_open(&out, path, err) : 0;
    if (rc || !path)
        return rc;
    tgi_machine_write(&job->cases[0].machine, out.file);
    return tgi_output_finish(&out, err);
}

/* ---- Planning -----------------------------------------------------------------------------*/

/* An exit code. */
static int predict_case(struct job *job, struct machine_case *c)
{
    bool is_graph = job->as_run && strcmp(job->as_run, "graph") == 0;
    bool is_recorded = !is_graph && job->graph->n_tasks <= TGI_CLI_MOST_RECORDED;
    struct tgi_cli_prediction what = {NULL, is_graph ? TG_EXECUTOR_GRAPH : TG_EXECUTOR_STREAMS, is_recorded, 0, TG_NONE, 2, NULL};
    struct tgi_machine_bounds bounds;
    return job->as_run ? tgi_cli_predict(job->cli, job->graph, &c->machine, &what, &c->as_run_ns, &bounds) : 0;
}

static int plan_case(struct job *job, struct machine_case *c, struct tg_error *err)
{
    int rc = tgi_workload_create(job->graph, &c->machine, &c->workload, err);
    if (rc == 0)
        rc = tgi_bounds_find(c->workload, &c->bounds, err);
    for (uint32_t i = 0; rc == 0 && i < job->n_policies; i++)
        rc = tgi_plan_create(c->workload, job->policies[i], &c->plans[i], err);
    return rc;
}

static double flops_of(const struct tg_graph *g)
{
    double sum = 0;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        double flops = tgi_graph_cost(g, t).flops;
        sum += isnan(flops) ? 0 : flops;
    }
    return sum;
}

static void job_fini(struct job *job)
{
    for (uint32_t i = 0; i < job->n_cases; i++) {
        for (uint32_t p = 0; p < job->n_policies; p++)
            tgi_plan_destroy(job->cases[i].plans[p]);
        tgi_workload_destroy(job->cases[i].workload);
        tgi_machine_fini(&job->cases[i].machine);
    }
    tg_graph_destroy(job->graph);
}

/* The shortest, the first of equal ones. */
static const struct tgi_plan *best_plan(const struct job *job, const struct machine_case *c)
{
    const struct tgi_plan *best = c->plans[0];
    for (uint32_t i = 1; i < job->n_policies; i++)
        if (c->plans[i]->makespan_ns < best->makespan_ns)
            best = c->plans[i];
    return best;
}

static int save_plan(const struct job *job, struct tg_error *err)
{
    const char *path = tgi_cli_text(job->cli, "output", NULL);
    const struct machine_case *c = &job->cases[0];
    struct tgi_output out;
    int rc = path ? tgi_output_open(&out, path, err) : 0;
    if (rc || !path)
        return rc;
    rc = tgi_plan_write(c->workload, best_plan(job, c), &c->bounds, out.file, err);
    if (rc == 0)
        rc = tgi_output_finish(&out, err);
    tgi_output_abandon(&out);
    return rc;
}

static double efficiency(const struct machine_case *c, const struct tgi_plan *plan)
{
    return plan->makespan_ns > 0 ? tgi_bounds_ns(&c->bounds) / plan->makespan_ns : 1;
}

/* ---- Text ---------------------------------------------------------------------------------*/

static void print_machine(const struct tgi_machine *m)
{
    for (uint32_t k = 0, n_printed = 0; k < m->n_classes; k++) {
        uint32_t n = 0, n_lanes = 0;
        for (uint32_t d = 0; d < m->n_devices; d++) {
            n += m->devices[d].class == k;
            n_lanes += m->devices[d].class == k ? m->devices[d].n_lanes : 0;
        }
        if (n && n_lanes > n)
            printf("%s%u x %s with %u lanes", n_printed++ ? " + " : "", n, m->classes[k].name, n_lanes);
        else if (n)
            printf("%s%u x %s", n_printed++ ? " + " : "", n, m->classes[k].name);
    }
}

static void print_head(const struct job *job, const struct machine_case *c, const struct tgi_plan *plan)
{
    char tasks[TGI_UNITS_SIZE], edges[TGI_UNITS_SIZE];
    printf("%s: %s tasks, %s edges on ", job->graph->name ? job->graph->name : job->cli->operands[0],
           tgi_format_count(job->graph->n_tasks, tasks, sizeof(tasks)),
           tgi_format_count(job->graph->n_edges, edges, sizeof(edges)));
    print_machine(&c->machine);
    printf(", policy %s", plan->policy);
    if (strcmp(plan->policy, plan->chosen) != 0)
        printf(" (the schedule of %s is shorter)", plan->chosen);
    putchar('\n');
}

static void print_bounds(const struct job *job, const struct machine_case *c, const struct tgi_plan *plan)
{
    char text[TGI_UNITS_SIZE];
    printf("  makespan     %10s", tgi_format_time(plan->makespan_ns, text, sizeof(text)));
    if (job->flops > 0)
        printf("   %sop/s", tgi_format_scaled(job->flops / plan->makespan_ns * 1e9, "fl", text, sizeof(text)));
    printf("\n  lower bound  %10s", tgi_format_time(tgi_bounds_ns(&c->bounds), text, sizeof(text)));
    printf("   %.0f %% efficient; binding: %s   of", 100 * efficiency(c, plan), tgi_bound_name(c->bounds.binding));
    for (int i = 0; i < TGI_N_BOUNDS; i++)
        printf("%s %s %s", i ? "," : "", tgi_bound_name((enum tgi_bound)i),
               tgi_format_time(c->bounds.ns[i], text, sizeof(text)));
    putchar('\n');
}

static void print_devices(const struct machine_case *c, const struct tgi_plan *plan)
{
    const struct tgi_machine *m = &c->machine;
    char n[TGI_UNITS_SIZE], in[TGI_UNITS_SIZE], out[TGI_UNITS_SIZE], peak[TGI_UNITS_SIZE];
    uint32_t n_shown = m->n_devices > 32 ? 32 : m->n_devices;
    printf("\n  %-10s %10s %7s %12s %12s %12s\n", "device", "tasks", "busy", "moved in", "moved out", "peak memory");
    for (uint32_t d = 0; d < n_shown; d++) {
        uint32_t memory = m->devices[d].memory;
        printf("  %-10s %10s %6.1f%% %12s %12s %12s\n", m->devices[d].name, tgi_format_count(plan->n_run[d], n, sizeof(n)),
               100 * plan->busy_ns[d] / (plan->makespan_ns > 0 ? plan->makespan_ns : 1) / m->devices[d].n_lanes,
               tgi_format_bytes((double)plan->moved_in[memory], in, sizeof(in)),
               tgi_format_bytes((double)plan->moved_out[memory], out, sizeof(out)),
               tgi_format_bytes((double)plan->peak_bytes[memory], peak, sizeof(peak)));
    }
    if (n_shown < m->n_devices)
        printf("  and %u more; --format json has them all\n", m->n_devices - n_shown);
}

static void print_moves(const struct job *job, const struct tgi_plan *plan)
{
    char moved[TGI_UNITS_SIZE], n[TGI_UNITS_SIZE], spilled[TGI_UNITS_SIZE], scratch[16];
    printf("  moved %s in %s copies", tgi_format_bytes((double)plan->moved_bytes, moved, sizeof(moved)),
           tgi_format_count(plan->n_copies, n, sizeof(n)));
    if (plan->n_evicted)
        printf("; %s evicted for want of memory, %s of it written back",
               tgi_format_count(plan->n_evicted, n, sizeof(n)),
               tgi_format_bytes((double)plan->spilled_bytes, spilled, sizeof(spilled)));
    putchar('\n');
    if (plan->over != TG_NONE)
        tgi_cli_warn(job->cli, "the data of task \"%s\" do not fit into the memory of its device",
                     tgi_graph_task_name(job->graph, plan->over, scratch));
}

/* The plan's tasks on devices, started again and again: as a graph, or on streams. */
struct graph_figures {
    uint64_t n_tasks;
    double make_ns, launch_ns, submit_ns; /* making it once; the host's part of a start of each kind */
};

/* false: the machine says nothing of that, or no task is on such a device. */
static bool find_graph(const struct tgi_machine *m, const struct tgi_plan *p, struct graph_figures *f)
{
    struct tgi_replay_costs costs;
    *f = (struct graph_figures){0};
    for (uint32_t d = 0; d < m->n_devices; d++)
        f->n_tasks += m->classes[m->devices[d].class].kind != TGI_DEVICE_CPU ? p->n_run[d] : 0;
    tgi_machine_replay_costs(m, f->n_tasks, &costs);
    f->make_ns = (double)f->n_tasks * (costs.ns[TGI_REPLAY_RECORD] + costs.ns[TGI_REPLAY_INSTANTIATE]);
    f->launch_ns = (double)f->n_tasks * costs.ns[TGI_REPLAY_LAUNCH];
    f->submit_ns = (double)f->n_tasks * costs.ns[TGI_REPLAY_SUBMIT];
    return f->make_ns > 0 && f->submit_ns > 0;
}

/* How many starts save as much as making it costs; 0: however many do not. */
static double starts_to_pay(const struct graph_figures *f)
{
    return f->submit_ns > f->launch_ns ? ceil(f->make_ns / (f->submit_ns - f->launch_ns)) : 0;
}

static void print_graph(const struct tgi_machine *m, const struct tgi_plan *plan)
{
    struct graph_figures f;
    char make[TGI_UNITS_SIZE], launch[TGI_UNITS_SIZE], submit[TGI_UNITS_SIZE], n[TGI_UNITS_SIZE];
    if (!find_graph(m, plan, &f))
        return;
    printf("  as a CUDA graph: %s to make it, %s of the host a launch, %s a start on streams; ", tgi_format_time(f.make_ns, make, sizeof(make)),
           tgi_format_time(f.launch_ns, launch, sizeof(launch)), tgi_format_time(f.submit_ns, submit, sizeof(submit)));
    if (starts_to_pay(&f) > 0)
        printf("pays after %s start%s\n", tgi_format_count((uint64_t)starts_to_pay(&f), n, sizeof(n)), starts_to_pay(&f) == 1 ? "" : "s");
    else
        printf("does not pay\n");
}

static void print_as_run(const struct job *job, const struct machine_case *c)
{
    char text[TGI_UNITS_SIZE];
    if (c->as_run_ns > 0)
        printf("  a run %s is predicted to take %s\n", strcmp(job->as_run, "graph") == 0 ? "as a graph" : "on streams",
               tgi_format_time(c->as_run_ns, text, sizeof(text)));
}

/* What resident kernels on the plan's devices would make of its tasks.  False: nothing can be in one, or nothing is foretold. */
static bool find_outlook(const struct job *job, const struct tgi_machine *m, const struct tgi_plan *p, struct tgi_outlook *o)
{
    uint32_t n = 0, *number = malloc((size_t)m->n_devices * sizeof(*number)), *device_of = malloc(((size_t)p->n_tasks + 1) * sizeof(*device_of));
    struct tgi_gain_costs costs;
    struct tg_error err;
    tgi_machine_gain_costs(m, &costs);
    for (uint32_t d = 0; number && d < m->n_devices; d++)
        number[d] = m->classes[m->devices[d].class].kind == TGI_DEVICE_CPU ? TG_NONE : n++;
    for (uint32_t t = 0; number && device_of && t < p->n_tasks; t++)
        device_of[t] = number[p->device[t]];
    int rc = number && device_of ? tgi_outlook_find(job->graph, device_of, n, &costs, o, &err) : tgi_error_memory(&err, "weighing resident kernels");
    free(number);
    free(device_of);
    if (rc)
        tgi_cli_warn(job->cli, "nothing is said about resident kernels: %s", err.text);
    return rc == 0 && o->possible.n_tasks;
}

static const char *name_outlook(const struct tgi_outlook *o) { return o->sure.n_tasks ? "gain" : o->hoped.n_tasks ? "may gain" : "do not gain"; }

static const struct tgi_gain *gain_of(const struct tgi_outlook *o)
{
    return o->sure.n_tasks ? &o->sure : o->hoped.n_tasks ? &o->hoped : &o->possible;
}

static void print_outlook(const struct job *job, const struct tgi_machine *m, const struct tgi_plan *plan)
{
    struct tgi_outlook o;
    char n[TGI_UNITS_SIZE], resident[TGI_UNITS_SIZE], worst[TGI_UNITS_SIZE], nodes[TGI_UNITS_SIZE];
    if (!find_outlook(job, m, plan, &o))
        return;
    const struct tgi_gain *g = gain_of(&o);
    printf("  inside resident kernels: %s task%s in %s, %s at worst, and %s or more as nodes of a graph; they %s\n", tgi_format_count(g->n_tasks, n, sizeof(n)),
           g->n_tasks == 1 ? "" : "s", tgi_format_time(g->resident_ns, resident, sizeof(resident)), tgi_format_time(g->worst_ns, worst, sizeof(worst)),
           tgi_format_time(g->nodes_ns, nodes, sizeof(nodes)), name_outlook(&o));
}

static void print_policies(const struct job *job, const struct machine_case *c)
{
    char time[TGI_UNITS_SIZE], moved[TGI_UNITS_SIZE];
    printf("\n  %-10s %12s %11s %12s  %s\n", "policy", "makespan", "efficiency", "moved", "schedule of");
    for (uint32_t i = 0; i < job->n_policies; i++) {
        const struct tgi_plan *p = c->plans[i];
        printf("  %-10s %12s %9.0f %% %12s  %s\n", p->policy, tgi_format_time(p->makespan_ns, time, sizeof(time)),
               100 * efficiency(c, p), tgi_format_bytes((double)p->moved_bytes, moved, sizeof(moved)), p->chosen);
    }
}

static int compare_starts(const void *left, const void *right, void *user)
{
    const struct tgi_plan *plan = user;
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    if (plan->start[a] != plan->start[b])
        return plan->start[a] < plan->start[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* By start; NULL without memory. */
static uint32_t *sort_tasks(const struct tgi_plan *plan)
{
    uint32_t *order = malloc(((size_t)plan->n_tasks + 1) * sizeof(*order));
    for (uint32_t t = 0; order && t < plan->n_tasks; t++)
        order[t] = t;
    if (order)
        qsort_r(order, plan->n_tasks, sizeof(*order), compare_starts, (void *)plan);
    return order;
}

static void print_tasks(const struct job *job, const struct machine_case *c, const struct tgi_plan *plan)
{
    uint32_t *order = sort_tasks(plan);
    char scratch[16], start[TGI_UNITS_SIZE], end[TGI_UNITS_SIZE];
    printf("\n  %12s %12s  %-10s %s\n", "start", "end", "device", "task");
    for (uint32_t i = 0; order && i < plan->n_tasks; i++)
        printf("  %12s %12s  %-10s %s\n", tgi_format_time(plan->start[order[i]], start, sizeof(start)),
               tgi_format_time(plan->end[order[i]], end, sizeof(end)), c->machine.devices[plan->device[order[i]]].name,
               tgi_graph_task_name(job->graph, order[i], scratch));
    free(order);
}

static void print_case(const struct job *job)
{
    const struct machine_case *c = &job->cases[0];
    const struct tgi_plan *plan = best_plan(job, c);
    print_head(job, c, plan);
    print_bounds(job, c, plan);
    tgi_cli_print_times(c->workload);
    print_devices(c, plan);
    print_moves(job, plan);
    print_graph(&c->machine, plan);
    print_as_run(job, c);
    print_outlook(job, &c->machine, plan);
    if (job->n_policies > 1)
        print_policies(job, c);
    if (tgi_cli_has(job->cli, "tasks"))
        print_tasks(job, c, plan);
}

/* Numbers of a row share the unit of the longest time. */
static void print_what_if(const struct job *job)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}};
    for (uint32_t p = 0; p < job->n_policies; p++) {
        double most = 0;
        uint32_t u = 0;
        for (uint32_t i = 0; i < job->n_cases; i++)
            most = job->cases[i].plans[p]->makespan_ns > most ? job->cases[i].plans[p]->makespan_ns : most;
        while (u < 3 && most < units[u].ns)
            u++;
        printf("  %-9s  gpus", job->policies[p]->name);
        for (uint32_t i = 0; i < job->n_cases; i++)
            printf(" %u", job->cases[i].n_gpus);
        printf(" | makespan");
        for (uint32_t i = 0; i < job->n_cases; i++)
            printf(" %.3g", job->cases[i].plans[p]->makespan_ns / units[u].ns);
        printf(" %s | bound", units[u].unit);
        for (uint32_t i = 0; i < job->n_cases; i++)
            printf(" %.3g", tgi_bounds_ns(&job->cases[i].bounds) / units[u].ns);
        printf(" | efficiency");
        for (uint32_t i = 0; i < job->n_cases; i++)
            printf(" %.0f", 100 * efficiency(&job->cases[i], job->cases[i].plans[p]));
        printf(" %%\n");
    }
    tgi_cli_print_times(job->cases[0].workload);
}

/* ---- JSON ---------------------------------------------------------------------------------*/

static void put_bounds(const struct machine_case *c, struct tgi_json *json)
{
    static const char *const keys[] = {"critical_path_ns", "area_ns", "memory_ns", "links_ns"};
    tgi_json_flat_object(json, "bounds");
    for (int i = 0; i < TGI_N_BOUNDS; i++)
        tgi_json_double(json, keys[i], c->bounds.ns[i]);
    tgi_json_string(json, "binding", tgi_bound_name(c->bounds.binding));
    tgi_json_double(json, "bound_ns", tgi_bounds_ns(&c->bounds));
    tgi_json_end(json);
}

static void put_devices(const struct machine_case *c, const struct tgi_plan *p, struct tgi_json *json)
{
    tgi_json_array(json, "devices");
    for (uint32_t d = 0; d < p->n_devices; d++) {
        uint32_t memory = c->machine.devices[d].memory;
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "device", c->machine.devices[d].name);
        tgi_json_uint(json, "tasks", p->n_run[d]);
        tgi_json_double(json, "busy_ns", p->busy_ns[d]);
        tgi_json_uint(json, "lanes", c->machine.devices[d].n_lanes);
        tgi_json_uint(json, "moved_in_bytes", p->moved_in[memory]);
        tgi_json_uint(json, "moved_out_bytes", p->moved_out[memory]);
        tgi_json_uint(json, "peak_bytes", p->peak_bytes[memory]);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_tasks(const struct job *job, const struct machine_case *c, const struct tgi_plan *p, struct tgi_json *json)
{
    char scratch[16];
    tgi_json_array(json, "tasks");
    for (uint32_t t = 0; t < p->n_tasks; t++) {
        tgi_json_flat_object(json, NULL);
        tgi_json_string(json, "task", tgi_graph_task_name(job->graph, t, scratch));
        tgi_json_string(json, "device", c->machine.devices[p->device[t]].name);
        tgi_json_double(json, "start_ns", p->start[t]);
        tgi_json_double(json, "end_ns", p->end[t]);
        tgi_json_end(json);
    }
    tgi_json_end(json);
}

static void put_outlook(const struct job *job, const struct tgi_machine *m, const struct tgi_plan *plan, struct tgi_json *json)
{
    struct tgi_outlook o;
    if (!find_outlook(job, m, plan, &o))
        return;
    const struct tgi_gain *g = gain_of(&o);
    tgi_json_flat_object(json, "resident");
    tgi_json_uint(json, "tasks", g->n_tasks);
    tgi_json_double(json, "resident_ns", g->resident_ns);
    tgi_json_double(json, "worst_ns", g->worst_ns);
    tgi_json_double(json, "nodes_ns", g->nodes_ns);
    tgi_json_string(json, "they", name_outlook(&o));
    tgi_json_end(json);
}

static void put_plan(const struct job *job, const struct machine_case *c, const struct tgi_plan *p, struct tgi_json *json)
{
    char scratch[16];
    tgi_json_object(json, NULL);
    tgi_json_string(json, "policy", p->policy);
    tgi_json_string(json, "schedule_of", p->chosen);
    tgi_json_double(json, "makespan_ns", p->makespan_ns);
    tgi_json_double(json, "efficiency", efficiency(c, p));
    tgi_json_uint(json, "moved_bytes", p->moved_bytes);
    tgi_json_uint(json, "copies", p->n_copies);
    tgi_json_uint(json, "evicted", p->n_evicted);
    tgi_json_uint(json, "written_back_bytes", p->spilled_bytes);
    tgi_json_string(json, "does_not_fit", p->over == TG_NONE ? NULL : tgi_graph_task_name(job->graph, p->over, scratch));
    put_devices(c, p, json);
    struct graph_figures f;
    if (find_graph(&c->machine, p, &f)) {
        tgi_json_flat_object(json, "graph");
        tgi_json_uint(json, "tasks", f.n_tasks);
        tgi_json_double(json, "make_ns", f.make_ns);
        tgi_json_double(json, "launch_ns", f.launch_ns);
        tgi_json_double(json, "submit_ns", f.submit_ns);
        tgi_json_double(json, "pays_after_starts", starts_to_pay(&f) > 0 ? starts_to_pay(&f) : NAN); /* null: never */
        tgi_json_end(json);
    }
    put_outlook(job, &c->machine, p, json);
    if (tgi_cli_has(job->cli, "tasks"))
        put_tasks(job, c, p, json);
    tgi_json_end(json);
}

static void put_case(const struct job *job, const struct machine_case *c, struct tgi_json *json)
{
    tgi_json_object(json, NULL);
    tgi_json_string(json, "machine", c->machine.name);
    tgi_json_bool(json, "is_rough", c->machine.is_rough);
    if (c->n_gpus != TG_NONE)
        tgi_json_uint(json, "gpus", c->n_gpus);
    if (job->as_run)
        tgi_json_double(json, "as_run_ns", c->as_run_ns > 0 ? c->as_run_ns : NAN); /* null: not known */
    tgi_json_flat_object(json, "times");
    tgi_json_uint(json, "measured", c->workload->n_measured);
    tgi_json_uint(json, "fitted", c->workload->n_fitted);
    tgi_json_uint(json, "declared", c->workload->n_declared);
    tgi_json_uint(json, "roofline", c->workload->n_roofline);
    tgi_json_uint(json, "argument_size", c->workload->n_sized);
    tgi_json_end(json);
    put_bounds(c, json);
    tgi_json_array(json, "plans");
    for (uint32_t i = 0; i < job->n_policies; i++)
        put_plan(job, c, c->plans[i], json);
    tgi_json_end(json);
    tgi_json_end(json);
}

static void put_json(const struct job *job)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "plan");
    tgi_json_string(&json, "file", job->cli->operands[0]);
    tgi_json_string(&json, "name", job->graph->name);
    tgi_json_uint(&json, "n_tasks", job->graph->n_tasks);
    tgi_json_uint(&json, "n_edges", job->graph->n_edges);
    tgi_json_array(&json, "machines");
    for (uint32_t i = 0; i < job->n_cases; i++)
        put_case(job, &job->cases[i], &json);
    tgi_json_end(&json);
    tgi_json_end(&json);
}

int tgi_cli_plan(struct tgi_cli *cli)
{
    struct job job = {.cli = cli, .as_run = tgi_cli_text(cli, "as-run", NULL)};
    struct tg_error err = {0};
    int exit_code = read_policies(&job);
    if (exit_code == 0 && job.as_run && strcmp(job.as_run, "streams") != 0 && strcmp(job.as_run, "graph") != 0)
        exit_code = tgi_cli_usage(cli, "--as-run is streams or graph, not \"%s\"", job.as_run);
    if (exit_code == 0)
        exit_code = read_gpus(&job);
    const char *out = tgi_cli_text(cli, "output", "");
    if (exit_code == 0 && *out && job.n_cases > 1)
        exit_code = tgi_cli_usage(cli, "-o writes one plan; --gpus asks for %u", job.n_cases);
    if (exit_code == 0)
        exit_code = tgi_cli_check_outputs(cli, (const char *const[]){"output", "save-machine"}, 2);
    if (exit_code == 0 && strcmp(out, "-") == 0 && cli->format == TGI_FORMAT_JSON)
        exit_code = tgi_cli_usage(cli, "-o - and --format json both write to stdout");
    if (exit_code == 0 && (tgi_cli_float(cli, "link-speed", 1) <= 0 || tgi_cli_float(cli, "memory-speed", 1) <= 0))
        exit_code = tgi_cli_usage(cli, "speeds are factors above 0");
    if (exit_code == 0)
        exit_code = tgi_cli_load(cli, cli->operands[0], TGI_LOAD_AND_FREEZE, &job.graph);
    if (exit_code)
        return exit_code;
    int rc = make_machines(&job, &err);
    if (rc == 0)
        rc = save_machine(&job, &err);
    for (uint32_t i = 0; rc == 0 && i < job.n_cases; i++)
        rc = plan_case(&job, &job.cases[i], &err);
    if (rc == 0)
        rc = save_plan(&job, &err);
    for (uint32_t i = 0; rc == 0 && exit_code == 0 && i < job.n_cases; i++)
        exit_code = predict_case(&job, &job.cases[i]);
    job.flops = flops_of(job.graph);
    if (exit_code)
        ; /* it has been told */
    else if (rc == 0 && cli->format == TGI_FORMAT_JSON)
        put_json(&job);
    else if (rc == 0 && strcmp(out, "-") == 0)
        ; /* the plan is what stdout has */
    else if (rc == 0 && job.cases[0].n_gpus != TG_NONE)
        print_what_if(&job);
    else if (rc == 0)
        print_case(&job);
    job_fini(&job);
    return rc ? tgi_cli_error(cli, &err) : exit_code;
}
