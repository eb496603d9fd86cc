/* Graph files, as most commands take them. */
#include "io/cli/cli.h"

#include <stdlib.h>
#include <string.h>

/* Not every command has these options. */
static bool offers(const struct tgi_cli *cli, const char *name)
{
    for (const struct tgi_cli_option *o = cli->command->options; o->name; o++) {
        if (strcmp(o->name, name) == 0)
            return true;
    }
    return false;
}

/* Passes diagnostics on and counts the errors among them. */
struct listener {
    const struct tgi_cli *cli;
    uint32_t n_errors;
};

static void on_diagnostic(void *user, const struct tg_diagnostic *diagnostic)
{
    struct listener *listener = user;
    listener->n_errors += !diagnostic->is_warning;
    tgi_cli_on_diagnostic((void *)listener->cli, diagnostic);
}

int tgi_cli_load(const struct tgi_cli *cli, const char *path, enum tgi_cli_load what,
                 struct tg_graph **graph_p)
{
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    struct listener listener = {cli, 0};
    const char **params = calloc(cli->n_values + 1, sizeof(*params));
    if (!params)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory to read \"%s\"", path);
    if (offers(cli, "param")) {
        const char *value;
        while ((value = tgi_cli_list(cli, "param", options.n_params)))
            params[options.n_params++] = value;
    }
    options.params = params;
    options.on_diagnostic = on_diagnostic;
    options.user = &listener;
    options.allow_plugins = offers(cli, "allow-plugins") && tgi_cli_has(cli, "allow-plugins");
    if (offers(cli, "limit"))
        options.max_tasks = (uint64_t)tgi_cli_int(cli, "limit", 0);

    struct tg_graph *graph = NULL;
    struct tg_error err = {0};
    int rc = tg_graph_load(path, &options, &graph, &err);
    free(params);
    /* The errors of the file itself have been printed one by one. */
    if (rc)
        return listener.n_errors > 0 ? tg_status_exit_code(rc) : tgi_cli_error(cli, &err);
    if (what == TGI_LOAD_AND_FREEZE) {
        rc = tg_graph_freeze(graph, &err);
        if (rc) {
            tg_graph_destroy(graph);
            return tgi_cli_error(cli, &err);
        }
    }
    *graph_p = graph;
    return 0;
}
