/* What the submitter watches; opening and closing devices. */
#include "sched/offload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/error.h"
#include "sched/backend.h"
#include "sched/futex.h"
#include "sched/history.h"
#include "sched/offload_policy.h"
#include "sched/offload_task.h"

enum {
    DEQUE_CAPACITY = 256,
    MOST_DUE = 1024, /* times that are read later, each with two events of the driver's */
    LOST_SUBMITTER_NS = 200000000,
    /* Device memory that is left to the driver and to libraries. */
    SPARE_PER_MILLE = 80
};

/* ---- Watching lanes -----------------------------------------------------------------------*/

static struct tgi_watch *watch_new(struct tgi_offload *o)
{
    struct tgi_watch *w = o->free_watches;
    if (w)
        o->free_watches = w->next;
    else
        w = malloc(sizeof *w);
    return w;
}

static bool is_awaited(const struct tgi_watch *w) { return w->kind != TGI_WATCH_SPAN && w->kind != TGI_WATCH_TIME; }

bool tgi_offload_watch(struct tgi_offload *o, struct tgi_stamp stamp, const struct tgi_watch *what)
{
    struct tgi_offload_lane *lane = &o->lanes[stamp.lane];
    struct tgi_watch *w = watch_new(o);
    if (!w)
        return false;
    *w = *what;
    w->seq = stamp.seq;
    w->next = NULL;
    if (!lane->last || lane->last->seq <= w->seq) {
        if (lane->last)
            lane->last->next = w;
        else
            lane->first = w;
        lane->last = w;
    } else {
        struct tgi_watch **at = &lane->first;
        while ((*at)->seq <= w->seq)
            at = &(*at)->next;
        w->next = *at;
        *at = w;
    }
    o->n_watches++;
    o->n_awaited += is_awaited(w);
    return true;
}

void tgi_offload_failed(struct tgi_offload *o, const struct tg_error *err)
{
    if (o->is_dead || !tgi_devices_are_lost(o->devices))
        return;
    o->is_dead = true;
    o->lost = *err;
}

void tgi_offload_drain(struct tgi_offload *o)
{
    struct tg_error err;
    for (uint32_t i = 0; i < o->devices->n_devices && !o->is_dead; i++) {
        if (o->devices->ops->drain(o->devices, i, &err)) {
            o->is_dead = true;
            o->lost = err;
            return;
        }
        for (uint32_t k = 0; k < TGI_LANES_EACH; k++)
            tgi_order_drained(o->order, tgi_lane_of(i, k));
    }
}

/* A task of the run that is watched, on this lane if there is one, else the last one of a lane; NULL: there is none. */
static struct tgi_offload_task *find_task(const struct tgi_offload *o, const struct tg_run *run, uint32_t lane)
{
    for (uint32_t i = 0; i < o->devices->n_lanes; i++)
        for (const struct tgi_watch *w = o->lanes[(lane + i) % o->devices->n_lanes].first; w; w = w->next)
            if (w->kind != TGI_WATCH_FINISH && w->task->instance->run == run)
                return w->task;
    for (uint32_t i = 0; i < o->devices->n_lanes; i++) {
        struct tgi_offload_task *t = o->lanes[(lane + i) % o->devices->n_lanes].tail;
        if (t && t->instance->run == run)
            return t;
    }
    return NULL;
}

/* How far a lane has come cannot be seen.  Every run under way fails, and the devices are waited for at once:
 * nobody waits for ever for what cannot be seen. */
static void lane_failed(struct tgi_offload *o, uint32_t lane, const struct tg_error *err)
{
    tgi_offload_failed(o, err);
    for (struct tgi_offload_run *run = o->active; run; run = run->next) {
        struct tgi_offload_task *t = find_task(o, run->run, lane);
        if (t)
            tgi_offload_fail_task(o, t, err);
        else
            tgi_run_fail_whole(run->run, err->status, err->text);
    }
    tgi_offload_drain(o);
}

static void reached(struct tgi_offload *o, struct tgi_watch *w)
{
    tgi_offload_reached(o, w);
    w->next = o->free_watches;
    o->free_watches = w;
}

bool tgi_offload_read_due(struct tgi_offload *o, uint32_t most)
{
    bool has_any = o->due != NULL;
    for (uint32_t i = 0; o->due && i < most; i++) {
        struct tgi_watch *w = o->due;
        o->due = w->next;
        o->n_due--;
        reached(o, w);
    }
    return has_any;
}

/* Reading a time takes the driver longer than enqueuing many a task, and nobody waits for it. */
static bool put_off(struct tgi_offload *o, struct tgi_watch *w)
{
    if (w->kind != TGI_WATCH_SPAN || w->was_alone || o->n_due == MOST_DUE || !tgi_offload_is_main(w->task->instance))
        return false;
    w->next = NULL;
    if (o->due)
        o->last_due->next = w;
    else
        o->due = w;
    o->last_due = w;
    o->n_due++;
    return true;
}

