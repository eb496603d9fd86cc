#include "bench/sample.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void bench_die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

static uint32_t number(const char *option, const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end || value > UINT32_MAX)
        bench_die("%s needs a number, not \"%s\"", option, text);
    return (uint32_t)value;
}

static void add_param(const char *option, const char *value, const char **list, uint32_t *n_p)
{
    if (*n_p == BENCH_PARAMS)
        bench_die("more than %d times %s", BENCH_PARAMS, option);
    list[(*n_p)++] = value;
}

struct bench_options bench_parse(int argc, char **argv)
{
    struct bench_options o = {.n_threads = 1, .n_runs = 5};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            bench_die("%s needs a value", argv[i]);
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--what"))
            o.what = value;
        else if (!strcmp(argv[i], "--pattern"))
            o.pattern = value;
        else if (!strcmp(argv[i], "--file"))
            o.file = value;
        else if (!strcmp(argv[i], "--param"))
            add_param(argv[i], value, o.params, &o.n_params);
        else if (!strcmp(argv[i], "--beside"))
            add_param(argv[i], value, o.beside, &o.n_beside);
        else if (!strcmp(argv[i], "--threads"))
            o.n_threads = number(argv[i], value);
        else if (!strcmp(argv[i], "--runs"))
            o.n_runs = number(argv[i], value);
        else if (!strcmp(argv[i], "--tasks"))
            o.n_tasks = number(argv[i], value);
        else if (!strcmp(argv[i], "--n"))
            o.n = number(argv[i], value);
        else if (!strcmp(argv[i], "--tile"))
            o.tile = number(argv[i], value);
        else
            bench_die("unknown option %s", argv[i]);
    }
    if (o.n_runs == 0 || o.n_threads == 0)
        bench_die("--runs and --threads start at 1");
    return o;
}

void bench_sample_add(struct bench_sample *sample, uint64_t ns)
{
    uint32_t i = sample->count;
    if (i == sizeof sample->ns / sizeof *sample->ns)
        bench_die("too many runs");
    for (sample->count++; i > 0 && sample->ns[i - 1] > ns; i--)
        sample->ns[i] = sample->ns[i - 1];
    sample->ns[i] = ns;
}

uint64_t bench_sample_median(const struct bench_sample *sample) { return sample->ns[sample->count / 2]; }

uint64_t bench_sample_best(const struct bench_sample *sample) { return sample->ns[0]; }

void bench_report(const char *what, const char *system, uint32_t n_threads, const char *metric, double value)
{
    printf("%s\t%s\t%u\t%s\t%.6g\n", what, system, n_threads, metric, value);
    fflush(stdout);
}

uint64_t bench_peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}
