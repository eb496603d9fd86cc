/* Queued work, and the order in which it is executed.
 *
 * Every piece of work is an item that knows how many items it waits for.  Those that wait for none are
 * ready; which of them runs next is drawn.  Nothing runs by itself: a call that waits (a demand) runs
 * items until what it waits for is done, a query runs a few.  Each demand draws how it treats the
 * work it does not need: leaves all of it for later, does all of it first, or mixes.  Streams have a drawn
 * speed that changes now and then, so that one can stay behind the others for long.
 *
 * Host functions run on a thread of their own with the lock released, one at a time; whoever drew one
 * waits for it, and the thread itself demands those that nobody waits for. */
#define _GNU_SOURCE
#include "tests/standin/internal.h"

#include <time.h>

static struct item *pending; /* newest first */
static uint64_t n_pending;
static struct item **ready;
static size_t n_ready, ready_room;
static uint64_t mark_now;     /* of the latest demand that marked */
static struct item *on_host;  /* given to the thread for host functions; executing there */
static uint64_t n_host_items; /* pending */
static bool has_thread;
static pthread_cond_t host_work = PTHREAD_COND_INITIALIZER;
static uint64_t n_resets;
static uint64_t n_staying; /* kernels */

/* ---- Operations ---------------------------------------------------------------------------*/

CUresult op_clone(struct op *to, const struct op *from)
{
    *to = *from;
    if (from->kind == OP_KERNEL && from->kernel.function->args_size) {
        to->kernel.args = malloc(from->kernel.function->args_size);
        if (!to->kernel.args)
            return CUDA_ERROR_OUT_OF_MEMORY;
        memcpy(to->kernel.args, from->kernel.args, from->kernel.function->args_size);
    }
    return CUDA_SUCCESS;
}

void op_fini(struct op *op)
{
    if (op->kind == OP_KERNEL)
        free(op->kernel.args);
    if (op->kind == OP_COPY)
        free(op->copy.staged);
    if (op->kind == OP_COND)
        free(op->cond.body);
    op->kind = OP_NOTHING;
}

/* ---- Items --------------------------------------------------------------------------------*/

void launch_release(struct launch *l)
{
    if (l && --l->n_refs == 0) {
        if (--l->graph->n_users == 0 && l->graph->is_doomed)
            graph_free(l->graph);
        free(l->condition);
        free(l);
    }
}

void item_release(struct item *it)
{
    if (!it || --it->n_refs)
        return;
    free(it->after);
    free(it->before);
    free(it);
}

struct item *item_new(struct op *op, unsigned speed)
{
    struct item *it = calloc(1, sizeof *it);
    if (!it) {
        if (op)
            op_fini(op);
        return NULL;
    }
    if (op)
        it->op = *op;
    it->n_refs = 1;
    it->speed = speed;
    it->n_waiting = 1; /* until item_start() */
    it->next = pending;
    if (pending)
        pending->previous = it;
    pending = it;
    n_pending++;
    if (it->op.kind == OP_HOST) {
        n_host_items++;
        pthread_cond_broadcast(&host_work);
    }
    return it;
}

static bool push(struct item ***list, size_t *n, struct item *it)
{
    if ((*n & (*n - 1)) == 0) { /* room for a power of two */
        struct item **more = realloc(*list, (*n ? 2 * *n : 1) * sizeof *more);
        if (!more)
            return false;
        *list = more;
    }
    (*list)[(*n)++] = it;
    return true;
}

bool item_order(struct item *first, struct item *second)
{
    if (!first || first->is_done || first == second)
        return true;
    if (!push(&first->after, &first->n_after, second))
        return false;
    if (!push(&second->before, &second->n_before, first)) {
        first->n_after--;
        return false;
    }
    first->n_refs++;
    second->n_waiting++;
    return true;
}

