/* The graphs that all benchmark programs run, as lists of predecessors.  Tasks are numbered in
 * program order: every predecessor of a task has a smaller number. */
#ifndef BENCH_SHAPE_H
#define BENCH_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_shape {
    const char *name;
    uint32_t n_tasks, n_edges;
    uint32_t *first; /* n_tasks + 1 entries: preds of t are pred[first[t] .. first[t+1]) */
    uint32_t *pred;
};

/* independent, chain, wavefront, random, tree, join.  n_tasks 0: the size that
 * docs/PERFORMANCE.md gives figures for; a wavefront is a square. */
extern const char *const bench_shape_names[]; /* ends with NULL */
struct bench_shape bench_shape_make(const char *name, uint32_t n_tasks);

/* The patterns of Task Bench (Slaughter et al., SC 2020): `steps` rows of `width` points, each with
 * dependencies on points of the row before. */
#define BENCH_PATTERN_WIDTH 16u
#define BENCH_PATTERN_STEPS 1000u
extern const char *const bench_pattern_names[]; /* ends with NULL */
struct bench_shape bench_pattern_make(const char *name, uint32_t width, uint32_t steps);

void bench_shape_free(struct bench_shape *shape);

/* For the makers: appends an edge or ends the list of the current task. */
void bench_shape_add_pred(struct bench_shape *shape, uint32_t pred);
void bench_shape_end_task(struct bench_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
