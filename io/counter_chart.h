/* Counters of a record over time, as a picture. */
#ifndef TGI_IO_COUNTER_CHART_H
#define TGI_IO_COUNTER_CHART_H

#include <stdio.h>

#include "io/recording.h"

/* SVG: a strip for each memory, with tasks that ran and waited above them. */
int tgi_counter_chart_write(const struct tgi_recording *r, FILE *to, struct tg_error *err);

#endif
