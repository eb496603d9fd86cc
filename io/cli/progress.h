/* How far a run is, on stderr: a thread looks at the workers' counters now and then, so tasks cost nothing
 * more than they do anyway.  Nothing appears in the first half second. */
#ifndef TGI_IO_CLI_PROGRESS_H
#define TGI_IO_CLI_PROGRESS_H

#include "io/cli/cli.h"

struct tgi_cli_progress;
/* For one run of the graph, whose runtime runs nothing else, in the form that --progress asks for.
 * NULL: none was asked for, or (with a warning) there is no thread for it. */
struct tgi_cli_progress *tgi_cli_progress_begin(const struct tgi_cli *cli, const struct tg_runtime *runtime,
                                                const struct tg_graph *graph, bool is_recorded);
/* Takes a bar off the terminal.  NULL is accepted. */
void tgi_cli_progress_end(struct tgi_cli_progress *progress);
/* The same for a program that is about to end in a signal handler: makes room for a message. */
void tgi_cli_progress_erase(void);

#endif
