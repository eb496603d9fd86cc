/* What a user sets once instead of on every command line.  The command line comes first, then the environment, then the
 * configuration file, then what a command does by itself. */
#ifndef TGI_IO_CLI_PREFERENCES_H
#define TGI_IO_CLI_PREFERENCES_H

#include "io/cli/cli.h"

enum { TGI_MAX_PREFERENCES = 16, TGI_VARIABLE_SIZE = 48 };

/* Long names of the options that may be set so, in order; ends with NULL. */
extern const char *const tgi_preferences[];
/* "device-mem": "TGRAPH_DEVICE_MEM". */
void tgi_preference_variable(const char *name, char *variable, size_t size);

/* Adds a value for each of them that the command has and the command line does not give.  Prints what is wrong with a
 * variable or with the file and returns an exit code; a file that is not there is none. */
int tgi_cli_add_preferences(struct tgi_cli *cli);

#endif
