/* Edges, order, levels and reduction against an oracle that compares every pair of tasks. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>

#include "graph/freeze.h"
#include "graph/gate.h"
#include "graph/model.h"
#include "tests/random_graph.h"

enum { MAX_TASKS = 64 };

/* ---- The oracle ---------------------------------------------------------------------------*/

struct touch {
    uint32_t tile, begin, end;
    enum tg_access access;
    enum tg_op op;
};

/* What a task touches, tile by tile. */
static uint32_t touches_of(const struct tg_graph *g, uint32_t task, struct touch *list)
{
    const struct tgi_op *op = tgi_graph_op(g, task);
    uint32_t n = 0;
    for (uint32_t i = 0; i < op->n_params; i++) {
        uint64_t word = tgi_graph_word(g, task, i);
        if (op->params[i].access == TG_SCALAR || word == TGI_WORD_NULL)
            continue;
        const struct tgi_buffer *b = tgi_space_buffer_of(g->space, tgi_word_tile(word));
        uint32_t range = tgi_word_range(word), n_tiles = range == TGI_WORD_ALL ? b->n_tiles : 1;
        for (uint32_t t = 0; t < n_tiles; t++) {
            struct touch *touch = &list[n++];
            *touch =
                (struct touch){tgi_word_tile(word) + t, 0, TILE_ROWS, op->params[i].access, op->params[i].op};
            if (range && range != TGI_WORD_ALL) {
                touch->begin = g->space->ranges[range - 1].begin;
                touch->end = g->space->ranges[range - 1].end;
            }
        }
    }
    return n;
}

static bool in_conflict(const struct touch *a, const struct touch *b)
{
    if (a->tile != b->tile || a->end <= b->begin || b->end <= a->begin)
        return false;
    if (a->access != b->access)
        return true;
    return !(a->access == TG_IN || a->access == TG_COMMUTE || (a->access == TG_REDUCE && a->op == b->op));
}

static bool tasks_in_conflict(const struct tg_graph *g, uint32_t u, uint32_t v)
{
    struct touch a[256], b[256];
    uint32_t n_a = touches_of(g, u, a), n_b = touches_of(g, v, b);
    for (uint32_t i = 0; i < n_a; i++)
        for (uint32_t k = 0; k < n_b; k++)
            if (in_conflict(&a[i], &b[k]))
                return true;
    return false;
}

/* must[v] has bit u: u comes before v. */
static void direct_order(const struct tg_graph *g, uint64_t *must)
{
    memset(must, 0, MAX_TASKS * sizeof *must);
    for (uint32_t v = 0; v < g->n_tasks; v++)
        for (uint32_t u = 0; u < v; u++) {
            bool is_barrier =
                tgi_graph_op(g, u)->kind == TGI_OP_BARRIER || tgi_graph_op(g, v)->kind == TGI_OP_BARRIER;
            if (is_barrier || (!g->is_explicit && tasks_in_conflict(g, u, v)))
                must[v] |= (uint64_t)1 << u;
        }
    struct tgi_after_walk walk = {0, 0, 0};
    struct tgi_control control;
    while (tgi_after_next(g, &walk, &control))
        must[control.to] |= (uint64_t)1 << control.from;
}

/* Warshall. */
static void close_order(uint32_t n, uint64_t *must)
{
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t v = 0; v < n; v++)
            if (must[v] >> k & 1)
                must[v] |= must[k];
}

static bool has_cycle(uint32_t n, const uint64_t *closed)
{
    for (uint32_t v = 0; v < n; v++)
        if (closed[v] >> v & 1)
            return true;
    return false;
}

static void frozen_order(const struct tg_graph *g, uint64_t *edges)
{
    memset(edges, 0, MAX_TASKS * sizeof *edges);
    for (uint32_t u = 0; u < g->n_tasks; u++)
        for (uint32_t i = g->nodes[u].succ; i < g->nodes[u + 1].succ; i++)
            edges[g->succ[i]] |= (uint64_t)1 << u;
}

