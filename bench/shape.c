#include "bench/shape.h"

#include <stdlib.h>
#include <string.h>

#include "bench/sample.h"

/* ---- Growing ------------------------------------------------------------------------------*/

static uint32_t *grow(uint32_t *list, uint32_t count)
{
    if (count & (count - 1))
        return list; /* capacity is the next power of two */
    list = realloc(list, (count ? 2 * (size_t)count : 1) * sizeof *list);
    if (!list)
        bench_die("no memory for a graph");
    return list;
}

void bench_shape_add_pred(struct bench_shape *shape, uint32_t pred)
{
    shape->pred = grow(shape->pred, shape->n_edges);
    shape->pred[shape->n_edges++] = pred;
}

void bench_shape_end_task(struct bench_shape *shape)
{
    if (!shape->first) {
        shape->first = grow(NULL, 0);
        shape->first[0] = 0;
    }
    shape->n_tasks++;
    shape->first = grow(shape->first, shape->n_tasks);
    shape->first[shape->n_tasks] = shape->n_edges;
}

void bench_shape_free(struct bench_shape *shape)
{
    free(shape->first);
    free(shape->pred);
    memset(shape, 0, sizeof *shape);
}

/* ---- Graphs -------------------------------------------------------------------------------*/

enum { RANDOM_DEGREE = 4, RANDOM_WINDOW = 1000 };

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void make_independent(struct bench_shape *s, uint32_t n)
{
    while (s->n_tasks < n)
        bench_shape_end_task(s);
}

static void make_chain(struct bench_shape *s, uint32_t n)
{
    while (s->n_tasks < n) {
        if (s->n_tasks > 0)
            bench_shape_add_pred(s, s->n_tasks - 1);
        bench_shape_end_task(s);
    }
}

static void make_wavefront(struct bench_shape *s, uint32_t n)
{
    uint32_t side = 1;
    while ((uint64_t)(side + 1) * (side + 1) <= n)
        side++;
    while (s->n_tasks < side * side) {
        uint32_t t = s->n_tasks;
        if (t >= side)
            bench_shape_add_pred(s, t - side);
        if (t % side > 0)
            bench_shape_add_pred(s, t - 1);
        bench_shape_end_task(s);
    }
}

/* Four different predecessors among the 1,000 tasks before. */
static void make_random(struct bench_shape *s, uint32_t n)
{
    uint64_t state = 1;
    while (s->n_tasks < n) {
        uint32_t t = s->n_tasks, begin = s->n_edges;
        uint32_t window = t < RANDOM_WINDOW ? t : RANDOM_WINDOW;
        uint32_t degree = window < RANDOM_DEGREE ? window : RANDOM_DEGREE;
        while (s->n_edges - begin < degree) {
            uint32_t p = t - 1 - (uint32_t)(next_random(&state) % window), k = begin;
            while (k < s->n_edges && s->pred[k] != p)
                k++;
            if (k == s->n_edges)
                bench_shape_add_pred(s, p);
        }
        bench_shape_end_task(s);
    }
}

static void make_tree(struct bench_shape *s, uint32_t n)
{
    while (s->n_tasks < n) {
        if (s->n_tasks > 0)
            bench_shape_add_pred(s, (s->n_tasks - 1) / 2);
        bench_shape_end_task(s);
    }
}

static void make_join(struct bench_shape *s, uint32_t n)
{
    make_independent(s, n);
    for (uint32_t t = 0; t < n; t++)
        bench_shape_add_pred(s, t);
    bench_shape_end_task(s);
}

static const struct maker {
    const char *name;
    void (*make)(struct bench_shape *s, uint32_t n);
    uint32_t n_tasks;
} makers[] = {
    {"independent", make_independent, 1000000},
    {"chain", make_chain, 1000000},
    {"wavefront", make_wavefront, 1000000},
    {"random", make_random, 200000},
    {"tree", make_tree, 1000000},
    {"join", make_join, 1000000},
};
const char *const bench_shape_names[] = {"independent", "chain", "wavefront", "random", "tree", "join", NULL};

struct bench_shape bench_shape_make(const char *name, uint32_t n_tasks)
{
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (!strcmp(makers[i].name, name)) {
            struct bench_shape s = {.name = makers[i].name};
            makers[i].make(&s, n_tasks ? n_tasks : makers[i].n_tasks);
            return s;
        }
    bench_die("unknown graph \"%s\"", name);
}
