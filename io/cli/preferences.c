#include "io/cli/preferences.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "graph/error.h"
#include "io/cli/options.h"
#include "io/json_tree.h"

enum { ROOT = 0, MAX_BYTES = 64 << 10 };

/* Those that say something about the user or the machine, not about one graph. */
const char *const tgi_preferences[] = {"color",    "device-mem", "devices",  "error-format",
                                       "max-file", "mem",        "progress", NULL};

void tgi_preference_variable(const char *name, char *variable, size_t size)
{
    snprintf(variable, size, "TGRAPH_%s", name);
    for (char *p = variable; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
}

static bool is_preference(const char *name)
{
    for (const char *const *p = tgi_preferences; *p; p++)
        if (strcmp(*p, name) == 0)
            return true;
    return false;
}

/* What the command has no such option for does not concern it. */
static bool is_open(const struct tgi_cli *cli, const char *name)
{
    return tgi_cli_find_option(cli->command, name) && !tgi_cli_has(cli, name);
}

/* ---- The environment ----------------------------------------------------------------------*/

static int add_variables(struct tgi_cli *cli)
{
    int rc = 0;
    for (const char *const *name = tgi_preferences; *name && rc == 0; name++) {
        char variable[TGI_VARIABLE_SIZE];
        tgi_preference_variable(*name, variable, sizeof(variable));
        const char *text = getenv(variable);
        if (!text || !*text || !is_open(cli, *name))
            continue;
        char *source = tgi_arena_strdup(&cli->texts, variable);
        rc = source ? tgi_cli_add_value(cli, tgi_cli_find_option(cli->command, *name), text, source)
                    : tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for %s", variable);
    }
    return rc;
}

/* ---- The file -----------------------------------------------------------------------------*/

static bool find_path(char *path, size_t size)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;
    if (xdg && xdg[0] == '/') /* the specification tells to ignore relative ones */
        n = snprintf(path, size, "%s/tgraph/config.json", xdg);
    else if (home && home[0])
        n = snprintf(path, size, "%s/.config/tgraph/config.json", home);
    return n > 0 && (size_t)n < size;
}

/* *size_p: 0 without a file. */
static int read_text(const char *path, char *text, size_t *size_p, struct tg_error *err)
{
    FILE *file = fopen(path, "re");
    *size_p = 0;
    if (!file)
        return errno == ENOENT || errno == ENOTDIR ? 0 : tgi_error_errno(err, TG_E_OPEN, errno, "opening %s", path);
    *size_p = fread(text, 1, MAX_BYTES, file);
    int number = ferror(file) ? errno : 0;
    bool is_long = *size_p == MAX_BYTES;
    fclose(file);
    if (number)
        return tgi_error_errno(err, TG_E_READ, number, "reading %s", path);
    return is_long ? tgi_error(err, TG_E_LIMIT, "%s has more than %d bytes", path, MAX_BYTES - 1) : 0;
}

static int unknown_key(const struct tgi_json_tree *tree, uint32_t at, const char *key, struct tg_error *err)
{
    char list[256] = "";
    size_t used = 0, n = 0;
    for (const char *const *p = tgi_preferences; *p; p++, n++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", n ? ", " : "", *p);
    const char *close = tgi_suggest(key, tgi_preferences, n);
    if (close)
        return tgi_json_tree_error(tree, at, err, TG_E_USAGE, "there is no setting \"%.60s\"; did you mean \"%s\"?", key, close);
    return tgi_json_tree_error(tree, at, err, TG_E_USAGE, "there is no setting \"%.60s\"; there are %s", key, list);
}

/* Numbers as they are spelt: "mem": 4096 is "mem": "4096". */
static char *take_text(struct tgi_cli *cli, const struct tgi_json_tree *tree, uint32_t at)
{
    const struct tgi_json_node *node = &tree->nodes[at];
    if (node->kind == TGI_JSON_STRING)
        return tgi_json_tree_string(tree, at, &cli->texts);
    return tgi_arena_strndup(&cli->texts, tree->text + node->at, node->size);
}

static int add_member(struct tgi_cli *cli, const struct tgi_json_tree *tree, uint32_t at)
{
    struct tg_error err;
    const struct tgi_json_node *node = &tree->nodes[at];
    char source[PATH_MAX + 128], *key = tgi_json_tree_key(tree, at, &cli->texts), *text = NULL, *kept = NULL;
    if (!key)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for %s", tree->file);
    if (strncmp(key, "x-", 2) == 0)
        return 0;
    if (!is_preference(key)) {
        unknown_key(tree, at, key, &err);
        return tgi_cli_error(cli, &err);
    }
    if (node->kind != TGI_JSON_STRING && node->kind != TGI_JSON_NUMBER) {
        tgi_json_tree_error(tree, at, &err, TG_E_USAGE, "\"%s\" is a string or a number, as after --%s", key, key);
        return tgi_cli_error(cli, &err);
    }
    if (!is_open(cli, key))
        return 0;
    uint32_t line, column;
    tgi_json_tree_position(tree, node->at, &line, &column);
    snprintf(source, sizeof(source), "%s:%u:%u: \"%s\"", tree->file, line, column, key);
    text = take_text(cli, tree, at);
    kept = tgi_arena_strdup(&cli->texts, source);
    if (!text || !kept)
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for %s", tree->file);
    return tgi_cli_add_value(cli, tgi_cli_find_option(cli->command, key), text, kept);
}

static int add_members(struct tgi_cli *cli, const char *path, const char *text, size_t size)
{
    struct tgi_json_tree tree = {0};
    struct tg_error err;
    int rc = tgi_json_tree_parse(&tree, text, size, path, 1, &err);
    if (rc == 0 && tree.nodes[ROOT].kind != TGI_JSON_OBJECT)
        rc = tgi_json_tree_error(&tree, ROOT, &err, TG_E_USAGE, "a configuration is an object such as {\"devices\": \"cpu:4\"}");
    if (rc)
        rc = tgi_cli_error(cli, &err);
    else
        for (uint32_t at = tree.nodes[ROOT].first; at != TG_NONE && rc == 0; at = tree.nodes[at].next)
            rc = add_member(cli, &tree, at);
    tgi_json_tree_fini(&tree);
    return rc;
}

static int add_file(struct tgi_cli *cli)
{
    struct tg_error err;
    char path[PATH_MAX], *text;
    size_t size;
    if (!find_path(path, sizeof(path)))
        return 0;
    if (!(text = malloc(MAX_BYTES)))
        return tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for %s", path);
    int rc = read_text(path, text, &size, &err);
    if (rc)
        rc = tgi_cli_error(cli, &err);
    else if (size > 0)
        rc = add_members(cli, path, text, size);
    free(text);
    return rc;
}

int tgi_cli_add_preferences(struct tgi_cli *cli)
{
    int rc = add_variables(cli);
    return rc ? rc : add_file(cli);
}
