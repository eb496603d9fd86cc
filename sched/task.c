/* The long way of executing a task: everything that plain kernel tasks of undisturbed runs skip. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "graph/error.h"
#include "graph/space.h"
#include "mem/hostops.h"
#include "sched/cut.h"
#include "sched/offload_policy.h"
#include "sched/runtime.h"

/* ---- Failures -----------------------------------------------------------------------------*/

static void mark(struct tgi_instance *in, uint32_t task, enum tgi_mark what)
{
    /* relaxed: the counters order marks against the tasks that look at them. */
    atomic_fetch_or_explicit(&in->marks[task], (uint8_t)what, memory_order_relaxed);
}

static bool has_mark(const struct tgi_instance *in, uint32_t task, enum tgi_mark what)
{
    return atomic_load_explicit(&((struct tgi_instance *)in)->marks[task], memory_order_relaxed) & what;
}

void tgi_poison_successors(struct tgi_instance *in, uint32_t task)
{
    const struct tg_graph *g = in->graph;
    for (uint32_t i = g->nodes[task].succ; i < g->nodes[task + 1].succ; i++)
        mark(in, g->succ[i], TGI_MARK_POISONED);
    /* A body that fails fails the task it belongs to. */
    if (in->parent)
        mark(in->parent, in->parent_task, TGI_MARK_FAILED);
}

/* What a run that failed returns: a status that says more than that a task failed is kept. */
static int run_status(int status)
{
    return status == TG_E_NO_MEMORY || status == TG_E_CHECKPOINT || (status < 0 && -status / 100 == 7) ? status : TG_E_TASK_FAILED;
}

void tgi_run_fail(struct tg_run *run, struct tgi_instance *in, uint32_t task, int status, const char *text)
{
    char scratch[16];
    const char *name = tgi_graph_task_name(in->graph, task, scratch);
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    int code = run_status(status);
    mark(in, task, TGI_MARK_FAILED);
    tgi_poison_successors(in, task);
    atomic_fetch_add_explicit(&run->n_failed, 1, memory_order_relaxed);
    pthread_mutex_lock(&run->lock);
    if (run->error.status == 0) {
        if (text && text[0])
            tgi_error(&run->error, code, "task \"%s\" (%s) failed: %s", name, op->name, text);
        else
            tgi_error(&run->error, code, "task \"%s\" (%s) failed: it returned %d", name, op->name, status);
        tgi_error_set_task(&run->error, name);
        uint32_t line, column;
        if (in->graph->site_of && tgi_space_locate(in->graph->space, in->graph->site_of[task], &line, &column))
            tgi_error_set_position(&run->error, in->graph->space->file, line, column);
    }
    pthread_mutex_unlock(&run->lock);
    uint32_t no = TGI_STOP_NO;
    if (!run->options.keep_going)
        atomic_compare_exchange_strong_explicit(&run->stop, &no, TGI_STOP_FAILED, memory_order_relaxed, memory_order_relaxed);
    /* relaxed: dependants see it through their counters. */
    atomic_store_explicit(&run->attention, 1, memory_order_relaxed);
}

static bool can_fail_on_device(const struct tgi_space *space, const struct tgi_op *op)
{
    const struct tgi_op *owner = op->generic == TG_NONE ? op : &space->ops[op->generic];
    for (uint32_t i = 0; i < owner->n_variants; i++) {
        const struct tgi_builtin *b = owner->variants[i].builtin;
        if (owner->variants[i].form == TGI_VARIANT_BUILTIN && b->cuda && b->cuda->can_fail)
            return true;
    }
    return false;
}

