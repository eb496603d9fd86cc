/* A run written down: all of its tasks go through the submitter's code at once, in an order of their own, into a recorder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/environment.h"
#include "graph/error.h"
#include "mem/recorder.h"
#include "mem/split.h"
#include "sched/choice.h"
#include "sched/offload_graph.h"

/* Launches of a device side by side: as many as it executes at a time.  The driver's time for more grows with their square
 * (bench/cuda_graphs --what widths). */
enum { WIDTH = 128 };

char *tgi_offload_obstacle(const struct tg_run *run)
{
    const struct tgi_offload *o = run->runtime->offload;
    if (!o->devices->ops->graph_create)
        return strdup("there are no graphs of such devices");
    if (run->offload->policy)
        return strdup("a policy decides while it runs");
    if (run->needs_serial)
        return strdup("tasks are executed one at a time");
    if (run->spans && (run->options.executor == TG_EXECUTOR_AUTO || !o->devices->ops->graph_times))
        return strdup("times of single tasks are wanted");
    if (run->has_deadlines)
        return strdup("a task has a time limit of its own");
    return tgi_offload_forbidden(run);
}

/* ---- Recording ----------------------------------------------------------------------------*/

static void record_all(struct tgi_offload *o, struct tgi_instance *in)
{
    struct tgi_capture *rec = o->recording;
    struct tgi_waits ignored = {.n = 0};
    if (tgi_offload_record_tasks(o, in, &rec->err) == 0)
        rec->task = NULL;
    tgi_recorder_set_owner(rec->recorder, UINT64_MAX, 0);
    tgi_replicas_copies_for(in->run->offload->replicas, UINT64_MAX);
    /* What is due in the program's own memory when the run ends. */
    if (rec->err.status == 0)
        tgi_replicas_to_host(in->run->offload->replicas, TG_NONE, TG_NONE, &ignored, &rec->err);
    if (rec->err.status == 0)
        tgi_recorder_finish(rec->recorder, &rec->err);
}

/* While it lasts, the submitter's order is the recording's. */
static int record_with(struct tg_run *run, struct tgi_capture *rec, struct tgi_captured *p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    struct tgi_order *live = o->order, *recorded;
    int rc = tgi_order_create_recording(rec->recorder, &recorded, err);
    if (rc)
        return rc;
    rc = tgi_replicas_record(r->replicas, tgi_recorder_devices(rec->recorder), recorded, err);
    if (rc == 0) {
        rc = tgi_replicas_save(r->replicas, &p->before, err);
        o->order = recorded;
        o->recording = rec;
        if (rc == 0)
            record_all(o, run->main);
        o->order = live;
        o->recording = NULL;
        tgi_replicas_record_end(r->replicas);
        if (rc == 0 && rec->err.status) {
            *err = rec->err;
            rc = err->status;
        }
        if (rc == 0)
            rc = tgi_replicas_save(r->replicas, &p->after, err);
        if (rc == 0 && rec->times)
            rc = tgi_replicas_keep_copies(r->replicas, &p->times.copies, &p->times.n_copies, err);
        if (p->before)
            tgi_replicas_forget(r->replicas, p->before);
    }
    for (uint32_t i = 0; i < o->devices->n_lanes; i++)
        o->lanes[i].tail = NULL; /* tasks that are in no lane */
    tgi_order_destroy(recorded);
    return rc;
}

static void times_of(void *user, const struct tgi_command *c, struct tgi_command_times *times_p)
{
    const struct tg_run *run = user;
    const struct tgi_offload_task *t = c->kind == TGI_COMMAND_LAUNCH ? tgi_offload_owned(run, c->owner) : NULL;
    uint32_t class = t ? t->instance->offload->classes[tgi_offload_id(t)] : TG_NONE, device = tgi_lane_device(c->lane);
    times_p->body_ns = (float)tgi_choices_inside_ns(run->offload->choices, class, device, TGI_INSIDE_RESIDENT);
    times_p->kernel_ns = (float)tgi_choices_inside_ns(run->offload->choices, class, device, TGI_INSIDE_GRAPH);
}

