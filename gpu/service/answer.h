/* What a service's controller knows, and how it answers.  Everything in struct tgi_controller is the same in all lanes; the desk is
 * written by lane 0 alone.
 *
 * Order towards the host.  The word of an answer is stored with release if the controller has read or written bytes
 * of messages since its last release: the bytes of the answer, and that a message has been read before its slot is used again.
 * Otherwise nothing lies behind it and it is stored relaxed, which takes a fence across the bus out of an empty call. */
#ifndef TGI_GPU_SERVICE_ANSWER_H
#define TGI_GPU_SERVICE_ANSWER_H

#include "gpu/service/worker.h"

struct tgi_controller {
    const struct tgi_service_view *v;
    struct tgi_service_desk *desk;
    uint32_t taken, answered; /* positions */
    uint32_t width;
    uint32_t busy;      /* mails whose worker is at work */
    uint32_t seated;    /* seats with an instance */
    uint32_t n_waiting; /* instances */
    bool is_stale;      /* something has changed since nothing that waits could begin */
    bool is_owing;      /* bytes were read or written since the last release */
    bool has_told;      /* of a panic in this launch */
    bool is_quiet;      /* the host has not been heard for long */
    bool is_over;
    uint32_t n_looks, n_idle, n_ended;
    uint64_t began_ns, up_ns;
    uint64_t idle_since; /* 0: not idle, or not for long */
    uint64_t command;    /* the last one seen */
    uint64_t cancel;     /* the same */
    uint64_t beat_ns, beat_at; /* the last beat, and when it was seen, by the GPU's clock */
    uint64_t ahead_ns;   /* by how much the GPU's clock seems to be before the host's, at most */
    struct tgi_service_counts counts;
};

#ifdef __CUDACC__
TGI_FN uint32_t tgi_warp_max(uint32_t x) { return __reduce_max_sync(~0u, x); }
#else
TGI_FN uint32_t tgi_warp_max(uint32_t x) { return x; }
#endif

TGI_FN void tgi_copy_words(uint64_t *to, const uint64_t *from, uint32_t n)
{
    for (uint32_t i = tgi_lane(); i < n; i += TGI_LANES)
        to[i] = from[i];
}

/* ---- Answers --------------------------------------------------------------------------------*/

/* By one lane for one position.  Pairs with the acquire of the host's tgi_service_drain_locked(). */
TGI_FN void tgi_controller_put(const struct tgi_controller *c, uint32_t position, uint32_t ticket, uint32_t outcome,
                               uint32_t n_bytes, bool is_ordered)
{
    const struct tgi_service_ring *r = &c->v->answers;
    uint64_t word = tgi_service_ring_make(r, position, ticket, outcome, n_bytes);
    if (is_ordered)
        tgi_sys_store_release(tgi_service_ring_word(r, position), word);
    else
        tgi_sys_store_relaxed(tgi_service_ring_word(r, position), word);
}

/* One answer, with bytes from the device's memory. */
TGI_FN void tgi_controller_answer(struct tgi_controller *c, uint32_t ticket, uint32_t outcome, const void *from, uint32_t n_bytes)
{
    bool is_ordered = c->is_owing || n_bytes;
    tgi_copy_words((uint64_t *)tgi_service_ring_bytes(&c->v->answers, c->answered), (const uint64_t *)from, (n_bytes + 7) / 8);
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_controller_put(c, c->answered, ticket, outcome, n_bytes, is_ordered);
    c->answered++;
    c->is_owing = false;
}

/* The host learns of the first panic when it is known here, not when its instance has ended. */
TGI_FN void tgi_controller_tell(struct tgi_controller *c, const struct tgi_resident_panic *p)
{
    if (c->has_told)
        return;
    c->has_told = true;
    if (tgi_lane() == 0) {
        c->v->shared->panic = *p;
        tgi_sys_store_release(&c->v->shared->is_panic, 1);
    }
    tgi_warp_sync();
}

TGI_FN void tgi_controller_answer_panic(struct tgi_controller *c, uint32_t ticket, uint32_t outcome,
                                        const struct tgi_resident_panic *p)
{
    tgi_controller_tell(c, p);
    if (tgi_lane() == 0)
        *(struct tgi_resident_panic *)tgi_service_ring_bytes(&c->v->answers, c->answered) = *p;
    tgi_warp_sync();
    if (tgi_lane() == 0)
        tgi_controller_put(c, c->answered, ticket, outcome, sizeof *p, true);
    c->answered++;
    c->is_owing = false;
}

/* ---- Figures --------------------------------------------------------------------------------*/

TGI_FN void tgi_controller_count(const struct tgi_controller *c)
{
    struct tgi_service_counts *to = &c->v->shared->counts;
    if (!c->v->has_counts || tgi_lane() != 0)
        return;
    tgi_sys_store_relaxed(&to->n_polls, c->counts.n_polls);
    tgi_sys_store_relaxed(&to->n_messages, c->counts.n_messages);
    tgi_sys_store_relaxed(&to->n_batches, c->counts.n_batches);
    tgi_sys_store_relaxed(&to->n_instances, c->counts.n_instances);
    tgi_sys_store_relaxed(&to->n_tasks, c->counts.n_tasks);
    tgi_sys_store_relaxed(&to->up_ns, c->counts.up_ns + tgi_now_ns() - c->began_ns);
    for (uint32_t i = 0; i < c->desk->turns.n_clients; i++) {
        const struct tgi_turn_client *from = &c->desk->turns.clients[i];
        struct tgi_service_client_counts *client = &c->v->shared->clients[i];
        tgi_sys_store_relaxed(&client->used_ns, from->used_ns);
        tgi_sys_store_relaxed(&client->n_begun, from->n_begun);
        tgi_sys_store_relaxed(&client->n_late, from->n_late);
        tgi_sys_store_relaxed(&client->n_cancelled, from->n_cancelled);
        tgi_sys_store_relaxed(&client->n_waiting, from->n_waiting);
        tgi_sys_store_relaxed(&client->n_running, from->n_running);
    }
}

#endif
