/* tgraph gen: synthetic graphs. */
#include "io/cli/cli.h"

#include <string.h>

#include "io/fmt.h"
#include "io/gen.h"
#include "io/output.h"

static enum tgi_gen_payload payload_of(const char *name)
{
    if (!name)
        return TGI_GEN_AUTO;
    return strcmp(name, "hash") == 0   ? TGI_GEN_HASH
           : strcmp(name, "spin") == 0 ? TGI_GEN_SPIN
                                       : TGI_GEN_EMPTY;
}

static int check_pattern(const struct tgi_cli *cli, const char *pattern)
{
    const char *names[32];
    size_t n = 0;
    for (const struct tgi_gen_pattern *p = tgi_gen_patterns; p->name; p++) {
        if (strcmp(p->name, pattern) == 0)
            return 0;
        names[n++] = p->name;
    }
    const char *close = tgi_suggest(pattern, names, n);
    if (close)
        return tgi_cli_usage(cli, "there is no pattern \"%s\"; did you mean \"%s\"?", pattern, close);
    return tgi_cli_usage(cli, "there is no pattern \"%s\"; tgraph help gen lists them", pattern);
}

/* Options that say nothing about the pattern would be ignored silently otherwise. */
static int check_options(const struct tgi_cli *cli, const char *pattern)
{
    static const struct {
        const char *option, *patterns;
    } owned[] = {{"arity", "tree"},    {"radix", "spread nearest"}, {"in-edges", "random"},
                 {"window", "random"}, {"seed", "random"},          {"tile", "cholesky lu"}};
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        if (tgi_cli_has(cli, owned[i].option) && !strstr(owned[i].patterns, pattern))
            return tgi_cli_usage(cli, "--%s is for %s, not for %s", owned[i].option, owned[i].patterns,
                                 pattern);
    return 0;
}

int tgi_cli_gen(struct tgi_cli *cli)
{
    const char *pattern = cli->operands[0], *path = tgi_cli_text(cli, "output", "-");
    int exit_code = check_pattern(cli, pattern);
    if (exit_code == 0)
        exit_code = check_options(cli, pattern);
    if (exit_code != 0)
        return exit_code;
    struct tgi_gen_options options = {
        .pattern = pattern,
        .n_tasks = (uint64_t)tgi_cli_int(cli, "tasks", 0),
        .width = (uint64_t)tgi_cli_int(cli, "width", 0),
        .steps = (uint64_t)tgi_cli_int(cli, "steps", 0),
        .arity = (uint32_t)tgi_cli_int(cli, "arity", 0),
        .radix = (uint32_t)tgi_cli_int(cli, "radix", 0),
        .in_edges = (uint32_t)tgi_cli_int(cli, "in-edges", 0),
        .window = (uint64_t)tgi_cli_int(cli, "window", 0),
        .tile = (uint64_t)tgi_cli_int(cli, "tile", 0),
        .us = tgi_cli_float(cli, "us", 0),
        .ccr = tgi_cli_float(cli, "ccr", 0),
        .bytes = tgi_cli_bytes(cli, "bytes", 0),
        .seed = (uint64_t)tgi_cli_int(cli, "seed", 1),
        .payload = payload_of(tgi_cli_text(cli, "kernel", NULL)),
        .is_lines = tgi_cli_has(cli, "jsonl") || tgi_fmt_form_of(path) == TGI_FMT_LINES,
    };
    struct tg_error err;
    struct tgi_output out;
    int status = tgi_output_open(&out, path, &err);
    if (status != TG_OK)
        return tgi_cli_error(cli, &err);
    status = tgi_gen_write(out.file, &options, &err);
    if (status == TG_OK)
        status = tgi_output_finish(&out, &err);
    else
        tgi_output_abandon(&out);
    return status == TG_OK ? TGI_EXIT_OK : tgi_cli_error(cli, &err);
}