/* What was watched on a lane and is done; true if anything was. */
static bool look_at(struct tgi_offload *o, uint32_t i)
{
    struct tgi_offload_lane *lane = &o->lanes[i];
    struct tg_error err;
    if (!tgi_order_n_pending(o->order, i) && !lane->first)
        return false;
    if (!o->is_dead && tgi_order_poll(o->order, i, &err))
        lane_failed(o, i, &err);
    bool has_moved = false;
    while (lane->first && (o->is_dead || tgi_order_is_done(o->order, (struct tgi_stamp){i, lane->first->seq}))) {
        struct tgi_watch *w = lane->first;
        lane->first = w->next;
        if (!lane->first)
            lane->last = NULL;
        o->n_watches--;
        o->n_awaited -= is_awaited(w);
        if (!put_off(o, w))
            reached(o, w);
        has_moved = true;
    }
    return has_moved;
}

void tgi_offload_seal_all(struct tgi_offload *o)
{
    struct tg_error err;
    for (uint32_t i = 0; i < o->devices->n_lanes && !o->is_dead; i++)
        if (tgi_order_n_pending(o->order, i) && tgi_order_seal(o->order, i, &err))
            lane_failed(o, i, &err);
}

void tgi_offload_look_at_libraries(struct tgi_offload *o)
{
    struct tg_error err;
    if (o->is_dead || !o->devices->ops->poll || o->devices->ops->poll(o->devices, &err) == 0)
        return;
    tgi_offload_failed(o, &err);
    for (struct tgi_offload_run *run = o->active; run; run = run->next)
        if (run->has_collected) {
            run->run->has_unnamed_failure = true;
            tgi_run_fail_whole(run->run, err.status, err.text);
        }
}

bool tgi_offload_look(struct tgi_offload *o)
{
    bool has_moved = false;
    for (uint32_t i = 0; i < o->devices->n_lanes; i++)
        has_moved |= look_at(o, i);
    return has_moved;
}

/* ---- Opening ------------------------------------------------------------------------------*/

static int reserve(void *user, uint64_t bytes, uint64_t *address_p, struct tg_error *err)
{
    struct tgi_offload_source *s = user;
    struct tgi_devices *ds = s->offload->devices;
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    rc = ds->ops->reserve(ds, s->device, bytes, address_p, err);
    ds->ops->detach(ds);
    return rc;
}

static void unreserve(void *user, uint64_t address, uint64_t bytes)
{
    struct tgi_offload_source *s = user;
    struct tgi_devices *ds = s->offload->devices;
    (void)bytes;
    bool is_attached = ds->ops->attach(ds, NULL) == 0;
    ds->ops->unreserve(ds, s->device, address);
    if (is_attached)
        ds->ops->detach(ds);
}

static int make_pools(struct tgi_offload *o, uint64_t memory_bytes, struct tg_error *err)
{
    struct tgi_devices *ds = o->devices;
    int rc = ds->ops->attach(ds, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < ds->n_devices; i++) {
        uint64_t limit = memory_bytes;
        char name[32];
        if (!limit) {
            rc = ds->ops->available(ds, i, &limit, err);
            limit -= limit / 1000 * SPARE_PER_MILLE;
        }
        o->limit_bytes[i] = limit;
        snprintf(name, sizeof name, "%s:%u", ds->ops->kind, ds->ordinal[i]);
        o->sources[i] = (struct tgi_offload_source){o, i};
        struct tgi_pool_source source = {reserve, unreserve, &o->sources[i]};
        struct tgi_pool_options options = {.limit_bytes = limit, .name = name};
        if (rc == 0)
            rc = tgi_pool_create(&source, &options, &o->pools[i], err);
    }
    ds->ops->detach(ds);
    return rc;
}

static struct tgi_worker *make_worker(struct tg_runtime *rt)
{
    struct tgi_worker *w = aligned_alloc(64, sizeof *w);
    if (!w)
        return NULL;
    memset(w, 0, sizeof *w);
    w->runtime = rt;
    w->index = rt->n_workers;
    w->context = (struct tg_context){.worker = w, .explanation = w->explanation};
    w->running = &w->context;
    bool ok = true;
    for (uint32_t d = 0; d < TGI_N_DEQUES; d++)
        ok = tgi_deque_init(&w->deques[d], DEQUE_CAPACITY) && ok;
    if (ok)
        return w;
    for (uint32_t d = 0; d < TGI_N_DEQUES; d++)
        tgi_deque_fini(&w->deques[d]);
    free(w);
    return NULL;
}

