/* Random graphs whose result shows the order they were executed in.
 *
 * Every kernel task mixes its number with all it reads and writes the mix to all it writes, so one
 * dependency that is missing changes the outcome.  Commute and reduce accesses add, and the sum is
 * the same in every order.  What a test draws depends on the seed alone. */
#ifndef TEST_RANDOM_GRAPH_H
#define TEST_RANDOM_GRAPH_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/tgraph.h"

static inline uint64_t mix64(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

struct dice {
    uint64_t state;
};
static inline uint32_t roll(struct dice *d, uint32_t n) /* 0 .. n-1 */
{
    d->state += 0x9e3779b97f4a7c15u;
    return (uint32_t)((mix64(d->state) >> 32) * (uint64_t)n >> 32);
}

/* TGRAPH_TEST_SEED, or `otherwise`; printed so that a failure can be repeated. */
static inline uint64_t test_seed(uint64_t otherwise)
{
    const char *text = getenv("TGRAPH_TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : otherwise;
    printf("TGRAPH_TEST_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

/* How many rounds a test makes: fewer where sanitizers slow it down. */
#if defined(__SANITIZE_THREAD__)
#define ROUNDS(n) ((n) / 20 + 1)
#define IS_SLOW   1
#elif defined(__SANITIZE_ADDRESS__)
#define ROUNDS(n) ((n) / 10 + 1)
#define IS_SLOW   1
#else
#define ROUNDS(n) (n)
#define IS_SLOW   0
#endif

enum { TILE_ROWS = 4, TILE_COLUMNS = 2, TILE_ELEMS = TILE_ROWS * TILE_COLUMNS, MAX_TILE_ARGS = 4 };

/* Parameters: id, code (per tile 8 bits: access + 16 * op), lengths (8 bits per tile), tiles. */
static int hash_kernel(void **args, const struct tg_context *ctx)
{
    uint64_t id = *(uint64_t *)args[0], codes = *(uint64_t *)args[1], lengths = *(uint64_t *)args[2],
             h = mix64(id);
    (void)ctx;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t code = codes, length = lengths;
        for (int p = 0; code; p++, code >>= 8, length >>= 8) {
            uint64_t *tile = *(uint64_t **)args[3 + p], n = length & 0xff;
            enum tg_access access = (enum tg_access)(code & 15);
            enum tg_op op = (enum tg_op)(code >> 4 & 15);
            bool reads = access == TG_IN || access == TG_INOUT,
                 writes = access == TG_OUT || access == TG_INOUT;
            for (uint64_t i = 0; i < n; i++) {
                if (pass == 0 && reads)
                    h = mix64(h ^ tile[i]);
                else if (pass == 1 && writes)
                    tile[i] = mix64(h + 131 * (uint64_t)p + i);
                else if (pass == 1 && access != TG_IN) {
                    uint64_t v = mix64(h + 131 * (uint64_t)p + i);
                    if (access == TG_REDUCE && op == TG_MAX)
                        tile[i] = tile[i] > v ? tile[i] : v;
                    else if (access == TG_REDUCE && op == TG_MIN)
                        tile[i] = tile[i] < v ? tile[i] : v;
                    else
                        tile[i] += v;
                }
            }
        }
    }
    return 0;
}

static int count_down_kernel(void **args, const struct tg_context *ctx)
{
    uint64_t *tile = *(uint64_t **)args[0];
    (void)ctx;
    *tile -= *tile != 0;
    return 0;
}

struct random_shape {
    uint32_t n_buffers, n_tiles; /* of u64 tiles of 4 rows */
    uint32_t n_tasks;
    bool has_bodies, has_collectives, has_barriers, has_overlaps; /* one task may name rows twice */
    bool is_crowded; /* long runs of readers and of commuting tasks, for whom gates are made */
    uint32_t percent_rows, percent_after, percent_backward, percent_priority;
};

struct random_graph {
    struct tg_graph *graph;
    struct dice dice;
    struct random_shape shape;
    uint64_t next_id;
    tg_kernel_id kernels[256];
    uint32_t codes_of[256], n_kernels;
    tg_kernel_id count_down;
    tg_buffer_id conditions;
    uint32_t n_conditions;
    struct tg_error err;
};

#define MUST(call)                                                                                \
    do {                                                                                          \
        int rc_must_ = (call);                                                                    \
        if (rc_must_) {                                                                           \
            fprintf(stderr, "%s:%d: %s: %d %s\n", __FILE__, __LINE__, #call, rc_must_, err.text); \
            abort();                                                                              \
        }                                                                                         \
    } while (0)

/* The kernel for a list of accesses, made on first use. */
static tg_kernel_id random_graph_kernel(struct random_graph *r, uint32_t codes, uint32_t n)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct tg_error err;
    for (uint32_t i = 0; i < r->n_kernels; i++)
        if (r->codes_of[i] == codes)
            return r->kernels[i];
    struct tg_param params[3 + MAX_TILE_ARGS] = {{"id", TG_U64, TG_SCALAR, TG_SUM},
                                                 {"codes", TG_U64, TG_SCALAR, TG_SUM},
                                                 {"lengths", TG_U64, TG_SCALAR, TG_SUM}};
    for (uint32_t i = 0; i < n; i++)
        params[3 + i] = (struct tg_param){names[i], TG_U64, (enum tg_access)(codes >> 8 * i & 15),
                                          (enum tg_op)(codes >> (8 * i + 4) & 15)};
    char name[16];
    snprintf(name, sizeof name, "k%08x", codes);
    struct tg_kernel_spec spec = TG_KERNEL_SPEC_INIT;
    spec.name = name;
    spec.n_params = 3 + n;
    spec.params = params;
    spec.cpu = hash_kernel;
    tg_kernel_id id;
    MUST(tg_graph_add_kernel(r->graph, &spec, &id, &err));
    if (r->n_kernels < 256) {
        r->codes_of[r->n_kernels] = codes;
        r->kernels[r->n_kernels++] = id;
    }
    return id;
}

static tg_task_id random_graph_add_kernel_task(struct random_graph *r, struct tg_graph *g,
                                               struct tg_task_spec *spec)
{
    static const uint32_t accesses[] = {TG_IN,    TG_IN,      TG_OUT,    TG_INOUT,
                                        TG_INOUT, TG_COMMUTE, TG_REDUCE, TG_REDUCE};
    static const uint32_t ops[] = {TG_SUM, TG_SUM, TG_SUM, TG_MAX, TG_MIN};
    struct tg_arg args[3 + MAX_TILE_ARGS];
    struct tg_error err;
    uint32_t n = roll(&r->dice, MAX_TILE_ARGS - 1) + (roll(&r->dice, 10) != 0), codes = 0,
             used[MAX_TILE_ARGS], kept = 0;
    uint64_t lengths = 0;
    if (n == 0)
        n = 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t buffer = roll(&r->dice, r->shape.n_buffers), tile = roll(&r->dice, r->shape.n_tiles),
                 elems = TILE_ELEMS;
        uint32_t access = accesses[roll(&r->dice, 8)],
                 op = access == TG_REDUCE ? ops[roll(&r->dice, 5)] : TG_SUM;
        bool is_all = roll(&r->dice, 20) == 0, is_taken = false;
        if (r->shape.is_crowded && i == 0) {
            buffer = tile = 0;
            is_all = false;
            access = r->next_id / 6 % 2 ? TG_COMMUTE : TG_IN;
            op = TG_SUM;
        }
        for (uint32_t k = 0; k < kept; k++)
            is_taken = is_taken || used[k] / 64 == buffer;
        if (is_taken && !r->shape.has_overlaps)
            continue;
        used[kept] = buffer * 64 + tile;
        struct tg_arg arg = tg_arg_tile(buffer, tile);
        if (is_all) {
            arg = tg_arg_all(buffer);
            elems = TILE_ELEMS * r->shape.n_tiles;
        } else if (roll(&r->dice, 100) < r->shape.percent_rows) {
            uint32_t begin = roll(&r->dice, TILE_ROWS), end = begin + 1 + roll(&r->dice, TILE_ROWS - begin);
            arg = tg_arg_rows(buffer, tile, begin, end);
            elems = (end - begin) * TILE_COLUMNS;
        }
        args[3 + kept] = arg;
        codes |= (access | op << 4) << 8 * kept;
        lengths |= (uint64_t)elems << 8 * kept;
        kept++;
    }
    args[0] = tg_arg_int((int64_t)(r->next_id++));
    args[1] = tg_arg_int(codes);
    args[2] = tg_arg_int((int64_t)lengths);
    spec->kind = TG_TASK_KERNEL;
    spec->kernel = random_graph_kernel(r, codes, kept);
    spec->n_args = 3 + kept;
    spec->args = args;
    tg_task_id id;
    MUST(tg_graph_add_task(g, spec, &id, &err));
    return id;
}

static void random_graph_add_tasks(struct random_graph *r, struct tg_graph *g, uint32_t n_tasks, int depth);

static tg_task_id random_graph_add_control(struct random_graph *r, struct tg_graph *g,
                                           struct tg_task_spec *spec, int depth)
{
    struct tg_error err;
    struct tg_arg condition = tg_arg_tile(r->conditions, roll(&r->dice, r->n_conditions));
    struct tg_arg fill[2] = {condition, tg_arg_int(roll(&r->dice, 4))};
    struct tg_task_spec set = TG_TASK_SPEC_INIT, down = TG_TASK_SPEC_INIT;
    uint32_t what = roll(&r->dice, 3);
    if (what) {
        set.kind = TG_TASK_FILL;
        set.n_args = 2;
        set.args = fill;
        MUST(tg_graph_add_task(g, &set, NULL, &err));
    }
    MUST(tg_graph_create_body(g, &spec->body, &err));
    random_graph_add_tasks(r, spec->body, 1 + roll(&r->dice, 6), depth + 1);
    spec->count = what == 0 ? roll(&r->dice, 4) : 100;
    spec->kind = what == 0 ? TG_TASK_REPEAT : what == 1 ? TG_TASK_WHILE : TG_TASK_IF;
    if (what) {
        spec->n_args = 1;
        spec->args = &condition;
    }
    if (what == 1) { /* with a body of a while that uses the same condition, this one still ends */
        down.kernel = r->count_down;
        down.n_args = 1;
        down.args = &condition;
        MUST(tg_graph_add_task(spec->body, &down, NULL, &err));
    }
    if (what == 2 && roll(&r->dice, 2)) {
        MUST(tg_graph_create_body(g, &spec->body_else, &err));
        random_graph_add_tasks(r, spec->body_else, 1 + roll(&r->dice, 4), depth + 1);
    }
    tg_task_id id;
    MUST(tg_graph_add_task(g, spec, &id, &err));
    return id;
}

static void random_graph_add_tasks(struct random_graph *r, struct tg_graph *g, uint32_t n_tasks, int depth)
{
    const struct random_shape *s = &r->shape;
    struct tg_error err;
    tg_task_id last = TG_NONE;
    for (uint32_t t = 0; t < n_tasks; t++) {
        struct tg_task_spec spec = TG_TASK_SPEC_INIT;
        struct tg_arg args[8];
        tg_task_id after[3];
        uint32_t kind = roll(&r->dice, 100);
        while (t && spec.n_after < 3 && roll(&r->dice, 100) < s->percent_after)
            after[spec.n_after++] = roll(&r->dice, last + 1);
        if (depth == 0 && spec.n_after < 3 && roll(&r->dice, 100) < s->percent_backward)
            after[spec.n_after++] = roll(&r->dice, n_tasks);
        spec.after = after;
        if (roll(&r->dice, 100) < s->percent_priority)
            spec.priority = (int32_t)roll(&r->dice, 5) - 2;
        if (kind < 4 && s->has_barriers) {
            spec.kind = TG_TASK_BARRIER;
            MUST(tg_graph_add_task(g, &spec, &last, &err));
        } else if (kind < 10) {
            spec.kind = TG_TASK_COPY;
            args[0] = tg_arg_tile(roll(&r->dice, s->n_buffers), roll(&r->dice, s->n_tiles));
            args[1] = tg_arg_tile(roll(&r->dice, s->n_buffers), roll(&r->dice, s->n_tiles));
            spec.n_args = 2;
            spec.args = args;
            MUST(tg_graph_add_task(g, &spec, &last, &err));
        } else if (kind < 15 && s->has_collectives && s->n_tiles > 1) {
            spec.kind = TG_TASK_COLLECTIVE;
            spec.collective = (enum tg_collective)roll(&r->dice, 7);
            spec.n_args = 2;
            uint32_t first = roll(&r->dice, s->n_tiles);
            args[0] = tg_arg_tile(roll(&r->dice, s->n_buffers), first);
            args[1] = tg_arg_tile(roll(&r->dice, s->n_buffers), (first + 1) % s->n_tiles);
            spec.root = roll(&r->dice, 2);
            spec.args = args;
            MUST(tg_graph_add_task(g, &spec, &last, &err));
        } else if (kind < 22 && s->has_bodies && depth < 2) {
            last = random_graph_add_control(r, g, &spec, depth);
        } else {
            last = random_graph_add_kernel_task(r, g, &spec);
        }
    }
}

static inline void random_graph_create(struct random_graph *r, const struct random_shape *shape,
                                       uint64_t seed)
{
    struct tg_error err;
    memset(r, 0, sizeof *r);
    r->shape = *shape;
    r->dice.state = mix64(seed);
    r->next_id = 1;
    MUST(tg_graph_create("random", &r->graph, &err));
    for (uint32_t b = 0; b < shape->n_buffers + shape->has_bodies; b++) {
        struct tg_buffer_spec buffer = TG_BUFFER_SPEC_INIT;
        char name[16];
        snprintf(name, sizeof name, "B%u", b);
        buffer.name = name;
        buffer.dtype = TG_U64;
        buffer.n_dims = 2;
        buffer.shape[0] = TILE_ROWS;
        buffer.shape[1] = TILE_COLUMNS;
        buffer.n_tile_dims = 1;
        buffer.tiles[0] = shape->n_tiles;
        buffer.init = roll(&r->dice, 2) ? TG_INIT_IOTA : TG_INIT_RANDOM;
        buffer.init_seed = b;
        tg_buffer_id id;
        MUST(tg_graph_add_buffer(r->graph, &buffer, &id, &err));
        r->conditions = id;
        r->n_conditions = shape->n_tiles;
    }
    struct tg_param param = {"n", TG_U64, TG_INOUT, TG_SUM};
    struct tg_kernel_spec down = TG_KERNEL_SPEC_INIT;
    down.name = "count_down";
    down.n_params = 1;
    down.params = &param;
    down.cpu = count_down_kernel;
    MUST(tg_graph_add_kernel(r->graph, &down, &r->count_down, &err));
    random_graph_add_tasks(r, r->graph, shape->n_tasks, 0);
}

#endif