/* A task of the main graph that writes a tile and whose kernel can fail by itself; TG_NONE: none does. */
static uint32_t find_writer(const struct tg_graph *g, uint32_t tile)
{
    uint32_t any = TG_NONE;
    for (uint32_t t = 0; tile != TG_NONE && t < g->n_tasks; t++) {
        const struct tgi_op *op = tgi_graph_op(g, t);
        for (uint32_t i = 0; op->kind == TGI_OP_KERNEL && i < op->n_params; i++) {
            uint64_t word = tgi_graph_word(g, t, i);
            if (op->params[i].access <= TG_IN || word == TGI_WORD_NULL || tgi_word_tile(word) != tile)
                continue;
            if (can_fail_on_device(g->space, op))
                return t;
            any = any == TG_NONE ? t : any;
        }
    }
    return any;
}

void tgi_run_fail_tile(struct tg_run *run, uint32_t tile, const char *text)
{
    uint32_t task = find_writer(run->graph, tile);
    if (task != TG_NONE) {
        tgi_run_fail(run, run->main, task, TG_E_TASK_FAILED, text);
        return;
    }
    run->has_unnamed_failure = true;
    pthread_mutex_lock(&run->lock);
    if (run->error.status == 0)
        tgi_error(&run->error, TG_E_TASK_FAILED, "a task on a device failed: %s", text);
    pthread_mutex_unlock(&run->lock);
}

/* Of a control task nobody knows what it has executed where. */
static bool may_have_failed(const struct tg_graph *g, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    return op->kind == TGI_OP_COLLECTIVE || op->kind >= TGI_OP_REPEAT || (op->kind == TGI_OP_KERNEL && can_fail_on_device(g->space, op));
}

void tgi_run_spread_failures(struct tg_run *run)
{
    const struct tg_graph *g = run->graph;
    struct tgi_instance *in = run->main;
    if (!run->has_unnamed_failure && atomic_load_explicit(&run->n_failed, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&run->attention, 1, memory_order_relaxed); /* there are marks to clear */
    for (uint32_t t = 0; t < g->n_tasks; t++) { /* edges go to later tasks */
        if (!has_mark(in, t, TGI_MARK_FAILED | TGI_MARK_SKIPPED) &&
            (has_mark(in, t, TGI_MARK_POISONED) || (run->has_unnamed_failure && may_have_failed(g, t))))
            tgi_task_skip(in, t);
        else if (has_mark(in, t, TGI_MARK_FAILED | TGI_MARK_SKIPPED))
            tgi_poison_successors(in, t);
    }
}

void tgi_run_fail_whole(struct tg_run *run, int status, const char *text)
{
    uint32_t no = TGI_STOP_NO;
    pthread_mutex_lock(&run->lock);
    if (run->error.status == 0)
        tgi_error(&run->error, run_status(status), "%s", text);
    pthread_mutex_unlock(&run->lock);
    atomic_compare_exchange_strong_explicit(&run->stop, &no, TGI_STOP_FAILED, memory_order_relaxed, memory_order_relaxed);
    atomic_store_explicit(&run->attention, 1, memory_order_relaxed);
}

bool tgi_task_is_skipped(struct tgi_instance *in, uint32_t task)
{
    struct tg_run *run = in->run;
    return atomic_load_explicit(&run->stop, memory_order_relaxed) != TGI_STOP_NO ||
           (atomic_load_explicit(&run->attention, memory_order_relaxed) && has_mark(in, task, TGI_MARK_POISONED));
}

void tgi_task_skip(struct tgi_instance *in, uint32_t task)
{
    mark(in, task, TGI_MARK_SKIPPED);
    tgi_poison_successors(in, task);
    atomic_fetch_add_explicit(&in->run->n_skipped, 1, memory_order_relaxed);
}

/* ---- Bodies that are not kernels ----------------------------------------------------------*/

uint64_t tgi_word_elems(const struct tgi_space *space, uint64_t word, const struct tgi_buffer **buffer_p)
{
    const struct tgi_buffer *b = tgi_space_buffer_of(space, tgi_word_tile(word));
    *buffer_p = b;
    return tgi_space_word_elems(space, b, word);
}

static int execute_collective(struct tgi_worker *w, struct tgi_instance *in, const struct tgi_op *op, const uint64_t *words)
{
    const struct tgi_buffer *b;
    uint64_t n = tgi_word_elems(in->graph->space, words[0], &b);
    void **tiles = malloc(op->n_params * sizeof *tiles);
    struct tg_error err;
    if (!tiles) {
        snprintf(w->explanation, sizeof w->explanation, "out of memory");
        return TG_E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < op->n_params; i++)
        tiles[i] = tgi_store_address(in->run->store, words[i]);
    int rc = tgi_host_collective(op->collective, op->reduce_op, op->root, tiles, op->n_params, n, b->dtype, &err);
    free(tiles);
    if (rc)
        snprintf(w->explanation, sizeof w->explanation, "%s", err.text);
    return rc;
}

static int execute_operation(struct tgi_worker *w, struct tgi_instance *in, const struct tgi_op *op, const uint64_t *words)
{
    const struct tgi_store *store = in->run->store;
    const struct tgi_buffer *b;
    uint64_t n;
    switch (op->kind) {
    case TGI_OP_COPY:
        n = tgi_word_elems(in->graph->space, words[0], &b);
        memmove(tgi_store_address(store, words[0]), tgi_store_address(store, words[1]), n * tg_dtype_size(b->dtype));
        return 0;
    case TGI_OP_FILL:
        n = tgi_word_elems(in->graph->space, words[0], &b);
        tgi_host_fill(tgi_store_address(store, words[0]), n, b->dtype, words[1]);
        return 0;
    case TGI_OP_COLLECTIVE:
        return execute_collective(w, in, op, words);
    default:
        return 0; /* a barrier */
    }
}

void tgi_task_args(const struct tgi_instance *in, uint32_t task, void **ptrs, uint64_t *values)
{
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(in->graph, task, i);
        values[i] = op->pointer_mask >> i & 1 ? (uint64_t)(uintptr_t)tgi_store_address(in->run->store, word) : word;
        ptrs[i] = &values[i];
    }
}

