/* Streams of the program: what a run comes after, and what comes after a run.
 *
 * Before.  The program's thread records an event in its stream.  The submitter follows it (mem/order.h), so that each
 * lane waits for it before its next command.  A run with tasks on CPUs is held until the event is done instead, as
 * workers start tasks that the submitter never sees.
 *
 * After.  Once the last task is submitted, every lane that the run may have used has got all it will get of it.  An event
 * behind each of them is recorded, and the program's thread makes its stream wait for those.  They are the run's own: the
 * order's are used again as soon as they are done, while a thread that is not the submitter may be about to wait for them.
 *
 * A stream only ever waits for what has been enqueued, never for what somebody is still to do: whatever becomes of the run,
 * it goes on.  Calls that name the stream are made by the program's thread, since the per-thread default stream is one
 * only there. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/futex.h"
#include "sched/offload.h"

static int find_device(const struct tg_runtime *rt, uint32_t ordinal, uint32_t *device_p, struct tg_error *err)
{
    const struct tgi_offload *o = rt->offload;
    if (!o)
        return tgi_error(err, TG_E_NO_DEVICE, "the runtime has no devices");
    if (!o->devices->ops->stream_record || !o->devices->ops->stream_wait)
        return tgi_error(err, TG_E_UNSUPPORTED, "%s devices have no streams of the program's", o->devices->ops->kind);
    for (uint32_t i = 0; i < o->devices->n_devices; i++)
        if (o->devices->ordinal[i] == ordinal) {
            *device_p = i;
            return 0;
        }
    return tgi_error(err, TG_E_NO_DEVICE, "%s:%u is none of the runtime's devices", o->devices->ops->kind, ordinal);
}

/* ---- A run after a stream -----------------------------------------------------------------*/

/* *event_p NULL: it is created. */
static int record(struct tgi_devices *ds, uint32_t device, void *stream, struct tgi_event **event_p, struct tg_error *err)
{
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    if (!*event_p)
        rc = ds->ops->event_create(ds, device, false, event_p, err);
    if (rc == 0)
        rc = ds->ops->stream_record(ds, device, stream, *event_p, err);
    ds->ops->detach(ds);
    return rc;
}

/* The caller waits until a stream has come to where it is now. */
static int await_stream(struct tgi_devices *ds, uint32_t device, void *stream, struct tg_error *err)
{
    struct tgi_event *event = NULL;
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    rc = record(ds, device, stream, &event, err);
    if (rc == 0)
        rc = ds->ops->synchronize(ds, event, err);
    if (event)
        ds->ops->event_destroy(ds, event);
    ds->ops->detach(ds);
    return rc;
}

int tg_run_start_on(struct tg_run *run, uint32_t device, void *stream, struct tg_error *err)
{
    uint32_t i;
    int rc = tgi_run_check_idle(run, err);
    if (rc == 0)
        rc = find_device(run->runtime, device, &i, err);
    if (rc)
        return rc;
    struct tgi_devices *ds = run->runtime->offload->devices;
    if (!run->offload) {
        rc = await_stream(ds, i, stream, err);
    } else {
        rc = record(ds, i, stream, &run->offload->begins[i], err);
        run->offload->after = rc ? NULL : run->offload->begins[i];
    }
    return rc ? rc : tg_run_start(run, err);
}

void tgi_offload_stream_await(struct tg_run *run)
{
    struct tgi_devices *ds = run->runtime->offload->devices;
    struct tg_error err;
    if (!run->offload->after)
        return;
    int rc = ds->ops->attach(ds, &err);
    if (rc == 0) {
        rc = ds->ops->synchronize(ds, run->offload->after, &err);
        ds->ops->detach(ds);
    }
    run->offload->after = NULL;
    if (rc)
        tgi_run_fail_whole(run, err.status, err.text);
}

bool tgi_offload_stream_holds(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    struct tg_error err;
    if (!r->uses_host) {
        if (tgi_order_follow(o->order, r->after, &err))
            tgi_run_fail_whole(run, err.status, err.text);
        return false;
    }
    r->run = run;
    r->next_held = o->held;
    o->held = r;
    return true;
}

