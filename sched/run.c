/* Runs as the program sees them: create, bind, start, wait. */
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/agenda.h"
#include "sched/cut.h"
#include "sched/futex.h"
#include "sched/guide.h"
#include "sched/offload.h"
#include "sched/seat.h"

enum { SETTLE_MS = 200 };

/* ---- Creation -----------------------------------------------------------------------------*/

/* Marks what tasks may write: those tiles need initialising before every start. */
static void mark_written(const struct tg_graph *g, uint8_t *is_written)
{
    const struct tgi_space *space = g->space;
    for (uint32_t t = 0; t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        uint32_t n_words = tgi_graph_n_words(g, t); /* a tile that is left out is no tile */
        for (uint32_t i = 0; i < n_words; i++) {
            if (op->params[i].access <= TG_IN)
                continue;
            uint32_t first, n = tgi_word_tiles(space, g->args[g->nodes[t].args + i], &first);
            if (n)
                memset(is_written + first, 1, n);
        }
    }
}

static int list_init(struct tg_run *run, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    uint8_t *is_written = calloc((size_t)space->n_tiles + 1, 1);
    run->init_items = malloc(((size_t)space->n_tiles + 1) * sizeof *run->init_items);
    if (!is_written || !run->init_items) {
        free(is_written);
        return tgi_error_memory(err, "preparing a run");
    }
    /* Tasks inside bodies count as well; the control tasks carry their accesses. */
    mark_written(run->graph, is_written);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t b = 0; b < space->n_buffers; b++) {
            const struct tgi_buffer *buffer = &space->buffers[b];
            if (buffer->host || buffer->init == TG_INIT_NONE)
                continue;
            for (uint32_t i = 0; i < buffer->n_tiles; i++)
                if (is_written[buffer->first_tile + i] == (pass == 0) && (!buffer->present || buffer->present[i]))
                    run->init_items[run->n_init_all++] = (struct tgi_init_item){b, i};
        }
        if (pass == 0)
            run->n_init_written = run->n_init_all;
    }
    free(is_written);
    return 0;
}

static void init_one(void *user, uint32_t i)
{
    struct tg_run *run = user;
    struct tg_error err;
    uint32_t no = TGI_STOP_NO;
    if (i >= run->n_init_due) /* a serial run that initialises nothing has one empty round */
        return;
    int rc = tgi_store_init_tile(run->store, run->init_items[i].buffer, run->init_items[i].tile, &err);
    if (rc == 0)
        return;
    pthread_mutex_lock(&run->lock);
    if (run->error.status == 0)
        run->error = err;
    pthread_mutex_unlock(&run->lock);
    atomic_store_explicit(&run->has_init_failed, 1, memory_order_relaxed);
    atomic_compare_exchange_strong_explicit(&run->stop, &no, TGI_STOP_FAILED, memory_order_relaxed, memory_order_relaxed);
    atomic_store_explicit(&run->attention, 1, memory_order_relaxed);
}

static void main_done(struct tgi_worker *w, struct tgi_instance *in)
{
    (void)w;
    if (in->run->offload)
        tgi_offload_run_finish(in->run);
    else
        tgi_run_done(in->run);
}

static void restore(struct tg_run *run)
{
    struct tg_error err;
    if (run->cut && run->cut->restore && run->cut->restore(run->cut->user, run->store, &err))
        tgi_run_fail_whole(run, err.status, err.text);
}

static void begin_main(struct tgi_worker *w, struct tg_run *run)
{
    /* relaxed: the count of the initialised tiles has published it. */
    if (!atomic_load_explicit(&run->has_init_failed, memory_order_relaxed)) {
        run->is_initialised = true;
        restore(run);
    }
    tgi_run_set_begin_ns(run, tgi_now_ns());
    if (run->graph->n_tasks == 0) {
        tgi_run_done(run);
    } else if (run->needs_serial) {
        if (run->offload) {
            tgi_offload_stream_await(run);
            tgi_offload_run_begin_serial(run);
        }
        tgi_serial_execute(w, run->main, run->options.seed);
        main_done(w, run->main);
    } else if (run->offload) {
        tgi_offload_run_begin(run);
    } else {
        tgi_instance_start(run->runtime, w, run->main);
    }
}

static void init_done(struct tgi_worker *w, struct tgi_instance *init)
{
    begin_main(w, init->run);
}

