/* Channels: messages of one size from any worker to any worker, bounded, by priority.
 *
 * Each message is received once.  Messages that one worker sends with one priority are received in the order in which they
 * were sent: a receiver sees them in that order, and of two receivers whoever claims later gets later ones.  Urgent
 * messages, those of higher priorities, are received before others.  A channel is a queue (gpu/library/queue.h) for each priority.
 *
 * Nothing here waits.  A send into a full channel and a receive from an empty one say so, and batches say how many: that is the
 * back-pressure.  What to do then is the program's choice: try again later, do something else, or leave and be called:
 *
 *     if (tgd_channel_await(channel, TGD_CHANNEL_RECEIVERS, my_task, &ready) == TGD_OK) {
 *         if (ready != TGD_NO_TOKEN) make task `ready` ready, which may be my_task itself;
 *         leave; whoever is handed my_task makes it ready, and then it tries again
 *     }
 *
 * In a program where tasks await, each send that has moved something is followed by tgd_channel_wake() for receivers, each receive
 * for the senders of every priority.  Every token is handed out once.  A task that is called may find that another has been
 * faster; it awaits again.
 *
 *     host:    image = zeroed memory of tgd_channel_bytes(&shape), aligned to 128; tgd_channel_init(image, &shape); copied to
 *              where the channel shall be, aligned to 128
 *     bodies:  all lanes of a warp, alike */
#ifndef TGD_CHANNEL_H
#define TGD_CHANNEL_H

#include "gpu/library/queue.h"
#include "gpu/library/waiters.h"

#define TGD_CHANNEL_PRIORITIES 4u /* at most; 0 is the least urgent */

struct tgd_channel_shape {
    uint32_t capacity;      /* messages of each priority: a power of two, from 2 on */
    uint32_t message_bytes; /* a multiple of 4; of 16 it is copied faster, if the messages are aligned so */
    uint32_t n_priorities;
    uint32_t n_waiters;     /* tasks that may await on each side, and for senders by priority; 0: nobody awaits */
};

/* The sets of those who wait.  Senders of priority p: TGD_CHANNEL_SENDERS + p. */
enum tgd_channel_side { TGD_CHANNEL_RECEIVERS, TGD_CHANNEL_SENDERS };

/* Sets of waiters follow, then queues. */
struct tgd_channel {
    struct tgd_channel_shape shape;
    uint32_t pad[28];
};

/* ---- Making ---------------------------------------------------------------------------------*/

TGI_FN struct tgi_waiters *tgi_channel_waiters(struct tgd_channel *c, uint32_t side)
{
    return (struct tgi_waiters *)((char *)(c + 1) + side * tgi_waiters_bytes(c->shape.n_waiters));
}
TGI_FN struct tgi_queue *tgi_channel_queue(struct tgd_channel *c, uint32_t priority)
{
    return (struct tgi_queue *)((char *)tgi_channel_waiters(c, c->shape.n_priorities + 1) +
                                priority * tgi_queue_bytes(c->shape.capacity, c->shape.message_bytes / 4));
}

/* 0: no channel has this shape. */
TGI_FN uint64_t tgd_channel_bytes(const struct tgd_channel_shape *s)
{
    bool is_good = s->capacity >= 2 && !(s->capacity & (s->capacity - 1)) && s->message_bytes && s->message_bytes % 4 == 0 &&
                   (uint64_t)s->capacity * s->message_bytes < 1u << 31 && s->n_priorities >= 1 &&
                   s->n_priorities <= TGD_CHANNEL_PRIORITIES;
    return !is_good ? 0
                    : sizeof(struct tgd_channel) + (s->n_priorities + 1) * tgi_waiters_bytes(s->n_waiters) +
                          s->n_priorities * tgi_queue_bytes(s->capacity, s->message_bytes / 4);
}

/* c: zeroed. */
TGI_FN int tgd_channel_init(struct tgd_channel *c, const struct tgd_channel_shape *s)
{
    if (tgd_channel_bytes(s) == 0)
        return TGD_E_INVALID;
    c->shape = *s;
    for (uint32_t side = 0; side <= s->n_priorities; side++)
        tgi_channel_waiters(c, side)->n_places = s->n_waiters;
    for (uint32_t p = 0; p < s->n_priorities; p++)
        tgi_queue_init(tgi_channel_queue(c, p), s->capacity, s->message_bytes / 4, 0);
    return TGD_OK;
}

/* ---- Messages -------------------------------------------------------------------------------*/

/* Up to n messages that lie side by side; how many were sent, the first ones.  What the warp has written before is seen by who
 * receives.  A priority that the channel does not have counts as the highest. */
TGI_FN uint32_t tgd_channel_send(struct tgd_channel *c, uint32_t priority, const void *messages, uint32_t n)
{
    priority = priority < c->shape.n_priorities ? priority : c->shape.n_priorities - 1;
    return tgi_queue_send(tgi_channel_queue(c, priority), messages, n);
}

