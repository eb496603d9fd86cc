/* The submitter at work: its inbox, what it has ready, when it rests.
 *
 * The seat.  The runtime has a thread for it, which sleeps while there is nothing to do.  A thread that waits for a run on
 * devices takes its place meanwhile, so that what is enqueued and what is seen to end needs nobody to be woken.  `seat` says whose it is:
 *
 *     ASLEEP -> THREAD   whoever puts mail in, and wakes the thread
 *     ASLEEP -> GUEST    a thread that is going to wait
 *     GUEST  -> ASLEEP   it leaves and there is nothing to do; it looks for mail once more after that
 *     GUEST  -> THREAD   it leaves and there is; it wakes the thread
 *     THREAD -> ASLEEP   the thread has nothing to do
 *
 * Everything that is the submitter's own belongs to who has the seat; each of these steps hands it over, acquire and release
 * in one.  No mail is left behind: its sender puts it in, then looks at the seat; who leaves the seat says so, then looks
 * for mail.  Both are seq_cst, so one of them sees the other. */
#include "sched/offload.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "sched/futex.h"
#include "sched/nap.h"
#include "sched/offload_graph.h"
#include "sched/offload_policy.h"

enum {
    BURST = 32,            /* tasks submitted between two looks at the lanes */
    SPINS = 2000,          /* looks without progress before the submitter yields its core */
    GUEST_SPINS = 200,     /* and before a guest leaves who has nothing to look at */
    TIMER_SLACK_NS = 1000, /* the system would make a nap 50 us longer */
    LOOK_AT_LIBRARIES = 64, /* naps: a few milliseconds */
    LOOK_SHARE = 8,        /* see look() */
    LONGEST_GAP_NS = 200000, /* between looks: others may have had the core during one */
    READ_AT_ONCE = 4       /* times of tasks, some microseconds each, between two looks at the lanes */
};

enum seat { THREAD, ASLEEP, GUEST };

/* ---- Mail ---------------------------------------------------------------------------------*/

void tgi_offload_wake(struct tgi_offload *o)
{
    uint32_t asleep = ASLEEP;
    if (atomic_load_explicit(&o->seat, memory_order_seq_cst) == ASLEEP &&
        atomic_compare_exchange_strong_explicit(&o->seat, &asleep, THREAD, memory_order_seq_cst, memory_order_relaxed))
        tgi_futex_wake(&o->seat, 1);
}

void tgi_offload_mail(struct tgi_offload *o, struct tgi_mail *mail)
{
    struct tgi_mail *head = atomic_load_explicit(&o->inbox, memory_order_relaxed);
    do {
        mail->next = head;
        /* seq_cst: see above. */
    } while (!atomic_compare_exchange_weak_explicit(&o->inbox, &head, mail, memory_order_seq_cst, memory_order_relaxed));
    tgi_offload_wake(o);
}

static void make_ready(struct tgi_offload *o, struct tgi_offload_task *t)
{
    if (t->instance->run->offload->policy && tgi_offload_policy_push(o, t))
        return;
    if (!tgi_ready_push(&o->ready[t->node], tgi_offload_urgency(t->instance, tgi_offload_id(t)), t)) {
        tgi_offload_submit(o, t); /* no memory for a few words: now, whatever its turn */
        return;
    }
    o->n_ready++;
}

void tgi_offload_push(struct tgi_worker *w, struct tgi_instance *in, uint32_t task, bool has_locks)
{
    struct tgi_offload *o = in->run->runtime->offload;
    struct tgi_offload_task *t = &in->offload->tasks[task];
    if (w == o->worker) {
        t->has_locks = has_locks;
        make_ready(o, t);
        return;
    }
    t->mail.kind = has_locks ? TGI_MAIL_LOCKED : TGI_MAIL_TASK;
    tgi_offload_mail(o, &t->mail);
}

