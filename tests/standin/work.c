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
#include "tests/standin/resident.h"

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
static unsigned n_waiting[MAX_DEVICES]; /* kernels that have been called and wait */
static uint64_t n_looks, n_vain;        /* of these: in all; since anything else was executed */

/* Of looks in vain: until others may have the lock, until what is late is done, until nothing will ever come. */
enum { VAIN_REST = 512, VAIN_LATE = 1024, VAIN_END = 100000 };

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
    if (it->was_again)
        n_waiting[it->op.device]--;
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

/* ---- Kernels that wait --------------------------------------------------------------------*/

uint64_t standin_again(const void *launch)
{
    struct item *it = (struct item *)(uintptr_t)((const struct standin_launch *)launch)->instance;
    if (!it->was_again)
        it->began_us = state.clock_us;
    it->is_again = true;
    return (uint64_t)(1e3 * (state.clock_us - it->began_us));
}

uint64_t standin_looks(void)
{
    pthread_mutex_lock(&state.lock);
    uint64_t n = n_looks;
    pthread_mutex_unlock(&state.lock);
    return n;
}

/* It has a place from now on.  Time goes by faster while nothing else happens. */
static void wait_on(struct item *it)
{
    n_waiting[it->op.device] += !it->was_again;
    it->was_again = true;
    it->is_again = false;
    n_looks++;
    n_vain++;
    state.clock_us += 1000;
    make_ready(it);
    if (n_vain > VAIN_END)
        fault(CUDA_ERROR_LAUNCH_TIMEOUT, "kernel %s on device %d and others wait for what never comes", it->op.kernel.function->kernel->name,
              it->op.device);
}

/* Kernels that wait leave no place for others; where there is but one, nothing else goes on. */
static bool has_place(const struct item *it)
{
    int device = it->op.device;
    if (it->was_again || device < 0 || n_waiting[device] < state.n_places)
        return true;
    return it->op.kind != OP_KERNEL && (state.n_places > 1 || (it->op.kind != OP_COPY && it->op.kind != OP_SET));
}

/* ---- Executing ----------------------------------------------------------------------------*/

static void execute(struct item *it)
{
    bool is_over = true;
    uint64_t before = n_vain;
    take_ready(it);
    state.clock_us += 1 + (double)draw(100);
    state.stats.n_executed += it->op.kind != OP_NOTHING && !it->was_again;
    switch (it->op.kind) {
    case OP_KERNEL:
        execute_kernel(it);
        is_over = !it->stay && !it->is_again;
        if (it->is_again && state.sticky == CUDA_SUCCESS)
            wait_on(it);
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
    n_vain = n_vain == before ? 0 : n_vain;
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
static bool may_run(const struct item *it) { return !(it->op.kind == OP_KERNEL && is_held(&it->op)) && has_place(it); }

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
    struct item *best = n_vain > VAIN_LATE ? pick_late(ANY, mark) : NULL;
    bool is_biased = draw(2);
    if (n_ready == 0 || best)
        return best;
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

static void wait_a_while(pthread_cond_t *cond, long us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += us * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, &state.lock, &until);
}

/* Runs one item; false if none can be run now.  Host functions are handed over; the caller waits for
 * them if it may. */
static bool step(enum taste taste, uint64_t mark, bool may_wait)
{
    if (n_vain) /* what is waited for is nothing that anybody could know to be needed */
        taste = ANY;
    if (n_vain && n_vain % VAIN_REST == 0) {
        n_vain++;
        if (may_wait)
            wait_a_while(&state.progress, 100);
        return may_wait;
    }
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
    resident_reset();
    n_looks = n_vain = 0;
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
