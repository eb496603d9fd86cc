/* A resident program on several devices, executed by threads: each worker of each device a thread, each device with tables
 * of its own that the others reach through struct tgi_resident_peers alone. */
#ifndef TEST_RESIDENT_PEERS_CPU_H
#define TEST_RESIDENT_PEERS_CPU_H

#define TGI_PEERS
#include "tests/resident_cpu.h"

struct peers_cpu {
    const struct tgi_resident_program *p;
    uint32_t n_devices;
    struct peers_cpu_device {
        struct tgi_resident_view v;
        struct tgi_resident_peers peers;
        struct tgi_cell *shared_cells; /* of its blocks */
        uint32_t *shared_counters;
    } device[TGI_RESIDENT_MAX_DEVICES];
    pthread_t *threads;
    pthread_barrier_t start, end; /* the end is everybody's: nobody begins the next epoch before */
    bool is_closing;              /* written between end and start */
};

struct peers_cpu_worker {
    struct peers_cpu *cpu;
    uint32_t id;
};

static void *peers_cpu_thread(void *user)
{
    struct peers_cpu_worker me = *(struct peers_cpu_worker *)user;
    struct peers_cpu *c = me.cpu;
    uint32_t n_blocks = c->p->n_blocks / c->n_devices, block = me.id / c->p->n_workers_each;
    struct peers_cpu_device *d = &c->device[block / n_blocks];
    free(user);
    for (;;) {
        pthread_barrier_wait(&c->start);
        if (c->is_closing)
            return NULL;
        struct tgi_worker w = {.v = &d->v, .id = me.id, .epoch = d->v.epoch, .shared_epoch = 1, .peers = &d->peers};
        w.shared_cells = d->shared_cells + (size_t)(block % n_blocks) * c->p->n_shared_cells;
        w.shared_counters = d->shared_counters + (size_t)(block % n_blocks) * c->p->n_shared_counters;
        w.is_failed = TGI_LOAD_TOLD(&d->v.control->is_failed) != 0;
        tgi_warp_worker_run(&w, NULL);
        tgi_far_leave(&w);
        pthread_barrier_wait(&c->end);
    }
}

static inline void peers_cpu_device_init(struct peers_cpu_device *d, const struct tgi_resident_program *p, bool has_lines)
{
    static const struct tgi_resident_copy nothing;
    size_t n = (size_t)p->n_tasks + 1, n_blocks = p->n_blocks / p->n_devices;
    d->v = (struct tgi_resident_view){.tasks = p->tasks, .first = p->first, .outs = p->outs, .ins = p->ins, .args = p->args};
    d->v.copies = &nothing;
    d->v.counters = zeroed_lines((size_t)p->n_counters * 4);
    d->v.cells = zeroed_lines((size_t)p->n_cells * sizeof(struct tgi_cell));
    d->v.results = must_have(calloc(n, 8));
    d->v.lines = has_lines ? must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS)) : NULL;
    d->v.progress = must_have(calloc(p->n_workers, 4));
    d->v.control = zeroed_lines(sizeof *d->v.control);
    d->v.limit_ns = 60000000000u;
    d->v.n_workers_each = p->n_workers_each;
    d->shared_cells = zeroed_lines(p->n_shared_cells * n_blocks * sizeof(struct tgi_cell));
    d->shared_counters = zeroed_lines(p->n_shared_counters * n_blocks * 4);
}

static inline void peers_cpu_init(struct peers_cpu *c, const struct tgi_resident_program *p, bool has_lines)
{
    struct tgi_resident_peers all = {.n_devices = p->n_devices};
    memset(c, 0, sizeof *c);
    c->p = p;
    c->n_devices = p->n_devices;
    for (uint32_t i = 0; i < c->n_devices; i++) {
        struct peers_cpu_device *d = &c->device[i];
        peers_cpu_device_init(d, p, has_lines);
        all.of[i] = (struct tgi_resident_peer){zeroed_lines((size_t)p->n_far_counters * 4),
                                               zeroed_lines((size_t)p->n_far_cells * sizeof(struct tgi_cell)), d->v.results,
                                               d->v.lines, d->v.control};
    }
    for (uint32_t i = 0; i < c->n_devices; i++) {
        c->device[i].peers = all;
        c->device[i].peers.device = i;
        c->device[i].peers.first_worker = i * (p->n_workers / p->n_devices);
    }
    c->threads = must_have(calloc(p->n_workers, sizeof *c->threads));
    pthread_barrier_init(&c->start, NULL, p->n_workers + 1);
    pthread_barrier_init(&c->end, NULL, p->n_workers + 1);
    for (uint32_t w = 0; w < p->n_workers; w++) {
        struct peers_cpu_worker *me = must_have(malloc(sizeof *me));
        *me = (struct peers_cpu_worker){c, w};
        if (pthread_create(&c->threads[w], NULL, peers_cpu_thread, me))
            abort();
    }
}

static inline void peers_cpu_set_limit(struct peers_cpu *c, uint64_t limit_ns)
{
    for (uint32_t i = 0; i < c->n_devices; i++)
        c->device[i].v.limit_ns = limit_ns;
}

static inline void peers_cpu_begin(struct peers_cpu *c, uint32_t epoch)
{
    size_t n_blocks = c->p->n_blocks / c->n_devices;
    for (uint32_t i = 0; i < c->n_devices; i++) {
        struct peers_cpu_device *d = &c->device[i];
        d->v.epoch = epoch;
        memset(d->shared_cells, 0, c->p->n_shared_cells * n_blocks * sizeof(struct tgi_cell));
        memset(d->shared_counters, 0, c->p->n_shared_counters * n_blocks * 4);
        memset(d->v.progress, 0, c->p->n_workers * 4ul);
    }
    pthread_barrier_wait(&c->start);
}
static inline void peers_cpu_end(struct peers_cpu *c) { pthread_barrier_wait(&c->end); }

/* The device that has a task's slot. */
static inline const struct peers_cpu_device *peers_cpu_home(const struct peers_cpu *c, uint32_t slot)
{
    uint32_t n_workers = c->p->n_workers / c->n_devices, i = 0;
    while (slot >= c->p->first[(i + 1) * n_workers])
        i++;
    return &c->device[i];
}

static inline uint32_t peers_cpu_n_done(const struct peers_cpu *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_devices; i++)
        for (uint32_t w = 0; w < c->p->n_workers; w++)
            n += c->device[i].v.progress[w];
    return n;
}

static inline void peers_cpu_fini(struct peers_cpu *c)
{
    c->is_closing = true;
    pthread_barrier_wait(&c->start);
    for (uint32_t w = 0; w < c->p->n_workers; w++)
        pthread_join(c->threads[w], NULL);
    pthread_barrier_destroy(&c->start);
    pthread_barrier_destroy(&c->end);
    free(c->threads);
    for (uint32_t i = 0; i < c->n_devices; i++) {
        struct peers_cpu_device *d = &c->device[i];
        free(d->peers.of[i].far_counters);
        free(d->peers.of[i].far_cells);
        free(d->v.counters);
        free(d->v.cells);
        free(d->v.results);
        free(d->v.lines);
        free(d->v.progress);
        free(d->v.control);
        free(d->shared_cells);
        free(d->shared_counters);
    }
}

#endif
