/* How much memory tiles took while a run was under way, for its record. */
#ifndef TGI_IO_RECORDING_MEMORY_H
#define TGI_IO_RECORDING_MEMORY_H

#include "io/recording.h"
#include "io/schedule.h"

/* Of each node at most this many; where there were more changes a sample stands for the most of its stretch. */
#define TGI_MOST_MEMORY_SAMPLES 2048

/* Fills r->memory from the spans of the schedule and, for devices, from what the run noted; r has its devices.  run NULL: no
 * devices. */
int tgi_recording_take_memory(const struct tgi_schedule *schedule, const struct tg_run *run, uint32_t n_workers,
                              struct tgi_recording *r, struct tg_error *err);

#endif
