/* The host's beat: while a service lives, a thread writes down what the host's clock says.  A kernel that sees no new beat
 * for host_timeout_ns leaves, as the host has been killed or stopped (gpu/service/controller.h).  The thread beats whether the kernel
 * is there or not, and takes none of the service's locks for it, so no call of the program's can keep it from beating. */
#include <time.h>

#include "graph/error.h"
#include "sched/service.h"

enum { BEATS = 8 }; /* in the time after which the host is taken for dead */
static const uint64_t at_least_every_ns = 200000000, second = 1000000000;

static void wait_for(struct tgi_service_beat *b, uint64_t ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t at = (uint64_t)until.tv_nsec + ns;
    until.tv_sec += (time_t)(at / second);
    until.tv_nsec = (long)(at % second);
    pthread_cond_timedwait(&b->changed, &b->lock, &until);
}

static void *beat(void *user)
{
    struct tg_service *s = user;
    struct tgi_service_beat *b = &s->beat;
    uint64_t every_ns = s->options.host_timeout_ns / BEATS;
    every_ns = every_ns < at_least_every_ns ? every_ns : at_least_every_ns;
    pthread_mutex_lock(&b->lock);
    while (!b->is_over) {
        /* relaxed: nothing lies behind it. */
        tgi_sys_store_relaxed(&s->view.shared->beat_ns, tgi_service_now_ns());
        wait_for(b, every_ns);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static int start(struct tg_service *s, struct tg_error *err)
{
    struct tgi_service_beat *b = &s->beat;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&b->thread, NULL, beat, s);
    if (rc) {
        pthread_cond_destroy(&b->changed);
        pthread_mutex_destroy(&b->lock);
        return tgi_error_errno(err, TG_E_SYSTEM, rc, "cannot start a service's thread");
    }
    b->is_there = true;
    return 0;
}

int tgi_service_beat_begin(struct tg_service *s, struct tg_error *err)
{
    return s->options.host_timeout_ns ? start(s, err) : 0;
}

void tgi_service_beat_end(struct tg_service *s)
{
    struct tgi_service_beat *b = &s->beat;
    if (!b->is_there)
        return;
    pthread_mutex_lock(&b->lock);
    b->is_over = true;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    b->is_there = false;
}
