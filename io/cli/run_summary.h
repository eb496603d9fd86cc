/* What `tgraph run` prints at its end, as text or as a JSON document. */
#ifndef TGI_IO_CLI_RUN_SUMMARY_H
#define TGI_IO_CLI_RUN_SUMMARY_H

#include "io/cli/run_job.h"

/* To stdout, of a job that has been executed; nothing with --quiet, unless that is JSON.  Sorts job->makespans_ns.  Prints errors and returns
 * an exit code. */
int tgi_cli_run_summarise(struct tgi_cli_job *job);

#endif