/* Devices are known by then. */
static int take_cut(struct tg_run *run, struct tg_error *err)
{
    run->cut = run->guide ? run->guide->cut : NULL;
    if (run->cut && run->offload)
        return tgi_error(err, TG_E_UNSUPPORTED, "there are no checkpoints of runs on devices: what is on them is not looked at");
    return run->cut ? tgi_cut_check(run->graph, err) : 0;
}

static int run_prepare(struct tg_run *run, struct tg_error *err)
{
    struct tg_runtime *rt = run->runtime;
    const struct tg_graph *g = run->graph;
    int rc = tgi_offload_run_resolve(run, err);
    if (rc == 0)
        rc = tgi_run_resolve(run, err);
    if (rc == 0)
        rc = take_cut(run, err);
    if (rc == 0)
        rc = tgi_offload_run_place(run, err);
    if (rc == 0)
        rc = tgi_store_create(g->space, rt->memory_bytes, run->offload ? rt->offload->pinned : NULL, &run->store, err);
    if (rc == 0)
        rc = tgi_offload_run_prepare(run, err);
    if (rc == 0)
        rc = list_init(run, err);
    if (rc == 0 && run->has_deadlines)
        rc = tgi_watchdog_need(rt, err);
    if (rc == 0 && run->options.timeout_ns)
        rc = tgi_watchdog_add(run, err);
    if (rc == 0)
        rc = tgi_instance_create(run, g, &run->main, err);
    if (rc == 0)
        rc = tgi_slot_take(rt, &run->init, err);
    if (rc == 0 && !run->offload)
        rc = tgi_agenda_create(run, &run->agenda, err);
    if (rc)
        return rc;
    run->worker_stats = calloc(rt->n_workers, sizeof *run->worker_stats);
    if (run->options.is_recorded)
        run->spans = calloc((size_t)g->n_tasks + 1, sizeof *run->spans);
    if (!run->worker_stats || (run->options.is_recorded && !run->spans))
        return tgi_error_memory(err, "preparing a run");
    run->main->spans = run->spans;
    run->main->is_special = run->agenda || run->cut || (run->offload && run->offload->policy); /* which ask what workers are done with */
    run->main->agenda = run->agenda;
    if (run->agenda)
        run->main->via = tgi_agenda_via(run->agenda);
    run->main->on_done = main_done;
    return 0;
}

int tg_run_create(struct tg_runtime *runtime, const struct tg_graph *graph, const struct tg_run_options *options,
                  struct tg_run **run_p, struct tg_error *err)
{
    return tgi_run_create_guided(runtime, graph, options, NULL, run_p, err);
}

int tgi_run_create_guided(struct tg_runtime *runtime, const struct tg_graph *graph, const struct tg_run_options *options,
                          const struct tgi_guide *guide, struct tg_run **run_p, struct tg_error *err)
{
    static const struct tg_run_options defaults = TG_RUN_OPTIONS_INIT;
    int rc = options ? tgi_error_check_size(err, "struct tg_run_options", options->size, sizeof *options) : 0;
    if (rc)
        return rc;
    if (!graph->is_frozen || graph->is_body)
        return tgi_error(err, TG_E_NOT_FROZEN, "only a frozen graph can be run");
    struct tg_run *run = aligned_alloc(64, sizeof *run);
    if (!run)
        return tgi_error_memory(err, "creating a run");
    memset(run, 0, sizeof *run);
    run->runtime = runtime;
    run->graph = graph;
    run->options = options ? *options : defaults;
    run->needs_serial = run->options.is_deterministic || run->options.check_finite;
    if (run->options.check_finite)
        run->options.seed = 0; /* program order */
    run->init.slot = TG_NONE;
    run->init.run = run;
    run->init.loop = init_one;
    run->init.loop_user = run;
    run->init.on_done = init_done;
    atomic_init(&run->is_settled, 1);
    atomic_init(&run->submission, TGI_SUBMITTED);
    pthread_mutex_init(&run->lock, NULL);
    run->guide = guide;
    rc = run_prepare(run, err);
    run->guide = NULL;
    if (rc) {
        tg_run_destroy(run);
        return rc;
    }
    *run_p = run;
    return 0;
}

