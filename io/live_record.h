/* The record of a run that is still under way, in a file of its own: it is all there is if the process is killed.
 *
 * Before the run the file gets everything that is known then (tasks, edges, kernels, lanes), and room for the tasks' spans, which is
 * mapped: workers write them straight into the file's pages, which outlive the process.  So there is nothing to flush, and what has
 * ended before a SIGKILL is in the file.  A machine that fails takes with it what its system had not written by then.
 *
 * Behind the spans is the log, of rounds of bodies and copies between memories (live_log.h).  It grows with the file, and where there is no room
 * for it any more what it lacks is counted.
 *
 * In the file these two are the last sections, and end it: no checksum follows, as nobody could keep one right.  To a reader it is a
 * file that was cut there (docs/RECORD.md). */
#ifndef TGI_IO_LIVE_RECORD_H
#define TGI_IO_LIVE_RECORD_H

#include "io/recording.h"

struct tgi_live_record;

/* "run.tgr.partial", which the caller frees; NULL: no memory. */
char *tgi_live_record_path(const char *record_path);
/* what: of a run that has not started, with its graph, number of workers and policy.  An older file of that name is replaced.  TG_E_WRITE with the
 * system's answer, also if there is no room for the spans: a file without it would end the process in the middle of the run.  Nothing is left
 * behind then. */
int tgi_live_record_create(const char *path, const struct tgi_recorded *what, struct tgi_live_record **live_p, struct tg_error *err);
/* By task of the outermost graph, all 0. */
struct tgi_span *tgi_live_record_spans(const struct tgi_live_record *live);
/* From its first start on the run keeps its spans there, and its rounds and copies. */
void tgi_live_record_follow(struct tgi_live_record *live, struct tg_run *run);
/* Removes the file, as there is a record now; what is in it stays until close. */
void tgi_live_record_remove(struct tgi_live_record *live);
/* After the run was destroyed.  NULL is fine. */
void tgi_live_record_close(struct tgi_live_record *live);

#endif
