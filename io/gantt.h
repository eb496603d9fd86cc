/* The schedule of a recorded run as an SVG picture: time from left to right, a lane for each worker
 * and for each stream of a device that executed tasks. */
#ifndef TGI_IO_GANTT_H
#define TGI_IO_GANTT_H

#include <stdio.h>

#include "io/recording.h"

/* Many spans are drawn merged with their neighbours, and the picture says so. */
int tgi_gantt_write(const struct tgi_recording *recording, FILE *to, struct tg_error *err);

#endif
