/* Bandwidth of NUMA nodes and between them.  A thread's arrays are on the node where it first touched them, so each thread is
 * bound to a core of that node while it makes them, then to the core it works from. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "graph/error.h"
#include "sched/calibrate.h"
#include "sched/runtime.h"
#include "sched/sample.h"

enum { MOST_PASSES = 32, MOST_THREADS = 1024, N_ARRAYS = 3 };
#define FULL_BYTES ((size_t)256 << 20) /* all arrays of a thread */
#define QUICK_BYTES ((size_t)48 << 20)

struct sweep {
    const struct tgi_topology *topology;
    const uint32_t *cpus, *homes; /* by thread: where it works, and a processor beside its arrays */
    uint32_t n_threads, n_passes;
    size_t n_elems;               /* of an array */
    pthread_mutex_t gate;         /* closed until all threads are there */
    bool is_abandoned;            /* they are not: under the gate */
    pthread_barrier_t barrier;
    double ns[MOST_PASSES];       /* of the slowest thread; by thread 0 */
};

struct sweeper {
    struct sweep *sweep;
    uint32_t index;
    pthread_t thread;
    bool has_thread;
    double *arrays;
    uint64_t begin, end;
    struct tg_error err;
    int status;
};

static void triad(double *a, const double *b, const double *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] + 3 * c[i];
}

static int prepare(struct sweeper *s)
{
    struct sweep *w = s->sweep;
    size_t bytes = N_ARRAYS * w->n_elems * sizeof(double);
    int rc = w->topology->is_this_machine ? tgi_topology_bind(w->topology, w->homes[s->index], &s->err) : 0;
    s->arrays = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->arrays == MAP_FAILED) {
        s->arrays = NULL;
        return tgi_error_memory(&s->err, "measuring memory");
    }
    for (size_t i = 0; i < N_ARRAYS * w->n_elems; i++)
        s->arrays[i] = (double)i;
    if (rc == 0 && w->topology->is_this_machine)
        rc = tgi_topology_bind(w->topology, w->cpus[s->index], &s->err);
    return rc;
}

/* The time of a pass is from the first that begins to the last that ends. */
static void note_pass(struct sweeper *all, uint32_t pass)
{
    uint64_t begin = UINT64_MAX, end = 0;
    for (uint32_t i = 0; i < all->sweep->n_threads; i++) {
        begin = all[i].begin < begin ? all[i].begin : begin;
        end = all[i].end > end ? all[i].end : end;
    }
    if (pass > 0)
        all->sweep->ns[pass - 1] = (double)(end - begin);
}

static void *sweep_thread(void *arg)
{
    struct sweeper *s = arg;
    struct sweep *w = s->sweep;
    size_t n = w->n_elems;
    pthread_mutex_lock(&w->gate);
    bool is_abandoned = w->is_abandoned;
    pthread_mutex_unlock(&w->gate);
    if (is_abandoned)
        return NULL;
    s->status = prepare(s);
    for (uint32_t pass = 0; pass <= w->n_passes; pass++) {
        pthread_barrier_wait(&w->barrier);
        s->begin = tgi_now_ns();
        if (s->status == 0)
            triad(s->arrays, s->arrays + n, s->arrays + 2 * n, n);
        s->end = tgi_now_ns();
        pthread_barrier_wait(&w->barrier);
        if (s->index == 0)
            note_pass(s, pass);
    }
    if (s->arrays)
        munmap(s->arrays, N_ARRAYS * n * sizeof(double));
    return NULL;
}

/* Threads wait for each other, so either all of them are there or none begins. */
static int run_threads(struct sweep *w, struct sweeper *all, struct tg_error *err)
{
    int rc = 0;
    uint32_t n_wanted = w->n_threads;
    if (pthread_barrier_init(&w->barrier, NULL, n_wanted))
        return tgi_error(err, TG_E_SYSTEM, "cannot make a barrier for %u threads", n_wanted);
    pthread_mutex_init(&w->gate, NULL);
    pthread_mutex_lock(&w->gate);
    for (uint32_t i = 0; rc == 0 && i < n_wanted; i++) {
        all[i] = (struct sweeper){.sweep = w, .index = i};
        int failed = pthread_create(&all[i].thread, NULL, sweep_thread, &all[i]);
        all[i].has_thread = failed == 0;
        if (failed)
            rc = tgi_error(err, TG_E_SYSTEM, "cannot start %u threads: %s", n_wanted, strerror(failed));
    }
    w->is_abandoned = rc != 0;
    pthread_mutex_unlock(&w->gate);
    for (uint32_t i = 0; i < n_wanted; i++) {
        if (all[i].has_thread)
            pthread_join(all[i].thread, NULL);
        if (rc == 0 && all[i].status) {
            rc = all[i].status;
            if (err)
                *err = all[i].err;
        }
    }
    pthread_mutex_destroy(&w->gate);
    pthread_barrier_destroy(&w->barrier);
    return rc;
}

