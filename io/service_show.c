/* Shows a service to whoever looks at the board: a thread of its own, which asks the service as any thread may. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "graph/error.h"
#include "io/service_board.h"

static const uint64_t every_ns = 250000000, second = 1000000000;

struct tg_service_show {
    struct tg_service *service;
    struct tgi_service_place_on_board place;
    struct tgi_service_sign sign; /* by the thread, once it is there */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ends;
    bool is_ending; /* under the lock */
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * second + (uint64_t)t.tv_nsec;
}

static int put(struct tg_service_show *show, struct tg_error *err)
{
    struct tgi_service_sign *sign = &show->sign;
    struct tg_service_status status;
    int rc = tg_service_status(show->service, &status, err);
    if (rc == 0)
        rc = tg_service_metrics(show->service, &sign->metrics, err);
    if (rc)
        return rc;
    sign->device = status.device;
    sign->state = status.state;
    sign->is_resident = status.is_resident;
    sign->n_blocks = status.n_blocks;
    sign->queue_capacity = status.queue_capacity;
    sign->shown_ns = now_ns();
    return tgi_service_board_put(&show->place, sign, err);
}

/* Where it cannot write for a while, because a disk is full, what is read there grows old, and readers see how old. */
static void *keep_showing(void *user)
{
    struct tg_service_show *show = user;
    pthread_mutex_lock(&show->lock);
    while (!show->is_ending) {
        uint64_t until = now_ns() + every_ns;
        struct timespec at = {(time_t)(until / second), (long)(until % second)};
        if (pthread_cond_timedwait(&show->ends, &show->lock, &at) == ETIMEDOUT)
            put(show, NULL);
    }
    pthread_mutex_unlock(&show->lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start(struct tg_service_show *show, struct tg_error *err)
{
    sigset_t all, before;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&show->lock, NULL);
    pthread_cond_init(&show->ends, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&show->thread, NULL, keep_showing, show);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return 0;
    pthread_cond_destroy(&show->ends);
    pthread_mutex_destroy(&show->lock);
    return tgi_error_errno(err, TG_E_SYSTEM, rc, "cannot start the thread that shows a service");
}

int tg_service_show(struct tg_service *service, const char *name, struct tg_service_show **show_p, struct tg_error *err)
{
    struct tg_service_show *show = calloc(1, sizeof *show);
    if (!show)
        return tgi_error_memory(err, "showing a service");
    show->service = service;
    snprintf(show->sign.name, sizeof show->sign.name, "%s", name);
    show->sign.pid = (uint64_t)getpid();
    show->sign.began_ns = now_ns();
    int rc = tgi_service_board_open(&show->place, err);
    if (rc == 0)
        rc = put(show, err);
    if (rc == 0)
        rc = start(show, err);
    if (rc) {
        tgi_service_board_close(&show->place);
        free(show);
        return rc;
    }
    *show_p = show;
    return 0;
}

void tg_service_hide(struct tg_service_show *show)
{
    if (!show)
        return;
    pthread_mutex_lock(&show->lock);
    show->is_ending = true;
    pthread_cond_signal(&show->ends);
    pthread_mutex_unlock(&show->lock);
    pthread_join(show->thread, NULL);
    pthread_cond_destroy(&show->ends);
    pthread_mutex_destroy(&show->lock);
    tgi_service_board_close(&show->place);
    free(show);
}
