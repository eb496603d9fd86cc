/* A bounded queue of slots for many at both ends, with a sequence number at each slot: what channels are made of.
 *
 * Tickets.  Each end is a counter; ticket t stands for slot t modulo the capacity.  The slot's number says whose turn it is:
 *     t                 the sender with ticket t may write
 *     t + 1             the receiver with ticket t may read
 *     t + capacity      the same as the first, for the next round
 * Who finds the slots of the next n tickets at its turn moves the end by n by compare-and-swap.  If that succeeds the slots
 * are still at its turn, as only the holder of a ticket changes its slot's number.  So nobody who was given a ticket waits
 * for anybody; who finds the first slot not at its turn, and the end where it was, is told that there is nothing.  That may
 * be while a later slot is at its turn: a sender or receiver in the middle of its work holds up those behind it.
 *
 * Orders.  The number's store releases the message, or the slot that has been read; it pairs with the load of the number by
 * whoever comes next.  Ends are relaxed: they publish nothing, and numbers decide.
 *
 * Numbers are compared for equality modulo 2^32, so it does not matter that they wrap.  The capacity is a power of two of
 * at least two; with one, "written" and "free again" would be the same number.
 *
 * All functions are for all lanes of a warp.  tests/model/library_channel.pml explores the protocol. */
#ifndef TGD_QUEUE_H
#define TGD_QUEUE_H

#include "gpu/library/status.h"
#include "gpu/library/word.h"

#define TGI_QUEUE_SEND    0u /* how far a slot's number is beyond the ticket whose turn it is */
#define TGI_QUEUE_RECEIVE 1u

/* Numbers and slots follow. */
struct tgi_queue {
    uint32_t tail[32]; /* the first word: by senders */
    uint32_t head[32]; /* the first word: by receivers */
    uint32_t capacity, words; /* words of a message: four bytes each */
    uint32_t pad[30];
};

TGI_FN uint64_t tgi_queue_bytes(uint64_t capacity, uint64_t words)
{
    return (sizeof(struct tgi_queue) + (capacity * 4 + 15) / 16 * 16 + capacity * words * 4 + 127) / 128 * 128;
}
TGI_FN uint32_t *tgi_queue_number(struct tgi_queue *q, uint32_t ticket)
{
    return (uint32_t *)(q + 1) + (ticket & (q->capacity - 1));
}
TGI_FN uint32_t *tgi_queue_slots(struct tgi_queue *q)
{
    return (uint32_t *)(q + 1) + (q->capacity + 3) / 4 * 4;
}

/* first: the first ticket, 0 but in tests. */
TGI_FN void tgi_queue_init(struct tgi_queue *q, uint32_t capacity, uint32_t words, uint32_t first)
{
    q->capacity = capacity;
    q->words = words;
    q->tail[0] = q->head[0] = first;
    for (uint32_t t = first; t != first + capacity; t++)
        *tgi_queue_number(q, t) = t;
}

/* How many of the next n tickets, from the first on, are at their turn. */
TGI_FN uint32_t tgi_queue_ready(struct tgi_queue *q, uint32_t ticket, uint32_t turn, uint32_t n)
{
    uint32_t n_ready = 0, some = TGI_LANES;
    for (uint32_t begin = 0; begin < n && some == TGI_LANES; begin += TGI_LANES) {
        uint32_t t = ticket + begin + tgi_lane();
        /* acquire: the message, or that the slot has been read; pairs with tgi_queue_pass(). */
        bool is_ready = begin + tgi_lane() < n && tgi_word_load_acquire(tgi_queue_number(q, t)) == t + turn;
        some = tgi_leading(tgi_warp_ballot(is_ready));
        n_ready += some;
    }
    return n_ready;
}

/* Up to n tickets at an end; how many, 0: none at this moment. */
TGI_FN uint32_t tgi_queue_claim(struct tgi_queue *q, uint32_t *end, uint32_t turn, uint32_t n, uint32_t *ticket_p)
{
    uint32_t ticket = tgi_warp_get(tgi_word_load_relaxed(end), 0);
    for (;;) {
        uint32_t n_ready = tgi_queue_ready(q, ticket, turn, n), seen = ticket;
        TGI_DELAY(ticket);
        /* relaxed: the ticket's slots are what orders are needed for. */
        if (tgi_lane() == 0)
            seen = n_ready ? tgi_word_swap_relaxed(end, ticket, ticket + n_ready) : tgi_word_load_relaxed(end);
        seen = tgi_warp_get(seen, 0);
        if (seen == ticket) {
            *ticket_p = ticket;
            return n_ready;
        }
        ticket = seen;
    }
}