/* Bytes per ns that the threads get together. */
static int sweep(const struct tgi_calibration *c, const struct tgi_topology *t, uint32_t n, const uint32_t *cpus,
                 const uint32_t *homes, double *rate_p, struct tg_error *err)
{
    struct sweep w = {.topology = t, .cpus = cpus, .homes = homes, .n_threads = n, .n_passes = c->is_quick ? 5 : 15,
                      .n_elems = (c->is_quick ? QUICK_BYTES : FULL_BYTES) / N_ARRAYS / sizeof(double)};
    struct sweeper *all = calloc(n, sizeof *all);
    struct tgi_sample sample;
    int rc = all ? run_threads(&w, all, err) : tgi_error_memory(err, "measuring memory");
    free(all);
    if (rc)
        return rc;
    tgi_sample_of(w.ns, w.n_passes, &sample);
    *rate_p = N_ARRAYS * (double)w.n_elems * sizeof(double) * n / sample.median;
    return 0;
}

/* The first threads of the cores of a node, or any of its threads if there are none. */
static uint32_t cores_of(const struct tgi_topology *t, uint32_t numa, uint32_t *cpus)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_cpus && n < MOST_THREADS; i++)
        if (t->cpus[i].numa == numa && t->cpus[i].smt == 0)
            cpus[n++] = i;
    for (uint32_t i = 0; i < t->n_cpus && n == 0; i++)
        if (t->cpus[i].numa == numa)
            cpus[n++] = i;
    return n;
}

static int measure_node(const struct tgi_calibration *c, const struct tgi_topology *t, uint32_t numa, struct tgi_machine *m,
                        double *lane_p, struct tg_error *err)
{
    uint32_t cpus[MOST_THREADS], n = cores_of(t, numa, cpus);
    double lane, all;
    if (n == 0)
        return 0;
    tgi_calibrate_step(c, "memory of NUMA node %u, one thread and %u", numa, n);
    int rc = sweep(c, t, 1, cpus, cpus, &lane, err);
    if (rc == 0)
        rc = sweep(c, t, n, cpus, cpus, &all, err);
    if (rc)
        return rc;
    m->memories[numa].bytes_per_ns = all > lane ? all : lane;
    *lane_p = *lane_p == 0 || lane < *lane_p ? lane : *lane_p;
    return 0;
}

/* A latency between nodes is not measured: copies of tiles take much longer.  It stays what it typically is. */
static int measure_link(const struct tgi_calibration *c, const struct tgi_topology *t, uint32_t from, uint32_t to,
                        double latency_ns, struct tgi_machine *m, struct tg_error *err)
{
    uint32_t cpus[MOST_THREADS], near[MOST_THREADS], homes[MOST_THREADS];
    uint32_t n = cores_of(t, to, cpus), n_near = cores_of(t, from, near);
    struct tgi_machine_link link = {.latency_ns = latency_ns, .share = TGI_SHARE_LINK};
    if (n == 0 || n_near == 0)
        return 0;
    for (uint32_t i = 0; i < n; i++)
        homes[i] = near[i % n_near];
    tgi_calibrate_step(c, "memory of NUMA node %u from node %u", from, to);
    int rc = sweep(c, t, n, cpus, homes, &link.bytes_per_ns, err);
    memcpy(link.from, m->memories[from].name, sizeof link.from);
    memcpy(link.to, m->memories[to].name, sizeof link.to);
    return rc ? rc : tgi_machine_add_link(m, &link, err);
}

int tgi_calibrate_memory(const struct tgi_calibration *c, const struct tgi_topology *t, struct tgi_machine *m, struct tg_error *err)
{
    uint32_t n_numa = t->n_numa ? t->n_numa : 1;
    double lane = 0, latency_ns = m->links[0].latency_ns;
    int rc = 0;
    m->n_links = 0; /* the rough one, for all nodes */
    for (uint32_t i = 0; rc == 0 && i < n_numa; i++)
        rc = measure_node(c, t, i, m, &lane, err);
    for (uint32_t from = 0; rc == 0 && from < n_numa; from++)
        for (uint32_t to = 0; rc == 0 && to < n_numa; to++)
            if (from != to)
                rc = measure_link(c, t, from, to, latency_ns, m, err);
    m->classes[0].lane_bytes_per_ns = lane;
    return rc;
}
