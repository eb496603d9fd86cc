/* The canonical layout of graph files.
 *
 * Known keys come in one order, then the user's own in theirs; two spaces a level; what fits into 100
 * columns stands on one line.  Values are copied byte for byte from the text they were read from: a
 * number keeps its spelling, a string its escapes.  Formatting twice changes nothing. */
#ifndef TGI_IO_FMT_H
#define TGI_IO_FMT_H

#include <stdio.h>

#include "graph/tgraph.h"

#define TGI_FMT_COLUMNS 100

/* .jsonl and .ndjson are lines. */
enum tgi_fmt_form { TGI_FMT_DOCUMENT, TGI_FMT_LINES };
enum tgi_fmt_form tgi_fmt_form_of(const char *path);

/* Writes the text laid out; `name` is for messages.  Write errors stay with the stream.  On an error
 * what was written so far is to be discarded. */
int tgi_fmt_write(FILE *to, enum tgi_fmt_form form, const char *text, size_t size, const char *name,
                  struct tg_error *err);
/* Whether the text is laid out already. */
int tgi_fmt_is_canonical(enum tgi_fmt_form form, const char *text, size_t size, const char *name,
                         bool *is_canonical_p, struct tg_error *err);
/* Formats the file `from` ("-": standard input) into `to` (NULL: itself; "-": standard output), by
 * temporary file and rename.  A file that is canonical already is not touched. */
int tgi_fmt_file(const char *from, const char *to, bool *is_changed_p, struct tg_error *err);
/* As tgi_fmt_is_canonical() for a file. */
int tgi_fmt_check_file(const char *path, bool *is_canonical_p, struct tg_error *err);

#endif