/* ---- Checks -------------------------------------------------------------------------------*/

#define EXPECT(condition)                                                           \
    do {                                                                            \
        if (!(condition))                                                           \
            fail_msg("seed %" PRIu64 ": %s (line %d)", seed, #condition, __LINE__); \
    } while (0)

static void check_shape(const struct tg_graph *g, const uint64_t *edges, const uint64_t *closed,
                        uint64_t seed)
{
    uint32_t n = g->n_tasks, n_edges = 0, n_roots = 0, n_sinks = 0, depth = 0, width = 0,
             on_level[MAX_TASKS] = {0};
    uint64_t has_successor = 0;
    for (uint32_t v = 0; v < n; v++) {
        uint32_t level = 0;
        has_successor |= edges[v];
        EXPECT(g->nodes[v].n_preds == (uint32_t)__builtin_popcountll(edges[v]));
        n_edges += g->nodes[v].n_preds;
        n_roots += edges[v] == 0;
        for (uint32_t u = 0; u < n; u++)
            if (edges[v] >> u & 1) {
                level = g->level[u] + 1 > level ? g->level[u] + 1 : level;
                for (uint32_t w = 0; w < n; w++) /* redundant if a sibling comes after u */
                    EXPECT(w == u || !(edges[v] >> w & 1) || !(closed[w] >> u & 1));
            }
        EXPECT(g->level[v] == level);
        depth = level + 1 > depth ? level + 1 : depth;
        width = ++on_level[level] > width ? on_level[level] : width;
        for (uint32_t i = g->nodes[v].succ + 1; i < g->nodes[v + 1].succ; i++)
            EXPECT(g->succ[i - 1] < g->succ[i]);
    }
    for (uint32_t v = 0; v < n; v++)
        n_sinks += !(has_successor >> v & 1);
    EXPECT(g->n_edges == n_edges && g->n_roots == n_roots && g->n_sinks == n_sinks);
    EXPECT(g->depth == depth && g->width == width);
}

static void check_topo(const struct tg_graph *g, const uint64_t *edges, uint64_t seed)
{
    uint64_t done = 0;
    for (uint32_t i = 0; i < g->n_tasks; i++) {
        uint32_t v = g->topo ? g->topo[i] : i;
        EXPECT(v < g->n_tasks && !(done >> v & 1));
        EXPECT((edges[v] & ~done) == 0);
        done |= (uint64_t)1 << v;
    }
}

/* Members of a group are unordered neighbours with the same op; shares are sorted. */
static void check_groups(const struct tg_graph *g, uint64_t seed)
{
    uint32_t n_members[4096] = {0};
    for (uint32_t i = 0; i < g->n_shares; i++) {
        const struct tgi_share *s = &g->shares[i];
        EXPECT(s->group < g->n_groups && g->groups[s->group].n_members > 1);
        EXPECT(g->nodes[s->task].op & TGI_NODE_SHARED);
        EXPECT(i == 0 || s[-1].task < s->task || (s[-1].task == s->task && s[-1].group < s->group));
        n_members[s->group]++;
    }
    for (uint32_t i = 0; i < g->n_groups; i++)
        EXPECT(n_members[i] == (g->groups[i].n_members > 1 ? g->groups[i].n_members : 0));
    /* Two unordered tasks that share rows as commute or reduce are in a group together. */
    for (uint32_t u = 0; u < g->n_tasks; u++)
        for (uint32_t v = u + 1; v < g->n_tasks; v++) {
            struct touch a[256], b[256];
            uint32_t n_a = touches_of(g, u, a), n_b = touches_of(g, v, b), n_u, n_v;
            const struct tgi_share *of_u = tgi_graph_shares(g, u, &n_u), *of_v = tgi_graph_shares(g, v, &n_v);
            bool together = false, must = false;
            if (tasks_in_conflict(g, u, v))
                continue;
            for (uint32_t i = 0; i < n_a; i++)
                for (uint32_t k = 0; k < n_b; k++)
                    must = must || (a[i].access >= TG_REDUCE && a[i].tile == b[k].tile &&
                                    a[i].begin < b[k].end && b[k].begin < a[i].end);
            for (uint32_t i = 0; i < n_u; i++)
                for (uint32_t k = 0; k < n_v; k++)
                    together = together || of_u[i].group == of_v[k].group;
            if (!must || together)
                continue;
            uint64_t order[MAX_TASKS];
            direct_order(g, order);
            close_order(g->n_tasks, order);
            EXPECT(order[v] >> u & 1); /* then something else orders them */
        }
}

/* The number of tasks in a shortest cycle of the inferred edges. */
static uint32_t shortest_cycle(struct tg_graph *g)
{
    struct tgi_preds preds;
    uint32_t best = UINT32_MAX, n = g->n_tasks;
    assert_int_equal(tgi_infer(g, TGI_EDGES_INFERRED, &preds, NULL), 0);
    for (uint32_t s = 0; s < n; s++) {
        uint32_t distance[MAX_TASKS], queue[MAX_TASKS], head = 0, tail = 0;
        memset(distance, 0xff, sizeof distance);
        queue[tail++] = s;
        distance[s] = 0;
        while (head < tail) {
            uint32_t v = queue[head++];
            for (uint32_t i = preds.first[v]; i < preds.first[v] + preds.count[v]; i++) {
                uint32_t u = preds.preds[i];
                if (u == s && distance[v] + 1 < best)
                    best = distance[v] + 1;
                if (distance[u] == UINT32_MAX) {
                    distance[u] = distance[v] + 1;
                    queue[tail++] = u;
                }
            }
        }
    }
    tgi_preds_fini(&preds);
    tgi_graph_thaw(g);
    return best;
}

/* "dependency cycle of 3 tasks: #1 -> #4 (after) -> #5 (reads B0) -> #1 (after)" */
static void check_cycle_text(struct tg_graph *g, const struct tg_error *err, const uint64_t *direct,
                             uint64_t seed)
{
    uint32_t n = 0, ids[MAX_TASKS + 1], n_ids = 0, shortest;
    const char *p = strchr(err->text, ':');
    if (strstr(err->text, "after itself"))
        return;
    EXPECT(sscanf(err->text, "dependency cycle of %u tasks", &n) == 1 && p);
    for (; (p = strchr(p, '#')); p++)
        if (n_ids <= MAX_TASKS)
            ids[n_ids++] = (uint32_t)strtoul(p + 1, NULL, 10);
    shortest = shortest_cycle(g);
    EXPECT(n == shortest);
    if (strstr(err->text, ".."))
        return;
    EXPECT(n_ids == n + 1 && ids[0] == ids[n]);
    for (uint32_t i = 0; i < n; i++)
        EXPECT(direct[ids[i + 1]] >> ids[i] & 1);
}

static void check_one(const struct random_shape *shape, uint64_t seed, bool is_explicit, uint32_t *n_cycles,
                      uint32_t *n_races)
{
    static struct random_graph r;
    uint64_t direct[MAX_TASKS], closed[MAX_TASKS], edges[MAX_TASKS], reach[MAX_TASKS];
    struct tg_error err;
    random_graph_create(&r, shape, seed);
    struct tg_graph *g = r.graph;
    g->is_explicit = is_explicit;
    assert_true(g->n_tasks <= MAX_TASKS);
    direct_order(g, direct);
    memcpy(closed, direct, sizeof closed);
    close_order(g->n_tasks, closed);
    int rc = tg_graph_freeze(g, &err);
    if (has_cycle(g->n_tasks, closed)) {
        EXPECT(rc == TG_E_CYCLE && err.status == TG_E_CYCLE);
        if (!is_explicit)
            check_cycle_text(g, &err, direct, seed);
        ++*n_cycles;
        tg_graph_destroy(g);
        return;
    }
    bool has_race = false;
    for (uint32_t v = 0; is_explicit && v < g->n_tasks; v++)
        for (uint32_t u = 0; u < v; u++)
            has_race = has_race || (tasks_in_conflict(g, u, v) && !(closed[v] >> u & 1));
    if (has_race) {
        EXPECT(rc == TG_E_RACE);
        ++*n_races;
        tg_graph_destroy(g);
        return;
    }
    if (rc)
        fail_msg("seed %" PRIu64 ": %d %s", seed, rc, err.text);
    frozen_order(g, edges);
    memcpy(reach, edges, sizeof reach);
    close_order(g->n_tasks, reach);
    for (uint32_t v = 0; v < g->n_tasks; v++) {
        EXPECT((closed[v] & ~reach[v]) == 0); /* no edge is missing */
        EXPECT((reach[v] & ~closed[v]) == 0); /* none is made up */
    }
    check_shape(g, edges, reach, seed);
    check_topo(g, edges, seed);
    if (!is_explicit)
        check_groups(g, seed);
    tg_graph_destroy(g);
}

/* ---- Random programs ----------------------------------------------------------------------*/

static void reachability_equals_the_closure_of_conflicts(void **state)
{
    (void)state;
    uint64_t seed = test_seed(1);
    uint32_t n_cycles = 0, n_races = 0;
    for (uint32_t i = 0; i < ROUNDS(12000); i++) {
        struct dice d = {mix64(seed + i)};
        struct random_shape shape = {.n_buffers = 1 + roll(&d, 3),
                                     .n_tiles = 1 + roll(&d, 3),
                                     .n_tasks = 1 + roll(&d, i % 8 ? 14 : 60),
                                     .has_bodies = roll(&d, 4) == 0,
                                     .has_collectives = roll(&d, 2),
                                     .has_barriers = roll(&d, 2),
                                     .has_overlaps = roll(&d, 2),
                                     .percent_rows = roll(&d, 3) * 30,
                                     .percent_after = roll(&d, 3) * 10};
        if (shape.has_bodies)
            shape.n_tasks = shape.n_tasks / 2 + 1;
        check_one(&shape, seed + i, false, &n_cycles, &n_races);
    }
    assert_int_equal(n_cycles, 0);
}

static void edges_to_earlier_tasks_are_ordered_or_the_shortest_cycle_is_reported(void **state)
{
    (void)state;
    uint64_t seed = test_seed(2);
    uint32_t n_cycles = 0, n_races = 0, n = ROUNDS(6000);
    for (uint32_t i = 0; i < n; i++) {
        struct dice d = {mix64(seed + i)};
        struct random_shape shape = {.n_buffers = 2 + roll(&d, 6),
                                     .n_tiles = 1 + roll(&d, 4),
                                     .n_tasks = 2 + roll(&d, 20),
                                     .has_barriers = roll(&d, 4) == 0,
                                     .percent_rows = 20,
                                     .percent_after = 10,
                                     .percent_backward = 5 + roll(&d, 10)};
        check_one(&shape, seed + i, false, &n_cycles, &n_races);
    }
    assert_in_range(n_cycles, n / 10, n - n / 10);
}

static void under_explicit_edges_every_race_is_found_and_none_is_made_up(void **state)
{
    (void)state;
    uint64_t seed = test_seed(3);
    uint32_t n_cycles = 0, n_races = 0, n = ROUNDS(6000);
    for (uint32_t i = 0; i < n; i++) {
        struct dice d = {mix64(seed + i)};
        struct random_shape shape = {.n_buffers = 2 + roll(&d, 6),
                                     .n_tiles = 1 + roll(&d, 4),
                                     .n_tasks = 2 + roll(&d, 9),
                                     .has_barriers = roll(&d, 4) == 0,
                                     .has_overlaps = roll(&d, 2),
                                     .percent_rows = 20,
                                     .percent_after = 40 + roll(&d, 30)};
        check_one(&shape, seed + i, true, &n_cycles, &n_races);
    }
    assert_in_range(n_races, n / 10, n - n / 20);
}

/* ---- By hand ------------------------------------------------------------------------------*/

static struct tg_error err;

static tg_buffer_id add_buffer(struct tg_graph *g, const char *name, int64_t rows, int64_t tiles,
                               int64_t tiles2)
{
    struct tg_buffer_spec b = TG_BUFFER_SPEC_INIT;
    tg_buffer_id id;
    b.name = name;
    b.dtype = TG_U8;
    b.n_dims = 1;
    b.shape[0] = rows;
    b.n_tile_dims = tiles2 ? 2 : tiles ? 1 : 0;
    b.tiles[0] = tiles;
    b.tiles[1] = tiles2;
    MUST(tg_graph_add_buffer(g, &b, &id, &err));
    return id;
}

static tg_kernel_id add_kernel(struct tg_graph *g, const char *name, uint32_t n,
                               const enum tg_access *accesses)
{
    static const char *const names[] = {"a", "b", "c"};
    struct tg_param params[3];
    struct tg_kernel_spec k = TG_KERNEL_SPEC_INIT;
    tg_kernel_id id;
    for (uint32_t i = 0; i < n; i++)
        params[i] = (struct tg_param){names[i], TG_U8, accesses[i], TG_SUM};
    k.name = name;
    k.n_params = n;
    k.params = params;
    k.cpu = count_down_kernel;
    MUST(tg_graph_add_kernel(g, &k, &id, &err));
    return id;
}

static tg_task_id add_task(struct tg_graph *g, const char *name, tg_kernel_id kernel, uint32_t n,
                           const struct tg_arg *args)
{
    struct tg_task_spec t = TG_TASK_SPEC_INIT;
    tg_task_id id;
    t.name = name;
    t.kernel = kernel;
    t.n_args = n;
    t.args = args;
    MUST(tg_graph_add_task(g, &t, &id, &err));
    return id;
}

static void check_cholesky(uint32_t nt, uint64_t n_tasks, uint64_t n_edges, uint32_t depth)
{
    struct tg_graph *g;
    struct tg_graph_stats stats;
    MUST(tg_graph_create("cholesky", &g, &err));
    tg_buffer_id a = add_buffer(g, "A", 8, nt, nt);
    tg_kernel_id potrf = add_kernel(g, "potrf", 1, (enum tg_access[]){TG_INOUT});
    tg_kernel_id trsm = add_kernel(g, "trsm", 2, (enum tg_access[]){TG_IN, TG_INOUT});
    tg_kernel_id gemm = add_kernel(g, "gemm", 3, (enum tg_access[]){TG_IN, TG_IN, TG_INOUT});
    for (uint32_t k = 0; k < nt; k++) {
        add_task(g, NULL, potrf, 1, (struct tg_arg[]){tg_arg_tile(a, k * nt + k)});
        for (uint32_t i = k + 1; i < nt; i++)
            add_task(g, NULL, trsm, 2,
                     (struct tg_arg[]){tg_arg_tile(a, k * nt + k), tg_arg_tile(a, i * nt + k)});
        for (uint32_t i = k + 1; i < nt; i++) {
            add_task(g, NULL, trsm, 2,
                     (struct tg_arg[]){tg_arg_tile(a, i * nt + k), tg_arg_tile(a, i * nt + i)});
            for (uint32_t j = k + 1; j < i; j++)
                add_task(g, NULL, gemm, 3,
                         (struct tg_arg[]){tg_arg_tile(a, i * nt + k), tg_arg_tile(a, j * nt + k),
                                           tg_arg_tile(a, i * nt + j)});
        }
    }
    MUST(tg_graph_freeze(g, &err));
    MUST(tg_graph_stats(g, &stats, &err));
    assert_int_equal(stats.n_tasks, n_tasks);
    assert_int_equal(stats.n_edges, n_edges);
    assert_int_equal(stats.depth, depth);
    assert_int_equal(stats.n_roots, 1);
    assert_int_equal(stats.n_sinks, 1);
    tg_graph_destroy(g);
}

static void cholesky_has_the_counts_of_the_format_description(void **state)
{
    (void)state;
    check_cholesky(16, 816, 2040, 46);
    check_cholesky(32, 5984, 16368, 94);
}

static void no_redundant_edge_is_left_between_dense_layers(void **state)
{
    (void)state;
    enum { LAYERS = 7, WIDTH = 9 };
    struct tg_graph *g;
    MUST(tg_graph_create("layers", &g, &err));
    tg_buffer_id x = add_buffer(g, "X", 4, LAYERS * WIDTH, 0);
    tg_kernel_id k = add_kernel(g, "k", 1, (enum tg_access[]){TG_INOUT});
    for (uint32_t i = 0; i < LAYERS * WIDTH; i++) {
        struct tg_arg arg = tg_arg_tile(x, i);
        add_task(g, NULL, k, 1, &arg);
        for (uint32_t u = 0; u < i / WIDTH * WIDTH; u++) /* all tasks of all layers before */
            MUST(tg_graph_add_edge(g, u, i, &err));
    }
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, (LAYERS - 1) * WIDTH * WIDTH);
    tg_graph_destroy(g);
}

