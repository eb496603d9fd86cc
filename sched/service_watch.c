/* Telling the program of answers: by a callback, or by a descriptor that can be polled (graph/tgraph_service.h, Completions).
 *
 * Answers lie in a ring that nobody announces, so somebody has to look: whoever waits in a call, and for programs that do not wait
 * there this thread.  It is no different from others that look; it drains the ring into the list of answers, as they do.
 *
 * Why the descriptor never lies: it is written and read only with the service's lock held, and tgi_service_unlock() makes it agree with
 * the list before it gives the lock back, whoever put an answer there or took the last one.  So there is no moment without
 * the lock in which an answer is in the list and the descriptor is not readable, nor the other way round; a new answer cannot come
 * between the look at the list and the reset, as putting it there needs the lock.  Doing either outside of it would lose answers:
 * the receiver finds the list empty, another lists an answer and writes, the receiver reads that away and all sleep.  Several
 * changes under one lock cost no system call if they end where they began.
 *
 * Why the thread misses nothing when it sleeps: it says so in `rest` under the lock, having seen there that nothing is to be done, and
 * whoever changes that does it under the lock and looks at `rest` before it gives the lock back.  A call's answer is nothing of
 * its business: while only calls are under way it sleeps. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "graph/error.h"
#include "sched/service.h"

static const uint64_t second = 1000000000, longest_nap_ns = 1000000;
enum { NAPS = 16 }; /* in as long as it has waited already */

/* ---- What is to be done -------------------------------------------------------------------*/

bool tgi_service_watch_is_busy_locked(const struct tg_service *s)
{
    return s->watch.fn && (s->first != TG_NONE || s->watch.is_calling);
}

static bool is_ready(const struct tg_service *s)
{
    const struct tgi_service_watch *w = &s->watch;
    return w->is_over || (w->fn && (s->first != TG_NONE || (s->broken.status && !w->has_told)));
}

static bool is_to_come(const struct tg_service *s)
{
    return !s->broken.status && (s->watch.n_due > 0 || s->state == TG_SERVICE_TERMINATING);
}

int tgi_service_watch_check_locked(const struct tg_service *s, const char *what, struct tg_error *err)
{
    const struct tgi_service_watch *w = &s->watch;
    if (!w->is_calling || !pthread_equal(pthread_self(), w->thread))
        return 0;
    return tgi_error(err, TG_E_STATE, "%s: a callback cannot wait for its service", what);
}

/* ---- Telling ------------------------------------------------------------------------------*/

/* Neither can block: the counter is 0 or 1. */
static void show_locked(struct tg_service *s)
{
    struct tgi_service_watch *w = &s->watch;
    uint64_t count = 1;
    bool is_readable = s->first != TG_NONE || s->state == TG_SERVICE_TERMINATED;
    if (w->fd < 0 || is_readable == w->is_readable)
        return;
    if (is_readable ? write(w->fd, &count, sizeof count) == sizeof count : read(w->fd, &count, sizeof count) == sizeof count)
        w->is_readable = is_readable;
}

static void tell_locked(struct tg_service *s)
{
    struct tgi_service_watch *w = &s->watch;
    show_locked(s);
    if (w->rest == TGI_WATCH_AWAKE || !(is_ready(s) || (w->rest == TGI_WATCH_SLEEPS ? is_to_come(s) : w->n_posted != w->n_seen)))
        return;
    w->rest = TGI_WATCH_AWAKE;
    pthread_cond_signal(&w->changed);
}

void tgi_service_unlock(struct tg_service *s)
{
    if (s->watch.is_there)
        tell_locked(s);
    pthread_mutex_unlock(&s->lock);
}

static void call_locked(struct tg_service *s)
{
    struct tgi_service_watch *w = &s->watch;
    struct tg_service_answer answer;
    struct tg_error why;
    const bool is_answer = s->first != TG_NONE;
    if (is_answer)
        tgi_service_take_first_locked(s, &answer, w->bytes);
    else {
        w->has_told = true;
        why = s->broken;
    }
    w->is_calling = true;
    tgi_service_unlock(s);
    if (is_answer)
        w->fn(w->user, &answer, answer.n_bytes ? w->bytes : NULL, NULL);
    else
        w->fn(w->user, NULL, NULL, &why);
    pthread_mutex_lock(&s->lock);
    w->is_calling = false;
}

/* ---- Watching -----------------------------------------------------------------------------*/

/* Since something was sent or came. */
struct spell {
    uint64_t n_posted, n_due, since_ns;
    struct tgi_service_wait wait;
};

/* Without the lock, so that it keeps no call waiting.  The word of a position that others have passed meanwhile is not the one that was
 * seen here once it is overwritten; until then nothing new is behind it. */
static void spin_locked(struct tg_service *s, uint64_t until_ns)
{
    /* relaxed: the drain that follows looks again, with acquire. */
    const uint64_t *word = tgi_service_ring_word(&s->view.answers, (uint32_t)s->n_taken);
    const uint64_t seen = tgi_sys_load_relaxed(word);
    tgi_service_unlock(s);
    while (tgi_sys_load_relaxed(word) == seen && tgi_service_now_ns() < until_ns)
        ;
    pthread_mutex_lock(&s->lock);
}