static void make_ready(struct item *it)
{
    if (n_ready == ready_room) {
        size_t room = ready_room ? 2 * ready_room : 256;
        struct item **more = realloc(ready, room * sizeof *more);
        if (!more) {
            fault(CUDA_ERROR_OUT_OF_MEMORY, "the stand-in has no memory for its queue");
            return;
        }
        ready = more;
        ready_room = room;
    }
    it->ready_at = n_ready;
    ready[n_ready++] = it;
}

static void take_ready(struct item *it)
{
    ready[it->ready_at] = ready[--n_ready];
    ready[it->ready_at]->ready_at = it->ready_at;
}

void item_start(struct item *it)
{
    if (--it->n_waiting == 0)
        make_ready(it);
}

static void item_unlink(struct item *it)
{
    if (it->previous)
        it->previous->next = it->next;
    else
        pending = it->next;
    if (it->next)
        it->next->previous = it->previous;
    it->next = it->previous = NULL;
    n_pending--;
    n_host_items -= it->op.kind == OP_HOST;
    it->is_done = true;
    op_fini(&it->op);
    launch_release(it->launch);
    it->launch = NULL;
    for (size_t i = 0; i < it->n_before; i++)
        item_release(it->before[i]);
    it->n_before = 0;
    item_release(it);
}

static void item_finish(struct item *it)
{
    it->time_us = state.clock_us;
    for (size_t i = 0; i < it->n_after; i++)
        item_start(it->after[i]);
    it->n_after = 0;
    item_unlink(it);
    pthread_cond_broadcast(&state.progress);
}

/* After a fault nothing that was queued runs, and nobody waits for it. */
static void drop_all(void)
{
    n_ready = 0;
    for (struct item *it = pending, *next; it; it = next) {
        next = it->next;
        it->n_after = 0;
        if (it != on_host && !it->stay)
            item_unlink(it);
    }
    pthread_cond_broadcast(&state.progress);
}

/* ---- Conditionals -------------------------------------------------------------------------*/

static unsigned *condition_of(struct launch *l, CUgraphConditionalHandle handle)
{
    for (size_t i = 0; l && i < l->n_conditions; i++)
        if (l->condition[i].handle == handle)
            return &l->condition[i].value;
    return NULL;
}

void standin_set_conditional(const void *launch, CUgraphConditionalHandle handle, unsigned value)
{
    const struct item *it = ((const struct standin_launch *)launch)->instance;
    unsigned *slot = condition_of(it->launch, handle);
    if (slot)
        *slot = value;
    else
        violation("kernel %s sets a conditional that its graph does not have",
                  ((const struct standin_launch *)launch)->name);
}

/* True if the item is done; otherwise it waits for its body. */
static bool execute_conditional(struct item *it)
{
    unsigned *slot = condition_of(it->launch, it->op.cond.handle);
    unsigned value = slot ? *slot : 0, which = 0;
    bool is_taken = false;
    switch (it->op.cond.type) {
    case CU_GRAPH_COND_TYPE_IF:
        which = value ? 0 : 1;
        is_taken = !it->has_body && which < it->op.cond.n_bodies;
        break;
    case CU_GRAPH_COND_TYPE_WHILE:
        is_taken = value != 0;
        break;
    case CU_GRAPH_COND_TYPE_SWITCH:
        which = value;
        is_taken = !it->has_body && which < it->op.cond.n_bodies;
        break;
    }
    if (!is_taken)
        return true;
    for (size_t i = 0; i < it->n_before; i++)
        item_release(it->before[i]);
    it->n_before = 0;
    it->has_body = true;
    it->n_waiting = 1;
    if (expand(it->op.cond.body[which], it->launch, it->speed, NULL, it) != CUDA_SUCCESS)
        fault(CUDA_ERROR_OUT_OF_MEMORY, "the stand-in has no memory for the body of a conditional");
    item_start(it);
    return false;
}

/* ---- Kernels that stay --------------------------------------------------------------------*/

void standin_stay(const void *launch, int (*fn)(void *state), void *user)
{
    struct item *it = (struct item *)(uintptr_t)((const struct standin_launch *)launch)->instance;
    it->stay = fn;
    it->stay_state = user;
}