bool tgi_offload_look_at_held(struct tgi_offload *o)
{
    struct tgi_offload_run **at = &o->held, *r;
    struct tg_error err;
    bool any = false;
    while ((r = *at)) {
        /* relaxed: nothing is published by it.  A run that was stopped begins only to skip its tasks. */
        bool is_stopped = atomic_load_explicit(&r->run->stop, memory_order_relaxed) != TGI_STOP_NO;
        int answer = o->is_dead || is_stopped ? 1 : o->devices->ops->query(o->devices, r->after, &err);
        if (answer == 0) {
            at = &r->next_held;
            continue;
        }
        *at = r->next_held;
        if (answer < 0) {
            tgi_offload_failed(o, &err);
            tgi_run_fail_whole(r->run, err.status, err.text);
        }
        r->after = NULL;
        tgi_offload_run_begin_now(r->run);
        any = true;
    }
    return any;
}

/* ---- A stream after a run -----------------------------------------------------------------*/

void tgi_offload_stream_mark(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    r->last.n = 0;
    for (uint32_t i = 0; i < o->devices->n_lanes && !o->is_dead; i++)
        if (tgi_order_n_pending(o->order, i))
            tgi_waits_add(o->order, &r->last, tgi_order_tail(o->order, i));
    r->has_last = true;
    tgi_run_submitted(run);
}

void tgi_offload_stream_end(struct tg_run *run)
{
    if (run->offload->after)
        tgi_order_forget(run->runtime->offload->order, run->offload->after);
    run->offload->after = NULL;
}

/* What a stream is to wait for. */
struct ends {
    struct tg_run *run;
    bool is_marked[TGI_MAX_LANES]; /* by lane: the run's event is recorded behind what matters */
    /* of a tile */
    uint32_t tile, device;
    enum tg_access access;
    uint64_t address;
    struct tg_error *err;
    int rc;
};

/* Behind all that the lane has, which is at least what is waited for: only what follows at once makes a difference. */
static int mark_lane(struct tgi_offload *o, struct ends *e, uint32_t lane)
{
    struct tgi_offload_run *r = e->run->offload;
    int rc = r->ends[lane] ? 0 : o->devices->ops->event_create(o->devices, tgi_lane_device(lane), false, &r->ends[lane], e->err);
    if (rc == 0)
        rc = o->devices->ops->record(o->devices, lane, r->ends[lane], e->err);
    e->is_marked[lane] = rc == 0;
    return rc;
}

static int mark_lanes(struct tgi_offload *o, struct ends *e, struct tgi_waits waits)
{
    int rc = 0;
    waits.n = tgi_order_reduce(o->order, waits.stamps, waits.n);
    for (uint32_t i = 0; rc == 0 && i < waits.n; i++)
        rc = mark_lane(o, e, waits.stamps[i].lane);
    return rc;
}

/* On the submitter's thread; err may be the program's NULL. */
static void note_failure(struct tgi_offload *o, struct ends *e)
{
    struct tg_error lost;
    if (!e->rc || o->is_dead)
        return;
    if (!e->err)
        tgi_error(&lost, e->rc, "the devices are lost");
    tgi_offload_failed(o, e->err ? e->err : &lost);
}

static void find_ends(void *arg)
{
    struct ends *e = arg;
    struct tgi_offload *o = e->run->runtime->offload;
    if (o->is_dead && e->err)
        *e->err = o->lost;
    e->rc = o->is_dead ? o->lost.status : 0;
    if (e->run->offload->has_last)
        e->rc = e->rc ? e->rc : mark_lanes(o, e, e->run->offload->last);
    else /* its time is over, while something of it is still at work */
        for (uint32_t i = 0; e->rc == 0 && i < o->devices->n_lanes; i++)
            if (tgi_order_n_pending(o->order, i))
                e->rc = mark_lane(o, e, i);
    note_failure(o, e);
}

/* The program's thread. */
static int wait_for_ends(const struct ends *e, uint32_t device, void *stream, struct tg_error *err)
{
    struct tgi_devices *ds = e->run->runtime->offload->devices;
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < ds->n_lanes; i++)
        if (e->is_marked[i])
            rc = ds->ops->stream_wait(ds, device, stream, e->run->offload->ends[i], err);
    ds->ops->detach(ds);
    return rc;
}

