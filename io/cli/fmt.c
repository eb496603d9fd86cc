/* tgraph fmt: canonical layout. */
#include "io/cli/cli.h"

#include "io/fmt.h"

static int check(const struct tgi_cli *cli, const char *path, struct tg_error *err)
{
    bool is_canonical = false;
    int status = tgi_fmt_check_file(path, &is_canonical, err);
    if (status != TG_OK)
        return tgi_cli_error(cli, err);
    if (is_canonical)
        return TGI_EXIT_OK;
    if (!cli->is_quiet)
        fprintf(stderr, "%s: not in canonical layout\n", path);
    return TGI_EXIT_NO;
}

static int format(const struct tgi_cli *cli, const char *path, const char *to, struct tg_error *err)
{
    bool is_changed = false;
    if (tgi_fmt_file(path, to, &is_changed, err) != TG_OK)
        return tgi_cli_error(cli, err);
    if (!to && is_changed)
        tgi_cli_detail(cli, "%s: laid out anew", path);
    return TGI_EXIT_OK;
}

int tgi_cli_fmt(struct tgi_cli *cli)
{
    bool is_check = tgi_cli_has(cli, "check"), in_place = tgi_cli_has(cli, "in-place");
    const char *to = in_place ? NULL : tgi_cli_text(cli, "output", "-");
    if (is_check + in_place + tgi_cli_has(cli, "output") > 1)
        return tgi_cli_usage(cli, "--check, --in-place and --output exclude each other");
    if (!is_check && !in_place && cli->n_operands > 1)
        return tgi_cli_usage(cli, "several files need --in-place or --check");
    /* Every file gets its turn; the first failure decides the exit code, and an error more than a no. */
    int exit_code = TGI_EXIT_OK;
    for (uint32_t i = 0; i < cli->n_operands; i++) {
        struct tg_error err;
        const char *path = cli->operands[i];
        int code = is_check ? check(cli, path, &err) : format(cli, path, to, &err);
        if (exit_code == TGI_EXIT_OK || (exit_code == TGI_EXIT_NO && code != TGI_EXIT_OK))
            exit_code = code;
    }
    return exit_code;
}
