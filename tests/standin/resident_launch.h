/* A launch of the resident executor's kernels (gpu/resident/run.cuh, run_spread.cuh): the same text, each worker a thread, bodies by the
 * functions that are registered for the kernels that they are variants of.  Who includes this defines TGI_PEERS if there are others on other
 * devices.
 *
 * The tables are found and checked through the view that the launch is given, as a GPU would find them.  The thread that
 * executes the launch holds the driver's lock meanwhile, so workers have a lock of their own for asking where memory is.
 * Workers give their processor away now and then before they tell others that a task is done. */
#ifndef STANDIN_RESIDENT_LAUNCH_H
#define STANDIN_RESIDENT_LAUNCH_H

#include "tests/standin/internal.h"

#include <sched.h>

#include "kernels/resident.h"
#include "kernels/resident/cut.h"
#include "mem/resident_peers.h"
#include "tests/standin/object.h"
#include "tests/standin/resident.h"

static void wait_a_little(uint32_t worker);
struct tgi_worker;
struct tgi_resident_task;
static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t);
#ifndef TGI_PEERS
#define TGI_HAS_BLOCKS
static uint32_t call_part(struct tgi_worker *w, const struct tgi_resident_task *t);
#define TGI_BLOCK_BODIES(w, task) call_part(w, task)
#endif
#define TGI_TIMES(view)                ((view)->times != NULL)
#define TGI_PATIENCE                   2u /* a poll may give the processor away for milliseconds */
#define TGI_DELAY(worker)              wait_a_little(worker)
#define TGI_CALL_STAGE(w, word) ((void)(w), (void)(word))
#define TGI_CALL_BODIES(w, task) call_body(w, task)
#define TGI_HAS_POSTS
static void *memory_at(uint64_t address, size_t bytes, enum standin_param_kind kind);
#define TGI_POST_MEMORY(w, address, bytes) memory_at(address, bytes, STANDIN_IN)
#define TGI_POST_PLACE(w, address, bytes)  memory_at(address, bytes, STANDIN_OUT)
#include "gpu/resident/worker.h"

/* One launch. */
struct resident {
    const struct standin_launch *launch;
#ifdef TGI_PEERS
    struct tgi_resident_peers peers; /* addresses of the host */
#endif
    struct tgi_resident_view v; /* addresses of the host */
    uint32_t n_workers, n_tasks, epoch;
    uint32_t first_worker, n_here; /* workers of its device */
    struct worker_thread *threads;
    struct tgi_cell *shared_cells; /* of all blocks */
    uint32_t *shared_counters;
#ifdef TGI_HAS_BLOCKS
    struct tgi_block *blocks;
#endif
    uint64_t seed;
};
struct worker_thread {
    struct resident *r;
    uint32_t id;
    pthread_t thread;
};

static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER; /* workers, about memory */
static __thread struct resident *mine;
static __thread uint64_t dice;

static void wait_a_little(uint32_t worker)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u + worker;
    for (uint64_t n = dice >> 61; n > 5; n--)
        sched_yield();
}

/* A spinning body looks at the abort word, as on a GPU. */
static uint32_t call_words(struct tgi_worker *w, const struct tgi_resident_task *t, uint64_t *words)
{
    uint32_t body = TGI_CALL_BODY(t->in[0]), n = TGI_CALL_N_WORDS(t->in[0]);
    const char *name = body < TGI_N_BODIES ? tgi_body_symbol((enum tgi_body)body) : NULL;
    double us = 0;
    if (body == TGI_BODY_spin) {
        memcpy(&us, words, sizeof us);
        words[0] = 0;
    }
    int rc = -1;
    if (name)
        rc = call_registered(name, mine->launch, words, n, &asking);
    else {
        char own[32];
        CUmodule module = ((const struct item *)mine->launch->instance)->op.kernel.function->module;
        snprintf(own, sizeof own, STANDIN_BODY "%u", body);
        rc = call_of_module(module, own, mine->launch, words, n, &asking);
    }
    if (us > 0)
        tgi_body_burn(w, t, (uint64_t)(us * 1e3));
    return (uint32_t)rc; /* -1: it is not there */
}

