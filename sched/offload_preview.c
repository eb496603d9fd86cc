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

static uint32_t tile_of(const struct tgi_replicas *r, const struct tgi_command *c)
{
    const struct tgi_transfer *t = &c->copy;
    if (c->kind == TGI_COMMAND_FILL)
        return tgi_replicas_find(r, tgi_lane_device(c->lane), c->fill.address);
    if (c->kind != TGI_COMMAND_COPY)
        return TG_NONE;
    return t->to_node != TGI_HOST_NODE ? tgi_replicas_find(r, t->to_node - 1, t->to) : tgi_replicas_find(r, t->from_node - 1, t->from);
}

/* Returns what comes after the numbers of the program and its bodies. */
static uint32_t *name_tiles(const struct tgi_replicas *r, const struct tgi_program *p, uint32_t *tile)
{
    if (!p)
        return tile;
    for (uint32_t i = 0; i < p->n; i++)
        tile[i] = tile_of(r, &p->commands[i]);
    tile += p->n;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->commands[i].kind == TGI_COMMAND_DECIDE)
            tile = name_tiles(r, p->commands[i].decide.body_else, name_tiles(r, p->commands[i].decide.body, tile));
    return tile;
}

/* As after the first start. */
static void pretend(struct preview *v)
{
    struct tgi_offload *o = v->run->runtime->offload;
    struct tgi_stamp stamps[TGI_MAX_DEVICES];
    for (uint32_t d = 0; d < o->devices->n_devices; d++)
        stamps[d] = tgi_order_tail(o->order, tgi_lane_of(d, 0));
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
    v->rc = tgi_offload_record_named(v->run, &v->p->recorded, v->err);
    if (v->rc)
        return;
    pretend(v);
    v->rc = tgi_offload_record_named(v->run, &v->p->recorded, v->err);
    if (v->rc)
        return;
    v->p->tile = malloc(((size_t)tgi_program_size(&v->p->recorded.program) + 1) * sizeof *v->p->tile);
    v->rc = v->p->tile ? 0 : tgi_error_memory(v->err, "naming the commands of a graph");
    if (v->rc == 0)
        name_tiles(v->run->offload->replicas, &v->p->recorded.program, v->p->tile);
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