static int execute_body(struct tgi_worker *w, struct tgi_instance *in, uint32_t task)
{
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    const struct tgi_call *call = &in->run->calls[in->nodes[task].op & TGI_NODE_OP];
    w->explanation[0] = '\0';
    w->context.instance = in;
    w->context.task = task;
    if (!call->fn)
        return execute_operation(w, in, op, in->graph->args + in->nodes[task].args);
    uint64_t values[TG_MAX_PARAMS];
    void *ptrs[TG_MAX_PARAMS];
    tgi_task_args(in, task, ptrs, values);
    if (in->nodes[task].op & TGI_NODE_SHARED)
        tgi_locks_redirect(in, task, values);
    return call->fn(ptrs, &w->context);
}

/* ---- Retries ------------------------------------------------------------------------------*/

/* Copies of what a task reads and writes, so that another attempt starts from the same. */
struct snapshot {
    uint32_t n;
    struct {
        void *tile, *copy;
        size_t bytes;
    } parts[TG_MAX_PARAMS];
};

static void snapshot_drop(struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        free(s->parts[i].copy);
    s->n = 0;
}

static bool snapshot_take(const struct tgi_instance *in, uint32_t task, struct snapshot *s)
{
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    s->n = 0;
    if (op->kind != TGI_OP_KERNEL)
        return true;
    uint64_t values[TG_MAX_PARAMS];
    void *ptrs[TG_MAX_PARAMS];
    tgi_task_args(in, task, ptrs, values);
    if (in->nodes[task].op & TGI_NODE_SHARED)
        tgi_locks_redirect((struct tgi_instance *)in, task, values);
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(in->graph, task, i);
        const struct tgi_buffer *b;
        if (op->params[i].access < TG_INOUT || word == TGI_WORD_NULL)
            continue;
        size_t bytes = tgi_word_elems(in->graph->space, word, &b) * tg_dtype_size(b->dtype);
        void *copy = malloc(bytes ? bytes : 1);
        if (!copy) {
            snapshot_drop(s);
            return false;
        }
        void *tile = (void *)(uintptr_t)values[i];
        memcpy(copy, tile, bytes);
        s->parts[s->n].tile = tile;
        s->parts[s->n].copy = copy;
        s->parts[s->n++].bytes = bytes;
    }
    return true;
}