/* The first task that is in no cluster, and why, for the caller to free; what failed, if rc says so. */
static char *why_not(const struct tg_run *run, const struct tgi_program *program, const struct tgi_clustering *c, int rc,
                     const struct tg_error *err)
{
    uint64_t owner = rc == 0 && c->left != TG_NONE ? program->commands[c->left].owner : UINT64_MAX;
    bool has_task = owner < run->graph->n_tasks;
    char scratch[16], *text;
    int n = asprintf(&text, "%s%s%s%s", has_task ? "task \"" : "",
                     has_task ? tgi_graph_task_name(run->graph, (uint32_t)owner, scratch) : "", has_task ? "\": " : "",
                     rc ? err->text : c->why);
    return n < 0 ? NULL : text;
}

static void take(struct tgi_program *program, const struct tgi_program *clustered)
{
    tgi_program_fini(program);
    *program = *clustered;
}

/* What a run that may choose is to have of them.  Where it has none that is no reason to go on without a graph. */
static int choose_clusters(struct tg_run *run, struct tgi_program *program, struct tgi_captured *p, struct tg_error *err)
{
    struct tgi_replay_choice *choice = tgi_offload_graph_choice(run);
    struct tgi_clustering *c = &p->clustering;
    struct tgi_program clustered = {0};
    if (!choice || (choice->is_weighed && choice->way != TGI_REPLAY_RESIDENT))
        return 0;
    struct tgi_cluster_wish wish = {.takes_hoped = choice->takes_hoped, .may_spread = run->runtime->has_devices_alone,
                                   .costs = &run->offload->gain_costs, .times = times_of, .user = run};
    int rc = tgi_resident_cluster(run->runtime->offload->devices, program, &clustered, &wish, c, err);
    if (rc && rc != TG_E_UNSUPPORTED)
        return rc;
    if (rc || c->possible.n_tasks == 0) {
        char *why = why_not(run, program, c, rc, err);
        tgi_replay_refuse_resident(choice, why ? why : "no memory");
        free(why);
    }
    struct tgi_replay_clusters found = {c->possible, c->sure, c->hoped, c->is_compiled};
    if (tgi_replay_weigh(choice, &found) && c->n_clusters) {
        take(program, &clustered);
        return 0;
    }
    tgi_program_fini(&clustered);
    c->n_clusters = 0;
    return 0;
}

/* What cannot be resident stays as it is, and it is told why. */
static int make_clusters(struct tg_run *run, struct tgi_program *program, struct tgi_captured *p, struct tg_error *err)
{
    struct tgi_clustering *c = &p->clustering;
    struct tgi_program clustered = {0};
    if (run->options.executor == TG_EXECUTOR_AUTO)
        return choose_clusters(run, program, p, err);
    if (run->options.executor != TG_EXECUTOR_RESIDENT)
        return 0;
    int rc = tgi_resident_cluster(run->runtime->offload->devices, program, &clustered, NULL, c, err);
    if (rc && rc != TG_E_UNSUPPORTED)
        return rc;
    if (rc == 0 && c->n_clusters) {
        take(program, &clustered);
        return 0;
    }
    p->not_resident = why_not(run, program, c, rc, err);
    c->n_clusters = 0;
    return p->not_resident ? 0 : tgi_error_memory(err, "recording a run");
}

/* ---- Hops ---------------------------------------------------------------------------------
 *
 * What a hop takes, from the end of a kernel to that of the next one on another device, and what one more graph costs a start: two H100,
 * bench/cuda_hops.  Flags were faster where edges between devices are in a row; with two for each of those in a row (a halo), and more,
 * one graph was. */
static const double driver_hop_ns = 5900, flag_hop_ns = 3900, launch_ns = 5000, most_beside = 1.5;

/* An enum tgi_hops, or a status. */
static int find_asked(struct tg_error *err)
{
    static const char *const words[] = {[TGI_HOPS_DRIVER] = "driver", [TGI_HOPS_FLAGS] = "flags", [TGI_HOPS_CHOSEN] = "auto", NULL};
    return tgi_environment_word("TGRAPH_HOPS", words, TGI_HOPS_DRIVER, err);
}