bool tgi_run_settle(struct tg_run *run, uint32_t limit_ms)
{
    /* acquire: pairs with the releases in tgi_run_end() and tgi_run_done(). */
    while (atomic_load_explicit(&run->state, memory_order_acquire) == TGI_RUN_ACTIVE)
        tgi_futex_wait(&run->state, TGI_RUN_ACTIVE, UINT64_MAX);
    uint64_t limit = tgi_now_ns() + (uint64_t)limit_ms * 1000000u;
    while (!atomic_load_explicit(&run->is_settled, memory_order_acquire)) {
        /* Ended by the watchdog, and something is still at it: it gets a moment. */
        if (tgi_now_ns() > limit)
            return false;
        tgi_futex_wait(&run->is_settled, 0, 10000000);
    }
    return true;
}

/* A task that does not return may still use all of this. */
static void abandon(struct tg_run *run)
{
    struct tg_runtime *rt = run->runtime;
    atomic_store_explicit(&rt->has_abandoned, 1, memory_order_relaxed); /* for tg_runtime_destroy() */
    tgi_graph_keep(run->graph);
    pthread_mutex_lock(&rt->lock);
    run->next_abandoned = rt->abandoned;
    rt->abandoned = run;
    pthread_mutex_unlock(&rt->lock);
}

static void run_destroy(struct tg_run *run)
{
    /* The watchdog may be looking at an instance of ours. */
    pthread_mutex_lock(&run->runtime->lock);
    pthread_mutex_unlock(&run->runtime->lock);
    for (uint32_t i = 0; run->bodies && i < run->graph->space->n_ops; i++) {
        tgi_instance_destroy(run->bodies[i][0]);
        tgi_instance_destroy(run->bodies[i][1]);
    }
    tgi_instance_destroy(run->main);
    if (run->init.slot != TG_NONE)
        tgi_slot_give(run->runtime, &run->init);
    tgi_offload_run_release(run);
    tgi_agenda_destroy(run->agenda);
    tgi_run_unresolve(run);
    tgi_store_destroy(run->store);
    pthread_mutex_destroy(&run->lock);
    tgi_record_clear(run);
    free(run->init_items);
    if (!run->has_lent_spans)
        free(run->spans);
    free(run->worker_stats);
    free(run);
}

void tg_run_destroy(struct tg_run *run)
{
    if (!run)
        return;
    bool has_settled = tgi_run_settle(run, SETTLE_MS);
    if (run->options.timeout_ns)
        tgi_watchdog_remove(run);
    if (!has_settled)
        abandon(run);
    else
        run_destroy(run);
}

void tgi_run_destroy_abandoned(struct tg_runtime *rt)
{
    struct tg_run *next;
    for (struct tg_run *run = rt->abandoned; run; run = next) {
        next = run->next_abandoned;
        struct tg_graph *graph = (struct tg_graph *)run->graph;
        if (!tgi_run_settle(run, 0)) /* a device is still at it */
            continue;
        run_destroy(run);
        tg_graph_destroy(graph);
    }
    rt->abandoned = NULL;
}

int tgi_run_check_idle(const struct tg_run *run, struct tg_error *err)
{
    if (atomic_load_explicit(&((struct tg_run *)run)->state, memory_order_acquire) == TGI_RUN_ACTIVE || !tgi_run_is_settled(run))
        return tgi_error(err, TG_E_STATE, "the run is under way");
    if (run->offload && run->offload->inserted && !run->offload->insertion)
        return tgi_error(err, TG_E_STATE, "the run is part of a graph of the program's, until tg_run_end_graphs()");
    return 0;
}

int tg_run_bind(struct tg_run *run, tg_buffer_id buffer, void *host, struct tg_error *err)
{
    int rc = tgi_run_check_idle(run, err);
    if (rc == 0 && run->offload)
        tgi_offload_stream_await_lent(run);
    return rc ? rc : tgi_store_bind(run->store, buffer, host, err);
}

/* What the last start came to. */
static int run_result(struct tg_run *run, struct tg_error *err)
{
    pthread_mutex_lock(&run->lock);
    int status = run->error.status;
    if (status && err)
        *err = run->error;
    pthread_mutex_unlock(&run->lock);
    if (status)
        return status;
    /* A cancellation that came when all was done has changed nothing. */
    if (atomic_load_explicit(&run->stop, memory_order_relaxed) == TGI_STOP_CANCELLED &&
        atomic_load_explicit(&run->n_skipped, memory_order_relaxed))
        return tgi_error(err, TG_E_CANCELLED, "the run was cancelled");
    return 0;
}