static void snapshot_restore(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        memcpy(s->parts[i].tile, s->parts[i].copy, s->parts[i].bytes);
}

/* A body with children cannot be repeated from here: it is done when the last child is. */
static int execute_attempts(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, const struct tgi_attr *attr,
                            uint32_t *n_attempts_p)
{
    struct snapshot snapshot = {.n = 0};
    if (attr && attr->retries && !snapshot_take(in, task, &snapshot)) {
        snprintf(w->explanation, sizeof w->explanation, "out of memory: the copy that a retry needs");
        return TG_E_NO_MEMORY;
    }
    uint32_t n_left = attr ? attr->retries : 0;
    int rc = execute_body(w, in, task);
    *n_attempts_p = 1;
    while (rc && n_left && !w->context.family &&
           atomic_load_explicit(&in->run->stop, memory_order_relaxed) == TGI_STOP_NO) {
        n_left--;
        ++*n_attempts_p;
        atomic_fetch_add_explicit(&in->run->n_retried, 1, memory_order_relaxed);
        snapshot_restore(&snapshot);
        rc = execute_body(w, in, task);
    }
    snapshot_drop(&snapshot);
    return rc;
}

/* ---- Deadlines ----------------------------------------------------------------------------*/

static void watch(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, uint32_t timeout_ms)
{
    atomic_store_explicit(&w->watched, in, memory_order_relaxed);
    atomic_store_explicit(&w->watched_task, task, memory_order_relaxed);
    /* release: the watchdog that sees the deadline sees whose it is. */
    atomic_store_explicit(&w->deadline_ns, tgi_now_ns() + (uint64_t)timeout_ms * 1000000u, memory_order_release);
}

/* ---- The task -----------------------------------------------------------------------------*/

/* On whichever worker finishes the task. */
static void settle(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, int rc, const char *text)
{
    if (rc)
        tgi_run_fail(in->run, in, task, rc, text);
    /* Before the locks go to others, which may be executed here and now. */
    if (in->run->cut)
        tgi_cut_leave(in->run->cut, w->index, task, rc);
    if (in->nodes[task].op & TGI_NODE_SHARED)
        tgi_locks_release(w, in, task);
}

bool tgi_task_leave(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, int rc)
{
    struct tgi_family *family = w->context.family;
    if (family) {
        w->context.family = NULL;
        if (rc)
            tgi_family_fail(family, rc, w->explanation);
        /* acq_rel: as in tgi_child_execute(). */
        if (atomic_fetch_sub_explicit(&family->n_alive, 1, memory_order_acq_rel) != 1)
            return false;
        rc = atomic_load_explicit(&family->status, memory_order_relaxed);
        settle(w, in, task, rc, family->explanation);
        free(family);
        return true;
    }
    settle(w, in, task, rc, w->explanation);
    return true;
}

void tgi_task_family_done(struct tgi_worker *w, struct tgi_family *family)
{
    struct tgi_instance *in = family->instance;
    uint32_t task = family->task;
    int rc = atomic_load_explicit(&family->status, memory_order_relaxed);
    if (in->spans) {
        in->spans[task].state = rc ? TG_TASK_FAILED : TG_TASK_DONE;
        tgi_span_end(&in->spans[task], tgi_now_ns() - tgi_run_begin_ns(in->run));
    }
    settle(w, in, task, rc, family->explanation);
    free(family);
    tgi_worker_complete(w, in, task);
}

static bool is_control(const struct tgi_op *op)
{
    return op->kind >= TGI_OP_REPEAT;
}

