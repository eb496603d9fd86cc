/* Graphs of fine tasks, in the form that sched/resident_plan.h takes, and what executing them one by one gives: for the
 * benchmark of the resident executor and for its tests. */
#ifndef BENCH_RESIDENT_DAG_H
#define BENCH_RESIDENT_DAG_H

#include <stdlib.h>
#include <string.h>

#include "gpu/resident/body.h"
#include "sched/resident_plan.h"

struct resident_dag {
    struct tgi_resident_dag dag; /* points to what follows */
    uint32_t *succ_at, *succ;
    uint8_t *op;
    uint64_t *arg;
    uint32_t n_edges, cap_edges;
    uint32_t (*edges)[2]; /* while it is built */
};

static inline void resident_dag_init(struct resident_dag *d, uint32_t n_tasks, uint8_t op)
{
    memset(d, 0, sizeof *d);
    d->dag.n_tasks = n_tasks;
    d->op = malloc((size_t)n_tasks + 1);
    d->succ_at = calloc((size_t)n_tasks + 2, sizeof *d->succ_at);
    if (!d->op || !d->succ_at)
        abort();
    memset(d->op, op, n_tasks);
}

static inline void resident_dag_edge(struct resident_dag *d, uint32_t from, uint32_t to)
{
    if (d->n_edges == d->cap_edges) {
        d->cap_edges = d->cap_edges ? 2 * d->cap_edges : 1024;
        d->edges = realloc(d->edges, d->cap_edges * sizeof *d->edges);
        if (!d->edges)
            abort();
    }
    d->edges[d->n_edges][0] = from;
    d->edges[d->n_edges++][1] = to;
}

/* Makes the CSR form; an edge given twice counts once. */
static inline void resident_dag_close(struct resident_dag *d)
{
    uint32_t n = d->dag.n_tasks, kept = 0, *mark = calloc((size_t)n + 1, sizeof *mark);
    d->succ = malloc(((size_t)d->n_edges + 1) * sizeof *d->succ);
    if (!d->succ || !mark)
        abort();
    for (uint32_t i = 0; i < d->n_edges; i++)
        d->succ_at[d->edges[i][0] + 2]++;
    for (uint32_t t = 0; t < n; t++)
        d->succ_at[t + 2] += d->succ_at[t + 1];
    for (uint32_t i = 0; i < d->n_edges; i++)
        d->succ[d->succ_at[d->edges[i][0] + 1]++] = d->edges[i][1];
    for (uint32_t t = 0, begin = 0; t < n; t++) {
        uint32_t end = d->succ_at[t + 1];
        for (uint32_t i = begin; i < end; i++)
            if (mark[d->succ[i]] != t + 1) {
                mark[d->succ[i]] = t + 1;
                d->succ[kept++] = d->succ[i];
            }
        begin = end;
        d->succ_at[t + 1] = kept;
    }
    free(mark);
    free(d->edges);
    d->edges = NULL;
    d->n_edges = kept;
    d->dag.succ_at = d->succ_at;
    d->dag.succ = d->succ;
    d->dag.op = d->op;
    d->dag.arg = d->arg;
}

static inline void resident_dag_fini(struct resident_dag *d)
{
    free(d->succ_at);
    free(d->succ);
    free(d->op);
    free(d->arg);
    free(d->edges);
}

/* ---- Shapes -------------------------------------------------------------------------------*/

static inline void resident_dag_independent(struct resident_dag *d, uint32_t n, uint8_t op)
{
    resident_dag_init(d, n, op);
    resident_dag_close(d);
}

static inline void resident_dag_chain(struct resident_dag *d, uint32_t n, uint8_t op)
{
    resident_dag_init(d, n, op);
    for (uint32_t t = 1; t < n; t++)
        resident_dag_edge(d, t - 1, t);
    resident_dag_close(d);
}

