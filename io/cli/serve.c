/* tgraph serve: a service to try, a line in and a line out. */
#include "io/cli/serve_graph.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "io/service_metrics.h"

struct serve {
    struct tgi_cli *cli;
    struct tg_service *service;
    uint64_t timeout_ns;
    unsigned char *answer;
    size_t room;
    struct tgi_serve_graph *graph; /* NULL: lines are messages */
    int exit_code; /* of the first line that failed */
};

/* ---- Requests -----------------------------------------------------------------------------*/

static void print_answer(enum tg_service_body body, const unsigned char *bytes, size_t n)
{
    if (body == TG_SERVICE_MIX)
        for (size_t i = 0; i < n; i++)
            printf("%02x", bytes[i]);
    else
        fwrite(bytes, 1, n, stdout);
    putchar('\n');
}

static void call(struct serve *s, enum tg_service_body body, uint32_t argument, const char *text)
{
    struct tg_service_message m = {body, argument, text, strlen(text)};
    struct tg_error err;
    size_t n;
    int rc = tg_service_call(s->service, &m, s->timeout_ns, s->answer, s->room, &n, &err);
    if (rc == 0) {
        print_answer(body, s->answer, n);
        return;
    }
    int exit_code = tgi_cli_error(s->cli, &err);
    s->exit_code = s->exit_code ? s->exit_code : exit_code;
}

static void print_status(struct serve *s)
{
    struct tg_service_status status;
    tg_service_status(s->service, &status, NULL);
    printf("%s, kernel %s, %" PRIu32 " blocks, %" PRIu64 " messages under way\n", tg_service_state_name(status.state),
           status.is_resident ? "resident" : "away", status.n_blocks, status.n_in_flight);
}

static void print_metrics(struct serve *s)
{
    struct tg_service_metrics m;
    tg_service_metrics(s->service, &m, NULL);
    tgi_service_metrics_prometheus(stdout, &m);
}

/* ":mix 7 text": the number and what comes after it. */
static bool argument_of(const char *text, uint32_t *argument_p, const char **rest_p)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text != ' ' || end == text || value > UINT32_MAX || (*end && *end != ' '))
        return false;
    *argument_p = (uint32_t)value;
    *rest_p = *end ? end + 1 : end;
    return true;
}

static void request(struct serve *s, const char *line)
{
    static const struct {
        const char *name;
        enum tg_service_body body;
    } bodies[] = {{":mix", TG_SERVICE_MIX}, {":spin", TG_SERVICE_SPIN}, {":fail", TG_SERVICE_FAIL}};
    const char *rest;
    uint32_t argument;
    if (strcmp(line, ":metrics") == 0) {
        print_metrics(s);
        return;
    }
    if (strcmp(line, ":status") == 0) {
        print_status(s);
        return;
    }
    if (s->graph && line[0] != ':') {
        int exit_code = tgi_serve_graph_line(s->cli, s->graph, s->service, s->timeout_ns, line);
        s->exit_code = s->exit_code ? s->exit_code : exit_code;
        return;
    }
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        size_t n = strlen(bodies[i].name);
        if (strncmp(line, bodies[i].name, n) == 0 && argument_of(line + n, &argument, &rest)) {
            call(s, bodies[i].body, argument, rest);
            return;
        }
    }
    if (line[0] != ':' || line[1] == ':') {
        call(s, TG_SERVICE_ECHO, 0, line + (line[0] == ':'));
        return;
    }
    int exit_code = tgi_cli_fail(s->cli, TG_E_BAD_VALUE, "there is no request \"%s\"; tgraph help serve lists them", line);
    s->exit_code = s->exit_code ? s->exit_code : exit_code;
}

static int serve_lines(struct serve *s)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, stdin)) > 0) {
        if (line[n - 1] == '\n')
            line[n - 1] = '\0';
        request(s, line);
        fflush(stdout);
    }
    int reason = errno;
    free(line);
    return ferror(stdin) ? tgi_cli_fail(s->cli, TG_E_READ, "cannot read requests from stdin: %s", strerror(reason)) : s->exit_code;
}

