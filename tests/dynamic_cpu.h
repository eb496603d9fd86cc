/* A dynamic resident program executed by threads: each worker a thread, the text that of the GPU.  With TGI_FAMILIES, and what calls
 * bodies, it is gpu/resident/family.h; else gpu/resident/scheduler.h. */
#ifndef TEST_DYNAMIC_CPU_H
#define TEST_DYNAMIC_CPU_H

#include <cmocka.h>

#include "tests/resident_cpu.h"

#ifdef TGI_CALL_BODIES
#include "gpu/resident/family.h"
#else
#include "gpu/resident/scheduler.h"
#endif

struct cpu {
    struct tgi_resident_view v;
    struct tgi_resident_pool p;
    struct tgi_ring *local;
    uint32_t *local_slots;
    uint32_t n_workers;
#ifdef TGI_FAMILIES
    struct tgi_resident_nursery nursery;
#endif
};

struct cpu_worker {
    struct cpu *cpu;
    uint32_t id;
};

static void *cpu_thread(void *user)
{
    struct cpu_worker *me = user;
    struct cpu *c = me->cpu;
    uint32_t each = c->v.n_workers_each, block = me->id / each, per_block = each * TGI_RESIDENT_CLASSES;
    struct tgi_worker w = {.v = &c->v, .id = me->id, .epoch = c->v.epoch, .shared_epoch = 1};
    struct tgi_runner r = {.w = w, .p = &c->p, .block = block, .rank = me->id % each};
    r.local = c->local + (size_t)block * per_block;
    r.local_slots = c->local_slots + (size_t)block * per_block * c->p.local_capacity;
#ifdef TGI_FAMILIES
    struct tgd_spawner spawner;
    struct tgi_family_runner f = {.r = r, .spawner = &spawner};
    tgi_spawner_init(&spawner, &c->nursery, me->id);
    tgi_family_run(&f);
#else
    tgi_runner_run(&r);
#endif
    return NULL;
}

/* made: tasks that are made in an epoch, at most; of families, at once by a worker. */
struct setup {
    uint32_t n_blocks, each, local, far, made, chunk;
};

static void cpu_init(struct cpu *c, const struct tgi_resident_dynamic *d, const struct setup *s)
{
    uint32_t n_workers = s->n_blocks * s->each, n_rings = n_workers * TGI_RESIDENT_CLASSES;
#ifdef TGI_FAMILIES
    size_t n_made = (size_t)n_workers * s->made;
#else
    size_t n_made = s->made;
#endif
    size_t n = d->n_tasks + n_made + 1;
    memset(c, 0, sizeof *c);
    c->n_workers = n_workers;
    c->v = (struct tgi_resident_view){.tasks = d->tasks, .outs = d->outs, .ins = d->ins, .args = d->args};
    c->v.counters = zeroed_lines(n * 4);
    c->v.results = must_have(calloc(n, 8));
    c->v.lines = must_have(calloc(n, 8 * TGI_RESIDENT_LINE_WORDS));
    c->v.progress = must_have(calloc(n_workers, 4));
    c->v.control = zeroed_lines(sizeof *c->v.control);
    c->v.limit_ns = 60000000000u;
    c->v.n_workers_each = s->each;
    c->p = (struct tgi_resident_pool){.roots = d->roots, .n_tasks = d->n_tasks, .n_roots = d->n_roots,
                                      .n_blocks = s->n_blocks, .ring_capacity = s->far, .local_capacity = s->local,
                                      .made_capacity = s->made, .chunk = s->chunk};
    c->p.rings = zeroed_lines(n_rings * sizeof *c->p.rings);
    c->p.slots = zeroed_lines((size_t)n_rings * s->far * 4);
    c->p.next = must_have(calloc(n, 4));
    c->p.idle = zeroed_lines(s->n_blocks * sizeof *c->p.idle);
    c->p.mail = zeroed_lines(n_workers * sizeof *c->p.mail);
    c->p.made = must_have(calloc(n_made + 1u, sizeof *c->p.made));
    c->p.counts = zeroed_lines(sizeof *c->p.counts);
    c->local = zeroed_lines(n_rings * sizeof *c->local);
    c->local_slots = zeroed_lines((size_t)n_rings * s->local * 4);
#ifdef TGI_FAMILIES
    c->nursery = (struct tgi_resident_nursery){.n_each = s->made, .n_words = MADE_WORDS};
    c->nursery.blocks = must_have(calloc((n_made + 1) * (TGI_SPAWN_HEAD_WORDS + MADE_WORDS), 8));
    c->nursery.live = zeroed_lines(n * 4);
    c->nursery.homes = zeroed_lines(n_workers * sizeof *c->nursery.homes);
#endif
}

static void cpu_run(struct cpu *c)
{
    pthread_t threads[64];
    struct cpu_worker workers[64];
    c->v.epoch++;
    c->p.made_before = c->p.counts->made;
    c->p.finished_before = c->p.counts->finished;
#ifdef TGI_FAMILIES /* as a launch that counts its epoch itself knows it */
    c->p.made_before = 0;
    c->p.finished_before = c->p.n_tasks * (c->v.epoch - 1);
#endif
    memset(c->local, 0, c->n_workers * TGI_RESIDENT_CLASSES * sizeof *c->local);
    for (uint32_t w = 0; w < c->n_workers; w++) {
        workers[w] = (struct cpu_worker){c, w};
        if (pthread_create(&threads[w], NULL, cpu_thread, &workers[w]))
            abort();
    }
    for (uint32_t w = 0; w < c->n_workers; w++)
        pthread_join(threads[w], NULL);
}

/* Nothing is left anywhere, and all was counted. */
static void assert_clean(const struct cpu *c)
{
    uint32_t n_done = 0, n_made = c->p.counts->made - c->p.made_before;
    for (uint32_t w = 0; w < c->n_workers; w++) {
        assert_int_equal(c->p.mail[w].task, 0);
        n_done += c->v.progress[w];
        for (uint32_t k = 0; k < TGI_RESIDENT_CLASSES; k++)
            assert_int_equal(TGI_RING_SIZE(c->p.rings[w * TGI_RESIDENT_CLASSES + k].ends) +
                                 TGI_RING_SIZE(c->local[w * TGI_RESIDENT_CLASSES + k].ends), 0);
    }
    for (uint32_t b = 0; b < c->p.n_blocks; b++)
        assert_int_equal(c->p.idle[b].mask, 0);
#ifdef TGI_FAMILIES /* some are executed more than once */
    for (uint32_t t = 0; t < c->p.n_tasks; t++)
        assert_int_equal(c->nursery.live[t], 0);
#else
    assert_int_equal(n_done, c->p.n_tasks + n_made);
#endif
    assert_int_equal(c->p.counts->finished - c->p.finished_before, c->p.n_tasks + n_made);
}

static void cpu_fini(struct cpu *c)
{
    void *const all[] = {c->v.counters, c->v.results, c->v.lines, c->v.progress, c->v.control, c->p.rings, c->p.slots,
                         c->p.next, c->p.idle, c->p.mail, c->p.made, c->p.counts, c->local, c->local_slots};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
#ifdef TGI_FAMILIES
    free(c->nursery.blocks);
    free(c->nursery.live);
    free(c->nursery.homes);
#endif
}

#endif