/* ---- Start and end ------------------------------------------------------------------------*/

static void read_counts(const struct tg_runtime *rt, uint32_t i, struct tgi_worker_stats *stats)
{
    struct tgi_counts *c = &rt->workers[i]->counts;
    /* relaxed: numbers for people. */
    stats->busy_ns = atomic_load_explicit(&c->busy_ns, memory_order_relaxed);
    stats->n_tasks = atomic_load_explicit(&c->n_tasks, memory_order_relaxed);
    stats->n_steals = atomic_load_explicit(&c->n_steals, memory_order_relaxed);
    stats->n_failed_steals = atomic_load_explicit(&c->n_failed_steals, memory_order_relaxed);
    stats->n_parks = atomic_load_explicit(&c->n_parks, memory_order_relaxed);
}

static void clear_marks(struct tgi_instance *in)
{
    if (in)
        memset((void *)in->marks, 0, in->graph->n_tasks);
}

/* Everything a former start has left behind. */
static void reset(struct tg_run *run)
{
    if (atomic_load_explicit(&run->attention, memory_order_relaxed)) {
        clear_marks(run->main);
        for (uint32_t i = 0; i < run->graph->space->n_ops; i++) {
            clear_marks(run->bodies[i][0]);
            clear_marks(run->bodies[i][1]);
        }
    }
    atomic_store_explicit(&run->attention, 0, memory_order_relaxed);
    atomic_store_explicit(&run->stop, TGI_STOP_NO, memory_order_relaxed);
    atomic_store_explicit(&run->has_init_failed, 0, memory_order_relaxed);
    atomic_store_explicit(&run->n_failed, 0, memory_order_relaxed);
    atomic_store_explicit(&run->n_skipped, 0, memory_order_relaxed);
    atomic_store_explicit(&run->n_retried, 0, memory_order_relaxed);
    run->has_unnamed_failure = false;
    run->error.status = 0;
    tgi_record_clear(run);
    if (run->log.clear)
        run->log.clear(run->log.user);
    if (run->spans)
        memset(run->spans, 0, run->graph->n_tasks * sizeof *run->spans);
    for (uint32_t i = 0; i < run->runtime->n_workers; i++)
        read_counts(run->runtime, i, &run->worker_stats[i]);
}

static bool is_timed(const struct tg_run *run)
{
    return run->has_deadlines || run->options.timeout_ns;
}

/* w: the worker whose place the caller has taken, or NULL. */
static int start(struct tg_run *run, struct tgi_worker *w, struct tg_error *err)
{
    int rc = tgi_run_check_idle(run, err);
    if (rc)
        return rc;
    /* The watchdog, which may be busy with the start before this one, must not mistake them. */
    if (is_timed(run))
        pthread_mutex_lock(&run->runtime->lock);
    reset(run);
    uint32_t n = !run->is_initialised ? run->n_init_all : run->options.keep_data ? 0 : run->n_init_written;
    run->n_init_due = n;
    if (n == 0 && run->needs_serial)
        n = 1; /* so that a worker does it, not the caller of start */
    run->has_started = true;
    run->init_begin_ns = tgi_now_ns();
    run->end_ns = run->init_begin_ns;
    tgi_run_set_begin_ns(run, run->init_begin_ns);
    run->init.n_roots = run->init.n_units = n;
    atomic_store_explicit(&run->is_settled, 0, memory_order_relaxed);
    atomic_store_explicit(&run->has_ended, 0, memory_order_relaxed);
    atomic_store_explicit(&run->last_ended_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&run->submission, TGI_NOT_SUBMITTED, memory_order_relaxed);
    /* release: the watchdog that sees the run active sees when it began. */
    atomic_store_explicit(&run->state, TGI_RUN_ACTIVE, memory_order_release);
    if (is_timed(run))
        pthread_mutex_unlock(&run->runtime->lock);
    if (n)
        tgi_instance_start(run->runtime, w, &run->init);
    else
        begin_main(w, run);
    return 0;
}

int tg_run_start(struct tg_run *run, struct tg_error *err)
{
    return start(run, NULL, err);
}

