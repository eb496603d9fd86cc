/* A run is recorded, taken to have been executed, and recorded again: what it replays once it has settled. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/offload_graph.h"

struct preview {
    struct tg_run *run;
    struct tgi_offload_preview *p;
    struct tg_error *err;
    int rc;
};

static void name_tiles(const struct tg_run *run, struct tgi_offload_preview *p)
{
    for (uint32_t i = 0; i < p->recorded.program.n; i++) {
        const struct tgi_command *c = &p->recorded.program.commands[i];
        const struct tgi_transfer *t = &c->copy;
        p->tile[i] = TG_NONE;
        if (c->kind == TGI_COMMAND_FILL)
            p->tile[i] = tgi_replicas_find(run->offload->replicas, tgi_lane_device(c->lane), c->fill.address);
        else if (c->kind == TGI_COMMAND_COPY && t->to_node != TGI_HOST_NODE)
            p->tile[i] = tgi_replicas_find(run->offload->replicas, t->to_node - 1, t->to);
        else if (c->kind == TGI_COMMAND_COPY)
            p->tile[i] = tgi_replicas_find(run->offload->replicas, t->from_node - 1, t->from);
    }
}

static int record(struct preview *v)
{
    struct tgi_offload_task *task = NULL;
    char scratch[16];
    struct tg_error why;
    int rc = tgi_offload_record(v->run, &v->p->recorded, &task, &why);
    if (rc == TG_E_NO_MEMORY && !task)
        return tgi_error(v->err, TG_E_NO_MEMORY, "recording the run: %.400s", why.text);
    if (rc == TG_E_NO_MEMORY)
        return tgi_error(v->err, TG_E_UNSUPPORTED, "it cannot be a graph: memory is too short for all of the run at once");
    if (rc && task)
        return tgi_error(v->err, rc, "task \"%s\" cannot be in a graph: %.400s",
                         tgi_graph_task_name(v->run->graph, tgi_offload_id(task), scratch), why.text);
    return rc ? tgi_error(v->err, rc, "it cannot be a graph: %.400s", why.text) : 0;
}

/* As after the first start. */
static void pretend(struct preview *v)
{
    struct tgi_offload *o = v->run->runtime->offload;
    struct tgi_stamp stamps[TGI_MAX_DEVICES];
    for (uint32_t d = 0; d < o->devices->n_devices; d++)
        stamps[d] = TGI_STAMP_NONE;
    tgi_replicas_replayed(v->run->offload->replicas, v->p->recorded.before, v->p->recorded.after, stamps);
    tgi_captured_fini(&v->p->recorded);
    v->run->n_init_due = v->run->n_init_written;
    tgi_offload_run_set_out(v->run);
}

static void preview(void *arg)
{
    struct preview *v = arg;
    v->run->n_init_due = v->run->n_init_all;
    tgi_offload_run_set_out(v->run);
    v->rc = record(v);
    if (v->rc)
        return;
    pretend(v);
    v->rc = record(v);
    if (v->rc)
        return;
    v->p->tile = malloc(((size_t)v->p->recorded.program.n + 1) * sizeof *v->p->tile);
    v->rc = v->p->tile ? 0 : tgi_error_memory(v->err, "naming the commands of a graph");
    if (v->rc == 0)
        name_tiles(v->run, v->p);
}

int tgi_offload_preview(struct tg_run *run, struct tgi_offload_preview *p, struct tg_error *err)
{
    struct preview v = {run, p, err, 0};
    memset(p, 0, sizeof *p);
    if (!run->offload)
        return tgi_error(err, TG_E_UNSUPPORTED, "it cannot be a graph: no task is on a device");
    char *why = tgi_offload_obstacle(run);
    if (why) {
        tgi_error(err, TG_E_UNSUPPORTED, "it cannot be a graph: %.400s", why);
        free(why);
        return TG_E_UNSUPPORTED;
    }
    tgi_offload_do(run->runtime->offload, preview, &v);
    if (v.rc)
        tgi_offload_preview_fini(p);
    return v.rc;
}

void tgi_offload_preview_fini(struct tgi_offload_preview *p)
{
    tgi_captured_fini(&p->recorded);
    free(p->tile);
    memset(p, 0, sizeof *p);
}