/* ---- The command --------------------------------------------------------------------------*/

static int serve(struct serve *s, struct tg_error *err)
{
    int rc = tg_service_launch(s->service, err);
    if (rc == 0)
        rc = tg_service_activate(s->service, err);
    if (rc)
        return tgi_cli_error(s->cli, err);
    struct tg_service_show *show = NULL;
    if (tg_service_show(s->service, "serve", &show, err)) /* which is no reason not to serve */
        tgi_cli_warn(s->cli, "tgraph top will not see this service: %s", err->text);
    int exit_code = serve_lines(s);
    tg_service_hide(show);
    rc = tg_service_terminate(s->service, s->timeout_ns, err);
    if (rc && exit_code == 0) /* else it has been said */
        exit_code = tgi_cli_error(s->cli, err);
    if (tgi_cli_has(s->cli, "metrics")) {
        struct tg_service_metrics m;
        tg_service_metrics(s->service, &m, NULL);
        tgi_service_metrics_print(stderr, &m);
    }
    return exit_code;
}

/* A service that answers lines by the graph, if there is one. */
static int serve_with(struct serve *s, struct tg_service_options *o)
{
    struct tg_error err;
    struct tg_service_setup setup = TG_SERVICE_SETUP_INIT;
    if (s->graph) {
        size_t in = tg_service_program_input_bytes(s->graph->program), out = tg_service_program_output_bytes(s->graph->program);
        size_t most = in > out ? in : out;
        setup.programs = &s->graph->program;
        setup.n_programs = 1;
        setup.n_teams = (uint32_t)tgi_cli_int(s->cli, "teams", setup.n_teams);
        setup.n_blocks_each = (uint32_t)tgi_cli_int(s->cli, "blocks", setup.n_blocks_each);
        setup.n_workers_each = (uint32_t)tgi_cli_int(s->cli, "workers", setup.n_workers_each);
        o->setup = &setup;
        if (!tgi_cli_has(s->cli, "message-bytes") && most > o->message_bytes && most <= UINT32_MAX)
            o->message_bytes = (uint32_t)most;
    }
    if (tg_service_create(o, &s->service, &err))
        return tgi_cli_error(s->cli, &err);
    s->room = o->message_bytes;
    s->answer = malloc(s->room);
    int exit_code = s->answer ? serve(s, &err) : tgi_cli_fail(s->cli, TG_E_NO_MEMORY, "out of memory for answers");
    free(s->answer);
    tg_service_destroy(s->service);
    return exit_code;
}

int tgi_cli_serve(struct tgi_cli *cli)
{
    struct tg_service_options o = TG_SERVICE_OPTIONS_INIT;
    struct tgi_serve_graph graph;
    struct serve s = {.cli = cli, .timeout_ns = tgi_cli_time_ns(cli, "timeout", 10000000000u)};
    o.device = (uint32_t)tgi_cli_int(cli, "device", o.device);
    o.n_sms_free = (uint32_t)tgi_cli_int(cli, "sms-free", o.n_sms_free);
    o.queue_capacity = (uint32_t)tgi_cli_int(cli, "queue", o.queue_capacity);
    o.message_bytes = (uint32_t)tgi_cli_int(cli, "message-bytes", o.message_bytes);
    o.idle_exit_ns = tgi_cli_time_ns(cli, "idle-exit", o.idle_exit_ns);
    if (cli->format == TGI_FORMAT_JSON)
        return tgi_cli_usage(cli, "serve answers line by line, and has no JSON form");
    if (cli->n_operands == 0)
        return tgi_cli_has(cli, "in") || tgi_cli_has(cli, "out") ? tgi_cli_usage(cli, "--in and --out name buffers of a graph, and there is none")
                                                                 : serve_with(&s, &o);
    s.graph = &graph;
    int exit_code = tgi_serve_graph_open(cli, &graph);
    if (exit_code == 0)
        exit_code = serve_with(&s, &o);
    tgi_serve_graph_close(&graph);
    return exit_code;
}