static void *stay_thread(void *user)
{
    struct item *it = user;
    int result = it->stay(it->stay_state);
    pthread_mutex_lock(&state.lock);
    n_staying--;
    it->stay = NULL;
    if (state.sticky == CUDA_SUCCESS && result) {
        fault(result > 0 ? (CUresult)result : CUDA_ERROR_LAUNCH_FAILED, "a kernel that stayed returned %d", result);
        drop_all();
    } else if (state.sticky == CUDA_SUCCESS)
        item_finish(it);
    else
        drop_all();
    pthread_cond_broadcast(&state.progress);
    pthread_mutex_unlock(&state.lock);
    return NULL;
}

static void stay(struct item *it)
{
    pthread_attr_t attr;
    pthread_t thread;
    n_staying++;
    bool is_there = pthread_attr_init(&attr) == 0;
    if (is_there) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        is_there = pthread_create(&thread, &attr, stay_thread, it) == 0;
        pthread_attr_destroy(&attr);
    }
    if (is_there)
        return;
    n_staying--;
    it->stay = NULL;
    fault(CUDA_ERROR_OUT_OF_MEMORY, "the stand-in has no thread for a kernel that stays");
}

uint64_t standin_staying(void)
{
    pthread_mutex_lock(&state.lock);
    uint64_t n = n_staying;
    pthread_mutex_unlock(&state.lock);
    return n;
}

void forbid_while_staying(const char *call)
{
    if (n_staying)
        violation("%s while a kernel stays: it may wait for it", call);
}

/* ---- Executing ----------------------------------------------------------------------------*/

static void execute(struct item *it)
{
    bool is_over = true;
    take_ready(it);
    state.clock_us += 1 + (double)draw(100);
    state.stats.n_executed += it->op.kind != OP_NOTHING;
    switch (it->op.kind) {
    case OP_KERNEL:
        execute_kernel(it);
        is_over = !it->stay;
        if (it->stay && state.sticky == CUDA_SUCCESS)
            stay(it);
        break;
    case OP_COPY:
        execute_copy(&it->op);
        break;
    case OP_SET:
        execute_set(&it->op);
        break;
    case OP_ALLOC:
        execute_alloc(&it->op);
        break;
    case OP_FREE:
        execute_free(&it->op);
        break;
    case OP_COND:
        is_over = execute_conditional(it);
        break;
    default:
        break;
    }
    if (state.sticky != CUDA_SUCCESS)
        drop_all();
    else if (is_over)
        item_finish(it);
}

static void run_host(struct item *it)
{
    CUhostFn fn = it->op.host.fn;
    void *user = it->op.host.user;
    uint64_t reset = n_resets;
    state.stats.n_host++;
    state.stats.n_executed++;
    state.clock_us += 1 + (double)draw(100);
    pthread_mutex_unlock(&state.lock);
    is_host_function = true;
    fn(user);
    is_host_function = false;
    pthread_mutex_lock(&state.lock);
    on_host = NULL;
    if (reset != n_resets)
        return; /* work_reset() waits for us and then drops everything */
    if (state.sticky != CUDA_SUCCESS) {
        it->n_after = 0;
        item_unlink(it);
    } else
        item_finish(it);
    pthread_cond_broadcast(&state.progress);
}

/* Items that are ready and may be chosen. */
static bool may_run(const struct item *it) { return !(it->op.kind == OP_KERNEL && is_held(&it->op)); }

enum taste { ANY, ONLY_NEEDED, ONLY_OTHERS };

static bool suits(const struct item *it, enum taste taste, uint64_t mark)
{
    return may_run(it) && !it->is_late && (taste == ANY || (it->mark == mark) == (taste == ONLY_NEEDED));
}

static struct item *pick_late(enum taste taste, uint64_t mark)
{
    for (size_t i = 0; i < n_ready; i++) {
        struct item *it = ready[i];
        if (it->is_late && may_run(it) && (taste == ANY || it->mark == mark))
            return it;
    }
    return NULL;
}

