/* Broadcast channels: every subscriber receives every message, all in the same order.
 *
 * Sending is that of a queue (gpu/library/queue.h).  Each subscriber has a cursor of its own; the last one to read a slot
 * gives it back.  So the slowest subscriber decides how far senders get, and one that stops reading stops them: that is the
 * back-pressure.  The number of subscribers is fixed when the channel is made.
 *
 * Orders.  Readers count down with acquire and release; the last one, having seen all others', passes the slot on to the
 * next sender, who sets the count anew before the message is released.
 *
 *     host:    image = zeroed memory of tgd_broadcast_bytes(..), aligned to 128; tgd_broadcast_init(..); copied
 *     bodies:  all lanes of a warp, alike; a struct tgd_subscriber for each subscriber, of one warp at a time */
#ifndef TGD_BROADCAST_H
#define TGD_BROADCAST_H

#include "gpu/library/queue.h"

/* The queue follows, then a count for each slot. */
struct tgd_broadcast {
    uint32_t n_subscribers, message_bytes;
    uint32_t pad[30];
};

struct tgd_subscriber {
    uint32_t cursor; /* the next ticket */
};

TGI_FN struct tgi_queue *tgi_broadcast_queue(struct tgd_broadcast *b) { return (struct tgi_queue *)(b + 1); }
TGI_FN uint32_t *tgi_broadcast_left(struct tgd_broadcast *b, uint32_t ticket)
{
    struct tgi_queue *q = tgi_broadcast_queue(b);
    return (uint32_t *)((char *)q + tgi_queue_bytes(q->capacity, q->words)) + (ticket & (q->capacity - 1));
}

/* 0: no channel has this shape; the capacity is a power of two from 2 on, messages are multiples of 4 bytes. */
TGI_FN uint64_t tgd_broadcast_bytes(uint32_t capacity, uint32_t message_bytes, uint32_t n_subscribers)
{
    bool is_good = capacity >= 2 && !(capacity & (capacity - 1)) && message_bytes && message_bytes % 4 == 0 &&
                   (uint64_t)capacity * message_bytes < 1u << 31 && n_subscribers;
    return !is_good ? 0 : sizeof(struct tgd_broadcast) + tgi_queue_bytes(capacity, message_bytes / 4) + capacity * 4ul;
}

/* b: zeroed. */
TGI_FN int tgd_broadcast_init(struct tgd_broadcast *b, uint32_t capacity, uint32_t message_bytes, uint32_t n_subscribers)
{
    if (tgd_broadcast_bytes(capacity, message_bytes, n_subscribers) == 0)
        return TGD_E_INVALID;
    b->n_subscribers = n_subscribers;
    b->message_bytes = message_bytes;
    tgi_queue_init(tgi_broadcast_queue(b), capacity, message_bytes / 4, 0);
    return TGD_OK;
}

/* From the first message on. */
TGI_FN void tgd_subscriber_init(struct tgd_subscriber *s) { s->cursor = 0; }

/* As tgd_channel_send(). */
TGI_FN uint32_t tgd_broadcast_send(struct tgd_broadcast *b, const void *messages, uint32_t n)
{
    struct tgi_queue *q = tgi_broadcast_queue(b);
    uint32_t ticket, n_sent = tgi_queue_claim(q, q->tail, TGI_QUEUE_SEND, n, &ticket);
    if (n_sent == 0)
        return 0;
    tgi_queue_copy(q, ticket, (void *)messages, n_sent, true);
    /* relaxed: released with the slot's number. */
    for (uint32_t i = tgi_lane(); i < n_sent; i += TGI_LANES)
        tgi_word_store_relaxed(tgi_broadcast_left(b, ticket + i), b->n_subscribers);
    tgi_queue_pass(q, ticket, ticket + 1, n_sent);
    return n_sent;
}

/* Up to n messages that this subscriber has not had yet; how many. */
TGI_FN uint32_t tgd_broadcast_receive(struct tgd_broadcast *b, struct tgd_subscriber *s, void *messages, uint32_t n)
{
    struct tgi_queue *q = tgi_broadcast_queue(b);
    uint32_t ticket = s->cursor, n_received = tgi_queue_ready(q, ticket, TGI_QUEUE_RECEIVE, n);
    if (n_received == 0)
        return 0;
    tgi_queue_copy(q, ticket, messages, n_received, false);
    tgi_warp_sync(); /* all lanes have read */
    for (uint32_t i = tgi_lane(); i < n_received; i += TGI_LANES)
        if (tgi_word_add_acq_rel(tgi_broadcast_left(b, ticket + i), UINT32_MAX) == 1)
            tgi_word_store_release(tgi_queue_number(q, ticket + i), ticket + i + q->capacity);
    s->cursor = ticket + n_received;
    tgi_warp_sync();
    return n_received;
}

#endif