void tgi_run_submitted(struct tg_run *run)
{
    /* release: pairs with the acquire in tg_run_wait_on(). */
    if (atomic_exchange_explicit(&run->submission, TGI_SUBMITTED, memory_order_release) == TGI_SUBMISSION_AWAITED)
        tgi_futex_wake(&run->submission, UINT32_MAX);
}

bool tgi_run_end(struct tg_run *run)
{
    /* The first to get here, worker or watchdog, ends the run.  acq_rel: it sees the error. */
    if (atomic_exchange_explicit(&run->has_ended, 1, memory_order_acq_rel))
        return false;
    uint64_t last_ns = atomic_load_explicit(&run->last_ended_ns, memory_order_relaxed); /* by the submitter, who is this thread or has not come so far */
    run->end_ns = last_ns ? last_ns : tgi_now_ns();
    if (run->options.on_done)
        run->options.on_done(run->options.user, run, run_result(run, NULL));
    tgi_run_submitted(run);
    /* release: pairs with the acquire of whoever waits or polls. */
    atomic_store_explicit(&run->state, TGI_RUN_DONE, memory_order_release);
    tgi_futex_wake(&run->state, UINT32_MAX);
    return true;
}

void tgi_run_done(struct tg_run *run)
{
    for (uint32_t i = 0; i < run->runtime->n_workers; i++) {
        struct tgi_worker_stats now, *then = &run->worker_stats[i];
        read_counts(run->runtime, i, &now);
        *then = (struct tgi_worker_stats){now.busy_ns - then->busy_ns, now.n_tasks - then->n_tasks,
                                          now.n_steals - then->n_steals, now.n_failed_steals - then->n_failed_steals,
                                          now.n_parks - then->n_parks};
    }
    /* Settled, then ended: whoever sees both may start or destroy the run, and the later of the two
     * stores is our last touch of it, but for a futex wake-up that needs the address alone.
     * release: pairs with tgi_run_check_idle() and tgi_run_settle(). */
    atomic_store_explicit(&run->is_settled, 1, memory_order_release);
    if (!tgi_run_end(run))
        tgi_futex_wake(&run->is_settled, UINT32_MAX);
}

void tg_run_cancel(struct tg_run *run)
{
    uint32_t no = TGI_STOP_NO;
    if (atomic_compare_exchange_strong_explicit(&run->stop, &no, TGI_STOP_CANCELLED, memory_order_relaxed, memory_order_relaxed))
        atomic_store_explicit(&run->attention, 1, memory_order_relaxed);
}

int tg_run_poll(const struct tg_run *run)
{
    return atomic_load_explicit(&((struct tg_run *)run)->state, memory_order_acquire) != TGI_RUN_ACTIVE;
}

/* ---- Waiting ------------------------------------------------------------------------------*/

/* Under a time limit the caller must come back even if a task does not, so it cannot help. */
static bool may_help(const struct tg_run *run)
{
    return !is_timed(run);
}

static int wait_asleep(struct tg_run *run, struct tg_error *err)
{
    while (!tg_run_poll(run))
        tgi_futex_wait(&run->state, TGI_RUN_ACTIVE, UINT64_MAX);
    return run_result(run, err);
}

/* Where a thread works while it waits: in the submitter's place or in a worker's. */
struct place {
    bool is_submitter;
    struct tgi_seat seat;
};

static struct place take_place(struct tg_run *run, bool on_devices)
{
    struct place p = {false, {.worker = NULL}};
    if (!may_help(run))
        return p;
    p.is_submitter = on_devices && run->offload && !run->needs_serial && tgi_offload_sit_down(run->runtime->offload);
    if (!p.is_submitter)
        p.seat = tgi_seat_take(run->runtime);
    return p;
}

/* Until the run is over or there is nothing to do. */
static void work_in(struct tg_run *run, struct place *p)
{
    if (p->is_submitter)
        tgi_offload_stay(run->runtime->offload, run);
    else if (p->seat.worker)
        tgi_worker_loop(p->seat.worker, run);
}

static void leave_place(struct tg_run *run, struct place *p)
{
    if (p->is_submitter)
        tgi_offload_stand_up(run->runtime->offload);
    else
        tgi_seat_leave(&p->seat);
}

int tg_run_wait(struct tg_run *run, struct tg_error *err)
{
    for (uint32_t i = 0; i < 2 && !tg_run_poll(run); i++) { /* devices may have nothing to do and CPUs have */
        struct place p = take_place(run, i == 0);
        work_in(run, &p);
        leave_place(run, &p);
    }
    return wait_asleep(run, err);
}

