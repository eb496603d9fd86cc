/* Tasks that wait for a channel without a worker: a token for each, handed out to whoever makes it worth their while.
 *
 * A token is a number that the program understands, a task to be made ready as a rule.  A place holds token + 1, or 0.
 * `balance` is the number of tokens in places that nobody has a permit for.  Who lays a token down raises it afterwards; who
 * wants to wake some lowers it first, by no more than there is, and then finds as many tokens, wherever they are: another
 * that has a permit may take one from before its eyes, but then leaves another one.
 *
 * No wake-up is lost.  Who waits lays down its token, raises the balance, and then looks at the channel once more.  Who
 * changes the channel does that first and then reads the balance, by a read-modify-write operation: of these two on one word
 * one is first.  If it is the waiter's, the other sees the token; if it is the other's, the waiter sees the channel as changed.
 *
 * For one lane each.  tests/model/library_channel.pml explores it. */
#ifndef TGD_WAITERS_H
#define TGD_WAITERS_H

#include "gpu/library/status.h"
#include "gpu/library/word.h"

#define TGD_NO_TOKEN UINT32_MAX /* no token has this value */

/* Places follow. */
struct tgi_waiters {
    uint32_t balance;
    uint32_t pad0[31];
    uint32_t n_places;
    uint32_t pad1[31];
};

TGI_FN uint64_t tgi_waiters_bytes(uint64_t n_places)
{
    return (sizeof(struct tgi_waiters) + n_places * 4 + 127) / 128 * 128;
}

/* False: all places are taken. */
TGI_FN bool tgi_waiters_add(struct tgi_waiters *w, uint32_t token)
{
    uint32_t *places = (uint32_t *)(w + 1);
    for (uint32_t i = 0; i < w->n_places; i++) {
        uint32_t *place = &places[(token + i) % w->n_places];
        /* acq_rel: what the task has done before; who takes the token may have its permit from another one's addition. */
        if (tgi_word_load_relaxed(place) == 0 && tgi_word_swap_acq_rel(place, 0, token + 1) == 0) {
            TGI_DELAY(token);
            tgi_word_add_acq_rel(&w->balance, 1); /* pairs with tgi_waiters_permit() */
            return true;
        }
    }
    return false;
}

/* Permits for up to n tokens. */
TGI_FN uint32_t tgi_waiters_permit(struct tgi_waiters *w, uint32_t n)
{
    /* acq_rel, although nothing is added: see above. */
    uint32_t balance = tgi_word_add_acq_rel(&w->balance, 0);
    while (balance && n) {
        uint32_t some = balance < n ? balance : n, seen = tgi_word_swap_acq_rel(&w->balance, balance, balance - some);
        if (seen == balance)
            return some;
        balance = seen;
    }
    return 0;
}

/* With a permit. */
TGI_FN uint32_t tgi_waiters_take(struct tgi_waiters *w)
{
    uint32_t *places = (uint32_t *)(w + 1);
    for (uint32_t i = 0;; i = i + 1 < w->n_places ? i + 1 : 0) {
        uint32_t token = tgi_word_load_relaxed(&places[i]);
        /* acq_rel: what the waiting task has done before it left; pairs with tgi_waiters_add(). */
        if (token && tgi_word_swap_acq_rel(&places[i], token, 0) == token)
            return token - 1;
    }
}

#endif