/* One of the batch after the other, all of them, as on a GPU. */
static uint32_t call_batch(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    const uint64_t *all = w->v->words + t->in[1];
    uint32_t n = (uint32_t)all[0], n_words = TGI_CALL_N_WORDS(t->in[0]), code = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t words[TGI_RESIDENT_MAX_WORDS];
        for (uint32_t k = 0; k < n_words; k++)
            words[k] = all[1 + k * n + i];
        uint32_t own = call_words(w, t, words);
        if (own && !code) {
            code = own;
            w->failed = i;
        }
    }
    return code;
}

static uint32_t call_body(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    uint64_t words[TGI_RESIDENT_MAX_WORDS];
    if (TGI_CALL_IS_BATCH(t->in[0]))
        return call_batch(w, t);
    memcpy(words, w->v->words + t->in[1], TGI_CALL_N_WORDS(t->in[0]) * sizeof *words);
    return call_words(w, t, words);
}

#ifdef TGI_HAS_BLOCKS
/* A body that can be cut has its part here, one of users' is the lead's, as a function for one thread. */
static uint32_t call_part(struct tgi_worker *w, const struct tgi_resident_task *t)
{
    uint32_t cut = tgi_cut_of(TGI_CALL_BODY(t->in[0])), n_words = TGI_CALL_N_WORDS(t->in[0]), n_each = w->v->n_workers_each;
    const uint64_t *all = w->v->words + t->in[1];
    uint64_t words[TGI_RESIDENT_MAX_WORDS];
    int64_t begin;
    if (!cut)
        return t->head & TGI_HEAD_MEMBER ? 0 : call_body(w, t);
    int64_t n = tgi_cut_part((int64_t)all[tgi_cut_count(cut)], cut, w->id % n_each, n_each, &begin);
    for (uint32_t i = 0; i < n_words; i++)
        words[i] = tgi_cut_word(cut, all, i, begin, n);
    return n ? call_words(w, t, words) : 0;
}
#endif

/* Where a POST reads or stores; where there is nothing the fault is noted. */
static void *memory_at(uint64_t address, size_t bytes, enum standin_param_kind kind)
{
    static __thread uint64_t nothing[3];
    pthread_mutex_lock(&asking);
    void *at = standin_at(mine->launch, address, bytes, kind);
    pthread_mutex_unlock(&asking);
    memset(nothing, 0, sizeof nothing);
    return at ? at : nothing;
}

static void *work(void *arg)
{
    const struct worker_thread *me = arg;
    struct resident *r = mine = me->r;
    uint32_t block = (me->id - r->first_worker) / r->v.n_workers_each;
    struct tgi_worker w = {.v = &r->v, .id = me->id, .epoch = r->epoch, .shared_epoch = 1};
#ifdef TGI_PEERS
    w.peers = &r->peers;
#endif
    w.shared_cells = r->shared_cells + (size_t)block * r->v.n_shared_cells;
    w.shared_counters = r->shared_counters + (size_t)block * r->v.n_shared_counters;
#ifdef TGI_HAS_BLOCKS
    w.block = &r->blocks[block];
#endif
    w.is_failed = TGI_LOAD_TOLD(&r->v.control->is_failed) != 0;
    dice = r->seed + me->id;
    tgi_warp_worker_run(&w, NULL);
#ifdef TGI_PEERS
    tgi_far_leave(&w);
#endif
    return NULL;
}

/* ---- Tables -------------------------------------------------------------------------------*/

/* How long the tables are that its descriptors name. */
struct sizes {
    size_t outs, ins, words, counters, cells, far_counters, far_cells;
    bool has_posts;
};

static void raise_to(size_t *n, uint64_t least) { *n = *n > least ? *n : least; }

