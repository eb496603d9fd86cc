/* Threads of a runtime. */
#include "sched/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/error.h"
#include "sched/offload.h"

enum { MAX_WORKERS = 4096, /* spans have 16 bits for them and the lanes of devices */
       DEQUE_CAPACITY = 256, LOST_WORKER_NS = 200000000 };

static void *worker_main(void *arg)
{
    struct tgi_worker *w = arg;
    struct tg_runtime *rt = w->runtime;
    if (rt->on_thread)
        rt->on_thread(rt->on_thread_user);
    if (rt->is_bound)
        tgi_topology_bind(rt->topology, w->index % rt->topology->n_cpus, NULL); /* tried once in create */
    /* The first thing a worker does is sleep: its seat is free for a waiting thread until there is
     * something to do. */
    tgi_parking_sleep(&w->seat);
    tgi_worker_loop(w, NULL);
    return NULL;
}

static void worker_destroy(struct tgi_worker *w)
{
    if (!w)
        return;
    for (uint32_t d = 0; d < TGI_N_DEQUES; d++)
        tgi_deque_fini(&w->deques[d]);
    free(w->victims);
    free(w);
}

static struct tgi_worker *worker_create(struct tg_runtime *rt, uint32_t index)
{
    struct tgi_worker *w = aligned_alloc(64, sizeof *w);
    if (!w)
        return NULL;
    memset(w, 0, sizeof *w);
    w->runtime = rt;
    w->index = index;
    w->context = (struct tg_context){.worker = w, .explanation = w->explanation};
    w->running = &w->context;
    w->victims = calloc(rt->n_workers, sizeof *w->victims);
    bool ok = w->victims != NULL;
    for (uint32_t d = 0; d < TGI_N_DEQUES; d++)
        ok = tgi_deque_init(&w->deques[d], DEQUE_CAPACITY) && ok;
    if (!ok) {
        worker_destroy(w);
        return NULL;
    }
    tgi_topology_victims(rt->topology, index, rt->n_workers, w->victims, NULL);
    return w;
}

static bool runtime_allocate(struct tg_runtime *rt)
{
    rt->workers = calloc(rt->n_workers, sizeof *rt->workers);
    rt->threads = calloc(rt->n_workers, sizeof *rt->threads);
    rt->instances = calloc(TGI_MAX_INSTANCES, sizeof *rt->instances);
    rt->free_slots = malloc(TGI_MAX_INSTANCES * sizeof *rt->free_slots);
    if (!rt->workers || !rt->threads || !rt->instances || !rt->free_slots ||
        !tgi_parking_init(&rt->parking, rt->n_workers))
        return false;
    for (uint32_t i = 0; i < TGI_MAX_INSTANCES; i++)
        rt->free_slots[i] = TGI_MAX_INSTANCES - 1 - i;
    rt->n_free_slots = TGI_MAX_INSTANCES;
    for (uint32_t i = 0; i < rt->n_workers; i++)
        if (!(rt->workers[i] = worker_create(rt, i)))
            return false;
    return true;
}

static int start_threads(struct tg_runtime *rt, size_t stack_bytes, struct tg_error *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    int rc = stack_bytes ? pthread_attr_setstacksize(&attr, stack_bytes) : 0;
    if (rc) {
        pthread_attr_destroy(&attr);
        return tgi_error_errno(err, TG_E_INVALID, rc, "a stack of %zu bytes", stack_bytes);
    }
    for (uint32_t i = 0; rc == 0 && i < rt->n_workers; i++) {
        tgi_parking_announce(&rt->parking, i);
        rc = pthread_create(&rt->threads[i], &attr, worker_main, rt->workers[i]);
        rt->n_threads += rc == 0;
    }
    pthread_attr_destroy(&attr);
    return rc ? tgi_error_errno(err, TG_E_SYSTEM, rc, "cannot start worker %u", rt->n_threads) : 0;
}

/* Binding is asked for once here, on a thread of its own, so that a refusal is an error instead of
 * workers that silently float. */
static void *try_bind(void *arg)
{
    struct tg_runtime *rt = arg;
    rt->is_bound = tgi_topology_bind(rt->topology, 0, NULL) == 0;
    return NULL;
}

static bool list_workers_by_cpu(struct tg_runtime *rt)
{
    const struct tgi_cpu *cpus = rt->topology->cpus;
    for (uint32_t i = 0; i < rt->n_workers; i++)
        if (cpus[i].os_index >= rt->n_cpus)
            rt->n_cpus = cpus[i].os_index + 1;
    rt->worker_of_cpu = malloc(rt->n_cpus * sizeof *rt->worker_of_cpu);
    if (!rt->worker_of_cpu)
        return false;
    for (uint32_t i = 0; i < rt->n_cpus; i++)
        rt->worker_of_cpu[i] = TG_NONE;
    for (uint32_t i = 0; i < rt->n_workers; i++)
        rt->worker_of_cpu[cpus[i].os_index] = i;
    return true;
}

static int probe_binding(struct tg_runtime *rt, bool is_unbound, struct tg_error *err)
{
    pthread_t probe;
    if (!is_unbound && rt->topology->is_this_machine && rt->n_workers <= rt->topology->n_cpus &&
        pthread_create(&probe, NULL, try_bind, rt) == 0)
        pthread_join(probe, NULL);
    return !rt->is_bound || list_workers_by_cpu(rt) ? 0 : tgi_error_memory(err, "creating workers");
}

