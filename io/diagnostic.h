/* Messages about files, as people and programs read them. */
#ifndef TGI_IO_DIAGNOSTIC_H
#define TGI_IO_DIAGNOSTIC_H

#include <stdio.h>

#include "graph/tgraph.h"

enum tgi_diagnostic_format { TGI_DIAGNOSTIC_FULL, TGI_DIAGNOSTIC_SHORT, TGI_DIAGNOSTIC_JSON };

/* Prints one message:
 *   full:  error[TG0203]: unknown kernel "gem"
 *            --> cholesky.json:16:48
 *             |
 *          16 |   { "id": "gemm", "kernel": "gem", ...
 *             |                             ^^^^^ not in "kernels"
 *             = help: did you mean "gemm"? (defined at line 8)
 *             = at: /tasks/0/do/2
 *             = with: k=0, m=16
 *   short: cholesky.json:16:48: error[TG0203]: unknown kernel "gem"
 *   json:  one JSON object a line.
 * The source line is read from the file named; if that fails, the message goes without it.  Control
 * characters and escape sequences from the input are never passed through. */
void tgi_diagnostic_print(FILE *to, const struct tg_diagnostic *d, enum tgi_diagnostic_format format, bool color);
/* The same for an error of the API. */
void tgi_error_print(FILE *to, const struct tg_error *err, enum tgi_diagnostic_format format, bool color);

/* The name in `names` closest to `name` by edit distance, if close enough to be a typo; else NULL. */
const char *tgi_suggest(const char *name, const char *const *names, size_t n);
/* The same among the names of a graph's tasks; also NULL without memory. */
const char *tgi_suggest_task(const struct tg_graph *g, const char *name);

#endif