static struct item *pick(enum taste taste, uint64_t mark)
{
    struct item *best = NULL;
    bool is_biased = draw(2);
    if (n_ready == 0)
        return NULL;
    for (int i = 0; i < 8; i++) {
        struct item *it = ready[draw(n_ready)];
        if (!suits(it, taste, mark))
            continue;
        if (!best || it->speed > best->speed)
            best = it;
        if (!is_biased)
            return best;
    }
    if (best)
        return best;
    size_t begin = draw(n_ready);
    for (size_t i = 0; i < n_ready; i++) {
        struct item *it = ready[(begin + i) % n_ready];
        if (suits(it, taste, mark))
            return it;
    }
    return taste == ONLY_OTHERS ? NULL : pick_late(taste, mark);
}

/* Marks the target and everything it waits for. */
static bool mark_needed(struct item *target, uint64_t mark)
{
    struct item **stack = NULL;
    size_t n = 0;
    if (target->is_done || target->mark == mark)
        return true;
    target->mark = mark;
    if (!push(&stack, &n, target))
        return false;
    while (n) {
        struct item *it = stack[--n];
        for (size_t i = 0; i < it->n_before; i++) {
            struct item *b = it->before[i];
            if (b->is_done || b->mark == mark)
                continue;
            b->mark = mark;
            /* push() grows at powers of two, which popping has made unreliable: grow by hand. */
            struct item **more = realloc(stack, (n + 1) * sizeof *stack);
            if (!more) {
                free(stack);
                return false;
            }
            stack = more;
            stack[n++] = b;
        }
    }
    free(stack);
    return true;
}

/* Runs one item; false if none can be run now.  Host functions are handed over; the caller waits for
 * them if it may. */
static bool step(enum taste taste, uint64_t mark, bool may_wait)
{
    struct item *it = on_host ? NULL : pick(taste, mark);
    if (!on_host && !it)
        return false;
    if (it && it->op.kind != OP_HOST) {
        execute(it);
        return true;
    }
    if (it) {
        take_ready(it);
        on_host = it;
        pthread_cond_broadcast(&host_work);
    }
    if (!may_wait)
        return false;
    pthread_cond_wait(&state.progress, &state.lock);
    return true;
}

static void wait_a_while(pthread_cond_t *cond, long us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += us * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, &state.lock, &until);
}

/* What a demand wants: one item, or (NULL) everything on a device. */
static bool mark_wanted(struct item *target, int device, uint64_t mark, bool *is_all_done_p)
{
    *is_all_done_p = true;
    if (target) {
        *is_all_done_p = target->is_done;
        return mark_needed(target, mark);
    }
    for (struct item *it = pending; it; it = it->next)
        if (it->op.device == device) {
            *is_all_done_p = false;
            if (!mark_needed(it, mark))
                return false;
        }
    return true;
}

static CUresult demand_any(struct item *target, int device)
{
    uint64_t reset = n_resets, mark = 0, budget = 0, left = 0;
    uint64_t manner = draw(4); /* 0, 1: only what is needed; 2: everything else first; 3: mixed */
    bool is_all_done = false;
    while (state.sticky == CUDA_SUCCESS && reset == n_resets) {
        if (target ? target->is_done : false)
            break;
        /* New work, other demands and bodies of conditionals change who is needed: look again. */
        if (mark != mark_now || left == 0 || (!target && n_ready == 0)) {
            mark = ++mark_now;
            if (!mark_wanted(target, device, mark, &is_all_done))
                return CUDA_ERROR_OUT_OF_MEMORY;
            if (is_all_done)
                break;
            budget = left = n_pending + 64;
        }
        left--;
        enum taste taste = manner < 2 ? ONLY_NEEDED : manner == 2 ? ONLY_OTHERS : draw(4) ? ANY : ONLY_NEEDED;
        if (step(taste, mark, true) || (taste != ONLY_NEEDED && step(ONLY_NEEDED, mark, true)))
            continue;
        bool is_fresh = left == budget - 1;
        left = 0;
        if (!is_fresh) /* needed work may have become ready unmarked, or everything is done */
            continue;
        wait_a_while(&state.progress, 1000); /* held kernels */
    }
    return reset == n_resets ? state.sticky : CUDA_ERROR_DEINITIALIZED;
}

