/* A resident program executed by threads: each worker a thread, the text that of the GPU (gpu/resident/worker.h). */
#ifndef TEST_RESIDENT_CPU_H
#define TEST_RESIDENT_CPU_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/resident/worker.h"

struct resident_cpu {
    struct tgi_resident_view v;
    const struct tgi_resident_program *p;
    struct tgi_cell *shared_cells; /* of all blocks */
    uint32_t *shared_counters;
#ifdef TGI_HAS_BLOCKS
    struct tgi_block *blocks;
#endif
    pthread_t *threads;
    pthread_barrier_t start, end;
    bool is_closing; /* written between end and start */
};

struct resident_cpu_worker {
    struct resident_cpu *cpu;
    uint32_t id;
};

static inline void *must_have(void *p)
{
    if (!p)
        abort();
    return p;
}
static inline void *zeroed_lines(size_t bytes)
{
    void *p = must_have(aligned_alloc(128, (bytes + 256) / 128 * 128));
    memset(p, 0, (bytes + 256) / 128 * 128);
    return p;
}

static void *resident_cpu_thread(void *user)
{
    struct resident_cpu_worker me = *(struct resident_cpu_worker *)user;
    struct resident_cpu *c = me.cpu;
    uint32_t block = me.id / c->p->n_workers_each;
    free(user);
    for (;;) {
        pthread_barrier_wait(&c->start);
        if (c->is_closing)
            return NULL;
        struct tgi_worker w = {.v = &c->v, .id = me.id, .epoch = c->v.epoch, .shared_epoch = 1};
        w.shared_cells = c->shared_cells + (size_t)block * c->p->n_shared_cells;
        w.shared_counters = c->shared_counters + (size_t)block * c->p->n_shared_counters;
#ifdef TGI_HAS_BLOCKS
        w.block = &c->blocks[block];
#endif
        if (c->p->width == TGI_RESIDENT_WARP)
            tgi_warp_worker_run(&w, NULL);
        else
            tgi_thread_worker_run(&w);
        pthread_barrier_wait(&c->end);
    }
}

static inline void resident_cpu_init(struct resident_cpu *c, const struct tgi_resident_program *p, bool has_lines)
{
    size_t n = (size_t)p->n_slots + 1;
    memset(c, 0, sizeof *c);
    c->p = p;
    c->v = (struct tgi_resident_view){.tasks = p->tasks, .first = p->first, .outs = p->outs, .ins = p->ins, .args = p->args};
    c->v.counters = zeroed_lines((size_t)p->n_counters * 4);
    c->v.cells = zeroed_lines((size_t)p->n_cells * sizeof(struct tgi_cell));
    c->v.posted = p->n_posts ? zeroed_lines(n * sizeof(struct tgi_cell)) : NULL;
    c->v.results = must_have(calloc(n, 8));
    c->v.lines = has_lines ? must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS)) : NULL;
    c->v.progress = must_have(calloc(p->n_workers, 4));
    c->v.control = zeroed_lines(sizeof *c->v.control);
    c->v.limit_ns = 60000000000u;
    c->v.n_workers_each = p->n_workers_each;
    c->shared_cells = zeroed_lines((size_t)p->n_shared_cells * p->n_blocks * sizeof(struct tgi_cell));
    c->shared_counters = zeroed_lines((size_t)p->n_shared_counters * p->n_blocks * 4);
#ifdef TGI_HAS_BLOCKS
    c->blocks = must_have(calloc(p->n_blocks, sizeof *c->blocks));
#endif
    c->threads = must_have(calloc(p->n_workers, sizeof *c->threads));
    pthread_barrier_init(&c->start, NULL, p->n_workers + 1);
    pthread_barrier_init(&c->end, NULL, p->n_workers + 1);
    for (uint32_t w = 0; w < p->n_workers; w++) {
        struct resident_cpu_worker *me = must_have(malloc(sizeof *me));
        *me = (struct resident_cpu_worker){c, w};
        if (pthread_create(&c->threads[w], NULL, resident_cpu_thread, me))
            abort();
    }
}

/* As a launch begins: shared memory is zero. */
static inline void resident_cpu_begin(struct resident_cpu *c, uint32_t epoch)
{
    c->v.epoch = epoch;
    memset(c->shared_cells, 0, (size_t)c->p->n_shared_cells * c->p->n_blocks * sizeof(struct tgi_cell));
    memset(c->shared_counters, 0, (size_t)c->p->n_shared_counters * c->p->n_blocks * 4);
#ifdef TGI_HAS_BLOCKS
    memset(c->blocks, 0, c->p->n_blocks * sizeof *c->blocks);
#endif
    memset(c->v.progress, 0, c->p->n_workers * 4);
    pthread_barrier_wait(&c->start);
}
static inline void resident_cpu_end(struct resident_cpu *c) { pthread_barrier_wait(&c->end); }

static inline uint32_t resident_cpu_n_done(const struct resident_cpu *c)
{
    uint32_t n = 0;
    for (uint32_t w = 0; w < c->p->n_workers; w++)
        n += c->v.progress[w];
    return n;
}

static inline void resident_cpu_fini(struct resident_cpu *c)
{
    c->is_closing = true;
    pthread_barrier_wait(&c->start);
    for (uint32_t w = 0; w < c->p->n_workers; w++)
        pthread_join(c->threads[w], NULL);
    pthread_barrier_destroy(&c->start);
    pthread_barrier_destroy(&c->end);
    free(c->threads);
    free(c->v.counters);
    free(c->v.cells);
    free(c->v.posted);
    free(c->v.results);
    free(c->v.lines);
    free(c->v.progress);
    free(c->v.control);
    free(c->shared_cells);
    free(c->shared_counters);
#ifdef TGI_HAS_BLOCKS
    free(c->blocks);
#endif
}

#endif