static void await_submission(struct tg_run *run)
{
    uint32_t state = TGI_NOT_SUBMITTED;
    /* acquire: pairs with tgi_run_submitted(), which wakes who has said that it waits. */
    if (!atomic_compare_exchange_strong_explicit(&run->submission, &state, TGI_SUBMISSION_AWAITED, memory_order_acquire,
                                                 memory_order_acquire) && state == TGI_SUBMITTED)
        return;
    while (atomic_load_explicit(&run->submission, memory_order_acquire) != TGI_SUBMITTED)
        tgi_futex_wait(&run->submission, TGI_SUBMISSION_AWAITED, UINT64_MAX);
}

int tg_run_wait_on(struct tg_run *run, uint32_t device, void *stream, struct tg_error *err)
{
    struct ends e = {.run = run, .err = err};
    uint32_t i;
    int rc = find_device(run->runtime, device, &i, err);
    if (rc)
        return rc;
    if (!run->has_started)
        return tgi_error(err, TG_E_STATE, "the run was never started");
    await_submission(run);
    if (!run->offload)
        return 0;
    tgi_offload_do(run->runtime->offload, find_ends, &e);
    return e.rc ? e.rc : wait_for_ends(&e, i, stream, err);
}

/* ---- Tiles --------------------------------------------------------------------------------*/

static int check_tile(const struct tg_run *run, tg_buffer_id buffer, uint32_t tile, enum tg_access access, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    if (buffer >= space->n_buffers)
        return tgi_error(err, TG_E_UNKNOWN_BUFFER, "there is no buffer %u", buffer);
    const struct tgi_buffer *b = &space->buffers[buffer];
    if (tile >= b->n_tiles)
        return tgi_error(err, TG_E_INDEX_RANGE, "buffer \"%s\" has %u tiles, not one numbered %u", b->name, b->n_tiles, tile);
    if (b->present && !b->present[tile])
        return tgi_error(err, TG_E_TILE_ABSENT, "buffer \"%s\" has no tile %u", b->name, tile);
    if (access != TG_IN && access != TG_OUT && access != TG_INOUT)
        return tgi_error(err, TG_E_INVALID, "a stream reads a tile, writes it, or both: TG_IN, TG_OUT, TG_INOUT");
    /* acquire: pairs with tgi_run_submitted() and tgi_run_done().  A run may be over and yet not settle. */
    if (atomic_load_explicit(&((struct tg_run *)run)->submission, memory_order_acquire) != TGI_SUBMITTED ||
        (tg_run_poll(run) && !atomic_load_explicit(&((struct tg_run *)run)->is_settled, memory_order_acquire)))
        return tgi_error(err, TG_E_STATE, "the run is under way, and tasks may be left to hand out");
    if (!run->offload)
        return tgi_error(err, TG_E_NO_DEVICE, "no task of the run is on a device, and no tile has memory there");
    return 0;
}

/* Lanes that the stream comes after as it comes after the run are left out. */
static bool is_in_run(const struct tgi_offload_run *r, struct tgi_stamp stamp)
{
    for (uint32_t i = 0; i < r->last.n; i++)
        if (r->last.stamps[i].lane == stamp.lane)
            return stamp.seq <= r->last.stamps[i].seq;
    return false;
}

/* Nodes of the program's graphs leave a tile where they have it: a copy made now would be one of what is there now. */
static int check_inserted(const struct ends *e)
{
    const uint64_t word = e->tile; /* all of it */
    const uint8_t access = TG_IN;
    const struct tgi_space *space = e->run->graph->space;
    if (e->access != TG_IN)
        return tgi_error(e->err, TG_E_STATE, "tiles that the program writes are asked for before the run is added to its graph");
    if (tgi_replicas_missing(e->run->offload->replicas, &word, &access, 1, e->device + 1))
        return tgi_error(e->err, TG_E_STATE, "the graph does not leave this tile of \"%s\" on that device",
                         tgi_space_buffer_of(space, e->tile)->name);
    return 0;
}

