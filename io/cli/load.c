/* Graph files, as most commands take them. */
#include "io/cli/device_choice.h"

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

/* "N=64k" as "N=64000"; anything else as it is.  NULL: no memory. */
static char *plain_param(const char *text)
{
    const char *value = strchr(text, '=') + 1;
    size_t length = strlen(value);
    int64_t number;
    char *plain;
    bool has_suffix = length > 1 && strchr("kKMG", value[length - 1]) &&
                      strspn(value, "0123456789._") == length - 1 && tgi_cli_parse_int(value, &number);
    if (!has_suffix)
        return strdup(text);
    return asprintf(&plain, "%.*s%lld", (int)(value - text), text, (long long)number) < 0 ? NULL : plain;
}

static void free_params(char **params)
{
    for (uint32_t i = 0; params && params[i]; i++)
        free(params[i]);
    free(params);
}

/* The values of --param, ending with NULL; NULL: no memory. */
static char **list_params(const struct tgi_cli *cli, uint32_t *n_p)
{
    char **params = calloc(cli->n_values + 1, sizeof(*params));
    const char *value;
    *n_p = 0;
    while (params && offers(cli, "param") && (value = tgi_cli_list(cli, "param", *n_p))) {
        params[*n_p] = plain_param(value);
        if (!params[(*n_p)++]) {
            free_params(params);
            return NULL;
        }
    }
    return params;
}

/* Passes diagnostics on and counts the errors among them. */
struct listener {
    const struct tgi_cli *cli;
    const struct tgi_device_choice *devices;
    uint32_t n_errors;
};

static void on_diagnostic(void *user, const struct tg_diagnostic *diagnostic)
{
    struct listener *listener = user;
    listener->n_errors += !diagnostic->is_warning;
    tgi_cli_on_diagnostic((void *)listener->cli, diagnostic);
}

static uint32_t count_cuda(void *user)
{
    const struct listener *listener = user;
    return tgi_device_choice_count(listener->cli, listener->devices);
}

int tgi_cli_load(const struct tgi_cli *cli, const char *path, enum tgi_cli_load what,
                 struct tg_graph **graph_p)
{
    struct tg_load_options options = TG_LOAD_OPTIONS_INIT;
    struct tgi_device_choice devices = {0};
    struct listener listener = {cli, &devices, 0};
    int rc = offers(cli, "devices") ? tgi_device_choice_read(cli, &devices) : 0;
    if (rc)
        return rc;
    char **params = list_params(cli, &options.n_params);
    if (!params)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory to read \"%s\"", path);
    options.params = (const char *const *)params;
    options.on_diagnostic = on_diagnostic;
    options.count_cuda = count_cuda;
    options.user = &listener;
    options.allow_plugins = offers(cli, "allow-plugins") && tgi_cli_has(cli, "allow-plugins");
    if (offers(cli, "max-file"))
        options.max_bytes = tgi_cli_bytes(cli, "max-file", 0);
    if (offers(cli, "limit"))
        options.max_tasks = (uint64_t)tgi_cli_int(cli, "limit", 0);

    struct tg_graph *graph = NULL;
    struct tg_error err = {0};
    rc = tg_graph_load(path, &options, &graph, &err);
    free_params(params);
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
