/* The one document that every command prints under --format json. */
#ifndef TGI_IO_CLI_DOCUMENT_H
#define TGI_IO_CLI_DOCUMENT_H

#include "io/cli/cli.h"
#include "io/json_out.h"

#define TGI_REPORT_SCHEMA "tgraph.report/1"

/* Begins it, with its schema and, unless NULL, the command; the caller goes on and ends it. */
struct tgi_json tgi_cli_document(FILE *to, const char *schema, const char *command);
/* Keeps the first error of the program for the document of a command that has none of its own.  line 0: none. */
void tgi_cli_document_keep(int status, const char *text, const char *file, uint32_t line, uint32_t column);
/* At the end: commands that fail before they have begun a document, and those that have only written a file, get one
 * that says so.  What else goes to stdout, such as a graph or a picture, stays alone. */
void tgi_cli_document_finish(const struct tgi_cli *cli, int exit_code);

#endif
