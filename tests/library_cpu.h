/* Workers of the device library as threads: each a warp of one lane.  Include before anything of gpu/. */
#ifndef TESTS_LIBRARY_CPU_H
#define TESTS_LIBRARY_CPU_H

#include "tests/resident_delay.h"

#include <pthread.h>

#define MAX_WORKERS 40

/* For workers: cmocka's assertions jump, which only its own thread may. */
#define MUST_BE(condition)                                                            \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

struct worker {
    void (*body)(struct worker *w);
    void *user;
    uint32_t id, n;
    struct dice dice;
};

static inline void *worker_thread(void *user)
{
    struct worker *w = user;
    w->body(w);
    return NULL;
}

/* body on n threads at once, until all have ended. */
static inline void on_workers(uint32_t n, void (*body)(struct worker *w), void *user)
{
    pthread_t threads[MAX_WORKERS];
    struct worker workers[MAX_WORKERS];
    if (n > MAX_WORKERS)
        abort();
    for (uint32_t i = 0; i < n; i++) {
        workers[i] = (struct worker){body, user, i, n, {mix64(seed + i)}};
        if (pthread_create(&threads[i], NULL, worker_thread, &workers[i]))
            abort();
    }
    for (uint32_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

static inline void *zeroed(size_t bytes)
{
    void *p = aligned_alloc(16384, (bytes + 16383) / 16384 * 16384);
    if (!p)
        abort();
    memset(p, 0, bytes);
    return p;
}

#endif
