/* What the file of a live record (live_record.h) has behind the spans of the outermost graph's tasks: rounds of bodies and copies between
 * memories, in the order in which they came.
 *
 * A log is a list of 64-bit words.  The first counts what there was no room for, then come entries: rounds, each with a span for each
 * task behind it, and copies.  An entry's size is written as its place is taken, its kind last, when the rest of it is there; the process may
 * be killed between the two, so one of no kind is passed over, and one of no size is the end.
 *
 * What a body consists of the record has ahead: one round of each body, none of whose tasks ran.  A part is the number of such a one. */
#ifndef TGI_IO_LIVE_LOG_H
#define TGI_IO_LIVE_LOG_H

#include "io/recording.h"

/* Bytes by which the file grows. */
#define TGI_LIVE_LOG_STEP ((uint64_t)1 << 18)

enum tgi_live_kind { TGI_LIVE_NOTHING, TGI_LIVE_ROUND, TGI_LIVE_COPY };

/* Rounds are called by numbers from 1 in the order they began; 0: the outermost graph, or none. */
struct tgi_live_round {
    uint64_t n_words; /* with this and the spans */
    uint32_t kind, part;
    uint32_t round, parent, parent_task, previous; /* of the same control task */
    uint64_t number;
};
struct tgi_live_copy {
    uint64_t n_words;
    uint32_t kind, buffer;
    uint64_t bytes;
    uint32_t from, to, tile;
    uint32_t round, task; /* task TG_NONE: neither needed it */
    uint32_t reserved;
};
_Static_assert(sizeof(struct tgi_live_round) == 40 && sizeof(struct tgi_live_copy) == 48 && sizeof(struct tgi_span) % 8 == 0, "whole words");

/* Of a record that is_unfinished and has its log: the rounds become parts of it in place of those that were ahead, and copies its
 * transfers; r->n_lost_live is what is missing.  What makes no sense did not happen.  TG_E_NO_MEMORY. */
int tgi_live_log_take(struct tgi_recording *r, struct tg_error *err);

#endif