static bool same_frozen(const struct tg_graph *a, const struct tg_graph *b)
{
    for (uint32_t t = 0; t < a->n_tasks; t++)
        if (a->nodes[t].succ != b->nodes[t].succ || a->nodes[t].n_preds != b->nodes[t].n_preds)
            return false;
    return a->n_edges == b->n_edges && a->n_redundant == b->n_redundant && a->n_roots == b->n_roots &&
           a->n_sinks == b->n_sinks && a->depth == b->depth && a->width == b->width &&
           memcmp(a->succ, b->succ, a->n_edges * sizeof *a->succ) == 0 &&
           memcmp(a->level, b->level, a->n_tasks * sizeof *a->level) == 0 &&
           (a->gated ? a->gated->n_gates : 0) == (b->gated ? b->gated->n_gates : 0);
}

/* Lists given with a task are stored, and often shared, in another way than edges added one by one. */
static void lists_and_single_edges_make_the_same_graph(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct dice dice = {seed};
        struct tg_graph *lists, *singles;
        MUST(tg_graph_create("lists", &lists, &err));
        MUST(tg_graph_create("singles", &singles, &err));
        tg_kernel_id k = add_kernel(lists, "k", 0, NULL);
        assert_int_equal(add_kernel(singles, "k", 0, NULL), k);
        uint32_t after[8], n_after = 0, n_tasks = 100;
        for (uint32_t t = 0; t < n_tasks; t++) {
            if (t > 0 && roll(&dice, 3) == 0) { /* else the list of the task before */
                n_after = roll(&dice, 8);
                for (uint32_t i = 0; i < n_after; i++) /* some twice, some implied by others */
                    after[i] = t - 1 - roll(&dice, t < 9 ? t : 9);
            }
            struct tg_task_spec task = TG_TASK_SPEC_INIT;
            task.kernel = k;
            MUST(tg_graph_add_task(singles, &task, NULL, &err));
            for (uint32_t i = 0; i < n_after; i++)
                MUST(tg_graph_add_edge(singles, after[i], t, &err));
            task.n_after = n_after;
            task.after = after;
            MUST(tg_graph_add_task(lists, &task, NULL, &err));
        }
        if (seed % 2)
            for (int i = 0; i < 5; i++) { /* among them edges to earlier tasks, and cycles */
                uint32_t from = roll(&dice, n_tasks), to = roll(&dice, n_tasks);
                if (from == to)
                    continue;
                MUST(tg_graph_add_edge(lists, from, to, &err));
                MUST(tg_graph_add_edge(singles, from, to, &err));
            }
        int rc = tg_graph_freeze(lists, &err);
        EXPECT(tg_graph_freeze(singles, &err) == rc && lists->n_controls == singles->n_controls);
        EXPECT(rc || same_frozen(lists, singles));
        tg_graph_destroy(lists);
        tg_graph_destroy(singles);
    }
}