CUresult demand(struct item *item)
{
    item->n_refs++;
    CUresult rc = demand_any(item, -1);
    item_release(item);
    return rc;
}

CUresult demand_device(int device) { return demand_any(NULL, device); }

void poll_some(void)
{
    if (state.is_lazy)
        return;
    for (uint64_t n = draw(5); n && state.sticky == CUDA_SUCCESS; n--)
        if (!step(ANY, 0, false))
            return;
}

/* ---- The thread for host functions --------------------------------------------------------*/

static struct item *some_host_item(void)
{
    uint64_t nth = draw(n_host_items);
    for (struct item *it = pending; it; it = it->next)
        if (it->op.kind == OP_HOST && nth-- == 0)
            return it;
    return NULL;
}

static void *host_thread(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&state.lock);
    for (;;) {
        if (on_host) {
            run_host(on_host);
            continue;
        }
        if (n_host_items == 0 || state.sticky != CUDA_SUCCESS) {
            pthread_cond_wait(&host_work, &state.lock);
            continue;
        }
        uint64_t before = state.n_calls_all;
        wait_a_while(&host_work, (long)state.patience_us);
        if (on_host || n_host_items == 0 || before != state.n_calls_all || state.sticky != CUDA_SUCCESS)
            continue;
        /* Nobody asks for anything: run what a host function needs, then it. */
        uint64_t mark = ++mark_now;
        struct item *it = some_host_item();
        if (it && mark_needed(it, mark))
            while (!on_host && mark == mark_now && state.sticky == CUDA_SUCCESS &&
                   step(ONLY_NEEDED, mark, false))
                continue;
    }
    return NULL;
}

bool host_thread_ready(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    if (has_thread || pthread_attr_init(&attr))
        return has_thread;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    has_thread = pthread_create(&thread, &attr, host_thread, NULL) == 0;
    pthread_attr_destroy(&attr);
    return has_thread;
}

void work_reset(void)
{
    n_resets++;
    while (on_host || n_staying)
        wait_a_while(&state.progress, 1000);
    drop_all();
    for (struct object *o = state.objects[STREAM]; o; o = o->next) {
        item_release(((CUstream)o)->tail);
        ((CUstream)o)->tail = NULL;
    }
    for (struct object *o = state.objects[EVENT]; o; o = o->next) {
        item_release(((CUevent)o)->last);
        ((CUevent)o)->last = NULL;
    }
    for (struct object *o = state.objects[EXEC]; o; o = o->next) {
        item_release(((CUgraphExec)o)->last);
        ((CUgraphExec)o)->last = NULL;
    }
    free(ready);
    ready = NULL;
    n_ready = ready_room = 0;
}

uint64_t standin_pending(void)
{
    pthread_mutex_lock(&state.lock);
    uint64_t n = n_pending;
    pthread_mutex_unlock(&state.lock);
    return n;
}

uint64_t standin_pending_accesses(void)
{
    uint64_t n = 0;
    pthread_mutex_lock(&state.lock);
    for (const struct item *it = pending; it; it = it->next)
        n += it->op.kind != OP_NOTHING && it->op.kind != OP_RECORD && it->op.kind != OP_WAIT;
    pthread_mutex_unlock(&state.lock);
    return n;
}

/* ---- Streams ------------------------------------------------------------------------------*/

CUresult stream_find(CUstream handle, CUstream *stream_p)
{
    if (handle == NULL || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) {
        CUcontext c;
        CUresult rc = current_ctx(&c);
        if (rc != CUDA_SUCCESS)
            return rc;
        *stream_p = handle == CU_STREAM_PER_THREAD ? &c->per_thread : &c->legacy;
        return (*stream_p)->is_legacy && capture_blocks_legacy(c) ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : rc;
    }
    if (!is_object(handle, STREAM))
        return CUDA_ERROR_INVALID_HANDLE;
    *stream_p = handle;
    return CUDA_SUCCESS;
}