/* Task (i, j) after (i - 1, j) and (i, j - 1). */
static inline void resident_dag_wavefront(struct resident_dag *d, uint32_t n_rows, uint32_t n_columns, uint8_t op)
{
    resident_dag_init(d, n_rows * n_columns, op);
    for (uint32_t i = 0; i < n_rows; i++)
        for (uint32_t j = 0; j < n_columns; j++) {
            uint32_t t = i * n_columns + j;
            if (j > 0)
                resident_dag_edge(d, t - 1, t);
            if (i > 0)
                resident_dag_edge(d, t - n_columns, t);
        }
    resident_dag_close(d);
}

/* Task (s, i) after (s - 1, i - 1 .. i + 1). */
static inline void resident_dag_stencil(struct resident_dag *d, uint32_t width, uint32_t n_steps, uint8_t op)
{
    resident_dag_init(d, width * n_steps, op);
    for (uint32_t t = width; t < width * n_steps; t++) {
        uint32_t i = t % width, above = t - width;
        resident_dag_edge(d, above, t);
        if (i > 0)
            resident_dag_edge(d, above - 1, t);
        if (i + 1 < width)
            resident_dag_edge(d, above + 1, t);
    }
    resident_dag_close(d);
}

/* `degree` predecessors for each task, anywhere before it. */
static inline void resident_dag_random(struct resident_dag *d, uint32_t n, uint32_t degree, uint64_t seed, uint8_t op)
{
    resident_dag_init(d, n, op);
    for (uint32_t t = 1; t < n; t++)
        for (uint32_t k = 0; k < degree; k++)
            resident_dag_edge(d, (uint32_t)(tgi_mix(seed + (uint64_t)t * degree + k) % t), t);
    resident_dag_close(d);
}

/* ---- One by one -----------------------------------------------------------------------------*/

/* result[t], and line[t * TGI_RESIDENT_LINE_WORDS ..] of tasks that leave one, of an epoch. */
static inline void resident_dag_execute(const struct tgi_resident_dag *d, uint32_t epoch, uint64_t *result, uint64_t *line)
{
    enum { WORDS = TGI_RESIDENT_LINE_WORDS };
    uint64_t *sum = calloc(((size_t)d->n_tasks + 1) * (line ? WORDS : 1), sizeof *sum);
    uint32_t n_words = line ? WORDS : 1;
    if (!sum)
        abort();
    for (uint32_t k = 0; k < d->n_tasks; k++) {
        uint32_t t = d->topo ? d->topo[k] : k;
        uint64_t *mine = sum + (size_t)t * n_words;
        bool has_line = TGI_RESIDENT_HAS_LINE(d->op[t]);
        result[t] = tgi_body_result(d->op[t], mine[0], t, epoch, 0);
        for (uint32_t i = 0; has_line && i < WORDS; i++)
            line[(size_t)t * WORDS + i] = tgi_body_result(d->op[t], mine[i], t, epoch, i);
        for (uint32_t e = d->succ_at[t]; e < d->succ_at[t + 1]; e++) {
            uint32_t to = d->succ[e];
            for (uint32_t i = 0; i < (TGI_RESIDENT_HAS_LINE(d->op[to]) ? WORDS : 1u); i++)
                sum[(size_t)to * n_words + i] += tgi_body_take(d->op[to], has_line ? line[(size_t)t * WORDS + i] : result[t]);
        }
    }
    free(sum);
}

/* The same for graphs without lines whose INPUT tasks take words of an instance. */
static inline void resident_dag_execute_on(const struct tgi_resident_dag *d, const uint64_t *inputs, uint32_t epoch,
                                           uint64_t *result)
{
    uint64_t *sum = calloc((size_t)d->n_tasks + 1, sizeof *sum);
    if (!sum)
        abort();
    for (uint32_t k = 0; k < d->n_tasks; k++) {
        uint32_t t = d->topo ? d->topo[k] : k;
        bool is_input = d->op[t] == TGI_RESIDENT_INPUT;
        result[t] = is_input ? inputs[d->arg[t]] : tgi_body_result(d->op[t], sum[t], t, epoch, 0);
        for (uint32_t e = d->succ_at[t]; e < d->succ_at[t + 1]; e++)
            sum[d->succ[e]] += tgi_body_take(d->op[d->succ[e]], result[t]);
    }
    free(sum);
}

#endif
