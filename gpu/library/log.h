/* A log: a ring for each worker, into which it writes without asking anybody; the oldest entries are dropped, and counted by
 * who reads.
 *
 * An entry is 128 bytes in 32 words of 64 bits, each of which has the entry's number in its upper half.  So a word is of that
 * entry or it is not, whatever a reader sees of a ring that is written meanwhile, and nothing needs an order: an entry costs
 * its worker one store of 256 bytes.  A reader that finds words of other numbers knows that the entry is not there yet, or no
 * longer.
 *
 *     host:    image = zeroed memory of tgd_logbook_bytes(n, capacity); tgd_logbook_init(..); copied, aligned to 128
 *     bodies:  struct tgd_log log; tgd_log_open(&log, book, worker, TGD_LOG_INFO); all lanes of the warp, alike:
 *                  TGD_LOG(&log, TGD_LOG_WARNING, "no room for the row", row, n_left);
 *     host:    tgd_log_read(), from the book or from a copy of it that was made while workers wrote
 *
 * Numbers are 32 bits: a worker writes fewer than 2^32 entries. */
#ifndef TGD_LOG_H
#define TGD_LOG_H

#include "gpu/library/source.h"
#include "gpu/library/status.h"
#include "gpu/library/word.h"

enum tgd_severity { TGD_LOG_DEBUG, TGD_LOG_INFO, TGD_LOG_WARNING, TGD_LOG_ERROR };

#define TGI_LOG_WORDS 32u
#define TGI_LOG_FILE  8u  /* the words from here are the file's name, */
#define TGI_LOG_TEXT  16u /* and from here the text; before them severity and worker, line, time, a, b */

/* Rings follow: a line with the number of the last entry, and the entries. */
struct tgd_logbook {
    uint32_t n_workers, capacity; /* entries of a ring: a power of two */
    uint32_t pad[30];
};

/* Of one worker.  A later launch opens it again and goes on. */
struct tgd_log {
    uint64_t *ring;
    uint32_t capacity, n_written, worker;
    uint32_t level; /* the least severity that is written */
};

struct tgd_log_entry {
    uint64_t time_ns, a, b;
    uint32_t worker, number, severity, line;
    char file[TGD_FILE_BYTES + 1], text[TGD_TEXT_BYTES + 1];
};

TGI_FN uint64_t tgi_log_ring_words(uint32_t capacity) { return 16 + (uint64_t)capacity * TGI_LOG_WORDS; }
TGI_FN uint64_t *tgi_log_ring(const struct tgd_logbook *book, uint32_t worker)
{
    return (uint64_t *)(book + 1) + worker * tgi_log_ring_words(book->capacity);
}

TGI_FN uint64_t tgd_logbook_bytes(uint32_t n_workers, uint32_t capacity)
{
    return sizeof(struct tgd_logbook) + n_workers * tgi_log_ring_words(capacity) * 8;
}
/* image: zeroed. */
TGI_FN int tgd_logbook_init(struct tgd_logbook *book, uint32_t n_workers, uint32_t capacity)
{
    if (n_workers == 0 || n_workers >= 1u << 24 || capacity == 0 || (capacity & (capacity - 1)))
        return TGD_E_INVALID;
    book->n_workers = n_workers;
    book->capacity = capacity;
    return TGD_OK;
}

/* ---- Writing --------------------------------------------------------------------------------*/

TGI_FN void tgd_log_open(struct tgd_log *l, struct tgd_logbook *book, uint32_t worker, enum tgd_severity level)
{
    l->ring = tgi_log_ring(book, worker);
    l->capacity = book->capacity;
    l->n_written = (uint32_t)tgi_wide_load_relaxed(l->ring);
    l->worker = worker;
    l->level = level;
}