bool tgi_task_execute(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, bool has_locks)
{
    struct tg_run *run = in->run;
    const struct tgi_op *op = tgi_graph_op(in->graph, task);
    bool is_shared = in->nodes[task].op & TGI_NODE_SHARED;
    bool has_policy = run->offload && run->offload->policy;
    if (tgi_task_is_skipped(in, task)) {
        tgi_task_skip(in, task);
        if (has_policy)
            tgi_offload_policy_host_done(in, task);
        /* Who waits for its locks must not wait for ever; a group also counts its members. */
        if (is_shared && !has_locks && !tgi_locks_acquire(w, in, task)) {
            tgi_count(&w->counts.n_tasks, (uint64_t)-1);
            return false;
        }
        if (is_shared)
            tgi_locks_release(w, in, task);
        return true;
    }
    if (is_control(op))
        return tgi_control_begin(w, in, task);
    /* Who finds a lock held leaves the task to the holder, and then it was not stolen after all. */
    uint16_t victim = in->spans ? in->spans[task].victim : 0;
    if (victim && is_shared && !has_locks)
        in->spans[task].victim = 0;
    if (is_shared && !has_locks && !tgi_locks_acquire(w, in, task)) {
        tgi_count(&w->counts.n_tasks, (uint64_t)-1); /* it comes back, and counts then */
        return false;
    }
    if (tgi_cut_is_before(run->cut, task)) {
        if (is_shared)
            tgi_locks_release(w, in, task);
        return true;
    }
    if (run->cut)
        tgi_cut_enter(run->cut, w->index);
    const struct tgi_attr *attr = tgi_graph_attr(in->graph, task);
    uint64_t start_ns = in->spans ? tgi_now_ns() - tgi_run_begin_ns(run) : 0;
    uint32_t n_attempts = 0;
    if (attr && attr->timeout_ms)
        watch(w, in, task, attr->timeout_ms);
    int rc = execute_attempts(w, in, task, attr, &n_attempts);
    if (has_policy)
        tgi_offload_policy_host_done(in, task);
    if (attr && attr->timeout_ms)
        atomic_store_explicit(&w->deadline_ns, 0, memory_order_release);
    if (in->spans) {
        struct tgi_span *span = &in->spans[task];
        span->start_ns = start_ns;
        uint64_t end_ns = tgi_now_ns() - tgi_run_begin_ns(run);
        span->worker = (uint16_t)w->index;
        span->victim = victim;
        span->state = rc ? TG_TASK_FAILED : TG_TASK_DONE;
        span->attempts = (uint16_t)n_attempts;
        tgi_span_end(span, end_ns);
        tgi_count(&w->counts.busy_ns, end_ns - start_ns);
    }
    return tgi_task_leave(w, in, task, rc);
}

/* ---- What a signal handler may ask --------------------------------------------------------*/

bool tg_thread_task(uint32_t depth, struct tg_thread_task *task_p)
{
    const struct tgi_worker *w = tgi_worker_of_thread();
    for (const struct tg_context *ctx = w ? w->running : NULL; ctx; ctx = ctx->outer) {
        if (!ctx->instance || depth--)
            continue;
        const struct tg_graph *g = ctx->instance->graph;
        bool has_name = g->names_at && g->names_at[ctx->task] != TG_NONE;
        *task_p = (struct tg_thread_task){ctx->task, has_name ? g->names_text + g->names_at[ctx->task] : NULL,
                                          tgi_graph_op(g, ctx->task)->name};
        return true;
    }
    return false;
}

/* ---- What kernels may ask -----------------------------------------------------------------*/

tg_task_id tg_context_task(const struct tg_context *ctx)
{
    return ctx->task;
}

uint32_t tg_context_worker(const struct tg_context *ctx)
{
    return ctx->worker->index;
}

bool tg_context_is_cancelled(const struct tg_context *ctx)
{
    return ctx->instance && atomic_load_explicit(&ctx->instance->run->stop, memory_order_relaxed) != TGI_STOP_NO;
}

void tg_context_explain(const struct tg_context *ctx, const char *format, ...)
{
    va_list args;
    if (!ctx)
        return;
    va_start(args, format);
    vsnprintf(ctx->explanation, sizeof ctx->worker->explanation, format, args);
    va_end(args);
}
