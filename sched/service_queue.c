/* Messages of a service: places, sending, taking answers from the ring, waiting for them.
 *
 * A place is taken by send and free again when its answer has been received or dropped.  Places are used in turn, which is what
 * makes both rings safe without a word about room (mem/service_ring.h): the slot of a message is the one of its place.
 *
 * Whoever waits empties the ring for everybody: an answer is copied to its place, and put into the list of answers to be
 * received unless a call waits for it.  So the kernel's ring is never full, whatever the program does not receive. */
#include "sched/service.h"

#include <inttypes.h>
#include <string.h>

#include "graph/error.h"

static struct tgi_service_place *place_of(struct tg_service *s, uint64_t ticket)
{
    return &s->places[ticket & (s->options.queue_capacity - 1)];
}
static unsigned char *bytes_of(struct tg_service *s, const struct tgi_service_place *p)
{
    return s->answers + (size_t)(p - s->places) * s->options.message_bytes;
}

/* ---- Latencies ----------------------------------------------------------------------------*/

/* Two buckets for each doubling, from 256 ns on. */
uint64_t tg_service_bucket_ns(uint32_t bucket)
{
    if (bucket >= TG_SERVICE_N_BUCKETS - 1)
        return UINT64_MAX;
    return (bucket % 2 ? UINT64_C(362) : UINT64_C(256)) << bucket / 2;
}

static void count_latency(struct tg_service_metrics *m, uint64_t ns)
{
    uint32_t i = 0;
    while (ns >= tg_service_bucket_ns(i) && i < TG_SERVICE_N_BUCKETS - 1)
        i++;
    m->latency[i]++;
    m->latency_sum_ns += ns;
}

/* ---- Answers ------------------------------------------------------------------------------*/

static void free_place_locked(struct tg_service *s, struct tgi_service_place *p)
{
    p->state = TGI_PLACE_FREE;
    s->n_in_flight--;
    if (p->is_instance)
        s->client_in_flight[p->client]--;
}

static void list_locked(struct tg_service *s, struct tgi_service_place *p)
{
    uint32_t i = (uint32_t)(p - s->places);
    p->next = TG_NONE;
    if (s->last == TG_NONE)
        s->first = i;
    else
        s->places[s->last].next = i;
    s->last = i;
}

static void take_answer_locked(struct tg_service *s, uint64_t word, uint64_t now)
{
    const struct tgi_service_ring *r = &s->view.answers;
    struct tgi_service_place *p = place_of(s, TGI_SERVICE_TAG(word));
    const unsigned char *from = tgi_service_ring_bytes(r, (uint32_t)s->n_taken);
    p->outcome = TGI_SERVICE_CODE(word);
    p->n_bytes = TGI_SERVICE_BYTES(word);
    p->code = 0;
    if (p->outcome == TGI_SERVICE_FAILED || p->outcome == TGI_SERVICE_STUCK) {
        struct tgi_resident_panic panic;
        memcpy(&panic, from, sizeof panic);
        p->code = panic.detail;
        p->n_bytes = 0;
        s->metrics.n_failed++;
    }
    s->metrics.n_late += p->outcome == TGI_SERVICE_MISSED || p->outcome == TGI_SERVICE_DONE_LATE;
    s->metrics.n_cancelled += p->outcome == TGI_SERVICE_CANCELLED || p->outcome == TGI_SERVICE_KEPT;
    s->n_taken++;
    s->metrics.n_answered++;
    s->metrics.answered_bytes += p->n_bytes;
    p->latency_ns = now - p->sent_ns;
    count_latency(&s->metrics, p->latency_ns);
    p->state = TGI_PLACE_ANSWERED;
    s->watch.n_due -= !p->is_call;
    if (p->is_dropped) {
        s->metrics.n_dropped++;
        free_place_locked(s, p);
        return;
    }
    memcpy(bytes_of(s, p), from, p->n_bytes);
    if (!p->is_call)
        list_locked(s, p);
}

void tgi_service_drain_locked(struct tg_service *s)
{
    const struct tgi_service_ring *r = &s->view.answers;
    uint64_t now = 0;
    while (s->n_taken < s->n_sent) {
        uint32_t position = (uint32_t)s->n_taken;
        /* acquire: the answer's bytes; pairs with the store in tgi_controller_put(). */
        uint64_t word = tgi_sys_load_acquire(tgi_service_ring_word(r, position));
        if (!tgi_service_ring_is_at(r, position, word))
            return;
        if (now == 0)
            now = tgi_service_now_ns();
        take_answer_locked(s, word, now);
    }
}

