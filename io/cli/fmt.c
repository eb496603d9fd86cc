/* tgraph fmt: canonical layout. */
#include "io/cli/document.h"

#include "io/fmt.h"

struct job {
    const struct tgi_cli *cli;
    struct tgi_json *json; /* of --check and --in-place; NULL: text */
};

/* was_canonical NULL: could not be told. */
static void put_file(const struct job *job, const char *path, int exit_code, const bool *was_canonical)
{
    if (!job->json)
        return;
    tgi_json_flat_object(job->json, NULL);
    tgi_json_string(job->json, "file", path);
    if (was_canonical)
        tgi_json_bool(job->json, "was_canonical", *was_canonical);
    tgi_json_int(job->json, "exit_code", exit_code);
    tgi_json_end(job->json);
}

static int check(const struct job *job, const char *path)
{
    struct tg_error err;
    bool is_canonical = false;
    if (tgi_fmt_check_file(path, &is_canonical, &err) != TG_OK) {
        int rc = tgi_cli_error(job->cli, &err);
        put_file(job, path, rc, NULL);
        return rc;
    }
    int rc = is_canonical ? TGI_EXIT_OK : TGI_EXIT_NO;
    if (!is_canonical)
        tgi_cli_note(job->cli, "%s: not in canonical layout; tgraph fmt -i lays it out", path);
    put_file(job, path, rc, &is_canonical);
    return rc;
}

static int format(const struct job *job, const char *path, const char *to)
{
    struct tg_error err;
    bool is_changed = false;
    if (tgi_fmt_file(path, to, &is_changed, &err) != TG_OK) {
        int rc = tgi_cli_error(job->cli, &err);
        put_file(job, path, rc, NULL);
        return rc;
    }
    bool was_canonical = !is_changed;
    if (!to && is_changed)
        tgi_cli_detail(job->cli, "%s: laid out anew", path);
    put_file(job, path, TGI_EXIT_OK, &was_canonical);
    return TGI_EXIT_OK;
}

int tgi_cli_fmt(struct tgi_cli *cli)
{
    struct job job = {.cli = cli};
    struct tgi_json json;
    bool is_check = tgi_cli_has(cli, "check"), in_place = tgi_cli_has(cli, "in-place");
    const char *to = in_place ? NULL : tgi_cli_text(cli, "output", "-");
    if (is_check + in_place + tgi_cli_has(cli, "output") > 1)
        return tgi_cli_usage(cli, "--check, --in-place and --output exclude each other");
    if (!is_check && !in_place && cli->n_operands > 1)
        return tgi_cli_usage(cli, "several files need --in-place or --check");
    if (cli->format == TGI_FORMAT_JSON && (is_check || in_place)) {
        json = tgi_cli_document(stdout, TGI_REPORT_SCHEMA, "fmt");
        tgi_json_array(&json, "files");
        job.json = &json;
    }
    /* Every file gets its turn; the first failure decides the exit code, and an error more than a no. */
    int exit_code = TGI_EXIT_OK;
    for (uint32_t i = 0; i < cli->n_operands; i++) {
        const char *path = cli->operands[i];
        int code = is_check ? check(&job, path) : format(&job, path, to);
        if (exit_code == TGI_EXIT_OK || (exit_code == TGI_EXIT_NO && code != TGI_EXIT_OK))
            exit_code = code;
    }
    if (job.json) {
        tgi_json_end(&json);
        tgi_json_bool(&json, "ok", exit_code == TGI_EXIT_OK);
        tgi_json_end(&json);
    }
    return exit_code;
}
