/* The kernel of dynamic programs of bodies (gpu/resident/run_dynamic.cuh), as resident.c has that of static ones: the same text, each worker a
 * thread.  Tasks that functions make come here, to the worker whose thread it is; their words have addresses of the host, since the function has
 * been given such. */
#include "tests/standin/internal.h"

#include <sched.h>

#include "kernels/resident.h"
#include "tests/standin/object.h"
#include "tests/standin/resident.h"

static void wait_a_little(uint32_t worker);
struct tgi_worker;
struct tgi_resident_task;
static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#define TGI_PATIENCE             2u /* a poll may give the processor away for milliseconds */
#define TGI_DELAY(worker)        wait_a_little(worker)
#define TGI_CALL_STAGE(w, word)  ((void)(w), (void)(word))
#define TGI_CALL_BODIES(w, task) call_body(w, task)
#include "gpu/resident/family.h"

/* One launch. */
struct dynamic {
    const struct standin_launch *launch;
    struct tgi_resident_view v; /* addresses of the host, like the next two */
    struct tgi_resident_pool p;
    struct tgi_resident_nursery n;
    struct tgi_ring *rings; /* in shared memory, of all blocks */
    uint32_t *slots;
    uint32_t epoch, n_workers;
    uint64_t seed;
    pthread_mutex_t lock; /* asking about memory */
};
struct worker_thread {
    struct dynamic *d;
    uint32_t id;
    pthread_t thread;
};

static __thread struct dynamic *mine;
static __thread struct tgd_spawner *spawner;
static __thread uint64_t dice;

static void wait_a_little(uint32_t worker)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u + worker;
    for (uint64_t n = dice >> 61; n > 5; n--)
        sched_yield();
}

unsigned resident_spawn(int wants, unsigned body, const unsigned long *words, unsigned n)
{
    const uint64_t *all = (const uint64_t *)words;
    return tgd_spawn(spawner, wants, body, all, n) == TGD_OK ? 0 : 1;
}

static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    const struct tgi_family_runner *f = (const struct tgi_family_runner *)w;
    CUmodule module = ((const struct item *)mine->launch->instance)->op.kernel.function->module;
    uint64_t words[TGI_RESIDENT_MAX_WORDS];
    uint32_t body = TGI_CALL_BODY(t->in[0]), n = TGI_CALL_N_WORDS(t->in[0]);
    uint64_t n_made = (uint64_t)mine->n_workers * mine->n.n_each;
    bool is_made = n_made && f->words >= mine->n.blocks && f->words < tgi_spawn_block(&mine->n, (uint32_t)n_made);
    char own[32];
    double us = 0;
    int rc;
    snprintf(own, sizeof own, STANDIN_BODY "%u", body);
    memcpy(words, f->words, n * sizeof *words);
    if (body == TGI_BODY_spin) { /* it looks at the abort word, as on a GPU */
        memcpy(&us, words, sizeof us);
        words[0] = 0;
    }
    if (body < TGI_N_BODIES)
        rc = call_registered(tgi_body_symbol((enum tgi_body)body), mine->launch, words, n, &mine->lock);
    else if (is_made)
        rc = call_as_is(module, own, mine->launch, words, n, &mine->lock);
    else
        rc = call_of_module(module, own, mine->launch, words, n, &mine->lock);
    if (us > 0)
        tgi_body_burn(w, t, (uint64_t)(us * 1e3));
    return rc == -1 ? TGI_CALL_NO_BODY : (uint32_t)rc;
}

static void *work(void *arg)
{
    const struct worker_thread *me = arg;
    struct dynamic *d = mine = me->d;
    uint32_t each = d->v.n_workers_each, block = me->id / each, n_rings = each * TGI_RESIDENT_CLASSES;
    struct tgd_spawner own;
    struct tgi_worker w = {.v = &d->v, .id = me->id, .epoch = d->epoch, .shared_epoch = 1};
    struct tgi_runner r = {.w = w, .p = &d->p, .block = block, .rank = me->id % each};
    r.w.is_failed = tgi_load_relaxed(&d->v.control->is_failed) != 0;
    r.local = d->rings + (size_t)block * n_rings;
    r.local_slots = d->slots + (size_t)block * n_rings * d->p.local_capacity;
    struct tgi_family_runner f = {.r = r, .spawner = &own};
    spawner = &own;
    dice = d->seed + me->id;
    tgi_spawner_init(&own, &d->n, me->id);
    tgi_family_run(&f);
    return NULL;
}

/* ---- Tables -------------------------------------------------------------------------------*/

static bool find(const struct standin_launch *l, const void *field, size_t n, enum standin_param_kind kind)
{
    const void *given = *(const void *const *)field;
    void *at = n ? standin_at(l, (CUdeviceptr)(uintptr_t)given, n, kind) : NULL;
    memcpy((void *)(uintptr_t)field, &at, sizeof at);
    return at || !n;
}

/* How long the lists are that descriptors name. */
static void look_at_tasks(const struct dynamic *d, size_t *n_outs, size_t *n_words)
{
    for (uint32_t i = 0; i < d->p.n_tasks; i++) {
        const struct tgi_resident_task *t = &d->v.tasks[i];
        size_t outs = TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST ? (size_t)t->out[0] + t->out[1] : 0;
        size_t words = TGI_HEAD_OP(t->head) == TGI_RESIDENT_CALL ? (size_t)t->in[1] + TGI_CALL_N_WORDS(t->in[0]) : 0;
        *n_outs = outs > *n_outs ? outs : *n_outs;
        *n_words = words > *n_words ? words : *n_words;
    }
}

