/* What tgraph diff compares: two records (diff.c), two graphs (diff_graph.c). */
#ifndef TGI_IO_CLI_DIFF_H
#define TGI_IO_CLI_DIFF_H

#include "io/cli/cli.h"

#define TGI_DIFF_TOP 12 /* names in a list */

/* An exit code; 1 also if the graphs differ and --fail-on is given. */
int tgi_cli_diff_graphs(const struct tgi_cli *cli, const char *path_a, const char *path_b);

#endif
