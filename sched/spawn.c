/* Children of a running task.
 *
 * A job lives on its parent's stack and in the parent's worker's deque of jobs.  tg_sync() takes it
 * back if nobody has stolen it, which is the common case and costs a take; else it steals jobs until
 * the thief is done.  Since jobs are synced in reverse order of their spawns, the bottom of the
 * deque is either the job that is asked for or, if that was stolen, nothing: thieves take the oldest
 * first, so everything older was stolen before.
 *
 * job->opaque[0]: 0 while the job is not done, then 1 + the result in the upper bits; written by the
 * thief with release.  job->opaque[1]: the parent's context, which outlives the job, and once a thief
 * is done the words with which the job explained itself, from malloc(), or NULL. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "sched/runtime.h"

#define JOB_DONE 1u

static _Atomic uintptr_t *job_state(struct tg_job *job)
{
    return (_Atomic uintptr_t *)&job->opaque[0];
}

void tg_spawn(const struct tg_context *ctx, struct tg_job *job, tg_job_fn fn, void *arg)
{
    struct tgi_worker *w = ctx->worker;
    job->fn = fn;
    job->arg = arg;
    atomic_store_explicit(job_state(job), 0, memory_order_relaxed); /* published by the push */
    job->opaque[1] = (void *)(uintptr_t)ctx;
    if (w->is_serial || !tgi_worker_deque_push_owner(w, TGI_DEQUE_JOBS, (uint64_t)(uintptr_t)job)) {
        /* Deterministic, or no memory for the deque: a parallel call may always be a plain one. */
        int rc = fn(arg, ctx);
        job->opaque[1] = NULL;
        atomic_store_explicit(job_state(job), (uintptr_t)(unsigned)rc << 1 | JOB_DONE, memory_order_relaxed);
        return;
    }
    if (w->runtime->n_workers > 1 && tgi_parking_is_needed(&w->runtime->parking))
        tgi_worker_wake(w->runtime);
}

/* A stolen job's detached children cannot outlive it: the task's own family is not ours to extend. */
static int wait_for_family(const struct tg_context *ctx, int rc)
{
    struct tgi_worker *w = ctx->worker;
    struct tgi_family *family = ctx->family;
    while (atomic_load_explicit(&family->n_alive, memory_order_acquire) != 1) {
        uint64_t item = tgi_deque_take_owner(&w->deques[TGI_DEQUE_JOBS]);
        if (item == TGI_DEQUE_EMPTY)
            item = tgi_worker_steal(w, TGI_DEQUE_JOBS, TGI_N_DEQUES);
        if (item != TGI_DEQUE_EMPTY)
            tgi_worker_execute_item(w, item);
        else
            sched_yield();
    }
    if (rc == 0) {
        rc = atomic_load_explicit(&family->status, memory_order_relaxed);
        if (rc)
            snprintf(ctx->explanation, TGI_EXPLANATION_BYTES, "%s", family->explanation);
    }
    free(family);
    return rc;
}

void tgi_job_execute(struct tgi_worker *w, struct tg_job *job)
{
    const struct tg_context *parent = job->opaque[1];
    /* Words of its own: the worker may be in the middle of another task. */
    char explanation[TGI_EXPLANATION_BYTES];
    struct tg_context ctx = {w, parent->instance, parent->task, NULL, explanation, NULL};
    explanation[0] = '\0';
    tgi_worker_enter(w, &ctx);
    int rc = job->fn(job->arg, &ctx);
    if (ctx.family)
        rc = wait_for_family(&ctx, rc);
    tgi_worker_return(w, &ctx);
    job->opaque[1] = explanation[0] ? strdup(explanation) : NULL;
    /* release: the job's results become visible to the parent, whose acquire is in tg_sync(). */
    atomic_store_explicit(job_state(job), (uintptr_t)(unsigned)rc << 1 | JOB_DONE, memory_order_release);
}