/* 0 -> 2 -> 1 implies 0 -> 1. */
static void redundant_edges_go_where_ids_are_not_in_order(void **state)
{
    (void)state;
    struct tg_graph *g;
    MUST(tg_graph_create("backward", &g, &err));
    tg_kernel_id k = add_kernel(g, "k", 0, NULL);
    for (int i = 0; i < 3; i++)
        add_task(g, NULL, k, 0, NULL);
    MUST(tg_graph_add_edge(g, 0, 1, &err));
    MUST(tg_graph_add_edge(g, 0, 2, &err));
    MUST(tg_graph_add_edge(g, 2, 1, &err));
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, 2);
    assert_int_equal(g->n_redundant, 1);
    tg_graph_destroy(g);
}

static void the_shortest_of_two_cycles_is_reported_with_names(void **state)
{
    (void)state;
    struct tg_graph *g;
    MUST(tg_graph_create("cycles", &g, &err));
    tg_buffer_id x = add_buffer(g, "X", 4, 0, 0);
    tg_kernel_id k = add_kernel(g, "k", 1, (enum tg_access[]){TG_INOUT});
    struct tg_arg arg = tg_arg_tile(x, 0);
    add_task(g, "a", k, 1, &arg);
    add_task(g, "b", k, 1, &arg);
    add_task(g, "c", k, 1, &arg);
    add_task(g, "d", k, 1, &arg);
    MUST(tg_graph_add_edge(g, 3, 0, &err));
    MUST(tg_graph_add_edge(g, 2, 1, &err));
    assert_int_equal(tg_graph_freeze(g, &err), TG_E_CYCLE);
    assert_string_equal(err.text, "dependency cycle of 2 tasks: b -> c (writes X) -> b (after)");
    assert_string_equal(err.task, "b");
    tg_graph_destroy(g);
}