static bool find_tables(struct dynamic *d)
{
    const struct standin_launch *l = d->launch;
    struct tgi_resident_view *v = &d->v;
    struct tgi_resident_pool *p = &d->p;
    struct tgi_resident_nursery *n = &d->n;
    size_t n_rings = (size_t)d->n_workers * TGI_RESIDENT_CLASSES, n_made = (size_t)d->n_workers * n->n_each, n_outs = 0, n_words = 0;
    if (!find(l, &v->tasks, p->n_tasks * sizeof *v->tasks, STANDIN_IN))
        return false;
    look_at_tasks(d, &n_outs, &n_words);
    return find(l, &v->outs, n_outs * sizeof *v->outs, STANDIN_IN) && find(l, &v->words, n_words * sizeof *v->words, STANDIN_IN) &&
           find(l, &v->counters, p->n_tasks * sizeof *v->counters, STANDIN_INOUT) &&
           find(l, &v->progress, d->n_workers * sizeof *v->progress, STANDIN_INOUT) &&
           find(l, &v->control, sizeof *v->control, STANDIN_INOUT) && find(l, &p->roots, p->n_roots * sizeof *p->roots, STANDIN_IN) &&
           find(l, &p->rings, n_rings * sizeof *p->rings, STANDIN_INOUT) &&
           find(l, &p->slots, n_rings * p->ring_capacity * sizeof *p->slots, STANDIN_INOUT) &&
           find(l, &p->next, (p->n_tasks + n_made) * sizeof *p->next, STANDIN_INOUT) &&
           find(l, &p->idle, p->n_blocks * sizeof *p->idle, STANDIN_INOUT) &&
           find(l, &p->mail, d->n_workers * sizeof *p->mail, STANDIN_INOUT) && find(l, &p->counts, sizeof *p->counts, STANDIN_INOUT) &&
           find(l, &n->live, p->n_tasks * sizeof *n->live, STANDIN_INOUT) &&
           find(l, &n->homes, d->n_workers * sizeof *n->homes, STANDIN_INOUT) &&
           find(l, &n->blocks, n_made * (TGI_SPAWN_HEAD_WORDS + n->n_words) * sizeof *n->blocks, STANDIN_INOUT);
}

/* ---- A launch -----------------------------------------------------------------------------*/

static void run_workers(struct dynamic *d)
{
    struct worker_thread *all = calloc(d->n_workers, sizeof *all);
    for (uint32_t w = 0; all && w < d->n_workers; w++) {
        all[w] = (struct worker_thread){d, w, 0};
        if (pthread_create(&all[w].thread, NULL, work, &all[w])) {
            fprintf(stderr, "stand-in driver: no thread for a resident worker\n");
            abort();
        }
    }
    for (uint32_t w = 0; all && w < d->n_workers; w++)
        pthread_join(all[w].thread, NULL);
    free(all);
}

static int run(void **args, const void *launch)
{
    struct dynamic d = {.launch = launch, .seed = draw(UINT64_MAX), .lock = PTHREAD_MUTEX_INITIALIZER};
    memcpy(&d.v, args[0], sizeof d.v);
    memcpy(&d.p, args[1], sizeof d.p);
    memcpy(&d.n, args[2], sizeof d.n);
    d.n_workers = d.p.n_blocks * d.v.n_workers_each;
    if (!((const struct item *)d.launch->instance)->op.kernel.is_cooperative)
        violation("tgk_resident_run_dynamic is not launched so that all of its blocks are there at once");
    if (d.launch->grid[0] != d.p.n_blocks || d.launch->block[0] != 32 * d.v.n_workers_each ||
        d.launch->shared_bytes < tgi_resident_local_bytes(d.v.n_workers_each, d.p.local_capacity))
        violation("tgk_resident_run_dynamic is launched with too few threads or too little shared memory");
    if (!find_tables(&d))
        return 0; /* a fault, which is noted */
    size_t n_rings = (size_t)d.n_workers * TGI_RESIDENT_CLASSES;
    d.rings = calloc(n_rings, sizeof *d.rings);
    d.slots = calloc(n_rings * d.p.local_capacity, sizeof *d.slots);
    if (!d.rings || !d.slots)
        abort();
    d.epoch = d.v.control->epoch + 1;
    d.p.finished_before = d.p.n_tasks * (d.epoch - 1);
    run_workers(&d);
    d.v.control->epoch = d.epoch;
    free(d.rings);
    free(d.slots);
    return 0;
}

void resident_dynamic_register(void)
{
    static const struct standin_param params[] = {{sizeof(struct tgi_resident_view), STANDIN_VALUE},
                                                  {sizeof(struct tgi_resident_pool), STANDIN_VALUE},
                                                  {sizeof(struct tgi_resident_nursery), STANDIN_VALUE}};
    static const struct standin_kernel kernel = {"tgk_resident_run_dynamic", run, 3, params, NULL, NULL};
    if (standin_register_kernel(&kernel)) {
        fprintf(stderr, "stand-in driver: cannot register kernel %s\n", kernel.name);
        abort();
    }
}