static int status_of(uint32_t outcome)
{
    static const int status[] = {[TGI_SERVICE_DONE] = 0,
                                 [TGI_SERVICE_FAILED] = TG_E_TASK_FAILED,
                                 [TGI_SERVICE_STUCK] = TG_E_TASK_TIMEOUT,
                                 [TGI_SERVICE_GIVEN_UP] = TG_E_CANCELLED,
                                 [TGI_SERVICE_CANCELLED] = TG_E_CANCELLED,
                                 [TGI_SERVICE_MISSED] = TG_E_DEADLINE,
                                 [TGI_SERVICE_DONE_LATE] = 0,
                                 [TGI_SERVICE_KEPT] = TG_E_CANCELLED};
    return outcome < sizeof status / sizeof *status ? status[outcome] : TG_E_INTERNAL;
}

/* What the answer says, as an error of who called. */
static int explain(const struct tgi_service_place *p, struct tg_error *err)
{
    switch (status_of(p->outcome)) {
    case 0:
        return 0;
    case TG_E_TASK_FAILED:
        return tgi_error(err, TG_E_TASK_FAILED, "message %" PRIu64 ": its body failed with code %" PRIu32, p->ticket, p->code);
    case TG_E_TASK_TIMEOUT:
        return tgi_error(err, TG_E_TASK_TIMEOUT, "message %" PRIu64 ": a task waited longer than the service's limit", p->ticket);
    case TG_E_CANCELLED:
        return tgi_error(err, TG_E_CANCELLED, "message %" PRIu64 ": %s", p->ticket,
                         p->outcome == TGI_SERVICE_CANCELLED ? "it was cancelled" : "the kernel left while it was at work");
    case TG_E_DEADLINE:
        return tgi_error(err, TG_E_DEADLINE, "message %" PRIu64 ": its turn came after its deadline", p->ticket);
    default:
        return tgi_error(err, TG_E_INTERNAL, "message %" PRIu64 ": outcome %" PRIu32, p->ticket, p->outcome);
    }
}

/* ---- Sending ------------------------------------------------------------------------------*/

static int send_locked(struct tg_service *s, const struct tgi_service_parcel *m, uint64_t *ticket_p, struct tg_error *err)
{
    struct tgi_service_ring *r = &s->view.messages;
    uint64_t ticket = s->n_sent;
    uint32_t position = (uint32_t)ticket;
    struct tgi_service_place *p = place_of(s, ticket);
    const bool is_instance = m->kind == TGI_SERVICE_PROGRAM;
    const uint32_t most = is_instance ? s->clients[m->client].most_in_flight : 0;
    if (p->state != TGI_PLACE_FREE)
        tgi_service_drain_locked(s); /* one that was dropped may be there */
    if (p->state != TGI_PLACE_FREE) {
        s->metrics.n_full++;
        return tgi_error(err, TG_E_FULL, "sending message %" PRIu64 ": %s message %" PRIu64 ", %" PRIu32 " before it", ticket,
                         p->state == TGI_PLACE_SENT ? "there is no answer yet to" : "nobody has received the answer to", p->ticket,
                         s->options.queue_capacity);
    }
    if (is_instance && most && s->client_in_flight[m->client] >= most) {
        s->metrics.n_full++;
        return tgi_error(err, TG_E_FULL, "sending message %" PRIu64 ": client %" PRIu32 " has %" PRIu32 " instances in flight, as many as"
                         " it may", ticket, m->client, most);
    }
    *p = (struct tgi_service_place){.state = TGI_PLACE_SENT, .is_call = m->is_call, .ticket = ticket};
    p->sent_ns = tgi_service_now_ns();
    if (is_instance) {
        p->is_instance = true;
        p->client = m->client;
        s->client_in_flight[m->client]++;
        tgi_sys_store_relaxed(tgi_service_ring_word(r, position) + 1, m->deadline_ns);
        if (m->deadline_ns) /* so that the kernel knows what time it is */
            tgi_sys_store_relaxed(&s->view.shared->beat_ns, p->sent_ns);
    }
    if (m->n_head_bytes) {
        memset(tgi_service_ring_bytes(r, position), 0, m->n_head_bytes);
        memcpy(tgi_service_ring_bytes(r, position), &m->head, sizeof m->head);
    }
    if (m->n_bytes)
        memcpy(tgi_service_ring_bytes(r, position) + m->n_head_bytes, m->data, m->n_bytes);
    s->n_sent++;
    s->n_in_flight++;
    s->watch.n_posted += !m->is_call;
    s->watch.n_due += !m->is_call;
    s->metrics.n_sent++;
    const uint32_t n_bytes = (uint32_t)(m->n_head_bytes + m->n_bytes);
    s->metrics.sent_bytes += n_bytes;
    /* seq_cst, which is more than the release that tgi_controller_look() pairs with: not both this and the controller's last
     * look can miss the other (mem/service_view.h). */
    tgi_sys_store_seq_cst(tgi_service_ring_word(r, position),
                          tgi_service_ring_make(r, position, m->argument, m->kind, n_bytes));
    *ticket_p = ticket;
    return s->state == TG_SERVICE_ACTIVE ? tgi_service_wake_locked(s, err) : 0;
}

