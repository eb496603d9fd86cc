/* The files that `tgraph run` writes about the run itself: --record, its picture (--gantt) and a trace for viewers (--trace). */
#ifndef TGI_IO_CLI_RUN_RECORD_H
#define TGI_IO_CLI_RUN_RECORD_H

#include "io/cli/run_job.h"

/* Opens what the option names, if it is given, which has been checked; the run has been created.  Prints errors and returns an exit code. */
int tgi_cli_run_open(struct tgi_cli_job *job, const char *option, struct tgi_output *out);
/* What stands for job->record until that is written; job->live stays NULL where there can be none, which a warning says. */
void tgi_cli_run_begin_live(struct tgi_cli_job *job);
/* Writes all that is open, from the last start, and gives it its name.  Prints errors and returns an exit code. */
int tgi_cli_run_write(struct tgi_cli_job *job);

#endif
