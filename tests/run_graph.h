/* What the tests of runs share: graphs by hand and at random, runtimes and runs, kernels, callbacks. */
#ifndef TESTS_RUN_GRAPH_H
#define TESTS_RUN_GRAPH_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "graph/model.h"
#include "sched/record.h"
#include "sched/runtime.h"
#include "tests/random_graph.h"

static struct tg_error err;

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline struct tg_runtime *runtime_of(uint32_t n_workers)
{
    struct tg_runtime_options options = TG_RUNTIME_OPTIONS_INIT;
    struct tg_runtime *rt;
    options.n_workers = n_workers;
    options.is_unbound = true;
    MUST(tg_runtime_create(&options, &rt, &err));
    return rt;
}

static inline struct tg_graph *graph_new(void)
{
    struct tg_graph *g;
    MUST(tg_graph_create("g", &g, &err));
    return g;
}

static inline tg_buffer_id add_buffer(struct tg_graph *g, const char *name, int64_t elems, int64_t tiles,
                               enum tg_init init)
{
    struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id;
    b.name = name;
    b.dtype = TG_U64;
    b.n_dims = 1;
    b.shape[0] = elems;
    b.n_tile_dims = 1;
    b.tiles[0] = tiles;
    b.init = init;
    MUST(tg_graph_add_buffer(g, &b, &id, &err));
    return id;
}

/* A kernel of a scalar "x" and, unless access is TG_SCALAR, a tile "t". */
static inline tg_kernel_id add_kernel(struct tg_graph *g, const char *name, tg_cpu_fn fn, enum tg_access access)
{
    struct tg_param params[] = {{"x", TG_I64, TG_SCALAR, TG_SUM}, {"t", TG_U64, access, TG_SUM}};
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    k.name = name;
    k.n_params = access == TG_SCALAR ? 1 : 2;
    k.params = params;
    k.cpu = fn;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    return id;
}

static inline tg_task_id add_task(struct tg_graph *g, tg_kernel_id kernel, int64_t x, int64_t buffer, uint32_t tile)
{
    struct tg_arg args[] = {tg_arg_int(x), tg_arg_tile((tg_buffer_id)buffer, tile)};
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    tg_task_id id;
    t.kernel = kernel;
    t.n_args = buffer < 0 ? 1 : 2;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, &id, &err));
    return id;
}

static inline struct tg_run *run_new(struct tg_runtime *rt, struct tg_graph *g, const struct tg_run_options *options)
{
    struct tg_run *run;
    MUST(tg_graph_freeze(g, &err));
    MUST(tg_run_create(rt, g, options, &run, &err));
    return run;
}

static inline int add_to(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    **(uint64_t **)args[1] += *(uint64_t *)args[0];
    return 0;
}

static inline int times_3_plus(void **args, const struct tg_context *ctx)
{
    (void)ctx;
    uint64_t *t = *(uint64_t **)args[1];
    *t = *t * 3 + *(uint64_t *)args[0];
    return 0;
}

static inline int nothing(void **args, const struct tg_context *ctx)
{
    (void)args;
    (void)ctx;
    return 0;
}

struct bell {
    _Atomic uint32_t n_calls;
    _Atomic int status;
};

static inline void ring(void *user, struct tg_run *run, int status)
{
    struct bell *bell = user;
    (void)run;
    atomic_store(&bell->status, status);
    atomic_fetch_add(&bell->n_calls, 1);
}

static inline struct random_shape draw_shape(struct dice *d)
{
    struct random_shape shape = {.n_buffers = 1 + roll(d, 4),
                                 .n_tiles = 1 + roll(d, 4),
                                 .n_tasks = 1 + roll(d, roll(d, 10) ? 20 : 80),
                                 .has_bodies = roll(d, 4) == 0,
                                 .has_collectives = roll(d, 2),
                                 .has_barriers = roll(d, 3) == 0,
                                 .has_overlaps = roll(d, 4) == 0,
                                 .percent_rows = roll(d, 3) * 30,
                                 .percent_after = roll(d, 3) * 10,
                                 .percent_priority = roll(d, 4) == 0 ? 50 : 0};
    shape.is_crowded = roll(d, 4) == 0;
    return shape;
}

#endif