/* The legacy stream waits for all that block, and they for it. */
bool stream_order(CUstream s, struct item *it)
{
    CUcontext c = s->ctx;
    if (!item_order(s->tail, it))
        return false;
    if (s->is_blocking && !item_order(c->legacy.tail, it))
        return false;
    if (!s->is_legacy)
        return true;
    for (struct object *o = state.objects[STREAM]; o; o = o->next) {
        CUstream other = (CUstream)o;
        if (other->ctx == c && other->is_blocking && !item_order(other->tail, it))
            return false;
    }
    return item_order(c->per_thread.tail, it);
}

void stream_set_tail(CUstream s, struct item *it)
{
    it->n_refs++;
    item_release(s->tail);
    s->tail = it;
}

CUresult stream_append(CUstream s, struct op *op, struct item **item_p)
{
    if (draw(8) == 0)
        s->speed = (unsigned)draw(1000);
    if (op->kind == OP_HOST && !host_thread_ready())
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct item *it = item_new(op, s->speed);
    if (!it)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (op->kind != OP_WAIT && op->kind != OP_NOTHING)
        it->op.device = s->ctx->device;
    if (!stream_order(s, it)) {
        fault(CUDA_ERROR_OUT_OF_MEMORY, "the stand-in has no memory for an order");
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    stream_set_tail(s, it);
    if (item_p) {
        it->n_refs++;
        *item_p = it;
    }
    item_start(it);
    return CUDA_SUCCESS;
}

CUresult stream_enqueue(CUstream s, struct op *op)
{
    CUgraphNode node;
    if (!s->capture)
        return stream_append(s, op, NULL);
    if (s->capture->is_invalid) {
        op_fini(op);
        return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    }
    CUresult rc = graph_add(s->capture->graph, s->deps, s->n_deps, op, &node);
    if (rc != CUDA_SUCCESS)
        return rc;
    CUgraphNode *deps = realloc(s->deps, sizeof *deps);
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    deps[0] = node;
    s->deps = deps;
    s->n_deps = 1;
    return CUDA_SUCCESS;
}

static CUresult stream_create(CUstream *stream_p, unsigned flags, int priority)
{
    CUcontext c;
    CUresult rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
        return CUDA_ERROR_INVALID_VALUE;
    CUstream s = object_new(STREAM, sizeof *s);
    if (!s)
        return CUDA_ERROR_OUT_OF_MEMORY;
    s->ctx = c;
    s->is_blocking = !(flags & CU_STREAM_NON_BLOCKING);
    s->priority = priority;
    s->speed = (unsigned)draw(1000);
    *stream_p = s;
    return CUDA_SUCCESS;
}

CUresult cuStreamCreate(CUstream *stream_p, unsigned int flags)
{
    BEGIN(cuStreamCreate);
    return stream_create(stream_p, flags, 0);
}

CUresult cuStreamCreateWithPriority(CUstream *stream_p, unsigned int flags, int priority)
{
    BEGIN(cuStreamCreateWithPriority);
    return stream_create(stream_p, flags, priority);
}

/* What is queued still runs. */
CUresult cuStreamDestroy_v2(CUstream s)
{
    BEGIN_RELEASE(cuStreamDestroy_v2);
    if (!is_object(s, STREAM) || s->is_legacy || s == &s->ctx->per_thread)
        return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture)
        capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    if (s->is_blocking && s->tail && !s->tail->is_done && state.sticky == CUDA_SUCCESS) {
        /* The legacy stream keeps waiting for it. */
        struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
        struct item *it = item_new(&nothing, s->speed);
        if (!it || !item_order(s->tail, it) || !item_order(s->ctx->legacy.tail, it))
            return CUDA_ERROR_OUT_OF_MEMORY;
        stream_set_tail(&s->ctx->legacy, it);
        item_start(it);
    }
    item_release(s->tail);
    s->tail = NULL;
    free(s->deps);
    s->deps = NULL;
    object_kill(s);
    DONE(rc);
}