/* Reading the topology takes milliseconds, as does opening devices, and neither needs the other. */
struct reading {
    struct tg_runtime *runtime;
    const char *description;
    struct tg_error err;
    int rc;
    pthread_t thread;
    bool has_thread;
};

static void *read_topology(void *arg)
{
    struct reading *r = arg;
    uint64_t begin = tgi_now_ns();
    r->rc = tgi_topology_open(r->description, &r->runtime->topology, &r->err);
    r->runtime->topology_ns = tgi_now_ns() - begin;
    return NULL;
}

static int open_both(struct tg_runtime *rt, const struct tg_runtime_options *o, struct tg_error *err)
{
    struct reading r = {.runtime = rt, .description = o->topology};
    int rc = 0;
    r.has_thread = o->devices && pthread_create(&r.thread, NULL, read_topology, &r) == 0;
    if (!r.has_thread)
        read_topology(&r);
    if (o->devices && (r.has_thread || r.rc == 0)) {
        uint64_t begin = tgi_now_ns();
        rc = tgi_offload_open(rt, o->devices, o->device_bytes, err);
        rt->devices_ns = tgi_now_ns() - begin;
    }
    if (r.has_thread)
        pthread_join(r.thread, NULL);
    if (r.rc && err)
        *err = r.err;
    return r.rc ? r.rc : rc;
}

int tg_runtime_create(const struct tg_runtime_options *options, struct tg_runtime **runtime_p, struct tg_error *err)
{
    static const struct tg_runtime_options defaults = TG_RUNTIME_OPTIONS_INIT;
    const struct tg_runtime_options *o = options ? options : &defaults;
    int rc = tgi_error_check_size(err, "struct tg_runtime_options", o->size, sizeof *o);
    if (rc)
        return rc;
    if (o->n_workers > MAX_WORKERS)
        return tgi_error(err, TG_E_INVALID, "%u workers, at most %d are possible", o->n_workers, MAX_WORKERS);
    struct tg_runtime *rt = aligned_alloc(64, sizeof *rt);
    if (!rt)
        return tgi_error_memory(err, "creating a runtime");
    memset(rt, 0, sizeof *rt);
    /* Recursive: a callback of a run that the watchdog ends may start another run. */
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&rt->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    rc = open_both(rt, o, err);
    if (rc == 0) {
        rt->n_workers = o->n_workers ? o->n_workers : rt->topology->n_cores;
        rt->memory_bytes = o->memory_bytes;
        rt->has_devices_alone = o->has_devices_alone;
        rt->on_thread = o->on_thread;
        rt->on_thread_user = o->user;
        rc = runtime_allocate(rt) ? 0 : tgi_error_memory(err, "creating workers");
    }
    if (rc == 0) {
        uint64_t begin = tgi_now_ns();
        rc = probe_binding(rt, o->is_unbound, err);
        if (rc == 0)
            rc = tgi_offload_start(rt, err);
        if (rc == 0)
            rc = start_threads(rt, o->stack_bytes, err);
        rt->threads_ns = tgi_now_ns() - begin;
    }
    if (rc) {
        tg_runtime_destroy(rt);
        return rc;
    }
    *runtime_p = rt;
    return 0;
}

/* Ends all threads; false: one is lost in a task that does not return. */
static bool join_threads(struct tg_runtime *rt)
{
    bool all = true;
    atomic_store_explicit(&rt->is_ending, 1, memory_order_relaxed); /* published by the calls below */
    for (uint32_t i = 0; i < rt->n_threads; i++) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOST_WORKER_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        /* A worker that is not asleep sees the flag when it looks for work. */
        if (tgi_parking_claim(&rt->parking, i))
            tgi_parking_call(&rt->workers[i]->seat);
        if (atomic_load_explicit(&rt->has_abandoned, memory_order_relaxed) == 0) {
            pthread_join(rt->threads[i], NULL);
            continue;
        }
        int rc = pthread_timedjoin_np(rt->threads[i], NULL, &until);
        if (rc == ETIMEDOUT) {
            pthread_detach(rt->threads[i]);
            all = false;
        }
    }
    return all;
}

void tg_runtime_destroy(struct tg_runtime *runtime)
{
    struct tg_runtime *rt = runtime;
    if (!rt)
        return;
    tgi_watchdog_end(rt);
    if (!join_threads(rt))
        return; /* what the lost worker may still touch is left to it */
    tgi_run_destroy_abandoned(rt);
    if (!tgi_offload_close(rt))
        return; /* the same */
    for (uint32_t i = 0; rt->workers && i < rt->n_workers; i++)
        worker_destroy(rt->workers[i]);
    tgi_parking_fini(&rt->parking);
    tgi_topology_close(rt->topology);
    pthread_mutex_destroy(&rt->lock);
    free(rt->worker_of_cpu);
    free(rt->workers);
    free(rt->threads);
    free(rt->instances);
    free(rt->free_slots);
    free(rt);
}

uint32_t tg_runtime_n_workers(const struct tg_runtime *runtime)
{
    return runtime->n_workers;
}
