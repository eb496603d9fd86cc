/* Waiting: for a word to change, with back-off, with an end.
 *
 * Every wait ends: what was waited for comes, the abort word is set, or the limit has passed.  At first a poll follows
 * the other at once, as what workers of one gang wait for comes within a microsecond; then the waiter sleeps between
 * polls, each time twice as long, up to a microsecond.  Nobody need wake it, so a store is all there is to waking.
 *
 * A task that may wait long does not wait but leaves: see tgd_channel_await(). */
#ifndef TGD_WAIT_H
#define TGD_WAIT_H

#include "gpu/library/status.h"
#include "gpu/library/word.h"

#define TGI_WAIT_EAGER 64u /* polls without sleep */
#define TGI_WAIT_LOOK  64u /* polls between looks at the clock and the abort word; a power of two */

struct tgd_limit {
    uint64_t ns;
    const uint32_t *abort; /* others' say to leave: not 0; NULL: there is none */
};

struct tgi_wait {
    uint32_t n_polls, sleep_ns;
    uint64_t since_ns;
};

/* After a poll in vain.  TGD_OK: poll again. */
TGI_FN int tgi_poll_again(struct tgi_wait *w, const struct tgd_limit *limit)
{
    if (++w->n_polls <= TGI_WAIT_EAGER)
        tgi_pause();
    else {
        w->sleep_ns = w->sleep_ns == 0 ? 32 : w->sleep_ns < 1024 ? w->sleep_ns * 2 : 1024;
        tgi_sleep(w->sleep_ns);
    }
    if (w->n_polls & (TGI_WAIT_LOOK - 1))
        return TGD_OK;
    uint64_t now = tgi_now_ns();
    if (w->since_ns == 0)
        w->since_ns = now;
    if (limit->abort && tgi_word_load_relaxed(limit->abort))
        return TGD_E_ABORTED;
    return now - w->since_ns > limit->ns ? TGD_E_TIMEOUT : TGD_OK;
}

/* One lane: until the word is no longer `value`; what it is then.  acquire: what was done before the word was changed with
 * tgd_word_tell(). */
TGI_FN int tgd_word_wait(const uint32_t *word, uint32_t value, const struct tgd_limit *limit, uint32_t *seen_p)
{
    struct tgi_wait w = {0, 0, 0};
    int rc = TGD_OK;
    while (rc == TGD_OK && (*seen_p = tgi_word_load_acquire(word)) == value)
        rc = tgi_poll_again(&w, limit);
    return rc;
}

/* One lane: until a word that only grows has reached `value`, modulo 2^32. */
TGI_FN int tgd_word_reach(const uint32_t *word, uint32_t value, const struct tgd_limit *limit)
{
    struct tgi_wait w = {0, 0, 0};
    int rc = TGD_OK;
    while (rc == TGD_OK && (int32_t)(tgi_word_load_acquire(word) - value) < 0)
        rc = tgi_poll_again(&w, limit);
    return rc;
}

/* One lane.  release: pairs with the waits above. */
TGI_FN void tgd_word_tell(uint32_t *word, uint32_t value) { tgi_word_store_release(word, value); }
TGI_FN void tgd_word_advance(uint32_t *word, uint32_t by) { tgi_word_add_acq_rel(word, by); }

#endif