CUresult cuStreamSynchronize(CUstream handle)
{
    CUstream s;
    BEGIN(cuStreamSynchronize);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS && s->capture)
        rc = capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (s->is_legacy) { /* with it, all that block */
        struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
        rc = stream_append(s, &nothing, NULL);
    }
    return rc == CUDA_SUCCESS && s->tail ? demand(s->tail) : rc;
}

CUresult cuStreamQuery(CUstream handle)
{
    CUstream s;
    BEGIN(cuStreamQuery);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS && s->capture)
        rc = capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (s->is_legacy) {
        struct op nothing = {.kind = OP_NOTHING, .device = s->ctx->device};
        rc = stream_append(s, &nothing, NULL);
    }
    struct item *tail = s->tail;
    if (rc != CUDA_SUCCESS || !tail || tail->is_done)
        return rc;
    tail->n_refs++;
    poll_some();
    rc = state.sticky != CUDA_SUCCESS ? state.sticky : tail->is_done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    item_release(tail);
    return rc;
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext *ctx_p)
{
    CUstream s;
    BEGIN(cuStreamGetCtx);
    rc = stream_find(handle, &s);
    if (rc == CUDA_SUCCESS)
        *ctx_p = s->ctx;
    return rc;
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn fn, void *user)
{
    CUstream s;
    BEGIN(cuLaunchHostFunc);
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!fn)
        return CUDA_ERROR_INVALID_VALUE;
    struct op op = {.kind = OP_HOST, .device = s->ctx->device};
    op.host.fn = fn;
    op.host.user = user;
    return stream_enqueue(s, &op);
}

/* ---- Events -------------------------------------------------------------------------------*/

CUresult cuEventCreate(CUevent *event_p, unsigned int flags)
{
    CUcontext c;
    BEGIN(cuEventCreate);
    rc = current_ctx(&c);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags & ~3u)
        return CUDA_ERROR_INVALID_VALUE;
    CUevent e = object_new(EVENT, sizeof *e);
    if (!e)
        return CUDA_ERROR_OUT_OF_MEMORY;
    e->ctx = c;
    e->flags = flags;
    *event_p = e;
    return rc;
}

static CUresult record(CUevent e, CUstream handle)
{
    CUstream s;
    CUresult rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!is_object(e, EVENT) || e->ctx != s->ctx)
        return CUDA_ERROR_INVALID_HANDLE;
    if (s->capture) {
        if (s->capture->is_invalid)
            return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        CUgraphNode *deps = malloc((s->n_deps + 1) * sizeof *deps);
        if (!deps)
            return CUDA_ERROR_OUT_OF_MEMORY;
        if (s->n_deps)
            memcpy(deps, s->deps, s->n_deps * sizeof *deps);
        free(e->deps);
        e->deps = deps;
        e->n_deps = s->n_deps;
        e->capture_id = s->capture->id;
        return rc;
    }
    struct op op = {.kind = OP_RECORD, .device = s->ctx->device};
    struct item *it = NULL;
    op.event = e;
    rc = stream_append(s, &op, &it);
    if (rc == CUDA_SUCCESS) {
        item_release(e->last);
        e->last = it;
        e->capture_id = 0;
    }
    return rc;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    BEGIN(cuEventRecord);
    return record(event, stream);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags)
{
    BEGIN(cuEventRecordWithFlags);
    return flags ? CUDA_ERROR_NOT_SUPPORTED : record(event, stream);
}