static void open_mail(struct tgi_offload *o, struct tgi_mail *mail)
{
    struct tgi_offload_call *call = (struct tgi_offload_call *)mail;
    struct tgi_offload_task *t = (struct tgi_offload_task *)mail;
    switch (mail->kind) {
    case TGI_MAIL_TASK:
    case TGI_MAIL_LOCKED:
        t->has_locks = mail->kind == TGI_MAIL_LOCKED;
        make_ready(o, t);
        break;
    case TGI_MAIL_CONTINUE: {
        struct tgi_offload_instance *in = (struct tgi_offload_instance *)((char *)mail - offsetof(struct tgi_offload_instance, continued));
        tgi_offload_continue(o, in->tasks[0].instance);
        break;
    }
    case TGI_MAIL_CALL: {
        bool is_awaited = call->is_awaited; /* else the call may be gone after fn */
        call->fn(call->arg);
        if (is_awaited) {
            /* release: what fn has written is seen by who waits.  The wake needs the address alone. */
            atomic_store_explicit(&call->is_done, 1, memory_order_release);
            tgi_futex_wake(&call->is_done, 1);
        }
        break;
    }
    }
}

/* True if there was any. */
static bool empty_inbox(struct tgi_offload *o)
{
    if (!atomic_load_explicit(&o->inbox, memory_order_relaxed))
        return false;
    /* acquire: pairs with tgi_offload_mail(). */
    struct tgi_mail *mail = atomic_exchange_explicit(&o->inbox, NULL, memory_order_acquire), *oldest = NULL;
    while (mail) {
        struct tgi_mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    while (oldest) {
        struct tgi_mail *next = oldest->next;
        open_mail(o, oldest);
        oldest = next;
    }
    return true;
}

void tgi_offload_ask(struct tgi_offload *o, void (*fn)(void *arg), void *arg)
{
    struct tgi_offload_call call = {.mail = {.kind = TGI_MAIL_CALL}, .fn = fn, .arg = arg, .is_awaited = true};
    atomic_init(&call.is_done, 0);
    tgi_offload_mail(o, &call.mail);
    /* acquire: pairs with the release in open_mail(). */
    while (!atomic_load_explicit(&call.is_done, memory_order_acquire))
        tgi_futex_wait(&call.is_done, 0, UINT64_MAX);
}

void tgi_offload_do(struct tgi_offload *o, void (*fn)(void *arg), void *arg)
{
    if (!tgi_offload_sit_down(o)) {
        tgi_offload_ask(o, fn, arg);
        return;
    }
    empty_inbox(o); /* what came before comes before */
    fn(arg);
    tgi_offload_stand_up(o);
}

/* ---- Submitting ---------------------------------------------------------------------------*/

static struct tgi_offload_task *take(struct tgi_offload *o, uint32_t node)
{
    struct tgi_offload_task *t = tgi_ready_pop(&o->ready[node]);
    o->n_ready -= t != NULL;
    return t || !o->n_at_policies ? t : tgi_offload_policy_pop(o, node);
}

/* Some of what is ready, devices in turn; true if anything was.  Nothing ends between two looks, so that what a device may be given
 * is asked for once. */
static bool submit_some(struct tgi_offload *o, bool *is_short_p)
{
    bool any = false;
    uint32_t room[TGI_MAX_NODES], n_nodes = o->devices->n_devices + 1;
    *is_short_p = false;
    if (o->n_ready == 0)
        return false;
    for (uint32_t node = 0; node < n_nodes; node++)
        room[node] = tgi_offload_room(o, node);
    for (uint32_t i = 0; o->n_ready && i < BURST; i++) {
        bool found = false;
        for (uint32_t node = 0; node < n_nodes; node++) {
            struct tgi_offload_task *t = room[node] ? take(o, node) : NULL;
            if (!t)
                t = tgi_offload_steal(o, node);
            if (!t)
                continue;
            room[node] -= room[node] > 0;
            tgi_offload_submit(o, t);
            found = true;
        }
        any |= found;
        if (!found)
            break;
    }
    for (uint32_t node = 0; node < n_nodes; node++)
        *is_short_p |= room[node] == 0;
    return any;
}

static void flush(struct tgi_offload *o)
{
    while (o->worker->batch)
        tgi_worker_flush(o->worker);
}

static bool is_idle(const struct tgi_offload *o)
{
    return o->n_ready == 0 && o->n_watches == 0 && !o->held && !o->is_ahead_waiting;
}

/* Beside a recorded run, which has to pay for more than that; else 0. */
static uint64_t time_of(const struct tgi_offload *o) { return o->n_recorded ? tgi_now_ns() : 0; }

struct round {
    uint64_t begin_ns, submitted_ns; /* 0: there was no recorded run */
    bool has_given, has_moved;
};

/* One that began while there was a recorded run, and ends so; one without any progress was waiting. */
static void note_round(struct tgi_offload *o, const struct round *r)
{
    uint64_t end_ns = time_of(o);
    if (!r->begin_ns || !r->submitted_ns || !end_ns)
        return;
    o->spent.submitting_ns += r->has_moved ? r->submitted_ns - r->begin_ns : 0;
    o->spent.looking_ns += r->has_moved ? end_ns - r->submitted_ns : 0;
    o->spent.waiting_ns += r->has_moved ? 0 : end_ns - r->begin_ns;
    o->spent.giving_ns += r->has_given ? end_ns - r->begin_ns : 0;
}

/* Asking a lane how far it has come takes the driver nearly as long as a launch.  While there is something to submit, and
 * room for it, and nobody waits for what has been submitted, one part in LOOK_SHARE of the time is spent on it. */
static bool look(struct tgi_offload *o, bool may_skip)
{
    uint64_t begin_ns = tgi_now_ns();
    if (may_skip && begin_ns < o->look_ns)
        return false;
    bool has_moved = tgi_offload_look(o);
    uint64_t end_ns = tgi_now_ns();
    uint64_t gap_ns = (LOOK_SHARE - 1) * (end_ns - begin_ns);
    o->look_ns = end_ns + (gap_ns < LONGEST_GAP_NS ? gap_ns : LONGEST_GAP_NS);
    return has_moved;
}

/* True if anything has moved. */
static bool work(struct tgi_offload *o)
{
    struct round r = {.begin_ns = time_of(o)};
    r.has_moved = empty_inbox(o);
    if (!r.begin_ns) /* a recorded run may have begun */
        r.begin_ns = time_of(o);
    if (o->held)
        r.has_moved |= tgi_offload_look_at_held(o);
    bool is_short;
    r.has_given = submit_some(o, &is_short);
    r.has_moved |= r.has_given;
    r.submitted_ns = time_of(o);
    /* Also where nothing is watched, a full device has to be seen to make progress. */
    if (o->n_watches || o->n_ready || o->is_ahead_waiting) {
        if (o->n_ready == 0 || !r.has_moved)
            tgi_offload_seal_all(o); /* nothing follows at once: what is there shall be seen to be done */
        r.has_moved |= look(o, r.has_moved && o->n_ready && !is_short && o->n_awaited == 0 && !o->is_ahead_waiting && !o->is_dead);
        if (o->collectives)
            tgi_offload_look_at_collectives(o);
        tgi_offload_graph_stop(o);
        tgi_offload_measure(o);
    }
    if (!r.has_moved)
        r.has_moved = tgi_offload_send_ahead(o) || tgi_offload_read_due(o, READ_AT_ONCE);
    flush(o);
    note_round(o, &r);
    return r.has_moved;
}

/* ---- Resting ------------------------------------------------------------------------------*/

/* Of who has the seat: since when nothing has moved. */
struct rest {
    uint32_t n_idle;
    uint64_t since_ns;
    int slack_before_ns; /* of the thread's timers; -1: not changed */
};

static void nap(struct rest *r)
{
    uint64_t ns = tgi_nap_ns(tgi_now_ns() - r->since_ns);
    if (r->slack_before_ns < 0) { /* it stays as it is if this fails: the nap is longer, no more */
        r->slack_before_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
        prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    }
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

/* Devices are at work and nothing has moved. */
static void rest(struct tgi_offload *o, struct rest *r)
{
    uint64_t begin_ns = time_of(o);
    if (r->n_idle++ == 0)
        r->since_ns = tgi_now_ns();
    if (r->n_idle > SPINS) {
        if (r->n_idle % LOOK_AT_LIBRARIES == 0)
            tgi_offload_look_at_libraries(o);
        nap(r);
    } else if (r->n_idle % 16 == 0) {
        sched_yield();
    }
    o->spent.waiting_ns += begin_ns ? tgi_now_ns() - begin_ns : 0;
}

/* ---- The thread ---------------------------------------------------------------------------*/

/* The thread has nothing to do: until there is mail, or this ends. */
static void go_to_sleep(struct tgi_offload *o)
{
    uint32_t seat;
    atomic_store_explicit(&o->seat, ASLEEP, memory_order_seq_cst);
    if (atomic_load_explicit(&o->inbox, memory_order_seq_cst) || atomic_load_explicit(&o->is_ending, memory_order_seq_cst))
        tgi_offload_wake(o); /* ourselves; unless a guest was faster */
    while ((seat = atomic_load_explicit(&o->seat, memory_order_seq_cst)) != THREAD)
        tgi_futex_wait(&o->seat, seat, UINT64_MAX);
}

void *tgi_offload_main(void *arg)
{
    struct tgi_offload *o = arg;
    struct rest r = {0, 0, -1};
    for (;;) {
        if (work(o)) {
            r.n_idle = 0;
        } else if (!is_idle(o)) {
            rest(o, &r);
        } else {
            if (atomic_load_explicit(&o->is_ending, memory_order_acquire) &&
                !atomic_load_explicit(&o->inbox, memory_order_acquire))
                break;
            r.n_idle = 0;
            go_to_sleep(o);
        }
    }
    if (o->is_attached)
        o->devices->ops->detach(o->devices);
    return NULL;
}

/* ---- The guest ----------------------------------------------------------------------------*/

/* A guest leaves the seat to the thread, which it wakes if there is anything to do. */
static void leave(struct tgi_offload *o)
{
    bool is_needed = !is_idle(o);
    atomic_store_explicit(&o->seat, is_needed ? THREAD : ASLEEP, memory_order_seq_cst);
    if (is_needed)
        tgi_futex_wake(&o->seat, 1);
    else if (atomic_load_explicit(&o->inbox, memory_order_seq_cst) || atomic_load_explicit(&o->is_ending, memory_order_seq_cst))
        tgi_offload_wake(o);
}

bool tgi_offload_sit_down(struct tgi_offload *o)
{
    uint32_t asleep = ASLEEP;
    struct tg_error err;
    if (!atomic_compare_exchange_strong_explicit(&o->seat, &asleep, GUEST, memory_order_seq_cst, memory_order_relaxed))
        return false;
    if (o->devices->ops->attach(o->devices, &err) == 0)
        return true;
    tgi_offload_failed(o, &err);
    leave(o);
    return false;
}

void tgi_offload_stay(struct tgi_offload *o, const struct tg_run *run)
{
    struct rest r = {0, 0, -1};
    while (!tg_run_poll(run))
        if (work(o))
            r.n_idle = 0;
        else if (!is_idle(o))
            rest(o, &r);
        else if (++r.n_idle > GUEST_SPINS)
            break; /* CPUs are at work, and may want help */
    if (r.slack_before_ns >= 0)
        prctl(PR_SET_TIMERSLACK, r.slack_before_ns, 0, 0, 0);
}

void tgi_offload_stand_up(struct tgi_offload *o)
{
    o->devices->ops->detach(o->devices);
    leave(o);
}