static void nap_locked(struct tg_service *s, uint64_t waited_ns)
{
    struct tgi_service_watch *w = &s->watch;
    uint64_t ns = waited_ns / NAPS, at;
    ns = ns < TGI_SERVICE_LOOK_EVERY_NS ? TGI_SERVICE_LOOK_EVERY_NS : ns > longest_nap_ns ? longest_nap_ns : ns;
    at = tgi_service_now_ns() + ns;
    tell_locked(s);
    w->rest = TGI_WATCH_NAPS;
    w->n_seen = w->n_posted;
    pthread_cond_timedwait(&w->changed, &s->lock, &(struct timespec){(time_t)(at / second), (long)(at % second)});
    w->rest = TGI_WATCH_AWAKE;
    tgi_service_look_locked(s, NULL); /* an error is the service's from now on */
}

static void pause_locked(struct tg_service *s, struct spell *spell)
{
    const struct tgi_service_watch *w = &s->watch;
    uint64_t now = tgi_service_now_ns();
    if (spell->n_posted != w->n_posted || spell->n_due != w->n_due) {
        *spell = (struct spell){w->n_posted, w->n_due, now, {0}};
        tgi_service_wait_init(&spell->wait, UINT64_MAX);
    }
    if (now < spell->wait.spin_ns)
        spin_locked(s, spell->wait.spin_ns);
    else if (now < spell->wait.spin_ns + TGI_SERVICE_YIELD_NS)
        tgi_service_wait_locked(s, &spell->wait, NULL);
    else
        nap_locked(s, now - spell->since_ns);
}

static void sleep_locked(struct tg_service *s)
{
    struct tgi_service_watch *w = &s->watch;
    tell_locked(s);
    w->rest = TGI_WATCH_SLEEPS;
    while (w->rest == TGI_WATCH_SLEEPS)
        pthread_cond_wait(&w->changed, &s->lock);
}

static void *watch(void *user)
{
    struct tg_service *s = user;
    struct spell spell = {.n_posted = UINT64_MAX};
    pthread_mutex_lock(&s->lock);
    while (!s->watch.is_over) {
        tgi_service_drain_locked(s);
        if (is_ready(s))
            call_locked(s);
        else if (is_to_come(s))
            pause_locked(s, &spell);
        else
            sleep_locked(s);
    }
    tgi_service_unlock(s);
    return NULL;
}

/* ---- Lifetime -----------------------------------------------------------------------------*/

void tgi_service_watch_init(struct tgi_service_watch *w)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    w->fd = -1;
}

void tgi_service_watch_end(struct tg_service *s)
{
    struct tgi_service_watch *w = &s->watch;
    pthread_mutex_lock(&s->lock);
    const bool is_there = w->is_there;
    w->is_over = true;
    tgi_service_unlock(s);
    if (is_there)
        pthread_join(w->thread, NULL);
    w->is_there = false;
}

void tgi_service_watch_fini(struct tgi_service_watch *w)
{
    if (w->fd >= 0)
        close(w->fd);
    pthread_cond_destroy(&w->changed);
    free(w->bytes);
}

/* Signals are for the program's own threads.  The thread begins with taking the lock, which the caller has. */
static int start_locked(struct tg_service *s, struct tg_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->watch.thread, NULL, watch, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return tgi_error_errno(err, TG_E_SYSTEM, rc, "cannot start the thread that watches a service");
    s->watch.is_there = true;
    return 0;
}

static int set_callback_locked(struct tg_service *s, tg_service_answer_fn fn, void *user, struct tg_error *err)
{
    struct tgi_service_watch *w = &s->watch;
    if (w->is_there)
        return tgi_error(err, TG_E_STATE, "set_callback: the service has a %s already", w->fn ? "callback" : "descriptor");
    w->bytes = malloc(s->options.message_bytes);
    if (!w->bytes)
        return tgi_error_memory(err, "setting a service's callback");
    int rc = start_locked(s, err);
    if (rc) {
        free(w->bytes);
        w->bytes = NULL;
        return rc;
    }
    w->fn = fn;
    w->user = user;
    return 0;
}

int tg_service_set_callback(struct tg_service *s, tg_service_answer_fn fn, void *user, struct tg_error *err)
{
    if (!fn)
        return tgi_error(err, TG_E_INVALID, "set_callback: there is no function");
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "set_callback", TGI_STATE(CREATED), err);
    if (rc == 0)
        rc = set_callback_locked(s, fn, user, err);
    tgi_service_unlock(s);
    return rc;
}

static int open_fd_locked(struct tg_service *s, struct tg_error *err)
{
    struct tgi_service_watch *w = &s->watch;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return tgi_error_errno(err, TG_E_SYSTEM, errno, "cannot make a service's descriptor");
    int rc = start_locked(s, err);
    if (rc)
        close(fd);
    else
        w->fd = fd;
    return rc;
}

int tg_service_fd(struct tg_service *s, int *fd_p, struct tg_error *err)
{
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "fd", UINT32_MAX, err);
    if (rc == 0 && s->watch.fn)
        rc = tgi_error(err, TG_E_STATE, "fd: answers go to the service's callback");
    if (rc == 0 && s->watch.fd < 0)
        rc = open_fd_locked(s, err);
    if (rc == 0)
        *fd_p = s->watch.fd;
    tgi_service_unlock(s);
    return rc;
}