/* Which devices a specification names; how many CPUs is somebody else's affair. */
static int parse_spec(const char *spec, const char *kind, uint64_t *set_p, bool *is_wanted_p, bool *has_cpu_p,
                      struct tg_error *err)
{
    size_t length = strlen(kind);
    bool is_ours = false;
    *set_p = 0;
    *is_wanted_p = *has_cpu_p = false;
    while (*spec) {
        size_t n = strcspn(spec, "+,");
        if (strncmp(spec, kind, length) == 0 && (n == length || spec[length] == ':')) {
            is_ours = *is_wanted_p = true;
            if (n == length) { /* all of them */
                *set_p = 0;
                spec += n;
                is_ours = false;
            } else {
                spec += length + 1;
                n -= length + 1;
            }
        } else if (n == 0 || (spec[0] < '0' || spec[0] > '9')) {
            if (n < 3 || strncmp(spec, "cpu", 3) || (n > 3 && spec[3] != ':'))
                return tgi_error(err, TG_E_BAD_VALUE, "\"%.*s\" is no kind of device: there are cpu and %s", (int)n, spec, kind);
            is_ours = false;
            *has_cpu_p = true;
            spec += n;
        }
        if (is_ours) {
            char *end;
            unsigned long i = strtoul(spec, &end, 10);
            if (end != spec + n || n == 0 || i >= 64)
                return tgi_error(err, TG_E_BAD_VALUE, "\"%.*s\" is no number of a device", (int)n, spec);
            if (*set_p >> i & 1)
                return tgi_error(err, TG_E_BAD_VALUE, "%s:%lu is named twice", kind, i);
            *set_p |= (uint64_t)1 << i;
            spec += n;
        }
        spec += strcspn(spec, "+,");
        if (*spec == '+')
            is_ours = false;
        if (*spec)
            spec++;
    }
    return 0;
}

/* The submitter's first act; it stays attached while it lives. */
struct attaching {
    struct tgi_offload *offload;
    struct tg_error *err;
    int rc;
};

static void attach(void *arg)
{
    struct attaching *a = arg;
    struct tgi_offload *o = a->offload;
    a->rc = o->devices->ops->attach(o->devices, a->err);
    o->is_attached = a->rc == 0;
}

static int start_submitter(struct tgi_offload *o, struct tg_error *err)
{
    struct attaching a = {o, err, 0};
    int answer = pthread_create(&o->thread, NULL, tgi_offload_main, o);
    if (answer)
        return tgi_error_errno(err, TG_E_SYSTEM, answer, "cannot start the thread that submits to devices");
    o->has_thread = true;
    tgi_offload_ask(o, attach, &a);
    return a.rc;
}

int tgi_offload_open(struct tg_runtime *rt, const char *spec, uint64_t memory_bytes, struct tg_error *err)
{
    const struct tgi_backend *backend = &tgi_backends[0];
    uint64_t set;
    bool is_wanted, has_cpu;
    int rc = parse_spec(spec, backend->kind, &set, &is_wanted, &has_cpu, err);
    if (rc || !is_wanted)
        return rc;
    struct tgi_offload *o = calloc(1, sizeof *o);
    if (!o)
        return tgi_error_memory(err, "opening devices");
    rt->offload = o;
    o->runtime = rt;
    o->uses_cpus = has_cpu;
    rc = tgi_history_open(&o->history, err);
    if (rc == 0)
        rc = backend->open(set, &o->devices, err);
    if (rc == 0)
        rc = tgi_order_create(o->devices, &o->order, err);
    if (rc == 0)
        rc = tgi_staging_create(o->devices, TG_NONE, &o->staging, err);
    if (rc == 0)
        rc = tgi_pinned_create(o->devices, 0, &o->pinned, err);
    return rc ? rc : make_pools(o, memory_bytes, err);
}

int tgi_offload_start(struct tg_runtime *rt, struct tg_error *err)
{
    struct tgi_offload *o = rt->offload;
    if (!o)
        return 0;
    o->worker = make_worker(rt);
    rt->submitter = o->worker;
    return o->worker ? start_submitter(o, err) : tgi_error_memory(err, "opening devices");
}

/* Nothing ends a kernel that does not return: then the submitter waits for it for ever. */
static bool join(struct tgi_offload *o)
{
    struct timespec until;
    atomic_store_explicit(&o->is_ending, 1, memory_order_seq_cst);
    tgi_offload_wake(o);
    if (!atomic_load_explicit(&o->runtime->has_abandoned, memory_order_relaxed))
        return pthread_join(o->thread, NULL) == 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOST_SUBMITTER_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_timedjoin_np(o->thread, NULL, &until) == 0)
        return true;
    pthread_detach(o->thread);
    return false;
}

bool tgi_offload_close(struct tg_runtime *rt)
{
    struct tgi_offload *o = rt->offload;
    if (!o)
        return true;
    if (o->has_thread && !join(o))
        return false;
    for (uint32_t i = 0; i < TGI_MAX_DEVICES; i++)
        if (o->pools[i])
            tgi_pool_destroy(o->pools[i]);
    tgi_order_destroy(o->order);
    tgi_offload_forget_events(o);
    tgi_staging_destroy(o->staging);
    tgi_pinned_destroy(o->pinned);
    if (o->devices)
        o->devices->ops->close(o->devices);
    tgi_history_close(o->history);
    for (uint32_t node = 0; node < TGI_MAX_NODES; node++)
        tgi_ready_fini(&o->ready[node]);
    tgi_offload_forget_collectives(o);
    while (o->free_watches) {
        struct tgi_watch *next = o->free_watches->next;
        free(o->free_watches);
        o->free_watches = next;
    }
    if (o->worker)
        for (uint32_t d = 0; d < TGI_N_DEQUES; d++)
            tgi_deque_fini(&o->worker->deques[d]);
    free(o->worker);
    free(o);
    rt->offload = NULL;
    rt->submitter = NULL;
    return true;
}
