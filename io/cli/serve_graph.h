/* A graph that tgraph serve executes with each line: numbers in, numbers out. */
#ifndef TGI_IO_CLI_SERVE_GRAPH_H
#define TGI_IO_CLI_SERVE_GRAPH_H

#include "graph/tgraph_service.h"
#include "io/cli/cli.h"

struct tgi_serve_graph {
    struct tg_graph *graph;
    struct tg_service_program *program;
    tg_buffer_id *inputs, *outputs; /* as --in and --out name them */
    uint32_t n_inputs, n_outputs;
    unsigned char *data, *answer;
};

/* Loads the command's operand and makes a program of it.  Prints what is wrong and returns an exit code; to be closed either way. */
int tgi_serve_graph_open(const struct tgi_cli *cli, struct tgi_serve_graph *graph);
void tgi_serve_graph_close(struct tgi_serve_graph *graph);
/* Executes it with the numbers of a line, and prints those of the answer.  Prints what is wrong and returns an exit code. */
int tgi_serve_graph_line(const struct tgi_cli *cli, struct tgi_serve_graph *graph, struct tg_service *service, uint64_t timeout_ns,
                         const char *line);

#endif
