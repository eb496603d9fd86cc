/* tgraph devices --matrix and -o: the machine as plans see it. */
#ifndef TGI_IO_CLI_DEVICES_H
#define TGI_IO_CLI_DEVICES_H

#include "io/cli/cli.h"

/* Prints bandwidths and latencies between all memories, measured now unless --machine names a file, and writes the machine to -o.
 * With -o alone nothing is measured, and the file says so.  An exit code. */
int tgi_cli_devices_machine(const struct tgi_cli *cli);

#endif