static int check_message(const struct tg_service *s, const struct tg_service_message *m, struct tg_error *err)
{
    if ((unsigned)m->body >= TG_SERVICE_N_BODIES)
        return tgi_error(err, TG_E_INVALID, "a message for body %d, which there is not", (int)m->body);
    if (m->n_bytes > s->options.message_bytes)
        return tgi_error(err, TG_E_LIMIT, "a message of %zu bytes; this service takes %" PRIu32, m->n_bytes,
                         s->options.message_bytes);
    return 0;
}

static const uint32_t may_send = TGI_STATE(LAUNCHED) | TGI_STATE(ACTIVE) | TGI_STATE(INACTIVE);

int tgi_service_send(struct tg_service *s, const struct tgi_service_parcel *m, uint64_t *ticket_p, struct tg_error *err)
{
    uint64_t ticket;
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "send", may_send, err);
    if (rc == 0)
        rc = send_locked(s, m, &ticket, err);
    if (rc == 0 && ticket_p)
        *ticket_p = ticket;
    tgi_service_unlock(s);
    return rc;
}

int tg_service_send(struct tg_service *s, const struct tg_service_message *m, uint64_t *ticket_p, struct tg_error *err)
{
    int rc = check_message(s, m, err);
    const struct tgi_service_parcel parcel = {.kind = (enum tgi_service_kind)m->body, m->argument, m->data, m->n_bytes};
    return rc ? rc : tgi_service_send(s, &parcel, ticket_p, err);
}

/* ---- Receiving ----------------------------------------------------------------------------*/

void tgi_service_take_first_locked(struct tg_service *s, struct tg_service_answer *answer_p, void *data)
{
    struct tgi_service_place *p = &s->places[s->first];
    *answer_p = (struct tg_service_answer){p->ticket, status_of(p->outcome), p->code, p->n_bytes, p->latency_ns,
                                           p->outcome == TGI_SERVICE_DONE_LATE, p->outcome == TGI_SERVICE_KEPT};
    if (p->n_bytes)
        memcpy(data, bytes_of(s, p), p->n_bytes);
    s->first = p->next;
    if (s->first == TG_NONE)
        s->last = TG_NONE;
    free_place_locked(s, p);
}

/* Until there is an answer to be received. */
static int await_any_locked(struct tg_service *s, uint64_t timeout_ns, struct tg_error *err)
{
    struct tgi_service_wait w;
    int rc = 0;
    tgi_service_wait_init(&w, timeout_ns);
    while (tgi_service_drain_locked(s), rc == 0 && s->first == TG_NONE) {
        if (s->broken.status)
            return tgi_service_check_locked(s, "receive", 0, err);
        rc = s->state == TG_SERVICE_TERMINATED ? TG_E_NO_ANSWER : tgi_service_wait_locked(s, &w, err);
    }
    if (s->first != TG_NONE)
        return 0;
    return rc == TG_E_NO_ANSWER ? tgi_error(err, rc, s->n_in_flight ? "no answer has come in time" : "no answer is to come") : rc;
}

int tg_service_receive(struct tg_service *s, uint64_t timeout_ns, struct tg_service_answer *answer_p, void *data, size_t room,
                       struct tg_error *err)
{
    pthread_mutex_lock(&s->lock);
    int rc = s->broken.status || s->state != TG_SERVICE_CREATED ? 0 : tgi_service_check_locked(s, "receive", 0, err);
    if (rc == 0 && s->watch.fn)
        rc = tgi_error(err, TG_E_STATE, "receive: answers go to the service's callback");
    if (rc == 0)
        rc = await_any_locked(s, timeout_ns, err);
    const struct tgi_service_place *p = rc == 0 ? &s->places[s->first] : NULL;
    if (p && p->n_bytes > room)
        rc = tgi_error(err, TG_E_LIMIT, "the answer to message %" PRIu64 " has %" PRIu32 " bytes, and there is room for %zu", p->ticket,
                       p->n_bytes, room);
    else if (p)
        tgi_service_take_first_locked(s, answer_p, data);
    tgi_service_unlock(s);
    return rc;
}

