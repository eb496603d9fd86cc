/* A service's states, and the life of its kernel.
 *
 * The host never waits for the kernel but by asking: for its first sign of life, for an answer, for its end.  Each of these
 * waits looks at memory, and every fifty microseconds at the kernel's lane, which tells of an end and of faults.
 *
 * Why no message is forgotten by a kernel that leaves: who has written a message or a command looks at `gone`
 * (mem/service_view.h), and if the kernel leaves waits for its end, which is near, since it had nothing to do, and launches it
 * again.  A launch that was given up by a stuck worker is found by whoever waits, and the rest of the messages with it. */
#include "sched/service.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "graph/error.h"
#include "sched/backend.h"

static const uint64_t launch_limit_ns = 10000000000u;
enum { MIN_MESSAGE = 32, MAX_MESSAGE = 65528, MAX_CAPACITY = 65536, SLOT_ALIGN = 64 };

uint64_t tgi_service_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *tg_service_state_name(enum tg_service_state state)
{
    static const char *const names[] = {"created", "launched", "active", "inactive", "terminating", "terminated"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

int tgi_service_check_locked(const struct tg_service *s, const char *what, uint32_t states, struct tg_error *err)
{
    if (s->broken.status) {
        if (err)
            *err = s->broken;
        return s->broken.status;
    }
    if (states >> s->state & 1)
        return 0;
    return tgi_error(err, TG_E_STATE, "%s: the service is %s", what, tg_service_state_name(s->state));
}

/* ---- The kernel ---------------------------------------------------------------------------*/

void tgi_service_command_locked(struct tg_service *s, enum tgi_service_command c)
{
    /* seq_cst: not both this and the controller's last look can miss the other (mem/service_view.h). */
    tgi_sys_store_seq_cst(&s->view.shared->command, TGI_SERVICE_COMMAND(++s->n_commands, c));
}

/* The first error of the device is the end; it is told again by every call.  A kernel that is there all the same leaves. */
static int break_down(struct tg_service *s, const struct tg_error *why, struct tg_error *err)
{
    tgi_service_command_locked(s, TGI_SERVICE_ABORT);
    s->broken = *why;
    s->state = TG_SERVICE_TERMINATED;
    s->is_resident = false;
    if (err)
        *err = *why;
    return why->status;
}

/* Not while a launch is under way. */
static int launch_kernel(struct tg_service *s, struct tg_error *err)
{
    const struct tgi_stay_ops *ops = tgi_service_ops(s);
    struct tg_error why;
    int rc = s->devices->ops->attach(s->devices, &why);
    if (rc)
        return break_down(s, &why, err);
    s->view.launch++;
    /* Read by the kernel after its launch, which orders them. */
    tgi_sys_store_relaxed(&s->view.shared->gone, 0);
    tgi_sys_store_relaxed(&s->view.shared->is_panic, 0);
    tgi_sys_store_relaxed(&s->view.shared->beat_ns, tgi_service_now_ns());
    rc = ops->zero(s->devices, s->kernel, s->tables.zero_at, s->tables.zero_bytes, &why);
    if (rc == 0)
        rc = ops->launch(s->devices, s->kernel, &s->view, &why);
    s->devices->ops->detach(s->devices);
    if (rc)
        return break_down(s, &why, err);
    s->is_resident = true;
    s->metrics.n_launches++;
    return 0;
}

static bool has_work(const struct tg_service *s)
{
    return s->n_sent > s->n_taken && (s->state == TG_SERVICE_ACTIVE || s->state == TG_SERVICE_TERMINATING);
}

int tgi_service_look_locked(struct tg_service *s, struct tg_error *err)
{
    struct tg_error why;
    if (s->broken.status)
        return tgi_service_check_locked(s, "service", 0, err);
    if (s->is_resident) {
        int rc = tgi_service_ops(s)->query(s->devices, s->kernel, &why);
        if (rc < 0)
            return break_down(s, &why, err);
        if (rc == 0)
            return 0;
        s->is_resident = false;
        tgi_service_drain_locked(s); /* what it answered last */
    }
    if (has_work(s))
        return launch_kernel(s, err);
    if (s->state == TG_SERVICE_TERMINATING && !tgi_service_watch_is_busy_locked(s))
        s->state = TG_SERVICE_TERMINATED;
    return 0;
}

/* Whether the launch under way has said that it leaves. */
static bool leaves(const struct tg_service *s)
{
    return s->is_resident && tgi_sys_load_seq_cst(&s->view.shared->gone) == s->view.launch;
}

int tgi_service_wake_locked(struct tg_service *s, struct tg_error *err)
{
    int rc = 0;
    while (rc == 0 && leaves(s)) {
        rc = tgi_service_look_locked(s, err);
        if (s->is_resident)
            sched_yield();
    }
    return rc || s->is_resident ? rc : tgi_service_look_locked(s, err);
}

/* ---- Waiting ------------------------------------------------------------------------------*/

void tgi_service_wait_init(struct tgi_service_wait *w, uint64_t timeout_ns)
{
    uint64_t now = tgi_service_now_ns();
    w->until_ns = now + timeout_ns < now ? UINT64_MAX : now + timeout_ns;
    w->look_ns = now + TGI_SERVICE_LOOK_EVERY_NS;
    w->spin_ns = now + TGI_SERVICE_SPIN_NS;
}

int tgi_service_wait_locked(struct tg_service *s, struct tgi_service_wait *w, struct tg_error *err)
{
    uint64_t now = tgi_service_now_ns();
    if (now >= w->look_ns) {
        int rc = tgi_service_look_locked(s, err);
        w->look_ns = now + TGI_SERVICE_LOOK_EVERY_NS;
        if (rc)
            return rc;
    }
    if (now >= w->until_ns)
        return TG_E_NO_ANSWER;
    tgi_service_unlock(s);
    if (now >= w->spin_ns + TGI_SERVICE_YIELD_NS)
        nanosleep(&(struct timespec){0, TGI_SERVICE_LOOK_EVERY_NS}, NULL);
    else if (now >= w->spin_ns)
        sched_yield();
    pthread_mutex_lock(&s->lock);
    return 0;
}

/* ---- Making -------------------------------------------------------------------------------*/

static int check_options(const struct tg_service_options *o, struct tg_error *err)
{
    uint32_t n = o->queue_capacity;
    if (n < 2 || n > MAX_CAPACITY || (n & (n - 1)))
        return tgi_error(err, TG_E_INVALID, "a queue of %" PRIu32 " messages: a power of two from 2 to %d is needed", n, MAX_CAPACITY);
    if (o->message_bytes < MIN_MESSAGE || o->message_bytes > MAX_MESSAGE)
        return tgi_error(err, TG_E_INVALID, "messages of %" PRIu32 " bytes: %d to %d are possible", o->message_bytes, MIN_MESSAGE,
                         MAX_MESSAGE);
    if (o->device >= 64)
        return tgi_error(err, TG_E_NO_DEVICE, "there is no device cuda:%" PRIu32, o->device);
    return 0;
}

static int make_host_memory(struct tg_service *s, struct tg_error *err)
{
    const struct tg_service_options *o = &s->options;
    struct tgi_service_view *v = &s->view;
    uint32_t stride = (TGI_SERVICE_SLOT_HEAD + (o->message_bytes + 7) / 8 * 8 + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
    size_t ring = (size_t)stride * o->queue_capacity, all = sizeof *v->shared + 2 * ring;
    void *host = NULL;
    int rc = s->devices->ops->host_alloc(s->devices, all, &host, err);
    if (rc)
        return rc;
    memset(host, 0, all);
    s->host = host;
    v->shared = host;
    v->messages = tgi_service_ring_of(s->host + sizeof *v->shared, o->queue_capacity, stride);
    v->answers = tgi_service_ring_of(s->host + sizeof *v->shared + ring, o->queue_capacity, stride);
    s->places = calloc(o->queue_capacity, sizeof *s->places);
    s->answers = malloc((size_t)o->message_bytes * o->queue_capacity);
    return s->places && s->answers ? 0 : tgi_error_memory(err, "creating a service");
}

/* Ascending, each once; none is named 2^16 or beyond. */
static int find_bodies(const struct tgi_service_setup *setup, uint32_t **bodies_p, uint32_t *n_p, struct tg_error *err)
{
    uint8_t *is_used = calloc(1u << 16, 1);
    uint32_t *bodies = malloc((1u << 16) * sizeof *bodies), n = 0;
    if (!is_used || !bodies) {
        free(is_used);
        free(bodies);
        return tgi_error_memory(err, "creating a service");
    }
    for (uint32_t i = 0; setup && i < setup->n_programs; i++) {
        const struct tgi_resident_program *p = setup->programs[i].program;
        for (uint32_t slot = 0; slot < p->n_tasks; slot++)
            if (TGI_HEAD_OP(p->tasks[slot].head) == TGI_RESIDENT_CALL)
                is_used[TGI_CALL_BODY(p->tasks[slot].in[0])] = 1;
    }
    for (uint32_t i = 0; i < 1u << 16; i++)
        if (is_used[i])
            bodies[n++] = i;
    free(is_used);
    *bodies_p = bodies;
    *n_p = n;
    return 0;
}

static int make_kernel(struct tg_service *s, const struct tgi_service_setup *setup, struct tg_error *err)
{
    struct tgi_service_view *v = &s->view;
    uint32_t *bodies = NULL, n_bodies = 0;
    int rc = find_bodies(setup, &bodies, &n_bodies, err);
    if (rc)
        return rc;
    tgi_service_tables_describe(s, setup);
    struct tgi_stay_shape shape = {.n_free = s->options.n_sms_free, .n_warps = v->n_workers_each + 1};
    shape.n_blocks = v->n_teams * v->n_blocks_each;
    shape.most_blocks = 1 + TGI_SERVICE_MAX_MAILS; /* without a program there is no use for more */
    shape.is_alone = setup != NULL;
    shape.shared_bytes = TGI_SERVICE_RELAY_BYTES + TGI_SERVICE_DESK_BYTES;
    shape.shared_bytes += tgi_resident_shared_bytes(v->n_workers_each, v->n_ahead * v->n_cells, (v->n_ahead * v->n_counters + 3) / 4 * 4);
    shape.bodies = bodies;
    shape.n_bodies = n_bodies;
    shape.can_keep = setup && setup->can_keep;
    rc = tgi_service_ops(s)->open(s->devices, 0, &shape, &s->kernel, err);
    free(bodies);
    s->n_blocks = shape.n_blocks;
    if (rc == 0)
        rc = tgi_service_tables_reserve(s, setup, shape.n_blocks, err);
    return rc ? rc : tgi_service_tables_upload(s, setup, err);
}

static void take_clients(struct tg_service *s, const struct tgi_service_setup *setup)
{
    s->n_clients = 1;
    s->clients[0] = (struct tg_service_client){.weight = 1};
    if (!setup || setup->n_clients == 0)
        return;
    s->n_clients = setup->n_clients;
    memcpy(s->clients, setup->clients, setup->n_clients * sizeof *s->clients);
}

static void dispose(struct tg_service *s)
{
    if (s->devices) {
        const struct tgi_device_ops *ops = s->devices->ops;
        bool is_attached = ops->attach(s->devices, NULL) == 0;
        /* What was brought there may still be on its way. */
        while (s->kernel && ops->stay->query(s->devices, s->kernel, NULL) == 0)
            sched_yield();
        if (s->tables.bytes)
            ops->unreserve(s->devices, 0, s->tables.memory);
        if (ops->stay)
            ops->stay->close(s->devices, s->kernel);
        ops->host_free(s->devices, s->host);
        if (is_attached)
            ops->detach(s->devices);
        ops->close(s->devices);
    }
    free(s->places);
    free(s->answers);
    tgi_service_watch_fini(&s->watch);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int open_device(struct tg_service *s, struct tg_error *err)
{
    int rc = tgi_backends[0].open(1ull << s->options.device, &s->devices, err);
    if (rc)
        s->devices = NULL;
    else if (!s->devices->ops->stay)
        rc = tgi_error(err, TG_E_UNSUPPORTED, "%s devices have no services", s->devices->ops->kind);
    return rc;
}

static int make_all(struct tg_service *s, const struct tgi_service_setup *setup, struct tg_error *err)
{
    int rc = setup ? tgi_service_check_setup(setup, s->options.message_bytes, err) : 0;
    if (rc)
        return rc;
    take_clients(s, setup);
    rc = make_host_memory(s, err);
    return rc ? rc : make_kernel(s, setup, err);
}

/* The setup of the user's, which is planned for the device, or one that has been planned. */
static int make_planned(struct tg_service *s, const struct tg_service_setup *users, const struct tgi_service_setup *setup, struct tg_error *err)
{
    struct tgi_service_planned *planned = users ? malloc(sizeof *planned) : NULL;
    if (!users)
        return make_all(s, setup, err);
    if (!planned)
        return tgi_error_memory(err, "creating a service");
    int rc = tgi_service_plan(users, s->devices, planned, err);
    if (rc == 0) {
        rc = make_all(s, &planned->setup, err);
        tgi_service_planned_fini(planned);
    }
    free(planned);
    return rc;
}

int tgi_service_create(const struct tg_service_options *options, const struct tgi_service_setup *setup,
                       struct tg_service **service_p, struct tg_error *err)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    if (options) {
        int bad = tgi_error_check_size(err, "service options", options->size, sizeof o);
        if (bad)
            return bad;
        memcpy(&o, options, options->size);
    }
    int rc = check_options(&o, err);
    if (rc)
        return rc;
    struct tg_service *s = calloc(1, sizeof *s);
    if (!s)
        return tgi_error_memory(err, "creating a service");
    s->options = o;
    s->options.setup = NULL; /* the caller's */
    s->first = s->last = TG_NONE;
    s->view.idle_ns = o.idle_exit_ns;
    s->view.has_counts = o.has_telemetry;
    s->view.silence_ns = o.host_timeout_ns;
    pthread_mutex_init(&s->lock, NULL);
    tgi_service_watch_init(&s->watch);
    rc = open_device(s, err);
    if (rc == 0 && (rc = s->devices->ops->attach(s->devices, err)) == 0) {
        rc = make_planned(s, setup ? NULL : o.setup, setup, err);
        s->devices->ops->detach(s->devices);
    }
    if (rc == 0)
        rc = tgi_service_beat_begin(s, err);
    if (rc)
        dispose(s);
    else
        *service_p = s;
    return rc;
}

int tg_service_create(const struct tg_service_options *options, struct tg_service **service_p, struct tg_error *err)
{
    return tgi_service_create(options, NULL, service_p, err);
}

void tg_service_destroy(struct tg_service *s)
{
    if (!s)
        return;
    tgi_service_watch_end(s);
    tgi_service_beat_end(s);
    pthread_mutex_lock(&s->lock);
    if (s->is_resident)
        tgi_service_command_locked(s, TGI_SERVICE_ABORT);
    s->state = TG_SERVICE_CREATED; /* nothing is launched again */
    while (s->is_resident) {
        if (tgi_service_look_locked(s, NULL))
            break;
        if (s->is_resident)
            sched_yield();
    }
    pthread_mutex_unlock(&s->lock);
    dispose(s);
}

/* ---- States -------------------------------------------------------------------------------*/

/* The kernel's first sign of life.  Without one it leaves as soon as it begins. */
static int await_life(struct tg_service *s, struct tg_error *err)
{
    struct tgi_service_wait w;
    int rc = 0;
    tgi_service_wait_init(&w, launch_limit_ns);
    w.look_ns = 0;
    /* acquire: pairs with the release in tgi_controller_run(); nothing is read behind it yet. */
    while (rc == 0 && tgi_sys_load_acquire(&s->view.shared->alive) != s->view.launch)
        rc = tgi_service_wait_locked(s, &w, err);
    if (rc == TG_E_NO_ANSWER) {
        tgi_service_command_locked(s, TGI_SERVICE_ABORT);
        tgi_error(err, rc, "launching a service: its %" PRIu32 " blocks have not begun within %" PRIu64 " s", s->n_blocks,
                  launch_limit_ns / 1000000000u);
    }
    return rc;
}

int tg_service_launch(struct tg_service *s, struct tg_error *err)
{
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "launch", TGI_STATE(CREATED), err);
    if (rc == 0 && s->is_resident) { /* of an attempt before */
        rc = tgi_service_look_locked(s, err);
        if (rc == 0 && s->is_resident)
            rc = tgi_error(err, TG_E_NO_ANSWER, "launching a service: the launch before has not begun yet");
    }
    if (rc == 0) {
        tgi_service_command_locked(s, TGI_SERVICE_HOLD);
        rc = launch_kernel(s, err);
    }
    if (rc == 0)
        rc = await_life(s, err);
    if (rc == 0)
        s->state = TG_SERVICE_LAUNCHED;
    tgi_service_unlock(s);
    return rc;
}

int tg_service_activate(struct tg_service *s, struct tg_error *err)
{
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "activate", TGI_STATE(LAUNCHED) | TGI_STATE(INACTIVE), err);
    if (rc == 0) {
        s->state = TG_SERVICE_ACTIVE;
        tgi_service_command_locked(s, TGI_SERVICE_SERVE);
        rc = tgi_service_wake_locked(s, err);
    }
    tgi_service_unlock(s);
    return rc;
}

/* That is a look of the controller's away. */
int tgi_service_await_obedience_locked(struct tg_service *s, struct tg_error *err)
{
    const uint64_t number = s->n_commands;
    struct tgi_service_wait w;
    int rc = 0;
    tgi_service_wait_init(&w, UINT64_MAX);
    /* acquire: pairs with the release in tgi_controller_obey().  Somebody else may have given another command since. */
    while (rc == 0 && s->is_resident && !leaves(s) && tgi_sys_load_acquire(&s->view.shared->obeyed) >> 8 < number)
        rc = tgi_service_wait_locked(s, &w, err);
    return rc;
}

int tg_service_deactivate(struct tg_service *s, struct tg_error *err)
{
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "deactivate", TGI_STATE(ACTIVE), err);
    if (rc == 0)
        rc = tgi_service_watch_check_locked(s, "deactivate", err);
    if (rc == 0) {
        s->state = TG_SERVICE_INACTIVE;
        tgi_service_command_locked(s, TGI_SERVICE_HOLD);
        rc = tgi_service_await_obedience_locked(s, err);
    }
    tgi_service_unlock(s);
    return rc;
}