static void look_at_word(struct sizes *s, uint32_t word)
{
    uint32_t kind = TGI_OUT_KIND(word);
    if (kind == TGI_OUT_CELL)
        raise_to(&s->cells, TGI_OUT_INDEX(word) + UINT64_C(1));
    else if (kind == TGI_OUT_COUNTER || kind == TGI_OUT_LONE_COUNTER)
        raise_to(&s->counters, TGI_OUT_INDEX(word) + UINT64_C(1));
    else if (kind == TGI_OUT_FAR_COUNTER)
        raise_to(&s->far_counters, TGI_FAR_INDEX(word) + UINT64_C(1));
    else if (kind == TGI_OUT_FAR_CELL)
        raise_to(&s->far_cells, TGI_FAR_INDEX(word) + UINT64_C(1));
}

static void look_at_task(struct sizes *s, const struct tgi_resident_task *t)
{
    if (TGI_HEAD_N_OUT(t->head) == TGI_HEAD_LIST)
        raise_to(&s->outs, (uint64_t)t->out[0] + t->out[1]);
    else
        for (uint32_t k = 0; k < TGI_HEAD_N_OUT(t->head); k++)
            look_at_word(s, t->out[k]);
    bool is_far = (t->head & TGI_HEAD_WAITS_FAR) != 0;
    if (TGI_HEAD_WAIT(t->head) == TGI_WAIT_COUNTER)
        raise_to(is_far ? &s->far_counters : &s->counters, t->wait + UINT64_C(1));
    if (TGI_HEAD_WAIT(t->head) == TGI_WAIT_CELLS)
        raise_to(is_far ? &s->far_cells : &s->cells, (uint64_t)t->wait + t->n_wait);
    s->has_posts |= TGI_HEAD_OP(t->head) == TGI_RESIDENT_POST;
    if (TGI_RESIDENT_HAS_WORDS(TGI_HEAD_OP(t->head)))
        raise_to(&s->words, (uint64_t)t->in[1] + (TGI_CALL_IS_BATCH(t->in[0]) ? 1 : 0) + TGI_CALL_N_WORDS(t->in[0]));
    else if (TGI_HEAD_N_IN(t->head) == TGI_HEAD_LIST)
        raise_to(&s->ins, (uint64_t)t->in[0] + t->in[1]);
}

static bool find(const struct standin_launch *l, const void *field, size_t n, enum standin_param_kind kind, void *p)
{
    const void *given = *(const void *const *)field;
    void *at = n ? standin_at(l, (CUdeviceptr)(uintptr_t)given, n, kind) : NULL;
    memcpy(p, &at, sizeof at);
    return at || !n;
}

#ifdef TGI_PEERS
/* What the device reaches of all: bodies leave no results and no lines. */
static bool find_peers(struct resident *r, const struct sizes *s)
{
    for (uint32_t i = 0; i < r->peers.n_devices; i++) {
        struct tgi_resident_peer *to = &r->peers.of[i], given = *to;
        if (!find(r->launch, &given.far_counters, s->far_counters * sizeof *to->far_counters, STANDIN_INOUT, &to->far_counters) ||
            !find(r->launch, &given.far_cells, s->far_cells * sizeof *to->far_cells, STANDIN_INOUT, &to->far_cells) ||
            !find(r->launch, &given.control, sizeof *to->control, STANDIN_INOUT, &to->control))
            return false;
        to->results = to->lines = NULL;
    }
    return true;
}
#else
static bool find_peers(struct resident *r, const struct sizes *s)
{
    (void)r, (void)s;
    return true;
}
#endif

