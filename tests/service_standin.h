/* Services on the stand-in driver: its kernel is threads that execute the GPU's text (tests/standin/service.c).  Or on a GPU, with $TGRAPH_TEST_MULTIPROCESSORS
 * saying how many it has: then there is no stand-in, and tests that need one are skipped. */
#ifndef TEST_SERVICE_STANDIN_H
#define TEST_SERVICE_STANDIN_H

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/service_soak.h"
#include "sched/service.h"
#include "tests/standin/standin.h"

static struct standin standin;
static struct tg_error err;
static bool is_on_gpu;
static uint32_t n_multiprocessors = 16; /* the stand-in's */

/* At the beginning of tests that tell the stand-in to do something, or ask it. */
#define NEEDS_STANDIN() \
    if (is_on_gpu)      \
    skip()

#define SECOND UINT64_C(1000000000)
/* Longer than anything that should take no time, on a busy machine and under sanitizers. */
#define LONG_NS (120 * SECOND)

/* False, and says so: there is none. */
static inline bool service_standin_load(void)
{
    char path[4096], other[4200];
    const char *n = getenv("TGRAPH_TEST_MULTIPROCESSORS");
    if (n && *n) {
        is_on_gpu = true;
        n_multiprocessors = (uint32_t)atoi(n);
        return true;
    }
    if (!standin_path(path, sizeof path) || !standin_load(&standin, path)) {
        fprintf(stderr, "the stand-in driver is missing\n");
        return false;
    }
    setenv("TGRAPH_CUDA_DRIVER", path, 1);
    *strrchr(path, '/') = '\0';
    snprintf(other, sizeof other, "%s/standin-kernels.txt", path);
    setenv("TGRAPH_CUDA_KERNELS", other, 1);
    return true;
}

/* A test that failed may have left a kernel at work, which no reset and no exit would ever see the end of. */
static inline void service_standin_end_if_left(void)
{
    char text[4096] = "";
    if (is_on_gpu || !standin.standin_leaks(text, sizeof text))
        return;
    fprintf(stderr, "a test has left this, so none of the rest is begun: %s\n", text);
    _exit(1);
}

static inline void service_standin_reset(uint64_t seed)
{
    service_standin_end_if_left();
    struct standin_options o = {1, 32u << 20, seed, false};
    if (!is_on_gpu)
        standin.standin_reset(&o);
}

/* Nothing is left, and nothing was done that a driver need not forgive. */
static inline void service_standin_check(void)
{
    char text[4096] = "";
    if (is_on_gpu)
        return;
    if (standin.standin_leaks(text, sizeof text))
        fail_msg("%s", text);
    if (standin.standin_violations(text, sizeof text))
        fail_msg("%s", text);
}

/* Few blocks: the machine that tests has few processors. */
static inline struct tg_service_options small_options(uint32_t n_blocks)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    o.n_sms_free = n_multiprocessors - n_blocks;
    o.queue_capacity = 8;
    o.message_bytes = 256;
    o.idle_exit_ns = 0;
    o.host_timeout_ns = 0; /* a busy machine may well let a thread wait for longer */
    return o;
}

static inline void must(int status)
{
    char text[4096] = "";
    if (status) {
        if (!is_on_gpu)
            standin.standin_violations(text, sizeof text);
        fail_msg("%d: %s\n%s", status, err.text, text);
    }
}

static inline struct tg_service *active_service(const struct tg_service_options *o)
{
    struct tg_service *s;
    must(tg_service_create(o, &s, &err));
    must(tg_service_launch(s, &err));
    must(tg_service_activate(s, &err));
    return s;
}

static inline void end_service(struct tg_service *s)
{
    must(tg_service_terminate(s, LONG_NS, &err));
    tg_service_destroy(s);
    service_standin_check();
}

static inline struct tg_service_message message(enum tg_service_body body, uint32_t argument, const void *data, size_t n)
{
    return (struct tg_service_message){body, argument, data, n};
}

static inline void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static inline struct tg_service_status status_of(struct tg_service *s)
{
    struct tg_service_status status;
    must(tg_service_status(s, &status, &err));
    return status;
}
static inline struct tg_service_metrics metrics_of(struct tg_service *s)
{
    struct tg_service_metrics m;
    must(tg_service_metrics(s, &m, &err));
    return m;
}

#endif