int tg_service_terminate(struct tg_service *s, uint64_t timeout_ns, struct tg_error *err)
{
    const uint32_t legal = TGI_STATE(LAUNCHED) | TGI_STATE(ACTIVE) | TGI_STATE(INACTIVE) | TGI_STATE(TERMINATING);
    struct tgi_service_wait w;
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "terminate", legal, err);
    if (rc == 0)
        rc = tgi_service_watch_check_locked(s, "terminate", err);
    if (rc == 0) {
        s->state = TG_SERVICE_TERMINATING;
        tgi_service_command_locked(s, TGI_SERVICE_STOP);
        tgi_service_wait_init(&w, timeout_ns);
        w.look_ns = 0;
    }
    while (rc == 0 && s->state == TG_SERVICE_TERMINATING) {
        tgi_service_drain_locked(s);
        rc = tgi_service_wait_locked(s, &w, err);
    }
    if (rc == TG_E_NO_ANSWER && s->state == TG_SERVICE_TERMINATED)
        rc = 0; /* in the last look */
    else if (rc == TG_E_NO_ANSWER)
        tgi_error(err, rc, "terminate: %" PRIu64 " messages are not answered yet", s->n_sent - s->n_taken);
    tgi_service_unlock(s);
    return rc;
}

int tg_service_status(struct tg_service *s, struct tg_service_status *status_p, struct tg_error *err)
{
    (void)err;
    pthread_mutex_lock(&s->lock);
    const struct tgi_resident_panic *p = &s->view.shared->panic;
    struct tg_service_status status = {.state = s->state, .n_blocks = s->n_blocks, .n_in_flight = s->n_in_flight,
                                       .device = s->options.device, .queue_capacity = s->options.queue_capacity};
    status.is_resident = s->is_resident && !leaves(s);
    /* acquire: the record; pairs with the release in tgi_controller_tell(). */
    if (tgi_sys_load_acquire(&s->view.shared->is_panic))
        status.panic = (struct tg_service_panic){p->code, p->task, p->worker, p->detail};
    *status_p = status;
    pthread_mutex_unlock(&s->lock);
    return 0;
}