/* Up to n messages, side by side, the most urgent first; how many. */
TGI_FN uint32_t tgd_channel_receive(struct tgd_channel *c, void *messages, uint32_t n)
{
    uint32_t n_received = 0;
    for (uint32_t p = c->shape.n_priorities; p-- > 0 && n_received < n;)
        n_received += tgi_queue_receive(tgi_channel_queue(c, p), (char *)messages + n_received * c->shape.message_bytes,
                                        n - n_received);
    tgi_warp_sync(); /* all lanes see what each has copied */
    return n_received;
}

/* One message. */
TGI_FN int tgd_channel_try_send(struct tgd_channel *c, uint32_t priority, const void *message)
{
    return tgd_channel_send(c, priority, message, 1) ? TGD_OK : TGD_E_FULL;
}
TGI_FN int tgd_channel_try_receive(struct tgd_channel *c, void *message)
{
    return tgd_channel_receive(c, message, 1) ? TGD_OK : TGD_E_EMPTY;
}

/* Messages of a priority on their way.  A moment's view. */
TGI_FN uint32_t tgd_channel_size(struct tgd_channel *c, uint32_t priority)
{
    return tgi_queue_size(tgi_channel_queue(c, priority));
}

/* ---- Waiting without a worker ---------------------------------------------------------------*/

/* One lane.  Whether an operation of that side would do something. */
TGI_FN bool tgi_channel_is_ready(struct tgd_channel *c, uint32_t side)
{
    if (side != TGD_CHANNEL_RECEIVERS) {
        struct tgi_queue *q = tgi_channel_queue(c, side - TGD_CHANNEL_SENDERS);
        return tgi_queue_is_ready(q, q->tail, TGI_QUEUE_SEND);
    }
    bool is_ready = false;
    for (uint32_t p = 0; p < c->shape.n_priorities && !is_ready; p++) {
        struct tgi_queue *q = tgi_channel_queue(c, p);
        is_ready = tgi_queue_is_ready(q, q->head, TGI_QUEUE_RECEIVE);
    }
    return is_ready;
}

/* One lane.  For how many of that side there is work: messages, or room, whether or not they can be had this instant.  Too
 * many are better than too few: who is the last to finish an operation that holds up others wakes for all of them. */
TGI_FN uint32_t tgi_channel_work(struct tgd_channel *c, uint32_t side)
{
    uint32_t n = 0;
    if (side != TGD_CHANNEL_RECEIVERS)
        return c->shape.capacity - tgi_queue_size(tgi_channel_queue(c, side - TGD_CHANNEL_SENDERS));
    for (uint32_t p = 0; p < c->shape.n_priorities; p++)
        n += tgi_queue_size(tgi_channel_queue(c, p));
    return n;
}

/* Tokens of tasks that now have something to do, at most n; how many.  Lane 0 writes them.  If it is n, ask again. */
TGI_FN uint32_t tgd_channel_wake(struct tgd_channel *c, uint32_t side, uint32_t *tokens, uint32_t n)
{
    uint32_t n_woken = 0;
    tgi_warp_sync(); /* what all lanes have done is before the look at the balance */
    if (tgi_lane() == 0) {
        struct tgi_waiters *w = tgi_channel_waiters(c, side);
        /* The balance is read first, by its own rule; what others have moved before they awaited is seen after it. */
        if (tgi_word_add_acq_rel(&w->balance, 0)) {
            uint32_t work = tgi_channel_work(c, side);
            n_woken = tgi_waiters_permit(w, work < n ? work : n);
        }
        for (uint32_t i = 0; i < n_woken; i++)
            tokens[i] = tgi_waiters_take(w);
    }
    tgi_warp_sync();
    return tgi_warp_get(n_woken, 0);
}

/* The token will be handed out once, by a tgd_channel_wake() of another worker or by *ready_p here: a token, the own one or
 * another's, whose task must be made ready by the caller; TGD_NO_TOKEN: none.  TGD_E_FULL: there is no place for the token, and nobody
 * will call. */
TGI_FN int tgd_channel_await(struct tgd_channel *c, uint32_t side, uint32_t token, uint32_t *ready_p)
{
    uint32_t ready = TGD_NO_TOKEN, is_full = 0;
    tgi_warp_sync(); /* what all lanes have done is before the token is laid down */
    if (tgi_lane() == 0) {
        struct tgi_waiters *w = tgi_channel_waiters(c, side);
        is_full = !tgi_waiters_add(w, token);
        TGI_DELAY(token);
        if (!is_full && tgi_channel_is_ready(c, side) && tgi_waiters_permit(w, 1))
            ready = tgi_waiters_take(w);
    }
    *ready_p = tgi_warp_get(ready, 0);
    return tgi_warp_get(is_full, 0) ? TGD_E_FULL : TGD_OK;
}

#endif