/* *whole_p: why it is to be one graph; NULL: one for each device. */
static int choose_whole(const struct tg_run *run, const struct tgi_program *program, uint32_t n_hops, uint32_t n_flags, const char **whole_p,
                        struct tg_error *err)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    int rc, asked = find_asked(err);
    if (asked < 0)
        return asked;
    *whole_p = run->offload->insertion ? "it goes into another graph" : asked == TGI_HOPS_DRIVER ? "TGRAPH_HOPS does not ask for more" : NULL;
    rc = *whole_p ? 0 : tgi_program_whole(ds, program, whole_p, err);
    if (rc || *whole_p || asked == TGI_HOPS_FLAGS)
        return rc;
    if (n_hops * (driver_hop_ns - flag_hop_ns) < (ds->n_devices - 1) * launch_ns)
        *whole_p = "it has too few edges between devices in a row";
    else if (n_flags > most_beside * n_hops)
        *whole_p = "too many of its edges between devices are not in a row";
    return 0;
}

static int split(const struct tg_run *run, struct tgi_program *program, struct tgi_captured *p, struct tg_error *err)
{
    struct tgi_program parts = {0};
    uint32_t n_flags;
    p->n_hops = tgi_program_hops(program, &n_flags);
    int rc = choose_whole(run, program, p->n_hops, n_flags, &p->whole, err);
    if (rc || p->whole)
        return rc;
    rc = tgi_program_split(program, &parts, err);
    if (rc)
        return rc;
    tgi_program_fini(program);
    *program = parts;
    return 0;
}

int tgi_offload_record(struct tg_run *run, struct tgi_captured *p, struct tgi_offload_task **at_p, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_capture rec = {.times = run->spans ? &p->times : NULL, .has_kernels = p->has_kernels};
    struct tgi_program program = {0};
    int rc = tgi_recorder_create(o->devices, &program, &rec.recorder, err);
    if (rc == 0)
        rc = record_with(run, &rec, p, err);
    if (rc == 0)
        rc = make_clusters(run, &program, p, err);
    if (rc == 0)
        rc = split(run, &program, p, err);
    if (rc == 0)
        rc = tgi_program_narrow(&program, WIDTH, &p->program, err);
    memcpy(p->n_device_tasks, run->offload->n_device_tasks, sizeof p->n_device_tasks);
    p->n_tasks = rec.n_tasks;
    for (uint32_t d = 0; d < o->devices->n_devices; d++)
        p->calls_ns = rec.calls_ns[d] > p->calls_ns ? rec.calls_ns[d] : p->calls_ns;
    *at_p = rec.task;
    tgi_recorder_destroy(rec.recorder);
    tgi_program_fini(&program);
    return rc;
}

int tgi_offload_record_named(struct tg_run *run, struct tgi_captured *p, struct tg_error *err)
{
    struct tgi_offload_task *task = NULL;
    char scratch[16];
    struct tg_error why;
    int rc = tgi_offload_record(run, p, &task, &why);
    if (rc == TG_E_NO_MEMORY && !task)
        return tgi_error(err, TG_E_NO_MEMORY, "recording the run: %.400s", why.text);
    if (rc == TG_E_NO_MEMORY)
        return tgi_error(err, TG_E_UNSUPPORTED, "it cannot be a graph: memory is too short for all of the run at once");
    if (rc && task)
        return tgi_error(err, rc, "task \"%s\" cannot be in a graph: %.400s",
                         tgi_graph_task_name(run->graph, tgi_offload_id(task), scratch), why.text);
    return rc ? tgi_error(err, rc, "it cannot be a graph: %.400s", why.text) : 0;
}

void tgi_captured_fini(struct tgi_captured *p)
{
    tgi_program_fini(&p->program);
    tgi_replay_times_fini(&p->times);
    free(p->not_resident);
    tgi_replica_snapshot_destroy(p->before);
    tgi_replica_snapshot_destroy(p->after);
    memset(p, 0, sizeof *p);
}
