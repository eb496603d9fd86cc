/* What the reader of records (recording_file.c) asks of one whose tables it has. */
#ifndef TGI_IO_RECORDING_CHECK_H
#define TGI_IO_RECORDING_CHECK_H

#include "io/recording.h"

/* Whether every reference in it is to something that is there, and what is in order is so. */
bool tgi_recording_is_sound(const struct tgi_recording *r);
/* What a cut has taken away is not referred to any more. */
void tgi_recording_forget_lost(struct tgi_recording *r);
/* Of one that is sound and is_unfinished: these become times of n tasks from `first` on, which come after those that have theirs.  When tasks
 * were ready is not found yet.  TG_E_NO_MEMORY. */
int tgi_recording_take_spans(struct tgi_recording *r, uint32_t first, const struct tgi_span *spans, uint64_t n, struct tg_error *err);

#endif