static __attribute__((noinline)) int sync_stolen(const struct tg_context *ctx, struct tg_job *job)
{
    struct tgi_worker *w = ctx->worker;
    uint32_t n_idle = 0;
    uintptr_t state;
    /* This may take a while: what we have finished must not wait with us. */
    if (w->batch)
        tgi_worker_flush(w);
    while (!((state = atomic_load_explicit(job_state(job), memory_order_acquire)) & JOB_DONE)) {
        /* Only jobs and children: a graph task here might take long and nest without limit. */
        uint64_t item = tgi_worker_steal(w, TGI_DEQUE_JOBS, TGI_N_DEQUES);
        if (item != TGI_DEQUE_EMPTY) {
            tgi_worker_execute_item(w, item);
            n_idle = 0;
        } else if (++n_idle > 100) {
            sched_yield(); /* the thief may be waiting for our processor */
        }
    }
    if (job->opaque[1]) {
        snprintf(ctx->explanation, TGI_EXPLANATION_BYTES, "%s", (const char *)job->opaque[1]);
        free(job->opaque[1]);
        job->opaque[1] = NULL;
    }
    return (int)(unsigned)(state >> 1);
}

int tg_sync(const struct tg_context *ctx, struct tg_job *job)
{
    struct tgi_worker *w = ctx->worker;
    struct tgi_deque *d = &w->deques[TGI_DEQUE_JOBS];
    for (;;) {
        uint64_t item = w->runtime->n_workers == 1 ? tgi_deque_take_alone(d) : tgi_deque_take_owner(d);
        if (item == (uint64_t)(uintptr_t)job)
            return job->fn(job->arg, ctx);
        if (item == TGI_DEQUE_EMPTY)
            return sync_stolen(ctx, job);
        /* Detached children lie on top of the job. */
        tgi_worker_execute_item(w, item);
    }
}

int tg_spawn_detached(const struct tg_context *ctx, tg_job_fn fn, const void *arg, size_t arg_bytes)
{
    struct tg_context *self = (struct tg_context *)(uintptr_t)ctx;
    struct tgi_worker *w = ctx->worker;
    if (!self->family) {
        struct tgi_family *family = malloc(sizeof *family);
        if (!family)
            return TG_E_NO_MEMORY;
        atomic_init(&family->n_alive, 1);
        atomic_init(&family->status, 0);
        family->explanation[0] = '\0';
        family->instance = ctx->instance;
        family->task = ctx->task;
        self->family = family;
    }
    struct tgi_child *child =
        arg_bytes < SIZE_MAX / 2 ? aligned_alloc(16, (sizeof *child + arg_bytes + 15) & ~(size_t)15) : NULL;
    if (!child)
        return TG_E_NO_MEMORY;
    child->fn = fn;
    child->family = self->family;
    if (arg_bytes)
        memcpy(child->arg, arg, arg_bytes);
    /* relaxed: the spawner holds a count, so the number cannot reach zero meanwhile. */
    atomic_fetch_add_explicit(&self->family->n_alive, 1, memory_order_relaxed);
    if (ctx->instance->run->needs_serial ||
        !tgi_worker_deque_push_owner(w, TGI_DEQUE_JOBS, (uint64_t)(uintptr_t)child | TGI_ITEM_CHILD))
        tgi_child_execute(w, child);
    else
        tgi_worker_wake(w->runtime);
    return 0;
}

void tgi_family_fail(struct tgi_family *family, int rc, const char *explanation)
{
    int32_t ok = 0;
    /* Who fails first writes the words; they are read once all have been counted. */
    if (atomic_compare_exchange_strong_explicit(&family->status, &ok, rc, memory_order_relaxed, memory_order_relaxed))
        snprintf(family->explanation, sizeof family->explanation, "%s", explanation);
}

void tgi_child_execute(struct tgi_worker *w, struct tgi_child *child)
{
    struct tgi_family *family = child->family;
    /* Words of its own: the worker may be in the middle of another task. */
    char explanation[TGI_EXPLANATION_BYTES] = "";
    struct tg_context ctx = {w, family->instance, family->task, family, explanation, NULL};
    tgi_worker_enter(w, &ctx);
    int rc = child->fn(child->arg, &ctx);
    tgi_worker_return(w, &ctx);
    free(child);
    if (rc)
        tgi_family_fail(family, rc, explanation);
    /* acq_rel: our results become visible to whoever completes the task, and if that is us, we see
     * those of all other children and of the body.  Pairs with itself. */
    if (atomic_fetch_sub_explicit(&family->n_alive, 1, memory_order_acq_rel) == 1)
        tgi_task_family_done(w, family);
}
