/* tgraph init: a project to start from. */
#include "io/cli/cli.h"

#include <string.h>

#include "io/templates.h"

static int list(const struct tgi_cli *cli)
{
    if (cli->n_operands > 0 || tgi_cli_has(cli, "template"))
        return tgi_cli_usage(cli, "--list takes nothing else");
    for (const struct tgi_template *t = tgi_templates; t->name; t++)
        printf("%-10s %s\n", t->name, t->brief);
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

int tgi_cli_init(struct tgi_cli *cli)
{
    if (tgi_cli_has(cli, "list"))
        return list(cli);
    const char *name = tgi_cli_text(cli, "template", "hello");
    const char *folder = cli->n_operands > 0 ? cli->operands[0] : ".";
    const struct tgi_template *t = tgi_template_find(name);
    if (!t)
        return unknown(cli, name);
    struct tg_error err;
    if (tgi_template_write(t, folder, &err) != TG_OK)
        return tgi_cli_error(cli, &err);
    for (const struct tgi_template_file *file = t->files; file->name; file++)
        tgi_cli_note(cli, "wrote %s/%s", folder, file->name);
    if (strcmp(folder, ".") == 0)
        tgi_cli_note(cli, "next: %s", t->next);
    else
        tgi_cli_note(cli, "next: cd %s && %s", folder, t->next);
    return TGI_EXIT_OK;
}
