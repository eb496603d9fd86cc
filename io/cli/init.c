/* tgraph init: a project to start from. */
#include "io/cli/cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/cli/document.h"
#include "io/path.h"
#include "io/templates.h"

static int list(const struct tgi_cli *cli)
{
    if (cli->n_operands > 0 || tgi_cli_has(cli, "template"))
        return tgi_cli_usage(cli, "--list takes nothing else");
    if (cli->format == TGI_FORMAT_TEXT) {
        for (const struct tgi_template *t = tgi_templates; t->name; t++)
            printf("%-10s %s\n", t->name, t->brief);
        return TGI_EXIT_OK;
    }
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "init");
    tgi_json_array(&json, "templates");
    for (const struct tgi_template *t = tgi_templates; t->name; t++) {
        tgi_json_flat_object(&json, NULL);
        tgi_json_string(&json, "name", t->name);
        tgi_json_string(&json, "brief", t->brief);
        tgi_json_end(&json);
    }
    tgi_json_end(&json);
    tgi_json_end(&json);
    return TGI_EXIT_OK;
}

static int unknown(const struct tgi_cli *cli, const char *name)
{
    const char *names[16];
    size_t n = 0;
    for (const struct tgi_template *t = tgi_templates; t->name; t++)
        names[n++] = t->name;
    const char *close = tgi_suggest(name, names, n);
    if (close)
        return tgi_cli_usage(cli, "there is no template \"%s\"; did you mean \"%s\"?", name, close);
    return tgi_cli_usage(cli, "there is no template \"%s\"; tgraph init --list shows them", name);
}

/* As a shell takes it for one word.  size: 4 times its length is enough for any. */
static void quote(const char *text, char *quoted, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:@%=";
    size_t n = 0;
    if (text[strspn(text, plain)] == '\0') {
        snprintf(quoted, size, "%s%s", text[0] == '-' ? "./" : "", text);
        return;
    }
    quoted[n++] = '\'';
    for (; *text && n + 6 < size; text++) {
        if (*text == '\'')
            n += (size_t)snprintf(quoted + n, size - n, "'\\''");
        else
            quoted[n++] = *text;
    }
    quoted[n++] = '\'';
    quoted[n] = '\0';
}

static void print_json(const struct tgi_template *t, const char *folder)
{
    struct tgi_json json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "init");
    tgi_json_string(&json, "template", t->name);
    tgi_json_string(&json, "folder", folder);
    tgi_json_flat_array(&json, "files");
    for (const struct tgi_template_file *file = t->files; file->name; file++)
        tgi_json_string(&json, NULL, file->name);
    tgi_json_end(&json);
    tgi_json_string(&json, "next", t->next);
    tgi_json_end(&json);
}

static int write_template(const struct tgi_cli *cli, const struct tgi_template *t, const char *folder)
{
    struct tg_error err;
    char quoted[4 * PATH_MAX];
    if (tgi_template_write(t, folder, &err) != TG_OK)
        return tgi_cli_error(cli, &err);
    if (cli->format == TGI_FORMAT_JSON) {
        print_json(t, folder);
        return TGI_EXIT_OK;
    }
    for (const struct tgi_template_file *file = t->files; file->name; file++)
        tgi_cli_note(cli, "wrote %s/%s", folder, file->name);
    quote(folder, quoted, sizeof(quoted));
    if (strcmp(folder, ".") == 0)
        tgi_cli_note(cli, "next: %s", t->next);
    else
        tgi_cli_note(cli, "next: cd %s && %s", quoted, t->next);
    return TGI_EXIT_OK;
}

int tgi_cli_init(struct tgi_cli *cli)
{
    if (tgi_cli_has(cli, "list"))
        return list(cli);
    const char *name = tgi_cli_text(cli, "template", "hello");
    const struct tgi_template *t = tgi_template_find(name);
    if (!t)
        return unknown(cli, name);
    char *folder = tgi_path_tidy(cli->n_operands > 0 ? cli->operands[0] : ".");
    int rc = folder ? write_template(cli, t, folder) : tgi_cli_fail(cli, TG_E_NO_MEMORY, "no memory for a path");
    free(folder);
    return rc;
}
