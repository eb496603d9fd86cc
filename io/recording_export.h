/* A record for other tools.  Names go through each form's own escapes: control characters and bytes that are no UTF-8
 * are replaced, and nothing in a name becomes markup, a link or a formula. */
#ifndef TGI_IO_RECORDING_EXPORT_H
#define TGI_IO_RECORDING_EXPORT_H

#include "io/recording.h"

/* Trace Event Format, for chrome://tracing and others: a process for the CPUs and one for each device, a thread for each
 * lane, arrows along the critical path. */
int tgi_recording_write_chrome(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                               struct tg_error *err);
/* Perfetto's TrackEvent protobuf: the same, in a third of the bytes. */
int tgi_recording_write_perfetto(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                                 struct tg_error *err);
/* DOT with positions: time from left to right, a cluster for each device and lane; for `neato -n` or, as it says so itself,
 * any Graphviz program.  Of more than max_nodes tasks the critical path and the longest others are drawn, and the
 * title says so; *n_shown_p (may be NULL): how many. */
int tgi_recording_write_dot(const struct tgi_recording *r, const struct tgi_recording_paths *paths, uint32_t max_nodes,
                            FILE *to, uint32_t *n_shown_p, struct tg_error *err);
/* DOT without positions: a node for each kernel, with counts, times and its share of the critical path; an edge for each
 * pair of which tasks wait for tasks. */
int tgi_recording_write_types(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                              struct tg_error *err);
/* The same: a node for each memory and what was copied between them; without devices for each worker and who took tasks from whom. */
int tgi_recording_write_devices(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                                struct tg_error *err);
/* A line for each task, frames included; RFC 4180 with a line of names. */
int tgi_recording_write_csv(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                            struct tg_error *err);
/* All of it, as one document with the schema "tgraph.record/1". */
int tgi_recording_write_json(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                             struct tg_error *err);
/* A page for browsers that needs nothing else: figures, tables, the schedule to zoom into, and why each task started when it did. */
int tgi_recording_write_html(const struct tgi_recording *r, const struct tgi_recording_paths *paths, FILE *to,
                             struct tg_error *err);

#endif