static void a_long_cycle_is_cut_in_the_message(void **state)
{
    (void)state;
    struct tg_graph *g;
    MUST(tg_graph_create("cycle", &g, &err));
    tg_buffer_id x = add_buffer(g, "X", 4, 0, 0);
    tg_kernel_id k = add_kernel(g, "k", 1, (enum tg_access[]){TG_INOUT});
    struct tg_arg arg = tg_arg_tile(x, 0);
    for (int i = 0; i < 1000; i++) {
        char name[250];
        memset(name, 'n', sizeof name);
        snprintf(name + 200, 50, "%d", i);
        add_task(g, name, k, 1, &arg);
    }
    MUST(tg_graph_add_edge(g, 999, 0, &err));
    assert_int_equal(tg_graph_freeze(g, &err), TG_E_CYCLE);
    assert_non_null(strstr(err.text, "of 1000 tasks"));
    assert_non_null(strstr(err.text, ".."));
    tg_graph_destroy(g);
}

static void a_task_after_itself_is_a_cycle(void **state)
{
    (void)state;
    struct tg_graph *g;
    MUST(tg_graph_create("self", &g, &err));
    tg_buffer_id x = add_buffer(g, "X", 4, 0, 0);
    tg_kernel_id k = add_kernel(g, "k", 1, (enum tg_access[]){TG_INOUT});
    struct tg_arg arg = tg_arg_tile(x, 0);
    add_task(g, "a", k, 1, &arg);
    assert_int_equal(tg_graph_add_edge(g, 0, 0, &err), TG_E_CYCLE);
    MUST(tg_graph_freeze(g, &err));
    tg_graph_destroy(g);
    /* A task may name itself in `after`, as later tasks may be named there. */
    MUST(tg_graph_create("self", &g, &err));
    x = add_buffer(g, "X", 4, 0, 0);
    struct tg_task_spec spec = TG_TASK_SPEC_INIT;
    spec.kernel = add_kernel(g, "k", 1, (enum tg_access[]){TG_INOUT});
    spec.n_args = 1;
    spec.args = &arg;
    spec.n_after = 1;
    spec.after = (tg_task_id[]){0};
    MUST(tg_graph_add_task(g, &spec, NULL, &err));
    assert_int_equal(tg_graph_freeze(g, &err), TG_E_CYCLE);
    tg_graph_destroy(g);
}

