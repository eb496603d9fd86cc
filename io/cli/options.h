/* Parsing of the command line, for main.c and tests; commands need cli.h only. */
#ifndef TGI_IO_CLI_OPTIONS_H
#define TGI_IO_CLI_OPTIONS_H

#include "io/cli/cli.h"

/* Fills command, operands and values from argv[1..]; global options may stand before or after the
 * command.  Prints what is wrong and returns an exit code, or 0.  A command that is missing is
 * left NULL.  fini releases what parse allocated, also after a failure. */
int tgi_cli_parse(struct tgi_cli *cli, int argc, char **argv);
/* For what comes from elsewhere (preferences.h): an option by its long name, NULL if the command has none, and a value for
 * it, of which there may be TGI_MAX_PREFERENCES.  text and source stay the caller's.  Prints what is wrong with the text and
 * returns an exit code, or 0. */
const struct tgi_cli_option *tgi_cli_find_option(const struct tgi_cli_command *command, const char *name);
int tgi_cli_add_value(struct tgi_cli *cli, const struct tgi_cli_option *option, const char *text, const char *source);
/* Whether the command got as many operands as it takes. */
int tgi_cli_check_operands(const struct tgi_cli *cli);
void tgi_cli_fini(struct tgi_cli *cli);

#endif
