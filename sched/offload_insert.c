/* Starts of a run as nodes of graphs that the program makes.
 *
 * A node is made as a start is: data is initialised on the host, the submitter records what it would enqueue; but that goes into the
 * program's graph.  The run is then where such a start leads, so that tiles can be asked for where a launch leaves them.
 * What was recorded must lead back to where it can begin again, as nothing looks at it between launches. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/offload_graph.h"

struct tgi_insertion {
    void *graph, *node;
    void *const *after;
    size_t n_after;
    struct tgi_inserted *made; /* NULL: not yet */
    struct tg_error *err;
    int rc;
};

/* One for each node. */
struct tgi_inserted {
    struct tgi_captured recorded;
    struct tgi_inserted *next;
};

/* ---- The submitter ------------------------------------------------------------------------*/

/* Nothing that the run has enqueued is left: the program's graph waits for none of it. */
static int settle(struct tg_run *run, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_waits waits = {.n = 0};
    int rc = 0;
    tgi_replicas_pending(run->offload->replicas, &waits);
    for (uint32_t i = 0; rc == 0 && i < waits.n; i++)
        rc = tgi_order_synchronize(o->order, waits.stamps[i], err);
    return rc;
}

/* Adding fails at a command of some task. */
static int add(struct tg_run *run, struct tgi_insertion *in, const struct tgi_program *program)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    char scratch[16];
    struct tg_error why;
    uint64_t owner = UINT64_MAX;
    int rc = ds->ops->graph_insert(ds, program, in->graph, in->after, in->n_after, &in->node, &owner, &why);
    struct tgi_offload_task *task = rc ? tgi_offload_owned(run, owner) : NULL;
    if (task)
        return tgi_error(in->err, rc, "task \"%s\" cannot be in a graph: %.400s",
                         tgi_graph_task_name(task->instance->graph, tgi_offload_id(task), scratch), why.text);
    return rc ? tgi_error(in->err, rc, "%.500s", why.text) : 0;
}

static int insert(struct tg_run *run, struct tgi_insertion *in, struct tgi_captured *recorded)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_replicas *replicas = run->offload->replicas;
    struct tgi_stamp stamps[TGI_MAX_DEVICES];
    int rc = tgi_offload_record_named(run, recorded, in->err);
    if (rc)
        return rc;
    if (!tgi_replicas_is_repeatable(replicas, recorded->before, recorded->after))
        return tgi_error(in->err, TG_E_STATE, "the run does not end with its data where it begins; start it once more before this");
    rc = settle(run, in->err);
    if (rc == 0)
        rc = add(run, in, &recorded->program);
    if (rc)
        return rc;
    for (uint32_t d = 0; d < o->devices->n_devices; d++)
        stamps[d] = tgi_order_tail(o->order, tgi_lane_of(d, 0));
    tgi_replicas_replayed(replicas, recorded->before, recorded->after, stamps);
    tgi_replicas_keep(replicas, recorded->after);
    return 0;
}

void tgi_offload_insert(struct tg_run *run)
{
    struct tgi_insertion *in = run->offload->insertion;
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_inserted *made = calloc(1, sizeof *made);
    tgi_offload_graph_forget_last(run);
    if (o->is_dead)
        in->rc = tgi_error(in->err, o->lost.status, "%s", o->lost.text);
    else
        in->rc = made ? insert(run, in, &made->recorded) : tgi_error_memory(in->err, "adding a run to a graph");
    if (in->rc && made) {
        tgi_captured_fini(&made->recorded);
        free(made);
        made = NULL;
    }
    if (in->rc && run->offload->inserted) /* the other nodes' memory */
        tgi_replicas_keep(run->offload->replicas, run->offload->inserted->recorded.after);
    in->made = made;
}

void tgi_offload_insert_release(struct tg_run *run)
{
    struct tgi_inserted *next;
    for (struct tgi_inserted *i = run->offload->inserted; i; i = next) {
        next = i->next;
        tgi_captured_fini(&i->recorded);
        free(i);
    }
    run->offload->inserted = NULL;
}

/* What kernels have left on the devices. */
static void end(void *arg)
{
    struct tg_run *run = arg;
    struct tgi_offload *o = run->runtime->offload;
    struct tg_error err;
    char text[512];
    uint64_t address;
    uint32_t n;
    for (uint32_t d = 0; d < o->devices->n_devices && !o->is_dead; d++) {
        int rc = o->devices->ops->fault(o->devices, d, &address, &n, text, sizeof text, &err);
        if (rc < 0) {
            tgi_offload_failed(o, &err);
            tgi_run_fail_whole(run, err.status, err.text);
        } else if (rc > 0) {
            tgi_run_fail_tile(run, tgi_replicas_find(run->offload->replicas, d, address), text);
        }
    }
    if (o->is_dead)
        tgi_run_fail_whole(run, o->lost.status, o->lost.text);
    tgi_offload_insert_release(run);
}

/* ---- The program's thread -----------------------------------------------------------------*/

static int check(const struct tg_run *run, struct tg_error *err)
{
    if (!run->offload)
        return tgi_error(err, TG_E_UNSUPPORTED, "the run cannot be a graph: no task is on a device");
    if (!run->runtime->offload->devices->ops->graph_insert)
        return tgi_error(err, TG_E_UNSUPPORTED, "%s devices have no graphs of the program's", run->runtime->offload->devices->ops->kind);
    if (run->spans)
        return tgi_error(err, TG_E_UNSUPPORTED, "the run cannot be a graph of the program's: times of single tasks are wanted");
    char *why = tgi_offload_obstacle(run);
    if (!why)
        return 0;
    tgi_error(err, TG_E_UNSUPPORTED, "the run cannot be a graph: %.400s", why);
    free(why);
    return TG_E_UNSUPPORTED;
}

int tg_run_add_to_graph(struct tg_run *run, void *graph, void *const *after, size_t n_after, void **node_p, struct tg_error *err)
{
    struct tgi_insertion in = {.graph = graph, .after = after, .n_after = n_after, .err = err};
    int rc = check(run, err);
    if (rc)
        return rc;
    tg_run_fn on_done = run->options.on_done;
    rc = run->offload->inserted ? 0 : tgi_run_check_idle(run, err); /* who is in a graph cannot be under way */
    if (rc)
        return rc;
    run->offload->insertion = &in;
    run->options.on_done = NULL; /* which is for starts */
    rc = tg_run_start(run, err);
    rc = rc ? rc : tg_run_wait(run, err);
    run->options.on_done = on_done;
    run->offload->insertion = NULL;
    rc = rc ? rc : in.rc;
    if (in.made) {
        in.made->next = run->offload->inserted;
        run->offload->inserted = in.made;
        *node_p = in.node;
    }
    return rc;
}

int tg_run_end_graphs(struct tg_run *run, struct tg_error *err)
{
    if (!run->offload || !run->offload->inserted)
        return tgi_error(err, TG_E_STATE, "the run is part of no graph of the program's");
    tgi_offload_do(run->runtime->offload, end, run);
    return tg_run_wait(run, err);
}