static void row_ranges_order_tasks_in_tiles_of_more_than_2_to_32_rows(void **state)
{
    (void)state;
    struct tg_graph *g;
    MUST(tg_graph_create("rows", &g, &err));
    tg_buffer_id x = add_buffer(g, "X", (INT64_C(1) << 32) + 10, 0, 0);
    tg_kernel_id k = add_kernel(g, "k", 1, (enum tg_access[]){TG_INOUT});
    struct tg_arg rows = tg_arg_rows(x, 0, 20, 30), other = tg_arg_rows(x, 0, UINT32_MAX - 1, UINT32_MAX),
                  whole = tg_arg_tile(x, 0);
    add_task(g, NULL, k, 1, &rows);
    add_task(g, NULL, k, 1, &rows);
    add_task(g, NULL, k, 1, &other);
    add_task(g, NULL, k, 1, &whole);
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_edges, 3); /* 0 -> 1 -> 3, 2 -> 3 */
    assert_int_equal(g->nodes[3].n_preds, 2);
    tg_graph_destroy(g);
}

static void an_empty_graph_freezes(void **state)
{
    (void)state;
    struct tg_graph *g;
    struct tg_graph_stats stats;
    MUST(tg_graph_create("empty", &g, &err));
    MUST(tg_graph_freeze(g, &err));
    MUST(tg_graph_stats(g, &stats, &err));
    assert_int_equal(stats.n_tasks + stats.n_edges + stats.n_roots + stats.depth + stats.width, 0);
    tg_graph_destroy(g);
}

