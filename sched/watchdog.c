/* Limits on time.  A thread looks every few milliseconds whether a task or a run is overdue, and
 * ends the run for those who wait.  Nothing can stop a function that does not return: its worker
 * stays lost until it does, and the memory it may touch is kept. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "graph/error.h"
#include "sched/runtime.h"

enum { PERIOD_NS = 5000000 };

static void expire_task(struct tgi_instance *in, uint32_t task)
{
    const struct tgi_attr *attr = tgi_graph_attr(in->graph, task);
    char text[64];
    snprintf(text, sizeof text, "it exceeded its limit of %u ms", attr ? attr->timeout_ms : 0);
    tgi_run_fail(in->run, in, task, TG_E_TASK_TIMEOUT, text);
    tgi_run_end(in->run);
}

static void format_limit(uint64_t ns, char *text, size_t size)
{
    static const struct {
        uint64_t ns;
        const char *unit;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    size_t i = 0;
    while (ns < units[i].ns)
        i++;
    snprintf(text, size, "%.4g %s", (double)ns / (double)units[i].ns, units[i].unit);
}

static void expire_run(struct tg_run *run)
{
    char limit[32];
    uint32_t no = TGI_STOP_NO;
    /* A run that has failed or was cancelled ends here as well if a task holds it up. */
    atomic_compare_exchange_strong_explicit(&run->stop, &no, TGI_STOP_TIMEOUT, memory_order_relaxed, memory_order_relaxed);
    atomic_store_explicit(&run->attention, 1, memory_order_relaxed);
    pthread_mutex_lock(&run->lock);
    format_limit(run->options.timeout_ns, limit, sizeof limit);
    if (run->error.status == 0)
        tgi_error(&run->error, TG_E_RUN_TIMEOUT, "the run exceeded its limit of %s", limit);
    pthread_mutex_unlock(&run->lock);
    tgi_run_end(run);
}

static void look(struct tg_runtime *rt)
{
    uint64_t now = tgi_now_ns();
    for (uint32_t i = 0; i < rt->n_workers; i++) {
        struct tgi_worker *w = rt->workers[i];
        /* acquire: pairs with the release in watch(). */
        uint64_t deadline = atomic_load_explicit(&w->deadline_ns, memory_order_acquire);
        if (!deadline || now < deadline)
            continue;
        struct tgi_instance *in = atomic_load_explicit(&w->watched, memory_order_relaxed);
        uint32_t task = atomic_load_explicit(&w->watched_task, memory_order_relaxed);
        /* Still the same body?  Then its run cannot end without us: we hold the runtime's lock. */
        if (atomic_compare_exchange_strong_explicit(&w->deadline_ns, &deadline, 0, memory_order_acq_rel, memory_order_relaxed))
            expire_task(in, task);
    }
    for (size_t i = 0; i < sizeof rt->timed_runs / sizeof *rt->timed_runs; i++) {
        struct tg_run *run = rt->timed_runs[i];
        if (run && atomic_load_explicit(&run->state, memory_order_acquire) == TGI_RUN_ACTIVE &&
            now > run->init_begin_ns && now - run->init_begin_ns > run->options.timeout_ns)
            expire_run(run);
    }
}

static void *watchdog_main(void *arg)
{
    struct tg_runtime *rt = arg;
    const struct timespec period = {0, PERIOD_NS};
    while (!atomic_load_explicit(&rt->watchdog_ends, memory_order_relaxed)) {
        pthread_mutex_lock(&rt->lock);
        look(rt);
        pthread_mutex_unlock(&rt->lock);
        nanosleep(&period, NULL);
    }
    return NULL;
}

int tgi_watchdog_need(struct tg_runtime *rt, struct tg_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&rt->lock);
    if (!rt->has_watchdog) {
        rc = pthread_create(&rt->watchdog, NULL, watchdog_main, rt);
        rt->has_watchdog = rc == 0;
    }
    pthread_mutex_unlock(&rt->lock);
    return rc ? tgi_error_errno(err, TG_E_SYSTEM, rc, "cannot start the thread that watches time limits") : 0;
}

int tgi_watchdog_add(struct tg_run *run, struct tg_error *err)
{
    struct tg_runtime *rt = run->runtime;
    int rc = tgi_watchdog_need(rt, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&rt->lock);
    size_t i = 0, n = sizeof rt->timed_runs / sizeof *rt->timed_runs;
    while (i < n && rt->timed_runs[i])
        i++;
    if (i < n)
        rt->timed_runs[i] = run;
    pthread_mutex_unlock(&rt->lock);
    return i < n ? 0 : tgi_error(err, TG_E_LIMIT, "more than %zu runs with a time limit at a time", n);
}

void tgi_watchdog_remove(struct tg_run *run)
{
    struct tg_runtime *rt = run->runtime;
    pthread_mutex_lock(&rt->lock);
    for (size_t i = 0; i < sizeof rt->timed_runs / sizeof *rt->timed_runs; i++)
        if (rt->timed_runs[i] == run)
            rt->timed_runs[i] = NULL;
    pthread_mutex_unlock(&rt->lock);
}

void tgi_watchdog_end(struct tg_runtime *rt)
{
    if (!rt->has_watchdog)
        return;
    atomic_store_explicit(&rt->watchdog_ends, 1, memory_order_relaxed);
    pthread_join(rt->watchdog, NULL);
    rt->has_watchdog = false;
}
