/* The kernel of a service on the stand-in: every warp a thread, the text that of the GPU (gpu/service/).
 *
 * The host's memory is the host's.  All of the device's lies in one piece, which the view names; its addresses in the view
 * are moved to where threads can touch it. */
#include <pthread.h>
#include <stdlib.h>

#include "tests/standin/builtins.h"
#include "tests/standin/internal.h"
#include "gpu/service/controller.h"

/* service_bodies.c makes another of it. */
#ifndef SERVICE_KERNEL
#define SERVICE_KERNEL standin_service
#define SERVICE_NAME   "tgk_service"
#define ENTER(kernel)  ((void)(kernel))
#endif

struct warp {
    struct kernel *kernel;
    uint32_t block, rank;
    pthread_t thread;
};

struct kernel {
    struct tgi_service_view v;
    struct standin_launch launch;
    CUmodule module;
    uint32_t n_blocks, n_warps;
    /* Shared memory, of all blocks. */
    struct tgi_cell *cells;
    uint32_t *counters;
    struct relay {
        _Alignas(128) uint64_t go[TGI_SERVICE_MAX_AHEAD];
    } *relays;
    struct tgi_service_desk desk;
    struct warp *warps;
};

static void *warp_run(void *user)
{
    const struct warp *me = user;
    struct kernel *k = me->kernel;
    const struct tgi_service_view *v = &k->v;
    uint32_t team = v->n_blocks_each ? me->block / v->n_blocks_each : 0;
    ENTER(k);
    if (me->rank < v->n_workers_each) {
        struct tgi_service_worker w = {.team = team, .is_first = me->rank == 0, .relay = k->relays[me->block].go};
        w.rank = (me->block - team * v->n_blocks_each) * v->n_workers_each + me->rank;
        w.cells = k->cells + (size_t)me->block * v->n_ahead * v->n_cells;
        w.counters = k->counters + (size_t)me->block * v->n_ahead * v->n_counters;
        if (team < v->n_teams)
            tgi_service_worker_run(v, &w);
    } else if (me->block == 0)
        tgi_controller_run(v, &k->desk);
    else if (me->block <= v->n_mails)
        tgi_mail_worker_run(v, me->block - 1);
    return NULL;
}

static void kernel_free(struct kernel *k)
{
    free(k->cells);
    free(k->counters);
    free(k->relays);
    free(k->warps);
    free(k);
}

static int kernel_run(void *state)
{
    struct kernel *k = state;
    uint32_t n = k->n_blocks * k->n_warps, n_started = 0;
    for (; n_started < n; n_started++) {
        struct warp *w = &k->warps[n_started];
        *w = (struct warp){k, n_started / k->n_warps, n_started % k->n_warps, 0};
        if (pthread_create(&w->thread, NULL, warp_run, w))
            abort(); /* a part of a cooperative kernel is none */
    }
    for (uint32_t i = 0; i < n; i++)
        pthread_join(k->warps[i].thread, NULL);
    kernel_free(k);
    return 0;
}

static void *zeroed(size_t bytes)
{
    size_t room = (bytes + 256) / 128 * 128;
    void *p = aligned_alloc(128, room);
    if (p)
        memset(p, 0, room);
    return p;
}

/* An address of the device's memory becomes one that threads use. */
#define MOVE(p) ((p) = (p) ? (void *)((uintptr_t)(p) + by) : NULL)

static void move(struct tgi_service_view *v, uintptr_t by)
{
    for (uint32_t i = 0; i < TGI_TURN_MAX_PROGRAMS; i++) {
        struct tgi_resident_view *r = &v->programs[i].view;
        MOVE(r->tasks);
        MOVE(r->first);
        MOVE(r->outs);
        MOVE(r->ins);
        MOVE(r->args);
        MOVE(r->words); /* the addresses in them stay the device's */
        MOVE(r->inputs);
        MOVE(r->counters);
        MOVE(r->cells);
        MOVE(r->results);
        MOVE(r->lines);
        MOVE(r->progress);
        MOVE(r->control);
        MOVE(v->programs[i].inputs);
        MOVE(v->programs[i].outputs);
    }
    MOVE(v->state);
    MOVE(v->entries);
    MOVE(v->teams);
    MOVE(v->seats);
    MOVE(v->mails);
}

static int begin(void **args, const void *launch)
{
    const struct standin_launch *l = launch;
    const struct tgi_service_view *given = args[0];
    struct kernel *k = calloc(1, sizeof *k);
    void *at = standin_at(launch, given->memory, given->memory_bytes, STANDIN_INOUT);
    if (!at || !k) {
        free(k);
        return at ? (int)CUDA_ERROR_OUT_OF_MEMORY : 0; /* a fault has been noted */
    }
    k->v = *given;
    k->launch = *l;
    k->module = ((const struct item *)l->instance)->op.kernel.function->module;
    k->n_blocks = l->grid[0];
    k->n_warps = l->block[0] / 32;
    move(&k->v, (uintptr_t)at - (uintptr_t)given->memory);
    k->cells = zeroed((size_t)k->n_blocks * k->v.n_ahead * k->v.n_cells * sizeof *k->cells);
    k->counters = zeroed((size_t)k->n_blocks * k->v.n_ahead * k->v.n_counters * sizeof *k->counters);
    k->relays = zeroed(k->n_blocks * sizeof *k->relays);
    k->warps = calloc((size_t)k->n_blocks * k->n_warps, sizeof *k->warps);
    if (!k->cells || !k->counters || !k->relays || !k->warps) {
        kernel_free(k);
        return (int)CUDA_ERROR_OUT_OF_MEMORY;
    }
    standin_stay(launch, kernel_run, k);
    return 0;
}

static const struct standin_param params[] = {{sizeof(struct tgi_service_view), STANDIN_VALUE}};
const struct standin_kernel SERVICE_KERNEL = {.name = SERVICE_NAME, .fn = begin, .n_params = 1, .params = params};
