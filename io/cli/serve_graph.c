/* See serve_graph.h. */
#include "io/cli/serve_graph.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/dtype.h"
#include "graph/model.h"
#include "mem/hostops.h"

enum { FILLED_TO = 16 }; /* tiles of a message, tg_service_program_of_graph() */

static uint64_t room_of(const struct tgi_buffer *b) { return (b->tile_bytes + FILLED_TO - 1) / FILLED_TO * FILLED_TO; }

/* ---- Opening ------------------------------------------------------------------------------*/

static int find_buffers(const struct tgi_cli *cli, const struct tg_graph *g, const char *option, tg_buffer_id **ids_p, uint32_t *n_p)
{
    const char *name;
    tg_buffer_id *ids = calloc(cli->n_values + 1ul, sizeof *ids);
    *ids_p = ids;
    if (!ids)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "out of memory");
    for (*n_p = 0; (name = tgi_cli_list(cli, option, *n_p)); ++*n_p)
        if ((ids[*n_p] = tg_graph_find_buffer(g, name)) == TG_NONE)
            return tgi_cli_fail(cli, TG_E_INVALID, "--%s %s: the graph has no buffer of that name", option, name);
    return 0;
}

int tgi_serve_graph_open(const struct tgi_cli *cli, struct tgi_serve_graph *g)
{
    struct tg_error err;
    memset(g, 0, sizeof *g);
    int exit_code = tgi_cli_load(cli, cli->operands[0], TGI_LOAD_AND_FREEZE, &g->graph);
    if (exit_code)
        return exit_code;
    exit_code = find_buffers(cli, g->graph, "in", &g->inputs, &g->n_inputs);
    if (exit_code == 0)
        exit_code = find_buffers(cli, g->graph, "out", &g->outputs, &g->n_outputs);
    if (exit_code)
        return exit_code;
    if (tg_service_program_of_graph(g->graph, g->inputs, g->n_inputs, g->outputs, g->n_outputs, &g->program, &err))
        return tgi_cli_error(cli, &err);
    g->data = calloc(tg_service_program_input_bytes(g->program) + 1, 1);
    g->answer = calloc(tg_service_program_output_bytes(g->program) + 1, 1);
    return g->data && g->answer ? 0 : tgi_cli_fail(cli, TG_E_NO_MEMORY, "out of memory for requests");
}

void tgi_serve_graph_close(struct tgi_serve_graph *g)
{
    tg_service_program_destroy(g->program);
    tg_graph_destroy(g->graph);
    free(g->inputs);
    free(g->outputs);
    free(g->data);
    free(g->answer);
}

/* ---- Numbers ------------------------------------------------------------------------------*/

/* The next number of a line as the bits of an element; false: there is none, or the type does not hold it. */
static bool read_number(const char **at, enum tg_dtype dtype, uint64_t *word_p)
{
    const char *text = *at + strspn(*at, " \t,");
    char *end, *exact;
    double value = strtod(text, &end);
    long long whole = strtoll(text, &exact, 10);
    *at = end;
    if (end == text || (*end && !strchr(" \t,", *end)))
        return false;
    if (exact == end && *text == '-')
        return tgi_host_encode_int(dtype, whole, word_p);
    if (exact == end && dtype == TG_U64) {
        *word_p = strtoull(text, NULL, 10);
        return true;
    }
    return exact == end ? tgi_host_encode_int(dtype, whole, word_p) : tgi_host_encode_float(dtype, value, word_p);
}

static void print_number(const void *tile, uint64_t i, enum tg_dtype dtype)
{
    if (dtype == TG_U64)
        printf("%" PRIu64, ((const uint64_t *)tile)[i]);
    else if (dtype == TG_I64)
        printf("%" PRId64, ((const int64_t *)tile)[i]);
    else
        printf("%.*g", dtype == TG_F64 ? 17 : 9, tgi_host_load(tile, i, dtype));
}

static int read_line(const struct tgi_cli *cli, const struct tgi_serve_graph *g, const char *line)
{
    unsigned char *to = g->data;
    uint64_t n = 0, word;
    for (uint32_t k = 0; k < g->n_inputs; k++) {
        const struct tgi_buffer *b = &g->graph->space->buffers[g->inputs[k]];
        for (uint32_t t = 0; t < b->n_present; t++, to += room_of(b))
            for (uint64_t i = 0; i < b->tile_elems; i++, n++) {
                if (!read_number(&line, b->dtype, &word))
                    return tgi_cli_fail(cli, TG_E_BAD_VALUE, "number %" PRIu64 " of the line, for buffer \"%s\", is missing or none of type %s", n + 1,
                                        b->name, tg_dtype_name(b->dtype));
                tgi_host_fill(to + i * tg_dtype_size(b->dtype), 1, b->dtype, word);
            }
    }
    line += strspn(line, " \t,");
    return *line ? tgi_cli_fail(cli, TG_E_BAD_VALUE, "the line has more than the %" PRIu64 " numbers of the graph's inputs: \"%.40s\"", n, line) : 0;
}

static void print_answer(const struct tgi_serve_graph *g)
{
    const unsigned char *from = g->answer;
    const char *between = "";
    for (uint32_t k = 0; k < g->n_outputs; k++) {
        const struct tgi_buffer *b = &g->graph->space->buffers[g->outputs[k]];
        for (uint32_t t = 0; t < b->n_present; t++, from += room_of(b))
            for (uint64_t i = 0; i < b->tile_elems; i++, between = " ") {
                fputs(between, stdout);
                print_number(from, i, b->dtype);
            }
    }
    putchar('\n');
}

int tgi_serve_graph_line(const struct tgi_cli *cli, struct tgi_serve_graph *g, struct tg_service *service, uint64_t timeout_ns,
                         const char *line)
{
    struct tg_error err;
    int exit_code = read_line(cli, g, line);
    if (exit_code)
        return exit_code;
    if (tg_service_run(service, &(struct tg_service_instance){.data = g->data}, timeout_ns, g->answer, &err))
        return tgi_cli_error(cli, &err);
    print_answer(g);
    return 0;
}