static bool find_tables(struct resident *r, const struct tgi_resident_view *given)
{
    struct tgi_resident_view *v = &r->v;
    struct sizes s = {0};
    const struct standin_launch *l = r->launch;
    *v = *given;
    if (!find(l, &given->first, (r->n_workers + 1) * sizeof *v->first, STANDIN_IN, &v->first))
        return false;
    r->n_tasks = v->first[r->n_workers];
    if (!find(l, &given->tasks, r->n_tasks * sizeof *v->tasks, STANDIN_IN, &v->tasks))
        return false;
    for (uint32_t i = 0; i < r->n_tasks; i++)
        look_at_task(&s, &v->tasks[i]);
    if (!find(l, &given->outs, s.outs * sizeof *v->outs, STANDIN_IN, &v->outs))
        return false;
    for (size_t i = 0; i < s.outs; i++)
        look_at_word(&s, v->outs[i]);
    return find(l, &given->ins, s.ins * sizeof *v->ins, STANDIN_IN, &v->ins) &&
           find(l, &given->words, s.words * sizeof *v->words, STANDIN_IN, &v->words) &&
           find(l, &given->counters, s.counters * sizeof *v->counters, STANDIN_INOUT, &v->counters) &&
           find(l, &given->cells, s.cells * sizeof *v->cells, STANDIN_INOUT, &v->cells) &&
           find(l, &given->posted, s.has_posts ? r->n_tasks * sizeof *v->posted : 0, STANDIN_INOUT, &v->posted) &&
           find(l, &given->results, r->n_tasks * sizeof *v->results, STANDIN_INOUT, &v->results) &&
           (!given->times || find(l, &given->times, 2 * r->n_tasks * sizeof *v->times, STANDIN_INOUT, &v->times)) &&
           find(l, &given->progress, r->n_workers * sizeof *v->progress, STANDIN_INOUT, &v->progress) &&
           find(l, &given->control, sizeof *v->control, STANDIN_INOUT, &v->control) && find_peers(r, &s);
}

/* ---- A launch -----------------------------------------------------------------------------*/

static void begin_workers(struct resident *r)
{
    uint32_t n = 0;
    r->threads = calloc(r->n_here + 1u, sizeof *r->threads);
    for (uint32_t w = r->first_worker; r->threads && w < r->first_worker + r->n_here; w++) {
        if (r->v.first[w] == r->v.first[w + 1])
            continue; /* it would only leave */
        r->threads[n] = (struct worker_thread){r, w, 0};
        if (pthread_create(&r->threads[n].thread, NULL, work, &r->threads[n])) {
            fprintf(stderr, "stand-in driver: no thread for a resident worker\n");
            abort();
        }
        n++;
    }
}

static void end_workers(struct resident *r)
{
    for (uint32_t i = 0; r->threads && r->threads[i].r; i++)
        pthread_join(r->threads[i].thread, NULL);
    free(r->threads);
    free(r->shared_cells);
    free(r->shared_counters);
#ifdef TGI_HAS_BLOCKS
    free(r->blocks);
#endif
    if (!r->v.epoch)
        r->v.control->epoch = r->epoch;
}

/* False: a fault, which is noted. */
static bool prepare(struct resident *r, const char *name, const struct tgi_resident_view *given)
{
    uint32_t n_blocks = r->launch->grid[0];
    r->n_here = n_blocks * given->n_workers_each;
    r->n_workers = r->n_here;
#ifdef TGI_PEERS
    r->n_workers *= r->peers.n_devices;
    r->first_worker = r->peers.first_worker;
#endif
    r->seed = draw(UINT64_MAX);
    if (!((const struct item *)r->launch->instance)->op.kernel.is_cooperative)
        violation("%s is not launched so that all of its blocks are there at once", name);
    if (r->launch->block[0] != 32 * given->n_workers_each ||
        r->launch->shared_bytes < tgi_resident_shared_bytes(given->n_workers_each, given->n_shared_cells, given->n_shared_counters))
        violation("%s is launched with too few threads or too little shared memory", name);
    if (!find_tables(r, given))
        return false;
    size_t n_cells = (size_t)n_blocks * given->n_shared_cells, n_counters = (size_t)n_blocks * given->n_shared_counters;
    r->shared_cells = aligned_alloc(sizeof *r->shared_cells, (n_cells + 1) * sizeof *r->shared_cells);
    r->shared_counters = calloc(n_counters + 1, sizeof *r->shared_counters);
    bool has_room = r->shared_cells && r->shared_counters;
#ifdef TGI_HAS_BLOCKS
    has_room &= (r->blocks = calloc(n_blocks + 1u, sizeof *r->blocks)) != NULL;
#endif
    if (!has_room)
        abort();
    memset(r->shared_cells, 0, (n_cells + 1) * sizeof *r->shared_cells);
    r->epoch = given->epoch ? given->epoch : r->v.control->epoch + 1;
    return true;
}

#endif