int tg_run_execute(struct tg_run *run, struct tg_error *err)
{
    /* The place is taken before the start, so that its thread is not woken for nothing. */
    struct place p = take_place(run, true);
    int rc = start(run, p.seat.worker, err);
    if (rc == 0)
        work_in(run, &p);
    leave_place(run, &p);
    return rc ? rc : tg_run_wait(run, err);
}

/* ---- Results ------------------------------------------------------------------------------*/

bool tgi_run_is_settled(const struct tg_run *run)
{
    /* acquire: pairs with the release in tgi_run_done(). */
    return atomic_load_explicit(&((struct tg_run *)run)->is_settled, memory_order_acquire);
}

int tg_run_read_tile(const struct tg_run *run, tg_buffer_id buffer, uint32_t tile, void **address_p, struct tg_error *err)
{
    const struct tgi_space *space = run->graph->space;
    int rc = 0;
    *address_p = NULL;
    if (buffer >= space->n_buffers || tile >= space->buffers[buffer].n_tiles)
        return tgi_error(err, TG_E_INDEX_RANGE, "tile %u of buffer %u: there is none", (unsigned)tile, (unsigned)buffer);
    void *address = run->store->tile[space->buffers[buffer].first_tile + tile];
    if (address && run->offload && run->offload->inserted && !run->store->is_bound[buffer])
        /* What lies elsewhere is the graph's, as are the initial contents here. */
        rc = tgi_error(err, TG_E_STATE, "\"%s\" is not bound, and an inserted program has its contents", space->buffers[buffer].name);
    else if (address && run->offload && !run->offload->inserted && run->has_started && tg_run_poll(run))
        /* After a time limit a device may still be at it, and would be waited for. */
        rc = tgi_run_is_settled(run) ? tgi_offload_fetch((struct tg_run *)run, buffer, tile, err)
                             : tgi_error(err, TG_E_STATE, "a device may still be writing \"%s\"", space->buffers[buffer].name);
    if (rc == 0)
        *address_p = address;
    return rc;
}

void *tg_run_tile(const struct tg_run *run, tg_buffer_id buffer, uint32_t tile)
{
    void *address;
    tg_run_read_tile(run, buffer, tile, &address, NULL);
    return address;
}

enum tg_task_state tg_run_task_state(const struct tg_run *run, tg_task_id task)
{
    if (task >= run->graph->n_tasks || !tg_run_poll(run) || !run->has_started)
        return TG_TASK_WAITING;
    uint8_t marks = atomic_load_explicit(&run->main->marks[task], memory_order_relaxed);
    if (marks & (TGI_MARK_FAILED | TGI_MARK_SKIPPED))
        return marks & TGI_MARK_FAILED ? TG_TASK_FAILED : TG_TASK_SKIPPED;
    /* After a time limit something may still be at it: nobody knows what is done. */
    return tgi_run_is_settled(run) ? TG_TASK_DONE : TG_TASK_WAITING;
}

int tg_run_stats(const struct tg_run *run, struct tg_run_stats *stats_p, struct tg_error *err)
{
    if (!run->has_started || !tg_run_poll(run))
        return tgi_error(err, TG_E_STATE, "statistics are there once the run is over");
    uint64_t begin_ns = tgi_run_begin_ns(run);
    if (begin_ns > run->end_ns) /* its time was over before the first task */
        begin_ns = run->end_ns;
    struct tg_run_stats s = {.makespan_ns = run->end_ns - begin_ns, .init_ns = begin_ns - run->init_begin_ns,
                             .n_retried = run->n_retried, .n_workers = run->runtime->n_workers};
    for (uint32_t t = 0; t < run->graph->n_tasks; t++) {
        enum tg_task_state state = tg_run_task_state(run, t);
        s.n_done += state == TG_TASK_DONE;
        s.n_failed += state == TG_TASK_FAILED;
        s.n_skipped += state == TG_TASK_SKIPPED;
    }
    for (uint32_t i = 0; tgi_run_is_settled(run) && i < s.n_workers; i++) {
        s.n_steals += run->worker_stats[i].n_steals;
        s.n_parks += run->worker_stats[i].n_parks;
    }
    *stats_p = s;
    return 0;
}