/* The slots of n tickets are the others' turn. */
TGI_FN void tgi_queue_pass(struct tgi_queue *q, uint32_t ticket, uint32_t number, uint32_t n)
{
    tgi_warp_sync(); /* all lanes have written, or read, what the numbers release */
    TGI_DELAY(ticket);
    for (uint32_t i = tgi_lane(); i < n; i += TGI_LANES)
        tgi_word_store_release(tgi_queue_number(q, ticket + i), number + i);
}

#ifdef __cplusplus
struct alignas(16) tgi_quad {
    uint32_t word[4];
};
#else
struct tgi_quad {
    _Alignas(16) uint32_t word[4];
};
#endif

/* n words between memory and the slots from a ticket on, in four-word steps where all addresses allow it. */
TGI_FN void tgi_queue_copy(struct tgi_queue *q, uint32_t ticket, void *messages, uint32_t n, bool is_in)
{
    uint32_t *slots = tgi_queue_slots(q), *words = (uint32_t *)messages, all = q->capacity * q->words;
    uint32_t at = (ticket & (q->capacity - 1)) * q->words;
    tgi_warp_sync(); /* each lane has acquired some slots for all */
    if (q->words % 4 == 0 && (uint64_t)messages % 16 == 0) {
        for (uint32_t i = tgi_lane() * 4; i < n * q->words; i += TGI_LANES * 4) {
            struct tgi_quad *slot = (struct tgi_quad *)&slots[at + i < all ? at + i : at + i - all];
            struct tgi_quad *quad = (struct tgi_quad *)&words[i];
            if (is_in)
                *slot = *quad;
            else
                *quad = *slot;
        }
        return;
    }
    for (uint32_t i = tgi_lane(); i < n * q->words; i += TGI_LANES) {
        uint32_t *slot = &slots[at + i < all ? at + i : at + i - all];
        if (is_in)
            *slot = words[i];
        else
            words[i] = *slot;
    }
}

TGI_FN uint32_t tgi_queue_send(struct tgi_queue *q, const void *messages, uint32_t n)
{
    uint32_t ticket, n_sent = tgi_queue_claim(q, q->tail, TGI_QUEUE_SEND, n, &ticket);
    if (n_sent == 0)
        return 0;
    tgi_queue_copy(q, ticket, (void *)messages, n_sent, true);
    tgi_queue_pass(q, ticket, ticket + 1, n_sent);
    return n_sent;
}

TGI_FN uint32_t tgi_queue_receive(struct tgi_queue *q, void *messages, uint32_t n)
{
    uint32_t ticket, n_received = tgi_queue_claim(q, q->head, TGI_QUEUE_RECEIVE, n, &ticket);
    if (n_received == 0)
        return 0;
    tgi_queue_copy(q, ticket, messages, n_received, false);
    tgi_queue_pass(q, ticket, ticket + q->capacity, n_received);
    return n_received;
}

/* One lane: whether the next ticket of an end is at its turn. */
TGI_FN bool tgi_queue_is_ready(struct tgi_queue *q, const uint32_t *end, uint32_t turn)
{
    for (uint32_t ticket = tgi_word_load_relaxed(end), seen;; ticket = seen) {
        if (tgi_word_load_acquire(tgi_queue_number(q, ticket)) == ticket + turn)
            return true;
        seen = tgi_word_load_relaxed(end);
        if (seen == ticket)
            return false;
    }
}

/* One lane: messages on their way, those included that are being written or read.  A moment's view. */
TGI_FN uint32_t tgi_queue_size(const struct tgi_queue *q)
{
    uint32_t head = tgi_word_load_relaxed(q->head), size = tgi_word_load_relaxed(q->tail) - head;
    return (int32_t)size < 0 ? 0 : size < q->capacity ? size : q->capacity;
}

#endif
