/* Instances of a service's programs, as the host sees them: messages of a kind of their own. */
#include "sched/service.h"

#include <inttypes.h>
#include <string.h>

#include "graph/error.h"

/* The first word says what it is of. */
static int check_kept(const struct tg_service *s, const struct tg_service_instance *r, struct tg_error *err)
{
    uint64_t key = 0, n_bytes = 8ull * s->view.programs[r->program].n_kept;
    if (n_bytes == 0)
        return tgi_error(err, TG_E_STATE, "submit: instances of this service cannot be kept");
    if (r->n_kept_bytes == n_bytes)
        memcpy(&key, r->kept, sizeof key);
    return r->n_kept_bytes == n_bytes && key == s->tables.key[r->program]
               ? 0
               : tgi_error(err, TG_E_INVALID, "submit: what was kept is not of program %" PRIu32 " of this service, or it was planned otherwise or had"
                           " other data then", r->program);
}

static int make_parcel(const struct tg_service *s, const struct tg_service_instance *r, bool is_call, struct tgi_service_parcel *m,
                       struct tg_error *err)
{
    if (s->view.n_programs == 0)
        return tgi_error(err, TG_E_STATE, "submit: the service was created without a program");
    if (r->program >= s->view.n_programs || r->client >= s->n_clients || r->urgency >= TGI_TURN_N_URGENCIES)
        return tgi_error(err, TG_E_INVALID, "submit: program %" PRIu32 " of %" PRIu32 ", client %" PRIu32 " of %" PRIu32 ", urgency %" PRIu32
                         " of %" PRIu32, r->program, s->view.n_programs, r->client, s->n_clients, r->urgency, TGI_TURN_N_URGENCIES);
    if (r->kept) {
        int rc = check_kept(s, r, err);
        if (rc)
            return rc;
    }
    const uint32_t n_head = r->kept ? 0 : s->tables.head_bytes, n_words = s->view.programs[r->program].n_inputs;
    *m = (struct tgi_service_parcel){.kind = TGI_SERVICE_PROGRAM,
                                     .argument = TGI_SERVICE_INSTANCE(r->program, r->client, r->urgency),
                                     .data = r->kept ? r->kept : r->inputs ? (const void *)r->inputs : r->data,
                                     .n_bytes = r->kept ? r->n_kept_bytes : 8ul * n_words - n_head,
                                     .n_head_bytes = n_head,
                                     .head = s->tables.key[r->program],
                                     .is_call = is_call,
                                     .client = r->client,
                                     .deadline_ns = r->deadline_ns ? tgi_service_now_ns() + r->deadline_ns : 0};
    return 0;
}

int tg_service_submit(struct tg_service *s, const struct tg_service_instance *request, uint64_t *ticket_p, struct tg_error *err)
{
    struct tgi_service_parcel m;
    int rc = make_parcel(s, request, false, &m, err);
    return rc ? rc : tgi_service_send(s, &m, ticket_p, err);
}

int tg_service_run(struct tg_service *s, const struct tg_service_instance *request, uint64_t timeout_ns, void *outputs,
                   struct tg_error *err)
{
    struct tgi_service_parcel m;
    int rc = make_parcel(s, request, true, &m, err);
    return rc ? rc
              : tgi_service_call(s, &m, timeout_ns, outputs, 8ul * s->view.programs[request->program].n_outputs, NULL, err);
}

/* The slot says so for good, wherever the instance is; the command makes the kernel look at once. */
static int cancel(struct tg_service *s, uint64_t ticket, bool keeps, const char *what, struct tg_error *err)
{
    static const enum tgi_service_command again[] = {[TG_SERVICE_LAUNCHED] = TGI_SERVICE_HOLD,
                                                     [TG_SERVICE_ACTIVE] = TGI_SERVICE_SERVE,
                                                     [TG_SERVICE_INACTIVE] = TGI_SERVICE_HOLD,
                                                     [TG_SERVICE_TERMINATING] = TGI_SERVICE_STOP};
    const uint32_t legal = TGI_STATE(LAUNCHED) | TGI_STATE(ACTIVE) | TGI_STATE(INACTIVE) | TGI_STATE(TERMINATING);
    pthread_mutex_lock(&s->lock);
    int rc = tgi_service_check_locked(s, what, legal, err);
    if (rc == 0)
        rc = tgi_service_watch_check_locked(s, what, err);
    if (rc == 0)
        tgi_service_drain_locked(s);
    const struct tgi_service_place *p = &s->places[ticket & (s->options.queue_capacity - 1)];
    if (rc == 0 && (p->ticket != ticket || p->state != TGI_PLACE_SENT))
        rc = tgi_error(err, TG_E_STATE, "%s: message %" PRIu64 " is not under way", what, ticket);
    else if (rc == 0 && !p->is_instance)
        rc = tgi_error(err, TG_E_INVALID, "%s: message %" PRIu64 " is not an instance", what, ticket);
    else if (rc == 0 && keeps && p->is_call)
        rc = tgi_error(err, TG_E_INVALID, "%s: nobody would get what instance %" PRIu64 " goes on with, as it is a call", what, ticket);
    if (rc == 0) {
        /* relaxed: the kernel looks at it when the instance would begin. */
        tgi_sys_store_relaxed(tgi_service_ring_word(&s->view.messages, (uint32_t)ticket) + 1, TGI_SERVICE_CANCELLED_ALREADY);
        /* relaxed: the command publishes it. */
        tgi_sys_store_relaxed(&s->view.shared->cancel, TGI_SERVICE_CANCEL(++s->n_cancels, keeps, (uint32_t)ticket));
        tgi_service_command_locked(s, again[s->state]);
        rc = tgi_service_await_obedience_locked(s, err);
    }
    tgi_service_unlock(s);
    return rc;
}

int tg_service_cancel(struct tg_service *s, uint64_t ticket, struct tg_error *err) { return cancel(s, ticket, false, "cancel", err); }

int tg_service_keep(struct tg_service *s, uint64_t ticket, struct tg_error *err)
{
    if (s->tables.head_bytes == 0)
        return tgi_error(err, TG_E_STATE, "keep: instances of this service cannot be kept");
    return cancel(s, ticket, true, "keep", err);
}

size_t tg_service_kept_bytes(const struct tg_service *s, uint32_t program)
{
    return program < s->view.n_programs ? 8ul * s->view.programs[program].n_kept : 0;
}