static CUresult join_capture(CUstream s, CUevent e)
{
    struct capture *c = capture_find(e->capture_id);
    if (!c)
        return CUDA_ERROR_INVALID_VALUE; /* the capture has ended */
    if (c->is_invalid)
        return CUDA_ERROR_INVALID_VALUE;
    if (s->is_legacy)
        return capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    if (s->capture && s->capture != c) {
        capture_invalidate(c, CUDA_ERROR_STREAM_CAPTURE_MERGE);
        return capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    }
    CUgraphNode *deps = realloc(s->deps, (s->n_deps + e->n_deps + 1) * sizeof *deps);
    if (!deps)
        return CUDA_ERROR_OUT_OF_MEMORY;
    s->deps = deps;
    s->capture = c;
    for (size_t i = 0; i < e->n_deps; i++) {
        bool is_there = false;
        for (size_t j = 0; j < s->n_deps; j++)
            is_there |= deps[j] == e->deps[i];
        if (!is_there)
            deps[s->n_deps++] = e->deps[i];
    }
    return CUDA_SUCCESS;
}

/* Some command that an event stands for becomes late: one of the last before it, and with it all that follow. */
static void make_late(CUevent e)
{
    for (struct item *it = is_object(e, EVENT) ? e->last : NULL; it && !it->is_done;
         it = it->n_before ? it->before[0] : NULL) { /* the one before in the stream */
        bool is_order = it->op.kind == OP_NOTHING || it->op.kind == OP_RECORD || it->op.kind == OP_WAIT;
        if (is_order || draw(3) == 0)
            continue;
        it->is_late = true;
        return;
    }
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent e, unsigned int flags)
{
    CUstream s;
    CUresult rc;
    struct scope scope __attribute__((cleanup(leave))) = {0};
    if (!enter(&scope, CALL_cuStreamWaitEvent, ENTER, &rc)) {
        if (scope.is_skipped)
            make_late(e);
        return rc;
    }
    rc = stream_find(handle, &s);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (flags)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    state.stats.n_waits++;
    if (e->capture_id)
        return join_capture(s, e);
    if (s->capture)
        return e->last ? capture_invalidate(s->capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION) : rc;
    if (!e->last || e->last->is_done)
        return rc;
    struct op op = {.kind = OP_WAIT, .device = s->ctx->device};
    struct item *it = item_new(&op, s->speed);
    if (!it || !stream_order(s, it) || !item_order(e->last, it))
        return CUDA_ERROR_OUT_OF_MEMORY;
    stream_set_tail(s, it);
    item_start(it);
    return rc;
}

/* Asking a captured event for its state ends the capture. */
static CUresult captured_event(CUevent e)
{
    struct capture *c = capture_find(e->capture_id);
    return c ? capture_invalidate(c, CUDA_ERROR_CAPTURED_EVENT) : CUDA_ERROR_CAPTURED_EVENT;
}

CUresult cuEventQuery(CUevent e)
{
    BEGIN(cuEventQuery);
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (e->capture_id)
        return captured_event(e);
    struct item *last = e->last;
    if (!last || last->is_done)
        return rc;
    last->n_refs++;
    poll_some();
    rc = state.sticky != CUDA_SUCCESS ? state.sticky : last->is_done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
    item_release(last);
    return rc;
}

CUresult cuEventSynchronize(CUevent e)
{
    BEGIN(cuEventSynchronize);
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    if (e->capture_id)
        return captured_event(e);
    return e->last ? demand(e->last) : rc;
}

CUresult cuEventElapsedTime(float *ms_p, CUevent begin, CUevent end)
{
    BEGIN(cuEventElapsedTime);
    if (!is_object(begin, EVENT) || !is_object(end, EVENT) ||
        (begin->flags | end->flags) & CU_EVENT_DISABLE_TIMING || !begin->last || !end->last ||
        begin->capture_id || end->capture_id)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!begin->last->is_done || !end->last->is_done)
        return CUDA_ERROR_NOT_READY;
    *ms_p = (float)((end->last->time_us - begin->last->time_us) / 1000);
    return rc;
}

CUresult cuEventDestroy_v2(CUevent e)
{
    BEGIN_RELEASE(cuEventDestroy_v2);
    if (!is_object(e, EVENT))
        return CUDA_ERROR_INVALID_HANDLE;
    item_release(e->last);
    e->last = NULL;
    free(e->deps);
    e->deps = NULL;
    object_kill(e);
    DONE(rc);
}
