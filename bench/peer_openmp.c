/* The benchmark graphs as OpenMP tasks with depend clauses, for GCC's and LLVM's runtimes.  OpenMP has
 * no graph to keep: every run creates all tasks again. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/metg.h"
#include "bench/sample.h"
#include "bench/shape.h"

static char *tokens; /* a byte per task, for the depend clauses alone */

static void create_tasks(const struct bench_shape *s, uint32_t iterations)
{
    for (uint32_t t = 0; t < s->n_tasks; t++) {
        const uint32_t *pred = s->pred + s->first[t];
        uint32_t n_preds = s->first[t + 1] - s->first[t];
        if (n_preds == 0) {
#pragma omp task depend(out : tokens[t]) firstprivate(iterations)
            bench_work(iterations);
        } else if (n_preds == 1) {
#pragma omp task depend(in : tokens[pred[0]]) depend(out : tokens[t]) firstprivate(iterations)
            bench_work(iterations);
        } else if (n_preds == 2) {
#pragma omp task depend(in                                             \
                        : tokens[pred[0]], tokens[pred[1]]) depend(out \
                                                                   : tokens[t]) firstprivate(iterations)
            bench_work(iterations);
        } else {
#pragma omp task depend(iterator(uint32_t k = 0       \
                                 : n_preds),          \
                        in                            \
                        : tokens[pred[k]]) depend(out \
                                                  : tokens[t]) firstprivate(iterations)
            bench_work(iterations);
        }
    }
}

struct job {
    const struct bench_shape *shape;
    uint32_t n_threads;
};

static uint64_t run(void *user, uint32_t iterations)
{
    const struct job *job = user;
    uint64_t begin = bench_now_ns();
#pragma omp parallel num_threads(job->n_threads)
#pragma omp single
    create_tasks(job->shape, iterations);
    return bench_now_ns() - begin;
}

static void reserve_tokens(uint32_t n)
{
    free(tokens);
    tokens = malloc(n);
    if (!tokens)
        bench_die("no memory");
}

static void overhead(const char *name, const struct bench_options *o)
{
    struct bench_shape s = bench_shape_make(name, o->n_tasks);
    struct job job = {&s, o->n_threads};
    struct bench_sample sample = {0};
    reserve_tokens(s.n_tasks);
    for (uint32_t i = 0; i < o->n_runs; i++)
        bench_sample_add(&sample, run(&job, 0));
    double n = s.n_tasks;
    bench_report(name, BENCH_SYSTEM, o->n_threads, "ns/task", (double)bench_sample_median(&sample) / n);
    bench_report(name, BENCH_SYSTEM, o->n_threads, "best ns/task", (double)bench_sample_best(&sample) / n);
    bench_shape_free(&s);
}

static void pattern(const char *name, const struct bench_options *o)
{
    struct bench_shape s = bench_pattern_make(name, o->n ? o->n : BENCH_PATTERN_WIDTH, BENCH_PATTERN_STEPS);
    struct job job = {&s, o->n_threads};
    reserve_tokens(s.n_tasks);
    bench_report(name, BENCH_SYSTEM, o->n_threads, "METG us built",
                 bench_metg_us(run, &job, s.n_tasks, o->n_threads, o->n_runs, 0.75));
    bench_shape_free(&s);
}

static uint64_t fib(uint32_t n)
{
    uint64_t a, b;
    if (n < 2)
        return n;
#pragma omp task shared(a) firstprivate(n)
    a = fib(n - 1);
    b = fib(n - 2);
#pragma omp taskwait
    return a + b;
}

static void spawn(const struct bench_options *o)
{
    uint32_t n = o->n ? o->n : 24;
    uint64_t a = 1, b = 1, value = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t calls = a + b + 1;
        a = b, b = calls;
    }
    struct bench_sample sample = {0};
    for (uint32_t i = 0; i < o->n_runs; i++) {
        uint64_t begin = bench_now_ns();
#pragma omp parallel num_threads(o->n_threads)
#pragma omp single
        value = fib(n);
        bench_sample_add(&sample, bench_now_ns() - begin);
    }
    if (value == 0)
        bench_die("fib");
    bench_report("fib", BENCH_SYSTEM, o->n_threads, "ns/task",
                 (double)bench_sample_median(&sample) / (double)a);
    bench_report("fib", BENCH_SYSTEM, o->n_threads, "best ns/task",
                 (double)bench_sample_best(&sample) / (double)a);
}

int main(int argc, char **argv)
{
    struct bench_options o = bench_parse(argc, argv);
    for (const char *const *name = bench_shape_names; *name; name++)
        if (!o.pattern && (!o.what || !strcmp(o.what, *name)))
            overhead(*name, &o);
    if (!o.pattern && (!o.what || !strcmp(o.what, "fib")))
        spawn(&o);
    for (const char *const *name = bench_pattern_names; *name; name++)
        if (o.pattern && (!strcmp(o.pattern, *name) || !strcmp(o.pattern, "all")))
            pattern(*name, &o);
    return 0;
}
