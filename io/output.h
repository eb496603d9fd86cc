/* Output files that appear whole or not at all: written beside their destination under a temporary
 * name and renamed at the end. */
#ifndef TGI_IO_OUTPUT_H
#define TGI_IO_OUTPUT_H

#include <stdio.h>

#include "graph/tgraph.h"

struct tgi_output {
    FILE *file;
    char *path, *temp; /* temp NULL: written in place (stdout, a device, a pipe) */
    int slot;          /* in the list of unfinished files; -1: none */
};

/* path "-" or NULL: stdout.  TG_E_WRITE with the system's answer. */
int tgi_output_open(struct tgi_output *out, const char *path, struct tg_error *err);
/* Puts the file in its place.  A write error, also an earlier one, is TG_E_WRITE; then nothing is
 * left behind. */
int tgi_output_finish(struct tgi_output *out, struct tg_error *err);
/* The system's answer to writing to a stream on which a write has failed earlier: streams forget it, so it
 * is asked again, with one more byte of what is incomplete anyway.  0: it takes that now. */
int tgi_output_reason(FILE *file);
/* For who has written `what` ("the picture"): 0, or TG_E_WRITE with the system's answer where a write has failed. */
int tgi_output_check(FILE *file, const char *what, struct tg_error *err);
/* Gives up: removes what was written.  Does nothing after finish. */
void tgi_output_abandon(struct tgi_output *out);
/* Lists a temporary file of someone else's as unfinished, and forgets it again. */
void tgi_output_guard(const char *path);
void tgi_output_unguard(const char *path);
/* Removes all unfinished files of the process.  Safe in a signal handler. */
void tgi_output_abandon_all(void);

#endif
