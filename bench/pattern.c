/* Task Bench's dependence patterns, from their definitions in the paper and the documentation of its
 * options.  Task (step, point) is numbered row by row; dom and tree have narrower rows at their ends. */
#include "bench/shape.h"

#include <stdlib.h>
#include <string.h>

#include "bench/sample.h"

enum { RADIX = 5 };

struct row {
    uint32_t width;      /* of a full row */
    uint32_t begin, end; /* points of the row before that exist */
    uint32_t first;      /* number of the task at `begin` */
    uint32_t step;
};

static void add(struct bench_shape *s, const struct row *before, int64_t point)
{
    if (point >= before->begin && point < before->end)
        bench_shape_add_pred(s, before->first + (uint32_t)(point - before->begin));
}

static void add_range(struct bench_shape *s, const struct row *before, int64_t begin, int64_t end)
{
    for (int64_t p = begin; p < end; p++)
        add(s, before, p);
}

static uint32_t log2_ceil(uint32_t n)
{
    uint32_t bits = 0;
    while ((1u << bits) < n)
        bits++;
    return bits;
}

static void trivial(struct bench_shape *s, const struct row *before, uint32_t i)
{
    (void)s, (void)before, (void)i;
}
static void no_comm(struct bench_shape *s, const struct row *before, uint32_t i) { add(s, before, i); }
static void tree(struct bench_shape *s, const struct row *before, uint32_t i) { add(s, before, i / 2); }

static void stencil_1d(struct bench_shape *s, const struct row *before, uint32_t i)
{
    add_range(s, before, (int64_t)i - 1, (int64_t)i + 2);
}

static void stencil_1d_periodic(struct bench_shape *s, const struct row *before, uint32_t i)
{
    add(s, before, (i + before->width - 1) % before->width);
    add(s, before, i);
    add(s, before, (i + 1) % before->width);
}

static void dom(struct bench_shape *s, const struct row *before, uint32_t i)
{
    add_range(s, before, (int64_t)i - 1, (int64_t)i + 1);
}

static void fft(struct bench_shape *s, const struct row *before, uint32_t i)
{
    int64_t distance = 1 << (before->step % log2_ceil(before->width));
    add(s, before, (int64_t)i - distance);
    add(s, before, i);
    add(s, before, (int64_t)i + distance);
}

static void all_to_all(struct bench_shape *s, const struct row *before, uint32_t i)
{
    (void)i;
    add_range(s, before, 0, before->width);
}

static void nearest(struct bench_shape *s, const struct row *before, uint32_t i)
{
    add_range(s, before, (int64_t)i - RADIX / 2, (int64_t)i + (RADIX + 1) / 2);
}

static void spread(struct bench_shape *s, const struct row *before, uint32_t i)
{
    for (uint32_t k = 0; k < RADIX; k++)
        add(s, before, (i + k * before->width / RADIX + (k ? before->step : 0)) % before->width);
}

/* Each of the nearest with probability 1/4, drawn from the coordinates. */
static void random_nearest(struct bench_shape *s, const struct row *before, uint32_t i)
{
    for (uint32_t k = 0; k < RADIX; k++) {
        uint64_t z = (((uint64_t)before->step * before->width + i) * RADIX + k) * 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9u;
        if ((z >> 62) == 0)
            add(s, before, (int64_t)i - RADIX / 2 + k);
    }
}

static const struct pattern {
    const char *name;
    void (*preds)(struct bench_shape *s, const struct row *before, uint32_t i);
} patterns[] = {
    {"trivial", trivial},
    {"no_comm", no_comm},
    {"stencil_1d", stencil_1d},
    {"stencil_1d_periodic", stencil_1d_periodic},
    {"dom", dom},
    {"tree", tree},
    {"fft", fft},
    {"all_to_all", all_to_all},
    {"nearest", nearest},
    {"spread", spread},
    {"random_nearest", random_nearest},
};
const char *const bench_pattern_names[] = {
    "trivial",    "no_comm", "stencil_1d", "stencil_1d_periodic", "dom", "tree", "fft",
    "all_to_all", "nearest", "spread",     "random_nearest",      NULL};

static void row_bounds(const char *name, uint32_t width, uint32_t steps, uint32_t step, uint32_t *begin_p,
                       uint32_t *end_p)
{
    *begin_p = 0;
    *end_p = width;
    if (!strcmp(name, "tree") && step < 31 && (1u << step) < width) {
        *end_p = 1u << step;
    } else if (!strcmp(name, "dom")) {
        if (step + width > steps)
            *begin_p = step + width - steps;
        if (step + 1 < width)
            *end_p = step + 1;
    }
}

struct bench_shape bench_pattern_make(const char *name, uint32_t width, uint32_t steps)
{
    const struct pattern *p = NULL;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (!strcmp(patterns[i].name, name))
            p = &patterns[i];
    if (!p)
        bench_die("unknown pattern \"%s\"", name);
    struct bench_shape s = {.name = p->name};
    struct row before = {.width = width};
    for (uint32_t step = 0; step < steps; step++) {
        uint32_t begin, end, first = s.n_tasks;
        row_bounds(name, width, steps, step, &begin, &end);
        for (uint32_t i = begin; i < end; i++) {
            if (step > 0)
                p->preds(&s, &before, i);
            bench_shape_end_task(&s);
        }
        before = (struct row){.width = width, .begin = begin, .end = end, .first = first, .step = step};
    }
    return s;
}