static void lend(void *arg)
{
    struct ends *e = arg;
    struct tgi_offload_run *r = e->run->offload;
    struct tgi_offload *o = e->run->runtime->offload;
    struct tgi_waits waits = {.n = 0};
    if (!r->lent_tiles && !(r->lent_tiles = calloc((size_t)e->run->graph->space->n_tiles + 1, 1)))
        e->rc = tgi_error_memory(e->err, "lending a tile");
    else if (o->is_dead)
        e->rc = o->lost.status;
    if (o->is_dead && e->err)
        *e->err = o->lost;
    if (e->rc == 0 && r->inserted)
        e->rc = check_inserted(e);
    if (e->rc == 0)
        e->rc = tgi_replicas_lend(r->replicas, e->tile, e->access, e->device, &e->address, &waits, e->err);
    struct tgi_waits later = {.n = 0};
    for (uint32_t i = 0; e->rc == 0 && i < waits.n; i++) {
        tgi_waits_add(o->order, &r->lent, waits.stamps[i]);
        if (!is_in_run(r, waits.stamps[i]))
            tgi_waits_add(o->order, &later, waits.stamps[i]);
    }
    if (e->rc == 0)
        e->rc = mark_lanes(o, e, later);
    if (e->rc == 0)
        r->lent_tiles[e->tile] |= e->access == TG_IN ? TGI_LENT_READ : TGI_LENT_WRITTEN;
    note_failure(o, e);
}

int tg_run_device_tile(struct tg_run *run, tg_buffer_id buffer, uint32_t tile, uint32_t device, enum tg_access access,
                       void *stream, uint64_t *address_p, struct tg_error *err)
{
    struct ends e = {.run = run, .access = access, .err = err};
    int rc = find_device(run->runtime, device, &e.device, err);
    if (rc == 0)
        rc = check_tile(run, buffer, tile, access, err);
    if (rc)
        return rc;
    e.tile = run->graph->space->buffers[buffer].first_tile + tile;
    tgi_offload_do(run->runtime->offload, lend, &e);
    rc = e.rc ? e.rc : wait_for_ends(&e, e.device, stream, err);
    if (rc == 0)
        *address_p = e.address;
    return rc;
}

/* Workers look at the host alone, and write there without telling. */
static int bring_home(struct tg_run *run, struct tg_error *err)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    const struct tgi_space *space = run->graph->space;
    struct tgi_waits waits = {.n = 0};
    int rc = 0;
    for (uint32_t b = 0; b < space->n_buffers; b++)
        for (uint32_t t = 0; rc == 0 && t < space->buffers[b].n_tiles; t++)
            if (r->lent_tiles[space->buffers[b].first_tile + t])
                rc = tgi_replicas_to_host(r->replicas, b, t, &waits, err);
    for (uint32_t i = 0; rc == 0 && i < waits.n; i++)
        rc = tgi_order_synchronize(o->order, waits.stamps[i], err);
    for (uint32_t t = 0; rc == 0 && t < space->n_tiles; t++)
        if (r->lent_tiles[t])
            tgi_replicas_host_wrote(r->replicas, t);
    return rc;
}

void tgi_offload_stream_take_tiles(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    struct tg_error err;
    tgi_replicas_take_back(r->replicas);
    if (!r->lent_tiles)
        return;
    if (r->uses_host && !o->is_dead && bring_home(run, &err)) {
        tgi_offload_failed(o, &err);
        tgi_run_fail_whole(run, err.status, err.text);
    }
    memset(r->lent_tiles, 0, run->graph->space->n_tiles);
}

/* ---- Life ---------------------------------------------------------------------------------*/

static void await_lent(void *arg)
{
    struct tg_run *run = arg;
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    struct tg_error err;
    for (uint32_t i = 0; i < r->lent.n && !o->is_dead; i++)
        if (tgi_order_synchronize(o->order, r->lent.stamps[i], &err)) {
            tgi_offload_failed(o, &err);
            tgi_offload_drain(o);
        }
    r->lent.n = 0;
}

void tgi_offload_stream_await_lent(struct tg_run *run)
{
    if (run->offload->lent.n)
        tgi_offload_do(run->runtime->offload, await_lent, run);
}

void tgi_offload_stream_release(struct tg_run *run)
{
    struct tgi_offload *o = run->runtime->offload;
    struct tgi_offload_run *r = run->offload;
    await_lent(run);
    for (uint32_t i = 0; i < TGI_MAX_DEVICES; i++)
        if (r->begins[i])
            o->devices->ops->event_destroy(o->devices, r->begins[i]);
    for (uint32_t i = 0; i < TGI_MAX_LANES; i++)
        if (r->ends[i])
            o->devices->ops->event_destroy(o->devices, r->ends[i]);
}
