/* The minimum effective task granularity of Task Bench: the smallest average time of a task at which
 * the machine still does `share` of the useful work it could do. */
#ifndef BENCH_METG_H
#define BENCH_METG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A task body: a chain of multiplications and additions that keeps one core busy. */
void bench_work(uint32_t iterations);

/* Runs the graph once with that many iterations in every task and returns the elapsed time. */
typedef uint64_t (*bench_run_fn)(void *user, uint32_t iterations);

/* In microseconds.  `share` is the efficiency asked for, 0.75 say.  Peak is the speed of n_threads
 * bare threads in bench_work(). */
double bench_metg_us(bench_run_fn run, void *user, uint32_t n_tasks, uint32_t n_threads, uint32_t n_runs,
                     double share);

#ifdef __cplusplus
}
#endif
#endif
