/* The loop of a worker: its own deques, then roots, then other workers, then sleep.
 *
 * No lost wake-up: whoever publishes work (a push, a source) calls tgi_worker_wake() afterwards;
 * whoever goes to sleep announces itself and then looks at everything once more (parking.h).
 * A woken worker that finds more than it can eat wakes the next one, so that a burst of work
 * reaches everybody in a logarithmic number of steps. */
#include <time.h>

#include "sched/release.h"

enum {
    SPIN_ROUNDS = 200,   /* searches before a worker goes to sleep: some tens of microseconds */
    MAX_ROOT_CHUNK = TGI_WIDE_LEAF
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

uint64_t tgi_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Publishing work ----------------------------------------------------------------------*/

void tgi_worker_wake(struct tg_runtime *rt)
{
    if (!tgi_parking_is_needed(&rt->parking))
        return;
    uint32_t w = tgi_parking_claim_any(&rt->parking);
    if (w != UINT32_MAX)
        tgi_parking_call(&rt->workers[w]->seat);
}

static inline uint64_t task_item(const struct tgi_instance *in, uint32_t task, uint32_t tag)
{
    return (uint64_t)task << 32 | in->slot << 2 | tag;
}

void tgi_worker_push(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, uint32_t tag)
{
    if (in->via && in->via[task])
        tgi_offload_push(w, in, task, tag == TGI_ITEM_LOCKED);
    else
        tgi_worker_push_here(w, in, task, tag);
}

void tgi_worker_push_here(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, uint32_t tag)
{
    /* A deque that cannot grow means no memory for 8 bytes: run the task here and now instead. */
    uint64_t item = task_item(in, task, tag);
    if (!tgi_worker_deque_push_owner(w, class_of(in, task), item))
        tgi_worker_execute_item(w, item);
}

/* ---- Finishing tasks ----------------------------------------------------------------------*/

void tgi_worker_flush(struct tgi_worker *w)
{
    struct tgi_instance *in = w->batch;
    uint32_t n = w->n_batch;
    w->batch = NULL;
    w->n_batch = 0;
    /* acq_rel: our results become visible to whoever finishes the instance, and if that is us, we
     * see everybody's.  Pairs with itself. */
    if (in && atomic_fetch_sub_explicit(&in->n_left, n, memory_order_acq_rel) == n)
        tgi_instance_finish(w, in);
}

void tgi_worker_complete(struct tgi_worker *w, struct tgi_instance *in, uint32_t task)
{
    uint32_t keep = release(w, in, task, false);
    if (keep != TG_NONE) {
        tgi_worker_push(w, in, keep, TGI_ITEM_TASK);
        tgi_worker_wake(w->runtime);
    }
    if (w->n_held) /* the caller does what it likes next */
        count_held(w);
}

/* ---- Executing tasks ----------------------------------------------------------------------*/

/* A plain kernel task, without anything that needs the long way; false: it failed. */
static inline __attribute__((always_inline)) int call_kernel(struct tgi_worker *w, struct tgi_instance *in,
                                                             const struct tgi_node *node, const struct tgi_call *call,
                                                             uint32_t task)
{
    uint64_t values[TG_MAX_PARAMS];
    void *ptrs[TG_MAX_PARAMS];
    const uint64_t *words = in->graph->args + node->args;
    uint32_t n_words = node[1].args - node->args;
    for (uint32_t i = 0; i < n_words; i++) {
        values[i] = words[i];
        if (call->pointer_mask >> i & 1)
            values[i] = (uint64_t)(uintptr_t)tgi_store_address(in->run->store, words[i]);
        ptrs[i] = &values[i];
    }
    for (uint32_t i = n_words; i < call->n_params; i++) {
        /* Tiles that are left out are absent, so only numbers are copied. */
        values[i] = call->pointer_mask >> i & 1 ? 0 : tgi_default_word(&call->defaults[i], values);
        ptrs[i] = &values[i];
    }
    w->context.instance = in;
    w->context.task = task;
    w->explanation[0] = '\0';
    return call->fn(ptrs, &w->context);
}

/* The same, with the task's span.  Two readings of the clock are most of what it costs, and an own reading of the processor's
 * counter would cost nearly as much with the order it needs.  Not inlined, so that tasks that are not recorded have the
 * registers. */
static __attribute__((noinline)) int call_recorded(struct tgi_worker *w, struct tgi_instance *in, const struct tgi_node *node,
                                                   const struct tgi_call *call, uint32_t task)
{
    struct tgi_span *span = &in->spans[task];
    uint64_t begin_ns = tgi_run_begin_ns(in->run), start_ns = tgi_now_ns();
    int rc = call_kernel(w, in, node, call, task);
    uint64_t end_ns = tgi_now_ns();
    span->start_ns = start_ns - begin_ns;
    span->worker = (uint16_t)w->index;
    span->attempts = 1;
    span->state = rc ? TG_TASK_FAILED : TG_TASK_DONE;
    tgi_span_end(span, end_ns - begin_ns);
    tgi_count(&w->counts.busy_ns, end_ns - start_ns);
    return rc;
}

/* Executes a task and then the successors it keeps, until there is none. */
static inline __attribute__((always_inline)) void execute_chain(struct tgi_worker *w, struct tgi_instance *in,
                                                                uint32_t task, bool has_locks, bool is_alone)
{
    const struct tgi_call *calls = in->run->calls;
    /* What another instance waits for must not wait for this task, which may take long. */
    while (__builtin_expect(w->batch && w->batch != in, 0))
        tgi_worker_flush(w);
    if (__builtin_expect(task >= in->n_tasks, 0))
        task = open_chunk(w, in, task);
    if (__builtin_expect(w->n_held != 0, 0))
        count_held_for_others(w, in, task);
    while (task != TG_NONE) {
        const struct tgi_node *node = &in->nodes[task];
        const struct tgi_call *call = &calls[node->op & TGI_NODE_OP];
        bool is_done = true;
        /* relaxed: whoever must see that a predecessor failed sees it through the counters. */
        if (__builtin_expect(in->is_special || (node->op & ~TGI_NODE_OP) || !call->fn ||
                             atomic_load_explicit(&in->run->attention, memory_order_relaxed), 0)) {
            if (in->agenda && !has_locks)
                task = tgi_agenda_take(in->agenda, w->index);
            is_done = tgi_task_execute(w, in, task, has_locks);
            has_locks = false;
        } else {
            int rc = __builtin_expect(in->spans != NULL, 0) ? call_recorded(w, in, node, call, task)
                                                            : call_kernel(w, in, node, call, task);
            if (__builtin_expect(rc != 0 || w->context.family, 0))
                is_done = tgi_task_leave(w, in, task, rc);
        }
        tgi_count(&w->counts.n_tasks, 1);
        task = is_done ? release(w, in, task, is_alone) : TG_NONE;
    }
    w->context.instance = NULL;
}

static inline struct tgi_instance *instance_of(const struct tg_runtime *rt, uint64_t item)
{
    uint32_t slot = (uint32_t)item >> 2;
    /* relaxed: the item came through a release, after the slot was filled. */
    return atomic_load_explicit(&rt->instances[slot], memory_order_relaxed);
}

static inline __attribute__((always_inline)) void execute_item(struct tgi_worker *w, uint64_t item, bool is_alone)
{
    switch (item & 3) {
    case TGI_ITEM_TASK:
        execute_chain(w, instance_of(w->runtime, item), (uint32_t)(item >> 32), false, is_alone);
        break;
    case TGI_ITEM_LOCKED:
        execute_chain(w, instance_of(w->runtime, item), (uint32_t)(item >> 32), true, is_alone);
        break;
    case TGI_ITEM_JOB:
        if (w->n_held)
            count_held(w);
        tgi_job_execute(w, (struct tg_job *)(uintptr_t)item);
        break;
    case TGI_ITEM_CHILD:
        if (w->n_held)
            count_held(w);
        tgi_child_execute(w, (struct tgi_child *)(uintptr_t)(item & ~(uint64_t)3));
        break;
    }
}

void tgi_worker_execute_item(struct tgi_worker *w, uint64_t item)
{
    if ((item & 3) == TGI_ITEM_JOB || (item & 3) == TGI_ITEM_CHILD) {
        execute_item(w, item, false);
        return;
    }
    /* A task that could not be pushed.  The caller may be in the middle of another, whose context is
     * the worker's. */
    struct tg_context outer = w->context;
    const struct tg_context *running = w->running;
    w->context.family = NULL;
    w->running = &w->context;
    execute_item(w, item, false);
    if (w->n_held)
        count_held(w);
    w->running = running;
    w->context = outer;
}

/* ---- Finding work -------------------------------------------------------------------------*/

static inline uint64_t take_own(struct tgi_worker *w, bool is_alone)
{
    while (w->used_deques) {
        uint32_t d = 31 - (uint32_t)__builtin_clz(w->used_deques); /* the most urgent */
        uint64_t item = is_alone ? tgi_deque_take_alone(&w->deques[d]) : tgi_deque_take_owner(&w->deques[d]);
        if (item != TGI_DEQUE_EMPTY)
            return item;
        w->used_deques &= ~(1u << d); /* empty, and only the owner fills it */
    }
    return TGI_DEQUE_EMPTY;
}

/* Claims up to a fair share of the unclaimed roots of a source. */
static uint32_t source_claim(struct tg_runtime *rt, struct tgi_source *s, struct tgi_instance **in_p, uint32_t *n_p)
{
    /* acquire: pairs with the release that filled the source. */
    uint64_t word = atomic_load_explicit(&s->word, memory_order_acquire);
    for (;;) {
        uint32_t left = (uint32_t)word;
        if (left == 0)
            return TG_NONE;
        uint32_t n = left / (4 * rt->n_workers);
        n = n > MAX_ROOT_CHUNK ? MAX_ROOT_CHUNK : n < 1 ? 1 : n;
        /* Read before the claim: once all roots are claimed the source may be filled anew.  That the
         * claim succeeds shows that it was not filled in between. */
        struct tgi_instance *in = atomic_load_explicit(&s->instance, memory_order_relaxed);
        /* seq_cst: pairs with source_wait_locked() in instance.c. */
        if (atomic_compare_exchange_weak_explicit(&s->word, &word, word - n, memory_order_seq_cst, memory_order_acquire)) {
            if (n == left) {
                atomic_fetch_sub_explicit(&rt->n_sources, 1, memory_order_relaxed);
                if (atomic_load_explicit(&rt->n_waiting, memory_order_seq_cst))
                    tgi_sources_serve(rt);
            }
            *in_p = in;
            *n_p = n;
            return in->n_roots - left;
        }
    }
}

static __attribute__((noinline)) void run_loop(struct tgi_worker *w, struct tgi_instance *in, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        in->loop(in->loop_user, i);
    count_unit(w, in, n);
}

/* Moves a chunk of roots to the worker's deque, the first one on top of it; false: there are none. */
static bool take_roots(struct tgi_worker *w)
{
    struct tg_runtime *rt = w->runtime;
    if (atomic_load_explicit(&rt->n_sources, memory_order_relaxed) == 0)
        return false;
    for (uint32_t i = 0; i < TGI_N_SOURCES; i++) {
        struct tgi_instance *in;
        uint32_t n, first = source_claim(rt, &rt->sources[i], &in, &n);
        if (first == TG_NONE)
            continue;
        if (in->loop) {
            run_loop(w, in, first, n);
            return true;
        }
        for (uint32_t k = first + n; k-- > first;)
            tgi_worker_push(w, in, in->roots ? in->roots[k] : k, TGI_ITEM_TASK);
        /* Between the claim and the pushes nobody saw these roots: others may have gone to sleep. */
        if (n > 1)
            tgi_worker_wake(rt);
        return true;
    }
    return false;
}

static uint64_t steal_from(struct tgi_worker *w, struct tgi_worker *victim, uint32_t first_deque, uint32_t end_deque)
{
    for (uint32_t d = end_deque; d-- > first_deque;) {
        if (tgi_deque_size_hint(&victim->deques[d]) == 0)
            continue;
        uint64_t item = tgi_deque_steal(&victim->deques[d]);
        if (item < TGI_DEQUE_LOST) {
            tgi_count(&w->counts.n_steals, 1);
            /* More where that came from: let somebody else have it. */
            if (tgi_deque_size_hint(&victim->deques[d]) > 0)
                tgi_worker_wake(w->runtime);
            return item;
        }
        tgi_count(&w->counts.n_failed_steals, 1);
    }
    return TGI_DEQUE_EMPTY;
}

uint64_t tgi_worker_steal(struct tgi_worker *w, uint32_t first_deque, uint32_t end_deque)
{
    struct tg_runtime *rt = w->runtime;
    uint64_t item = TGI_DEQUE_EMPTY;
    w->robbed = rt->n_workers;
    if (rt->submitter)
        item = steal_from(w, rt->submitter, first_deque, end_deque);
    for (uint32_t v = 0; item == TGI_DEQUE_EMPTY && v + 1 < rt->n_workers; v++) {
        w->robbed = w->victims[v];
        item = steal_from(w, rt->workers[w->robbed], first_deque, end_deque);
    }
    return item;
}

static bool has_visible_work(const struct tg_runtime *rt)
{
    for (uint32_t i = 0; i < TGI_N_SOURCES; i++)
        if ((uint32_t)atomic_load_explicit(&rt->sources[i].word, memory_order_relaxed))
            return true;
    for (uint32_t v = 0; v < rt->n_workers; v++)
        for (uint32_t d = 0; d < TGI_N_DEQUES; d++)
            if (tgi_deque_size_hint(&rt->workers[v]->deques[d]))
                return true;
    for (uint32_t d = 0; rt->submitter && d < TGI_N_DEQUES; d++)
        if (tgi_deque_size_hint(&rt->submitter->deques[d]))
            return true;
    return false;
}

void tgi_worker_wake_if_work(struct tg_runtime *rt, uint32_t seat)
{
    if (has_visible_work(rt) && tgi_parking_claim(&rt->parking, seat))
        tgi_parking_call(&rt->workers[seat]->seat);
}

static inline bool is_over(const struct tg_runtime *rt, const struct tg_run *until)
{
    /* acquire: pairs with the release in tgi_run_done(); we see the run's results. */
    return until ? atomic_load_explicit(&((struct tg_run *)until)->state, memory_order_acquire) == TGI_RUN_DONE
                 : atomic_load_explicit(&((struct tg_runtime *)rt)->is_ending, memory_order_relaxed) != 0;
}

static void record_steal(const struct tgi_worker *w, uint64_t item)
{
    uint32_t kind = item & 3;
    struct tgi_instance *in = kind == TGI_ITEM_TASK || kind == TGI_ITEM_LOCKED ? instance_of(w->runtime, item) : NULL;
    if (in && in->spans && !in->agenda) /* then there are no chunks, and it is not a ticket */
        in->spans[item >> 32].victim = (uint16_t)(1 + w->robbed);
}

/* Roots, then other workers' tasks; true if something was found and done or pushed. */
static bool search(struct tgi_worker *w)
{
    if (take_roots(w))
        return true;
    uint64_t item = tgi_worker_steal(w, 0, TGI_N_DEQUES);
    if (item == TGI_DEQUE_EMPTY)
        return false;
    record_steal(w, item);
    execute_item(w, item, false);
    return true;
}

/* The owner of a seat with nothing to do.  True: it was called, or found work, and goes on. */
static void park(struct tgi_worker *w)
{
    struct tg_runtime *rt = w->runtime;
    tgi_parking_announce(&rt->parking, w->index);
    if ((has_visible_work(rt) || is_over(rt, NULL)) && tgi_parking_claim(&rt->parking, w->index))
        return;
    tgi_count(&w->counts.n_parks, 1);
    tgi_parking_sleep(&w->seat);
}

static inline __attribute__((always_inline)) void worker_loop(struct tgi_worker *w, struct tg_run *until, bool is_alone)
{
    struct tg_runtime *rt = w->runtime;
    uint32_t n_idle = 0;
    for (;;) {
        uint64_t item = take_own(w, is_alone);
        if (item != TGI_DEQUE_EMPTY) {
            execute_item(w, item, is_alone);
            n_idle = 0;
            if (until && is_over(rt, until)) {
                /* What is left belongs to other runs: tasks, which can be stolen, and counts, which
                 * cannot. */
                if (w->n_held)
                    count_held(w);
                while (w->batch)
                    tgi_worker_flush(w);
                return;
            }
            continue;
        }
        if (w->n_held)
            count_held(w);
        else if (w->batch)
            tgi_worker_flush(w);
        else if (is_over(rt, until))
            return;
        else if (search(w))
            n_idle = 0;
        else if (++n_idle < SPIN_ROUNDS)
            pause_cpu();
        else if (until)
            return; /* tgi_run_wait() decides how to wait on */
        else {
            n_idle = 0;
            park(w);
        }
    }
}

/* Of the executable's own block or one that exists before any thread: reading it allocates nothing. */
static __thread struct tgi_worker *worker_of_thread __attribute__((tls_model("initial-exec")));

struct tgi_worker *tgi_worker_of_thread(void)
{
    return worker_of_thread;
}

void tgi_worker_loop(struct tgi_worker *w, struct tg_run *until)
{
    struct tgi_worker *outer = worker_of_thread; /* a kernel may wait for a run of another runtime */
    worker_of_thread = w;
    if (w->runtime->n_workers == 1 && !w->runtime->offload)
        worker_loop(w, until, true);
    else
        worker_loop(w, until, false);
    worker_of_thread = outer;
}
