/* Benchmarks end with the first call of tgraph that fails, and what it has said. */
#ifndef BENCH_MUST_H
#define BENCH_MUST_H

#include "bench/sample.h"
#include "graph/tgraph.h"

static struct tg_error err;

static inline void must(int status)
{
    if (status)
        bench_die("%s", err.text);
}

#endif
