/* What every benchmark program needs: the clock, its arguments, repeated measurement, and one line
 * of output per result. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_PARAMS = 16 };

struct bench_options {
    const char *what;    /* graph; NULL: all of them */
    const char *pattern; /* run this pattern of Task Bench instead of graphs, or "all"; NULL: graphs */
    uint32_t n_threads;
    uint32_t n_runs;
    uint32_t n_tasks; /* 0: the default for the graph */
    uint32_t n;       /* matrix size, fib argument; 0: the default */
    uint32_t tile;
    const char *file;
    const char *params[BENCH_PARAMS], *beside[BENCH_PARAMS]; /* NAME=EXPR for the file; and for the same work cut in another way */
    uint32_t n_params, n_beside;
};
/* --what NAME --pattern NAME --threads N --runs N --tasks N --n N --tile N --file PATH --param NAME=EXPR --beside NAME=EXPR, the last two any
 * number of times up to BENCH_PARAMS */
struct bench_options bench_parse(int argc, char **argv);

uint64_t bench_now_ns(void);
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Keeps the durations of repeated runs. */
struct bench_sample {
    uint64_t ns[64];
    uint32_t count;
};
void bench_sample_add(struct bench_sample *sample, uint64_t ns);
uint64_t bench_sample_median(const struct bench_sample *sample);
uint64_t bench_sample_best(const struct bench_sample *sample);

/* One line on stdout, columns separated by tabs: what, system, threads, metric, value.  A value is a
 * median over runs unless the metric says otherwise. */
void bench_report(const char *what, const char *system, uint32_t n_threads, const char *metric, double value);
/* Peak resident memory of this process so far. */
uint64_t bench_peak_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
