/* What a record says over time beside tasks: how many ran, how many were ready and waited, how many ended a second, and the
 * memory in use.  For tracks of traces and pictures. */
#ifndef TGI_IO_RECORDING_COUNTERS_H
#define TGI_IO_RECORDING_COUNTERS_H

#include "io/recording.h"
#include "io/steps.h"

#define TGI_MOST_COUNTER_STEPS 2048

enum tgi_counter_unit { TGI_COUNTS_TASKS, TGI_COUNTS_RATE /* tasks a second */, TGI_COUNTS_BYTES };
struct tgi_counter {
    char name[64];
    enum tgi_counter_unit unit;
    uint32_t node; /* of bytes: whose memory; else 0 */
    uint32_t n;
    struct tgi_step *steps;
};
struct tgi_counters {
    uint32_t n;
    struct tgi_counter *counters;
};
int tgi_recording_counters_create(const struct tgi_recording *r, struct tgi_counters *counters_p, struct tg_error *err);
void tgi_recording_counters_fini(struct tgi_counters *counters);

#endif
