/* Crashes of kernels. */
#ifndef TGI_IO_CLI_CRASH_H
#define TGI_IO_CLI_CRASH_H

#include "io/cli/cli.h"

/* From here on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT remove unfinished files and say, in a line of the
 * chosen form, which task was at work, before they end the program as they always do: a shell sees 128 +
 * the signal, and a core file may be written.  The calling thread gets a signal stack.  Does nothing in
 * builds with a sanitizer, whose own report says more. */
void tgi_cli_name_crashes(const struct tgi_cli *cli);
/* For tg_runtime_options: gives the calling thread a signal stack, so that a stack that overflows is
 * reported as well. */
void tgi_cli_prepare_thread(void *user);

/* Writes "task "a" (kernel "f")" about what the calling thread executes, without control characters;
 * false, and an empty text: nothing.  Safe in a signal handler. */
bool tgi_cli_running_task(char *text, size_t size);

#endif