TGI_FN void tgi_log_write(struct tgd_log *l, enum tgd_severity severity, const struct tgi_source *s, uint64_t a, uint64_t b)
{
    uint64_t *entry = l->ring + 16 + (uint64_t)(l->n_written & (l->capacity - 1)) * TGI_LOG_WORDS;
    uint64_t number = ++l->n_written, now = tgi_warp_get_wide(tgi_now_ns(), 0);
    for (uint32_t i = tgi_lane(); i < TGI_LOG_WORDS; i += TGI_LANES) {
        uint32_t x;
        if (i >= TGI_LOG_TEXT)
            x = tgi_text_word(s->text, s->n_text, i - TGI_LOG_TEXT);
        else if (i >= TGI_LOG_FILE)
            x = tgi_text_word(s->file, s->n_file, i - TGI_LOG_FILE);
        else if (i < 2)
            x = i ? s->line : (uint32_t)severity << 24 | l->worker;
        else {
            uint64_t wide = i < 4 ? now : i < 6 ? a : b;
            x = (uint32_t)(i & 1 ? wide >> 32 : wide);
        }
        if (i == TGI_LOG_FILE) {
            TGI_DELAY(i);
        }
        tgi_wide_store_relaxed(&entry[i], number << 32 | x);
    }
    if (tgi_lane() == 0) /* for whoever is behind, and for the next launch */
        tgi_wide_store_relaxed(l->ring, number);
}

/* text: a literal.  a, b: numbers of the caller's. */
#define TGD_LOG(log, severity, text, a, b)                                  \
    do {                                                                    \
        if ((uint32_t)(severity) >= (log)->level) {                         \
            const struct tgi_source tgi_here = TGI_SOURCE(text);            \
            tgi_log_write(log, severity, &tgi_here, (uint64_t)(a), (uint64_t)(b)); \
        }                                                                   \
    } while (0)

/* ---- Reading --------------------------------------------------------------------------------*/

/* The entry if all of its words are there.  Else how its words' numbers stand to the one wanted: -1 older, 1 newer. */
TGI_FN int tgi_log_decode(const uint64_t *entry, uint32_t number, struct tgd_log_entry *e)
{
    uint32_t word[TGI_LOG_WORDS];
    for (uint32_t i = 0; i < TGI_LOG_WORDS; i++) {
        uint64_t x = tgi_wide_load_relaxed(&entry[i]);
        int32_t lead = (int32_t)((uint32_t)(x >> 32) - number);
        if (lead)
            return lead < 0 ? -1 : 1;
        word[i] = (uint32_t)x;
    }
    e->severity = word[0] >> 24;
    e->worker = word[0] & 0xffffff;
    e->number = number;
    e->line = word[1];
    e->time_ns = (uint64_t)word[3] << 32 | word[2];
    e->a = (uint64_t)word[5] << 32 | word[4];
    e->b = (uint64_t)word[7] << 32 | word[6];
    for (uint32_t i = 0; i < TGD_FILE_BYTES; i++)
        e->file[i] = (char)(word[TGI_LOG_FILE + i / 4] >> 8 * (i % 4));
    for (uint32_t i = 0; i < TGD_TEXT_BYTES; i++)
        e->text[i] = (char)(word[TGI_LOG_TEXT + i / 4] >> 8 * (i % 4));
    e->file[TGD_FILE_BYTES] = e->text[TGD_TEXT_BYTES] = 0;
    return 0;
}

/* The worker's next entry after the *n_read_p that the caller has had, one reader.  *n_dropped_p grows by those that were lost in
 * between.  TGD_E_EMPTY: there is none yet. */
TGI_FN int tgd_log_read(const struct tgd_logbook *book, uint32_t worker, uint32_t *n_read_p, uint64_t *n_dropped_p,
                        struct tgd_log_entry *e)
{
    const uint64_t *ring = tgi_log_ring(book, worker);
    for (;;) {
        uint32_t number = *n_read_p + 1;
        int lead = tgi_log_decode(ring + 16 + (uint64_t)((number - 1) & (book->capacity - 1)) * TGI_LOG_WORDS, number, e);
        if (lead < 0)
            return TGD_E_EMPTY;
        if (lead == 0) {
            *n_read_p = number;
            return TGD_OK;
        }
        /* The oldest that may still be there: a whole ring before the newest. */
        uint32_t oldest = (uint32_t)tgi_wide_load_relaxed(ring) - book->capacity + 1, n_lost = oldest - number;
        n_lost = (int32_t)n_lost > 1 ? n_lost : 1;
        *n_read_p += n_lost;
        *n_dropped_p += n_lost;
    }
}

#endif