static void private_copies_are_refused_to_a_task_that_reads_what_it_reduces_into(void **state)
{
    (void)state;
    /* reduce X[0]; the second names the same memory as X[*]: it must see what the first has added. */
    struct tg_graph *g;
    MUST(tg_graph_create("overlap", &g, &err));
    tg_buffer_id x = add_buffer(g, "X", 4, 1, 0);
    tg_kernel_id sum = add_kernel(g, "sum", 1, (enum tg_access[]){TG_REDUCE});
    tg_kernel_id both = add_kernel(g, "both", 2, (enum tg_access[]){TG_REDUCE, TG_IN});
    add_task(g, NULL, sum, 1, (struct tg_arg[]){tg_arg_tile(x, 0)});
    add_task(g, NULL, sum, 1, (struct tg_arg[]){tg_arg_tile(x, 0)});
    add_task(g, NULL, both, 2, (struct tg_arg[]){tg_arg_tile(x, 0), tg_arg_all(x)});
    MUST(tg_graph_freeze(g, &err));
    assert_int_equal(g->n_shares, 3);
    assert_false(g->groups[g->shares[0].group].is_reduce);
    tg_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reachability_equals_the_closure_of_conflicts),
        cmocka_unit_test(edges_to_earlier_tasks_are_ordered_or_the_shortest_cycle_is_reported),
        cmocka_unit_test(under_explicit_edges_every_race_is_found_and_none_is_made_up),
        cmocka_unit_test(cholesky_has_the_counts_of_the_format_description),
        cmocka_unit_test(no_redundant_edge_is_left_between_dense_layers),
        cmocka_unit_test(lists_and_single_edges_make_the_same_graph),
        cmocka_unit_test(redundant_edges_go_where_ids_are_not_in_order),
        cmocka_unit_test(the_shortest_of_two_cycles_is_reported_with_names),
        cmocka_unit_test(a_long_cycle_is_cut_in_the_message),
        cmocka_unit_test(a_task_after_itself_is_a_cycle),
        cmocka_unit_test(row_ranges_order_tasks_in_tiles_of_more_than_2_to_32_rows),
        cmocka_unit_test(an_empty_graph_freezes),
        cmocka_unit_test(private_copies_are_refused_to_a_task_that_reads_what_it_reduces_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