/* Waits for the answer to a message that was sent with is_call. */
static int await_locked(struct tg_service *s, uint64_t ticket, uint64_t timeout_ns, void *data, size_t room, size_t *n_bytes_p,
                        struct tg_error *err)
{
    struct tgi_service_place *p = place_of(s, ticket);
    struct tgi_service_wait w;
    int rc = 0;
    tgi_service_wait_init(&w, timeout_ns);
    while (tgi_service_drain_locked(s), p->state == TGI_PLACE_SENT) {
        rc = tgi_service_wait_locked(s, &w, err);
        if (rc == 0)
            continue;
        p->is_dropped = true;
        if (rc == TG_E_NO_ANSWER) {
            s->metrics.n_timeouts++;
            tgi_error(err, rc, "message %" PRIu64 ": no answer within %.3g s", ticket, (double)timeout_ns / 1e9);
        }
        return rc;
    }
    rc = explain(p, err);
    if (rc == 0 && p->n_bytes > room)
        rc = tgi_error(err, TG_E_LIMIT, "the answer to message %" PRIu64 " has %" PRIu32 " bytes, and there is room for %zu", ticket,
                       p->n_bytes, room);
    if (rc == 0) {
        if (p->n_bytes)
            memcpy(data, bytes_of(s, p), p->n_bytes);
        *n_bytes_p = p->n_bytes;
    }
    free_place_locked(s, p);
    return rc;
}

int tgi_service_call(struct tg_service *s, const struct tgi_service_parcel *m, uint64_t timeout_ns, void *data, size_t room, size_t *n_bytes_p,
                struct tg_error *err)
{
    uint64_t ticket;
    size_t n_bytes = 0;
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, "call", TGI_STATE(ACTIVE), err);
    if (rc == 0)
        rc = tgi_service_watch_check_locked(s, "call", err);
    if (rc == 0)
        rc = send_locked(s, m, &ticket, err);
    if (rc == 0)
        rc = await_locked(s, ticket, timeout_ns, data, room, &n_bytes, err);
    if (rc == 0 && n_bytes_p)
        *n_bytes_p = n_bytes;
    tgi_service_unlock(s);
    return rc;
}

int tg_service_call(struct tg_service *s, const struct tg_service_message *m, uint64_t timeout_ns, void *data, size_t room,
                    size_t *n_bytes_p, struct tg_error *err)
{
    int rc = check_message(s, m, err);
    const struct tgi_service_parcel parcel = {.kind = (enum tgi_service_kind)m->body, m->argument, m->data, m->n_bytes, true};
    return rc ? rc : tgi_service_call(s, &parcel, timeout_ns, data, room, n_bytes_p, err);
}

/* ---- Watching -----------------------------------------------------------------------------*/

/* relaxed: figures, which may lag behind and need not be of one moment. */
static struct tgi_service_client_counts client_counts(const struct tg_service *s, uint32_t client)
{
    const struct tgi_service_client_counts *c = &s->view.shared->clients[client];
    return (struct tgi_service_client_counts){tgi_sys_load_relaxed(&c->used_ns), tgi_sys_load_relaxed(&c->n_begun),
                                              tgi_sys_load_relaxed(&c->n_late), tgi_sys_load_relaxed(&c->n_cancelled),
                                              tgi_sys_load_relaxed(&c->n_waiting), tgi_sys_load_relaxed(&c->n_running)};
}

int tg_service_metrics(struct tg_service *s, struct tg_service_metrics *metrics_p, struct tg_error *err)
{
    (void)err;
    pthread_mutex_lock(&s->lock);
    const struct tgi_service_counts *c = &s->view.shared->counts;
    struct tg_service_metrics m = s->metrics;
    m.n_in_flight = s->n_in_flight;
    /* relaxed: figures, which may lag behind and need not be of one moment. */
    m.n_polls = tgi_sys_load_relaxed(&c->n_polls);
    m.n_messages = tgi_sys_load_relaxed(&c->n_messages);
    m.n_batches = tgi_sys_load_relaxed(&c->n_batches);
    m.n_instances = tgi_sys_load_relaxed(&c->n_instances);
    m.n_tasks = tgi_sys_load_relaxed(&c->n_tasks);
    m.up_ns = tgi_sys_load_relaxed(&c->up_ns);
    m.n_clients = s->view.n_programs ? s->n_clients : 0;
    m.n_teams = s->view.n_teams;
    for (uint32_t i = 0; i < m.n_clients; i++) {
        struct tgi_service_client_counts counts = client_counts(s, i);
        m.n_waiting += counts.n_waiting;
        m.n_running += counts.n_running;
        m.busy_ns += counts.used_ns;
        m.clients[i] = (struct tg_service_client_metrics){s->clients[i].weight, counts.n_begun, counts.n_waiting, counts.n_running,
                                                          counts.n_late, counts.n_cancelled, s->client_in_flight[i], counts.used_ns};
    }
    *metrics_p = m;
    pthread_mutex_unlock(&s->lock);
    return 0;
}
